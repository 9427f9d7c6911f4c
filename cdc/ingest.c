/* cdc/ingest.c: see ingest.h. */
#include "cdc/ingest.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/murmur2.h"
#include "broker/broker.h"
#include "cdc/catalog.h"
#include "cdc/failpoint.h"
#include "cdc/pg_lsn.h"

#include <errno.h>
#include <stdio.h>
#include <uthash.h>

#define UNIT_TIME_US   2000              /* whole transactions share a unit for so long */
#define UNIT_BYTES     (1024 * 1024)     /* .. or until it is so large [bytes] */
#define UNIT_BYTES_MAX (4 * 1024 * 1024) /* a transaction's part, at most, and what is built of all batches [bytes] */
#define UNIT_PART_US   50000             /* a part waits for more of its transaction */
#define BATCH_BYTES    (256 * 1024)      /* a partition's batch is appended when it is so large [bytes] */
#define HEADERS_MAX    32

/* A table as this stream describes it, and the version that its rows are encoded with now. */
struct ingest_relation {
    uint32_t oid;
    uint8_t *shape; /* the Relation message */
    uint32_t shape_len;
    bool captured;
    bool fresh;                /* the message came and no row since */
    bool postponed;            /* .. and its rows waited already: the catalog is asked when replay is over */
    struct relation *relation; /* NULL: not resolved */
    struct journal_position until;
    UT_hash_handle hh;
};

struct ingest {
    struct ingest_env env;
    struct stored_journal *stored;
    struct pgoutput_decoder *decoder;
    struct pgoutput_decoder *shape_decoder; /* for Relation messages that are looked at again */
    struct ingest_relation *relations;
    struct journal_topic *topic; /* of the last record */
    char error[500];
    /* the stream */
    struct journal_position start; /* where it began: what is before is dropped */
    uint64_t wal_end;
    uint64_t whole_lsn;
    bool in_transaction;
    struct pgoutput_begin begin;
    uint64_t ordinal; /* changes of the transaction that are done, its begin among them */
    struct slice origin;
    struct bytes origin_name; /* of any length: PostgreSQL limits it since version 18 only */
    uint64_t origin_lsn;
    uint64_t last_commit_lsn;
    uint64_t keyless;
    int64_t xmin;
    /* the unit */
    bool alone; /* no two transactions in one */
    bool counted;
    bool message_counted; /* a record of the message at hand is */
    int64_t counted_since_us;
    uint64_t unit_bytes;  /* built for it, appended or not */
    uint64_t built_bytes; /* since unused batches gave back their memory */
    struct source_offset last;
    struct source_offset last_whole; /* as last was when the last whole unit ended */
};

static int64_t mono_us(void)
{
    return clock_system.mono_us(&clock_system);
}

struct ingest *ingest_new(const struct ingest_env *env, struct stored_journal *stored)
{
    struct ingest *in = xcalloc(1, sizeof *in);

    in->env = *env;
    in->stored = stored;
    in->decoder = pgoutput_decoder_new();
    in->shape_decoder = pgoutput_decoder_new();
    return in;
}

static void forget_relations(struct ingest *in)
{
    struct ingest_relation *e, *next;

    HASH_ITER(hh, in->relations, e, next)
    {
        HASH_DEL(in->relations, e);
        relation_free(e->relation);
        free(e->shape);
        free(e);
    }
}

void ingest_free(struct ingest *in)
{
    if (!in) return;
    forget_relations(in);
    pgoutput_decoder_free(in->decoder);
    pgoutput_decoder_free(in->shape_decoder);
    bytes_done(&in->origin_name);
    free(in);
}

void ingest_set_stored(struct ingest *in, struct stored_journal *stored)
{
    in->stored = stored;
    in->topic = NULL;
    in->counted = false;
    in->unit_bytes = 0;
}

const struct source_offset *ingest_last(const struct ingest *in)
{
    return &in->last_whole;
}
const char *ingest_error(const struct ingest *in)
{
    return in->error;
}
void ingest_set_alone(struct ingest *in, bool alone)
{
    in->alone = alone;
}
void ingest_set_keyless(struct ingest *in, uint64_t number)
{
    in->keyless = number;
}
void ingest_set_xmin(struct ingest *in, int64_t xmin)
{
    in->xmin = xmin;
}
bool ingest_is_quiet(const struct ingest *in)
{
    return !in->in_transaction && !in->counted;
}

