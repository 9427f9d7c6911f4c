/* storage/log_dir.c: one data directory as a whole: opening and closing it, in the order that each step needs. What
 * lies in it: dir_identity.c, dir_checkpoints.c, clean_stop.c (small files), log_table.c (logs), partition_folder.c
 * (their folders). Format: docs/format-log-dir.md. */
#include "storage/log_internal.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define OPEN_FILES_DEFAULT 512

void log_dir_options_default(struct log_dir_options *o)
{
    *o = (struct log_dir_options){
        .path = "./ottla-data",
        .node_id = 1,
        .flush_interval_ms = 1000,
        .retention_check_interval_ms = 300 * 1000,
        .recovery_point_interval_ms = 5000,
        .producer_id_expiration_ms = 24 * 3600 * 1000,
        .cleaner = {.enable = true,
                    .backoff_ms = 15 * 1000,
                    .dedupe_buffer_bytes = 128 * 1024 * 1024,
                    .load_factor = 0.9,
                    .bytes_per_second_max = 1e18},
        .open_files_max = OPEN_FILES_DEFAULT,
    };
}

static int open_directory(struct log_dir *dir, struct err *err)
{
    struct dir_identity missing;

    int r = dir->io->mkdirat(AT_FDCWD, dir->path, 0755);
    if (r == -ENOENT) return err_set(err, r, "cannot create %s: the directory above it does not exist", dir->path);
    if (r && r != -EEXIST)
        return err_set(err, r, "cannot create %s: %s (this process runs as user %u)", dir->path, strerror(-r),
                       (unsigned)geteuid());
    dir->fd = dir->io->openat(AT_FDCWD, dir->path, O_RDONLY | O_DIRECTORY, 0);
    if (dir->fd < 0) return err_set(err, dir->fd, "cannot open %s: %s", dir->path, strerror(-dir->fd));
    r = dir_identity_read(dir, &missing, err);
    /* A directory without logs has nothing to check. In one that we take over Kafka's own mark counts. */
    if (!r && missing.format) dir->was_clean = partition_folder_has_unopened(dir) == 0;
    if (!r) r = clean_stop_take_mark(dir, err);
    if (!r && (missing.meta || missing.format)) r = dir_identity_write(dir, missing, err);
    if (!r) r = dir_checkpoints_load(dir, err);
    return r;
}

static void free_dir(struct log_dir *dir)
{
    if (dir->lock_fd >= 0) dir->io->close(dir->lock_fd);
    if (dir->fd >= 0) dir->io->close(dir->fd);
    clean_state_done(&dir->clean);
    dir_checkpoints_done(dir);
    for (struct log_failure *f = LIST_FIRST(&dir->failures), *next; f; f = next) {
        next = LIST_NEXT(f, link);
        free(f);
    }
    pthread_rwlock_destroy(&dir->visibility);
    pthread_mutex_destroy(&dir->lock);
    pthread_mutex_destroy(&dir->checkpoint_lock);
    pthread_cond_destroy(&dir->housekeeper_wake);
    pthread_cond_destroy(&dir->cleaner_wake);
    pthread_cond_destroy(&dir->scrub.wake);
    open_files_done(&dir->files);
    free(dir->path);
    free(dir);
}

void log_dir_unref(struct log_dir *dir)
{
    if (atomic_fetch_sub(&dir->refs, 1) == 1) free_dir(dir);
}

static struct log_dir *new_dir(const struct log_dir_options *o)
{
    struct log_dir *dir = xcalloc(1, sizeof *dir);
    pthread_rwlockattr_t rwlock;
    pthread_condattr_t cond;

