/* Produce, key 0: appends record batches. Network thread; in strict durability the answer waits for the disk.
 *
 * A transactional batch is appended here when its producer's transaction is open in the partition. The first batch of a
 * transaction goes to the control thread, which owns transactions: there the coordinator says whether the partition was
 * added (v12+: adds it), and there it is appended, so that no marker can come in between (KIP-890).
 *
 * Each partition holds exactly one batch of magic 2; what the log refuses comes back with its text (v8+). Versions 0 to
 * 2 are advertised, because old librdkafka needs to see them, and close the connection, as Kafka 4 does. */
#include "broker/api/wait.h"
#include "broker/partition.h"
#include "broker/state.h"
#include "broker/txn/txn_store.h"
#include "protocol/api_handlers.h"
#include "protocol/record_batch.h"

#include "base/log.h"

#define ADMIN_CLIENT_ID "__admin_client"

#define VERSION_OF_ZSTD      7
#define VERSION_OF_ABORTABLE 11 /* knows TRANSACTION_ABORTABLE */
#define VERSION_OF_TXN_2     12 /* adds partitions to transactions by itself */
#define VERSION_OF_TOPIC_ID  13

/* The first batch of a transaction in a partition. */
struct first_batch {
    struct partition_log *log; /* a reference */
    struct slice topic;
    int32_t partition;
    struct slice records;
    struct record_batch batch;
    bool strict; /* the answer waits for the disk */
    struct produce_response_partition_produce_response *out;
};

/* -- answers that wait for the disk, or for the coordinator -- */

struct produce {
    struct api_wait wait;       /* for partitions that are being synced, and the coordinator */
    struct first_batch *firsts; /* room for all partitions, in the arena */
    uint32_t firsts_count;
    struct txn_call call;
};

static void fail_all(struct produce_response *out)
{
    for (int32_t i = 0; i < out->responses_count; i++)
        for (int32_t k = 0; k < out->responses[i].partition_responses_count; k++) {
            struct produce_response_partition_produce_response *p = &out->responses[i].partition_responses[k];
            if (p->error_code != KAFKA_NONE) continue;
            p->error_code = KAFKA_STORAGE_ERROR;
            p->base_offset = -1;
        }
}

static bool has_error(const struct produce_response *out)
{
    for (int32_t i = 0; i < out->responses_count; i++)
        for (int32_t k = 0; k < out->responses[i].partition_responses_count; k++)
            if (out->responses[i].partition_responses[k].error_code != KAFKA_NONE) return true;
    return false;
}

/* Everything is said in out. */
static enum api_result reply(struct request *rq, const struct produce_request *in, const struct produce_response *out)
{
    if (in->acks != 0) return API_REPLY;
    if (!has_error(out)) return API_SILENT;
    rq->cause = "a batch without acknowledgement was refused"; /* there is no other way to tell */
    return API_CLOSE;
}

static enum api_result finish(struct api_wait *w)
{
    struct request *rq = w->rq;

    /* Which of the partitions failed does not matter to a client: it sends them all again, and none is taken twice. */
    if (w->failed) fail_all(rq->out);
    return reply(rq, rq->in, rq->out);
}

static void await_sync(struct produce *p, struct partition_log *log, int64_t end)
{
    api_wait_more(&p->wait);
    partition_log_sync_async(log, end, api_wait_synced, &p->wait);
}

/* -- one partition -- */

static void set_text(struct request *rq, struct produce_response_partition_produce_response *out,
                     const struct log_append *a)
{
    out->error_message = slice_of(a->error_message); /* static texts */
    if (a->record_errors_count == 0) return;
    out->record_errors = arena_calloc(&rq->arena, (size_t)a->record_errors_count, sizeof *out->record_errors);
    for (int32_t i = 0; out->record_errors && i < a->record_errors_count; i++) {
        out->record_errors[i] = (struct produce_response_batch_index_and_error_message){
            .batch_index = a->record_errors[i].index,
            .batch_index_error_message = slice_of(a->record_errors[i].message)};
        out->record_errors_count++;
    }
}

