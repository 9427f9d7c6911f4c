/* tests/crash/journal_model.c: random histories of one connector over the real journal code, on a disk and a time of our own.
 *
 * A history: up to 16 transactions over two tables, written at random times to up to 2 topics of 1..4 partitions; foreign
 * writers; readers of all partitions at once and one at a time; DDL that changes how rows are keyed; an initial snapshot;
 * retention, compaction, topics deleted and made again, more partitions, checkpoints; and up to 7 deaths: kill, power cut
 * (each file keeps any batch prefix of what was not synced), lost connection, failed fsync; anywhere, also during replay and
 * recovery. Asserted: each row exactly once and in order, what readers saw keeps its offset and content, transactions and
 * the snapshot show whole, the visible end never goes back, nothing is confirmed that a power cut could lose.
 *
 *   journal_model [--first SEED] [--histories N]   all rules on: must find nothing. Without --first a random seed, printed
 *   journal_model --without                        each rule (or pair) off in turn: a violation must be found
 *   journal_model --off NAME[,NAME] ...            the same with rules off;  --trace: tell the history
 * One thread. Sizes are small on purpose: nearly every interleaving of a few events is met. */
#include "cdc/journal.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    TABLES = 2,
    SLOTS = 4, /* partitions of a topic, at most */
    PARTS = TABLES * SLOTS,
    RECORDS = 400, /* in one log */
    ROWS = 400,
    TXS = 32,
    MESSAGES = 8, /* in one transaction */
    JOURNAL = 600,
    JOURNAL_BYTES = 1200,
    ACKS = 400,
    PRODUCER = 7,
    FOREIGN_ID = 1000,
};

enum violation {
    V_LOST,
    V_DUPLICATE,
    V_ORDER,
    V_BACK_KILL,
    V_BACK_STRICT,
    V_CONTENT,
    V_HALF,
    V_CONFIRM,
    V_FOREIGN,
    V_READER,
    V_STUCK,
    V_NEGATIVE,
    V_LATE,
    V_COUNT
};
static const char *const violation_names[V_COUNT] = {"lost",
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

struct record {
    bool own, removed;
    int id, batch;
    int32_t sequence;
};
struct log {
    struct record r[RECORDS];
    int end, durable, known_durable, start, generation;
    bool mixed, exclusive, resurrectable;
    int64_t trim;
    int hold; /* -1: none */
};
struct stored {
    int64_t offset;
    uint16_t len;
    uint8_t key[JOURNAL_KEY_BYTES];
    uint8_t value[JOURNAL_BYTES];
};
struct row {
    int tx, table, key;
    bool gone; /* deleted with its topic or trimmed */
    int consumed;
};

/* -- the world -- */

static struct log logs[PARTS], truncated[PARTS]; /* truncated: what a power cut may bring back */
static struct stored *journal_file;
static int journal_end, journal_durable, journal_start;
static struct row rows[ROWS];
static int rows_count, first_row[TXS][MESSAGES], tx_count, messages_count[TXS];
static int ddl_tx[TABLES][3], ddl_count[TABLES];
static int broker_partitions[TABLES], tables_count;
static int committed;            /* transactions that PostgreSQL has */
static int confirmed, persisted; /* slot: transactions below it are forgotten */
static bool strict, foreign, non_atomic, with_snapshot, strict_when_shared;
enum feature { F_TRIM = 1, F_RECREATE = 2, F_GROW = 4, F_CHECKPOINT = 8, F_DDL = 16, F_SNAPSHOT = 32 };
static unsigned features;
static int crashes, foreign_next, batch_next, recreations;
static bool serving; /* clients: not while the journal recovers */
static int32_t sequence_first;
static bool powered, in_replay;
static struct journal *journal;
static bool syncing[PARTS], syncing_journal;
static struct journal_partition *sync_partition[PARTS];
static bool answer_data[PARTS], answer_journal;

/* what readers know */
static int seen[PARTS][RECORDS], visible_max[PARTS], reader_at[PARTS];
static bool power_cut[PARTS];
static bool row_read[ROWS], tx_seen[TXS];
static struct {
    int part, generation, offset, id;
    bool hard;
} acks[ACKS];
static int acks_count;

/* -- chance, trace, violations -- */

static jmp_buf death;
enum death { DEATH_NONE, DEATH_KILL, DEATH_POWER, DEATH_FSYNC, DEATH_END };
static uint64_t random_state;
static bool trace, dead;
static long seed_now, events;
static long violations[V_COUNT], violation_seed[V_COUNT], violation_events[V_COUNT];
static struct {
    long histories, kills, power_cuts, connections, fsyncs, nested, back, back_records, mixed, mixed_reader, snapshots,
        snapshot_deaths, relations;
} stats;

static unsigned chance(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 20);
}
static int below(int n)
{
    return n <= 0 ? 0 : (int)(chance() % (unsigned)n);
}
static bool percent(int p)
{
    return below(100) < p;
}

