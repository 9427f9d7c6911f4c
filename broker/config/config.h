/* broker/config/config.h: the options of the broker and of topics: Kafka's names, one row each (broker_options.c,
 * topic_options.c).
 *
 * Precedence of a broker option: dynamic value of this broker, dynamic default of all brokers, the file or --override,
 * default. Of a topic option: the topic's own, else its broker synonym in that order (log.retention.ms before .minutes
 * before .hours), else the default. */
#ifndef OTTLA_CONFIG_H
#define OTTLA_CONFIG_H

#include "base/arena.h"
#include "base/option.h"
#include "base/slice.h"
#include "storage/log_dir.h"

struct broker;
struct metadata;
struct metadata_topic;

/* Numbers of the protocol: DescribeConfigs, ConfigRecord. */
enum config_resource_type {
    CONFIG_RESOURCE_TOPIC = 2,
    CONFIG_RESOURCE_BROKER = 4, /* name "": all brokers */
    CONFIG_RESOURCE_BROKER_LOGGER = 8,
    CONFIG_RESOURCE_CLIENT_METRICS = 16,
    CONFIG_RESOURCE_GROUP = 32,
};
enum config_source {
    CONFIG_SOURCE_TOPIC = 1,
    CONFIG_SOURCE_DYNAMIC_BROKER = 2,
    CONFIG_SOURCE_DYNAMIC_DEFAULT = 3,
    CONFIG_SOURCE_STATIC = 4, /* file or --override */
    CONFIG_SOURCE_DEFAULT = 5,
    CONFIG_SOURCE_CLIENT_METRICS = 7,
    CONFIG_SOURCE_GROUP = 8,
};

/* Names and values that were set on a resource; sorted by name; immutable once published. */
struct config_entry {
    const char *name;
    const char *value;
};
struct config_list {
    struct config_entry *entries;
    uint32_t count;
};
/* NULL: not set. */
const char *config_list_get(const struct config_list *l, const char *name);
/* Sets or, with value NULL, removes; texts are copied. */
void config_list_set(struct config_list *l, const char *name, const char *value);
struct config_list config_list_copy(const struct config_list *l);
void config_list_done(struct config_list *l);

