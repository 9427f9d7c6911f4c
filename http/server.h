/* http/server.h: an HTTP/1.1 server on libmicrohttpd: one thread with epoll per listener, workers for handlers that
 * block.
 *
 * Life of a request: headers (Host and Origin checked, route found, length bounded) -> body collected in memory ->
 * handler, at once or on a worker while the connection is suspended -> reply queued -> freed. Security: a listener on a
 * loopback address answers only requests whose Host header names this machine (a name or address of loopback), and
 * whose Origin, if there is one, is that Host: a web page that a browser shows cannot use it, by DNS rebinding or
 * otherwise. Bodies and query texts are never logged. Threads: open, run and stop on the owner's; handlers as their
 * route says. */
#ifndef OTTLA_HTTP_SERVER_H
#define OTTLA_HTTP_SERVER_H

#include "base/err.h"
#include "http/route.h"

#define HTTP_BODY_BYTES_MAX   (1024 * 1024) /* a connector configuration has some kB; a record may have 1 MiB */
#define HTTP_CONNECTION_BYTES (16 * 1024)   /* the library's memory for one connection: its headers must fit */
#define HTTP_CONNECTIONS_MAX  256           /* of one listener */
#define HTTP_IDLE_TIMEOUT_S   60
#define HTTP_BLOCKED_MAX      16 /* requests that block at the same time; more wait in a queue */
#define HTTP_LISTENERS_MAX    8
#define HTTP_WORKER_IDLE_MS   5000

struct http_server;

struct http_request {
    void *context; /* of http_server_options */
    const char *method;
    const char *path; /* as it came: encoded, without query */
    const char *host; /* the Host header; never NULL, "HOST:PORT" of the listener when there was none */
    struct http_params params;
    struct slice body;
    struct http_exchange *exchange; /* the server's own */
};

/* The parameter i of the route's pattern, decoded. */
const char *http_param(const struct http_request *rq, int i);
/* Whether the query has name (with value, unless NULL): "?expand=info&expand=status" has both. Values are decoded and
 * compared without regard to case. */
bool http_query_has(const struct http_request *rq, const char *name, const char *value);

struct http_reply {
    int status;
    const char *content_type; /* static text; NULL: none */
    char *body;               /* malloc'd, taken over by the server; NULL: empty */
    size_t body_len;
    char *location; /* malloc'd, taken over; NULL: no such header */
    char *cause;    /* malloc'd, taken over: for the log line of a refused request, without credentials; may be NULL */
};

struct http_server_options {
    const char *name;      /* of threads and log lines: "connect" */
    const char *listeners; /* "http://HOST:PORT,..."; empty host: all addresses; port 0: any free one */
    const struct http_route *routes;
    size_t routes_count;
    void *context;            /* for handlers */
    unsigned connections_max; /* of one listener; 0: HTTP_CONNECTIONS_MAX. Further ones wait to be accepted */
};

/* Binds the listeners; clients can connect and wait. Options are borrowed for the server's life. err: one line that
 * names the listener. */
int http_server_open(const struct http_server_options *options, struct http_server **ret_server,
                     struct err *err) WARN_UNUSED;
/* Begins to answer. On failure the server is still to be stopped. */
int http_server_run(struct http_server *s, struct err *err) WARN_UNUSED;
/* Refuses new connections and what still waits for a worker (503), lets what runs finish, then closes all. NULL is
 * allowed. */
void http_server_stop(struct http_server *s);
/* "HOST:PORT" of the first listener, as bound. */
const char *http_server_address(const struct http_server *s);

/* Whether a Host header ("localhost:8083", "[::1]", "127.0.0.1") names this machine's loopback. */
bool http_host_is_loopback(const char *host);

/* "http://HOST:PORT" -> host (empty: all addresses) and port. false: err says what is wrong. */
bool http_listener_parse(struct slice text, char ret_host[256], char ret_port[8], struct err *err);

#endif
