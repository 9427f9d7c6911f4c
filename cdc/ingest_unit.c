/* cdc/ingest_unit.c: the records of a unit: to their topics and partitions, counted in the journal, built into batches; its end.
 *
 * A topic is made when the first record for it comes, looked at anew between messages: it may have grown or gone. See ingest.h. */
#include "cdc/ingest_internal.h"

#include "base/log.h"
#include "base/murmur2.h"
#include "broker/broker.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define UNIT_PART_US     50000                   /* a part waits for more of its transaction */
#define BATCH_BYTES      (256 * 1024)            /* a partition's batch is appended when it is so large [bytes] */
#define TELL_FAILURES_US (10 * INT64_C(1000000)) /* values that became null are told, but not each of many */

/* The journal is recovered and the unit read again, at once or when somebody has acted: the connector asks journal_io which. */
static int append_failed(struct ingest *in, int error)
{
    const struct journal_io_failure *why = &in->stored->io->failure;

    if (error == -ENOENT) return ingest_fail(in, -EAGAIN, "a topic was deleted while it was being written");
    return ingest_fail(in, why->code == error && why->retriable ? -EAGAIN : error,
                       why->code == error ? why->text : "partitions or journal could not be written");
}

/* -- topics -- */

/* No trying again will give such a topic: the task fails. */
static int topic_refused(struct ingest *in, const struct err *why)
{
    int r = journal_io_refuse_topic(in->stored->io, why->text);
    return ingest_fail(in, r, in->stored->io->failure.text);
}

static int topic_add(struct ingest *in, struct slice name, struct journal_topic **ret_topic)
{
    const struct pg_connector_config *config = in->env.config;
    AUTO_FREE char *text = slice_strdup(name);
    struct err err = ERR_NONE;
    uint32_t count = 0;

    if (topic_name_is_internal(name)) {
        err_set(&err, -EPERM, "Cannot append to internal topic %s.", text);
        return topic_refused(in, &err);
    }
    struct config_entry *entries = xcalloc(config->topic_configs_count + 1, sizeof *entries);
    for (uint32_t i = 0; i < config->topic_configs_count; i++)
        if (config->topic_configs[i].value)
            entries[count++] = (struct config_entry){config->topic_configs[i].name, config->topic_configs[i].value};
    enum kafka_error error = broker_topic_ensure(
        in->env.broker, text, config->topic_partitions ? config->topic_partitions : -1, entries, count, &err);
    free(entries);
    if (error == KAFKA_INVALID_TOPIC_EXCEPTION) return topic_refused(in, &err);
    if (error != KAFKA_NONE) {
        snprintf(in->error, sizeof in->error, "topic %s could not be created: %s", text, err.text);
        return -EIO;
    }
    const struct metadata *m = broker_metadata(in->env.broker);
    const struct metadata_topic *topic = metadata_topic(m, name);
    int r =
        topic ? journal_topic_add(in->stored->journal, topic->id, name, topic->partitions_count, ret_topic) : -EAGAIN;
    metadata_unref(m);
    if (r == -EAGAIN) snprintf(in->error, sizeof in->error, "topic %s was deleted while it was being written", text);
    else if (r < 0) snprintf(in->error, sizeof in->error, "the journal could not be written: %s", strerror(-r));
    else
        log_info("cdc", "topic is written to connector=%s topic=%s partitions=%d", config->name, text,
                 (*ret_topic)->partitions_count);
    return r;
}

static int topic_get(struct ingest *in, struct slice name, struct journal_topic **ret_topic)
{
    struct journal_topic *t = in->topic;

    if (!t || t->gone || !slice_eq_text(name, t->name)) t = journal_topic_by_name(in->stored->journal, name);
    if (!t) {
        int r = topic_add(in, name, &t);
        if (r < 0) return r;
    }
    if (t != in->topic && in->env.topic_used) in->env.topic_used(in->env.arg, t->name);
    in->topic = *ret_topic = t;
    return 0;
}

/* -- records -- */

/* Appends what waits in all partitions. */
static int append_pending(struct ingest *in)
{
    int r = 0;

    for (struct journal_topic *t = journal_topics(in->stored->journal); t && r == 0; t = t->next)
        for (int32_t i = 0; i < t->partitions_count && !t->gone && r == 0; i++)
            r = journal_append(in->stored->journal, t->partitions[i]);
    return r;
}

/* Keeps what batches take, over all partitions, within a few UNIT_BYTES_MAX: a snapshot is one unit. */
static int batch_grew(struct ingest *in, struct journal_partition *p, uint32_t bytes)
{
    struct journal_io *io = in->stored->io;
    int r = 0;

    io->pending_bytes += bytes;
    in->unit_bytes += bytes;
    in->built_bytes += bytes;
    if (io->pending_bytes >= UNIT_BYTES_MAX) r = append_pending(in);
    else if (batch_builder_size(&journal_part_of(p)->builder) >= BATCH_BYTES)
        r = journal_append(in->stored->journal, p);
    if (r < 0) return append_failed(in, r);
    if (in->built_bytes >= UNIT_BYTES_MAX) {
        in->built_bytes = 0;
        journal_io_trim(io);
    }
    return 0;
}

