/* protocol/batch_builder.c: see batch_builder.h. Records are written behind room for the header, which is filled in
 * last. */
#include "protocol/batch_builder.h"

#include "base/varint.h"

#include <errno.h>

/* Most bytes that a record needs besides key, value and headers: its length, attributes, two deltas, three counts. */
#define RECORD_OVERHEAD_MAX (VARINT_BYTES_MAX + 1 + VARLONG_BYTES_MAX + 4 * VARINT_BYTES_MAX)

void batch_builder_init(struct batch_builder *b)
{
    *b = (struct batch_builder){0};
    batch_builder_reset(b);
}

void batch_builder_reset(struct batch_builder *b)
{
    bytes_reset(&b->bytes);
    bytes_reset(&b->packed);
    b->records_count = 0;
    b->last_offset_delta = -1;
    b->base_timestamp_ms = RECORD_BATCH_NO_TIMESTAMP;
    b->base_given = false;
    b->max_timestamp_ms = RECORD_BATCH_NO_TIMESTAMP;
}

void batch_builder_set_base(struct batch_builder *b, int64_t base_timestamp_ms)
{
    assert(b->records_count == 0);
    b->base_timestamp_ms = base_timestamp_ms;
    b->base_given = true;
}

void batch_builder_done(struct batch_builder *b)
{
    bytes_done(&b->bytes);
    bytes_done(&b->packed);
}

/* Room for a record, and before the first one for the header. */
static uint8_t *record_room(struct batch_builder *b, int64_t timestamp_ms, size_t size)
{
    if (b->records_count == 0 && !b->base_given) b->base_timestamp_ms = timestamp_ms;
    if (b->bytes.len == 0) {
        if (!bytes_room(&b->bytes, RECORD_BATCH_HEADER_BYTES + size)) return NULL;
        b->bytes.len = RECORD_BATCH_HEADER_BYTES;
    }
    return bytes_room(&b->bytes, size);
}

static void record_done(struct batch_builder *b, int32_t offset_delta, int64_t timestamp_ms)
{
    b->max_timestamp_ms = b->records_count ? MAX(b->max_timestamp_ms, timestamp_ms) : timestamp_ms;
    b->last_offset_delta = offset_delta;
    b->records_count++;
}

static int64_t timestamp_delta(const struct batch_builder *b, int64_t timestamp_ms)
{
    return (int64_t)((uint64_t)timestamp_ms - (uint64_t)b->base_timestamp_ms);
}

static size_t field_size(struct slice s)
{
    return s.ptr ? (size_t)varint_size((int32_t)s.len) + s.len : 1;
}

static uint8_t *field_write(uint8_t *p, struct slice s)
{
    p += varint_write(p, s.ptr ? (int32_t)s.len : -1);
    if (s.len) memcpy(p, s.ptr, s.len);
    return p + s.len;
}

static size_t headers_size(const struct record_header *headers, int32_t headers_count)
{
    size_t size = 0;
    for (int32_t i = 0; i < headers_count; i++) size += field_size(headers[i].key) + field_size(headers[i].value);
    return size;
}

static uint8_t *headers_write(uint8_t *p, const struct record_header *headers, int32_t headers_count)
{
    for (int32_t i = 0; i < headers_count; i++) p = field_write(field_write(p, headers[i].key), headers[i].value);
    return p;
}

/* Writes a whole record but for the bytes of its headers, for which it leaves room and returns the place. */
static uint8_t *record_write(struct batch_builder *b, int32_t offset_delta, int64_t timestamp_ms, struct slice key,
                             struct slice value, size_t headers_bytes, int32_t headers_count)
{
    assert(offset_delta > b->last_offset_delta);
    size_t most = (size_t)key.len + value.len + headers_bytes + RECORD_OVERHEAD_MAX;
    uint8_t *p = record_room(b, timestamp_ms, most);
    if (!p) return NULL;

    uint8_t *begin = p;
    int64_t delta = timestamp_delta(b, timestamp_ms);
    size_t size = 1 + (size_t)varlong_size(delta) + (size_t)varint_size(offset_delta) + field_size(key) +
                  field_size(value) + (size_t)varint_size(headers_count) + headers_bytes;
    p += varint_write(p, (int32_t)size);
    *p++ = 0; /* attributes */
    p += varlong_write(p, delta);
    p += varint_write(p, offset_delta);
    p = field_write(field_write(p, key), value);
    p += varint_write(p, headers_count);
    b->bytes.len += (uint32_t)(p - begin) + (uint32_t)headers_bytes;
    record_done(b, offset_delta, timestamp_ms);
    return p;
}

