/* storage/dir_checkpoints.c: the directory's three offset checkpoints: recovery points, log starts, clean ends. Read at
 * the start, and kept for the logs that are not open yet; written anew, by one thread at a time, for all. Format:
 * checkpoint.h.
 *
 * Invariants
 *   - a log that is open is written as it is; one that is not open yet as the last run wrote it; one that was deleted
 *     or begun anew
 *     is not written any more (an old recovery point would make a torn tail look like damage);
 *   - start_written moves only when the file that says so is durable: till then no segment below it is removed.
 * Threads: any. What was read is guarded by log_dir.lock, writing by checkpoint_lock. */
#include "storage/log_internal.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>

/* -- what the last run knew -- */

static int known_offsets_load(struct log_dir *dir, const char *name, struct known_offsets *known, struct err *err)
{
    size_t size;
    int r = io_read_file(dir->io, dir->fd, name, CHECKPOINT_FILE_MAX, &known->text, &size);
    if (r == -ENOENT) return 0;
    if (r) return err_set(err, r, "cannot read %s/%s: %s", dir->path, name, strerror(-r));
    if (checkpoint_parse(&known->checkpoint, known->text))
        log_warn("storage", "a damaged checkpoint is ignored file=%s/%s", dir->path, name);
    checkpoint_sort(&known->checkpoint);
    return 0;
}

int dir_checkpoints_load(struct log_dir *dir, struct err *err)
{
    int r = known_offsets_load(dir, RECOVERY_POINT_FILE, &dir->recovery_points, err);
    if (!r) r = known_offsets_load(dir, LOG_START_FILE, &dir->log_starts, err);
    if (!r) r = known_offsets_load(dir, CLEANER_FILE, &dir->clean_ends, err);
    return r;
}

static void known_offsets_done(struct known_offsets *known)
{
    checkpoint_done(&known->checkpoint);
    free(known->text);
    known->text = NULL;
}

void dir_checkpoints_done(struct log_dir *dir)
{
    known_offsets_done(&dir->recovery_points);
    known_offsets_done(&dir->log_starts);
    known_offsets_done(&dir->clean_ends);
}

static int64_t known_offset(const struct known_offsets *known, const char *topic, int32_t partition)
{
    const struct checkpoint_entry *e = checkpoint_find(&known->checkpoint, topic, partition);
    return e ? e->offset : -1;
}

struct known_marks dir_checkpoints_get(struct log_dir *dir, const char *topic, int32_t partition)
{
    pthread_mutex_lock(&dir->lock);
    struct known_marks marks = {.recovery_point = known_offset(&dir->recovery_points, topic, partition),
                                .log_start = known_offset(&dir->log_starts, topic, partition),
                                .clean_end = known_offset(&dir->clean_ends, topic, partition)};
    pthread_mutex_unlock(&dir->lock);
    return marks;
}

static void known_offset_forget(struct known_offsets *known, const char *topic, int32_t partition)
{
    struct checkpoint_entry *e = checkpoint_find(&known->checkpoint, topic, partition);
    if (e) e->offset = -1;
}

void dir_checkpoints_forget(struct log_dir *dir, const char *topic, int32_t partition)
{
    known_offset_forget(&dir->recovery_points, topic, partition);
    known_offset_forget(&dir->log_starts, topic, partition);
    known_offset_forget(&dir->clean_ends, topic, partition);
}

/* -- writing -- */

static int write_checkpoint(struct log_dir *dir, const char *name, const struct checkpoint *c)
{
    size_t size;
    AUTO_FREE char *text = checkpoint_format(c, &size);
    return io_replace_file(dir->io, dir->fd, ".", name, text, size, true);
}

static void add_unopened(struct checkpoint *c, const struct known_offsets *known)
{
    for (uint32_t i = 0; i < known->checkpoint.count; i++) {
        const struct checkpoint_entry *e = &known->checkpoint.entries[i];
        if (e->offset >= 0) checkpoint_add(c, e->topic, e->partition, e->offset);
    }
}

int log_dir_write_checkpoints(struct log_dir *dir)
{
    struct checkpoint points = {0}, starts = {0}, cleans = {0};
    struct partition_log *log;
    size_t names_bytes = 0;

    pthread_mutex_lock(&dir->checkpoint_lock);
    atomic_store(&dir->marks_changed, false);
    bool cleaned = atomic_exchange(&dir->cleaned, false);
    pthread_mutex_lock(&dir->lock);
    cleaned |= dir->forgotten;
    LIST_FOREACH(log, &dir->logs, link) names_bytes += log->topic_len + 1;
    AUTO_FREE char *names = xmalloc(names_bytes + 1);
    char *name = names;
    LIST_FOREACH(log, &dir->logs, link) {
        int64_t durable = atomic_load(&log->durable_end), start = atomic_load(&log->log_start);
        memcpy(name, log->name, log->topic_len);
        name[log->topic_len] = '\0';
        checkpoint_add(&points, name, log->partition, durable);
        log->start_writing = start;
        if (start > 0) checkpoint_add(&starts, name, log->partition, start);
        int64_t clean = atomic_load(&log->clean_end);
        if (clean >= 0) checkpoint_add(&cleans, name, log->partition, clean);
        name += log->topic_len + 1;
    }
    add_unopened(&points, &dir->recovery_points);
    add_unopened(&starts, &dir->log_starts);
    add_unopened(&cleans, &dir->clean_ends);
    dir->forgotten = false;
    pthread_mutex_unlock(&dir->lock);
    int r = write_checkpoint(dir, RECOVERY_POINT_FILE, &points);
    if (!r) r = write_checkpoint(dir, LOG_START_FILE, &starts);
    if (!r && cleaned) r = write_checkpoint(dir, CLEANER_FILE, &cleans);
    if (r && cleaned) atomic_store(&dir->cleaned, true);
    if (!r) {
        pthread_mutex_lock(&dir->lock);
        LIST_FOREACH(log, &dir->logs, link) atomic_store(&log->start_written, log->start_writing);
        pthread_mutex_unlock(&dir->lock);
    }
    if (r) atomic_store(&dir->marks_changed, true); /* the next round tries again */
    checkpoint_done(&points);
    checkpoint_done(&starts);
    checkpoint_done(&cleans);
    pthread_mutex_unlock(&dir->checkpoint_lock);
    return r;
}
