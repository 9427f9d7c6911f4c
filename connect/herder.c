#include "connect/herder.h"

#include "base/clock.h"
#include "base/log.h"
#include "http/workers.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/queue.h>
#include <time.h>
#include <uthash.h>

#define STEPS_THREADS_MAX 8 /* connectors that start or stop at the same time */
#define STEPS_IDLE_MS     2000
#define STOP_WAIT_S       60 /* for a connector to stop, before its offsets are refused to be changed */
#define WORKER_GENERATION 1  /* of the group of workers, which is this one */

/* What a class told about an instance; applied by the reconciler. */
struct event {
    uint64_t epoch;
    enum connector_state state;
    char *trace;
    STAILQ_ENTRY(event) link;
};

struct written_topic {
    char *name;
    UT_hash_handle hh;
};

struct connector {
    struct herder *herder;
    char *name;
    UT_hash_handle hh;

    /* wanted. JSON values here are touched with the lock held only, references included: what goes out is a copy. */
    json_t *config; /* never changed, only replaced; NULL: deleted, or never made */
    enum target_state target;
    uint64_t generation; /* a new one needs a new instance */

    /* running; class and context are those of the configuration it was started with */
    const struct connector_class *class;
    void *instance;
    json_t *instance_config;
    struct told_by *told_by; /* of the instance */
    uint64_t epoch;          /* the generation that it was started for, or whose start failed */
    bool start_failed;
    bool instance_paused;
    json_t *committed; /* configuration of the last task-X-0 record; NULL: none */
    bool working;      /* a reconciler runs or is posted */

    /* told */
    bool has_status, has_task;
    enum connector_state state, task_state; /* of the connector; of its task */
    char *trace, *task_trace;
    struct written_topic *topics;
    char *offset_text; /* last position written to the store */

    pthread_mutex_t events_lock; /* guards what follows */
    STAILQ_HEAD(, event) events;
    uint32_t posts_count; /* letters under way that say that there are events */
};

/* The argument of an instance's callbacks. */
struct told_by {
    struct connector *connector;
    uint64_t epoch;
};

struct outgoing {
    struct connect_record record;
    STAILQ_ENTRY(outgoing) link;
};

struct herder {
    const struct herder_options *options;
    struct workers *workers;
    pthread_mutex_t store_lock;
    pthread_mutex_t lock;
    pthread_cond_t idle; /* some connector's `working` became false */
    struct connector *connectors;
    STAILQ_HEAD(, outgoing) outbox; /* status and topic records, in the order of their making */
    bool started, closing;
};

static void reconcile(void *arg);

/* -- connectors: lock held -- */

static struct connector *connector_get(struct herder *h, const char *name)
{
    struct connector *c;

    HASH_FIND_STR(h->connectors, name, c);
    if (c) return c;
    c = xcalloc(1, sizeof *c);
    c->herder = h;
    c->name = xstrdup(name);
    pthread_mutex_init(&c->events_lock, NULL);
    STAILQ_INIT(&c->events);
    HASH_ADD_KEYPTR(hh, h->connectors, c->name, strlen(c->name), c);
    return c;
}

/* One that exists for clients; NULL: none. */
static struct connector *connector_find(struct herder *h, const char *name)
{
    struct connector *c;

    HASH_FIND_STR(h->connectors, name, c);
    return c && c->config ? c : NULL;
}

static void topics_clear(struct connector *c)
{
    struct written_topic *t, *next;

    HASH_ITER(hh, c->topics, t, next)
    {
        HASH_DEL(c->topics, t);
        free(t->name);
        free(t);
    }
}

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

static void connector_free(struct connector *c)
{
    struct event *e;

    HASH_DEL(c->herder->connectors, c);
    while ((e = event_take(c))) event_free(e);
    pthread_mutex_destroy(&c->events_lock);
    topics_clear(c);
    json_decref(c->config);
    json_decref(c->committed);
    free(c->trace);
    free(c->task_trace);
    free(c->offset_text);
    free(c->name);
    free(c);
}

