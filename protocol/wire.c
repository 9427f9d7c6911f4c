/* protocol/wire.c: see wire.h. The writer fills a window of the chain's last part: a message of many small fields is
 * one part, and what is large enough is taken in as a slice instead of copied. */
#include "protocol/wire.h"

#define WINDOW_BYTES     256 /* first window; a typical answer fits one or two */
#define WINDOW_BYTES_MAX 16384
#define COPY_BYTES_MAX   512 /* up to here copying is cheaper than one more part in the chain */

/* ---- Reader ---- */

bool wire_fail(struct wire_reader *r, const char *error)
{
    if (!r->failed) {
        r->failed = true;
        r->error = error;
    }
    r->p = r->end;
    return false;
}

double wire_get_float64(struct wire_reader *r)
{
    int64_t bits = wire_get_int64(r);
    double v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

struct uuid wire_get_uuid(struct wire_reader *r)
{
    struct uuid u = {{0}};

    if (wire_left(r) < sizeof u.bytes) {
        wire_fail(r, "message is cut short");
        return u;
    }
    memcpy(u.bytes, r->p, sizeof u.bytes);
    r->p += sizeof u.bytes;
    return u;
}

uint32_t wire_get_uvarint(struct wire_reader *r)
{
    uint32_t v = 0;
    int n = uvarint_read(r->p, r->end, &v);

    if (!n) {
        wire_fail(r, "variable-length integer is cut short or too long");
        return 0;
    }
    r->p += n;
    return v;
}

int32_t wire_get_varint(struct wire_reader *r)
{
    uint32_t u = wire_get_uvarint(r);

    return (int32_t)((u >> 1) ^ (0u - (u & 1)));
}

/* -1: null. The lengths of a failed reader are 0, never null, so that one failure does not look like two. */
static int64_t length_read(struct wire_reader *r, bool flexible, bool is_string)
{
    if (flexible) return (int64_t)wire_get_uvarint(r) - (r->failed ? 0 : 1);
    return is_string ? wire_get_int16(r) : wire_get_int32(r);
}

static struct slice slice_read(struct wire_reader *r, int64_t length, bool nullable)
{
    if (length == -1) {
        if (!nullable) wire_fail(r, "null where null is not allowed");
        return SLICE_NULL;
    }
    if (length < 0 || (uint64_t)length > wire_left(r)) {
        wire_fail(r, length < 0 ? "negative length" : "length beyond the end of the message");
        return SLICE_NULL;
    }
    struct slice s = length ? slice_make(r->p, (uint32_t)length) : SLICE_EMPTY;
    r->p += length;
    return s;
}

struct slice wire_get_string(struct wire_reader *r, bool flexible, bool nullable)
{
    int64_t length = length_read(r, flexible, true);

    if (length > WIRE_STRING_MAX) {
        wire_fail(r, "string is too long");
        return SLICE_NULL;
    }
    return slice_read(r, length, nullable);
}

struct slice wire_get_bytes(struct wire_reader *r, bool flexible, bool nullable)
{
    return slice_read(r, length_read(r, flexible, false), nullable);
}

struct wire_records wire_get_records(struct wire_reader *r, bool flexible, bool nullable)
{
    return (struct wire_records){.slice = wire_get_bytes(r, flexible, nullable)};
}

void *wire_get_array(struct wire_reader *r, bool flexible, bool nullable, uint32_t element_min, size_t element_size,
                     int32_t *ret_count)
{
    int64_t count = length_read(r, flexible, false);

    *ret_count = 0;
    if (count == -1) {
        if (nullable) *ret_count = -1;
        else wire_fail(r, "null where null is not allowed");
        return NULL;
    }
    if (count < 0 || (uint64_t)count > wire_left(r) / element_min) {
        wire_fail(r, count < 0 ? "negative array count" : "array count beyond the end of the message");
        return NULL;
    }
    if (!count) return NULL;
    void *elements = wire_take(r, (size_t)count * element_size);
    if (elements) *ret_count = (int32_t)count;
    return elements;
}

bool wire_get_present(struct wire_reader *r)
{
    return wire_get_int8(r) > 0;
}

void *wire_take(struct wire_reader *r, size_t size)
{
    void *p = arena_alloc(r->arena, size);
    if (!p) wire_fail(r, "message needs more memory than a request may take");
    return p;
}

struct wire_tags wire_tags_begin(struct wire_reader *r)
{
    return (struct wire_tags){.left = wire_get_uvarint(r)};
}

bool wire_tags_next(struct wire_reader *r, struct wire_tags *t)
{
    if (t->value.failed) return wire_fail(r, t->value.error);
    if (t->value.p != t->value.end) return wire_fail(r, "tagged field is longer than its value");
    if (!t->left) return false;
    t->left--;

    uint32_t tag = wire_get_uvarint(r), size = wire_get_uvarint(r);
    if (r->failed) return false;
    if (size > wire_left(r)) return wire_fail(r, "tagged field beyond the end of the message");
    t->tag = tag;
    t->value = (struct wire_reader){.p = r->p, .end = r->p + size, .arena = r->arena};
    r->p += size;
    return true;
}

void wire_tags_skip(struct wire_reader *r)
{
    for (struct wire_tags t = wire_tags_begin(r); wire_tags_next(r, &t);) wire_tag_skip(&t);
}

/* ---- Writer ---- */

void wire_writer_init(struct wire_writer *w, struct buf *buf)
{
    w->buf = buf;
    w->p = w->end = NULL;
    w->failed = buf->failed;
}

/* Ends the window, so that the chain may be continued by other means. */
static void window_close(struct wire_writer *w)
{
    if (w->p && !w->failed) buf_unreserve(w->buf, (uint32_t)(w->end - w->p));
    w->p = w->end = NULL;
}

static void window_open(struct wire_writer *w, uint32_t size)
{
    uint64_t grown = MIN(MAX(w->buf->size, WINDOW_BYTES), WINDOW_BYTES_MAX);

    window_close(w);
    size = MAX(size, (uint32_t)grown);
    w->p = buf_reserve(w->buf, size);
    if (w->p) w->end = w->p + size;
    else w->failed = true;
}

bool wire_writer_done(struct wire_writer *w)
{
    window_close(w);
    return !w->failed && !w->buf->failed;
}

void wire_writer_fail(struct wire_writer *w)
{
    window_close(w);
    w->failed = true;
}

uint8_t *wire_room_slow(struct wire_writer *w, uint32_t size)
{
    assert(size <= sizeof w->spill);
    if (!w->failed) window_open(w, size);
    if (w->failed) return w->spill;
    uint8_t *p = w->p;
    w->p += size;
    return p;
}

void wire_put_float64(struct wire_writer *w, double v)
{
    int64_t bits;

    memcpy(&bits, &v, sizeof bits);
    wire_put_int64(w, bits);
}

void wire_put_uuid(struct wire_writer *w, struct uuid v)
{
    memcpy(wire_room(w, sizeof v.bytes), v.bytes, sizeof v.bytes);
}

void wire_put_uvarint(struct wire_writer *w, uint32_t v)
{
    uint8_t bytes[VARINT_BYTES_MAX];
    int n = uvarint_write(bytes, v);

    memcpy(wire_room(w, (uint32_t)n), bytes, (size_t)n);
}

void wire_put_varint(struct wire_writer *w, int32_t v)
{
    wire_put_uvarint(w, ((uint32_t)v << 1) ^ (uint32_t)(v >> 31));
}

void wire_put_raw(struct wire_writer *w, const void *bytes, uint32_t size)
{
    if (!size) return;
    if ((size_t)(w->end - w->p) < size) {
        if (!w->failed) window_open(w, size);
        if (w->failed) return;
    }
    memcpy(w->p, bytes, size);
    w->p += size;
}

static void length_write(struct wire_writer *w, int64_t length, bool flexible, bool is_string)
{
    if (flexible) wire_put_uvarint(w, (uint32_t)(length + 1));
    else if (is_string) wire_put_int16(w, (int16_t)length);
    else wire_put_int32(w, (int32_t)length);
}

void wire_put_string(struct wire_writer *w, struct slice s, bool flexible, bool nullable)
{
    if (s.len > WIRE_STRING_MAX) {
        wire_writer_fail(w);
        return;
    }
    length_write(w, !s.ptr && nullable ? -1 : (int64_t)s.len, flexible, true);
    wire_put_raw(w, s.ptr, s.len);
}

void wire_put_bytes(struct wire_writer *w, struct slice s, bool flexible, bool nullable)
{
    if (s.len > INT32_MAX) {
        wire_writer_fail(w);
        return;
    }
    length_write(w, !s.ptr && nullable ? -1 : (int64_t)s.len, flexible, false);
    wire_put_raw(w, s.ptr, s.len);
}

void wire_put_records(struct wire_writer *w, const struct wire_records *records, bool flexible, bool nullable)
{
    uint32_t size = wire_records_size(records);

    if (!records->file && (!records->block || size <= COPY_BYTES_MAX)) {
        wire_put_bytes(w, records->slice, flexible, nullable);
        return;
    }
    if (size > INT32_MAX) {
        wire_writer_fail(w);
        return;
    }
    length_write(w, size, flexible, false);
    if (w->failed) return;
    window_close(w);
    if (records->file) buf_append_file(w->buf, records->file, records->position, records->length);
    else buf_append_slice(w->buf, records->slice, records->block);
}

int32_t wire_put_count(struct wire_writer *w, int32_t count, bool flexible, bool nullable)
{
    length_write(w, count < 0 ? (nullable ? -1 : 0) : count, flexible, false);
    return MAX(count, 0);
}

struct wire_writer *wire_tagged_begin(struct wire_tagged *t)
{
    buf_init(&t->buf);
    wire_writer_init(&t->w, &t->buf);
    return &t->w;
}

void wire_tagged_end(struct wire_writer *w, uint32_t tag, struct wire_tagged *t)
{
    if (!wire_writer_done(&t->w)) {
        wire_writer_fail(w);
    } else {
        wire_put_uvarint(w, tag);
        wire_put_uvarint(w, (uint32_t)t->buf.size);
        for (uint32_t i = t->buf.first; i < t->buf.parts_count; i++) {
            assert(t->buf.parts[i].type == BUF_BYTES);
            wire_put_raw(w, t->buf.parts[i].ptr, (uint32_t)t->buf.parts[i].length);
        }
    }
    buf_done(&t->buf);
}
