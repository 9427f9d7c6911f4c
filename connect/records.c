/* connect/records.c: see records.h, which has the format. What is written is what Kafka Connect's KafkaConfigBackingStore,
 * KafkaOffsetBackingStore and KafkaStatusBackingStore write; what is read may come from them or from any client, so every
 * value is checked. Threads: no state. */
#include "connect/records.h"

#include "http/json.h"

#include <errno.h>
#include <stdio.h>

void connect_record_done(struct connect_record *r)
{
    free(r->key);
    free(r->value);
    *r = (struct connect_record){0};
}

/* Takes over key and value. */
static struct connect_record record_make(enum connect_topic topic, char *key, json_t *value)
{
    struct connect_record r = {.topic = topic, .key = key};

    if (value) {
        r.value = json_dumps(value, JSON_COMPACT);
        json_decref(value);
    }
    return r;
}

static json_t *properties_of(const json_t *config)
{
    return config ? json_pack("{s:O}", "properties", config) : NULL;
}

struct connect_record record_of_connector(const char *name, const json_t *config)
{
    return record_make(CONNECT_CONFIGS, xasprintf("connector-%s", name), properties_of(config));
}

struct connect_record record_of_task(const char *name, const json_t *config, const char *task_class)
{
    json_t *task = json_copy((json_t *)(uintptr_t)config);

    json_object_set_new(task, "task.class", json_string(task_class));
    json_t *value = properties_of(task);
    json_decref(task);
    return record_make(CONNECT_CONFIGS, xasprintf("task-%s-0", name), value);
}

struct connect_record record_of_commit(const char *name, int tasks_count)
{
    return record_make(CONNECT_CONFIGS, xasprintf("commit-%s", name), json_pack("{s:i}", "tasks", tasks_count));
}

struct connect_record record_of_target(const char *name, enum target_state target)
{
    static const char *const words[][2] = {[TARGET_RUNNING] = {"STARTED", "STARTED"},
                                           [TARGET_PAUSED] = {"PAUSED", "PAUSED"},
                                           [TARGET_STOPPED] = {"PAUSED", "STOPPED"}};

    return record_make(CONNECT_CONFIGS, xasprintf("target-state-%s", name),
                       json_pack("{s:s, s:s}", "state", words[target][0], "state.v2", words[target][1]));
}

struct connect_record record_of_target_removed(const char *name)
{
    return record_make(CONNECT_CONFIGS, xasprintf("target-state-%s", name), NULL);
}

struct connect_record record_of_status(const char *name, int task, enum connector_state state, const char *trace,
                                       const char *worker_id, int generation, const char *version)
{
    char *key = task < 0 ? xasprintf("status-connector-%s", name) : xasprintf("status-task-%s-%d", name, task);
    json_t *value = NULL;

    if (worker_id)
        value = json_pack("{s:s, s:s?, s:s, s:i, s:s}", "state", connector_state_name(state), "trace", trace,
                          "worker_id", worker_id, "generation", generation, "version", version);
    return record_make(CONNECT_STATUSES, key, value);
}

struct connect_record record_of_topic(const char *name, const char *topic, int64_t discovered_ms)
{
    json_t *value = NULL;

    if (discovered_ms >= 0)
        value = json_pack("{s:{s:s, s:s, s:i, s:I}}", "topic", "name", topic, "connector", name, "task", 0,
                          "discoverTimestamp", (json_int_t)discovered_ms);
    return record_make(CONNECT_STATUSES, xasprintf("status-topic-%s:connector-%s", topic, name), value);
}

struct connect_record record_of_offset(const char *name, const json_t *partition, const json_t *offset)
{
    json_t *key = json_pack("[s, O]", name, partition);
    char *text = json_dumps(key, JSON_COMPACT);

    json_decref(key);
    return record_make(CONNECT_OFFSETS, text, offset ? json_incref((json_t *)(uintptr_t)offset) : NULL);
}

