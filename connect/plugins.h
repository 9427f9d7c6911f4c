/* connect/plugins.h: what a connector's configuration may name besides connectors: converters and transforms, as rows.
 *
 * The room cdc does their work; here is only what tools ask for: names, kinds, versions, properties.
 * Threads: constant tables. */
#ifndef OTTLA_CONNECT_PLUGINS_H
#define OTTLA_CONNECT_PLUGINS_H

#include "connect/connector_class.h"

struct plugin {
    const char *class, *type;
    const char *version; /* NULL in plugins_known: Debezium's, which is an option of the broker */
    const struct property_info *properties;
    size_t properties_count;
};

extern const struct plugin plugins_known[];
#define PLUGINS_KNOWN_COUNT 4

/* By full or simple class name. NULL: none. */
const struct plugin *plugin_find(const struct plugin *plugins, size_t plugins_count, const char *name);

#endif
