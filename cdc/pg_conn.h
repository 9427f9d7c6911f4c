/* cdc/pg_conn.h: a connection to PostgreSQL, on libpq loaded when first used.
 *
 * libpq with its chain costs 7 MB and 7 ms before main: it is reached by dlopen("libpq.so.5") through a table of functions.
 * Everything is non-blocking underneath; each call waits through the caller's pg_wait, which may end the wait at once
 * (-ECANCELED), so that a connector stops in the middle of a statement.
 * Errors: 0 or -errno, with the server's text and SQLSTATE in struct pg_error; passwords are never in it.
 *   -ECANCELED   pg_wait said so              -ETIMEDOUT   the deadline passed
 *   -ENOSYS      libpq is not installed       -ECONNRESET  no connection, or it was lost: trying again may help
 *   -EREMOTEIO   the server refused a statement or the login; see sqlstate and retriable
 * Errors are told apart by SQLSTATE: the server's texts are in its own language (lc_messages).
 * Threads: one at a time per connection. */
#ifndef OTTLA_CDC_PG_CONN_H
#define OTTLA_CDC_PG_CONN_H

#include "base/slice.h"

struct pg_conn;
struct pg_result;

struct pg_error {
    char text[800];
    char sqlstate[6];   /* "" when the error is not the server's */
    bool retriable;     /* connection lost, server starting or stopping, object in use */
    uint16_t server_at; /* with a SQLSTATE: where in text the server's own words begin, "FATAL: ..." */
};

struct pg_wait {
    /* Waits until fd is ready for poll(2) events, or timeout_ms passed (-1: none). 0: ready; -ETIMEDOUT; -ECANCELED. */
    int (*wait)(void *arg, int fd, short events, int timeout_ms);
    void *arg;
};

/* NULL: libpq's default. */
struct pg_params {
    const char *host, *user, *password, *dbname;
    const char *sslmode, *sslcert, *sslkey, *sslpassword, *sslrootcert;
    int port;
    bool tcp_keepalive;
    bool replication; /* replication=database */
    const char *application_name;
    const char *options; /* of the session, as -c name=value */
    int connect_timeout_ms;
    int statement_timeout_ms; /* how long pg_exec() and pg_copy_begin() wait for the server; 0: no limit */
};

/* A peer that is gone without a word (power cut, broken network) is noticed after so long, also by who only listens;
 * with database.tcpKeepAlive=false only by who sends. */
#define PG_SILENCE_MS_MAX 120000
/* A server that reads nothing, or does not end what it has said to be over. */
#define PG_ANSWER_MS_MAX  120000
#define PG_NO_LIMIT       (-1) /* of a wait that only the peer's death ends, or the caller's pg_wait */

int pg_conn_open(const struct pg_params *params, const struct pg_wait *wait, struct pg_conn **ret_conn,
                 struct pg_error *err) WARN_UNUSED;
/* Closes; what the server is doing for us ends. NULL is allowed. */
void pg_conn_close(struct pg_conn *c);
int pg_conn_socket(const struct pg_conn *c);
int pg_conn_server_version(const struct pg_conn *c); /* 150020 */

/* Runs one statement (text parameters and results; on a replication connection params_count is 0). *ret_result to be freed;
 * ret_result may be NULL. timeout_ms 0: the connection's. */
int pg_exec(struct pg_conn *c, const char *sql, const char *const *params, int params_count, int timeout_ms,
            struct pg_result **ret_result, struct pg_error *err) WARN_UNUSED;
int pg_result_rows(const struct pg_result *r);
int pg_result_columns(const struct pg_result *r);
/* Borrowed; the null slice for NULL. */
struct slice pg_result_value(const struct pg_result *r, int row, int column);
void pg_result_free(struct pg_result *r);
/* The text of a result's value; "" for NULL. */
const char *pg_result_text(const struct pg_result *r, int row, int column);

/* START_REPLICATION or COPY ... TO STDOUT: the statement that begins a copy. timeout_ms as of pg_exec(); PG_NO_LIMIT. */
int pg_copy_begin(struct pg_conn *c, const char *sql, int timeout_ms, struct pg_error *err) WARN_UNUSED;
/* The next message or row, without waiting: 1: *ret_data, valid until the next call on c; 0: none yet; -ENODATA: the copy
 * ended well; else an error. Never blocks. */
int pg_copy_next(struct pg_conn *c, struct slice *ret_data, struct pg_error *err) WARN_UNUSED;
/* As pg_copy_next(), waiting: timeout_ms or PG_NO_LIMIT. */
int pg_copy_next_wait(struct pg_conn *c, int timeout_ms, struct slice *ret_data, struct pg_error *err) WARN_UNUSED;
/* Sends a message of a replication stream, whole. */
int pg_copy_send(struct pg_conn *c, struct slice data, struct pg_error *err) WARN_UNUSED;
/* Ends a replication stream in good order, so that the slot is free when it returns. */
int pg_copy_end(struct pg_conn *c, int timeout_ms, struct pg_error *err) WARN_UNUSED;

/* 'text' with quotes doubled; "name" likewise: malloc'd. */
char *pg_quote_literal(const char *text);
char *pg_quote_identifier(const char *name);

#endif
