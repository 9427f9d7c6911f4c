/* broker/group/group_members.h: the members of a classic group: who they are, which protocols they offer, what they
 * subscribe, and the ids that were handed out.
 *
 * Memory only: nothing is answered, written or decided here; the state machine (group_classic.c) does that. All that is
 * kept counts in the group's bytes.
 * Threads: the control thread only. */
#ifndef OTTLA_GROUP_MEMBERS_H
#define OTTLA_GROUP_MEMBERS_H

#include "broker/group/group_classic.h"

/* A text of the group, whose bytes count. */
void classic_group_text_set(struct classic_group *c, char **to, struct slice s);

/* NULL: unknown. */
struct classic_member *classic_member_find(const struct classic_group *c, struct slice id);
struct classic_member *classic_instance_find(const struct classic_group *c, struct slice instance_id);
struct classic_pending *classic_pending_find(const struct classic_group *c, struct slice id);
/* Who speaks: NONE and the member, or UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID. */
enum kafka_error classic_member_check(const struct classic_group *c, struct slice id, struct slice instance_id,
                                      struct classic_member **ret_member);
/* The same protocols with the same metadata in the same order. */
bool classic_member_matches(const struct classic_member *m, const struct classic_join *in);

/* Is there room for what the join brings, beyond what the member has? c NULL: the group is new. */
bool classic_memory_allows(const struct groups *gs, const struct classic_group *c, const struct classic_join *in);
/* expired: the session has run out. NULL: no memory. */
struct classic_member *classic_member_add(struct classic_group *c, const struct classic_join *in, struct slice id,
                                          void (*expired)(struct group_timer *t));
/* False: no memory. */
bool classic_member_update(struct classic_member *m, const struct classic_join *in);
void classic_member_set_id(struct classic_member *m, struct slice id);
/* Takes the member out of its group; nothing of it may be parked. */
void classic_member_free(struct classic_member *m);

void classic_assignment_clear(struct classic_member *m);
/* False: there is no room for it; the member has none then. */
bool classic_assignment_set(struct classic_member *m, struct slice assignment);

/* Hands out an id; expired: it did not come back within the session timeout. */
void classic_pending_add(struct classic_group *c, const struct classic_join *in, struct slice id,
                         void (*expired)(struct group_timer *t));
void classic_pending_remove(struct classic_pending *p);

/* May somebody with these protocols be a member beside the present ones? */
bool classic_protocols_fit(const struct classic_group *c, const struct classic_join *in);
/* Each member votes for the first of its protocols that all have; a draw goes to the one that was named first. */
struct slice classic_protocol_choose(const struct classic_group *c);

/* What the members of a "consumer" group subscribe, sorted. The names are copied: members may go before the next
 * generation. */
void classic_topics_update(struct classic_group *c);
/* Only when topics_known. */
bool classic_topics_have(const struct classic_group *c, struct slice topic);

#endif
