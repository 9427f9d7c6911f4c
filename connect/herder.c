/* connect/herder.c: see herder.h, which has the diagram and the order of locks: what is wanted of connectors, and its changes.
 *
 * A change is made in this order, with store_lock held over all of it: checked against what is wanted now, written and durable
 * (store_put), then wanted (under lock), then the reconciler is called. So the store never lacks what runs, and records of two
 * changes stand in the order in which the changes were made.
 * Invariants: c->config is NULL for a connector that does not exist for clients, whose remains may still be stopping; a
 * configuration that cannot be read is never replaced by an older one (herder_restore.c).
 * Threads: any; nothing here waits with lock held but for stopped_connector(), whose wait releases it. */
#include "connect/herder.h"

#include "base/log.h"
#include "connect/herder_internal.h"
#include "http/workers.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define STEPS_THREADS_MAX 8 /* connectors that start or stop at the same time */
#define STEPS_IDLE_MS     2000
#define STOP_WAIT_S       60 /* for a connector to stop, before its offsets are refused to be changed */

/* -- connectors: lock held -- */

struct connector *connector_get(struct herder *h, const char *name)
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
struct connector *connector_find(struct herder *h, const char *name)
{
    struct connector *c;

    HASH_FIND_STR(h->connectors, name, c);
    return c && c->config ? c : NULL;
}

void connector_topics_clear(struct connector *c)
{
    struct written_topic *t, *next;

    HASH_ITER(hh, c->topics, t, next)
    {
        HASH_DEL(c->topics, t);
        free(t->name);
        free(t);
    }
}

void connector_free(struct connector *c)
{
    HASH_DEL(c->herder->connectors, c);
    connector_events_drop(c);
    pthread_mutex_destroy(&c->events_lock);
    connector_topics_clear(c);
    json_decref(c->config);
    json_decref(c->committed);
    free(c->unreadable);
    free(c->trace);
    free(c->task_trace);
    connector_offsets_clear(c);
    free(c->name);
    free(c);
}

const struct connector_class *connector_class_of(const struct herder *h, const json_t *config)
{
    const char *name = config_get(config, "connector.class");

    return name ? connector_class_find(h->options->classes, h->options->classes_count, name) : NULL;
}

const struct connector_class *herder_class(const struct herder *h, const char *name)
{
    return connector_class_find(h->options->classes, h->options->classes_count, name);
}

const char *connector_version_of(const struct herder *h, const json_t *config)
{
    const struct connector_class *class = connector_class_of(h, config);

    return class ? class->version(class->context, config) : "undefined";
}

/* -- changes -- */

/* store_lock held, lock not. What is still in the outbox goes first. */
static int store_put(struct herder *h, struct connect_record *records, uint32_t count, struct err *err)
{
    struct err cause;

    herder_outbox_write(h);
    int r = h->options->store->put(h->options->store, records, count, true, &cause);
    for (uint32_t i = 0; i < count; i++) connect_record_done(&records[i]);
    return r < 0 ? err_set(err, 500, "The change could not be stored: %s", cause.text) : 0;
}

/* Lock held: another configuration is wanted. */
static void config_set(struct connector *c, const json_t *config)
{
    json_decref(c->config);
    c->config = json_deep_copy(config);
    free(c->unreadable);
    c->unreadable = NULL;
    c->generation++;
    if (c->has_task) connector_task_set(c, CONNECTOR_RESTARTING, NULL);
    connector_schedule(c);
}

static bool exists(struct herder *h, const char *name)
{
    pthread_mutex_lock(&h->lock);
    bool found = connector_find(h, name) != NULL;
    pthread_mutex_unlock(&h->lock);
    return found;
}

/* What we would write there the worker would run, too. */
static int worker_conflict(struct herder *h, struct err *err)
{
    const struct connect_store *store = h->options->store;

    return err_set(
        err, 409,
        "A Kafka Connect worker uses the topic %s: create the connector there. For connectors of ottla beside "
        "it, set config.storage.topic, offset.storage.topic and status.storage.topic in ottla.properties to "
        "other topics and start ottla again",
        store->name(h->options->store, CONNECT_CONFIGS));
}

