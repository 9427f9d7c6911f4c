/* The housekeeping thread of a data directory: background sync, checkpoints, retention, delayed removal, idle
 * producers. It sleeps as long as nothing is due: an idle broker wakes for retention only. */
#include "storage/log_internal.h"

#include "base/log.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PRODUCER_CHECK_INTERVAL_MS (600 * 1000)                 /* Kafka's producer.id.expiration.check.interval.ms */
#define SPACE_LOW_BYTES            ((uint64_t)16 * 1024 * 1024) /* below it only the broker's own records are taken */

/* All logs, each with a reference, malloc'd. */
static struct partition_log **logs_of(struct log_dir *dir, uint32_t *ret_count)
{
    struct partition_log **logs, *log;
    uint32_t count = 0;

    pthread_mutex_lock(&dir->lock);
    logs = xmalloc((dir->logs_count + 1) * sizeof *logs);
    LIST_FOREACH(log, &dir->logs, link) logs[count++] = partition_log_ref(log);
    pthread_mutex_unlock(&dir->lock);
    *ret_count = count;
    return logs;
}

static void write_indexes(struct partition_log *log)
{
    int r = 0;
    pthread_mutex_lock(&log->lock);
    struct segment *s = log_active(log);
    if (s && log->loaded && !log->closed &&
        (s->offsets.count > s->offsets.written || s->times.count > s->times.written))
        r = segment_write_indexes(s, false);
    pthread_mutex_unlock(&log->lock);
    /* A cache: the next round tries again. */
    if (r) log_warn("storage", "cannot write an index: %s partition=%s", strerror(-r), log->name);
}

void log_dir_flush_dirty(struct log_dir *dir)
{
    struct partition_log *log;
    struct statvfs space;
    uint32_t count = 0;

    atomic_store(&dir->dirty, false);
    if (!dir->io->statvfs(dir->fd, &space)) {
        bool low = (uint64_t)space.f_bavail * space.f_frsize < SPACE_LOW_BYTES;
        if (low != atomic_exchange(&dir->space_low, low)) {
            if (low) log_error("storage", "the disk is full, produce requests are refused path=%s", dir->path);
            else log_info("storage", "the disk has room again path=%s", dir->path);
        }
    }
    pthread_mutex_lock(&dir->lock);
    struct partition_log **dirty = xmalloc((dir->logs_count + 1) * sizeof *dirty);
    LIST_FOREACH(log, &dir->logs, link)
        if (atomic_load(&log->log_end) > atomic_load(&log->durable_end) && !atomic_load(&log->failed))
            dirty[count++] = partition_log_ref(log);
    pthread_mutex_unlock(&dir->lock);
    for (uint32_t i = 0; i < count; i++) {
        write_indexes(dirty[i]);
        log_sync_soon(dirty[i]);
        partition_log_unref(dirty[i]);
    }
    free(dirty);
}

void log_dir_check_retention(struct log_dir *dir)
{
    uint32_t count;
    struct partition_log **logs = logs_of(dir, &count);
    bool trimmed = atomic_exchange(&dir->trimmed, false);

    for (uint32_t i = 0; i < count; i++) trimmed |= log_retain(logs[i], clock_wall_ms(dir->clock));
    int r = trimmed ? log_dir_write_checkpoints(dir) : 0;
    if (r) log_error("storage", "cannot write checkpoints, no segment is deleted: %s path=%s", strerror(-r), dir->path);
    for (uint32_t i = 0; i < count; i++) {
        if (trimmed && !r) log_drop_trimmed(logs[i]);
        partition_log_unref(logs[i]);
    }
    free(logs);
}

