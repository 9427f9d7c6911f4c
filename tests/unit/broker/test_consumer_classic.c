/* Members of the classic protocol in consumer groups, and groups that change their protocol while they live. */
#include "broker/group/consumer_classic.h"
#include "broker/group/group_members.h"
#include "tests/unit/broker/consumer_client.h"

TestSuite(consumer_classic, .init = start, .fini = stop);

struct classic_client {
    char id[64];
    const char *instance;
    int32_t generation;
    const char *owned; /* what it says that it has; NULL: nothing, as eager ones */
    struct classic_join_call join;
    struct classic_sync_call sync;
    int joins, syncs; /* answers */
    enum kafka_error error;
    bool leads;
    char assignment[256];
};

static size_t put_string(uint8_t *to, const char *text)
{
    be16_store(to, (uint16_t)strlen(text));
    memcpy(to + 2, text, strlen(text));
    return 2 + strlen(text);
}

/* ConsumerProtocolSubscription v1: topic t, and owned partitions of it. */
static uint32_t subscription(uint8_t *to, const char *owned)
{
    uint8_t *p = to;
    be16_store(p, 1), p += 2;
    be32_store(p, 1), p += 4;
    p += put_string(p, "t");
    be32_store(p, UINT32_MAX), p += 4; /* user data: null */
    struct partition_set s = set_of(owned);
    be32_store(p, s.count ? 1 : 0), p += 4;
    if (s.count) {
        p += put_string(p, "t");
        be32_store(p, s.count), p += 4;
        for (uint32_t i = 0; i < s.count; i++) be32_store(p, (uint32_t)s.items[i].partition), p += 4;
    }
    partition_set_done(&s);
    return (uint32_t)(p - to);
}

/* ConsumerProtocolAssignment v1 of topic t. */
static uint32_t assignment(uint8_t *to, const char *partitions)
{
    uint8_t *p = to;
    struct partition_set s = set_of(partitions);
    be16_store(p, 1), p += 2;
    be32_store(p, 1), p += 4;
    p += put_string(p, "t");
    be32_store(p, s.count), p += 4;
    for (uint32_t i = 0; i < s.count; i++) be32_store(p, (uint32_t)s.items[i].partition), p += 4;
    be32_store(p, UINT32_MAX), p += 4;
    partition_set_done(&s);
    return (uint32_t)(p - to);
}

static void on_join(struct classic_join_call *call, const struct classic_join_answer *a)
{
    struct classic_client *c = container_of(call, struct classic_client, join);
    c->joins++;
    c->error = a->error;
    if (a->member_id.len) snprintf(c->id, sizeof c->id, SLICE_FMT, SLICE_ARG(a->member_id));
    if (a->error != KAFKA_NONE) return;
    c->generation = a->generation_id;
    c->leads = slice_eq(a->leader, a->member_id);
}

static void on_sync(struct classic_sync_call *call, const struct classic_sync_answer *a)
{
    struct classic_client *c = container_of(call, struct classic_client, sync);
    struct partition_set s = {0};
    c->syncs++;
    c->error = a->error;
    if (a->error != KAFKA_NONE) return;
    const uint8_t *p = a->assignment.ptr;
    cr_assert_geq(a->assignment.len, 10);
    cr_assert_eq(be16_load(p), 1, "in the version of its subscription");
    if (be32_load(p + 2)) {
        cr_assert_eq(be16_load(p + 6), 1);
        cr_assert_eq(p[8], 't');
        for (uint32_t i = 0; i < be32_load(p + 9); i++)
            partition_set_append(&s, fake_topic_id("t"), (int32_t)be32_load(p + 13 + 4 * i));
    }
    partition_set_sort(&s);
    set_text(&s, c->assignment);
    partition_set_done(&s);
}

static void classic_join_send(struct classic_client *c)
{
    uint8_t blob[256];
    struct classic_protocol protocol = {.name = SLICE("range"), .metadata = {blob, subscription(blob, c->owned)}};
    c->join.answer = on_join;
    classic_join(&groups,
                 &(struct classic_join){.group_id = SLICE("g"),
                                        .member_id = c->id[0] ? slice_of(c->id) : SLICE_EMPTY,
                                        .instance_id = slice_of(c->instance),
                                        .client_id = SLICE("old"),
                                        .client_host = SLICE("/127.0.0.1"),
                                        .protocol_type = SLICE("consumer"),
                                        .session_timeout_ms = 30000,
                                        .rebalance_timeout_ms = 60000,
                                        .protocols = &protocol,
                                        .protocols_count = 1,
                                        .member_id_required = true},
                 &c->join);
}

