/* http/server.c: see server.h. An exchange is one request and its answer:
 *
 *   on_request: headers ─> body ─> exchange_dispatch ─┬─ exchange_handle on the listener's thread ──> exchange_reply
 *                                                     └─ suspended, exchange_handle on a worker, resumed ─^
 * It is freed by on_completed, which the library calls for every exchange that was begun, however it ends.
 * Invariants: while a connection is suspended only the worker touches its exchange; a connection is resumed exactly
 * once, also when the server stops (the worker then answers 503 instead of calling the handler); the listener's thread
 * never waits.
 * Threads: on_request, on_completed: the listener's (the library's, one per address); exchange_handle: that or a
 * worker; the rest on the owner's. The lock guards the number of exchanges only. Library: libmicrohttpd 0.9.75. */
#include "http/server.h"

#include "base/log.h"
#include "base/option.h"
#include "http/json.h"
#include "http/listener.h"
#include "http/workers.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

#define THREAD_STACK_HTTP_BYTES (256 * 1024) /* the JSON writer recurses */
#define STOP_WAIT_S             2            /* for answers that are being sent */
#define CAUSE_LOGGED_CHARS      300

struct http_exchange {
    struct http_server *server;
    struct MHD_Connection *connection;
    const struct http_listener *listener;
    const struct http_route *route;
    struct http_request request;
    struct http_reply reply;
    char method[16];
    char host[300];
    char allow[64];
    char *body;
    size_t body_size; /* allocated */
    enum { EXCHANGE_READING, EXCHANGE_HANDLED } phase;
};

struct listening {
    struct http_server *server;
    struct http_listener listener;
    struct MHD_Daemon *daemon;
};

struct http_server {
    const struct http_server_options *options;
    struct workers *workers;
    struct listening listening[HTTP_LISTENERS_MAX];
    int listening_count;
    pthread_mutex_t lock; /* guards exchanges_count */
    pthread_cond_t quiet; /* exchanges_count fell to 0 */
    uint32_t exchanges_count;
    atomic_bool stopping; /* requests that wait for a worker are refused */
};

const char *http_param(const struct http_request *rq, int i)
{
    assert(i < rq->params.count);
    return (const char *)rq->params.params[i].ptr;
}

/* -- query -- */

struct query_search {
    const char *name, *value;
    bool found;
};

static enum MHD_Result query_visit(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct query_search *q = arg;
    char text[128];

    if (strcmp(name, q->name) != 0) return MHD_YES;
    if (!q->value) {
        q->found = true;
    } else if (value && strlen(value) < sizeof text && percent_decode(value, strlen(value), true, text) >= 0) {
        q->found = q->found || strcasecmp(text, q->value) == 0;
    }
    return q->found ? MHD_NO : MHD_YES;
}

bool http_query_has(const struct http_request *rq, const char *name, const char *value)
{
    struct query_search q = {.name = name, .value = value};

    MHD_get_connection_values(rq->exchange->connection, MHD_GET_ARGUMENT_KIND, query_visit, &q);
    return q.found;
}

/* -- an exchange -- */

static const char *header(struct http_exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

static void client_text(struct http_exchange *x, char *ret, size_t size)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    char host[64], port[8];

    if (!info || getnameinfo(info->client_addr, sizeof(struct sockaddr_storage), host, sizeof host, port, sizeof port,
                             NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        snprintf(ret, size, "?");
    else snprintf(ret, size, "%s:%s", host, port);
}

/* Refused requests leave one line; what UIs poll for and do not find yet is not worth one. */
static void exchange_log(struct http_exchange *x)
{
    char client[80];
    enum log_level level = x->reply.status == 404 ? LOG_DEBUG : LOG_WARN;

    if (x->reply.status < 400 || !log_is_on(level)) return;
    client_text(x, client, sizeof client);
    log_write(level, x->server->options->name, "request refused client=%s method=%s path=%s status=%d cause=%.*s",
              client, x->method, x->request.path, x->reply.status, CAUSE_LOGGED_CHARS,
              x->reply.cause ? x->reply.cause : "");
}

static enum MHD_Result exchange_reply(struct http_exchange *x)
{
    struct http_reply *reply = &x->reply;

    exchange_log(x);
    struct MHD_Response *response =
        reply->body ? MHD_create_response_from_buffer(reply->body_len, reply->body, MHD_RESPMEM_MUST_FREE)
                    : MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
    if (!response) return MHD_NO;
    reply->body = NULL;
    if (reply->content_type) MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->content_type);
    if (reply->location) MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION, reply->location);
    if (reply->status == 405) MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, x->allow);
    enum MHD_Result r = MHD_queue_response(x->connection, (unsigned)reply->status, response);
    MHD_destroy_response(response);
    return r;
}

