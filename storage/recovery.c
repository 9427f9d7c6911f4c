/* Loading a partition's folder: after a clean stop what is there is trusted; after any other the log is checked from its
 * recovery point on, a torn tail is cut, indexes, producers and epochs are made anew from the batches.
 *
 * Damage below the recovery point is not a torn tail but corruption of what was durable: nothing is cut, the partition stays
 * offline, and the error names file and position. */
#include "storage/log_internal.h"
#include "storage/offset_index.h"
#include "storage/time_index.h"

#include "base/crc32c.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SCAN_BUFFER_BYTES (256 * 1024)
#define OFFSET_DIGITS     20
#define SEGMENT_FILES_MAX 1000000 /* files in one folder that are believed */

/* -- the folder's files -- */

#define FILE_SWAP                                                                                                      \
    SEGMENT_FILES /* added to an enum segment_file: what compaction has written and not put in its place */

struct folder_file {
    int64_t offset; /* in its name */
    uint32_t kind;
};

struct folder {
    struct partition_log *log;
    struct folder_file *files; /* by offset, then kind */
    uint32_t count;
    uint32_t allocated;
    uint32_t swaps_count; /* of what compaction has not finished: they come last in files */
    bool removed;         /* leftovers were */
    bool live;            /* the log is in use: only look */
};

#define SWAP_SUFFIX ".swap"

static bool ends_with(const char *name, const char *suffix)
{
    size_t len = strlen(name), suffix_len = strlen(suffix);
    return len >= suffix_len && !strcmp(name + len - suffix_len, suffix);
}

static int folder_remove(struct folder *f, const char *name)
{
    char path[SEGMENT_PATH_BYTES + LOG_NAME_BYTES];
    snprintf(path, sizeof path, "%s/%s", log_folder(f->log), name);
    int r = f->log->dir->io->unlinkat(f->log->dir->fd, path, 0);
    f->removed = true;
    return r == -ENOENT ? 0 : r;
}

static int folder_add(void *arg, const char *name)
{
    struct folder *f = arg;

    /* What was about to be removed, or was never finished. */
    if (ends_with(name, ".deleted") || ends_with(name, ".cleaned") || ends_with(name, ".tmp"))
        return f->live ? 0 : folder_remove(f, name);
    if (strspn(name, "0123456789") != OFFSET_DIGITS) return 0;
    errno = 0;
    int64_t offset = strtoll(name, NULL, 10);
    if (errno) return 0;
    for (uint32_t kind = 0; kind < SEGMENT_FILES; kind++) {
        size_t len = strlen(segment_suffixes[kind]);
        if (strncmp(name + OFFSET_DIGITS, segment_suffixes[kind], len)) continue;
        const char *behind = name + OFFSET_DIGITS + len;
        bool is_swap = !strcmp(behind, SWAP_SUFFIX);
        if (*behind && !is_swap) continue;
        if (f->count == SEGMENT_FILES_MAX) return -EMFILE;
        if (f->count == f->allocated) {
            f->allocated = f->allocated ? f->allocated * 2 : 8;
            f->files = xrealloc(f->files, f->allocated * sizeof *f->files);
        }
        f->files[f->count++] = (struct folder_file){.offset = offset, .kind = kind + (is_swap ? FILE_SWAP : 0)};
        f->swaps_count += is_swap;
    }
    return 0;
}

static int compare_files(const void *a, const void *b)
{
    const struct folder_file *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return (int)x->kind - (int)y->kind;
}

static int folder_read(struct folder *f, struct partition_log *log)
{
    *f = (struct folder){.log = log, .removed = f->removed, .live = f->live};
    if (log->unmade) return 0;
    int r = log->dir->io->list(log->dir->fd, log_folder(log), folder_add, f);
    if (f->count) qsort(f->files, f->count, sizeof *f->files, compare_files);
    return r;
}

static bool folder_has(const struct folder *f, int64_t offset, uint32_t kind)
{
    struct folder_file key = {.offset = offset, .kind = kind};
    return f->count && bsearch(&key, f->files, f->count, sizeof *f->files, compare_files);
}

/* -- what compaction has left half done; its steps: compact.h -- */

