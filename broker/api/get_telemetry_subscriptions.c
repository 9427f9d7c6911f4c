/* GetTelemetrySubscriptions, key 71 (KIP-714): which metrics a client shall push. Network thread. No permission is
 * needed, as in Kafka. */
#include "broker/api/telemetry_client.h"
#include "broker/broker.h"
#include "broker/state.h"
#include "protocol/api_handlers.h"
#include "protocol/compress.h"

/* In Kafka's order of preference. */
static const int8_t codecs[] = {COMPRESSION_ZSTD, COMPRESSION_LZ4, COMPRESSION_GZIP, COMPRESSION_SNAPPY};

API_HANDLER(get_telemetry_subscriptions)
{
    struct broker *b = rq->broker;
    struct telemetry_subscription s;

    const struct telemetry_client who = telemetry_client_of(rq);
    out->error_code = telemetry_subscribe(b->telemetry, request_metadata(rq), &who, in->client_instance_id,
                                          clock_mono_ms(b->clock), &rq->arena, &s);
    if (out->error_code == KAFKA_UNKNOWN_SERVER_ERROR) return API_CLOSE;
    if (out->error_code != KAFKA_NONE) return API_REPLY;
    out->accepted_compression_types = arena_calloc(&rq->arena, countof(codecs), sizeof codecs[0]);
    if (!out->accepted_compression_types) return API_CLOSE;
    memcpy(out->accepted_compression_types, codecs, sizeof codecs);
    out->accepted_compression_types_count = countof(codecs);
    out->client_instance_id = s.instance_id;
    out->subscription_id = s.id;
    out->push_interval_ms = s.push_interval_ms;
    out->telemetry_max_bytes = (int32_t)broker_config(b)->telemetry_max_bytes;
    out->delta_temporality = true;
    out->requested_metrics = s.metrics;
    out->requested_metrics_count = s.metrics_count;
    return API_REPLY;
}
