/* Compaction: single rules first; then random logs against a model, with passes that are killed at any system call. The model
 * reads as a client does (KIP-98): batches, the list of aborted transactions, control batches. */
#include "storage/compact.h"
#include "tests/unit/storage/scratch.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define KEYS      40
#define RECORDS   4000
#define PRODUCERS 4

enum fate { PENDING, COMMITTED, ABORTED };

/* What was appended, by offset. */
struct appended {
    int32_t key;   /* -1: a marker */
    int64_t value; /* -1: a tombstone */
    int64_t timestamp_ms;
    int32_t producer; /* -1: none */
    enum fate fate;
};

struct writer {
    int32_t next_sequence;
    int64_t txn_from; /* -1: no open transaction */
};

struct world {
    struct scratch s;
    uint64_t random;
    struct appended all[RECORDS + 100];
    int64_t end;
    int64_t value;
    int64_t touched;                  /* a pass that was killed may have cleaned up to here */
    bool rolling;                     /* all records get one key more, so that what is rolled stays as it is */
    struct writer writers[PRODUCERS]; /* 0, 1: idempotent, 2, 3: transactional */
};

static int64_t now_ms(struct world *w)
{
    return w->s.clock.now_us / 1000;
}

/* One batch of a producer, or of none (-1). */
static void append(struct world *w, int32_t producer, int32_t count, uint32_t tombstones_of_8)
{
    struct batch_builder builder;
    struct slice bytes;
    struct batch_fields fields = BATCH_FIELDS_PLAIN;
    char key[16], value[32];

    batch_builder_init(&builder);
    for (int32_t i = 0; i < count; i++) {
        struct appended *a = &w->all[w->end + i];
        bool tombstone = scratch_random(&w->random) % 8 < tombstones_of_8;
        *a = (struct appended){.key = w->rolling ? KEYS : (int32_t)(scratch_random(&w->random) % KEYS),
                               .value = tombstone ? -1 : w->value++,
                               .timestamp_ms = now_ms(w) + i,
                               .producer = producer,
                               .fate = producer >= 2 ? PENDING : COMMITTED};
        snprintf(key, sizeof key, "k%d", a->key);
        snprintf(value, sizeof value, "v%lld", (long long)a->value);
        batch_builder_append(&builder, a->timestamp_ms, slice_of(key), tombstone ? SLICE_NULL : slice_of(value), NULL,
                             0);
    }
    fields.codec =
        (enum compression_codec[]){COMPRESSION_NONE, COMPRESSION_LZ4, COMPRESSION_ZSTD}[scratch_random(&w->random) % 3];
    if (producer >= 0) {
        struct writer *writer = &w->writers[producer];
        fields.producer_id = 100 + producer;
        fields.producer_epoch = 0;
        fields.base_sequence = writer->next_sequence;
        if (producer >= 2) fields.attributes = RECORD_BATCH_TRANSACTIONAL;
        if (producer >= 2 && writer->txn_from < 0) writer->txn_from = w->end;
        writer->next_sequence += count;
    }
    cr_assert_eq(batch_builder_finish(&builder, &fields, &bytes), 0);
    struct log_append a = {.origin = APPEND_CLIENT, .batches = (uint8_t *)(uintptr_t)bytes.ptr, .size = bytes.len};
    cr_assert_eq(partition_log_append(w->s.log, &a), KAFKA_NONE);
    cr_assert_eq(a.base_offset, w->end);
    w->end += count;
    batch_builder_done(&builder);
}

static void end_txn(struct world *w, int32_t producer, bool commit)
{
    struct writer *writer = &w->writers[producer];
    if (writer->txn_from < 0) return;
    cr_assert_eq(scratch_end_txn(w->s.log, 100 + producer, 0, commit), KAFKA_NONE);
    for (int64_t i = writer->txn_from; i < w->end; i++)
        if (w->all[i].producer == producer && w->all[i].fate == PENDING) w->all[i].fate = commit ? COMMITTED : ABORTED;
    w->all[w->end++] = (struct appended){.key = -1, .value = -1, .producer = producer, .fate = COMMITTED};
    writer->txn_from = -1;
}

