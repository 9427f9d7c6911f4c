/* The promises of cdc/offsets.h: what is told is durable, and it is told what Debezium would have stored. */
#include "cdc/offsets.h"

#include <criterion/criterion.h>

static struct source_offset event(uint64_t whole_lsn)
{
    return (struct source_offset){.whole_lsn = whole_lsn, .lsn = whole_lsn - 1, .operation = "INSERT"};
}

static uint64_t look(struct offset_mark *m, uint64_t now_lsn, uint64_t durable_lsn)
{
    struct source_offset now = now_lsn ? event(now_lsn) : (struct source_offset){0};

    offset_mark_look(m, &now, durable_lsn);
    return m->told.whole_lsn;
}

Test(offsets, nothing_is_told_before_it_is_durable)
{
    struct offset_mark m = {0};

    cr_expect_eq(look(&m, 0, 50), 0, "a stream without an event");
    cr_expect_eq(look(&m, 100, 50), 0);
    cr_expect_eq(look(&m, 200, 99), 0);
    cr_expect_eq(look(&m, 300, 100), 100, "told although newer ones always follow");
    cr_expect_eq(look(&m, 300, 299), 100);
    cr_expect_eq(look(&m, 300, 300), 300);
    cr_expect_eq(look(&m, 400, 450), 400);
    cr_expect_eq(look(&m, 0, 500), 400, "another stream, no event yet");
    cr_expect_eq(look(&m, 350, 500), 400, "never back");
}

Test(offsets, never_ahead_and_never_back_in_any_order)
{
    unsigned seed = 7;

    for (int history = 0; history < 2000; history++) {
        struct offset_mark m = {0};
        uint64_t now = 0, durable = 0, before = 0;
        for (int step = 0; step < 50; step++) {
            if (rand_r(&seed) % 2) now += (uint64_t)rand_r(&seed) % 10 + 1;
            if (rand_r(&seed) % 3 == 0) durable += (uint64_t)rand_r(&seed) % (now - durable + 1);
            uint64_t told = look(&m, now, durable);
            cr_assert_leq(told, durable);
            cr_assert_geq(told, before);
            before = told;
        }
        look(&m, now, now);
        cr_assert_eq(look(&m, now, now), now, "at the end all of it is told");
    }
}

Test(offsets, the_form_is_debezium_s)
{
    static const struct {
        struct source_offset offset;
        const char *json;
    } cases[] = {
        {{.whole_lsn = 9, .snapshot = true, .lsn = 9, .xid = 7, .time_us = 5},
         "{\"last_snapshot_record\":true,\"lsn\":9,\"txId\":7,\"ts_usec\":5,\"snapshot\":\"INITIAL\","
         "\"snapshot_completed\":true}"},
        {{.whole_lsn = 99,
          .lsn = 90,
          .commit_lsn = 80,
          .xid = 7,
          .time_us = 5,
          .events_processed = 1,
          .operation = "UPDATE"},
         "{\"lsn_proc\":90,\"lsn_events_processed\":1,\"messageType\":\"UPDATE\",\"lsn_commit\":80,\"lsn\":90,\"txId\":"
         "7,"
         "\"ts_usec\":5}"},
        {{.whole_lsn = 99, .lsn = 90, .xid = 7, .time_us = 5, .events_processed = 2, .operation = "INSERT"},
         "{\"lsn_proc\":90,\"lsn_events_processed\":2,\"messageType\":\"INSERT\",\"lsn\":90,\"txId\":7,\"ts_usec\":5}"},
    };

    for (size_t i = 0; i < countof(cases); i++) {
        AUTO_FREE char *json = source_offset_json(&cases[i].offset);
        cr_expect_str_eq(json, cases[i].json);
    }
}
