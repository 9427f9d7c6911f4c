/* Members of the consumer group "g", for its unit tests: what they send, the last answer, and whether a replay of the
 * log makes the same group again. */
#ifndef OTTLA_TEST_CONSUMER_CLIENT_H
#define OTTLA_TEST_CONSUMER_CLIENT_H

#include "broker/group/consumer_members.h"
#include "tests/unit/broker/fake_group_host.h"

static struct groups groups;

static inline void start(void)
{
    fake_start(&groups);
    fake_topic(NULL, "t", 4);
}

static inline void stop(void)
{
    fake_stop(&groups);
}

struct client {
    const char *id, *instance, *regex, *assignor;
    const char *topics[4]; /* until NULL */
    int32_t epoch;
    /* the last answer */
    enum kafka_error error;
    bool has_assignment;
    char assignment[256], message[300];
    int32_t interval_ms;
};

static inline const char *set_text(const struct partition_set *s, char to[256])
{
    size_t at = 0;
    to[0] = 0;
    for (uint32_t i = 0; i < s->count && at < 240; i++) {
        struct group_topic t;
        bool known = fake_topic_by_id(&fake.host, s->items[i].topic_id, &t);
        at += (size_t)snprintf(to + at, 256 - at, "%s" SLICE_FMT "%d", i ? " " : "",
                               SLICE_ARG(known ? t.name : SLICE("?")), s->items[i].partition);
    }
    return to;
}

/* "t0 t1": a set. NULL: none. */
static inline struct partition_set set_of(const char *text)
{
    struct partition_set s = {0};
    for (const char *p = text; p && *p; p += strcspn(p, " "), p += *p == ' ')
        partition_set_append(&s, fake_topic_id((char[]){*p, 0}), atoi(p + 1));
    partition_set_sort(&s);
    return s;
}

static inline enum kafka_error send(struct client *c, struct consumer_heartbeat *h)
{
    struct consumer_answer a;
    struct err err = ERR_NONE;
    h->group_id = SLICE("g");
    h->member_id = slice_of(c->id);
    h->epoch = c->epoch;
    h->needs_member_id = true;
    h->instance_id = slice_of(c->instance);
    h->client_id = SLICE("client");
    h->client_host = SLICE("/127.0.0.1");
    c->error = consumer_heartbeat(&groups, h, &a, &err);
    snprintf(c->message, sizeof c->message, "%.299s", err.text);
    c->has_assignment = a.has_assignment;
    if (c->error != KAFKA_NONE) return c->error;
    c->epoch = a.epoch;
    c->interval_ms = a.heartbeat_interval_ms;
    if (a.has_assignment) set_text(a.assignment, c->assignment);
    free(a.member_id);
    return c->error;
}

static inline enum kafka_error join(struct client *c)
{
    struct slice topics[4];
    int32_t count = 0;
    while (count < 4 && c->topics[count]) topics[count] = slice_of(c->topics[count]), count++;
    c->epoch = 0;
    return send(c, &(struct consumer_heartbeat){.rebalance_timeout_ms = 60000,
                                                .topics = topics,
                                                .topics_count = count || !c->regex ? count : -1,
                                                .regex = slice_of(c->regex),
                                                .assignor = slice_of(c->assignor),
                                                .owned = &(struct partition_set){0}});
}

/* owned: what it says that it has; NULL: nothing is said. */
static inline enum kafka_error beat(struct client *c, const char *owned)
{
    struct partition_set s = set_of(owned);
    enum kafka_error error = send(
        c, &(struct consumer_heartbeat){.rebalance_timeout_ms = -1, .topics_count = -1, .owned = owned ? &s : NULL});
    partition_set_done(&s);
    return error;
}

static inline enum kafka_error leave(struct client *c, int32_t epoch)
{
    c->epoch = epoch;
    return beat(c, NULL);
}

static inline struct consumer_group *group(void)
{
    return consumer_group_of(groups_find(&groups, SLICE("g")));
}

static inline const char *state(void)
{
    struct group *g = groups_find(&groups, SLICE("g"));
    return g ? g->type->state_name(g) : "Dead";
}

#define NEW(name) ((struct client){.id = name, .topics = {"t"}})

static inline enum kafka_error commit(const char *member, int32_t epoch, bool in_txn, bool knows_epochs)
{
    struct group *g;
    return groups_check_commit(
        &groups, SLICE("g"),
        &(struct group_caller){
            .member_id = slice_of(member), .generation_id = epoch, .in_txn = in_txn, .knows_epochs = knows_epochs},
        KAFKA_GROUP_ID_NOT_FOUND, &g);
}

/* -- the log -- */

static inline int16_t record_type(const struct fake_record *r)
{
    return (int16_t)be16_load(r->key.ptr);
}

static inline const char *types_since(uint32_t from)
{
    static char text[256];
    size_t at = 0;
    text[0] = 0;
    for (uint32_t i = from; i < fake.log_count && at < 240; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%d%s", i > from ? " " : "", record_type(&fake.log[i]),
                               fake.log[i].value.ptr ? "" : "-");
    return text;
}

static inline void expect_same(const struct groups *a, const struct groups *b, const char *what)
{
    cr_assert_eq(HASH_COUNT(a->by_id), HASH_COUNT(b->by_id), "%s", what);
    for (struct group *ga = a->by_id; ga; ga = ga->hh.next) {
        struct consumer_group *x = consumer_group_of(ga),
                              *y = consumer_group_of(groups_find((struct groups *)(uintptr_t)b, group_id(ga)));
        cr_assert(x && y, "%s", what);
        cr_assert_eq(x->epoch, y->epoch, "%s", what);
        cr_assert_eq(x->assignment_epoch, y->assignment_epoch, "%s", what);
        cr_assert_eq(x->metadata_hash, y->metadata_hash, "%s", what);
        cr_assert_eq(HASH_COUNT(x->members), HASH_COUNT(y->members), "%s", what);
        cr_assert_eq(HASH_COUNT(x->regexes), HASH_COUNT(y->regexes), "%s", what);
        for (struct consumer_member *m = x->members; m; m = m->hh.next) {
            struct consumer_member *n = consumer_member_find(y, slice_of(m->id));
            cr_assert(n, "%s: %s", what, m->id);
            cr_assert(consumer_profile_eq(&m->profile, &n->profile), "%s: %s", what, m->id);
            cr_assert(consumer_position_eq(&m->position, &n->position), "%s: %s", what, m->id);
            cr_assert(partition_set_eq(&m->target, &n->target), "%s: %s", what, m->id);
        }
    }
}

static inline void check_replay(const char *what)
{
    for (int compacted = 0; compacted < 2; compacted++) {
        struct groups again;
        fake_replay(&again, compacted);
        expect_same(&groups, &again, what);
        groups_done(&again);
        cr_assert_eq(again.bytes, 0, "%s: %zu", what, again.bytes);
    }
}

#endif
