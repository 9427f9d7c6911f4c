/* Appending to a partition log: what a client sends is validated before the lock is taken, then offsets are written into
 * the headers in place and one write puts the batches into the active segment. Rules and codes: Kafka's produce path
 * (semantics.md, sections 4 and 5, of the reference). */
#include "storage/log_internal.h"
#include "storage/offset_index.h"
#include "storage/time_index.h"

#include "base/log.h"
#include "protocol/batch_builder.h"
#include "protocol/record.h"

#include <errno.h>
#include <string.h>

/* A marker's one record: key: version int16, type int16 (0 abort, 1 commit); value: version int16, coordinator epoch int32. */
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
    bool found = !record_reader_open(&reader, b, LOG_CONTROL_MAX, &scratch) && record_reader_next(&reader, &record) == 1 &&
                 record.key.len >= MARKER_KEY_BYTES && record.value.len >= MARKER_VALUE_BYTES;
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
    struct log_append *io; /* the caller's */
    struct log_config config;
    int64_t now_ms;
    const uint8_t *bytes; /* what is written: the caller's, or a rebuilt batch */
    uint32_t size;
    struct record_batch one; /* batches of the usual append */
    struct record_batch *batches;
    uint32_t count;
    bool built; /* builder holds memory */
    struct batch_builder builder;
};

static enum kafka_error refuse(struct append *p, enum kafka_error error, const char *message)
{
    p->io->error_message = message;
    return error;
}

/* -- validation, without the lock -- */

static enum kafka_error parse_error(enum record_batch_result result)
{
    switch (result) {
    case RECORD_BATCH_OK: return KAFKA_NONE;
    case RECORD_BATCH_LEGACY:
    case RECORD_BATCH_BAD_MAGIC:
    case RECORD_BATCH_END: return KAFKA_INVALID_RECORD;
    case RECORD_BATCH_PARTIAL:
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
    if (p->io->origin == APPEND_CLIENT) return refuse(p, KAFKA_INVALID_RECORD, "a partition takes one batch per request");

    uint32_t allocated = 8;
    p->batches = xmalloc(allocated * sizeof *p->batches);
    p->batches[0] = p->one;
    while (rest.len) {
        if (p->count == allocated) p->batches = xrealloc(p->batches, (allocated *= 2) * sizeof *p->batches);
        result = record_batch_next(&rest, &p->batches[p->count]);
        if (result != RECORD_BATCH_OK) return refuse(p, parse_error(result), "the bytes are no record batches of magic 2");
        p->count++;
    }
    return KAFKA_NONE;
}

static enum kafka_error check_header(struct append *p)
{
    const struct record_batch *b = p->batches;

    if (b->base_offset != 0) return refuse(p, KAFKA_INVALID_RECORD, "the base offset of a produced batch must be 0");
    if (p->size > p->config.max_message_bytes)
        return refuse(p, KAFKA_MESSAGE_TOO_LARGE, "the batch is larger than max.message.bytes");
    if (!record_batch_crc_ok(b)) return refuse(p, KAFKA_CORRUPT_MESSAGE, "the checksum of the batch is wrong");
    if (b->records_count <= 0 || b->last_offset_delta != b->records_count - 1)
        return refuse(p, KAFKA_INVALID_RECORD, "the record count does not fit the offsets");
    if (record_batch_is_control(b)) return refuse(p, KAFKA_INVALID_RECORD, "clients may not write control batches");
    if (record_batch_has_producer(b) && b->base_sequence < 0)
        return refuse(p, KAFKA_INVALID_RECORD, "a batch with a producer id needs a sequence");
    if (record_batch_is_transactional(b) && !record_batch_has_producer(b))
        return refuse(p, KAFKA_INVALID_RECORD, "a transactional batch needs a producer id");
    if (record_batch_codec(b) >= COMPRESSION_CODECS)
        return refuse(p, KAFKA_INVALID_RECORD, "the batch names no known compression");
    return KAFKA_NONE;
}

static bool time_is_outside(const struct append *p, int64_t timestamp_ms)
{
    /* Differences of far apart timestamps overflow; limits are INT64_MAX by default. */
    __int128 age = (__int128)p->now_ms - timestamp_ms;
    if (timestamp_ms == RECORD_BATCH_NO_TIMESTAMP) return false;
    return age > p->config.message_timestamp_before_max_ms || -age > p->config.message_timestamp_after_max_ms;
}

static void note_record_error(struct append *p, int32_t index, const char *message)
{
    struct log_append *a = p->io;
    if (a->record_errors_count < (int32_t)countof(a->record_errors))
        a->record_errors[a->record_errors_count++] = (struct record_error){.index = index, .message = message};
}

/* Walks the records. *ret_dense: their offset deltas are 0, 1, 2 ... */
static enum kafka_error check_records(struct append *p, bool check_times, int64_t *ret_max_timestamp, bool *ret_dense)
{
    struct record_batch *b = p->batches;
    struct record_reader reader;
    struct record record;
    struct bytes scratch;
    enum kafka_error error = KAFKA_NONE;
    int64_t max_timestamp = RECORD_BATCH_NO_TIMESTAMP;
    bool dense = true;

