/* tests/crash/journal_connector.c: see journal_world.h. The connector over the real journal code: snapshot, stream, versions of tables,
 * units, rounds, recovery. */
#include "tests/crash/journal_world.h"

#include <errno.h>
#include <string.h>

static struct {
    bool valid;
    int shape, version;
    struct journal_position at, until; /* at: of the last row */
} relation[TABLES];                    /* of this database session */
static int wal_end;

static void must(int r)
{
    if (r == 0) return;
    if (r == -EUCLEAN) violate(V_NEGATIVE, "the log has fewer of our records than the journal says");
    else violate(V_STUCK, "journal: %s", strerror(-r));
    longjmp(death, DEATH_END);
}

static struct journal_topic *topic_of(int table)
{
    char name[2] = {(char)('a' + table), 0};
    struct journal_topic *t = journal_topic_by_name(journal, slice_of(name));

    if (t) return t;
    struct uuid id = {{(uint8_t)(table + 1), (uint8_t)logs[table * SLOTS].generation}};
    tell("topic %s is new", name);
    must(journal_topic_add(journal, id, slice_of(name), broker_partitions[table], &t));
    return t;
}

/* Resolves the table from today's catalog, for this row and what follows. */
static void resolve(int table, int shape, struct journal_position at)
{
    uint8_t shape_byte = (uint8_t)shape, version = (uint8_t)ddl_before(table, committed);

    tell("table %c: shape %d resolved as version %d", 'a' + table, shape, version);
    stats.relations++;
    must(journal_relation_add(journal, &(struct journal_relation_record){.oid = (uint32_t)table + 1,
                                                                         .from = at,
                                                                         .shape = slice_make(&shape_byte, 1),
                                                                         .resolved = slice_make(&version, 1)}));
    relation[table].version = version;
    relation[table].until = (struct journal_position){.whole_lsn = UINT64_MAX};
}

static int relation_version(int table, int tx, int message)
{
    int shape = ddl_before(table, tx);
    struct journal_position at = position_of(tx, message);
    struct journal_relation_record r;

    at.part_lsn = lsn_commit(tx); /* a row's position is always inside its transaction */
    if (relation[table].valid && journal_position_compare(at, relation[table].at) == 0) return relation[table].version;
    relation[table].at = at;
    bool again = relation[table].valid && relation[table].shape == shape &&
                 percent(10); /* the message came, though nothing changed */
    if (relation[table].valid && relation[table].shape == shape && !again &&
        journal_position_compare(at, relation[table].until) < 0)
        return relation[table].version;
    relation[table].valid = true;
    relation[table].shape = shape;
    uint8_t shape_byte = (uint8_t)shape;
    bool found =
        journal_relation_find(journal, (uint32_t)table + 1, at, slice_make(&shape_byte, 1), &r, &relation[table].until);
    if (found) relation[table].version = r.resolved.ptr[0];
    if (!found ||
        (journal_is_live(journal, lsn_before(wal_end)) && relation[table].version != ddl_before(table, committed)))
        resolve(table, shape, at);
    return relation[table].version;
}

/* The table is thought to be gone, rightly or not. */
static void relation_forget(int table)
{
    if (!journal_relation_forget(journal, (uint32_t)table + 1, lsn_before(wal_end))) return;
    tell("table %c: its versions are forgotten", 'a' + table);
    relation[table].valid = false;
}

static void count_row(int i, struct journal_topic *t, int version)
{
    int index = route(&rows[i], version, t->partitions_count), q = rows[i].table * SLOTS + index;

    if (journal_next(journal, t->partitions[index])) pending_rows[q][pending_count[q]++] = i;
}

/* One attempt: all rows of the transactions that are committed now, table by table, as one hidden whole. */
static void snapshot(void)
{
    int until = committed;

    stats.snapshots++;
    if (percent(50)) topic_of(0); /* a topic may exist before */
    tell("snapshot of %d transactions", until);
    must(journal_snapshot_begin(journal));
    for (int table = 0; table < tables_count; table++) {
        int version = ddl_before(table, until);
        for (int i = 0; i < row_at(until, 0); i++) {
            if (rows[i].table != table) continue;
            struct journal_topic *t = topic_of(table);
            count_row(i, t, version);
            if (percent(30))
                must(journal_append(journal, t->partitions[route(&rows[i], version, t->partitions_count)]));
            if (percent(20)) must(journal_round(journal));
            meanwhile(3);
            answers_deliver();
            if (percent(2)) {
                tell("CONNECTION LOST in the snapshot");
                must(journal_snapshot_abort(journal));
                return;
            }
        }
    }
    must(journal_snapshot_end(journal, lsn_before(until)));
    tell("snapshot complete");
}

