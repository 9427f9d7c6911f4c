/* cdc/journal_snapshot.c: the initial snapshot as the journal sees it: begun, complete, or taken back.
 *
 * One unit that nobody sees before it is complete and durable (rule SNAPDONE). Its start in each partition is durable before its
 * first record (SNAPBEGIN), and nobody else appends there until it ends (SNAPALONE): so it can be cut back to its start.
 * Threads: journal.h. */
#include "cdc/journal_state.h"

#include <errno.h>

void journal_snapshot_leave(struct journal *j, const struct journal_topic *topic)
{
    for (struct journal_partition *p = j->partitions; p; p = p->next)
        if (!p->gone && (!topic || p->topic == topic)) (void)!j->ops->exclusive(j->io, p, false);
}

int journal_snapshot_begin(struct journal *j)
{
    int64_t offset;

    if (j->failed) return j->failed;
    assert(j->position.part_lsn == 0 && !journal_any_touched(j));
    /* All of them, or nothing has changed. */
    for (struct journal_partition *p = j->partitions; p; p = p->next) {
        int alone = p->gone ? 0 : j->ops->exclusive(j->io, p, true);
        if (alone == 0) continue;
        journal_snapshot_leave(j, NULL);
        return alone;
    }
    for (struct journal_partition *p = j->partitions; p; p = p->next) {
        struct journal_log log = {0};
        if (p->gone) continue;
        if (!j->ops->find(j->io, p, j->producer_id, &log)) {
            journal_partition_gone(p);
            continue;
        }
        if (p->skip > 0 && RULE(SNAPCUT)) return journal_fail(j, -EUCLEAN); /* replay comes first */
        p->sequence = p->snapshot_sequence = p->next_sequence;
        p->skip = 0;
        p->end = p->own_end = log.log_end;
        p->touched = true;
    }
    j->snapshot = j->snapshot_running = true;
    int r = journal_write_unit(j, j->position, 0, NULL, &offset);
    return r == 0 && RULE(SNAPBEGIN) ? journal_drain(j) : r;
}

int journal_snapshot_end(struct journal *j, uint64_t lsn)
{
    int64_t offset;
    bool was_running = j->snapshot_running;

    int r = journal_append_all(j);
    if (r == 0 && RULE(SNAPDONE)) r = journal_drain(j);
    if (r < 0) return r;
    j->snapshot = j->snapshot_running = false;
    for (struct journal_partition *p = j->partitions; p; p = p->next) p->touched = !p->gone;
    r = journal_write_unit(j, (struct journal_position){.whole_lsn = lsn}, 0, NULL, &offset);
    if (r == 0 && RULE(SNAPDONE)) r = journal_drain(j);
    if (r < 0) return r;
    if (!RULE(SNAPDONE)) journal_publish_unit(j);
    else journal_publish(j, false);
    if (was_running) journal_snapshot_leave(j, NULL);
    return 0;
}

int journal_cut_back(struct journal *j, struct journal_partition *p)
{
    int64_t offset;

    int r = j->ops->offset_at(j->io, p, p->snapshot_sequence, &offset);
    if (r == 0 && offset != INT64_MAX) r = j->ops->truncate(j->io, p, offset);
    if (r == -ENOENT) { /* what it held went with its topic */
        if (p->pending) j->ops->discard(j->io, p);
        p->pending = 0;
        journal_partition_gone(p);
        return 0;
    }
    if (r < 0) return journal_fail(j, r);
    p->sequence = p->next_sequence = p->snapshot_sequence;
    p->shown_next = p->noted_next = INT64_MAX;
    p->own_end = p->end;
    p->synced_end = -1; /* the cut must become durable too */
    if (p->pending) j->ops->discard(j->io, p);
    p->skip = p->pending = 0;
    p->touched = false;
    return 0;
}

int journal_snapshot_abort(struct journal *j)
{
    uint32_t count = 0;

    if (!j->snapshot_running) return 0;
    int r = journal_round_wait(j); /* a round under way would believe that what is cut is durable */
    for (struct journal_partition *p = j->partitions; p && r == 0; p = p->next) {
        if (p->gone) continue;
        r = journal_cut_back(j, p);
        if (p->held) journal_release_add(j, &count, p, INT64_MAX);
    }
    if (r < 0) return r;
    if (count) j->ops->release(j->io, j->releases, count);
    journal_snapshot_leave(j, NULL);
    j->snapshot_running = false;
    return 0;
}
