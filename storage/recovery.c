/* storage/recovery.c: loading a partition's folder: after a clean stop what is there is trusted; after any other the
 * log is checked from its recovery point on, a torn tail is cut, indexes, producers and epochs are made anew from the
 * batches.
 *
 * Damage below the recovery point is not a torn tail but corruption of what was durable: nothing is cut, the partition
 * stays offline, and the error names file and position.
 *
 * Its steps have files of their own: the listing (folder_files.h), an interrupted compaction (compact_resume.c),
 * reading a segment's batches (segment_scan.c), producers (producer_replay.c). Threads: under the log's lock, or before
 * the log is known to others. */
#include "storage/compact_resume.h"
#include "storage/folder_files.h"
#include "storage/offset_index.h"
#include "storage/producer_replay.h"
#include "storage/time_index.h"

#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int folder_list(struct folder *f, struct partition_log *log)
{
    f->removed = f->live = false;
    int r = folder_read(f, log);
    if (r || !f->swaps_count) return r;
    r = compact_resume(f);
    free(f->files);
    f->files = NULL;
    return r ? r : folder_read(f, log);
}
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

/* Whether no record can be missing behind the last whole batch of s: the next segment goes on there. What lies behind
 * it, zeros of a file that was made longer than it was written, say, are then no records. Compaction takes records, so
 * that in its logs nobody can tell. */
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
        if (!r) r = log_scan_rest(log, s, position, INT64_MAX);
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

/* Kafka's compaction may have taken the last batches of a segment, below what it says to be clean; ours leaves the last
 * one. What was not durable was not compacted. */
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
        /* One that ends at the recovery point may have been active when that was written: its indexes were not durable
         * yet. */
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

/* Indexes whose segment is not there: a power cut may have kept their names and not the .log's. A new segment of that
 * offset would be read with what the lost one's index says. */
static int remove_orphans(struct partition_log *log, struct folder *f)
{
    uint32_t next = 0;
    int r = 0;

    for (uint32_t i = 0; i < f->count && !r; i++) {
        const struct folder_file *file = &f->files[i];
        while (next < log->segments_count && log->segments[next]->base_offset < file->offset) next++;
        if (next < log->segments_count && log->segments[next]->base_offset == file->offset) continue;
        if (file->kind != FILE_OFFSETS && file->kind != FILE_TIMES && file->kind != FILE_ABORTED) continue;
        r = folder_remove_file(f, file);
        log->dir_unsynced = true;
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
    atomic_store(&log->durable_end, load->clean ? end : MIN(end, load->recovery_point));
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
    r = producer_replay(log, f, snapshot_max);
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
        /* What was removed must not come back after newer data: a snapshot of producers neither, as a new segment of its
         * name would make it believed. */
        r = io_sync_dir(log->dir->io, log->dir->fd, log_folder(log));
        if (r) r = failed(log, r, err);
    }
    if (r) return r;

    int64_t durable = atomic_load(&log->durable_end);
    for (uint32_t i = 0; i < log->segments_count; i++)
        if (log->segments[i]->next_offset <= durable)
            atomic_store(&log->segments[i]->synced_size, atomic_load(&log->segments[i]->size));
    int32_t epoch = leader_epochs_latest(&log->epochs);
    if (!load->clean && epoch >= 0) epoch++; /* readers may have seen records that are lost */
    if (epoch > atomic_load(&log->leader_epoch)) atomic_store(&log->leader_epoch, epoch);
    /* A process that was killed left names that no sync had made durable, and nobody else will. */
    if (!load->clean) log->dir_unsynced = log->new_folder = log->epochs_unsynced = true;
    /* The stop knew of no transaction that is open and began before this. A snapshot from before may name one (all of its records
     * lie below the log's start; a power cut has taken the newer snapshot): readers were told, it stays so. */
    if (load->last_stable > load->log_start) producer_state_forget_open(log->producers, load->last_stable);
    log->loaded = true;
    log_publish(log);
    return 0;
}
