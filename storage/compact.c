/* storage/compact.c: one pass of compaction over one log: what it covers, its two readings (keys into the map; then
 * group by group what stays), its end. Which records stay: compact_batch.c; the new segments and their swap:
 * compact_output.c. Semantics: compact.h. */
#include "storage/compact_pass.h"
#include "storage/folder_files.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define READ_BYTES (512 * 1024)
#define PACE_BYTES (256 * 1024) /* compact_pace() is called after so many */

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

/* What the pass relies on must survive a power cut that follows it: the records that take others' places, the markers
 * that decided about them, the batches that tell producers' sequences. So all of it is taken as it is now, and synced
 * before anything is removed. */
static int settle(struct pass *p)
{
    struct partition_log *log = p->log;

    pthread_mutex_lock(&log->lock);
    int r = log_ready(log) != KAFKA_NONE || atomic_load(&log->failed) ? -ESTALE : 0;
    if (!r) {
        p->end_max = atomic_load(&log->last_stable);
        compact_copy_producers(p);
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
        compact_copy_aborted(p);
    }
    pthread_mutex_unlock(&log->lock);
    return r;
}

/* -- reading -- */

bool compact_pace(struct pass *p, uint64_t bytes)
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

int64_t compact_segment_of(struct pass *p, const struct source *source)
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
    int64_t i = compact_segment_of(p, source);
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
    return compact_pace(p, (uint64_t)n) ? 1 : -ECANCELED;
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

/* -- the map -- */

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
            r = compact_map_batch(p, &b);
            room = r != 0;
            r = MIN(r, 0);
        }
        if (r < 0) r = unreadable(p, &w, r);
        walk_close(&w);
        if (!room) break;
    }
    return r;
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

/* A state of producers from before a marker that goes may hold its transaction open: a start that begins with it would
 * never see the end. Those below end go; the swap syncs the folder before it begins. */
static int drop_snapshots(struct pass *p, int64_t end)
{
    struct partition_log *log = p->log;
    struct folder f = {.live = true};

    pthread_mutex_lock(&log->lock);
    int r = log->closed ? -ECANCELED : folder_read(&f, log);
    for (uint32_t i = 0; i < f.count && f.files[i].offset < end && !r; i++) {
        if (f.files[i].kind != FILE_SNAPSHOT) continue;
        r = folder_remove_file(&f, &f.files[i]);
        if (log->producers->snapshot_offset == f.files[i].offset) log->producers->snapshot_offset = -1;
    }
    pthread_mutex_unlock(&log->lock);
    free(f.files);
    return r;
}

static int clean_group(struct pass *p, uint32_t first, uint32_t count)
{
    int64_t last_source = last_of_group(p, first, count);
    struct record_batch b;

    p->marker_gone = false;
    int r = compact_output_open(p, p->sources[first].base_offset);
    for (uint32_t i = first; i < first + count && !r; i++) {
        struct walk w;
        r = walk_open(p, &w, &p->sources[i]);
        while (!r && (r = walk_next(p, &w, &b)) > 0)
            r = compact_clean_batch(p, &b, i == last_source && w.position == w.source->size);
        if (r) r = unreadable(p, &w, r);
        walk_close(&w);
    }
    if (!r) r = compact_output_finish(p);
    if (!r && p->marker_gone) r = drop_snapshots(p, p->sources[first + count - 1].next_offset);
    if (!r) r = compact_output_swap(p, first, count);
    return r;
}

static void pass_done(struct pass *p)
{
    struct ongoing *o, *next;

    compact_output_discard(p);
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
