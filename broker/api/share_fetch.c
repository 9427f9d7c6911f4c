/* ShareFetch, key 78 (KIP-932): acquires records for a member of a share group and takes acknowledgements along.
 * Control thread: it owns share partitions; records leave as file ranges.
 *
 *   session ── acknowledge ── plan --enough bytes, an error everywhere, no time--> acquire ── reply when durable
 *                              ^ \--else--> parked on its logs (purgatory) and on its group (share_waiter)
 *                              └── woken, or its deadline ──┘
 * Only what will be sent is acquired: planning reads where records are, acquiring decides which of them.
 * Quota: the bytes of the answer count for consumer_byte_rate. Kafka gives a throttled client an empty answer and
 * leaves what it acquired locked; here it gets its records and is not read for the time that the answer says, which is
 * the same rate and locks nothing. One answer has no more than the quota of its windows.
 * Sessions: share_session.h. Limits: SHARE_FETCH_RECORDS_MAX. Source: Kafka 4.1 DelayedShareFetch, ShareFetchUtils. */
#include "broker/api/fetched.h"
#include "broker/api/share_acks.h"
#include "broker/api/wait.h"
#include "broker/limits.h"
#include "broker/partition.h"
#include "broker/fetch/purgatory.h"
#include "broker/state.h"
#include "protocol/api_handlers.h"
#include "protocol/record_batch.h"
#include "storage/io.h"
#include "storage/log_dir.h"

/* One partition of the answer. */
struct item {
    struct uuid topic_id;
    int32_t index;
    bool fetched; /* by the session; else only acknowledged */
    bool acknowledged;
    struct partition_log *log; /* borrowed for one plan */
    struct share_live *live;   /* likewise; NULL: nothing can be acquired */
    struct log_read read;      /* holds references until the reply is encoded */
    struct block *copied;      /* short records */
    struct share_fetch_response_partition_data data;
};

struct fetch {
    struct api_wait wait; /* a step each: acknowledgements on their way to the disk; records that are awaited */
    struct request *rq;
    struct uuid member;
    bool initial, final;
    bool limit_reached; /* the answer is that, after the client's waiting time */
    enum read_isolation isolation;
    struct item *items;
    uint32_t items_count;
    uint32_t fetched_count, errors_count;
    int64_t bytes;
    int64_t copies_bytes; /* fetched_records() */
    struct durable_waits waits;
    struct purgatory_entry *waiting;
    struct share_waiter waiter;
};

/* -- sessions, acknowledgements -- */

static const struct share_fetch_request *request_of(const struct fetch *f)
{
    return f->rq->in;
}

static bool has_acks(const struct share_fetch_request *in)
{
    for (int32_t t = 0; t < in->topics_count; t++)
        for (int32_t p = 0; p < in->topics[t].partitions_count; p++)
            if (in->topics[t].partitions[p].acknowledgement_batches_count > 0) return true;
    return false;
}

/* The partitions that the request names; with_acks: only those with acknowledgements. For the caller to free. */
static struct partition_set named(const struct share_fetch_request *in, bool with_acks)
{
    struct partition_set set = {0};
    for (int32_t t = 0; t < in->topics_count; t++)
        for (int32_t p = 0; p < in->topics[t].partitions_count; p++)
            if (!with_acks || in->topics[t].partitions[p].acknowledgement_batches_count > 0)
                partition_set_append(&set, in->topics[t].topic_id, in->topics[t].partitions[p].partition_index);
    partition_set_sort(&set);
    return set;
}

static struct partition_set forgotten(const struct share_fetch_request *in)
{
    struct partition_set set = {0};
    for (int32_t t = 0; t < in->forgotten_topics_data_count; t++)
        for (int32_t p = 0; p < in->forgotten_topics_data[t].partitions_count; p++)
            partition_set_append(&set, in->forgotten_topics_data[t].topic_id,
                                 in->forgotten_topics_data[t].partitions[p]);
    partition_set_sort(&set);
    return set;
}

static enum kafka_error update_session(struct fetch *f, struct share_sessions *ss, struct share_session *s)
{
    struct partition_set added = named(request_of(f), false), removed = forgotten(request_of(f));
    bool ok = share_session_update(ss, s, &added, &removed);
    partition_set_done(&added);
    partition_set_done(&removed);
    return ok ? KAFKA_NONE : KAFKA_SHARE_SESSION_LIMIT_REACHED;
}

