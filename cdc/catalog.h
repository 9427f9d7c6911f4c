/* cdc/catalog.h: resolves a table from the catalog of the database: runs the queries of relation.h.
 * Threads: the connection's. */
#ifndef OTTLA_CDC_CATALOG_H
#define OTTLA_CDC_CATALOG_H

#include "cdc/pg_conn.h"
#include "cdc/relation.h"

/* Fills the builder from the catalog, as of the connection's snapshot, and builds. 0; what pg_exec() returns; -EINVAL with
 * the builder's text. */
int catalog_resolve(struct pg_conn *c, struct relation_builder *b, const struct pg_connector_config *config,
                    struct relation **ret_relation, struct pg_error *err) WARN_UNUSED;

#endif
