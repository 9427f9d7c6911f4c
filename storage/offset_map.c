#include "storage/offset_map.h"

#include "base/uuid.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

#define KEYS_MIN 16 /* a map so small that a pass gets nowhere helps nobody */

struct offset_map_slot {
    XXH128_hash_t key;
    int64_t offset; /* -1: empty */
};
_Static_assert(sizeof(struct offset_map_slot) == OFFSET_MAP_SLOT_BYTES, "as the header says");

int offset_map_init(struct offset_map *m, uint64_t keys_max, uint64_t bytes_max, double load_factor)
{
    uint64_t slots_max = bytes_max / OFFSET_MAP_SLOT_BYTES;

    load_factor = load_factor > 0.01 && load_factor <= 1 ? load_factor : 1;
    keys_max = MAX(keys_max, KEYS_MIN);
    double wanted = (double)keys_max / load_factor + 1;
    uint64_t slots_count = MAX(wanted < (double)slots_max ? (uint64_t)wanted : slots_max, KEYS_MIN);
    *m = (struct offset_map){.slots = malloc(slots_count * sizeof *m->slots), .slots_count = slots_count};
    if (!m->slots) return -ENOMEM;
    memset(m->slots, 0xff, slots_count * sizeof *m->slots);
    /* One slot stays empty: a search for what is not there ends at it. */
    m->limit = MIN((uint64_t)((double)slots_count * load_factor), slots_count - 1);
    struct uuid random = uuid_random();
    m->seed = be64_load(random.bytes);
    return 0;
}

void offset_map_done(struct offset_map *m)
{
    free(m->slots);
    *m = (struct offset_map){0};
}

/* The key's slot, or the empty one where it would be. */
static struct offset_map_slot *find(const struct offset_map *m, XXH128_hash_t key)
{
    uint64_t i = (uint64_t)(((unsigned __int128)key.high64 * m->slots_count) >> 64);
    while (m->slots[i].offset >= 0 && !XXH128_isEqual(m->slots[i].key, key)) i = i + 1 == m->slots_count ? 0 : i + 1;
    return &m->slots[i];
}

bool offset_map_put(struct offset_map *m, struct slice key, int64_t offset)
{
    XXH128_hash_t hash = XXH3_128bits_withSeed(key.ptr, key.len, m->seed);
    struct offset_map_slot *slot = find(m, hash);
    if (slot->offset < 0) {
        if (m->count == m->limit) return false;
        m->count++;
    }
    *slot = (struct offset_map_slot){.key = hash, .offset = offset};
    return true;
}

int64_t offset_map_get(const struct offset_map *m, struct slice key)
{
    return find(m, XXH3_128bits_withSeed(key.ptr, key.len, m->seed))->offset;
}
