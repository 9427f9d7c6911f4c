/* cdc/offsets.c: see offsets.h; and the position of a connector for connector.h, running or at rest. */
#include "cdc/offsets.h"

#include "cdc/connector_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

void offset_mark_look(struct offset_mark *m, const struct source_offset *now, uint64_t durable_lsn)
{
    /* Only one is noted at a time: under load the newest is never durable. */
    if (m->noted.whole_lsn == 0 && now->whole_lsn > m->told.whole_lsn) m->noted = *now;
    if (m->noted.whole_lsn == 0 || m->noted.whole_lsn > durable_lsn) return;
    m->told = now->whole_lsn <= durable_lsn && now->whole_lsn > m->noted.whole_lsn ? *now : m->noted;
    m->noted.whole_lsn = 0;
}

char *source_offset_json(const struct source_offset *o)
{
    char commit[48] = "";

    if (o->snapshot)
        return xasprintf("{\"last_snapshot_record\":true,\"lsn\":%" PRIu64 ",\"txId\":%" PRId64 ",\"ts_usec\":%" PRId64
                         ",\"snapshot\":\"INITIAL\",\"snapshot_completed\":true}",
                         o->lsn, o->xid, o->time_us);
    if (o->commit_lsn) snprintf(commit, sizeof commit, ",\"lsn_commit\":%" PRIu64, o->commit_lsn);
    return xasprintf("{\"lsn_proc\":%" PRIu64 ",\"lsn_events_processed\":%" PRIu64
                     ",\"messageType\":\"%s\"%s,\"lsn\":%" PRIu64 ",\"txId\":%" PRId64 ",\"ts_usec\":%" PRId64 "}",
                     o->lsn, o->events_processed, o->operation, commit, o->lsn, o->xid, o->time_us);
}

bool cdc_offsets_get(struct cdc *cdc, const char *name, const char *topic_prefix, char **ret_offset_json,
                     uint64_t *ret_lsn)
{
    struct source_offset offset = {0};
    uint64_t durable_lsn = 0;
    bool running = false;

    pthread_mutex_lock(&cdc->lock);
    for (struct cdc_connector *c = cdc->connectors; c; c = c->next) {
        if (strcmp(c->config->name, name) != 0 || strcmp(c->config->topic_prefix, topic_prefix) != 0) continue;
        running = true;
        pthread_mutex_lock(&c->lock);
        offset = c->stored->mark.told;
        durable_lsn = c->durable_lsn;
        pthread_mutex_unlock(&c->lock);
    }
    pthread_mutex_unlock(&cdc->lock);
    if (!running) (void)journal_store_position(cdc->store, name, topic_prefix, &durable_lsn, &offset);
    if (durable_lsn == 0) return false;
    *ret_offset_json = offset.whole_lsn ? source_offset_json(&offset) : NULL;
    *ret_lsn = durable_lsn;
    return true;
}

int cdc_offsets_delete(struct cdc *cdc, const char *name, const char *topic_prefix)
{
    int r = journal_store_reset(cdc->store, name, topic_prefix);
    return r == -ENOENT ? 0 : r;
}

int cdc_offsets_set(struct cdc *cdc, const char *name, const char *topic_prefix, uint64_t lsn, struct err *err)
{
    struct stored_journal *stored;

    int r = cdc_offsets_delete(cdc, name, topic_prefix);
    if (r < 0) return err_set(err, r, "the former position cannot be forgotten: %s", strerror(-r));
    r = journal_store_take(cdc->store, name, topic_prefix, &stored, err);
    if (r < 0) return r;
    r = journal_snapshot_end(stored->journal, lsn); /* durable when it returns */
    journal_store_give(cdc->store, stored);
    return r < 0 ? err_set(err, r, "the journal could not be written: %s", strerror(-r)) : 0;
}
