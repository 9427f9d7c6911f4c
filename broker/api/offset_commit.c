/* OffsetCommit, key 8. Control thread (owns groups). Appended first; answered as durability promises. */
#include "broker/api/commit_item.h"
#include "broker/api/wait.h"
#include "broker/group/group_store.h"
#include "protocol/api_handlers.h"

struct commit {
    struct api_wait *wait;
    struct offset_commit_response *out;
    struct offset_commit *items; /* of all partitions, in the order of the request */
};

/* The answer says about each partition what became of it; error, if any, of those that were appended. */
static void answer(struct commit *c, enum kafka_error error)
{
    const struct offset_commit *item = c->items;
    for (int32_t t = 0; t < c->out->topics_count; t++)
        for (int32_t p = 0; p < c->out->topics[t].partitions_count; p++, item++)
            c->out->topics[t].partitions[p].error_code = (int16_t)(item->error != KAFKA_NONE ? item->error : error);
}

static void durable(void *arg, enum kafka_error error)
{
    struct commit *c = arg;
    answer(c, error);
    api_wait_done(c->wait);
}

/* Fills items and out; returns how many items there are, or -1: no memory. */
static int64_t read_request(struct request *rq, const struct offset_commit_request *in, struct commit *c)
{
    size_t count = 0, at = 0;
    for (int32_t t = 0; t < in->topics_count; t++) count += (size_t)MAX(in->topics[t].partitions_count, 0);
    c->items = arena_calloc(&rq->arena, count + 1, sizeof c->items[0]);
    c->out->topics = arena_calloc(&rq->arena, (size_t)MAX(in->topics_count, 0) + 1, sizeof c->out->topics[0]);
    if (!c->items || !c->out->topics) return -1;
    for (int32_t t = 0; t < in->topics_count; t++) {
        const struct offset_commit_request_topic *from = &in->topics[t];
        struct offset_commit_response_topic *to = &c->out->topics[c->out->topics_count++];
        to->name = from->name;
        to->partitions = arena_calloc(&rq->arena, (size_t)MAX(from->partitions_count, 0) + 1, sizeof to->partitions[0]);
        if (!to->partitions) return -1;
        for (int32_t p = 0; p < from->partitions_count; p++) {
            const struct offset_commit_request_partition *part = &from->partitions[p];
            to->partitions[to->partitions_count++].partition_index = part->partition_index;
            c->items[at++] = commit_item(rq, from->name, part->partition_index, part->committed_offset,
                                         part->committed_leader_epoch, part->committed_metadata,
                                         in->retention_time_ms >= 0 ? rq->now_ms + in->retention_time_ms : -1);
        }
    }
    return (int64_t)count;
}

API_HANDLER(offset_commit)
{
    struct commit *c = arena_calloc(&rq->arena, 1, sizeof *c);
    struct api_wait *w = api_wait_new(rq);
    if (!c || !w) return API_CLOSE;
    *c = (struct commit){.wait = w, .out = out};
    int64_t count = read_request(rq, in, c);
    if (count < 0) return API_CLOSE;

    bool any = false; /* what is not there does not make a group */
    for (int64_t i = 0; i < count; i++) any |= c->items[i].error == KAFKA_NONE;
    enum kafka_error error = KAFKA_NONE;
    struct groups *gs = groups_for(rq, in->group_id, ACL_READ, &error);
    struct group *g = NULL;
    if (gs && any)
        error = groups_check_commit(gs, in->group_id,
                                    &(struct group_caller){.member_id = in->member_id,
                                                           .instance_id = in->group_instance_id,
                                                           .generation_id = in->generation_id_or_member_epoch,
                                                           .knows_epochs = rq->version >= 9},
                                    rq->version >= 9 ? KAFKA_GROUP_ID_NOT_FOUND : KAFKA_ILLEGAL_GENERATION, &g);
    if (!gs || !any || error != KAFKA_NONE) {
        answer(c, error);
        return API_REPLY;
    }
    group_commit(g, c->items, (uint32_t)count);
    gs->host->when_durable(gs->host, g, durable, c);
    return api_wait_result(w);
}
