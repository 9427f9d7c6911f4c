/* Unit tests of the base room: structures that every room stands on. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/crc32c.h"
#include "base/mailbox.h"
#include "base/murmur2.h"
#include "base/uuid.h"
#include "base/varint.h"

#include <criterion/criterion.h>

Test(crc32c, table_and_instruction_agree_and_continue)
{
    uint8_t bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 7 + 3);
    for (size_t n = 0; n < sizeof bytes; n++) cr_assert_eq(crc32c(0, bytes, n), crc32c_table(0, bytes, n));
    cr_expect_eq(crc32c(0, "123456789", 9), 0xe3069283u);
    cr_expect_eq(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283u);
}

Test(arena, refuses_beyond_its_limit_and_keeps_addresses)
{
    struct arena a;
    arena_init(&a, 10000);
    char *first = arena_printf(&a, "%s-%d", "x", 7);
    for (int i = 0; i < 100; i++) cr_assert(arena_alloc(&a, 64));
    cr_expect_str_eq(first, "x-7");
    cr_expect_null(arena_alloc(&a, 8000));
    cr_expect_null(arena_calloc(&a, SIZE_MAX / 2, 3));
    cr_expect(arena_alloc(&a, 1000));
    arena_reset(&a);
    cr_expect(arena_alloc(&a, 9000));
    arena_done(&a);
}

Test(buf, consumes_over_part_borders)
{
    struct buf b;
    struct iovec iov[8];
    buf_init(&b);
    memcpy(buf_reserve(&b, 3), "abc", 3);
    struct block *k = block_new(4);
    memcpy(k->bytes, "defg", 4);
    buf_append_slice(&b, slice_make(k->bytes, 4), k);
    block_unref(k);
    memcpy(buf_reserve(&b, 2), "hi", 2);
    cr_expect_eq(b.size, 9);
    buf_consume(&b, 4);
    int n = buf_iovec(&b, iov, 8);
    cr_assert_eq(n, 2);
    cr_expect_eq(memcmp(iov[0].iov_base, "efg", 3), 0);
    cr_expect_eq(memcmp(iov[1].iov_base, "hi", 2), 0);
    buf_consume(&b, 5);
    cr_expect_eq(b.size, 0);
    cr_expect_null(buf_first(&b));
    buf_done(&b);
}

Test(buf, takes_back_the_end_of_a_reservation)
{
    struct buf b;
    buf_init(&b);
    uint8_t *p = buf_reserve(&b, 100);
    memcpy(p, "abc", 3);
    buf_unreserve(&b, 97);
    cr_expect_eq(b.size, 3);
    cr_expect_eq(buf_reserve(&b, 2), p + 3, "the room is used again");
    buf_unreserve(&b, 2);
    buf_unreserve(&b, 3);
    cr_expect_eq(b.size, 0);
    cr_expect_null(buf_first(&b));
    memcpy(buf_reserve(&b, 1), "x", 1);
    cr_expect_eq(b.size, 1);
    buf_done(&b);
}

Test(varint, round_trips_at_the_borders)
{
    int64_t values[] = {0, 1, -1, 63, -64, 64, 8191, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < countof(values); i++) {
        uint8_t p[VARLONG_BYTES_MAX];
        int64_t back = 42;
        int n = varlong_write(p, values[i]);
        cr_expect_eq(n, varlong_size(values[i]));
        cr_expect_eq(varlong_read(p, p + n, &back), n);
        cr_expect_eq(back, values[i]);
        cr_expect_eq(varlong_read(p, p + n - 1, &back), 0, "a cut one is refused");
    }
}

Test(murmur2, is_kafkas)
{
    cr_expect_eq(murmur2(SLICE("21")), -973932308);
    cr_expect_eq(murmur2(SLICE("foobar")), -790332482);
    cr_expect_eq(murmur2(SLICE("a-little-bit-long-string")), -985981536);
}

Test(uuid, text_round_trips)
{
    for (int i = 0; i < 100; i++) {
        char text[UUID_TEXT_SIZE];
        struct uuid u = uuid_random(), back;
        uuid_format(u, text);
        cr_assert(uuid_parse(text, &back) && uuid_eq(u, back));
        cr_assert_neq(text[0], '-');
    }
}

Test(uuid, text_is_taken_as_kafka_takes_it)
{
    /* Tried with Uuid.fromString of kafka-clients 4.1.1; franz-go's member ids have padding. */
    const char *same[] = {"PbiiIpQtiFuQzRjpE23pgA", "PbiiIpQtiFuQzRjpE23pgA==", "PbiiIpQtiFuQzRjpE23pgB"};
    const char *bad[] = {"",
                         "==",
                         "PbiiIpQtiFuQzRjpE23p",
                         "PbiiIpQtiFuQzRjpE23pgA=",
                         "PbiiIpQtiFuQzRjpE23pgAAA",
                         "PbiiIpQtiFuQzRjpE23pg+",
                         "PbiiIpQtiFuQzRjpE23p=A==",
                         "PbiiIpQtiFuQzRjpE23pgA==="};
    struct uuid first, u;

    cr_assert(uuid_parse(same[0], &first));
    for (size_t i = 0; i < countof(same); i++) cr_expect(uuid_parse(same[i], &u) && uuid_eq(u, first), "%s", same[i]);
    for (size_t i = 0; i < countof(bad); i++) cr_expect_not(uuid_parse(bad[i], &u), "%s", bad[i]);
}

static int delivered;
static void count_letter(void *arg)
{
    delivered += (int)(intptr_t)arg;
}

Test(mailbox, delivers_in_order_and_refuses_after_close)
{
    struct ev_loop *loop = ev_loop_new(0);
    struct mailbox m;
    mailbox_init(&m, loop);
    for (int i = 1; i <= 100; i++) cr_assert(mailbox_post(&m, count_letter, (void *)(intptr_t)i));
    ev_run(loop, EVRUN_NOWAIT);
    cr_expect_eq(delivered, 5050);
    cr_assert(mailbox_post(&m, count_letter, (void *)(intptr_t)1));
    mailbox_close(&m);
    cr_expect_eq(delivered, 5051, "close delivers what is there");
    cr_expect_not(mailbox_post(&m, count_letter, NULL));
    mailbox_done(&m);
    ev_loop_destroy(loop);
}
