/* broker/txn_store.c: see txn_store.h. */
#include "broker/txn_store.h"

#include "base/log.h"
#include "broker/group_store.h"
#include "broker/state.h"
#include "protocol/batch_builder.h"
#include "protocol/messages.h"

#define RECORD_TYPE_TXN 0
#define VALUE_VERSION   1
#define MARKER_VERSION  0
#define MARKER_ABORT    0
#define MARKER_COMMIT   1

#define LOAD_STEP_BYTES        (1u << 20)  /* read in one go, before other work of the control thread */
#define LOAD_CONTENT_BYTES_MAX (64u << 20) /* of one compressed batch, unpacked */
#define VALUE_ARENA_BYTES_MAX  (16 << 20)  /* for the partitions of one transaction */

enum part_state { PART_LOADING, PART_READY, PART_FAILED };

struct sync_wait;
struct id_call;

struct store {
    struct txns txns;
    struct txn_host host;
    struct broker *broker;
    struct topic_watch watch;
    ev_timer sweep, expire, load;
    bool creating;                 /* the log is being made */
    LIST_HEAD(, sync_wait) waits;  /* for the disk */
    LIST_HEAD(, id_call) id_calls; /* for a producer id */

    enum part_state *parts; /* of the log; NULL: there is no log yet */
    int32_t parts_count;
    struct partition_log **logs; /* of the parts, with references; NULL: offline */

    int32_t loading; /* the part that is read; parts_count: all were */
    struct broker_reader *reader;
    int64_t load_start_ms;
    struct bytes scratch;

    struct batch_builder builder;
    struct bytes key, value;
};

static struct store *store_of(const struct broker *b)
{
    return container_of(b->txns, struct store, txns);
}

static int32_t part_of(const struct store *s, struct slice id)
{
    return group_partition(id, s->parts_count);
}

static struct partition_log *log_of(const struct store *s, const struct txn *t)
{
    return s->parts ? s->logs[part_of(s, txn_id(t))] : NULL;
}

/* -- records -- */

/* Moves what was written to the end of to. */
static bool take(struct wire_writer *w, struct buf *b, struct bytes *to)
{
    bool ok = wire_writer_done(w);
    struct iovec iov[64];
    while (ok && b->size) {
        int count = buf_iovec(b, iov, (int)countof(iov));
        size_t size = 0;
        for (int i = 0; i < count; i++) {
            bytes_append(to, iov[i].iov_base, iov[i].iov_len);
            size += iov[i].iov_len;
        }
        buf_consume(b, size);
    }
    buf_done(b);
    return ok && !to->failed;
}

static bool encode_key(const struct txn *t, struct bytes *key)
{
    struct buf b;
    struct wire_writer w;
    buf_init(&b);
    wire_writer_init(&w, &b);
    wire_put_int16(&w, RECORD_TYPE_TXN);
    transaction_log_key_encode(&w, 0, &(struct transaction_log_key){.transactional_id = txn_id(t)});
    return take(&w, &b, key);
}

static bool encode_value(const struct txn *t, const struct txn_data *data, struct bytes *value)
{
    struct transaction_log_value m;
    struct buf b;
    struct wire_writer w;
    size_t count = 0;
    for (const struct txn_topic *o = t->topics; o; o = o->next) count++;
    AUTO_FREE struct transaction_log_value_partitions_schema *topics = xcalloc(count + 1, sizeof *topics);
    transaction_log_value_init(&m);
    m.producer_id = data->producer_id;
    m.previous_producer_id = data->previous_producer_id;
    m.next_producer_id = data->next_producer_id;
    m.producer_epoch = data->epoch;
    m.transaction_timeout_ms = data->timeout_ms;
    m.transaction_status = (int8_t)data->state;
    m.transaction_last_update_timestamp_ms = data->update_ms;
    m.transaction_start_timestamp_ms = data->start_ms;
    m.client_transaction_version = data->client_version;
    m.transaction_partitions = topics;
    for (const struct txn_topic *o = t->topics; o; o = o->next)
        if (o->count)
            topics[m.transaction_partitions_count++] =
                (struct transaction_log_value_partitions_schema){.topic = slice_make(o->name, o->name_len),
                                                                 .partition_ids = o->partitions,
                                                                 .partition_ids_count = o->count};
    if (data->state == TXN_EMPTY) m.transaction_partitions = NULL, m.transaction_partitions_count = -1;
    buf_init(&b);
    wire_writer_init(&w, &b);
    wire_put_int16(&w, VALUE_VERSION);
    transaction_log_value_encode(&w, VALUE_VERSION, &m);
    return take(&w, &b, value);
}

