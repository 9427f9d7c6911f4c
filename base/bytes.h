/* base/bytes.h: one growing array of bytes, contiguous, for what is built piece by piece: records, JSON, decompressed
 * data.
 *
 * Invariants: len <= size. An array that could not grow is `failed` and takes nothing any more, so that a writer checks
 * once, at its end. Threads: one at a time. */
#ifndef OTTLA_BYTES_H
#define OTTLA_BYTES_H

#include "base/slice.h"

#define BYTES_LEN_MAX INT32_MAX /* no length of the Kafka protocol names more */

struct bytes {
    uint8_t *ptr;
    uint32_t len;  /* [bytes] written */
    uint32_t size; /* [bytes] allocated */
    bool failed;
};

/* Takes no memory yet; a zeroed struct is the same. */
static inline void bytes_init(struct bytes *b)
{
    *b = (struct bytes){0};
}

/* Empty again; keeps the memory. */
static inline void bytes_reset(struct bytes *b)
{
    b->len = 0;
    b->failed = false;
}

void bytes_done(struct bytes *b);

/* Gives memory back when more than size_max is allocated: for arrays that live long and were large once. b must be
 * empty. */
void bytes_trim(struct bytes *b, uint32_t size_max);

/* The slow path of bytes_room(). */
bool bytes_grow(struct bytes *b, size_t more);

/* Room for `more` bytes behind len, which stays; the caller writes there and then adds to len. NULL: failed. */
static inline uint8_t *bytes_room(struct bytes *b, size_t more)
{
    if (__builtin_expect(b->size - b->len < more || !b->ptr, 0) && !bytes_grow(b, more)) return NULL;
    return b->ptr + b->len;
}

static inline void bytes_append(struct bytes *b, const void *from, size_t count)
{
    uint8_t *room = bytes_room(b, count);
    if (!room || !count) return;
    memcpy(room, from, count);
    b->len += (uint32_t)count;
}

static inline void bytes_append_byte(struct bytes *b, uint8_t byte)
{
    uint8_t *room = bytes_room(b, 1);
    if (!room) return;
    *room = byte;
    b->len++;
}

static inline void bytes_append_slice(struct bytes *b, struct slice s)
{
    bytes_append(b, s.ptr, s.len);
}

/* Of a NUL-terminated text, without the NUL. */
static inline void bytes_append_text(struct bytes *b, const char *text)
{
    bytes_append(b, text, strlen(text));
}

/* What was written; valid until the next append. */
static inline struct slice bytes_slice(const struct bytes *b)
{
    return b->ptr ? slice_make(b->ptr, b->len) : SLICE_EMPTY;
}

#endif
