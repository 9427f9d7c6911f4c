/* cdc/session_internal.h: what the files of a session, session*.c and heartbeat.c, call of each other. Nobody else includes it. */
#ifndef OTTLA_CDC_SESSION_INTERNAL_H
#define OTTLA_CDC_SESSION_INTERNAL_H

#include "cdc/connector_internal.h"
#include "cdc/server.h"

#define ROUND_US 200000 /* between sync rounds while a snapshot or the stream runs */

/* What the server has, and what follows. */
struct session_plan {
    struct pg_table_list tables;
    struct slot slot;
    struct server_identity server;
    uint64_t wal_end;
    bool in_recovery;     /* a standby: wal_end is what it has replayed */
    char *server_trouble; /* why the position does not belong to this server's log; NULL: it does */
    bool snapshot;
};

/* -- session.c -- */

/* Sets the text; returns error. */
int session_fail(struct pg_error *err, int error, const char *text);
/* Says at which step the server refused; returns r. */
int session_refused(struct pg_error *err, int r, const char *step);
/* The replication connection, opened when there is none. */
int session_connect(struct cdc_connector *c, struct pg_error *err) WARN_UNUSED;
/* Does the configuration ask for a stream, not for a snapshot alone? */
bool session_streams(const struct pg_connector_config *config);

/* -- session_plan.c -- */

/* -ERESTART: another configuration must be in force; else -errno, with what to do about it in *err. */
int session_plan_make(struct cdc_connector *c, struct session_plan *p, struct pg_error *err) WARN_UNUSED;
void session_plan_done(struct session_plan *p);
/* Is what the former configuration had begun finished? Then the posted one applies from here on: -ERESTART. */
int session_config_return(struct cdc_connector *c) WARN_UNUSED;

/* -- session_stream.c -- */

int session_stream_begin(struct cdc_connector *c, const struct session_plan *p, struct pg_error *err) WARN_UNUSED;
/* Until it ends, one way or another: never 0. */
int session_stream_run(struct cdc_connector *c, struct pg_error *err) WARN_UNUSED;
/* Tells the server how far we are. */
int session_status_send(struct cdc_connector *c, struct pg_error *err) WARN_UNUSED;
/* For callers of other threads: where we are, as far as it is durable and readers see it. */
void session_position_show(struct cdc_connector *c);

/* -- heartbeat.c -- */

/* When one is due. */
int session_heartbeat(struct cdc_connector *c, int64_t now_us) WARN_UNUSED;

/* -- table_sweep.c -- */

/* A step, while the stream runs; most do nothing. */
int session_sweep_tables(struct cdc_connector *c, struct pg_error *err) WARN_UNUSED;
/* What was looked up belongs to another stream. */
void session_sweep_end(struct cdc_connector *c);

#endif
