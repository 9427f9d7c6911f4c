/* broker/metadata/shared_set.h: a sorted set of immutable entries that snapshots of the metadata share: access rules,
 * credentials, quotas.
 *
 * A snapshot holds one reference to a set. Who builds the next snapshot makes the set its own first (a copy that shares
 * all entries, unless nobody else holds it) and then changes it.
 * Invariants: entries are in the order that their store defines and never change; an entry is one block of memory whose
 * first member is struct shared_entry.
 * Threads: sets that somebody else may hold are only read; references may be taken and given back on any thread. */
#ifndef OTTLA_SHARED_SET_H
#define OTTLA_SHARED_SET_H

#include "base/base.h"

#include <stdatomic.h>

struct shared_entry {
    atomic_uint refs;
};

struct shared_set {
    atomic_uint refs;
    int32_t count;
    struct shared_entry **entries;
};

struct shared_set *shared_set_new(void);
struct shared_set *shared_set_ref(struct shared_set *s);
void shared_set_unref(struct shared_set *s);
/* *s may be changed afterwards: when others hold it too, it is replaced by a copy. */
void shared_set_own(struct shared_set **s);

/* compare(entry, key): < 0 when the entry sorts before the key. Returns the index, or ~index where it belongs. */
int32_t shared_set_find(const struct shared_set *s, int (*compare)(const struct shared_entry *e, const void *key),
                        const void *key);

/* Of a set of one's own. e: new, its one reference goes to the set. at: as shared_set_find() returned; a found entry is
 * replaced. */
void shared_set_put(struct shared_set *s, int32_t at, struct shared_entry *e);
void shared_set_remove(struct shared_set *s, int32_t at);

#endif