static void world_init(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->random = seed;
    for (int i = 0; i < PRODUCERS; i++) w->writers[i].txn_from = -1;
    scratch_init(&w->s);
    w->s.config.segment_bytes = 2000;
    w->s.config.index_interval_bytes = 200;
    w->s.config.cleanup_compact = true;
    w->s.config.cleanup_delete = false;
    w->s.config.min_cleanable_ratio = 0;
    w->s.config.delete_retention_ms = 1000;
    scratch_open(&w->s);
}

/* -- reading as a client -- */

struct seen {
    bool at[RECORDS + 100];
    uint32_t records;
    bool marker_at[RECORDS + 100];
    uint32_t markers;
    uint32_t empty_batches;
};

static void see_record(struct world *w, struct seen *seen, const struct record *record)
{
    char key[16], value[32];
    cr_assert_lt(record->offset, w->end);
    const struct appended *a = &w->all[record->offset];
    snprintf(key, sizeof key, "k%d", a->key);
    snprintf(value, sizeof value, "v%lld", (long long)a->value);
    cr_assert(slice_eq_text(record->key, key), "offset %lld has another key", (long long)record->offset);
    cr_assert(a->value < 0 ? !record->value.ptr : slice_eq_text(record->value, value), "offset %lld has another value",
              (long long)record->offset);
    cr_assert_eq(record->timestamp_ms, a->timestamp_ms);
    cr_assert_eq(a->fate, COMMITTED, "offset %lld was not committed", (long long)record->offset);
    seen->at[record->offset] = true;
    seen->records++;
}

static void read_committed(struct world *w, struct seen *seen)
{
    int64_t offset = partition_log_marks(w->s.log).log_start, last = -1;
    struct bytes scratch = {0};
    bool dropping[PRODUCERS] = {0};

    memset(seen, 0, sizeof *seen);
    for (;;) {
        struct log_read r;
        cr_assert_eq(partition_log_read(w->s.log, offset, 700, true, READ_COMMITTED, &r), KAFKA_NONE);
        if (!r.file) break;
        AUTO_FREE uint8_t *bytes = scratch_bytes(&r);
        struct slice rest = slice_make(bytes, r.length);
        struct record_batch b;
        uint32_t next_aborted = 0;
        /* A client knows nothing from the answer before. */
        memset(dropping, 0, sizeof dropping);
        while (rest.len) {
            cr_assert_eq(record_batch_next(&rest, &b), RECORD_BATCH_OK);
            cr_assert(record_batch_crc_ok(&b));
            cr_assert_gt(b.base_offset, last);
            last = record_batch_last_offset(&b);
            offset = last + 1;
            /* In the order of their first offsets, as Java sorts them. */
            for (next_aborted = 0; next_aborted < r.aborted_count; next_aborted++)
                if (r.aborted[next_aborted].first_offset <= last && r.aborted[next_aborted].first_offset >= 0) {
                    dropping[r.aborted[next_aborted].producer_id - 100] = true;
                    r.aborted[next_aborted].first_offset = -1;
                }
            if (record_batch_is_control(&b)) {
                struct producer_marker marker;
                seen->markers++;
                seen->marker_at[b.base_offset] = true;
                if (log_parse_marker(&b, &marker) && !marker.commit) dropping[b.producer_id - 100] = false;
                continue;
            }
            if (!b.records_count) seen->empty_batches++;
            if (record_batch_is_transactional(&b) && dropping[b.producer_id - 100]) continue;
            struct record_reader reader;
            struct record record;
            cr_assert_eq(record_reader_open(&reader, &b, 1 << 20, &scratch), 0);
            while (record_reader_next(&reader, &record) > 0) see_record(w, seen, &record);
        }
        log_read_done(&r);
    }
    bytes_done(&scratch);
}

