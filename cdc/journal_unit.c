/* cdc/journal_unit.c: ingest units: records counted, appended, journalled, shown.
 *
 *   journal_next() per record -> [journal_append() when a batch is full] -> journal_unit_end(): the rest, the UNIT record, the marks
 *
 * Invariants: p->sequence counts every record up to the position, p->next_sequence those in the log; skip is their difference
 * while the log is ahead. What is appended is held until a UNIT record that may be shown covers it. Threads: journal.h. */
#include "cdc/journal_state.h"

#include <errno.h>

bool journal_next(struct journal *j, struct journal_partition *p)
{
    (void)j;
    if (p->gone) return false;
    p->sequence = journal_sequence_add(p->sequence, 1);
    p->touched = true;
    if (p->skip > 0) {
        p->skip--;
        return false;
    }
    p->pending++;
    return true;
}

/* Before records stand in a log that no durable record covers, trimming is limited to what one covers. */
static void limit_trimming(struct journal *j, struct journal_partition *p)
{
    if (p->limited || !RULE(RET)) return;
    p->limited = true;
    j->ops->trim_limit(j->io, p, p->durable_end);
}

int journal_append(struct journal *j, struct journal_partition *p)
{
    int64_t base_offset, last_offset;

    if (j->failed) return j->failed;
    if (p->pending == 0) return 0;
    limit_trimming(j, p);
    int r = j->ops->append(j->io, p, p->next_sequence, p->pending, &base_offset, &last_offset);
    /* Also when the topic was deleted meanwhile (-ENOENT): its rows may have been committed later, and belong to its successor.
     * The journal is recovered, the unit is read again. */
    if (r < 0) return journal_fail(j, r);
    if (j->strict_when_shared && base_offset != p->own_end) j->strict = true;
    p->next_sequence = journal_sequence_add(p->next_sequence, p->pending);
    p->pending = 0;
    p->own_end = last_offset + 1;
    p->shown_next = MIN(p->shown_next, base_offset);
    p->noted_next = MIN(p->noted_next, base_offset);
    if (!p->held) p->hold = base_offset;
    p->held = true;
    return 0;
}

int journal_append_all(struct journal *j)
{
    for (struct journal_partition *p = j->partitions; p; p = p->next) {
        int r = journal_append(j, p);
        if (r < 0) return r;
    }
    return 0;
}

bool journal_any_touched(const struct journal *j)
{
    for (const struct journal_partition *p = j->partitions; p; p = p->next)
        if (p->touched) return true;
    return false;
}

/* The entry of p for a record written now; moves p->end. */
static struct journal_entry entry_now(struct journal *j, struct journal_partition *p)
{
    if (!RULE(OLDEND)) {
        struct journal_log log = {0};
        if (j->ops->find(j->io, p, j->producer_id, &log)) p->end = log.log_end;
    } else if (p->skip == 0) {
        p->end = MAX(p->end, p->own_end);
    }
    return (struct journal_entry){.topic_id = p->topic->id,
                                  .index = p->index,
                                  .sequence = RULE(LOGICAL) ? p->sequence : p->next_sequence,
                                  .end = p->end};
}

