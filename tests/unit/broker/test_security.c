/* Access rules: filters, and what the authorizer decides (KIP-11, KIP-290, KIP-801). */
#include "broker/api.h"
#include "broker/access/security.h"

#include <criterion/criterion.h>

static const struct security *rules;
static struct authorizer authorizer;

static void start(void)
{
    rules = NULL;
    authorizer = (struct authorizer){0};
}
static void stop(void)
{
    security_unref(rules);
}
TestSuite(security, .init = start, .fini = stop);

static struct uuid add(int type, int pattern, const char *name, const char *principal, const char *host, int operation,
                       int permission)
{
    struct uuid id = uuid_random();
    const struct security *next = security_add(rules, id,
                                               &(struct acl_fields){.resource_type = (int8_t)type,
                                                                    .pattern = (int8_t)pattern,
                                                                    .resource_name = slice_of(name),
                                                                    .principal = slice_of(principal),
                                                                    .host = slice_of(host),
                                                                    .operation = (int8_t)operation,
                                                                    .permission = (int8_t)permission});
    security_unref(rules);
    rules = next;
    return id;
}

#define allow(name, principal, operation)                                                                              \
    add(RESOURCE_TOPIC, ACL_PATTERN_LITERAL, name, principal, "*", operation, ACL_PERMISSION_ALLOW)
#define deny(name, principal, operation)                                                                               \
    add(RESOURCE_TOPIC, ACL_PATTERN_LITERAL, name, principal, "*", operation, ACL_PERMISSION_DENY)

static bool may(const char *principal, int operation, const char *topic)
{
    return security_authorize(rules, &authorizer, principal, SLICE("10.0.0.1"), operation, RESOURCE_TOPIC,
                              slice_of(topic));
}

Test(security, without_rules_the_option_decides)
{
    cr_expect_not(may("User:a", ACL_READ, "t"));
    authorizer.allow_if_no_acl_found = true;
    cr_expect(may("User:a", ACL_READ, "t"));
    allow("t", "User:b", ACL_READ);
    cr_expect_not(may("User:a", ACL_READ, "t"), "there is a rule for t, and none allows a");
    cr_expect(may("User:a", ACL_READ, "u"));
}

Test(security, super_users_may_all)
{
    deny("t", "User:*", ACL_OPERATION_ALL);
    authorizer.super_users = "User:x;User:admin;User:y";
    cr_expect(may("User:admin", ACL_WRITE, "t"));
    cr_expect(may("User:y", ACL_WRITE, "t"));
    cr_expect_not(may("User:adm", ACL_WRITE, "t"));
    cr_expect_not(may("User:admin2", ACL_WRITE, "t"));
}

Test(security, deny_wins)
{
    allow("t", "User:*", ACL_OPERATION_ALL);
    deny("t", "User:mallory", ACL_WRITE);
    cr_expect(may("User:alice", ACL_WRITE, "t"));
    cr_expect_not(may("User:mallory", ACL_WRITE, "t"));
    cr_expect(may("User:mallory", ACL_READ, "t"));
}

Test(security, allowing_implies_describing_denying_does_not)
{
    int implying[] = {ACL_READ, ACL_WRITE, ACL_DELETE, ACL_ALTER};
    for (size_t i = 0; i < countof(implying); i++) {
        char name[2] = {(char)('a' + i), 0};
        allow(name, "User:a", implying[i]);
        cr_expect(may("User:a", ACL_DESCRIBE, name));
        cr_expect_not(may("User:a", ACL_DESCRIBE_CONFIGS, name));
        cr_expect_not(may("User:a", ACL_CREATE, name));
    }
    allow("c1", "User:a", ACL_ALTER_CONFIGS);
    cr_expect(may("User:a", ACL_DESCRIBE_CONFIGS, "c1"));
    cr_expect_not(may("User:a", ACL_DESCRIBE, "c1"));
    allow("c2", "User:a", ACL_DESCRIBE);
    deny("c2", "User:a", ACL_READ);
    cr_expect(may("User:a", ACL_DESCRIBE, "c2"));
}

Test(security, resources_by_name_prefix_and_star)
{
    add(RESOURCE_TOPIC, ACL_PATTERN_PREFIXED, "app-", "User:a", "*", ACL_READ, ACL_PERMISSION_ALLOW);
    allow("*", "User:b", ACL_READ);
    cr_expect(may("User:a", ACL_READ, "app-"));
    cr_expect(may("User:a", ACL_READ, "app-1"));
    cr_expect_not(may("User:a", ACL_READ, "app"));
    cr_expect_not(may("User:a", ACL_READ, "other"));
    cr_expect(may("User:b", ACL_READ, "other"));
    cr_expect_not(
        security_authorize(rules, &authorizer, "User:b", SLICE("h"), ACL_READ, RESOURCE_GROUP, SLICE("other")),
        "another type of resource");
}

Test(security, hosts_are_compared_as_text)
{
    add(RESOURCE_TOPIC, ACL_PATTERN_LITERAL, "t", "User:a", "10.0.0.1", ACL_READ, ACL_PERMISSION_ALLOW);
    add(RESOURCE_TOPIC, ACL_PATTERN_LITERAL, "u", "User:a", "10.0.0.2", ACL_READ, ACL_PERMISSION_ALLOW);
    cr_expect(may("User:a", ACL_READ, "t"));
    cr_expect_not(may("User:a", ACL_READ, "u"));
}

