/* tools/ottla/metrics.h: the endpoint that Prometheus reads: GET /metrics on metrics.listeners.
 *
 * Text format 0.0.4. Now it has what clients pushed (broker/telemetry/client_metrics.h).
 * Threads: open, run and stop on the owner's; a read runs on a worker of the HTTP server, as it may wait for a lock. */
#ifndef OTTLA_METRICS_H
#define OTTLA_METRICS_H

#include "broker/broker.h"
#include "http/server.h"

struct metrics_endpoint {
    struct http_server_options options;
    struct http_server *server; /* NULL: metrics.listeners is empty */
};

/* Binds. err: one line that names the option. config must live as long as the endpoint. */
int metrics_open(struct metrics_endpoint *e, const struct broker_config *config, struct err *err) WARN_UNUSED;
/* Begins to answer from b. */
int metrics_run(struct metrics_endpoint *e, struct broker *b, struct err *err) WARN_UNUSED;
/* Also of one that was not opened. */
void metrics_stop(struct metrics_endpoint *e);
/* "HOST:PORT", or "-". */
const char *metrics_address(const struct metrics_endpoint *e);

#endif
