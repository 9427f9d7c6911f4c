/* ElectLeaders, key 43. Control thread. The one replica leads already: nothing is ever needed. topics null: every topic
 * is named, with no partition in need. */
#include "broker/api.h"
#include "broker/broker.h"
#include "protocol/api_handlers.h"

enum election_type { ELECT_PREFERRED = 0, ELECT_UNCLEAN = 1 };

static enum kafka_error check(const struct metadata_topic *t, struct slice topic, int32_t index, int8_t type,
                              struct err *err)
{
    if (type != ELECT_PREFERRED && type != ELECT_UNCLEAN)
        return err_set(err, KAFKA_INVALID_REQUEST, "Unknown election type %d", type);
    if (!t) return err_set(err, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "No such topic as " SLICE_FMT, SLICE_ARG(topic));
    if (index < 0 || index >= t->partitions_count)
        return err_set(err, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "No such partition as " SLICE_FMT "-%d", SLICE_ARG(topic),
                       index);
    return err_set(err, KAFKA_ELECTION_NOT_NEEDED, "Leader election not needed for topic partition.");
}

API_HANDLER(elect_leaders)
{
    const struct metadata *m = request_metadata(rq);
    out->error_code = (int16_t)request_refused(rq);
    if (out->error_code != KAFKA_NONE) return API_REPLY;
    if (rq->version >= 1 && in->election_type != ELECT_PREFERRED && in->election_type != ELECT_UNCLEAN)
        out->error_code = KAFKA_INVALID_REQUEST;
    bool all = in->topic_partitions_count < 0;
    int32_t size = all ? m->topics_count : in->topic_partitions_count;
    out->replica_election_results = arena_calloc(&rq->arena, (size_t)size + 1, sizeof out->replica_election_results[0]);
    if (!out->replica_election_results) return API_CLOSE;
    for (int32_t i = 0; i < size; i++) {
        struct elect_leaders_response_replica_election_result *o =
            &out->replica_election_results[out->replica_election_results_count++];
        o->topic = all ? slice_of(m->topics[i]->name) : in->topic_partitions[i].topic;
        if (all) continue;
        const struct metadata_topic *t = metadata_topic(m, o->topic);
        int32_t count = MAX(in->topic_partitions[i].partitions_count, 0);
        o->partition_result = arena_calloc(&rq->arena, (size_t)count + 1, sizeof o->partition_result[0]);
        if (!o->partition_result) return API_CLOSE;
        for (int32_t p = 0; p < count; p++) {
            int32_t index = in->topic_partitions[i].partitions[p];
            struct err err = ERR_NONE;
            (void)check(t, o->topic, index, rq->version >= 1 ? in->election_type : 0, &err);
            o->partition_result[o->partition_result_count++] = (struct elect_leaders_response_partition_result){
                .partition_id = index,
                .error_code = (int16_t)err.code,
                .error_message = slice_of(arena_strdup(&rq->arena, err.text)),
            };
        }
    }
    return API_REPLY;
}
