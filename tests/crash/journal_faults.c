/* tests/crash/journal_faults.c: see journal_world.h. What happens to the world: other writers, retention, compaction, topics that are
 * deleted and made again; kills, power cuts, a failed sync. */
#include "tests/crash/journal_world.h"

#include <string.h>

/* -- what others do -- */

void foreign_append(void)
{
    int table = below(tables_count), q = table * SLOTS + below(broker_partitions[table]), k = 1 + below(2);
    struct log *l = &logs[q];

    if (l->end + k > RECORDS - 8 || acks_count > ACKS - 10 || l->exclusive) return;
    batch_next++;
    tell("foreign appends %d to p%d@%d", k, q, l->end);
    for (int i = 0; i < k; i++) {
        l->r[l->end] = (struct record){.id = FOREIGN_ID + foreign_next++, .sequence = -1, .batch = batch_next};
        if (!strict) {
            acks[acks_count].part = q, acks[acks_count].generation = l->generation, acks[acks_count].offset = l->end;
            acks[acks_count].id = l->r[l->end].id, acks[acks_count].hard = false;
            acks_count++;
        }
        l->end++;
    }
    l->mixed = true;
    if (!strict || !percent(70)) return;
    tell("foreign synced p%d, acked", q);
    l->durable = l->known_durable = l->end;
    l->resurrectable = false;
    for (int i = l->end - k; i < l->end; i++) {
        acks[acks_count].part = q, acks[acks_count].generation = l->generation, acks[acks_count].offset = i;
        acks[acks_count].id = l->r[i].id, acks[acks_count].hard = true;
        acks_count++;
    }
}

void trim(int q)
{
    struct log *l = &logs[q];
    int limit = visible_end(q);

    if (l->trim < limit) limit = (int)l->trim;
    if (limit <= l->start) return;
    if (!percent(60)) {
        tell("compaction p%d below %d", q, limit);
        for (int i = l->start; i < limit; i++) {
            if (!percent(50)) continue;
            if (l->r[i].own) rows[l->r[i].id].gone = true;
            l->r[i].removed = true;
        }
        return;
    }
    int start = l->start + 1 + below(limit - l->start);
    while (start < l->end && start < limit && l->r[start].batch == l->r[start - 1].batch) start++;
    if (start > limit || (start < l->end && l->r[start].batch == l->r[start - 1].batch)) return;
    tell("log start p%d -> %d", q, start);
    for (int i = l->start; i < start; i++)
        if (l->r[i].own) rows[l->r[i].id].gone = true;
    l->start = start;
    if (reader_at[q] < start) reader_at[q] = start;
}

void topic_recreate(int tx, int message)
{
    int table = below(tables_count);
    char name[2] = {(char)('a' + table), 0};
    struct journal_topic *t = journal_topic_by_name(journal, slice_of(name));

    if (logs[table * SLOTS].exclusive) return;
    recreations++;
    tell("topic %s deleted and recreated at (%d,%d)", name, tx, message);
    for (int i = 0; i < row_at(tx, message); i++)
        if (rows[i].table == table) rows[i].gone = true;
    for (int i = 0; i < rows_count; i++)
        if (rows[i].table == table) rows[i].consumed = 0, partition_of_row[i] = -1;
    if (t) journal_topic_gone(journal, t);
    for (int q = table * SLOTS; q < (table + 1) * SLOTS; q++) {
        int generation = logs[q].generation + 1;
        memset(&logs[q], 0, sizeof logs[q]);
        logs[q].generation = generation;
        logs[q].hold = -1;
        logs[q].trim = INT64_MAX;
        memset(seen[q], 0, sizeof seen[q]);
        visible_max[q] = reader_at[q] = 0;
    }
}

/* -- death -- */

void crash_point(int p)
{
    if (crashes <= 0 || !percent(p)) return;
    crashes--;
    int k = below(9);
    longjmp(death, k < 4 ? DEATH_KILL : k < 8 ? DEATH_POWER : DEATH_FSYNC);
}

void meanwhile(int crash_percent)
{
    if (dead) longjmp(death, DEATH_END);
    crash_point(crash_percent);
    if (serving && foreign && percent(10)) foreign_append();
    if (serving && percent(15)) poll_all();
    if (serving && percent(15)) poll_one();
    if (percent(strict ? 60 : 25)) sync_step();
    if (percent(4)) {
        int q = below(PARTS);
        if (logs[q].durable < logs[q].end && (!strict || percent(30))) {
            tell("background flush p%d", q);
            logs[q].durable = logs[q].known_durable = logs[q].end;
            logs[q].resurrectable = false;
        }
    }
    if (committed < tx_count && percent(20)) committed++;
    if (dead) longjmp(death, DEATH_END);
}

static int batch_prefix(const struct log *l)
{
    int end = l->durable + below(l->end - l->durable + 1);
    while (end > l->durable && end < l->end && l->r[end].batch == l->r[end - 1].batch) end--;
    return end;
}

void die(enum death how)
{
    static const char *const names[] = {"", "KILL", "POWER CUT", "FSYNC FAILED"};

    tell("%s%s", names[how], serving ? "" : " during recovery");
    if (in_replay) stats.nested++;
    if (how == DEATH_KILL) stats.kills++;
    if (how == DEATH_POWER) stats.power_cuts++;
    if (how == DEATH_FSYNC) stats.fsyncs++;
    if (with_snapshot && !journal_has_position(journal)) stats.snapshot_deaths++;
    if (how != DEATH_KILL) {
        memset(row_read, 0, sizeof row_read);
        memset(tx_seen, 0, sizeof tx_seen);
    }
    if (how == DEATH_POWER) {
        for (int q = 0; q < PARTS; q++) {
            struct log *l = &logs[q];
            if (l->resurrectable && percent(50)) {
                tell("p%d: its truncation was not durable", q);
                *l = truncated[q];
            }
            l->resurrectable = false;
            if (l->start <= l->end) l->end = l->durable = batch_prefix(l);
            power_cut[q] = true;
        }
        journal_end = journal_durable + below(journal_end - journal_durable + 1);
        journal_durable = journal_end;
        powered = true;
        tell("..left: journal %d, ends %d %d %d %d", journal_end, logs[0].end, logs[1].end, logs[SLOTS].end,
             logs[SLOTS + 1].end);
    }
    if (how == DEATH_FSYNC) {
        struct log *l = &logs[below(PARTS)];
        l->end = batch_prefix(l);
        powered = true;
        for (int q = 0; q < PARTS; q++) power_cut[q] = true;
    }
    for (int i = 0; i < acks_count; i++) {
        const struct log *l = &logs[acks[i].part];
        if (l->generation != acks[i].generation || acks[i].offset < l->start) continue;
        bool have = acks[i].offset < l->end && !l->r[acks[i].offset].own && l->r[acks[i].offset].id == acks[i].id;
        if (have) continue;
        if (acks[i].hard || how == DEATH_KILL) violate(V_FOREIGN, "p%d@%d", acks[i].part, acks[i].offset);
        acks[i].generation = -1;
    }
}
