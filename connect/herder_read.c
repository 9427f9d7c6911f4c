/* connect/herder_read.c: the JSON of reads, in the form of Kafka Connect (ConnectorStateInfo, ConnectorInfo, TaskInfo).
 *
 * Each answer is built whole with the lock held, so that it shows one moment, and holds copies only: what goes out is encoded
 * on another thread. Threads: any; nothing blocks. */
#include "connect/herder_internal.h"

static json_t *state_json(struct connector *c, bool task)
{
    enum connector_state state = task ? c->task_state : c->state;
    const char *trace = task ? c->task_trace : c->trace;
    json_t *j = task ? json_pack("{s:i}", "id", 0) : json_object();

    json_object_set_new(j, "state", json_string(connector_state_name(state)));
    json_object_set_new(j, "worker_id", json_string(c->herder->options->worker_id));
    json_object_set_new(j, "version", json_string(connector_version_of(c->herder, c->config)));
    if (trace) json_object_set_new(j, "trace", json_string(trace));
    return j;
}

static const char *type_of(struct connector *c)
{
    const struct connector_class *class = connector_class_of(c->herder, c->config);

    return class ? class->type : "unknown";
}

json_t *connector_status_json(struct connector *c)
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
    const struct connector_class *class = c->committed ? connector_class_of(c->herder, c->committed) : NULL;

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
    return c->has_status ? connector_status_json(c) : NULL;
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
        if (status) json_object_set_new(one, "status", connector_status_json(c));
        json_object_set_new(all, c->name, one);
    }
    pthread_mutex_unlock(&h->lock);
    return all;
}

static json_t *partition_json(struct connector *c)
{
    const struct connector_class *class = connector_class_of(c->herder, c->config);

    return class ? class->partition(class->context, c->config) : NULL;
}

json_t *herder_partition(struct herder *h, const char *name)
{
    return look(h, name, partition_json);
}

static json_t *offsets_json(struct connector *c)
{
    json_t *list = json_array(), *partition, *offset;

    if (connector_offsets_of(c, c->config, &partition, &offset))
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

    connector_topics_collect(c);
    for (struct written_topic *t = c->topics; t; t = t->hh.next) json_array_append_new(list, json_string(t->name));
    return list;
}

json_t *herder_topics(struct herder *h, const char *name)
{
    json_t *list = look(h, name, topics_json), *all = json_object();

    json_object_set_new(all, name, json_pack("{s:o}", "topics", list ? list : json_array()));
    return all;
}
