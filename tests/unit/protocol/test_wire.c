/* Unit tests of the codec's own promises; that it agrees with Kafka's bytes is wire_check's business. */
#include "protocol/kafka_error.h"
#include "protocol/message_json.h"
#include "protocol/messages.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>

static struct arena arena;

static void arena_release(void)
{
    arena_done(&arena);
}
TestSuite(wire, .fini = arena_release);

static struct wire_reader reader(const void *bytes, size_t size)
{
    arena_done(&arena);
    arena_init(&arena, 64 << 20);
    return (struct wire_reader){.p = bytes, .end = (const uint8_t *)bytes + size, .arena = &arena};
}

/* All bytes of the chain, file ranges read. */
static uint8_t *flatten(const struct buf *b)
{
    uint8_t *bytes = xmalloc(b->size), *p = bytes;
    for (uint32_t i = b->first; i < b->parts_count; i++) {
        const struct buf_part *part = &b->parts[i];
        if (part->type == BUF_FILE)
            cr_assert_eq(pread(part->file->fd, p, part->length, (off_t)part->position), (ssize_t)part->length);
        else memcpy(p, part->ptr, part->length);
        p += part->length;
    }
    cr_assert_eq((uint64_t)(p - bytes), b->size);
    return bytes;
}

static int32_t file_frees;
static void file_free(struct file_ref *f)
{
    file_frees++;
    close(f->fd);
}

/* ---- Reader ---- */

Test(wire, a_failed_reader_keeps_its_first_error_and_gives_zeros)
{
    struct wire_reader r = reader("\x00\x07hi", 4);
    cr_expect(slice_is_null(wire_get_string(&r, false, false)));
    cr_expect(r.failed);
    const char *first = r.error;
    cr_expect_eq(wire_get_int64(&r), 0);
    cr_expect_eq(wire_get_uvarint(&r), 0);
    cr_expect(uuid_is_zero(wire_get_uuid(&r)));
    int32_t count = 5;
    cr_expect_null(wire_get_array(&r, true, true, 1, 8, &count));
    cr_expect_eq(count, 0);
    cr_expect_str_eq(r.error, first);
    cr_expect_eq(arena.size, 0, "a failure takes no memory");
}

Test(wire, null_is_accepted_only_where_it_is_allowed)
{
    for (int flexible = 0; flexible < 2; flexible++) {
        const char *bytes = flexible ? "\x00" : "\xff\xff\xff\xff";
        struct wire_reader r = reader(bytes, flexible ? 1 : 2);
        cr_expect(slice_is_null(wire_get_string(&r, flexible, true)));
        cr_expect(!r.failed && r.p == r.end);
        r = reader(bytes, flexible ? 1 : 2);
        wire_get_string(&r, flexible, false);
        cr_expect(r.failed);
        int32_t count;
        r = reader(bytes, flexible ? 1 : 4);
        cr_expect_null(wire_get_array(&r, flexible, true, 1, 8, &count));
        cr_expect_eq(count, -1);
        r = reader(bytes, flexible ? 1 : 4);
        wire_get_array(&r, flexible, false, 1, 8, &count);
        cr_expect(r.failed);
    }
}

Test(wire, empty_is_not_null)
{
    struct wire_reader r = reader("\x01\x01\x01", 3);
    struct slice s = wire_get_string(&r, true, true), b = wire_get_bytes(&r, true, true);
    struct wire_records records = wire_get_records(&r, true, true);
    cr_expect(s.ptr && !s.len && b.ptr && !b.len && !wire_records_is_null(&records));
}

Test(wire, a_count_is_believed_up_to_the_bytes_that_are_there)
{
    /* 2^31 - 1 topics in 8 bytes; then a count that the bytes could hold with smaller elements. */
    struct metadata_request m;
    struct wire_reader r = reader("\x7f\xff\xff\xff\0\0\0\0", 8);
    cr_expect_not(metadata_request_decode(&r, 1, &m));
    cr_expect_eq(arena.size, 0);
    int32_t count;
    r = reader("\0\0\0\x03\0\0\0\0\0", 9);
    cr_expect_null(wire_get_array(&r, false, false, 2, 100, &count));
    cr_expect(r.failed);
    r = reader("\0\0\0\x02\0\0\0\0", 8);
    cr_expect(wire_get_array(&r, false, false, 2, 100, &count));
    cr_expect_eq(count, 2);
    r = reader("\xff\xff\xff\xfe\0\0\0\0", 8);
    wire_get_array(&r, false, true, 1, 100, &count);
    cr_expect(r.failed, "-2 is no count");
}

