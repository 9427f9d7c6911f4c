/* connect/rest.c: see rest.h. One function per row of rest_routes: takes the request apart, asks the herder, wraps the
 * answer. Whatever is wrong is answered with a text that says what to do; nothing is logged here, the server logs what it
 * refuses. Paths, statuses and texts: docs/connect-rest.md.
 * Threads: rows with ROUTE_BLOCKS on a worker of the server, the others on its own thread, where nothing may wait. */
#include "connect/rest.h"

#include "connect/loggers.h"
#include "connect/validate.h"
#include "http/json.h"

#include <stdio.h>
#include <string.h>

static struct rest *rest_of(const struct http_request *rq)
{
    return rq->context;
}

static void reply_err(struct http_reply *reply, const struct err *err)
{
    reply_error(reply, err->code, "%s", err->text);
}

/* The object, or a 404 whose text is before, name, after. */
static void reply_found(struct http_reply *reply, json_t *value, const char *before, const char *name,
                        const char *after)
{
    if (value) reply_json(reply, 200, value);
    else reply_error(reply, 404, "%s%s%s", before, name, after);
}

/* Of a read of the connector that the path names. */
static void reply_connector(struct http_request *rq, struct http_reply *reply, json_t *value)
{
    reply_found(reply, value, "Connector ", http_param(rq, 0), " not found");
}

/* -- the worker -- */

static void get_root(struct http_request *rq, struct http_reply *reply)
{
    reply_json(reply, 200,
               json_pack("{s:s, s:s, s:s}", "version", CONNECT_VERSION, "commit", "ottla-" OTTLA_VERSION,
                         "kafka_cluster_id", rest_of(rq)->cluster_id));
}

static void get_health(struct http_request *rq, struct http_reply *reply)
{
    reply_json(reply, 200,
               json_pack("{s:s, s:s}", "status", "healthy", "message",
                         "Worker has completed startup and is ready to handle requests."));
}

static void get_loggers(struct http_request *rq, struct http_reply *reply)
{
    reply_json(reply, 200, loggers_json(rest_of(rq)->loggers));
}

static void get_logger(struct http_request *rq, struct http_reply *reply)
{
    json_t *logger = logger_json(rest_of(rq)->loggers, http_param(rq, 0));

    if (logger) reply_json(reply, 200, logger);
    else reply_error(reply, 404, "Logger %s not found.", http_param(rq, 0));
}

static void put_logger(struct http_request *rq, struct http_reply *reply)
{
    struct err err;
    json_t *body = json_parse(rq->body, &err);
    const char *level = json_string_value(json_object_get(body, "level"));

    if (!body) reply_err(reply, &err);
    else if (!level) reply_error(reply, 400, "Desired 'level' parameter was not specified in request.");
    else if (logger_set(rest_of(rq)->loggers, http_param(rq, 0), level, &err)) reply_err(reply, &err);
    else if (http_query_has(rq, "scope", "cluster")) reply->status = 204;
    else reply_json(reply, 200, json_pack("[s]", http_param(rq, 0)));
    json_decref(body);
}

/* -- plugins -- */

static void get_plugins(struct http_request *rq, struct http_reply *reply)
{
    struct rest *rest = rest_of(rq);
    json_t *list = json_array();

    for (size_t i = 0; i < rest->classes_count; i++) {
        const struct connector_class *c = &rest->classes[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "class", c->name, "type", c->type, "version",
                                              c->version(c->context, NULL)));
    }
    for (size_t i = 0; i < rest->plugins_count && http_query_has(rq, "connectorsOnly", "false"); i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "class", rest->plugins[i].class, "type",
                                              rest->plugins[i].type, "version", rest->plugins[i].version));
    reply_json(reply, 200, list);
}

static void get_plugin_config(struct http_request *rq, struct http_reply *reply)
{
    const struct rest *rest = rest_of(rq);
    const struct connector_class *class = herder_class(rest->herder, http_param(rq, 0));
    const struct plugin *plugin = plugin_find(rest->plugins, rest->plugins_count, http_param(rq, 0));

    if (class) reply_json(reply, 200, definitions_json(class));
    else if (plugin) reply_json(reply, 200, plugin_definitions_json(plugin->properties, plugin->properties_count));
    else reply_error(reply, 404, "Unknown plugin %s.", http_param(rq, 0));
}

