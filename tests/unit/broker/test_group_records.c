/* Records of `__consumer_offsets`: bytes that Kafka 4.1.1 wrote (the log of a consumer that joined, committed and left,
 * and a commit by hand), read and written again. */
#include "base/log.h"
#include "broker/group/group_classic.h"
#include "broker/group/group_records.h"
#include "broker/metadata/metadata.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define MEMBER "consumer-sample-group-1-4120b8cd-6600-4955-8cad-db4e2938e186"

static const char group_key[] = "0002000c73616d706c652d67726f7570";
static const char group_stable[] =
    "00030008636f6e73756d657200000001000572616e6765003c636f6e73756d65722d73616d706c652d67726f75702d312d3431323062386364"
    "2d"
    "363630302d343935352d386361642d646234653239333865313836000001a1fd11ff9e00000001003c636f6e73756d65722d73616d706c652d"
    "67"
    "726f75702d312d34313230623863642d363630302d343935352d386361642d646234653239333865313836ffff0017636f6e73756d65722d73"
    "61"
    "6d706c652d67726f75702d31000a2f3132372e302e302e31000493e00000afc80000001b000300000001000574756e6564ffffffff00000000"
    "ff"
    "ffffffffff00000021000300000001000574756e656400000003000000000000000100000002ffffffff";
static const char group_empty[] = "00030008636f6e73756d657200000002ffffffff000001a1fd12002a00000000";
static const char offset_key[] = "0001000c73616d706c652d67726f7570000574756e656400000002";
static const char offset_six[] = "000400000000000000060000000001000001a1fd12001000";
static const char hand_key[] = "0001000a68616e642d67726f75700005706c61696e00000000";
static const char hand_note[] = "00040000000000000002ffffffff056e6f7465000001a1fd12033300";

static int64_t wall_us(const struct clock *c)
{
    return 1700000000000000;
}
static void timer_start(struct group_host *h, struct group_timer *t, int64_t delay_ms)
{
    t->running = true;
}
static void timer_stop(struct group_host *h, struct group_timer *t)
{
    t->running = false;
}
static enum kafka_error append(struct group_host *h, struct group *g, const struct group_change *c, uint32_t count)
{
    return KAFKA_NONE;
}
static void when_durable(struct group_host *h, struct group *g, void (*done)(void *arg, enum kafka_error error),
                         void *arg)
{
    done(arg, KAFKA_NONE);
}

static const struct clock clock_still = {wall_us, wall_us};
static struct group_host host = {&clock_still, timer_start, timer_stop, append, when_durable};
static struct groups groups;
static struct coordinator_records records;
static struct coordinator_writer writer;

static void start(void)
{
    log_level_max = LOG_ERROR;
    groups_init(&groups, &host);
    coordinator_records_init(&records, TOPIC_OFFSETS, group_rows, &groups);
    coordinator_writer_init(&writer, &records);
}
static void stop(void)
{
    coordinator_writer_done(&writer);
    coordinator_records_done(&records);
    groups_done(&groups);
    cr_expect_eq(groups.bytes, 0);
}
TestSuite(group_records, .init = start, .fini = stop);

/* One at a time: lives until the next but three. */
static struct slice hex(const char *text)
{
    static uint8_t buffers[4][1024];
    static int next;
    uint8_t *to = buffers[next++ % 4];
    size_t size = strlen(text) / 2;
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        sscanf(text + 2 * i, "%2x", &byte);
        to[i] = (uint8_t)byte;
    }
    return slice_make(to, (uint32_t)size);
}

static bool apply(const char *key, const char *value)
{
    return coordinator_records_apply(&records, hex(key), value ? hex(value) : SLICE_NULL, 0, -1);
}

static void put(struct group *g, const struct group_change *change)
{
    coordinator_writer_begin(&writer, &BATCH_FIELDS_PLAIN, 0);
    group_record_put(&writer, g, change);
    cr_assert(coordinator_writer_finish(&writer));
}

