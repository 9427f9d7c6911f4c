/* The durable state of share partitions: what records make of it, and that what is written is what is read. */
#include "broker/share/share_state.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct share_states states;
static const struct share_key key = {.group_id = {(const uint8_t *)"g", 1}, .topic_id = {{7}}, .partition = 3};
static int64_t offset_next;

/* What a log does: the record is applied as if it was read. */
static void append(struct share_record *r)
{
    if (r->type == SHARE_RECORD_SNAPSHOT)
        cr_assert(share_states_apply_snapshot(&states, &r->snapshot_key, &r->snapshot, offset_next));
    else cr_assert(share_states_apply_update(&states, &r->update_key, &r->update));
    offset_next++;
    share_record_done(r);
}

static struct share_state *state(void)
{
    return share_states_find(&states, &key);
}

static void initialize(int64_t start)
{
    struct share_record r;
    cr_assert(share_state_initialize(state(), &key, 1, start, 1000, &r));
    append(&r);
}

static enum share_record_type store(int64_t start, const struct share_batch *changes, uint32_t count,
                                    uint32_t updates_max)
{
    struct share_record r;
    share_state_write(state(), start, changes, count, updates_max, 2000, &r);
    enum share_record_type type = r.type;
    append(&r);
    return type;
}

static void expect_batches(const struct share_batch *expected, uint32_t count)
{
    cr_assert_eq(state()->batches_count, count, "%u batches, not %u", state()->batches_count, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct share_batch *b = &state()->batches[i];
        cr_expect_eq(b->first_offset, expected[i].first_offset);
        cr_expect_eq(b->last_offset, expected[i].last_offset);
        cr_expect_eq(b->delivery_state, expected[i].delivery_state);
        cr_expect_eq(b->delivery_count, expected[i].delivery_count);
    }
}

static void teardown(void)
{
    share_states_done(&states);
    cr_expect_eq(states.bytes, 0);
}

TestSuite(share_state, .fini = teardown);

Test(share_state, an_initialized_state_has_no_start)
{
    cr_expect_null(state());
    initialize(SHARE_STATE_UNINITIALIZED);
    cr_assert_not_null(state());
    cr_expect_eq(state()->start, SHARE_STATE_UNINITIALIZED);
    cr_expect_eq(state()->snapshot_epoch, 0);
    cr_expect_eq(state()->state_epoch, 1);
    struct share_key k = share_state_key(state());
    cr_expect(slice_eq(k.group_id, key.group_id) && uuid_eq(k.topic_id, key.topic_id) && k.partition == 3);
    struct share_key other = key;
    other.partition = 4;
    cr_expect_null(share_states_find(&states, &other));
}

Test(share_state, what_is_stored_last_counts)
{
    initialize(0);
    store(0, (struct share_batch[]){{0, 9, SHARE_ACKNOWLEDGED, 1}, {10, 19, SHARE_AVAILABLE, 1}}, 2, 100);
    store(0, (struct share_batch[]){{12, 14, SHARE_ACKNOWLEDGED, 2}, {18, 25, SHARE_ARCHIVED, 2}}, 2, 100);
    expect_batches((struct share_batch[]){{0, 9, SHARE_ACKNOWLEDGED, 1},
                                          {10, 11, SHARE_AVAILABLE, 1},
                                          {12, 14, SHARE_ACKNOWLEDGED, 2},
                                          {15, 17, SHARE_AVAILABLE, 1},
                                          {18, 25, SHARE_ARCHIVED, 2}},
                   5);
    store(11, (struct share_batch[]){{11, 26, SHARE_ACKNOWLEDGED, 3}}, 1, 100);
    expect_batches((struct share_batch[]){{11, 26, SHARE_ACKNOWLEDGED, 3}}, 1);
    store(20, (struct share_batch[]){{27, 27, SHARE_ACKNOWLEDGED, 3}}, 1, 100);
    expect_batches((struct share_batch[]){{20, 27, SHARE_ACKNOWLEDGED, 3}}, 1);
}

