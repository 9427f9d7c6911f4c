/* What a start finds after a stop of any kind, and what it makes of it. */
#include "tests/lib/log_model.h"
#include "tests/unit/storage/scratch.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Fills a log with equal batches and kills it, after a checkpoint at `durable` batches. Returns the size of one batch. */
static uint32_t killed_log(struct scratch *s, uint32_t durable, uint32_t batches)
{
    scratch_open(s);
    scratch_fill(s->log, durable, 100, 1000);
    cr_assert_eq(partition_log_sync(&s->log, 1), 0);
    cr_assert_eq(log_dir_write_checkpoints(s->dir), 0);
    scratch_fill(s->log, batches - durable, 100, 1000);
    uint32_t size = (uint32_t)(partition_log_size(s->log) / batches);
    scratch_kill(s);
    return size;
}

Test(log_recovery, a_tail_torn_at_any_byte_is_cut_to_whole_batches)
{
    struct scratch s;
    scratch_init(&s);
    uint32_t batch = killed_log(&s, 0, 5);
    for (uint32_t cut = 5 * batch - 1; cut > 3 * batch; cut--) {
        cr_assert_eq(truncate(scratch_file(&s, 0, ".log"), cut), 0);
        scratch_open(&s);
        int64_t end = partition_log_marks(s.log).log_end;
        cr_assert_eq(end, cut / batch);
        cr_assert_eq(scratch_read_all(s.log, 0, READ_UNCOMMITTED), end);
        cr_assert_eq(scratch_file_size(scratch_file(&s, 0, ".log")), end * batch);
        scratch_fill(s.log, 1, 100, 1000);
        cr_assert_eq(scratch_read_all(s.log, 0, READ_UNCOMMITTED), end + 1);
        scratch_kill(&s);
    }
    scratch_done(&s);
}

Test(log_recovery, garbage_behind_the_last_batch_is_cut)
{
    struct scratch s;
    uint64_t seed = 88172645463325252;
    scratch_init(&s);
    uint32_t batch = killed_log(&s, 2, 4);
    for (int i = 0; i < 60; i++) {
        uint8_t garbage[300] = {0};
        uint32_t len = 1 + scratch_random(&seed) % sizeof garbage;
        if (i % 3)
            for (uint32_t j = 0; j < len; j++) garbage[j] = (uint8_t)scratch_random(&seed);
        int fd = open(scratch_file(&s, 0, ".log"), O_RDWR);
        cr_assert_eq(pwrite(fd, garbage, len, 4 * batch), (ssize_t)len);
        close(fd);
        scratch_open(&s);
        cr_assert_eq(partition_log_marks(s.log).log_end, 4);
        scratch_kill(&s);
        cr_assert_eq(scratch_file_size(scratch_file(&s, 0, ".log")), 4 * batch);
    }
    scratch_done(&s);
}

static void flip(const char *path, uint32_t position)
{
    uint8_t byte;
    int fd = open(path, O_RDWR);
    cr_assert_eq(pread(fd, &byte, 1, position), 1);
    byte ^= 0x10;
    cr_assert_eq(pwrite(fd, &byte, 1, position), 1);
    close(fd);
}

Test(log_recovery, a_damaged_batch_above_the_recovery_point_ends_the_log_there)
{
    struct scratch s;
    scratch_init(&s);
    uint32_t batch = killed_log(&s, 2, 6);
    flip(scratch_file(&s, 0, ".log"), 3 * batch + 80);
    scratch_open(&s);
    cr_assert_eq(partition_log_marks(s.log).log_end, 3);
    cr_assert_eq(scratch_read_all(s.log, 0, READ_UNCOMMITTED), 3);
    scratch_done(&s);
}