static void tell(const char *format, ...) PRINTF_LIKE(1, 2);
static void tell(const char *format, ...)
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

static void violate(enum violation v, const char *format, ...) PRINTF_LIKE(2, 3);
static void violate(enum violation v, const char *format, ...)
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

static void crash_point(int p)
{
    if (crashes <= 0 || !percent(p)) return;
    crashes--;
    int k = below(9);
    longjmp(death, k < 4 ? DEATH_KILL : k < 8 ? DEATH_POWER : DEATH_FSYNC);
}
static bool rule_off(enum journal_rule r)
{
    return !(journal_rules >> r & 1);
}

/* -- PostgreSQL: positions are transaction numbers -- */

static uint64_t lsn_before(int tx)
{
    return (uint64_t)tx * 100 + 10;
}
static uint64_t lsn_commit(int tx)
{
    return (uint64_t)tx * 100 + 100;
}
static struct journal_position position_of(int tx, int message)
{
    struct journal_position p = {.whole_lsn = lsn_before(tx)};
    if (message > 0) p.part_lsn = lsn_commit(tx), p.ordinal = (uint64_t)message;
    return p;
}
static void position_read(struct journal_position p, int *ret_tx, int *ret_message)
{
    *ret_tx = p.whole_lsn ? (int)((p.whole_lsn - 10) / 100) : 0;
    *ret_message = p.part_lsn ? (int)p.ordinal : 0;
}
static int row_at(int tx, int message)
{
    return tx >= tx_count ? rows_count : first_row[tx][message];
}
/* How the table's rows look at a transaction, and the version of the catalog when `tx` transactions are committed. */
static int ddl_before(int table, int tx)
{
    int n = 0;
    while (n < ddl_count[table] && ddl_tx[table][n] <= tx) n++;
    return n;
}
static int route(const struct row *row, int version, int count)
{
    return (row->key * (1 + version) + version * 7 + row->key / 3 * version) % count;
}

/* -- readers -- */

static int visible_end(int q)
{
    const struct log *l = &logs[q];
    int end = l->hold >= 0 ? l->hold : l->end;

    if (strict && end > l->known_durable) end = l->known_durable;
    if (end < l->start) end = l->start;
    while (end > l->start && end < l->end && l->r[end].batch == l->r[end - 1].batch)
        end++; /* whole batches leave the broker */
    return end;
}

/* One reader's look at a partition; sets the rows it sees. */
static void look(int q, bool *visible)
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

static void poll_all(void)
{
    bool visible[ROWS] = {false};

    for (int q = 0; q < PARTS; q++) look(q, visible);
    check_whole(visible);
}

static int partition_of_row[ROWS]; /* where it was last appended */

/* One partition at a time, as a consumer reads: after one row of a transaction was read, every later read has its rest. */
static void poll_one(void)
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

/* -- other writers -- */

static void foreign_append(void)
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

/* -- the sync actor -- */

