/* cdc/names.h: names of topics, schemas and fields made from names of the database.
 *
 * Rules work on UTF-16 units, as Debezium's do: a character outside the basic plane is two. Results are in the arena;
 * NULL: the arena is full. */
#ifndef OTTLA_CDC_NAMES_H
#define OTTLA_CDC_NAMES_H

#include "base/arena.h"
#include "cdc/connector_config.h"

/* prefix, schema and table joined by the delimiter; what is not [A-Za-z0-9._-] becomes _. */
const char *name_topic(struct arena *a, const struct pg_connector_config *config, const char *schema,
                       const char *table);
/* schema.name.adjustment.mode: for the full name of a struct. */
const char *name_schema(struct arena *a, enum adjust_mode mode, const char *name);
/* field.name.adjustment.mode: dots are not allowed. */
const char *name_field(struct arena *a, enum adjust_mode mode, const char *name);

#endif
