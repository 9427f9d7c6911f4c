/* verify: what is whole is told to be whole, what is damaged is found and named; in a directory of a real Kafka 4.1.1 and in one of
 * ours. A bit is turned in each byte of each file. */
#include "storage/verify.h"
#include "tests/lib/wait.h"
#include "tests/unit/storage/scratch.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct told {
    uint32_t damages, notes;
    char path[300]; /* of the first one */
    int64_t position;
    char what[200];
};

static void damage(void *arg, const struct verify_finding *f)
{
    struct told *t = arg;
    if (t->damages++) return;
    snprintf(t->path, sizeof t->path, "%s", f->path);
    snprintf(t->what, sizeof t->what, "%s", f->what);
    t->position = f->position;
}

static void note(void *arg, const struct verify_finding *f)
{
    ((struct told *)arg)->notes++;
}

static struct told look(const char *path)
{
    struct told t = {0};
    struct verify v = {.damage = damage, .note = note, .arg = &t};
    cr_assert_eq(verify_path(&v, path), 0, "%s", path);
    cr_assert_eq(v.damages, t.damages);
    return t;
}

static void assert_whole(const char *path)
{
    struct told t = look(path);
    cr_assert_eq(t.damages, 0, "%s at %lld: %s", t.path, (long long)t.position, t.what);
}

static void flip(const char *path, int64_t position, uint8_t bit)
{
    uint8_t byte;
    int fd = open(path, O_RDWR);
    cr_assert_eq(pread(fd, &byte, 1, position), 1);
    byte ^= (uint8_t)(1 << bit);
    cr_assert_eq(pwrite(fd, &byte, 1, position), 1);
    close(fd);
}

static void kafka_data(struct scratch *s, char *ret_data)
{
    char command[400];
    scratch_init(s);
    snprintf(command, sizeof command, "tar xzf '%s' -C %s", KAFKA_DATADIR, s->path);
    cr_assert_eq(system(command), 0);
    sprintf(ret_data, "%s/sample-datadir/data", s->path);
}

static bool is_binary(const char *name)
{
    static const char *const endings[] = {".log", ".index", ".timeindex", ".txnindex", ".snapshot"};
    for (uint32_t i = 0; i < countof(endings); i++)
        if (strstr(name, endings[i])) return true;
    return false;
}

/* One bit in each byte, in turn. The damage must be told of this file, or, where an index and its log contradict each other, of the
 * other one of the two. *missed: an entry of Kafka's .index may name the last offset of any batch behind its position, so that one
 * such offset for another is none. Returns how many. */
static uint32_t flip_all(const char *folder, const char *name, uint32_t *missed)
{
    char path[400];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    cr_assert_eq(stat(path, &st), 0);
    for (int64_t i = 0; i < st.st_size; i++) {
        uint8_t bit = (uint8_t)((i * 5 + 3) % 8);
        flip(path, i, bit);
        struct told t = look(folder);
        if (!t.damages && missed && strstr(name, ".index")) {
            ++*missed;
            flip(path, i, bit);
            continue;
        }
        cr_assert_gt(t.damages, 0, "%s: bit %d of byte %lld is not found", path, bit, (long long)i);
        bool same = !strcmp(t.path, path);
        cr_assert(same || is_binary(name) || strstr(name, "checkpoint"), "%s for %s", t.path, path);
        if (strstr(name, ".snapshot") || strstr(name, "index")) cr_assert(same, "%s for %s", t.path, path);
        flip(path, i, bit);
    }
    return (uint32_t)st.st_size;
}

static uint32_t flip_folders(const char *data, uint32_t *missed)
{
    struct dirent **folders, **files;
    uint32_t flips = 0;
    int folders_count = scandir(data, &folders, NULL, alphasort);
    for (int i = 0; i < folders_count; i++) {
        char folder[400];
        struct stat st;
        snprintf(folder, sizeof folder, "%s/%s", data, folders[i]->d_name);
        bool partition = folders[i]->d_name[0] != '.' && !stat(folder, &st) && S_ISDIR(st.st_mode);
        free(folders[i]);
        if (!partition) continue;
        int files_count = scandir(folder, &files, NULL, alphasort);
        for (int k = 0; k < files_count; k++) {
            if (is_binary(files[k]->d_name)) flips += flip_all(folder, files[k]->d_name, missed);
            free(files[k]);
        }
        free(files);
        assert_whole(folder);
    }
    free(folders);
    return flips;
}

