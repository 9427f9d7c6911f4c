/* broker/group/consumer_target.h: what the members of a consumer group shall own: the subscribed topics as they are
 * published now, and the assignor's answer for them.
 *
 * Reads the group and decides nothing: consumer_advance() (group_consumer.c) makes changes of it.
 * Threads: the control thread only. Source: KIP-848. */
#ifndef OTTLA_CONSUMER_TARGET_H
#define OTTLA_CONSUMER_TARGET_H

#include "broker/group/assignor.h"
#include "broker/group/group_consumer.h"

/* The subscribed topics that exist, sorted by id. */
struct consumer_topics {
    struct assignor_topic *topics;
    uint32_t count;
    uint32_t *of_name; /* for each subscribed name its index among them, or UINT32_MAX */
    uint64_t hash;     /* of what they are; 0: none. Another one: the group needs a new target */
};
void consumer_topics_resolve(struct consumer_group *c, struct consumer_topics *ret);
void consumer_topics_done(struct consumer_topics *t);

/* What each member shall own: members sorted by id, and a set for each. */
struct consumer_targets {
    struct consumer_member **members;
    struct partition_set *sets;
    uint32_t count;
};
/* topics: as resolved since the group changed last. */
void consumer_targets_compute(const struct consumer_group *c, const struct consumer_topics *topics,
                              struct consumer_targets *ret);
void consumer_targets_done(struct consumer_targets *t);

#endif
