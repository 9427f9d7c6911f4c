/* cdc/pg_value.c: see pg_value.h. Choice of converters; integers, floating point, text, bytes, bits; defaults. */
#include "cdc/pg_value.h"

#include "base/json_writer.h"

#include <stdio.h>

bool pg_schema(struct pg_converter *c, const struct pg_setup *s, enum connect_type type, const char *semantic_name)
{
    c->schema = connect_schema_new(s->arena, type, s->optional);
    if (!c->schema) return false;
    c->schema->name = semantic_name;
    c->schema->version = semantic_name ? 1 : 0;
    return true;
}

/* ---- numbers ---- */

bool pg_parse_int(struct slice text, int64_t min, int64_t max, int64_t *ret)
{
    const uint8_t *p = text.ptr, *end = p + text.len;
    bool negative = p < end && *p == '-';
    uint64_t value = 0;

    p += negative;
    if (p == end || end - p > 19) return false;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9') return false;
        value = value * 10 + (uint64_t)(*p - '0'); /* 19 digits fit 64 bits unsigned */
    }
    if (value > (uint64_t)INT64_MAX + negative) return false;
    int64_t v = negative ? (int64_t)(0 - value) : (int64_t)value;
    if (v < min || v > max) return false;
    *ret = v;
    return true;
}

bool pg_parse_double(struct slice text, double *ret)
{
    char small[64], *copy = small, *end;

    if (text.len == 0) return false;
    if (text.len >= sizeof(small)) copy = malloc((size_t)text.len + 1); /* numeric has up to 147,000 digits */
    if (!copy) return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    *ret = strtod(copy, &end);
    bool whole = end == copy + text.len;
    if (copy != small) free(copy);
    return whole;
}

static bool convert_int16(const struct pg_converter *c, struct slice text, struct arena *arena,
                          struct connect_value *ret)
{
    ret->kind = VALUE_INT;
    return pg_parse_int(text, INT16_MIN, INT16_MAX, &ret->integer);
}

static bool convert_int32(const struct pg_converter *c, struct slice text, struct arena *arena,
                          struct connect_value *ret)
{
    ret->kind = VALUE_INT;
    return pg_parse_int(text, INT32_MIN, INT32_MAX, &ret->integer);
}

static bool convert_int64(const struct pg_converter *c, struct slice text, struct arena *arena,
                          struct connect_value *ret)
{
    ret->kind = VALUE_INT;
    return pg_parse_int(text, INT64_MIN, INT64_MAX, &ret->integer);
}

static bool convert_float32(const struct pg_converter *c, struct slice text, struct arena *arena,
                            struct connect_value *ret)
{
    ret->kind = VALUE_FLOAT32;
    return pg_parse_double(text, &ret->number);
}

static bool convert_float64(const struct pg_converter *c, struct slice text, struct arena *arena,
                            struct connect_value *ret)
{
    ret->kind = VALUE_FLOAT64;
    return pg_parse_double(text, &ret->number);
}

static bool setup_int16(struct pg_converter *c, const struct pg_setup *s)
{
    c->convert = convert_int16;
    c->neutral = value_int(0);
    return pg_schema(c, s, CONNECT_INT16, NULL);
}

static bool setup_int32(struct pg_converter *c, const struct pg_setup *s)
{
    c->convert = convert_int32;
    c->neutral = value_int(0);
    return pg_schema(c, s, CONNECT_INT32, NULL);
}

static bool setup_int64(struct pg_converter *c, const struct pg_setup *s)
{
    c->convert = convert_int64;
    c->neutral = value_int(0);
    return pg_schema(c, s, CONNECT_INT64, NULL);
}

static bool setup_float32(struct pg_converter *c, const struct pg_setup *s)
{
    c->convert = convert_float32;
    c->neutral = (struct connect_value){.kind = VALUE_FLOAT32};
    return pg_schema(c, s, CONNECT_FLOAT32, NULL);
}

static bool setup_float64(struct pg_converter *c, const struct pg_setup *s)
{
    c->convert = convert_float64;
    c->neutral = value_double(0);
    return pg_schema(c, s, CONNECT_FLOAT64, NULL);
}

/* ---- boolean, bits ---- */

static bool convert_bool(const struct pg_converter *c, struct slice text, struct arena *arena,
                         struct connect_value *ret)
{
    ret->kind = VALUE_BOOL;
    if (slice_eq_text(text, "t") || slice_eq_text(text, "1") || slice_eq_text(text, "true")) ret->boolean = true;
    else if (slice_eq_text(text, "f") || slice_eq_text(text, "0") || slice_eq_text(text, "false")) ret->boolean = false;
    else return false;
    return true;
}

