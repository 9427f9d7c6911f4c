/* storage/compact.h: one pass of the cleaner over one log: of each key its newest record stays
 * (cleanup.policy=compact).
 *
 * Semantics: Kafka's (documentation, "Log Compaction"; KIP-534 for what is removed later):
 *   - records keep their offsets, batches their base and last offset, producer, epoch and sequence: gaps come inside
 *     and between them;
 *   - a record without value goes delete.retention.ms after the first pass that wrote it: that pass puts the time into
 *     the batch's header (delete horizon), a pass after it takes the record;
 *   - records of aborted transactions go; a transaction's marker goes as a record without value does, once none of its
 *     batches is left;
 *   - a batch without records stays where it is a producer's last (its sequence is needed), or the last of a rewritten
 *     segment;
 *   - records without a key go.
 * What is not touched: the active segment, and everything from the first of these on: last stable offset (all below it
 * is synced first), trim limits (CDC), a segment with records younger than min.compaction.lag.ms.
 *
 * A group of segments is written anew as one, beside them, and takes their place in steps that any crash leaves whole:
 *   B.log.cleaned, B.index.cleaned ... written and synced     a start removes them
 *   renamed to B.log.swap ..., the .log last; folder synced    a start removes what they replace and goes on here
 *   the old files renamed to .deleted; folder synced
 *   renamed to B.log ..., the .log last; folder synced
 * The last batch of a group always stays, so that B.log.swap itself tells which segments it replaces.
 * Threads: the cleaner's; appends, reads and retention go on meanwhile: the log's lock is held to choose what is
 * cleaned and to change the list of segments. Readers hold references on files, not on segments. */
#ifndef OTTLA_COMPACT_H
#define OTTLA_COMPACT_H

#include "base/err.h"
#include "storage/partition_log.h"

/* How much of a log is clean, and how much could be cleaned now. */
struct compact_state {
    int64_t dirty_from;   /* everything below was cleaned */
    int64_t dirty_end;    /* the first offset that is not to be touched */
    uint64_t clean_bytes; /* of whole segments, as dirty_bytes */
    uint64_t dirty_bytes;
    int64_t oldest_dirty_ms; /* the first timestamp of the dirty part; -1: none */
};
/* Of a log with cleanup.policy=compact. Returns 0, or -errno: closed, failed, or its files cannot be read. */
int compact_measure(struct partition_log *log, int64_t now_ms, struct compact_state *ret_state) WARN_UNUSED;

struct compact_limits {
    uint64_t map_bytes;     /* log.cleaner.dedupe.buffer.size */
    double map_load_factor; /* log.cleaner.io.buffer.load.factor */
    /* Called now and then with the bytes read and written since the last call; it may wait. false: stop the pass. */
    bool (*pace)(void *arg, uint64_t bytes);
    void *arg;
};

struct compact_result {
    uint64_t bytes_before;
    uint64_t bytes_after;
    uint64_t keys;
    uint64_t map_bytes;
    int64_t clean_end; /* everything below is clean now */
};
/* Cleans as much of [dirty_from, dirty_end) as the map holds keys of. Returns 0; -ECANCELED: stopped, or the log
 * changed under it (truncated, deleted): what was done stays done, the rest is for the next pass; -EBADMSG, -errno with
 * err: nothing was lost. */
int compact_log(struct partition_log *log, const struct compact_limits *limits, int64_t now_ms,
                struct compact_result *ret_result, struct err *err) WARN_UNUSED;

#endif
