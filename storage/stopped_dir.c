/* storage/stopped_dir.c: see stopped_dir.h. */
#include "storage/stopped_dir.h"

#include "storage/log_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* -- the lock -- */

static int hold_lock(struct stopped_dir *dir, struct err *err)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};

    dir->lock_fd = io_posix.openat(dir->fd, LOCK_FILE, O_RDONLY, 0);
    if (dir->lock_fd == -ENOENT) return 0;
    if (dir->lock_fd < 0)
        return err_set(err, dir->lock_fd, "%s/%s cannot be opened: %s", dir->path, LOCK_FILE, strerror(-dir->lock_fd));
    if (fcntl(dir->lock_fd, F_OFD_SETLK, &lock) == 0) return 0;
    if (errno == EAGAIN || errno == EACCES)
        return err_set(err, -EBUSY, "%s is in use (`fuser %s/%s` shows by which process): stop that broker first",
                       dir->path, dir->path, LOCK_FILE);
    return err_set(err, -errno, "%s/%s cannot be locked: %s", dir->path, LOCK_FILE, strerror(errno));
}

/* -- whose it is -- */

static int read_identity(struct stopped_dir *dir, struct err *err)
{
    struct stat st;
    AUTO_FREE char *text = NULL;
    size_t size;

    int r = io_read_file(&io_posix, dir->fd, META_FILE, DIR_TEXT_FILE_MAX, &text, &size);
    if (r == -ENOENT) return err_set(err, r, "%s is no data directory of a broker: it has no %s", dir->path, META_FILE);
    if (r) return err_set(err, r, "%s/%s cannot be read: %s", dir->path, META_FILE, strerror(-r));
    if (!meta_properties_parse(text, &dir->meta))
        return err_set(err, -EBADMSG, "%s/%s has no cluster.id, or no node.id or broker.id", dir->path, META_FILE);
    dir->is_ottla = io_posix.fstatat(dir->fd, FORMAT_FILE, &st) == 0;
    return 0;
}

/* -- what is in it -- */

static struct uuid read_topic_id(const struct stopped_dir *dir, const char *folder)
{
    char path[SEGMENT_PATH_BYTES];
    struct uuid id;
    AUTO_FREE char *text = NULL;
    size_t size;

    snprintf(path, sizeof path, "%s/" PARTITION_FILE, folder);
    if (io_read_file(&io_posix, dir->fd, path, DIR_TEXT_FILE_MAX, &text, &size) < 0 ||
        !partition_metadata_parse(text, &id))
        return (struct uuid){{0}};
    return id;
}

static int note_folder(void *arg, const char *name)
{
    struct stopped_dir *dir = arg;
    const char *dash = strrchr(name, '-');
    struct stat st;

    if (!partition_folder_is(name) || strlen(name) >= LOG_NAME_BYTES) return 0;
    errno = 0;
    long partition = strtol(dash + 1, NULL, 10);
    if (errno || partition > INT32_MAX) return 0;
    int r = io_posix.fstatat(dir->fd, name, &st);
    if (r) return r;
    if (!S_ISDIR(st.st_mode)) return 0;
    if (dir->folders_count == STOPPED_DIR_FOLDERS_MAX) return -EOVERFLOW;
    if (dir->folders_count == dir->folders_allocated) {
        dir->folders_allocated = dir->folders_allocated ? dir->folders_allocated * 2 : 64;
        dir->folders = xrealloc(dir->folders, dir->folders_allocated * sizeof *dir->folders);
    }
    dir->folders[dir->folders_count++] = (struct stopped_folder){.name = xstrdup(name),
                                                                 .topic_len = (uint32_t)(dash - name),
                                                                 .partition = (int32_t)partition,
                                                                 .topic_id = read_topic_id(dir, name)};
    return 0;
}

static int compare_folders(const void *a, const void *b)
{
    return strcmp(((const struct stopped_folder *)a)->name, ((const struct stopped_folder *)b)->name);
}

static int read_checkpoint(struct stopped_dir *dir, const char *name, struct checkpoint *c, char **ret_text,
                           struct err *err)
{
    size_t size;
    int r = io_read_file(&io_posix, dir->fd, name, CHECKPOINT_FILE_MAX, ret_text, &size);
    if (r == -ENOENT) return 0;
    if (r) return err_set(err, r, "%s/%s cannot be read: %s", dir->path, name, strerror(-r));
    if (strlen(*ret_text) == size && checkpoint_parse(c, *ret_text) == 0) {
        checkpoint_sort(c);
        return 0;
    }
    return err_set(err, -EBADMSG,
                   "%s/%s is damaged; without it (move it away) all logs are checked as after a crash, and cut where "
                   "they are damaged",
                   dir->path, name);
}

