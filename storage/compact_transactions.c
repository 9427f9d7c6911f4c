/* storage/compact_transactions.c: what a pass of compaction knows of transactions and producers, and what it judges by
 * that: whose batch was aborted, which marker may go, which batch tells a producer's last sequence.
 *
 * A pass reads the log in order: data comes before its marker, so that at the marker it is known whether any of its
 * transaction's batches is left. Threads: the cleaner's; the log's lock is held while its knowledge is copied. */
#include "storage/compact_pass.h"

static int compare_aborted(const void *a, const void *b)
{
    const struct txn_entry *x = &((const struct aborted *)a)->entry, *y = &((const struct aborted *)b)->entry;
    if (x->producer_id != y->producer_id) return x->producer_id < y->producer_id ? -1 : 1;
    return x->first_offset < y->first_offset ? -1 : x->first_offset > y->first_offset;
}

static int compare_ends(const void *a, const void *b)
{
    const struct producer_end *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

void compact_copy_aborted(struct pass *p)
{
    struct partition_log *log = p->log;
    uint32_t count = 0;

    for (uint32_t i = 0; i < log->segments_count; i++) count += log->segments[i]->aborted.count;
    p->aborted = xcalloc(count + 1, sizeof *p->aborted);
    for (uint32_t i = 0; i < log->segments_count; i++)
        for (uint32_t j = 0; j < log->segments[i]->aborted.count; j++)
            p->aborted[p->aborted_count++].entry = txn_index_get(&log->segments[i]->aborted, j);
    qsort(p->aborted, p->aborted_count, sizeof *p->aborted, compare_aborted);
}

void compact_copy_producers(struct pass *p)
{
    struct producer *known = p->log->producers->producers;

    p->ends = xmalloc((HASH_COUNT(known) + 1) * sizeof *p->ends);
    for (; known; known = known->hh.next)
        p->ends[p->ends_count++] = (struct producer_end){
            .id = known->id,
            .epoch = known->epoch,
            .last_offset = known->batches_count ? known->batches[known->batches_count - 1].last_offset : -1};
    qsort(p->ends, p->ends_count, sizeof *p->ends, compare_ends);
}

struct aborted *compact_aborted_of(struct pass *p, const struct record_batch *b)
{
    uint32_t low = 0, high = p->aborted_count; /* behind the last one that does not begin after the batch */
    if (!record_batch_is_transactional(b)) return NULL;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct txn_entry *e = &p->aborted[middle].entry;
        if (e->producer_id < b->producer_id || (e->producer_id == b->producer_id && e->first_offset <= b->base_offset))
            low = middle + 1;
        else high = middle;
    }
    struct aborted *a = low ? &p->aborted[low - 1] : NULL;
    return a && a->entry.producer_id == b->producer_id && record_batch_last_offset(b) <= a->entry.last_offset ? a
                                                                                                              : NULL;
}

bool compact_marker_is_spare(struct pass *p, const struct record_batch *b, struct txn_entry *ret_kept, bool *ret_keep)
{
    struct producer_marker marker;
    struct ongoing *ongoing;

    if (!log_parse_marker(b, &marker)) return false;
    HASH_FIND(hh, p->ongoing, &b->producer_id, sizeof b->producer_id, ongoing);
    if (ongoing) {
        HASH_DEL(p->ongoing, ongoing);
        free(ongoing);
    }
    if (marker.commit) return !ongoing;
    struct aborted *a = compact_aborted_of(p, b); /* the marker is the last batch of its transaction */
    if (a && a->entry.last_offset == record_batch_last_offset(b)) {
        *ret_kept = a->entry;
        *ret_keep = a->seen;
        return !a->seen;
    }
    return !ongoing; /* without an entry: as for a commit */
}

bool compact_note_data(struct pass *p, const struct record_batch *b)
{
    struct aborted *a = compact_aborted_of(p, b);
    struct ongoing *ongoing;

    if (a) a->seen = true;
    if (a || !record_batch_is_transactional(b)) return a;
    HASH_FIND(hh, p->ongoing, &b->producer_id, sizeof b->producer_id, ongoing);
    if (!ongoing) {
        ongoing = xcalloc(1, sizeof *ongoing);
        ongoing->producer_id = b->producer_id;
        HASH_ADD(hh, p->ongoing, producer_id, sizeof ongoing->producer_id, ongoing);
    }
    return false;
}

bool compact_is_last_of_producer(const struct pass *p, const struct record_batch *b)
{
    struct producer_end key = {.id = b->producer_id};
    if (!record_batch_has_producer(b)) return false;
    const struct producer_end *end = bsearch(&key, p->ends, p->ends_count, sizeof *p->ends, compare_ends);
    if (!end) return false;
    if (end->last_offset >= 0) return record_batch_last_offset(b) == end->last_offset;
    return record_batch_is_control(b) && b->producer_epoch == end->epoch;
}
