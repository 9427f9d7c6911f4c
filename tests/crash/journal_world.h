/* tests/crash/journal_world.h: the world of journal_model: PostgreSQL, the logs, the journal's file, readers, other writers, and what
 * must hold in it. All parts of the model work on this one world; one thread.
 *
 * journal_world.c is what is there and what is asserted; journal_disk.c what the real journal code stands on; journal_faults.c what
 * happens to it; journal_connector.c the connector; journal_model.c histories and the command line. Chance is drawn in one order:
 * the same seed is the same history. Sizes are small on purpose: nearly every interleaving of a few events is met. */
#ifndef OTTLA_TESTS_CRASH_JOURNAL_WORLD_H
#define OTTLA_TESTS_CRASH_JOURNAL_WORLD_H

#include "cdc/journal.h"

#include <setjmp.h>

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
extern const char *const violation_names[V_COUNT];

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

/* -- what there is -- */

extern struct log logs[PARTS], truncated[PARTS]; /* truncated: what a power cut may bring back */
extern struct stored *journal_file;
extern int journal_end, journal_durable, journal_start;
extern struct row rows[ROWS];
extern int rows_count, first_row[TXS][MESSAGES], tx_count, messages_count[TXS];
extern int broker_partitions[TABLES], tables_count;
extern int committed;            /* transactions that PostgreSQL has */
extern int confirmed, persisted; /* slot: transactions below it are forgotten */
extern bool strict, foreign, non_atomic, with_snapshot, strict_when_shared;
enum feature { F_TRIM = 1, F_RECREATE = 2, F_GROW = 4, F_CHECKPOINT = 8, F_DDL = 16, F_SNAPSHOT = 32 };
extern unsigned features;
extern int crashes, recreations, batch_next;
extern bool serving; /* clients: not while the journal recovers */
extern int32_t sequence_first;
extern bool powered, in_replay;
extern struct journal *journal;

/* what readers know */
extern int seen[PARTS][RECORDS], visible_max[PARTS], reader_at[PARTS];
extern bool power_cut[PARTS];
extern bool row_read[ROWS], tx_seen[TXS];
extern int partition_of_row[ROWS]; /* where it was last appended */
extern struct ack {
    int part, generation, offset, id;
    bool hard;
} acks[ACKS];
extern int acks_count, foreign_next;

/* A new world for seed_now. forced_features 0: by chance. */
void world_make(unsigned forced_features);
/* When all is quiet: each row once and in order. */
void judge(void);

/* -- chance, trace, violations -- */

enum death { DEATH_NONE, DEATH_KILL, DEATH_POWER, DEATH_FSYNC, DEATH_END };
extern jmp_buf death; /* of the history: where it dies or ends */
extern bool trace, dead;
extern long seed_now, events;
extern long violations[V_COUNT], violation_seed[V_COUNT], violation_events[V_COUNT];
extern struct stats {
    long histories, kills, power_cuts, connections, fsyncs, nested, back, back_records, mixed, mixed_reader, snapshots,
        snapshot_deaths, relations;
} stats;

void chance_begin(long seed);
/* 0 .. n - 1; 0 when n is not positive. */
int below(int n);
bool percent(int p);
void tell(const char *format, ...) PRINTF_LIKE(1, 2);
/* The first one ends the history. */
void violate(enum violation v, const char *format, ...) PRINTF_LIKE(2, 3);
bool rule_off(enum journal_rule r);

/* -- PostgreSQL: positions are transaction numbers -- */

uint64_t lsn_before(int tx);
uint64_t lsn_commit(int tx);
struct journal_position position_of(int tx, int message);
void position_read(struct journal_position p, int *ret_tx, int *ret_message);
int row_at(int tx, int message);
/* How the table's rows look at a transaction, and the version of the catalog when `tx` transactions are committed. */
int ddl_before(int table, int tx);
int route(const struct row *row, int version, int count);

/* -- readers -- */

int visible_end(int q);
/* One reader's look at a partition; sets the rows it sees. */
void look(int q, bool *visible);
void poll_all(void);
/* One partition at a time, as a consumer reads: after one row of a transaction was read, every later read has its rest. */
void poll_one(void);

/* -- journal_disk.c -- */

extern int pending_rows[PARTS][ROWS], pending_count[PARTS];
/* A journal over the world, with what its file holds. 0; else journal_load()'s error. */
int disk_journal_open(void);
/* One sync that was asked for reaches the disk. */
void sync_step(void);
/* Tells the journal which syncs are done; false: none. */
bool answers_deliver(void);

/* -- journal_faults.c -- */

/* Perhaps the history's death, in p of 100 cases. */
void crash_point(int p);
/* What others do between two of our steps. Answers of syncs are only delivered at the top or in wait(). */
void meanwhile(int crash_percent);
void foreign_append(void);
void trim(int q);
void topic_recreate(int tx, int message);
void die(enum death how);

/* -- journal_connector.c -- */

/* Begins again after a death: recovers the journal. */
void recover(void);
/* Until all rows are there. */
void run(void);

#endif
