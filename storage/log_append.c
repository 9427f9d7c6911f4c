/* storage/log_append.c: appending to a partition log. What a client sends is validated before the lock is taken, then
 * offsets are written into the headers in place and one write puts the batches into the active segment. Rules and
 * codes: Kafka's produce path; KIP-98 (idempotence, transactions), KIP-467 (faults of single records), KIP-937
 * (timestamps). */
#include "storage/log_internal.h"
#include "storage/offset_index.h"
#include "storage/time_index.h"

#include "base/log.h"
#include "protocol/record_admit.h"

#include <errno.h>
#include <string.h>

/* A marker's one record: key: version int16, type int16 (0 abort, 1 commit); value: version int16, coordinator epoch
 * int32. */
#define MARKER_KEY_BYTES   4
#define MARKER_VALUE_BYTES 6
#define MARKER_ABORT       0
#define MARKER_COMMIT      1

bool log_parse_marker(const struct record_batch *b, struct producer_marker *ret_marker)
{
    struct record_reader reader;
    struct record record;
    struct bytes scratch;

    if (!record_batch_is_control(b) || !record_batch_has_producer(b) || !b->records_count) return false;
    bytes_init(&scratch);
    bool found = !record_reader_open(&reader, b, LOG_CONTROL_MAX, &scratch) &&
                 record_reader_next(&reader, &record) == 1 && record.key.len >= MARKER_KEY_BYTES &&
                 record.value.len >= MARKER_VALUE_BYTES;
    if (found) {
        int type = be16_load(record.key.ptr + 2);
        found = type == MARKER_ABORT || type == MARKER_COMMIT;
        *ret_marker = (struct producer_marker){.commit = type == MARKER_COMMIT,
                                               .coordinator_epoch = (int32_t)be32_load(record.value.ptr + 2)};
    }
    bytes_done(&scratch);
    return found;
}

struct append {
    struct log_append *request; /* the caller's */
    struct log_config config;
    int64_t now_ms;
    const uint8_t *bytes; /* what is written: the caller's, or a rebuilt batch */
    uint32_t size;
    struct record_batch one; /* batches of the usual append */
    struct record_batch *batches;
    uint32_t count;
    struct batch_builder builder; /* holds a batch that had to be rebuilt */
};

static enum kafka_error refuse(struct append *p, enum kafka_error error, const char *message)
{
    p->request->error_message = message;
    return error;
}

/* -- validation, without the lock -- */

static enum kafka_error parse_error(enum record_batch_result result)
{
    switch (result) {
    case RECORD_BATCH_OK: return KAFKA_NONE;
    case RECORD_BATCH_LEGACY:
    case RECORD_BATCH_PARTIAL:
    case RECORD_BATCH_END: return KAFKA_INVALID_RECORD;
    case RECORD_BATCH_BAD_MAGIC:
    case RECORD_BATCH_BAD_LENGTH: break;
    }
    return KAFKA_CORRUPT_MESSAGE;
}

static enum kafka_error parse_batches(struct append *p)
{
    struct slice rest = slice_make(p->bytes, p->size);
    enum record_batch_result result = record_batch_next(&rest, &p->one);

    if (result != RECORD_BATCH_OK) return refuse(p, parse_error(result), "the bytes are no record batch of magic 2");
    p->batches = &p->one;
    p->count = 1;
    if (!rest.len) return KAFKA_NONE;
    if (p->request->origin == APPEND_CLIENT) {
        struct record_batch other;
        result = record_batch_next(&rest, &other);
        if (result == RECORD_BATCH_BAD_LENGTH || result == RECORD_BATCH_BAD_MAGIC)
            return refuse(p, parse_error(result), "what follows the batch is none");
        if (result == RECORD_BATCH_OK || result == RECORD_BATCH_LEGACY)
            return refuse(p, KAFKA_INVALID_RECORD, "a partition takes one batch per request");
        return KAFKA_NONE; /* a part of one is left out, as by Kafka: only what was parsed is stored */
    }

    uint32_t allocated = 8;
    p->batches = xmalloc(allocated * sizeof *p->batches);
    p->batches[0] = p->one;
    while (rest.len) {
        if (p->count == allocated) p->batches = xrealloc(p->batches, (allocated *= 2) * sizeof *p->batches);
        result = record_batch_next(&rest, &p->batches[p->count]);
        if (result != RECORD_BATCH_OK)
            return refuse(p, parse_error(result), "the bytes are no record batches of magic 2");
        p->count++;
    }
    return KAFKA_NONE;
}

