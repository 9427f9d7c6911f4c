/* broker/config/resource_options.c: see resource_options.h. */
#include "broker/config/resource_options.h"

#include "broker/metadata/metadata.h"
#include "broker/group/regex.h"

#define INT_MAX_BOUND 2147483647.0
#define ANY           0, -1

/* -- rows -- */

struct group_option {
    struct option option;
    const char *broker_default; /* the broker's option that says the default; NULL: the row does */
    const char *broker_min, *broker_max;
};

static const struct group_option group_rows[] = {
    {{"consumer.heartbeat.interval.ms", OPTION_INT, "ms", "5000", 1, INT_MAX_BOUND, NULL, OPTION_LIVE, 0,
      "Heartbeat interval of the group's members."},
     "group.consumer.heartbeat.interval.ms",
     "group.consumer.min.heartbeat.interval.ms",
     "group.consumer.max.heartbeat.interval.ms"},
    {{"consumer.session.timeout.ms", OPTION_INT, "ms", "45000", 1, INT_MAX_BOUND, NULL, OPTION_LIVE, 0,
      "A member of the group that is silent for so long is out."},
     "group.consumer.session.timeout.ms",
     "group.consumer.min.session.timeout.ms",
     "group.consumer.max.session.timeout.ms"},
    {{"share.auto.offset.reset", OPTION_STRING, NULL, "latest", ANY, NULL, OPTION_LIVE, 0,
      "Where a share group begins in a partition that it has not read yet: earliest, latest, "
      "by_duration:PnDTnHnMn.nS."},
     NULL,
     NULL,
     NULL},
    {{"share.heartbeat.interval.ms", OPTION_INT, "ms", "5000", 1, INT_MAX_BOUND, NULL, OPTION_LIVE, 0,
      "Heartbeat interval of the share group's members."},
     "group.share.heartbeat.interval.ms",
     "group.share.min.heartbeat.interval.ms",
     "group.share.max.heartbeat.interval.ms"},
    {{"share.isolation.level", OPTION_STRING, NULL, "read_uncommitted", ANY, "read_committed,read_uncommitted",
      OPTION_LIVE, 0, "Whether a share group waits for the end of transactions."},
     NULL,
     NULL,
     NULL},
    {{"share.record.lock.duration.ms", OPTION_INT, "ms", "30000", 1000, INT_MAX_BOUND, NULL, OPTION_LIVE, 0,
      "How long a member of the share group may keep a record before others get it."},
     "group.share.record.lock.duration.ms",
     "group.share.min.record.lock.duration.ms",
     "group.share.max.record.lock.duration.ms"},
    {{"share.session.timeout.ms", OPTION_INT, "ms", "45000", 1, INT_MAX_BOUND, NULL, OPTION_LIVE, 0,
      "A member of the share group that is silent for so long is out."},
     "group.share.session.timeout.ms",
     "group.share.min.session.timeout.ms",
     "group.share.max.session.timeout.ms"},
    {{"streams.heartbeat.interval.ms", OPTION_INT, "ms", "5000", 1, INT_MAX_BOUND, NULL, OPTION_LIVE, 0,
      "Heartbeat interval of the streams group's members. Kept for tools: there are no streams groups."},
     "group.streams.heartbeat.interval.ms",
     "group.streams.min.heartbeat.interval.ms",
     "group.streams.max.heartbeat.interval.ms"},
    {{"streams.num.standby.replicas", OPTION_INT, NULL, "0", 0, INT_MAX_BOUND, NULL, OPTION_LIVE, 0,
      "Standby replicas of each task. Kept for tools: there are no streams groups."},
     "group.streams.num.standby.replicas",
     NULL,
     "group.streams.max.standby.replicas"},
    {{"streams.session.timeout.ms", OPTION_INT, "ms", "45000", 1, INT_MAX_BOUND, NULL, OPTION_LIVE, 0,
      "A member of the streams group that is silent for so long is out. Kept for tools: there are no streams groups."},
     "group.streams.session.timeout.ms",
     "group.streams.min.session.timeout.ms",
     "group.streams.max.session.timeout.ms"},
};

static const struct option client_metrics_rows[] = {
    {"interval.ms", OPTION_INT, "ms", "300000", ANY, NULL, OPTION_LIVE, 0, "How often clients push their metrics."},
    {"match", OPTION_LIST, NULL, "", ANY, NULL, OPTION_LIVE, 0,
     "Which clients: NAME=EXPRESSION,... with the names client_id, client_instance_id, client_software_name, "
     "client_software_version, client_source_address, client_source_port; all must match. Empty: all clients."},
    {"metrics", OPTION_LIST, NULL, "", ANY, NULL, OPTION_LIVE, 0,
     "Which metrics: prefixes of their names; *: all. Empty: none."},
};

