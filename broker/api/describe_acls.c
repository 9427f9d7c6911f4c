/* DescribeAcls, key 29. Control thread (metadata). The rules that match a filter, gathered by resource.
 * kafka-python 2.0.2 takes the broker's version from this API being there. */
#include "broker/api/acls.h"
#include "broker/metadata/metadata.h"
#include "protocol/api_handlers.h"

#include <stdlib.h>

/* The rules of one resource stand together. */
static int resource_order(const void *a, const void *b)
{
    const struct acl *const *x = a, *const *y = b;
    const struct acl_fields *f = &(*x)->fields, *g = &(*y)->fields;
    int order = f->resource_type - g->resource_type;

    if (order == 0) order = f->pattern - g->pattern;
    if (order == 0) order = slice_compare(f->resource_name, g->resource_name);
    return order;
}

/* The rules that match, sorted by resource. In the arena; NULL: it is full. */
static const struct acl **matching(struct request *rq, const struct security *s, const struct acl_filter *filter,
                                   int32_t *ret_count)
{
    const struct acl **rules = arena_calloc(&rq->arena, (size_t)s->acls_count + 1, sizeof *rules);

    *ret_count = 0;
    for (int32_t i = 0; rules && i < s->acls_count; i++)
        if (acl_filter_matches(filter, &s->acls[i]->fields)) rules[(*ret_count)++] = s->acls[i];
    if (rules) qsort(rules, (size_t)*ret_count, sizeof *rules, resource_order);
    return rules;
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

    int32_t count;
    const struct acl **rules = matching(rq, s, &filter, &count);
    struct describe_acls_response_acl_description *acls =
        arena_calloc(&rq->arena, (size_t)MAX(count, 0) + 1, sizeof *acls);
    out->resources = arena_calloc(&rq->arena, (size_t)MAX(count, 0) + 1, sizeof out->resources[0]);
    if (!rules || !acls || !out->resources) return API_CLOSE;
    for (int32_t i = 0; i < count; i++) {
        const struct acl_fields *a = &rules[i]->fields;
        if (i == 0 || resource_order(&rules[i - 1], &rules[i]) != 0)
            out->resources[out->resources_count++] =
                (struct describe_acls_response_resource){.resource_type = a->resource_type,
                                                         .resource_name = a->resource_name,
                                                         .pattern_type = a->pattern,
                                                         .acls = &acls[i]};
        acls[i] = (struct describe_acls_response_acl_description){
            .principal = a->principal, .host = a->host, .operation = a->operation, .permission_type = a->permission};
        out->resources[out->resources_count - 1].acls_count++;
    }
    return API_REPLY;
}