int herder_create(struct herder *h, const char *name, const json_t *config, enum target_state target, struct err *err)
{
    int r;

    pthread_mutex_lock(&h->store_lock);
    struct known_offset *offset = herder_offset_read(h, name, config);
    if (exists(h, name)) {
        r = err_set(err, 409, "Connector %s already exists", name);
    } else if (herder_worker_look(h)) {
        r = worker_conflict(h, err);
    } else {
        /* The target first: a worker that reads the one without the other must not run what was to be stopped. */
        struct connect_record records[] = {record_of_target(name, target), record_of_connector(name, config)};
        r = store_put(h, records, countof(records), err);
    }
    if (r == 0) {
        pthread_mutex_lock(&h->lock);
        struct connector *c = connector_get(h, name);
        c->target = target;
        connector_offset_known(c, offset);
        config_set(c, config);
        pthread_mutex_unlock(&h->lock);
    } else {
        known_offset_free(offset);
    }
    pthread_mutex_unlock(&h->store_lock);
    return r;
}

int herder_put(struct herder *h, const char *name, const json_t *config, const json_t *expected, bool *ret_created,
               struct err *err)
{
    int r = 0;

    pthread_mutex_lock(&h->store_lock);
    struct known_offset *offset = herder_offset_read(h, name, config);
    pthread_mutex_lock(&h->lock);
    struct connector *c = connector_find(h, name);
    bool created = !c, same = c && json_equal(c->config, config),
         conflict = expected && !(c && json_equal(c->config, expected));
    pthread_mutex_unlock(&h->lock);
    if (conflict) {
        r = err_set(err, 409, "The configuration of connector %s was changed by another request", name);
    } else if (created && herder_worker_look(h)) {
        r = worker_conflict(h, err);
    } else if (!same) {
        struct connect_record records[] = {record_of_connector(name, config)};
        r = store_put(h, records, countof(records), err);
    }
    if (r == 0) {
        pthread_mutex_lock(&h->lock);
        c = connector_get(h, name);
        if (created) c->target = TARGET_RUNNING;
        connector_offset_known(c, offset);
        if (!same || c->start_failed) config_set(c, config);
        *ret_created = created;
        pthread_mutex_unlock(&h->lock);
    } else {
        known_offset_free(offset);
    }
    pthread_mutex_unlock(&h->store_lock);
    return r;
}

int herder_delete(struct herder *h, const char *name, struct err *err)
{
    int r;

    pthread_mutex_lock(&h->store_lock);
    if (!exists(h, name)) {
        r = err_set(err, 404, "Connector %s not found", name);
    } else {
        struct connect_record records[] = {record_of_connector(name, NULL), record_of_target_removed(name)};
        r = store_put(h, records, countof(records), err);
    }
    if (r == 0) {
        pthread_mutex_lock(&h->lock);
        struct connector *c = connector_find(h, name);
        struct written_topic *t, *next;
        log_info("connect", "connector deleted name=%s", name);
        connector_topics_collect(c);
        HASH_ITER(hh, c->topics, t, next) herder_outbox_put(h, record_of_topic(name, t->name, -1));
        connector_topics_clear(c);
        connector_task_clear(c);
        if (c->has_status) connector_status_removed(c, -1);
        c->has_status = false;
        json_decref(c->config);
        json_decref(c->committed);
        c->config = c->committed = NULL;
        c->generation++;
        connector_schedule(c);
        connector_free_if_gone(c);
        pthread_mutex_unlock(&h->lock);
        herder_outbox_write(h);
    }
    pthread_mutex_unlock(&h->store_lock);
    return r;
}

int herder_set_target(struct herder *h, const char *name, enum target_state target, struct err *err)
{
    int r;

    pthread_mutex_lock(&h->store_lock);
    if (!exists(h, name)) {
        r = err_set(err, 404, "Unknown connector %s", name);
    } else {
        struct connect_record records[] = {record_of_target(name, target)};
        r = store_put(h, records, countof(records), err);
    }
    if (r == 0) {
        pthread_mutex_lock(&h->lock);
        struct connector *c = connector_find(h, name);
        c->target = target;
        connector_schedule(c);
        pthread_mutex_unlock(&h->lock);
    }
    pthread_mutex_unlock(&h->store_lock);
    return r;
}

/* Lock held. */
static void task_restart(struct connector *c)
{
    c->generation++;
    connector_task_set(c, CONNECTOR_RESTARTING, NULL);
    connector_schedule(c);
}

int herder_restart(struct herder *h, const char *name, bool include_tasks, bool only_failed, json_t **ret_status,
                   struct err *err)
{
    pthread_mutex_lock(&h->lock);
    struct connector *c = connector_find(h, name);
    if (!c || !c->has_status) {
        pthread_mutex_unlock(&h->lock);
        return err_set(err, 404, "Unknown connector: %s", name);
    }
    bool stopped = c->target == TARGET_STOPPED;
    bool task = include_tasks && !stopped && c->has_task && (!only_failed || c->task_state == CONNECTOR_FAILED);
    /* The connector itself has nothing that runs; there is something to do only when it could not be started. */
    if (c->start_failed && !stopped) {
        c->generation++;
        connector_status_set(c, CONNECTOR_RESTARTING, NULL);
        connector_schedule(c);
    } else if (task && !only_failed) {
        connector_status_set(c, CONNECTOR_RESTARTING, NULL);
    }
    if (task) task_restart(c);
    *ret_status = connector_status_json(c);
    pthread_mutex_unlock(&h->lock);
    herder_outbox_flush(h);
    return 0;
}

