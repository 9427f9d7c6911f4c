/* The promises of connection_limits.h, by a clock of the test. */
#include "broker/net/connection_limits.h"
#include "broker/limits.h"
#include "broker/metadata/metadata_log.h"
#include "broker/access/quota_store.h"

#include <criterion/criterion.h>
#include <stdio.h>

static const struct quota_windows ten = {11, 1000};

struct fixture {
    struct connection_limits *limits;
    struct broker_config *config;
    struct metadata m;
    struct connection_address *address;
    double limit;
    int64_t wait_ms;
};

static void fixture_new(struct fixture *f)
{
    *f = (struct fixture){.limits = connection_limits_new(&ten), .config = broker_config_new()};
    f->m.quotas = shared_set_new();
}

static void fixture_done(struct fixture *f)
{
    connection_limits_free(f->limits);
    broker_config_free(f->config);
    shared_set_unref(f->m.quotas);
}

static void set_rate(struct fixture *f, const char *address, double rate)
{
    struct client_quota_record_entity_data entity = {SLICE("ip"), *address ? slice_of(address) : SLICE_NULL};
    struct client_quota_record r = {
        .entity = &entity, .entity_count = 1, .key = SLICE("connection_creation_rate"), .value = rate};
    cr_assert(quota_replay(&f->m, &r));
}

static enum connection_verdict take(struct fixture *f, const char *host, int64_t now_ms)
{
    return connection_limits_take(f->limits, f->config, f->m.quotas, slice_of(host), now_ms, &f->address, &f->limit,
                                  &f->wait_ms);
}

Test(connection_limits, overrides_are_read_in_every_form_of_an_address)
{
    const char *list = "10.0.0.1:5, [::1]:6,2001:DB8::0:1:7,10.0.0.1:8";

    cr_expect_eq(connection_override(list, SLICE("10.0.0.1")), 8, "the last one counts");
    cr_expect_eq(connection_override(list, SLICE("::1")), 6);
    cr_expect_eq(connection_override(list, SLICE("2001:db8::1")), 7);
    cr_expect_eq(connection_override(list, SLICE("10.0.0.2")), -1);
    cr_expect_eq(connection_override("", SLICE("10.0.0.2")), -1);
    cr_expect_eq(connection_overrides_check(list, NULL), 0);
    cr_expect_eq(connection_overrides_check("", NULL), 0);
    static const char *const wrong[] = {
        "10.0.0.1", "10.0.0.1:", ":5", "host:5", "10.0.0.1:x", "10.0.0.1:-1", "10.0.0.1:99999999999", "10.0.0.1:5,,"};
    for (size_t i = 0; i < countof(wrong); i++) {
        struct err err = ERR_NONE;
        cr_expect_lt(connection_overrides_check(wrong[i], &err), 0, "%s", wrong[i]);
        cr_expect(*err.text, "%s", wrong[i]);
    }
}

Test(connection_limits, an_address_gets_what_it_may_have_and_gives_it_back)
{
    struct fixture f;

    fixture_new(&f);
    cr_assert_eq(broker_config_set(f.config, "max.connections.per.ip", "2", NULL), 0);
    cr_assert_eq(broker_config_set(f.config, "max.connections.per.ip.overrides", "10.0.0.9:0", NULL), 0);
    cr_expect_eq(take(&f, "10.0.0.1", 0), CONNECTION_TAKEN);
    struct connection_address *one = f.address;
    cr_expect_eq(take(&f, "10.0.0.1", 0), CONNECTION_TAKEN);
    cr_expect_eq(take(&f, "10.0.0.1", 0), CONNECTION_TOO_MANY);
    cr_expect_eq(f.limit, 2);
    cr_expect_eq(take(&f, "10.0.0.2", 0), CONNECTION_TAKEN);
    cr_expect_eq(take(&f, "10.0.0.9", 0), CONNECTION_TOO_MANY);
    connection_limits_give_back(f.limits, one);
    cr_expect_eq(take(&f, "10.0.0.1", 0), CONNECTION_TAKEN);
    fixture_done(&f);
}

Test(connection_limits, what_comes_too_fast_waits_one_window_at_most_and_does_not_count)
{
    struct fixture f;

    fixture_new(&f);
    set_rate(&f, "10.0.0.1", 2);
    for (int i = 0; i < 20; i++) cr_assert_eq(take(&f, "10.0.0.1", 0), CONNECTION_TAKEN, "twenty in ten seconds");
    for (int i = 0; i < 5; i++) {
        cr_expect_eq(take(&f, "10.0.0.1", 0), CONNECTION_TOO_FAST);
        cr_expect(f.limit == 2 && f.wait_ms == 500, "%lld", (long long)f.wait_ms);
    }
    cr_expect_eq(take(&f, "10.0.0.2", 0), CONNECTION_TAKEN, "another has no quota");
    cr_expect_eq(take(&f, "10.0.0.1", 11000), CONNECTION_TAKEN);
    fixture_done(&f);
}

Test(connection_limits, all_together_come_at_the_rate)
{
    struct fixture f;

    fixture_new(&f);
    cr_expect_eq(connection_limits_pause_ms(f.limits, f.config, 0), 0, "no limit");
    cr_assert_eq(broker_config_set(f.config, "max.connection.creation.rate", "5", NULL), 0);
    for (int i = 0; i < 50; i++) cr_assert_eq(connection_limits_pause_ms(f.limits, f.config, 0), 0);
    cr_expect_eq(connection_limits_pause_ms(f.limits, f.config, 0), 200);
    fixture_done(&f);
}

Test(connection_limits, addresses_of_the_past_are_forgotten)
{
    struct fixture f;
    char host[32];

    fixture_new(&f);
    set_rate(&f, "", 1000);
    for (int i = 0; i < CONNECTION_ADDRESSES_MAX + 500; i++) {
        snprintf(host, sizeof host, "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        cr_assert_eq(take(&f, host, 0), CONNECTION_TAKEN);
        connection_limits_give_back(f.limits, f.address);
    }
    cr_expect_leq(connection_limits_count(f.limits), CONNECTION_ADDRESSES_MAX + 1);
    cr_assert_eq(take(&f, "10.9.9.9", QUOTA_IDLE_MS + 1), CONNECTION_TAKEN);
    cr_expect_eq(connection_limits_count(f.limits), 1, "the others were idle for long");
    fixture_done(&f);
}
