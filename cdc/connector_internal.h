/* cdc/connector_internal.h: a running connector, for connector.c (life), session*.c (one connection's life) and validate.c. */
#ifndef OTTLA_CDC_CONNECTOR_INTERNAL_H
#define OTTLA_CDC_CONNECTOR_INTERNAL_H

#include "cdc/connector.h"
#include "cdc/ingest.h"
#include "cdc/slot.h"

#include <pthread.h>
#include <stdatomic.h>

struct cdc {
    struct broker *broker;
    struct journal_store *store;
    pthread_mutex_t lock;
    struct cdc_connector *connectors; /* that run; guarded by lock */
};

/* Tables that the publication does not have any more: table_sweep.c. */
struct table_sweep {
    uint32_t *gone; /* oids; NULL: not looked up */
    uint32_t gone_count;
    uint64_t wal_end;       /* all rows of theirs stand before it */
    uint32_t versions_left; /* by the sweep before */
};

enum connector_wish { WISH_RUN, WISH_PAUSE, WISH_STOP };

struct cdc_connector {
    struct cdc *cdc;
    struct cdc_connector *next; /* guarded by cdc->lock */
    struct pg_connector_config *posted;
    struct pg_connector_config
        *config; /* in force: posted, or the former one while a replay needs it; changed under cdc->lock */
    char run_id[37];
    struct cdc_callbacks callbacks;
    pthread_t thread;
    atomic_int wish; /* enum connector_wish */
    int wish_fd;     /* eventfd: readable when the wish has changed */
    /* the thread's */
    struct change_encoder *encoder;
    struct stored_journal *stored;
    struct ingest *ingest;
    struct pg_wait wait;
    struct pg_conn *catalog;
    bool snapshot_done; /* in this start: for snapshot.mode=always */
    bool streamed;      /* the last session came to stream */
    bool stays;         /* in a snapshot or a stream: a pause leaves it there, its connections open */
    bool holding;       /* .. and does so now */
    /* the stream */
    struct pg_conn *stream;
    uint64_t received_lsn, flush_lsn, flush_sent_lsn;
    uint64_t keepalive_lsn; /* all below it was sent; 0: not known */
    int64_t status_sent_us, round_us, refresh_us, heartbeat_us, xmin_us, idle_us;
    bool reply_wanted;
    struct table_sweep sweep;
    bool heartbeat_missed; /* .. and told: the last one could not be written */
    /* shared with callers */
    pthread_mutex_t lock;
    char **topics;
    uint32_t topics_count;
    uint64_t durable_lsn; /* for cdc_offsets_get(), as is stored->mark: all before it is durable */
};

/* The parameters of a connection for a configuration. */
struct pg_params connector_params(const struct pg_connector_config *config, bool replication);

/* The ordinary connection, opened when there is none. */
int connector_catalog(struct cdc_connector *c, struct pg_conn **ret_conn, struct pg_error *err) WARN_UNUSED;

/* Runs until the stream ends, one way or another; -ECANCELED: the wish changed; -ERESTART: another configuration must be in force,
 * the former one if posted is, else posted. */
int session_run(struct cdc_connector *c, struct pg_error *err) WARN_UNUSED;
/* Ends the unit, makes everything durable, tells PostgreSQL, hangs up. */
void session_end(struct cdc_connector *c);
/* What a stream needs while it is paused: its server hears of us. */
int session_hold_tick(struct cdc_connector *c, struct pg_error *err) WARN_UNUSED;
/* A pause that leaves the session where it is: tells PAUSED, waits for another wish, tells RUNNING. 0: go on; -ECANCELED: stop;
 * -ECONNRESET: the database hung up. */
int connector_hold(struct cdc_connector *c, struct pg_error *err) WARN_UNUSED;
/* Takes back the ring of a wish that changed; look at the wish afterwards. */
void connector_bell_read(struct cdc_connector *c);
int64_t connector_now_us(void);
/* Has the wish changed from running? */
static inline bool connector_is_unwanted(const struct cdc_connector *c)
{
    return atomic_load_explicit(&c->wish, memory_order_relaxed) != WISH_RUN;
}

#endif
