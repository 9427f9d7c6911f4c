/* cdc/source_block.h: the "source" block of every event: schema and JSON, in both profiles. */
#ifndef OTTLA_CDC_SOURCE_BLOCK_H
#define OTTLA_CDC_SOURCE_BLOCK_H

#include "cdc/connect_schema.h"
#include "cdc/connector_config.h"
#include "cdc/source_position.h"

struct relation;

/* NULL: the arena is full. */
struct connect_schema *source_schema(struct arena *a, const struct pg_connector_config *config);

/* The block "transaction" of events. NULL: the arena is full. */
struct connect_schema *transaction_schema(struct arena *a);

/* `{"version":...,"name":...,"ts_ms":`: what is constant for a connector. */
void source_json_head(const struct pg_connector_config *config, struct bytes *out);
/* `"schema":"s","table":"t","txId":`: what is constant for a table; "" for logical messages. */
void source_json_table(const char *schema, const char *table, struct bytes *out);
/* Head, table part and all that changes from event to event. */
void source_json(struct bytes *out, const struct pg_connector_config *config, struct slice head, struct slice table,
                 const struct source_position *position);
/* One field by name, which must be one of the schema's. */
void source_json_field(struct bytes *out, const struct pg_connector_config *config, const char *schema,
                       const char *table, const struct source_position *position, const char *field);

#endif
