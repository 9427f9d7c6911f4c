/* broker/txn/txn_store.h: the transaction coordinator of this broker: its log `__transaction_state`, its timers.
 *
 * Transactional ids are the fold of their log (coordinator_log.h), in Kafka's record formats: TransactionLogKey 0,
 * TransactionLogValue 1 (docs/transactions.md). When a partition has been read, its transactions whose end was decided
 * are ended.
 * Threads: open and close while the control thread does not run; the rest on the control thread. */
#ifndef OTTLA_TXN_STORE_H
#define OTTLA_TXN_STORE_H

#include "broker/api.h"
#include "broker/broker.h"
#include "broker/coordinator/coordinator_records.h"
#include "broker/txn/txn.h"

/* What the records of the log do; their state is a struct txns. */
extern const struct coordinator_row txn_rows[];

/* Sets b->txns and begins to read the log; the metadata is there, and the groups are. */
void txns_open(struct broker *b);
void txns_close(struct broker *b);

/* The coordinator of id for a handler. NULL, and *ret_error set: the caller may not, the id's partition is being read
 * or cannot be, or there is no log yet (NOT_COORDINATOR). */
struct txns *txns_for(struct request *rq, struct slice id, enum acl_operation operation, enum kafka_error *ret_error);
/* For lists of all; no log means no transactions. */
struct txns *txns_for_all(struct request *rq, enum kafka_error *ret_error);

/* Makes sure that the log exists; done(arg, error) on the control thread, maybe before it returns. */
void txns_log_ensure(struct broker *b, void (*done)(void *arg, enum kafka_error error), void *arg);

/* Appends a marker to a partition and tells the groups of their log. Errors: UNKNOWN_TOPIC_OR_PARTITION and those of
 * the log. */
enum kafka_error txn_marker_write(struct broker *b, const struct txn_marker *marker, int32_t coordinator_epoch,
                                  struct slice topic, int32_t partition) WARN_UNUSED;

#endif
