/* OffsetForLeaderEpoch, key 23: where an epoch ends, so that a client finds what was truncated (KIP-101, KIP-320).
 * Network thread. */
#include "broker/api.h"
#include "broker/partition.h"
#include "protocol/api_handlers.h"

static void find_end(const struct metadata_topic *t,
                     const struct offset_for_leader_epoch_request_offset_for_leader_partition *p,
                     struct offset_for_leader_epoch_response_epoch_end_offset *out)
{
    struct partition_log *log = partition_of(t, p->partition, &out->error_code);
    if (!log) return;

    enum kafka_error error = leader_epoch_check(partition_log_marks(log).leader_epoch, p->current_leader_epoch);
    out->error_code = (int16_t)error;
    if (error == KAFKA_NONE) partition_log_epoch_end(log, p->leader_epoch, &out->leader_epoch, &out->end_offset);
}

enum api_result api_handle_offset_for_leader_epoch(struct request *rq, const struct offset_for_leader_epoch_request *in,
                                                   struct offset_for_leader_epoch_response *out)
{
    const struct metadata *m = request_metadata(rq);

    out->topics = arena_calloc(&rq->arena, (size_t)MAX(in->topics_count, 1), sizeof *out->topics);
    if (!out->topics) return API_CLOSE;
    out->topics_count = in->topics_count;
    for (int32_t i = 0; i < in->topics_count; i++) {
        const struct offset_for_leader_epoch_request_offset_for_leader_topic *asked = &in->topics[i];
        struct offset_for_leader_epoch_response_offset_for_leader_topic_result *topic = &out->topics[i];

        offset_for_leader_epoch_response_offset_for_leader_topic_result_init(topic);
        topic->topic = asked->topic;
        topic->partitions =
            arena_calloc(&rq->arena, (size_t)MAX(asked->partitions_count, 1), sizeof *topic->partitions);
        if (!topic->partitions) return API_CLOSE;
        topic->partitions_count = asked->partitions_count;
        bool allowed = request_authorize(rq, ACL_DESCRIBE, RESOURCE_TOPIC, asked->topic);
        for (int32_t k = 0; k < asked->partitions_count; k++) {
            offset_for_leader_epoch_response_epoch_end_offset_init(&topic->partitions[k]);
            topic->partitions[k].partition = asked->partitions[k].partition;
            if (!allowed) topic->partitions[k].error_code = KAFKA_TOPIC_AUTHORIZATION_FAILED;
            else find_end(metadata_topic(m, asked->topic), &asked->partitions[k], &topic->partitions[k]);
        }
    }
    return API_REPLY;
}
