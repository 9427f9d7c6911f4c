/* cdc/slot.c: replication slots; publications are in publication.c. */
#include "cdc/slot.h"

#include "cdc/pg_lsn.h"
#include "cdc/relation.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

static int refuse(struct pg_error *err, const char *format, ...) PRINTF_LIKE(2, 3);
static int refuse(struct pg_error *err, const char *format, ...)
{
    va_list ap;

    *err = (struct pg_error){0};
    va_start(ap, format);
    vsnprintf(err->text, sizeof err->text, format, ap);
    va_end(ap);
    return -EREMOTEIO;
}

/* timeout_ms as of pg_exec(). */
static int one_row(struct pg_conn *c, const char *sql, int timeout_ms, struct pg_result **ret_result,
                   struct pg_error *err)
{
    int r = pg_exec(c, sql, NULL, 0, timeout_ms, ret_result, err);

    if (r < 0) return r;
    if (pg_result_rows(*ret_result) == 1) return 0;
    pg_result_free(*ret_result);
    return refuse(err, "unexpected answer of the server to: %s", sql);
}

int slot_check_server(struct pg_conn *c, struct pg_error *err)
{
    struct pg_result *result;

    int r = one_row(c, "SHOW wal_level", 0, &result, err);
    if (r < 0) return r;
    if (strcmp(pg_result_text(result, 0, 0), "logical") != 0)
        r = refuse(err, "Postgres server wal_level property must be 'logical' but is: '%s'",
                   pg_result_text(result, 0, 0));
    pg_result_free(result);
    if (r < 0) return r;

    /* Managed services have roles of their own for it. */
    r = one_row(c,
                "SELECT bool_or(rolsuper OR rolreplication OR rolname IN ('rds_superuser', 'rds_replication', "
                "'azure_pg_admin', "
                "'cloudsqlsuperuser')), current_user FROM pg_roles WHERE pg_has_role(current_user, oid, 'member')",
                0, &result, err);
    if (r < 0) return r;
    if (pg_result_text(result, 0, 0)[0] != 't')
        r = refuse(err, "Postgres roles LOGIN and REPLICATION are not assigned to user: %s",
                   pg_result_text(result, 0, 1));
    pg_result_free(result);
    return r;
}

int slot_wal_end(struct pg_conn *c, uint64_t *ret_lsn, bool *ret_in_recovery, struct pg_error *err)
{
    struct pg_result *result;

    int r = one_row(c,
                    "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, "
                    "pg_is_in_recovery()",
                    0, &result, err);
    if (r < 0) return r;
    if (ret_in_recovery) *ret_in_recovery = pg_result_text(result, 0, 1)[0] == 't';
    if (!pg_lsn_parse(pg_result_value(result, 0, 0), ret_lsn)) r = refuse(err, "the server gives no WAL position");
    pg_result_free(result);
    return r;
}

int slot_read(struct pg_conn *c, const char *name, struct slot *ret_slot, struct pg_error *err)
{
    struct pg_result *result;
    const char *params[] = {name};
    const char *sql = pg_conn_server_version(c) >= 130000
                          ? "SELECT plugin, database, active, restart_lsn, confirmed_flush_lsn, coalesce(wal_status, "
                            "''), catalog_xmin FROM "
                            "pg_replication_slots WHERE slot_name = $1"
                          : "SELECT plugin, database, active, restart_lsn, confirmed_flush_lsn, '', catalog_xmin FROM "
                            "pg_replication_slots WHERE slot_name = $1";

    int r = pg_exec(c, sql, params, 1, 0, &result, err);
    if (r < 0) return r;
    *ret_slot = (struct slot){.exists = pg_result_rows(result) == 1};
    if (ret_slot->exists) {
        snprintf(ret_slot->plugin, sizeof ret_slot->plugin, "%s", pg_result_text(result, 0, 0));
        snprintf(ret_slot->database, sizeof ret_slot->database, "%s", pg_result_text(result, 0, 1));
        ret_slot->active = pg_result_text(result, 0, 2)[0] == 't';
        if (!pg_lsn_parse(pg_result_value(result, 0, 3), &ret_slot->restart_lsn)) ret_slot->lost = true;
        (void)pg_lsn_parse(pg_result_value(result, 0, 4),
                           &ret_slot->confirmed_flush_lsn); /* null until the first confirmation */
        ret_slot->catalog_xmin = strtoll(pg_result_text(result, 0, 6), NULL, 10);
        if (strcmp(pg_result_text(result, 0, 5), "lost") == 0) ret_slot->lost = true;
    }
    pg_result_free(result);
    return 0;
}

