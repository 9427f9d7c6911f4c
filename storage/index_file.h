/* storage/index_file.h: sorted entries of a fixed size, as .index and .timeindex files hold them, back to back.
 *
 * The active segment's entries are in memory whole and are appended to their file now and then: an index is a cache
 * that recovery rebuilds from the .log file, so nothing waits for it. Those of closed segments are read where a search
 * needs them. Nothing is preallocated and nothing is mapped.
 * Invariant: the file holds the first `written` of the `count` entries, unless `shortened`.
 * Threads: under the log's mutex; a view of a file may be used by its owner without it. */
#ifndef OTTLA_INDEX_FILE_H
#define OTTLA_INDEX_FILE_H

#include "storage/io.h"

#define INDEX_ENTRY_BYTES_MAX 12

struct index_file {
    uint8_t *entries; /* NULL: closed, or none yet */
    uint32_t count;
    uint32_t allocated; /* [entries] */
    uint32_t written;
    bool shortened; /* the file is longer than `written` says, or unknown: cut it at the next write */
};

/* Entries in memory (entries set) or in a file (fd). */
struct index_view {
    const struct io_ops *io;
    const uint8_t *entries;
    int fd;
    uint32_t count;
    uint32_t entry_bytes;
};

/* Frees the memory; entries not written are lost. */
void index_file_done(struct index_file *f);
/* Returns 0 or -ENOMEM. */
int index_file_append(struct index_file *f, const void *entry, uint32_t entry_bytes) WARN_UNUSED;
/* Keeps the first count entries. */
void index_file_shorten(struct index_file *f, uint32_t count);
/* Brings the file up to date, creating it when there is none. sync: durable on return. Returns 0 or -errno. */
int index_file_write(struct index_file *f, uint32_t entry_bytes, const struct io_ops *io, int dir_fd, const char *path,
                     bool sync) WARN_UNUSED;
/* Reads all entries into memory; a part of an entry at the end is dropped. -EFBIG beyond bytes_max. */
int index_file_load(struct index_file *f, uint32_t entry_bytes, const struct io_ops *io, int dir_fd, const char *path,
                    uint32_t bytes_max) WARN_UNUSED;

static inline struct index_view index_file_view(const struct index_file *f, uint32_t entry_bytes)
{
    return (struct index_view){.entries = f->entries, .fd = -1, .count = f->count, .entry_bytes = entry_bytes};
}
/* Opens the file of a closed segment. Returns 0 or -errno. */
int index_view_open(struct index_view *v, uint32_t entry_bytes, const struct io_ops *io, int dir_fd,
                    const char *path) WARN_UNUSED;
void index_view_close(struct index_view *v);
/* entry: at least entry_bytes. Returns 0 or -errno. */
int index_view_get(const struct index_view *v, uint32_t i, uint8_t *entry) WARN_UNUSED;

/* The last entry for which before(arg, entry) holds; it must hold for a leading run of them. *ret_i = -1: for none. */
int index_view_search(const struct index_view *v, bool (*before)(const void *arg, const uint8_t *entry),
                      const void *arg, int64_t *ret_i, uint8_t *ret_entry) WARN_UNUSED;

#endif
