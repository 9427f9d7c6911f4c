/* broker/metadata/metadata.h: what the cluster consists of: topics, their partitions and configurations, as immutable
 * snapshots.
 *
 * The state is a fold over the log __cluster_metadata-0 (docs/format-metadata.md). The control thread builds the next
 * snapshot in a metadata_change; commit appends its records as one batch, waits for the disk, and only then publishes
 * the snapshot. Snapshots share the topics that did not change.
 * Invariants: a published snapshot never changes; topics are sorted by name (bytewise); what is published is durable.
 * Threads: snapshots may be read by any thread that holds a reference; changes are made on the control thread only. */
#ifndef OTTLA_METADATA_H
#define OTTLA_METADATA_H

#include "base/arena.h"
#include "base/err.h"
#include "base/uuid.h"
#include "broker/config/config.h"
#include "protocol/kafka_error.h"
#include "storage/partition_log.h"

#include <stdatomic.h>

struct acl_fields;
struct scram_fields;
struct broker;
struct security;
struct shared_set;

#define TOPIC_NAME_BYTES_MAX 249
#define TOPIC_PARTITIONS_MAX 100000 /* of one topic: its array is copied when it grows */
#define TOPIC_OFFSETS        "__consumer_offsets"
#define TOPIC_TRANSACTIONS   "__transaction_state"
#define TOPIC_SHARE_STATE    "__share_group_state"

struct metadata_partition {
    struct partition_log *log; /* NULL: offline, its log could not be opened (answer KAFKA_STORAGE_ERROR) */
    int32_t leader_epoch;      /* the records of the metadata say so; of the log's own is answered */
};

struct metadata_topic {
    atomic_uint refs;
    struct uuid id;
    bool internal; /* Kafka's internal topics and ours: clients may not write to them */
    bool reserved; /* ours */
    int32_t partitions_count;
    struct metadata_partition *partitions;
    struct config_list config;    /* what was set on the topic, sorted by name */
    struct log_config log_config; /* resolved: topic, else broker, else default */
    int64_t min_insync_replicas;  /* likewise */
    char name[];
};

/* Configuration of something that is not a topic: a broker ("" = all), a group, client metrics. */
struct metadata_resource {
    atomic_uint refs;
    int8_t type; /* config_resource_type */
    char *name;
    struct config_list config;
};

#define METADATA_FEATURES_MAX 16 /* Kafka 4.1 knows seven */

struct metadata_feature {
    char name[48];
    int16_t level;
};

struct metadata {
    atomic_uint refs; /* first: metadata_copy() copies what follows */
    int64_t version;  /* offset behind the last metadata record that it contains */
    int32_t topics_count;
    struct metadata_topic **topics;       /* by name */
    struct metadata_topic **topics_by_id; /* by id, bytewise */
    int32_t partitions_count;             /* of all topics */
    int32_t resources_count;
    struct metadata_resource **resources; /* by type, name */
    struct broker_config_ref *config_ref;
    const struct broker_config *config; /* the file's options with the dynamic ones applied */
    int64_t producer_id_next;           /* first producer id that no block contains */
    struct shared_set *quotas;          /* of struct quota (quota_store.h) */
    const struct security *security;    /* access rules, SCRAM credentials; NULL: none */
    int32_t features_count;
    struct metadata_feature features[METADATA_FEATURES_MAX]; /* finalized ones; level 0: none */
};

/* A reference to the published snapshot, for metadata_unref(). Any thread. Handlers use request_metadata(). */
const struct metadata *broker_metadata(struct broker *b);
const struct metadata *metadata_ref(const struct metadata *m);
void metadata_unref(const struct metadata *m);

/* NULL: unknown. Borrowed from the snapshot. */
const struct metadata_topic *metadata_topic(const struct metadata *m, struct slice name);
const struct metadata_topic *metadata_topic_by_id(const struct metadata *m, struct uuid id);
const struct metadata_topic *metadata_topic_ref(const struct metadata_topic *t);
void metadata_topic_unref(const struct metadata_topic *t);
/* The finalized level of a feature; 0: none. */
int16_t metadata_feature_level(const struct metadata *m, const char *name);
/* What was set on a resource; NULL: nothing. */
const struct config_list *metadata_resource_config(const struct metadata *m, int8_t type, struct slice name);

/* KAFKA_NONE, or KAFKA_INVALID_TOPIC_EXCEPTION with a text: 1 to 249 of [a-zA-Z0-9._-], not "." nor "..". */
enum kafka_error topic_name_check(struct slice name, struct err *err);
/* To clients, internal is what Kafka calls so, and what is reserved. */
bool topic_name_is_internal(struct slice name);
/* Topics of ottla's own have names that begin so. They can be read; who does anything else to them is refused, with
 * INVALID_TOPIC_EXCEPTION throughout: clients do not try that again, and hand its text on. Handlers ask, after the
 * ACLs; the rooms that own such topics go by broker_topic_ensure() and the logs. */
