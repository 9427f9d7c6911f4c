/* Any bytes as a produced record set: parsing, admission, reading, rebuilding. What was admitted must be readable. */
#include "protocol/record_admit.h"
#include "protocol/record_legacy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CONTENT_MAX (1u << 20)

static int read_all(const struct record_batch *b, struct bytes *scratch)
{
    struct record_reader reader;
    struct record record;
    int r = record_reader_open(&reader, b, CONTENT_MAX, scratch);
    while (r >= 0 && (r = record_reader_next(&reader, &record)) > 0) {
        struct slice rest = record.headers;
        struct record_header header;
        int32_t count = 0;
        while (record_header_next(&rest, &header)) count++;
        assert(count == record.headers_count);
    }
    return r;
}

static void admit(uint8_t *bytes, struct record_batch *b, uint8_t choice, struct bytes *scratch)
{
    struct record_rules rules = {
        .now_ms = 1700000000000,
        .timestamp_before_max_ms = INT64_MAX,
        .timestamp_after_max_ms = choice & 1 ? INT64_MAX : 3600000,
        .batch_size_max = 1u << 20,
        .content_max = CONTENT_MAX,
        .log_append_time = choice & 2,
        .compacted = choice & 4,
        .walk_compressed = true,
        .recompress = choice & 8,
        .codec = (enum compression_codec)((choice >> 4) % COMPRESSION_CODECS),
        .level = COMPRESSION_LEVEL_DEFAULT,
    };
    struct batch_builder builder;
    struct record_verdict verdict;
    struct slice batch;
    batch_builder_init(&builder);
    if (record_batch_admit(bytes, b, &rules, &builder, &batch, &verdict) == KAFKA_NONE) {
        struct record_batch stored;
        assert(record_batch_parse(batch, &stored) == RECORD_BATCH_OK);
        assert(record_batch_crc_ok(&stored));
        assert(read_all(&stored, scratch) == 0);
    }
    batch_builder_done(&builder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > CONTENT_MAX) return 0;
    struct bytes scratch = {0};
    uint32_t len = (uint32_t)size - 1;
    uint8_t *copy = malloc(len ? len : 1);
    if (!copy) return 0;
    memcpy(copy, data + 1, len);

    struct slice rest = slice_make(copy, len);
    for (;;) {
        uint8_t *at = copy + (len - rest.len);
        struct record_batch b;
        struct message m;
        enum record_batch_result result = record_batch_next(&rest, &b);
        if (result == RECORD_BATCH_OK) {
            (void)read_all(&b, &scratch);
            /* A checksum that no mutation can hit would keep everything behind it untested. */
            be32_store(at + RECORD_BATCH_AT_CRC, record_batch_compute_crc(&b));
            be64_store(at + RECORD_BATCH_AT_BASE_OFFSET, 0);
            (void)record_batch_parse(b.bytes, &b);
            admit(at, &b, data[0], &scratch);
        } else if (result == RECORD_BATCH_LEGACY && message_next(&rest, &m) == RECORD_BATCH_OK) {
            struct message_reader reader;
            struct record record;
            (void)message_crc_ok(&m);
            int r = message_reader_open(&reader, &m, CONTENT_MAX, &scratch);
            while (r >= 0 && (r = message_reader_next(&reader, &record)) > 0) {}
        } else {
            break;
        }
    }
    bytes_done(&scratch);
    free(copy);
    return 0;
}
