/* storage/log_claims.c: what the broker's own writers (connectors) have claimed of a log: to hold from readers what
 * they have not finished, to append alone, to keep what they may need again. Several logs' holds move in one step
 * under the directory's visibility lock. Threads: partition_log.h. */
#include "storage/log_internal.h"

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
        else log_publish_held(log);
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

int64_t log_least_hold(const struct partition_log *log)
{
    int64_t least = LOG_NO_HOLD;
    for (const struct log_claim *claim = log->claims; claim; claim = claim->next) least = MIN(least, claim->hold);
    return least;
}
