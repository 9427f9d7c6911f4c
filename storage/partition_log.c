/* Life, marks, holds and waiters of a partition log. Appending, reading, recovery and the rest have files of their
 * own. */
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

/* -- marks -- */

struct log_marks partition_log_marks(struct partition_log *log)
{
    /* Each moves only forward while others read, so that reading the lower ones first keeps their order. */
    struct log_marks marks;
    marks.log_start = atomic_load(&log->log_start);
    marks.last_stable = atomic_load(&log->last_stable);
    marks.high_watermark = atomic_load(&log->high_watermark);
    marks.durable_end = atomic_load(&log->durable_end);
    marks.log_end = atomic_load(&log->log_end);
    marks.leader_epoch = atomic_load(&log->leader_epoch);
    return marks;
}

static int64_t least_hold(const struct partition_log *log)
{
    int64_t least = LOG_NO_HOLD;
    for (const struct log_claim *claim = log->claims; claim; claim = claim->next) least = MIN(least, claim->hold);
    return least;
}

static int64_t visible_end(const struct partition_log *log)
{
    int64_t end = MIN(atomic_load(&log->log_end), least_hold(log));
    return log->config->config.strict ? MIN(end, atomic_load(&log->durable_end)) : end;
}

static void publish(struct partition_log *log, int64_t high_watermark)
{
    int64_t unstable = log->producers ? producer_state_first_unstable(log->producers, high_watermark) : INT64_MAX;
    /* A transaction that began below the log's start is open from there on. */
    int64_t stable = MIN(high_watermark, MAX(unstable, atomic_load(&log->log_start)));

    /* What is not loaded has no open transaction that is not in last_stable already, and gets no batch before it is. */
    if (!log->loaded) stable = MIN(stable, atomic_load(&log->last_stable));
    atomic_store(&log->high_watermark, high_watermark);
    atomic_store(&log->last_stable, stable);
    if (log->producers) producer_state_settle(log->producers, high_watermark);
}

void log_publish(struct partition_log *log)
{
    publish(log, MAX(visible_end(log), atomic_load(&log->high_watermark)));
}

void log_publish_shortened(struct partition_log *log)
{
    publish(log, MIN(MAX(visible_end(log), atomic_load(&log->high_watermark)), atomic_load(&log->log_end)));
}

void log_close(struct partition_log *log)
{
    log->closed = true;
    log_wake(log, true);
    for (uint32_t i = 0; i < log->segments_count; i++) open_files_drop(&log->dir->files, log->segments[i]);
}

/* -- claims -- */

static struct log_claim *claim_find(const struct partition_log *log, int64_t owner)
{
    struct log_claim *claim = log->claims;
    while (claim && claim->owner != owner) claim = claim->next;
    return claim;
}

static struct log_claim *claim_of(struct partition_log *log, int64_t owner)
{
    struct log_claim *claim = claim_find(log, owner);

    if (claim) return claim;
    claim = xmalloc(sizeof *claim);
    *claim = (struct log_claim){
        .next = log->claims, .owner = owner, .hold = LOG_NO_HOLD, .trim_limit = INT64_MAX, .alone_from = -1};
    log->claims = claim;
    return claim;
}

static const struct log_claim *claim_alone(const struct partition_log *log)
{
    const struct log_claim *claim = log->claims;
    while (claim && claim->alone_from < 0) claim = claim->next;
    return claim;
}

bool log_may_append(const struct partition_log *log, int64_t owner)
{
    const struct log_claim *alone = claim_alone(log);
    return !alone || alone->owner == owner;
}

void log_hold(struct partition_log *log, int64_t owner, int64_t offset)
{
    struct log_claim *claim = claim_of(log, owner);
    if (claim->hold == LOG_NO_HOLD) claim->hold = offset;
}

void partition_log_set_hold(struct partition_log *log, int64_t owner, int64_t offset)
{
    pthread_mutex_lock(&log->lock);
    if (!log->closed && (log->loaded || log_ready(log) == KAFKA_NONE)) {
        claim_of(log, owner)->hold = offset;
        if (atomic_load(&log->dir->serving)) log_publish(log);
        else publish(log, MIN(least_hold(log), MAX(visible_end(log), atomic_load(&log->high_watermark))));
        log_wake(log, false);
    }
    pthread_mutex_unlock(&log->lock);
}

bool partition_log_set_exclusive(struct partition_log *log, int64_t owner, bool on)
{
    assert(owner != 0);
    pthread_mutex_lock(&log->lock);
    bool may = log_may_append(log, owner);
    struct log_claim *claim = on && may ? claim_of(log, owner) : claim_find(log, owner);
    if (claim && !on) claim->alone_from = -1;
    else if (claim && may && claim->alone_from < 0) claim->alone_from = atomic_load(&log->log_end);
    pthread_mutex_unlock(&log->lock);
    return may || !on;
}

int64_t partition_log_settled_end(struct partition_log *log, int64_t owner)
{
    pthread_mutex_lock(&log->lock);
    const struct log_claim *alone = claim_alone(log);
    int64_t end = alone && alone->owner != owner ? alone->alone_from : atomic_load(&log->log_end);
    pthread_mutex_unlock(&log->lock);
    return end;
}

