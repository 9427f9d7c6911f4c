/* Segments come and go: rolling, snapshots and epochs beside it, removal. */
#include "storage/log_internal.h"
#include "storage/offset_index.h"
#include "storage/time_index.h"

#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void log_add_segment(struct partition_log *log, struct segment *s)
{
    if (log->segments_count == log->segments_allocated) {
        log->segments_allocated = log->segments_allocated ? log->segments_allocated * 2 : 1;
        log->segments = xrealloc(log->segments, log->segments_allocated * sizeof *log->segments);
    }
    log->segments[log->segments_count++] = s;
}

int log_write_snapshot(struct partition_log *log)
{
    char path[SEGMENT_PATH_BYTES];
    size_t size;
    int64_t end = atomic_load(&log->log_end);

    if (log->producers->snapshot_offset == end) return 0;
    segment_path(log, end, ".snapshot", path);
    AUTO_FREE uint8_t *bytes = producer_state_encode(log->producers, &size);
    int r = io_replace_file(log->dir->io, log->dir->fd, log_folder(log), path, bytes, size, false);
    if (!r) log->producers->snapshot_offset = end;
    return r;
}

int log_write_epochs(struct partition_log *log)
{
    char path[SEGMENT_PATH_BYTES];

    snprintf(path, sizeof path, "%s/%s", log_folder(log), LEADER_EPOCH_FILE);
    AUTO_FREE char *text = leader_epochs_format(&log->epochs);
    /* Synced by whoever moves the durable end next: the log itself tells the epochs of what lies beyond it. */
    int r = io_replace_file(log->dir->io, log->dir->fd, log_folder(log), path, text, strlen(text), false);
    if (r) return r;
    log->epochs_dirty = false;
    log->epochs_unsynced = true;
    log->dir_unsynced = true;
    return 0;
}

int log_roll(struct partition_log *log)
{
    char path[SEGMENT_PATH_BYTES];
    struct segment *before = log_active(log);
    struct file_ref *file;
    int64_t end = atomic_load(&log->log_end);

    int r = log->unmade ? log_make_folder(log) : 0;
    if (r) return r;
    struct segment *s = segment_new(log, end);
    segment_path(log, end, ".log", path);
    r = open_files_get(&log->dir->files, s, log->dir->fd, path, true, &file);
    if (r) {
        segment_free(s);
        return r;
    }
    file_ref_put(file);
    if (before) {
        r = segment_finish_times(before);
        if (!r) r = segment_write_indexes(before, false);
        if (!r) r = log_write_snapshot(log);
        if (r) {
            /* The disk is full: the old segment stays active. */
            segment_free(s);
            (void)log->dir->io->unlinkat(log->dir->fd, path, 0);
            return r;
        }
        segment_close_indexes(before);
        segment_trim(before);
        before->indexes_unsynced = true;
        before->aborted_known = true;
    }
    s->created_ms = clock_wall_ms(log->dir->clock);
    s->timestamps_known = true;
    log_add_segment(log, s);
    log->dir_unsynced = true;
    /* A fetch that waits at the old segment's end is answered by the append that follows. */
    return 0;
}

/* Of the segment's files those before `end`. */
static void remove_files(struct partition_log *log, int64_t base_offset, enum segment_file end, int64_t delay_ms)
{
    char path[SEGMENT_PATH_BYTES], away[SEGMENT_PATH_BYTES + sizeof ".deleted"];

    for (uint32_t i = 0; i < end; i++) {
        segment_path(log, base_offset, segment_suffixes[i], path);
        snprintf(away, sizeof away, "%s.deleted", path);
        int r = log->dir->io->renameat(log->dir->fd, path, away);
        if (!r) {
            log_dir_remove_later(log->dir, away, false, delay_ms);
        } else if (r != -ENOENT) {
            log_warn("storage", "cannot remove a file: %s file=%s", strerror(-r), path);
        }
    }
}

void log_remove_segments(struct partition_log *log, uint32_t first, uint32_t count)
{
    if (!count) return;
    int64_t delay_ms = log->config->config.file_delete_delay_ms;
    for (uint32_t i = first; i < first + count; i++) {
        struct segment *s = log->segments[i];
        atomic_fetch_sub(&log->size, atomic_load(&s->size));
        if (log->producers && log->producers->snapshot_offset == s->base_offset) log->producers->snapshot_offset = -1;
        remove_files(log, s->base_offset, SEGMENT_FILES, delay_ms);
        segment_free(s);
    }
    memmove(log->segments + first, log->segments + first + count,
            (log->segments_count - first - count) * sizeof *log->segments);
    log->segments_count -= count;
    log->dir_unsynced = true;
}

void log_replace_segments(struct partition_log *log, uint32_t first, uint32_t count, struct segment *s)
{
    struct segment *before = log->segments[first];

    log_remove_segments(log, first + 1, count - 1);
    atomic_fetch_sub(&log->size, atomic_load(&before->size));
    remove_files(log, before->base_offset, FILE_SNAPSHOT, log->config->config.file_delete_delay_ms);
    segment_free(before);
    log->segments[first] = s;
    atomic_fetch_add(&log->size, atomic_load(&s->size));
    log->dir_unsynced = true;
    /* A sync that runs must not tell of the new segment what it knows of an old one. */
    log->rewrites++;
}
