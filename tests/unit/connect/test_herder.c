/* Unit tests of the life of connectors: herder, records. The store is memory, the connectors are fakes. */
#include "tests/unit/connect/fake.h"
#include "tests/lib/wait.h"

#include <criterion/criterion.h>
#include <string.h>

static json_t *config_of(const char *name, const char *more)
{
    char *text =
        xasprintf("{\"connector.class\":\"test.FakeConnector\"%s%s,\"name\":\"%s\"}", *more ? "," : "", more, name);
    json_t *config = json_loads(text, 0, NULL);

    cr_assert(config, "%s", text);
    free(text);
    return config;
}

static int create(struct fixture *f, const char *name, const char *more, enum target_state target)
{
    struct err err;
    json_t *config = config_of(name, more);
    int r = herder_create(f->herder, name, config, target, &err);

    json_decref(config);
    return r;
}

static void expect_stored(struct fixture *f, const char *key, const char *value)
{
    char *now = NULL;

    /* statuses are written a moment after they can be read */
    WAIT_UNTIL((free(now), now = memory_store_get(&f->store, key), value ? now && strcmp(now, value) == 0 : !now));
    if (value) cr_expect_str_eq(now ? now : "(none)", value, "%s", key);
    else cr_expect_null(now, "%s", key);
    free(now);
}

Test(herder, a_connector_runs_and_is_stored_as_connect_stores_it)
{
    struct fixture f = {0};
    fixture_start(&f);
    cr_assert_eq(create(&f, "c", "\"a\":\"1\"", TARGET_RUNNING), 0);
    cr_expect_eq(f.store.durable_count >= 2, true);
    cr_assert(state_becomes(&f, "c", "RUNNING/RUNNING"));
    expect_stored(&f, "connector-c",
                  "{\"properties\":{\"connector.class\":\"test.FakeConnector\",\"a\":\"1\",\"name\":\"c\"}}");
    expect_stored(&f, "task-c-0",
                  "{\"properties\":{\"connector.class\":\"test.FakeConnector\",\"a\":\"1\",\"name\":\"c\","
                  "\"task.class\":\"test.FakeTask\"}}");
    expect_stored(&f, "commit-c", "{\"tasks\":1}");
    expect_stored(&f, "target-state-c", "{\"state\":\"STARTED\",\"state.v2\":\"STARTED\"}");
    expect_stored(
        &f, "status-connector-c",
        "{\"state\":\"RUNNING\",\"trace\":null,\"worker_id\":\"test:8083\",\"generation\":1,\"version\":\"1.2.3\"}");
    expect_stored(
        &f, "status-task-c-0",
        "{\"state\":\"RUNNING\",\"trace\":null,\"worker_id\":\"test:8083\",\"generation\":1,\"version\":\"1.2.3\"}");
    herder_flush(f.herder);
    expect_stored(&f, "[\"c\",{\"server\":\"c\"}]", "{\"n\":1}");
    cr_expect_eq(create(&f, "c", "", TARGET_RUNNING), 409);
    fixture_stop(&f);
    cr_expect_eq(fake_running(), 0);
}