/* Where the batches of a .log.swap end: the offset behind the last one. */
static int swap_end(struct partition_log *log, int64_t base_offset, int64_t *ret_end)
{
    char path[SEGMENT_PATH_BYTES];
    struct header_reader reader;
    struct record_batch b;
    struct stat st;
    uint32_t size;

    *ret_end = base_offset;
    segment_path(log, base_offset, ".log" SWAP_SUFFIX, path);
    int fd = log->dir->io->openat(log->dir->fd, path, O_RDONLY, 0);
    if (fd < 0) return fd;
    int r = log->dir->io->fstat(fd, &st);
    if (!r && st.st_size > SEGMENT_BYTES_MAX) r = -EFBIG;
    if (!r) {
        header_reader_init(&reader, log->dir->io, fd, 0, (uint32_t)st.st_size);
        while ((r = header_reader_peek(&reader, &b, &size)) > 0) {
            *ret_end = record_batch_next_offset(&b);
            reader.position += size;
        }
    }
    log->dir->io->close(fd);
    return r;
}

static int remove_file(struct folder *f, const struct folder_file *file)
{
    char name[OFFSET_DIGITS + sizeof ".timeindex" SWAP_SUFFIX];
    snprintf(name, sizeof name, "%020" PRId64 "%s%s", file->offset, segment_suffixes[file->kind % FILE_SWAP],
             file->kind >= FILE_SWAP ? SWAP_SUFFIX : "");
    return folder_remove(f, name);
}

/* Removes what the swap at base_offset replaces, then gives its files their names. */
static int finish_swap(struct folder *f, int64_t base_offset)
{
    struct partition_log *log = f->log;
    char from[SEGMENT_PATH_BYTES], to[SEGMENT_PATH_BYTES];
    int64_t end;

    int r = swap_end(log, base_offset, &end);
    for (uint32_t i = 0; i < f->count && !r; i++) {
        const struct folder_file *file = &f->files[i];
        bool replaced =
            file->kind < FILE_SWAP && (file->offset == base_offset ? file->kind != FILE_SNAPSHOT
                                                                   : file->offset > base_offset && file->offset < end);
        if (replaced) r = remove_file(f, file);
    }
    if (!r) r = io_sync_dir(log->dir->io, log->dir->fd, log_folder(log));
    for (int kind = FILE_ABORTED; kind >= FILE_LOG && !r; kind--) {
        if (!folder_has(f, base_offset, FILE_SWAP + (uint32_t)kind)) continue;
        segment_path(log, base_offset, segment_suffixes[kind], to);
        snprintf(from, sizeof from, "%s" SWAP_SUFFIX, to);
        r = log->dir->io->renameat(log->dir->fd, from, to);
    }
    if (!r) r = io_sync_dir(log->dir->io, log->dir->fd, log_folder(log));
    if (!r)
        log_info("storage", "an interrupted compaction was finished partition=%s from=%" PRId64 " to=%" PRId64,
                 log->name, base_offset, end);
    return r;
}

/* Indexes whose .log is no swap: it was not renamed yet, or (a disk may order renames as it likes) has its name already. Those
 * of offsets and times can be made anew. That of aborted transactions is kept where no old one stands: what does not belong to
 * the .log is then found to be so, as its entries lie behind its end. */
static int finish_lone_index(struct folder *f, const struct folder_file *file)
{
    struct partition_log *log = f->log;
    char from[SEGMENT_PATH_BYTES], to[SEGMENT_PATH_BYTES];

    if (file->kind != FILE_SWAP + FILE_ABORTED || folder_has(f, file->offset, FILE_ABORTED))
        return remove_file(f, file);
    segment_path(log, file->offset, ".txnindex" SWAP_SUFFIX, from);
    segment_path(log, file->offset, ".txnindex", to);
    return log->dir->io->renameat(log->dir->fd, from, to);
}

static int finish_swaps(struct folder *f)
{
    int r = 0;
    for (uint32_t i = 0; i < f->count && !r; i++) {
        const struct folder_file *file = &f->files[i];
        if (file->kind == FILE_SWAP + FILE_LOG) r = finish_swap(f, file->offset);
        else if (file->kind > FILE_SWAP && !folder_has(f, file->offset, FILE_SWAP + FILE_LOG))
            r = finish_lone_index(f, file);
    }
    return r;
}

static int folder_list(struct folder *f, struct partition_log *log)
{
    f->removed = f->live = false;
    int r = folder_read(f, log);
    if (r || !f->swaps_count) return r;
    r = finish_swaps(f);
    free(f->files);
    f->files = NULL;
    return r ? r : folder_read(f, log);
}

