/* One segment of a log: batches (checksum, content, records, offsets, epochs), and what its indexes say of them.
 *
 * The indexes are read before the size of the log is taken, so that on a running broker they are never ahead of it. The
 * log is then walked once; the next entry of each index waits for the batch that it names. */
#include "storage/verify.h"

#include "protocol/record.h"
#include "storage/log_internal.h"
#include "storage/offset_index.h"
#include "storage/time_index.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WINDOW_BYTES (256 * 1024)

/* -- reading a file forward -- */

struct window {
    struct verify *v;
    int fd;
    uint64_t size; /* of the file, when it was opened */
    uint64_t from;
    struct bytes bytes;
};

/* NULL: the file ends before, or cannot be read. */
static const uint8_t *window_at(struct window *w, uint64_t position, uint32_t count)
{
    if (position < w->from || position + count > w->from + w->bytes.len) {
        uint64_t left = w->size > position ? w->size - position : 0;
        bytes_reset(&w->bytes);
        w->from = position;
        if (count > left || w->v->stopped) return NULL;
        uint32_t size = (uint32_t)MIN(left, (uint64_t)MAX(count, (uint32_t)WINDOW_BYTES));
        if (w->v->pace && !w->v->pace(w->v->arg, size)) {
            w->v->stopped = true;
            return NULL;
        }
        uint8_t *room = bytes_room(&w->bytes, size);
        ssize_t n = room ? io_pread_all(&io_posix, w->fd, room, size, position) : -ENOMEM;
        if (n < (ssize_t)count) return NULL;
        w->bytes.len = (uint32_t)n;
    }
    return w->bytes.ptr + (position - w->from);
}

/* -- the walk -- */

struct index_walk {
    char *path;
    uint8_t *bytes;
    uint32_t count, next;
    bool waiting; /* the batch at the entry's position has come, the one with its offset has not */
};

struct walk {
    struct verify_log *l; /* NULL: a file alone */
    struct verify *v;
    const char *path;
    int64_t base_offset, next_base; /* next_base -1: the last segment */
    struct window window;
    struct index_walk offsets, times, aborted;
    uint64_t position;
    int64_t next_offset;
    int64_t max_timestamp_ms;
    /* The same of batches that have records. One that compaction has emptied keeps its time in the header: our indexes do not count it,
     * Kafka's may. */
    int64_t max_record_ms;
    bool damaged; /* what the indexes say is not looked at any more */
};

/* Entries, less the zeros that Kafka preallocates. */
static void index_open(struct verify *v, struct index_walk *x, const char *folder, int64_t base_offset,
                       const char *suffix, uint32_t entry_bytes)
{
    static const uint8_t zeros[64];
    size_t size;

    x->path = xasprintf("%s/%020" PRId64 "%s", folder, base_offset, suffix);
    x->bytes = (uint8_t *)verify_read(v, x->path, &size, true);
    if (!x->bytes) return;
    if (size % entry_bytes && !v->running && v->clean)
        verify_found(v, x->path, (int64_t)(size - size % entry_bytes), "the last entry is cut short");
    x->count = (uint32_t)(size / entry_bytes);
    while (x->count && !memcmp(x->bytes + (size_t)(x->count - 1) * entry_bytes, zeros, entry_bytes)) x->count--;
}

static void index_close(struct index_walk *x)
{
    free(x->bytes);
    free(x->path);
}

static void offsets_see(struct walk *w, const struct record_batch *b, int64_t last_record)
{
    struct index_walk *x = &w->offsets;
    while (x->next < x->count) {
        const uint8_t *e = x->bytes + (size_t)x->next * OFFSET_INDEX_ENTRY_BYTES;
        int64_t offset = w->base_offset + be32_load(e), at = (int64_t)x->next * OFFSET_INDEX_ENTRY_BYTES;
        uint32_t position = be32_load(e + 4);
        if (!x->waiting && position > w->position) return;
        if (!x->waiting && position < w->position) {
            verify_found(w->v, x->path, at, "no batch begins at position %u of the log", position);
        } else if (offset > record_batch_last_offset(b)) {
            /* Kafka's entry of an append of several batches: begin of the first one, offset of the last one. */
            const uint8_t *after = e + OFFSET_INDEX_ENTRY_BYTES;
            x->waiting = x->next + 1 == x->count || be32_load(after + 4) > w->position;
            if (x->waiting) return;
            verify_found(w->v, x->path, at, "no batch behind position %u ends at offset %" PRId64, position, offset);
        } else if (offset != record_batch_last_offset(b) && offset != last_record) {
            verify_found(w->v, x->path, at,
                         "the batch at position %u of the log ends at offset %" PRId64 ", not %" PRId64,
                         (unsigned)w->position, record_batch_last_offset(b), offset);
        }
        x->waiting = false;
        x->next++;
    }
}

