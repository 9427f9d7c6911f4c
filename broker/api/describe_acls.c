/* DescribeAcls, key 29. There is no authorizer. kafka-python 2.0.2 takes the broker's version from this API being
 * there. */
#include "broker/api.h"
#include "protocol/api_handlers.h"
#include "protocol/kafka_error.h"

API_HANDLER(describe_acls)
{
    out->error_code = KAFKA_SECURITY_DISABLED;
    out->error_message = SLICE("No Authorizer is configured on the broker");
    return API_REPLY;
}
