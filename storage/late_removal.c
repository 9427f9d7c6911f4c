/* storage/late_removal.c: files and folders that go some time after they were renamed (file.delete.delay.ms): somebody
 * may still be reading them. The list is lost with the process: a start finds what is left by the endings of the names.
 * Threads: any; the list is guarded by log_dir.lock, removal is done by the housekeeping thread and by the one that
 * closes the directory. */
#include "storage/log_internal.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>

static void remove_now(struct log_dir *dir, const char *path, bool folder)
{
    /* A folder that a power cut gives its old name back must be whole: half of it would be taken for the next
     * topic's. */
    int r = folder ? dir->io->fsync(dir->fd) : 0;
    if (!r) r = folder ? io_remove_dir(dir->io, dir->fd, path) : dir->io->unlinkat(dir->fd, path, 0);
    if (r && r != -ENOENT) log_warn("storage", "cannot remove: %s path=%s/%s", strerror(-r), dir->path, path);
}

void log_dir_remove_later(struct log_dir *dir, const char *path, bool folder, int64_t delay_ms)
{
    if (delay_ms <= 0) {
        remove_now(dir, path, folder);
        return;
    }
    struct late_removal *removal = xmalloc(sizeof *removal + strlen(path) + 1);
    removal->due_ms = clock_mono_ms(dir->clock) + delay_ms;
    removal->folder = folder;
    strcpy(removal->path, path);
    pthread_mutex_lock(&dir->lock);
    STAILQ_INSERT_TAIL(&dir->removals, removal, link);
    pthread_cond_signal(&dir->housekeeper_wake);
    pthread_mutex_unlock(&dir->lock);
}

void log_dir_remove_due(struct log_dir *dir, bool all)
{
    int64_t now_ms = clock_mono_ms(dir->clock);
    struct late_removals due = STAILQ_HEAD_INITIALIZER(due), left = STAILQ_HEAD_INITIALIZER(left);
    struct late_removal *removal;

    pthread_mutex_lock(&dir->lock);
    while ((removal = STAILQ_FIRST(&dir->removals))) {
        STAILQ_REMOVE_HEAD(&dir->removals, link);
        if (all || removal->due_ms <= now_ms) STAILQ_INSERT_TAIL(&due, removal, link);
        else STAILQ_INSERT_TAIL(&left, removal, link);
    }
    STAILQ_CONCAT(&dir->removals, &left);
    pthread_mutex_unlock(&dir->lock);
    while ((removal = STAILQ_FIRST(&due))) {
        STAILQ_REMOVE_HEAD(&due, link);
        remove_now(dir, removal->path, removal->folder);
        free(removal);
    }
}

static int find_deleted_folder(void *arg, const char *name)
{
    struct log_dir *dir = arg;
    if (partition_folder_was_renamed(name, "delete")) log_dir_remove_later(dir, name, true, 1);
    return 0;
}

void log_dir_find_deleted(struct log_dir *dir)
{
    int r = dir->io->list(dir->fd, ".", find_deleted_folder, dir);
    if (r) log_warn("storage", "cannot list the data directory: %s path=%s", strerror(-r), dir->path);
}
