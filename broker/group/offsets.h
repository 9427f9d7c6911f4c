/* broker/group/offsets.h: what one group has committed: per topic and partition an offset with its text and times.
 *
 * A commit inside a transaction waits as *pending* under its producer id until the transaction's marker comes: a commit
 * marker makes it the committed one, an abort marker drops it (KIP-98). Of two commits the later one counts, not the
 * one whose transaction ends later: what was committed after a pending one supersedes it. Members are no part of this:
 * see group.h.
 * Invariants: entries of a topic are sorted by partition; a topic without entries is dropped.
 * Threads: the control thread. */
#ifndef OTTLA_OFFSETS_H
#define OTTLA_OFFSETS_H

#include "base/slice.h"

#include <sys/queue.h>
#include <uthash.h>

struct offset_value {
    int64_t offset;
    int32_t leader_epoch;   /* of the last record read; -1: unknown */
    int64_t commit_time_ms; /* wall clock */
    int64_t expire_time_ms; /* what an OffsetCommit v2-4 asked for; -1: as offsets.retention.minutes says */
    struct slice metadata;  /* never null */
};

struct offset_entry {
    int32_t partition;
    struct offset_value value; /* metadata is owned */
};

struct offset_topic {
    UT_hash_handle hh;
    struct offset_entry *entries;
    int32_t count, size;
    uint32_t name_len;
    char name[];
};

/* One commit of an open transaction. */
struct offset_pending {
    TAILQ_ENTRY(offset_pending) in_slot, in_producer; /* both in the order in which they came */
    struct pending_slot *slot;
    struct pending_producer *producer;
    bool superseded;           /* its transaction changes nothing any more */
    struct offset_value value; /* metadata is owned */
};

/* A partition for which transactions have commits: one of each producer. */
struct pending_slot {
    UT_hash_handle hh;
    struct pending_topic *topic;
    TAILQ_HEAD(, offset_pending) commits;
    int32_t partition;
};

struct pending_topic {
    UT_hash_handle hh;
    struct pending_slot *slots; /* uthash by partition; never empty */
    uint32_t name_len;
    char name[];
};

struct pending_producer {
    UT_hash_handle hh;
    TAILQ_HEAD(, offset_pending) commits; /* never empty */
    int64_t id;
};

struct offsets {
    struct offset_topic *topics;            /* uthash by name, in the order of their first commit */
    struct pending_topic *pending;          /* uthash by name */
    struct pending_producer *pending_by_id; /* the same commits, by producer */
    size_t bytes;                           /* of everything in here, for the limit of group.h */
};

void offsets_init(struct offsets *o);
void offsets_done(struct offsets *o);

static inline struct slice offset_topic_name(const struct offset_topic *t)
{
    return slice_make(t->name, t->name_len);
}
static inline bool offsets_is_empty(const struct offsets *o)
{
    return !o->topics && !o->pending;
}

static inline struct slice pending_topic_name(const struct pending_topic *t)
{
    return slice_make(t->name, t->name_len);
}

/* NULL: nothing committed. Borrowed until the next change. */
const struct offset_topic *offsets_topic(const struct offsets *o, struct slice topic);
const struct offset_value *offsets_get(const struct offsets *o, struct slice topic, int32_t partition);
/* Copies value and its metadata. */
void offsets_set(struct offsets *o, struct slice topic, int32_t partition, const struct offset_value *value);
/* With it goes what open transactions committed for the partition. False: there was neither. topic may lie in
 * either. */
bool offsets_remove(struct offsets *o, struct slice topic, int32_t partition);

/* A commit of producer_id's open transaction; a later one for the same partition replaces it. */
void offsets_pend(struct offsets *o, int64_t producer_id, struct slice topic, int32_t partition,
                  const struct offset_value *value);
bool offsets_is_pending(const struct offsets *o, struct slice topic, int32_t partition);
/* The marker of producer_id: its pending commits take effect, or are dropped. */
void offsets_transaction_end(struct offsets *o, int64_t producer_id, bool commit);
#endif
