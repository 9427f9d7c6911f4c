/* storage/dir_builder.c: see dir_builder.h. */
#include "storage/dir_builder.h"

#include "storage/folder_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define COPY_BYTES (1u << 20) /* where the kernel cannot copy by itself */

struct dir_builder {
    char *path, *partial;
    int fd;
    char **topics; /* what the lines point to */
    uint32_t topics_count, topics_allocated;
    struct checkpoint recovery_points, log_starts, clean_ends;
};

static void builder_free(struct dir_builder *b)
{
    checkpoint_done(&b->recovery_points);
    checkpoint_done(&b->log_starts);
    checkpoint_done(&b->clean_ends);
    for (uint32_t i = 0; i < b->topics_count; i++) free(b->topics[i]);
    free(b->topics);
    if (b->fd >= 0) io_posix.close(b->fd);
    free(b->path);
    free(b->partial);
    free(b);
}

int dir_builder_begin(const char *path, const char *cluster_id, int32_t node_id, struct uuid directory_id,
                      struct dir_builder **ret_builder, struct err *err)
{
    struct dir_builder *b = xcalloc(1, sizeof *b);
    struct meta_properties meta = {.node_id = node_id,
                                   .directory_id = uuid_is_zero(directory_id) ? uuid_random() : directory_id};
    char text[META_PROPERTIES_TEXT_BYTES];
    struct stat st;

    snprintf(meta.cluster_id, sizeof meta.cluster_id, "%s", cluster_id);
    b->fd = -1;
    b->path = xstrdup(path);
    for (size_t len = strlen(b->path); len > 1 && b->path[len - 1] == '/';) b->path[--len] = '\0';
    b->partial = xasprintf("%s.partial", b->path);
    int r = io_posix.fstatat(AT_FDCWD, path, &st);
    if (r == 0) r = err_set(err, -EEXIST, "%s is there already: name a directory that is not", path);
    else if (r == -ENOENT) r = io_posix.mkdirat(AT_FDCWD, b->partial, 0755);
    if (r == -EEXIST && !err->code)
        err_set(err, r, "%s is there already, of an attempt that did not end: remove it first", b->partial);
    else if (r && !err->code) err_set(err, r, "%s cannot be made: %s", b->partial, strerror(-r));
    if (r) {
        builder_free(b);
        return r;
    }
    b->fd = io_posix.openat(AT_FDCWD, b->partial, O_RDONLY | O_DIRECTORY, 0);
    r = b->fd < 0 ? b->fd : 0;
    meta_properties_format(&meta, text);
    if (!r) r = io_replace_file(&io_posix, b->fd, ".", META_FILE, text, strlen(text), true);
    if (r) {
        err_set(err, r, "%s cannot be written to: %s", b->partial, strerror(-r));
        dir_builder_abandon(b);
        return r;
    }
    *ret_builder = b;
    return 0;
}

const char *dir_builder_path(const struct dir_builder *b)
{
    return b->partial;
}

/* -- copying -- */

/* Shares the blocks where the file system can (copy_file_range). */
static int copy_bytes(int from, int to, uint64_t size)
{
    AUTO_FREE char *buffer = NULL;
    uint64_t at = 0;

    while (at < size) {
        loff_t read_at = (loff_t)at, write_at = (loff_t)at;
        ssize_t n = buffer ? -1 : copy_file_range(from, &read_at, to, &write_at, size - at, 0);
        if (n < 0 && !buffer) {
            if (errno == EINTR) continue;
            if (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) return -errno;
            buffer = xmalloc(COPY_BYTES);
        }
        if (buffer) {
            n = io_pread_all(&io_posix, from, buffer, MIN(size - at, COPY_BYTES), at);
            if (n < 0) return (int)n;
            int r = io_pwrite_all(&io_posix, to, buffer, (size_t)n, at);
            if (r) return r;
        }
        if (n == 0) return -EIO; /* it was longer a moment ago */
        at += (uint64_t)n;
    }
    return 0;
}

struct folder_copy {
    int from, to; /* the folders */
    uint64_t bytes;
    char name[LOG_NAME_BYTES];
};

