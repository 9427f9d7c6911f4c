/* cdc/source_position.h: where and when a change happened: what the "source" block tells. */
#ifndef OTTLA_CDC_SOURCE_POSITION_H
#define OTTLA_CDC_SOURCE_POSITION_H

#include "base/slice.h"

/* source.snapshot */
enum snapshot_marker {
    SNAPSHOT_FALSE,
    SNAPSHOT_TRUE,
    SNAPSHOT_FIRST,
    SNAPSHOT_FIRST_IN_DATA_COLLECTION,
    SNAPSHOT_LAST_IN_DATA_COLLECTION,
    SNAPSHOT_LAST,
    SNAPSHOT_INCREMENTAL,
};

/* The marker of a row.
 *   first_table  the first captured table, with rows or without
 *   last_table   the last table that has rows */
static inline enum snapshot_marker snapshot_marker_of(bool first_table, bool last_table, bool first_row, bool last_row)
{
    if (last_table && last_row) return SNAPSHOT_LAST;
    if (first_table && first_row) return SNAPSHOT_FIRST;
    if (last_row) return SNAPSHOT_LAST_IN_DATA_COLLECTION;
    return first_row ? SNAPSHOT_FIRST_IN_DATA_COLLECTION : SNAPSHOT_TRUE;
}

struct source_position {
    uint64_t lsn;             /* of the change's WAL record (XLogData's start); snapshot: the consistent point */
    uint64_t last_commit_lsn; /* end of the preceding transaction; 0: none seen yet */
    int64_t xid;              /* -1: null */
    int64_t time_us;          /* Unix: commit time; snapshot: its time */
    int64_t now_ns;           /* Unix: wall clock */
    enum snapshot_marker marker;
    struct slice origin; /* of the transaction; null: none */
    uint64_t origin_lsn;
    int64_t xmin; /* catalog xmin of the slot when it was last asked for (xmin.fetch.interval.ms); 0: null */
};

#endif
