/* cdc/connect_schema.c: see connect_schema.h. */
#include "cdc/connect_schema.h"

#include "base/json_writer.h"
#include "cdc/connect_value.h"

struct connect_schema *connect_schema_new(struct arena *a, enum connect_type type, bool optional)
{
    struct connect_schema *s = arena_calloc(a, 1, sizeof(*s));
    if (!s) return NULL;
    s->type = type;
    s->optional = optional;
    return s;
}

struct connect_schema *connect_schema_struct(struct arena *a, bool optional, const char *name, int version,
                                             uint32_t fields_max)
{
    struct connect_schema *s = connect_schema_new(a, CONNECT_STRUCT, optional);
    if (!s) return NULL;
    s->fields = arena_calloc(a, fields_max ? fields_max : 1, sizeof(*s->fields));
    s->name = name;
    s->version = version;
    return s->fields ? s : NULL;
}

void connect_schema_field(struct connect_schema *s, const char *name, const struct connect_schema *field)
{
    s->fields[s->fields_count++] = (struct connect_field){name, field};
}

bool connect_schema_leaf(struct arena *a, struct connect_schema *s, const char *field_name, enum connect_type type,
                         bool optional)
{
    struct connect_schema *leaf = connect_schema_new(a, type, optional);
    if (!leaf) return false;
    connect_schema_field(s, field_name, leaf);
    return true;
}

/* Names of JsonConverter. */
static const char *const type_names[] = {
    [CONNECT_INT8] = "int8",       [CONNECT_INT16] = "int16",   [CONNECT_INT32] = "int32",
    [CONNECT_INT64] = "int64",     [CONNECT_FLOAT32] = "float", [CONNECT_FLOAT64] = "double",
    [CONNECT_BOOLEAN] = "boolean", [CONNECT_STRING] = "string", [CONNECT_BYTES] = "bytes",
    [CONNECT_ARRAY] = "array",     [CONNECT_MAP] = "map",       [CONNECT_STRUCT] = "struct",
};

static void member(struct bytes *out, const char *name, const char *text)
{
    bytes_append_byte(out, ',');
    json_write_string(out, slice_of(name));
    bytes_append_byte(out, ':');
    json_write_string(out, slice_of(text));
}

void connect_schema_json(const struct connect_schema *s, const char *field_name, enum decimal_format decimals,
                         struct bytes *out)
{
    bytes_append_text(out, "{\"type\":\"");
    bytes_append_text(out, type_names[s->type]);
    bytes_append_byte(out, '"');
    if (s->type == CONNECT_STRUCT) {
        bytes_append_text(out, ",\"fields\":[");
        for (uint32_t i = 0; i < s->fields_count; i++) {
            if (i) bytes_append_byte(out, ',');
            connect_schema_json(s->fields[i].schema, s->fields[i].name, decimals, out);
        }
        bytes_append_byte(out, ']');
    } else if (s->type == CONNECT_ARRAY) {
        bytes_append_text(out, ",\"items\":");
        connect_schema_json(s->items, NULL, decimals, out);
    } else if (s->type == CONNECT_MAP) {
        bytes_append_text(out, ",\"keys\":");
        connect_schema_json(s->keys, NULL, decimals, out);
        bytes_append_text(out, ",\"values\":");
        connect_schema_json(s->items, NULL, decimals, out);
    }
    bytes_append_text(out, s->optional ? ",\"optional\":true" : ",\"optional\":false");
    if (s->name) member(out, "name", s->name);
    if (s->version) {
        bytes_append_text(out, ",\"version\":");
        json_write_int64(out, s->version);
    }
    if (s->doc) member(out, "doc", s->doc);
    if (s->parameters_count) {
        bytes_append_text(out, ",\"parameters\":{");
        for (uint32_t i = 0; i < s->parameters_count; i++) {
            if (i) bytes_append_byte(out, ',');
            json_write_string(out, slice_of(s->parameters[i].name));
            bytes_append_byte(out, ':');
            json_write_string(out, slice_of(s->parameters[i].value));
        }
        bytes_append_byte(out, '}');
    }
    if (s->default_value) {
        bytes_append_text(out, ",\"default\":");
        connect_value_json(s->default_value, s, decimals, out);
    }
    if (field_name) member(out, "field", field_name);
    bytes_append_byte(out, '}');
}
