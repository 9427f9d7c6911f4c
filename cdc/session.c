/* cdc/session.c: one connection's life: check the server, publication and slot, snapshot when it is due, stream.
 *
 *   connect ─> check ─> publication ─> slot ─┬─ position known ────────────────┐
 *                                            ├─ snapshot due ─> snapshot_run ──┴─> START_REPLICATION ─> stream ─> end
 *                                            └─ no_data: position = the slot's ─┘
 * A snapshot reads at the consistent point of a slot that is made for it: the connector's own when it is new, else a
 * temporary one. So stream and snapshot meet exactly, also on a slot that existed.
 * Source: PostgreSQL documentation, "Streaming Replication Protocol". Threads: the connector's. */
#include "cdc/connector_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "broker/broker.h"
#include "cdc/former_config.h"
#include "cdc/pg_lsn.h"
#include "cdc/pgoutput.h"
#include "cdc/server.h"
#include "cdc/snapshot.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

#define CONNECT_TIMEOUT_MS  10000
#define END_TIMEOUT_MS      3000
#define ROUND_US            200000  /* between sync rounds while the stream runs */
#define ROUND_IDLE_US       20000   /* .. and while it is idle */
#define REFRESH_US          500000  /* topics looked at anew */
#define IDLE_POSITION_US    1000000 /* between positions that are journalled while nothing is captured */
#define STATUS_US_MIN       20000   /* between status messages that only tell progress */
#define HOLD_STATUS_US      1000000 /* between status messages while paused: the server's questions are not read then */
#define MESSAGES_PER_LOOK   256     /* messages before timers are looked at */
#define XLOGDATA_HEAD_BYTES 25      /* 'w', start, end, time */
#define KEEPALIVE_BYTES     18      /* 'k', end, time, reply */
#define STATUS_BYTES        34

struct pg_params connector_params(const struct pg_connector_config *config, bool replication)
{
    return (struct pg_params){
        .host = config->hostname,
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
        /* The forms of text that the converters know. */
        .options =
            "-c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=postgres -c extra_float_digits=3 -c bytea_output=hex "
            "-c standard_conforming_strings=on",
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .statement_timeout_ms = (int)MIN(config->query_timeout_ms, INT32_MAX)};
}

static int fail(struct pg_error *err, int error, const char *text)
{
    *err = (struct pg_error){0};
    snprintf(err->text, sizeof err->text, "%s", text);
    return error;
}

/* Says at which step the server refused. */
static int refused(struct pg_error *err, int r, const char *step)
{
    char text[sizeof err->text];

    if (r != -EREMOTEIO || !err->sqlstate[0]) return r;
    snprintf(text, sizeof text, "%s: %s", step, err->text);
    memcpy(err->text, text, sizeof text);
    return r;
}

/* -- before the stream -- */

struct plan {
    struct pg_table_list tables;
    struct slot slot;
    struct server_identity server;
    uint64_t wal_end;
    bool in_recovery;     /* a standby: wal_end is what it has replayed */
    char *server_trouble; /* why the position does not belong to this server's log; NULL: it does */
    bool snapshot;
};

static void plan_done(struct plan *p)
{
    tables_done(&p->tables);
    free(p->server_trouble);
}

/* Did somebody else move the slot, or drop it and make it again? What we confirm is journalled before; with a manual
 * lsn.flush.mode it is for others to move it. */
static bool slot_has_passed_us(const struct cdc_connector *c, const struct slot *slot)
{
    return slot->exists && !slot->lost && c->config->lsn_flush_mode != LSN_FLUSH_MANUAL &&
           slot->confirmed_flush_lsn > journal_position(c->stored->journal).whole_lsn;
}

/* Why the slot cannot be read on from lsn: malloc'd. */
static char *slot_trouble(const struct plan *p, uint64_t lsn)
{
    uint64_t slot_lsn = p->slot.confirmed_flush_lsn;

    if (!p->slot.exists) return xstrdup("does not exist any more");
    if (p->slot.lost)
        return xasprintf("has lost WAL that it needs or was invalidated (its confirmed_flush_lsn is " PG_LSN_FMT
                         ", the server's WAL end is " PG_LSN_FMT ")",
                         PG_LSN_ARG(slot_lsn), PG_LSN_ARG(p->wal_end));
    return xasprintf("was moved by somebody else, or dropped and created again: its confirmed_flush_lsn is " PG_LSN_FMT
                     ", %" PRIu64 " bytes of WAL behind our position",
                     PG_LSN_ARG(slot_lsn), slot_lsn - lsn);
}

