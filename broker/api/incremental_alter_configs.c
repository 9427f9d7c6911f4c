/* IncrementalAlterConfigs, key 44 (KIP-339). Control thread (owns configs). Sets, removes, or changes elements of
 * lists. */
#include "broker/api/config_edit.h"
#include "protocol/api_handlers.h"

#include <stdio.h>

enum operation { OP_SET = 0, OP_DELETE = 1, OP_APPEND = 2, OP_SUBTRACT = 3 };

/* The list in force, on which append and subtract work. */
static const char *value_now(struct request *rq, const struct config_edits *e, const struct option *row)
{
    const struct config_list *own = config_edits_list(rq, e);
    const char *set = own ? config_list_get(own, row->name) : NULL;
    if (set) return set;
    const struct metadata *m = request_metadata(rq);
    struct config_value *values;
    int32_t count;
    if (e->type == CONFIG_RESOURCE_TOPIC) {
        const struct metadata_topic *t = metadata_topic(m, e->name);
        if (!t) return ""; /* it is told when the values have been checked */
        count = config_describe_topic(m, t, &rq->arena, &values);
    } else count = config_describe_broker(rq->broker, m, &rq->arena, &values);
    for (int32_t i = 0; i < count; i++)
        if (strcmp(values[i].option->name, row->name) == 0) return values[i].value ? values[i].value : "";
    return "";
}

static bool list_has(const char *list, struct slice word)
{
    struct slice element;
    while (option_list_next(&list, &element))
        if (slice_eq(element, word)) return true;
    return false;
}

/* now with the elements of change added, or without them. NULL: memory is out. */
static const char *list_edit(struct request *rq, const char *now, const char *change, bool append)
{
    char *text = arena_calloc(&rq->arena, strlen(now) + strlen(change) + 2, 1);
    if (!text) return NULL;
    char *end = text;
    struct slice element;
    for (const char *p = now; option_list_next(&p, &element);) {
        if (!append && list_has(change, element)) continue;
        end += sprintf(end, "%s" SLICE_FMT, end == text ? "" : ",", SLICE_ARG(element));
    }
    for (const char *p = change; append && option_list_next(&p, &element);) {
        if (list_has(now, element)) continue;
        end += sprintf(end, "%s" SLICE_FMT, end == text ? "" : ",", SLICE_ARG(element));
    }
    return text;
}

static void plan_one(struct request *rq, const struct incremental_alter_configs_request_alterable_config *c,
                     struct config_edits *e)
{
    static const char *const words[] = {"SET", "DELETE", "APPEND", "SUBTRACT"};
    struct config_edit *edit = config_edits_add(rq, e, c->name, c->value);
    if (!edit) return;
    if (c->config_operation < OP_SET || c->config_operation > OP_SUBTRACT) {
        err_set(&e->err, KAFKA_INVALID_REQUEST, "Unknown config operation %d for %s", c->config_operation, edit->name);
    } else if (c->config_operation == OP_DELETE) {
        edit->value = NULL;
    } else if (!edit->value) {
        err_set(&e->err, KAFKA_INVALID_REQUEST, "Null value not supported for : %s", edit->name);
    } else if (c->config_operation != OP_SET) {
        const struct topic_option *t = e->type == CONFIG_RESOURCE_TOPIC ? topic_option_find(edit->name) : NULL;
        const struct option *row = t ? &t->option
                                   : e->type == CONFIG_RESOURCE_BROKER
                                       ? option_find(broker_options, broker_options_count, edit->name)
                                       : NULL;
        if (!row || row->type != OPTION_LIST) {
            err_set(&e->err, KAFKA_INVALID_CONFIG, "Can't %s to key %s because its type is not LIST.",
                    words[c->config_operation], edit->name);
            return;
        }
        edit->value = list_edit(rq, value_now(rq, e, row), edit->value, c->config_operation == OP_APPEND);
        if (!edit->value) err_set(&e->err, KAFKA_UNKNOWN_SERVER_ERROR, "the request is too large");
    }
}

static void plan(struct request *rq, struct config_edits *e)
{
    const struct incremental_alter_configs_request_alter_configs_resource *r = e->asked;
    int32_t count = MAX(r->configs_count, 0);
    struct doubles_key *names = arena_calloc(&rq->arena, (size_t)count + 1, sizeof *names);
    for (int32_t i = 0; names && i < count; i++) names[i].name = r->configs[i].name;
    const uint8_t *doubles = config_edits_begin(rq, e, names, count, 0);
    for (int32_t i = 0; doubles && i < count && e->err.code == KAFKA_NONE; i++)
        if (doubles[i]) err_set(&e->err, KAFKA_INVALID_REQUEST, "Error due to duplicate config keys");
        else plan_one(rq, &r->configs[i], e);
}

API_HANDLER(incremental_alter_configs)
{
    int32_t count = MAX(in->resources_count, 0);
    struct config_alter *a = config_alter_new(rq, count, plan);
    out->responses = arena_calloc(&rq->arena, (size_t)count + 1, sizeof out->responses[0]);
    if (!a || !out->responses) return API_CLOSE;
    for (int32_t i = 0; i < count; i++) {
        const struct incremental_alter_configs_request_alter_configs_resource *r = &in->resources[i];
        struct incremental_alter_configs_response_alter_configs_resource_response *o =
            &out->responses[out->responses_count++];
        o->resource_type = r->resource_type;
        o->resource_name = r->resource_name;
        config_alter_add(a, r->resource_type, r->resource_name, r, &o->error_code, &o->error_message);
    }
    return config_alter_run(a, in->validate_only);
}
