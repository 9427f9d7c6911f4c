/* Race test of connect and http: threads change, read (directly and over HTTP) and restart the same few connectors
 * while the connectors tell their states. At the end everything that is wanted runs, once each. */
#include "base/log.h"
#include "tests/unit/connect/fake.h"
#include "tests/unit/http/http_client.h"

#define THREADS_COUNT 6
#define ROUNDS_COUNT  200

static struct fixture f;

static json_t *config_of(const char *name, unsigned x)
{
    char value[20];

    snprintf(value, sizeof value, "%u", x);
    return json_pack("{s:s, s:s, s:s}", "connector.class", "test.FakeConnector", "x", value, "name", name);
}

static void over_http(const char *name, const char *method, const char *what)
{
    char path[100];

    snprintf(path, sizeof path, "/connectors/%s%s", name, what);
    struct http_answer a = http_call(f.port, method, path, HTTP_HOST, NULL);
    assert(a.status == 200 || a.status == 202 || a.status == 204 || a.status == 404);
    free(a.text);
}

static void *hand(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    struct err err;
    bool created;

    for (int i = 0; i < ROUNDS_COUNT; i++) {
        char name[] = {(char)('a' + rand_r(&seed) % 3), '\0'};
        json_t *config = config_of(name, (unsigned)rand_r(&seed) % 4);
        int r = 0;
        switch (rand_r(&seed) % 10) {
        case 0: r = herder_create(f.herder, name, config, TARGET_RUNNING, &err); break;
        case 1: r = herder_put(f.herder, name, config, NULL, &created, &err); break;
        case 2: r = herder_delete(f.herder, name, &err); break;
        case 3: r = herder_set_target(f.herder, name, (enum target_state)(rand_r(&seed) % 3), &err); break;
        case 4: over_http(name, "POST", "/restart?includeTasks=true"); break;
        case 5: fake_fail(name, "fake.Error: race"); break;
        case 6: over_http(name, "GET", "/status"); break;
        case 7: over_http(name, "GET", "/topics"); break;
        case 8: over_http(name, "PUT", "/pause"); break;
        case 9: herder_flush(f.herder); break;
        }
        assert(r == 0 || r == 404 || r == 409);
        json_decref(config);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS_COUNT];
    struct err err;

    log_level_max = LOG_ERROR;
    fixture_start(&f);
    for (uintptr_t i = 0; i < THREADS_COUNT; i++) pthread_create(&threads[i], NULL, hand, (void *)(i + 1));
    for (int i = 0; i < THREADS_COUNT; i++) pthread_join(threads[i], NULL);
    for (char name[] = "a"; *name <= 'c'; ++*name) {
        json_t *config = config_of(name, 100), *status;
        bool created;
        assert(herder_put(f.herder, name, config, NULL, &created, &err) == 0);
        assert(herder_set_target(f.herder, name, TARGET_RUNNING, &err) == 0);
        if (herder_restart(f.herder, name, true, true, &status, &err) == 0) json_decref(status);
        assert(state_becomes(&f, name, "RUNNING/RUNNING"));
        json_decref(config);
    }
    assert(fake_running() == 3);
    fixture_restart(&f);
    for (char name[] = "a"; *name <= 'c'; ++*name) assert(state_becomes(&f, name, "RUNNING/RUNNING"));
    assert(fake_running() == 3);
    fixture_stop(&f);
    assert(fake_running() == 0);
    printf("%d threads, %d changes and reads each: every connector runs once\n", THREADS_COUNT, ROUNDS_COUNT);
    return 0;
}
