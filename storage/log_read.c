/* storage/log_read.c: reading a partition log: the file range that holds an offset, and where an epoch ends. The
 * lock is held to choose a segment and to look into the index of the active one; headers are then read from the
 * file without it. Threads: any. */
#include "storage/segment_view.h"
#include "storage/offset_index.h"

#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static uint32_t relative(const struct segment_view *v, int64_t offset)
{
    int64_t distance = offset - v->base_offset;
    return distance < 0 ? 0 : distance > INT32_MAX ? INT32_MAX : (uint32_t)distance;
}

static enum kafka_error closed_or(struct partition_log *log, enum kafka_error error)
{
    return log->closed ? KAFKA_NOT_LEADER_OR_FOLLOWER : error;
}

static int64_t limit_of(const struct log_marks *marks, enum read_isolation isolation)
{
    return isolation == READ_COMMITTED ? marks->last_stable
           : isolation == READ_LOG_END ? marks->log_end
                                       : marks->high_watermark;
}

/* Where a range ends. */
struct range_end {
    int64_t offset; /* behind its last batch */
    uint32_t reach; /* the position up to which the size would have let bytes pass */
};

/* Walks from reader->position over the batches that lie before limit and end at or before target: reader->position is
 * then behind the last of them. A damaged one ends the walk as the target does: its neighbours are served. *offset:
 * behind the last batch; as it was when there is none. Returns 0, or what the first batch's header says when it is
 * damaged itself. */
static int walk_batches(struct header_reader *reader, int64_t limit, uint32_t target, int64_t *offset)
{
    struct record_batch b;
    uint32_t size, from = reader->position;
    int r;

    while ((r = header_reader_peek(reader, &b, &size)) > 0 && reader->position + size <= target &&
           record_batch_last_offset(&b) < limit) {
        reader->position += size;
        *offset = record_batch_next_offset(&b);
    }
    if (r > 0) *offset = b.base_offset;
    return r == -EBADMSG && reader->position > from ? 0 : MIN(r, 0);
}

/* Chooses the range within the view, of length 0 when no whole batch fits. Returns 1; 0: there is nothing at or behind
 * offset; -errno. */
static int choose_range(const struct io_ops *io, const struct segment_view *v, const struct segment_hints *hints,
                        int64_t offset, int64_t limit, uint32_t size_max, bool at_least_one, struct log_read *read,
                        struct range_end *ret_end)
{
    struct header_reader reader;
    struct record_batch first, b;
    uint32_t first_size, b_size, end = v->size;
    int64_t end_offset = v->next_offset;

    header_reader_init(&reader, io, v->file->fd, 0, v->size);
    int r = segment_seek(&reader, hints->start, offset, &first, &first_size);
    if (r <= 0) return r;
    uint32_t start = reader.position;
    if (record_batch_last_offset(&first) >= limit) return 0;

    if (limit < v->next_offset) {
        r = segment_seek(&reader, MAX(hints->limit, start), limit, &b, &b_size);
        if (r > 0) end_offset = b.base_offset;
        if (r == -EBADMSG) {
            reader.position = start;
            r = walk_batches(&reader, limit, end, &end_offset);
        }
        if (r < 0) return r;
        end = reader.position;
    }
    ret_end->reach = start + MIN(end - start, at_least_one ? MAX(size_max, first_size) : size_max);
    if (end - start > size_max) {
        uint32_t target = start + size_max; /* < end */
        if (first_size > size_max) {
            end = at_least_one ? start + first_size : start;
            read->too_small = size_max && !at_least_one;
            end_offset = at_least_one ? record_batch_next_offset(&first) : first.base_offset;
        } else {
            /* The last batch end at or before target. */
            reader.position = hints->size > start && hints->size <= target ? hints->size : start;
            r = walk_batches(&reader, limit, target, &end_offset);
            if (r < 0 && reader.position != start) {
                reader.position = start; /* a damaged index */
                r = walk_batches(&reader, limit, target, &end_offset);
            }
            if (r < 0) return r;
            end = reader.position;
        }
    }
    ret_end->offset = end_offset;
    read->position = start;
    read->length = end - start;
    read->allowed = read->length ? ret_end->reach - start : 0;
    read->base_offset = first.base_offset;
    return 1;
}

