/* broker/share/group_share.h: share groups (KIP-932): members get partitions, several of them the same, without
 * reconciliation.
 *
 *          first member joins              the last one leaves, or its session ends
 *   (none) ────────────────> Stable ──────────────────────────────────────────────> Empty ── DeleteGroups ──> (none)
 *                              ^─────────────────────── somebody joins ───────────────┘
 *
 * A member's heartbeat brings it to the newest target assignment in one step. The group's epoch rises when members,
 * subscriptions or topics change and when share partitions become initialized; only those are assigned. A partition is
 * initialized when its state is in `__share_group_state` (share_store.h): the heartbeat that first sees it asks the
 * host, which answers by share_group_initialized().
 *
 * What happens is a list of changes, one per record of `__consumer_offsets`: appended, then applied; a restart applies
 * the same records again (share_members.h). Source: KIP-932; Kafka 4.1 GroupMetadataManager, ShareGroup.
 * Invariants: a member's epoch is at most the assignment epoch, which is at most the group's; no partition is both
 * initializing and initialized. Threads: the control thread only. */
#ifndef OTTLA_GROUP_SHARE_H
#define OTTLA_GROUP_SHARE_H

#include "base/err.h"
#include "broker/group/group.h"
#include "broker/group/partition_set.h"

/* Epochs that members send. */
#define SHARE_EPOCH_JOIN  0
#define SHARE_EPOCH_LEAVE (-1)

struct share_member {
    struct share_group *group;
    char *id;
    char *rack_id; /* NULL: none */
    char *client_id;
    char *client_host;    /* "/1.2.3.4", as Kafka shows it */
    struct slice *topics; /* sorted, no doubles; one allocation with the names */
    int32_t topics_count;
    int32_t epoch;
    int32_t previous_epoch;
    struct partition_set target;
    struct partition_set assigned;
    struct group_timer session;
    size_t bytes; /* counted */
    UT_hash_handle hh;
};

struct share_group {
    struct group group;
    int32_t epoch;
    int32_t assignment_epoch;
    int64_t metadata_hash; /* of the subscribed topics as of the group's epoch */
    bool refresh;          /* topics, members or what is initialized may have changed: the next heartbeat looks */
    bool may_miss;         /* likewise, for what is not initialized */
    bool initializing_now; /* the host was asked */
    struct partition_set initializing;
    struct partition_set initialized;
    struct partition_set deleting; /* whole topics: partition 0 */
    struct share_member *members;
};

struct share_heartbeat {
    struct slice group_id;
    struct slice member_id;
    int32_t epoch;
    struct slice rack_id; /* null: unchanged */
    struct slice client_id;
    struct slice client_host;
    const struct slice *topics; /* in any order, doubles allowed */
    int32_t topics_count;       /* -1: unchanged */
};

struct share_answer {
    int32_t epoch;
    int32_t heartbeat_interval_ms;
    const struct partition_set *assignment; /* NULL: as told before; borrowed until the group changes */
};

/* One ShareGroupHeartbeat. err gets what a person must know. What it changed is promised when group_host.when_durable
 * says so. */
enum kafka_error share_heartbeat(struct groups *gs, const struct share_heartbeat *in, struct share_answer *ret_answer,
                                 struct err *err);

/* NULL: g is of another type, or NULL. */
struct share_group *share_group_of(struct group *g);

/* What group_host.share_initialize was asked for. Not ok: the next heartbeat asks again. */
void share_group_initialized(struct groups *gs, struct slice id, const struct partition_set *partitions, bool ok);
/* AlterShareGroupOffsets begins the state of these anew. The group must be empty. */
enum kafka_error share_group_initialize_again(struct share_group *s, const struct partition_set *partitions);
/* DeleteShareGroupOffsets: the state of whole topics goes: first they are marked, then their state is deleted, then the
 * marks go. done: the second step. */
enum kafka_error share_group_delete_topics(struct share_group *s, const struct partition_set *topics, bool done);

/* A topic was made, grew or goes: groups look at their topics with the next heartbeat. */
void share_topic_changed(struct groups *gs);
/* Its share partitions are gone. */
void share_topic_deleted(struct groups *gs, struct uuid topic_id);

/* -- records of the log -- */

enum share_change_type { /* the types of the records' keys */
                         SHARE_CHANGE_MEMBER = 10,
                         SHARE_CHANGE_EPOCH = 11,
                         SHARE_CHANGE_TARGET_EPOCH = 12,
                         SHARE_CHANGE_TARGET = 13,
                         SHARE_CHANGE_POSITION = 14,
                         SHARE_CHANGE_PARTITIONS = 15,
};

struct share_change {
    enum share_change_type type;
    const void *key;   /* the schema's structs */
    const void *value; /* NULL: a tombstone */
};

/* Applies one record; key and value are the schema's structs of that type. False: it makes no sense. */
bool share_group_apply(struct groups *gs, const struct share_change *change) WARN_UNUSED;

#endif
