/* DeleteAcls, key 31. Control thread (metadata). Removes what matches each filter and tells it. */
#include "broker/api/acls.h"
#include "broker/api/wait.h"
#include "broker/metadata/metadata.h"
#include "protocol/api_handlers.h"

struct deletion {
    struct api_wait *wait;
    struct delete_acls_response *out;
};

static void committed(void *arg, enum kafka_error error)
{
    struct deletion *d = arg;
    for (int32_t i = 0; error != KAFKA_NONE && i < d->out->filter_results_count; i++) {
        if (d->out->filter_results[i].error_code != KAFKA_NONE) continue;
        d->out->filter_results[i].error_code = (int16_t)error;
        d->out->filter_results[i].matching_acls_count = 0;
    }
    api_wait_done(d->wait);
}

static int32_t count_matching(const struct security *s, const struct acl_filter *filter)
{
    int32_t count = 0;
    for (int32_t i = 0; s && i < s->acls_count; i++) count += acl_filter_matches(filter, &s->acls[i]->fields);
    return count;
}

/* The texts of the answer are copied: the rules go with the change. */
static enum kafka_error delete_matching(struct request *rq, struct metadata_change *change,
                                        const struct acl_filter *filter, struct delete_acls_response_filter_result *o)
{
    int32_t count = count_matching(metadata_change_view(change)->security, filter);
    if (count > metadata_change_room(change)) return KAFKA_POLICY_VIOLATION;
    const struct security *s = security_ref(metadata_change_view(change)->security);
    o->matching_acls = arena_calloc(&rq->arena, (size_t)count + 1, sizeof o->matching_acls[0]);
    for (int32_t i = 0; s && o->matching_acls && i < s->acls_count; i++) {
        const struct acl_fields *a = &s->acls[i]->fields;
        if (!acl_filter_matches(filter, a)) continue;
        o->matching_acls[o->matching_acls_count++] = (struct delete_acls_response_matching_acl){
            .error_message = SLICE_NULL,
            .resource_type = a->resource_type,
            .resource_name = arena_slice_dup(&rq->arena, a->resource_name),
            .pattern_type = a->pattern,
            .principal = arena_slice_dup(&rq->arena, a->principal),
            .host = arena_slice_dup(&rq->arena, a->host),
            .operation = a->operation,
            .permission_type = a->permission,
        };
        metadata_change_remove_acl(change, s->acls[i]->id);
    }
    security_unref(s);
    return o->matching_acls ? KAFKA_NONE : KAFKA_UNKNOWN_SERVER_ERROR;
}

API_HANDLER(delete_acls)
{
    struct deletion *d = arena_calloc(&rq->arena, 1, sizeof *d);
    struct api_wait *w = api_wait_new(rq);
    size_t count = (size_t)MAX(in->filters_count, 0);
    struct acl_filter *filters = arena_calloc(&rq->arena, count + 1, sizeof *filters);
    out->filter_results = arena_calloc(&rq->arena, count + 1, sizeof out->filter_results[0]);
    if (!d || !w || !filters || !out->filter_results) return API_CLOSE;
    *d = (struct deletion){.wait = w, .out = out};
    for (size_t i = 0; i < count; i++) {
        const struct delete_acls_request_filter *from = &in->filters[i];
        filters[i].fields = (struct acl_fields){.resource_name = from->resource_name_filter,
                                                .principal = from->principal_filter,
                                                .host = from->host_filter,
                                                .resource_type = from->resource_type_filter,
                                                .pattern = from->pattern_type_filter,
                                                .operation = from->operation,
                                                .permission = from->permission_type};
        if (!acls_filter_is_known(&filters[i])) return API_CLOSE;
    }
    struct slice text = SLICE_NULL;
    enum kafka_error refused = acls_refused(rq, &text);
    struct metadata_change *change = metadata_change_begin(rq->broker);
    for (size_t i = 0; i < count; i++) {
        struct delete_acls_response_filter_result *o = &out->filter_results[out->filter_results_count++];
        o->error_code = (int16_t)refused;
        o->error_message = text;
        if (refused == KAFKA_NONE) o->error_code = (int16_t)delete_matching(rq, change, &filters[i], o);
    }
    metadata_change_commit(change, committed, d);
    return api_wait_result(w);
}
