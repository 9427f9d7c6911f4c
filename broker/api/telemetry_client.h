/* broker/api/telemetry_client.h: what the APIs of client metrics share. Network thread. */
#ifndef OTTLA_API_TELEMETRY_CLIENT_H
#define OTTLA_API_TELEMETRY_CLIENT_H

#include "broker/api.h"
#include "broker/telemetry/telemetry.h"

/* Who asks or pushes; borrowed from the request. From now on telemetry_disconnected() follows. */
struct telemetry_client telemetry_client_of(struct request *rq);

#endif
