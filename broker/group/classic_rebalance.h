/* broker/group/classic_rebalance.h: the generations of a classic group: when members have to join again, when enough
 * of them have, what parked requests are answered, and the timers of all that. For the files of the classic protocol
 * only.
 *
 * The diagram stands in group_classic.h. Threads: the control thread only. */
#ifndef OTTLA_CLASSIC_REBALANCE_H
#define OTTLA_CLASSIC_REBALANCE_H

#include "broker/group/group_classic.h"

void classic_set_state(struct classic_group *c, enum classic_state state);
/* Appends the group as it is now. */
enum kafka_error classic_append_state(struct classic_group *c);

/* -- answers -- */

/* member_id null: none. */
void classic_join_refuse(struct classic_join_call *call, enum kafka_error error, struct slice member_id);
/* The same for what the member has parked, if it has. */
void classic_member_join_refuse(struct classic_member *m, enum kafka_error error, struct slice member_id);
/* Answers call as the present generation stands. listed: with all members, for a leader. */
void classic_join_answer(struct classic_join_call *call, const struct classic_group *c, struct slice member_id,
                         struct slice leader, bool listed, bool skip_assignment);
/* Answers the member's parked SyncGroup, if there is one: NONE with its assignment. */
void classic_sync_answer(struct classic_member *m, enum kafka_error error);
/* All parked ones. An error takes the assignments away. */
void classic_answer_syncs(struct classic_group *c, enum kafka_error error);

/* -- coming and going of members -- */

void classic_session_restart(struct classic_member *m);
/* Parks the call as the member's. An earlier one belongs to a connection that the client gave up. */
void classic_member_park_join(struct classic_member *m, struct classic_join_call *call);
/* Frees the member; what it has parked is answered with error. */
void classic_member_remove(struct classic_member *m, enum kafka_error error);
/* A SyncGroup is no longer missing. */
void classic_sync_arrived(struct classic_member *m);

/* -- transitions -- */

void classic_prepare_rebalance(struct classic_group *c, const char *reason);
/* PreparingRebalance: somebody joined or went. */
void classic_maybe_complete_join(struct classic_group *c);
/* After members came, changed or went. */
void classic_rebalance_or_complete(struct classic_group *c, const char *reason);

/* -- timers -- */

void classic_session_expired(struct group_timer *t);
void classic_pending_expired(struct group_timer *t);
void classic_join_timer_fired(struct group_timer *t);
void classic_sync_timer_fired(struct group_timer *t);

#endif
