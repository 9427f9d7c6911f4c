/* connect/herder_outbox.c: what connectors told, and its records: put into an outbox in the order of their making,
 * written by whoever holds no lock; nobody waits for them.
 *
 * Invariants: the records of one key are written in the order in which they were made (the outbox is emptied under
 * store_lock); a status is written when it changed, a FAILED one each time it is told; a position that is written is durable
 * (connector_class.h), and the last one stays until there is another. Threads: herder_internal.h says it for each function. */
#include "base/clock.h"
#include "base/log.h"
#include "connect/herder_internal.h"

#define WORKER_GENERATION 1 /* of the group of workers, which is this one */

void herder_outbox_put(struct herder *h, struct connect_record record)
{
    struct outgoing *o = xmalloc(sizeof *o);

    o->record = record;
    STAILQ_INSERT_TAIL(&h->outbox, o, link);
}

static void state_set(enum connector_state *state, char **trace, enum connector_state new_state, const char *new_trace)
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

    herder_outbox_put(h, record_of_status(c->name, task, whole ? c->state : c->task_state,
                                          whole ? c->trace : c->task_trace, h->options->worker_id, WORKER_GENERATION,
                                          connector_version_of(h, c->config)));
}

void connector_status_set(struct connector *c, enum connector_state state, const char *trace)
{
    if (!c->config) return;
    if (!c->has_status || c->state != state) {
        log_info("connect", "connector state name=%s state=%s", c->name, connector_state_name(state));
    } else if (state != CONNECTOR_FAILED) {
        return;
    }
    state_set(&c->state, &c->trace, state, trace);
    c->has_status = true;
    status_record(c, -1);
}

void connector_task_set(struct connector *c, enum connector_state state, const char *trace)
{
    if (!c->config) return;
    if (!c->has_task || c->task_state != state) {
        log_info("connect", "task state name=%s task=0 state=%s", c->name, connector_state_name(state));
    } else if (state != CONNECTOR_FAILED) {
        return;
    }
    state_set(&c->task_state, &c->task_trace, state, trace);
    c->has_task = true;
    status_record(c, 0);
}

void connector_status_removed(struct connector *c, int task)
{
    herder_outbox_put(c->herder, record_of_status(c->name, task, CONNECTOR_STOPPED, NULL, NULL, 0, NULL));
}

void connector_task_clear(struct connector *c)
{
    if (!c->has_task) return;
    c->has_task = false;
    state_set(&c->task_state, &c->task_trace, CONNECTOR_UNASSIGNED, NULL);
    connector_status_removed(c, 0);
}

/* The number of tasks and the configuration of the first, as Kafka Connect stores them. */
void connector_tasks_commit(struct connector *c, json_t *config, const char *task_class)
{
    struct herder *h = c->herder;

    if (c->committed == config || (config && json_equal(c->committed, config))) return;
    if (config) herder_outbox_put(h, record_of_task(c->name, config, task_class));
    herder_outbox_put(h, record_of_commit(c->name, config ? 1 : 0));
    json_decref(c->committed);
    c->committed = json_incref(config);
}

/* Takes over the names of the topics that the instance has written to. */
void connector_topics_collect(struct connector *c)
{
    char **names = NULL;

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
        herder_outbox_put(c->herder, record_of_topic(c->name, t->name, clock_wall_ms(&clock_system)));
    }
    free(names);
}

/* -- positions: the class's own count; connect-offsets has a copy, as Kafka Connect would have stored it -- */

void known_offset_free(struct known_offset *o)
{
    if (!o) return;
    free(o->key);
    free(o->text);
    free(o);
}

/* The key of the configuration's partition; NULL: it names none. */
static char *offset_key(const struct herder *h, const char *name, const json_t *config)
{
    const struct connector_class *class = connector_class_of(h, config);
    json_t *partition = class ? class->partition(class->context, config) : NULL;

    if (!partition) return NULL;
    struct connect_record record = record_of_offset(name, partition, NULL);
    json_decref(partition);
    return record.key;
}

static struct known_offset *known_find(const struct connector *c, const char *key)
{
    struct known_offset *o;

    HASH_FIND_STR(c->offsets, key, o);
    return o;
}

struct known_offset *herder_offset_read(struct herder *h, const char *name, const json_t *config)
{
    char *key = offset_key(h, name, config);

    if (!key) return NULL;
    struct known_offset *o = xcalloc(1, sizeof *o);
    o->key = key;
    o->text = h->options->store->last(h->options->store, CONNECT_OFFSETS, key);
    return o;
}

void connector_offset_known(struct connector *c, struct known_offset *o)
{
    if (o && known_find(c, o->key)) known_offset_free(o); /* what is known may be in the outbox yet */
    else if (o) HASH_ADD_KEYPTR(hh, c->offsets, o->key, strlen(o->key), o);
}

void connector_offsets_clear(struct connector *c)
{
    struct known_offset *o, *next;

    HASH_ITER(hh, c->offsets, o, next)
    {
        HASH_DEL(c->offsets, o);
        known_offset_free(o);
    }
}

bool connector_offsets_of(struct connector *c, const json_t *config, json_t **ret_partition, json_t **ret_offset)
{
    const struct connector_class *class = connector_class_of(c->herder, config);
    AUTO_FREE char *key = offset_key(c->herder, c->name, config);

    if (!key) return false;
    const struct known_offset *o = known_find(c, key);
    json_t *stored = o && o->text ? json_loads(o->text, 0, NULL) : NULL;
    *ret_offset = class->offsets_get(class->context, c->name, config, stored);
    json_decref(stored);
    if (*ret_offset) *ret_partition = class->partition(class->context, config);
    return *ret_offset != NULL;
}

/* Takes over the record; nothing happens when it is the last one of its key already. */
static void offset_put(struct connector *c, struct connect_record record)
{
    struct known_offset *o = known_find(c, record.key);

    if (o && (o->text == record.value || (o->text && record.value && strcmp(o->text, record.value) == 0))) {
        connect_record_done(&record);
        return;
    }
    if (!o) {
        o = xcalloc(1, sizeof *o);
        o->key = xstrdup(record.key);
        connector_offset_known(c, o);
    }
    free(o->text);
    o->text = record.value ? xstrdup(record.value) : NULL;
    herder_outbox_put(c->herder, record);
}

void connector_offsets_collect(struct connector *c)
{
    json_t *partition, *offset;

    if (!connector_offsets_of(c, c->instance_config, &partition, &offset)) return;
    offset_put(c, record_of_offset(c->name, partition, offset));
    json_decref(partition);
    json_decref(offset);
}

void connector_offset_put(struct connector *c, const json_t *partition, const json_t *offset)
{
    offset_put(c, record_of_offset(c->name, partition, offset));
}

/* Writes what is in the outbox; store_lock held, lock not. Statuses are for readers: a lost one is told by the log. */
void herder_outbox_write(struct herder *h)
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

void herder_outbox_flush(struct herder *h)
{
    pthread_mutex_lock(&h->store_lock);
    herder_outbox_write(h);
    pthread_mutex_unlock(&h->store_lock);
}
