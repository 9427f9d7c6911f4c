/* broker/txn/txn.c: see txn.h. */
#include "broker/txn/txn.h"

#include "base/log.h"
#include "broker/limits.h"

const char *txn_state_name(int state)
{
    static const char *const names[] = {"Empty",          "Ongoing",       "PrepareCommit", "PrepareAbort",
                                        "CompleteCommit", "CompleteAbort", "Dead",          "PrepareEpochFence"};
    return state >= 0 && (size_t)state < countof(names) ? names[state] : NULL;
}

void txns_init(struct txns *ts, struct txn_host *host)
{
    *ts = (struct txns){.host = host, .id_expiration_ms = 7 * 86400000LL};
}

struct txn *txns_find(struct txns *ts, struct slice id)
{
    struct txn *t;
    HASH_FIND(hh, ts->by_id, id.ptr, id.len, t);
    return t;
}

static struct txn *txn_make(struct txns *ts, struct slice id)
{
    struct txn *t = xcalloc(1, sizeof *t + id.len + 1);
    t->txns = ts;
    t->id_len = id.len;
    memcpy(t->id, id.ptr, id.len);
    t->data = (struct txn_data){.producer_id = -1,
                                .previous_producer_id = -1,
                                .next_producer_id = -1,
                                .epoch = -1,
                                .last_epoch = -1,
                                .start_ms = -1};
    HASH_ADD_KEYPTR(hh, ts->by_id, t->id, t->id_len, t);
    ts->bytes += sizeof *t + id.len;
    return t;
}

/* -- partitions -- */

static struct txn_topic *topic_find(const struct txn *t, struct slice name)
{
    for (struct txn_topic *o = t->topics; o; o = o->next)
        if (slice_eq(slice_make(o->name, o->name_len), name)) return o;
    return NULL;
}

static bool topic_has(const struct txn_topic *o, int32_t partition)
{
    for (int32_t i = 0; i < o->count; i++)
        if (o->partitions[i] == partition) return true;
    return false;
}

static bool has_partition(const struct txn *t, struct slice topic, int32_t partition)
{
    const struct txn_topic *o = topic_find(t, topic);
    return o && topic_has(o, partition);
}

static void partition_add(struct txn *t, struct slice name, int32_t partition)
{
    struct txn_topic *o = topic_find(t, name);
    if (!o) {
        o = xcalloc(1, sizeof *o + name.len);
        o->name_len = name.len;
        memcpy(o->name, name.ptr, name.len);
        struct txn_topic **last = &t->topics;
        while (*last) last = &(*last)->next;
        *last = o;
        t->txns->bytes += sizeof *o + name.len;
    }
    if (topic_has(o, partition)) return;
    if (o->count == o->size) {
        int32_t size = o->size ? o->size * 2 : 1;
        o->partitions = xrealloc(o->partitions, (size_t)size * sizeof o->partitions[0]);
        t->txns->bytes += (size_t)(size - o->size) * sizeof o->partitions[0];
        o->size = size;
    }
    o->partitions[o->count++] = partition;
}

static void partitions_clear(struct txn *t)
{
    while (t->topics) {
        struct txn_topic *o = t->topics;
        t->topics = o->next;
        t->txns->bytes -= sizeof *o + o->name_len + (size_t)o->size * sizeof o->partitions[0];
        free(o->partitions);
        free(o);
    }
}

void txn_forget(struct txn *t)
{
    partitions_clear(t);
    HASH_DEL(t->txns->by_id, t);
    t->txns->bytes -= sizeof *t + t->id_len;
    free(t);
}

/* -- answers -- */

/* At once, without an id. */
static void reply(struct txn_call *call, enum kafka_error error)
{
    call->answer(call, &(struct txn_result){.error = error, .producer_id = -1, .epoch = -1});
}

