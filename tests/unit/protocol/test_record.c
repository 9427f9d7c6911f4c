/* Record batches: builder against reader, damage, codecs, limits. */
#include "base/crc32c.h"
#include "base/varint.h"
#include "protocol/batch_builder.h"
#include "protocol/record_legacy.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#define CONTENT_MAX (64u << 20)

static struct slice numbered(char *room, size_t size, const char *prefix, int i)
{
    int n = snprintf(room, size, "%s%d", prefix, i);
    return slice_make(room, (uint32_t)n);
}

/* count records whose values grow, so that their lengths take one to three bytes. */
static void build(struct batch_builder *b, int count, const struct batch_fields *fields, struct slice *ret_batch)
{
    static uint8_t value[20000];
    for (size_t i = 0; i < sizeof value; i++) value[i] = (uint8_t)(i * 7 + i / 251);
    batch_builder_reset(b);
    for (int i = 0; i < count; i++) {
        char key[20];
        struct record_header headers[] = {{SLICE("h1"), SLICE("value")}, {SLICE("h2"), SLICE_NULL}};
        batch_builder_append(
            b, 1000 + (i % 3) * 100 - i, i % 5 == 4 ? SLICE_NULL : numbered(key, sizeof key, "key-", i),
            i % 7 == 6 ? SLICE_NULL : slice_make(value, (uint32_t)(i * i * 3) % sizeof value), headers, i % 3);
    }
    cr_assert_eq(batch_builder_finish(b, fields, ret_batch), 0);
}

Test(record, every_codec_gives_back_what_was_appended)
{
    struct batch_builder b;
    struct bytes scratch = {0};
    batch_builder_init(&b);
    for (int codec = COMPRESSION_NONE; codec < COMPRESSION_CODECS; codec++) {
        for (int count = 0; count < 130; count = count * 2 + 1) {
            struct batch_fields fields = BATCH_FIELDS_PLAIN;
            fields.codec = (enum compression_codec)codec;
            fields.base_offset = 5000;
            fields.producer_id = 77;
            fields.producer_epoch = 3;
            fields.base_sequence = INT32_MAX - 1;
            fields.attributes = RECORD_BATCH_TRANSACTIONAL;
            struct slice bytes;
            build(&b, count, &fields, &bytes);

            struct record_batch batch;
            cr_assert_eq(record_batch_parse(bytes, &batch), RECORD_BATCH_OK);
            cr_assert(record_batch_crc_ok(&batch));
            cr_assert_eq(batch.bytes.len, bytes.len);
            cr_assert_eq(batch.records_count, count);
            cr_assert_eq(batch.producer_id, 77);
            cr_assert_eq(batch.producer_epoch, 3);
            cr_assert(record_batch_is_transactional(&batch));
            if (count > 2) cr_assert_eq(record_batch_last_sequence(&batch), count - 3);
            cr_assert_eq(record_batch_next_offset(&batch), 5000 + count);

            struct record_reader reader;
            struct record record;
            int64_t max_timestamp = -1;
            cr_assert_eq(record_reader_open(&reader, &batch, CONTENT_MAX, &scratch), 0);
            for (int i = 0; i < count; i++) {
                char key[20];
                cr_assert_eq(record_reader_next(&reader, &record), 1, "codec %d record %d of %d", codec, i, count);
                cr_assert_eq(record.offset, 5000 + i);
                cr_assert_eq(record.timestamp_ms, 1000 + (i % 3) * 100 - i);
                cr_assert(slice_eq(record.key, i % 5 == 4 ? SLICE_NULL : numbered(key, sizeof key, "key-", i)));
                cr_assert_eq(slice_is_null(record.value), i % 7 == 6);
                cr_assert_eq(record.headers_count, i % 3);
                struct record_header header;
                struct slice rest = record.headers;
                if (i % 3 > 0) cr_assert(record_header_next(&rest, &header) && slice_eq_text(header.value, "value"));
                if (i % 3 > 1) cr_assert(record_header_next(&rest, &header) && slice_is_null(header.value));
                cr_assert(!record_header_next(&rest, &header));
                max_timestamp = i ? MAX(max_timestamp, record.timestamp_ms) : record.timestamp_ms;
            }
            cr_assert_eq(record_reader_next(&reader, &record), 0);
            cr_assert_eq(batch.max_timestamp, max_timestamp);
        }
    }
    bytes_done(&scratch);
    batch_builder_done(&b);
}

