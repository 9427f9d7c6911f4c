#include "tests/lib/record_check.h"

#include "base/crc32c.h"
#include "base/murmur2.h"
#include "base/uuid.h"
#include "base/varint.h"
#include "protocol/batch_builder.h"
#include "protocol/record_legacy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <zlib.h>

#define CONTENT_MAX (16u << 20)

struct check {
    struct bytes scratch;
    char *why;
    size_t why_size;
};

static bool differs(struct check *c, const char *format, ...) PRINTF_LIKE(2, 3);
static bool differs(struct check *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(c->why, c->why_size, format, args);
    va_end(args);
    return false;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Exactly as long as the bytes, so that a sanitizer sees a read behind them. NULL: no hex. */
static uint8_t *hex_decode(const char *hex, uint32_t *ret_len)
{
    size_t len = strlen(hex) / 2;
    uint8_t *bytes = xmalloc(len ? len : 1);
    for (size_t i = 0; i < len; i++) {
        int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0) return free(bytes), NULL;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    *ret_len = (uint32_t)len;
    return bytes;
}

static bool same_int(struct check *c, const json_t *object, const char *name, int64_t ours)
{
    const json_t *j = json_object_get(object, name);
    if (!json_is_integer(j)) return differs(c, "%s is not in the line", name);
    return json_integer_value(j) == ours ||
           differs(c, "%s is %lld, not %" PRId64, name, (long long)json_integer_value(j), ours);
}

static bool same_bool(struct check *c, const json_t *object, const char *name, bool ours)
{
    return json_is_true(json_object_get(object, name)) == ours || differs(c, "%s is not %d", name, ours);
}

static bool same_text(struct check *c, const json_t *object, const char *name, const char *ours)
{
    const char *theirs = json_string_value(json_object_get(object, name));
    if (!theirs || !ours) return differs(c, "%s is missing", name);
    return strcmp(theirs, ours) == 0 || differs(c, "%s is %s, not %s", name, theirs, ours);
}

static bool same_bytes(struct check *c, const json_t *object, const char *name, struct slice ours)
{
    const char *hex = json_string_value(json_object_get(object, name));
    if (!hex || !ours.ptr) return (!hex && !ours.ptr) || differs(c, "%s: one of both is null", name);
    uint32_t len = 0;
    uint8_t *theirs = hex_decode(hex, &len);
    bool same = theirs && slice_eq(slice_make(theirs, len), ours);
    free(theirs);
    return same || differs(c, "%s is not %s", name, hex);
}

static bool same_headers(struct check *c, const json_t *line, const struct record *r)
{
    const json_t *headers = json_object_get(line, "headers");
    struct slice rest = r->headers;
    if ((size_t)r->headers_count != json_array_size(headers)) return differs(c, "%d headers", r->headers_count);
    for (size_t i = 0; i < json_array_size(headers); i++) {
        const json_t *j = json_array_get(headers, i);
        struct record_header header;
        if (!record_header_next(&rest, &header)) return differs(c, "header %zu is missing", i);
        const json_t *key = json_object_get(j, "key");
        if (!slice_eq(header.key, slice_make(json_string_value(key), (uint32_t)json_string_length(key))))
            return differs(c, "the key of header %zu", i);
        if (!same_bytes(c, j, "value", header.value)) return false;
    }
    return true;
}

static bool same_record(struct check *c, const json_t *line, const struct record *r)
{
    return same_int(c, line, "offset", r->offset) && same_int(c, line, "timestamp", r->timestamp_ms) &&
           same_bytes(c, line, "key", r->key) && same_bytes(c, line, "value", r->value) && same_headers(c, line, r);
}

/* The fields that only batches of magic 2 have. */
static bool same_v2_header(struct check *c, const json_t *line, const struct record_batch *b)
{
    return same_int(c, line, "partitionLeaderEpoch", b->partition_leader_epoch) &&
           same_int(c, line, "baseTimestamp", b->base_timestamp) && same_int(c, line, "producerId", b->producer_id) &&
           same_int(c, line, "producerEpoch", b->producer_epoch) &&
           same_int(c, line, "baseSequence", b->base_sequence) &&
           same_int(c, line, "lastSequence", record_batch_last_sequence(b)) &&
           same_bool(c, line, "transactional", record_batch_is_transactional(b)) &&
           same_bool(c, line, "control", record_batch_is_control(b)) && same_int(c, line, "count", b->records_count) &&
           (!json_object_get(line, "deleteHorizonMs") ||
            (record_batch_has_delete_horizon(b) && same_int(c, line, "deleteHorizonMs", b->base_timestamp))) &&
           (json_object_get(line, "deleteHorizonMs") || !record_batch_has_delete_horizon(b));
}

static bool same_v2_record(struct check *c, const json_t *line, const struct record_batch *b, const struct record *r)
{
    int32_t sequence = b->base_sequence < 0 ? -1 : record_sequence_add(b->base_sequence, r->offset_delta);
    if (!same_record(c, line, r) || !same_int(c, line, "sequence", sequence)) return false;
    if (!record_batch_is_control(b)) return true;
    if (r->key.len < 4 || r->value.len < 6) return differs(c, "control record too short");
    return same_text(c, line, "controlType", be16_load(r->key.ptr + 2) ? "COMMIT" : "ABORT") &&
           same_int(c, line, "coordinatorEpoch", (int32_t)be32_load(r->value.ptr + 2));
}

/* Our builder and Java's client must write the same bytes for the same records. */
static bool same_when_built(struct check *c, const struct record_batch *b)
{
    struct batch_builder builder;
    struct record_reader reader;
    struct record record;
    struct slice built = SLICE_NULL;
    if (record_batch_codec(b) != COMPRESSION_NONE || b->records_count == 0 || record_batch_is_log_append_time(b) ||
        record_batch_has_delete_horizon(b))
        return true;
    batch_builder_init(&builder);
    int r = record_reader_open(&reader, b, CONTENT_MAX, &c->scratch);
    while (r >= 0 && (r = record_reader_next(&reader, &record)) > 0)
        batch_builder_copy(&builder, record.offset_delta, &record);
    builder.last_offset_delta = b->last_offset_delta;
    struct batch_fields fields = {b->base_offset,   b->partition_leader_epoch,
                                  b->producer_id,   b->producer_epoch,
                                  b->base_sequence, b->attributes,
                                  COMPRESSION_NONE, 0};
    bool same = batch_builder_finish(&builder, &fields, &built) == 0 && slice_eq(built, b->bytes);
    batch_builder_done(&builder);
    return same || differs(c, "built again, the batch has other bytes");
}

static bool same_v2_batch(struct check *c, const json_t *line, const struct record_batch *b)
{
    const json_t *records = json_object_get(line, "records");
    struct record_reader reader;
    struct record record;
    if (!record_batch_crc_ok(b)) return differs(c, "wrong CRC");
    if (!same_int(c, line, "baseOffset", b->base_offset) ||
        !same_int(c, line, "lastOffset", record_batch_last_offset(b)) ||
        !same_int(c, line, "nextOffset", record_batch_next_offset(b)) ||
        !same_int(c, line, "sizeInBytes", b->bytes.len) || !same_int(c, line, "magic", RECORD_BATCH_MAGIC) ||
        !same_int(c, line, "checksum", b->crc) ||
        !same_text(c, line, "compression", compression_name((int)record_batch_codec(b))) ||
        !same_text(c, line, "timestampType", record_batch_is_log_append_time(b) ? "LogAppendTime" : "CreateTime") ||
        !same_int(c, line, "maxTimestamp", b->max_timestamp) || !same_v2_header(c, line, b))
        return false;
    int r = record_reader_open(&reader, b, CONTENT_MAX, &c->scratch);
    for (size_t i = 0; r >= 0 && (r = record_reader_next(&reader, &record)) > 0; i++)
        if (!same_v2_record(c, json_array_get(records, i), b, &record)) return false;
    if (r < 0) return differs(c, "the records cannot be read: %d", r);
    if ((size_t)b->records_count != json_array_size(records)) return differs(c, "count of records");
    return same_when_built(c, b);
}

static bool same_legacy_batch(struct check *c, const json_t *line, const struct message *m)
{
    const json_t *records = json_object_get(line, "records");
    struct message_reader reader;
    struct record record = {.offset = -1};
    const char *type = m->magic == 0                   ? "NoTimestampType"
                       : message_is_log_append_time(m) ? "LogAppendTime"
                                                       : "CreateTime";
    if (!message_crc_ok(m)) return differs(c, "wrong CRC");
    if (!same_int(c, line, "lastOffset", m->offset) || !same_int(c, line, "nextOffset", m->offset + 1) ||
        !same_int(c, line, "sizeInBytes", m->bytes.len) || !same_int(c, line, "magic", m->magic) ||
        !same_int(c, line, "checksum", m->crc) ||
        !same_text(c, line, "compression", compression_name((int)message_codec(m))) ||
        !same_text(c, line, "timestampType", type) || !same_int(c, line, "maxTimestamp", m->timestamp_ms))
        return false;
    int r = message_reader_open(&reader, m, CONTENT_MAX, &c->scratch);
    size_t count = 0;
    for (; r >= 0 && (r = message_reader_next(&reader, &record)) > 0; count++) {
        if (count == 0 && !same_int(c, line, "baseOffset", record.offset)) return false;
        if (!same_record(c, json_array_get(records, count), &record)) return false;
    }
    if (r < 0) return differs(c, "the records cannot be read: %d", r);
    return count == json_array_size(records) || differs(c, "count of records");
}

static bool same_batches(struct check *c, const json_t *line, struct slice bytes)
{
    const json_t *batches = json_object_get(line, "batches");
    struct slice rest = bytes;
    for (size_t i = 0; i < json_array_size(batches); i++) {
        const json_t *expected = json_array_get(batches, i);
        struct record_batch b;
        struct message m;
        enum record_batch_result result = record_batch_next(&rest, &b);
        bool same = false;
        if (result == RECORD_BATCH_OK) same = same_v2_batch(c, expected, &b);
        else if (result == RECORD_BATCH_LEGACY && (result = message_next(&rest, &m)) == RECORD_BATCH_OK)
            same = same_legacy_batch(c, expected, &m);
        else return differs(c, "batch %zu cannot be parsed: %d", i, (int)result);
        if (!same) return false;
    }
    return rest.len == 0 || differs(c, "%u bytes are left", rest.len);
}

/* The lines with a note: 100 records made by a rule. */
static bool same_by_rule(struct check *c, struct slice bytes)
{
    struct record_batch b;
    struct record_reader reader;
    struct record record;
    if (record_batch_parse(bytes, &b) != RECORD_BATCH_OK || !record_batch_crc_ok(&b)) return differs(c, "damaged");
    if (record_reader_open(&reader, &b, CONTENT_MAX, &c->scratch) != 0) return differs(c, "cannot be decompressed");
    for (int i = 0; i < 100; i++) {
        char key[16];
        uint8_t value[1024];
        snprintf(key, sizeof key, "key-%d", i);
        for (int j = 0; j < 1024; j++) value[j] = (uint8_t)(j <= i ? 'a' + j % 26 : 'x');
        if (record_reader_next(&reader, &record) != 1) return differs(c, "record %d cannot be read", i);
        if (!slice_eq_text(record.key, key) || !slice_eq(record.value, slice_make(value, sizeof value)) ||
            record.timestamp_ms != 1700000208020 + i)
            return differs(c, "record %d", i);
    }
    return record_reader_next(&reader, &record) == 0 || differs(c, "more than 100 records");
}

/* Reads like a consumer. Returns how many records there are before the end or a partial tail; -1: damaged. */
static int records_count(struct check *c, struct slice rest)
{
    int count = 0;
    for (;;) {
        struct record_batch b;
        struct message m;
        struct record record;
        enum record_batch_result result = record_batch_next(&rest, &b);
        int r = 0;
        if (result == RECORD_BATCH_OK) {
            struct record_reader reader;
            if (!record_batch_crc_ok(&b)) return -1;
            r = record_reader_open(&reader, &b, CONTENT_MAX, &c->scratch);
            while (r >= 0 && (r = record_reader_next(&reader, &record)) > 0) count++;
        } else if (result == RECORD_BATCH_LEGACY && (result = message_next(&rest, &m)) == RECORD_BATCH_OK) {
            struct message_reader reader;
            if (!message_crc_ok(&m)) return -1;
            r = message_reader_open(&reader, &m, CONTENT_MAX, &c->scratch);
            while (r >= 0 && (r = message_reader_next(&reader, &record)) > 0) count++;
        }
        if (r < 0) return -1;
        if (result == RECORD_BATCH_END || result == RECORD_BATCH_PARTIAL) return count;
        if (result != RECORD_BATCH_OK) return -1;
    }
}

static bool same_damage(struct check *c, const json_t *line, struct slice bytes)
{
    const char *java = json_string_value(json_object_get(line, "javaResult"));
    int expected = -1, ours = records_count(c, bytes);
    if (!java) return differs(c, "javaResult is missing");
    if (strncmp(java, "no exception", 12) == 0 && sscanf(java, "no exception, records=%d", &expected) != 1)
        return differs(c, "javaResult is not understood");
    return ours == expected || differs(c, "read %d records (-1: damaged), Java: %s", ours, java);
}

bool record_line_check(const json_t *line, char *ret_why, size_t why_size)
{
    struct check c = {.why = ret_why, .why_size = why_size};
    const char *hex = json_string_value(json_object_get(line, "hex"));
    uint32_t len;
    uint8_t *copy = hex ? hex_decode(hex, &len) : NULL;
    if (!copy) return differs(&c, "no hex");
    struct slice bytes = slice_make(copy, len);
    bool same = same_int(&c, line, "sizeInBytes", len);
    if (same && json_is_false(json_object_get(line, "valid"))) same = same_damage(&c, line, bytes);
    else if (same && json_object_get(line, "batches")) same = same_batches(&c, line, bytes);
    else if (same) same = same_by_rule(&c, bytes);
    free(copy);
    bytes_done(&c.scratch);
    return same;
}

/* -- primitives -- */

static bool same_integer(struct check *c, const char *value, struct slice bytes, const char *kind)
{
    const uint8_t *end = bytes.ptr + bytes.len;
    uint8_t written[VARLONG_BYTES_MAX];
    char ours[32];
    int read = 0, size = 0;
    int64_t signed_value = 0;
    uint32_t unsigned_value = 0;
    int32_t short_value = 0;
    if (strcmp(kind, "varint") == 0) {
        read = varint_read(bytes.ptr, end, &short_value);
        signed_value = short_value;
        size = varint_write(written, short_value);
    } else if (strcmp(kind, "varlong") == 0) {
        read = varlong_read(bytes.ptr, end, &signed_value);
        size = varlong_write(written, signed_value);
    } else {
        read = uvarint_read(bytes.ptr, end, &unsigned_value);
        signed_value = unsigned_value;
        size = uvarint_write(written, unsigned_value);
    }
    snprintf(ours, sizeof ours, "%" PRId64, signed_value);
    if (read != (int)bytes.len || strcmp(ours, value) != 0) return differs(c, "read as %s", ours);
    return slice_eq(bytes, slice_make(written, (uint32_t)size)) || differs(c, "written with other bytes");
}

static bool same_uvarint_read(struct check *c, const char *value, struct slice bytes)
{
    uint32_t ours;
    char text[32];
    if (!uvarint_read(bytes.ptr, bytes.ptr + bytes.len, &ours))
        return strstr(value, "Exception") || differs(c, "refused; Java: %s", value);
    snprintf(text, sizeof text, "value %" PRIu32, ours);
    return strcmp(text, value) == 0 || differs(c, "read as %s", text);
}

static bool same_uuid(struct check *c, const char *value, struct slice bytes)
{
    struct uuid ours, parsed;
    char text[UUID_TEXT_SIZE];
    if (bytes.len != sizeof ours.bytes) return differs(c, "not 16 bytes");
    memcpy(ours.bytes, bytes.ptr, sizeof ours.bytes);
    uuid_format(ours, text);
    if (strcmp(text, value) != 0) return differs(c, "written as %s", text);
    return (uuid_parse(value, &parsed) && uuid_eq(parsed, ours)) || differs(c, "the text is read as other bytes");
}

bool primitive_line_check(const json_t *line, char *ret_why, size_t why_size)
{
    struct check c = {.why = ret_why, .why_size = why_size};
    const char *kind = json_string_value(json_object_get(line, "kind"));
    const char *value = json_string_value(json_object_get(line, "value"));
    const char *hex = json_string_value(json_object_get(line, "hex"));
    uint32_t len;
    uint8_t *copy = hex ? hex_decode(hex, &len) : NULL;
    if (!kind || !value || !copy) return free(copy), differs(&c, "kind, value or hex is missing");
    struct slice bytes = slice_make(copy, len);
    char ours[64];
    bool same;
    if (strcmp(kind, "varint") == 0 || strcmp(kind, "varlong") == 0 || strcmp(kind, "uvarint") == 0) {
        same = same_integer(&c, value, bytes, kind);
    } else if (strcmp(kind, "uvarint-read") == 0) {
        same = same_uvarint_read(&c, value, bytes);
    } else if (strcmp(kind, "uuid") == 0) {
        same = same_uuid(&c, value, bytes);
    } else {
        ours[0] = '\0';
        if (strcmp(kind, "crc32c") == 0) snprintf(ours, sizeof ours, "%" PRIu32, crc32c(0, copy, len));
        if (strcmp(kind, "crc32") == 0) snprintf(ours, sizeof ours, "%lu", crc32(0, copy, len));
        if (strcmp(kind, "murmur2") == 0)
            snprintf(ours, sizeof ours, "%" PRId32 " toPositive %" PRId32, murmur2(bytes), murmur2(bytes) & INT32_MAX);
        same = strcmp(ours, value) == 0 || differs(&c, "%s is %s, not %s", kind, value, ours);
    }
    free(copy);
    return same;
}