static enum kafka_error take_session(struct fetch *f, struct share_session **ret_session)
{
    const struct share_fetch_request *in = request_of(f);
    struct share_sessions *ss = shares_sessions(f->rq->broker);
    struct share_session *s = share_session_find(ss, in->group_id, f->member);

    if (f->initial) {
        if (has_acks(in)) return KAFKA_INVALID_REQUEST;
        /* What the old one acquired stays locked, as in Kafka: the member may still have it. */
        if (s) share_session_close(ss, s);
        s = share_session_open(ss, in->group_id, f->member, request_watch_connection(f->rq, WATCHER_SHARE));
        if (!s) return KAFKA_SHARE_SESSION_LIMIT_REACHED;
    } else {
        if (!s) return KAFKA_SHARE_SESSION_NOT_FOUND;
        enum kafka_error error = f->final ? KAFKA_NONE : share_session_step(s, in->share_session_epoch);
        if (error != KAFKA_NONE) return error;
    }
    *ret_session = s;
    if (f->final) return KAFKA_NONE;
    enum kafka_error error = update_session(f, ss, s);
    if (error != KAFKA_NONE && f->initial) share_session_close(ss, s);
    return error;
}

/* The session is still the one of this request: it was neither closed nor used by another request. */
static bool session_is_ours(const struct fetch *f)
{
    const struct share_fetch_request *in = request_of(f);
    const struct share_session *s = share_session_find(shares_sessions(f->rq->broker), in->group_id, f->member);
    return s && s->epoch == (in->share_session_epoch == INT32_MAX ? 1 : in->share_session_epoch + 1);
}

static struct item *find_item(struct fetch *f, struct uuid topic_id, int32_t index)
{
    struct topic_partition key = {.topic_id = topic_id, .partition = index};
    uint32_t low = 0, high = f->items_count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        struct topic_partition at = {.topic_id = f->items[mid].topic_id, .partition = f->items[mid].index};
        int order = topic_partition_compare(&at, &key);
        if (order == 0) return &f->items[mid];
        if (order < 0) low = mid + 1;
        else high = mid;
    }
    return NULL;
}

static bool make_items(struct fetch *f, const struct share_session *s)
{
    static const struct partition_set none;
    const struct partition_set *session = f->final ? &none : &s->partitions;
    struct partition_set acked = named(request_of(f), true), all = partition_set_union(session, &acked);

    f->items = arena_calloc(&f->rq->arena, (size_t)all.count + 1, sizeof *f->items);
    for (uint32_t i = 0; f->items && i < all.count; i++) {
        struct item *item = &f->items[f->items_count++];
        item->topic_id = all.items[i].topic_id;
        item->index = all.items[i].partition;
        item->fetched = partition_set_has(session, item->topic_id, item->index);
        f->fetched_count += item->fetched;
        share_fetch_response_partition_data_init(&item->data);
        item->data.partition_index = item->index;
        item->data.records = WIRE_RECORDS_EMPTY;
    }
    partition_set_done(&acked);
    partition_set_done(&all);
    return f->items != NULL;
}

struct acked {
    struct fetch *fetch;
    struct item *item;
};

static void acks_durable(void *arg, enum kafka_error error)
{
    struct acked *a = arg;
    if (error != KAFKA_NONE) a->item->data.acknowledge_error_code = (int16_t)error;
    api_wait_done(&a->fetch->wait);
}

/* False: no memory. */
static bool acknowledge(struct fetch *f, struct uuid topic_id, const struct share_fetch_request_fetch_partition *p)
{
    uint32_t count = (uint32_t)MAX(p->acknowledgement_batches_count, 0);
    struct share_ack *acks = arena_calloc(&f->rq->arena, (size_t)count + 1, sizeof *acks);
    struct acked *a = arena_calloc(&f->rq->arena, 1, sizeof *a);
    struct share_key key = {.group_id = request_of(f)->group_id, .topic_id = topic_id, .partition = p->partition_index};
    struct item *item = find_item(f, topic_id, p->partition_index);

    if (!acks || !a) return false;
    for (uint32_t i = 0; i < count; i++)
        acks[i] = (struct share_ack){.first_offset = p->acknowledgement_batches[i].first_offset,
                                     .last_offset = p->acknowledgement_batches[i].last_offset,
                                     .types = p->acknowledgement_batches[i].acknowledge_types,
                                     .types_count = p->acknowledgement_batches[i].acknowledge_types_count};
    *a = (struct acked){.fetch = f, .item = item};
    item->acknowledged = true;
    enum kafka_error error = share_acks_apply(f->rq, &key, f->member, acks, count);
    item->data.acknowledge_error_code = (int16_t)error;
    if (error != KAFKA_NONE) {
        item->data.acknowledge_error_message = slice_of(kafka_error_text(error));
        return true;
    }
    api_wait_more(&f->wait);
    shares_when_durable(f->rq->broker, &key, &f->waits, acks_durable, a);
    return true;
}

