/* broker/group/group_consumer.h: consumer groups of KIP-848: the broker assigns, members reconcile one by one in
 * heartbeats.
 *
 * Three epochs only grow: the group's (members, subscriptions or topics changed), the assignment's (the group epoch for
 * which the target was computed), and each member's (the assignment epoch to which it has been brought).
 *
 *                      target is new, nothing to give up
 *            ┌──────────────────────────────────────────────┐
 *            │                                              v      some wanted partitions are still held by others
 *         STABLE ── something to give up ──> UNREVOKED ──> (next) ──────────────────────────> UNRELEASED
 *            ^                          says that it gave up │                                    │ with each heartbeat
 *            └───────────────────────────────────────────────┴────── all of the target ───────────┘
 *   transitions: consumer_reconcile(). Who does not give up in its rebalance timeout, or whose session expires, is
 *   removed.
 *
 * State of the group: no members Empty; group epoch above assignment epoch Assigning; some member not at the assignment
 * epoch Reconciling; else Stable.
 *
 * Members of the classic protocol may live in such a group while clients are upgraded: consumer_classic.h.
 * What happens is a list of changes, one per record of the log (group_records.h): appended, then applied; a restart
 * applies the same changes again. So the state is a fold of the log (consumer_members.h).
 * Invariants: a partition has at most one member that owns it or has yet to give it up; a member's epoch is at most the
 * assignment epoch, which is at most the group's.
 * Threads: the control thread only. Sources: KIP-848; Kafka 4.1. */
#ifndef OTTLA_GROUP_CONSUMER_H
#define OTTLA_GROUP_CONSUMER_H

#include "base/err.h"
#include "broker/group/group_classic.h"
#include "broker/group/partition_set.h"

/* Epochs that members send. */
#define CONSUMER_EPOCH_JOIN         0
#define CONSUMER_EPOCH_LEAVE        (-1)
#define CONSUMER_EPOCH_LEAVE_STATIC (-2) /* a static member that means to come back; also stored */

enum consumer_state { /* numbers of the stored record */
                      CONSUMER_STABLE = 0,
                      CONSUMER_UNREVOKED = 1,
                      CONSUMER_UNRELEASED = 2,
};

/* What a member says about itself. */
struct consumer_profile {
    struct slice instance_id; /* null: dynamic */
    struct slice rack_id;     /* null: none */
    struct slice client_id;
    struct slice client_host;   /* "/1.2.3.4", as Kafka shows it */
    const struct slice *topics; /* sorted, no doubles */
    int32_t topics_count;
    struct slice regex;    /* null or empty: none */
    struct slice assignor; /* null: no preference */
    int32_t rebalance_timeout_ms;
    bool is_classic; /* speaks the classic protocol; then: */
    int32_t session_timeout_ms;
    const struct classic_protocol *protocols; /* in order of preference, at least one */
    int32_t protocols_count;
};

/* How far it has come. */
struct consumer_position {
    int32_t epoch;
    int32_t previous_epoch;
    enum consumer_state state;
    struct partition_set assigned;
    struct partition_set revoking; /* it has yet to give them up */
};

struct consumer_member {
    struct consumer_group *group;
    char *id;
    struct consumer_profile profile; /* in profile_memory */
    void *profile_memory;
    size_t profile_bytes;
    struct consumer_position position;
    struct partition_set target;
    struct group_timer session;
    struct group_timer rebalance; /* gives up too slowly; of a classic member: does not join again */
    struct group_timer sync;      /* of a classic member: no SyncGroup after JoinGroup */
    UT_hash_handle hh;            /* by id */
    UT_hash_handle hh_instance;   /* by instance id */
};

/* A regular expression that members subscribe, and the topics that match. */
struct consumer_regex {
    UT_hash_handle hh;
    char *text;
    struct slice *topics; /* sorted; one allocation with the names */
    int32_t topics_count;
    size_t bytes;
    int64_t version; /* of the metadata */
    int64_t time_ms;
};

struct consumer_topic; /* who holds a topic's partitions */

/* What a member's timers call. */
struct consumer_timers {
    void (*session_expired)(struct group_timer *t);
    void (*rebalance_expired)(struct group_timer *t);
    void (*sync_expired)(struct group_timer *t);
};

struct consumer_group {
    struct group group;
    const struct consumer_timers *timers;
    int32_t epoch;
    int32_t assignment_epoch;
    uint64_t metadata_hash; /* of the subscribed topics as of the last target */
    bool refresh;           /* topics may have changed: the next heartbeat looks at them */
    bool topics_added;      /* topics were made since the regular expressions were resolved */
    int64_t regex_time_ms;  /* when they were; INT64_MIN: never */
    bool has_old_metadata;  /* the log has a ConsumerGroupPartitionMetadata record, of Kafka before 4.1 */
    struct consumer_member *members;
    struct consumer_member *by_instance;
    struct consumer_regex *regexes;
    struct consumer_topic *held;
    struct slice
        *subscribed; /* names of all members and matches, sorted; borrowed from them; see consumer_subscribed() */
    int32_t subscribed_count;
    bool subscribed_known;
};

