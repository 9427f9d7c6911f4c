/* storage/log_internal.h: what the files of this room share about partition logs and their directory. Not for other
 * rooms.
 *
 * Which file does what: README.md; the functions below stand under the file that has them.
 * Locks, in this order: log_dir.visibility > partition_log.lock > checkpoint_lock > log_dir.lock > sync_service.lock >
 * open_files.lock. No thread holds two logs' locks. */
#ifndef OTTLA_LOG_INTERNAL_H
#define OTTLA_LOG_INTERNAL_H

#include "base/err.h"
#include "storage/checkpoint.h"
#include "storage/clean_state.h"
#include "storage/leader_epoch.h"
#include "storage/log_dir.h"
#include "storage/open_files.h"
#include "storage/producer_state.h"
#include "storage/segment.h"

#include <stdatomic.h>

#define LOG_NAME_BYTES   256                 /* NAME_MAX and NUL */
#define LOG_CONTENT_MAX  (128 * 1024 * 1024) /* decompressed content of one batch that is looked into [bytes] */
#define LOG_CONTROL_MAX  (64 * 1024)         /* a batch of control records [bytes] */
#define LOG_SYNC_THREADS 8 /* beyond it parallel syncs gained nothing (10 files: 1.4 ms, 200: 6.7 ms) */

/* The directory's files, but for the logs'. */
#define LOCK_FILE           ".lock"
#define META_FILE           "meta.properties"
#define FORMAT_FILE         "ottla.format"
#define CLEAN_FILE          ".kafka_cleanshutdown"
#define RECOVERY_POINT_FILE "recovery-point-offset-checkpoint"
#define LOG_START_FILE      "log-start-offset-checkpoint"
#define CLEANER_FILE        "cleaner-offset-checkpoint"
#define CLEAN_STATE_FILE    "ottla.partitions"
#define PARTITION_FILE      "partition.metadata" /* in each log's folder */
#define DIR_TEXT_FILE_MAX   65536                /* of those that are no list [bytes] */

struct config_ref {
    LIST_ENTRY(config_ref) link;
    uint32_t refs; /* guarded by log_dir.lock, as the list */
    struct log_config config;
};

/* What one of the broker's own writers has claimed. Kept until it is disowned: there are as many as connectors that
 * write here. */
struct log_claim {
    struct log_claim *next;
    int64_t owner;
    int64_t hold;       /* LOG_NO_HOLD: none */
    int64_t trim_limit; /* INT64_MAX: none */
    int64_t alone_from; /* nobody else may append: the log's end when that began; -1: everybody may */
};

struct sync_request {
    STAILQ_ENTRY(sync_request) link;
    int64_t end_offset;
    void (*done)(void *arg, int error);
    void *arg;
    int error;
};
STAILQ_HEAD(sync_requests, sync_request);

struct partition_log {
    LIST_ENTRY(partition_log) link; /* of log_dir.logs */
    struct log_dir *dir;
    char *folder; /* NULL: as name; else what deletion renamed it to */
    struct uuid topic_id;
    int32_t partition;
    uint32_t topic_len; /* leading part of name */
    atomic_uint refs;
    pthread_mutex_t lock;

    /* Marks, published: written under lock, read by anyone. */
    _Atomic int64_t log_start;
    _Atomic int64_t last_stable;
    _Atomic int64_t high_watermark;
    _Atomic int64_t log_end;
    _Atomic int64_t durable_end;
    _Atomic int64_t start_written; /* the log's start, in its checkpoint */
    _Atomic int64_t clean_end;     /* compaction has seen everything below it; -1: not known */
    _Atomic int32_t leader_epoch;
    _Atomic uint64_t size; /* [bytes] */

