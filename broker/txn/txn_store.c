/* broker/txn/txn_store.c: see txn_store.h. */
#include "broker/txn/txn_store.h"

#include "base/log.h"
#include "broker/coordinator/coordinator_log.h"
#include "broker/group/group_store.h"
#include "broker/state.h"
#include "protocol/messages.h"

#define RECORD_TYPE_TXN 0
#define VALUE_VERSION   1
#define MARKER_VERSION  0
#define MARKER_ABORT    0
#define MARKER_COMMIT   1

struct id_call;

struct store {
    struct txns txns;
    struct txn_host host;
    struct coordinator_log log;
    struct broker *broker;
    ev_timer sweep, expire;
    struct durable_waits waits;
    LIST_HEAD(, id_call) id_calls; /* for a producer id */
    struct batch_builder marker;
};

static struct store *store_of(const struct broker *b)
{
    return container_of(b->txns, struct store, txns);
}

/* -- records -- */

static void put(struct coordinator_writer *w, const struct txn *t, const struct txn_data *data)
{
    struct transaction_log_key key = {.transactional_id = txn_id(t)};
    if (!data) {
        coordinator_put(w, RECORD_TYPE_TXN, &key, 0, NULL);
        return;
    }
    struct transaction_log_value m;
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
    coordinator_put(w, RECORD_TYPE_TXN, &key, VALUE_VERSION, &m);
}

static enum kafka_error store_append(struct txn_host *h, const struct txn *t, const struct txn_data *data)
{
    struct store *s = container_of(h, struct store, host);
    put(coordinator_log_begin(&s->log, &BATCH_FIELDS_PLAIN), t, data);
    return coordinator_log_append(&s->log, txn_id(t), NULL) == KAFKA_NONE ? KAFKA_NONE
                                                                          : KAFKA_COORDINATOR_NOT_AVAILABLE;
}

static bool apply(void *state, const struct coordinator_record *r)
{
    struct slice id = ((const struct transaction_log_key *)r->key)->transactional_id;
    const struct transaction_log_value *m = r->value;
    if (!id.len) return false;
    if (!m) {
        (void)txns_restore(state, id, NULL);
        return true;
    }
    if (m->transaction_status == TXN_DEAD || m->transaction_status == TXN_PREPARE_EPOCH_FENCE ||
        !txn_state_name(m->transaction_status))
        return false;
    struct txn_data data = {.state = (enum txn_state)m->transaction_status,
                            .producer_id = m->producer_id,
                            .previous_producer_id = m->previous_producer_id,
                            .next_producer_id = m->next_producer_id,
                            .epoch = m->producer_epoch,
                            .last_epoch = -1,
                            .client_version = m->client_transaction_version,
                            .timeout_ms = m->transaction_timeout_ms,
                            .start_ms = m->transaction_start_timestamp_ms,
                            .update_ms = m->transaction_last_update_timestamp_ms};
    struct txn *t = txns_restore(state, id, &data);
    for (int32_t i = 0; i < m->transaction_partitions_count; i++)
        for (int32_t k = 0; k < m->transaction_partitions[i].partition_ids_count; k++)
            txn_restore_partition(t, m->transaction_partitions[i].topic, m->transaction_partitions[i].partition_ids[k]);
    return true;
}

const struct coordinator_row txn_rows[] = {{RECORD_TYPE_TXN, apply}, {0}};

/* -- markers -- */