static bool acknowledge_all(struct fetch *f)
{
    const struct share_fetch_request *in = request_of(f);
    for (int32_t t = 0; t < in->topics_count; t++)
        for (int32_t p = 0; p < in->topics[t].partitions_count; p++)
            if (in->topics[t].partitions[p].acknowledgement_batches_count > 0 &&
                !acknowledge(f, in->topics[t].topic_id, &in->topics[t].partitions[p]))
                return false;
    return true;
}

/* -- planning -- */

static enum kafka_error look_up(struct fetch *f, struct item *i)
{
    const struct metadata_topic *t = metadata_topic_by_id(request_metadata(f->rq), i->topic_id);
    struct share_key key = {.group_id = request_of(f)->group_id, .topic_id = i->topic_id, .partition = i->index};
    int16_t error = KAFKA_NONE;
    enum kafka_error live_error;

    if (!t) return KAFKA_UNKNOWN_TOPIC_ID;
    if (!request_authorize(f->rq, ACL_READ, RESOURCE_TOPIC, slice_of(t->name))) return KAFKA_TOPIC_AUTHORIZATION_FAILED;
    i->log = partition_of(t, i->index, &error);
    if (!i->log) return (enum kafka_error)error;
    i->live = shares_live(f->rq->broker, &key, i->log, &live_error);
    return i->live ? KAFKA_NONE : live_error;
}

static enum kafka_error read_item(struct fetch *f, struct item *i, uint32_t size_max)
{
    int64_t offset = share_partition_fetch_offset(share_live_partition(i->live));
    const struct log_marks marks = i->read.marks;
    enum kafka_error error =
        partition_log_read_at(i->log, &marks, offset, size_max, f->bytes == 0, f->isolation, &i->read);

    /* The state is ahead of the log, which lost its end: nothing is there until the log has caught up. */
    if (error == KAFKA_OFFSET_OUT_OF_RANGE) return KAFKA_NONE;
    f->bytes += error == KAFKA_NONE && i->read.file ? i->read.length : 0;
    return error;
}

static void fail(struct fetch *f, struct item *i, enum kafka_error error)
{
    fetched_release(&i->read, &i->copied);
    i->live = NULL;
    i->data.error_code = (int16_t)error;
    i->data.error_message = slice_of(kafka_error_text(error));
    f->errors_count++;
}

static void plan(struct fetch *f)
{
    const struct share_fetch_request *in = request_of(f);
    int64_t bytes_max =
        MIN(MIN(in->max_bytes, request_metadata(f->rq)->config->fetch_max_bytes), request_fetch_bytes_max(f->rq));
    uint32_t acquirable = 0, first = f->items_count ? (uint32_t)in->share_session_epoch % f->items_count : 0;

    f->bytes = f->copies_bytes = 0;
    f->errors_count = 0;
    for (uint32_t k = 0; k < f->items_count; k++) {
        struct item *i = &f->items[k];
        fetched_release(&i->read, &i->copied);
        i->live = NULL;
        i->log = NULL;
        i->data.error_code = KAFKA_NONE;
        i->data.error_message = SLICE_NULL;
        if (!i->fetched) continue;
        enum kafka_error error = look_up(f, i);
        if (error != KAFKA_NONE) fail(f, i, error);
        else if (share_partition_can_acquire(share_live_partition(i->live))) acquirable++;
        else i->live = NULL;
    }
    log_dir_visibility_lock(f->rq->broker->dir);
    for (uint32_t k = 0; k < f->items_count; k++)
        if (f->items[k].live) f->items[k].read.marks = partition_log_marks(f->items[k].log);
    log_dir_visibility_unlock(f->rq->broker->dir);
    /* The same partition is not always the first: the bytes may not suffice for all. */
    for (uint32_t n = 0; n < f->items_count; n++) {
        struct item *i = &f->items[(first + n) % f->items_count];
        if (!i->live) continue;
        enum kafka_error error = read_item(f, i, (uint32_t)(MAX(bytes_max, 0) / acquirable));
        if (error != KAFKA_NONE) fail(f, i, error);
    }
}

