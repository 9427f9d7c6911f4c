/* The promises of partition_log.h: appending, reading, marks, holds, waiters, durability. */
#include "tests/lib/wait.h"
#include "tests/unit/storage/scratch.h"

#include "base/log.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <unistd.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

Test(partition_log, offsets_are_dense_and_what_was_acknowledged_is_read)
{
    struct scratch s;
    struct log_append a;
    scratch_init(&s);
    scratch_open(&s);
    for (int i = 0; i < 300; i++) {
        int64_t end = partition_log_marks(s.log).log_end;
        cr_assert_eq(
            scratch_append(s.log, APPEND_CLIENT,
                           &(struct batch_spec){.count = 1 + i % 7, .value_bytes = 100, .timestamp_ms = 1000 + i}, &a),
            KAFKA_NONE);
        cr_assert_eq(a.base_offset, end);
        cr_assert_eq(a.last_offset, end + i % 7);
        cr_assert_eq(a.log_append_time_ms, -1);
    }
    struct log_marks m = partition_log_marks(s.log);
    cr_assert_eq(m.high_watermark, m.log_end);
    cr_assert_eq(m.last_stable, m.log_end);
    cr_assert_eq(m.leader_epoch, 0);
    cr_assert_eq(scratch_read_all(s.log, 0, READ_UNCOMMITTED), m.log_end);
    cr_assert_eq(scratch_read_all(s.log, 17, READ_COMMITTED), m.log_end - 17);
    scratch_done(&s);
}

Test(partition_log, a_clean_restart_and_a_kill_keep_everything)
{
    struct scratch s;
    scratch_init(&s);
    s.config.segment_bytes = 20000;
    scratch_open(&s);
    int64_t end = 0;
    for (int round = 0; round < 6; round++) {
        struct log_marks m = partition_log_marks(s.log);
        cr_assert_eq(m.log_end, end);
        cr_assert_eq(m.high_watermark, end);
        cr_assert_eq(scratch_read_all(s.log, 0, READ_UNCOMMITTED), end);
        scratch_fill(s.log, 100, 300, 1000 + round * 1000);
        end += 100;
        if (round % 2) scratch_kill(&s);
        else scratch_close(&s);
        scratch_open(&s);
        cr_assert_eq(log_dir_was_clean(s.dir), round % 2 == 0);
        cr_assert_eq(partition_log_marks(s.log).leader_epoch, (round + 1) / 2, "an unclean stop begins an epoch");
    }
    scratch_done(&s);
}

Test(partition_log, a_hold_keeps_records_from_readers_and_release_shows_all_at_once)
{
    struct scratch s;
    struct log_read r;
    scratch_init(&s);
    scratch_open(&s);
    scratch_fill(s.log, 5, 10, 1);
    cr_assert_eq(scratch_append(s.log, APPEND_CDC, &(struct batch_spec){.count = 3}, NULL), KAFKA_NONE);
    cr_assert_eq(partition_log_marks(s.log).high_watermark, 5);
    scratch_fill(s.log, 2, 10, 1); /* a foreign writer */
    cr_assert_eq(partition_log_marks(s.log).high_watermark, 5);
    cr_assert_eq(partition_log_marks(s.log).log_end, 10);
    cr_assert_eq(scratch_read_all(s.log, 0, READ_UNCOMMITTED), 5);
    cr_assert_eq(scratch_read_all(s.log, 0, READ_LOG_END), 10);
    cr_assert_eq(partition_log_read(s.log, 7, 1000, true, READ_UNCOMMITTED, &r), KAFKA_NONE, "never out of range");
    cr_assert_null(r.file);

    partition_log_release(&(struct log_release){.log = s.log, .hold = 8}, 1);
    cr_assert_eq(partition_log_marks(s.log).high_watermark, 8);
    partition_log_release(&(struct log_release){.log = s.log, .hold = LOG_NO_HOLD}, 1);
    cr_assert_eq(scratch_read_all(s.log, 0, READ_UNCOMMITTED), 10);

    scratch_close(&s);
    scratch_open(&s);
    partition_log_set_hold(s.log, 1, 5); /* at open the visible end may go back */
    cr_assert_eq(partition_log_marks(s.log).high_watermark, 5);
    cr_assert_eq(scratch_read_all(s.log, 0, READ_UNCOMMITTED), 5);
    scratch_done(&s);
}

