/* Produce, key 0: appends record batches. Network thread; in strict durability the answer waits for the disk.
 *
 * Each partition holds exactly one batch of magic 2; what the log refuses comes back with its text (v8+). Versions 0 to 2
 * are advertised, because old librdkafka needs to see them, and close the connection, as Kafka 4 does. */
#include "broker/api.h"
#include "broker/partition.h"
#include "broker/state.h"
#include "protocol/api_handlers.h"
#include "protocol/record_batch.h"

#include "base/log.h"

#define VERSION_OF_ZSTD     7
#define ADMIN_CLIENT_ID     "__admin_client"

/* -- answers that wait for the disk -- */

struct produce_wait {
    struct request *rq;
    atomic_int left; /* partitions that are being synced, and one for the caller */
    atomic_bool failed;
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

static void reply_synced(struct request *rq)
{
    struct produce_wait *w = rq->parked;

    /* Which of the partitions failed does not matter to a client: it sends them all again, and none is taken twice. */
    if (atomic_load(&w->failed)) fail_all(rq->out);
    free(w);
    request_complete(rq, API_REPLY);
}

static void wait_step(struct produce_wait *w)
{
    if (atomic_fetch_sub(&w->left, 1) == 1) request_post(w->rq, reply_synced);
}

static void synced(void *arg, int error) /* sync thread */
{
    struct produce_wait *w = arg;
    if (error) atomic_store(&w->failed, true);
    wait_step(w);
}

static void await_sync(struct request *rq, struct produce_wait **w, struct partition_log *log, int64_t end)
{
    if (!*w) {
        *w = xcalloc(1, sizeof **w);
        (*w)->rq = rq;
        atomic_init(&(*w)->left, 1);
    }
    atomic_fetch_add(&(*w)->left, 1);
    partition_log_sync_async(log, end, synced, *w);
}

/* -- one partition -- */

static void set_text(struct request *rq, struct produce_response_partition_produce_response *out, const struct log_append *a)
{
    out->error_message = slice_of(a->error_message); /* static texts */
    if (a->record_errors_count == 0) return;
    out->record_errors = arena_calloc(&rq->arena, (size_t)a->record_errors_count, sizeof *out->record_errors);
    for (int32_t i = 0; out->record_errors && i < a->record_errors_count; i++) {
        out->record_errors[i] = (struct produce_response_batch_index_and_error_message){
            .batch_index = a->record_errors[i].index, .batch_index_error_message = slice_of(a->record_errors[i].message)};
        out->record_errors_count++;
    }
}

static enum kafka_error check_batch(struct request *rq, const struct produce_request *in, struct slice records, const char **ret_text)
{
    struct record_batch batch;

    if (records.len == 0) return *ret_text = "a produce request holds one record batch per partition, not none", KAFKA_INVALID_RECORD;
    if (record_batch_parse(records, &batch) != RECORD_BATCH_OK) return KAFKA_NONE; /* the log says what is wrong */
    if (record_batch_codec(&batch) == COMPRESSION_ZSTD && rq->version < VERSION_OF_ZSTD)
        return *ret_text = "zstd needs version 7 of Produce", KAFKA_UNSUPPORTED_COMPRESSION_TYPE;
    if (record_batch_is_transactional(&batch) && slice_is_null(in->transactional_id))
        return *ret_text = "a transactional batch without a transactional id", KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    return KAFKA_NONE;
}

static enum kafka_error check_topic(struct request *rq, const struct produce_request *in, const struct metadata_topic *t,
                                    const char **ret_text)
{
    if (in->acks < -1 || in->acks > 1) return KAFKA_INVALID_REQUIRED_ACKS;
    if (t->internal && !slice_eq_text(rq->client_id, ADMIN_CLIENT_ID))
        return *ret_text = "clients may not write to internal topics", KAFKA_INVALID_TOPIC_EXCEPTION;
    if (in->acks == -1 && t->min_insync_replicas > 1)
        return *ret_text = "min.insync.replicas is more than the one replica that there is", KAFKA_NOT_ENOUGH_REPLICAS;
    return KAFKA_NONE;
}

static void append(struct request *rq, const struct produce_request *in, const struct metadata_topic *t,
                   const struct produce_request_partition_produce_data *data, struct produce_response_partition_produce_response *out,
                   struct produce_wait **wait)
{
    struct partition_log *log = partition_of(t, data->index, &out->error_code);
    struct slice records = data->records.slice;
    const char *text = NULL;

