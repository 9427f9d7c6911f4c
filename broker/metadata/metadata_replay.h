/* broker/metadata/metadata_replay.h: batches of metadata records, from the log or a snapshot, folded into a state.
 *
 * Format: docs/format-metadata.md. Each record value is a frame: uvarint 1, uvarint record type, uvarint version,
 * message. Records between the begin and the end of a metadata transaction are held back until its end.
 * What cannot be understood stops the replay with a line that names the offset: nothing is skipped.
 * Threads: the caller's. */
#ifndef OTTLA_METADATA_REPLAY_H
#define OTTLA_METADATA_REPLAY_H

#include "base/arena.h"
#include "broker/metadata/metadata_log.h"

#define METADATA_FRAME_VERSION           1
#define METADATA_CONTROL_SNAPSHOT_FOOTER 4

struct metadata_replay {
    struct metadata *state;
    struct arena arena;
    struct err *err;
    const char *snapshot; /* the file that is read; NULL: the log */
    bool only_in_log;     /* records that no snapshot of ours would hold */
    bool in_transaction;
    struct batch_builder held; /* records of an open metadata transaction, their values copied */
    int64_t last_offset;
    int64_t records_count; /* without control records */
    /* Told of each record that counts, in their order, after it was applied; the message is borrowed. NULL: nobody. */
    void (*seen)(void *seen_arg, enum metadata_record_type type, const void *message);
    void *seen_arg;
};

/* state, err: borrowed. */
void metadata_replay_init(struct metadata_replay *r, struct metadata *state, struct err *err);
void metadata_replay_done(struct metadata_replay *r);
/* Applies all batches in bytes. *offset: behind the last one that was applied. 0, or negative with r->err. */
int metadata_replay_batches(struct metadata_replay *r, struct slice bytes, int64_t *offset) WARN_UNUSED;
/* Whether the last batch is the footer: a file that was cut between two batches has none. */
bool metadata_replay_has_footer(struct slice bytes);
/* Sets r->err: what is wrong at last_offset. */
int metadata_replay_damaged(struct metadata_replay *r, const char *what);

#endif