static void sync_done(int q)
{
    struct log *l = &logs[q];

    tell("sync p%d (to %d)", q, l->end);
    l->durable = l->known_durable = l->end;
    l->resurrectable = false;
    syncing[q] = false;
    answer_data[q] = true;
}

/* One sync that was asked for reaches the disk. */
static void sync_step(void)
{
    int first = below(PARTS);

    for (int i = 0; i < PARTS; i++) {
        int q = (first + i) % PARTS;
        if (!syncing[q]) continue;
        sync_done(q);
        return;
    }
    if (!syncing_journal) return;
    tell("sync journal (to %d)", journal_end);
    journal_durable = journal_end;
    syncing_journal = false;
    answer_journal = true;
}

static bool answers_deliver(void)
{
    bool any = false;

    for (int q = 0; q < PARTS; q++) {
        if (!answer_data[q]) continue;
        answer_data[q] = false;
        any = true;
        journal_data_synced(journal, sync_partition[q], 0);
    }
    if (answer_journal) {
        answer_journal = false;
        any = true;
        journal_journal_synced(journal, 0);
    }
    return any;
}

/* What others do between two of our steps. Answers of syncs are only delivered at the top or in wait(). */
static void meanwhile(int crash_percent)
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

/* -- journal_ops -- */

static int part_of(const struct journal_partition *p)
{
    return (p->topic->id.bytes[0] - 1) * SLOTS + p->index;
}
static int last_own(const struct log *l, int end)
{
    for (int i = end - 1; i >= 0; i--)
        if (l->r[i].own) return i;
    return -1;
}

static bool log_find(int q, int end, int generation, struct journal_log *ret_log)
{
    const struct log *l = &logs[q];

    if (l->generation != generation) return false;
    if (end < l->start) end = l->start;
    *ret_log = (struct journal_log){.log_start = l->start, .log_end = end};
    int i = last_own(l, MIN(end, l->end));
    if (i >= l->start) {
        ret_log->known = true;
        ret_log->next_sequence = (int32_t)(((uint32_t)l->r[i].sequence + 1) & INT32_MAX);
        ret_log->own_end = i + 1;
    }
    return true;
}
static bool op_find(void *io, struct journal_partition *p, int64_t producer_id, struct journal_log *ret_log)
{
    int q = part_of(p);

    p->user = &logs[q];
    return p->index < broker_partitions[q / SLOTS] && log_find(q, logs[q].end, p->topic->id.bytes[1], ret_log);
}

static int pending_rows[PARTS][ROWS], pending_count[PARTS];

static int op_append(void *io, struct journal_partition *p, int32_t first_sequence, uint32_t count,
                     int64_t *ret_base_offset, int64_t *ret_last_offset)
{
    int q = part_of(p), per_batch = percent(70) ? ROWS : 1;
    struct log *l = &logs[q];

    assert(count == (uint32_t)pending_count[q]);
    if (l->end + (int)count > RECORDS - 8) longjmp(death, DEATH_END);
    batch_next++;
    if (l->hold < 0) l->hold = l->end;
    *ret_base_offset = l->end;
    for (int i = 0; i < (int)count; i++) {
        l->r[l->end++] = (struct record){.own = true,
                                         .id = pending_rows[q][i],
                                         .batch = batch_next,
                                         .sequence = (int32_t)(((uint32_t)first_sequence + (uint32_t)i) & INT32_MAX)};
        partition_of_row[pending_rows[q][i]] = q;
        if ((i + 1) % per_batch == 0) batch_next++;
        if (per_batch == 1 && !l->exclusive && i + 1 < (int)count && percent(20)) poll_one();
        if (per_batch == 1) crash_point(2);
    }
    pending_count[q] = 0;
    *ret_last_offset = l->end - 1;
    tell("append %u to p%d (end %d)", count, q, l->end);
    meanwhile(2);
    return 0;
}

static void op_discard(void *io, struct journal_partition *p)
{
    pending_count[part_of(p)] = 0;
}

