/* Configuration: Connect's texts, the words of both vocabularies, filters. */
#include "cdc/transforms.h"
#include "tests/unit/cdc/encode_fixture.h"

#include <errno.h>

static uint32_t check(const struct cdc_pair *pairs, uint32_t count, struct cdc_problem *problems)
{
    return connector_config_check(pairs, count, problems, 20);
}

Test(connector_config, four_properties_are_required)
{
    static const char *const required[] = {"topic.prefix", "database.hostname", "database.user", "database.dbname"};
    struct cdc_problem problems[20];
    uint32_t count = check((struct cdc_pair[]){{"name", "x"}}, 1, problems);

    cr_assert_eq(count, 4);
    for (uint32_t i = 0; i < count; i++) {
        char text[200];
        snprintf(text, sizeof(text), "The '%s' value is invalid: A value is required", required[i]);
        cr_expect_str_eq(problems[i].text, text);
        cr_expect_str_eq(problems[i].name, required[i]);
    }
}

Test(connector_config, errors_have_connects_texts)
{
    const struct cdc_pair base[] = {
        {"topic.prefix", "p"}, {"database.hostname", "h"}, {"database.user", "u"}, {"database.dbname", "d"}};
    static const struct {
        const char *name, *value, *text;
    } wrong[] = {
        {"snapshot.mode", "sometimes",
         "The 'snapshot.mode' value is invalid: Value must be one of always, initial_only, configuration_based, "
         "when_needed, initial, custom, no_data"},
        {"slot.name", "Upper",
         "The 'slot.name' value is invalid: Valid replication slot name must contain only digits, lowercase characters "
         "and underscores with length <= 63"},
        {"max.batch.size", "many", "The 'max.batch.size' value is invalid: An integer is expected"},
        {"time.precision.mode", "Structured",
         "The 'time.precision.mode' value is invalid: \"structured\" is not supported yet"},
        {"tombstones.on.delete", "perhaps",
         "The 'tombstones.on.delete' value is invalid: Either 'true' or 'false' is expected"},
    };
    for (size_t i = 0; i < countof(wrong); i++) {
        struct cdc_pair pairs[5];
        struct cdc_problem problems[20];
        memcpy(pairs, base, sizeof(base));
        pairs[4] = (struct cdc_pair){wrong[i].name, wrong[i].value};
        uint32_t count = check(pairs, 5, problems);
        cr_assert_geq(count, 1);
        cr_expect_str_eq(problems[0].text, wrong[i].text);
    }
    struct cdc_problem problems[20];
    struct cdc_pair both[6];
    memcpy(both, base, sizeof(base));
    both[4] = (struct cdc_pair){"table.include.list", "a.b"};
    both[5] = (struct cdc_pair){"table.exclude.list", "a.c"};
    cr_assert_eq(check(both, 6, problems), 1);
    cr_expect_str_eq(problems[0].text,
                     "The 'table.exclude.list' value is invalid: \"table.include.list\" is already specified");
    both[4] = (struct cdc_pair){"transforms", "x"};
    both[5] = (struct cdc_pair){"transforms.x.type", "no.such.Transform"};
    cr_assert_eq(check(both, 6, problems), 1);
    cr_expect_str_eq(problems[0].name, "transforms.x.type");
}