Test(verify, every_bit_in_kafkas_files_counts, .timeout = 120)
{
    struct scratch s;
    char data[200];
    uint32_t missed = 0;
    kafka_data(&s, data);
    assert_whole(data);
    cr_assert_gt(flip_folders(data, &missed), 9000);
    cr_assert_leq(missed, 2);
    scratch_remove_tree(s.path);
}

/* A directory of ours, with several segments, transactions that were aborted, and compressed batches. */
static void ours(struct scratch *s, bool stop)
{
    scratch_init(s);
    s->config.segment_bytes = 700;
    s->config.index_interval_bytes = 100;
    scratch_open(s);
    for (int i = 0; i < 12; i++) {
        struct log_append a;
        cr_assert_eq(scratch_append(s->log, APPEND_CLIENT,
                                    &(struct batch_spec){.count = 3,
                                                         .timestamp_ms = 1000 + i,
                                                         .value_bytes = 60,
                                                         .producer = true,
                                                         .producer_id = 5,
                                                         .base_sequence = 3 * i,
                                                         .transactional = true,
                                                         .codec = i % 2 ? COMPRESSION_LZ4 : COMPRESSION_NONE},
                                    &a),
                     KAFKA_NONE);
        if (i % 3 == 2) cr_assert_eq(scratch_end_txn(s->log, 5, 0, i % 2), KAFKA_NONE);
    }
    if (stop) scratch_close(s);
}

Test(verify, every_bit_in_our_files_counts, .timeout = 120)
{
    struct scratch s;
    ours(&s, true);
    assert_whole(s.path);
    cr_assert_gt(flip_folders(s.path, NULL), 2000);
    scratch_done(&s);
}

Test(verify, small_files_are_looked_at)
{
    static const char *const names[] = {"recovery-point-offset-checkpoint",
                                        "log-start-offset-checkpoint",
                                        "replication-offset-checkpoint",
                                        "cleaner-offset-checkpoint",
                                        "meta.properties",
                                        ".kafka_cleanshutdown",
                                        "plain-0/partition.metadata",
                                        "plain-0/leader-epoch-checkpoint",
                                        "__cluster_metadata-0/quorum-state",
                                        "__cluster_metadata-0/00000000000000000000-0000000000.checkpoint",
                                        "bootstrap.checkpoint"};
    static const char *const our_names[] = {"ottla.format", "ottla.partitions", "t-0/partition.metadata"};
    struct scratch s;
    char data[200], path[300];
    kafka_data(&s, data);
    for (uint32_t i = 0; i < countof(names); i++) {
        int64_t at = strcmp(names[i], "meta.properties") ? 0 : 33; /* behind the comment */
        snprintf(path, sizeof path, "%s/%s", data, names[i]);
        flip(path, at, 6);
        struct told t = look(data);
        cr_assert_geq(t.damages, 1, "%s", names[i]);
        cr_assert_str_eq(t.path, path);
        cr_assert_geq(look(path).damages, 1, "the file alone");
        flip(path, at, 6);
    }
    assert_whole(data);
    scratch_remove_tree(s.path);
    ours(&s, true);
    for (uint32_t i = 0; i < countof(our_names); i++) {
        snprintf(path, sizeof path, "%s/%s", s.path, our_names[i]);
        flip(path, 3, 4);
        struct told t = look(s.path);
        cr_assert_eq(t.damages, 1, "%s: %u", our_names[i], t.damages);
        cr_assert_str_eq(t.path, path);
        flip(path, 3, 4);
    }
    scratch_done(&s);
}

