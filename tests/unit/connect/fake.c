#include "tests/unit/connect/fake.h"

#include "connect/loggers.h"
#include "tests/lib/wait.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* -- the store -- */

static int memory_put(struct connect_store *s, const struct connect_record *records, uint32_t count, bool durable,
                      struct err *err)
{
    struct memory_store *m = container_of(s, struct memory_store, store);
    int r = 0;

    pthread_mutex_lock(&m->lock);
    if (m->fails) {
        r = err_set(err, -EIO, "the disk is broken");
    } else {
        m->records = xrealloc(m->records, (m->count + count) * sizeof *m->records);
        m->own = xrealloc(m->own, (m->count + count) * sizeof *m->own);
        memset(m->own + m->count, true, count);
        for (uint32_t i = 0; i < count; i++)
            m->records[m->count++] =
                (struct connect_record){.topic = records[i].topic,
                                        .key = xstrdup(records[i].key),
                                        .value = records[i].value ? xstrdup(records[i].value) : NULL};
        if (durable) m->durable_count = m->count;
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

static int memory_replay(struct connect_store *s, enum connect_topic topic,
                         void (*visit)(void *arg, const struct stored_record *record), void *arg, struct err *err)
{
    struct memory_store *m = container_of(s, struct memory_store, store);

    for (uint32_t i = 0; i < m->count; i++) {
        const struct connect_record *r = &m->records[i];
        if (r->topic != topic) continue;
        visit(arg, &(struct stored_record){.partition = "memory-0",
                                           .offset = i,
                                           .key = slice_of(r->key),
                                           .value = slice_of(r->value),
                                           .own = m->own[i],
                                           .unreadable = r->key ? NULL : "the dog ate it"});
    }
    return 0;
}

static char *memory_last(struct connect_store *s, enum connect_topic topic, const char *key)
{
    return memory_store_get(container_of(s, struct memory_store, store), key);
}

static int64_t memory_end(struct connect_store *s, enum connect_topic topic)
{
    struct memory_store *m = container_of(s, struct memory_store, store);

    pthread_mutex_lock(&m->lock);
    int64_t end = m->count;
    pthread_mutex_unlock(&m->lock);
    return end;
}

static const char *memory_name(struct connect_store *s, enum connect_topic topic)
{
    return "memory";
}

void memory_store_add(struct memory_store *m, enum connect_topic topic, const char *key, const char *value)
{
    pthread_mutex_lock(&m->lock);
    m->records = xrealloc(m->records, (m->count + 1) * sizeof *m->records);
    m->own = xrealloc(m->own, (m->count + 1) * sizeof *m->own);
    m->own[m->count] = false;
    m->records[m->count++] = (struct connect_record){
        .topic = topic, .key = key ? xstrdup(key) : NULL, .value = value ? xstrdup(value) : NULL};
    pthread_mutex_unlock(&m->lock);
}

void memory_store_init(struct memory_store *m)
{
    *m = (struct memory_store){
        .store = {
            .put = memory_put, .replay = memory_replay, .last = memory_last, .end = memory_end, .name = memory_name}};
    pthread_mutex_init(&m->lock, NULL);
}

void memory_store_done(struct memory_store *m)
{
    for (uint32_t i = 0; i < m->count; i++) connect_record_done(&m->records[i]);
    free(m->records);
    free(m->own);
    pthread_mutex_destroy(&m->lock);
}

char *memory_store_get(struct memory_store *m, const char *key)
{
    char *value = NULL;

    pthread_mutex_lock(&m->lock);
    for (uint32_t i = m->count; i-- > 0;)
        if (m->records[i].key && strcmp(m->records[i].key, key) == 0) {
            value = m->records[i].value ? xstrdup(m->records[i].value) : NULL;
            break;
        }
    pthread_mutex_unlock(&m->lock);
    return value;
}

/* -- the class -- */

#define INSTANCES_MAX 100

struct fake_instance {
    char *name;
    struct connector_callbacks callbacks;
    pthread_t thread;
    bool paused, fails, stop, told_paused;
    char *fail_trace; /* told by the thread */
    bool topics_reset;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct fake_instance *instances[INSTANCES_MAX];
static int starts, hanging;
static int starts_counted; /* of the position, more than starts */
static bool released;
static bool position_forgotten, position_unknown, delete_hangs;

static const char *fake_version(void *context, const json_t *config)
{
    const char *own = config ? config_get(config, "fake.version") : NULL;
    return own ? own : "1.2.3";
}

static const struct property_info fake_properties[] = {
    {"name", "STRING", true, NULL, "HIGH", "Name.", "Common", 1, "MEDIUM", "Connector name", NULL},
    {"fake.level", "STRING", false, "HIGH", "LOW", "A level.", "Fake", 1, "SHORT", "Level", "HIGH,LOW"},
    {"fake.secret", "PASSWORD", false, NULL, "LOW", "A secret.", "Fake", 2, "SHORT", NULL, NULL},
};

static bool fake_property(void *context, size_t i, struct property_info *ret)
{
    if (i >= countof(fake_properties)) return false;
    *ret = fake_properties[i];
    return true;
}

static uint32_t fake_check(void *context, const json_t *config, struct connector_problem *ret, uint32_t max)
{
    const char *level = config_get(config, "fake.level");

    if (!level || strcmp(level, "HIGH") == 0 || strcmp(level, "LOW") == 0 || max == 0) return 0;
    snprintf(ret->name, sizeof ret->name, "fake.level");
    snprintf(ret->text, sizeof ret->text, "The 'fake.level' value is invalid: Value must be one of HIGH, LOW");
    return 1;
}

static uint32_t fake_check_remote(void *context, const json_t *config, struct connector_problem *ret, uint32_t max)
{
    const char *remote = config_get(config, "fake.remote");

    if (!remote) return 0;
    if (strcmp(remote, "hang") == 0) {
        pthread_mutex_lock(&lock);
        hanging++;
        pthread_cond_broadcast(&changed);
        while (!released) pthread_cond_wait(&changed, &lock);
        hanging--;
        pthread_mutex_unlock(&lock);
        return 0;
    }
    snprintf(ret->name, sizeof ret->name, "fake.remote");
    snprintf(ret->text, sizeof ret->text, "Error while validating connector config: refused");
    return 1;
}

static void *instance_run(void *arg)
{
    struct fake_instance *i = arg;

    pthread_mutex_lock(&lock);
    /* The lock is held during callbacks, as a class may do. */
    i->callbacks.on_state(i->callbacks.arg, i->paused ? CONNECTOR_PAUSED : CONNECTOR_RUNNING, NULL);
    i->told_paused = i->paused;
    if (i->fails) i->callbacks.on_state(i->callbacks.arg, CONNECTOR_FAILED, "fake.Error: at once\n\tat fake");
    while (!i->stop) {
        if (i->fail_trace) {
            i->callbacks.on_state(i->callbacks.arg, CONNECTOR_FAILED, i->fail_trace);
            free(i->fail_trace);
            i->fail_trace = NULL;
        } else if (i->paused != i->told_paused) {
            i->told_paused = i->paused;
            i->callbacks.on_state(i->callbacks.arg, i->paused ? CONNECTOR_PAUSED : CONNECTOR_RUNNING, NULL);
        } else {
            pthread_cond_wait(&changed, &lock);
        }
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

static int fake_start(void *context, const char *name, const json_t *config, bool paused,
                      const struct connector_callbacks *callbacks, void **ret_instance, struct err *err)
{
    const char *start = config_get(config, "fake.start"), *state = config_get(config, "fake.state");

    pthread_mutex_lock(&lock);
    starts++;
    pthread_mutex_unlock(&lock);
    if (start && strcmp(start, "fail") == 0) return err_set(err, -EINVAL, "told to fail");
    struct fake_instance *i = xcalloc(1, sizeof *i);
    i->name = xstrdup(name);
    i->callbacks = *callbacks;
    i->paused = paused;
    i->fails = state && strcmp(state, "fail") == 0;
    pthread_mutex_lock(&lock);
    for (int k = 0;; k++) {
        assert(k < INSTANCES_MAX);
        if (instances[k]) {
            assert(strcmp(instances[k]->name, name) != 0); /* never two of one name */
            continue;
        }
        instances[k] = i;
        break;
    }
    position_forgotten = false;
    pthread_create(&i->thread, NULL, instance_run, i);
    pthread_mutex_unlock(&lock);
    *ret_instance = i;
    return 0;
}

static void fake_pause_set(void *instance, bool paused)
{
    pthread_mutex_lock(&lock);
    ((struct fake_instance *)instance)->paused = paused;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void fake_pause(void *instance)
{
    fake_pause_set(instance, true);
}

static void fake_resume(void *instance)
{
    fake_pause_set(instance, false);
}

static void fake_stop(void *instance)
{
    struct fake_instance *i = instance;

    pthread_mutex_lock(&lock);
    i->stop = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    pthread_join(i->thread, NULL);
    pthread_mutex_lock(&lock);
    for (int k = 0; k < INSTANCES_MAX; k++)
        if (instances[k] == i) instances[k] = NULL;
    pthread_mutex_unlock(&lock);
    free(i->fail_trace);
    free(i->name);
    free(i);
}

static uint32_t fake_topics(void *instance, char ***ret_topics)
{
    struct fake_instance *i = instance;

    pthread_mutex_lock(&lock); /* the same lock as around callbacks: no deadlock may come of it */
    bool reset = i->topics_reset;
    pthread_mutex_unlock(&lock);
    if (reset) return 0;
    *ret_topics = xcalloc(1, sizeof **ret_topics);
    (*ret_topics)[0] = xasprintf("%s.topic", i->name);
    return 1;
}

static void fake_topics_reset(void *instance)
{
    ((struct fake_instance *)instance)->topics_reset = true;
}

static json_t *fake_partition(void *context, const json_t *config)
{
    const char *server = config_get(config, "fake.server");

    return json_pack("{s:s}", "server", server ? server : config_get(config, "name"));
}

static json_t *fake_offsets_get(void *context, const char *name, const json_t *config, const json_t *stored)
{
    pthread_mutex_lock(&lock);
    json_t *offset = starts > 0 && !position_forgotten ? json_pack("{s:i}", "n", starts + starts_counted) : NULL;
    if (offset && position_unknown) {
        json_decref(offset);
        offset = stored ? json_deep_copy(stored) : json_pack("{s:s}", "stored", "nothing");
    }
    pthread_mutex_unlock(&lock);
    return offset;
}

void fake_forget_event(void)
{
    pthread_mutex_lock(&lock);
    position_unknown = true;
    pthread_mutex_unlock(&lock);
}

static int fake_offsets_delete(void *context, const char *name, const json_t *config)
{
    pthread_mutex_lock(&lock);
    bool busy = false;
    if (delete_hangs) {
        hanging++;
        pthread_cond_broadcast(&changed);
        while (!released) pthread_cond_wait(&changed, &lock);
        hanging--;
    }
    for (int k = 0; k < INSTANCES_MAX; k++) busy = busy || (instances[k] && strcmp(instances[k]->name, name) == 0);
    if (!busy) position_forgotten = true;
    pthread_mutex_unlock(&lock);
    return busy ? -EBUSY : 0;
}

/* {"n":N} makes the next position N + starts from then on. */
static int fake_offsets_set(void *context, const char *name, const json_t *config, const json_t *offset,
                            struct err *err)
{
    const json_t *n = json_object_get(offset, "n");

    if (!json_is_integer(n)) return err_set(err, -EINVAL, "n must be a number");
    pthread_mutex_lock(&lock);
    starts_counted = (int)json_integer_value(n) - starts;
    position_forgotten = false;
    pthread_mutex_unlock(&lock);
    return 0;
}

struct connector_class fake_class(void)
{
    return (struct connector_class){
        .name = "test.FakeConnector",
        .task_class = "test.FakeTask",
        .type = "source",
        .version = fake_version,
        .property = fake_property,
        .check = fake_check,
        .check_remote = fake_check_remote,
        .start = fake_start,
        .pause = fake_pause,
        .resume = fake_resume,
        .stop = fake_stop,
        .topics = fake_topics,
        .topics_reset = fake_topics_reset,
        .partition = fake_partition,
        .offsets_get = fake_offsets_get,
        .offsets_delete = fake_offsets_delete,
        .offsets_set = fake_offsets_set,
    };
}

int fake_running(void)
{
    int n = 0;

    pthread_mutex_lock(&lock);
    for (int k = 0; k < INSTANCES_MAX; k++) n += instances[k] != NULL;
    pthread_mutex_unlock(&lock);
    return n;
}

int fake_starts(void)
{
    pthread_mutex_lock(&lock);
    int n = starts;
    pthread_mutex_unlock(&lock);
    return n;
}

void fake_fail(const char *name, const char *trace)
{
    pthread_mutex_lock(&lock);
    for (int k = 0; k < INSTANCES_MAX; k++)
        if (instances[k] && strcmp(instances[k]->name, name) == 0) {
            free(instances[k]->fail_trace);
            instances[k]->fail_trace = xstrdup(trace);
        }
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void fake_release(void)
{
    pthread_mutex_lock(&lock);
    released = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void fake_hang_offsets_delete(void)
{
    pthread_mutex_lock(&lock);
    delete_hangs = true;
    pthread_mutex_unlock(&lock);
}

int fake_hanging(void)
{
    pthread_mutex_lock(&lock);
    int n = hanging;
    pthread_mutex_unlock(&lock);
    return n;
}

/* -- everything together -- */

static const struct property_info header_properties[] = {
    {"fake.depth", "INT", false, "3", "LOW", "A depth.", NULL, -1, "NONE", NULL, NULL}};
static const struct plugin plugins[] = {{"test.Header", "header_converter", "7", header_properties, 1}};

void fixture_run(struct fixture *f)
{
    struct err err;

    f->class = fake_class();
    f->options = (struct herder_options){
        .classes = &f->class, .classes_count = 1, .store = &f->store.store, .worker_id = "test:8083"};
    f->herder = herder_new(&f->options);
    int r = herder_restore(f->herder, &err);
    f->rest = (struct rest){.herder = f->herder,
                            .loggers = loggers_new(),
                            .classes = &f->class,
                            .classes_count = 1,
                            .plugins = plugins,
                            .plugins_count = countof(plugins),
                            .cluster_id = "cluster"};
    f->http_options = (struct http_server_options){.name = "test",
                                                   .listeners = "http://127.0.0.1:0",
                                                   .routes = rest_routes,
                                                   .routes_count = rest_routes_count,
                                                   .context = &f->rest};
    if (r == 0) r = http_server_open(&f->http_options, &f->http, &err);
    if (r == 0) r = http_server_run(f->http, &err);
    assert(r == 0);
    f->port = atoi(strrchr(http_server_address(f->http), ':') + 1);
    herder_start(f->herder);
}

static void end(struct fixture *f)
{
    http_server_stop(f->http);
    herder_free(f->herder);
    loggers_free(f->rest.loggers);
}

void fixture_start(struct fixture *f)
{
    memory_store_init(&f->store);
    fixture_run(f);
}

void fixture_restart(struct fixture *f)
{
    end(f);
    fixture_run(f);
}

void fixture_stop(struct fixture *f)
{
    end(f);
    memory_store_done(&f->store);
}

static void states_now(struct fixture *f, const char *name, char ret_states[100])
{
    json_t *status = herder_status(f->herder, name), *task = json_array_get(json_object_get(status, "tasks"), 0);

    if (status)
        snprintf(ret_states, 100, "%s/%s",
                 json_string_value(json_object_get(json_object_get(status, "connector"), "state")),
                 task ? json_string_value(json_object_get(task, "state")) : "-");
    else snprintf(ret_states, 100, "none");
    json_decref(status);
}

bool state_becomes(struct fixture *f, const char *name, const char *states)
{
    char now[100] = "";

    if (WAIT_UNTIL((states_now(f, name, now), strcmp(now, states) == 0))) return true;
    fprintf(stderr, "%s is %s instead of %s\n", name, now, states);
    return false;
}
