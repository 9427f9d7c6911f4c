#include "storage/producer_state.h"

#include "base/crc32c.h"

#include <errno.h>

/* Snapshot: version int16 | crc uint32 of what follows it | count int32 | entries. */
#define SNAPSHOT_VERSION      1
#define SNAPSHOT_CRC_AT       2
#define SNAPSHOT_COUNT_AT     6
#define SNAPSHOT_HEADER_BYTES 10
#define SNAPSHOT_ENTRY_BYTES  46

void producer_state_init(struct producer_state *s)
{
    *s = (struct producer_state){.snapshot_offset = -1};
    TAILQ_INIT(&s->txns);
}

static struct producer_unverified *find_unverified(const struct producer_state *s, int64_t producer_id)
{
    struct producer_unverified *u;
    HASH_FIND(hh, s->unverified, &producer_id, sizeof producer_id, u);
    return u;
}

static void forget_unverified(struct producer_state *s, struct producer_unverified *u)
{
    HASH_DEL(s->unverified, u);
    free(u);
}

void producer_state_done(struct producer_state *s)
{
    struct producer *p, *next;
    struct producer_txn *txn;

    HASH_ITER(hh, s->producers, p, next)
    {
        HASH_DEL(s->producers, p);
        free(p);
    }
    struct producer_unverified *u, *next_unverified;
    HASH_ITER(hh, s->unverified, u, next_unverified) forget_unverified(s, u);
    while ((txn = TAILQ_FIRST(&s->txns))) {
        TAILQ_REMOVE(&s->txns, txn, link);
        free(txn);
    }
}

static struct producer *find(const struct producer_state *s, int64_t producer_id)
{
    struct producer *p;
    HASH_FIND(hh, s->producers, &producer_id, sizeof producer_id, p);
    return p;
}

const struct producer *producer_state_find(const struct producer_state *s, int64_t producer_id)
{
    return find(s, producer_id);
}

static struct producer *find_or_add(struct producer_state *s, int64_t producer_id)
{
    struct producer *p = find(s, producer_id);
    if (p) return p;
    p = xcalloc(1, sizeof *p);
    p->id = producer_id;
    p->epoch = -1;
    p->txn_first_offset = -1;
    p->coordinator_epoch = -1;
    p->last_timestamp_ms = -1;
    HASH_ADD(hh, s->producers, id, sizeof p->id, p);
    return p;
}

void producer_state_unverified(struct producer_state *s, const struct record_batch *b, bool bumps_epochs,
                               int64_t now_ms)
{
    struct producer_unverified *u = find_unverified(s, b->producer_id);
    if (b->base_sequence < 0) return; /* refused as a record without sequence, whatever the coordinator says */
    if (!u) {
        if (HASH_COUNT(s->unverified) >= PRODUCERS_UNVERIFIED_MAX) forget_unverified(s, s->unverified);
        u = xcalloc(1, sizeof *u);
        *u = (struct producer_unverified){.id = b->producer_id,
                                          .since_ms = now_ms,
                                          .lowest_sequence = b->base_sequence,
                                          .epoch = b->producer_epoch,
                                          .bumps_epochs = bumps_epochs};
        HASH_ADD(hh, s->unverified, id, sizeof u->id, u);
    }
    if (b->producer_epoch > u->epoch || (b->producer_epoch == u->epoch && b->base_sequence < u->lowest_sequence)) {
        u->epoch = b->producer_epoch;
        u->lowest_sequence = b->base_sequence;
    }
}

/* It has a batch here now, or its transaction ended: what was tried before does not matter. */
static void verified(struct producer_state *s, const struct record_batch *b, const struct producer_marker *marker)
{
    struct producer_unverified *u = record_batch_is_transactional(b) ? find_unverified(s, b->producer_id) : NULL;
    if (!u) return;
    /* A marker of version 2 has the epoch of the next transaction, whose first batch may have been tried already. */
    if (marker && u->bumps_epochs && u->epoch == b->producer_epoch) return;
    forget_unverified(s, u);
}