void log_dir_expire_producers(struct log_dir *dir)
{
    uint32_t count;
    struct partition_log **logs = logs_of(dir, &count);

    pthread_mutex_lock(&dir->lock);
    int64_t expiration_ms = dir->options.producer_id_expiration_ms;
    pthread_mutex_unlock(&dir->lock);
    for (uint32_t i = 0; i < count; i++) {
        pthread_mutex_lock(&logs[i]->lock);
        if (logs[i]->producers)
            producer_state_expire(logs[i]->producers, clock_wall_ms(dir->clock), expiration_ms,
                                  LOG_PRODUCER_ID_RESERVED_MIN);
        pthread_mutex_unlock(&logs[i]->lock);
        partition_log_unref(logs[i]);
    }
    free(logs);
}

/* -- waiting for the marks -- */

void log_dir_checkpoint_async(struct log_dir *dir, void (*done)(void *arg, int error), void *arg)
{
    struct checkpoint_wait *w = xcalloc(1, sizeof *w);
    w->done = done;
    w->arg = arg;
    pthread_mutex_lock(&dir->lock);
    bool closing = dir->closing;
    if (!closing) STAILQ_INSERT_TAIL(&dir->checkpoint_waits, w, link);
    pthread_cond_signal(&dir->housekeeper_wake);
    pthread_mutex_unlock(&dir->lock);
    if (!closing) return;
    free(w);
    done(arg, -ESTALE);
}

static void answer_waits(struct checkpoint_waits *waits, int error)
{
    struct checkpoint_wait *w;
    while ((w = STAILQ_FIRST(waits))) {
        STAILQ_REMOVE_HEAD(waits, link);
        w->done(w->arg, error);
        free(w);
    }
}

static void drop_trimmed(struct log_dir *dir)
{
    uint32_t count;
    struct partition_log **logs = logs_of(dir, &count);
    for (uint32_t i = 0; i < count; i++) {
        log_drop_trimmed(logs[i]);
        partition_log_unref(logs[i]);
    }
    free(logs);
}

/* Writes the checkpoints, and answers those who waited for it when it began. */
static void write_marks(struct log_dir *dir)
{
    struct checkpoint_waits waits = STAILQ_HEAD_INITIALIZER(waits);
    pthread_mutex_lock(&dir->lock);
    STAILQ_CONCAT(&waits, &dir->checkpoint_waits);
    pthread_mutex_unlock(&dir->lock);
    bool trimmed = atomic_exchange(&dir->trimmed, false);
    int r = log_dir_write_checkpoints(dir);
    if (r) log_error("storage", "cannot write checkpoints: %s path=%s", strerror(-r), dir->path);
    else if (trimmed) drop_trimmed(dir);
    if (r && trimmed) atomic_store(&dir->trimmed, true);
    answer_waits(&waits, r);
}

/* -- the thread -- */

static void note(struct log_dir *dir, atomic_bool *what)
{
    if (atomic_exchange(what, true)) return;
    pthread_mutex_lock(&dir->lock);
    pthread_cond_signal(&dir->housekeeper_wake);
    pthread_mutex_unlock(&dir->lock);
}

void log_dir_note_dirty(struct log_dir *dir)
{
    note(dir, &dir->dirty);
}

void log_dir_note_marks(struct log_dir *dir)
{
    note(dir, &dir->marks_changed);
}

struct schedule {
    int64_t flush_ms; /* when each is due, monotonic */
    int64_t checkpoint_ms;
    int64_t retention_ms;
    int64_t producers_ms;
};

/* interval_ms may be as good as never. */
static int64_t after(int64_t now_ms, int64_t interval_ms)
{
    return interval_ms > INT64_MAX - now_ms ? INT64_MAX : now_ms + interval_ms;
}

