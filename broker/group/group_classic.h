/* broker/group/group_classic.h: the classic group protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup.
 *
 * The members elect a leader through the broker, the leader assigns, the broker hands the assignments out; what they
 * say to each other is opaque here (but for the topics of a "consumer" subscription, which offset expiry and
 * OffsetDelete ask).
 *
 *            first join                        all joined, or time is over
 *   Empty ──────────────> PreparingRebalance ──────────────────────────────> CompletingRebalance
 *     ^                     │        ^    ^                                    │             │
 *     └─────────────────────┘        │    └── join, leave, session expired, ───┘             │ leader's SyncGroup
 *        nobody is left              │        no SyncGroup in time                           v
 *                                    └───────────────────────────────────────────────────── Stable
 *   (any) ── DeleteGroups, expiry ──> Dead        transitions: prepare_rebalance, complete_join, complete_sync
 *
 * Sources: protocol guide; KIP-62 (rebalance timeout), KIP-134 (initial delay), KIP-345 (static members), KIP-394
 * (member id required), KIP-559 (protocol type), KIP-814 (skip assignment).
 * The members themselves: group_members.h; transitions and timers: classic_rebalance.c; the four requests:
 * classic_requests.c.
 * Invariants: joining_count members have a parked join; a member of CompletingRebalance or Stable whose SyncGroup has
 * not come is sync_missing; the leader is a member unless there is none. Threads: the control thread only. */
#ifndef OTTLA_GROUP_CLASSIC_H
#define OTTLA_GROUP_CLASSIC_H

#include "broker/group/group.h"

enum classic_state {
    CLASSIC_EMPTY,
    CLASSIC_PREPARING_REBALANCE,
    CLASSIC_COMPLETING_REBALANCE,
    CLASSIC_STABLE,
};

struct classic_protocol {
    struct slice name;
    struct slice metadata;
};

struct classic_member {
    struct classic_group *group;
    char *id;
    char *instance_id; /* NULL: dynamic */
    char *client_id;
    char *client_host; /* "/1.2.3.4", as Kafka shows it */
    int32_t session_timeout_ms;
    int32_t rebalance_timeout_ms;
    struct classic_protocol *protocols; /* in order of preference; one allocation with their bytes */
    int32_t protocols_count;
    size_t protocols_bytes;
    struct slice assignment; /* owned, never null */
    bool is_new;             /* its first join is not answered yet */
    bool sync_missing;
    struct classic_join_call *join; /* parked, or NULL */
    struct classic_sync_call *sync; /* parked, or NULL */
    struct group_timer session;
    UT_hash_handle hh;          /* by id, in the order of joining */
    UT_hash_handle hh_instance; /* by instance id */
};

/* An id that was handed out with MEMBER_ID_REQUIRED and has not come back. */
struct classic_pending {
    struct classic_group *group;
    struct group_timer timer;
    UT_hash_handle hh;
    uint32_t id_len;
    char id[];
};

struct classic_group {
    struct group group;
    enum classic_state state;
    enum classic_state state_before;
    int64_t state_time_ms; /* of the last transition; -1: unknown (old record) */
    int32_t generation_id;
    char *protocol_type; /* NULL: none yet, a simple group */
    char *protocol_name; /* NULL: none chosen */
    struct classic_member *members;
    struct classic_member *by_instance;
    struct classic_member *leader;
    struct classic_pending *pending;
    int32_t joining_count;
    struct group_timer
        join_timer; /* PreparingRebalance: until the generation is formed without those who are missing */
    struct group_timer sync_timer; /* until members without SyncGroup are removed */
    bool initial;      /* the join timer runs the initial delay: nobody is waited for, newcomers prolong it */
    bool member_added; /* during the initial delay */
    int32_t initial_delay_ms;
    int32_t initial_remaining_ms;
    bool topics_known;    /* topics holds what the members subscribe; false: undecodable, too many, or not "consumer" */
    struct slice *topics; /* sorted; one allocation with the names */
    int32_t topics_count;
    size_t topics_bytes;
};

/* -- what requests ask and get; slices of answers are borrowed for the call of answer() -- */