static enum kafka_error marker_append(struct store *s, struct partition_log *log, const struct txn_marker *marker,
                                      int32_t coordinator_epoch)
{
    uint8_t key[4], value[6];
    be16_store(key, MARKER_VERSION);
    be16_store(key + 2, marker->commit ? MARKER_COMMIT : MARKER_ABORT);
    be16_store(value, MARKER_VERSION);
    be32_store(value + 2, (uint32_t)coordinator_epoch);
    batch_builder_reset(&s->marker);
    batch_builder_append(&s->marker, clock_wall_ms(s->host.clock), slice_make(key, sizeof key),
                         slice_make(value, sizeof value), NULL, 0);
    struct batch_fields fields = BATCH_FIELDS_PLAIN;
    fields.producer_id = marker->producer_id;
    fields.producer_epoch = marker->epoch;
    fields.attributes = RECORD_BATCH_TRANSACTIONAL | RECORD_BATCH_CONTROL;
    struct slice batch;
    if (batch_builder_finish(&s->marker, &fields, &batch) < 0) return KAFKA_UNKNOWN_SERVER_ERROR; /* no memory */
    struct log_append a = {.origin = APPEND_INTERNAL, .batches = (uint8_t *)(uintptr_t)batch.ptr, .size = batch.len};
    return partition_log_append(log, &a);
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
    struct partition_log *own = coordinator_log_of(&s->log, txn_id(t));
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

static void store_when_durable(struct txn_host *h, struct txn *t, void (*done)(void *t, enum kafka_error error))
{
    struct store *s = container_of(h, struct store, host);
    coordinator_log_when_durable(&s->log, txn_id(t), &s->waits, done, t);
}

static void store_when_marked(struct txn_host *h, struct txn *t, void (*done)(void *t, enum kafka_error error))
{
    struct store *s = container_of(h, struct store, host);
    struct durable_wait *w = durable_wait_new(s->broker, &s->waits, done, t);
    const struct metadata *m = broker_metadata(s->broker);
    for (const struct txn_topic *o = t->topics; o; o = o->next) {
        const struct metadata_topic *topic = metadata_topic(m, slice_make(o->name, o->name_len));
        for (int32_t i = 0; topic && i < o->count; i++)
            if (o->partitions[i] < topic->partitions_count)
                durable_wait_add(w, topic, topic->partitions[o->partitions[i]].log);
    }
    metadata_unref(m);
    durable_wait_end(w);
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

/* -- the log's callbacks -- */

static void log_loaded(struct coordinator_log *l, int32_t partition, bool ok)
{
    struct store *s = container_of(l, struct store, log);
    struct txn *t, *next;
    HASH_ITER(hh, s->txns.by_id, t, next)
    {
        if (coordinator_log_partition(l, txn_id(t)) != partition) continue;
        if (ok) txn_resume(t);
        else txn_forget(t);
    }
}

static void log_dropped(struct coordinator_log *l)
{
    struct store *s = container_of(l, struct store, log);
    struct id_call *c;
    durable_waits_forget(&s->waits);
    while ((c = LIST_FIRST(&s->id_calls))) {
        LIST_REMOVE(c, link);
        c->txn = NULL;
    }
    txns_done(&s->txns);
}

static const struct config_entry topic_config[] = {
    {"cleanup.policy", "compact"}, {"compression.type", "uncompressed"}, {"unclean.leader.election.enable", "false"}};

static const struct coordinator_type txn_coordinator = {
    .topic = TOPIC_TRANSACTIONS,
    .name = "transaction",
    .rows = txn_rows,
    .config = topic_config,
    .config_count = countof(topic_config),
    .partitions_count_at = offsetof(struct broker_config, transaction_state_log_num_partitions),
    .segment_bytes_at = offsetof(struct broker_config, transaction_state_log_segment_bytes),
    .loaded = log_loaded,
    .dropped = log_dropped,
};

/* -- life -- */

static void sweep_fired(struct ev_loop *loop, ev_timer *w, int events)
{
    struct store *s = container_of(w, struct store, sweep);
    if (coordinator_log_is_loaded(&s->log)) txns_sweep(&s->txns);
}

static void expire_fired(struct ev_loop *loop, ev_timer *w, int events)
{
    struct store *s = container_of(w, struct store, expire);
    if (coordinator_log_is_loaded(&s->log)) txns_expire(&s->txns);
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
    batch_builder_init(&s->marker);
    b->txns = &s->txns;

    const struct metadata *m = broker_metadata(b);
    double sweep_s = (double)m->config->transaction_abort_interval_ms / 1000.;
    double expire_s = (double)m->config->transaction_remove_interval_ms / 1000.;
    s->txns.id_expiration_ms = m->config->transactional_id_expiration_ms;
    ev_timer_init(&s->sweep, sweep_fired, sweep_s, sweep_s);
    ev_timer_start(b->control_loop, &s->sweep);
    ev_timer_init(&s->expire, expire_fired, expire_s, expire_s);
    ev_timer_start(b->control_loop, &s->expire);
    metadata_unref(m);
    coordinator_log_open(&s->log, b, &txn_coordinator, &s->txns);
}

void txns_close(struct broker *b)
{
    struct store *s = store_of(b);
    b->txns = NULL;
    ev_timer_stop(b->control_loop, &s->sweep);
    ev_timer_stop(b->control_loop, &s->expire);
    coordinator_log_close(&s->log);
    batch_builder_done(&s->marker);
    free(s);
}

struct txns *txns_for(struct request *rq, struct slice id, enum acl_operation operation, enum kafka_error *ret_error)
{
    struct store *s = store_of(rq->broker);
    *ret_error = request_refusal(rq, operation, RESOURCE_TRANSACTIONAL_ID, id);
    if (*ret_error == KAFKA_NONE) *ret_error = coordinator_log_check(&s->log, id);
    return *ret_error == KAFKA_NONE ? &s->txns : NULL;
}

struct txns *txns_for_all(struct request *rq, enum kafka_error *ret_error)
{
    struct store *s = store_of(rq->broker);
    *ret_error = coordinator_log_is_loaded(&s->log) ? KAFKA_NONE : KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
    return *ret_error == KAFKA_NONE ? &s->txns : NULL;
}

void txns_log_ensure(struct broker *b, void (*done)(void *arg, enum kafka_error error), void *arg)
{
    coordinator_log_ensure(&store_of(b)->log, done, arg);
}