static void times_see(struct walk *w, const struct record_batch *b, int64_t last_record, int64_t newest_record)
{
    struct index_walk *x = &w->times;
    w->max_timestamp_ms = MAX(w->max_timestamp_ms, b->max_timestamp);
    if (b->records_count) w->max_record_ms = MAX(w->max_record_ms, b->max_timestamp);
    while (x->next < x->count) {
        const uint8_t *e = x->bytes + (size_t)x->next * TIME_INDEX_ENTRY_BYTES;
        int64_t timestamp_ms = (int64_t)be64_load(e), offset = w->base_offset + be32_load(e + 8);
        if (offset > record_batch_last_offset(b)) return;
        int64_t at = (int64_t)x->next * TIME_INDEX_ENTRY_BYTES;
        if (timestamp_ms != w->max_timestamp_ms && timestamp_ms != w->max_record_ms)
            verify_found(w->v, x->path, at,
                         "the largest timestamp up to offset %" PRId64 " is %" PRId64 ", not %" PRId64, offset,
                         w->max_timestamp_ms, timestamp_ms);
        else if (offset != record_batch_last_offset(b) && offset != last_record && offset != newest_record)
            verify_found(w->v, x->path, at, "no batch ends at offset %" PRId64, offset);
        x->next++;
    }
}

/* txn: what the batches say of a transaction that ends here; NULL: none is known. */
static void aborted_see(struct walk *w, const struct record_batch *b, const struct producer_marker *marker,
                        const struct txn_entry *txn)
{
    struct index_walk *x = &w->aborted;
    while (x->next < x->count) {
        const uint8_t *e = x->bytes + (size_t)x->next * TXN_INDEX_ENTRY_BYTES;
        struct txn_entry entry = {.producer_id = (int64_t)be64_load(e + 2),
                                  .first_offset = (int64_t)be64_load(e + 10),
                                  .last_offset = (int64_t)be64_load(e + 18),
                                  .last_stable_offset = (int64_t)be64_load(e + 26)};
        int64_t at = (int64_t)x->next * TXN_INDEX_ENTRY_BYTES;
        if (entry.last_offset > record_batch_last_offset(b)) return;
        if (be16_load(e) != 0) verify_found(w->v, x->path, at, "the entry has version %d, not 0", be16_load(e));
        else if (entry.last_offset != b->base_offset || entry.producer_id != b->producer_id || !marker ||
                 marker->commit)
            verify_found(w->v, x->path, at, "no transaction of producer %" PRId64 " is aborted at offset %" PRId64,
                         entry.producer_id, entry.last_offset);
        else if (entry.first_offset < 0 || entry.first_offset > entry.last_offset ||
                 (txn && txn->first_offset != entry.first_offset))
            verify_found(w->v, x->path, at, "the transaction does not begin at offset %" PRId64, entry.first_offset);
        else if (entry.last_stable_offset < 0 || entry.last_stable_offset > entry.last_offset + 1 ||
                 (txn && txn->last_stable_offset != entry.last_stable_offset))
            verify_found(w->v, x->path, at, "the last stable offset was not %" PRId64, entry.last_stable_offset);
        x->next++;
    }
}