static bool setup_bool(struct pg_converter *c, const struct pg_setup *s)
{
    c->convert = convert_bool;
    c->neutral = (struct connect_value){.kind = VALUE_BOOL};
    return pg_schema(c, s, CONNECT_BOOLEAN, NULL);
}

/* The last bit is bit 0 of the first byte. */
static bool convert_bits(const struct pg_converter *c, struct slice text, struct arena *arena,
                         struct connect_value *ret)
{
    uint32_t len = text.len / 8 + (text.len % 8 != 0);
    uint8_t *to = arena_calloc(arena, len ? len : 1, 1);

    if (!to) return false;
    for (uint32_t i = 0; i < text.len; i++) {
        uint8_t bit = text.ptr[text.len - 1 - i];
        if (bit != '0' && bit != '1') return false;
        if (bit == '1') to[i / 8] |= (uint8_t)(1u << i % 8);
    }
    *ret = value_bytes(slice_make(to, len));
    return true;
}

static bool setup_varbit(struct pg_converter *c, const struct pg_setup *s)
{
    char *length = arena_printf(s->arena, "%d", s->type->typmod > 0 ? s->type->typmod : INT32_MAX);

    if (!length || !pg_schema(c, s, CONNECT_BYTES, "io.debezium.data.Bits")) return false;
    c->schema->parameters[c->schema->parameters_count++] = (struct connect_parameter){"length", length};
    c->convert = convert_bits;
    c->neutral = value_bytes(SLICE_EMPTY);
    return true;
}

static bool setup_bit(struct pg_converter *c, const struct pg_setup *s)
{
    return s->type->typmod <= 1 ? setup_bool(c, s) : setup_varbit(c, s);
}

/* ---- text ---- */

static bool convert_text(const struct pg_converter *c, struct slice text, struct arena *arena,
                         struct connect_value *ret)
{
    *ret = value_string(text);
    return true;
}

static bool setup_string(struct pg_converter *c, const struct pg_setup *s, const char *semantic_name)
{
    c->convert = convert_text;
    c->neutral = value_string(SLICE_EMPTY);
    c->unavailable = value_string(slice_of(s->config->unavailable_placeholder));
    return pg_schema(c, s, CONNECT_STRING, semantic_name);
}

static bool setup_text(struct pg_converter *c, const struct pg_setup *s)
{
    return setup_string(c, s, NULL);
}

/* Without a default in the schema. */
static bool setup_network(struct pg_converter *c, const struct pg_setup *s)
{
    c->no_default = true;
    return setup_string(c, s, NULL);
}

static bool convert_nothing(const struct pg_converter *c, struct slice text, struct arena *arena,
                            struct connect_value *ret)
{
    ret->kind = VALUE_NULL;
    return true;
}

/* Debezium loses values of type name while streaming. */
static bool setup_name(struct pg_converter *c, const struct pg_setup *s)
{
    if (!setup_string(c, s, NULL)) return false;
    if (c->defects && !s->snapshot) c->convert = convert_nothing;
    return true;
}

static bool setup_json(struct pg_converter *c, const struct pg_setup *s)
{
    return setup_string(c, s, "io.debezium.data.Json");
}

static bool setup_xml(struct pg_converter *c, const struct pg_setup *s)
{
    return setup_string(c, s, "io.debezium.data.Xml");
}

static bool setup_uuid(struct pg_converter *c, const struct pg_setup *s)
{
    if (!setup_string(c, s, "io.debezium.data.Uuid")) return false;
    c->neutral = value_string(SLICE("00000000-0000-0000-0000-000000000000"));
    return true;
}

static bool setup_ltree(struct pg_converter *c, const struct pg_setup *s)
{
    return setup_string(c, s, "io.debezium.data.Ltree");
}

static bool setup_tsvector(struct pg_converter *c, const struct pg_setup *s)
{
    return s->config->profile == FORMAT_3 && setup_string(c, s, "io.debezium.data.Tsvector");
}

static bool setup_enum(struct pg_converter *c, const struct pg_setup *s)
{
    char *allowed = arena_strdup(s->arena, s->type->enum_labels ? s->type->enum_labels : "");

    if (!allowed || !setup_string(c, s, "io.debezium.data.Enum")) return false;
    c->schema->parameters[c->schema->parameters_count++] = (struct connect_parameter){"allowed", allowed};
    return true;
}