void batch_builder_append_at(struct batch_builder *b, int32_t offset_delta, int64_t timestamp_ms, struct slice key,
                             struct slice value, const struct record_header *headers, int32_t headers_count)
{
    uint8_t *p =
        record_write(b, offset_delta, timestamp_ms, key, value, headers_size(headers, headers_count), headers_count);
    if (p) headers_write(p, headers, headers_count);
}

void batch_builder_append(struct batch_builder *b, int64_t timestamp_ms, struct slice key, struct slice value,
                          const struct record_header *headers, int32_t headers_count)
{
    batch_builder_append_at(b, b->last_offset_delta + 1, timestamp_ms, key, value, headers, headers_count);
}

void batch_builder_copy(struct batch_builder *b, int32_t offset_delta, const struct record *record)
{
    uint8_t *p = record_write(b, offset_delta, record->timestamp_ms, record->key, record->value, record->headers.len,
                              record->headers_count);
    if (p && record->headers.len) memcpy(p, record->headers.ptr, record->headers.len);
}

int batch_builder_finish(struct batch_builder *b, const struct batch_fields *fields, struct slice *ret_batch)
{
    struct bytes *batch = &b->bytes;
    if (batch->failed) return -ENOMEM;
    if (b->records_count == 0) {
        bytes_reset(batch);
        if (!bytes_room(batch, RECORD_BATCH_HEADER_BYTES)) return -ENOMEM;
        batch->len = RECORD_BATCH_HEADER_BYTES;
    }
    enum compression_codec codec = b->records_count ? fields->codec : COMPRESSION_NONE;
    if (codec != COMPRESSION_NONE) {
        struct slice records =
            slice_make(batch->ptr + RECORD_BATCH_HEADER_BYTES, batch->len - RECORD_BATCH_HEADER_BYTES);
        batch = &b->packed;
        bytes_reset(batch);
        if (!bytes_room(batch, RECORD_BATCH_HEADER_BYTES)) return -ENOMEM;
        batch->len = RECORD_BATCH_HEADER_BYTES;
        int error = compress_append(codec, fields->level, records, batch);
        if (error) return error;
    }
    struct record_batch header = {
        .base_offset = fields->base_offset,
        .partition_leader_epoch = fields->partition_leader_epoch,
        .attributes = (uint16_t)((fields->attributes & ~RECORD_BATCH_CODEC_MASK) | codec),
        .last_offset_delta = b->last_offset_delta,
        .base_timestamp = b->base_timestamp_ms,
        .max_timestamp = b->max_timestamp_ms,
        .producer_id = fields->producer_id,
        .producer_epoch = fields->producer_epoch,
        .base_sequence = fields->base_sequence,
        .records_count = b->records_count,
    };
    record_batch_write_header(batch->ptr, batch->len, &header);
    *ret_batch = bytes_slice(batch);
    return 0;
}

int record_batch_rebuild(const struct record_batch *b, enum compression_codec codec, int32_t level,
                         uint32_t content_max, struct batch_builder *builder, struct slice *ret_batch)
{
    struct record_reader reader;
    struct record record;
    struct bytes scratch = {0};

    batch_builder_reset(builder);
    int r = record_reader_open(&reader, b, content_max, &scratch);
    if (r == 0) {
        while ((r = record_reader_next(&reader, &record)) > 0)
            batch_builder_copy(builder, builder->last_offset_delta + 1, &record);
    }
    bytes_done(&scratch);
    if (r < 0) return r;

    struct batch_fields fields = {
        .base_offset = b->base_offset,
        .partition_leader_epoch = b->partition_leader_epoch,
        .producer_id = b->producer_id,
        .producer_epoch = b->producer_epoch,
        .base_sequence = b->base_sequence,
        .attributes = b->attributes & (uint16_t)~RECORD_BATCH_DELETE_HORIZON, /* baseTimestamp is one again */
        .codec = codec,
        .level = level,
    };
    return batch_builder_finish(builder, &fields, ret_batch);
}
