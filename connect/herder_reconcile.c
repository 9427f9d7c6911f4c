/* connect/herder_reconcile.c: brings what runs to what is wanted; the diagram stands in herder.h.
 *
 * next_step() compares the two and chooses, step_start(), step_stop(), step_pause() and step_settle() make the transitions,
 * reconcile() repeats both until nothing is left to do.
 * Invariants: c->working says that a reconciler runs or is posted, and there is at most one: who else needs the connector to
 * stay as it is (herder_offsets_reset) sets it meanwhile; only its holder changes c->instance. What is wanted is read anew after
 * every step, since the lock is released in it.
 * Threads: reconcile() on a worker of the herder; on_state() on a thread of the class, whatever locks that holds. */
#include "base/log.h"
#include "connect/herder_internal.h"
#include "http/workers.h"

#include <errno.h>

/* What a class told about an instance; applied by the reconciler. */
struct event {
    uint64_t epoch;
    enum connector_state state;
    char *trace;
    STAILQ_ENTRY(event) link;
};

/* The argument of an instance's callbacks. */
struct told_by {
    struct connector *connector;
    uint64_t epoch;
};

static void reconcile(void *arg);

/* -- events -- */

static struct event *event_take(struct connector *c)
{
    pthread_mutex_lock(&c->events_lock);
    struct event *e = STAILQ_FIRST(&c->events);
    if (e) STAILQ_REMOVE_HEAD(&c->events, link);
    pthread_mutex_unlock(&c->events_lock);
    return e;
}

static void event_free(struct event *e)
{
    free(e->trace);
    free(e);
}

void connector_events_drop(struct connector *c)
{
    struct event *e;

    while ((e = event_take(c))) event_free(e);
}

/* Lock held. */
void connector_schedule(struct connector *c)
{
    if (c->working || !c->herder->started) return; /* one that works looks again before it ends */
    c->working = workers_post(c->herder->workers, reconcile, c);
    if (!c->working) log_error("connect", "no thread for a connector name=%s", c->name);
}

/* Lock held. Nothing points to it any more: nobody wants it, nothing runs, no letter is under way. */
void connector_free_if_gone(struct connector *c)
{
    if (c->config || c->instance || c->working) return;
    pthread_mutex_lock(&c->events_lock);
    bool gone = c->posts_count == 0;
    pthread_mutex_unlock(&c->events_lock);
    if (gone) connector_free(c);
}

static void events_arrived(void *arg)
{
    struct connector *c = arg;
    struct herder *h = c->herder;

    pthread_mutex_lock(&h->lock);
    pthread_mutex_lock(&c->events_lock);
    c->posts_count--;
    pthread_mutex_unlock(&c->events_lock);
    connector_schedule(c);
    connector_free_if_gone(c);
    pthread_mutex_unlock(&h->lock);
}

/* On a thread of the class, maybe with its locks held: `lock` must not be taken here. The connector lives: it is not
 * freed while an instance of it exists. */
static void on_state(void *arg, enum connector_state state, const char *trace)
{
    struct told_by *by = arg;
    struct connector *c = by->connector;
    struct event *e = xcalloc(1, sizeof *e);

    *e = (struct event){.epoch = by->epoch, .state = state, .trace = trace ? xstrdup(trace) : NULL};
    pthread_mutex_lock(&c->events_lock);
    STAILQ_INSERT_TAIL(&c->events, e, link);
    if (workers_post(c->herder->workers, events_arrived, c))
        c->posts_count++; /* else closing: nobody will ask any more */
    pthread_mutex_unlock(&c->events_lock);
}

/* The functions below run on the reconciler with the lock held, and may release it for a while. What is wanted may have
 * changed when they return; the instance has not, as only the reconciler changes it. */

static void events_apply(struct connector *c)
{
    struct event *e;

    while ((e = event_take(c))) {
        if (c->instance && e->epoch == c->epoch) {
            if (e->state == CONNECTOR_RUNNING || e->state == CONNECTOR_PAUSED) connector_status_set(c, e->state, NULL);
            connector_task_set(c, e->state, e->trace);
        }
        event_free(e);
    }
}

enum step { STEP_NONE, STEP_START, STEP_STOP, STEP_PAUSE, STEP_RESUME, STEP_SETTLE };

static enum step next_step(const struct connector *c)
{
    bool wanted = c->config && c->target != TARGET_STOPPED && !c->herder->closing;

