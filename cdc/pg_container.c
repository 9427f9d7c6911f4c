/* cdc/pg_container.c: arrays and hstore (pg_value.h).
 *
 * Array text: {a,"b \"c\"",NULL}, after bounds ("[0:1]={...}") when they do not start at 1. Connect's array schema has
 * one dimension: elements that are arrays themselves become null, as Debezium writes them. hstore text: "key"=>"value",
 * "key"=>NULL; written in the order of a Java HashMap, as Debezium does. */
#include "base/json_writer.h"
#include "cdc/md5.h"
#include "cdc/pg_value.h"

struct scanner {
    const uint8_t *p, *end;
};

/* A word in quotes, unescaped into the arena. p stands on the opening quote. */
static bool read_quoted(struct scanner *s, struct arena *arena, struct slice *ret)
{
    uint8_t *copy = arena_alloc(arena, (size_t)(s->end - s->p) + 1), *to = copy;

    if (!copy) return false;
    for (s->p++; s->p < s->end && *s->p != '"'; s->p++) {
        if (*s->p == '\\' && ++s->p == s->end) return false;
        *to++ = *s->p;
    }
    if (s->p == s->end) return false;
    s->p++;
    *ret = slice_make(copy, (uint32_t)(to - copy));
    return true;
}

/* ---- arrays ---- */

/* Over a nested array. p stands on its brace. */
static bool skip_nested(struct scanner *s)
{
    int depth = 0;

    for (; s->p < s->end; s->p++) {
        if (*s->p == '"') {
            for (s->p++; s->p < s->end && *s->p != '"'; s->p++)
                if (*s->p == '\\') s->p++;
            if (s->p >= s->end) return false;
        } else if (*s->p == '{') {
            depth++;
        } else if (*s->p == '}' && --depth == 0) {
            s->p++;
            return true;
        }
    }
    return false;
}

static bool read_element(const struct pg_converter *c, struct scanner *s, struct arena *arena,
                         struct connect_value *ret)
{
    struct slice text;

    *ret = (struct connect_value){.kind = VALUE_NULL};
    if (*s->p == '{') return skip_nested(s);
    if (*s->p == '"') {
        if (!read_quoted(s, arena, &text)) return false;
    } else {
        const uint8_t *start = s->p;
        while (s->p < s->end && *s->p != ',' && *s->p != '}') s->p++;
        text = slice_make(start, (uint32_t)(s->p - start));
        if (text.len == 4 && strncasecmp((const char *)text.ptr, "NULL", 4) == 0) return true;
    }
    return c->element->convert(c->element, text, arena, ret);
}

static bool convert_array(const struct pg_converter *c, struct slice text, struct arena *arena,
                          struct connect_value *ret)
{
    struct scanner s = {text.ptr, text.ptr + text.len};
    uint32_t count_max = 1, count = 0;

    for (uint32_t i = 0; i < text.len; i++) count_max += text.ptr[i] == ',';
    struct connect_value *items = arena_calloc(arena, count_max, sizeof(*items));
    if (!items) return false;
    if (s.p < s.end && *s.p == '[') {
        while (s.p < s.end && *s.p != '=') s.p++;
        if (s.p < s.end) s.p++;
    }
    if (s.p == s.end || *s.p++ != '{') return false;
    while (s.p < s.end && *s.p != '}') {
        if (count == count_max || !read_element(c, &s, arena, &items[count++])) return false;
        if (s.p < s.end && *s.p == ',') {
            s.p++;
            continue;
        }
        break;
    }
    if (s.p == s.end || *s.p != '}' || s.p + 1 != s.end) return false;
    *ret = (struct connect_value){.kind = VALUE_LIST, .list = {items, count}};
    return true;
}

/* Version 3 without a name space, as Java's UUID.nameUUIDFromBytes(). */
static bool name_uuid(struct slice name, struct arena *arena, struct connect_value *ret)
{
    uint8_t d[MD5_SIZE];

    md5(name, d);
    d[6] = (d[6] & 0x0f) | 0x30;
    d[8] = (d[8] & 0x3f) | 0x80;
    char *text = arena_printf(arena, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", d[0], d[1],
                              d[2], d[3], d[4], d[5], d[6], d[7], d[8], d[9], d[10], d[11], d[12], d[13], d[14], d[15]);
    *ret = value_string(slice_of(text));
    return text != NULL;
}

