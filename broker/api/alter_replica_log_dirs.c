/* AlterReplicaLogDirs, key 34 (KIP-113). Control thread. There is one log directory: a move into it is done, any other
 * names a directory that does not exist. */
#include "broker/api.h"
#include "broker/broker.h"
#include "protocol/api_handlers.h"
#include "storage/log_dir.h"

static enum kafka_error check(struct request *rq, bool allowed, struct slice path, struct slice topic, int32_t index)
{
    const struct metadata_topic *t = metadata_topic(request_metadata(rq), topic);

    if (!allowed) return KAFKA_CLUSTER_AUTHORIZATION_FAILED;
    if (!slice_eq_text(path, log_dir_path(broker_log_dir(rq->broker)))) return KAFKA_LOG_DIR_NOT_FOUND;
    if (!t || index < 0 || index >= t->partitions_count) return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    return t->partitions[index].log ? KAFKA_NONE : KAFKA_STORAGE_ERROR;
}

API_HANDLER(alter_replica_log_dirs)
{
    bool allowed = request_refused(rq) == KAFKA_NONE;
    size_t size = 0;

    for (int32_t d = 0; d < in->dirs_count; d++) size += (size_t)MAX(in->dirs[d].topics_count, 0);
    out->results = arena_calloc(&rq->arena, size + 1, sizeof out->results[0]);
    if (!out->results) return API_CLOSE;
    for (int32_t d = 0; d < in->dirs_count; d++) {
        for (int32_t i = 0; i < in->dirs[d].topics_count; i++) {
            const struct alter_replica_log_dirs_request_alter_replica_log_dir_topic *t = &in->dirs[d].topics[i];
            struct alter_replica_log_dirs_response_alter_replica_log_dir_topic_result *o =
                &out->results[out->results_count++];
            int32_t count = MAX(t->partitions_count, 0);
            o->topic_name = t->name;
            o->partitions = arena_calloc(&rq->arena, (size_t)count + 1, sizeof o->partitions[0]);
            if (!o->partitions) return API_CLOSE;
            for (int32_t p = 0; p < count; p++)
                o->partitions[o->partitions_count++] =
                    (struct alter_replica_log_dirs_response_alter_replica_log_dir_partition_result){
                        .partition_index = t->partitions[p],
                        .error_code = (int16_t)check(rq, allowed, in->dirs[d].path, t->name, t->partitions[p])};
        }
    }
    return API_REPLY;
}
