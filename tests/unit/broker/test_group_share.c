/* Share groups without network and disk: a clock that the test moves, topics that it makes, a log that is the list of
 * the types of its records. */
#include "base/log.h"
#include "broker/share/group_share.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define TOPICS_MAX 4

static struct {
    struct group_host host;
    struct clock clock;
    int64_t now_ms;
    struct group_timer *timers[64];
    int64_t ends_ms[64];
    int timers_count;
    char log[512]; /* "10 11 ", tombstones with '-' before */
    enum kafka_error append_error;
    struct {
        char name[8];
        int32_t partitions_count;
    } topics[TOPICS_MAX];
    int topics_count;
    int looks;                  /* at topics */
    struct partition_set asked; /* of share_initialize */
    bool initialize_later;
} fake;

static struct groups groups;
static struct err err;
static struct share_answer answer;

static int64_t fake_us(const struct clock *c)
{
    return fake.now_ms * 1000;
}

static void fake_timer_stop(struct group_host *h, struct group_timer *t)
{
    t->running = false;
    for (int i = 0; i < fake.timers_count; i++)
        if (fake.timers[i] == t) {
            fake.timers[i] = fake.timers[--fake.timers_count];
            fake.ends_ms[i] = fake.ends_ms[fake.timers_count];
            return;
        }
}

static void fake_timer_start(struct group_host *h, struct group_timer *t, int64_t delay_ms)
{
    if (t->running) fake_timer_stop(h, t);
    t->running = true;
    fake.timers[fake.timers_count] = t;
    fake.ends_ms[fake.timers_count++] = fake.now_ms + delay_ms;
}

static void pass(int64_t ms)
{
    fake.now_ms += ms;
    for (int i = 0; i < fake.timers_count; i++) {
        struct group_timer *t = fake.timers[i];
        if (fake.ends_ms[i] > fake.now_ms) continue;
        fake_timer_stop(&fake.host, t);
        t->fire(t);
        i = -1;
    }
}

static enum kafka_error fake_append(struct group_host *h, struct group *g, const struct group_change *changes,
                                    uint32_t count)
{
    if (fake.append_error != KAFKA_NONE) return fake.append_error;
    for (uint32_t i = 0; i < count; i++) {
        size_t len = strlen(fake.log);
        cr_assert_eq(changes[i].type, GROUP_CHANGE_SHARE);
        snprintf(fake.log + len, sizeof fake.log - len, "%s%d ", changes[i].share->value ? "" : "-",
                 changes[i].share->type);
    }
    return KAFKA_NONE;
}

static struct uuid topic_id(int i)
{
    return (struct uuid){{(uint8_t)(i + 1)}};
}

static bool fill_topic(int i, struct group_topic *ret)
{
    *ret = (struct group_topic){slice_of(fake.topics[i].name), topic_id(i), fake.topics[i].partitions_count};
    return true;
}

static bool fake_topic_by_name(struct group_host *h, struct slice name, struct group_topic *ret)
{
    fake.looks++;
    for (int i = 0; i < fake.topics_count; i++)
        if (slice_eq_text(name, fake.topics[i].name)) return fill_topic(i, ret);
    return false;
}

static bool fake_topic_by_id(struct group_host *h, struct uuid id, struct group_topic *ret)
{
    for (int i = 0; i < fake.topics_count; i++)
        if (uuid_eq(id, topic_id(i))) return fill_topic(i, ret);
    return false;
}

static void fake_options(struct group_host *h, struct slice group_id, struct group_options *ret) {}

static void fake_initialize(struct group_host *h, struct group *g, const struct partition_set *partitions,
                            int32_t state_epoch)
{
    partition_set_done(&fake.asked);
    fake.asked = partition_set_copy(partitions);
    if (!fake.initialize_later) share_group_initialized(&groups, group_id(g), partitions, true);
}

static void add_topic(const char *name, int32_t partitions_count)
{
    snprintf(fake.topics[fake.topics_count].name, sizeof fake.topics[0].name, "%s", name);
    fake.topics[fake.topics_count++].partitions_count = partitions_count;
}

