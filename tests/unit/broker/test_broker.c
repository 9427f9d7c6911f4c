/* The promises of broker.h and metadata.h: topics, configs and records in the same process, over restarts. */
#include "tests/unit/broker/scratch_broker.h"

#include "broker/state.h"
#include "protocol/record.h"
#include "storage/log_internal.h"
#include "tests/lib/parked.h"
#include "tests/lib/wait.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

static enum kafka_error create(struct broker *b, const char *name, int32_t partitions, struct err *err)
{
    return broker_topic_create(b, name, partitions, NULL, 0, err);
}

Test(broker, topics_and_their_configs_survive_a_restart)
{
    struct scratch_broker s;
    struct err err = ERR_NONE;
    const struct config_entry config[] = {{"retention.ms", "1234"}, {"cleanup.policy", "compact,delete"}};

    scratch_broker_new(&s);
    cr_assert_eq(broker_topic_create(s.broker, "orders", 3, config, 2, &err), KAFKA_NONE, "%s", err.text);
    cr_assert_eq(create(s.broker, "gone", 1, &err), KAFKA_NONE);
    cr_assert_eq(broker_topic_delete(s.broker, "gone", &err), KAFKA_NONE);
    const struct metadata *m = broker_metadata(s.broker);
    struct uuid id = metadata_topic(m, SLICE("orders"))->id;
    metadata_unref(m);
    for (int round = 0; round < 2; round++) {
        scratch_broker_close(&s);
        scratch_broker_open(&s);
        m = broker_metadata(s.broker);
        const struct metadata_topic *t = metadata_topic(m, SLICE("orders"));
        cr_assert(t && uuid_eq(t->id, id) && t->partitions_count == 3 && m->topics_count == 1 &&
                  m->partitions_count == 3);
        cr_assert_eq(metadata_topic_by_id(m, id), t);
        cr_assert_str_eq(config_list_get(&t->config, "retention.ms"), "1234");
        cr_assert_eq(t->log_config.retention_ms, 1234);
        cr_assert(t->log_config.cleanup_compact && t->log_config.cleanup_delete);
        cr_assert(!metadata_topic(m, SLICE("gone")));
        metadata_unref(m);
    }
    scratch_broker_done(&s);
}

