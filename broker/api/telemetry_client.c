/* broker/api/telemetry_client.c: see telemetry_client.h. */
#include "broker/api/telemetry_client.h"

#include <stdio.h>

/* Kafka's word for a library that did not say what it is: subscriptions may be set to match it. */
static struct slice or_unknown(struct slice text)
{
    return text.ptr ? text : SLICE("unknown");
}

struct telemetry_client telemetry_client_of(struct request *rq)
{
    struct slice name, version;
    const char *port = strrchr(rq->client_address, ':');

    request_software(rq, &name, &version);
    struct telemetry_client who = {.client_id = rq->client_id,
                                   .software_name = or_unknown(name),
                                   .software_version = or_unknown(version),
                                   .address = request_peer_host(rq),
                                   .connection_id = request_watch_connection(rq, WATCHER_TELEMETRY)};
    snprintf(who.port, sizeof who.port, "%s", port ? port + 1 : "");
    return who;
}
