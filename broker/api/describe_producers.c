/* DescribeProducers, key 61 (KIP-664): the producers that partitions know, with their open transactions. Network
 * thread. */
#include "broker/api.h"
#include "broker/partition.h"
#include "protocol/api_handlers.h"

static enum kafka_error fill(struct request *rq, struct partition_log *log,
                             struct describe_producers_response_partition_response *o)
{
    AUTO_FREE struct producer_info *producers = NULL;
    uint32_t count = 0;
    enum kafka_error error = partition_log_producers(log, &producers, &count);
    if (error != KAFKA_NONE) return error;
    o->active_producers = arena_calloc(&rq->arena, (size_t)count + 1, sizeof o->active_producers[0]);
    if (!o->active_producers) return KAFKA_UNKNOWN_SERVER_ERROR;
    for (uint32_t i = 0; i < count; i++)
        o->active_producers[o->active_producers_count++] = (struct describe_producers_response_producer_state){
            .producer_id = producers[i].producer_id,
            .producer_epoch = producers[i].epoch,
            .last_sequence = producers[i].last_sequence,
            .last_timestamp = producers[i].last_timestamp_ms,
            .coordinator_epoch = producers[i].coordinator_epoch,
            .current_txn_start_offset = producers[i].txn_first_offset,
        };
    return KAFKA_NONE;
}

API_HANDLER(describe_producers)
{
    const struct metadata *m = request_metadata(rq);
    out->topics = arena_calloc(&rq->arena, (size_t)MAX(in->topics_count, 0) + 1, sizeof out->topics[0]);
    if (!out->topics) return API_CLOSE;
    for (int32_t t = 0; t < in->topics_count; t++) {
        const struct describe_producers_request_topic_request *from = &in->topics[t];
        struct describe_producers_response_topic_response *to = &out->topics[out->topics_count++];
        const struct metadata_topic *topic = metadata_topic(m, from->name);
        bool allowed = request_authorize(rq, ACL_READ, RESOURCE_TOPIC, from->name);
        to->name = from->name;
        to->partitions =
            arena_calloc(&rq->arena, (size_t)MAX(from->partition_indexes_count, 0) + 1, sizeof to->partitions[0]);
        if (!to->partitions) return API_CLOSE;
        for (int32_t p = 0; p < from->partition_indexes_count; p++) {
            struct describe_producers_response_partition_response *o = &to->partitions[to->partitions_count++];
            describe_producers_response_partition_response_init(o);
            o->partition_index = from->partition_indexes[p];
            if (!allowed) {
                o->error_code = KAFKA_TOPIC_AUTHORIZATION_FAILED;
                continue;
            }
            struct partition_log *log = partition_of(topic, from->partition_indexes[p], &o->error_code);
            if (log) o->error_code = (int16_t)fill(rq, log, o);
            if (o->error_code == KAFKA_NONE || (topic && !log)) continue;
            o->error_message = topic ? slice_of(kafka_error_text((enum kafka_error)o->error_code))
                                     : SLICE("This server does not host this topic-partition.");
        }
    }
    return API_REPLY;
}
