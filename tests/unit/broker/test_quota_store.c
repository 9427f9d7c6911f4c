/* Client quotas: what records fold to, and that snapshots do not see each other's changes. */
#include "broker/metadata/metadata_log.h"
#include "broker/access/quota_store.h"

#include <criterion/criterion.h>

/* A snapshot of nothing else. */
static void begin(struct metadata *m)
{
    *m = (struct metadata){.quotas = shared_set_new()};
}

static void end(struct metadata *m)
{
    shared_set_unref(m->quotas);
}

static bool set(struct metadata *m, const char *user, const char *client, const char *key, double value, bool remove)
{
    struct client_quota_record_entity_data entity[2];
    struct client_quota_record r = {.entity = entity, .key = slice_of(key), .value = value, .remove = remove};
    if (user)
        entity[r.entity_count++] =
            (struct client_quota_record_entity_data){SLICE("user"), *user ? slice_of(user) : SLICE_NULL};
    if (client)
        entity[r.entity_count++] = (struct client_quota_record_entity_data){SLICE("client-id"), slice_of(client)};
    return quota_replay(m, &r);
}

Test(quota, records_fold_to_one_entry_of_each_entity)
{
    struct metadata m;

    begin(&m);
    cr_assert(set(&m, "a", NULL, "producer_byte_rate", 1, false));
    cr_assert(set(&m, "", NULL, "producer_byte_rate", 2, false));
    cr_assert(set(&m, "a", "x", "producer_byte_rate", 3, false));
    cr_assert(set(&m, "a", NULL, "consumer_byte_rate", 4, false));
    cr_assert_eq(m.quotas->count, 3);
    cr_assert(set(&m, "a", NULL, "producer_byte_rate", 0, true));
    cr_assert_eq(m.quotas->count, 3, "it has another key");
    cr_assert(set(&m, "a", NULL, "consumer_byte_rate", 0, true));
    cr_assert_eq(m.quotas->count, 2);
    cr_assert(set(&m, "nobody", NULL, "consumer_byte_rate", 0, true), "nothing to remove");
    cr_assert_not(set(&m, "a", NULL, "no_such_rate", 1, false));
    cr_assert_not(set(&m, "a", NULL, "connection_creation_rate", 1, false), "a key of addresses");
    cr_assert_not(set(&m, NULL, NULL, "producer_byte_rate", 1, false));
    cr_assert_eq(m.quotas->count, 2);
    end(&m);
}

Test(quota, addresses_are_numbers)
{
    static const struct {
        const char *text;
        bool good;
    } rows[] = {{"10.0.0.1", true},
                {"::1", true},
                {"1.2.3", true},
                {"fe80::1234:5678:9abc:def0", true},
                {"localhost", false},
                {"10.0.0.256", false},
                {"::g", false},
                {"a:b", false},
                {"0123456789012345678901234567890123456789012345678901234567890", false}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct quota_entity e = {.has[QUOTA_IP] = true, .name[QUOTA_IP] = slice_of(rows[i].text)};
        cr_expect_eq(quota_entity_check(&e, NULL) == KAFKA_NONE, rows[i].good, "%s", rows[i].text);
    }
}

Test(shared_set, a_snapshot_does_not_see_the_changes_of_the_next)
{
    struct metadata before, after;

    begin(&before);
    cr_assert(set(&before, "a", NULL, "producer_byte_rate", 1, false));
    cr_assert(set(&before, "b", NULL, "producer_byte_rate", 1, false));
    after = before;
    shared_set_ref(after.quotas);
    cr_assert(set(&after, "c", NULL, "producer_byte_rate", 1, false));
    cr_assert(set(&after, "a", NULL, "producer_byte_rate", 0, true));
    cr_assert_eq(before.quotas->count, 2);
    cr_assert_eq(after.quotas->count, 2);
    cr_assert_eq(quota_at(before.quotas, 1), quota_at(after.quotas, 0), "b is shared, not copied");
    end(&before);
    cr_assert(slice_eq_text(quota_at(after.quotas, 1)->entity.name[QUOTA_USER], "c"));
    end(&after);
}