static const struct group_option *group_option_find(const char *name)
{
    for (size_t i = 0; i < countof(group_rows); i++)
        if (strcmp(group_rows[i].option.name, name) == 0) return &group_rows[i];
    return NULL;
}

const struct option *resource_option_find(enum config_resource_type type, const char *name)
{
    const struct group_option *g = type == CONFIG_RESOURCE_GROUP ? group_option_find(name) : NULL;

    if (g) return &g->option;
    return type == CONFIG_RESOURCE_CLIENT_METRICS ? option_find(client_metrics_rows, countof(client_metrics_rows), name)
                                                  : NULL;
}

/* -- groups -- */

/* What the broker's option was set to at start, or its default; none of them changes live. */
static const char *broker_value(const struct broker_config *file, const char *name)
{
    const char *given = config_list_get(&file->given, name);
    const struct option *row = option_find(broker_options, broker_options_count, name);

    return given || !row ? given : row->default_text;
}

/* A number with its unit's letter behind it; false: there is none. */
static bool take_part(const char **p, const char *end, char letter, bool fraction)
{
    const char *at = *p;
    bool digits = false;

    while (at < end && ((*at >= '0' && *at <= '9') || (fraction && digits && *at == '.'))) digits = true, at++;
    if (!digits || at == end || (*at | 0x20) != letter || at[-1] == '.') return false;
    *p = at + 1;
    return true;
}

/* ISO 8601: PnDTnHnMn.nS, at least one part, and one behind a T. */
static bool is_duration(const char *text)
{
    const char *p = text, *end = text + strlen(text);

    if (*p != 'P' && *p != 'p') return false;
    p++;
    bool any = take_part(&p, end, 'd', false);
    if (*p != 'T' && *p != 't') return any && p == end;
    p++;
    const char *times = p;
    (void)take_part(&p, end, 'h', false);
    (void)take_part(&p, end, 'm', false);
    (void)take_part(&p, end, 's', true);
    return p > times && p == end;
}

#define BY_DURATION "by_duration:"

static bool is_offset_reset(const char *text)
{
    if (strcmp(text, "earliest") == 0 || strcmp(text, "latest") == 0) return true;
    return strncmp(text, BY_DURATION, strlen(BY_DURATION)) == 0 && is_duration(text + strlen(BY_DURATION));
}

static enum kafka_error check_group_option(const struct broker_config *file, const char *name, const char *value,
                                           struct err *err)
{
    const struct group_option *g = group_option_find(name);

    if (!g) return err_set(err, KAFKA_INVALID_CONFIG, "Unknown group config name: %s", name);
    if (!option_check(&g->option, value, err)) {
        if (err) err->code = KAFKA_INVALID_CONFIG;
        return KAFKA_INVALID_CONFIG;
    }
    if (strcmp(name, "share.auto.offset.reset") == 0 && !is_offset_reset(value))
        return err_set(err, KAFKA_INVALID_CONFIG,
                       "Invalid value %s for configuration %s: The value must be either 'earliest', 'latest' or of the "
                       "format 'by_duration:<PnDTnHnMn.nS>'.",
                       value, name);
    if (g->option.type != OPTION_INT) return KAFKA_NONE;
    const char *min = g->broker_min ? broker_value(file, g->broker_min) : NULL;
    const char *max = g->broker_max ? broker_value(file, g->broker_max) : NULL;
    if (min && atoll(value) < atoll(min))
        return err_set(err, KAFKA_INVALID_CONFIG, "%s must be greater than or equal to %s", name, g->broker_min);
    if (max && atoll(value) > atoll(max))
        return err_set(err, KAFKA_INVALID_CONFIG, "%s must be less than or equal to %s", name, g->broker_max);
    return KAFKA_NONE;
}

/* -- client metrics -- */

int client_match_find(struct slice pattern, struct slice *ret_expression)
{
    static const char *const names[CLIENT_MATCHES] = {
        [CLIENT_MATCH_ID] = "client_id",
        [CLIENT_MATCH_INSTANCE_ID] = "client_instance_id",
        [CLIENT_MATCH_SOFTWARE_NAME] = "client_software_name",
        [CLIENT_MATCH_SOFTWARE_VERSION] = "client_software_version",
        [CLIENT_MATCH_ADDRESS] = "client_source_address",
        [CLIENT_MATCH_PORT] = "client_source_port",
    };
    const uint8_t *equals = memchr(pattern.ptr, '=', pattern.len);

    if (!equals) return -1;
    uint32_t len = (uint32_t)(equals - pattern.ptr);
    *ret_expression = slice_make(equals + 1, pattern.len - len - 1);
    for (int i = 0; i < CLIENT_MATCHES; i++)
        if (slice_eq_text(slice_make(pattern.ptr, len), names[i])) return i;
    return -1;
}