/* Entries that nothing in the log answered. */
static void indexes_end(struct walk *w)
{
    struct index_walk *x = &w->offsets;
    if (x->next < x->count)
        verify_found(w->v, x->path, (int64_t)x->next * OFFSET_INDEX_ENTRY_BYTES,
                     "the entry lies behind the end of the log");
    x = &w->times;
    if (x->next < x->count)
        verify_found(w->v, x->path, (int64_t)x->next * TIME_INDEX_ENTRY_BYTES,
                     "the entry lies behind the end of the log");
    else if (x->count && w->next_base >= 0) {
        const uint8_t *e = x->bytes + (size_t)(x->count - 1) * TIME_INDEX_ENTRY_BYTES;
        int64_t timestamp_ms = (int64_t)be64_load(e);
        if (timestamp_ms != w->max_timestamp_ms && timestamp_ms != w->max_record_ms)
            verify_found(w->v, x->path, (int64_t)(x->count - 1) * TIME_INDEX_ENTRY_BYTES,
                         "the largest timestamp of the segment is %" PRId64, w->max_timestamp_ms);
    }
    x = &w->aborted;
    if (x->next < x->count)
        verify_found(w->v, x->path, (int64_t)x->next * TXN_INDEX_ENTRY_BYTES,
                     "the entry lies behind the end of the log");
}

/* *ret_last: offset of the last record; *ret_newest: of the first one with the largest timestamp; -1: none. */
static bool read_records(struct walk *w, const struct record_batch *b, int64_t *ret_last, int64_t *ret_newest)
{
    struct record_reader reader;
    struct record record;
    int64_t newest_ms = INT64_MIN;
    int32_t delta = -1;
    struct bytes own = {0}, *content = w->l ? &w->l->content : &own;

    *ret_last = *ret_newest = -1;
    int r = record_reader_open(&reader, b, VERIFY_CONTENT_MAX, content);
    while (!r && (r = record_reader_next(&reader, &record)) > 0) {
        r = record.offset_delta <= delta || record.offset_delta > b->last_offset_delta ? -ERANGE : 0;
        delta = record.offset_delta;
        if (record.timestamp_ms > newest_ms) *ret_newest = record.offset;
        newest_ms = MAX(newest_ms, record.timestamp_ms);
        *ret_last = record.offset;
        w->v->records++;
    }
    if (r == -ERANGE)
        verify_found(w->v, w->path, (int64_t)w->position, "the record at offset %" PRId64 " is out of order",
                     *ret_last);
    else if (r == -EFBIG)
        verify_noted(w->v, w->path, (int64_t)w->position, "the batch is too large to be decompressed");
    else if (r) verify_found(w->v, w->path, (int64_t)w->position, "the records of the batch cannot be read");
    bytes_done(&own);
    return !r;
}

static void see_epoch(struct walk *w, const struct record_batch *b)
{
    struct verify_log *l = w->l;
    if (b->partition_leader_epoch < 0)
        verify_found(w->v, w->path, (int64_t)w->position, "the batch has no leader epoch");
    if (l->epochs_count && l->epochs[l->epochs_count - 1].epoch == b->partition_leader_epoch) return;
    if (l->epochs_count && l->epochs[l->epochs_count - 1].epoch > b->partition_leader_epoch)
        verify_found(w->v, w->path, (int64_t)w->position, "the leader epoch goes back to %d",
                     b->partition_leader_epoch);
    if (l->epochs_count == l->epochs_allocated) {
        l->epochs_allocated = l->epochs_allocated ? l->epochs_allocated * 2 : 4;
        l->epochs = xrealloc(l->epochs, l->epochs_allocated * sizeof *l->epochs);
    }
    l->epochs[l->epochs_count++] = (struct verify_epoch){.first_offset = b->base_offset,
                                                         .position = (int64_t)w->position,
                                                         .epoch = b->partition_leader_epoch,
                                                         .path = xstrdup(w->path)};
}

/* What the transactions before say of the one that this marker ends. Returns whether anything is known of it. */
static bool see_producer(struct walk *w, const struct record_batch *b, const struct producer_marker *marker,
                         struct txn_entry *ret_txn)
{
    struct verify_log *l = w->l;
    bool aborted = false;
    if (!record_batch_has_producer(b)) return false;
    if (!record_batch_is_control(b) || marker) aborted = producer_state_apply(&l->producers, b, marker, ret_txn);
    if (marker) producer_state_settle(&l->producers, INT64_MAX);
    return aborted && l->producers_known;
}

