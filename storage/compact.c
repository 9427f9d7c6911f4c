#include "storage/compact.h"

#include "protocol/batch_builder.h"
#include "storage/log_internal.h"
#include "storage/offset_index.h"
#include "storage/offset_map.h"
#include "storage/time_index.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define READ_BYTES  (512 * 1024)
#define WRITE_BYTES (1024 * 1024)
#define PACE_BYTES  (256 * 1024) /* pace() is called after so many */

/* A segment as it was when the pass began. */
struct source {
    int64_t base_offset;
    int64_t next_offset;
    uint32_t size;
};

/* A transaction that was aborted, in order of (producer, first offset). */
struct aborted {
    struct txn_entry entry;
    bool seen; /* a batch of it was in this pass: its marker must stay */
};

/* A producer that the log knows, in order of ids. */
struct producer_end {
    int64_t id;
    int64_t last_offset; /* of its last data; -1: only a marker */
    int16_t epoch;
};

/* A producer whose transaction has batches in this pass and did not end yet. */
struct ongoing {
    UT_hash_handle hh;
    int64_t producer_id;
};

/* A segment that is being written. */
struct output {
    struct segment *segment;
    int fd;
    uint32_t position; /* of what is in the file [bytes] */
    struct bytes pending;
};

struct pass {
    struct partition_log *log;
    const struct compact_limits *limits;
    struct err *err;
    struct log_config config;
    int64_t now_ms;
    int64_t end_max;   /* what is decided and durable ends here */
    int64_t from;      /* what is dirty begins here */
    int64_t clean_end; /* and is known to the map below */
    struct source *sources;
    uint32_t sources_count;
    uint32_t rewrites; /* of the log, when the pass began */
    struct aborted *aborted;
    uint32_t aborted_count;
    struct producer_end *ends;
    uint32_t ends_count;
    struct ongoing *ongoing;
    struct offset_map map;
    struct bytes input;   /* part of the file that is read */
    struct bytes content; /* of a compressed batch */
    struct batch_builder builder;
    struct output out;
    uint64_t unpaced; /* bytes since the last pace() */
    bool marker_gone; /* from the group at hand */
};

/* -- what is dirty -- */

/* The first offset that must not be touched. Under the lock. */
static int64_t untouchable(struct partition_log *log)
{
    int64_t end = MIN(atomic_load(&log->last_stable), log_trim_limit(log));
    return MIN(end, log_active(log)->base_offset);
}

/* Of the segment's first batch; -1: it has none, or cannot be read. Under the lock. */
static int64_t first_timestamp(struct partition_log *log, struct segment *s)
{
    struct header_reader reader;
    struct record_batch b;
    struct file_ref *file;
    uint32_t size;

    if (s->first_timestamp_ms >= 0 || log_segment_file(log, s, &file)) return s->first_timestamp_ms;
    header_reader_init(&reader, log->dir->io, file->fd, 0, atomic_load(&s->size));
    if (header_reader_peek(&reader, &b, &size) > 0) s->first_timestamp_ms = b.max_timestamp;
    file_ref_put(file);
    return s->first_timestamp_ms;
}

