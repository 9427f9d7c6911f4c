/* cdc/journal_record.h: the records of the CDC journal, topic __ottla_cdc.
 *
 * Format: docs/format-cdc-journal.md, version 1, of units 2, big-endian. Key: version, type, connector. Value: version, then as below.
 * The records of all connectors share one log; each record belongs to one connector and says nothing about others.
 * Threads: pure functions. */
#ifndef OTTLA_CDC_JOURNAL_RECORD_H
#define OTTLA_CDC_JOURNAL_RECORD_H

#include "base/bytes.h"
#include "base/uuid.h"

#include <stdio.h>

#define JOURNAL_TOPIC            "__ottla_cdc"
#define JOURNAL_VERSION          1
#define JOURNAL_KEY_BYTES        6
#define JOURNAL_ENTRIES_MAX      1000000 /* partitions in one record: more than a broker holds */
#define JOURNAL_PARTITIONS_MAX   100000  /* of one topic: TOPIC_PARTITIONS_MAX */
#define JOURNAL_RECORD_BYTES_MAX (64u << 20)

enum journal_record_type {
    JOURNAL_CONNECTOR = 1, /* who a connector is; a second one of the same number forgets all that it had */
    JOURNAL_UNIT = 2,      /* how far it came */
    JOURNAL_RELATION = 3,  /* how rows of a table are encoded from a position on */
    JOURNAL_CUT = 4,       /* its units behind `keep` do not count any more */
};

/* A place in the stream of PostgreSQL. */
struct journal_position {
    uint64_t whole_lsn; /* end LSN of the last whole transaction: where replay asks to start */
    uint64_t part_lsn;  /* commit LSN of the transaction that we are in; 0: between transactions */
    uint64_t ordinal;   /* row changes of it that are done */
    /* End of the last transaction before the place, for the next event's source.sequence; 0: not known. Not part of the order:
     * whole_lsn may be beyond it, where nothing was captured. */
    uint64_t commit_lsn;
};

/* < 0, 0, > 0 */
static inline int journal_position_compare(struct journal_position a, struct journal_position b)
{
    /* Inside a transaction its commit LSN is beyond whole_lsn, so the larger of both orders positions. */
    uint64_t a_lsn = a.part_lsn ? a.part_lsn : a.whole_lsn, b_lsn = b.part_lsn ? b.part_lsn : b.whole_lsn;
    if (a_lsn != b_lsn) return a_lsn < b_lsn ? -1 : 1;
    if (!a.part_lsn != !b.part_lsn) return a.part_lsn ? 1 : -1;
    return a.ordinal < b.ordinal ? -1 : a.ordinal > b.ordinal;
}

struct journal_connector_record {
    struct slice name, topic_prefix;
    int64_t producer_id;
};

struct journal_topic_entry {
    struct uuid id;
    int32_t partitions_count; /* that rows are routed by; the topic may have more */
    struct slice name;
};

struct journal_entry {
    struct uuid topic_id;
    int32_t index;
    int32_t sequence; /* logical: of our next record at this position */
    int64_t end;      /* offset after our last record below sequence */
};

#define JOURNAL_UNIT_WHOLE    0x01 /* position lies between transactions */
#define JOURNAL_UNIT_SHOWN    0x02 /* whole, and no partition's log was ahead of us: readers may see all up to it */
#define JOURNAL_UNIT_FULL     0x04 /* has every topic and partition: what precedes it is not needed */
#define JOURNAL_UNIT_SNAPSHOT 0x08 /* the initial snapshot is under way: entries are the places to cut back to */

/* A unit while it is read: the arrays stay in the record's bytes. */
struct journal_unit_record {
    uint8_t flags;
    uint64_t config_hash;
    struct journal_position position;
    uint32_t topics_count;
    uint32_t entries_count;
    const uint8_t *topics, *entries, *end;
};

struct journal_relation_record {
    uint32_t oid;
    struct journal_position from; /* of the first row that used it */
    struct slice shape;           /* the Relation message that it was resolved for */
    struct slice resolved;        /* key columns, schemas and converters: see relation.h */
};

struct journal_key {
    uint8_t type;
    int32_t connector;
};

void journal_key_write(uint8_t ret_key[JOURNAL_KEY_BYTES], uint8_t type, int32_t connector);
bool journal_key_read(struct slice key, struct journal_key *ret_key);

/* Each begins at an empty value; b is `failed` when memory is out. */
void journal_connector_write(struct bytes *b, const struct journal_connector_record *r);
void journal_relation_write(struct bytes *b, const struct journal_relation_record *r);
void journal_cut_write(struct bytes *b, int64_t keep_offset);
/* begin, then all topics, then all entries; counts are kept in the value. */
void journal_unit_begin(struct bytes *b, uint8_t flags, uint64_t config_hash, struct journal_position position);
void journal_unit_add_topic(struct bytes *b, const struct journal_topic_entry *t);
void journal_unit_add_entry(struct bytes *b, const struct journal_entry *e);

/* false: not a value of this type and version. Outputs point into value. */
bool journal_connector_read(struct slice value, struct journal_connector_record *ret_record);
bool journal_relation_read(struct slice value, struct journal_relation_record *ret_record);
bool journal_cut_read(struct slice value, int64_t *ret_keep_offset);
/* Checks every topic and entry, so that the iterators below cannot fail. */
bool journal_unit_read(struct slice value, struct journal_unit_record *ret_record);
/* *p begins at record->topics (entries); false behind the last. */
bool journal_unit_next_topic(const struct journal_unit_record *r, const uint8_t **p,
                             struct journal_topic_entry *ret_topic);
bool journal_unit_next_entry(const struct journal_unit_record *r, const uint8_t **p, struct journal_entry *ret_entry);

/* One line of text for `ottla dump`, without a newline. */
void journal_record_print(FILE *out, struct slice key, struct slice value);

#endif
