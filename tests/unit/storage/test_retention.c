/* Rolling and what is deleted when. */
#include "tests/unit/storage/scratch.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

static void advance(struct scratch *s, int64_t ms)
{
    s->clock.now_us += ms * 1000;
}

static uint32_t files_with(const struct scratch *s, const char *part)
{
    char path[100];
    uint32_t count = 0;
    snprintf(path, sizeof path, "%s/t-0", s->path);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) count += strstr(e->d_name, part) != NULL;
    if (dir) closedir(dir);
    return count;
}

Test(retention, by_time_takes_old_segments_and_rolls_the_active_one_first)
{
    struct scratch s;
    scratch_init(&s);
    s.config.segment_bytes = 1000;
    s.config.retention_ms = 5000;
    scratch_open(&s);
    int64_t now = clock_wall_ms(&s.clock.clock);
    scratch_fill(s.log, 20, 100, now);
    uint32_t segments = s.log->segments_count;
    cr_assert_gt(segments, 3);
    log_dir_check_retention(s.dir);
    cr_assert_eq(s.log->segments_count, segments);
    advance(&s, 4000);
    scratch_fill(s.log, 20, 100, now + 4000);
    advance(&s, 1500);
    log_dir_check_retention(s.dir);
    struct log_marks m = partition_log_marks(s.log);
    cr_assert_gt(m.log_start, 10);
    cr_assert_leq(m.log_start, 20);
    cr_assert_eq(scratch_read_all(s.log, m.log_start, READ_UNCOMMITTED), 40 - m.log_start);
    advance(&s, 100000);
    log_dir_check_retention(s.dir);
    m = partition_log_marks(s.log);
    cr_assert_eq(m.log_start, 40);
    cr_assert_eq(m.log_end, 40);
    cr_assert_eq(partition_log_size(s.log), 0);
    cr_assert_eq(files_with(&s, ".log"), 1);
    scratch_fill(s.log, 1, 100, now);
    scratch_kill(&s);
    scratch_open(&s);
    cr_assert_eq(partition_log_marks(s.log).log_start, 40);
    cr_assert_eq(partition_log_marks(s.log).log_end, 41);
    scratch_done(&s);
}

Test(retention, by_size_keeps_at_least_that_much)
{
    struct scratch s;
    scratch_init(&s);
    s.config.segment_bytes = 1000;
    s.config.retention_bytes = 3500;
    scratch_open(&s);
    scratch_fill(s.log, 100, 100, clock_wall_ms(&s.clock.clock));
    log_dir_check_retention(s.dir);
    cr_assert_geq(partition_log_size(s.log), 3500);
    cr_assert_leq(partition_log_size(s.log), 4500);
    scratch_done(&s);
}

Test(retention, stops_at_holds_limits_and_compacted_topics)
{
    struct scratch s;
    scratch_init(&s);
    s.config.segment_bytes = 1000;
    s.config.retention_ms = 1000;
    scratch_open(&s);
    int64_t now = clock_wall_ms(&s.clock.clock);
    scratch_fill(s.log, 30, 100, now);
    partition_log_set_trim_limit(s.log, 1, 15);
    advance(&s, 100000);
    log_dir_check_retention(s.dir);
    cr_assert_leq(partition_log_marks(s.log).log_start, 15);
    cr_assert_gt(partition_log_marks(s.log).log_start, 0);
    partition_log_set_trim_limit(s.log, 1, INT64_MAX);
    partition_log_set_hold(s.log, 1, 20);
    log_dir_check_retention(s.dir);
    cr_assert_leq(partition_log_marks(s.log).log_start, 20);
    partition_log_set_hold(s.log, 1, LOG_NO_HOLD);
    s.config.cleanup_delete = false;
    s.config.cleanup_compact = true;
    partition_log_configure(s.log, &s.config);
    log_dir_check_retention(s.dir);
    cr_assert_leq(partition_log_marks(s.log).log_start, 20);
    s.config.cleanup_delete = true;
    partition_log_configure(s.log, &s.config);
    log_dir_check_retention(s.dir);
    cr_assert_eq(partition_log_marks(s.log).log_start, 30);
    scratch_done(&s);
}

Test(retention, of_a_log_that_is_not_loaded_is_known_from_the_last_stop)
{
    struct scratch s;
    scratch_init(&s);
    s.config.segment_bytes = 1000;
    s.config.retention_ms = 1000;
    scratch_open(&s);
    scratch_fill(s.log, 30, 100, clock_wall_ms(&s.clock.clock));
    scratch_close(&s);
    scratch_open(&s);
    log_dir_check_retention(s.dir);
    cr_assert_not(s.log->loaded, "nothing is old yet");
    advance(&s, 100000);
    log_dir_check_retention(s.dir);
    cr_assert_eq(partition_log_marks(s.log).log_start, 30);
    scratch_done(&s);
}

