/* cdc/journal_io.h: the journal's operations on real partition logs, and the batches that are being built for them.
 *
 * Threads: one at a time (the connector's; the main thread during recovery). Sync threads only leave answers, which
 * journal_io_deliver() hands to the journal; `wake_fd` is readable while there are some. */
#ifndef OTTLA_CDC_JOURNAL_IO_H
#define OTTLA_CDC_JOURNAL_IO_H

#include "cdc/journal.h"
#include "protocol/batch_builder.h"

#include <pthread.h>

struct broker;
struct journal_store;
struct stored_journal;
struct partition_log;

extern const struct journal_ops journal_io_ops;

#define JOURNAL_IO_REQUEST_MAX 1048576 /* Kafka's default of max.request.size [bytes] */

/* What a journal_partition's `user` points to. */
struct journal_part {
    struct journal_io *io;
    struct journal_partition *partition;
    struct partition_log *log;    /* a reference */
    struct batch_builder builder; /* records counted as pending */
    enum compression_codec codec; /* of the topic; none when it leaves that to producers */
    bool codec_given;
    uint32_t batch_max; /* max.message.bytes of the topic, as it was at the last journal_io_trim() */
    bool used;          /* since journal_io_trim() */
    bool answered;
    int answer;
    struct journal_part *next, *next_answered;
};

/* Why an operation failed, as Connect's worker would say it of its producer. */
struct journal_io_failure {
    int code;              /* -errno; 0: nothing failed */
    bool retriable;        /* trying again may help; else somebody must act */
    const char *exception; /* Kafka's class */
    char text[500];
};

struct journal_io {
    struct broker *broker;
    struct journal_store *store;
    struct stored_journal *stored; /* by its number we claim things of the logs */
    struct journal *journal;
    int64_t producer_id;
    enum compression_codec codec; /* producer.override.compression.type */
    int wake_fd;
    uint64_t pending_bytes;                   /* in all builders */
    void (*confirm)(void *arg, uint64_t lsn); /* NULL: no database yet */
    void *confirm_arg;
    uint32_t request_max;              /* producer.override.max.request.size */
    struct journal_io_failure failure; /* the last one */
    bool offline; /* a log of ours could not be opened: its entries must not be taken for a deleted topic's */
    struct journal_part *parts;
    /* answers of the sync threads */
    pthread_mutex_t lock;
    pthread_cond_t quiet;
    uint32_t outstanding;
    struct journal_part *answered;
    bool journal_answered;
    int journal_answer;
};

struct journal_io *journal_io_new(struct broker *broker, struct journal_store *store, struct stored_journal *stored);
/* Waits for syncs under way, whose answers name partitions of the journal: before journal_free(). */
void journal_io_free(struct journal_io *io);
/* Before a record is counted for part's partition: appends what is pending when a batch may not hold both.
 * -EMSGSIZE: Kafka's producer would refuse it (max.request.size), as would the broker (max.message.bytes) a batch of it alone. */
int journal_io_make_room(struct journal_part *part, struct slice key, struct slice value,
                         const struct record_header *headers, int32_t headers_count) WARN_UNUSED;
/* The records of a connector are for a topic that no producer may write to: -EPERM. */
int journal_io_refuse_topic(struct journal_io *io, const char *why);
/* Hands over what the sync threads have answered. */
void journal_io_deliver(struct journal_io *io);
/* Gives back the memory of batches that nobody builds any more, and the logs of deleted topics; called now and then. */
void journal_io_trim(struct journal_io *io);
static inline struct journal_part *journal_part_of(const struct journal_partition *p)
{
    return p->user;
}

#endif
