#include "base/bytes.h"

#define BYTES_SIZE_MIN 256

void bytes_done(struct bytes *b)
{
    free(b->ptr);
    *b = (struct bytes){0};
}

void bytes_trim(struct bytes *b, uint32_t size_max)
{
    assert(b->len == 0);
    if (b->size > size_max) bytes_done(b);
}

/* Without room left even small appends come here, and are refused: what follows a hole is of no use. */
static bool grow_fail(struct bytes *b)
{
    b->failed = true;
    b->size = b->len;
    return false;
}

bool bytes_grow(struct bytes *b, size_t more)
{
    if (b->failed) return false;
    if (more > (size_t)BYTES_LEN_MAX - b->len) return grow_fail(b);
    /* Doubling keeps the cost of an append constant; at the top the limit itself is taken. */
    size_t size = MAX(MAX((size_t)b->size * 2, b->len + more), BYTES_SIZE_MIN);
    size = MIN(size, (size_t)BYTES_LEN_MAX);
    uint8_t *ptr = realloc(b->ptr, size);
    if (!ptr) return grow_fail(b);
    b->ptr = ptr;
    b->size = (uint32_t)size;
    return true;
}
