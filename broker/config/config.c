/* broker/config/config.c: see config.h. */
#include "broker/config/config.h"

#include "base/log.h"
#include "base/properties.h"
#include "broker/net/connection_limits.h"
#include "broker/metadata/metadata.h"
#include "broker/state.h"
#include "protocol/compress.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>

#define DURABILITY_STRICT "strict"

/* -- lists -- */

/* Index of name, or ~index where it belongs. */
static int list_find(const struct config_list *l, const char *name)
{
    int low = 0, high = (int)l->count;
    while (low < high) {
        int middle = (low + high) / 2;
        int order = strcmp(l->entries[middle].name, name);
        if (order == 0) return middle;
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return ~low;
}

const char *config_list_get(const struct config_list *l, const char *name)
{
    if (!l) return NULL;
    int i = list_find(l, name);
    return i < 0 ? NULL : l->entries[i].value;
}

static void entry_done(struct config_entry *e)
{
    free((char *)(uintptr_t)e->name);
    free((char *)(uintptr_t)e->value);
}

void config_list_set(struct config_list *l, const char *name, const char *value)
{
    int i = list_find(l, name);

    if (i >= 0 && value) {
        char *copy = xstrdup(value);
        free((char *)(uintptr_t)l->entries[i].value);
        l->entries[i].value = copy;
    } else if (i >= 0) {
        entry_done(&l->entries[i]);
        l->count--;
        memmove(&l->entries[i], &l->entries[i + 1], (l->count - (uint32_t)i) * sizeof *l->entries);
    } else if (value) {
        i = ~i;
        l->entries = xrealloc(l->entries, (l->count + 1) * sizeof *l->entries);
        memmove(&l->entries[i + 1], &l->entries[i], (l->count - (uint32_t)i) * sizeof *l->entries);
        l->entries[i] = (struct config_entry){.name = xstrdup(name), .value = xstrdup(value)};
        l->count++;
    }
}

struct config_list config_list_copy(const struct config_list *l)
{
    struct config_list copy = {0};
    if (!l || l->count == 0) return copy;
    copy.entries = xcalloc(l->count, sizeof *copy.entries);
    copy.count = l->count;
    for (uint32_t i = 0; i < l->count; i++)
        copy.entries[i] =
            (struct config_entry){.name = xstrdup(l->entries[i].name), .value = xstrdup(l->entries[i].value)};
    return copy;
}

void config_list_done(struct config_list *l)
{
    for (uint32_t i = 0; i < l->count; i++) entry_done(&l->entries[i]);
    free(l->entries);
    *l = (struct config_list){0};
}

/* -- the broker's options -- */

struct broker_config *broker_config_new(void)
{
    struct broker_config *c = xcalloc(1, sizeof *c);
    option_defaults(broker_options, broker_options_count, c);
    return c;
}

struct broker_config *broker_config_copy(const struct broker_config *c)
{
    struct broker_config *copy = xcalloc(1, sizeof *copy);
    option_copy(broker_options, broker_options_count, copy, c);
    copy->given = config_list_copy(&c->given);
    return copy;
}

void broker_config_free(struct broker_config *c)
{
    if (!c) return;
    options_done(broker_options, broker_options_count, c);
    config_list_done(&c->given);
    free(c);
}

/* 0 lies between the bounds, but is no level. */
static bool gzip_level_check(const struct option *row, const char *text, struct err *err)
{
    char *end;
    long level = strtol(text, &end, 10);

    if (strcmp(row->name, "compression.gzip.level") != 0 || *end || level == -1 || (level >= 1 && level <= 9))
        return true;
    err_set(err, -EINVAL, "Invalid value %s for configuration %s: Value must be between 1 and 9 or equal to -1", text,
            row->name);
    return false;
}

bool broker_option_check(const struct option *row, const char *text, struct err *err)
{
    if (!gzip_level_check(row, text, err) || !option_check(row, text, err)) return false;
    if (strcmp(row->name, "max.connections.per.ip.overrides") == 0) return connection_overrides_check(text, err) == 0;
    if (strcmp(row->name, "authorizer.class.name") == 0 && *text && !strstr(text, "StandardAuthorizer")) {
        err_set(err, -EINVAL, "%s=%s: only org.apache.kafka.metadata.authorizer.StandardAuthorizer is there", row->name,
                text);
        return false;
    }
    return true;
}

int broker_config_set(struct broker_config *c, const char *name, const char *value, struct err *err)
{
    if (strcmp(name, "broker.id") == 0) name = "node.id"; /* its name before KRaft */
    const struct option *row = option_find(broker_options, broker_options_count, name);

    if (!row) return err_set(err, -EINVAL, "unknown option %s (`ottla --list-options` shows all)", name);
    if (!broker_option_check(row, value, err) || !option_set(row, c, value, err)) return -EINVAL;
    config_list_set(&c->given, name, value);
    return 0;
}

static int set_line(void *arg, const char *key, const char *value, int line)
{
    struct {
        struct broker_config *config;
        struct err *err;
    } *target = arg;
    int r = broker_config_set(target->config, key, value, target->err);
    if (r < 0) err_prefix(target->err, "line %d", line);
    return r;
}

int broker_config_read(struct broker_config *c, const char *path, struct err *err)
{
    struct {
        struct broker_config *config;
        struct err *err;
    } target = {c, err};
    return properties_read(path, set_line, &target, err);
}

void broker_config_report(const struct broker_config *c)
{
    for (uint32_t i = 0; i < c->given.count; i++) {
        const struct option *row = option_find(broker_options, broker_options_count, c->given.entries[i].name);
        if (row->flags & OPTION_UNUSED) log_warn("config", "option has no effect here name=%s", row->name);
    }
}

struct broker_config_ref {
    atomic_uint refs;
    struct broker_config *config;
};

struct broker_config_ref *broker_config_ref_new(struct broker_config *c)
{
    struct broker_config_ref *r = xcalloc(1, sizeof *r);
    r->config = c;
    atomic_init(&r->refs, 1);
    return r;
}

struct broker_config_ref *broker_config_ref_get(struct broker_config_ref *r)
{
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

void broker_config_ref_put(struct broker_config_ref *r)
{
    if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) > 1) return;
    broker_config_free(r->config);
    free(r);
}

