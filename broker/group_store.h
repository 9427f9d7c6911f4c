/* broker/group_store.h: the coordinator of this broker: groups on the control thread, their log `__consumer_offsets`.
 *
 * Format: Kafka's (docs/groups.md): key int16 type + body, value int16 version + body, null value = tombstone; types 0
 * and 1 committed offset, 2 classic group. Records of other types are left alone. A group lives in partition
 * group_partition(id). State is the fold of the log: at start each partition is read from its log start on, in pieces
 * between other work; until that is done the coordinator answers COORDINATOR_LOAD_IN_PROGRESS.
 * Threads: open and close while the control thread does not run; the rest on the control thread. */
#ifndef OTTLA_GROUP_STORE_H
#define OTTLA_GROUP_STORE_H

#include "broker/api.h"
#include "broker/broker.h"
#include "broker/group.h"

/* Sets b->groups and begins to read the log. */
void groups_open(struct broker *b);
/* Answers parked requests with COORDINATOR_NOT_AVAILABLE, frees all. */
void groups_close(struct broker *b);

/* The coordinator for a handler, with the options as they are now. NULL, and *ret_error set: the log is being read
 * (COORDINATOR_LOAD_IN_PROGRESS), or nobody asked for a coordinator yet, so that there is no log (NOT_COORDINATOR). */
struct groups *groups_for(struct request *rq, enum kafka_error *ret_error);
/* The same for lists: no log means no groups. */
struct groups *groups_for_list(struct request *rq, enum kafka_error *ret_error);

/* Makes sure that the log exists; done(arg, error) on the control thread, maybe before it returns. */
void groups_log_ensure(struct broker *b, void (*done)(void *arg, enum kafka_error error), void *arg);

#endif