Test(security, principals_are_compared_exactly)
{
    allow("t", "User:Alice", ACL_READ);
    cr_expect(may("User:Alice", ACL_READ, "t"));
    cr_expect_not(may("User:alice", ACL_READ, "t"));
}

Test(security, filters)
{
    add(RESOURCE_TOPIC, ACL_PATTERN_LITERAL, "abc", "User:a", "*", ACL_READ, ACL_PERMISSION_ALLOW);
    add(RESOURCE_TOPIC, ACL_PATTERN_LITERAL, "*", "User:a", "*", ACL_WRITE, ACL_PERMISSION_DENY);
    add(RESOURCE_TOPIC, ACL_PATTERN_PREFIXED, "ab", "User:b", "h", ACL_READ, ACL_PERMISSION_ALLOW);
    add(RESOURCE_GROUP, ACL_PATTERN_LITERAL, "abc", "User:a", "*", ACL_READ, ACL_PERMISSION_ALLOW);
    struct {
        const char *what;
        struct acl_fields f;
        const char *matches; /* one character for each rule */
    } cases[] = {
        {"all", {.resource_type = 1, .pattern = 1, .operation = 1, .permission = 1}, "1111"},
        {"type", {.resource_type = RESOURCE_GROUP, .pattern = 1, .operation = 1, .permission = 1}, "0001"},
        {"name, any pattern",
         {.resource_name = SLICE("ab"), .resource_type = 1, .pattern = 1, .operation = 1, .permission = 1},
         "0010"},
        {"match",
         {.resource_name = SLICE("abc"),
          .resource_type = RESOURCE_TOPIC,
          .pattern = 2,
          .operation = 1,
          .permission = 1},
         "1110"},
        {"literal",
         {.resource_name = SLICE("ab"), .resource_type = 1, .pattern = 3, .operation = 1, .permission = 1},
         "0000"},
        {"prefixed",
         {.resource_name = SLICE("ab"), .resource_type = 1, .pattern = 4, .operation = 1, .permission = 1},
         "0010"},
        {"principal",
         {.principal = SLICE("User:b"), .resource_type = 1, .pattern = 1, .operation = 1, .permission = 1},
         "0010"},
        {"host", {.host = SLICE("*"), .resource_type = 1, .pattern = 1, .operation = 1, .permission = 1}, "1101"},
        {"empty host",
         {.host = SLICE_EMPTY, .resource_type = 1, .pattern = 1, .operation = 1, .permission = 1},
         "0000"},
        {"operation", {.resource_type = 1, .pattern = 1, .operation = ACL_WRITE, .permission = 1}, "0100"},
        {"permission", {.resource_type = 1, .pattern = 1, .operation = 1, .permission = ACL_PERMISSION_DENY}, "0100"},
    };
    for (size_t c = 0; c < countof(cases); c++)
        for (int32_t i = 0; i < rules->acls_count; i++)
            cr_expect_eq(acl_filter_matches(&(struct acl_filter){cases[c].f}, &rules->acls[i]->fields),
                         cases[c].matches[i] == '1', "%s, rule %d", cases[c].what, i);
}

Test(security, snapshots_keep_what_was_removed_later)
{
    struct uuid id = allow("t", "User:a", ACL_READ);
    const struct security *before = security_ref(rules);
    const struct security *after = security_remove(rules, id);
    security_unref(rules);
    rules = after;
    cr_expect_not(may("User:a", ACL_READ, "t"));
    cr_expect_eq(before->acls_count, 1);
    cr_expect(slice_eq_text(before->acls[0]->fields.principal, "User:a"));
    security_unref(before);
}

Test(security, rules_change_in_place_only_where_nobody_looks_on)
{
    const struct acl_fields rule = {.resource_name = SLICE("t"),
                                    .principal = SLICE("User:a"),
                                    .host = SLICE("*"),
                                    .resource_type = 2,
                                    .pattern = ACL_PATTERN_LITERAL,
                                    .operation = 3,
                                    .permission = ACL_PERMISSION_ALLOW};
    const struct uuid one = {{1}}, two = {{2}}, three = {{3}};
    const struct security *s = NULL;

    security_add_to(&s, one, &rule);
    const struct security *before = s;
    security_add_to(&s, two, &rule);
    cr_assert_eq(s, before, "in place");
    before = security_ref(s);
    security_add_to(&s, three, &rule);
    security_remove_from(&s, one);
    cr_assert_neq(s, before);
    cr_assert_eq(before->acls_count, 2);
    cr_assert(uuid_eq(before->acls[0]->id, one));
    cr_assert_eq(s->acls_count, 2);
    cr_assert(uuid_eq(s->acls[0]->id, two) && uuid_eq(s->acls[1]->id, three));
    security_remove_from(&s, one);
    cr_assert_eq(s->acls_count, 2, "not there any more");
    security_unref(before);
    security_remove_from(&s, three);
    cr_assert(s->acls_count == 1 && uuid_eq(s->acls[0]->id, two));
    security_unref(s);
}
