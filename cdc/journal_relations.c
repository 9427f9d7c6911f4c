/* cdc/journal_relations.c: the versions of tables: how rows are encoded from a position on.
 *
 * Kept in the order of positions; a row takes the last version of its table that begins at or before the row (rule RELPOS), as
 * it was journalled (RELATION), durable before its first use (RELSYNC). Threads: journal.h. */
#include "cdc/journal_state.h"

bool journal_relation_is_newest(const struct journal *j, uint32_t index)
{
    for (uint32_t i = index + 1; i < j->relations_count; i++)
        if (j->relations[i].record.oid == j->relations[index].record.oid) return false;
    return true;
}

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

void journal_relations_forget(struct journal *j, int64_t keep_offset)
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
