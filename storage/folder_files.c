#include "storage/folder_files.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SEGMENT_FILES_MAX 1000000 /* files in one folder that are believed */

static int folder_remove(struct folder *f, const char *name)
{
    char path[SEGMENT_PATH_BYTES + LOG_NAME_BYTES];
    snprintf(path, sizeof path, "%s/%s", log_folder(f->log), name);
    int r = f->log->dir->io->unlinkat(f->log->dir->fd, path, 0);
    f->removed = true;
    return r == -ENOENT ? 0 : r;
}

bool folder_file_is_left_over(const char *name)
{
    return text_ends_with(name, ".deleted") || text_ends_with(name, ".cleaned") || text_ends_with(name, ".tmp");
}

static int folder_add(void *arg, const char *name)
{
    struct folder *f = arg;

    if (folder_file_is_left_over(name)) return f->live ? 0 : folder_remove(f, name);
    if (strspn(name, "0123456789") != SEGMENT_NAME_DIGITS) return 0;
    errno = 0;
    int64_t offset = strtoll(name, NULL, 10);
    if (errno) return 0;
    for (uint32_t kind = 0; kind < SEGMENT_FILES; kind++) {
        size_t len = strlen(segment_suffixes[kind]);
        if (strncmp(name + SEGMENT_NAME_DIGITS, segment_suffixes[kind], len)) continue;
        const char *behind = name + SEGMENT_NAME_DIGITS + len;
        bool is_swap = !strcmp(behind, SWAP_SUFFIX);
        if (*behind && !is_swap) continue;
        if (f->count == SEGMENT_FILES_MAX) return -EMFILE;
        if (f->count == f->allocated) {
            f->allocated = f->allocated ? f->allocated * 2 : 8;
            f->files = xrealloc(f->files, f->allocated * sizeof *f->files);
        }
        f->files[f->count++] = (struct folder_file){.offset = offset, .kind = kind + (is_swap ? FILE_SWAP : 0)};
        f->swaps_count += is_swap;
    }
    return 0;
}

static int compare_files(const void *a, const void *b)
{
    const struct folder_file *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return (int)x->kind - (int)y->kind;
}

int folder_read(struct folder *f, struct partition_log *log)
{
    *f = (struct folder){.log = log, .removed = f->removed, .live = f->live};
    if (log->unmade) return 0;
    int r = log->dir->io->list(log->dir->fd, log_folder(log), folder_add, f);
    if (f->count) qsort(f->files, f->count, sizeof *f->files, compare_files);
    return r;
}

bool folder_has(const struct folder *f, int64_t offset, uint32_t kind)
{
    struct folder_file key = {.offset = offset, .kind = kind};
    return f->count && bsearch(&key, f->files, f->count, sizeof *f->files, compare_files);
}

int folder_remove_file(struct folder *f, const struct folder_file *file)
{
    char name[SEGMENT_NAME_DIGITS + sizeof ".timeindex" SWAP_SUFFIX];
    snprintf(name, sizeof name, "%020" PRId64 "%s%s", file->offset, segment_suffixes[file->kind % FILE_SWAP],
             file->kind >= FILE_SWAP ? SWAP_SUFFIX : "");
    return folder_remove(f, name);
}
