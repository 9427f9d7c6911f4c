/* cdc/pg_conn.c: see pg_conn.h. Source of the interface: PostgreSQL documentation, "libpq - C Library". */
#include "cdc/pg_conn.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>

/* What we use of libpq.so.5, whose ABI is stable; declared here so that the build needs no header of it. */
typedef struct pg_conn_s PGconn;
typedef struct pg_result_s PGresult;
enum { CONNECTION_OK = 0, CONNECTION_BAD = 1 };
enum { PGRES_POLLING_FAILED = 0, PGRES_POLLING_READING = 1, PGRES_POLLING_WRITING = 2, PGRES_POLLING_OK = 3 };
enum {
    PGRES_COMMAND_OK = 1,
    PGRES_TUPLES_OK = 2,
    PGRES_COPY_OUT = 3,
    PGRES_COPY_IN = 4,
    PGRES_FATAL_ERROR = 7,
    PGRES_COPY_BOTH = 8,
};
enum { PQERRORS_DEFAULT = 1, PQERRORS_VERBOSE = 2 };
enum { PG_DIAG_SQLSTATE = 'C', PG_DIAG_MESSAGE_PRIMARY = 'M', PG_DIAG_SEVERITY_NONLOCALIZED = 'V' };

#define KEEPALIVES                6 /* that are not answered end a connection, in the second half of PG_SILENCE_MS_MAX */
#define SQLSTATE_LEN              5
#define SQLSTATE_INVALID_PASSWORD "28P01"

#define LIBPQ_FUNCTIONS(X)                                                                                             \
    X(PGconn *, PQconnectStartParams, (const char *const *keywords, const char *const *values, int expand_dbname))     \
    X(int, PQconnectPoll, (PGconn * conn))                                                                             \
    X(int, PQstatus, (const PGconn *conn))                                                                             \
    X(int, PQsocket, (const PGconn *conn))                                                                             \
    X(int, PQserverVersion, (const PGconn *conn))                                                                      \
    X(char *, PQerrorMessage, (const PGconn *conn))                                                                    \
    X(int, PQsetErrorVerbosity, (PGconn * conn, int verbosity))                                                        \
    X(int, PQconnectionNeedsPassword, (const PGconn *conn))                                                            \
    X(int, PQsetnonblocking, (PGconn * conn, int arg))                                                                 \
    X(void, PQfinish, (PGconn * conn))                                                                                 \
    X(int, PQsendQuery, (PGconn * conn, const char *query))                                                            \
    X(int, PQsendQueryParams,                                                                                          \
      (PGconn * conn, const char *command, int nParams, const uint32_t *paramTypes, const char *const *paramValues,    \
       const int *paramLengths, const int *paramFormats, int resultFormat))                                            \
    X(int, PQconsumeInput, (PGconn * conn))                                                                            \
    X(int, PQisBusy, (PGconn * conn))                                                                                  \
    X(int, PQflush, (PGconn * conn))                                                                                   \
    X(PGresult *, PQgetResult, (PGconn * conn))                                                                        \
    X(int, PQresultStatus, (const PGresult *res))                                                                      \
    X(char *, PQresultErrorField, (const PGresult *res, int fieldcode))                                                \
    X(int, PQntuples, (const PGresult *res))                                                                           \
    X(int, PQnfields, (const PGresult *res))                                                                           \
    X(char *, PQgetvalue, (const PGresult *res, int row, int column))                                                  \
    X(int, PQgetlength, (const PGresult *res, int row, int column))                                                    \
    X(int, PQgetisnull, (const PGresult *res, int row, int column))                                                    \
    X(void, PQclear, (PGresult * res))                                                                                 \
    X(int, PQgetCopyData, (PGconn * conn, char **buffer, int async))                                                   \
    X(int, PQputCopyData, (PGconn * conn, const char *buffer, int nbytes))                                             \
    X(int, PQputCopyEnd, (PGconn * conn, const char *errormsg))                                                        \
    X(void, PQfreemem, (void *ptr))

static struct {
    void *library;
    char error[200]; /* why it could not be loaded; "" when it is */
#define LIBPQ_FIELD(type, name, args) type(*name) args;
    LIBPQ_FUNCTIONS(LIBPQ_FIELD)
} pq;