static void setup(void)
{
    log_level_max = LOG_ERROR;
    memset(&fake, 0, sizeof fake);
    fake.clock = (struct clock){fake_us, fake_us};
    fake.host = (struct group_host){.clock = &fake.clock,
                                    .timer_start = fake_timer_start,
                                    .timer_stop = fake_timer_stop,
                                    .append = fake_append,
                                    .topic_by_name = fake_topic_by_name,
                                    .topic_by_id = fake_topic_by_id,
                                    .options = fake_options,
                                    .share_initialize = fake_initialize};
    groups_init(&groups, &fake.host);
    add_topic("t", 3);
}

static void teardown(void)
{
    groups_done(&groups);
    cr_expect_eq(groups.bytes, 0, "%zu bytes are still counted", groups.bytes);
    partition_set_done(&fake.asked);
}

TestSuite(group_share, .init = setup, .fini = teardown);

static enum kafka_error beat(const char *member, int32_t epoch, const char *topic)
{
    struct slice name = slice_of(topic);
    fake.log[0] = 0;
    return share_heartbeat(&groups,
                           &(struct share_heartbeat){.group_id = SLICE("g"),
                                                     .member_id = slice_of(member),
                                                     .epoch = epoch,
                                                     .client_id = SLICE("c"),
                                                     .client_host = SLICE("/127.0.0.1"),
                                                     .topics = &name,
                                                     .topics_count = topic ? 1 : -1},
                           &answer, &err);
}

static struct share_group *group(void)
{
    return share_group_of(groups_find(&groups, SLICE("g")));
}

Test(group_share, the_first_join_initializes_and_the_next_beat_assigns)
{
    cr_assert_eq(beat("a", 0, "t"), KAFKA_NONE);
    cr_expect_eq(answer.epoch, 1);
    cr_expect_str_eq(fake.log, "10 11 12 14 15 15 ", "%s", fake.log);
    cr_assert_not_null(answer.assignment);
    cr_expect_eq(answer.assignment->count, 0);
    cr_expect_eq(fake.asked.count, 3);
    cr_expect_eq(group()->initialized.count, 3);
    cr_expect_eq(group()->initializing.count, 0);

    cr_assert_eq(beat("a", 1, NULL), KAFKA_NONE);
    cr_expect_eq(answer.epoch, 2);
    cr_expect_str_eq(fake.log, "11 13 12 14 ", "%s", fake.log);
    cr_assert_not_null(answer.assignment);
    cr_expect_eq(answer.assignment->count, 3);

    cr_assert_eq(beat("a", 2, NULL), KAFKA_NONE);
    cr_expect_null(answer.assignment);
    cr_expect_str_eq(fake.log, "");
    cr_expect_str_eq(group()->group.type->state_name(&group()->group), "Stable");
}

Test(group_share, a_heartbeat_in_a_group_at_rest_looks_at_no_topic)
{
    cr_assert_eq(beat("a", 0, "t"), KAFKA_NONE);
    cr_assert_eq(beat("a", 1, NULL), KAFKA_NONE);
    cr_assert_eq(answer.epoch, 2);
    fake.looks = 0;
    cr_assert_eq(beat("a", 2, NULL), KAFKA_NONE);
    cr_assert_eq(beat("a", 2, "t"), KAFKA_NONE);
    cr_expect_eq(fake.looks, 0);
    share_topic_changed(&groups);
    cr_assert_eq(beat("a", 2, NULL), KAFKA_NONE);
    cr_expect_gt(fake.looks, 0);
}

