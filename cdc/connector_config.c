/* cdc/connector_config.c: see connector_config.h. The rows: connector_properties.c. */
#include "cdc/connector_config.h"

#include "cdc/transforms.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- looking up ---- */

struct input {
    const struct cdc_pair *pairs;
    uint32_t pairs_count;
};

static const char *posted(const struct input *in, const char *name)
{
    for (uint32_t i = 0; i < in->pairs_count; i++)
        if (strcmp(in->pairs[i].name, name) == 0) return in->pairs[i].value;
    return NULL;
}

/* The posted value, else the row's default; NULL: neither. */
static const char *value_of(const struct input *in, const char *name)
{
    const char *value = posted(in, name);
    if (value) return value;
    const struct connector_property *row = connector_property_find(name);
    return row ? row->default_text : NULL;
}

static char *text_of(const struct input *in, const char *name)
{
    const char *value = value_of(in, name);
    return value ? xstrdup(value) : NULL;
}

static bool bool_of(const struct input *in, const char *name)
{
    const char *value = value_of(in, name);
    return value && strcasecmp(value, "true") == 0;
}

/* Values passed connector_config_check(). */
static int64_t int_of(const struct input *in, const char *name)
{
    const char *value = value_of(in, name);
    return value ? strtoll(value, NULL, 10) : 0;
}

/* Index of the value among the words, which stand in the order of an enum; an unknown one counts as the first. */
static int word_of(const struct input *in, const char *name, const char *const *words, size_t words_count)
{
    const char *value = value_of(in, name);

    for (size_t i = 0; value && i < words_count; i++)
        if (strcasecmp(value, words[i]) == 0) return (int)i;
    return 0;
}
#define WORD_OF(in, name, ...)                                                                                         \
    word_of(in, name, (const char *const[]){__VA_ARGS__},                                                              \
            sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static struct slice trim(struct slice s)
{
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) s.ptr++, s.len--;
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t')) s.len--;
    return s;
}

/* Walks a comma separated list. */
static bool next_word(const char **position, struct slice *ret)
{
    const char *p = *position;

    if (!p || !*p) return false;
    const char *comma = strchrnul(p, ',');
    *ret = trim(slice_make(p, (uint32_t)(comma - p)));
    *position = *comma ? comma + 1 : comma;
    return true;
}

static bool word_in(const char *list, struct slice word)
{
    struct slice element;

    for (const char *p = list; next_word(&p, &element);)
        if (element.len == word.len && strncasecmp((const char *)element.ptr, (const char *)word.ptr, word.len) == 0)
            return true;
    return false;
}

/* ---- checking ---- */

struct checker {
    struct input in;
    struct cdc_problem *problems;
    uint32_t count, max;
};

static void complain(struct checker *c, const char *name, const char *format, ...) PRINTF_LIKE(3, 4);

static void complain(struct checker *c, const char *name, const char *format, ...)
{
    if (c->count == c->max) return;
    struct cdc_problem *p = &c->problems[c->count++];
    va_list args;

    snprintf(p->name, sizeof(p->name), "%s", name);
    size_t len = (size_t)snprintf(p->text, sizeof(p->text), "The '%s' value is invalid: ", name);
    len = MIN(len, sizeof(p->text) - 1); /* the name is the client's */
    va_start(args, format);
    vsnprintf(p->text + len, sizeof(p->text) - len, format, args);
    va_end(args);
}

static bool is_integer(const char *text, int64_t min, int64_t max)
{
    char *end;

    errno = 0;
    long long v = strtoll(text, &end, 10);
    return *text && !*end && errno == 0 && v >= min && v <= max;
}

/* Connect lists the words with a blank behind the comma. */
static void complain_choices(struct checker *c, const struct connector_property *row)
{
    char list[400];
    struct slice word;
    int len = 0;

    list[0] = '\0';
    for (const char *p = row->choices; next_word(&p, &word) && len < (int)sizeof(list);)
        len += snprintf(list + len, sizeof(list) - (size_t)len, "%s" SLICE_FMT, len ? ", " : "", SLICE_ARG(word));
    complain(c, row->name, "Value must be one of %s", list);
}

