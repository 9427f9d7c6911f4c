/* broker/share/share_store.h: the share coordinator of this broker: state of share partitions in
 * `__share_group_state`, and the share partitions that are being fetched.
 *
 * State is the fold of the log (coordinator_log.h, share_state.h; docs/share-groups.md), keyed
 * "group:topicId:partition" as Kafka spreads it. A share partition comes to life with the first fetch: from its state,
 * or where share.auto.offset.reset says when it has no start yet. The log's head goes when all states have newer
 * snapshots; states that hold back much of it get one.
 * A change wakes the fetches of the group that wait for something to acquire.
 * Threads: open and close while the control thread does not run; the rest on the control thread. */
#ifndef OTTLA_SHARE_STORE_H
#define OTTLA_SHARE_STORE_H

#include "broker/api.h"
#include "broker/coordinator/coordinator_records.h"
#include "broker/durable.h"
#include "broker/share/share_session.h"
#include "broker/share/share_state.h"

/* A share partition that is in use; borrowed until the next event of the loop. */
struct share_live;

/* A fetch that waits for something to acquire in its group. */
struct share_waiter {
    TAILQ_ENTRY(share_waiter) link;
    struct slice group_id;
    void (*wake)(struct share_waiter *w); /* once; the waiter is out of the list then */
    bool waiting;
    bool woken;
};

/* What the records of the log do; their state is a struct share_states. */
extern const struct coordinator_row share_rows[];

void shares_open(struct broker *b);
void shares_stop(struct broker *b);
void shares_close(struct broker *b);

/* Whether the feature share.version is on; else share groups' requests answer UNSUPPORTED_VERSION. */
bool shares_enabled(struct request *rq);

struct share_sessions *shares_sessions(struct broker *b);
/* Closes the session: what the member acquired is released. */
void shares_session_close(struct broker *b, struct share_session *s);

/* Makes sure that the log exists; done(arg, error) maybe before it returns. */
void shares_log_ensure(struct broker *b, void (*done)(void *arg, enum kafka_error error), void *arg);

/* -- state -- */

/* Begins the state of partitions anew, the log included; start[i] (NULL: none has one) belongs to partitions->items[i].
 * done(arg, error) maybe before it returns. */
void shares_initialize(struct broker *b, struct slice group_id, const struct partition_set *partitions,
                       const int64_t *starts, int32_t state_epoch, void (*done)(void *arg, enum kafka_error error),
                       void *arg);
/* Forgets the state of partitions; one without state is no error. */
enum kafka_error shares_delete(struct broker *b, struct slice group_id, const struct partition_set *partitions);
/* The state as stored; NULL: none, or *ret_error. */
const struct share_state *shares_state(struct broker *b, const struct share_key *key, enum kafka_error *ret_error);
/* done(arg, error) when what was stored for the key so far is as durable as promised; maybe before it returns. */
void shares_when_durable(struct broker *b, const struct share_key *key, struct durable_waits *waits,
                         void (*done)(void *arg, enum kafka_error error), void *arg);

/* -- share partitions -- */

/* log: the partition's. NULL: *ret_error. */
struct share_live *shares_live(struct broker *b, const struct share_key *key, struct partition_log *log,
                               enum kafka_error *ret_error);
/* The same if it is in use; NULL otherwise. */
struct share_live *shares_live_find(struct broker *b, const struct share_key *key);
struct share_partition *share_live_partition(struct share_live *l);
enum kafka_error share_live_acknowledge(struct share_live *l, struct uuid member, const struct share_ack *acks,
                                        uint32_t count);
void share_live_acquire(struct share_live *l, struct share_acquire *a, struct share_acquired_list *list);
/* share.record.lock.duration.ms, of the group or the broker. */
int32_t shares_lock_ms(struct broker *b, struct slice group_id);
bool shares_read_committed(struct broker *b, struct slice group_id);

void shares_wait(struct broker *b, struct share_waiter *w);
void shares_wait_cancel(struct broker *b, struct share_waiter *w);

#endif
