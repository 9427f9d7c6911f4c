/* The log's beginning moves up and, rarely, its end back: retention by time and size, DeleteRecords, the one
 * truncation. */
#include "storage/log_internal.h"

#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* How many leading segments retention takes. Under the lock. */
static uint32_t expired_count(struct partition_log *log, int64_t now_ms)
{
    const struct log_config *c = &log->config->config;
    int64_t end_max = MIN(atomic_load(&log->high_watermark), log_trim_limit(log));
    int64_t start = atomic_load(&log->log_start);
    uint64_t size = atomic_load(&log->size);
    uint32_t i;

    for (i = 0; i < log->segments_count; i++) {
        struct segment *s = log->segments[i];
        uint32_t segment_size = atomic_load(&s->size);
        bool active = i + 1 == log->segments_count;
        if (s->next_offset > end_max || !segment_size) break;
        bool before_start = !active && s->next_offset <= start;
        if (!before_start) {
            if (!c->cleanup_delete || log_know_timestamps(log, s)) break;
            bool old =
                c->retention_ms >= 0 && s->max_timestamp_ms >= 0 && now_ms - s->max_timestamp_ms > c->retention_ms;
            bool large = c->retention_bytes >= 0 && !active && size - segment_size >= (uint64_t)c->retention_bytes;
            if (!old && !large) break;
        }
        size -= segment_size;
    }
    return i;
}

static void move_start(struct partition_log *log, int64_t start)
{
    if (start <= atomic_load(&log->log_start)) return;
    atomic_store(&log->log_start, start);
    if (leader_epochs_cut_start(&log->epochs, start)) log->epochs_dirty = true;
    log_dir_note_marks(log->dir);
    log_publish(log);
    log_wake(log, true);
}

/* How many leading segments lie below the log's start. Never the active one. Under the lock. */
static uint32_t trimmed_count(const struct partition_log *log, int64_t start_max)
{
    int64_t start = MIN(MIN(atomic_load(&log->log_start), start_max), log_trim_limit(log));
    uint32_t count = 0;
    while (count + 1 < log->segments_count && log->segments[count]->next_offset <= start) count++;
    return count;
}

bool log_retain(struct partition_log *log, int64_t now_ms)
{
    bool trimmed = false;

    pthread_mutex_lock(&log->lock);
    const struct log_config *c = &log->config->config;
    if (!log->loaded && !log->closed) {
        /* What its last stop wrote tells whether a look at its files can change anything. */
        bool old = c->retention_ms >= 0 && log->oldest_timestamp_ms >= 0 &&
                   now_ms - log->oldest_timestamp_ms > c->retention_ms;
        bool large = c->retention_bytes >= 0 && atomic_load(&log->size) > (uint64_t)c->retention_bytes;
        if (!c->cleanup_delete || (!old && !large)) {
            pthread_mutex_unlock(&log->lock);
            return false;
        }
    }
    if (log_ready(log) == KAFKA_NONE && !atomic_load(&log->failed)) {
        uint32_t count = expired_count(log, now_ms);
        /* The active segment goes too when its records are old: a new one takes its place first. */
        if (count && count == log->segments_count && log_roll(log)) count--;
        if (count) move_start(log, log->segments[count - 1]->next_offset);
        trimmed = trimmed_count(log, INT64_MAX) > 0;
    }
    pthread_mutex_unlock(&log->lock);
    return trimmed;
}

void log_drop_trimmed(struct partition_log *log)
{
    pthread_mutex_lock(&log->lock);
    uint32_t count = log->loaded && !log->closed && !atomic_load(&log->failed)
                         ? trimmed_count(log, atomic_load(&log->start_written))
                         : 0;
    if (count) {
        log_info("storage", "segments deleted partition=%s count=%u log_start=%" PRId64, log->name, count,
                 atomic_load(&log->log_start));
        log_remove_segments(log, 0, count);
    }
    pthread_mutex_unlock(&log->lock);
}

