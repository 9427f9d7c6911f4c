/* cdc/journal.h: exactly once: how one connector's events come into partition logs, each once and in order, whatever dies.
 *
 * The idea (docs/exactly-once.md): every partition's log says by our producer sequences how many of our records it holds.
 * The journal says how many it should hold at a position of PostgreSQL's stream. After a crash PostgreSQL replays from the
 * last journalled position that all logs reach; per partition the records that are there already are skipped by count; what
 * readers may not see yet is held. Data is never cut, but for a snapshot that did not complete.
 *
 * A pure state machine: it counts, decides and writes journal records; all I/O goes through struct journal_ops, so that the
 * random model of tests/crash/ can own disk, time and death.
 *
 *   unit:   journal_next() per record -> [journal_append() when a batch is full] -> journal_unit_end(): append the rest,
 *           write the UNIT record, publish (in strict: after the round)
 *   round:  note the journal's end -> sync every data log that is ahead of its synced end -> sync the journal -> confirm
 *   start:  journal_load() each stored record -> journal_recover() -> journal_position() is where replay begins
 *
 * Rules, by the names of JOURNAL_RULES below; what breaks without each: docs/exactly-once.md.
 * Threads: one at a time; sync completions must be delivered on the same thread. */
#ifndef OTTLA_CDC_JOURNAL_H
#define OTTLA_CDC_JOURNAL_H

#include "cdc/journal_record.h"

/* Every rule of the design; the model switches them off one by one and must then see a violation. */
#define JOURNAL_RULES(X)                                                                                               \
    X(CUMUL)     /* a record counts only when all before it count: the folded state is checked, not one record */      \
    X(SEQCHK)    /* a log must hold our sequence, not only reach the offset */                                         \
    X(CUT)       /* records behind J are cut before anything is appended */                                            \
    X(CLOSED)    /* nobody appends before J is fixed (kept by who calls journal_recover()) */                          \
    X(VHOLD)     /* what follows the last shown record is held, not what follows J */                                  \
    X(VREPLAY)   /* a record written while a log is ahead of us is not shown */                                        \
    X(SKIPSEQ)   /* skip counts all our sequences in the log, not only those beyond J's end */                         \
    X(LOGICAL)   /* records hold the logical sequence, not the log's */                                                \
    X(OLDEND)    /* while a log is ahead, its end stays the old one */                                                 \
    X(HOLDFIRST) /* the hold stands at our first record behind V, not at V's end */                                    \
    X(GLOBREL)   /* nothing is published anywhere while any log is ahead or J is not whole */                          \
    X(SYNCREC)   /* recovery ends with a sync round, before any confirmation */                                        \
    X(STRICTJ)   /* strict: published only after data and journal are durable */                                       \
    X(CKPT)      /* old records are dropped only below a durable full record */                                        \
    X(RET)       /* trimming stops at the end in the last durable record */                                            \
    X(GENIGN)    /* entries of a topic that is gone are ignored */                                                     \
    X(TOPIC)     /* a topic's first record is durable before our first batch in it */                                  \
    X(CNT)       /* all before a change of partition count, and the change, are durable before it is used */           \
    X(CUTSYNC)   /* the cut is durable before anything is appended */                                                  \
    X(ATOMPUB)   /* all marks move in one step (kept by journal_ops.release) */                                        \
    X(CATCHUP)   /* nothing that routes is changed before replay reached the WAL end seen at connect */                \
    X(RELATION)  /* replay uses the journalled relation version, not today's catalog */                                \
    X(RELSYNC)   /* a relation version is durable before its first use */                                              \
    X(RELKEEP)   /* a cut does not take relation versions */                                                           \
    X(RELPOS)    /* the relation version is chosen by position, not the newest */                                      \
    X(RELGONE)   /* a table's versions are forgotten only when replay has passed all that was there before */          \
    X(SNAPBEGIN) /* the snapshot's start is durable before its first record */                                         \
    X(SNAPCUT)   /* an unfinished snapshot is cut back to its start */                                                 \
    X(SNAPALONE) /* nobody else appends to the snapshot's topics (kept by journal_ops.exclusive) */                    \
    X(SNAPDONE)  /* a snapshot is durable before it is shown */