/* Offsets, checksum and content. Returns whether the batch may be believed. */
static bool batch_is_sound(struct walk *w, const struct record_batch *b, int64_t *ret_last, int64_t *ret_newest)
{
    int64_t first = b->base_offset, last = record_batch_last_offset(b);
    bool fits = b->last_offset_delta >= 0 && first >= w->next_offset && (w->next_base < 0 || last < w->next_base);

    w->v->batches++;
    if (!record_batch_crc_ok(b)) {
        verify_found(w->v, w->path, (int64_t)w->position,
                     "the checksum of the batch of offsets %" PRId64 " to %" PRId64 " is wrong", first, last);
        if (fits) w->next_offset = last + 1;
        return false;
    }
    if (!fits) {
        verify_found(w->v, w->path, (int64_t)w->position, "offsets %" PRId64 " to %" PRId64 " do not belong here",
                     first, last);
        return false;
    }
    bool gap = w->l && !w->l->compacted && first > w->next_offset;
    if (gap)
        verify_found(w->v, w->path, (int64_t)w->position, "offsets %" PRId64 " to %" PRId64 " are missing",
                     w->next_offset, first - 1);
    w->next_offset = last + 1;
    return read_records(w, b, ret_last, ret_newest) && !gap;
}

static void see_batch(struct walk *w, const struct record_batch *b)
{
    struct producer_marker marker;
    struct txn_entry txn;
    int64_t last_record, newest_record;

    if (!batch_is_sound(w, b, &last_record, &newest_record)) {
        w->damaged = true;
        if (w->l) w->l->producers_known = false;
        return;
    }
    if (!w->l) return;
    bool has_marker = record_batch_is_control(b) && log_parse_marker(b, &marker);
    bool has_txn = see_producer(w, b, has_marker ? &marker : NULL, &txn);
    see_epoch(w, b);
    if (w->damaged) return;
    offsets_see(w, b, last_record);
    times_see(w, b, last_record, newest_record);
    aborted_see(w, b, has_marker ? &marker : NULL, has_txn ? &txn : NULL);
}

/* The next position that the index names: there the walk may go on. */
static bool resume(struct walk *w)
{
    for (uint32_t i = 0; i < w->offsets.count; i++) {
        const uint8_t *e = w->offsets.bytes + (size_t)i * OFFSET_INDEX_ENTRY_BYTES;
        uint32_t position = be32_load(e + 4);
        if (position <= w->position || position >= w->window.size) continue;
        const uint8_t *at = window_at(&w->window, position, RECORD_BATCH_HEADER_BYTES);
        struct record_batch b;
        uint32_t size;
        if (!at || record_batch_parse_header(slice_make(at, RECORD_BATCH_HEADER_BYTES), &b, &size) != RECORD_BATCH_OK ||
            b.base_offset < w->next_offset)
            continue;
        w->position = position;
        w->offsets.next = MAX(w->offsets.next, i);
        w->next_offset = b.base_offset; /* what lies between is told once */
        return true;
    }
    return false;
}

/* Bytes that are no batch, up to the end of the file. */
static void see_tail(struct walk *w, enum record_batch_result result)
{
    static const char *const causes[] = {[RECORD_BATCH_PARTIAL] = "a batch is cut short",
                                         [RECORD_BATCH_LEGACY] = "a message set of magic 0 or 1",
                                         [RECORD_BATCH_BAD_MAGIC] = "no batch",
                                         [RECORD_BATCH_BAD_LENGTH] = "no batch"};
    bool may_be_torn = !w->v->alone && w->l && w->next_base < 0 && !w->v->clean &&
                       MAX(w->next_offset, w->base_offset) >= w->l->recovery_point;
    if (may_be_torn)
        verify_noted(w->v, w->path, (int64_t)w->position,
                     "%s: an append that is not finished, or was not (%" PRIu64 " bytes)", causes[result],
                     w->window.size - w->position);
    else
        verify_found(w->v, w->path, (int64_t)w->position, "%s, %" PRIu64 " bytes before the end of the file",
                     causes[result], w->window.size - w->position);
}

