/* cdc/journal.c: one connector's journal as an object: made, asked where it stands, writes its records, fails.
 *
 * What it does: journal_unit.c (counts, appends, shows), journal_round.c (makes durable, confirms), journal_topics.c and
 * journal_relations.c (what records are routed and encoded by), journal_snapshot.c, journal_checkpoint.c (forgets what is old),
 * journal_recovery.c (start). The state that they share, and its invariants: journal_state.h. Threads: journal.h. */
#include "cdc/journal_state.h"

#include <errno.h>

#ifdef JOURNAL_RULES_SWITCHABLE
uint32_t journal_rules = UINT32_MAX;
#endif

struct journal *journal_new(const struct journal_ops *ops, void *io, const struct journal_options *options)
{
    struct journal *j = xcalloc(1, sizeof *j);

    j->ops = ops;
    j->io = io;
    j->connector = options->connector;
    j->producer_id = options->producer_id;
    j->name = slice_strdup(options->name);
    j->topic_prefix = slice_strdup(options->topic_prefix);
    j->config_hash = options->config_hash;
    j->strict = options->strict;
    j->strict_when_shared = options->strict_when_shared;
    j->checkpoint_records = options->checkpoint_records;
    j->sequence_first = options->sequence_first;
    j->journalled_whole = true;
    j->checkpoint_offset = -1;
    return j;
}

void journal_free(struct journal *j)
{
    if (!j) return;
    for (struct journal_partition *p = j->partitions, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    for (struct journal_topic *t = j->topics, *next; t; t = next) {
        next = t->next;
        free(t->name);
        free(t->partitions);
        free(t);
    }
    for (uint32_t i = 0; i < j->relations_count; i++) free(j->relations[i].bytes);
    free(j->relations);
    journal_forget_loaded(j);
    free(j->loaded);
    free(j->releases);
    bytes_done(&j->value);
    free(j->name);
    free(j->topic_prefix);
    free(j);
}

bool journal_has_position(const struct journal *j)
{
    return j->position.whole_lsn != 0 && !j->snapshot;
}
struct journal_position journal_position(const struct journal *j)
{
    return j->position;
}

int64_t journal_producer_id(const struct journal *j)
{
    return j->producer_id;
}
uint64_t journal_config_hash(const struct journal *j)
{
    return j->config_hash;
}

void journal_set_strict(struct journal *j, bool strict)
{
    j->strict = strict;
}
int journal_failed(const struct journal *j)
{
    return j->failed;
}

uint64_t journal_confirmed(const struct journal *j)
{
    return j->confirmed;
}

bool journal_is_ahead(const struct journal *j)
{
    for (const struct journal_partition *p = j->partitions; p; p = p->next)
        if (!p->gone && p->skip > 0) return true;
    return false;
}

bool journal_is_blank(const struct journal *j)
{
    if (j->failed || j->position.whole_lsn != 0 || j->position.part_lsn != 0) return false;
    for (const struct journal_partition *p = j->partitions; p; p = p->next)
        if (!p->gone) return false;
    return true;
}

bool journal_is_live(const struct journal *j, uint64_t wal_end)
{
    return !j->failed && !j->snapshot && (!RULE(CATCHUP) || j->position.whole_lsn >= wal_end) && !journal_is_ahead(j);
}

bool journal_may_change(const struct journal *j, uint64_t wal_end)
{
    return j->position.part_lsn == 0 && !journal_any_touched(j) && journal_is_live(j, wal_end);
}

int journal_fail(struct journal *j, int error)
{
    if (!j->failed) j->failed = error;
    return error;
}

void journal_break(struct journal *j)
{
    journal_fail(j, -EPROTO);
}

int journal_write(struct journal *j, uint8_t type, int64_t *ret_offset)
{
    uint8_t key[JOURNAL_KEY_BYTES];

    if (j->failed) return j->failed;
    if (j->value.failed) return journal_fail(j, -ENOMEM);
    journal_key_write(key, type, j->connector);
    int r = j->ops->write(j->io, slice_make(key, sizeof key), slice_make(j->value.ptr, j->value.len), ret_offset);
    if (r < 0) return journal_fail(j, r);
    j->written++;
    return 0;
}

int journal_write_connector(struct journal *j, int64_t *ret_offset)
{
    journal_connector_write(&j->value, &(struct journal_connector_record){.name = slice_of(j->name),
                                                                          .topic_prefix = slice_of(j->topic_prefix),
                                                                          .producer_id = j->producer_id});
    return journal_write(j, JOURNAL_CONNECTOR, ret_offset);
}

int journal_config_change(struct journal *j, uint64_t config_hash)
{
    if (j->failed) return j->failed;
    if (j->config_hash == config_hash) return 0;
    if (journal_is_ahead(j) || j->position.part_lsn || journal_any_touched(j)) return -EBUSY;
    j->config_hash = config_hash;
    if (!journal_has_position(j)) return 0; /* the snapshot's first record says it */
    int r = journal_write_shown(j);
    return r < 0 ? r : journal_drain(j);
}
