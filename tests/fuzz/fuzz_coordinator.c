/* Any records in the logs of coordinators, replayed as a start does: __consumer_offsets, __transaction_state and
 * __share_group_state. Then what they made comes to life: timers fire, members beat, transactions end, share partitions
 * are acquired. Nothing may break, and all memory that was counted is given back.
 *
 * Input: one byte that names the log, then records: flags (1: tombstone; 2: of a transaction; 4: a marker instead, which
 * commits with 1), uint16 lengths of key and value, key, value. */
#define cr_assert(condition, ...) assert(condition)
#define cr_assert_geq(a, b, ...)  assert((a) >= (b))
#define cr_expect_eq(a, b, ...)   assert((a) == (b))
#include "tests/unit/broker/fake_group_host.h"

#include "broker/group/assignor.h"
#include "broker/share/group_share.h"
#include "broker/share/share_state.h"
#include "broker/share/share_store.h"
#include "broker/txn/txn.h"
#include "broker/txn/txn_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_BYTES_MAX 32768 /* timers of the fake host are counted */
#define PRODUCER_ID     1

enum { TOMBSTONE = 1, IN_TXN = 2, MARKER = 4 };

struct input {
    const uint8_t *p, *end;
};

struct input_record {
    uint8_t flags;
    struct slice key, value;
};

static bool next(struct input *in, struct input_record *ret)
{
    if (in->end - in->p < 5) return false;
    ret->flags = in->p[0];
    size_t key = be16_load(in->p + 1), value = be16_load(in->p + 3), left = (size_t)(in->end - in->p) - 5;
    key = MIN(key, left);
    value = MIN(value, left - key);
    ret->key = slice_make(in->p + 5, (uint32_t)key);
    ret->value = ret->flags & TOMBSTONE ? SLICE_NULL : slice_make(in->p + 5 + key, (uint32_t)value);
    in->p += 5 + key + value;
    return true;
}

static void replay(struct input in, struct coordinator_records *records, struct groups *groups)
{
    struct input_record r;
    for (int64_t offset = 0; next(&in, &r); offset++) {
        if (!(r.flags & MARKER))
            (void)coordinator_records_apply(records, r.key, r.value, offset, r.flags & IN_TXN ? PRODUCER_ID : -1);
        else if (groups) groups_apply_marker(groups, 0, 1, PRODUCER_ID, r.flags & TOMBSTONE);
    }
}

/* -- __consumer_offsets -- */

static void share_initialize(struct group_host *h, struct group *g, const struct partition_set *partitions,
                             int32_t state_epoch)
{
    share_group_initialized(g->groups, group_id(g), partitions, true);
}

static enum kafka_error append_in_txn(struct group_host *h, struct group *g, int64_t producer_id, int16_t epoch,
                                      const struct group_change *changes, uint32_t count)
{
    return fake_append(h, g, changes, count);
}

/* A newcomer makes the coordinator compute with what it has read. */
static void beat(struct groups *gs, struct slice id)
{
    struct partition_set nothing = {0};
    const struct slice topics[] = {SLICE("t"), SLICE("u")};
    struct consumer_heartbeat in = {.group_id = id,
                                    .member_id = SLICE("fuzz"),
                                    .needs_member_id = true,
                                    .rebalance_timeout_ms = 1000,
                                    .topics = topics,
                                    .topics_count = 2,
                                    .owned = &nothing};
    struct consumer_answer answer;
    struct err err = ERR_NONE;

    if (consumer_heartbeat(gs, &in, &answer, &err) == KAFKA_NONE) {
        in.epoch = answer.epoch;
        free(answer.member_id);
        if (consumer_heartbeat(gs, &in, &answer, &err) == KAFKA_NONE) free(answer.member_id);
    }
}

static void fuzz_groups(struct input in)
{
    struct groups gs;
    struct group *g, *next_group;
    const struct group_caller nobody = {.generation_id = -1, .member_id = SLICE_EMPTY};

    fake_start(&gs);
    fake.host.append_in_txn = append_in_txn;
    fake.host.share_initialize = share_initialize;
    gs.config = (struct group_config){.session_timeout_min_ms = 1,
                                      .session_timeout_max_ms = 1000000,
                                      .size_max = 1000,
                                      .offsets_retention_ms = 1000,
                                      .options = {1000, 100, 1000, 100},
                                      .consumer_size_max = 1000,
                                      .consumer_regex_refresh_ms = 1000,
                                      .consumer_assignors = {&assignor_uniform, &assignor_range},
                                      .consumer_assignors_count = 2,
                                      .consumer_upgrade = true,
                                      .consumer_downgrade = true,
                                      .share_size_max = 1000};
    fake_topic(NULL, "t", 3);
    fake_topic(NULL, "u", 2);
    replay(in, &fake.records, &gs);
    groups_restored(&gs, 0, 1, true);
    HASH_ITER(hh, gs.by_id, g, next_group)
    {
        AUTO_FREE char *id = slice_strdup(group_id(g));
        struct slice name = slice_make(id, g->id_len);
        (void)g->type->state_name(g);
        (void)g->type->is_subscribed(g, SLICE("t"));
        (void)classic_heartbeat(&gs, name, &nobody);
        beat(&gs, name);
    }
    fake_topic(&gs, "t", 5);
    pass_ms(500);
    groups_topic_deleted(&gs, SLICE("u"));
    groups_expire(&gs);
    pass_ms(10000000);
    groups_expire(&gs);
    fake_stop(&gs);
}

