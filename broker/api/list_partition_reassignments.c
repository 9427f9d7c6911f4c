/* ListPartitionReassignments, key 46. One broker: no replica ever moves, the list is empty. */
#include "broker/api.h"
#include "protocol/api_handlers.h"
#include "protocol/kafka_error.h"

API_HANDLER(list_partition_reassignments)
{
    out->error_message = SLICE_NULL;
    out->error_code = (int16_t)request_refused(rq);
    return API_REPLY;
}
