/* cdc/source_block.c: see source_block.h. */
#include "cdc/source_block.h"

#include "base/json_writer.h"
#include "cdc/connect_value.h"

static const char *const marker_names[] = {
    [SNAPSHOT_FALSE] = "false",
    [SNAPSHOT_TRUE] = "true",
    [SNAPSHOT_FIRST] = "first",
    [SNAPSHOT_FIRST_IN_DATA_COLLECTION] = "first_in_data_collection",
    [SNAPSHOT_LAST_IN_DATA_COLLECTION] = "last_in_data_collection",
    [SNAPSHOT_LAST] = "last",
    [SNAPSHOT_INCREMENTAL] = "incremental",
};

/* ---- what each field holds ---- */

struct context {
    const struct pg_connector_config *config;
    const char *schema, *table;
    const struct source_position *position;
};

static void write_version(struct bytes *out, const struct context *c)
{
    json_write_string(out, slice_of(c->config->version));
}
static void write_connector(struct bytes *out, const struct context *c)
{
    bytes_append_text(out, "\"postgresql\"");
}
static void write_name(struct bytes *out, const struct context *c)
{
    json_write_string(out, slice_of(c->config->topic_prefix));
}
static void write_ts_ms(struct bytes *out, const struct context *c)
{
    json_write_int64(out, c->position->time_us / 1000);
}
static void write_ts_us(struct bytes *out, const struct context *c)
{
    json_write_int64(out, c->position->time_us);
}
static void write_ts_ns(struct bytes *out, const struct context *c)
{
    json_write_int64(out, c->position->time_us * 1000);
}
/* A change of the stream has none: what is shown is the default of the schema. */
static void write_snapshot(struct bytes *out, const struct context *c)
{
    if (c->position->marker == SNAPSHOT_FALSE && !c->config->replace_null_with_default) {
        json_write_null(out);
        return;
    }
    bytes_append_byte(out, '"');
    bytes_append_text(out, marker_names[c->position->marker]);
    bytes_append_byte(out, '"');
}
static void write_db(struct bytes *out, const struct context *c)
{
    json_write_string(out, slice_of(c->config->dbname));
}
/* A JSON array within a string: [last commit, this event], each a string or null. */
static void write_sequence(struct bytes *out, const struct context *c)
{
    if (c->position->last_commit_lsn) {
        bytes_append_text(out, "\"[\\\"");
        json_write_uint64(out, c->position->last_commit_lsn);
        bytes_append_text(out, "\\\",\\\"");
    } else {
        bytes_append_text(out, "\"[null,\\\"");
    }
    json_write_uint64(out, c->position->lsn);
    bytes_append_text(out, "\\\"]\"");
}
static void write_schema(struct bytes *out, const struct context *c)
{
    json_write_string(out, slice_of(c->schema));
}
static void write_table(struct bytes *out, const struct context *c)
{
    json_write_string(out, slice_of(c->table));
}
static void write_xid(struct bytes *out, const struct context *c)
{
    if (c->position->xid >= 0) json_write_int64(out, c->position->xid);
    else json_write_null(out);
}
static void write_lsn(struct bytes *out, const struct context *c)
{
    if (c->position->marker == SNAPSHOT_INCREMENTAL) json_write_null(out);
    else json_write_uint64(out, c->position->lsn);
}
static void write_xmin(struct bytes *out, const struct context *c)
{
    if (c->position->xmin) json_write_int64(out, c->position->xmin);
    else json_write_null(out);
}
static void write_origin(struct bytes *out, const struct context *c)
{
    json_write_string(out, c->position->origin);
}
static void write_origin_lsn(struct bytes *out, const struct context *c)
{
    if (c->position->origin.ptr) json_write_uint64(out, c->position->origin_lsn);
    else json_write_null(out);
}

#define NAMED(name)                                                                                                    \
    name,                                                                                                              \
    {                                                                                                                  \
        (const uint8_t *)"\"" name "\":", sizeof(name) + 2                                                             \
    }

