/* protocol/record_batch.c: see record_batch.h. */
#include "protocol/record_batch.h"

#include "base/crc32c.h"

enum record_batch_result record_batch_parse_header(struct slice header, struct record_batch *ret_batch,
                                                   uint32_t *ret_size)
{
    if (header.len == 0) return RECORD_BATCH_END;
    if (header.len <= RECORD_BATCH_AT_MAGIC) return RECORD_BATCH_PARTIAL;

    /* The length is judged before the magic: a torn file ends in zeros, which look like magic 0. */
    const uint8_t *p = header.ptr;
    int32_t length = (int32_t)be32_load(p + RECORD_BATCH_AT_LENGTH);
    int8_t magic = (int8_t)p[RECORD_BATCH_AT_MAGIC];
    if (length <= RECORD_BATCH_AT_MAGIC - RECORD_BATCH_LENGTH_OFFSET) return RECORD_BATCH_BAD_LENGTH;
    if (magic == 0 || magic == 1) return *ret_size = (uint32_t)length + RECORD_BATCH_LENGTH_OFFSET, RECORD_BATCH_LEGACY;
    if (magic != RECORD_BATCH_MAGIC) return RECORD_BATCH_BAD_MAGIC;
    if (length < RECORD_BATCH_HEADER_BYTES - RECORD_BATCH_LENGTH_OFFSET) return RECORD_BATCH_BAD_LENGTH;
    if (length > INT32_MAX - RECORD_BATCH_LENGTH_OFFSET) return RECORD_BATCH_BAD_LENGTH;
    if (header.len < RECORD_BATCH_HEADER_BYTES) return RECORD_BATCH_PARTIAL;

    *ret_batch = (struct record_batch){
        .base_offset = (int64_t)be64_load(p + RECORD_BATCH_AT_BASE_OFFSET),
        .partition_leader_epoch = (int32_t)be32_load(p + RECORD_BATCH_AT_LEADER_EPOCH),
        .crc = be32_load(p + RECORD_BATCH_AT_CRC),
        .attributes = be16_load(p + RECORD_BATCH_AT_ATTRIBUTES),
        .last_offset_delta = (int32_t)be32_load(p + RECORD_BATCH_AT_LAST_OFFSET_DELTA),
        .base_timestamp = (int64_t)be64_load(p + RECORD_BATCH_AT_BASE_TIMESTAMP),
        .max_timestamp = (int64_t)be64_load(p + RECORD_BATCH_AT_MAX_TIMESTAMP),
        .producer_id = (int64_t)be64_load(p + RECORD_BATCH_AT_PRODUCER_ID),
        .producer_epoch = (int16_t)be16_load(p + RECORD_BATCH_AT_PRODUCER_EPOCH),
        .base_sequence = (int32_t)be32_load(p + RECORD_BATCH_AT_BASE_SEQUENCE),
        .records_count = (int32_t)be32_load(p + RECORD_BATCH_AT_RECORDS_COUNT),
    };
    *ret_size = (uint32_t)length + RECORD_BATCH_LENGTH_OFFSET;
    return RECORD_BATCH_OK;
}

enum record_batch_result record_batch_parse(struct slice bytes, struct record_batch *ret_batch)
{
    struct record_batch b;
    uint32_t size;
    enum record_batch_result result = record_batch_parse_header(bytes, &b, &size);
    if (result != RECORD_BATCH_OK && result != RECORD_BATCH_LEGACY) return result;
    if (size > bytes.len) return RECORD_BATCH_PARTIAL;
    if (result == RECORD_BATCH_LEGACY) return result;
    b.bytes = slice_make(bytes.ptr, size);
    b.records = slice_make(bytes.ptr + RECORD_BATCH_HEADER_BYTES, size - RECORD_BATCH_HEADER_BYTES);
    *ret_batch = b;
    return RECORD_BATCH_OK;
}

enum record_batch_result record_batch_next(struct slice *rest, struct record_batch *ret_batch)
{
    enum record_batch_result result = record_batch_parse(*rest, ret_batch);
    if (result == RECORD_BATCH_OK)
        *rest = slice_make(rest->ptr + ret_batch->bytes.len, rest->len - ret_batch->bytes.len);
    return result;
}

static uint32_t crc_of(const uint8_t *bytes, uint32_t size)
{
    return crc32c(0, bytes + RECORD_BATCH_AT_ATTRIBUTES, size - RECORD_BATCH_AT_ATTRIBUTES);
}

uint32_t record_batch_compute_crc(const struct record_batch *b)
{
    return crc_of(b->bytes.ptr, b->bytes.len);
}

static void set_timestamp(uint8_t *bytes, uint32_t size, uint16_t type, int64_t max_timestamp_ms)
{
    assert(size >= RECORD_BATCH_HEADER_BYTES);
    uint16_t attributes = be16_load(bytes + RECORD_BATCH_AT_ATTRIBUTES) & (uint16_t)~RECORD_BATCH_LOG_APPEND_TIME;
    be16_store(bytes + RECORD_BATCH_AT_ATTRIBUTES, attributes | type);
    be64_store(bytes + RECORD_BATCH_AT_MAX_TIMESTAMP, (uint64_t)max_timestamp_ms);
    be32_store(bytes + RECORD_BATCH_AT_CRC, crc_of(bytes, size));
}

void record_batch_set_log_append_time(uint8_t *bytes, uint32_t size, int64_t now_ms)
{
    set_timestamp(bytes, size, RECORD_BATCH_LOG_APPEND_TIME, now_ms);
}

void record_batch_set_max_timestamp(uint8_t *bytes, uint32_t size, int64_t max_timestamp_ms)
{
    set_timestamp(bytes, size, 0, max_timestamp_ms);
}

void record_batch_write_header(uint8_t *bytes, uint32_t size, const struct record_batch *b)
{
    assert(size >= RECORD_BATCH_HEADER_BYTES && size <= INT32_MAX);
    record_batch_rebase(bytes, b->base_offset, b->partition_leader_epoch);
    be32_store(bytes + RECORD_BATCH_AT_LENGTH, size - RECORD_BATCH_LENGTH_OFFSET);
    bytes[RECORD_BATCH_AT_MAGIC] = RECORD_BATCH_MAGIC;
    be16_store(bytes + RECORD_BATCH_AT_ATTRIBUTES, b->attributes);
    be32_store(bytes + RECORD_BATCH_AT_LAST_OFFSET_DELTA, (uint32_t)b->last_offset_delta);
    be64_store(bytes + RECORD_BATCH_AT_BASE_TIMESTAMP, (uint64_t)b->base_timestamp);
    be64_store(bytes + RECORD_BATCH_AT_MAX_TIMESTAMP, (uint64_t)b->max_timestamp);
    be64_store(bytes + RECORD_BATCH_AT_PRODUCER_ID, (uint64_t)b->producer_id);
    be16_store(bytes + RECORD_BATCH_AT_PRODUCER_EPOCH, (uint16_t)b->producer_epoch);
    be32_store(bytes + RECORD_BATCH_AT_BASE_SEQUENCE, (uint32_t)b->base_sequence);
    be32_store(bytes + RECORD_BATCH_AT_RECORDS_COUNT, (uint32_t)b->records_count);
    be32_store(bytes + RECORD_BATCH_AT_CRC, crc_of(bytes, size));
}
