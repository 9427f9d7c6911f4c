/* Records of changes, and relation versions through the journal's form. */
#include "tests/unit/cdc/encode_fixture.h"

#include <errno.h>

/* Records are printed into one text, one a line: key | value | headers. */
static int print(void *arg, const struct change_record *r)
{
    struct bytes *out = arg;

    bytes_append_slice(out, r->key.ptr ? r->key : SLICE("none"));
    bytes_append_text(out, " | ");
    bytes_append_slice(out, r->value.ptr ? r->value : SLICE("tombstone"));
    for (uint32_t i = 0; i < r->headers_count; i++) {
        bytes_append_text(out, " | ");
        bytes_append_slice(out, r->headers[i].name);
        bytes_append_byte(out, '=');
        bytes_append_slice(out, r->headers[i].value);
    }
    bytes_append_byte(out, '\n');
    return 0;
}

/* create table t(a int not null, b text, c int default 7, primary key (c, a)) */
static bool expect_b_default; /* b has one */

static struct relation *test_relation(const struct pg_connector_config *config, char replica_identity)
{
    const char *const columns[][RELATION_COLUMN_FIELDS] = {
        {"a", "23", "-1", "t", NULL, "f", "2", "0"},
        {"b", "25", "-1", "f", expect_b_default ? "'dflt'::text" : NULL, "f", "0", "0"},
        {"c", "23", "-1", "t", "7", "f", "1", "0"},
    };
    struct relation_builder *b = relation_builder_new_snapshot(1000, "s", "t", replica_identity);
    struct relation *r = NULL;
    struct err err = ERR_NONE;

    for (size_t i = 0; i < countof(columns); i++) {
        struct slice fields[RELATION_COLUMN_FIELDS];
        for (int k = 0; k < RELATION_COLUMN_FIELDS; k++) fields[k] = slice_of(columns[i][k]);
        cr_assert_eq(relation_builder_add_column(b, fields, &err), 0, "%s", err.text);
    }
    cr_assert_eq(relation_build(b, config, &r, &err), 0, "%s", err.text);
    relation_builder_free(b);
    return r;
}

static struct tuple make_tuple(struct tuple_value values[3], const char *a, const char *b, const char *c)
{
    const char *const texts[] = {a, b, c};

    for (int i = 0; i < 3; i++)
        values[i] =
            (struct tuple_value){.kind = texts[i] ? (*texts[i] == '?' ? TUPLE_UNCHANGED : TUPLE_TEXT) : TUPLE_NULL,
                                 .text = slice_of(texts[i])};
    return (struct tuple){3, values};
}

static const struct source_position position = {
    .lsn = 200, .last_commit_lsn = 100, .xid = 9, .time_us = 1000001, .now_ns = 2000000003};

#define SOURCE                                                                                                         \
    "{\"version\":\"2.5.4.Final\",\"connector\":\"postgresql\",\"name\":\"unit\",\"ts_ms\":1000,\"snapshot\":"         \
    "\"false\",\"db\":\"db\","                                                                                         \
    "\"sequence\":\"[\\\"100\\\",\\\"200\\\"]\",\"schema\":\"s\",\"table\":\"t\",\"txId\":9,\"lsn\":200,\"xmin\":"     \
    "null}"
#define TAIL ",\"ts_ms\":2000,\"transaction\":null}"

/* Runs one change and compares all its records. */
static void expect(const char *const *properties, char identity, enum change_op op, const struct tuple *old_tuple,
                   const struct tuple *new_tuple, const char *expected)
{
    const char *all[20] = {"connector.plugin.version=2.5.4.Final"};
    for (int i = 0; properties && properties[i]; i++) all[i + 1] = properties[i];
    struct pg_connector_config *config = test_config(all);
    struct relation *r = test_relation(config, identity);
    struct change_encoder *e = change_encoder_new(config, "run");
    struct bytes out = {0};
    struct err err = ERR_NONE;

    cr_expect_eq(change_encoder_row(e, r, op, old_tuple, new_tuple, &position, print, &out, &err), 0, "%s", err.text);
    bytes_append_byte(&out, 0);
    cr_expect_str_eq((const char *)out.ptr, expected);
    bytes_done(&out);
    change_encoder_free(e);
    relation_free(r);
    connector_config_free(config);
}