Test(share_state, after_enough_updates_comes_a_snapshot)
{
    initialize(0);
    for (int i = 0; i < 3; i++)
        cr_expect_eq(store(0, (struct share_batch[]){{2 * i, 2 * i, 2, 1}}, 1, 3), SHARE_RECORD_UPDATE);
    cr_expect_eq(store(4, (struct share_batch[]){{6, 6, SHARE_AVAILABLE, 1}}, 1, 3), SHARE_RECORD_SNAPSHOT);
    cr_expect_eq(state()->snapshot_epoch, 1);
    cr_expect_eq(state()->snapshot_offset, 4);
    cr_expect_eq(state()->write_time_ms, 2000);
    expect_batches((struct share_batch[]){{4, 4, 2, 1}, {6, 6, SHARE_AVAILABLE, 1}}, 2);
    cr_expect_eq(store(4, (struct share_batch[]){{7, 7, 2, 1}}, 1, 3), SHARE_RECORD_UPDATE);
}

Test(share_state, initializing_again_begins_anew)
{
    struct share_record r;
    initialize(0);
    store(0, (struct share_batch[]){{0, 9, SHARE_ACKNOWLEDGED, 1}}, 1, 100);
    cr_expect_not(share_state_initialize(state(), &key, 0, 0, 1000, &r), "an older state epoch");
    cr_assert(share_state_initialize(state(), &key, 5, 42, 1000, &r));
    append(&r);
    cr_expect_eq(state()->start, 42);
    cr_expect_eq(state()->state_epoch, 5);
    cr_expect_eq(state()->snapshot_epoch, 1);
    expect_batches(NULL, 0);
}

static int forgotten;
static void forget(struct share_states *ss, struct share_state *s)
{
    forgotten++;
}

Test(share_state, a_tombstone_forgets)
{
    struct share_snapshot_key k = {key.group_id, key.topic_id, key.partition};
    states.forget = forget;
    initialize(0);
    state()->live = &forgotten;
    cr_expect(share_states_apply_snapshot(&states, &k, NULL, 9));
    cr_expect_null(state());
    cr_expect_eq(forgotten, 1);
    cr_expect(share_states_apply_snapshot(&states, &k, NULL, 10), "twice is no error");
}

Test(share_state, records_that_make_no_sense_are_refused)
{
    struct share_update_key uk = {key.group_id, key.topic_id, key.partition};
    struct share_update_value u = {0};
    cr_expect_not(share_states_apply_update(&states, &uk, &u), "no snapshot before");
    initialize(0);
    struct share_update_value_state_batch bad[] = {{5, 6, 0, 1}, {6, 7, 0, 1}};
    u.state_batches = bad;
    u.state_batches_count = 2;
    cr_expect_not(share_states_apply_update(&states, &uk, &u));
    bad[1] = (struct share_update_value_state_batch){9, 8, 0, 1};
    cr_expect_not(share_states_apply_update(&states, &uk, &u));
    cr_expect_not(share_states_apply_update(&states, &uk, NULL));
    expect_batches(NULL, 0);
}

static int64_t at_most(int64_t max, int64_t value)
{
    return MIN(max, value);
}

Test(share_state, random_merges_are_as_offset_by_offset)
{
    struct share_batch model[64];
    unsigned seed = 5;

    for (int round = 0; round < 300; round++) {
        int64_t start = 0;
        memset(model, 0, sizeof model);
        for (int i = 0; i < 64; i++) model[i].delivery_count = -1;
        initialize(0);
        for (int step = 0; step < 12; step++) {
            struct share_batch changes[16];
            uint32_t count = 0;
            if (rand_r(&seed) % 4 == 0) start = at_most(60, start + rand_r(&seed) % 6);
            for (int64_t at = start + rand_r(&seed) % 8; at < 64 && count < 16; at += 1 + rand_r(&seed) % 12) {
                int64_t last = at_most(63, at + rand_r(&seed) % 9);
                changes[count++] =
                    (struct share_batch){at, last, (int8_t)(rand_r(&seed) % 2 * 2), (int16_t)(rand_r(&seed) % 3)};
                for (; at <= last; at++) model[at] = changes[count - 1];
            }
            store(start, changes, count, (uint32_t)(rand_r(&seed) % 6));
            uint32_t b = 0;
            for (int64_t o = 0; o < 64; o++) {
                while (b < state()->batches_count && state()->batches[b].last_offset < o) b++;
                bool has = b < state()->batches_count && state()->batches[b].first_offset <= o;
                cr_assert_eq(has, o >= start && model[o].delivery_count >= 0, "%lld", (long long)o);
                if (!has) continue;
                cr_assert_eq(state()->batches[b].delivery_count, model[o].delivery_count);
                cr_assert_eq(state()->batches[b].delivery_state, model[o].delivery_state);
            }
        }
    }
}
