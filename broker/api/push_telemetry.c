/* PushTelemetry, key 72 (KIP-714): a client's metrics. Network thread. */
#include "broker/api/telemetry_client.h"
#include "broker/broker.h"
#include "broker/state.h"
#include "protocol/api_handlers.h"

API_HANDLER(push_telemetry)
{
    struct broker *b = rq->broker;
    const struct telemetry_push push = {.instance_id = in->client_instance_id,
                                        .subscription_id = in->subscription_id,
                                        .codec = in->compression_type,
                                        .terminating = in->terminating,
                                        .metrics = in->metrics,
                                        .bytes_max = broker_config(b)->telemetry_max_bytes};

    const struct telemetry_client who = telemetry_client_of(rq);
    out->error_code = telemetry_push(b->telemetry, request_metadata(rq), &who, &push, clock_mono_ms(b->clock));
    return API_REPLY;
}
