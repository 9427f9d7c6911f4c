/* The share-partition state machine: its rules one by one, and random histories against a model that keeps every record
 * by itself. */
#include "broker/share/share_partition.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DELIVERY_LIMIT 3
#define LOCK_MS        1000
#define CHANGES_MAX    4096

static const struct uuid alice = {{1}}, bob = {{2}};

/* What was stored last. */
static struct {
    int64_t start;
    struct share_batch changes[CHANGES_MAX];
    uint32_t count;
    uint32_t calls;
    enum kafka_error error;
} stored;

static enum kafka_error store(void *arg, int64_t start, const struct share_batch *changes, uint32_t count)
{
    cr_assert(count > 0 && count <= CHANGES_MAX);
    stored.calls++;
    if (stored.error != KAFKA_NONE) return stored.error;
    stored.start = start;
    stored.count = count;
    memcpy(stored.changes, changes, count * sizeof *changes);
    return KAFKA_NONE;
}

static struct share_partition p;
static struct share_acquired_list got;

static void setup(void)
{
    memset(&stored, 0, sizeof stored);
    share_partition_init(&p, 0, DELIVERY_LIMIT, 100);
}

static void teardown(void)
{
    share_partition_done(&p);
    free(got.items);
    got = (struct share_acquired_list){0};
}

TestSuite(share_partition, .init = setup, .fini = teardown);

/* Acquires from a log with one batch first..last. */
static void acquire(struct uuid member, int64_t first, int64_t last, int64_t records_max)
{
    got.count = 0;
    got.records = 0;
    struct share_log_batch batch = {.base_offset = first, .last_offset = last};
    share_partition_acquire(&p,
                            &(struct share_acquire){.member = member,
                                                    .batches = &batch,
                                                    .count = 1,
                                                    .records_max = records_max,
                                                    .batch_size = 100,
                                                    .lock_end_ms = LOCK_MS},
                            &got);
}

static enum kafka_error ack(struct uuid member, int64_t first, int64_t last, enum share_acknowledge_type type)
{
    int8_t types = (int8_t)type;
    struct share_ack a = {first, last, &types, 1};
    return share_partition_acknowledge(&p, member, &a, 1, store, NULL);
}

static void expect_stored(uint32_t i, int64_t first, int64_t last, int state, int count)
{
    cr_assert_lt(i, stored.count);
    cr_expect_eq(stored.changes[i].first_offset, first);
    cr_expect_eq(stored.changes[i].last_offset, last);
    cr_expect_eq(stored.changes[i].delivery_state, state);
    cr_expect_eq(stored.changes[i].delivery_count, count);
}

static void expect_acquired(uint32_t i, int64_t first, int64_t last, int count)
{
    cr_assert_lt(i, got.count);
    cr_expect_eq(got.items[i].first_offset, first);
    cr_expect_eq(got.items[i].last_offset, last);
    cr_expect_eq(got.items[i].delivery_count, count);
}

Test(share_partition, a_record_is_acquired_by_one_member_only)
{
    acquire(alice, 0, 9, 500);
    cr_assert_eq(got.count, 1);
    expect_acquired(0, 0, 9, 1);
    cr_expect_eq(share_partition_fetch_offset(&p), 10);

    acquire(bob, 0, 9, 500);
    cr_expect_eq(got.count, 0);
    cr_expect_eq(ack(bob, 0, 9, SHARE_ACCEPT), KAFKA_INVALID_RECORD_STATE);
    cr_expect_eq(stored.calls, 0);
}

