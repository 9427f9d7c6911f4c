/* The broker under everything at once: clients that produce, poll and vanish, topics that come and go, readers and
 * writers in the same process. What was acknowledged must be there at the end; TSan watches the rest. */
#include "base/log.h"
#include "broker/broker.h"
#include "protocol/batch_builder.h"
#include "tests/lib/kafka_client.h"
#include "tests/lib/parked.h"
#include "tests/lib/wait.h"

#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#define PARTITIONS    3
#define RUN_SECONDS   3
#define FETCH_VERSION 11

static struct broker *broker;
static atomic_bool over;
static atomic_llong acknowledged, acknowledged_strict, appended, consumed;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition), abort();                     \
    } while (0)

/* Two requests at a time, so that the second waits behind the first; topic "t", or "s" in strict durability. */
static void *produce_to(struct slice topic_name)
{
    atomic_llong *count = slice_eq_text(topic_name, "t") ? &acknowledged : &acknowledged_strict;
    struct kafka_client c;
    struct batch_builder builder;
    struct batch_fields fields = BATCH_FIELDS_PLAIN;

    CHECK(kafka_client_open(&c, broker_address(broker)));
    batch_builder_init(&builder);
    for (int i = 0; !over; i++) {
        struct slice batch;
        struct produce_request_partition_produce_data data = {.index = i % PARTITIONS};
        struct produce_request_topic_produce_data topic = {
            .name = topic_name, .partition_data = &data, .partition_data_count = 1};
        struct produce_request in = {.acks = -1, .timeout_ms = 1000, .topic_data = &topic, .topic_data_count = 1};
        struct produce_response out;

        batch_builder_reset(&builder);
        for (int k = 0; k <= i % 5; k++) batch_builder_append(&builder, 1000, SLICE("key"), SLICE("value"), NULL, 0);
        CHECK(batch_builder_finish(&builder, &fields, &batch) == 0);
        data.records.slice = batch;
        CHECK(kafka_client_send(&c, KAFKA_API_PRODUCE, 7, &in) && kafka_client_send(&c, KAFKA_API_PRODUCE, 7, &in));
        c.correlation_id--;
        for (int k = 0; k < 2; k++, c.correlation_id++) {
            CHECK(kafka_client_receive(&c, KAFKA_API_PRODUCE, 7, &out));
            CHECK(out.responses[0].partition_responses[0].error_code == 0);
        }
        c.correlation_id--;
        *count += 2 * (i % 5 + 1);
    }
    batch_builder_done(&builder);
    kafka_client_close(&c);
    return NULL;
}

static void *produce(void *arg)
{
    return produce_to(SLICE("t"));
}

static void *produce_strict(void *arg)
{
    return produce_to(SLICE("s"));
}

static struct fetch_request fetch_all(struct fetch_request_topic *topic, struct fetch_request_partition *partitions,
                                      const int64_t *offsets)
{
    struct fetch_request in;

    fetch_request_init(&in);
    for (int i = 0; i < PARTITIONS; i++) {
        fetch_request_partition_init(&partitions[i]);
        partitions[i].partition = i;
        partitions[i].fetch_offset = offsets[i];
        partitions[i].partition_max_bytes = 100000;
    }
    *topic =
        (struct fetch_request_topic){.topic = SLICE("t"), .partitions = partitions, .partitions_count = PARTITIONS};
    in.max_wait_ms = 500;
    in.min_bytes = 1;
    in.topics = topic;
    in.topics_count = 1;
    return in;
}

static void take_records(struct slice batches, int64_t *offset)
{
    struct record_batch b;
    while (record_batch_next(&batches, &b) == RECORD_BATCH_OK) {
        CHECK(record_batch_crc_ok(&b));
        if (record_batch_last_offset(&b) < *offset) continue;
        consumed += record_batch_next_offset(&b) - *offset;
        *offset = record_batch_next_offset(&b);
    }
}

/* Polls in an incremental session; now and then it vanishes while its poll is parked and comes back. */
static void *consume(void *arg)
{
    struct kafka_client c;
    int64_t offsets[PARTITIONS] = {0};
    struct fetch_request_topic topic;
    struct fetch_request_partition partitions[PARTITIONS];
    struct fetch_response out;
    int32_t session = 0, epoch = 0;

    CHECK(kafka_client_open(&c, broker_address(broker)));
    for (int i = 1; !over; i++) {
        struct fetch_request in = fetch_all(&topic, partitions, offsets);
        in.session_id = session;
        in.session_epoch = epoch;
        if (i % 50 == 0) {
            in.min_bytes = 1 << 30;
            CHECK(kafka_client_send(&c, KAFKA_API_FETCH, FETCH_VERSION, &in));
            if (i % 100 == 0) usleep(2000);
            kafka_client_close(&c);
            CHECK(kafka_client_open(&c, broker_address(broker)));
            session = epoch = 0;
            continue;
        }
        CHECK(kafka_client_call(&c, KAFKA_API_FETCH, FETCH_VERSION, &in, &out));
        CHECK(out.error_code == 0);
        for (int32_t t = 0; t < out.responses_count; t++)
            for (int32_t p = 0; p < out.responses[t].partitions_count; p++) {
                struct fetch_response_partition_data *d = &out.responses[t].partitions[p];
                CHECK(d->error_code == 0);
                take_records(d->records.slice, &offsets[d->partition_index]);
            }
        session = out.session_id;
        epoch = session ? epoch + 1 : 0;
    }
    kafka_client_close(&c);
    return NULL;
}