Test(log_recovery, damage_below_the_recovery_point_takes_the_partition_offline_and_changes_nothing)
{
    struct scratch s;
    struct err err = ERR_NONE;
    scratch_init(&s);
    uint32_t batch = killed_log(&s, 4, 6);
    flip(scratch_file(&s, 0, ".log"), 2 * batch + RECORD_BATCH_AT_LENGTH + 1);
    cr_assert_eq(scratch_try_open(&s, &err), -EBADMSG);
    cr_assert(strstr(err.text, "00000000000000000000.log"), "%s", err.text);
    char position[30];
    snprintf(position, sizeof position, "byte %u ", 2 * batch);
    cr_assert(strstr(err.text, position), "%s", err.text);
    log_dir_close(s.dir);
    cr_assert_eq(scratch_file_size(scratch_file(&s, 0, ".log")), 6 * batch);
    /* It stays so: a stop without this partition is not a clean one. */
    cr_assert_eq(scratch_try_open(&s, &err), -EBADMSG);
    log_dir_close(s.dir);

    /* A file that lost what was durable. */
    cr_assert_eq(truncate(scratch_file(&s, 0, ".log"), 2 * batch), 0);
    cr_assert_eq(scratch_try_open(&s, &err), -EBADMSG);
    cr_assert_eq(scratch_file_size(scratch_file(&s, 0, ".log")), 2 * batch);
    log_dir_close(s.dir);
    s.dir = NULL;
    scratch_done(&s);
}

Test(log_recovery, segments_behind_a_hole_are_removed)
{
    struct scratch s;
    scratch_init(&s);
    s.config.segment_bytes = 1000;
    uint32_t batch = killed_log(&s, 2, 40);
    uint32_t per_segment = 1000 / batch;
    /* The second segment loses its last batch, as when its size was never written. */
    cr_assert_eq(truncate(scratch_file(&s, per_segment, ".log"), (off_t)(per_segment - 1) * batch), 0);
    scratch_open(&s);
    int64_t end = 2 * per_segment - 1;
    cr_assert_eq(partition_log_marks(s.log).log_end, end);
    cr_assert_eq(scratch_read_all(s.log, 0, READ_UNCOMMITTED), end);
    cr_assert_eq(scratch_file_size(scratch_file(&s, 2 * per_segment, ".log")), -1);
    cr_assert_eq(scratch_file_size(scratch_file(&s, 2 * per_segment, ".snapshot")), -1);
    scratch_fill(s.log, 30, 100, 1000);
    scratch_kill(&s);
    scratch_open(&s);
    cr_assert_eq(scratch_read_all(s.log, 0, READ_UNCOMMITTED), end + 30);
    scratch_done(&s);
}

static void add_zeros(const char *path, int64_t size)
{
    cr_assert_eq(truncate(path, size + 5000), 0); /* a hole reads as zeros */
}

Test(log_recovery, zeros_behind_the_end_of_a_closed_segment_are_no_damage)
{
    for (int durable = 2; durable <= 40; durable += 38) { /* below the recovery point, and above */
        struct scratch s;
        scratch_init(&s);
        s.config.segment_bytes = 1000;
        uint32_t batch = killed_log(&s, (uint32_t)durable, 40);
        uint32_t per_segment = 1000 / batch;
        add_zeros(scratch_file(&s, per_segment, ".log"), per_segment * batch);
        cr_assert_eq(unlink(scratch_file(&s, per_segment, ".index")), 0); /* else nobody looks at it below */
        scratch_open(&s);
        cr_expect_eq(partition_log_marks(s.log).log_end, 40);
        cr_expect_eq(scratch_read_all(s.log, 0, READ_UNCOMMITTED), 40);
        cr_expect_eq(scratch_file_size(scratch_file(&s, per_segment, ".log")), per_segment * batch);
        scratch_done(&s);
    }
}

Test(log_recovery, zeros_in_the_place_of_durable_records_are_damage)
{
    struct scratch s;
    struct err err = ERR_NONE;
    scratch_init(&s);
    s.config.segment_bytes = 1000;
    uint32_t batch = killed_log(&s, 40, 40);
    uint32_t per_segment = 1000 / batch;
    const char *path = scratch_file(&s, per_segment, ".log");
    cr_assert_eq(truncate(path, (off_t)(per_segment - 1) * batch), 0);
    add_zeros(path, (int64_t)(per_segment - 1) * batch);
    cr_assert_eq(unlink(scratch_file(&s, per_segment, ".index")), 0);
    cr_expect_eq(scratch_try_open(&s, &err), -EBADMSG);
    log_dir_close(s.dir);
    s.dir = NULL;
    scratch_done(&s);
}