static const struct connector_class *class_of(const struct herder *h, const json_t *config)
{
    const char *name = config_get(config, "connector.class");

    return name ? connector_class_find(h->options->classes, h->options->classes_count, name) : NULL;
}

const struct connector_class *herder_class(const struct herder *h, const char *name)
{
    return connector_class_find(h->options->classes, h->options->classes_count, name);
}

static const char *version_of(const struct herder *h, const json_t *config)
{
    const struct connector_class *class = class_of(h, config);

    return class ? class->version(class->context, config) : "undefined";
}

/* -- what is told: lock held -- */

static void outbox_put(struct herder *h, struct connect_record record)
{
    struct outgoing *o = xmalloc(sizeof *o);

    o->record = record;
    STAILQ_INSERT_TAIL(&h->outbox, o, link);
}

static void told_set(enum connector_state *state, char **trace, enum connector_state new_state, const char *new_trace)
{
    char *copy = new_trace ? xstrdup(new_trace) : NULL;

    free(*trace);
    *trace = copy;
    *state = new_state;
}

static void status_record(struct connector *c, int task)
{
    struct herder *h = c->herder;
    bool whole = task < 0;

    outbox_put(h, record_of_status(c->name, task, whole ? c->state : c->task_state, whole ? c->trace : c->task_trace,
                                   h->options->worker_id, WORKER_GENERATION, version_of(h, c->config)));
}

static void status_set(struct connector *c, enum connector_state state, const char *trace)
{
    if (!c->config) return;
    if (!c->has_status || c->state != state) {
        log_info("connect", "connector state name=%s state=%s", c->name, connector_state_name(state));
    } else if (state != CONNECTOR_FAILED) {
        return;
    }
    told_set(&c->state, &c->trace, state, trace);
    c->has_status = true;
    status_record(c, -1);
}

static void task_status_set(struct connector *c, enum connector_state state, const char *trace)
{
    if (!c->config) return;
    if (!c->has_task || c->task_state != state) {
        log_info("connect", "task state name=%s task=0 state=%s", c->name, connector_state_name(state));
    } else if (state != CONNECTOR_FAILED) {
        return;
    }
    told_set(&c->task_state, &c->task_trace, state, trace);
    c->has_task = true;
    status_record(c, 0);
}

static void status_removed(struct connector *c, int task)
{
    outbox_put(c->herder, record_of_status(c->name, task, CONNECTOR_STOPPED, NULL, NULL, 0, NULL));
}

static void task_status_clear(struct connector *c)
{
    if (!c->has_task) return;
    c->has_task = false;
    told_set(&c->task_state, &c->task_trace, CONNECTOR_UNASSIGNED, NULL);
    status_removed(c, 0);
}

/* The number of tasks and the configuration of the first, as Kafka Connect stores them. */
static void tasks_commit(struct connector *c, json_t *config, const char *task_class)
{
    struct herder *h = c->herder;

    if (c->committed == config || (config && json_equal(c->committed, config))) return;
    if (config) outbox_put(h, record_of_task(c->name, config, task_class));
    outbox_put(h, record_of_commit(c->name, config ? 1 : 0));
    json_decref(c->committed);
    c->committed = json_incref(config);
}

/* Takes over the names of the topics that the instance has written to. */
static void topics_collect(struct connector *c)
{
    char **names;

    if (!c->instance || !c->config) return;
    uint32_t count = c->class->topics(c->instance, &names);
    for (uint32_t i = 0; i < count; i++) {
        struct written_topic *t;
        HASH_FIND_STR(c->topics, names[i], t);
        if (t) {
            free(names[i]);
            continue;
        }
        t = xcalloc(1, sizeof *t);
        t->name = names[i];
        HASH_ADD_KEYPTR(hh, c->topics, t->name, strlen(t->name), t);
        outbox_put(c->herder, record_of_topic(c->name, t->name, clock_wall_ms(&clock_system)));
    }
    if (count) free(names);
}

