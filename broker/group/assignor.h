/* broker/group/assignor.h: who shall own which partitions: the server-side assignors of groups (KIP-848, KIP-932).
 *
 * An assignor is a pure function: it knows members, what they subscribe, what they shall own so far, and how many
 * partitions the topics have; it returns what each shall own. Same input, same output. Source: KIP-848 ("Server Side
 * Assignors"), Kafka 4.1: UniformAssignor, RangeAssignor.
 *
 *   uniform  sizes as even as the subscriptions allow, then as few moves as possible
 *   range    topic by topic a range of neighbours to each subscriber, in the order of their ids; so topics with equally
 *            many partitions give equal numbers to the same member
 *
 *   simple   of share groups: as even as may be, each partition to one member or several
 *
 * To add one: a struct assignor, and its row in assignor.c.
 * Threads: any; nothing is kept. */
#ifndef OTTLA_ASSIGNOR_H
#define OTTLA_ASSIGNOR_H

#include "base/slice.h"
#include "broker/group/partition_set.h"

struct assignor_topic {
    struct uuid id;
    int32_t partitions_count;
};

struct assignor_member {
    struct slice id;
    struct slice instance_id; /* null: dynamic */
    const uint32_t *topics;   /* subscribed: indexes of assignor_input.topics, ascending */
    uint32_t topics_count;
    const struct partition_set *current; /* its target so far; may name topics and partitions that are gone */
};

struct assignor_input {
    const struct assignor_topic *topics; /* sorted by id, bytewise */
    uint32_t topics_count;
    const struct assignor_member *members; /* in an order that outlives restarts: by id */
    uint32_t members_count;
    bool same_topics;                       /* all members subscribe the same ones */
    const struct partition_set *assignable; /* share groups: what may be assigned so far; NULL: all */
};

struct assignor {
    const char *name;
    /* ret: members_count sets, empty at the call; the caller frees them. For all but share groups no partition has two
     * owners, before and afterwards, and each partition that somebody subscribes has one. */
    void (*assign)(const struct assignor_input *in, struct partition_set *ret);
};

extern const struct assignor assignor_uniform, assignor_range;
extern const struct assignor assignor_simple; /* of share groups */

/* Of consumer groups. NULL: unknown. */
const struct assignor *assignor_find(struct slice name);
/* "uniform, range": for messages. */
const char *assignor_names(void);

/* -- for assignors that give each partition to one member -- */

#define PARTITION_FREE (-1)

/* Who owns each partition of the topics. */
struct ownership {
    const struct assignor_input *in;
    uint32_t *first;  /* of topics_count + 1: where a topic's partitions begin in owner */
    int32_t *owner;   /* index of a member, or PARTITION_FREE */
    uint32_t *counts; /* of members: how many they own */
};

/* Nobody owns anything. */
void ownership_init(struct ownership *o, const struct assignor_input *in);
void ownership_done(struct ownership *o);
static inline uint32_t ownership_topic_size(const struct ownership *o, uint32_t topic)
{
    return o->first[topic + 1] - o->first[topic];
}
/* at: index of owner; member may be PARTITION_FREE. */
void ownership_set(struct ownership *o, uint32_t at, int32_t member);
/* Calls keep(o, member, at, arg) for what the member's current target has of topics that it subscribes, in order. */
void ownership_each_current(struct ownership *o, uint32_t member,
                            void (*keep)(struct ownership *o, uint32_t member, uint32_t at, void *arg), void *arg);
void ownership_to_sets(const struct ownership *o, struct partition_set *ret);

#endif
