/* cdc/journal_state.h: the journal's state, and what its files journal*.c call of each other. Nobody else includes it but they.
 *
 * Invariants
 *   - position >= journalled: what lies between is counted only, or gave no record.
 *   - every partition that is not gone: sequence + skip == next_sequence + what is pending [modulo 2^31].
 *   - failed is never cleared: only a new journal, loaded and recovered, goes on. Then nothing is written any more. */
#ifndef OTTLA_CDC_JOURNAL_STATE_H
#define OTTLA_CDC_JOURNAL_STATE_H

#include "cdc/journal.h"

#ifdef JOURNAL_RULES_SWITCHABLE
#define RULE(name) ((journal_rules >> JOURNAL_RULE_##name & 1) != 0)
#else
#define RULE(name) true
#endif

/* A UNIT record as loaded, until recovery has judged it. */
struct journal_loaded {
    int64_t offset;
    struct slice value; /* malloc'd */
};

struct journal_relation {
    struct journal_relation_record record; /* slices into bytes */
    int64_t offset;                        /* of its record */
    uint8_t *bytes;
};

enum journal_round_state { ROUND_NONE, ROUND_DATA, ROUND_JOURNAL, ROUND_RECORDS /* the journal only */ };

struct journal {
    const struct journal_ops *ops;
    void *io;
    /* options */
    int32_t connector;
    int64_t producer_id;
    char *name, *topic_prefix;
    uint64_t config_hash;
    bool strict, strict_when_shared;
    uint32_t checkpoint_records;
    int32_t sequence_first;
    /* loaded */
    struct journal_loaded *loaded;
    uint32_t loaded_count, loaded_size;
    bool has_connector_record;
    /* now */
    int failed;
    struct journal_topic *topics;
    struct journal_partition *partitions;
    struct journal_relation *relations; /* by (oid, position) */
    uint32_t relations_count, relations_size;
    struct journal_position position;   /* all before it is counted */
    struct journal_position journalled; /* of the last record */
    bool journalled_whole;
    bool unit_shown;       /* the last record may be shown */
    bool snapshot;         /* one has begun and is not complete */
    bool snapshot_running; /* .. in this process */
    uint64_t confirmed;
    uint64_t written, written_synced; /* records, counted */
    uint32_t records_since_checkpoint;
    int64_t checkpoint_offset; /* where the journal may begin once checkpoint_written is durable; -1: none under way */
    uint64_t checkpoint_written;
    /* the round under way */
    enum journal_round_state round;
    uint32_t syncs_out;
    uint64_t noted_written;
    struct journal_position noted;
    /* scratch */
    struct bytes value;
    struct journal_release *releases;
    uint32_t releases_size;
};

/* Sequences run from 0 to INT32_MAX and begin again, as Kafka's. */
static inline int32_t journal_sequence_add(int32_t sequence, uint32_t n)
{
    return (int32_t)(((uint32_t)sequence + n) & INT32_MAX);
}
/* a - b, for sequences less than 2^30 apart. */
static inline int32_t journal_sequence_diff(int32_t a, int32_t b)
{
    uint32_t d = ((uint32_t)a - (uint32_t)b) & INT32_MAX;
    return d < 1u << 30 ? (int32_t)d : -(int32_t)((1u << 31) - d);
}

/* -- journal.c -- */

/* Returns error; the first one stays the journal's. */
int journal_fail(struct journal *j, int error);
/* Writes j->value as a record of this type. */
int journal_write(struct journal *j, uint8_t type, int64_t *ret_offset);
int journal_write_connector(struct journal *j, int64_t *ret_offset);

/* -- journal_topics.c -- */

/* The topic, made when it is not known. */
struct journal_topic *journal_topic_new(struct journal *j, struct uuid id, struct slice name);
/* The partition of t, made when it is not there: at our first sequence, not looked up. */
struct journal_partition *journal_partition_new(struct journal *j, struct journal_topic *t, int32_t index);
void journal_partition_gone(struct journal_partition *p);

/* -- journal_unit.c -- */

#define JOURNAL_UNIT_NOT_SHOWN 0x80 /* for journal_write_unit() only */

/* Writes a UNIT record at the position with the partitions that are touched (full: all) and topic (full: all; else may be NULL). */
int journal_write_unit(struct journal *j, struct journal_position at, uint8_t flags, const struct journal_topic *topic,
                       int64_t *ret_offset);
/* Says that all up to the position may be seen. */
int journal_write_shown(struct journal *j);
/* Appends what is pending everywhere. */
int journal_append_all(struct journal *j);
/* Is anything counted, or changed, that no record has? */
bool journal_any_touched(const struct journal *j);
/* Shows readers everything up to the last shown record: as it is now, or as the round noted it. */
void journal_publish(struct journal *j, bool noted);
/* .. when the record just written may be shown already. */
void journal_publish_unit(struct journal *j);
/* Puts a mark that moves into j->releases. */
void journal_release_add(struct journal *j, uint32_t *count, struct journal_partition *p, int64_t hold);

/* -- journal_checkpoint.c -- */

/* Writes the copy; only when journal_may_checkpoint(). */
int journal_checkpoint_write(struct journal *j);
/* The copy is durable: drops what precedes it. */
void journal_checkpoint_durable(struct journal *j);

/* -- journal_relations.c -- */

/* Keeps a copy: the newest version of a table stands last of its own. */
void journal_relation_keep(struct journal *j, const struct journal_relation_record *r, int64_t offset);
/* Of its table. */
bool journal_relation_is_newest(const struct journal *j, uint32_t index);
/* Keeps those whose record lies at or before keep_offset. */
void journal_relations_cut(struct journal *j, int64_t keep_offset);

/* -- journal_snapshot.c -- */

/* Others may append again, to topic's partitions (NULL: to all). */
void journal_snapshot_leave(struct journal *j, const struct journal_topic *topic);
/* Takes back what p holds of an unfinished snapshot. Nobody else wrote behind its start. */
int journal_cut_back(struct journal *j, struct journal_partition *p);

/* -- journal_round.c -- */

/* Waits for the round under way, if one is. */
int journal_round_wait(struct journal *j);
/* Makes what is journalled durable, without data and without confirming. */
int journal_sync_records(struct journal *j);
/* What the round noted is durable: trimming may go so far, strict readers may see it, the slot may forget it. */
void journal_noted_durable(struct journal *j);

/* -- journal_recovery.c -- */

void journal_forget_loaded(struct journal *j);

#endif
