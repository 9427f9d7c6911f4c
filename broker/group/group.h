/* broker/group/group.h: groups: their offsets, and what all group protocols share.
 *
 * A group has an id, committed offsets and a type: a table of functions of its protocol (classic: group_classic.h). The
 * members belong to the protocol, the offsets do not. Everything outside is reached through a group_host: time, timers
 * and the log `__consumer_offsets`, so that tests run the state machines with a clock and a log of their own.
 *
 * Durability: a change is appended first; what fails to append did not happen. An answer that promises durability is
 * given by group_host.when_durable ("append, then answer"): at once, or in strict durability after the sync.
 * Threads: the control thread only. Source: KIP-98, KIP-211 (expiry), KIP-848 (types). State diagram: docs/groups.md.
 */
#ifndef OTTLA_GROUP_H
#define OTTLA_GROUP_H

#include "base/clock.h"
#include "base/uuid.h"
#include "broker/limits.h"
#include "broker/group/offsets.h"
#include "protocol/kafka_error.h"

#include <ev.h>

/* Assignors that a broker offers: each of those that there are. */
#define GROUP_ASSIGNORS_MAX 4

struct assignor;
struct group;
struct groups;
struct group_host;

/* -- what groups need from outside -- */

struct group_timer {
    void (*fire)(struct group_timer *t); /* once per start */
    struct group_host *host;
    ev_timer watcher;
    bool running;
};

enum group_change_type {
    GROUP_CHANGE_STATE,          /* the group's protocol state as it is now */
    GROUP_CHANGE_REMOVED,        /* its protocol state is gone */
    GROUP_CHANGE_OFFSET,         /* topic, partition, offset */
    GROUP_CHANGE_OFFSET_REMOVED, /* topic, partition */
    GROUP_CHANGE_CONSUMER,       /* consumer: see group_consumer.h */
    GROUP_CHANGE_SHARE,          /* share: see group_share.h */
};

struct consumer_change;
struct share_change;

struct group_change {
    enum group_change_type type;
    struct slice topic;
    int32_t partition;
    const struct offset_value *offset;
    const struct consumer_change *consumer;
    const struct share_change *share;
};

/* A topic as it is published now. */
struct group_topic {
    struct slice name; /* borrowed for the call */
    struct uuid id;
    int32_t partitions_count;
};

/* Options that a group may have for itself (DescribeConfigs of the resource type GROUP). */
struct group_options {
    int32_t consumer_session_timeout_ms;
    int32_t consumer_heartbeat_interval_ms;
    int32_t share_session_timeout_ms;
    int32_t share_heartbeat_interval_ms;
};

struct partition_set;

struct group_host {
    const struct clock *clock;
    /* Restarts a running timer. */
    void (*timer_start)(struct group_host *h, struct group_timer *t, int64_t delay_ms);
    void (*timer_stop)(struct group_host *h, struct group_timer *t);
    /* Appends all or nothing; returns NONE or what a coordinator answers when its log fails. */
    enum kafka_error (*append)(struct group_host *h, struct group *g, const struct group_change *changes,
                               uint32_t count);
    /* Calls done(arg, error) on the control thread when what was appended for g so far is as durable as promised; maybe
     * before it returns. error: NONE, or as append. */
    void (*when_durable)(struct group_host *h, struct group *g, void (*done)(void *arg, enum kafka_error error),
                         void *arg);
    /* append() as part of a producer's transaction; INVALID_PRODUCER_EPOCH: a newer producer was there. */
    enum kafka_error (*append_in_txn)(struct group_host *h, struct group *g, int64_t producer_id, int16_t epoch,
                                      const struct group_change *changes, uint32_t count);
    /* False: there is no such topic. */
    bool (*topic_by_name)(struct group_host *h, struct slice name, struct group_topic *ret_topic);
    bool (*topic_by_id)(struct group_host *h, struct uuid id, struct group_topic *ret_topic);
    /* All topics, in the order of their names. Returns the version of the metadata. */
    int64_t (*topics_each)(struct group_host *h, void (*fn)(void *arg, const struct group_topic *topic), void *arg);
    /* The group's own options, where it has some; ret_options holds the broker's. */
    void (*options)(struct group_host *h, struct slice group_id, struct group_options *ret_options);
    /* Begins the state of share partitions; share_group_initialized() follows, maybe before it returns. */
    void (*share_initialize)(struct group_host *h, struct group *g, const struct partition_set *partitions,
                             int32_t state_epoch);
};

