/* Metrics of clients, by a clock of the test: when they may ask and push, what is forgotten, and that memory is
 * bounded. */
#include "broker/telemetry/client_metrics.h"
#include "broker/limits.h"
#include "broker/metadata/metadata.h"
#include "broker/telemetry/telemetry.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* -- OTLP -- */

static void part(struct bytes *out, uint8_t number, struct slice data)
{
    bytes_append_byte(out, (uint8_t)(number << 3 | 2));
    for (uint32_t len = data.len; len >= 0x80 || (bytes_append_byte(out, (uint8_t)len), false); len >>= 7)
        bytes_append_byte(out, (uint8_t)(len | 0x80));
    bytes_append_slice(out, data);
}

/* in wrapped as field `number`, freed. */
static struct bytes wrap(struct bytes in, uint8_t number)
{
    struct bytes out = {0};
    part(&out, number, bytes_slice(&in));
    bytes_done(&in);
    return out;
}

/* One gauge of one point, with an attribute "k" whose text is given. */
static struct bytes gauge(const char *name, const char *text, int64_t value)
{
    struct bytes attribute = {0}, data = {0}, point = {0}, metric = {0};

    part(&data, 1, slice_of(text));
    part(&attribute, 1, SLICE("k"));
    part(&attribute, 2, bytes_slice(&data));
    part(&point, 7, bytes_slice(&attribute));
    bytes_append_byte(&point, 6 << 3 | 1);
    bytes_append(&point, &value, sizeof value);
    part(&metric, 1, slice_of(name));
    struct bytes points = wrap(point, 1);
    part(&metric, 5, bytes_slice(&points));
    bytes_done(&points), bytes_done(&attribute), bytes_done(&data);
    return wrap(wrap(wrap(metric, 2), 2), 1);
}

static struct client_identity client(uint32_t id)
{
    struct client_identity who = {.client_id = SLICE("app"),
                                  .software_name = SLICE("lib"),
                                  .software_version = SLICE("1"),
                                  .address = SLICE("::1")};
    memcpy(who.instance_id.bytes, &id, sizeof id);
    return who;
}

static void push(struct client_metrics *m, uint32_t id, const char *name, const char *text, int64_t value,
                 int64_t now_ms)
{
    struct bytes data = gauge(name, text, value);
    struct client_identity who = client(id);
    cr_assert(client_metrics_push(m, &who, bytes_slice(&data), now_ms, 1000));
    bytes_done(&data);
}

static bool has(struct client_metrics *m, int64_t now_ms, const char *line)
{
    struct bytes text = {0};
    client_metrics_write(m, now_ms, &text);
    bytes_append_byte(&text, '\0');
    bool found = strstr((const char *)text.ptr, line) != NULL;
    bytes_done(&text);
    return found;
}

Test(client_metrics, a_value_is_written_with_its_client_and_its_attributes)
{
    struct client_metrics *m = client_metrics_new();

    push(m, 1, "org.apache.level", "a\"\\\n\xff\xc3\xa9\xed\xa0\x80", -5, 1000);
    cr_expect(has(m, 1000,
                  "# HELP org_apache_level Pushed by Kafka clients as org.apache.level\n"
                  "# TYPE org_apache_level gauge\n"
                  "org_apache_level{client_instance_id=\"AQAAAAAAAAAAAAAAAAAAAA\",client_id=\"app\","
                  "k=\"a\\\"\\\\\\n?\xc3\xa9???\"} -5\n"));
    client_metrics_free(m);
}

Test(client_metrics, what_is_not_pushed_for_long_is_forgotten_and_the_memory_with_it)
{
    struct client_metrics *m = client_metrics_new();

    push(m, 1, "org.old", "x", 1, 0);
    push(m, 1, "org.new", "x", 1, CLIENT_METRICS_KEEP_MS);
    push(m, 2, "org.new", "x", 1, CLIENT_METRICS_KEEP_MS);
    cr_expect(has(m, CLIENT_METRICS_KEEP_MS, "\norg_old{"));
    cr_expect_not(has(m, CLIENT_METRICS_KEEP_MS + CLIENT_METRICS_SWEEP_MS, "org_old"));
    cr_expect(has(m, CLIENT_METRICS_KEEP_MS + CLIENT_METRICS_SWEEP_MS, "\norg_new{"));
    cr_expect_not(has(m, 3 * CLIENT_METRICS_KEEP_MS, "org_new"));
    cr_expect_eq(client_metrics_bytes(m), 0);
    client_metrics_free(m);
}

