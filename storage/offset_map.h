/* storage/offset_map.h: key -> newest offset, in bounded memory: what a pass of the cleaner knows of the dirty part of
 * a log.
 *
 * A key is known by 128 bits of XXH3 under a random seed, as Kafka knows it by MD5: two keys of a map that share them
 * would cost a record; for a billion keys the odds are 10^-21, and a client cannot aim at a seed that it never sees.
 * Open addressing, 24 bytes a slot, at most `limit` of `slots_count` filled, so that probing stays short.
 * Threads: one at a time. */
#ifndef OTTLA_OFFSET_MAP_H
#define OTTLA_OFFSET_MAP_H

#include "base/slice.h"

#define OFFSET_MAP_SLOT_BYTES 24

struct offset_map {
    struct offset_map_slot *slots;
    uint64_t slots_count;
    uint64_t count;
    uint64_t limit; /* keys that it takes */
    uint64_t seed;
};

/* Room for keys_max keys, but no more memory than bytes_max; load_factor: of the slots, (0, 1]. Returns 0 or
 * -ENOMEM. */
int offset_map_init(struct offset_map *m, uint64_t keys_max, uint64_t bytes_max, double load_factor) WARN_UNUSED;
void offset_map_done(struct offset_map *m);
/* offset replaces what the key had. false: the key is new and the map is full. */
bool offset_map_put(struct offset_map *m, struct slice key, int64_t offset) WARN_UNUSED;
/* -1: not in the map. */
int64_t offset_map_get(const struct offset_map *m, struct slice key);

#endif
