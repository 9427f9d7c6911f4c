/* base/arena.h: memory of one request or one transaction, freed whole.
 *
 * Invariants: what is taken stays at its address until reset; the sum of all that was taken never exceeds size_max.
 * Threads: one at a time. */
#ifndef OTTLA_ARENA_H
#define OTTLA_ARENA_H

#include "base/slice.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* newest first */
    size_t size;                /* taken so far [bytes] */
    size_t size_max;
};

/* Takes no memory yet. */
void arena_init(struct arena *a, size_t size_max);
/* Frees all but one small chunk, so that a reused arena does not allocate. */
void arena_reset(struct arena *a);
void arena_done(struct arena *a);

/* Aligned to 8, not zeroed. NULL: size_max is reached or memory is out. */
void *arena_alloc(struct arena *a, size_t size) WARN_UNUSED;
/* Zeroed, checked for overflow. NULL as arena_alloc(). */
void *arena_calloc(struct arena *a, size_t count, size_t size) WARN_UNUSED;
/* Copies with a NUL behind; NULL as arena_alloc(), and for a NULL text. */
char *arena_strdup(struct arena *a, const char *text) WARN_UNUSED;
char *arena_slice_str(struct arena *a, struct slice s) WARN_UNUSED;
struct slice arena_slice_dup(struct arena *a, struct slice s) WARN_UNUSED;
char *arena_printf(struct arena *a, const char *format, ...) PRINTF_LIKE(2, 3) WARN_UNUSED;

#endif
