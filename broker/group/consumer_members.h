/* broker/group/consumer_members.h: what a consumer group consists of, as a fold of its changes: members, who holds
 * which partition, regular expressions, what is subscribed.
 *
 * Memory only: nothing is decided, written or answered here; group_consumer.c does that. All that is kept counts in the
 * group's bytes.
 * Threads: the control thread only. */
#ifndef OTTLA_CONSUMER_MEMBERS_H
#define OTTLA_CONSUMER_MEMBERS_H

#include "broker/group/group_consumer.h"

/* Partition numbers beyond it are not believed. */
#define CONSUMER_PARTITION_MAX 100000

/* Applies one change. A member that is not known is made. */
void consumer_apply(struct consumer_group *c, const struct consumer_change *change);
/* Frees members, regular expressions and the rest. */
void consumer_clear(struct consumer_group *c);

/* NULL: unknown. */
struct consumer_member *consumer_member_find(const struct consumer_group *c, struct slice id);
struct consumer_member *consumer_instance_find(const struct consumer_group *c, struct slice instance_id);

bool consumer_profile_eq(const struct consumer_profile *a, const struct consumer_profile *b);
bool consumer_topics_eq(const struct consumer_profile *a, const struct consumer_profile *b);
/* What the profile takes in memory. */
size_t consumer_profile_bytes(const struct consumer_profile *p);
/* A copy in one allocation, which the caller frees. */
void *consumer_profile_copy(const struct consumer_profile *from, struct consumer_profile *to);
static inline bool consumer_has_regex(const struct consumer_profile *p)
{
    return p->regex.len > 0;
}

bool consumer_position_eq(const struct consumer_position *a, const struct consumer_position *b);
void consumer_position_done(struct consumer_position *p);

/* Who owns the partition or has yet to give it up. NULL: nobody. */
struct consumer_member *consumer_holder(const struct consumer_group *c, struct uuid topic_id, int32_t partition);

/* Its text, which may have any bytes. */
static inline struct slice consumer_regex_text(const struct consumer_regex *r)
{
    return slice_make(r->text, r->hh.keylen);
}
/* How many members subscribe the expression. */
uint32_t consumer_regex_members(const struct consumer_group *c, struct slice regex);
const struct consumer_regex *consumer_regex_find(const struct consumer_group *c, struct slice regex);

/* Fills c->subscribed, if it is not known; valid until the next change. */
void consumer_subscribed(struct consumer_group *c);
bool consumer_is_subscribed(struct consumer_group *c, struct slice topic);

#endif
