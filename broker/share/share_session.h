/* broker/share/share_session.h: share sessions (KIP-932): which partitions a member of a share group fetches, told
 * once.
 *
 *   epoch 0 ──> open, next epoch 1 ── each request with the next epoch ──> ... ── epoch -1, connection lost ──> closed
 *
 * Keyed by group and member; at most one per connection, which takes it along when it goes.
 * Limits: share_sessions.count_max sessions; SHARE_SESSION_PARTITIONS_MAX partitions of all of them.
 * Threads: the owner's. Source: Kafka 4.1 ShareSessionCache, SharePartitionManager.newContext. */
#ifndef OTTLA_SHARE_SESSION_H
#define OTTLA_SHARE_SESSION_H

#include "base/slice.h"
#include "broker/group/partition_set.h"
#include "protocol/kafka_error.h"

#include <uthash.h>

#define SHARE_SESSION_EPOCH_INITIAL 0
#define SHARE_SESSION_EPOCH_FINAL   (-1)

/* 20 bytes each. */
#define SHARE_SESSION_PARTITIONS_MAX (1u << 18)

struct share_session {
    int32_t epoch; /* that the next request must have */
    uint64_t connection_id;
    struct partition_set partitions;
    UT_hash_handle hh;
    uint32_t key_bytes;
    uint8_t key[]; /* member, group id */
};

struct share_sessions {
    struct share_session *by_key; /* uthash */
    uint32_t count_max;
    uint32_t partitions_count; /* of all */
};

void share_sessions_done(struct share_sessions *ss);
/* NULL: none. */
struct share_session *share_session_find(const struct share_sessions *ss, struct slice group_id, struct uuid member);
struct slice share_session_group(const struct share_session *s);
struct uuid share_session_member(const struct share_session *s);
/* A new session, there being none under the key. NULL: there are as many as allowed. */
struct share_session *share_session_open(struct share_sessions *ss, struct slice group_id, struct uuid member,
                                         uint64_t connection_id) WARN_UNUSED;
void share_session_close(struct share_sessions *ss, struct share_session *s);
/* A request with this epoch: NONE, and the session's epoch is the next one; or INVALID_SHARE_SESSION_EPOCH. */
enum kafka_error share_session_step(struct share_session *s, int32_t epoch);
/* Adds, then removes. False: there would be too many partitions; nothing changed. */
bool share_session_update(struct share_sessions *ss, struct share_session *s, const struct partition_set *added,
                          const struct partition_set *forgotten) WARN_UNUSED;

#endif
