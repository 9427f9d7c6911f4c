/* cdc/session_stream.c: the stream: its messages to the ingest, what is due by time, what the server is told, a pause.
 *
 * PostgreSQL is told of an LSN only when the journal has confirmed it (journal_round.c). Source: PostgreSQL documentation,
 * "Streaming Replication Protocol". Threads: the connector's. */
#include "cdc/session_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "cdc/pg_lsn.h"
#include "cdc/pgoutput.h"

#include <errno.h>
#include <poll.h>

#define ROUND_IDLE_US       20000   /* between sync rounds while the stream is idle; while it runs: ROUND_US */
#define REFRESH_US          500000  /* topics looked at anew */
#define IDLE_POSITION_US    1000000 /* between positions that are journalled while nothing is captured */
#define STATUS_US_MIN       20000   /* between status messages that only tell progress */
#define HOLD_STATUS_US      1000000 /* between status messages while paused: the server's questions are not read then */
#define MESSAGES_PER_LOOK   256     /* messages before timers are looked at */
#define XLOGDATA_HEAD_BYTES 25      /* 'w', start, end, time */
#define KEEPALIVE_BYTES     18      /* 'k', end, time, reply */
#define STATUS_BYTES        34

static void confirm(void *arg, uint64_t lsn)
{
    struct cdc_connector *c = arg;
    if (c->config->lsn_flush_mode != LSN_FLUSH_MANUAL) c->flush_lsn = MAX(c->flush_lsn, lsn);
}

int session_status_send(struct cdc_connector *c, struct pg_error *err)
{
    uint8_t m[STATUS_BYTES] = {'r'};

    be64_store(m + 1, MAX(c->received_lsn, c->flush_lsn));
    be64_store(m + 9, c->flush_lsn);
    be64_store(m + 17, c->flush_lsn);
    be64_store(m + 25, (uint64_t)(clock_system.wall_us(&clock_system) - PG_EPOCH_US));
    int r = pg_copy_send(c->stream, slice_make(m, sizeof m), err);
    if (r < 0) return r;
    c->flush_sent_lsn = c->flush_lsn;
    c->status_sent_us = connector_now_us();
    c->reply_wanted = false;
    return 0;
}

static int journal_broke(struct cdc_connector *c, int r, struct pg_error *err)
{
    if (r == 0) return 0;
    session_fail(err, r, ingest_error(c->ingest)[0] ? ingest_error(c->ingest) : "the journal could not be written");
    return -EIO;
}

static int stream_message(struct cdc_connector *c, struct slice data, struct pg_error *err)
{
    if (data.len >= XLOGDATA_HEAD_BYTES && data.ptr[0] == 'w') {
        uint64_t wal_start = be64_load(data.ptr + 1);
        c->received_lsn = MAX(c->received_lsn, wal_start);
        c->keepalive_lsn = 0;
        return ingest_message(c->ingest, slice_make(data.ptr + XLOGDATA_HEAD_BYTES, data.len - XLOGDATA_HEAD_BYTES),
                              wal_start, err);
    }
    if (data.len >= KEEPALIVE_BYTES && data.ptr[0] == 'k') {
        c->keepalive_lsn = be64_load(data.ptr + 1);
        c->received_lsn = MAX(c->received_lsn, c->keepalive_lsn);
        if (data.ptr[17]) c->reply_wanted = true;
        return 0;
    }
    return session_fail(err, -EPROTO, "the server sent a replication message that does not exist");
}

void session_position_show(struct cdc_connector *c)
{
    struct journal *j = c->stored->journal;

    if (!journal_has_position(j) || journal_is_ahead(j)) return; /* what is replayed is hidden until all of it came */
    pthread_mutex_lock(&c->lock);
    c->durable_lsn = journal_confirmed(j);
    offset_mark_look(&c->stored->mark, ingest_last(c->ingest), c->durable_lsn);
    pthread_mutex_unlock(&c->lock);
}

/* xmin.fetch.interval.ms: at the begin of a stream and now and then. */
static int xmin_fetch(struct cdc_connector *c, int64_t now_us, struct pg_error *err)
{
    struct pg_conn *catalog;
    struct slot slot;

    c->xmin_us = now_us;
    if (c->config->xmin_fetch_interval_ms <= 0) return 0;
    int r = connector_catalog(c, &catalog, err);
    if (r == 0) r = slot_read(catalog, c->config->slot_name, &slot, err);
    if (r == 0) ingest_set_xmin(c->ingest, slot.catalog_xmin);
    return r;
}