static int wakes;
static void count_wake(struct log_waiter *w)
{
    wakes++;
}

Test(partition_log, a_waiter_is_woken_once_by_what_it_waits_for)
{
    struct scratch s;
    scratch_init(&s);
    scratch_open(&s);
    struct log_waiter w = {.beyond_offset = 0, .isolation = READ_UNCOMMITTED, .wake = count_wake};
    partition_log_wait(s.log, &w);
    cr_assert_eq(wakes, 0);
    cr_assert(w.linked);
    scratch_append(s.log, APPEND_CDC, &(struct batch_spec){0}, NULL);
    cr_assert_eq(wakes, 0, "held");
    partition_log_release(&(struct log_release){.log = s.log, .hold = LOG_NO_HOLD}, 1);
    cr_assert_eq(wakes, 1);
    cr_assert_not(w.linked);
    scratch_fill(s.log, 1, 10, 1);
    cr_assert_eq(wakes, 1, "only once");

    partition_log_wait(s.log, &w);
    cr_assert_eq(wakes, 2, "at once when there is something");
    w.beyond_offset = 2;
    partition_log_wait(s.log, &w);
    partition_log_wait_cancel(s.log, &w);
    scratch_fill(s.log, 1, 10, 1);
    cr_assert_eq(wakes, 2, "cancelled");

    w.beyond_offset = 3;
    w.isolation = READ_COMMITTED;
    partition_log_wait(s.log, &w);
    scratch_append(s.log, APPEND_CLIENT,
                   &(struct batch_spec){.producer = true, .producer_id = 9, .transactional = true}, NULL);
    cr_assert_eq(wakes, 2, "the last stable offset has not moved");
    scratch_end_txn(s.log, 9, 0, true);
    cr_assert_eq(wakes, 3);

    w.beyond_offset = 100;
    partition_log_wait(s.log, &w);
    cr_assert_eq(log_dir_delete_log(s.dir, s.log), 0);
    cr_assert_eq(wakes, 4, "deletion");
    cr_assert_eq(scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){0}, NULL), KAFKA_NOT_LEADER_OR_FOLLOWER);
    scratch_done(&s);
}

Test(partition_log, strict_durability_shows_only_what_is_synced)
{
    struct scratch s;
    scratch_init(&s);
    s.config.strict = true;
    scratch_open(&s);
    scratch_fill(s.log, 5, 10, 1);
    struct log_marks m = partition_log_marks(s.log);
    cr_assert_eq(m.high_watermark, 0);
    cr_assert_eq(m.durable_end, 0);
    cr_assert_eq(m.log_end, 5);
    wakes = 0;
    struct log_waiter w = {.beyond_offset = 0, .isolation = READ_UNCOMMITTED, .wake = count_wake};
    partition_log_wait(s.log, &w);
    cr_assert_eq(wakes, 0);
    cr_assert_eq(partition_log_sync(&s.log, 1), 0);
    cr_assert_eq(wakes, 1);
    m = partition_log_marks(s.log);
    cr_assert_eq(m.durable_end, 5);
    cr_assert_eq(m.high_watermark, 5);
    scratch_kill(&s);
    scratch_open(&s);
    cr_assert_eq(partition_log_marks(s.log).high_watermark, 5);
    scratch_done(&s);
}