static int slot_is_gone(struct cdc_connector *c, const struct plan *p, struct pg_error *err)
{
    struct journal_position at = journal_position(c->stored->journal);

    AUTO_FREE char *why = slot_trouble(p, at.whole_lsn);
    log_error("cdc", "changes behind " PG_LSN_FMT " may be lost: the replication slot %s connector=%s slot=%s",
              PG_LSN_ARG(at.whole_lsn), why, c->config->name, c->config->slot_name);
    *err = (struct pg_error){0};
    snprintf(err->text, sizeof err->text,
             "The connector is trying to read change stream starting at LSN{" PG_LSN_FMT
             "} from slot %s, but this is no longer available on the "
             "server: the slot %s. Reconfigure the connector to use a snapshot mode when needed "
             "(snapshot.mode=when_needed takes a new snapshot).",
             PG_LSN_ARG(at.whole_lsn), c->config->slot_name, why);
    if ((journal_is_ahead(c->stored->journal) || at.part_lsn) && journal_give_up_replay(c->stored->journal) == 0)
        log_warn("cdc", "records that waited for a replay are shown as they are connector=%s", c->config->name);
    return -EREMOTEIO;
}

/* The server's log is another one from some point before our position on. */
static int server_is_another(const struct cdc_connector *c, const struct plan *p, struct pg_error *err)
{
    uint64_t lsn = journal_position(c->stored->journal).whole_lsn;

    log_error("cdc", "the server %s connector=%s position=" PG_LSN_FMT, p->server_trouble, c->config->name,
              PG_LSN_ARG(lsn));
    *err = (struct pg_error){0};
    snprintf(err->text, sizeof err->text,
             "The connector cannot go on at LSN{" PG_LSN_FMT
             "}: the server %s. Changes that it does not have any more may be in the topics, and changes that it has "
             "may not. Set "
             "snapshot.mode=when_needed to take a new snapshot; or stop the connector, delete its offsets (DELETE "
             "/connectors/%s/offsets) and resume it: it begins anew as its snapshot.mode says.",
             PG_LSN_ARG(lsn), p->server_trouble, c->config->name);
    return -EREMOTEIO;
}

/* Positions of another log mean nothing here: the journal begins from nothing. */
static int begin_anew(struct cdc_connector *c, struct plan *p, struct pg_error *err)
{
    struct err why;

    log_warn("cdc", "a new snapshot is taken: the server %s connector=%s", p->server_trouble, c->config->name);
    int r = journal_store_begin_anew(c->cdc->store, c->stored, &why);
    ingest_set_stored(c->ingest, c->stored);
    return r < 0 ? fail(err, -EIO, why.text) : 0;
}

/* Is a snapshot due? Also refuses where the stream cannot be continued. */
static int plan_snapshot(struct cdc_connector *c, struct plan *p, struct pg_error *err)
{
    const struct pg_connector_config *config = c->config;
    bool known = journal_has_position(c->stored->journal);
    bool gone = known && (p->server_trouble || !p->slot.exists || p->slot.lost || slot_has_passed_us(c, &p->slot));

    if (p->slot.exists && strcmp(p->slot.plugin, "pgoutput") != 0)
        return fail(
            err, -EREMOTEIO,
            "the replication slot exists and uses another plugin than pgoutput: drop it, or choose another slot.name");
    if (p->slot.exists && strcmp(p->slot.database, config->dbname) != 0)
        return fail(err, -EREMOTEIO,
                    "the replication slot exists and belongs to another database: choose another slot.name");
    switch (config->snapshot_mode) {
    case SNAPSHOT_INITIAL_ONLY: p->snapshot = !known; return 0;
    case SNAPSHOT_WHEN_NEEDED:
        p->snapshot = !known || gone;
        if (p->server_trouble) return begin_anew(c, p, err);
        if (!gone || !(journal_is_ahead(c->stored->journal) || journal_position(c->stored->journal).part_lsn)) return 0;
        log_warn("cdc", "records that waited for a replay are shown as they are connector=%s", config->name);
        return journal_give_up_replay(c->stored->journal) < 0 ? fail(err, -EIO, "the journal could not be written") : 0;
    case SNAPSHOT_ALWAYS:
        p->snapshot = !known || (!c->snapshot_done && !journal_is_ahead(c->stored->journal) &&
                                 !journal_position(c->stored->journal).part_lsn);
        if (p->server_trouble && p->snapshot) return begin_anew(c, p, err);
        break;
    case SNAPSHOT_NO_DATA: p->snapshot = false; break;
    case SNAPSHOT_CONFIGURATION_BASED: p->snapshot = !known && config->snapshot_data; break;
    default: p->snapshot = !known;
    }
    if (!gone || p->snapshot) return 0;
    return p->server_trouble ? server_is_another(c, p, err) : slot_is_gone(c, p, err);
}

