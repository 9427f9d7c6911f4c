/* cdc/pg_geometry.c: point, line, box, path, polygon, circle (pg_value.h).
 *
 * Shapes are well-known binary (OGC 06-103r4, little-endian) within Debezium's structs; all but point since 3.x. */
#include "cdc/pg_value.h"

#define WKB_POINT      1
#define WKB_LINESTRING 2
#define WKB_POLYGON    3

/* Numbers of "((1,2),(3,4))" and the like, in order. false: something that is neither number nor punctuation. */
static bool read_numbers(struct slice text, struct arena *arena, double **ret, uint32_t *ret_count)
{
    uint32_t count_max = text.len / 2 + 1, count = 0;
    double *numbers = arena_calloc(arena, count_max, sizeof(*numbers));

    if (!numbers) return false;
    for (uint32_t i = 0; i < text.len;) {
        if (strchr("(){}[]<>,", text.ptr[i])) {
            i++;
            continue;
        }
        uint32_t start = i;
        while (i < text.len && !strchr("(){}[]<>,", text.ptr[i])) i++;
        if (!pg_parse_double(slice_make(text.ptr + start, i - start), &numbers[count++])) return false;
    }
    *ret = numbers;
    *ret_count = count;
    return true;
}

static uint8_t *put_u32(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(v >> 8 * i);
    return to + 4;
}

static uint8_t *put_double(uint8_t *to, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof(bits));
    for (int i = 0; i < 8; i++) to[i] = (uint8_t)(bits >> 8 * i);
    return to + 8;
}

/* The binary of a shape with one list of points; close: the first point again at the end. */
static bool write_wkb(uint32_t shape, const double *numbers, uint32_t points, bool close, struct arena *arena,
                      struct slice *ret)
{
    uint8_t *start = arena_alloc(arena, 13 + ((size_t)points + 1) * 16), *to = start;

    if (!start) return false;
    *to++ = 1;
    to = put_u32(to, shape);
    if (shape == WKB_POLYGON) to = put_u32(to, 1);
    if (shape != WKB_POINT) to = put_u32(to, points + close);
    for (uint32_t i = 0; i < 2 * points; i++) to = put_double(to, numbers[i]);
    if (close) to = put_double(put_double(to, numbers[0]), numbers[1]);
    *ret = slice_make(start, (uint32_t)(to - start));
    return true;
}

/* A list of `count` values in the arena; NULL: full. */
static struct connect_value *new_list(struct arena *arena, uint32_t count, struct connect_value *ret)
{
    struct connect_value *items = arena_calloc(arena, count, sizeof(*items));

    *ret = (struct connect_value){.kind = VALUE_LIST, .list = {items, count}};
    return items;
}

static bool make_point(const double *xy, struct arena *arena, struct connect_value *ret)
{
    struct slice wkb;
    struct connect_value *items = new_list(arena, 4, ret);

    if (!items || !write_wkb(WKB_POINT, xy, 1, false, arena, &wkb)) return false;
    items[0] = value_double(xy[0]);
    items[1] = value_double(xy[1]);
    items[2] = value_bytes(wkb);
    return true;
}

static bool convert_point(const struct pg_converter *c, struct slice text, struct arena *arena,
                          struct connect_value *ret)
{
    double *n;
    uint32_t count;

    return read_numbers(text, arena, &n, &count) && count == 2 && make_point(n, arena, ret);
}

static bool convert_line(const struct pg_converter *c, struct slice text, struct arena *arena,
                         struct connect_value *ret)
{
    double *n;
    uint32_t count;

    if (!read_numbers(text, arena, &n, &count) || count != 3) return false;
    struct connect_value *items = new_list(arena, 3, ret);
    for (int i = 0; items && i < 3; i++) items[i] = value_double(n[i]);
    return items != NULL;
}

static bool convert_circle(const struct pg_converter *c, struct slice text, struct arena *arena,
                           struct connect_value *ret)
{
    double *n;
    uint32_t count;

    if (!read_numbers(text, arena, &n, &count) || count != 3) return false;
    struct connect_value *items = new_list(arena, 2, ret);
    if (!items || !make_point(n, arena, &items[0])) return false;
    items[1] = value_double(n[2]);
    return true;
}

/* {wkb, srid, extensions}; closed: NULL, or the text of the extension "closed". */
static bool make_geometry(struct slice wkb, struct slice type, const char *closed, struct arena *arena,
                          struct connect_value *ret)
{
    struct connect_value *items = new_list(arena, 3, ret);
    if (!items) return false;
    struct connect_value *map = new_list(arena, closed ? 4 : 2, &items[2]);
    if (!map) return false;
    items[0] = value_bytes(wkb);
    map[0] = value_string(SLICE("type"));
    map[1] = value_string(type);
    if (closed) {
        map[2] = value_string(SLICE("closed"));
        map[3] = value_string(slice_of(closed));
    }
    return true;
}

static bool convert_box(const struct pg_converter *c, struct slice text, struct arena *arena, struct connect_value *ret)
{
    double *n;
    uint32_t count;
    struct slice wkb;

    if (!read_numbers(text, arena, &n, &count) || count != 4) return false;
    double corners[8] = {n[0], n[1], n[0], n[3], n[2], n[3], n[2], n[1]};
    return write_wkb(WKB_POLYGON, corners, 4, true, arena, &wkb) && make_geometry(wkb, SLICE("box"), NULL, arena, ret);
}

