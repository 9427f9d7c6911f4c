/* broker/group/consumer_classic.h: members of the classic protocol in a consumer group, and groups that change their
 * protocol while they live (KIP-848, "Upgrade and Downgrade"; group.consumer.migration.policy).
 *
 *   classic group ── ConsumerGroupHeartbeat of a new member ──> consumer group     consumer_upgrade()
 *   consumer group ── the last consumer member goes, classic ones stay ──> classic group, which rebalances
 *                                                                                   consumer_downgrade()
 *
 * In a consumer group a classic member is led by the same epochs as the others: its generation is its member epoch,
 * JoinGroup takes the step that a heartbeat takes for others, SyncGroup hands out what is assigned to it, Heartbeat
 * says REBALANCE_IN_PROGRESS when it shall join again. It never leads.
 * Threads: the control thread only. Source: Kafka 4.1. */
#ifndef OTTLA_CONSUMER_CLASSIC_H
#define OTTLA_CONSUMER_CLASSIC_H

#include "broker/group/group_consumer.h"

/* JoinGroup, SyncGroup, Heartbeat, LeaveGroup for a consumer group with members; the fields were checked as far as they
 * do not depend on the group. Calls as in group_classic.h. */
void consumer_join(struct consumer_group *c, const struct classic_join *in, struct classic_join_call *call);
void consumer_sync(struct consumer_group *c, const struct classic_sync *in, struct classic_sync_call *call);
enum kafka_error consumer_classic_heartbeat(struct consumer_group *c, const struct group_caller *caller);
void consumer_leave(struct consumer_group *c, struct classic_leave *leaves, int32_t count);
/* JoinGroup for a consumer group without members: NONE: it is a classic one now. */
enum kafka_error consumer_empty_to_classic(struct consumer_group *c);

/* Makes a consumer group of a classic one with members, which have to join again; *ret_group is in the table. */
enum kafka_error consumer_upgrade(struct classic_group *classic, struct consumer_group **ret_group, struct err *err);
/* Would the members that are left without these be a classic group? */
bool consumer_may_downgrade(const struct consumer_group *c, struct consumer_member *const *leaving, uint32_t count);
/* c is gone afterwards, unless it fails. */
enum kafka_error consumer_downgrade(struct consumer_group *c, struct consumer_member *const *leaving, uint32_t count);

#endif