static int copy_file(void *arg, const char *name)
{
    struct folder_copy *c = arg;
    struct stat st;

    snprintf(c->name, sizeof c->name, "%s", name);
    if (folder_file_is_left_over(name)) return 0;
    AUTO_FD int from = io_posix.openat(c->from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (from < 0) return from;
    int r = io_posix.fstat(from, &st);
    if (r) return r;
    if (!S_ISREG(st.st_mode)) return -EINVAL;
    AUTO_FD int to = io_posix.openat(c->to, name, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (to < 0) return to;
    r = copy_bytes(from, to, (uint64_t)st.st_size);
    if (!r) r = io_posix.fdatasync(to);
    /* Kafka goes by it where a segment has no timestamp. */
    if (!r && futimens(to, (struct timespec[]){st.st_atim, st.st_mtim})) r = -errno;
    c->bytes += (uint64_t)st.st_size;
    return r;
}

/* The source's line about the folder, if there is one. */
static void take_line(const struct stopped_folder *folder, const char *topic, const struct checkpoint *from,
                      struct checkpoint *to)
{
    const struct checkpoint_entry *e = checkpoint_find(from, topic, folder->partition);
    if (e) checkpoint_add(to, topic, folder->partition, e->offset);
}

int dir_builder_copy(struct dir_builder *b, const struct stopped_dir *from, const struct stopped_folder *folder,
                     uint64_t *bytes, struct err *err)
{
    struct folder_copy c = {.bytes = 0};
    AUTO_FD int source = io_posix.openat(from->fd, folder->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

    if (source < 0)
        return err_set(err, source, "%s/%s cannot be opened: %s", from->path, folder->name, strerror(-source));
    int r = io_posix.mkdirat(b->fd, folder->name, 0755);
    AUTO_FD int target = r ? r : io_posix.openat(b->fd, folder->name, O_RDONLY | O_DIRECTORY, 0);
    if (target < 0)
        return err_set(err, target, "%s/%s cannot be made: %s", b->partial, folder->name, strerror(-target));
    c.from = source;
    c.to = target;
    r = io_posix.list(source, ".", copy_file, &c);
    if (r)
        return err_set(err, r, "%s/%s/%s cannot be copied: %s", from->path, folder->name, c.name,
                       r == -ELOOP || r == -EINVAL ? "it is not a plain file" : strerror(-r));
    r = io_posix.fsync(target);
    if (r) return err_set(err, r, "%s/%s cannot be synced: %s", b->partial, folder->name, strerror(-r));
    *bytes += c.bytes;

    if (b->topics_count == b->topics_allocated) {
        b->topics_allocated = b->topics_allocated ? b->topics_allocated * 2 : 64;
        b->topics = xrealloc(b->topics, b->topics_allocated * sizeof *b->topics);
    }
    const char *topic = b->topics[b->topics_count++] = xasprintf("%.*s", (int)folder->topic_len, folder->name);
    take_line(folder, topic, &from->recovery_points, &b->recovery_points);
    take_line(folder, topic, &from->log_starts, &b->log_starts);
    take_line(folder, topic, &from->clean_ends, &b->clean_ends);
    return 0;
}

int dir_builder_ensure(struct dir_builder *b, const char *topic, int32_t partition, struct uuid topic_id,
                       struct err *err)
{
    AUTO_FREE char *folder = xasprintf("%s-%d", topic, partition);
    AUTO_FREE char *segment = xasprintf("%s/%020d.log", folder, 0);
    AUTO_FREE char *file = xasprintf("%s/" PARTITION_FILE, folder);
    char text[PARTITION_METADATA_BYTES];

    int r = io_posix.mkdirat(b->fd, folder, 0755);
    if (r == -EEXIST) return 0;
    partition_metadata_format(topic_id, text);
    if (!r) r = io_replace_file(&io_posix, b->fd, NULL, file, text, strlen(text), true);
    AUTO_FD int fd = r ? r : io_posix.openat(b->fd, segment, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0) r = fd;
    if (!r) r = io_sync_dir(&io_posix, b->fd, folder);
    return r ? err_set(err, r, "%s/%s cannot be made: %s", b->partial, folder, strerror(-r)) : 0;
}

/* -- the end -- */

/* Adds to what is in the file what it does not name; c is empty then. */
static int add_lines(struct dir_builder *b, const char *name, struct checkpoint *c)
{
    struct checkpoint there = {0}, all = {0};
    AUTO_FREE char *old = NULL, *text = NULL;
    size_t size;

    int r = io_read_file(&io_posix, b->fd, name, CHECKPOINT_FILE_MAX, &old, &size);
    if (r && r != -ENOENT) return r;
    if (!r) r = checkpoint_parse(&there, old);
    else r = 0;
    checkpoint_sort(&there);
    for (uint32_t i = 0; i < there.count; i++)
        checkpoint_add(&all, there.entries[i].topic, there.entries[i].partition, there.entries[i].offset);
    for (uint32_t i = 0; i < c->count; i++)
        if (!checkpoint_find(&there, c->entries[i].topic, c->entries[i].partition))
            checkpoint_add(&all, c->entries[i].topic, c->entries[i].partition, c->entries[i].offset);
    text = checkpoint_format(&all, &size);
    if (!r) r = io_replace_file(&io_posix, b->fd, NULL, name, text, size, true);
    checkpoint_done(&there);
    checkpoint_done(&all);
    checkpoint_done(c);
    return r;
}

static int remove_file(struct dir_builder *b, const char *name)
{
    int r = io_posix.unlinkat(b->fd, name, 0);
    return r == -ENOENT ? 0 : r;
}

int dir_builder_seal(struct dir_builder *b, struct err *err)
{
    int r = add_lines(b, RECOVERY_POINT_FILE, &b->recovery_points);
    if (!r) r = add_lines(b, LOG_START_FILE, &b->log_starts);
    if (!r) r = add_lines(b, CLEANER_FILE, &b->clean_ends);
    if (!r) r = remove_file(b, CLEAN_FILE);
    if (!r) r = remove_file(b, CLEAN_STATE_FILE);
    if (!r) r = io_posix.fsync(b->fd);
    return r ? err_set(err, r, "%s cannot be written to: %s", b->partial, strerror(-r)) : 0;
}

int dir_builder_strip(struct dir_builder *b, struct err *err)
{
    int r = remove_file(b, CLEAN_STATE_FILE);
    if (!r) r = remove_file(b, FORMAT_FILE);
    if (!r) r = io_posix.fsync(b->fd);
    return r ? err_set(err, r, "%s cannot be written to: %s", b->partial, strerror(-r)) : 0;
}

/* The directory in which path's name stands. */
static int sync_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    AUTO_FREE char *parent = slash ? xasprintf("%.*s/", (int)(slash - path), path) : xstrdup(".");
    return io_sync_dir(&io_posix, AT_FDCWD, parent);
}

int dir_builder_finish(struct dir_builder *b, struct err *err)
{
    int r = io_posix.fsync(b->fd);
    if (!r) r = io_posix.renameat(AT_FDCWD, b->partial, b->path);
    if (!r) r = sync_parent(b->path);
    if (r) err_set(err, r, "%s cannot be renamed to %s: %s", b->partial, b->path, strerror(-r));
    builder_free(b);
    return r;
}

static int abandon_entry(void *arg, const char *name)
{
    const struct dir_builder *b = arg;
    struct stat st;
    int r = io_posix.fstatat(b->fd, name, &st);
    if (r) return r;
    return S_ISDIR(st.st_mode) ? io_remove_dir(&io_posix, b->fd, name) : io_posix.unlinkat(b->fd, name, 0);
}

void dir_builder_abandon(struct dir_builder *b)
{
    if (!b) return;
    /* What cannot be removed stays, and the next attempt says so. */
    if (b->fd >= 0) (void)io_posix.list(b->fd, ".", abandon_entry, (void *)b);
    (void)io_posix.unlinkat(AT_FDCWD, b->partial, AT_REMOVEDIR);
    builder_free(b);
}
