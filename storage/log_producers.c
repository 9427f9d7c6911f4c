/* storage/log_producers.c: what is asked about the producers of a log: the last of one, all of them, where a
 * sequence stands. What they are: producer_state.h. Threads: any. */
#include "storage/segment_view.h"

#include <errno.h>

bool partition_log_producer_last(struct partition_log *log, int64_t producer_id, struct producer_last *ret_last)
{
    const struct producer *p = NULL;

    pthread_mutex_lock(&log->lock);
    if (log_ready(log) == KAFKA_NONE) p = producer_state_find(log->producers, producer_id);
    if (p) {
        const struct producer_batch *last = p->batches_count ? &p->batches[p->batches_count - 1] : NULL;
        *ret_last = (struct producer_last){.epoch = p->epoch,
                                           .last_sequence = last ? last->last_sequence : -1,
                                           .last_offset = last ? last->last_offset : -1};
    }
    pthread_mutex_unlock(&log->lock);
    return p != NULL;
}

enum kafka_error partition_log_producers(struct partition_log *log, struct producer_info **ret_producers,
                                         uint32_t *ret_count)
{
    pthread_mutex_lock(&log->lock);
    enum kafka_error error = log_ready(log);
    if (error == KAFKA_NONE) {
        struct producer_info *to = *ret_producers = xcalloc(HASH_COUNT(log->producers->producers) + 1, sizeof *to);
        *ret_count = HASH_COUNT(log->producers->producers);
        for (const struct producer *p = log->producers->producers; p; p = p->hh.next)
            *to++ = (struct producer_info){.producer_id = p->id,
                                           .last_timestamp_ms = p->last_timestamp_ms,
                                           .txn_first_offset = p->txn_first_offset,
                                           .last_sequence =
                                               p->batches_count ? p->batches[p->batches_count - 1].last_sequence : -1,
                                           .coordinator_epoch = p->coordinator_epoch,
                                           .epoch = p->epoch};
    }
    pthread_mutex_unlock(&log->lock);
    return error;
}

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
    int r = i > 0 ? segment_view_open(log, i - 1, v) : 0;
    pthread_mutex_unlock(&log->lock);
    if (log->closed) {
        if (i > 0 && !r) segment_view_close(v);
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
        segment_view_close(&v);
        if (!look || r < 0) break;
        if (offset >= 0) answer = offset;
        r = older ? 0 : view_before(log, base_offset, &v);
    }
    if (r < 0) return r;
    *ret_offset = answer;
    return 0;
}
