/* cdc/session.c: one connection's life: plan, snapshot when it is due, stream, end.
 *
 *   session_plan.c ─┬─ position known ────────────────┐
 *                   ├─ snapshot due ─> snapshot_run ──┴─> session_stream.c ─> end
 *                   └─ no_data: position = the slot's ─┘
 * A snapshot reads at the consistent point of a slot that is made for it: the connector's own when it is new, else a
 * temporary one. So stream and snapshot meet exactly, also on a slot that existed.
 * Source: PostgreSQL documentation, "Streaming Replication Protocol". Threads: the connector's. */
#include "cdc/session_internal.h"

#include "base/log.h"
#include "cdc/pg_lsn.h"
#include "cdc/snapshot.h"

#include <errno.h>
#include <stdio.h>

#define CONNECT_TIMEOUT_MS 10000
#define END_TIMEOUT_MS     3000

struct pg_params connector_params(const struct pg_connector_config *config, bool replication)
{
    return (struct pg_params){.host = config->hostname,
                              .port = config->port,
                              .user = config->user,
                              .password = config->password,
                              .dbname = config->dbname,
                              .sslmode = config->sslmode,
                              .sslcert = config->sslcert,
                              .sslkey = config->sslkey,
                              .sslpassword = config->sslpassword,
                              .sslrootcert = config->sslrootcert,
                              .tcp_keepalive = config->tcp_keepalive,
                              .replication = replication,
                              .application_name = replication ? "Debezium Streaming" : "Debezium General",
                              .options = PG_SESSION_OPTIONS,
                              .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                              .statement_timeout_ms = (int)MIN(config->query_timeout_ms, INT32_MAX)};
}

int session_fail(struct pg_error *err, int error, const char *text)
{
    *err = (struct pg_error){0};
    snprintf(err->text, sizeof err->text, "%s", text);
    return error;
}

int session_refused(struct pg_error *err, int r, const char *step)
{
    char text[sizeof err->text];

    if (r != -EREMOTEIO || !err->sqlstate[0]) return r;
    snprintf(text, sizeof text, "%s: %s", step, err->text);
    memcpy(err->text, text, sizeof text);
    return r;
}

int session_connect(struct cdc_connector *c, struct pg_error *err)
{
    struct pg_params params = connector_params(c->config, true);
    return c->stream ? 0 : pg_conn_open(&params, &c->wait, &c->stream, err);
}

bool session_streams(const struct pg_connector_config *config)
{
    return config->snapshot_mode != SNAPSHOT_INITIAL_ONLY &&
           !(config->snapshot_mode == SNAPSHOT_CONFIGURATION_BASED && !config->snapshot_stream);
}

/* -- the snapshot -- */

static int snapshot_between(void *arg)
{
    struct cdc_connector *c = arg;

    if (connector_is_unwanted(c)) {
        struct pg_error ignored;
        int r = connector_hold(c, &ignored);
        if (r < 0) return r;
    }
    journal_io_deliver(c->stored->io);
    if (connector_now_us() - c->round_us < ROUND_US) return 0;
    c->round_us = connector_now_us();
    journal_io_trim(c->stored->io);
    return journal_round(c->stored->journal);
}

/* The snapshot is durable and shown: its last row is what was ingested last. */
static void snapshot_show(struct cdc_connector *c, struct source_offset last)
{
    pthread_mutex_lock(&c->lock);
    c->durable_lsn = journal_confirmed(c->stored->journal);
    c->stored->mark = (struct offset_mark){.told = last};
    pthread_mutex_unlock(&c->lock);
}