/* -- reading -- */

/* The rest of the key behind prefix, as new text; NULL: another key. */
static char *after_prefix(struct slice key, const char *prefix)
{
    size_t len = strlen(prefix);

    if (key.len <= len || memcmp(key.ptr, prefix, len) != 0) return NULL;
    return slice_strdup(slice_make(key.ptr + len, key.len - (uint32_t)len));
}

static bool config_parse(const json_t *value, json_t **ret_config)
{
    json_t *properties = json_object_get(value, "properties"), *item;
    const char *name;

    if (!json_is_object(properties)) return false;
    json_t *config = json_object();
    json_object_foreach(properties, name, item)
    {
        if (json_is_string(item)) json_object_set(config, name, item);
    }
    *ret_config = config;
    return true;
}

static bool target_parse(const json_t *value, enum target_state *ret_target)
{
    const char *word = json_string_value(json_object_get(value, "state.v2"));

    if (!word) word = json_string_value(json_object_get(value, "state"));
    if (!word) return false;
    if (strcmp(word, "STARTED") == 0) *ret_target = TARGET_RUNNING;
    else if (strcmp(word, "PAUSED") == 0) *ret_target = TARGET_PAUSED;
    else if (strcmp(word, "STOPPED") == 0) *ret_target = TARGET_STOPPED;
    else return false;
    return true;
}

static bool topic_parse(struct connect_entry *e, const json_t *value)
{
    static const char separator[] = ":connector-";
    char *split = strstr(e->topic, separator); /* a topic's name has no colon */

    if (!split) return false;
    e->name = xstrdup(split + strlen(separator));
    *split = '\0';
    e->discovered_ms = -1;
    if (!value) return true;
    json_t *at = json_object_get(json_object_get(value, "topic"), "discoverTimestamp");
    if (!json_is_integer(at) || json_integer_value(at) < 0) return false;
    e->discovered_ms = json_integer_value(at);
    return true;
}

bool connect_entry_parse(enum connect_topic topic, struct slice key, struct slice value, struct connect_entry *ret,
                         struct err *err)
{
    json_t *json = NULL;
    bool ok = true;

    *ret = (struct connect_entry){.type = ENTRY_OTHER};
    if (!key.ptr || memchr(key.ptr, '\0', key.len)) return true; /* nobody's: Kafka Connect's keys are text */
    if (topic == CONNECT_CONFIGS && (ret->name = after_prefix(key, "connector-"))) ret->type = ENTRY_CONNECTOR;
    else if (topic == CONNECT_CONFIGS && (ret->name = after_prefix(key, "target-state-"))) ret->type = ENTRY_TARGET;
    else if (topic == CONNECT_STATUSES && (ret->topic = after_prefix(key, "status-topic-"))) ret->type = ENTRY_TOPIC;
    else return true;

    if (value.ptr && !(json = json_parse(value, err))) {
        err_set(err, -EBADMSG, "its value is not valid JSON");
        return false;
    }
    static const char *const forms[] = {[ENTRY_CONNECTOR] = "{\"properties\":{...}}",
                                        [ENTRY_TARGET] = "{\"state\":\"STARTED|PAUSED|STOPPED\"}",
                                        [ENTRY_TOPIC] = "{\"topic\":{\"discoverTimestamp\":...}}"};
    switch (ret->type) {
    case ENTRY_CONNECTOR: ok = !json || config_parse(json, &ret->config); break;
    case ENTRY_TARGET: ok = !json || target_parse(json, &ret->target); break;
    default: ok = topic_parse(ret, json);
    }
    json_decref(json);
    if (!ok) err_set(err, -EBADMSG, "its value is not of the form %s", forms[ret->type]);
    return ok;
}

void connect_entry_done(struct connect_entry *e)
{
    free(e->name);
    free(e->topic);
    json_decref(e->config);
    *e = (struct connect_entry){.type = ENTRY_OTHER};
}
