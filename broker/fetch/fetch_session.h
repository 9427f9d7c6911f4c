/* broker/fetch/fetch_session.h: incremental fetch sessions (KIP-227): what a client fetches, remembered between
 * requests.
 *
 * A session holds its partitions in the order in which they are read; those that gave data go to the end. It is used by
 * one request at a time (`busy`); the next epoch it takes goes 1, 2, … INT32_MAX, 1.
 * Limits: max.incremental.fetch.session.cache.slots, FETCH_SESSION_PARTITIONS_MAX. At either, a session idle for
 * FETCH_SESSION_EVICT_MS gives way to a new or a growing one; so does, once it is that old, a used one that is not
 * larger.
 * Threads: the cache has a mutex; a busy session belongs to the loop of its request. */
#ifndef OTTLA_FETCH_SESSION_H
#define OTTLA_FETCH_SESSION_H

#include "base/slice.h"
#include "base/uuid.h"

#include <sys/queue.h>
#include <uthash.h>

struct fetch_session_partition {
    int32_t index;
    int32_t max_bytes;
    int32_t current_leader_epoch;
    int32_t last_fetched_epoch;
    int64_t fetch_offset;
    int64_t high_watermark; /* as answered last; -1: answer it anew */
    int64_t log_start;
    TAILQ_ENTRY(fetch_session_partition) link;
    UT_hash_handle hh;
    struct uuid topic_id; /* with ids */
    struct slice topic;   /* else; points into key */
    uint32_t key_len;
    uint8_t key[]; /* topic's id or name, then the index */
};

struct fetch_session {
    int32_t id;
    int32_t epoch; /* of the next request */
    bool by_id;    /* topics are named by id */
    bool busy;
    int64_t used_ms, created_ms;
    uint32_t partitions_count;
    TAILQ_HEAD(, fetch_session_partition) partitions;
    struct fetch_session_partition *index;
    struct fetch_sessions *cache;
    TAILQ_ENTRY(fetch_session) link; /* least recently used first */
    UT_hash_handle hh;
};

struct fetch_sessions;

struct fetch_sessions *fetch_sessions_new(int64_t slots_max);
void fetch_sessions_free(struct fetch_sessions *c);

/* A new session, busy, without partitions; partitions_count: how many it will have. NULL: there is no room. */
struct fetch_session *fetch_session_create(struct fetch_sessions *c, bool by_id, uint32_t partitions_count,
                                           int64_t now_ms);
/* Takes a session that is not busy. NULL: unknown, or busy. */
struct fetch_session *fetch_session_take(struct fetch_sessions *c, int32_t id, int64_t now_ms);
/* Ends the use of a taken or created session. */
void fetch_session_give_back(struct fetch_session *s);
/* Ends the session itself; it must be taken. */
void fetch_session_close(struct fetch_session *s);

/* Finds or adds; the key is the id or the name. NULL: the partitions of all sessions have reached their limit. */
struct fetch_session_partition *fetch_session_add(struct fetch_session *s, struct uuid topic_id, struct slice topic,
                                                  int32_t index);
void fetch_session_forget(struct fetch_session *s, struct uuid topic_id, struct slice topic, int32_t index);
/* It gave data: it is read last next time. */
void fetch_session_rotate(struct fetch_session *s, struct fetch_session_partition *p);

#endif
