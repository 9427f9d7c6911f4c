/* WriteTxnMarkers, key 27. Control thread, as all markers. Here it is for tools alone: `kafka-transactions abort` ends
 * a transaction of which no coordinator knows. */
#include "broker/txn/txn_store.h"
#include "protocol/api_handlers.h"

#include "base/log.h"

static bool write_topic(struct request *rq, const struct write_txn_markers_request_writable_txn_marker *from,
                        const struct write_txn_markers_request_writable_txn_marker_topic *topic, bool allowed,
                        int32_t *failed, struct write_txn_markers_response_writable_txn_marker_topic_result *to)
{
    struct txn_marker marker = {
        .producer_id = from->producer_id, .epoch = from->producer_epoch, .commit = from->transaction_result};
    to->name = topic->name;
    to->partitions =
        arena_calloc(&rq->arena, (size_t)MAX(topic->partition_indexes_count, 0) + 1, sizeof to->partitions[0]);
    if (!to->partitions) return false;
    for (int32_t p = 0; p < topic->partition_indexes_count; p++) {
        int32_t partition = topic->partition_indexes[p];
        enum kafka_error error = KAFKA_CLUSTER_AUTHORIZATION_FAILED;
        if (allowed && topic_name_is_reserved(topic->name)) error = KAFKA_INVALID_TOPIC_EXCEPTION;
        else if (allowed)
            error = txn_marker_write(rq->broker, &marker, from->coordinator_epoch, topic->name, partition);
        *failed += error != KAFKA_NONE;
        to->partitions[to->partitions_count].partition_index = partition;
        to->partitions[to->partitions_count++].error_code = (int16_t)error;
    }
    return true;
}

API_HANDLER(write_txn_markers)
{
    bool allowed = request_authorize_cluster(rq, ACL_CLUSTER_ACTION) || request_authorize_cluster(rq, ACL_ALTER);
    if (!allowed) /* once, however many it asks for */
        log_info("transaction", "markers asked for, not authorized client=%s principal=%s", rq->client_address,
                 rq->principal);
    out->markers = arena_calloc(&rq->arena, (size_t)MAX(in->markers_count, 0) + 1, sizeof out->markers[0]);
    if (!out->markers) return API_CLOSE;
    for (int32_t i = 0; i < in->markers_count; i++) {
        const struct write_txn_markers_request_writable_txn_marker *from = &in->markers[i];
        struct write_txn_markers_response_writable_txn_marker_result *to = &out->markers[out->markers_count++];
        to->producer_id = from->producer_id;
        to->topics = arena_calloc(&rq->arena, (size_t)MAX(from->topics_count, 0) + 1, sizeof to->topics[0]);
        if (!to->topics) return API_CLOSE;
        int32_t failed = 0;
        for (int32_t t = 0; t < from->topics_count; t++)
            if (!write_topic(rq, from, &from->topics[t], allowed, &failed, &to->topics[to->topics_count++]))
                return API_CLOSE;
        if (allowed)
            log_info("transaction", "markers asked for client=%s producer_id=%lld commit=%d topics=%d failed=%d",
                     rq->client_address, (long long)from->producer_id, from->transaction_result, from->topics_count,
                     failed);
    }
    return API_REPLY;
}
