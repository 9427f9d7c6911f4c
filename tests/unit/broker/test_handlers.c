/* What clients rely on in Produce, Fetch, ListOffsets and Metadata, asked over a socket with our own codec. */
#include "tests/unit/broker/scratch_broker.h"

#include "base/clock.h"
#include "broker/api/fetched.h"
#include "broker/limits.h"
#include "broker/net/network.h"
#include "broker/access/security.h"
#include "protocol/batch_builder.h"
#include "tests/lib/kafka_client.h"
#include "tests/lib/parked.h"
#include "tests/lib/wait.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

struct fixture {
    struct scratch_broker s;
    struct kafka_client c;
};

static void fixture_new(struct fixture *f, int32_t partitions)
{
    struct err err;
    scratch_broker_new(&f->s);
    cr_assert_eq(broker_topic_create(f->s.broker, "t", partitions, NULL, 0, &err), KAFKA_NONE);
    cr_assert(kafka_client_open(&f->c, broker_address(f->s.broker)));
}

static void fixture_done(struct fixture *f)
{
    kafka_client_close(&f->c);
    scratch_broker_done(&f->s);
}

/* -- produce -- */

static struct produce_response_partition_produce_response produce(struct fixture *f, int16_t version, int32_t partition,
                                                                  struct slice records, int16_t acks)
{
    struct produce_request_partition_produce_data data = {.index = partition, .records.slice = records};
    struct produce_request_topic_produce_data topic = {
        .name = SLICE("t"), .partition_data = &data, .partition_data_count = 1};
    struct produce_request in = {.acks = acks, .timeout_ms = 1000, .topic_data = &topic, .topic_data_count = 1};
    struct produce_response out;

    cr_assert(kafka_client_call(&f->c, KAFKA_API_PRODUCE, version, &in, &out));
    cr_assert(out.responses_count == 1 && out.responses[0].partition_responses_count == 1);
    return out.responses[0].partition_responses[0];
}

/* A batch of `count` records whose values have `size` bytes; lives in the builder. */
static struct slice make_batch(struct batch_builder *b, int count, uint32_t size, int64_t timestamp_ms)
{
    struct batch_fields fields = BATCH_FIELDS_PLAIN;
    struct slice batch;
    AUTO_FREE char *value = xcalloc(1, size + 1);

    batch_builder_reset(b);
    for (int i = 0; i < count; i++)
        batch_builder_append(b, timestamp_ms + i, SLICE("k"), slice_make(value, size), NULL, 0);
    cr_assert_eq(batch_builder_finish(b, &fields, &batch), 0);
    return batch;
}

static void produce_batches(struct fixture *f, int32_t partition, int batches, int records, uint32_t size)
{
    struct batch_builder b;

    batch_builder_init(&b);
    for (int i = 0; i < batches; i++)
        cr_assert_eq(produce(f, 7, partition, make_batch(&b, records, size, 1000 + i * 100), 1).error_code, KAFKA_NONE);
    batch_builder_done(&b);
}

