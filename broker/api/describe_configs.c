/* DescribeConfigs, key 32. Control thread. The rows of options say names, types and documentation; the snapshot says
 * the values with their sources. */
#include "broker/api/config_access.h"
#include "broker/config/resource_options.h"
#include "protocol/api_handlers.h"

#include <stdio.h>
#include <stdlib.h>

/* Numbers of the protocol (ConfigDef types, v3+). */
static const int8_t type_numbers[] = {
    [OPTION_BOOL] = 1,   [OPTION_STRING] = 2, [OPTION_INT] = 3,   [OPTION_SHORT] = 4,    [OPTION_LONG] = 5,
    [OPTION_DOUBLE] = 6, [OPTION_LIST] = 7,   [OPTION_CLASS] = 8, [OPTION_PASSWORD] = 9,
};

/* The keys are sorted. */
static bool is_asked(const struct describe_configs_request_resource *r, const char *name)
{
    const struct slice key = slice_of(name);
    return r->configuration_keys_count <= 0 ||
           bsearch(&key, r->configuration_keys, (size_t)r->configuration_keys_count, sizeof key, slice_order) != NULL;
}

static bool fill_value(struct request *rq, const struct describe_configs_request *in, const struct config_value *v,
                       struct describe_configs_response_resource_result *o)
{
    describe_configs_response_resource_result_init(o);
    o->name = slice_of(v->option->name);
    o->value = v->sensitive ? SLICE_NULL : slice_of(v->value);
    o->read_only = v->read_only;
    o->is_default = v->source == CONFIG_SOURCE_DEFAULT;
    o->config_source = (int8_t)v->source;
    o->is_sensitive = v->sensitive;
    o->config_type = type_numbers[v->option->type];
    o->documentation = SLICE_NULL;
    if (in->include_documentation)
        o->documentation =
            v->option->doc ? slice_of(v->option->doc) : SLICE("An option of Kafka that has no effect here.");
    if (!in->include_synonyms) return true;
    o->synonyms = arena_calloc(&rq->arena, v->synonyms_count + 1, sizeof o->synonyms[0]);
    if (!o->synonyms) return false;
    for (uint32_t i = 0; i < v->synonyms_count; i++)
        o->synonyms[o->synonyms_count++] = (struct describe_configs_response_synonym){
            .name = slice_of(v->synonyms[i].name),
            .value = v->sensitive ? SLICE_NULL : slice_of(v->synonyms[i].value),
            .source = (int8_t)v->synonyms[i].source};
    return true;
}

/* A group or a subscription of client metrics: one that nobody has set anything on has the defaults. */
static enum kafka_error read_resource(struct request *rq, const struct describe_configs_request_resource *r,
                                      const char *nameless, struct config_value **ret_values, int32_t *ret_count,
                                      struct err *err)
{
    if (!r->resource_name.len) return err_set(err, KAFKA_INVALID_REQUEST, "%s", nameless);
    *ret_count =
        config_describe_resource(broker_config(rq->broker), request_metadata(rq),
                                 (enum config_resource_type)r->resource_type, r->resource_name, &rq->arena, ret_values);
    return KAFKA_NONE;
}

/* Finds the values of a resource. *ret_count -1: memory is out. */
static enum kafka_error read_values(struct request *rq, const struct describe_configs_request_resource *r,
                                    struct config_value **ret_values, int32_t *ret_count, struct err *err)
{
    const struct metadata *m = request_metadata(rq);
    enum kafka_error refused = config_refusal(rq, ACL_DESCRIBE_CONFIGS, r->resource_type, r->resource_name);
    if (refused != KAFKA_NONE) return err_set(err, refused, "%s", kafka_error_text(refused));
    if (r->resource_type == CONFIG_RESOURCE_TOPIC) {
        enum kafka_error error = topic_name_check(r->resource_name, err);
        if (error != KAFKA_NONE) return error;
        const struct metadata_topic *t = metadata_topic(m, r->resource_name);
        if (!t)
            return err_set(err, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "The topic '" SLICE_FMT "' does not exist.",
                           SLICE_ARG(r->resource_name));
        *ret_count = config_describe_topic(m, t, &rq->arena, ret_values);
        return KAFKA_NONE;
    }
    if (r->resource_type == CONFIG_RESOURCE_GROUP)
        return read_resource(rq, r, "Group name must not be empty", ret_values, ret_count, err);
    if (r->resource_type == CONFIG_RESOURCE_CLIENT_METRICS)
        return read_resource(rq, r, "Client metrics subscription name must not be empty", ret_values, ret_count, err);
    if (r->resource_type != CONFIG_RESOURCE_BROKER)
        return err_set(err, KAFKA_INVALID_REQUEST, "Unsupported resource type: %d", r->resource_type);
    if (!r->resource_name.len) {
        *ret_count = config_describe_broker_default(m, &rq->arena, ret_values);
        return KAFKA_NONE;
    }
    char node[24];
    snprintf(node, sizeof node, "%lld", (long long)broker_config(rq->broker)->node_id);
    if (!slice_eq_text(r->resource_name, node))
        return err_set(err, KAFKA_INVALID_REQUEST,
                       "Unexpected broker id, expected %s or empty string, but received " SLICE_FMT, node,
                       SLICE_ARG(r->resource_name));
    *ret_count = config_describe_broker(rq->broker, m, &rq->arena, ret_values);
    return KAFKA_NONE;
}

API_HANDLER(describe_configs)
{
    out->results = arena_calloc(&rq->arena, (size_t)MAX(in->resources_count, 0) + 1, sizeof out->results[0]);
    if (!out->results) return API_CLOSE;
    for (int32_t i = 0; i < in->resources_count; i++) {
        const struct describe_configs_request_resource *r = &in->resources[i];
        struct describe_configs_response_result *o = &out->results[out->results_count++];
        struct config_value *values = NULL;
        int32_t count = 0;
        struct err err = ERR_NONE;
        o->resource_type = r->resource_type;
        o->resource_name = r->resource_name;
        o->error_message = SLICE_EMPTY;
        o->error_code = (int16_t)read_values(rq, r, &values, &count, &err);
        if (o->error_code != KAFKA_NONE) {
            o->error_message = slice_of(arena_strdup(&rq->arena, err.text));
            continue;
        }
        if (r->configuration_keys_count > 0)
            qsort(r->configuration_keys, (size_t)r->configuration_keys_count, sizeof r->configuration_keys[0],
                  slice_order);
        o->configs = count < 0 ? NULL : arena_calloc(&rq->arena, (size_t)count + 1, sizeof o->configs[0]);
        if (!o->configs) return API_CLOSE;
        for (int32_t k = 0; k < count; k++)
            if (is_asked(r, values[k].option->name) && !fill_value(rq, in, &values[k], &o->configs[o->configs_count++]))
                return API_CLOSE;
    }
    return API_REPLY;
}
