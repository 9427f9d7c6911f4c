/* storage/log_marks.c: how far readers may go, and who waits for that: the marks of partition_log.h, published when
 * what they are made of has moved, and waiters woken by them. Threads: written under the log's mutex, read by
 * anyone. */
#include "storage/log_internal.h"

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

static int64_t visible_end(const struct partition_log *log)
{
    int64_t end = MIN(atomic_load(&log->log_end), log_least_hold(log));
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

void log_publish_held(struct partition_log *log)
{
    publish(log, MIN(log_least_hold(log), MAX(visible_end(log), atomic_load(&log->high_watermark))));
}

void log_publish_shortened(struct partition_log *log)
{
    publish(log, MIN(MAX(visible_end(log), atomic_load(&log->high_watermark)), atomic_load(&log->log_end)));
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
