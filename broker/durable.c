/* broker/durable.c: see durable.h. */
#include "broker/durable.h"

#include "broker/broker.h"

struct durable_wait {
    LIST_ENTRY(durable_wait) link; /* of waits; on the control thread */
    struct broker *broker;
    struct durable_waits *waits;                     /* NULL: in no list */
    void (*done)(void *arg, enum kafka_error error); /* NULL: forgotten */
    void *arg;
    atomic_int left; /* syncs, and one for the caller */
    atomic_bool failed;
};

static void finish(void *arg)
{
    struct durable_wait *w = arg;
    if (w->waits) LIST_REMOVE(w, link);
    if (w->done) w->done(w->arg, atomic_load(&w->failed) ? KAFKA_COORDINATOR_NOT_AVAILABLE : KAFKA_NONE);
    free(w);
}

static void synced(void *arg, int error) /* sync thread */
{
    struct durable_wait *w = arg;
    if (error) atomic_store(&w->failed, true);
    if (atomic_fetch_sub(&w->left, 1) > 1) return;
    /* Closed: the list, if any, has forgotten w before. */
    if (!broker_control_post(w->broker, finish, w)) free(w);
}

struct durable_wait *durable_wait_new(struct broker *b, struct durable_waits *waits,
                                      void (*done)(void *arg, enum kafka_error error), void *arg)
{
    struct durable_wait *w = xcalloc(1, sizeof *w);
    *w = (struct durable_wait){.broker = b, .waits = waits, .done = done, .arg = arg};
    atomic_init(&w->left, 1);
    atomic_init(&w->failed, false);
    if (waits) LIST_INSERT_HEAD(waits, w, link);
    return w;
}

void durable_wait_add(struct durable_wait *w, const struct metadata_topic *topic, struct partition_log *log)
{
    if (!topic || !log || !topic->log_config.strict) return;
    struct log_marks marks = partition_log_marks(log);
    if (marks.durable_end >= marks.log_end) return;
    atomic_fetch_add(&w->left, 1);
    partition_log_sync_async(log, marks.log_end, synced, w);
}

void durable_wait_end(struct durable_wait *w)
{
    /* Nothing, or all is over already: the answer need not go through the mailbox. */
    if (atomic_fetch_sub(&w->left, 1) == 1) finish(w);
}

void durable_waits_forget(struct durable_waits *waits)
{
    struct durable_wait *w;
    while ((w = LIST_FIRST(waits))) {
        LIST_REMOVE(w, link);
        w->waits = NULL;
        w->done = NULL;
    }
}
