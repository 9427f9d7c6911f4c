/* Offsets of groups: who may commit, what expires, what transactions hold back. */
#include "tests/unit/broker/classic_client.h"

TestSuite(group_offsets, .init = start, .fini = stop);

static enum kafka_error commit(const char *member, int32_t generation_id, const char *topic, int64_t offset)
{
    struct group *g;
    enum kafka_error error = groups_check_commit(
        &groups, SLICE("g"), &(struct group_caller){.member_id = slice_of(member), .generation_id = generation_id},
        KAFKA_ILLEGAL_GENERATION, &g);
    if (error != KAFKA_NONE) return error;
    struct offset_commit c = {.topic = slice_of(topic),
                              .value = {.offset = offset,
                                        .leader_epoch = -1,
                                        .commit_time_ms = fake.now_ms,
                                        .expire_time_ms = -1,
                                        .metadata = SLICE("text")}};
    group_commit(g, &c, 1);
    return c.error;
}

static int64_t committed(const char *topic)
{
    struct group *g = groups_find(&groups, SLICE("g"));
    const struct offset_value *v = g ? offsets_get(&g->offsets, slice_of(topic), 0) : NULL;
    return v ? v->offset : -1;
}

Test(group_offsets, who_may_commit)
{
    cr_expect_eq(commit("x", 3, "t", 1), KAFKA_ILLEGAL_GENERATION, "no such group");
    cr_expect_eq(commit("", -1, "t", 1), KAFKA_NONE, "a simple commit makes the group");
    cr_expect_eq(commit("", -1, "t", 2), KAFKA_NONE);
    cr_expect_eq(committed("t"), 2);
    expect_state("Empty");

    struct client a = {0};
    join_first(&a);
    pass_ms(0);
    cr_expect_eq(commit(a.id, 1, "t", 3), KAFKA_REBALANCE_IN_PROGRESS, "CompletingRebalance");
    sync_leader(&a, (struct client *[]){&a}, 1);
    cr_expect_eq(commit("", -1, "t", 3), KAFKA_UNKNOWN_MEMBER_ID, "the group lives");
    cr_expect_eq(commit("y", 1, "t", 3), KAFKA_UNKNOWN_MEMBER_ID);
    cr_expect_eq(commit(a.id, 2, "t", 3), KAFKA_ILLEGAL_GENERATION);
    cr_expect_eq(commit(a.id, 1, "t", 3), KAFKA_NONE);
    cr_expect_eq(committed("t"), 3);
    pass_ms(9000);
    cr_expect_eq(commit(a.id, 1, "t", 4), KAFKA_NONE);
    pass_ms(9000);
    cr_expect_eq(beat(&a), KAFKA_NONE, "a commit keeps the session alive");
}

Test(group_offsets, a_commit_that_is_not_written_did_not_happen)
{
    cr_expect_eq(commit("", -1, "t", 1), KAFKA_NONE);
    fake.append_error = KAFKA_COORDINATOR_NOT_AVAILABLE;
    cr_expect_eq(commit("", -1, "t", 2), KAFKA_COORDINATOR_NOT_AVAILABLE);
    cr_expect_eq(committed("t"), 1);
}

#define DAY_MS 86400000LL

Test(group_offsets, offsets_of_a_simple_group_expire_by_their_commit)
{
    cr_expect_eq(commit("", -1, "t", 1), KAFKA_NONE);
    pass_ms(6 * DAY_MS);
    cr_expect_eq(commit("", -1, "u", 1), KAFKA_NONE);
    pass_ms(DAY_MS - 1);
    groups_expire(&groups);
    cr_expect_eq(committed("t"), 1);
    pass_ms(1);
    groups_expire(&groups);
    cr_expect_eq(committed("t"), -1);
    cr_expect_eq(committed("u"), 1);
    pass_ms(6 * DAY_MS);
    groups_expire(&groups);
    cr_expect_null(group(), "a group without members and offsets goes");
    cr_expect_eq(fake.last_change, GROUP_CHANGE_REMOVED);
}

