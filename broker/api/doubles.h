/* broker/api/doubles.h: which elements of a request's array stand in it more than once.
 *
 * Found by sorting: comparing each with each would hold the control thread for hours when a client sends a frame full
 * of them. */
#ifndef OTTLA_API_DOUBLES_H
#define OTTLA_API_DOUBLES_H

#include "base/arena.h"

struct doubles_key {
    int32_t kind; /* keys of different kinds differ; 0 when there is only one */
    struct slice name;
    int32_t index; /* in the request; filled by doubles_find() */
};

enum doubles_place {
    STANDS_ONCE = 0,
    STANDS_FIRST, /* of several equal ones */
    STANDS_AGAIN, /* answers that name each topic once leave it out */
};

/* Sorts keys, which are given in the order of the request, and returns for each index its doubles_place. In the arena;
 * NULL: it is full. */
uint8_t *doubles_find(struct arena *a, struct doubles_key *keys, int32_t count) WARN_UNUSED;
/* Is one of the sorted keys, of kind 0, this name? */
bool doubles_has(const struct doubles_key *keys, int32_t count, struct slice name);

#endif