static bool offsets_of(struct connector *c, const json_t *config, json_t **ret_partition, json_t **ret_offset)
{
    const struct connector_class *class = class_of(c->herder, config);

    return class && class->offsets_get(class->context, c->name, config, ret_partition, ret_offset);
}

/* Kafka Connect stores the position there; ours is the class's own, and this is its copy. */
static void offsets_collect(struct connector *c)
{
    json_t *partition, *offset;

    if (!offsets_of(c, c->instance_config, &partition, &offset)) return;
    char *text = json_dumps(offset, JSON_COMPACT);
    if (text && (!c->offset_text || strcmp(text, c->offset_text) != 0)) {
        outbox_put(c->herder, record_of_offset(c->name, partition, offset));
        free(c->offset_text);
        c->offset_text = text;
    } else {
        free(text);
    }
    json_decref(partition);
    json_decref(offset);
}

/* Writes what is in the outbox; store_lock held, lock not. Statuses are for readers: a lost one is told by the log. */
static void outbox_write(struct herder *h)
{
    STAILQ_HEAD(, outgoing) taken = STAILQ_HEAD_INITIALIZER(taken);
    struct outgoing *o;
    struct err err;

    pthread_mutex_lock(&h->lock);
    STAILQ_CONCAT(&taken, &h->outbox);
    pthread_mutex_unlock(&h->lock);
    while ((o = STAILQ_FIRST(&taken))) {
        STAILQ_REMOVE_HEAD(&taken, link);
        if (h->options->store->put(h->options->store, &o->record, 1, false, &err) < 0)
            log_error("connect", "status not stored key=%s cause=%s", o->record.key, err.text);
        connect_record_done(&o->record);
        free(o);
    }
}

static void outbox_flush(struct herder *h)
{
    pthread_mutex_lock(&h->store_lock);
    outbox_write(h);
    pthread_mutex_unlock(&h->store_lock);
}

/* -- reconciling -- */

/* Lock held. */
static void schedule(struct connector *c)
{
    if (c->working || !c->herder->started) return; /* one that works looks again before it ends */
    c->working = workers_post(c->herder->workers, reconcile, c);
    if (!c->working) log_error("connect", "no thread for a connector name=%s", c->name);
}

/* Lock held. Nothing points to it any more: nobody wants it, nothing runs, no letter is under way. */
static void connector_free_if_gone(struct connector *c)
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
    schedule(c);
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
            if (e->state == CONNECTOR_RUNNING || e->state == CONNECTOR_PAUSED) status_set(c, e->state, NULL);
            task_status_set(c, e->state, e->trace);
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
    const struct connector_class *class = class_of(h, config);
    struct told_by *by = xmalloc(sizeof *by);
    bool paused = c->target == TARGET_PAUSED;
    void *instance = NULL;
    struct err err = ERR_NONE;
    int r;

    c->epoch = c->generation;
    c->start_failed = false;
    *by = (struct told_by){.connector = c, .epoch = c->epoch};
    struct connector_callbacks callbacks = {.arg = by, .on_state = on_state};
    pthread_mutex_unlock(&h->lock);
    outbox_flush(h);
    if (class)
        r = class->start(class->context, c->name, config, paused, &callbacks, &instance, &err);
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
        if (c->config) tasks_commit(c, config, class->task_class);
        status_set(c, paused ? CONNECTOR_PAUSED : CONNECTOR_RUNNING, NULL);
        if (!c->has_task) task_status_set(c, CONNECTOR_UNASSIGNED, NULL);
    } else {
        char *trace = xasprintf("org.apache.kafka.connect.errors.ConnectException: %s", err.text);
        c->start_failed = true;
        free(by);
        task_status_clear(c);
        status_set(c, CONNECTOR_FAILED, trace);
        free(trace);
    }
    json_decref(config);
}