Test(record, offsets_may_have_gaps_and_control_batches_are_marked)
{
    struct batch_builder b;
    batch_builder_init(&b);
    batch_builder_append_at(&b, 3, 10, SLICE("\0\0\0\1"), SLICE("v"), NULL, 0);
    batch_builder_append_at(&b, 8, 9, SLICE_NULL, SLICE("w"), NULL, 0);
    b.last_offset_delta = 12;
    struct batch_fields fields = BATCH_FIELDS_PLAIN;
    fields.base_offset = 100;
    fields.attributes = RECORD_BATCH_CONTROL;
    struct slice bytes;
    cr_assert_eq(batch_builder_finish(&b, &fields, &bytes), 0);

    struct record_batch batch;
    struct record_reader reader;
    struct record record;
    cr_assert_eq(record_batch_parse(bytes, &batch), RECORD_BATCH_OK);
    cr_assert(record_batch_is_control(&batch));
    cr_assert_eq(record_batch_last_offset(&batch), 112);
    cr_assert_eq(batch.base_timestamp, 10);
    cr_assert_eq(batch.max_timestamp, 10);
    cr_assert_eq(record_reader_open(&reader, &batch, 0, NULL), 0);
    cr_assert_eq(record_reader_next(&reader, &record), 1);
    cr_assert_eq(record.offset, 103);
    cr_assert_eq(record_reader_next(&reader, &record), 1);
    cr_assert_eq(record.offset, 108);
    cr_assert_eq(record.timestamp_ms, 9);
    cr_assert_eq(record_reader_next(&reader, &record), 0);
    batch_builder_done(&b);
}

/* Reads everything there is; nothing may be read outside of the bytes (ASan watches). */
static bool readable(struct slice bytes, struct bytes *scratch)
{
    struct record_batch batch;
    struct record_reader reader;
    struct record record;
    if (record_batch_parse(bytes, &batch) != RECORD_BATCH_OK) return false;
    if (record_reader_open(&reader, &batch, 1 << 20, scratch) != 0) return false;
    int r;
    while ((r = record_reader_next(&reader, &record)) > 0) {}
    return r == 0;
}

Test(record, no_damage_goes_unseen)
{
    struct batch_builder b;
    struct bytes scratch = {0};
    batch_builder_init(&b);
    for (int codec = COMPRESSION_NONE; codec < COMPRESSION_CODECS; codec++) {
        struct batch_fields fields = BATCH_FIELDS_PLAIN;
        struct slice bytes;
        fields.codec = (enum compression_codec)codec;
        build(&b, 9, &fields, &bytes);
        uint8_t *copy = malloc(bytes.len);
        for (uint32_t i = 0; i < bytes.len; i++) {
            for (int bit = 0; bit < 8; bit += 3) {
                struct record_batch batch;
                memcpy(copy, bytes.ptr, bytes.len);
                copy[i] ^= (uint8_t)(1 << bit);
                (void)readable(slice_make(copy, bytes.len), &scratch);
                if (i >= RECORD_BATCH_AT_CRC)
                    cr_assert(record_batch_parse(slice_make(copy, bytes.len), &batch) != RECORD_BATCH_OK ||
                              !record_batch_crc_ok(&batch));
            }
        }
        /* Cut: the batch is partial; with its length mended, its records are. */
        for (uint32_t len = 1; len < bytes.len; len++) {
            struct record_batch batch;
            uint8_t *cut = malloc(len);
            memcpy(cut, bytes.ptr, len);
            cr_assert_eq(record_batch_parse(slice_make(cut, len), &batch), RECORD_BATCH_PARTIAL);
            if (len >= RECORD_BATCH_HEADER_BYTES) {
                be32_store(cut + RECORD_BATCH_AT_LENGTH, len - RECORD_BATCH_LENGTH_OFFSET);
                cr_assert(!readable(slice_make(cut, len), &scratch), "codec %d cut at %u of %u", codec, len, bytes.len);
            }
            free(cut);
        }
        free(copy);
    }
    bytes_done(&scratch);
    batch_builder_done(&b);
}