#define LENGTH_MIN 14 /* of the smallest message of any magic: what Kafka asks for before it knows the topic [bytes] */

/* Bytes that Kafka cannot even cut into batches. */
static bool is_corrupt(struct slice bytes, enum record_batch_result result)
{
    if (result == RECORD_BATCH_PARTIAL || result == RECORD_BATCH_END) return false;
    return result == RECORD_BATCH_BAD_MAGIC || (int32_t)be32_load(bytes.ptr + RECORD_BATCH_AT_LENGTH) < LENGTH_MIN;
}

/* What refuses a whole request, of any topics, before anything else is looked at: the first batches. */
static enum kafka_error check_first_batches(struct request *rq, const struct produce_request *in, const char **ret_text)
{
    struct record_batch b;

    for (int32_t i = 0; i < in->topic_data_count; i++)
        for (int32_t k = 0; k < in->topic_data[i].partition_data_count; k++) {
            struct slice records = in->topic_data[i].partition_data[k].records.slice;
            enum record_batch_result result = record_batch_parse(records, &b);
            if (is_corrupt(records, result)) return *ret_text = "the bytes are no record batch", KAFKA_CORRUPT_MESSAGE;
            if (result != RECORD_BATCH_OK || !record_batch_is_transactional(&b)) continue;
            if (slice_is_null(in->transactional_id))
                return *ret_text = "a transactional batch without a transactional id",
                       KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
            return request_authorize(rq, ACL_WRITE, RESOURCE_TRANSACTIONAL_ID, in->transactional_id)
                       ? KAFKA_NONE
                       : KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
        }
    return KAFKA_NONE;
}

/* One partition's bytes: one batch of magic 2. */
static enum kafka_error check_batch(struct request *rq, struct slice records, struct record_batch *ret_batch,
                                    const char **ret_text)
{
    struct slice rest = records, behind;
    struct record_batch second;

    if (records.len == 0)
        return *ret_text = "a produce request holds one record batch per partition, not none", KAFKA_INVALID_RECORD;
    enum record_batch_result result = record_batch_next(&rest, ret_batch);
    if (result != RECORD_BATCH_OK)
        return *ret_text = "the bytes are no record batch of magic 2",
               result == RECORD_BATCH_BAD_LENGTH || result == RECORD_BATCH_BAD_MAGIC ? KAFKA_CORRUPT_MESSAGE
                                                                                     : KAFKA_INVALID_RECORD;
    if (rq->version < VERSION_OF_ZSTD && record_batch_codec(ret_batch) >= COMPRESSION_ZSTD)
        return *ret_text = "zstd needs version 7 of Produce", KAFKA_UNSUPPORTED_COMPRESSION_TYPE;
    behind = rest;
    result = record_batch_next(&rest, &second);
    if (is_corrupt(behind, result)) return *ret_text = "what follows the batch is none", KAFKA_CORRUPT_MESSAGE;
    if (result == RECORD_BATCH_OK || result == RECORD_BATCH_LEGACY)
        return *ret_text = "a partition takes one batch per request", KAFKA_INVALID_RECORD;
    return KAFKA_NONE; /* a part of one is left out */
}

static enum kafka_error check_topic(struct request *rq, const struct produce_request *in,
                                    const struct metadata_topic *t, const char **ret_text)
{
    if (in->acks < -1 || in->acks > 1) return KAFKA_INVALID_REQUIRED_ACKS;
    if (t->internal && (t->reserved || !slice_eq_text(rq->client_id, ADMIN_CLIENT_ID)))
        return *ret_text = "clients may not write to internal topics", KAFKA_INVALID_TOPIC_EXCEPTION;
    if (in->acks == -1 && t->min_insync_replicas > 1)
        return *ret_text = "min.insync.replicas is more than the one replica that there is", KAFKA_NOT_ENOUGH_REPLICAS;
    return KAFKA_NONE;
}