static int fail(struct ingest *in, int error, const char *text)
{
    if (text != in->error) snprintf(in->error, sizeof in->error, "%s", text);
    return error;
}
static int fail_err(struct ingest *in, int error, const char *text, struct pg_error *err)
{
    *err = (struct pg_error){0};
    snprintf(err->text, sizeof err->text, "%s", text);
    return fail(in, error, text);
}

/* The journal is recovered and the unit read again, at once or when somebody has acted: the connector asks journal_io which. */
static int append_failed(struct ingest *in, int error)
{
    const struct journal_io_failure *why = &in->stored->io->failure;

    if (error == -ENOENT) return fail(in, -EAGAIN, "a topic was deleted while it was being written");
    return fail(in, why->code == error && why->retriable ? -EAGAIN : error,
                why->code == error ? why->text : "partitions or journal could not be written");
}

/* -- topics -- */

/* No trying again will give such a topic: the task fails. */
static int topic_refused(struct ingest *in, const struct err *why)
{
    int r = journal_io_refuse_topic(in->stored->io, why->text);
    return fail(in, r, in->stored->io->failure.text);
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

int ingest_emit(void *arg, const struct change_record *record)
{
    struct ingest *in = arg;
    struct journal *j = in->stored->journal;
    struct record_header headers[HEADERS_MAX];
    struct journal_topic *t;

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
    if (record->headers_count > HEADERS_MAX) return fail(in, -E2BIG, "a record with too many headers");
    for (uint32_t i = 0; i < record->headers_count; i++)
        headers[i] = (struct record_header){.key = record->headers[i].name, .value = record->headers[i].value};
    struct journal_part *part = journal_part_of(p);
    if (p->skip == 0 && /* else the log has it */
        (r = journal_io_make_room(part, record->key, record->value, headers, (int32_t)record->headers_count)) < 0) {
        journal_break(j); /* the transactions before it in the unit are read again, each in a unit of its own */
        return append_failed(in, r);
    }
    if (!in->counted) in->counted_since_us = mono_us();
    in->counted = in->message_counted = true;
    if (!journal_next(j, p)) return 0;

    uint32_t before = batch_builder_size(&part->builder);
    batch_builder_append(&part->builder, record->timestamp_ms, record->key, record->value, headers,
                         (int32_t)record->headers_count);
    return batch_grew(in, p, batch_builder_size(&part->builder) - before);
}

/* Of the message at hand. */
static struct journal_position position_here(const struct ingest *in)
{
    struct journal_position p = {.whole_lsn = in->whole_lsn};
    if (in->in_transaction) p.part_lsn = in->begin.final_lsn, p.ordinal = in->ordinal;
    return p;
}

/* What is ingested. */
static struct journal_position position_now(const struct ingest *in)
{
    struct journal_position p = position_here(in);
    /* A stream that begins inside a transaction comes from before it: until it is there again the position must stay, or what
     * the logs have of that transaction would not be dropped. */
    return journal_position_compare(p, in->start) < 0 ? in->start : p;
}

static int unit_end(struct ingest *in)
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
    return in->counted || !in->in_transaction ? unit_end(in) : 0;
}

int ingest_idle(struct ingest *in)
{
    if (!in->counted) return 0;
    if (in->in_transaction && mono_us() - in->counted_since_us < UNIT_PART_US) return 0;
    return unit_end(in);
}

/* A topic is gone between units only: what of the unit stands in it is journalled as there, so that a replay does not count it
 * for its successor; what is not appended yet cannot be any more, so that the unit is read again, for the successor. */
