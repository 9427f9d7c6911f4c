/* broker/txn/txn.h: the state machine of transactional ids.
 *
 *            init              add              end, abort by us          markers are written
 *   (none) -------> EMPTY ----------> ONGOING -----------------> PREPARE_COMMIT -----> COMPLETE_COMMIT
 *                     ^  ^              | ^                  \-> PREPARE_ABORT ------> COMPLETE_ABORT
 *                     |  |              | |                         ^                        |  |
 *                     |  +--- init -----+-|-------- (version 2, nothing added: end abort) ---+  |
 *                     |   of COMPLETE_*    +------------------------- add ----------------------+
 *                     +-- idle longer than transactional.id.expiration.ms, as COMPLETE_*: forgotten
 *   txn_init() on ONGOING, and txns_sweep() on one that is out of time, abort it with a higher epoch: a new instance
 *   fences the old producer, which goes on after the other (abort_for_producer()).
 *   txn_add(): EMPTY, COMPLETE_* -> ONGOING; txn_end(): ONGOING -> PREPARE_*; complete(): PREPARE_* -> COMPLETE_*.
 *
 * Each arrow is one record of `__transaction_state`, appended before the state moves: what cannot be appended did not
 * happen. PREPARE_* is the decision: once it is durable the markers follow, after a crash too. While a step waits for
 * the disk or for a producer id the transaction is busy, and requests get CONCURRENT_TRANSACTIONS; adds alone may
 * overlap.
 *
 * Protocol versions: version 2 of transactions (KIP-890) bumps the epoch at every end, so that late batches of an ended
 * transaction are refused; versions 0 and 1 keep it. The version is the client's, request by request.
 * Everything outside is reached through a txn_host, so that tests bring a clock and a log of their own.
 * Source: KIP-98, KIP-360, KIP-890. Threads: the control thread only. */
#ifndef OTTLA_TXN_H
#define OTTLA_TXN_H

#include "base/clock.h"
#include "base/slice.h"
#include "protocol/kafka_error.h"

#include <uthash.h>

#define TXN_EPOCH_LAST (INT16_MAX - 1) /* the last epoch that a client gets; the next one fences it */
#define TXN_VERSION_2  2               /* of the protocol: bumps the epoch at each end */

/* As stored. */
enum txn_state {
    TXN_EMPTY = 0,
    TXN_ONGOING = 1,
    TXN_PREPARE_COMMIT = 2,
    TXN_PREPARE_ABORT = 3,
    TXN_COMPLETE_COMMIT = 4,
    TXN_COMPLETE_ABORT = 5,
    TXN_DEAD = 6,                /* Kafka's, of an id that is being forgotten; not used */
    TXN_PREPARE_EPOCH_FENCE = 7, /* Kafka's, never stored; not used */
};
/* "PrepareCommit"; NULL: no state. */
const char *txn_state_name(int state);

struct txn_topic {
    struct txn_topic *next;
    int32_t *partitions;
    int32_t count, size;
    int32_t count_before; /* while an add may be undone */
    uint32_t name_len;
    char name[];
};

/* What a record of the log holds, but for the partitions. */
struct txn_data {
    enum txn_state state;
    int64_t producer_id;
    int64_t previous_producer_id; /* before the epoch was exhausted; -1: none */
    int64_t next_producer_id;     /* PREPARE_*: takes over when the transaction is complete; -1: none */
    int16_t epoch;                /* -1: the id is being made */
    int16_t last_epoch;           /* before the last bump by its own producer; -1: none; not stored */
    int16_t client_version;
    int32_t timeout_ms;
    int64_t start_ms; /* -1: not begun */
    int64_t update_ms;
};

struct txn_call;

struct txn {
    struct txns *txns;
    UT_hash_handle hh;
    struct txn_data data;
    struct txn_topic *topics; /* in the order in which they were added; one with count 0 does not count */

    bool busy;
    struct txn_call *call; /* whom the step in work answers; NULL: nobody */
    struct txn_call *adds; /* whose partitions are on their way to the disk, oldest first */
    enum kafka_error call_error;
    int64_t call_producer_id;
    int16_t call_epoch;
    /* what waits for a producer id */
    int32_t init_timeout_ms;
    bool init_expected; /* the producer said which epoch it has */
    bool end_commit;
    int16_t end_version;

    uint32_t id_len;
    char id[];
};