/* Kafka names the log start offset with errors of the batch, not with those that its leader could have expected. */
static bool tells_log_start(enum kafka_error error, bool txn_must_be_open)
{
    switch (error) {
    case KAFKA_INVALID_PRODUCER_EPOCH: return !txn_must_be_open; /* then seen before the coordinator was asked */
    case KAFKA_UNKNOWN_TOPIC_OR_PARTITION:
    case KAFKA_NOT_LEADER_OR_FOLLOWER:
    case KAFKA_MESSAGE_TOO_LARGE:
    case KAFKA_RECORD_LIST_TOO_LARGE:
    case KAFKA_CORRUPT_MESSAGE:
    case KAFKA_STORAGE_ERROR: return false;
    default: return true;
    }
}

/* Appends one batch and fills out. *ret_not_open: nothing happened, the coordinator is to be asked. */
static void append_batch(struct request *rq, struct partition_log *log, struct slice records, bool must_be_open,
                         struct produce_response_partition_produce_response *out, int64_t *ret_end, bool *ret_not_open)
{
    struct log_append a = {.origin = APPEND_CLIENT,
                           .batches = (uint8_t *)(uintptr_t)records.ptr,
                           .size = records.len,
                           .txn_must_be_open = must_be_open,
                           .txn_bumps_epochs = rq->version >= VERSION_OF_TXN_2};
    enum kafka_error error = partition_log_append(log, &a);

    *ret_not_open = error != KAFKA_NONE && a.txn_not_open;
    if (*ret_not_open) return;
    out->error_code = (int16_t)error;
    if (error != KAFKA_NONE) {
        set_text(rq, out, &a);
        if (tells_log_start(error, must_be_open)) out->log_start_offset = partition_log_marks(log).log_start;
        if (error == KAFKA_NOT_LEADER_OR_FOLLOWER) { /* deleted meanwhile */
            out->current_leader.leader_id = rq->broker->node_id;
            out->current_leader.leader_epoch = partition_log_marks(log).leader_epoch;
        }
        log_info("produce", "batch refused partition=%s client=%s error=%s cause=\"%s\"", partition_log_name(log),
                 rq->client_address, kafka_error_name(error), a.error_message ? a.error_message : "");
        return;
    }
    out->base_offset = a.base_offset;
    out->log_append_time_ms = a.log_append_time_ms;
    out->log_start_offset = partition_log_marks(log).log_start;
    *ret_end = a.last_offset + 1;
}

/* Keeps a batch for the control thread. */
static bool defer(struct produce *p, const struct produce_request *in, const struct first_batch *first)
{
    struct arena *arena = &p->wait.rq->arena;
    size_t count = 0;

    if (!p->firsts) {
        for (int32_t i = 0; i < in->topic_data_count; i++) count += (size_t)in->topic_data[i].partition_data_count;
        p->firsts = arena_calloc(arena, count, sizeof p->firsts[0]);
        if (!p->firsts) return false;
    }
    struct first_batch *f = &p->firsts[p->firsts_count];
    *f = *first;
    f->topic = arena_slice_dup(arena, first->topic);
    if (!f->topic.ptr) return false;
    partition_log_ref(f->log);
    p->firsts_count++;
    return true;
}

static void append(struct produce *p, const struct produce_request *in, const struct metadata_topic *t,
                   const struct produce_request_partition_produce_data *data,
                   struct produce_response_partition_produce_response *out)
{
    struct request *rq = p->wait.rq;
    struct partition_log *log = partition_of(t, data->index, &out->error_code);
    struct slice records = data->records.slice;
    struct record_batch batch;
    const char *text = NULL;

    out->base_offset = -1;
    if (!log) return;
    enum kafka_error error = check_batch(rq, records, &batch, &text);
    if (error == KAFKA_NONE) error = check_topic(rq, in, t, &text);
    if (error != KAFKA_NONE) {
        out->error_code = (int16_t)error;
        out->error_message = slice_of(text);
        return;
    }
    bool must_be_open =
        record_batch_is_transactional(&batch) &&
        (rq->version >= VERSION_OF_TXN_2 || request_metadata(rq)->config->transaction_partition_verification_enable);
    bool strict = t->log_config.strict && in->acks == -1;
    int64_t end = -1;
    bool not_open;
    append_batch(rq, log, records, must_be_open, out, &end, &not_open);
    if (not_open) {
        struct first_batch first = {.log = log,
                                    .topic = slice_of(t->name),
                                    .partition = data->index,
                                    .records = records,
                                    .batch = batch,
                                    .strict = strict,
                                    .out = out};
        if (!defer(p, in, &first)) out->error_code = KAFKA_UNKNOWN_SERVER_ERROR;
    } else if (strict && end >= 0) {
        await_sync(p, log, end);
    }
}