int journal_write_unit(struct journal *j, struct journal_position at, uint8_t flags, const struct journal_topic *topic,
                       int64_t *ret_offset)
{
    bool ahead = journal_is_ahead(j);
    bool full = flags & JOURNAL_UNIT_FULL;

    if (at.part_lsn == 0) flags |= JOURNAL_UNIT_WHOLE;
    if (j->snapshot) flags |= JOURNAL_UNIT_SNAPSHOT;
    else if (at.part_lsn == 0 && !(flags & JOURNAL_UNIT_NOT_SHOWN) && (!ahead || !RULE(VREPLAY)))
        flags |= JOURNAL_UNIT_SHOWN;
    bool show = flags & JOURNAL_UNIT_SHOWN || (!RULE(VHOLD) && flags & JOURNAL_UNIT_WHOLE);
    flags &= (uint8_t)~JOURNAL_UNIT_NOT_SHOWN;

    journal_unit_begin(&j->value, flags, j->config_hash, at);
    for (const struct journal_topic *t = j->topics; t; t = t->next)
        if (!t->gone && (full || t == topic))
            journal_unit_add_topic(&j->value, &(struct journal_topic_entry){.id = t->id,
                                                                            .partitions_count = t->partitions_count,
                                                                            .name = slice_of(t->name)});
    for (struct journal_partition *p = j->partitions; p; p = p->next) {
        if (p->gone || !(full || p->touched)) continue;
        struct journal_entry e = entry_now(j, p);
        journal_unit_add_entry(&j->value, &e);
    }
    int r = journal_write(j, JOURNAL_UNIT, ret_offset);
    if (r < 0) return r;

    j->position = j->journalled = at;
    j->journalled_whole = at.part_lsn == 0;
    j->records_since_checkpoint++;
    for (struct journal_partition *p = j->partitions; p; p = p->next) {
        p->touched = false;
        if (show) p->shown_sequence = p->sequence, p->shown_next = INT64_MAX;
    }
    j->unit_shown = show;
    return 0;
}

int journal_write_shown(struct journal *j)
{
    int64_t offset;
    return journal_write_unit(j, j->position, 0, NULL, &offset);
}

void journal_release_add(struct journal *j, uint32_t *count, struct journal_partition *p, int64_t hold)
{
    if (*count == j->releases_size) {
        j->releases_size = MAX(16u, j->releases_size * 2);
        j->releases = xrealloc(j->releases, j->releases_size * sizeof *j->releases);
    }
    j->releases[(*count)++] = (struct journal_release){.partition = p, .hold = hold};
    p->held = hold != INT64_MAX;
    p->hold = hold;
}

void journal_publish(struct journal *j, bool noted)
{
    uint32_t count = 0;

    for (struct journal_partition *p = j->partitions; p; p = p->next) {
        if (p->gone || !p->held || (!RULE(GLOBREL) && p->skip > 0)) continue;
        int64_t hold = noted ? p->noted_next : p->shown_next;
        if (hold > p->hold)
            journal_release_add(j, &count, p, hold); /* what was noted may be older than what is shown */
    }
    if (count) j->ops->release(j->io, j->releases, count);
}

void journal_publish_unit(struct journal *j)
{
    if (!j->unit_shown || (RULE(GLOBREL) && journal_is_ahead(j))) return;
    if (j->strict && RULE(STRICTJ)) return; /* the round does it */
    journal_publish(j, false);
}

int journal_unit_end(struct journal *j, struct journal_position at)
{
    int64_t offset;
    bool whole = at.part_lsn == 0;

    if (j->failed) return j->failed;
    at.whole_lsn =
        MAX(at.whole_lsn, j->position.whole_lsn); /* journal_idle() may be further than the last transaction */
    if (!journal_any_touched(j) && !(whole && !j->journalled_whole)) {
        j->position = at;
        return 0;
    }
    int r = journal_append_all(j);
    if (r == 0) r = journal_write_unit(j, at, 0, NULL, &offset);
    if (r < 0) return r;
    journal_publish_unit(j);
    if (j->unit_shown && j->checkpoint_offset < 0 && j->records_since_checkpoint >= j->checkpoint_records &&
        !journal_is_ahead(j))
        return journal_checkpoint_write(j);
    return 0;
}

void journal_idle(struct journal *j, uint64_t lsn, uint64_t commit_lsn)
{
    if (j->failed || j->snapshot || !journal_has_position(j) || j->position.part_lsn || !j->journalled_whole ||
        journal_any_touched(j))
        return;
    if (lsn <= j->journalled.whole_lsn) return;
    j->position.whole_lsn = MAX(j->position.whole_lsn, lsn);
    j->position.commit_lsn = commit_lsn;
    (void)!journal_write_shown(j); /* a failure is the journal's: journal_failed() */
}
