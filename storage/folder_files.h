/* storage/folder_files.h: the files of a partition's folder, listed once and asked by offset and kind while the folder
 * is loaded.
 *
 * Invariant: files are in order of (offset, kind); those of an unfinished compaction (.swap) have kinds from FILE_SWAP
 * on.
 * Threads: as the log that is loaded. */
#ifndef OTTLA_FOLDER_FILES_H
#define OTTLA_FOLDER_FILES_H

#include "storage/log_internal.h"

#define SWAP_SUFFIX ".swap"

/* Added to an enum segment_file: what compaction has written and not put in its place. */
#define FILE_SWAP SEGMENT_FILES

struct folder_file {
    int64_t offset; /* in its name */
    uint32_t kind;
};

struct folder {
    struct partition_log *log;
    struct folder_file *files; /* by offset, then kind */
    uint32_t count;
    uint32_t allocated;
    uint32_t swaps_count; /* of what compaction has not finished: they come last in files */
    bool removed;         /* some were, since the folder was synced */
    bool live;            /* the log is in use: only look */
};

/* By its name: it was about to be removed, or was never finished. */
bool folder_file_is_left_over(const char *name);
/* Lists the folder of log; with f->live nothing is changed, else leftovers (.deleted, .cleaned, .tmp) are removed.
 * f->files is the caller's to free. Returns 0 or -errno; -EMFILE: more files than are believed. */
int folder_read(struct folder *f, struct partition_log *log) WARN_UNUSED;
bool folder_has(const struct folder *f, int64_t offset, uint32_t kind);
/* Removes one of its files; it may be gone already. Notes it in f->removed. Returns 0 or -errno. */
int folder_remove_file(struct folder *f, const struct folder_file *file) WARN_UNUSED;

#endif