Test(herder, pause_resume_stop_and_delete)
{
    struct fixture f = {0};
    struct err err;
    fixture_start(&f);
    cr_assert_eq(create(&f, "c", "", TARGET_RUNNING), 0);
    cr_assert(state_becomes(&f, "c", "RUNNING/RUNNING"));
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(herder_set_target(f.herder, "c", TARGET_PAUSED, &err), 0);
        cr_assert(state_becomes(&f, "c", "PAUSED/PAUSED"));
        expect_stored(&f, "target-state-c", "{\"state\":\"PAUSED\",\"state.v2\":\"PAUSED\"}");
        cr_assert_eq(herder_set_target(f.herder, "c", TARGET_RUNNING, &err), 0);
        cr_assert(state_becomes(&f, "c", "RUNNING/RUNNING"));
    }
    cr_expect_eq(fake_starts(), 1, "pause keeps the instance");
    cr_assert_eq(herder_set_target(f.herder, "c", TARGET_STOPPED, &err), 0);
    cr_assert(state_becomes(&f, "c", "STOPPED/-"));
    cr_expect_eq(fake_running(), 0);
    expect_stored(&f, "target-state-c", "{\"state\":\"PAUSED\",\"state.v2\":\"STOPPED\"}");
    expect_stored(&f, "commit-c", "{\"tasks\":0}");
    expect_stored(&f, "status-task-c-0", NULL);
    cr_assert_eq(herder_set_target(f.herder, "c", TARGET_RUNNING, &err), 0);
    cr_assert(state_becomes(&f, "c", "RUNNING/RUNNING"));
    cr_assert_eq(herder_delete(f.herder, "c", &err), 0);
    cr_assert(state_becomes(&f, "c", "none"));
    static const char *const gone[] = {"connector-c", "target-state-c", "status-connector-c", "status-task-c-0",
                                       "status-topic-c.topic:connector-c"};
    for (size_t i = 0; i < countof(gone); i++) expect_stored(&f, gone[i], NULL);
    expect_stored(&f, "[\"c\",{\"server\":\"c\"}]", "{\"n\":2}"); /* positions outlive their connector */
    cr_expect(WAIT_UNTIL(fake_running() == 0));
    cr_expect_eq(herder_delete(f.herder, "c", &err), 404);
    cr_expect_str_eq(err.text, "Connector c not found");
    cr_expect_eq(herder_set_target(f.herder, "c", TARGET_PAUSED, &err), 404);
    cr_expect_str_eq(err.text, "Unknown connector c");
    fixture_stop(&f);
}

Test(herder, what_was_running_runs_again_after_a_restart)
{
    struct fixture f = {0};
    struct err err;
    fixture_start(&f);
    cr_assert_eq(create(&f, "runs", "", TARGET_RUNNING), 0);
    cr_assert_eq(create(&f, "paused", "", TARGET_PAUSED), 0);
    cr_assert_eq(create(&f, "stopped", "", TARGET_STOPPED), 0);
    cr_assert_eq(create(&f, "deleted", "", TARGET_PAUSED), 0);
    cr_assert_eq(create(&f, "again", "", TARGET_STOPPED), 0);
    cr_assert_eq(create(&f, "fails", "\"fake.state\":\"fail\"", TARGET_RUNNING), 0);
    cr_assert(state_becomes(&f, "runs", "RUNNING/RUNNING"));
    cr_assert_eq(herder_delete(f.herder, "deleted", &err), 0);
    cr_assert_eq(herder_delete(f.herder, "again", &err), 0);
    cr_assert_eq(create(&f, "again", "\"b\":\"2\"", TARGET_RUNNING), 0);
    for (int i = 0; i < 3; i++) {
        cr_assert(state_becomes(&f, "runs", "RUNNING/RUNNING"));
        cr_assert(state_becomes(&f, "paused", "PAUSED/PAUSED"));
        cr_assert(state_becomes(&f, "stopped", "STOPPED/-"));
        cr_assert(state_becomes(&f, "again", "RUNNING/RUNNING"));
        cr_assert(state_becomes(&f, "fails", "RUNNING/FAILED"));
        cr_assert(state_becomes(&f, "deleted", "none"));
        cr_expect(WAIT_UNTIL(fake_running() == 4)); /* what is deleted stops a moment later */
        json_t *names = herder_names(f.herder);
        cr_expect_eq(json_array_size(names), 5);
        json_decref(names);
        json_t *topics = herder_topics(f.herder, "runs");
        char *text = json_dumps(topics, JSON_COMPACT);
        cr_expect_str_eq(text, "{\"runs\":{\"topics\":[\"runs.topic\"]}}");
        free(text);
        json_decref(topics);
        fixture_restart(&f);
    }
    json_t *config = herder_config(f.herder, "again");
    cr_expect_str_eq(config_get(config, "b"), "2");
    json_decref(config);
    fixture_stop(&f);
}