enum journal_rule {
#define JOURNAL_RULE_ENUM(name) JOURNAL_RULE_##name,
    JOURNAL_RULES(JOURNAL_RULE_ENUM)
#undef JOURNAL_RULE_ENUM
        JOURNAL_RULES_COUNT
};

struct journal;

/* A topic that the connector writes to. */
struct journal_topic {
    struct uuid id;
    char *name;
    int32_t partitions_count; /* that rows are routed by */
    int32_t partitions_size;  /* of the array */
    bool gone;
    struct journal_partition **partitions;
    struct journal_topic *next;
};

/* One partition. The caller may read all and keeps its own in `user`. */
struct journal_partition {
    struct journal_topic *topic;
    int32_t index;
    void *user;                /* of the operations, set by find() */
    bool gone;                 /* its log does not exist any more */
    bool held;                 /* records of ours in it are not visible yet */
    int64_t hold;              /* held: the first of them */
    bool touched;              /* in the unit that is being built */
    uint32_t skip;             /* records of ours that its log has beyond our position */
    uint32_t pending;          /* counted, not yet appended */
    int32_t sequence;          /* logical: of our next record at the position */
    int32_t next_sequence;     /* of the next record that is appended */
    int32_t shown_sequence;    /* sequence at the last shown record */
    int64_t shown_end;         /* end there; only known at start */
    int64_t shown_next;        /* our first record behind it; INT64_MAX: none is appended */
    int64_t end;               /* in the last journal record */
    int64_t own_end;           /* offset after our last record in the log */
    int64_t synced_end;        /* own_end that is known to be durable */
    int64_t durable_end;       /* end in the last durable record */
    bool limited;              /* trimming is limited to the end in the last durable record */
    int32_t snapshot_sequence; /* at the start of the snapshot; `end` is where to cut back to */
    /* as noted by the round under way */
    int64_t noted_own_end, noted_end;
    int64_t noted_next; /* as shown_next */
    bool syncing;
    bool touched_before;
    struct journal_partition *next; /* of all of the connector */
};

/* What a log tells. */
struct journal_log {
    int64_t log_start, log_end;
    bool known;            /* it has records of our producer, or remembers them */
    int32_t next_sequence; /* known: after our last */
    int64_t own_end;       /* known: offset after our last */
};

struct journal_release {
    struct journal_partition *partition;
    int64_t hold; /* first record that stays held; INT64_MAX: none */
};

/* The world. Functions returning int: 0 or -errno; any failure makes the journal refuse to go on. */
struct journal_ops {
    /* -- data -- */
    /* Finds the log of p (topic, index), sets p->user. false: there is none. */
    bool (*find)(void *io, struct journal_partition *p, int64_t producer_id, struct journal_log *ret_log);
    /* Appends the records that the caller has built since the last append: count of them, from first_sequence on; not visible
     * to readers until release(). *ret_base_offset of the first. -ENOENT: the log is gone. On an error the
     * journal has failed, and what was built goes with discard(). */
    int (*append)(void *io, struct journal_partition *p, int32_t first_sequence, uint32_t count,
                  int64_t *ret_base_offset, int64_t *ret_last_offset);
    /* Drops what the caller has built since the last append. */
    void (*discard)(void *io, struct journal_partition *p);
    /* *ret_offset of our first record with a sequence >= sequence; INT64_MAX: none. It reads the log: only recovery asks, and a
     * snapshot that is taken back. -ENOENT: the log is gone. */
    int (*offset_at)(void *io, struct journal_partition *p, int32_t sequence, int64_t *ret_offset);
    void (*hold)(void *io, struct journal_partition *p, int64_t offset);
    /* Moves all in one step that no reader can see half of. */
    void (*release)(void *io, const struct journal_release *items, uint32_t count);
    void (*trim_limit)(void *io, struct journal_partition *p, int64_t offset);
    /* Nobody else may append to p while it is set. -EAGAIN: somebody else has set it. */
    int (*exclusive)(void *io, struct journal_partition *p, bool on);
    /* Only what no reader has seen. -ENOENT: the log is gone. */
    int (*truncate)(void *io, struct journal_partition *p, int64_t offset);
    /* -- the journal's own log -- */
    int (*write)(void *io, struct slice key, struct slice value, int64_t *ret_offset);
    void (*drop)(void *io, int64_t before_offset); /* records of this connector before it are not needed */
    /* -- durability: each start is answered by journal_data_synced() or journal_journal_synced() -- */
    void (*sync_data)(void *io, struct journal_partition *p);
    void (*sync_journal)(void *io);
    int (*wait)(void *io); /* delivers at least one answer */
    /* -- PostgreSQL: everything below lsn may be forgotten by the slot -- */
    void (*confirm)(void *io, uint64_t lsn);
};

