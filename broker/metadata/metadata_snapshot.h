/* broker/metadata/metadata_snapshot.h: the state of the metadata as a file, so that the log before it may go.
 *
 * Format: docs/format-metadata.md, "Snapshots": Kafka's, `END_OFFSET-EPOCH.checkpoint` in the log's folder. Batches
 * with offsets of their own: a control batch (SnapshotHeader, KRaftVersion, Voters), the records whose fold is the
 * state, a control batch (SnapshotFooter).
 * Threads: any; a metadata snapshot is immutable. */
#ifndef OTTLA_METADATA_SNAPSHOT_H
#define OTTLA_METADATA_SNAPSHOT_H

#include "base/bytes.h"
#include "broker/metadata/metadata.h"

#define METADATA_SNAPSHOT_SUFFIX ".checkpoint"

/* Offset behind the last record that it contains, and that record's raft epoch. */
struct metadata_snapshot_id {
    int64_t end_offset;
    int32_t epoch;
};

#define METADATA_SNAPSHOT_NAME_BYTES 48
void metadata_snapshot_name(struct metadata_snapshot_id id, char ret_name[METADATA_SNAPSHOT_NAME_BYTES]);
/* false: not the name of a finished snapshot. */
bool metadata_snapshot_parse(const char *name, struct metadata_snapshot_id *ret_id);

/* Appends the whole file to *to. node_id, directory_id: the only voter, and where its partitions are. False: no
 * memory. */
bool metadata_snapshot_write(const struct metadata *m, int32_t node_id, struct uuid directory_id, int32_t epoch,
                             int64_t now_ms, struct bytes *to) WARN_UNUSED;

#endif