/* ---- bytes ---- */

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Bytes in the form of the mode. */
bool pg_present_bytes(enum binary_mode mode, struct slice data, struct arena *arena, struct connect_value *ret)
{
    static const char hex[] = "0123456789abcdef";
    struct bytes text = {0};

    if (mode == BINARY_BYTES) {
        *ret = value_bytes(data);
        return true;
    }
    if (mode == BINARY_HEX) {
        uint8_t *to = arena_alloc(arena, (size_t)data.len * 2 + 1);
        if (!to) return false;
        for (uint32_t i = 0; i < data.len; i++)
            to[2 * i] = (uint8_t)hex[data.ptr[i] >> 4], to[2 * i + 1] = (uint8_t)hex[data.ptr[i] & 15];
        *ret = value_string(slice_make(to, data.len * 2));
        return true;
    }
    json_write_base64(&text, data); /* in quotes */
    struct slice copy = text.failed ? SLICE_NULL : arena_slice_dup(arena, slice_make(text.ptr + 1, text.len - 2));
    bytes_done(&text);
    if (!copy.ptr) return false;
    if (mode == BINARY_BASE64_URL_SAFE) {
        for (uint8_t *p = (uint8_t *)(uintptr_t)copy.ptr, *end = p + copy.len; p < end; p++)
            *p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
    }
    *ret = value_string(copy);
    return true;
}

static bool convert_bytea(const struct pg_converter *c, struct slice text, struct arena *arena,
                          struct connect_value *ret)
{
    if (text.len < 2 || text.len % 2 || text.ptr[0] != '\\' || text.ptr[1] != 'x') return false;
    uint32_t len = text.len / 2 - 1;
    uint8_t *to = arena_alloc(arena, (size_t)len + 1);
    if (!to) return false;
    for (uint32_t i = 0; i < len; i++) {
        int high = hex_digit(text.ptr[2 + 2 * i]), low = hex_digit(text.ptr[3 + 2 * i]);
        if (high < 0 || low < 0) return false;
        to[i] = (uint8_t)(high << 4 | low);
    }
    return pg_present_bytes(c->binary, slice_make(to, len), arena, ret);
}

static bool setup_bytea(struct pg_converter *c, const struct pg_setup *s)
{
    c->binary = s->config->binary_mode;
    c->convert = convert_bytea;
    c->no_default = true;
    c->neutral = c->binary == BINARY_BYTES ? value_bytes(SLICE_EMPTY) : value_string(SLICE_EMPTY);
    struct slice placeholder = slice_of(s->config->unavailable_placeholder);
    c->unavailable = c->binary == BINARY_BYTES ? value_bytes(placeholder) : value_string(placeholder);
    return pg_schema(c, s, c->binary == BINARY_BYTES ? CONNECT_BYTES : CONNECT_STRING, NULL);
}

/* include.unknown.datatypes: the server's text as bytes. */
static bool convert_unknown(const struct pg_converter *c, struct slice text, struct arena *arena,
                            struct connect_value *ret)
{
    return pg_present_bytes(c->binary, text, arena, ret);
}

static bool setup_unknown(struct pg_converter *c, const struct pg_setup *s)
{
    if (!s->config->include_unknown_datatypes || !setup_bytea(c, s)) return false;
    c->convert = convert_unknown;
    return true;
}

/* ---- the choice ---- */

/* Types with a fixed oid (pg_type.dat), then those of extensions, by name. */
static const struct {
    uint32_t oid;
    const char *name;
    pg_setup_fn *setup;
} type_rows[] = {
    {16, "bool", setup_bool},
    {17, "bytea", setup_bytea},
    {18, "char", setup_text},
    {19, "name", setup_name},
    {20, "int8", setup_int64},
    {21, "int2", setup_int16},
    {23, "int4", setup_int32},
    {25, "text", setup_text},
    {26, "oid", setup_int64},
    {114, "json", setup_json},
    {142, "xml", setup_xml},
    {600, "point", pg_setup_point},
    {602, "path", pg_setup_path},
    {603, "box", pg_setup_box},
    {604, "polygon", pg_setup_polygon},
    {628, "line", pg_setup_line},
    {650, "cidr", setup_network},
    {700, "float4", setup_float32},
    {701, "float8", setup_float64},
    {718, "circle", pg_setup_circle},
    {774, "macaddr8", setup_network},
    {790, "money", pg_setup_money},
    {829, "macaddr", setup_network},
    {869, "inet", setup_network},
    {1042, "bpchar", setup_text},
    {1043, "varchar", setup_text},
    {1082, "date", pg_setup_date},
    {1083, "time", pg_setup_time},
    {1114, "timestamp", pg_setup_timestamp},
    {1184, "timestamptz", pg_setup_timestamptz},
    {1186, "interval", pg_setup_interval},
    {1266, "timetz", pg_setup_timetz},
    {1560, "bit", setup_bit},
    {1562, "varbit", setup_varbit},
    {1700, "numeric", pg_setup_numeric},
    {2950, "uuid", setup_uuid},
    {3614, "tsvector", setup_tsvector},
    {3802, "jsonb", setup_json},
    {3904, "int4range", setup_network},
    {3906, "numrange", setup_network},
    {3908, "tsrange", setup_network},
    {3910, "tstzrange", setup_network},
    {3912, "daterange", setup_network},
    {3926, "int8range", setup_network},
    {0, "citext", setup_text},
    {0, "hstore", pg_setup_hstore},
    {0, "ltree", setup_ltree},
};

