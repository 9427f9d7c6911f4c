/* DeleteRecords, key 21: raises the log start offset. Control thread, which owns configs; segments go later. Answered
 * when the new log starts are durable: Kafka answers before, and its deleted records may come back after a crash. */
#include "broker/api/wait.h"
#include "broker/broker.h"
#include "broker/partition.h"
#include "protocol/api_handlers.h"
#include "storage/log_dir.h"

#define OFFSET_HIGH_WATERMARK (-1)

/* The records are not seen any more; if the checkpoint failed, whether that lasts is not known. */
static enum api_result finish(struct api_wait *w)
{
    struct delete_records_response *out = w->rq->out;
    for (int32_t i = 0; w->failed && i < out->topics_count; i++)
        for (int32_t k = 0; k < out->topics[i].partitions_count; k++) {
            struct delete_records_response_partition_result *p = &out->topics[i].partitions[k];
            if (p->error_code == KAFKA_NONE) p->error_code = KAFKA_STORAGE_ERROR;
        }
    return API_REPLY;
}

/* Returns whether the log start may have moved. */
static bool delete_before(const struct metadata_topic *t, const struct delete_records_request_partition *p,
                          struct delete_records_response_partition_result *out)
{
    struct partition_log *log = partition_of(t, p->partition_index, &out->error_code);
    if (!log) return false;
    if (t->internal) {
        out->error_code = KAFKA_INVALID_TOPIC_EXCEPTION;
        return false;
    }
    if (!t->log_config.cleanup_delete) {
        out->error_code = KAFKA_POLICY_VIOLATION;
        return false;
    }
    int64_t offset = p->offset == OFFSET_HIGH_WATERMARK ? partition_log_marks(log).high_watermark : p->offset;
    int64_t low;
    enum kafka_error error = offset < 0 ? KAFKA_OFFSET_OUT_OF_RANGE : partition_log_delete_records(log, offset, &low);
    out->error_code = (int16_t)error;
    if (error == KAFKA_NONE) out->low_watermark = low;
    return error == KAFKA_NONE;
}

enum api_result api_handle_delete_records(struct request *rq, const struct delete_records_request *in,
                                          struct delete_records_response *out)
{
    const struct metadata *m = request_metadata(rq);
    bool any = false;

    struct api_wait *w = arena_calloc(&rq->arena, 1, sizeof *w);
    out->topics = arena_calloc(&rq->arena, (size_t)MAX(in->topics_count, 1), sizeof *out->topics);
    if (!w || !out->topics) return API_CLOSE;
    api_wait_init(w, rq, finish);
    out->topics_count = in->topics_count;
    for (int32_t i = 0; i < in->topics_count; i++) {
        const struct delete_records_request_topic *asked = &in->topics[i];
        struct delete_records_response_topic_result *topic = &out->topics[i];

        delete_records_response_topic_result_init(topic);
        topic->name = asked->name;
        topic->partitions =
            arena_calloc(&rq->arena, (size_t)MAX(asked->partitions_count, 1), sizeof *topic->partitions);
        if (!topic->partitions) return API_CLOSE;
        topic->partitions_count = asked->partitions_count;
        bool allowed = request_authorize(rq, ACL_DELETE, RESOURCE_TOPIC, asked->name);
        for (int32_t k = 0; k < asked->partitions_count; k++) {
            delete_records_response_partition_result_init(&topic->partitions[k]);
            topic->partitions[k].partition_index = asked->partitions[k].partition_index;
            topic->partitions[k].low_watermark = -1;
            if (!allowed) topic->partitions[k].error_code = KAFKA_TOPIC_AUTHORIZATION_FAILED;
            else any |= delete_before(metadata_topic(m, asked->name), &asked->partitions[k], &topic->partitions[k]);
        }
    }
    if (any) {
        api_wait_more(w);
        log_dir_checkpoint_async(broker_log_dir(rq->broker), api_wait_synced, w);
    }
    return api_wait_result(w);
}