Test(group_offsets, offsets_of_an_empty_group_expire_from_when_it_became_empty)
{
    struct client a = {0};
    stable((struct client *[]){&a}, 1);
    cr_expect_eq(commit(a.id, 1, "t", 1), KAFKA_NONE);
    cr_expect_eq(commit(a.id, 1, "u", 1), KAFKA_NONE);
    for (int i = 0; i < 10000; i++) pass_ms(9000), (void)beat(&a); /* a bit more than a day */
    for (int64_t d = 0; d < 7; d++) {
        group()->members->session_timeout_ms = (int32_t)(2 * DAY_MS);
        (void)beat(&a);
        pass_ms(DAY_MS);
    }
    groups_expire(&groups);
    cr_expect_eq(committed("t"), 1, "subscribed: never");
    cr_expect_eq(committed("u"), -1, "not subscribed any more: by its commit");
    (void)leave(&a);
    pass_ms(7 * DAY_MS - 1);
    groups_expire(&groups);
    cr_expect_eq(committed("t"), 1);
    pass_ms(1);
    groups_expire(&groups);
    cr_expect_null(group());
}

Test(group_offsets, a_retention_time_in_the_commit_counts_instead)
{
    cr_expect_eq(commit("", -1, "t", 1), KAFKA_NONE);
    struct group *g = groups_find(&groups, SLICE("g"));
    struct offset_commit c = {.topic = SLICE("u"),
                              .value = {.offset = 5, .expire_time_ms = fake.now_ms + 1000, .metadata = SLICE_EMPTY}};
    group_commit(g, &c, 1);
    pass_ms(1000);
    groups_expire(&groups);
    cr_expect_eq(committed("u"), -1);
    cr_expect_eq(committed("t"), 1);
}

Test(group_offsets, deleting_groups_and_offsets)
{
    cr_expect_eq(groups_delete(&groups, SLICE("g")), KAFKA_GROUP_ID_NOT_FOUND);
    struct client a = {0};
    stable((struct client *[]){&a}, 1);
    cr_expect_eq(commit(a.id, 1, "t", 1), KAFKA_NONE);
    cr_expect_eq(commit(a.id, 1, "u", 1), KAFKA_NONE);
    cr_expect_eq(groups_delete(&groups, SLICE("g")), KAFKA_NON_EMPTY_GROUP);
    struct offset_delete d[] = {{.topic = SLICE("t")}, {.topic = SLICE("u")}, {.topic = SLICE("v")}};
    group_delete_offsets(&group()->group, d, 3);
    cr_expect_eq(d[0].error, KAFKA_GROUP_SUBSCRIBED_TO_TOPIC);
    cr_expect_eq(d[1].error, KAFKA_NONE);
    cr_expect_eq(d[2].error, KAFKA_NONE, "not there is no error");
    cr_expect_eq(committed("t"), 1);
    cr_expect_eq(committed("u"), -1);
    (void)leave(&a);
    cr_expect_eq(groups_delete(&groups, SLICE("g")), KAFKA_NONE);
    cr_expect_null(group());
}

Test(group_offsets, a_deleted_topic_takes_its_offsets_along)
{
    cr_expect_eq(commit("", -1, "t", 1), KAFKA_NONE);
    cr_expect_eq(commit("", -1, "u", 1), KAFKA_NONE);
    struct offsets *o = &group()->group.offsets;
    struct offset_value value = {.offset = 5, .metadata = SLICE_EMPTY};
    size_t before = o->bytes;
    offsets_pend(o, 7, SLICE("t"), 0, &value);
    offsets_pend(o, 7, SLICE("t"), 3, &value);
    offsets_pend(o, 8, SLICE("t"), 3, &value);
    offsets_pend(o, 7, SLICE("u"), 3, &value);
    groups.bytes += o->bytes - before;
    groups_topic_deleted(&groups, SLICE("t"));
    offsets_transaction_end(o, 7, true);
    offsets_transaction_end(o, 8, true);
    cr_expect_eq(committed("t"), -1);
    cr_expect_null(offsets_get(o, SLICE("t"), 3), "nor those of transactions that were open");
    cr_expect_eq(committed("u"), 1);
    cr_expect_not_null(offsets_get(o, SLICE("u"), 3));
}