struct journal_options {
    int32_t connector;   /* number in the journal */
    int64_t producer_id; /* of a new connector; an existing one's record wins */
    struct slice name, topic_prefix;
    uint64_t config_hash;
    bool strict;                 /* publish only what is durable */
    bool strict_when_shared;     /* from when another writer is seen in a partition of ours */
    uint32_t checkpoint_records; /* a full record is written after so many */
    int32_t sequence_first;      /* 0; tests begin near the wrap */
};

/* Copies options' texts. */
struct journal *journal_new(const struct journal_ops *ops, void *io, const struct journal_options *options);
void journal_free(struct journal *j);

/* -- start -- */

/* Each record of this connector in the order of the journal. -EBADMSG: damaged or newer than we are. */
int journal_load(struct journal *j, int64_t offset, struct slice key, struct slice value) WARN_UNUSED;
/* Finds J, cuts what follows it, truncates an unfinished snapshot, sets the holds, syncs. Nobody may append to a partition
 * of ours before it returns. */
int journal_recover(struct journal *j) WARN_UNUSED;
/* Is there a position to stream from? Else a snapshot (or a decision to do without) must come first. */
bool journal_has_position(const struct journal *j);
struct journal_position journal_position(const struct journal *j);
int64_t journal_producer_id(const struct journal *j);
uint64_t journal_config_hash(const struct journal *j); /* that applies at the position; 0: none */
/* Records in the logs that replay will skip. */
bool journal_is_ahead(const struct journal *j);
/* Nothing that it knows matters to anybody: no position, and no log has a record of it. */
bool journal_is_blank(const struct journal *j);
/* Copies what is needed to the journal's end, so that the older part may go; nothing when that cannot be done now. */
int journal_checkpoint(struct journal *j) WARN_UNUSED;
/* It can be done now, or was and is on its way to the disk. */
bool journal_may_checkpoint(const struct journal *j);
void journal_set_strict(struct journal *j, bool strict);
/* Another output configuration applies from the position on; durable when it returns, so that all records behind the position
 * that recovery finds were written with its configuration. -EBUSY: a replay is due, which only the former one can finish. */
int journal_config_change(struct journal *j, uint64_t config_hash) WARN_UNUSED;
/* Something failed: only a new journal, loaded and recovered, can go on. 0 or -errno. */
int journal_failed(const struct journal *j);
/* What was counted does not fit the position any more (an event failed halfway): the journal counts as failed. */
void journal_break(struct journal *j);

/* -- topics -- */

struct journal_topic *journal_topics(struct journal *j);                           /* all, linked by next */
struct journal_topic *journal_topic_by_name(struct journal *j, struct slice name); /* NULL: unknown or gone */
/* A topic that we write to for the first time, with its logs in place; durable when it returns. -EAGAIN: a snapshot runs, and
 * another connector takes its own into the same topic; nothing was changed. */
int journal_topic_add(struct journal *j, struct uuid id, struct slice name, int32_t partitions_count,
                      struct journal_topic **ret_topic) WARN_UNUSED;
/* Has replay passed all that was there before? wal_end: the end of PostgreSQL's log, as seen when the connection was made.
 * Only then may a table be resolved anew. */
