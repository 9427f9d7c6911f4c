/* cdc/journal_recovery.c: what the journal believes after a start, whatever ended the last run.
 *
 * The state is the fold of the UNIT records. J is the last record for which every partition of the folded state is
 * satisfied: its log reaches the entry's end and holds our sequence up to it, or its topic is gone. V is the last shown
 * record up to J. What follows J in the journal is cut; what follows J in the logs is skipped by count when PostgreSQL
 * sends it again; what follows V in the logs is held from readers until then. */
#include "cdc/journal_state.h"

#include <errno.h>
#include <uthash.h>

void journal_forget_loaded(struct journal *j)
{
    for (uint32_t i = 0; i < j->loaded_count; i++) free((void *)(uintptr_t)j->loaded[i].value.ptr);
    j->loaded_count = 0;
}

/* Units behind keep_offset do not count any more. */
static void forget_units(struct journal *j, int64_t keep_offset)
{
    while (j->loaded_count > 0 && j->loaded[j->loaded_count - 1].offset > keep_offset)
        free((void *)(uintptr_t)j->loaded[--j->loaded_count].value.ptr);
    if (!RULE(RELKEEP)) journal_relations_cut(j, keep_offset);
}

static int load_connector(struct journal *j, struct slice value)
{
    struct journal_connector_record r;

    if (!journal_connector_read(value, &r)) return -EBADMSG;
    if (j->has_connector_record && r.producer_id != j->producer_id) { /* the position was deleted: all begins anew */
        journal_forget_loaded(j);
        journal_relations_cut(j, -1);
    }
    j->producer_id = r.producer_id;
    j->has_connector_record = true;
    return 0;
}

static int load_unit(struct journal *j, int64_t offset, struct slice value)
{
    struct journal_unit_record r;

    if (!journal_unit_read(value, &r)) return -EBADMSG;
    if (j->loaded_count == j->loaded_size) {
        j->loaded_size = MAX(64u, j->loaded_size * 2);
        j->loaded = xrealloc(j->loaded, j->loaded_size * sizeof *j->loaded);
    }
    uint8_t *copy = xmalloc(value.len);
    memcpy(copy, value.ptr, value.len);
    j->loaded[j->loaded_count++] = (struct journal_loaded){.offset = offset, .value = slice_make(copy, value.len)};
    return 0;
}

int journal_load(struct journal *j, int64_t offset, struct slice key, struct slice value)
{
    struct journal_key k;
    struct journal_relation_record relation;
    int64_t keep_offset;

    if (!journal_key_read(key, &k) || k.connector != j->connector) return -EBADMSG;
    switch (k.type) {
    case JOURNAL_CONNECTOR: return load_connector(j, value);
    case JOURNAL_UNIT: return load_unit(j, offset, value);
    case JOURNAL_RELATION:
        if (!journal_relation_read(value, &relation)) return -EBADMSG;
        journal_relation_keep(j, &relation, offset);
        return 0;
    case JOURNAL_CUT:
        if (!journal_cut_read(value, &keep_offset)) return -EBADMSG;
        forget_units(j, keep_offset);
        return 0;
    }
    return -EBADMSG;
}

/* -- the fold -- */

/* One partition of the folded state. */
struct slot {
    struct slot_key {
        struct uuid topic_id;
        int32_t index;
    } key;
    struct journal_partition *partition;
    struct journal_log log;
    bool exists;             /* the log does */
    bool present, satisfied; /* in the state; by its log */
    struct journal_entry entry;
    UT_hash_handle hh;
};

struct fold {
    struct journal *j;
    struct slot *slots;
    uint32_t unsatisfied;
    bool own_satisfied; /* the entries of the last record alone */
};

static bool entry_is_satisfied(const struct journal *j, const struct slot *s)
{
    if (!s->exists) return RULE(GENIGN);
    if (s->entry.end > MAX(s->log.log_end, s->log.log_start)) return false;
    if (!RULE(SEQCHK)) return true;
    if (s->log.known) return journal_sequence_diff(s->log.next_sequence, s->entry.sequence) >= 0;
    return s->log.log_start >= s->entry.end ||
           s->entry.sequence == j->sequence_first; /* trimmed, or nothing of ours yet */
}

static struct slot *fold_slot(struct fold *f, struct uuid topic_id, int32_t index)
{
    struct slot_key key;
    struct slot *s;

    memset(&key, 0, sizeof key);
    key.topic_id = topic_id;
    key.index = index;
    HASH_FIND(hh, f->slots, &key, sizeof key, s);
    if (s) return s;
    s = xcalloc(1, sizeof *s);
    s->key = key;
    s->partition = journal_partition_new(f->j, journal_topic_new(f->j, topic_id, SLICE_EMPTY), index);
    s->exists = f->j->ops->find(f->j->io, s->partition, f->j->producer_id, &s->log);
    HASH_ADD(hh, f->slots, key, sizeof s->key, s);
    return s;
}

