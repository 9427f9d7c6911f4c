/* broker/coordinator/coordinator_records.h: records of a coordinator's log, read by rows and written by type.
 *
 * Format: the key is an int16 type and the schema's key of that type; the value an int16 version and the schema's
 * value, or null, a tombstone. Which messages belong to a type say the schemas in protocol/schema/record ("key NAME
 * type N topic T"), so a record is put and applied as the schemas' structs and no coordinator encodes bytes.
 * Keys say what a record replaces: compaction keeps the last record of a key, and that alone must restore it.
 * Invariant: what puts and rows take as `const void *` is the struct of the schema's key or value of that type.
 * Threads: one at a time. */
#ifndef OTTLA_COORDINATOR_RECORDS_H
#define OTTLA_COORDINATOR_RECORDS_H

#include "base/arena.h"
#include "protocol/batch_builder.h"
#include "protocol/message.h"

#define COORDINATOR_TYPES_MAX 32 /* Kafka 4.1 has types up to 21 */

/* The partition of the log that an id lives in, as Kafka spreads them: Java's String.hashCode, positive, modulo
 * count. */
int32_t coordinator_partition(struct slice id, int32_t partitions_count);

/* A record that was read. */
struct coordinator_record {
    const void *key;     /* texts point into the record, arrays into arena */
    const void *value;   /* likewise; NULL: a tombstone */
    int64_t offset;      /* of the record */
    int64_t producer_id; /* of the transaction that it stands in; -1: none */
    struct arena *arena; /* for what apply() needs until it returns */
};

/* What a coordinator does with records of one type. */
struct coordinator_row {
    int16_t type;
    /* Applies r to the state. False: it makes no sense; nothing was done. */
    bool (*apply)(void *state, const struct coordinator_record *r);
};

struct coordinator_records {
    const char *topic;
    void *state;
    struct {
        const struct wire_message *key, *value; /* NULL: not in the schemas */
        bool (*apply)(void *state, const struct coordinator_record *r);
    } types[COORDINATOR_TYPES_MAX];
    struct arena arena;
};

/* topic and state are borrowed. rows end with {0}; each one's type must be in the schemas of the topic. */
void coordinator_records_init(struct coordinator_records *rs, const char *topic, const struct coordinator_row *rows,
                              void *state);
void coordinator_records_done(struct coordinator_records *rs);

/* Applies one record. Types without a row are other people's and no error. False: it cannot be decoded, or makes no
 * sense; nothing was done. */
bool coordinator_records_apply(struct coordinator_records *rs, struct slice key, struct slice value, int64_t offset,
                               int64_t producer_id) WARN_UNUSED;

/* Builds the batches of one append. */
struct coordinator_writer {
    const struct coordinator_records *records;
    struct batch_fields fields;
    int64_t now_ms;
    bool failed;
    struct batch_builder builder;
    struct bytes batches;    /* finished ones, back to back */
    struct bytes key, value; /* of the last record */
};

/* Takes no memory yet. records is borrowed. */
void coordinator_writer_init(struct coordinator_writer *w, const struct coordinator_records *records);
void coordinator_writer_done(struct coordinator_writer *w);
/* Empties it. fields go into each batch: BATCH_FIELDS_PLAIN, or a producer's. */
void coordinator_writer_begin(struct coordinator_writer *w, const struct batch_fields *fields, int64_t now_ms);
/* Puts a record; value NULL: a tombstone. Fails sticky: memory is out, or a text is too long for its field. */
void coordinator_put(struct coordinator_writer *w, int16_t type, const void *key, int16_t value_version,
                     const void *value);
/* What was put is in w->batches, until the next begin. False: something failed, and nothing must be appended. */
bool coordinator_writer_finish(struct coordinator_writer *w) WARN_UNUSED;

#endif