Test(wire, the_arena_limit_bounds_what_a_message_takes)
{
    uint8_t bytes[5000] = {0};
    be32_store(bytes, 2000); /* topics of two bytes each: empty names */
    struct metadata_request m;
    struct wire_reader r = reader(bytes, sizeof bytes);
    cr_expect(metadata_request_decode(&r, 1, &m));
    r = reader(bytes, sizeof bytes);
    arena.size_max = 2000 * sizeof(struct metadata_request_topic) - 1;
    cr_expect_not(metadata_request_decode(&r, 1, &m));
}

Test(wire, tags_may_come_in_any_order_and_unknown_ones_are_skipped)
{
    /* Fetch v12: replica id … rack id, then tags 9 (unknown), 0 (cluster id). */
    struct fetch_request m;
    struct buf b;
    struct wire_writer w;
    buf_init(&b);
    wire_writer_init(&w, &b);
    fetch_request_init(&m);
    fetch_request_encode(&w, 12, &m);
    cr_assert(wire_writer_done(&w));
    AUTO_FREE uint8_t *plain = flatten(&b);
    uint8_t bytes[200];
    size_t size = b.size - 1; /* without the count of tags, 0 */
    memcpy(bytes, plain, size);
    memcpy(bytes + size, "\x02\x09\x03xyz\x00\x03\x03id", 11);
    struct wire_reader r = reader(bytes, size + 11);
    cr_expect(fetch_request_decode(&r, 12, &m));
    cr_expect(slice_eq_text(m.cluster_id, "id"));
    cr_expect_eq(r.p, r.end);

    /* A tagged value that is longer than its field. */
    memcpy(bytes + size, "\x01\x00\x04\x03id!", 7);
    r = reader(bytes, size + 7);
    cr_expect_not(fetch_request_decode(&r, 12, &m));
    /* … and one that says to be longer than the message. */
    memcpy(bytes + size, "\x01\x00\x05\x03id", 6);
    r = reader(bytes, size + 6);
    cr_expect_not(fetch_request_decode(&r, 12, &m));
    buf_done(&b);
}

Test(wire, versions_outside_the_codec_are_refused)
{
    struct heartbeat_request m;
    uint8_t bytes[100] = {0};
    for (int version = -1; version <= 5; version += 6) {
        struct wire_reader r = reader(bytes, sizeof bytes);
        cr_expect_not(heartbeat_request_decode(&r, (int16_t)version, &m));
        cr_expect_str_eq(r.error, "unknown version");
    }
}

Test(wire, absent_fields_hold_kafkas_defaults)
{
    uint8_t bytes[100] = {0};
    struct fetch_request m;
    memset(&m, 0x5a, sizeof m);
    struct wire_reader r = reader(bytes, sizeof bytes);
    cr_assert(fetch_request_decode(&r, 0, &m));
    cr_expect_eq(m.max_bytes, INT32_MAX);
    cr_expect_eq(m.session_epoch, -1);
    cr_expect(slice_is_null(m.cluster_id));
    cr_expect(m.rack_id.ptr && !m.rack_id.len);
    cr_expect_eq(m.replica_state.replica_id, -1);
}

/* ---- Writer ---- */

Test(wire, what_a_window_does_not_use_goes_back)
{
    for (uint32_t size = 0; size < 3000; size += 7) {
        struct buf b;
        struct wire_writer w;
        uint8_t text[3000];
        memset(text, 'a', sizeof text);
        buf_init(&b);
        wire_writer_init(&w, &b);
        wire_put_bytes(&w, slice_make(text, size), false, false);
        wire_put_int32(&w, 0x01020304);
        cr_assert(wire_writer_done(&w));
        cr_assert_eq(b.size, 4 + size + 4);
        memcpy(buf_reserve(&b, 3), "end", 3);
        AUTO_FREE uint8_t *bytes = flatten(&b);
        cr_assert_eq(be32_load(bytes), size);
        cr_assert_eq(memcmp(bytes + 4, text, size), 0);
        cr_assert_eq(memcmp(bytes + 4 + size, "\1\2\3\4end", 7), 0);
        buf_done(&b);
    }
}