static void classic_sync_send(struct classic_client *c, const struct classic_assignment *all, int32_t count)
{
    c->sync.answer = on_sync;
    classic_sync(&groups,
                 &(struct classic_sync){.group_id = SLICE("g"),
                                        .member_id = slice_of(c->id),
                                        .instance_id = slice_of(c->instance),
                                        .protocol_type = SLICE("consumer"),
                                        .protocol_name = SLICE("range"),
                                        .generation_id = c->generation,
                                        .assignments = all,
                                        .assignments_count = count},
                 &c->sync);
}

static enum kafka_error classic_beat(struct classic_client *c)
{
    return classic_heartbeat(&groups, SLICE("g"),
                             &(struct group_caller){.member_id = slice_of(c->id),
                                                    .instance_id = slice_of(c->instance),
                                                    .generation_id = c->generation});
}

/* A classic group of x (t0 t1) and y (t2 t3), Stable. */
static void classic_pair(struct classic_client *x, struct classic_client *y)
{
    uint8_t blobs[2][128];
    groups.config.initial_rebalance_delay_ms = 100;
    struct classic_client *both[] = {x, y};
    for (int i = 0; i < 2; i++) {
        if (!both[i]->instance) classic_join_send(both[i]); /* to get an id */
        classic_join_send(both[i]);
    }
    pass_ms(1000);
    cr_assert(x->error == KAFKA_NONE && y->error == KAFKA_NONE);
    cr_assert(x->leads);
    struct classic_assignment all[] = {{slice_of(x->id), {blobs[0], assignment(blobs[0], "t0 t1")}},
                                       {slice_of(y->id), {blobs[1], assignment(blobs[1], "t2 t3")}}};
    classic_sync_send(y, NULL, 0);
    classic_sync_send(x, all, 2);
    cr_assert_str_eq(state(), "Stable");
    cr_assert_str_eq(x->assignment, "t0 t1");
    cr_assert_str_eq(y->assignment, "t2 t3");
}

Test(consumer_classic, a_living_classic_group_is_upgraded_and_goes_back)
{
    struct classic_client x = {0}, y = {0};
    struct client a = NEW("A");
    classic_pair(&x, &y);
    int32_t generation = x.generation;
    struct group *g;
    cr_expect_eq(groups_check_commit(&groups, SLICE("g"),
                                     &(struct group_caller){.member_id = slice_of(x.id), .generation_id = generation},
                                     KAFKA_ILLEGAL_GENERATION, &g),
                 KAFKA_NONE);
    group_commit(g, &(struct offset_commit){.topic = SLICE("t"), .value = {.offset = 5, .metadata = SLICE_EMPTY}}, 1);

    cr_expect_eq(join(&a), KAFKA_NONE);
    cr_assert(group(), "a consumer group now");
    check_replay("after the upgrade");
    cr_expect_eq(a.epoch, generation + 1);
    cr_expect_str_eq(a.assignment, "", "the old members have all");
    cr_expect_eq(HASH_COUNT(group()->members), 3);
    cr_expect_eq(offsets_get(&group()->group.offsets, SLICE("t"), 0)->offset, 5, "offsets stay");
    cr_expect_eq(classic_beat(&x), KAFKA_REBALANCE_IN_PROGRESS);
    cr_expect_eq(classic_beat(&y), KAFKA_REBALANCE_IN_PROGRESS);

    x.owned = "t0 t1", y.owned = "t2 t3"; /* cooperative: they keep what they have and say so */
    classic_join_send(&x);
    classic_join_send(&y);
    classic_sync_send(&x, NULL, 0);
    classic_sync_send(&y, NULL, 0);
    cr_expect_not(x.leads);
    for (int i = 0; i < 6 && (strcmp(state(), "Stable") != 0 || classic_beat(&x) || classic_beat(&y)); i++) {
        struct classic_client *both[] = {&x, &y};
        for (int k = 0; k < 2; k++)
            if (classic_beat(both[k]) == KAFKA_REBALANCE_IN_PROGRESS) {
                both[k]->owned = both[k]->assignment;
                classic_join_send(both[k]);
                classic_sync_send(both[k], NULL, 0);
            }
        beat(&a, NULL);
    }
    cr_expect_str_eq(state(), "Stable");
    cr_expect_eq(strlen(x.assignment) + strlen(y.assignment) + strlen(a.assignment), 5 + 2 + 2, "%s, %s, %s",
                 x.assignment, y.assignment, a.assignment);
    cr_expect_eq(x.generation, a.epoch, "a generation is a member epoch");
    check_replay("mixed");

    /* Commits of classic members name generations, in any version. */
    cr_expect_eq(commit(x.id, x.generation, false, false), KAFKA_NONE);
    cr_expect_eq(commit(x.id, x.generation - 1, false, false), KAFKA_ILLEGAL_GENERATION);
    cr_expect_eq(classic_heartbeat(&groups, SLICE("g"),
                                   &(struct group_caller){.member_id = SLICE("A"), .generation_id = a.epoch}),
                 KAFKA_UNKNOWN_MEMBER_ID, "A does not speak the classic protocol");

    leave(&a, -1);
    struct classic_group *c = classic_group_of(groups_find(&groups, SLICE("g")));
    cr_assert(c, "only classic members are left");
    cr_expect_str_eq(state(), "PreparingRebalance");
    cr_expect_eq(HASH_COUNT(c->members), 2);
    cr_expect_eq(offsets_get(&c->group.offsets, SLICE("t"), 0)->offset, 5);
    cr_expect_eq(classic_beat(&x), KAFKA_REBALANCE_IN_PROGRESS, "the group's epoch is its generation");
    struct groups again;
    fake_replay(&again, true);
    struct classic_group *replayed = classic_group_of(groups_find(&again, SLICE("g")));
    cr_assert(replayed);
    cr_expect_eq(HASH_COUNT(replayed->members), 2);
    groups_done(&again);
    int joins = x.joins;
    classic_join_send(&x);
    classic_join_send(&y);
    cr_expect_eq(x.joins, joins + 1, "both came: the next generation is formed");
    cr_expect_eq(x.error, KAFKA_NONE);
}

