/* connect/store.h: where Connect keeps its records: three compacted topics of the broker, behind two functions, so that
 * the herder can be tested without a broker.
 *
 * Partition of a record: murmur2 of its key, as Kafka's producer chooses it. Our records carry the header worker=ottla: a
 * Kafka Connect worker that has the same topics reads over it, and we tell its records from ours.
 * Threads: put and last from any; replay before the first put. */
#ifndef OTTLA_CONNECT_STORE_H
#define OTTLA_CONNECT_STORE_H

#include "connect/records.h"

/* One record, or a batch that cannot be decoded. Borrowed for the call. */
struct stored_record {
    const char *partition; /* "connect-configs-0" */
    int64_t offset;        /* unreadable: of the batch's first record */
    struct slice key, value;
    const char *unreadable; /* why; NULL: it was read. Key and value are null then */
    bool own;               /* an ottla has written it */
};

struct connect_store {
    /* Appends the records in their order. durable: returns when they are on disk. Returns 0 or -errno with a text: what
     * was written before the failing record stays. */
    int (*put)(struct connect_store *s, const struct connect_record *records, uint32_t records_count, bool durable,
               struct err *err);
    /* Calls visit for every record of a topic, oldest first within each key, and for every batch that cannot be decoded:
     * it is for visit to tell. Returns 0 or -errno with a text. */
    int (*replay)(struct connect_store *s, enum connect_topic topic,
                  void (*visit)(void *arg, const struct stored_record *record), void *arg, struct err *err);
    /* The last value of a key, malloc'd; NULL: none, or a tombstone. For keys that are written often: looks from the end
     * of the key's partition. May block for the disk. */
    char *(*last)(struct connect_store *s, enum connect_topic topic, const char *key);
    /* Grows with every record of the topic, whoever writes it. */
    int64_t (*end)(struct connect_store *s, enum connect_topic topic);
    /* The topic's name. */
    const char *(*name)(struct connect_store *s, enum connect_topic topic);
};

struct broker;

/* The topics config.storage.topic (1 partition), offset.storage.topic (25) and status.storage.topic (5), created when
 * missing: returns when they exist. */
int connect_store_open(struct broker *broker, struct connect_store **ret_store, struct err *err) WARN_UNUSED;
void connect_store_close(struct connect_store *s);

#endif