struct txn_result {
    enum kafka_error error;
    int64_t producer_id; /* of init and end; -1 on errors */
    int16_t epoch;
};

/* Owned by the caller; answer() is called exactly once, maybe before the function returns that takes the call. */
struct txn_call {
    void (*answer)(struct txn_call *call, const struct txn_result *result);
    struct txn_call *next; /* of txn.adds */
};

struct txn_marker {
    int64_t producer_id;
    int16_t epoch;
    bool commit;
};

struct txn_host {
    const struct clock *clock;
    /* Appends data (with t's partitions) as t's state; NULL: t is forgotten. */
    enum kafka_error (*append)(struct txn_host *h, const struct txn *t, const struct txn_data *data);
    /* done(t, error) when what was appended for t is as durable as promised; maybe before it returns. */
    void (*when_durable)(struct txn_host *h, struct txn *t, void (*done)(void *t, enum kafka_error error));
    /* Appends a marker. NONE: it is there, or nothing needs it (no such partition, a newer producer). */
    enum kafka_error (*mark)(struct txn_host *h, const struct txn *t, const struct txn_marker *marker,
                             struct slice topic, int32_t partition);
    /* As when_durable, for the markers. */
    void (*when_marked)(struct txn_host *h, struct txn *t, void (*done)(void *t, enum kafka_error error));
    /* A fresh producer id: done(t, error, producer_id), maybe before it returns. */
    void (*take_producer_id)(struct txn_host *h, struct txn *t,
                             void (*done)(struct txn *t, enum kafka_error error, int64_t producer_id));
};

struct txns {
    struct txn *by_id; /* uthash */
    struct txn_host *host;
    int64_t id_expiration_ms;
    size_t bytes;
};

void txns_init(struct txns *ts, struct txn_host *host);
/* Answers whoever waits with COORDINATOR_NOT_AVAILABLE. */
void txns_done(struct txns *ts);
/* NULL: unknown. */
struct txn *txns_find(struct txns *ts, struct slice id);
static inline struct slice txn_id(const struct txn *t)
{
    return slice_make(t->id, t->id_len);
}

/* -- what producers ask -- */

/* InitProducerId. expected_*: what the producer has, to go on after an error (v3+); -1: none. timeout_ms is checked by
 * the caller. Errors: INVALID_REQUEST, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS, those of the log. */
struct txn_init {
    struct slice id;
    int32_t timeout_ms;
    int64_t expected_producer_id;
    int16_t expected_epoch;
};
void txn_init(struct txns *ts, const struct txn_init *in, struct txn_call *call);

/* Who asks. */
struct txn_producer {
    struct slice id;
    int64_t producer_id;
    int16_t epoch;
};
struct txn_add_partition {
    struct slice topic;
    int32_t partition;
};
/* Adds partitions; the first begins the transaction. Errors: INVALID_REQUEST, INVALID_PRODUCER_ID_MAPPING,
 * PRODUCER_FENCED, CONCURRENT_TRANSACTIONS, those of the log. */
void txn_add(struct txns *ts, const struct txn_producer *who, int16_t client_version,
             const struct txn_add_partition *partitions, uint32_t count, struct txn_call *call);
/* May the producer write to the partition? As txn_add, and TRANSACTION_ABORTABLE: it was not added. */
enum kafka_error txn_verify(struct txns *ts, const struct txn_producer *who, struct slice topic, int32_t partition);
/* Commits or aborts. Answered when the markers are written, or their writing goes on later. Errors as txn_add, and
 * INVALID_TXN_STATE. */
void txn_end(struct txns *ts, const struct txn_producer *who, int16_t client_version, bool commit,
             struct txn_call *call);

/* -- time -- */

/* Aborts what is out of time, and goes on with markers that could not be written. */
void txns_sweep(struct txns *ts);
/* Forgets ids that were idle for id_expiration_ms. */
void txns_expire(struct txns *ts);

/* -- replay of the log: nothing is written -- */

/* The state of id as a record has it; its partitions follow. data NULL: it was forgotten. */
struct txn *txns_restore(struct txns *ts, struct slice id, const struct txn_data *data);
void txn_restore_partition(struct txn *t, struct slice topic, int32_t partition);
/* The log has been read: goes on where the last run stopped. */
void txn_resume(struct txn *t);
/* Drops t, which must not be busy, without a record: its part of the log cannot be read. */
void txn_forget(struct txn *t);

#endif
