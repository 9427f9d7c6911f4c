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

struct source_position {
    uint64_t lsn;             /* of the change's WAL record (XLogData's start); snapshot: the consistent point */
    uint64_t last_commit_lsn; /* of the preceding transaction; 0: none seen yet */
    int64_t xid;              /* -1: null */
    int64_t time_us;          /* Unix: commit time; snapshot: its time */
    int64_t now_ns;           /* Unix: wall clock */
    enum snapshot_marker marker;
    struct slice origin;      /* of the transaction; null: none */
    uint64_t origin_lsn;
};

#endif