Test(change_encoder, keys_have_the_order_of_the_primary_key)
{
    struct tuple_value v[3];
    struct tuple row = make_tuple(v, "1", "x", "2");

    expect(NULL, 'd', CHANGE_CREATE, NULL, &row,
           "{\"c\":2,\"a\":1} | {\"before\":null,\"after\":{\"a\":1,\"b\":\"x\",\"c\":2},\"source\":" SOURCE
           ",\"op\":\"c\"" TAIL "\n");
}

Test(change_encoder, a_delete_is_followed_by_a_tombstone)
{
    struct tuple_value v[3];
    struct tuple key = make_tuple(v, "1", NULL, "2");
    const char *record =
        "{\"c\":2,\"a\":1} | {\"before\":{\"a\":1,\"b\":null,\"c\":2},\"after\":null,\"source\":" SOURCE
        ",\"op\":\"d\"" TAIL "\n";
    char both[1000];

    snprintf(both, sizeof(both), "%s{\"c\":2,\"a\":1} | tombstone\n", record);
    expect(NULL, 'd', CHANGE_DELETE, &key, NULL, both);
    expect((const char *[]){"tombstones.on.delete=false", NULL}, 'd', CHANGE_DELETE, &key, NULL, record);
    expect((const char *[]){"skipped.operations=d", NULL}, 'd', CHANGE_DELETE, &key, NULL, "");
}

Test(change_encoder, a_new_key_is_delete_tombstone_and_create)
{
    struct tuple_value v[3], w[3];
    struct tuple old = make_tuple(v, "1", NULL, "2"), new = make_tuple(w, "1", "x", "3");

    expect(NULL, 'd', CHANGE_UPDATE, &old, &new,
           "{\"c\":2,\"a\":1} | {\"before\":{\"a\":1,\"b\":null,\"c\":2},\"after\":null,\"source\":" SOURCE
           ",\"op\":\"d\"" TAIL " | __debezium.newkey={\"c\":3,\"a\":1}\n"
           "{\"c\":2,\"a\":1} | tombstone | __debezium.newkey={\"c\":3,\"a\":1}\n"
           "{\"c\":3,\"a\":1} | {\"before\":null,\"after\":{\"a\":1,\"b\":\"x\",\"c\":3},\"source\":" SOURCE
           ",\"op\":\"c\"" TAIL " | __debezium.oldkey={\"c\":2,\"a\":1}\n");
}

Test(change_encoder, an_untouched_value_is_a_placeholder_unless_the_old_row_has_it)
{
    struct tuple_value v[3], w[3];
    struct tuple new = make_tuple(w, "1", "?", "2"), old = make_tuple(v, "1", "long", "2");

    expect((const char *[]){"unavailable.value.placeholder=gone", NULL}, 'd', CHANGE_UPDATE, NULL, &new,
           "{\"c\":2,\"a\":1} | {\"before\":null,\"after\":{\"a\":1,\"b\":\"gone\",\"c\":2},\"source\":" SOURCE
           ",\"op\":\"u\"" TAIL "\n");
    expect(NULL, 'f', CHANGE_UPDATE, &old, &new,
           "{\"c\":2,\"a\":1} | "
           "{\"before\":{\"a\":1,\"b\":\"long\",\"c\":2},\"after\":{\"a\":1,\"b\":\"long\",\"c\":2},\"source\":" SOURCE
           ",\"op\":\"u\"" TAIL "\n");
}

Test(change_encoder, the_flat_row_of_unwrap)
{
    struct tuple_value v[3];
    struct tuple row = make_tuple(v, "1", NULL, "2");
    const char *const rewrite[] = {"transforms=u",
                                   "transforms.u.type=io.debezium.transforms.ExtractNewRecordState",
                                   "transforms.u.delete.handling.mode=rewrite",
                                   "transforms.u.drop.tombstones=false",
                                   "transforms.u.add.fields=op,source.lsn,table:from,nothing",
                                   NULL};

    expect(rewrite, 'd', CHANGE_DELETE, &row, NULL,
           "{\"c\":2,\"a\":1} | "
           "{\"a\":1,\"b\":null,\"c\":2,\"__deleted\":\"true\",\"__op\":\"d\",\"__source_lsn\":200,\"__from\":\"t\"}\n"
           "{\"c\":2,\"a\":1} | tombstone\n");
}

