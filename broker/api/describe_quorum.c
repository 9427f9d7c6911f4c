/* DescribeQuorum, key 55. Control thread (metadata log). The quorum of the metadata log is this node alone. */
#include "broker/api/wait.h"
#include "broker/metadata/metadata_log.h"
#include "broker/state.h"
#include "protocol/api_handlers.h"
#include "storage/log_dir.h"

static bool fill_quorum(struct request *rq, struct describe_quorum_response_partition_data *o)
{
    struct log_marks marks = metadata_log_marks(rq->broker->metadata_log);
    struct describe_quorum_response_replica_state *voter = arena_calloc(&rq->arena, 1, sizeof *voter);
    if (!voter) return false;
    describe_quorum_response_replica_state_init(voter);
    voter->replica_id = rq->broker->node_id;
    voter->replica_directory_id = log_dir_directory_id(rq->broker->dir);
    voter->log_end_offset = marks.log_end;
    voter->last_fetch_timestamp = voter->last_caught_up_timestamp = rq->now_ms;
    o->leader_id = rq->broker->node_id;
    o->leader_epoch = marks.leader_epoch;
    o->high_watermark = marks.high_watermark;
    o->current_voters = voter;
    o->current_voters_count = 1;
    return true;
}

/* v2: where the voters can be reached. */
static bool fill_nodes(struct request *rq, struct describe_quorum_response *out)
{
    out->nodes = arena_calloc(&rq->arena, 1, sizeof out->nodes[0]);
    struct describe_quorum_response_listener *l = arena_calloc(&rq->arena, 1, sizeof *l);
    if (!out->nodes || !l) return false;
    int32_t port;
    request_advertised(rq, &l->host, &port);
    l->name = SLICE("PLAINTEXT");
    l->port = (uint16_t)port;
    out->nodes[0] =
        (struct describe_quorum_response_node){.node_id = rq->broker->node_id, .listeners = l, .listeners_count = 1};
    out->nodes_count = 1;
    return true;
}

API_HANDLER(describe_quorum)
{
    out->error_code = (int16_t)request_refused(rq);
    if (out->error_code != KAFKA_NONE) return API_REPLY;
    out->topics = arena_calloc(&rq->arena, (size_t)MAX(in->topics_count, 0) + 1, sizeof out->topics[0]);
    if (!out->topics) return API_CLOSE;
    bool any = false;
    for (int32_t t = 0; t < in->topics_count; t++) {
        const struct describe_quorum_request_topic_data *from = &in->topics[t];
        struct describe_quorum_response_topic_data *to = &out->topics[out->topics_count++];
        to->topic_name = from->topic_name;
        to->partitions = arena_calloc(&rq->arena, (size_t)MAX(from->partitions_count, 0) + 1, sizeof to->partitions[0]);
        if (!to->partitions) return API_CLOSE;
        for (int32_t p = 0; p < from->partitions_count; p++) {
            struct describe_quorum_response_partition_data *o = &to->partitions[to->partitions_count++];
            bool known =
                slice_eq_text(from->topic_name, METADATA_LOG_TOPIC) && from->partitions[p].partition_index == 0;
            describe_quorum_response_partition_data_init(o);
            o->partition_index = from->partitions[p].partition_index;
            any |= known;
            if (!known) {
                o->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
                o->error_message = SLICE("This server does not host this topic-partition.");
            } else if (!fill_quorum(rq, o)) return API_CLOSE;
        }
    }
    return !any || fill_nodes(rq, out) ? API_REPLY : API_CLOSE;
}