Test(partition_log, a_read_returns_whole_batches_up_to_its_size)
{
    struct scratch s;
    struct log_read r;
    scratch_init(&s);
    s.config.segment_bytes = 50000;
    scratch_open(&s);
    scratch_fill(s.log, 400, 200, 1);
    struct log_read one;
    cr_assert_eq(partition_log_read(s.log, 0, 1, true, READ_UNCOMMITTED, &one), KAFKA_NONE);
    uint32_t batch = one.length;
    cr_assert_gt(batch, 200);
    log_read_done(&one);
    for (int64_t offset = 0; offset < 400; offset += 7) {
        for (uint32_t size = 1; size < 20 * batch; size += batch / 2) {
            cr_assert_eq(partition_log_read(s.log, offset, size, false, READ_UNCOMMITTED, &r), KAFKA_NONE);
            if (size < batch) {
                cr_assert_null(r.file);
            } else {
                cr_assert_eq(r.base_offset, offset);
                cr_assert_leq(r.length, size);
                cr_assert_eq(r.length % batch, 0);
                uint64_t in_segment = s.log->segments[0]->size; /* they are all equal, but for the last */
                cr_assert(r.length == size / batch * batch || r.position + r.length == in_segment ||
                          offset + r.length / batch == 400);
            }
            log_read_done(&r);
        }
    }
    cr_assert_eq(partition_log_read(s.log, 400, 1000, true, READ_UNCOMMITTED, &r), KAFKA_NONE);
    cr_assert_null(r.file);
    cr_assert_eq(partition_log_read(s.log, 401, 1000, true, READ_UNCOMMITTED, &r), KAFKA_OFFSET_OUT_OF_RANGE);
    cr_assert_eq(partition_log_read(s.log, -1, 1000, true, READ_UNCOMMITTED, &r), KAFKA_OFFSET_OUT_OF_RANGE);
    scratch_done(&s);
}

Test(partition_log, an_offset_inside_a_batch_gives_the_whole_batch)
{
    struct scratch s;
    struct log_read r;
    scratch_init(&s);
    scratch_open(&s);
    scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){.count = 10}, NULL);
    scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){.count = 10}, NULL);
    cr_assert_eq(partition_log_read(s.log, 13, 100000, true, READ_UNCOMMITTED, &r), KAFKA_NONE);
    cr_assert_eq(r.base_offset, 10);
    log_read_done(&r);
    scratch_done(&s);
}

Test(partition_log, deleted_records_are_out_of_range_and_stay_so)
{
    struct scratch s;
    struct log_read r;
    int64_t start = -1;
    scratch_init(&s);
    s.config.segment_bytes = 3000;
    scratch_open(&s);
    scratch_fill(s.log, 50, 200, 1);
    cr_assert_gt(s.log->segments_count, 3);
    partition_log_set_trim_limit(s.log, 1, 20);
    cr_assert_eq(partition_log_delete_records(s.log, 30, &start), KAFKA_NONE);
    cr_assert_eq(start, 20, "an owner's limit");
    partition_log_set_trim_limit(s.log, 1, INT64_MAX);
    cr_assert_eq(partition_log_delete_records(s.log, 31, &start), KAFKA_NONE);
    cr_assert_eq(start, 31);
    cr_assert_eq(partition_log_delete_records(s.log, 51, &start), KAFKA_OFFSET_OUT_OF_RANGE);
    cr_assert_eq(partition_log_read(s.log, 30, 100, true, READ_UNCOMMITTED, &r), KAFKA_OFFSET_OUT_OF_RANGE);
    cr_assert_eq(scratch_read_all(s.log, 31, READ_UNCOMMITTED), 19);
    scratch_close(&s);
    scratch_open(&s);
    cr_assert_eq(partition_log_marks(s.log).log_start, 31);
    cr_assert_eq(log_dir_write_checkpoints(s.dir), 0);
    scratch_kill(&s);
    scratch_open(&s);
    cr_assert_eq(partition_log_marks(s.log).log_start, 31);
    cr_assert_eq(partition_log_delete_records(s.log, 50, &start), KAFKA_NONE);
    scratch_fill(s.log, 1, 10, 1);
    scratch_close(&s);
    scratch_open(&s);
    cr_assert_eq(partition_log_marks(s.log).log_start, 50);
    cr_assert_eq(partition_log_marks(s.log).log_end, 51);
    scratch_done(&s);
}