static const char *trace_of(struct fixture *f, const char *name, char ret_trace[500])
{
    json_t *status = herder_status(f->herder, name);
    const char *trace = json_string_value(json_object_get(json_object_get(status, "connector"), "trace"));

    snprintf(ret_trace, 500, "%s", trace ? trace : "(none)");
    json_decref(status);
    return ret_trace;
}

Test(herder, a_connector_whose_configuration_cannot_be_read_is_there_and_failed)
{
    struct fixture f = {0};
    struct err err;
    char trace[500];
    bool created;
    fixture_start(&f);
    cr_assert_eq(create(&f, "c", "", TARGET_RUNNING), 0);
    cr_assert_eq(create(&f, "other", "", TARGET_RUNNING), 0);
    cr_assert(state_becomes(&f, "other", "RUNNING/RUNNING"));
    memory_store_add(&f.store, CONNECT_CONFIGS, "connector-c", "{\"properties\":");
    fixture_restart(&f);
    cr_assert(state_becomes(&f, "other", "RUNNING/RUNNING"));
    cr_assert(state_becomes(&f, "c", "FAILED/-"), "an older configuration must not run in its place");
    cr_expect(strstr(trace_of(&f, "c", trace), "memory-0"), "%s", trace);
    cr_expect(strstr(trace, "offset"), "%s", trace);
    cr_expect(strstr(trace, "not valid JSON"), "%s", trace);
    /* a configuration mends it */
    json_t *config = config_of("c", "");
    cr_assert_eq(herder_put(f.herder, "c", config, NULL, &created, &err), 0);
    cr_expect_not(created);
    cr_assert(state_becomes(&f, "c", "RUNNING/RUNNING"));
    fixture_restart(&f);
    cr_assert(state_becomes(&f, "c", "RUNNING/RUNNING"));
    json_decref(config);
    fixture_stop(&f);
}

#define WORKERS_CONFIG "{\"properties\":{\"connector.class\":\"test.FakeConnector\",\"name\":\"theirs\"}}"

/* The examples of Kafka Connect name its topics as ours are named by default. */
Test(herder, connectors_of_a_worker_with_the_same_topics_are_left_to_it)
{
    struct fixture f = {0};
    struct err err;
    bool created;
    json_t *config = config_of("late", "");

    memory_store_init(&f.store);
    memory_store_add(&f.store, CONNECT_CONFIGS, "session-key", "{\"key\":\"x\",\"algorithm\":\"HmacSHA256\"}");
    memory_store_add(&f.store, CONNECT_CONFIGS, "connector-theirs", WORKERS_CONFIG);
    memory_store_add(&f.store, CONNECT_CONFIGS, "connector-broken", "{\"properties\":");
    fixture_run(&f);
    cr_expect(state_becomes(&f, "theirs", "none"));
    cr_expect(state_becomes(&f, "broken", "none"));
    json_t *names = herder_names(f.herder);
    cr_expect_eq(json_array_size(names), 0);
    cr_expect_eq(create(&f, "late", "", TARGET_RUNNING), 409, "the worker would run it, too");
    cr_expect_eq(herder_put(f.herder, "late", config, NULL, &created, &err), 409);
    cr_expect(strstr(err.text, "config.storage.topic"), "%s", err.text);
    cr_expect_eq(fake_starts(), 0);
    cr_expect_eq(f.store.count, 3, "nothing is written there");
    json_decref(names);
    json_decref(config);
    fixture_stop(&f);
}

Test(herder, our_own_connectors_go_on_when_a_worker_comes_to_the_same_topics)
{
    struct fixture f = {0};

    fixture_start(&f);
    cr_assert_eq(create(&f, "own", "", TARGET_RUNNING), 0);
    cr_assert(state_becomes(&f, "own", "RUNNING/RUNNING"));
    memory_store_add(&f.store, CONNECT_CONFIGS, "session-key", "{}");
    memory_store_add(&f.store, CONNECT_CONFIGS, "connector-theirs", WORKERS_CONFIG);
    cr_expect_eq(create(&f, "late", "", TARGET_RUNNING), 409);
    fixture_restart(&f);
    cr_assert(state_becomes(&f, "own", "RUNNING/RUNNING"));
    cr_expect(state_becomes(&f, "theirs", "none"));
    fixture_stop(&f);
}

