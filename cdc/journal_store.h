/* cdc/journal_store.h: the journals of all connectors: their common log __ottla_cdc-0, read and recovered at start.
 *
 * A journal outlives its connector: it holds the position for whoever comes back under the same (name, topic.prefix), keeps
 * what is held hidden, and limits trimming. A connector takes it over while it runs.
 * The log's start moves when no journal needs what is before; a journal that rests is copied forward by the store. One that
 * has nothing to tell (its connector never came to a position, or its offsets were deleted) is forgotten.
 *
 * Damage of the log fails the journals that it may belong to, and nothing else: where a record cannot be read, all of which
 * there were records before it; where a record can be read and says nothing, the one that it names. When the rest of the log
 * cannot be read either, no journal can be taken, for what it says may be of anybody. Nothing is changed then.
 * Threads: open and close on the main thread, the rest on any; a journal that is taken belongs to its taker. */
#ifndef OTTLA_CDC_JOURNAL_STORE_H
#define OTTLA_CDC_JOURNAL_STORE_H

#include "base/err.h"
#include "cdc/journal.h"
#include "cdc/journal_io.h"
#include "cdc/offsets.h"

struct journal_store;

struct stored_journal {
    int32_t number;
    char *name, *topic_prefix;
    int64_t producer_id;
    bool taken;
    bool lent;            /* to another one's thread, which copies it forward: wait for it */
    bool begun;           /* while the log is read: there was a record of it */
    bool forgotten;       /* nobody's any more: a place on the list for the next new one; has no journal */
    int failed;           /* -errno of its recovery */
    struct err why;       /* .. for people */
    int64_t needs_offset; /* the log must keep records from here on */
    uint64_t durable_lsn; /* while it rests: all before it is durable; 0: no position */
    struct journal_io *io;
    struct journal *journal;
    struct offset_mark mark; /* of the taker, for cdc/offsets.c */
    struct stored_journal *next;
};

/* Reads the log if there is one, recovers every journal: holds are set and logs cut before anybody may append. What is damaged
 * is told when its journal is taken. */
struct journal_store *journal_store_open(struct broker *broker);
void journal_store_close(struct journal_store *s);

/* The journal of (name, topic_prefix), made when there is none, for the caller alone until journal_store_give().
 * -EBUSY: taken; -EIO, -EBADMSG, -EUCLEAN: it cannot be recovered, err says why. A journal that failed is recovered anew. Waits
 * while another connector's thread copies it forward (some syncs long). */
int journal_store_take(struct journal_store *s, const char *name, const char *topic_prefix,
                       struct stored_journal **ret_stored, struct err *err) WARN_UNUSED;
void journal_store_give(struct journal_store *s, struct stored_journal *stored);
/* Recovers the taken journal from the log, after a failure. */
int journal_store_reload(struct journal_store *s, struct stored_journal *stored, struct err *err) WARN_UNUSED;
/* Where a journal that rests stands: all before *ret_durable_lsn is durable; *ret_offset is its mark's. false: unknown, taken,
 * or it has no position. */
bool journal_store_position(struct journal_store *s, const char *name, const char *topic_prefix,
                            uint64_t *ret_durable_lsn, struct source_offset *ret_offset);
/* Forgets all that the taken journal knows: its taker begins as a new connector, and clears its own mark. */
int journal_store_begin_anew(struct journal_store *s, struct stored_journal *stored, struct err *err) WARN_UNUSED;
/* Forgets one that rests, and what of it is damaged: nothing of it is kept; who takes it next makes a new one. Durable when it
 * returns. -EBUSY: taken; -ENOENT. */
int journal_store_reset(struct journal_store *s, const char *name, const char *topic_prefix) WARN_UNUSED;
/* This journal keeps the log from being shortened: its taker should write a checkpoint. */
bool journal_store_wants_checkpoint(struct journal_store *s, const struct stored_journal *stored);

/* -- for journal_io -- */
/* -ENOSPC: the disk is full, or refused it: trying again may help. -EIO: it does not. */
int journal_store_write(struct journal_store *s, struct slice key, struct slice value, int64_t *ret_offset) WARN_UNUSED;
struct partition_log *journal_store_log(struct journal_store *s);
void journal_store_drop(struct journal_store *s, struct stored_journal *stored, int64_t before_offset);

#endif
