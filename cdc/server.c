/* cdc/server.c: see server.h. */
#include "cdc/server.h"

#include "base/bytes.h"
#include "cdc/pg_lsn.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define SERVER_OID     0        /* of the journal's RELATION records that tell of the server: no table has it */
#define IDENTITY_BYTES (8 + 4u) /* system, timeline */

/* They hold from everywhere on, so that the newest is the last that was written, wherever recovery finds the position. */
static const struct journal_position everywhere = {0};

static int unexpected(struct pg_result *result, const char *statement, struct pg_error *err)
{
    pg_result_free(result);
    *err = (struct pg_error){0};
    snprintf(err->text, sizeof err->text, "unexpected answer of the server to: %s", statement);
    return -EREMOTEIO;
}

int server_identify(struct pg_conn *replication, struct server_identity *ret_server, struct pg_error *err)
{
    static const char statement[] = "IDENTIFY_SYSTEM";
    struct pg_result *result;

    int r = pg_exec(replication, statement, NULL, 0, 0, &result, err);
    if (r < 0) return r;
    if (pg_result_rows(result) != 1 || pg_result_columns(result) < 2) return unexpected(result, statement, err);
    *ret_server = (struct server_identity){.system = strtoull(pg_result_text(result, 0, 0), NULL, 10),
                                           .timeline = (uint32_t)strtoul(pg_result_text(result, 0, 1), NULL, 10)};
    pg_result_free(result);
    return 0;
}

/* -- the journal -- */

struct server_identity server_known(struct journal *j)
{
    struct journal_relation_record r;
    struct journal_position until;

    if (!journal_relation_find(j, SERVER_OID, everywhere, SLICE_EMPTY, &r, &until) || r.resolved.len != IDENTITY_BYTES)
        return (struct server_identity){0};
    return (struct server_identity){.system = be64_load(r.resolved.ptr), .timeline = be32_load(r.resolved.ptr + 8)};
}

int server_remember(struct journal *j, struct server_identity server)
{
    struct server_identity known = server_known(j);
    uint8_t bytes[IDENTITY_BYTES];

    if (known.system == server.system && known.timeline == server.timeline) return 0;
    be64_store(bytes, server.system);
    be32_store(bytes + 8, server.timeline);
    return journal_relation_add(j, &(struct journal_relation_record){.oid = SERVER_OID,
                                                                     .from = everywhere,
                                                                     .shape = SLICE_EMPTY,
                                                                     .resolved = slice_make(bytes, sizeof bytes)});
}

/* -- the comparison -- */

uint64_t server_timeline_end(const char *history, uint32_t left)
{
    for (const char *line = history; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        char *at;
        uint32_t timeline = (uint32_t)strtoul(line, &at, 10);
        uint64_t lsn;
        if (at == line || timeline != left) continue; /* a comment, or another one */
        at += strspn(at, " \t");
        if (pg_lsn_parse(slice_make(at, (uint32_t)strcspn(at, " \t\n")), &lsn)) return lsn;
    }
    return 0;
}

static int timeline_end(struct pg_conn *replication, uint32_t now, uint32_t left, uint64_t *ret_lsn,
                        struct pg_error *err)
{
    AUTO_FREE char *statement = xasprintf("TIMELINE_HISTORY %u", now);
    struct pg_result *result;

    *ret_lsn = 0;
    if (now < left) return 0;
    int r = pg_exec(replication, statement, NULL, 0, 0, &result, err);
    if (r < 0) return r;
    if (pg_result_rows(result) != 1 || pg_result_columns(result) != 2) return unexpected(result, statement, err);
    *ret_lsn = server_timeline_end(pg_result_text(result, 0, 1), left);
    pg_result_free(result);
    return 0;
}

int server_check(struct pg_conn *replication, struct server_identity known, struct server_identity now, uint64_t lsn,
                 uint64_t wal_end, char **ret_why, struct pg_error *err)
{
    uint64_t left_at;

    *ret_why = NULL;
    if (known.system && known.system != now.system) {
        *ret_why = xasprintf("is another one: its system identifier is %" PRIu64
                             ", the position belongs to the server %" PRIu64
                             " (after an upgrade or a restore from a dump it is a new server)",
                             now.system, known.system);
        return 0;
    }
    if (known.system && known.timeline != now.timeline) {
        int r = timeline_end(replication, now.timeline, known.timeline, &left_at, err);
        if (r < 0) return r;
        if (left_at < lsn) {
            *ret_why =
                xasprintf("was restored from a backup, or a standby took over before it had received everything: "
                          "its timeline %u left our timeline %u at " PG_LSN_FMT,
                          now.timeline, known.timeline, PG_LSN_ARG(left_at));
            return 0;
        }
    }
    if (wal_end < lsn)
        *ret_why =
            xasprintf("was restored from a backup, or a standby took over before it had received everything: its "
                      "WAL ends at " PG_LSN_FMT,
                      PG_LSN_ARG(wal_end));
    return 0;
}
