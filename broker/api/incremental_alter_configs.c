/* IncrementalAlterConfigs, key 44 (KIP-339). Control thread (owns configs). Sets, removes, or changes elements of
 * lists. */
#include "broker/api/config_edit.h"
#include "broker/api/doubles.h"
#include "protocol/api_handlers.h"

#include <stdio.h>

enum operation { OP_SET = 0, OP_DELETE = 1, OP_APPEND = 2, OP_SUBTRACT = 3 };

struct alter {
    struct api_wait *wait;
    struct incremental_alter_configs_response *out;
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

/* The list in force, on which append and subtract work. */
static const char *value_now(struct request *rq, const struct config_edits *e, const struct option *row)
{
    const struct config_list *own = config_edits_list(rq, e->type, e->name);
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

static enum kafka_error plan_one(struct request *rq, const struct incremental_alter_configs_request_alterable_config *c,
                                 struct config_edits *e)
{
    static const char *const words[] = {"SET", "DELETE", "APPEND", "SUBTRACT"};
    const char *name = arena_slice_str(&rq->arena, c->name);
    const char *value = arena_slice_str(&rq->arena, c->value);
    if (!name || (c->value.ptr && !value))
        return err_set(&e->err, KAFKA_UNKNOWN_SERVER_ERROR, "the request is too large");
    if (c->config_operation < OP_SET || c->config_operation > OP_SUBTRACT)
        return err_set(&e->err, KAFKA_INVALID_REQUEST, "Unknown config operation %d for %s", c->config_operation, name);
    if (c->config_operation != OP_DELETE && !c->value.ptr)
        return err_set(&e->err, KAFKA_INVALID_REQUEST, "Null value not supported for : %s", name);
    if (c->config_operation == OP_APPEND || c->config_operation == OP_SUBTRACT) {
        const struct topic_option *t = e->type == CONFIG_RESOURCE_TOPIC ? topic_option_find(name) : NULL;
        const struct option *row = t ? &t->option
                                   : e->type == CONFIG_RESOURCE_BROKER
                                       ? option_find(broker_options, broker_options_count, name)
                                       : NULL;
        if (!row || row->type != OPTION_LIST)
            return err_set(&e->err, KAFKA_INVALID_CONFIG, "Can't %s to key %s because its type is not LIST.",
                           words[c->config_operation], name);
        value = list_edit(rq, value_now(rq, e, row), value, c->config_operation == OP_APPEND);
        if (!value) return err_set(&e->err, KAFKA_UNKNOWN_SERVER_ERROR, "the request is too large");
    }
    e->edits[e->count++] = (struct config_edit){.name = name, .value = c->config_operation == OP_DELETE ? NULL : value};
    return KAFKA_NONE;
}

static enum kafka_error plan(struct request *rq,
                             const struct incremental_alter_configs_request_alter_configs_resource *r,
                             struct config_edits *e)
{
    int32_t count = MAX(r->configs_count, 0);
    e->edits = arena_calloc(&rq->arena, (size_t)count + 1, sizeof e->edits[0]);
    struct doubles_key *names = arena_calloc(&rq->arena, (size_t)count + 1, sizeof *names);
    if (!e->edits || !names) return err_set(&e->err, KAFKA_UNKNOWN_SERVER_ERROR, "the request is too large");
    for (int32_t i = 0; i < count; i++) names[i].name = r->configs[i].name;
    const uint8_t *doubles = doubles_find(&rq->arena, names, count);
    if (!doubles) return err_set(&e->err, KAFKA_UNKNOWN_SERVER_ERROR, "the request is too large");
    for (int32_t i = 0; i < count; i++) {
        if (doubles[i]) return err_set(&e->err, KAFKA_INVALID_REQUEST, "Error due to duplicate config keys");
        enum kafka_error error = plan_one(rq, &r->configs[i], e);
        if (error != KAFKA_NONE) return error;
    }
    return KAFKA_NONE;
}

API_HANDLER(incremental_alter_configs)
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
