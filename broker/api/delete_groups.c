/* DeleteGroups, key 42. Control thread (owns groups). */
#include "broker/api/wait.h"
#include "broker/group_store.h"
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

static enum kafka_error delete_one(struct request *rq, struct slice id, struct deletion *d)
{
    enum kafka_error error;
    struct groups *gs = groups_for(rq, id, ACL_DELETE, &error);
    struct group *g = gs ? groups_find(gs, id) : NULL;
    if (!g) return gs ? KAFKA_GROUP_ID_NOT_FOUND : error;
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
    struct api_wait *w = api_wait_new(rq);
    out->results = arena_calloc(&rq->arena, count + 1, sizeof out->results[0]);
    if (!deletions || !w || !out->results) return API_CLOSE;
    for (size_t i = 0; i < count; i++) {
        deletions[i] = (struct deletion){.wait = w, .result = &out->results[i]};
        out->results[i].group_id = in->groups_names[i];
        enum kafka_error error = delete_one(rq, in->groups_names[i], &deletions[i]);
        if (error != KAFKA_NONE) out->results[i].error_code = (int16_t)error;
    }
    out->results_count = (int32_t)count;
    api_wait_done(w);
    return api_wait_result(w);
}
