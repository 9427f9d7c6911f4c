/* The decoder: messages as the server sends them, every cut of them, and what is out of range. */
#include "cdc/pg_lsn.h"
#include "cdc/pgoutput.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

/* PostgreSQL 15: table public.t(id int primary key, v text), oid 16385. */
static const uint8_t relation[] = "R\x00\x00\x40\x01public\0t\0d\x00\x02\x01id\0\x00\x00\x00\x17\xff\xff\xff\xff\x00v\0"
                                  "\x00\x00\x00\x19\xff\xff\xff\xff";
static const uint8_t update[] = "U\x00\x00\x40\x01K\x00\x02t\x00\x00\x00\x01"
                                "1"
                                "nN\x00\x02t\x00\x00\x00\x02"
                                "12"
                                "u";
static const uint8_t begin[] = "B\x00\x00\x00\x00\x01\x98\x2f\x80\x00\x02\x9c\x00\x00\x00\x00\x01\x00\x00\x03\x4f";
static const uint8_t truncate_two[] = "T\x00\x00\x00\x02\x01\x00\x00\x40\x01\x00\x00\x40\x02";
static const uint8_t message[] = "M\x01\x00\x00\x00\x00\x01\x98\x2f\x80pfx\0\x00\x00\x00\x02hi";

#define PAYLOAD(array) slice_make(array, sizeof(array) - 1)

static int decode(struct slice payload, struct pgoutput_message *m, struct err *err)
{
    static struct pgoutput_decoder *d;

    if (!d) d = pgoutput_decoder_new();
    return pgoutput_decode(d, payload, m, err);
}

Test(pgoutput, a_relation_names_its_columns_and_key)
{
    struct pgoutput_message m;

    cr_assert_eq(decode(PAYLOAD(relation), &m, NULL), 0);
    cr_expect_eq(m.relation.oid, 16385);
    cr_expect(slice_eq_text(m.relation.schema, "public") && slice_eq_text(m.relation.name, "t"));
    cr_expect_eq(m.relation.replica_identity, 'd');
    cr_assert_eq(m.relation.columns_count, 2);
    cr_expect(m.relation.columns[0].is_key && slice_eq_text(m.relation.columns[0].name, "id") &&
              m.relation.columns[0].type_oid == 23);
    cr_expect(!m.relation.columns[1].is_key && m.relation.columns[1].typmod == -1);
}

Test(pgoutput, an_update_has_old_key_and_new_row)
{
    struct pgoutput_message m;

    cr_assert_eq(decode(PAYLOAD(update), &m, NULL), 0);
    cr_expect_eq(m.row.old_kind, 'K');
    cr_assert(m.row.old_tuple.count == 2 && m.row.new_tuple.count == 2);
    cr_expect(slice_eq_text(m.row.old_tuple.values[0].text, "1") && m.row.old_tuple.values[1].kind == TUPLE_NULL);
    cr_expect(slice_eq_text(m.row.new_tuple.values[0].text, "12") && m.row.new_tuple.values[1].kind == TUPLE_UNCHANGED);
}

Test(pgoutput, times_are_unix_times)
{
    struct pgoutput_message m;

    cr_assert_eq(decode(PAYLOAD(begin), &m, NULL), 0);
    cr_expect_eq(m.begin.final_lsn, 0x1982f80);
    cr_expect_eq(m.begin.xid, 847);
    cr_expect_eq(m.begin.commit_time_us, PG_EPOCH_US + 0x29c0000000001);
}

Test(pgoutput, truncate_and_message)
{
    struct pgoutput_message m;

    cr_assert_eq(decode(PAYLOAD(truncate_two), &m, NULL), 0);
    cr_expect(m.truncate.cascade && m.truncate.relations_count == 2 && m.truncate.relation_oids[1] == 16386);
    cr_assert_eq(decode(PAYLOAD(message), &m, NULL), 0);
    cr_expect(m.logical.transactional && slice_eq_text(m.logical.prefix, "pfx") &&
              slice_eq_text(m.logical.content, "hi"));
}

Test(pgoutput, every_cut_message_is_refused_by_name)
{
    const struct slice whole[] = {PAYLOAD(relation), PAYLOAD(update), PAYLOAD(begin), PAYLOAD(truncate_two),
                                  PAYLOAD(message)};
    struct pgoutput_message m;

    for (size_t i = 0; i < countof(whole); i++) {
        for (uint32_t len = 0; len < whole[i].len; len++) {
            struct err err = ERR_NONE;
            cr_assert_eq(decode(slice_make(whole[i].ptr, len), &m, &err), -EBADMSG, "message %zu cut at %u", i, len);
            cr_assert_neq(err.text[0], '\0');
        }
        uint8_t longer[100];
        memcpy(longer, whole[i].ptr, whole[i].len);
        longer[whole[i].len] = 0;
        cr_assert_eq(decode(slice_make(longer, whole[i].len + 1), &m, NULL), -EBADMSG, "message %zu with a byte behind",
                     i);
    }
}

Test(pgoutput, counts_are_not_believed)
{
    static const uint8_t columns[] = "I\x00\x00\x40\x01N\x06\x41";                 /* 1601 columns */
    static const uint8_t length[] = "I\x00\x00\x40\x01N\x00\x01t\xff\xff\xff\xff"; /* 4 GB */
    static const uint8_t relations[] = "T\xff\xff\xff\xff\x00";
    static const uint8_t kind[] = "I\x00\x00\x40\x01N\x00\x01x";
    struct pgoutput_message m;
    struct err err = ERR_NONE;

    cr_expect_eq(decode(PAYLOAD(columns), &m, NULL), -EBADMSG);
    cr_expect_eq(decode(PAYLOAD(length), &m, &err), -EBADMSG);
    cr_expect_str_eq(err.text, "replication message Insert is damaged at byte 13 of 13: value of a column");
    cr_expect_eq(decode(PAYLOAD(relations), &m, NULL), -EBADMSG);
    cr_expect_eq(decode(PAYLOAD(kind), &m, NULL), -EBADMSG);
    cr_expect_eq(decode(SLICE("?"), &m, NULL), -EBADMSG);
}

Test(pg_lsn, reads_what_the_server_prints)
{
    static const char *const bad[] = {"",      "/",           "16",          "16/", "/16",
                                      "1/2/3", "123456789/0", "0/123456789", "g/0", " 0/0"};
    char text[PG_LSN_TEXT_SIZE];
    uint64_t lsn = 7;

    cr_expect(pg_lsn_parse(SLICE("16/B374D848"), &lsn) && lsn == 0x16b374d848);
    cr_expect(pg_lsn_parse(SLICE("FFFFFFFF/FFFFFFFF"), &lsn) && lsn == UINT64_MAX);
    snprintf(text, sizeof(text), PG_LSN_FMT, PG_LSN_ARG(UINT64_C(0x1600000048)));
    cr_expect_str_eq(text, "16/00000048");
    for (size_t i = 0; i < countof(bad); i++) cr_expect_not(pg_lsn_parse(slice_of(bad[i]), &lsn), "%s", bad[i]);
}
