/* cdc/journal_state.h: the journal's state, for journal.c and journal_recovery.c only. */
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
    bool newest;
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
    struct journal_relation *relations; /* by position */
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

int journal_fail(struct journal *j, int error);
int journal_write(struct journal *j, uint8_t type, int64_t *ret_offset);
int journal_write_connector(struct journal *j, int64_t *ret_offset);
struct journal_topic *journal_topic_new(struct journal *j, struct uuid id, struct slice name);
struct journal_partition *journal_partition_new(struct journal *j, struct journal_topic *t, int32_t index);
void journal_relation_keep(struct journal *j, const struct journal_relation_record *r, int64_t offset);
bool journal_relation_is_newest(const struct journal *j, uint32_t index);
void journal_checkpoint_durable(struct journal *j);
int journal_sync_records(struct journal *j);
int journal_write_shown(struct journal *j);
int journal_cut_back(struct journal *j, struct journal_partition *p);
void journal_noted_durable(struct journal *j);
void journal_confirm(struct journal *j, uint64_t lsn);
void journal_forget_loaded(struct journal *j);

#endif