/* Written by hand, or by an ottla of before: nobody else is there to run it. */
Test(herder, what_stands_in_topics_without_a_worker_is_ours)
{
    struct fixture f = {0};

    memory_store_init(&f.store);
    memory_store_add(&f.store, CONNECT_CONFIGS, "connector-theirs", WORKERS_CONFIG);
    fixture_run(&f);
    cr_assert(state_becomes(&f, "theirs", "RUNNING/RUNNING"));
    fixture_stop(&f);
}

Test(herder, a_connector_whose_configuration_was_in_a_damaged_batch_is_there_and_failed)
{
    struct fixture f = {0};
    struct err err;
    char trace[500];
    memory_store_init(&f.store);
    memory_store_add(&f.store, CONNECT_CONFIGS, "target-state-c", "{\"state\":\"STARTED\",\"state.v2\":\"STARTED\"}");
    fixture_run(&f);
    cr_expect(state_becomes(&f, "c", "none"), "a creation that was cut off by a crash was never answered");
    memory_store_add(&f.store, CONNECT_CONFIGS, NULL, NULL);
    fixture_restart(&f);
    cr_assert(state_becomes(&f, "c", "FAILED/-"));
    cr_expect(strstr(trace_of(&f, "c", trace), "memory-0"), "%s", trace);
    cr_expect(strstr(trace, "the dog ate it"), "%s", trace);
    /* it can be deleted, and is gone then */
    cr_assert_eq(herder_delete(f.herder, "c", &err), 0);
    fixture_restart(&f);
    cr_expect(state_becomes(&f, "c", "none"));
    fixture_stop(&f);
}

Test(herder, a_failed_task_is_told_and_restarted)
{
    struct fixture f = {0};
    struct err err;
    json_t *status;
    fixture_start(&f);
    cr_assert_eq(create(&f, "c", "", TARGET_RUNNING), 0);
    cr_assert(state_becomes(&f, "c", "RUNNING/RUNNING"));
    cr_assert_eq(herder_restart(f.herder, "c", true, true, &status, &err), 0);
    json_decref(status);
    cr_expect_eq(fake_starts(), 1, "nothing failed, nothing restarts");
    fake_fail("c", "fake.Error: boom\n\tat fake");
    cr_assert(state_becomes(&f, "c", "RUNNING/FAILED"));
    expect_stored(&f, "status-task-c-0",
                  "{\"state\":\"FAILED\",\"trace\":\"fake.Error: boom\\n\\tat fake\",\"worker_id\":\"test:8083\","
                  "\"generation\":1,\"version\":\"1.2.3\"}");
    status = herder_status(f.herder, "c");
    cr_expect_str_eq(json_string_value(json_object_get(json_array_get(json_object_get(status, "tasks"), 0), "trace")),
                     "fake.Error: boom\n\tat fake");
    json_decref(status);
    /* pause and resume leave a failed task failed */
    cr_assert_eq(herder_set_target(f.herder, "c", TARGET_PAUSED, &err), 0);
    cr_assert(state_becomes(&f, "c", "PAUSED/FAILED"));
    cr_assert_eq(herder_set_target(f.herder, "c", TARGET_RUNNING, &err), 0);
    cr_assert(state_becomes(&f, "c", "RUNNING/FAILED"));

    cr_assert_eq(herder_restart(f.herder, "c", false, false, &status, &err), 0);
    json_decref(status);
    cr_expect_eq(fake_starts(), 1, "the task is left alone");
    cr_assert_eq(herder_restart(f.herder, "c", true, true, &status, &err), 0);
    char *text = json_dumps(status, JSON_COMPACT);
    cr_expect_str_eq(
        text, "{\"name\":\"c\",\"connector\":{\"state\":\"RUNNING\",\"worker_id\":\"test:8083\",\"version\":\"1.2.3\"},"
              "\"tasks\":[{\"id\":0,\"state\":\"RESTARTING\",\"worker_id\":\"test:8083\",\"version\":\"1.2.3\"}],"
              "\"type\":\"source\"}");
    free(text);
    json_decref(status);
    cr_assert(state_becomes(&f, "c", "RUNNING/RUNNING"));
    cr_assert_eq(herder_restart_task(f.herder, "c", "0", &err), 0);
    cr_assert(state_becomes(&f, "c", "RUNNING/RUNNING"));
    cr_expect_eq(herder_restart_task(f.herder, "c", "1", &err), 404);
    cr_expect_str_eq(err.text, "Unknown task: c-1");
    cr_expect_eq(herder_restart_task(f.herder, "x", "0", &err), 404);
    cr_expect_str_eq(err.text, "Unknown connector: x");
    fixture_stop(&f);
    cr_expect_eq(fake_starts(), 3);
}