/* May the first batch of a transaction stand here? */
static bool may_begin(const struct producer_state *s, const struct producer *p, const struct record_batch *b)
{
    const struct producer_unverified *u = find_unverified(s, b->producer_id);
    if (!u) return true;
    /* In version 2 a producer that has nothing here begins with its first batch, or it lost some on the way. */
    if (u->bumps_epochs && b->base_sequence != 0 && !(p && p->batches_count)) return false;
    return b->base_sequence <= u->lowest_sequence;
}

static bool follows(int32_t last_sequence, int32_t next_sequence)
{
    return next_sequence == (last_sequence < 0 ? 0 : record_sequence_add(last_sequence, 1));
}

static bool is_duplicate(const struct producer *p, const struct record_batch *b, struct producer_batch *ret_duplicate)
{
    if (p->epoch != b->producer_epoch) return false;
    for (uint32_t i = 0; i < p->batches_count; i++) {
        const struct producer_batch *kept = &p->batches[i];
        int32_t first = (int32_t)(((uint32_t)kept->last_sequence - (uint32_t)kept->offset_delta) & INT32_MAX);
        if (kept->last_sequence != record_batch_last_sequence(b) || first != b->base_sequence) continue;
        *ret_duplicate = *kept;
        return true;
    }
    return false;
}

enum kafka_error producer_state_check(const struct producer_state *s, const struct record_batch *b,
                                      const struct record_batch *previous, enum producer_check check,
                                      struct producer_batch *ret_duplicate)
{
    const struct producer *p = find(s, b->producer_id);
    int16_t epoch = -1;
    int32_t last_sequence = -1;
    bool in_txn = false;

    if (p) {
        epoch = p->epoch;
        last_sequence = p->batches_count ? p->batches[p->batches_count - 1].last_sequence : -1;
        in_txn = p->txn_first_offset >= 0;
        if (check == PRODUCER_CHECK_SEQUENCE && !previous && is_duplicate(p, b, ret_duplicate))
            return KAFKA_DUPLICATE_SEQUENCE_NUMBER;
    }
    if (previous) {
        epoch = previous->producer_epoch;
        last_sequence = record_batch_last_sequence(previous);
        in_txn = !record_batch_is_control(previous) && (in_txn || record_batch_is_transactional(previous));
    }
    if (b->producer_epoch < epoch) return KAFKA_INVALID_PRODUCER_EPOCH;
    if (check == PRODUCER_CHECK_SEQUENCE && !previous && !may_begin(s, p, b)) return KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
    if (check == PRODUCER_CHECK_SEQUENCE && epoch >= 0) {
        /* An unknown producer may begin anywhere: its records may have been deleted. */
        if (b->producer_epoch > epoch ? b->base_sequence != 0 : !follows(last_sequence, b->base_sequence))
            return KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
    }
    return in_txn && !record_batch_is_transactional(b) ? KAFKA_INVALID_TXN_STATE : KAFKA_NONE;
}

enum kafka_error producer_state_check_marker(const struct producer_state *s, const struct record_batch *b,
                                             struct producer_marker marker)
{
    const struct producer *p = find(s, b->producer_id);
    if (!p) return KAFKA_NONE;
    if (b->producer_epoch < p->epoch) return KAFKA_INVALID_PRODUCER_EPOCH;
    return marker.coordinator_epoch < p->coordinator_epoch ? KAFKA_TRANSACTION_COORDINATOR_FENCED : KAFKA_NONE;
}

static void add_batch(struct producer *p, struct producer_batch kept)
{
    if (p->batches_count == PRODUCER_BATCHES_KEPT) {
        memmove(p->batches, p->batches + 1, (PRODUCER_BATCHES_KEPT - 1) * sizeof *p->batches);
        p->batches_count--;
    }
    p->batches[p->batches_count++] = kept;
}

static struct producer_txn *txn_open(struct producer_state *s, int64_t producer_id)
{
    struct producer_txn *txn;
    TAILQ_FOREACH(txn, &s->txns, link)
        if (txn->producer_id == producer_id && txn->last_offset < 0) return txn;
    return NULL;
}