static void check_row(struct checker *c, const struct connector_property *row)
{
    const char *value = value_of(&c->in, row->name);

    if (!value || !*value) {
        if (row->required) complain(c, row->name, "A value is required");
        return;
    }
    if (row->choices && !word_in(row->choices, trim(slice_of(value))) &&
        !(row->choices_old && word_in(row->choices_old, trim(slice_of(value)))))
        complain_choices(c, row);
    switch (row->type) {
    case PROPERTY_INT:
        if (!is_integer(value, INT32_MIN, INT32_MAX)) complain(c, row->name, "An integer is expected");
        break;
    case PROPERTY_LONG:
        if (!is_integer(value, INT64_MIN, INT64_MAX)) complain(c, row->name, "A long value is expected");
        break;
    case PROPERTY_BOOLEAN:
        if (strcasecmp(value, "true") != 0 && strcasecmp(value, "false") != 0)
            complain(c, row->name, "Either 'true' or 'false' is expected");
        break;
    case PROPERTY_STRING:
    case PROPERTY_LIST:
    case PROPERTY_CLASS:
    case PROPERTY_PASSWORD: break;
    }
    const char *complaint = row->check ? row->check(slice_of(value)) : NULL;
    if (complaint) complain(c, row->name, "%s", complaint);
    if (row->support == PROPERTY_UNSUPPORTED && posted(&c->in, row->name) &&
        (!row->default_text || strcasecmp(value, row->default_text) != 0))
        complain(c, row->name, "\"%s\" is not supported yet", value);
}

/* An include list and an exclude list of the same kind. */
static void check_exclusive(struct checker *c, const char *include, const char *exclude)
{
    const char *a = posted(&c->in, include), *b = posted(&c->in, exclude);

    if (a && *a && b && *b) complain(c, exclude, "\"%s\" is already specified", include);
}

static void check_expressions(struct checker *c, const char *name)
{
    struct name_filter *filter = NULL;
    struct err err = ERR_NONE;

    if (name_filter_new(posted(&c->in, name), &filter, &err) < 0)
        complain(c, name, "A comma-separated list of valid regular expressions is expected, but %s", err.text);
    name_filter_free(filter);
}

static const char *const expression_properties[] = {
    "schema.include.list",         "schema.exclude.list",         "table.include.list",
    "table.exclude.list",          "column.include.list",         "column.exclude.list",
    "message.prefix.include.list", "message.prefix.exclude.list", "snapshot.include.collection.list",
};

/* Properties whose names are patterns and that hide data: to leave them out would publish it. */
static void check_masks(struct checker *c)
{
    static const char *const prefixes[] = {"column.mask.", "column.truncate."};

    for (uint32_t i = 0; i < c->in.pairs_count; i++)
        for (size_t k = 0; k < countof(prefixes); k++)
            if (strncmp(c->in.pairs[i].name, prefixes[k], strlen(prefixes[k])) == 0)
                complain(c, c->in.pairs[i].name, "Masks of columns are not supported yet");
}

/* As Kafka's ConfigDef words it. */
static void complain_config(struct checker *c, const char *name, const char *value, const char *expected)
{
    if (c->count == c->max) return;
    struct cdc_problem *p = &c->problems[c->count++];

    snprintf(p->name, sizeof(p->name), "%s", name);
    snprintf(p->text, sizeof(p->text), "Invalid value %s for configuration %s: %s", value, name, expected);
}

