/* broker/metadata/metadata_log.h: the log __cluster_metadata-0: KRaft metadata records, as Kafka's controller writes
 * them.
 *
 * Format: docs/format-metadata.md. Each record value is a frame: uvarint 1, uvarint record type, uvarint version,
 * message. One operation is one batch. The first batch of a new log holds the control records of a quorum of one
 * (leader change, kraft.version, voters), the second the level of metadata.version, without which Kafka does not load a
 * log. Each open begins a raft epoch with a leader change. After every so many bytes a snapshot is written in the
 * background (metadata_snapshot.h) and the log before it removed.
 * Invariant: the log begins at offset 0, or at or before the end of a durable snapshot.
 * Threads: open and close on the main thread while the control thread does not run; the rest on the control thread; a
 * snapshot is written on a thread of its own, one at a time. */
#ifndef OTTLA_METADATA_LOG_H
#define OTTLA_METADATA_LOG_H

#include "base/clock.h"
#include "broker/metadata/metadata_edit.h"
#include "protocol/messages.h"
#include "protocol/batch_builder.h"

#define METADATA_LOG_TOPIC          "__cluster_metadata"
#define METADATA_VERSION_MIN        7            /* 3.3-IV3, the first of KRaft in production */
#define METADATA_VERSION_MAX        27           /* 4.1-IV1 */
#define TRANSACTION_VERSION_MAX     2            /* KIP-890, both parts */
#define GROUP_VERSION_MAX           1            /* KIP-848 */
#define METADATA_BATCH_BYTES_MAX    (8u << 20)   /* Kafka's own limit of one batch of this log */
#define METADATA_SEGMENT_BYTES      (16 << 20)   /* the log goes by whole segments: small ones */
#define METADATA_SNAPSHOT_BYTES_MAX (1u << 30)   /* a million partitions take about 100 MiB */
#define METADATA_RECORD_BYTES_MAX   (256u << 10) /* more than any record of names (32 KiB each) takes */

#define METADATA_SAME_LEADER (-2) /* in a PartitionChange: who leads does not change */

/* Types of metadata records. */
enum metadata_record_type {
    METADATA_TOPIC = 2,
    METADATA_PARTITION = 3,
    METADATA_CONFIG = 4,
    METADATA_PARTITION_CHANGE = 5, /* read only */
    METADATA_REMOVE_TOPIC = 9,
    METADATA_DELEGATION_TOKEN = 10, /* read only */
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
/* The same for the log of another cluster, of which the directory has a copy: it ends as a snapshot of this node alone,
 * and is closed. seen(arg, ...): told of every record, see metadata_replay.h. *ret_left: records that no snapshot of
 * ours holds (delegation tokens) were in it, and are gone. */
int metadata_log_adopt(struct log_dir *dir, const struct broker_config *file, const struct clock *clock,
                       struct broker_config_ref *config,
                       void (*seen)(void *arg, enum metadata_record_type type, const void *message), void *arg,
                       bool *ret_left, struct err *err) WARN_UNUSED;
/* The logs of m's partitions are open: those whose leader epoch is above that of the records get a record, so that
 * whoever reads the log next begins no epoch that has been. Before m is published. */
enum kafka_error metadata_log_note_epochs(struct metadata_log *ml, struct metadata *m) WARN_UNUSED;
/* Waits for the snapshot in work. */
void metadata_log_close(struct metadata_log *ml);
struct log_marks metadata_log_marks(const struct metadata_log *ml);

/* Adds a record to the builder: its frame and message, in the version that Kafka 4.1 writes. */
void metadata_log_record(struct batch_builder *builder, int64_t now_ms, enum metadata_record_type type,
                         const void *message);

/* The control records around a snapshot. */
void metadata_log_snapshot_header(struct batch_builder *builder, int64_t now_ms, int32_t node_id,
                                  struct uuid directory_id);
void metadata_log_snapshot_footer(struct batch_builder *builder, int64_t now_ms);

/* m was published, so it is durable: begins a snapshot of it if one is due. */
void metadata_log_published(struct metadata_log *ml, const struct metadata *m);

/* Appends what the builder holds as one batch and empties it. *ret_end: offset behind it. */
enum kafka_error metadata_log_append(struct metadata_log *ml, struct batch_builder *builder,
                                     int64_t *ret_end) WARN_UNUSED;
/* Calls done(arg, error) on a sync thread when everything before end is on disk. */
void metadata_log_sync(struct metadata_log *ml, int64_t end, void (*done)(void *arg, int error), void *arg);

#endif
