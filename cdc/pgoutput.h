/* cdc/pgoutput.h: decoder of logical replication messages, proto_version 1, text format.
 *
 * Source: PostgreSQL documentation, "Logical Replication Message Formats" and "Streaming Replication Protocol". What is
 * decoded points into the payload: nothing is copied. No length or count is believed; a message that does not end where
 * it should is refused. Threads: a decoder belongs to one. */
#ifndef OTTLA_CDC_PGOUTPUT_H
#define OTTLA_CDC_PGOUTPUT_H

#include "base/err.h"
#include "base/slice.h"

/* PostgreSQL's MaxHeapAttributeNumber is 1600; a tuple with more columns is damage. */
#define PG_COLUMNS_MAX 1600

/* Microseconds from the Unix epoch to PostgreSQL's, 2000-01-01. */
#define PG_EPOCH_US INT64_C(946684800000000)

enum tuple_value_kind {
    TUPLE_NULL = 'n',
    TUPLE_UNCHANGED = 'u', /* a TOASTed value that the change did not touch: not sent */
    TUPLE_TEXT = 't',      /* in the server's text format */
};

/* One column of a row. Rows of a snapshot (COPY, SELECT as text) are given in the same form. */
struct tuple_value {
    uint8_t kind;      /* enum tuple_value_kind */
    struct slice text; /* TUPLE_TEXT: the value, without NUL; else null */
};

/* A row: values in the order of the relation's columns (struct relation, .wire order). Borrowed by whoever gets one. */
struct tuple {
    uint32_t count;
    const struct tuple_value *values;
};

enum pgoutput_kind {
    PGOUTPUT_BEGIN = 'B',
    PGOUTPUT_COMMIT = 'C',
    PGOUTPUT_ORIGIN = 'O',
    PGOUTPUT_RELATION = 'R',
    PGOUTPUT_TYPE = 'Y',
    PGOUTPUT_INSERT = 'I',
    PGOUTPUT_UPDATE = 'U',
    PGOUTPUT_DELETE = 'D',
    PGOUTPUT_TRUNCATE = 'T',
    PGOUTPUT_MESSAGE = 'M',
};

struct pgoutput_begin {
    uint64_t final_lsn;     /* LSN of the commit record */
    int64_t commit_time_us; /* Unix time */
    uint32_t xid;
};

struct pgoutput_commit {
    uint64_t commit_lsn;    /* of the commit record: = final_lsn of its Begin */
    uint64_t end_lsn;       /* behind the commit record: what is confirmed, what is asked for next */
    int64_t commit_time_us; /* Unix time */
};

struct pgoutput_origin {
    uint64_t commit_lsn; /* on the server the transaction came from */
    struct slice name;
};

struct pgoutput_relation_column {
    bool is_key; /* part of the replica identity */
    struct slice name;
    uint32_t type_oid;
    int32_t typmod;
};

struct pgoutput_relation {
    uint32_t oid;
    struct slice schema; /* "pg_catalog" comes as empty */
    struct slice name;
    char replica_identity; /* d default, n nothing, f full, i index */
    uint32_t columns_count;
    const struct pgoutput_relation_column *columns;
};

struct pgoutput_type {
    uint32_t oid;
    struct slice schema;
    struct slice name;
};

/* Insert, Update, Delete. */
struct pgoutput_row {
    uint32_t relation_oid;
    char old_kind;          /* 'K' key columns (others null), 'O' the whole row, 0 not sent */
    struct tuple old_tuple; /* count 0 unless old_kind */
    struct tuple new_tuple; /* count 0 for Delete */
};

struct pgoutput_truncate {
    bool cascade, restart_identity;
    uint32_t relations_count;
    const uint32_t *relation_oids;
};

struct pgoutput_message_logical {
    bool transactional;
    uint64_t lsn;
    struct slice prefix;
    struct slice content;
};

struct pgoutput_message {
    enum pgoutput_kind kind;
    union {
        struct pgoutput_begin begin;
        struct pgoutput_commit commit;
        struct pgoutput_origin origin;
        struct pgoutput_relation relation;
        struct pgoutput_type type;
        struct pgoutput_row row; /* Insert, Update, Delete */
        struct pgoutput_truncate truncate;
        struct pgoutput_message_logical logical;
    };
};

/* Memory for the arrays of the message at hand; grows to the widest message seen. */
struct pgoutput_decoder;

struct pgoutput_decoder *pgoutput_decoder_new(void);
void pgoutput_decoder_free(struct pgoutput_decoder *d);

/* Decodes one message: the payload of XLogData behind its 25 bytes of header, or what
 * pg_logical_slot_get_binary_changes() returns.
 *   ret_message  points into the payload and into the decoder: valid until the next call, while the payload is
 * Returns 0, or -EBADMSG with a text that names message, field and place. */
int pgoutput_decode(struct pgoutput_decoder *d, struct slice payload, struct pgoutput_message *ret_message,
                    struct err *err) WARN_UNUSED;

/* Whether the message counts as an ordinal of its transaction (docs/exactly-once.md): row changes only, before any
 * filter. */
static inline bool pgoutput_is_change(enum pgoutput_kind kind)
{
    return kind == PGOUTPUT_INSERT || kind == PGOUTPUT_UPDATE || kind == PGOUTPUT_DELETE || kind == PGOUTPUT_TRUNCATE ||
           kind == PGOUTPUT_MESSAGE;
}

/* "Insert", "Relation", ...; "unknown" for anything else. */
const char *pgoutput_kind_name(enum pgoutput_kind kind);

#endif
