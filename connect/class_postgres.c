/* connect/class_postgres.c: see class_postgres.h. Only translates between JSON and what cdc/connector.h takes: a configuration
 * is pairs of texts there, a problem or a state a struct of its own.
 * Threads: as connector_class.h says; an instance adds nothing to the state of its cdc_connector. */
#include "connect/class_postgres.h"

#include "cdc/connector.h"
#include "cdc/connector_config.h"
#include "http/json.h"

#include <errno.h>

struct instance {
    struct cdc_connector *connector;
    struct connector_callbacks callbacks;
};

/* The configuration as cdc takes it, pointing into config; to be freed. */
static struct cdc_pair *pairs_of(const json_t *config, uint32_t *ret_count)
{
    struct cdc_pair *pairs = xcalloc(json_object_size(config) + 1, sizeof *pairs);
    const char *name;
    json_t *value;

    *ret_count = 0;
    json_object_foreach((json_t *)(uintptr_t)config, name, value) pairs[(*ret_count)++] =
        (struct cdc_pair){.name = name, .value = json_string_value(value)};
    return pairs;
}

static const char *postgres_version(void *context, const json_t *config)
{
    struct class_postgres *p = context;
    const char *own = config ? config_get(config, "connector.plugin.version") : NULL;

    return own && *own ? own : p->version_default;
}

static bool postgres_property(void *context, size_t i, struct property_info *ret)
{
    if (i >= connector_properties_count) return false;
    const struct connector_property *p = &connector_properties[i];
    *ret = (struct property_info){
        .name = p->name,
        .type = property_type_name(p->type),
        .required = p->required,
        .default_text = p->default_text,
        .importance = property_importance_name(p->importance),
        .doc = p->doc,
        .group = p->group,
        .order = p->order,
        .width = p->width,
        .display_name = p->display_name,
        .values = p->choices,
    };
    return true;
}

static uint32_t check(uint32_t (*checker)(const struct cdc_pair *, uint32_t, struct cdc_problem *, uint32_t),
                      const json_t *config, struct connector_problem *ret_problems, uint32_t problems_max)
{
    uint32_t pairs_count;
    AUTO_FREE struct cdc_pair *pairs = pairs_of(config, &pairs_count);
    AUTO_FREE struct cdc_problem *found = xcalloc(problems_max, sizeof *found);

    uint32_t count = checker(pairs, pairs_count, found, problems_max);
    for (uint32_t i = 0; i < count; i++) {
        static_assert(
            sizeof found->name == sizeof ret_problems->name && sizeof found->text == sizeof ret_problems->text, "");
        memcpy(ret_problems[i].name, found[i].name, sizeof found->name);
        memcpy(ret_problems[i].text, found[i].text, sizeof found->text);
    }
    return count;
}

static uint32_t postgres_check(void *context, const json_t *config, struct connector_problem *ret_problems,
                               uint32_t problems_max)
{
    return check(connector_config_check, config, ret_problems, problems_max);
}

static uint32_t postgres_check_remote(void *context, const json_t *config, struct connector_problem *ret_problems,
                                      uint32_t problems_max)
{
    return check(cdc_connector_validate, config, ret_problems, problems_max);
}

static void postgres_on_state(void *arg, enum cdc_state state, const char *trace)
{
    static const enum connector_state states[] = {[CDC_RUNNING] = CONNECTOR_RUNNING,
                                                  [CDC_PAUSED] = CONNECTOR_PAUSED,
                                                  [CDC_STOPPED] = CONNECTOR_STOPPED,
                                                  [CDC_FAILED] = CONNECTOR_FAILED};
    struct instance *i = arg;

    /* That it stopped is told by stop() returning. */
    if (state != CDC_STOPPED) i->callbacks.on_state(i->callbacks.arg, states[state], trace);
}

static int postgres_start(void *context, const char *name, const json_t *config, bool paused,
                          const struct connector_callbacks *callbacks, void **ret_instance, struct err *err)
{
    struct class_postgres *p = context;
    struct instance *i = xcalloc(1, sizeof *i);
    struct cdc_callbacks told = {.arg = i, .on_state = postgres_on_state};
    uint32_t pairs_count;
    AUTO_FREE struct cdc_pair *pairs = pairs_of(config, &pairs_count);

    i->callbacks = *callbacks;
    int r = cdc_connector_start(p->cdc, name, pairs, pairs_count, postgres_version(p, config), paused, &told,
                                &i->connector, err);
    if (r < 0) {
        free(i);
        return r;
    }
    *ret_instance = i;
    return 0;
}