Test(share_partition, accepted_records_move_the_start_and_are_stored_with_the_start_before)
{
    acquire(alice, 0, 9, 500);
    cr_assert_eq(ack(alice, 0, 1, SHARE_ACCEPT), KAFKA_NONE);
    cr_expect_eq(stored.start, 0);
    cr_expect_eq(stored.count, 1);
    expect_stored(0, 0, 1, SHARE_ACKNOWLEDGED, 1);
    cr_expect_eq(p.start, 2);

    cr_assert_eq(ack(alice, 5, 9, SHARE_ACCEPT), KAFKA_NONE);
    cr_expect_eq(stored.start, 2);
    cr_expect_eq(p.start, 2, "2..4 are not final");
    cr_assert_eq(ack(alice, 2, 4, SHARE_REJECT), KAFKA_NONE);
    expect_stored(0, 2, 4, SHARE_ARCHIVED, 1);
    cr_expect_eq(p.start, 10);
    cr_expect_eq(p.end, 10);
    cr_expect_eq(p.runs.count, 0);
}

Test(share_partition, a_type_for_each_record)
{
    const int8_t types[] = {SHARE_ACCEPT, SHARE_GAP, SHARE_RELEASE, SHARE_REJECT};
    struct share_ack a = {0, 3, types, 4};
    acquire(alice, 0, 3, 500);
    cr_assert_eq(share_acks_check(&a, 1), KAFKA_NONE);
    cr_assert_eq(share_partition_acknowledge(&p, alice, &a, 1, store, NULL), KAFKA_NONE);
    cr_expect_eq(stored.count, 4);
    expect_stored(0, 0, 0, SHARE_ACKNOWLEDGED, 1);
    expect_stored(1, 1, 1, SHARE_ARCHIVED, 1);
    expect_stored(2, 2, 2, SHARE_AVAILABLE, 1);
    expect_stored(3, 3, 3, SHARE_ARCHIVED, 1);
    cr_expect_eq(p.start, 2);
    cr_expect_eq(share_partition_fetch_offset(&p), 2);
}

Test(share_partition, released_records_are_delivered_up_to_the_limit)
{
    for (int i = 1; i <= DELIVERY_LIMIT; i++) {
        acquire(bob, 0, 0, 500);
        cr_assert_eq(got.count, 1);
        expect_acquired(0, 0, 0, i);
        cr_assert_eq(ack(bob, 0, 0, SHARE_RELEASE), KAFKA_NONE);
        expect_stored(0, 0, 0, i < DELIVERY_LIMIT ? SHARE_AVAILABLE : SHARE_ARCHIVED, i);
    }
    cr_expect_eq(p.start, 1);
}

Test(share_partition, a_closed_session_takes_its_delivery_back)
{
    acquire(alice, 0, 4, 500);
    cr_assert_eq(ack(alice, 0, 4, SHARE_RELEASE), KAFKA_NONE);
    acquire(alice, 0, 2, 500);
    acquire(bob, 3, 4, 500);
    cr_assert_eq(share_partition_release(&p, alice, store, NULL), KAFKA_NONE);
    cr_expect_eq(stored.count, 1);
    expect_stored(0, 0, 2, SHARE_AVAILABLE, 1);
    cr_expect_eq(ack(bob, 3, 4, SHARE_ACCEPT), KAFKA_NONE);
    cr_expect_eq(share_partition_release(&p, alice, store, NULL), KAFKA_NONE);
    cr_expect_eq(stored.calls, 3, "nothing to release: nothing to store");
}

Test(share_partition, an_expired_lock_releases_even_when_that_cannot_be_stored)
{
    acquire(alice, 0, 4, 500);
    cr_expect_eq(share_partition_next_expiry(&p), LOCK_MS);
    cr_expect_eq(share_partition_expire(&p, LOCK_MS - 1, store, NULL), KAFKA_NONE);
    cr_expect_eq(stored.calls, 0);
    stored.error = KAFKA_COORDINATOR_NOT_AVAILABLE;
    cr_expect_eq(share_partition_expire(&p, LOCK_MS, store, NULL), KAFKA_COORDINATOR_NOT_AVAILABLE);
    cr_expect_eq(share_partition_next_expiry(&p), INT64_MAX);
    cr_expect_eq(share_partition_fetch_offset(&p), 0);
    cr_expect_eq(ack(alice, 0, 4, SHARE_ACCEPT), KAFKA_INVALID_RECORD_STATE);
}