const struct broker_config *broker_config_ref_config(const struct broker_config_ref *r)
{
    return r->config;
}

static void apply_dynamic(struct broker_config *c, const struct config_list *l)
{
    for (uint32_t i = 0; l && i < l->count; i++) {
        const struct option *row = option_find(broker_options, broker_options_count, l->entries[i].name);
        struct err err;
        if (row && !option_set(row, c, l->entries[i].value, &err))
            log_warn("config", "dynamic value is not taken: %s", err.text);
    }
}

struct broker_config *broker_config_with(const struct broker_config *file, const struct config_list *all,
                                         const struct config_list *own)
{
    struct broker_config *c = broker_config_copy(file);
    apply_dynamic(c, all);
    apply_dynamic(c, own);
    return c;
}

/* -- topics -- */

const struct topic_option *topic_option_find(const char *name)
{
    for (size_t i = 0; i < topic_options_count; i++)
        if (strcmp(topic_options[i].option.name, name) == 0) return &topic_options[i];
    return NULL;
}

/* "*" or "PARTITION:BROKER,..." */
static bool is_replica_list(const char *text)
{
    struct slice element;

    if (strcmp(text, "*") == 0) return true;
    for (const char *p = text; option_list_next(&p, &element);) {
        AUTO_FREE char *pair = slice_strdup(element);
        size_t partition = strspn(pair, "0123456789");
        const char *broker = pair + partition + 1;
        if (partition == 0 || pair[partition] != ':' || !*broker || broker[strspn(broker, "0123456789")]) return false;
    }
    return true;
}