static void postgres_pause(void *instance)
{
    cdc_connector_pause(((struct instance *)instance)->connector);
}

static void postgres_resume(void *instance)
{
    cdc_connector_resume(((struct instance *)instance)->connector);
}

static void postgres_stop(void *instance)
{
    cdc_connector_stop(((struct instance *)instance)->connector);
    free(instance);
}

static uint32_t postgres_topics(void *instance, char ***ret_topics)
{
    return cdc_connector_topics(((struct instance *)instance)->connector, ret_topics);
}

static void postgres_topics_reset(void *instance)
{
    cdc_connector_topics_reset(((struct instance *)instance)->connector);
}

static json_t *postgres_partition(void *context, const json_t *config)
{
    const char *prefix = config_get(config, "topic.prefix");

    return prefix ? json_pack("{s:s}", "server", prefix) : NULL;
}

/* Since the program's start no event may have come: then what was stored before is still the last one, unless it lies ahead
 * of us (somebody else wrote it, or a power cut took from our logs what connect-offsets had kept). Without it there is the
 * place in the stream alone: Debezium, too, would go on from there. */
static json_t *postgres_offsets_get(void *context, const char *name, const json_t *config, const json_t *stored)
{
    struct class_postgres *p = context;
    const char *prefix = config_get(config, "topic.prefix");
    AUTO_FREE char *offset = NULL;
    uint64_t lsn;

    if (!prefix || !cdc_offsets_get(p->cdc, name, prefix, &offset, &lsn)) return NULL;
    if (offset) return json_loads(offset, 0, NULL);
    const json_t *stored_lsn = json_object_get(stored, "lsn");
    if (json_is_integer(stored_lsn) && json_integer_value(stored_lsn) > 0 &&
        (uint64_t)json_integer_value(stored_lsn) <= lsn)
        return json_deep_copy(stored);
    return json_pack("{s:I, s:I, s:I}", "lsn_proc", (json_int_t)lsn, "lsn_commit", (json_int_t)lsn, "lsn",
                     (json_int_t)lsn);
}

static int postgres_offsets_delete(void *context, const char *name, const json_t *config)
{
    struct class_postgres *p = context;
    const char *prefix = config_get(config, "topic.prefix");

    return prefix ? cdc_offsets_delete(p->cdc, name, prefix) : 0;
}

/* As Debezium's: lsn, of the last event; that of a snapshot under way is none. */
static int postgres_offsets_set(void *context, const char *name, const json_t *config, const json_t *offset,
                                struct err *err)
{
    struct class_postgres *p = context;
    const char *prefix = config_get(config, "topic.prefix");
    const json_t *lsn = json_object_get(offset, "lsn");
    bool snapshot = json_object_get(offset, "snapshot") && !json_is_true(json_object_get(offset, "snapshot_completed"));

    if (!prefix) return err_set(err, -EINVAL, "the configuration has no topic.prefix");
    if (!json_is_integer(lsn) || json_integer_value(lsn) <= 0)
        return err_set(err, -EINVAL, "an offset needs a member \"lsn\", the position in PostgreSQL's log as a number");
    if (snapshot)
        return err_set(err, -EINVAL, "an unfinished snapshot cannot be gone on with: a null offset begins a new one");
    return cdc_offsets_set(p->cdc, name, prefix, (uint64_t)json_integer_value(lsn), err);
}

struct connector_class class_postgres(struct class_postgres *context)
{
    return (struct connector_class){
        .name = CONNECTOR_CLASS_POSTGRES,
        .task_class = CONNECTOR_CLASS_POSTGRES "Task",
        .type = "source",
        .context = context,
        .version = postgres_version,
        .property = postgres_property,
        .check = postgres_check,
        .check_remote = postgres_check_remote,
        .start = postgres_start,
        .pause = postgres_pause,
        .resume = postgres_resume,
        .stop = postgres_stop,
        .topics = postgres_topics,
        .topics_reset = postgres_topics_reset,
        .partition = postgres_partition,
        .offsets_get = postgres_offsets_get,
        .offsets_delete = postgres_offsets_delete,
        .offsets_set = postgres_offsets_set,
    };
}
