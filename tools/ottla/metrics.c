/* tools/ottla/metrics.c: see metrics.h. */
#include "tools/ottla/metrics.h"

#include <errno.h>

/* Each may hold the whole text, 32 MiB of clients' metrics, until its reader has taken it. */
#define METRICS_CONNECTIONS_MAX 8

static void get_metrics(struct http_request *rq, struct http_reply *reply)
{
    struct bytes text = {0};

    broker_write_metrics(rq->context, &text);
    if (text.failed) {
        bytes_done(&text);
        reply->status = 503;
        return;
    }
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    reply->body = (char *)text.ptr; /* malloc'd, and the server's from here on */
    reply->body_len = text.len;
}

static const struct http_route routes[] = {{"GET", "/metrics", ROUTE_BLOCKS, get_metrics}};

int metrics_open(struct metrics_endpoint *e, const struct broker_config *config, struct err *err)
{
    e->options = (struct http_server_options){.name = "metrics",
                                              .listeners = config->metrics_listeners ? config->metrics_listeners : "",
                                              .routes = routes,
                                              .routes_count = countof(routes),
                                              .connections_max = METRICS_CONNECTIONS_MAX};
    if (!*e->options.listeners) return 0;
    int r = http_server_open(&e->options, &e->server, err);
    if (r < 0) err_prefix(err, "metrics.listeners");
    return r;
}

int metrics_run(struct metrics_endpoint *e, struct broker *b, struct err *err)
{
    if (!e->server) return 0;
    e->options.context = b;
    return http_server_run(e->server, err);
}

void metrics_stop(struct metrics_endpoint *e)
{
    http_server_stop(e->server);
    e->server = NULL;
}

const char *metrics_address(const struct metrics_endpoint *e)
{
    return e->server ? http_server_address(e->server) : "-";
}
