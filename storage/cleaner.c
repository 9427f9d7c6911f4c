/* The cleaner thread of a data directory: chooses the log that needs compaction most, cleans it, and goes on until none
 * needs it; then it sleeps for log.cleaner.backoff.ms. How far each log is clean stands in `cleaner-offset-checkpoint`
 * (Kafka's file).
 *
 * A log is due when the dirty part of what could be cleaned is larger than min.cleanable.dirty.ratio, or when its
 * oldest dirty record is older than max.compaction.lag.ms. One that cannot be cleaned (damage) is left alone until the
 * next start, and said.
 * Threads: the cleaner's own; its settings may change at any time (log_dir_set_cleaner()). */
#include "storage/compact.h"
#include "storage/log_internal.h"

#include "base/log.h"
#include "base/thread.h"

#include <errno.h>
#include <inttypes.h>
#include <time.h>

static struct log_cleaner_config config_of(struct log_dir *dir)
{
    pthread_mutex_lock(&dir->lock);
    struct log_cleaner_config config = dir->options.cleaner;
    pthread_mutex_unlock(&dir->lock);
    return config;
}

void log_dir_set_cleaner(struct log_dir *dir, const struct log_cleaner_config *config)
{
    pthread_mutex_lock(&dir->lock);
    dir->options.cleaner = *config;
    pthread_cond_broadcast(&dir->cleaner_wake);
    pthread_mutex_unlock(&dir->lock);
}

/* Sleeps for ms, or until the directory closes; with some, until the settings change. Returns whether it closes. Under
 * dir->lock. */
static bool sleep_ms(struct log_dir *dir, int64_t ms, bool until_changed)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t end_ms = (int64_t)until.tv_sec * 1000 + until.tv_nsec / 1000000 + MIN(ms, 24 * 3600 * 1000) + 1;
    until = (struct timespec){.tv_sec = end_ms / 1000, .tv_nsec = end_ms % 1000 * 1000000};
    while (!dir->closing)
        if (pthread_cond_timedwait(&dir->cleaner_wake, &dir->lock, &until) == ETIMEDOUT || until_changed) break;
    return dir->closing;
}

/* log.cleaner.io.max.bytes.per.second */
static bool pace(void *arg, uint64_t bytes)
{
    struct log_dir *dir = arg;

    pthread_mutex_lock(&dir->lock);
    double rate = dir->options.cleaner.bytes_per_second_max, ms = (double)bytes / rate * 1000;
    bool closing = dir->closing;
    if (!closing && ms >= 1) closing = sleep_ms(dir, (int64_t)MIN(ms, 60000), false);
    pthread_mutex_unlock(&dir->lock);
    return !closing;
}

/* How much a log needs it: its dirty ratio, or more than 1 when its oldest record has waited too long. 0: not at
 * all. */
static double need(struct partition_log *log, int64_t now_ms)
{
    struct compact_state s;

    pthread_mutex_lock(&log->lock);
    struct log_config c = log->config->config;
    bool skip = !c.cleanup_compact || log->closed || log->uncleanable || atomic_load(&log->failed);
    pthread_mutex_unlock(&log->lock);
    if (skip || compact_measure(log, now_ms, &s) || s.dirty_end <= s.dirty_from) return 0;
    double ratio = s.dirty_bytes ? (double)s.dirty_bytes / (double)(s.clean_bytes + s.dirty_bytes) : 0;
    if (s.oldest_dirty_ms >= 0 && now_ms - s.oldest_dirty_ms > c.max_compaction_lag_ms) return 1 + ratio;
    return ratio > c.min_cleanable_ratio || (ratio >= 1 && c.min_cleanable_ratio >= 1) ? ratio : 0;
}

/* With a reference for the caller. NULL: none needs it. */
static struct partition_log *choose(struct log_dir *dir, int64_t now_ms)
{
    struct partition_log *log, *chosen = NULL, **logs;
    uint32_t count = 0;
    double most = 0;

    pthread_mutex_lock(&dir->lock);
    logs = xmalloc((dir->logs_count + 1) * sizeof *logs);
    LIST_FOREACH(log, &dir->logs, link) logs[count++] = partition_log_ref(log);
    pthread_mutex_unlock(&dir->lock);
    for (uint32_t i = 0; i < count; i++) {
        double this = need(logs[i], now_ms);
        if (this > most) {
            if (chosen) partition_log_unref(chosen);
            chosen = logs[i];
            most = this;
        } else {
            partition_log_unref(logs[i]);
        }
    }
    free(logs);
    return chosen;
}