/* A replay must be finished with the configuration it began with: another one may route its rows elsewhere, so that the logs
 * would be skipped wrongly. So the journal keeps what decides the records. -ERESTART: the former one is needed. */
static int config_apply(struct cdc_connector *c, struct pg_error *err)
{
    struct journal *j = c->stored->journal;

    if (c->config != c->posted) return 0;
    int r = journal_config_change(j, connector_config_output_hash(c->posted));
    if (r == -EBUSY) return -ERESTART;
    if (r == 0) r = former_config_remember(j, c->posted);
    return r < 0 ? fail(err, -EIO, "the journal could not be written") : 0;
}

/* Is what the former configuration had begun finished? Then the posted one applies from here on. */
static int config_return(struct cdc_connector *c)
{
    if (c->config == c->posted || !ingest_is_quiet(c->ingest)) return 0;
    int r = journal_config_change(c->stored->journal, connector_config_output_hash(c->posted));
    return r == -EBUSY ? 0 : r == 0 ? -ERESTART : r;
}

static bool is_streaming_wanted(const struct pg_connector_config *config)
{
    return config->snapshot_mode != SNAPSHOT_INITIAL_ONLY &&
           !(config->snapshot_mode == SNAPSHOT_CONFIGURATION_BASED && !config->snapshot_stream);
}

/* The replication connection, opened when there is none. */
static int stream_connect(struct cdc_connector *c, struct pg_error *err)
{
    struct pg_params params = connector_params(c->config, true);
    return c->stream ? 0 : pg_conn_open(&params, &c->wait, &c->stream, err);
}

/* Is it the server whose stream we read? A standby may have to replay up to our position yet. */
static int plan_server(struct cdc_connector *c, struct plan *p, struct pg_error *err)
{
    struct journal *j = c->stored->journal;
    uint64_t lsn = journal_position(j).whole_lsn;

    int r = stream_connect(c, err);
    if (r == 0) r = server_identify(c->stream, &p->server, err);
    if (r < 0 || !journal_has_position(j)) return r;
    if (p->wal_end < lsn && p->in_recovery) {
        r = fail(err, -EAGAIN, "the standby has not replayed up to the connector's position yet");
        err->retriable = true;
        return r;
    }
    return server_check(c->stream, server_known(j), p->server, lsn, p->wal_end, &p->server_trouble, err);
}