Test(verify, missing_segments_and_batches_behind_damage_are_told)
{
    struct scratch s;
    char folder[200], path[300];
    ours(&s, true);
    snprintf(folder, sizeof folder, "%s/t-0", s.path);
    /* Two batches in different segments: both are told, with their positions. */
    strcpy(path, scratch_file(&s, 0, ".log"));
    flip(path, 100, 1);
    struct told t = look(folder);
    cr_assert_eq(t.damages, 1);
    cr_assert_eq(t.position, 0);
    cr_assert(strstr(t.what, "checksum of the batch of offsets 0 to 2"), "%s", t.what);
    /* A length that leads nowhere takes no other batch with it but those up to the next entry of the index. */
    flip(path, 8, 5);
    t = look(folder);
    cr_assert_leq(t.damages, 2);
    flip(path, 8, 5);
    flip(path, 100, 1);
    cr_assert_eq(unlink(path), 0);
    assert_whole(folder); /* a beginning that is gone is what retention leaves */
    struct dirent **files;
    int count = scandir(folder, &files, NULL, alphasort), logs = 0;
    for (int i = 0; i < count; i++) {
        if (strstr(files[i]->d_name, ".log") && logs++ == 1) {
            snprintf(path, sizeof path, "%s/%s", folder, files[i]->d_name);
            cr_assert_eq(unlink(path), 0);
        }
        free(files[i]);
    }
    free(files);
    cr_assert_geq(logs, 3);
    t = look(folder);
    cr_assert_geq(t.damages, 1);
    cr_assert(strstr(t.what, "missing in front of it"), "%s", t.what);
    scratch_done(&s);
}

/* A broker runs, or was killed: the end of an append that is not there yet is no damage; behind a clean stop it is. */
Test(verify, a_torn_tail_is_damage_only_where_it_was_durable)
{
    struct scratch s;
    struct told t;
    ours(&s, false);
    assert_whole(s.path);
    const char *path = scratch_file(&s, log_active(s.log)->base_offset, ".log");
    cr_assert_eq(truncate(path, scratch_file_size(path) - 5), 0);
    t = look(s.path);
    cr_assert_eq(t.damages, 0, "%s", t.what);
    cr_assert_eq(t.notes, 1);
    scratch_kill(&s);
    t = look(s.path);
    cr_assert_eq(t.damages, 0);
    cr_assert_eq(look(scratch_file(&s, 0, ".log")).damages, 0);
    scratch_done(&s);

    ours(&s, true);
    int fd = open(scratch_file(&s, 0, ".log"), O_WRONLY | O_APPEND);
    cr_assert_eq(write(fd, "torn", 4), 4);
    close(fd);
    t = look(s.path);
    cr_assert_eq(t.damages, 1);
    scratch_done(&s);
}

Test(verify, what_is_no_file_of_ours_is_refused)
{
    struct verify v = {.damage = damage};
    cr_assert_eq(verify_path(&v, "/nowhere"), -ENOENT);
    cr_assert_eq(verify_path(&v, "/etc/passwd"), -EINVAL);
}