/* The broker's options, as fields. Rows: broker_options. Integers are int64_t, see base/option.h. */
struct broker_config {
    /* identity, network */
    int64_t node_id;
    char *listeners;
    char *advertised_listeners; /* NULL: the address on which the client reached us */
    char *listener_security_protocol_map;
    char *log_dirs;
    char *log_dir;
    int64_t num_network_threads; /* 0: half the cores, at least one */
    int64_t socket_request_max_bytes;
    int64_t socket_send_buffer_bytes;
    int64_t socket_receive_buffer_bytes;
    int64_t socket_listen_backlog_size;
    int64_t connections_max_idle_ms;
    int64_t max_connections;
    int64_t max_connections_per_ip;
    char *max_connections_per_ip_overrides;
    int64_t max_connection_creation_rate; /* INT32_MAX: none */
    int64_t queued_max_request_bytes;     /* -1: no limit */
    int64_t max_incremental_fetch_session_cache_slots;
    int64_t quota_window_num;
    int64_t quota_window_size_seconds;
    int64_t controller_quota_window_num;
    int64_t controller_quota_window_size_seconds;
    int64_t fetch_max_bytes;
    int64_t max_request_partition_size_limit;
    /* topics */
    int64_t num_partitions;
    int64_t default_replication_factor;
    bool auto_create_topics_enable;
    bool delete_topic_enable;
    /* logs: defaults of topics */
    int64_t log_segment_bytes;
    int64_t log_roll_ms; /* -1: not set, then hours */
    int64_t log_roll_hours;
    int64_t log_roll_jitter_ms;
    int64_t log_roll_jitter_hours;
    int64_t log_retention_ms;
    int64_t log_retention_minutes;
    int64_t log_retention_hours;
    int64_t log_retention_bytes;
    int64_t log_index_size_max_bytes;
    int64_t log_index_interval_bytes;
    int64_t log_segment_delete_delay_ms;
    int64_t log_message_timestamp_before_max_ms;
    int64_t log_message_timestamp_after_max_ms;
    char *log_message_timestamp_type;
    char *log_cleanup_policy;
    double log_cleaner_min_cleanable_ratio;
    int64_t log_cleaner_delete_retention_ms;
    int64_t log_cleaner_min_compaction_lag_ms;
    int64_t log_cleaner_max_compaction_lag_ms;
    bool log_cleaner_enable;
    int64_t log_cleaner_backoff_ms;
    int64_t log_cleaner_dedupe_buffer_size;
    double log_cleaner_io_buffer_load_factor;
    double log_cleaner_io_max_bytes_per_second;
    int64_t ottla_scrub_bytes_per_second;
    char *compression_type;
    int64_t compression_gzip_level;
    int64_t compression_lz4_level;
    int64_t compression_zstd_level;
    int64_t message_max_bytes;
    int64_t min_insync_replicas;
    bool unclean_leader_election_enable;
    int64_t log_flush_interval_messages;
    int64_t log_flush_interval_ms;
    int64_t log_retention_check_interval_ms;
    int64_t metadata_log_max_record_bytes_between_snapshots;
    int64_t metadata_log_max_snapshot_interval_ms;
    int64_t log_flush_offset_checkpoint_interval_ms;
    char *ottla_durability; /* "bounded" or "strict" */
    /* producers */
    int64_t producer_id_expiration_ms;
    int64_t transactional_id_expiration_ms;
    int64_t transaction_max_timeout_ms;
    int64_t transaction_state_log_num_partitions;
    int64_t transaction_state_log_segment_bytes;
    int64_t transaction_abort_interval_ms;
    int64_t transaction_remove_interval_ms;
    bool transaction_partition_verification_enable;
    /* groups */
    int64_t group_initial_rebalance_delay_ms;
    int64_t group_min_session_timeout_ms;
    int64_t group_max_session_timeout_ms;
    int64_t group_max_size;
    int64_t offsets_topic_num_partitions;
    int64_t offsets_topic_segment_bytes;
    int64_t offsets_retention_minutes;
    int64_t offsets_retention_check_interval_ms;
    int64_t offset_metadata_max_bytes;
    char *group_coordinator_rebalance_protocols; /* list */
    int64_t group_consumer_session_timeout_ms;
    int64_t group_consumer_heartbeat_interval_ms;
    int64_t group_consumer_min_session_timeout_ms;
    int64_t group_consumer_max_session_timeout_ms;
    int64_t group_consumer_min_heartbeat_interval_ms;
    int64_t group_consumer_max_heartbeat_interval_ms;
    int64_t group_consumer_max_size;
    char *group_consumer_assignors;
    char *group_consumer_migration_policy; /* "bidirectional", "upgrade", "downgrade", "disabled" */
    int64_t group_consumer_regex_refresh_interval_ms;
    int64_t group_share_session_timeout_ms;
    int64_t group_share_heartbeat_interval_ms;
    int64_t group_share_max_size;
    int64_t group_share_delivery_count_limit;
    int64_t group_share_partition_max_record_locks;
    int64_t group_share_record_lock_duration_ms;
    int64_t group_share_max_share_sessions;
    int64_t share_state_num_partitions;
    int64_t share_state_segment_bytes;
    int64_t share_snapshot_updates;
    int64_t share_prune_interval_ms;
    /* security */
    char *authorizer_class_name; /* "": none */
    char *super_users;
    bool allow_everyone_if_no_acl_found;
    int64_t telemetry_max_bytes;
    /* connect, cdc, tools: read by those rooms */
    char *metrics_listeners;
    char *connect_listeners;
    char *connect_debezium_version;
    char *connect_config_topic, *connect_offset_topic, *connect_status_topic;

    struct config_list given; /* what the file and --override said, as text */
};

extern const struct option broker_options[];
extern const size_t broker_options_count;

