/* cdc/relation.h: a resolved version of a table: all that is needed to turn its rows into records.
 *
 * Made from two sources: pgoutput's Relation message (columns and types as the WAL has them) and the catalog (key, NOT
 * NULL, defaults, type details), or from the catalog alone (snapshot). What is constant for every row is computed here
 * once: topic name, schema texts, quoted field names, a converter per column. A version is stored in the journal before
 * its first use and read back for replay, so that DDL done meanwhile changes neither the keys nor the schemas of what
 * was written before (docs/exactly-once.md). Invariants: nothing changes after relation_build(). Threads: read only,
 * any. */
#ifndef OTTLA_CDC_RELATION_H
#define OTTLA_CDC_RELATION_H

#include "base/bytes.h"
#include "base/err.h"
#include "cdc/connector_config.h"
#include "cdc/pg_value.h"
#include "cdc/pgoutput.h"

/* ---- reading the catalog: the caller runs the SQL (text results) and hands each row over ---- */

/* Columns of one table in attnum order. $1: oid of the table, as text. */
extern const char relation_columns_sql[];
#define RELATION_COLUMN_FIELDS 8
/* Types of the table's columns and of $2 (an oid array as text, '{16,25}': the types of the Relation message), and all
 * they are made of (bases of domains, elements of arrays). $1: oid of the table. */
extern const char relation_types_sql[];
#define RELATION_TYPE_FIELDS 7
/* Tables of the database that could be captured, by schema and name: oid, schema, name, relkind, relreplident,
 * relispartition ('t'/'f'), reltuples. */
extern const char relation_tables_sql[];
#define RELATION_TABLE_FIELDS 7

struct relation_builder;

/* From a Relation message; the builder copies what it needs. */
struct relation_builder *relation_builder_new_stream(const struct pgoutput_relation *message);
/* From the catalog, for a snapshot. replica_identity: relreplident. */
struct relation_builder *relation_builder_new_snapshot(uint32_t oid, const char *schema, const char *table,
                                                       char replica_identity);
void relation_builder_free(struct relation_builder *b);

uint32_t relation_builder_oid(const struct relation_builder *b);
/* $2 of relation_types_sql: malloc'd, to be freed. */
char *relation_builder_type_oids(const struct relation_builder *b);
/* One row of each query. A null field is a slice with ptr NULL. -EBADMSG: not a row of that query. */
int relation_builder_add_column(struct relation_builder *b, const struct slice fields[RELATION_COLUMN_FIELDS],
                                struct err *err) WARN_UNUSED;
int relation_builder_add_type(struct relation_builder *b, const struct slice fields[RELATION_TYPE_FIELDS],
                              struct err *err) WARN_UNUSED;

/* ---- the resolved version ---- */

/* Constant JSON of a column. */
struct column_json {
    struct slice null;        /* what stands for null: null, the default or the type's neutral value */
    struct slice unavailable; /* what stands for an unchanged TOAST value */
};

/* A column as it came from outside: the order is that of the tuples. */
struct relation_column {
    const char *name;  /* in the database */
    uint32_t type_oid; /* declared type, may be a domain's */
    int32_t typmod;
    bool not_null;
    bool generated;
    const char *default_expression; /* pg_get_expr; NULL: none */
    uint32_t pk_position;           /* from 1; 0: not in the primary key */
    uint32_t identity_position;     /* from 1, in the index of REPLICA IDENTITY USING INDEX */
    /* computed */
    bool captured;                        /* in before and after: passes the column filters and its type is shown */
    const struct pg_converter *converter; /* NULL: its type is not shown */
    const char *field_name;               /* adjusted */
    struct slice json_name;               /* `"name":` */
    struct column_json in_value, in_key;  /* keys and values have converters of their own */
};

struct relation_type; /* a row of relation_types_sql */

struct relation {
    uint32_t oid;
    const char *schema;
    const char *table;
    char replica_identity;           /* d, n, f, i */
    bool snapshot;                   /* made for a snapshot: has generated columns */
    struct relation_column *columns; /* in the order of the tuples */
    uint32_t columns_count;
    struct relation_type *types;
    uint32_t types_count;

    /* computed */
    bool captured;      /* passes the table filters */
    uint32_t *key;      /* indexes into columns, in the order of the key */
    uint32_t key_count; /* 0: records have a null key */
    const char *topic;
    const struct connect_schema *key_schema;   /* NULL without key */
    const struct connect_schema *value_schema; /* of a row: before, after */
    const struct connect_schema *envelope_schema;
    /* constant parts of the JSON */
    struct slice json_key_head;     /* `{"schema":...,"payload":`; empty without schemas */
    struct slice json_value_head;   /* the same of the envelope */
    struct slice json_source_table; /* `"schema":"public","table":"t","txId":` */
    struct unwrap_plan *unwrap;     /* ExtractNewRecordState's constant parts; NULL: not configured */
    const struct pg_connector_config *config;
    struct arena *arena; /* of all that stands here */
};

/* Resolves. The builder may be freed afterwards; config must outlive the relation.
 * -EINVAL: a type that the catalog rows do not describe, a key column that does not exist. */
int relation_build(const struct relation_builder *b, const struct pg_connector_config *config,
                   struct relation **ret_relation, struct err *err) WARN_UNUSED;
void relation_free(struct relation *r);

/* The journal's form: all that came from outside; what is computed is a function of it and of the configuration.
 * Format: docs/cdc-relation.md. relation_decode: -EBADMSG when damaged or newer than we are. */
void relation_encode(const struct relation *r, struct bytes *out);
int relation_decode(struct slice bytes, const struct pg_connector_config *config, struct relation **ret_relation,
                    struct err *err) WARN_UNUSED;

/* Statement that reads the table for a snapshot, with the rows of its partitions and children: columns in the order of
 * r->columns, as text: malloc'd. copy: COPY (SELECT ...) TO STDOUT, else SELECT ... */
char *relation_select_sql(const struct relation *r, bool copy);

#endif
