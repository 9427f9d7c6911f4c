/* connect/rest.h: the REST API of Kafka Connect: rows of method, path and handler.
 *
 * Behaviour, statuses and texts: docs/connect-rest.md, which also lists what differs from Kafka Connect 4.3.
 * Threads: reads run on the thread of the HTTP server, everything that may wait on its workers. */
#ifndef OTTLA_CONNECT_REST_H
#define OTTLA_CONNECT_REST_H

#include "connect/herder.h"
#include "connect/plugins.h"
#include "http/server.h"

struct loggers;

/* The version of Kafka Connect whose behaviour this is; clients show it, some compare it. */
#define CONNECT_VERSION "4.3.1"

/* The context of the handlers. */
struct rest {
    struct herder *herder;
    struct loggers *loggers;
    const struct connector_class *classes;
    size_t classes_count;
    const struct plugin *plugins;
    size_t plugins_count;
    const char *cluster_id;
};

extern const struct http_route rest_routes[];
extern const size_t rest_routes_count;

#endif
