/* cdc/unwrap_plan.c: see unwrap_plan.h. */
#include "cdc/unwrap_plan.h"

#include "base/json_writer.h"
#include "cdc/json_slice.h"
#include "cdc/source_block.h"
#include "cdc/transforms.h"

static const struct connect_schema *field_of(const struct connect_schema *s, const char *name)
{
    for (uint32_t i = 0; i < s->fields_count; i++)
        if (strcmp(s->fields[i].name, name) == 0) return s->fields[i].schema;
    return NULL;
}

/* Finds a path in the envelope: "op", "source.lsn"; a name without a block is one of the transaction's, one of the envelope's or one of
 * the source's. Returns the schema of what it names; NULL: nothing, such paths add nothing. */
static const struct connect_schema *find(const struct connect_schema *envelope, const char *path,
                                         struct unwrap_item *item)
{
    static const char *const of_transaction[] = {"id", "total_order", "data_collection_order"};
    const struct connect_schema *source = field_of(envelope, "source"),
                                *transaction = field_of(envelope, "transaction"), *found;
    bool in_transaction = strncmp(path, "transaction.", 12) == 0;

    item->field = strchr(path, '.') ? strchr(path, '.') + 1 : path;
    for (size_t i = 0; i < countof(of_transaction); i++)
        in_transaction = in_transaction || strcmp(path, of_transaction[i]) == 0;
    if (in_transaction) {
        item->kind = ITEM_TRANSACTION;
        return transaction ? field_of(transaction, item->field) : NULL;
    }
    if (item->field == path && (found = field_of(envelope, path)) && found->type != CONNECT_STRUCT) {
        item->kind = strcmp(path, "op") == 0      ? ITEM_OP
                     : strcmp(path, "ts_us") == 0 ? ITEM_TS_US
                     : strcmp(path, "ts_ns") == 0 ? ITEM_TS_NS
                                                  : ITEM_TS_MS;
        return found;
    }
    item->kind = ITEM_SOURCE;
    return field_of(source, item->field);
}

/* Items of the configured fields that exist; adds them to the schema unless it is NULL. */
static bool resolve(const struct relation *r, const struct unwrap_field *fields, uint32_t count,
                    struct connect_schema *schema, struct unwrap_item **ret_items, uint32_t *ret_count)
{
    struct unwrap_item *items = arena_calloc(r->arena, count ? count : 1, sizeof(*items));
    uint32_t found = 0;

    if (!items) return false;
    for (uint32_t i = 0; i < count; i++) {
        struct unwrap_item *item = &items[found];
        const struct connect_schema *of = find(r->envelope_schema, fields[i].path, item);
        if (!of) continue;
        item->name = fields[i].name;
        item->json_name = json_slice_name(r->arena, fields[i].name);
        struct connect_schema *copy = connect_schema_new(r->arena, of->type, true);
        if (!item->json_name.ptr || !copy) return false;
        *copy = *of;
        copy->optional = true;
        copy->default_value = NULL;
        if (schema) connect_schema_field(schema, item->name, copy);
        found++;
    }
    *ret_items = items;
    *ret_count = found;
    return true;
}

/* The column that rows are routed by: a string of the row. Its absence concerns rows of this table only, as in Debezium. */
static bool resolve_route(const struct relation *r, const char *field, struct unwrap_plan *p)
{
    p->route_column = -1;
    if (!field) return true;
    for (uint32_t i = 0; i < r->columns_count && p->route_column < 0; i++)
        if (r->columns[i].captured && strcmp(r->columns[i].field_name, field) == 0) p->route_column = (int)i;
    if (p->route_column < 0) {
        p->route_error = arena_printf(r->arena, "%s is not a valid field name", field);
        return p->route_error != NULL;
    }
    const struct relation_column *c = &r->columns[p->route_column];
    if (c->converter->schema->type != CONNECT_STRING) {
        p->route_column = -1;
        p->route_error = arena_printf(r->arena, "Field '%s' is not of type STRING", field);
        return p->route_error != NULL;
    }
    const struct connect_value *otherwise = c->not_null ? c->converter->schema->default_value : NULL;
    p->route_null = otherwise && otherwise->kind == VALUE_STRING ? otherwise->text : SLICE_EMPTY;
    return true;
}

struct unwrap_plan *unwrap_plan_new(const struct relation *r, const struct unwrap *unwrap)
{
    const struct connect_schema *row = r->value_schema;
    struct unwrap_plan *p = arena_calloc(r->arena, 1, sizeof(*p));
    struct connect_schema *flat =
        connect_schema_struct(r->arena, false, row->name, 0, row->fields_count + unwrap->fields_count + 1);

    if (!p || !flat) return NULL;
    p->unwrap = unwrap;
    p->schema = flat;
    for (uint32_t i = 0; i < row->fields_count; i++)
        connect_schema_field(flat, row->fields[i].name, row->fields[i].schema);
    if (unwrap->deletes.rewrite && !connect_schema_leaf(r->arena, flat, "__deleted", CONNECT_STRING, true)) return NULL;
    if (!resolve(r, unwrap->fields, unwrap->fields_count, flat, &p->fields, &p->fields_count) ||
        !resolve(r, unwrap->headers, unwrap->headers_count, NULL, &p->headers, &p->headers_count) ||
        !resolve_route(r, unwrap->route_by_field, p))
        return NULL;
    p->json_head =
        r->config->value_schemas ? json_slice_schema(r->arena, flat, r->config->value_decimals) : SLICE_EMPTY;
    if (r->config->value_schemas && r->config->debezium_defects && r->config->profile == FORMAT_3) {
        struct bytes text = {0};
        bytes_append_slice(&text, json_slice_schema(r->arena, row, r->config->value_decimals));
        bytes_append_text(&text, "null}");
        p->json_null_value = text.failed ? SLICE_NULL : arena_slice_dup(r->arena, bytes_slice(&text));
        bytes_done(&text);
        if (!p->json_null_value.ptr) return NULL;
    }
    return p->json_head.ptr ? p : NULL;
}

void unwrap_item_json(const struct unwrap_item *item, const struct relation *r, char op,
                      const struct source_position *position, struct bytes *out)
{
    switch (item->kind) {
    case ITEM_OP: json_write_string(out, slice_make(&op, 1)); break;
    case ITEM_TS_MS: json_write_int64(out, position->now_ns / 1000000); break;
    case ITEM_TS_US: json_write_int64(out, position->now_ns / 1000); break;
    case ITEM_TS_NS: json_write_int64(out, position->now_ns); break;
    case ITEM_SOURCE: source_json_field(out, r->config, r->schema, r->table, position, item->field); break;
    case ITEM_TRANSACTION: assert(false); break;
    }
}