Test(group_share, many_names_are_compared_at_once, .timeout = 10)
{
    enum { MANY = 200000 };
    struct slice *names = xcalloc(MANY, sizeof *names);
    char(*texts)[12] = xcalloc(MANY, sizeof *texts);

    for (int i = 0; i < MANY; i++) {
        snprintf(texts[i], sizeof texts[i], "n%d", (int)((int64_t)i * 7919 % (MANY - 1))); /* one stands twice */
        names[i] = slice_of(texts[i]);
    }
    struct share_heartbeat in = {.group_id = SLICE("g"),
                                 .member_id = SLICE("a"),
                                 .client_id = SLICE("c"),
                                 .client_host = SLICE("/127.0.0.1"),
                                 .topics = names,
                                 .topics_count = MANY};
    cr_assert_eq(share_heartbeat(&groups, &in, &answer, &err), KAFKA_NONE);
    in.epoch = answer.epoch;
    cr_expect_eq(group()->members->topics_count, MANY - 1);
    fake.log[0] = 0;
    cr_assert_eq(share_heartbeat(&groups, &in, &answer, &err), KAFKA_NONE);
    cr_expect_str_eq(fake.log, "", "nothing changed: %s", fake.log);
    free(names);
    free(texts);
}

Test(group_share, an_earlier_epoch_is_taken_once_others_are_fenced)
{
    cr_assert_eq(beat("a", 0, "t"), KAFKA_NONE);
    cr_assert_eq(beat("a", 1, NULL), KAFKA_NONE);
    cr_expect_eq(beat("a", 1, NULL), KAFKA_NONE, "the answer may have been lost");
    cr_expect_eq(beat("a", 3, NULL), KAFKA_FENCED_MEMBER_EPOCH);
    cr_assert_eq(beat("b", 0, "t"), KAFKA_NONE);
    cr_assert_eq(beat("a", 2, NULL), KAFKA_NONE);
    cr_expect_eq(answer.epoch, 3);
    cr_expect_eq(beat("a", 1, NULL), KAFKA_FENCED_MEMBER_EPOCH);
    cr_expect_eq(beat("nobody", 1, NULL), KAFKA_UNKNOWN_MEMBER_ID);
}

Test(group_share, all_partitions_have_members)
{
    char name[4];
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "m%d", i);
        cr_assert_eq(beat(name, 0, "t"), KAFKA_NONE);
    }
    struct partition_set all = {0};
    for (struct share_member *m = group()->members; m; m = m->hh.next) {
        struct partition_set sum = partition_set_union(&all, &m->target);
        cr_expect_geq(m->target.count, 1);
        partition_set_done(&all);
        all = sum;
    }
    cr_expect_eq(all.count, 3);
    partition_set_done(&all);
}

Test(group_share, a_session_ends)
{
    cr_assert_eq(beat("a", 0, "t"), KAFKA_NONE);
    cr_assert_eq(beat("b", 0, "t"), KAFKA_NONE);
    pass(30000);
    cr_assert_eq(beat("b", answer.epoch, NULL), KAFKA_NONE);
    fake.log[0] = 0;
    pass(15000);
    cr_expect_str_eq(fake.log, "-14 -13 -10 11 ", "%s", fake.log);
    cr_expect_eq(HASH_COUNT(group()->members), 1);
    cr_assert_eq(beat("b", answer.epoch, NULL), KAFKA_NONE);
    cr_expect_eq(group()->members->assigned.count, 3);
    cr_assert_eq(beat("b", -1, NULL), KAFKA_NONE);
    cr_expect_eq(answer.epoch, -1);
    cr_expect_str_eq(group()->group.type->state_name(&group()->group), "Empty");
    groups_expire(&groups);
    cr_expect_not_null(group(), "a share group stays until it is deleted");
}

Test(group_share, new_partitions_and_topics_are_initialized_and_assigned)
{
    cr_assert_eq(beat("a", 0, "t"), KAFKA_NONE);
    cr_assert_eq(beat("a", 1, NULL), KAFKA_NONE);
    fake.topics[0].partitions_count = 4;
    share_topic_changed(&groups);
    cr_assert_eq(beat("a", 2, NULL), KAFKA_NONE);
    cr_expect_eq(fake.asked.count, 1);
    cr_assert_eq(beat("a", 3, NULL), KAFKA_NONE);
    cr_assert_not_null(answer.assignment);
    cr_expect_eq(answer.assignment->count, 4);

    share_topic_deleted(&groups, topic_id(0));
    cr_expect_eq(group()->initialized.count, 0);
    fake.topics_count = 0;
    cr_assert_eq(beat("a", 4, NULL), KAFKA_NONE);
    cr_assert_not_null(answer.assignment);
    cr_expect_eq(answer.assignment->count, 0);
    cr_assert_eq(beat("a", 5, NULL), KAFKA_NONE);
    cr_expect_eq(answer.epoch, 5, "the group is at rest");
}

