/* Groups without network and disk: a clock that the test moves, a log that is a list. */
#include "base/log.h"
#include "broker/coordinator_records.h"
#include "broker/group_classic.h"
#include "broker/limits.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define TIMERS_MAX  256
#define CHANGES_MAX 4096

/* -- the host: time, timers, log -- */

struct fake_host {
    struct group_host host;
    struct clock clock;
    int64_t now_ms;
    struct {
        struct group_timer *timer;
        int64_t due_ms;
    } timers[TIMERS_MAX];
    int timers_count;
    enum group_change_type changes[CHANGES_MAX];
    int changes_count;
    enum kafka_error append_error;
    bool strict; /* durable() answers */
    struct {
        void (*done)(void *arg, enum kafka_error error);
        void *arg;
    } waiting[64];
    int waiting_count;
};

static struct fake_host fake;
static struct groups groups;

static int64_t fake_wall_us(const struct clock *c)
{
    return fake.now_ms * 1000;
}

static void fake_timer_stop(struct group_host *h, struct group_timer *t)
{
    for (int i = 0; i < fake.timers_count; i++)
        if (fake.timers[i].timer == t) fake.timers[i] = fake.timers[--fake.timers_count];
    t->running = false;
}

static void fake_timer_start(struct group_host *h, struct group_timer *t, int64_t delay_ms)
{
    fake_timer_stop(h, t);
    cr_assert(fake.timers_count < TIMERS_MAX);
    fake.timers[fake.timers_count].timer = t;
    fake.timers[fake.timers_count++].due_ms = fake.now_ms + delay_ms;
    t->running = true;
}

static enum kafka_error fake_append(struct group_host *h, struct group *g, const struct group_change *changes,
                                    uint32_t count)
{
    if (fake.append_error != KAFKA_NONE) return fake.append_error;
    for (uint32_t i = 0; i < count && fake.changes_count < CHANGES_MAX; i++)
        fake.changes[fake.changes_count++] = changes[i].type;
    return KAFKA_NONE;
}

static void fake_when_durable(struct group_host *h, struct group *g, void (*done)(void *arg, enum kafka_error error),
                              void *arg)
{
    if (!fake.strict) {
        done(arg, KAFKA_NONE);
        return;
    }
    fake.waiting[fake.waiting_count].done = done;
    fake.waiting[fake.waiting_count++].arg = arg;
}

static void durable(enum kafka_error error)
{
    int count = fake.waiting_count;
    fake.waiting_count = 0;
    for (int i = 0; i < count; i++) fake.waiting[i].done(fake.waiting[i].arg, error);
}

/* Moves the clock; timers fire in order of their time. */
static void pass_ms(int64_t ms)
{
    int64_t end_ms = fake.now_ms + ms;
    for (;;) {
        int first = -1;
        for (int i = 0; i < fake.timers_count; i++)
            if (fake.timers[i].due_ms <= end_ms && (first < 0 || fake.timers[i].due_ms < fake.timers[first].due_ms))
                first = i;
        if (first < 0) break;
        struct group_timer *t = fake.timers[first].timer;
        fake.now_ms = MAX(fake.now_ms, fake.timers[first].due_ms);
        fake_timer_stop(&fake.host, t);
        t->fire(t);
    }
    fake.now_ms = end_ms;
}

static void start(void)
{
    log_level_max = LOG_ERROR;
    fake = (struct fake_host){
        .host = {.timer_start = fake_timer_start,
                 .timer_stop = fake_timer_stop,
                 .append = fake_append,
                 .when_durable = fake_when_durable,
                 .clock = &fake.clock},
        .clock = {.wall_us = fake_wall_us, .mono_us = fake_wall_us},
        .now_ms = 1700000000000,
    };
    groups_init(&groups, &fake.host);
    groups.config.initial_rebalance_delay_ms = 0;
}

