/* storage/log_table.c: the logs of a directory: opening, deleting, and why one could not be opened.
 *
 * A log is in the list from its opening to its deletion or the directory's end; the list holds a reference. What could
 * not be opened is not in it; its reason is kept. Threads: any; list and reasons are guarded by log_dir.lock. */
#include "storage/log_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct log_failure *failure_find(struct log_dir *dir, const char *log_name)
{
    struct log_failure *f;
    LIST_FOREACH(f, &dir->failures, link)
        if (!strcmp(f->name, log_name)) return f;
    return NULL;
}

void log_dir_note_failure(struct log_dir *dir, const char *log_name, const struct err *why)
{
    pthread_mutex_lock(&dir->lock);
    struct log_failure *f = failure_find(dir, log_name);
    if (!f) {
        f = xmalloc(sizeof *f + strlen(log_name) + 1);
        strcpy(f->name, log_name);
        LIST_INSERT_HEAD(&dir->failures, f, link);
    }
    f->why = *why;
    pthread_mutex_unlock(&dir->lock);
}

void log_dir_failure(struct log_dir *dir, const char *topic, int32_t partition, struct err *ret_why)
{
    char name[LOG_NAME_BYTES];

    snprintf(name, sizeof name, "%s-%d", topic, partition);
    pthread_mutex_lock(&dir->lock);
    const struct log_failure *f = failure_find(dir, name);
    *ret_why = f ? f->why : ERR_NONE;
    pthread_mutex_unlock(&dir->lock);
}

static int open_log(struct partition_log *log, const char *topic, struct err *err)
{
    struct log_dir *dir = log->dir;
    struct known_marks known = dir_checkpoints_get(dir, topic, log->partition);
    bool exists;

    log->clean_end = known.clean_end;
    if (clean_stop_open_log(log, topic)) return 0;
    int r = partition_folder_check(log, &exists);
    if (!r && !exists) {
        /* A recovery point that an earlier topic of this name left would make torn tails look like damage. One of 0 is
         * that of a partition without records: a write for each of many of them would take minutes. */
        pthread_mutex_lock(&dir->lock);
        bool stale = dir->forgotten || known.recovery_point > 0 || known.clean_end > 0;
        if (known.clean_end >= 0) atomic_store(&dir->cleaned, true);
        dir_checkpoints_forget(dir, topic, log->partition);
        log->clean_end = -1;
        pthread_mutex_unlock(&dir->lock);
        if (stale) r = log_dir_write_checkpoints(dir);
        if (!r) log_begin(log);
    }
    if (r) return err_set(err, r, "cannot open %s/%s: %s", dir->path, log->name, strerror(-r));
    if (!exists) return 0;

    struct log_load load = {
        .clean = dir->was_clean, .recovery_point = MAX(known.recovery_point, 0), .log_start = MAX(known.log_start, 0)};
    return log_load(log, &load, err);
}

int log_dir_open_log(struct log_dir *dir, const char *topic, int32_t partition, struct uuid topic_id,
                     const struct log_config *config, struct partition_log **ret_log, struct err *err)
{
    char name[LOG_NAME_BYTES];
    if (partition < 0 || strchr(topic, '/') || snprintf(name, sizeof name, "%s-%d", topic, partition) >= LOG_NAME_BYTES)
        return err_set(err, -EINVAL, "%s-%d is no name for a folder", topic, partition);

    struct partition_log *log = log_new(dir, topic, partition, topic_id, config);
    int r = open_log(log, topic, err);
    if (r) {
        if (err) log_dir_note_failure(dir, log->name, err);
        partition_log_unref(log);
        return r;
    }
    /* What recovery found was acknowledged: it must not be lost by a second accident. */
    if (atomic_load(&log->durable_end) < atomic_load(&log->log_end)) log_sync_soon(log);
    if (log->loaded) {
        pthread_mutex_lock(&log->lock);
        log_publish(log);
        pthread_mutex_unlock(&log->lock);
    }
    pthread_mutex_lock(&dir->lock);
    dir_checkpoints_forget(dir, topic, partition);
    LIST_INSERT_HEAD(&dir->logs, log, link);
    dir->logs_count++;
    pthread_mutex_unlock(&dir->lock);
    log_dir_note_marks(dir);
    *ret_log = partition_log_ref(log);
    return 0;
}

int log_dir_sync_logs(struct log_dir *dir, bool strict_only)
{
    struct partition_log *log;
    uint32_t count = 0;

    pthread_mutex_lock(&dir->lock);
    struct partition_log **behind = xmalloc((dir->logs_count + 1) * sizeof *behind);
    LIST_FOREACH(log, &dir->logs, link)
        if (atomic_load(&log->durable_end) < atomic_load(&log->log_end) && (!strict_only || log->config->config.strict))
            behind[count++] = partition_log_ref(log);
    pthread_mutex_unlock(&dir->lock);
    int r = partition_log_sync(behind, count);
    for (uint32_t i = 0; i < count; i++) partition_log_unref(behind[i]);
    free(behind);
    return r;
}

int log_dir_sync_found(struct log_dir *dir)
{
    return log_dir_sync_logs(dir, true);
}

int log_dir_delete_log(struct log_dir *dir, struct partition_log *log)
{
    char away[LOG_NAME_BYTES];

    pthread_mutex_lock(&log->lock);
    if (log->closed) {
        pthread_mutex_unlock(&log->lock);
        return -ESTALE;
    }
    partition_folder_rename(log->name, "delete", away);
    int r = dir->io->renameat(dir->fd, log->name, away);
    if (r && r != -ENOENT) {
        pthread_mutex_unlock(&log->lock);
        return r;
    }
    /* Of a folder that was never synced a power cut may bring back the name without its partition.metadata: the next
     * topic of that name would take it for its own. */
    if (r) r = 0; /* there is none */
    else if (atomic_load(&log->durable_end) == 0) r = dir->io->fsync(dir->fd);
    log_close(log);
    log->folder = xstrdup(away);
    int64_t delay_ms = log->config->config.file_delete_delay_ms;
    pthread_mutex_unlock(&log->lock);

    pthread_mutex_lock(&dir->lock);
    LIST_REMOVE(log, link);
    dir->logs_count--;
    dir->forgotten = true;
    pthread_mutex_unlock(&dir->lock);
    log_dir_note_marks(dir);
    log_dir_remove_later(dir, away, true, delay_ms);
    partition_log_unref(log);
    return r;
}
