/* cdc/unwrap_plan.h: ExtractNewRecordState prepared for one relation version. */
#ifndef OTTLA_CDC_UNWRAP_PLAN_H
#define OTTLA_CDC_UNWRAP_PLAN_H

#include "cdc/relation.h"
#include "cdc/source_position.h"

/* One added field or header. */
struct unwrap_item {
    enum { ITEM_OP, ITEM_TS_MS, ITEM_TS_US, ITEM_TS_NS, ITEM_SOURCE, ITEM_TRANSACTION } kind;
    const char *field; /* of the source or transaction block */
    const char *name;
    struct slice json_name; /* `"name":` */
};

struct unwrap_plan {
    const struct unwrap *unwrap;
    const struct connect_schema *schema;
    struct slice json_head;       /* `{"schema":...,"payload":` of the flat row */
    struct slice json_null_value; /* what 3.x writes for a delete with schemas: a payload of null (defects) */
    struct unwrap_item *fields;
    uint32_t fields_count;
    struct unwrap_item *headers;
    uint32_t headers_count;
    /* route.by.field */
    int route_column;        /* index into the tuples; -1: not configured, or not possible */
    const char *route_error; /* .. for rows of this table; NULL: none */
    struct slice route_null; /* what a row has that sent no value: Connect's default of the field; empty: none */
};

/* NULL: the arena is full. */
struct unwrap_plan *unwrap_plan_new(const struct relation *r, const struct unwrap *unwrap);

/* The item's value as JSON; not of ITEM_TRANSACTION. */
void unwrap_item_json(const struct unwrap_item *item, const struct relation *r, char op,
                      const struct source_position *position, struct bytes *out);

#endif
