/* DescribeUserScramCredentials, key 50 (KIP-554). Control thread. Which mechanisms a user has, with their iterations; never
 * a key or a salt. No users named: all. */
#include "broker/api.h"
#include "broker/metadata.h"
#include "broker/scram_store.h"
#include "protocol/api_handlers.h"

/* The user whose credentials begin at index `first`. false: the arena is full. */
static bool add_infos(struct request *rq, const struct shared_set *scram, int32_t first, int32_t count,
                      struct describe_user_scram_credentials_response_result *o)
{
    o->credential_infos = arena_calloc(&rq->arena, (size_t)count + 1, sizeof o->credential_infos[0]);
    if (!o->credential_infos) return false;
    for (int32_t i = 0; i < count; i++)
        o->credential_infos[o->credential_infos_count++] = (struct describe_user_scram_credentials_response_credential_info){
            .mechanism = scram_at(scram, first + i)->mechanism, .iterations = scram_at(scram, first + i)->iterations};
    return true;
}

static bool add_all(struct request *rq, const struct metadata *m, struct describe_user_scram_credentials_response *out)
{
    int32_t first, count;

    out->results = arena_calloc(&rq->arena, (size_t)m->scram->count + 1, sizeof out->results[0]);
    if (!out->results) return false;
    for (int32_t i = 0; i < m->scram->count; i += count) {
        struct describe_user_scram_credentials_response_result *o = &out->results[out->results_count++];
        describe_user_scram_credentials_response_result_init(o);
        o->user = scram_at(m->scram, i)->name;
        count = scram_of_user(m, o->user, &first);
        if (!add_infos(rq, m->scram, first, count, o)) return false;
    }
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

/* Names in order, so that one that is there twice stands beside itself. */
static bool add_named(struct request *rq, const struct metadata *m, const struct describe_user_scram_credentials_request *in,
                      struct describe_user_scram_credentials_response *out)
{
    struct slice *names = arena_calloc(&rq->arena, (size_t)in->users_count + 1, sizeof *names);

    out->results = arena_calloc(&rq->arena, (size_t)in->users_count + 1, sizeof out->results[0]);
    if (!names || !out->results) return false;
    for (int32_t i = 0; i < in->users_count; i++) names[i] = in->users[i].name;
    qsort(names, (size_t)in->users_count, sizeof *names, compare_names);
    for (int32_t i = 0, same; i < in->users_count; i += same) {
        struct describe_user_scram_credentials_response_result *o = &out->results[out->results_count++];
        const char *format = NULL;
        int32_t first, count = scram_of_user(m, names[i], &first);
        for (same = 1; i + same < in->users_count && slice_eq(names[i], names[i + same]);) same++;
        describe_user_scram_credentials_response_result_init(o);
        o->user = names[i];
        if (same > 1) {
            o->error_code = KAFKA_DUPLICATE_RESOURCE;
            format = "Cannot describe SCRAM credentials for the same user twice in a single request: " SLICE_FMT;
        } else if (count == 0) {
            o->error_code = KAFKA_RESOURCE_NOT_FOUND;
            format = "Attempt to describe a user credential that does not exist: " SLICE_FMT;
        } else if (!add_infos(rq, m->scram, first, count, o)) {
            return false;
        }
        if (format) o->error_message = slice_of(arena_printf(&rq->arena, format, SLICE_ARG(names[i])));
    }
    return true;
}

API_HANDLER(describe_user_scram_credentials)
{
    const struct metadata *m = request_metadata(rq);

    if (!request_authorize(rq, ACL_DESCRIBE, RESOURCE_CLUSTER, SLICE("kafka-cluster"))) {
        out->error_code = KAFKA_CLUSTER_AUTHORIZATION_FAILED;
        out->error_message = slice_of(kafka_error_text(KAFKA_CLUSTER_AUTHORIZATION_FAILED));
        return API_REPLY;
    }
    return (in->users_count > 0 ? add_named(rq, m, in, out) : add_all(rq, m, out)) ? API_REPLY : API_CLOSE;
}
