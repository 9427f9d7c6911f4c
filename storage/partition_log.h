/* storage/partition_log.h: one partition: an append-only sequence of record batches in segments, and its marks.
 *
 * Marks, all offsets: log start <= last stable <= high watermark <= log end. Readers see below the high watermark.
 *   high watermark = the smallest of log end, hold, and (strict durability) the durable end.
 *   hold           = offset of the first record that an unfinished CDC unit or transaction keeps from readers; none:
 *                    INT64_MAX.
 *                    Each owner has its own, and the least counts.
 *   last stable    = the smallest of the high watermark and the first offset of the oldest open transaction.
 *   durable end    = everything below it has been synced.
 * Invariants: design invariants 1-4: offsets are dense at append; a producer's batch is in the log at most once per
 * (id, epoch, sequence); the visible end never goes back while the process lives.
 * Threads: append, truncate, roll under the log's own mutex from any thread; marks are published atomics that anyone
 * may read; reads take a reference on a segment and need no lock afterwards. Order of locks:
 * docs/threads.md; never call out with the mutex held, except waiters' wake(), which may only post mail. */
#ifndef OTTLA_PARTITION_LOG_H
#define OTTLA_PARTITION_LOG_H

#include "base/buf.h"
#include "base/uuid.h"
#include "protocol/kafka_error.h"

#include <sys/queue.h>

struct io_ops;
struct log_dir;
struct partition_log;

#define LOG_NO_HOLD INT64_MAX

/* Producer ids from here on are the broker's own writers' (CDC connectors): what a log knows of them never expires, as
 * their recovery counts on it however long a table was idle. Clients are never given one, and their appends with one
 * are refused: they would shift a connector's sequences. */
#define LOG_PRODUCER_ID_RESERVED_MIN ((int64_t)1 << 62)

/* The topic configuration that a log obeys; names, units and defaults are Kafka's. Changed live by
 * partition_log_configure(). */
struct log_config {
    int64_t segment_bytes;
    int64_t segment_ms;
    int64_t segment_jitter_ms;
    int64_t segment_index_bytes;
    int64_t index_interval_bytes;
    int64_t retention_ms;    /* -1: no limit */
    int64_t retention_bytes; /* -1: no limit */
    int64_t max_message_bytes;
    int64_t flush_messages; /* a sync begins when so many records are not durable */
    int64_t flush_ms;       /* for DescribeConfigs; log_dir_options.flush_interval_ms is what counts */
    int64_t file_delete_delay_ms;
    int64_t min_compaction_lag_ms;
    int64_t max_compaction_lag_ms;
    int64_t delete_retention_ms;
    double min_cleanable_ratio;
    int64_t message_timestamp_before_max_ms;
    int64_t message_timestamp_after_max_ms;
    bool log_append_time; /* message.timestamp.type=LogAppendTime */
    bool cleanup_delete;
    bool cleanup_compact;
    int8_t compression_codec;  /* -1: producer; else enum compression_codec */
    int32_t compression_level; /* of that codec; COMPRESSION_LEVEL_DEFAULT */
    bool strict;               /* ottla.durability=strict: high watermark = durable end at most */
};
void log_config_default(struct log_config *c);

enum append_origin {
    APPEND_CLIENT,   /* Produce: everything is validated */
    APPEND_INTERNAL, /* the broker's own records (offsets, metadata, connect): trusted, one batch or more */
    APPEND_CDC,      /* an ingest unit: like INTERNAL with producer sequences and max.message.bytes; held until
                      partition_log_release() */
};

struct record_error {
    int32_t index; /* of the record in its batch */
    const char *message;
};