static char *unknown_class_text(const struct rest *rest, const char *name)
{
    char *text = xasprintf(
        "Failed to find any class that implements Connector and which name matches %s, available connectors are: ",
        name);

    for (size_t i = 0; i < rest->classes_count; i++) {
        const struct connector_class *c = &rest->classes[i];
        char *longer = xasprintf("%s%sPluginDesc{klass=class %s, name='%s', version='%s', type=%s}", text,
                                 i ? ", " : "", c->name, c->name, c->version(c->context, NULL), c->type);
        free(text);
        text = longer;
    }
    return text;
}

/* The class that a configuration names; NULL: the reply says why not. */
static const struct connector_class *class_of_config(const struct rest *rest, const json_t *config,
                                                     struct http_reply *reply)
{
    const char *name = config_get(config, "connector.class");
    const struct connector_class *class = name ? herder_class(rest->herder, name) : NULL;

    if (class) return class;
    AUTO_FREE char *text = name ? unknown_class_text(rest, name) : config_text(config);
    if (name) reply_error(reply, 400, "%s", text);
    else reply_error(reply, 400, "Connector config %s contains no connector type", text);
    return NULL;
}

/* A body that is a flat configuration; NULL: the reply says why not. */
static json_t *config_of_body(struct http_request *rq, json_t *removes, struct http_reply *reply)
{
    struct err err;
    json_t *body = json_parse(rq->body, &err), *config = NULL;

    if (body && !json_is_object(body)) err_set(&err, 400, "A JSON object of configuration properties is expected");
    else if (body) config = config_normalise(body, removes, &err);
    json_decref(body);
    if (!config) reply_err(reply, &err);
    return config;
}

static void put_validate(struct http_request *rq, struct http_reply *reply)
{
    struct rest *rest = rest_of(rq);
    const char *asked = http_param(rq, 0);
    json_t *config = config_of_body(rq, NULL, reply);

    if (!config) return;
    const struct connector_class *class = class_of_config(rest, config, reply);
    if (class && herder_class(rest->herder, asked) != class) {
        reply_error(reply, 400, "Included connector type %s does not match request type %s",
                    config_get(config, "connector.class"), asked);
    } else if (class) {
        struct problems *p = xcalloc(1, sizeof *p);
        validate_name(config_get(config, "name") ? config_get(config, "name") : "", p);
        validate_values(class, config, p);
        validate_remote(class, config, p);
        reply_json(reply, 200, validation_json(class, config, p));
        free(p);
    }
    json_decref(config);
}

/* -- connectors -- */

static void get_connectors(struct http_request *rq, struct http_reply *reply)
{
    struct herder *h = rest_of(rq)->herder;

    if (!http_query_has(rq, "expand", NULL)) reply_json(reply, 200, herder_names(h));
    else
        reply_json(reply, 200,
                   herder_expanded(h, http_query_has(rq, "expand", "info"), http_query_has(rq, "expand", "status")));
}

/* Whether the configuration passes all checks; else the reply is a 400. A connector that is to be made and exists
 * already is told before its database is asked. */
static bool config_passes(struct rest *rest, const char *name, const json_t *config, bool create,
                          struct http_reply *reply)
{
    const struct connector_class *class = class_of_config(rest, config, reply);

    if (!class) return false;
    struct problems *p = xcalloc(1, sizeof *p);
    validate_name(name, p);
    validate_values(class, config, p);
    json_t *existing = create && p->count == 0 ? herder_config(rest->herder, name) : NULL;
    if (existing) {
        reply_error(reply, 409, "Connector %s already exists", name);
        json_decref(existing);
        free(p);
        return false;
    }
    validate_remote(class, config, p);
    bool ok = p->count == 0;
    if (!ok) {
        char *message = problems_message(p);
        reply_error(reply, 400, "%s", message);
        free(message);
    }
    free(p);
    return ok;
}

/* Puts the name where Connect puts it: it stays where it is, else comes last. false: another name stands there. */
static bool config_name_set(json_t *config, const char *name, struct http_reply *reply)
{
    const char *included = config_get(config, "name");

    if (included && strcmp(included, name) != 0) {
        reply_error(reply, 400, "Connector name configuration (%s) doesn't match connector name in the URL (%s)",
                    included, name);
        return false;
    }
    if (!included) json_object_set_new(config, "name", json_string(name));
    return true;
}

static void reply_created(struct http_request *rq, struct http_reply *reply, const char *name, const json_t *config)
{
    const struct connector_class *class = herder_class(rest_of(rq)->herder, config_get(config, "connector.class"));
    AUTO_FREE char *encoded = percent_encode(name);

    reply->location = xasprintf("http://%s/connectors/%s", rq->host, encoded);
    reply_json(reply, 201,
               json_pack("{s:s, s:O, s:[], s:s}", "name", name, "config", config, "tasks", "type", class->type));
}

