/* cdc/relation.c: see relation.h. Catalog rows, merging, the journal's form. What is computed: relation_resolve.c. */
#include "cdc/relation_internal.h"

#include <errno.h>
#include <stdio.h>

/* Schema texts of 1,600 columns need some hundred kB; enums and defaults are of the database's choosing. */
#define RELATION_BYTES_MAX (64u << 20)

#define RELATION_FORMAT 1 /* of relation_encode() */

const char relation_columns_sql[] =
    "SELECT a.attname, a.atttypid, a.atttypmod, a.attnotnull, "
    "CASE WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END, a.attgenerated <> '', "
    "coalesce((SELECT k.n FROM unnest(pk.indkey) WITH ORDINALITY k(attnum, n) "
    "WHERE k.attnum = a.attnum AND k.n <= pk.indnkeyatts), 0), "
    "coalesce((SELECT k.n FROM unnest(ri.indkey) WITH ORDINALITY k(attnum, n) "
    "WHERE k.attnum = a.attnum AND k.n <= ri.indnkeyatts), 0) "
    "FROM pg_catalog.pg_attribute a "
    "LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum "
    "LEFT JOIN pg_catalog.pg_index pk ON pk.indrelid = a.attrelid AND pk.indisprimary "
    "LEFT JOIN pg_catalog.pg_index ri ON ri.indrelid = a.attrelid AND ri.indisreplident "
    "WHERE a.attrelid = $1::pg_catalog.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

const char relation_types_sql[] =
    "WITH RECURSIVE t(oid) AS ("
    "(SELECT a.atttypid FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1::pg_catalog.oid AND a.attnum > 0 AND NOT "
    "a.attisdropped "
    "UNION SELECT unnest($2::pg_catalog.oid[])) "
    "UNION SELECT v.part FROM t JOIN pg_catalog.pg_type p ON p.oid = t.oid, "
    "LATERAL (VALUES (p.typbasetype), (p.typelem)) v(part) WHERE v.part <> 0) "
    "SELECT p.oid, p.typname, p.typtype, p.typbasetype, p.typtypmod, "
    "CASE WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_type e WHERE e.typarray = p.oid) THEN p.typelem ELSE 0 END, "
    "(SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e WHERE e.enumtypid = "
    "p.oid) "
    "FROM t JOIN pg_catalog.pg_type p ON p.oid = t.oid ORDER BY p.oid";

const char relation_tables_sql[] =
    "SELECT c.oid, n.nspname, c.relname, c.relkind, c.relreplident, c.relispartition, c.reltuples::pg_catalog.int8 "
    "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' "
    "AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%' "
    "ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\"";

/* ---- building ---- */

/* Until relation_build(), the relation under construction holds what is known: message columns or none. */
struct relation_builder {
    struct relation *relation;
    struct relation_column *catalog; /* PG_COLUMNS_MAX */
    uint32_t catalog_count;
    bool *message_keys; /* of the message's columns: part of the replica identity */
    uint32_t types_max;
};

static struct relation *relation_new(uint32_t oid, struct slice schema, struct slice table, char replica_identity)
{
    struct arena *a = xmalloc(sizeof(*a));
    arena_init(a, RELATION_BYTES_MAX);
    struct relation *r = arena_calloc(a, 1, sizeof(*r));
    assert(r);
    r->arena = a;
    r->oid = oid;
    r->replica_identity = replica_identity;
    r->schema = arena_slice_str(a, schema);
    r->table = arena_slice_str(a, table);
    return r;
}

void relation_free(struct relation *r)
{
    if (!r) return;
    struct arena *a = r->arena; /* r itself stands in it */
    arena_done(a);
    free(a);
}

static struct relation_builder *builder_new(struct relation *r)
{
    struct relation_builder *b = xcalloc(1, sizeof(*b));
    b->relation = r;
    b->catalog = xcalloc(PG_COLUMNS_MAX, sizeof(*b->catalog));
    return b;
}

struct relation_builder *relation_builder_new_stream(const struct pgoutput_relation *m)
{
    /* The schema pg_catalog is sent as an empty name. */
    struct relation *r =
        relation_new(m->oid, m->schema.len ? m->schema : SLICE("pg_catalog"), m->name, m->replica_identity);
    struct relation_builder *b = builder_new(r);