static inline void group_timer_init(struct group_timer *t, struct group_host *host, void (*fire)(struct group_timer *t))
{
    *t = (struct group_timer){.fire = fire, .host = host};
}
static inline void group_timer_start(struct group_timer *t, int64_t delay_ms)
{
    t->host->timer_start(t->host, t, delay_ms);
}
static inline void group_timer_stop(struct group_timer *t)
{
    if (t->running) t->host->timer_stop(t->host, t);
}

/* The broker options of groups, copied whenever they change. */
struct group_config {
    int32_t session_timeout_min_ms;
    int32_t session_timeout_max_ms;
    int32_t initial_rebalance_delay_ms;
    int32_t size_max;
    int64_t offsets_retention_ms;
    uint32_t offset_metadata_max; /* [bytes] */
    /* consumer groups (KIP-848) */
    struct group_options options;
    int32_t consumer_size_max;
    int64_t consumer_regex_refresh_ms;
    const struct assignor *consumer_assignors[GROUP_ASSIGNORS_MAX]; /* the first one is the default */
    int32_t consumer_assignors_count;
    bool consumer_upgrade;   /* a classic group with members becomes a consumer group when such a member joins */
    bool consumer_downgrade; /* and back when only classic members are left */
    int32_t share_size_max;
};

/* -- groups -- */

/* Who commits or reads offsets, as the request says. */
struct group_caller {
    struct slice member_id;   /* empty: not a member */
    struct slice instance_id; /* null: dynamic */
    int32_t generation_id;    /* of the classic protocol; member epoch of others; -1: not a member */
    bool in_txn;              /* commits in a transaction, which may be without membership and during a rebalance */
    bool knows_epochs;        /* OffsetCommit v9+: may be a member of a consumer group */
};

/* A group protocol. */
struct group_type {
    const char *name;                                     /* "classic", as ListGroups shows it */
    bool stays_empty;                                     /* without members and offsets it goes by DeleteGroups only */
    const char *(*state_name)(const struct group *g);     /* "Stable" */
    struct slice (*protocol_type)(const struct group *g); /* "consumer"; empty: none */
    bool (*is_empty)(const struct group *g);              /* no members: it may be deleted */
    /* May the caller commit? NONE keeps its session alive. */
    enum kafka_error (*check_commit)(struct group *g, const struct group_caller *caller);
    enum kafka_error (*check_fetch)(struct group *g, const struct group_caller *caller);
    /* NONE: offsets of topics that are not subscribed may be deleted. */
    enum kafka_error (*check_offset_delete)(const struct group *g);
    bool (*is_subscribed)(const struct group *g, struct slice topic);
    /* False: offsets do not expire now. Else the time from which retention counts, at the earliest: the commit's is
     * later or earlier. INT64_MIN: the commit's alone counts. */
    bool (*expires)(const struct group *g, int64_t *ret_since_ms);
    /* Appends that the protocol state is gone; there are no members. */
    enum kafka_error (*append_removed)(struct group *g);
    /* After the log was read: timers begin to run. */
    void (*loaded)(struct group *g);
    /* Members and parked requests are gone when it is called. */
    void (*free)(struct group *g);
};

struct group {
    struct groups *groups;
    const struct group_type *type;
    struct offsets offsets;
    uint32_t refs; /* of the table and of continuations */
    bool in_table;
    bool removed; /* not in the table any more; state Dead for whoever still holds a reference */
    size_t bytes; /* counted in groups->bytes */
    uint32_t id_len;
    char *id;
    UT_hash_handle hh;
};

struct groups {
    struct group *by_id; /* uthash */
    struct group_host *host;
    struct group_config config;
    size_t bytes;
};

