/* ListPartitionReassignments, key 46. One broker: no replica ever moves, the list is empty. */
#include "broker/api.h"
#include "protocol/api_handlers.h"
#include "protocol/kafka_error.h"

API_HANDLER(list_partition_reassignments)
{
    out->error_message = SLICE_NULL;
    if (!request_authorize(rq, ACL_DESCRIBE, RESOURCE_CLUSTER, SLICE("kafka-cluster")))
        out->error_code = KAFKA_CLUSTER_AUTHORIZATION_FAILED;
    return API_REPLY;
}