static bool must_answer(const struct fetch *f)
{
    const struct share_fetch_request *in = request_of(f);
    return f->errors_count == f->fetched_count || in->max_wait_ms <= 0 || f->bytes >= MAX(in->min_bytes, 0);
}

/* -- acquiring -- */

/* Batches of a read. */
struct batches {
    struct share_log_batch *items;
    uint32_t *positions; /* in the read; one more than items: where the next one begins */
    uint32_t count;
    uint32_t capacity;
};

static void batches_push(struct batches *b, int64_t base_offset, int64_t last_offset, uint32_t position, uint32_t size,
                         bool aborted)
{
    if (b->count + 1 >= b->capacity) {
        b->capacity = b->capacity ? 2 * b->capacity : 16;
        b->items = xrealloc(b->items, b->capacity * sizeof *b->items);
        b->positions = xrealloc(b->positions, b->capacity * sizeof *b->positions);
    }
    b->items[b->count] = (struct share_log_batch){base_offset, last_offset, aborted};
    b->positions[b->count++] = position;
    b->positions[b->count] = position + size;
}

static int aborted_order(const void *a, const void *b)
{
    int64_t x = ((const struct aborted_txn *)a)->first_offset, y = ((const struct aborted_txn *)b)->first_offset;
    return (x > y) - (x < y);
}

/* Which transactions of a read were aborted, as its batches pass by: those with an index below `begun` and a producer
 * that is not -1 are open. */
struct aborts {
    struct aborted_txn *txns;
    uint32_t count;
    uint32_t begun;
};

static bool is_aborted(struct aborts *a, const struct record_batch *b)
{
    while (a->begun < a->count && a->txns[a->begun].first_offset <= record_batch_last_offset(b)) a->begun++;
    if (!record_batch_is_transactional(b)) return false;
    for (uint32_t i = 0; i < a->begun; i++) {
        if (a->txns[i].producer_id != b->producer_id) continue;
        if (!record_batch_is_control(b)) return true;
        a->txns[i].producer_id = RECORD_BATCH_NO_PRODUCER_ID; /* its marker */
        return false;
    }
    return false;
}

/* Reads the headers of as many batches as can be needed. */
static enum kafka_error read_batches(struct fetch *f, struct item *i, int64_t records_max, struct batches *ret)
{
    const struct share_partition *p = share_live_partition(i->live);
    struct aborts aborts = {.txns = i->read.aborted, .count = i->read.aborted_count};
    uint8_t header[RECORD_BATCH_HEADER_BYTES];
    struct record_batch b;
    uint32_t size;

    if (aborts.count) qsort(aborts.txns, aborts.count, sizeof *aborts.txns, aborted_order);
    for (uint32_t at = 0; at < i->read.length; at += size) {
        ssize_t n = io_pread_all(i->read.io, i->read.file->fd, header, sizeof header, i->read.position + at);
        if (n < 0) return KAFKA_STORAGE_ERROR;
        if (record_batch_parse_header(slice_make(header, (uint32_t)n), &b, &size) != RECORD_BATCH_OK ||
            size > i->read.length - at)
            return KAFKA_CORRUPT_MESSAGE;
        int64_t last = record_batch_last_offset(&b);
        batches_push(ret, b.base_offset, last, at, size, is_aborted(&aborts, &b));
        if (last - p->end + 1 >= records_max) break;
    }
    return KAFKA_NONE;
}

/* The batches that hold what was acquired are what is sent. */
static enum kafka_error set_records(struct fetch *f, struct item *i, const struct batches *b,
                                    const struct share_acquired *first, const struct share_acquired *last)
{
    uint32_t from = 0, to = b->count;

    while (from + 1 < to && b->items[from].last_offset < first->first_offset) from++;
    while (to > from + 1 && b->items[to - 1].base_offset > last->last_offset) to--;
    i->read.position += b->positions[from];
    i->read.length = b->positions[to] - b->positions[from];
    return fetched_records(&i->read, &f->copies_bytes, &i->copied, &i->data.records);
}

