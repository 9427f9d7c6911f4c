/* storage/segment_view.h: a segment as it was under the lock, so that its headers can be read without it.
 *
 * Holds the file open, and of a closed segment its index. Threads: opened under the log's lock, then its opener's. */
#ifndef OTTLA_SEGMENT_VIEW_H
#define OTTLA_SEGMENT_VIEW_H

#include "storage/log_internal.h"

struct segment_view {
    struct file_ref *file;
    struct index_view offsets; /* of a closed segment: its file */
    int64_t base_offset;
    int64_t next_offset;
    uint32_t size;
    bool active;
    bool compacted;
};

/* Segment i of the log. Under the lock. 0 or -errno. */
int segment_view_open(struct partition_log *log, uint32_t i, struct segment_view *v) WARN_UNUSED;
void segment_view_close(struct segment_view *v);

#endif
