/* The promises of fetch_session.h. */
#include "broker/fetch/fetch_session.h"
#include "broker/limits.h"

#include <criterion/criterion.h>

static const struct uuid no_id;

Test(fetch_session, partitions_keep_their_order_until_they_give_data)
{
    struct fetch_sessions *c = fetch_sessions_new(10);
    struct fetch_session *s = fetch_session_create(c, false, 1, 0);

    struct fetch_session_partition *a = fetch_session_add(s, no_id, SLICE("a"), 0);
    struct fetch_session_partition *b = fetch_session_add(s, no_id, SLICE("a"), 1);
    cr_assert(a && b && a != b);
    cr_assert_eq(fetch_session_add(s, no_id, SLICE("a"), 0), a, "known");
    cr_assert_eq(s->partitions_count, 2);
    cr_assert_eq(TAILQ_FIRST(&s->partitions), a);
    fetch_session_rotate(s, a);
    cr_assert_eq(TAILQ_FIRST(&s->partitions), b);
    fetch_session_forget(s, no_id, SLICE("a"), 1);
    fetch_session_forget(s, no_id, SLICE("z"), 1);
    cr_assert_eq(TAILQ_FIRST(&s->partitions), a);
    cr_assert_eq(s->partitions_count, 1);
    fetch_sessions_free(c);
}

Test(fetch_session, ids_and_names_are_different_keys)
{
    struct fetch_sessions *c = fetch_sessions_new(10);
    struct fetch_session *s = fetch_session_create(c, true, 1, 0);
    struct uuid one = {{1}}, two = {{2}};

    cr_assert_neq(fetch_session_add(s, one, SLICE_NULL, 0), fetch_session_add(s, two, SLICE_NULL, 0));
    cr_assert_eq(fetch_session_add(s, one, SLICE("any"), 0), fetch_session_add(s, one, SLICE_NULL, 0));
    fetch_sessions_free(c);
}

Test(fetch_session, a_busy_session_is_nobody_elses)
{
    struct fetch_sessions *c = fetch_sessions_new(10);
    struct fetch_session *s = fetch_session_create(c, false, 1, 0);
    int32_t id = s->id;

    cr_assert_gt(id, 0);
    cr_assert(!fetch_session_take(c, id, 0));
    fetch_session_give_back(s);
    cr_assert_eq(fetch_session_take(c, id, 0), s);
    fetch_session_close(s);
    cr_assert(!fetch_session_take(c, id, 0));
    fetch_sessions_free(c);
}

Test(fetch_session, an_idle_session_gives_way_a_used_one_does_not)
{
    struct fetch_sessions *c = fetch_sessions_new(2);
    struct fetch_session *old = fetch_session_create(c, false, 1, 0);
    struct fetch_session *busy = fetch_session_create(c, false, 1, 0);
    int32_t old_id = old->id;

    fetch_session_give_back(old);
    cr_assert(!fetch_session_create(c, false, 1, FETCH_SESSION_EVICT_MS - 1), "not idle for long enough");
    struct fetch_session *fresh = fetch_session_create(c, false, 1, FETCH_SESSION_EVICT_MS + 1);
    cr_assert(fresh && !fetch_session_take(c, old_id, FETCH_SESSION_EVICT_MS + 1));
    cr_assert(!fetch_session_create(c, false, 1, FETCH_SESSION_EVICT_MS + 1), "the busy one stays");
    fetch_session_close(busy);
    cr_assert(fetch_session_create(c, false, 1, FETCH_SESSION_EVICT_MS + 1));
    fetch_sessions_free(c);
}

static struct fetch_session *session_of(struct fetch_sessions *c, int32_t partitions_count)
{
    struct fetch_session *s = fetch_session_create(c, false, (uint32_t)partitions_count, 0);
    for (int32_t i = 0; i < partitions_count; i++) cr_assert(fetch_session_add(s, no_id, SLICE("t"), i));
    fetch_session_give_back(s);
    return s;
}

Test(fetch_session, a_used_session_that_is_old_gives_way_to_a_larger_one)
{
    struct fetch_sessions *c = fetch_sessions_new(2);
    int32_t small_id = session_of(c, 2)->id, large_id = session_of(c, 5)->id;
    int64_t now_ms = FETCH_SESSION_EVICT_MS + 1;

    fetch_session_give_back(fetch_session_take(c, small_id, now_ms));
    fetch_session_give_back(fetch_session_take(c, large_id, now_ms));
    cr_assert(!fetch_session_create(c, false, 1, now_ms), "a smaller one has to do without");
    cr_assert(fetch_session_create(c, false, 3, now_ms));
    cr_assert(!fetch_session_take(c, small_id, now_ms), "the smallest went");
    cr_assert(fetch_session_take(c, large_id, now_ms));
    fetch_sessions_free(c);
}

Test(fetch_session, idle_sessions_give_their_partitions_to_new_and_growing_ones)
{
    struct fetch_sessions *c = fetch_sessions_new(1000);
    int32_t ids[2] = {session_of(c, FETCH_SESSION_PARTITIONS_MAX / 2)->id,
                      session_of(c, FETCH_SESSION_PARTITIONS_MAX / 2)->id};
    int64_t now_ms = FETCH_SESSION_EVICT_MS + 1;

    cr_assert(!fetch_session_create(c, false, 1, FETCH_SESSION_EVICT_MS - 1), "not idle for long enough");
    cr_assert(!fetch_session_create(c, false, FETCH_SESSION_PARTITIONS_MAX + 1, now_ms), "never");
    struct fetch_session *used = fetch_session_take(c, ids[1], now_ms);
    struct fetch_session *fresh = fetch_session_create(c, false, FETCH_SESSION_PARTITIONS_MAX / 2, now_ms);
    cr_assert(fresh && !fetch_session_take(c, ids[0], now_ms), "the idle one went");
    for (int32_t i = 0; i < FETCH_SESSION_PARTITIONS_MAX / 2; i++)
        cr_assert(fetch_session_add(fresh, no_id, SLICE("n"), i));
    cr_assert(!fetch_session_add(fresh, no_id, SLICE("more"), 0), "the other is in use");
    fetch_session_give_back(used);
    cr_assert(fetch_session_add(fresh, no_id, SLICE("more"), 0), "it is old, and not larger");
    cr_assert(!fetch_session_take(c, ids[1], now_ms), "it went");
    fetch_sessions_free(c);
}

Test(fetch_session, a_name_that_no_topic_can_have_is_not_kept)
{
    struct fetch_sessions *c = fetch_sessions_new(2);
    struct fetch_session *s = fetch_session_create(c, false, 1, 0);
    static uint8_t name[1000];

    memset(name, 'x', sizeof name);
    cr_assert(!fetch_session_add(s, no_id, slice_make(name, sizeof name), 0));
    fetch_session_forget(s, no_id, slice_make(name, sizeof name), 0);
    fetch_sessions_free(c);
}