static void stop(void)
{
    /* What is still parked belongs to clients on the stack of a test that is over. */
    for (struct group *g = groups.by_id; g; g = g->hh.next)
        for (struct classic_member *m = classic_group_of(g)->members; m; m = m->hh.next) m->join = NULL, m->sync = NULL;
    groups_done(&groups);
    durable(KAFKA_NONE);
    cr_expect_eq(groups.bytes, 0, "what was counted is given back: %zu", groups.bytes);
    cr_expect_eq(fake.timers_count, 0, "no timer outlives its group");
}

TestSuite(group, .init = start, .fini = stop);

/* -- a client -- */

struct client {
    char id[80];
    const char *instance; /* NULL: dynamic */
    int32_t generation_id;
    /* the last answers */
    struct classic_join_call join_call;
    struct classic_sync_call sync_call;
    int joined, synced; /* how many answers came */
    enum kafka_error join_error, sync_error;
    char leader[80], protocol[80], assignment[80];
    int32_t members_count;
    bool skip_assignment, type_is_null, assignment_is_null;
};

static void text(char *to, struct slice s)
{
    snprintf(to, 80, SLICE_FMT, SLICE_ARG(s));
}

static void on_join(struct classic_join_call *call, const struct classic_join_answer *a)
{
    struct client *c = container_of(call, struct client, join_call);
    c->joined++;
    c->join_error = a->error;
    c->generation_id = a->generation_id;
    c->members_count = a->members_count;
    c->skip_assignment = a->skip_assignment;
    c->type_is_null = !a->protocol_type.ptr;
    text(c->leader, a->leader);
    text(c->protocol, a->protocol_name);
    if (a->error == KAFKA_NONE || a->error == KAFKA_MEMBER_ID_REQUIRED) text(c->id, a->member_id);
}

static void on_sync(struct classic_sync_call *call, const struct classic_sync_answer *a)
{
    struct client *c = container_of(call, struct client, sync_call);
    c->synced++;
    c->sync_error = a->error;
    c->assignment_is_null = !a->assignment.ptr;
    text(c->assignment, a->assignment);
}

/* ConsumerProtocolSubscription v0 of one topic "t"; userData is not read. */
#define SUBSCRIPTION SLICE("\0\0\0\0\0\1\0\1t")

static struct classic_protocol protocols[3] = {
    {.name = {(const uint8_t *)"range", 5}, .metadata = {(const uint8_t *)"\0\0\0\0\0\1\0\1t", 9}}};

static struct classic_join join_of(const struct client *c)
{
    return (struct classic_join){
        .group_id = SLICE("g"),
        .member_id = slice_of(c->id),
        .instance_id = slice_of(c->instance),
        .client_id = SLICE("client"),
        .client_host = SLICE("/127.0.0.1"),
        .protocol_type = SLICE("consumer"),
        .session_timeout_ms = 10000,
        .rebalance_timeout_ms = 60000,
        .protocols = protocols,
        .protocols_count = 1,
        .member_id_required = true,
        .can_skip_assignment = true,
    };
}

static void join_as(struct client *c, const struct classic_join *in)
{
    c->join_call.answer = on_join;
    c->sync_call.answer = on_sync;
    classic_join(&groups, in, &c->join_call);
}

static void join(struct client *c)
{
    struct classic_join in = join_of(c);
    join_as(c, &in);
}

/* With both steps of KIP-394. */
static void join_first(struct client *c)
{
    join(c);
    if (c->instance) return;
    cr_assert_eq(c->join_error, KAFKA_MEMBER_ID_REQUIRED);
    join(c);
}

static void sync_with(struct client *c, const struct classic_assignment *assignments, int32_t count)
{
    struct classic_sync in = {.group_id = SLICE("g"),
                              .member_id = slice_of(c->id),
                              .instance_id = slice_of(c->instance),
                              .generation_id = c->generation_id,
                              .assignments = assignments,
                              .assignments_count = count};
    classic_sync(&groups, &in, &c->sync_call);
}

static void sync_up(struct client *c)
{
    sync_with(c, NULL, 0);
}