/* The step in work is over. */
static void answer(struct txn *t, enum kafka_error error)
{
    struct txn_call *call = t->call;
    struct txn_result result = {.error = error, .producer_id = -1, .epoch = -1};
    t->busy = false;
    t->call = NULL;
    if (!call) return;
    if (error == KAFKA_NONE) {
        result.error = t->call_error;
        result.producer_id = t->call_producer_id;
        result.epoch = t->call_epoch;
    }
    call->answer(call, &result);
}

/* What the caller gets when the step in work succeeds. */
static void promise(struct txn *t, enum kafka_error error, int64_t producer_id, int16_t epoch)
{
    t->call_error = error;
    t->call_producer_id = producer_id;
    t->call_epoch = epoch;
}

/* The oldest add is durable: they become so in their order. */
static void add_durable(void *arg, enum kafka_error error)
{
    struct txn *t = arg;
    struct txn_call *call = t->adds;
    t->adds = call->next;
    reply(call, error);
}

void txns_done(struct txns *ts)
{
    struct txn *t, *next;
    HASH_ITER(hh, ts->by_id, t, next)
    {
        answer(t, KAFKA_COORDINATOR_NOT_AVAILABLE);
        while (t->adds) add_durable(t, KAFKA_COORDINATOR_NOT_AVAILABLE);
        txn_forget(t);
    }
}

static int64_t now(const struct txns *ts)
{
    return clock_wall_ms(ts->host->clock);
}

/* Appends data as the new state. An error: nothing happened. */
static enum kafka_error move(struct txn *t, struct txn_data data)
{
    data.update_ms = now(t->txns);
    enum kafka_error error = t->txns->host->append(t->txns->host, t, &data);
    if (error == KAFKA_NONE) t->data = data;
    return error;
}

static void step_durable(void *arg, enum kafka_error error)
{
    struct txn *t = arg;
    answer(t, error);
}

/* -- ending: PREPARE_* is durable -> markers -> COMPLETE_* -- */

static bool is_prepared(const struct txn *t)
{
    return t->data.state == TXN_PREPARE_COMMIT || t->data.state == TXN_PREPARE_ABORT;
}

static void complete(void *arg, enum kafka_error error)
{
    struct txn *t = arg;
    struct txn_data data = t->data;
    if (error == KAFKA_NONE) {
        data.state = data.state == TXN_PREPARE_COMMIT ? TXN_COMPLETE_COMMIT : TXN_COMPLETE_ABORT;
        if (data.next_producer_id >= 0) {
            data.previous_producer_id = data.producer_id;
            data.producer_id = data.next_producer_id;
            data.next_producer_id = -1;
            data.epoch = 0;
        }
        for (struct txn_topic *o = t->topics; o; o = o->next) o->count_before = o->count, o->count = 0;
        error = move(t, data);
        for (struct txn_topic *o = t->topics; o; o = o->next) o->count = o->count_before;
    }
    if (error == KAFKA_NONE) partitions_clear(t);
    else log_error("transaction", "ending is delayed id=%s error=%s", t->id, kafka_error_name(error));
    answer(t, KAFKA_NONE); /* the decision stands; txns_sweep() tries again */
}

static void write_markers(struct txn *t)
{
    struct txn_marker marker = {
        .producer_id = t->data.producer_id, .epoch = t->data.epoch, .commit = t->data.state == TXN_PREPARE_COMMIT};
    enum kafka_error error = KAFKA_NONE;
    for (const struct txn_topic *o = t->topics; o; o = o->next)
        for (int32_t i = 0; i < o->count; i++) {
            /* A second marker after a failure does no harm: it ends no transaction. */
            enum kafka_error e =
                t->txns->host->mark(t->txns->host, t, &marker, slice_make(o->name, o->name_len), o->partitions[i]);
            if (e != KAFKA_NONE) error = e;
        }
    if (error == KAFKA_NONE) t->txns->host->when_marked(t->txns->host, t, complete);
    else complete(t, error);
}

