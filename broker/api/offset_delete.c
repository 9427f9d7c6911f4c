/* OffsetDelete, key 47. Control thread (owns groups). KIP-496. */
#include "broker/api/wait.h"
#include "broker/group/group_store.h"
#include "protocol/api_handlers.h"

struct deletion {
    struct api_wait *wait;
    struct offset_delete_response *out;
    struct offset_delete *items;
};

static void durable(void *arg, enum kafka_error error)
{
    struct deletion *d = arg;
    const struct offset_delete *item = d->items;
    for (int32_t t = 0; t < d->out->topics_count; t++)
        for (int32_t p = 0; p < d->out->topics[t].partitions_count; p++, item++)
            d->out->topics[t].partitions[p].error_code = (int16_t)(item->error != KAFKA_NONE ? item->error : error);
    api_wait_done(d->wait);
}

static bool is_there(const struct metadata_topic *t, int32_t partition)
{
    return t && partition >= 0 && partition < t->partitions_count;
}

static int64_t read_request(struct request *rq, const struct offset_delete_request *in, struct deletion *d)
{
    const struct metadata *m = request_metadata(rq);
    size_t count = 0, at = 0;
    for (int32_t t = 0; t < in->topics_count; t++) count += (size_t)MAX(in->topics[t].partitions_count, 0);
    d->items = arena_calloc(&rq->arena, count + 1, sizeof d->items[0]);
    d->out->topics = arena_calloc(&rq->arena, (size_t)MAX(in->topics_count, 0) + 1, sizeof d->out->topics[0]);
    if (!d->items || !d->out->topics) return -1;
    for (int32_t t = 0; t < in->topics_count; t++) {
        const struct offset_delete_request_topic *from = &in->topics[t];
        struct offset_delete_response_topic *to = &d->out->topics[d->out->topics_count++];
        const struct metadata_topic *topic = metadata_topic(m, from->name);
        bool allowed = request_authorize(rq, ACL_READ, RESOURCE_TOPIC, from->name);
        to->name = from->name;
        to->partitions = arena_calloc(&rq->arena, (size_t)MAX(from->partitions_count, 0) + 1, sizeof to->partitions[0]);
        if (!to->partitions) return -1;
        for (int32_t p = 0; p < from->partitions_count; p++) {
            to->partitions[to->partitions_count++].partition_index = from->partitions[p].partition_index;
            d->items[at++] = (struct offset_delete){.topic = from->name,
                                                    .partition = from->partitions[p].partition_index,
                                                    .error = !allowed ? KAFKA_TOPIC_AUTHORIZATION_FAILED
                                                             : is_there(topic, from->partitions[p].partition_index)
                                                                 ? KAFKA_NONE
                                                                 : KAFKA_UNKNOWN_TOPIC_OR_PARTITION};
        }
    }
    return (int64_t)count;
}

API_HANDLER(offset_delete)
{
    enum kafka_error error;
    struct groups *gs = groups_for(rq, in->group_id, ACL_DELETE, &error);
    struct group *g = gs ? groups_find(gs, in->group_id) : NULL;
    if (gs && !in->group_id.len) error = KAFKA_INVALID_GROUP_ID;
    else if (gs) error = g ? g->type->check_offset_delete(g) : KAFKA_GROUP_ID_NOT_FOUND;
    if (error != KAFKA_NONE) {
        out->error_code = (int16_t)error;
        return API_REPLY;
    }
    struct deletion *d = arena_calloc(&rq->arena, 1, sizeof *d);
    struct api_wait *w = api_wait_new(rq);
    if (!d || !w) return API_CLOSE;
    *d = (struct deletion){.wait = w, .out = out};
    int64_t count = read_request(rq, in, d);
    if (count < 0) return API_CLOSE;
    group_delete_offsets(g, d->items, (uint32_t)count);
    gs->host->when_durable(gs->host, g, durable, d);
    return api_wait_result(w);
}
