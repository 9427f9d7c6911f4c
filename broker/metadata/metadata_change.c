/* broker/metadata/metadata_change.c: the life of a change of the metadata: begun, appended as one batch, published
 * when durable. What it can do: metadata_operations.c.
 *
 *   begin -> create/grow/delete/set (state = "building") -> commit -> appended -> synced -> published, done()
 *                                                        \-> abort
 * Changes may overlap from append on: `head` is the newest appended snapshot and the base of the next change; they are
 * published in order. When a sync fails, all that are not published fail, and the log refuses more until a restart.
 * Threads: control thread; the sync thread only posts mail. */
#include "broker/metadata/metadata_change.h"

#include "base/log.h"
#include "broker/limits.h"
#include "broker/metadata/metadata_edit.h"
#include "broker/access/quota.h"
#include "storage/log_dir.h"

#include <inttypes.h>

struct metadata_change *metadata_change_begin(struct broker *b)
{
    struct metadata_change *c = xcalloc(1, sizeof *c);

    assert(!b->changing);
    b->changing = true;
    c->broker = b;
    c->next = metadata_copy(b->metadata_head);
    batch_builder_init(&c->records);
    STAILQ_INIT(&c->notes);
    return c;
}

const struct metadata *metadata_change_view(const struct metadata_change *c)
{
    return c->next;
}

void metadata_change_note(struct metadata_change *c, enum topic_event event, const struct metadata_topic *t)
{
    struct topic_note *n = xcalloc(1, sizeof *n);
    n->event = event;
    n->topic = metadata_topic_ref(t);
    STAILQ_INSERT_TAIL(&c->notes, n, link);
}

struct metadata *metadata_change_next(struct metadata_change *c)
{
    return c->next;
}

void metadata_change_record(struct metadata_change *c, int16_t type, const void *message)
{
    metadata_log_record(&c->records, clock_wall_ms(c->broker->clock), (enum metadata_record_type)type, message);
}

int32_t metadata_change_room(const struct metadata_change *c)
{
    if (batch_builder_size(&c->records) > METADATA_BATCH_BYTES_MAX - METADATA_RECORD_BYTES_MAX) return 0;
    return MAX(METADATA_CHANGE_RECORDS_MAX - c->records.records_count, 0);
}

void metadata_change_delete_opened(struct metadata_change *c, uint32_t first)
{
    while (c->opened_count > first) {
        struct partition_log *log = c->opened[--c->opened_count];
        int r = log_dir_delete_log(c->broker->dir, log);
        if (r < 0)
            log_warn("metadata", "log of an abandoned partition is left partition=%s error=%s", partition_log_name(log),
                     strerror(-r));
        partition_log_unref(log);
    }
}

/* -- the end of a change -- */

static void change_free(struct metadata_change *c)
{
    struct topic_note *n;

    while ((n = STAILQ_FIRST(&c->notes))) {
        STAILQ_REMOVE_HEAD(&c->notes, link);
        metadata_topic_unref(n->topic);
        free(n);
    }
    for (uint32_t i = 0; i < c->opened_count; i++) partition_log_unref(c->opened[i]);
    free(c->opened);
    batch_builder_done(&c->records);
    metadata_unref(c->next);
    free(c);
}

static void change_end(struct metadata_change *c, enum kafka_error error)
{
    if (c->done) c->done(c->arg, error);
    change_free(c);
}

static void change_fail(struct metadata_change *c, enum kafka_error error)
{
    metadata_change_delete_opened(c, 0);
    change_end(c, error);
}

/* Logs obey a changed config; those of topics whose own config did not change may inherit from the broker's. */
static void configure_logs(const struct metadata_topic *t)
{
    for (int32_t i = 0; i < t->partitions_count; i++)
        if (t->partitions[i].log) partition_log_configure(t->partitions[i].log, &t->log_config);
}

static void tell(struct broker *b, const struct topic_note *n)
{
    struct topic_watch *w, *next;

    for (w = LIST_FIRST(&b->watches); w; w = next) {
        next = LIST_NEXT(w, link);
        w->changed(w, n->event, n->topic);
    }
}

static void delete_logs(struct broker *b, const struct metadata_topic *t)
{
    for (int32_t i = 0; i < t->partitions_count; i++) {
        struct partition_log *log = t->partitions[i].log;
        int r = log ? log_dir_delete_log(b->dir, log) : 0;
        if (r < 0)
            log_error("metadata", "log of a deleted topic is left partition=%s error=%s", partition_log_name(log),
                      strerror(-r));
    }
}

