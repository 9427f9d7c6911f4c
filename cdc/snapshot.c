/* cdc/snapshot.c: see snapshot.h. Which row is the last of its table, or of all, is only known when the next one or the end
 * has come: one row is held back. */
#include "cdc/snapshot.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "cdc/catalog.h"
#include "cdc/failpoint.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#define KEYLESS_ROWS 1000 /* rows without a key that share a partition before the next one has its turn */

/* A row that waits until it is known what follows it. */
struct held_row {
    bool present;
    bool first_of_all, first_of_table;
    const struct relation *relation;
    struct bytes line;
    struct tuple_value *values;
    uint32_t values_count, values_size;
};

struct snapshot {
    const struct snapshot_env *env;
    struct source_position position;
    struct held_row held;
    struct held_row next;
    uint64_t rows;
    struct relation **relations; /* of the tables read so far: a held row may outlive its table */
    uint32_t relations_count;
};

/* -- COPY's text format -- */

static char *unescape(char *p, const char *end, char *to)
{
    while (p < end) {
        if (*p != '\\' || p + 1 == end) {
            *to++ = *p++;
            continue;
        }
        p++;
        switch (*p) {
        case 'b': *to++ = '\b', p++; break;
        case 'f': *to++ = '\f', p++; break;
        case 'n': *to++ = '\n', p++; break;
        case 'r': *to++ = '\r', p++; break;
        case 't': *to++ = '\t', p++; break;
        case 'v': *to++ = '\v', p++; break;
        default: *to++ = *p++; /* the server writes no octal or hex forms */
        }
    }
    return to;
}

bool copy_line_parse(char *line, uint32_t len, struct tuple_value *values, uint32_t count)
{
    char *p = line, *end = line + len;

    for (uint32_t i = 0; i < count; i++) {
        char *tab = memchr(p, '\t', (size_t)(end - p));
        char *field_end = tab ? tab : end;
        if (!tab != (i + 1 == count)) return false;
        if (field_end - p == 2 && p[0] == '\\' && p[1] == 'N') {
            values[i] = (struct tuple_value){.kind = TUPLE_NULL};
        } else {
            char *text_end = memchr(p, '\\', (size_t)(field_end - p)) ? unescape(p, field_end, p) : field_end;
            values[i] = (struct tuple_value){.kind = TUPLE_TEXT, .text = slice_make(p, (uint32_t)(text_end - p))};
        }
        p = field_end + 1;
    }
    return count > 0 || len == 0;
}

/* -- rows -- */

static int fail(struct pg_error *err, int error, const char *text)
{
    *err = (struct pg_error){0};
    snprintf(err->text, sizeof err->text, "%s", text);
    return error;
}

static int row_read(struct held_row *row, const struct relation *relation, struct slice line)
{
    if (line.len > 0 && line.ptr[line.len - 1] == '\n') line.len--;
    bytes_reset(&row->line);
    bytes_append(&row->line, line.ptr, line.len);
    bytes_append_byte(&row->line, '\0');
    if (row->line.failed) return -ENOMEM;
    if (row->values_size < relation->columns_count) {
        row->values_size = relation->columns_count;
        row->values = xrealloc(row->values, row->values_size * sizeof *row->values);
    }
    row->values_count = relation->columns_count;
    row->relation = relation;
    row->present = true;
    return copy_line_parse((char *)row->line.ptr, line.len, row->values, row->values_count) ? 0 : -EBADMSG;
}

/* Emits the held row, now that it is known whether its table, or everything, ends with it. */
static int held_emit(struct snapshot *s, bool last_of_table, bool last_of_all, struct pg_error *err)
{
    struct err why = ERR_NONE;
    struct held_row *row = &s->held;

    if (!row->present) return 0;
    row->present = false;
    s->position.marker = last_of_all           ? SNAPSHOT_LAST
                         : row->first_of_all   ? SNAPSHOT_FIRST
                         : last_of_table       ? SNAPSHOT_LAST_IN_DATA_COLLECTION
                         : row->first_of_table ? SNAPSHOT_FIRST_IN_DATA_COLLECTION
                                               : SNAPSHOT_TRUE;
    s->position.now_ns = clock_system.wall_us(&clock_system) * 1000;
    ingest_set_keyless(s->env->ingest, s->rows / KEYLESS_ROWS);
    s->rows++;
    FAILPOINT("snapshot-row");
    struct tuple tuple = {.count = row->values_count, .values = row->values};
    int r = change_encoder_row(s->env->encoder, row->relation, CHANGE_READ, NULL, &tuple, &s->position, ingest_emit,
                               s->env->ingest, &why);
    return r < 0 ? fail(err, r, why.text[0] ? why.text : ingest_error(s->env->ingest)) : 0;
}

