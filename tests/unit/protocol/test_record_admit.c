/* The rules of Produce for one batch, each broken in turn. */
#include "protocol/record_admit.h"

#include <criterion/criterion.h>

#define NOW_MS 1700000000000

static const struct record_rules rules_usual = {
    .now_ms = NOW_MS,
    .timestamp_before_max_ms = INT64_MAX,
    .timestamp_after_max_ms = 3600000,
    .batch_size_max = 1 << 20,
    .content_max = 1 << 20,
    .level = COMPRESSION_LEVEL_DEFAULT,
};

struct attempt {
    struct batch_builder sent;
    struct batch_builder anew;
    struct batch_fields fields;
    struct record_rules rules;
    struct record_verdict verdict;
    struct slice stored;
};

static void begin(struct attempt *a, enum compression_codec codec)
{
    *a = (struct attempt){.fields = BATCH_FIELDS_PLAIN, .rules = rules_usual};
    a->fields.codec = codec;
    batch_builder_init(&a->sent);
    batch_builder_init(&a->anew);
}

static void end(struct attempt *a)
{
    batch_builder_done(&a->sent);
    batch_builder_done(&a->anew);
}

/* Sends what was appended, with one byte range of the header overwritten and the CRC made right again. */
static enum kafka_error admit_with(struct attempt *a, uint32_t position, const void *bytes, uint32_t size)
{
    struct slice batch;
    struct record_batch b;
    cr_assert_eq(batch_builder_finish(&a->sent, &a->fields, &batch), 0);
    uint8_t *writable = (uint8_t *)(uintptr_t)batch.ptr;
    if (size) {
        memcpy(writable + position, bytes, size);
        if (position >= RECORD_BATCH_AT_ATTRIBUTES) {
            cr_assert_eq(record_batch_parse(batch, &b), RECORD_BATCH_OK);
            be32_store(writable + RECORD_BATCH_AT_CRC, record_batch_compute_crc(&b));
        }
    }
    cr_assert_eq(record_batch_parse(batch, &b), RECORD_BATCH_OK);
    enum kafka_error error = record_batch_admit(writable, &b, &a->rules, &a->anew, &a->stored, &a->verdict);
    cr_assert_eq(error == KAFKA_NONE, a->verdict.message == NULL);
    if (error == KAFKA_NONE) {
        cr_assert_eq(record_batch_parse(a->stored, &b), RECORD_BATCH_OK);
        cr_assert(record_batch_crc_ok(&b));
    }
    return error;
}

static enum kafka_error admit(struct attempt *a)
{
    return admit_with(a, 0, NULL, 0);
}

static void append(struct attempt *a, int64_t timestamp_ms, const char *key)
{
    batch_builder_append(&a->sent, timestamp_ms, slice_of(key), SLICE("value value value value value"), NULL, 0);
}

static struct record_batch stored(const struct attempt *a)
{
    struct record_batch b;
    cr_assert_eq(record_batch_parse(a->stored, &b), RECORD_BATCH_OK);
    return b;
}

Test(record_admit, a_good_batch_is_stored_as_it_came)
{
    for (int codec = 0; codec < COMPRESSION_CODECS; codec++) {
        struct attempt a;
        begin(&a, (enum compression_codec)codec);
        append(&a, NOW_MS, NULL);
        append(&a, -1, "k");
        a.rules.walk_compressed = codec % 2;
        cr_assert_eq(admit(&a), KAFKA_NONE);
        cr_assert(!a.verdict.rebuilt);
        cr_assert_eq(stored(&a).max_timestamp, NOW_MS);
        end(&a);
    }
}

