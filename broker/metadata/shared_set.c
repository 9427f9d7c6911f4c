/* broker/metadata/shared_set.c: see shared_set.h. */
#include "broker/metadata/shared_set.h"

#include <string.h>

static void entry_unref(struct shared_entry *e)
{
    if (atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) == 1) free(e);
}

struct shared_set *shared_set_new(void)
{
    struct shared_set *s = xcalloc(1, sizeof *s);
    atomic_init(&s->refs, 1);
    return s;
}

struct shared_set *shared_set_ref(struct shared_set *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void shared_set_unref(struct shared_set *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1) return;
    for (int32_t i = 0; i < s->count; i++) entry_unref(s->entries[i]);
    free(s->entries);
    free(s);
}

void shared_set_own(struct shared_set **set)
{
    struct shared_set *s = *set, *copy;

    if (atomic_load_explicit(&s->refs, memory_order_acquire) == 1) return;
    copy = shared_set_new();
    copy->count = s->count;
    copy->entries = xcalloc((size_t)s->count + 1, sizeof(struct shared_entry *));
    for (int32_t i = 0; i < s->count; i++) {
        atomic_fetch_add_explicit(&s->entries[i]->refs, 1, memory_order_relaxed);
        copy->entries[i] = s->entries[i];
    }
    shared_set_unref(s);
    *set = copy;
}

int32_t shared_set_find(const struct shared_set *s, int (*compare)(const struct shared_entry *e, const void *key),
                        const void *key)
{
    int32_t low = 0, high = s->count;

    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        int order = compare(s->entries[middle], key);
        if (order == 0) return middle;
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return ~low;
}

void shared_set_put(struct shared_set *s, int32_t at, struct shared_entry *e)
{
    atomic_init(&e->refs, 1);
    if (at >= 0) {
        entry_unref(s->entries[at]);
        s->entries[at] = e;
        return;
    }
    at = ~at;
    s->entries = xrealloc(s->entries, ((size_t)s->count + 1) * sizeof(struct shared_entry *));
    memmove(&s->entries[at + 1], &s->entries[at], (size_t)(s->count - at) * sizeof(struct shared_entry *));
    s->entries[at] = e;
    s->count++;
}

void shared_set_remove(struct shared_set *s, int32_t at)
{
    entry_unref(s->entries[at]);
    s->count--;
    memmove(&s->entries[at], &s->entries[at + 1], (size_t)(s->count - at) * sizeof(struct shared_entry *));
}