static bool has_aborted(const struct partition_log *log, uint32_t from)
{
    for (uint32_t i = from; i < log->segments_count; i++)
        if (log->segments[i]->aborted.count) return true;
    return false;
}

/* The offset up to which Kafka looks for aborted transactions: not where the bytes end, but of the next entry of the
 * index, and of the next segment when there is none. A client needs no more than those of its bytes, and takes the
 * others too. */
static int64_t aborted_bound(const struct segment_view *v, const struct index_view *offsets, struct range_end end)
{
    struct offset_entry next;
    if (offset_index_ceiling_position(offsets, end.reach, &next)) return v->next_offset;
    return MAX(end.offset, v->base_offset + next.relative_offset); /* the index may be damaged */
}

/* The same for what was the active segment: its index is in memory. Under the lock. */
static int64_t aborted_bound_active(const struct partition_log *log, const struct segment_view *v, struct range_end end)
{
    const struct segment *s = log_active(log);
    if (!s || s->base_offset != v->base_offset) return v->next_offset; /* rolled, or deleted, meanwhile */
    struct index_view offsets = index_file_view(&s->offsets, OFFSET_INDEX_ENTRY_BYTES);
    return aborted_bound(v, &offsets, end);
}

/* Aborted transactions that overlap [offset, end_offset), in order of their markers. Under the lock. */
static void collect_aborted(struct partition_log *log, int64_t offset, int64_t end_offset, struct log_read *read)
{
    uint32_t allocated = 0;

    for (uint32_t i = log_segment_at(log, offset); i < log->segments_count; i++) {
        const struct index_file *aborted = &log->segments[i]->aborted;
        for (uint32_t j = 0; j < aborted->count; j++) {
            struct txn_entry e = txn_index_get(aborted, j);
            if (e.last_offset >= offset && e.first_offset < end_offset) {
                if (read->aborted_count == allocated) {
                    allocated = allocated ? allocated * 2 : 4;
                    read->aborted = xrealloc(read->aborted, allocated * sizeof *read->aborted);
                }
                read->aborted[read->aborted_count++] =
                    (struct aborted_txn){.producer_id = e.producer_id, .first_offset = e.first_offset};
            }
            if (e.last_stable_offset >= end_offset) return; /* later ones began beyond our range */
        }
    }
}

/* A damaged file is told to the client as such: clients take KAFKA_STORAGE_ERROR for a state that passes, and ask for
 * ever. */
static enum kafka_error read_failed(struct partition_log *log, const struct segment_view *v, int error)
{
    if (!atomic_exchange(&log->read_failure_told, true))
        log_error("storage", "segment cannot be read partition=%s base_offset=%" PRId64 " cause=%s", log->name,
                  v->base_offset, error == -EBADMSG ? "it is damaged" : strerror(-error));
    return error == -EBADMSG ? KAFKA_CORRUPT_MESSAGE : KAFKA_STORAGE_ERROR;
}

enum kafka_error partition_log_read(struct partition_log *log, int64_t offset, uint32_t size_max, bool at_least_one,
                                    enum read_isolation isolation, struct log_read *ret_read)
{
    const struct log_marks marks = partition_log_marks(log);
    return partition_log_read_at(log, &marks, offset, size_max, at_least_one, isolation, ret_read);
}

enum kafka_error partition_log_read_at(struct partition_log *log, const struct log_marks *marks, int64_t offset,
                                       uint32_t size_max, bool at_least_one, enum read_isolation isolation,
                                       struct log_read *ret_read)
{
    struct log_read read = {.marks = *marks, .base_offset = offset};
    struct segment_view v;
    struct segment_hints hints;
    struct range_end end = {.offset = offset};