static void prepared(void *arg, enum kafka_error error)
{
    struct txn *t = arg;
    if (error == KAFKA_NONE) write_markers(t);
    else answer(t, error);
}

/* Appends the decision and goes on from there. */
static void prepare(struct txn *t, struct txn_data data)
{
    if (data.start_ms < 0) data.start_ms = now(t->txns); /* nothing was added (version 2) */
    enum kafka_error error = move(t, data);
    if (error == KAFKA_NONE) t->txns->host->when_durable(t->txns->host, t, prepared);
    else answer(t, error);
}

/* Fences the producer and aborts its transaction, for a new instance. t is busy. */
static void abort_by_us(struct txn *t)
{
    struct txn_data data = t->data;
    data.state = TXN_PREPARE_ABORT;
    data.last_epoch = -1;
    data.epoch++; /* at most INT16_MAX, which no client gets */
    /* An end by the producer itself would have bumped its epoch by one: two tell them apart (is_repeat()). */
    if (data.client_version >= TXN_VERSION_2 && data.epoch < INT16_MAX) data.epoch++;
    prepare(t, data);
}

/* Aborts what nobody may take over by that: the time is over, or a producer asks for a higher epoch than the one it
 * names (KIP-360). As from Kafka, the producer goes on with the epoch of the abort when it asks for it, or repeats an
 * abort of version 2; a commit is refused. At the last epochs it is fenced. */
static void abort_for_producer(struct txn *t)
{
    if (t->data.epoch >= TXN_EPOCH_LAST) {
        abort_by_us(t);
        return;
    }
    struct txn_data data = t->data;
    data.state = TXN_PREPARE_ABORT;
    data.client_version = TXN_VERSION_2; /* as every end that bumps the epoch, whatever version it began with */
    data.last_epoch = data.epoch++;
    prepare(t, data);
}

/* -- InitProducerId -- */

static void init_with_id(struct txn *t, enum kafka_error error, int64_t producer_id)
{
    bool made = t->data.epoch < 0;
    if (error == KAFKA_NONE) {
        struct txn_data data = t->data;
        data.state = TXN_EMPTY;
        data.previous_producer_id = data.producer_id;
        data.producer_id = producer_id;
        data.last_epoch = t->init_expected ? data.epoch : -1;
        data.epoch = 0;
        data.timeout_ms = t->init_timeout_ms;
        data.start_ms = -1;
        error = move(t, data);
    }
    if (error == KAFKA_NONE) {
        promise(t, KAFKA_NONE, t->data.producer_id, t->data.epoch);
        t->txns->host->when_durable(t->txns->host, t, step_durable);
        return;
    }
    answer(t, error);
    if (made) txn_forget(t);
}

/* The producer goes on with a higher epoch. */
static void init_bump(struct txn *t, const struct txn_init *in)
{
    struct txn_data data = t->data;
    bool expected = in->expected_epoch >= 0;
    if (data.epoch >= TXN_EPOCH_LAST && (!expected || in->expected_epoch == data.epoch)) {
        t->init_timeout_ms = in->timeout_ms;
        t->init_expected = expected;
        t->txns->host->take_producer_id(t->txns->host, t, init_with_id);
        return;
    }
    if (!expected) {
        data.last_epoch = -1;
        data.epoch++;
    } else if (in->expected_epoch == data.epoch) {
        data.last_epoch = data.epoch;
        data.epoch++;
    } else if (in->expected_epoch != data.last_epoch) { /* equal: a repeat of the bump; it keeps what it got */
        answer(t, KAFKA_PRODUCER_FENCED);
        return;
    }
    data.state = TXN_EMPTY;
    data.timeout_ms = in->timeout_ms;
    data.start_ms = -1;
    enum kafka_error error = move(t, data);
    if (error != KAFKA_NONE) {
        answer(t, error);
        return;
    }
    promise(t, KAFKA_NONE, t->data.producer_id, t->data.epoch);
    t->txns->host->when_durable(t->txns->host, t, step_durable);
}