Test(share_partition, what_cannot_be_stored_did_not_happen)
{
    acquire(alice, 0, 4, 500);
    stored.error = KAFKA_COORDINATOR_NOT_AVAILABLE;
    cr_expect_eq(ack(alice, 0, 4, SHARE_ACCEPT), KAFKA_COORDINATOR_NOT_AVAILABLE);
    cr_expect_eq(share_partition_release(&p, alice, store, NULL), KAFKA_COORDINATOR_NOT_AVAILABLE);
    stored.error = KAFKA_NONE;
    cr_expect_eq(ack(alice, 0, 4, SHARE_ACCEPT), KAFKA_NONE);
    cr_expect_eq(p.start, 5);
}

Test(share_partition, acknowledgements_are_taken_whole_or_not)
{
    const int8_t accept = SHARE_ACCEPT;
    acquire(alice, 0, 4, 500);
    acquire(bob, 5, 9, 500);
    struct share_ack acks[] = {{0, 2, &accept, 1}, {4, 6, &accept, 1}};
    cr_expect_eq(share_partition_acknowledge(&p, alice, acks, 2, store, NULL), KAFKA_INVALID_RECORD_STATE);
    acks[1] = (struct share_ack){4, 10, &accept, 1};
    cr_expect_eq(share_partition_acknowledge(&p, alice, acks, 2, store, NULL), KAFKA_INVALID_REQUEST);
    acks[1] = (struct share_ack){2, 3, &accept, 1};
    cr_expect_eq(share_acks_check(acks, 2), KAFKA_NONE, "Kafka lets one record stand in both");
    cr_expect_eq(share_partition_acknowledge(&p, alice, acks, 2, store, NULL), KAFKA_INVALID_RECORD_STATE);
    cr_expect_eq(stored.calls, 0);
    cr_expect_eq(p.start, 0);
    acks[1] = (struct share_ack){4, 4, &accept, 1};
    cr_expect_eq(share_partition_acknowledge(&p, alice, acks, 2, store, NULL), KAFKA_NONE);
    cr_expect_eq(stored.count, 2);
    cr_expect_eq(p.start, 3);
}

Test(share_partition, acknowledgements_below_the_start_are_skipped)
{
    acquire(alice, 0, 4, 500);
    cr_assert_eq(ack(alice, 0, 2, SHARE_ACCEPT), KAFKA_NONE);
    cr_expect_eq(ack(alice, 0, 1, SHARE_REJECT), KAFKA_NONE);
    cr_expect_eq(stored.calls, 1);
    cr_expect_eq(ack(alice, 1, 4, SHARE_ACCEPT), KAFKA_NONE);
    cr_expect_eq(p.start, 5);
    cr_expect_eq(ack(alice, 5, 5, SHARE_ACCEPT), KAFKA_INVALID_RECORD_STATE, "nothing is in flight");
}

Test(share_partition, malformed_acknowledgements)
{
    static const int8_t types[] = {1, 1, 1}, wrong = 4, below = -1;
    const struct share_ack bad[] = {{3, 2, types, 1},  {0, 0, types, 0},  {0, 2, types, 2},        {0, 0, &wrong, 1},
                                    {0, 0, &below, 1}, {-2, 0, types, 1}, {0, INT64_MAX, types, 1}};
    for (size_t i = 0; i < countof(bad); i++)
        cr_expect_eq(share_acks_check(&bad[i], 1), KAFKA_INVALID_REQUEST, "%zu", i);
    const struct share_ack descending[] = {{5, 6, types, 1}, {4, 4, types, 1}};
    cr_expect_eq(share_acks_check(descending, 2), KAFKA_INVALID_REQUEST);
}