/* -- __transaction_state -- */

static enum kafka_error txn_append(struct txn_host *h, const struct txn *t, const struct txn_data *data)
{
    return KAFKA_NONE;
}

static void txn_when(struct txn_host *h, struct txn *t, void (*done)(void *t, enum kafka_error error))
{
    done(t, KAFKA_NONE);
}

static enum kafka_error txn_mark(struct txn_host *h, const struct txn *t, const struct txn_marker *marker,
                                 struct slice topic, int32_t partition)
{
    return KAFKA_NONE;
}

static void txn_take_id(struct txn_host *h, struct txn *t,
                        void (*done)(struct txn *t, enum kafka_error error, int64_t producer_id))
{
    done(t, KAFKA_NONE, 4711);
}

static struct txn_result txn_answered;

static void txn_answer(struct txn_call *call, const struct txn_result *result)
{
    txn_answered = *result;
}

static void fuzz_txns(struct input in)
{
    struct txn_host host = {.clock = &fake.clock,
                            .append = txn_append,
                            .when_durable = txn_when,
                            .mark = txn_mark,
                            .when_marked = txn_when,
                            .take_producer_id = txn_take_id};
    struct txns ts;
    struct coordinator_records records;
    struct txn *t, *next_txn;

    fake = (struct fake_host){.clock = {.wall_us = fake_wall_us, .mono_us = fake_wall_us}, .now_ms = 1700000000000};
    txns_init(&ts, &host);
    ts.id_expiration_ms = 1000;
    coordinator_records_init(&records, TOPIC_TRANSACTIONS, txn_rows, &ts);
    replay(in, &records, NULL);
    HASH_ITER(hh, ts.by_id, t, next_txn) txn_resume(t);
    txns_sweep(&ts);
    HASH_ITER(hh, ts.by_id, t, next_txn)
    {
        AUTO_FREE char *id = slice_strdup(txn_id(t));
        struct txn_call call = {.answer = txn_answer};
        struct txn_init init = {
            .id = slice_make(id, t->id_len), .timeout_ms = 1000, .expected_producer_id = -1, .expected_epoch = -1};
        txn_init(&ts, &init, &call);
        struct txn_producer who = {init.id, txn_answered.producer_id, txn_answered.epoch};
        struct txn_add_partition partition = {SLICE("t"), 0};
        if (txn_answered.error != KAFKA_NONE) continue;
        txn_add(&ts, &who, 2, &partition, 1, &call);
        txn_end(&ts, &who, 2, true, &call);
    }
    fake.now_ms += 10000000000;
    txns_sweep(&ts);
    txns_expire(&ts);
    txns_done(&ts);
    assert(ts.bytes == 0);
    coordinator_records_done(&records);
}

/* -- __share_group_state -- */

static void acquire(const struct share_state *s)
{
    struct share_partition p;
    struct share_acquired_list list = {0};

    share_partition_init(&p, MAX(s->start, 0), 5, 2000);
    if (share_partition_restore(&p, s->batches, s->batches_count) && share_partition_can_acquire(&p)) {
        int64_t from = share_partition_fetch_offset(&p);
        const struct share_log_batch batch = {from, from <= INT64_MAX - 100 ? from + 99 : from, false};
        const struct share_acquire a = {
            .batches = &batch, .count = 1, .records_max = 500, .batch_size = 10, .lock_end_ms = 1000};
        share_partition_acquire(&p, &a, &list);
    }
    free(list.items);
    share_partition_done(&p);
}

static void fuzz_shares(struct input in)
{
    struct share_states ss = {0};
    struct coordinator_records records;

    coordinator_records_init(&records, TOPIC_SHARE_STATE, share_rows, &ss);
    replay(in, &records, NULL);
    for (struct share_state *s = ss.by_key; s; s = s->hh.next) {
        struct share_record r;
        for (uint32_t i = 0; i < s->batches_count; i++) {
            assert(s->batches[i].first_offset <= s->batches[i].last_offset && s->batches[i].last_offset >= s->start);
            assert(!i || s->batches[i].first_offset > s->batches[i - 1].last_offset);
        }
        acquire(s);
        share_state_write(s, s->start, s->batches, s->batches_count, 0, 1000, &r);
        share_record_done(&r);
    }
    share_states_done(&ss);
    assert(ss.bytes == 0);
    coordinator_records_done(&records);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > INPUT_BYTES_MAX) return 0;
    struct input in = {data + 1, data + size};
    log_level_max = LOG_ERROR;
    switch (data[0] % 3) {
    case 0: fuzz_groups(in); break;
    case 1: fuzz_txns(in); break;
    default: fuzz_shares(in); break;
    }
    return 0;
}
