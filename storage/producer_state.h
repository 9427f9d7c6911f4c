/* storage/producer_state.h: what a log knows of its producers: idempotence, open transactions, snapshots.
 *
 * For each producer id: epoch, the last five batches (sequences, offsets), the coordinator epoch of its last marker,
 * and the first offset of its open transaction. Rules and error codes: Kafka's (KIP-98, KIP-360).
 *
 *   no transaction --transactional batch--> open --marker--> ended, until the high watermark passes the marker --> gone
 *                (producer_state_apply)           (producer_state_apply)                 (producer_state_settle)
 *
 * A transactional batch whose transaction is not open here waits until the coordinator was asked: its producer is
 * unverified, and stays so when the answer was no. Until its first batch is taken, none with a higher sequence than the
 * lowest that was tried may be: the lower one would never find its place again (KIP-890).
 *
 * Stored as `<offset>.snapshot`, the state of all records below offset; see docs/format-segment.md.
 * Invariants: transactions are ordered by first offset, as they began.
 * Threads: under the log's mutex. */
#ifndef OTTLA_PRODUCER_STATE_H
#define OTTLA_PRODUCER_STATE_H

#include "protocol/kafka_error.h"
#include "protocol/record_batch.h"
#include "storage/txn_index.h"

#include <sys/queue.h>
#include <uthash.h>

#define PRODUCER_BATCHES_KEPT    5                  /* Kafka's; a client has at most as many in flight */
#define PRODUCERS_UNVERIFIED_MAX 10000              /* of a partition; then the oldest is forgotten: any id may try */
#define PRODUCER_SNAPSHOT_MAX    (64 * 1024 * 1024) /* 1.4 million producers; a larger file is not believed [bytes] */

struct producer_batch {
    int64_t last_offset;
    int64_t timestamp_ms;
    int32_t last_sequence;
    int32_t offset_delta; /* last minus first sequence */
};

struct producer {
    UT_hash_handle hh;
    int64_t id;
    int64_t txn_first_offset; /* -1: no open transaction */
    int64_t last_timestamp_ms;
    int32_t coordinator_epoch;
    int16_t epoch;
    uint8_t batches_count;
    struct producer_batch batches[PRODUCER_BATCHES_KEPT]; /* oldest first */
};

/* Who tried to begin a transaction here. Not stored. */
struct producer_unverified {
    UT_hash_handle hh;
    int64_t id;
    int64_t since_ms;
    int32_t lowest_sequence; /* that was tried in this epoch */
    int16_t epoch;
    bool bumps_epochs; /* transactions of version 2: every one has an epoch of its own */
};

struct producer_txn {
    TAILQ_ENTRY(producer_txn) link;
    int64_t producer_id;
    int64_t first_offset;
    int64_t last_offset; /* of the marker; -1: open */
};

struct producer_state {
    struct producer *producers;
    struct producer_unverified *unverified; /* in the order in which they came */
    TAILQ_HEAD(producer_txns, producer_txn) txns;
    int64_t snapshot_offset; /* the newest snapshot file; -1: none */
};

/* A control record that ends a transaction. */
struct producer_marker {
    bool commit;
    int32_t coordinator_epoch;
};

void producer_state_init(struct producer_state *s);
void producer_state_done(struct producer_state *s);
const struct producer *producer_state_find(const struct producer_state *s, int64_t producer_id);

/* The transactional batch is going to be asked for at the coordinator. */
void producer_state_unverified(struct producer_state *s, const struct record_batch *b, bool bumps_epochs,
                               int64_t now_ms);

enum producer_check {
    PRODUCER_CHECK_SEQUENCE, /* a producer's own batch */
    PRODUCER_CHECK_EPOCH,    /* the broker's: it has no sequences of its own */
};
/* May this batch be appended? previous: the batch of the same producer before it in the same append, or NULL.
 * A batch that is in the log: KAFKA_DUPLICATE_SEQUENCE_NUMBER, with that batch and its producer's timestamp. */
enum kafka_error producer_state_check(const struct producer_state *s, const struct record_batch *b,
                                      const struct record_batch *previous, enum producer_check check,
                                      struct producer_batch *ret_duplicate) WARN_UNUSED;
enum kafka_error producer_state_check_marker(const struct producer_state *s, const struct record_batch *b,
                                             struct producer_marker marker) WARN_UNUSED;
/* Takes in a batch of the log, whose base offset is set. marker: of a control batch, else NULL.
 * Returns whether it ended a transaction by an abort, with its entry for the index of aborted ones. */
bool producer_state_apply(struct producer_state *s, const struct record_batch *b, const struct producer_marker *marker,
                          struct txn_entry *ret_aborted);

/* The first offset of the oldest transaction that is open, or whose marker readers cannot see yet. None: INT64_MAX. */
int64_t producer_state_first_unstable(const struct producer_state *s, int64_t high_watermark);
/* Forgets that transactions which began below offset are open. */
void producer_state_forget_open(struct producer_state *s, int64_t offset);
/* Forgets ended transactions whose marker lies below the high watermark. */
void producer_state_settle(struct producer_state *s, int64_t high_watermark);
/* Drops who has been idle for longer than expiration_ms, has no open transaction, and an id below reserved_min; and who
 * has been unverified for so long. */
void producer_state_expire(struct producer_state *s, int64_t now_ms, int64_t expiration_ms, int64_t reserved_min);

/* The snapshot's bytes, malloc'd. */
uint8_t *producer_state_encode(const struct producer_state *s, size_t *ret_size);
/* Replaces s by what the bytes say. Returns 0 or -EBADMSG; s is empty then. */
int producer_state_decode(struct producer_state *s, const uint8_t *bytes, size_t size) WARN_UNUSED;

/* b - a, of sequences that wrap behind INT32_MAX: negative when b is older. */
static inline int32_t producer_sequence_diff(int32_t a, int32_t b)
{
    uint32_t diff = ((uint32_t)b - (uint32_t)a) & INT32_MAX;
    return diff < (1u << 30) ? (int32_t)diff : (int32_t)diff - INT32_MAX - 1;
}

#endif