/* -- scanning -- */

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

/* Goes on from position, where the batches seen so far end. */
static int scan_from(struct partition_log *log, struct segment *s, uint32_t position, int64_t check_from)
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
    return scan_from(log, s, 0, check_from);
}

/* -- producers -- */

int log_read_marker(const struct io_ops *io, int fd, uint32_t position, uint32_t size,
                    struct producer_marker *ret_marker)
{
    struct record_batch b;

    if (size > LOG_CONTROL_MAX) return 0;
    AUTO_FREE uint8_t *bytes = xmalloc(size);
    ssize_t n = io_pread_all(io, fd, bytes, size, position);
    if (n < 0) return (int)n;
    if (record_batch_parse(slice_make(bytes, (uint32_t)n), &b) != RECORD_BATCH_OK) return -EBADMSG;
    return log_parse_marker(&b, ret_marker);
}

static int replay_segment(struct partition_log *log, struct segment *s, int64_t from)
{
    struct file_ref *file;
    struct header_reader reader;
    struct record_batch b;
    uint32_t size, kept = 0;

    int r = log_segment_file(log, s, &file);
    if (r) return r;
    if (!s->aborted_known) {
        while (kept < s->aborted.count && txn_index_get(&s->aborted, kept).last_offset < from) kept++;
        index_file_shorten(&s->aborted, kept);
    }
    header_reader_init(&reader, log->dir->io, file->fd, 0, atomic_load(&s->size));
    while ((r = header_reader_peek(&reader, &b, &size)) > 0) {
        if (b.base_offset >= from && record_batch_has_producer(&b)) {
            struct producer_marker marker;
            struct txn_entry aborted;
            int is_marker = 0;
            if (record_batch_is_control(&b)) {
                is_marker = log_read_marker(log->dir->io, file->fd, reader.position, size, &marker);
                if (is_marker < 0) {
                    r = is_marker;
                    break;
                }
            }
            if (producer_state_apply(log->producers, &b, is_marker ? &marker : NULL, &aborted) && !s->aborted_known) {
                r = txn_index_append(&s->aborted, aborted);
                if (r) break;
            }
        }
        reader.position += size;
    }
    file_ref_put(file);
    return r;
}

static int load_snapshot(struct partition_log *log, int64_t offset)
{
    char path[SEGMENT_PATH_BYTES], *bytes;
    size_t size;

    segment_path(log, offset, ".snapshot", path);
    int r = io_read_file(log->dir->io, log->dir->fd, path, PRODUCER_SNAPSHOT_MAX, &bytes, &size);
    if (r) return r;
    r = producer_state_decode(log->producers, (const uint8_t *)bytes, size);
    free(bytes);
    if (!r) log->producers->snapshot_offset = offset;
    return r;
}

static int replay_producers(struct partition_log *log, struct folder *f, int64_t snapshot_max)
{
    char name[OFFSET_DIGITS + sizeof ".snapshot"];
    int64_t from = log->segments_count ? log->segments[0]->base_offset : atomic_load(&log->log_end);
    int64_t end = atomic_load(&log->log_end);
    bool found = false;

    if (!log->producers) log->producers = xmalloc(sizeof *log->producers);
    else producer_state_done(log->producers);
    producer_state_init(log->producers);
    for (uint32_t i = f->count; i > 0; i--) {
        int64_t offset = f->files[i - 1].offset;
        if (f->files[i - 1].kind != FILE_SNAPSHOT) continue;
        bool keep = offset <= end && folder_has(f, offset, FILE_LOG);
        /* One from before the first segment knows of transactions whose ends are gone. */
        bool begun = !log->segments_count || offset >= log->segments[0]->base_offset;
        if (!found && begun && offset <= snapshot_max && offset <= end) {
            int r = load_snapshot(log, offset);
            /* -ENOENT: it went a moment ago, with a segment behind a torn one or with all of them. */
            if (r && r != -EBADMSG && r != -EFBIG && r != -ENOENT) return r;
            if (!r) {
                found = keep = true;
                from = MAX(from, offset);
            }
        }
        if (keep) continue;
        /* Of an end that is no more, or of an earlier stop. */
        snprintf(name, sizeof name, "%020" PRId64 ".snapshot", offset);
        int r = folder_remove(f, name);
        if (r) return r;
    }
    for (uint32_t i = 0; i < log->segments_count; i++) {
        if (log->segments[i]->next_offset <= from) continue;
        int r = replay_segment(log, log->segments[i], from);
        if (r) return r;
    }
    return 0;
}