Test(group_share, a_topic_that_is_not_subscribed_any_more_keeps_its_state_and_the_group_at_rest)
{
    add_topic("u", 1);
    cr_assert_eq(beat("a", 0, "t"), KAFKA_NONE);
    cr_assert_eq(beat("a", 1, "u"), KAFKA_NONE);
    cr_assert_eq(beat("a", 2, NULL), KAFKA_NONE);
    cr_assert_not_null(answer.assignment);
    cr_expect_eq(answer.assignment->count, 1);
    cr_expect_eq(group()->initialized.count, 4);
    int32_t epoch = answer.epoch;
    cr_assert_eq(beat("a", epoch, NULL), KAFKA_NONE);
    cr_expect_eq(answer.epoch, epoch);
}

Test(group_share, initializing_that_failed_is_tried_again)
{
    fake.initialize_later = true;
    cr_assert_eq(beat("a", 0, "t"), KAFKA_NONE);
    cr_expect_eq(group()->initializing.count, 3);
    partition_set_done(&fake.asked);
    cr_assert_eq(beat("a", 1, NULL), KAFKA_NONE);
    cr_expect_eq(fake.asked.count, 0, "it is under way");
    struct partition_set all = partition_set_copy(&group()->initializing);
    share_group_initialized(&groups, SLICE("g"), &all, false);
    cr_expect_eq(group()->initializing.count, 0);
    cr_assert_eq(beat("a", 1, NULL), KAFKA_NONE);
    cr_expect_eq(fake.asked.count, 3);
    share_group_initialized(&groups, SLICE("nobody"), &all, true);
    partition_set_done(&all);
}

Test(group_share, what_cannot_be_appended_did_not_happen)
{
    fake.append_error = KAFKA_COORDINATOR_NOT_AVAILABLE;
    cr_expect_eq(beat("a", 0, "t"), KAFKA_COORDINATOR_NOT_AVAILABLE);
    cr_expect_null(group());
    fake.append_error = KAFKA_NONE;
    cr_assert_eq(beat("a", 0, "t"), KAFKA_NONE);
    fake.append_error = KAFKA_COORDINATOR_NOT_AVAILABLE;
    cr_expect_eq(beat("a", -1, NULL), KAFKA_COORDINATOR_NOT_AVAILABLE);
    cr_expect_eq(HASH_COUNT(group()->members), 1);
    pass(45000);
    cr_expect_eq(HASH_COUNT(group()->members), 1, "its end is tried again");
    fake.append_error = KAFKA_NONE;
    pass(45000);
    cr_expect_eq(HASH_COUNT(group()->members), 0);
}

Test(group_share, is_deleted_when_empty)
{
    cr_assert_eq(beat("a", 0, "t"), KAFKA_NONE);
    cr_expect_eq(groups_delete(&groups, SLICE("g")), KAFKA_NON_EMPTY_GROUP);
    cr_assert_eq(beat("a", -1, NULL), KAFKA_NONE);
    fake.log[0] = 0;
    cr_expect_eq(groups_delete(&groups, SLICE("g")), KAFKA_NONE);
    cr_expect_str_eq(fake.log, "-12 -15 -11 ");
    cr_expect_null(group());
    cr_expect_eq(beat("a", 1, NULL), KAFKA_GROUP_ID_NOT_FOUND);
}

Test(group_share, its_size_is_limited)
{
    groups.config.share_size_max = 1;
    cr_assert_eq(beat("a", 0, "t"), KAFKA_NONE);
    cr_expect_eq(beat("b", 0, "t"), KAFKA_GROUP_MAX_SIZE_REACHED);
    cr_expect_eq(beat("a", 1, NULL), KAFKA_NONE);
}