Test(share_partition, limits_are_soft_batches_are_taken_whole)
{
    const struct share_log_batch log[] = {{0, 9, false}, {10, 19, false}, {20, 29, false}};
    struct share_acquire a = {
        .member = alice, .batches = log, .count = 3, .records_max = 11, .batch_size = 10, .lock_end_ms = LOCK_MS};
    share_partition_acquire(&p, &a, &got);
    cr_expect_eq(got.records, 20);
    cr_expect_eq(got.count, 2);
    expect_acquired(0, 0, 9, 1);
    expect_acquired(1, 10, 19, 1);
    cr_expect_eq(p.end, 20);

    p.in_flight_max = 20;
    cr_expect_not(share_partition_can_acquire(&p));
    cr_expect_eq(ack(alice, 19, 19, SHARE_RELEASE), KAFKA_NONE);
    cr_expect(share_partition_can_acquire(&p), "something within the window is available");
}

Test(share_partition, what_the_log_does_not_have_is_passed_over)
{
    acquire(alice, 3, 4, 500);
    cr_expect_eq(p.start, 3, "the log began there");
    acquire(alice, 8, 9, 500);
    cr_expect_eq(p.end, 10);
    cr_expect_eq(ack(alice, 3, 4, SHARE_ACCEPT), KAFKA_NONE);
    cr_expect_eq(p.start, 8);

    cr_expect_eq(ack(alice, 8, 9, SHARE_RELEASE), KAFKA_NONE);
    acquire(alice, 9, 9, 500); /* 8 was compacted away */
    expect_acquired(0, 9, 9, 2);
    cr_expect_eq(p.start, 9);
}

Test(share_partition, aborted_records_are_archived)
{
    const struct share_log_batch log[] = {{0, 1, false}, {2, 3, true}, {4, 4, false}};
    struct share_acquire a = {.member = alice, .batches = log, .count = 3, .records_max = 500, .batch_size = 500};
    share_partition_acquire(&p, &a, &got);
    cr_expect_eq(got.count, 2);
    expect_acquired(0, 0, 1, 1);
    expect_acquired(1, 4, 4, 1);
    cr_expect_eq(ack(alice, 0, 1, SHARE_ACCEPT), KAFKA_NONE);
    cr_expect_eq(p.start, 4);
}

Test(share_partition, the_log_start_moves_the_window)
{
    acquire(alice, 0, 9, 500);
    share_partition_trim(&p, 4);
    cr_expect_eq(p.start, 4);
    cr_expect_eq(ack(alice, 2, 5, SHARE_ACCEPT), KAFKA_NONE);
    expect_stored(0, 4, 5, SHARE_ACKNOWLEDGED, 1);
    share_partition_trim(&p, 20);
    cr_expect_eq(p.start, 20);
    cr_expect_eq(p.end, 20);
    cr_expect_eq(share_partition_fetch_offset(&p), 20);
    share_partition_trim(&p, 5);
    cr_expect_eq(p.start, 20);
}

Test(share_partition, what_was_not_stored_is_available_after_a_restart)
{
    const struct share_batch batches[] = {{2, 3, SHARE_ACKNOWLEDGED, 1}, {6, 7, SHARE_AVAILABLE, 2}};
    cr_assert(share_partition_restore(&p, batches, 2));
    cr_expect_eq(p.start, 0);
    cr_expect_eq(p.end, 8);
    acquire(alice, 0, 9, 500);
    cr_expect_eq(got.count, 4);
    expect_acquired(0, 0, 1, 1);
    expect_acquired(1, 4, 5, 1);
    expect_acquired(2, 6, 7, 3);
    expect_acquired(3, 8, 9, 1);
}

Test(share_partition, damaged_batches_are_refused)
{
    const struct share_batch bad[][2] = {{{0, 1, SHARE_ACQUIRED, 1}, {2, 3, SHARE_AVAILABLE, 1}},
                                         {{0, 3, SHARE_AVAILABLE, 1}, {3, 4, SHARE_AVAILABLE, 1}},
                                         {{-1, 3, SHARE_AVAILABLE, 1}, {4, 4, SHARE_AVAILABLE, 1}},
                                         {{2, 1, SHARE_AVAILABLE, 1}, {3, 4, SHARE_AVAILABLE, 1}},
                                         {{0, 1, 3, 1}, {3, 4, SHARE_AVAILABLE, 1}},
                                         {{0, 1, SHARE_AVAILABLE, -1}, {3, 4, 0, 1}}};
    for (size_t i = 0; i < countof(bad); i++) {
        cr_expect_not(share_partition_restore(&p, bad[i], 2), "%zu", i);
        cr_expect_eq(p.end, 0);
    }
}