    bytes_init(&scratch);
    int r = record_reader_open(&reader, b, LOG_CONTENT_MAX, &scratch);
    for (int32_t i = 0; !r; i++) {
        r = record_reader_next(&reader, &record);
        if (r <= 0) break;
        r = 0;
        dense &= record.offset_delta == i;
        max_timestamp = MAX(max_timestamp, record.timestamp_ms);
        if (p->config.cleanup_compact && slice_is_null(record.key)) {
            error = refuse(p, KAFKA_INVALID_RECORD, "Compacted topic cannot accept message without key");
            note_record_error(p, i, "Compacted topic cannot accept message without key");
        } else if (check_times && time_is_outside(p, record.timestamp_ms)) {
            if (error == KAFKA_NONE)
                error = refuse(p, KAFKA_INVALID_TIMESTAMP, "One or more records have been rejected due to invalid timestamp");
            note_record_error(p, i, "the timestamp is outside of the topic's message.timestamp limits");
        }
    }
    bytes_done(&scratch);
    if (r == -EFBIG) return refuse(p, KAFKA_MESSAGE_TOO_LARGE, "the decompressed batch is too large");
    if (r == -ENOMEM) return refuse(p, KAFKA_STORAGE_ERROR, "no memory to decompress the batch");
    if (r < 0 && record_batch_codec(b) != COMPRESSION_NONE)
        return refuse(p, KAFKA_CORRUPT_MESSAGE, "the compressed records are damaged");
    if (r < 0) return refuse(p, KAFKA_INVALID_RECORD, "the records are damaged or do not fit their count");
    *ret_max_timestamp = max_timestamp;
    *ret_dense = dense;
    return error;
}

/* Writes the batch anew, with the topic's codec and dense offsets. */
static enum kafka_error rebuild(struct append *p, enum compression_codec codec)
{
    struct slice bytes;

    batch_builder_init(&p->builder);
    p->built = true;
    int r = record_batch_rebuild(p->batches, codec, COMPRESSION_LEVEL_DEFAULT, LOG_CONTENT_MAX, &p->builder, &bytes);
    if (r == -ENOMEM) return refuse(p, KAFKA_STORAGE_ERROR, "no memory to compress the batch");
    if (r || record_batch_parse(bytes, &p->one) != RECORD_BATCH_OK)
        return refuse(p, KAFKA_CORRUPT_MESSAGE, "the records are damaged");
    p->bytes = bytes.ptr;
    p->size = bytes.len;
    if (p->size > p->config.max_message_bytes)
        return refuse(p, KAFKA_MESSAGE_TOO_LARGE, "with the topic's compression.type the batch is larger than max.message.bytes");
    return KAFKA_NONE;
}

/* The header of batch i, to be written. What we were given, or built, is ours to write. */
static uint8_t *header_of(struct append *p, uint32_t i)
{
    return (uint8_t *)(uintptr_t)p->batches[i].bytes.ptr;
}

static enum kafka_error validate_client_batch(struct append *p)
{
    enum kafka_error error = check_header(p);
    if (error != KAFKA_NONE) return error;

    struct record_batch *b = p->batches;
    enum compression_codec codec = record_batch_codec(b);
    enum compression_codec wanted = p->config.compression_codec < 0 ? codec : (enum compression_codec)p->config.compression_codec;
    bool append_time = p->config.log_append_time;
    bool check_times = !append_time && !record_batch_is_log_append_time(b);
    bool below = check_times && p->config.message_timestamp_before_max_ms != INT64_MAX;
    bool dense = true;
    int64_t max_timestamp = b->max_timestamp;