/* The placeholder of an array: one element, or of integers its bytes. */
static bool set_unavailable(struct pg_converter *c, const struct pg_setup *s)
{
    struct slice placeholder = slice_of(s->config->unavailable_placeholder);
    enum connect_type type = c->element->schema->type;
    const char *name = c->element->schema->name;
    bool integers = type == CONNECT_INT16 || type == CONNECT_INT32 || type == CONNECT_INT64;
    uint32_t count = integers ? placeholder.len : 1;
    struct connect_value *items = arena_calloc(s->arena, count ? count : 1, sizeof(*items));

    if (!items) return false;
    c->unavailable = (struct connect_value){.kind = VALUE_LIST, .list = {items, count}};
    if (integers) {
        for (uint32_t i = 0; i < count; i++) items[i] = value_int((int8_t)placeholder.ptr[i]);
        return true;
    }
    if (type == CONNECT_STRING && name && strcmp(name, "io.debezium.data.Uuid") == 0)
        return name_uuid(placeholder, s->arena, items);
    items[0] = c->element->unavailable;
    if (items[0].kind == VALUE_NULL) c->unavailable = (struct connect_value){.kind = VALUE_NULL};
    return true;
}

bool pg_setup_array(struct pg_converter *c, const struct pg_setup *s)
{
    const struct pg_type element = *s->type->element; /* with the array's modifier, or its domain's */

    if (element.oid == 790 || element.oid == 1186 || element.element)
        return false; /* money, interval: Debezium has no arrays of them */
    const struct pg_converter *of = pg_converter_new(s->arena, s->config, &element, element.kind != 'e', s->snapshot);
    if (!of) return false;
    c->element = of;
    c->convert = convert_array;
    c->no_default = true;
    c->neutral = (struct connect_value){.kind = VALUE_LIST};
    if (!pg_schema(c, s, CONNECT_ARRAY, NULL)) return false;
    c->schema->items = of->schema;
    return set_unavailable(c, s);
}

/* ---- hstore ---- */

static bool skip_text(struct scanner *s, const char *text)
{
    size_t len = strlen(text);

    if ((size_t)(s->end - s->p) < len || memcmp(s->p, text, len) != 0) return false;
    s->p += len;
    return true;
}

/* Java's String.hashCode(), spread as HashMap does. */
static uint32_t java_hash(struct slice text)
{
    uint32_t hash = 0;

    for (uint32_t i = 0; i < text.len;) {
        uint32_t c = text.ptr[i], more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
        if (more) c &= 0x3f >> more;
        for (i++; more && i < text.len; more--, i++) c = c << 6 | (text.ptr[i] & 0x3f);
        if (c >= 0x10000) {
            hash = 31 * hash + 0xd800 + (((c - 0x10000) >> 10) & 0x3ff);
            c = 0xdc00 + (c & 0x3ff);
        }
        hash = 31 * hash + c;
    }
    return hash ^ hash >> 16;
}

/* Brings the pairs into the order in which a Java HashMap lists them: by bucket, within one as inserted. */
static bool order_as_hash_map(struct connect_value *items, uint32_t pairs, struct arena *arena)
{
    uint32_t buckets = 16, placed = 0;
    struct connect_value *ordered = arena_calloc(arena, 2 * (size_t)pairs + 1, sizeof(*ordered));
    uint32_t *starts;

    while (pairs > buckets / 4 * 3) buckets *= 2;
    starts = arena_calloc(arena, (size_t)buckets + 1, sizeof(*starts));
    if (!ordered || !starts) return false;
    for (uint32_t i = 0; i < pairs; i++) starts[(java_hash(items[2 * i].text) & (buckets - 1)) + 1]++;
    for (uint32_t b = 0; b < buckets; b++) starts[b + 1] += starts[b];
    for (; placed < pairs; placed++) {
        uint32_t at = starts[java_hash(items[2 * placed].text) & (buckets - 1)]++;
        ordered[2 * at] = items[2 * placed];
        ordered[2 * at + 1] = items[2 * placed + 1];
    }
    memcpy(items, ordered, 2 * (size_t)pairs * sizeof(*items));
    return true;
}