void groups_init(struct groups *gs, struct group_host *host);
/* Frees all groups; requests that are parked in them are answered with COORDINATOR_NOT_AVAILABLE. */
void groups_done(struct groups *gs);

/* NULL: unknown. */
struct group *groups_find(struct groups *gs, struct slice id);
/* For protocols: prepares g, which is zeroed but for what the protocol filled, with one reference. */
void group_init(struct groups *gs, struct group *g, const struct group_type *type, struct slice id);
/* Puts a prepared group, whose id is new, into the table. */
void groups_add(struct group *g);
/* Puts a prepared group into the place of old, which goes and leaves it its offsets. */
void groups_replace(struct group *old, struct group *g);
/* Takes g out of the table, without writing anything; a prepared one that was never put there is freed. */
void groups_remove(struct group *g);
static inline struct slice group_id(const struct group *g)
{
    return slice_make(g->id, g->id_len);
}
struct group *group_ref(struct group *g);
void group_unref(struct group *g);
/* Counts what g holds against the limit; negative gives back. */
void group_count_bytes(struct group *g, int64_t bytes);
static inline bool groups_is_full(const struct groups *gs)
{
    return gs->bytes >= GROUPS_BYTES_MAX;
}
/* Before something of this size is taken in. */
static inline bool groups_have_room(const struct groups *gs, size_t bytes)
{
    return !groups_is_full(gs) && bytes <= GROUPS_BYTES_MAX - gs->bytes;
}

/* -- offsets -- */

struct offset_commit {
    struct slice topic;
    int32_t partition;
    struct offset_value value;
    enum kafka_error error; /* in: not NONE is skipped; out: what became of it */
};

/* Whether the caller may commit, and for which group: an unknown group is made for a commit without membership (a
 * simple group). missing: the error for a group that does not exist, ILLEGAL_GENERATION or (v9+) GROUP_ID_NOT_FOUND. */
enum kafka_error groups_check_commit(struct groups *gs, struct slice id, const struct group_caller *caller,
                                     enum kafka_error missing, struct group **ret_group);
/* Appends the commits without an error and applies them; OFFSET_METADATA_TOO_LARGE, INVALID_COMMIT_OFFSET_SIZE are set.
 * Promised only when group_host.when_durable says so. */
void group_commit(struct group *g, struct offset_commit *commits, uint32_t count);
/* The same in a transaction: they wait for its marker. */
void group_commit_in_txn(struct group *g, int64_t producer_id, int16_t epoch, struct offset_commit *commits,
                         uint32_t count);
/* A transaction marker was appended to, or is read from, a partition of the log. */
void groups_apply_marker(struct groups *gs, int32_t partition, int32_t partitions_count, int64_t producer_id,
                         bool commit);

struct offset_delete {
    struct slice topic;
    int32_t partition;
    enum kafka_error error; /* as in struct offset_commit */
};
/* OffsetDelete: skips subscribed topics (GROUP_SUBSCRIBED_TO_TOPIC); an offset that is not there is no error. */
void group_delete_offsets(struct group *g, struct offset_delete *deletes, uint32_t count);

/* DeleteGroups: NONE, GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP, or the log's error. */
enum kafka_error groups_delete(struct groups *gs, struct slice id);

/* Drops offsets older than their retention, then groups that have neither members nor offsets (KIP-211). */
void groups_expire(struct groups *gs);
/* Drops the offsets of a topic that does not exist any more. */
void groups_topic_deleted(struct groups *gs, struct slice topic);

/* -- replay of the log: nothing is written; partition is one of partitions_count of the log -- */

/* value NULL: the offset was removed. producer_id -1: not in a transaction. */
void groups_restore_offset(struct groups *gs, struct slice id, struct slice topic, int32_t partition,
                           const struct offset_value *value, int64_t producer_id);
/* The group's protocol state was removed. Offsets that follow make a simple group of it. */
void groups_restore_removed(struct groups *gs, struct slice id);
/* The partition has been read to its end: its groups come to life. Not ok: it could not be, and they are forgotten. */
void groups_restored(struct groups *gs, int32_t partition, int32_t partitions_count, bool ok);

#endif
