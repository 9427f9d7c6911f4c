/* cdc/connector_properties.c: the rows of connector_config.h.
 *
 * Names, types, defaults and words are those of Debezium 3.7.0.Final and of Connect's own source properties; texts are
 * ours. To add a property: a row here, a field in struct pg_connector_config, a line in connector_config.c. */
#include "cdc/connector_config.h"

/* ---- checks beyond the type ---- */

#define SLOT_NAME_MAX 63

static const char *check_slot_name(struct slice value)
{
    bool good = value.len > 0 && value.len <= SLOT_NAME_MAX;

    for (uint32_t i = 0; i < value.len && good; i++) {
        uint8_t c = value.ptr[i];
        good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    }
    return good ? NULL
                : "Valid replication slot name must contain only digits, lowercase characters and underscores with "
                  "length <= 63";
}

static const char *check_topic_prefix(struct slice value)
{
    for (uint32_t i = 0; i < value.len; i++) {
        uint8_t c = value.ptr[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                    c == '-' || c == '.';
        if (!good) return "only alphanumeric characters, hyphens, underscores and dots are allowed";
    }
    return NULL;
}

static const char *check_positive(struct slice value)
{
    AUTO_FREE char *text = slice_strdup(value);
    char *end;
    long long v = strtoll(text, &end, 10);

    return *end || v <= 0 ? "A positive, non-zero integer value is expected" : NULL;
}

static const char *check_port(struct slice value)
{
    AUTO_FREE char *text = slice_strdup(value);
    long long v = strtoll(text, NULL, 10);

    return v < 0 || v > 65535 ? "A port between 0 and 65535 is expected" : NULL;
}

/* More digits than numeric has make no sense. */
static const char *check_fraction_digits(struct slice value)
{
    AUTO_FREE char *text = slice_strdup(value);
    long long v = strtoll(text, NULL, 10);

    return v < 0 || v > 1000 ? "A number between 0 and 1000 is expected" : NULL;
}

/* A value that Debezium knows and we do not: better refused than taken for the default. */
static const char *check_known(struct slice value)
{
    AUTO_FREE char *word = slice_strdup(value);

    if (strcasecmp(word, "custom") == 0) return "\"custom\" needs a Java class, which cannot be run here";
    return strcasecmp(word, "structured") == 0 ? "\"structured\" is not supported yet" : NULL;
}

static const char *check_converter(struct slice value)
{
    return slice_eq_text(value, "org.apache.kafka.connect.json.JsonConverter") || slice_eq_text(value, "JsonConverter")
               ? NULL
               : "Only org.apache.kafka.connect.json.JsonConverter is supported yet";
}

/* ---- rows: name, type, default, required, importance, words, older words, check, support, group, order, width,
 * display name, documentation, since ---- */

const struct connector_property connector_properties[] = {
    {"name", PROPERTY_STRING, NULL, false, IMPORTANCE_HIGH, NULL, NULL, NULL, PROPERTY_IMPLEMENTED, "Common", 1,
     "MEDIUM", "Connector name", "Name of the connector, unique in this Connect.", NULL},
    {"connector.class", PROPERTY_STRING, NULL, false, IMPORTANCE_HIGH, NULL, NULL, NULL, PROPERTY_IMPLEMENTED, "Common",
     2, "LONG", "Connector class", "Class of the connector; chooses the native PostgreSQL ingester.", NULL},
    {"connector.plugin.version", PROPERTY_STRING, "3.7.0.Final", false, IMPORTANCE_MEDIUM, NULL, NULL, NULL,
     PROPERTY_IMPLEMENTED, "Common", 3, "MEDIUM", "Connector plugin version",
     "Version whose event format is wanted; 2.x gives the form of Debezium 2.", NULL},
    {"tasks.max", PROPERTY_INT, "1", false, IMPORTANCE_HIGH, NULL, NULL, NULL, PROPERTY_IMPLEMENTED, "Common", 4,
     "SHORT", "Tasks max", "Number of tasks; this connector always has one.", NULL},
    {"tasks.max.enforce", PROPERTY_BOOLEAN, "true", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Common", 5, "SHORT", "Enforce tasks max", "Has no effect: there is one task.", NULL},
    {"key.converter", PROPERTY_CLASS, NULL, false, IMPORTANCE_LOW, NULL, NULL, check_converter, PROPERTY_IMPLEMENTED,
     "Common", 6, "SHORT", "Key converter class", "Converter of keys: JsonConverter.", NULL},
    {"key.converter.plugin.version", PROPERTY_STRING, NULL, false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Common", 7, "SHORT", "Key converter version", "Accepted for compatibility.", NULL},
    {"value.converter", PROPERTY_CLASS, NULL, false, IMPORTANCE_LOW, NULL, NULL, check_converter, PROPERTY_IMPLEMENTED,
     "Common", 8, "SHORT", "Value converter class", "Converter of values: JsonConverter.", NULL},
    {"value.converter.plugin.version", PROPERTY_STRING, NULL, false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Common", 9, "SHORT", "Value converter version", "Accepted for compatibility.", NULL},
    {"header.converter", PROPERTY_CLASS, NULL, false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IMPLEMENTED, "Common",
     10, "SHORT", "Header converter class", "Headers are always written as text.", NULL},
    {"header.converter.plugin.version", PROPERTY_STRING, NULL, false, IMPORTANCE_LOW, NULL, NULL, NULL,
     PROPERTY_IGNORED, "Common", 11, "SHORT", "Header converter version", "Accepted for compatibility.", NULL},
    {"transforms", PROPERTY_LIST, "", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IMPLEMENTED, "Transforms", 1,
     "LONG", "Transforms", "Aliases of the transforms that records pass, in order.", NULL},
    {"predicates", PROPERTY_LIST, "", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IGNORED, "Predicates", 1,
     "LONG", "Predicates", "Aliases of predicates that transforms refer to.", NULL},
    {"config.action.reload", PROPERTY_STRING, "restart", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Error Handling", 1, "MEDIUM", "Reload action", "Accepted for compatibility.", NULL},
    {"errors.retry.timeout", PROPERTY_LONG, "0", false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Error Handling", 2, "MEDIUM", "Retry timeout for errors",
     "Accepted for compatibility: lost connections are tried again for ever.", NULL},
    {"errors.retry.delay.max.ms", PROPERTY_LONG, "60000", false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Error Handling", 3, "MEDIUM", "Maximum delay between retries", "Accepted for compatibility.", NULL},
    {"errors.tolerance", PROPERTY_STRING, "none", false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Error Handling", 4, "SHORT", "Error tolerance", "Accepted for compatibility: conversion never drops a record.",
     NULL},
    {"errors.log.enable", PROPERTY_BOOLEAN, "false", false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Error Handling", 5, "SHORT", "Log errors", "Accepted for compatibility: errors are always logged.", NULL},
    {"errors.log.include.messages", PROPERTY_BOOLEAN, "false", false, IMPORTANCE_MEDIUM, NULL, NULL, NULL,
     PROPERTY_IGNORED, "Error Handling", 6, "SHORT", "Log error details", "Accepted for compatibility.", NULL},
    {"topic.creation.groups", PROPERTY_LIST, "", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Topic Creation", 1, "LONG", "Topic creation groups", "Names of topic groups; the group default is always there.",
     NULL},
    {"exactly.once.support", PROPERTY_STRING, "requested", false, IMPORTANCE_MEDIUM, NULL, NULL, NULL,
     PROPERTY_IMPLEMENTED, "Exactly Once Support", 1, "SHORT", "Exactly once support",
     "Accepted for compatibility: events are always delivered exactly once.", NULL},
    {"transaction.boundary", PROPERTY_STRING, "poll", false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Exactly Once Support", 2, "SHORT", "Transaction boundary",
     "Accepted for compatibility: units of whole transactions.", NULL},
    {"transaction.boundary.interval.ms", PROPERTY_LONG, NULL, false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Exactly Once Support", 3, "SHORT", "Transaction interval", "Accepted for compatibility.", NULL},
    {"offsets.storage.topic", PROPERTY_STRING, NULL, false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IGNORED,
     "offsets.topic", 1, "LONG", "Offsets topic", "Accepted for compatibility: positions are kept with the events.",
     NULL},
    {"topic.prefix", PROPERTY_STRING, NULL, true, IMPORTANCE_HIGH, NULL, NULL, check_topic_prefix, PROPERTY_IMPLEMENTED,
     "Postgres", 1, "MEDIUM", "Topic prefix", "First part of all topic names; identifies the database server.", NULL},
    {"database.hostname", PROPERTY_STRING, NULL, true, IMPORTANCE_HIGH, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Postgres", 2, "MEDIUM", "Hostname", "Name or address of the PostgreSQL server.", NULL},
    {"database.port", PROPERTY_INT, "5432", false, IMPORTANCE_HIGH, NULL, NULL, check_port, PROPERTY_IMPLEMENTED,
     "Postgres", 3, "SHORT", "Port", "TCP port of the PostgreSQL server.", NULL},
    {"database.user", PROPERTY_STRING, NULL, true, IMPORTANCE_HIGH, NULL, NULL, NULL, PROPERTY_IMPLEMENTED, "Postgres",
     4, "SHORT", "User", "User to connect as; needs the right to replicate.", NULL},
    {"database.password", PROPERTY_PASSWORD, NULL, false, IMPORTANCE_HIGH, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Postgres", 5, "SHORT", "Password", "Password of the user.", NULL},
    {"database.dbname", PROPERTY_STRING, NULL, true, IMPORTANCE_HIGH, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Postgres", 6, "MEDIUM", "Database", "Database whose changes are captured.", NULL},
    {"database.include.list", PROPERTY_LIST, NULL, false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Postgres", 7, "LONG", "Included databases", "Accepted for compatibility: one database is captured.", "3.0"},
    {"database.exclude.list", PROPERTY_LIST, NULL, false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Postgres", 8, "LONG", "Excluded databases", "Accepted for compatibility: one database is captured.", "3.0"},
    {"database.query.timeout.ms", PROPERTY_INT, "600000", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Postgres", 9, "SHORT", "Query timeout (ms)", "Longest time that one query may take.", "3.0"},
    {"database.initial.statements", PROPERTY_STRING, NULL, false, IMPORTANCE_LOW, NULL, NULL, NULL,
     PROPERTY_IMPLEMENTED, "Postgres", 10, "LONG", "Initial statements",
     "SQL run at the start of each ordinary connection, separated by semicolons.", NULL},
    {"database.tcpKeepAlive", PROPERTY_BOOLEAN, "true", false, IMPORTANCE_MEDIUM, NULL, NULL, NULL,
     PROPERTY_IMPLEMENTED, "Postgres", 11, "SHORT", "TCP keep-alive", "Probes idle connections.", NULL},
    {"database.sslmode", PROPERTY_STRING, "prefer", false, IMPORTANCE_MEDIUM,
     "allow,prefer,disable,verify-ca,require,verify-full", NULL, NULL, PROPERTY_IMPLEMENTED, "Postgres", 12, "MEDIUM",
     "SSL mode", "How the connection is encrypted and the server checked.", NULL},
    {"database.sslcert", PROPERTY_STRING, NULL, false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Postgres", 13, "LONG", "SSL client certificate", "File of the client's certificate.", NULL},
    {"database.sslkey", PROPERTY_STRING, NULL, false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Postgres", 14, "LONG", "SSL client key", "File of the client's private key.", NULL},
    {"database.sslpassword", PROPERTY_PASSWORD, NULL, false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Postgres", 15, "MEDIUM", "SSL client key password", "Password of the private key.", NULL},
    {"database.sslrootcert", PROPERTY_STRING, NULL, false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Postgres", 16, "LONG", "SSL root certificate", "File of certificates that the server's is checked against.",
     NULL},
    {"database.sslfactory", PROPERTY_STRING, NULL, false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Postgres", 17, "LONG", "SSL factory", "Accepted for compatibility.", NULL},
    {"plugin.name", PROPERTY_STRING, "decoderbufs", false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Postgres", 18, "MEDIUM", "Plugin", "Output plugin: always pgoutput.", NULL},
    {"slot.name", PROPERTY_STRING, "debezium", false, IMPORTANCE_MEDIUM, NULL, NULL, check_slot_name,
     PROPERTY_IMPLEMENTED, "Postgres", 19, "MEDIUM", "Slot", "Name of the replication slot.", NULL},
    {"slot.drop.on.stop", PROPERTY_BOOLEAN, "false", false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Postgres", 20, "MEDIUM", "Drop slot on stop",
     "Drops the slot when the connector stops; changes until the next start are lost.", NULL},
    {"slot.failover", PROPERTY_BOOLEAN, "false", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Postgres", 21, "SHORT", "Failover slot", "Makes the slot one that is copied to standbys (PostgreSQL 17).", "3.0"},
    {"slot.stream.params", PROPERTY_STRING, NULL, false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Postgres", 22, "LONG", "Stream parameters", "Further options of START_REPLICATION, as name=value;name=value.",
     NULL},
    {"slot.max.retries", PROPERTY_INT, "6", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IMPLEMENTED, "Postgres",
     23, "SHORT", "Slot retries", "How often a slot in use is tried again.", NULL},
    {"slot.retry.delay.ms", PROPERTY_LONG, "10000", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Postgres", 24, "SHORT", "Slot retry delay (ms)", "Delay between these tries.", NULL},
    {"publication.name", PROPERTY_STRING, "dbz_publication", false, IMPORTANCE_MEDIUM, NULL, NULL, NULL,
     PROPERTY_IMPLEMENTED, "Postgres", 25, "MEDIUM", "Publication", "Name of the publication.", NULL},
    {"publication.autocreate.mode", PROPERTY_STRING, "all_tables", false, IMPORTANCE_MEDIUM,
     "no_tables,filtered,disabled,all_tables", NULL, NULL, PROPERTY_IMPLEMENTED, "Postgres", 26, "MEDIUM",
     "Publication creation", "Which tables the publication is made for when it is missing.", NULL},
    {"publish.via.partition.root", PROPERTY_BOOLEAN, "false", false, IMPORTANCE_LOW, NULL, NULL, NULL,
     PROPERTY_IMPLEMENTED, "Postgres", 27, "SHORT", "Publish via partition root",
     "Changes of partitions appear under their root table.", "3.0"},
    {"replica.identity.autoset.values", PROPERTY_STRING, NULL, false, IMPORTANCE_LOW, NULL, NULL, NULL,
     PROPERTY_IMPLEMENTED, "Postgres", 28, "LONG", "Replica identities",
     "Replica identities to set at start: table:FULL,regex:DEFAULT.", NULL},
    {"status.update.interval.ms", PROPERTY_INT, "10000", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Postgres", 29, "SHORT", "Status interval (ms)", "How often the position is reported to the server.", NULL},
    {"xmin.fetch.interval.ms", PROPERTY_LONG, "0", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Postgres", 30, "SHORT", "Xmin interval (ms)", "How often the slot's xmin is read for the events; 0: never.",
     NULL},
    {"lsn.flush.mode", PROPERTY_STRING, NULL, false, IMPORTANCE_LOW, "connector_and_driver,connector,manual", NULL,
     NULL, PROPERTY_IMPLEMENTED, "Postgres", 31, "SHORT", "LSN flush mode", "What moves the slot's confirmed position.",
     "3.0"},
    {"lsn.flush.timeout.ms", PROPERTY_LONG, "30000", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Postgres", 32, "SHORT", "LSN flush timeout (ms)", "Accepted for compatibility.", "3.0"},
    {"lsn.flush.timeout.action", PROPERTY_STRING, "fail", false, IMPORTANCE_LOW, "fail,warn,ignore", NULL, NULL,
     PROPERTY_IGNORED, "Postgres", 33, "SHORT", "LSN flush timeout action", "Accepted for compatibility.", "3.0"},
    {"flush.lsn.source", PROPERTY_BOOLEAN, "true", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Postgres", 34, "SHORT", "Flush LSN", "Older form of lsn.flush.mode.", NULL},
    {"offset.mismatch.strategy", PROPERTY_STRING, "no_validation", false, IMPORTANCE_LOW, NULL, NULL, NULL,
     PROPERTY_IGNORED, "Postgres", 35, "MEDIUM", "Offset mismatch", "What counts when slot and stored position differ.",
     NULL},
    {"connection.validation.timeout.ms", PROPERTY_LONG, "60000", false, IMPORTANCE_LOW, NULL, NULL, NULL,
     PROPERTY_IGNORED, "Postgres", 36, "SHORT", "Validation timeout (ms)",
     "Longest time for the check of the connection.", "3.0"},
    {"read.only", PROPERTY_BOOLEAN, "false", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IGNORED, "Postgres", 37,
     "SHORT", "Read only", "Incremental snapshots without writing to the database.", NULL},
    {"snapshot.mode", PROPERTY_STRING, "initial", false, IMPORTANCE_MEDIUM,
     "always,initial_only,configuration_based,when_needed,initial,custom,no_data", "never,exported,schema_only",
     check_known, PROPERTY_IMPLEMENTED, "Connector", 1, "SHORT", "Snapshot mode", "When tables are read as a whole.",
     NULL},
    {"snapshot.mode.custom.name", PROPERTY_STRING, NULL, false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Connector", 2, "MEDIUM", "Custom snapshotter", "Name of a Java class, which cannot be run here.", "3.0"},
    {"snapshot.mode.configuration.based.snapshot.data", PROPERTY_BOOLEAN, "false", false, IMPORTANCE_MEDIUM, NULL, NULL,
     NULL, PROPERTY_IMPLEMENTED, "Connector", 3, "SHORT", "Snapshot data", "For configuration_based: read the rows.",
     "3.0"},
    {"snapshot.mode.configuration.based.snapshot.schema", PROPERTY_BOOLEAN, "false", false, IMPORTANCE_MEDIUM, NULL,
     NULL, NULL, PROPERTY_IGNORED, "Connector", 4, "SHORT", "Snapshot schema", "Accepted for compatibility.", "3.0"},
    {"snapshot.mode.configuration.based.start.stream", PROPERTY_BOOLEAN, "false", false, IMPORTANCE_MEDIUM, NULL, NULL,
     NULL, PROPERTY_IMPLEMENTED, "Connector", 5, "SHORT", "Start streaming",
     "For configuration_based: stream afterwards.", "3.0"},
    {"snapshot.mode.configuration.based.snapshot.on.schema.error", PROPERTY_BOOLEAN, "false", false, IMPORTANCE_MEDIUM,
     NULL, NULL, NULL, PROPERTY_IGNORED, "Connector", 6, "SHORT", "Snapshot on schema error",
     "Accepted for compatibility.", "3.0"},
    {"snapshot.mode.configuration.based.snapshot.on.data.error", PROPERTY_BOOLEAN, "false", false, IMPORTANCE_MEDIUM,
     NULL, NULL, NULL, PROPERTY_IGNORED, "Connector", 7, "SHORT", "Snapshot on data error",
     "Accepted for compatibility.", "3.0"},
    {"snapshot.isolation.mode", PROPERTY_STRING, "serializable", false, IMPORTANCE_LOW,
     "read_uncommitted,repeatable_read,read_committed,serializable", NULL, NULL, PROPERTY_IMPLEMENTED, "Connector", 8,
     "SHORT", "Snapshot isolation", "Isolation of the snapshot when the slot exists already.", "3.0"},
    {"snapshot.locking.mode", PROPERTY_STRING, "none", false, IMPORTANCE_MEDIUM, "shared,custom,none", NULL,
     check_known, PROPERTY_IMPLEMENTED, "Connector", 9, "SHORT", "Snapshot locking",
     "Whether tables are locked against DDL while they are read.", "3.0"},
    {"snapshot.locking.mode.custom.name", PROPERTY_STRING, NULL, false, IMPORTANCE_MEDIUM, NULL, NULL, NULL,
     PROPERTY_IGNORED, "Connector", 10, "MEDIUM", "Custom locking", "Name of a Java class, which cannot be run here.",
     "3.0"},
    {"snapshot.lock.timeout.ms", PROPERTY_LONG, "10000", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Connector", 11, "MEDIUM", "Lock timeout (ms)", "Longest wait for these locks.", NULL},
    {"snapshot.query.mode", PROPERTY_STRING, "select_all", false, IMPORTANCE_MEDIUM, "custom,select_all", NULL,
     check_known, PROPERTY_IMPLEMENTED, "Connector", 12, "SHORT", "Snapshot query mode", "How the rows are selected.",
     "3.0"},
    {"snapshot.query.mode.custom.name", PROPERTY_STRING, NULL, false, IMPORTANCE_MEDIUM, NULL, NULL, NULL,
     PROPERTY_IGNORED, "Connector", 13, "MEDIUM", "Custom query mode",
     "Name of a Java class, which cannot be run here.", "3.0"},
    {"snapshot.select.statement.overrides", PROPERTY_STRING, NULL, false, IMPORTANCE_MEDIUM, NULL, NULL, NULL,
     PROPERTY_IGNORED, "Connector", 14, "LONG", "Statement overrides",
     "Tables whose rows are read by statements of their own.", NULL},
    {"snapshot.include.collection.list", PROPERTY_LIST, NULL, false, IMPORTANCE_MEDIUM, NULL, NULL, NULL,
     PROPERTY_IMPLEMENTED, "Connector", 15, "LONG", "Snapshot tables", "Tables that the snapshot reads, in this order.",
     NULL},
    {"snapshot.tables.order.by.row.count", PROPERTY_STRING, "disabled", false, IMPORTANCE_LOW,
     "disabled,ascending,descending", NULL, NULL, PROPERTY_IMPLEMENTED, "Connector", 16, "SHORT", "Order by row count",
     "Large or small tables first.", NULL},
    {"snapshot.delay.ms", PROPERTY_LONG, "0", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Connector", 17, "MEDIUM", "Snapshot delay (ms)", "Wait before the snapshot begins.", NULL},
    {"snapshot.fetch.size", PROPERTY_INT, NULL, false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Connector", 18, "MEDIUM", "Snapshot fetch size", "Rows that are asked for at a time.", NULL},
    {"snapshot.max.threads", PROPERTY_INT, "1", false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Connector", 19, "SHORT", "Snapshot threads", "Connections that read tables in parallel.", NULL},
    {"snapshot.max.threads.multiplier", PROPERTY_INT, "1", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Connector", 20, "SHORT", "Threads multiplier", "Accepted for compatibility.", "3.0"},
    {"legacy.snapshot.max.threads", PROPERTY_BOOLEAN, "false", false, IMPORTANCE_LOW, NULL, NULL, NULL,
     PROPERTY_IGNORED, "Connector", 21, "SHORT", "Legacy threads", "Accepted for compatibility.", "3.0"},
    {"incremental.snapshot.chunk.size", PROPERTY_INT, "1024", false, IMPORTANCE_MEDIUM, NULL, NULL, NULL,
     PROPERTY_IGNORED, "Connector", 22, "MEDIUM", "Chunk size", "Rows of one chunk of an incremental snapshot.", NULL},
    {"incremental.snapshot.allow.schema.changes", PROPERTY_BOOLEAN, "false", false, IMPORTANCE_LOW, NULL, NULL, NULL,
     PROPERTY_IGNORED, "Connector", 23, "SHORT", "Schema changes",
     "Whether DDL may happen during an incremental snapshot.", "3.0"},
    {"incremental.snapshot.watermarking.strategy", PROPERTY_STRING, "INSERT_INSERT", false, IMPORTANCE_LOW,
     "insert_delete,insert_insert", NULL, NULL, PROPERTY_IGNORED, "Connector", 24, "MEDIUM", "Watermarking",
     "How the window of a chunk is marked.", NULL},
    {"streaming.delay.ms", PROPERTY_LONG, "0", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Connector", 25, "MEDIUM", "Streaming delay (ms)", "Wait between snapshot and streaming.", "3.0"},
    {"max.batch.size", PROPERTY_INT, "2048", false, IMPORTANCE_MEDIUM, NULL, NULL, check_positive, PROPERTY_IMPLEMENTED,
     "Connector", 26, "SHORT", "Batch size", "Accepted for compatibility: units are bounded in bytes.", NULL},
    {"max.queue.size", PROPERTY_INT, "8192", false, IMPORTANCE_MEDIUM, NULL, NULL, check_positive, PROPERTY_IMPLEMENTED,
     "Connector", 27, "SHORT", "Queue size", "Accepted for compatibility: there is no queue.", NULL},
    {"max.queue.size.in.bytes", PROPERTY_LONG, "0", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Connector", 28, "LONG", "Queue size in bytes", "Accepted for compatibility: there is no queue.", NULL},
    {"poll.interval.ms", PROPERTY_LONG, "500", false, IMPORTANCE_MEDIUM, NULL, NULL, check_positive,
     PROPERTY_IMPLEMENTED, "Connector", 29, "MEDIUM", "Poll interval (ms)",
     "Accepted for compatibility: changes are taken as they come.", NULL},
    {"query.fetch.size", PROPERTY_INT, "0", false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IGNORED, "Connector",
     30, "MEDIUM", "Query fetch size", "Accepted for compatibility.", NULL},
    {"retriable.restart.connector.wait.ms", PROPERTY_LONG, "10000", false, IMPORTANCE_LOW, NULL, NULL, NULL,
     PROPERTY_IMPLEMENTED, "Connector", 31, "MEDIUM", "Restart wait (ms)",
     "Wait before a lost connection is made again.", NULL},
    {"errors.max.retries", PROPERTY_INT, "-1", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IGNORED, "Connector",
     32, "MEDIUM", "Retries", "Accepted for compatibility: lost connections are tried again for ever.", NULL},
    {"executor.shutdown.timeout.ms", PROPERTY_LONG, "4000", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Connector", 33, "MEDIUM", "Shutdown timeout (ms)", "Accepted for compatibility.", "3.0"},
    {"heartbeat.interval.ms", PROPERTY_INT, "0", false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Connector", 34, "MEDIUM", "Heartbeat interval (ms)", "How often a heartbeat record is written; 0 is never.",
     NULL},
    {"heartbeat.topics.prefix", PROPERTY_STRING, "__debezium-heartbeat", false, IMPORTANCE_LOW, NULL, NULL, NULL,
     PROPERTY_IMPLEMENTED, "Connector", 35, "MEDIUM", "Heartbeat prefix", "First part of the heartbeat topic's name.",
     NULL},
    {"heartbeat.action.query", PROPERTY_STRING, NULL, false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Connector", 36, "LONG", "Heartbeat query", "SQL run with each heartbeat.", NULL},
    {"topic.heartbeat.prefix", PROPERTY_STRING, "__debezium-heartbeat", false, IMPORTANCE_LOW, NULL, NULL, NULL,
     PROPERTY_IMPLEMENTED, "Connector", 37, "MEDIUM", "Heartbeat prefix", "First part of the heartbeat topic's name.",
     NULL},
    {"topic.transaction", PROPERTY_STRING, "transaction", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Connector", 38, "MEDIUM", "Transaction topic", "Last part of the transaction topic's name.", NULL},
    {"topic.delimiter", PROPERTY_STRING, ".", false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Connector", 39, "MEDIUM", "Topic delimiter", "What stands between the parts of a topic's name.", NULL},
    {"topic.naming.strategy", PROPERTY_CLASS, "io.debezium.schema.SchemaTopicNamingStrategy", false, IMPORTANCE_MEDIUM,
     NULL, NULL, NULL, PROPERTY_IMPLEMENTED, "Connector", 40, "LONG", "Topic naming",
     "Accepted for compatibility: prefix, schema and table.", NULL},
    {"schema.name.adjustment.mode", PROPERTY_STRING, "none", false, IMPORTANCE_MEDIUM, "none,avro_unicode,avro", NULL,
     NULL, PROPERTY_IMPLEMENTED, "Connector", 41, "MEDIUM", "Schema name adjustment",
     "How names of schemas are made to fit a converter.", NULL},
    {"field.name.adjustment.mode", PROPERTY_STRING, "none", false, IMPORTANCE_MEDIUM, "none,avro_unicode,avro", NULL,
     NULL, PROPERTY_IMPLEMENTED, "Connector", 42, "MEDIUM", "Field name adjustment",
     "How names of fields are made to fit a converter.", "3.0"},
    {"schema.refresh.mode", PROPERTY_STRING, "columns_diff", false, IMPORTANCE_LOW,
     "columns_diff,columns_diff_exclude_unchanged_toast", NULL, NULL, PROPERTY_IMPLEMENTED, "Connector", 43, "SHORT",
     "Schema refresh", "Accepted for compatibility: the catalog is read when a table's layout changes.", NULL},
    {"include.schema.comments", PROPERTY_BOOLEAN, "false", false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Connector", 44, "SHORT", "Schema comments", "Accepted for compatibility: comments are not shown.", NULL},
    {"memory.management.schemas.class", PROPERTY_CLASS, "io.debezium.relational.ConcurrentMapTableMappingStorage",
     false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IGNORED, "Connector", 45, "MEDIUM", "Schema storage",
     "Accepted for compatibility.", "3.0"},
    {"memory.management.tables.class", PROPERTY_CLASS, "io.debezium.relational.ConcurrentMapTableMappingStorage", false,
     IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IGNORED, "Connector", 46, "MEDIUM", "Table storage",
     "Accepted for compatibility.", "3.0"},
    {"custom.metric.tags", PROPERTY_LIST, NULL, false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IGNORED, "Connector",
     47, "LONG", "Metric tags", "Accepted for compatibility.", NULL},
    {"statistics.metrics.enabled", PROPERTY_BOOLEAN, "true", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Connector", 48, "SHORT", "Statistics", "Accepted for compatibility.", "3.0"},
    {"guardrail.collections.max", PROPERTY_INT, "0", false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Connector", 49, "SHORT", "Guardrail", "Most tables that may be captured; 0 is no limit.", "3.0"},
    {"guardrail.collections.limit.action", PROPERTY_STRING, "warn", false, IMPORTANCE_MEDIUM, "warn,fail", NULL, NULL,
     PROPERTY_IGNORED, "Connector", 50, "SHORT", "Guardrail action", "What happens beyond that.", "3.0"},
    {"custom.sanitize.pattern", PROPERTY_STRING, "(?i)(password|secret|token)", false, IMPORTANCE_LOW, NULL, NULL, NULL,
     PROPERTY_IGNORED, "Connector", 51, "MEDIUM", "Sanitize pattern",
     "Accepted for compatibility: passwords are never logged.", "3.0"},
    {"signal.data.collection", PROPERTY_LIST, NULL, false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Connector", 52, "LONG", "Signal table", "Table through which signals come.", NULL},
    {"signal.enabled.channels", PROPERTY_LIST, "source", false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Connector", 53, "LONG", "Signal channels", "Ways by which signals come.", NULL},
    {"signal.poll.interval.ms", PROPERTY_LONG, "5000", false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Connector", 54, "MEDIUM", "Signal interval (ms)", "How often signals are looked for.", NULL},
    {"signal.emit.failure.max.retries", PROPERTY_INT, "0", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Connector", 55, "SHORT", "Signal retries", "Accepted for compatibility.", "3.0"},
    {"signal.emit.failure.backoff.ms", PROPERTY_LONG, "10000", false, IMPORTANCE_LOW, NULL, NULL, NULL,
     PROPERTY_IGNORED, "Connector", 56, "SHORT", "Signal backoff (ms)", "Accepted for compatibility.", "3.0"},
    {"notification.enabled.channels", PROPERTY_LIST, NULL, false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Connector", 57, "LONG", "Notification channels", "Ways by which notifications go out.", NULL},
    {"notification.sink.topic.name", PROPERTY_STRING, NULL, false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Connector", 58, "MEDIUM", "Notification topic", "Topic of notifications.", NULL},
    {"notification.http.url", PROPERTY_STRING, NULL, false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Connector", 59, "MEDIUM", "Notification URL", "Accepted for compatibility.", "3.0"},
    {"notification.http.timeout.ms", PROPERTY_INT, "5000", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Connector", 60, "SHORT", "Notification timeout (ms)", "Accepted for compatibility.", "3.0"},
    {"notification.http.retries", PROPERTY_INT, "2", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IGNORED,
     "Connector", 61, "SHORT", "Notification retries", "Accepted for compatibility.", "3.0"},
    {"notification.http.allow.private.networks", PROPERTY_BOOLEAN, "false", false, IMPORTANCE_LOW, NULL, NULL, NULL,
     PROPERTY_IGNORED, "Connector", 62, "SHORT", "Private networks", "Accepted for compatibility.", "3.0"},
    {"schema.include.list", PROPERTY_LIST, NULL, false, IMPORTANCE_HIGH, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Events", 1, "LONG", "Included schemas", "Schemas that are captured: regular expressions.", NULL},
    {"schema.exclude.list", PROPERTY_LIST, NULL, false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Events", 2, "LONG", "Excluded schemas", "Schemas that are not captured: regular expressions.", NULL},
    {"table.include.list", PROPERTY_LIST, NULL, false, IMPORTANCE_HIGH, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Events", 3, "LONG", "Included tables", "Tables that are captured: regular expressions for schema.table.", NULL},
    {"table.exclude.list", PROPERTY_LIST, NULL, false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Events", 4, "LONG", "Excluded tables", "Tables that are not captured: regular expressions for schema.table.",
     NULL},
    {"table.ignore.builtin", PROPERTY_BOOLEAN, "true", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Events", 5, "SHORT", "Ignore system tables", "System tables are never captured.", NULL},
    {"column.include.list", PROPERTY_LIST, NULL, false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Events", 6, "LONG", "Included columns", "Columns that events show: regular expressions for schema.table.column.",
     NULL},
    {"column.exclude.list", PROPERTY_LIST, NULL, false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Events", 7, "LONG", "Excluded columns",
     "Columns that events do not show: regular expressions for schema.table.column.", NULL},
    {"message.key.columns", PROPERTY_STRING, NULL, false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Events", 8, "LONG", "Key columns", "Columns of keys, table by table: schema.table:a,b;regex:c.", NULL},
    {"message.prefix.include.list", PROPERTY_LIST, NULL, false, IMPORTANCE_MEDIUM, NULL, NULL, NULL,
     PROPERTY_IMPLEMENTED, "Events", 9, "LONG", "Included messages", "Logical messages that are captured, by prefix.",
     NULL},
    {"message.prefix.exclude.list", PROPERTY_LIST, NULL, false, IMPORTANCE_MEDIUM, NULL, NULL, NULL,
     PROPERTY_IMPLEMENTED, "Events", 10, "LONG", "Excluded messages",
     "Logical messages that are not captured, by prefix.", NULL},
    {"skipped.operations", PROPERTY_LIST, "t", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IMPLEMENTED, "Events",
     11, "SHORT", "Skipped operations", "Operations without events: c, u, d, t, or none.", NULL},
    {"skip.messages.without.change", PROPERTY_BOOLEAN, "false", false, IMPORTANCE_LOW, NULL, NULL, NULL,
     PROPERTY_IMPLEMENTED, "Events", 12, "SHORT", "Skip without change",
     "No event for an update that changes no captured column (with REPLICA IDENTITY FULL).", "3.0"},
    {"tombstones.on.delete", PROPERTY_BOOLEAN, "true", false, IMPORTANCE_MEDIUM, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Events", 13, "SHORT", "Tombstones", "A record without value after each delete.", NULL},
    {"provide.transaction.metadata", PROPERTY_BOOLEAN, "false", false, IMPORTANCE_LOW, NULL, NULL, NULL,
     PROPERTY_IMPLEMENTED, "Events", 14, "SHORT", "Transaction metadata",
     "A topic with the begin and end of each transaction, and a transaction block in its events.", NULL},
    {"transaction.metadata.factory", PROPERTY_CLASS,
     "io.debezium.pipeline.txmetadata.DefaultTransactionMetadataFactory", false, IMPORTANCE_LOW, NULL, NULL, NULL,
     PROPERTY_IGNORED, "Events", 15, "MEDIUM", "Transaction factory", "Accepted for compatibility.", "3.0"},
    {"extended.headers.enabled", PROPERTY_BOOLEAN, "true", false, IMPORTANCE_LOW, NULL, NULL, NULL,
     PROPERTY_IMPLEMENTED, "Events", 16, "SHORT", "Context headers", "Headers that name connector, task and run.",
     "3.0"},
    {"decimal.handling.mode", PROPERTY_STRING, "precise", false, IMPORTANCE_MEDIUM, "string,double,precise", NULL, NULL,
     PROPERTY_IMPLEMENTED, "Events", 17, "SHORT", "Decimal handling", "numeric and money as Decimal, double or text.",
     NULL},
    {"time.precision.mode", PROPERTY_STRING, "adaptive", false, IMPORTANCE_MEDIUM,
     "adaptive,adaptive_time_microseconds,isostring,structured,microseconds,nanoseconds,connect", NULL, check_known,
     PROPERTY_IMPLEMENTED, "Events", 18, "SHORT", "Time precision", "In what unit and type dates and times are shown.",
     NULL},
    {"binary.handling.mode", PROPERTY_STRING, "bytes", false, IMPORTANCE_LOW, "bytes,base64,hex,base64-url-safe", NULL,
     NULL, PROPERTY_IMPLEMENTED, "Events", 19, "SHORT", "Binary handling", "bytea as bytes, base64 or hex.", NULL},
    {"hstore.handling.mode", PROPERTY_STRING, "json", false, IMPORTANCE_LOW, "json,map", NULL, NULL,
     PROPERTY_IMPLEMENTED, "Events", 20, "SHORT", "Hstore handling", "hstore as JSON text or as a map.", NULL},
    {"interval.handling.mode", PROPERTY_STRING, "numeric", false, IMPORTANCE_LOW, "string,numeric", NULL, NULL,
     PROPERTY_IMPLEMENTED, "Events", 21, "SHORT", "Interval handling", "interval as microseconds or as ISO text.",
     NULL},
    {"money.fraction.digits", PROPERTY_INT, "2", false, IMPORTANCE_LOW, NULL, NULL, check_fraction_digits,
     PROPERTY_IMPLEMENTED, "Events", 22, "SHORT", "Money digits", "Digits behind the point of money.", NULL},
    {"unavailable.value.placeholder", PROPERTY_STRING, "__debezium_unavailable_value", false, IMPORTANCE_MEDIUM, NULL,
     NULL, NULL, PROPERTY_IMPLEMENTED, "Events", 23, "MEDIUM", "Placeholder",
     "Stands for a large value that an update did not touch.", NULL},
    {"include.unknown.datatypes", PROPERTY_BOOLEAN, "false", false, IMPORTANCE_MEDIUM, NULL, NULL, NULL,
     PROPERTY_IMPLEMENTED, "Events", 24, "SHORT", "Unknown types",
     "Shows columns of other types as bytes of their text.", NULL},
    {"event.processing.failure.handling.mode", PROPERTY_STRING, "fail", false, IMPORTANCE_MEDIUM,
     "warn,fail,ignore,skip", NULL, NULL, PROPERTY_IGNORED, "Events", 25, "MEDIUM", "Event failures",
     "Accepted for compatibility: a damaged event stops the connector.", NULL},
    {"event.converting.failure.handling.mode", PROPERTY_STRING, "warn", false, IMPORTANCE_MEDIUM, "warn,fail,skip",
     NULL, NULL, PROPERTY_IMPLEMENTED, "Events", 26, "MEDIUM", "Conversion failures",
     "A value that cannot be represented: null with a warning, or stop.", "3.0"},
    {"datatype.propagate.source.type", PROPERTY_LIST, NULL, false, IMPORTANCE_MEDIUM, NULL, NULL, NULL,
     PROPERTY_IGNORED, "Events", 27, "LONG", "Propagated types", "Accepted; source types are not added to schemas yet.",
     NULL},
    {"sourceinfo.struct.maker", PROPERTY_CLASS, "io.debezium.connector.postgresql.PostgresSourceInfoStructMaker", false,
     IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IGNORED, "Events", 28, "LONG", "Source struct",
     "Accepted for compatibility.", NULL},
    {"converters", PROPERTY_STRING, NULL, false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_UNSUPPORTED, "Events", 29,
     "MEDIUM", "Converters", "Java classes, which cannot be run here.", NULL},
    {"post.processors", PROPERTY_STRING, NULL, false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_UNSUPPORTED, "Events",
     30, "MEDIUM", "Post processors", "Java classes, which cannot be run here.", NULL},
    {"ottla.debezium.defects", PROPERTY_BOOLEAN, "false", false, IMPORTANCE_LOW, NULL, NULL, NULL, PROPERTY_IMPLEMENTED,
     "Events", 31, "SHORT", "Debezium's defects",
     "Repeats what Debezium writes wrongly (docs/cdc-types.md), for exact comparison.", NULL},
};
const uint32_t connector_properties_count = countof(connector_properties);

const struct connector_property *connector_property_find(const char *name)
{
    for (uint32_t i = 0; i < connector_properties_count; i++)
        if (strcmp(connector_properties[i].name, name) == 0) return &connector_properties[i];
    return NULL;
}

const char *property_type_name(enum property_type type)
{
    static const char *const names[] = {"STRING", "INT", "LONG", "BOOLEAN", "LIST", "CLASS", "PASSWORD"};
    return names[type];
}

const char *property_importance_name(enum property_importance importance)
{
    static const char *const names[] = {"HIGH", "MEDIUM", "LOW"};
    return names[importance];
}