static int plan_make(struct cdc_connector *c, struct plan *p, struct pg_error *err)
{
    struct pg_conn *catalog;

    int r = c->ingest ? 0 : -EINVAL;
    if (r == 0) r = connector_catalog(c, &catalog, err);
    if (r < 0) return r;
    if (is_streaming_wanted(c->config)) r = slot_check_server(catalog, err);
    if (r == 0) r = slot_wal_end(catalog, &p->wal_end, &p->in_recovery, err);
    if (r == 0 && is_streaming_wanted(c->config)) r = plan_server(c, p, err);
    if (r == 0) r = tables_read(catalog, c->config, &p->tables, err);
    if (r == 0) r = slot_read(catalog, c->config->slot_name, &p->slot, err);
    if (r == 0) r = plan_snapshot(c, p, err);
    if (r == 0) r = config_apply(c, err);
    if (r == 0)
        r = refused(err, replica_identity_set(catalog, c->config, &p->tables, err), "replica.identity.autoset.values");
    if (r == 0 && is_streaming_wanted(c->config))
        r = refused(err, publication_ensure(catalog, c->config, &p->tables, err), "publication.autocreate.mode");
    return r;
}

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
static int take_snapshot(struct cdc_connector *c, struct plan *p, struct pg_error *err)
{
    char snapshot_name[SLOT_SNAPSHOT_NAME_BYTES];
    char temporary_name[64];
    struct source_offset last;
    uint64_t lsn = 0;
    bool streaming = is_streaming_wanted(c->config);
    int r = 0;

    if (c->config->snapshot_delay_ms > 0) (void)c->wait.wait(c, -1, 0, (int)c->config->snapshot_delay_ms);
    if (streaming) {
        bool temporary = p->slot.exists;
        snprintf(temporary_name, sizeof temporary_name, "ottla_snapshot_%d_%d", (int)getpid(), c->stored->number);
        if (p->slot.exists && p->slot.lost) { /* when_needed: it is of no use any more */
            r = slot_drop(c->catalog, c->config->slot_name, err);
            temporary = false;
        }
        if (r == 0) r = stream_connect(c, err);
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
static int begin_without_snapshot(struct cdc_connector *c, const struct plan *p, struct pg_error *err)
{
    char ignored[SLOT_SNAPSHOT_NAME_BYTES];
    uint64_t lsn = p->slot.confirmed_flush_lsn ? p->slot.confirmed_flush_lsn : p->slot.restart_lsn;
    int r = 0;

    if (!p->slot.exists) {
        r = stream_connect(c, err);
        if (r == 0)
            r = slot_create(c->stream, c->config->slot_name, false, c->config->slot_failover, &lsn, ignored, err);
        pg_conn_close(c->stream);
        c->stream = NULL;
    }
    if (r < 0) return r;
    return journal_snapshot_end(c->stored->journal, lsn) < 0 ? fail(err, -EIO, "the journal could not be written") : 0;
}

/* -- the stream -- */

static void confirm(void *arg, uint64_t lsn)
{
    struct cdc_connector *c = arg;
    if (c->config->lsn_flush_mode != LSN_FLUSH_MANUAL) c->flush_lsn = MAX(c->flush_lsn, lsn);
}

static int status_send(struct cdc_connector *c, struct pg_error *err)
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
    fail(err, r, ingest_error(c->ingest)[0] ? ingest_error(c->ingest) : "the journal could not be written");
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
    return fail(err, -EPROTO, "the server sent a replication message that does not exist");
}

/* For callers of other threads: where we are, as far as it is durable and readers see it. */
static void position_show(struct cdc_connector *c)
{
    struct journal *j = c->stored->journal;

    if (!journal_has_position(j) || journal_is_ahead(j)) return; /* what is replayed is hidden until all of it came */
    pthread_mutex_lock(&c->lock);
    c->durable_lsn = journal_confirmed(j);
    offset_mark_look(&c->stored->mark, ingest_last(c->ingest), c->durable_lsn);
    pthread_mutex_unlock(&c->lock);
}

static enum kafka_error heartbeat_write(struct broker *broker, const char *topic, const struct change_record *record,
                                        struct err *err)
{
    if (topic_name_is_internal(slice_of(topic)))
        return err_set(err, KAFKA_INVALID_TOPIC_EXCEPTION, "%s is an internal topic", topic);
    enum kafka_error error = broker_topic_ensure(broker, topic, -1, NULL, 0, err);
    if (error != KAFKA_NONE) return error;
    struct partition_log *log = broker_partition(broker, topic, 0);
    if (!log) return err_set(err, KAFKA_STORAGE_ERROR, "its partition 0 is offline");
    error = broker_append_record(broker, log, record->key, record->value, NULL);
    partition_log_unref(log);
    return error == KAFKA_NONE ? error : err_set(err, error, "%s", kafka_error_text(error));
}

/* A record of its own, outside of units: heartbeats are not replayed. The stream does not fail with them; that they stop, and
 * come again, is told once each. */
static int heartbeat_emit(void *arg, const struct change_record *record)
{
    struct cdc_connector *c = arg;
    struct err why = ERR_NONE;
    AUTO_FREE char *topic = slice_strdup(record->topic);

    bool missed = heartbeat_write(c->cdc->broker, topic, record, &why) != KAFKA_NONE;
    if (missed && !c->heartbeat_missed)
        log_warn("cdc", "heartbeats cannot be written, the stream goes on connector=%s topic=%s cause=%s",
                 c->config->name, topic, why.text);
    else if (!missed && c->heartbeat_missed)
        log_info("cdc", "heartbeats are written again connector=%s topic=%s", c->config->name, topic);
    c->heartbeat_missed = missed;
    return 0;
}

/* heartbeat.action.query. When it fails only its effect is missing: told, and the stream goes on, as Debezium's. */
static int heartbeat_query(struct cdc_connector *c)
{
    const char *sql = c->config->heartbeat_action_query;
    struct pg_conn *catalog;
    struct pg_error why;

    if (!sql || !*sql) return 0;
    int r = connector_catalog(c, &catalog, &why);
    if (r == 0) r = pg_exec(catalog, sql, NULL, 0, 0, NULL, &why);
    if (r == 0 || r == -ECANCELED) return r;
    log_warn("cdc", "heartbeat.action.query failed, the stream goes on connector=%s cause=%s sqlstate=%s",
             c->config->name, why.text, why.sqlstate);
    pg_conn_close(c->catalog); /* it may stand in a transaction that failed, or still be busy */
    c->catalog = NULL;
    return 0;
}

static int heartbeat(struct cdc_connector *c, int64_t now_us)
{
    if (c->config->heartbeat_interval_ms <= 0 || now_us - c->heartbeat_us < c->config->heartbeat_interval_ms * 1000)
        return 0;
    c->heartbeat_us = now_us;
    int r = heartbeat_query(c);
    if (r < 0) return r;
    (void)!change_encoder_heartbeat(c->encoder, clock_system.wall_us(&clock_system) * 1000, heartbeat_emit, c);
    return 0;
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
    if (r == 0 && now_us - c->refresh_us >= REFRESH_US) {
        c->refresh_us = now_us;
        r = ingest_refresh_topics(c->ingest);
        if (r == 0 && ingest_is_quiet(c->ingest) && journal_store_wants_checkpoint(c->cdc->store, c->stored))
            r = journal_checkpoint(j);
        position_show(c);
        if (r == 0) r = config_return(c);
    }
    if (r == -ERESTART) return r;
    if (r == 0) r = journal_failed(j);
    if (r < 0) return journal_broke(c, r, err);
    if (idle && c->keepalive_lsn && now_us - c->idle_us >= IDLE_POSITION_US && ingest_is_quiet(c->ingest)) {
        c->idle_us = now_us;
        journal_idle(j, c->keepalive_lsn);
    }

    bool progress = c->flush_lsn > c->flush_sent_lsn && now_us - c->status_sent_us >= STATUS_US_MIN;
    if (progress || c->reply_wanted || now_us - c->status_sent_us >= c->config->status_update_interval_ms * 1000)
        r = status_send(c, err);
    if (r == 0) r = heartbeat(c, now_us);
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
    return status_send(c, err);
}

/* A pause as Connect's: the task stays started, its slot active, and nothing is read; what was read is durable and shown. */
static int stream_pause(struct cdc_connector *c, struct pg_error *err)
{
    if (atomic_load(&c->wish) != WISH_PAUSE) return -ECANCELED;
    int r = ingest_cut(c->ingest);
    if (r == 0) r = journal_drain(c->stored->journal);
    if (r < 0) return journal_broke(c, r, err);
    position_show(c);
    log_info("cdc", "paused connector=%s", c->config->name);
    r = status_send(c, err);
    if (r == 0) r = connector_hold(c, err);
    if (r == 0) log_info("cdc", "resumed connector=%s", c->config->name);
    return r;
}

static int stream_run(struct cdc_connector *c, struct pg_error *err)
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
            fail(err, -ECONNRESET, "the server ended the stream");
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
        if (poll(fds, countof(fds), idle_timeout_ms(c)) < 0 && errno != EINTR) return fail(err, -errno, "poll failed");
        if (fds[1].revents) connector_bell_read(c);
    }
}

