/* base/slice.h: bytes that somebody else owns. Passed by value; null (as distinct from empty) is ptr == NULL. */
#ifndef OTTLA_SLICE_H
#define OTTLA_SLICE_H

#include "base/base.h"

#include <string.h>

struct slice {
    const uint8_t *ptr;
    uint32_t len; /* [bytes] */
};

#define SLICE_NULL   ((struct slice){NULL, 0})
#define SLICE_EMPTY  ((struct slice){(const uint8_t *)"", 0})
#define SLICE(text)  ((struct slice){(const uint8_t *)(text), sizeof(text) - 1}) /* of a string literal */
#define SLICE_FMT    "%.*s"
#define SLICE_ARG(s) (int)(s).len, (const char *)((s).ptr ? (s).ptr : (const uint8_t *)"")

/* Of a NUL-terminated string; NULL gives the null slice. */
static inline struct slice slice_of(const char *text)
{
    return text ? (struct slice){(const uint8_t *)text, (uint32_t)strlen(text)} : SLICE_NULL;
}

static inline struct slice slice_make(const void *ptr, uint32_t len)
{
    return (struct slice){(const uint8_t *)ptr, len};
}

static inline bool slice_is_null(struct slice s)
{
    return s.ptr == NULL;
}

/* Null equals only null. */
static inline bool slice_eq(struct slice a, struct slice b)
{
    if (!a.ptr || !b.ptr) return a.ptr == b.ptr;
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_eq_text(struct slice a, const char *text)
{
    return slice_eq(a, slice_of(text));
}

/* Bytewise order, shorter first; null sorts as empty. */
static inline int slice_compare(struct slice a, struct slice b)
{
    uint32_t len = MIN(a.len, b.len);
    int r = len ? memcmp(a.ptr, b.ptr, len) : 0;
    return r ? r : (a.len > b.len) - (a.len < b.len);
}

/* The same for qsort() and bsearch(). */
static inline int slice_order(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

/* Sorts them and leaves doubles out. Returns how many remain. */
static inline int32_t slices_sort_distinct(struct slice *slices, int32_t count)
{
    int32_t kept = 0;
    if (count > 0) qsort(slices, (size_t)count, sizeof slices[0], slice_order);
    for (int32_t i = 0; i < count; i++)
        if (!kept || !slice_eq(slices[kept - 1], slices[i])) slices[kept++] = slices[i];
    return kept;
}

/* A copy with a NUL behind it, to be freed; NULL for the null slice. */
static inline char *slice_strdup(struct slice s)
{
    if (!s.ptr) return NULL;
    char *copy = (char *)xmalloc((size_t)s.len + 1);
    memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}

#endif