/* Options of a transform or converter that we cannot do, or that Debezium or Connect would fail with. */
Test(connector_config, options_of_transforms_and_converters_are_checked)
{
    static const struct {
        const char *name, *value, *text; /* NULL: accepted */
    } options[] = {
        {"transforms.u.add.fields", "op,source.lsn:x,transaction.id", NULL},
        {"transforms.u.add.fields", "a:b:c",
         "The 'transforms.u.add.fields' value is invalid: Unexpected field name: a:b:c"},
        {"transforms.u.add.fields", "before.id",
         "The 'transforms.u.add.fields' value is invalid: Adding \"before.id\" is not supported yet"},
        {"transforms.u.add.headers", "source",
         "The 'transforms.u.add.headers' value is invalid: Adding \"source\" is not supported yet"},
        {"transforms.u.add.headers", "x.y",
         "The 'transforms.u.add.headers' value is invalid: The envelope has no struct \"x\""},
        {"transforms.u.drop.tombstones", "yes",
         "The 'transforms.u.drop.tombstones' value is invalid: Either 'true' or 'false' is expected"},
        {"transforms.u.replace.null.with.default", "no",
         "The 'transforms.u.replace.null.with.default' value is invalid: Either 'true' or 'false' is expected"},
        {"transforms.u.drop.fields.from.key", "1",
         "The 'transforms.u.drop.fields.from.key' value is invalid: Either 'true' or 'false' is expected"},
        {"transforms.u.drop.fields.header.name", "unneeded", NULL},
        {"transforms.u.drop.fields.header.name", "__debezium.newkey",
         "The 'transforms.u.drop.fields.header.name' value is invalid: The header \"__debezium.newkey\" holds no list "
         "of fields"},
        {"key.converter.decimal.format", "numeric", NULL},
        {"value.converter.decimal.format", "foo",
         "Invalid value foo for configuration value.converter.decimal.format: String must be one of (case "
         "insensitive): "
         "NUMERIC, BASE64"},
        {"value.converter.schemas.enable", "foo",
         "Invalid value foo for configuration value.converter.schemas.enable: Expected value to be either true or "
         "false"},
    };

    for (size_t i = 0; i < countof(options); i++) {
        const struct cdc_pair pairs[] = {{"topic.prefix", "p"},
                                         {"database.hostname", "h"},
                                         {"database.user", "u"},
                                         {"database.dbname", "d"},
                                         {"transforms", "u"},
                                         {"transforms.u.type", "io.debezium.transforms.ExtractNewRecordState"},
                                         {"connector.plugin.version", "2.5.4.Final"},
                                         {options[i].name, options[i].value}};
        struct cdc_problem problems[20];
        cr_assert_eq(check(pairs, countof(pairs), problems), options[i].text ? 1 : 0, "%s=%s", options[i].name,
                     options[i].value);
        if (options[i].text) cr_expect_str_eq(problems[0].text, options[i].text);
    }
}

Test(connector_config, a_mask_that_we_cannot_do_is_refused)
{
    const struct cdc_pair pairs[] = {{"topic.prefix", "p"},
                                     {"database.hostname", "h"},
                                     {"database.user", "u"},
                                     {"database.dbname", "d"},
                                     {"column.mask.with.5.chars", "public.t.secret"}};
    struct cdc_problem problems[20];

    cr_assert_eq(check(pairs, countof(pairs), problems), 1);
    cr_expect_str_eq(problems[0].name, "column.mask.with.5.chars");
}

Test(connector_config, unknown_and_old_names_are_accepted)
{
    struct pg_connector_config *c = test_config(
        (const char *[]){"database.server.name=x", "schema.history.internal.kafka.topic=y", "snapshot.mode=NEVER",
                         "plugin.name=PGOUTPUT", "skipped.operations=none", "topic.creation.default.partitions=3",
                         "topic.creation.default.compression.type=lz4", NULL});

    cr_expect_eq(c->snapshot_mode, SNAPSHOT_NO_DATA);
    cr_expect_eq(c->skipped_operations, 0);
    cr_expect_str_eq(c->slot_name, "debezium");
    cr_expect_str_eq(c->publication_name, "dbz_publication");
    cr_expect_str_eq(connector_config_get(c, "database.server.name"), "x");
    cr_expect_eq(c->topic_partitions, 3);
    cr_assert_eq(c->topic_configs_count, 1);
    cr_expect_str_eq(c->topic_configs[0].name, "compression.type");
    connector_config_free(c);
}

Test(connector_config, the_version_chooses_the_form)
{
    struct pg_connector_config *new = test_config(NULL),
                               *old = test_config((const char *[]){"connector.plugin.version=2.2.1.Final", NULL});

    cr_expect(new->profile == FORMAT_3 &&new->extended_headers &&strcmp(new->version, "3.7.0.Final") == 0);
    cr_expect(old->profile == FORMAT_2 && !old->extended_headers && strcmp(old->version, "2.2.1.Final") == 0);
    connector_config_free(new);
    connector_config_free(old);
}

