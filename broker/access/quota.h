/* broker/access/quota.h: client quotas in force: who uses how much, and how long who exceeds his limit is not read.
 *
 * The limits are the snapshot's (quota_store.h). Whose usage is counted together follows from the entity that the limit
 * was set on: a user's own connections, those of a client id, or of both; a default gives each one a count of its own.
 * Precedence (Kafka documentation "Quotas"), each key by itself:
 *   user and client id, user and default client; user; default user and client id, default user and default client;
 *   default user; client id; default client.
 * Usage lives in memory only and is forgotten after QUOTA_IDLE_MS, or, beyond QUOTA_USAGE_BYTES_MAX, the longest unused
 * first.
 * Threads: any; one mutex, a leaf. Where no quota is set a request costs one relaxed load. */
#ifndef OTTLA_QUOTA_H
#define OTTLA_QUOTA_H

#include "base/slice.h"
#include "broker/config/config.h"
#include "broker/access/quota_rate.h"
#include "broker/access/quota_store.h"

#include <stdatomic.h>

/* Names of a client as the quotas know it: the principal without its type, the client id of the header. */
struct quota_client {
    struct slice user;
    struct slice client_id;
};

/* The limit in force for a client, and whose usage counts for it (an empty name: everybody's). false: none. */
bool quota_limit(const struct shared_set *set, enum quota_key key, const struct quota_client *client, double *ret_limit,
                 struct quota_client *ret_counted);
/* The limit of an address (text without port); false: none. */
bool quota_limit_of_address(const struct shared_set *set, struct slice address, double *ret_limit);

struct quotas;

struct quotas *quotas_new(const struct broker_config *config);
void quotas_free(struct quotas *q);
/* The set that is in force from now on: remembers which keys anybody has a limit for. */
void quotas_publish(struct quotas *q, const struct shared_set *set);
/* Whether anybody has a limit for the key. */
bool quotas_has(const struct quotas *q, enum quota_key key);

/* Counts an amount and returns how long the client is to wait [ms], 0: not at all. Without a limit nothing is
 * counted. */
int64_t quotas_charge(struct quotas *q, const struct shared_set *set, enum quota_key key,
                      const struct quota_client *client, double amount, int64_t now_ms);
/* Takes back what was charged at the same time. */
void quotas_take_back(struct quotas *q, const struct shared_set *set, enum quota_key key,
                      const struct quota_client *client, double amount, int64_t now_ms);
/* Counts partitions that are made or removed (controller_mutation_rate). strict: when too many were before, nothing is
 * counted and false returned. *ret_wait_ms: how long the client is to wait. */
bool quotas_mutate(struct quotas *q, const struct shared_set *set, const struct quota_client *client, double partitions,
                   bool strict, int64_t now_ms, int64_t *ret_wait_ms);
/* Bytes above which one answer would be throttled for sure, whatever came before; INT64_MAX: no limit. */
int64_t quotas_fetch_bytes_max(struct quotas *q, const struct shared_set *set, const struct quota_client *client);
/* Memory that the usage takes. */
size_t quotas_bytes(struct quotas *q);

#endif
