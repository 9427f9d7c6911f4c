/* The promises of metadata_log.h: what is written is Kafka's form, what is read is folded or refused with a reason. */
#include "base/log.h"
#include "broker/metadata/metadata_adopt.h"
#include "broker/metadata/metadata_log.h"
#include "broker/metadata/metadata_snapshot.h"
#include "storage/log_dir.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

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
    cr_assert_eq(s.state->version, 6, "leader change, kraft.version, voters, three feature levels");
    cr_assert_eq(s.state->features_count, 3);
    cr_assert_str_eq(s.state->features[0].name, "metadata.version");
    cr_assert_eq(s.state->features[0].level, METADATA_VERSION_MAX);
    cr_assert_str_eq(s.state->features[1].name, "transaction.version");
    cr_assert_eq(s.state->features[1].level, TRANSACTION_VERSION_MAX);
    cr_assert_str_eq(s.state->features[2].name, "group.version");
    cr_assert_eq(s.state->features[2].level, GROUP_VERSION_MAX);
    cr_assert_eq(metadata_log_marks(s.log).leader_epoch, 1, "Kafka's first");
    scratch_reopen(&s);
    cr_assert_eq(s.state->version, 7, "a leader change");
    cr_assert_eq(metadata_log_marks(s.log).leader_epoch, 2);
    scratch_reopen(&s);
    cr_assert_eq(metadata_log_marks(s.log).leader_epoch, 3, "every start is an epoch");
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

Test(metadata_log, the_records_of_one_batch_have_one_time)
{
    struct batch_builder builder;
    struct producer_ids_record ids = {.next_producer_id = 5000};

    batch_builder_init(&builder);
    metadata_log_record(&builder, 5, METADATA_PRODUCER_IDS, &ids);
    metadata_log_record(&builder, 9, METADATA_PRODUCER_IDS, &ids);
    cr_assert_eq(builder.base_timestamp_ms, 5);
    cr_assert_eq(builder.max_timestamp_ms, 5, "Kafka's raft client refuses a log with a time delta other than 0");
    batch_builder_done(&builder);
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

    add_topic(&s, "later", 4);
    append(&s);
    scratch_reopen(&s);
    cr_assert(metadata_topic(s.state, SLICE("later")), "the open transaction was aborted when the log was opened");
    cr_assert_null(metadata_topic(s.state, SLICE("open")));
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
    cr_assert_eq(s.state->features_count, 3);
    cr_assert_eq(s.state->version, 7, "and a leader change");
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
    expect_refused(&s, -EBADMSG, "offset 6: a partition of an unknown topic");

    scratch_new(&s);
    add_topic(&s, "../../etc", 1);
    append(&s);
    expect_refused(&s, -EBADMSG, "a topic name that is not allowed");

    scratch_new(&s);
    batch_builder_append(&s.builder, 1, SLICE_NULL, SLICE("\x02\x02\x00"), NULL, 0);
    append(&s);
    expect_refused(&s, -EBADMSG, "not a frame of version 1");
}

/* -- snapshots -- */

/* One of each thing that the state knows. */
static void add_everything(struct scratch *s)
{
    add_topic(s, "b", 2);
    add_config(s, CONFIG_RESOURCE_TOPIC, "b", "retention.ms", "5");
    add_partition(s, 2, 0);
    add_partition(s, 2, 1);
    add_topic(s, "a", 1);
    add_partition(s, 1, 0);
    add_config(s, CONFIG_RESOURCE_BROKER, "", "message.max.bytes", "99");
    add_config(s, CONFIG_RESOURCE_GROUP, "g", "consumer.session.timeout.ms", "50000");
    struct producer_ids_record ids = {.next_producer_id = 5000};
    metadata_log_record(&s->builder, 1, METADATA_PRODUCER_IDS, &ids);
    struct client_quota_record_entity_data entity = {.entity_type = SLICE("client-id"), .entity_name = SLICE("c")};
    struct client_quota_record quota = {
        .entity = &entity, .entity_count = 1, .key = SLICE("producer_byte_rate"), .value = 1024.5};
    metadata_log_record(&s->builder, 1, METADATA_CLIENT_QUOTA, &quota);
    struct access_control_entry_record acl = {.id = {{7}},
                                              .resource_type = 2,
                                              .resource_name = SLICE("b"),
                                              .pattern_type = 3,
                                              .principal = SLICE("User:x"),
                                              .host = SLICE("*"),
                                              .operation = 3,
                                              .permission_type = 3};
    metadata_log_record(&s->builder, 1, METADATA_ACL, &acl);
    struct user_scram_credential_record scram = {.name = SLICE("x"),
                                                 .mechanism = 1,
                                                 .salt = SLICE("salt"),
                                                 .stored_key = SLICE("stored"),
                                                 .server_key = SLICE("server"),
                                                 .iterations = 4096};
    metadata_log_record(&s->builder, 1, METADATA_SCRAM, &scram);
    append(s);
}