/* Names that the client makes up, with the longest labels. */
static void make_up(struct client_metrics *m, uint32_t id, int count, int64_t now_ms)
{
    char name[CLIENT_METRICS_NAME_BYTES_MAX], text[3000];

    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "org.made.up.%d", i);
        push(m, id, name, text, 1, now_ms);
    }
}

Test(client_metrics, a_client_that_makes_up_names_fills_its_own_room_and_no_more)
{
    struct client_metrics *m = client_metrics_new();

    push(m, 1, "org.kept", "x", 7, 1000);
    make_up(m, 2, 20000, 2000);
    cr_expect_gt(client_metrics_bytes(m), CLIENT_METRICS_CLIENT_BYTES_MAX - 16384);
    cr_expect_leq(client_metrics_bytes(m), CLIENT_METRICS_CLIENT_BYTES_MAX + 16384);
    cr_expect_not(has(m, 2000, "ottla_client_telemetry_left_out_total 0\n"));
    cr_expect(has(m, 2000, "\norg_kept{"));
    client_metrics_free(m);
}

Test(client_metrics, when_all_together_are_too_many_the_longest_silent_goes)
{
    struct client_metrics *m = client_metrics_new();
    uint32_t clients = 3 * CLIENT_METRICS_BYTES_MAX / CLIENT_METRICS_CLIENT_BYTES_MAX;

    push(m, 1, "org.silent", "x", 7, 1000);
    for (uint32_t id = 2; id < clients; id++) {
        push(m, 100, "org.loud", "x", 7, 1000 + id);
        make_up(m, id + 100, 1000, 1000 + id);
        cr_assert_leq(client_metrics_bytes(m), CLIENT_METRICS_BYTES_MAX);
    }
    cr_expect_gt(client_metrics_bytes(m), CLIENT_METRICS_BYTES_MAX / 2);
    cr_expect_not(has(m, 2000, "\norg_silent{"));
    cr_expect(has(m, 2000, "\norg_loud{"));
    client_metrics_free(m);
}

Test(client_metrics, a_client_for_whose_labels_there_is_no_room_pushes_others_out)
{
    struct client_metrics *m = client_metrics_new();
    char text[3000];

    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    for (uint32_t i = 1; i < 16000; i++) push(m, i, "org.a", text, i, 1000);
    cr_expect_leq(client_metrics_bytes(m), CLIENT_METRICS_BYTES_MAX);
    cr_expect(has(m, 1000, "ottla_client_telemetry_points_total 15999\n"));
    cr_expect(has(m, 1000, "ottla_client_telemetry_left_out_total 0\n"));
    cr_expect(has(m, 1000, "} 15999\n"), "the last one is kept");
    cr_expect_not(has(m, 1000, "client_instance_id=\"AQAAAAAAAAAAAAAAAAAAAA\""), "the first one is not");
    client_metrics_free(m);
}

Test(client_metrics, the_longest_silent_client_makes_room_for_a_new_one)
{
    struct client_metrics *m = client_metrics_new();

    for (uint32_t i = 1; i <= TELEMETRY_CLIENTS_MAX + 1; i++) push(m, i, "org.a", "x", i, 1000);
    cr_expect(has(m, 1000, "ottla_client_telemetry_clients 16384\n"));
    cr_expect_not(has(m, 1000, "client_instance_id=\"AQAAAAAAAAAAAAAAAAAAAA\""));
    client_metrics_free(m);
}

Test(client_metrics, a_name_is_a_counter_or_a_gauge_and_a_reserved_one_neither)
{
    struct client_metrics *m = client_metrics_new();

    push(m, 1, "org.a", "x", 1, 1000);
    push(m, 1, "ottla.build.info", "x", 1, 1000);
    push(m, 1, "kafka.brokers", "x", 1, 1000);
    push(m, 1, "up", "x", 1, 1000);
    push(m, 1, "", "x", 1, 1000);
    cr_expect(has(m, 1000, "ottla_client_telemetry_points_total 5\n"));
    cr_expect(has(m, 1000, "ottla_client_telemetry_left_out_total 4\n"));
    client_metrics_free(m);
}

/* -- when -- */

static struct config_entry entries[] = {{"interval.ms", "1000"}, {"metrics", "org.a"}};
static struct metadata_resource resource = {
    .type = CONFIG_RESOURCE_CLIENT_METRICS, .name = (char *)(uintptr_t) "s", .config = {entries, 2}};
static struct metadata_resource *resources[] = {&resource};
static const struct metadata metadata = {.resources_count = 1, .resources = resources};

static struct slice client_id;

