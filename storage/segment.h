/* storage/segment.h: one file of a partition's log, with its indexes.
 *
 * Files: <folder>/<base offset, 20 digits>.log, .index, .timeindex, .txnindex. See docs/format-segment.md.
 * Invariants
 *   - size is the end of the last whole batch; what follows in the file is a torn append, cut at open or at once.
 *   - next_offset never goes back, except by partition_log_truncate().
 *   - the last segment of a log is active: its indexes are in memory. Those of closed ones are read from their files;
 *     aborted transactions are in memory always.
 * Threads: under the log's mutex; size and synced_size are also read by open_files. Bytes below size never change:
 * whoever holds a reference on the file reads them without a lock. */
#ifndef OTTLA_SEGMENT_H
#define OTTLA_SEGMENT_H

#include "protocol/record_batch.h"
#include "storage/index_file.h"

#include <stdatomic.h>

#define SEGMENT_NAME_DIGITS 20
#define SEGMENT_PATH_BYTES  320       /* folder 255 (NAME_MAX), slash, digits, suffixes, NUL */
#define SEGMENT_BYTES_MAX   INT32_MAX /* positions are int32 in Kafka's index files */

struct open_file;
struct partition_log;

struct segment {
    struct partition_log *log;
    struct open_file *file; /* guarded by open_files' lock */
    int64_t base_offset;
    int64_t next_offset;
    atomic_uint size;             /* [bytes] */
    atomic_uint synced_size;      /* below it all is on disk [bytes] */
    uint32_t reserved_size;       /* blocks are reserved up to here; 0: none [bytes] */
    uint32_t bytes_since_index;   /* appended since the last index entry */
    int64_t max_timestamp_ms;     /* -1: none, or not read yet */
    int64_t max_timestamp_offset; /* last offset of the first batch that has it */
    int64_t first_timestamp_ms;   /* largest of the first batch; -1: it has none, or it is not read yet */
    int64_t created_ms;
    struct index_file offsets;
    struct index_file times;
    struct index_file aborted;
    bool timestamps_known;
    bool aborted_known;      /* aborted holds all of a closed segment; a replay of producers leaves it alone */
    bool indexes_unsynced;   /* closed by a roll: its index files must be durable before the durable end passes it */
    atomic_bool sync_failed; /* seen by whoever synced the file; it stays so */
};

/* All files of a segment: what is not named here is neither removed, moved nor synced. The last one is not the
 * segment's own: the state of producers below its base offset. */
enum segment_file { FILE_LOG, FILE_OFFSETS, FILE_TIMES, FILE_ABORTED, FILE_SNAPSHOT, SEGMENT_FILES };
extern const char *const segment_suffixes[SEGMENT_FILES];

struct segment *segment_new(struct partition_log *log, int64_t base_offset);
/* Closes its file and frees it. */
void segment_free(struct segment *s);

/* ".log", ".index", ... of the segment with this base offset, relative to the data directory. */
void segment_path(const struct partition_log *log, int64_t base_offset, const char *suffix,
                  char ret_path[SEGMENT_PATH_BYTES]);

/* Appends bytes, all or nothing, as one batch or several. Neither indexes nor offsets change here.
 * Returns 0; -ENOSPC and others: nothing was kept. *ret_failed: the file's content is not known any more. */
int segment_append(struct segment *s, const uint8_t *bytes, uint32_t size, bool *ret_failed) WARN_UNUSED;

/* Gives back the blocks that are reserved behind the end. */
void segment_trim(struct segment *s);

/* Notes a batch that lies at position in its indexes and marks, as appends and recovery do. */
void segment_note_batch(struct segment *s, const struct record_batch *b, uint32_t batch_bytes, uint32_t position,
                        int64_t index_interval_bytes);
/* Adds the last time index entry, so that the file's last entry holds the segment's largest timestamp. */
int segment_finish_times(struct segment *s) WARN_UNUSED;
/* Writes what the index files miss. */
int segment_write_indexes(struct segment *s, bool sync) WARN_UNUSED;
/* The one of them that closed segments keep in memory too. */
int segment_write_aborted(struct segment *s, bool sync) WARN_UNUSED;
/* Drops the in-memory indexes of a segment that is active no longer. */
void segment_close_indexes(struct segment *s);

/* -- reading headers -- */

#define HEADER_READER_BYTES 4096

/* Walks the batches of a file, reading little more than headers. */
struct header_reader {
    const struct io_ops *io;
    int fd;
    uint32_t end;      /* of what may be read [bytes] */
    uint32_t position; /* of the batch that header_reader_peek() shows [bytes] */
    uint32_t buffer_at;
    uint32_t buffer_len;
    uint8_t buffer[HEADER_READER_BYTES];
};

void header_reader_init(struct header_reader *r, const struct io_ops *io, int fd, uint32_t position, uint32_t end);
/* The batch at position; *ret_size is its whole size. Returns 1; 0 at the end; -EBADMSG: no whole batch of magic 2 is
 * here; -errno: reading failed. */
int header_reader_peek(struct header_reader *r, struct record_batch *ret_batch, uint32_t *ret_size) WARN_UNUSED;

/* Positions that an index gives for a read, each at or before what it is for [bytes]. */
struct segment_hints {
    uint32_t start; /* of the asked offset */
    uint32_t limit; /* of the end of what may be seen */
    uint32_t size;  /* of start + size_max */
};
int segment_find_hints(const struct index_view *v, uint32_t relative_offset, uint32_t relative_limit, uint32_t size_max,
                       struct segment_hints *ret_hints) WARN_UNUSED;

/* The first batch at or after hint whose last offset is >= offset; end of r when there is none.
 * A hint that leads to no batch (a damaged index) is not followed: the walk begins at 0. */
int segment_seek(struct header_reader *r, uint32_t hint, int64_t offset, struct record_batch *ret_batch,
                 uint32_t *ret_batch_size) WARN_UNUSED;

#endif
