/* tools/ottla/dump.h: `ottla dump`: prints any file of a data directory, and says what is wrong with it.
 *
 * One line per batch, record or entry, in the form name=value, on standard output. What is damaged or contradicts
 * itself is a line that begins with PROBLEM, and makes the exit status 1. Files are only read; a broker may be running
 * on them, whose newest append may then look torn. Threads: one. */
#ifndef OTTLA_DUMP_H
#define OTTLA_DUMP_H

#include "protocol/record.h"

#include <stdio.h>

struct dump {
    FILE *out;
    bool batches_only;   /* no lines of records */
    bool full;           /* long keys and values are not cut */
    int64_t from_offset; /* batches that end before it are left out */
    uint32_t problems;
};

/* An open file of known size. */
struct dump_file {
    const char *path;
    int fd;
    uint64_t size; /* when it was opened [bytes] */
};

/* The subcommand; argv[0] is "dump". Returns the exit status: 0, 1: something is damaged or missing, 2: wrong usage. */
int dump_main(int argc, char **argv);

void dump_problem(struct dump *d, const char *format, ...) PRINTF_LIKE(2, 3);

/* Reads count bytes at position into into. false: they are not there, or a read failed (which is a problem). */
bool dump_read(struct dump *d, const struct dump_file *f, uint64_t position, void *into, size_t count) WARN_UNUSED;
/* Since 1970, as 2026-01-31T12:00:00.123Z; negative ones as numbers. */
#define DUMP_TIME_SIZE 40
const char *dump_time(int64_t timestamp_ms, char ret_text[DUMP_TIME_SIZE]);
/* Text as it is, other bytes in hex, null as <null>; long ones are cut unless d->full. */
void dump_bytes(struct dump *d, struct slice s);

/* One per kind of file. */
void dump_log(struct dump *d, const struct dump_file *f);
void dump_offset_index(struct dump *d, const struct dump_file *f);
void dump_time_index(struct dump *d, const struct dump_file *f);
void dump_txn_index(struct dump *d, const struct dump_file *f);
void dump_producer_snapshot(struct dump *d, const struct dump_file *f);
void dump_text(struct dump *d, const struct dump_file *f);

#define DUMP_METADATA_TOPIC "__cluster_metadata"

/* Key and value of a record, decoded where topic is one of the broker's own. */
void dump_record_content(struct dump *d, const char *topic, const struct record_batch *b, const struct record *r);

#endif
