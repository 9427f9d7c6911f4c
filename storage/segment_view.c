/* storage/segment_view.c: see segment_view.h. */
#include "storage/segment_view.h"

#include "storage/offset_index.h"

#include <errno.h>

int segment_view_open(struct partition_log *log, uint32_t i, struct segment_view *v)
{
    struct segment *s = log->segments[i];
    char path[SEGMENT_PATH_BYTES];

    *v = (struct segment_view){.base_offset = s->base_offset,
                               .next_offset = s->next_offset,
                               .size = atomic_load(&s->size),
                               .active = i + 1 == log->segments_count,
                               .compacted = log->config->config.cleanup_compact};
    v->offsets = index_file_view(&s->offsets, OFFSET_INDEX_ENTRY_BYTES);
    int r = log_segment_file(log, s, &v->file);
    if (r || v->active) return r;
    segment_path(log, s->base_offset, ".index", path);
    r = index_view_open(&v->offsets, OFFSET_INDEX_ENTRY_BYTES, log->dir->io, log->dir->fd, path);
    if (r == -ENOENT) {
        v->offsets = (struct index_view){.fd = -1, .entry_bytes = OFFSET_INDEX_ENTRY_BYTES}; /* empty: walk */
        r = 0;
    }
    if (r) file_ref_put(v->file);
    return r;
}

void segment_view_close(struct segment_view *v)
{
    index_view_close(&v->offsets);
    file_ref_put(v->file);
}