/* A clean start believes the files; who reads the damaged one must hear of it, and the others are served. */
Test(log_recovery, a_damaged_segment_is_an_error_to_its_readers)
{
    static const int lengths[] = {0, 5, 200};

    for (int round = 0; round < 3; round++) {
        struct scratch s;
        struct log_read r;
        scratch_init(&s);
        s.config.segment_bytes = 2000;
        scratch_open(&s);
        scratch_fill(s.log, 100, 100, 1000);
        int64_t second = s.log->segments[1]->base_offset, third = s.log->segments[2]->base_offset;
        scratch_close(&s);
        int fd = open(scratch_file(&s, second, ".log"), O_RDWR | O_TRUNC);
        for (int i = 0; i < lengths[round]; i++) cr_assert_eq(write(fd, "x", 1), 1);
        close(fd);
        scratch_open(&s);
        cr_assert_eq(partition_log_read(s.log, second - 1, 1000, true, READ_UNCOMMITTED, &r), KAFKA_NONE);
        log_read_done(&r);
        cr_assert_eq(partition_log_read(s.log, second, 1000, true, READ_UNCOMMITTED, &r), KAFKA_CORRUPT_MESSAGE);
        cr_assert_eq(partition_log_read(s.log, third, 1000, true, READ_UNCOMMITTED, &r), KAFKA_NONE);
        cr_assert(r.file);
        log_read_done(&r);
        scratch_close(&s);
        scratch_done(&s);
    }
}

Test(log_recovery, missing_or_damaged_indexes_are_made_anew)
{
    static const char *const suffixes[] = {".index", ".timeindex", ".snapshot"};
    struct scratch s;
    scratch_init(&s);
    s.config.segment_bytes = 20000;
    s.config.index_interval_bytes = 500;
    scratch_open(&s);
    scratch_fill(s.log, 300, 200, 1000);
    uint32_t segments = s.log->segments_count;
    int64_t bases[40];
    for (uint32_t i = 0; i < segments; i++) bases[i] = s.log->segments[i]->base_offset;
    scratch_close(&s);
    for (int round = 0; round < 6; round++) {
        for (uint32_t i = 0; i < segments; i++) {
            const char *path = scratch_file(&s, bases[i], suffixes[round % 3]);
            if (scratch_file_size(path) < 0) continue;
            if (round < 3 || round == 5) {
                cr_assert_eq(unlink(path), 0);
            } else {
                int fd = open(path, O_RDWR);
                cr_assert_eq(pwrite(fd, "garbage!garbage!garbage!", 24, 8 * round), 24);
                close(fd);
            }
        }
        scratch_open(&s);
        cr_assert_eq(partition_log_marks(s.log).log_end, 300);
        cr_assert_eq(scratch_read_all(s.log, 0, READ_UNCOMMITTED), 300);
        for (int64_t offset = 0; offset < 300; offset++) {
            struct log_read r;
            cr_assert_eq(partition_log_read(s.log, offset, 100, true, READ_UNCOMMITTED, &r), KAFKA_NONE);
            cr_assert_eq(r.base_offset, offset);
            log_read_done(&r);
        }
        scratch_close(&s);
    }
    scratch_done(&s);
}

Test(log_recovery, a_clean_start_does_not_touch_the_folders)
{
    struct scratch s;
    scratch_init(&s);
    scratch_open(&s);
    scratch_fill(s.log, 10, 100, 1000);
    scratch_close(&s);
    scratch_open(&s);
    cr_assert_not(s.log->loaded);
    cr_assert_eq(partition_log_marks(s.log).log_end, 10);
    cr_assert_eq(partition_log_marks(s.log).high_watermark, 10);
    scratch_close(&s);
    scratch_open(&s);
    cr_assert_not(s.log->loaded);
    scratch_fill(s.log, 1, 100, 1000);
    cr_assert_eq(scratch_read_all(s.log, 0, READ_UNCOMMITTED), 11);
    scratch_close(&s);

    /* Another program has stopped cleanly here since: its mark does not vouch for our list. */
    char path[200];
    snprintf(path, sizeof path, "%s/.kafka_cleanshutdown", s.path);
    FILE *f = fopen(path, "w");
    fputs("{\"version\":0,\"brokerEpoch\":12}", f);
    fclose(f);
    scratch_open(&s);
    cr_assert(log_dir_was_clean(s.dir));
    cr_assert(s.log->loaded);
    cr_assert_eq(partition_log_marks(s.log).log_end, 11);
    scratch_done(&s);
}