/* Everything that is written to standard error while this runs. */
static char *stderr_of(void (*run)(struct log_dir *), struct log_dir *dir)
{
    static char text[20000];
    FILE *file = tmpfile();
    int before = dup(STDERR_FILENO);

    cr_assert(file && before >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    run(dir);
    cr_assert_geq(dup2(before, STDERR_FILENO), 0);
    close(before);
    ssize_t n = pread(fileno(file), text, sizeof text - 1, 0);
    cr_assert_geq(n, 0);
    text[n] = '\0';
    fclose(file);
    return text;
}

Test(verify, the_scrub_tells_damage_once_and_what_lies_around_it_is_served)
{
    struct scratch s;
    struct log_read r;
    uint64_t bytes, damages;
    char where[300];

    ours(&s, false);
    log_dir_scrub(s.dir);
    log_dir_scrub_counts(s.dir, &bytes, &damages);
    cr_assert_eq(damages, 0);
    cr_assert_geq(bytes, partition_log_size(s.log));
    cr_assert_geq(s.log->segments_count, 3);
    int64_t hurt = s.log->segments[1]->base_offset;
    flip(scratch_file(&s, hurt, ".log"), 100, 2); /* in the second batch: the first is a marker of 78 bytes */
    snprintf(where, sizeof where, "file=%s position=78 ", scratch_file(&s, hurt, ".log"));
    const char *text = stderr_of(log_dir_scrub, s.dir);
    cr_assert(strstr(text, where), "%s", text);
    cr_assert_str_empty(stderr_of(log_dir_scrub, s.dir), "it is told once");
    log_dir_scrub_counts(s.dir, &bytes, &damages);
    cr_assert_eq(damages, 1);
    for (uint32_t i = 0; i < s.log->segments_count; i++) {
        int64_t offset = s.log->segments[i]->base_offset;
        cr_assert_eq(partition_log_read(s.log, offset, 1, true, READ_LOG_END, &r), KAFKA_NONE);
        cr_assert_eq(r.base_offset, offset);
        log_read_done(&r);
    }
    scratch_fill(s.log, 1, 100, 5000);
    scratch_done(&s);
}

Test(verify, the_scrub_reads_no_faster_than_it_may)
{
    struct scratch s;
    uint64_t bytes, damages;

    ours(&s, true);
    s.options.scrub_bytes_per_second = 200000;
    scratch_open(&s);
    int64_t begin_ms = clock_mono_ms(&clock_system);
    log_dir_scrub(s.dir);
    int64_t ms = clock_mono_ms(&clock_system) - begin_ms;
    log_dir_scrub_counts(s.dir, &bytes, &damages);
    cr_assert_gt(bytes, 0);
    cr_assert_geq(ms + 2, (int64_t)(bytes * 1000 / 200000), "%lld ms for %llu bytes", (long long)ms,
                  (unsigned long long)bytes);
    scratch_done(&s);
}

static void *scrub_in_thread(void *arg)
{
    log_dir_scrub(arg);
    return NULL;
}

/* A round of years has begun: nobody waits for it. */
Test(verify, appends_reads_and_the_stop_do_not_wait_for_the_scrub, .timeout = 60)
{
    struct scratch s;
    struct log_read r;
    uint64_t bytes, damages;
    pthread_t thread;

    ours(&s, true);
    s.options.scrub_bytes_per_second = 1;
    scratch_open(&s);
    cr_assert_eq(pthread_create(&thread, NULL, scrub_in_thread, s.dir), 0);
    cr_assert(WAIT_UNTIL((log_dir_scrub_counts(s.dir, &bytes, &damages), bytes > 0)));
    int64_t end = partition_log_marks(s.log).log_end;
    scratch_fill(s.log, 50, 100, 5000);
    cr_assert_eq(partition_log_read(s.log, end, 1, true, READ_LOG_END, &r), KAFKA_NONE);
    log_read_done(&r);
    cr_assert_eq(log_dir_write_checkpoints(s.dir), 0);
    scrubber_stop(s.dir);
    pthread_join(thread, NULL);
    scratch_done(&s);
}

struct rounds {
    struct log_dir *dir;
    atomic_bool stop;
    uint32_t count;
};

static void *scrub_rounds(void *arg)
{
    struct rounds *r = arg;
    for (; !atomic_load(&r->stop); r->count++) log_dir_scrub(r->dir);
    return NULL;
}

/* What is written, rolled, compacted and deleted under its eyes is no damage. */
Test(verify, the_scrub_of_a_busy_log_tells_nothing, .timeout = 120)
{
    for (int compacted = 0; compacted < 2; compacted++) {
        struct scratch s;
        uint64_t bytes, damages;
        pthread_t thread;

        scratch_init(&s);
        s.config.segment_bytes = 20000;
        s.config.index_interval_bytes = 300;
        s.config.cleanup_compact = compacted;
        s.config.cleanup_delete = !compacted;
        s.config.min_cleanable_ratio = 0;
        s.config.retention_bytes = compacted ? -1 : 60000;
        s.config.file_delete_delay_ms = 0;
        scratch_open(&s);
        log_dir_serve(s.dir);
        struct rounds r = {.dir = s.dir};
        cr_assert_eq(pthread_create(&thread, NULL, scrub_rounds, &r), 0);
        for (int i = 0; i < 60; i++) {
            scratch_fill(s.log, 60, 100, 1000 + i);
            if (i % 4 == 0) log_dir_clean(s.dir);
            log_dir_check_retention(s.dir);
            if (i % 8 == 0) cr_assert_eq(log_dir_write_checkpoints(s.dir), 0);
        }
        atomic_store(&r.stop, true);
        pthread_join(thread, NULL);
        log_dir_scrub_counts(s.dir, &bytes, &damages);
        cr_assert_gt(r.count, 3);
        cr_assert_eq(damages, 0, "%d: %llu in %u rounds", compacted, (unsigned long long)damages, r.count);
        scratch_done(&s);
    }
}

/* The checkpoints that follow a pass come some seconds later. */
Test(verify, a_compacted_log_is_whole_when_the_process_is_killed_after_its_first_pass)
{
    struct scratch s;

    scratch_init(&s);
    s.config.segment_bytes = 2000;
    s.config.cleanup_compact = true;
    s.config.cleanup_delete = false;
    s.config.min_cleanable_ratio = 0;
    s.config.file_delete_delay_ms = 0;
    scratch_open(&s);
    for (int i = 0; i < 20; i++) scratch_fill(s.log, 5, 100, 1000 + i);
    uint64_t size = partition_log_size(s.log);
    cr_assert_gt(log_dir_clean(s.dir), 0);
    cr_assert_lt(partition_log_size(s.log), size);
    assert_whole(s.path);
    scratch_kill(&s);
    assert_whole(s.path);
    scratch_remove_tree(s.path);
}

/* The last batch of a producer stays without its records, and keeps their time in its header: no index counts it. */
Test(verify, the_time_of_a_batch_that_compaction_has_emptied_is_nobodys)
{
    struct scratch s;
    struct log_append a;

    scratch_init(&s);
    s.config.segment_bytes = 2000;
    s.config.cleanup_compact = true;
    s.config.cleanup_delete = false;
    s.config.min_cleanable_ratio = 0;
    s.config.file_delete_delay_ms = 0;
    scratch_open(&s);
    const struct batch_spec emptied = {.producer = true, .producer_id = 1, .timestamp_ms = 9000};
    const struct batch_spec kept = {.count = 2, .timestamp_ms = 1000}; /* its second key is not written again */
    cr_assert_eq(scratch_append(s.log, APPEND_CLIENT, &emptied, &a), KAFKA_NONE);
    cr_assert_eq(scratch_append(s.log, APPEND_CLIENT, &kept, &a), KAFKA_NONE);
    scratch_fill(s.log, 60, 100, 2000);
    cr_assert_gt(log_dir_clean(s.dir), 0);
    assert_whole(s.path);
    scratch_close(&s);
    assert_whole(s.path);
    scratch_remove_tree(s.path);
}

/* Kafka's answer too: the batch whose length cannot be believed is CORRUPT_MESSAGE; the ones before it are served, as are
 * those from the next entry of the index on. */
Test(verify, a_batch_without_a_length_takes_no_other_with_it)
{
    struct scratch s;
    struct log_read r;
    struct log_append a;
    int64_t position[6], served = 0, corrupt = 0;
    scratch_init(&s);
    s.config.index_interval_bytes = 1;
    scratch_open(&s);
    for (int i = 0; i < 6; i++) {
        position[i] = (int64_t)partition_log_size(s.log);
        cr_assert_eq(
            scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){.timestamp_ms = 1000, .value_bytes = 100}, &a),
            KAFKA_NONE);
    }
    flip(scratch_file(&s, 0, ".log"), position[3] + RECORD_BATCH_AT_LENGTH, 7); /* negative */
    for (int i = 0; i < 6; i++) {
        enum kafka_error error = partition_log_read(s.log, i, 300, true, READ_LOG_END, &r);
        cr_assert_eq(error, i == 3 ? KAFKA_CORRUPT_MESSAGE : KAFKA_NONE, "offset %d: %s", i, kafka_error_text(error));
        if (error == KAFKA_NONE) served++, log_read_done(&r);
        else corrupt++;
    }
    cr_assert(served == 5 && corrupt == 1);
    scratch_done(&s);
}