#define UNWRAP "transforms.u.type=io.debezium.transforms.ExtractNewRecordState"

static int print_topic(void *arg, const struct change_record *r)
{
    struct bytes *out = arg;

    bytes_append_slice(out, r->topic);
    bytes_append_text(out, r->value.ptr ? "" : " tombstone");
    for (uint32_t i = 0; i < r->headers_count; i++) {
        bytes_append_byte(out, ' ');
        bytes_append_slice(out, r->headers[i].name);
        bytes_append_byte(out, '=');
        bytes_append_slice(out, r->headers[i].value);
    }
    bytes_append_byte(out, '\n');
    return 0;
}

/* Topics and headers of what one change gives; the error's text when it fails. */
static const char *topics(const char *const *properties, enum change_op op, const struct tuple *old_tuple,
                          const struct tuple *new_tuple)
{
    static char shown[1000];
    struct pg_connector_config *config = test_config(properties);
    struct relation *r = test_relation(config, 'd');
    struct change_encoder *e = change_encoder_new(config, "run");
    struct bytes out = {0};
    struct err err = ERR_NONE;

    if (change_encoder_row(e, r, op, old_tuple, new_tuple, &position, print_topic, &out, &err) < 0)
        snprintf(shown, sizeof shown, "%s", err.text);
    else snprintf(shown, sizeof shown, SLICE_FMT, SLICE_ARG(bytes_slice(&out)));
    bytes_done(&out);
    change_encoder_free(e);
    relation_free(r);
    connector_config_free(config);
    return shown;
}

Test(change_encoder, rows_are_routed_by_a_field)
{
    struct tuple_value v[3], w[3];
    struct tuple here = make_tuple(v, "1", "to.here", "2"), key = make_tuple(w, "1", NULL, "2");
    const char *const route[] = {"transforms=early,u,late",
                                 "transforms.early.type=org.apache.kafka.connect.transforms.RegexRouter",
                                 "transforms.early.regex=(.*)",
                                 "transforms.early.replacement=early-$1",
                                 UNWRAP,
                                 "transforms.u.route.by.field=b",
                                 "transforms.u.delete.tombstone.handling.mode=rewrite-with-tombstone",
                                 "transforms.u.add.headers=op,table",
                                 "transforms.late.type=org.apache.kafka.connect.transforms.RegexRouter",
                                 "transforms.late.regex=(.*)here",
                                 "transforms.late.replacement=$1there",
                                 "extended.headers.enabled=false",
                                 NULL};

    cr_expect_str_eq(topics(route, CHANGE_CREATE, NULL, &here), "to.there __op=c __table=t\n");
    cr_expect_str_eq(topics(route, CHANGE_DELETE, &here, NULL),
                     "to.there __op=d __table=t\nearly-unit.s.t tombstone __op=d\n",
                     "a tombstone has no row to be routed by");
    cr_expect_str_eq(topics(route, CHANGE_DELETE, &key, NULL),
                     "early-unit.s.t __op=d __table=t\nearly-unit.s.t tombstone __op=d\n");
    v[1].text = SLICE(" \t");
    cr_expect_str_eq(topics(route, CHANGE_READ, NULL, &here), "early-unit.s.t __op=r __table=t\n");
}

Test(change_encoder, a_field_that_cannot_route_fails_with_the_texts_of_connect)
{
    struct tuple_value v[3];
    struct tuple row = make_tuple(v, "1", "x", "2");

    cr_expect_str_eq(topics((const char *[]){"transforms=u", UNWRAP, "transforms.u.route.by.field=nothing", NULL},
                            CHANGE_CREATE, NULL, &row),
                     "route.by.field, table \"s.t\": nothing is not a valid field name");
    cr_expect_str_eq(topics((const char *[]){"transforms=u", UNWRAP, "transforms.u.route.by.field=a", NULL},
                            CHANGE_CREATE, NULL, &row),
                     "route.by.field, table \"s.t\": Field 'a' is not of type STRING");
}

