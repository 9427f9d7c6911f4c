/* Unit tests of Connect's topics in a real broker: what is put is read again, also by the next process and after
 * compaction's kind of order (several values of a key). */
#include "connect/store.h"
#include "tests/unit/broker/scratch_broker.h"

#include "base/murmur2.h"

#define CONNECTORS_COUNT 50

/* Folds a replay into key -> value. */
static void visit(void *arg, const struct stored_record *r)
{
    cr_assert_null(r->unreadable, "%s", r->unreadable);
    AUTO_FREE char *name = slice_strdup(r->key);
    AUTO_FREE char *text = slice_strdup(r->value);

    if (text) json_object_set_new(arg, name, json_string(text));
    else json_object_del(arg, name);
}

static json_t *replayed(struct connect_store *s, enum connect_topic topic)
{
    json_t *all = json_object();
    struct err err = ERR_NONE;

    cr_assert_eq(s->replay(s, topic, visit, all, &err), 0, "%s", err.text);
    return all;
}

static void put(struct connect_store *s, struct connect_record r, bool durable)
{
    struct err err = ERR_NONE;

    cr_assert_eq(s->put(s, &r, 1, durable, &err), 0, "%s", err.text);
    connect_record_done(&r);
}

Test(store, keeps_the_last_value_of_every_key_over_restarts)
{
    struct scratch_broker b;
    struct connect_store *s;
    struct err err = ERR_NONE;
    char name[20];

    scratch_broker_new(&b);
    cr_assert_eq(connect_store_open(b.broker, &s, &err), 0, "%s", err.text);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < CONNECTORS_COUNT; i++) {
            snprintf(name, sizeof name, "c%d", i);
            json_t *config = json_pack("{s:o}", "round", json_sprintf("%d", round));
            put(s, record_of_connector(name, round == 2 && i % 5 == 0 ? NULL : config), i % 10 == 0);
            put(s, record_of_status(name, -1, CONNECTOR_RUNNING, NULL, "w", round, "1"), false);
            put(s, record_of_topic(name, "t", round), false);
            json_decref(config);
        }
    for (int restart = 0; restart < 3; restart++) {
        json_t *configs = replayed(s, CONNECT_CONFIGS), *statuses = replayed(s, CONNECT_STATUSES),
               *offsets = replayed(s, CONNECT_OFFSETS);
        cr_expect_eq(json_object_size(configs), CONNECTORS_COUNT * 4 / 5);
        cr_expect_eq(json_object_size(statuses), CONNECTORS_COUNT * 2);
        cr_expect_eq(json_object_size(offsets), 0);
        cr_expect_str_eq(json_string_value(json_object_get(configs, "connector-c1")),
                         "{\"properties\":{\"round\":\"2\"}}");
        cr_expect_null(json_object_get(configs, "connector-c5"));
        cr_expect(strstr(json_string_value(json_object_get(statuses, "status-connector-c1")), "\"generation\":2"));
        json_decref(configs);
        json_decref(statuses);
        json_decref(offsets);
        connect_store_close(s);
        if (restart == 1) { /* the next process */
            scratch_broker_close(&b);
            scratch_broker_open(&b);
        }
        cr_assert_eq(connect_store_open(b.broker, &s, &err), 0, "%s", err.text);
    }
    connect_store_close(s);
    scratch_broker_done(&b);
}

Test(store, topics_and_partitions_are_those_of_kafka_connect)
{
    struct scratch_broker b;
    struct connect_store *s;
    struct err err = ERR_NONE;
    json_t *partition = json_pack("{s:s}", "server", "p"), *offset = json_pack("{s:i}", "lsn", 1);
    static const struct {
        const char *name;
        int32_t count;
    } topics[] = {{"connect-configs", 1}, {"connect-offsets", 25}, {"connect-statuses", 5}};

    scratch_broker_new(&b);
    cr_assert_eq(connect_store_open(b.broker, &s, &err), 0, "%s", err.text);
    const struct metadata *m = broker_metadata(b.broker);
    for (size_t i = 0; i < countof(topics); i++) {
        const struct metadata_topic *t = metadata_topic(m, slice_of(topics[i].name));
        cr_assert(t);
        cr_expect_eq(t->partitions_count, topics[i].count);
        cr_expect_str_eq(config_list_get(&t->config, "cleanup.policy"), "compact");
    }
    metadata_unref(m);
    put(s, record_of_offset("c", partition, offset), true);
    struct partition_log *log =
        broker_partition(b.broker, "connect-offsets", murmur2_partition(SLICE("[\"c\",{\"server\":\"p\"}]"), 25));
    cr_expect_eq(partition_log_marks(log).log_end, 1);
    partition_log_unref(log);

    /* the last of a key is found, however many others came behind it */
    static const char key[] = "[\"c\",{\"server\":\"p\"}]";
    AUTO_FREE char *last = s->last(s, CONNECT_OFFSETS, key);
    cr_expect_str_eq(last, "{\"lsn\":1}");
    for (int i = 0; i < 3000; i++) {
        char name[20];
        snprintf(name, sizeof name, "d%d", i);
        put(s, record_of_offset(name, partition, offset), false);
    }
    AUTO_FREE char *still = s->last(s, CONNECT_OFFSETS, key);
    cr_expect_str_eq(still, "{\"lsn\":1}");
    put(s, record_of_offset("c", partition, NULL), false);
    cr_expect_null(s->last(s, CONNECT_OFFSETS, key));
    cr_expect_null(s->last(s, CONNECT_OFFSETS, "[\"nobody\",{\"server\":\"p\"}]"));

    /* a topic that is gone refuses, and says which one */
    cr_assert_eq(broker_topic_delete(b.broker, "connect-configs", &err), KAFKA_NONE);
    struct connect_record r = record_of_connector("c", offset);
    cr_expect_lt(s->put(s, &r, 1, true, &err), 0);
    cr_expect(strstr(err.text, "connect-configs"), "%s", err.text);
    connect_record_done(&r);
    connect_store_close(s);
    json_decref(partition);
    json_decref(offset);
    scratch_broker_done(&b);
}