static void step_stop(struct connector *c)
{
    struct herder *h = c->herder;
    void *instance = c->instance;

    topics_collect(c);
    c->instance = NULL;
    pthread_mutex_unlock(&h->lock);
    outbox_flush(h);
    c->class->stop(instance);
    pthread_mutex_lock(&h->lock);
    free(c->told_by);
    c->told_by = NULL;
    offsets_collect(c); /* also of one that is deleted: its position outlives it */
    json_decref(c->instance_config);
    c->instance_config = NULL;
}

static void step_pause(struct connector *c, bool pause)
{
    struct herder *h = c->herder;
    bool failed = c->has_task && c->task_state == CONNECTOR_FAILED; /* it stays so until it is restarted */

    c->instance_paused = pause;
    status_set(c, pause ? CONNECTOR_PAUSED : CONNECTOR_RUNNING, NULL);
    if (failed) return;
    pthread_mutex_unlock(&h->lock);
    (pause ? c->class->pause : c->class->resume)(c->instance);
    pthread_mutex_lock(&h->lock);
}

static void step_settle(struct connector *c)
{
    task_status_clear(c);
    tasks_commit(c, NULL, NULL);
    status_set(c, CONNECTOR_STOPPED, NULL);
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
    outbox_flush(h);
}

/* -- changes -- */

static int not_found(const char *format, const char *name, struct err *err)
{
    char text[400];

    snprintf(text, sizeof text, format, name);
    return err_set(err, 404, "%s", text);
}

/* store_lock held, lock not. What is still in the outbox goes first. */
static int store_put(struct herder *h, struct connect_record *records, uint32_t count, struct err *err)
{
    struct err cause;

    outbox_write(h);
    int r = h->options->store->put(h->options->store, records, count, true, &cause);
    for (uint32_t i = 0; i < count; i++) connect_record_done(&records[i]);
    return r < 0 ? err_set(err, 500, "The change could not be stored: %s", cause.text) : 0;
}

/* Lock held: another configuration is wanted. */
static void config_set(struct connector *c, const json_t *config)
{
    json_decref(c->config);
    c->config = json_deep_copy(config);
    c->generation++;
    if (c->has_task) task_status_set(c, CONNECTOR_RESTARTING, NULL);
    schedule(c);
}

static bool exists(struct herder *h, const char *name)
{
    pthread_mutex_lock(&h->lock);
    bool found = connector_find(h, name) != NULL;
    pthread_mutex_unlock(&h->lock);
    return found;
}

int herder_create(struct herder *h, const char *name, const json_t *config, enum target_state target, struct err *err)
{
    int r;

    pthread_mutex_lock(&h->store_lock);
    if (exists(h, name)) {
        r = err_set(err, 409, "Connector %s already exists", name);
    } else {
        /* The target first: a worker that reads the one without the other must not run what was to be stopped. */
        struct connect_record records[] = {record_of_target(name, target), record_of_connector(name, config)};
        r = store_put(h, records, countof(records), err);
    }
    if (r == 0) {
        pthread_mutex_lock(&h->lock);
        struct connector *c = connector_get(h, name);
        c->target = target;
        config_set(c, config);
        pthread_mutex_unlock(&h->lock);
    }
    pthread_mutex_unlock(&h->store_lock);
    return r;
}

int herder_put(struct herder *h, const char *name, const json_t *config, const json_t *expected, bool *ret_created,
               struct err *err)
{
    int r = 0;

    pthread_mutex_lock(&h->store_lock);
    pthread_mutex_lock(&h->lock);
    struct connector *c = connector_find(h, name);
    bool created = !c, same = c && json_equal(c->config, config),
         conflict = expected && !(c && json_equal(c->config, expected));
    pthread_mutex_unlock(&h->lock);
    if (conflict) {
        r = err_set(err, 409, "The configuration of connector %s was changed by another request", name);
    } else if (!same) {
        struct connect_record records[] = {record_of_connector(name, config)};
        r = store_put(h, records, countof(records), err);
    }
    if (r == 0) {
        pthread_mutex_lock(&h->lock);
        c = connector_get(h, name);
        if (created) c->target = TARGET_RUNNING;
        if (!same || c->start_failed) config_set(c, config);
        *ret_created = created;
        pthread_mutex_unlock(&h->lock);
    }
    pthread_mutex_unlock(&h->store_lock);
    return r;
}