/* The header of batch i, to be written. What we were given, or built, is ours to write. */
static uint8_t *header_of(struct append *p, uint32_t i)
{
    return (uint8_t *)(uintptr_t)p->batches[i].bytes.ptr;
}

static enum kafka_error admit(struct append *p)
{
    const struct log_config *c = &p->config;
    struct record_rules rules = {.now_ms = p->now_ms,
                                 .timestamp_before_max_ms = c->message_timestamp_before_max_ms,
                                 .timestamp_after_max_ms = c->message_timestamp_after_max_ms,
                                 .batch_size_max = (uint32_t)MIN(c->max_message_bytes, INT32_MAX),
                                 .content_max = LOG_CONTENT_MAX,
                                 .log_append_time = c->log_append_time,
                                 .compacted = c->cleanup_compact,
                                 .recompress = c->compression_codec >= 0,
                                 .codec = (enum compression_codec)MAX(c->compression_codec, 0),
                                 .level = c->compression_level};
    struct record_verdict verdict;
    struct slice stored;

    enum kafka_error error = record_batch_admit(p->request->batches, &p->one, &rules, &p->builder, &stored, &verdict);
    if (error != KAFKA_NONE) {
        p->request->record_errors_count = MIN(verdict.faults_count, (int32_t)countof(p->request->record_errors));
        for (int32_t i = 0; i < p->request->record_errors_count; i++)
            p->request->record_errors[i] =
                (struct record_error){.index = verdict.faults[i].index, .message = verdict.faults[i].message};
        return refuse(p, error, verdict.message);
    }
    p->bytes = stored.ptr;
    p->size = stored.len;
    /* Its header may have changed. */
    return record_batch_parse(stored, &p->one) == RECORD_BATCH_OK ? KAFKA_NONE : KAFKA_CORRUPT_MESSAGE;
}

/* -- under the lock -- */

static const struct record_batch *previous_of_producer(const struct append *p, uint32_t i)
{
    for (uint32_t j = i; j > 0; j--)
        if (p->batches[j - 1].producer_id == p->batches[i].producer_id) return &p->batches[j - 1];
    return NULL;
}

static bool txn_is_open(const struct partition_log *log, const struct record_batch *b)
{
    const struct producer *known = producer_state_find(log->producers, b->producer_id);
    return known && known->txn_first_offset >= 0 && known->epoch == b->producer_epoch;
}

static enum kafka_error check_producers(struct partition_log *log, struct append *p)
{
    enum producer_check check = p->request->origin == APPEND_INTERNAL ? PRODUCER_CHECK_EPOCH : PRODUCER_CHECK_SEQUENCE;

    for (uint32_t i = 0; i < p->count; i++) {
        const struct record_batch *b = &p->batches[i];
        struct producer_batch duplicate;
        struct producer_marker marker;
        enum kafka_error error;
        if (!record_batch_has_producer(b)) continue;
        if (record_batch_is_control(b)) {
            error = log_parse_marker(b, &marker) ? producer_state_check_marker(log->producers, b, marker) : KAFKA_NONE;
        } else {
            error = producer_state_check(log->producers, b, previous_of_producer(p, i), check, &duplicate);
        }
        if (error == KAFKA_DUPLICATE_SEQUENCE_NUMBER && p->count == 1) {
            p->request->duplicate = true;
            p->request->last_offset = duplicate.last_offset;
            p->request->base_offset = duplicate.last_offset - duplicate.offset_delta;
            p->request->log_append_time_ms = duplicate.timestamp_ms;
            return KAFKA_NONE;
        }
        if (error == KAFKA_DUPLICATE_SEQUENCE_NUMBER) error = KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
        if (error != KAFKA_NONE) return error;
        if (p->request->txn_must_be_open && record_batch_is_transactional(b) && !txn_is_open(log, b)) {
            p->request->txn_not_open = true;
            return refuse(p, KAFKA_INVALID_TXN_STATE, "the partition was not added to the transaction");
        }
    }
    return KAFKA_NONE;
}

/* A batch of a transaction that is not open here comes again when the coordinator has been asked: nothing of it may
 * have been rewritten by then (max_timestamp, the bit of LogAppendTime). */