static void fold_clear(struct fold *f)
{
    for (struct slot *s = f->slots; s; s = s->hh.next) s->present = s->satisfied = false;
    f->unsatisfied = 0;
}

static void fold_apply(struct fold *f, const struct journal_unit_record *r)
{
    struct journal_topic_entry t;
    struct journal_entry e;

    if (r->flags & JOURNAL_UNIT_FULL) fold_clear(f);
    for (const uint8_t *p = r->topics; journal_unit_next_topic(r, &p, &t);) {
        struct journal_topic *topic = journal_topic_new(f->j, t.id, t.name);
        topic->partitions_count = t.partitions_count;
        free(topic->name);
        topic->name = slice_strdup(t.name);
    }
    f->own_satisfied = true;
    for (const uint8_t *p = r->entries; journal_unit_next_entry(r, &p, &e);) {
        struct slot *s = fold_slot(f, e.topic_id, e.index);
        if (s->present && !s->satisfied) f->unsatisfied--;
        s->entry = e;
        s->present = true;
        s->satisfied = entry_is_satisfied(f->j, s);
        if (!s->satisfied) f->unsatisfied++, f->own_satisfied = false;
    }
}

static struct journal_unit_record loaded_unit(const struct journal *j, uint32_t i)
{
    struct journal_unit_record r;
    bool ok = journal_unit_read(j->loaded[i].value, &r);

    assert(ok); /* journal_load() has read it */
    return r;
}

/* Sets *ret_j to the index of J, *ret_v of V; -1: none. */
static void find_j(struct fold *f, int *ret_j, int *ret_v)
{
    int found_j = -1, found_v = -1;

    for (uint32_t i = 0; i < f->j->loaded_count; i++) {
        struct journal_unit_record r = loaded_unit(f->j, i);
        fold_apply(f, &r);
        if (!(RULE(CUMUL) ? f->unsatisfied == 0 : f->own_satisfied)) continue;
        found_j = (int)i;
        if (r.flags & JOURNAL_UNIT_SHOWN) found_v = (int)i;
    }
    *ret_j = found_j;
    *ret_v = found_v;
}

/* The folded state as it was at record `last`; topics' partition counts too. */
static void fold_to(struct fold *f, int last)
{
    fold_clear(f);
    for (struct journal_topic *t = f->j->topics; t; t = t->next) t->partitions_count = 0;
    for (int i = 0; i <= last; i++) {
        struct journal_unit_record r = loaded_unit(f->j, (uint32_t)i);
        fold_apply(f, &r);
    }
}

/* -- what follows from J and V -- */

static int cut_behind(struct journal *j, int found_j)
{
    int64_t offset, keep_offset = found_j >= 0 ? j->loaded[found_j].offset : -1;

    if (!RULE(CUT) || (uint32_t)(found_j + 1) == j->loaded_count) return 0;
    journal_cut_write(&j->value, keep_offset);
    int r = journal_write(j, JOURNAL_CUT, &offset);
    if (!RULE(RELKEEP)) journal_relations_cut(j, keep_offset);
    if (r == 0 && RULE(CUTSYNC)) r = journal_sync_records(j);
    return r;
}

static int partition_restore(struct journal *j, struct slot *s)
{
    struct journal_partition *p = s->partition;

    p->sequence = s->entry.sequence;
    p->end = s->entry.end;
    p->next_sequence = s->log.known ? s->log.next_sequence : s->entry.sequence;
    p->own_end = s->log.known ? MAX(s->log.own_end, p->end) : p->end;
    if (!RULE(SKIPSEQ) && p->own_end <= p->end) p->next_sequence = p->sequence;

    int32_t skip = journal_sequence_diff(p->next_sequence, p->sequence);
    if (skip < 0) return journal_fail(j, -EUCLEAN); /* the log has fewer of our records than J says */
    p->skip = (uint32_t)skip;
    p->snapshot_sequence = p->sequence;
    p->limited = RULE(RET);
    p->durable_end = p->end;
    if (p->limited) j->ops->trim_limit(j->io, p, p->end);
    return 0;
}

/* Holds what readers may not see: our first record behind V, in every partition. Foreign records before it stay visible, unless
 * a log cannot be read: then all of it is held that V does not show, until a recovery can tell. */