static enum kafka_error append_bytes(struct store *s, struct partition_log *log, const struct batch_fields *fields)
{
    struct slice batch;
    enum kafka_error error = KAFKA_UNKNOWN_SERVER_ERROR; /* no memory */
    if (batch_builder_finish(&s->builder, fields, &batch) == 0) {
        struct log_append a = {
            .origin = APPEND_INTERNAL, .batches = (uint8_t *)(uintptr_t)batch.ptr, .size = batch.len};
        error = partition_log_append(log, &a);
    }
    batch_builder_reset(&s->builder);
    return error;
}

static enum kafka_error store_append(struct txn_host *h, const struct txn *t, const struct txn_data *data)
{
    struct store *s = container_of(h, struct store, host);
    struct partition_log *log = log_of(s, t);
    if (!log) return KAFKA_COORDINATOR_NOT_AVAILABLE;
    bytes_reset(&s->key);
    bytes_reset(&s->value);
    bool ok = encode_key(t, &s->key) && (!data || encode_value(t, data, &s->value));
    enum kafka_error error = KAFKA_UNKNOWN_SERVER_ERROR;
    if (ok) {
        batch_builder_append(&s->builder, clock_wall_ms(h->clock), slice_make(s->key.ptr, s->key.len),
                             data ? slice_make(s->value.ptr, s->value.len) : SLICE_NULL, NULL, 0);
        error = append_bytes(s, log, &BATCH_FIELDS_PLAIN);
    }
    if (error == KAFKA_NONE) return KAFKA_NONE;
    log_warn("transaction", "append failed partition=%s id=%s error=%s", partition_log_name(log), t->id,
             kafka_error_name(error));
    return KAFKA_COORDINATOR_NOT_AVAILABLE;
}

/* -- markers -- */

static enum kafka_error marker_append(struct store *s, struct partition_log *log, const struct txn_marker *marker,
                                      int32_t coordinator_epoch)
{
    uint8_t key[4], value[6];
    be16_store(key, MARKER_VERSION);
    be16_store(key + 2, marker->commit ? MARKER_COMMIT : MARKER_ABORT);
    be16_store(value, MARKER_VERSION);
    be32_store(value + 2, (uint32_t)coordinator_epoch);
    batch_builder_append(&s->builder, clock_wall_ms(s->host.clock), slice_make(key, sizeof key),
                         slice_make(value, sizeof value), NULL, 0);
    struct batch_fields fields = BATCH_FIELDS_PLAIN;
    fields.producer_id = marker->producer_id;
    fields.producer_epoch = marker->epoch;
    fields.attributes = RECORD_BATCH_TRANSACTIONAL | RECORD_BATCH_CONTROL;
    return append_bytes(s, log, &fields);
}

enum kafka_error txn_marker_write(struct broker *b, const struct txn_marker *marker, int32_t coordinator_epoch,
                                  struct slice topic, int32_t partition)
{
    const struct metadata *m = broker_metadata(b);
    const struct metadata_topic *t = metadata_topic(m, topic);
    enum kafka_error error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (t && partition >= 0 && partition < t->partitions_count) {
        struct partition_log *log = t->partitions[partition].log;
        error = log ? marker_append(store_of(b), log, marker, coordinator_epoch) : KAFKA_STORAGE_ERROR;
        if (error == KAFKA_NONE && slice_eq_text(topic, TOPIC_OFFSETS))
            groups_transaction_end(b, partition, marker->producer_id, marker->commit);
    }
    metadata_unref(m);
    return error;
}

static enum kafka_error store_mark(struct txn_host *h, const struct txn *t, const struct txn_marker *marker,
                                   struct slice topic, int32_t partition)
{
    struct store *s = container_of(h, struct store, host);
    struct partition_log *own = log_of(s, t);
    int32_t coordinator_epoch = own ? partition_log_marks(own).leader_epoch : 0;
    enum kafka_error error = txn_marker_write(s->broker, marker, coordinator_epoch, topic, partition);
    switch (error) {
    case KAFKA_NONE:
    case KAFKA_UNKNOWN_TOPIC_OR_PARTITION: /* deleted, */
    case KAFKA_NOT_LEADER_OR_FOLLOWER: /* or just now */ return KAFKA_NONE;
    case KAFKA_INVALID_PRODUCER_EPOCH:
    case KAFKA_TRANSACTION_COORDINATOR_FENCED: /* somebody has ended it there */
        log_warn("transaction", "marker is out of date id=%s partition=%.*s-%d error=%s", t->id, (int)topic.len,
                 (const char *)topic.ptr, partition, kafka_error_name(error));
        return KAFKA_NONE;
    default: return error;
    }
}

