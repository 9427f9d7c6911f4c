/* DescribeClientQuotas, key 48. No quota can be set, so that the list is empty (not null: clients walk it); what the
 * filter says is checked all the same. */
#include "broker/api.h"
#include "protocol/api_handlers.h"
#include "protocol/kafka_error.h"

enum match_type { MATCH_EXACT = 0, MATCH_DEFAULT = 1, MATCH_ANY = 2 };

static enum kafka_error check_component(const struct describe_client_quotas_request_component_data *c,
                                        const char **ret_text)
{
    *ret_text = "Unexpected empty filter component entity type.";
    if (!c->entity_type.len) return KAFKA_INVALID_REQUEST;
    *ret_text = "Custom entity types are not supported.";
    if (!slice_eq_text(c->entity_type, "user") && !slice_eq_text(c->entity_type, "client-id") &&
        !slice_eq_text(c->entity_type, "ip"))
        return KAFKA_UNSUPPORTED_VERSION;
    *ret_text = "Request specified MATCH_TYPE_EXACT, but set match string to null.";
    if (c->match_type == MATCH_EXACT && !c->match.ptr) return KAFKA_INVALID_REQUEST;
    *ret_text = "Unknown match type.";
    if (c->match_type < MATCH_EXACT || c->match_type > MATCH_ANY) return KAFKA_INVALID_REQUEST;
    return KAFKA_NONE;
}

API_HANDLER(describe_client_quotas)
{
    out->entries_count = 0;
    if (!request_authorize(rq, ACL_DESCRIBE_CONFIGS, RESOURCE_CLUSTER, SLICE("kafka-cluster"))) {
        out->error_code = KAFKA_CLUSTER_AUTHORIZATION_FAILED;
        return API_REPLY;
    }
    for (int32_t i = 0; i < in->components_count; i++) {
        const char *text;
        enum kafka_error error = check_component(&in->components[i], &text);
        if (error == KAFKA_NONE) continue;
        out->error_code = (int16_t)error;
        out->error_message = slice_of(text);
        out->entries_count = -1;
        break;
    }
    return API_REPLY;
}