bool topic_option_check(const struct option *row, const char *text, struct err *err)
{
    const char *name = row->name;

    if (!gzip_level_check(row, text, err) || !option_check(row, text, err)) return false;
    if (strcmp(name, "remote.storage.enable") == 0 && strcasecmp(text, "true") == 0) {
        err_set(err, -EINVAL,
                "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log "
                "storage.");
        return false;
    }
    if (strstr(name, ".replication.throttled.replicas") && !is_replica_list(text)) {
        err_set(err, -EINVAL,
                "Invalid value [%s] for configuration %s: %s must be the literal '*' or a list of replicas in the "
                "following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
                text, name, name);
        return false;
    }
    return true;
}

/* The value that a topic inherits, to be freed; NULL: none of its synonyms is set. */
static char *inherited_text(const struct topic_option *t, const struct broker_config *config)
{
    for (size_t i = 0; i < countof(t->synonyms) && t->synonyms[i].name; i++) {
        const struct option *row = option_find(broker_options, broker_options_count, t->synonyms[i].name);
        if (!row) continue;
        AUTO_FREE char *text = option_text(row, config);
        if (!text) continue;
        if (t->synonyms[i].multiplier == 1) return xstrdup(text);
        long long value = strtoll(text, NULL, 10);
        return xasprintf("%lld", value < 0 ? -1 : value * (long long)t->synonyms[i].multiplier);
    }
    return NULL;
}

/* The value in force as text; *ret_text is to be freed when not NULL. */
static const char *topic_value(const char *name, const struct config_list *own, const struct broker_config *config,
                               char **ret_text)
{
    const struct topic_option *t = topic_option_find(name);
    const char *value = config_list_get(own, name);

    *ret_text = NULL;
    if (value) return value;
    *ret_text = inherited_text(t, config);
    return *ret_text ? *ret_text : t->option.default_text;
}

int64_t topic_config_integer(const char *name, const struct config_list *own, const struct broker_config *config)
{
    AUTO_FREE char *text;
    const char *value = topic_value(name, own, config, &text);
    return value ? strtoll(value, NULL, 10) : OPTION_UNSET;
}

static double topic_config_double(const char *name, const struct config_list *own, const struct broker_config *config)
{
    AUTO_FREE char *text;
    const char *value = topic_value(name, own, config, &text);
    return value ? strtod(value, NULL) : 0;
}

static bool topic_list_has(const char *name, const char *word, const struct config_list *own,
                           const struct broker_config *config)
{
    AUTO_FREE char *text;
    return option_list_has(topic_value(name, own, config, &text), word);
}

void topic_config_resolve(const struct config_list *own, const struct broker_config *config, struct log_config *ret)
{
    AUTO_FREE char *text;

    log_config_default(ret);
    ret->segment_bytes = topic_config_integer("segment.bytes", own, config);
    int64_t internal_segment_bytes = topic_config_integer("internal.segment.bytes", own, config);
    if (internal_segment_bytes > 0) ret->segment_bytes = internal_segment_bytes;
    ret->segment_ms = topic_config_integer("segment.ms", own, config);
    ret->segment_jitter_ms = topic_config_integer("segment.jitter.ms", own, config);
    ret->segment_index_bytes = topic_config_integer("segment.index.bytes", own, config);
    ret->index_interval_bytes = topic_config_integer("index.interval.bytes", own, config);
    ret->retention_ms = topic_config_integer("retention.ms", own, config);
    ret->retention_bytes = topic_config_integer("retention.bytes", own, config);
    ret->max_message_bytes = topic_config_integer("max.message.bytes", own, config);
    ret->flush_messages = topic_config_integer("flush.messages", own, config);
    ret->flush_ms = topic_config_integer("flush.ms", own, config);
    ret->file_delete_delay_ms = topic_config_integer("file.delete.delay.ms", own, config);
    ret->message_timestamp_before_max_ms = topic_config_integer("message.timestamp.before.max.ms", own, config);
    ret->message_timestamp_after_max_ms = topic_config_integer("message.timestamp.after.max.ms", own, config);
    ret->log_append_time = topic_list_has("message.timestamp.type", "LogAppendTime", own, config);
    ret->cleanup_delete = topic_list_has("cleanup.policy", "delete", own, config);
    ret->cleanup_compact = topic_list_has("cleanup.policy", "compact", own, config);
    ret->min_compaction_lag_ms = topic_config_integer("min.compaction.lag.ms", own, config);
    ret->max_compaction_lag_ms = topic_config_integer("max.compaction.lag.ms", own, config);
    ret->delete_retention_ms = topic_config_integer("delete.retention.ms", own, config);
    ret->min_cleanable_ratio = topic_config_double("min.cleanable.dirty.ratio", own, config);
    /* What is in the active segment is not compacted: it must not stay that for longer. */
    if (ret->cleanup_compact) ret->segment_ms = MIN(ret->segment_ms, ret->max_compaction_lag_ms);
    ret->strict = topic_list_has("ottla.durability", DURABILITY_STRICT, own, config);

    enum compression_codec codec;
    ret->compression_codec =
        compression_parse(topic_value("compression.type", own, config, &text), &codec) ? (int8_t)codec : -1;
}