/* -- waiting for the disk -- */

struct sync_wait {
    LIST_ENTRY(sync_wait) link; /* of the store; on the control thread */
    struct broker *broker;
    struct txn *txn; /* NULL: the store is gone */
    void (*done)(struct txn *t, enum kafka_error error);
    atomic_int left; /* syncs, and one for the caller */
    atomic_bool failed;
};

static void sync_on_control(void *arg)
{
    struct sync_wait *w = arg;
    struct txn *t = w->txn;
    if (t) {
        LIST_REMOVE(w, link);
        w->done(t, atomic_load(&w->failed) ? KAFKA_COORDINATOR_NOT_AVAILABLE : KAFKA_NONE);
    }
    free(w);
}

/* On a sync thread, or the control thread for its own step. */
static void sync_done(void *arg, int error)
{
    struct sync_wait *w = arg;
    if (error) atomic_store(&w->failed, true);
    if (atomic_fetch_sub(&w->left, 1) > 1) return;
    if (!broker_control_post(w->broker, sync_on_control, w)) free(w); /* closed: the store has let go of it */
}

static struct sync_wait *sync_wait_new(struct store *s, struct txn *t,
                                       void (*done)(struct txn *t, enum kafka_error error))
{
    struct sync_wait *w = xcalloc(1, sizeof *w);
    *w = (struct sync_wait){.broker = s->broker, .txn = t, .done = done};
    atomic_init(&w->left, 1);
    atomic_init(&w->failed, false);
    LIST_INSERT_HEAD(&s->waits, w, link);
    return w;
}

static bool must_sync(const struct metadata_topic *t, struct partition_log *log)
{
    if (!t || !log || !t->log_config.strict) return false;
    struct log_marks marks = partition_log_marks(log);
    return marks.durable_end < marks.log_end;
}

/* Adds the sync of log to *w, which is made when it is the first. */
static void await(struct store *s, struct sync_wait **w, struct txn *t,
                  void (*done)(struct txn *t, enum kafka_error error), struct partition_log *log)
{
    if (!*w) *w = sync_wait_new(s, t, done);
    atomic_fetch_add(&(*w)->left, 1);
    partition_log_sync_async(log, partition_log_marks(log).log_end, sync_done, *w);
}

static void store_when_durable(struct txn_host *h, struct txn *t, void (*done)(struct txn *t, enum kafka_error error))
{
    struct store *s = container_of(h, struct store, host);
    struct sync_wait *w = NULL;
    struct partition_log *log = log_of(s, t);
    const struct metadata *m = broker_metadata(s->broker);
    if (must_sync(metadata_topic(m, SLICE(TOPIC_TRANSACTIONS)), log)) await(s, &w, t, done, log);
    metadata_unref(m);
    if (w) sync_done(w, 0);
    else done(t, KAFKA_NONE);
}

static void store_when_marked(struct txn_host *h, struct txn *t, void (*done)(struct txn *t, enum kafka_error error))
{
    struct store *s = container_of(h, struct store, host);
    struct sync_wait *w = NULL;
    const struct metadata *m = broker_metadata(s->broker);
    for (const struct txn_topic *o = t->topics; o; o = o->next) {
        const struct metadata_topic *topic = metadata_topic(m, slice_make(o->name, o->name_len));
        for (int32_t i = 0; topic && i < o->count; i++) {
            int32_t p = o->partitions[i];
            struct partition_log *log = p < topic->partitions_count ? topic->partitions[p].log : NULL;
            if (must_sync(topic, log)) await(s, &w, t, done, log);
        }
    }
    metadata_unref(m);
    if (w) sync_done(w, 0);
    else done(t, KAFKA_NONE);
}

/* -- producer ids -- */

struct id_call {
    LIST_ENTRY(id_call) link; /* of the store */
    struct producer_id_call call;
    struct txn *txn; /* NULL: the store is gone */
    void (*done)(struct txn *t, enum kafka_error error, int64_t producer_id);
};

static void id_taken(struct producer_id_call *call, enum kafka_error error, int64_t producer_id)
{
    struct id_call *c = container_of(call, struct id_call, call);
    if (c->txn) {
        LIST_REMOVE(c, link);
        c->done(c->txn, error, producer_id);
    }
    free(c);
}

static void store_take_producer_id(struct txn_host *h, struct txn *t,
                                   void (*done)(struct txn *t, enum kafka_error error, int64_t producer_id))
{
    struct id_call *c = xcalloc(1, sizeof *c);
    *c = (struct id_call){.call.answer = id_taken, .txn = t, .done = done};
    struct store *s = container_of(h, struct store, host);
    LIST_INSERT_HEAD(&s->id_calls, c, link);
    producer_ids_take(s->broker, &c->call);
}