static int stream_begin(struct cdc_connector *c, const struct plan *p, struct pg_error *err)
{
    uint64_t lsn = journal_position(c->stored->journal).whole_lsn;

    if (c->config->streaming_delay_ms > 0) (void)c->wait.wait(c, -1, 0, (int)c->config->streaming_delay_ms);
    if (server_remember(c->stored->journal, p->server) < 0) return fail(err, -EIO, "the journal could not be written");
    int r = stream_connect(c, err);
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
    return status_send(c, err);
}

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
    struct plan p = {0};

    int r = plan_make(c, &p, err);
    if (r == 0 && p.snapshot) r = take_snapshot(c, &p, err);
    else if (r == 0 && !journal_has_position(c->stored->journal)) r = begin_without_snapshot(c, &p, err);
    plan_done(&p);
    if (r < 0) return r;
    position_show(c);
    if (!is_streaming_wanted(c->config)) return rest(c);
    r = stream_begin(c, &p, err);
    return r < 0 ? refused(err, r, "START_REPLICATION") : stream_run(c, err);
}

void session_end(struct cdc_connector *c)
{
    struct journal *j = c->stored->journal;
    struct pg_error ignored;

    c->stays = false;
    if (!journal_failed(j) && c->streamed && ingest_cut(c->ingest) == 0 && connector_is_unwanted(c) &&
        journal_drain(j) == 0 && c->stream) {
        /* An orderly end: the slot is free when it returns. The wish must not cancel it. */
        enum connector_wish wish = (enum connector_wish)atomic_exchange(&c->wish, WISH_RUN);
        if (status_send(c, &ignored) == 0) (void)!pg_copy_end(c->stream, END_TIMEOUT_MS, &ignored);
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
    if (!journal_failed(j)) position_show(c);
}