int log_replay_producers(struct partition_log *log, int64_t snapshot_max)
{
    struct folder f = {.live = true}; /* the cleaner may be at work in it */
    int r = folder_read(&f, log);
    if (!r) r = replay_producers(log, &f, snapshot_max);
    free(f.files);
    return r;
}

/* -- loading -- */

static int damaged(struct partition_log *log, const struct segment *s, struct err *err)
{
    char path[SEGMENT_PATH_BYTES];
    segment_path(log, s->base_offset, ".log", path);
    return err_set(err, -EBADMSG,
                   "%s/%s is damaged at byte %u (offset %" PRId64 "), below what was durable; nothing was changed",
                   log->dir->path, path, atomic_load(&s->size), s->next_offset);
}

static int failed(struct partition_log *log, int r, struct err *err)
{
    return err_set(err, r, "cannot read %s/%s: %s", log->dir->path, log_folder(log), strerror(-r));
}

/* The size of each file; indexes stay closed. */
static int add_segments(struct partition_log *log, const struct folder *f)
{
    char path[SEGMENT_PATH_BYTES];
    uint64_t total = 0;

    for (uint32_t i = 0; i < f->count; i++) {
        struct stat st;
        if (f->files[i].kind != FILE_LOG) continue;
        segment_path(log, f->files[i].offset, ".log", path);
        int r = log->dir->io->fstatat(log->dir->fd, path, &st);
        if (r) return r;
        if (st.st_size > SEGMENT_BYTES_MAX) return -EFBIG;
        struct segment *s = segment_new(log, f->files[i].offset);
        atomic_store(&s->size, (uint32_t)st.st_size);
        s->created_ms = (int64_t)st.st_mtim.tv_sec * 1000;
        if (log->segments_count) log_active(log)->next_offset = s->base_offset;
        log_add_segment(log, s);
        total += (uint64_t)st.st_size;
    }
    atomic_store(&log->size, total);
    return 0;
}

static int load_aborted(struct partition_log *log, struct segment *s, bool *ret_sane)
{
    char path[SEGMENT_PATH_BYTES];
    segment_path(log, s->base_offset, ".txnindex", path);
    int r = index_file_load(&s->aborted, TXN_INDEX_ENTRY_BYTES, log->dir->io, log->dir->fd, path, SEGMENT_BYTES_MAX);
    if (r == -ENOENT) return 0;
    if (r) return r;
    *ret_sane = txn_index_is_sane(&s->aborted, s->base_offset, s->next_offset);
    return 0;
}

/* Whether no record can be missing behind the last whole batch of s: the next segment goes on there. What lies behind it,
 * zeros of a file that was made longer than it was written, say, are then no records. Compaction takes records, so that in
 * its logs nobody can tell. */
static bool is_complete(const struct partition_log *log, uint32_t i)
{
    return i + 1 < log->segments_count && !log->config->config.cleanup_compact &&
           log->segments[i]->next_offset == log->segments[i + 1]->base_offset;
}

/* Cuts what lies behind the last whole batch. Durable at once: whole batches behind a damaged one must not come back
 * behind newer data. */
static int cut_tail(struct partition_log *log, struct segment *s, uint32_t size_before)
{
    struct file_ref *file;
    uint32_t size = atomic_load(&s->size);
    int r = log_segment_file(log, s, &file);
    if (r) return r;
    r = log->dir->io->ftruncate(file->fd, size);
    if (!r) r = log->dir->io->fdatasync(file->fd);
    file_ref_put(file);
    if (r) return r;
    atomic_fetch_sub(&log->size, size_before - size);
    log_warn("storage", "torn tail cut partition=%s base_offset=%" PRId64 " position=%u bytes=%u end=%" PRId64,
             log->name, s->base_offset, size, size_before - size, s->next_offset);
    return 0;
}

/* The active segment of a clean log: its indexes, and the few batches behind their last entry. end: of the log, as the
 * stop wrote it. */
