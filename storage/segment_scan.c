/* storage/segment_scan.c: reads a segment's batches from its file and makes anew what is only derived from them: its
 * indexes, its marks, the log's leader epochs. The first batch that is not sound is the segment's end; whether that is
 * a torn tail or damage the caller knows.
 *
 * A batch is sound when its header is believed, it lies within the file, its offsets go on where the last ones end,
 * and, from check_from on, its checksum is right (what is below was durable, and was checked when it came). Threads:
 * under the log's lock. */
#include "storage/log_internal.h"

#include "base/crc32c.h"

#include <errno.h>
#include <string.h>

#define SCAN_BUFFER_BYTES (256 * 1024)

struct scan {
    const struct io_ops *io;
    int fd;
    uint32_t end;
    uint32_t at; /* of the buffer in the file */
    uint32_t len;
    uint8_t *buffer;
};

/* The bytes at position, at least want of them when the file has them. Returns how many, or -errno. */
static int64_t scan_bytes(struct scan *s, uint32_t position, uint32_t want, const uint8_t **ret_bytes)
{
    if (position < s->at || position + want > s->at + s->len) {
        ssize_t n = io_pread_all(s->io, s->fd, s->buffer, MIN(SCAN_BUFFER_BYTES, s->end - position), position);
        if (n < 0) return n;
        s->at = position;
        s->len = (uint32_t)n;
    }
    *ret_bytes = s->buffer + (position - s->at);
    return s->at + s->len - position;
}

/* Is the checksum of the batch at position right? Returns 1, 0 or -errno. */
static int scan_crc(struct scan *s, uint32_t position, uint32_t size, uint32_t expected)
{
    uint32_t crc = 0;
    const uint8_t *bytes;
    position += RECORD_BATCH_AT_ATTRIBUTES;
    for (uint32_t left = size - RECORD_BATCH_AT_ATTRIBUTES; left > 0;) {
        int64_t n = scan_bytes(s, position, MIN(left, SCAN_BUFFER_BYTES), &bytes);
        if (n < 0) return (int)n;
        if (n == 0) return 0;
        uint32_t part = (uint32_t)MIN(n, (int64_t)left);
        crc = crc32c(crc, bytes, part);
        position += part;
        left -= part;
    }
    return crc == expected;
}

/* Returns 1: a good batch is at position; 0: none is; -errno. */
static int scan_batch(struct scan *s, uint32_t position, int64_t offset_min, int64_t check_from,
                      struct record_batch *ret_batch, uint32_t *ret_size)
{
    const uint8_t *bytes;
    if (s->end - position < RECORD_BATCH_HEADER_BYTES) return 0;
    int64_t n = scan_bytes(s, position, RECORD_BATCH_HEADER_BYTES, &bytes);
    if (n < 0) return (int)n;
    if (n < RECORD_BATCH_HEADER_BYTES ||
        record_batch_parse_header(slice_make(bytes, (uint32_t)n), ret_batch, ret_size) != RECORD_BATCH_OK)
        return 0;
    if (*ret_size > s->end - position || ret_batch->last_offset_delta < 0 || ret_batch->base_offset < offset_min ||
        ret_batch->base_offset > INT64_MAX - INT32_MAX)
        return 0;
    if (ret_batch->base_offset < check_from && record_batch_next_offset(ret_batch) <= check_from) return 1;
    /* Read the whole batch at once when it fits. */
    n = scan_bytes(s, position, MIN(*ret_size, SCAN_BUFFER_BYTES), &bytes);
    if (n < 0) return (int)n;
    return scan_crc(s, position, *ret_size, ret_batch->crc);
}

static void indexes_restart(struct segment *s)
{
    index_file_done(&s->offsets);
    index_file_done(&s->times);
    s->offsets.shortened = s->times.shortened = true;
    s->bytes_since_index = 0;
    s->first_timestamp_ms = s->max_timestamp_ms = -1;
    s->max_timestamp_offset = s->next_offset = s->base_offset;
    s->timestamps_known = true;
}

int log_scan_rest(struct partition_log *log, struct segment *s, uint32_t position, int64_t check_from)
{
    struct file_ref *file;
    struct scan scan = {.io = log->dir->io, .end = atomic_load(&s->size)};
    struct record_batch b;
    uint32_t size;

    int r = log_segment_file(log, s, &file);
    if (r) return r;
    scan.fd = file->fd;
    scan.buffer = xmalloc(SCAN_BUFFER_BYTES);
    while ((r = scan_batch(&scan, position, s->next_offset, check_from, &b, &size)) > 0) {
        if (record_batch_last_offset(&b) - s->base_offset > INT32_MAX) {
            r = 0;
            break;
        }
        segment_note_batch(s, &b, size, position, log->config->config.index_interval_bytes);
        if (b.partition_leader_epoch >= 0 &&
            leader_epochs_assign(&log->epochs, b.partition_leader_epoch, b.base_offset))
            log->epochs_dirty = true;
        position += size;
    }
    free(scan.buffer);
    file_ref_put(file);
    if (r < 0) return r;
    atomic_store(&s->size, position);
    return 0;
}

int log_scan_segment(struct partition_log *log, struct segment *s, int64_t check_from)
{
    indexes_restart(s);
    return log_scan_rest(log, s, 0, check_from);
}
