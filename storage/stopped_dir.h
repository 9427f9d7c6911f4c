/* storage/stopped_dir.h: a data directory, ours or Kafka's, that no program uses: whose it is, and which partitions are in it.
 *
 * Only reads. While it is open no broker can start on it: its lock is held (shared, so that a directory that may not be written to
 * can be opened too). Layout: docs/format-log-dir.md. Threads: one at a time. */
#ifndef OTTLA_STOPPED_DIR_H
#define OTTLA_STOPPED_DIR_H

#include "base/err.h"
#include "base/uuid.h"
#include "storage/checkpoint.h"
#include "storage/meta_properties.h"

#define STOPPED_DIR_FOLDERS_MAX 2000000 /* partitions in one directory; beyond it the listing is refused */

struct stopped_folder {
    char *name;         /* "topic-0" */
    uint32_t topic_len; /* its leading part */
    int32_t partition;
    struct uuid topic_id; /* zero: its partition.metadata is missing or says nothing */
};

struct stopped_dir {
    char *path;
    int fd, lock_fd; /* lock_fd -1: there is no lock's file, so nobody has it */
    struct meta_properties meta;
    bool is_ottla;                  /* has ottla.format */
    struct stopped_folder *folders; /* by name */
    uint32_t folders_count, folders_allocated;
    struct checkpoint recovery_points, log_starts, clean_ends; /* sorted */
    char *texts[3];                                            /* what these point into */
};

/* Errors name the path: no such directory, in use, not a data directory (no meta.properties), damaged. Folders that are no partition's,
 * those on their way out (-delete), set aside (-stray) or in (-future) among them, are passed over. */
int stopped_dir_open(const char *path, struct stopped_dir **ret_dir, struct err *err) WARN_UNUSED;
void stopped_dir_close(struct stopped_dir *dir);

/* NULL: not there. */
const struct stopped_folder *stopped_dir_find(const struct stopped_dir *dir, const char *topic, int32_t partition);

/* How far a log goes, by its last whole batch: the one of the later epoch is the newer copy, and of one epoch the longer. */
struct stopped_log_end {
    int32_t epoch; /* -1: it has no batch */
    int64_t offset;
};
int stopped_dir_log_end(const struct stopped_dir *dir, const struct stopped_folder *folder,
                        struct stopped_log_end *ret_end, struct err *err) WARN_UNUSED;

#endif
