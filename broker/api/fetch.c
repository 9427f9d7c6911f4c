/* Fetch, key 1: reads batches as they are stored. Network thread.
 *
 *   plan --enough bytes, an error, no time--> reply
 *    ^ \--else--> parked on its partitions (purgatory) --woken--> plan
 *                                                      --deadline--> plan, reply
 * Records leave as file ranges (sendfile); short ones are read into the response. Sizes: KIP-74: max_bytes is for the
 * response, the first batch is returned whole whatever its size. Sessions: KIP-227 (fetch_session.h). */
#include "broker/api/fetched.h"
#include "broker/api/wait.h"
#include "broker/fetch/fetch_session.h"
#include "broker/partition.h"
#include "broker/fetch/purgatory.h"
#include "broker/state.h"
#include "protocol/compress.h"
#include "protocol/api_handlers.h"
#include "storage/log_dir.h"

#include <string.h>

#define VERSION_OF_SESSIONS    7
#define VERSION_OF_ZSTD        10
#define VERSION_OF_IDS         13
#define ANSWER_BYTES           20 /* of an answer, and of each partition in it, beside the records */
#define ANSWER_PARTITION_BYTES 60
#define EPOCH_FULL             0
#define EPOCH_FINAL            (-1)

/* One partition that is fetched, and what came of it. */
struct item {
    struct slice topic;
    struct uuid topic_id;
    struct fetch_session_partition *remembered; /* NULL without session */
    int32_t index;
    int32_t max_bytes;
    int32_t current_leader_epoch;
    int32_t last_fetched_epoch;
    int64_t fetch_offset;
    struct partition_log *log; /* of the plan at hand; NULL: error says why */
    enum kafka_error error;
    struct log_read read; /* holds references until the reply is encoded */
    struct block *copied; /* short records */
    struct fetch_response_partition_data data;
};

struct fetch {
    struct api_wait wait; /* one step: until there is enough, or no time left */
    struct request *rq;
    struct fetch_session *session; /* NULL: none */
    bool incremental;              /* only changed partitions are answered */
    enum read_isolation isolation;
    int64_t bytes_max; /* of the answer: what client, broker and quota allow */
    int64_t bytes_min;
    struct item *items;
    int32_t items_count;
    int64_t bytes;
    int64_t used; /* of the limits: as Kafka counts, which also sends the part of a batch that still fits */
    bool has_error;
    struct purgatory_entry *waiting;
};

/* -- which partitions -- */

static void item_from_request(struct item *i, const struct fetch_request_topic *t,
                              const struct fetch_request_partition *p)
{
    *i = (struct item){
        .topic = t->topic,
        .topic_id = t->topic_id,
        .index = p->partition,
        .max_bytes = p->partition_max_bytes,
        .current_leader_epoch = p->current_leader_epoch,
        .last_fetched_epoch = p->last_fetched_epoch,
        .fetch_offset = p->fetch_offset,
    };
}

static bool take_request(struct fetch *f, const struct fetch_request *in)
{
    int64_t count = 0;

    for (int32_t t = 0; t < in->topics_count; t++) count += in->topics[t].partitions_count;
    f->items = arena_alloc(&f->rq->arena, (size_t)MAX(count, 1) * sizeof *f->items);
    if (!f->items) return false;
    for (int32_t t = 0; t < in->topics_count; t++)
        for (int32_t p = 0; p < in->topics[t].partitions_count; p++)
            item_from_request(&f->items[f->items_count++], &in->topics[t], &in->topics[t].partitions[p]);
    return true;
}

/* false: a limit of the sessions is reached. */
static bool remember(struct fetch_session *s, const struct fetch_request *in)
{
    for (int32_t t = 0; t < in->topics_count; t++) {
        const struct fetch_request_topic *topic = &in->topics[t];
        for (int32_t i = 0; i < topic->partitions_count; i++) {
            const struct fetch_request_partition *asked = &topic->partitions[i];
            struct fetch_session_partition *p = fetch_session_add(s, topic->topic_id, topic->topic, asked->partition);
            if (!p) return false;
            p->max_bytes = asked->partition_max_bytes;
            p->current_leader_epoch = asked->current_leader_epoch;
            p->last_fetched_epoch = asked->last_fetched_epoch;
            p->fetch_offset = asked->fetch_offset;
        }
    }
    return true;
}