/* As event.converting.failure.handling.mode says. */
static void tell_failures(struct ingest *in)
{
    uint64_t failures = change_encoder_failures(in->env.encoder);
    int64_t now_us;

    if (failures == in->failures_told || (now_us = ingest_mono_us()) < in->tell_failures_after_us) return;
    log_at(in->env.config->convert_failure_mode == CONVERT_SKIP ? LOG_DEBUG : LOG_WARN, "cdc",
           "what cannot be represented is written as null connector=%s values=%" PRIu64 " latest=\"%s\"",
           in->env.config->name, failures - in->failures_told, change_encoder_failure_text(in->env.encoder));
    in->failures_told = failures;
    in->tell_failures_after_us = now_us + TELL_FAILURES_US;
}

int ingest_emit(void *arg, const struct change_record *record)
{
    struct ingest *in = arg;
    struct journal *j = in->stored->journal;
    struct record_header headers[CHANGE_HEADERS_MAX];
    struct journal_topic *t;

    tell_failures(in);
    int r = topic_get(in, record->topic, &t);
    if (r == -EPERM) journal_break(j); /* read again, each transaction alone, so that those before it are shown */
    if (r < 0) return r;
    /* Without a key any partition will do, but replay must find the same. */
    int32_t index = record->key.ptr ? murmur2_partition(record->key, t->partitions_count)
                                    : (int32_t)(in->keyless % (uint32_t)t->partitions_count);
    struct journal_partition *p = t->partitions[index];
    if (p->gone) { /* deleted while it was looked up: recovered, the journal knows that the topic is gone */
        journal_break(j);
        return append_failed(in, -ENOENT);
    }
    for (uint32_t i = 0; i < record->headers_count; i++)
        headers[i] = (struct record_header){.key = record->headers[i].name, .value = record->headers[i].value};
    struct journal_part *part = journal_part_of(p);
    if (p->skip == 0 && /* else the log has it */
        (r = journal_io_make_room(part, record->key, record->value, headers, (int32_t)record->headers_count)) < 0) {
        journal_break(j); /* the transactions before it in the unit are read again, each in a unit of its own */
        return append_failed(in, r);
    }
    if (!in->counted) in->counted_since_us = ingest_mono_us();
    in->counted = in->message_counted = true;
    if (!journal_next(j, p)) return 0;

    uint32_t before = batch_builder_size(&part->builder);
    batch_builder_append(&part->builder, record->timestamp_ms, record->key, record->value, headers,
                         (int32_t)record->headers_count);
    return batch_grew(in, p, batch_builder_size(&part->builder) - before);
}

/* -- units -- */

struct journal_position ingest_position(const struct ingest *in)
{
    struct journal_position p = {.whole_lsn = in->whole_lsn, .commit_lsn = in->last_commit_lsn};
    if (in->in_transaction) p.part_lsn = in->begin.final_lsn, p.ordinal = in->ordinal;
    return p;
}

/* What is ingested. */
static struct journal_position position_now(const struct ingest *in)
{
    struct journal_position p = ingest_position(in);
    /* A stream that begins inside a transaction comes from before it: until it is there again the position must stay, or what
     * the logs have of that transaction would not be dropped. */
    return journal_position_compare(p, in->start) < 0 ? in->start : p;
}

int ingest_unit_end(struct ingest *in)
{
    in->counted = false;
    in->unit_bytes = 0;
    struct journal_position at = position_now(in);
    int r = journal_unit_end(in->stored->journal, at);
    if (r < 0) return append_failed(in, r);
    if (at.part_lsn == 0 && in->last.operation) {
        in->last_whole = in->last;
        in->last_whole.whole_lsn = at.whole_lsn;
    }
    return 0;
}

int ingest_cut(struct ingest *in)
{
    return in->counted || !in->in_transaction ? ingest_unit_end(in) : 0;
}

int ingest_idle(struct ingest *in)
{
    if (!in->counted) return 0;
    if (in->in_transaction && ingest_mono_us() - in->counted_since_us < UNIT_PART_US) return 0;
    return ingest_unit_end(in);
}

/* A topic is gone between units only: what of the unit stands in it is journalled as there, so that a replay does not count it
 * for its successor; what is not appended yet cannot be any more, so that the unit is read again, for the successor. */
static int topic_gone(struct ingest *in, struct journal_topic *t)
{
    int r = in->counted ? ingest_unit_end(in) : 0;

    if (r < 0) return r;
    log_info("cdc", "topic was deleted connector=%s topic=%s", in->env.config->name, t->name);
    journal_topic_gone(in->stored->journal, t);
    return 0;
}

int ingest_refresh_topics(struct ingest *in)
{
    struct journal *j = in->stored->journal;
    const struct metadata *m = broker_metadata(in->env.broker);
    int r = 0;

    journal_io_trim(in->stored->io);
    for (struct journal_topic *t = journal_topics(j), *next; t && r == 0; t = next) {
        next = t->next;
        if (t->gone) continue;
        const struct metadata_topic *topic = metadata_topic_by_id(m, t->id);
        if (!topic) {
            r = topic_gone(in, t);
            continue;
        }
        if (topic->partitions_count <= t->partitions_count || !journal_may_change(j, in->wal_end)) continue;
        log_info("cdc", "rows are routed over more partitions connector=%s topic=%s partitions=%d",
                 in->env.config->name, t->name, topic->partitions_count);
        r = journal_topic_grow(j, t, topic->partitions_count);
    }
    metadata_unref(m);
    return r;
}