/* -- first batches: control thread -- */

/* What the coordinator says, in words that this version of Produce knows. */
static enum kafka_error coordinator_error(const struct request *rq, enum kafka_error error)
{
    switch (error) {
    case KAFKA_CONCURRENT_TRANSACTIONS: return rq->version >= VERSION_OF_TXN_2 ? error : KAFKA_NOT_ENOUGH_REPLICAS;
    case KAFKA_COORDINATOR_LOAD_IN_PROGRESS:
    case KAFKA_COORDINATOR_NOT_AVAILABLE:
    case KAFKA_NOT_COORDINATOR: return KAFKA_NOT_ENOUGH_REPLICAS; /* which every client tries again */
    case KAFKA_PRODUCER_FENCED: return KAFKA_INVALID_PRODUCER_EPOCH;
    case KAFKA_TRANSACTION_ABORTABLE: return rq->version >= VERSION_OF_ABORTABLE ? error : KAFKA_INVALID_TXN_STATE;
    default: return error;
    }
}

static void first_append(struct produce *p, struct first_batch *f, enum kafka_error error)
{
    int64_t end = -1;
    bool not_open;

    if (error == KAFKA_NONE) append_batch(p->wait.rq, f->log, f->records, false, f->out, &end, &not_open);
    else f->out->error_code = (int16_t)coordinator_error(p->wait.rq, error);
    if (f->strict && end >= 0) await_sync(p, f->log, end);
    partition_log_unref(f->log);
}

static struct txn_producer producer_of(const struct produce *p, const struct first_batch *f)
{
    const struct produce_request *in = p->wait.rq->in;
    return (struct txn_producer){
        .id = in->transactional_id, .producer_id = f->batch.producer_id, .epoch = f->batch.producer_epoch};
}

static void firsts_added(struct txn_call *call, const struct txn_result *result)
{
    struct produce *p = container_of(call, struct produce, call);
    for (uint32_t i = 0; i < p->firsts_count; i++) {
        struct first_batch *f = &p->firsts[i];
        bool same = f->batch.producer_id == p->firsts[0].batch.producer_id &&
                    f->batch.producer_epoch == p->firsts[0].batch.producer_epoch; /* as the coordinator was asked */
        first_append(p, f, same || result->error != KAFKA_NONE ? result->error : KAFKA_INVALID_PRODUCER_ID_MAPPING);
    }
    api_wait_done_elsewhere(&p->wait);
}

static void firsts_run(void *arg)
{
    struct produce *p = arg;
    struct request *rq = p->wait.rq;
    const struct produce_request *in = rq->in;
    enum kafka_error error;
    struct txns *ts = txns_for(rq, in->transactional_id, ACL_WRITE, &error);
    struct txn_producer who = producer_of(p, &p->firsts[0]);

    p->call.answer = firsts_added;
    if (!ts) {
        firsts_added(&p->call, &(struct txn_result){.error = error});
    } else if (rq->version < VERSION_OF_TXN_2) {
        for (uint32_t i = 0; i < p->firsts_count; i++) {
            struct first_batch *f = &p->firsts[i];
            who = producer_of(p, f);
            first_append(p, f, txn_verify(ts, &who, f->topic, f->partition));
        }
        api_wait_done_elsewhere(&p->wait);
    } else {
        AUTO_FREE struct txn_add_partition *partitions = xcalloc(p->firsts_count, sizeof *partitions);
        for (uint32_t i = 0; i < p->firsts_count; i++)
            partitions[i] =
                (struct txn_add_partition){.topic = p->firsts[i].topic, .partition = p->firsts[i].partition};
        txn_add(ts, &who, TXN_VERSION_2, partitions, p->firsts_count, &p->call);
    }
}