Test(group_offsets, offsets_keep_partitions_apart_and_count_their_bytes)
{
    struct offsets o;
    offsets_init(&o);
    for (int i = 0; i < 1000; i++) {
        int32_t p = (i * 7919) % 1000;
        offsets_set(&o, SLICE("t"), p, &(struct offset_value){.offset = p, .metadata = SLICE("m")});
    }
    for (int32_t p = 0; p < 1000; p++) cr_assert_eq(offsets_get(&o, SLICE("t"), p)->offset, p);
    cr_expect_null(offsets_get(&o, SLICE("t"), 1000));
    const struct offset_value *own = offsets_get(&o, SLICE("t"), 5);
    offsets_set(&o, SLICE("t"), 5, own); /* of itself */
    cr_expect(slice_eq_text(offsets_get(&o, SLICE("t"), 5)->metadata, "m"));
    for (int32_t p = 0; p < 1000; p++) cr_assert(offsets_remove(&o, SLICE("t"), p));
    cr_expect_not(offsets_remove(&o, SLICE("t"), 0));
    cr_expect_eq(o.bytes, 0);
    cr_expect(offsets_is_empty(&o));
}

Test(group_offsets, commits_of_a_transaction_wait_for_its_marker)
{
    struct offsets o;
    offsets_init(&o);
    struct offset_value one = {.offset = 1, .metadata = SLICE("a")}, two = {.offset = 2, .metadata = SLICE("b")};
    offsets_set(&o, SLICE("t"), 0, &one);
    offsets_pend(&o, 7, SLICE("t"), 0, &two);
    offsets_pend(&o, 7, SLICE("t"), 0, &two);
    offsets_pend(&o, 8, SLICE("t"), 1, &two);
    cr_expect(offsets_is_pending(&o, SLICE("t"), 0));
    cr_expect_eq(offsets_get(&o, SLICE("t"), 0)->offset, 1);
    offsets_transaction_end(&o, 7, true);
    cr_expect_eq(offsets_get(&o, SLICE("t"), 0)->offset, 2);
    offsets_transaction_end(&o, 8, false);
    cr_expect_null(offsets_get(&o, SLICE("t"), 1));
    cr_expect_not(offsets_is_pending(&o, SLICE("t"), 1));
    offsets_done(&o);
    cr_expect_eq(o.bytes, 0);
}

Test(group_offsets, removing_an_offset_takes_those_of_open_transactions_along)
{
    struct offsets o;
    offsets_init(&o);
    struct offset_value one = {.offset = 1, .metadata = SLICE("a")};
    offsets_set(&o, SLICE("t"), 0, &one);
    for (int64_t producer = 7; producer < 10; producer++) {
        offsets_pend(&o, producer, SLICE("t"), 0, &one);
        offsets_pend(&o, producer, SLICE("t"), 1, &one);
    }
    offsets_pend(&o, 9, SLICE("t"), 2, &one);
    cr_expect(offsets_remove(&o, SLICE("t"), 0));
    cr_expect(offsets_remove(&o, pending_topic_name(o.pending), 1), "they may lend the name");
    cr_expect_not(offsets_remove(&o, SLICE("t"), 1));
    for (int64_t producer = 7; producer < 10; producer++) offsets_transaction_end(&o, producer, true);
    cr_expect_null(offsets_get(&o, SLICE("t"), 0));
    cr_expect_null(offsets_get(&o, SLICE("t"), 1));
    cr_expect_not_null(offsets_get(&o, SLICE("t"), 2));
    offsets_done(&o);
    cr_expect_eq(o.bytes, 0);
}

Test(group_offsets, a_transaction_over_many_partitions_takes_time_in_proportion, .timeout = 30)
{
    struct offsets o;
    struct offset_value v = {.offset = 0, .metadata = SLICE_EMPTY};
    enum { COUNT = 300000 };
    int32_t found = 0;

    offsets_init(&o);
    for (int32_t p = 0; p < COUNT; p++) offsets_set(&o, SLICE("t"), p, &v);
    v.offset = 1;
    for (int32_t again = 0; again < 2; again++)
        for (int32_t p = 0; p < COUNT; p++) offsets_pend(&o, 7, SLICE("t"), p, &v);
    for (int32_t p = 0; p < COUNT; p++) found += offsets_is_pending(&o, SLICE("t"), p);
    cr_expect_eq(found, COUNT);
    for (int32_t p = 0; p < COUNT; p += 3) offsets_set(&o, SLICE("t"), p, &(struct offset_value){.offset = 2});
    offsets_transaction_end(&o, 7, true);
    cr_expect_null(o.pending);
    cr_expect_eq(offsets_get(&o, SLICE("t"), 3)->offset, 2, "a later commit stands");
    cr_expect_eq(offsets_get(&o, SLICE("t"), COUNT - 1)->offset, 1);
    offsets_done(&o);
    cr_expect_eq(o.bytes, 0);
}