/* What must be there: of each key the newest committed value; everything that is not clean; every producer's sequence. */
static void check(struct world *w)
{
    struct seen seen;
    int64_t stable = partition_log_marks(w->s.log).last_stable;
    int64_t clean_end = MAX(atomic_load(&w->s.log->clean_end), w->touched), newest[KEYS + 1];

    read_committed(w, &seen);
    memset(newest, 0xff, sizeof newest);
    for (int64_t i = 0; i < stable; i++)
        if (w->all[i].key >= 0 && w->all[i].fate == COMMITTED) newest[w->all[i].key] = i;
    for (int64_t i = 0; i < stable; i++) {
        const struct appended *a = &w->all[i];
        if (a->key < 0 || a->fate != COMMITTED) continue;
        bool last = newest[a->key] == i;
        if (i >= clean_end || (last && a->value >= 0))
            cr_assert(seen.at[i],
                      "offset %lld is lost (clean end %lld, stable %lld, end %lld, newest %lld, producer %d, %s)",
                      (long long)i, (long long)clean_end, (long long)stable, (long long)w->end,
                      (long long)newest[a->key], a->producer, w->s.path);
    }
    int64_t open_from = w->end;
    for (int i = 0; i < PRODUCERS; i++)
        if (w->writers[i].txn_from >= 0) open_from = MIN(open_from, w->writers[i].txn_from);
    cr_assert_eq(stable, open_from);
    /* An entry without its marker would make clients drop what the producer wrote afterwards. */
    for (uint32_t i = 0; i < w->s.log->segments_count; i++)
        for (uint32_t j = 0; j < w->s.log->segments[i]->aborted.count; j++) {
            struct txn_entry e = txn_index_get(&w->s.log->segments[i]->aborted, j);
            cr_assert(e.last_offset >= stable || seen.marker_at[e.last_offset],
                      "marker %lld is gone and its entry is not", (long long)e.last_offset);
        }
    for (int i = 0; i < PRODUCERS; i++) {
        struct producer_last last;
        if (!w->writers[i].next_sequence) continue;
        cr_assert(partition_log_producer_last(w->s.log, 100 + i, &last), "producer %d is forgotten", i);
        cr_assert_eq(last.last_sequence, w->writers[i].next_sequence - 1);
    }
}

/* -- single rules -- */

static uint32_t segments(struct world *w)
{
    return w->s.log->segments_count;
}

/* Appends until there is a new active segment. */
static void roll(struct world *w)
{
    w->rolling = true;
    for (uint32_t before = segments(w); segments(w) == before;) append(w, -1, 3, 0);
    w->rolling = false;
}

static void fill_and_roll(struct world *w, uint32_t batches)
{
    for (uint32_t i = 0; i < batches; i++) append(w, -1, 3, 0);
}

Test(compact, keeps_the_newest_record_of_each_key_at_its_offset)
{
    struct world w;
    struct seen seen;
    world_init(&w, 1);
    fill_and_roll(&w, 200);
    uint32_t before = segments(&w);
    uint64_t size_before = partition_log_size(w.s.log);
    cr_assert_geq(log_dir_clean(w.s.dir), 1);
    cr_assert_lt(partition_log_size(w.s.log), size_before / 2);
    check(&w);
    read_committed(&w, &seen);
    int64_t active = log_active(w.s.log)->base_offset;
    cr_assert_eq(atomic_load(&w.s.log->clean_end), active);
    cr_assert_leq(seen.records, KEYS + 1 + (w.end - active));
    /* Small segments become one in the next pass. */
    roll(&w);
    cr_assert_eq(log_dir_clean(w.s.dir), 1);
    cr_assert_lt(segments(&w), before / 2);
    cr_assert_eq(log_dir_clean(w.s.dir), 0, "a clean log is not cleaned again");
    /* Reads at every offset find the next record there is. */
    for (int64_t offset = 0; offset < w.end; offset++) {
        struct log_read r;
        cr_assert_eq(partition_log_read(w.s.log, offset, 1, true, READ_UNCOMMITTED, &r), KAFKA_NONE);
        cr_assert(r.file);
        AUTO_FREE uint8_t *bytes = scratch_bytes(&r);
        struct record_batch b;
        cr_assert_eq(record_batch_parse(slice_make(bytes, r.length), &b), RECORD_BATCH_OK);
        cr_assert_geq(record_batch_last_offset(&b), offset);
        log_read_done(&r);
    }
    scratch_close(&w.s);
    scratch_open(&w.s);
    check(&w);
    cr_assert_eq(log_dir_clean(w.s.dir), 0, "how far it is clean is known after a restart");
    scratch_done(&w.s);
}