Test(retention, files_go_after_their_delay_and_readers_keep_theirs)
{
    struct scratch s;
    struct log_read r;
    int64_t start;
    scratch_init(&s);
    s.config.segment_bytes = 1000;
    s.config.retention_ms = -1;
    s.config.file_delete_delay_ms = 60000;
    scratch_open(&s);
    scratch_fill(s.log, 30, 100, 1);
    cr_assert_eq(partition_log_read(s.log, 0, 100000, true, READ_UNCOMMITTED, &r), KAFKA_NONE);
    cr_assert_eq(partition_log_delete_records(s.log, 30, &start), KAFKA_NONE);
    cr_assert_eq(files_with(&s, ".deleted"), 0, "the new start is not in its checkpoint yet");
    log_dir_check_retention(s.dir);
    cr_assert_gt(files_with(&s, ".deleted"), 5);
    log_dir_remove_due(s.dir, false);
    cr_assert_gt(files_with(&s, ".deleted"), 5);
    advance(&s, 60001);
    log_dir_remove_due(s.dir, false);
    cr_assert_eq(files_with(&s, ".deleted"), 0);
    free(scratch_bytes(&r)); /* still readable */
    log_read_done(&r);

    cr_assert_eq(log_dir_delete_log(s.dir, s.log), 0);
    cr_assert_eq(files_with(&s, ""), 0, "the folder has another name");
    advance(&s, 60001);
    log_dir_remove_due(s.dir, false);
    uint32_t folders = 0;
    DIR *dir = opendir(s.path);
    for (struct dirent *e; (e = readdir(dir));) folders += strstr(e->d_name, "-delete") != NULL;
    closedir(dir);
    cr_assert_eq(folders, 0);
    scratch_done(&s);
}

Test(retention, segments_roll_by_size_and_by_age_of_their_records)
{
    struct scratch s;
    scratch_init(&s);
    s.config.segment_ms = 1000;
    scratch_open(&s);
    scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){.timestamp_ms = 5000}, NULL);
    scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){.timestamp_ms = 5900}, NULL);
    cr_assert_eq(s.log->segments_count, 1);
    scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){.timestamp_ms = 6001}, NULL);
    cr_assert_eq(s.log->segments_count, 2);
    cr_assert_eq(s.log->segments[1]->base_offset, 2);
    s.config.segment_bytes = 500;
    partition_log_configure(s.log, &s.config);
    cr_assert_eq(
        scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){.timestamp_ms = 6001, .value_bytes = 600}, NULL),
        KAFKA_RECORD_LIST_TOO_LARGE);
    scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){.timestamp_ms = 6001, .value_bytes = 390}, NULL);
    cr_assert_eq(s.log->segments_count, 3);
    s.config.max_message_bytes = 100;
    partition_log_configure(s.log, &s.config);
    cr_assert_eq(
        scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){.timestamp_ms = 6001, .value_bytes = 90}, NULL),
        KAFKA_MESSAGE_TOO_LARGE);
    scratch_done(&s);
}

Test(retention, a_segment_whose_first_record_has_no_time_rolls_by_its_own_age)
{
    struct scratch s;
    scratch_init(&s);
    s.config.segment_ms = 1000;
    scratch_open(&s);
    scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){.timestamp_ms = -1}, NULL);
    scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){.timestamp_ms = 5000}, NULL);
    scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){.timestamp_ms = 9000}, NULL);
    cr_assert_eq(s.log->segments_count, 1, "later records' times are not its own");
    s.clock.now_us += 1001 * 1000;
    scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){.timestamp_ms = 5000}, NULL);
    cr_assert_eq(s.log->segments_count, 2);
    scratch_done(&s);
}

Test(retention, append_time_and_keys_are_as_the_topic_demands)
{
    struct scratch s;
    struct log_append a;
    int64_t offset, timestamp;
    int32_t epoch;
    scratch_init(&s);
    s.config.log_append_time = true;
    s.config.compression_codec = COMPRESSION_ZSTD;
    scratch_open(&s);
    int64_t now = clock_wall_ms(&s.clock.clock);
    cr_assert_eq(scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){.timestamp_ms = 1, .count = 3}, &a),
                 KAFKA_NONE);
    cr_assert_eq(a.log_append_time_ms, now);
    cr_assert_eq(scratch_append(s.log, APPEND_CDC, &(struct batch_spec){.timestamp_ms = 1, .count = 3}, &a),
                 KAFKA_NONE);
    cr_assert_eq(scratch_read_all(s.log, 0, READ_LOG_END), 6);
    cr_assert_eq(partition_log_offset_for_time(s.log, 2, &offset, &timestamp, &epoch), KAFKA_NONE);
    cr_assert_eq(offset, 0);
    cr_assert_eq(timestamp, now);
    struct log_read r;
    cr_assert_eq(partition_log_read(s.log, 0, 1, true, READ_UNCOMMITTED, &r), KAFKA_NONE);
    uint8_t *bytes = scratch_bytes(&r);
    cr_assert_eq(bytes[RECORD_BATCH_AT_ATTRIBUTES + 1] & RECORD_BATCH_CODEC_MASK, COMPRESSION_ZSTD);
    free(bytes);
    log_read_done(&r);
    s.config.cleanup_compact = true;
    partition_log_configure(s.log, &s.config);
    cr_assert_eq(scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){.no_key = true, .count = 2}, &a),
                 KAFKA_INVALID_RECORD);
    cr_assert_eq(a.record_errors_count, 2);
    cr_assert_eq(a.record_errors[1].index, 1);
    cr_assert(a.error_message);
    scratch_done(&s);
}
