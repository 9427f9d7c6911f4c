/* Compaction: single rules first; then random logs against a model, with passes that are killed at any system call. The model
 * (tests/lib/log_model.h) reads as a client does, and a violation names the seed: OTTLA_SEED=N repeats that history. */
#include "storage/compact.h"
#include "tests/lib/log_model.h"
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

#define RECORDS 4000

struct world {
    struct scratch s;
    struct log_model m;
    struct log_model_seen seen; /* what look() found */
    uint64_t random;
};

/* Criterion shows what its tests print to nobody; what an assertion says is shown. */
static void report(const char *text)
{
    cr_assert_fail("%s", text);
}

static int64_t now_ms(struct world *w)
{
    return w->s.clock.now_us / 1000;
}

static void append(struct world *w, int32_t writer, int32_t count, uint32_t tombstones_of_8)
{
    enum kafka_error error = log_model_append(&w->m, writer, count, tombstones_of_8, now_ms(w));
    MODEL_CHECK(&w->m, error == KAFKA_NONE, "an append answers %s", kafka_error_text(error));
}

static void end_txn(struct world *w, int32_t writer, bool commit)
{
    enum kafka_error error = log_model_end_txn(&w->m, writer, commit);
    MODEL_CHECK(&w->m, error == KAFKA_NONE, "a marker's append answers %s", kafka_error_text(error));
}

static void open_world(struct world *w)
{
    struct err err = ERR_NONE;
    int r = scratch_try_open(&w->s, &err);
    MODEL_CHECK(&w->m, !r, "%s", err.text);
    w->m.log = w->s.log;
}

static void world_init(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->random = seed * 2654435761u + 1;
    log_model_report = report;
    log_model_init(&w->m, seed);
    scratch_init(&w->s);
    w->s.config.segment_bytes = 2000;
    w->s.config.index_interval_bytes = 200;
    w->s.config.cleanup_compact = true;
    w->s.config.cleanup_delete = false;
    w->s.config.min_cleanable_ratio = 0;
    w->s.config.delete_retention_ms = 1000;
    open_world(w);
}

static void look(struct world *w)
{
    log_model_seen_done(&w->seen);
    log_model_read(&w->m, &w->seen);
}

static void world_done(struct world *w)
{
    scratch_done(&w->s);
    log_model_seen_done(&w->seen);
    log_model_done(&w->m);
}

/* -- single rules -- */

static uint32_t segments(struct world *w)
{
    return w->s.log->segments_count;
}

/* Appends until there is a new active segment. */
static void roll(struct world *w)
{
    w->m.rolling = true;
    for (uint32_t before = segments(w); segments(w) == before;) append(w, -1, 3, 0);
    w->m.rolling = false;
}

static void fill_and_roll(struct world *w, uint32_t batches)
{
    for (uint32_t i = 0; i < batches; i++) append(w, -1, 3, 0);
}

