/* protocol/wire.h: the primitive types of the Kafka protocol: a reader over bytes, a writer into an output chain.
 *
 * Source: Kafka protocol guide "Protocol Primitive Types"; KIP-482 for the compact ("flexible") forms and tagged
 * fields.
 *   - not flexible: string int16 length, bytes int32 length, array int32 count, each -1 for null
 *   - flexible: uvarint of length or count + 1, 0 for null; every struct ends with a section of tagged fields
 *
 * Invariants
 *   - A reader never reads at or beyond end, and takes from the arena no more than the remaining bytes can fill: a
 *     length or count is believed up to the bytes that are there. It fails sticky: from the first error on every
 *     getter gives zero, and the caller checks once.
 *   - Strings and bytes that were read point into the input; arrays lie in the arena.
 *   - A writer fails sticky too: memory was out, or a value does not fit the format (a string beyond 32767 bytes).
 * The generated messages (protocol/messages.h) are built on this; other code needs it for prefixes and blobs.
 * Threads: one at a time. */
#ifndef OTTLA_WIRE_H
#define OTTLA_WIRE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/uuid.h"
#include "base/varint.h"

#define WIRE_STRING_MAX 0x7fff /* [bytes], of the compact form too */

/* The value of a field of type `records`: whole record batches. Null: ptr and file are NULL; empty is not null.
 * Read: slice points into the input, the rest is zero.
 * Written, one of
 *   slice without block   copied into the output
 *   slice with block      the output points into it and takes a reference of its own on block
 *   file, with the range  [position, position + length) of it, likewise; the bytes are never touched */
struct wire_records {
    struct slice slice;
    struct block *block;
    struct file_ref *file;
    uint64_t position; /* [bytes] */
    uint32_t length;   /* [bytes] */
};

#define WIRE_RECORDS_EMPTY ((struct wire_records){.slice = SLICE_EMPTY})

static inline bool wire_records_is_null(const struct wire_records *r)
{
    return !r->slice.ptr && !r->file;
}
static inline uint32_t wire_records_size(const struct wire_records *r)
{
    return r->file ? r->length : r->slice.len;
}

/* ---- Reader ---- */

struct wire_reader {
    const uint8_t *p, *end;
    struct arena *arena; /* takes the arrays */
    bool failed;
    const char *error; /* static text: what the first failure was */
};

static inline struct wire_reader wire_reader_of(struct slice s, struct arena *arena)
{
    return (struct wire_reader){.p = s.ptr, .end = s.ptr ? s.ptr + s.len : s.ptr, .arena = arena};
}

static inline size_t wire_left(const struct wire_reader *r)
{
    return (size_t)(r->end - r->p);
}

/* Remembers the first error and leaves nothing to read. Returns false. */
bool wire_fail(struct wire_reader *r, const char *error);

#define WIRE_GET(name, type, size, load)                                                                               \
    static inline type wire_get_##name(struct wire_reader *r)                                                          \
    {                                                                                                                  \
        if (wire_left(r) < (size)) {                                                                                   \
            wire_fail(r, "message is cut short");                                                                      \
            return 0;                                                                                                  \
        }                                                                                                              \
        const uint8_t *p = r->p;                                                                                       \
        r->p += (size);                                                                                                \
        return (type)(load);                                                                                           \
    }
WIRE_GET(bool, bool, 1, p[0] != 0)
WIRE_GET(int8, int8_t, 1, p[0])
WIRE_GET(int16, int16_t, 2, be16_load(p))
WIRE_GET(int32, int32_t, 4, be32_load(p))
WIRE_GET(int64, int64_t, 8, be64_load(p))
WIRE_GET(uint16, uint16_t, 2, be16_load(p))
WIRE_GET(uint32, uint32_t, 4, be32_load(p))
WIRE_GET(error, int16_t, 2, be16_load(p))
#undef WIRE_GET

double wire_get_float64(struct wire_reader *r);
struct uuid wire_get_uuid(struct wire_reader *r);
uint32_t wire_get_uvarint(struct wire_reader *r);
int32_t wire_get_varint(struct wire_reader *r);

/* Null where it is not allowed fails. */
struct slice wire_get_string(struct wire_reader *r, bool flexible, bool nullable);
struct slice wire_get_bytes(struct wire_reader *r, bool flexible, bool nullable);
struct wire_records wire_get_records(struct wire_reader *r, bool flexible, bool nullable);

/* Reads the count of an array and takes room for its elements, not initialized. -1: null, where it is allowed.
 *   element_min   fewest bytes that an element takes on the wire, > 0
 *   ret_count     0 after a failure
 * NULL when there are none. */