Test(compact, tombstones_go_after_their_time)
{
    struct world w;
    struct seen seen;
    world_init(&w, 2);
    fill_and_roll(&w, 30);
    for (int i = 0; i < 60; i++) append(&w, -1, 1, 8);
    int64_t tombstones_end = w.end, tombstones = 0;
    roll(&w);
    log_dir_clean(w.s.dir);
    read_committed(&w, &seen);
    for (int64_t i = 0; i < tombstones_end; i++) tombstones += seen.at[i] && w.all[i].value < 0;
    cr_assert_gt(tombstones, 0, "they stay at first");
    /* Before delete.retention.ms has gone by they stay; after it the next pass takes them. */
    w.s.clock.now_us += 999 * 1000;
    for (int i = 0; i < 30; i++) append(&w, -1, 1, 8);
    roll(&w);
    log_dir_clean(w.s.dir);
    read_committed(&w, &seen);
    int64_t left = 0;
    for (int64_t i = 0; i < w.end; i++)
        left += seen.at[i] && w.all[i].value < 0 && i < atomic_load(&w.s.log->clean_end);
    cr_assert_gt(left, 0);
    w.s.clock.now_us += 1001 * 1000;
    for (int i = 0; i < 30; i++) append(&w, -1, 1, 0);
    int64_t values_from = w.end - 30;
    roll(&w);
    log_dir_clean(w.s.dir);
    read_committed(&w, &seen);
    for (int64_t i = 0; i < values_from; i++) cr_assert(!seen.at[i] || w.all[i].value >= 0);
    check(&w);
    scratch_done(&w.s);
}

Test(compact, aborted_records_go_and_markers_after_them)
{
    struct world w;
    struct seen seen;
    world_init(&w, 3);
    for (int i = 0; i < 40; i++) {
        append(&w, 2, 3, 0);
        append(&w, 3, 3, 0);
        end_txn(&w, 2, false);
        end_txn(&w, 3, i % 2);
    }
    fill_and_roll(&w, 20);
    log_dir_clean(w.s.dir);
    check(&w);
    read_committed(&w, &seen);
    uint32_t markers = seen.markers;
    cr_assert_gt(markers, 2);
    /* The next pass sees no data of them: it sets the horizon, the one after that takes them. */
    for (int round = 0; round < 3; round++) {
        w.s.clock.now_us += 2000 * 1000;
        fill_and_roll(&w, 40);
        log_dir_clean(w.s.dir);
        check(&w);
    }
    read_committed(&w, &seen);
    cr_assert_lt(seen.markers, markers);
    scratch_done(&w.s);
}

Test(compact, stops_at_an_open_transaction_a_trim_limit_and_young_records)
{
    struct world w;
    world_init(&w, 4);
    fill_and_roll(&w, 50);
    int64_t open_from = w.end;
    append(&w, 2, 1, 0);
    fill_and_roll(&w, 100);
    log_dir_clean(w.s.dir);
    cr_assert_leq(atomic_load(&w.s.log->clean_end), open_from);
    cr_assert_gt(atomic_load(&w.s.log->clean_end), 0);
    end_txn(&w, 2, true);
    partition_log_set_trim_limit(w.s.log, 7, 200);
    log_dir_clean(w.s.dir);
    cr_assert_leq(atomic_load(&w.s.log->clean_end), 200);
    partition_log_set_trim_limit(w.s.log, 7, INT64_MAX);
    w.s.config.min_compaction_lag_ms = 10000;
    partition_log_configure(w.s.log, &w.s.config);
    int64_t clean_end = atomic_load(&w.s.log->clean_end);
    log_dir_clean(w.s.dir);
    cr_assert_eq(atomic_load(&w.s.log->clean_end), clean_end);
    w.s.clock.now_us += 10010 * 1000;
    log_dir_clean(w.s.dir);
    cr_assert_gt(atomic_load(&w.s.log->clean_end), clean_end);
    check(&w);
    scratch_done(&w.s);
}