/* The properties of JsonConverter that decide what it writes. */
static void check_converters(struct checker *c)
{
    static const char *const flags[] = {"key.converter.schemas.enable", "key.converter.replace.null.with.default",
                                        "value.converter.schemas.enable", "value.converter.replace.null.with.default"};
    static const char *const formats[] = {"key.converter.decimal.format", "value.converter.decimal.format"};

    for (size_t i = 0; i < countof(flags); i++) {
        const char *value = posted(&c->in, flags[i]);
        if (value && strcasecmp(value, "true") != 0 && strcasecmp(value, "false") != 0)
            complain_config(c, flags[i], value, "Expected value to be either true or false");
    }
    for (size_t i = 0; i < countof(formats); i++) {
        const char *value = posted(&c->in, formats[i]);
        if (value && strcasecmp(value, "NUMERIC") != 0 && strcasecmp(value, "BASE64") != 0)
            complain_config(c, formats[i], value, "String must be one of (case insensitive): NUMERIC, BASE64");
    }
}

static const char *version_of(const struct input *in, const char *version_default)
{
    const char *asked = posted(in, "connector.plugin.version");
    return asked && *asked ? asked : version_default ? version_default : CONNECTOR_VERSION_DEFAULT;
}

static bool is_version_2(const char *version)
{
    return version[0] == '2' && version[1] == '.';
}

uint32_t connector_config_check(const struct cdc_pair *pairs, uint32_t pairs_count, struct cdc_problem *ret_problems,
                                uint32_t problems_max)
{
    struct checker c = {.in = {pairs, pairs_count}, .problems = ret_problems, .max = problems_max};

    for (uint32_t i = 0; i < connector_properties_count; i++) check_row(&c, &connector_properties[i]);
    check_exclusive(&c, "schema.include.list", "schema.exclude.list");
    check_exclusive(&c, "table.include.list", "table.exclude.list");
    check_exclusive(&c, "column.include.list", "column.exclude.list");
    check_exclusive(&c, "message.prefix.include.list", "message.prefix.exclude.list");
    for (size_t i = 0; i < countof(expression_properties); i++) check_expressions(&c, expression_properties[i]);
    check_masks(&c);
    check_converters(&c);

    struct key_columns_rule *rules = NULL;
    uint32_t rules_count = 0;
    struct err err = ERR_NONE;
    if (key_columns_rules_parse(posted(&c.in, "message.key.columns"), &rules, &rules_count, &err) < 0)
        complain(&c, "message.key.columns", "%s", err.text);
    key_columns_rules_free(rules, rules_count);

    struct transform_chain *chain = NULL;
    char property[128] = "transforms";
    if (transform_chain_parse(pairs, pairs_count, !is_version_2(version_of(&c.in, NULL)),
                              bool_of(&c.in, "ottla.debezium.defects"), &chain, property, &err) < 0)
        complain(&c, property, "%s", err.text);
    transform_chain_free(chain);
    return c.count;
}

/* ---- parsing ---- */

static bool filter_of(const struct input *in, const char *name, struct name_filter **ret, struct err *err)
{
    if (name_filter_new(posted(in, name), ret, err) == 0) return true;
    err_prefix(err, "%s", name);
    return false;
}

static unsigned skipped_of(const struct input *in)
{
    const char *p = value_of(in, "skipped.operations");
    struct slice word;
    unsigned bits = 0;

    while (next_word(&p, &word)) {
        if (word.len != 1) continue; /* "none" */
        switch (word.ptr[0] | 0x20) {
        case 'c': bits |= OPERATION_CREATE; break;
        case 'u': bits |= OPERATION_UPDATE; break;
        case 'd': bits |= OPERATION_DELETE; break;
        case 't': bits |= OPERATION_TRUNCATE; break;
        }
    }
    return bits;
}

/* A flag of the JsonConverter of keys or values that is true by default. */
static bool schemas_of(const struct input *in, const char *property)
{
    const char *value = posted(in, property);
    return !value || strcasecmp(value, "true") == 0;
}