static char *trimmed(const char *text)
{
    const char *end = text + strlen(text);

    while (*text && (unsigned char)*text <= ' ') text++;
    while (end > text && (unsigned char)end[-1] <= ' ') end--;
    return slice_strdup(slice_make(text, (uint32_t)(end - text)));
}

static bool target_of(const json_t *word, enum target_state *ret_target)
{
    static const char *const names[] = {
        [TARGET_RUNNING] = "RUNNING", [TARGET_PAUSED] = "PAUSED", [TARGET_STOPPED] = "STOPPED"};

    *ret_target = TARGET_RUNNING;
    if (!word || json_is_null(word)) return true;
    for (size_t i = 0; i < countof(names) && json_is_string(word); i++)
        if (strcasecmp(json_string_value(word), names[i]) == 0) {
            *ret_target = (enum target_state)i;
            return true;
        }
    return false;
}

/* The parts of {"name", "config", "initial_state"}; false: err says what is wrong. */
static bool create_request_parse(const json_t *body, char **ret_name, json_t **ret_config,
                                 enum target_state *ret_target, struct err *err)
{
    json_t *name = json_object_get(body, "name"), *config = json_object_get(body, "config"), *value;
    const char *member;

    err_set(err, 400, "A JSON object with the members name and config is expected");
    if (!json_is_object(body)) return false;
    json_object_foreach((json_t *)(uintptr_t)body, member, value)
    {
        if (strcmp(member, "name") != 0 && strcmp(member, "config") != 0 && strcmp(member, "initial_state") != 0) {
            err_set(err, 400, "Unrecognized field \"%.100s\": name, config and initial_state are known", member);
            return false;
        }
    }
    if (name && !json_is_string(name) && !json_is_null(name)) return false;
    if (!json_is_object(config)) return false;
    if (!target_of(json_object_get(body, "initial_state"), ret_target)) {
        err_set(err, 400, "initial_state must be RUNNING, PAUSED or STOPPED");
        return false;
    }
    *ret_config = config_normalise(config, NULL, err);
    if (!*ret_config) return false;
    *ret_name = trimmed(json_is_string(name) ? json_string_value(name) : "");
    return true;
}

static void post_connectors(struct http_request *rq, struct http_reply *reply)
{
    struct rest *rest = rest_of(rq);
    enum target_state target;
    AUTO_FREE char *name = NULL;
    json_t *config = NULL;
    struct err err;

    json_t *body = json_parse(rq->body, &err);
    if (!body || !create_request_parse(body, &name, &config, &target, &err)) {
        reply_err(reply, &err);
    } else if (config_name_set(config, name, reply) && config_passes(rest, name, config, true, reply)) {
        if (herder_create(rest->herder, name, config, target, &err)) reply_err(reply, &err);
        else reply_created(rq, reply, name, config);
    }
    json_decref(config);
    json_decref(body);
}

static void get_connector(struct http_request *rq, struct http_reply *reply)
{
    reply_connector(rq, reply, herder_info(rest_of(rq)->herder, http_param(rq, 0)));
}

static void delete_connector(struct http_request *rq, struct http_reply *reply)
{
    struct err err;

    if (herder_delete(rest_of(rq)->herder, http_param(rq, 0), &err)) reply_err(reply, &err);
    else reply->status = 204;
}

static void get_config(struct http_request *rq, struct http_reply *reply)
{
    reply_connector(rq, reply, herder_config(rest_of(rq)->herder, http_param(rq, 0)));
}

/* The end of PUT and PATCH. */
static void config_put(struct http_request *rq, struct http_reply *reply, const json_t *config, const json_t *expected)
{
    struct rest *rest = rest_of(rq);
    const char *name = http_param(rq, 0);
    bool created;
    struct err err;

    if (!config_passes(rest, name, config, false, reply)) return;
    if (herder_put(rest->herder, name, config, expected, &created, &err)) reply_err(reply, &err);
    else if (created) reply_created(rq, reply, name, config);
    else reply_connector(rq, reply, herder_info(rest->herder, name));
}

static void put_config(struct http_request *rq, struct http_reply *reply)
{
    json_t *config = config_of_body(rq, NULL, reply);

    if (config && config_name_set(config, http_param(rq, 0), reply)) config_put(rq, reply, config, NULL);
    json_decref(config);
}

