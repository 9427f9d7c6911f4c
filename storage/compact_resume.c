/* storage/compact_resume.c: a compaction that a crash cut short is finished before the folder is loaded. The steps and
 * what each leaves behind: compact.h. With B.log.swap there the new segment counts: what it replaces is removed, then
 * its files get their names.
 *
 * Each step may be cut short in turn and is done again by the next start. Threads: the one that loads the log. */
#include "storage/compact_resume.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Where the batches of a .log.swap end: the offset behind the last one. */
static int swap_end(struct partition_log *log, int64_t base_offset, int64_t *ret_end)
{
    char path[SEGMENT_PATH_BYTES];
    struct header_reader reader;
    struct record_batch b;
    struct stat st;
    uint32_t size;

    *ret_end = base_offset;
    segment_path(log, base_offset, ".log" SWAP_SUFFIX, path);
    int fd = log->dir->io->openat(log->dir->fd, path, O_RDONLY, 0);
    if (fd < 0) return fd;
    int r = log->dir->io->fstat(fd, &st);
    if (!r && st.st_size > SEGMENT_BYTES_MAX) r = -EFBIG;
    if (!r) {
        header_reader_init(&reader, log->dir->io, fd, 0, (uint32_t)st.st_size);
        while ((r = header_reader_peek(&reader, &b, &size)) > 0) {
            *ret_end = record_batch_next_offset(&b);
            reader.position += size;
        }
    }
    log->dir->io->close(fd);
    return r;
}

/* Removes what the swap at base_offset replaces, then gives its files their names. */
static int finish_swap(struct folder *f, int64_t base_offset)
{
    struct partition_log *log = f->log;
    char from[SEGMENT_PATH_BYTES], to[SEGMENT_PATH_BYTES];
    int64_t end;

    int r = swap_end(log, base_offset, &end);
    for (uint32_t i = 0; i < f->count && !r; i++) {
        const struct folder_file *file = &f->files[i];
        bool replaced =
            file->kind < FILE_SWAP && (file->offset == base_offset ? file->kind != FILE_SNAPSHOT
                                                                   : file->offset > base_offset && file->offset < end);
        if (replaced) r = folder_remove_file(f, file);
    }
    if (!r) r = io_sync_dir(log->dir->io, log->dir->fd, log_folder(log));
    for (int kind = FILE_ABORTED; kind >= FILE_LOG && !r; kind--) {
        if (!folder_has(f, base_offset, FILE_SWAP + (uint32_t)kind)) continue;
        segment_path(log, base_offset, segment_suffixes[kind], to);
        snprintf(from, sizeof from, "%s" SWAP_SUFFIX, to);
        r = log->dir->io->renameat(log->dir->fd, from, to);
    }
    if (!r) r = io_sync_dir(log->dir->io, log->dir->fd, log_folder(log));
    if (!r)
        log_info("storage", "an interrupted compaction was finished partition=%s from=%" PRId64 " to=%" PRId64,
                 log->name, base_offset, end);
    return r;
}

/* Indexes whose .log is no swap: it was not renamed yet, or (a disk may order renames as it likes) has its name
 * already. Those of offsets and times can be made anew. That of aborted transactions is kept where no old one stands:
 * what does not belong to the .log is then found to be so, as its entries lie behind its end. */
static int finish_lone_index(struct folder *f, const struct folder_file *file)
{
    struct partition_log *log = f->log;
    char from[SEGMENT_PATH_BYTES], to[SEGMENT_PATH_BYTES];

    if (file->kind != FILE_SWAP + FILE_ABORTED || folder_has(f, file->offset, FILE_ABORTED))
        return folder_remove_file(f, file);
    segment_path(log, file->offset, ".txnindex" SWAP_SUFFIX, from);
    segment_path(log, file->offset, ".txnindex", to);
    return log->dir->io->renameat(log->dir->fd, from, to);
}

int compact_resume(struct folder *f)
{
    int r = 0;
    for (uint32_t i = 0; i < f->count && !r; i++) {
        const struct folder_file *file = &f->files[i];
        if (file->kind == FILE_SWAP + FILE_LOG) r = finish_swap(f, file->offset);
        else if (file->kind > FILE_SWAP && !folder_has(f, file->offset, FILE_SWAP + FILE_LOG))
            r = finish_lone_index(f, file);
    }
    return r;
}