/* -- reading -- */

static bool apply_value(struct store *s, struct slice id, struct slice value, struct arena *arena)
{
    if (!value.ptr) {
        (void)txns_restore(&s->txns, id, NULL);
        return true;
    }
    struct wire_reader r = wire_reader_of(value, arena);
    int16_t version = wire_get_int16(&r);
    struct transaction_log_value m;
    if (!transaction_log_value_decode(&r, version, &m)) return false;
    if (m.transaction_status == TXN_DEAD || m.transaction_status == TXN_PREPARE_EPOCH_FENCE ||
        !txn_state_name(m.transaction_status))
        return false;
    struct txn_data data = {.state = (enum txn_state)m.transaction_status,
                            .producer_id = m.producer_id,
                            .previous_producer_id = m.previous_producer_id,
                            .next_producer_id = m.next_producer_id,
                            .epoch = m.producer_epoch,
                            .last_epoch = -1,
                            .client_version = m.client_transaction_version,
                            .timeout_ms = m.transaction_timeout_ms,
                            .start_ms = m.transaction_start_timestamp_ms,
                            .update_ms = m.transaction_last_update_timestamp_ms};
    struct txn *t = txns_restore(&s->txns, id, &data);
    for (int32_t i = 0; i < m.transaction_partitions_count; i++)
        for (int32_t k = 0; k < m.transaction_partitions[i].partition_ids_count; k++)
            txn_restore_partition(t, m.transaction_partitions[i].topic, m.transaction_partitions[i].partition_ids[k]);
    return true;
}

static bool apply_record(struct store *s, const struct record *record)
{
    struct arena arena;
    struct transaction_log_key key;
    arena_init(&arena, VALUE_ARENA_BYTES_MAX);
    struct wire_reader r = wire_reader_of(record->key, &arena);
    int16_t type = wire_get_int16(&r);
    bool ok = type == RECORD_TYPE_TXN && transaction_log_key_decode(&r, 0, &key) && key.transactional_id.len > 0 &&
              apply_value(s, key.transactional_id, record->value, &arena);
    arena_done(&arena);
    return ok;
}