static void parse_database(struct pg_connector_config *c, const struct input *in)
{
    c->hostname = text_of(in, "database.hostname");
    c->port = (int)int_of(in, "database.port");
    c->user = text_of(in, "database.user");
    c->password = text_of(in, "database.password");
    c->dbname = text_of(in, "database.dbname");
    c->sslmode = text_of(in, "database.sslmode");
    c->sslcert = text_of(in, "database.sslcert");
    c->sslkey = text_of(in, "database.sslkey");
    c->sslpassword = text_of(in, "database.sslpassword");
    c->sslrootcert = text_of(in, "database.sslrootcert");
    c->tcp_keepalive = bool_of(in, "database.tcpKeepAlive");
    c->initial_statements = text_of(in, "database.initial.statements");
    c->query_timeout_ms = int_of(in, "database.query.timeout.ms");
    c->slot_name = text_of(in, "slot.name");
    c->slot_drop_on_stop = bool_of(in, "slot.drop.on.stop");
    c->slot_failover = bool_of(in, "slot.failover");
    c->slot_stream_params = text_of(in, "slot.stream.params");
    c->slot_max_retries = (int)int_of(in, "slot.max.retries");
    c->slot_retry_delay_ms = int_of(in, "slot.retry.delay.ms");
    c->publication_name = text_of(in, "publication.name");
    c->publication_mode = WORD_OF(in, "publication.autocreate.mode", "all_tables", "filtered", "no_tables", "disabled");
    c->publish_via_partition_root = bool_of(in, "publish.via.partition.root");
    c->status_update_interval_ms = int_of(in, "status.update.interval.ms");
    c->lsn_flush_mode = WORD_OF(in, "lsn.flush.mode", "connector", "connector_and_driver", "manual");
    c->replica_identity_autoset = text_of(in, "replica.identity.autoset.values");
    c->retriable_restart_wait_ms = int_of(in, "retriable.restart.connector.wait.ms");
    c->streaming_delay_ms = int_of(in, "streaming.delay.ms");
    c->xmin_fetch_interval_ms = int_of(in, "xmin.fetch.interval.ms");
}

static void parse_snapshot(struct pg_connector_config *c, const struct input *in)
{
    /* Behind the first seven: older words for the same. */
    static const char *const modes[] = {
        "initial", "always", "initial_only", "no_data",    "when_needed", "configuration_based",
        "custom",  "never",  "exported",     "schema_only"};
    static const enum snapshot_mode meanings[] = {SNAPSHOT_INITIAL, SNAPSHOT_ALWAYS,      SNAPSHOT_INITIAL_ONLY,
                                                  SNAPSHOT_NO_DATA, SNAPSHOT_WHEN_NEEDED, SNAPSHOT_CONFIGURATION_BASED,
                                                  SNAPSHOT_CUSTOM,  SNAPSHOT_NO_DATA,     SNAPSHOT_INITIAL,
                                                  SNAPSHOT_NO_DATA};

    c->snapshot_mode = meanings[word_of(in, "snapshot.mode", modes, countof(modes))];
    c->snapshot_data = bool_of(in, "snapshot.mode.configuration.based.snapshot.data");
    c->snapshot_stream = bool_of(in, "snapshot.mode.configuration.based.start.stream");
    c->snapshot_isolation = text_of(in, "snapshot.isolation.mode");
    c->snapshot_locking = text_of(in, "snapshot.locking.mode");
    c->snapshot_lock_timeout_ms = int_of(in, "snapshot.lock.timeout.ms");
    c->snapshot_delay_ms = int_of(in, "snapshot.delay.ms");
    c->snapshot_fetch_size = (int)int_of(in, "snapshot.fetch.size");
    c->snapshot_threads = (int)int_of(in, "snapshot.max.threads");
    c->snapshot_order_by_row_count = text_of(in, "snapshot.tables.order.by.row.count");
}

