/* Assignors: what they promise for any members, subscriptions and earlier assignments (random, with a printed seed),
 * and what Kafka's give for small examples. */
#include "broker/group/assignor.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define MEMBERS_MAX 24
#define TOPICS_MAX  8

/* -- a group -- */

static struct assignor_topic topics[TOPICS_MAX];
static struct assignor_member members[MEMBERS_MAX];
static uint32_t subscriptions[MEMBERS_MAX][TOPICS_MAX];
static char ids[MEMBERS_MAX][16];
static struct partition_set current[MEMBERS_MAX], result[MEMBERS_MAX];
static struct assignor_input in;

static struct uuid topic_id(uint32_t t)
{
    return (struct uuid){{(uint8_t)(t + 1)}};
}

static void setup(uint32_t members_count, uint32_t topics_count, const int32_t *partitions)
{
    in = (struct assignor_input){.topics = topics,
                                 .topics_count = topics_count,
                                 .members = members,
                                 .members_count = members_count,
                                 .same_topics = true};
    for (uint32_t t = 0; t < topics_count; t++)
        topics[t] = (struct assignor_topic){.id = topic_id(t), .partitions_count = partitions[t]};
    for (uint32_t m = 0; m < members_count; m++) {
        snprintf(ids[m], sizeof ids[m], "m%02u", m);
        for (uint32_t t = 0; t < topics_count; t++) subscriptions[m][t] = t;
        members[m] = (struct assignor_member){.id = slice_of(ids[m]),
                                              .instance_id = SLICE_NULL,
                                              .topics = subscriptions[m],
                                              .topics_count = topics_count,
                                              .current = &current[m]};
    }
}

static void subscribe(uint32_t m, uint32_t bits)
{
    members[m].topics_count = 0;
    for (uint32_t t = 0; t < in.topics_count; t++)
        if (bits >> t & 1) subscriptions[m][members[m].topics_count++] = t;
    in.same_topics = false;
}

static bool subscribes(uint32_t m, uint32_t topic)
{
    for (uint32_t k = 0; k < members[m].topics_count; k++)
        if (members[m].topics[k] == topic) return true;
    return false;
}

static void run(const struct assignor *a)
{
    for (uint32_t m = 0; m < MEMBERS_MAX; m++) partition_set_done(&result[m]);
    a->assign(&in, result);
}

/* The result becomes what the members have. */
static void settle(void)
{
    for (uint32_t m = 0; m < MEMBERS_MAX; m++) {
        partition_set_done(&current[m]);
        current[m] = result[m];
        result[m] = (struct partition_set){0};
    }
}

static void stop(void)
{
    for (uint32_t m = 0; m < MEMBERS_MAX; m++) {
        partition_set_done(&current[m]);
        partition_set_done(&result[m]);
    }
}

TestSuite(assignor, .fini = stop);

/* "0:0 0:1 1:0": topic and partition. */
static const char *text(const struct partition_set *s)
{
    static char buffer[4][1024];
    static int next;
    char *to = buffer[next++ % 4];
    size_t at = 0;
    to[0] = 0;
    for (uint32_t i = 0; i < s->count && at < 1000; i++)
        at += (size_t)snprintf(to + at, 1024 - at, "%s%d:%d", i ? " " : "", s->items[i].topic_id.bytes[0] - 1,
                               s->items[i].partition);
    return to;
}

/* Each partition that somebody subscribes has exactly one owner, who subscribes it; sets are sorted. */
static void check_owners(unsigned seed)
{
    for (uint32_t t = 0; t < in.topics_count; t++) {
        bool wanted = false;
        for (uint32_t m = 0; m < in.members_count; m++) wanted |= subscribes(m, t);
        for (int32_t p = 0; p < topics[t].partitions_count; p++) {
            int owners = 0;
            for (uint32_t m = 0; m < in.members_count; m++) {
                if (!partition_set_has(&result[m], topics[t].id, p)) continue;
                owners++;
                cr_assert(subscribes(m, t), "seed %u: %u owns %u:%d and does not subscribe it", seed, m, t, p);
            }
            cr_assert_eq(owners, wanted, "seed %u: %u:%d has %d owners", seed, t, p, owners);
        }
    }
    for (uint32_t m = 0; m < in.members_count; m++) {
        for (uint32_t i = 1; i < result[m].count; i++)
            cr_assert_lt(topic_partition_compare(&result[m].items[i - 1], &result[m].items[i]), 0);
        for (uint32_t i = 0; i < result[m].count; i++)
            cr_assert_lt(result[m].items[i].partition,
                         topics[result[m].items[i].topic_id.bytes[0] - 1].partitions_count);
    }
}

