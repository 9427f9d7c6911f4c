/* storage/log_time.c: the offset of a time: which segment, where in it, which record. The lock is held to choose a
 * segment and to look into indexes; batches are then read from the file without it. Source: Kafka, ListOffsets by
 * timestamp. Threads: any. */
#include "storage/segment_view.h"

#include "protocol/record.h"
#include "storage/offset_index.h"
#include "storage/time_index.h"

#include <errno.h>
#include <string.h>

struct found_record {
    int64_t offset;
    int64_t timestamp_ms;
    int32_t leader_epoch;
};

/* The first record of the batch at position that is not before the offset and has at least this timestamp.
 * Returns 1, 0: none, or -errno. */
static int search_batch(const struct io_ops *io, int fd, uint32_t position, uint32_t size, int64_t timestamp_ms,
                        int64_t offset_min, struct found_record *ret_found)
{
    struct record_batch b;
    struct record_reader reader;
    struct record record;
    struct bytes scratch;

    AUTO_FREE uint8_t *bytes = malloc(size);
    if (!bytes) return -ENOMEM;
    ssize_t n = io_pread_all(io, fd, bytes, size, position);
    if (n < 0) return (int)n;
    if ((uint32_t)n < size || record_batch_parse(slice_make(bytes, size), &b) != RECORD_BATCH_OK) return -EBADMSG;
    bytes_init(&scratch);
    int r = record_reader_open(&reader, &b, LOG_CONTENT_MAX, &scratch);
    while (!r && (r = record_reader_next(&reader, &record)) == 1) {
        if (record.timestamp_ms >= timestamp_ms && record.offset >= offset_min) {
            *ret_found = (struct found_record){
                .offset = record.offset, .timestamp_ms = record.timestamp_ms, .leader_epoch = b.partition_leader_epoch};
            break;
        }
        r = 0;
    }
    bytes_done(&scratch);
    return r;
}

int log_know_timestamps(struct partition_log *log, struct segment *s)
{
    char path[SEGMENT_PATH_BYTES];
    struct index_view view;
    struct time_entry last;

    if (s->timestamps_known) return 0;
    segment_path(log, s->base_offset, ".timeindex", path);
    int r = index_view_open(&view, TIME_INDEX_ENTRY_BYTES, log->dir->io, log->dir->fd, path);
    if (r) return r == -ENOENT ? 0 : r;
    r = time_index_last(&view, &last);
    index_view_close(&view);
    if (r) return r;
    s->max_timestamp_ms = last.timestamp_ms;
    s->max_timestamp_offset = s->base_offset + last.relative_offset;
    s->timestamps_known = true;
    return 0;
}

/* Where in segment i to begin to look for a timestamp. Under the lock. */
static int time_hint(struct partition_log *log, uint32_t i, const struct segment_view *v, int64_t timestamp_ms,
                     uint32_t *ret_position)
{
    struct segment *s = log->segments[i];
    struct index_view times = index_file_view(&s->times, TIME_INDEX_ENTRY_BYTES);
    struct time_entry time;
    struct offset_entry offset;
    char path[SEGMENT_PATH_BYTES];

    int r = 0;
    if (!v->active) {
        segment_path(log, s->base_offset, ".timeindex", path);
        r = index_view_open(&times, TIME_INDEX_ENTRY_BYTES, log->dir->io, log->dir->fd, path);
    }
    if (!r) r = time_index_floor(&times, timestamp_ms, &time);
    index_view_close(&times);
    if (!r) r = offset_index_floor(&v->offsets, time.relative_offset, &offset);
    *ret_position = r ? 0 : offset.position;
    return r == -ENOENT ? 0 : r;
}

/* The first record from position on whose timestamp is large enough. */
static int search_segment(const struct io_ops *io, const struct segment_view *v, uint32_t position,
                          int64_t timestamp_ms, int64_t offset_min, struct found_record *ret_found)
{
    struct header_reader reader;
    struct record_batch b;
    uint32_t size;

    header_reader_init(&reader, io, v->file->fd, position, v->size);
    int r = header_reader_peek(&reader, &b, &size);
    if (r <= 0 && position) { /* a damaged index */
        reader.position = 0;
        r = header_reader_peek(&reader, &b, &size);
    }
    for (; r > 0; r = header_reader_peek(&reader, &b, &size)) {
        if (b.max_timestamp >= timestamp_ms && record_batch_last_offset(&b) >= offset_min && b.records_count > 0) {
            r = search_batch(io, v->file->fd, reader.position, size, timestamp_ms, offset_min, ret_found);
            if (r) return r;
        }
        reader.position += size;
    }
    return r;
}

enum kafka_error partition_log_offset_for_time(struct partition_log *log, int64_t timestamp_ms, int64_t *ret_offset,
                                               int64_t *ret_timestamp_ms, int32_t *ret_leader_epoch)
{
    struct found_record found = {.offset = -1, .timestamp_ms = -1, .leader_epoch = -1};
    int64_t from = atomic_load(&log->log_start);
    enum kafka_error error = KAFKA_NONE;

    for (bool more = true; more && found.offset < 0 && error == KAFKA_NONE;) {
        struct segment_view v;
        uint32_t position = 0;
        int r = 0;

        pthread_mutex_lock(&log->lock);
        error = log_ready(log);
        uint32_t i = error == KAFKA_NONE ? log_segment_at(log, from) : 0;
        more = false;
        for (; error == KAFKA_NONE && !r && i < log->segments_count; i++) {
            r = log_know_timestamps(log, log->segments[i]);
            if (r || log->segments[i]->max_timestamp_ms < timestamp_ms) continue;
            r = segment_view_open(log, i, &v);
            if (r) break;
            more = true;
            r = time_hint(log, i, &v, timestamp_ms, &position);
            break;
        }
        int64_t offset_min = atomic_load(&log->log_start);
        if (r) error = log->closed ? KAFKA_NOT_LEADER_OR_FOLLOWER : KAFKA_STORAGE_ERROR;
        pthread_mutex_unlock(&log->lock);
        if (!more) break;
        if (!r) r = search_segment(log->dir->io, &v, position, timestamp_ms, offset_min, &found);
        from = v.next_offset;
        more = !v.active;
        segment_view_close(&v);
        if (r < 0) error = KAFKA_STORAGE_ERROR;
    }
    if (error != KAFKA_NONE) return error;
    *ret_offset = found.offset;
    *ret_timestamp_ms = found.timestamp_ms;
    *ret_leader_epoch = found.leader_epoch;
    return KAFKA_NONE;
}

enum kafka_error partition_log_max_timestamp(struct partition_log *log, int64_t *ret_offset, int64_t *ret_timestamp_ms,
                                             int32_t *ret_leader_epoch)
{
    int64_t max = -1;

    pthread_mutex_lock(&log->lock);
    enum kafka_error error = log_ready(log);
    for (uint32_t i = 0; error == KAFKA_NONE && i < log->segments_count; i++) {
        if (log_know_timestamps(log, log->segments[i])) error = KAFKA_STORAGE_ERROR;
        max = MAX(max, log->segments[i]->max_timestamp_ms);
    }
    pthread_mutex_unlock(&log->lock);
    if (error != KAFKA_NONE) return error;
    if (max >= 0) return partition_log_offset_for_time(log, max, ret_offset, ret_timestamp_ms, ret_leader_epoch);
    *ret_offset = *ret_timestamp_ms = -1;
    *ret_leader_epoch = -1;
    return KAFKA_NONE;
}
