/* AlterConfigs, key 33. Control thread (owns configs). Replaces all that is set on a resource. */
#include "broker/api/config_edit.h"
#include "protocol/api_handlers.h"

/* The edits that make the resource have just what the request says. */
static void plan(struct request *rq, struct config_edits *e)
{
    const struct alter_configs_request_resource *r = e->asked;
    const struct config_list *now = config_edits_list(rq, e);
    int32_t count = MAX(r->configs_count, 0);
    struct doubles_key *names = arena_calloc(&rq->arena, (size_t)count + 1, sizeof *names);
    for (int32_t i = 0; names && i < count; i++) names[i].name = r->configs[i].name;
    const uint8_t *doubles = config_edits_begin(rq, e, names, count, now ? now->count : 0);
    for (int32_t i = 0; doubles && i < count; i++) {
        const struct config_edit *edit = config_edits_add(rq, e, r->configs[i].name, r->configs[i].value);
        if (!edit) return;
        if (!edit->value) err_set(&e->err, KAFKA_INVALID_REQUEST, "Null value not supported for : %s", edit->name);
        else if (doubles[i]) err_set(&e->err, KAFKA_INVALID_REQUEST, "Error due to duplicate config keys");
        if (e->err.code != KAFKA_NONE) return;
    }
    for (uint32_t i = 0; doubles && now && i < now->count; i++)
        if (!doubles_has(names, count, slice_of(now->entries[i].name)))
            e->edits[e->count++] = (struct config_edit){.name = now->entries[i].name};
}

API_HANDLER(alter_configs)
{
    int32_t count = MAX(in->resources_count, 0);
    struct config_alter *a = config_alter_new(rq, count, plan);
    out->responses = arena_calloc(&rq->arena, (size_t)count + 1, sizeof out->responses[0]);
    if (!a || !out->responses) return API_CLOSE;
    for (int32_t i = 0; i < count; i++) {
        const struct alter_configs_request_resource *r = &in->resources[i];
        struct alter_configs_response_resource_response *o = &out->responses[out->responses_count++];
        o->resource_type = r->resource_type;
        o->resource_name = r->resource_name;
        config_alter_add(a, r->resource_type, r->resource_name, r, &o->error_code, &o->error_message);
    }
    return config_alter_run(a, in->validate_only);
}
