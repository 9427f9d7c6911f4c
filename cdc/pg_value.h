/* cdc/pg_value.h: from the server's text of a value to a Connect value: one converter per column.
 *
 * Types and their forms: docs/cdc-types.md (observed of Debezium). Text is read in the formats that PG_SESSION_OPTIONS
 * ask the server for. A converter is made once per relation version; converting allocates only from the arena it is
 * given. Files: pg_value.c (choice, integers, text, bits), pg_numeric.c, pg_time.c, pg_geometry.c, pg_container.c
 * (arrays, hstore). Threads: converters are read only. */
#ifndef OTTLA_CDC_PG_VALUE_H
#define OTTLA_CDC_PG_VALUE_H

#include "cdc/connect_schema.h"
#include "cdc/connect_value.h"
#include "cdc/connector_config.h"

/* "options" of every connection that reads rows or defaults, replication connections included: these formats are
 * parsed. */
#define PG_SESSION_OPTIONS                                                                                             \
    "-c DateStyle=ISO -c IntervalStyle=postgres -c TimeZone=UTC -c extra_float_digits=1 -c bytea_output=hex"           \
    " -c lc_monetary=C -c standard_conforming_strings=on -c client_encoding=UTF8"

/* A type as far as conversion needs it: domains are resolved to their base. */
struct pg_type {
    uint32_t oid;
    int32_t typmod;                /* -1: none */
    const char *name;              /* typname */
    char kind;                     /* typtype: b base, e enum, c composite, r range, m multirange, p pseudo */
    const char *enum_labels;       /* comma separated, in order; NULL unless an enum */
    const struct pg_type *element; /* of an array, with the array's modifier; NULL: no array */
};

struct pg_converter;

/* false: the text is not of the type or not representable. */
typedef bool pg_convert_fn(const struct pg_converter *c, struct slice text, struct arena *arena,
                           struct connect_value *ret_value);

struct pg_converter {
    pg_convert_fn *convert;
    struct connect_schema *schema;
    const struct pg_converter *element; /* of an array */
    int32_t precision;                  /* of times: digits of the fraction, 0 to 6 */
    int32_t scale;                      /* of decimals */
    enum binary_mode binary;
    bool snapshot;    /* rows come from a snapshot */
    bool defects;     /* pg_connector_config.debezium_defects */
    bool no_default;  /* Debezium shows no default for the type */
    bool midnight_24; /* timetz 24:00 stays so (3.x) */
    struct connect_value
        neutral; /* stands for null where null is not allowed, and for defaults that are function calls */
    struct connect_value unavailable; /* stands for an unchanged TOAST value; VALUE_NULL: such values become null */
};

/* Chooses schema and converter, in the arena. NULL: a type that events do not show (or no room in the arena). */
struct pg_converter *pg_converter_new(struct arena *a, const struct pg_connector_config *config,
                                      const struct pg_type *type, bool optional, bool snapshot);

/* Value of a default expression (pg_get_expr). Returns false when the schema shows none. */
bool pg_default_value(const struct pg_converter *c, const char *expression, struct arena *arena,
                      struct connect_value *ret_value);

/* Bytes in the form of the mode: as they are, or as text in the arena. false: the arena is full. */
bool pg_present_bytes(enum binary_mode mode, struct slice data, struct arena *arena, struct connect_value *ret_value);

/* ---- used between the files of this family ---- */

struct pg_setup {
    struct arena *arena;
    const struct pg_connector_config *config;
    const struct pg_type *type;
    bool optional;
    bool snapshot;
};

/* Sets schema and converter; false: the type is not shown. */
typedef bool pg_setup_fn(struct pg_converter *c, const struct pg_setup *s);

pg_setup_fn pg_setup_numeric, pg_setup_money;
pg_setup_fn pg_setup_date, pg_setup_time, pg_setup_timetz, pg_setup_timestamp, pg_setup_timestamptz, pg_setup_interval;
pg_setup_fn pg_setup_point, pg_setup_line, pg_setup_box, pg_setup_path, pg_setup_polygon, pg_setup_circle;
pg_setup_fn pg_setup_array, pg_setup_hstore;

/* A schema with semantic name (version 1) or NULL; false: the arena is full. */
bool pg_schema(struct pg_converter *c, const struct pg_setup *s, enum connect_type type, const char *semantic_name);

static inline struct connect_value value_int(int64_t v)
{
    return (struct connect_value){.kind = VALUE_INT, .integer = v};
}
static inline struct connect_value value_string(struct slice s)
{
    return (struct connect_value){.kind = VALUE_STRING, .text = s};
}
static inline struct connect_value value_bytes(struct slice s)
{
    return (struct connect_value){.kind = VALUE_BYTES, .text = s};
}
static inline struct connect_value value_double(double v)
{
    return (struct connect_value){.kind = VALUE_FLOAT64, .number = v};
}

/* Whole text as a decimal integer within bounds. */
bool pg_parse_int(struct slice text, int64_t min, int64_t max, int64_t *ret);
/* Whole text as a floating point number, with NaN and infinities. */
bool pg_parse_double(struct slice text, double *ret);

#endif