#define TOPICS_RESERVED "__ottla_"
bool topic_name_is_reserved(struct slice name);
/* KAFKA_NONE: it is not. */
enum kafka_error topic_name_refuse_reserved(struct slice name, struct err *err);

/* -- changes: control thread only -- */

struct topic_spec {
    struct slice name;
    int32_t partitions_count;          /* -1: num.partitions */
    int16_t replication_factor;        /* -1 or 1: the default; more is refused */
    const struct config_entry *config; /* checked against the rows of topics */
    uint32_t config_count;
    /* Asked when all else is checked and nothing done; false: THROTTLING_QUOTA_EXCEEDED. NULL: not asked. */
    bool (*admit)(void *arg, int32_t partitions_count);
    void *admit_arg;
};

/* A set of changes that becomes durable and visible in one step. Each call below either adds its whole effect or, on an
 * error (err gets Kafka's text), nothing; the others of the set stand. */
struct metadata_change;
struct metadata_change *metadata_change_begin(struct broker *b);
/* The state as it will be after commit: the base of validations. */
const struct metadata *metadata_change_view(const struct metadata_change *c);

/* The checks of a new topic's name and configs, which come before those of its partitions. */
enum kafka_error metadata_change_check_topic(const struct metadata_change *c, const struct topic_spec *spec,
                                             struct err *err) WARN_UNUSED;
/* TOPIC_ALREADY_EXISTS, INVALID_TOPIC_EXCEPTION (bad, or collides in '.' and '_'), INVALID_PARTITIONS,
 * INVALID_REPLICATION_FACTOR, INVALID_CONFIG, KAFKA_STORAGE_ERROR. ret_topic (may be NULL) is borrowed until the end of
 * the change. validate_only: says what would happen; *ret_topic is set, nothing is added but to the view. */
enum kafka_error metadata_change_create_topic(struct metadata_change *c, const struct topic_spec *spec,
                                              bool validate_only, const struct metadata_topic **ret_topic,
                                              struct err *err) WARN_UNUSED;
/* Grows to count partitions. UNKNOWN_TOPIC_OR_PARTITION, INVALID_PARTITIONS (not more than now). */
enum kafka_error metadata_change_grow_topic(struct metadata_change *c, struct slice name, int32_t count,
                                            bool validate_only, struct err *err) WARN_UNUSED;
enum kafka_error metadata_change_delete_topic(struct metadata_change *c, struct uuid id, struct err *err) WARN_UNUSED;
/* Sets one name of a resource, or removes it (value NULL). type: config_resource_type; names of topics and brokers are
 * checked against their rows; an unchanged value adds nothing. INVALID_CONFIG, UNKNOWN_TOPIC_OR_PARTITION,
 * INVALID_REQUEST. */
enum kafka_error metadata_change_set_config(struct metadata_change *c, int8_t type, struct slice resource,
                                            const char *name, const char *value, bool validate_only,
                                            struct err *err) WARN_UNUSED;
/* Finalizes a level; names and levels are the caller's to check (feature_levels.h). */
void metadata_change_set_feature(struct metadata_change *c, const char *name, int16_t level);
/* How many more rules, credentials and quotas the change may set or remove; 0: refuse with POLICY_VIOLATION, as Kafka
 * does. Each may have texts of up to 32 KiB. */
#define METADATA_CHANGE_RECORDS_MAX 10000 /* Kafka's limit of one operation */
int32_t metadata_change_room(const struct metadata_change *c);
/* Adds an access rule; one that is there already adds nothing. Removes the rule of this id. */
void metadata_change_add_acl(struct metadata_change *c, const struct acl_fields *fields);
void metadata_change_remove_acl(struct metadata_change *c, struct uuid id);
/* Sets or removes the credential of a user and mechanism. */
void metadata_change_set_scram(struct metadata_change *c, const struct scram_fields *fields);
void metadata_change_remove_scram(struct metadata_change *c, struct slice user, int8_t mechanism);
/* Reserves count producer ids; *ret_first may be handed out after commit. */
enum kafka_error metadata_change_producer_ids(struct metadata_change *c, int32_t count, int64_t *ret_first) WARN_UNUSED;

/* Ends the change. done(arg, error) runs on the control thread when it is durable and visible: KAFKA_NONE, or
 * KAFKA_STORAGE_ERROR and nothing happened. It may run before commit returns (nothing to write). Commits finish in the
 * order in which they were begun. done may be NULL. */
void metadata_change_commit(struct metadata_change *c, void (*done)(void *arg, enum kafka_error error), void *arg);
/* Ends the change without effect. */
void metadata_change_abort(struct metadata_change *c);

#endif