static void expect_bytes(struct group *g, const struct group_change *change, const char *key_hex, const char *value_hex)
{
    put(g, change);
    cr_expect(slice_eq(bytes_slice(&writer.key), hex(key_hex)));
    cr_expect_eq(writer.value.len, value_hex ? strlen(value_hex) / 2 : 0, "nothing: a tombstone");
    if (value_hex) cr_expect(slice_eq(bytes_slice(&writer.value), hex(value_hex)), "%s", value_hex);
}

Test(group_records, a_stable_group_of_kafka_is_read_and_written_alike)
{
    cr_assert(apply(group_key, group_stable));
    struct group *g = groups_find(&groups, SLICE("sample-group"));
    struct classic_group *c = classic_group_of(g);
    cr_assert_not_null(c);
    cr_expect_str_eq(g->type->state_name(g), "Stable");
    cr_expect_eq(c->generation_id, 1);
    cr_expect_str_eq(c->protocol_type, "consumer");
    cr_expect_str_eq(c->protocol_name, "range");
    cr_expect_str_eq(c->leader->id, MEMBER);
    cr_expect_str_eq(c->leader->client_host, "/127.0.0.1");
    cr_expect_eq(c->leader->session_timeout_ms, 45000);
    cr_expect_eq(c->leader->rebalance_timeout_ms, 300000);
    cr_expect(g->type->is_subscribed(g, SLICE("tuned")), "the subscription is understood");
    expect_bytes(g, &(struct group_change){.type = GROUP_CHANGE_STATE}, group_key, group_stable);
}

Test(group_records, an_emptied_group_of_kafka_is_read_and_written_alike)
{
    cr_assert(apply(group_key, group_stable));
    cr_assert(apply(group_key, group_empty));
    struct group *g = groups_find(&groups, SLICE("sample-group"));
    cr_expect_str_eq(g->type->state_name(g), "Empty");
    expect_bytes(g, &(struct group_change){.type = GROUP_CHANGE_STATE}, group_key, group_empty);
}

Test(group_records, offsets_of_kafka_are_read_and_written_alike)
{
    cr_assert(apply(offset_key, offset_six));
    cr_assert(apply(hand_key, hand_note));
    struct group *g = groups_find(&groups, SLICE("sample-group"));
    const struct offset_value *v = offsets_get(&g->offsets, SLICE("tuned"), 2);
    cr_assert_not_null(v);
    cr_expect_eq(v->offset, 6);
    cr_expect_eq(v->leader_epoch, 0);
    struct group_change change = {.type = GROUP_CHANGE_OFFSET, .topic = SLICE("tuned"), .partition = 2, .offset = v};
    expect_bytes(g, &change, offset_key, offset_six);

    g = groups_find(&groups, SLICE("hand-group"));
    v = offsets_get(&g->offsets, SLICE("plain"), 0);
    cr_expect_eq(v->leader_epoch, -1);
    cr_expect(slice_eq_text(v->metadata, "note"));
    cr_expect_eq(v->expire_time_ms, -1);
    change = (struct group_change){.type = GROUP_CHANGE_OFFSET, .topic = SLICE("plain"), .partition = 0, .offset = v};
    expect_bytes(g, &change, hand_key, hand_note);
    change.type = GROUP_CHANGE_OFFSET_REMOVED;
    expect_bytes(g, &change, hand_key, NULL);
}

Test(group_records, tombstones_remove)
{
    cr_assert(apply(group_key, group_stable));
    cr_assert(apply(offset_key, offset_six));
    cr_assert(apply(group_key, NULL));
    struct group *g = groups_find(&groups, SLICE("sample-group"));
    cr_assert_not_null(g, "its offsets are still there: a simple group now");
    cr_expect_str_eq(g->type->state_name(g), "Empty");
    cr_assert(apply(offset_key, NULL));
    cr_expect_null(offsets_get(&g->offsets, SLICE("tuned"), 2));
    cr_assert(apply(offset_key, NULL), "twice is no harm");
    cr_assert(apply(group_key, NULL));
    cr_expect_null(groups_find(&groups, SLICE("sample-group")));
    cr_assert(apply(group_key, NULL));
}