    /* Guarded by lock. */
    bool loaded;                   /* segments and producers are known */
    atomic_bool closed;            /* by log_dir_close() or deletion; written under lock */
    bool epochs_dirty;             /* the file does not say what epochs says */
    bool epochs_unsynced;          /* the file is written and not synced */
    bool dir_unsynced;             /* entries of the folder were made or removed since it was synced */
    bool new_folder;               /* the folder itself and partition.metadata are not synced yet */
    bool unmade;                   /* there is no folder: the first segment brings it */
    bool syncing;                  /* in the sync service's queue or hands */
    atomic_bool failed;            /* takes no writes until the next start */
    atomic_bool read_failure_told; /* in the log file, once */
    uint32_t rewrites;             /* how often files or offsets were replaced: truncation, compaction */
    uint32_t segments_count;
    uint32_t segments_allocated;
    int64_t start_writing;       /* what the checkpoint is to say; guarded by checkpoint_lock, not by lock */
    bool uncleanable;            /* compaction failed: not again until the next start */
    int64_t oldest_timestamp_ms; /* largest of the oldest segment; for retention of what is not loaded; -1: unknown */
    struct config_ref *config;
    struct segment **segments; /* by base offset; the last is active */
    struct leader_epochs epochs;
    struct producer_state *producers;
    struct log_claim *claims;
    LIST_HEAD(, log_waiter) waiters;
    struct sync_requests sync_requests;
    int64_t sync_retry_since_ms; /* monotonic: since then no descriptor was free to open a file with; 0: one was */
    STAILQ_ENTRY(partition_log) sync_link;
    char name[];
};

struct sync_service {
    pthread_mutex_t lock;
    pthread_cond_t work;
    STAILQ_HEAD(, partition_log) queue; /* each with a reference */
    pthread_t threads[LOG_SYNC_THREADS];
    uint32_t threads_count;
    uint32_t idle_count;
    uint32_t queued_count;
    bool stopping;
};

/* A file or folder that is to be removed later. */
struct late_removal {
    STAILQ_ENTRY(late_removal) link;
    int64_t due_ms; /* monotonic */
    bool folder;
    char path[];
};

/* Why a log could not be opened. */
struct log_failure {
    LIST_ENTRY(log_failure) link;
    struct err why;
    char name[];
};

/* An offset checkpoint as it was found at start. */
struct known_offsets {
    char *text;
    struct checkpoint checkpoint; /* sorted; offset -1: used */
};

/* Who waits for the checkpoints to be written. */
struct checkpoint_wait {
    STAILQ_ENTRY(checkpoint_wait) link;
    void (*done)(void *arg, int error);
    void *arg;
};

struct scrub {
    pthread_t thread;
    bool started;
    pthread_cond_t wake; /* with log_dir.lock */
    double debt_ms;      /* what the pace is behind; the thread's own, as the next two */
    uint64_t *told;      /* hashes of the damages that were told */
    uint32_t told_count;
    _Atomic uint64_t bytes, damages;
};

struct log_dir {
    struct log_dir_options options;
    char *path;
    const struct io_ops *io;
    const struct clock *clock;
    int fd;
    int lock_fd;
    atomic_uint refs; /* of logs and of the opener */
    char cluster_id[64];
    struct uuid directory_id;
    bool was_clean;
    atomic_bool serving;
    bool closing; /* guarded by lock */
    atomic_bool space_low;
    atomic_bool marks_changed; /* durable ends or log starts moved since the checkpoints were written */
    atomic_bool trimmed;       /* segments lie below a log's start, and go once that is in its checkpoint */
    atomic_bool dirty;         /* something was appended since the last background sync */
    pthread_rwlock_t visibility;
    struct open_files files;
    struct sync_service sync;

    pthread_mutex_t lock;
    LIST_HEAD(, partition_log) logs;
    uint32_t logs_count;
    LIST_HEAD(, config_ref) configs;
    LIST_HEAD(, log_failure) failures;
    STAILQ_HEAD(late_removals, late_removal) removals;
    STAILQ_HEAD(checkpoint_waits, checkpoint_wait) checkpoint_waits;
    struct clean_state clean;             /* what the last clean stop wrote of logs that are not opened yet */
    struct known_offsets recovery_points; /* of logs that are not opened yet */
    struct known_offsets log_starts;
    struct known_offsets clean_ends;
    bool forgotten; /* logs were deleted since recovery points were written */

