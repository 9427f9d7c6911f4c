/* storage/compact_pass.h: a pass of compaction, as its files share it: compact.c (what is covered, the walk),
 * compact_batch.c (what stays of a batch), compact_output.c (the new segment). Not for others. Threads: the
 * cleaner's. */
#ifndef OTTLA_COMPACT_PASS_H
#define OTTLA_COMPACT_PASS_H

#include "protocol/batch_builder.h"
#include "storage/compact.h"
#include "storage/log_internal.h"
#include "storage/offset_map.h"

/* A segment as it was when the pass began. */
struct source {
    int64_t base_offset;
    int64_t next_offset;
    uint32_t size;
};

/* A transaction that was aborted, in order of (producer, first offset). */
struct aborted {
    struct txn_entry entry;
    bool seen; /* a batch of it was in this pass: its marker must stay */
};

/* A producer that the log knows, in order of ids. */
struct producer_end {
    int64_t id;
    int64_t last_offset; /* of its last data; -1: only a marker */
    int16_t epoch;
};

/* A producer whose transaction has batches in this pass and did not end yet. */
struct ongoing {
    UT_hash_handle hh;
    int64_t producer_id;
};

/* A segment that is being written. */
struct output {
    struct segment *segment;
    int fd;
    uint32_t position; /* of what is in the file [bytes] */
    struct bytes pending;
};

struct pass {
    struct partition_log *log;
    const struct compact_limits *limits;
    struct err *err;
    struct log_config config;
    int64_t now_ms;
    int64_t end_max;   /* what is decided and durable ends here */
    int64_t from;      /* what is dirty begins here */
    int64_t clean_end; /* and is known to the map below */
    struct source *sources;
    uint32_t sources_count;
    uint32_t rewrites; /* of the log, when the pass began */
    struct aborted *aborted;
    uint32_t aborted_count;
    struct producer_end *ends;
    uint32_t ends_count;
    struct ongoing *ongoing;
    struct offset_map map;
    struct bytes input;   /* part of the file that is read */
    struct bytes content; /* of a compressed batch */
    struct batch_builder builder;
    struct output out;
    uint64_t unpaced; /* bytes since the last pace() */
    bool marker_gone; /* from the group at hand */
};

/* -- compact.c -- */
/* Tells of bytes read or written; may wait. false: the pass is to stop. */
bool compact_pace(struct pass *p, uint64_t bytes) WARN_UNUSED;
/* The index of the source's segment in the log; -1: it is no more what it was. Under the lock. */
int64_t compact_segment_of(struct pass *p, const struct source *source);

/* -- compact_transactions.c -- */
/* All of the log's, whatever the pass covers: every transaction below the last stable offset is decided, its marker may
 * lie anywhere. These two under the lock. */
void compact_copy_aborted(struct pass *p);
void compact_copy_producers(struct pass *p);
/* The aborted transaction to which a batch of data belongs, or NULL. */
struct aborted *compact_aborted_of(struct pass *p, const struct record_batch *b);
/* A batch of data was met. Returns whether its transaction was aborted. */
bool compact_note_data(struct pass *p, const struct record_batch *b);
/* A control batch was met: may its marker go, as far as its transaction's batches count? *ret_keep: its abort stays
 * visible to an index, as *ret_kept. */
bool compact_marker_is_spare(struct pass *p, const struct record_batch *b, struct txn_entry *ret_kept, bool *ret_keep);
/* Is this the batch that tells a producer's last sequence (or, of one without data, its epoch)? */
bool compact_is_last_of_producer(const struct pass *p, const struct record_batch *b);

/* -- compact_batch.c -- */
/* The first reading. Returns 1: all keys of the batch are in the map; 0: it is full, clean_end is the offset of the
 * first that is not; -errno. */
int compact_map_batch(struct pass *p, const struct record_batch *b) WARN_UNUSED;
/* The second: writes what stays of the batch. is_last: of the segments that are written as one. Returns 0 or -errno. */
int compact_clean_batch(struct pass *p, const struct record_batch *b, bool is_last) WARN_UNUSED;

/* -- compact_output.c -- */
/* Begins the new segment. This and the next three: 0 or -errno. */
int compact_output_open(struct pass *p, int64_t base_offset) WARN_UNUSED;
int compact_output_batch(struct pass *p, struct slice bytes) WARN_UNUSED;
/* All bytes of the new segment and its indexes to the disk. */
int compact_output_finish(struct pass *p) WARN_UNUSED;
/* Puts the new segment into the place of count sources from first on. -ECANCELED: the log has changed. */
int compact_output_swap(struct pass *p, uint32_t first, uint32_t count) WARN_UNUSED;
/* Removes what was not put into the log. */
void compact_output_discard(struct pass *p);

#endif