Test(herder, a_connector_that_cannot_start_is_failed_until_changed_or_restarted)
{
    struct fixture f = {0};
    struct err err;
    json_t *status;
    bool created;
    fixture_start(&f);
    cr_assert_eq(create(&f, "c", "\"fake.start\":\"fail\"", TARGET_RUNNING), 0);
    cr_assert(state_becomes(&f, "c", "FAILED/-"));
    cr_expect_eq(fake_starts(), 1);
    cr_assert_eq(herder_restart(f.herder, "c", false, false, &status, &err), 0);
    json_decref(status);
    cr_assert(WAIT_UNTIL(fake_starts() == 2));
    cr_assert(state_becomes(&f, "c", "FAILED/-"));
    cr_expect_eq(fake_starts(), 2);
    json_t *config = config_of("c", "");
    cr_assert_eq(herder_put(f.herder, "c", config, NULL, &created, &err), 0);
    cr_expect_not(created);
    cr_assert(state_becomes(&f, "c", "RUNNING/RUNNING"));
    /* the same again changes nothing, in whatever order the members stand */
    json_t *same = json_loads("{\"name\":\"c\",\"connector.class\":\"test.FakeConnector\"}", 0, NULL);
    cr_assert_eq(herder_put(f.herder, "c", same, NULL, &created, &err), 0);
    json_decref(same);
    cr_expect_eq(fake_starts(), 3);
    /* a change made from something older is refused */
    json_t *newer = config_of("c", "\"x\":\"1\"");
    cr_expect_eq(herder_put(f.herder, "c", newer, newer, &created, &err), 409);
    json_t *now = herder_config(f.herder, "c");
    cr_expect_eq(herder_put(f.herder, "c", newer, now, &created, &err), 0);
    json_decref(now);
    json_decref(newer);
    json_decref(config);
    cr_assert(state_becomes(&f, "c", "RUNNING/RUNNING"));
    fixture_stop(&f);
    cr_expect_eq(fake_starts(), 4);
}

Test(herder, what_cannot_be_stored_does_not_happen)
{
    struct fixture f = {0};
    struct err err;
    fixture_start(&f);
    cr_assert_eq(create(&f, "old", "", TARGET_RUNNING), 0);
    cr_assert(state_becomes(&f, "old", "RUNNING/RUNNING"));
    f.store.fails = true;
    cr_expect_eq(create(&f, "c", "", TARGET_RUNNING), 500);
    cr_expect(state_becomes(&f, "c", "none"));
    cr_expect_eq(herder_delete(f.herder, "old", &err), 500);
    cr_expect_str_eq(err.text, "The change could not be stored: the disk is broken");
    cr_expect_eq(herder_set_target(f.herder, "old", TARGET_STOPPED, &err), 500);
    cr_expect(state_becomes(&f, "old", "RUNNING/RUNNING"));
    f.store.fails = false;
    cr_expect_eq(create(&f, "c", "", TARGET_RUNNING), 0);
    fixture_stop(&f);
}

