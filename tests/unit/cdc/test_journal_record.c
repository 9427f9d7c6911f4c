/* tests/unit/cdc/test_journal_record.c: the journal's records: what is written is read, and nothing else is believed. */
#include "cdc/journal_record.h"

#include <criterion/criterion.h>

static const struct journal_position at = {.whole_lsn = 0x6e, .part_lsn = 0xc8, .ordinal = 3};

static void unit_write(struct bytes *b)
{
    struct journal_topic_entry topic = {.id = {{1}}, .partitions_count = 3, .name = SLICE("orders")};
    struct journal_entry first = {.topic_id = {{1}}, .index = 0, .sequence = 5, .end = 6};
    struct journal_entry second = {.topic_id = {{1}}, .index = 2, .sequence = INT32_MAX, .end = INT64_MAX};

    journal_unit_begin(b, JOURNAL_UNIT_WHOLE | JOURNAL_UNIT_SHOWN, 77, at);
    journal_unit_add_topic(b, &topic);
    journal_unit_add_entry(b, &first);
    journal_unit_add_entry(b, &second);
}

Test(journal_record, a_unit_is_read_as_it_was_written)
{
    struct bytes b = {0};
    struct journal_unit_record r;
    struct journal_topic_entry t;
    struct journal_entry e;

    unit_write(&b);
    cr_assert(journal_unit_read(bytes_slice(&b), &r));
    cr_expect_eq(r.flags, JOURNAL_UNIT_WHOLE | JOURNAL_UNIT_SHOWN);
    cr_expect_eq(r.config_hash, 77);
    cr_expect_eq(journal_position_compare(r.position, at), 0);
    const uint8_t *p = r.topics;
    cr_assert(journal_unit_next_topic(&r, &p, &t));
    cr_expect(slice_eq_text(t.name, "orders"));
    cr_expect_eq(t.partitions_count, 3);
    cr_expect_not(journal_unit_next_topic(&r, &p, &t));
    p = r.entries;
    cr_assert(journal_unit_next_entry(&r, &p, &e));
    cr_expect_eq(e.sequence, 5);
    cr_assert(journal_unit_next_entry(&r, &p, &e));
    cr_expect_eq(e.index, 2);
    cr_expect_eq(e.end, INT64_MAX);
    cr_expect_not(journal_unit_next_entry(&r, &p, &e));
    bytes_done(&b);
}

Test(journal_record, no_prefix_and_no_longer_value_is_a_unit)
{
    struct bytes b = {0};
    struct journal_unit_record r;

    unit_write(&b);
    for (uint32_t len = 0; len < b.len; len++)
        cr_assert_not(journal_unit_read(slice_make(b.ptr, len), &r), "%u bytes", len);
    bytes_append_byte(&b, 0);
    cr_assert_not(journal_unit_read(bytes_slice(&b), &r));
    bytes_done(&b);
}

Test(journal_record, counts_and_versions_are_not_believed)
{
    struct bytes b = {0};
    struct journal_unit_record r;

    for (uint32_t at_byte = 0; at_byte < 50; at_byte++) {
        if (at_byte > 0 && at_byte < 42) continue; /* flags, hash, position: any value is one */
        unit_write(&b);
        b.ptr[at_byte] ^= 0xff;
        cr_expect_not(journal_unit_read(bytes_slice(&b), &r), "byte %u", at_byte);
    }
    bytes_done(&b);
}

/* Arrays are made for as many. */
Test(journal_record, no_topic_has_more_partitions_than_a_broker_gives_it)
{
    struct journal_unit_record r;
    struct bytes b = {0};

    for (int32_t over = 0; over < 2; over++) {
        journal_unit_begin(&b, 0, 0, (struct journal_position){0});
        journal_unit_add_entry(&b, &(struct journal_entry){.index = JOURNAL_PARTITIONS_MAX - 1 + over});
        cr_expect_eq(journal_unit_read(bytes_slice(&b), &r), !over);
        journal_unit_begin(&b, 0, 0, (struct journal_position){0});
        journal_unit_add_topic(
            &b, &(struct journal_topic_entry){.name = SLICE("t"), .partitions_count = JOURNAL_PARTITIONS_MAX + over});
        cr_expect_eq(journal_unit_read(bytes_slice(&b), &r), !over);
    }
    bytes_done(&b);
}