/* COPY of the table, or of what snapshot.select.statement.overrides.SCHEMA.TABLE selects: malloc'd. */
static char *table_sql(const struct snapshot *s, const struct relation *relation)
{
    AUTO_FREE char *property =
        xasprintf("snapshot.select.statement.overrides.%s.%s", relation->schema, relation->table);
    const char *given = connector_config_get(s->env->config, property);

    if (!given) return relation_select_sql(relation, true);
    struct bytes columns = {0};
    for (uint32_t i = 0; i < relation->columns_count; i++) {
        AUTO_FREE char *name = pg_quote_identifier(relation->columns[i].name);
        bytes_append_text(&columns, i ? ", " : "");
        bytes_append_text(&columns, name);
    }
    char *sql = xasprintf("COPY (SELECT %.*s FROM (%s) AS chosen) TO STDOUT", (int)columns.len,
                          (const char *)columns.ptr, given);
    bytes_done(&columns);
    return sql;
}

static int table_rows(struct snapshot *s, const struct relation *relation, struct pg_error *err)
{
    AUTO_FREE char *sql = table_sql(s, relation);
    struct slice line;
    bool first = true;

    /* The first row may take as long as a sort of the table does. */
    int r = pg_copy_begin(s->env->conn, sql, PG_NO_LIMIT, err);
    while (r == 0 && (r = pg_copy_next_wait(s->env->conn, PG_NO_LIMIT, &line, err)) > 0) {
        r = row_read(&s->next, relation, line);
        if (r < 0) return fail(err, r, "a row of the snapshot could not be read");
        s->next.first_of_all = first && s->relations_count == 1; /* of the first table; when that is empty no row is */
        s->next.first_of_table = first;
        r = held_emit(s, first, false, err);
        if (r < 0) return r;
        struct held_row emitted = s->held;
        s->held = s->next;
        s->next = emitted;
        first = false;
        if (s->rows % 64 == 0 && (r = s->env->between(s->env->arg)) < 0) return fail(err, r, "stopped");
    }
    return r == -ENODATA ? 0 : r;
}

static int table_read(struct snapshot *s, const struct pg_table *table, struct pg_error *err)
{
    struct relation *relation;
    struct relation_builder *b =
        relation_builder_new_snapshot(table->oid, table->schema, table->name, table->replica_identity);

    int r = catalog_resolve(s->env->conn, b, s->env->config, &relation, err);
    relation_builder_free(b);
    if (r < 0) return r;
    s->relations[s->relations_count++] = relation;
    log_info("cdc", "snapshot reads table connector=%s table=%s.%s", s->env->config->name, table->schema, table->name);
    return table_rows(s, relation, err);
}

/* -- the order of tables -- */

static int order_by_rows(const void *a, const void *b, void *arg)
{
    const struct pg_connector_config *config = arg;
    const struct pg_table *x = a, *y = b;
    int sign = strcasecmp(config->snapshot_order_by_row_count, "descending") == 0 ? -1 : 1;

    if (x->rows != y->rows) return x->rows < y->rows ? -sign : sign;
    return strcmp(x->name, y->name);
}

/* The tables to read, in Debezium's order: by name or by row count. Borrowed; the array is malloc'd. */
static struct pg_table *order_tables(const struct snapshot_env *e, uint32_t *ret_count)
{
    struct pg_table *tables = xcalloc(e->tables->count + 1, sizeof *tables);
    uint32_t count = 0;

    for (uint32_t i = 0; i < e->tables->count; i++) {
        AUTO_FREE char *name = xasprintf("%s.%s", e->tables->tables[i].schema, e->tables->tables[i].name);
        if (e->config->snapshot_include && !name_filter_matches(e->config->snapshot_include, name)) continue;
        tables[count++] = e->tables->tables[i];
    }
    const char *by_rows = e->config->snapshot_order_by_row_count;
    void *config = (void *)(uintptr_t)e->config;
    if (by_rows && strcasecmp(by_rows, "disabled") != 0) qsort_r(tables, count, sizeof *tables, order_by_rows, config);
    *ret_count = count;
    return tables;
}

/* -- the whole -- */

