/* CreateAcls, key 30. Control thread (metadata). Each rule by itself; what is valid is one change. */
#include "base/log.h"
#include "broker/api/acls.h"
#include "broker/api/wait.h"
#include "broker/metadata/metadata.h"
#include "protocol/api_handlers.h"

struct creation {
    struct api_wait *wait;
    struct create_acls_response *out;
};

static void committed(void *arg, enum kafka_error error)
{
    struct creation *c = arg;
    for (int32_t i = 0; error != KAFKA_NONE && i < c->out->results_count; i++)
        if (c->out->results[i].error_code == KAFKA_NONE) c->out->results[i].error_code = (int16_t)error;
    api_wait_done(c->wait);
}

/* NULL: the rule is one. */
static const char *rule_error(const struct acl_fields *a)
{
    const uint8_t *colon = a->principal.len ? memchr(a->principal.ptr, ':', a->principal.len) : NULL;
    if (!a->resource_name.len) return "The resource name is empty.";
    if (!colon || colon == a->principal.ptr || colon + 1 == a->principal.ptr + a->principal.len)
        return "The principal must have the form type:name.";
    if (a->resource_type <= ACL_ANY || a->resource_type > ACL_RESOURCE_MAX) return "The resource type is not allowed.";
    if (a->resource_type == RESOURCE_CLUSTER && !slice_eq_text(a->resource_name, ACL_CLUSTER_NAME))
        return "The only valid name for the CLUSTER resource is " ACL_CLUSTER_NAME;
    if (a->pattern != ACL_PATTERN_LITERAL && a->pattern != ACL_PATTERN_PREFIXED)
        return "The pattern type must be LITERAL or PREFIXED.";
    if (a->operation <= ACL_ANY || a->operation > ACL_OPERATION_MAX) return "The operation is not allowed.";
    if (a->permission != ACL_PERMISSION_ALLOW && a->permission != ACL_PERMISSION_DENY)
        return "The permission type must be ALLOW or DENY.";
    return NULL;
}

API_HANDLER(create_acls)
{
    struct creation *c = arena_calloc(&rq->arena, 1, sizeof *c);
    struct api_wait *w = api_wait_new(rq);
    out->results = arena_calloc(&rq->arena, (size_t)MAX(in->creations_count, 0) + 1, sizeof out->results[0]);
    if (!c || !w || !out->results) return API_CLOSE;
    *c = (struct creation){.wait = w, .out = out};
    struct slice text = SLICE_NULL;
    enum kafka_error refused = acls_refused(rq, &text);

    struct metadata_change *change = metadata_change_begin(rq->broker);
    int added = 0;
    for (int32_t i = 0; i < in->creations_count; i++) {
        const struct create_acls_request_acl_creation *from = &in->creations[i];
        struct create_acls_response_acl_creation_result *o = &out->results[out->results_count++];
        const struct acl_fields rule = {.resource_name = from->resource_name,
                                        .principal = from->principal,
                                        .host = from->host,
                                        .resource_type = from->resource_type,
                                        .pattern = from->resource_pattern_type,
                                        .operation = from->operation,
                                        .permission = from->permission_type};
        const char *wrong = rule_error(&rule);
        if (refused == KAFKA_NONE && !metadata_change_room(change)) {
            refused = KAFKA_POLICY_VIOLATION;
            text = SLICE("The request makes too many changes.");
        }
        o->error_code = (int16_t)(refused != KAFKA_NONE ? refused : wrong ? KAFKA_INVALID_REQUEST : KAFKA_NONE);
        o->error_message = refused != KAFKA_NONE ? text : slice_of(wrong);
        if (o->error_code != KAFKA_NONE) continue;
        metadata_change_add_acl(change, &rule);
        added++;
    }
    if (added && !request_has_authorizer(rq))
        log_warn("acl", "access rules are kept but not in force: authorizer.class.name is not set rules=%d client=%s",
                 added, rq->client_address);
    metadata_change_commit(change, committed, c);
    return api_wait_result(w);
}
