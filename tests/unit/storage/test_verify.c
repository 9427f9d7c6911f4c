/* verify: what is whole is told to be whole, what is damaged is found and named; in a directory of a real Kafka 4.1.1 and in one of
 * ours. A bit is turned in each byte of each file. */
#include "storage/verify.h"
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
