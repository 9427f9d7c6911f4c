/* Consumer groups of KIP-848 without network and disk: what Kafka 4.1 was seen to answer, and the records. */
#include "tests/unit/broker/consumer_client.h"
#include "protocol/messages.h"

TestSuite(group_consumer, .init = start, .fini = stop);

/* -- joining and reconciliation, as measured on Kafka 4.1.1 -- */

Test(group_consumer, the_first_member_gets_everything_at_epoch_1)
{
    struct client a = NEW("A");
    cr_expect_eq(join(&a), KAFKA_NONE);
    cr_expect_eq(a.epoch, 1);
    cr_expect_str_eq(a.assignment, "t0 t1 t2 t3");
    cr_expect_eq(a.interval_ms, 5000);
    cr_expect_str_eq(state(), "Stable");
    cr_expect_eq(beat(&a, NULL), KAFKA_NONE);
    cr_expect_not(a.has_assignment, "nothing changed");
    cr_expect_eq(fake.appends, 2, "members and epoch, then target and position");
}

Test(group_consumer, a_second_member_waits_until_the_first_gave_up)
{
    struct client a = NEW("A"), b = NEW("B");
    join(&a);
    cr_expect_eq(join(&b), KAFKA_NONE);
    cr_expect_eq(b.epoch, 2);
    cr_expect_str_eq(b.assignment, "");
    cr_expect_str_eq(state(), "Reconciling");
    cr_expect_eq(beat(&a, NULL), KAFKA_NONE);
    cr_expect_eq(a.epoch, 1, "its epoch waits for the revocation");
    cr_expect(a.has_assignment);
    cr_expect_str_eq(a.assignment, "t0 t1");
    beat(&a, NULL);
    cr_expect_eq(a.epoch, 1, "a beat that does not say what it owns changes nothing");
    cr_expect_not(a.has_assignment);
    beat(&b, NULL);
    cr_expect_not(b.has_assignment);
    beat(&a, "t0 t1");
    cr_expect_eq(a.epoch, 2);
    cr_expect_not(a.has_assignment, "it was told already");
    beat(&b, NULL);
    cr_expect(b.has_assignment);
    cr_expect_str_eq(b.assignment, "t2 t3");
    cr_expect_str_eq(state(), "Stable");
}

Test(group_consumer, what_leaves_is_given_to_the_others)
{
    struct client a = NEW("A"), b = NEW("B");
    join(&a);
    join(&b);
    beat(&a, NULL);
    beat(&a, "t0 t1");
    beat(&b, NULL);
    cr_expect_eq(leave(&a, -1), KAFKA_NONE);
    cr_expect_eq(a.epoch, -1);
    cr_expect_not(a.has_assignment);
    cr_expect_eq(a.interval_ms, 0);
    beat(&b, NULL);
    cr_expect_eq(b.epoch, 3);
    cr_expect_str_eq(b.assignment, "t0 t1 t2 t3");
    leave(&b, -1);
    cr_expect_str_eq(state(), "Empty");
    cr_expect_eq(group()->epoch, 4);
    cr_expect_eq(group()->assignment_epoch, 3, "as in Kafka it is computed when somebody needs it");
}

Test(group_consumer, a_rejoin_under_the_same_id_gets_its_assignment_again)
{
    struct client a = NEW("A"), b = NEW("B");
    join(&a);
    cr_expect_eq(join(&a), KAFKA_NONE);
    cr_expect_eq(a.epoch, 1);
    cr_expect(a.has_assignment);
    cr_expect_str_eq(a.assignment, "t0 t1 t2 t3");
    join(&b);
    join(&a); /* it owns nothing any more: no revocation to wait for */
    cr_expect_eq(a.epoch, 2);
    cr_expect_str_eq(a.assignment, "t0 t1");
}

Test(group_consumer, epochs_are_checked)
{
    struct client a = NEW("A"), b = NEW("B"), ghost = NEW("X");
    join(&a);
    a.epoch = 5;
    cr_expect_eq(beat(&a, NULL), KAFKA_FENCED_MEMBER_EPOCH);
    a.epoch = 1;
    join(&b);
    beat(&a, NULL);
    beat(&a, "t0 t1");
    cr_expect_eq(a.epoch, 2);
    a.epoch = 1; /* the answer was lost */
    cr_expect_eq(beat(&a, "t0 t1"), KAFKA_NONE);
    cr_expect_eq(a.epoch, 2);
    a.epoch = 1;
    cr_expect_eq(beat(&a, NULL), KAFKA_FENCED_MEMBER_EPOCH, "it does not say what it has");
    cr_expect_eq(beat(&a, "t0 t3"), KAFKA_FENCED_MEMBER_EPOCH, "it has what it was not given");
    ghost.epoch = 3;
    cr_expect_eq(beat(&ghost, NULL), KAFKA_UNKNOWN_MEMBER_ID);
    cr_expect_eq(leave(&ghost, -1), KAFKA_UNKNOWN_MEMBER_ID);
}

