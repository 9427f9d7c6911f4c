/* broker/api/config_access.h: whom an API of configs asks: configs of topics and groups are theirs, all others the
 * cluster's. Threads: the control thread. */
#ifndef OTTLA_API_CONFIG_ACCESS_H
#define OTTLA_API_CONFIG_ACCESS_H

#include "broker/api.h"
#include "broker/broker.h"
#include "broker/access/security.h"

/* NONE, or why the principal may not; type: enum config_resource_type, or what a client made up. */
static inline enum kafka_error config_refusal(struct request *rq, enum acl_operation operation, int8_t type,
                                              struct slice name)
{
    if (type == CONFIG_RESOURCE_TOPIC) return request_refusal(rq, operation, RESOURCE_TOPIC, name);
    if (type == CONFIG_RESOURCE_GROUP) return request_refusal(rq, operation, RESOURCE_GROUP, name);
    return request_refusal(rq, operation, RESOURCE_CLUSTER, SLICE(ACL_CLUSTER_NAME));
}

#endif