    r->columns_count = m->columns_count;
    r->columns = arena_calloc(r->arena, m->columns_count ? m->columns_count : 1, sizeof(*r->columns));
    b->message_keys = xcalloc(m->columns_count ? m->columns_count : 1, sizeof(*b->message_keys));
    assert(r->columns); /* at most PG_COLUMNS_MAX, of names of 63 bytes */
    for (uint32_t i = 0; i < m->columns_count; i++) {
        r->columns[i].name = arena_slice_str(r->arena, m->columns[i].name);
        r->columns[i].type_oid = m->columns[i].type_oid;
        r->columns[i].typmod = m->columns[i].typmod;
        b->message_keys[i] = m->columns[i].is_key;
    }
    return b;
}

struct relation_builder *relation_builder_new_snapshot(uint32_t oid, const char *schema, const char *table,
                                                       char replica_identity)
{
    struct relation *r = relation_new(oid, slice_of(schema), slice_of(table), replica_identity);

    r->snapshot = true;
    return builder_new(r);
}

void relation_builder_free(struct relation_builder *b)
{
    if (!b) return;
    relation_free(b->relation);
    free(b->catalog);
    free(b->message_keys);
    free(b);
}

uint32_t relation_builder_oid(const struct relation_builder *b)
{
    return b->relation->oid;
}

char *relation_builder_type_oids(const struct relation_builder *b)
{
    struct bytes text = {0};

    bytes_append_byte(&text, '{');
    for (uint32_t i = 0; i < b->relation->columns_count; i++) {
        char number[16];
        snprintf(number, sizeof(number), "%s%u", i ? "," : "", b->relation->columns[i].type_oid);
        bytes_append_text(&text, number);
    }
    bytes_append(&text, "}", 2);
    return (char *)text.ptr;
}

static bool field_u32(struct slice field, uint32_t *ret)
{
    int64_t v;

    if (!field.ptr || !pg_parse_int(field, 0, UINT32_MAX, &v)) return false;
    *ret = (uint32_t)v;
    return true;
}

static bool field_i32(struct slice field, int32_t *ret)
{
    int64_t v;

    if (!field.ptr || !pg_parse_int(field, INT32_MIN, INT32_MAX, &v)) return false;
    *ret = (int32_t)v;
    return true;
}

int relation_builder_add_column(struct relation_builder *b, const struct slice fields[RELATION_COLUMN_FIELDS],
                                struct err *err)
{
    struct arena *a = b->relation->arena;
    struct relation_column c = {0};

    if (b->catalog_count == PG_COLUMNS_MAX || !fields[0].ptr || !field_u32(fields[1], &c.type_oid) ||
        !field_i32(fields[2], &c.typmod) || !field_u32(fields[6], &c.pk_position) ||
        !field_u32(fields[7], &c.identity_position))
        return err_set(err, -EBADMSG, "table \"%s.%s\": unexpected catalog row of column %u", b->relation->schema,
                       b->relation->table, b->catalog_count + 1);
    c.name = arena_slice_str(a, fields[0]);
    c.not_null = slice_eq_text(fields[3], "t");
    c.default_expression = fields[4].ptr ? arena_slice_str(a, fields[4]) : NULL;
    c.generated = slice_eq_text(fields[5], "t");
    if (!c.name)
        return err_set(err, -ENOMEM, "table \"%s.%s\": its description is too large", b->relation->schema,
                       b->relation->table);
    b->catalog[b->catalog_count++] = c;
    return 0;
}

static int add_type(struct relation *r, uint32_t *types_max, const struct relation_type *t, struct err *err)
{
    if (r->types_count == *types_max) {
        uint32_t more = *types_max ? 2 * *types_max : 16;
        struct relation_type *types = arena_calloc(r->arena, more, sizeof(*types));
        if (!types) return err_set(err, -ENOMEM, "table \"%s.%s\": too many types", r->schema, r->table);
        if (r->types_count) memcpy(types, r->types, r->types_count * sizeof(*types));
        r->types = types;
        *types_max = more;
    }
    r->types[r->types_count++] = *t;
    return 0;
}

int relation_builder_add_type(struct relation_builder *b, const struct slice fields[RELATION_TYPE_FIELDS],
                              struct err *err)
{
    struct relation *r = b->relation;
    struct relation_type t = {0};

    if (!field_u32(fields[0], &t.oid) || !fields[1].ptr || fields[2].len != 1 || !field_u32(fields[3], &t.base_oid) ||
        !field_i32(fields[4], &t.base_typmod) || !field_u32(fields[5], &t.element_oid))
        return err_set(err, -EBADMSG, "table \"%s.%s\": unexpected catalog row of a type", r->schema, r->table);
    t.name = arena_slice_str(r->arena, fields[1]);
    t.kind = (char)fields[2].ptr[0];
    t.enum_labels = fields[6].ptr ? arena_slice_str(r->arena, fields[6]) : NULL;
    if (!t.name) return err_set(err, -ENOMEM, "table \"%s.%s\": too many types", r->schema, r->table);
    return add_type(r, &b->types_max, &t, err);
}