    if (c->instance && (!wanted || c->epoch != c->generation)) return STEP_STOP;
    if (!c->instance && wanted && (c->epoch != c->generation || !c->start_failed)) return STEP_START;
    if (c->instance && c->target == TARGET_PAUSED && !c->instance_paused) return STEP_PAUSE;
    if (c->instance && c->target == TARGET_RUNNING && c->instance_paused) return STEP_RESUME;
    if (c->config && c->target == TARGET_STOPPED && !(c->has_status && c->state == CONNECTOR_STOPPED))
        return STEP_SETTLE;
    return STEP_NONE;
}

static void step_start(struct connector *c)
{
    struct herder *h = c->herder;
    json_t *config = json_deep_copy(c->config);
    const struct connector_class *class = connector_class_of(h, config);
    struct told_by *by = xmalloc(sizeof *by);
    bool paused = c->target == TARGET_PAUSED;
    AUTO_FREE char *unreadable = c->unreadable ? xstrdup(c->unreadable) : NULL;
    void *instance = NULL;
    struct err err = ERR_NONE;
    int r;

    c->epoch = c->generation;
    c->start_failed = false;
    *by = (struct told_by){.connector = c, .epoch = c->epoch};
    struct connector_callbacks callbacks = {.arg = by, .on_state = on_state};
    pthread_mutex_unlock(&h->lock);
    herder_outbox_flush(h);
    if (class) r = class->start(class->context, c->name, config, paused, &callbacks, &instance, &err);
    else if (unreadable)
        r = err_set(&err, -EBADMSG,
                    "The stored configuration of connector %s was lost: %s. PUT its configuration again, or DELETE it",
                    c->name, unreadable);
    else
        r = err_set(&err, -EINVAL, "Failed to find any class that implements Connector and which name matches %s",
                    config_get(config, "connector.class") ? config_get(config, "connector.class") : "");
    pthread_mutex_lock(&h->lock);
    if (r == 0) {
        c->class = class;
        c->instance = instance;
        c->instance_config = json_incref(config);
        c->instance_paused = paused;
        c->told_by = by;
        if (c->config) connector_tasks_commit(c, config, class->task_class);
        connector_status_set(c, paused ? CONNECTOR_PAUSED : CONNECTOR_RUNNING, NULL);
        if (!c->has_task) connector_task_set(c, CONNECTOR_UNASSIGNED, NULL);
    } else {
        char *trace = xasprintf("org.apache.kafka.connect.errors.ConnectException: %s", err.text);
        c->start_failed = true;
        free(by);
        connector_task_clear(c);
        connector_status_set(c, CONNECTOR_FAILED, trace);
        free(trace);
    }
    json_decref(config);
}

static void step_stop(struct connector *c)
{
    struct herder *h = c->herder;
    void *instance = c->instance;

    connector_topics_collect(c);
    c->instance = NULL;
    pthread_mutex_unlock(&h->lock);
    herder_outbox_flush(h);
    c->class->stop(instance);
    pthread_mutex_lock(&h->lock);
    free(c->told_by);
    c->told_by = NULL;
    connector_offsets_collect(c); /* also of one that is deleted: its position outlives it */
    json_decref(c->instance_config);
    c->instance_config = NULL;
}

static void step_pause(struct connector *c, bool pause)
{
    struct herder *h = c->herder;
    bool failed = c->has_task && c->task_state == CONNECTOR_FAILED; /* it stays so until it is restarted */

    c->instance_paused = pause;
    connector_status_set(c, pause ? CONNECTOR_PAUSED : CONNECTOR_RUNNING, NULL);
    if (failed) return;
    pthread_mutex_unlock(&h->lock);
    (pause ? c->class->pause : c->class->resume)(c->instance);
    pthread_mutex_lock(&h->lock);
}

static void step_settle(struct connector *c)
{
    c->start_failed = false; /* resumed, it is started again */
    connector_task_clear(c);
    connector_tasks_commit(c, NULL, NULL);
    connector_status_set(c, CONNECTOR_STOPPED, NULL);
}

static void reconcile(void *arg)
{
    struct connector *c = arg;
    struct herder *h = c->herder;
    enum step step;

    pthread_mutex_lock(&h->lock);
    while (events_apply(c), (step = next_step(c)) != STEP_NONE) {
        switch (step) {
        case STEP_START: step_start(c); break;
        case STEP_STOP: step_stop(c); break;
        case STEP_PAUSE: step_pause(c, true); break;
        case STEP_RESUME: step_pause(c, false); break;
        case STEP_SETTLE: step_settle(c); break;
        case STEP_NONE: break;
        }
    }
    c->working = false;
    pthread_cond_broadcast(&h->idle);
    connector_free_if_gone(c);
    pthread_mutex_unlock(&h->lock);
    herder_outbox_flush(h);
}
