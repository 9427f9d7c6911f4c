/* PushTelemetry, key 72 (KIP-714): a client's metrics. Network thread. */
#include "broker/api.h"
#include "broker/broker.h"
#include "broker/state.h"
#include "broker/telemetry.h"
#include "protocol/api_handlers.h"

API_HANDLER(push_telemetry)
{
    struct broker *b = rq->broker;
    struct telemetry_client who;
    const struct telemetry_push push = {.instance_id = in->client_instance_id,
                                        .subscription_id = in->subscription_id,
                                        .codec = in->compression_type,
                                        .terminating = in->terminating,
                                        .metrics = in->metrics,
                                        .bytes_max = broker_config(b)->telemetry_max_bytes};

    request_telemetry_client(rq, &who);
    out->error_code = telemetry_push(b->telemetry, request_metadata(rq), &who, &push, clock_mono_ms(b->clock));
    return API_REPLY;
}
