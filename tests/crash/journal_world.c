/* tests/crash/journal_world.c: see journal_world.h. */
#include "tests/crash/journal_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *const violation_names[V_COUNT] = {"lost",
                                              "duplicate",
                                              "order",
                                              "visible end back after kill",
                                              "visible end back, strict",
                                              "content moved",
                                              "half transaction visible",
                                              "confirmed > durable",
                                              "acked foreign lost",
                                              "reader missed or repeated",
                                              "stuck",
                                              "negative skip",
                                              "later read lacks part of a seen transaction"};

struct log logs[PARTS], truncated[PARTS];
struct stored *journal_file;
int journal_end, journal_durable, journal_start;
struct row rows[ROWS];
int rows_count, first_row[TXS][MESSAGES], tx_count, messages_count[TXS];
static int ddl_tx[TABLES][3], ddl_count[TABLES];
int broker_partitions[TABLES], tables_count;
int committed, confirmed, persisted;
bool strict, foreign, non_atomic, with_snapshot, strict_when_shared;
unsigned features;
int crashes, foreign_next, batch_next, recreations;
bool serving;
int32_t sequence_first;
bool powered, in_replay;
struct journal *journal;

int seen[PARTS][RECORDS], visible_max[PARTS], reader_at[PARTS];
bool power_cut[PARTS];
bool row_read[ROWS], tx_seen[TXS];
int partition_of_row[ROWS];
struct ack acks[ACKS];
int acks_count;

/* -- chance, trace, violations -- */

jmp_buf death;
bool trace, dead;
long seed_now, events;
long violations[V_COUNT], violation_seed[V_COUNT], violation_events[V_COUNT];
struct stats stats;
static uint64_t random_state;

static unsigned chance(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 20);
}
void chance_begin(long seed)
{
    seed_now = seed;
    random_state = (uint64_t)seed * 0x9E3779B97F4A7C15ull + 0x1234567;
    for (int i = 0; i < 8; i++) chance();
}
int below(int n)
{
    return n <= 0 ? 0 : (int)(chance() % (unsigned)n);
}
bool percent(int p)
{
    return below(100) < p;
}

void tell(const char *format, ...)
{
    events++;
    if (!trace) return;
    va_list ap;
    va_start(ap, format);
    printf("  ");
    vprintf(format, ap);
    printf("\n");
    va_end(ap);
}

void violate(enum violation v, const char *format, ...)
{
    if (dead) return;
    if (trace) {
        va_list ap;
        va_start(ap, format);
        printf("  VIOLATION %s: ", violation_names[v]);
        vprintf(format, ap);
        printf("\n");
        va_end(ap);
    }
    dead = true;
    violations[v]++;
    if (!violation_events[v] || events < violation_events[v]) {
        violation_events[v] = events;
        violation_seed[v] = seed_now;
    }
}

bool rule_off(enum journal_rule r)
{
    return !(journal_rules >> r & 1);
}

/* -- PostgreSQL: positions are transaction numbers -- */

uint64_t lsn_before(int tx)
{
    return (uint64_t)tx * 100 + 10;
}
uint64_t lsn_commit(int tx)
{
    return (uint64_t)tx * 100 + 100;
}
struct journal_position position_of(int tx, int message)
{
    struct journal_position p = {.whole_lsn = lsn_before(tx)};
    if (message > 0) p.part_lsn = lsn_commit(tx), p.ordinal = (uint64_t)message;
    return p;
}
void position_read(struct journal_position p, int *ret_tx, int *ret_message)
{
    *ret_tx = p.whole_lsn ? (int)((p.whole_lsn - 10) / 100) : 0;
    *ret_message = p.part_lsn ? (int)p.ordinal : 0;
}
int row_at(int tx, int message)
{
    return tx >= tx_count ? rows_count : first_row[tx][message];
}
int ddl_before(int table, int tx)
{
    int n = 0;
    while (n < ddl_count[table] && ddl_tx[table][n] <= tx) n++;
    return n;
}
int route(const struct row *row, int version, int count)
{
    return (row->key * (1 + version) + version * 7 + row->key / 3 * version) % count;
}

/* -- readers -- */

int visible_end(int q)
{
    const struct log *l = &logs[q];
    int end = l->hold >= 0 ? l->hold : l->end;

    if (strict && end > l->known_durable) end = l->known_durable;
    if (end < l->start) end = l->start;
    while (end > l->start && end < l->end && l->r[end].batch == l->r[end - 1].batch)
        end++; /* whole batches leave the broker */
    return end;
}

void look(int q, bool *visible)
{
    struct log *l = &logs[q];
    int end = visible_end(q);

    if (end < visible_max[q]) {
        if (power_cut[q] && !strict) {
            stats.back++;
            stats.back_records += visible_max[q] - end;
            visible_max[q] = end;
        } else {
            violate(power_cut[q] && strict ? V_BACK_STRICT : V_BACK_KILL, "p%d %d -> %d", q, visible_max[q], end);
        }
    }
    if (end > visible_max[q]) visible_max[q] = end;
    for (int i = l->start; i < end; i++) {
        if (l->r[i].own && !l->r[i].removed) visible[l->r[i].id] = true;
        int id = l->r[i].id + 1;
        if (seen[q][i] && seen[q][i] != id) {
            if (powered && !strict && l->mixed) stats.mixed++;
            else violate(V_CONTENT, "p%d@%d %d was %d", q, i, id - 1, seen[q][i] - 1);
        }
        seen[q][i] = id;
    }
    for (; reader_at[q] < end; reader_at[q]++)
        if (reader_at[q] >= l->start && l->r[reader_at[q]].own) rows[l->r[reader_at[q]].id].consumed++;
}

