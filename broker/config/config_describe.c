/* broker/config/config_describe.c: what DescribeConfigs tells: values, where they come from, which others they hide
 * (synonyms). Threads: any. */
#include "broker/config/config.h"

#include "broker/state.h"

#include <errno.h>
#include <stdio.h>

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
