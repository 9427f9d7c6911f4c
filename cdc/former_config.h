/* cdc/former_config.h: the configuration that the records behind the journal's position were made with, kept in the journal, so that a
 * replay can be finished with it after the connector was given another one (docs/exactly-once.md).
 *
 * Format: docs/format-cdc-journal.md, RELATION with oid 0xffffffff. Only what decides the records is kept
 * (connector_property_is_output()): no host, user, password. Threads: the connector's. */
#ifndef OTTLA_CDC_FORMER_CONFIG_H
#define OTTLA_CDC_FORMER_CONFIG_H

#include "cdc/connector_config.h"
#include "cdc/journal.h"

/* Of the configuration that applies from the journal's position on; durable when it returns, nothing when it is there. */
int former_config_remember(struct journal *j, const struct pg_connector_config *config) WARN_UNUSED;
/* The configuration that applies at the journal's position, for all that decides the records, and `posted` for the rest: to be
 * freed with connector_config_free(). -ENOENT: the journal does not have it (it was written before this was kept). */
int former_config_find(struct journal *j, const struct pg_connector_config *posted,
                       struct pg_connector_config **ret_config) WARN_UNUSED;

#endif
