/* Share sessions: their epochs, their partitions, their limits. */
#include "broker/share/share_session.h"

#include <criterion/criterion.h>

static struct share_sessions sessions = {.count_max = 2};
static const struct uuid alice = {{1}}, bob = {{2}}, topic = {{9}};

static void teardown(void)
{
    share_sessions_done(&sessions);
    cr_expect_eq(sessions.partitions_count, 0);
}

TestSuite(share_session, .fini = teardown);

Test(share_session, is_found_by_group_and_member)
{
    struct share_session *s = share_session_open(&sessions, SLICE("g"), alice, 7);
    cr_assert_not_null(s);
    cr_expect_eq(share_session_find(&sessions, SLICE("g"), alice), s);
    cr_expect_null(share_session_find(&sessions, SLICE("g"), bob));
    cr_expect_null(share_session_find(&sessions, SLICE("gg"), alice));
    cr_expect(slice_eq(share_session_group(s), SLICE("g")));
    cr_expect(uuid_eq(share_session_member(s), alice));
    cr_expect_eq(s->connection_id, 7);
}

Test(share_session, epochs_follow_each_other)
{
    struct share_session *s = share_session_open(&sessions, SLICE("g"), alice, 7);
    cr_expect_eq(share_session_step(s, 2), KAFKA_INVALID_SHARE_SESSION_EPOCH);
    cr_expect_eq(share_session_step(s, 1), KAFKA_NONE);
    cr_expect_eq(share_session_step(s, 1), KAFKA_INVALID_SHARE_SESSION_EPOCH);
    cr_expect_eq(share_session_step(s, 2), KAFKA_NONE);
    s->epoch = INT32_MAX;
    cr_expect_eq(share_session_step(s, INT32_MAX), KAFKA_NONE);
    cr_expect_eq(s->epoch, 1);
}

Test(share_session, remembers_partitions)
{
    struct share_session *s = share_session_open(&sessions, SLICE("g"), alice, 7);
    struct partition_set all = {0}, one = {0}, none = {0};
    for (int32_t p = 0; p < 3; p++) partition_set_append(&all, topic, p);
    partition_set_append(&one, topic, 1);
    cr_assert(share_session_update(&sessions, s, &all, &none));
    cr_assert(share_session_update(&sessions, s, &all, &one));
    cr_expect_eq(s->partitions.count, 2);
    cr_expect_eq(sessions.partitions_count, 2);
    cr_expect_not(partition_set_has(&s->partitions, topic, 1));

    struct partition_set many = {0};
    for (uint32_t p = 0; p < SHARE_SESSION_PARTITIONS_MAX + 1; p++) partition_set_append(&many, topic, (int32_t)p);
    cr_expect_not(share_session_update(&sessions, s, &many, &none));
    cr_expect_eq(s->partitions.count, 2);
    partition_set_done(&all);
    partition_set_done(&one);
    partition_set_done(&many);
}

Test(share_session, there_are_as_many_as_allowed)
{
    cr_assert_not_null(share_session_open(&sessions, SLICE("g"), alice, 1));
    cr_assert_not_null(share_session_open(&sessions, SLICE("g"), bob, 2));
    cr_expect_null(share_session_open(&sessions, SLICE("h"), alice, 3));
    share_session_close(&sessions, share_session_find(&sessions, SLICE("g"), bob));
    cr_expect_not_null(share_session_open(&sessions, SLICE("h"), alice, 3));
}