Test(log_recovery, a_topic_made_anew_under_its_name_starts_empty)
{
    struct scratch s;
    struct err err = ERR_NONE;
    scratch_init(&s);
    scratch_open(&s);
    scratch_fill(s.log, 50, 100, 1000);
    cr_assert_eq(partition_log_sync(&s.log, 1), 0);
    cr_assert_eq(log_dir_write_checkpoints(s.dir), 0);
    cr_assert_eq(log_dir_delete_log(s.dir, s.log), 0);
    partition_log_unref(s.log);
    s.topic_id.bytes[0]++;
    cr_assert_eq(log_dir_open_log(s.dir, "t", 0, s.topic_id, &s.config, &s.log, &err), 0, "%s", err.text);
    cr_assert_eq(partition_log_marks(s.log).log_end, 0);
    scratch_fill(s.log, 3, 100, 1000);
    scratch_kill(&s);
    cr_assert_eq(truncate(scratch_file(&s, 0, ".log"), scratch_file_size(scratch_file(&s, 0, ".log")) - 1), 0);
    scratch_open(&s);
    cr_assert_eq(partition_log_marks(s.log).log_end, 2, "the old topic's recovery point does not count");

    /* A folder of another topic id is set aside. */
    scratch_close(&s);
    s.topic_id.bytes[0]++;
    scratch_open(&s);
    cr_assert_eq(partition_log_marks(s.log).log_end, 0);
    scratch_done(&s);
}

static atomic_int folder_syncs;

static int counting_fsync(int fd)
{
    atomic_fetch_add(&folder_syncs, 1);
    return io_posix.fsync(fd);
}

/* One after the other took 25 s with ten thousand of them. */
Test(log_recovery, many_partitions_without_news_are_opened_without_a_sync_or_a_removal_for_each)
{
    struct scratch s;
    struct io_ops io = io_posix;
    struct partition_log *logs[50];
    struct err err = ERR_NONE;
    char path[200];

    io.fsync = counting_fsync;
    scratch_init(&s);
    s.options.io = &io;
    for (int start = 0; start < 4; start++) {
        cr_assert_eq(log_dir_open(&s.options, &s.dir, &err), 0);
        atomic_store(&folder_syncs, 0);
        for (int i = 0; i < (int)countof(logs); i++) {
            cr_assert_eq(log_dir_open_log(s.dir, "many", i, s.topic_id, &s.config, &logs[i], &err), 0);
            if (start == 0) scratch_fill(logs[i], 1, 100, 1000);
        }
        if (start > 1) cr_assert_eq(atomic_load(&folder_syncs), 0, "start %d", start);
        for (int i = 0; i < (int)countof(logs); i++) partition_log_unref(logs[i]);
        if (start == 0) log_dir_close(s.dir);
        else log_dir_abandon(s.dir);
    }
    snprintf(path, sizeof path, "%s/many-0/00000000000000000001.snapshot", s.path);
    cr_assert_eq(access(path, F_OK), 0, "the clean stop's is left alone");
    scratch_remove_tree(s.path);
}

/* Readers see no less than before the crash; the syncs of many logs go on beside each other. */
Test(log_recovery, what_strict_logs_had_is_durable_before_readers_are_let_in)
{
    struct scratch s;
    struct partition_log *logs[20];
    struct err err = ERR_NONE;

    scratch_init(&s);
    s.config.strict = true;
    for (int start = 0; start < 2; start++) {
        cr_assert_eq(log_dir_open(&s.options, &s.dir, &err), 0);
        for (int i = 0; i < (int)countof(logs); i++) {
            cr_assert_eq(log_dir_open_log(s.dir, "strict", i, s.topic_id, &s.config, &logs[i], &err), 0);
            if (start == 0) scratch_fill(logs[i], 3, 100, 1000);
        }
        cr_assert_eq(log_dir_sync_found(s.dir), 0);
        for (int i = 0; i < (int)countof(logs); i++) {
            cr_assert_eq(partition_log_marks(logs[i]).high_watermark, 3);
            partition_log_unref(logs[i]);
        }
        log_dir_abandon(s.dir);
    }
    scratch_remove_tree(s.path);
}

static int longest_name(const char *path, const char *ending)
{
    DIR *d = opendir(path);
    size_t longest = 0;
    cr_assert_not_null(d);
    for (struct dirent *e; (e = readdir(d));)
        if (text_ends_with(e->d_name, ending)) longest = MAX(longest, strlen(e->d_name));
    closedir(d);
    return (int)longest;
}