struct log_cleaner_config broker_cleaner_config(const struct broker_config *c)
{
    return (struct log_cleaner_config){.enable = c->log_cleaner_enable,
                                       .backoff_ms = c->log_cleaner_backoff_ms,
                                       .dedupe_buffer_bytes = c->log_cleaner_dedupe_buffer_size,
                                       .load_factor = c->log_cleaner_io_buffer_load_factor,
                                       .bytes_per_second_max = c->log_cleaner_io_max_bytes_per_second};
}

void broker_configure_log_dir(const struct broker_config *c, struct log_dir *dir)
{
    struct log_cleaner_config cleaner = broker_cleaner_config(c);
    log_dir_set_cleaner(dir, &cleaner);
    log_dir_set_intervals(dir, c->log_flush_interval_ms, c->producer_id_expiration_ms);
}

/* -- what DescribeConfigs tells -- */

#define SYNONYMS_MAX 8 /* own, and for up to three broker options dynamic, dynamic default or static; and the default */

struct describer {
    struct arena *arena;
    const struct broker_config *file;
    const struct config_list *dynamic_all;
    const struct config_list *dynamic_own;
    bool full; /* of the arena */
};

static bool is_sensitive(const struct option *row)
{
    return row->type == OPTION_PASSWORD;
}

static const char *arena_text(struct describer *d, const char *text)
{
    const char *copy = arena_strdup(d->arena, text);
    if (text && !copy) d->full = true;
    return copy;
}

static void add_synonym(struct describer *d, struct config_value *v, const char *name, const char *value,
                        enum config_source source)
{
    if (v->synonyms_count == SYNONYMS_MAX) return;
    if (v->synonyms_count == 0) {
        v->value = v->sensitive ? NULL : arena_text(d, value);
        v->source = source;
    }
    v->synonyms[v->synonyms_count++] =
        (struct config_synonym){.name = name, .value = v->sensitive ? NULL : arena_text(d, value), .source = source};
}

/* The places where a broker option may have its value, in order of precedence. */
static void add_broker_synonyms(struct describer *d, struct config_value *v, const struct option *row,
                                int64_t multiplier, bool with_default)
{
    const struct {
        const char *value;
        enum config_source source;
    } places[] = {
        {config_list_get(d->dynamic_own, row->name), CONFIG_SOURCE_DYNAMIC_BROKER},
        {config_list_get(d->dynamic_all, row->name), CONFIG_SOURCE_DYNAMIC_DEFAULT},
        {config_list_get(&d->file->given, row->name), CONFIG_SOURCE_STATIC},
        {with_default ? row->default_text : NULL, CONFIG_SOURCE_DEFAULT},
    };
    for (size_t i = 0; i < countof(places); i++) {
        if (!places[i].value) continue;
        if (multiplier == 1) {
            add_synonym(d, v, row->name, places[i].value, places[i].source);
        } else {
            long long value = strtoll(places[i].value, NULL, 10);
            AUTO_FREE char *text = xasprintf("%lld", value < 0 ? -1 : value * (long long)multiplier);
            add_synonym(d, v, row->name, text, places[i].source);
        }
    }
}

