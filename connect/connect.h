/* connect/connect.h: Kafka Connect inside the broker: its topics, its connectors, its REST API; the room's one object.
 *
 * Life: connect_open() -> broker_open(), cdc_open() -> connect_start() -> broker_serve() -> connect_run() ...
 * connect_stop() -> broker_stop(), cdc_close(), broker_close() -> connect_close().
 * Threads: all on the main thread. */
#ifndef OTTLA_CONNECT_H
#define OTTLA_CONNECT_H

#include "base/err.h"

struct broker;
struct broker_config;
struct cdc;
struct connect;

/* Binds connect.listeners, so that an address in use is known before any data is touched. */
int connect_open(const struct broker_config *config, struct connect **ret_connect, struct err *err) WARN_UNUSED;
/* Creates the topics of Connect when they are missing, restores the connectors and begins to answer. On failure what is
 * left is for connect_stop(). */
int connect_start(struct connect *c, struct broker *broker, struct cdc *cdc, struct err *err) WARN_UNUSED;
/* Starts the restored connectors, each on its own thread. */
void connect_run(struct connect *c);
/* "HOST:PORT" of the first listener, as bound; "" when connect.listeners is empty: then there is no REST API. */
const char *connect_address(const struct connect *c);
/* Ends REST requests and stops the connectors (they run again after the next start); no thread is left. In whatever
 * state. */
void connect_stop(struct connect *c);
/* NULL is allowed. */
void connect_close(struct connect *c);

#endif