/* Under the lock. Sources: whole segments below what must not be touched. */
static int measure(struct partition_log *log, int64_t end_max, int64_t now_ms, struct compact_state *s,
                   uint32_t *ret_count)
{
    const struct log_config *c = &log->config->config;
    uint32_t i;

    *s = (struct compact_state){.oldest_dirty_ms = -1};
    *ret_count = 0;
    if (log_ready(log) != KAFKA_NONE || atomic_load(&log->failed)) return -ESTALE;
    s->dirty_from = log->clean_end;
    if (s->dirty_from < atomic_load(&log->log_start) || s->dirty_from > atomic_load(&log->log_end))
        s->dirty_from = atomic_load(&log->log_start);
    s->dirty_end = s->dirty_from;
    if (!log->segments_count) return 0;

    int64_t end = MIN(untouchable(log), end_max);
    for (i = 0; i < log->segments_count && log->segments[i]->next_offset <= end; i++) {
        struct segment *segment = log->segments[i];
        int r = log_know_timestamps(log, segment);
        if (r) return r;
        uint32_t size = atomic_load(&segment->size);
        if (segment->next_offset <= s->dirty_from) {
            s->clean_bytes += size;
            continue;
        }
        if (c->min_compaction_lag_ms > 0 && segment->max_timestamp_ms > now_ms - c->min_compaction_lag_ms) break;
        if (s->oldest_dirty_ms < 0 && c->max_compaction_lag_ms < INT64_MAX)
            s->oldest_dirty_ms = first_timestamp(log, segment);
        s->dirty_bytes += size;
        s->dirty_end = segment->next_offset;
    }
    *ret_count = i;
    return 0;
}

int compact_measure(struct partition_log *log, int64_t now_ms, struct compact_state *ret_state)
{
    uint32_t count;
    pthread_mutex_lock(&log->lock);
    int r = measure(log, INT64_MAX, now_ms, ret_state, &count);
    pthread_mutex_unlock(&log->lock);
    return r;
}

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

/* Under the lock. All of the log's: every transaction below the last stable offset is decided, its marker may lie anywhere. */
static void copy_aborted(struct pass *p)
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

static void copy_producers(struct pass *p)
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

/* What the pass relies on must survive a power cut that follows it: the records that take others' places, the markers that decided
 * about them, the batches that tell producers' sequences. So all of it is taken as it is now, and synced before anything is removed. */
static int settle(struct pass *p)
{
    struct partition_log *log = p->log;

    pthread_mutex_lock(&log->lock);
    int r = log_ready(log) != KAFKA_NONE || atomic_load(&log->failed) ? -ESTALE : 0;
    if (!r) {
        p->end_max = atomic_load(&log->last_stable);
        copy_producers(p);
    }
    pthread_mutex_unlock(&log->lock);
    return r ? r : partition_log_sync(&log, 1);
}

static int plan(struct pass *p)
{
    struct partition_log *log = p->log;
    struct compact_state state;
    uint32_t count;

    pthread_mutex_lock(&log->lock);
    int r = measure(log, p->end_max, p->now_ms, &state, &count);
    if (!r && state.dirty_end > state.dirty_from) {
        p->config = log->config->config;
        p->rewrites = log->rewrites;
        p->from = state.dirty_from;
        p->clean_end = state.dirty_end;
        p->sources = xmalloc((count + 1) * sizeof *p->sources);
        for (; p->sources_count < count; p->sources_count++) {
            struct segment *s = log->segments[p->sources_count];
            p->sources[p->sources_count] = (struct source){
                .base_offset = s->base_offset, .next_offset = s->next_offset, .size = atomic_load(&s->size)};
        }
        copy_aborted(p);
    }
    pthread_mutex_unlock(&log->lock);
    return r;
}

/* -- reading -- */

static bool pace(struct pass *p, uint64_t bytes)
{
    p->unpaced += bytes;
    if (p->unpaced < PACE_BYTES) return true;
    bytes = p->unpaced;
    p->unpaced = 0;
    return !p->limits->pace || p->limits->pace(p->limits->arg, bytes);
}

/* Walks the batches of a source, whole and with their checksums right. */
struct walk {
    const struct source *source;
    struct file_ref *file;
    uint32_t position; /* of the next batch */
    uint32_t at;       /* of the input in the file */
};

/* The index of the source's segment in the log; -1: it is no more what it was. Under the lock. */
static int64_t segment_of(struct pass *p, const struct source *source)
{
    struct partition_log *log = p->log;
    for (uint32_t low = 0, high = log->segments_count; low < high && !log->closed && !atomic_load(&log->failed);) {
        uint32_t middle = low + (high - low) / 2;
        struct segment *s = log->segments[middle];
        if (s->base_offset == source->base_offset)
            return atomic_load(&s->size) == source->size && middle + 1 < log->segments_count ? (int64_t)middle : -1;
        if (s->base_offset < source->base_offset) low = middle + 1;
        else high = middle;
    }
    return -1;
}

