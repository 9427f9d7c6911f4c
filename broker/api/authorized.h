/* broker/api/authorized.h: the bit sets of authorized operations that clients may ask for (KIP-430). */
#ifndef OTTLA_API_AUTHORIZED_H
#define OTTLA_API_AUTHORIZED_H

#include "broker/api.h"

/* Bit n: the principal may do acl_operation n on the resource; only operations that the type knows. */
static inline int32_t authorized_operations(const struct request *rq, enum resource_type type, struct slice name)
{
    static const int32_t known[] = {
        [RESOURCE_TOPIC] = 1 << ACL_READ | 1 << ACL_WRITE | 1 << ACL_CREATE | 1 << ACL_DELETE | 1 << ACL_ALTER |
                           1 << ACL_DESCRIBE | 1 << ACL_DESCRIBE_CONFIGS | 1 << ACL_ALTER_CONFIGS,
        [RESOURCE_GROUP] =
            1 << ACL_READ | 1 << ACL_DELETE | 1 << ACL_DESCRIBE | 1 << ACL_DESCRIBE_CONFIGS | 1 << ACL_ALTER_CONFIGS,
        [RESOURCE_CLUSTER] = 1 << ACL_CREATE | 1 << ACL_ALTER | 1 << ACL_DESCRIBE | 1 << ACL_CLUSTER_ACTION |
                             1 << ACL_DESCRIBE_CONFIGS | 1 << ACL_ALTER_CONFIGS | 1 << ACL_IDEMPOTENT_WRITE,
    };
    int32_t allowed = 0;
    for (int operation = 0; operation < 16; operation++)
        if (known[type] & 1 << operation && request_authorize(rq, (enum acl_operation)operation, type, name))
            allowed |= 1 << operation;
    return allowed;
}

#endif