Test(group_consumer, requests_are_checked)
{
    struct client a = NEW("A");
    struct consumer_heartbeat h = {.rebalance_timeout_ms = 1, .topics_count = 0, .owned = &(struct partition_set){0}};
    struct consumer_heartbeat k;
    a.epoch = 3;
    cr_expect_eq(beat(&a, NULL), KAFKA_GROUP_ID_NOT_FOUND);
    cr_expect_eq(leave(&a, -1), KAFKA_GROUP_ID_NOT_FOUND);
    a.epoch = -3;
    cr_expect_eq(beat(&a, NULL), KAFKA_INVALID_REQUEST);
    a.epoch = -2;
    cr_expect_eq(beat(&a, NULL), KAFKA_INVALID_REQUEST, "only static members come back");
    a.epoch = 0;
    k = h, k.rebalance_timeout_ms = -1;
    cr_expect_eq(send(&a, &k), KAFKA_INVALID_REQUEST);
    k = h, k.topics_count = -1;
    cr_expect_eq(send(&a, &k), KAFKA_INVALID_REQUEST);
    k = h, k.owned = NULL;
    cr_expect_eq(send(&a, &k), KAFKA_INVALID_REQUEST);
    k = h, k.rack_id = SLICE("");
    cr_expect_eq(send(&a, &k), KAFKA_INVALID_REQUEST);
    k = h, k.assignor = SLICE("sticky");
    cr_expect_eq(send(&a, &k), KAFKA_UNSUPPORTED_ASSIGNOR);
    cr_expect(strstr(a.message, "uniform, range"), "%s", a.message);
    k = h, k.regex = SLICE("(");
    cr_expect_eq(send(&a, &k), KAFKA_INVALID_REGULAR_EXPRESSION);
    cr_expect_null(groups.by_id, "what is refused makes no group");
    k = h;
    cr_expect_eq(send(&a, &k), KAFKA_NONE, "a member that subscribes nothing");
    cr_expect_eq(a.epoch, 1);
    groups.config.consumer_size_max = 1;
    struct client b = NEW("B");
    cr_expect_eq(join(&b), KAFKA_GROUP_MAX_SIZE_REACHED);
    cr_expect_eq(join(&a), KAFKA_NONE, "members pass");
}

Test(group_consumer, a_member_that_says_nothing_is_removed)
{
    struct client a = NEW("A"), b = NEW("B");
    join(&a);
    join(&b);
    pass_ms(40000);
    beat(&b, NULL);
    pass_ms(6000);
    cr_expect_eq(HASH_COUNT(group()->members), 1);
    beat(&b, NULL);
    cr_expect_str_eq(b.assignment, "t0 t1 t2 t3");
    fake.options.consumer_session_timeout_ms = 50000; /* of this group, while it lives */
    fake.options.consumer_heartbeat_interval_ms = 7000;
    beat(&b, NULL);
    cr_expect_eq(b.interval_ms, 7000);
    pass_ms(49000);
    cr_expect_eq(HASH_COUNT(group()->members), 1);
    pass_ms(2000);
    cr_expect_str_eq(state(), "Empty");
}

Test(group_consumer, a_member_that_does_not_give_up_is_removed)
{
    struct client a = NEW("A"), b = NEW("B");
    join(&a);
    join(&b);
    beat(&a, NULL);
    for (int i = 0; i < 7; i++) { /* beats, and says that it still has all */
        pass_ms(10000);
        beat(&a, "t0 t1 t2 t3");
        beat(&b, NULL);
    }
    cr_expect_eq(a.error, KAFKA_UNKNOWN_MEMBER_ID);
    cr_expect_str_eq(b.assignment, "t0 t1 t2 t3");
}