static void check_whole(const bool *visible)
{
    for (int t = 0; t < tx_count; t++) {
        int yes = 0, no = 0;
        for (int i = row_at(t, 0); i < row_at(t + 1, 0); i++) {
            if (rows[i].gone) continue;
            if (visible[i]) yes++;
            else no++;
        }
        if (yes && no) {
            violate(V_HALF, "transaction %d: %d of %d", t, yes, yes + no);
            return;
        }
    }
}

void poll_all(void)
{
    bool visible[ROWS] = {false};

    for (int q = 0; q < PARTS; q++) look(q, visible);
    check_whole(visible);
}

void poll_one(void)
{
    bool visible[ROWS] = {false};
    int q = below(PARTS);

    if (!logs[q].end) return;
    look(q, visible);
    for (int i = 0; i < rows_count; i++) {
        if (rows[i].gone || !tx_seen[rows[i].tx] || visible[i] || partition_of_row[i] != q) continue;
        violate(V_LATE, "transaction %d row %d in p%d", rows[i].tx, i, q);
        return;
    }
    for (int i = 0; i < rows_count; i++) row_read[i] |= visible[i];
    for (int t = 0; t < tx_count; t++)
        for (int i = row_at(t, 0); i < row_at(t + 1, 0); i++) tx_seen[t] |= !rows[i].gone && visible[i];
}

/* -- a history -- */

void world_make(unsigned forced_features)
{
    int small = (int)(seed_now % 3);

    memset(logs, 0, sizeof logs);
    for (int q = 0; q < PARTS; q++) logs[q].hold = -1, logs[q].trim = INT64_MAX;
    journal_end = journal_durable = journal_start = 0;
    memset(seen, 0, sizeof seen);
    memset(visible_max, 0, sizeof visible_max);
    memset(reader_at, 0, sizeof reader_at);
    memset(power_cut, 0, sizeof power_cut);
    memset(row_read, 0, sizeof row_read);
    memset(tx_seen, 0, sizeof tx_seen);
    memset(partition_of_row, 0xff, sizeof partition_of_row);
    acks_count = foreign_next = batch_next = recreations = confirmed = persisted = 0;
    powered = in_replay = dead = false;
    events = rows_count = 0;

    tx_count = 1 + below(small == 0 ? 3 : small == 1 ? 6 : 16);
    tables_count = 1 + below(TABLES);
    for (int t = 0; t < TABLES; t++) broker_partitions[t] = 1 + below(2);
    for (int t = 0; t < tx_count; t++) {
        messages_count[t] = 1 + below(small ? 5 : 3);
        for (int m = 0; m < messages_count[t]; m++) {
            first_row[t][m] = rows_count;
            int outputs = below(8);
            for (outputs = outputs < 2 ? 0 : outputs < 7 ? 1 : 2; outputs > 0; outputs--)
                rows[rows_count++] = (struct row){.tx = t, .table = below(tables_count), .key = below(12)};
        }
    }
    features = percent(40) ? 0 : 1u << below(6);
    if (percent(10)) features = 63;
    if (forced_features) features = forced_features;
    for (int t = 0; t < TABLES; t++) {
        ddl_count[t] = features & F_DDL ? 1 + below(3) : 0;
        for (int i = 0; i < ddl_count[t]; i++) ddl_tx[t][i] = (i ? ddl_tx[t][i - 1] : 0) + below(tx_count);
    }
    with_snapshot = features & F_SNAPSHOT;
    committed = below(tx_count + 1);
    crashes = 1 + below(small ? 7 : 3);
    strict = percent(40);
    foreign = percent(60);
    strict_when_shared = percent(50);
    non_atomic = percent(30);
    sequence_first = percent(20) ? INT32_MAX - below(12) : 0;
    tell("strict %d foreign %d features %x transactions %d partitions %d,%d", strict, foreign, features, tx_count,
         broker_partitions[0], tables_count > 1 ? broker_partitions[1] : 0);
}

void judge(void)
{
    int count[ROWS] = {0}, at[ROWS];

    for (int q = 0; q < PARTS; q++) {
        int last = -1;
        for (int i = logs[q].start; i < logs[q].end; i++) {
            if (!logs[q].r[i].own) continue;
            int id = logs[q].r[i].id;
            count[id]++;
            at[id] = q;
            if (id <= last) violate(count[id] > 1 ? V_DUPLICATE : V_ORDER, "p%d@%d row %d after %d", q, i, id, last);
            last = id;
        }
    }
    for (int i = 0; i < rows_count; i++) {
        if (count[i] > 1) violate(V_DUPLICATE, "row %d", i);
        if (!count[i] && !rows[i].gone) violate(V_LOST, "row %d of transaction %d", i, rows[i].tx);
        if (!count[i] || !rows[i].gone || recreations) continue;
        bool removed = false;
        for (int k = logs[at[i]].start; k < logs[at[i]].end; k++) {
            const struct record *r = &logs[at[i]].r[k];
            removed |= r->own && r->id == i && r->removed;
        }
        if (!removed) violate(V_DUPLICATE, "row %d came back after it was deleted", i);
    }
    if (features & (F_TRIM | F_RECREATE)) return;
    for (int i = 0; i < rows_count; i++) {
        if (rows[i].consumed == 1) continue;
        if (powered && !strict && count[i] && logs[at[i]].mixed) {
            stats.mixed_reader++;
            return;
        }
        violate(V_READER, "row %d read %d times", i, rows[i].consumed);
    }
}
