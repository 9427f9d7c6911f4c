/* broker/group/partition_set.h: a set of partitions of topics by id: what members of a group own, give up or shall own.
 *
 * Invariants: items are sorted by topic id (bytewise), then partition, without doubles; a zeroed struct is the empty
 * set. So topics lie together, and union, difference and intersection are one pass over both.
 * Threads: one at a time. */
#ifndef OTTLA_PARTITION_SET_H
#define OTTLA_PARTITION_SET_H

#include "base/uuid.h"

struct topic_partition {
    struct uuid topic_id;
    int32_t partition;
};

struct partition_set {
    struct topic_partition *items;
    uint32_t count;
    uint32_t size; /* items allocated */
};

void partition_set_done(struct partition_set *s);
/* Adds at the end, in any order: partition_set_sort() must follow before the set is used. */
void partition_set_append(struct partition_set *s, struct uuid topic_id, int32_t partition);
void partition_set_sort(struct partition_set *s);

bool partition_set_has(const struct partition_set *s, struct uuid topic_id, int32_t partition);
bool partition_set_eq(const struct partition_set *a, const struct partition_set *b);
/* All of a is in b. */
bool partition_set_is_subset(const struct partition_set *a, const struct partition_set *b);
bool partition_set_overlaps(const struct partition_set *a, const struct partition_set *b);

/* New sets, to be freed with partition_set_done(). */
struct partition_set partition_set_copy(const struct partition_set *s);
struct partition_set partition_set_union(const struct partition_set *a, const struct partition_set *b);
struct partition_set partition_set_minus(const struct partition_set *a, const struct partition_set *b);
struct partition_set partition_set_intersection(const struct partition_set *a, const struct partition_set *b);

/* Where the partitions of items[from]'s topic end: for (i = 0; i < s->count; i = end) { end = ...(s, i); ... } */
uint32_t partition_set_topic_end(const struct partition_set *s, uint32_t from);

/* The order of the items. */
int topic_partition_compare(const struct topic_partition *a, const struct topic_partition *b);

#endif
