/* Consumer groups against a random model of many members. */
#include "tests/unit/broker/consumer_client.h"

TestSuite(group_consumer_model, .init = start, .fini = stop);

#define MODEL_MEMBERS 200
#define MODEL_STEPS   6000

enum model_state { GONE, ALIVE, DEAD };

struct model_member {
    enum model_state state;
    char id[24], instance[24];
    bool is_static;
    int32_t epoch;
    uint32_t subscription; /* which names, as bits; 16: by expression */
    bool rejoin;
    bool full; /* an answer did not come: it says everything again, so that it is told everything again */
    struct partition_set owned, told; /* what it works on; what it shall have */
    bool say;                         /* owned changed since it was last said */
};

static struct model_member model[MODEL_MEMBERS];
static const char *const model_topics[] = {"a", "b", "c", "d"};
static uint32_t model_ids;

static void model_forget(struct model_member *m)
{
    partition_set_done(&m->owned);
    partition_set_done(&m->told);
    m->say = false;
}

/* Each partition that a member works on is worked on by no other. Who was silent for too long is none any more, although
 * it does not know it yet. */
static void model_check(unsigned seed, int step)
{
    struct partition_set all = {0};
    uint32_t sum = 0;
    for (int i = 0; i < MODEL_MEMBERS; i++) {
        if (model[i].state != ALIVE || !group() || !consumer_member_find(group(), slice_of(model[i].id))) continue;
        for (uint32_t k = 0; k < model[i].owned.count; k++)
            partition_set_append(&all, model[i].owned.items[k].topic_id, model[i].owned.items[k].partition);
        sum += model[i].owned.count;
    }
    partition_set_sort(&all);
    cr_assert_eq(all.count, sum, "seed %u, step %d: a partition has two owners", seed, step);
    partition_set_done(&all);
    struct consumer_group *c = group();
    if (!c) return;
    struct partition_set held = {0};
    sum = 0;
    for (struct consumer_member *m = c->members; m; m = m->hh.next) {
        const struct partition_set *sets[] = {&m->position.assigned, &m->position.revoking};
        cr_assert_leq(m->position.epoch, c->assignment_epoch, "seed %u, step %d", seed, step);
        for (int s = 0; s < 2; s++)
            for (uint32_t k = 0; k < sets[s]->count; k++) {
                partition_set_append(&held, sets[s]->items[k].topic_id, sets[s]->items[k].partition);
                cr_assert_eq(consumer_holder(c, sets[s]->items[k].topic_id, sets[s]->items[k].partition), m);
                sum++;
            }
    }
    partition_set_sort(&held);
    cr_assert_eq(held.count, sum, "seed %u, step %d: two members of the group hold a partition", seed, step);
    partition_set_done(&held);
}

/* One heartbeat of a client that behaves; lost: the answer does not arrive. */
static void model_beat(struct model_member *m, bool lost)
{
    struct slice names[4];
    int32_t names_count = 0;
    bool all = m->rejoin || m->full;
    if (m->rejoin) {
        model_forget(m);
        m->epoch = 0;
    }
    for (int t = 0; t < 4; t++)
        if (m->subscription >> t & 1) names[names_count++] = slice_of(model_topics[t]);
    struct consumer_heartbeat h = {.group_id = SLICE("g"),
                                   .member_id = slice_of(m->id),
                                   .instance_id = m->is_static ? slice_of(m->instance) : SLICE_NULL,
                                   .epoch = m->epoch,
                                   .needs_member_id = true,
                                   .client_id = SLICE("c"),
                                   .client_host = SLICE("/h"),
                                   .rebalance_timeout_ms = all ? 60000 : -1,
                                   .topics = names,
                                   .topics_count = all ? names_count : -1,
                                   .regex = all ? (m->subscription & 16 ? SLICE("[cd]") : SLICE("")) : SLICE_NULL,
                                   .owned = all || m->say ? &m->owned : NULL};
    struct consumer_answer a;
    enum kafka_error error = consumer_heartbeat(&groups, &h, &a, NULL);
    free(a.member_id);
    if (lost) {
        m->full = true;
        return;
    }
    if (error == KAFKA_UNKNOWN_MEMBER_ID || error == KAFKA_FENCED_MEMBER_EPOCH) {
        model_forget(m);
        m->rejoin = true;
        return;
    }
    if (error == KAFKA_UNRELEASED_INSTANCE_ID) return; /* comes again */
    if (error == KAFKA_FENCED_INSTANCE_ID) {
        model_forget(m);
        m->state = GONE;
        return;
    }
    cr_assert_eq(error, KAFKA_NONE, "%d", error);
    m->rejoin = m->full = m->say = false;
    m->epoch = a.epoch;
    if (!a.has_assignment) return;
    partition_set_done(&m->told);
    m->told = partition_set_copy(a.assignment);
    if (partition_set_eq(&m->owned, &m->told)) return;
    /* Gives up, then takes; both are said with the next heartbeat. */
    partition_set_done(&m->owned);
    m->owned = partition_set_copy(&m->told);
    m->say = true;
}

