/* cdc/journal.c: units, rounds, checkpoints: the running half of journal.h. Recovery: journal_recovery.c. */
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

int journal_fail(struct journal *j, int error)
{
    if (!j->failed) j->failed = error;
    return error;
}

void journal_break(struct journal *j)
{
    journal_fail(j, -EPROTO);
}

/* Writes j->value as a record of this type. */
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

/* -- topics and partitions -- */

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

/* The partition of t, made when it is not there: at our first sequence, not looked up. */
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

static void partition_gone(struct journal_partition *p)
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
        if (p->topic == t) partition_gone(p);
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
            partition_gone(p);
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

/* -- publishing -- */

static void release_add(struct journal *j, uint32_t *count, struct journal_partition *p, int64_t hold)
{
    if (*count == j->releases_size) {
        j->releases_size = MAX(16u, j->releases_size * 2);
        j->releases = xrealloc(j->releases, j->releases_size * sizeof *j->releases);
    }
    j->releases[(*count)++] = (struct journal_release){.partition = p, .hold = hold};
    p->held = hold != INT64_MAX;
    p->hold = hold;
}

/* Shows readers everything up to the last shown record: as it is now, or as the round noted it. */
static void publish(struct journal *j, bool noted)
{
    uint32_t count = 0;

    for (struct journal_partition *p = j->partitions; p; p = p->next) {
        if (p->gone || !p->held || (!RULE(GLOBREL) && p->skip > 0)) continue;
        int64_t hold = noted ? p->noted_next : p->shown_next;
        if (hold > p->hold) release_add(j, &count, p, hold); /* what was noted may be older than what is shown */
    }
    if (count) j->ops->release(j->io, j->releases, count);
}

/* -- units -- */

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

#define UNIT_NOT_SHOWN 0x80 /* for write_unit() only */