static int64_t op_offset_at(void *io, struct journal_partition *p, int32_t sequence)
{
    const struct log *l = &logs[part_of(p)];

    for (int i = l->start; i < l->end; i++)
        if (l->r[i].own && (((uint32_t)l->r[i].sequence - (uint32_t)sequence) & INT32_MAX) < 1u << 30) return i;
    return INT64_MAX;
}
static void op_hold(void *io, struct journal_partition *p, int64_t offset)
{
    logs[part_of(p)].hold = (int)offset;
}
static void op_release(void *io, const struct journal_release *items, uint32_t count)
{
    bool visible[ROWS] = {false};

    tell("release in %u partitions", count);
    for (uint32_t i = 0; i < count; i++) {
        int q = part_of(items[i].partition);
        logs[q].hold = items[i].hold == INT64_MAX ? -1 : (int)items[i].hold;
        if (!non_atomic) continue;
        if (percent(30)) look(q, visible);
        if (rule_off(JOURNAL_RULE_ATOMPUB) && percent(20)) poll_all();
        if (rule_off(JOURNAL_RULE_ATOMPUB) && percent(30)) poll_one();
    }
}
static void op_trim_limit(void *io, struct journal_partition *p, int64_t offset)
{
    logs[part_of(p)].trim = offset;
}
static int op_exclusive(void *io, struct journal_partition *p, bool on)
{
    logs[part_of(p)].exclusive = on && !rule_off(JOURNAL_RULE_SNAPALONE);
    return 0;
}
static int op_truncate(void *io, struct journal_partition *p, int64_t offset)
{
    int q = part_of(p);
    struct log *l = &logs[q];

    tell("truncate p%d %d -> %d", q, l->end, (int)offset);
    if (!l->resurrectable) truncated[q] = *l;
    l->resurrectable = true;
    l->end = (int)offset;
    l->durable = MIN(l->durable, l->end);
    l->known_durable = MIN(l->known_durable, l->end);
    return 0;
}
static int op_write(void *io, struct slice key, struct slice value, int64_t *ret_offset)
{
    if (journal_end >= JOURNAL || value.len > JOURNAL_BYTES) longjmp(death, DEATH_END);
    struct stored *s = &journal_file[journal_end];
    memcpy(s->key, key.ptr, sizeof s->key);
    memcpy(s->value, value.ptr, value.len);
    s->len = (uint16_t)value.len;
    *ret_offset = journal_end++;
    if (trace) {
        printf("  journal #%d ", journal_end - 1);
        journal_record_print(stdout, key, value);
        printf("\n");
    }
    events++;
    meanwhile(3);
    return 0;
}
static void op_drop(void *io, int64_t before_offset)
{
    tell("journal starts at #%d", (int)before_offset);
    journal_start = (int)before_offset;
}
static void op_sync_data(void *io, struct journal_partition *p)
{
    syncing[part_of(p)] = true;
    sync_partition[part_of(p)] = p;
}
static void op_sync_journal(void *io)
{
    syncing_journal = true;
}
static int op_wait(void *io)
{
    while (!answers_deliver()) {
        meanwhile(3);
        sync_step();
    }
    return 0;
}

/* What a power cut would leave now, judged by the real recovery: nothing below `confirmed` may be missing. */
static bool probe_find(void *io, struct journal_partition *p, int64_t producer_id, struct journal_log *ret_log)
{
    int q = part_of(p);
    return p->index < broker_partitions[q / SLOTS] && log_find(q, logs[q].durable, p->topic->id.bytes[1], ret_log);
}
static int probe_write(void *io, struct slice key, struct slice value, int64_t *ret_offset)
{
    *ret_offset = journal_end;
    return 0;
}
static int64_t probe_offset_at(void *io, struct journal_partition *p, int32_t sequence)
{
    return INT64_MAX;
}
static void probe_partition_offset(void *io, struct journal_partition *p, int64_t offset) {}
static void probe_sync_data(void *io, struct journal_partition *p)
{
    journal_data_synced(*(struct journal **)io, p, 0);
}
static void probe_sync_journal(void *io)
{
    journal_journal_synced(*(struct journal **)io, 0);
}
static void probe_release(void *io, const struct journal_release *items, uint32_t count) {}
static void probe_confirm(void *io, uint64_t lsn) {}
static const struct journal_ops probe_ops = {.find = probe_find,
                                             .offset_at = probe_offset_at,
                                             .hold = probe_partition_offset,
                                             .release = probe_release,
                                             .trim_limit = probe_partition_offset,
                                             .write = probe_write,
                                             .sync_data = probe_sync_data,
                                             .sync_journal = probe_sync_journal,
                                             .confirm = probe_confirm};