/* Runs the snapshot at the consistent point of a slot: the connector's own when it does not exist yet, else a temporary one. */
static int take_snapshot(struct cdc_connector *c, struct session_plan *p, struct pg_error *err)
{
    char snapshot_name[SLOT_SNAPSHOT_NAME_BYTES];
    char temporary_name[64];
    struct source_offset last;
    uint64_t lsn = 0;
    bool streaming = session_streams(c->config);
    int r = 0;

    if (c->config->snapshot_delay_ms > 0) (void)c->wait.wait(c, -1, 0, (int)c->config->snapshot_delay_ms);
    if (streaming) {
        bool temporary = p->slot.exists;
        snprintf(temporary_name, sizeof temporary_name, "ottla_snapshot_%d_%d", (int)getpid(), c->stored->number);
        if (p->slot.exists && p->slot.lost) { /* when_needed: it is of no use any more */
            r = slot_drop(c->catalog, c->config->slot_name, err);
            temporary = false;
        }
        if (r == 0) r = session_connect(c, err);
        if (r == 0)
            r = slot_create(c->stream, temporary ? temporary_name : c->config->slot_name, temporary,
                            c->config->slot_failover, &lsn, snapshot_name, err);
        if (r == 0)
            log_info("cdc", "%s replication slot connector=%s slot=%s at=" PG_LSN_FMT, temporary ? "temporary" : "new",
                     c->config->name, temporary ? temporary_name : c->config->slot_name, PG_LSN_ARG(lsn));
    }
    c->stays = true;
    if (r == 0)
        r = snapshot_run(&(struct snapshot_env){.config = c->config,
                                                .encoder = c->encoder,
                                                .ingest = c->ingest,
                                                .journal = c->stored->journal,
                                                .conn = c->catalog,
                                                .snapshot_name = streaming ? snapshot_name : NULL,
                                                .lsn = lsn,
                                                .tables = &p->tables,
                                                .between = snapshot_between,
                                                .arg = c},
                         &last, err);
    c->stays = false;
    pg_conn_close(c->stream); /* a temporary slot goes with its connection */
    c->stream = NULL;
    if (r < 0) return r;
    c->snapshot_done = true;
    snapshot_show(c, last);
    return 0;
}

/* Streaming without a snapshot begins where the slot stands. */
static int begin_without_snapshot(struct cdc_connector *c, const struct session_plan *p, struct pg_error *err)
{
    char ignored[SLOT_SNAPSHOT_NAME_BYTES];
    uint64_t lsn = p->slot.confirmed_flush_lsn ? p->slot.confirmed_flush_lsn : p->slot.restart_lsn;
    int r = 0;

    if (!p->slot.exists) {
        r = session_connect(c, err);
        if (r == 0)
            r = slot_create(c->stream, c->config->slot_name, false, c->config->slot_failover, &lsn, ignored, err);
        pg_conn_close(c->stream);
        c->stream = NULL;
    }
    if (r < 0) return r;
    return journal_snapshot_end(c->stored->journal, lsn) < 0
               ? session_fail(err, -EIO, "the journal could not be written")
               : 0;
}

/* -- life -- */

/* Nothing to stream: a connector that only took a snapshot rests. */
static int rest(struct cdc_connector *c)
{
    pg_conn_close(c->catalog);
    c->catalog = NULL;
    for (int r = -ETIMEDOUT; r == -ETIMEDOUT;) r = c->wait.wait(c, -1, 0, 60000);
    return -ECANCELED;
}

int session_run(struct cdc_connector *c, struct pg_error *err)
{
    struct session_plan p = {0};

    int r = session_plan_make(c, &p, err);
    if (r == 0 && p.snapshot) r = take_snapshot(c, &p, err);
    else if (r == 0 && !journal_has_position(c->stored->journal)) r = begin_without_snapshot(c, &p, err);
    session_plan_done(&p);
    if (r < 0) return r;
    session_position_show(c);
    if (!session_streams(c->config)) return rest(c);
    r = session_stream_begin(c, &p, err);
    return r < 0 ? session_refused(err, r, "START_REPLICATION") : session_stream_run(c, err);
}

void session_end(struct cdc_connector *c)
{
    struct journal *j = c->stored->journal;
    struct pg_error ignored;

    c->stays = false;
    session_sweep_end(c);
    if (!journal_failed(j) && c->streamed && ingest_cut(c->ingest) == 0 && connector_is_unwanted(c) &&
        journal_drain(j) == 0 && c->stream) {
        /* An orderly end: the slot is free when it returns. The wish must not cancel it. */
        enum connector_wish wish = (enum connector_wish)atomic_exchange(&c->wish, WISH_RUN);
        if (session_status_send(c, &ignored) == 0) (void)!pg_copy_end(c->stream, END_TIMEOUT_MS, &ignored);
        int expected = WISH_RUN;
        atomic_compare_exchange_strong(&c->wish, &expected, wish);
    }
    c->stored->io->confirm = NULL;
    pg_conn_close(c->stream);
    c->stream = NULL;
    if (c->config->slot_drop_on_stop && atomic_load(&c->wish) == WISH_STOP && c->catalog)
        (void)!slot_drop(c->catalog, c->config->slot_name, &ignored);
    pg_conn_close(c->catalog);
    c->catalog = NULL;
    if (!journal_failed(j)) session_position_show(c);
}