static int load_active(struct partition_log *log, struct segment *s, int64_t end, struct err *err)
{
    char path[SEGMENT_PATH_BYTES];
    uint32_t size = atomic_load(&s->size), position = 0;
    struct index_view view;
    struct offset_entry last = {0};
    struct time_entry time;
    const struct io_ops *io = log->dir->io;

    segment_path(log, s->base_offset, ".index", path);
    int r = index_file_load(&s->offsets, OFFSET_INDEX_ENTRY_BYTES, io, log->dir->fd, path, SEGMENT_BYTES_MAX);
    segment_path(log, s->base_offset, ".timeindex", path);
    if (!r) r = index_file_load(&s->times, TIME_INDEX_ENTRY_BYTES, io, log->dir->fd, path, SEGMENT_BYTES_MAX);
    if (r && r != -ENOENT) return failed(log, r, err);
    if (r || !offset_index_is_sane(&s->offsets, size) || !time_index_is_sane(&s->times, INT32_MAX)) {
        r = log_scan_segment(log, s, INT64_MAX);
    } else {
        s->timestamps_known = true;
        view = index_file_view(&s->offsets, OFFSET_INDEX_ENTRY_BYTES);
        r = offset_index_floor(&view, UINT32_MAX, &last);
        position = last.position;
        view = index_file_view(&s->times, TIME_INDEX_ENTRY_BYTES);
        if (!r) r = time_index_last(&view, &time);
        if (!r && position) {
            struct file_ref *file;
            struct header_reader reader;
            struct record_batch b;
            uint32_t b_size;
            r = log_segment_file(log, s, &file);
            if (r) return failed(log, r, err);
            header_reader_init(&reader, io, file->fd, 0, size);
            if (header_reader_peek(&reader, &b, &b_size) > 0) s->first_timestamp_ms = b.max_timestamp;
            file_ref_put(file);
        }
        if (!r && time.timestamp_ms >= 0) {
            s->max_timestamp_ms = time.timestamp_ms;
            s->max_timestamp_offset = s->base_offset + time.relative_offset;
        }
        if (!r) r = scan_from(log, s, position, INT64_MAX);
        if (!r && atomic_load(&s->size) != size) {
            /* The last entry may lead nowhere: believe the batches. */
            atomic_store(&s->size, size);
            r = log_scan_segment(log, s, INT64_MAX);
        }
    }
    if (r) return failed(log, r, err);
    if (atomic_load(&s->size) == size) return 0;
    if (end <= 0 || s->next_offset < end) return damaged(log, s, err);
    r = cut_tail(log, s, size);
    return r ? failed(log, r, err) : 0;
}

/* Kafka's compaction may have taken the last batches of a segment, below what it says to be clean; ours leaves the last one. What was
 * not durable was not compacted. */
static bool may_end_early(const struct partition_log *log, uint32_t i, int64_t rp)
{
    return log->config->config.cleanup_compact &&
           log->segments[i + 1]->base_offset <= MAX(rp, atomic_load(&log->clean_end));
}

/* A segment of a log that was not closed cleanly, from offset rp on. *ret_cut: its end, or what follows it, is lost. */
static int recover_segment(struct partition_log *log, uint32_t i, int64_t rp, bool *ret_cut, struct err *err)
{
    struct segment *s = log->segments[i];
    uint32_t size_before = atomic_load(&s->size);
    bool last = i + 1 == log->segments_count;

    int r = log_scan_segment(log, s, rp);
    if (r) return failed(log, r, err);
    uint32_t size = atomic_load(&s->size);
    bool torn = size != size_before;
    bool gap = !last && s->next_offset != log->segments[i + 1]->base_offset && !may_end_early(log, i, rp);
    *ret_cut = gap || (torn && !is_complete(log, i));
    if (*ret_cut && s->next_offset < rp) return damaged(log, s, err);
    r = torn ? cut_tail(log, s, size_before) : 0;
    return r ? failed(log, r, err) : 0;
}

