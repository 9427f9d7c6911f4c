/* connect/store.h: where Connect keeps its records: three compacted topics of the broker, behind two functions, so that
 * the herder can be tested without a broker.
 *
 * Partition of a record: murmur2 of its key, as Kafka's producer chooses it.
 * Threads: put from any; replay before the first put. */
#ifndef OTTLA_CONNECT_STORE_H
#define OTTLA_CONNECT_STORE_H

#include "connect/records.h"

struct connect_store {
    /* Appends the records in their order. durable: returns when they are on disk. Returns 0 or -errno with a text: what
     * was written before the failing record stays. */
    int (*put)(struct connect_store *s, const struct connect_record *records, uint32_t records_count, bool durable,
               struct err *err);
    /* Calls visit for every record of a topic, oldest first within each key. Returns 0 or -errno with a text. */
    int (*replay)(struct connect_store *s, enum connect_topic topic,
                  void (*visit)(void *arg, struct slice key, struct slice value), void *arg, struct err *err);
};

struct broker;

/* The topics connect-configs (1 partition), connect-offsets (25) and connect-statuses (5), created when missing:
 * returns when they exist. */
int connect_store_open(struct broker *broker, struct connect_store **ret_store, struct err *err) WARN_UNUSED;
void connect_store_close(struct connect_store *s);

#endif
