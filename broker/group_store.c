/* broker/group_store.c: see group_store.h. */
#include "broker/group_store.h"

#include "base/log.h"
#include "broker/group_records.h"
#include "broker/state.h"
#include "protocol/batch_builder.h"

/* Records of one change are split into batches of about this size: below the max.message.bytes that readers of the
 * topic expect. */
#define STORE_BATCH_BYTES_MAX  (512u << 10)
#define STORE_SCRATCH_BYTES    (256u << 10) /* memory that is kept between appends */
#define LOAD_STEP_BYTES        (1u << 20)   /* read in one go, before other work of the control thread */
#define LOAD_CONTENT_BYTES_MAX (256u << 20) /* of one compressed batch, unpacked */

enum part_state { PART_LOADING, PART_READY, PART_FAILED };

struct store {
    struct groups groups;
    struct group_host host;
    struct broker *broker;
    struct topic_watch watch;
    struct producer_ids producer_ids;
    ev_timer expire, load;
    bool creating; /* the log is being made */

    enum part_state *parts; /* of the log; NULL: there is no log yet */
    int32_t parts_count;
    struct partition_log **logs; /* of the parts, with references; NULL: offline */

    int32_t loading; /* the part that is read; parts_count: all were */
    struct broker_reader *reader;
    int64_t load_start_ms;
    struct bytes scratch;

    struct batch_builder builder;
    struct bytes batches, key, value;
};

static struct store *store_of(const struct broker *b)
{
    return container_of(b->groups, struct store, groups);
}

/* -- timers -- */

static void watcher_fired(struct ev_loop *loop, ev_timer *w, int events)
{
    struct group_timer *t = container_of(w, struct group_timer, watcher);
    t->running = false;
    t->fire(t);
}

static void store_timer_stop(struct group_host *h, struct group_timer *t)
{
    ev_timer_stop(container_of(h, struct store, host)->broker->control_loop, &t->watcher);
    t->running = false;
}

static void store_timer_start(struct group_host *h, struct group_timer *t, int64_t delay_ms)
{
    if (t->running) store_timer_stop(h, t);
    ev_timer_init(&t->watcher, watcher_fired, (double)delay_ms / 1000., 0.);
    ev_timer_start(container_of(h, struct store, host)->broker->control_loop, &t->watcher);
    t->running = true;
}

/* -- writing -- */

static struct partition_log *log_of(const struct store *s, const struct group *g)
{
    return s->parts ? s->logs[group_partition(group_id(g), s->parts_count)] : NULL;
}

/* Ends the batch in the builder and moves it behind the others. */
static bool batch_end(struct store *s, const struct batch_fields *fields)
{
    struct slice batch;
    if (!s->builder.records_count) return true;
    if (batch_builder_finish(&s->builder, fields, &batch) < 0) return false;
    bytes_append(&s->batches, batch.ptr, batch.len);
    batch_builder_reset(&s->builder);
    return !s->batches.failed;
}

static bool batches_build(struct store *s, struct group *g, const struct batch_fields *fields,
                          const struct group_change *changes, uint32_t count)
{
    int64_t now_ms = clock_wall_ms(s->host.clock);
    for (uint32_t i = 0; i < count; i++) {
        bool tombstone;
        bytes_reset(&s->key);
        bytes_reset(&s->value);
        if (!group_record_encode(g, &changes[i], &s->key, &s->value, &tombstone)) return false;
        if (batch_builder_size(&s->builder) + s->key.len + s->value.len > STORE_BATCH_BYTES_MAX &&
            !batch_end(s, fields))
            return false;
        batch_builder_append(&s->builder, now_ms, slice_make(s->key.ptr, s->key.len),
                             tombstone ? SLICE_NULL : slice_make(s->value.ptr, s->value.len), NULL, 0);
    }
    return batch_end(s, fields);
}

