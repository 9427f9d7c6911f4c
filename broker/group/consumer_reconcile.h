/* broker/group/consumer_reconcile.h: one step of a member towards its target: the transitions in the head of
 * group_consumer.h.
 *
 * Reads the group and changes nothing. What another member owns or has yet to give up is never part of a next position:
 * so a partition has one owner.
 * Threads: the control thread only. Source: KIP-848. */
#ifndef OTTLA_CONSUMER_RECONCILE_H
#define OTTLA_CONSUMER_RECONCILE_H

#include "broker/group/group_consumer.h"

/* The member's next position, for consumer_position_done(). False: it stays where it is.
 *   owned   what it says that it has; NULL: it does not say */
bool consumer_reconcile(const struct consumer_member *m, int32_t target_epoch, const struct partition_set *target,
                        const struct partition_set *owned, struct consumer_position *ret);
/* Something of its target is still held by another member. */
bool consumer_waits_for_others(const struct consumer_member *m);

#endif
