/* broker/api/commit_item.c: see commit_item.h. */
#include "broker/api/commit_item.h"

#include "broker/metadata/metadata.h"

static enum kafka_error check(struct request *rq, struct slice topic, int32_t partition)
{
    const struct metadata *m = request_metadata(rq);
    if (!request_authorize(rq, ACL_READ, RESOURCE_TOPIC, topic)) return KAFKA_TOPIC_AUTHORIZATION_FAILED;
    const struct metadata_topic *t = metadata_topic(m, topic);
    if (!t || partition < 0 || partition >= t->partitions_count) return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    return KAFKA_NONE;
}

struct offset_commit commit_item(struct request *rq, struct slice topic, int32_t partition, int64_t offset,
                                 int32_t leader_epoch, struct slice metadata, int64_t expire_time_ms)
{
    return (struct offset_commit){
        .topic = topic,
        .partition = partition,
        .value = {.offset = offset,
                  .leader_epoch = leader_epoch,
                  .commit_time_ms = rq->now_ms,
                  .expire_time_ms = expire_time_ms,
                  .metadata = metadata.ptr ? metadata : SLICE_EMPTY},
        .error = check(rq, topic, partition),
    };
}
