/* cdc/server.h: is this the server whose stream was read so far, and does it still have all of that?
 *
 * A position is a place in one server's write-ahead log. A server that was restored from a backup, or a standby that took over before it
 * had received everything, has another log from some point on: behind that point nothing would be captured until its log has grown
 * past the position, without any error. So the journal keeps who the server is (system identifier) and on which timeline it was read
 * (docs/format-cdc-journal.md, RELATION with oid 0), and every session compares.
 * Source: PostgreSQL documentation, "Streaming Replication Protocol" (IDENTIFY_SYSTEM, TIMELINE_HISTORY), "Timelines".
 * Threads: the connector's. */
#ifndef OTTLA_CDC_SERVER_H
#define OTTLA_CDC_SERVER_H

#include "cdc/journal.h"
#include "cdc/pg_conn.h"

struct server_identity {
    uint64_t system; /* the same for a server and all its physical copies; 0: not known */
    uint32_t timeline;
};

/* Of the server behind a replication connection. */
int server_identify(struct pg_conn *replication, struct server_identity *ret_server, struct pg_error *err) WARN_UNUSED;

/* Whose stream the journal's position is of; system 0: it does not say. */
struct server_identity server_known(struct journal *j);
/* Durable when it returns; nothing when that is known already. */
int server_remember(struct journal *j, struct server_identity server) WARN_UNUSED;

/* Does the log of this server hold all that was read up to lsn?
 *   known    whose stream it was
 *   wal_end  where its log ends now
 *   ret_why  NULL: yes; else malloc'd, what has happened, as the end of a sentence that begins with "the server" */
int server_check(struct pg_conn *replication, struct server_identity known, struct server_identity now, uint64_t lsn,
                 uint64_t wal_end, char **ret_why, struct pg_error *err) WARN_UNUSED;

/* Where the timeline `left` ended in a timeline's history file ("1<tab>0/3000000<tab>reason", a line for each); 0: it is not in it. */
uint64_t server_timeline_end(const char *history, uint32_t left);

#endif