static pthread_once_t pq_once = PTHREAD_ONCE_INIT;

static void pq_load(void)
{
    pq.library = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);
    if (!pq.library) {
        snprintf(pq.error, sizeof pq.error, "libpq.so.5 could not be loaded (Debian package libpq5): %s", dlerror());
        return;
    }
#define LIBPQ_FIND(type, name, args)                                                                                   \
    *(void **)&pq.name = dlsym(pq.library, #name);                                                                     \
    if (!pq.name) snprintf(pq.error, sizeof pq.error, "libpq.so.5 has no function %s: it is too old", #name);
    LIBPQ_FUNCTIONS(LIBPQ_FIND)
}

struct pg_conn {
    PGconn *pq;
    const struct pg_wait *wait;
    int statement_timeout_ms;
    char *copied; /* what the last pg_copy_next() returned */
};

/* Only ever a PGresult. */
static PGresult *result_of(const struct pg_result *r)
{
    return (PGresult *)(uintptr_t)r;
}

/* -- errors -- */

static int fail(struct pg_error *err, int code, const char *text)
{
    if (!err) return code;
    *err = (struct pg_error){.retriable = code == -ECONNRESET || code == -ETIMEDOUT};
    snprintf(err->text, sizeof err->text, "%s", text);
    for (size_t len = strlen(err->text); len > 0 && (err->text[len - 1] == '\n' || err->text[len - 1] == ' '); len--)
        err->text[len - 1] = '\0';
    for (char *p = err->text; *p; p++)
        if (*p == '\n') *p = ' ';
    return code;
}

/* The classes after which the same statement may succeed later. */
static bool sqlstate_is_retriable(const char *state)
{
    static const char *const classes[] = {
        "08",    /* connection */
        "53",    /* resources: too many connections, no memory, disk full */
        "57P01", /* admin shutdown */
        "57P02", /* crash shutdown */
        "57P03", /* cannot connect now */
        "55006", /* object in use: the slot is still active */
        "40",    /* serialization, deadlock */
        "58",    /* the server's operating system */
    };
    for (uint32_t i = 0; i < countof(classes); i++)
        if (strncmp(state, classes[i], strlen(classes[i])) == 0) return true;
    return false;
}

static int fail_conn(struct pg_conn *c, struct pg_error *err)
{
    return fail(err, -ECONNRESET, pq.PQerrorMessage(c->pq));
}

static int fail_result(struct pg_conn *c, const PGresult *r, struct pg_error *err)
{
    const char *state = pq.PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *message = pq.PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    const char *severity = pq.PQresultErrorField(r, PG_DIAG_SEVERITY_NONLOCALIZED);
    char text[400];

    if (!state) return fail_conn(c, err);
    snprintf(text, sizeof text, "%s: %s", severity ? severity : "ERROR", message ? message : "");
    fail(err, -EREMOTEIO, text);
    if (err) {
        snprintf(err->sqlstate, sizeof err->sqlstate, "%s", state);
        err->retriable = sqlstate_is_retriable(state) || pq.PQstatus(c->pq) != CONNECTION_OK;
    }
    return -EREMOTEIO;
}

static int wait_for(struct pg_conn *c, short events, int timeout_ms, struct pg_error *err)
{
    int r = c->wait->wait(c->wait->arg, pq.PQsocket(c->pq), events, timeout_ms);

    if (r == -ETIMEDOUT) return fail(err, r, "timed out waiting for PostgreSQL");
    if (r < 0) return fail(err, r, "stopped");
    return 0;
}

/* -- life -- */

/* What waiting cannot mend in a refused login: wrong credentials or rights (28, 42), no such database (3D), a start parameter that the
 * server does not take (22), a protocol it does not speak (0A). */
static bool refusal_is_final(const char *sqlstate)
{
    static const char *const classes[] = {"28", "3D", "42", "22", "0A"};
    for (uint32_t i = 0; i < countof(classes); i++)
        if (strncmp(sqlstate, classes[i], 2) == 0) return true;
    return false;
}

static bool is_sqlstate(const char *p)
{
    for (int i = 0; i < SQLSTATE_LEN; i++)
        if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'A' && p[i] <= 'Z'))) return false;
    return true;
}

