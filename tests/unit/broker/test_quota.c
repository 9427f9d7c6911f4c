/* Client quotas in force: the arithmetic of rates and buckets by a clock of the test, precedence, memory. */
#include "broker/limits.h"
#include "broker/metadata/metadata_log.h"
#include "broker/access/quota.h"

#include <criterion/criterion.h>
#include <stdio.h>

static const struct quota_windows ten = {11, 1000}; /* Kafka's default: ten whole windows and the begun one */

/* -- rates -- */

Test(quota_rate, a_burst_is_averaged_over_whole_windows)
{
    struct quota_rate r = {0};
    int64_t span_ms;

    quota_rate_add(&r, &ten, 20000, 5000);
    cr_expect_eq(quota_rate_measure(&r, &ten, 5000, &span_ms), 2000);
    cr_expect_eq(span_ms, 10000);
    cr_expect_eq(quota_rate_wait_ms(&r, &ten, 1000, 5000), 10000, "20000 / (10 s + wait) = 1000 / s");
    cr_expect_eq(quota_rate_wait_ms(&r, &ten, 2000, 5000), 0, "just at the limit");
    cr_expect_eq(quota_rate_wait_ms(&r, &ten, 1999, 5000), 5);
    quota_rate_done(&r);
}

Test(quota_rate, a_begun_window_counts_with_the_time_that_has_passed)
{
    struct quota_rate r = {0};
    int64_t span_ms;

    quota_rate_add(&r, &ten, 10000, 0);
    quota_rate_measure(&r, &ten, 500, &span_ms);
    cr_expect_eq(span_ms, 10500, "no whole window has passed: ten more are taken for it");
    quota_rate_measure(&r, &ten, 3500, &span_ms);
    cr_expect_eq(span_ms, 10500);
    quota_rate_add(&r, &ten, 500, 10200);
    cr_expect_eq(quota_rate_measure(&r, &ten, 10500, &span_ms), 1000);
    cr_expect_eq(span_ms, 10500);
    quota_rate_done(&r);
}

Test(quota_rate, what_is_older_than_all_windows_is_forgotten)
{
    struct quota_rate r = {0};

    quota_rate_add(&r, &ten, 20000, 0);
    cr_expect_eq(quota_rate_measure(&r, &ten, 10999, NULL), 20000 * 1000 / 10999.0);
    cr_expect_eq(quota_rate_measure(&r, &ten, 11000, NULL), 0);
    quota_rate_add(&r, &ten, 10, 11000);
    cr_expect_eq(quota_rate_measure(&r, &ten, 11000, NULL), 1);
    quota_rate_done(&r);
}

Test(quota_rate, memory_is_bounded_by_the_windows_and_the_rate_follows_the_use)
{
    struct quota_rate r = {0};

    for (int64_t t = 0; t < 100000; t += 100) quota_rate_add(&r, &ten, 300, t);
    cr_expect_eq(r.samples_count, 12);
    cr_expect_float_eq(quota_rate_measure(&r, &ten, 100000, NULL), 3000, 300);
    quota_rate_done(&r);
}

Test(quota_rate, what_is_taken_back_was_never_used)
{
    struct quota_rate r = {0};

    quota_rate_add(&r, &ten, 100, 0);
    quota_rate_add(&r, &ten, 5000000, 10);
    quota_rate_add(&r, &ten, -5000000, 10);
    cr_expect_eq(quota_rate_measure(&r, &ten, 10, NULL), 100 * 1000 / 10010.0);
    quota_rate_done(&r);
}

Test(quota_rate, a_wait_that_no_answer_can_say_is_the_longest_that_it_can)
{
    struct quota_rate r = {0};

    quota_rate_add(&r, &ten, 1e15, 0);
    cr_expect_eq(quota_rate_wait_ms(&r, &ten, 1, 0), INT32_MAX);
    quota_rate_done(&r);
}

Test(quota_rate, a_bucket_is_full_at_first_and_fills_at_the_limit)
{
    struct quota_bucket b = {0};

    cr_expect_eq(quota_bucket_level(&b, &ten, 2, 1000), 22, "eleven seconds' worth");
    quota_bucket_take(&b, &ten, 2, 30, 1000);
    cr_expect_eq(quota_bucket_level(&b, &ten, 2, 1000), -8);
    cr_expect_eq(quota_bucket_wait_ms(&b, &ten, 2, 1000), 4000);
    cr_expect_eq(quota_bucket_wait_ms(&b, &ten, 2, 4000), 1000);
    cr_expect_eq(quota_bucket_wait_ms(&b, &ten, 2, 5000), 0);
    cr_expect_eq(quota_bucket_level(&b, &ten, 2, 1000000), 22, "no more than full");
}

/* -- limits -- */

