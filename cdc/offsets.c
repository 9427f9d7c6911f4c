/* cdc/offsets.c: the position as people know it from Debezium, for the REST API and for connect-offsets, which connect writes.
 * Only to be looked at: what counts is the journal. */
#include "cdc/connector_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* "text" as a JSON string: malloc'd. Names of connectors and topic prefixes; control characters become blanks. */
static char *json_string(const char *text)
{
    char *out = xmalloc(strlen(text) * 2 + 3), *p = out;

    *p++ = '"';
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') *p++ = '\\';
        *p++ = (uint8_t)*text < 0x20 ? ' ' : *text;
    }
    *p++ = '"';
    *p = '\0';
    return out;
}

static char *offset_partition_json(const char *topic_prefix)
{
    AUTO_FREE char *server = json_string(topic_prefix);
    return xasprintf("{\"server\":%s}", server);
}

/* The committed position as Debezium's offset, malloc'd JSON. last may be empty: position only. */
static char *offset_json(const struct ingest_last *last, struct journal_position position)
{
    char commit[48] = "";

    if (!last->operation) /* a snapshot, or nothing yet in this run */
        return xasprintf("{\"last_snapshot_record\":true,\"lsn\":%" PRIu64
                         ",\"txId\":null,\"ts_usec\":null,\"snapshot\":\"INITIAL\",\"snapshot_completed\":true}",
                         position.whole_lsn);
    if (last->commit_lsn) snprintf(commit, sizeof commit, ",\"lsn_commit\":%" PRIu64, last->commit_lsn);
    return xasprintf("{\"lsn_proc\":%" PRIu64 ",\"lsn_events_processed\":%" PRIu64
                     ",\"messageType\":\"%s\"%s,\"lsn\":%" PRIu64 ",\"txId\":%" PRId64 ",\"ts_usec\":%" PRId64 "}",
                     last->lsn, last->events_processed, last->operation, commit, last->lsn, last->xid, last->time_us);
}

bool cdc_offsets_get(struct cdc *cdc, const char *name, const char *topic_prefix, char **ret_partition_json,
                     char **ret_offset_json)
{
    struct ingest_last last = {0};
    struct journal_position position = {0};
    bool running = false;

    pthread_mutex_lock(&cdc->lock);
    for (struct cdc_connector *c = cdc->connectors; c; c = c->next) {
        if (strcmp(c->config->name, name) != 0 || strcmp(c->config->topic_prefix, topic_prefix) != 0) continue;
        running = true;
        pthread_mutex_lock(&c->lock);
        last = c->last;
        position = c->position;
        pthread_mutex_unlock(&c->lock);
    }
    pthread_mutex_unlock(&cdc->lock);
    if (!running) (void)journal_store_position(cdc->store, name, topic_prefix, &position);
    if (position.whole_lsn == 0) return false;
    *ret_partition_json = offset_partition_json(topic_prefix);
    *ret_offset_json = offset_json(&last, position);
    return true;
}

int cdc_offsets_delete(struct cdc *cdc, const char *name, const char *topic_prefix)
{
    int r = journal_store_reset(cdc->store, name, topic_prefix);
    return r == -ENOENT ? 0 : r;
}
