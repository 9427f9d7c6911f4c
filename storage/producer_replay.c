/* storage/producer_replay.c: a log's producers (sequences, open transactions) and aborted transactions, from the newest
 * snapshot that can be believed and the batches behind it.
 *
 * Snapshots behind the log's end, or that name no segment, are removed: they are of an end that is no more. The newest that
 * the durable end has passed stays, though no segment has its name: removing one for each of many partitions, and syncing
 * their folders, takes a start longer than all the rest.
 * Threads: under the log's lock. */
#include "storage/folder_files.h"
#include "storage/producer_replay.h"

#include <errno.h>
#include <string.h>

int log_read_marker(const struct io_ops *io, int fd, uint32_t position, uint32_t size,
                    struct producer_marker *ret_marker)
{
    struct record_batch b;

    if (size > LOG_CONTROL_MAX) return 0;
    AUTO_FREE uint8_t *bytes = xmalloc(size);
    ssize_t n = io_pread_all(io, fd, bytes, size, position);
    if (n < 0) return (int)n;
    if (record_batch_parse(slice_make(bytes, (uint32_t)n), &b) != RECORD_BATCH_OK) return -EBADMSG;
    return log_parse_marker(&b, ret_marker);
}

static int replay_segment(struct partition_log *log, struct segment *s, int64_t from)
{
    struct file_ref *file;
    struct header_reader reader;
    struct record_batch b;
    uint32_t size, kept = 0;

    int r = log_segment_file(log, s, &file);
    if (r) return r;
    if (!s->aborted_known) {
        while (kept < s->aborted.count && txn_index_get(&s->aborted, kept).last_offset < from) kept++;
        index_file_shorten(&s->aborted, kept);
    }
    header_reader_init(&reader, log->dir->io, file->fd, 0, atomic_load(&s->size));
    while ((r = header_reader_peek(&reader, &b, &size)) > 0) {
        if (b.base_offset >= from && record_batch_has_producer(&b)) {
            struct producer_marker marker;
            struct txn_entry aborted;
            int is_marker = 0;
            if (record_batch_is_control(&b)) {
                is_marker = log_read_marker(log->dir->io, file->fd, reader.position, size, &marker);
                if (is_marker < 0) {
                    r = is_marker;
                    break;
                }
            }
            if (producer_state_apply(log->producers, &b, is_marker ? &marker : NULL, &aborted) && !s->aborted_known) {
                r = txn_index_append(&s->aborted, aborted);
                if (r) break;
            }
        }
        reader.position += size;
    }
    file_ref_put(file);
    return r;
}

static int load_snapshot(struct partition_log *log, int64_t offset)
{
    char path[SEGMENT_PATH_BYTES], *bytes;
    size_t size;

    segment_path(log, offset, ".snapshot", path);
    int r = io_read_file(log->dir->io, log->dir->fd, path, PRODUCER_SNAPSHOT_MAX, &bytes, &size);
    if (r) return r;
    r = producer_state_decode(log->producers, (const uint8_t *)bytes, size);
    free(bytes);
    if (!r) log->producers->snapshot_offset = offset;
    return r;
}

int producer_replay(struct partition_log *log, struct folder *f, int64_t snapshot_max)
{
    int64_t from = log->segments_count ? log->segments[0]->base_offset : atomic_load(&log->log_end);
    int64_t end = atomic_load(&log->log_end), durable = atomic_load(&log->durable_end);
    bool found = false, newest = true;

    if (!log->producers) log->producers = xmalloc(sizeof *log->producers);
    else producer_state_done(log->producers);
    producer_state_init(log->producers);
    for (uint32_t i = f->count; i > 0; i--) {
        int64_t offset = f->files[i - 1].offset;
        if (f->files[i - 1].kind != FILE_SNAPSHOT) continue;
        bool keep = offset <= end && folder_has(f, offset, FILE_LOG);
        /* One from before the first segment knows of transactions whose ends are gone. */
        bool begun = !log->segments_count || offset >= log->segments[0]->base_offset;
        if (!found && begun && offset <= snapshot_max && offset <= end) {
            int r = load_snapshot(log, offset);
            /* -ENOENT: it went a moment ago, with a segment behind a torn one or with all of them. */
            if (r && r != -EBADMSG && r != -EFBIG && r != -ENOENT) return r;
            if (!r) {
                found = keep = true;
                from = MAX(from, offset);
            }
        } else if (!found && begun && newest && offset <= durable) {
            keep = true; /* the last stop's, of records that were durable then */
        }
        if (offset <= durable) newest = false;
        if (keep) continue;
        /* Of an end that is no more, or of an earlier stop. */
        int r = folder_remove_file(f, &f->files[i - 1]);
        if (r) return r;
    }
    for (uint32_t i = 0; i < log->segments_count; i++) {
        if (log->segments[i]->next_offset <= from) continue;
        int r = replay_segment(log, log->segments[i], from);
        if (r) return r;
    }
    return 0;
}

int log_replay_producers(struct partition_log *log, int64_t snapshot_max)
{
    struct folder f = {.live = true}; /* the cleaner may be at work in it */
    int r = folder_read(&f, log);
    if (!r) r = producer_replay(log, &f, snapshot_max);
    log->dir_unsynced |= f.removed;
    free(f.files);
    return r;
}

/* What replaying the producers has found. The files of closed segments must be as durable as the records before the
 * recovery point passes these: a later start would believe what it finds there. What the active one's file holds of an
 * end that is gone goes now. */
int log_write_aborted(struct partition_log *log)
{
    for (uint32_t i = 0; i < log->segments_count; i++) {
        struct segment *s = log->segments[i];
        bool active = i + 1 == log->segments_count;
        if (!s->aborted.shortened && (active || s->aborted.count == s->aborted.written)) continue;
        int r = segment_write_aborted(s, true);
        if (r) return r;
        log->dir_unsynced = true;
        if (!active) s->indexes_unsynced = true;
    }
    return 0;
}
