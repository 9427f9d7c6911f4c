/* cdc/table_sweep.c: forgets the versions of tables that give no rows any more, so that the journal does not grow with every
 * table that ever was.
 *
 *   many versions? ─> which tables does the publication not have? ─> where does the server's log end? ─> stream past it ─> forget
 *
 * A table that was dropped, or taken out of the publication, has no row behind that end; one that is published again is described
 * again, and its next row is resolved and journalled as a first one. So to forget one too many only costs a question.
 * Threads: the connector's. */
#include "cdc/session_internal.h"

#include "base/bytes.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>

#define VERSIONS_MIN 64 /* fewer cost nothing: the catalog is not asked */

static const char gone_sql[] =
    "SELECT o FROM unnest($1::oid[]) AS o WHERE NOT EXISTS (SELECT FROM pg_publication_tables p JOIN pg_namespace n ON "
    "n.nspname = p.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename WHERE p.pubname = "
    "$2 AND c.oid = o)";

/* The tables of the journal as an array of PostgreSQL. */
static void oids_write(const struct journal *j, struct bytes *out)
{
    AUTO_FREE uint32_t *oids = NULL;
    uint32_t count = journal_relation_oids(j, &oids);
    char text[16];

    bytes_append_byte(out, '{');
    for (uint32_t i = 0; i < count; i++) {
        if (oids[i] == 0 || oids[i] == UINT32_MAX) continue; /* no tables: server.c, former_config.c */
        snprintf(text, sizeof text, "%s%u", out->len > 1 ? "," : "", oids[i]);
        bytes_append_text(out, text);
    }
    bytes_append(out, "}", 2); /* with its NUL */
}

static int look(struct cdc_connector *c, struct pg_error *err)
{
    struct table_sweep *s = &c->sweep;
    struct bytes oids = {0};
    struct pg_result *result;
    struct pg_conn *catalog;

    int r = connector_catalog(c, &catalog, err);
    if (r < 0) return r;
    oids_write(c->stored->journal, &oids);
    const char *params[] = {(const char *)oids.ptr, c->config->publication_name};
    r = oids.failed ? session_fail(err, -ENOMEM, "no memory for a list of tables")
                    : pg_exec(catalog, gone_sql, params, countof(params), 0, &result, err);
    bytes_done(&oids);
    if (r < 0) return r;
    s->gone_count = (uint32_t)pg_result_rows(result);
    s->gone = xcalloc(s->gone_count + 1, sizeof *s->gone);
    for (uint32_t i = 0; i < s->gone_count; i++)
        s->gone[i] = (uint32_t)strtoul(pg_result_text(result, (int)i, 0), NULL, 10);
    pg_result_free(result);
    return slot_wal_end(catalog, &s->wal_end, NULL, err); /* asked after the tables: rows of theirs stand before it */
}

int session_sweep_tables(struct cdc_connector *c, struct pg_error *err)
{
    struct table_sweep *s = &c->sweep;
    struct journal *j = c->stored->journal;

    if (!s->gone) {
        if (journal_relations_count(j) < MAX(VERSIONS_MIN, 2 * s->versions_left)) return 0;
        int r = look(c, err);
        if (r < 0) return r;
    }
    if (!ingest_is_quiet(c->ingest) || !journal_may_change(j, s->wal_end)) return 0; /* later */
    for (uint32_t i = 0; i < s->gone_count; i++) {
        (void)journal_relation_forget(j, s->gone[i], s->wal_end);
        ingest_forget_table(c->ingest, s->gone[i]);
    }
    if (s->gone_count > 0)
        log_info("cdc", "tables that give no rows any more are forgotten connector=%s tables=%u", c->config->name,
                 s->gone_count);
    session_sweep_end(c);
    s->versions_left = journal_relations_count(j);
    return 0;
}

void session_sweep_end(struct cdc_connector *c)
{
    free(c->sweep.gone);
    c->sweep = (struct table_sweep){0};
}