static void parse_records(struct pg_connector_config *c, const struct input *in)
{
    c->skipped_operations = skipped_of(in);
    c->skip_messages_without_change = bool_of(in, "skip.messages.without.change");
    c->tombstones_on_delete = bool_of(in, "tombstones.on.delete");
    c->topic_prefix = text_of(in, "topic.prefix");
    c->topic_delimiter = text_of(in, "topic.delimiter");
    c->topic_heartbeat_prefix =
        text_of(in, posted(in, "topic.heartbeat.prefix") ? "topic.heartbeat.prefix" : "heartbeat.topics.prefix");
    c->topic_transaction = text_of(in, "topic.transaction");
    c->heartbeat_interval_ms = int_of(in, "heartbeat.interval.ms");
    c->heartbeat_action_query = text_of(in, "heartbeat.action.query");
    c->provide_transaction_metadata = bool_of(in, "provide.transaction.metadata");
    c->extended_headers = c->profile == FORMAT_3 && bool_of(in, "extended.headers.enabled");
    c->schema_name_adjust = WORD_OF(in, "schema.name.adjustment.mode", "none", "avro", "avro_unicode");
    c->field_name_adjust = WORD_OF(in, "field.name.adjustment.mode", "none", "avro", "avro_unicode");
    c->key_schemas = schemas_of(in, "key.converter.schemas.enable");
    c->value_schemas = schemas_of(in, "value.converter.schemas.enable");
    c->replace_null_with_default = schemas_of(in, "value.converter.replace.null.with.default");
    c->key_replace_null_with_default = schemas_of(in, "key.converter.replace.null.with.default");
    c->key_decimals = WORD_OF(in, "key.converter.decimal.format", "base64", "numeric");
    c->value_decimals = WORD_OF(in, "value.converter.decimal.format", "base64", "numeric");
    c->decimal_mode = WORD_OF(in, "decimal.handling.mode", "precise", "double", "string");
    c->time_mode = WORD_OF(in, "time.precision.mode", "adaptive", "adaptive_time_microseconds", "connect", "isostring",
                           "microseconds", "nanoseconds");
    c->binary_mode = WORD_OF(in, "binary.handling.mode", "bytes", "base64", "base64-url-safe", "hex");
    c->interval_mode = WORD_OF(in, "interval.handling.mode", "numeric", "string");
    c->hstore_mode = WORD_OF(in, "hstore.handling.mode", "json", "map");
    c->convert_failure_mode = WORD_OF(in, "event.converting.failure.handling.mode", "warn", "fail", "skip");
    c->money_fraction_digits = (int)int_of(in, "money.fraction.digits");
    c->include_unknown_datatypes = bool_of(in, "include.unknown.datatypes");
    c->unavailable_placeholder = text_of(in, "unavailable.value.placeholder");
    c->debezium_defects = bool_of(in, "ottla.debezium.defects");
}

#define TOPIC_CREATION "topic.creation.default."

static void parse_topic_creation(struct pg_connector_config *c)
{
    for (uint32_t i = 0; i < c->pairs_count; i++) {
        const struct cdc_pair *p = &c->pairs[i];
        if (!p->value || strncmp(p->name, TOPIC_CREATION, strlen(TOPIC_CREATION)) != 0) continue;
        const char *rest = p->name + strlen(TOPIC_CREATION);
        if (strcmp(rest, "partitions") == 0) {
            c->topic_partitions = atoi(p->value);
        } else if (strcmp(rest, "replication.factor") == 0) {
            c->topic_replication_factor = atoi(p->value);
        } else if (strcmp(rest, "include") != 0 && strcmp(rest, "exclude") != 0) {
            c->topic_configs = xrealloc(c->topic_configs, (c->topic_configs_count + 1) * sizeof(*c->topic_configs));
            c->topic_configs[c->topic_configs_count++] = (struct cdc_pair){xstrdup(rest), xstrdup(p->value)};
        }
    }
}