Test(herder, offsets_are_changed_only_when_stopped)
{
    struct fixture f = {0};
    struct err err;
    fixture_start(&f);
    cr_assert_eq(create(&f, "c", "", TARGET_RUNNING), 0);
    cr_assert(state_becomes(&f, "c", "RUNNING/RUNNING"));
    cr_expect_eq(herder_offsets_change(f.herder, "c", NULL, &err), 400);
    cr_expect(strstr(err.text, "STOPPED"));
    cr_expect_eq(herder_offsets_change(f.herder, "x", NULL, &err), 404);
    cr_assert_eq(herder_set_target(f.herder, "c", TARGET_STOPPED, &err), 0);
    cr_expect_eq(herder_offsets_change(f.herder, "c", NULL, &err), 0, "it waits for the stop"); /* at once */
    expect_stored(&f, "[\"c\",{\"server\":\"c\"}]", NULL);
    json_t *offsets = herder_offsets(f.herder, "c");
    char *text = json_dumps(offsets, JSON_COMPACT);
    cr_expect_str_eq(text, "{\"offsets\":[]}");
    free(text);
    json_decref(offsets);
    fixture_stop(&f);
}

static void expect_offsets(struct fixture *f, const char *name, const char *expected)
{
    json_t *offsets = herder_offsets(f->herder, name);
    AUTO_FREE char *text = json_dumps(offsets, JSON_COMPACT);

    cr_expect_str_eq(text, expected);
    json_decref(offsets);
}

Test(herder, what_connect_offsets_says_stays_true_until_the_class_knows_more)
{
    struct fixture f = {0};
    struct err err;
    bool created;
    fixture_start(&f);
    cr_assert_eq(create(&f, "c", "", TARGET_RUNNING), 0);
    cr_assert(state_becomes(&f, "c", "RUNNING/RUNNING"));
    cr_assert_eq(herder_set_target(f.herder, "c", TARGET_STOPPED, &err), 0);
    cr_assert(state_becomes(&f, "c", "STOPPED/-"));
    expect_stored(&f, "[\"c\",{\"server\":\"c\"}]", "{\"n\":1}");
    memory_store_add(&f.store, CONNECT_OFFSETS, "[\"c\",{\"server\":\"other\"}]", "{\"n\":77}");
    fake_forget_event();
    fixture_restart(&f);
    expect_offsets(&f, "c", "{\"offsets\":[{\"partition\":{\"server\":\"c\"},\"offset\":{\"n\":1}}]}");
    cr_assert_eq(herder_set_target(f.herder, "c", TARGET_RUNNING, &err), 0);
    cr_assert(state_becomes(&f, "c", "RUNNING/RUNNING"));
    herder_flush(f.herder);
    /* another partition has a record of its own; the former one is as it was */
    json_t *config = config_of("c", "\"fake.server\":\"other\"");
    cr_assert_eq(herder_put(f.herder, "c", config, NULL, &created, &err), 0);
    json_decref(config);
    cr_assert(state_becomes(&f, "c", "RUNNING/RUNNING"));
    expect_offsets(&f, "c", "{\"offsets\":[{\"partition\":{\"server\":\"other\"},\"offset\":{\"n\":77}}]}");
    cr_assert_eq(herder_delete(f.herder, "c", &err), 0);
    cr_assert_eq(create(&f, "c", "", TARGET_STOPPED), 0);
    expect_offsets(&f, "c", "{\"offsets\":[{\"partition\":{\"server\":\"c\"},\"offset\":{\"n\":1}}]}");
    fixture_stop(&f);
}

static void *reset_offsets(void *arg)
{
    struct fixture *f = arg;
    struct err err;

    cr_assert_eq(herder_offsets_change(f->herder, "c", NULL, &err), 0, "%s", err.text);
    return NULL;
}