Test(connector_config, filters_match_whole_names_without_case)
{
    struct pg_connector_config *c =
        test_config((const char *[]){"schema.include.list=A.*", "table.exclude.list=a1\\.t , b\\.x{1\\,2}", NULL});

    cr_expect(connector_config_captures(c, "a1", "t2"));
    cr_expect_not(connector_config_captures(c, "a1", "T"));
    cr_expect(connector_config_captures(c, "a1", "tt"));
    cr_expect_not(connector_config_captures(c, "b", "t"));
    cr_expect_not(connector_config_captures(c, "pg_catalog", "pg_class"));
    connector_config_free(c);
}

Test(name_filter, wrong_expressions_and_rules_are_named)
{
    struct name_filter *f;
    struct key_columns_rule *rules;
    uint32_t count;
    struct err err = ERR_NONE;

    cr_expect_eq(name_filter_new("a,(", &f, &err), -EINVAL);
    cr_expect(strstr(err.text, "\"(\""), "%s", err.text);
    cr_assert_eq(name_filter_new("  ", &f, &err), 0);
    cr_expect_null(f);
    cr_expect_eq(key_columns_rules_parse("a.b", &rules, &count, &err), -EINVAL);
    cr_expect_eq(key_columns_rules_parse("a.b:", &rules, &count, &err), -EINVAL);
    cr_assert_eq(key_columns_rules_parse("public\\.t: c , d;(.*).u:e", &rules, &count, &err), 0);
    cr_assert_eq(count, 2);
    cr_expect(rules[0].columns_count == 2 && strcmp(rules[0].columns[1], "d") == 0);
    cr_expect(name_filter_matches(rules[1].table, "any.U"));
    key_columns_rules_free(rules, count);
}

Test(connector_config, every_row_is_whole)
{
    for (uint32_t i = 0; i < connector_properties_count; i++) {
        const struct connector_property *p = &connector_properties[i];
        cr_expect_eq(connector_property_find(p->name), p, "%s stands twice", p->name);
        cr_expect(p->doc && *p->doc && p->display_name && *p->display_name, "%s", p->name);
    }
}

/* Names are the client's: a mask's may be of any length. */
Test(connector_config, a_long_name_is_cut_in_the_complaint)
{
    char name[700] = "column.mask.";
    struct {
        struct cdc_problem problem;
        char behind[600];
    } one;

    memset(name + strlen(name), 'x', sizeof(name) - strlen(name) - 1);
    name[sizeof(name) - 1] = '\0';
    memset(&one, 0x55, sizeof(one));
    const struct cdc_pair pairs[] = {{"topic.prefix", "p"},
                                     {"database.hostname", "h"},
                                     {"database.user", "u"},
                                     {"database.dbname", "d"},
                                     {name, "1"}};
    cr_assert_eq(connector_config_check(pairs, countof(pairs), &one.problem, 1), 1);
    cr_expect_lt(strlen(one.problem.text), sizeof(one.problem.text));
    for (size_t i = 0; i < sizeof(one.behind); i++) cr_assert_eq(one.behind[i], 0x55, "written behind the problem");
}

/* A record has places for so many: more than that would fail the task at its first row. */
Test(connector_config, headers_that_no_record_holds_are_refused)
{
    for (int count = UNWRAP_HEADERS_MAX; count <= UNWRAP_HEADERS_MAX + 1; count++) {
        char list[1000] = "op";
        struct cdc_problem problems[20];
        for (int i = 1; i < count; i++) sprintf(list + strlen(list), ",op:o%d", i);
        const struct cdc_pair pairs[] = {{"topic.prefix", "p"},
                                         {"database.hostname", "h"},
                                         {"database.user", "u"},
                                         {"database.dbname", "d"},
                                         {"transforms", "u"},
                                         {"transforms.u.type", "io.debezium.transforms.ExtractNewRecordState"},
                                         {"transforms.u.add.headers", list}};
        cr_expect_eq(check(pairs, countof(pairs), problems), count > UNWRAP_HEADERS_MAX ? 1 : 0);
    }
}
