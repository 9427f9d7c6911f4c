/* DescribeCluster, key 60. Network thread. One broker, which is its own controller. */
#include "broker/api/authorized.h"
#include "broker/broker.h"
#include "broker/access/security.h"
#include "protocol/api_handlers.h"

enum endpoint_type { ENDPOINT_BROKERS = 1, ENDPOINT_CONTROLLERS = 2 };

API_HANDLER(describe_cluster)
{
    if (in->endpoint_type != ENDPOINT_BROKERS) {
        bool known = in->endpoint_type == ENDPOINT_CONTROLLERS;
        out->error_code = known ? KAFKA_MISMATCHED_ENDPOINT_TYPE : KAFKA_UNSUPPORTED_ENDPOINT_TYPE;
        out->error_message =
            known ? SLICE("The request was sent to an endpoint of type BROKER, but we wanted an endpoint of "
                          "type CONTROLLER")
                  : slice_of(arena_printf(&rq->arena, "Unsupported endpoint type %d", in->endpoint_type));
        return API_REPLY;
    }
    out->endpoint_type = in->endpoint_type;
    out->brokers = arena_calloc(&rq->arena, 1, sizeof out->brokers[0]);
    if (!out->brokers) return API_CLOSE;
    describe_cluster_response_broker_init(&out->brokers[0]);
    out->brokers_count = 1;
    out->brokers[0].broker_id = (int32_t)broker_config(rq->broker)->node_id;
    request_advertised(rq, &out->brokers[0].host, &out->brokers[0].port);
    out->cluster_id = slice_of(broker_cluster_id(rq->broker));
    out->controller_id = out->brokers[0].broker_id;
    if (in->include_cluster_authorized_operations)
        out->cluster_authorized_operations = authorized_operations(rq, RESOURCE_CLUSTER, SLICE(ACL_CLUSTER_NAME));
    return API_REPLY;
}
