/* DescribeLogDirs, key 35. Network thread. One data directory; v4+ tells its size and free space (KIP-827). */
#include "broker/api.h"
#include "broker/broker.h"
#include "protocol/api_handlers.h"
#include "storage/log_dir.h"

static bool add_topic(struct request *rq, const struct metadata_topic *t, const int32_t *partitions, int32_t count,
                      struct describe_log_dirs_response_result *o)
{
    struct describe_log_dirs_response_topic *to = &o->topics[o->topics_count];
    *to = (struct describe_log_dirs_response_topic){.name = slice_of(t->name)};
    to->partitions = arena_calloc(&rq->arena, (size_t)count + 1, sizeof to->partitions[0]);
    if (!to->partitions) return false;
    for (int32_t i = 0; i < count; i++) {
        int32_t index = partitions ? partitions[i] : i;
        if (index < 0 || index >= t->partitions_count || !t->partitions[index].log) continue;
        to->partitions[to->partitions_count++] = (struct describe_log_dirs_response_partition){
            .partition_index = index,
            .partition_size = (int64_t)partition_log_size(t->partitions[index].log),
        };
    }
    if (to->partitions_count) o->topics_count++;
    return true;
}

API_HANDLER(describe_log_dirs)
{
    const struct metadata *m = request_metadata(rq);
    out->error_code = (int16_t)request_refused(rq);
    if (out->error_code != KAFKA_NONE) return API_REPLY;
    bool all = in->topics_count < 0;
    int32_t size = all ? m->topics_count : in->topics_count;
    struct describe_log_dirs_response_result *o = arena_calloc(&rq->arena, 1, sizeof *o);
    if (!o) return API_CLOSE;
    describe_log_dirs_response_result_init(o);
    o->log_dir = slice_of(log_dir_path(broker_log_dir(rq->broker)));
    o->topics = arena_calloc(&rq->arena, (size_t)size + 1, sizeof o->topics[0]);
    if (!o->topics) return API_CLOSE;
    for (int32_t i = 0; i < size; i++) {
        const struct metadata_topic *t = all ? m->topics[i] : metadata_topic(m, in->topics[i].topic);
        if (!t) continue;
        const int32_t *partitions = all ? NULL : in->topics[i].partitions;
        int32_t count = all ? t->partitions_count : MAX(in->topics[i].partitions_count, 0);
        if (!add_topic(rq, t, all ? NULL : partitions, count, o)) return API_CLOSE;
    }
    if (log_dir_space(broker_log_dir(rq->broker), &o->total_bytes, &o->usable_bytes) < 0)
        o->total_bytes = o->usable_bytes = -1;
    out->results = o;
    out->results_count = 1;
    return API_REPLY;
}
