/* cdc/connector_config.h: configuration of a PostgreSQL connector: Debezium's properties as rows, and the parsed form.
 *
 * One row says everything about a property: parsing, the checks with Connect's texts, the lists of
 * `connector-plugins/P/config` and `/config/validate` come from it. Names, types, defaults and allowed values are those
 * of Debezium 3.7.0.Final; the removed words of 2.x are accepted too. Unknown properties are never an error. Values are
 * compared without case. Threads: a parsed configuration is not changed any more and may be read by any. */
#ifndef OTTLA_CDC_CONNECTOR_CONFIG_H
#define OTTLA_CDC_CONNECTOR_CONFIG_H

#include "base/err.h"
#include "base/slice.h"
#include "cdc/connect_value.h"
#include "cdc/connector.h"
#include "cdc/name_filter.h"

struct transform_chain;

#define CONNECTOR_CLASS_POSTGRES  "io.debezium.connector.postgresql.PostgresConnector"
#define CONNECTOR_VERSION_DEFAULT "3.7.0.Final"

enum property_type {
    PROPERTY_STRING,
    PROPERTY_INT,
    PROPERTY_LONG,
    PROPERTY_BOOLEAN,
    PROPERTY_LIST,
    PROPERTY_CLASS,
    PROPERTY_PASSWORD
};
enum property_importance { IMPORTANCE_HIGH, IMPORTANCE_MEDIUM, IMPORTANCE_LOW };
enum property_support {
    PROPERTY_IMPLEMENTED,
    PROPERTY_IGNORED,     /* accepted, stored, without effect: warned of once at start */
    PROPERTY_UNSUPPORTED, /* a value other than the default would change what is captured: the connector refuses to
                             start */
};

struct connector_property {
    const char *name;
    enum property_type type;
    const char *default_text; /* NULL: none */
    bool required;
    enum property_importance importance;
    const char *choices;     /* comma separated, as Debezium lists them in its message; NULL: any */
    const char *choices_old; /* accepted besides: words of 2.x; NULL: none */
    /* A further check of a value that has the right type: text of the complaint (static) or NULL. */
    const char *(*check)(struct slice value);
    enum property_support support;
    const char *group; /* as in /config/validate; NULL: none */
    int order;         /* in its group; -1: none */
    const char *width; /* SHORT, MEDIUM, LONG, NONE */
    const char *display_name;
    const char *doc;
    const char *since; /* first version that lists it; NULL: 2.x already did */
};

/* All rows, in the order of Debezium's definition (validation errors come in it). */
extern const struct connector_property connector_properties[];
extern const uint32_t connector_properties_count;

/* NULL: unknown. */
const struct connector_property *connector_property_find(const char *name);
/* "STRING", "INT", ... and "HIGH", ... as in the REST answers. */
const char *property_type_name(enum property_type type);
const char *property_importance_name(enum property_importance importance);

/* Checks a posted configuration against the rows, without a database: at most problems_max lines, in definition order,
 * texts as Connect gives them ("The 'slot.name' value is invalid: ..."). Returns their count. */
uint32_t connector_config_check(const struct cdc_pair *pairs, uint32_t pairs_count, struct cdc_problem *ret_problems,
                                uint32_t problems_max);

/* The form of the events: 2.x (source block without ts_us..., no context headers) or 3.x. */
enum format_profile { FORMAT_2, FORMAT_3 };

enum decimal_mode { DECIMAL_PRECISE, DECIMAL_DOUBLE, DECIMAL_STRING };
enum time_mode {
    TIME_ADAPTIVE,
    TIME_ADAPTIVE_MICROSECONDS, /* adaptive_time_microseconds */
    TIME_CONNECT,
    TIME_ISOSTRING,
    TIME_MICROSECONDS,
    TIME_NANOSECONDS,
};
enum binary_mode { BINARY_BYTES, BINARY_BASE64, BINARY_BASE64_URL_SAFE, BINARY_HEX };
enum interval_mode { INTERVAL_NUMERIC, INTERVAL_STRING };
enum hstore_mode { HSTORE_JSON, HSTORE_MAP };
enum adjust_mode { ADJUST_NONE, ADJUST_AVRO, ADJUST_AVRO_UNICODE };
enum convert_failure_mode { CONVERT_WARN, CONVERT_FAIL, CONVERT_SKIP };
enum snapshot_mode {
    SNAPSHOT_INITIAL,
    SNAPSHOT_ALWAYS,
    SNAPSHOT_INITIAL_ONLY,
    SNAPSHOT_NO_DATA, /* never in 2.x */
    SNAPSHOT_WHEN_NEEDED,
    SNAPSHOT_CONFIGURATION_BASED,
    SNAPSHOT_CUSTOM,
};
enum publication_mode { PUBLICATION_ALL_TABLES, PUBLICATION_FILTERED, PUBLICATION_NO_TABLES, PUBLICATION_DISABLED };
enum lsn_flush_mode { LSN_FLUSH_CONNECTOR, LSN_FLUSH_CONNECTOR_AND_DRIVER, LSN_FLUSH_MANUAL };

/* skipped.operations as bits. */
#define OPERATION_CREATE   0x1u
#define OPERATION_UPDATE   0x2u
#define OPERATION_DELETE   0x4u
#define OPERATION_TRUNCATE 0x8u