Test(consumer_classic, classic_members_that_do_not_come_again_are_removed)
{
    struct classic_client x = {0}, y = {0};
    struct client a = NEW("A");
    classic_pair(&x, &y);
    join(&a);
    for (int i = 0; i < 5; i++) { /* x beats and does not join; y is silent */
        cr_expect_eq(classic_beat(&x), i == 4 ? KAFKA_UNKNOWN_MEMBER_ID : KAFKA_REBALANCE_IN_PROGRESS);
        beat(&a, NULL);
        pass_ms(15000);
    }
    beat(&a, NULL);
    cr_expect_str_eq(a.assignment, "t0 t1 t2 t3");
    cr_expect_eq(HASH_COUNT(group()->members), 1);
}

Test(consumer_classic, upgrades_and_downgrades_obey_the_policy)
{
    struct classic_client x = {0}, y = {0};
    struct client a = NEW("A");
    classic_pair(&x, &y);
    groups.config.consumer_upgrade = false;
    cr_expect_eq(join(&a), KAFKA_GROUP_ID_NOT_FOUND);
    cr_expect(strstr(a.message, "disabled"), "%s", a.message);
    groups.config.consumer_upgrade = true;
    groups.config.consumer_size_max = 1;
    cr_expect_eq(join(&a), KAFKA_GROUP_ID_NOT_FOUND, "too large");
    groups.config.consumer_size_max = 10;
    groups.config.consumer_downgrade = false;
    cr_expect_eq(join(&a), KAFKA_NONE);
    leave(&a, -1);
    cr_expect(group(), "it stays a consumer group");
    struct classic_leave leaves[] = {
        {.member_id = slice_of(x.id)}, {.member_id = slice_of(x.id)}, {.member_id = SLICE("?")}};
    classic_leave(&groups, SLICE("g"), leaves, 3);
    cr_expect_eq(leaves[0].error, KAFKA_NONE);
    cr_expect_eq(leaves[2].error, KAFKA_UNKNOWN_MEMBER_ID);
    cr_expect_eq(HASH_COUNT(group()->members), 1);
}

Test(consumer_classic, what_a_consumer_group_cannot_hold_is_not_upgraded)
{
    struct classic_client x = {0}, y = {0};
    struct client a = NEW("A");
    uint8_t blob[64];
    classic_pair(&x, &y);
    struct classic_group *c = classic_group_of(groups_find(&groups, SLICE("g")));
    struct classic_member *m = c->members;
    cr_assert(classic_assignment_set(m, (struct slice){blob, assignment(blob, "t2")}));
    cr_expect_eq(join(&a), KAFKA_GROUP_ID_NOT_FOUND, "two members have t2");
    cr_assert(classic_assignment_set(m, SLICE("\x00")));
    cr_expect_eq(join(&a), KAFKA_GROUP_ID_NOT_FOUND, "malformed");
    uint32_t len = assignment(blob, "t0");
    be32_store(blob + len - 4, 1), blob[len] = 'x'; /* user data */
    cr_assert(classic_assignment_set(m, (struct slice){blob, len + 1}));
    cr_expect_eq(join(&a), KAFKA_GROUP_ID_NOT_FOUND, "an assignor of its own");
    cr_assert(classic_assignment_set(m, SLICE_EMPTY));
    cr_expect_eq(join(&a), KAFKA_NONE, "not assigned yet");
}