/* Under dir->lock. Returns whether the thread is to end. */
static bool wait_until_due(struct log_dir *dir, struct schedule *s)
{
    while (!dir->closing) {
        /* The interval may have become shorter. */
        s->flush_ms = MIN(s->flush_ms, after(clock_mono_ms(dir->clock), dir->options.flush_interval_ms));
        int64_t due_ms = MIN(s->retention_ms, s->producers_ms);
        struct late_removal *removal;
        if (atomic_load(&dir->dirty) || atomic_load(&dir->space_low)) due_ms = MIN(due_ms, s->flush_ms);
        if (atomic_load(&dir->marks_changed)) due_ms = MIN(due_ms, s->checkpoint_ms);
        STAILQ_FOREACH(removal, &dir->removals, link) due_ms = MIN(due_ms, removal->due_ms);
        int64_t left_ms = due_ms - clock_mono_ms(dir->clock);
        if (left_ms <= 0 || !STAILQ_EMPTY(&dir->checkpoint_waits)) return false;

        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        left_ms = MIN(left_ms, 3600 * 1000) + 1;
        until.tv_sec += left_ms / 1000;
        until.tv_nsec += left_ms % 1000 * 1000000;
        if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
        pthread_cond_timedwait(&dir->housekeeper_wake, &dir->lock, &until);
    }
    return true;
}

static bool is_due(int64_t *due_ms, int64_t now_ms, int64_t interval_ms)
{
    if (*due_ms > now_ms) return false;
    *due_ms = after(now_ms, interval_ms);
    return true;
}

static void *housekeeper(void *arg)
{
    struct log_dir *dir = arg;
    const struct log_dir_options *o = &dir->options;
    int64_t now_ms = clock_mono_ms(dir->clock);

    log_dir_find_deleted(dir);
    pthread_mutex_lock(&dir->lock); /* the options may change */
    struct schedule s = {.flush_ms = after(now_ms, o->flush_interval_ms),
                         .checkpoint_ms = after(now_ms, o->recovery_point_interval_ms),
                         .retention_ms = after(now_ms, o->retention_check_interval_ms),
                         .producers_ms = now_ms + PRODUCER_CHECK_INTERVAL_MS};
    while (!wait_until_due(dir, &s)) {
        int64_t flush_interval_ms = o->flush_interval_ms;
        pthread_mutex_unlock(&dir->lock);
        now_ms = clock_mono_ms(dir->clock);
        if ((atomic_load(&dir->dirty) || atomic_load(&dir->space_low)) &&
            is_due(&s.flush_ms, now_ms, flush_interval_ms))
            log_dir_flush_dirty(dir);
        pthread_mutex_lock(&dir->lock);
        bool waited_for = !STAILQ_EMPTY(&dir->checkpoint_waits);
        pthread_mutex_unlock(&dir->lock);
        if (waited_for ||
            (atomic_load(&dir->marks_changed) && is_due(&s.checkpoint_ms, now_ms, o->recovery_point_interval_ms)))
            write_marks(dir);
        if (is_due(&s.retention_ms, now_ms, o->retention_check_interval_ms)) log_dir_check_retention(dir);
        if (is_due(&s.producers_ms, now_ms, PRODUCER_CHECK_INTERVAL_MS)) log_dir_expire_producers(dir);
        log_dir_remove_due(dir, false);
        pthread_mutex_lock(&dir->lock);
    }
    pthread_mutex_unlock(&dir->lock);
    return NULL;
}

void log_dir_set_intervals(struct log_dir *dir, int64_t flush_interval_ms, int64_t producer_id_expiration_ms)
{
    pthread_mutex_lock(&dir->lock);
    dir->options.flush_interval_ms = flush_interval_ms;
    dir->options.producer_id_expiration_ms = producer_id_expiration_ms;
    pthread_cond_signal(&dir->housekeeper_wake);
    pthread_mutex_unlock(&dir->lock);
}

int housekeeper_start(struct log_dir *dir)
{
    return thread_start(&dir->housekeeper, "ottla-storage", housekeeper, dir);
}

void housekeeper_stop(struct log_dir *dir)
{
    pthread_mutex_lock(&dir->lock);
    dir->closing = true;
    pthread_cond_signal(&dir->housekeeper_wake);
    pthread_mutex_unlock(&dir->lock);
    pthread_join(dir->housekeeper, NULL);
    answer_waits(&dir->checkpoint_waits, -ESTALE);
}