Test(record, the_place_in_the_log_is_outside_the_checksum_and_the_time_is_inside)
{
    struct batch_builder b;
    struct slice bytes;
    struct record_batch batch;
    struct record_reader reader;
    struct record record;
    struct batch_fields fields = BATCH_FIELDS_PLAIN;
    batch_builder_init(&b);
    build(&b, 3, &fields, &bytes);
    uint8_t *writable = b.bytes.ptr;

    record_batch_rebase(writable, 123456789012, 7);
    cr_assert_eq(record_batch_parse(bytes, &batch), RECORD_BATCH_OK);
    cr_assert(record_batch_crc_ok(&batch));
    cr_assert_eq(batch.base_offset, 123456789012);
    cr_assert_eq(batch.partition_leader_epoch, 7);

    record_batch_set_log_append_time(writable, bytes.len, 424242);
    cr_assert_eq(record_batch_parse(bytes, &batch), RECORD_BATCH_OK);
    cr_assert(record_batch_crc_ok(&batch));
    cr_assert_eq(record_reader_open(&reader, &batch, 0, NULL), 0);
    while (record_reader_next(&reader, &record) > 0) cr_assert_eq(record.timestamp_ms, 424242);

    record_batch_set_max_timestamp(writable, bytes.len, 17);
    cr_assert_eq(record_batch_parse(bytes, &batch), RECORD_BATCH_OK);
    cr_assert(record_batch_crc_ok(&batch));
    cr_assert(!record_batch_is_log_append_time(&batch));
    cr_assert_eq(batch.max_timestamp, 17);
    batch_builder_done(&b);
}

Test(record, a_batch_is_rebuilt_in_another_codec)
{
    struct batch_builder b, again;
    struct bytes scratch = {0};
    struct slice bytes, rebuilt;
    struct record_batch batch, other;
    batch_builder_init(&b);
    batch_builder_init(&again);
    batch_builder_append_at(&b, 2, 50, SLICE("k1"), SLICE("v1"), NULL, 0);
    batch_builder_append_at(&b, 5, 60, SLICE("k2"), SLICE("v2"), NULL, 0);
    struct batch_fields fields = BATCH_FIELDS_PLAIN;
    fields.codec = COMPRESSION_GZIP;
    fields.producer_id = 9;
    cr_assert_eq(batch_builder_finish(&b, &fields, &bytes), 0);
    cr_assert_eq(record_batch_parse(bytes, &batch), RECORD_BATCH_OK);

    cr_assert_eq(
        record_batch_rebuild(&batch, COMPRESSION_ZSTD, COMPRESSION_LEVEL_DEFAULT, CONTENT_MAX, &again, &rebuilt), 0);
    cr_assert_eq(record_batch_parse(rebuilt, &other), RECORD_BATCH_OK);
    cr_assert(record_batch_crc_ok(&other));
    cr_assert_eq(record_batch_codec(&other), COMPRESSION_ZSTD);
    cr_assert_eq(other.last_offset_delta, 1);
    cr_assert_eq(other.producer_id, 9);
    cr_assert(readable(rebuilt, &scratch));
    bytes_done(&scratch);
    batch_builder_done(&b);
    batch_builder_done(&again);
}

Test(record, a_file_that_ends_in_zeros_is_not_a_batch)
{
    uint8_t zeros[200] = {0};
    struct record_batch batch;
    for (uint32_t len = RECORD_BATCH_AT_MAGIC + 1; len < sizeof zeros; len++)
        cr_assert_eq(record_batch_parse(slice_make(zeros, len), &batch), RECORD_BATCH_BAD_LENGTH);
    cr_assert_eq(record_batch_parse(slice_make(zeros, 0), &batch), RECORD_BATCH_END);
}