int herder_delete(struct herder *h, const char *name, struct err *err)
{
    int r;

    pthread_mutex_lock(&h->store_lock);
    if (!exists(h, name)) {
        r = not_found("Connector %s not found", name, err);
    } else {
        struct connect_record records[] = {record_of_connector(name, NULL), record_of_target_removed(name)};
        r = store_put(h, records, countof(records), err);
    }
    if (r == 0) {
        pthread_mutex_lock(&h->lock);
        struct connector *c = connector_find(h, name);
        struct written_topic *t, *next;
        log_info("connect", "connector deleted name=%s", name);
        topics_collect(c);
        HASH_ITER(hh, c->topics, t, next) outbox_put(h, record_of_topic(name, t->name, -1));
        topics_clear(c);
        task_status_clear(c);
        if (c->has_status) status_removed(c, -1);
        c->has_status = false;
        json_decref(c->config);
        json_decref(c->committed);
        c->config = c->committed = NULL;
        c->generation++;
        schedule(c);
        connector_free_if_gone(c);
        pthread_mutex_unlock(&h->lock);
        outbox_write(h);
    }
    pthread_mutex_unlock(&h->store_lock);
    return r;
}

int herder_set_target(struct herder *h, const char *name, enum target_state target, struct err *err)
{
    int r;

    pthread_mutex_lock(&h->store_lock);
    if (!exists(h, name)) {
        r = not_found("Unknown connector %s", name, err);
    } else {
        struct connect_record records[] = {record_of_target(name, target)};
        r = store_put(h, records, countof(records), err);
    }
    if (r == 0) {
        pthread_mutex_lock(&h->lock);
        struct connector *c = connector_find(h, name);
        c->target = target;
        schedule(c);
        pthread_mutex_unlock(&h->lock);
    }
    pthread_mutex_unlock(&h->store_lock);
    return r;
}

/* Lock held. */
static void task_restart(struct connector *c)
{
    c->generation++;
    task_status_set(c, CONNECTOR_RESTARTING, NULL);
    schedule(c);
}

static json_t *status_json(struct connector *c);

int herder_restart(struct herder *h, const char *name, bool include_tasks, bool only_failed, json_t **ret_status,
                   struct err *err)
{
    pthread_mutex_lock(&h->lock);
    struct connector *c = connector_find(h, name);
    if (!c || !c->has_status) {
        pthread_mutex_unlock(&h->lock);
        return not_found("Unknown connector: %s", name, err);
    }
    bool stopped = c->target == TARGET_STOPPED;
    bool task = include_tasks && !stopped && c->has_task && (!only_failed || c->task_state == CONNECTOR_FAILED);
    /* The connector itself has nothing that runs; there is something to do only when it could not be started. */
    if (c->start_failed && !stopped) {
        c->generation++;
        status_set(c, CONNECTOR_RESTARTING, NULL);
        schedule(c);
    } else if (task && !only_failed) {
        status_set(c, CONNECTOR_RESTARTING, NULL);
    }
    if (task) task_restart(c);
    *ret_status = status_json(c);
    pthread_mutex_unlock(&h->lock);
    outbox_flush(h);
    return 0;
}

int herder_restart_task(struct herder *h, const char *name, const char *task, struct err *err)
{
    pthread_mutex_lock(&h->lock);
    struct connector *c = connector_find(h, name);
    bool known = c && c->has_task && strcmp(task, "0") == 0;
    if (known) task_restart(c);
    pthread_mutex_unlock(&h->lock);
    if (!c) return not_found("Unknown connector: %s", name, err);
    if (!known) return err_set(err, 404, "Unknown task: %s-%s", name, task);
    outbox_flush(h);
    return 0;
}