static struct bytes state_bytes(const struct scratch *s)
{
    struct bytes b = {0};
    cr_assert(metadata_snapshot_write(s->state, 1, (struct uuid){{9}}, 1, 1, &b));
    return b;
}

/* The log is opened so that the first published state becomes a snapshot. */
static void snapshot_now(struct scratch *s)
{
    s->file->metadata_log_max_record_bytes_between_snapshots = 1;
    scratch_reopen(s);
    metadata_log_published(s->log, s->state);
    s->file->metadata_log_max_record_bytes_between_snapshots = 20 << 20;
}

static void snapshot_path(const struct scratch *s, int64_t end_offset, int32_t epoch, char ret_path[200])
{
    char name[METADATA_SNAPSHOT_NAME_BYTES];
    metadata_snapshot_name((struct metadata_snapshot_id){end_offset, epoch}, name);
    snprintf(ret_path, 200, "%s/__cluster_metadata-0/%s", s->path, name);
}

Test(metadata_log, a_snapshot_holds_the_whole_state_and_the_log_before_it_goes)
{
    struct scratch s;
    char path[200];

    scratch_new(&s);
    add_everything(&s);
    snapshot_now(&s);
    struct bytes before = state_bytes(&s);
    int64_t end = s.state->version;
    scratch_close(&s);
    snapshot_path(&s, end, 2, path);
    cr_assert_eq(access(path, R_OK), 0, "%s", path);

    cr_assert_eq(scratch_open(&s), 0, "%s", s.err.text);
    cr_expect_eq(metadata_log_marks(s.log).log_start, end);
    cr_expect_eq(s.state->version, end + 1, "what the snapshot has, and the leader change");
    struct bytes after = state_bytes(&s);
    cr_expect(slice_eq(bytes_slice(&before), bytes_slice(&after)));
    cr_expect_eq(metadata_topic(s.state, SLICE("b"))->partitions_count, 2);
    cr_expect_eq(s.state->partitions_count, 3);
    bytes_done(&before), bytes_done(&after);

    add_topic(&s, "c", 3);
    append(&s);
    snapshot_now(&s);
    scratch_close(&s);
    cr_expect_neq(access(path, R_OK), 0, "the older one is gone");
    cr_assert_eq(scratch_open(&s), 0, "%s", s.err.text);
    cr_expect_eq(s.state->topics_count, 3);
    scratch_close(&s);
    scratch_done(&s);
}

Test(metadata_log, a_snapshot_is_due_after_bytes_or_time_and_not_before)
{
    struct scratch s;

    scratch_new(&s);
    add_everything(&s);
    metadata_log_published(s.log, s.state);
    scratch_reopen(&s);
    cr_expect_eq(metadata_log_marks(s.log).log_start, 0);
    s.file->metadata_log_max_snapshot_interval_ms = 0;
    scratch_reopen(&s);
    metadata_log_published(s.log, s.state);
    int64_t end = s.state->version;
    scratch_reopen(&s);
    cr_expect_eq(metadata_log_marks(s.log).log_start, end);
    scratch_close(&s);
    scratch_done(&s);
}

Test(metadata_log, a_damaged_or_missing_snapshot_is_told)
{
    for (int missing = 0; missing < 2; missing++) {
        struct scratch s;
        char path[200], text[100];

        scratch_new(&s);
        add_everything(&s);
        snapshot_now(&s);
        int64_t end = s.state->version;
        snapshot_path(&s, end, 2, path);
        scratch_reopen(&s);
        if (missing) cr_assert_eq(unlink(path), 0);
        else cr_assert_eq(truncate(path, 300), 0);
        if (missing) snprintf(text, sizeof text, "holds offsets %lld", (long long)end);
        expect_refused(&s, -EBADMSG, missing ? text : "-0000000002.checkpoint");
    }
}