/* Everything from the recovery point on. *ret_first: the first segment that was read anew. */
static int recover(struct partition_log *log, int64_t rp, uint32_t *ret_first, struct err *err)
{
    *ret_first = log->segments_count;
    for (uint32_t i = 0; i < log->segments_count; i++) {
        bool cut = false, last = i + 1 == log->segments_count;
        /* One that ends at the recovery point may have been active when that was written: its indexes were not durable yet. */
        if (!last && log->segments[i + 1]->base_offset < rp) continue;
        if (*ret_first == log->segments_count) *ret_first = i;
        int r = recover_segment(log, i, rp, &cut, err);
        if (r) return r;
        if (!cut) {
            if (!last) {
                r = segment_finish_times(log->segments[i]);
                if (!r) r = segment_write_indexes(log->segments[i], false);
                if (r) return failed(log, r, err);
                segment_close_indexes(log->segments[i]);
                log->segments[i]->indexes_unsynced = true;
            }
            continue;
        }
        if (!last) {
            log_warn("storage", "segments behind a torn one are removed partition=%s from=%" PRId64 " count=%u",
                     log->name, log->segments[i + 1]->base_offset, log->segments_count - i - 1);
            log_remove_segments(log, i + 1, log->segments_count - i - 1);
        }
        break;
    }
    return 0;
}

static int load_epochs(struct partition_log *log)
{
    char path[SEGMENT_PATH_BYTES], *text;
    size_t size;

    snprintf(path, sizeof path, "%s/%s", log_folder(log), LEADER_EPOCH_FILE);
    int r = io_read_file(log->dir->io, log->dir->fd, path, CHECKPOINT_FILE_MAX, &text, &size);
    if (r == -ENOENT) return 0;
    if (r) return r;
    if (leader_epochs_parse(&log->epochs, text)) log->epochs_dirty = true; /* what the batches say will have to do */
    free(text);
    return 0;
}

/* Indexes of closed segments that are missing, as in a directory that another program has written. */
static int rebuild_missing(struct partition_log *log, const struct folder *f, struct err *err)
{
    for (uint32_t i = 0; i + 1 < log->segments_count; i++) {
        struct segment *s = log->segments[i];
        if (s->timestamps_known) continue; /* read anew already */
        if (folder_has(f, s->base_offset, FILE_OFFSETS) && folder_has(f, s->base_offset, FILE_TIMES)) continue;
        uint32_t size = atomic_load(&s->size);
        int64_t next_offset = s->next_offset;
        int r = log_scan_segment(log, s, INT64_MAX);
        if (!r && atomic_load(&s->size) != size) {
            if (!is_complete(log, i)) return damaged(log, s, err);
            r = cut_tail(log, s, size);
        }
        s->next_offset = next_offset; /* compaction may have taken the last batches */
        if (!r) r = segment_finish_times(s);
        if (!r) r = segment_write_indexes(s, true);
        if (r) return failed(log, r, err);
        segment_close_indexes(s);
        s->indexes_unsynced = log->dir_unsynced = true; /* log_load() syncs the folder */
    }
    return 0;
}

/* What replaying the producers has found. The files of closed segments must be as durable as the records before the recovery point passes
 * these: a later start would believe what it finds there. What the active one's file holds of an end that is gone goes now. */
int log_write_aborted(struct partition_log *log)
{
    for (uint32_t i = 0; i < log->segments_count; i++) {
        struct segment *s = log->segments[i];
        bool active = i + 1 == log->segments_count;
        if (!s->aborted.shortened && (active || s->aborted.count == s->aborted.written)) continue;
        int r = segment_write_aborted(s, true);
        if (r) return r;
        log->dir_unsynced = true;
        if (!active) s->indexes_unsynced = true;
    }
    return 0;
}

/* Of what was deleted, some files may be left. */
static int remove_trimmed(struct partition_log *log, const struct log_load *load, struct folder *f)
{
    uint32_t count = 0;
    while (count + 1 < log->segments_count && log->segments[count + 1]->base_offset <= load->log_start) count++;
    if (!count) return 0;
    log_remove_segments(log, 0, count);
    free(f->files);
    return folder_read(f, log);
}

/* Indexes whose segment is not there: a power cut may have kept their names and not the .log's. A new segment of that offset would
 * be read with what the lost one's index says. */
static int remove_orphans(struct partition_log *log, struct folder *f)
{
    uint32_t next = 0;
    int r = 0;

    for (uint32_t i = 0; i < f->count && !r; i++) {
        const struct folder_file *file = &f->files[i];
        while (next < log->segments_count && log->segments[next]->base_offset < file->offset) next++;
        if (next < log->segments_count && log->segments[next]->base_offset == file->offset) continue;
        if (file->kind != FILE_OFFSETS && file->kind != FILE_TIMES && file->kind != FILE_ABORTED) continue;
        r = remove_file(f, file);
    }
    return r;
}