static enum kafka_error set_acquired(struct fetch *f, struct item *i, const struct batches *b,
                                     const struct share_acquired_list *list)
{
    if (!list->count) return KAFKA_NONE;
    i->data.acquired_records = arena_calloc(&f->rq->arena, list->count, sizeof i->data.acquired_records[0]);
    if (!i->data.acquired_records) return KAFKA_UNKNOWN_SERVER_ERROR; /* the locks end by themselves */
    for (uint32_t k = 0; k < list->count; k++)
        i->data.acquired_records[i->data.acquired_records_count++] =
            (struct share_fetch_response_acquired_records){.first_offset = list->items[k].first_offset,
                                                           .last_offset = list->items[k].last_offset,
                                                           .delivery_count = list->items[k].delivery_count};
    return set_records(f, i, b, &list->items[0], &list->items[list->count - 1]);
}

/* Returns how many records were acquired. */
static int64_t acquire_item(struct fetch *f, struct item *i, int64_t records_max)
{
    struct batches batches = {0};
    struct share_acquired_list list = {0};
    enum kafka_error error = read_batches(f, i, records_max, &batches);

    if (error == KAFKA_NONE) {
        struct share_acquire a = {.member = f->member,
                                  .batches = batches.items,
                                  .count = batches.count,
                                  .records_max = records_max,
                                  .batch_size = request_of(f)->batch_size};
        share_live_acquire(i->live, &a, &list);
        error = set_acquired(f, i, &batches, &list);
    }
    if (error != KAFKA_NONE) fail(f, i, error);
    else if (!list.count) fetched_release(&i->read, &i->copied);
    free(list.items);
    free(batches.items);
    free(batches.positions);
    return list.records;
}

static void acquire(struct fetch *f)
{
    const struct share_fetch_request *in = request_of(f);
    int64_t records_max = MIN(in->max_records, SHARE_FETCH_RECORDS_MAX);
    uint32_t first = f->items_count ? (uint32_t)in->share_session_epoch % f->items_count : 0;

    for (uint32_t n = 0; n < f->items_count; n++) {
        struct item *i = &f->items[(first + n) % f->items_count];
        if (!i->live || !i->read.file) continue;
        if (records_max <= 0) fetched_release(&i->read, &i->copied);
        else records_max -= acquire_item(f, i, records_max);
    }
}

/* -- the answer -- */

static bool is_told(const struct fetch *f, const struct item *i)
{
    return f->initial || i->acknowledged || i->data.error_code != KAFKA_NONE || i->data.acquired_records_count > 0;
}

/* What the fetch quota counts: the records, without the frame around them. */
static int64_t sent_bytes(const struct fetch *f)
{
    int64_t bytes = 0;
    for (uint32_t k = 0; k < f->items_count; k++)
        if (f->items[k].data.acquired_records_count > 0) bytes += f->items[k].read.length;
    return bytes;
}

static enum api_result answer(struct fetch *f)
{
    struct share_fetch_response *out = f->rq->out;
    struct share_fetch_response_share_fetchable_topic_response *topic = NULL;
    struct share_fetch_response_partition_data *data =
        arena_alloc(&f->rq->arena, ((size_t)f->items_count + 1) * sizeof *data);

    out->responses = arena_calloc(&f->rq->arena, (size_t)f->items_count + 1, sizeof *out->responses);
    if (!data || !out->responses) return API_CLOSE;
    request_charge_fetch(f->rq, sent_bytes(f));
    out->acquisition_lock_timeout_ms = shares_lock_ms(f->rq->broker, request_of(f)->group_id);
    for (uint32_t k = 0; k < f->items_count; k++) {
        struct item *i = &f->items[k];
        if (!is_told(f, i)) continue;
        if (!topic || !uuid_eq(topic->topic_id, i->topic_id)) {
            topic = &out->responses[out->responses_count++];
            topic->topic_id = i->topic_id;
            topic->partitions = data;
        }
        *data++ = i->data;
        topic->partitions_count++;
    }
    return API_REPLY;
}

static void refuse(struct request *rq, enum kafka_error error)
{
    struct share_fetch_response *out = rq->out;
    out->error_code = (int16_t)error;
    out->error_message = slice_of(kafka_error_text(error));
}

/* All is done and durable. */
static enum api_result finish(struct api_wait *w)
{
    const struct share_fetch_response *out = w->rq->out;
    return out->error_code ? API_REPLY : answer(container_of(w, struct fetch, wait));
}