Test(partition_log, what_one_owner_gives_up_never_touches_anothers_claims)
{
    struct scratch s;
    int64_t start, a = 1, b = 2;

    scratch_init(&s);
    scratch_open(&s);
    scratch_fill(s.log, 10, 10, 1);
    partition_log_set_hold(s.log, a, 4);
    partition_log_set_hold(s.log, b, 6);
    partition_log_set_trim_limit(s.log, a, 2);
    partition_log_set_trim_limit(s.log, b, 1);
    cr_expect_eq(partition_log_marks(s.log).high_watermark, 4, "the least hold counts");
    partition_log_release(&(struct log_release){.log = s.log, .owner = a, .hold = LOG_NO_HOLD}, 1);
    cr_expect_eq(partition_log_marks(s.log).high_watermark, 6, "the other one's stands");
    cr_expect_eq(partition_log_delete_records(s.log, 5, &start), KAFKA_NONE);
    cr_expect_eq(start, 1);
    partition_log_disown(s.log, b);
    cr_expect_eq(partition_log_marks(s.log).high_watermark, 10);
    cr_expect_eq(partition_log_delete_records(s.log, 5, &start), KAFKA_NONE);
    cr_expect_eq(start, 2);
    partition_log_disown(s.log, a);
    partition_log_disown(s.log, a);
    cr_expect_eq(partition_log_delete_records(s.log, 5, &start), KAFKA_NONE);
    cr_expect_eq(start, 5);
    scratch_done(&s);
}

static enum kafka_error append_owned(struct partition_log *log, int64_t owner)
{
    struct batch_spec spec = {0};
    struct log_append a = {.origin = APPEND_CDC, .owner = owner};

    a.batches = batch_make(&spec, &a.size);
    enum kafka_error error = partition_log_append(log, &a);
    free(a.batches);
    return error;
}

Test(partition_log, while_one_owner_is_alone_others_are_told_to_try_again)
{
    struct scratch s;
    struct log_append a;
    int64_t own = 1, other = 2;

    scratch_init(&s);
    scratch_open(&s);
    scratch_fill(s.log, 1, 10, 1);
    cr_expect(partition_log_set_exclusive(s.log, own, true));
    cr_expect_not(partition_log_set_exclusive(s.log, other, true), "one at a time");
    cr_expect_eq(append_owned(s.log, own), KAFKA_NONE);
    cr_expect_eq(append_owned(s.log, other), KAFKA_LEADER_NOT_AVAILABLE);
    cr_expect_eq(scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){0}, &a), KAFKA_LEADER_NOT_AVAILABLE);
    cr_expect_eq(partition_log_settled_end(s.log, other), 1, "what follows may be taken back");
    cr_expect_eq(partition_log_settled_end(s.log, own), 2);
    cr_expect(partition_log_set_exclusive(s.log, other, false), "which was not alone");
    cr_expect_eq(append_owned(s.log, other), KAFKA_LEADER_NOT_AVAILABLE);
    cr_expect(partition_log_set_exclusive(s.log, own, false));
    cr_expect_eq(append_owned(s.log, other), KAFKA_NONE);
    cr_expect_eq(partition_log_settled_end(s.log, other), 3);
    cr_expect_eq(partition_log_marks(s.log).high_watermark, 1, "both hold what they wrote");
    scratch_close(&s);
    scratch_done(&s);
}