enum kafka_error partition_log_delete_records(struct partition_log *log, int64_t before_offset, int64_t *ret_log_start)
{
    pthread_mutex_lock(&log->lock);
    enum kafka_error error = log_ready(log);
    if (error == KAFKA_NONE && atomic_load(&log->failed)) error = KAFKA_STORAGE_ERROR;
    if (error == KAFKA_NONE && (before_offset < 0 || before_offset > atomic_load(&log->high_watermark)))
        error = KAFKA_OFFSET_OUT_OF_RANGE;
    if (error == KAFKA_NONE) {
        move_start(log, MIN(before_offset, log_trim_limit(log)));
        if (trimmed_count(log, INT64_MAX)) atomic_store(&log->dir->trimmed, true);
        *ret_log_start = atomic_load(&log->log_start);
    }
    pthread_mutex_unlock(&log->lock);
    return error;
}

/* Cuts the segment before the first batch that reaches offset, and makes it active. */
static int cut_segment(struct partition_log *log, struct segment *s, int64_t offset)
{
    struct header_reader reader;
    struct record_batch b;
    uint32_t b_size, size = atomic_load(&s->size);
    struct file_ref *file;

    int r = log_segment_file(log, s, &file);
    if (r) return r;
    header_reader_init(&reader, log->dir->io, file->fd, 0, size);
    r = segment_seek(&reader, 0, offset, &b, &b_size);
    if (r > 0) r = log->dir->io->ftruncate(file->fd, reader.position);
    /* What was synced and is cut now must not come back. */
    if (!r) r = log->dir->io->fdatasync(file->fd);
    file_ref_put(file);
    if (r < 0) return r;
    atomic_store(&s->size, reader.position);
    atomic_store(&s->synced_size, MIN(reader.position, atomic_load(&s->synced_size)));
    atomic_fetch_sub(&log->size, size - reader.position);
    return log_scan_segment(log, s, INT64_MAX);
}

static int truncate_locked(struct partition_log *log, int64_t offset)
{
    uint32_t at = log_segment_at(log, offset);

    atomic_store(&log->durable_end, MIN(offset, atomic_load(&log->durable_end)));
    log->rewrites++;
    if (log->clean_end > offset) {
        log->clean_end = offset;
        atomic_store(&log->dir->cleaned, true);
    }
    /* The recovery point must not lie above what is going to be written there, or a torn tail would look like
     * damage. */
    int r = log_dir_write_checkpoints(log->dir);
    if (r) return r;
    while (at < log->segments_count && log->segments[at]->base_offset < offset) at++;
    log_remove_segments(log, at, log->segments_count - at);
    if (log->segments_count) r = cut_segment(log, log_active(log), offset);
    if (r) return r;
    int64_t end = log->segments_count ? MIN(offset, log_active(log)->next_offset) : offset;
    atomic_store(&log->log_end, end);
    if (leader_epochs_cut_end(&log->epochs, end + 1)) log->epochs_dirty = true;
    struct segment *active = log_active(log);
    if (active) active->aborted_known = false;
    if (active && active->aborted.count) active->aborted.shortened = true;
    r = log_replay_producers(log, active ? active->base_offset : end);
    return r ? r : log_write_aborted(log);
}

enum kafka_error partition_log_truncate(struct partition_log *log, int64_t offset)
{
    pthread_mutex_lock(&log->lock);
    enum kafka_error error = log_ready(log);
    if (error == KAFKA_NONE && atomic_load(&log->failed)) error = KAFKA_STORAGE_ERROR;
    bool seen = offset < atomic_load(&log->high_watermark) && atomic_load(&log->dir->serving);
    if (error == KAFKA_NONE && (offset < atomic_load(&log->log_start) || seen)) error = KAFKA_OFFSET_OUT_OF_RANGE;
    if (error == KAFKA_NONE && offset < atomic_load(&log->log_end)) {
        int r = truncate_locked(log, offset);
        if (r) {
            log_error("storage", "truncation failed, the partition takes no writes: %s partition=%s", strerror(-r),
                      log->name);
            log_fail(log);
            error = KAFKA_STORAGE_ERROR;
        }
        log_publish_shortened(log);
    }
    pthread_mutex_unlock(&log->lock);
    return error;
}