/* Writes a UNIT record at the position with the partitions that are touched (full: all) and topic (full: all; else may be NULL). */
static int write_unit(struct journal *j, struct journal_position at, uint8_t flags, const struct journal_topic *topic,
                      int64_t *ret_offset)
{
    bool ahead = journal_is_ahead(j);
    bool full = flags & JOURNAL_UNIT_FULL;

    if (at.part_lsn == 0) flags |= JOURNAL_UNIT_WHOLE;
    if (j->snapshot) flags |= JOURNAL_UNIT_SNAPSHOT;
    else if (at.part_lsn == 0 && !(flags & UNIT_NOT_SHOWN) && (!ahead || !RULE(VREPLAY))) flags |= JOURNAL_UNIT_SHOWN;
    bool show = flags & JOURNAL_UNIT_SHOWN || (!RULE(VHOLD) && flags & JOURNAL_UNIT_WHOLE);
    flags &= (uint8_t)~UNIT_NOT_SHOWN;

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

/* Says that all up to the position may be seen. */
int journal_write_shown(struct journal *j)
{
    int64_t offset;
    return write_unit(j, j->position, 0, NULL, &offset);
}

static void publish_unit(struct journal *j)
{
    if (!j->unit_shown || (RULE(GLOBREL) && journal_is_ahead(j))) return;
    if (j->strict && RULE(STRICTJ)) return; /* the round does it */
    publish(j, false);
}

/* Copies what is still needed to the journal's end; what precedes it is dropped when the copy is durable. */
static int checkpoint(struct journal *j)
{
    int64_t first_offset, offset;

    int r = journal_write_connector(j, &first_offset);
    for (uint32_t i = 0; r == 0 && i < j->relations_count; i++) {
        if (!journal_relation_is_newest(j, i)) continue;
        journal_relation_write(&j->value, &j->relations[i].record);
        r = journal_write(j, JOURNAL_RELATION, &offset);
    }
    if (r == 0) r = write_unit(j, j->position, JOURNAL_UNIT_FULL, NULL, &offset);
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

    for (uint32_t i = 0; i < j->relations_count; i++) {
        j->relations[i].newest = journal_relation_is_newest(j, i);
    }
    for (uint32_t i = 0; i < j->relations_count; i++) {
        if (j->relations[i].newest) j->relations[kept++] = j->relations[i];
        else free(j->relations[i].bytes);
    }
    j->relations_count = kept;
    j->ops->drop(j->io, j->checkpoint_offset);
    j->checkpoint_offset = -1;
}

static int append_all(struct journal *j)
{
    for (struct journal_partition *p = j->partitions; p; p = p->next) {
        int r = journal_append(j, p);
        if (r < 0) return r;
    }
    return 0;
}

static bool any_touched(const struct journal *j)
{
    for (const struct journal_partition *p = j->partitions; p; p = p->next)
        if (p->touched) return true;
    return false;
}

int journal_unit_end(struct journal *j, struct journal_position at)
{
    int64_t offset;
    bool whole = at.part_lsn == 0;

    if (j->failed) return j->failed;
    at.whole_lsn =
        MAX(at.whole_lsn, j->position.whole_lsn); /* journal_idle() may be further than the last transaction */
    if (!any_touched(j) && !(whole && !j->journalled_whole)) {
        j->position = at;
        return 0;
    }
    int r = append_all(j);
    if (r == 0) r = write_unit(j, at, 0, NULL, &offset);
    if (r < 0) return r;
    publish_unit(j);
    if (j->unit_shown && j->checkpoint_offset < 0 && j->records_since_checkpoint >= j->checkpoint_records &&
        !journal_is_ahead(j))
        return checkpoint(j);
    return 0;
}

bool journal_may_checkpoint(const struct journal *j)
{
    if (j->failed) return false;
    return j->checkpoint_offset >= 0 || (!j->snapshot && journal_has_position(j) && !j->position.part_lsn &&
                                         j->journalled_whole && !any_touched(j) && !journal_is_ahead(j));
}

int journal_checkpoint(struct journal *j)
{
    if (j->failed) return j->failed;
    return j->checkpoint_offset >= 0 || !journal_may_checkpoint(j) ? 0 : checkpoint(j);
}

int journal_config_change(struct journal *j, uint64_t config_hash)
{
    if (j->failed) return j->failed;
    if (j->config_hash == config_hash) return 0;
    if (journal_is_ahead(j) || j->position.part_lsn || any_touched(j)) return -EBUSY;
    j->config_hash = config_hash;
    if (!journal_has_position(j)) return 0; /* the snapshot's first record says it */
    int r = journal_write_shown(j);
    return r < 0 ? r : journal_drain(j);
}

/* -- topics: records that must be durable before they are used -- */

/* Others may append again, to topic's partitions (NULL: to all). */
static void snapshot_leave(struct journal *j, const struct journal_topic *topic)
{
    for (struct journal_partition *p = j->partitions; p; p = p->next)
        if (!p->gone && (!topic || p->topic == topic)) (void)!j->ops->exclusive(j->io, p, false);
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
    bool inside = any_touched(j);
    struct journal_position position = j->position;
    for (struct journal_partition *p = j->partitions; p; p = p->next)
        p->touched_before = p->touched, p->touched = false;
    int r = topic_open_partitions(j, t, 0, partitions_count);
    if (r < 0) {
        snapshot_leave(j, t);
        journal_topic_gone(j, t);
    } else {
        r = write_unit(j, inside ? j->journalled : position, inside ? UNIT_NOT_SHOWN : 0, t, &offset);
        j->position = position;
        if (r == 0 && RULE(TOPIC)) r = journal_drain(j);
        if (r < 0) return r;
    }
    for (struct journal_partition *p = j->partitions; p; p = p->next)
        p->touched = p->touched_before && !p->gone, p->touched_before = false;
    if (r < 0) return r;
    if (!inside) publish_unit(j);
    *ret_topic = t;
    return 0;
}

bool journal_is_live(const struct journal *j, uint64_t wal_end)
{
    return !j->failed && !j->snapshot && (!RULE(CATCHUP) || j->position.whole_lsn >= wal_end) && !journal_is_ahead(j);
}

bool journal_may_change(const struct journal *j, uint64_t wal_end)
{
    return j->position.part_lsn == 0 && !any_touched(j) && journal_is_live(j, wal_end);
}

int journal_topic_grow(struct journal *j, struct journal_topic *t, int32_t partitions_count)
{
    int64_t offset;
    int32_t before = t->partitions_count;

    assert(partitions_count > before && j->position.part_lsn == 0 && !any_touched(j));
    int r = topic_open_partitions(j, t, before, partitions_count);
    assert(r == 0); /* no snapshot runs */
    t->partitions_count = partitions_count;
    r = write_unit(j, j->position, 0, t, &offset);
    if (r == 0 && RULE(CNT)) r = journal_drain(j);
    if (r == 0) publish_unit(j);
    return r;
}

/* -- relation versions -- */

bool journal_relation_is_newest(const struct journal *j, uint32_t index)
{
    for (uint32_t i = index + 1; i < j->relations_count; i++)
        if (j->relations[i].record.oid == j->relations[index].record.oid) return false;
    return true;
}

/* Keeps a copy, in the order of positions: the newest version of a table stands last. */
void journal_relation_keep(struct journal *j, const struct journal_relation_record *r, int64_t offset)
{
    if (j->relations_count == j->relations_size) {
        j->relations_size = MAX(16u, j->relations_size * 2);
        j->relations = xrealloc(j->relations, j->relations_size * sizeof *j->relations);
    }
    uint32_t at = j->relations_count;
    while (at > 0 && journal_position_compare(j->relations[at - 1].record.from, r->from) > 0) at--;
    for (uint32_t i = 0; i < j->relations_count; i++) { /* a checkpoint's copy */
        struct journal_relation *old = &j->relations[i];
        if (old->record.oid == r->oid && journal_position_compare(old->record.from, r->from) == 0 &&
            slice_eq(old->record.shape, r->shape) && slice_eq(old->record.resolved, r->resolved)) {
            old->offset = offset;
            return;
        }
    }
    memmove(j->relations + at + 1, j->relations + at, (j->relations_count - at) * sizeof *j->relations);
    j->relations_count++;
    struct journal_relation *v = &j->relations[at];
    *v = (struct journal_relation){
        .record = *r, .offset = offset, .bytes = xmalloc((size_t)r->shape.len + r->resolved.len + 1)};
    if (r->shape.len) memcpy(v->bytes, r->shape.ptr, r->shape.len);
    if (r->resolved.len) memcpy(v->bytes + r->shape.len, r->resolved.ptr, r->resolved.len);
    v->record.shape = slice_make(v->bytes, r->shape.len);
    v->record.resolved = slice_make(v->bytes + r->shape.len, r->resolved.len);
}

bool journal_relation_find(struct journal *j, uint32_t oid, struct journal_position at, struct slice shape,
                           struct journal_relation_record *ret_relation, struct journal_position *ret_until)
{
    const struct journal_relation *found = NULL;

    *ret_until = (struct journal_position){.whole_lsn = UINT64_MAX};
    if (!RULE(RELATION)) return false;
    for (uint32_t i = 0; i < j->relations_count; i++) {
        const struct journal_relation *v = &j->relations[i];
        if (v->record.oid != oid) continue;
        if (RULE(RELPOS) && journal_position_compare(v->record.from, at) > 0) {
            *ret_until = v->record.from;
            break;
        }
        found = v;
    }
    if (!found || !slice_eq(found->record.shape, shape)) return false;
    *ret_relation = found->record;
    return true;
}

static int round_wait(struct journal *j)
{
    while (!j->failed && j->round != ROUND_NONE) {
        int r = j->ops->wait(j->io);
        if (r < 0) return journal_fail(j, r);
    }
    return j->failed;
}

/* Makes what is journalled durable, without data and without confirming. */
int journal_sync_records(struct journal *j)
{
    int r = round_wait(j);

    if (r < 0) return r;
    j->round = ROUND_RECORDS;
    j->ops->sync_journal(j->io);
    return round_wait(j);
}

int journal_relation_add(struct journal *j, const struct journal_relation_record *r)
{
    int64_t offset;

    journal_relation_write(&j->value, r);
    int error = journal_write(j, JOURNAL_RELATION, &offset);
    if (error == 0 && RULE(RELSYNC)) error = journal_sync_records(j);
    if (error < 0) return error;
    journal_relation_keep(j, r, offset);
    return 0;
}

/* -- snapshot -- */

int journal_snapshot_begin(struct journal *j)
{
    int64_t offset;

    if (j->failed) return j->failed;
    assert(j->position.part_lsn == 0 && !any_touched(j));
    for (struct journal_partition *p = j->partitions; p; p = p->next) {
        struct journal_log log = {0};
        if (p->gone) continue;
        int alone = j->ops->exclusive(j->io, p, true);
        if (alone < 0) {
            snapshot_leave(j, NULL);
            return alone;
        }
        if (!j->ops->find(j->io, p, j->producer_id, &log)) {
            partition_gone(p);
            continue;
        }
        if (p->skip > 0 && RULE(SNAPCUT)) return journal_fail(j, -EUCLEAN); /* replay comes first */
        p->sequence = p->snapshot_sequence = p->next_sequence;
        p->skip = 0;
        p->end = p->own_end = log.log_end;
        p->touched = true;
    }
    j->snapshot = j->snapshot_running = true;
    int r = write_unit(j, j->position, 0, NULL, &offset);
    return r == 0 && RULE(SNAPBEGIN) ? journal_drain(j) : r;
}

int journal_snapshot_end(struct journal *j, uint64_t lsn)
{
    int64_t offset;
    bool was_running = j->snapshot_running;

    int r = append_all(j);
    if (r == 0 && RULE(SNAPDONE)) r = journal_drain(j);
    if (r < 0) return r;
    j->snapshot = j->snapshot_running = false;
    for (struct journal_partition *p = j->partitions; p; p = p->next) p->touched = !p->gone;
    r = write_unit(j, (struct journal_position){.whole_lsn = lsn}, 0, NULL, &offset);
    if (r == 0 && RULE(SNAPDONE)) r = journal_drain(j);
    if (r < 0) return r;
    if (!RULE(SNAPDONE)) publish_unit(j);
    else publish(j, false);
    if (was_running) snapshot_leave(j, NULL);
    return 0;
}

/* Takes back what p holds of an unfinished snapshot. Nobody else wrote behind its start. */
int journal_cut_back(struct journal *j, struct journal_partition *p)
{
    int64_t offset;

    int r = j->ops->offset_at(j->io, p, p->snapshot_sequence, &offset);
    if (r == 0 && offset != INT64_MAX) r = j->ops->truncate(j->io, p, offset);
    if (r == -ENOENT) { /* what it held went with its topic */
        if (p->pending) j->ops->discard(j->io, p);
        p->pending = 0;
        partition_gone(p);
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
    int r = round_wait(j); /* a round under way would believe that what is cut is durable */
    for (struct journal_partition *p = j->partitions; p && r == 0; p = p->next) {
        if (p->gone) continue;
        r = journal_cut_back(j, p);
        if (p->held) release_add(j, &count, p, INT64_MAX);
    }
    if (r < 0) return r;
    if (count) j->ops->release(j->io, j->releases, count);
    snapshot_leave(j, NULL);
    j->snapshot_running = false;
    return 0;
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
    int r = write_unit(j, (struct journal_position){.whole_lsn = j->position.whole_lsn}, 0, NULL, &offset);
    if (r == 0) r = journal_drain(j);
    if (r == 0) publish(j, false);
    return r;
}

/* -- rounds -- */

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

void journal_confirm(struct journal *j, uint64_t lsn)
{
    if (lsn <= j->confirmed || j->snapshot) return;
    j->confirmed = lsn;
    j->ops->confirm(j->io, lsn);
}

/* What the round noted is durable: trimming may go so far, strict readers may see it, the slot may forget it. */
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
    if (j->strict && RULE(STRICTJ)) publish(j, true);
    if (j->checkpoint_offset >= 0 && j->checkpoint_written <= j->noted_written) journal_checkpoint_durable(j);
    journal_confirm(j, j->noted.whole_lsn);
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

void journal_idle(struct journal *j, uint64_t lsn)
{
    if (j->failed || j->snapshot || !journal_has_position(j) || j->position.part_lsn || !j->journalled_whole ||
        any_touched(j))
        return;
    if (lsn <= j->journalled.whole_lsn) return;
    j->position.whole_lsn = MAX(j->position.whole_lsn, lsn);
    (void)!journal_write_shown(j); /* a failure is the journal's: journal_failed() */
}
