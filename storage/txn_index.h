/* storage/txn_index.h: the aborted transactions whose marker lies in a segment: `.txnindex` files.
 *
 * Format (Kafka's): entries of 34 bytes, big-endian: version 0 (int16), producer id, first offset, last offset (of the
 * marker), last stable offset when it was written (int64 each). Made with the first abort; rising by last offset.
 * Kept in memory whole for the segments that have any.
 * Threads: under the log's mutex. */
#ifndef OTTLA_TXN_INDEX_H
#define OTTLA_TXN_INDEX_H

#include "storage/index_file.h"

#define TXN_INDEX_ENTRY_BYTES 34

struct txn_entry {
    int64_t producer_id;
    int64_t first_offset;
    int64_t last_offset;
    int64_t last_stable_offset;
};

int txn_index_append(struct index_file *f, struct txn_entry e) WARN_UNUSED;
struct txn_entry txn_index_get(const struct index_file *f, uint32_t i);
/* Of the known version, rising, and within [base_offset, end_offset)? */
bool txn_index_is_sane(const struct index_file *f, int64_t base_offset, int64_t end_offset);

#endif