Test(wire, an_unused_writer_adds_nothing)
{
    struct buf b;
    struct wire_writer w;
    buf_init(&b);
    wire_writer_init(&w, &b);
    cr_expect(wire_writer_done(&w));
    cr_expect_eq(b.size, 0);
    cr_expect_null(buf_first(&b));
    buf_done(&b);
}

Test(wire, a_string_that_does_not_fit_fails_the_writer_for_good)
{
    struct buf b;
    struct wire_writer w;
    AUTO_FREE char *text = xmalloc(WIRE_STRING_MAX + 1);
    memset(text, 'x', WIRE_STRING_MAX + 1);
    for (int flexible = 0; flexible < 2; flexible++) {
        buf_init(&b);
        wire_writer_init(&w, &b);
        wire_put_string(&w, slice_make(text, WIRE_STRING_MAX), flexible, false);
        cr_expect_not(w.failed);
        wire_put_string(&w, slice_make(text, WIRE_STRING_MAX + 1), flexible, false);
        wire_put_int64(&w, 1);
        wire_put_uuid(&w, uuid_random());
        wire_put_raw(&w, "abc", 3);
        cr_expect_not(wire_writer_done(&w));
        buf_done(&b);
    }
}

Test(wire, null_where_it_is_not_allowed_is_written_as_empty)
{
    struct buf b;
    struct wire_writer w;
    struct heartbeat_request m = {0};
    buf_init(&b);
    wire_writer_init(&w, &b);
    heartbeat_request_encode(&w, 4, &m);
    cr_assert(wire_writer_done(&w));
    AUTO_FREE uint8_t *bytes = flatten(&b);
    cr_expect_eq(b.size, 8);
    cr_expect_eq(memcmp(bytes, "\1\0\0\0\0\1\0\0", 8), 0, "group and member empty, instance null, no tags");
    buf_done(&b);
}

Test(wire, records_are_spliced_without_a_copy)
{
    char name[] = "/tmp/ottla-wire-XXXXXX";
    struct file_ref file = {.fd = mkstemp(name), .free = file_free};
    unlink(name);
    atomic_init(&file.refs, 1);
    cr_assert_eq(write(file.fd, "0123456789", 10), 10);
    struct block *block = block_new(4000);
    memset(block->bytes, 'b', 4000);

    struct fetch_response_partition_data partitions[4];
    for (int i = 0; i < 4; i++) fetch_response_partition_data_init(&partitions[i]);
    partitions[0].records = (struct wire_records){.file = &file, .position = 2, .length = 5};
    partitions[1].records = (struct wire_records){.slice = slice_make(block->bytes, 4000), .block = block};
    partitions[2].records = WIRE_RECORDS_EMPTY;
    /* The last one stays null. */
    struct fetch_response_fetchable_topic_response topic;
    struct fetch_response m;
    fetch_response_fetchable_topic_response_init(&topic);
    fetch_response_init(&m);
    topic.topic = SLICE("t");
    topic.partitions = partitions, topic.partitions_count = 4;
    m.responses = &topic, m.responses_count = 1;

    for (int16_t version = 4; version <= 18; version++) {
        struct buf b;
        struct wire_writer w;
        buf_init(&b);
        wire_writer_init(&w, &b);
        fetch_response_encode(&w, version, &m);
        cr_assert(wire_writer_done(&w));
        bool borrowed = false;
        for (uint32_t i = 0; i < b.parts_count; i++) borrowed |= b.parts[i].ptr == block->bytes;
        cr_expect(borrowed, "the block is pointed into");
        cr_expect_eq(atomic_load(&file.refs), 2);
        cr_expect_eq(atomic_load(&block->refs), 2);

        AUTO_FREE uint8_t *bytes = flatten(&b);
        struct fetch_response back;
        struct wire_reader r = reader(bytes, b.size);
        cr_assert(fetch_response_decode(&r, version, &back), "%s", r.error);
        cr_expect_eq(r.p, r.end);
        const struct fetch_response_partition_data *p = back.responses[0].partitions;
        cr_expect(slice_eq_text(p[0].records.slice, "23456"));
        cr_expect(slice_eq(p[1].records.slice, slice_make(block->bytes, 4000)));
        cr_expect(p[2].records.slice.ptr && !p[2].records.slice.len, "empty is not null");
        cr_expect(wire_records_is_null(&p[3].records));
        buf_done(&b);
        cr_expect_eq(atomic_load(&file.refs), 1);
        cr_expect_eq(atomic_load(&block->refs), 1);
    }
    block_unref(block);
    file_ref_put(&file);
    cr_expect_eq(file_frees, 1);
}