static bool body_append(struct http_exchange *x, const char *bytes, size_t size)
{
    size_t used = x->request.body.len;

    if (used + size > HTTP_BODY_BYTES_MAX) return false;
    if (used + size > x->body_size) {
        size_t wanted = MAX(used + size, MIN(2 * x->body_size, (size_t)HTTP_BODY_BYTES_MAX));
        char *grown = realloc(x->body, wanted);
        if (!grown) return false;
        x->body = grown;
        x->body_size = wanted;
    }
    memcpy(x->body + used, bytes, size);
    x->request.body = slice_make(x->body, (uint32_t)(used + size));
    return true;
}

static bool is_safe_method(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 || strcmp(method, "OPTIONS") == 0;
}

/* false: the client may not speak to this listener; the reply says so. */
static bool client_allowed(struct http_exchange *x)
{
    const char *host = header(x, MHD_HTTP_HEADER_HOST), *origin = header(x, MHD_HTTP_HEADER_ORIGIN);

    if (!x->listener->loopback) return true;
    if (host && !http_host_is_loopback(host)) {
        reply_error(&x->reply, 403,
                    "This server listens on the loopback interface only and does not answer to the name '%s'", host);
        return false;
    }
    if (origin && !is_safe_method(x->method)) {
        const char *authority = strstr(origin, "://");
        if (!authority || !http_host_is_loopback(authority + 3)) {
            reply_error(&x->reply, 403, "Web pages of '%s' may not change anything here", origin);
            return false;
        }
    }
    return true;
}

/* Connect's resources take application/json only. No Content-Type at all is given the benefit of the doubt. */
static bool media_type_allowed(struct http_exchange *x)
{
    static const char json[] = "application/json";
    const char *type = header(x, MHD_HTTP_HEADER_CONTENT_TYPE);

    if (!(x->route->flags & ROUTE_JSON) || !type) return true;
    return strncasecmp(type, json, strlen(json)) == 0 && strchr("; ", type[strlen(json)]) != NULL;
}

static void exchange_handle(void *arg)
{
    struct http_exchange *x = arg;

    if (atomic_load(&x->server->stopping)) reply_error(&x->reply, 503, "The server is shutting down");
    else x->route->handle(&x->request, &x->reply);
    if (x->route->flags & ROUTE_BLOCKS) MHD_resume_connection(x->connection);
}

/* The request is complete: answers it, or gives it to a worker and comes again when that is done. */
static enum MHD_Result exchange_dispatch(struct http_exchange *x)
{
    const struct http_server_options *o = x->server->options;

    x->phase = EXCHANGE_HANDLED;
    x->reply.status = 200;
    if (!client_allowed(x)) return exchange_reply(x);
    switch (
        route_find(o->routes, o->routes_count, x->method, x->request.path, &x->route, &x->request.params, x->allow)) {
    case ROUTE_FOUND: break;
    case ROUTE_UNKNOWN: reply_error(&x->reply, 404, "HTTP 404 Not Found"); return exchange_reply(x);
    case ROUTE_WRONG_METHOD: reply_error(&x->reply, 405, "HTTP 405 Method Not Allowed"); return exchange_reply(x);
    case ROUTE_BAD_PATH:
        reply_error(&x->reply, 400, "The path is malformed: a bad escape, an encoded slash or too long");
        return exchange_reply(x);
    }
    if (!media_type_allowed(x)) {
        reply_error(&x->reply, 415, "HTTP 415 Unsupported Media Type");
        return exchange_reply(x);
    }
    if (!(x->route->flags & ROUTE_BLOCKS)) {
        exchange_handle(x);
        return exchange_reply(x);
    }
    MHD_suspend_connection(x->connection);
    if (!workers_post(x->server->workers, exchange_handle, x)) {
        reply_error(&x->reply, 503, "The server is shutting down");
        MHD_resume_connection(x->connection);
    }
    return MHD_YES;
}

static struct http_exchange *exchange_new(struct listening *l, struct MHD_Connection *c, const char *path,
                                          const char *method)
{
    struct http_exchange *x = xcalloc(1, sizeof *x);

    x->server = l->server;
    x->listener = &l->listener;
    x->connection = c;
    snprintf(x->method, sizeof x->method, "%s", method);
    const char *host = header(x, MHD_HTTP_HEADER_HOST);
    snprintf(x->host, sizeof x->host, "%s", host ? host : l->listener.address);
    x->request = (struct http_request){
        .context = l->server->options->context, .method = x->method, .path = path, .host = x->host, .exchange = x};
    pthread_mutex_lock(&l->server->lock);
    l->server->exchanges_count++;
    pthread_mutex_unlock(&l->server->lock);
    return x;
}

