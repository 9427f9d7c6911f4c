/* The promises of metadata_log.h: what is written is Kafka's form, what is read is folded or refused with a reason. */
#include "base/log.h"
#include "broker/metadata_log.h"
#include "storage/log_dir.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

struct scratch {
    char path[64];
    struct log_dir *dir;
    struct broker_config *file;
    struct broker_config_ref *config;
    struct metadata_log *log;
    struct metadata *state;
    struct batch_builder builder;
    struct err err;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

static int scratch_open(struct scratch *s)
{
    struct log_dir_options o;

    log_dir_options_default(&o);
    o.path = s->path;
    o.node_id = 1;
    s->err = ERR_NONE;
    cr_assert_eq(log_dir_open(&o, &s->dir, &s->err), 0, "%s", s->err.text);
    return metadata_log_open(s->dir, s->file, &clock_system, s->config, &s->log, &s->state, &s->err);
}

static void scratch_new(struct scratch *s)
{
    *s = (struct scratch){.path = "/tmp/ottla-metadata-XXXXXX"};
    log_level_max = LOG_ERROR;
    cr_assert(mkdtemp(s->path));
    s->file = broker_config_new();
    s->config = broker_config_ref_new(broker_config_copy(s->file));
    batch_builder_init(&s->builder);
    cr_assert_eq(scratch_open(s), 0, "%s", s->err.text);
}

static void scratch_close(struct scratch *s)
{
    metadata_unref(s->state);
    metadata_log_close(s->log);
    log_dir_close(s->dir);
    s->state = NULL;
    s->log = NULL;
}

static void scratch_reopen(struct scratch *s)
{
    scratch_close(s);
    cr_assert_eq(scratch_open(s), 0, "%s", s->err.text);
}

static void scratch_done(struct scratch *s)
{
    batch_builder_done(&s->builder);
    broker_config_ref_put(s->config);
    broker_config_free(s->file);
    nftw(s->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void add_topic(struct scratch *s, const char *name, uint8_t id)
{
    struct topic_record t;
    topic_record_init(&t);
    t.name = slice_of(name);
    t.topic_id = (struct uuid){{id}};
    metadata_log_record(&s->builder, 1, METADATA_TOPIC, &t);
}

static void add_partition(struct scratch *s, uint8_t id, int32_t index)
{
    struct partition_record p;
    partition_record_init(&p);
    p.topic_id = (struct uuid){{id}};
    p.partition_id = index;
    metadata_log_record(&s->builder, 1, METADATA_PARTITION, &p);
}

static void add_config(struct scratch *s, int8_t type, const char *resource, const char *name, const char *value)
{
    struct config_record c;
    config_record_init(&c);
    c.resource_type = type;
    c.resource_name = slice_of(resource);
    c.name = slice_of(name);
    c.value = slice_of(value);
    metadata_log_record(&s->builder, 1, METADATA_CONFIG, &c);
}

static void add_mark(struct scratch *s, enum metadata_record_type type)
{
    union {
        struct begin_transaction_record begin;
        struct end_transaction_record end;
        struct abort_transaction_record abort;
    } m = {0};
    metadata_log_record(&s->builder, 1, type, &m);
}

static void append(struct scratch *s)
{
    int64_t end;
    cr_assert_eq(metadata_log_append(s->log, &s->builder, &end), KAFKA_NONE);
}

Test(metadata_log, a_new_log_begins_with_a_quorum_of_one_and_its_features)
{
    struct scratch s;

    scratch_new(&s);
    cr_assert_eq(s.state->version, 5, "leader change, kraft.version, voters, two feature levels");
    cr_assert_eq(s.state->features_count, 2);
    cr_assert_str_eq(s.state->features[0].name, "metadata.version");
    cr_assert_eq(s.state->features[0].level, METADATA_VERSION_MAX);
    cr_assert_str_eq(s.state->features[1].name, "transaction.version");
    cr_assert_eq(s.state->features[1].level, TRANSACTION_VERSION_MAX);
    scratch_reopen(&s);
    cr_assert_eq(s.state->version, 5, "the second start adds nothing");
    scratch_close(&s);
    scratch_done(&s);
}

Test(metadata_log, the_state_is_the_fold_of_the_records)
{
    struct scratch s;

    scratch_new(&s);
    add_topic(&s, "b", 2);
    add_config(&s, CONFIG_RESOURCE_TOPIC, "b", "retention.ms", "5");
    add_partition(&s, 2, 0);
    add_partition(&s, 2, 1);
    append(&s);
    add_topic(&s, "a", 1);
    add_partition(&s, 1, 0);
    add_config(&s, CONFIG_RESOURCE_BROKER, "", "message.max.bytes", "99");
    add_config(&s, CONFIG_RESOURCE_TOPIC, "b", "retention.ms", NULL);
    add_config(&s, CONFIG_RESOURCE_TOPIC, "b", "segment.ms", "6");
    append(&s);
    struct producer_ids_record ids = {.next_producer_id = 5000};
    metadata_log_record(&s.builder, 1, METADATA_PRODUCER_IDS, &ids);
    struct remove_topic_record gone = {.topic_id = {{1}}};
    metadata_log_record(&s.builder, 1, METADATA_REMOVE_TOPIC, &gone);
    append(&s);
    scratch_reopen(&s);

    cr_assert_eq(s.state->topics_count, 1);
    const struct metadata_topic *t = metadata_topic(s.state, SLICE("b"));
    cr_assert(t && t->partitions_count == 2 && t->config.count == 1);
    cr_assert_str_eq(config_list_get(&t->config, "segment.ms"), "6");
    cr_assert_str_eq(
        config_list_get(metadata_resource_config(s.state, CONFIG_RESOURCE_BROKER, SLICE_EMPTY), "message.max.bytes"),
        "99");
    cr_assert_eq(s.state->producer_id_next, 5000);
    scratch_close(&s);
    scratch_done(&s);
}

Test(metadata_log, a_transaction_counts_whole_or_not_at_all)
{
    struct scratch s;

    scratch_new(&s);
    add_mark(&s, METADATA_BEGIN_TRANSACTION);
    add_topic(&s, "kept", 1);
    append(&s);
    add_partition(&s, 1, 0);
    add_mark(&s, METADATA_END_TRANSACTION);
    add_mark(&s, METADATA_BEGIN_TRANSACTION);
    add_topic(&s, "aborted", 2);
    add_mark(&s, METADATA_ABORT_TRANSACTION);
    add_mark(&s, METADATA_BEGIN_TRANSACTION);
    add_topic(&s, "open", 3);
    append(&s);
    scratch_reopen(&s);
    cr_assert_eq(s.state->topics_count, 1);
    cr_assert_eq(metadata_topic(s.state, SLICE("kept"))->partitions_count, 1);
    scratch_close(&s);
    scratch_done(&s);
}

Test(metadata_log, a_power_cut_behind_the_first_batch_is_no_damage)
{
    struct scratch s;

    scratch_new(&s);
    scratch_close(&s);
    char path[128];
    snprintf(path, sizeof path, "%s/__cluster_metadata-0/00000000000000000000.log", s.path);
    struct stat st;
    cr_assert_eq(stat(path, &st), 0);
    /* The second batch is a header of 61 bytes, a record's frame and lengths, and the name of the feature. */
    cr_assert_eq(truncate(path, st.st_size - 10), 0);
    /* What a clean stop wrote would make it damage. */
    static const char *const written[] = {".kafka_cleanshutdown", "recovery-point-offset-checkpoint",
                                          "ottla.partitions"};
    for (size_t i = 0; i < countof(written); i++) {
        snprintf(path, sizeof path, "%s/%s", s.path, written[i]);
        cr_assert_eq(unlink(path), 0);
    }
    cr_assert_eq(scratch_open(&s), 0, "%s", s.err.text);
    cr_assert_eq(s.state->features_count, 2);
    cr_assert_eq(s.state->version, 5);
    scratch_close(&s);
    scratch_done(&s);
}

static void expect_refused(struct scratch *s, int error, const char *text)
{
    metadata_unref(s->state);
    metadata_log_close(s->log);
    log_dir_close(s->dir);
    cr_expect_eq(scratch_open(s), error, "%s", s->err.text);
    cr_expect(strstr(s->err.text, text), "%s", s->err.text);
    log_dir_close(s->dir);
    scratch_done(s);
}

Test(metadata_log, a_newer_metadata_version_is_refused)
{
    struct scratch s;
    struct feature_level_record f = {.name = SLICE("metadata.version"), .feature_level = METADATA_VERSION_MAX + 1};

    scratch_new(&s);
    metadata_log_record(&s.builder, 1, METADATA_FEATURE_LEVEL, &f);
    append(&s);
    expect_refused(&s, -ENOTSUP, "metadata.version is 28");
}

Test(metadata_log, an_unknown_record_type_is_refused)
{
    struct scratch s;

    scratch_new(&s);
    batch_builder_append(&s.builder, 1, SLICE_NULL, SLICE("\x01\x63\x00\x00"), NULL, 0);
    append(&s);
    expect_refused(&s, -ENOTSUP, "record type 99");
}

Test(metadata_log, records_that_contradict_the_state_are_refused)
{
    struct scratch s;

    scratch_new(&s);
    add_partition(&s, 9, 0);
    append(&s);
    expect_refused(&s, -EBADMSG, "offset 5: a partition of an unknown topic");

    scratch_new(&s);
    add_topic(&s, "../../etc", 1);
    append(&s);
    expect_refused(&s, -EBADMSG, "a topic name that is not allowed");

    scratch_new(&s);
    batch_builder_append(&s.builder, 1, SLICE_NULL, SLICE("\x02\x02\x00"), NULL, 0);
    append(&s);
    expect_refused(&s, -EBADMSG, "not a frame of version 1");
}