/* Defaults; to be filled with the functions below and handed to broker_open(), or freed. */
struct broker_config *broker_config_new(void);
struct broker_config *broker_config_copy(const struct broker_config *c);
void broker_config_free(struct broker_config *c);
/* Sets one option from text. Unknown or malformed: -EINVAL and err names it. Kafka options without meaning here are
 * checked for their type, kept as given, and reported once by broker_config_report(). broker.id is taken as node.id. */
int broker_config_set(struct broker_config *c, const char *name, const char *value, struct err *err) WARN_UNUSED;
int broker_config_read(struct broker_config *c, const char *path, struct err *err) WARN_UNUSED;
/* Of compression.gzip.level 0 lies between the bounds, but is no level; other options are not looked at. */
bool option_gzip_level_check(const struct option *row, const char *text, struct err *err) WARN_UNUSED;
/* Whether text is a value of the option, by its row and by what rows cannot say. */
bool broker_option_check(const struct option *row, const char *text, struct err *err);
/* Logs the options that were given and have no effect. */
void broker_config_report(const struct broker_config *c);

/* Snapshots share it: the file's options with dynamic values applied. */
struct broker_config_ref;
struct broker_config_ref *broker_config_ref_new(struct broker_config *c);
struct broker_config_ref *broker_config_ref_get(struct broker_config_ref *r);
void broker_config_ref_put(struct broker_config_ref *r);
const struct broker_config *broker_config_ref_config(const struct broker_config_ref *r);
/* The given options with the dynamic lists (NULL: none) on top: defaults of all brokers, then this broker's. */
struct broker_config *broker_config_with(const struct broker_config *file, const struct config_list *all,
                                         const struct config_list *own);

/* A topic option: `option` says name, type, default and bounds; its value is inherited from the synonyms. */
struct topic_option {
    struct option option; /* offset: none; see topic_config_resolve() */
    struct {
        const char *name;   /* a broker option */
        int64_t multiplier; /* of its value to give the topic option's unit: minutes are 60000 ms */
    } synonyms[3];          /* in order of precedence; name NULL: end */
};
extern const struct topic_option topic_options[];
extern const size_t topic_options_count;
const struct topic_option *topic_option_find(const char *name);
/* Whether text is a value of a topic's option, by its row and by what rows cannot say. */
bool topic_option_check(const struct option *row, const char *text, struct err *err);

/* The options that a log obeys, from the topic's own list and the broker's. */
void topic_config_resolve(const struct config_list *own, const struct broker_config *config,
                          struct log_config *ret_config);
/* What the log.cleaner.* options say. */
struct log_cleaner_config broker_cleaner_config(const struct broker_config *c);
/* Tells the data directory those of its options that may change while it runs. Any thread. */
void broker_configure_log_dir(const struct broker_config *c, struct log_dir *dir);
/* One integer option of a topic, likewise; OPTION_UNSET: none. */
int64_t topic_config_integer(const char *name, const struct config_list *own, const struct broker_config *config);

/* One value for DescribeConfigs. Texts live in the arena or the snapshot. */
struct config_synonym {
    const char *name;
    const char *value; /* NULL for a sensitive one */
    enum config_source source;
};
struct config_value {
    const struct option *option;
    const char *value; /* NULL: none, or sensitive */
    enum config_source source;
    bool read_only;
    bool sensitive;
    uint32_t synonyms_count; /* in order of precedence; the first one is the value in force */
    struct config_synonym *synonyms;
};
/* All values of a topic (of this broker; of the default of all brokers: only what is set there), in the order of the
 * rows. Returns how many, -1 when the arena is full. */
int32_t config_describe_topic(const struct metadata *m, const struct metadata_topic *t, struct arena *a,
                              struct config_value **ret);
int32_t config_describe_broker(struct broker *b, const struct metadata *m, struct arena *a, struct config_value **ret);
int32_t config_describe_broker_default(const struct metadata *m, struct arena *a, struct config_value **ret);

#endif