Test(group_consumer, what_cannot_be_written_did_not_happen)
{
    struct client a = NEW("A"), b = NEW("B");
    fake.append_error = KAFKA_COORDINATOR_NOT_AVAILABLE;
    cr_expect_eq(join(&a), KAFKA_COORDINATOR_NOT_AVAILABLE);
    cr_expect_null(groups.by_id);
    fake.append_error = KAFKA_NONE;
    join(&a);
    fake.append_error = KAFKA_COORDINATOR_NOT_AVAILABLE;
    cr_expect_eq(join(&b), KAFKA_COORDINATOR_NOT_AVAILABLE);
    cr_expect_eq(HASH_COUNT(group()->members), 1);
    cr_expect_eq(leave(&a, -1), KAFKA_COORDINATOR_NOT_AVAILABLE);
    cr_expect_eq(HASH_COUNT(group()->members), 1);
    pass_ms(46000);
    cr_expect_eq(HASH_COUNT(group()->members), 1, "its removal could not be written");
    fake.append_error = KAFKA_NONE;
    pass_ms(2000);
    cr_expect_str_eq(state(), "Empty", "it was tried again");
}

/* -- assignors, topics, expressions -- */

Test(group_consumer, the_assignor_of_most_votes_is_taken)
{
    struct client a = NEW("A"), b = NEW("B");
    join(&a);
    cr_expect_str_eq(consumer_assignor_name(group()), "uniform");
    b.assignor = "range";
    join(&b);
    cr_expect_str_eq(consumer_assignor_name(group()), "range");
}

Test(group_consumer, topics_that_come_grow_and_go_change_the_assignment)
{
    struct client a = NEW("A");
    a.topics[1] = "u";
    join(&a);
    cr_expect_str_eq(a.assignment, "t0 t1 t2 t3", "u is not there: no error");
    fake_topic(&groups, "u", 1);
    fake_topic(&groups, "v", 1); /* nobody subscribes it */
    beat(&a, NULL);
    cr_expect_eq(a.epoch, 2);
    cr_expect_str_eq(a.assignment, "t0 t1 t2 t3 u0");
    fake_topic(&groups, "u", 3);
    beat(&a, NULL);
    cr_expect_eq(a.epoch, 3);
    cr_expect_str_eq(a.assignment, "t0 t1 t2 t3 u0 u1 u2");
    fake_topic(&groups, "u", 0);
    beat(&a, NULL); /* first it has to give them up */
    cr_expect_eq(a.epoch, 3);
    cr_expect_str_eq(a.assignment, "t0 t1 t2 t3");
    beat(&a, "t0 t1 t2 t3");
    cr_expect_eq(a.epoch, 4);
    fake_topic(&groups, "v", 2);
    uint32_t before = fake.appends;
    beat(&a, NULL);
    cr_expect_eq(a.epoch, 4);
    cr_expect_eq(fake.appends, before, "a topic that nobody subscribes costs nothing");
}

Test(group_consumer, a_changed_subscription_changes_the_assignment)
{
    struct client a = NEW("A"), b = NEW("B");
    fake_topic(&groups, "u", 2);
    join(&a);
    join(&b);
    beat(&a, NULL);
    beat(&a, "t0 t1");
    beat(&b, NULL);
    struct slice names[] = {SLICE("u"), SLICE("u"), SLICE("t")}; /* in any order, twice */
    struct partition_set owned = set_of("t2 t3");
    send(&b, &(struct consumer_heartbeat){
                 .rebalance_timeout_ms = 60000, .topics = names, .topics_count = 3, .owned = &owned});
    partition_set_done(&owned);
    cr_expect_eq(b.epoch, 2);
    cr_expect_str_eq(b.assignment, "t2", "evened out: first it gives one of t up");
    beat(&b, "t2");
    cr_expect_eq(b.epoch, 3);
    cr_expect_str_eq(b.assignment, "t2 u0 u1");
    beat(&a, NULL);
    cr_expect_str_eq(a.assignment, "t0 t1 t3");
}

Test(group_consumer, regular_expressions_are_resolved_and_follow_new_topics)
{
    struct client a = {.id = "A", .regex = "t.*|x"}, b = NEW("B");
    fake_topic(&groups, "ta", 1);
    cr_expect_eq(join(&a), KAFKA_NONE);
    cr_expect_str_eq(a.assignment, "t0 t1 t2 t3 ta0");
    fake_topic(&groups, "tb", 1);
    beat(&a, NULL);
    cr_expect_not(a.has_assignment, "not at once: topics come in bursts");
    pass_ms(2000);
    beat(&a, NULL);
    cr_expect_str_eq(a.assignment, "t0 t1 t2 t3 ta0 tb0");
    cr_expect(groups_find(&groups, SLICE("g"))->type->is_subscribed(groups_find(&groups, SLICE("g")), SLICE("tb")));
    join(&b);
    a.topics[0] = "t";
    struct slice names[] = {SLICE("t")};
    send(&a, &(struct consumer_heartbeat){
                 .rebalance_timeout_ms = -1, .topics = names, .topics_count = 1, .regex = SLICE("")});
    cr_expect_null(group()->regexes, "its last member dropped it");
    for (int i = 0; i < 4; i++) {
        beat(&a, a.assignment);
        beat(&b, b.assignment);
    }
    cr_expect_str_eq(state(), "Stable");
}

