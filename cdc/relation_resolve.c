/* cdc/relation_resolve.c: what is computed of a relation version: converters, key, schemas, constant JSON. */
#include "cdc/json_slice.h"
#include "cdc/names.h"
#include "cdc/relation_internal.h"
#include "cdc/source_block.h"
#include "cdc/transforms.h"
#include "cdc/unwrap_plan.h"

#include <errno.h>
#include <stdio.h>

/* Domains over domains over arrays ...: deeper is damage. */
#define TYPE_DEPTH_MAX 16

/* ---- types ---- */

static const struct relation_type *type_find(const struct relation *r, uint32_t oid)
{
    for (uint32_t i = 0; i < r->types_count; i++)
        if (r->types[i].oid == oid) return &r->types[i];
    return NULL;
}

/* The type behind domains. NULL: not described, or the arena is full. */
static const struct pg_type *type_resolve(struct relation *r, uint32_t oid, int32_t typmod, int depth)
{
    const struct relation_type *t = type_find(r, oid);

    while (t && t->base_oid && depth++ < TYPE_DEPTH_MAX) {
        if (typmod < 0) typmod = t->base_typmod;
        oid = t->base_oid;
        t = type_find(r, oid);
    }
    struct pg_type *type = arena_calloc(r->arena, 1, sizeof(*type));
    if (!type || depth >= TYPE_DEPTH_MAX) return NULL;
    *type = (struct pg_type){.oid = oid, .typmod = typmod, .kind = 'b'};
    if (!t) return type; /* a type dropped meanwhile: known by its oid, or not shown */
    type->name = t->name;
    type->kind = t->kind;
    type->enum_labels = t->enum_labels;
    if (t->element_oid && !(type->element = type_resolve(r, t->element_oid, typmod, depth + 1))) return NULL;
    return type;
}

/* ---- columns ---- */

static bool column_selected(const struct relation *r, const char *name)
{
    const struct pg_connector_config *config = r->config;
    char full[3 * 64 + 3]; /* names of the database have at most 63 bytes */

    if (!config->column_include && !config->column_exclude) return true;
    snprintf(full, sizeof(full), "%s.%s.%s", r->schema, r->table, name);
    if (config->column_include) return name_filter_matches(config->column_include, full);
    return !name_filter_matches(config->column_exclude, full);
}

/* replace: null where the schema has a default is written as the default (replace.null.with.default). */
static bool resolve_column_json(const struct relation *r, const struct relation_column *c, bool replace,
                                enum decimal_format decimals, struct column_json *ret)
{
    const struct pg_converter *converter = c->converter;
    const struct connect_value null = {.kind = VALUE_NULL}, *instead = &null;

    if (c->not_null)
        instead = converter->schema->default_value ? converter->schema->default_value : &converter->neutral;
    else if (converter->schema->default_value && replace) instead = converter->schema->default_value;
    ret->null = json_slice_value(r->arena, instead, converter->schema, decimals);
    ret->unavailable = converter->unavailable.kind == VALUE_NULL
                           ? ret->null
                           : json_slice_value(r->arena, &converter->unavailable, converter->schema, decimals);
    return ret->null.ptr && ret->unavailable.ptr;
}

static bool resolve_column(struct relation *r, struct relation_column *c)
{
    const struct pg_type *type = type_resolve(r, c->type_oid, c->typmod, 0);
    if (!type) return false;
    struct pg_converter *converter = pg_converter_new(r->arena, r->config, type, !c->not_null, r->snapshot);

    c->converter = converter;
    c->captured = converter && column_selected(r, c->name);
    if (!converter) return true;
    c->field_name = name_field(r->arena, r->config->field_name_adjust, c->name);
    if (!c->field_name) return false;
    c->json_name = json_slice_name(r->arena, c->field_name);

    struct connect_value *value = arena_calloc(r->arena, 1, sizeof(*value));
    if (!value) return false;
    if (c->default_expression && !c->generated && pg_default_value(converter, c->default_expression, r->arena, value))
        converter->schema->default_value = value;

    const struct unwrap *unwrap = transform_chain_unwrap(r->config->transforms);
    bool replace = r->config->replace_null_with_default || (unwrap && unwrap_replaces_null(unwrap));
    return c->json_name.ptr && resolve_column_json(r, c, replace, r->config->value_decimals, &c->in_value) &&
           resolve_column_json(r, c, r->config->key_replace_null_with_default, r->config->key_decimals, &c->in_key);
}

/* ---- key ---- */

static int column_index(const struct relation *r, const char *name)
{
    for (uint32_t i = 0; i < r->columns_count; i++)
        if (strcmp(r->columns[i].name, name) == 0) return (int)i;
    return -1;
}

static void add_key(struct relation *r, uint32_t column)
{
    if (r->columns[column].converter) r->key[r->key_count++] = column;
}

