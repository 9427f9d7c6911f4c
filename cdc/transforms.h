/* cdc/transforms.h: single message transforms that run inside the encoder.
 *
 * RegexRouter (topic names, once per relation version) and ExtractNewRecordState ("unwrap"; the flat row instead of the
 * envelope). Another class in `transforms`, and what of these two cannot be done, is refused when the configuration is checked:
 * silently leaving it out would change what consumers get. Source: Debezium 3.7.0.Final. Threads: read only once parsed. */
#ifndef OTTLA_CDC_TRANSFORMS_H
#define OTTLA_CDC_TRANSFORMS_H

#include "base/err.h"
#include "cdc/connect_schema.h"
#include "cdc/connector.h"

struct pg_connector_config;

/* What ExtractNewRecordState makes of a delete (d) and of the tombstone behind it (t). */
struct unwrap_deletes {
    bool rewrite;        /* d: the row with __deleted "true"; every other row has "false" */
    bool null_value;     /* d: a null value; else (without rewrite) d is dropped */
    bool keep_tombstone; /* t: passes; else dropped */
};

#define UNWRAP_HEADERS_MAX 48 /* of add.headers */

struct unwrap_field {
    char *path; /* as configured: "op", "source.ts_ms" */
    char *name; /* of the field or header: prefix and path with _ for the dot, or the alias */
};

struct unwrap {
    struct unwrap_deletes deletes;
    bool replace_null_with_default; /* in rewrite modes, where the row is copied */
    char *route_by_field;           /* of the row: its text is the topic, unless null or blank; NULL: not configured */
    uint32_t routers_before;        /* routers of the chain that stand before it: their work is lost when it routes */
    struct unwrap_field *fields;
    uint32_t fields_count;
    struct unwrap_field *headers;
    uint32_t headers_count;
};

struct transform_chain;

/* -EINVAL: a class that is not supported, a property that is missing or wrong; err->text is Connect's line without its
 * frame, ret_property (128 bytes) names the property. */
int transform_chain_parse(const struct cdc_pair *pairs, uint32_t pairs_count, bool profile_3, bool defects,
                          struct transform_chain **ret_chain, char *ret_property, struct err *err) WARN_UNUSED;
void transform_chain_free(struct transform_chain *chain);

/* NULL: not configured. */
const struct unwrap *transform_chain_unwrap(const struct transform_chain *chain);
/* Rows are written with their defaults for nulls, whatever the converter does. */
bool unwrap_replaces_null(const struct unwrap *u);
/* The topic's name after all routers, in the arena; NULL: full. */
const char *transform_chain_topic(const struct transform_chain *chain, struct arena *a, const char *topic);
/* The same for a topic that route_by_field chose: after the routers that stand behind it. */
const char *transform_chain_routed_topic(const struct transform_chain *chain, struct arena *a, const char *topic);

#endif
