/* cdc/journal_topics.c: the topics that a connector writes to, and their partitions as the journal sees them.
 *
 * A topic, and each partition that is added to it, stands durable in a UNIT record before the first batch goes into it (rules
 * TOPIC and CNT): else recovery could find records of ours in a log of which the journal knows nothing. A topic that was deleted
 * stays, marked gone, so that nothing which points to it dangles; records leave it out. Threads: journal.h. */
#include "cdc/journal_state.h"

#include <errno.h>

struct journal_topic *journal_topics(struct journal *j)
{
    return j->topics;
}

struct journal_topic *journal_topic_by_name(struct journal *j, struct slice name)
{
    for (struct journal_topic *t = j->topics; t; t = t->next)
        if (!t->gone && slice_eq_text(name, t->name)) return t;
    return NULL;
}

static struct journal_topic *topic_by_id(struct journal *j, struct uuid id)
{
    for (struct journal_topic *t = j->topics; t; t = t->next)
        if (uuid_eq(t->id, id)) return t;
    return NULL;
}

struct journal_topic *journal_topic_new(struct journal *j, struct uuid id, struct slice name)
{
    struct journal_topic *t = topic_by_id(j, id);

    if (t) return t;
    t = xcalloc(1, sizeof *t);
    t->id = id;
    t->name = slice_strdup(name);
    t->next = j->topics;
    j->topics = t;
    return t;
}

struct journal_partition *journal_partition_new(struct journal *j, struct journal_topic *t, int32_t index)
{
    if (index >= t->partitions_size) {
        int32_t size = MAX(index + 1, t->partitions_size * 2);
        t->partitions = xrealloc(t->partitions, (size_t)size * sizeof *t->partitions);
        memset(t->partitions + t->partitions_size, 0, (size_t)(size - t->partitions_size) * sizeof *t->partitions);
        t->partitions_size = size;
    }
    if (t->partitions[index]) return t->partitions[index];

    struct journal_partition *p = xcalloc(1, sizeof *p);
    p->topic = t;
    p->index = index;
    p->sequence = p->next_sequence = p->shown_sequence = j->sequence_first;
    p->synced_end = -1;
    p->shown_next = p->noted_next = INT64_MAX;
    p->next = j->partitions;
    j->partitions = p;
    t->partitions[index] = p;
    return p;
}

void journal_partition_gone(struct journal_partition *p)
{
    assert(p->pending == 0); /* topics go between units */
    p->gone = true;
    p->touched = p->held = false;
    p->skip = 0;
}

void journal_topic_gone(struct journal *j, struct journal_topic *t)
{
    t->gone = true;
    for (struct journal_partition *p = j->partitions; p; p = p->next)
        if (p->topic == t) journal_partition_gone(p);
}

/* Looks up partitions [from, to) of t and makes them part of the next record. -EAGAIN: see journal_topic_add(). */
static int topic_open_partitions(struct journal *j, struct journal_topic *t, int32_t from, int32_t to)
{
    for (int32_t i = from; i < to; i++) {
        struct journal_partition *p = journal_partition_new(j, t, i);
        struct journal_log log = {0};
        bool found = j->ops->find(j->io, p, j->producer_id, &log);
        if (found && j->snapshot_running) { /* look again, now that the end stands still */
            int r = j->ops->exclusive(j->io, p, true);
            if (r < 0) return r;
            found = j->ops->find(j->io, p, j->producer_id, &log);
        }
        if (!found) {
            journal_partition_gone(p);
            continue;
        }
        p->gone = p->held = p->limited = false; /* it may stand here from a record that recovery cut */
        p->sequence = p->next_sequence = p->shown_sequence = j->sequence_first;
        p->shown_next = p->noted_next = INT64_MAX;
        p->skip = 0;
        p->synced_end = -1;
        p->durable_end = 0;
        p->end = p->own_end = log.log_end;
        if (log.known) { /* only when its first record was lost: that record is durable before our first batch */
            p->next_sequence = log.next_sequence;
            p->skip = (uint32_t)MAX(journal_sequence_diff(log.next_sequence, p->sequence), 0);
            p->end = 0;
            p->own_end = log.own_end;
        }
        p->snapshot_sequence = p->sequence;
        p->touched = true;
    }
    return 0;
}

int journal_topic_add(struct journal *j, struct uuid id, struct slice name, int32_t partitions_count,
                      struct journal_topic **ret_topic)
{
    int64_t offset;

    if (j->failed) return j->failed;
    struct journal_topic *t = journal_topic_new(j, id, name);
    t->partitions_count = partitions_count;
    t->gone = false;

    /* Inside a unit the topic's start belongs to the position before the unit, with the new partitions only. Whether the
     * logs were ahead there is not known any more: that record is not shown. */
    bool inside = journal_any_touched(j);
    struct journal_position position = j->position;
    for (struct journal_partition *p = j->partitions; p; p = p->next)
        p->touched_before = p->touched, p->touched = false;
    int r = topic_open_partitions(j, t, 0, partitions_count);
    if (r < 0) {
        journal_snapshot_leave(j, t);
        journal_topic_gone(j, t);
    } else {
        r = journal_write_unit(j, inside ? j->journalled : position, inside ? JOURNAL_UNIT_NOT_SHOWN : 0, t, &offset);
        j->position = position;
        if (r == 0 && RULE(TOPIC)) r = journal_drain(j);
        if (r < 0) return r;
    }
    for (struct journal_partition *p = j->partitions; p; p = p->next)
        p->touched = p->touched_before && !p->gone, p->touched_before = false;
    if (r < 0) return r;
    if (!inside) journal_publish_unit(j);
    *ret_topic = t;
    return 0;
}

int journal_topic_grow(struct journal *j, struct journal_topic *t, int32_t partitions_count)
{
    int64_t offset;
    int32_t before = t->partitions_count;

    assert(partitions_count > before && j->position.part_lsn == 0 && !journal_any_touched(j));
    int r = topic_open_partitions(j, t, before, partitions_count);
    assert(r == 0); /* no snapshot runs */
    t->partitions_count = partitions_count;
    r = journal_write_unit(j, j->position, 0, t, &offset);
    if (r == 0 && RULE(CNT)) r = journal_drain(j);
    if (r == 0) journal_publish_unit(j);
    return r;
}
