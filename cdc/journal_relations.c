/* cdc/journal_relations.c: the versions of tables: how rows are encoded from a position on.
 *
 * Kept by table, then by position; a row takes the last version of its table that begins at or before the row (rule RELPOS), as
 * it was journalled (RELATION), durable before its first use (RELSYNC). Of two that begin at the same place the later written counts.
 * A version may be forgotten when all rows before the position are counted for good and who reads on asks the journal again
 * (RELGONE): its next use is then journalled as a first one. Threads: journal.h. */
#include "cdc/journal_state.h"

bool journal_relation_is_newest(const struct journal *j, uint32_t index)
{
    return index + 1 == j->relations_count || j->relations[index + 1].record.oid != j->relations[index].record.oid;
}

/* The first version behind (oid, at). */
static uint32_t first_behind(const struct journal *j, uint32_t oid, struct journal_position at)
{
    uint32_t low = 0, high = j->relations_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct journal_relation_record *r = &j->relations[middle].record;
        if (r->oid < oid || (r->oid == oid && journal_position_compare(r->from, at) <= 0)) low = middle + 1;
        else high = middle;
    }
    return low;
}

static void take_out(struct journal *j, uint32_t index)
{
    free(j->relations[index].bytes);
    j->relations_count--;
    memmove(j->relations + index, j->relations + index + 1, (j->relations_count - index) * sizeof *j->relations);
}

void journal_relation_keep(struct journal *j, const struct journal_relation_record *r, int64_t offset)
{
    if (j->relations_count == j->relations_size) {
        j->relations_size = MAX(16u, j->relations_size * 2);
        j->relations = xrealloc(j->relations, j->relations_size * sizeof *j->relations);
    }
    struct journal_relation v = {
        .record = *r, .offset = offset, .bytes = xmalloc((size_t)r->shape.len + r->resolved.len + 1)};
    if (r->shape.len) memcpy(v.bytes, r->shape.ptr, r->shape.len);
    if (r->resolved.len) memcpy(v.bytes + r->shape.len, r->resolved.ptr, r->resolved.len);
    v.record.shape = slice_make(v.bytes, r->shape.len);
    v.record.resolved = slice_make(v.bytes + r->shape.len, r->resolved.len);

    uint32_t at = first_behind(j, r->oid, r->from);
    for (uint32_t i = at; i > 0; i--) { /* a checkpoint's copy takes the place of what it copies */
        const struct journal_relation_record *old = &j->relations[i - 1].record;
        if (old->oid != r->oid || journal_position_compare(old->from, r->from) != 0) break;
        if (!slice_eq(old->shape, r->shape) || !slice_eq(old->resolved, r->resolved)) continue;
        take_out(j, i - 1);
        at--;
        break;
    }
    memmove(j->relations + at + 1, j->relations + at, (j->relations_count - at) * sizeof *j->relations);
    j->relations_count++;
    j->relations[at] = v;
}

void journal_relations_cut(struct journal *j, int64_t keep_offset)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < j->relations_count; i++) {
        if (j->relations[i].offset <= keep_offset) j->relations[kept++] = j->relations[i];
        else free(j->relations[i].bytes);
    }
    j->relations_count = kept;
}

bool journal_relation_find(struct journal *j, uint32_t oid, struct journal_position at, struct slice shape,
                           struct journal_relation_record *ret_relation, struct journal_position *ret_until)
{
    static const struct journal_position end = {.whole_lsn = UINT64_MAX};

    *ret_until = end;
    if (!RULE(RELATION)) return false;
    uint32_t behind = first_behind(j, oid, RULE(RELPOS) ? at : end);
    if (behind < j->relations_count && j->relations[behind].record.oid == oid)
        *ret_until = j->relations[behind].record.from;
    if (behind == 0) return false;
    const struct journal_relation_record *found = &j->relations[behind - 1].record;
    if (found->oid != oid || !slice_eq(found->shape, shape)) return false;
    *ret_relation = *found;
    return true;
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

uint32_t journal_relations_count(const struct journal *j)
{
    return j->relations_count;
}

uint32_t journal_relation_oids(const struct journal *j, uint32_t **ret_oids)
{
    uint32_t count = 0;

    *ret_oids = xcalloc(j->relations_count + 1, sizeof **ret_oids);
    for (uint32_t i = 0; i < j->relations_count; i++)
        if (journal_relation_is_newest(j, i)) (*ret_oids)[count++] = j->relations[i].record.oid;
    return count;
}

bool journal_relation_forget(struct journal *j, uint32_t oid, uint64_t wal_end)
{
    if (RULE(RELGONE) && !journal_may_change(j, wal_end)) return false;
    uint32_t end = first_behind(j, oid, (struct journal_position){.whole_lsn = UINT64_MAX});
    while (end > 0 && j->relations[end - 1].record.oid == oid) take_out(j, --end);
    return true;
}