/* Keys and values in turn. */
static bool convert_map(const struct pg_converter *c, struct slice text, struct arena *arena, struct connect_value *ret)
{
    struct scanner s = {text.ptr, text.ptr + text.len};
    uint32_t pairs_max = 0, count = 0;

    for (uint32_t i = 0; i + 1 < text.len; i++) pairs_max += text.ptr[i] == '=' && text.ptr[i + 1] == '>';
    struct connect_value *items = arena_calloc(arena, 2 * (size_t)pairs_max + 1, sizeof(*items));
    if (!items) return false;
    while (s.p < s.end) {
        struct slice key, value = SLICE_NULL;
        if (count && !skip_text(&s, ", ")) return false;
        if (count >= 2 * pairs_max || s.p == s.end || *s.p != '"' || !read_quoted(&s, arena, &key) ||
            !skip_text(&s, "=>"))
            return false;
        if (!skip_text(&s, "NULL") && (s.p == s.end || *s.p != '"' || !read_quoted(&s, arena, &value))) return false;
        items[count++] = value_string(key);
        items[count++] = value.ptr ? value_string(value) : (struct connect_value){.kind = VALUE_NULL};
    }
    *ret = (struct connect_value){.kind = VALUE_LIST, .list = {items, count}};
    return order_as_hash_map(items, count / 2, arena);
}

static bool map_as_json(const struct connect_value *map, struct arena *arena, struct connect_value *ret)
{
    struct bytes json = {0};

    bytes_append_byte(&json, '{');
    for (uint32_t i = 0; i < map->list.count; i += 2) {
        if (i) bytes_append_byte(&json, ',');
        json_write_string(&json, map->list.items[i].text);
        bytes_append_byte(&json, ':');
        if (map->list.items[i + 1].kind == VALUE_NULL) bytes_append_text(&json, "null");
        else json_write_string(&json, map->list.items[i + 1].text);
    }
    bytes_append_byte(&json, '}');
    *ret = value_string(json.failed ? SLICE_NULL : arena_slice_dup(arena, bytes_slice(&json)));
    bytes_done(&json);
    return ret->text.ptr != NULL;
}

static bool convert_hstore_json(const struct pg_converter *c, struct slice text, struct arena *arena,
                                struct connect_value *ret)
{
    struct connect_value map;

    return convert_map(c, text, arena, &map) && map_as_json(&map, arena, ret);
}

bool pg_setup_hstore(struct pg_converter *c, const struct pg_setup *s)
{
    struct slice placeholder = slice_of(s->config->unavailable_placeholder);
    struct connect_value *pair = arena_calloc(s->arena, 2, sizeof(*pair));

    if (!pair) return false;
    pair[0] = pair[1] = value_string(placeholder);
    struct connect_value map = {.kind = VALUE_LIST, .list = {pair, 2}};
    c->no_default = true;
    if (s->config->hstore_mode == HSTORE_MAP) {
        c->convert = convert_map;
        c->neutral = (struct connect_value){.kind = VALUE_LIST};
        c->unavailable = map;
        if (!pg_schema(c, s, CONNECT_MAP, NULL)) return false;
        struct connect_schema *values = connect_schema_new(s->arena, CONNECT_STRING, true);
        c->schema->keys = connect_schema_new(s->arena, CONNECT_STRING, false);
        c->schema->items = values;
        return c->schema->keys && values;
    }
    c->convert = convert_hstore_json;
    c->neutral = value_string(SLICE("{}"));
    return map_as_json(&map, s->arena, &c->unavailable) && pg_schema(c, s, CONNECT_STRING, "io.debezium.data.Json");
}
