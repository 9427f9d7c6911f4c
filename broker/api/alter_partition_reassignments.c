/* AlterPartitionReassignments, key 45 (KIP-455). Control thread. One broker: a partition may be "moved" onto the broker
 * on which it is, which is done at once; a move that could be cancelled is never under way. */
#include "broker/api.h"
#include "broker/api/replicas.h"
#include "broker/broker.h"
#include "protocol/api_handlers.h"

static bool add_topic(struct request *rq, const struct alter_partition_reassignments_request_reassignable_topic *in,
                      struct alter_partition_reassignments_response_reassignable_topic_response *o)
{
    const struct metadata_topic *t = metadata_topic(request_metadata(rq), in->name);
    int32_t count = MAX(in->partitions_count, 0);

    o->name = in->name;
    o->partitions = arena_calloc(&rq->arena, (size_t)count + 1, sizeof o->partitions[0]);
    if (!o->partitions) return false;
    for (int32_t i = 0; i < count; i++) {
        int32_t index = in->partitions[i].partition_index;
        struct err err = ERR_NONE;
        if (!t)
            err_set(&err, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "Unable to find a topic named " SLICE_FMT ".",
                    SLICE_ARG(in->name));
        else if (index < 0 || index >= t->partitions_count)
            err_set(&err, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "Unable to find partition " SLICE_FMT ":%d.",
                    SLICE_ARG(in->name), index);
        else if (in->partitions[i].replicas_count < 0) err_set(&err, KAFKA_NO_REASSIGNMENT_IN_PROGRESS, "%s", "");
        else
            (void)replicas_check(in->partitions[i].replicas, in->partitions[i].replicas_count,
                                 (int32_t)broker_config(rq->broker)->node_id, &err);
        o->partitions[o->partitions_count++] =
            (struct alter_partition_reassignments_response_reassignable_partition_response){
                .partition_index = index,
                .error_code = (int16_t)err.code,
                .error_message = *err.text ? slice_of(arena_strdup(&rq->arena, err.text)) : SLICE_NULL};
    }
    return true;
}

API_HANDLER(alter_partition_reassignments)
{
    int32_t count = MAX(in->topics_count, 0);

    out->allow_replication_factor_change = in->allow_replication_factor_change;
    out->error_message = SLICE_NULL;
    out->error_code = (int16_t)request_refused(rq);
    if (out->error_code != KAFKA_NONE) return API_REPLY;
    out->responses = arena_calloc(&rq->arena, (size_t)count + 1, sizeof out->responses[0]);
    if (!out->responses) return API_CLOSE;
    for (int32_t i = 0; i < count; i++)
        if (!add_topic(rq, &in->topics[i], &out->responses[out->responses_count++])) return API_CLOSE;
    return API_REPLY;
}