    out->base_offset = -1;
    if (!log) return;
    enum kafka_error error = check_topic(rq, in, t, &text);
    if (error == KAFKA_NONE) error = check_batch(rq, in, records, &text);
    if (error != KAFKA_NONE) {
        out->error_code = (int16_t)error;
        out->error_message = slice_of(text);
        return;
    }
    struct log_append a = {.origin = APPEND_CLIENT, .batches = (uint8_t *)(uintptr_t)records.ptr, .size = records.len};
    error = partition_log_append(log, &a);
    out->error_code = (int16_t)error;
    if (error != KAFKA_NONE) {
        set_text(rq, out, &a);
        if (error == KAFKA_NOT_LEADER_OR_FOLLOWER) { /* deleted meanwhile */
            out->current_leader.leader_id = rq->broker->node_id;
            out->current_leader.leader_epoch = partition_log_marks(log).leader_epoch;
        }
        log_info("produce", "batch refused partition=%s client=%s error=%s cause=\"%s\"", partition_log_name(log), rq->client_address,
                  kafka_error_name(error), a.error_message ? a.error_message : "");
        return;
    }
    out->base_offset = a.base_offset;
    out->log_append_time_ms = a.log_append_time_ms;
    out->log_start_offset = partition_log_marks(log).log_start;
    if (t->log_config.strict && in->acks == -1) await_sync(rq, wait, log, a.last_offset + 1);
}

/* -- the request -- */

static bool has_error(const struct produce_response *out)
{
    for (int32_t i = 0; i < out->responses_count; i++)
        for (int32_t k = 0; k < out->responses[i].partition_responses_count; k++)
            if (out->responses[i].partition_responses[k].error_code != KAFKA_NONE) return true;
    return false;
}

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
        topic->partition_responses = arena_calloc(&rq->arena, (size_t)MAX(asked->partition_data_count, 1), sizeof *topic->partition_responses);
        if (!topic->partition_responses) return false;
        topic->partition_responses_count = asked->partition_data_count;
        for (int32_t k = 0; k < asked->partition_data_count; k++) {
            produce_response_partition_produce_response_init(&topic->partition_responses[k]);
            topic->partition_responses[k].index = asked->partition_data[k].index;
        }
    }
    return true;
}

enum api_result api_handle_produce(struct request *rq, const struct produce_request *in, struct produce_response *out)
{
    const struct metadata *m = request_metadata(rq);
    struct produce_wait *wait = NULL;
    bool by_id = rq->version >= 13;

    if (rq->version < 3) {
        rq->cause = "message sets are not taken";
        return API_CLOSE;
    }
    if (!prepare(rq, in, out)) return API_CLOSE;
    for (int32_t i = 0; i < in->topic_data_count; i++) {
        const struct produce_request_topic_produce_data *asked = &in->topic_data[i];
        const struct metadata_topic *t = by_id ? metadata_topic_by_id(m, asked->topic_id) : metadata_topic(m, asked->name);
        bool allowed = request_authorize(rq, ACL_WRITE, RESOURCE_TOPIC, t ? slice_of(t->name) : asked->name);
        for (int32_t k = 0; k < asked->partition_data_count; k++) {
            struct produce_response_partition_produce_response *p = &out->responses[i].partition_responses[k];
            if (!allowed) {
                p->error_code = KAFKA_TOPIC_AUTHORIZATION_FAILED;
                p->base_offset = -1;
                continue;
            }
            append(rq, in, t, &asked->partition_data[k], p, &wait);
            if (by_id && !t) p->error_code = KAFKA_UNKNOWN_TOPIC_ID;
        }
    }
    if (in->acks == 0) {
        if (!has_error(out)) return API_SILENT;
        rq->cause = "a batch without acknowledgement was refused"; /* there is no other way to tell */
        return API_CLOSE;
    }
    if (!wait) return API_REPLY;
    rq->parked = wait;
    rq->lets_pass = true; /* what follows is appended behind it */
    wait_step(wait);
    return API_PENDING;
}