/* ---- merging ---- */

static const struct relation_column *catalog_column(const struct relation_builder *b, const char *name)
{
    for (uint32_t i = 0; i < b->catalog_count; i++)
        if (strcmp(b->catalog[i].name, name) == 0) return &b->catalog[i];
    return NULL;
}

/* What the message does not say comes from today's catalog, by name. A table that is gone from it keeps the message's
 * key. */
static void merge(struct relation_builder *b)
{
    struct relation *r = b->relation;
    uint32_t position = 0;

    if (r->snapshot) {
        r->columns = b->catalog;
        r->columns_count = b->catalog_count;
        return;
    }
    for (uint32_t i = 0; i < r->columns_count; i++) {
        struct relation_column *c = &r->columns[i];
        const struct relation_column *known = catalog_column(b, c->name);
        if (known) {
            c->not_null = known->not_null;
            c->default_expression = known->default_expression;
            c->generated = known->generated;
            c->pk_position = known->pk_position;
            c->identity_position = known->identity_position;
        } else if (b->message_keys[i] && r->replica_identity != 'f') {
            c->not_null = true; /* as key columns are */
            if (b->catalog_count == 0) c->pk_position = ++position;
        }
    }
}

int relation_build(const struct relation_builder *b, const struct pg_connector_config *config,
                   struct relation **ret_relation, struct err *err)
{
    struct bytes form = {0};
    struct relation_builder merged = *b;
    struct relation shape = *b->relation;

    /* Through the journal's form, so that a version just made and one read back cannot differ. */
    merged.relation = &shape;
    merge(&merged);
    relation_encode(&shape, &form);
    int r = form.failed
                ? err_set(err, -ENOMEM, "table \"%s.%s\": its description is too large", shape.schema, shape.table)
                : relation_decode(bytes_slice(&form), config, ret_relation, err);
    bytes_done(&form);
    return r;
}

/* ---- the journal's form (docs/cdc-relation.md) ---- */

static void put_u32(struct bytes *out, uint32_t v)
{
    uint8_t b[4];

    be32_store(b, v);
    bytes_append(out, b, sizeof(b));
}

/* Length + 1 and bytes; 0: null. */
static void put_text(struct bytes *out, const char *text)
{
    size_t len = text ? strlen(text) : 0;

    put_u32(out, text ? (uint32_t)len + 1 : 0);
    bytes_append(out, text, len);
}

#define FLAG_NOT_NULL  0x1u
#define FLAG_GENERATED 0x2u

void relation_encode(const struct relation *r, struct bytes *out)
{
    bytes_append_byte(out, RELATION_FORMAT);
    bytes_append_byte(out, (uint8_t)r->replica_identity);
    bytes_append_byte(out, r->snapshot);
    put_u32(out, r->oid);
    put_text(out, r->schema);
    put_text(out, r->table);
    put_u32(out, r->columns_count);
    for (uint32_t i = 0; i < r->columns_count; i++) {
        const struct relation_column *c = &r->columns[i];
        put_text(out, c->name);
        put_u32(out, c->type_oid);
        put_u32(out, (uint32_t)c->typmod);
        bytes_append_byte(out, (uint8_t)((c->not_null ? FLAG_NOT_NULL : 0) | (c->generated ? FLAG_GENERATED : 0)));
        put_text(out, c->default_expression);
        put_u32(out, c->pk_position);
        put_u32(out, c->identity_position);
    }
    put_u32(out, r->types_count);
    for (uint32_t i = 0; i < r->types_count; i++) {
        const struct relation_type *t = &r->types[i];
        put_u32(out, t->oid);
        put_text(out, t->name);
        bytes_append_byte(out, (uint8_t)t->kind);
        put_u32(out, t->base_oid);
        put_u32(out, (uint32_t)t->base_typmod);
        put_u32(out, t->element_oid);
        put_text(out, t->enum_labels);
    }
}

/* Fails once, then yields zeros. */
struct form_reader {
    const uint8_t *p, *end;
    struct arena *arena;
    bool failed;
};

static uint8_t get_u8(struct form_reader *f)
{
    if (f->failed || f->p == f->end) {
        f->failed = true;
        return 0;
    }
    return *f->p++;
}

