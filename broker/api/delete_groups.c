/* DeleteGroups, key 42. Control thread (owns groups). */
#include "broker/api/wait.h"
#include "broker/share/group_share.h"
#include "broker/group/group_store.h"
#include "broker/share/share_store.h"
#include "protocol/api_handlers.h"

struct deletion {
    struct api_wait *wait;
    struct delete_groups_response_deletable_group_result *result;
};

static void durable(void *arg, enum kafka_error error)
{
    struct deletion *d = arg;
    if (error != KAFKA_NONE) d->result->error_code = (int16_t)error;
    api_wait_done(d->wait);
}

/* What a share group has in the other log goes first: the group is what remembers it. */
static enum kafka_error forget_share_state(struct request *rq, struct share_group *s)
{
    struct partition_set topics = {0}, all = partition_set_union(&s->initialized, &s->initializing);
    for (uint32_t i = 0; i < all.count; i = partition_set_topic_end(&all, i))
        partition_set_append(&topics, all.items[i].topic_id, 0);
    for (uint32_t i = 0; i < s->deleting.count; i++) {
        const struct metadata_topic *t = metadata_topic_by_id(request_metadata(rq), s->deleting.items[i].topic_id);
        for (int32_t p = 0; t && p < t->partitions_count; p++) partition_set_append(&all, t->id, p);
    }
    partition_set_sort(&all);
    enum kafka_error error = topics.count ? share_group_delete_topics(s, &topics, false) : KAFKA_NONE;
    if (error == KAFKA_NONE) error = shares_delete(rq->broker, group_id(&s->group), &all);
    partition_set_done(&all);
    partition_set_done(&topics);
    return error;
}

static enum kafka_error delete_one(struct request *rq, struct slice id, struct deletion *d)
{
    enum kafka_error error;
    struct groups *gs = groups_for(rq, id, ACL_DELETE, &error);
    struct group *g = gs ? groups_find(gs, id) : NULL;
    if (!g) return gs ? KAFKA_GROUP_ID_NOT_FOUND : error;
    struct share_group *s = share_group_of(g);
    if (s && !s->members) error = forget_share_state(rq, s);
    if (error != KAFKA_NONE) return error;
    group_ref(g);
    error = groups_delete(gs, id);
    if (error == KAFKA_NONE) {
        api_wait_more(d->wait);
        gs->host->when_durable(gs->host, g, durable, d);
    }
    group_unref(g);
    return error;
}

API_HANDLER(delete_groups)
{
    size_t count = (size_t)MAX(in->groups_names_count, 0);
    struct deletion *deletions = arena_calloc(&rq->arena, count + 1, sizeof *deletions);
    struct api_wait *w = arena_calloc(&rq->arena, 1, sizeof *w);
    out->results = arena_calloc(&rq->arena, count + 1, sizeof out->results[0]);
    if (!deletions || !w || !out->results) return API_CLOSE;
    api_wait_init(w, rq, NULL);
    for (size_t i = 0; i < count; i++) {
        deletions[i] = (struct deletion){.wait = w, .result = &out->results[i]};
        out->results[i].group_id = in->groups_names[i];
        enum kafka_error error = delete_one(rq, in->groups_names[i], &deletions[i]);
        if (error != KAFKA_NONE) out->results[i].error_code = (int16_t)error;
    }
    out->results_count = (int32_t)count;
    return api_wait_result(w);
}