Test(metadata_log, what_only_the_log_holds_keeps_the_log)
{
    struct scratch s;
    struct delegation_token_record token;

    scratch_new(&s);
    delegation_token_record_init(&token);
    token.token_id = SLICE("t");
    metadata_log_record(&s.builder, 1, METADATA_DELEGATION_TOKEN, &token);
    append(&s);
    snapshot_now(&s);
    scratch_reopen(&s);
    cr_expect_eq(metadata_log_marks(s.log).log_start, 0);
    scratch_close(&s);
    scratch_done(&s);
}

Test(metadata_log, only_names_of_finished_snapshots_are_taken)
{
    struct metadata_snapshot_id id;
    cr_expect(metadata_snapshot_parse("00000000000000000123-0000000004.checkpoint", &id));
    cr_expect(id.end_offset == 123 && id.epoch == 4);
    static const char *const others[] = {"00000000000000000123-0000000004.checkpoint.part",
                                         "00000000000000000123-0000000004.checkpoint.deleted",
                                         "123-4.checkpoint",
                                         "leader-epoch-checkpoint",
                                         "-0000000000000000123-0000000004.checkpoint",
                                         "00000000000000000123.log",
                                         ""};
    for (size_t i = 0; i < countof(others); i++)
        cr_expect_not(metadata_snapshot_parse(others[i], &id), "%s", others[i]);
}

/* -- leader epochs, other clusters -- */

static void place(struct scratch *s, uint8_t id, int32_t index, int32_t leader, const int32_t *isr, int32_t isr_count)
{
    static int32_t replicas[] = {3, 4, 5};
    struct partition_record p;
    partition_record_init(&p);
    p.topic_id = (struct uuid){{id}};
    p.partition_id = index;
    p.leader = leader;
    p.leader_epoch = 7;
    p.isr = (int32_t *)(uintptr_t)isr;
    p.isr_count = isr_count;
    p.replicas = replicas;
    p.replicas_count = countof(replicas);
    metadata_log_record(&s->builder, 1, METADATA_PARTITION, &p);
}

/* Lists of -1 elements: unchanged. */
static void move(struct scratch *s, uint8_t id, int32_t index, int32_t leader, int32_t isr, int32_t isr_count,
                 int32_t eligible, int32_t eligible_count)
{
    struct partition_change_record p;
    partition_change_record_init(&p);
    p.topic_id = (struct uuid){{id}};
    p.partition_id = index;
    p.leader = leader;
    p.isr = &isr;
    p.isr_count = isr_count;
    p.eligible_leader_replicas = &eligible;
    p.eligible_leader_replicas_count = eligible_count;
    metadata_log_record(&s->builder, 1, METADATA_PARTITION_CHANGE, &p);
}

static int32_t epoch_of(const struct scratch *s, const char *topic, int32_t partition)
{
    return metadata_topic(s->state, slice_of(topic))->partitions[partition].leader_epoch;
}

Test(metadata_log, every_change_of_a_leader_is_an_epoch)
{
    struct scratch s;
    scratch_new(&s);
    add_topic(&s, "a", 1);
    place(&s, 1, 0, 3, (int32_t[]){3}, 1);
    move(&s, 1, 0, METADATA_SAME_LEADER, 4, 1, 0, -1);
    append(&s);
    scratch_reopen(&s);
    cr_assert_eq(epoch_of(&s, "a", 0), 7);
    move(&s, 1, 0, -1, 0, 0, 4, 1);
    move(&s, 1, 0, 3, 3, 1, 0, 0);
    append(&s);
    scratch_reopen(&s);
    cr_assert_eq(epoch_of(&s, "a", 0), 9);
    move(&s, 1, 1, 3, 3, 1, 0, 0); /* there is no partition 1 */
    append(&s);
    scratch_close(&s);
    cr_assert_eq(scratch_open(&s), -EBADMSG);
    cr_assert(strstr(s.err.text, "a change of an unknown partition"), "%s", s.err.text);
    log_dir_close(s.dir);
    scratch_done(&s);
}