struct consumer_heartbeat {
    struct slice group_id;
    struct slice member_id; /* empty: make one (v0) */
    int32_t epoch;
    bool needs_member_id;     /* v1+ */
    struct slice instance_id; /* null here and below: unchanged */
    struct slice rack_id;
    struct slice client_id;
    struct slice client_host;
    int32_t rebalance_timeout_ms; /* -1: unchanged */
    const struct slice *topics;   /* in any order, doubles allowed */
    int32_t topics_count;         /* -1: unchanged */
    struct slice regex;
    struct slice assignor;
    const struct partition_set *owned; /* NULL: not said */
    /* Which topics a regular expression may show the caller. */
    bool (*may_see)(void *arg, struct slice topic);
    void *arg;
};

struct consumer_answer {
    char *member_id; /* owned by the caller; NULL: as asked */
    int32_t epoch;
    int32_t heartbeat_interval_ms;
    bool has_assignment;
    const struct partition_set *assignment; /* borrowed until the group changes */
};

/* One ConsumerGroupHeartbeat. err gets what a person must know. What it changed is promised when
 * group_host.when_durable says so. */
enum kafka_error consumer_heartbeat(struct groups *gs, const struct consumer_heartbeat *in,
                                    struct consumer_answer *ret_answer, struct err *err);

/* NULL: g is of another type, or NULL. */
struct consumer_group *consumer_group_of(struct group *g);
static inline const struct consumer_group *consumer_group_of_const(const struct group *g)
{
    return consumer_group_of((struct group *)(uintptr_t)g);
}
/* The assignor that most members want, else the default. */
const char *consumer_assignor_name(const struct consumer_group *c);
/* A topic was made, grew or goes: groups that subscribe it look at it with their next heartbeat. */
void consumer_topic_changed(struct groups *gs, struct slice topic, bool created);

/* -- steps, for consumer_heartbeat.c and consumer_classic.c -- */

/* A new group without members that is in no table yet. */
struct consumer_group *consumer_group_make(struct groups *gs, struct slice id);
/* A new group in the table; what has the id now gives it its offsets and goes. */
struct consumer_group *consumer_group_put(struct groups *gs, struct slice id);
/* The broker's options of groups with the group's own. */
struct group_options consumer_group_options(const struct consumer_group *c);
/* The member as it describes itself now (*member NULL: somebody new under id), and the group's next epoch if that means
 * new assignments. in: the heartbeat that said so; NULL: no regular expressions are looked at. */
enum kafka_error consumer_update_profile(struct consumer_group *c, const struct consumer_profile *profile,
                                         const struct consumer_heartbeat *in, struct slice id,
                                         struct consumer_member **member, struct err *err);
/* A new target, if there is a new epoch or topics changed, and the member's next step towards it, in one append. owned:
 * what it says that it has; NULL: it does not say. *ret_moved: its assignment is another one now. */
enum kafka_error consumer_advance(struct consumer_member *m, const struct partition_set *owned, bool *ret_moved);
/* A static member comes back under a new id, and takes over what it had. *member is the new one. */
enum kafka_error consumer_replace_member(struct consumer_member **member, struct slice id);
/* Together. When only classic members are left the group may become a classic one, and is gone. */
enum kafka_error consumer_remove_members(struct consumer_group *c, struct consumer_member **members, uint32_t count);
void consumer_session_restart(struct consumer_member *m);

/* -- records of the log -- */

enum consumer_change_type { /* the types of the records' keys */
                            CONSUMER_CHANGE_EPOCH = 3,
                            CONSUMER_CHANGE_OLD_METADATA = 4,
                            CONSUMER_CHANGE_PROFILE = 5,
                            CONSUMER_CHANGE_TARGET_EPOCH = 6,
                            CONSUMER_CHANGE_TARGET = 7,
                            CONSUMER_CHANGE_POSITION = 8,
                            CONSUMER_CHANGE_REGEX = 16,
};

struct consumer_change {
    enum consumer_change_type type;
    bool removed;     /* a tombstone: what follows is empty */
    struct slice key; /* member id, or text of the regular expression */
    int32_t epoch;
    uint64_t metadata_hash;
    const struct consumer_profile *profile;
    const struct partition_set *target;
    const struct consumer_position *position;
    const struct slice *topics; /* of a regular expression, sorted */
    int32_t topics_count;
    int64_t version, time_ms;
};

/* Replay: applies one record to the group, which it makes, or makes of another type, as needed. */
void consumer_group_restore(struct groups *gs, struct slice id, const struct consumer_change *change);

#endif
