/* connect/connect.c: see connect.h. Composes the room: store > herder > REST, and a timer that has positions written.
 *
 *   connect_open   binds the listeners         connect_run    starts connectors and the timer
 *   connect_start  topics, stored connectors,  connect_stop   requests end, timer off, connectors stop
 *                  answers requests            connect_close  the rest
 * Invariant: the timer runs between connect_run() and connect_stop() only, so that it never sees a herder that is gone.
 * Threads: the main thread; on_flush(), flush_start() and flush_stop() on the control thread of the broker. */
#include "connect/connect.h"

#include "broker/broker.h"
#include "connect/class_postgres.h"
#include "connect/herder.h"
#include "connect/loggers.h"
#include "connect/rest.h"
#include "connect/store.h"

#include <ev.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define FLUSH_INTERVAL_S 5 /* how far connect-offsets and the lists of topics may be behind */

enum { CLASS_POSTGRES, CLASSES_COUNT };

struct connect {
    struct broker *broker;
    struct connect_store *store;
    struct class_postgres postgres;
    struct connector_class classes[CLASSES_COUNT]; /* a row each */
    struct herder_options herder_options;
    struct herder *herder;
    struct plugin plugins[PLUGINS_KNOWN_COUNT];
    struct rest rest;
    struct http_server_options http_options;
    struct http_server *http; /* NULL: no listener, or stopped */
    char worker_id[300];
    ev_timer flush; /* control thread */
    bool running;
};

/* The name by which other machines know a worker that listens on every address. */
static void worker_id_set(struct connect *c)
{
    const char *address = connect_address(c);
    char host[200] = "localhost";

    if (strncmp(address, "0.0.0.0:", 8) == 0 && gethostname(host, sizeof host - 1) == 0)
        snprintf(c->worker_id, sizeof c->worker_id, "%s%s", host, address + 7);
    else snprintf(c->worker_id, sizeof c->worker_id, "%s", *address ? address : "localhost");
}

int connect_open(const struct broker_config *config, struct connect **ret_connect, struct err *err)
{
    struct connect *c = xcalloc(1, sizeof *c);

    c->http_options =
        (struct http_server_options){.name = "connect",
                                     .listeners = config->connect_listeners ? config->connect_listeners : "",
                                     .routes = rest_routes,
                                     .routes_count = rest_routes_count,
                                     .context = &c->rest};
    if (*c->http_options.listeners) {
        int r = http_server_open(&c->http_options, &c->http, err);
        if (r < 0) {
            err_prefix(err, "connect.listeners");
            free(c);
            return r;
        }
    }
    worker_id_set(c);
    *ret_connect = c;
    return 0;
}

int connect_start(struct connect *c, struct broker *broker, struct cdc *cdc, struct err *err)
{
    c->broker = broker;
    c->postgres =
        (struct class_postgres){.cdc = cdc, .version_default = broker_config(broker)->connect_debezium_version};
    c->classes[CLASS_POSTGRES] = class_postgres(&c->postgres);
    int r = connect_store_open(broker, &c->store, err);
    if (r < 0) return r;
    c->herder_options = (struct herder_options){
        .classes = c->classes, .classes_count = CLASSES_COUNT, .store = c->store, .worker_id = c->worker_id};
    c->herder = herder_new(&c->herder_options);
    r = herder_restore(c->herder, err);
    if (r < 0) return r;
    for (size_t i = 0; i < PLUGINS_KNOWN_COUNT; i++) {
        c->plugins[i] = plugins_known[i];
        if (!c->plugins[i].version) c->plugins[i].version = c->postgres.version_default;
    }
    c->rest = (struct rest){.herder = c->herder,
                            .loggers = loggers_new(),
                            .classes = c->classes,
                            .classes_count = CLASSES_COUNT,
                            .plugins = c->plugins,
                            .plugins_count = countof(c->plugins),
                            .cluster_id = broker_cluster_id(broker)};
    return c->http ? http_server_run(c->http, err) : 0;
}

/* -- the flush timer: control thread -- */

static void on_flush(struct ev_loop *loop, ev_timer *timer, int events)
{
    herder_flush(container_of(timer, struct connect, flush)->herder);
}

static void flush_start(void *arg)
{
    struct connect *c = arg;

    ev_timer_init(&c->flush, on_flush, FLUSH_INTERVAL_S, FLUSH_INTERVAL_S);
    ev_timer_start(broker_control_loop(c->broker), &c->flush);
}

struct flush_end {
    struct connect *connect;
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool is_done;
};

static void flush_stop(void *arg)
{
    struct flush_end *e = arg;

    ev_timer_stop(broker_control_loop(e->connect->broker), &e->connect->flush);
    pthread_mutex_lock(&e->lock);
    e->is_done = true;
    pthread_cond_signal(&e->done);
    pthread_mutex_unlock(&e->lock);
}

void connect_run(struct connect *c)
{
    herder_start(c->herder);
    c->running = broker_control_post(c->broker, flush_start, c);
}

const char *connect_address(const struct connect *c)
{
    return c->http ? http_server_address(c->http) : "";
}

void connect_stop(struct connect *c)
{
    http_server_stop(c->http);
    c->http = NULL;
    struct flush_end end = {.connect = c, .lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};
    if (c->running && broker_control_post(c->broker, flush_stop, &end)) {
        pthread_mutex_lock(&end.lock);
        while (!end.is_done) pthread_cond_wait(&end.done, &end.lock);
        pthread_mutex_unlock(&end.lock);
    }
    c->running = false;
    herder_free(c->herder);
    c->herder = NULL;
}

void connect_close(struct connect *c)
{
    if (!c) return;
    connect_stop(c);
    loggers_free(c->rest.loggers);
    connect_store_close(c->store);
    free(c);
}
