/* storage/compact_output.c: the segment that a pass of compaction writes, and its swap with those that it replaces, in
 * the steps of compact.h.
 * Threads: the cleaner's; the log's lock is taken for the swap. */
#include "storage/compact_pass.h"
#include "storage/offset_index.h"
#include "storage/time_index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define WRITE_BYTES (1024 * 1024)

static const struct {
    const char *final, *cleaned, *swap;
} files[] = {{".index", ".index.cleaned", ".index.swap"},
             {".timeindex", ".timeindex.cleaned", ".timeindex.swap"},
             {".txnindex", ".txnindex.cleaned", ".txnindex.swap"},
             {".log", ".log.cleaned", ".log.swap"}}; /* the .log last: with it the others count */

int compact_output_open(struct pass *p, int64_t base_offset)
{
    char path[SEGMENT_PATH_BYTES];

    p->out.segment = segment_new(p->log, base_offset);
    p->out.segment->timestamps_known = p->out.segment->aborted_known = true;
    p->out.position = 0;
    p->out.pending.len = 0;
    segment_path(p->log, base_offset, ".log.cleaned", path);
    p->out.fd = p->log->dir->io->openat(p->log->dir->fd, path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    return MIN(p->out.fd, 0);
}

static int output_flush(struct pass *p)
{
    struct output *o = &p->out;
    int r = io_pwrite_all(p->log->dir->io, o->fd, o->pending.ptr, o->pending.len, o->position);
    if (r) return r;
    o->position += o->pending.len;
    uint32_t written = o->pending.len;
    o->pending.len = 0;
    return compact_pace(p, written) ? 0 : -ECANCELED;
}

int compact_output_batch(struct pass *p, struct slice bytes)
{
    struct output *o = &p->out;
    struct record_batch b;

    if (record_batch_parse(bytes, &b) != RECORD_BATCH_OK) return -EBADMSG;
    if (bytes.len > SEGMENT_BYTES_MAX - o->position - o->pending.len) return -EFBIG;
    segment_note_batch(o->segment, &b, bytes.len, o->position + o->pending.len, p->config.index_interval_bytes);
    bytes_append(&o->pending, bytes.ptr, bytes.len);
    if (o->pending.failed) return -ENOMEM;
    return o->pending.len >= WRITE_BYTES ? output_flush(p) : 0;
}

void compact_output_discard(struct pass *p)
{
    struct output *o = &p->out;
    char path[SEGMENT_PATH_BYTES];

    if (o->fd >= 0) p->log->dir->io->close(o->fd);
    o->fd = -1;
    if (!o->segment) return;
    for (uint32_t i = countof(files); i-- > 0;) { /* the .log first: while it is there the new segment counts */
        segment_path(p->log, o->segment->base_offset, files[i].cleaned, path);
        (void)p->log->dir->io->unlinkat(p->log->dir->fd, path, 0);
        segment_path(p->log, o->segment->base_offset, files[i].swap, path);
        (void)p->log->dir->io->unlinkat(p->log->dir->fd, path, 0);
    }
    segment_free(o->segment);
    o->segment = NULL;
}

static int write_index(struct pass *p, struct index_file *f, uint32_t entry_bytes, const char *suffix)
{
    char path[SEGMENT_PATH_BYTES];
    segment_path(p->log, p->out.segment->base_offset, suffix, path);
    return index_file_write(f, entry_bytes, p->log->dir->io, p->log->dir->fd, path, true);
}

int compact_output_finish(struct pass *p)
{
    struct segment *s = p->out.segment;
    int r = output_flush(p);

    if (!r) r = p->log->dir->io->fdatasync(p->out.fd);
    p->log->dir->io->close(p->out.fd);
    p->out.fd = -1;
    if (!r) r = segment_finish_times(s);
    if (!r) r = write_index(p, &s->offsets, OFFSET_INDEX_ENTRY_BYTES, ".index.cleaned");
    if (!r) r = write_index(p, &s->times, TIME_INDEX_ENTRY_BYTES, ".timeindex.cleaned");
    if (!r && s->aborted.count) r = write_index(p, &s->aborted, TXN_INDEX_ENTRY_BYTES, ".txnindex.cleaned");
    if (r) return r;
    segment_close_indexes(s);
    atomic_store(&s->size, p->out.position);
    atomic_store(&s->synced_size, p->out.position);
    return 0;
}

static int rename_output(struct pass *p, int64_t base_offset, bool final)
{
    const struct io_ops *io = p->log->dir->io;
    char from[SEGMENT_PATH_BYTES], to[SEGMENT_PATH_BYTES];

    for (uint32_t i = 0; i < countof(files); i++) {
        /* With the .log the others count: they must be there. */
        bool last = i + 1 == countof(files);
        int synced = last && !final ? io_sync_dir(io, p->log->dir->fd, log_folder(p->log)) : 0;
        if (synced) return synced;
        segment_path(p->log, base_offset, final ? files[i].swap : files[i].cleaned, from);
        segment_path(p->log, base_offset, final ? files[i].final : files[i].swap, to);
        int r = io->renameat(p->log->dir->fd, from, to);
        if (r && !(r == -ENOENT && !strcmp(files[i].final, ".txnindex"))) return r;
    }
    return 0;
}

int compact_output_swap(struct pass *p, uint32_t first, uint32_t count)
{
    struct partition_log *log = p->log;
    const struct io_ops *io = log->dir->io;

    int64_t base_offset = p->out.segment->base_offset;
    int r = rename_output(p, base_offset, false);
    if (!r) r = io_sync_dir(io, log->dir->fd, log_folder(log));
    if (r) return r;

    pthread_mutex_lock(&log->lock);
    int64_t at = compact_segment_of(p, &p->sources[first]);
    if (at < 0 || log->rewrites != p->rewrites || at + count >= log->segments_count) {
        pthread_mutex_unlock(&log->lock);
        return -ECANCELED;
    }
    p->out.segment->created_ms = log->segments[at + count - 1]->created_ms;
    p->out.segment->next_offset = log->segments[at + count - 1]->next_offset;
    log_replace_segments(log, (uint32_t)at, count, p->out.segment);
    p->out.segment = NULL;
    p->rewrites = log->rewrites;
    r = io_sync_dir(io, log->dir->fd, log_folder(log));
    if (!r) r = rename_output(p, base_offset, true);
    if (r) log_fail(log); /* neither the old files nor the new ones are in place: the next start finishes it */
    pthread_mutex_unlock(&log->lock);
    if (!r) r = io_sync_dir(io, log->dir->fd, log_folder(log));
    if (r) log_fail(log);
    return r;
}
