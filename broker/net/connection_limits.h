/* broker/net/connection_limits.h: how many connections each address has and how fast new ones come.
 *
 * Limits: max.connections.per.ip and its overrides, max.connection.creation.rate, the quotas connection_creation_rate
 * (KIP-612). Addresses are texts without port, as in log lines. What nobody is connected from and was not used for
 * QUOTA_IDLE_MS is forgotten, and beyond CONNECTION_ADDRESSES_MAX the longest unused such address.
 * Threads: any; one mutex, a leaf. */
#ifndef OTTLA_CONNECTION_LIMITS_H
#define OTTLA_CONNECTION_LIMITS_H

#include "base/err.h"
#include "broker/config/config.h"
#include "broker/access/quota_rate.h"
#include "broker/metadata/shared_set.h"

struct connection_limits;
/* What is known of one address; borrowed from the limits by each of its connections. */
struct connection_address;

struct connection_limits *connection_limits_new(const struct quota_windows *windows);
void connection_limits_free(struct connection_limits *l);

enum connection_verdict {
    CONNECTION_TAKEN,    /* counted until connection_limits_give_back() */
    CONNECTION_TOO_MANY, /* close it: its address has *ret_limit connections */
    CONNECTION_TOO_FAST, /* close it after *ret_wait_ms: its address may have *ret_limit new ones per second */
};
/* A new connection. quotas: of the snapshot whose config is given. Only with CONNECTION_TAKEN is it counted. */
enum connection_verdict connection_limits_take(struct connection_limits *l, const struct broker_config *config,
                                               const struct shared_set *quotas, struct slice host, int64_t now_ms,
                                               struct connection_address **ret_address, double *ret_limit,
                                               int64_t *ret_wait_ms);
void connection_limits_give_back(struct connection_limits *l, struct connection_address *a);
/* A connection was taken: how long no further one is to be taken, from whatever address. */
int64_t connection_limits_pause_ms(struct connection_limits *l, const struct broker_config *config, int64_t now_ms);
/* Addresses that are remembered. */
uint32_t connection_limits_count(struct connection_limits *l);

/* The limit of an address in a list "ADDRESS:COUNT,..." (an IPv6 address may stand in brackets); -1: not named. */
int64_t connection_override(const char *list, struct slice host);
/* -EINVAL with what is wrong. Names of hosts, which Kafka would resolve, are refused: nobody waits for name servers. */
int connection_overrides_check(const char *list, struct err *err) WARN_UNUSED;

#endif