Test(consumer_classic, an_empty_group_changes_its_protocol_either_way)
{
    struct client a = NEW("A");
    struct classic_client x = {0}, y = {0};
    groups.config.consumer_upgrade = groups.config.consumer_downgrade = false; /* needs no policy */
    join(&a);
    struct group *g;
    groups_check_commit(&groups, SLICE("g"),
                        &(struct group_caller){.member_id = SLICE("A"), .generation_id = 1, .knows_epochs = true},
                        KAFKA_GROUP_ID_NOT_FOUND, &g);
    group_commit(g, &(struct offset_commit){.topic = SLICE("t"), .value = {.offset = 9, .metadata = SLICE_EMPTY}}, 1);
    leave(&a, -1);
    uint32_t at = fake.log_count;
    classic_pair(&x, &y);
    cr_expect(strncmp(types_since(at), "6- 4- 3- ", 9) == 0, "%s", types_since(at));
    cr_expect_eq(offsets_get(&groups_find(&groups, SLICE("g"))->offsets, SLICE("t"), 0)->offset, 9);
    cr_expect_eq(join(&a), KAFKA_GROUP_ID_NOT_FOUND, "it lives, and the policy forbids");
    struct classic_leave leaves[] = {{.member_id = slice_of(x.id)}, {.member_id = slice_of(y.id)}};
    classic_leave(&groups, SLICE("g"), leaves, 2);
    cr_expect_str_eq(state(), "Empty");
    at = fake.log_count;
    cr_expect_eq(join(&a), KAFKA_NONE);
    cr_expect(strncmp(types_since(at), "2- 5 3 ", 7) == 0, "%s", types_since(at));
    cr_expect_str_eq(a.assignment, "t0 t1 t2 t3");
    cr_expect_eq(offsets_get(&group()->group.offsets, SLICE("t"), 0)->offset, 9);
    check_replay("back again");
}

Test(consumer_classic, a_static_consumer_comes_back_as_a_classic_one)
{
    struct classic_client x = {.instance = "i"}, y = {0};
    struct client a = NEW("A");
    a.instance = "i";
    join(&a);
    leave(&a, -2);
    groups.config.initial_rebalance_delay_ms = 100;
    classic_join_send(&x); /* the only one: the group goes back with it */
    pass_ms(1000);
    cr_expect_eq(x.error, KAFKA_NONE);
    cr_assert(classic_group_of(groups_find(&groups, SLICE("g"))));
    struct classic_leave l = {.instance_id = SLICE("i"), .member_id = SLICE_EMPTY};
    classic_leave(&groups, SLICE("g"), &l, 1);
    cr_expect_eq(l.error, KAFKA_NONE);

    groups.config.consumer_downgrade = false;
    join(&a);
    classic_join_send(&y);
    cr_expect_eq(y.error, KAFKA_MEMBER_ID_REQUIRED);
    classic_join_send(&y);
    cr_expect_eq(y.error, KAFKA_NONE, "a classic member joins a living consumer group");
    leave(&a, -2);
    x.id[0] = 0;
    classic_join_send(&x);
    cr_expect_eq(x.error, KAFKA_NONE);
    cr_expect(group());
    cr_expect_eq(HASH_COUNT(group()->members), 2, "x has the place of A");
    classic_sync_send(&x, NULL, 0);
    cr_expect_eq(x.error, KAFKA_NONE);
    x.generation++;
    classic_sync_send(&x, NULL, 0);
    cr_expect_eq(x.error, KAFKA_ILLEGAL_GENERATION);
    struct classic_client z = {.instance = "i", .id = "other", .generation = x.generation};
    cr_expect_eq(classic_beat(&z), KAFKA_FENCED_INSTANCE_ID);
    struct classic_client alien = {0};
    alien.join.answer = on_join;
    struct classic_protocol protocol = {.name = SLICE("sticky"), .metadata = SLICE_EMPTY};
    classic_join(&groups,
                 &(struct classic_join){.group_id = SLICE("g"),
                                        .member_id = SLICE("q"),
                                        .protocol_type = SLICE("consumer"),
                                        .session_timeout_ms = 30000,
                                        .protocols = &protocol,
                                        .protocols_count = 1},
                 &alien.join);
    cr_expect_eq(alien.error, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
}