Test(compact, keeps_the_newest_record_of_each_key_at_its_offset)
{
    struct world w;
    world_init(&w, 1);
    fill_and_roll(&w, 200);
    uint32_t before = segments(&w);
    uint64_t size_before = partition_log_size(w.s.log);
    cr_assert_geq(log_dir_clean(w.s.dir), 1);
    cr_assert_lt(partition_log_size(w.s.log), size_before / 2);
    log_model_check(&w.m);
    look(&w);
    int64_t active = log_active(w.s.log)->base_offset;
    cr_assert_eq(atomic_load(&w.s.log->clean_end), active);
    cr_assert_leq(w.seen.records, LOG_MODEL_KEYS + 1 + (w.m.end - active));
    /* Small segments become one in the next pass. */
    roll(&w);
    cr_assert_eq(log_dir_clean(w.s.dir), 1);
    cr_assert_lt(segments(&w), before / 2);
    cr_assert_eq(log_dir_clean(w.s.dir), 0, "a clean log is not cleaned again");
    /* Reads at every offset find the next record there is. */
    for (int64_t offset = 0; offset < w.m.end; offset++) {
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
    open_world(&w);
    log_model_check(&w.m);
    cr_assert_eq(log_dir_clean(w.s.dir), 0, "how far it is clean is known after a restart");
    world_done(&w);
}

Test(compact, tombstones_go_after_their_time)
{
    struct world w;
    world_init(&w, 2);
    fill_and_roll(&w, 30);
    for (int i = 0; i < 60; i++) append(&w, -1, 1, 8);
    int64_t tombstones_end = w.m.end, tombstones = 0;
    roll(&w);
    log_dir_clean(w.s.dir);
    look(&w);
    for (int64_t i = 0; i < tombstones_end; i++) tombstones += w.seen.at[i] && w.m.all[i].value < 0;
    cr_assert_gt(tombstones, 0, "they stay at first");
    /* Before delete.retention.ms has gone by they stay; after it the next pass takes them. */
    w.s.clock.now_us += 999 * 1000;
    for (int i = 0; i < 30; i++) append(&w, -1, 1, 8);
    roll(&w);
    log_dir_clean(w.s.dir);
    look(&w);
    int64_t left = 0;
    for (int64_t i = 0; i < w.m.end; i++)
        left += w.seen.at[i] && w.m.all[i].value < 0 && i < atomic_load(&w.s.log->clean_end);
    cr_assert_gt(left, 0);
    w.s.clock.now_us += 1001 * 1000;
    for (int i = 0; i < 30; i++) append(&w, -1, 1, 0);
    int64_t values_from = w.m.end - 30;
    roll(&w);
    log_dir_clean(w.s.dir);
    look(&w);
    for (int64_t i = 0; i < values_from; i++) cr_assert(!w.seen.at[i] || w.m.all[i].value >= 0);
    log_model_check(&w.m);
    world_done(&w);
}

Test(compact, aborted_records_go_and_markers_after_them)
{
    struct world w;
    world_init(&w, 3);
    for (int i = 0; i < 40; i++) {
        append(&w, 2, 3, 0);
        append(&w, 3, 3, 0);
        end_txn(&w, 2, false);
        end_txn(&w, 3, i % 2);
    }
    fill_and_roll(&w, 20);
    log_dir_clean(w.s.dir);
    log_model_check(&w.m);
    look(&w);
    uint32_t markers = w.seen.markers;
    cr_assert_gt(markers, 2);
    /* The next pass sees no data of them: it sets the horizon, the one after that takes them. */
    for (int round = 0; round < 3; round++) {
        w.s.clock.now_us += 2000 * 1000;
        fill_and_roll(&w, 40);
        log_dir_clean(w.s.dir);
        log_model_check(&w.m);
    }
    look(&w);
    cr_assert_lt(w.seen.markers, markers);
    world_done(&w);
}

Test(compact, stops_at_an_open_transaction_a_trim_limit_and_young_records)
{
    struct world w;
    world_init(&w, 4);
    fill_and_roll(&w, 50);
    int64_t open_from = w.m.end;
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
    log_model_check(&w.m);
    world_done(&w);
}

Test(compact, a_log_with_more_keys_than_the_map_is_cleaned_in_passes)
{
    struct world w;
    struct scratch *s = &w.s;
    world_init(&w, 5);
    scratch_close(s);
    s->options.cleaner.dedupe_buffer_bytes = 64 * 24;
    open_world(&w);
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
    world_done(&w);
}

Test(compact, what_is_damaged_is_left_alone)
{
    struct world w;
    world_init(&w, 6);
    fill_and_roll(&w, 100);
    int fd = open(scratch_file(&w.s, w.s.log->segments[1]->base_offset, ".log"), O_RDWR);
    uint8_t byte;
    cr_assert_eq(pread(fd, &byte, 1, 65), 1);
    byte ^= 0x55;
    cr_assert_eq(pwrite(fd, &byte, 1, 65), 1);
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
    world_done(&w);
}

/* A client's compressed batch is stored without a look inside. */
Test(compact, a_batch_whose_offsets_do_not_rise_is_told_and_left_alone)
{
    for (int32_t wrong = 0; wrong < 3; wrong++) {
        struct world w;
        struct batch_builder builder;
        struct batch_fields fields = BATCH_FIELDS_PLAIN;
        struct slice bytes;
        struct compact_result result;
        struct compact_limits limits = {.map_bytes = 1 << 20, .map_load_factor = 0.9};
        struct err err = ERR_NONE;

        world_init(&w, 7);
        scratch_close(&w.s);
        w.s.config.cleanup_compact = false;
        scratch_open(&w.s);
        batch_builder_init(&builder);
        batch_builder_append(&builder, now_ms(&w), SLICE("a"), SLICE("1"), NULL, 0);
        uint32_t second = builder.bytes.len;
        batch_builder_append(&builder, now_ms(&w), SLICE("a"), SLICE("2"), NULL, 0);
        builder.bytes.ptr[second + 3] = (uint8_t[]){0, 1, 120}[wrong]; /* its delta: 0, -1, 60 */
        fields.codec = COMPRESSION_LZ4;
        cr_assert_eq(batch_builder_finish(&builder, &fields, &bytes), 0);
        struct log_append a = {.origin = APPEND_CLIENT, .batches = (uint8_t *)(uintptr_t)bytes.ptr, .size = bytes.len};
        cr_assert_eq(partition_log_append(w.s.log, &a), KAFKA_NONE);
        batch_builder_done(&builder);
        scratch_close(&w.s);
        w.s.config.cleanup_compact = true;
        scratch_open(&w.s);
        scratch_fill(w.s.log, 40, 100, now_ms(&w)); /* not by the model, which does not know the first batch */
        cr_assert_gt(segments(&w), 1);
        int64_t end = partition_log_marks(w.s.log).log_end;
        int r = compact_log(w.s.log, &limits, now_ms(&w), &result, &err);
        cr_assert_eq(r, -EBADMSG, "case %d: %d, %s", wrong, r, err.text);
        cr_assert_eq(partition_log_marks(w.s.log).log_end, end);
        world_done(&w);
    }
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
    enum kafka_error error = KAFKA_NONE;
    if (scratch_random(&w->random) % 8 == 0) w->s.clock.now_us += (int64_t)(scratch_random(&w->random) % 700) * 1000;
    else error = log_model_work(&w->m, now_ms(w));
    MODEL_CHECK(&w->m, error == KAFKA_NONE, "an append answers %s", kafka_error_text(error));
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
    open_world(w);
    while (w->m.end < RECORDS) {
        for (uint32_t i = scratch_random(&w->random) % 120; i > 0 && w->m.end < RECORDS; i--) random_work(w);
        bool kill = scratch_random(&w->random) % 3 == 0;
        if (kill) atomic_store(&calls_left, (long)(scratch_random(&w->random) % 60));
        w->m.touched = log_active(w->s.log) ? log_active(w->s.log)->base_offset : 0;
        log_dir_clean(w->s.dir);
        if (kill) {
            atomic_store(&calls_left, 0);
            scratch_kill(&w->s);
            atomic_store(&calls_left, LONG_MAX);
            if (scratch_random(&w->random) % 2) remove_snapshots(&w->s);
            open_world(w);
        } else if (scratch_random(&w->random) % 4 == 0) {
            scratch_close(&w->s);
            open_world(w);
        }
        log_model_check(&w->m);
    }
    world_done(w);
    free(w);
}

Test(compact, random_logs_with_passes_that_are_killed, .timeout = 300)
{
    const char *given = getenv("OTTLA_SEED"), *count_text = getenv("OTTLA_HISTORIES");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    int count = count_text ? atoi(count_text) : given ? 1 : 12;

    for (int i = 0; i < count; i++) random_history(seed + (uint64_t)i);
}