/* The leader gives everybody "for <id>". */
static void sync_leader(struct client *leader, struct client **all, int count)
{
    struct classic_assignment assignments[8];
    char texts[8][100];
    for (int i = 0; i < count; i++) {
        snprintf(texts[i], sizeof texts[i], "for %s", all[i]->id);
        assignments[i] =
            (struct classic_assignment){.member_id = slice_of(all[i]->id), .assignment = slice_of(texts[i])};
    }
    sync_with(leader, assignments, count);
}

static enum kafka_error beat(struct client *c)
{
    return classic_heartbeat(&groups, SLICE("g"),
                             &(struct group_caller){.member_id = slice_of(c->id),
                                                    .instance_id = slice_of(c->instance),
                                                    .generation_id = c->generation_id});
}

static enum kafka_error leave(struct client *c)
{
    struct classic_leave l = {.member_id = slice_of(c->id), .instance_id = slice_of(c->instance)};
    classic_leave(&groups, SLICE("g"), &l, 1);
    return l.error;
}

static struct classic_group *group(void)
{
    return classic_group_of(groups_find(&groups, SLICE("g")));
}

static const char *state(void)
{
    struct group *g = groups_find(&groups, SLICE("g"));
    return g ? g->type->state_name(g) : "Dead";
}

#define expect_state(name) cr_expect_str_eq(state(), name)

/* All of them in one stable generation, in this order. */
static void stable(struct client **all, int count)
{
    for (int i = 0; i < count; i++) join_first(all[i]);
    pass_ms(0);
    for (int i = 0; i < count; i++) {
        if (i > 0 && strcmp(all[i]->leader, all[i]->id) != 0 && all[i]->joined) sync_up(all[i]);
    }
    for (int i = 0; i < count; i++)
        if (strcmp(all[i]->leader, all[i]->id) == 0) sync_leader(all[i], all, count);
    expect_state("Stable");
}

/* -- joining -- */

Test(group, a_new_member_gets_an_id_first_and_joins_with_it)
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

Test(group, old_clients_join_at_once)
{
    struct client a = {0};
    struct classic_join in = join_of(&a);
    in.member_id_required = false;
    join_as(&a, &in);
    pass_ms(0);
    cr_expect_eq(a.joined, 1);
    cr_expect_eq(a.join_error, KAFKA_NONE);
}

Test(group, joins_that_make_no_sense_are_refused)
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

Test(group, the_protocol_is_one_that_all_support_with_most_votes)
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

Test(group, protocols_are_few_and_many_members_with_all_of_them_are_chosen_for_at_once, .timeout = 20)
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

Test(group, the_initial_delay_is_prolonged_by_newcomers_up_to_the_rebalance_timeout)
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

Test(group, without_newcomers_the_initial_delay_ends_in_time)
{
    groups.config.initial_rebalance_delay_ms = 3000;
    struct client a = {0};
    join_first(&a);
    pass_ms(2999);
    cr_expect_eq(a.joined, 1);
    pass_ms(1);
    cr_expect_eq(a.joined, 2);
}

Test(group, an_id_that_was_handed_out_expires_with_the_session_timeout)
{
    struct client a = {0};
    join(&a);
    pass_ms(10001);
    join(&a);
    cr_expect_eq(a.join_error, KAFKA_UNKNOWN_MEMBER_ID);
}

Test(group, group_max_size_lets_members_pass_and_refuses_newcomers)
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

/* -- memory -- */

/* Leaves so much room for all groups. */
static size_t fill_memory(size_t room)
{
    size_t added = GROUPS_BYTES_MAX - room - groups.bytes;
    groups.bytes += added;
    return added;
}

