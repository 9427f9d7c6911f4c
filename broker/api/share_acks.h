/* broker/api/share_acks.h: what the APIs of share groups share: who asks, acknowledgements of one partition.
 * Threads: the control thread. */
#ifndef OTTLA_API_SHARE_ACKS_H
#define OTTLA_API_SHARE_ACKS_H

#include "broker/share/group_share.h"
#include "broker/share/share_store.h"

/* The principal may read the group, the feature is on, and the member's id is one: NONE. */
enum kafka_error share_request_check(struct request *rq, struct slice group_id, struct slice member_id,
                                     struct uuid *ret_member);

/* The acknowledgements of one partition: NONE, or what its acknowledge error is. */
enum kafka_error share_acks_apply(struct request *rq, const struct share_key *key, struct uuid member,
                                  const struct share_ack *acks, uint32_t count);

/* The share group whose offsets may be changed: NONE, GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP, or why not. */
enum kafka_error share_group_to_change(struct request *rq, struct slice id, enum acl_operation operation,
                                       struct share_group **ret_group);

#endif