static bool take_session(struct fetch *f)
{
    struct fetch_session *s = f->session;
    struct fetch_session_partition *p;

    f->items = arena_alloc(&f->rq->arena, (size_t)MAX(s->partitions_count, 1u) * sizeof *f->items);
    if (!f->items) return false;
    f->items_count = 0;
    TAILQ_FOREACH(p, &s->partitions, link)
        f->items[f->items_count++] = (struct item){
            .topic = p->topic,
            .topic_id = p->topic_id,
            .remembered = p,
            .index = p->index,
            .max_bytes = p->max_bytes,
            .current_leader_epoch = p->current_leader_epoch,
            .last_fetched_epoch = p->last_fetched_epoch,
            .fetch_offset = p->fetch_offset,
        };
    return true;
}

static void close_session(struct fetch *f, int32_t id)
{
    struct fetch_session *s = fetch_session_take(f->rq->broker->fetch_sessions, id, f->rq->now_ms);
    if (s) fetch_session_close(s);
}

/* A full fetch; a session is made when the client asks for one and there is room. */
static bool open_full(struct fetch *f, const struct fetch_request *in, bool with_session)
{
    if (!take_request(f, in)) return false;
    if (!with_session || f->items_count == 0) return true;
    struct fetch_session *s = fetch_session_create(f->rq->broker->fetch_sessions, f->rq->version >= VERSION_OF_IDS,
                                                   (uint32_t)f->items_count, f->rq->now_ms);
    if (!s) return true;
    if (!remember(s, in)) {
        fetch_session_close(s);
        return true;
    }
    f->session = s;
    return take_session(f);
}

static enum kafka_error open_incremental(struct fetch *f, const struct fetch_request *in, bool *ret_memory)
{
    struct fetch_session *s = fetch_session_take(f->rq->broker->fetch_sessions, in->session_id, f->rq->now_ms);
    enum kafka_error error = KAFKA_NONE;

    if (!s) return KAFKA_FETCH_SESSION_ID_NOT_FOUND;
    if (in->session_epoch != s->epoch) error = KAFKA_INVALID_FETCH_SESSION_EPOCH;
    else if (s->by_id != (f->rq->version >= VERSION_OF_IDS)) error = KAFKA_FETCH_SESSION_TOPIC_ID_ERROR;
    if (error != KAFKA_NONE) {
        fetch_session_give_back(s);
        return error;
    }
    for (int32_t t = 0; t < in->forgotten_topics_data_count; t++)
        for (int32_t i = 0; i < in->forgotten_topics_data[t].partitions_count; i++)
            fetch_session_forget(s, in->forgotten_topics_data[t].topic_id, in->forgotten_topics_data[t].topic,
                                 in->forgotten_topics_data[t].partitions[i]);
    if (!remember(s, in)) {
        fetch_session_close(s);
        return KAFKA_FETCH_SESSION_ID_NOT_FOUND; /* the client begins anew, without */
    }
    if (s->partitions_count == 0) {
        fetch_session_close(s);
        return KAFKA_NONE;
    }
    s->epoch = s->epoch == INT32_MAX ? 1 : s->epoch + 1;
    f->session = s;
    f->incremental = true;
    *ret_memory = take_session(f);
    return KAFKA_NONE;
}

static enum kafka_error open_context(struct fetch *f, const struct fetch_request *in, bool *ret_memory)
{
    bool with_session = f->rq->version >= VERSION_OF_SESSIONS && in->session_epoch == EPOCH_FULL;

    *ret_memory = true;
    if (f->rq->version >= VERSION_OF_SESSIONS && in->session_id != 0) {
        if (in->session_epoch > 0) return open_incremental(f, in, ret_memory);
        close_session(f, in->session_id);
    } else if (in->session_epoch > 0) {
        return KAFKA_FETCH_SESSION_ID_NOT_FOUND;
    }
    *ret_memory = open_full(f, in, with_session);
    return KAFKA_NONE;
}

/* -- planning -- */