static bool apply_batch(struct store *s, const struct record_batch *batch)
{
    struct record_reader r;
    struct record record;
    if (record_batch_is_control(batch)) return true;
    int result = record_reader_open(&r, batch, LOAD_CONTENT_BYTES_MAX, &s->scratch);
    while (result >= 0 && (result = record_reader_next(&r, &record)) > 0)
        if (record.key.ptr && !apply_record(s, &record))
            log_warn("transaction", "record not understood, skipped partition=" TOPIC_TRANSACTIONS "-%d offset=%lld",
                     s->loading, (long long)record.offset);
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
    struct txn *t, *next;
    s->parts[s->loading] = ok ? PART_READY : PART_FAILED;
    if (!ok)
        log_error("transaction",
                  "state cannot be read, transactions are not served partition=" TOPIC_TRANSACTIONS "-%d", s->loading);
    HASH_ITER(hh, s->txns.by_id, t, next)
    {
        if (part_of(s, txn_id(t)) != s->loading) continue;
        if (ok) txn_resume(t);
        else txn_forget(t);
    }
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
    log_info("transaction", "transactions restored ids=%u ms=%lld", HASH_COUNT(s->txns.by_id),
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

static bool is_loaded(const struct store *s)
{
    return s->loading == s->parts_count;
}

/* The log is gone, or the broker ends: so are the transactions. The next question for a coordinator makes a new log. */
static void store_detach(struct store *s)
{
    struct sync_wait *w;
    struct id_call *c;
    ev_timer_stop(s->broker->control_loop, &s->load);
    while ((w = LIST_FIRST(&s->waits))) {
        LIST_REMOVE(w, link);
        w->txn = NULL;
    }
    while ((c = LIST_FIRST(&s->id_calls))) {
        LIST_REMOVE(c, link);
        c->txn = NULL;
    }
    txns_done(&s->txns);
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
    if (event != TOPIC_DELETED || strcmp(topic->name, TOPIC_TRANSACTIONS) != 0) return;
    log_warn("transaction", TOPIC_TRANSACTIONS " was deleted: all transactional ids are forgotten");
    store_detach(container_of(w, struct store, watch));
}

static void sweep_fired(struct ev_loop *loop, ev_timer *w, int events)
{
    struct store *s = container_of(w, struct store, sweep);
    if (is_loaded(s)) txns_sweep(&s->txns);
}

static void expire_fired(struct ev_loop *loop, ev_timer *w, int events)
{
    struct store *s = container_of(w, struct store, expire);
    if (is_loaded(s)) txns_expire(&s->txns);
}

void txns_open(struct broker *b)
{
    struct store *s = xcalloc(1, sizeof *s);
    s->broker = b;
    s->host = (struct txn_host){.clock = b->clock,
                                .append = store_append,
                                .when_durable = store_when_durable,
                                .mark = store_mark,
                                .when_marked = store_when_marked,
                                .take_producer_id = store_take_producer_id};
    LIST_INIT(&s->waits);
    LIST_INIT(&s->id_calls);
    txns_init(&s->txns, &s->host);
    batch_builder_init(&s->builder);
    b->txns = &s->txns;
    s->watch.changed = topic_changed;
    broker_watch_topics(b, &s->watch);

    const struct metadata *m = broker_metadata(b);
    double sweep_s = (double)m->config->transaction_abort_interval_ms / 1000.;
    double expire_s = (double)m->config->transaction_remove_interval_ms / 1000.;
    s->txns.id_expiration_ms = m->config->transactional_id_expiration_ms;
    ev_timer_init(&s->sweep, sweep_fired, sweep_s, sweep_s);
    ev_timer_start(b->control_loop, &s->sweep);
    ev_timer_init(&s->expire, expire_fired, expire_s, expire_s);
    ev_timer_start(b->control_loop, &s->expire);
    ev_timer_init(&s->load, load_step, 0., 0.);
    const struct metadata_topic *t = metadata_topic(m, SLICE(TOPIC_TRANSACTIONS));
    if (t) {
        s->load_start_ms = clock_mono_ms(b->clock);
        store_attach(s, t, PART_LOADING);
        ev_timer_start(b->control_loop, &s->load);
    }
    metadata_unref(m);
}

void txns_close(struct broker *b)
{
    struct store *s = store_of(b);
    b->txns = NULL;
    broker_unwatch_topics(&s->watch);
    ev_timer_stop(b->control_loop, &s->sweep);
    ev_timer_stop(b->control_loop, &s->expire);
    store_detach(s);
    batch_builder_done(&s->builder);
    bytes_done(&s->key);
    bytes_done(&s->value);
    bytes_done(&s->scratch);
    free(s);
}

struct txns *txns_for(struct request *rq, struct slice id, enum acl_operation operation, enum kafka_error *ret_error)
{
    struct store *s = store_of(rq->broker);
    *ret_error = KAFKA_NONE;
    if (!request_authorize(rq, operation, RESOURCE_TRANSACTIONAL_ID, id))
        *ret_error = KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    else if (!s->parts) *ret_error = KAFKA_NOT_COORDINATOR;
    else if (s->parts[part_of(s, id)] == PART_LOADING) *ret_error = KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
    else if (s->parts[part_of(s, id)] == PART_FAILED) *ret_error = KAFKA_COORDINATOR_NOT_AVAILABLE;
    return *ret_error == KAFKA_NONE ? &s->txns : NULL;
}

struct txns *txns_for_all(struct request *rq, enum kafka_error *ret_error)
{
    struct store *s = store_of(rq->broker);
    *ret_error = is_loaded(s) ? KAFKA_NONE : KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
    return *ret_error == KAFKA_NONE ? &s->txns : NULL;
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
        const struct metadata_topic *t = metadata_topic(m, SLICE(TOPIC_TRANSACTIONS));
        if (t) {
            store_attach(s, t, PART_READY);
            s->loading = s->parts_count;
        }
        metadata_unref(m);
    }
    e->done(e->arg, s->parts ? KAFKA_NONE : KAFKA_COORDINATOR_NOT_AVAILABLE);
    free(e);
}

void txns_log_ensure(struct broker *b, void (*done)(void *arg, enum kafka_error error), void *arg)
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
    AUTO_FREE char *segment_bytes = xasprintf("%lld", (long long)m->config->transaction_state_log_segment_bytes);
    int32_t partitions_count = (int32_t)m->config->transaction_state_log_num_partitions;
    metadata_unref(m);
    struct config_entry config[] = {{"cleanup.policy", "compact"},
                                    {"compression.type", "uncompressed"},
                                    {"segment.bytes", segment_bytes},
                                    {"unclean.leader.election.enable", "false"}};
    struct topic_spec spec = {.name = SLICE(TOPIC_TRANSACTIONS),
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
    log_error("transaction", "cannot create " TOPIC_TRANSACTIONS ": %s", err.text);
    log_created(e, error);
}