/* "...: FATAL:  28P01: words", one line for each address that was tried: where the code of the last one stands; NULL: in none. */
static const char *login_sqlstate(const char *text)
{
    const char *found = NULL;

    for (const char *p = text; (p = strstr(p, ":  "));) {
        p += 3;
        if (!is_sqlstate(p) || strncmp(p + SQLSTATE_LEN, ": ", 2) != 0) continue;
        found = p;
        p += strcspn(p, "\n"); /* names in the words may look like a code */
    }
    return found;
}

/* libpq gives no fields of an error at login, but with verbose texts the code stands in them, behind the severity in whatever
 * language. Brings them into the form of fail_result()'s. */
static int fail_login(struct pg_conn *c, struct pg_error *err)
{
    const char *text = pq.PQerrorMessage(c->pq), *code = login_sqlstate(text);
    struct pg_error e;

    if (!code && !pq.PQconnectionNeedsPassword(c->pq)) return fail(err, -ECONNRESET, text);
    if (!code) {
        fail(&e, -EREMOTEIO, text);
        snprintf(e.sqlstate, sizeof e.sqlstate, "%s", SQLSTATE_INVALID_PASSWORD);
    } else {
        const char *severity = code - 3, *words = code + SQLSTATE_LEN + 2;
        while (severity > text && severity[-1] != ' ' && severity[-1] != '\n') severity--;
        AUTO_FREE char *readable =
            xasprintf("%.*sFATAL: %.*s", (int)(severity - text), text, (int)strcspn(words, "\n"), words);
        fail(&e, -ECONNRESET, readable);
        snprintf(e.sqlstate, sizeof e.sqlstate, "%.*s", SQLSTATE_LEN, code);
        e.server_at = (uint16_t)MIN((size_t)(severity - text), strlen(e.text));
    }
    e.retriable = !refusal_is_final(e.sqlstate);
    if (err) *err = e;
    return e.retriable ? -ECONNRESET : -EREMOTEIO;
}

static int connect_poll(struct pg_conn *c, int timeout_ms, struct pg_error *err)
{
    int state = PGRES_POLLING_WRITING; /* as libpq's documentation says */

    (void)pq.PQsetErrorVerbosity(c->pq, PQERRORS_VERBOSE);
    for (;;) {
        if (pq.PQstatus(c->pq) == CONNECTION_BAD || state == PGRES_POLLING_FAILED) return fail_login(c, err);
        if (state == PGRES_POLLING_OK) break;
        int r = wait_for(c, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, timeout_ms, err);
        if (r < 0) return r;
        state = pq.PQconnectPoll(c->pq);
    }
    (void)pq.PQsetErrorVerbosity(c->pq, PQERRORS_DEFAULT);
    return 0;
}

int pg_conn_open(const struct pg_params *params, const struct pg_wait *wait, struct pg_conn **ret_conn,
                 struct pg_error *err)
{
    char port[12];
    char idle[12], interval[12], count[12], silence[12];
    const char *names[24], *values[24];
    int n = 0;

    pthread_once(&pq_once, pq_load);
    if (pq.error[0]) return fail(err, -ENOSYS, pq.error);

    snprintf(port, sizeof port, "%d", params->port);
    snprintf(idle, sizeof idle, "%d", PG_SILENCE_MS_MAX / 2000);
    snprintf(interval, sizeof interval, "%d", PG_SILENCE_MS_MAX / 2000 / KEEPALIVES);
    snprintf(count, sizeof count, "%d", KEEPALIVES);
    snprintf(silence, sizeof silence, "%d", PG_SILENCE_MS_MAX);
    const struct {
        const char *name, *value;
    } all[] = {{"host", params->host},
               {"port", params->port ? port : NULL},
               {"user", params->user},
               {"password", params->password},
               {"dbname", params->dbname},
               {"sslmode", params->sslmode},
               {"sslcert", params->sslcert},
               {"sslkey", params->sslkey},
               {"sslpassword", params->sslpassword},
               {"sslrootcert", params->sslrootcert},
               {"keepalives", params->tcp_keepalive ? "1" : "0"},
               {"keepalives_idle", idle},
               {"keepalives_interval", interval},
               {"keepalives_count", count},
               {"tcp_user_timeout", silence},
               {"application_name", params->application_name},
               {"options", params->options},
               {"client_encoding", "UTF8"},
               {"replication", params->replication ? "database" : NULL}};
    for (uint32_t i = 0; i < countof(all); i++) {
        if (!all[i].value) continue;
        names[n] = all[i].name;
        values[n++] = all[i].value;
    }
    names[n] = values[n] = NULL;

