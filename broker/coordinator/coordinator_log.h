/* broker/coordinator/coordinator_log.h: the log of a coordinator: an internal, compacted topic whose fold is the
 * coordinator's state.
 *
 * Groups (`__consumer_offsets`), transactions (`__transaction_state`) and share groups (`__share_group_state`) are such
 * folds. This file knows when the topic is there, reads its partitions at start, appends and makes the topic when
 * somebody first asks for a coordinator; a coordinator brings rows of records (coordinator_records.h) and a few
 * callbacks, and embeds a struct coordinator_log.
 *
 *             topic is there          read to its end
 *   (no log) ----------------> LOADING ---------------> READY        check(): NOT_COORDINATOR; LOAD_IN_PROGRESS; NONE;
 *      ^                          \------- damaged ---> FAILED                NOT_AVAILABLE
 *      +------- deleted ---------------------------------/           per partition; loading goes in their order
 *
 * A failed partition answers COORDINATOR_NOT_AVAILABLE rather than "nothing there", which would make clients begin
 * anew. What has an id (a group, a transactional id, "group:topicId:partition") lives in partition
 * coordinator_partition(id).
 *
 * Contract for coordinators: append first, and only what was appended changes the state ("what cannot be appended did
 * not happen"); answer when coordinator_log_when_durable() says so. A record must restore what its key names alone, as
 * compaction keeps the last one of each key. apply() of rows writes nothing.
 * Limits: limits.h, COORDINATOR_*; the fold is bounded by the coordinator (GROUPS_BYTES_MAX, TXNS_BYTES_MAX).
 * Threads: open and close while the control thread does not run; all else on the control thread. Loading is done there
 * too, in pieces between other work, as only that thread may touch the state. */
#ifndef OTTLA_COORDINATOR_LOG_H
#define OTTLA_COORDINATOR_LOG_H

#include "broker/broker.h"
#include "broker/coordinator/coordinator_records.h"
#include "broker/durable.h"

#include <ev.h>

struct coordinator_log;

/* What a coordinator is. Constant. */
struct coordinator_type {
    const char *topic;
    const char *name;                   /* subsystem of log lines: "group" */
    const struct coordinator_row *rows; /* the last one is {0} */
    /* Of a new topic. */
    const struct config_entry *config; /* beside segment.bytes */
    uint32_t config_count;
    size_t partitions_count_at, segment_bytes_at; /* offsetof() the options in struct broker_config, int64_t */

    /* A transaction marker stands in the partition. NULL: markers mean nothing here. */
    void (*marker)(struct coordinator_log *l, int32_t partition, int64_t producer_id, bool commit);
    /* The partition has been read: what lives in it comes to life or, if not ok, is forgotten. */
    void (*loaded)(struct coordinator_log *l, int32_t partition, bool ok);
    /* The log is gone, or the broker ends: forget everything, answer whoever waits. */
    void (*dropped)(struct coordinator_log *l);
};

enum coordinator_state { COORDINATOR_LOADING, COORDINATOR_READY, COORDINATOR_FAILED };

struct coordinator_log {
    const struct coordinator_type *type;
    struct broker *broker;
    struct topic_watch watch;
    struct coordinator_records records;
    struct coordinator_writer writer;
    bool creating; /* the topic is being made */

    int32_t parts_count; /* 0: there is no log */
    struct coordinator_part {
        enum coordinator_state state;
        struct partition_log *log; /* a reference; NULL: offline */
    } * parts;

    int32_t loading; /* the partition that is read; parts_count: all were */
    struct broker_reader *reader;
    ev_timer load;
    int64_t load_start_ms, load_records;
    struct bytes scratch;
};

/* Begins to read the log if it is there. state goes to the rows' apply(). The metadata is there. */
void coordinator_log_open(struct coordinator_log *l, struct broker *b, const struct coordinator_type *type,
                          void *state);
/* Lets the log go; check() answers NOT_COORDINATOR from now on. For an orderly end before close. */
void coordinator_log_stop(struct coordinator_log *l);
void coordinator_log_close(struct coordinator_log *l);

/* Makes sure that the topic exists; done(arg, error) maybe before it returns. Error: COORDINATOR_NOT_AVAILABLE. */
void coordinator_log_ensure(struct coordinator_log *l, void (*done)(void *arg, enum kafka_error error), void *arg);

/* Where id lives; -1: there is no log. */
int32_t coordinator_log_partition(const struct coordinator_log *l, struct slice id);
/* Whether id can be served: NONE, NOT_COORDINATOR (no log), COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE. */
enum kafka_error coordinator_log_check(const struct coordinator_log *l, struct slice id);
bool coordinator_log_is_ready(const struct coordinator_log *l, int32_t partition);
/* No partition is still to be read; true without a log. */
static inline bool coordinator_log_is_loaded(const struct coordinator_log *l)
{
    return l->loading == l->parts_count;
}

/* Begins a change: coordinator_put() its records into the writer, then append. fields: BATCH_FIELDS_PLAIN, or those of
 * a transaction's producer. */
struct coordinator_writer *coordinator_log_begin(struct coordinator_log *l, const struct batch_fields *fields);
/* Appends the change to the partition of id, all or nothing; in the page cache when it returns. ret_offset: of the
 * first record, the others follow it; may be NULL, not set when nothing was put (NONE).
 * Errors, which are logged: COORDINATOR_NOT_AVAILABLE (no log, offline), MESSAGE_TOO_LARGE (a record cannot be
 * encoded), those of partition_log_append(). */
enum kafka_error coordinator_log_append(struct coordinator_log *l, struct slice id, int64_t *ret_offset) WARN_UNUSED;
/* Calls done(arg, error) when what was appended for id so far is as durable as promised; maybe before it returns.
 * waits, error: durable.h. */
void coordinator_log_when_durable(struct coordinator_log *l, struct slice id, struct durable_waits *waits,
                                  void (*done)(void *arg, enum kafka_error error), void *arg);
/* The log of id's partition; NULL: none, or offline. Borrowed. */
struct partition_log *coordinator_log_of(const struct coordinator_log *l, struct slice id);

#endif