struct classic_join {
    struct slice group_id;
    struct slice member_id;
    struct slice instance_id; /* null: dynamic */
    struct slice client_id;
    struct slice client_host;
    struct slice protocol_type;
    int32_t session_timeout_ms;
    int32_t rebalance_timeout_ms;
    const struct classic_protocol *protocols;
    int32_t protocols_count;
    bool member_id_required;  /* v4+ */
    bool can_skip_assignment; /* v9+ */
};

struct classic_join_member {
    struct slice member_id;
    struct slice instance_id; /* null: dynamic */
    struct slice metadata;
};

struct classic_join_answer {
    enum kafka_error error;
    int32_t generation_id;
    struct slice protocol_type; /* null: none */
    struct slice protocol_name; /* null: none */
    struct slice leader;
    struct slice member_id;
    bool skip_assignment;
    const struct classic_join_member *members; /* for the leader only */
    int32_t members_count;
};

/* Owned by the caller; answer() is called exactly once, maybe before classic_join() returns. */
struct classic_join_call {
    void (*answer)(struct classic_join_call *call, const struct classic_join_answer *answer);
};

void classic_join(struct groups *gs, const struct classic_join *in, struct classic_join_call *call);

struct classic_assignment {
    struct slice member_id;
    struct slice assignment;
};

struct classic_sync {
    struct slice group_id;
    struct slice member_id;
    struct slice instance_id;   /* null: dynamic */
    struct slice protocol_type; /* null: not given */
    struct slice protocol_name; /* null: not given */
    int32_t generation_id;
    const struct classic_assignment *assignments; /* of the leader */
    int32_t assignments_count;
};

struct classic_sync_answer {
    enum kafka_error error;
    struct slice protocol_type;
    struct slice protocol_name;
    struct slice assignment; /* never null */
};

struct classic_sync_call {
    void (*answer)(struct classic_sync_call *call, const struct classic_sync_answer *answer);
};

void classic_sync(struct groups *gs, const struct classic_sync *in, struct classic_sync_call *call);

enum kafka_error classic_heartbeat(struct groups *gs, struct slice id, const struct group_caller *caller);

struct classic_leave {
    struct slice member_id;   /* empty: by instance id */
    struct slice instance_id; /* null: dynamic */
    enum kafka_error error;   /* out */
};
/* Removes the members, then rebalances once. */
void classic_leave(struct groups *gs, struct slice id, struct classic_leave *leaves, int32_t count);

/* -- for the log and for descriptions -- */

/* A simple group: no protocol type, no members. A group that has the id now gives it its offsets and goes. */
struct group *classic_group_make(struct groups *gs, struct slice id);
/* NULL: g is of another type. */
struct classic_group *classic_group_of(struct group *g);
/* The member's metadata for the chosen protocol; empty: none. */
struct slice classic_member_metadata(const struct classic_member *m);

/* A group as it was stored (GroupMetadataValue). */
struct classic_stored_member {
    struct slice id, instance_id, client_id, client_host, metadata, assignment;
    const struct classic_protocol *protocols; /* NULL: only the chosen one, with this metadata, is known */
    int32_t protocols_count;
    int32_t session_timeout_ms;
    int32_t rebalance_timeout_ms; /* -1: unknown, old record */
};
struct classic_stored {
    struct slice protocol_type;
    struct slice protocol_name; /* null: none, or of members whose protocols are known, what they choose */
    struct slice leader;        /* null: none */
    int32_t generation_id;
    int64_t state_time_ms;
    const struct classic_stored_member *members;
    int32_t members_count;
};
/* -- from and to groups of another type (consumer_classic.c) -- */

/* A group with these members that is in no table yet: groups_replace() or groups_remove() is next. */
struct classic_group *classic_group_new(struct groups *gs, struct slice id, const struct classic_stored *stored);
/* It has taken another's place: the members' sessions begin, and a rebalance. */
void classic_group_begin(struct classic_group *c, const char *reason);
/* All that is parked in the group gets this error. */
void classic_answer_parked(struct classic_group *c, enum kafka_error error);
/* For JoinGroup: a new member id, to be freed. */
char *classic_member_id_make(const struct classic_join *in);

/* Replaces the protocol state of the group; its offsets stay. The group's timers start with groups_loaded(). */
void classic_group_restore(struct groups *gs, struct slice id, const struct classic_stored *stored);

#endif
