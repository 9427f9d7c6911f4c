#include "storage/txn_index.h"

#define VERSION 0

int txn_index_append(struct index_file *f, struct txn_entry e)
{
    uint8_t entry[TXN_INDEX_ENTRY_BYTES];
    be16_store(entry, VERSION);
    be64_store(entry + 2, (uint64_t)e.producer_id);
    be64_store(entry + 10, (uint64_t)e.first_offset);
    be64_store(entry + 18, (uint64_t)e.last_offset);
    be64_store(entry + 26, (uint64_t)e.last_stable_offset);
    return index_file_append(f, entry, sizeof entry);
}

struct txn_entry txn_index_get(const struct index_file *f, uint32_t i)
{
    const uint8_t *entry = f->entries + (size_t)i * TXN_INDEX_ENTRY_BYTES;
    return (struct txn_entry){
        .producer_id = (int64_t)be64_load(entry + 2),
        .first_offset = (int64_t)be64_load(entry + 10),
        .last_offset = (int64_t)be64_load(entry + 18),
        .last_stable_offset = (int64_t)be64_load(entry + 26),
    };
}

bool txn_index_is_sane(const struct index_file *f, int64_t base_offset, int64_t end_offset)
{
    int64_t before = base_offset - 1;
    for (uint32_t i = 0; i < f->count; i++) {
        struct txn_entry e = txn_index_get(f, i);
        if (be16_load(f->entries + (size_t)i * TXN_INDEX_ENTRY_BYTES) != VERSION) return false;
        if (e.last_offset <= before || e.last_offset >= end_offset || e.first_offset > e.last_offset) return false;
        before = e.last_offset;
    }
    return true;
}
