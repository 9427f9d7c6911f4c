/* storage/offset_index.h: the sparse index of a segment, from offset to position: `.index` files.
 *
 * Format (Kafka's): entries of 8 bytes: offset of the LAST record of a batch, relative to the segment's base offset
 * (int32), and position where that batch begins (int32), big-endian, both rising. See docs/format-segment.md.
 * Threads: as index_file.h. */
#ifndef OTTLA_OFFSET_INDEX_H
#define OTTLA_OFFSET_INDEX_H

#include "storage/index_file.h"

#define OFFSET_INDEX_ENTRY_BYTES 8

struct offset_entry {
    uint32_t relative_offset;
    uint32_t position; /* [bytes] */
};

int offset_index_append(struct index_file *f, struct offset_entry e) WARN_UNUSED;
/* Of the last entry whose relative offset is <= the given one: a batch at or before the one that holds it. None: 0,
 * 0. */
int offset_index_floor(const struct index_view *v, uint32_t relative_offset,
                       struct offset_entry *ret_entry) WARN_UNUSED;
/* Of the last entry whose position is <= the given one. None: 0, 0. */
int offset_index_floor_position(const struct index_view *v, uint32_t position,
                                struct offset_entry *ret_entry) WARN_UNUSED;
/* Of the first entry whose position is >= the given one. -ENOENT: none. */
int offset_index_ceiling_position(const struct index_view *v, uint32_t position,
                                  struct offset_entry *ret_entry) WARN_UNUSED;
/* Rising, and all positions below size? What recovery asks before it trusts a file. */
bool offset_index_is_sane(const struct index_file *f, uint32_t size);

#endif