static bool set_aborted(struct fetch *f, struct item *i)
{
    struct fetch_response_aborted_transaction *list;

    /* Kafka leaves a batch that does not fit out together with the list. */
    if (f->isolation != READ_COMMITTED || i->read.too_small) return true;
    i->data.aborted_transactions_count = 0;
    list = arena_calloc(&f->rq->arena, (size_t)i->read.aborted_count + 1, sizeof *list);
    if (!list) return false;
    for (uint32_t k = 0; k < i->read.aborted_count; k++)
        list[k] = (struct fetch_response_aborted_transaction){.producer_id = i->read.aborted[k].producer_id,
                                                              .first_offset = i->read.aborted[k].first_offset};
    i->data.aborted_transactions = list;
    i->data.aborted_transactions_count = (int32_t)i->read.aborted_count;
    return true;
}

/* The client's log has parted from ours: it gets told where, and no data (KIP-595). */
static bool has_diverged(struct item *i, struct partition_log *log)
{
    int32_t epoch;
    int64_t end;

    if (i->last_fetched_epoch < 0) return false;
    partition_log_epoch_end(log, i->last_fetched_epoch, &epoch, &end);
    if (epoch == i->last_fetched_epoch && end >= i->fetch_offset) return false;
    i->data.diverging_epoch.epoch = epoch;
    i->data.diverging_epoch.end_offset = end;
    return true;
}

static const struct metadata_topic *item_topic(const struct fetch *f, const struct metadata *m, const struct item *i)
{
    return f->rq->version >= VERSION_OF_IDS ? metadata_topic_by_id(m, i->topic_id) : metadata_topic(m, i->topic);
}

/* Whose log is read, and whether it may be. */
static enum kafka_error look_up(const struct fetch *f, const struct metadata *m, struct item *i)
{
    const struct metadata_topic *t = item_topic(f, m, i);
    int16_t error = KAFKA_NONE;

    i->log = NULL;
    if (!t && f->rq->version >= VERSION_OF_IDS) return KAFKA_UNKNOWN_TOPIC_ID;
    if (!request_authorize(f->rq, ACL_READ, RESOURCE_TOPIC, t ? slice_of(t->name) : i->topic))
        return KAFKA_TOPIC_AUTHORIZATION_FAILED;
    struct partition_log *log = partition_of(t, i->index, &error);
    if (!log) return (enum kafka_error)error;
    if (f->rq->version < VERSION_OF_ZSTD && t->log_config.compression_codec == COMPRESSION_ZSTD)
        return KAFKA_UNSUPPORTED_COMPRESSION_TYPE;
    i->log = log;
    return KAFKA_NONE;
}

/* Chooses the range, below the marks of i->read. */
static enum kafka_error plan_item(struct fetch *f, struct item *i, int64_t room)
{
    const struct log_marks marks = i->read.marks;
    enum kafka_error error = (enum kafka_error)leader_epoch_check(marks.leader_epoch, i->current_leader_epoch);

    if (error != KAFKA_NONE) return error;
    if (!has_diverged(i, i->log)) {
        uint32_t size_max = (uint32_t)MIN(MAX(room, 0), MAX(i->max_bytes, 0));
        error = partition_log_read_at(i->log, &marks, i->fetch_offset, size_max, f->used == 0, f->isolation, &i->read);
        if (error != KAFKA_NONE) return error;
    }
    i->data.high_watermark = i->read.marks.high_watermark;
    i->data.last_stable_offset = i->read.marks.last_stable;
    i->data.log_start_offset = i->read.marks.log_start;
    return set_aborted(f, i) ? KAFKA_NONE : KAFKA_UNKNOWN_SERVER_ERROR;
}

static void item_reset(struct item *i)
{
    fetched_release(&i->read, &i->copied);
    fetch_response_partition_data_init(&i->data);
    i->data.partition_index = i->index;
    i->data.high_watermark = i->data.last_stable_offset = i->data.log_start_offset = -1;
    i->data.aborted_transactions_count = -1;
    i->data.records = WIRE_RECORDS_EMPTY; /* no data is empty, never null */
}

