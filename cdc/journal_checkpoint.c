/* cdc/journal_checkpoint.c: what is needed of a journal, copied to its end, so that the older part may go.
 *
 * Format: a CONNECTOR record, the newest RELATION of each table, a full UNIT. Only a position between transactions, with no log
 * ahead, can be copied: replay needs none of the older records then. They are dropped when the copy is durable (rule CKPT).
 * Threads: journal.h. */
#include "cdc/journal_state.h"

int journal_checkpoint_write(struct journal *j)
{
    int64_t first_offset, offset;

    int r = journal_write_connector(j, &first_offset);
    for (uint32_t i = 0; r == 0 && i < j->relations_count; i++) {
        if (!journal_relation_is_newest(j, i)) continue;
        journal_relation_write(&j->value, &j->relations[i].record);
        r = journal_write(j, JOURNAL_RELATION, &offset);
    }
    if (r == 0) r = journal_write_unit(j, j->position, JOURNAL_UNIT_FULL, NULL, &offset);
    if (r < 0) return r;
    j->records_since_checkpoint = 0;
    j->checkpoint_offset = first_offset;
    j->checkpoint_written = j->written;
    if (!RULE(CKPT)) journal_checkpoint_durable(j);
    return 0;
}

void journal_checkpoint_durable(struct journal *j)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < j->relations_count; i++) { /* kept <= i: what is asked about stands where it was */
        if (journal_relation_is_newest(j, i)) j->relations[kept++] = j->relations[i];
        else free(j->relations[i].bytes);
    }
    j->relations_count = kept;
    j->ops->drop(j->io, j->checkpoint_offset);
    j->checkpoint_offset = -1;
}

bool journal_may_checkpoint(const struct journal *j)
{
    if (j->failed) return false;
    return j->checkpoint_offset >= 0 || (!j->snapshot && journal_has_position(j) && !j->position.part_lsn &&
                                         j->journalled_whole && !journal_any_touched(j) && !journal_is_ahead(j));
}

int journal_checkpoint(struct journal *j)
{
    if (j->failed) return j->failed;
    return j->checkpoint_offset >= 0 || !journal_may_checkpoint(j) ? 0 : journal_checkpoint_write(j);
}