    if (!append_time && record_batch_is_log_append_time(b))
        return refuse(p, KAFKA_INVALID_TIMESTAMP, "the topic takes batches with create time only");
    /* Compressed batches are looked into only where the header does not tell enough. */
    if (codec == COMPRESSION_NONE || p->config.cleanup_compact || below || wanted != codec) {
        error = check_records(p, check_times, &max_timestamp, &dense);
        if (error != KAFKA_NONE) return error;
    } else if (check_times && time_is_outside(p, b->max_timestamp)) {
        note_record_error(p, 0, "the timestamp is outside of the topic's message.timestamp limits");
        return refuse(p, KAFKA_INVALID_TIMESTAMP, "One or more records have been rejected due to invalid timestamp");
    }
    if (wanted != codec || !dense) {
        error = rebuild(p, wanted);
        if (error != KAFKA_NONE) return error;
    }
    if (!append_time && p->one.max_timestamp != max_timestamp) {
        record_batch_set_max_timestamp(header_of(p, 0), p->size, max_timestamp);
        p->one.max_timestamp = max_timestamp;
    }
    return KAFKA_NONE;
}

/* -- under the lock -- */

static const struct record_batch *previous_of_producer(const struct append *p, uint32_t i)
{
    for (uint32_t j = i; j > 0; j--)
        if (p->batches[j - 1].producer_id == p->batches[i].producer_id) return &p->batches[j - 1];
    return NULL;
}

static enum kafka_error check_producers(struct partition_log *log, struct append *p)
{
    enum producer_check check = p->io->origin == APPEND_INTERNAL ? PRODUCER_CHECK_EPOCH : PRODUCER_CHECK_SEQUENCE;

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
            p->io->duplicate = true;
            p->io->last_offset = duplicate.last_offset;
            p->io->base_offset = duplicate.last_offset - duplicate.offset_delta;
            p->io->log_append_time_ms = duplicate.timestamp_ms;
            return KAFKA_NONE;
        }
        if (error == KAFKA_DUPLICATE_SEQUENCE_NUMBER) error = KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
        if (error != KAFKA_NONE) return error;
    }
    return KAFKA_NONE;
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
    return refuse(p, KAFKA_STORAGE_ERROR, r == -ENOSPC ? "no space is left on the disk" : "the disk refused the write");
}

static enum kafka_error append_locked(struct partition_log *log, struct append *p)
{
    struct log_append *a = p->io;
    enum kafka_error error = log_ready(log);
    if (error != KAFKA_NONE) return error;
    if (atomic_load(&log->failed)) return refuse(p, KAFKA_STORAGE_ERROR, "the partition's disk failed before");

    error = check_producers(log, p);
    if (error != KAFKA_NONE || a->duplicate) return error;
    if (p->size > MIN(p->config.segment_bytes, SEGMENT_BYTES_MAX))
        return refuse(p, KAFKA_RECORD_LIST_TOO_LARGE, "the batches are larger than segment.bytes");
    if (a->origin == APPEND_CLIENT && atomic_load(&log->dir->space_low)) return storage_error(p, -ENOSPC);

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
        if (p->config.log_append_time) {
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
    if (a->origin == APPEND_CDC && log->hold == LOG_NO_HOLD) log->hold = base;
    log_publish(log);
    log_wake(log, false);

    a->base_offset = base;
    a->last_offset = next - 1;
    a->log_append_time_ms = p->config.log_append_time ? p->now_ms : -1;
    return KAFKA_NONE;
}

enum kafka_error partition_log_append(struct partition_log *log, struct log_append *a)
{
    struct append p = {.io = a, .bytes = a->batches, .size = a->size};

    a->duplicate = false;
    a->error_message = NULL;
    a->record_errors_count = 0;
    p.now_ms = clock_wall_ms(log->dir->clock);
    pthread_mutex_lock(&log->lock);
    p.config = log->config->config;
    pthread_mutex_unlock(&log->lock);

    enum kafka_error error = parse_batches(&p);
    if (error == KAFKA_NONE && a->origin == APPEND_CLIENT) error = validate_client_batch(&p);
    if (error == KAFKA_NONE) {
        pthread_mutex_lock(&log->lock);
        error = append_locked(log, &p);
        pthread_mutex_unlock(&log->lock);
        if (error == KAFKA_NONE && !a->duplicate && !atomic_load_explicit(&log->dir->dirty, memory_order_relaxed))
            log_dir_note_dirty(log->dir);
    }
    if (p.batches && p.batches != &p.one) free(p.batches);
    if (p.built) batch_builder_done(&p.builder);
    return error;
}