static enum kafka_error ask(struct telemetry *t, uint32_t id, uint64_t connection, int64_t now_ms,
                            int32_t *ret_subscription)
{
    const struct telemetry_client who = {.client_id = client_id, .connection_id = connection, .port = "1"};
    struct telemetry_subscription s = {0};
    struct arena a;

    arena_init(&a, 1 << 16);
    enum kafka_error error = telemetry_subscribe(t, &metadata, &who, client(id).instance_id, now_ms, &a, &s);
    *ret_subscription = s.id;
    arena_done(&a);
    return error;
}

static enum kafka_error push_nothing(struct telemetry *t, uint32_t id, uint64_t connection, int32_t subscription,
                                     int64_t now_ms)
{
    const struct telemetry_client who = {.connection_id = connection, .port = "1"};
    const struct telemetry_push p = {.instance_id = client(id).instance_id,
                                     .subscription_id = subscription,
                                     .metrics = SLICE_EMPTY,
                                     .bytes_max = 10};
    return telemetry_push(t, &metadata, &who, &p, now_ms);
}

Test(telemetry, a_push_is_taken_once_in_an_interval)
{
    struct telemetry *t = telemetry_new();
    int32_t s, ignored;

    cr_expect_eq(ask(t, 1, 1, 50, &s), KAFKA_NONE, "a machine that was just started has a low clock");
    cr_expect_eq(push_nothing(t, 1, 1, s, 60), KAFKA_NONE);
    cr_expect_eq(push_nothing(t, 1, 1, s, 1059), KAFKA_THROTTLING_QUOTA_EXCEEDED);
    cr_expect_eq(push_nothing(t, 1, 1, s, 1060), KAFKA_NONE);
    cr_expect_eq(ask(t, 1, 1, 2059, &ignored), KAFKA_THROTTLING_QUOTA_EXCEEDED, "a push counts too");
    cr_expect_eq(ask(t, 1, 1, 2060, &ignored), KAFKA_NONE);
    telemetry_free(t);
}

Test(telemetry, a_client_is_forgotten_with_its_connection_or_after_long_silence)
{
    struct telemetry *t = telemetry_new();
    int32_t s;

    cr_expect_eq(ask(t, 1, 1, 0, &s), KAFKA_NONE);
    cr_expect_eq(ask(t, 2, 1, 0, &s), KAFKA_NONE, "another instance through the same connection");
    telemetry_disconnected(t, 1);
    cr_expect_eq(ask(t, 1, 3, 10, &s), KAFKA_THROTTLING_QUOTA_EXCEEDED, "only the last one goes with it, as in Kafka");
    cr_expect_eq(ask(t, 2, 3, 10, &s), KAFKA_NONE);
    telemetry_disconnected(t, 3);
    telemetry_disconnected(t, 3);
    cr_expect_eq(ask(t, 2, 4, 20, &s), KAFKA_NONE);
    cr_expect_eq(push_nothing(t, 2, 4, s, 20), KAFKA_NONE);
    cr_expect_eq(push_nothing(t, 2, 4, s, 21 + TELEMETRY_KEEP_MS), KAFKA_NONE);
    telemetry_free(t);
}

Test(telemetry, clients_with_long_names_push_each_other_out)
{
    struct telemetry *t = telemetry_new();
    static char name[32000];
    int32_t s;

    memset(name, 'n', sizeof name);
    client_id = slice_make(name, sizeof name);
    for (uint32_t i = 1; i <= TELEMETRY_BYTES_MAX / sizeof name + 1; i++) cr_assert_eq(ask(t, i, i, 0, &s), KAFKA_NONE);
    cr_expect_eq(ask(t, 400, 400, 1, &s), KAFKA_THROTTLING_QUOTA_EXCEEDED, "still known");
    cr_expect_eq(ask(t, 1, 1, 1, &s), KAFKA_NONE, "had to go");
    telemetry_free(t);
}

/* A push of a few compressed kilobytes may hold a million values. */
Test(telemetry, of_one_push_only_so_many_values_are_kept)
{
    struct client_metrics *m = client_metrics_new();
    struct bytes one = gauge("crowd", "x", 1), all = {0}, text = {0};
    struct client_identity who = client(1);

    for (int i = 0; i < CLIENT_METRICS_PUSH_POINTS_MAX + 7; i++) bytes_append(&all, one.ptr, one.len);
    cr_assert(client_metrics_push(m, &who, bytes_slice(&all), 1, 1000));
    client_metrics_write(m, 1, &text);
    bytes_append_byte(&text, 0);
    cr_assert(strstr((const char *)text.ptr, "ottla_client_telemetry_left_out_total 7\n"));
    bytes_done(&one), bytes_done(&all), bytes_done(&text);
    client_metrics_free(m);
}