static void partitions_grow(void)
{
    int table = below(tables_count);

    if (broker_partitions[table] < SLOTS && percent(50))
        broker_partitions[table]++; /* somebody asks for more, at any time */
    char name[2] = {(char)('a' + table), 0};
    struct journal_topic *t = journal_topic_by_name(journal, slice_of(name));
    if (!t || t->partitions_count == broker_partitions[table] || !journal_may_change(journal, lsn_before(wal_end)))
        return;
    tell("topic %s is routed over %d partitions", name, broker_partitions[table]);
    must(journal_topic_grow(journal, t, broker_partitions[table]));
}

/* A new database session, from where the journal stands. */
static void connect_database(int *ret_tx, int *ret_message)
{
    memset(relation, 0, sizeof relation);
    position_read(journal_position(journal), ret_tx, ret_message);
    if (confirmed > *ret_tx) *ret_tx = confirmed, *ret_message = 0;
    wal_end = committed;
}

void recover(void)
{
    for (int q = 0; q < PARTS; q++) {
        struct log *l = &logs[q];
        l->hold = 0;
        l->exclusive = false;
        if (l->start > l->end) l->end = l->durable = l->start;
    }
    must(disk_journal_open());
    if (rule_off(JOURNAL_RULE_CLOSED) && foreign && percent(50)) {
        for (int q = 0; q < PARTS; q++) logs[q].hold = logs[q].end;
        foreign_append();
        if (percent(50)) foreign_append();
    }
    for (int q = 0; q < PARTS; q++) logs[q].hold = -1, logs[q].trim = INT64_MAX;
    serving = false;
    in_replay = true;
    must(journal_recover(journal));
    serving = true;
    in_replay = journal_is_ahead(journal);
    if (journal_start > 0 && !journal_has_position(journal)) violate(V_STUCK, "no J behind a checkpoint");
    for (int q = 0; q < PARTS; q++) logs[q].known_durable = logs[q].durable;
}

static bool anything_held(void)
{
    for (int q = 0; q < PARTS; q++)
        if (logs[q].hold >= 0) return true;
    return journal_is_ahead(journal);
}

/* Reads messages until the unit is full; leaves tx and message behind the last. */
static void unit_build(int *tx, int *message)
{
    int want = 1 + below(3);
    bool cut_short = percent(25);

    while (want > 0 && *tx < committed) {
        int i = row_at(*tx, *message);
        int end = *message + 1 < messages_count[*tx] ? first_row[*tx][*message + 1] : row_at(*tx + 1, 0);
        for (int k = i; k < end; k++) {
            int version = relation_version(rows[k].table, *tx, *message);
            count_row(k, topic_of(rows[k].table), version);
        }
        if (++*message == messages_count[*tx]) {
            *message = 0;
            ++*tx;
            want--;
        } else if (cut_short && percent(50)) {
            break;
        }
        if (percent(5)) {
            int q = below(PARTS);
            struct journal_topic *t = journal_topic_by_name(journal, slice_make(q / SLOTS ? "b" : "a", 1));
            if (t && q % SLOTS < t->partitions_count) must(journal_append(journal, t->partitions[q % SLOTS]));
        }
    }
    must(journal_unit_end(journal, position_of(*tx, *message)));
}

void run(void)
{
    int tx, message, idle = 0;

    while (!journal_has_position(journal)) {
        if (with_snapshot) snapshot();
        else must(journal_snapshot_end(journal, lsn_before(0)));
    }
    connect_database(&tx, &message);
    for (;;) {
        meanwhile(5);
        answers_deliver();
        if (percent(strict ? 60 : 25)) must(journal_round(journal));
        if (crashes > 0 && percent(1)) {
            crashes--;
            stats.connections++;
            tell("CONNECTION LOST");
            if (percent(50)) confirmed = persisted;
            connect_database(&tx, &message);
        }
        if (features & F_TRIM && percent(3)) trim(below(PARTS));
        if (features & F_RECREATE && percent(2) && recreations < 3) topic_recreate(tx, message);
        if (features & F_GROW && percent(4)) partitions_grow();
        if (features & F_DDL && percent(4)) relation_forget(below(tables_count));
        if (tx < committed && tx < tx_count) {
            unit_build(&tx, &message);
            continue;
        }
        journal_idle(journal, lsn_before(tx), lsn_before(tx));
        if (tx >= tx_count && !journal_pending(journal)) {
            if (!anything_held()) return;
            if (idle > 400) {
                violate(V_STUCK, "held or ahead at the end");
                return;
            }
        }
        if (journal_pending(journal)) must(journal_round(journal));
        if (++idle > 3000) {
            violate(V_STUCK, "no end");
            return;
        }
        if (committed < tx_count) committed++;
    }
}
