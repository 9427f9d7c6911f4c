#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>

#define CHUNK_BYTES 4000 /* a page with malloc's header */

struct arena_chunk {
    struct arena_chunk *next;
    size_t size; /* of bytes */
    size_t used;
    _Alignas(16) uint8_t bytes[];
};

void arena_init(struct arena *a, size_t size_max)
{
    *a = (struct arena){.size_max = size_max};
}

static void free_chunks(struct arena_chunk *c, struct arena_chunk *keep)
{
    while (c) {
        struct arena_chunk *next = c->next;
        if (c != keep) free(c);
        c = next;
    }
}

void arena_reset(struct arena *a)
{
    struct arena_chunk *keep = NULL;

    for (struct arena_chunk *c = a->chunks; c; c = c->next)
        if (c->size <= CHUNK_BYTES) keep = c;
    free_chunks(a->chunks, keep);
    if (keep) keep->next = NULL, keep->used = 0;
    a->chunks = keep;
    a->size = 0;
}

void arena_done(struct arena *a)
{
    free_chunks(a->chunks, NULL);
    a->chunks = NULL;
    a->size = 0;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX - 15) return NULL;
    size = (size + 7) & ~(size_t)7;
    if (size > a->size_max - MIN(a->size, a->size_max)) return NULL;

    struct arena_chunk *c = a->chunks;
    if (!c || size > c->size - c->used) {
        size_t chunk_size = MAX(size, CHUNK_BYTES - sizeof *c);
        struct arena_chunk *fresh = malloc(sizeof *fresh + chunk_size);
        if (!fresh) return NULL;
        fresh->size = chunk_size;
        fresh->used = 0;
        if (c && chunk_size > CHUNK_BYTES && c->size - c->used > 256) {
            /* A large block of its own goes behind, so that the rest of the current chunk stays in use. */
            fresh->next = c->next;
            c->next = fresh;
        } else {
            fresh->next = c;
            a->chunks = fresh;
        }
        c = fresh;
    }
    void *p = c->bytes + c->used;
    c->used += size;
    a->size += size;
    return p;
}

void *arena_calloc(struct arena *a, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) return NULL;
    void *p = arena_alloc(a, total);
    if (p) memset(p, 0, total);
    return p;
}

char *arena_strdup(struct arena *a, const char *text)
{
    return arena_slice_str(a, slice_of(text));
}

char *arena_slice_str(struct arena *a, struct slice s)
{
    if (!s.ptr) return NULL;
    char *copy = arena_alloc(a, (size_t)s.len + 1);
    if (!copy) return NULL;
    memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}

struct slice arena_slice_dup(struct arena *a, struct slice s)
{
    char *copy = arena_slice_str(a, s);
    return copy ? slice_make(copy, s.len) : SLICE_NULL;
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0) return NULL;
    char *text = arena_alloc(a, (size_t)length + 1);
    if (!text) return NULL;
    va_start(args, format);
    vsnprintf(text, (size_t)length + 1, format, args);
    va_end(args);
    return text;
}