Test(herder, nobody_waits_for_offsets_that_are_being_forgotten, .timeout = 20)
{
    struct fixture f = {0};
    struct err err;
    pthread_t thread;
    fixture_start(&f);
    cr_assert_eq(create(&f, "c", "", TARGET_RUNNING), 0);
    cr_assert_eq(create(&f, "other", "", TARGET_RUNNING), 0);
    cr_assert(state_becomes(&f, "c", "RUNNING/RUNNING"));
    cr_assert_eq(herder_set_target(f.herder, "c", TARGET_STOPPED, &err), 0);
    fake_hang_offsets_delete();
    pthread_create(&thread, NULL, reset_offsets, &f);
    cr_assert(WAIT_UNTIL(fake_hanging() == 1));
    cr_expect(state_becomes(&f, "c", "STOPPED/-"), "reads are answered");
    cr_assert_eq(herder_set_target(f.herder, "other", TARGET_PAUSED, &err), 0, "others change");
    cr_assert(state_becomes(&f, "other", "PAUSED/PAUSED"));
    cr_assert_eq(herder_set_target(f.herder, "c", TARGET_RUNNING, &err), 0);
    cr_expect_eq(fake_starts(), 2, "it does not start over a position that goes");
    fake_release();
    pthread_join(thread, NULL);
    cr_assert(state_becomes(&f, "c", "RUNNING/RUNNING"));
    cr_expect_eq(fake_starts(), 3);
    fixture_stop(&f);
}

/* Many threads change the same few connectors in every way; whatever comes of it, nothing is lost, nothing runs twice
 * (the fake class asserts it), and the store says what memory says. */
struct stress {
    struct fixture *f;
    unsigned seed;
};

static void *stress_run(void *arg)
{
    struct stress *s = arg;
    struct err err;
    json_t *status;
    bool created;

    for (int i = 0; i < 150; i++) {
        char name[] = {(char)('a' + rand_r(&s->seed) % 3), '\0'}, more[40];
        snprintf(more, sizeof more, "\"x\":\"%d\"", rand_r(&s->seed) % 4);
        json_t *config = config_of(name, more);
        int r = 0;
        switch (rand_r(&s->seed) % 9) {
        case 0: r = herder_create(s->f->herder, name, config, TARGET_RUNNING, &err); break;
        case 1: r = herder_put(s->f->herder, name, config, NULL, &created, &err); break;
        case 2: r = herder_delete(s->f->herder, name, &err); break;
        case 3: r = herder_set_target(s->f->herder, name, TARGET_PAUSED, &err); break;
        case 4: r = herder_set_target(s->f->herder, name, TARGET_RUNNING, &err); break;
        case 5: r = herder_set_target(s->f->herder, name, TARGET_STOPPED, &err); break;
        case 6:
            r = herder_restart(s->f->herder, name, true, false, &status, &err);
            if (r == 0) json_decref(status);
            break;
        case 7: fake_fail(name, "fake.Error: stress"); break;
        case 8:
            json_decref(herder_expanded(s->f->herder, true, true));
            json_decref(herder_topics(s->f->herder, name));
            herder_flush(s->f->herder);
            break;
        }
        cr_assert(r == 0 || r == 404 || r == 409, "%d %s", r, err.text);
        json_decref(config);
    }
    return NULL;
}

Test(herder, survives_many_hands, .timeout = 60)
{
    struct fixture f = {0};
    struct stress stress[4];
    pthread_t threads[4];
    fixture_start(&f);
    for (int i = 0; i < 4; i++) {
        stress[i] = (struct stress){.f = &f, .seed = (unsigned)i + 1};
        pthread_create(&threads[i], NULL, stress_run, &stress[i]);
    }
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    struct err err;
    for (char name[] = "a"; *name <= 'c'; ++*name) {
        json_t *config = config_of(name, ""), *status;
        bool created;
        cr_assert_eq(herder_put(f.herder, name, config, NULL, &created, &err), 0);
        cr_assert_eq(herder_set_target(f.herder, name, TARGET_RUNNING, &err), 0);
        /* 404: no status yet */
        if (herder_restart(f.herder, name, true, true, &status, &err) != 404) json_decref(status);
        cr_assert(state_becomes(&f, name, "RUNNING/RUNNING"));
        json_decref(config);
    }
    json_t *before = herder_expanded(f.herder, true, false);
    cr_expect_eq(fake_running(), 3);
    fixture_restart(&f);
    for (char name[] = "a"; *name <= 'c'; ++*name) cr_assert(state_becomes(&f, name, "RUNNING/RUNNING"));
    json_t *after = herder_expanded(f.herder, true, false);
    cr_expect(json_equal(before, after));
    json_decref(before);
    json_decref(after);
    fixture_stop(&f);
    cr_expect_eq(fake_running(), 0);
}