static void model_step(unsigned *seed)
{
    struct model_member *m = &model[rand_r(seed) % MODEL_MEMBERS];
    int what = rand_r(seed) % 100;
    if (m->state == GONE || m->state == DEAD) {
        if (what >= 30) return;
        model_forget(m);
        bool again = m->is_static && what % 2; /* the same instance under another id */
        m->state = ALIVE;
        m->rejoin = true;
        if (!again) {
            m->is_static = what < 8;
            snprintf(m->instance, sizeof m->instance, "i%u", model_ids);
        }
        snprintf(m->id, sizeof m->id, "m%u", model_ids++);
        m->subscription = what < 20 ? 15 : (unsigned)rand_r(seed) % 32;
    } else if (what < 2) {
        m->state = DEAD; /* says nothing more; its partitions are free when its session expired */
        return;
    } else if (what < 5) {
        m->epoch = m->is_static && what == 2 ? -2 : -1;
        m->rejoin = m->full = m->say = false;
        struct consumer_answer a;
        (void)consumer_heartbeat(
            &groups,
            &(struct consumer_heartbeat){.group_id = SLICE("g"),
                                         .member_id = slice_of(m->id),
                                         .instance_id = m->is_static ? slice_of(m->instance) : SLICE_NULL,
                                         .epoch = m->epoch,
                                         .needs_member_id = true},
            &a, NULL);
        model_forget(m);
        m->state = GONE;
        return;
    } else if (what < 6) {
        m->rejoin = true; /* as after an error, maybe with another subscription */
        m->subscription = (unsigned)rand_r(seed) % 32;
    }
    model_beat(m, what >= 95 && !m->rejoin);
}

static void model_run(unsigned seed0)
{
    unsigned seed = seed0;
    memset(model, 0, sizeof model);
    for (int t = 0; t < 3; t++) fake_topic(&groups, model_topics[t], 10 + 40 * t);
    for (int step = 0; step < MODEL_STEPS; step++) {
        model_step(&seed);
        if (step % 10 == 0) model_check(seed0, step);
        if (rand_r(&seed) % 20 == 0) pass_ms(rand_r(&seed) % 3000);
        if (step == 2000) fake_topic(&groups, "d", 7);
        if (step == 3000) fake_topic(&groups, "a", 25);
        if (step == 4000) fake_topic(&groups, "b", 0);
        if (step == 4500) fake_topic(&groups, "b", 9);
        if (step % 2000 == 1999) check_replay("while it runs");
    }
    /* Peace: everybody beats, nobody else comes. The dead expire. */
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < MODEL_MEMBERS; i++)
            if (model[i].state == ALIVE) model_beat(&model[i], false);
        model_check(seed0, MODEL_STEPS + round);
        pass_ms(3000);
    }
    uint32_t appends = fake.appends;
    for (int i = 0; i < MODEL_MEMBERS; i++)
        if (model[i].state == ALIVE) model_beat(&model[i], false);
    cr_assert_eq(fake.appends, appends, "seed %u: nothing moves any more", seed0);
    cr_assert_str_eq(state(), "Stable", "seed %u", seed0);
    check_replay("in the end");
    struct partition_set all = {0};
    uint32_t alive = 0;
    for (int i = 0; i < MODEL_MEMBERS; i++) {
        struct consumer_member *m =
            model[i].state == ALIVE ? consumer_member_find(group(), slice_of(model[i].id)) : NULL;
        if (model[i].state != ALIVE) continue;
        alive++;
        cr_assert(m, "seed %u", seed0);
        cr_assert(partition_set_eq(&model[i].owned, &m->position.assigned), "seed %u: both sides say the same", seed0);
        cr_assert(partition_set_eq(&m->target, &m->position.assigned), "seed %u", seed0);
        for (uint32_t k = 0; k < model[i].owned.count; k++)
            partition_set_append(&all, model[i].owned.items[k].topic_id, model[i].owned.items[k].partition);
    }
    partition_set_sort(&all);
    cr_assert_eq(HASH_COUNT(group()->members), alive, "seed %u", seed0);
    cr_assert_eq(all.count, 25 + 9 + 90 + 7, "seed %u: all partitions are worked on", seed0);
    partition_set_done(&all);
    for (int i = 0; i < MODEL_MEMBERS; i++) model_forget(&model[i]);
    pass_ms(60000);
    cr_assert_str_eq(state(), "Empty", "seed %u", seed0);
    cr_assert_eq(groups_delete(&groups, SLICE("g")), KAFKA_NONE);
    cr_assert_eq(groups.bytes, 0, "seed %u: %zu bytes stay", seed0, groups.bytes);
}

Test(group_consumer_model, a_random_model_of_200_members)
{
    const char *given = getenv("OTTLA_TEST_SEED");
    unsigned seed = given ? (unsigned)atoi(given) : 848;
    for (int i = 0; i < (given ? 1 : 3); i++) {
        model_run(seed + (unsigned)i);
        stop();
        start();
    }
}
