/* storage/io.h: the file system calls of everything that a broker runs, as a table that tests replace by a simulated disk.
 *
 * Every call returns 0, a count, or a descriptor, and -errno on failure; none retries, but EINTR is not seen outside.
 * Paths are relative to a directory's descriptor. Threads: any. */
#ifndef OTTLA_IO_H
#define OTTLA_IO_H

#include "base/base.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>

struct io_ops {
    int (*openat)(int dir_fd, const char *path, int flags, mode_t mode); /* O_CLOEXEC is added */
    void (*close)(int fd);
    ssize_t (*pread)(int fd, void *bytes, size_t size, uint64_t position);
    ssize_t (*pwritev)(int fd, const struct iovec *iov, int iov_count, uint64_t position);
    int (*ftruncate)(int fd, uint64_t size);
    int (*fdatasync)(int fd);
    int (*fsync)(int fd); /* of directories: makes created, renamed and removed entries durable */
    int (*fallocate)(int fd, uint64_t position, uint64_t size); /* reserves blocks, keeps the file's size */
    int (*fstat)(int fd, struct stat *ret_stat);
    int (*fstatat)(int dir_fd, const char *path, struct stat *ret_stat);
    int (*renameat)(int dir_fd, const char *from, const char *to);
    int (*unlinkat)(int dir_fd, const char *path, int flags);
    int (*mkdirat)(int dir_fd, const char *path, mode_t mode);
    /* Calls each for every entry but "." and "..", until it returns other than 0, which is then returned. */
    int (*list)(int dir_fd, const char *path, int (*each)(void *arg, const char *name), void *arg);
    int (*statvfs)(int fd, struct statvfs *ret_stat);
};

extern const struct io_ops io_posix;

/* Writes all bytes or returns an error; how much of them is then in the file is unknown. iov is used up. */
int io_pwritev_all(const struct io_ops *io, int fd, struct iovec *iov, int iov_count, uint64_t position) WARN_UNUSED;
int io_pwrite_all(const struct io_ops *io, int fd, const void *bytes, size_t size, uint64_t position) WARN_UNUSED;
/* Reads until size bytes or the end of the file. Returns the bytes read or -errno. */
ssize_t io_pread_all(const struct io_ops *io, int fd, void *bytes, size_t size, uint64_t position) WARN_UNUSED;

/* A whole file into malloc'd memory with a NUL behind it. -EFBIG: larger than size_max. */
int io_read_file(const struct io_ops *io, int dir_fd, const char *path, size_t size_max, char **ret_bytes,
                 size_t *ret_size) WARN_UNUSED;
/* Replaces path by these bytes: written beside it, then renamed, so that a reader sees the old or the new ones.
 * sync: the bytes are durable before the rename, and the rename before the return (dir_path is the entry's directory;
 * NULL: the caller syncs that, as it has more to sync there). */
int io_replace_file(const struct io_ops *io, int dir_fd, const char *dir_path, const char *path, const void *bytes,
                    size_t size, bool sync) WARN_UNUSED;
/* fsync of a directory by its path. */
int io_sync_dir(const struct io_ops *io, int dir_fd, const char *path) WARN_UNUSED;
/* Removes a directory and the files in it (partition folders have no directories inside). Missing: 0. */
int io_remove_dir(const struct io_ops *io, int dir_fd, const char *path) WARN_UNUSED;

#endif