Test(handlers, produce_answers_offsets_and_refusals_with_texts)
{
    struct fixture f;
    struct batch_builder b;
    struct produce_response_partition_produce_response p;
    AUTO_FREE uint8_t *damaged = NULL;

    fixture_new(&f, 1);
    batch_builder_init(&b);
    p = produce(&f, 9, 0, make_batch(&b, 3, 10, 1000), -1);
    cr_expect(p.error_code == 0 && p.base_offset == 0 && p.log_start_offset == 0 && p.log_append_time_ms == -1);
    p = produce(&f, 9, 0, make_batch(&b, 1, 10, 1000), 1);
    cr_expect_eq(p.base_offset, 3);

    cr_expect_eq(produce(&f, 9, 1, make_batch(&b, 1, 10, 1000), 1).error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    cr_expect_eq(produce(&f, 9, 0, make_batch(&b, 1, 10, 1000), 7).error_code, KAFKA_INVALID_REQUIRED_ACKS);
    p = produce(&f, 9, 0, SLICE_EMPTY, 1);
    cr_expect(p.error_code == KAFKA_INVALID_RECORD && p.base_offset == -1 && p.error_message.len > 0);
    cr_expect_eq(produce(&f, 9, 0, make_batch(&b, 1, 2000000, 1000), 1).error_code, KAFKA_MESSAGE_TOO_LARGE);
    struct slice good = make_batch(&b, 1, 10, 1000);
    damaged = xmalloc(good.len * 2);
    memcpy(damaged, good.ptr, good.len);
    damaged[good.len - 1] ^= 1;
    cr_expect_eq(produce(&f, 9, 0, slice_make(damaged, good.len), 1).error_code, KAFKA_CORRUPT_MESSAGE);
    memcpy(damaged, good.ptr, good.len);
    memcpy(damaged + good.len, good.ptr, good.len);
    cr_expect_eq(produce(&f, 9, 0, slice_make(damaged, good.len * 2), 1).error_code, KAFKA_INVALID_RECORD,
                 "one batch per partition");
    damaged[good.len + 16] = 0; /* the second's magic; it ends where it did */
    cr_expect_eq(produce(&f, 9, 0, slice_make(damaged, good.len * 2), 1).error_code, KAFKA_INVALID_RECORD);
    cr_expect_eq(produce(&f, 9, 0, slice_make(damaged, good.len * 2 - 1), 1).base_offset, 4,
                 "a part of one is left out");
    damaged[16] = 1; /* magic */
    cr_expect_eq(produce(&f, 9, 0, slice_make(damaged, good.len), 1).error_code, KAFKA_INVALID_RECORD);
    cr_expect_eq(produce(&f, 9, 0, make_batch(&b, 1, 10, 1000), 1).base_offset, 5, "what was refused left nothing");
    batch_builder_done(&b);
    fixture_done(&f);
}

Test(handlers, acks_0_is_silent_and_an_error_closes)
{
    struct fixture f;
    struct batch_builder b;
    struct produce_request_partition_produce_data data = {0};
    struct produce_request_topic_produce_data topic = {
        .name = SLICE("t"), .partition_data = &data, .partition_data_count = 1};
    struct produce_request in = {.acks = 0, .topic_data = &topic, .topic_data_count = 1};
    struct produce_response out;

    fixture_new(&f, 1);
    batch_builder_init(&b);
    data.records.slice = make_batch(&b, 1, 10, 1000);
    cr_assert(kafka_client_send(&f.c, KAFKA_API_PRODUCE, 7, &in));
    cr_assert_eq(produce(&f, 7, 0, make_batch(&b, 1, 10, 1000), 1).base_offset, 1,
                 "the next request is answered, the first is not");
    data.index = 5;
    cr_assert(kafka_client_send(&f.c, KAFKA_API_PRODUCE, 7, &in));
    cr_assert(!kafka_client_receive(&f.c, KAFKA_API_PRODUCE, 7, &out));
    batch_builder_done(&b);
    fixture_done(&f);
}

/* -- fetch -- */

struct fetch_ask {
    int32_t partitions;
    int64_t offset;
    int32_t max_bytes, partition_max_bytes;
    int32_t min_bytes, max_wait_ms;
    int32_t session_id, session_epoch;
    bool no_topics;
};

static struct fetch_response fetch(struct fixture *f, int16_t version, const struct fetch_ask *ask)
{
    struct fetch_request_partition partitions[4];
    struct fetch_request_topic topic = {
        .topic = SLICE("t"), .partitions = partitions, .partitions_count = ask->partitions};
    struct fetch_request in;
    struct fetch_response out;

    fetch_request_init(&in);
    for (int i = 0; i < ask->partitions; i++) {
        fetch_request_partition_init(&partitions[i]);
        partitions[i].partition = i;
        partitions[i].fetch_offset = ask->offset;
        partitions[i].partition_max_bytes = ask->partition_max_bytes ? ask->partition_max_bytes : 1 << 20;
    }
    if (version >= 13) {
        const struct metadata *m = broker_metadata(f->s.broker);
        topic.topic_id = metadata_topic(m, SLICE("t"))->id;
        metadata_unref(m);
    }
    in.max_bytes = ask->max_bytes ? ask->max_bytes : 50 << 20;
    in.min_bytes = ask->min_bytes;
    in.max_wait_ms = ask->max_wait_ms;
    in.session_id = ask->session_id;
    in.session_epoch = ask->session_epoch;
    in.topics = &topic;
    in.topics_count = ask->no_topics ? 0 : 1;
    cr_assert(kafka_client_call(&f->c, KAFKA_API_FETCH, version, &in, &out));
    return out;
}

#define FETCH_ONE(...) fetch(&f, 11, &(struct fetch_ask){.partitions = 1, .session_epoch = -1, __VA_ARGS__})

static int64_t base_offset(struct slice records)
{
    return records.len < 8 ? -1 : (int64_t)be64_load(records.ptr);
}

Test(handlers, fetch_returns_the_whole_batch_that_holds_the_offset)
{
    struct fixture f;

    fixture_new(&f, 1);
    produce_batches(&f, 0, 3, 5, 100);
    for (int16_t version = 4; version <= 17; version++) {
        struct fetch_response out =
            fetch(&f, version, &(struct fetch_ask){.partitions = 1, .offset = 7, .session_epoch = -1});
        struct fetch_response_partition_data *d = &out.responses[0].partitions[0];
        cr_assert(d->error_code == 0 && d->high_watermark == 15 && d->last_stable_offset == 15, "version %d", version);
        cr_assert_eq(base_offset(d->records.slice), 5);
        cr_assert_eq(d->aborted_transactions_count, -1, "null for read_uncommitted");
    }
    struct fetch_response out = FETCH_ONE(.offset = 15);
    cr_assert(out.responses[0].partitions[0].records.slice.ptr && out.responses[0].partitions[0].records.slice.len == 0,
              "empty, not null");
    out = FETCH_ONE(.offset = 16);
    cr_assert_eq(out.responses[0].partitions[0].error_code, KAFKA_OFFSET_OUT_OF_RANGE);
    cr_assert_eq(out.responses[0].partitions[0].high_watermark, -1);
    fixture_done(&f);
}

Test(handlers, the_first_batch_comes_whole_whatever_the_limits)
{
    struct fixture f;

    fixture_new(&f, 2);
    produce_batches(&f, 0, 3, 1, 1000);
    produce_batches(&f, 1, 3, 1, 1000);
    struct fetch_response out =
        fetch(&f, 11, &(struct fetch_ask){.partitions = 2, .max_bytes = 10, .session_epoch = -1});
    uint32_t one = out.responses[0].partitions[0].records.slice.len;
    cr_assert(one > 1000 && one < 1200);
    cr_assert_eq(out.responses[0].partitions[1].records.slice.len, 0, "nothing is left for the second");
    out = fetch(&f, 11,
                &(struct fetch_ask){.partitions = 2, .partition_max_bytes = (int32_t)(2 * one), .session_epoch = -1});
    cr_assert_eq(out.responses[0].partitions[0].records.slice.len, 2 * one);
    cr_assert_eq(out.responses[0].partitions[1].records.slice.len, 2 * one);
    fixture_done(&f);
}

Test(handlers, a_partition_with_more_than_fits_uses_up_the_limit)
{
    struct fixture f;

    fixture_new(&f, 2);
    produce_batches(&f, 0, 2, 1, 1000);
    produce_batches(&f, 1, 1, 1, 100);
    struct fetch_ask ask = {.partitions = 2, .max_bytes = 1500, .session_epoch = -1};
    struct fetch_response out = fetch(&f, 11, &ask);
    uint32_t one = out.responses[0].partitions[0].records.slice.len;
    cr_assert(one > 1000 && one < 1200, "whole batches only");
    cr_assert_eq(out.responses[0].partitions[1].records.slice.len, 0, "as Kafka, which sends a part of the next batch");
    ask.min_bytes = 1500;
    ask.max_wait_ms = 60000;
    fetch(&f, 11, &ask); /* does not wait for what cannot come */
    ask.max_bytes = (int32_t)(2 * one) + 500;
    out = fetch(&f, 11, &ask);
    cr_assert_eq(out.responses[0].partitions[0].records.slice.len, 2 * one);
    cr_assert_gt(out.responses[0].partitions[1].records.slice.len, 100, "there was no more in the first");
    fixture_done(&f);
}

Test(handlers, long_ranges_arrive_as_they_were_stored)
{
    struct fixture f;

    fixture_new(&f, 1);
    produce_batches(&f, 0, 8, 3, 100000); /* beyond what is copied: sendfile */
    struct fetch_response out = FETCH_ONE(.offset = 0);
    struct slice rest = out.responses[0].partitions[0].records.slice;
    struct record_batch b;
    int count = 0;
    while (record_batch_next(&rest, &b) == RECORD_BATCH_OK) {
        cr_assert(record_batch_crc_ok(&b) && b.base_offset == 3 * count);
        count++;
    }
    cr_assert_geq(count, 3);
    fixture_done(&f);
}

static int64_t now_ms(void)
{
    return clock_mono_ms(&clock_system);
}

/* Until a fetch of t-0 is parked. */
static void await_parked(struct fixture *f)
{
    struct partition_log *log = broker_partition(f->s.broker, "t", 0);

    cr_assert(WAIT_UNTIL(log_is_awaited(log)));
    partition_log_unref(log);
}

static void *produce_later(void *arg)
{
    struct fixture *f = arg;
    struct fixture other = {.s = f->s};

    await_parked(f);
    cr_assert(kafka_client_open(&other.c, broker_address(f->s.broker)));
    produce_batches(&other, 0, 1, 1, 10);
    kafka_client_close(&other.c);
    return NULL;
}

Test(handlers, a_fetch_waits_until_there_is_enough_or_the_time_is_over)
{
    struct fixture f;
    pthread_t thread;

    fixture_new(&f, 1);
    int64_t begin = now_ms();
    struct fetch_response out = FETCH_ONE(.min_bytes = 1, .max_wait_ms = 100);
    cr_expect(now_ms() - begin >= 95 && out.responses[0].partitions[0].records.slice.len == 0);

    begin = now_ms();
    pthread_create(&thread, NULL, produce_later, &f);
    out = FETCH_ONE(.min_bytes = 1, .max_wait_ms = 20000);
    pthread_join(thread, NULL);
    cr_expect(now_ms() - begin < 5000 && out.responses[0].partitions[0].records.slice.len > 0);

    begin = now_ms();
    pthread_create(&thread, NULL, produce_later, &f);
    out = FETCH_ONE(.offset = 1, .min_bytes = 100000, .max_wait_ms = 300);
    pthread_join(thread, NULL);
    cr_expect(now_ms() - begin >= 295 && out.responses[0].partitions[0].records.slice.len > 0,
              "too little to be woken for");
    begin = now_ms();
    out = FETCH_ONE(.offset = 99, .min_bytes = 1, .max_wait_ms = 20000);
    cr_expect(now_ms() - begin < 5000, "an error is answered at once");
    fixture_done(&f);
}

Test(handlers, a_deleted_topic_ends_the_waiting)
{
    struct fixture f;
    struct fetch_request_partition partition;
    struct fetch_request_topic topic = {.topic = SLICE("t"), .partitions = &partition, .partitions_count = 1};
    struct fetch_request in;
    struct fetch_response out;
    struct err err;

    fixture_new(&f, 1);
    fetch_request_init(&in);
    fetch_request_partition_init(&partition);
    partition.partition_max_bytes = 100;
    in.min_bytes = 1;
    in.max_wait_ms = 60000;
    in.topics = &topic;
    in.topics_count = 1;
    cr_assert(kafka_client_send(&f.c, KAFKA_API_FETCH, 11, &in));
    await_parked(&f);
    cr_assert_eq(broker_topic_delete(f.s.broker, "t", &err), KAFKA_NONE);
    cr_assert(kafka_client_receive(&f.c, KAFKA_API_FETCH, 11, &out));
    cr_assert_eq(out.responses[0].partitions[0].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    fixture_done(&f);
}

Test(handlers, incremental_sessions_tell_only_what_is_new)
{
    struct fixture f;

    fixture_new(&f, 3);
    produce_batches(&f, 1, 1, 1, 10);
    struct fetch_response out = fetch(&f, 11, &(struct fetch_ask){.partitions = 3});
    int32_t id = out.session_id;
    cr_assert(id > 0 && out.responses[0].partitions_count == 3, "the first answer is full");
    out = fetch(&f, 11, &(struct fetch_ask){.session_id = id, .session_epoch = 1, .no_topics = true});
    cr_assert(out.error_code == 0 && out.session_id == id && out.responses_count == 1 &&
                  out.responses[0].partitions_count == 1,
              "the data is there still, as the offset was not moved on");
    cr_assert_eq(out.responses[0].partitions[0].partition_index, 1);

    /* Moving on: partition 1 from offset 1. */
    struct fetch_request_partition moved;
    struct fetch_request_topic topic = {.topic = SLICE("t"), .partitions = &moved, .partitions_count = 1};
    struct fetch_request in;
    fetch_request_init(&in);
    fetch_request_partition_init(&moved);
    moved.partition = 1;
    moved.fetch_offset = 1;
    moved.partition_max_bytes = 1000;
    in.session_id = id;
    in.session_epoch = 2;
    in.topics = &topic;
    in.topics_count = 1;
    cr_assert(kafka_client_call(&f.c, KAFKA_API_FETCH, 11, &in, &out));
    cr_assert(out.error_code == 0 && out.responses_count == 0, "nothing is new");
    produce_batches(&f, 2, 1, 1, 10);
    out = fetch(&f, 11, &(struct fetch_ask){.session_id = id, .session_epoch = 3, .no_topics = true});
    cr_assert(out.responses_count == 1 && out.responses[0].partitions[0].partition_index == 2);

    out = fetch(&f, 11, &(struct fetch_ask){.session_id = id, .session_epoch = 9, .no_topics = true});
    cr_assert_eq(out.error_code, KAFKA_INVALID_FETCH_SESSION_EPOCH);
    out = fetch(&f, 13, &(struct fetch_ask){.session_id = id, .session_epoch = 4, .no_topics = true});
    cr_assert_eq(out.error_code, KAFKA_FETCH_SESSION_TOPIC_ID_ERROR);
    out = fetch(&f, 11, &(struct fetch_ask){.partitions = 3, .session_id = id, .session_epoch = -1});
    cr_assert(out.session_id == 0 && out.responses[0].partitions_count == 3, "closed, and a full answer");
    out = fetch(&f, 11, &(struct fetch_ask){.session_id = id, .session_epoch = 4, .no_topics = true});
    cr_assert_eq(out.error_code, KAFKA_FETCH_SESSION_ID_NOT_FOUND);
    fixture_done(&f);
}

/* -- offsets, metadata -- */

static struct list_offsets_response_partition_response list_offset(struct fixture *f, int16_t version,
                                                                   int64_t timestamp)
{
    struct list_offsets_request_partition p;
    struct list_offsets_request_topic topic = {.name = SLICE("t"), .partitions = &p, .partitions_count = 1};
    struct list_offsets_request in;
    struct list_offsets_response out;

    list_offsets_request_init(&in);
    list_offsets_request_partition_init(&p);
    p.timestamp = timestamp;
    in.topics = &topic;
    in.topics_count = 1;
    cr_assert(kafka_client_call(&f->c, KAFKA_API_LIST_OFFSETS, version, &in, &out));
    return out.topics[0].partitions[0];
}

Test(handlers, offsets_by_timestamp)
{
    static const struct {
        int16_t version;
        int64_t timestamp, offset, found;
        enum kafka_error error;
    } cases[] = {
        {1, -1, 6, -1, 0},
        {1, -2, 0, -1, 0},
        {1, 1000, 0, 1000, 0},
        {1, 1002, 2, 1002, 0},
        {1, 1003, 3, 1100, 0},
        {1, 1102, 5, 1102, 0},
        {1, 1103, -1, -1, 0},
        {7, -3, 5, 1102, 0},
        {8, -4, 0, -1, 0},
        {9, -5, -1, -1, 0},
        {6, -3, -1, -1, KAFKA_UNSUPPORTED_VERSION},
        {9, -6, -1, -1, KAFKA_UNSUPPORTED_VERSION},
    };
    struct fixture f;

    fixture_new(&f, 1);
    produce_batches(&f, 0, 2, 3, 10); /* timestamps 1000 1001 1002 1100 1101 1102 */
    for (size_t i = 0; i < countof(cases); i++) {
        struct list_offsets_response_partition_response p = list_offset(&f, cases[i].version, cases[i].timestamp);
        cr_expect(p.error_code == (int16_t)cases[i].error && p.offset == cases[i].offset &&
                      p.timestamp == cases[i].found,
                  "%zu: error %d offset %d timestamp %d", i, p.error_code, (int)p.offset, (int)p.timestamp);
    }
    fixture_done(&f);
}

static struct metadata_response ask_metadata(struct fixture *f, int16_t version, const char *name, bool create)
{
    struct metadata_request_topic topic = {.name = slice_of(name)};
    struct metadata_request in;
    struct metadata_response out;

    metadata_request_init(&in);
    in.topics = &topic;
    in.topics_count = name ? 1 : version == 0 ? 0 : -1;
    in.allow_auto_topic_creation = create;
    cr_assert(kafka_client_call(&f->c, KAFKA_API_METADATA, version, &in, &out));
    return out;
}

Test(handlers, metadata_answers_every_version_and_creates_when_asked)
{
    struct fixture f;
    struct metadata_response out;

    fixture_new(&f, 2);
    for (int16_t version = 0; version <= 13; version++) {
        out = ask_metadata(&f, version, NULL, false);
        cr_assert(out.brokers_count == 1 && out.topics_count == 1 && out.topics[0].partitions_count == 2, "version %d",
                  version);
        cr_assert(slice_eq_text(out.brokers[0].host, "127.0.0.1") &&
                  out.brokers[0].port == atoi(strrchr(broker_address(f.s.broker), ':') + 1));
        cr_assert(version < 1 || out.controller_id == 1);
        cr_assert(version < 2 || out.cluster_id.len == 22);
    }
    out = ask_metadata(&f, 9, "new", false);
    cr_assert_eq(out.topics[0].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    out = ask_metadata(&f, 9, "new", true);
    cr_assert(out.topics[0].error_code == KAFKA_NONE && out.topics[0].partitions_count == 1);
    out = ask_metadata(&f, 9, "no/slash", true);
    cr_assert_eq(out.topics[0].error_code, KAFKA_INVALID_TOPIC_EXCEPTION);
    out = ask_metadata(&f, 9, "n.e_w", true);
    out = ask_metadata(&f, 9, "n_e.w", true);
    cr_assert_eq(out.topics[0].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "collides, and so is not created");
    fixture_done(&f);
}

/* -- requests that are too much -- */

Test(handlers, create_topics_survives_configs_that_fill_its_memory, .timeout = 60)
{
    struct fixture f;
    struct create_topics_request_creatable_topic topic;
    struct create_topics_request in;
    struct create_topics_response out;
    /* Decoded they leave room, their copies as texts do not. */
    size_t count = REQUEST_ARENA_BYTES_MAX / (sizeof topic.configs[0] + sizeof(struct config_entry) + 20);

    fixture_new(&f, 1);
    create_topics_request_init(&in);
    create_topics_request_creatable_topic_init(&topic);
    topic.name = SLICE("much");
    topic.num_partitions = 1;
    topic.replication_factor = 1;
    topic.configs = xcalloc(count, sizeof topic.configs[0]);
    topic.configs_count = (int32_t)count;
    for (size_t i = 0; i < count; i++) {
        topic.configs[i].name = SLICE("retention.ms");
        topic.configs[i].value = SLICE("1");
    }
    in.topics = &topic;
    in.topics_count = 1;
    for (int shift = 0; shift < 3; shift++) { /* which copy is the first one without room? */
        if (shift) topic.configs[shift].value = SLICE("10000000");
        cr_assert(kafka_client_call(&f.c, KAFKA_API_CREATE_TOPICS, 5, &in, &out));
        cr_assert_eq(out.topics_count, 1);
        cr_expect_eq(out.topics[0].error_code, KAFKA_UNKNOWN_SERVER_ERROR);
    }
    free(topic.configs);
    fixture_done(&f);
}

/* -- options -- */

static int16_t set_broker_option(struct fixture *f, const char *name, const char *value)
{
    struct incremental_alter_configs_request_alterable_config config;
    struct incremental_alter_configs_request_alter_configs_resource resource;
    struct incremental_alter_configs_request in;
    struct incremental_alter_configs_response out;

    incremental_alter_configs_request_alterable_config_init(&config);
    config.name = slice_of(name);
    config.value = value ? slice_of(value) : SLICE_NULL;
    config.config_operation = value ? 0 : 1;
    incremental_alter_configs_request_alter_configs_resource_init(&resource);
    resource.resource_type = 4; /* broker */
    resource.configs = &config;
    resource.configs_count = 1;
    incremental_alter_configs_request_init(&in);
    in.resources = &resource;
    in.resources_count = 1;
    cr_assert(kafka_client_call(&f->c, KAFKA_API_INCREMENTAL_ALTER_CONFIGS, 1, &in, &out));
    cr_assert_eq(out.responses_count, 1);
    return out.responses[0].error_code;
}

Test(handlers, options_without_effect_are_not_set_as_if_they_had_one)
{
    static const struct {
        const char *name, *value;
        enum kafka_error error;
    } cases[] = {
        {"background.threads", "4", KAFKA_NONE}, /* tools set it; warned of */
        {"background.threads", "four", KAFKA_INVALID_REQUEST},
        {"broker.rack", "a", KAFKA_INVALID_REQUEST}, /* which Kafka does not change while it runs, either */
        {"ssl.client.auth", "required", KAFKA_INVALID_CONFIG},
        {"ssl.client.auth", NULL, KAFKA_NONE},
        {"sasl.enabled.mechanisms", "PLAIN", KAFKA_INVALID_CONFIG},
    };
    struct fixture f;

    fixture_new(&f, 1);
    for (size_t i = 0; i < countof(cases); i++)
        cr_expect_eq(set_broker_option(&f, cases[i].name, cases[i].value), cases[i].error, "%s", cases[i].name);
    fixture_done(&f);
}

/* -- stopping -- */

static int16_t coordinator_of_groups(struct kafka_client *c)
{
    struct find_coordinator_request in;
    struct find_coordinator_response out;

    find_coordinator_request_init(&in);
    in.key = SLICE("g");
    cr_assert(kafka_client_call(c, KAFKA_API_FIND_COORDINATOR, 3, &in, &out));
    return out.error_code;
}

static void send_commit(struct kafka_client *c, int64_t offset)
{
    struct offset_commit_request in;
    struct offset_commit_request_partition partition;
    struct offset_commit_request_topic topic;

    offset_commit_request_partition_init(&partition);
    partition.committed_offset = offset;
    offset_commit_request_topic_init(&topic);
    topic.name = SLICE("t");
    topic.partitions = &partition;
    topic.partitions_count = 1;
    offset_commit_request_init(&in);
    in.group_id = SLICE("g");
    in.topics = &topic;
    in.topics_count = 1;
    cr_assert(kafka_client_send(c, KAFKA_API_OFFSET_COMMIT, 8, &in));
}

static void send_join(struct kafka_client *c)
{
    struct join_group_request in;
    struct join_group_request_protocol protocol = {.name = SLICE("range")};

    join_group_request_init(&in);
    in.group_id = SLICE("parked");
    in.session_timeout_ms = 30000;
    in.rebalance_timeout_ms = 300000;
    in.protocol_type = SLICE("consumer");
    in.protocols = &protocol;
    in.protocols_count = 1;
    cr_assert(kafka_client_send(c, KAFKA_API_JOIN_GROUP, 3, &in));
}

/* Of the group that send_join() joins; NULL: it is not read yet. */
static const char *group_state(struct kafka_client *c, char ret_state[40])
{
    struct slice name = SLICE("parked");
    struct describe_groups_request in;
    struct describe_groups_response out;

    describe_groups_request_init(&in);
    in.groups = &name;
    in.groups_count = 1;
    cr_assert(kafka_client_call(c, KAFKA_API_DESCRIBE_GROUPS, 3, &in, &out));
    if (out.groups[0].error_code != KAFKA_NONE) return NULL;
    snprintf(ret_state, 40, SLICE_FMT, SLICE_ARG(out.groups[0].group_state));
    return ret_state;
}

/* Opens the broker of f again, with strict durability and a group that waits an hour for its members. */
static void reopen_strict(struct fixture *f)
{
    struct err err = ERR_NONE;
    struct broker_config *config = scratch_config(&f->s);

    cr_assert_eq(broker_config_set(config, "ottla.durability", "strict", NULL), 0);
    cr_assert_eq(broker_config_set(config, "group.initial.rebalance.delay.ms", "3600000", NULL), 0);
    cr_assert_eq(broker_open(config, &f->s.broker, &err), 0, "%s", err.text);
    cr_assert_eq(broker_serve(f->s.broker, &err), 0, "%s", err.text);
    cr_assert(kafka_client_open(&f->c, broker_address(f->s.broker)));
}

Test(handlers, a_stop_waits_for_no_longer_than_the_disk)
{
    struct fixture f;
    struct kafka_client joining;
    char state[40];

    fixture_new(&f, 1);
    for (int round = 0; round < 20; round++) {
        kafka_client_close(&f.c);
        scratch_broker_close(&f.s);
        reopen_strict(&f);
        cr_assert(WAIT_UNTIL(coordinator_of_groups(&f.c) == KAFKA_NONE));
        cr_assert(WAIT_UNTIL(group_state(&f.c, state)));
        cr_assert(kafka_client_open(&joining, broker_address(f.s.broker)));
        send_join(&joining);
        cr_assert(WAIT_UNTIL(strcmp(group_state(&f.c, state), "PreparingRebalance") == 0), "%s", state);
        send_commit(&f.c, round);
        /* The stop comes while the commit is on its way to the disk, at another moment each time. */
        for (int64_t end_us = clock_system.mono_us(&clock_system) + round * 100;
             clock_system.mono_us(&clock_system) < end_us;)
            sched_yield();
        int64_t begin_ms = clock_mono_ms(&clock_system);
        broker_stop(f.s.broker);
        broker_close(f.s.broker);
        cr_assert_lt(clock_mono_ms(&clock_system) - begin_ms, 5000, "round %d", round);
        kafka_client_close(&joining);
        kafka_client_close(&f.c);
        scratch_broker_open(&f.s);
        cr_assert(kafka_client_open(&f.c, broker_address(f.s.broker)));
    }
    fixture_done(&f);
}

/* -- long requests -- */

#define MANY 200000

/* Names that are all different but for the last, which is the first again. */
static void many_name(struct slice *ret_name, int i)
{
    static char names[MANY][12];
    snprintf(names[i], sizeof names[i], "n/%d", i == MANY - 1 ? 0 : i);
    *ret_name = slice_of(names[i]);
}

Test(handlers, doubles_among_many_are_found_at_once, .timeout = 10)
{
    struct fixture f;
    fixture_new(&f, 1);

    struct create_topics_request_creatable_topic *created = xcalloc(MANY, sizeof *created);
    struct create_partitions_request_topic *grown = xcalloc(MANY, sizeof *grown);
    struct incremental_alter_configs_request_alter_configs_resource *altered = xcalloc(MANY, sizeof *altered);
    struct alter_configs_request_alterable_config *configs = xcalloc(MANY, sizeof *configs);
    for (int i = 0; i < MANY; i++) {
        create_topics_request_creatable_topic_init(&created[i]);
        create_partitions_request_topic_init(&grown[i]);
        incremental_alter_configs_request_alter_configs_resource_init(&altered[i]);
        alter_configs_request_alterable_config_init(&configs[i]);
        many_name(&created[i].name, i);
        grown[i].name = altered[i].resource_name = configs[i].name = created[i].name;
        altered[i].resource_type = CONFIG_RESOURCE_TOPIC;
        configs[i].value = SLICE("1");
    }
    altered[1].resource_name = altered[2].resource_name; /* of another kind: no double */
    altered[1].resource_type = 8;

    struct create_topics_request create = {.topics = created, .topics_count = MANY};
    struct create_topics_response create_out;
    cr_assert(kafka_client_call(&f.c, KAFKA_API_CREATE_TOPICS, 5, &create, &create_out));
    cr_assert_eq(create_out.topics_count, MANY - 1, "each name is answered once");
    for (int i = 0; i < MANY - 1; i++)
        cr_assert_eq(create_out.topics[i].error_code, i == 0 ? KAFKA_INVALID_REQUEST : KAFKA_INVALID_TOPIC_EXCEPTION);

    struct create_partitions_request grow = {.topics = grown, .topics_count = MANY};
    struct create_partitions_response grow_out;
    cr_assert(kafka_client_call(&f.c, KAFKA_API_CREATE_PARTITIONS, 3, &grow, &grow_out));
    cr_assert_eq(grow_out.results_count, MANY - 1);
    for (int i = 0; i < MANY - 1; i++)
        cr_assert_eq(grow_out.results[i].error_code, i == 0 ? KAFKA_INVALID_REQUEST : KAFKA_UNKNOWN_TOPIC_OR_PARTITION);

    struct incremental_alter_configs_request edit = {.resources = altered, .resources_count = MANY};
    struct incremental_alter_configs_response edit_out;
    cr_assert(kafka_client_call(&f.c, KAFKA_API_INCREMENTAL_ALTER_CONFIGS, 1, &edit, &edit_out));
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(edit_out.responses[i].error_code,
                     i <= 1 || i == MANY - 1 ? KAFKA_INVALID_REQUEST : KAFKA_INVALID_TOPIC_EXCEPTION);

    struct alter_configs_request_resource resource = {
        .resource_type = CONFIG_RESOURCE_TOPIC, .resource_name = SLICE("t"), .configs = configs, .configs_count = MANY};
    struct alter_configs_request alter = {.resources = &resource, .resources_count = 1};
    struct alter_configs_response alter_out;
    cr_assert(kafka_client_call(&f.c, KAFKA_API_ALTER_CONFIGS, 2, &alter, &alter_out));
    cr_expect_eq(alter_out.responses[0].error_code, KAFKA_INVALID_REQUEST);
    resource.configs_count = MANY - 1;
    cr_assert(kafka_client_call(&f.c, KAFKA_API_ALTER_CONFIGS, 2, &alter, &alter_out));
    cr_expect_eq(alter_out.responses[0].error_code, KAFKA_INVALID_CONFIG);

    free(created);
    free(grown);
    free(altered);
    free(configs);
    fixture_done(&f);
}

/* -- memory of answers -- */

static int64_t request_bytes(const struct fixture *f)
{
    return atomic_load(&f->s.broker->network->request_bytes);
}

Test(handlers, answers_that_nobody_reads_count_as_memory_of_requests)
{
    enum { PARTITIONS = 1000, REQUESTS = 600 };
    struct fixture f;
    struct metadata_request in;
    int64_t before;

    fixture_new(&f, PARTITIONS);
    metadata_request_init(&in);
    in.topics_count = -1; /* all */
    before = request_bytes(&f);
    /* 25 kB each: more than sockets take. */
    for (int i = 0; i < REQUESTS; i++) cr_assert(kafka_client_send(&f.c, KAFKA_API_METADATA, 4, &in));
    cr_assert(WAIT_UNTIL(request_bytes(&f) > before + UNSENT_BYTES_MAX / 8), "%lld", (long long)request_bytes(&f));
    cr_expect_lt(request_bytes(&f), 4 * UNSENT_BYTES_MAX, "the next ones wait");
    kafka_client_close(&f.c);
    cr_assert(WAIT_UNTIL(request_bytes(&f) == before));
    cr_assert(kafka_client_open(&f.c, broker_address(f.s.broker)));
    fixture_done(&f);
}

Test(handlers, a_fetch_of_many_short_records_stays_in_its_files)
{
    static const uint32_t length = FETCH_COPY_BYTES_MAX;
    struct {
        struct block *copied;
        struct wire_records records;
    } parts[FETCH_COPIES_BYTES_MAX / FETCH_COPY_BYTES_MAX + 1];
    FILE *file = tmpfile();
    struct file_ref ref = {.refs = 1};
    struct log_read read = {.io = &io_posix, .file = &ref, .length = length};
    int64_t copies_bytes = 0;

    cr_assert(file && ftruncate(fileno(file), length) == 0);
    ref.fd = fileno(file);
    for (size_t i = 0; i < countof(parts); i++) {
        parts[i].copied = NULL;
        cr_assert_eq(fetched_records(&read, &copies_bytes, &parts[i].copied, &parts[i].records), KAFKA_NONE);
        cr_expect_eq(wire_records_size(&parts[i].records), length);
        cr_expect_eq(parts[i].copied != NULL, i < countof(parts) - 1);
        block_unref(parts[i].copied);
    }
    cr_expect_eq(copies_bytes, FETCH_COPIES_BYTES_MAX);
    fclose(file);
}

/* -- access rules -- */

Test(handlers, as_many_rules_as_there_are_are_described, .timeout = 60)
{
    enum { RULES = 6000, ROUNDS = 3 };
    struct fixture f;
    struct create_acls_request_acl_creation *rules = xcalloc(RULES / ROUNDS, sizeof *rules);
    char names[RULES / ROUNDS][16];

    fixture_new(&f, 1);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < RULES / ROUNDS; i++) {
            /* Two rules for each topic, apart from each other. */
            snprintf(names[i], sizeof names[i], "t%d", (round * (RULES / ROUNDS) + i) % (RULES / 2));
            create_acls_request_acl_creation_init(&rules[i]);
            rules[i].resource_type = RESOURCE_TOPIC;
            rules[i].resource_name = slice_of(names[i]);
            rules[i].resource_pattern_type = ACL_PATTERN_LITERAL;
            rules[i].principal = (round * (RULES / ROUNDS) + i) < RULES / 2 ? SLICE("User:a") : SLICE("User:b");
            rules[i].host = SLICE("*");
            rules[i].operation = ACL_READ;
            rules[i].permission_type = ACL_PERMISSION_ALLOW;
        }
        struct create_acls_request create = {.creations = rules, .creations_count = RULES / ROUNDS};
        struct create_acls_response created;
        cr_assert(kafka_client_call(&f.c, KAFKA_API_CREATE_ACLS, 3, &create, &created));
        cr_assert_eq(created.results[RULES / ROUNDS - 1].error_code, KAFKA_NONE);
    }

    struct describe_acls_request in = {.resource_type_filter = ACL_ANY,
                                       .pattern_type_filter = ACL_PATTERN_ANY,
                                       .operation = ACL_ANY,
                                       .permission_type = ACL_PERMISSION_ANY,
                                       .resource_name_filter = SLICE_NULL,
                                       .principal_filter = SLICE_NULL,
                                       .host_filter = SLICE_NULL};
    struct describe_acls_response out;
    cr_assert(kafka_client_call(&f.c, KAFKA_API_DESCRIBE_ACLS, 3, &in, &out));
    cr_assert_eq(out.resources_count, RULES / 2);
    for (int i = 0; i < out.resources_count; i++) cr_assert_eq(out.resources[i].acls_count, 2);
    free(rules);
    fixture_done(&f);
}

/* -- the topics of the coordinators -- */

static struct init_producer_id_response init_producer(struct fixture *f)
{
    struct find_coordinator_request find;
    struct find_coordinator_response found;
    struct init_producer_id_request in;
    struct init_producer_id_response out;

    find_coordinator_request_init(&find);
    find.key = SLICE("transactional");
    find.key_type = 1;
    cr_assert(kafka_client_call(&f->c, KAFKA_API_FIND_COORDINATOR, 3, &find, &found));
    cr_assert_eq(found.error_code, KAFKA_NONE);
    init_producer_id_request_init(&in);
    in.transactional_id = SLICE("transactional");
    in.transaction_timeout_ms = 1000;
    cr_assert(kafka_client_call(&f->c, KAFKA_API_INIT_PRODUCER_ID, 3, &in, &out));
    return out;
}

Test(handlers, a_deleted_transaction_log_is_made_anew)
{
    struct fixture f;
    fixture_new(&f, 1);
    for (int round = 0; round < 3; round++) {
        struct init_producer_id_response first = init_producer(&f), second = init_producer(&f);
        cr_assert(first.error_code == KAFKA_NONE && second.error_code == KAFKA_NONE, "round %d: %d %d", round,
                  first.error_code, second.error_code);
        cr_expect(first.producer_epoch == 0 && second.producer_epoch == 1);

        struct delete_topics_request in;
        struct delete_topics_response out;
        struct slice name = SLICE("__transaction_state");
        delete_topics_request_init(&in);
        in.topic_names = &name;
        in.topic_names_count = 1;
        cr_assert(kafka_client_call(&f.c, KAFKA_API_DELETE_TOPICS, 4, &in, &out));
        cr_assert_eq(out.responses[0].error_code, KAFKA_NONE);
    }
    fixture_done(&f);
}

Test(handlers, the_topics_of_coordinators_do_not_grow)
{
    struct fixture f;
    fixture_new(&f, 1);
    (void)init_producer(&f);
    cr_assert_eq(coordinator_of_groups(&f.c), KAFKA_NONE);
    struct create_partitions_request_topic topics[2];
    const char *names[] = {"__transaction_state", "__consumer_offsets"};
    for (int i = 0; i < 2; i++) {
        create_partitions_request_topic_init(&topics[i]);
        topics[i].name = slice_of(names[i]);
        topics[i].count = 100;
        topics[i].assignments_count = -1;
    }
    struct create_partitions_request in = {.topics = topics, .topics_count = 2};
    struct create_partitions_response out;
    cr_assert(kafka_client_call(&f.c, KAFKA_API_CREATE_PARTITIONS, 3, &in, &out));
    for (int i = 0; i < 2; i++) cr_expect_eq(out.results[i].error_code, KAFKA_INVALID_PARTITIONS, "%s", names[i]);
    fixture_done(&f);
}

/* Many commits of one offset, with texts as long as they may be. */
static void commit_much(struct fixture *f, int requests)
{
    enum { COUNT = 1000 };
    static char text[4000];
    struct offset_commit_request_partition *partitions = xcalloc(COUNT, sizeof *partitions);
    struct offset_commit_request_topic topic;
    struct offset_commit_request in;
    struct offset_commit_response out;

    memset(text, 'x', sizeof text);
    for (int i = 0; i < COUNT; i++) {
        offset_commit_request_partition_init(&partitions[i]);
        partitions[i].committed_metadata = slice_make(text, sizeof text);
    }
    offset_commit_request_topic_init(&topic);
    topic.name = SLICE("t");
    topic.partitions = partitions;
    topic.partitions_count = COUNT;
    offset_commit_request_init(&in);
    in.group_id = SLICE("g");
    in.topics = &topic;
    in.topics_count = 1;
    for (int i = 0; i < requests; i++) {
        cr_assert(kafka_client_call(&f->c, KAFKA_API_OFFSET_COMMIT, 7, &in, &out));
        cr_assert_eq(out.topics[0].partitions[0].error_code, KAFKA_NONE);
    }
    free(partitions);
}

static int16_t groups_loaded(struct fixture *f)
{
    struct list_groups_request in;
    struct list_groups_response out;
    list_groups_request_init(&in);
    cr_assert(kafka_client_call(&f->c, KAFKA_API_LIST_GROUPS, 3, &in, &out));
    return out.error_code;
}

static int16_t transactions_loaded(struct fixture *f)
{
    struct list_transactions_request in;
    struct list_transactions_response out;
    list_transactions_request_init(&in);
    cr_assert(kafka_client_call(&f->c, KAFKA_API_LIST_TRANSACTIONS, 0, &in, &out));
    return out.error_code;
}

Test(handlers, while_groups_are_read_the_timers_of_others_run, .timeout = 60)
{
    struct fixture f;
    fixture_new(&f, 1);
    (void)init_producer(&f);
    cr_assert_eq(coordinator_of_groups(&f.c), KAFKA_NONE);
    commit_much(&f, 40);
    kafka_client_close(&f.c);
    scratch_broker_close(&f.s);
    scratch_broker_open(&f.s);
    cr_assert(kafka_client_open(&f.c, broker_address(f.s.broker)));

    bool passed = false;
    int loading = 0; /* how often it was seen; on a busy machine it may be over before the first question */
    int16_t error;
    do {
        /* The transactions are read by timers. */
        int16_t transactions = transactions_loaded(&f);
        error = groups_loaded(&f);
        loading += error == KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
        passed |= transactions == KAFKA_NONE && error == KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
    } while (error == KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
    cr_assert_eq(error, KAFKA_NONE);
    cr_expect(passed || loading < 10, "seen loading %d times", loading);
    fixture_done(&f);
}