/* What is due by time: rounds, confirmation, status, topics, offsets. idle: no message is there now. */
static int stream_timers(struct cdc_connector *c, bool idle, struct pg_error *err)
{
    struct journal *j = c->stored->journal;
    int64_t now_us = connector_now_us();
    int r = 0;

    journal_io_deliver(c->stored->io);
    if (idle) r = ingest_idle(c->ingest);
    if (r == 0 && now_us - c->round_us >= (idle ? ROUND_IDLE_US : ROUND_US)) {
        c->round_us = now_us;
        r = journal_round(j);
    } else if (r == 0 && journal_wants_round(j)) {
        r = journal_round(j); /* strict: readers wait for it */
    }
    bool refresh = now_us - c->refresh_us >= REFRESH_US;
    if (r == 0 && refresh) {
        c->refresh_us = now_us;
        r = ingest_refresh_topics(c->ingest);
        if (r == 0 && ingest_is_quiet(c->ingest) && journal_store_wants_checkpoint(c->cdc->store, c->stored))
            r = journal_checkpoint(j);
        session_position_show(c);
        if (r == 0) r = session_config_return(c);
    }
    if (r == -ERESTART) return r;
    if (r == 0) r = journal_failed(j);
    if (r < 0) return journal_broke(c, r, err);
    if (idle && c->keepalive_lsn && now_us - c->idle_us >= IDLE_POSITION_US && ingest_is_quiet(c->ingest)) {
        c->idle_us = now_us;
        journal_idle(j, c->keepalive_lsn, ingest_commit_lsn(c->ingest));
    }

    bool progress = c->flush_lsn > c->flush_sent_lsn && now_us - c->status_sent_us >= STATUS_US_MIN;
    if (progress || c->reply_wanted || now_us - c->status_sent_us >= c->config->status_update_interval_ms * 1000)
        r = session_status_send(c, err);
    if (r == 0) r = session_heartbeat(c, now_us);
    if (r == 0 && refresh) r = session_sweep_tables(c, err);
    if (r == 0 && now_us - c->xmin_us >= c->config->xmin_fetch_interval_ms * 1000) r = xmin_fetch(c, now_us, err);
    return r;
}

/* Until the next timer, while nothing comes [ms]. */
static int idle_timeout_ms(const struct cdc_connector *c)
{
    if (!ingest_is_quiet(c->ingest) || c->flush_lsn > c->flush_sent_lsn) return 20;
    return journal_pending(c->stored->journal) ? 20 : 250;
}

int session_hold_tick(struct cdc_connector *c, struct pg_error *err)
{
    if (!c->streamed || connector_now_us() - c->status_sent_us < HOLD_STATUS_US) return 0;
    return session_status_send(c, err);
}

/* A pause as Connect's: the task stays started, its slot active, and nothing is read; what was read is durable and shown. */
static int stream_pause(struct cdc_connector *c, struct pg_error *err)
{
    if (atomic_load(&c->wish) != WISH_PAUSE) return -ECANCELED;
    int r = ingest_cut(c->ingest);
    if (r == 0) r = journal_drain(c->stored->journal);
    if (r < 0) return journal_broke(c, r, err);
    session_position_show(c);
    log_info("cdc", "paused connector=%s", c->config->name);
    r = session_status_send(c, err);
    if (r == 0) r = connector_hold(c, err);
    if (r == 0) log_info("cdc", "resumed connector=%s", c->config->name);
    return r;
}

int session_stream_run(struct cdc_connector *c, struct pg_error *err)
{
    struct slice data;

    for (;;) {
        int count = 0, r = 1;
        while (count < MESSAGES_PER_LOOK && (r = pg_copy_next(c->stream, &data, err)) > 0) {
            r = stream_message(c, data, err);
            if (r < 0) return r;
            count++;
        }
        if (r == -ENODATA) {
            session_fail(err, -ECONNRESET, "the server ended the stream");
            return -ECONNRESET;
        }
        if (r < 0) return r;
        r = stream_timers(c, count < MESSAGES_PER_LOOK, err);
        if (r < 0) return r;
        if (connector_is_unwanted(c)) {
            r = stream_pause(c, err);
            if (r < 0) return r;
            continue;
        }
        if (count == MESSAGES_PER_LOOK) continue;
        struct pollfd fds[] = {{.fd = pg_conn_socket(c->stream), .events = POLLIN},
                               {.fd = c->wish_fd, .events = POLLIN},
                               {.fd = c->stored->io->wake_fd, .events = POLLIN}};
        if (poll(fds, countof(fds), idle_timeout_ms(c)) < 0 && errno != EINTR)
            return session_fail(err, -errno, "poll failed");
        if (fds[1].revents) connector_bell_read(c);
    }
}

int session_stream_begin(struct cdc_connector *c, const struct session_plan *p, struct pg_error *err)
{
    uint64_t lsn = journal_position(c->stored->journal).whole_lsn;

    if (c->config->streaming_delay_ms > 0) (void)c->wait.wait(c, -1, 0, (int)c->config->streaming_delay_ms);
    if (server_remember(c->stored->journal, p->server) < 0)
        return session_fail(err, -EIO, "the journal could not be written");
    int r = session_connect(c, err);
    if (r == 0) r = slot_start(c->stream, c->config, lsn, err);
    if (r < 0) return r;
    c->received_lsn = c->flush_lsn = c->flush_sent_lsn = 0;
    confirm(c, journal_confirmed(c->stored->journal));
    c->keepalive_lsn = 0;
    c->reply_wanted = false;
    c->status_sent_us = c->refresh_us = c->round_us = c->heartbeat_us = c->idle_us = connector_now_us();
    c->stored->io->confirm_arg = c;
    c->stored->io->confirm = confirm;
    ingest_begin(c->ingest, p->wal_end);
    c->streamed = c->stays = true;
    r = xmin_fetch(c, connector_now_us(), err);
    if (r < 0) return r;
    log_info("cdc", "streaming connector=%s slot=%s from=" PG_LSN_FMT, c->config->name, c->config->slot_name,
             PG_LSN_ARG(lsn));
    return session_status_send(c, err);
}