static int topic_gone(struct ingest *in, struct journal_topic *t)
{
    int r = in->counted ? unit_end(in) : 0;

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

/* Was this change ingested before the stream began? */
static bool is_done(const struct ingest *in)
{
    if (!in->in_transaction) return false;
    if (in->begin.final_lsn < in->start.whole_lsn) return true;
    return in->begin.final_lsn == in->start.part_lsn && in->ordinal < in->start.ordinal;
}

/* A change that is done only counts in the numbers of its transaction. */
static int emit_nothing(void *arg, const struct change_record *record)
{
    return 0;
}
static change_emit_fn *emit_now(const struct ingest *in)
{
    return is_done(in) ? emit_nothing : ingest_emit;
}

/* -- relations -- */

static struct ingest_relation *relation_entry(struct ingest *in, uint32_t oid)
{
    struct ingest_relation *e;
    HASH_FIND(hh, in->relations, &oid, sizeof oid, e);
    return e;
}

static void relation_message(struct ingest *in, const struct pgoutput_relation *m, struct slice payload)
{
    struct ingest_relation *e = relation_entry(in, m->oid);

    if (!e) {
        e = xcalloc(1, sizeof *e);
        e->oid = m->oid;
        HASH_ADD(hh, in->relations, oid, sizeof e->oid, e);
    }
    AUTO_FREE char *schema = slice_strdup(m->schema.len ? m->schema : SLICE("pg_catalog"));
    AUTO_FREE char *name = slice_strdup(m->name);
    e->captured = connector_config_captures(in->env.config, schema, name);
    e->fresh = true;
    free(e->shape);
    e->shape = xmalloc(payload.len);
    e->shape_len = payload.len;
    memcpy(e->shape, payload.ptr, payload.len);
}

static int relation_from_catalog(struct ingest *in, struct ingest_relation *e, struct relation **ret_relation,
                                 struct pg_error *err)
{
    struct pgoutput_message m;
    struct pg_conn *c;
    struct err why;

    int r = pgoutput_decode(in->shape_decoder, slice_make(e->shape, e->shape_len), &m, &why);
    if (r < 0) return fail_err(in, r, why.text, err);
    r = in->env.catalog(in->env.arg, &c, err);
    if (r < 0) return r;
    struct relation_builder *b = relation_builder_new_stream(&m.relation);
    r = catalog_resolve(c, b, in->env.config, ret_relation, err);
    relation_builder_free(b);
    return r;
}

/* Finds the version for the row at `at`: the journalled one; from the catalog when there is none, or when the table was
 * described anew and nothing behind `at` was ever written. */
static int relation_resolve(struct ingest *in, struct ingest_relation *e, struct journal_position at,
                            struct pg_error *err)
{
    struct journal *j = in->stored->journal;
    struct slice shape = slice_make(e->shape, e->shape_len);
    struct journal_relation_record known;
    struct relation *relation = NULL;
    struct bytes encoded = {0};
    struct err why;
    int r = 0;

    bool again = is_done(in); /* only to be counted */
    bool found = journal_relation_find(j, e->oid, at, shape, &known, &e->until);
    bool described = e->fresh || e->postponed, live = journal_is_live(j, in->wal_end);
    if (found && !(described && live)) {
        if (relation_decode(known.resolved, in->env.config, &relation, &why) < 0)
            return fail_err(in, -EBADMSG, why.text, err);
    } else {
        r = relation_from_catalog(in, e, &relation, err);
        if (r < 0) return r;
        relation_encode(relation, &encoded);
        if (!again && (!found || !slice_eq(known.resolved, bytes_slice(&encoded)))) {
            FAILPOINT("relation");
            r = journal_relation_add(j,
                                     &(struct journal_relation_record){
                                         .oid = e->oid, .from = at, .shape = shape, .resolved = bytes_slice(&encoded)});
            FAILPOINT("relation-journalled");
            e->until = (struct journal_position){.whole_lsn = UINT64_MAX};
        }
        bytes_done(&encoded);
        if (r < 0) {
            relation_free(relation);
            return fail_err(in, -EIO, "a relation version could not be written to the journal", err);
        }
    }
    if (again) e->until = in->start;
    relation_free(e->relation);
    e->relation = relation;
    e->fresh = false;
    e->postponed = described && !live;
    return 0;
}

/* *ret_relation NULL: not captured. */
static int relation_get(struct ingest *in, uint32_t oid, struct journal_position at,
                        const struct relation **ret_relation, struct pg_error *err)
{
    struct ingest_relation *e = relation_entry(in, oid);

    *ret_relation = NULL;
    if (!e) return fail_err(in, -EPROTO, "a row of a table that the server did not describe", err);
    if (!e->captured) return 0;
    if (!e->relation || e->fresh || (e->postponed && journal_is_live(in->stored->journal, in->wal_end)) ||
        journal_position_compare(at, e->until) >= 0) {
        int r = relation_resolve(in, e, at, err);
        if (r < 0) return r;
    }
    *ret_relation = e->relation;
    return 0;
}

/* -- messages -- */

void ingest_begin(struct ingest *in, uint64_t wal_end)
{
    forget_relations(in);
    in->start = journal_position(in->stored->journal);
    in->wal_end = wal_end;
    in->whole_lsn = in->start.whole_lsn;
    in->in_transaction = in->counted = false;
    in->unit_bytes = 0;
    in->ordinal = 0;
    in->last_commit_lsn = 0;
    in->last = in->last_whole = (struct source_offset){0}; /* of the former stream: it may come again, or never */
}

static struct source_position source_position(const struct ingest *in, uint64_t lsn)
{
    struct source_position p = {.lsn = lsn,
                                .last_commit_lsn = in->last_commit_lsn,
                                .xid = -1,
                                .xmin = in->xmin,
                                .now_ns = clock_system.wall_us(&clock_system) * 1000};

    if (!in->in_transaction) {
        p.time_us = p.now_ns / 1000;
        return p;
    }
    p.xid = in->begin.xid;
    p.time_us = in->begin.commit_time_us;
    p.origin = in->origin;
    p.origin_lsn = in->origin_lsn;
    return p;
}

static void note_last(struct ingest *in, uint64_t lsn, const char *operation)
{
    in->last.events_processed = in->last.lsn == lsn ? in->last.events_processed + 1 : 1;
    in->last.lsn = lsn;
    in->last.commit_lsn = in->last_commit_lsn;
    in->last.xid = in->begin.xid;
    in->last.time_us = in->begin.commit_time_us;
    in->last.operation = operation;
}

static int encode_row(struct ingest *in, uint32_t oid, enum change_op op, const struct tuple *old_tuple,
                      const struct tuple *new_tuple, uint64_t lsn, struct pg_error *err)
{
    const struct relation *relation;
    struct source_position position = source_position(in, lsn);
    struct err why = ERR_NONE;

    int r = relation_get(in, oid, position_here(in), &relation, err);
    if (r < 0 || !relation) return r;
    in->error[0] = '\0';
    in->keyless = in->begin.final_lsn >> 3; /* the rows of a transaction stay together */
    r = change_encoder_row(in->env.encoder, relation, op, old_tuple, new_tuple, &position, emit_now(in), in, &why);
    return r < 0 ? fail_err(in, r, why.text[0] ? why.text : in->error, err) : 0;
}

static int ingest_change(struct ingest *in, const struct pgoutput_message *m, uint64_t lsn, struct pg_error *err)
{
    static const char *const names[] = {
        ['I'] = "INSERT", ['U'] = "UPDATE", ['D'] = "DELETE", ['T'] = "TRUNCATE", ['M'] = "MESSAGE"};
    const struct tuple *old_tuple =
        m->kind != PGOUTPUT_TRUNCATE && m->kind != PGOUTPUT_MESSAGE && m->row.old_kind ? &m->row.old_tuple : NULL;
    const struct relation *relation;
    struct err why = ERR_NONE;
    int r = 0;

    switch (m->kind) {
    case PGOUTPUT_INSERT:
        r = encode_row(in, m->row.relation_oid, CHANGE_CREATE, NULL, &m->row.new_tuple, lsn, err);
        break;
    case PGOUTPUT_UPDATE:
        r = encode_row(in, m->row.relation_oid, CHANGE_UPDATE, old_tuple, &m->row.new_tuple, lsn, err);
        break;
    case PGOUTPUT_DELETE: r = encode_row(in, m->row.relation_oid, CHANGE_DELETE, old_tuple, NULL, lsn, err); break;
    case PGOUTPUT_TRUNCATE:
        /* All tables are resolved before the first is counted: the database may fail between them. */
        for (uint32_t i = 0; i < m->truncate.relations_count && r == 0; i++)
            r = relation_get(in, m->truncate.relation_oids[i], position_here(in), &relation, err);
        for (uint32_t i = 0; i < m->truncate.relations_count && r == 0; i++)
            r = encode_row(in, m->truncate.relation_oids[i], CHANGE_TRUNCATE, NULL, NULL, lsn, err);
        break;
    default: {
        struct source_position position = source_position(in, lsn);
        in->error[0] = '\0';
        r = change_encoder_message(in->env.encoder, &m->logical, &position, emit_now(in), in, &why);
        if (r < 0) r = fail_err(in, r, why.text[0] ? why.text : in->error, err);
    }
    }
    if (r == 0 && !is_done(in)) note_last(in, lsn, names[m->kind]);
    return r;
}

/* Must what is done of this transaction be looked at, for the numbers of the rest? */
static bool is_counted_again(const struct ingest *in)
{
    return in->env.config->provide_transaction_metadata && in->begin.final_lsn == in->start.part_lsn;
}

/* Begin and end are changes of their own: the begin has ordinal 0. */
static int ingest_boundary(struct ingest *in,
                           int (*encode)(struct change_encoder *, const struct source_position *, change_emit_fn *,
                                         void *),
                           uint64_t lsn, struct pg_error *err)
{
    struct source_position position = source_position(in, lsn);

    if (is_done(in) && !is_counted_again(in)) return 0;
    in->error[0] = '\0';
    int r = encode(in->env.encoder, &position, emit_now(in), in);
    return r < 0 ? fail_err(in, r, in->error[0] ? in->error : "no memory for the record of a transaction", err) : 0;
}

/* A message outside of transactions is one of its own, at its own position. */
static int ingest_lone_message(struct ingest *in, const struct pgoutput_message *m, struct pg_error *err)
{
    if (m->logical.lsn < in->start.whole_lsn) return 0;
    int r = ingest_change(in, m, m->logical.lsn, err);
    if (r == 0) in->whole_lsn = MAX(in->whole_lsn, m->logical.lsn + 1);
    return r;
}

static int ingest_commit(struct ingest *in, const struct pgoutput_commit *c)
{
    in->in_transaction = false;
    in->last_commit_lsn = c->end_lsn; /* where the Commit message stands in the stream, which is what Debezium knows */
    in->whole_lsn = MAX(in->whole_lsn, c->end_lsn);
    in->origin = SLICE_NULL;
    /* When all of it was counted in parts already, its end alone shows it. */
    if (!in->counted) return journal_position(in->stored->journal).part_lsn == c->commit_lsn ? unit_end(in) : 0;
    if (!in->alone && in->unit_bytes < UNIT_BYTES && mono_us() - in->counted_since_us < UNIT_TIME_US) return 0;
    return unit_end(in);
}

static int ingest_decoded(struct ingest *in, struct slice payload, uint64_t wal_start, struct pg_error *err)
{
    struct pgoutput_message m;
    struct err why;
    int r = pgoutput_decode(in->decoder, payload, &m, &why);

    if (r < 0) return fail_err(in, r, why.text, err);
    if (m.kind == PGOUTPUT_MESSAGE && !m.logical.transactional) return ingest_lone_message(in, &m, err);
    if (pgoutput_is_change(m.kind)) {
        if (!is_done(in) || is_counted_again(in)) r = ingest_change(in, &m, wal_start, err);
        if (r < 0) return r;
        in->ordinal++;
        if (in->unit_bytes < UNIT_BYTES_MAX) return 0;
        r = unit_end(in);
        return r < 0 ? fail_err(in, r, in->error, err) : 0;
    }
    switch (m.kind) {
    case PGOUTPUT_BEGIN:
        in->in_transaction = true;
        in->begin = m.begin;
        in->ordinal = 0;
        r = ingest_boundary(in, change_encoder_begin, wal_start, err);
        if (r < 0) return r;
        in->ordinal++;
        break;
    case PGOUTPUT_COMMIT:
        r = ingest_boundary(in, change_encoder_commit, m.commit.end_lsn, err);
        if (r < 0) return r;
        r = ingest_commit(in, &m.commit);
        if (r < 0) return fail_err(in, r, in->error, err);
        break;
    case PGOUTPUT_RELATION: relation_message(in, &m.relation, payload); break;
    case PGOUTPUT_ORIGIN: {
        bytes_reset(&in->origin_name);
        bytes_append(&in->origin_name, m.origin.name.ptr, m.origin.name.len);
        if (in->origin_name.failed) return fail_err(in, -ENOMEM, "no memory for a replication origin's name", err);
        in->origin = slice_make(in->origin_name.ptr, in->origin_name.len);
        in->origin_lsn = m.origin.commit_lsn;
        break;
    }
    default: /* Type: the catalog tells more */ break;
    }
    return 0;
}

int ingest_message(struct ingest *in, struct slice payload, uint64_t wal_start, struct pg_error *err)
{
    in->message_counted = false;
    int r = ingest_decoded(in, payload, wal_start, err);
    if (r < 0 && in->message_counted) journal_break(in->stored->journal);
    return r;
}
