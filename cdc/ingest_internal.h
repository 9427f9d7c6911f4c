/* cdc/ingest_internal.h: the state of an ingest, and what its files ingest*.c call of each other. Nobody else includes it. */
#ifndef OTTLA_CDC_INGEST_INTERNAL_H
#define OTTLA_CDC_INGEST_INTERNAL_H

#include "cdc/ingest.h"

#include "base/clock.h"

#include <uthash.h>

#define UNIT_BYTES_MAX (4 * 1024 * 1024) /* a transaction's part, at most, and what is built of all batches [bytes] */

/* A table as this stream describes it, and the version that its rows are encoded with now. */
struct ingest_relation {
    uint32_t oid;
    uint8_t *shape; /* the Relation message */
    uint32_t shape_len;
    bool captured;
    bool fresh;                /* the message came and no row since */
    bool postponed;            /* .. and its rows waited already: the catalog is asked when replay is over */
    struct relation *relation; /* NULL: not resolved */
    struct journal_position until;
    UT_hash_handle hh;
};

struct ingest {
    struct ingest_env env;
    struct stored_journal *stored;
    struct pgoutput_decoder *decoder;
    struct pgoutput_decoder *shape_decoder; /* for Relation messages that are looked at again */
    struct ingest_relation *relations;
    struct journal_topic *topic; /* of the last record */
    char error[500];
    /* the stream */
    struct journal_position start; /* where it began: what is before is dropped */
    uint64_t wal_end;
    uint64_t whole_lsn;
    bool in_transaction;
    struct pgoutput_begin begin;
    uint64_t ordinal; /* changes of the transaction that are done, its begin among them */
    struct slice origin;
    struct bytes origin_name; /* of any length: PostgreSQL limits it since version 18 only */
    uint64_t origin_lsn;
    uint64_t last_commit_lsn;
    uint64_t keyless;
    int64_t xmin;
    uint64_t failures_told;
    int64_t tell_failures_after_us;
    /* the unit */
    bool alone; /* no two transactions in one */
    bool counted;
    bool message_counted; /* a record of the message at hand is */
    int64_t counted_since_us;
    uint64_t unit_bytes;  /* built for it, appended or not */
    uint64_t built_bytes; /* since unused batches gave back their memory */
    struct source_offset last;
    struct source_offset last_whole; /* as last was when the last whole unit ended */
};

static inline int64_t ingest_mono_us(void)
{
    return clock_system.mono_us(&clock_system);
}

/* -- ingest.c -- */

/* Returns error; text is what ingest_error() tells. */
int ingest_fail(struct ingest *in, int error, const char *text);
/* .. and *err. */
int ingest_fail_err(struct ingest *in, int error, const char *text, struct pg_error *err);
/* Was this change ingested before the stream began? */
bool ingest_is_done(const struct ingest *in);

/* -- ingest_unit.c -- */

/* Of the message at hand. */
struct journal_position ingest_position(const struct ingest *in);
/* Ends the unit at what is ingested. */
int ingest_unit_end(struct ingest *in);

/* -- ingest_relation.c -- */

/* The server describes a table; payload is the whole message. */
void ingest_relation_message(struct ingest *in, const struct pgoutput_relation *m, struct slice payload);
/* The version for a row at `at`. *ret_relation NULL: not captured. */
int ingest_relation_get(struct ingest *in, uint32_t oid, struct journal_position at,
                        const struct relation **ret_relation, struct pg_error *err);
void ingest_relations_forget(struct ingest *in);

#endif
