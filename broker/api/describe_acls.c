/* DescribeAcls, key 29. Control thread (metadata). The rules that match a filter, gathered by resource.
 * kafka-python 2.0.2 takes the broker's version from this API being there. */
#include "broker/api/acls.h"
#include "broker/metadata.h"
#include "protocol/api_handlers.h"

static bool same_resource(const struct describe_acls_response_resource *r, const struct acl_fields *a)
{
    return r->resource_type == a->resource_type && r->pattern_type == a->pattern &&
           slice_eq(r->resource_name, a->resource_name);
}

API_HANDLER(describe_acls)
{
    const struct acl_filter filter = {.fields = {.resource_name = in->resource_name_filter,
                                                 .principal = in->principal_filter,
                                                 .host = in->host_filter,
                                                 .resource_type = in->resource_type_filter,
                                                 .pattern = in->pattern_type_filter,
                                                 .operation = in->operation,
                                                 .permission = in->permission_type}};
    if (!acls_filter_is_known(&filter)) return API_CLOSE;
    out->error_code = (int16_t)acls_refused(rq, &out->error_message);
    const struct security *s = request_metadata(rq)->security;
    if (out->error_code != KAFKA_NONE || !s) return API_REPLY;

    size_t count = (size_t)s->acls_count;
    out->resources = arena_calloc(&rq->arena, count + 1, sizeof out->resources[0]);
    if (!out->resources) return API_CLOSE;
    for (int32_t i = 0; i < s->acls_count; i++) {
        const struct acl_fields *a = &s->acls[i]->fields;
        if (!acl_filter_matches(&filter, a)) continue;
        int32_t at = 0;
        while (at < out->resources_count && !same_resource(&out->resources[at], a)) at++;
        struct describe_acls_response_resource *r = &out->resources[at];
        if (at == out->resources_count) {
            *r = (struct describe_acls_response_resource){
                .resource_type = a->resource_type, .resource_name = a->resource_name, .pattern_type = a->pattern};
            /* No more rules can follow than are left. */
            r->acls = arena_calloc(&rq->arena, (size_t)(s->acls_count - i), sizeof r->acls[0]);
            if (!r->acls) return API_CLOSE;
            out->resources_count++;
        }
        r->acls[r->acls_count++] = (struct describe_acls_response_acl_description){
            .principal = a->principal, .host = a->host, .operation = a->operation, .permission_type = a->permission};
    }
    return API_REPLY;
}
