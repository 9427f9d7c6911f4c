/* protocol/record_admit.c: see record_admit.h: the header, then the records if a rule has to see them, then what is
 * stored. */
#include "protocol/record_admit.h"

#include <errno.h>

static enum kafka_error refuse(struct record_verdict *v, enum kafka_error error, const char *message)
{
    v->message = message;
    return error;
}

/* What the header alone tells. */
static enum kafka_error check_header(const struct record_batch *b, const struct record_rules *rules,
                                     struct record_verdict *v)
{
    if (b->base_offset != 0) return refuse(v, KAFKA_INVALID_RECORD, "The base offset of a produced batch must be 0");
    if (b->bytes.len > rules->batch_size_max)
        return refuse(v, KAFKA_MESSAGE_TOO_LARGE, "The batch is larger than max.message.bytes of the topic");
    if (!record_batch_crc_ok(b)) return refuse(v, KAFKA_CORRUPT_MESSAGE, "The CRC of the batch is wrong");
    if (b->last_offset_delta < 0) return refuse(v, KAFKA_INVALID_RECORD, "The batch has an invalid offset range");
    if (b->records_count <= 0) return refuse(v, KAFKA_INVALID_RECORD, "The batch has no records");
    if (b->records_count != (int64_t)b->last_offset_delta + 1)
        return refuse(v, KAFKA_INVALID_RECORD, "The offset range and the count of records of the batch differ");
    if (record_batch_is_control(b))
        return refuse(v, KAFKA_INVALID_RECORD, "Clients are not allowed to write control records");
    if (record_batch_has_producer(b) && b->base_sequence < 0)
        return refuse(v, KAFKA_INVALID_RECORD, "The batch has a producer id and an invalid sequence number");
    if (record_batch_codec(b) >= COMPRESSION_CODECS)
        return refuse(v, KAFKA_UNSUPPORTED_COMPRESSION_TYPE, "The compression codec of the batch does not exist");
    return KAFKA_NONE;
}

static bool timestamp_in_range(int64_t timestamp_ms, const struct record_rules *rules)
{
    int64_t age_ms;
    if (__builtin_sub_overflow(rules->now_ms, timestamp_ms, &age_ms)) return false; /* further than any limit */
    return age_ms <= rules->timestamp_before_max_ms && (age_ms >= 0 || -(age_ms + 1) < rules->timestamp_after_max_ms);
}

static bool must_walk(const struct record_batch *b, const struct record_rules *rules)
{
    if (record_batch_codec(b) == COMPRESSION_NONE || rules->walk_compressed || rules->compacted) return true;
    if (rules->log_append_time) return record_batch_is_log_append_time(b);
    /* A batch whose newest record is in range may still hold one that is too old. */
    return rules->timestamp_before_max_ms < rules->now_ms || b->max_timestamp < 0 ||
           !timestamp_in_range(b->max_timestamp, rules);
}

static void fault_add(struct record_verdict *v, int32_t index, const char *message)
{
    if (v->faults_count < RECORD_FAULTS_MAX) v->faults[v->faults_count++] = (struct record_fault){index, message};
}

struct walk {
    int64_t max_timestamp_ms;
    bool offsets_dense; /* 0, 1, 2 … */
    bool timestamp_fault;
};

/* The checks of single records. All faults are gathered; one refuses the batch. */
static enum kafka_error walk_records(const struct record_batch *b, const struct record_rules *rules, struct walk *walk,
                                     struct record_verdict *v)
{
    struct record_reader reader;
    struct record record;
    struct bytes scratch = {0};

