/* storage/partition_log.c: life of a partition log: its defaults, references, loading at its first use, failure,
 * closing; and the files beside its segments. Marks, claims, appending, reading, recovery have files of their own.
 * Threads: partition_log.h. */
#include "storage/log_internal.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Kafka's defaults, but for flush_ms, which the log directory's own interval covers. */
void log_config_default(struct log_config *c)
{
    *c = (struct log_config){
        .segment_bytes = 1024 * 1024 * 1024,
        .segment_ms = 7 * 24 * 3600 * 1000LL,
        .segment_index_bytes = 10 * 1024 * 1024,
        .index_interval_bytes = 4096,
        .retention_ms = 7 * 24 * 3600 * 1000LL,
        .retention_bytes = -1,
        .max_message_bytes = 1024 * 1024 + 12,
        .flush_messages = INT64_MAX,
        .flush_ms = INT64_MAX,
        .file_delete_delay_ms = 60 * 1000,
        .message_timestamp_before_max_ms = INT64_MAX,
        .message_timestamp_after_max_ms = 3600 * 1000,
        .max_compaction_lag_ms = INT64_MAX,
        .delete_retention_ms = 24 * 3600 * 1000LL,
        .min_cleanable_ratio = 0.5,
        .cleanup_delete = true,
        .compression_codec = -1,
        .compression_level = COMPRESSION_LEVEL_DEFAULT,
    };
}

struct partition_log *log_new(struct log_dir *dir, const char *topic, int32_t partition, struct uuid topic_id,
                              const struct log_config *config)
{
    size_t topic_len = strlen(topic);
    struct partition_log *log = xcalloc(1, sizeof *log + topic_len + 12);

    log->dir = dir;
    atomic_fetch_add(&dir->refs, 1);
    log->topic_id = topic_id;
    log->partition = partition;
    log->topic_len = (uint32_t)topic_len;
    snprintf(log->name, topic_len + 12, "%s-%d", topic, partition);
    atomic_init(&log->refs, 1);
    pthread_mutex_init(&log->lock, NULL);
    log->clean_end = -1;
    log->oldest_timestamp_ms = -1;
    log->config = log_dir_intern_config(dir, config);
    LIST_INIT(&log->waiters);
    STAILQ_INIT(&log->sync_requests);
    return log;
}

struct partition_log *partition_log_ref(struct partition_log *log)
{
    atomic_fetch_add_explicit(&log->refs, 1, memory_order_relaxed);
    return log;
}

void partition_log_unref(struct partition_log *log)
{
    if (!log || atomic_fetch_sub_explicit(&log->refs, 1, memory_order_acq_rel) != 1) return;
    assert(LIST_EMPTY(&log->waiters) && STAILQ_EMPTY(&log->sync_requests));
    struct log_dir *dir = log->dir;
    for (uint32_t i = 0; i < log->segments_count; i++) segment_free(log->segments[i]);
    free(log->segments);
    leader_epochs_done(&log->epochs);
    if (log->producers) producer_state_done(log->producers);
    free(log->producers);
    for (struct log_claim *claim = log->claims, *next; claim; claim = next) {
        next = claim->next;
        free(claim);
    }
    log_dir_drop_config(dir, log->config);
    pthread_mutex_destroy(&log->lock);
    free(log->folder);
    free(log);
    log_dir_unref(dir);
}

int32_t partition_log_begin_epoch(struct partition_log *log)
{
    pthread_mutex_lock(&log->lock);
    int32_t epoch = MAX(MAX(leader_epochs_latest(&log->epochs) + 1, 1), atomic_load(&log->leader_epoch));
    atomic_store(&log->leader_epoch, epoch);
    pthread_mutex_unlock(&log->lock);
    return epoch;
}

void partition_log_raise_epoch(struct partition_log *log, int32_t epoch)
{
    pthread_mutex_lock(&log->lock);
    if (atomic_load(&log->leader_epoch) < epoch) atomic_store(&log->leader_epoch, epoch);
    pthread_mutex_unlock(&log->lock);
}