/* The name leaves no room for what is put behind it when the folder is renamed: it is cut, and that which is put there is not. */
Test(log_recovery, the_longest_name_that_a_folder_can_have_is_served_set_aside_and_deleted)
{
    struct scratch s;
    struct err err = ERR_NONE;
    struct partition_log *log;
    char topic[256] = {0};

    memset(topic, 'n', 254);
    scratch_init(&s);
    s.config.file_delete_delay_ms = 3600 * 1000;
    scratch_open(&s);
    cr_assert_eq(log_dir_open_log(s.dir, topic, 0, s.topic_id, &s.config, &log, &err), -EINVAL);
    topic[253] = '\0'; /* 255 bytes with -0: NAME_MAX */
    for (int round = 0; round < 2; round++) {
        cr_assert_eq(log_dir_open_log(s.dir, topic, 0, s.topic_id, &s.config, &log, &err), 0, "%s", err.text);
        cr_assert_eq(partition_log_marks(log).log_end, 0, "another topic's records are not this one's");
        scratch_fill(log, 3, 100, 1000);
        partition_log_unref(log);
        scratch_close(&s);
        if (round == 0) s.topic_id.bytes[0]++;
        scratch_open(&s);
    }
    cr_assert_eq(longest_name(s.path, "-stray"), NAME_MAX);
    cr_assert_eq(log_dir_open_log(s.dir, topic, 0, s.topic_id, &s.config, &log, &err), 0, "%s", err.text);
    cr_assert_eq(scratch_read_all(log, 0, READ_UNCOMMITTED), 3);
    cr_assert_eq(log_dir_delete_log(s.dir, log), 0);
    cr_assert_eq(longest_name(s.path, "-delete"), NAME_MAX);
    partition_log_unref(log);
    scratch_done(&s);
}

Test(log_recovery, a_directory_is_refused_with_its_reason)
{
    struct scratch s;
    struct err err = ERR_NONE;
    struct log_dir *second;
    char path[200];
    scratch_init(&s);
    scratch_open(&s);
    char cluster[64];
    strcpy(cluster, log_dir_cluster_id(s.dir));
    cr_assert_eq(log_dir_open(&s.options, &second, &err), -EBUSY);
    cr_assert(strstr(err.text, "another process"));
    scratch_close(&s);
    s.options.node_id = 2;
    cr_assert_eq(log_dir_open(&s.options, &second, &err), -EPERM);
    cr_assert(strstr(err.text, "node.id=1"), "%s", err.text);
    s.options.node_id = 1;
    snprintf(path, sizeof path, "%s/ottla.format", s.path);
    FILE *f = fopen(path, "w");
    fprintf(f, "version=%d\n", LOG_DIR_FORMAT_VERSION + 1);
    fclose(f);
    cr_assert_eq(log_dir_open(&s.options, &second, &err), -EPROTO);
    cr_assert(strstr(err.text, "newer"), "%s", err.text);
    f = fopen(path, "w");
    fprintf(f, "version=%d\n", LOG_DIR_FORMAT_VERSION);
    fclose(f);
    scratch_open(&s);
    cr_assert(log_dir_was_clean(s.dir), "a refused start leaves the mark alone");
    cr_assert_str_eq(log_dir_cluster_id(s.dir), cluster);
    scratch_done(&s);
}

static atomic_int renames;

static int counting_renameat(int dir_fd, const char *from, const char *to)
{
    atomic_fetch_add(&renames, 1);
    return io_posix.renameat(dir_fd, from, to);
}

/* A checkpoint written for each took minutes with ten thousand of them. */
Test(log_recovery, many_partitions_without_records_are_opened_without_a_write_for_each)
{
    struct scratch s;
    struct io_ops io = io_posix;
    struct partition_log *logs[50];
    struct err err = ERR_NONE;

    io.renameat = counting_renameat;
    scratch_init(&s);
    s.options.io = &io;
    for (int start = 0; start < 2; start++) {
        atomic_store(&renames, 0);
        cr_assert_eq(log_dir_open(&s.options, &s.dir, &err), 0);
        for (int i = 0; i < (int)countof(logs); i++)
            cr_assert_eq(log_dir_open_log(s.dir, "empty", i, s.topic_id, &s.config, &logs[i], &err), 0);
        cr_assert_leq(atomic_load(&renames), 5);
        cr_assert_eq(log_dir_write_checkpoints(s.dir), 0);
        for (int i = 0; i < (int)countof(logs); i++) partition_log_unref(logs[i]);
        log_dir_abandon(s.dir);
    }
    scratch_remove_tree(s.path);
}
