/* protocol/record_legacy.c: see record_legacy.h: one message, then the messages inside a compressed one. */
#include "protocol/record_legacy.h"

#include <errno.h>
#include <zlib.h>

#define MESSAGE_LENGTH_OFFSET 12 /* messageSize counts from here [bytes] */
#define MESSAGE_AT_CRC        12
#define MESSAGE_AT_MAGIC      16
#define MESSAGE_AT_ATTRIBUTES 17
#define MESSAGE_AT_TIMESTAMP  18
#define MESSAGE_BYTES_MIN_V0  14 /* crc, magic, attributes, two lengths */
#define MESSAGE_BYTES_MIN_V1  22

/* Takes `length int32 | bytes` off *p; -1 is null. */
static bool field_read(const uint8_t **p, const uint8_t *end, struct slice *ret_field)
{
    if (end - *p < 4) return false;
    int32_t length = (int32_t)be32_load(*p);
    *p += 4;
    if (length < -1 || length > end - *p) return false;
    *ret_field = length < 0 ? SLICE_NULL : slice_make(*p, (uint32_t)length);
    if (length > 0) *p += length;
    return true;
}

enum record_batch_result message_next(struct slice *rest, struct message *ret_message)
{
    if (rest->len == 0) return RECORD_BATCH_END;
    if (rest->len < MESSAGE_LENGTH_OFFSET) return RECORD_BATCH_PARTIAL;
    const uint8_t *p = rest->ptr;
    int32_t size = (int32_t)be32_load(p + MESSAGE_LENGTH_OFFSET - 4);
    if (size < MESSAGE_BYTES_MIN_V0) return RECORD_BATCH_BAD_LENGTH;
    if ((uint32_t)size > rest->len - MESSAGE_LENGTH_OFFSET) return RECORD_BATCH_PARTIAL;

    const uint8_t *end = p + MESSAGE_LENGTH_OFFSET + size;
    struct message m = {
        .bytes = slice_make(p, (uint32_t)size + MESSAGE_LENGTH_OFFSET),
        .offset = (int64_t)be64_load(p),
        .crc = be32_load(p + MESSAGE_AT_CRC),
        .magic = (int8_t)p[MESSAGE_AT_MAGIC],
        .attributes = p[MESSAGE_AT_ATTRIBUTES],
        .timestamp_ms = MESSAGE_NO_TIMESTAMP,
    };
    if (m.magic != 0 && m.magic != 1) return RECORD_BATCH_BAD_MAGIC;
    p += MESSAGE_AT_TIMESTAMP;
    if (m.magic == 1) {
        if (size < MESSAGE_BYTES_MIN_V1) return RECORD_BATCH_BAD_LENGTH;
        m.timestamp_ms = (int64_t)be64_load(p);
        p += 8;
    }
    if (!field_read(&p, end, &m.key) || !field_read(&p, end, &m.value) || p != end) return RECORD_BATCH_BAD_LENGTH;
    *rest = slice_make(end, rest->len - m.bytes.len);
    *ret_message = m;
    return RECORD_BATCH_OK;
}

bool message_crc_ok(const struct message *m)
{
    uLong crc = crc32(0, m->bytes.ptr + MESSAGE_AT_MAGIC, m->bytes.len - MESSAGE_AT_MAGIC);
    return (uint32_t)crc == m->crc;
}

static int content_open(const struct message *m, uint32_t content_max, struct bytes *scratch)
{
    bytes_reset(scratch);
    if (m->magic == 0 && message_codec(m) == COMPRESSION_LZ4)
        return decompress_append_lz4_magic0(m->value, content_max, scratch);
    return decompress_append(message_codec(m), m->value, content_max, scratch);
}

int message_reader_open(struct message_reader *r, const struct message *m, uint32_t content_max, struct bytes *scratch)
{
    struct message_reader reader = {.outer = *m, .wrapped = message_codec(m) != COMPRESSION_NONE};
    if (!reader.wrapped) {
        reader.rest = m->bytes;
        *r = reader;
        return 0;
    }
    /* No message set in Kafka's history was compressed with zstd. */
    if (message_codec(m) >= COMPRESSION_ZSTD || slice_is_null(m->value)) return -EBADMSG;
    int error = content_open(m, content_max, scratch);
    if (error) return error;
    reader.rest = bytes_slice(scratch);

    if (m->magic == 1) {
        /* The wrapper has the last offset: only who has seen the last message inside knows the first one's. */
        struct slice rest = reader.rest;
        struct message inner = {.offset = -1};
        enum record_batch_result result;
        while ((result = message_next(&rest, &inner)) == RECORD_BATCH_OK) {}
        if (result != RECORD_BATCH_END || inner.offset < 0) return -EBADMSG;
        reader.base_offset = (int64_t)((uint64_t)m->offset - (uint64_t)inner.offset);
    }
    *r = reader;
    return 0;
}

int message_reader_next(struct message_reader *r, struct record *ret_record)
{
    struct message m;
    enum record_batch_result result = message_next(&r->rest, &m);
    if (result == RECORD_BATCH_END) return 0;
    if (result != RECORD_BATCH_OK || m.magic != r->outer.magic) return -EBADMSG;
    if (r->wrapped && message_codec(&m) != COMPRESSION_NONE) return -EBADMSG;

    *ret_record = (struct record){
        .offset = (int64_t)((uint64_t)r->base_offset + (uint64_t)m.offset),
        .timestamp_ms = message_is_log_append_time(&r->outer) ? r->outer.timestamp_ms : m.timestamp_ms,
        .key = m.key,
        .value = m.value,
        .headers = SLICE_EMPTY,
    };
    return 1;
}
