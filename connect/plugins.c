/* connect/plugins.c: see plugins.h. Names, types, defaults and order are those of Kafka Connect 4.3 and Debezium 3.7 (their
 * ConfigDef); only those are listed that have an effect here. A new converter or transform is a table and a row here, and its
 * work in cdc. Threads: constant tables. */
#include "connect/plugins.h"

#include "connect/rest.h"

#include <string.h>

static const struct property_info regex_router[] = {
    {"regex", "STRING", true, NULL, "HIGH", "Regular expression that the whole name of a topic must match.", NULL, -1,
     "NONE", NULL, NULL},
    {"replacement", "STRING", true, NULL, "HIGH", "The new name; $1, $2 stand for the groups of the expression.", NULL,
     -1, "NONE", NULL, NULL},
};

static const struct property_info unwrap[] = {
    {"delete.tombstone.handling.mode", "STRING", false, "tombstone", "MEDIUM",
     "What becomes of deletes and tombstones: drop, tombstone, rewrite, rewrite-with-tombstone, delete-to-tombstone.",
     NULL, 1, "MEDIUM", "Deletes and tombstones", NULL},
    {"add.fields.prefix", "STRING", false, "__", "LOW", "Put before the names of added fields.", NULL, 1, "SHORT",
     "Prefix of added fields", NULL},
    {"add.fields", "LIST", false, "", "LOW", "Metadata that becomes fields of the value, such as op or source.lsn.",
     NULL, 1, "LONG", "Added fields", NULL},
    {"add.headers.prefix", "STRING", false, "__", "LOW", "Put before the names of added headers.", NULL, 1, "SHORT",
     "Prefix of added headers", NULL},
    {"add.headers", "LIST", false, "", "LOW", "Metadata that becomes headers of the record.", NULL, 1, "LONG",
     "Added headers", NULL},
};

static const struct property_info json_converter[] = {
    {"converter.type", "STRING", true, NULL, "LOW", "What is converted: key, value or header.", NULL, -1, "NONE", NULL,
     NULL},
    {"schemas.enable", "BOOLEAN", false, "true", "HIGH", "Whether each value carries its schema.", "Schemas", 0,
     "MEDIUM", "Enable Schemas", NULL},
    {"replace.null.with.default", "BOOLEAN", false, "true", "LOW", "Whether a null field gets its default.",
     "Serialization", 1, "MEDIUM", "Replace null with default", NULL},
};

const struct plugin plugins_known[] = {
    {"io.debezium.transforms.ExtractNewRecordState", "transformation", NULL, unwrap, countof(unwrap)},
    {"org.apache.kafka.connect.transforms.RegexRouter", "transformation", CONNECT_VERSION, regex_router,
     countof(regex_router)},
    {"org.apache.kafka.connect.json.JsonConverter", "converter", CONNECT_VERSION, json_converter,
     countof(json_converter)},
    {"org.apache.kafka.connect.storage.SimpleHeaderConverter", "header_converter", CONNECT_VERSION, NULL, 0},
};
static_assert(countof(plugins_known) == PLUGINS_KNOWN_COUNT, "");

const struct plugin *plugin_find(const struct plugin *plugins, size_t plugins_count, const char *name)
{
    for (size_t i = 0; i < plugins_count; i++) {
        const char *dot = strrchr(plugins[i].class, '.');
        if (strcmp(plugins[i].class, name) == 0 || (dot && strcmp(dot + 1, name) == 0)) return &plugins[i];
    }
    return NULL;
}