    *walk = (struct walk){.max_timestamp_ms = RECORD_BATCH_NO_TIMESTAMP, .offsets_dense = true};
    int r = record_reader_open(&reader, b, rules->content_max, &scratch);
    for (int32_t i = 0; r >= 0 && (r = record_reader_next(&reader, &record)) > 0; i++) {
        if (record.offset_delta != i) walk->offsets_dense = false;
        walk->max_timestamp_ms = MAX(walk->max_timestamp_ms, record.timestamp_ms);
        if (rules->compacted && slice_is_null(record.key)) {
            fault_add(v, i, "Compacted topic cannot accept message without key");
        } else if (!rules->log_append_time && record.timestamp_ms != RECORD_BATCH_NO_TIMESTAMP) {
            if (timestamp_in_range(record.timestamp_ms, rules)) continue;
            walk->timestamp_fault = true;
            fault_add(v, i, "The timestamp is out of the range that the topic allows");
        } else if (record_batch_is_log_append_time(b)) {
            walk->timestamp_fault = true;
            fault_add(v, i, "Producer should not set timestamp type to LogAppendTime");
        }
    }
    bytes_done(&scratch);
    if (r == -EFBIG)
        return refuse(v, KAFKA_MESSAGE_TOO_LARGE, "The content of the batch is too large when decompressed");
    if (r == -ENOMEM) return refuse(v, KAFKA_UNKNOWN_SERVER_ERROR, "No memory to decompress the batch");
    if (r < 0) return refuse(v, KAFKA_INVALID_RECORD, "The records of the batch cannot be read");
    if (walk->timestamp_fault)
        return refuse(v, KAFKA_INVALID_TIMESTAMP, "One or more records have been rejected due to invalid timestamp");
    if (v->faults_count) return refuse(v, KAFKA_INVALID_RECORD, "One or more records have been rejected");
    return KAFKA_NONE;
}

static enum kafka_error rebuild(const struct record_batch *b, const struct record_rules *rules,
                                struct batch_builder *builder, struct slice *ret_batch, struct record_verdict *v)
{
    enum compression_codec codec = rules->recompress ? rules->codec : record_batch_codec(b);
    int r = record_batch_rebuild(b, codec, rules->level, rules->content_max, builder, ret_batch);
    if (r == -EFBIG)
        return refuse(v, KAFKA_MESSAGE_TOO_LARGE, "The content of the batch is too large when decompressed");
    if (r == -EBADMSG) return refuse(v, KAFKA_INVALID_RECORD, "The records of the batch cannot be read");
    if (r < 0) return refuse(v, KAFKA_UNKNOWN_SERVER_ERROR, "No memory to write the batch anew");
    if (ret_batch->len > rules->batch_size_max)
        return refuse(v, KAFKA_MESSAGE_TOO_LARGE,
                      "The batch, compressed as the topic demands, is larger than max.message.bytes of the topic");
    v->rebuilt = true;
    return KAFKA_NONE;
}

enum kafka_error record_batch_admit(uint8_t *bytes, const struct record_batch *b, const struct record_rules *rules,
                                    struct batch_builder *builder, struct slice *ret_batch,
                                    struct record_verdict *ret_verdict)
{
    *ret_verdict = (struct record_verdict){0};
    enum kafka_error error = check_header(b, rules, ret_verdict);
    if (error) return error;

    struct walk walk = {.max_timestamp_ms = b->max_timestamp, .offsets_dense = true};
    if (must_walk(b, rules)) {
        error = walk_records(b, rules, &walk, ret_verdict);
        if (error) return error;
    }

    struct slice batch = b->bytes;
    if (!walk.offsets_dense || (rules->recompress && rules->codec != record_batch_codec(b))) {
        error = rebuild(b, rules, builder, &batch, ret_verdict);
        if (error) return error;
        bytes = (uint8_t *)(uintptr_t)batch.ptr;
    }
    if (rules->log_append_time) record_batch_set_log_append_time(bytes, batch.len, rules->now_ms);
    else if (walk.max_timestamp_ms != b->max_timestamp || record_batch_is_log_append_time(b))
        record_batch_set_max_timestamp(bytes, batch.len, walk.max_timestamp_ms);
    *ret_batch = batch;
    return KAFKA_NONE;
}