static bool all_but_secret(void *arg, struct slice topic)
{
    return !slice_eq(topic, SLICE("secret"));
}

Test(group_consumer, topics_that_the_caller_may_not_see_do_not_match)
{
    struct client a = {.id = "A", .regex = ".*"};
    fake_topic(&groups, "secret", 1);
    struct consumer_heartbeat h = {
        .rebalance_timeout_ms = 1, .topics_count = -1, .regex = SLICE(".*"), .owned = &(struct partition_set){0}};
    h.may_see = all_but_secret;
    send(&a, &h);
    cr_expect_str_eq(a.assignment, "t0 t1 t2 t3");
}

/* -- static members -- */

Test(group_consumer, a_static_member_comes_back_to_what_it_had)
{
    struct client a = NEW("A"), a2 = NEW("A2"), b = NEW("B");
    a.instance = a2.instance = "i";
    join(&a);
    cr_expect_eq(join(&a2), KAFKA_UNRELEASED_INSTANCE_ID, "the other one lives");
    a2.epoch = 1;
    cr_expect_eq(beat(&a2, NULL), KAFKA_FENCED_INSTANCE_ID);
    join(&b);
    beat(&a, NULL);
    beat(&a, "t0 t1");
    beat(&b, NULL);
    cr_expect_eq(leave(&a, -2), KAFKA_NONE);
    cr_expect_eq(a.epoch, -2);
    cr_expect_eq(HASH_COUNT(group()->members), 2, "its place is kept");
    cr_expect_str_eq(state(), "Reconciling");
    a.epoch = 2;
    cr_expect_eq(beat(&a, NULL), KAFKA_FENCED_MEMBER_EPOCH);
    cr_expect_eq(join(&a2), KAFKA_NONE);
    cr_expect_eq(a2.epoch, 2, "no new epoch");
    cr_expect_str_eq(a2.assignment, "t0 t1");
    cr_expect_str_eq(state(), "Stable");
    cr_expect_eq(beat(&a, NULL), KAFKA_FENCED_INSTANCE_ID);
    cr_expect_eq(leave(&a2, -1), KAFKA_NONE, "for good");
    cr_expect_eq(HASH_COUNT(group()->members), 1);
    a2.epoch = 2;
    cr_expect_eq(beat(&a2, NULL), KAFKA_UNKNOWN_MEMBER_ID);
}

Test(group_consumer, a_static_member_that_stays_away_is_removed)
{
    struct client a = NEW("A");
    a.instance = "i";
    join(&a);
    leave(&a, -2);
    pass_ms(46000);
    cr_expect_str_eq(state(), "Empty");
}

/* -- offsets -- */

Test(group_consumer, commits_and_fetches_need_the_members_epoch)
{
    struct client a = NEW("A");
    join(&a);
    struct group *g = groups_find(&groups, SLICE("g"));
    cr_expect_eq(commit("A", 1, false, true), KAFKA_NONE);
    cr_expect_eq(commit("A", 0, false, true), KAFKA_STALE_MEMBER_EPOCH);
    cr_expect_eq(commit("A", 2, false, true), KAFKA_STALE_MEMBER_EPOCH);
    cr_expect_eq(commit("A", 1, false, false), KAFKA_UNSUPPORTED_VERSION);
    cr_expect_eq(commit("B", 1, false, true), KAFKA_UNKNOWN_MEMBER_ID);
    cr_expect_eq(commit("", -1, false, true), KAFKA_UNKNOWN_MEMBER_ID, "a simple commit into a living group");
    cr_expect_eq(commit("A", 1, true, false), KAFKA_NONE, "in a transaction");
    cr_expect_eq(commit("A", 2, true, false), KAFKA_ILLEGAL_GENERATION);
    cr_expect_eq(commit("", -1, true, false), KAFKA_NONE, "in a transaction, without membership");
    cr_expect_eq(g->type->check_fetch(g, &(struct group_caller){.member_id = SLICE("A"), .generation_id = 1}),
                 KAFKA_NONE);
    cr_expect_eq(g->type->check_fetch(g, &(struct group_caller){.member_id = SLICE("A"), .generation_id = 2}),
                 KAFKA_STALE_MEMBER_EPOCH);
    cr_expect_eq(g->type->check_fetch(g, &(struct group_caller){.member_id = SLICE("B"), .generation_id = 2}),
                 KAFKA_UNKNOWN_MEMBER_ID);
    cr_expect_eq(g->type->check_fetch(g, &(struct group_caller){.member_id = SLICE_EMPTY, .generation_id = -1}),
                 KAFKA_NONE);
    cr_expect(g->type->is_subscribed(g, SLICE("t")));
    cr_expect_not(g->type->is_subscribed(g, SLICE("u")));
    cr_expect_eq(groups_delete(&groups, SLICE("g")), KAFKA_NON_EMPTY_GROUP);
    leave(&a, -1);
    cr_expect_eq(commit("", -1, false, true), KAFKA_NONE, "a simple commit into an empty group");
    cr_expect_eq(groups_delete(&groups, SLICE("g")), KAFKA_NONE);
    cr_expect_null(groups.by_id);
}