/* Has it the id, or had it before the id's epochs were used up? */
static bool is_own_id(const struct txn_data *data, const struct txn_init *in)
{
    return in->expected_producer_id < 0 || in->expected_producer_id == data->producer_id ||
           (in->expected_producer_id == data->previous_producer_id && in->expected_epoch >= TXN_EPOCH_LAST);
}

void txn_init(struct txns *ts, const struct txn_init *in, struct txn_call *call)
{
    if (!in->id.len) {
        reply(call, KAFKA_INVALID_REQUEST);
        return;
    }
    struct txn *t = txns_find(ts, in->id);
    if (!t) {
        if (ts->bytes >= TXNS_BYTES_MAX) {
            log_warn("transaction", "too many transactional ids, a new one is refused bytes=%zu", ts->bytes);
            reply(call, KAFKA_COORDINATOR_NOT_AVAILABLE);
            return;
        }
        t = txn_make(ts, in->id);
        t->busy = true;
        t->call = call;
        t->init_timeout_ms = in->timeout_ms;
        t->init_expected = false;
        ts->host->take_producer_id(ts->host, t, init_with_id);
        return;
    }
    enum kafka_error error = t->busy || t->adds         ? KAFKA_CONCURRENT_TRANSACTIONS
                             : !is_own_id(&t->data, in) ? KAFKA_PRODUCER_FENCED
                             : is_prepared(t)           ? KAFKA_CONCURRENT_TRANSACTIONS
                                                        : KAFKA_NONE;
    if (error != KAFKA_NONE) {
        reply(call, error);
        return;
    }
    t->busy = true;
    t->call = call;
    if (t->data.state == TXN_ONGOING) {
        log_info("transaction", "aborted by a new instance id=%s", t->id);
        promise(t, KAFKA_CONCURRENT_TRANSACTIONS, -1, -1); /* the client comes again, and gets the epoch after it */
        if (in->expected_epoch >= 0) abort_for_producer(t);
        else abort_by_us(t);
    } else {
        init_bump(t, in);
    }
}

/* -- adding, verifying -- */

static enum kafka_error check_producer(struct txns *ts, const struct txn_producer *who, struct txn **ret_txn)
{
    if (!who->id.len) return KAFKA_INVALID_REQUEST;
    struct txn *t = txns_find(ts, who->id);
    if (!t || t->data.producer_id != who->producer_id) return KAFKA_INVALID_PRODUCER_ID_MAPPING;
    if (t->data.epoch != who->epoch) return KAFKA_PRODUCER_FENCED;
    if (t->busy || is_prepared(t)) return KAFKA_CONCURRENT_TRANSACTIONS;
    *ret_txn = t;
    return KAFKA_NONE;
}

static bool has_all(const struct txn *t, const struct txn_add_partition *partitions, uint32_t count)
{
    if (t->data.state != TXN_ONGOING) return false;
    for (uint32_t i = 0; i < count; i++)
        if (!has_partition(t, partitions[i].topic, partitions[i].partition)) return false;
    return true;
}

static enum kafka_error add_write(struct txn *t, int16_t client_version, const struct txn_add_partition *partitions,
                                  uint32_t count)
{
    struct txn_data data = t->data;
    if (data.state != TXN_ONGOING) data.start_ms = now(t->txns);
    data.state = TXN_ONGOING;
    data.client_version = client_version;
    for (struct txn_topic *o = t->topics; o; o = o->next) o->count_before = o->count;
    for (uint32_t i = 0; i < count; i++) partition_add(t, partitions[i].topic, partitions[i].partition);
    enum kafka_error error = move(t, data);
    if (error != KAFKA_NONE)
        for (struct txn_topic *o = t->topics; o; o = o->next) o->count = o->count_before; /* 0 in new ones */
    return error;
}

