/* tests/lib/parked.h: whether somebody waits for records of a log: a parked fetch, a reader. */
#ifndef OTTLA_TEST_PARKED_H
#define OTTLA_TEST_PARKED_H

#include "storage/log_internal.h"

static inline bool log_is_awaited(struct partition_log *log)
{
    pthread_mutex_lock(&log->lock);
    bool awaited = !LIST_EMPTY(&log->waiters);
    pthread_mutex_unlock(&log->lock);
    return awaited;
}

#endif