    dir->options = *o;
    dir->path = xstrdup(o->path);
    dir->options.path = dir->path;
    dir->io = o->io ? o->io : &io_posix;
    dir->clock = o->clock ? o->clock : &clock_system;
    dir->fd = dir->lock_fd = -1;
    atomic_init(&dir->refs, 1);
    /* A release must not wait for as long as fetches keep coming. */
    pthread_rwlockattr_init(&rwlock);
    pthread_rwlockattr_setkind_np(&rwlock, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&dir->visibility, &rwlock);
    pthread_rwlockattr_destroy(&rwlock);
    pthread_mutex_init(&dir->lock, NULL);
    pthread_mutex_init(&dir->checkpoint_lock, NULL);
    pthread_condattr_init(&cond);
    pthread_condattr_setclock(&cond, CLOCK_MONOTONIC);
    pthread_cond_init(&dir->housekeeper_wake, &cond);
    pthread_cond_init(&dir->cleaner_wake, &cond);
    pthread_cond_init(&dir->scrub.wake, &cond);
    pthread_condattr_destroy(&cond);
    LIST_INIT(&dir->logs);
    LIST_INIT(&dir->configs);
    LIST_INIT(&dir->failures);
    STAILQ_INIT(&dir->removals);
    STAILQ_INIT(&dir->checkpoint_waits);
    open_files_init(&dir->files, dir->io, o->open_files_max);
    return dir;
}

int log_dir_open(const struct log_dir_options *o, struct log_dir **ret_dir, struct err *err)
{
    struct log_dir *dir = new_dir(o);

    int r = open_directory(dir, err);
    if (!r) {
        r = sync_service_init(&dir->sync);
        if (!r) r = housekeeper_start(dir);
        if (!r && (r = cleaner_start(dir))) housekeeper_stop(dir);
        if (!r && (r = scrubber_start(dir))) {
            cleaner_stop(dir);
            housekeeper_stop(dir);
        }
        if (r) err_set(err, r, "cannot start a thread: %s", strerror(-r));
        if (r) sync_service_stop(&dir->sync);
    }
    if (r) {
        free_dir(dir);
        return r;
    }
    *ret_dir = dir;
    return 0;
}

const char *log_dir_path(const struct log_dir *dir)
{
    return dir->path;
}

const char *log_dir_cluster_id(const struct log_dir *dir)
{
    return dir->cluster_id;
}

struct uuid log_dir_directory_id(const struct log_dir *dir)
{
    return dir->directory_id;
}

void log_dir_serve(struct log_dir *dir)
{
    atomic_store(&dir->serving, true);
}

bool log_dir_was_clean(const struct log_dir *dir)
{
    return dir->was_clean;
}

int log_dir_space(struct log_dir *dir, int64_t *ret_total, int64_t *ret_usable)
{
    struct statvfs st;
    int r = dir->io->statvfs(dir->fd, &st);
    if (r) return r;
    *ret_total = (int64_t)(st.f_blocks * st.f_frsize);
    *ret_usable = (int64_t)(st.f_bavail * st.f_frsize);
    return 0;
}

void log_dir_close(struct log_dir *dir)
{
    struct partition_log *log;
    bool good;

    if (!dir) return;
    scrubber_stop(dir);
    cleaner_stop(dir);
    housekeeper_stop(dir);
    good = !log_dir_sync_logs(dir, false);
    sync_service_stop(&dir->sync);
    LIST_FOREACH(log, &dir->logs, link) good &= clean_stop_finish_log(log);
    log_dir_remove_due(dir, true);
    int r = log_dir_write_checkpoints(dir);
    /* A mark says that all is well; what was not recovered in this run must be recovered in the next. */
    if (good && !r && !dir->was_clean) good = partition_folder_has_unopened(dir) == 0;
    if (good && !r) r = clean_stop_write_mark(dir);
    if (!good || r)
        log_error("storage", "the stop was not clean: the next start will check the logs path=%s", dir->path);
    while ((log = LIST_FIRST(&dir->logs))) {
        LIST_REMOVE(log, link);
        partition_log_unref(log);
    }
    /* The lock goes now, whoever still holds references. */
    dir->io->close(dir->lock_fd);
    dir->lock_fd = -1;
    log_dir_unref(dir);
}