int herder_topics_reset(struct herder *h, const char *name, struct err *err)
{
    struct written_topic *t, *next;

    pthread_mutex_lock(&h->lock);
    struct connector *c = connector_find(h, name);
    if (c) {
        topics_collect(c);
        if (c->instance) c->class->topics_reset(c->instance);
        HASH_ITER(hh, c->topics, t, next) outbox_put(h, record_of_topic(name, t->name, -1));
        topics_clear(c);
    }
    pthread_mutex_unlock(&h->lock);
    outbox_flush(h);
    return 0;
}

/* Lock held; it is released while waiting. The connector, stopped and at rest; NULL: err says why not. */
static struct connector *stopped_connector(struct herder *h, const char *name, struct err *err)
{
    struct timespec until;
    struct connector *c;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_WAIT_S;
    for (;;) {
        c = connector_find(h, name);
        if (!c) {
            not_found("Connector %s not found", name, err);
            return NULL;
        }
        if (c->target != TARGET_STOPPED) {
            err_set(err, 400,
                    "Connectors must be in the STOPPED state before their offsets can be modified. "
                    "PUT /connectors/%s/stop does that",
                    name);
            return NULL;
        }
        if (!c->working) return c;
        if (pthread_cond_timedwait(&h->idle, &h->lock, &until) == ETIMEDOUT) {
            err_set(err, 500, "Connector %s did not stop in time", name);
            return NULL;
        }
    }
}

int herder_offsets_check(struct herder *h, const char *name, struct err *err)
{
    pthread_mutex_lock(&h->lock);
    bool ok = stopped_connector(h, name, err) != NULL;
    pthread_mutex_unlock(&h->lock);
    return ok ? 0 : err->code;
}

int herder_offsets_reset(struct herder *h, const char *name, struct err *err)
{
    json_t *partition, *offset;

    int r = herder_offsets_check(h, name, err); /* waits; store_lock must not be held, as the reconciler needs it */
    if (r) return r;
    pthread_mutex_lock(&h->store_lock);
    pthread_mutex_lock(&h->lock);
    struct connector *c = connector_find(h, name);
    if (!c || c->target != TARGET_STOPPED || c->working) {
        r = err_set(err, 409, "Connector %s was changed by another request", name);
    } else if (offsets_of(c, c->config, &partition, &offset)) {
        const struct connector_class *class = class_of(h, c->config);
        int error = class->offsets_delete(class->context, name, c->config);
        if (error < 0) {
            r = err_set(err, 500, "The offsets of connector %s could not be reset: %s", name, strerror(-error));
        } else {
            outbox_put(h, record_of_offset(name, partition, NULL));
            free(c->offset_text);
            c->offset_text = NULL;
        }
        json_decref(partition);
        json_decref(offset);
    }
    pthread_mutex_unlock(&h->lock);
    outbox_write(h);
    pthread_mutex_unlock(&h->store_lock);
    return r;
}

/* -- reads -- */

static json_t *state_json(struct connector *c, bool task)
{
    enum connector_state state = task ? c->task_state : c->state;
    const char *trace = task ? c->task_trace : c->trace;
    json_t *j = task ? json_pack("{s:i}", "id", 0) : json_object();

    json_object_set_new(j, "state", json_string(connector_state_name(state)));
    json_object_set_new(j, "worker_id", json_string(c->herder->options->worker_id));
    json_object_set_new(j, "version", json_string(version_of(c->herder, c->config)));
    if (trace) json_object_set_new(j, "trace", json_string(trace));
    return j;
}

static const char *type_of(struct connector *c)
{
    const struct connector_class *class = class_of(c->herder, c->config);

    return class ? class->type : "unknown";
}

static json_t *status_json(struct connector *c)
{
    json_t *tasks = json_array();

    if (c->has_task) json_array_append_new(tasks, state_json(c, true));
    return json_pack("{s:s, s:o, s:o, s:s}", "name", c->name, "connector", state_json(c, false), "tasks", tasks, "type",
                     type_of(c));
}