/* The block in its order; what 2.x does not have is marked. */
static const struct source_field {
    const char *name;
    struct slice json_name; /* `"name":` */
    enum connect_type type;
    bool optional;
    bool since_3;
    void (*write)(struct bytes *out, const struct context *c);
} fields[] = {
    {NAMED("version"), CONNECT_STRING, false, false, write_version},
    {NAMED("connector"), CONNECT_STRING, false, false, write_connector},
    {NAMED("name"), CONNECT_STRING, false, false, write_name},
    {NAMED("ts_ms"), CONNECT_INT64, false, false, write_ts_ms},
    {NAMED("snapshot"), CONNECT_STRING, true, false, write_snapshot},
    {NAMED("db"), CONNECT_STRING, false, false, write_db},
    {NAMED("sequence"), CONNECT_STRING, true, false, write_sequence},
    {NAMED("ts_us"), CONNECT_INT64, true, true, write_ts_us},
    {NAMED("ts_ns"), CONNECT_INT64, true, true, write_ts_ns},
    {NAMED("schema"), CONNECT_STRING, false, false, write_schema},
    {NAMED("table"), CONNECT_STRING, false, false, write_table},
    {NAMED("txId"), CONNECT_INT64, true, false, write_xid},
    {NAMED("lsn"), CONNECT_INT64, true, false, write_lsn},
    {NAMED("xmin"), CONNECT_INT64, true, false, write_xmin},
    {NAMED("origin"), CONNECT_STRING, true, true, write_origin},
    {NAMED("origin_lsn"), CONNECT_INT64, true, true, write_origin_lsn},
};

#define FIELD_TS_MS  3
#define FIELD_SCHEMA 9
#define FIELD_XID    11

struct connect_schema *source_schema(struct arena *a, const struct pg_connector_config *config)
{
    bool v3 = config->profile == FORMAT_3;
    struct connect_schema *s =
        connect_schema_struct(a, false, "io.debezium.connector.postgresql.Source", v3 ? 1 : 0, countof(fields));
    struct connect_value *no = arena_calloc(a, 1, sizeof(*no));

    if (!s || !no) return NULL;
    *no = (struct connect_value){.kind = VALUE_STRING, .text = SLICE("false")};
    for (size_t i = 0; i < countof(fields); i++) {
        if (fields[i].since_3 && !v3) continue;
        struct connect_schema *field = connect_schema_new(a, fields[i].type, fields[i].optional);
        if (!field) return NULL;
        if (fields[i].write == write_snapshot) {
            field->name = "io.debezium.data.Enum";
            field->version = 1;
            field->parameters[field->parameters_count++] = (struct connect_parameter){
                "allowed", v3 ? "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"
                              : "true,last,false,incremental"};
            field->default_value = no;
        }
        connect_schema_field(s, fields[i].name, field);
    }
    return s;
}

struct connect_schema *transaction_schema(struct arena *a)
{
    struct connect_schema *t = connect_schema_struct(a, true, "event.block", 1, 3);

    if (!t || !connect_schema_leaf(a, t, "id", CONNECT_STRING, false) ||
        !connect_schema_leaf(a, t, "total_order", CONNECT_INT64, false) ||
        !connect_schema_leaf(a, t, "data_collection_order", CONNECT_INT64, false))
        return NULL;
    return t;
}

static void write_name_of(struct bytes *out, size_t i)
{
    bytes_append_slice(out, fields[i].json_name);
}

/* The fields from..to-1 with names and values, then the name of `to`. */
static void write_constant(struct bytes *out, const struct context *c, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        write_name_of(out, i);
        fields[i].write(out, c);
        bytes_append_byte(out, ',');
    }
    write_name_of(out, to);
}

void source_json_head(const struct pg_connector_config *config, struct bytes *out)
{
    struct context c = {.config = config};

    bytes_append_byte(out, '{');
    write_constant(out, &c, 0, FIELD_TS_MS);
}

void source_json_table(const char *schema, const char *table, struct bytes *out)
{
    struct context c = {.schema = schema, .table = table};

    write_constant(out, &c, FIELD_SCHEMA, FIELD_XID);
}

void source_json(struct bytes *out, const struct pg_connector_config *config, struct slice head, struct slice table,
                 const struct source_position *position)
{
    struct context c = {.config = config, .position = position};
    bool v3 = config->profile == FORMAT_3;

    bytes_append_slice(out, head);
    write_ts_ms(out, &c);
    for (size_t i = FIELD_TS_MS + 1; i < countof(fields); i++) {
        if (fields[i].since_3 && !v3) continue;
        bytes_append_byte(out, ',');
        if (i == FIELD_SCHEMA) {
            bytes_append_slice(out, table);
            i = FIELD_XID;
        } else {
            write_name_of(out, i);
        }
        fields[i].write(out, &c);
    }
    bytes_append_byte(out, '}');
}

void source_json_field(struct bytes *out, const struct pg_connector_config *config, const char *schema,
                       const char *table, const struct source_position *position, const char *field)
{
    struct context c = {.config = config, .schema = schema, .table = table, .position = position};

    for (size_t i = 0; i < countof(fields); i++) {
        if (strcmp(fields[i].name, field) == 0) {
            /* 3.x takes what is there, not the default. */
            if (config->profile == FORMAT_3 && fields[i].write == write_snapshot && position->marker == SNAPSHOT_FALSE)
                break;
            fields[i].write(out, &c);
            return;
        }
    }
    json_write_null(out);
}