void txn_add(struct txns *ts, const struct txn_producer *who, int16_t client_version,
             const struct txn_add_partition *partitions, uint32_t count, struct txn_call *call)
{
    struct txn *t;
    enum kafka_error error = check_producer(ts, who, &t);
    bool write = error == KAFKA_NONE && !has_all(t, partitions, count);
    if (write && ts->bytes >= TXNS_BYTES_MAX) error = KAFKA_COORDINATOR_NOT_AVAILABLE;
    if (write && error == KAFKA_NONE) error = add_write(t, client_version, partitions, count);
    if (error != KAFKA_NONE || (!write && !t->adds)) {
        reply(call, error);
        return;
    }
    struct txn_call **last = &t->adds;
    while (*last) last = &(*last)->next;
    *last = call;
    call->next = NULL;
    ts->host->when_durable(ts->host, t, add_durable);
}

enum kafka_error txn_verify(struct txns *ts, const struct txn_producer *who, struct slice topic, int32_t partition)
{
    struct txn *t;
    enum kafka_error error = check_producer(ts, who, &t);
    if (error != KAFKA_NONE) return error;
    return t->data.state == TXN_ONGOING && has_partition(t, topic, partition) ? KAFKA_NONE
                                                                              : KAFKA_TRANSACTION_ABORTABLE;
}

/* -- EndTxn -- */

/* The producer says again what it has said: it did not hear that its epoch was bumped (version 2). */
static bool is_repeat(const struct txn_data *data, const struct txn_producer *who)
{
    if (data->client_version < TXN_VERSION_2) return false;
    if (who->producer_id == data->producer_id) /* INT16_MAX is a regular bump only when the next id takes over. */
        return who->epoch == data->epoch - 1 && (data->epoch < INT16_MAX || data->next_producer_id >= 0);
    return who->producer_id == data->previous_producer_id && who->epoch == TXN_EPOCH_LAST && data->epoch == 0;
}

/* What EndTxn finds. NONE and *ret_write false: it was done before. */
static enum kafka_error check_end(const struct txn *t, int16_t client_version, bool commit, bool repeat,
                                  bool *ret_write)
{
    bool may_abort = client_version >= TXN_VERSION_2 && !commit && !repeat; /* what was not begun */
    enum txn_state state = t->data.state;
    *ret_write = state == TXN_ONGOING || may_abort;
    switch (state) {
    case TXN_ONGOING: return repeat ? KAFKA_PRODUCER_FENCED : KAFKA_NONE;
    case TXN_EMPTY: return repeat ? KAFKA_PRODUCER_FENCED : may_abort ? KAFKA_NONE : KAFKA_INVALID_TXN_STATE;
    case TXN_COMPLETE_COMMIT:
        if (may_abort) return KAFKA_NONE;
        return commit && (repeat || client_version < TXN_VERSION_2) ? KAFKA_NONE : KAFKA_INVALID_TXN_STATE;
    case TXN_COMPLETE_ABORT: return commit ? KAFKA_INVALID_TXN_STATE : KAFKA_NONE;
    case TXN_PREPARE_COMMIT:
    case TXN_PREPARE_ABORT:
        if (client_version >= TXN_VERSION_2 && !repeat) return KAFKA_PRODUCER_FENCED;
        return commit == (state == TXN_PREPARE_COMMIT) ? KAFKA_CONCURRENT_TRANSACTIONS : KAFKA_INVALID_TXN_STATE;
    case TXN_DEAD:
    case TXN_PREPARE_EPOCH_FENCE: break;
    }
    return KAFKA_UNKNOWN_SERVER_ERROR;
}

