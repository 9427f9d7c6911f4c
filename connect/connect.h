/* connect/connect.h: Kafka Connect inside the broker: its topics, its connectors, its REST API; the room's one object.
 *
 * Life: cdc_open() -> connect_start() -> broker_serve() ... connect_stop() -> broker_stop(), cdc_close().
 * Threads: start and stop on the main thread. */
#ifndef OTTLA_CONNECT_H
#define OTTLA_CONNECT_H

#include "base/err.h"

struct broker;
struct cdc;
struct connect;

/* Creates the topics of Connect, restores the connectors and begins to serve at the broker's option connect.listeners (and
 * connect.debezium.version). The connectors themselves start with connect_run(). On failure nothing is left running. */
int connect_start(struct broker *broker, struct cdc *cdc, struct connect **ret_connect, struct err *err) WARN_UNUSED;
/* Starts the restored connectors, each on its own thread; after broker_serve(). */
void connect_run(struct connect *c);
/* "HOST:PORT" of the first listener, as bound; "" when connect.listeners is empty: then there is no REST API. */
const char *connect_address(const struct connect *c);
/* Ends REST requests, stops the connectors (they run again after the next start). NULL is allowed. */
void connect_stop(struct connect *c);

#endif
