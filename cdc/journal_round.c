/* cdc/journal_round.c: sync rounds: what is journalled and appended becomes durable, then PostgreSQL may forget it.
 *
 *   ROUND_NONE -journal_round()-> ROUND_DATA -last journal_data_synced()-> ROUND_JOURNAL -journal_journal_synced()-> ROUND_NONE
 *   ROUND_NONE -journal_sync_records()-> ROUND_RECORDS -journal_journal_synced()-> ROUND_NONE (nothing is confirmed)
 *
 * A round covers what it noted at its begin: data first, then the journal, so that no durable record is ahead of its data.
 * Threads: journal.h. */
#include "cdc/journal_state.h"

static bool is_dirty(const struct journal_partition *p)
{
    return !p->gone && p->own_end > p->synced_end; /* ends are compared: a mark could be set while the round runs */
}

bool journal_pending(const struct journal *j)
{
    if (j->written > j->written_synced) return true;
    for (const struct journal_partition *p = j->partitions; p; p = p->next)
        if (is_dirty(p)) return true;
    return false;
}

bool journal_wants_round(const struct journal *j)
{
    return j->strict && j->round == ROUND_NONE && j->written > j->written_synced;
}

static void round_data_done(struct journal *j)
{
    j->round = ROUND_JOURNAL;
    j->ops->sync_journal(j->io);
}

int journal_round(struct journal *j)
{
    if (j->failed) return j->failed;
    if (j->round != ROUND_NONE || !journal_pending(j)) return 0;

    j->round = ROUND_DATA;
    j->noted_written = j->written;
    j->noted = j->journalled;
    j->syncs_out = 1; /* ours, so that a sync which is answered at once does not end the list */
    for (struct journal_partition *p = j->partitions; p; p = p->next) {
        if (p->gone) continue;
        p->noted_own_end = p->own_end;
        p->noted_end = p->end;
        p->noted_next = p->shown_next;
        p->syncing = is_dirty(p);
    }
    for (struct journal_partition *p = j->partitions; p; p = p->next) {
        if (!p->syncing) continue;
        j->syncs_out++;
        j->ops->sync_data(j->io, p);
    }
    if (--j->syncs_out == 0 && !j->failed) round_data_done(j);
    return j->failed;
}

void journal_data_synced(struct journal *j, struct journal_partition *p, int error)
{
    p->syncing = false;
    if (error < 0) journal_fail(j, error); /* also when its topic was deleted: what is pending for it is read again */
    else p->synced_end = MAX(p->synced_end, p->noted_own_end);
    if (--j->syncs_out == 0 && !j->failed) round_data_done(j);
}

static void confirm(struct journal *j, uint64_t lsn)
{
    if (lsn <= j->confirmed || j->snapshot) return;
    j->confirmed = lsn;
    j->ops->confirm(j->io, lsn);
}

void journal_noted_durable(struct journal *j)
{
    j->written_synced = j->noted_written;
    for (struct journal_partition *p = j->partitions; p; p = p->next) {
        if (p->gone) continue;
        p->durable_end = p->noted_end;
        if (!p->limited) continue;
        p->limited = p->own_end > p->noted_end;
        j->ops->trim_limit(j->io, p, p->limited ? p->noted_end : INT64_MAX);
    }
    if (j->strict && RULE(STRICTJ)) journal_publish(j, true);
    if (j->checkpoint_offset >= 0 && j->checkpoint_written <= j->noted_written) journal_checkpoint_durable(j);
    confirm(j, j->noted.whole_lsn);
}

void journal_journal_synced(struct journal *j, int error)
{
    enum journal_round_state was = j->round;

    j->round = ROUND_NONE;
    if (error < 0) journal_fail(j, error);
    else if (was == ROUND_JOURNAL) journal_noted_durable(j);
}

int journal_drain(struct journal *j)
{
    for (;;) {
        if (j->failed) return j->failed;
        if (j->round == ROUND_NONE) {
            if (!journal_pending(j)) return 0;
            int r = journal_round(j);
            if (r < 0) return r;
            continue;
        }
        int r = j->ops->wait(j->io);
        if (r < 0) return journal_fail(j, r);
    }
}

int journal_round_wait(struct journal *j)
{
    while (!j->failed && j->round != ROUND_NONE) {
        int r = j->ops->wait(j->io);
        if (r < 0) return journal_fail(j, r);
    }
    return j->failed;
}

int journal_sync_records(struct journal *j)
{
    int r = journal_round_wait(j);

    if (r < 0) return r;
    j->round = ROUND_RECORDS;
    j->ops->sync_journal(j->io);
    return journal_round_wait(j);
}
