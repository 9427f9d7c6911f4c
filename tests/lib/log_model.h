/* tests/lib/log_model.h: what a partition log must hold, kept beside it: a model of one log for tests that kill, cut and compact.
 *
 * Writers: none (-1), two idempotent (0, 1), two transactional (2, 3), ids 100 and up. Keys are few, so that compaction has
 * work; values are numbered. The model reads as a client does (KIP-98): batches, aborted transactions, control batches.
 * A violation prints what it is and the history's seed, and ends the process. Threads: one. */
#ifndef OTTLA_LOG_MODEL_H
#define OTTLA_LOG_MODEL_H

#include "storage/log_internal.h"

#define LOG_MODEL_KEYS    40
#define LOG_MODEL_WRITERS 4

enum log_model_fate { FATE_PENDING, FATE_COMMITTED, FATE_ABORTED };

/* What was appended, by offset. */
struct log_model_record {
    int32_t key;   /* -1: a marker */
    int64_t value; /* -1: a tombstone; of a marker: whether it commits */
    int64_t timestamp_ms;
    int32_t writer; /* -1: none */
    enum log_model_fate fate;
    bool batch_begins;
};

struct log_model {
    struct partition_log *log; /* borrowed */
    uint64_t seed;             /* for messages */
    uint64_t random;
    struct log_model_record *all;
    uint32_t allocated;
    int64_t end;       /* everything below was acknowledged */
    int64_t tried_end; /* what was tried and failed may be there, up to here */
    int64_t touched;   /* compaction may have been up to here */
    int64_t start;     /* the largest log start that was seen */
    int64_t value;
    bool rolling; /* all records get one key more, so that nothing supersedes what was there */
    struct {
        int32_t next_sequence;
        int64_t txn_from; /* -1: no open transaction */
    } writers[LOG_MODEL_WRITERS];
};

void log_model_init(struct log_model *m, uint64_t seed);
void log_model_done(struct log_model *m);
/* One batch. KAFKA_NONE, or what the append answered: it may still be there after a crash. */
enum kafka_error log_model_append(struct log_model *m, int32_t writer, int32_t count, uint32_t tombstones_of_8,
                                  int64_t now_ms);
enum kafka_error log_model_end_txn(struct log_model *m, int32_t writer, bool commit);
/* Something by chance: mostly appends of all kinds, ends of transactions. */
enum kafka_error log_model_work(struct log_model *m, int64_t now_ms);
/* The log was opened after a crash: everything below durable must be there; what lies behind its end is forgotten. */
void log_model_recovered(struct log_model *m, int64_t durable);
/* It begins anew, empty. */
void log_model_restart(struct log_model *m);

/* What a client at read_committed finds. */
struct log_model_seen {
    bool *at;        /* records, by offset */
    bool *marker_at; /* markers */
    uint32_t records, markers, empty_batches;
};
void log_model_read(struct log_model *m, struct log_model_seen *seen);
void log_model_seen_done(struct log_model_seen *seen);
/* Nothing lost, invented or repeated; of each key the newest committed value; producers' sequences; last stable offset. */
void log_model_check(struct log_model *m);

uint32_t log_model_draw(struct log_model *m);
/* Ends a directory as a kill does: nothing is written or synced any more; memory and descriptors are given back. */
void log_dir_abandon(struct log_dir *dir);

#define MODEL_CHECK(m, condition, ...)                                                                                 \
    do                                                                                                                 \
        if (!(condition)) log_model_fail((m), #condition, __VA_ARGS__);                                                \
    while (0)
/* Takes a violation instead of standard error, and does not return: a framework that keeps what its tests print. NULL: none. */
extern void (*log_model_report)(const char *text);
__attribute__((noreturn)) void log_model_fail(const struct log_model *m, const char *condition, const char *format, ...)
    PRINTF_LIKE(3, 4);

#endif