static void firsts_start(struct produce *p)
{
    api_wait_more(&p->wait);
    if (broker_control_post(p->wait.rq->broker, firsts_run, p)) return;
    firsts_added(&p->call, &(struct txn_result){.error = KAFKA_COORDINATOR_NOT_AVAILABLE}); /* the broker stops */
}

/* -- the request -- */

static bool prepare(struct request *rq, const struct produce_request *in, struct produce_response *out)
{
    out->responses = arena_calloc(&rq->arena, (size_t)MAX(in->topic_data_count, 1), sizeof *out->responses);
    if (!out->responses) return false;
    out->responses_count = in->topic_data_count;
    for (int32_t i = 0; i < in->topic_data_count; i++) {
        const struct produce_request_topic_produce_data *asked = &in->topic_data[i];
        struct produce_response_topic_produce_response *topic = &out->responses[i];

        produce_response_topic_produce_response_init(topic);
        topic->name = asked->name;
        topic->topic_id = asked->topic_id;
        topic->partition_responses =
            arena_calloc(&rq->arena, (size_t)MAX(asked->partition_data_count, 1), sizeof *topic->partition_responses);
        if (!topic->partition_responses) return false;
        topic->partition_responses_count = asked->partition_data_count;
        for (int32_t k = 0; k < asked->partition_data_count; k++) {
            produce_response_partition_produce_response_init(&topic->partition_responses[k]);
            topic->partition_responses[k].index = asked->partition_data[k].index;
        }
    }
    return true;
}

static void refuse_all(struct produce_response *out, enum kafka_error error, const char *text)
{
    for (int32_t i = 0; i < out->responses_count; i++)
        for (int32_t k = 0; k < out->responses[i].partition_responses_count; k++) {
            struct produce_response_partition_produce_response *p = &out->responses[i].partition_responses[k];
            p->error_code = (int16_t)error;
            p->error_message = slice_of(text);
            p->base_offset = -1;
        }
}

enum api_result api_handle_produce(struct request *rq, const struct produce_request *in, struct produce_response *out)
{
    const struct metadata *m = request_metadata(rq);
    struct produce *p = arena_calloc(&rq->arena, 1, sizeof *p);
    bool by_id = rq->version >= VERSION_OF_TOPIC_ID;

    if (rq->version < 3) {
        rq->cause = "message sets are not taken";
        return API_CLOSE;
    }
    if (!p || !prepare(rq, in, out)) return API_CLOSE;
    const char *text = NULL;
    enum kafka_error error = check_first_batches(rq, in, &text);
    if (error != KAFKA_NONE) {
        refuse_all(out, error, text);
        return reply(rq, in, out);
    }
    api_wait_init(&p->wait, rq, finish);
    for (int32_t i = 0; i < in->topic_data_count; i++) {
        const struct produce_request_topic_produce_data *asked = &in->topic_data[i];
        const struct metadata_topic *t =
            by_id ? metadata_topic_by_id(m, asked->topic_id) : metadata_topic(m, asked->name);
        bool allowed =
            (by_id && !t) || request_authorize(rq, ACL_WRITE, RESOURCE_TOPIC, t ? slice_of(t->name) : asked->name);
        for (int32_t k = 0; k < asked->partition_data_count; k++) {
            struct produce_response_partition_produce_response *o = &out->responses[i].partition_responses[k];
            if (!allowed) {
                o->error_code = KAFKA_TOPIC_AUTHORIZATION_FAILED;
                o->base_offset = -1;
                continue;
            }
            append(p, in, t, &asked->partition_data[k], o);
            if (by_id && !t) o->error_code = KAFKA_UNKNOWN_TOPIC_ID;
        }
    }
    rq->lets_pass = api_wait_is_open(&p->wait) && !p->firsts_count; /* what follows first batches is appended behind */
    if (p->firsts_count) firsts_start(p);
    return api_wait_result(&p->wait);
}