Test(partition_log, before_readers_are_let_in_truncation_and_holds_may_take_the_visible_end_back)
{
    struct scratch s;
    int64_t owner = 1;

    scratch_init(&s);
    scratch_open(&s);
    scratch_fill(s.log, 20, 10, 1);
    cr_expect_eq(partition_log_truncate(s.log, 15), KAFKA_NONE);
    cr_expect_eq(partition_log_marks(s.log).high_watermark, 15);
    cr_expect_eq(partition_log_marks(s.log).log_end, 15);
    partition_log_set_hold(s.log, owner, 12);
    cr_expect_eq(partition_log_marks(s.log).high_watermark, 12);
    log_dir_serve(s.dir);
    partition_log_set_hold(s.log, owner, 10);
    cr_expect_eq(partition_log_marks(s.log).high_watermark, 12, "somebody may have seen it");
    cr_expect_eq(partition_log_truncate(s.log, 11), KAFKA_OFFSET_OUT_OF_RANGE);
    cr_expect_eq(partition_log_marks(s.log).log_end, 15);
    cr_expect_eq(partition_log_truncate(s.log, 12), KAFKA_NONE);
    scratch_close(&s);
    scratch_done(&s);
}

Test(partition_log, truncation_cuts_above_the_visible_end_only)
{
    struct scratch s;
    scratch_init(&s);
    s.config.segment_bytes = 3000;
    scratch_open(&s);
    scratch_fill(s.log, 20, 200, 1);
    log_dir_serve(s.dir);
    cr_assert_eq(partition_log_truncate(s.log, 10), KAFKA_OFFSET_OUT_OF_RANGE);
    for (int32_t i = 0; i < 20; i++)
        cr_assert_eq(
            scratch_append(
                s.log, APPEND_CDC,
                &(struct batch_spec){.value_bytes = 200, .producer = true, .producer_id = 5, .base_sequence = i}, NULL),
            KAFKA_NONE);
    cr_assert_eq(partition_log_sync(&s.log, 1), 0);
    struct producer_last last;
    cr_assert(partition_log_producer_last(s.log, 5, &last));
    cr_assert_eq(last.last_sequence, 19);
    int64_t offset;
    cr_assert_eq(partition_log_producer_offset_at(s.log, 5, 3, &offset), 0);
    cr_assert_eq(offset, 23);
    cr_assert_eq(partition_log_producer_offset_at(s.log, 5, 19, &offset), 0);
    cr_assert_eq(offset, 39);
    cr_assert_eq(partition_log_producer_offset_at(s.log, 5, 20, &offset), 0);
    cr_assert_eq(offset, INT64_MAX);
    cr_assert_eq(partition_log_producer_offset_at(s.log, 6, 0, &offset), 0);
    cr_assert_eq(offset, INT64_MAX);
    cr_assert_eq(partition_log_truncate(s.log, 31), KAFKA_NONE);
    cr_assert_eq(partition_log_marks(s.log).log_end, 31);
    cr_assert_eq(partition_log_marks(s.log).durable_end, 31);
    cr_assert(partition_log_producer_last(s.log, 5, &last));
    cr_assert_eq(last.last_sequence, 10);
    cr_assert_eq(partition_log_truncate(s.log, 20), KAFKA_NONE);
    cr_assert_not(partition_log_producer_last(s.log, 5, &last));
    partition_log_release(&(struct log_release){.log = s.log, .hold = LOG_NO_HOLD}, 1);
    scratch_fill(s.log, 30, 200, 1);
    cr_assert_eq(scratch_read_all(s.log, 0, READ_UNCOMMITTED), 50);
    scratch_kill(&s);
    scratch_open(&s);
    cr_assert_eq(scratch_read_all(s.log, 0, READ_UNCOMMITTED), 50);
    scratch_done(&s);
}

Test(partition_log, reserved_blocks_are_given_back_at_the_roll_and_at_the_stop)
{
    struct scratch s;
    struct stat st;
    scratch_init(&s);
    s.config.segment_bytes = 3 << 20;
    scratch_open(&s);
    scratch_fill(s.log, 20, 100000, 1);
    cr_assert_eq(s.log->segments_count, 1);
    cr_assert_eq(stat(scratch_file(&s, 0, ".log"), &st), 0);
    bool possible = st.st_blocks * 512 > 2900000; /* not every file system can */
    scratch_fill(s.log, 20, 100000, 1);
    cr_assert_eq(s.log->segments_count, 2);
    cr_assert_eq(stat(scratch_file(&s, 0, ".log"), &st), 0);
    cr_assert_leq(st.st_blocks * 512, st.st_size + 65536);
    int64_t base = s.log->segments[1]->base_offset;
    scratch_close(&s);
    cr_assert_eq(stat(scratch_file(&s, base, ".log"), &st), 0);
    cr_assert_leq(st.st_blocks * 512, st.st_size + 65536);
    scratch_open(&s);
    cr_assert_eq(scratch_read_all(s.log, 0, READ_UNCOMMITTED), 40);
    if (!possible) cr_log_info("this file system reserves no blocks");
    scratch_done(&s);
}