static enum kafka_error check_open_first(struct partition_log *log, struct append *p)
{
    const struct record_batch *b = &p->one;
    if (!p->request->txn_must_be_open || !record_batch_is_transactional(b)) return KAFKA_NONE;
    pthread_mutex_lock(&log->lock);
    enum kafka_error error = log_ready(log); /* after a clean stop nothing is read yet */
    const struct producer *known = error == KAFKA_NONE ? producer_state_find(log->producers, b->producer_id) : NULL;
    if (known && b->producer_epoch < known->epoch) {
        error = KAFKA_INVALID_PRODUCER_EPOCH;
    } else if (error == KAFKA_NONE && !txn_is_open(log, b)) {
        producer_state_unverified(log->producers, b, p->request->txn_bumps_epochs, p->now_ms);
        p->request->txn_not_open = true;
        error = refuse(p, KAFKA_INVALID_TXN_STATE, "the partition was not added to the transaction");
    }
    pthread_mutex_unlock(&log->lock);
    return error;
}

static bool must_roll(struct partition_log *log, const struct append *p, int64_t last_offset)
{
    const struct segment *s = log_active(log);
    if (!s) return true;
    uint32_t size = atomic_load(&s->size);
    if (!size) return false;

    const struct log_config *c = &p->config;
    int64_t jitter_ms = c->segment_jitter_ms > 0 ? s->base_offset % MIN(c->segment_jitter_ms, c->segment_ms) : 0;
    /* Measured on the records' own clock where they have one, as Kafka does. */
    int64_t age_ms = s->first_timestamp_ms >= 0 ? p->batches[p->count - 1].max_timestamp - s->first_timestamp_ms
                                                : p->now_ms - s->created_ms;
    return p->size > MIN(c->segment_bytes, SEGMENT_BYTES_MAX) - size || age_ms > c->segment_ms - jitter_ms ||
           (int64_t)(s->offsets.count + p->count) * OFFSET_INDEX_ENTRY_BYTES > c->segment_index_bytes ||
           (int64_t)(s->times.count + p->count + 1) * TIME_INDEX_ENTRY_BYTES > c->segment_index_bytes ||
           last_offset - s->base_offset > INT32_MAX;
}

/* Brings a log that is newer than its epochs' file to order: the first batch of an epoch needs its line. */
static int begin_epoch(struct partition_log *log)
{
    int32_t epoch = atomic_load(&log->leader_epoch);
    if (leader_epochs_assign(&log->epochs, epoch, atomic_load(&log->log_end))) log->epochs_dirty = true;
    return log->epochs_dirty ? log_write_epochs(log) : 0;
}

static enum kafka_error storage_error(struct append *p, int r)
{
    switch (r) {
    case -ENOSPC: return refuse(p, KAFKA_STORAGE_ERROR, "no space is left on the disk");
    case -EDQUOT: return refuse(p, KAFKA_STORAGE_ERROR, "the user's quota of disk space is used up");
    case -EROFS: return refuse(p, KAFKA_STORAGE_ERROR, "the file system is read-only");
    case -EMFILE:
    case -ENFILE: return refuse(p, KAFKA_STORAGE_ERROR, "no file descriptor is free: raise the limit (ulimit -n)");
    default: return refuse(p, KAFKA_STORAGE_ERROR, "the disk refused the write");
    }
}

static enum kafka_error append_locked(struct partition_log *log, struct append *p)
{
    struct log_append *a = p->request;
    enum kafka_error error = log_ready(log);
    if (error != KAFKA_NONE) return error;
    if (atomic_load(&log->failed)) return refuse(p, KAFKA_STORAGE_ERROR, "the partition's disk failed before");
    if (!log_may_append(log, a->owner))
        return refuse(p, KAFKA_LEADER_NOT_AVAILABLE, "an initial snapshot is being written");

    error = check_producers(log, p);
    if (error != KAFKA_NONE || a->duplicate) return error;
    if (p->size > MIN(p->config.segment_bytes, SEGMENT_BYTES_MAX))
        return refuse(p, KAFKA_RECORD_LIST_TOO_LARGE, "the batches are larger than segment.bytes");
    if (a->origin != APPEND_INTERNAL && atomic_load(&log->dir->space_low)) return storage_error(p, -ENOSPC);

