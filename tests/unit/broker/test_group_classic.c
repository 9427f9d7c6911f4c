/* The classic protocol without network and disk: a clock that the test moves, a log that can be read back. */
#include "tests/unit/broker/classic_client.h"

TestSuite(group_classic, .init = start, .fini = stop);

/* -- joining -- */

Test(group_classic, a_new_member_gets_an_id_first_and_joins_with_it)
{
    struct client a = {0};
    join(&a);
    cr_expect_eq(a.join_error, KAFKA_MEMBER_ID_REQUIRED);
    cr_expect_eq(a.generation_id, -1);
    cr_expect_eq(strncmp(a.id, "client-", 7), 0, "%s", a.id);
    cr_expect_eq(strlen(a.id), 7 + 36);
    expect_state("Empty");

    join(&a);
    cr_expect_eq(a.joined, 1, "parked for the initial delay");
    expect_state("PreparingRebalance");
    pass_ms(0);
    cr_expect_eq(a.joined, 2);
    cr_expect_eq(a.join_error, KAFKA_NONE);
    cr_expect_eq(a.generation_id, 1);
    cr_expect_str_eq(a.leader, a.id);
    cr_expect_str_eq(a.protocol, "range");
    cr_expect_eq(a.members_count, 1);
    expect_state("CompletingRebalance");
}

Test(group_classic, old_clients_join_at_once)
{
    struct client a = {0};
    struct classic_join in = join_of(&a);
    in.member_id_required = false;
    join_as(&a, &in);
    pass_ms(0);
    cr_expect_eq(a.joined, 1);
    cr_expect_eq(a.join_error, KAFKA_NONE);
}