static int load(struct journal *j, int end)
{
    for (int i = journal_start; i < end; i++) {
        const struct stored *s = &journal_file[i];
        int r = journal_load(j, i, slice_make(s->key, sizeof s->key), slice_make(s->value, s->len));
        if (r < 0) return r;
    }
    return 0;
}
static struct journal *journal_make(const struct journal_ops *ops, void *io)
{
    return journal_new(ops, io,
                       &(struct journal_options){
                           .connector = 1,
                           .producer_id = PRODUCER,
                           .name = SLICE("c"),
                           .topic_prefix = SLICE("p"),
                           .strict = strict,
                           .strict_when_shared = strict_when_shared,
                           .checkpoint_records = features & F_CHECKPOINT ? 2 + (uint32_t)(seed_now % 5) : UINT32_MAX,
                           .sequence_first = sequence_first});
}

static void confirm_check(void)
{
    struct journal *probe = NULL;
    int tx = 0, message = 0;

    probe = journal_make(&probe_ops, &probe);
    if (load(probe, journal_durable) == 0 && journal_recover(probe) == 0 && journal_has_position(probe))
        position_read(journal_position(probe), &tx, &message);
    journal_free(probe);
    for (int i = row_at(tx, message); i < row_at(confirmed, 0); i++) {
        if (rows[i].gone) continue;
        violate(V_CONFIRM, "confirmed below transaction %d, a power cut now leaves (%d,%d)", confirmed, tx, message);
        return;
    }
}
static void op_confirm(void *io, uint64_t lsn)
{
    int tx = (int)((lsn - 10) / 100);

    if (tx <= confirmed) return;
    tell("confirm to PostgreSQL: below transaction %d", tx);
    confirmed = tx;
    if (percent(50)) persisted = tx;
    confirm_check();
}
static const struct journal_ops ops = {.find = op_find,
                                       .append = op_append,
                                       .discard = op_discard,
                                       .offset_at = op_offset_at,
                                       .hold = op_hold,
                                       .release = op_release,
                                       .trim_limit = op_trim_limit,
                                       .exclusive = op_exclusive,
                                       .truncate = op_truncate,
                                       .write = op_write,
                                       .drop = op_drop,
                                       .sync_data = op_sync_data,
                                       .sync_journal = op_sync_journal,
                                       .wait = op_wait,
                                       .confirm = op_confirm};

/* -- the connector -- */

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

static void trim(int q)
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

static void topic_recreate(int tx, int message)
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

