/* cdc/connect_value.c: see connect_value.h. */
#include "cdc/connect_value.h"

#include "base/json_writer.h"
#include "cdc/connect_schema.h"

#include <math.h>

static void list_json(const struct connect_value *v, const struct connect_schema *s, struct bytes *out)
{
    bool object = s->type != CONNECT_ARRAY;

    bytes_append_byte(out, object ? '{' : '[');
    if (s->type == CONNECT_ARRAY) {
        for (uint32_t i = 0; i < v->list.count; i++) {
            if (i) bytes_append_byte(out, ',');
            connect_value_json(&v->list.items[i], s->items, out);
        }
    } else if (s->type == CONNECT_MAP) {
        for (uint32_t i = 0; i + 1 < v->list.count; i += 2) {
            if (i) bytes_append_byte(out, ',');
            connect_value_json(&v->list.items[i], s->keys, out);
            bytes_append_byte(out, ':');
            connect_value_json(&v->list.items[i + 1], s->items, out);
        }
    } else {
        for (uint32_t i = 0; i < v->list.count && i < s->fields_count; i++) {
            if (i) bytes_append_byte(out, ',');
            json_write_string(out, slice_of(s->fields[i].name));
            bytes_append_byte(out, ':');
            connect_value_json(&v->list.items[i], s->fields[i].schema, out);
        }
    }
    bytes_append_byte(out, object ? '}' : ']');
}

static void number_json(const struct connect_value *v, struct bytes *out)
{
    if (isnan(v->number)) bytes_append_text(out, "\"NaN\"");
    else if (isinf(v->number)) bytes_append_text(out, v->number < 0 ? "\"-Infinity\"" : "\"Infinity\"");
    else if (v->kind == VALUE_FLOAT32) json_write_float(out, (float)v->number);
    else json_write_double(out, v->number);
}

void connect_value_json(const struct connect_value *v, const struct connect_schema *s, struct bytes *out)
{
    switch (v->kind) {
    case VALUE_NULL: bytes_append(out, "null", 4); break;
    case VALUE_BOOL: bytes_append_text(out, v->boolean ? "true" : "false"); break;
    case VALUE_INT: json_write_int64(out, v->integer); break;
    case VALUE_FLOAT32:
    case VALUE_FLOAT64: number_json(v, out); break;
    case VALUE_STRING: json_write_string(out, v->text); break;
    case VALUE_BYTES: json_write_base64(out, v->text); break;
    case VALUE_LIST: list_json(v, s, out); break;
    }
}