/* message.key.columns, else the primary key, else the index of the replica identity. */
static bool resolve_key(struct relation *r)
{
    char full[2 * 64 + 2];

    r->key = arena_calloc(r->arena, r->columns_count ? r->columns_count : 1, sizeof(*r->key));
    if (!r->key) return false;
    snprintf(full, sizeof(full), "%s.%s", r->schema, r->table);
    for (uint32_t i = 0; i < r->config->key_rules_count; i++) {
        const struct key_columns_rule *rule = &r->config->key_rules[i];
        if (!name_filter_matches(rule->table, full)) continue;
        for (uint32_t k = 0; k < rule->columns_count && r->key_count < r->columns_count; k++) {
            int column = column_index(r, rule->columns[k]);
            if (column >= 0) add_key(r, (uint32_t)column);
        }
        return true;
    }
    for (int from_identity = 0; from_identity < 2 && r->key_count == 0; from_identity++) {
        for (uint32_t position = 1; position <= r->columns_count; position++) {
            for (uint32_t i = 0; i < r->columns_count; i++) {
                const struct relation_column *c = &r->columns[i];
                if ((from_identity ? c->identity_position : c->pk_position) == position &&
                    r->key_count < r->columns_count)
                    add_key(r, i);
            }
        }
    }
    return true;
}

/* ---- schemas ---- */

static bool resolve_envelope(struct relation *r, const char *name)
{
    struct arena *a = r->arena;
    bool v3 = r->config->profile == FORMAT_3;
    struct connect_schema *e = connect_schema_struct(a, false, name, v3 ? 2 : 1, 8),
                          *source = source_schema(a, r->config), *transaction = transaction_schema(a);

    if (!e || !source || !transaction) return false;
    r->envelope_schema = e;
    connect_schema_field(e, "before", r->value_schema);
    connect_schema_field(e, "after", r->value_schema);
    connect_schema_field(e, "source", source);
    if (v3) connect_schema_field(e, "transaction", transaction);
    if (!connect_schema_leaf(a, e, "op", CONNECT_STRING, false) ||
        !connect_schema_leaf(a, e, "ts_ms", CONNECT_INT64, true))
        return false;
    if (v3)
        return connect_schema_leaf(a, e, "ts_us", CONNECT_INT64, true) &&
               connect_schema_leaf(a, e, "ts_ns", CONNECT_INT64, true);
    connect_schema_field(e, "transaction", transaction);
    return true;
}

static const char *schema_name(struct relation *r, const char *topic, const char *suffix)
{
    const char *plain = arena_printf(r->arena, "%s.%s", topic, suffix);

    return plain ? name_schema(r->arena, r->config->schema_name_adjust, plain) : NULL;
}

static bool resolve_schemas(struct relation *r, const char *topic)
{
    struct arena *a = r->arena;
    const char *key_name = schema_name(r, topic, "Key"), *value_name = schema_name(r, topic, "Value"),
               *envelope_name = schema_name(r, topic, "Envelope");
    if (!key_name || !value_name || !envelope_name) return false;

    if (r->key_count) {
        struct connect_schema *key = connect_schema_struct(a, false, key_name, 0, r->key_count);
        if (!key) return false;
        for (uint32_t i = 0; i < r->key_count; i++) {
            const struct relation_column *c = &r->columns[r->key[i]];
            connect_schema_field(key, c->field_name, c->converter->schema);
        }
        r->key_schema = key;
    }
    struct connect_schema *value = connect_schema_struct(a, true, value_name, 0, r->columns_count);
    if (!value) return false;
    for (uint32_t i = 0; i < r->columns_count; i++)
        if (r->columns[i].captured)
            connect_schema_field(value, r->columns[i].field_name, r->columns[i].converter->schema);
    r->value_schema = value;
    return resolve_envelope(r, envelope_name);
}

static bool resolve_json(struct relation *r)
{
    struct bytes text = {0};

    r->json_key_head = r->key_schema && r->config->key_schemas
                           ? json_slice_schema(r->arena, r->key_schema, r->config->key_decimals)
                           : SLICE_EMPTY;
    r->json_value_head = r->config->value_schemas
                             ? json_slice_schema(r->arena, r->envelope_schema, r->config->value_decimals)
                             : SLICE_EMPTY;
    source_json_table(r->schema, r->table, &text);
    r->json_source_table = json_slice_keep(r->arena, &text);
    return r->json_key_head.ptr && r->json_value_head.ptr && r->json_source_table.ptr;
}

int relation_resolve(struct relation *r, const struct pg_connector_config *config, struct err *err)
{
    r->config = config;
    r->captured = connector_config_captures(config, r->schema, r->table);
    const char *topic = name_topic(r->arena, config, r->schema, r->table);
    if (!topic) goto full;
    for (uint32_t i = 0; i < r->columns_count; i++)
        if (!resolve_column(r, &r->columns[i])) goto full;
    if (!resolve_key(r) || !resolve_schemas(r, topic) || !resolve_json(r)) goto full;
    r->topic = transform_chain_topic(config->transforms, r->arena, topic);
    if (!r->topic) goto full;
    if (transform_chain_unwrap(config->transforms)) {
        r->unwrap = unwrap_plan_new(r, transform_chain_unwrap(config->transforms));
        if (!r->unwrap) goto full;
    }
    return 0;

full:
    return err_set(err, -ENOMEM, "table \"%s.%s\": its schema is too large", r->schema, r->table);
}