void partition_log_disown(struct partition_log *log, int64_t owner)
{
    struct log_claim **at = &log->claims;

    pthread_mutex_lock(&log->lock);
    while (*at && (*at)->owner != owner) at = &(*at)->next;
    struct log_claim *gone = *at;
    if (gone) {
        *at = gone->next;
        free(gone);
        log_publish(log);
        log_wake(log, false);
    }
    pthread_mutex_unlock(&log->lock);
}

void partition_log_release(const struct log_release *items, uint32_t count)
{
    if (!count) return;
    struct log_dir *dir = items[0].log->dir;

    pthread_rwlock_wrlock(&dir->visibility);
    for (uint32_t i = 0; i < count; i++) {
        struct partition_log *log = items[i].log;
        pthread_mutex_lock(&log->lock);
        claim_of(log, items[i].owner)->hold = items[i].hold;
        log_publish(log);
        pthread_mutex_unlock(&log->lock);
    }
    pthread_rwlock_unlock(&dir->visibility);
    for (uint32_t i = 0; i < count; i++) {
        pthread_mutex_lock(&items[i].log->lock);
        log_wake(items[i].log, false);
        pthread_mutex_unlock(&items[i].log->lock);
    }
}

void log_dir_visibility_lock(struct log_dir *dir)
{
    pthread_rwlock_rdlock(&dir->visibility);
}

void log_dir_visibility_unlock(struct log_dir *dir)
{
    pthread_rwlock_unlock(&dir->visibility);
}

void partition_log_set_trim_limit(struct partition_log *log, int64_t owner, int64_t offset)
{
    pthread_mutex_lock(&log->lock);
    claim_of(log, owner)->trim_limit = offset;
    pthread_mutex_unlock(&log->lock);
}

int64_t log_trim_limit(const struct partition_log *log)
{
    int64_t least = INT64_MAX;
    for (const struct log_claim *claim = log->claims; claim; claim = claim->next) least = MIN(least, claim->trim_limit);
    return least;
}

bool partition_log_producer_last(struct partition_log *log, int64_t producer_id, struct producer_last *ret_last)
{
    const struct producer *p = NULL;

    pthread_mutex_lock(&log->lock);
    if (log_ready(log) == KAFKA_NONE) p = producer_state_find(log->producers, producer_id);
    if (p) {
        const struct producer_batch *last = p->batches_count ? &p->batches[p->batches_count - 1] : NULL;
        *ret_last = (struct producer_last){.epoch = p->epoch,
                                           .last_sequence = last ? last->last_sequence : -1,
                                           .last_offset = last ? last->last_offset : -1};
    }
    pthread_mutex_unlock(&log->lock);
    return p != NULL;
}

enum kafka_error partition_log_producers(struct partition_log *log, struct producer_info **ret_producers,
                                         uint32_t *ret_count)
{
    pthread_mutex_lock(&log->lock);
    enum kafka_error error = log_ready(log);
    if (error == KAFKA_NONE) {
        struct producer_info *to = *ret_producers = xcalloc(HASH_COUNT(log->producers->producers) + 1, sizeof *to);
        *ret_count = HASH_COUNT(log->producers->producers);
        for (const struct producer *p = log->producers->producers; p; p = p->hh.next)
            *to++ = (struct producer_info){.producer_id = p->id,
                                           .last_timestamp_ms = p->last_timestamp_ms,
                                           .txn_first_offset = p->txn_first_offset,
                                           .last_sequence =
                                               p->batches_count ? p->batches[p->batches_count - 1].last_sequence : -1,
                                           .coordinator_epoch = p->coordinator_epoch,
                                           .epoch = p->epoch};
    }
    pthread_mutex_unlock(&log->lock);
    return error;
}

/* -- waiters -- */

static bool is_satisfied(const struct partition_log *log, const struct log_waiter *w)
{
    int64_t mark = 0;
    switch (w->isolation) {
    case READ_UNCOMMITTED: mark = atomic_load(&log->high_watermark); break;
    case READ_COMMITTED: mark = atomic_load(&log->last_stable); break;
    case READ_LOG_END: mark = atomic_load(&log->log_end); break;
    }
    return mark > w->beyond_offset || log->closed;
}

static void wake(struct log_waiter *w)
{
    LIST_REMOVE(w, link);
    w->linked = false;
    w->wake(w);
}

void log_wake(struct partition_log *log, bool all)
{
    struct log_waiter *w = LIST_FIRST(&log->waiters), *next;
    for (; w; w = next) {
        next = LIST_NEXT(w, link);
        if (all || is_satisfied(log, w)) wake(w);
    }
}

void partition_log_wait(struct partition_log *log, struct log_waiter *w)
{
    pthread_mutex_lock(&log->lock);
    LIST_INSERT_HEAD(&log->waiters, w, link);
    w->linked = true;
    if (is_satisfied(log, w) || atomic_load(&log->log_start) > w->beyond_offset) wake(w);
    pthread_mutex_unlock(&log->lock);
}

void partition_log_wait_cancel(struct partition_log *log, struct log_waiter *w)
{
    pthread_mutex_lock(&log->lock);
    if (w->linked) LIST_REMOVE(w, link);
    w->linked = false;
    pthread_mutex_unlock(&log->lock);
}