static int load_folder(struct partition_log *log, const struct log_load *load, struct folder *f, struct err *err)
{
    int64_t snapshot_max = INT64_MAX;
    uint32_t first_anew = UINT32_MAX;

    int r = add_segments(log, f);
    if (!r) r = remove_trimmed(log, load, f);
    if (!r) r = load_epochs(log);
    if (r) return failed(log, r, err);
    if (load->clean) {
        if (log->segments_count) r = load_active(log, log_active(log), load->recovery_point, err);
    } else {
        /* When all that was durable has been deleted, nothing is to be missed: what is left of it may have holes. */
        int64_t rp = load->recovery_point > load->log_start ? load->recovery_point : 0;
        r = recover(log, rp, &first_anew, err);
        if (first_anew < log->segments_count) snapshot_max = log->segments[first_anew]->base_offset;
    }
    if (!r) r = rebuild_missing(log, f, err);
    if (r) return r;

    int64_t end = log->segments_count ? log_active(log)->next_offset : load->log_start;
    if (!load->clean && load->recovery_point > MAX(end, load->log_start))
        return err_set(err, -EBADMSG,
                       "%s/%s ends at offset %" PRId64 ", but was durable up to %" PRId64 "; nothing was changed",
                       log->dir->path, log_folder(log), end, load->recovery_point);
    int64_t start = MAX(load->log_start, log->segments_count ? log->segments[0]->base_offset : 0);
    if (start > end) {
        /* All records were deleted and the end is lost: their offsets are not used again. */
        log_remove_segments(log, 0, log->segments_count);
        end = start;
    }
    r = load->clean ? 0 : remove_orphans(log, f);
    if (r) return failed(log, r, err);
    atomic_store(&log->log_start, start);
    atomic_store(&log->log_end, end);
    log->epochs_dirty |= leader_epochs_cut_end(&log->epochs, end + 1);
    for (uint32_t i = 0; i < log->segments_count; i++) {
        struct segment *s = log->segments[i];
        bool sane = true;
        s->aborted_known = i < first_anew;
        if (i >= first_anew || !folder_has(f, s->base_offset, FILE_ABORTED)) {
            s->aborted.shortened = i >= first_anew && folder_has(f, s->base_offset, FILE_ABORTED);
            continue;
        }
        r = load_aborted(log, s, &sane);
        if (r) return failed(log, r, err);
        if (!sane) {
            index_file_done(&s->aborted);
            s->aborted.shortened = true;
            s->aborted_known = false;
            snapshot_max = MIN(snapshot_max, s->base_offset);
        }
    }
    r = replay_producers(log, f, snapshot_max);
    if (!r) r = log_write_aborted(log);
    return r ? failed(log, r, err) : 0;
}

int log_load(struct partition_log *log, const struct log_load *load, struct err *err)
{
    struct folder f;

    int r = folder_list(&f, log);
    if (r == -ENOENT && load->clean && atomic_load(&log->log_end) == 0) {
        log_begin(log); /* nothing was ever written */
        return 0;
    }
    if (r) {
        free(f.files);
        return failed(log, r, err);
    }
    r = load_folder(log, load, &f, err);
    free(f.files);
    if (!r && (f.removed || log->dir_unsynced)) {
        /* What was removed must not come back after newer data. */
        r = io_sync_dir(log->dir->io, log->dir->fd, log_folder(log));
        if (r) r = failed(log, r, err);
    }
    if (r) return r;

    int64_t end = atomic_load(&log->log_end);
    int64_t durable = load->clean ? end : MIN(end, load->recovery_point);
    for (uint32_t i = 0; i < log->segments_count; i++)
        if (log->segments[i]->next_offset <= durable)
            atomic_store(&log->segments[i]->synced_size, atomic_load(&log->segments[i]->size));
    atomic_store(&log->durable_end, durable);
    int32_t epoch = leader_epochs_latest(&log->epochs);
    if (!load->clean && epoch >= 0) epoch++; /* readers may have seen records that are lost */
    if (epoch > atomic_load(&log->leader_epoch)) atomic_store(&log->leader_epoch, epoch);
    /* A process that was killed left names that no sync had made durable, and nobody else will. */
    if (!load->clean) log->dir_unsynced = log->new_folder = log->epochs_unsynced = true;
    log->loaded = true;
    log_publish(log);
    return 0;
}