struct log_append {
    /* in */
    enum append_origin origin;
    uint8_t *batches;      /* whole v2 batches back to back; base offset and leader epoch are rewritten in place */
    uint32_t size;         /* [bytes] */
    bool txn_must_be_open; /* a transactional batch is taken only when its producer's transaction is open here */
    bool txn_bumps_epochs; /* it is one of transactions of version 2 */
    int64_t owner;         /* APPEND_CDC: whose hold keeps it from readers, see below */
    /* out, set on KAFKA_NONE */
    int64_t base_offset; /* of the first record; of the earlier batch when duplicate */
    int64_t last_offset;
    int64_t log_append_time_ms; /* -1 unless LogAppendTime */
    bool duplicate;             /* the producer sent this batch before: nothing was appended */
    /* out, on an error: what Produce v8+ tells */
    bool txn_not_open;                    /* INVALID_TXN_STATE, because of txn_must_be_open */
    const char *error_message;            /* static text or NULL */
    struct record_error record_errors[4]; /* the first ones */
    int32_t record_errors_count;
};

/* Appends all or nothing; in the page cache when it returns. Publishes and wakes readers unless origin is APPEND_CDC.
 * Errors: semantics of Produce: CORRUPT_MESSAGE, INVALID_RECORD, MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE,
 * INVALID_TIMESTAMP, UNSUPPORTED_COMPRESSION_TYPE, OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH,
 * KAFKA_STORAGE_ERROR (disk; the log may refuse writes from now on), NOT_LEADER_OR_FOLLOWER (closed or deleted). */
enum kafka_error partition_log_append(struct partition_log *log, struct log_append *a) WARN_UNUSED;

/* It takes no writes until the next start: a write or a sync failed so that its file is not known any more. */
bool partition_log_has_failed(const struct partition_log *log);

struct log_marks {
    int64_t log_start;
    int64_t last_stable;
    int64_t high_watermark;
    int64_t log_end;
    int64_t durable_end;
    int32_t leader_epoch;
};
struct log_marks partition_log_marks(struct partition_log *log);

enum read_isolation { READ_UNCOMMITTED, READ_COMMITTED, READ_LOG_END /* replicas, internal readers */ };

struct aborted_txn {
    int64_t producer_id;
    int64_t first_offset;
};

struct log_read {
    const struct io_ops *io; /* that reads the file */
    struct file_ref *file;   /* a reference for the caller to drop; NULL: no data */
    uint64_t position;       /* [bytes] */
    uint32_t length;         /* whole batches */
    uint32_t allowed;        /* with the part of the next one that size_max lets pass; 0 without a whole one [bytes] */
    int64_t base_offset;     /* of the first batch, <= the asked offset */
    int64_t segment_base_offset; /* names the file */
    struct log_marks marks;      /* as they were when the range was chosen */
    struct aborted_txn *aborted; /* READ_COMMITTED: malloc'd list, for the caller to free */
    uint32_t aborted_count;
    bool too_small; /* there is data, and size_max lets pass some bytes of its first batch, not all */
};

/* Finds the batches that hold offset and what follows, up to size_max bytes, within one segment, below the mark of
 * isolation. at_least_one: the first batch is returned even when larger than size_max (KIP-74).
 * Returns KAFKA_NONE (no data at the end), OFFSET_OUT_OF_RANGE, CORRUPT_MESSAGE (no batch is where one must be),
 * KAFKA_STORAGE_ERROR, NOT_LEADER_OR_FOLLOWER (deleted). */
enum kafka_error partition_log_read(struct partition_log *log, int64_t offset, uint32_t size_max, bool at_least_one,
                                    enum read_isolation isolation, struct log_read *ret_read) WARN_UNUSED;
/* The same below marks that were taken before, as those of several logs are in one step (log_dir_visibility_lock()). */
enum kafka_error partition_log_read_at(struct partition_log *log, const struct log_marks *marks, int64_t offset,
                                       uint32_t size_max, bool at_least_one, enum read_isolation isolation,
                                       struct log_read *ret_read) WARN_UNUSED;
/* Copies the whole range (r->length bytes). 0, or -errno: -EIO when the file is shorter. */
int log_read_bytes(const struct log_read *r, uint8_t *to) WARN_UNUSED;
void log_read_done(struct log_read *r);

