/* broker/api/doubles.c: see doubles.h. */
#include "broker/api/doubles.h"

#include <stdlib.h>

static int key_order(const void *a, const void *b)
{
    const struct doubles_key *x = a, *y = b;
    return x->kind != y->kind ? (x->kind > y->kind) - (x->kind < y->kind) : slice_compare(x->name, y->name);
}

/* Equal ones in the order of the request. */
static int place_order(const void *a, const void *b)
{
    const struct doubles_key *x = a, *y = b;
    int order = key_order(x, y);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

uint8_t *doubles_find(struct arena *a, struct doubles_key *keys, int32_t count)
{
    uint8_t *doubles = arena_calloc(a, (size_t)count + 1, sizeof *doubles);
    if (!doubles) return NULL;
    for (int32_t i = 0; i < count; i++) keys[i].index = i;
    qsort(keys, (size_t)count, sizeof *keys, place_order);
    for (int32_t i = 1; i < count; i++) {
        if (key_order(&keys[i - 1], &keys[i]) != 0) continue;
        if (doubles[keys[i - 1].index] == STANDS_ONCE) doubles[keys[i - 1].index] = STANDS_FIRST;
        doubles[keys[i].index] = STANDS_AGAIN;
    }
    return doubles;
}

bool doubles_has(const struct doubles_key *keys, int32_t count, struct slice name)
{
    return bsearch(&(struct doubles_key){.name = name}, keys, (size_t)count, sizeof *keys, key_order) != NULL;
}