Test(group_classic, joins_that_make_no_sense_are_refused)
{
    struct client a = {.id = "nobody"};
    struct classic_join in = join_of(&a);
    join_as(&a, &in);
    cr_expect_eq(a.join_error, KAFKA_UNKNOWN_MEMBER_ID);
    in.member_id = SLICE_EMPTY;

    in.group_id = SLICE_EMPTY;
    join_as(&a, &in);
    cr_expect_eq(a.join_error, KAFKA_INVALID_GROUP_ID);
    in.group_id = SLICE("g");

    for (int i = 0; i < 2; i++) {
        in.session_timeout_ms = i ? 1800001 : 5999;
        join_as(&a, &in);
        cr_expect_eq(a.join_error, KAFKA_INVALID_SESSION_TIMEOUT);
    }
    in.session_timeout_ms = 6000;

    in.protocol_type = SLICE_EMPTY;
    join_as(&a, &in);
    cr_expect_eq(a.join_error, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    in.protocol_type = SLICE("consumer");
    in.protocols_count = 0;
    join_as(&a, &in);
    cr_expect_eq(a.join_error, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    cr_expect_null(group(), "nothing of it left a group behind");
}

Test(group_classic, the_protocol_is_one_that_all_support_with_most_votes)
{
    struct client c[3] = {{{0}}};
    const char *names[3][3] = {
        {"range", "sticky", "roundrobin"}, {"roundrobin", "sticky", NULL}, {"roundrobin", "sticky", "range"}};
    for (int i = 0; i < 3; i++) {
        struct classic_protocol own[3];
        int count = 0;
        while (count < 3 && names[i][count]) {
            own[count] = (struct classic_protocol){.name = slice_of(names[i][count]), .metadata = SUBSCRIPTION};
            count++;
        }
        struct classic_join in = join_of(&c[i]);
        in.protocols = own;
        in.protocols_count = count;
        in.member_id_required = false;
        join_as(&c[i], &in);
    }
    struct client stranger = {0};
    struct classic_join in = join_of(&stranger); /* only range, which the second does not support */
    in.member_id_required = false;
    join_as(&stranger, &in);
    cr_expect_eq(stranger.join_error, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    in.protocol_type = SLICE("connect");
    join_as(&stranger, &in);
    cr_expect_eq(stranger.join_error, KAFKA_INCONSISTENT_GROUP_PROTOCOL);

    pass_ms(0);
    for (int i = 0; i < 3; i++) cr_expect_str_eq(c[i].protocol, "roundrobin");
}

Test(group_classic, protocols_are_few_and_many_members_with_all_of_them_are_chosen_for_at_once, .timeout = 20)
{
    static struct classic_protocol many[GROUP_PROTOCOLS_MAX + 1];
    static char names[countof(many)][8];
    static struct client c[150];
    for (size_t i = 0; i < countof(many); i++) {
        snprintf(names[i], sizeof names[i], "p%zu", i);
        many[i] = (struct classic_protocol){.name = slice_of(names[i]), .metadata = SUBSCRIPTION};
    }
    struct classic_join in = join_of(&c[0]);
    in.member_id_required = false;
    in.protocols = many;
    in.protocols_count = (int32_t)countof(many);
    join_as(&c[0], &in);
    cr_expect_eq(c[0].join_error, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    cr_expect_eq(c[0].joined, 1);
    expect_state("Dead");

    in.protocols_count = GROUP_PROTOCOLS_MAX;
    for (size_t i = 0; i < countof(c); i++) {
        join_as(&c[i], &in);
        struct classic_protocol first = many[0]; /* the next one likes another order */
        memmove(many, many + 1, sizeof many - 2 * sizeof many[0]);
        many[GROUP_PROTOCOLS_MAX - 1] = first;
    }
    pass_ms(0);
    for (size_t i = 0; i < countof(c); i++) cr_assert_str_eq(c[i].protocol, "p0", "named first by two, as p1 to p49");
}

Test(group_classic, the_initial_delay_is_prolonged_by_newcomers_up_to_the_rebalance_timeout)
{
    groups.config.initial_rebalance_delay_ms = 3000;
    struct client c[30] = {{{0}}};
    join_first(&c[0]);
    pass_ms(2999);
    cr_expect_eq(c[0].joined, 1);
    int count = 1;
    for (int64_t passed = 2999; passed < 59000; passed += 2900) {
        join_first(&c[count++]);
        pass_ms(2900);
        if (passed + 2900 < 59000) cr_assert_eq(c[0].joined, 1, "still waiting after %d", (int)passed);
    }
    pass_ms(6000);
    cr_expect_eq(c[0].joined, 2, "not beyond the rebalance timeout");
    for (int i = 1; i < count; i++) cr_expect_eq(c[i].generation_id, 1);
    cr_expect_eq(c[0].members_count, count);
}

Test(group_classic, without_newcomers_the_initial_delay_ends_in_time)
{
    groups.config.initial_rebalance_delay_ms = 3000;
    struct client a = {0};
    join_first(&a);
    pass_ms(2999);
    cr_expect_eq(a.joined, 1);
    pass_ms(1);
    cr_expect_eq(a.joined, 2);
}

Test(group_classic, an_id_that_was_handed_out_expires_with_the_session_timeout)
{
    struct client a = {0};
    join(&a);
    pass_ms(10001);
    join(&a);
    cr_expect_eq(a.join_error, KAFKA_UNKNOWN_MEMBER_ID);
}

Test(group_classic, group_max_size_lets_members_pass_and_refuses_newcomers)
{
    groups.config.size_max = 2;
    struct client a = {0}, b = {0}, c = {0};
    stable((struct client *[]){&a, &b}, 2);
    join(&c);
    cr_expect_eq(c.join_error, KAFKA_GROUP_MAX_SIZE_REACHED);
    join(&a);
    pass_ms(0);
    cr_expect_neq(a.join_error, KAFKA_GROUP_MAX_SIZE_REACHED);
    join(&c);
    cr_expect_eq(c.join_error, KAFKA_MEMBER_ID_REQUIRED, "one is parked, so there is room while the generation forms");
}

/* -- syncing -- */

Test(group_classic, assignments_are_handed_out_when_the_leader_gave_them)
{
    struct client a = {0}, b = {0};
    join_first(&a);
    join_first(&b);
    pass_ms(0);
    cr_expect_eq(b.members_count, 0, "only the leader sees the members");
    cr_expect_eq(a.members_count, 2);
    sync_up(&b);
    cr_expect_eq(b.synced, 0);
    sync_leader(&a, (struct client *[]){&a, &b}, 2);
    cr_expect_eq(b.synced, 1);
    cr_expect_eq(b.sync_error, KAFKA_NONE);
    cr_expect_eq(strncmp(b.assignment, "for client-", 11), 0);
    cr_expect_eq(strcmp(b.assignment + 4, b.id), 0);
    expect_state("Stable");
    cr_expect_eq(fake.changes_count, 1);
    cr_expect_eq(fake.last_change, GROUP_CHANGE_STATE);
}

Test(group_classic, a_member_that_the_leader_forgot_gets_empty_bytes_not_null)
{
    struct client a = {0}, b = {0};
    join_first(&a);
    join_first(&b);
    pass_ms(0);
    sync_up(&b);
    sync_leader(&a, (struct client *[]){&a}, 1);
    cr_expect_eq(b.sync_error, KAFKA_NONE);
    cr_expect_str_eq(b.assignment, "");
    cr_expect_not(b.assignment_is_null);
}

Test(group_classic, sync_errors)
{
    struct client a = {0}, b = {.id = "nobody", .generation_id = 1};
    b.sync_call.answer = on_sync;
    sync_up(&b);
    cr_expect_eq(b.sync_error, KAFKA_UNKNOWN_MEMBER_ID);
    stable((struct client *[]){&a}, 1);
    a.generation_id = 7;
    sync_up(&a);
    cr_expect_eq(a.sync_error, KAFKA_ILLEGAL_GENERATION);
    a.generation_id = 1;
    struct classic_sync in = {.group_id = SLICE("g"),
                              .member_id = slice_of(a.id),
                              .generation_id = 1,
                              .protocol_type = SLICE("consumer"),
                              .protocol_name = SLICE("sticky")};
    classic_sync(&groups, &in, &a.sync_call);
    cr_expect_eq(a.sync_error, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    in.protocol_name = SLICE("range");
    classic_sync(&groups, &in, &a.sync_call);
    cr_expect_eq(a.sync_error, KAFKA_NONE);
    struct client c = {0};
    join_first(&c);
    sync_up(&a);
    cr_expect_eq(a.sync_error, KAFKA_REBALANCE_IN_PROGRESS);
}

Test(group_classic, members_that_do_not_sync_are_removed_after_the_rebalance_timeout)
{
    struct client a = {0}, b = {0};
    join_first(&a);
    join_first(&b);
    pass_ms(0);
    sync_leader(&a, (struct client *[]){&a, &b}, 2);
    expect_state("Stable");
    for (int i = 0; i < 7; i++) {
        pass_ms(9000);
        (void)beat(&a), (void)beat(&b); /* alive, but it never asks for its assignment */
    }
    cr_expect_eq(HASH_COUNT(group()->members), 1);
    cr_expect_eq(beat(&b), KAFKA_UNKNOWN_MEMBER_ID);
    cr_expect_eq(beat(&a), KAFKA_REBALANCE_IN_PROGRESS);
}

Test(group_classic, a_failed_write_of_the_assignment_is_told_and_repeated)
{
    struct client a = {0};
    join_first(&a);
    pass_ms(0);
    fake.append_error = KAFKA_COORDINATOR_NOT_AVAILABLE;
    sync_leader(&a, (struct client *[]){&a}, 1);
    cr_expect_eq(a.sync_error, KAFKA_COORDINATOR_NOT_AVAILABLE);
    expect_state("PreparingRebalance");
    fake.append_error = KAFKA_NONE;
    join(&a);
    cr_expect_eq(a.generation_id, 2);
    sync_leader(&a, (struct client *[]){&a}, 1);
    cr_expect_eq(a.sync_error, KAFKA_NONE);
    expect_state("Stable");
}

Test(group_classic, in_strict_durability_assignments_wait_for_the_disk)
{
    fake.strict = true;
    struct client a = {0}, b = {0};
    join_first(&a);
    join_first(&b);
    pass_ms(0);
    sync_up(&b);
    sync_leader(&a, (struct client *[]){&a, &b}, 2);
    cr_expect_eq(a.synced + b.synced, 0);
    expect_state("CompletingRebalance");
    fake_durable(KAFKA_NONE);
    cr_expect_eq(a.synced + b.synced, 2);
    expect_state("Stable");
}

Test(group_classic, a_rebalance_while_the_disk_works_wins)
{
    fake.strict = true;
    struct client a = {0}, b = {0};
    join_first(&a);
    pass_ms(0);
    sync_leader(&a, (struct client *[]){&a}, 1);
    join_first(&b);
    cr_expect_eq(a.sync_error, KAFKA_REBALANCE_IN_PROGRESS);
    fake_durable(KAFKA_NONE);
    expect_state("PreparingRebalance");
    cr_expect_eq(a.synced, 1);
}

/* -- rebalance -- */

Test(group_classic, a_newcomer_starts_a_rebalance_that_ends_when_all_joined_again)
{
    struct client a = {0}, b = {0};
    stable((struct client *[]){&a}, 1);
    join_first(&b);
    expect_state("PreparingRebalance");
    cr_expect_eq(beat(&a), KAFKA_REBALANCE_IN_PROGRESS);
    join(&a);
    cr_expect_eq(a.generation_id, 2);
    cr_expect_eq(b.generation_id, 2);
    cr_expect_str_eq(b.leader, a.id, "the leader stays");
    expect_state("CompletingRebalance");
}

Test(group_classic, who_does_not_join_again_in_time_is_removed)
{
    struct client a = {0}, b = {0}, c = {0};
    stable((struct client *[]){&a, &b}, 2);
    join_first(&c);
    join(&b);
    for (int i = 0; i < 7; i++) {
        pass_ms(9000);
        (void)beat(&a); /* alive, but it does not join */
    }
    cr_expect_eq(c.generation_id, 2);
    cr_expect_str_eq(c.leader, b.id, "one who joined leads");
    cr_expect_eq(beat(&a), KAFKA_UNKNOWN_MEMBER_ID);
}

Test(group_classic, an_unchanged_follower_joins_without_a_rebalance_the_leader_with_one)
{
    struct client a = {0}, b = {0};
    stable((struct client *[]){&a, &b}, 2);
    join(&b);
    cr_expect_eq(b.generation_id, 1);
    cr_expect_eq(b.join_error, KAFKA_NONE);
    expect_state("Stable");

    struct classic_join in = join_of(&b);
    struct classic_protocol changed = {.name = SLICE("range"), .metadata = SLICE("\0\0\0\0\0\1\0\1u")};
    in.protocols = &changed;
    join_as(&b, &in);
    expect_state("PreparingRebalance");
    join(&a);
    cr_expect_eq(b.generation_id, 2);
    sync_up(&b);
    sync_leader(&a, (struct client *[]){&a, &b}, 2);
    join(&a);
    expect_state("PreparingRebalance");
}

Test(group_classic, a_join_repeated_while_syncing_gets_the_same_generation)
{
    struct client a = {0};
    join_first(&a);
    pass_ms(0);
    join(&a);
    cr_expect_eq(a.joined, 3);
    cr_expect_eq(a.generation_id, 1);
    cr_expect_eq(a.members_count, 1, "the leader sees the members again");
    expect_state("CompletingRebalance");
}

Test(group_classic, the_earlier_of_two_parked_joins_of_a_member_is_not_left_hanging)
{
    struct client a = {0}, b = {0};
    stable((struct client *[]){&a, &b}, 2);
    join(&a); /* the leader: rebalance, parked */
    struct client again = a;
    again.joined = 0;
    join(&again);
    cr_expect_eq(a.join_error, KAFKA_REBALANCE_IN_PROGRESS);
    join(&b);
    cr_expect_eq(again.generation_id, 2);
    cr_expect_eq(again.joined, 1);
}

Test(group_classic, leaving_starts_a_rebalance_and_the_last_one_leaves_the_group_empty)
{
    struct client a = {0}, b = {0};
    stable((struct client *[]){&a, &b}, 2);
    cr_expect_eq(leave(&a), KAFKA_NONE);
    expect_state("PreparingRebalance");
    cr_expect_eq(leave(&a), KAFKA_UNKNOWN_MEMBER_ID);
    join(&b);
    cr_expect_str_eq(b.leader, b.id);
    sync_leader(&b, (struct client *[]){&b}, 1);
    cr_expect_eq(leave(&b), KAFKA_NONE);
    expect_state("Empty");
    cr_expect_eq(group()->generation_id, 3);
    cr_expect_eq(fake.last_change, GROUP_CHANGE_STATE, "the empty state is stored");
}

Test(group_classic, several_leave_in_one_request_with_an_error_each)
{
    struct client a = {0}, b = {.instance = "i"}, c = {0};
    stable((struct client *[]){&a, &b}, 2);
    join(&c); /* pending */
    struct classic_leave l[] = {{.member_id = slice_of(a.id)},
                                {.member_id = SLICE_EMPTY, .instance_id = SLICE("i")},
                                {.member_id = slice_of(c.id)},
                                {.member_id = SLICE("nobody")},
                                {.member_id = SLICE_EMPTY, .instance_id = SLICE("j")}};
    classic_leave(&groups, SLICE("g"), l, 5);
    enum kafka_error expected[] = {KAFKA_NONE, KAFKA_NONE, KAFKA_NONE, KAFKA_UNKNOWN_MEMBER_ID,
                                   KAFKA_UNKNOWN_MEMBER_ID};
    for (int i = 0; i < 5; i++) cr_expect_eq(l[i].error, expected[i], "%d: %d", i, l[i].error);
    expect_state("Empty");
}

/* -- sessions -- */

Test(group_classic, a_silent_member_is_removed_after_its_session_timeout)
{
    struct client a = {0}, b = {0};
    stable((struct client *[]){&a, &b}, 2);
    pass_ms(9000);
    cr_expect_eq(beat(&a), KAFKA_NONE);
    pass_ms(1001);
    expect_state("PreparingRebalance");
    cr_expect_eq(beat(&b), KAFKA_UNKNOWN_MEMBER_ID);
    pass_ms(10000);
    expect_state("Empty");
}

Test(group_classic, a_parked_member_does_not_expire)
{
    struct client a = {0}, b = {0};
    stable((struct client *[]){&a}, 1);
    join_first(&b);
    for (int i = 0; i < 6; i++) {
        pass_ms(9000);
        cr_expect_eq(beat(&a), KAFKA_REBALANCE_IN_PROGRESS);
    }
    cr_expect_eq(b.joined, 1, "waits for a, longer than its session");
    join(&a);
    cr_expect_eq(b.join_error, KAFKA_NONE);
}

Test(group_classic, a_newcomer_whose_join_hangs_too_long_is_let_go)
{
    struct client a = {0}, b = {0};
    struct classic_join in = join_of(&a);
    in.rebalance_timeout_ms = 20 * 60000;
    in.member_id_required = false;
    join_as(&a, &in);
    pass_ms(0);
    struct classic_assignment mine = {.member_id = slice_of(a.id), .assignment = SLICE("x")};
    sync_with(&a, &mine, 1);
    join_first(&b);
    for (int i = 0; i < 34; i++) pass_ms(9000), (void)beat(&a);
    cr_expect_eq(b.join_error, KAFKA_UNKNOWN_MEMBER_ID);
    cr_expect_eq(HASH_COUNT(group()->members), 1);
}

Test(group_classic, heartbeat_errors)
{
    struct client a = {0}, nobody = {.id = "nobody"};
    cr_expect_eq(classic_heartbeat(&groups, SLICE_EMPTY, &(struct group_caller){.member_id = SLICE("x")}),
                 KAFKA_INVALID_GROUP_ID);
    cr_expect_eq(beat(&nobody), KAFKA_UNKNOWN_MEMBER_ID);
    stable((struct client *[]){&a}, 1);
    cr_expect_eq(beat(&nobody), KAFKA_UNKNOWN_MEMBER_ID);
    a.generation_id = 0;
    cr_expect_eq(beat(&a), KAFKA_ILLEGAL_GENERATION);
}

/* -- static members -- */

Test(group_classic, a_static_member_comes_back_without_a_rebalance)
{
    struct client a = {.instance = "one"}, b = {.instance = "two"};
    stable((struct client *[]){&a, &b}, 2);
    cr_expect_eq(strncmp(a.id, "one-", 4), 0, "%s", a.id);
    struct client again = {.instance = "two"};
    join(&again);
    cr_expect_eq(again.join_error, KAFKA_NONE);
    cr_expect_eq(again.generation_id, 1);
    cr_expect_str_neq(again.id, b.id);
    cr_expect_str_eq(again.leader, a.id);
    cr_expect_not(again.skip_assignment);
    expect_state("Stable");
    cr_expect_eq(beat(&b), KAFKA_FENCED_INSTANCE_ID);
    b.instance = NULL;
    cr_expect_eq(beat(&b), KAFKA_UNKNOWN_MEMBER_ID);
    sync_up(&again);
    char old[100];
    snprintf(old, sizeof old, "for %s", b.id);
    cr_expect_str_eq(again.assignment, old, "it keeps its predecessor's assignment");
}

Test(group_classic, a_static_leader_that_comes_back_is_told_to_skip_the_assignment)
{
    struct client a = {.instance = "one"}, b = {.instance = "two"};
    stable((struct client *[]){&a, &b}, 2);
    struct client again = {.instance = "one"};
    join(&again);
    cr_expect(again.skip_assignment);
    cr_expect_str_eq(again.leader, again.id);
    cr_expect_eq(again.members_count, 2);

    struct client old = {.instance = "one"};
    struct classic_join in = join_of(&old);
    in.can_skip_assignment = false;
    join_as(&old, &in);
    cr_expect_not(old.skip_assignment);
    cr_expect_str_eq(old.leader, again.id, "an old client is told its predecessor leads, so that it does not assign");
    cr_expect_eq(old.members_count, 0);
}

Test(group_classic, a_static_member_keeps_its_place_through_a_rebalance_it_missed)
{
    struct client a = {0}, b = {.instance = "two"}, c = {0};
    stable((struct client *[]){&a, &b}, 2);
    struct classic_join in = join_of(&c);
    in.rebalance_timeout_ms = 5000;
    in.member_id_required = false;
    group()->by_instance->session_timeout_ms = 1000000;
    cr_expect_eq(beat(&b), KAFKA_NONE); /* restarts its session with that */
    join_as(&c, &in);
    join(&a);
    pass_ms(60001);
    cr_expect_eq(c.generation_id, 2);
    cr_expect_eq(HASH_COUNT(group()->members), 3);
    cr_expect_eq(a.members_count, 3);
}

Test(group_classic, another_client_with_the_same_instance_fences_the_first)
{
    struct client a = {.instance = "one"};
    groups.config.initial_rebalance_delay_ms = 3000;
    join(&a);
    struct client b = {.instance = "one"};
    join(&b);
    cr_expect_eq(a.join_error, KAFKA_FENCED_INSTANCE_ID);
    pass_ms(3000);
    cr_expect_eq(b.join_error, KAFKA_NONE);
    cr_expect_eq(HASH_COUNT(group()->members), 1);
    strcpy(a.id, "other");
    join(&a);
    cr_expect_eq(a.join_error, KAFKA_FENCED_INSTANCE_ID);
    a.instance = "unknown";
    join(&a);
    cr_expect_eq(a.join_error, KAFKA_UNKNOWN_MEMBER_ID);
}

Test(group_classic, a_failed_write_of_a_static_rejoin_is_told)
{
    struct client a = {.instance = "one"};
    stable((struct client *[]){&a}, 1);
    fake.append_error = KAFKA_COORDINATOR_NOT_AVAILABLE;
    struct client again = {.instance = "one"};
    join(&again);
    cr_expect_eq(again.join_error, KAFKA_COORDINATOR_NOT_AVAILABLE);
    fake.append_error = KAFKA_NONE;
    join(&again);
    cr_expect_eq(again.join_error, KAFKA_NONE);
}

/* -- restart -- */

static const struct classic_stored_member stored_members[] = {
    {.id = {(const uint8_t *)"m1", 2},
     .client_id = {(const uint8_t *)"c", 1},
     .client_host = {(const uint8_t *)"/h", 2},
     .metadata = {(const uint8_t *)"\0\0\0\0\0\1\0\1t", 9},
     .assignment = {(const uint8_t *)"x", 1},
     .session_timeout_ms = 10000,
     .rebalance_timeout_ms = 60000},
};

Test(group_classic, a_stored_group_lives_on_and_its_sessions_run)
{
    struct classic_stored stored = {.protocol_type = SLICE("consumer"),
                                    .protocol_name = SLICE("range"),
                                    .leader = SLICE("m1"),
                                    .generation_id = 5,
                                    .state_time_ms = 1,
                                    .members = stored_members,
                                    .members_count = 1};
    classic_group_restore(&groups, SLICE("g"), &stored);
    classic_group_restore(&groups, SLICE("g"), &stored); /* the log may repeat itself */
    groups_restored(&groups, coordinator_partition(SLICE("g"), 50), 50, true);
    expect_state("Stable");
    struct client a = {.id = "m1", .generation_id = 5};
    a.join_call.answer = on_join;
    a.sync_call.answer = on_sync;
    cr_expect_eq(beat(&a), KAFKA_NONE);
    sync_up(&a);
    cr_expect_str_eq(a.assignment, "x");
    struct group *g = groups_find(&groups, SLICE("g"));
    cr_expect(g->type->is_subscribed(g, SLICE("t")));
    cr_expect_not(g->type->is_subscribed(g, SLICE("u")));
    pass_ms(10001);
    expect_state("Empty");
    cr_expect_eq(group()->generation_id, 6);
}

Test(group_classic, a_stored_group_without_members_is_empty)
{
    struct classic_stored stored = {.protocol_type = SLICE("consumer"), .generation_id = 3, .state_time_ms = 77};
    classic_group_restore(&groups, SLICE("g"), &stored);
    groups_restored(&groups, coordinator_partition(SLICE("g"), 50), 50, true);
    expect_state("Empty");
    struct client a = {0};
    join_first(&a);
    pass_ms(0);
    cr_expect_eq(a.generation_id, 4);
}

Test(group_classic, groups_live_where_java_would_put_them)
{
    /* abs("...".hashCode()) % 50 */
    cr_expect_eq(coordinator_partition(SLICE("g"), 50), 103 % 50);
    cr_expect_eq(coordinator_partition(SLICE("console-consumer"), 50), 40);
    cr_expect_eq(coordinator_partition(SLICE("polygenelubricants"), 50), 0, "hash code -2147483648");
    cr_expect_eq(coordinator_partition(SLICE("\xc3\xa4"), 50), 228 % 50);
    cr_expect_eq(coordinator_partition(SLICE("\xf0\x9f\x98\x80"), 50), 1772899 % 50);
    cr_expect_geq(coordinator_partition(SLICE("\xf0\x9f"), 50), 0, "cut short");
}

Test(group_classic, subscriptions_of_any_bytes_are_survived)
{
    unsigned seed = 1;
    for (int round = 0; round < 2000; round++) {
        uint8_t bytes[24];
        for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(rand_r(&seed) % (round % 2 ? 4 : 256));
        struct classic_stored_member m = stored_members[0];
        m.metadata = slice_make(bytes, (uint32_t)(rand_r(&seed) % (sizeof bytes + 1)));
        struct classic_stored stored = {
            .protocol_type = SLICE("consumer"), .protocol_name = SLICE("range"), .members = &m, .members_count = 1};
        classic_group_restore(&groups, SLICE("g"), &stored);
        struct group *g = groups_find(&groups, SLICE("g"));
        (void)g->type->is_subscribed(g, SLICE("t"));
    }
}