static void stop_waiting(struct fetch *f)
{
    purgatory_entry_free(f->waiting);
    f->waiting = NULL;
    shares_wait_cancel(f->rq->broker, &f->waiter);
}

/* The reply is encoded, or nobody wants it: references go. */
static void finished(struct request *rq)
{
    struct fetch *f = rq->parked;

    stop_waiting(f);
    durable_waits_forget(&f->waits);
    for (uint32_t k = 0; k < f->items_count; k++) fetched_release(&f->items[k].read, &f->items[k].copied);
}

/* -- waiting -- */

static void go_on(struct fetch *f, bool expired)
{
    request_renew(f->rq);
    if (f->limit_reached) {
        if (!expired) return;
        refuse(f->rq, KAFKA_SHARE_SESSION_LIMIT_REACHED);
    } else if (!session_is_ours(f)) {
        refuse(f->rq, KAFKA_INVALID_SHARE_SESSION_EPOCH);
    } else {
        plan(f);
        if (!expired && !must_answer(f)) {
            for (uint32_t k = 0; k < f->items_count; k++) fetched_release(&f->items[k].read, &f->items[k].copied);
            purgatory_entry_rearm(f->waiting);
            if (!f->waiter.waiting) shares_wait(f->rq->broker, &f->waiter);
            return;
        }
        acquire(f);
    }
    stop_waiting(f);
    api_wait_done(&f->wait);
}

static void log_woken(void *arg)
{
    go_on(arg, false);
}

static void group_woken(struct share_waiter *w)
{
    go_on(container_of(w, struct fetch, waiter), false);
}

static void expired(void *arg)
{
    go_on(arg, true);
}

static bool park(struct fetch *f)
{
    const struct share_fetch_request *in = request_of(f);

    f->waiting =
        purgatory_entry_new(request_loop(f->rq), request_mailbox(f->rq), f->items_count, log_woken, expired, f);
    if (!f->waiting) return false;
    for (uint32_t k = 0; k < f->items_count; k++) {
        struct item *i = &f->items[k];
        if (i->log && i->data.error_code == KAFKA_NONE) {
            struct log_marks m = partition_log_marks(i->log);
            int64_t mark = f->isolation == READ_COMMITTED ? m.last_stable : m.high_watermark;
            /* What came since the plan counts: it was read with the marks of then. */
            if (i->live && !i->read.file) mark = MIN(mark, share_partition_fetch_offset(share_live_partition(i->live)));
            purgatory_entry_add(f->waiting, i->log, mark, f->isolation);
        }
        fetched_release(&i->read, &i->copied);
    }
    api_wait_more(&f->wait);
    f->waiter = (struct share_waiter){.group_id = in->group_id, .wake = group_woken};
    if (!f->limit_reached) shares_wait(f->rq->broker, &f->waiter);
    purgatory_entry_start(f->waiting, in->max_wait_ms);
    return true;
}

API_HANDLER(share_fetch)
{
    struct fetch *f = arena_calloc(&rq->arena, 1, sizeof *f);
    struct share_session *session = NULL;

    if (!f) return API_CLOSE;
    f->rq = rq;
    api_wait_init(&f->wait, rq, finish);
    LIST_INIT(&f->waits);
    f->initial = in->share_session_epoch == SHARE_SESSION_EPOCH_INITIAL;
    f->final = in->share_session_epoch == SHARE_SESSION_EPOCH_FINAL;
    enum kafka_error error = share_request_check(rq, in->group_id, in->member_id, &f->member);
    if (error == KAFKA_NONE) error = take_session(f, &session);
    f->limit_reached = error == KAFKA_SHARE_SESSION_LIMIT_REACHED && in->max_wait_ms > 0;
    if (error != KAFKA_NONE && !f->limit_reached) {
        refuse(rq, error);
        return API_REPLY;
    }
    rq->parked = f;
    rq->finished = finished;
    rq->cancel = finished;
    bool wait = f->limit_reached;
    if (!f->limit_reached) {
        f->isolation = shares_read_committed(rq->broker, in->group_id) ? READ_COMMITTED : READ_UNCOMMITTED;
        if (!make_items(f, session) || !acknowledge_all(f)) return API_CLOSE; /* finished() forgets open steps */
        if (f->final) shares_session_close(rq->broker, session);
        plan(f);
        wait = !must_answer(f);
        if (!wait) acquire(f);
    }
    if (wait && !park(f)) return API_CLOSE;
    return api_wait_result(&f->wait);
}