Test(group, memory_of_all_groups_bounds_newcomers_also_those_with_an_id)
{
    static uint8_t large[100000];
    struct client a = {0}, b = {0};
    struct classic_join in = join_of(&a);
    in.protocols = &(struct classic_protocol){.name = SLICE("range"), .metadata = slice_make(large, sizeof large)};

    size_t added = fill_memory(50000);
    join_as(&a, &in);
    cr_expect_eq(a.join_error, KAFKA_GROUP_MAX_SIZE_REACHED);
    expect_state("Dead");
    groups.bytes -= added;

    join(&b); /* an id is handed out for little; what comes with it is much */
    cr_assert_eq(b.join_error, KAFKA_MEMBER_ID_REQUIRED);
    added = fill_memory(50000);
    in.member_id = slice_of(b.id);
    join_as(&b, &in);
    cr_expect_eq(b.joined, 2);
    cr_expect_eq(b.join_error, KAFKA_GROUP_MAX_SIZE_REACHED);
    join(&b);
    pass_ms(0);
    cr_expect_eq(b.join_error, KAFKA_NONE, "a small one has room");
    groups.bytes -= added;
}

Test(group, memory_of_all_groups_bounds_what_members_bring_when_they_join_again)
{
    static uint8_t large[100000];
    struct client a = {0}, s = {.instance = "i"};
    stable((struct client *[]){&a}, 1);
    struct classic_join in = join_of(&a);
    in.protocols = &(struct classic_protocol){.name = SLICE("range"), .metadata = slice_make(large, sizeof large)};
    size_t added = fill_memory(sizeof large + 1000);
    join_as(&a, &in);
    pass_ms(0);
    cr_expect_eq(a.join_error, KAFKA_NONE);
    groups.bytes -= added;

    added = fill_memory(0);
    join_as(&a, &in);
    pass_ms(0);
    cr_expect_eq(a.join_error, KAFKA_NONE, "no more than it has");
    static uint8_t larger[sizeof large + 1];
    in.protocols = &(struct classic_protocol){.name = SLICE("range"), .metadata = slice_make(larger, sizeof larger)};
    join_as(&a, &in);
    cr_expect_eq(a.join_error, KAFKA_GROUP_MAX_SIZE_REACHED);
    cr_expect_eq(beat(&a), KAFKA_UNKNOWN_MEMBER_ID);
    groups.bytes -= added;

    join_first(&s);
    pass_ms(0);
    sync_leader(&s, (struct client *[]){&s}, 1);
    expect_state("Stable");
    added = fill_memory(0);
    struct client again = {.instance = "i"};
    in = join_of(&again);
    in.protocols = &(struct classic_protocol){.name = SLICE("range"), .metadata = slice_make(larger, sizeof larger)};
    join_as(&again, &in);
    cr_expect_eq(again.join_error, KAFKA_GROUP_MAX_SIZE_REACHED);
    cr_expect_eq(beat(&s), KAFKA_NONE, "who was there is not disturbed");
    groups.bytes -= added;
}

Test(group, memory_of_all_groups_bounds_assignments)
{
    static uint8_t large[100000];
    struct client a = {0};
    join_first(&a);
    pass_ms(0);
    struct classic_assignment assignment = {.member_id = slice_of(a.id), .assignment = slice_make(large, sizeof large)};
    size_t added = fill_memory(50000);
    sync_with(&a, &assignment, 1);
    cr_expect_eq(a.sync_error, KAFKA_GROUP_MAX_SIZE_REACHED);
    cr_expect_eq(a.assignment[0], 0);
    groups.bytes -= added;
    expect_state("PreparingRebalance");

    join(&a);
    pass_ms(0);
    sync_with(&a, &assignment, 1);
    cr_expect_eq(a.sync_error, KAFKA_NONE);
    expect_state("Stable");
}