static uint32_t get_u32(struct form_reader *f)
{
    if (f->failed || f->end - f->p < 4) {
        f->failed = true;
        return 0;
    }
    f->p += 4;
    return be32_load(f->p - 4);
}

static const char *get_text(struct form_reader *f)
{
    uint32_t len = get_u32(f);

    if (f->failed || len == 0) return NULL;
    if ((size_t)(f->end - f->p) < --len || memchr(f->p, 0, len)) {
        f->failed = true;
        return NULL;
    }
    f->p += len;
    const char *text = arena_slice_str(f->arena, slice_make(f->p - len, len));
    if (!text) f->failed = true;
    return text;
}

static void get_columns(struct form_reader *f, struct relation *r)
{
    r->columns_count = get_u32(f);
    if (r->columns_count > PG_COLUMNS_MAX) f->failed = true;
    if (f->failed ||
        !(r->columns = arena_calloc(r->arena, r->columns_count ? r->columns_count : 1, sizeof(*r->columns)))) {
        f->failed = true;
        return;
    }
    for (uint32_t i = 0; i < r->columns_count; i++) {
        struct relation_column *c = &r->columns[i];
        c->name = get_text(f);
        c->type_oid = get_u32(f);
        c->typmod = (int32_t)get_u32(f);
        uint8_t flags = get_u8(f);
        c->not_null = (flags & FLAG_NOT_NULL) != 0;
        c->generated = (flags & FLAG_GENERATED) != 0;
        c->default_expression = get_text(f);
        c->pk_position = get_u32(f);
        c->identity_position = get_u32(f);
        if (!c->name) f->failed = true;
    }
}

static void get_types(struct form_reader *f, struct relation *r)
{
    uint32_t count = get_u32(f), types_max = 0;

    for (uint32_t i = 0; i < count && !f->failed; i++) {
        struct relation_type t = {0};
        t.oid = get_u32(f);
        t.name = get_text(f);
        t.kind = (char)get_u8(f);
        t.base_oid = get_u32(f);
        t.base_typmod = (int32_t)get_u32(f);
        t.element_oid = get_u32(f);
        t.enum_labels = get_text(f);
        if (!t.name || add_type(r, &types_max, &t, NULL) < 0) f->failed = true;
    }
}

int relation_decode(struct slice form, const struct pg_connector_config *config, struct relation **ret_relation,
                    struct err *err)
{
    struct relation *r = relation_new(0, SLICE_EMPTY, SLICE_EMPTY, 'd');
    struct form_reader f = {.p = form.ptr, .end = form.ptr + form.len, .arena = r->arena};
    int result;

    uint8_t format = get_u8(&f);
    if (format != RELATION_FORMAT) {
        result = err_set(err, -EBADMSG, "relation version of format %u, newest known is %d", format, RELATION_FORMAT);
        goto free_relation;
    }
    r->replica_identity = (char)get_u8(&f);
    r->snapshot = get_u8(&f) != 0;
    r->oid = get_u32(&f);
    r->schema = get_text(&f);
    r->table = get_text(&f);
    get_columns(&f, r);
    get_types(&f, r);
    if (f.failed || f.p != f.end || !r->schema || !r->table) {
        result = err_set(err, -EBADMSG, "relation version is damaged at byte %td of %u", f.p - form.ptr, form.len);
        goto free_relation;
    }
    result = relation_resolve(r, config, err);
    if (result < 0) goto free_relation;
    *ret_relation = r;
    return 0;

free_relation:
    relation_free(r);
    return result;
}

/* ---- reading rows ---- */

static void put_identifier(struct bytes *out, const char *name)
{
    bytes_append_byte(out, '"');
    for (; *name; name++) {
        if (*name == '"') bytes_append_byte(out, '"');
        bytes_append_byte(out, (uint8_t)*name);
    }
    bytes_append_byte(out, '"');
}

char *relation_select_sql(const struct relation *r, bool copy)
{
    struct bytes sql = {0};

    bytes_append_text(&sql, copy ? "COPY (SELECT " : "SELECT ");
    for (uint32_t i = 0; i < r->columns_count; i++) {
        if (i) bytes_append_text(&sql, ", ");
        put_identifier(&sql, r->columns[i].name);
    }
    bytes_append_text(&sql, " FROM ");
    put_identifier(&sql, r->schema);
    bytes_append_byte(&sql, '.');
    put_identifier(&sql, r->table);
    if (copy) bytes_append_text(&sql, ") TO STDOUT");
    bytes_append_byte(&sql, '\0');
    return (char *)sql.ptr;
}
