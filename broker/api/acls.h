/* broker/api/acls.h: what DescribeAcls, CreateAcls and DeleteAcls share: numbers and texts of rules as the protocol has
 * them. */
#ifndef OTTLA_API_ACLS_H
#define OTTLA_API_ACLS_H

#include "broker/api.h"
#include "broker/access/security.h"
#include "protocol/kafka_error.h"

/* request_refused() with its text. Rules can be administered without an authorizer too, where Kafka answers
 * SECURITY_DISABLED: programs that set them up with their topics go on. */
static inline enum kafka_error acls_refused(struct request *rq, struct slice *ret_text)
{
    enum kafka_error error = request_refused(rq);
    if (error != KAFKA_NONE) *ret_text = slice_of(kafka_error_text(error));
    return error;
}

/* Numbers that this protocol does not have; Kafka closes the connection for them. */
static inline bool acls_filter_is_known(const struct acl_filter *f)
{
    const struct acl_fields *a = &f->fields;
    return a->resource_type >= ACL_ANY && a->resource_type <= ACL_RESOURCE_MAX && a->pattern >= ACL_PATTERN_ANY &&
           a->pattern <= ACL_PATTERN_PREFIXED && a->operation >= ACL_ANY && a->operation <= ACL_OPERATION_MAX &&
           a->permission >= ACL_PERMISSION_ANY && a->permission <= ACL_PERMISSION_ALLOW;
}

#endif