/* Whoever reads the files must know that offsets may be missing before they are: before a log's first pass it gets its
 * line in the checkpoint. Returns 0 or -errno. */
static int announce(struct log_dir *dir, struct partition_log *log)
{
    pthread_mutex_lock(&log->lock);
    bool first = atomic_load(&log->clean_end) < 0;
    if (first) atomic_store(&log->clean_end, atomic_load(&log->log_start));
    pthread_mutex_unlock(&log->lock);
    if (!first) return 0;
    atomic_store(&dir->cleaned, true);
    return log_dir_write_checkpoints(dir);
}

static void clean_one(struct log_dir *dir, struct partition_log *log, const struct log_cleaner_config *config)
{
    struct compact_limits limits = {.map_bytes = (uint64_t)config->dedupe_buffer_bytes,
                                    .map_load_factor = config->load_factor,
                                    .pace = pace,
                                    .arg = dir};
    struct compact_result result;
    struct err err = ERR_NONE;
    int64_t begin_ms = clock_mono_ms(dir->clock);

    int r = announce(dir, log);
    if (r) err_set(&err, r, "cannot write checkpoints: %s", strerror(-r));
    else r = compact_log(log, &limits, clock_wall_ms(dir->clock), &result, &err);
    if (r == -ECANCELED || log->closed) return;
    if (r) {
        bool passes = r == -ENOSPC || r == -EDQUOT || r == -ENOMEM || r == -EMFILE || r == -ENFILE;
        log_error("cleaner", "a log cannot be compacted %s: %s",
                  passes ? "now, it is tried again" : "and is left as it is until the next start", err.text);
        pthread_mutex_lock(&log->lock);
        log->uncleanable = !passes;
        pthread_mutex_unlock(&log->lock);
        return;
    }
    log_info("cleaner",
             "compacted partition=%s bytes_before=%" PRIu64 " bytes_after=%" PRIu64 " keys=%" PRIu64
             " clean_end=%" PRId64 " ms=%" PRId64,
             log->name, result.bytes_before, result.bytes_after, result.keys, result.clean_end,
             clock_mono_ms(dir->clock) - begin_ms);
    atomic_store(&dir->cleaned, true);
    log_dir_note_marks(dir);
}

uint32_t log_dir_clean(struct log_dir *dir)
{
    struct partition_log *log, *before = NULL;
    uint32_t count = 0;

    for (;;) {
        struct log_cleaner_config config = config_of(dir);
        pthread_mutex_lock(&dir->lock);
        bool stop = !config.enable || dir->closing;
        pthread_mutex_unlock(&dir->lock);
        log = stop ? NULL : choose(dir, clock_wall_ms(dir->clock));
        if (!log) break;
        pthread_mutex_lock(&log->lock);
        int64_t clean_before = log->clean_end;
        pthread_mutex_unlock(&log->lock);
        clean_one(dir, log, &config);
        pthread_mutex_lock(&log->lock);
        bool stuck = log == before && log->clean_end == clean_before; /* it changes under every pass: later */
        pthread_mutex_unlock(&log->lock);
        before = log;
        partition_log_unref(log);
        if (stuck) break;
        count++;
    }
    return count;
}

static void *cleaner(void *arg)
{
    struct log_dir *dir = arg;

    pthread_mutex_lock(&dir->lock);
    while (!sleep_ms(dir, dir->options.cleaner.backoff_ms, true)) {
        pthread_mutex_unlock(&dir->lock);
        if (atomic_load(&dir->serving)) log_dir_clean(dir); /* till then ends may go back */
        pthread_mutex_lock(&dir->lock);
    }
    pthread_mutex_unlock(&dir->lock);
    return NULL;
}

int cleaner_start(struct log_dir *dir)
{
    return thread_start(&dir->cleaner, "ottla-cleaner", cleaner, dir);
}

void cleaner_stop(struct log_dir *dir)
{
    pthread_mutex_lock(&dir->lock);
    dir->closing = true;
    pthread_cond_broadcast(&dir->cleaner_wake);
    pthread_mutex_unlock(&dir->lock);
    pthread_join(dir->cleaner, NULL);
}
