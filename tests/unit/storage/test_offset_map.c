/* The map of a pass: newest offset of a key, in memory that has a bound. */
#include "storage/offset_map.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct slice key_of(char text[16], uint32_t i)
{
    snprintf(text, 16, "key-%u", i);
    return slice_of(text);
}

Test(offset_map, gives_the_offset_that_was_put_last)
{
    struct offset_map m;
    char text[16];
    cr_assert_eq(offset_map_init(&m, 10001, UINT64_MAX, 0.9), 0);
    for (uint32_t round = 0; round < 3; round++)
        for (uint32_t i = 0; i < 10000; i++) cr_assert(offset_map_put(&m, key_of(text, i), round * 10000 + i));
    cr_assert_eq(m.count, 10000);
    for (uint32_t i = 0; i < 10000; i++) cr_assert_eq(offset_map_get(&m, key_of(text, i)), 20000 + i);
    for (uint32_t i = 10000; i < 20000; i++) cr_assert_eq(offset_map_get(&m, key_of(text, i)), -1);
    cr_assert_eq(offset_map_get(&m, SLICE("")), -1);
    cr_assert(offset_map_put(&m, SLICE(""), 5));
    cr_assert_eq(offset_map_get(&m, SLICE("")), 5);
    offset_map_done(&m);
}

Test(offset_map, takes_no_more_memory_than_it_may_and_says_when_it_is_full)
{
    struct offset_map m;
    char text[16];
    uint32_t i = 0;
    cr_assert_eq(offset_map_init(&m, 1000000, 24000, 0.9), 0);
    cr_assert_leq(m.slots_count * OFFSET_MAP_SLOT_BYTES, 24000);
    while (offset_map_put(&m, key_of(text, i), i)) i++;
    cr_assert_eq(i, 900);
    cr_assert(offset_map_put(&m, key_of(text, 7), 5000), "a key that is known always has room");
    cr_assert_eq(offset_map_get(&m, key_of(text, 7)), 5000);
    cr_assert_eq(offset_map_get(&m, key_of(text, i)), -1);
    offset_map_done(&m);
}