static void txn_begin(struct producer_state *s, struct producer *p, int64_t first_offset)
{
    struct producer_txn *txn = xmalloc(sizeof *txn), *before = TAILQ_LAST(&s->txns, producer_txns);
    *txn = (struct producer_txn){.producer_id = p->id, .first_offset = first_offset, .last_offset = -1};
    p->txn_first_offset = first_offset;
    while (before && before->first_offset > first_offset) before = TAILQ_PREV(before, producer_txns, link);
    if (before) TAILQ_INSERT_AFTER(&s->txns, before, txn, link);
    else TAILQ_INSERT_HEAD(&s->txns, txn, link);
}

bool producer_state_apply(struct producer_state *s, const struct record_batch *b, const struct producer_marker *marker,
                          struct txn_entry *ret_aborted)
{
    if (!record_batch_has_producer(b)) return false;
    if (record_batch_is_control(b) && !marker) return false; /* compaction has emptied it: nothing is known of it */

    verified(s, b, marker);
    struct producer *p = find_or_add(s, b->producer_id);
    if (p->epoch != b->producer_epoch) {
        p->epoch = b->producer_epoch;
        p->batches_count = 0;
    }
    p->last_timestamp_ms = b->max_timestamp;
    if (!marker) {
        if (b->base_sequence >= 0)
            add_batch(p, (struct producer_batch){.last_offset = record_batch_last_offset(b),
                                                 .timestamp_ms = b->max_timestamp,
                                                 .last_sequence = record_batch_last_sequence(b),
                                                 .offset_delta = b->last_offset_delta});
        if (record_batch_is_transactional(b) && p->txn_first_offset < 0) txn_begin(s, p, b->base_offset);
        return false;
    }
    p->coordinator_epoch = marker->coordinator_epoch;
    p->txn_first_offset = -1;
    struct producer_txn *txn = txn_open(s, p->id);
    if (!txn) return false; /* a marker without data changes nothing for readers */
    txn->last_offset = record_batch_last_offset(b);
    if (marker->commit) return false;

    int64_t stable = record_batch_next_offset(b);
    struct producer_txn *open;
    TAILQ_FOREACH(open, &s->txns, link)
        if (open->last_offset < 0) {
            stable = open->first_offset;
            break;
        }
    *ret_aborted = (struct txn_entry){.producer_id = p->id,
                                      .first_offset = txn->first_offset,
                                      .last_offset = txn->last_offset,
                                      .last_stable_offset = stable};
    return true;
}

int64_t producer_state_first_unstable(const struct producer_state *s, int64_t high_watermark)
{
    struct producer_txn *txn;
    TAILQ_FOREACH(txn, &s->txns, link)
        if (txn->last_offset < 0 || txn->last_offset >= high_watermark) return txn->first_offset;
    return INT64_MAX;
}

void producer_state_forget_open(struct producer_state *s, int64_t offset)
{
    struct producer_txn *txn = TAILQ_FIRST(&s->txns), *next;
    for (; txn; txn = next) {
        next = TAILQ_NEXT(txn, link);
        if (txn->last_offset >= 0 || txn->first_offset >= offset) continue;
        struct producer *p;
        HASH_FIND(hh, s->producers, &txn->producer_id, sizeof txn->producer_id, p);
        if (p) p->txn_first_offset = -1;
        TAILQ_REMOVE(&s->txns, txn, link);
        free(txn);
    }
}

void producer_state_settle(struct producer_state *s, int64_t high_watermark)
{
    struct producer_txn *txn = TAILQ_FIRST(&s->txns), *next;
    for (; txn; txn = next) {
        next = TAILQ_NEXT(txn, link);
        if (txn->last_offset < 0 || txn->last_offset >= high_watermark) continue;
        TAILQ_REMOVE(&s->txns, txn, link);
        free(txn);
    }
}