static uint32_t kept_count(void)
{
    uint32_t kept = 0;
    for (uint32_t m = 0; m < in.members_count; m++) {
        struct partition_set both = partition_set_intersection(&current[m], &result[m]);
        kept += both.count;
        partition_set_done(&both);
    }
    return kept;
}

static int32_t random_partitions[TOPICS_MAX];
static void random_setup(unsigned *seed, bool same)
{
    uint32_t topics_count = 1 + (uint32_t)rand_r(seed) % TOPICS_MAX;
    for (uint32_t t = 0; t < topics_count; t++) random_partitions[t] = 1 + rand_r(seed) % 20;
    setup(1 + (uint32_t)rand_r(seed) % MEMBERS_MAX, topics_count, random_partitions);
    for (uint32_t m = 0; !same && m < in.members_count; m++) subscribe(m, (uint32_t)rand_r(seed));
}

/* Partitions of all sorts at random members: too many at some, some of topics that are gone or not subscribed. */
static void random_current(unsigned *seed)
{
    for (uint32_t m = 0; m < MEMBERS_MAX; m++) partition_set_done(&current[m]);
    for (uint32_t t = 0; t < TOPICS_MAX; t++)
        for (int32_t p = 0; p < 22; p++) {
            uint32_t m = (uint32_t)rand_r(seed) % (in.members_count * 2);
            if (m < in.members_count) partition_set_append(&current[m * m / in.members_count], topic_id(t), p);
        }
    for (uint32_t m = 0; m < MEMBERS_MAX; m++) partition_set_sort(&current[m]);
}

/* -- uniform -- */

Test(assignor, uniform_with_the_same_topics_is_even_and_keeps_all_that_evenness_allows)
{
    for (unsigned round = 0; round < 500; round++) {
        unsigned seed = round;
        random_setup(&seed, true);
        random_current(&seed);
        run(&assignor_uniform);
        check_owners(round);
        uint32_t sum = 0, keepable = 0, extra_wanted = 0;
        for (uint32_t t = 0; t < in.topics_count; t++) sum += (uint32_t)topics[t].partitions_count;
        uint32_t quota = sum / in.members_count, extra = sum % in.members_count;
        for (uint32_t m = 0; m < in.members_count; m++) {
            uint32_t had = 0;
            cr_assert(result[m].count == quota || result[m].count == quota + 1, "seed %u", round);
            for (uint32_t i = 0; i < current[m].count; i++) {
                uint32_t t = current[m].items[i].topic_id.bytes[0] - 1u;
                had += t < in.topics_count && current[m].items[i].partition < topics[t].partitions_count;
            }
            keepable += MIN(had, quota);
            extra_wanted += had > quota;
        }
        cr_assert_eq(kept_count(), keepable + MIN(extra, extra_wanted), "seed %u: as few moves as possible", round);
    }
}

Test(assignor, uniform_is_stable_and_a_newcomer_only_takes)
{
    for (unsigned round = 0; round < 200; round++) {
        unsigned seed = round;
        random_setup(&seed, round % 2);
        random_current(&seed);
        run(&assignor_uniform);
        settle();
        run(&assignor_uniform);
        for (uint32_t m = 0; m < in.members_count; m++)
            cr_assert(partition_set_eq(&current[m], &result[m]), "seed %u: nothing changed, nothing moves", round);
        if (!in.same_topics || in.members_count == MEMBERS_MAX) continue;
        uint32_t before = in.members_count;
        setup(before + 1, in.topics_count, random_partitions);
        run(&assignor_uniform);
        for (uint32_t m = 0; m < before; m++)
            cr_assert(partition_set_is_subset(&result[m], &current[m]), "seed %u: only the newcomer gets", round);
    }
}