static int transaction_begin(struct snapshot *s, struct pg_error *err)
{
    const struct snapshot_env *e = s->env;
    struct pg_result *result;

    int r = pg_exec(e->conn, "BEGIN ISOLATION LEVEL REPEATABLE READ", NULL, 0, 0, NULL, err);
    if (r == 0 && e->snapshot_name) {
        AUTO_FREE char *name = pg_quote_literal(e->snapshot_name);
        AUTO_FREE char *sql = xasprintf("SET TRANSACTION SNAPSHOT %s", name);
        r = pg_exec(e->conn, sql, NULL, 0, 0, NULL, err);
    }
    if (r == 0)
        r = pg_exec(e->conn, "SELECT txid_current(), (extract(epoch FROM now()) * 1000000)::bigint", NULL, 0, 0,
                    &result, err);
    if (r < 0) return r;
    s->position.xid = strtoll(pg_result_text(result, 0, 0), NULL, 10);
    s->position.time_us = strtoll(pg_result_text(result, 0, 1), NULL, 10);
    pg_result_free(result);
    s->position.lsn = e->lsn;
    return e->lsn ? 0 : slot_wal_end(e->conn, &s->position.lsn, NULL, err);
}

static int tables_lock(const struct snapshot_env *e, const struct pg_table *tables, uint32_t count,
                       struct pg_error *err)
{
    int r = 0;

    if (!e->config->snapshot_locking || strcasecmp(e->config->snapshot_locking, "shared") != 0) return 0;
    AUTO_FREE char *timeout =
        xasprintf("SET LOCAL lock_timeout = '%lldms'", (long long)e->config->snapshot_lock_timeout_ms);
    r = pg_exec(e->conn, timeout, NULL, 0, 0, NULL, err);
    for (uint32_t i = 0; i < count && r == 0; i++) {
        AUTO_FREE char *schema = pg_quote_identifier(tables[i].schema);
        AUTO_FREE char *name = pg_quote_identifier(tables[i].name);
        AUTO_FREE char *sql = xasprintf("LOCK TABLE %s.%s IN ACCESS SHARE MODE", schema, name);
        r = pg_exec(e->conn, sql, NULL, 0, 0, NULL, err);
    }
    return r;
}

static int run(struct snapshot *s, const struct pg_table *tables, uint32_t count, struct pg_error *err)
{
    const struct snapshot_env *e = s->env;

    int r = transaction_begin(s, err);
    if (r == 0) r = tables_lock(e, tables, count, err);
    if (r < 0) return r;
    r = journal_snapshot_begin(e->journal);
    if (r == -EAGAIN) return fail(err, -EIO, "another connector takes its snapshot into one of the topics");
    if (r < 0) return fail(err, -EIO, "the journal could not be written");
    FAILPOINT("snapshot-begin");
    for (uint32_t i = 0; i < count && r == 0; i++) r = table_read(s, &tables[i], err);
    if (r == 0) r = held_emit(s, true, true, err);
    if (r == 0) r = pg_exec(e->conn, "COMMIT", NULL, 0, 0, NULL, err);
    if (r < 0) return r;
    FAILPOINT("snapshot-end");
    r = journal_snapshot_end(e->journal, s->position.lsn);
    FAILPOINT("snapshot-done");
    return r < 0 ? fail(err, -EIO, "the snapshot could not be completed in the journal") : 0;
}

int snapshot_run(const struct snapshot_env *e, struct source_offset *ret_last, struct pg_error *err)
{
    struct snapshot s = {.env = e};
    uint32_t count;
    AUTO_FREE struct pg_table *tables = order_tables(e, &count);
    int64_t began_us = clock_system.mono_us(&clock_system);

    s.relations = xcalloc(count + 1, sizeof *s.relations);
    int r = run(&s, tables, count, err);
    for (uint32_t i = 0; i < s.relations_count; i++) relation_free(s.relations[i]);
    free(s.relations);
    bytes_done(&s.held.line);
    bytes_done(&s.next.line);
    free(s.held.values);
    free(s.next.values);
    if (r < 0) {
        if (!journal_failed(e->journal) && journal_snapshot_abort(e->journal) < 0)
            log_error("cdc", "an unfinished snapshot could not be taken back connector=%s", e->config->name);
        return r;
    }
    *ret_last = (struct source_offset){.whole_lsn = s.position.lsn,
                                       .snapshot = true,
                                       .lsn = s.position.lsn,
                                       .xid = s.position.xid,
                                       .time_us = s.position.time_us};
    log_info("cdc", "snapshot complete connector=%s tables=%u rows=%llu ms=%lld", e->config->name, count,
             (unsigned long long)s.rows, (long long)(clock_system.mono_us(&clock_system) - began_us) / 1000);
    return 0;
}