static json_t *info_json(struct connector *c)
{
    json_t *tasks = json_array();

    if (c->committed) json_array_append_new(tasks, json_pack("{s:s, s:i}", "connector", c->name, "task", 0));
    return json_pack("{s:s, s:o, s:o, s:s}", "name", c->name, "config", json_deep_copy(c->config), "tasks", tasks,
                     "type", type_of(c));
}

static json_t *tasks_json(struct connector *c)
{
    json_t *tasks = json_array();
    const struct connector_class *class = c->committed ? class_of(c->herder, c->committed) : NULL;

    if (!class) return tasks;
    json_t *config = json_deep_copy(c->committed);
    json_object_set_new(config, "task.class", json_string(class->task_class));
    json_array_append_new(tasks,
                          json_pack("{s:{s:s, s:i}, s:o}", "id", "connector", c->name, "task", 0, "config", config));
    return tasks;
}

static json_t *config_json(struct connector *c)
{
    return json_deep_copy(c->config);
}

static json_t *status_json_or_null(struct connector *c)
{
    return c->has_status ? status_json(c) : NULL;
}

/* Looks and builds in one step, so that nothing changes in between. */
static json_t *look(struct herder *h, const char *name, json_t *(*build)(struct connector *c))
{
    pthread_mutex_lock(&h->lock);
    struct connector *c = connector_find(h, name);
    json_t *j = c ? build(c) : NULL;
    pthread_mutex_unlock(&h->lock);
    return j;
}

json_t *herder_config(struct herder *h, const char *name)
{
    return look(h, name, config_json);
}

json_t *herder_info(struct herder *h, const char *name)
{
    return look(h, name, info_json);
}

json_t *herder_status(struct herder *h, const char *name)
{
    return look(h, name, status_json_or_null);
}

json_t *herder_tasks(struct herder *h, const char *name)
{
    return look(h, name, tasks_json);
}

json_t *herder_task_status(struct herder *h, const char *name, const char *task)
{
    pthread_mutex_lock(&h->lock);
    struct connector *c = connector_find(h, name);
    json_t *j = c && c->has_task && strcmp(task, "0") == 0 ? state_json(c, true) : NULL;
    pthread_mutex_unlock(&h->lock);
    return j;
}

json_t *herder_names(struct herder *h)
{
    json_t *names = json_array();

    pthread_mutex_lock(&h->lock);
    for (struct connector *c = h->connectors; c; c = c->hh.next)
        if (c->config) json_array_append_new(names, json_string(c->name));
    pthread_mutex_unlock(&h->lock);
    return names;
}

json_t *herder_expanded(struct herder *h, bool info, bool status)
{
    json_t *all = json_object();

    pthread_mutex_lock(&h->lock);
    for (struct connector *c = h->connectors; c; c = c->hh.next) {
        if (!c->config || (status && !c->has_status)) continue;
        json_t *one = json_object();
        if (info) json_object_set_new(one, "info", info_json(c));
        if (status) json_object_set_new(one, "status", status_json(c));
        json_object_set_new(all, c->name, one);
    }
    pthread_mutex_unlock(&h->lock);
    return all;
}

static json_t *offsets_json(struct connector *c)
{
    json_t *list = json_array(), *partition, *offset;

    if (offsets_of(c, c->config, &partition, &offset))
        json_array_append_new(list, json_pack("{s:o, s:o}", "partition", partition, "offset", offset));
    return json_pack("{s:o}", "offsets", list);
}

json_t *herder_offsets(struct herder *h, const char *name)
{
    return look(h, name, offsets_json);
}

static json_t *topics_json(struct connector *c)
{
    json_t *list = json_array();

    topics_collect(c);
    for (struct written_topic *t = c->topics; t; t = t->hh.next) json_array_append_new(list, json_string(t->name));
    return list;
}