int slot_create(struct pg_conn *replication, const char *name, bool temporary, bool failover,
                uint64_t *ret_consistent_lsn, char ret_snapshot_name[SLOT_SNAPSHOT_NAME_BYTES], struct pg_error *err)
{
    struct pg_result *result;
    AUTO_FREE char *quoted = pg_quote_identifier(name);
    AUTO_FREE char *sql = NULL;

    if (failover && !temporary && pg_conn_server_version(replication) >= 170000)
        sql = xasprintf("CREATE_REPLICATION_SLOT %s LOGICAL pgoutput (SNAPSHOT 'export', FAILOVER)", quoted);
    else
        sql = xasprintf("CREATE_REPLICATION_SLOT %s%s LOGICAL pgoutput EXPORT_SNAPSHOT", quoted,
                        temporary ? " TEMPORARY" : "");
    /* It waits for every transaction that runs; giving up would leave the server waiting, with the slot half made. */
    int r = one_row(replication, sql, PG_NO_LIMIT, &result, err);
    if (r < 0) return r;
    if (!pg_lsn_parse(pg_result_value(result, 0, 1), ret_consistent_lsn))
        r = refuse(err, "the server made slot %s without a position", name);
    snprintf(ret_snapshot_name, SLOT_SNAPSHOT_NAME_BYTES, "%s", pg_result_text(result, 0, 2));
    pg_result_free(result);
    return r;
}

int slot_drop(struct pg_conn *c, const char *name, struct pg_error *err)
{
    const char *params[] = {name};
    return pg_exec(c, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1",
                   params, 1, 0, NULL, err);
}

/* "k=v;k=v" as ", k 'v', k 'v'": malloc'd. */
static char *stream_params(const char *text)
{
    char *out = xstrdup("");
    AUTO_FREE char *copy = xstrdup(text ? text : "");

    for (char *save, *word = strtok_r(copy, ";", &save); word; word = strtok_r(NULL, ";", &save)) {
        char *equals = strchr(word, '=');
        if (!equals) continue;
        *equals = '\0';
        AUTO_FREE char *name = pg_quote_identifier(word);
        AUTO_FREE char *value = pg_quote_literal(equals + 1);
        char *longer = xasprintf("%s, %s %s", out, name, value);
        free(out);
        out = longer;
    }
    return out;
}

int slot_start(struct pg_conn *replication, const struct pg_connector_config *config, uint64_t lsn,
               struct pg_error *err)
{
    AUTO_FREE char *slot = pg_quote_identifier(config->slot_name);
    AUTO_FREE char *publication = pg_quote_identifier(config->publication_name);
    AUTO_FREE char *publications = pg_quote_literal(publication);
    AUTO_FREE char *more = stream_params(config->slot_stream_params);
    const char *messages = pg_conn_server_version(replication) >= 140000 ? ", messages 'true'" : "";
    AUTO_FREE char *sql =
        xasprintf("START_REPLICATION SLOT %s LOGICAL " PG_LSN_FMT " (proto_version '1', publication_names %s%s%s)",
                  slot, PG_LSN_ARG(lsn), publications, messages, more);

    return pg_copy_begin(replication, sql, 0, err);
}

/* -- tables -- */

int tables_read(struct pg_conn *c, const struct pg_connector_config *config, struct pg_table_list *ret_tables,
                struct pg_error *err)
{
    struct pg_result *result;
    struct pg_table_list l = {0};

    int r = pg_exec(c, relation_tables_sql, NULL, 0, 0, &result, err);
    if (r < 0) return r;
    int rows = pg_result_rows(result);
    l.tables = xcalloc((size_t)rows + 1, sizeof *l.tables);
    for (int i = 0; i < rows; i++) {
        const char *schema = pg_result_text(result, i, 1), *name = pg_result_text(result, i, 2);
        bool is_root = pg_result_text(result, i, 3)[0] == 'p', is_partition = pg_result_text(result, i, 5)[0] == 't';
        if (!connector_config_captures(config, schema, name)) continue;
        l.tables[l.count++] =
            (struct pg_table){.oid = (uint32_t)strtoul(pg_result_text(result, i, 0), NULL, 10),
                              .schema = xstrdup(schema),
                              .name = xstrdup(name),
                              .streams = config->publish_via_partition_root ? !is_partition : !is_root,
                              .replica_identity = pg_result_text(result, i, 4)[0],
                              .rows = strtod(pg_result_text(result, i, 6), NULL)};
    }
    pg_result_free(result);
    *ret_tables = l;
    return 0;
}

void tables_done(struct pg_table_list *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        free(l->tables[i].schema);
        free(l->tables[i].name);
    }
    free(l->tables);
    *l = (struct pg_table_list){0};
}
