/* cdc/relation.h: a resolved version of a table: all that is needed to turn its rows into records.
 *
 * Made from two sources: pgoutput's Relation message (columns and types as the WAL has them) and the catalog (key, NOT NULL,
 * defaults, type details), or from the catalog alone (snapshot). What is constant for every row is computed here once: topic
 * name, schema texts, quoted field names, a converter per column.
 * A version is stored in the journal before its first use and read back for replay, so that DDL done meanwhile changes
 * neither the keys nor the schemas of what was written before (docs/exactly-once.md).
 * Invariants: nothing changes after relation_build(). Threads: read only, any. */
#ifndef OTTLA_CDC_RELATION_H
#define OTTLA_CDC_RELATION_H

#include "base/bytes.h"
#include "base/err.h"
#include "cdc/connect_schema.h"
#include "cdc/connect_value.h"
#include "cdc/connector_config.h"
#include "cdc/pgoutput.h"

/* ---- reading the catalog: the caller runs the SQL (text results) and hands each row over ---- */

/* Columns of one table in attnum order. $1: oid of the table, as text. */
extern const char relation_columns_sql[];
#define RELATION_COLUMN_FIELDS 10
/* Types of the table's columns and of $2 (an oid array as text, '{16,25}': the types of the Relation message), and all they
 * are made of (bases of domains, elements of arrays). $1: oid of the table. */
extern const char relation_types_sql[];
#define RELATION_TYPE_FIELDS 8
/* Tables of the database that could be captured, by schema and name: oid, schema, name, relkind, relreplident,
 * relispartition ('t'/'f'), reltuples. */
extern const char relation_tables_sql[];
#define RELATION_TABLE_FIELDS 7

struct relation_builder;

/* From a Relation message; the builder copies what it needs. */
struct relation_builder *relation_builder_new_stream(const struct pgoutput_relation *message);
/* From the catalog, for a snapshot. replica_identity: relreplident. */
struct relation_builder *relation_builder_new_snapshot(uint32_t oid, const char *schema, const char *table, char replica_identity);
void relation_builder_free(struct relation_builder *b);

uint32_t relation_builder_oid(const struct relation_builder *b);
/* $2 of relation_types_sql: malloc'd, to be freed. */
char *relation_builder_type_oids(const struct relation_builder *b);
/* One row of each query. A null field is a slice with ptr NULL. -EBADMSG: not a row of that query. */
int relation_builder_add_column(struct relation_builder *b, const struct slice fields[RELATION_COLUMN_FIELDS], struct err *err) WARN_UNUSED;
int relation_builder_add_type(struct relation_builder *b, const struct slice fields[RELATION_TYPE_FIELDS], struct err *err) WARN_UNUSED;

/* ---- the resolved version ---- */

struct relation_column;

/* How a column's text becomes a value. Returns false when the text cannot be represented (the caller writes null or fails,
 * event.converting.failure.handling.mode). arena holds what is not a part of text. */
typedef bool relation_convert_fn(const struct relation_column *c, struct slice text, struct arena *arena, struct connect_value *ret_value);

/* A type as far as conversion needs it: domains are resolved to their base. */
struct relation_type {
    uint32_t oid;        /* base type */
    int32_t typmod;      /* -1: none */
    char *name;          /* typname of the base type */
    char kind;           /* typtype: b base, e enum, c composite, r range, m multirange */
    char *enum_labels;   /* comma separated, in order; NULL unless kind is e */
    struct relation_type *element; /* of an array; NULL: not an array */
};

struct relation_column {
    char *name;                  /* in the database */
    uint32_t type_oid;           /* declared type, may be a domain's */
    int32_t typmod;
    bool not_null;
    bool generated;
    char *default_expression;    /* pg_get_expr; NULL: none */
    uint32_t pk_position;        /* from 1; 0: not in the primary key */
    uint32_t identity_position;  /* from 1 in the index of REPLICA IDENTITY USING INDEX */
    struct relation_type *type;
    /* computed */
    bool captured;               /* in before and after: passes the column filters and has a converter */
    relation_convert_fn *convert;
    struct connect_schema *schema; /* of the field; NULL: not captured and not in the key */
    const struct connect_value *default_value; /* NULL: none */
    struct connect_value neutral;  /* stands for null where the schema is not optional */
    struct connect_value unavailable; /* stands for an unchanged TOAST value */
    struct slice json_name;      /* `"name":` */
    const struct pg_connector_config *config;
};

struct relation {
    uint32_t oid;
    char *schema;
    char *table;
    char replica_identity;       /* d, n, f, i */
    bool snapshot;               /* made for a snapshot: has the generated columns */
    struct relation_column *columns; /* in the order of the tuples */
    uint32_t columns_count;
    uint32_t *key;               /* indexes into columns, in the order of the key; */
    uint32_t key_count;          /* 0: records have a null key */
    bool captured;               /* passes the table filters */

    char *topic;
    struct connect_schema *key_schema;   /* NULL without key */
    struct connect_schema *value_schema; /* the envelope, or what the transforms make of it */
    /* constant parts of the JSON; owned */
    struct bytes json_key_head;     /* {"schema":...,"payload": or empty */
    struct bytes json_value_head;
    struct bytes json_source_head;  /* "source":{...,"ts_ms": */
    struct bytes json_source_table; /* ,"schema":...,"table":...,"txId": */
    struct arena *arena;            /* of all that was computed */
};

/* Resolves. The builder may be freed afterwards; config must outlive the relation.
 * -EINVAL: a type that the catalog rows do not describe, a key column that does not exist. */
int relation_build(const struct relation_builder *b, const struct pg_connector_config *config, struct relation **ret_relation,
                   struct err *err) WARN_UNUSED;
void relation_free(struct relation *r);

/* The journal's form: all that came from outside; what is computed is a function of it and of the configuration.
 * Format: docs/cdc-relation.md. relation_decode: -EBADMSG when damaged or newer than we are. */
void relation_encode(const struct relation *r, struct bytes *out);
int relation_decode(struct slice bytes, const struct pg_connector_config *config, struct relation **ret_relation,
                    struct err *err) WARN_UNUSED;

/* Statement that reads the table for a snapshot: columns in the order of r->columns, as text: malloc'd.
 *   COPY (SELECT ...) TO STDOUT   when copy, else SELECT ... */
char *relation_select_sql(const struct relation *r, bool copy);

#endif