/* What a coordinator answers when its log does not take a record. */
static enum kafka_error coordinator_error(enum kafka_error error)
{
    switch (error) {
    case KAFKA_NONE: return KAFKA_NONE;
    case KAFKA_MESSAGE_TOO_LARGE:
    case KAFKA_RECORD_LIST_TOO_LARGE: return KAFKA_INVALID_COMMIT_OFFSET_SIZE;
    case KAFKA_INVALID_PRODUCER_EPOCH: return error;
    default: return KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
}

static enum kafka_error append_batches(struct group_host *h, struct group *g, const struct batch_fields *fields,
                                       const struct group_change *changes, uint32_t count)
{
    struct store *s = container_of(h, struct store, host);
    struct partition_log *log = log_of(s, g);
    if (!log) return KAFKA_COORDINATOR_NOT_AVAILABLE;
    enum kafka_error error = KAFKA_INVALID_COMMIT_OFFSET_SIZE;
    if (batches_build(s, g, fields, changes, count)) {
        struct log_append a = {.origin = APPEND_INTERNAL, .batches = s->batches.ptr, .size = s->batches.len};
        error = coordinator_error(partition_log_append(log, &a));
        if (error != KAFKA_NONE)
            log_warn("group", "append failed partition=%s group=%s error=%d", partition_log_name(log), g->id, error);
    }
    batch_builder_reset(&s->builder);
    bytes_reset(&s->batches);
    bytes_trim(&s->batches, STORE_SCRATCH_BYTES);
    return error;
}

static enum kafka_error store_append(struct group_host *h, struct group *g, const struct group_change *changes,
                                     uint32_t count)
{
    return append_batches(h, g, &BATCH_FIELDS_PLAIN, changes, count);
}

static enum kafka_error store_append_in_txn(struct group_host *h, struct group *g, int64_t producer_id, int16_t epoch,
                                            const struct group_change *changes, uint32_t count)
{
    struct batch_fields fields = BATCH_FIELDS_PLAIN;
    fields.producer_id = producer_id;
    fields.producer_epoch = epoch;
    fields.attributes = RECORD_BATCH_TRANSACTIONAL;
    return append_batches(h, g, &fields, changes, count);
}

struct durable_wait {
    struct broker *broker;
    void (*done)(void *arg, enum kafka_error error);
    void *arg;
    int error; /* 0 or -errno */
};

static void durable_on_control(void *arg)
{
    struct durable_wait *w = arg;
    w->done(w->arg, w->error ? KAFKA_COORDINATOR_NOT_AVAILABLE : KAFKA_NONE);
    free(w);
}

/* On a sync thread. */
static void durable_synced(void *arg, int error)
{
    struct durable_wait *w = arg;
    w->error = error;
    if (!broker_control_post(w->broker, durable_on_control, w)) free(w); /* closing: nobody waits for the answer */
}

static void store_when_durable(struct group_host *h, struct group *g, void (*done)(void *arg, enum kafka_error error),
                               void *arg)
{
    struct store *s = container_of(h, struct store, host);
    struct partition_log *log = log_of(s, g);
    const struct metadata *m = broker_metadata(s->broker);
    const struct metadata_topic *t = metadata_topic(m, SLICE(TOPIC_OFFSETS));
    bool strict = t && t->log_config.strict;
    metadata_unref(m);
    struct log_marks marks = log ? partition_log_marks(log) : (struct log_marks){0};
    if (!log || !strict || marks.durable_end >= marks.log_end) {
        done(arg, KAFKA_NONE);
        return;
    }
    struct durable_wait *w = xcalloc(1, sizeof *w);
    *w = (struct durable_wait){.broker = s->broker, .done = done, .arg = arg};
    partition_log_sync_async(log, marks.log_end, durable_synced, w);
}

/* -- reading -- */

static bool apply_marker(struct store *s, const struct record_batch *batch, struct slice key)
{
    if (key.len < 4) return false;
    bool commit = be16_load(key.ptr + 2) == 1; /* int16 version, int16 type: 0 abort, 1 commit */
    groups_apply_marker(&s->groups, s->loading, s->parts_count, batch->producer_id, commit);
    return true;
}

static bool apply_batch(struct store *s, const struct record_batch *batch)
{
    struct record_reader r;
    struct record record;
    int result = record_reader_open(&r, batch, LOAD_CONTENT_BYTES_MAX, &s->scratch);
    while (result >= 0 && (result = record_reader_next(&r, &record)) > 0) {
        if (record_batch_is_control(batch)) {
            if (!apply_marker(s, batch, record.key)) return false;
            continue;
        }
        if (!record.key.ptr) continue; /* none of ours */
        int64_t producer_id = record_batch_is_transactional(batch) ? batch->producer_id : -1;
        if (!group_record_apply(&s->groups, record.key, record.value, producer_id))
            log_warn("group", "record not understood, skipped partition=" TOPIC_OFFSETS "-%d offset=%lld", s->loading,
                     (long long)record.offset);
    }
    return result == 0;
}

/* False: the partition cannot be read. *ret_more: not at its end yet. */
static bool load_piece(struct store *s, bool *ret_more)
{
    struct partition_log *log = s->logs[s->loading];
    *ret_more = false;
    if (!log) return false;
    if (!s->reader) {
        struct log_marks marks = partition_log_marks(log);
        if (marks.log_start == marks.log_end) return true;
        s->reader = broker_reader_new(s->broker, log, marks.log_start, READ_LOG_END);
    }
    struct slice rest;
    if (broker_reader_next(s->reader, LOAD_STEP_BYTES, 0, &rest) != KAFKA_NONE) return false;
    *ret_more = rest.len > 0;
    struct record_batch batch;
    enum record_batch_result result;
    while ((result = record_batch_next(&rest, &batch)) == RECORD_BATCH_OK)
        if (!apply_batch(s, &batch)) return false;
    return result == RECORD_BATCH_END;
}

static void part_loaded(struct store *s, bool ok)
{
    s->parts[s->loading] = ok ? PART_READY : PART_FAILED;
    if (!ok)
        log_error("group", "offsets cannot be read, groups are not served partition=" TOPIC_OFFSETS "-%d", s->loading);
    groups_restored(&s->groups, s->loading, s->parts_count, ok);
    broker_reader_free(s->reader);
    s->reader = NULL;
    s->loading++;
}

/* Reads a piece, then lets other work of the control thread pass. Empty partitions cost nothing. */
static void load_step(struct ev_loop *loop, ev_timer *w, int events)
{
    struct store *s = container_of(w, struct store, load);
    while (s->loading < s->parts_count) {
        bool more;
        bool ok = load_piece(s, &more);
        if (ok && more) {
            ev_timer_set(w, 0., 0.);
            ev_timer_start(loop, w);
            return;
        }
        part_loaded(s, ok);
    }
    bytes_done(&s->scratch);
    log_info("group", "groups restored groups=%u ms=%lld", HASH_COUNT(s->groups.by_id),
             (long long)(clock_mono_ms(s->host.clock) - s->load_start_ms));
}

/* -- life -- */

/* The log exists: takes its partitions. */
static void store_attach(struct store *s, const struct metadata_topic *t, enum part_state state)
{
    s->parts_count = t->partitions_count;
    s->parts = xcalloc((size_t)s->parts_count, sizeof s->parts[0]);
    s->logs = xcalloc((size_t)s->parts_count, sizeof s->logs[0]);
    for (int32_t i = 0; i < s->parts_count; i++) {
        s->parts[i] = state;
        s->logs[i] = t->partitions[i].log ? partition_log_ref(t->partitions[i].log) : NULL;
    }
}

static void expire_fired(struct ev_loop *loop, ev_timer *w, int events)
{
    struct store *s = container_of(w, struct store, expire);
    if (s->parts && s->loading == s->parts_count) groups_expire(&s->groups);
}

/* The log is gone: so are its groups. The next question for a coordinator makes a new one. */
static void store_detach(struct store *s)
{
    ev_timer_stop(s->broker->control_loop, &s->load);
    groups_done(&s->groups);
    broker_reader_free(s->reader);
    s->reader = NULL;
    for (int32_t i = 0; i < s->parts_count; i++) partition_log_unref(s->logs[i]);
    free(s->logs);
    free(s->parts);
    s->logs = NULL;
    s->parts = NULL;
    s->parts_count = s->loading = 0;
}

static void topic_changed(struct topic_watch *w, enum topic_event event, const struct metadata_topic *topic)
{
    struct store *s = container_of(w, struct store, watch);
    if (event != TOPIC_DELETED) return;
    if (strcmp(topic->name, TOPIC_OFFSETS) == 0) store_detach(s);
    else groups_topic_deleted(&s->groups, slice_of(topic->name));
}

static void config_refresh(struct store *s, const struct broker_config *c)
{
    s->groups.config = (struct group_config){
        .session_timeout_min_ms = (int32_t)c->group_min_session_timeout_ms,
        .session_timeout_max_ms = (int32_t)c->group_max_session_timeout_ms,
        .initial_rebalance_delay_ms = (int32_t)c->group_initial_rebalance_delay_ms,
        .size_max = (int32_t)c->group_max_size,
        .offsets_retention_ms = c->offsets_retention_minutes * 60000,
    };
}

void groups_open(struct broker *b)
{
    struct store *s = xcalloc(1, sizeof *s);
    s->broker = b;
    s->host = (struct group_host){.clock = b->clock,
                                  .timer_start = store_timer_start,
                                  .timer_stop = store_timer_stop,
                                  .append = store_append,
                                  .append_in_txn = store_append_in_txn,
                                  .when_durable = store_when_durable};
    groups_init(&s->groups, &s->host);
    producer_ids_init(&s->producer_ids, b);
    batch_builder_init(&s->builder);
    b->groups = &s->groups;
    s->watch.changed = topic_changed;
    broker_watch_topics(b, &s->watch);

    const struct metadata *m = broker_metadata(b);
    config_refresh(s, m->config);
    double interval_s = (double)m->config->offsets_retention_check_interval_ms / 1000.;
    ev_timer_init(&s->expire, expire_fired, interval_s, interval_s);
    ev_timer_start(b->control_loop, &s->expire);
    ev_timer_init(&s->load, load_step, 0., 0.);
    const struct metadata_topic *t = metadata_topic(m, SLICE(TOPIC_OFFSETS));
    if (t) {
        s->load_start_ms = clock_mono_ms(b->clock);
        store_attach(s, t, PART_LOADING);
        ev_timer_start(b->control_loop, &s->load);
    }
    metadata_unref(m);
}

void groups_stop(struct broker *b)
{
    store_detach(store_of(b));
}

void groups_close(struct broker *b)
{
    struct store *s = store_of(b);
    b->groups = NULL;
    broker_unwatch_topics(&s->watch);
    ev_timer_stop(b->control_loop, &s->expire);
    store_detach(s);
    producer_ids_done(&s->producer_ids);
    batch_builder_done(&s->builder);
    bytes_done(&s->batches);
    bytes_done(&s->key);
    bytes_done(&s->value);
    bytes_done(&s->scratch);
    free(s);
}

struct groups *groups_for(struct request *rq, struct slice id, enum acl_operation operation,
                          enum kafka_error *ret_error)
{
    struct store *s = store_of(rq->broker);
    *ret_error = KAFKA_NONE;
    if (!request_authorize(rq, operation, RESOURCE_GROUP, id)) *ret_error = KAFKA_GROUP_AUTHORIZATION_FAILED;
    else if (!s->parts) *ret_error = KAFKA_NOT_COORDINATOR;
    else if (s->parts[group_partition(id, s->parts_count)] == PART_LOADING)
        *ret_error = KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
    else if (s->parts[group_partition(id, s->parts_count)] == PART_FAILED) *ret_error = KAFKA_COORDINATOR_NOT_AVAILABLE;
    if (*ret_error != KAFKA_NONE) return NULL;
    config_refresh(s, request_metadata(rq)->config);
    return &s->groups;
}

struct groups *groups_for_all(struct request *rq, enum kafka_error *ret_error)
{
    struct store *s = store_of(rq->broker);
    *ret_error = s->loading < s->parts_count ? KAFKA_COORDINATOR_LOAD_IN_PROGRESS : KAFKA_NONE;
    return *ret_error == KAFKA_NONE ? &s->groups : NULL;
}

struct producer_ids *groups_producer_ids(struct broker *b)
{
    return &store_of(b)->producer_ids;
}

bool groups_partition_of(struct broker *b, struct slice id, int32_t *ret_partition)
{
    struct store *s = store_of(b);
    if (!s->parts) return false;
    *ret_partition = group_partition(id, s->parts_count);
    return true;
}

void groups_transaction_end(struct broker *b, int32_t partition, int64_t producer_id, bool commit)
{
    struct store *s = store_of(b);
    /* What is still being read comes to the marker by itself. */
    if (s->parts && partition < s->parts_count && s->parts[partition] == PART_READY)
        groups_apply_marker(&s->groups, partition, s->parts_count, producer_id, commit);
}

/* -- making the log -- */

struct ensure {
    struct store *store;
    void (*done)(void *arg, enum kafka_error error);
    void *arg;
};

static void log_created(void *arg, enum kafka_error error)
{
    struct ensure *e = arg;
    struct store *s = e->store;
    s->creating = false;
    if (error == KAFKA_NONE && !s->parts) {
        const struct metadata *m = broker_metadata(s->broker);
        const struct metadata_topic *t = metadata_topic(m, SLICE(TOPIC_OFFSETS));
        if (t) {
            store_attach(s, t, PART_READY);
            s->loading = s->parts_count;
        }
        metadata_unref(m);
    }
    e->done(e->arg, s->parts ? KAFKA_NONE : KAFKA_COORDINATOR_NOT_AVAILABLE);
    free(e);
}

void groups_log_ensure(struct broker *b, void (*done)(void *arg, enum kafka_error error), void *arg)
{
    struct store *s = store_of(b);
    if (s->parts || s->creating) {
        done(arg, s->parts ? KAFKA_NONE : KAFKA_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    struct ensure *e = xcalloc(1, sizeof *e);
    *e = (struct ensure){.store = s, .done = done, .arg = arg};
    s->creating = true;

    const struct metadata *m = broker_metadata(b);
    AUTO_FREE char *segment_bytes = xasprintf("%lld", (long long)m->config->offsets_topic_segment_bytes);
    int32_t partitions_count = (int32_t)m->config->offsets_topic_num_partitions;
    metadata_unref(m);
    struct config_entry config[] = {
        {"cleanup.policy", "compact"}, {"compression.type", "producer"}, {"segment.bytes", segment_bytes}};
    struct topic_spec spec = {.name = SLICE(TOPIC_OFFSETS),
                              .partitions_count = partitions_count,
                              .replication_factor = -1,
                              .config = config,
                              .config_count = countof(config)};
    struct err err = ERR_NONE;
    struct metadata_change *c = metadata_change_begin(b);
    enum kafka_error error = metadata_change_create_topic(c, &spec, false, NULL, &err);
    if (error == KAFKA_NONE) {
        metadata_change_commit(c, log_created, e);
        return;
    }
    metadata_change_abort(c);
    log_error("group", "cannot create " TOPIC_OFFSETS ": %s", err.text);
    log_created(e, error);
}
