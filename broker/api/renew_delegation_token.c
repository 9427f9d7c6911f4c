/* RenewDelegationToken, key 39 (KIP-48). Tokens need a connection that was authenticated by SASL or TLS; on a plain one
 * Kafka answers this. */
#include "broker/api.h"
#include "protocol/api_handlers.h"
#include "protocol/kafka_error.h"

API_HANDLER(renew_delegation_token)
{
    out->error_code = KAFKA_DELEGATION_TOKEN_REQUEST_NOT_ALLOWED;
    out->expiry_timestamp_ms = -1;
    return API_REPLY;
}