Test(compact, a_log_with_more_keys_than_the_map_is_cleaned_in_passes)
{
    struct world w;
    struct scratch *s = &w.s;
    world_init(&w, 5);
    scratch_close(s);
    s->options.cleaner.dedupe_buffer_bytes = 64 * 24;
    scratch_open(s);
    char key[16];
    for (int i = 0; i < 3000; i++) {
        struct batch_builder builder;
        struct slice bytes;
        struct batch_fields fields = BATCH_FIELDS_PLAIN;
        batch_builder_init(&builder);
        snprintf(key, sizeof key, "k%d", i % 1000);
        batch_builder_append(&builder, now_ms(&w), slice_of(key), SLICE("v"), NULL, 0);
        cr_assert_eq(batch_builder_finish(&builder, &fields, &bytes), 0);
        struct log_append a = {.origin = APPEND_CLIENT, .batches = (uint8_t *)(uintptr_t)bytes.ptr, .size = bytes.len};
        cr_assert_eq(partition_log_append(s->log, &a), KAFKA_NONE);
        batch_builder_done(&builder);
    }
    cr_assert_gt(log_dir_clean(s->dir), 10);
    int64_t active = log_active(s->log)->base_offset;
    cr_assert_eq(atomic_load(&s->log->clean_end), active);
    uint32_t batches = 0;
    struct log_read r;
    for (int64_t offset = 0; offset < active; batches++) {
        cr_assert_eq(partition_log_read(s->log, offset, 1, true, READ_UNCOMMITTED, &r), KAFKA_NONE);
        AUTO_FREE uint8_t *bytes = scratch_bytes(&r);
        struct record_batch b;
        cr_assert_eq(record_batch_parse(slice_make(bytes, r.length), &b), RECORD_BATCH_OK);
        offset = record_batch_next_offset(&b);
        log_read_done(&r);
    }
    cr_assert_leq(batches, 1000 + segments(&w));
    scratch_done(s);
}

Test(compact, what_is_damaged_is_left_alone)
{
    struct world w;
    world_init(&w, 6);
    fill_and_roll(&w, 100);
    int fd = open(scratch_file(&w.s, w.s.log->segments[1]->base_offset, ".log"), O_RDWR);
    uint8_t byte;
    cr_assert_eq(pread(fd, &byte, 1, 100), 1);
    byte ^= 0x55;
    cr_assert_eq(pwrite(fd, &byte, 1, 100), 1);
    close(fd);
    uint64_t size = partition_log_size(w.s.log);
    uint32_t before = segments(&w);
    struct compact_result result;
    struct compact_limits limits = {.map_bytes = 1 << 20, .map_load_factor = 0.9};
    struct err err = ERR_NONE;
    cr_assert_eq(compact_log(w.s.log, &limits, now_ms(&w), &result, &err), -EBADMSG);
    cr_assert(strstr(err.text, "byte 0: no sound batch"), "%s", err.text);
    cr_assert_eq(partition_log_size(w.s.log), size);
    cr_assert_eq(segments(&w), before);
    log_dir_clean(w.s.dir);
    cr_assert(w.s.log->uncleanable);
    append(&w, -1, 1, 0);
    scratch_done(&w.s);
}

/* -- kills -- */

static atomic_long calls_left;