/* -- the log -- */

Test(group_consumer, the_records_are_those_that_kafka_writes)
{
    struct client a = NEW("A"), b = {.id = "B", .regex = "t"};
    join(&a);
    cr_expect_str_eq(types_since(0), "5 3 3 7 6 8"); /* the second 3: the same epoch, and what the topics looked like */
    uint32_t at = fake.log_count;
    join(&b);
    cr_expect_str_eq(types_since(at), "5 16 3 7 7 6 8");
    at = fake.log_count;
    beat(&a, NULL);
    cr_expect_str_eq(types_since(at), "8");
    at = fake.log_count;
    leave(&b, -1);
    cr_expect_str_eq(types_since(at), "8- 7- 5- 16- 3");
    at = fake.log_count;
    leave(&a, -1);
    cr_expect_str_eq(types_since(at), "8- 7- 5- 3");
    at = fake.log_count;
    groups_delete(&groups, SLICE("g"));
    cr_expect_str_eq(types_since(at), "6- 4- 3-");
}

Test(group_consumer, a_restart_continues_where_it_was)
{
    struct client a = NEW("A"), b = {.id = "B", .regex = "t.*", .instance = "i", .assignor = "range"};
    join(&a);
    join(&b);
    beat(&a, NULL);
    check_replay("while A gives up");
    groups_done(&groups);
    fake_replay(&groups, false);
    groups_restored(&groups, coordinator_partition(SLICE("g"), 1), 1, true);
    cr_expect_eq(beat(&a, "t2 t3"), KAFKA_NONE); /* range, and B is static: it comes first */
    cr_expect_eq(a.epoch, 2);
    cr_expect_eq(beat(&b, NULL), KAFKA_NONE);
    cr_expect_str_eq(b.assignment, "t0 t1");
    pass_ms(46000);
    cr_expect_str_eq(state(), "Empty", "sessions run after a restart");
}

Test(group_consumer, an_expression_may_have_any_bytes, .timeout = 10)
{
    struct consumer_answer a;
    struct err err = ERR_NONE;
    struct consumer_heartbeat h = {.group_id = SLICE("g"),
                                   .member_id = SLICE("A"),
                                   .rebalance_timeout_ms = 1000,
                                   .topics_count = -1,
                                   .regex = SLICE("t\0u|x"),
                                   .owned = &(struct partition_set){0}};

    cr_assert_eq(consumer_heartbeat(&groups, &h, &a, &err), KAFKA_NONE, "%s", err.text);
    h.member_id = SLICE("B");
    cr_assert_eq(consumer_heartbeat(&groups, &h, &a, &err), KAFKA_NONE, "%s", err.text);
    h.epoch = CONSUMER_EPOCH_LEAVE;
    cr_assert_eq(consumer_heartbeat(&groups, &h, &a, &err), KAFKA_NONE, "%s", err.text);
    cr_expect_not_null(group()->regexes);
    h.member_id = SLICE("A");
    cr_assert_eq(consumer_heartbeat(&groups, &h, &a, &err), KAFKA_NONE, "%s", err.text);
    cr_expect_null(group()->regexes);
    h.epoch = CONSUMER_EPOCH_JOIN;
    cr_assert_eq(consumer_heartbeat(&groups, &h, &a, &err), KAFKA_NONE, "%s", err.text);
    /* What is left goes when the test ends. */
}