Test(broker, what_cannot_be_created_is_refused_with_kafkas_code)
{
    static const struct {
        const char *name;
        int32_t partitions;
        const char *config, *value;
        enum kafka_error error;
    } refused[] = {
        {"", 1, NULL, NULL, KAFKA_INVALID_TOPIC_EXCEPTION},
        {".", 1, NULL, NULL, KAFKA_INVALID_TOPIC_EXCEPTION},
        {"..", 1, NULL, NULL, KAFKA_INVALID_TOPIC_EXCEPTION},
        {"a/b", 1, NULL, NULL, KAFKA_INVALID_TOPIC_EXCEPTION},
        {"a_b.c", 1, NULL, NULL, KAFKA_INVALID_TOPIC_EXCEPTION}, /* collides with a.b.c */
        {"a.b.c", 1, NULL, NULL, KAFKA_TOPIC_ALREADY_EXISTS},
        {"new", 0, NULL, NULL, KAFKA_INVALID_PARTITIONS},
        {"new", -2, NULL, NULL, KAFKA_INVALID_PARTITIONS},
        {"new", 2000000, NULL, NULL, KAFKA_INVALID_PARTITIONS},
        {"new", 1, "retention", "1", KAFKA_INVALID_CONFIG},
        {"new", 1, "retention.ms", "-2", KAFKA_INVALID_CONFIG},
        {"new", 1, "cleanup.policy", "shred", KAFKA_INVALID_CONFIG},
    };
    struct scratch_broker s;
    struct err err;
    char long_name[251];

    scratch_broker_new(&s);
    cr_assert_eq(create(s.broker, "a.b.c", 1, &err), KAFKA_NONE);
    for (size_t i = 0; i < countof(refused); i++) {
        struct config_entry config = {refused[i].config, refused[i].value};
        err = ERR_NONE;
        cr_expect_eq(broker_topic_create(s.broker, refused[i].name, refused[i].partitions, &config,
                                         refused[i].config ? 1 : 0, &err),
                     refused[i].error, "%zu: %s", i, err.text);
        cr_expect(err.text[0]);
    }
    memset(long_name, 'x', 250);
    long_name[250] = '\0';
    cr_expect_eq(create(s.broker, long_name, 1, &err), KAFKA_INVALID_TOPIC_EXCEPTION);
    long_name[249] = '\0';
    cr_expect_eq(create(s.broker, long_name, 1, &err), KAFKA_NONE);
    cr_expect_eq(broker_topic_delete(s.broker, "nowhere", &err), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    cr_expect_eq(broker_topic_ensure(s.broker, "a.b.c", 7, NULL, 0, &err), KAFKA_NONE);
    const struct metadata *m = broker_metadata(s.broker);
    cr_expect_eq(m->topics_count, 2);
    metadata_unref(m);
    scratch_broker_done(&s);
}

/* Records of the batches as "key=value@offset;". */
static void read_text(struct slice batches, char *text, size_t size)
{
    struct record_batch batch;
    struct record_reader reader;
    struct record record;
    struct bytes scratch = {0};

    while (record_batch_next(&batches, &batch) == RECORD_BATCH_OK) {
        cr_assert_eq(record_reader_open(&reader, &batch, 1 << 20, &scratch), 0);
        while (record_reader_next(&reader, &record) == 1) {
            size_t used = strlen(text);
            snprintf(text + used, size - used, SLICE_FMT "=" SLICE_FMT "@%d;", SLICE_ARG(record.key),
                     SLICE_ARG(record.value), (int)record.offset);
        }
    }
    bytes_done(&scratch);
}

struct late_append {
    struct broker *broker;
    struct partition_log *log;
};

static void *append_late(void *arg)
{
    struct late_append *a = arg;
    int64_t offset;

    cr_assert(WAIT_UNTIL(log_is_awaited(a->log)));
    cr_assert_eq(broker_append_record(a->broker, a->log, SLICE("k"), SLICE("late"), &offset), KAFKA_NONE);
    return NULL;
}

Test(broker, a_reader_reads_waits_and_is_woken)
{
    struct scratch_broker s;
    struct err err;
    struct slice batches;
    char text[200] = "";
    int64_t offset;
    pthread_t thread;

    scratch_broker_new(&s);
    cr_assert_eq(create(s.broker, "t", 1, &err), KAFKA_NONE);
    struct partition_log *log = broker_partition(s.broker, "t", 0);
    cr_assert(log && !broker_partition(s.broker, "t", 1) && !broker_partition(s.broker, "u", 0));
    cr_assert_eq(broker_append_record(s.broker, log, SLICE("a"), SLICE("1"), &offset), KAFKA_NONE);
    cr_assert_eq(broker_append_record(s.broker, log, SLICE("b"), SLICE_NULL, &offset), KAFKA_NONE);
    cr_assert_eq(offset, 1);

    struct broker_reader *r = broker_reader_new(s.broker, log, 0, READ_UNCOMMITTED);
    cr_assert_eq(broker_reader_next(r, 1 << 20, 0, &batches), KAFKA_NONE);
    read_text(batches, text, sizeof text);
    cr_assert_str_eq(text, "a=1@0;b=@1;");
    cr_assert_eq(broker_reader_offset(r), 2);
    cr_assert_eq(broker_reader_next(r, 1 << 20, 5, &batches), KAFKA_NONE);
    cr_assert_eq(batches.len, 0, "nothing within 5 ms");

    struct late_append late = {s.broker, log};
    pthread_create(&thread, NULL, append_late, &late);
    cr_assert_eq(broker_reader_next(r, 1 << 20, 10000, &batches), KAFKA_NONE);
    pthread_join(thread, NULL);
    text[0] = '\0';
    read_text(batches, text, sizeof text);
    cr_assert_str_eq(text, "k=late@2;");

    broker_reader_wake(r);
    cr_assert_eq(broker_reader_next(r, 1 << 20, 10000, &batches), KAFKA_NONE);
    cr_assert_eq(batches.len, 0, "somebody wanted the thread back");
    broker_reader_free(r);
    r = broker_reader_new(s.broker, log, 1, READ_UNCOMMITTED);
    cr_assert_eq(broker_reader_next(r, 1, 0, &batches), KAFKA_NONE);
    cr_assert_gt(batches.len, 0, "one batch at least, however small the limit");
    broker_reader_free(r);
    r = broker_reader_new(s.broker, log, 99, READ_UNCOMMITTED);
    cr_assert_eq(broker_reader_next(r, 1 << 20, 0, &batches), KAFKA_OFFSET_OUT_OF_RANGE);
    broker_reader_free(r);
    partition_log_unref(log);
    scratch_broker_done(&s);
}

struct watch {
    struct topic_watch watch;
    char text[200];
};

static void changed(struct topic_watch *w, enum topic_event event, const struct metadata_topic *topic)
{
    struct watch *self = container_of(w, struct watch, watch);
    size_t used = strlen(self->text);
    snprintf(self->text + used, sizeof self->text - used, "%c%s;", "+^*-"[event], topic -> name);
}

Test(broker, watches_are_told_in_order)
{
    struct scratch_broker s;
    struct watch w = {.watch = {.changed = changed}};
    struct err err;

    log_level_max = LOG_ERROR;
    snprintf(s.path, sizeof s.path, "/tmp/ottla-broker-XXXXXX");
    cr_assert(mkdtemp(s.path));
    cr_assert_eq(broker_open(scratch_config(&s), &s.broker, &err), 0, "%s", err.text);
    broker_watch_topics(s.broker, &w.watch);
    cr_assert_eq(create(s.broker, "a", 1, &err), KAFKA_NONE);
    cr_assert_eq(create(s.broker, "b", 1, &err), KAFKA_NONE);
    cr_assert_eq(broker_topic_delete(s.broker, "a", &err), KAFKA_NONE);
    cr_assert_eq(create(s.broker, "a", 1, &err), KAFKA_NONE);
    cr_assert_str_eq(w.text, "+a;+b;-a;+a;");
    scratch_broker_done(&s);
}

Test(broker, a_topic_inherits_the_first_of_its_synonyms)
{
    struct broker_config *c = broker_config_new();
    struct config_list own = {0};
    struct log_config r;

    topic_config_resolve(&own, c, &r);
    cr_expect_eq(r.retention_ms, 604800000);
    cr_expect_eq(r.flush_ms, 1000);
    cr_assert_eq(broker_config_set(c, "log.retention.hours", "-1", NULL), 0);
    topic_config_resolve(&own, c, &r);
    cr_expect_eq(r.retention_ms, -1);
    cr_assert_eq(broker_config_set(c, "log.retention.minutes", "2", NULL), 0);
    topic_config_resolve(&own, c, &r);
    cr_expect_eq(r.retention_ms, 120000);
    cr_assert_eq(broker_config_set(c, "log.retention.ms", "0", NULL), 0);
    topic_config_resolve(&own, c, &r);
    cr_expect_eq(r.retention_ms, 0);
    config_list_set(&own, "retention.ms", "77");
    config_list_set(&own, "compression.type", "lz4");
    topic_config_resolve(&own, c, &r);
    cr_expect_eq(r.retention_ms, 77);
    cr_expect_eq(r.compression_codec, COMPRESSION_LZ4);
    config_list_set(&own, "compression.type", NULL);
    topic_config_resolve(&own, c, &r);
    cr_expect_eq(r.compression_codec, -1);
    config_list_done(&own);
    broker_config_free(c);
}

Test(broker, every_topic_option_inherits_from_options_that_exist)
{
    for (size_t i = 0; i < topic_options_count; i++)
        for (size_t k = 0; k < countof(topic_options[i].synonyms) && topic_options[i].synonyms[k].name; k++)
            cr_expect(option_find(broker_options, broker_options_count, topic_options[i].synonyms[k].name), "%s: %s",
                      topic_options[i].option.name, topic_options[i].synonyms[k].name);
    for (size_t i = 0; i < broker_options_count; i++) {
        const struct option *row = &broker_options[i];
        cr_expect_eq(option_find(broker_options, broker_options_count, row->name), row, "%s stands twice", row->name);
        cr_expect(!row->default_text || option_check(row, row->default_text, NULL), "%s", row->name);
    }
}

Test(broker, producer_ids_of_the_brokers_own_writers_are_given_to_nobody)
{
    struct scratch_broker s = {.path = "/tmp/ottla-broker-XXXXXX"};
    struct err err = ERR_NONE;
    int64_t first = -1;

    log_level_max = LOG_ERROR;
    cr_assert(mkdtemp(s.path));
    cr_assert_eq(broker_open(scratch_config(&s), &s.broker, &err), 0, "%s", err.text);
    /* Not serving yet: this thread is the only one. */
    ((struct metadata *)(uintptr_t)s.broker->metadata_head)->producer_id_next = LOG_PRODUCER_ID_RESERVED_MIN - 10;
    struct metadata_change *c = metadata_change_begin(s.broker);
    cr_expect_eq(metadata_change_producer_ids(c, 11, &first), KAFKA_UNKNOWN_SERVER_ERROR);
    cr_expect_eq(metadata_change_producer_ids(c, 10, &first), KAFKA_NONE);
    cr_expect_eq(first, LOG_PRODUCER_ID_RESERVED_MIN - 10);
    cr_expect_eq(metadata_change_producer_ids(c, 1, &first), KAFKA_UNKNOWN_SERVER_ERROR);
    metadata_change_abort(c);
    broker_close(s.broker);
    nftw(s.path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* -- a metadata log that cannot be synced -- */

static int no_fdatasync(int fd)
{
    char link[40], path[300];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[MAX(n, 0)] = '\0';
    return strstr(path, "/__cluster_metadata-0/") ? -EIO : io_posix.fdatasync(fd);
}

struct two_changes {
    struct scratch_broker s;
    enum kafka_error created;
    _Atomic int ends;
    enum kafka_error errors[2];
};

static void change_ended(void *arg, enum kafka_error error)
{
    struct two_changes *two = arg;
    two->errors[atomic_load(&two->ends)] = error;
    atomic_fetch_add(&two->ends, 1);
}

static void commit_two(void *arg)
{
    struct two_changes *two = arg;
    const struct topic_spec spec = {.name = SLICE("lost"), .partitions_count = 1, .replication_factor = 1};
    struct metadata_change *c = metadata_change_begin(two->s.broker);
    two->created = metadata_change_create_topic(c, &spec, false, NULL, NULL);
    metadata_change_commit(c, change_ended, two);
    /* Of which nothing came: as a request whose every topic exists already. */
    metadata_change_commit(metadata_change_begin(two->s.broker), change_ended, two);
}

Test(broker, a_change_that_failed_is_not_published_by_an_empty_one_behind_it)
{
    static struct io_ops io;
    struct two_changes two = {0};

    scratch_broker_new(&two.s);
    log_level_max = LOG_ERROR - 1;
    io = io_posix;
    io.fdatasync = no_fdatasync;
    two.s.broker->dir->io = &io;
    cr_assert(broker_control_post(two.s.broker, commit_two, &two));
    cr_assert(WAIT_UNTIL(atomic_load(&two.ends) == 2));
    cr_expect_eq(two.created, KAFKA_NONE);
    for (int i = 0; i < 2; i++) cr_expect_eq(two.errors[i], KAFKA_STORAGE_ERROR, "change %d", i);
    const struct metadata *m = broker_metadata(two.s.broker);
    cr_expect(!metadata_topic(m, SLICE("lost")));
    metadata_unref(m);
    scratch_broker_done(&two.s);
}