int herder_restart_task(struct herder *h, const char *name, const char *task, struct err *err)
{
    pthread_mutex_lock(&h->lock);
    struct connector *c = connector_find(h, name);
    bool known = c && c->has_task && strcmp(task, "0") == 0;
    if (known) task_restart(c);
    pthread_mutex_unlock(&h->lock);
    if (!c) return err_set(err, 404, "Unknown connector: %s", name);
    if (!known) return err_set(err, 404, "Unknown task: %s-%s", name, task);
    herder_outbox_flush(h);
    return 0;
}

int herder_topics_reset(struct herder *h, const char *name, struct err *err)
{
    struct written_topic *t, *next;

    pthread_mutex_lock(&h->lock);
    struct connector *c = connector_find(h, name);
    if (c) {
        connector_topics_collect(c);
        if (c->instance) c->class->topics_reset(c->instance);
        HASH_ITER(hh, c->topics, t, next) herder_outbox_put(h, record_of_topic(name, t->name, -1));
        connector_topics_clear(c);
    }
    pthread_mutex_unlock(&h->lock);
    herder_outbox_flush(h);
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
            err_set(err, 404, "Connector %s not found", name);
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

/* Forgets the position, or sets it when offset is given. Lock held; released meanwhile, as it blocks. The connector is marked as
 * being worked on: nothing starts it, and it is not freed. */
static int offsets_change(struct connector *c, const json_t *offset, struct err *err)
{
    struct herder *h = c->herder;
    const struct connector_class *class = connector_class_of(h, c->config);
    json_t *partition = class ? class->partition(class->context, c->config) : NULL, *config;
    struct err cause = ERR_NONE;

    if (!partition) return offset ? err_set(err, 400, "The configuration of connector %s names no source", c->name) : 0;
    config = json_deep_copy(c->config);
    c->working = true;
    pthread_mutex_unlock(&h->lock);
    int r = offset ? class->offsets_set(class->context, c->name, config, offset, &cause)
                   : class->offsets_delete(class->context, c->name, config);
    pthread_mutex_lock(&h->lock);
    c->working = false;
    pthread_cond_broadcast(&h->idle);
    if (r < 0)
        err_set(err, r == -EINVAL ? 400 : 500, "The offsets of connector %s could not be %s: %s", c->name,
                offset ? "altered" : "reset", *cause.text ? cause.text : strerror(-r));
    else connector_offset_put(c, partition, offset);
    json_decref(partition);
    json_decref(config);
    connector_schedule(c); /* what was wanted meanwhile */
    connector_free_if_gone(c);
    return r < 0 ? err->code : 0;
}

int herder_offsets_change(struct herder *h, const char *name, const json_t *offset, struct err *err)
{
    pthread_mutex_lock(&h->lock);
    struct connector *c = stopped_connector(h, name, err);
    int r = c ? offsets_change(c, offset, err) : err->code;
    pthread_mutex_unlock(&h->lock);
    herder_outbox_flush(h);
    return r;
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

void herder_start(struct herder *h)
{
    pthread_mutex_lock(&h->lock);
    h->started = true;
    for (struct connector *c = h->connectors; c; c = c->hh.next) connector_schedule(c);
    pthread_mutex_unlock(&h->lock);
}

static void flush_job(void *arg)
{
    struct herder *h = arg;

    pthread_mutex_lock(&h->lock);
    for (struct connector *c = h->connectors; c; c = c->hh.next) {
        if (!c->instance) continue;
        connector_topics_collect(c);
        connector_offsets_collect(c);
    }
    pthread_mutex_unlock(&h->lock);
    herder_outbox_flush(h);
    (void)herder_worker_look(h);
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
    for (c = h->connectors; c; c = c->hh.next) connector_schedule(c);
    pthread_mutex_unlock(&h->lock);
    workers_free(h->workers);
    herder_outbox_flush(h);
    HASH_ITER(hh, h->connectors, c, next) connector_free(c);
    pthread_mutex_destroy(&h->store_lock);
    pthread_mutex_destroy(&h->lock);
    pthread_cond_destroy(&h->idle);
    free(h);
}