Test(group, subscribed_topics_count_and_too_many_cannot_be_told)
{
    static uint8_t names[6 + (GROUP_TOPICS_MAX + 1) * 2]; /* so many empty names */
    struct client a = {0};
    struct classic_join in = join_of(&a);
    in.member_id_required = false;
    for (int more = 0; more < 2; more++) {
        uint32_t count = GROUP_TOPICS_MAX + (uint32_t)more;
        be32_store(names + 2, count);
        in.member_id = slice_of(a.id);
        in.protocols = &(struct classic_protocol){.name = SLICE("range"), .metadata = slice_make(names, 6 + count * 2)};
        size_t before = groups.bytes;
        join_as(&a, &in);
        pass_ms(0);
        cr_assert_eq(a.join_error, KAFKA_NONE);
        cr_expect_eq(group()->topics_known, !more);
        if (!more) cr_expect_gt(groups.bytes - before, count * (2 + sizeof(struct slice)));
        cr_expect_eq(group()->group.type->is_subscribed(&group()->group, SLICE("t")), more, "when in doubt");
    }
}

/* -- syncing -- */

Test(group, assignments_are_handed_out_when_the_leader_gave_them)
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
    cr_expect_eq(fake.changes[0], GROUP_CHANGE_STATE);
}

Test(group, a_member_that_the_leader_forgot_gets_empty_bytes_not_null)
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

Test(group, sync_errors)
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

Test(group, members_that_do_not_sync_are_removed_after_the_rebalance_timeout)
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

Test(group, a_failed_write_of_the_assignment_is_told_and_repeated)
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

Test(group, in_strict_durability_assignments_wait_for_the_disk)
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
    durable(KAFKA_NONE);
    cr_expect_eq(a.synced + b.synced, 2);
    expect_state("Stable");
}

Test(group, a_rebalance_while_the_disk_works_wins)
{
    fake.strict = true;
    struct client a = {0}, b = {0};
    join_first(&a);
    pass_ms(0);
    sync_leader(&a, (struct client *[]){&a}, 1);
    join_first(&b);
    cr_expect_eq(a.sync_error, KAFKA_REBALANCE_IN_PROGRESS);
    durable(KAFKA_NONE);
    expect_state("PreparingRebalance");
    cr_expect_eq(a.synced, 1);
}

/* -- rebalance -- */

Test(group, a_newcomer_starts_a_rebalance_that_ends_when_all_joined_again)
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

Test(group, who_does_not_join_again_in_time_is_removed)
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

Test(group, an_unchanged_follower_joins_without_a_rebalance_the_leader_with_one)
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

Test(group, a_join_repeated_while_syncing_gets_the_same_generation)
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

Test(group, the_earlier_of_two_parked_joins_of_a_member_is_not_left_hanging)
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

Test(group, leaving_starts_a_rebalance_and_the_last_one_leaves_the_group_empty)
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
    cr_expect_eq(fake.changes[fake.changes_count - 1], GROUP_CHANGE_STATE, "the empty state is stored");
}

Test(group, several_leave_in_one_request_with_an_error_each)
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

Test(group, a_silent_member_is_removed_after_its_session_timeout)
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

Test(group, a_parked_member_does_not_expire)
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

Test(group, a_newcomer_whose_join_hangs_too_long_is_let_go)
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

Test(group, heartbeat_errors)
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

Test(group, a_static_member_comes_back_without_a_rebalance)
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

Test(group, a_static_leader_that_comes_back_is_told_to_skip_the_assignment)
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

Test(group, a_static_member_keeps_its_place_through_a_rebalance_it_missed)
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

Test(group, another_client_with_the_same_instance_fences_the_first)
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

Test(group, a_failed_write_of_a_static_rejoin_is_told)
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

/* -- offsets -- */

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

Test(group, who_may_commit)
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

Test(group, a_commit_that_is_not_written_did_not_happen)
{
    cr_expect_eq(commit("", -1, "t", 1), KAFKA_NONE);
    fake.append_error = KAFKA_COORDINATOR_NOT_AVAILABLE;
    cr_expect_eq(commit("", -1, "t", 2), KAFKA_COORDINATOR_NOT_AVAILABLE);
    cr_expect_eq(committed("t"), 1);
}

#define DAY_MS 86400000LL

Test(group, offsets_of_a_simple_group_expire_by_their_commit)
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
    cr_expect_eq(fake.changes[fake.changes_count - 1], GROUP_CHANGE_REMOVED);
}

Test(group, offsets_of_an_empty_group_expire_from_when_it_became_empty)
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