static void patch_config(struct http_request *rq, struct http_reply *reply)
{
    const char *name = http_param(rq, 0);
    json_t *removes = json_array(), *removed;
    json_t *before = herder_config(rest_of(rq)->herder, name);
    json_t *patch = config_of_body(rq, removes, reply);
    size_t i;

    if (patch && !before) {
        reply_connector(rq, reply, NULL);
    } else if (patch) {
        json_t *config = json_copy(before);
        json_object_update(config, patch);
        json_array_foreach(removes, i, removed) json_object_del(config, json_string_value(removed));
        if (config_name_set(config, name, reply)) config_put(rq, reply, config, before);
        json_decref(config);
    }
    json_decref(removes);
    json_decref(before);
    json_decref(patch);
}

static void get_status(struct http_request *rq, struct http_reply *reply)
{
    reply_found(reply, herder_status(rest_of(rq)->herder, http_param(rq, 0)), "No status found for connector ",
                http_param(rq, 0), "");
}

static void get_tasks(struct http_request *rq, struct http_reply *reply)
{
    reply_connector(rq, reply, herder_tasks(rest_of(rq)->herder, http_param(rq, 0)));
}

/* Removed in Kafka Connect 4.0; {"X-0":{...}} */
static void get_tasks_config(struct http_request *rq, struct http_reply *reply)
{
    const char *name = http_param(rq, 0);
    json_t *tasks = herder_tasks(rest_of(rq)->herder, name), *task, *by_id = tasks ? json_object() : NULL;
    size_t i;

    json_array_foreach(tasks, i, task)
    {
        AUTO_FREE char *id = xasprintf("%s-%zu", name, i);
        json_object_set(by_id, id, json_object_get(task, "config"));
    }
    json_decref(tasks);
    reply_connector(rq, reply, by_id);
}

static void get_task_status(struct http_request *rq, struct http_reply *reply)
{
    AUTO_FREE char *id = xasprintf("%s-%s", http_param(rq, 0), http_param(rq, 1));

    reply_found(reply, herder_task_status(rest_of(rq)->herder, http_param(rq, 0), http_param(rq, 1)),
                "No status found for task ", id, "");
}

static void post_task_restart(struct http_request *rq, struct http_reply *reply)
{
    struct err err;

    if (herder_restart_task(rest_of(rq)->herder, http_param(rq, 0), http_param(rq, 1), &err)) reply_err(reply, &err);
    else reply->status = 204;
}

static void post_restart(struct http_request *rq, struct http_reply *reply)
{
    bool include_tasks = http_query_has(rq, "includeTasks", "true"),
         only_failed = http_query_has(rq, "onlyFailed", "true");
    json_t *status;
    struct err err;

    if (herder_restart(rest_of(rq)->herder, http_param(rq, 0), include_tasks, only_failed, &status, &err)) {
        reply_err(reply, &err);
    } else if (include_tasks || only_failed) {
        reply_json(reply, 202, status);
    } else {
        reply->status = 204;
        json_decref(status);
    }
}

static void set_target(struct http_request *rq, struct http_reply *reply, enum target_state target, int status)
{
    struct err err;

    if (herder_set_target(rest_of(rq)->herder, http_param(rq, 0), target, &err)) reply_err(reply, &err);
    else reply->status = status;
}

static void put_pause(struct http_request *rq, struct http_reply *reply)
{
    set_target(rq, reply, TARGET_PAUSED, 202);
}

static void put_resume(struct http_request *rq, struct http_reply *reply)
{
    set_target(rq, reply, TARGET_RUNNING, 202);
}

static void put_stop(struct http_request *rq, struct http_reply *reply)
{
    set_target(rq, reply, TARGET_STOPPED, 204);
}

static void get_topics(struct http_request *rq, struct http_reply *reply)
{
    reply_json(reply, 200, herder_topics(rest_of(rq)->herder, http_param(rq, 0)));
}

static void put_topics_reset(struct http_request *rq, struct http_reply *reply)
{
    struct err err;

    if (herder_topics_reset(rest_of(rq)->herder, http_param(rq, 0), &err)) reply_err(reply, &err);
    else reply->status = 202;
}

/* -- offsets -- */

static void reply_offsets_changed(struct http_reply *reply, const char *what)
{
    json_t *body = json_object();
    AUTO_FREE char *text =
        xasprintf("The Connect framework-managed offsets for this connector have been %s successfully. However, if "
                  "this connector "
                  "manages offsets externally, they will need to be manually %s in the system that the connector uses.",
                  what, what);

    json_object_set_new(body, "message", json_string(text));
    reply_json(reply, 200, body);
}

static void get_offsets(struct http_request *rq, struct http_reply *reply)
{
    reply_connector(rq, reply, herder_offsets(rest_of(rq)->herder, http_param(rq, 0)));
}

