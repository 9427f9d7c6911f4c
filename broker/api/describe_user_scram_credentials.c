/* DescribeUserScramCredentials, key 50 (KIP-554). Control thread (metadata). Mechanisms and iterations, never secrets.
 */
#include "broker/api.h"
#include "broker/metadata/metadata.h"
#include "broker/access/security.h"
#include "protocol/api_handlers.h"
#include "protocol/kafka_error.h"

/* Fills what the user has; false: memory is out. */
static bool fill(struct request *rq, struct slice user, struct describe_user_scram_credentials_response_result *o)
{
    const struct security *s = request_metadata(rq)->security;
    o->user = user;
    o->error_message = SLICE_NULL;
    o->credential_infos = arena_calloc(&rq->arena, SCRAM_SHA_512 + 1, sizeof o->credential_infos[0]);
    if (!o->credential_infos) return false;
    for (int8_t mechanism = SCRAM_SHA_256; mechanism <= SCRAM_SHA_512; mechanism++) {
        const struct scram_fields *f = security_scram(s, user, mechanism);
        if (!f) continue;
        o->credential_infos[o->credential_infos_count++] =
            (struct describe_user_scram_credentials_response_credential_info){.mechanism = mechanism,
                                                                              .iterations = f->iterations};
    }
    return true;
}

static bool is_listed(const struct describe_user_scram_credentials_response *out, struct slice user)
{
    for (int32_t i = 0; i < out->results_count; i++)
        if (slice_eq(out->results[i].user, user)) return true;
    return false;
}

static bool fill_all(struct request *rq, struct describe_user_scram_credentials_response *out)
{
    const struct security *s = request_metadata(rq)->security;
    out->results = arena_calloc(&rq->arena, (size_t)(s ? s->scram_count : 0) + 1, sizeof out->results[0]);
    if (!out->results) return false;
    for (int32_t i = 0; s && i < s->scram_count; i++) {
        struct slice user = s->scram[i]->fields.user;
        if (!is_listed(out, user) && !fill(rq, user, &out->results[out->results_count++])) return false;
    }
    return true;
}

API_HANDLER(describe_user_scram_credentials)
{
    out->error_message = SLICE_NULL;
    out->error_code = (int16_t)request_refused(rq);
    if (out->error_code != KAFKA_NONE) return API_REPLY;
    if (in->users_count > METADATA_CHANGE_RECORDS_MAX) return API_CLOSE; /* the checks take the square of it */
    if (in->users_count <= 0) return fill_all(rq, out) ? API_REPLY : API_CLOSE;
    out->results = arena_calloc(&rq->arena, (size_t)in->users_count, sizeof out->results[0]);
    if (!out->results) return API_CLOSE;
    for (int32_t i = 0; i < in->users_count; i++) {
        struct slice user = in->users[i].name;
        int times = 0;
        if (is_listed(out, user)) continue;
        for (int32_t k = 0; k < in->users_count; k++) times += slice_eq(in->users[k].name, user);
        struct describe_user_scram_credentials_response_result *o = &out->results[out->results_count++];
        if (!fill(rq, user, o)) return API_CLOSE;
        if (times == 1 && o->credential_infos_count > 0) continue;
        o->error_code = times > 1 ? KAFKA_DUPLICATE_RESOURCE : KAFKA_RESOURCE_NOT_FOUND;
        o->error_message = times > 1 ? SLICE("The user is named twice in the request.")
                                     : SLICE("Attempt to describe a user credential that does not exist.");
        o->credential_infos_count = 0;
    }
    return API_REPLY;
}