static bool has_folder(const struct scratch *s)
{
    char path[200];
    struct stat st;

    snprintf(path, sizeof path, "%s/t-0", s->path);
    return stat(path, &st) == 0;
}

Test(partition_log, a_folder_is_made_with_the_first_record)
{
    struct scratch s;
    scratch_init(&s);
    for (int end = 0; end < 3; end++) { /* a new directory; after a clean stop; after a kill */
        int64_t start = 7;
        scratch_open(&s);
        cr_assert_not(has_folder(&s));
        cr_assert_eq(partition_log_sync(&s.log, 1), 0);
        cr_assert_eq(partition_log_delete_records(s.log, 0, &start), KAFKA_NONE);
        cr_assert_eq(start, 0);
        cr_assert_eq(scratch_read_all(s.log, 0, READ_UNCOMMITTED), 0);
        log_dir_check_retention(s.dir);
        cr_assert_not(has_folder(&s));
        if (end == 0) scratch_close(&s);
        else if (end == 1) scratch_kill(&s);
    }
    scratch_fill(s.log, 1, 10, 1);
    cr_assert(has_folder(&s));
    scratch_close(&s);
    scratch_open(&s);
    cr_assert_eq(scratch_read_all(s.log, 0, READ_UNCOMMITTED), 1);
    scratch_done(&s);
}

static int metadata_failures;
static ssize_t full_once(int fd, const struct iovec *iov, int iov_count, uint64_t position)
{
    return metadata_failures-- > 0 ? -ENOSPC : io_posix.pwritev(fd, iov, iov_count, position);
}

Test(partition_log, a_folder_that_was_half_made_is_finished)
{
    struct scratch s;
    struct io_ops io = io_posix;
    struct log_append a;
    scratch_init(&s);
    io.pwritev = full_once;
    s.options.io = &io;
    scratch_open(&s);
    metadata_failures = 1;
    cr_assert_eq(scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){.timestamp_ms = 1}, &a),
                 KAFKA_STORAGE_ERROR);
    cr_assert_eq(partition_log_marks(s.log).log_end, 0);
    scratch_fill(s.log, 1, 10, 1);
    scratch_close(&s);
    char path[200], text[100] = "";
    snprintf(path, sizeof path, "%s/t-0/partition.metadata", s.path);
    FILE *f = fopen(path, "r");
    cr_assert(f && fread(text, 1, sizeof text - 1, f) > 0);
    fclose(f);
    cr_assert(strstr(text, "topic_id: "), "%s", text);
    scratch_done(&s);
}

/* Names of the files that were synced, in their order. */
static char synced_names[1000];
static int note_fdatasync(int fd)
{
    char link[40], path[300];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[MAX(n, 0)] = '\0';
    const char *slash = strrchr(path, '/');
    size_t used = strlen(synced_names);
    snprintf(synced_names + used, sizeof synced_names - used, "%s ", slash ? slash + 1 : path);
    return io_posix.fdatasync(fd);
}

Test(partition_log, a_new_directory_says_who_it_is_before_anything_is_in_it)
{
    struct scratch s;
    struct io_ops io = io_posix;
    scratch_init(&s);
    io.fdatasync = note_fdatasync;
    s.options.io = &io;
    scratch_open(&s);
    cr_assert_str_eq(synced_names, "meta.properties.tmp ottla.format.tmp ");
    scratch_done(&s);
}

