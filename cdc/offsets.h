/* cdc/offsets.h: the position as people know it from Debezium, for the REST API and for connect-offsets. Only to be looked
 * at: what counts is the journal, which knows where the stream stands but not which event that was.
 *
 * Invariant: what is told is durable and readers can see it; so a position that is kept elsewhere never lies ahead of the
 * topics. It is told late rather than early: an event's place is noted, and told when a later look finds it durable.
 * Threads: offset_mark is the connector's, under its lock while others may look; the rest is pure. */
#ifndef OTTLA_CDC_OFFSETS_H
#define OTTLA_CDC_OFFSETS_H

#include "base/base.h"

/* The last event before a place between transactions. */
struct source_offset {
    uint64_t whole_lsn; /* end of that transaction, or the snapshot's point; 0: no event is known */
    bool snapshot;      /* it was the snapshot's; operation, commit_lsn and events_processed mean nothing then */
    uint64_t lsn, commit_lsn;
    int64_t xid, time_us;
    uint64_t events_processed; /* with this lsn */
    const char *operation;     /* "INSERT" */
};

struct offset_mark {
    struct source_offset told;
    struct source_offset noted; /* not yet durable when it was looked at; whole_lsn 0: none */
};

/* A look: now is the newest event that was ingested, everything before durable_lsn is durable and visible. */
void offset_mark_look(struct offset_mark *m, const struct source_offset *now, uint64_t durable_lsn);

/* Debezium's offset, malloc'd JSON; o->whole_lsn is not 0. */
char *source_offset_json(const struct source_offset *o);

#endif