/* The first record with a timestamp >= timestamp_ms, by offset. Not found: *ret_offset = -1. It may lie beyond the mark
 * that the asker may see: compare. */
enum kafka_error partition_log_offset_for_time(struct partition_log *log, int64_t timestamp_ms, int64_t *ret_offset,
                                               int64_t *ret_timestamp_ms, int32_t *ret_leader_epoch) WARN_UNUSED;
/* The record with the largest timestamp (ListOffsets -3). Empty: -1, -1. */
enum kafka_error partition_log_max_timestamp(struct partition_log *log, int64_t *ret_offset, int64_t *ret_timestamp_ms,
                                             int32_t *ret_leader_epoch) WARN_UNUSED;
/* OffsetForLeaderEpoch: the largest known epoch <= leader_epoch and its end offset; -1, -1 when unknown. */
void partition_log_epoch_end(struct partition_log *log, int32_t leader_epoch, int32_t *ret_epoch,
                             int64_t *ret_end_offset);

/* DeleteRecords and retention: raises the log start; never above the high watermark nor the trim limit.
 * Returns KAFKA_NONE or OFFSET_OUT_OF_RANGE. */
enum kafka_error partition_log_delete_records(struct partition_log *log, int64_t before_offset,
                                              int64_t *ret_log_start) WARN_UNUSED;

/* -- CDC: claims, sequences -- */

/* The broker's own writers claim things of a log, each for itself: a hold, a trim limit, to be alone. An owner is any
 * number but 0, the same for the life of the log; what one gives up never touches what another has claimed. */

/* Nothing at or above offset may be trimmed by retention, DeleteRecords or compaction (CDC: end in the last durable
 * journal record). INT64_MAX: no limit. The least of all owners' limits counts. */
void partition_log_set_trim_limit(struct partition_log *log, int64_t owner, int64_t offset);
/* Sets the owner's hold directly (recovery). The visible end goes back for it until log_dir_serve(); never
 * afterwards. */
void partition_log_set_hold(struct partition_log *log, int64_t owner, int64_t offset);
/* Only this owner may append (others: LEADER_NOT_AVAILABLE, retriable): an initial snapshot that can still be
 * truncated. false: another owner is alone already. */
bool partition_log_set_exclusive(struct partition_log *log, int64_t owner, bool on) WARN_UNUSED;
/* The log's end, without what another owner that is alone has written and may take back again. */
int64_t partition_log_settled_end(struct partition_log *log, int64_t owner);
/* Gives up all that the owner has claimed. */
void partition_log_disown(struct partition_log *log, int64_t owner);
struct log_release {
    struct partition_log *log;
    int64_t owner;
    int64_t hold; /* its new one: LOG_NO_HOLD, or the first record still held */
};
/* Moves the holds of several logs in one step that no fetch planning can see half of; then wakes readers. */
void partition_log_release(const struct log_release *items, uint32_t count);
/* Whoever answers with marks of several partitions takes them between these two (a shared lock of the log_dir): all of
 * a step, or nothing of it. No file is read meanwhile: who releases waits. */
void log_dir_visibility_lock(struct log_dir *dir);
void log_dir_visibility_unlock(struct log_dir *dir);

/* What the log knows of a producer. false: nothing. last_sequence -1: only control batches. */
struct producer_last {
    int16_t epoch;
    int32_t last_sequence;
    int64_t last_offset;
};
bool partition_log_producer_last(struct partition_log *log, int64_t producer_id, struct producer_last *ret_last);
/* All producers that the log knows: malloc'd, for the caller to free. Errors as of a read. */
struct producer_info {
    int64_t producer_id;
    int64_t last_timestamp_ms;
    int64_t txn_first_offset;  /* -1: no open transaction */
    int32_t last_sequence;     /* -1: none */
    int32_t coordinator_epoch; /* of its last marker; -1: none */
    int16_t epoch;
};
enum kafka_error partition_log_producers(struct partition_log *log, struct producer_info **ret_producers,
                                         uint32_t *ret_count) WARN_UNUSED;