Test(partition_log, flush_messages_begins_a_sync)
{
    struct scratch s;
    scratch_init(&s);
    s.config.flush_messages = 10;
    scratch_open(&s);
    scratch_fill(s.log, 9, 10, 1);
    cr_assert(!s.log->syncing && partition_log_marks(s.log).durable_end == 0, "not yet");
    scratch_fill(s.log, 1, 10, 1);
    cr_assert(WAIT_UNTIL(partition_log_marks(s.log).durable_end == 10));
    scratch_done(&s);
}

Test(partition_log, a_closed_partition_is_small)
{
    cr_assert_leq(sizeof(struct partition_log), 320);
}

/* In the file; -1: none. */
static int64_t recovery_point(const struct scratch *s)
{
    char path[200], line[100];
    int64_t point = -1;

    snprintf(path, sizeof path, "%s/recovery-point-offset-checkpoint", s->path);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (line[0] == 't') point = atoi(line + 4);
    if (f) fclose(f);
    return point;
}

Test(partition_log, an_idle_log_is_synced_in_the_background)
{
    struct scratch s;
    scratch_init(&s);
    s.options.clock = NULL;
    s.options.flush_interval_ms = 20;
    s.options.recovery_point_interval_ms = 20;
    scratch_open(&s);
    for (int round = 1; round < 4; round++) {
        scratch_fill(s.log, 5, 10, 1);
        cr_assert(WAIT_UNTIL(partition_log_marks(s.log).durable_end == 5 * round));
        cr_assert(WAIT_UNTIL(recovery_point(&s) == 5 * round), "the recovery point follows");
    }
    scratch_done(&s);
}

static atomic_bool no_space;
static int scratch_statvfs(int fd, struct statvfs *ret_stat)
{
    int r = io_posix.statvfs(fd, ret_stat);
    if (atomic_load(&no_space)) ret_stat->f_bavail = 100;
    return r;
}

Test(partition_log, a_full_disk_refuses_produce_keeps_room_for_the_broker_and_goes_on)
{
    struct scratch s;
    struct log_append a;
    struct io_ops io = io_posix;
    scratch_init(&s);
    io.statvfs = scratch_statvfs;
    s.options.io = &io;
    scratch_open(&s);
    scratch_fill(s.log, 1, 10, 1);
    atomic_store(&no_space, true);
    log_dir_flush_dirty(s.dir);
    cr_assert_eq(scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){0}, &a), KAFKA_STORAGE_ERROR);
    cr_assert(strstr(a.error_message, "space"));
    cr_assert_eq(scratch_append(s.log, APPEND_CDC, &(struct batch_spec){0}, &a), KAFKA_STORAGE_ERROR);
    cr_assert_eq(scratch_append(s.log, APPEND_INTERNAL, &(struct batch_spec){0}, &a), KAFKA_NONE);
    cr_assert_eq(scratch_read_all(s.log, 0, READ_UNCOMMITTED), 2);
    atomic_store(&no_space, false);
    log_dir_flush_dirty(s.dir);
    cr_assert_eq(scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){0}, &a), KAFKA_NONE);
    scratch_done(&s);
}

Test(partition_log, a_deleted_log_answers_so_everywhere)
{
    struct scratch s;
    struct log_read r;
    int64_t offset, timestamp;
    int32_t epoch;
    scratch_init(&s);
    scratch_open(&s);
    scratch_fill(s.log, 3, 10, 1);
    cr_assert_eq(log_dir_delete_log(s.dir, s.log), 0);
    cr_assert_eq(partition_log_read(s.log, 3, 100, true, READ_UNCOMMITTED, &r), KAFKA_NOT_LEADER_OR_FOLLOWER);
    cr_assert_eq(partition_log_read(s.log, 0, 100, true, READ_UNCOMMITTED, &r), KAFKA_NOT_LEADER_OR_FOLLOWER);
    cr_assert_eq(partition_log_offset_for_time(s.log, 0, &offset, &timestamp, &epoch), KAFKA_NOT_LEADER_OR_FOLLOWER);
    cr_assert_neq(partition_log_sync(&s.log, 1), 0);
    cr_assert_neq(log_dir_delete_log(s.dir, s.log), 0);
    scratch_done(&s);
}

