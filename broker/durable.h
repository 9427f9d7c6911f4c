/* broker/durable.h: waiting on the control thread until appends are as durable as their topics promise.
 *
 *   struct durable_wait *w = durable_wait_new(b, waits, done, arg);
 *   durable_wait_add(w, topic, log);       each log with what was appended to it so far
 *   durable_wait_end(w);                   done(arg, error): now if nothing is waited for, else when all are synced
 * For a request it is one step of api/wait.h; coordinators wait here too, without a request. Several logs make one
 * durable_wait, so that its owner can forget it.
 * Only topics in strict durability (log_config.strict) make anybody wait.
 * Threads: the control thread; done runs there. When the broker closes before a sync ends, done is not called. */
#ifndef OTTLA_DURABLE_H
#define OTTLA_DURABLE_H

#include "broker/metadata/metadata.h"

struct durable_wait;
/* Waits that can be forgotten. */
LIST_HEAD(durable_waits, durable_wait);

/* waits: NULL, or the list that w is in until done is called. error: KAFKA_NONE or COORDINATOR_NOT_AVAILABLE. */
struct durable_wait *durable_wait_new(struct broker *b, struct durable_waits *waits,
                                      void (*done)(void *arg, enum kafka_error error), void *arg);
void durable_wait_add(struct durable_wait *w, const struct metadata_topic *topic, struct partition_log *log);
/* Takes w. */
void durable_wait_end(struct durable_wait *w);
/* What waits points to goes: done of none of them is called any more. */
void durable_waits_forget(struct durable_waits *waits);

#endif