Test(share_partition, the_window_is_bounded_whatever_is_asked)
{
    acquire(alice, 0, 10 * SHARE_WINDOW_MAX, INT64_MAX);
    cr_expect_eq(p.end, SHARE_WINDOW_MAX);
    cr_expect_eq(ack(alice, 0, SHARE_WINDOW_MAX - 1, SHARE_ACCEPT), KAFKA_NONE);
    acquire(alice, 0, 10 * SHARE_WINDOW_MAX, INT64_MAX);
    expect_acquired(0, SHARE_WINDOW_MAX, 2 * SHARE_WINDOW_MAX - 1, 1);
}

/* -- random histories -- */

#define LOG_MAX   400
#define MEMBERS   3
#define IN_FLIGHT 24
#define HISTORIES 3000
#define STEPS     120

/* Every record by itself. */
struct model_record {
    bool exists;  /* in the log */
    bool aborted; /* seen as such by the fetch that came across it */
    int batch_last;
    int state;
    int count;
    int owner;
    int64_t lock_end_ms;
    int stored_state; /* -1: never stored */
    int stored_count;
    int accepted;
};

static struct model {
    struct model_record r[LOG_MAX];
    int log_start, log_end;
    int start, end;
    int stored_start;
    int64_t now_ms;
    bool fail_store;
} m;

static uint64_t seed_now;

static uint32_t draw(uint32_t below)
{
    seed_now ^= seed_now << 13;
    seed_now ^= seed_now >> 7;
    seed_now ^= seed_now << 17;
    return (uint32_t)(seed_now >> 20) % below;
}

static struct uuid member_id(int i)
{
    return (struct uuid){{(uint8_t)(i + 1)}};
}

static enum kafka_error model_store(void *arg, int64_t start, const struct share_batch *changes, uint32_t count)
{
    int64_t at = start;
    cr_assert_eq(start, m.start);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_geq(changes[i].first_offset, at);
        cr_assert_leq(changes[i].first_offset, changes[i].last_offset);
        cr_assert_lt(changes[i].last_offset, m.end);
        cr_assert_neq(changes[i].delivery_state, SHARE_ACQUIRED);
        at = changes[i].last_offset + 1;
    }
    if (m.fail_store) return KAFKA_COORDINATOR_NOT_AVAILABLE;
    m.stored_start = (int)start;
    for (uint32_t i = 0; i < count; i++)
        for (int64_t o = changes[i].first_offset; o <= changes[i].last_offset; o++)
            m.r[o].stored_state = changes[i].delivery_state, m.r[o].stored_count = changes[i].delivery_count;
    return KAFKA_NONE;
}

static bool model_final(const struct model_record *r)
{
    return r->state == SHARE_ACKNOWLEDGED || r->state == SHARE_ARCHIVED;
}

static void model_advance(void)
{
    while (m.start < m.end && model_final(&m.r[m.start])) m.start++;
}

static void compare(const char *after)
{
    int at = m.start;

    cr_assert_eq(p.start, m.start, "start %lld, not %d after %s", (long long)p.start, m.start, after);
    cr_assert_eq(p.end, m.end, "end %lld, not %d after %s", (long long)p.end, m.end, after);
    for (uint32_t i = 0; i < p.runs.count; i++) {
        const struct share_run *run = &p.runs.items[i];
        cr_assert_eq(run->batch.first_offset, at);
        cr_assert_geq(run->batch.last_offset, at);
        for (; at <= run->batch.last_offset; at++) {
            const struct model_record *r = &m.r[at];
            cr_assert_eq(run->batch.delivery_state, r->state, "%d: state %d, not %d after %s", at,
                         run->batch.delivery_state, r->state, after);
            cr_assert_eq(run->batch.delivery_count, r->count, "%d: count %d, not %d after %s", at,
                         run->batch.delivery_count, r->count, after);
            if (r->state == SHARE_ACQUIRED) {
                cr_assert(uuid_eq(run->member, member_id(r->owner)));
                cr_assert_eq(run->lock_end_ms, r->lock_end_ms);
            }
        }
    }
    cr_assert_eq(at, m.end);
}