static void set(struct metadata *m, const char *user, const char *client, const char *ip, const char *key, double value)
{
    struct client_quota_record_entity_data entity[3];
    struct client_quota_record r = {.entity = entity, .key = slice_of(key), .value = value};
    const char *const names[] = {user, client, ip}, *const types[] = {"user", "client-id", "ip"};

    for (int i = 0; i < 3; i++)
        if (names[i])
            entity[r.entity_count++] = (struct client_quota_record_entity_data){
                slice_of(types[i]), *names[i] ? slice_of(names[i]) : SLICE_NULL};
    cr_assert(quota_replay(m, &r));
}

#define ANY  "" /* the default */
#define RATE "producer_byte_rate"

static double limit_of(struct metadata *m, const char *user, const char *client, struct quota_client *ret_counted)
{
    const struct quota_client c = {slice_of(user), slice_of(client)};
    double limit = 0;

    cr_assert(quota_limit(m->quotas, QUOTA_PRODUCER_BYTE_RATE, &c, &limit, ret_counted) || limit == 0);
    return limit;
}

Test(quota_limit, the_most_specific_entity_that_has_the_key_decides)
{
    struct metadata m = {.quotas = shared_set_new()};
    struct quota_client counted;

    /* From the last in precedence to the first: each one is seen as soon as it is set. */
    set(&m, NULL, ANY, NULL, RATE, 8);
    cr_expect_eq(limit_of(&m, "u", "c", &counted), 8);
    cr_expect(slice_eq_text(counted.client_id, "c") && counted.user.len == 0, "each client id has a count of its own");
    set(&m, NULL, "c", NULL, RATE, 7);
    cr_expect_eq(limit_of(&m, "u", "c", &counted), 7);
    set(&m, ANY, NULL, NULL, RATE, 6);
    cr_expect_eq(limit_of(&m, "u", "c", &counted), 6);
    cr_expect(slice_eq_text(counted.user, "u") && counted.client_id.len == 0);
    set(&m, ANY, ANY, NULL, RATE, 5);
    cr_expect_eq(limit_of(&m, "u", "c", &counted), 5);
    set(&m, ANY, "c", NULL, RATE, 4);
    cr_expect_eq(limit_of(&m, "u", "c", &counted), 4);
    cr_expect(slice_eq_text(counted.user, "u") && slice_eq_text(counted.client_id, "c"));
    set(&m, "u", NULL, NULL, RATE, 3);
    cr_expect_eq(limit_of(&m, "u", "c", &counted), 3);
    set(&m, "u", ANY, NULL, RATE, 2);
    cr_expect_eq(limit_of(&m, "u", "c", &counted), 2);
    set(&m, "u", "c", NULL, RATE, 1);
    cr_expect_eq(limit_of(&m, "u", "c", &counted), 1);
    set(&m, "u", "other", NULL, "consumer_byte_rate", 9);
    cr_expect_eq(limit_of(&m, "u", "other", &counted), 2, "another key does not stand in the way");
    cr_expect_eq(limit_of(&m, "u", "", &counted), 3, "a client without a name has no client's quota");
    shared_set_unref(m.quotas);
}

Test(quota_limit, an_address_has_its_own_limit_or_the_default)
{
    struct metadata m = {.quotas = shared_set_new()};
    double limit = 0;

    cr_expect(!quota_limit_of_address(m.quotas, SLICE("10.0.0.1"), &limit));
    set(&m, NULL, NULL, ANY, "connection_creation_rate", 5);
    cr_expect(quota_limit_of_address(m.quotas, SLICE("10.0.0.1"), &limit) && limit == 5);
    set(&m, NULL, NULL, "10.0.0.1", "connection_creation_rate", 2);
    cr_expect(quota_limit_of_address(m.quotas, SLICE("10.0.0.1"), &limit) && limit == 2);
    cr_expect(quota_limit_of_address(m.quotas, SLICE("10.0.0.2"), &limit) && limit == 5);
    shared_set_unref(m.quotas);
}

/* -- charging -- */

static struct quotas *quotas_with_defaults(void)
{
    struct broker_config *config = broker_config_new();
    struct quotas *q = quotas_new(config);
    broker_config_free(config);
    return q;
}

static const struct quota_client one = {{(const uint8_t *)"u", sizeof "u" - 1},
                                        {(const uint8_t *)"one", sizeof "one" - 1}},
                                 two = {{(const uint8_t *)"u", sizeof "u" - 1},
                                        {(const uint8_t *)"two", sizeof "two" - 1}};

Test(quotas, clients_of_one_user_share_a_users_quota)
{
    struct metadata m = {.quotas = shared_set_new()};
    struct quotas *q = quotas_with_defaults();

    cr_expect(!quotas_has(q, QUOTA_PRODUCER_BYTE_RATE));
    set(&m, "u", NULL, NULL, RATE, 1000);
    quotas_publish(q, m.quotas);
    cr_expect(quotas_has(q, QUOTA_PRODUCER_BYTE_RATE) && !quotas_has(q, QUOTA_CONSUMER_BYTE_RATE));
    cr_expect_eq(quotas_charge(q, m.quotas, QUOTA_PRODUCER_BYTE_RATE, &one, 10000, 0), 0);
    cr_expect_eq(quotas_charge(q, m.quotas, QUOTA_PRODUCER_BYTE_RATE, &two, 10000, 0), 10000);
    quotas_free(q);
    shared_set_unref(m.quotas);
}

