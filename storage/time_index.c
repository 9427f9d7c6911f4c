#include "storage/time_index.h"

static struct time_entry decode(const uint8_t *entry)
{
    return (struct time_entry){.timestamp_ms = (int64_t)be64_load(entry), .relative_offset = be32_load(entry + 8)};
}

int time_index_append(struct index_file *f, struct time_entry e)
{
    uint8_t entry[TIME_INDEX_ENTRY_BYTES];

    if (f->count) {
        struct time_entry last = decode(f->entries + (size_t)(f->count - 1) * TIME_INDEX_ENTRY_BYTES);
        if (e.timestamp_ms <= last.timestamp_ms) return 0;
    }
    be64_store(entry, (uint64_t)e.timestamp_ms);
    be32_store(entry + 8, e.relative_offset);
    return index_file_append(f, entry, sizeof entry);
}

static bool time_not_above(const void *arg, const uint8_t *entry)
{
    return decode(entry).timestamp_ms <= *(const int64_t *)arg;
}

int time_index_floor(const struct index_view *v, int64_t timestamp_ms, struct time_entry *ret_entry)
{
    uint8_t entry[INDEX_ENTRY_BYTES_MAX];
    int64_t i;
    int r = index_view_search(v, time_not_above, &timestamp_ms, &i, entry);
    if (r) return r;
    *ret_entry = i < 0 ? (struct time_entry){.timestamp_ms = -1} : decode(entry);
    return 0;
}

int time_index_last(const struct index_view *v, struct time_entry *ret_entry)
{
    uint8_t entry[INDEX_ENTRY_BYTES_MAX];

    if (!v->count) {
        *ret_entry = (struct time_entry){.timestamp_ms = -1};
        return 0;
    }
    int r = index_view_get(v, v->count - 1, entry);
    if (!r) *ret_entry = decode(entry);
    return r;
}

bool time_index_is_sane(const struct index_file *f, uint32_t relative_end_offset)
{
    for (uint32_t i = 0; i < f->count; i++) {
        struct time_entry e = decode(f->entries + (size_t)i * TIME_INDEX_ENTRY_BYTES);
        if (e.relative_offset >= relative_end_offset) return false;
        if (i == 0) continue;
        struct time_entry before = decode(f->entries + (size_t)(i - 1) * TIME_INDEX_ENTRY_BYTES);
        if (e.timestamp_ms <= before.timestamp_ms || e.relative_offset <= before.relative_offset) return false;
    }
    return true;
}
