/* ApiVersions, key 18: what is served, from the rows of the schemas, and the finalized features of the metadata log.
 * Network thread. An unsupported version never gets here: request.c answers it in version 0. */
#include "broker/api.h"
#include "broker/config/feature_levels.h"
#include "protocol/api_handlers.h"

#include <string.h>

static bool is_alphanumeric(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?  (KIP-511) */
static bool is_software_name(struct slice s)
{
    if (s.len == 0 || !is_alphanumeric(s.ptr[0]) || !is_alphanumeric(s.ptr[s.len - 1])) return false;
    for (uint32_t i = 0; i < s.len; i++)
        if (!is_alphanumeric(s.ptr[i]) && s.ptr[i] != '-' && s.ptr[i] != '.') return false;
    return true;
}

static bool add_features(struct request *rq, struct api_versions_response *out)
{
    const struct metadata *m = request_metadata(rq);
    struct api_versions_response_supported_feature_key *supported =
        arena_calloc(&rq->arena, countof(features_supported), sizeof *supported);
    struct api_versions_response_finalized_feature_key *finalized =
        arena_calloc(&rq->arena, (size_t)m->features_count + 1, sizeof *finalized);

    if (!supported || !finalized) return false;
    out->supported_features = supported;
    for (size_t i = 0; i < countof(features_supported); i++) {
        /* Below version 4 a client takes a lower bound of 0 for an error, and is not told of the feature (KIP-584). */
        if (features_supported[i].min == 0 && rq->version < 4) continue;
        supported[out->supported_features_count++] =
            (struct api_versions_response_supported_feature_key){.name = slice_of(features_supported[i].name),
                                                                 .min_version = features_supported[i].min,
                                                                 .max_version = features_supported[i].max};
    }
    out->finalized_features = finalized;
    for (int32_t i = 0; i < m->features_count; i++) {
        if (m->features[i].level == 0 || !feature_find(slice_of(m->features[i].name))) continue;
        struct slice name = arena_slice_dup(&rq->arena, slice_of(m->features[i].name));
        if (!name.ptr) return false;
        struct api_versions_response_finalized_feature_key *f = &finalized[out->finalized_features_count++];
        f->name = name;
        f->min_version_level = f->max_version_level = m->features[i].level;
    }
    out->finalized_features_epoch = m->version;
    return true;
}

enum api_result api_handle_api_versions(struct request *rq, const struct api_versions_request *in,
                                        struct api_versions_response *out)
{
    if (rq->version >= 3 &&
        (!is_software_name(in->client_software_name) || !is_software_name(in->client_software_version))) {
        out->error_code = KAFKA_INVALID_REQUEST;
        return API_REPLY;
    }
    if (rq->version >= 3) request_set_software(rq, in->client_software_name, in->client_software_version);
    out->api_keys = arena_calloc(&rq->arena, (size_t)kafka_apis_count, sizeof *out->api_keys);
    if (!out->api_keys || (rq->version >= 3 && !add_features(rq, out))) return API_CLOSE;
    const char *readers = request_metadata(rq)->config->metrics_listeners;
    bool reads_metrics = readers && *readers;
    for (int i = 0; i < kafka_apis_count; i++) {
        const struct kafka_api *a = &kafka_apis[i];
        if (a->served_min < 0) continue;
        /* As a Kafka without a receiver of clients' metrics: they do not push what nobody can read. */
        if ((a->key == KAFKA_API_GET_TELEMETRY_SUBSCRIPTIONS || a->key == KAFKA_API_PUSH_TELEMETRY) && !reads_metrics)
            continue;
        out->api_keys[out->api_keys_count++] = (struct api_versions_response_api_version){
            .api_key = a->key, .min_version = a->served_min, .max_version = a->served_max};
    }
    return API_REPLY;
}