Test(record_admit, headers_that_lie_are_refused)
{
    static const struct {
        uint32_t position, size;
        const char *bytes;
        enum kafka_error error;
    } rows[] = {
        {RECORD_BATCH_AT_BASE_OFFSET, 8, "\0\0\0\0\0\0\0\1", KAFKA_INVALID_RECORD},
        {RECORD_BATCH_AT_CRC, 4, "\1\2\3\4", KAFKA_CORRUPT_MESSAGE},
        {RECORD_BATCH_AT_ATTRIBUTES, 2, "\0\x20", KAFKA_INVALID_RECORD},
        {RECORD_BATCH_AT_ATTRIBUTES, 2, "\0\5", KAFKA_UNSUPPORTED_COMPRESSION_TYPE},
        {RECORD_BATCH_AT_ATTRIBUTES, 2, "\0\1", KAFKA_INVALID_RECORD}, /* not gzip; see walk_compressed */
        {RECORD_BATCH_AT_LAST_OFFSET_DELTA, 4, "\0\0\0\2", KAFKA_INVALID_RECORD},
        {RECORD_BATCH_AT_LAST_OFFSET_DELTA, 4, "\xff\xff\xff\xff", KAFKA_INVALID_RECORD},
        {RECORD_BATCH_AT_RECORDS_COUNT, 4, "\0\0\0\0", KAFKA_INVALID_RECORD},
        {RECORD_BATCH_AT_RECORDS_COUNT, 4, "\0\0\0\1", KAFKA_INVALID_RECORD},
        {RECORD_BATCH_AT_RECORDS_COUNT, 4, "\xff\xff\xff\xff", KAFKA_INVALID_RECORD},
        {RECORD_BATCH_AT_PRODUCER_ID, 8, "\0\0\0\0\0\0\0\5", KAFKA_INVALID_RECORD}, /* without a sequence */
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct attempt a;
        begin(&a, COMPRESSION_NONE);
        append(&a, NOW_MS, "a");
        append(&a, NOW_MS, "b");
        a.rules.walk_compressed = true;
        cr_assert_eq(admit_with(&a, rows[i].position, rows[i].bytes, rows[i].size), rows[i].error, "row %zu", i);
        end(&a);
    }
}

Test(record_admit, count_and_delta_that_agree_but_lie_are_found_by_walking)
{
    static const uint8_t delta[] = {0, 0, 0, 2};
    struct attempt a;
    begin(&a, COMPRESSION_NONE);
    append(&a, NOW_MS, "a");
    append(&a, NOW_MS, "b");
    a.sent.records_count = 3;
    cr_assert_eq(admit_with(&a, RECORD_BATCH_AT_LAST_OFFSET_DELTA, delta, 4), KAFKA_INVALID_RECORD);
    end(&a);
}

Test(record_admit, sizes)
{
    struct attempt a;
    begin(&a, COMPRESSION_ZSTD);
    for (int i = 0; i < 1000; i++) append(&a, NOW_MS, "key");
    a.rules.batch_size_max = 100;
    cr_assert_eq(admit(&a), KAFKA_MESSAGE_TOO_LARGE);
    a.rules = rules_usual;
    a.rules.walk_compressed = true;
    a.rules.content_max = 2000;
    cr_assert_eq(admit(&a), KAFKA_MESSAGE_TOO_LARGE);
    a.rules = rules_usual;
    a.rules.batch_size_max = 2000;
    cr_assert_eq(admit(&a), KAFKA_NONE);
    a.rules.recompress = true;
    a.rules.codec = COMPRESSION_NONE;
    cr_assert_eq(admit(&a), KAFKA_MESSAGE_TOO_LARGE);
    end(&a);
}

Test(record_admit, a_compacted_topic_names_the_records_without_key)
{
    for (int codec = 0; codec < COMPRESSION_CODECS; codec++) {
        struct attempt a;
        begin(&a, (enum compression_codec)codec);
        for (int i = 0; i < 20; i++) append(&a, NOW_MS, i % 3 ? "k" : NULL);
        a.rules.compacted = true;
        cr_assert_eq(admit(&a), KAFKA_INVALID_RECORD);
        cr_assert_eq(a.verdict.faults_count, RECORD_FAULTS_MAX);
        cr_assert_eq(a.verdict.faults[1].index, 3);
        end(&a);
    }
}

Test(record_admit, timestamps_out_of_range_are_refused_each_by_name)
{
    static const struct {
        int64_t timestamp_ms, before_max_ms;
        bool good;
    } rows[] = {
        {NOW_MS + 3600000, INT64_MAX, true}, {NOW_MS + 3600001, INT64_MAX, false}, {0, INT64_MAX, true},
        {NOW_MS - 1000, 1000, true},         {NOW_MS - 1001, 1000, false},         {-1, 1000, true},
        {INT64_MAX, INT64_MAX, false},       {INT64_MIN, INT64_MAX, false},        {-2, 1000, false},
    };
    for (int codec = 0; codec < COMPRESSION_CODECS; codec++) {
        for (size_t i = 0; i < countof(rows); i++) {
            struct attempt a;
            begin(&a, (enum compression_codec)codec);
            append(&a, NOW_MS, "k");
            append(&a, rows[i].timestamp_ms, "k");
            a.rules.timestamp_before_max_ms = rows[i].before_max_ms;
            a.rules.walk_compressed = true;
            cr_assert_eq(admit(&a), rows[i].good ? KAFKA_NONE : KAFKA_INVALID_TIMESTAMP, "row %zu", i);
            cr_assert_eq(a.verdict.faults_count, rows[i].good ? 0 : 1);
            if (!rows[i].good) cr_assert_eq(a.verdict.faults[0].index, 1);
            end(&a);
        }
    }
}