Test(assignor, uniform_with_different_topics_leaves_no_move_that_would_even_out)
{
    for (unsigned round = 0; round < 500; round++) {
        unsigned seed = round;
        random_setup(&seed, false);
        random_current(&seed);
        run(&assignor_uniform);
        check_owners(round);
        for (uint32_t m = 0; m < in.members_count; m++)
            for (uint32_t i = 0; i < result[m].count; i++)
                for (uint32_t other = 0; other < in.members_count; other++)
                    if (subscribes(other, result[m].items[i].topic_id.bytes[0] - 1u))
                        cr_assert_leq(result[m].count, result[other].count + 1, "seed %u: %u has %u, %u has %u", round,
                                      m, result[m].count, other, result[other].count);
    }
}

Test(assignor, uniform_examples)
{
    setup(2, 2, (const int32_t[]){3, 2});
    run(&assignor_uniform);
    cr_expect_str_eq(text(&result[0]), "0:0 0:1"); /* what does not come out even goes to the last ones */
    cr_expect_str_eq(text(&result[1]), "0:2 1:0 1:1");
    settle();
    setup(3, 2, (const int32_t[]){3, 2}); /* one joins: what another has beyond its quota moves */
    run(&assignor_uniform);
    cr_expect_str_eq(text(&result[0]), "0:0 0:1");
    cr_expect_str_eq(text(&result[1]), "0:2 1:0");
    cr_expect_str_eq(text(&result[2]), "1:1");
    setup(2, 1, (const int32_t[]){0});
    run(&assignor_uniform);
    cr_expect_eq(result[0].count + result[1].count, 0, "a topic without partitions");
    setup(0, 1, (const int32_t[]){3});
    run(&assignor_uniform); /* nobody: nothing to do */
}

/* -- range -- */

Test(assignor, range_gives_neighbours_in_the_order_of_ids)
{
    setup(3, 2, (const int32_t[]){4, 4});
    members[2].instance_id = SLICE("a"); /* static members come first */
    run(&assignor_range);
    cr_expect_str_eq(text(&result[2]), "0:0 0:1 1:0 1:1");
    cr_expect_str_eq(text(&result[0]), "0:2 1:2");
    cr_expect_str_eq(text(&result[1]), "0:3 1:3");
    subscribe(2, 2);
    run(&assignor_range);
    cr_expect_str_eq(text(&result[2]), "1:0 1:1");
    cr_expect_str_eq(text(&result[0]), "0:0 0:1 1:2");
    cr_expect_str_eq(text(&result[1]), "0:2 0:3 1:3");
}

Test(assignor, range_promises)
{
    for (unsigned round = 0; round < 300; round++) {
        unsigned seed = round;
        random_setup(&seed, round % 2);
        random_current(&seed);
        run(&assignor_range);
        check_owners(round);
        for (uint32_t m = 0; m < in.members_count; m++)
            for (uint32_t i = 1; i < result[m].count; i++)
                if (uuid_eq(result[m].items[i].topic_id, result[m].items[i - 1].topic_id))
                    cr_assert_eq(result[m].items[i].partition, result[m].items[i - 1].partition + 1, "seed %u", round);
    }
}

/* -- share groups -- */

Test(assignor, simple_gives_one_member_everything)
{
    setup(1, 2, (const int32_t[]){2, 3});
    run(&assignor_simple);
    cr_expect_str_eq(text(&result[0]), "0:0 0:1 1:0 1:1 1:2");
}

Test(assignor, simple_begins_at_the_hash_of_the_id)
{
    /* Java: "m00".hashCode() % 3 = 1, "m01" 2, "m02" 0, "m03" 1. */
    setup(4, 1, (const int32_t[]){3});
    run(&assignor_simple);
    cr_expect_str_eq(text(&result[0]), "0:1");
    cr_expect_str_eq(text(&result[1]), "0:2");
    cr_expect_str_eq(text(&result[2]), "0:0");
    cr_expect_str_eq(text(&result[3]), "0:1", "several members may have one partition");
}