static void step_produce(void)
{
    int count = 1 + (int)draw(6);
    if (m.log_end + count + 2 >= LOG_MAX) return;
    if (draw(10) == 0) m.log_end += 1 + (int)draw(2); /* compacted away before anybody saw it */
    bool aborted = draw(12) == 0;
    for (int i = 0; i < count; i++)
        m.r[m.log_end + i] = (struct model_record){
            .exists = true, .aborted = aborted, .batch_last = m.log_end + count - 1, .stored_state = -1};
    m.log_end += count;
}

static void step_acquire(void)
{
    struct share_log_batch batches[LOG_MAX];
    uint32_t count = 0;
    int member = (int)draw(MEMBERS), records_max = 1 + (int)draw(12), read_max = 1 + (int)draw(5);
    int fetch = m.start, taken = 0;

    while (fetch < m.end && m.r[fetch].state != SHARE_AVAILABLE) fetch++;
    bool can = fetch < m.end || m.end - m.start < IN_FLIGHT;
    cr_assert_eq(share_partition_fetch_offset(&p), fetch);
    cr_assert_eq(share_partition_can_acquire(&p), can);
    if (!can || fetch < m.log_start) return;

    /* what a read at the fetch offset returns: the batch that holds it, and some more */
    int at = fetch;
    while (at < m.log_end && !m.r[at].exists) at++;
    while (at > m.log_start && m.r[at - 1].exists && at < m.log_end && m.r[at - 1].batch_last == m.r[at].batch_last)
        at--;
    for (; at < m.log_end && (int)count < read_max; at++) {
        if (!m.r[at].exists) continue;
        batches[count++] = (struct share_log_batch){at, m.r[at].batch_last, m.r[at].aborted};
        at = m.r[at].batch_last;
    }
    if (count == 0) return;
    got.count = 0;
    got.records = 0;
    share_partition_acquire(&p,
                            &(struct share_acquire){.member = member_id(member),
                                                    .batches = batches,
                                                    .count = count,
                                                    .records_max = records_max,
                                                    .batch_size = 1 + (int)draw(8),
                                                    .lock_end_ms = m.now_ms + LOCK_MS},
                            &got);

    /* the same, record by record */
    int base = (int)batches[0].base_offset, last = (int)batches[count - 1].last_offset;
    uint32_t listed = 0;
    int64_t records = 0;
    for (int o = fetch; o < base && o < m.end; o++)
        if (m.r[o].state == SHARE_AVAILABLE) m.r[o].state = SHARE_ARCHIVED;
    uint32_t b = 0;
    for (int o = MAX(base, m.start); o <= last && o < m.start + SHARE_WINDOW_MAX; o++) {
        bool enough = false;
        for (; batches[b].last_offset < o; b++) enough |= taken >= records_max;
        if (enough) break;
        if (o >= m.end) {
            for (int h = m.end; h < o; h++) m.r[h].state = SHARE_ARCHIVED, m.r[h].count = 0;
            m.end = o + 1;
            m.r[o].state = SHARE_AVAILABLE;
            m.r[o].count = 0;
        }
        if (m.r[o].state != SHARE_AVAILABLE) continue;
        if (batches[b].aborted) {
            m.r[o].state = SHARE_ARCHIVED;
            continue;
        }
        m.r[o].state = SHARE_ACQUIRED;
        m.r[o].count++;
        m.r[o].owner = member;
        m.r[o].lock_end_ms = m.now_ms + LOCK_MS;
        taken++;
        bool found = false;
        for (listed = 0; listed < got.count; listed++)
            found |= got.items[listed].first_offset <= o && o <= got.items[listed].last_offset &&
                     got.items[listed].delivery_count == m.r[o].count;
        cr_assert(found, "%d was not acquired", o);
    }
    for (listed = 0; listed < got.count; listed++)
        records += got.items[listed].last_offset - got.items[listed].first_offset + 1;
    cr_assert_eq(records, taken, "%lld listed, %d taken", (long long)records, taken);
    cr_assert_eq(got.records, taken);
    model_advance();
}