static bool parse_filters(struct pg_connector_config *c, const struct input *in, struct err *err)
{
    const char *keys = posted(in, "message.key.columns");

    return filter_of(in, "table.include.list", &c->table_include, err) &&
           filter_of(in, "table.exclude.list", &c->table_exclude, err) &&
           filter_of(in, "schema.include.list", &c->schema_include, err) &&
           filter_of(in, "schema.exclude.list", &c->schema_exclude, err) &&
           filter_of(in, "column.include.list", &c->column_include, err) &&
           filter_of(in, "column.exclude.list", &c->column_exclude, err) &&
           filter_of(in, "message.prefix.include.list", &c->message_prefix_include, err) &&
           filter_of(in, "message.prefix.exclude.list", &c->message_prefix_exclude, err) &&
           filter_of(in, "snapshot.include.collection.list", &c->snapshot_include, err) &&
           key_columns_rules_parse(keys, &c->key_rules, &c->key_rules_count, err) == 0;
}

static void copy_pairs(struct pg_connector_config *c, const struct input *in)
{
    c->pairs = xcalloc(in->pairs_count ? in->pairs_count : 1, sizeof(*c->pairs));
    c->pairs_count = in->pairs_count;
    for (uint32_t i = 0; i < in->pairs_count; i++)
        c->pairs[i] =
            (struct cdc_pair){xstrdup(in->pairs[i].name), in->pairs[i].value ? xstrdup(in->pairs[i].value) : NULL};
}

int connector_config_parse(const struct cdc_pair *pairs, uint32_t pairs_count, const char *version_default,
                           struct pg_connector_config **ret_config, struct err *err)
{
    const struct input in = {pairs, pairs_count};
    struct cdc_problem problem;

    if (connector_config_check(pairs, pairs_count, &problem, 1)) return err_set(err, -EINVAL, "%s", problem.text);
    struct pg_connector_config *c = xcalloc(1, sizeof(*c));
    copy_pairs(c, &in);
    c->name = text_of(&in, "name");
    c->version = xstrdup(version_of(&in, version_default));
    c->profile = is_version_2(c->version) ? FORMAT_2 : FORMAT_3;
    parse_database(c, &in);
    parse_snapshot(c, &in);
    parse_records(c, &in);
    parse_topic_creation(c);

    char property[128];
    if (!parse_filters(c, &in, err) || transform_chain_parse(pairs, pairs_count, c->profile == FORMAT_3,
                                                             c->debezium_defects, &c->transforms, property, err) < 0) {
        connector_config_free(c);
        return -EINVAL;
    }
    *ret_config = c;
    return 0;
}

static void pairs_free(struct cdc_pair *pairs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        free((char *)(uintptr_t)pairs[i].name);
        free((char *)(uintptr_t)pairs[i].value);
    }
    free(pairs);
}

void connector_config_free(struct pg_connector_config *c)
{
    if (!c) return;
    char *const texts[] = {c->name,
                           c->version,
                           c->hostname,
                           c->user,
                           c->password,
                           c->dbname,
                           c->sslmode,
                           c->sslcert,
                           c->sslkey,
                           c->sslpassword,
                           c->sslrootcert,
                           c->initial_statements,
                           c->slot_name,
                           c->slot_stream_params,
                           c->publication_name,
                           c->replica_identity_autoset,
                           c->snapshot_isolation,
                           c->snapshot_locking,
                           c->snapshot_order_by_row_count,
                           c->topic_prefix,
                           c->topic_delimiter,
                           c->topic_heartbeat_prefix,
                           c->topic_transaction,
                           c->heartbeat_action_query,
                           c->unavailable_placeholder};
    struct name_filter *const filters[] = {c->snapshot_include, c->table_include,          c->table_exclude,
                                           c->schema_include,   c->schema_exclude,         c->column_include,
                                           c->column_exclude,   c->message_prefix_include, c->message_prefix_exclude};
    for (size_t i = 0; i < countof(texts); i++) free(texts[i]);
    for (size_t i = 0; i < countof(filters); i++) name_filter_free(filters[i]);
    key_columns_rules_free(c->key_rules, c->key_rules_count);
    transform_chain_free(c->transforms);
    pairs_free(c->topic_configs, c->topic_configs_count);
    pairs_free(c->pairs, c->pairs_count);
    free(c);
}

