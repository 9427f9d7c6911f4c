/* broker/group/group_store.h: the coordinator of this broker: groups on the control thread, their log
 * `__consumer_offsets`.
 *
 * Groups are the fold of their log (coordinator_log.h), in Kafka's record formats (group_records.h).
 * Threads: open and close while the control thread does not run; the rest on the control thread. */
#ifndef OTTLA_GROUP_STORE_H
#define OTTLA_GROUP_STORE_H

#include "broker/api.h"
#include "broker/broker.h"
#include "broker/group/group.h"
#include "broker/txn/producer_ids.h"

/* Sets b->groups and begins to read the log; the metadata is there. */
void groups_open(struct broker *b);
/* On the control thread, before the loops end: answers parked requests with COORDINATOR_NOT_AVAILABLE, parks no
 * more. */
void groups_stop(struct broker *b);
/* Frees all. */
void groups_close(struct broker *b);

/* The coordinator of group id for a handler, with the options as they are now. NULL, and *ret_error set: the group's
 * partition is being read or cannot be, or nobody asked for a coordinator yet, so that there is no log
 * (NOT_COORDINATOR). */
struct groups *groups_for(struct request *rq, struct slice id, enum acl_operation operation,
                          enum kafka_error *ret_error);
/* Whether consumer groups of KIP-848 are served: the feature group.version is finalized, and the option
 * group.coordinator.rebalance.protocols names them. Else their requests answer UNSUPPORTED_VERSION. */
bool groups_have_consumer_protocol(struct request *rq);
/* For lists of all groups; errors likewise. No log means no groups. */
struct groups *groups_for_all(struct request *rq, enum kafka_error *ret_error);

struct producer_ids *groups_producer_ids(struct broker *b);

/* Which partition of the log keeps a group; false: there is no log yet. */
bool groups_partition_of(struct broker *b, struct slice id, int32_t *ret_partition);
/* A transaction marker was appended to a partition of the log: what it ends takes effect. */
void groups_transaction_end(struct broker *b, int32_t partition, int64_t producer_id, bool commit);

/* Makes sure that the log exists; done(arg, error) on the control thread, maybe before it returns. */
void groups_log_ensure(struct broker *b, void (*done)(void *arg, enum kafka_error error), void *arg);

#endif