static int walk_open(struct pass *p, struct walk *w, const struct source *source)
{
    *w = (struct walk){.source = source};
    p->input.len = 0;
    pthread_mutex_lock(&p->log->lock);
    int64_t i = segment_of(p, source);
    int r = i < 0 ? -ECANCELED : log_segment_file(p->log, p->log->segments[i], &w->file);
    pthread_mutex_unlock(&p->log->lock);
    return r;
}

static int unreadable(struct pass *p, const struct walk *w, int r)
{
    char path[SEGMENT_PATH_BYTES];
    if (r == -ECANCELED || p->err->code) return r;
    segment_path(p->log, w->source->base_offset, ".log", path);
    return err_set(p->err, r, "%s/%s: byte %u: %s", p->log->dir->path, path, w->position,
                   r == -EBADMSG ? "no sound batch is there" : strerror(-r));
}

/* Brings want bytes at the position into the input. Returns 1; 0: the segment ends before; -errno. */
static int walk_fill(struct pass *p, struct walk *w, uint32_t want)
{
    uint32_t left = w->source->size - w->position;
    if (want > left) return 0;
    if (w->position >= w->at && w->position + want <= w->at + p->input.len) return 1;
    uint32_t size = MIN(MAX(want, READ_BYTES), left);
    p->input.len = 0;
    if (!bytes_room(&p->input, size)) return -ENOMEM;
    ssize_t n = io_pread_all(p->log->dir->io, w->file->fd, p->input.ptr, size, w->position);
    if (n < 0) return (int)n;
    w->at = w->position;
    p->input.len = (uint32_t)n;
    if ((uint32_t)n < want) return -EBADMSG;
    return pace(p, (uint64_t)n) ? 1 : -ECANCELED;
}

/* The next batch; it lives until the next call. Returns 1; 0: the segment is at its end; -errno. */
static int walk_next(struct pass *p, struct walk *w, struct record_batch *ret_batch)
{
    uint32_t size;

    if (w->position == w->source->size) return 0;
    int r = walk_fill(p, w, RECORD_BATCH_HEADER_BYTES);
    if (r <= 0) return r ? r : -EBADMSG;
    struct slice bytes = slice_make(p->input.ptr + (w->position - w->at), RECORD_BATCH_HEADER_BYTES);
    if (record_batch_parse_header(bytes, ret_batch, &size) != RECORD_BATCH_OK) return -EBADMSG;
    r = walk_fill(p, w, size);
    if (r <= 0) return r ? r : -EBADMSG;
    bytes = slice_make(p->input.ptr + (w->position - w->at), size);
    if (record_batch_parse(bytes, ret_batch) != RECORD_BATCH_OK || !record_batch_crc_ok(ret_batch) ||
        ret_batch->last_offset_delta < 0 || ret_batch->base_offset < w->source->base_offset ||
        record_batch_next_offset(ret_batch) > w->source->next_offset)
        return -EBADMSG;
    w->position += size;
    return 1;
}

static void walk_close(struct walk *w)
{
    if (w->file) file_ref_put(w->file);
}

/* -- transactions -- */

/* The aborted transaction to which a batch of data belongs, or NULL. */
static struct aborted *aborted_of(struct pass *p, const struct record_batch *b)
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

/* May the marker go, as far as its transaction's batches count? Those that stay visible to an index are noted in it. */
static bool marker_is_spare(struct pass *p, const struct record_batch *b, struct txn_entry *ret_kept, bool *ret_keep)
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
    struct aborted *a = aborted_of(p, b); /* the marker is the last batch of its transaction */
    if (a && a->entry.last_offset == record_batch_last_offset(b)) {
        *ret_kept = a->entry;
        *ret_keep = a->seen;
        return !a->seen;
    }
    return !ongoing; /* without an entry: as for a commit */
}