json_t *herder_topics(struct herder *h, const char *name)
{
    json_t *list = look(h, name, topics_json), *all = json_object();

    json_object_set_new(all, name, json_pack("{s:o}", "topics", list ? list : json_array()));
    return all;
}

/* -- life -- */

struct herder *herder_new(const struct herder_options *options)
{
    struct herder *h = xcalloc(1, sizeof *h);

    h->options = options;
    h->workers = workers_new("connectors", STEPS_THREADS_MAX, STEPS_IDLE_MS);
    pthread_mutex_init(&h->store_lock, NULL);
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->idle, NULL);
    STAILQ_INIT(&h->outbox);
    return h;
}

static void restore_record(struct herder *h, enum connect_topic topic, struct slice key, struct slice value)
{
    struct connect_entry e;
    struct written_topic *t;

    if (!connect_entry_parse(topic, key, value, &e)) {
        log_warn("connect", "stored record not understood key=" SLICE_FMT, SLICE_ARG(key));
        return;
    }
    struct connector *c = e.type == ENTRY_OTHER ? NULL : connector_get(h, e.name);
    if (e.type == ENTRY_CONNECTOR) {
        json_decref(c->config);
        c->config = json_incref(e.config);
        c->generation++;
    } else if (e.type == ENTRY_TARGET) {
        c->target = e.target;
    } else if (e.type == ENTRY_TOPIC) {
        HASH_FIND_STR(c->topics, e.topic, t);
        if (t && e.discovered_ms < 0) {
            HASH_DEL(c->topics, t);
            free(t->name);
            free(t);
        } else if (!t && e.discovered_ms >= 0) {
            t = xcalloc(1, sizeof *t);
            t->name = xstrdup(e.topic);
            HASH_ADD_KEYPTR(hh, c->topics, t->name, strlen(t->name), t);
        }
    }
    connect_entry_done(&e);
}

static void restore_config(void *arg, struct slice key, struct slice value)
{
    restore_record(arg, CONNECT_CONFIGS, key, value);
}

static void restore_status(void *arg, struct slice key, struct slice value)
{
    restore_record(arg, CONNECT_STATUSES, key, value);
}

int herder_restore(struct herder *h, struct err *err)
{
    struct connect_store *store = h->options->store;
    struct connector *c, *next;

    int r = store->replay(store, CONNECT_CONFIGS, restore_config, h, err);
    if (r == 0) r = store->replay(store, CONNECT_STATUSES, restore_status, h, err);
    HASH_ITER(hh, h->connectors, c, next) connector_free_if_gone(c);
    return r;
}

void herder_start(struct herder *h)
{
    pthread_mutex_lock(&h->lock);
    h->started = true;
    for (struct connector *c = h->connectors; c; c = c->hh.next) schedule(c);
    pthread_mutex_unlock(&h->lock);
}

static void flush_job(void *arg)
{
    struct herder *h = arg;

    pthread_mutex_lock(&h->lock);
    for (struct connector *c = h->connectors; c; c = c->hh.next) {
        if (!c->instance) continue;
        topics_collect(c);
        offsets_collect(c);
    }
    pthread_mutex_unlock(&h->lock);
    outbox_flush(h);
}

void herder_flush(struct herder *h)
{
    if (!workers_post(h->workers, flush_job, h)) log_debug("connect", "positions not flushed");
}

void herder_free(struct herder *h)
{
    struct connector *c, *next;

    if (!h) return;
    pthread_mutex_lock(&h->lock);
    h->closing = true;
    for (c = h->connectors; c; c = c->hh.next) schedule(c);
    pthread_mutex_unlock(&h->lock);
    workers_free(h->workers);
    outbox_flush(h);
    HASH_ITER(hh, h->connectors, c, next) connector_free(c);
    pthread_mutex_destroy(&h->store_lock);
    pthread_mutex_destroy(&h->lock);
    pthread_cond_destroy(&h->idle);
    free(h);
}
