/* tests/unit/storage/scratch.h: a data directory for a test, and batches to put into it. */
#ifndef OTTLA_SCRATCH_H
#define OTTLA_SCRATCH_H

#include "protocol/batch_builder.h"
#include "storage/log_dir.h"
#include "storage/log_internal.h"

/* A clock that a test moves. */
struct scratch_clock {
    struct clock clock;
    int64_t now_us;
};

struct scratch {
    char path[64];
    struct log_dir_options options;
    struct log_config config;
    struct scratch_clock clock;
    struct uuid topic_id;
    struct log_dir *dir;
    struct partition_log *log; /* "t-0" */
};

/* Makes an empty directory; nothing is opened. Background work is off but for what a test calls. */
void scratch_init(struct scratch *s);
/* Opens directory and log; fails the test on an error. */
void scratch_open(struct scratch *s);
/* The same, returning the error. */
int scratch_try_open(struct scratch *s, struct err *err);
/* A clean stop. */
void scratch_close(struct scratch *s);
/* As kill -9: nothing is written or synced any more; memory is given back. */
void scratch_kill(struct scratch *s);
void scratch_done(struct scratch *s);
void scratch_remove_tree(const char *path);

struct batch_spec {
    int32_t count; /* 0: one record */
    int64_t timestamp_ms;
    uint32_t value_bytes;
    int64_t producer_id; /* with producer */
    int16_t producer_epoch;
    int32_t base_sequence;
    bool producer;
    bool transactional;
    bool no_key;
    enum compression_codec codec;
};
/* A batch as a producer sends it, malloc'd. Values are filled from the record's number, so that they can be told apart. */
uint8_t *batch_make(const struct batch_spec *spec, uint32_t *ret_size);
/* The control batch that ends a transaction. */
uint8_t *marker_make(int64_t producer_id, int16_t producer_epoch, bool commit, int32_t coordinator_epoch,
                     uint32_t *ret_size);

enum kafka_error scratch_append(struct partition_log *log, enum append_origin origin, const struct batch_spec *spec,
                                struct log_append *ret_append);
enum kafka_error scratch_end_txn(struct partition_log *log, int64_t producer_id, int16_t producer_epoch, bool commit);
/* Appends `batches` batches of one record of about this size. */
void scratch_fill(struct partition_log *log, uint32_t batches, uint32_t value_bytes, int64_t timestamp_ms);

/* Reads all records from offset on; checks that offsets are dense and batches whole. Returns how many there are. */
uint32_t scratch_read_all(struct partition_log *log, int64_t offset, enum read_isolation isolation);
/* The bytes of a range, malloc'd. */
uint8_t *scratch_bytes(const struct log_read *r);

/* Path of a file of the log; in static memory. */
const char *scratch_file(const struct scratch *s, int64_t base_offset, const char *suffix);
int64_t scratch_file_size(const char *path); /* -1: missing */

/* Reproducible pseudo-random numbers. */
uint32_t scratch_random(uint64_t *state);

#endif