static void model_release(int o, bool count_back)
{
    struct model_record *r = &m.r[o];
    if (count_back) r->count--, r->state = SHARE_AVAILABLE;
    else r->state = r->count < DELIVERY_LIMIT ? SHARE_AVAILABLE : SHARE_ARCHIVED;
}

static void step_acknowledge(void)
{
    int8_t types[LOG_MAX];
    int member = (int)draw(MEMBERS);
    int first = m.log_start + (int)draw((uint32_t)(m.end - m.log_start) + 1);
    int count = 1 + (int)draw(6);
    bool each = draw(2);
    enum kafka_error expected = KAFKA_NONE;

    if (draw(4)) { /* mostly what the member holds */
        for (int o = m.start; o < m.end; o++)
            if (m.r[o].state == SHARE_ACQUIRED) {
                first = o, member = m.r[o].owner;
                if (draw(3) == 0) break;
            }
        int most = 1;
        while (first + most < m.end && m.r[first + most].state == SHARE_ACQUIRED && m.r[first + most].owner == member)
            most++;
        count = 1 + (int)draw((uint32_t)most);
    }
    for (int i = 0; i < count; i++) types[i] = (int8_t)draw(4);
    if (!each)
        for (int i = 1; i < count; i++) types[i] = types[0];
    struct share_ack a = {first, first + count - 1, types, each ? count : 1};
    cr_assert_eq(share_acks_check(&a, 1), KAFKA_NONE);

    if (a.last_offset >= m.start) {
        if (m.start == m.end) expected = KAFKA_INVALID_RECORD_STATE;
        else if (a.last_offset >= m.end) expected = KAFKA_INVALID_REQUEST;
        else
            for (int o = MAX(first, m.start); o < first + count; o++)
                if (m.r[o].state != SHARE_ACQUIRED || m.r[o].owner != member) expected = KAFKA_INVALID_RECORD_STATE;
        if (expected == KAFKA_NONE && m.fail_store) expected = KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    enum kafka_error error = share_partition_acknowledge(&p, member_id(member), &a, 1, model_store, NULL);
    cr_assert_eq(error, expected, "error %d, not %d", error, expected);
    if (error != KAFKA_NONE) return;
    for (int o = MAX(first, m.start); o < first + count; o++) {
        switch (types[o - first]) {
        case SHARE_ACCEPT:
            m.r[o].state = SHARE_ACKNOWLEDGED;
            cr_assert_eq(m.r[o].accepted++, 0, "%d accepted twice", o);
            break;
        case SHARE_RELEASE: model_release(o, false); break;
        default: m.r[o].state = SHARE_ARCHIVED; break;
        }
        cr_assert_eq(m.r[o].stored_state, m.r[o].state);
        cr_assert_eq(m.r[o].stored_count, m.r[o].count);
    }
    model_advance();
}

static void step_release(void)
{
    int member = (int)draw(MEMBERS);
    enum kafka_error error = share_partition_release(&p, member_id(member), model_store, NULL);
    if (error != KAFKA_NONE) {
        cr_assert(m.fail_store);
        return;
    }
    for (int o = m.start; o < m.end; o++)
        if (m.r[o].state == SHARE_ACQUIRED && m.r[o].owner == member) model_release(o, true);
    model_advance();
}

static void step_time(void)
{
    int64_t next = INT64_MAX;
    for (int o = m.start; o < m.end; o++)
        if (m.r[o].state == SHARE_ACQUIRED) next = MIN(next, m.r[o].lock_end_ms);
    cr_assert_eq(share_partition_next_expiry(&p), next);
    m.now_ms += draw(LOCK_MS);
    enum kafka_error error = share_partition_expire(&p, m.now_ms, model_store, NULL);
    cr_assert_eq(error, m.fail_store && next <= m.now_ms ? KAFKA_COORDINATOR_NOT_AVAILABLE : KAFKA_NONE);
    for (int o = m.start; o < m.end; o++)
        if (m.r[o].state == SHARE_ACQUIRED && m.r[o].lock_end_ms <= m.now_ms) model_release(o, false);
    model_advance();
}

/* The window follows the log's start. */
static void trim(void)
{
    share_partition_trim(&p, m.log_start);
    if (m.log_start <= m.start) return;
    m.start = m.log_start;
    m.end = MAX(m.end, m.log_start);
    model_advance();
}

static void step_trim(void)
{
    int to = m.log_start + 1 + (int)draw(8);
    m.log_start = MIN(m.log_end, to);
    trim();
}

/* The broker ends and begins: what is stored is all there is. */
static void step_restart(void)
{
    struct share_batch batches[LOG_MAX];
    uint32_t count = 0;
    int end = m.stored_start;

    for (int o = m.stored_start; o < m.end; o++) {
        if (m.r[o].stored_state < 0) continue;
        batches[count++] = (struct share_batch){o, o, (int8_t)m.r[o].stored_state, (int16_t)m.r[o].stored_count};
        end = o + 1;
    }
    share_partition_done(&p);
    share_partition_init(&p, m.stored_start, DELIVERY_LIMIT, IN_FLIGHT);
    cr_assert(share_partition_restore(&p, batches, count));
    for (int o = m.stored_start; o < LOG_MAX; o++) {
        struct model_record *r = &m.r[o];
        cr_assert(!r->accepted || r->stored_state == SHARE_ACKNOWLEDGED, "%d was accepted, and that is lost", o);
        r->state = r->stored_state < 0 ? SHARE_AVAILABLE : r->stored_state;
        r->count = r->stored_state < 0 ? 0 : r->stored_count;
    }
    m.start = m.stored_start;
    m.end = end;
    model_advance();
    trim();
}

Test(share_partition, random_histories_are_as_the_model_says)
{
    const char *given = getenv("SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : 0x5eed;

    for (int h = 0; h < HISTORIES; h++) {
        seed_now = (seed + (uint64_t)h) * 0x9e3779b97f4a7c15u | 1;
        memset(&m, 0, sizeof m);
        for (int i = 0; i < LOG_MAX; i++) m.r[i].stored_state = -1;
        share_partition_done(&p);
        share_partition_init(&p, 0, DELIVERY_LIMIT, IN_FLIGHT);
        for (int i = 0; i < STEPS; i++) {
            static void (*const steps[])(void) = {
                step_produce,     step_produce,     step_acquire,     step_acquire,     step_acquire,
                step_acknowledge, step_acknowledge, step_acknowledge, step_acknowledge, step_time};
            static const char *const names[] = {"produce",     "produce",     "acquire",     "acquire",     "acquire",
                                                "acknowledge", "acknowledge", "acknowledge", "acknowledge", "time"};
            char name[32];
            m.fail_store = draw(20) == 0;
            uint32_t k = draw(40);
            if (k == 0) step_trim(), strcpy(name, "trim");
            else if (k == 1) step_restart(), strcpy(name, "restart");
            else if (k < 4) step_release(), strcpy(name, "release");
            else k %= countof(steps), steps[k](), strcpy(name, names[k]);
            compare(name);
        }
        /* Somebody consumes the rest: every record that is in the log is final then. */
        m.fail_store = false;
        for (int i = 0; m.start < m.log_end && i < 10 * LOG_MAX; i++) {
            m.now_ms += LOCK_MS;
            step_time();
            step_acquire();
            step_acknowledge();
            trim();
            compare("the end");
        }
        cr_assert_eq(m.start, m.log_end, "seed %llu, history %d: stuck at %d of %d", (unsigned long long)seed, h,
                     m.start, m.log_end);
    }
}