Test(group_records, a_retention_time_survives)
{
    cr_assert(apply(offset_key, offset_six));
    struct group *g = groups_find(&groups, SLICE("sample-group"));
    struct offset_value v = {
        .offset = 9, .leader_epoch = 3, .commit_time_ms = 5, .expire_time_ms = 1234, .metadata = SLICE_EMPTY};
    struct group_change change = {.type = GROUP_CHANGE_OFFSET, .topic = SLICE("tuned"), .partition = 2, .offset = &v};
    put(g, &change);
    cr_expect_eq(writer.value.ptr[1], 1, "value version 1, the only one that has the field");
    cr_assert(coordinator_records_apply(&records, bytes_slice(&writer.key), bytes_slice(&writer.value), 0, -1));
    cr_expect_eq(offsets_get(&g->offsets, SLICE("tuned"), 2)->expire_time_ms, 1234);
}

Test(group_records, the_legacy_key_is_read)
{
    /* group g, topic t, partition 0: offset 5, metadata "m", time 7 */
    cr_assert(apply("0000"
                    "000167"
                    "000174"
                    "00000000",
                    "0000"
                    "0000000000000005"
                    "00016d"
                    "0000000000000007"));
    struct group *g = groups_find(&groups, SLICE("g"));
    cr_assert_not_null(g);
    cr_expect_eq(offsets_get(&g->offsets, SLICE("t"), 0)->offset, 5);
}

Test(group_records, commits_in_a_transaction_wait)
{
    int32_t part = coordinator_partition(SLICE("sample-group"), 50);
    cr_assert(coordinator_records_apply(&records, hex(offset_key), hex(offset_six), 0, 77));
    struct group *g = groups_find(&groups, SLICE("sample-group"));
    cr_expect_null(offsets_get(&g->offsets, SLICE("tuned"), 2));
    groups_apply_marker(&groups, (part + 1) % 50, 50, 77, true);
    cr_expect_null(offsets_get(&g->offsets, SLICE("tuned"), 2), "a marker of another partition");
    groups_apply_marker(&groups, part, 50, 77, true);
    cr_expect_eq(offsets_get(&g->offsets, SLICE("tuned"), 2)->offset, 6);
}

Test(group_records, unknown_types_are_left_alone_and_damage_is_told)
{
    cr_expect(apply("00110001"
                    "67",
                    "0000"),
              "a streams group");
    cr_expect_not(apply("00030001"
                        "67",
                        "0000"),
                  "a consumer group without its epoch");
    cr_expect(apply("7fff", "0000"));
    cr_expect_not(apply("00", "0000"));
    cr_expect_not(apply(offset_key, "0009"), "a version that nobody has written yet");
    const char *samples[][2] = {{group_key, group_stable}, {offset_key, offset_six}, {hand_key, hand_note}};
    for (size_t r = 0; r < countof(samples); r++) {
        uint8_t key[64], value[1024];
        struct slice k = hex(samples[r][0]), v = hex(samples[r][1]);
        memcpy(key, k.ptr, k.len);
        memcpy(value, v.ptr, v.len);
        for (uint32_t cut = 0; cut < k.len; cut++)
            if (cut != 2)
                cr_expect_not(
                    coordinator_records_apply(&records, slice_make(key, cut), slice_make(value, v.len), 0, -1), "%u",
                    cut);
        for (uint32_t cut = 0; cut < v.len; cut++)
            cr_expect_not(coordinator_records_apply(&records, slice_make(key, k.len), slice_make(value, cut), 0, -1),
                          "%u", cut);
        unsigned seed = 1, survived = 0;
        for (int round = 0; round < 2000; round++) {
            uint8_t damaged[1024];
            memcpy(damaged, value, v.len);
            for (int i = 0; i < 3; i++) damaged[rand_r(&seed) % v.len] ^= (uint8_t)(1u << rand_r(&seed) % 8);
            bool ok = coordinator_records_apply(&records, slice_make(key, k.len), slice_make(damaged, v.len), 0, -1);
            survived += ok;
        }
        cr_expect_gt(survived, 0, "most flipped bits are in texts and numbers");
    }
}
