/* Random histories of clients in a group of the classic protocol: every call is answered once, all ends. */
#include "tests/unit/broker/classic_client.h"

TestSuite(group_random, .init = start, .fini = stop);

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
        if (rand_r(seed) % 2) fake_durable(rand_r(seed) % 10 ? KAFKA_NONE : KAFKA_COORDINATOR_NOT_AVAILABLE);
        fake.append_error = rand_r(seed) % 20 ? KAFKA_NONE : KAFKA_COORDINATOR_NOT_AVAILABLE;
        break;
    case 11:
        if (rand_r(seed) % 10 == 0) (void)groups_delete(&groups, SLICE("g"));
        if (rand_r(seed) % 10 == 0) r->id[0] = 0; /* it starts anew */
        break;
    }
    if (fake.waits_count > 60) fake_durable(KAFKA_NONE);
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

Test(group_random, random_histories_answer_every_call_once_and_end, .timeout = 60)
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
            fake_durable(KAFKA_NONE);
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