static bool convert_path(const struct pg_converter *c, struct slice text, struct arena *arena,
                         struct connect_value *ret)
{
    double *n;
    uint32_t count;
    struct slice wkb;

    if (!read_numbers(text, arena, &n, &count) || count < 2 || count % 2) return false;
    return write_wkb(WKB_LINESTRING, n, count / 2, false, arena, &wkb) &&
           make_geometry(wkb, SLICE("path"), text.ptr[0] == '[' ? "false" : "true", arena, ret);
}

static bool convert_polygon(const struct pg_converter *c, struct slice text, struct arena *arena,
                            struct connect_value *ret)
{
    double *n;
    uint32_t count;
    struct slice wkb;

    if (!read_numbers(text, arena, &n, &count) || count < 2 || count % 2) return false;
    return write_wkb(WKB_POLYGON, n, count / 2, true, arena, &wkb) &&
           make_geometry(wkb, SLICE("polygon"), NULL, arena, ret);
}

static struct connect_schema *point_schema(struct arena *a, bool optional)
{
    struct connect_schema *p = connect_schema_struct(a, optional, "io.debezium.data.geometry.Point", 1, 4);

    if (!p || !connect_schema_leaf(a, p, "x", CONNECT_FLOAT64, false) ||
        !connect_schema_leaf(a, p, "y", CONNECT_FLOAT64, false) ||
        !connect_schema_leaf(a, p, "wkb", CONNECT_BYTES, true) ||
        !connect_schema_leaf(a, p, "srid", CONNECT_INT32, true))
        return NULL;
    p->doc = "Geometry (POINT)";
    return p;
}

bool pg_setup_point(struct pg_converter *c, const struct pg_setup *s)
{
    c->convert = convert_point;
    c->no_default = true;
    c->schema = point_schema(s->arena, s->optional);
    return c->schema && make_point((double[2]){0, 0}, s->arena, &c->neutral);
}

bool pg_setup_line(struct pg_converter *c, const struct pg_setup *s)
{
    struct arena *a = s->arena;

    if (s->config->profile == FORMAT_2) return false;
    c->convert = convert_line;
    c->no_default = true;
    c->schema = connect_schema_struct(a, s->optional, "io.debezium.data.geometry.Line", 1, 3);
    if (!c->schema) return false;
    c->schema->doc = "Geometry (LINE)";
    return connect_schema_leaf(a, c->schema, "a", CONNECT_FLOAT64, false) &&
           connect_schema_leaf(a, c->schema, "b", CONNECT_FLOAT64, false) &&
           connect_schema_leaf(a, c->schema, "c", CONNECT_FLOAT64, false) &&
           convert_line(c, SLICE("{0,0,0}"), a, &c->neutral);
}

bool pg_setup_circle(struct pg_converter *c, const struct pg_setup *s)
{
    if (s->config->profile == FORMAT_2) return false;
    c->convert = convert_circle;
    c->no_default = true;
    c->schema = connect_schema_struct(s->arena, s->optional, "io.debezium.data.geometry.Circle", 1, 2);
    struct connect_schema *center = point_schema(s->arena, false);
    if (!c->schema || !center) return false;
    c->schema->doc = "Geometry (CIRCLE)";
    connect_schema_field(c->schema, "center", center);
    return connect_schema_leaf(s->arena, c->schema, "radius", CONNECT_FLOAT64, false) &&
           convert_circle(c, SLICE("<(0,0),0>"), s->arena, &c->neutral);
}

static bool setup_geometry(struct pg_converter *c, const struct pg_setup *s, pg_convert_fn *convert,
                           struct slice neutral)
{
    struct arena *a = s->arena;

    if (s->config->profile == FORMAT_2) return false;
    c->convert = convert;
    c->no_default = true;
    c->schema = connect_schema_struct(a, s->optional, "io.debezium.data.geometry.Geometry", 2, 3);
    struct connect_schema *map = connect_schema_new(a, CONNECT_MAP, true);
    if (!c->schema || !map) return false;
    map->keys = map->items = connect_schema_new(a, CONNECT_STRING, false);
    c->schema->doc = "Geometry";
    if (!map->keys || !connect_schema_leaf(a, c->schema, "wkb", CONNECT_BYTES, false) ||
        !connect_schema_leaf(a, c->schema, "srid", CONNECT_INT32, true))
        return false;
    connect_schema_field(c->schema, "extensions", map);
    return convert(c, neutral, a, &c->neutral);
}

bool pg_setup_box(struct pg_converter *c, const struct pg_setup *s)
{
    return setup_geometry(c, s, convert_box, SLICE("(0,0),(0,0)"));
}

bool pg_setup_path(struct pg_converter *c, const struct pg_setup *s)
{
    return setup_geometry(c, s, convert_path, SLICE("((0,0))"));
}

bool pg_setup_polygon(struct pg_converter *c, const struct pg_setup *s)
{
    return setup_geometry(c, s, convert_polygon, SLICE("((0,0))"));
}