static bool length_allowed(struct http_exchange *x)
{
    const char *length = header(x, MHD_HTTP_HEADER_CONTENT_LENGTH);

    return !length || strtoull(length, NULL, 10) <= HTTP_BODY_BYTES_MAX;
}

/* libmicrohttpd: called with the headers, with each part of the body, at its end, and after each resume. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url, const char *method,
                                  const char *version, const char *data, size_t *data_size, void **state)
{
    struct http_exchange *x = *state;

    if (!x) {
        *state = x = exchange_new(cls, c, url, method);
        if (length_allowed(x)) return MHD_YES;
        reply_error(&x->reply, 413, "The body is larger than %d bytes", HTTP_BODY_BYTES_MAX);
        return exchange_reply(x);
    }
    if (*data_size > 0) {
        /* A chunked body, which does not say its length first, ends the connection here. */
        if (!body_append(x, data, *data_size)) return MHD_NO;
        *data_size = 0;
        return MHD_YES;
    }
    return x->phase == EXCHANGE_HANDLED ? exchange_reply(x) : exchange_dispatch(x);
}

static void on_completed(void *cls, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode why)
{
    struct http_exchange *x = *state;

    if (!x) return;
    struct http_server *s = x->server;
    free(x->body);
    free(x->reply.body);
    free(x->reply.location);
    free(x->reply.cause);
    free(x);
    *state = NULL;
    pthread_mutex_lock(&s->lock);
    if (--s->exchanges_count == 0) pthread_cond_broadcast(&s->quiet);
    pthread_mutex_unlock(&s->lock);
}

/* Paths and queries are decoded by us, after they were taken apart. */
static size_t keep_escaped(void *cls, struct MHD_Connection *c, char *text)
{
    return strlen(text);
}

/* -- life -- */

int http_server_open(const struct http_server_options *options, struct http_server **ret_server, struct err *err)
{
    struct http_server *s = xcalloc(1, sizeof *s);
    const char *p = options->listeners;
    struct slice text;
    int r = 0;

    s->options = options;
    s->workers = workers_new(options->name, HTTP_BLOCKED_MAX, HTTP_WORKER_IDLE_MS);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->quiet, NULL);
    while (r == 0 && option_list_next(&p, &text)) {
        struct listening *l = &s->listening[s->listening_count];
        if (s->listening_count == HTTP_LISTENERS_MAX) {
            r = err_set(err, -EINVAL, "more than %d listeners", HTTP_LISTENERS_MAX);
        } else if ((r = http_listener_open(text, &l->listener, err)) == 0) {
            l->server = s;
            s->listening_count++;
        }
    }
    if (r == 0 && s->listening_count == 0) r = err_set(err, -EINVAL, "no listener is named");
    if (r < 0) {
        http_server_stop(s);
        return r;
    }
    *ret_server = s;
    return 0;
}

int http_server_run(struct http_server *s, struct err *err)
{
    unsigned connections_max = s->options->connections_max ? s->options->connections_max : HTTP_CONNECTIONS_MAX;
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the library's threads must not take the process's signals */
    for (int i = 0; i < s->listening_count; i++) {
        struct listening *l = &s->listening[i];
        l->daemon = MHD_start_daemon(
            MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, l,
            MHD_OPTION_LISTEN_SOCKET, l->listener.fd, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_CONNECTION_BYTES,
            MHD_OPTION_CONNECTION_LIMIT, connections_max, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_IDLE_TIMEOUT_S,
            MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_UNESCAPE_CALLBACK, keep_escaped, NULL,
            MHD_OPTION_THREAD_STACK_SIZE, (size_t)THREAD_STACK_HTTP_BYTES, MHD_OPTION_END);
        if (!l->daemon) break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!s->listening[s->listening_count - 1].daemon) return err_set(err, -EAGAIN, "no thread for the HTTP server");
    return 0;
}

void http_server_stop(struct http_server *s)
{
    struct timespec until;

    if (!s) return;
    for (int i = 0; i < s->listening_count; i++) {
        if (s->listening[i].daemon) MHD_quiesce_daemon(s->listening[i].daemon);
        close(s->listening[i].listener.fd);
    }
    atomic_store(&s->stopping, true);
    workers_free(s->workers); /* every suspended connection is resumed by then */
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_WAIT_S;
    pthread_mutex_lock(&s->lock);
    while (s->exchanges_count > 0 && pthread_cond_timedwait(&s->quiet, &s->lock, &until) != ETIMEDOUT) {}
    pthread_mutex_unlock(&s->lock);
    for (int i = 0; i < s->listening_count; i++)
        if (s->listening[i].daemon) MHD_stop_daemon(s->listening[i].daemon);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->quiet);
    free(s);
}

const char *http_server_address(const struct http_server *s)
{
    return s->listening[0].listener.address;
}