/* -- records -- */

Test(records, what_kafka_connect_wrote_is_understood)
{
    static const struct {
        enum connect_topic topic;
        const char *key, *value;
        bool ok;
        int type;
        const char *name;
    } cases[] = {
        {CONNECT_CONFIGS, "connector-a-b", "{\"properties\":{\"x\":\"1\",\"y\":null}}", true, ENTRY_CONNECTOR, "a-b"},
        {CONNECT_CONFIGS, "connector-a", NULL, true, ENTRY_CONNECTOR, "a"},
        {CONNECT_CONFIGS, "connector-a", "{}", false, ENTRY_CONNECTOR, "a"},
        {CONNECT_CONFIGS, "connector-a", "[1", false, ENTRY_CONNECTOR, "a"},
        {CONNECT_CONFIGS, "connector-a", "3", false, ENTRY_CONNECTOR, "a"},
        {CONNECT_CONFIGS, "connector-", "{}", true, ENTRY_OTHER, NULL},
        {CONNECT_CONFIGS, "target-state-a", "{\"state\":\"PAUSED\"}", true, ENTRY_TARGET, "a"},
        {CONNECT_CONFIGS, "target-state-a", "{\"state\":\"PAUSED\",\"state.v2\":\"STOPPED\"}", true, ENTRY_TARGET, "a"},
        {CONNECT_CONFIGS, "target-state-a", NULL, true, ENTRY_TARGET, "a"},
        {CONNECT_CONFIGS, "target-state-a", "{\"state\":\"LOUD\"}", false, ENTRY_TARGET, "a"},
        {CONNECT_CONFIGS, "task-a-0", "garbage", true, ENTRY_OTHER, NULL},
        {CONNECT_CONFIGS, "commit-a", "{\"tasks\":1}", true, ENTRY_OTHER, NULL},
        {CONNECT_CONFIGS, "session-key", "{\"key\":\"x\"}", true, ENTRY_OTHER, NULL},
        {CONNECT_STATUSES, "connector-a", "garbage", true, ENTRY_OTHER, NULL},
        {CONNECT_STATUSES, "status-topic-t:connector-c",
         "{\"topic\":{\"name\":\"t\",\"connector\":\"c\",\"task\":0,\"discoverTimestamp\":5}}", true, ENTRY_TOPIC, "c"},
        {CONNECT_STATUSES, "status-topic-t:connector-c", NULL, true, ENTRY_TOPIC, "c"},
        {CONNECT_STATUSES, "status-topic-t", NULL, false, ENTRY_TOPIC, NULL},
        {CONNECT_STATUSES, "status-topic-t:connector-c", "{\"topic\":{}}", false, ENTRY_TOPIC, "c"},
    };
    struct connect_entry e;

    for (size_t i = 0; i < countof(cases); i++) {
        struct err err = ERR_NONE;
        bool ok = connect_entry_parse(cases[i].topic, slice_of(cases[i].key), slice_of(cases[i].value), &e, &err);
        cr_expect_eq(ok, cases[i].ok, "%s %s", cases[i].key, cases[i].value);
        cr_expect_eq((int)e.type, cases[i].type, "%s", cases[i].key);
        if (cases[i].name) cr_expect_str_eq(e.name, cases[i].name);
        cr_expect_eq(*err.text != '\0', !ok, "%s", cases[i].key);
        connect_entry_done(&e);
    }
    cr_assert(connect_entry_parse(CONNECT_CONFIGS, SLICE("target-state-a"), slice_of(cases[7].value), &e, NULL));
    cr_expect_eq(e.target, TARGET_STOPPED);
    connect_entry_done(&e);
    cr_assert(connect_entry_parse(CONNECT_CONFIGS, SLICE_NULL, SLICE("x"), &e, NULL));
    cr_assert(connect_entry_parse(CONNECT_CONFIGS, SLICE("connector-\0x"), SLICE("x"), &e, NULL));
    cr_expect_eq((int)e.type, ENTRY_OTHER);
}
