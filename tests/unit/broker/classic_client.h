/* Clients of the classic protocol in the group "g", for its unit tests: what they send, and the last answers. */
#ifndef OTTLA_TEST_CLASSIC_CLIENT_H
#define OTTLA_TEST_CLASSIC_CLIENT_H

#include "broker/group/group_classic.h"
#include "tests/unit/broker/fake_group_host.h"

static struct groups groups;

static inline void start(void)
{
    fake_start(&groups);
    groups.config.initial_rebalance_delay_ms = 0;
}

static inline void stop(void)
{
    /* What is still parked belongs to clients on the stack of a test that is over. */
    for (struct group *g = groups.by_id; g; g = g->hh.next)
        for (struct classic_member *m = classic_group_of(g)->members; m; m = m->hh.next) m->join = NULL, m->sync = NULL;
    fake_stop(&groups);
}

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

static inline void text(char *to, struct slice s)
{
    snprintf(to, 80, SLICE_FMT, SLICE_ARG(s));
}

static inline void on_join(struct classic_join_call *call, const struct classic_join_answer *a)
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

static inline void on_sync(struct classic_sync_call *call, const struct classic_sync_answer *a)
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

static inline struct classic_join join_of(const struct client *c)
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

static inline void join_as(struct client *c, const struct classic_join *in)
{
    c->join_call.answer = on_join;
    c->sync_call.answer = on_sync;
    classic_join(&groups, in, &c->join_call);
}

static inline void join(struct client *c)
{
    struct classic_join in = join_of(c);
    join_as(c, &in);
}

/* With both steps of KIP-394. */
static inline void join_first(struct client *c)
{
    join(c);
    if (c->instance) return;
    cr_assert_eq(c->join_error, KAFKA_MEMBER_ID_REQUIRED);
    join(c);
}

static inline void sync_with(struct client *c, const struct classic_assignment *assignments, int32_t count)
{
    struct classic_sync in = {.group_id = SLICE("g"),
                              .member_id = slice_of(c->id),
                              .instance_id = slice_of(c->instance),
                              .generation_id = c->generation_id,
                              .assignments = assignments,
                              .assignments_count = count};
    classic_sync(&groups, &in, &c->sync_call);
}

static inline void sync_up(struct client *c)
{
    sync_with(c, NULL, 0);
}

/* The leader gives everybody "for <id>". */
static inline void sync_leader(struct client *leader, struct client **all, int count)
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

static inline enum kafka_error beat(struct client *c)
{
    return classic_heartbeat(&groups, SLICE("g"),
                             &(struct group_caller){.member_id = slice_of(c->id),
                                                    .instance_id = slice_of(c->instance),
                                                    .generation_id = c->generation_id});
}

static inline enum kafka_error leave(struct client *c)
{
    struct classic_leave l = {.member_id = slice_of(c->id), .instance_id = slice_of(c->instance)};
    classic_leave(&groups, SLICE("g"), &l, 1);
    return l.error;
}

static inline struct classic_group *group(void)
{
    return classic_group_of(groups_find(&groups, SLICE("g")));
}

static inline const char *state(void)
{
    struct group *g = groups_find(&groups, SLICE("g"));
    return g ? g->type->state_name(g) : "Dead";
}

#define expect_state(name) cr_expect_str_eq(state(), name)

/* All of them in one stable generation, in this order. */
static inline void stable(struct client **all, int count)
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

#endif
