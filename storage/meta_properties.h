/* storage/meta_properties.h: `meta.properties`, which says whose a data directory is.
 *
 * Format (Kafka's, version 1, or 0 of older directories): lines of Java properties: version, cluster.id, node.id (version 0: broker.id),
 * directory.id. Threads: any. */
#ifndef OTTLA_META_PROPERTIES_H
#define OTTLA_META_PROPERTIES_H

#include "base/uuid.h"

#define META_PROPERTIES_TEXT_BYTES 256

struct meta_properties {
    char cluster_id[UUID_TEXT_MAX + 1];
    int32_t node_id;
    struct uuid directory_id; /* zero: none */
};

/* false: it has no cluster.id, or neither node.id nor broker.id. */
bool meta_properties_parse(const char *text, struct meta_properties *ret_meta) WARN_UNUSED;
void meta_properties_format(const struct meta_properties *meta, char ret_text[META_PROPERTIES_TEXT_BYTES]);

#endif
