/* cdc/session_plan.c: before the stream: what the server has is compared with what the journal knows, and it is decided how to go on.
 *
 *   check ─> server ─> tables ─> slot ─> is a snapshot due? ─> configuration ─> replica identities ─> publication
 *
 * Refuses where going on would lose changes or repeat them: the slot is gone, was moved, or the server's log is another one.
 * Threads: the connector's. */
#include "cdc/session_internal.h"

#include "base/log.h"
#include "cdc/former_config.h"
#include "cdc/pg_lsn.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

void session_plan_done(struct session_plan *p)
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
static char *slot_trouble(const struct session_plan *p, uint64_t lsn)
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

static int slot_is_gone(struct cdc_connector *c, const struct session_plan *p, struct pg_error *err)
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
static int server_is_another(const struct cdc_connector *c, const struct session_plan *p, struct pg_error *err)
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
static int begin_anew(struct cdc_connector *c, struct session_plan *p, struct pg_error *err)
{
    struct err why;

    log_warn("cdc", "a new snapshot is taken: the server %s connector=%s", p->server_trouble, c->config->name);
    int r = journal_store_begin_anew(c->cdc->store, c->stored, &why);
    pthread_mutex_lock(&c->lock);
    c->stored->mark = (struct offset_mark){0};
    c->durable_lsn = 0;
    pthread_mutex_unlock(&c->lock);
    ingest_set_stored(c->ingest, c->stored);
    return r < 0 ? session_fail(err, -EIO, why.text) : 0;
}

/* Is a snapshot due? Also refuses where the stream cannot be continued. */
static int plan_snapshot(struct cdc_connector *c, struct session_plan *p, struct pg_error *err)
{
    const struct pg_connector_config *config = c->config;
    bool known = journal_has_position(c->stored->journal);
    bool gone = known && (p->server_trouble || !p->slot.exists || p->slot.lost || slot_has_passed_us(c, &p->slot));

    if (p->slot.exists && strcmp(p->slot.plugin, "pgoutput") != 0)
        return session_fail(
            err, -EREMOTEIO,
            "the replication slot exists and uses another plugin than pgoutput: drop it, or choose another slot.name");
    if (p->slot.exists && strcmp(p->slot.database, config->dbname) != 0)
        return session_fail(err, -EREMOTEIO,
                            "the replication slot exists and belongs to another database: choose another slot.name");
    switch (config->snapshot_mode) {
    case SNAPSHOT_INITIAL_ONLY: p->snapshot = !known; return 0;
    case SNAPSHOT_WHEN_NEEDED:
        p->snapshot = !known || gone;
        if (p->server_trouble) return begin_anew(c, p, err);
        if (!gone || !(journal_is_ahead(c->stored->journal) || journal_position(c->stored->journal).part_lsn)) return 0;
        log_warn("cdc", "records that waited for a replay are shown as they are connector=%s", config->name);
        return journal_give_up_replay(c->stored->journal) < 0
                   ? session_fail(err, -EIO, "the journal could not be written")
                   : 0;
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
    return r < 0 ? session_fail(err, -EIO, "the journal could not be written") : 0;
}

int session_config_return(struct cdc_connector *c)
{
    if (c->config == c->posted || !ingest_is_quiet(c->ingest)) return 0;
    int r = journal_config_change(c->stored->journal, connector_config_output_hash(c->posted));
    return r == -EBUSY ? 0 : r == 0 ? -ERESTART : r;
}

/* Is it the server whose stream we read? A standby may have to replay up to our position yet. */
static int plan_server(struct cdc_connector *c, struct session_plan *p, struct pg_error *err)
{
    struct journal *j = c->stored->journal;
    uint64_t lsn = journal_position(j).whole_lsn;

    int r = session_connect(c, err);
    if (r == 0) r = server_identify(c->stream, &p->server, err);
    if (r < 0 || !journal_has_position(j)) return r;
    if (p->wal_end < lsn && p->in_recovery) {
        r = session_fail(err, -EAGAIN, "the standby has not replayed up to the connector's position yet");
        err->retriable = true;
        return r;
    }
    return server_check(c->stream, server_known(j), p->server, lsn, p->wal_end, &p->server_trouble, err);
}

int session_plan_make(struct cdc_connector *c, struct session_plan *p, struct pg_error *err)
{
    struct pg_conn *catalog;

    int r = c->ingest ? 0 : -EINVAL;
    if (r == 0) r = connector_catalog(c, &catalog, err);
    if (r < 0) return r;
    if (session_streams(c->config)) r = slot_check_server(catalog, err);
    if (r == 0) r = slot_wal_end(catalog, &p->wal_end, &p->in_recovery, err);
    if (r == 0 && session_streams(c->config)) r = plan_server(c, p, err);
    if (r == 0) r = tables_read(catalog, c->config, &p->tables, err);
    if (r == 0) r = slot_read(catalog, c->config->slot_name, &p->slot, err);
    if (r == 0) r = plan_snapshot(c, p, err);
    if (r == 0) r = config_apply(c, err);
    if (r == 0)
        r = session_refused(err, replica_identity_set(catalog, c->config, &p->tables, err),
                            "replica.identity.autoset.values");
    if (r == 0 && session_streams(c->config))
        r = session_refused(err, publication_ensure(catalog, c->config, &p->tables, err),
                            "publication.autocreate.mode");
    return r;
}
