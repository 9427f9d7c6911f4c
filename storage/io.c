#include "storage/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define PATH_BYTES 400 /* a partition folder (260) and a file in it (40), with room */

static int result(int r)
{
    return r < 0 ? -errno : r;
}

static int posix_openat(int dir_fd, const char *path, int flags, mode_t mode)
{
    int fd;
    do fd = openat(dir_fd, path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return result(fd);
}

static void posix_close(int fd)
{
    close(fd);
}

static ssize_t posix_pread(int fd, void *bytes, size_t size, uint64_t position)
{
    ssize_t n;
    do n = pread(fd, bytes, size, (off_t)position);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static ssize_t posix_pwritev(int fd, const struct iovec *iov, int iov_count, uint64_t position)
{
    ssize_t n;
    do n = pwritev(fd, iov, iov_count, (off_t)position);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static int posix_ftruncate(int fd, uint64_t size)
{
    int r;
    do r = ftruncate(fd, (off_t)size);
    while (r < 0 && errno == EINTR);
    return result(r);
}

static int posix_fdatasync(int fd)
{
    return result(fdatasync(fd));
}

static int posix_fsync(int fd)
{
    return result(fsync(fd));
}

static int posix_fallocate_keep_size(int fd, uint64_t position, uint64_t size)
{
    return result(fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)position, (off_t)size));
}

static int posix_fstat(int fd, struct stat *ret_stat)
{
    return result(fstat(fd, ret_stat));
}

static int posix_fstatat(int dir_fd, const char *path, struct stat *ret_stat)
{
    return result(fstatat(dir_fd, path, ret_stat, 0));
}

static int posix_renameat(int dir_fd, const char *from, const char *to)
{
    return result(renameat(dir_fd, from, dir_fd, to));
}

static int posix_unlinkat(int dir_fd, const char *path, int flags)
{
    return result(unlinkat(dir_fd, path, flags));
}

static int posix_mkdirat(int dir_fd, const char *path, mode_t mode)
{
    return result(mkdirat(dir_fd, path, mode));
}

static int posix_list(int dir_fd, const char *path, int (*each)(void *arg, const char *name), void *arg)
{
    int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -errno;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int r = -errno;
        close(fd);
        return r;
    }
    int r = 0;
    while (!r) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (!entry) {
            r = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) r = each(arg, entry->d_name);
    }
    closedir(dir);
    return r;
}

static int posix_statvfs(int fd, struct statvfs *ret_stat)
{
    return result(fstatvfs(fd, ret_stat));
}

const struct io_ops io_posix = {
    .openat = posix_openat,
    .close = posix_close,
    .pread = posix_pread,
    .pwritev = posix_pwritev,
    .ftruncate = posix_ftruncate,
    .fdatasync = posix_fdatasync,
    .fsync = posix_fsync,
    .fallocate = posix_fallocate_keep_size,
    .fstat = posix_fstat,
    .fstatat = posix_fstatat,
    .renameat = posix_renameat,
    .unlinkat = posix_unlinkat,
    .mkdirat = posix_mkdirat,
    .list = posix_list,
    .statvfs = posix_statvfs,
};

int io_pwritev_all(const struct io_ops *io, int fd, struct iovec *iov, int iov_count, uint64_t position)
{
    while (iov_count > 0) {
        ssize_t n = io->pwritev(fd, iov, iov_count, position);
        if (n < 0) return (int)n;
        position += (uint64_t)n;
        size_t left = (size_t)n;
        bool any = false;
        for (; iov_count > 0 && left >= iov->iov_len; iov++, iov_count--) {
            any |= iov->iov_len > 0;
            left -= iov->iov_len;
        }
        if (iov_count > 0 && n == 0 && !any) return -EIO; /* the kernel takes nothing more and gives no reason */
        if (left) {
            iov->iov_base = (char *)iov->iov_base + left;
            iov->iov_len -= left;
        }
    }
    return 0;
}

int io_pwrite_all(const struct io_ops *io, int fd, const void *bytes, size_t size, uint64_t position)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    return io_pwritev_all(io, fd, &iov, 1, position);
}

ssize_t io_pread_all(const struct io_ops *io, int fd, void *bytes, size_t size, uint64_t position)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = io->pread(fd, (char *)bytes + done, size - done, position + done);
        if (n < 0) return n;
        if (n == 0) break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int io_read_file(const struct io_ops *io, int dir_fd, const char *path, size_t size_max, char **ret_bytes,
                 size_t *ret_size)
{
    struct stat st;
    int fd = io->openat(dir_fd, path, O_RDONLY, 0);
    if (fd < 0) return fd;
    int r = io->fstat(fd, &st);
    if (!r && (uint64_t)st.st_size > size_max) r = -EFBIG;
    char *bytes = r ? NULL : malloc((size_t)st.st_size + 1);
    if (!r && !bytes) r = -ENOMEM;
    if (!r) {
        ssize_t n = io_pread_all(io, fd, bytes, (size_t)st.st_size, 0);
        if (n < 0) {
            r = (int)n;
        } else {
            bytes[n] = '\0';
            *ret_bytes = bytes;
            *ret_size = (size_t)n;
        }
    }
    if (r) free(bytes);
    io->close(fd);
    return r;
}

int io_sync_dir(const struct io_ops *io, int dir_fd, const char *path)
{
    int fd = io->openat(dir_fd, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) return fd;
    int r = io->fsync(fd);
    io->close(fd);
    return r;
}

int io_replace_file(const struct io_ops *io, int dir_fd, const char *dir_path, const char *path, const void *bytes,
                    size_t size, bool sync)
{
    char beside[PATH_BYTES];
    if (snprintf(beside, sizeof beside, "%s.tmp", path) >= (int)sizeof beside) return -ENAMETOOLONG;

    int fd = io->openat(dir_fd, beside, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0) return fd;
    int r = io_pwrite_all(io, fd, bytes, size, 0);
    if (!r && sync) r = io->fdatasync(fd);
    io->close(fd);
    if (!r) r = io->renameat(dir_fd, beside, path);
    if (r) {
        (void)io->unlinkat(dir_fd, beside, 0);
        return r;
    }
    return sync && dir_path ? io_sync_dir(io, dir_fd, dir_path) : 0;
}

struct removal {
    const struct io_ops *io;
    int dir_fd;
    const char *path;
};

static int remove_entry(void *arg, const char *name)
{
    struct removal *w = arg;
    char path[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/%s", w->path, name) >= (int)sizeof path) return -ENAMETOOLONG;
    int r = w->io->unlinkat(w->dir_fd, path, 0);
    return r == -ENOENT ? 0 : r;
}

int io_remove_dir(const struct io_ops *io, int dir_fd, const char *path)
{
    struct removal w = {.io = io, .dir_fd = dir_fd, .path = path};
    int r = io->list(dir_fd, path, remove_entry, &w);
    if (!r) r = io->unlinkat(dir_fd, path, AT_REMOVEDIR);
    return r == -ENOENT ? 0 : r;
}