static bool is_pattern(struct slice pattern)
{
    struct slice expression;

    if (client_match_find(pattern, &expression) < 0 || expression.len == 0 ||
        memchr(expression.ptr, '=', expression.len))
        return false;
    struct regex *r = regex_compile(expression, NULL);
    regex_free(r);
    return r != NULL;
}

static enum kafka_error check_client_metrics_option(const char *name, const char *value, struct err *err)
{
    const struct option *row = resource_option_find(CONFIG_RESOURCE_CLIENT_METRICS, name);
    struct slice element;

    if (!row) return err_set(err, KAFKA_INVALID_REQUEST, "Unknown client metrics configuration: %s", name);
    if (!option_check(row, value, err)) {
        if (err) err->code = KAFKA_INVALID_CONFIG;
        return KAFKA_INVALID_CONFIG;
    }
    if (strcmp(name, "interval.ms") == 0 &&
        (atoll(value) < CLIENT_METRICS_INTERVAL_MS_MIN || atoll(value) > CLIENT_METRICS_INTERVAL_MS_MAX))
        return err_set(err, KAFKA_INVALID_REQUEST,
                       "Invalid value %s for interval.ms, interval must be between %d and %d (1 hour)", value,
                       CLIENT_METRICS_INTERVAL_MS_MIN, CLIENT_METRICS_INTERVAL_MS_MAX);
    for (const char *p = strcmp(name, "match") == 0 ? value : ""; option_list_next(&p, &element);)
        if (!is_pattern(element))
            return err_set(err, KAFKA_INVALID_CONFIG, "Illegal client matching pattern: " SLICE_FMT,
                           SLICE_ARG(element));
    return KAFKA_NONE;
}

/* -- both -- */

enum kafka_error resource_option_check(const struct broker_config *file, enum config_resource_type type,
                                       struct slice resource, const char *name, const char *value, struct err *err)
{
    bool group = type == CONFIG_RESOURCE_GROUP;

    if (resource.len == 0)
        return err_set(err, KAFKA_INVALID_REQUEST, "%s",
                       group ? "Default group resources are not allowed." : "Subscription name can't be empty");
    if (!value) return KAFKA_NONE; /* what is not known is not there either */
    return group ? check_group_option(file, name, value, err) : check_client_metrics_option(name, value, err);
}

/* A value that was set has that as its only synonym; a group's default has itself, a subscription's none, as in
 * Kafka. */
static bool fill_value(struct arena *a, struct config_value *v, enum config_resource_type type,
                       const struct option *row, const char *own, const char *fallback)
{
    bool group = type == CONFIG_RESOURCE_GROUP;
    enum config_source set = group ? CONFIG_SOURCE_GROUP : CONFIG_SOURCE_CLIENT_METRICS;

    *v = (struct config_value){.option = row, .source = own ? set : CONFIG_SOURCE_DEFAULT};
    v->value = arena_strdup(a, own ? own : fallback);
    v->synonyms = arena_calloc(a, 1, sizeof *v->synonyms);
    if (!v->value || !v->synonyms) return false;
    if (!own && !group) return true;
    v->synonyms[v->synonyms_count++] =
        (struct config_synonym){.name = row->name, .value = v->value, .source = v->source};
    return true;
}

int32_t config_describe_resource(const struct broker_config *file, const struct metadata *m,
                                 enum config_resource_type type, struct slice resource, struct arena *a,
                                 struct config_value **ret)
{
    bool group = type == CONFIG_RESOURCE_GROUP;
    const struct config_list *own = metadata_resource_config(m, (int8_t)type, resource);
    size_t count = group ? countof(group_rows) : countof(client_metrics_rows);
    struct config_value *values = arena_calloc(a, count, sizeof *values);

    if (!values) return -1;
    for (size_t i = 0; i < count; i++) {
        const struct option *row = group ? &group_rows[i].option : &client_metrics_rows[i];
        const char *fallback =
            group && group_rows[i].broker_default ? broker_value(file, group_rows[i].broker_default) : NULL;
        if (!fill_value(a, &values[i], type, row, config_list_get(own, row->name),
                        fallback ? fallback : row->default_text))
            return -1;
    }
    *ret = values;
    return (int32_t)count;
}
