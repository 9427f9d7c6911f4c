/* broker/share/share_state.h: the durable state of share partitions, as records of `__share_group_state` make it.
 *
 * A snapshot is the whole state of one (group, topic id, partition), an update changes what its batches name; a
 * snapshot without value forgets it. What a share partition stores becomes an update, or after updates_max of them, or
 * with a new state epoch, a snapshot. The record is appended first and then applied exactly as when the log is read.
 * Batches are stored with the start before the change, as Kafka does: whoever reads them moves the start over what is
 * final. Sources: KIP-932 ("Share coordinator"); Kafka 4.1 ShareCoordinatorShard.
 * Invariants: batches of a state ascend, do not overlap, end at or behind its start, and neighbours differ; the state
 * is counted in share_states.bytes. Threads: the owner's. */
#ifndef OTTLA_SHARE_STATE_H
#define OTTLA_SHARE_STATE_H

#include "broker/share/share_partition.h"
#include "protocol/messages.h"

#include <uthash.h>

#define SHARE_STATE_UNINITIALIZED (-1) /* start: as share.auto.offset.reset says, when records are first fetched */

enum share_record_type { SHARE_RECORD_SNAPSHOT = 0, SHARE_RECORD_UPDATE = 1 };

struct share_key {
    struct slice group_id;
    struct uuid topic_id;
    int32_t partition;
};

struct share_state {
    int32_t snapshot_epoch;
    int32_t state_epoch;
    int32_t leader_epoch;
    int64_t start; /* or SHARE_STATE_UNINITIALIZED */
    int64_t create_time_ms;
    int64_t write_time_ms; /* of the last snapshot */
    uint32_t updates;      /* since the last snapshot */
    struct share_batch *batches;
    uint32_t batches_count;
    int64_t snapshot_offset; /* of the last snapshot in its log: what lies before is needless to this state */
    int32_t log_partition;   /* for the owner: which partition of the log it lives in; -1: not asked yet */
    void *live;              /* for the owner of the states; share_states.forget is called when the state goes */
    UT_hash_handle hh;
    uint32_t key_bytes;
    uint8_t key[]; /* topic id, partition, group id */
};

struct share_states {
    struct share_state *by_key; /* uthash */
    size_t bytes;
    /* live is not NULL. May be NULL. */
    void (*forget)(struct share_states *ss, struct share_state *s);
};

void share_states_done(struct share_states *ss);
/* NULL: not initialized. */
struct share_state *share_states_find(const struct share_states *ss, const struct share_key *key);
/* Its key; borrowed. */
struct share_key share_state_key(const struct share_state *s);

/* -- records; the same for what was read and what was appended -- */

/* value NULL: forgotten. offset: the record's. False: its batches make no sense; nothing was done. */
bool share_states_apply_snapshot(struct share_states *ss, const struct share_snapshot_key *key,
                                 const struct share_snapshot_value *value, int64_t offset) WARN_UNUSED;
/* False: likewise, or there is no snapshot. */
bool share_states_apply_update(struct share_states *ss, const struct share_update_key *key,
                               const struct share_update_value *value) WARN_UNUSED;

/* A record that is to be appended. */
struct share_record {
    enum share_record_type type;
    struct share_snapshot_key snapshot_key; /* borrowed from the state, or from who asked */
    struct share_update_key update_key;
    struct share_snapshot_value snapshot;
    struct share_update_value update;
    struct share_batch *batches; /* what the value points to; share_record_done() */
};
void share_record_done(struct share_record *r);

/* What a share partition stores: share_store_fn's arguments. */
void share_state_write(const struct share_state *s, int64_t start, const struct share_batch *changes, uint32_t count,
                       uint32_t updates_max, int64_t now_ms, struct share_record *ret);
/* A fresh state; s is the one before, or NULL. False: state_epoch is older than that of s. */
bool share_state_initialize(const struct share_state *s, const struct share_key *key, int32_t state_epoch,
                            int64_t start, int64_t now_ms, struct share_record *ret) WARN_UNUSED;
/* The same state in a new snapshot, so that the log before it is needless. */
void share_state_snapshot(const struct share_state *s, int64_t now_ms, struct share_record *ret);

#endif