static bool dead(void)
{
    return atomic_fetch_sub(&calls_left, 1) <= 0;
}
static int kill_openat(int dir_fd, const char *path, int flags, mode_t mode)
{
    return dead() ? -EIO : io_posix.openat(dir_fd, path, flags, mode);
}
static ssize_t kill_pwritev(int fd, const struct iovec *iov, int iov_count, uint64_t position)
{
    return dead() ? -EIO : io_posix.pwritev(fd, iov, iov_count, position);
}
static int kill_ftruncate(int fd, uint64_t size)
{
    return dead() ? -EIO : io_posix.ftruncate(fd, size);
}
static int kill_sync(int fd)
{
    return dead() ? -EIO : 0;
}
static int kill_renameat(int dir_fd, const char *from, const char *to)
{
    return dead() ? -EIO : io_posix.renameat(dir_fd, from, to);
}
static int kill_unlinkat(int dir_fd, const char *path, int flags)
{
    return dead() ? -EIO : io_posix.unlinkat(dir_fd, path, flags);
}

static void random_work(struct world *w)
{
    uint32_t what = scratch_random(&w->random) % 16;
    int32_t count = 1 + (int32_t)(scratch_random(&w->random) % 4);

    if (what < 5) append(w, -1, count, 2);
    else if (what < 8) append(w, (int32_t)(what % 2), count, 2);
    else if (what < 12) append(w, 2 + (int32_t)(what % 2), count, 1);
    else if (what < 14) end_txn(w, 2 + (int32_t)(what % 2), scratch_random(&w->random) % 3 > 0);
    else w->s.clock.now_us += (int64_t)(scratch_random(&w->random) % 700) * 1000;
}

static struct io_ops killing_io(void)
{
    struct io_ops io = io_posix;
    io.openat = kill_openat;
    io.pwritev = kill_pwritev;
    io.ftruncate = kill_ftruncate;
    io.fdatasync = io.fsync = kill_sync;
    io.renameat = kill_renameat;
    io.unlinkat = kill_unlinkat;
    return io;
}

/* The log alone must tell all of them. */
static void remove_snapshots(struct scratch *s)
{
    char path[200];
    snprintf(path, sizeof path, "%s/t-0", s->path);
    DIR *dir = opendir(path);
    if (!dir) return; /* the folder comes with the first record */
    for (struct dirent *e; (e = readdir(dir));)
        if (strstr(e->d_name, ".snapshot")) unlinkat(dirfd(dir), e->d_name, 0);
    closedir(dir);
}

static void random_history(uint64_t seed)
{
    struct world *w = xmalloc(sizeof *w);
    struct io_ops io = killing_io();

    atomic_store(&calls_left, LONG_MAX);
    world_init(w, seed);
    scratch_close(&w->s);
    w->s.options.io = &io;
    w->s.options.cleaner.dedupe_buffer_bytes = scratch_random(&w->random) % 2 ? 1 << 20 : 25 * 24;
    scratch_open(&w->s);
    while (w->end < RECORDS) {
        for (uint32_t i = scratch_random(&w->random) % 120; i > 0 && w->end < RECORDS; i--) random_work(w);
        bool kill = scratch_random(&w->random) % 3 == 0;
        if (kill) atomic_store(&calls_left, (long)(scratch_random(&w->random) % 60));
        w->touched = log_active(w->s.log) ? log_active(w->s.log)->base_offset : 0;
        log_dir_clean(w->s.dir);
        if (kill) {
            atomic_store(&calls_left, 0);
            scratch_kill(&w->s);
            atomic_store(&calls_left, LONG_MAX);
            if (scratch_random(&w->random) % 2) remove_snapshots(&w->s);
            scratch_open(&w->s);
        } else if (scratch_random(&w->random) % 4 == 0) {
            scratch_close(&w->s);
            scratch_open(&w->s);
        }
        check(w);
    }
    scratch_done(&w->s);
    free(w);
}

Test(compact, random_logs_with_passes_that_are_killed, .timeout = 300)
{
    const char *given = getenv("OTTLA_SEED"), *count_text = getenv("OTTLA_HISTORIES");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    int count = count_text ? atoi(count_text) : given ? 1 : 12;

    for (int i = 0; i < count; i++) {
        fprintf(stderr, "compact: seed %llu\n", (unsigned long long)(seed + (uint64_t)i));
        random_history((seed + (uint64_t)i) * 2654435761u + 1);
    }
}
