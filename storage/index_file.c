#include "storage/index_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

void index_file_done(struct index_file *f)
{
    free(f->entries);
    *f = (struct index_file){0};
}

int index_file_append(struct index_file *f, const void *entry, uint32_t entry_bytes)
{
    if (f->count == f->allocated) {
        uint32_t allocated = f->allocated + f->allocated / 2 + 8;
        uint8_t *entries = realloc(f->entries, (size_t)allocated * entry_bytes);
        if (!entries) return -ENOMEM;
        f->entries = entries;
        f->allocated = allocated;
    }
    memcpy(f->entries + (size_t)f->count * entry_bytes, entry, entry_bytes);
    f->count++;
    return 0;
}

void index_file_shorten(struct index_file *f, uint32_t count)
{
    if (count >= f->count) return;
    f->count = count;
    if (f->written > count) {
        f->written = count;
        f->shortened = true;
    }
}

int index_file_write(struct index_file *f, uint32_t entry_bytes, const struct io_ops *io, int dir_fd, const char *path,
                     bool sync)
{
    int fd = io->openat(dir_fd, path, O_RDWR | O_CREAT, 0644);
    if (fd < 0) return fd;
    int r = f->shortened ? io->ftruncate(fd, (uint64_t)f->written * entry_bytes) : 0;
    if (!r) f->shortened = false;
    if (!r && f->count > f->written) {
        r = io_pwrite_all(io, fd, f->entries + (size_t)f->written * entry_bytes,
                          (size_t)(f->count - f->written) * entry_bytes, (uint64_t)f->written * entry_bytes);
        if (r) f->shortened = true; /* a part may be there */
        else f->written = f->count;
    }
    if (!r && sync) r = io->fdatasync(fd);
    io->close(fd);
    return r;
}

int index_file_load(struct index_file *f, uint32_t entry_bytes, const struct io_ops *io, int dir_fd, const char *path,
                    uint32_t bytes_max)
{
    char *bytes;
    size_t size;
    int r = io_read_file(io, dir_fd, path, bytes_max, &bytes, &size);
    if (r) return r;
    index_file_done(f);
    f->entries = (uint8_t *)bytes;
    f->count = f->allocated = f->written = (uint32_t)(size / entry_bytes);
    f->shortened = size % entry_bytes != 0;
    return 0;
}

int index_view_open(struct index_view *v, uint32_t entry_bytes, const struct io_ops *io, int dir_fd, const char *path)
{
    struct stat st;
    int fd = io->openat(dir_fd, path, O_RDONLY, 0);
    if (fd < 0) return fd;
    int r = io->fstat(fd, &st);
    if (r) {
        io->close(fd);
        return r;
    }
    *v = (struct index_view){
        .io = io, .fd = fd, .count = (uint32_t)((uint64_t)st.st_size / entry_bytes), .entry_bytes = entry_bytes};
    return 0;
}

void index_view_close(struct index_view *v)
{
    if (v->fd >= 0) v->io->close(v->fd);
    v->fd = -1;
}

int index_view_get(const struct index_view *v, uint32_t i, uint8_t *entry)
{
    if (v->fd < 0) {
        memcpy(entry, v->entries + (size_t)i * v->entry_bytes, v->entry_bytes);
        return 0;
    }
    ssize_t n = io_pread_all(v->io, v->fd, entry, v->entry_bytes, (uint64_t)i * v->entry_bytes);
    return n < 0 ? (int)n : n == (ssize_t)v->entry_bytes ? 0 : -EIO;
}

int index_view_search(const struct index_view *v, bool (*before)(const void *arg, const uint8_t *entry),
                      const void *arg, int64_t *ret_i, uint8_t *ret_entry)
{
    int64_t low = -1, high = v->count; /* before(low) holds, before(high) does not */
    uint8_t entry[INDEX_ENTRY_BYTES_MAX];

    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        int r = index_view_get(v, (uint32_t)middle, entry);
        if (r) return r;
        if (before(arg, entry)) {
            low = middle;
            memcpy(ret_entry, entry, v->entry_bytes);
        } else {
            high = middle;
        }
    }
    *ret_i = low;
    return 0;
}