void *wire_get_array(struct wire_reader *r, bool flexible, bool nullable, uint32_t element_min, size_t element_size,
                     int32_t *ret_count);
/* The byte before a nullable struct: 1 when the struct follows, -1 (in a tagged field 0) for null. */
bool wire_get_present(struct wire_reader *r);
/* Room for one struct; NULL: failed. */
void *wire_take(struct wire_reader *r, size_t size);

/* The tagged section: for (t = wire_tags_begin(r); wire_tags_next(r, &t);) reads t.value wholly, or wire_tag_skip(&t).
 * A value that is longer or shorter than its field fails. Tags should rise; as in Kafka, that is not checked, and of
 * two equal tags the last one counts. */
struct wire_tags {
    uint32_t left;
    uint32_t tag; /* of value */
    struct wire_reader value;
};

struct wire_tags wire_tags_begin(struct wire_reader *r);
bool wire_tags_next(struct wire_reader *r, struct wire_tags *t);
static inline void wire_tag_skip(struct wire_tags *t)
{
    t->value.p = t->value.end;
}
void wire_tags_skip(struct wire_reader *r);

/* ---- Writer ---- */

/* Fills windows of buf's own bytes; buf must not be touched between init and done. */
struct wire_writer {
    struct buf *buf;
    uint8_t *p, *end; /* free part of the window */
    bool failed;
    uint8_t spill[16]; /* takes what is written after a failure */
};

void wire_writer_init(struct wire_writer *w, struct buf *buf);
/* Gives what the window has left back to buf. False: something failed, and what was written is useless. */
bool wire_writer_done(struct wire_writer *w) WARN_UNUSED;

void wire_writer_fail(struct wire_writer *w);
uint8_t *wire_room_slow(struct wire_writer *w, uint32_t size);

/* size <= 16 bytes, to be filled at once. */
static inline uint8_t *wire_room(struct wire_writer *w, uint32_t size)
{
    if ((size_t)(w->end - w->p) < size) return wire_room_slow(w, size);
    uint8_t *p = w->p;
    w->p += size;
    return p;
}

static inline void wire_put_int8(struct wire_writer *w, int8_t v)
{
    *wire_room(w, 1) = (uint8_t)v;
}
static inline void wire_put_bool(struct wire_writer *w, bool v)
{
    *wire_room(w, 1) = v;
}
static inline void wire_put_int16(struct wire_writer *w, int16_t v)
{
    be16_store(wire_room(w, 2), (uint16_t)v);
}
static inline void wire_put_int32(struct wire_writer *w, int32_t v)
{
    be32_store(wire_room(w, 4), (uint32_t)v);
}
static inline void wire_put_int64(struct wire_writer *w, int64_t v)
{
    be64_store(wire_room(w, 8), (uint64_t)v);
}
static inline void wire_put_uint16(struct wire_writer *w, uint16_t v)
{
    be16_store(wire_room(w, 2), v);
}
static inline void wire_put_uint32(struct wire_writer *w, uint32_t v)
{
    be32_store(wire_room(w, 4), v);
}
static inline void wire_put_error(struct wire_writer *w, int16_t v)
{
    wire_put_int16(w, v);
}
void wire_put_float64(struct wire_writer *w, double v);
void wire_put_uuid(struct wire_writer *w, struct uuid v);
void wire_put_uvarint(struct wire_writer *w, uint32_t v);
void wire_put_varint(struct wire_writer *w, int32_t v);
void wire_put_raw(struct wire_writer *w, const void *bytes, uint32_t size);

/* A null slice is written as null where that is allowed, else as empty: a zeroed struct is then a valid message. */
void wire_put_string(struct wire_writer *w, struct slice s, bool flexible, bool nullable);
void wire_put_bytes(struct wire_writer *w, struct slice s, bool flexible, bool nullable);
void wire_put_records(struct wire_writer *w, const struct wire_records *records, bool flexible, bool nullable);
/* Negative means null, written likewise. Returns how many elements follow. */
int32_t wire_put_count(struct wire_writer *w, int32_t count, bool flexible, bool nullable);

/* One tagged field whose size is known only when it is written: put it into t.w between begin and end. */
struct wire_tagged {
    struct buf buf;
    struct wire_writer w;
};
struct wire_writer *wire_tagged_begin(struct wire_tagged *t);
void wire_tagged_end(struct wire_writer *w, uint32_t tag, struct wire_tagged *t);

#endif
