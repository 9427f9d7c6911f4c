/* cdc/snapshot.h: the initial snapshot: every captured table, row by row, on one exported snapshot of the database.
 *
 * Rows stream from COPY to batches, so memory does not depend on the size of tables. Everything is hidden until the last
 * row is in and durable; whatever ends it before, ends it without a trace (journal.h).
 * Threads: the connector's. */
#ifndef OTTLA_CDC_SNAPSHOT_H
#define OTTLA_CDC_SNAPSHOT_H

#include "cdc/ingest.h"
#include "cdc/slot.h"

struct snapshot_env {
    const struct pg_connector_config *config;
    struct change_encoder *encoder;
    struct ingest *ingest;
    struct journal *journal;
    struct pg_conn *conn;      /* ordinary; in no transaction */
    const char *snapshot_name; /* exported; NULL: take one of its own */
    uint64_t lsn;              /* the consistent point; 0: take the server's position */
    const struct pg_table_list *tables;
    int (*between)(void *arg); /* called often: syncs, stop requests; non-zero ends the snapshot */
    void *arg;
};

/* Reads all tables and completes in the journal; streaming goes on from ret_last->whole_lsn. On an error nothing of it is
 * left. */
int snapshot_run(const struct snapshot_env *e, struct source_offset *ret_last, struct pg_error *err) WARN_UNUSED;

/* One line of COPY's text format into values, unescaped in place: for the snapshot and its tests. line is without the final
 * newline; false: damaged, or another number of columns. Source: PostgreSQL documentation, COPY, "Text Format". */
bool copy_line_parse(char *line, uint32_t len, struct tuple_value *values, uint32_t count);

#endif
