/* broker/txn/producer_ids.h: hands out producer ids, each once in the life of the data directory.
 *
 * Ids are reserved in blocks, as Kafka does: the ProducerIds record of a block is durable before the first of its ids
 * is handed out; what a stop leaves of a block is lost. Source: KIP-98, docs/format-metadata.md. Threads: the control
 * thread. */
#ifndef OTTLA_PRODUCER_IDS_H
#define OTTLA_PRODUCER_IDS_H

#include "protocol/kafka_error.h"

#include <sys/queue.h>

struct broker;

#define PRODUCER_IDS_BLOCK 1000 /* Kafka's figure */

/* Owned by the caller until answer() was called. */
struct producer_id_call {
    void (*answer)(struct producer_id_call *call, enum kafka_error error, int64_t producer_id);
    STAILQ_ENTRY(producer_id_call) link;
};

struct producer_ids {
    struct broker *broker;
    int64_t next, end; /* of the block in hand */
    bool reserving;
    int64_t reserved_first; /* of the block on its way to the disk */
    STAILQ_HEAD(, producer_id_call) waiting;
};

void producer_ids_init(struct producer_ids *p, struct broker *b);
/* Answers at once, or when the next block is durable. Errors: COORDINATOR_NOT_AVAILABLE. */
void producer_ids_take(struct broker *b, struct producer_id_call *call);
/* Answers those who wait. */
void producer_ids_done(struct producer_ids *p);

#endif