Test(metadata_log, epochs_that_the_logs_began_are_written_once)
{
    struct scratch s;
    struct log_config config;
    scratch_new(&s);
    add_topic(&s, "a", 1);
    place(&s, 1, 0, 1, (int32_t[]){1}, 1);
    place(&s, 1, 1, 1, (int32_t[]){1}, 1);
    append(&s);
    for (int start = 0; start < 2; start++) {
        struct partition_log *logs[2];
        scratch_reopen(&s);
        log_config_default(&config);
        struct metadata_topic *t = metadata_topic_own(s.state, (struct uuid){{1}});
        for (int i = 0; i < 2; i++) {
            cr_assert_eq(log_dir_open_log(s.dir, "a", i, t->id, &config, &logs[i], &s.err), 0, "%s", s.err.text);
            partition_log_raise_epoch(logs[i], t->partitions[i].leader_epoch);
            cr_assert_eq(partition_log_marks(logs[i]).leader_epoch, !start || i ? 7 : 9, "another program's count");
            t->partitions[i].log = partition_log_ref(logs[i]);
        }
        partition_log_raise_epoch(logs[0], 9);
        int64_t before = metadata_log_marks(s.log).log_end;
        cr_assert_eq(metadata_log_note_epochs(s.log, s.state), KAFKA_NONE);
        cr_assert_eq(metadata_log_marks(s.log).log_end - before, start ? 0 : 1, "of the one that is ahead, once");
        cr_assert_eq(s.state->version, metadata_log_marks(s.log).log_end);
        for (int i = 0; i < 2; i++) partition_log_unref(logs[i]);
    }
    scratch_close(&s);
    scratch_done(&s);
}

/* Also of a partition without a log: it is offline, and another program may have it later. */
Test(metadata_log, a_changed_topic_keeps_its_leader_epochs)
{
    struct scratch s;
    scratch_new(&s);
    add_topic(&s, "a", 1);
    place(&s, 1, 0, 1, (int32_t[]){1}, 1);
    append(&s);
    scratch_reopen(&s);
    struct metadata_topic *copy = metadata_topic_copy(metadata_topic(s.state, SLICE("a")));
    cr_expect_eq(copy->partitions[0].leader_epoch, 7);
    metadata_topic_unref(copy);
    scratch_close(&s);
    scratch_done(&s);
}

static void check_place(const struct partition_places *all, const char *topic, int32_t partition, int32_t safe_count,
                        const char *brokers)
{
    for (int32_t i = 0; i < all->count; i++) {
        const struct partition_place *p = &all->places[i];
        char text[64] = "";
        if (strcmp(p->topic, topic) != 0 || p->partition != partition) continue;
        for (int32_t k = 0; k < p->brokers_count; k++)
            sprintf(text + strlen(text), "%s%d", k ? " " : "", p->brokers[k]);
        cr_assert_str_eq(text, brokers, "%s-%d: %s", topic, partition, text);
        cr_assert_eq(p->safe_count, safe_count, "%s-%d: %d", topic, partition, p->safe_count);
        return;
    }
    cr_assert_fail("%s-%d is not in the list", topic, partition);
}

Test(metadata_log, another_clusters_becomes_that_of_one_node)
{
    struct scratch s;
    struct partition_places *places;
    scratch_new(&s);
    add_topic(&s, "led", 9);
    place(&s, 9, 0, 4, (int32_t[]){3, 4}, 2);
    place(&s, 9, 1, 3, (int32_t[]){3}, 1);
    add_topic(&s, "gone", 2);
    place(&s, 2, 0, 3, (int32_t[]){3}, 1);
    add_topic(&s, "stopped", 1);
    place(&s, 1, 0, 3, (int32_t[]){3, 4, 5}, 3);
    move(&s, 1, 0, 5, 5, 1, 4, 1);
    move(&s, 1, 0, -1, 0, 0, 5, 1); /* a clean stop: no leader, nobody in sync, one that may lead again */
    add_config(&s, CONFIG_RESOURCE_TOPIC, "led", "retention.ms", "17");
    struct remove_topic_record gone = {.topic_id = {{2}}};
    metadata_log_record(&s.builder, 1, METADATA_REMOVE_TOPIC, &gone);
    append(&s);
    scratch_close(&s);

    cr_assert_eq(metadata_adopt(s.path, 1, &places, &s.err), 0, "%s", s.err.text);
    cr_assert_eq(places->count, 3);
    check_place(places, "led", 0, 2, "4 3 5");
    check_place(places, "led", 1, 1, "3 4 5");
    check_place(places, "stopped", 0, 1, "5 3 4");
    cr_assert(!places->tokens_left);
    partition_places_free(places);

    cr_assert_eq(scratch_open(&s), 0, "%s", s.err.text);
    cr_assert_eq(s.state->topics_count, 2);
    cr_assert_eq(epoch_of(&s, "led", 0), 7);
    cr_assert_eq(epoch_of(&s, "stopped", 0), 9);
    cr_assert_str_eq(config_list_get(&metadata_topic(s.state, SLICE("led"))->config, "retention.ms"), "17");
    cr_assert_gt(metadata_log_marks(s.log).log_start, 0, "what came before the snapshot is gone");
    scratch_close(&s);
    scratch_done(&s);
}