/* The offset of the producer's first record whose sequence is >= sequence; INT64_MAX: there is none. Reads headers from
 * the log's end back, without its lock: for recovery. Nobody may append as this producer meanwhile.
 * -ENOENT: closed or deleted; -EBADMSG: damaged; other -errno: it cannot be read. */
int partition_log_producer_offset_at(struct partition_log *log, int64_t producer_id, int32_t sequence,
                                     int64_t *ret_offset) WARN_UNUSED;
/* Cuts everything at and above offset: only for an unfinished snapshot (docs/exactly-once.md). Below the visible end
 * only before log_dir_serve(), when nobody can have seen it: else, and below the log start, OFFSET_OUT_OF_RANGE, and
 * nothing is cut.
 * NOT_LEADER_OR_FOLLOWER: closed or deleted; KAFKA_STORAGE_ERROR: the log takes no writes any more. */
enum kafka_error partition_log_truncate(struct partition_log *log, int64_t offset) WARN_UNUSED;

/* -- waking readers -- */

struct log_waiter {
    int64_t beyond_offset; /* wake when the mark of isolation passes it */
    enum read_isolation isolation;
    void (*wake)(struct log_waiter *w); /* any thread, locks held: may only post mail */
    LIST_ENTRY(log_waiter) link;
    bool linked;
};
/* Woken (once, then unlinked) by an advance of the mark, a new log start, a close or delete; at once if already so. */
void partition_log_wait(struct partition_log *log, struct log_waiter *w);
void partition_log_wait_cancel(struct partition_log *log, struct log_waiter *w);

/* -- durability -- */

/* Calls done(arg, error) on a sync thread when everything below end_offset is on disk; several calls share one sync.
 * error: 0 or -errno (the log is then failed and refuses writes until reopened). On a log that is closed or deleted
 * done is called at once with -ESTALE. */
void partition_log_sync_async(struct partition_log *log, int64_t end_offset, void (*done)(void *arg, int error),
                              void *arg);
/* The same for several logs, waiting; in parallel. Returns 0 or the first -errno. */
int partition_log_sync(struct partition_log *const *logs, uint32_t count) WARN_UNUSED;

/* -- files beside the segments: snapshots of a log's fold -- */

/* Writes a file into the log's folder: whole, and durable when it returns. The name is no segment's. 0 or -errno. */
int partition_log_write_file(struct partition_log *log, const char *name, const void *bytes, size_t size) WARN_UNUSED;
/* malloc'd with a NUL behind it. -EFBIG: larger than size_max. */
int partition_log_read_file(struct partition_log *log, const char *name, size_t size_max, char **ret_bytes,
                            size_t *ret_size) WARN_UNUSED;
int partition_log_remove_file(struct partition_log *log, const char *name) WARN_UNUSED;
/* Calls each for every file of the folder until it returns other than 0, which is then returned. */
int partition_log_list_files(struct partition_log *log, int (*each)(void *arg, const char *name),
                             void *arg) WARN_UNUSED;

/* -- life -- */

/* What is appended from now on is of a leader epoch above those of all records, 1 at least. Returns it. */
int32_t partition_log_begin_epoch(struct partition_log *log);
/* What is appended from now on is of this leader epoch at least: another program has told clients of it. */
void partition_log_raise_epoch(struct partition_log *log, int32_t epoch);

struct partition_log *partition_log_ref(struct partition_log *log);
void partition_log_unref(struct partition_log *log);
const char *partition_log_name(const struct partition_log *log); /* "topic-0" */
uint64_t partition_log_size(struct partition_log *log);          /* of all segments [bytes] */
void partition_log_configure(struct partition_log *log, const struct log_config *config);

#endif