void producer_state_expire(struct producer_state *s, int64_t now_ms, int64_t expiration_ms, int64_t reserved_min)
{
    struct producer *p, *next;
    HASH_ITER(hh, s->producers, p, next)
    {
        if (p->txn_first_offset >= 0 || p->id >= reserved_min || now_ms - p->last_timestamp_ms < expiration_ms)
            continue;
        HASH_DEL(s->producers, p);
        free(p);
    }
    struct producer_unverified *u, *next_unverified;
    HASH_ITER(hh, s->unverified, u, next_unverified)
    {
        if (now_ms - u->since_ms >= expiration_ms) forget_unverified(s, u);
    }
}

uint8_t *producer_state_encode(const struct producer_state *s, size_t *ret_size)
{
    uint32_t count = HASH_COUNT(s->producers);
    size_t size = SNAPSHOT_HEADER_BYTES + (size_t)count * SNAPSHOT_ENTRY_BYTES;
    uint8_t *bytes = xmalloc(size), *at = bytes + SNAPSHOT_HEADER_BYTES;
    struct producer *p, *next;

    be16_store(bytes, SNAPSHOT_VERSION);
    be32_store(bytes + SNAPSHOT_COUNT_AT, count);
    HASH_ITER(hh, s->producers, p, next)
    {
        struct producer_batch none = {.last_offset = -1, .timestamp_ms = p->last_timestamp_ms, .last_sequence = -1};
        struct producer_batch last = p->batches_count ? p->batches[p->batches_count - 1] : none;
        be64_store(at, (uint64_t)p->id);
        be16_store(at + 8, (uint16_t)p->epoch);
        be32_store(at + 10, (uint32_t)last.last_sequence);
        be64_store(at + 14, (uint64_t)last.last_offset);
        be32_store(at + 22, (uint32_t)last.offset_delta);
        be64_store(at + 26, (uint64_t)p->last_timestamp_ms);
        be32_store(at + 34, (uint32_t)p->coordinator_epoch);
        be64_store(at + 38, (uint64_t)p->txn_first_offset);
        at += SNAPSHOT_ENTRY_BYTES;
    }
    be32_store(bytes + SNAPSHOT_CRC_AT, crc32c(0, bytes + SNAPSHOT_COUNT_AT, size - SNAPSHOT_COUNT_AT));
    *ret_size = size;
    return bytes;
}

int producer_state_decode(struct producer_state *s, const uint8_t *bytes, size_t size)
{
    producer_state_done(s);
    producer_state_init(s);
    if (size < SNAPSHOT_HEADER_BYTES || be16_load(bytes) != SNAPSHOT_VERSION ||
        be32_load(bytes + SNAPSHOT_CRC_AT) != crc32c(0, bytes + SNAPSHOT_COUNT_AT, size - SNAPSHOT_COUNT_AT) ||
        be32_load(bytes + SNAPSHOT_COUNT_AT) != (size - SNAPSHOT_HEADER_BYTES) / SNAPSHOT_ENTRY_BYTES ||
        (size - SNAPSHOT_HEADER_BYTES) % SNAPSHOT_ENTRY_BYTES)
        return -EBADMSG;

    for (const uint8_t *at = bytes + SNAPSHOT_HEADER_BYTES; at < bytes + size; at += SNAPSHOT_ENTRY_BYTES) {
        struct producer *p = find_or_add(s, (int64_t)be64_load(at));
        p->epoch = (int16_t)be16_load(at + 8);
        p->last_timestamp_ms = (int64_t)be64_load(at + 26);
        p->coordinator_epoch = (int32_t)be32_load(at + 34);
        struct producer_batch last = {.last_sequence = (int32_t)be32_load(at + 10),
                                      .last_offset = (int64_t)be64_load(at + 14),
                                      .offset_delta = (int32_t)be32_load(at + 22),
                                      .timestamp_ms = p->last_timestamp_ms};
        p->batches_count = 0;
        if (last.last_offset >= 0) add_batch(p, last);
        int64_t first_offset = (int64_t)be64_load(at + 38);
        if (first_offset >= 0 && p->txn_first_offset < 0) txn_begin(s, p, first_offset);
    }
    return 0;
}
