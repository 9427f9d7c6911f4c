/* cdc/ingest_relation.c: the tables that a stream describes, and the version that each row of them is encoded with.
 *
 * The stream describes a table (Relation message) before its first row and after each change of it. The version for a row is the
 * journalled one of its position; the catalog is asked when there is none, or when the table was described anew and nothing
 * behind the row was ever written: docs/exactly-once.md, "Relation versions". See ingest.h. */
#include "cdc/ingest_internal.h"

#include "cdc/catalog.h"
#include "cdc/failpoint.h"

#include <errno.h>

void ingest_relations_forget(struct ingest *in)
{
    struct ingest_relation *e, *next;

    HASH_ITER(hh, in->relations, e, next)
    {
        HASH_DEL(in->relations, e);
        relation_free(e->relation);
        free(e->shape);
        free(e);
    }
}

static struct ingest_relation *relation_entry(struct ingest *in, uint32_t oid)
{
    struct ingest_relation *e;
    HASH_FIND(hh, in->relations, &oid, sizeof oid, e);
    return e;
}

void ingest_relation_message(struct ingest *in, const struct pgoutput_relation *m, struct slice payload)
{
    struct ingest_relation *e = relation_entry(in, m->oid);

    if (!e) {
        e = xcalloc(1, sizeof *e);
        e->oid = m->oid;
        HASH_ADD(hh, in->relations, oid, sizeof e->oid, e);
    }
    AUTO_FREE char *schema = slice_strdup(m->schema.len ? m->schema : SLICE("pg_catalog"));
    AUTO_FREE char *name = slice_strdup(m->name);
    e->captured = connector_config_captures(in->env.config, schema, name);
    e->fresh = true;
    free(e->shape);
    e->shape = xmalloc(payload.len);
    e->shape_len = payload.len;
    memcpy(e->shape, payload.ptr, payload.len);
}

void ingest_forget_table(struct ingest *in, uint32_t oid)
{
    struct ingest_relation *e = relation_entry(in, oid);

    if (!e) return;
    relation_free(e->relation);
    e->relation = NULL;
}

static int relation_from_catalog(struct ingest *in, struct ingest_relation *e, struct relation **ret_relation,
                                 struct pg_error *err)
{
    struct pgoutput_message m;
    struct pg_conn *c;
    struct err why;

    int r = pgoutput_decode(in->shape_decoder, slice_make(e->shape, e->shape_len), &m, &why);
    if (r < 0) return ingest_fail_err(in, r, why.text, err);
    r = in->env.catalog(in->env.arg, &c, err);
    if (r < 0) return r;
    struct relation_builder *b = relation_builder_new_stream(&m.relation);
    r = catalog_resolve(c, b, in->env.config, ret_relation, err);
    relation_builder_free(b);
    return r;
}

/* Finds the version for the row at `at`: the journalled one; from the catalog when there is none, or when the table was
 * described anew and nothing behind `at` was ever written. */
static int relation_resolve(struct ingest *in, struct ingest_relation *e, struct journal_position at,
                            struct pg_error *err)
{
    struct journal *j = in->stored->journal;
    struct slice shape = slice_make(e->shape, e->shape_len);
    struct journal_relation_record known;
    struct relation *relation = NULL;
    struct bytes encoded = {0};
    struct err why;
    int r = 0;

    bool again = ingest_is_done(in); /* only to be counted */
    bool found = journal_relation_find(j, e->oid, at, shape, &known, &e->until);
    bool described = e->fresh || e->postponed, live = journal_is_live(j, in->wal_end);
    if (found && !(described && live)) {
        if (relation_decode(known.resolved, in->env.config, &relation, &why) < 0)
            return ingest_fail_err(in, -EBADMSG, why.text, err);
    } else {
        r = relation_from_catalog(in, e, &relation, err);
        if (r < 0) return r;
        relation_encode(relation, &encoded);
        if (!again && (!found || !slice_eq(known.resolved, bytes_slice(&encoded)))) {
            FAILPOINT("relation");
            r = journal_relation_add(j,
                                     &(struct journal_relation_record){
                                         .oid = e->oid, .from = at, .shape = shape, .resolved = bytes_slice(&encoded)});
            FAILPOINT("relation-journalled");
            e->until = (struct journal_position){.whole_lsn = UINT64_MAX};
        }
        bytes_done(&encoded);
        if (r < 0) {
            relation_free(relation);
            return ingest_fail_err(in, -EIO, "a relation version could not be written to the journal", err);
        }
    }
    if (again) e->until = in->start;
    relation_free(e->relation);
    e->relation = relation;
    e->fresh = false;
    e->postponed = described && !live;
    return 0;
}

int ingest_relation_get(struct ingest *in, uint32_t oid, struct journal_position at,
                        const struct relation **ret_relation, struct pg_error *err)
{
    struct ingest_relation *e = relation_entry(in, oid);

    *ret_relation = NULL;
    if (!e) return ingest_fail_err(in, -EPROTO, "a row of a table that the server did not describe", err);
    if (!e->captured) return 0;
    if (!e->relation || e->fresh || (e->postponed && journal_is_live(in->stored->journal, in->wal_end)) ||
        journal_position_compare(at, e->until) >= 0) {
        int r = relation_resolve(in, e, at, err);
        if (r < 0) return r;
    }
    *ret_relation = e->relation;
    return 0;
}
