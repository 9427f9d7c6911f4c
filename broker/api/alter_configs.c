/* AlterConfigs, key 33. Control thread (owns configs). Replaces all that is set on a resource. */
#include "broker/api/config_edit.h"
#include "broker/api/doubles.h"
#include "protocol/api_handlers.h"

struct alter {
    struct api_wait *wait;
    struct alter_configs_response *out;
    struct config_edits *all;
};

static void committed(void *arg, enum kafka_error error)
{
    struct alter *a = arg;
    for (int32_t i = 0; i < a->out->responses_count; i++) {
        const struct err *err = &a->all[i].err;
        a->out->responses[i].error_code = (int16_t)(err->code ? err->code : error);
        a->out->responses[i].error_message = err->code ? slice_of(err->text)
                                             : error   ? slice_of(kafka_error_text(error))
                                                       : SLICE_NULL;
    }
    api_wait_done(a->wait);
}

/* The edits that make the resource have just what the request says. */
static enum kafka_error plan(struct request *rq, const struct alter_configs_request_resource *r, struct config_edits *e)
{
    const struct config_list *now = config_edits_list(rq, e->type, e->name);
    int32_t count = MAX(r->configs_count, 0);
    e->edits = arena_calloc(&rq->arena, (size_t)count + (now ? now->count : 0) + 1, sizeof e->edits[0]);
    struct doubles_key *names = arena_calloc(&rq->arena, (size_t)count + 1, sizeof *names);
    if (!e->edits || !names) return err_set(&e->err, KAFKA_UNKNOWN_SERVER_ERROR, "the request is too large");
    for (int32_t i = 0; i < count; i++) names[i].name = r->configs[i].name;
    const uint8_t *doubles = doubles_find(&rq->arena, names, count);
    if (!doubles) return err_set(&e->err, KAFKA_UNKNOWN_SERVER_ERROR, "the request is too large");
    for (int32_t i = 0; i < count; i++) {
        const char *name = arena_slice_str(&rq->arena, r->configs[i].name);
        const char *value = arena_slice_str(&rq->arena, r->configs[i].value);
        if (!name || (r->configs[i].value.ptr && !value))
            return err_set(&e->err, KAFKA_UNKNOWN_SERVER_ERROR, "the request is too large");
        if (!r->configs[i].value.ptr)
            return err_set(&e->err, KAFKA_INVALID_REQUEST, "Null value not supported for : %s", name);
        if (doubles[i]) return err_set(&e->err, KAFKA_INVALID_REQUEST, "Error due to duplicate config keys");
        e->edits[e->count++] = (struct config_edit){.name = name, .value = value};
    }
    for (uint32_t i = 0; now && i < now->count; i++)
        if (!doubles_has(names, count, slice_of(now->entries[i].name)))
            e->edits[e->count++] = (struct config_edit){.name = now->entries[i].name};
    return KAFKA_NONE;
}

API_HANDLER(alter_configs)
{
    int32_t count = MAX(in->resources_count, 0);
    struct alter *a = arena_calloc(&rq->arena, 1, sizeof *a);
    struct config_edits *all = arena_calloc(&rq->arena, (size_t)count + 1, sizeof *all);
    struct api_wait *w = api_wait_new(rq);
    out->responses = arena_calloc(&rq->arena, (size_t)count + 1, sizeof out->responses[0]);
    if (!a || !all || !w || !out->responses) return API_CLOSE;
    *a = (struct alter){.wait = w, .out = out, .all = all};
    for (int32_t i = 0; i < count; i++) {
        all[i].type = out->responses[i].resource_type = in->resources[i].resource_type;
        all[i].name = out->responses[i].resource_name = in->resources[i].resource_name;
    }
    out->responses_count = count;
    if (!config_edits_check(rq, all, count)) return API_CLOSE;
    for (int32_t i = 0; i < count; i++)
        if (all[i].err.code == KAFKA_NONE) (void)plan(rq, &in->resources[i], &all[i]);
    config_edits_apply(rq, all, count, in->validate_only, committed, a);
    return api_wait_result(w);
}
