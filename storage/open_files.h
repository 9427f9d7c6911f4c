/* storage/open_files.h: the .log files that are open, at most so many; the least recently used is closed.
 *
 * A file that somebody holds a reference on is not closed, nor is one with unsynced bytes: it is synced first, because
 * a later sync by another descriptor would not report this one's errors.
 * Invariants: at most max files are open, but for those that are held.
 * Threads: any; its lock is the last in the order. Syncing before a close is done outside of it. */
#ifndef OTTLA_OPEN_FILES_H
#define OTTLA_OPEN_FILES_H

#include "base/buf.h"
#include "storage/segment.h"

#include <pthread.h>
#include <sys/queue.h>

struct open_file {
    struct file_ref ref;
    const struct io_ops *io;
    struct segment *segment; /* NULL: not in the list any more */
    TAILQ_ENTRY(open_file) link;
};

struct open_files {
    pthread_mutex_t lock;
    TAILQ_HEAD(open_file_list, open_file) files; /* most recently used first */
    uint32_t count;
    uint32_t max;
    const struct io_ops *io;
};

void open_files_init(struct open_files *f, const struct io_ops *io, uint32_t max);
void open_files_done(struct open_files *f);

/* The segment's file with a reference for the caller. create: with O_CREAT | O_TRUNC. Returns 0 or -errno.
 * The caller holds the log's mutex or is alone with the segment. */
int open_files_get(struct open_files *f, struct segment *s, int dir_fd, const char *path, bool create,
                   struct file_ref **ret_file) WARN_UNUSED;
/* Takes the segment's file out of the list: it is closed when its last reference goes. */
void open_files_drop(struct open_files *f, struct segment *s);

#endif