    pthread_mutex_t checkpoint_lock; /* one writer of checkpoint files */
    pthread_t housekeeper;
    pthread_cond_t housekeeper_wake; /* with lock */
    pthread_t cleaner;
    pthread_cond_t cleaner_wake; /* with lock */
    struct scrub scrub;
    atomic_bool cleaned; /* clean ends moved since their checkpoint was written */
};

/* -- partition_log.c -- */
struct partition_log *log_new(struct log_dir *dir, const char *topic, int32_t partition, struct uuid topic_id,
                              const struct log_config *config);
static inline const char *log_folder(const struct partition_log *log)
{
    return log->folder ? log->folder : log->name;
}
/* Loads what is not loaded yet. Under the lock. KAFKA_NONE, KAFKA_STORAGE_ERROR, KAFKA_NOT_LEADER_OR_FOLLOWER. */
enum kafka_error log_ready(struct partition_log *log) WARN_UNUSED;
/* Refuses writes from now on. */
void log_fail(struct partition_log *log);
/* Stops the log: later calls answer NOT_LEADER_OR_FOLLOWER. Under the lock. */
void log_close(struct partition_log *log);
struct segment *log_active(const struct partition_log *log); /* NULL: no segment yet */
/* Index of the segment that holds offset, or of the first one behind it; segments_count: none. Under the lock. */
uint32_t log_segment_at(const struct partition_log *log, int64_t offset);
int log_segment_file(struct partition_log *log, struct segment *s, struct file_ref **ret_file) WARN_UNUSED;

/* -- log_marks.c: under the lock -- */
/* Moves high watermark and last stable offset to what the other marks allow. */
void log_publish(struct partition_log *log);
/* The same while no reader was let in: a hold takes them back, too. */
void log_publish_held(struct partition_log *log);
/* After the log's end went back: so do the marks. */
void log_publish_shortened(struct partition_log *log);
/* Wakes whom the marks satisfy; all: everyone. */
void log_wake(struct partition_log *log, bool all);

/* -- log_claims.c: under the lock -- */
/* The least of the owners' limits; of their holds. */
int64_t log_trim_limit(const struct partition_log *log);
int64_t log_least_hold(const struct partition_log *log);
/* May this owner append? */
bool log_may_append(const struct partition_log *log, int64_t owner);
/* Holds what the owner appends at offset, unless it holds something before already. */
void log_hold(struct partition_log *log, int64_t owner, int64_t offset);

/* -- log_append.c -- */
/* The marker of a control batch in memory. false: none of a transaction. */
bool log_parse_marker(const struct record_batch *b, struct producer_marker *ret_marker);

/* -- log_read.c -- */
/* Fills in what a closed segment's time index says of its largest timestamp. Under the lock. Returns 0 or -errno. */
int log_know_timestamps(struct partition_log *log, struct segment *s) WARN_UNUSED;

/* -- log_roll.c -- */
/* Begins a new active segment at the log's end. Under the lock. Returns 0 or -errno. */
int log_roll(struct partition_log *log) WARN_UNUSED;
void log_add_segment(struct partition_log *log, struct segment *s);
/* Removes segments [first, first + count): their files are renamed to .deleted and go later. Under the lock. */
void log_remove_segments(struct partition_log *log, uint32_t first, uint32_t count);
/* Puts s into the place of segments [first, first + count), whose files are renamed as above; s has the base offset of
 * the first. Under the lock. */
void log_replace_segments(struct partition_log *log, uint32_t first, uint32_t count, struct segment *s);
/* Writes <log end>.snapshot. Under the lock. Returns 0 or -errno. */
int log_write_snapshot(struct partition_log *log) WARN_UNUSED;
int log_write_epochs(struct partition_log *log) WARN_UNUSED;