    *ret_read = read;
    if (log->closed) return KAFKA_NOT_LEADER_OR_FOLLOWER;
    if (offset < read.marks.log_start || offset > read.marks.log_end) return KAFKA_OFFSET_OUT_OF_RANGE;
    int64_t limit = limit_of(&read.marks, isolation), aborted_end = -1;
    bool aborts = false;
    if (offset >= limit || (!size_max && !at_least_one && isolation != READ_COMMITTED)) return KAFKA_NONE;

    for (;;) {
        pthread_mutex_lock(&log->lock);
        enum kafka_error error = log_ready(log);
        uint32_t i = error == KAFKA_NONE ? log_segment_at(log, offset) : 0;
        if (error == KAFKA_NONE && offset < atomic_load(&log->log_start)) error = KAFKA_OFFSET_OUT_OF_RANGE;
        if (error != KAFKA_NONE || i == log->segments_count) {
            pthread_mutex_unlock(&log->lock);
            return error;
        }
        aborts = isolation == READ_COMMITTED && has_aborted(log, i);
        if (!size_max && !at_least_one && !aborts) {
            pthread_mutex_unlock(&log->lock);
            return KAFKA_NONE;
        }
        int r = segment_view_open(log, i, &v);
        if (!r && v.active)
            r = segment_find_hints(&v.offsets, relative(&v, offset), relative(&v, limit), size_max, &hints);
        error = r ? closed_or(log, KAFKA_STORAGE_ERROR) : KAFKA_NONE;
        pthread_mutex_unlock(&log->lock);
        if (error != KAFKA_NONE) return error;

        if (!v.active) r = segment_find_hints(&v.offsets, relative(&v, offset), relative(&v, limit), size_max, &hints);
        if (!r) r = choose_range(log->dir->io, &v, &hints, offset, limit, size_max, at_least_one, &read, &end);
        if (r > 0) {
            if (read.length) {
                read.io = log->dir->io;
                read.file = file_ref_get(v.file);
            }
            read.segment_base_offset = v.base_offset;
            aborts &= !read.too_small;
            if (aborts && !v.active) aborted_end = aborted_bound(&v, &v.offsets, end);
            segment_view_close(&v);
            break;
        }
        segment_view_close(&v);
        if (r == 0 && !v.active && !v.size && !v.compacted) r = -EBADMSG; /* nobody left it so */
        if (r < 0) return read_failed(log, &v, r);
        /* Compaction may leave nothing at or behind offset in its segment: go on with the next. */
        if (v.active || v.next_offset >= limit || v.next_offset <= offset) return KAFKA_NONE;
        offset = v.next_offset;
    }
    if (aborts) {
        pthread_mutex_lock(&log->lock);
        if (v.active) aborted_end = aborted_bound_active(log, &v, end);
        collect_aborted(log, read.base_offset, aborted_end, &read);
        pthread_mutex_unlock(&log->lock);
    }
    *ret_read = read;
    return KAFKA_NONE;
}

int log_read_bytes(const struct log_read *r, uint8_t *to)
{
    ssize_t n = io_pread_all(r->io, r->file->fd, to, r->length, r->position);
    return n < 0 ? (int)n : n < (ssize_t)r->length ? -EIO : 0;
}

void log_read_done(struct log_read *r)
{
    file_ref_put(r->file);
    free(r->aborted);
    r->file = NULL;
    r->aborted = NULL;
    r->aborted_count = 0;
}

void partition_log_epoch_end(struct partition_log *log, int32_t leader_epoch, int32_t *ret_epoch,
                             int64_t *ret_end_offset)
{
    *ret_epoch = -1;
    *ret_end_offset = -1;
    pthread_mutex_lock(&log->lock);
    if (leader_epoch >= 0 && log_ready(log) == KAFKA_NONE) {
        int32_t current = atomic_load(&log->leader_epoch);
        if (leader_epoch == current && leader_epochs_latest(&log->epochs) < current) {
            /* Nothing was appended in our epoch yet: its line does not exist. */
            *ret_epoch = current;
            *ret_end_offset = atomic_load(&log->log_end);
        } else {
            leader_epochs_end(&log->epochs, leader_epoch, atomic_load(&log->log_end), ret_epoch, ret_end_offset);
        }
    }
    pthread_mutex_unlock(&log->lock);
}