/* next_producer_id -1: the epoch is not used up. */
static void end_with_id(struct txn *t, enum kafka_error error, int64_t next_producer_id)
{
    if (error != KAFKA_NONE) {
        answer(t, error);
        return;
    }
    struct txn_data data = t->data;
    data.state = t->end_commit ? TXN_PREPARE_COMMIT : TXN_PREPARE_ABORT;
    data.client_version = t->end_version;
    if (data.client_version >= TXN_VERSION_2) {
        data.last_epoch = data.epoch++;
        data.next_producer_id = next_producer_id;
    }
    if (next_producer_id >= 0) promise(t, KAFKA_NONE, next_producer_id, 0);
    else promise(t, KAFKA_NONE, data.producer_id, data.epoch);
    prepare(t, data);
}

void txn_end(struct txns *ts, const struct txn_producer *who, int16_t client_version, bool commit,
             struct txn_call *call)
{
    if (!who->id.len) {
        reply(call, KAFKA_INVALID_REQUEST);
        return;
    }
    struct txn *t = txns_find(ts, who->id);
    bool repeat = t && client_version >= TXN_VERSION_2 && is_repeat(&t->data, who);
    bool write = false;
    enum kafka_error error;
    if (!t || (t->data.producer_id != who->producer_id && !repeat)) error = KAFKA_INVALID_PRODUCER_ID_MAPPING;
    else if (t->data.epoch != who->epoch && !repeat) error = KAFKA_PRODUCER_FENCED;
    else if (t->busy || t->adds) error = KAFKA_CONCURRENT_TRANSACTIONS;
    else error = check_end(t, client_version, commit, repeat, &write);
    if (error != KAFKA_NONE) {
        reply(call, error);
        return;
    }
    if (!write) {
        call->answer(call, &(struct txn_result){.producer_id = t->data.producer_id, .epoch = t->data.epoch});
        return;
    }
    t->busy = true;
    t->call = call;
    t->end_commit = commit;
    t->end_version = client_version;
    if (client_version >= TXN_VERSION_2 && t->data.epoch >= TXN_EPOCH_LAST)
        ts->host->take_producer_id(ts->host, t, end_with_id);
    else end_with_id(t, KAFKA_NONE, -1);
}

/* -- time -- */

void txns_sweep(struct txns *ts)
{
    struct txn *t, *next;
    int64_t now_ms = now(ts);
    HASH_ITER(hh, ts->by_id, t, next)
    {
        if (t->busy || t->adds) continue;
        if (is_prepared(t)) {
            t->busy = true;
            write_markers(t);
        } else if (t->data.state == TXN_ONGOING && now_ms - t->data.start_ms >= t->data.timeout_ms) {
            log_info("transaction", "aborted, out of time id=%s producer_id=%lld timeout_ms=%d", t->id,
                     (long long)t->data.producer_id, t->data.timeout_ms);
            t->busy = true;
            abort_for_producer(t);
        }
    }
}

void txns_expire(struct txns *ts)
{
    struct txn *t, *next;
    int64_t now_ms = now(ts);
    HASH_ITER(hh, ts->by_id, t, next)
    {
        if (t->busy || t->data.state == TXN_ONGOING || is_prepared(t)) continue;
        if (now_ms - t->data.update_ms < ts->id_expiration_ms) continue;
        if (ts->host->append(ts->host, t, NULL) != KAFKA_NONE) continue;
        log_info("transaction", "idle id forgotten id=%s", t->id);
        txn_forget(t);
    }
}

/* -- replay -- */

struct txn *txns_restore(struct txns *ts, struct slice id, const struct txn_data *data)
{
    struct txn *t = txns_find(ts, id);
    if (!data) {
        if (t) txn_forget(t);
        return NULL;
    }
    if (!t) t = txn_make(ts, id);
    partitions_clear(t);
    t->data = *data;
    return t;
}

void txn_restore_partition(struct txn *t, struct slice topic, int32_t partition)
{
    partition_add(t, topic, partition);
}

void txn_resume(struct txn *t)
{
    if (!is_prepared(t)) return;
    log_info("transaction", "ending after a restart id=%s state=%s", t->id, txn_state_name((int)t->data.state));
    t->busy = true;
    write_markers(t);
}