Test(journal_record, the_documented_example_has_these_bytes)
{
    static const uint8_t expected[] = {2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x6e, 0, 0, 0,
                                       0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0x6e,
                                       0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0,
                                       0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0,    6};
    static const uint8_t version_1[] = {1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x6e, 0, 0, 0, 0, 0, 0, 0,
                                        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1,    0, 0, 0, 0, 0, 0, 0,
                                        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0,    0, 0, 0, 0, 0, 6};
    struct journal_unit_record old;
    struct bytes b = {0};
    struct journal_entry e = {.topic_id = {{1}}, .sequence = 5, .end = 6};
    uint8_t key[JOURNAL_KEY_BYTES];
    char *text;
    size_t size;

    journal_unit_begin(&b, JOURNAL_UNIT_WHOLE | JOURNAL_UNIT_SHOWN, 0,
                       (struct journal_position){.whole_lsn = 0x6e, .commit_lsn = 0x6e});
    journal_unit_add_entry(&b, &e);
    cr_assert_eq(b.len, sizeof expected);
    cr_expect_arr_eq(b.ptr, expected, sizeof expected);
    cr_assert(journal_unit_read(slice_make(version_1, sizeof version_1), &old));
    cr_expect_eq(old.position.whole_lsn, 0x6e);
    cr_expect_eq(old.position.commit_lsn, 0);
    cr_expect_eq(old.entries_count, 1);
    journal_key_write(key, JOURNAL_UNIT, 1);
    FILE *out = open_memstream(&text, &size);
    journal_record_print(out, slice_make(key, sizeof key), bytes_slice(&b));
    fclose(out);
    cr_expect_str_eq(text,
                     "connector=1 UNIT whole_lsn=0/0000006E commit_lsn=0/0000006E whole shown config=0000000000000000 "
                     "AQAAAAAAAAAAAAAAAAAAAA-0:sequence=5,end=6");
    free(text);
    bytes_done(&b);
}

Test(journal_record, the_other_records_are_read_as_they_were_written)
{
    struct bytes b = {0};
    struct journal_connector_record connector;
    struct journal_relation_record relation;
    int64_t keep;

    journal_connector_write(&b, &(struct journal_connector_record){
                                    .name = SLICE("a"), .topic_prefix = SLICE("dbserver1"), .producer_id = 1l << 62});
    cr_assert(journal_connector_read(bytes_slice(&b), &connector));
    cr_expect(slice_eq_text(connector.topic_prefix, "dbserver1"));
    cr_expect_eq(connector.producer_id, 1l << 62);
    cr_expect_not(journal_cut_read(bytes_slice(&b), &keep));

    journal_relation_write(&b, &(struct journal_relation_record){
                                   .oid = 16384, .from = at, .shape = SLICE("shape"), .resolved = SLICE("resolved")});
    cr_assert(journal_relation_read(bytes_slice(&b), &relation));
    cr_expect_eq(relation.oid, 16384);
    cr_expect(slice_eq_text(relation.resolved, "resolved"));

    journal_cut_write(&b, -1);
    cr_assert(journal_cut_read(bytes_slice(&b), &keep));
    cr_expect_eq(keep, -1);
    bytes_done(&b);
}

Test(journal_record, positions_are_ordered_as_the_stream_is)
{
    static const struct journal_position order[] = {{0},         {.whole_lsn = 10}, {10, 50, 0},
                                                    {10, 50, 7}, {.whole_lsn = 60}, {60, 60, 1},
                                                    {60, 90, 2}, {.whole_lsn = 95}};

    for (size_t i = 0; i < countof(order); i++)
        for (size_t k = 0; k < countof(order); k++) {
            int expected = i < k ? -1 : i > k;
            cr_expect_eq(journal_position_compare(order[i], order[k]), expected, "%zu against %zu", i, k);
        }
}