Test(assignor, simple_promises)
{
    for (unsigned round = 0; round < 600; round++) {
        unsigned seed = round;
        struct partition_set assignable = {0};
        random_setup(&seed, round % 2);
        random_current(&seed);
        for (uint32_t t = 0; t < in.topics_count; t++)
            for (int32_t p = 0; p < in.topics[t].partitions_count; p++)
                if (rand_r(&seed) % 3) partition_set_append(&assignable, in.topics[t].id, p);
        partition_set_sort(&assignable);
        in.assignable = round % 3 ? &assignable : NULL;
        run(&assignor_simple);
        for (uint32_t t = 0; t < in.topics_count; t++) {
            uint32_t subscribers = 0;
            for (uint32_t m = 0; m < in.members_count; m++) subscribers += subscribes(m, t);
            for (int32_t p = 0; p < in.topics[t].partitions_count; p++) {
                uint32_t owners = 0;
                for (uint32_t m = 0; m < in.members_count; m++) {
                    bool owns = partition_set_has(&result[m], in.topics[t].id, p);
                    cr_assert(!owns || subscribes(m, t), "seed %u: member %u has %u:%d", round, m, t, p);
                    owners += owns;
                }
                bool may = !in.assignable || partition_set_has(&assignable, in.topics[t].id, p);
                cr_assert(may ? owners > 0 || !subscribers : !owners, "seed %u: %u:%d has %u members", round, t, p,
                          owners);
            }
        }
        partition_set_done(&assignable);
    }
}

Test(assignor, are_found_by_name)
{
    cr_expect_eq(assignor_find(SLICE("uniform")), &assignor_uniform);
    cr_expect_eq(assignor_find(SLICE("range")), &assignor_range);
    cr_expect_null(assignor_find(SLICE("")));
    cr_expect_null(assignor_find(SLICE("Uniform")));
}

/* -- the sets themselves -- */

Test(assignor, sets_are_sets)
{
    struct partition_set a = {0}, b = {0}, empty = {0};
    for (int32_t p = 9; p >= 0; p--) {
        partition_set_append(&a, topic_id((uint32_t)p % 2), p);
        partition_set_append(&a, topic_id((uint32_t)p % 2), p);
        if (p > 3) partition_set_append(&b, topic_id((uint32_t)p % 2), p);
    }
    partition_set_append(&b, topic_id(7), 1);
    partition_set_sort(&a);
    partition_set_sort(&b);
    cr_expect_str_eq(text(&a), "0:0 0:2 0:4 0:6 0:8 1:1 1:3 1:5 1:7 1:9");
    cr_expect_eq(partition_set_topic_end(&a, 0), 5);
    cr_expect_eq(partition_set_topic_end(&a, 5), 10);
    struct partition_set both = partition_set_intersection(&a, &b), minus = partition_set_minus(&a, &b),
                         all = partition_set_union(&a, &b), copy = partition_set_copy(&a);
    cr_expect_str_eq(text(&minus), "0:0 0:2 1:1 1:3");
    cr_expect_str_eq(text(&both), "0:4 0:6 0:8 1:5 1:7 1:9");
    cr_expect_eq(all.count, 11);
    cr_expect(partition_set_eq(&copy, &a));
    cr_expect_not(partition_set_eq(&a, &b));
    cr_expect(partition_set_is_subset(&both, &a) && partition_set_is_subset(&empty, &empty));
    cr_expect_not(partition_set_is_subset(&b, &a));
    cr_expect(partition_set_overlaps(&a, &b));
    cr_expect_not(partition_set_overlaps(&minus, &b));
    cr_expect_not(partition_set_has(&empty, topic_id(0), 0));
    partition_set_done(&a);
    partition_set_done(&b);
    partition_set_done(&both);
    partition_set_done(&minus);
    partition_set_done(&all);
    partition_set_done(&copy);
}