static void item_fail(struct fetch *f, struct item *i, enum kafka_error error)
{
    item_reset(i);
    /* Kafka's answer without having looked into a log: empty; with an error of the log: null. */
    bool known = error != KAFKA_UNKNOWN_TOPIC_ID && error != KAFKA_UNKNOWN_TOPIC_OR_PARTITION &&
                 error != KAFKA_TOPIC_AUTHORIZATION_FAILED;
    i->data.aborted_transactions_count = known ? -1 : 0;
    i->data.error_code = (int16_t)error;
    f->has_error = true;
}

static void plan(struct fetch *f)
{
    const struct metadata *m = request_metadata(f->rq);

    f->bytes = f->used = 0;
    f->has_error = false;
    for (int32_t k = 0; k < f->items_count; k++) {
        item_reset(&f->items[k]);
        f->items[k].error = look_up(f, m, &f->items[k]);
    }
    /* Nothing else under the lock, which those wait for who publish a unit: the disk is read below these marks. */
    log_dir_visibility_lock(f->rq->broker->dir);
    for (int32_t k = 0; k < f->items_count; k++)
        if (f->items[k].log) f->items[k].read.marks = partition_log_marks(f->items[k].log);
    log_dir_visibility_unlock(f->rq->broker->dir);
    for (int32_t k = 0; k < f->items_count; k++) {
        struct item *i = &f->items[k];

        enum kafka_error error = i->log ? plan_item(f, i, f->bytes_max - f->used) : i->error;
        if (error != KAFKA_NONE) item_fail(f, i, error);
        f->has_error |= i->data.diverging_epoch.epoch >= 0;
        f->bytes += i->read.length;
        f->used += i->read.allowed;
    }
    int64_t copies_bytes = 0;
    for (int32_t k = 0; k < f->items_count; k++) {
        struct item *i = &f->items[k];
        if (!i->read.file) continue;
        enum kafka_error error = fetched_records(&i->read, &copies_bytes, &i->copied, &i->data.records);
        if (error != KAFKA_NONE) item_fail(f, i, error);
    }
}

static bool must_answer(const struct fetch *f)
{
    const struct fetch_request *in = f->rq->in;
    return f->has_error || f->items_count == 0 || f->used >= f->bytes_min || in->max_wait_ms <= 0;
}

/* -- the answer -- */

/* Whether an incremental answer names the partition; remembers what was told. */
static bool is_news(struct item *i)
{
    struct fetch_session_partition *p = i->remembered;
    bool has_data = wire_records_size(&i->data.records) > 0;
    bool news = has_data || i->data.error_code != KAFKA_NONE || i->data.diverging_epoch.epoch >= 0 ||
                p->high_watermark != i->data.high_watermark || p->log_start != i->data.log_start_offset;

    p->high_watermark = i->data.error_code == KAFKA_NONE ? i->data.high_watermark : -1;
    p->log_start = i->data.log_start_offset;
    return news;
}

static bool same_topic(const struct fetch *f, const struct item *a, const struct item *b)
{
    return f->rq->version >= VERSION_OF_IDS ? uuid_eq(a->topic_id, b->topic_id) : slice_eq(a->topic, b->topic);
}

/* What the answer takes on the wire, about: records, and the fields around them. */
static int64_t answer_bytes(const struct fetch *f)
{
    return ANSWER_BYTES + f->items_count * ANSWER_PARTITION_BYTES + f->bytes;
}

/* The client has to wait: it is told so and gets nothing, and what it was told before stands. */
static enum api_result answer_nothing(struct fetch *f)
{
    struct fetch_response *out = f->rq->out;

    if (f->session && !f->incremental) {
        fetch_session_close(f->session);
        f->session = NULL;
    }
    out->session_id = f->session ? f->session->id : 0;
    return API_REPLY;
}

static enum api_result answer(struct fetch *f)
{
    struct fetch_response *out = f->rq->out;
    struct fetch_response_fetchable_topic_response *topic = NULL;
    const struct item *before = NULL;
    struct fetch_response_partition_data *data =
        arena_alloc(&f->rq->arena, (size_t)MAX(f->items_count, 1) * sizeof *data);

