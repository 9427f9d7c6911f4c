/* cdc/connect_schema.h: Kafka Connect's schemas as a tree: what the schema texts of JSON (and Avro) are made from.
 *
 * Source: Kafka's documentation of Connect, JsonConverter's output (golden scenarios). Trees live in an arena.
 * Invariants: immutable once built; a child may be shared by several parents. Threads: read only, any. */
#ifndef OTTLA_CDC_CONNECT_SCHEMA_H
#define OTTLA_CDC_CONNECT_SCHEMA_H

#include "base/arena.h"
#include "base/bytes.h"
#include "cdc/connect_value.h"

#define CONNECT_DECIMAL "org.apache.kafka.connect.data.Decimal"

enum connect_type {
    CONNECT_INT8,
    CONNECT_INT16,
    CONNECT_INT32,
    CONNECT_INT64,
    CONNECT_FLOAT32,
    CONNECT_FLOAT64,
    CONNECT_BOOLEAN,
    CONNECT_STRING,
    CONNECT_BYTES,
    CONNECT_ARRAY,
    CONNECT_MAP,
    CONNECT_STRUCT,
};

struct connect_parameter {
    const char *name;
    const char *value;
};

struct connect_field {
    const char *name;
    const struct connect_schema *schema;
};

#define CONNECT_PARAMETERS_MAX 4

struct connect_schema {
    enum connect_type type;
    bool optional;
    const char *name; /* semantic name; NULL: none */
    int version;      /* 0: none */
    const char *doc;  /* NULL: none */
    struct connect_parameter parameters[CONNECT_PARAMETERS_MAX];
    uint32_t parameters_count;
    const struct connect_value *default_value; /* NULL: none */
    const struct connect_schema *items;        /* of an array; of a map: its values */
    const struct connect_schema *keys;         /* of a map */
    struct connect_field *fields;              /* of a struct */
    uint32_t fields_count;
};

/* A zeroed schema with type and optional set. NULL: the arena is full. */
struct connect_schema *connect_schema_new(struct arena *a, enum connect_type type, bool optional);
/* A struct with room for fields_max fields. */
struct connect_schema *connect_schema_struct(struct arena *a, bool optional, const char *name, int version,
                                             uint32_t fields_max);
/* Appends a field; there must be room. */
void connect_schema_field(struct connect_schema *s, const char *name, const struct connect_schema *field);
/* Appends a plain field. false: the arena is full. */
bool connect_schema_leaf(struct arena *a, struct connect_schema *s, const char *field_name, enum connect_type type,
                         bool optional) WARN_UNUSED;

/* Appends the schema as JsonConverter writes it. field_name: the "field" member; NULL: none. */
void connect_schema_json(const struct connect_schema *s, const char *field_name, enum decimal_format decimals,
                         struct bytes *out);

#endif