static void delete_offsets(struct http_request *rq, struct http_reply *reply)
{
    struct err err;

    if (herder_offsets_change(rest_of(rq)->herder, http_param(rq, 0), NULL, &err)) reply_err(reply, &err);
    else reply_offsets_changed(reply, "reset");
}

/* The one offset that a connector of ours has: of the partition that its configuration names. false: err says what is wrong. */
static bool asked_offset(struct herder *h, const char *name, const json_t *asked, const json_t **ret_offset,
                         struct err *err)
{
    json_t *partition = herder_partition(h, name);
    const json_t *item = json_array_get(asked, 0);
    const json_t *offset = json_object_get(item, "offset");
    bool ok = false;

    if (json_array_size(asked) != 1 || !json_equal(json_object_get(item, "partition"), partition)) {
        AUTO_FREE char *text = partition ? json_dumps(partition, JSON_COMPACT) : xstrdup("none");
        err_set(err, 400, "Offsets of one partition are expected, the one that the connector reads: %s", text);
    } else if (!json_is_object(offset) && !json_is_null(offset)) {
        err_set(err, 400, "The member offset must be an object, or null to forget the position");
    } else {
        ok = true;
    }
    *ret_offset = offset;
    json_decref(partition);
    return ok;
}

static void patch_offsets(struct http_request *rq, struct http_reply *reply)
{
    struct herder *h = rest_of(rq)->herder;
    const char *name = http_param(rq, 0);
    struct err err;
    json_t *body = json_parse(rq->body, &err);
    json_t *asked = json_object_get(body, "offsets");
    const json_t *offset;

    if (!body) {
        reply_err(reply, &err);
    } else if (!json_is_array(asked) || json_array_size(asked) == 0) {
        reply_error(reply, 400, "Partitions / offsets need to be provided for an alter offsets request");
    } else if (herder_offsets_check(h, name, &err) || !asked_offset(h, name, asked, &offset, &err) ||
               herder_offsets_change(h, name, json_is_null(offset) ? NULL : offset, &err)) {
        reply_err(reply, &err);
    } else {
        reply_offsets_changed(reply, "altered");
    }
    json_decref(body);
}

const struct http_route rest_routes[] = {
    {"GET", "/", 0, get_root},
    {"GET", "/health", 0, get_health},
    {"GET", "/connectors", 0, get_connectors},
    {"POST", "/connectors", ROUTE_BLOCKS | ROUTE_JSON, post_connectors},
    {"GET", "/connectors/{}", 0, get_connector},
    {"DELETE", "/connectors/{}", ROUTE_BLOCKS, delete_connector},
    {"GET", "/connectors/{}/config", 0, get_config},
    {"PUT", "/connectors/{}/config", ROUTE_BLOCKS | ROUTE_JSON, put_config},
    {"PATCH", "/connectors/{}/config", ROUTE_BLOCKS | ROUTE_JSON, patch_config},
    {"GET", "/connectors/{}/status", 0, get_status},
    {"GET", "/connectors/{}/tasks", 0, get_tasks},
    {"GET", "/connectors/{}/tasks-config", 0, get_tasks_config},
    {"GET", "/connectors/{}/tasks/{}/status", 0, get_task_status},
    {"POST", "/connectors/{}/tasks/{}/restart", ROUTE_BLOCKS, post_task_restart},
    {"POST", "/connectors/{}/restart", ROUTE_BLOCKS, post_restart},
    {"PUT", "/connectors/{}/pause", ROUTE_BLOCKS, put_pause},
    {"PUT", "/connectors/{}/resume", ROUTE_BLOCKS, put_resume},
    {"PUT", "/connectors/{}/stop", ROUTE_BLOCKS, put_stop},
    {"GET", "/connectors/{}/topics", 0, get_topics},
    {"PUT", "/connectors/{}/topics/reset", ROUTE_BLOCKS, put_topics_reset},
    {"GET", "/connectors/{}/offsets", 0, get_offsets},
    {"PATCH", "/connectors/{}/offsets", ROUTE_BLOCKS | ROUTE_JSON, patch_offsets},
    {"DELETE", "/connectors/{}/offsets", ROUTE_BLOCKS, delete_offsets},
    {"GET", "/connector-plugins", 0, get_plugins},
    {"GET", "/connector-plugins/{}/config", 0, get_plugin_config},
    {"PUT", "/connector-plugins/{}/config/validate", ROUTE_BLOCKS | ROUTE_JSON, put_validate},
    {"GET", "/admin/loggers", 0, get_loggers},
    {"GET", "/admin/loggers/{}", 0, get_logger},
    {"PUT", "/admin/loggers/{}", ROUTE_JSON, put_logger},
};
const size_t rest_routes_count = countof(rest_routes);