Test(group, a_retention_time_in_the_commit_counts_instead)
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

Test(group, deleting_groups_and_offsets)
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

Test(group, a_deleted_topic_takes_its_offsets_along)
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

Test(group, offsets_keep_partitions_apart_and_count_their_bytes)
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

Test(group, commits_of_a_transaction_wait_for_its_marker)
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

Test(group, of_two_commits_the_later_one_counts_whenever_its_transaction_ends)
{
    struct offsets o;
    offsets_init(&o);
    struct offset_value v[4];
    for (int i = 0; i < 4; i++) v[i] = (struct offset_value){.offset = i, .metadata = SLICE("m")};
    offsets_pend(&o, 7, SLICE("t"), 0, &v[1]);
    offsets_set(&o, SLICE("t"), 0, &v[2]);
    offsets_transaction_end(&o, 7, true);
    cr_expect_eq(offsets_get(&o, SLICE("t"), 0)->offset, 2, "committed while the transaction was open");
    offsets_pend(&o, 7, SLICE("t"), 0, &v[1]);
    offsets_pend(&o, 8, SLICE("t"), 0, &v[2]);
    offsets_pend(&o, 9, SLICE("t"), 0, &v[3]);
    offsets_transaction_end(&o, 8, true);
    offsets_transaction_end(&o, 7, true);
    cr_expect_eq(offsets_get(&o, SLICE("t"), 0)->offset, 2, "the first transaction ended last");
    offsets_transaction_end(&o, 9, true);
    cr_expect_eq(offsets_get(&o, SLICE("t"), 0)->offset, 3);
    offsets_pend(&o, 7, SLICE("t"), 0, &v[1]);
    offsets_set(&o, SLICE("t"), 0, &v[2]);
    offsets_pend(&o, 7, SLICE("t"), 0, &v[0]);
    offsets_transaction_end(&o, 7, true);
    cr_expect_eq(offsets_get(&o, SLICE("t"), 0)->offset, 0, "committed anew in the same transaction");
    offsets_done(&o);
    cr_expect_eq(o.bytes, 0);
}

Test(group, removing_an_offset_takes_those_of_open_transactions_along)
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
    cr_expect(offsets_remove(&o, slice_make(o.pending->topic, o.pending->topic_len), 1), "they may lend the name");
    cr_expect_not(offsets_remove(&o, SLICE("t"), 1));
    for (int64_t producer = 7; producer < 10; producer++) offsets_transaction_end(&o, producer, true);
    cr_expect_null(offsets_get(&o, SLICE("t"), 0));
    cr_expect_null(offsets_get(&o, SLICE("t"), 1));
    cr_expect_not_null(offsets_get(&o, SLICE("t"), 2));
    offsets_done(&o);
    cr_expect_eq(o.bytes, 0);
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

Test(group, a_stored_group_lives_on_and_its_sessions_run)
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

Test(group, a_stored_group_without_members_is_empty)
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

Test(group, groups_live_where_java_would_put_them)
{
    /* abs("...".hashCode()) % 50 */
    cr_expect_eq(coordinator_partition(SLICE("g"), 50), 103 % 50);
    cr_expect_eq(coordinator_partition(SLICE("console-consumer"), 50), 40);
    cr_expect_eq(coordinator_partition(SLICE("polygenelubricants"), 50), 0, "hash code -2147483648");
    cr_expect_eq(coordinator_partition(SLICE("\xc3\xa4"), 50), 228 % 50);
    cr_expect_eq(coordinator_partition(SLICE("\xf0\x9f\x98\x80"), 50), 1772899 % 50);
    cr_expect_geq(coordinator_partition(SLICE("\xf0\x9f"), 50), 0, "cut short");
}

Test(group, subscriptions_of_any_bytes_are_survived)
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

/* -- random histories -- */

#define CLIENTS     8
#define CALLS_MAX   20000
#define HISTORY_OPS 4000

