/* storage/dir_identity.c: whose a data directory is: the lock of the process that uses it, the version of its format
 * (ottla.format), the cluster and node that it belongs to (meta.properties). See docs/format-log-dir.md.
 *
 * Nothing is touched in a directory of a newer format, of another node, or that another process uses. What is missing
 * is made up first and written once all else about the directory has been found good. Threads: the one that opens
 * it. */
#include "storage/log_internal.h"
#include "storage/meta_properties.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static int take_lock(struct log_dir *dir, struct err *err)
{
    dir->lock_fd = dir->io->openat(dir->fd, LOCK_FILE, O_RDWR | O_CREAT, 0644);
    if (dir->lock_fd < 0)
        return err_set(err, dir->lock_fd, "%s is not writable: %s (this process runs as user %u)", dir->path,
                       strerror(-dir->lock_fd), (unsigned)geteuid());
    /* Conflicts with the record lock that Kafka takes, and does not vanish when another descriptor of the file
     * closes. */
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(dir->lock_fd, F_OFD_SETLK, &lock) < 0) {
        int r = -errno;
        if (r == -EAGAIN || r == -EACCES)
            return err_set(
                err, -EBUSY,
                "%s is in use by another process (its file %s is locked; `fuser %s/%s` shows by which): stop it, "
                "or choose another directory with log.dirs",
                dir->path, LOCK_FILE, dir->path, LOCK_FILE);
        return err_set(err, r, "%s cannot be locked: %s", dir->path, strerror(-r));
    }
    return 0;
}

static int check_format(struct log_dir *dir, bool *ret_missing, struct err *err)
{
    char *text;
    size_t size;
    int version;

    int r = io_read_file(dir->io, dir->fd, FORMAT_FILE, DIR_TEXT_FILE_MAX, &text, &size);
    *ret_missing = r == -ENOENT;
    if (*ret_missing) return 0;
    if (r) return err_set(err, r, "cannot read %s/%s: %s", dir->path, FORMAT_FILE, strerror(-r));
    bool parsed = sscanf(text, "version=%d", &version) == 1;
    free(text);
    if (!parsed) return err_set(err, -EBADMSG, "%s/%s is damaged", dir->path, FORMAT_FILE);
    if (version > LOG_DIR_FORMAT_VERSION)
        return err_set(err, -EPROTO,
                       "%s was written by a newer version (format %d, this one knows up to %d): start that version, or "
                       "choose another directory with log.dirs",
                       dir->path, version, LOG_DIR_FORMAT_VERSION);
    return 0;
}

static int check_meta(struct log_dir *dir, bool *ret_missing, struct err *err)
{
    struct meta_properties meta;
    char *text;
    size_t size;

    int r = io_read_file(dir->io, dir->fd, META_FILE, DIR_TEXT_FILE_MAX, &text, &size);
    *ret_missing = r == -ENOENT;
    if (*ret_missing) {
        dir->directory_id = uuid_random();
        uuid_format(uuid_random(), dir->cluster_id);
        return 0;
    }
    if (r) return err_set(err, r, "cannot read %s/%s: %s", dir->path, META_FILE, strerror(-r));
    bool parsed = meta_properties_parse(text, &meta);
    free(text);
    if (!parsed) return err_set(err, -EBADMSG, "%s/%s has no cluster.id or node.id", dir->path, META_FILE);
    if (meta.node_id != dir->options.node_id)
        return err_set(err, -EPERM, "%s belongs to node.id=%d, not to node.id=%d", dir->path, meta.node_id,
                       dir->options.node_id);
    strcpy(dir->cluster_id, meta.cluster_id);
    dir->directory_id = meta.directory_id;
    if (uuid_is_zero(meta.directory_id)) {
        dir->directory_id = uuid_random();
        *ret_missing = true; /* written again, with one */
    }
    return 0;
}

int dir_identity_read(struct log_dir *dir, struct dir_identity *ret_missing, struct err *err)
{
    struct dir_identity missing;

    int r = check_format(dir, &missing.format, err); /* in a newer one nothing is touched, not even the lock's file */
    if (!r) r = take_lock(dir, err);
    if (!r) r = check_format(dir, &missing.format, err);
    if (!r) r = check_meta(dir, &missing.meta, err);
    if (!r) *ret_missing = missing;
    return r;
}

int dir_identity_write(struct log_dir *dir, struct dir_identity missing, struct err *err)
{
    struct meta_properties meta = {.node_id = dir->options.node_id, .directory_id = dir->directory_id};
    char text[META_PROPERTIES_TEXT_BYTES];
    int r = 0;

    if (missing.meta) {
        strcpy(meta.cluster_id, dir->cluster_id);
        meta_properties_format(&meta, text);
        /* Whole when its name is there: an empty one would keep the directory shut. The format's rename syncs this
         * one's. */
        r = io_replace_file(dir->io, dir->fd, missing.format ? NULL : ".", META_FILE, text, strlen(text), true);
    }
    if (!r && missing.format) {
        snprintf(text, sizeof text, "version=%d\n", LOG_DIR_FORMAT_VERSION);
        r = io_replace_file(dir->io, dir->fd, ".", FORMAT_FILE, text, strlen(text), true);
    }
    return r ? err_set(err, r, "%s is not writable: %s", dir->path, strerror(-r)) : 0;
}