static pg_setup_fn *setup_of(const struct pg_type *type)
{
    if (type->element) return pg_setup_array;
    if (type->kind == 'e') return setup_enum;
    for (size_t i = 0; i < countof(type_rows); i++) {
        if (type_rows[i].oid ? type_rows[i].oid == type->oid : type->name && strcmp(type_rows[i].name, type->name) == 0)
            return type_rows[i].setup;
    }
    return setup_unknown;
}

struct pg_converter *pg_converter_new(struct arena *a, const struct pg_connector_config *config,
                                      const struct pg_type *type, bool optional, bool snapshot)
{
    struct pg_setup s = {.arena = a, .config = config, .type = type, .optional = optional, .snapshot = snapshot};
    struct pg_converter *c = arena_calloc(a, 1, sizeof(*c));

    if (!c) return NULL;
    c->snapshot = snapshot;
    c->defects = config->debezium_defects;
    c->midnight_24 = config->profile == FORMAT_3;
    if (setup_of(type)(c, &s)) return c;
    /* What setup began is left in the arena. */
    *c = (struct pg_converter){0};
    return setup_unknown(c, &s) ? c : NULL;
}

/* ---- defaults ---- */

/* Reads a constant as pg_get_expr() prints it: 5, 1.5, true, 'text'::type, '-3'::integer, (-3), NULL::type; with any
 * casts behind. Returns its text in the arena, null for NULL; false: it is something that is computed. */
static bool parse_constant(const char *expression, struct arena *arena, struct slice *ret)
{
    const char *p = expression;
    char *text = arena_strdup(arena, expression), *to = text;
    int depth = 0;
    bool quoted = false;

    if (!text) return false;
    for (; *p == '('; p++) depth++;
    if (*p == '\'') {
        quoted = true;
        for (p++; *p && (*p != '\'' || p[1] == '\''); p++) {
            if (*p == '\'') p++;
            *to++ = *p;
        }
        if (*p++ != '\'') return false;
    } else if (strncasecmp(p, "NULL", 4) == 0 || strncmp(p, "true", 4) == 0 || strncmp(p, "false", 5) == 0) {
        while (*p >= 'A' && *p <= 'z') *to++ = *p++;
    } else {
        while ((*p >= '0' && *p <= '9') || *p == '.' || *p == '-' || *p == '+' || *p == 'e' || *p == 'E') *to++ = *p++;
        if (to == text) return false;
    }
    /* Only casts and closing parentheses may follow. */
    while (*p) {
        if (*p == ')' && depth-- > 0) {
            p++;
        } else if (p[0] == ':' && p[1] == ':') {
            p += 2;
            while (*p && *p != ')' && *p != ':') {
                if (*p == '(')
                    while (*p && *p != ')') p++;
                if (*p == '+' || *p == '*' || *p == '/' || *p == '|') return false;
                if (*p) p++;
            }
        } else {
            return false;
        }
    }
    *ret = !quoted && to - text == 4 && strncasecmp(text, "NULL", 4) == 0 ? SLICE_NULL
                                                                          : slice_make(text, (uint32_t)(to - text));
    return true;
}

bool pg_default_value(const struct pg_converter *c, const char *expression, struct arena *arena,
                      struct connect_value *ret)
{
    struct slice text;

    if (c->no_default) return false;
    if (!parse_constant(expression, arena, &text)) {
        *ret = c->neutral;
        return ret->kind != VALUE_NULL;
    }
    return text.ptr && c->convert(c, text, arena, ret);
}
