/* CreateDelegationToken, key 38 (KIP-48). Tokens need a connection that was authenticated by SASL or TLS; on a plain
 * one Kafka answers this. */
#include "broker/api.h"
#include "protocol/api_handlers.h"
#include "protocol/kafka_error.h"

#include <string.h>

API_HANDLER(create_delegation_token)
{
    out->error_code = KAFKA_DELEGATION_TOKEN_REQUEST_NOT_ALLOWED;
    const char *colon = strchrnul(rq->principal, ':'); /* type:name */
    out->principal_type = out->token_requester_principal_type =
        slice_make(rq->principal, (uint32_t)(colon - rq->principal));
    out->principal_name = out->token_requester_principal_name = slice_of(*colon ? colon + 1 : colon);
    out->issue_timestamp_ms = out->expiry_timestamp_ms = out->max_timestamp_ms = -1;
    return API_REPLY;
}
