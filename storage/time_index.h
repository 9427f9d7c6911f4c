/* storage/time_index.h: the sparse index of a segment, from timestamp to offset: `.timeindex` files.
 *
 * Format (Kafka's): entries of 12 bytes: the largest timestamp so far (int64, ms), and the last offset of the first
 * batch that has it, relative to the segment's base offset (int32); timestamps rise. The last entry of a closed segment
 * holds the segment's largest timestamp. See docs/format-segment.md.
 * Threads: as index_file.h. */
#ifndef OTTLA_TIME_INDEX_H
#define OTTLA_TIME_INDEX_H

#include "storage/index_file.h"

#define TIME_INDEX_ENTRY_BYTES 12

struct time_entry {
    int64_t timestamp_ms;
    uint32_t relative_offset;
};

/* Does nothing when the timestamp is not above the last entry's. */
int time_index_append(struct index_file *f, struct time_entry e) WARN_UNUSED;
/* Of the last entry whose timestamp is <= the given one. None: -1, 0. */
int time_index_floor(const struct index_view *v, int64_t timestamp_ms, struct time_entry *ret_entry) WARN_UNUSED;
/* The last entry. None: -1, 0. */
int time_index_last(const struct index_view *v, struct time_entry *ret_entry) WARN_UNUSED;
/* Rising, and all offsets below end? */
bool time_index_is_sane(const struct index_file *f, uint32_t relative_end_offset);

#endif