Test(quotas, clients_of_a_default_do_not)
{
    struct metadata m = {.quotas = shared_set_new()};
    struct quotas *q = quotas_with_defaults();

    set(&m, NULL, ANY, NULL, RATE, 1000);
    quotas_publish(q, m.quotas);
    cr_expect_eq(quotas_charge(q, m.quotas, QUOTA_PRODUCER_BYTE_RATE, &one, 10000, 0), 0);
    cr_expect_eq(quotas_charge(q, m.quotas, QUOTA_PRODUCER_BYTE_RATE, &two, 10000, 0), 0);
    cr_expect_eq(quotas_charge(q, m.quotas, QUOTA_PRODUCER_BYTE_RATE, &one, 10000, 0), 10000);
    quotas_free(q);
    shared_set_unref(m.quotas);
}

Test(quotas, time_of_the_broker_costs_one_window_at_most)
{
    struct metadata m = {.quotas = shared_set_new()};
    struct quotas *q = quotas_with_defaults();

    set(&m, "u", NULL, NULL, "request_percentage", 1);
    quotas_publish(q, m.quotas);
    cr_expect_eq(quotas_charge(q, m.quotas, QUOTA_REQUEST_PERCENTAGE, &one, 1e6, 0), 1000);
    quotas_free(q);
    shared_set_unref(m.quotas);
}

Test(quotas, a_fetch_gets_no_more_than_the_windows_allow)
{
    struct metadata m = {.quotas = shared_set_new()};
    struct quotas *q = quotas_with_defaults();

    cr_expect_eq(quotas_fetch_bytes_max(q, m.quotas, &one), INT64_MAX);
    set(&m, "u", NULL, NULL, "consumer_byte_rate", 1000);
    cr_expect_eq(quotas_fetch_bytes_max(q, m.quotas, &one), 10000);
    quotas_free(q);
    shared_set_unref(m.quotas);
}

Test(quotas, new_versions_are_refused_when_too_much_was_changed_and_old_ones_wait)
{
    struct metadata m = {.quotas = shared_set_new()};
    struct quotas *q = quotas_with_defaults();
    int64_t wait_ms;

    set(&m, "u", NULL, NULL, "controller_mutation_rate", 1);
    quotas_publish(q, m.quotas);
    cr_expect(quotas_mutate(q, m.quotas, &one, 13, true, 0, &wait_ms) && wait_ms == 0, "one may go below zero");
    cr_expect(!quotas_mutate(q, m.quotas, &one, 1, true, 0, &wait_ms) && wait_ms == 2000);
    cr_expect(quotas_mutate(q, m.quotas, &one, 1, false, 0, &wait_ms) && wait_ms == 3000);
    cr_expect(quotas_mutate(q, m.quotas, &one, 1, true, 3000, &wait_ms) && wait_ms == 0);
    quotas_free(q);
    shared_set_unref(m.quotas);
}

Test(quotas, names_that_clients_invent_do_not_grow_the_memory)
{
    struct metadata m = {.quotas = shared_set_new()};
    struct quotas *q = quotas_with_defaults();
    AUTO_FREE char *name = xcalloc(1, 30001);

    set(&m, NULL, ANY, NULL, RATE, 1000);
    quotas_publish(q, m.quotas);
    memset(name, 'x', 30000);
    (void)quotas_charge(q, m.quotas, QUOTA_PRODUCER_BYTE_RATE, &one, 20000, 0);
    for (int i = 0; i < 2000; i++) {
        snprintf(name, 10, "%09d", i);
        const struct quota_client c = {SLICE("u"), slice_make(name, 30000)};
        (void)quotas_charge(q, m.quotas, QUOTA_PRODUCER_BYTE_RATE, &c, 1, 0);
        cr_assert_leq(quotas_bytes(q), QUOTA_USAGE_BYTES_MAX + 31000);
    }
    cr_expect_gt(quotas_bytes(q), QUOTA_USAGE_BYTES_MAX / 2);
    cr_expect_eq(quotas_charge(q, m.quotas, QUOTA_PRODUCER_BYTE_RATE, &one, 1, 0), 0,
                 "the longest unused was forgotten");
    (void)quotas_charge(q, m.quotas, QUOTA_PRODUCER_BYTE_RATE, &two, 1, QUOTA_IDLE_MS + 1);
    cr_expect_lt(quotas_bytes(q), 2000, "so are all that were idle");
    quotas_free(q);
    shared_set_unref(m.quotas);
}
