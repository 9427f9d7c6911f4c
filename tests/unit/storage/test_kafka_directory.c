/* A data directory of a real Kafka 4.1.1 (one node; tests/golden/kafka-datadir.tar.gz, made by its own tools) is opened as it
 * stands, after its clean stop and as if it had been killed. Expected figures: kafka-dump-log's, in the archive's dump/. */
#include "tests/unit/storage/scratch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct expected {
    const char *topic;
    int32_t partition;
    int64_t log_start;
    int64_t log_end;
    uint32_t producers;
    uint32_t aborted;
} partitions[] = {
    {"plain", 0, 0, 3, 1, 0},
    {"plain", 1, 0, 4, 1, 1},
    {"tuned", 0, 2, 7, 1, 0},
    {"tuned", 1, 0, 7, 1, 0},
    {"tuned", 2, 0, 6, 1, 0},
    {"__consumer_offsets", 0, 0, 6, 0, 0},
    {"__consumer_offsets", 1, 0, 1, 0, 0},
    {"__transaction_state", 0, 0, 7, 0, 0},
    {"__transaction_state", 1, 0, 0, 0, 0},
    {"__cluster_metadata", 0, 0, 78, 0, 0},
};

static struct uuid topic_id_of(const char *data, const struct expected *e)
{
    char path[200], text[100] = "", id[UUID_TEXT_SIZE];
    struct uuid topic_id;
    snprintf(path, sizeof path, "%s/%s-%d/partition.metadata", data, e->topic, e->partition);
    FILE *f = fopen(path, "r");
    cr_assert(f && fread(text, 1, sizeof text - 1, f) > 0);
    fclose(f);
    cr_assert_eq(sscanf(text, "version: 0 topic_id: %22s", id), 1);
    cr_assert(uuid_parse(id, &topic_id));
    return topic_id;
}

static void open_all(struct scratch *s, bool clean, bool unclean_before)
{
    struct err err = ERR_NONE;
    cr_assert_eq(log_dir_open(&s->options, &s->dir, &err), 0, "%s", err.text);
    cr_assert_eq(log_dir_was_clean(s->dir), clean);
    cr_assert_str_eq(log_dir_cluster_id(s->dir), "4L6g3nShT-eMCtK--X86sw");
    for (uint32_t i = 0; i < countof(partitions); i++) {
        const struct expected *e = &partitions[i];
        struct partition_log *log;
        struct log_read r;
        cr_assert_eq(
            log_dir_open_log(s->dir, e->topic, e->partition, topic_id_of(s->options.path, e), &s->config, &log, &err),
            0, "%s", err.text);
        struct log_marks m = partition_log_marks(log);
        cr_assert_eq(m.log_start, e->log_start, "%s-%d", e->topic, e->partition);
        cr_assert_eq(m.log_end, e->log_end);
        cr_assert_eq(m.last_stable, e->log_end);
        cr_assert_eq(m.leader_epoch > (strcmp(e->topic, "__cluster_metadata") ? 0 : 1), unclean_before);
        cr_assert_eq(scratch_read_all(log, m.log_start, READ_UNCOMMITTED), m.log_end - m.log_start);
        cr_assert_eq(partition_log_read(log, m.log_start, 1000000, true, READ_COMMITTED, &r), KAFKA_NONE);
        cr_assert_eq(r.aborted_count, e->aborted);
        log_read_done(&r);
        pthread_mutex_lock(&log->lock);
        cr_assert_eq(log_ready(log), KAFKA_NONE);
        cr_assert_eq(HASH_COUNT(log->producers->producers), e->producers);
        pthread_mutex_unlock(&log->lock);
        partition_log_unref(log);
    }
}

Test(kafka_directory, of_a_real_broker_is_opened_as_it_stands)
{
    for (int killed = 0; killed < 2; killed++) {
        struct scratch s;
        char command[400], data[100];
        scratch_init(&s);
        snprintf(command, sizeof command, "tar xzf '%s' -C %s", KAFKA_DATADIR, s.path);
        cr_assert_eq(system(command), 0);
        snprintf(data, sizeof data, "%s/sample-datadir/data", s.path);
        s.options.path = data;
        if (killed) {
            snprintf(command, sizeof command, "%s/.kafka_cleanshutdown", data);
            cr_assert_eq(remove(command), 0);
        }
        for (int start = 0; start < 3; start++) {
            open_all(&s, !killed || start, killed);
            log_dir_close(s.dir);
        }
        scratch_remove_tree(s.path);
    }
}

/* Kafka makes its checkpoints as empty files and writes them later: a broker that was killed before leaves them so. */
Test(kafka_directory, an_empty_checkpoint_holds_no_offsets)
{
    struct checkpoint c = {0};
    struct leader_epochs epochs = {0};
    char empty[] = "", torn[] = "0\n", counted[] = "0\n1\n";
    cr_assert_eq(checkpoint_parse(&c, empty), 0);
    cr_assert_eq(c.count, 0);
    cr_assert_eq(leader_epochs_parse(&epochs, empty), 0);
    cr_assert_eq(epochs.count, 0);
    cr_assert_eq(checkpoint_parse(&c, torn), -EBADMSG);
    cr_assert_eq(checkpoint_parse(&c, counted), -EBADMSG);
}

/* Kafka's names of folders on their way out; others that end alike are somebody's own. */
Test(kafka_directory, only_what_was_renamed_for_deletion_is_removed)
{
    const struct {
        const char *name;
        bool kept;
    } folders[] = {{"please-do-not-delete", true},
                   {"t-0.0123456789abcdef0123456789abcde-delete", true},
                   {"t-0.0123456789abcdef0123456789abcdeg-delete", true},
                   {"t-0x0123456789abcdef0123456789abcdef-delete", true},
                   {"t-0.0123456789abcdef0123456789abcdef-delete", false}};
    struct scratch s;
    struct err err = ERR_NONE;
    char path[200];

    scratch_init(&s);
    for (size_t i = 0; i < countof(folders); i++) {
        snprintf(path, sizeof path, "%s/%s", s.options.path, folders[i].name);
        cr_assert_eq(mkdir(path, 0755), 0);
    }
    cr_assert_eq(log_dir_open(&s.options, &s.dir, &err), 0, "%s", err.text);
    log_dir_close(s.dir); /* removes what is due */
    for (size_t i = 0; i < countof(folders); i++) {
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", s.options.path, folders[i].name);
        cr_expect_eq(stat(path, &st) == 0, folders[i].kept, "%s", folders[i].name);
    }
    scratch_remove_tree(s.path);
}
