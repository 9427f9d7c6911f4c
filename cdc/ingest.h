/* cdc/ingest.h: from pgoutput messages to records in partitions: decodes, resolves relations, encodes, counts every record
 * in the journal and builds it into its partition's batch.
 *
 * Units: whole transactions share one for about 2 ms or 1 MiB; alone when the stream is idle. A large transaction is cut into
 * parts of at most UNIT_BYTES_MAX, hidden until its end. Records that wait hold at most UNIT_BYTES_MAX in all, so memory depends
 * neither on a transaction's size nor on the number of partitions.
 * Determinism (what replay relies on): which records a change gives, their keys and partitions depend on configuration,
 * journalled relation version and message only. Ordinals count a transaction's begin and
 * its changes before any filter.
 * Threads: the connector's. */
#ifndef OTTLA_CDC_INGEST_H
#define OTTLA_CDC_INGEST_H

#include "cdc/change_encoder.h"
#include "cdc/journal_store.h"
#include "cdc/pg_conn.h"

struct broker;
struct ingest;

struct ingest_env {
    struct broker *broker;
    const struct pg_connector_config *config;
    struct change_encoder *encoder;
    /* The ordinary connection, opened when it is needed. */
    int (*catalog)(void *arg, struct pg_conn **ret_conn, struct pg_error *err);
    /* The connector writes to a topic for the first time since its start. */
    void (*topic_used)(void *arg, const char *topic);
    void *arg;
};

struct ingest *ingest_new(const struct ingest_env *env, struct stored_journal *stored);
void ingest_free(struct ingest *in);
/* The journal was recovered anew. */
void ingest_set_stored(struct ingest *in, struct stored_journal *stored);

/* A new stream begins at the journal's position. wal_end: of the server, now. */
void ingest_begin(struct ingest *in, uint64_t wal_end);
/* One message; wal_start as XLogData has it. Returns 0 or -errno, of the catalog's connection too: the stream may begin again
 * behind ingest_cut(), unless a part of the message was counted or something could not be written: then the journal has failed. */
int ingest_message(struct ingest *in, struct slice payload, uint64_t wal_start, struct pg_error *err) WARN_UNUSED;
/* No more data is there now: ends the unit when it is whole, or a part that waits for long. */
int ingest_idle(struct ingest *in) WARN_UNUSED;
/* Ends the unit wherever it stands: before a stop, or when the stream is lost. */
int ingest_cut(struct ingest *in) WARN_UNUSED;
/* Between transactions, with nothing counted. */
bool ingest_is_quiet(const struct ingest *in);
/* Where the last transaction ended, as far as it is known; 0: not. */
uint64_t ingest_commit_lsn(const struct ingest *in);
/* The last event of the last whole unit of this stream. */
const struct source_offset *ingest_last(const struct ingest *in);

/* The journal has forgotten the table: its next row, if one comes, is resolved as a first one. */
void ingest_forget_table(struct ingest *in, uint32_t oid);

/* Partition counts and deleted topics, as the broker has them now. Between messages. -EAGAIN: rows were on their way to a
 * topic that was deleted; the journal has failed, and recovered it takes them to its successor. */
int ingest_refresh_topics(struct ingest *in) WARN_UNUSED;

/* Counts and builds one record: the change_emit_fn of stream and snapshot (arg: the ingest). What failed: ingest_error(). */
int ingest_emit(void *arg, const struct change_record *record);
const char *ingest_error(const struct ingest *in);
/* What events of the stream show as xmin from now on; 0: null. */
void ingest_set_xmin(struct ingest *in, int64_t xmin);
/* Every transaction is a unit of its own: what precedes one that cannot be written is shown. */
void ingest_set_alone(struct ingest *in, bool alone);
/* Snapshot rows without a key: those of one number share a partition. */
void ingest_set_keyless(struct ingest *in, uint64_t number);

#endif