Test(wire, large_messages_go_through_many_windows)
{
    enum { TOPICS = 500, PARTITIONS = 20 };
    struct metadata_response m;
    static struct metadata_response_topic topics[TOPICS];
    static struct metadata_response_partition partitions[PARTITIONS];
    static int32_t replicas[] = {1, 2, 3};
    metadata_response_init(&m);
    for (int i = 0; i < PARTITIONS; i++) {
        metadata_response_partition_init(&partitions[i]);
        partitions[i].partition_index = i;
        partitions[i].replica_nodes = replicas, partitions[i].replica_nodes_count = 3;
    }
    for (int i = 0; i < TOPICS; i++) {
        metadata_response_topic_init(&topics[i]);
        topics[i].name = SLICE("dbserver1.public.activity");
        topics[i].partitions = partitions, topics[i].partitions_count = PARTITIONS;
    }
    m.topics = topics, m.topics_count = TOPICS;
    for (int16_t version = 0; version <= 13; version++) {
        struct buf b;
        struct wire_writer w;
        struct metadata_response back;
        buf_init(&b);
        wire_writer_init(&w, &b);
        metadata_response_encode(&w, version, &m);
        cr_assert(wire_writer_done(&w));
        AUTO_FREE uint8_t *bytes = flatten(&b);
        struct wire_reader r = reader(bytes, b.size);
        cr_assert(metadata_response_decode(&r, version, &back));
        cr_expect_eq(r.p, r.end);
        cr_expect_eq(back.topics_count, TOPICS);
        cr_expect_eq(back.topics[TOPICS - 1].partitions[PARTITIONS - 1].replica_nodes[2], 3);
        buf_done(&b);
    }
}

Test(wire, tagged_structs_are_left_out_at_their_defaults)
{
    struct produce_response_partition_produce_response p;
    produce_response_partition_produce_response_init(&p);
    struct produce_response_topic_produce_response t = {
        .name = SLICE("t"), .partition_responses = &p, .partition_responses_count = 1};
    struct produce_response m = {.responses = &t, .responses_count = 1};
    uint64_t sizes[2];
    for (int i = 0; i < 2; i++) {
        struct buf b;
        struct wire_writer w;
        p.current_leader.leader_id = i ? 3 : -1;
        buf_init(&b);
        wire_writer_init(&w, &b);
        produce_response_encode(&w, 10, &m);
        cr_assert(wire_writer_done(&w));
        sizes[i] = b.size;
        buf_done(&b);
    }
    cr_expect_eq(sizes[1] - sizes[0], 1 + 1 + 4 + 4 + 1, "tag, size, id, epoch, no tags");
}

/* ---- Tables ---- */

Test(message, the_api_table_is_sorted_and_complete)
{
    cr_assert_eq(kafka_apis_count, 77);
    for (int i = 0; i < kafka_apis_count; i++) {
        const struct kafka_api *api = &kafka_apis[i];
        if (i) cr_expect_gt(api->key, kafka_apis[i - 1].key);
        cr_expect_eq(kafka_api_find(api->key), api);
        cr_expect_eq(api->request->kind, WIRE_REQUEST);
        cr_expect_eq(api->response->kind, WIRE_RESPONSE);
        cr_expect_eq(api->request->type, api->key);
        cr_expect_eq(strncmp(api->request->name, api->name, strlen(api->name)), 0);
        if (api->served_min >= 0) {
            cr_expect(api->served_min >= api->version_min && api->served_max <= api->version_max);
            cr_expect_lt(api->served_max, api->unstable_from, "%s: unstable versions are not offered", api->name);
        }
        cr_expect_not(kafka_api_serves(api, (int16_t)(api->served_max + 1)));
        cr_expect_not(kafka_api_serves(api, -1));
    }
    cr_expect_null(kafka_api_find(-1));
    cr_expect_null(kafka_api_find(52));
    cr_expect_null(kafka_api_find(1000));
}