    struct pg_conn *c = xcalloc(1, sizeof *c);
    c->wait = wait;
    c->statement_timeout_ms = params->statement_timeout_ms > 0 ? params->statement_timeout_ms : PG_NO_LIMIT;
    c->pq = pq.PQconnectStartParams(names, values, 0);
    if (!c->pq) {
        free(c);
        return fail(err, -ENOMEM, "out of memory");
    }
    int r = connect_poll(c, params->connect_timeout_ms, err);
    if (r == 0 && pq.PQsetnonblocking(c->pq, 1) < 0) r = fail_conn(c, err);
    if (r < 0) {
        pg_conn_close(c);
        return r;
    }
    *ret_conn = c;
    return 0;
}

void pg_conn_close(struct pg_conn *c)
{
    if (!c) return;
    if (c->copied) pq.PQfreemem(c->copied);
    pq.PQfinish(c->pq);
    free(c);
}

int pg_conn_socket(const struct pg_conn *c)
{
    return pq.PQsocket(c->pq);
}
int pg_conn_server_version(const struct pg_conn *c)
{
    return pq.PQserverVersion(c->pq);
}

/* -- statements -- */

static int flush(struct pg_conn *c, int timeout_ms, struct pg_error *err)
{
    for (;;) {
        int left = pq.PQflush(c->pq);
        if (left < 0) return fail_conn(c, err);
        if (left == 0) return 0;
        int r = wait_for(c, POLLIN | POLLOUT, timeout_ms, err);
        if (r < 0) return r;
        if (!pq.PQconsumeInput(c->pq)) return fail_conn(c, err);
    }
}

/* The next result of the statement; NULL: it is over. */
static int next_result(struct pg_conn *c, int timeout_ms, PGresult **ret_result, struct pg_error *err)
{
    while (pq.PQisBusy(c->pq)) {
        int r = wait_for(c, POLLIN, timeout_ms, err);
        if (r < 0) return r;
        if (!pq.PQconsumeInput(c->pq)) return fail_conn(c, err);
    }
    *ret_result = pq.PQgetResult(c->pq);
    return 0;
}

/* Reads and drops what is left of a statement. */
static int finish(struct pg_conn *c, int timeout_ms, struct pg_error *err)
{
    for (;;) {
        PGresult *rest;
        int r = next_result(c, timeout_ms, &rest, err);
        if (r < 0) return r;
        if (!rest) return 0;
        int status = pq.PQresultStatus(rest);
        if (status == PGRES_FATAL_ERROR) r = fail_result(c, rest, err);
        pq.PQclear(rest);
        if (r < 0) return r;
        if (status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH || status == PGRES_COPY_IN)
            return fail(err, -EPROTO, "unexpected copy");
    }
}

int pg_exec(struct pg_conn *c, const char *sql, const char *const *params, int params_count, int timeout_ms,
            struct pg_result **ret_result, struct pg_error *err)
{
    PGresult *result;
    int timeout = timeout_ms ? timeout_ms : c->statement_timeout_ms;

    int sent = params_count ? pq.PQsendQueryParams(c->pq, sql, params_count, NULL, params, NULL, NULL, 0)
                            : pq.PQsendQuery(c->pq, sql);
    if (!sent) return fail_conn(c, err);
    int r = flush(c, timeout, err);
    if (r == 0) r = next_result(c, timeout, &result, err);
    if (r < 0) return r;
    if (!result) return fail_conn(c, err);

    int status = pq.PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) r = fail_result(c, result, err);
    if (r == 0) {
        r = finish(c, timeout, err);
    } else {
        struct pg_error rest;
        (void)finish(c, timeout, &rest); /* the first error is the one to tell */
    }
    if (r == 0 && ret_result) *ret_result = (struct pg_result *)result;
    else pq.PQclear(result);
    return r;
}

