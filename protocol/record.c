/* protocol/record.c: see record.h. Every length is checked against the bytes of its record, and that against the
 * batch. */
#include "protocol/record.h"

#include "base/varint.h"

#include <errno.h>

#define RECORD_SIZE_MIN 6 /* attributes, deltas, two lengths and the count of headers, one byte each */

/* Takes `length varint | bytes` off *p; -1 is null where null_allowed. */
static bool field_read(const uint8_t **p, const uint8_t *end, bool null_allowed, struct slice *ret_field)
{
    int32_t length;
    int n = varint_read(*p, end, &length);
    if (!n) return false;
    *p += n;
    if (length < 0) {
        *ret_field = SLICE_NULL;
        return null_allowed && length == -1;
    }
    if (length > end - *p) return false;
    *ret_field = slice_make(*p, (uint32_t)length);
    *p += length;
    return true;
}

static bool header_read(const uint8_t **p, const uint8_t *end, struct record_header *ret_header)
{
    return field_read(p, end, false, &ret_header->key) && field_read(p, end, true, &ret_header->value);
}

bool record_header_next(struct slice *rest, struct record_header *ret_header)
{
    const uint8_t *p = rest->ptr, *end = rest->ptr + rest->len;
    if (!rest->len || !header_read(&p, end, ret_header)) return false;
    *rest = slice_make(p, (uint32_t)(end - p));
    return true;
}

int record_reader_open(struct record_reader *r, const struct record_batch *b, uint32_t content_max,
                       struct bytes *scratch)
{
    struct slice records = b->records;
    enum compression_codec codec = record_batch_codec(b);
    if (b->records_count < 0 || codec >= COMPRESSION_CODECS) return -EBADMSG;
    if (codec != COMPRESSION_NONE && b->records_count > 0) {
        bytes_reset(scratch);
        int error = decompress_append(codec, records, content_max, scratch);
        if (error) return error;
        records = bytes_slice(scratch);
    }
    *r = (struct record_reader){
        .p = records.ptr,
        .end = records.ptr + records.len,
        .base_offset = b->base_offset,
        .base_timestamp_ms = b->base_timestamp,
        .append_time_ms = b->max_timestamp,
        .log_append_time = record_batch_is_log_append_time(b),
        .left = b->records_count,
    };
    return 0;
}

int record_reader_next(struct record_reader *r, struct record *ret_record)
{
    if (r->left == 0) return r->p == r->end ? 0 : -EBADMSG;

    int32_t length;
    const uint8_t *p = r->p;
    int n = varint_read(p, r->end, &length);
    if (!n) return -EBADMSG;
    p += n;
    if (length < RECORD_SIZE_MIN || length > r->end - p) return -EBADMSG;

    const uint8_t *end = p + length;
    int64_t timestamp_delta;
    struct record record;
    p++; /* attributes: none is in use */
    n = varlong_read(p, end, &timestamp_delta);
    if (!n) return -EBADMSG;
    p += n;
    n = varint_read(p, end, &record.offset_delta);
    if (!n) return -EBADMSG;
    p += n;
    if (!field_read(&p, end, true, &record.key) || !field_read(&p, end, true, &record.value)) return -EBADMSG;
    n = varint_read(p, end, &record.headers_count);
    if (!n || record.headers_count < 0) return -EBADMSG;
    p += n;
    record.headers = slice_make(p, (uint32_t)(end - p));
    for (int32_t i = 0; i < record.headers_count; i++) {
        struct record_header header;
        if (!header_read(&p, end, &header)) return -EBADMSG;
    }
    if (p != end) return -EBADMSG;

    record.offset = (int64_t)((uint64_t)r->base_offset + (uint64_t)(int64_t)record.offset_delta);
    record.timestamp_ms =
        r->log_append_time ? r->append_time_ms : (int64_t)((uint64_t)r->base_timestamp_ms + (uint64_t)timestamp_delta);
    r->p = end;
    r->left--;
    *ret_record = record;
    return 1;
}