static void recover(void)
{
    for (int q = 0; q < PARTS; q++) {
        struct log *l = &logs[q];
        l->hold = 0;
        l->exclusive = false;
        if (l->start > l->end) l->end = l->durable = l->start;
    }
    memset(syncing, 0, sizeof syncing);
    memset(answer_data, 0, sizeof answer_data);
    memset(pending_count, 0, sizeof pending_count);
    syncing_journal = answer_journal = false;
    journal_free(journal);
    journal = journal_make(&ops, NULL);
    must(load(journal, journal_end));
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

static void run(void)
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
        if (tx < committed && tx < tx_count) {
            unit_build(&tx, &message);
            continue;
        }
        journal_idle(journal, lsn_before(tx));
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

/* -- death -- */

static int batch_prefix(const struct log *l)
{
    int end = l->durable + below(l->end - l->durable + 1);
    while (end > l->durable && end < l->end && l->r[end].batch == l->r[end - 1].batch) end--;
    return end;
}

static void die(enum death how)
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

/* -- one history -- */

static void world_make(unsigned forced_features)
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

static void judge(void)
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

static void history(long seed, unsigned forced_features)
{
    seed_now = seed;
    random_state = (uint64_t)seed * 0x9E3779B97F4A7C15ull + 0x1234567;
    for (int i = 0; i < 8; i++) chance();
    stats.histories++;
    world_make(forced_features);

    enum death how = (enum death)setjmp(death);
    if (how != DEATH_END) {
        if (how != DEATH_NONE) die(how);
        if (!dead) {
            recover();
            poll_all();
            run();
            poll_all();
            judge();
        }
    }
    journal_free(journal);
    journal = NULL;
}

/* -- runs -- */

static long violations_sum(void)
{
    long sum = 0;
    for (int v = 0; v < V_COUNT; v++) sum += violations[v];
    return sum;
}

static int run_histories(long first, long histories, unsigned forced_features)
{
    for (long s = first; s < first + histories; s++) history(s, forced_features);
    printf("seeds %ld..%ld: %ld histories, %ld violations\n", first, first + histories - 1, stats.histories,
           violations_sum());
    printf(
        "  %ld kills, %ld power cuts, %ld lost connections, %ld failed syncs, %ld deaths during recovery or replay\n",
        stats.kills, stats.power_cuts, stats.connections, stats.fsyncs, stats.nested);
    printf("  %ld snapshots, %ld deaths inside one, %ld relation versions\n", stats.snapshots, stats.snapshot_deaths,
           stats.relations);
    printf("  default durability, power cut: visible end went back %ld times by %ld records; mixed partitions: %ld "
           "offsets reused, %ld readers saw it\n",
           stats.back, stats.back_records, stats.mixed, stats.mixed_reader);
    for (int v = 0; v < V_COUNT; v++)
        if (violations[v])
            printf("  %-45s %8ld   smallest: seed %ld, %ld events\n", violation_names[v], violations[v],
                   violation_seed[v], violation_events[v]);
    return violations_sum() != 0;
}

#define OFF(name) (1u << JOURNAL_RULE_##name)

/* Rules that another one covers are switched off together with it. features: what the rule is about; 0: any. */
static const struct without {
    const char *name;
    uint32_t off;
    unsigned features;
    bool covered; /* alone it is harmless: nothing may be found */
} withouts[] = {
    {"CUMUL", OFF(CUMUL), 0, false},
    {"CUT", OFF(CUT), F_RECREATE, false},
    {"VHOLD", OFF(VHOLD), 0, false},
    {"VREPLAY", OFF(VREPLAY), 0, false},
    {"LOGICAL", OFF(LOGICAL), 0, false},
    {"OLDEND", OFF(OLDEND), 0, false},
    {"HOLDFIRST", OFF(HOLDFIRST), 0, false},
    {"GLOBREL", OFF(GLOBREL), 0, false},
    {"SYNCREC", OFF(SYNCREC), 0, false},
    {"STRICTJ", OFF(STRICTJ), 0, false},
    {"CKPT", OFF(CKPT), F_CHECKPOINT, false},
    {"RET", OFF(RET), F_TRIM, false},
    {"GENIGN", OFF(GENIGN), F_RECREATE, false},
    {"TOPIC", OFF(TOPIC), F_RECREATE, false},
    {"CNT", OFF(CNT), F_GROW, false},
    {"ATOMPUB", OFF(ATOMPUB), 0, false},
    {"CATCHUP", OFF(CATCHUP), F_GROW, false},
    {"RELATION", OFF(RELATION), F_DDL, false},
    {"RELSYNC", OFF(RELSYNC), F_DDL, false},
    {"RELKEEP", OFF(RELKEEP), F_DDL, false},
    {"RELPOS", OFF(RELPOS), F_DDL, false},
    {"SNAPBEGIN", OFF(SNAPBEGIN), F_SNAPSHOT, false},
    {"SNAPCUT", OFF(SNAPCUT), F_SNAPSHOT, false},
    {"SNAPALONE", OFF(SNAPALONE), F_SNAPSHOT, false},
    {"SNAPDONE", OFF(SNAPDONE), F_SNAPSHOT, false},
    {"SEQCHK", OFF(SEQCHK), 0, true},
    {"CLOSED", OFF(CLOSED), F_SNAPSHOT, false}, /* the cut of a snapshot would take what came before it */
    {"CLOSED", OFF(CLOSED), F_CHECKPOINT, true},
    {"SEQCHK+CLOSED", OFF(SEQCHK) | OFF(CLOSED), F_CHECKPOINT, false},
    {"SKIPSEQ", OFF(SKIPSEQ), 0, true},
    {"SKIPSEQ+OLDEND+LOGICAL", OFF(SKIPSEQ) | OFF(OLDEND) | OFF(LOGICAL), 0, false},
    {"CUTSYNC", OFF(CUTSYNC), 0, true},
    {"CUTSYNC+SYNCREC", OFF(CUTSYNC) | OFF(SYNCREC), 0, false},
};

#define WITHOUT_HISTORIES_MAX 400000 /* the rarest rule needs some ten thousand */
#define COVERED_HISTORIES     3000

static int run_without(void)
{
    int failed = 0;

    for (uint32_t i = 0; i < countof(withouts); i++) {
        const struct without *w = &withouts[i];
        long max = w->covered ? COVERED_HISTORIES : WITHOUT_HISTORIES_MAX, s = 1;
        memset(violations, 0, sizeof violations);
        memset(violation_events, 0, sizeof violation_events);
        journal_rules = ~w->off;
        while (s <= max && violations_sum() == 0) history(s++, w->features);
        int found = -1;
        for (int v = 0; v < V_COUNT; v++)
            if (violations[v]) found = v;
        bool good = (found >= 0) != w->covered;
        if (!good) failed++;
        if (found >= 0)
            printf("%s without %-24s history %ld: %s\n", good ? "ok  " : "FAIL", w->name, s - 1,
                   violation_names[found]);
        else
            printf("%s without %-24s nothing in %ld histories%s\n", good ? "ok  " : "FAIL", w->name, max,
                   w->covered ? ", another rule covers it" : "");
    }
    journal_rules = UINT32_MAX;
    return failed;
}

static uint32_t rules_parse(char *names)
{
    static const char *const rule_names[] = {
#define RULE_NAME(name) #name,
        JOURNAL_RULES(RULE_NAME)};
    uint32_t off = 0;

    for (char *save, *word = strtok_r(names, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        uint32_t i = 0;
        while (i < countof(rule_names) && strcmp(rule_names[i], word) != 0) i++;
        if (i == countof(rule_names)) {
            fprintf(stderr, "no rule %s\n", word);
            exit(2);
        }
        off |= 1u << i;
    }
    return off;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"first", required_argument, NULL, 'f'},
                                            {"histories", required_argument, NULL, 'n'},
                                            {"off", required_argument, NULL, 'o'},
                                            {"features", required_argument, NULL, 'F'},
                                            {"without", no_argument, NULL, 'w'},
                                            {"trace", no_argument, NULL, 't'},
                                            {0}};
    long first = -1, histories = 5000;
    unsigned forced_features = 0;
    bool without = false;

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'f') first = atol(optarg);
        else if (c == 'n') histories = atol(optarg);
        else if (c == 'o') journal_rules = ~rules_parse(optarg);
        else if (c == 'F') forced_features = (unsigned)strtoul(optarg, NULL, 0);
        else if (c == 'w') without = true;
        else if (c == 't') trace = true;
        else return 2;
    }
    journal_file = xcalloc(JOURNAL, sizeof *journal_file);
    if (first < 0) first = (long)(time(NULL) % 1000000) * 1000;
    int r = without ? run_without() : run_histories(first, histories, forced_features);
    free(journal_file);
    return r ? 1 : 0;
}