Test(message, header_versions)
{
    const struct kafka_api *versions = kafka_api_find(KAFKA_API_API_VERSIONS), *fetch = kafka_api_find(KAFKA_API_FETCH);
    cr_expect_eq(kafka_request_header_version(versions, 2), 1);
    cr_expect_eq(kafka_request_header_version(versions, 3), 2);
    cr_expect_eq(kafka_response_header_version(versions, 4), 0, "the client does not know our versions yet");
    cr_expect_eq(kafka_response_header_version(fetch, 11), 0);
    cr_expect_eq(kafka_response_header_version(fetch, 12), 1);
    const struct kafka_api *handshake = kafka_api_find(KAFKA_API_SASL_HANDSHAKE);
    cr_expect_eq(kafka_request_header_version(handshake, 1), 1, "never flexible");
}

Test(message, records_are_found_by_topic_and_type)
{
    const struct wire_message *m = wire_message_find_type(WIRE_METADATA, SLICE_NULL, 2);
    cr_assert(m);
    cr_expect_str_eq(m->name, "TopicRecord");
    m = wire_message_find_type(WIRE_KEY, SLICE("__consumer_offsets"), 1);
    cr_expect_str_eq(m->name, "OffsetCommitKey");
    m = wire_message_find_type(WIRE_VALUE, SLICE("__transaction_state"), 0);
    cr_expect_str_eq(m->name, "TransactionLogValue");
    cr_expect_null(wire_message_find_type(WIRE_KEY, SLICE("__consumer_offsets"), 99));
    cr_expect_null(wire_message_find_type(WIRE_KEY, SLICE("orders"), 1));
    cr_expect_null(wire_message_find_type(WIRE_METADATA, SLICE_NULL, 6), "6 is not used");
    cr_expect_null(wire_message_find(SLICE("Nothing")));
}

Test(message, prints_as_json)
{
    struct offset_commit_value m;
    char *text = NULL;
    size_t size = 0;
    offset_commit_value_init(&m);
    m.offset = INT64_MAX;
    m.metadata = SLICE("a\"\\\n\0b");
    FILE *out = open_memstream(&text, &size);
    wire_message_print(out, wire_message_find(SLICE("OffsetCommitValue")), 3, &m);
    fclose(out);
    cr_expect_str_eq(text,
                     "{\"offset\":9223372036854775807,\"leaderEpoch\":-1,\"metadata\":\"a\\\"\\\\\\u000a\\u0000b\","
                     "\"commitTimestamp\":0}");
    free(text);
}

Test(kafka_error, names_numbers_and_retriability)
{
    cr_expect_eq(KAFKA_UNKNOWN_SERVER_ERROR, -1);
    cr_expect_eq(KAFKA_SHARE_SESSION_LIMIT_REACHED, 133);
    cr_expect_str_eq(kafka_error_name(-1), "UNKNOWN_SERVER_ERROR");
    cr_expect_str_eq(kafka_error_name(56), "KAFKA_STORAGE_ERROR");
    cr_expect_str_eq(kafka_error_name(-2), "UNKNOWN");
    cr_expect_str_eq(kafka_error_name(134), "UNKNOWN");
    cr_expect(kafka_error_retriable(KAFKA_UNKNOWN_TOPIC_OR_PARTITION));
    cr_expect_not(kafka_error_retriable(KAFKA_OFFSET_OUT_OF_RANGE));
    cr_expect_not(kafka_error_retriable(1000));
    for (int code = -1; code <= 133; code++) {
        cr_expect_str_neq(kafka_error_name(code), "UNKNOWN");
        cr_expect_gt(strlen(kafka_error_text(code)), 5);
    }
}