/* -- partition_folder.c -- */
#define PARTITION_METADATA_BYTES 64 /* the text of PARTITION_FILE */
void partition_metadata_format(struct uuid topic_id, char ret_text[PARTITION_METADATA_BYTES]);
bool partition_metadata_parse(const char *text, struct uuid *ret_topic_id) WARN_UNUSED;
/* The log is new and empty, without a folder. */
void log_begin(struct partition_log *log);
/* Makes the folder of a log that has none, or finishes the making; not synced. Under the lock. Returns 0 or -errno. */
int log_make_folder(struct partition_log *log) WARN_UNUSED;
/* Is there a folder, and is it this topic's? Sets a foreign one aside. Returns 0 or -errno. */
int partition_folder_check(struct partition_log *log, bool *ret_exists) WARN_UNUSED;
/* Is this <something>-<number>? */
bool partition_folder_is(const char *name);
/* <name>.<32 hex digits>-<suffix>, with the name cut so that a file name holds it. */
/* A name of the kind that partition_folder_rename() makes, or Kafka. */
bool partition_folder_was_renamed(const char *name, const char *suffix);
void partition_folder_rename(const char *name, const char *suffix, char ret_name[LOG_NAME_BYTES]);
/* Returns 0; 1: there is a partition's folder that is not open, and so was not recovered; -errno. No other thread uses
 * the directory. */
int partition_folder_has_unopened(struct log_dir *dir);

/* -- recovery.c -- */
struct log_load {
    bool clean;             /* trust what is there; else check from recovery_point on */
    int64_t recovery_point; /* everything below was durable */
    int64_t log_start;      /* as it was checkpointed; 0 */
    int64_t last_stable;    /* as a clean stop told it; 0: not told */
};
/* Reads the folder: segments, indexes, producers, epochs, marks. Under the lock or alone with the log.
 * Returns 0; -EBADMSG: damage below the recovery point, err says where; -errno. */
int log_load(struct partition_log *log, const struct log_load *load, struct err *err) WARN_UNUSED;

/* -- segment_scan.c -- */
/* Reads all of a segment's batches again, filling its indexes in memory. The checksums of batches that reach beyond
 * check_from are verified. Stops at the first bad batch: size is then the end of the good ones. Under the lock.
 * Returns 0 or -errno. */
int log_scan_segment(struct partition_log *log, struct segment *s, int64_t check_from) WARN_UNUSED;
/* The same from position on, where the batches that s knows end. */
int log_scan_rest(struct partition_log *log, struct segment *s, uint32_t position, int64_t check_from) WARN_UNUSED;

/* -- producer_replay.c -- */
/* Producers and aborted transactions of the whole log, from the newest snapshot at or below snapshot_max on; snapshots
 * beyond the log's end are removed. Under the lock. Returns 0 or -errno. */
int log_replay_producers(struct partition_log *log, int64_t snapshot_max) WARN_UNUSED;
/* Brings the indexes of aborted transactions on disk to what that has found. Under the lock. Returns 0 or -errno. */
int log_write_aborted(struct partition_log *log) WARN_UNUSED;
/* Reads the marker of a control batch from its file. Returns 1; 0: none of a transaction; -errno. */
int log_read_marker(const struct io_ops *io, int fd, uint32_t position, uint32_t size,
                    struct producer_marker *ret_marker) WARN_UNUSED;

/* -- sync.c -- */
/* Begins to sync all that the log has; nobody waits for it. */
void log_sync_soon(struct partition_log *log);
/* Starts the first thread. Returns 0 or -errno. */
int sync_service_init(struct sync_service *s) WARN_UNUSED;
/* Finishes what is queued, then ends the threads. */
void sync_service_stop(struct sync_service *s);

/* -- retention.c -- */
/* Moves the log's start. Returns whether segments lie below it now. */
bool log_retain(struct partition_log *log, int64_t now_ms);
/* Removes those. The start must be in its checkpoint by then: a power cut may keep some of the files, which nobody must
 * read. */
void log_drop_trimmed(struct partition_log *log);

/* -- housekeeping.c -- */
int housekeeper_start(struct log_dir *dir) WARN_UNUSED;
void housekeeper_stop(struct log_dir *dir);
/* Something was appended: the next background sync has work. */
void log_dir_note_dirty(struct log_dir *dir);
/* A durable end or a log start moved: the checkpoints are to be written. */
void log_dir_note_marks(struct log_dir *dir);
/* One of its rounds each; tests call them. */
void log_dir_flush_dirty(struct log_dir *dir);
void log_dir_check_retention(struct log_dir *dir);
void log_dir_expire_producers(struct log_dir *dir);

