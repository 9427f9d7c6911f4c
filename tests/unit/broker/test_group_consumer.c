/* Consumer groups of KIP-848 without network and disk: what Kafka 4.1 was seen to answer, the records, and a random model
 * of many members. */
#include "broker/consumer_classic.h"
#include "broker/consumer_members.h"
#include "broker/group_members.h"
#include "tests/unit/broker/fake_group_host.h"
#include "protocol/messages.h"

static struct groups groups;

static void start(void)
{
    fake_start(&groups);
    fake_topic(NULL, "t", 4);
}

static void stop(void)
{
    fake_stop(&groups);
}

TestSuite(group_consumer, .init = start, .fini = stop);

/* -- a client -- */

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

static const char *set_text(const struct partition_set *s, char to[256])
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
static struct partition_set set_of(const char *text)
{
    struct partition_set s = {0};
    for (const char *p = text; p && *p; p += strcspn(p, " "), p += *p == ' ')
        partition_set_append(&s, fake_topic_id((char[]){*p, 0}), atoi(p + 1));
    partition_set_sort(&s);
    return s;
}

static enum kafka_error send(struct client *c, struct consumer_heartbeat *h)
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

static enum kafka_error join(struct client *c)
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
static enum kafka_error beat(struct client *c, const char *owned)
{
    struct partition_set s = set_of(owned);
    enum kafka_error error = send(
        c, &(struct consumer_heartbeat){.rebalance_timeout_ms = -1, .topics_count = -1, .owned = owned ? &s : NULL});
    partition_set_done(&s);
    return error;
}

static enum kafka_error leave(struct client *c, int32_t epoch)
{
    c->epoch = epoch;
    return beat(c, NULL);
}

static struct consumer_group *group(void)
{
    return consumer_group_of(groups_find(&groups, SLICE("g")));
}

static const char *state(void)
{
    struct group *g = groups_find(&groups, SLICE("g"));
    return g ? g->type->state_name(g) : "Dead";
}

#define NEW(name) ((struct client){.id = name, .topics = {"t"}})

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

static enum kafka_error commit(const char *member, int32_t epoch, bool in_txn, bool knows_epochs)
{
    struct group *g;
    return groups_check_commit(
        &groups, SLICE("g"),
        &(struct group_caller){
            .member_id = slice_of(member), .generation_id = epoch, .in_txn = in_txn, .knows_epochs = knows_epochs},
        KAFKA_GROUP_ID_NOT_FOUND, &g);
}

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

static int16_t record_type(const struct fake_record *r)
{
    return (int16_t)be16_load(r->key.ptr);
}

static const char *types_since(uint32_t from)
{
    static char text[256];
    size_t at = 0;
    text[0] = 0;
    for (uint32_t i = from; i < fake.log_count && at < 240; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%d%s", i > from ? " " : "", record_type(&fake.log[i]),
                               fake.log[i].value.ptr ? "" : "-");
    return text;
}

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

static void expect_same(const struct groups *a, const struct groups *b, const char *what)
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

static void check_replay(const char *what)
{
    for (int compacted = 0; compacted < 2; compacted++) {
        struct groups again;
        fake_replay(&again, compacted);
        expect_same(&groups, &again, what);
        groups_done(&again);
        cr_assert_eq(again.bytes, 0, "%s: %zu", what, again.bytes);
    }
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

/* -- classic members -- */

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

Test(group_consumer, a_living_classic_group_is_upgraded_and_goes_back)
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

Test(group_consumer, classic_members_that_do_not_come_again_are_removed)
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

Test(group_consumer, upgrades_and_downgrades_obey_the_policy)
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

Test(group_consumer, what_a_consumer_group_cannot_hold_is_not_upgraded)
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

Test(group_consumer, an_empty_group_changes_its_protocol_either_way)
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

Test(group_consumer, a_static_consumer_comes_back_as_a_classic_one)
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

/* -- many members -- */

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

Test(group_consumer, a_random_model_of_200_members)
{
    const char *given = getenv("OTTLA_TEST_SEED");
    unsigned seed = given ? (unsigned)atoi(given) : 848;
    for (int i = 0; i < (given ? 1 : 3); i++) {
        model_run(seed + (unsigned)i);
        stop();
        start();
    }
}
