/* broker/share/share_partition.h: what a share group did with the records of one partition; without input or output.
 *
 * The window [start, end) holds the records in flight. Each of them is in one state:
 *
 *                      acquire: delivery count + 1, lock begins
 *   Available ─────────────────────────────────────────────> Acquired ── accept ──────> Acknowledged
 *    │   ^                                                    │  │  └── reject, gap ──> Archived
 *    │   │   release, lock expired: below the delivery limit  │  │                        ^
 *    │   ├────────────────────────────────────────────────────┘  │  (at the limit) ───────┤
 *    │   └── session closed: delivery count - 1 ─────────────────┘                        │
 *    └── the log does not have it (any more), or its transaction was aborted ─────────────┘
 *
 * Acknowledged and Archived are final; the start moves over final records, the end grows when new ones are acquired.
 * Sources: KIP-932; Kafka 4.1 SharePartition. As there, the limits of records per fetch and in flight are soft: batches
 * of the log are acquired whole.
 *
 * Durability: a change that must outlive the broker is handed to share_store_fn before it is applied, and does not
 * happen when that fails (but a lock that expired is gone in any case). That a record is acquired is not stored: after
 * a restart it is Available again, and this delivery is not counted.
 * Invariants: runs are sorted, not empty, without gaps from start to end; neighbours differ; only Acquired runs have a
 * member and a lock. Every operation is one pass over the runs. Threads: the owner's. */
#ifndef OTTLA_SHARE_PARTITION_H
#define OTTLA_SHARE_PARTITION_H

#include "base/uuid.h"
#include "protocol/kafka_error.h"

/* Offsets in flight, whatever a client asks for at once: a run is 48 bytes, and each offset may become one. */
#define SHARE_WINDOW_MAX (1 << 17)

/* As numbered in the stored records and in the protocol. */
enum share_delivery_state {
    SHARE_AVAILABLE = 0,
    SHARE_ACQUIRED = 1,
    SHARE_ACKNOWLEDGED = 2,
    SHARE_ARCHIVED = 4,
};
enum share_acknowledge_type {
    SHARE_GAP = 0,
    SHARE_ACCEPT = 1,
    SHARE_RELEASE = 2,
    SHARE_REJECT = 3,
};

/* Records first..last in one state, as they are stored. */
struct share_batch {
    int64_t first_offset;
    int64_t last_offset;
    int8_t delivery_state;
    int16_t delivery_count;
};

struct share_run {
    struct share_batch batch;
    struct uuid member;
    int64_t lock_end_ms; /* monotonic */
};
struct share_runs {
    struct share_run *items;
    uint32_t count;
    uint32_t capacity;
};

struct share_partition {
    int64_t start; /* SPSO: the first record that is not final */
    int64_t end;   /* behind the last record in flight (SPEO + 1) */
    int16_t delivery_limit;
    int32_t in_flight_max;
    struct share_runs runs;
    struct share_runs next; /* what a pass builds; spare in between */
};

/* Stores changes, which ascend; start is the partition's before they are applied. */
typedef enum kafka_error share_store_fn(void *arg, int64_t start, const struct share_batch *changes, uint32_t count);

/* An empty window at start. */
void share_partition_init(struct share_partition *p, int64_t start, int16_t delivery_limit, int32_t in_flight_max);
void share_partition_done(struct share_partition *p);
/* Into an empty window: the stored batches. What lies between them was acquired and never stored: it is Available.
 * False: they do not ascend from start on, or have states that are not stored. */
bool share_partition_restore(struct share_partition *p, const struct share_batch *batches, uint32_t count) WARN_UNUSED;

/* -- acquiring -- */

/* Whether a fetch may acquire anything. */
bool share_partition_can_acquire(const struct share_partition *p);
/* Where the log must be read for it. */
int64_t share_partition_fetch_offset(const struct share_partition *p);

/* A batch of the log, as read at the fetch offset; they ascend. */
struct share_log_batch {
    int64_t base_offset;
    int64_t last_offset;
    bool aborted; /* by its transaction, and the group reads committed records only */
};
struct share_acquired {
    int64_t first_offset;
    int64_t last_offset;
    int16_t delivery_count;
};
struct share_acquired_list {
    struct share_acquired *items; /* free() them */
    uint32_t count;
    uint32_t capacity;
    int64_t records; /* in all */
};
struct share_acquire {
    struct uuid member;
    const struct share_log_batch *batches; /* what the log has from share_partition_fetch_offset() on */
    uint32_t count;
    int64_t records_max; /* soft: the batch in which it is reached is taken whole */
    int32_t batch_size;  /* soft: ranges of the answer are cut at batches of the log from this many records on */
    int64_t lock_end_ms;
};
/* Appends what was acquired to *list. */
void share_partition_acquire(struct share_partition *p, const struct share_acquire *a,
                             struct share_acquired_list *list);

/* -- giving back -- */

/* types: one for all offsets, or one for each. */
struct share_ack {
    int64_t first_offset;
    int64_t last_offset;
    const int8_t *types;
    int32_t types_count;
};
/* Whether acknowledgements are well formed: NONE, or INVALID_REQUEST. They must be for
 * share_partition_acknowledge(). */
enum kafka_error share_acks_check(const struct share_ack *acks, uint32_t count);
/* All or nothing. Offsets below the start are skipped. INVALID_RECORD_STATE: not acquired, or by another member;
 * INVALID_REQUEST: beyond what was ever acquired; or what store returns. */
enum kafka_error share_partition_acknowledge(struct share_partition *p, struct uuid member,
                                             const struct share_ack *acks, uint32_t count, share_store_fn *store,
                                             void *arg) WARN_UNUSED;
/* The member's session is closed: what it holds counts as not delivered. Returns what store returned. */
enum kafka_error share_partition_release(struct share_partition *p, struct uuid member, share_store_fn *store,
                                         void *arg) WARN_UNUSED;
/* Locks that ended before or at now_ms. Returns what store returned; the records are released in any case. */
enum kafka_error share_partition_expire(struct share_partition *p, int64_t now_ms, share_store_fn *store,
                                        void *arg) WARN_UNUSED;
/* When the next lock ends; INT64_MAX: none. */
int64_t share_partition_next_expiry(const struct share_partition *p);
/* The log begins at log_start: what lies before is gone, whoever holds it. */
void share_partition_trim(struct share_partition *p, int64_t log_start);

#endif