static int hold_behind_v(struct journal *j)
{
    bool ahead = journal_is_ahead(j);
    int error = 0;

    for (struct journal_partition *p = j->partitions; p; p = p->next) {
        if (p->gone) continue;
        if (RULE(GLOBREL) ? !(ahead || (j->position.part_lsn && RULE(VHOLD))) : p->skip == 0) continue;
        int64_t first;
        int r = j->ops->offset_at(j->io, p, p->shown_sequence, &first);
        if (r == -ENOENT) continue; /* deleted a moment ago */
        if (r < 0) error = r, first = p->shown_end;
        if (first == INT64_MAX) continue;
        if (!RULE(HOLDFIRST)) first = MIN(first, p->shown_end);
        p->held = true;
        p->hold = p->shown_next = first;
        j->ops->hold(j->io, p, first);
    }
    return error < 0 ? journal_fail(j, error) : 0;
}

static int restore(struct journal *j, struct fold *f, int found_j, int found_v)
{
    int r = 0;

    fold_to(f, found_v);
    for (struct slot *s = f->slots; s; s = s->hh.next) {
        if (!s->present) continue;
        s->partition->shown_sequence = s->entry.sequence;
        s->partition->shown_end = s->entry.end;
    }
    fold_to(f, found_j);
    for (struct slot *s = f->slots; s; s = s->hh.next) {
        if (!s->present || !s->exists) s->partition->gone = true;
        else if ((r = partition_restore(j, s)) < 0) return r;
        if (s->present && !RULE(VHOLD))
            s->partition->shown_sequence = s->entry.sequence, s->partition->shown_end = s->entry.end;
    }
    if (found_j >= 0) {
        struct journal_unit_record last = loaded_unit(j, (uint32_t)found_j);
        j->position = j->journalled = last.position;
        j->journalled_whole = last.flags & JOURNAL_UNIT_WHOLE;
        j->config_hash = last.config_hash;
        j->snapshot = last.flags & JOURNAL_UNIT_SNAPSHOT;
    }
    for (struct journal_partition *p = j->partitions; p && j->snapshot && RULE(SNAPCUT) && r == 0; p = p->next)
        if (!p->gone) r = journal_cut_back(j, p);
    for (struct journal_topic *t = j->topics; t; t = t->next) {
        t->gone = t->partitions_count == 0;
        for (int32_t i = 0; i < t->partitions_count; i++) /* a partition without an entry: its topic was deleted */
            t->gone |= i >= t->partitions_size || !t->partitions[i] || t->partitions[i]->gone;
    }
    return r;
}

/* All that was found counts as written and not synced: nothing is confirmed before a round has covered it. */
static int sync_found(struct journal *j)
{
    j->written++;
    if (RULE(SYNCREC)) return journal_drain(j);
    for (struct journal_partition *p = j->partitions; p; p = p->next) {
        p->synced_end = p->noted_own_end = p->own_end;
        p->noted_end = p->end;
        p->noted_next = p->shown_next;
    }
    j->noted = j->journalled;
    j->noted_written = j->written;
    journal_noted_durable(j);
    return 0;
}

int journal_recover(struct journal *j)
{
    struct fold f = {.j = j};
    struct slot *s, *next;
    int64_t offset;
    int found_j, found_v;

    find_j(&f, &found_j, &found_v);
    int r = cut_behind(j, found_j);
    if (r == 0) r = restore(j, &f, found_j, found_v);
    HASH_ITER(hh, f.slots, s, next)
    {
        HASH_DEL(f.slots, s);
        free(s);
    }
    journal_forget_loaded(j);
    if (r < 0) return r;
    if ((r = hold_behind_v(j)) < 0) return r;
    if (!j->has_connector_record && (r = journal_write_connector(j, &offset)) < 0) return r;
    j->has_connector_record = true;
    /* Nothing is held: readers will see all up to J. Unless a record says so (the topic that kept J from being shown may be
     * gone), the next recovery would hold what follows V, which they have seen. */
    if (found_j > found_v && !j->snapshot && j->position.part_lsn == 0 && !journal_is_ahead(j) &&
        (r = journal_write_shown(j)) < 0)
        return r;
    return sync_found(j);
}

int journal_give_up_replay(struct journal *j)
{
    int64_t offset;

    if (j->failed) return j->failed;
    for (struct journal_partition *p = j->partitions; p; p = p->next) {
        if (p->gone || (p->skip == 0 && !p->held)) continue;
        p->sequence = p->next_sequence;
        p->skip = 0;
        p->touched = true;
    }
    int r = journal_write_unit(
        j, (struct journal_position){.whole_lsn = j->position.whole_lsn, .commit_lsn = j->position.commit_lsn}, 0, NULL,
        &offset);
    if (r == 0) r = journal_drain(j);
    if (r == 0) journal_publish(j, false);
    return r;
}