/* Calls are never reused, so that a second answer is seen. */
struct random_call {
    struct classic_join_call join;
    struct classic_sync_call sync;
    int answers;
    int client;
};

struct random_client {
    char id[80];
    char instance[8]; /* "": dynamic */
    int32_t generation_id;
    bool leads;
};

static struct random_client random_clients[CLIENTS];
static struct random_call *random_calls;
static int random_calls_count;

static void on_random_join(struct classic_join_call *call, const struct classic_join_answer *a)
{
    struct random_call *c = container_of(call, struct random_call, join);
    struct random_client *r = &random_clients[c->client];
    cr_assert_eq(++c->answers, 1);
    if (a->error == KAFKA_NONE || a->error == KAFKA_MEMBER_ID_REQUIRED) text(r->id, a->member_id);
    if (a->error == KAFKA_UNKNOWN_MEMBER_ID) r->id[0] = 0;
    if (a->error != KAFKA_NONE) return;
    r->generation_id = a->generation_id;
    r->leads = slice_eq(a->leader, a->member_id);
    cr_assert(a->protocol_name.ptr && a->leader.len);
    cr_assert(a->members_count == 0 || r->leads, "only the leader sees the members");
}

static void on_random_sync(struct classic_sync_call *call, const struct classic_sync_answer *a)
{
    struct random_call *c = container_of(call, struct random_call, sync);
    cr_assert_eq(++c->answers, 1);
    cr_assert_not_null(a->assignment.ptr);
}

static struct random_call *random_call(int client)
{
    cr_assert(random_calls_count < CALLS_MAX);
    struct random_call *c = &random_calls[random_calls_count++];
    *c = (struct random_call){.join.answer = on_random_join, .sync.answer = on_random_sync, .client = client};
    return c;
}

static void random_step(unsigned *seed)
{
    int client = rand_r(seed) % CLIENTS;
    struct random_client *r = &random_clients[client];
    struct slice instance = r->instance[0] ? slice_of(r->instance) : SLICE_NULL;
    struct group_caller caller = {
        .member_id = slice_of(r->id), .instance_id = instance, .generation_id = r->generation_id};
    switch (rand_r(seed) % 12) {
    case 0:
    case 1:
    case 2: {
        struct classic_protocol own[2] = {
            {.name = SLICE("range"), .metadata = rand_r(seed) % 8 ? SUBSCRIPTION : SLICE("changed")},
            {.name = rand_r(seed) % 8 ? SLICE("sticky") : SLICE("other"), .metadata = SUBSCRIPTION}};
        struct classic_join in = {.group_id = SLICE("g"),
                                  .member_id = slice_of(r->id),
                                  .instance_id = instance,
                                  .client_id = SLICE("c"),
                                  .client_host = SLICE("/h"),
                                  .protocol_type = SLICE("consumer"),
                                  .session_timeout_ms = 6000 + rand_r(seed) % 10000,
                                  .rebalance_timeout_ms = rand_r(seed) % 20000,
                                  .protocols = own + rand_r(seed) % 2,
                                  .protocols_count = 1,
                                  .member_id_required = rand_r(seed) % 4,
                                  .can_skip_assignment = rand_r(seed) % 2};
        if (in.protocols == own) in.protocols_count = 2;
        classic_join(&groups, &in, &random_call(client)->join);
        break;
    }
    case 3:
    case 4:
    case 5: {
        struct classic_assignment all[CLIENTS];
        int count = 0;
        for (int i = 0; r->leads && i < CLIENTS; i++)
            all[count++] = (struct classic_assignment){.member_id = slice_of(random_clients[i].id),
                                                       .assignment = SLICE("assigned")};
        struct classic_sync in = {.group_id = SLICE("g"),
                                  .member_id = slice_of(r->id),
                                  .instance_id = instance,
                                  .generation_id = r->generation_id,
                                  .assignments = all,
                                  .assignments_count = count};
        classic_sync(&groups, &in, &random_call(client)->sync);
        break;
    }
    case 6:
    case 7: (void)classic_heartbeat(&groups, SLICE("g"), &caller); break;
    case 8: {
        struct classic_leave l = {.member_id = slice_of(rand_r(seed) % 2 ? r->id : ""), .instance_id = instance};
        if (rand_r(seed) % 3 == 0) classic_leave(&groups, SLICE("g"), &l, 1);
        break;
    }
    case 9: pass_ms(rand_r(seed) % (rand_r(seed) % 10 ? 500 : 20000)); break;
    case 10:
        if (rand_r(seed) % 2) durable(rand_r(seed) % 10 ? KAFKA_NONE : KAFKA_COORDINATOR_NOT_AVAILABLE);
        fake.append_error = rand_r(seed) % 20 ? KAFKA_NONE : KAFKA_COORDINATOR_NOT_AVAILABLE;
        break;
    case 11:
        if (rand_r(seed) % 10 == 0) (void)groups_delete(&groups, SLICE("g"));
        if (rand_r(seed) % 10 == 0) r->id[0] = 0; /* it starts anew */
        break;
    }
    if (fake.waiting_count > 60) durable(KAFKA_NONE);
}