static atomic_int syncs, syncs_to_fail;
static int counted_sync(int fd)
{
    atomic_fetch_add(&syncs, 1);
    return atomic_fetch_sub(&syncs_to_fail, 1) == 1 ? -EIO : 0;
}

Test(partition_log, a_failed_sync_is_not_repeated_and_stops_writes)
{
    struct scratch s;
    struct io_ops io = io_posix;
    scratch_init(&s);
    io.fdatasync = counted_sync;
    s.options.io = &io;
    scratch_open(&s);
    scratch_fill(s.log, 3, 10, 1);
    cr_assert_eq(partition_log_sync(&s.log, 1), 0);
    scratch_fill(s.log, 3, 10, 1);
    atomic_store(&syncs_to_fail, 1);
    log_level_max = LOG_ERROR;
    cr_assert_eq(partition_log_sync(&s.log, 1), -EIO);
    int before = atomic_load(&syncs);
    cr_assert_eq(partition_log_sync(&s.log, 1), -EIO);
    log_dir_flush_dirty(s.dir);
    cr_assert_eq(atomic_load(&syncs), before);
    cr_assert_eq(partition_log_marks(s.log).durable_end, 3);
    cr_assert_eq(scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){0}, NULL), KAFKA_STORAGE_ERROR);
    cr_assert_eq(scratch_read_all(s.log, 0, READ_UNCOMMITTED), 6, "what was read before stays readable");
    scratch_close(&s);
    s.options.io = NULL;
    scratch_open(&s);
    cr_assert_not(log_dir_was_clean(s.dir));
    cr_assert_eq(scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){0}, NULL), KAFKA_NONE);
    scratch_done(&s);
}

Test(partition_log, requests_of_one_moment_share_a_sync)
{
    struct scratch s;
    struct io_ops io = io_posix;
    scratch_init(&s);
    io.fdatasync = counted_sync;
    s.options.io = &io;
    scratch_open(&s);
    struct partition_log *same[50];
    scratch_fill(s.log, 5, 10, 1);
    atomic_store(&syncs, 0);
    for (uint32_t i = 0; i < countof(same); i++) same[i] = s.log;
    cr_assert_eq(partition_log_sync(same, countof(same)), 0);
    cr_assert_lt(atomic_load(&syncs), 25, "%d syncs", atomic_load(&syncs));
    scratch_done(&s);
}

Test(partition_log, what_lies_before_a_damaged_batch_is_read)
{
    struct scratch s;
    struct log_append a;
    struct log_read r;
    int64_t offsets[6];

    scratch_init(&s);
    scratch_open(&s);
    for (int i = 0; i < 6; i++) {
        cr_assert_eq(scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){.value_bytes = 300}, &a), KAFKA_NONE);
        offsets[i] = a.base_offset;
    }
    uint64_t batch = partition_log_size(s.log) / 6;
    int fd = open(scratch_file(&s, 0, ".log"), O_RDWR);
    cr_assert_eq(pwrite(fd, "\0\0\0\0", 4, (off_t)(3 * batch + 8)), 4, "the length of the fourth");
    close(fd);
    for (uint32_t most = (uint32_t)(3 * batch); most < 6 * batch; most += (uint32_t)batch / 2) {
        cr_assert_eq(partition_log_read(s.log, 0, most, true, READ_UNCOMMITTED, &r), KAFKA_NONE, "of %u bytes", most);
        cr_assert_eq(r.length, 3 * batch);
        log_read_done(&r);
    }
    cr_assert_eq(partition_log_read(s.log, offsets[3], 500, true, READ_UNCOMMITTED, &r), KAFKA_CORRUPT_MESSAGE);
    scratch_done(&s);
}