/* Strings are owned by the configuration; NULL: not given and without default. */
struct pg_connector_config {
    char *name;
    char *version; /* "3.7.0.Final": what source.version and the REST status report */
    enum format_profile profile;

    /* the database */
    char *hostname;
    int port;
    char *user;
    char *password;
    char *dbname;
    char *sslmode, *sslcert, *sslkey, *sslpassword, *sslrootcert;
    bool tcp_keepalive;
    char *initial_statements;
    int64_t query_timeout_ms;

    /* slot, publication, streaming */
    char *slot_name;
    bool slot_drop_on_stop;
    bool slot_failover;
    char *slot_stream_params;
    int slot_max_retries;
    int64_t slot_retry_delay_ms;
    char *publication_name;
    enum publication_mode publication_mode;
    bool publish_via_partition_root;
    int64_t status_update_interval_ms;
    enum lsn_flush_mode lsn_flush_mode;
    char *replica_identity_autoset;
    int64_t retriable_restart_wait_ms;
    int64_t streaming_delay_ms;
    int64_t xmin_fetch_interval_ms;

    /* snapshot */
    enum snapshot_mode snapshot_mode;
    bool snapshot_data, snapshot_stream; /* of configuration_based */
    char *snapshot_isolation;            /* serializable, repeatable_read, ... */
    char *snapshot_locking;              /* none, shared */
    int64_t snapshot_lock_timeout_ms;
    int64_t snapshot_delay_ms;
    int snapshot_fetch_size; /* [rows]; 0: ours */
    int snapshot_threads;
    char *snapshot_order_by_row_count;    /* disabled, ascending, descending */
    struct name_filter *snapshot_include; /* NULL: all captured tables */

    /* what is captured; NULL filters let everything through */
    struct name_filter *table_include, *table_exclude;
    struct name_filter *schema_include, *schema_exclude;
    struct name_filter *column_include, *column_exclude;
    struct name_filter *message_prefix_include, *message_prefix_exclude;
    struct key_columns_rule *key_rules; /* message.key.columns */
    uint32_t key_rules_count;
    unsigned skipped_operations; /* OPERATION_* */
    bool skip_messages_without_change;
    bool tombstones_on_delete;

    /* topics and records */
    char *topic_prefix;
    char *topic_delimiter;
    char *topic_heartbeat_prefix;
    char *topic_transaction;
    int64_t heartbeat_interval_ms;
    char *heartbeat_action_query;
    bool provide_transaction_metadata;
    bool extended_headers; /* false for 2.x */
    enum adjust_mode schema_name_adjust, field_name_adjust;
    bool key_schemas, value_schemas; /* JsonConverter's schemas.enable */
    bool replace_null_with_default, key_replace_null_with_default;
    enum decimal_format key_decimals, value_decimals; /* decimal.format */
    struct transform_chain *transforms;               /* never NULL; may be empty */

    /* values */
    enum decimal_mode decimal_mode;
    enum time_mode time_mode;
    enum binary_mode binary_mode;
    enum interval_mode interval_mode;
    enum hstore_mode hstore_mode;
    enum convert_failure_mode convert_failure_mode;
    int money_fraction_digits;
    bool include_unknown_datatypes;
    char *unavailable_placeholder;
    bool debezium_defects; /* ottla.debezium.defects: repeat what Debezium loses (docs/cdc-types.md) */

    /* topic.creation.default.*: NULL, 0: the broker's */
    int topic_partitions;
    int topic_replication_factor;
    struct cdc_pair *topic_configs; /* owned: every other topic.creation.default.X as X */
    uint32_t topic_configs_count;

    struct cdc_pair *pairs; /* owned: everything as posted, for what is read elsewhere */
    uint32_t pairs_count;
};

/* Parses a configuration that passed connector_config_check().
 *   version_default  of the format, when connector.plugin.version is not given; NULL: CONNECTOR_VERSION_DEFAULT
 *   ret_config       to be freed with connector_config_free()
 * Returns 0, or -EINVAL with the text of the first problem. */
int connector_config_parse(const struct cdc_pair *pairs, uint32_t pairs_count, const char *version_default,
                           struct pg_connector_config **ret_config, struct err *err) WARN_UNUSED;
void connector_config_free(struct pg_connector_config *c);

/* The posted value; NULL: not posted. */
const char *connector_config_get(const struct pg_connector_config *c, const char *name);

/* Whether the table is captured: its schema and itself pass the filters, and it is no system table. */
bool connector_config_captures(const struct pg_connector_config *c, const char *schema, const char *table);

/* Does the property decide what is written for a change of the stream: which rows, their topics, keys and values? Unknown ones
 * count as such. Not: how the database is reached, the snapshot, waiting times, sizes, service records. */
bool connector_property_is_output(const char *name);
/* Of the posted properties that are; the order does not matter. Never 0. */
uint64_t connector_config_output_hash(const struct pg_connector_config *c);

/* Names of posted properties that are accepted without effect, for one warning at start: calls back for each. */
void connector_config_each_ignored(const struct pg_connector_config *c, void (*found)(void *arg, const char *name),
                                   void *arg);

#endif