/* ---- asking ---- */

const char *connector_config_get(const struct pg_connector_config *c, const char *name)
{
    const struct input in = {c->pairs, c->pairs_count};
    return posted(&in, name);
}

bool connector_config_captures(const struct pg_connector_config *c, const char *schema, const char *table)
{
    char full[2 * 64 + 2]; /* names of the database have at most 63 bytes */

    if (strcmp(schema, "pg_catalog") == 0 || strcmp(schema, "information_schema") == 0) return false;
    snprintf(full, sizeof(full), "%s.%s", schema, table);
    if (c->schema_include && !name_filter_matches(c->schema_include, schema)) return false;
    if (c->schema_exclude && name_filter_matches(c->schema_exclude, schema)) return false;
    if (c->table_include && !name_filter_matches(c->table_include, full)) return false;
    return !c->table_exclude || !name_filter_matches(c->table_exclude, full);
}

void connector_config_each_ignored(const struct pg_connector_config *c, void (*found)(void *arg, const char *name),
                                   void *arg)
{
    for (uint32_t i = 0; i < c->pairs_count; i++) {
        const struct connector_property *row = connector_property_find(c->pairs[i].name);
        if (row && row->support == PROPERTY_IGNORED && c->pairs[i].value &&
            (!row->default_text || strcmp(row->default_text, c->pairs[i].value) != 0))
            found(arg, row->name);
    }
}

/* -- what a change of configuration means to a replay -- */

bool connector_property_is_output(const char *name)
{
    /* A name that ends in a dot stands for all that begin with it. */
    static const char *const others[] = {"name",
                                         "connector.class",
                                         "tasks.",
                                         "config.action.reload",
                                         "errors.",
                                         "exactly.once.support",
                                         "transaction.boundary",
                                         "transaction.boundary.",
                                         "offsets.storage.topic",
                                         "database.",
                                         "driver.",
                                         "slot.name",
                                         "slot.drop.on.stop",
                                         "slot.failover",
                                         "slot.max.retries",
                                         "slot.retry.delay.ms",
                                         "publication.autocreate.mode",
                                         "status.update.interval.ms",
                                         "lsn.flush.",
                                         "offset.mismatch.strategy",
                                         "read.only",
                                         "xmin.fetch.interval.ms",
                                         "retriable.restart.connector.wait.ms",
                                         "streaming.delay.ms",
                                         "snapshot.",
                                         "incremental.snapshot.",
                                         "max.batch.size",
                                         "max.queue.",
                                         "poll.interval.ms",
                                         "query.fetch.size",
                                         "heartbeat.",
                                         "topic.heartbeat.prefix",
                                         "producer.",
                                         "topic.creation.",
                                         "statistics.",
                                         "guardrail.",
                                         "memory.",
                                         "signal.",
                                         "notification."};

    if (strcmp(name, "database.dbname") == 0) return true;
    for (uint32_t i = 0; i < countof(others); i++) {
        size_t len = strlen(others[i]);
        if (others[i][len - 1] == '.' ? strncmp(name, others[i], len) == 0 : strcmp(name, others[i]) == 0) return false;
    }
    return true;
}

static uint64_t fnv1a(uint64_t h, const char *text)
{
    for (; *text; text++) h = (h ^ (uint8_t)*text) * 0x100000001b3;
    return h;
}

uint64_t connector_config_output_hash(const struct pg_connector_config *c)
{
    uint64_t sum = 1; /* summed, so that the order of properties does not matter */

    for (uint32_t i = 0; i < c->pairs_count; i++) {
        if (!connector_property_is_output(c->pairs[i].name)) continue;
        sum +=
            fnv1a(fnv1a(fnv1a(0xcbf29ce484222325, c->pairs[i].name), "="), c->pairs[i].value ? c->pairs[i].value : "");
    }
    return sum ? sum : 1;
}