    int64_t base = atomic_load(&log->log_end), next = base;
    for (uint32_t i = 0; i < p->count; i++) {
        struct record_batch *b = &p->batches[i];
        if (b->last_offset_delta < 0 || next > INT64_MAX - b->last_offset_delta - 1)
            return refuse(p, KAFKA_INVALID_RECORD, "the offsets of the batch are impossible");
        b->base_offset = next;
        next += (int64_t)b->last_offset_delta + 1;
    }
    if (must_roll(log, p, next - 1)) {
        int r = log_roll(log);
        if (r) return storage_error(p, r);
    }
    int r = begin_epoch(log);
    if (r) return storage_error(p, r);

    int32_t epoch = atomic_load(&log->leader_epoch);
    for (uint32_t i = 0; i < p->count; i++) {
        uint8_t *header = header_of(p, i);
        if (p->config.log_append_time && a->origin != APPEND_CLIENT) {
            record_batch_set_log_append_time(header, p->batches[i].bytes.len, p->now_ms);
            p->batches[i].max_timestamp = p->now_ms;
            p->batches[i].attributes |= RECORD_BATCH_LOG_APPEND_TIME;
        }
        record_batch_rebase(header, p->batches[i].base_offset, epoch);
        p->batches[i].partition_leader_epoch = epoch;
    }

    struct segment *s = log_active(log);
    uint32_t position = atomic_load(&s->size);
    bool failed;
    r = segment_append(s, p->bytes, p->size, &failed);
    if (r) {
        if (failed) log_fail(log);
        return storage_error(p, r);
    }
    for (uint32_t i = 0; i < p->count; i++) {
        const struct record_batch *b = &p->batches[i];
        struct producer_marker marker;
        struct txn_entry aborted;
        segment_note_batch(s, b, b->bytes.len, position, p->config.index_interval_bytes);
        if (producer_state_apply(log->producers, b, log_parse_marker(b, &marker) ? &marker : NULL, &aborted) &&
            txn_index_append(&s->aborted, aborted))
            log_fail(log); /* readers would take the aborted records for good */
        position += b->bytes.len;
    }
    atomic_fetch_add_explicit(&log->size, p->size, memory_order_relaxed);
    atomic_store(&log->log_end, next);
    if (a->origin == APPEND_CDC) log_hold(log, a->owner, base);
    log_publish(log);
    log_wake(log, false);

    a->base_offset = base;
    a->last_offset = next - 1;
    a->log_append_time_ms = p->config.log_append_time ? p->now_ms : -1;
    return KAFKA_NONE;
}

enum kafka_error partition_log_append(struct partition_log *log, struct log_append *a)
{
    struct append p = {.request = a, .bytes = a->batches, .size = a->size};

    a->duplicate = false;
    a->txn_not_open = false;
    a->error_message = NULL;
    a->record_errors_count = 0;
    batch_builder_init(&p.builder);
    p.now_ms = clock_wall_ms(log->dir->clock);
    pthread_mutex_lock(&log->lock);
    p.config = log->config->config;
    pthread_mutex_unlock(&log->lock);

    enum kafka_error error = parse_batches(&p);
    if (error == KAFKA_NONE && a->origin == APPEND_CLIENT && p.one.producer_id >= LOG_PRODUCER_ID_RESERVED_MIN)
        error = refuse(&p, KAFKA_INVALID_PRODUCER_ID_MAPPING, "producer ids of this range are the broker's own");
    if (error == KAFKA_NONE && a->origin == APPEND_CLIENT) error = check_open_first(log, &p);
    if (error == KAFKA_NONE && a->origin == APPEND_CLIENT) error = admit(&p);
    if (error == KAFKA_NONE && a->origin == APPEND_CDC && p.size > p.config.max_message_bytes)
        error = refuse(&p, KAFKA_MESSAGE_TOO_LARGE, "the batch is larger than max.message.bytes");
    if (error == KAFKA_NONE) {
        pthread_mutex_lock(&log->lock);
        int64_t unsynced = atomic_load(&log->log_end) - atomic_load(&log->durable_end);
        error = append_locked(log, &p);
        pthread_mutex_unlock(&log->lock);
        if (unsynced < p.config.flush_messages &&
            atomic_load(&log->log_end) - atomic_load(&log->durable_end) >= p.config.flush_messages)
            log_sync_soon(log);
        if (error == KAFKA_NONE && !a->duplicate && !atomic_load_explicit(&log->dir->dirty, memory_order_relaxed))
            log_dir_note_dirty(log->dir);
    }
    if (p.batches && p.batches != &p.one) free(p.batches);
    batch_builder_done(&p.builder);
    return error;
}