static struct config_value *values_begin(struct describer *d, size_t count)
{
    struct config_value *values = arena_calloc(d->arena, count, sizeof *values);
    if (!values) d->full = true;
    return values;
}

static bool value_begin(struct describer *d, struct config_value *v, const struct option *row)
{
    *v = (struct config_value){.option = row, .source = CONFIG_SOURCE_DEFAULT, .sensitive = is_sensitive(row)};
    v->synonyms = arena_calloc(d->arena, SYNONYMS_MAX, sizeof *v->synonyms);
    if (!v->synonyms) d->full = true;
    return v->synonyms;
}

static struct describer describer_of(const struct metadata *m, const struct broker_config *file, struct arena *a)
{
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)file->node_id);
    return (struct describer){
        .arena = a,
        .file = file,
        .dynamic_all = metadata_resource_config(m, CONFIG_RESOURCE_BROKER, SLICE_EMPTY),
        .dynamic_own = metadata_resource_config(m, CONFIG_RESOURCE_BROKER, slice_of(id)),
    };
}

int32_t config_describe_topic(const struct metadata *m, const struct metadata_topic *t, struct arena *a,
                              struct config_value **ret)
{
    struct describer d = describer_of(m, m->config, a);
    struct config_value *values = values_begin(&d, topic_options_count);
    int32_t count = 0;

    for (size_t i = 0; i < topic_options_count && !d.full; i++) {
        const struct topic_option *o = &topic_options[i];
        const char *own = config_list_get(&t->config, o->option.name);

        if (o->option.flags & OPTION_HIDDEN && !own) continue;
        if (!value_begin(&d, &values[count], &o->option)) break;
        struct config_value *v = &values[count++];
        if (own) add_synonym(&d, v, o->option.name, own, CONFIG_SOURCE_TOPIC);
        for (size_t s = 0; s < countof(o->synonyms) && o->synonyms[s].name; s++) {
            const struct option *row = option_find(broker_options, broker_options_count, o->synonyms[s].name);
            /* As Kafka shows it: a default is a synonym only where the first name has one. */
            if (row) add_broker_synonyms(&d, v, row, o->synonyms[s].multiplier, s == 0);
        }
        if (!v->synonyms_count && o->option.default_text) v->value = arena_text(&d, o->option.default_text);
    }
    if (d.full) return -1;
    *ret = values;
    return count;
}

int32_t config_describe_broker(struct broker *b, const struct metadata *m, struct arena *a, struct config_value **ret)
{
    struct describer d = describer_of(m, b->config, a);
    struct config_value *values = values_begin(&d, broker_options_count);
    int32_t count = 0;

    for (size_t i = 0; i < broker_options_count && !d.full; i++) {
        const struct option *row = &broker_options[i];
        if (row->flags & OPTION_INTERNAL && !config_list_get(&d.file->given, row->name)) continue;
        if (!value_begin(&d, &values[count], row)) break;
        struct config_value *v = &values[count++];
        v->read_only = !(row->flags & OPTION_LIVE);
        add_broker_synonyms(&d, v, row, 1, true);
    }
    if (d.full) return -1;
    *ret = values;
    return count;
}

int32_t config_describe_broker_default(const struct metadata *m, struct arena *a, struct config_value **ret)
{
    struct describer d = describer_of(m, m->config, a);
    uint32_t set_count = d.dynamic_all ? d.dynamic_all->count : 0;
    struct config_value *values = values_begin(&d, set_count + 1);
    int32_t count = 0;

    for (uint32_t i = 0; i < set_count && !d.full; i++) {
        const struct option *row = option_find(broker_options, broker_options_count, d.dynamic_all->entries[i].name);
        if (!row) continue;
        if (!value_begin(&d, &values[count], row)) break;
        add_synonym(&d, &values[count++], row->name, d.dynamic_all->entries[i].value, CONFIG_SOURCE_DYNAMIC_DEFAULT);
    }
    if (d.full) return -1;
    *ret = values;
    return count;
}