int pg_result_rows(const struct pg_result *r)
{
    return pq.PQntuples(result_of(r));
}
int pg_result_columns(const struct pg_result *r)
{
    return pq.PQnfields(result_of(r));
}
struct slice pg_result_value(const struct pg_result *r, int row, int column)
{
    if (pq.PQgetisnull(result_of(r), row, column)) return SLICE_NULL;
    return slice_make(pq.PQgetvalue(result_of(r), row, column), (uint32_t)pq.PQgetlength(result_of(r), row, column));
}
const char *pg_result_text(const struct pg_result *r, int row, int column)
{
    return pq.PQgetvalue(result_of(r), row, column);
}
void pg_result_free(struct pg_result *r)
{
    if (r) pq.PQclear(result_of(r));
}

/* -- copies -- */

int pg_copy_begin(struct pg_conn *c, const char *sql, int timeout_ms, struct pg_error *err)
{
    PGresult *result;
    int timeout = timeout_ms ? timeout_ms : c->statement_timeout_ms;

    if (!pq.PQsendQuery(c->pq, sql)) return fail_conn(c, err);
    int r = flush(c, timeout, err);
    if (r == 0) r = next_result(c, timeout, &result, err);
    if (r < 0) return r;
    if (!result) return fail_conn(c, err);
    int status = pq.PQresultStatus(result);
    if (status != PGRES_COPY_OUT && status != PGRES_COPY_BOTH) {
        struct pg_error rest;
        r = status == PGRES_FATAL_ERROR ? fail_result(c, result, err)
                                        : fail(err, -EPROTO, "the statement did not begin a copy");
        (void)finish(c, timeout, &rest);
    }
    pq.PQclear(result);
    return r;
}

static int copy_over(struct pg_conn *c, struct pg_error *err)
{
    int r = finish(c, PG_ANSWER_MS_MAX, err);
    return r < 0 && r != -EPROTO ? r : -ENODATA; /* a stream that the server ended waits for our end: we hang up */
}

int pg_copy_next(struct pg_conn *c, struct slice *ret_data, struct pg_error *err)
{
    if (c->copied) pq.PQfreemem(c->copied);
    c->copied = NULL;
    int len = pq.PQgetCopyData(c->pq, &c->copied, 1);
    if (len == 0) {
        if (!pq.PQconsumeInput(c->pq)) return fail_conn(c, err);
        len = pq.PQgetCopyData(c->pq, &c->copied, 1);
    }
    if (len == 0) return 0;
    if (len == -1) return copy_over(c, err);
    if (len < 0) return fail_conn(c, err);
    *ret_data = slice_make(c->copied, (uint32_t)len);
    return 1;
}

int pg_copy_next_wait(struct pg_conn *c, int timeout_ms, struct slice *ret_data, struct pg_error *err)
{
    for (;;) {
        int r = pg_copy_next(c, ret_data, err);
        if (r != 0) return r;
        r = wait_for(c, POLLIN, timeout_ms, err);
        if (r < 0) return r;
    }
}

int pg_copy_send(struct pg_conn *c, struct slice data, struct pg_error *err)
{
    for (;;) {
        int sent = pq.PQputCopyData(c->pq, (const char *)data.ptr, (int)data.len);
        if (sent < 0) return fail_conn(c, err);
        if (sent > 0) return flush(c, PG_ANSWER_MS_MAX, err);
        int r = wait_for(c, POLLOUT, PG_ANSWER_MS_MAX, err);
        if (r < 0) return r;
    }
}

int pg_copy_end(struct pg_conn *c, int timeout_ms, struct pg_error *err)
{
    struct slice rest;

    if (pq.PQputCopyEnd(c->pq, NULL) < 0) return fail_conn(c, err);
    int r = flush(c, timeout_ms, err);
    while (r >= 0) r = pg_copy_next_wait(c, timeout_ms, &rest, err);
    return r == -ENODATA ? 0 : r;
}

/* -- quoting: standard_conforming_strings is on since PostgreSQL 9.1 -- */

static char *quote(const char *text, char mark)
{
    char *out = xmalloc(strlen(text) * 2 + 3), *p = out;

    *p++ = mark;
    for (; *text; text++) {
        if (*text == mark) *p++ = mark;
        *p++ = *text;
    }
    *p++ = mark;
    *p = '\0';
    return out;
}
char *pg_quote_literal(const char *text)
{
    return quote(text, '\'');
}
char *pg_quote_identifier(const char *name)
{
    return quote(name, '"');
}