static void visit_own(void *arg, const struct stored_record *r)
{
    AUTO_FREE char *key = slice_strdup(r->key);

    json_object_set_new(arg, key, json_boolean(r->own));
}

/* A Kafka Connect worker may use the same topics. */
Test(store, our_records_are_told_from_those_of_others)
{
    struct scratch_broker b;
    struct connect_store *s;
    struct err err = ERR_NONE;
    json_t *config = json_pack("{s:s}", "a", "b"), *seen = json_object();

    scratch_broker_new(&b);
    cr_assert_eq(connect_store_open(b.broker, &s, &err), 0, "%s", err.text);
    put(s, record_of_connector("ours", config), true);
    int64_t end = s->end(s, CONNECT_CONFIGS);
    struct partition_log *log = broker_partition(b.broker, "connect-configs", 0);
    cr_assert_eq(broker_append_record(b.broker, log, SLICE("connector-theirs"), SLICE("{}"), NULL), KAFKA_NONE);
    partition_log_unref(log);
    cr_expect_gt(s->end(s, CONNECT_CONFIGS), end);
    cr_expect_str_eq(s->name(s, CONNECT_STATUSES), "connect-statuses");
    cr_assert_eq(s->replay(s, CONNECT_CONFIGS, visit_own, seen, &err), 0, "%s", err.text);
    cr_expect(json_is_true(json_object_get(seen, "connector-ours")));
    cr_expect(json_is_false(json_object_get(seen, "connector-theirs")));
    connect_store_close(s);
    json_decref(config);
    json_decref(seen);
    scratch_broker_done(&b);
}

/* Keys, and "!OFFSET" for a batch that cannot be decoded. */
static void visit_all(void *arg, const struct stored_record *r)
{
    AUTO_FREE char *key = slice_strdup(r->key);

    cr_expect_str_eq(r->partition, "connect-configs-0");
    if (r->unreadable) cr_expect_gt(strlen(r->unreadable), 0);
    json_array_append_new(arg, r->unreadable ? json_sprintf("!%d", (int)r->offset) : json_string(key));
}

static void flip_byte_behind(const struct scratch_broker *b, const char *text)
{
    static uint8_t bytes[1 << 16];
    AUTO_FREE char *path = xasprintf("%s/connect-configs-0/00000000000000000000.log", b->path);
    FILE *file = fopen(path, "r+");

    cr_assert(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    uint8_t *at = memmem(bytes, size, text, strlen(text));
    cr_assert(at);
    cr_assert_eq(fseek(file, at - bytes + (long)strlen(text), SEEK_SET), 0);
    fputc(at[strlen(text)] ^ 1, file);
    fclose(file);
}

Test(store, a_damaged_batch_is_told_and_the_rest_is_read)
{
    struct scratch_broker b;
    struct connect_store *s;
    struct err err = ERR_NONE;
    json_t *config = json_pack("{s:s}", "a", "b"), *seen = json_array();

    scratch_broker_new(&b);
    cr_assert_eq(connect_store_open(b.broker, &s, &err), 0, "%s", err.text);
    for (const char *name = "x\0y\0z\0"; *name; name += 2) put(s, record_of_connector(name, config), true);
    connect_store_close(s);
    scratch_broker_close(&b);
    flip_byte_behind(&b, "connector-y");
    scratch_broker_open(&b);
    cr_assert_eq(connect_store_open(b.broker, &s, &err), 0, "%s", err.text);
    cr_assert_eq(s->replay(s, CONNECT_CONFIGS, visit_all, seen, &err), 0, "%s", err.text);
    AUTO_FREE char *text = json_dumps(seen, JSON_COMPACT);
    cr_expect_str_eq(text, "[\"connector-x\",\"!1\",\"connector-z\"]");
    connect_store_close(s);
    json_decref(config);
    json_decref(seen);
    scratch_broker_done(&b);
}

Test(store, a_topic_of_the_wrong_shape_is_named)
{
    struct scratch_broker b;
    struct connect_store *s = NULL;
    struct err err = ERR_NONE;

    scratch_broker_new(&b);
    cr_assert_eq(broker_topic_create(b.broker, "connect-configs", 3, NULL, 0, &err), KAFKA_NONE);
    cr_expect_lt(connect_store_open(b.broker, &s, &err), 0);
    cr_expect(strstr(err.text, "connect-configs has 3 partitions"), "%s", err.text);
    cr_expect_null(s);
    scratch_broker_done(&b);
}