    if (request_throttle_fetch(f->rq, answer_bytes(f))) return answer_nothing(f);
    out->responses = arena_calloc(&f->rq->arena, (size_t)MAX(f->items_count, 1), sizeof *out->responses);
    if (!data || !out->responses) return API_CLOSE;
    out->session_id = f->session ? f->session->id : 0;
    for (int32_t k = 0; k < f->items_count; k++) {
        struct item *i = &f->items[k];
        if (f->session && !is_news(i) && f->incremental) continue;
        if (!before || !same_topic(f, before, i)) {
            topic = &out->responses[out->responses_count++];
            fetch_response_fetchable_topic_response_init(topic);
            topic->topic = i->topic;
            topic->topic_id = i->topic_id;
            topic->partitions = data;
        }
        before = i;
        *data++ = i->data;
        topic->partitions_count++;
    }
    for (int32_t k = 0; f->session && k < f->items_count; k++)
        if (wire_records_size(&f->items[k].data.records) > 0) fetch_session_rotate(f->session, f->items[k].remembered);
    return API_REPLY;
}

/* The reply is encoded, or nobody wants it: references go. */
static void finished(struct request *rq)
{
    struct fetch *f = rq->parked;

    purgatory_entry_free(f->waiting);
    f->waiting = NULL;
    for (int32_t k = 0; k < f->items_count; k++) fetched_release(&f->items[k].read, &f->items[k].copied);
    if (f->session) fetch_session_give_back(f->session);
    f->session = NULL;
}

/* -- waiting -- */

static void reply(struct fetch *f)
{
    purgatory_entry_free(f->waiting);
    f->waiting = NULL;
    api_wait_done(&f->wait);
}

static void woken(void *arg)
{
    struct fetch *f = arg;

    request_renew(f->rq);
    plan(f);
    if (must_answer(f)) reply(f);
    else purgatory_entry_rearm(f->waiting);
}

static void expired(void *arg)
{
    struct fetch *f = arg;

    request_renew(f->rq);
    plan(f);
    reply(f);
}

static enum api_result finish(struct api_wait *w)
{
    return answer(container_of(w, struct fetch, wait));
}

/* finished() does the rest when the request is freed. */
static void cancel(struct request *rq)
{
    struct fetch *f = rq->parked;
    purgatory_entry_free(f->waiting);
    f->waiting = NULL;
}

static bool park(struct fetch *f)
{
    const struct fetch_request *in = f->rq->in;
    const struct metadata *m = request_metadata(f->rq);

    f->waiting =
        purgatory_entry_new(request_loop(f->rq), request_mailbox(f->rq), (uint32_t)f->items_count, woken, expired, f);
    if (!f->waiting) return false;
    for (int32_t k = 0; k < f->items_count; k++) {
        struct item *i = &f->items[k];
        int16_t error;
        struct partition_log *log = partition_of(item_topic(f, m, i), i->index, &error);
        int64_t end = f->isolation == READ_COMMITTED ? i->read.marks.last_stable : i->read.marks.high_watermark;
        if (log) purgatory_entry_add(f->waiting, log, end, f->isolation);
    }
    f->rq->cancel = cancel;
    api_wait_more(&f->wait);
    purgatory_entry_start(f->waiting, in->max_wait_ms);
    return true;
}

enum api_result api_handle_fetch(struct request *rq, const struct fetch_request *in, struct fetch_response *out)
{
    struct fetch *f = arena_calloc(&rq->arena, 1, sizeof *f);
    bool memory;

    if (!f) return API_CLOSE;
    f->rq = rq;
    api_wait_init(&f->wait, rq, finish);
    f->isolation = in->isolation_level == 1 ? READ_COMMITTED : READ_UNCOMMITTED;
    rq->parked = f;
    rq->finished = finished;
    enum kafka_error error = open_context(f, in, &memory);
    if (!memory) return API_CLOSE;
    if (error != KAFKA_NONE) {
        out->error_code = (int16_t)error;
        return API_REPLY;
    }
    int64_t quota_max = request_fetch_bytes_max(rq);
    f->bytes_max = MIN(MIN(in->max_bytes, request_metadata(rq)->config->fetch_max_bytes), quota_max);
    f->bytes_min = MIN(in->min_bytes, quota_max);
    plan(f);
    if (!must_answer(f) && !park(f)) return API_CLOSE;
    return api_wait_result(&f->wait);
}