static void publish(struct broker *b, const struct metadata *m)
{
    pthread_mutex_lock(&b->metadata_lock);
    const struct metadata *before = b->metadata;
    b->metadata = metadata_ref(m);
    pthread_mutex_unlock(&b->metadata_lock);
    quotas_publish(b->quotas, m->quotas);
    metadata_unref(before);
}

static void change_publish(struct metadata_change *c)
{
    struct broker *b = c->broker;
    struct topic_note *n;

    publish(b, c->next);
    if (c->broker_config_changed) {
        broker_configure_log_dir(c->next->config, b->dir);
        for (int32_t i = 0; i < c->next->topics_count; i++) configure_logs(c->next->topics[i]);
    }
    STAILQ_FOREACH(n, &c->notes, link) {
        log_info("metadata", "topic %s name=%s partitions=%d",
                 (const char *[]){"created", "grown", "configured", "deleted"}[n->event], n->topic->name,
                 n->topic->partitions_count);
        if (n->event == TOPIC_CONFIGURED) configure_logs(n->topic);
        tell(b, n);
        if (n->event == TOPIC_DELETED) delete_logs(b, n->topic);
    }
    metadata_log_published(b->metadata_log, b->metadata);
    change_end(c, KAFKA_NONE);
}

static void revert_head(struct broker *b)
{
    metadata_unref(b->metadata_head);
    b->metadata_head = metadata_ref(b->metadata);
}

/* Publishes what is durable, in order. */
static void drain(struct broker *b)
{
    struct metadata_change *c;

    while ((c = STAILQ_FIRST(&b->changes)) && c->synced) {
        STAILQ_REMOVE_HEAD(&b->changes, link);
        if (c->sync_error && !b->metadata_failed) {
            log_error("metadata", "the metadata log cannot be synced: changes are refused until a restart error=%s",
                      strerror(-c->sync_error));
            b->metadata_failed = true;
            revert_head(b);
        }
        /* What was queued behind one that failed was made of it. */
        if (b->metadata_failed) change_fail(c, KAFKA_STORAGE_ERROR);
        else if (c->empty) change_end(c, KAFKA_NONE);
        else change_publish(c);
    }
}

static void take_synced(void *arg)
{
    struct metadata_change *c = arg;
    c->synced = true;
    drain(c->broker);
}

static void synced(void *arg, int error) /* sync thread */
{
    struct metadata_change *c = arg;
    c->sync_error = error;
    mailbox_post(&c->broker->control, take_synced, c);
}

/* A changed broker config changes what topics inherit: they are copied with it resolved. */
static void resolve_topics(struct metadata_change *c)
{
    metadata_apply_broker_config(c->next, c->broker->config);
    for (int32_t i = 0; i < c->next->topics_count; i++) {
        struct metadata_topic *t = metadata_topic_copy(c->next->topics[i]);
        metadata_topic_resolve(t, c->next->config);
        metadata_put_topic(c->next, t);
    }
}

void metadata_change_commit(struct metadata_change *c, void (*done)(void *arg, enum kafka_error error), void *arg)
{
    struct broker *b = c->broker;
    int64_t end = c->next->version;

    b->changing = false;
    c->done = done;
    c->arg = arg;
    if (c->records.records_count == 0 && STAILQ_EMPTY(&b->changes)) {
        change_end(c, KAFKA_NONE);
        return;
    }
    if (c->records.records_count == 0) { /* what it was asked about waits for the disk: it ends in its turn */
        c->synced = c->empty = true;
        STAILQ_INSERT_TAIL(&b->changes, c, link);
        return;
    }
    if (c->broker_config_changed) resolve_topics(c);
    enum kafka_error error =
        b->metadata_failed ? KAFKA_STORAGE_ERROR : metadata_log_append(b->metadata_log, &c->records, &end);
    if (error != KAFKA_NONE) {
        log_error("metadata", "a change cannot be written error=%s", kafka_error_name(error));
        change_fail(c, KAFKA_STORAGE_ERROR);
        return;
    }
    c->next->version = end;
    metadata_unref(b->metadata_head);
    b->metadata_head = metadata_ref(c->next);
    STAILQ_INSERT_TAIL(&b->changes, c, link);
    metadata_log_sync(b->metadata_log, end, synced, c);
}

void metadata_change_abort(struct metadata_change *c)
{
    c->broker->changing = false;
    metadata_change_delete_opened(c, 0);
    change_free(c);
}
