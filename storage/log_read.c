/* Reading a partition log: finding the file range that holds an offset, or a time. The lock is held to choose a segment
 * and to look into the index of the active one; headers are then read from the file without it. */
#include "storage/log_internal.h"
#include "storage/offset_index.h"
#include "storage/time_index.h"

#include "base/log.h"
#include "protocol/record.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* A segment as it was under the lock, with what is needed to read it afterwards. */
struct segment_view {
    struct file_ref *file;
    struct index_view offsets; /* of a closed segment: its file */
    int64_t base_offset;
    int64_t next_offset;
    uint32_t size;
    bool active;
    bool compacted;
};

static uint32_t relative(const struct segment_view *v, int64_t offset)
{
    int64_t distance = offset - v->base_offset;
    return distance < 0 ? 0 : distance > INT32_MAX ? INT32_MAX : (uint32_t)distance;
}

/* Under the lock. */
static int view_open(struct partition_log *log, uint32_t i, struct segment_view *v)
{
    struct segment *s = log->segments[i];
    char path[SEGMENT_PATH_BYTES];

    *v = (struct segment_view){.base_offset = s->base_offset,
                               .next_offset = s->next_offset,
                               .size = atomic_load(&s->size),
                               .active = i + 1 == log->segments_count,
                               .compacted = log->config->config.cleanup_compact};
    v->offsets = index_file_view(&s->offsets, OFFSET_INDEX_ENTRY_BYTES);
    int r = log_segment_file(log, s, &v->file);
    if (r || v->active) return r;
    segment_path(log, s->base_offset, ".index", path);
    r = index_view_open(&v->offsets, OFFSET_INDEX_ENTRY_BYTES, log->dir->io, log->dir->fd, path);
    if (r == -ENOENT) {
        v->offsets = (struct index_view){.fd = -1, .entry_bytes = OFFSET_INDEX_ENTRY_BYTES}; /* empty: walk */
        r = 0;
    }
    if (r) file_ref_put(v->file);
    return r;
}

static void view_close(struct segment_view *v)
{
    index_view_close(&v->offsets);
    file_ref_put(v->file);
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
        int r = view_open(log, i, &v);
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
            view_close(&v);
            break;
        }
        view_close(&v);
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

/* -- times -- */

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
            r = view_open(log, i, &v);
            if (r) break;
            more = true;
            r = time_hint(log, i, &v, timestamp_ms, &position);
            break;
        }
        int64_t offset_min = atomic_load(&log->log_start);
        if (r) error = closed_or(log, KAFKA_STORAGE_ERROR);
        pthread_mutex_unlock(&log->lock);
        if (!more) break;
        if (!r) r = search_segment(log->dir->io, &v, position, timestamp_ms, offset_min, &found);
        from = v.next_offset;
        more = !v.active;
        view_close(&v);
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

/* -- producers -- */

/* The first of our producer's batches in the view with a record at or after the sequence. */
static int find_sequence(const struct io_ops *io, const struct segment_view *v, int64_t producer_id, int32_t sequence,
                         int64_t *ret_offset, bool *ret_older)
{
    struct header_reader reader;
    struct record_batch b;
    uint32_t size;

    *ret_offset = -1;
    *ret_older = false;
    header_reader_init(&reader, io, v->file->fd, 0, v->size);
    int r;
    while ((r = header_reader_peek(&reader, &b, &size)) > 0) {
        if (b.producer_id == producer_id && b.base_sequence >= 0) {
            if (producer_sequence_diff(sequence, record_batch_last_sequence(&b)) >= 0) {
                *ret_offset = b.base_offset + MAX(0, producer_sequence_diff(b.base_sequence, sequence));
                return 0;
            }
            *ret_older = true;
        }
        reader.position += size;
    }
    return r;
}

/* The newest segment that begins before the offset. Returns 1, with its view; 0: none; -errno. */
static int view_before(struct partition_log *log, int64_t before_offset, struct segment_view *v)
{
    pthread_mutex_lock(&log->lock);
    enum kafka_error error = log_ready(log);
    uint32_t i = error == KAFKA_NONE ? log->segments_count : 0;
    while (i > 0 && log->segments[i - 1]->base_offset >= before_offset) i--;
    int r = i > 0 ? view_open(log, i - 1, v) : 0;
    pthread_mutex_unlock(&log->lock);
    if (log->closed) {
        if (i > 0 && !r) view_close(v);
        return -ENOENT;
    }
    return error != KAFKA_NONE ? -EIO : r ? r : i > 0;
}

int partition_log_producer_offset_at(struct partition_log *log, int64_t producer_id, int32_t sequence,
                                     int64_t *ret_offset)
{
    struct segment_view v;
    struct producer_last last;
    int64_t answer = INT64_MAX, offset;
    bool older = false;

    bool look = partition_log_producer_last(log, producer_id, &last) && last.last_sequence >= 0 &&
                producer_sequence_diff(sequence, last.last_sequence) >= 0;
    int r = view_before(log, INT64_MAX, &v); /* also when nothing is looked for: is the log there? */
    /* From the newest segment back, until one has older batches of this producer. What is merged or rolled meanwhile is
     * looked at twice, or has nothing of it: only the caller appends as this producer. */
    while (r > 0) {
        if (look) r = find_sequence(log->dir->io, &v, producer_id, sequence, &offset, &older);
        int64_t base_offset = v.base_offset;
        view_close(&v);
        if (!look || r < 0) break;
        if (offset >= 0) answer = offset;
        r = older ? 0 : view_before(log, base_offset, &v);
    }
    if (r < 0) return r;
    *ret_offset = answer;
    return 0;
}
