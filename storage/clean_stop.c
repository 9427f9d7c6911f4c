/* storage/clean_stop.c: what a clean stop leaves, and what the next start believes of it.
 *
 * The stop, once all logs are synced, brings each one's small files up to date, and writes ottla.partitions
 * (clean_state.h) and then the mark .kafka_cleanshutdown, which names that file by the stop's id. The start takes the
 * mark away before it changes anything: a start without it checks every log (recovery.c). With the mark alone, Kafka's
 * say, the folders are read and trusted.
 * Threads: the one that opens and closes the directory; marks are taken over by whoever opens a log. */
#include "storage/log_internal.h"

#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* -- the next start -- */

int clean_stop_take_mark(struct log_dir *dir, struct err *err)
{
    char *text;
    size_t size;
    uint64_t stop_id = 0;

    int r = io_read_file(dir->io, dir->fd, CLEAN_FILE, DIR_TEXT_FILE_MAX, &text, &size);
    if (r == -ENOENT) return 0;
    if (r) return err_set(err, r, "cannot read %s/%s: %s", dir->path, CLEAN_FILE, strerror(-r));
    dir->was_clean = true;
    const char *epoch = strstr(text, "\"brokerEpoch\":");
    if (epoch) stop_id = strtoull(epoch + strlen("\"brokerEpoch\":"), NULL, 10);
    free(text);
    /* Without it, or with that of another stop, the folders are read. */
    if (!io_read_file(dir->io, dir->fd, CLEAN_STATE_FILE, CHECKPOINT_FILE_MAX, &text, &size) &&
        clean_state_parse(&dir->clean, text, size, stop_id))
        log_info("storage", "the folders have changed since the last stop and are read anew path=%s", dir->path);
    r = dir->io->unlinkat(dir->fd, CLEAN_FILE, 0);
    if (!r) r = dir->io->fsync(dir->fd);
    return r ? err_set(err, r, "%s is not writable: %s", dir->path, strerror(-r)) : 0;
}

bool clean_stop_open_log(struct partition_log *log, const char *topic)
{
    struct log_dir *dir = log->dir;

    pthread_mutex_lock(&dir->lock);
    struct clean_entry *e = clean_state_find(&dir->clean, topic, log->partition);
    bool found = e && uuid_eq(e->topic_id, log->topic_id);
    if (e) e->used = true;
    if (found) {
        atomic_store(&log->log_start, e->log_start);
        atomic_store(&log->log_end, e->log_end);
        atomic_store(&log->durable_end, e->log_end);
        atomic_store(&log->high_watermark, e->log_end);
        atomic_store(&log->last_stable, e->last_stable);
        atomic_store(&log->leader_epoch, e->leader_epoch);
        atomic_store(&log->size, e->size);
        log->oldest_timestamp_ms = e->oldest_timestamp_ms;
    }
    pthread_mutex_unlock(&dir->lock);
    return found;
}

/* -- the stop -- */

/* After a clean stop an index of aborted transactions is believed, and cannot be told from one that a power cut has
 * emptied. The others can: they rise, or have a checksum. */
static int sync_aborted(struct partition_log *log, struct segment *s)
{
    if (!s->aborted.count) return 0;
    int r = segment_write_aborted(s, true);
    return r ? r : io_sync_dir(log->dir->io, log->dir->fd, log_folder(log));
}

bool clean_stop_finish_log(struct partition_log *log)
{
    pthread_mutex_lock(&log->lock);
    bool good = !atomic_load(&log->failed) && atomic_load(&log->durable_end) == atomic_load(&log->log_end);
    struct segment *s = log_active(log);
    if (good && log->loaded) {
        if (s) {
            segment_trim(s);
            good = !segment_finish_times(s) && !segment_write_indexes(s, false) && !sync_aborted(log, s);
        }
        if (good && (s || log->producers->producers)) good = !log_write_snapshot(log);
        if (good && log->epochs_dirty && log->epochs.count) good = !log_write_epochs(log);
        if (good && s && !log_know_timestamps(log, log->segments[0]))
            log->oldest_timestamp_ms = log->segments[0]->max_timestamp_ms;
    }
    log_close(log);
    pthread_mutex_unlock(&log->lock);
    return good;
}

static int64_t stable_end(const struct partition_log *log)
{
    int64_t unstable =
        log->producers ? producer_state_first_unstable(log->producers, INT64_MAX) : atomic_load(&log->last_stable);
    return MIN(atomic_load(&log->log_end), MAX(unstable, atomic_load(&log->log_start)));
}

int clean_stop_write_mark(struct log_dir *dir)
{
    struct clean_state state = {0};
    struct partition_log *log;
    struct uuid random = uuid_random();
    uint64_t stop_id = be64_load(random.bytes) >> 2; /* fits JSON readers' signed numbers */
    char mark[64];
    size_t size, names_bytes = 0;

    LIST_FOREACH(log, &dir->logs, link) names_bytes += log->topic_len + 1;
    AUTO_FREE char *names = xmalloc(names_bytes + 1);
    char *name = names;
    LIST_FOREACH(log, &dir->logs, link) {
        memcpy(name, log->name, log->topic_len);
        name[log->topic_len] = '\0';
        struct clean_entry e = {.topic = name,
                                .partition = log->partition,
                                .topic_id = log->topic_id,
                                .log_start = atomic_load(&log->log_start),
                                .log_end = atomic_load(&log->log_end),
                                .last_stable = stable_end(log),
                                .leader_epoch = atomic_load(&log->leader_epoch),
                                .size = atomic_load(&log->size),
                                .oldest_timestamp_ms = log->oldest_timestamp_ms};
        clean_state_add(&state, &e);
        name += log->topic_len + 1;
    }
    for (uint32_t i = 0; i < dir->clean.count; i++)
        if (!dir->clean.entries[i].used) clean_state_add(&state, &dir->clean.entries[i]);

    AUTO_FREE char *text = clean_state_format(&state, stop_id, &size);
    clean_state_done(&state);
    int r = io_replace_file(dir->io, dir->fd, ".", CLEAN_STATE_FILE, text, size, true);
    if (r) return r;
    snprintf(mark, sizeof mark, "{\"version\":0,\"brokerEpoch\":%" PRIu64 "}", stop_id);
    return io_replace_file(dir->io, dir->fd, ".", CLEAN_FILE, mark, strlen(mark), true);
}