Test(record_admit, without_walking_the_newest_timestamp_is_still_checked)
{
    struct attempt a;
    begin(&a, COMPRESSION_LZ4);
    append(&a, NOW_MS, "k");
    append(&a, NOW_MS + 4000000, "k");
    cr_assert_eq(admit(&a), KAFKA_INVALID_TIMESTAMP);
    cr_assert_eq(a.verdict.faults[0].index, 1);
    end(&a);
}

Test(record_admit, log_append_time_is_the_time_of_all_records)
{
    for (int codec = 0; codec < COMPRESSION_CODECS; codec++) {
        struct attempt a;
        begin(&a, (enum compression_codec)codec);
        append(&a, 5, "k");
        append(&a, INT64_MAX, "k"); /* whatever the client says */
        a.rules.log_append_time = true;
        cr_assert_eq(admit(&a), KAFKA_NONE);
        struct record_batch b = stored(&a);
        cr_assert(record_batch_is_log_append_time(&b));
        cr_assert_eq(b.max_timestamp, NOW_MS);
        /* A client must not say so itself. */
        cr_assert_eq(admit_with(&a, RECORD_BATCH_AT_ATTRIBUTES + 1, &(uint8_t){(uint8_t)(codec | 8)}, 1),
                     KAFKA_INVALID_TIMESTAMP);
        end(&a);
    }
}

Test(record_admit, a_wrong_max_timestamp_is_mended)
{
    static const uint8_t wrong[8] = {0, 0, 0, 0, 0, 0, 0, 9};
    struct attempt a;
    begin(&a, COMPRESSION_NONE);
    append(&a, NOW_MS - 5, "k");
    append(&a, NOW_MS - 9, "k");
    cr_assert_eq(admit_with(&a, RECORD_BATCH_AT_MAX_TIMESTAMP, wrong, 8), KAFKA_NONE);
    cr_assert_eq(stored(&a).max_timestamp, NOW_MS - 5);
    end(&a);
}

Test(record_admit, another_codec_is_written_anew)
{
    for (int from = 0; from < COMPRESSION_CODECS; from++) {
        for (int to = 0; to < COMPRESSION_CODECS; to++) {
            struct attempt a;
            begin(&a, (enum compression_codec)from);
            a.fields.producer_id = 4;
            a.fields.producer_epoch = 1;
            a.fields.base_sequence = 10;
            append(&a, NOW_MS, "k1");
            append(&a, NOW_MS - 3, "k2");
            a.rules.recompress = true;
            a.rules.codec = (enum compression_codec)to;
            cr_assert_eq(admit(&a), KAFKA_NONE);
            cr_assert_eq(a.verdict.rebuilt, from != to);
            struct record_batch b = stored(&a);
            cr_assert_eq((int)record_batch_codec(&b), to);
            cr_assert(b.producer_id == 4 && b.base_sequence == 10 && b.records_count == 2);
            cr_assert_eq(b.max_timestamp, NOW_MS);
            end(&a);
        }
    }
}

Test(record_admit, offsets_with_gaps_inside_are_made_dense)
{
    static const uint8_t one[] = {0, 0, 0, 1};
    struct attempt a;
    struct record_reader reader;
    struct record record;
    begin(&a, COMPRESSION_NONE);
    batch_builder_append_at(&a.sent, 3, NOW_MS, SLICE("a"), SLICE("1"), NULL, 0);
    batch_builder_append_at(&a.sent, 9, NOW_MS, SLICE("b"), SLICE("2"), NULL, 0);
    cr_assert_eq(admit_with(&a, RECORD_BATCH_AT_LAST_OFFSET_DELTA, one, 4), KAFKA_NONE);
    cr_assert(a.verdict.rebuilt);
    struct record_batch b = stored(&a);
    cr_assert_eq(record_reader_open(&reader, &b, 0, NULL), 0);
    for (int i = 0; i < 2; i++) cr_assert(record_reader_next(&reader, &record) == 1 && record.offset == i);
    end(&a);
}
