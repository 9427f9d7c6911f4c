/* storage/log_dir.h: one data directory: its lock, meta.properties, checkpoints, and the partition logs in it.
 *
 * Layout: Kafka's (docs/format-log-dir.md): <topic>-<partition>/ per log; meta.properties, .lock (fcntl),
 * recovery-point-offset-checkpoint, log-start-offset-checkpoint, cleaner-offset-checkpoint, .kafka_cleanshutdown, and
 * ours: ottla.format (version).
 * Threads: open, close on the main thread; create, delete, get from any. Owns the sync threads, the housekeeping thread
 * (retention, checkpoints, delayed deletion), the cleaner (compaction) and the scrub (damage). */
#ifndef OTTLA_LOG_DIR_H
#define OTTLA_LOG_DIR_H

#include "base/clock.h"
#include "base/err.h"
#include "storage/io.h"
#include "storage/partition_log.h"

#define LOG_DIR_FORMAT_VERSION 1

/* Compaction; names and defaults are those of Kafka's log.cleaner.* options. */
struct log_cleaner_config {
    bool enable;
    int64_t backoff_ms;          /* between looks when nothing needs it */
    int64_t dedupe_buffer_bytes; /* most memory of the map of a pass */
    double load_factor;          /* of that map */
    double bytes_per_second_max; /* read and written */
};

struct log_dir_options {
    const char *path;
    int32_t node_id;
    const struct io_ops *io;   /* NULL: the operating system's */
    const struct clock *clock; /* NULL: the system's */
    int64_t flush_interval_ms; /* log.flush.interval.ms: background sync of what is dirty */
    int64_t retention_check_interval_ms;
    int64_t recovery_point_interval_ms;
    int64_t producer_id_expiration_ms;
    struct log_cleaner_config cleaner;
    int64_t scrub_bytes_per_second; /* ottla.scrub.bytes.per.second: files are read for damage; 0: never */
    uint32_t open_files_max;        /* least recently used segments are closed beyond it */
};
void log_dir_options_default(struct log_dir_options *o);

/* Creates the directory when it is missing, locks it, checks format and node id, reads the checkpoints. Partition logs
 * are opened by log_dir_open_log(), which the owner of the metadata calls for each partition it knows.
 * Errors (text says what to do): not writable, locked by another process, newer format, another node's. Nothing is
 * touched then. */
int log_dir_open(const struct log_dir_options *o, struct log_dir **ret_dir, struct err *err) WARN_UNUSED;
/* Clean stop: flushes all, writes checkpoints and snapshots, then the clean-shutdown mark; closes all logs. */
void log_dir_close(struct log_dir *dir);

/* Calls done(arg, error) when the log starts as they are now are durable: till then a crash may bring back what was
 * deleted. On a thread of this directory; error: 0 or -errno, -ESTALE when the directory is closed first. Several calls
 * share one write. Any thread. */
void log_dir_checkpoint_async(struct log_dir *dir, void (*done)(void *arg, int error), void *arg);

/* Changes the cleaner's settings. Any thread. */
void log_dir_set_cleaner(struct log_dir *dir, const struct log_cleaner_config *config);
/* Changes two of the options [ms]. Any thread. */
void log_dir_set_intervals(struct log_dir *dir, int64_t flush_interval_ms, int64_t producer_id_expiration_ms);

const char *log_dir_path(const struct log_dir *dir);
const char *log_dir_cluster_id(const struct log_dir *dir);
struct uuid log_dir_directory_id(const struct log_dir *dir);
bool log_dir_was_clean(const struct log_dir *dir); /* the last stop was */

/* Opens or creates the log of topic-partition. An existing folder with another topic id is set aside (-stray).
 * After an unclean stop this recovers: from the recovery point, cuts a torn tail, rebuilds indexes and producer state,
 * begins a new leader epoch. The caller gets a reference; a log is opened once. After a clean stop its files are read
 * when it is first used.
 * -EBADMSG: what was durable is damaged; err names file and position, nothing was changed, and the log is to be
 * answered for with KAFKA_STORAGE_ERROR. Other -errno: err says what to do. */
int log_dir_open_log(struct log_dir *dir, const char *topic, int32_t partition, struct uuid topic_id,
                     const struct log_config *config, struct partition_log **ret_log, struct err *err) WARN_UNUSED;
/* Waits until what recovery found in logs of strict durability is durable: before that their readers may see less than
 * before the crash. The syncs were begun as the logs were opened; a log whose sync fails takes no writes (told in the
 * log file).
 * Returns 0 or the first -errno. Before log_dir_serve(). */
int log_dir_sync_found(struct log_dir *dir) WARN_UNUSED;
/* All logs that the metadata knows are open, or were tried: other partitions' folders (Kafka, or a deletion that was
 * cut short, left them) are renamed to <name>.<hex>-stray, as Kafka does: not served, not removed; each is told. Files
 * and other names are left alone. Returns 0 or -errno. Before log_dir_serve(). */
int log_dir_set_strays_aside(struct log_dir *dir) WARN_UNUSED;
/* Why the log of topic-partition could not be opened or read since the start: the text that log_dir_open_log() gave, or
 * an empty one. */
void log_dir_failure(struct log_dir *dir, const char *topic, int32_t partition, struct err *ret_why);
/* What the scrub has read of segments since the start [bytes], and how many damages it has told of, each once. Any
 * thread. */
void log_dir_scrub_counts(struct log_dir *dir, uint64_t *ret_bytes, uint64_t *ret_damages);
/* Renames the folder to <name>.<hex>-delete at once, removes files after file.delete.delay.ms; waiters are woken, later
 * calls on the log answer NOT_LEADER_OR_FOLLOWER. -ESTALE: it is deleted already. Other -errno: it could not be
 * renamed, or it is away, and a power cut may bring it back. */
int log_dir_delete_log(struct log_dir *dir, struct partition_log *log) WARN_UNUSED;

/* Readers are let in from now on: no visible end goes back any more. */
void log_dir_serve(struct log_dir *dir);

/* Total and usable bytes of the file system, for DescribeLogDirs. */
int log_dir_space(struct log_dir *dir, int64_t *ret_total, int64_t *ret_usable);

#endif