static void *administer(void *arg)
{
    struct kafka_client c;
    struct metadata_request in;
    struct metadata_response out;

    CHECK(kafka_client_open(&c, broker_address(broker)));
    for (int i = 0; !over; i++) {
        char name[32];
        struct err err;
        struct config_entry config = {"retention.ms", "1000000"};
        snprintf(name, sizeof name, "x-%d", i % 7);
        CHECK(broker_topic_create(broker, name, 2, &config, 1, &err) == KAFKA_NONE);
        metadata_request_init(&in);
        in.topics_count = -1;
        CHECK(kafka_client_call(&c, KAFKA_API_METADATA, 9, &in, &out));
        CHECK(out.topics_count == 3);
        struct partition_log *log = broker_partition(broker, name, 1);
        CHECK(broker_append_record(broker, log, SLICE("a"), SLICE("b"), NULL) == KAFKA_NONE);
        CHECK(broker_topic_delete(broker, name, &err) == KAFKA_NONE);
        partition_log_unref(log);
        /* A client that asks and does not wait for the answer. */
        kafka_client_send(&c, KAFKA_API_METADATA, 9, &in);
        kafka_client_close(&c);
        CHECK(kafka_client_open(&c, broker_address(broker)));
    }
    kafka_client_close(&c);
    return NULL;
}

static void *append_inside(void *arg)
{
    struct partition_log *log = broker_partition(broker, "t", 0);
    while (!over) {
        CHECK(broker_append_record(broker, log, SLICE("inside"), SLICE("value"), NULL) == KAFKA_NONE);
        appended++;
        usleep(200);
    }
    partition_log_unref(log);
    return NULL;
}

static void *read_inside(void *arg)
{
    struct partition_log *log = broker_partition(broker, "t", 0);
    struct broker_reader *r = broker_reader_new(broker, log, 0, READ_UNCOMMITTED);
    struct slice batches;

    while (!over) CHECK(broker_reader_next(r, 100000, 50, &batches) == KAFKA_NONE);
    broker_reader_free(r);
    partition_log_unref(log);
    return NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

static void run_all(void)
{
    void *(*const functions[])(void *) = {produce,    produce_strict, consume,    consume,
                                          administer, append_inside,  read_inside};
    pthread_t threads[countof(functions)];

    over = false;
    for (size_t i = 0; i < countof(functions); i++) CHECK(pthread_create(&threads[i], NULL, functions[i], NULL) == 0);
    sleep(RUN_SECONDS);
    over = true;
    for (size_t i = 0; i < countof(functions); i++) pthread_join(threads[i], NULL);
}

static int64_t records_in_log(const char *topic)
{
    int64_t sum = 0;
    for (int i = 0; i < PARTITIONS; i++) {
        struct partition_log *log = broker_partition(broker, topic, i);
        sum += partition_log_marks(log).high_watermark;
        partition_log_unref(log);
    }
    return sum;
}

static void open_broker(const char *path)
{
    struct broker_config *config = broker_config_new();
    struct err err = ERR_NONE;

    CHECK(broker_config_set(config, "listeners", "PLAINTEXT://127.0.0.1:0", &err) == 0);
    CHECK(broker_config_set(config, "log.dirs", path, &err) == 0);
    CHECK(broker_config_set(config, "num.network.threads", "2", &err) == 0);
    if (broker_open(config, &broker, &err) < 0) fprintf(stderr, "%s\n", err.text), abort();
    CHECK(broker_serve(broker, &err) == 0);
}

int main(void)
{
    char path[] = "/tmp/ottla-race-XXXXXX";
    struct err err = ERR_NONE;

    log_level_max = LOG_ERROR;
    CHECK(mkdtemp(path));
    open_broker(path);
    CHECK(broker_topic_create(broker, "t", PARTITIONS, NULL, 0, &err) == KAFKA_NONE);
    struct config_entry strict = {"ottla.durability", "strict"};
    CHECK(broker_topic_create(broker, "s", PARTITIONS, &strict, 1, &err) == KAFKA_NONE);
    run_all();
    CHECK(records_in_log("t") == acknowledged + appended);
    CHECK(records_in_log("s") == acknowledged_strict);

    /* A stop while clients are connected and polls are parked. */
    struct kafka_client parked;
    int64_t offsets[PARTITIONS] = {0};
    struct fetch_request_topic topic;
    struct fetch_request_partition partitions[PARTITIONS];
    struct fetch_request in = fetch_all(&topic, partitions, offsets);
    in.min_bytes = 1 << 30;
    in.max_wait_ms = 60000;
    CHECK(kafka_client_open(&parked, broker_address(broker)));
    CHECK(kafka_client_send(&parked, KAFKA_API_FETCH, FETCH_VERSION, &in));
    struct partition_log *log = broker_partition(broker, "t", 0);
    CHECK(WAIT_UNTIL(log_is_awaited(log)));
    partition_log_unref(log);
    broker_stop(broker);
    broker_close(broker);
    kafka_client_close(&parked);

    open_broker(path);
    CHECK(records_in_log("t") == acknowledged + appended);
    CHECK(records_in_log("s") == acknowledged_strict);
    broker_stop(broker);
    broker_close(broker);
    printf("acknowledged=%lld strict=%lld appended=%lld consumed=%lld\n", (long long)acknowledged,
           (long long)acknowledged_strict, (long long)appended, (long long)consumed);
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