/* The path of a file in the log's folder, for the caller to free. */
static char *file_path(struct partition_log *log, const char *name)
{
    pthread_mutex_lock(&log->lock); /* a deletion renames the folder */
    char *path = xasprintf("%s/%s", log_folder(log), name);
    pthread_mutex_unlock(&log->lock);
    return path;
}

int partition_log_write_file(struct partition_log *log, const char *name, const void *bytes, size_t size)
{
    AUTO_FREE char *path = file_path(log, name);
    AUTO_FREE char *folder = file_path(log, "");
    return io_replace_file(log->dir->io, log->dir->fd, folder, path, bytes, size, true);
}

int partition_log_read_file(struct partition_log *log, const char *name, size_t size_max, char **ret_bytes,
                            size_t *ret_size)
{
    AUTO_FREE char *path = file_path(log, name);
    return io_read_file(log->dir->io, log->dir->fd, path, size_max, ret_bytes, ret_size);
}

int partition_log_remove_file(struct partition_log *log, const char *name)
{
    AUTO_FREE char *path = file_path(log, name);
    return log->dir->io->unlinkat(log->dir->fd, path, 0);
}

int partition_log_list_files(struct partition_log *log, int (*each)(void *arg, const char *name), void *arg)
{
    AUTO_FREE char *folder = file_path(log, "");
    return log->dir->io->list(log->dir->fd, folder, each, arg);
}

const char *partition_log_name(const struct partition_log *log)
{
    return log->name;
}

uint64_t partition_log_size(struct partition_log *log)
{
    return atomic_load_explicit(&log->size, memory_order_relaxed);
}

void partition_log_configure(struct partition_log *log, const struct log_config *config)
{
    struct config_ref *fresh = log_dir_intern_config(log->dir, config);
    pthread_mutex_lock(&log->lock);
    struct config_ref *before = log->config;
    log->config = fresh;
    /* Leaving strict durability shows what was only waiting for its sync; entering it takes nothing back. */
    log_publish(log);
    log_wake(log, false);
    pthread_mutex_unlock(&log->lock);
    log_dir_drop_config(log->dir, before);
}

enum kafka_error log_ready(struct partition_log *log)
{
    if (log->closed) return KAFKA_NOT_LEADER_OR_FOLLOWER;
    if (log->loaded) return KAFKA_NONE;
    if (atomic_load(&log->failed)) return KAFKA_STORAGE_ERROR;
    struct err err = ERR_NONE;
    struct log_load load = {
        .clean = true, .log_start = atomic_load(&log->log_start), .last_stable = atomic_load(&log->last_stable)};
    if (!log_load(log, &load, &err)) return KAFKA_NONE;
    log_error("storage", "partition is offline: %s partition=%s", err.text, log->name);
    log_dir_note_failure(log->dir, log->name, &err);
    log_fail(log);
    return KAFKA_STORAGE_ERROR;
}

bool partition_log_has_failed(const struct partition_log *log)
{
    return atomic_load(&log->failed);
}

void log_fail(struct partition_log *log)
{
    atomic_store(&log->failed, true);
}

struct segment *log_active(const struct partition_log *log)
{
    return log->segments_count ? log->segments[log->segments_count - 1] : NULL;
}

uint32_t log_segment_at(const struct partition_log *log, int64_t offset)
{
    uint32_t low = 0, high = log->segments_count; /* the answer lies in [low, high] */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (log->segments[middle]->next_offset <= offset) low = middle + 1;
        else high = middle;
    }
    return low;
}

int log_segment_file(struct partition_log *log, struct segment *s, struct file_ref **ret_file)
{
    char path[SEGMENT_PATH_BYTES];
    segment_path(log, s->base_offset, ".log", path);
    return open_files_get(&log->dir->files, s, log->dir->fd, path, false, ret_file);
}

void log_close(struct partition_log *log)
{
    log->closed = true;
    log_wake(log, true);
    for (uint32_t i = 0; i < log->segments_count; i++) open_files_drop(&log->dir->files, log->segments[i]);
}