/* A batch of data was met. Returns whether its transaction was aborted. */
static bool note_data(struct pass *p, const struct record_batch *b)
{
    struct aborted *a = aborted_of(p, b);
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

/* Is this the batch that tells a producer's last sequence (or, of one without data, its epoch)? */
static bool is_last_of_producer(const struct pass *p, const struct record_batch *b)
{
    struct producer_end key = {.id = b->producer_id};
    if (!record_batch_has_producer(b)) return false;
    const struct producer_end *end = bsearch(&key, p->ends, p->ends_count, sizeof *p->ends, compare_ends);
    if (!end) return false;
    if (end->last_offset >= 0) return record_batch_last_offset(b) == end->last_offset;
    return record_batch_is_control(b) && b->producer_epoch == end->epoch;
}

/* -- the map -- */

/* The next record of b. A compressed batch may be stored without a look at its records: their offsets are checked here.
 * *last_delta: -1 before the first. Returns what record_reader_next() does; -EBADMSG: an offset is not behind the one before,
 * or beyond the batch. */
static int next_record(struct record_reader *reader, const struct record_batch *b, int32_t *last_delta,
                       struct record *ret_record)
{
    int r = record_reader_next(reader, ret_record);
    if (r <= 0) return r;
    if (ret_record->offset_delta <= *last_delta || ret_record->offset_delta > b->last_offset_delta) return -EBADMSG;
    *last_delta = ret_record->offset_delta;
    return r;
}

/* Returns 1: all keys of the batch are in the map; 0: it is full, clean_end is the offset of the first that is not; -errno. */
static int map_batch(struct pass *p, const struct record_batch *b)
{
    struct record_reader reader;
    struct record record;
    int32_t last_delta = -1;

    if (record_batch_last_offset(b) < p->from || record_batch_is_control(b) || aborted_of(p, b)) return 1;
    int r = record_reader_open(&reader, b, LOG_CONTENT_MAX, &p->content);
    if (r) return r;
    while ((r = next_record(&reader, b, &last_delta, &record)) > 0) {
        if (!record.key.ptr || record.offset < p->from) continue;
        if (offset_map_put(&p->map, record.key, record.offset)) continue;
        p->clean_end = record.offset;
        return 0;
    }
    return r ? r : 1;
}

static int build_map(struct pass *p)
{
    struct record_batch b;
    int r =
        offset_map_init(&p->map, (uint64_t)(p->clean_end - p->from), p->limits->map_bytes, p->limits->map_load_factor);

    for (uint32_t i = 0; i < p->sources_count && !r; i++) {
        struct walk w;
        bool room = true;
        if (p->sources[i].next_offset <= p->from) continue;
        r = walk_open(p, &w, &p->sources[i]);
        while (!r && room) {
            r = walk_next(p, &w, &b);
            if (r <= 0) break;
            r = map_batch(p, &b);
            room = r != 0;
            r = MIN(r, 0);
        }
        if (r < 0) r = unreadable(p, &w, r);
        walk_close(&w);
        if (!room) break;
    }
    return r;
}

/* -- writing -- */

static const struct {
    const char *final, *cleaned, *swap;
} files[] = {{".index", ".index.cleaned", ".index.swap"},
             {".timeindex", ".timeindex.cleaned", ".timeindex.swap"},
             {".txnindex", ".txnindex.cleaned", ".txnindex.swap"},
             {".log", ".log.cleaned", ".log.swap"}}; /* the .log last: with it the others count */

static int output_open(struct pass *p, int64_t base_offset)
{
    char path[SEGMENT_PATH_BYTES];

    p->out.segment = segment_new(p->log, base_offset);
    p->out.segment->timestamps_known = p->out.segment->aborted_known = true;
    p->out.position = 0;
    p->out.pending.len = 0;
    segment_path(p->log, base_offset, ".log.cleaned", path);
    p->out.fd = p->log->dir->io->openat(p->log->dir->fd, path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    return MIN(p->out.fd, 0);
}

static int output_flush(struct pass *p)
{
    struct output *o = &p->out;
    int r = io_pwrite_all(p->log->dir->io, o->fd, o->pending.ptr, o->pending.len, o->position);
    if (r) return r;
    o->position += o->pending.len;
    uint32_t written = o->pending.len;
    o->pending.len = 0;
    return pace(p, written) ? 0 : -ECANCELED;
}

static int output_batch(struct pass *p, struct slice bytes)
{
    struct output *o = &p->out;
    struct record_batch b;

    if (record_batch_parse(bytes, &b) != RECORD_BATCH_OK) return -EBADMSG;
    if (bytes.len > SEGMENT_BYTES_MAX - o->position - o->pending.len) return -EFBIG;
    segment_note_batch(o->segment, &b, bytes.len, o->position + o->pending.len, p->config.index_interval_bytes);
    bytes_append(&o->pending, bytes.ptr, bytes.len);
    if (o->pending.failed) return -ENOMEM;
    return o->pending.len >= WRITE_BYTES ? output_flush(p) : 0;
}

/* Removes what was not put into the log. */
static void output_discard(struct pass *p)
{
    struct output *o = &p->out;
    char path[SEGMENT_PATH_BYTES];

    if (o->fd >= 0) p->log->dir->io->close(o->fd);
    o->fd = -1;
    if (!o->segment) return;
    for (uint32_t i = 0; i < countof(files); i++) {
        segment_path(p->log, o->segment->base_offset, files[i].cleaned, path);
        (void)p->log->dir->io->unlinkat(p->log->dir->fd, path, 0);
        segment_path(p->log, o->segment->base_offset, files[i].swap, path);
        (void)p->log->dir->io->unlinkat(p->log->dir->fd, path, 0);
    }
    segment_free(o->segment);
    o->segment = NULL;
}

static int write_index(struct pass *p, struct index_file *f, uint32_t entry_bytes, const char *suffix)
{
    char path[SEGMENT_PATH_BYTES];
    segment_path(p->log, p->out.segment->base_offset, suffix, path);
    return index_file_write(f, entry_bytes, p->log->dir->io, p->log->dir->fd, path, true);
}

/* All bytes of the new segment and its indexes to the disk. */
static int output_finish(struct pass *p)
{
    struct segment *s = p->out.segment;
    int r = output_flush(p);

    if (!r) r = p->log->dir->io->fdatasync(p->out.fd);
    p->log->dir->io->close(p->out.fd);
    p->out.fd = -1;
    if (!r) r = segment_finish_times(s);
    if (!r) r = write_index(p, &s->offsets, OFFSET_INDEX_ENTRY_BYTES, ".index.cleaned");
    if (!r) r = write_index(p, &s->times, TIME_INDEX_ENTRY_BYTES, ".timeindex.cleaned");
    if (!r && s->aborted.count) r = write_index(p, &s->aborted, TXN_INDEX_ENTRY_BYTES, ".txnindex.cleaned");
    if (r) return r;
    segment_close_indexes(s);
    atomic_store(&s->size, p->out.position);
    atomic_store(&s->synced_size, p->out.position);
    return 0;
}

static int rename_output(struct pass *p, int64_t base_offset, bool final)
{
    const struct io_ops *io = p->log->dir->io;
    char from[SEGMENT_PATH_BYTES], to[SEGMENT_PATH_BYTES];

    for (uint32_t i = 0; i < countof(files); i++) {
        /* With the .log the others count: they must be there. */
        bool last = i + 1 == countof(files);
        int synced = last && !final ? io_sync_dir(io, p->log->dir->fd, log_folder(p->log)) : 0;
        if (synced) return synced;
        segment_path(p->log, base_offset, final ? files[i].swap : files[i].cleaned, from);
        segment_path(p->log, base_offset, final ? files[i].final : files[i].swap, to);
        int r = io->renameat(p->log->dir->fd, from, to);
        if (r && !(r == -ENOENT && !strcmp(files[i].final, ".txnindex"))) return r;
    }
    return 0;
}

/* Puts the new segment into the place of its sources. */
static int swap(struct pass *p, uint32_t first, uint32_t count)
{
    struct partition_log *log = p->log;
    const struct io_ops *io = log->dir->io;

    int64_t base_offset = p->out.segment->base_offset;
    int r = rename_output(p, base_offset, false);
    if (!r) r = io_sync_dir(io, log->dir->fd, log_folder(log));
    if (r) return r;

    pthread_mutex_lock(&log->lock);
    int64_t at = segment_of(p, &p->sources[first]);
    if (at < 0 || log->rewrites != p->rewrites || at + count >= log->segments_count) {
        pthread_mutex_unlock(&log->lock);
        return -ECANCELED;
    }
    p->out.segment->created_ms = log->segments[at + count - 1]->created_ms;
    p->out.segment->next_offset = log->segments[at + count - 1]->next_offset;
    log_replace_segments(log, (uint32_t)at, count, p->out.segment);
    p->out.segment = NULL;
    p->rewrites = log->rewrites;
    r = io_sync_dir(io, log->dir->fd, log_folder(log));
    if (!r) r = rename_output(p, base_offset, true);
    if (r) log_fail(log); /* neither the old files nor the new ones are in place: the next start finishes it */
    pthread_mutex_unlock(&log->lock);
    if (!r) r = io_sync_dir(io, log->dir->fd, log_folder(log));
    if (r) log_fail(log);
    return r;
}

/* -- one batch -- */

/* What becomes of a batch. */
struct fate {
    bool drop_all; /* none of its records stays */
    bool keep_all; /* not judged by keys: a marker, or behind the end of what the map knows */
    bool keep_empty;
    bool spare_marker; /* a marker that may go when its delete horizon passes */
};

static bool horizon_passed(const struct pass *p, const struct record_batch *b)
{
    return record_batch_has_delete_horizon(b) && b->base_timestamp <= p->now_ms;
}

static bool record_stays(struct pass *p, const struct record_batch *b, const struct record *record)
{
    if (record->offset >= p->clean_end) return true;
    if (!record->key.ptr) return false;
    return record->offset >= offset_map_get(&p->map, record->key) && (record->value.ptr || !horizon_passed(p, b));
}

/* The records that stay go into the builder. base_timestamp_ms: of the header, or NO_TIMESTAMP: the first record's. */
static int rebuild(struct pass *p, const struct record_batch *b, const struct fate *fate, int64_t base_timestamp_ms,
                   bool *ret_tombstones)
{
    struct record_reader reader;
    struct record record;
    int32_t last_delta = -1;

    batch_builder_reset(&p->builder);
    if (base_timestamp_ms != RECORD_BATCH_NO_TIMESTAMP) batch_builder_set_base(&p->builder, base_timestamp_ms);
    *ret_tombstones = false;
    int r = record_reader_open(&reader, b, LOG_CONTENT_MAX, &p->content);
    if (r) return r;
    while ((r = next_record(&reader, b, &last_delta, &record)) > 0) {
        if (!fate->keep_all && !record_stays(p, b, &record)) continue;
        if (!record.value.ptr && record.key.ptr && record.offset < p->clean_end) *ret_tombstones = true;
        batch_builder_copy(&p->builder, record.offset_delta, &record);
    }
    return r;
}

static int write_built(struct pass *p, const struct record_batch *b, bool horizon)
{
    struct slice bytes;
    struct batch_fields fields = {.base_offset = b->base_offset,
                                  .partition_leader_epoch = b->partition_leader_epoch,
                                  .producer_id = b->producer_id,
                                  .producer_epoch = b->producer_epoch,
                                  .base_sequence = b->base_sequence,
                                  .attributes = (uint16_t)((b->attributes & ~RECORD_BATCH_DELETE_HORIZON) |
                                                           (horizon ? RECORD_BATCH_DELETE_HORIZON : 0)),
                                  .codec = record_batch_codec(b),
                                  .level = COMPRESSION_LEVEL_DEFAULT};

    p->builder.last_offset_delta = b->last_offset_delta;
    int r = batch_builder_finish(&p->builder, &fields, &bytes);
    return r ? r : output_batch(p, bytes);
}

static int write_empty(struct pass *p, const struct record_batch *b)
{
    uint8_t bytes[RECORD_BATCH_HEADER_BYTES];
    struct record_batch empty = *b;

    empty.attributes &= (uint16_t) ~(RECORD_BATCH_CODEC_MASK | RECORD_BATCH_DELETE_HORIZON);
    empty.base_timestamp = RECORD_BATCH_NO_TIMESTAMP;
    empty.records_count = 0;
    record_batch_write_header(bytes, sizeof bytes, &empty);
    return output_batch(p, slice_make(bytes, sizeof bytes));
}

/* is_last: of the segments that are written as one. */
static int clean_batch(struct pass *p, const struct record_batch *b, bool is_last)
{
    struct fate fate = {.keep_empty =
                            is_last || is_last_of_producer(p, b) || record_batch_next_offset(b) == p->clean_end};
    struct txn_entry kept;
    bool keep_entry = false, tombstones = false;

    if (record_batch_is_control(b)) {
        fate.spare_marker = marker_is_spare(p, b, &kept, &keep_entry);
        fate.drop_all = fate.spare_marker && horizon_passed(p, b);
        fate.keep_all = true;
        p->marker_gone |= fate.drop_all;
    } else {
        fate.drop_all = note_data(p, b);
        fate.keep_all = b->base_offset >= p->clean_end;
    }
    if (keep_entry && txn_index_append(&p->out.segment->aborted, kept)) return -ENOMEM;
    if (!fate.drop_all && fate.keep_all && !fate.spare_marker) return output_batch(p, b->bytes);

    batch_builder_reset(&p->builder);
    int64_t base = record_batch_has_delete_horizon(b) ? b->base_timestamp : RECORD_BATCH_NO_TIMESTAMP;
    int r = fate.drop_all ? 0 : rebuild(p, b, &fate, base, &tombstones);
    if (r) return r;
    if (!p->builder.records_count) return fate.keep_empty ? write_empty(p, b) : 0;

    bool begin_horizon = (tombstones || fate.spare_marker) && !record_batch_has_delete_horizon(b);
    if (!begin_horizon && p->builder.records_count == b->records_count) return output_batch(p, b->bytes);
    if (begin_horizon) {
        base = p->now_ms > INT64_MAX - p->config.delete_retention_ms ? INT64_MAX
                                                                     : p->now_ms + p->config.delete_retention_ms;
        r = rebuild(p, b, &fate, base, &tombstones);
        if (r) return r;
    }
    return write_built(p, b, base != RECORD_BATCH_NO_TIMESTAMP);
}

/* -- segments -- */

/* How many sources from first on make one segment. */
static uint32_t group_size(const struct pass *p, uint32_t first, uint32_t end)
{
    uint64_t size = p->sources[first].size, size_max = (uint64_t)MIN(p->config.segment_bytes, SEGMENT_BYTES_MAX);
    uint32_t i;

    for (i = first + 1; i < end; i++) {
        size += p->sources[i].size;
        if (size > size_max || p->sources[i].next_offset - 1 - p->sources[first].base_offset > INT32_MAX) break;
    }
    return i - first;
}

/* The end of the last batch of the sources. -1: they have none. */
static int64_t last_of_group(const struct pass *p, uint32_t first, uint32_t count)
{
    for (uint32_t i = first + count; i > first; i--)
        if (p->sources[i - 1].size) return (int64_t)i - 1;
    return -1;
}

/* A state of producers from before a marker that goes may hold its transaction open: a start that begins with it would never see
 * the end. Those below end go; the swap syncs the folder before it begins. */
static int drop_snapshots(struct pass *p, int64_t end)
{
    struct partition_log *log = p->log;
    char path[SEGMENT_PATH_BYTES];
    int r = 0;

    pthread_mutex_lock(&log->lock);
    for (uint32_t i = 0; i < log->segments_count && log->segments[i]->base_offset < end && !r; i++) {
        int64_t offset = log->segments[i]->base_offset;
        segment_path(log, offset, ".snapshot", path);
        r = log->dir->io->unlinkat(log->dir->fd, path, 0);
        if (r == -ENOENT) r = 0;
        if (log->producers && log->producers->snapshot_offset == offset) log->producers->snapshot_offset = -1;
    }
    pthread_mutex_unlock(&log->lock);
    return r;
}

static int clean_group(struct pass *p, uint32_t first, uint32_t count)
{
    int64_t last_source = last_of_group(p, first, count);
    struct record_batch b;

    p->marker_gone = false;
    int r = output_open(p, p->sources[first].base_offset);
    for (uint32_t i = first; i < first + count && !r; i++) {
        struct walk w;
        r = walk_open(p, &w, &p->sources[i]);
        while (!r && (r = walk_next(p, &w, &b)) > 0)
            r = clean_batch(p, &b, i == last_source && w.position == w.source->size);
        if (r) r = unreadable(p, &w, r);
        walk_close(&w);
    }
    if (!r) r = output_finish(p);
    if (!r && p->marker_gone) r = drop_snapshots(p, p->sources[first + count - 1].next_offset);
    if (!r) r = swap(p, first, count);
    return r;
}

static void pass_done(struct pass *p)
{
    struct ongoing *o, *next;

    output_discard(p);
    HASH_ITER(hh, p->ongoing, o, next)
    {
        HASH_DEL(p->ongoing, o);
        free(o);
    }
    free(p->sources);
    free(p->aborted);
    free(p->ends);
    offset_map_done(&p->map);
    bytes_done(&p->input);
    bytes_done(&p->content);
    bytes_done(&p->out.pending);
    batch_builder_done(&p->builder);
}

int compact_log(struct partition_log *log, const struct compact_limits *limits, int64_t now_ms,
                struct compact_result *ret_result, struct err *err)
{
    struct pass p = {.log = log, .limits = limits, .err = err, .now_ms = now_ms, .out = {.fd = -1}};

    *ret_result = (struct compact_result){.bytes_before = partition_log_size(log)};
    batch_builder_init(&p.builder);
    int r = settle(&p);
    if (!r) r = plan(&p);
    if (!r && p.sources_count) r = build_map(&p);
    ret_result->keys = p.map.count;
    ret_result->map_bytes = p.map.slots_count * OFFSET_MAP_SLOT_BYTES;
    uint32_t end = 0;
    while (end < p.sources_count && p.sources[end].base_offset < p.clean_end) end++;
    for (uint32_t i = 0, count; i < end && !r; i += count) {
        count = group_size(&p, i, end);
        r = clean_group(&p, i, count);
    }
    if (!r && p.sources_count) {
        pthread_mutex_lock(&log->lock);
        if (log->rewrites == p.rewrites) log->clean_end = p.clean_end;
        ret_result->clean_end = log->clean_end;
        pthread_mutex_unlock(&log->lock);
    }
    ret_result->bytes_after = partition_log_size(log);
    if (r && r != -ECANCELED && !err->code) err_set(err, r, "cannot clean %s: %s", log->name, strerror(-r));
    pass_done(&p);
    return r;
}