bool journal_is_live(const struct journal *j, uint64_t wal_end);
/* May routing, transforms or counts change now? Live, between units and between transactions. */
bool journal_may_change(const struct journal *j, uint64_t wal_end);
/* Rows are routed over so many partitions from now on. Only when journal_may_change(). */
int journal_topic_grow(struct journal *j, struct journal_topic *t, int32_t partitions_count) WARN_UNUSED;
/* Its logs do not exist any more. */
void journal_topic_gone(struct journal *j, struct journal_topic *t);

/* -- relation versions -- */

/* The version that the row at this position must be encoded with, resolved for this shape; false: none, resolve it from the
 * catalog and add it. It holds for rows before *ret_until. Borrowed until the next add. */
bool journal_relation_find(struct journal *j, uint32_t oid, struct journal_position at, struct slice shape,
                           struct journal_relation_record *ret_relation, struct journal_position *ret_until);
/* Of how many versions the journal knows; the tables that they are of, malloc'd. */
uint32_t journal_relations_count(const struct journal *j);
uint32_t journal_relation_oids(const struct journal *j, uint32_t **ret_oids);
/* Rows of this table need not come any more: the next checkpoint copies nothing of it. When one comes all the same it must be
 * looked for anew (and is not found): nothing that was found before may be used on. wal_end: of the server, when it was known
 * that the table is gone. false: not yet, see journal_may_change(). */
bool journal_relation_forget(struct journal *j, uint32_t oid, uint64_t wal_end);
/* Durable when it returns. */
int journal_relation_add(struct journal *j, const struct journal_relation_record *r) WARN_UNUSED;

/* -- units -- */

/* Counts one record for p. true: build it into p's pending batch; false: the log has it already. */
bool journal_next(struct journal *j, struct journal_partition *p);
/* Appends what is pending in p (its batch is full). */
int journal_append(struct journal *j, struct journal_partition *p) WARN_UNUSED;
/* Appends what is pending everywhere, journals the position, publishes if it may. whole: at lies between transactions. Writes
 * nothing when no record was counted and the last record stands between transactions. */
int journal_unit_end(struct journal *j, struct journal_position at) WARN_UNUSED;

/* -- snapshot -- */

/* Its topics are those known so far; later ones are added with journal_topic_add(). Durable when it returns. -EAGAIN: another
 * connector takes its own into one of them; nothing was changed. */
int journal_snapshot_begin(struct journal *j) WARN_UNUSED;
/* All rows are counted: durable and shown when it returns; streaming goes on from lsn. Also used without begin, to start at
 * lsn with no snapshot. */
int journal_snapshot_end(struct journal *j, uint64_t lsn) WARN_UNUSED;
/* Cuts back to the start, for another try; nothing when none runs. */
int journal_snapshot_abort(struct journal *j) WARN_UNUSED;

/* The stream that replay needs does not exist any more: what the logs hold is shown as it is, nothing is skipped. */
int journal_give_up_replay(struct journal *j) WARN_UNUSED;

/* -- rounds -- */

/* Something is journalled or appended that is not known to be durable. */
bool journal_pending(const struct journal *j);
/* Strict: something that could be shown waits for a round, and none runs. */
bool journal_wants_round(const struct journal *j);
/* Starts a round when something is pending and none runs. */
int journal_round(struct journal *j) WARN_UNUSED;
/* Waits until all that is journalled now is durable. */
int journal_drain(struct journal *j) WARN_UNUSED;
void journal_data_synced(struct journal *j, struct journal_partition *p, int error);
void journal_journal_synced(struct journal *j, int error);
/* The stream is idle between transactions, the last of which ended at commit_lsn, and all below lsn was sent: that is our position now. Journalled, and confirmed by the
 * next round: the slot never stands behind what the journal knows, so a slot that does was not moved by us. */
void journal_idle(struct journal *j, uint64_t lsn, uint64_t commit_lsn);
uint64_t journal_confirmed(const struct journal *j);

#ifdef JOURNAL_RULES_SWITCHABLE
extern uint32_t journal_rules; /* bit per enum journal_rule */
#endif

#endif