Test(change_encoder, what_is_rewritten_has_defaults_for_nulls_unless_told_otherwise)
{
    struct tuple_value v[3];
    struct tuple row = make_tuple(v, "1", NULL, "2");
    const char *properties[] = {"transforms=u",
                                UNWRAP,
                                "transforms.u.delete.tombstone.handling.mode=rewrite",
                                "value.converter.replace.null.with.default=false",
                                NULL,
                                NULL};

    expect_b_default = true;
    expect(properties, 'd', CHANGE_CREATE, NULL, &row,
           "{\"c\":2,\"a\":1} | {\"a\":1,\"b\":\"dflt\",\"c\":2,\"__deleted\":\"false\"}\n");
    properties[4] = "transforms.u.replace.null.with.default=false";
    expect(properties, 'd', CHANGE_CREATE, NULL, &row,
           "{\"c\":2,\"a\":1} | {\"a\":1,\"b\":null,\"c\":2,\"__deleted\":\"false\"}\n");
    expect_b_default = false;
}

Test(change_encoder, a_row_of_another_width_is_refused)
{
    struct pg_connector_config *config = test_config(NULL);
    struct relation *r = test_relation(config, 'd');
    struct change_encoder *e = change_encoder_new(config, "run");
    struct tuple_value v[3];
    struct tuple row = make_tuple(v, "1", "x", "2");
    struct err err = ERR_NONE;

    row.count = 2;
    cr_expect_eq(change_encoder_row(e, r, CHANGE_CREATE, NULL, &row, &position, print, NULL, &err), -EBADMSG);
    change_encoder_free(e);
    relation_free(r);
    connector_config_free(config);
}

Test(change_encoder, what_cannot_be_represented_is_null_or_an_error)
{
    struct tuple_value v[3];
    struct tuple row = make_tuple(v, "1", "x", "no number");

    for (int fail = 0; fail < 2; fail++) {
        struct pg_connector_config *config =
            test_config(fail ? (const char *[]){"event.converting.failure.handling.mode=fail", NULL} : NULL);
        struct relation *r = test_relation(config, 'd');
        struct change_encoder *e = change_encoder_new(config, "run");
        struct bytes out = {0};
        struct err err = ERR_NONE;
        cr_expect_eq(change_encoder_row(e, r, CHANGE_CREATE, NULL, &row, &position, print, &out, &err),
                     fail ? -EBADMSG : 0);
        cr_expect(change_encoder_failures(e) > 0);
        cr_expect_str_eq(change_encoder_failure_text(e),
                         "table \"s.t\", column \"c\": value \"no number\" cannot be represented");
        bytes_done(&out);
        change_encoder_free(e);
        relation_free(r);
        connector_config_free(config);
    }
}

Test(relation, the_journals_form_gives_the_same_version)
{
    struct pg_connector_config *config = test_config(NULL);
    struct relation *r = test_relation(config, 'd'), *again = NULL;
    struct bytes form = {0}, second = {0};
    struct err err = ERR_NONE;

    relation_encode(r, &form);
    cr_assert_eq(relation_decode(bytes_slice(&form), config, &again, &err), 0, "%s", err.text);
    relation_encode(again, &second);
    cr_expect(slice_eq(bytes_slice(&form), bytes_slice(&second)));
    cr_expect(again->key_count == 2 && again->key[0] == 2 && again->key[1] == 0);
    cr_expect_str_eq(again->topic, "unit.s.t");
    relation_free(again);
    for (uint32_t len = 0; len < form.len; len++)
        cr_assert_eq(relation_decode(slice_make(form.ptr, len), config, &again, &err), -EBADMSG, "cut at %u", len);
    form.ptr[0]++;
    cr_expect_eq(relation_decode(bytes_slice(&form), config, &again, &err), -EBADMSG);
    cr_expect_str_eq(err.text, "relation version of format 2, newest known is 1");
    char *sql = relation_select_sql(r, true);
    cr_expect_str_eq(sql, "COPY (SELECT \"a\", \"b\", \"c\" FROM \"s\".\"t\") TO STDOUT");
    free(sql);
    bytes_done(&form);
    bytes_done(&second);
    relation_free(r);
    connector_config_free(config);
}
