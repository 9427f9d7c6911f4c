#include "storage/offset_index.h"

#include <errno.h>

static struct offset_entry decode(const uint8_t *entry)
{
    return (struct offset_entry){.relative_offset = be32_load(entry), .position = be32_load(entry + 4)};
}

int offset_index_append(struct index_file *f, struct offset_entry e)
{
    uint8_t entry[OFFSET_INDEX_ENTRY_BYTES];
    be32_store(entry, e.relative_offset);
    be32_store(entry + 4, e.position);
    return index_file_append(f, entry, sizeof entry);
}

static bool offset_not_above(const void *arg, const uint8_t *entry)
{
    return decode(entry).relative_offset <= *(const uint32_t *)arg;
}

static bool position_not_above(const void *arg, const uint8_t *entry)
{
    return decode(entry).position <= *(const uint32_t *)arg;
}

static bool position_below(const void *arg, const uint8_t *entry)
{
    return decode(entry).position < *(const uint32_t *)arg;
}

static int floor_of(const struct index_view *v, bool (*before)(const void *arg, const uint8_t *entry), uint32_t value,
                    struct offset_entry *ret_entry)
{
    uint8_t entry[INDEX_ENTRY_BYTES_MAX];
    int64_t i;
    int r = index_view_search(v, before, &value, &i, entry);
    if (r) return r;
    *ret_entry = i < 0 ? (struct offset_entry){0} : decode(entry);
    return 0;
}

int offset_index_floor(const struct index_view *v, uint32_t relative_offset, struct offset_entry *ret_entry)
{
    return floor_of(v, offset_not_above, relative_offset, ret_entry);
}

int offset_index_floor_position(const struct index_view *v, uint32_t position, struct offset_entry *ret_entry)
{
    return floor_of(v, position_not_above, position, ret_entry);
}

int offset_index_ceiling_position(const struct index_view *v, uint32_t position, struct offset_entry *ret_entry)
{
    uint8_t entry[INDEX_ENTRY_BYTES_MAX];
    int64_t i;
    int r = index_view_search(v, position_below, &position, &i, entry);
    if (!r && i + 1 >= v->count) r = -ENOENT;
    if (!r) r = index_view_get(v, (uint32_t)(i + 1), entry);
    if (!r) *ret_entry = decode(entry);
    return r;
}

bool offset_index_is_sane(const struct index_file *f, uint32_t size)
{
    for (uint32_t i = 0; i < f->count; i++) {
        struct offset_entry e = decode(f->entries + (size_t)i * OFFSET_INDEX_ENTRY_BYTES);
        if (e.position >= size) return false;
        if (i == 0) continue;
        struct offset_entry before = decode(f->entries + (size_t)(i - 1) * OFFSET_INDEX_ENTRY_BYTES);
        if (e.relative_offset <= before.relative_offset || e.position <= before.position) return false;
    }
    return true;
}
