/* What all groups may take of memory, and what one may subscribe. */
#include "broker/limits.h"
#include "tests/unit/broker/classic_client.h"

TestSuite(group_memory, .init = start, .fini = stop);

/* Leaves so much room for all groups. */
static size_t fill_memory(size_t room)
{
    size_t added = GROUPS_BYTES_MAX - room - groups.bytes;
    groups.bytes += added;
    return added;
}

Test(group_memory, memory_of_all_groups_bounds_newcomers_also_those_with_an_id)
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

Test(group_memory, memory_of_all_groups_bounds_what_members_bring_when_they_join_again)
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

Test(group_memory, memory_of_all_groups_bounds_assignments)
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

Test(group_memory, subscribed_topics_count_and_too_many_cannot_be_told)
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