/* -- late_removal.c -- */
/* Removes path (a folder or a file) in delay_ms; at once when that is 0. */
void log_dir_remove_later(struct log_dir *dir, const char *path, bool folder, int64_t delay_ms);
/* Removes what is due, or all that waits. */
void log_dir_remove_due(struct log_dir *dir, bool all);
/* Takes up the folders whose removal the last run did not come to. */
void log_dir_find_deleted(struct log_dir *dir);

/* -- cleaner.c -- */
int cleaner_start(struct log_dir *dir) WARN_UNUSED;
void cleaner_stop(struct log_dir *dir);
/* Compacts until no log needs it. Returns how many passes there were. Tests call it. */
uint32_t log_dir_clean(struct log_dir *dir);

/* -- scrub.c -- */
int scrubber_start(struct log_dir *dir) WARN_UNUSED;
void scrubber_stop(struct log_dir *dir);
/* One round. Tests call it. */
void log_dir_scrub(struct log_dir *dir);

/* -- dir_identity.c -- */
/* What of the identity the directory lacks: its meta.properties, its version. */
struct dir_identity {
    bool meta;
    bool format;
};
/* Checks the format, takes the lock, reads or makes up the ids. Returns 0, or -errno with err: nothing was touched. */
int dir_identity_read(struct log_dir *dir, struct dir_identity *ret_missing, struct err *err) WARN_UNUSED;
int dir_identity_write(struct log_dir *dir, struct dir_identity missing, struct err *err) WARN_UNUSED;

/* -- dir_checkpoints.c -- */
/* What the last run has checkpointed of a log; -1: nothing. */
struct known_marks {
    int64_t recovery_point;
    int64_t log_start;
    int64_t clean_end;
};
/* A damaged checkpoint counts as none. Returns 0, or -errno with err. */
int dir_checkpoints_load(struct log_dir *dir, struct err *err) WARN_UNUSED;
void dir_checkpoints_done(struct log_dir *dir);
/* Of a log that is not open. */
struct known_marks dir_checkpoints_get(struct log_dir *dir, const char *topic, int32_t partition);
/* The log is open, or begins anew: what the last run knew of it goes into no checkpoint any more. Under dir->lock. */
void dir_checkpoints_forget(struct log_dir *dir, const char *topic, int32_t partition);
/* Writes all three, durable. Returns 0 or -errno. */
int log_dir_write_checkpoints(struct log_dir *dir) WARN_UNUSED;

/* -- clean_stop.c -- */
/* Reads the last stop's mark and takes it away before anything is changed. Returns 0, or -errno with err. */
int clean_stop_take_mark(struct log_dir *dir, struct err *err) WARN_UNUSED;
/* Gives the log the marks that a clean stop wrote; its files are read when it is first used. false: there are none. */
bool clean_stop_open_log(struct partition_log *log, const char *topic);
/* Brings the small files of a log that is synced up to date. Returns whether it is as a clean stop must leave it. */
bool clean_stop_finish_log(struct partition_log *log) WARN_UNUSED;
/* All is well: writes the marks of all logs, then that of the stop. Returns 0 or -errno. */
int clean_stop_write_mark(struct log_dir *dir) WARN_UNUSED;

/* -- log_table.c -- */
/* Keeps why for log_dir_failure(). */
void log_dir_note_failure(struct log_dir *dir, const char *log_name, const struct err *why);
/* Waits until all that the logs have is durable; strict_only: those in strict durability. Returns 0 or the first
 * -errno. */
int log_dir_sync_logs(struct log_dir *dir, bool strict_only) WARN_UNUSED;

/* -- config_pool.c -- */
/* A reference on the one copy of config. */
struct config_ref *log_dir_intern_config(struct log_dir *dir, const struct log_config *config);
void log_dir_drop_config(struct log_dir *dir, struct config_ref *ref);

/* -- log_dir.c -- */
void log_dir_unref(struct log_dir *dir);

#endif
