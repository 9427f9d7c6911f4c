/* storage/leader_epoch.h: which leader epoch began at which offset: `leader-epoch-checkpoint` files.
 *
 * Format (Kafka's): text lines: version 0, count, then `epoch start_offset`, both rising. See docs/format-log-dir.md.
 * Invariant: epochs and start offsets rise strictly.
 * Threads: under the log's mutex. */
#ifndef OTTLA_LEADER_EPOCH_H
#define OTTLA_LEADER_EPOCH_H

#include "storage/io.h"

#define LEADER_EPOCH_FILE "leader-epoch-checkpoint"

struct epoch_entry {
    int32_t epoch;
    int64_t start_offset;
};

struct leader_epochs {
    struct epoch_entry *entries;
    uint32_t count;
    uint32_t allocated;
};

void leader_epochs_done(struct leader_epochs *e);
/* The epoch begins at start_offset, unless it is known or older than the newest. Entries at or beyond start_offset, of
 * epochs without records, go. Returns whether anything changed. */
bool leader_epochs_assign(struct leader_epochs *e, int32_t epoch, int64_t start_offset);
/* -1: none. */
int32_t leader_epochs_latest(const struct leader_epochs *e);
/* OffsetForLeaderEpoch: the largest known epoch <= epoch and where it ends; -1, -1. */
void leader_epochs_end(const struct leader_epochs *e, int32_t epoch, int64_t log_end, int32_t *ret_epoch,
                       int64_t *ret_end_offset);
/* Drops what begins at or above end_offset. Returns whether anything changed. */
bool leader_epochs_cut_end(struct leader_epochs *e, int64_t end_offset);
/* The log begins at start_offset now. Returns whether anything changed. */
bool leader_epochs_cut_start(struct leader_epochs *e, int64_t start_offset);

/* The file's text, malloc'd. */
char *leader_epochs_format(const struct leader_epochs *e);
/* Returns 0 or -EBADMSG, with e empty then. */
int leader_epochs_parse(struct leader_epochs *e, const char *text) WARN_UNUSED;

#endif
