/* broker/metadata_log.h: the log __cluster_metadata-0: KRaft metadata records, as Kafka's controller writes them.
 *
 * Format: docs/format-metadata.md. Each record value is a frame: uvarint 1, uvarint record type, uvarint version, message.
 * One operation is one batch. The first batch of a new log holds the control records of a quorum of one (leader change,
 * kraft.version, voters), the second the level of metadata.version, without which Kafka does not load a log.
 * Threads: open on the main thread before the control thread runs; append on the control thread. */
#ifndef OTTLA_METADATA_LOG_H
#define OTTLA_METADATA_LOG_H

#include "base/clock.h"
#include "broker/metadata_edit.h"
#include "protocol/messages.h"
#include "protocol/batch_builder.h"

#define METADATA_LOG_TOPIC        "__cluster_metadata"
#define METADATA_VERSION_MIN      7            /* 3.3-IV3, the first of KRaft in production */
#define METADATA_VERSION_MAX      27           /* 4.1-IV1 */
#define TRANSACTION_VERSION_MAX   2            /* KIP-890, both parts */
#define METADATA_BATCH_BYTES_MAX  (8u << 20)   /* Kafka's own limit of one batch of this log */
#define METADATA_RECORD_BYTES_MAX (256u << 10) /* more than any record of names (32 KiB each) takes */

/* Types of metadata records. */
enum metadata_record_type {
    METADATA_TOPIC = 2,
    METADATA_PARTITION = 3,
    METADATA_CONFIG = 4,
    METADATA_REMOVE_TOPIC = 9,
    METADATA_SCRAM = 11,
    METADATA_FEATURE_LEVEL = 12,
    METADATA_CLIENT_QUOTA = 14,
    METADATA_PRODUCER_IDS = 15,
    METADATA_ACL = 18,
    METADATA_REMOVE_ACL = 19,
    METADATA_REMOVE_SCRAM = 22,
    METADATA_BEGIN_TRANSACTION = 23,
    METADATA_END_TRANSACTION = 24,
    METADATA_ABORT_TRANSACTION = 25,
};

struct metadata_log;

/* Opens the log, or begins one; folds it into *ret_state (logs of partitions are not opened). config: with the file's
 * options. err says what is wrong in a line: damaged, of a newer Kafka, of several voters. */
int metadata_log_open(struct log_dir *dir, const struct broker_config *file, const struct clock *clock,
                      struct broker_config_ref *config, struct metadata_log **ret_log, struct metadata **ret_state,
                      struct err *err) WARN_UNUSED;
void metadata_log_close(struct metadata_log *ml);
struct log_marks metadata_log_marks(const struct metadata_log *ml);

/* Adds a record to the builder: its frame and message, in the version that Kafka 4.1 writes. */
void metadata_log_record(struct batch_builder *builder, int64_t now_ms, enum metadata_record_type type,
                         const void *message);

/* Appends what the builder holds as one batch and empties it. *ret_end: offset behind it. */
enum kafka_error metadata_log_append(struct metadata_log *ml, struct batch_builder *builder,
                                     int64_t *ret_end) WARN_UNUSED;
/* Calls done(arg, error) on a sync thread when everything before end is on disk. */
void metadata_log_sync(struct metadata_log *ml, int64_t end, void (*done)(void *arg, int error), void *arg);

#endif
