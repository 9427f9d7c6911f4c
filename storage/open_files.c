#include "storage/open_files.h"

#include <errno.h>
#include <fcntl.h>

#define CLEAN_LOOKS 16 /* so many of the least recently used are looked at for one that needs no sync */

void open_files_init(struct open_files *f, const struct io_ops *io, uint32_t max)
{
    *f = (struct open_files){.max = max, .io = io};
    pthread_mutex_init(&f->lock, NULL);
    TAILQ_INIT(&f->files);
}

void open_files_done(struct open_files *f)
{
    assert(TAILQ_EMPTY(&f->files));
    pthread_mutex_destroy(&f->lock);
}

static void open_file_free(struct file_ref *ref)
{
    struct open_file *file = container_of(ref, struct open_file, ref);
    file->io->close(ref->fd);
    free(file);
}

/* Under the lock. */
static void forget(struct open_files *f, struct open_file *file)
{
    TAILQ_REMOVE(&f->files, file, link);
    f->count--;
    file->segment->file = NULL;
    file->segment = NULL;
}

static bool is_held(struct open_file *file)
{
    return atomic_load_explicit(&file->ref.refs, memory_order_acquire) > 1;
}

static bool is_clean(struct open_file *file)
{
    return atomic_load(&file->segment->size) == atomic_load(&file->segment->synced_size);
}

/* Under the lock, which it gives up while it syncs. Closes one file that nobody holds; false: there is none. */
static bool close_one(struct open_files *f)
{
    struct open_file *file, *victim = NULL;
    uint32_t looks = 0;

    TAILQ_FOREACH_REVERSE(file, &f->files, open_file_list, link)
    {
        if (is_held(file)) continue;
        if (!victim) victim = file;
        if (is_clean(file)) {
            victim = file;
            break;
        }
        if (++looks == CLEAN_LOOKS) break;
    }
    if (!victim) return false;
    if (!is_clean(victim)) {
        uint32_t size = atomic_load(&victim->segment->size);
        file_ref_get(&victim->ref);
        pthread_mutex_unlock(&f->lock);
        int r = f->io->fdatasync(victim->ref.fd);
        pthread_mutex_lock(&f->lock);
        bool still = victim->segment != NULL;
        if (still && r) atomic_store(&victim->segment->sync_failed, true);
        bool closable = still && atomic_load(&victim->ref.refs) == 2 && atomic_load(&victim->segment->size) == size;
        if (closable) forget(f, victim);
        file_ref_put(&victim->ref);
        if (!closable) return still; /* it was taken up meanwhile, or went by itself */
    } else {
        forget(f, victim);
    }
    file_ref_put(&victim->ref);
    return true;
}

int open_files_get(struct open_files *f, struct segment *s, int dir_fd, const char *path, bool create,
                   struct file_ref **ret_file)
{
    pthread_mutex_lock(&f->lock);
    if (s->file) {
        struct open_file *file = s->file;
        if (file != TAILQ_FIRST(&f->files)) {
            TAILQ_REMOVE(&f->files, file, link);
            TAILQ_INSERT_HEAD(&f->files, file, link);
        }
        *ret_file = file_ref_get(&file->ref);
        pthread_mutex_unlock(&f->lock);
        return 0;
    }
    /* One attempt more than needed, as another thread may take the room; beyond the limit rather than not at all. */
    for (int attempts = 0; f->count >= f->max && attempts < 2; attempts++)
        if (!close_one(f)) break;
    pthread_mutex_unlock(&f->lock);

    int fd = f->io->openat(dir_fd, path, O_RDWR | (create ? O_CREAT | O_TRUNC : 0), 0644);
    if (fd < 0) return fd;
    struct open_file *file = xmalloc(sizeof *file);
    *file = (struct open_file){.io = f->io, .segment = s};
    file->ref.fd = fd;
    file->ref.free = open_file_free;
    atomic_init(&file->ref.refs, 2);
    pthread_mutex_lock(&f->lock);
    s->file = file;
    TAILQ_INSERT_HEAD(&f->files, file, link);
    f->count++;
    pthread_mutex_unlock(&f->lock);
    *ret_file = &file->ref;
    return 0;
}

void open_files_drop(struct open_files *f, struct segment *s)
{
    pthread_mutex_lock(&f->lock);
    struct open_file *file = s->file;
    if (file) forget(f, file);
    pthread_mutex_unlock(&f->lock);
    if (file) file_ref_put(&file->ref);
}