int stopped_dir_open(const char *path, struct stopped_dir **ret_dir, struct err *err)
{
    struct stopped_dir *dir = xcalloc(1, sizeof *dir);
    int r = 0;

    dir->path = xstrdup(path);
    dir->lock_fd = -1;
    dir->fd = io_posix.openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
    if (dir->fd < 0) r = err_set(err, dir->fd, "%s cannot be opened: %s", path, strerror(-dir->fd));
    if (!r) r = read_identity(dir, err);
    if (!r) r = hold_lock(dir, err);
    if (!r) {
        r = io_posix.list(dir->fd, ".", note_folder, dir);
        if (r) err_set(err, r, "%s cannot be listed: %s", path, strerror(-r));
    }
    if (!r) r = read_checkpoint(dir, RECOVERY_POINT_FILE, &dir->recovery_points, &dir->texts[0], err);
    if (!r) r = read_checkpoint(dir, LOG_START_FILE, &dir->log_starts, &dir->texts[1], err);
    if (!r) r = read_checkpoint(dir, CLEANER_FILE, &dir->clean_ends, &dir->texts[2], err);
    if (r) {
        stopped_dir_close(dir);
        return r;
    }
    if (dir->folders_count) qsort(dir->folders, dir->folders_count, sizeof *dir->folders, compare_folders);
    *ret_dir = dir;
    return 0;
}

void stopped_dir_close(struct stopped_dir *dir)
{
    if (!dir) return;
    for (uint32_t i = 0; i < dir->folders_count; i++) free(dir->folders[i].name);
    free(dir->folders);
    checkpoint_done(&dir->recovery_points);
    checkpoint_done(&dir->log_starts);
    checkpoint_done(&dir->clean_ends);
    for (uint32_t i = 0; i < countof(dir->texts); i++) free(dir->texts[i]);
    if (dir->lock_fd >= 0) io_posix.close(dir->lock_fd);
    if (dir->fd >= 0) io_posix.close(dir->fd);
    free(dir->path);
    free(dir);
}

const struct stopped_folder *stopped_dir_find(const struct stopped_dir *dir, const char *topic, int32_t partition)
{
    char name[LOG_NAME_BYTES];
    struct stopped_folder key = {.name = name};

    if (!dir->folders_count || snprintf(name, sizeof name, "%s-%d", topic, partition) >= LOG_NAME_BYTES) return NULL;
    return bsearch(&key, dir->folders, dir->folders_count, sizeof *dir->folders, compare_folders);
}

/* -- how far a log goes -- */

static int note_last_segment(void *arg, const char *name)
{
    int64_t *last = arg, base;
    char again[LOG_NAME_BYTES];
    if (sscanf(name, "%20" SCNd64, &base) != 1 || base < 0) return 0;
    snprintf(again, sizeof again, "%020" PRId64 ".log", base);
    if (!strcmp(name, again)) *last = MAX(*last, base);
    return 0;
}

/* Headers only; what follows the last whole batch is a torn tail, which the next start cuts. */
static int scan_segment(int fd, struct stopped_log_end *end)
{
    struct header_reader *reader = xmalloc(sizeof *reader);
    struct record_batch batch;
    struct stat st;
    uint32_t size;

    int r = io_posix.fstat(fd, &st);
    if (r == 0) header_reader_init(reader, &io_posix, fd, 0, (uint32_t)MIN(st.st_size, UINT32_MAX));
    for (; r >= 0 && (r = header_reader_peek(reader, &batch, &size)) > 0; reader->position += size) {
        end->epoch = batch.partition_leader_epoch;
        end->offset = record_batch_next_offset(&batch);
    }
    free(reader);
    return r == -EBADMSG ? 0 : r;
}

int stopped_dir_log_end(const struct stopped_dir *dir, const struct stopped_folder *folder,
                        struct stopped_log_end *ret_end, struct err *err)
{
    char path[SEGMENT_PATH_BYTES];
    int64_t last = -1;

    *ret_end = (struct stopped_log_end){.epoch = -1};
    int r = io_posix.list(dir->fd, folder->name, note_last_segment, &last);
    if (!r && last >= 0) {
        snprintf(path, sizeof path, "%s/%020" PRId64 ".log", folder->name, last);
        AUTO_FD int fd = io_posix.openat(dir->fd, path, O_RDONLY, 0);
        ret_end->offset = last;
        r = fd < 0 ? fd : scan_segment(fd, ret_end);
    }
    return r ? err_set(err, r, "%s/%s cannot be read: %s", dir->path, folder->name, strerror(-r)) : 0;
}