static void walk_file(struct walk *w)
{
    struct record_batch b;
    while (w->position < w->window.size) {
        uint32_t head = (uint32_t)MIN(w->window.size - w->position, (uint64_t)RECORD_BATCH_HEADER_BYTES), size = 0;
        const uint8_t *at = window_at(&w->window, w->position, head);
        enum record_batch_result result = RECORD_BATCH_PARTIAL;
        if (w->v->stopped) return;
        if (!at) {
            verify_found(w->v, w->path, (int64_t)w->position, "the file cannot be read here: %s", strerror(errno));
            return;
        }
        if (head == RECORD_BATCH_HEADER_BYTES) result = record_batch_parse_header(slice_make(at, head), &b, &size);
        if (result == RECORD_BATCH_OK && size > w->window.size - w->position) result = RECORD_BATCH_PARTIAL;
        if (result == RECORD_BATCH_OK && !(at = window_at(&w->window, w->position, size)))
            result = RECORD_BATCH_PARTIAL;
        if (result == RECORD_BATCH_OK) result = record_batch_parse(slice_make(at, size), &b);
        if (result == RECORD_BATCH_OK) {
            see_batch(w, &b);
            w->position += size;
            continue;
        }
        if (w->v->stopped) return;
        see_tail(w, result);
        w->damaged = true;
        if (w->l) w->l->producers_known = false;
        if (!resume(w)) return;
    }
}

static bool walk_open(struct walk *w)
{
    struct stat st;
    w->window.v = w->v;
    w->window.fd = open(w->path, O_RDONLY | O_CLOEXEC);
    if (w->window.fd < 0 || fstat(w->window.fd, &st) < 0) {
        if (errno != ENOENT || !w->v->running)
            verify_found(w->v, w->path, VERIFY_WHOLE_FILE, "cannot be read: %s", strerror(errno));
        return false;
    }
    w->window.size = (uint64_t)st.st_size;
    w->v->files++;
    w->v->bytes += w->window.size;
    return true;
}

static void walk_close(struct walk *w)
{
    if (w->window.fd >= 0) close(w->window.fd);
    bytes_done(&w->window.bytes);
}

void verify_batches(struct verify *v, const char *path)
{
    struct walk w = {.v = v, .path = path, .next_base = -1, .next_offset = -1, .window.fd = -1};
    if (walk_open(&w)) walk_file(&w);
    walk_close(&w);
}

void verify_segment(struct verify_log *l, int64_t base_offset, int64_t next_base)
{
    struct verify *v = l->v;
    AUTO_FREE char *path = xasprintf("%s/%020" PRId64 ".log", l->folder, base_offset);
    struct walk w = {.l = l,
                     .v = v,
                     .path = path,
                     .base_offset = base_offset,
                     .next_base = next_base,
                     .next_offset = l->compacted ? base_offset : MAX(l->next_offset, base_offset),
                     .max_timestamp_ms = -1,
                     .max_record_ms = -1,
                     .window.fd = -1};

    index_open(v, &w.offsets, l->folder, base_offset, ".index", OFFSET_INDEX_ENTRY_BYTES);
    index_open(v, &w.times, l->folder, base_offset, ".timeindex", TIME_INDEX_ENTRY_BYTES);
    index_open(v, &w.aborted, l->folder, base_offset, ".txnindex", TXN_INDEX_ENTRY_BYTES);
    if (l->next_offset >= 0 && base_offset < l->next_offset)
        verify_found(v, path, VERIFY_WHOLE_FILE,
                     "it begins before offset %" PRId64 ", where the one in front of it ends", l->next_offset);
    else if (l->next_offset >= 0 && base_offset > l->next_offset && !l->compacted)
        verify_found(v, path, VERIFY_WHOLE_FILE, "offsets %" PRId64 " to %" PRId64 " are missing in front of it",
                     l->next_offset, base_offset - 1);
    if (walk_open(&w)) {
        walk_file(&w);
        if (!w.damaged && !v->stopped) indexes_end(&w);
        l->next_offset = w.next_offset;
    }
    index_close(&w.offsets);
    index_close(&w.times);
    index_close(&w.aborted);
    walk_close(&w);
}
