/* broker/net/request_authorize.c: what a request's principal may, by the rules of the published metadata (api.h).
 *
 * Threads: the request's. Rules: docs/access-rules.md. */
#include "broker/api.h"

#include "broker/metadata/metadata.h"
#include "broker/access/security.h"
#include "protocol/messages.h"

static bool authorizer_is_on(const struct metadata *m)
{
    return m->config->authorizer_class_name && *m->config->authorizer_class_name;
}

bool request_authorize(const struct request *rq, enum acl_operation operation, enum resource_type type,
                       struct slice name)
{
    const struct metadata *m = request_metadata((struct request *)(uintptr_t)rq);
    if (!authorizer_is_on(m)) return true;
    const struct authorizer a = {.super_users = m->config->super_users,
                                 .allow_if_no_acl_found = m->config->allow_everyone_if_no_acl_found};
    return security_authorize(m->security, &a, rq->principal, request_peer_host(rq), operation, type, name);
}

bool request_authorize_cluster(const struct request *rq, enum acl_operation operation)
{
    return request_authorize(rq, operation, RESOURCE_CLUSTER, SLICE(ACL_CLUSTER_NAME));
}

enum kafka_error request_refusal(const struct request *rq, enum acl_operation operation, enum resource_type type,
                                 struct slice name)
{
    if (request_authorize(rq, operation, type, name)) return KAFKA_NONE;
    switch (type) {
    case RESOURCE_TOPIC: return KAFKA_TOPIC_AUTHORIZATION_FAILED;
    case RESOURCE_GROUP: return KAFKA_GROUP_AUTHORIZATION_FAILED;
    case RESOURCE_TRANSACTIONAL_ID: return KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    default: return KAFKA_CLUSTER_AUTHORIZATION_FAILED;
    }
}

enum kafka_error request_refused(struct request *rq)
{
    assert(rq->api->cluster_operation);
    rq->authorized = true;
    return request_refusal(rq, (enum acl_operation)rq->api->cluster_operation, RESOURCE_CLUSTER,
                           SLICE(ACL_CLUSTER_NAME));
}

bool request_has_authorizer(struct request *rq)
{
    return authorizer_is_on(request_metadata(rq));
}

struct slice request_peer_host(const struct request *rq)
{
    const char *address = rq->client_address;
    const char *port = strrchr(address, ':');
    uint32_t length = (uint32_t)(port ? (size_t)(port - address) : strlen(address));
    bool brackets = length > 1 && address[0] == '[' && address[length - 1] == ']';
    return slice_make(address + brackets, length - (brackets ? 2 : 0));
}