static void check_invariants(void)
{
    struct classic_group *c = group();
    if (!c) return;
    int joining = 0, syncing = 0, missing = 0, instances = 0;
    bool leader_is_member = !c->leader;
    for (const struct classic_member *m = c->members; m; m = m->hh.next) {
        joining += m->join != NULL;
        syncing += m->sync != NULL;
        missing += m->sync_missing;
        instances += m->instance_id != NULL;
        leader_is_member |= m == c->leader;
        cr_assert(m->session.running || m->join || m->sync, "nobody is held without a timer or an answer to come");
        cr_assert(!m->join || !m->sync || c->state != CLASSIC_STABLE);
    }
    cr_assert_eq(joining, c->joining_count);
    cr_assert_eq(instances, (int)HASH_CNT(hh_instance, c->by_instance));
    cr_assert(leader_is_member);
    cr_assert_eq(!c->members, !c->leader);
    cr_assert(c->state != CLASSIC_EMPTY || !c->members);
    cr_assert(c->state == CLASSIC_EMPTY || c->state == CLASSIC_PREPARING_REBALANCE || c->members);
    cr_assert(c->state == CLASSIC_COMPLETING_REBALANCE || !syncing, "a sync waits only for the leader");
    cr_assert(c->state != CLASSIC_PREPARING_REBALANCE || c->join_timer.running, "a rebalance ends by itself");
    cr_assert(!missing || c->sync_timer.running);
}

Test(group, random_histories_answer_every_call_once_and_end, .timeout = 60)
{
    random_calls = xcalloc(CALLS_MAX, sizeof *random_calls);
    for (unsigned history = 1; history <= 60; history++) {
        unsigned seed = history;
        random_calls_count = 0;
        memset(random_clients, 0, sizeof random_clients);
        for (int i = 0; i < CLIENTS / 2; i++) snprintf(random_clients[i].instance, 8, "i%d", i % 3);
        fake.strict = history % 2;
        groups.config.initial_rebalance_delay_ms = history % 3 ? 0 : 3000;
        groups.config.size_max = history % 5 ? INT32_MAX : 3;
        for (int i = 0; i < HISTORY_OPS; i++) {
            random_step(&seed);
            check_invariants();
        }
        fake.append_error = KAFKA_NONE;
        for (int i = 0; i < 5; i++) {
            durable(KAFKA_NONE);
            pass_ms(400000); /* every timeout of the history is shorter */
        }
        for (int i = 0; i < random_calls_count; i++)
            cr_assert_eq(random_calls[i].answers, 1, "history %u call %d", history, i);
        if (group()) {
            expect_state("Empty");
            cr_assert_eq(groups_delete(&groups, SLICE("g")), KAFKA_NONE);
        }
        cr_assert_eq(groups.bytes, 0);
        cr_assert_eq(fake.timers_count, 0);
    }
    free(random_calls);
}
