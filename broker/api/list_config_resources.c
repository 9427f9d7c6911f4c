/* ListConfigResources, key 74 (KIP-1142; v0 was ListClientMetricsResources). Control thread. Types: none asked for
 * means all; v0 asks for client metrics. Topics and the broker are there; groups and client metrics where configs were
 * set. */
#include "broker/api.h"
#include "broker/broker.h"
#include "protocol/api_handlers.h"

#include <stdio.h>

struct list {
    struct request *rq;
    struct list_config_resources_response *out;
    size_t size;
};

static void add(struct list *l, int8_t type, struct slice name)
{
    assert((size_t)l->out->config_resources_count < l->size);
    l->out->config_resources[l->out->config_resources_count++] =
        (struct list_config_resources_response_config_resource){.resource_name = name, .resource_type = type};
}

static bool known(int8_t type)
{
    return type == CONFIG_RESOURCE_TOPIC || type == CONFIG_RESOURCE_BROKER || type == CONFIG_RESOURCE_BROKER_LOGGER ||
           type == CONFIG_RESOURCE_CLIENT_METRICS || type == CONFIG_RESOURCE_GROUP;
}

API_HANDLER(list_config_resources)
{
    const struct metadata *m = request_metadata(rq);
    out->error_code = (int16_t)request_refused(rq);
    if (out->error_code != KAFKA_NONE) return API_REPLY;
    uint64_t types = rq->version == 0 ? 1ull << CONFIG_RESOURCE_CLIENT_METRICS : 0;
    for (int32_t i = 0; rq->version > 0 && i < in->resource_types_count; i++) {
        if (!known(in->resource_types[i])) {
            out->error_code = KAFKA_UNSUPPORTED_VERSION;
            return API_REPLY;
        }
        types |= 1ull << in->resource_types[i];
    }
    if (!types) types = UINT64_MAX;

    struct list l = {.rq = rq, .out = out, .size = (size_t)m->topics_count + (size_t)m->resources_count + 2};
    out->config_resources = arena_calloc(&rq->arena, l.size, sizeof out->config_resources[0]);
    char *node = arena_printf(&rq->arena, "%lld", (long long)broker_config(rq->broker)->node_id);
    if (!out->config_resources || !node) return API_CLOSE;
    for (int32_t i = 0; types & 1ull << CONFIG_RESOURCE_TOPIC && i < m->topics_count; i++)
        if (request_authorize(rq, ACL_DESCRIBE_CONFIGS, RESOURCE_TOPIC, slice_of(m->topics[i]->name)))
            add(&l, CONFIG_RESOURCE_TOPIC, slice_of(m->topics[i]->name));
    if (types & 1ull << CONFIG_RESOURCE_BROKER) add(&l, CONFIG_RESOURCE_BROKER, slice_of(node));
    if (types & 1ull << CONFIG_RESOURCE_BROKER_LOGGER) add(&l, CONFIG_RESOURCE_BROKER_LOGGER, slice_of(node));
    for (int32_t i = 0; i < m->resources_count; i++) {
        const struct metadata_resource *r = m->resources[i];
        if (r->type != CONFIG_RESOURCE_BROKER && known(r->type) && types & 1ull << r->type && r->config.count)
            add(&l, r->type, slice_of(r->name));
    }
    return API_REPLY;
}
