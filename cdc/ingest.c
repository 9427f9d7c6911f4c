/* cdc/ingest.c: the stream's messages and transactions to changes: what is done already, what is counted, what is encoded.
 *
 * The versions that rows are encoded with: ingest_relation.c; what becomes of the records: ingest_unit.c. See ingest.h. */
#include "cdc/ingest_internal.h"

#include <errno.h>
#include <stdio.h>

#define UNIT_TIME_US 2000          /* whole transactions share a unit for so long */
#define UNIT_BYTES   (1024 * 1024) /* .. or until it is so large [bytes] */

struct ingest *ingest_new(const struct ingest_env *env, struct stored_journal *stored)
{
    struct ingest *in = xcalloc(1, sizeof *in);

    in->env = *env;
    in->stored = stored;
    in->decoder = pgoutput_decoder_new();
    in->shape_decoder = pgoutput_decoder_new();
    return in;
}

void ingest_free(struct ingest *in)
{
    if (!in) return;
    ingest_relations_forget(in);
    pgoutput_decoder_free(in->decoder);
    pgoutput_decoder_free(in->shape_decoder);
    bytes_done(&in->origin_name);
    free(in);
}
void ingest_set_stored(struct ingest *in, struct stored_journal *stored)
{
    in->stored = stored;
    in->topic = NULL;
    in->counted = false;
    in->unit_bytes = 0;
}

const struct source_offset *ingest_last(const struct ingest *in)
{
    return &in->last_whole;
}
uint64_t ingest_commit_lsn(const struct ingest *in)
{
    return in->last_commit_lsn;
}
const char *ingest_error(const struct ingest *in)
{
    return in->error;
}

void ingest_set_alone(struct ingest *in, bool alone)
{
    in->alone = alone;
}
void ingest_set_keyless(struct ingest *in, uint64_t number)
{
    in->keyless = number;
}

void ingest_set_xmin(struct ingest *in, int64_t xmin)
{
    in->xmin = xmin;
}
bool ingest_is_quiet(const struct ingest *in)
{
    return !in->in_transaction && !in->counted;
}

int ingest_fail(struct ingest *in, int error, const char *text)
{
    if (text != in->error) snprintf(in->error, sizeof in->error, "%s", text);
    return error;
}

int ingest_fail_err(struct ingest *in, int error, const char *text, struct pg_error *err)
{
    *err = (struct pg_error){0};
    snprintf(err->text, sizeof err->text, "%s", text);
    return ingest_fail(in, error, text);
}

void ingest_begin(struct ingest *in, uint64_t wal_end)
{
    ingest_relations_forget(in);
    in->start = journal_position(in->stored->journal);
    in->wal_end = wal_end;
    in->whole_lsn = in->start.whole_lsn;
    in->in_transaction = in->counted = false;
    in->unit_bytes = 0;
    in->ordinal = 0;
    in->last_commit_lsn = in->start.commit_lsn;
    in->last = in->last_whole = (struct source_offset){0}; /* of the former stream: it may come again, or never */
}

bool ingest_is_done(const struct ingest *in)
{
    if (!in->in_transaction) return false;
    if (in->begin.final_lsn < in->start.whole_lsn) return true;
    return in->begin.final_lsn == in->start.part_lsn && in->ordinal < in->start.ordinal;
}

/* A change that is done only counts in the numbers of its transaction. */
static int emit_nothing(void *arg, const struct change_record *record)
{
    return 0;
}

static change_emit_fn *emit_now(const struct ingest *in)
{
    return ingest_is_done(in) ? emit_nothing : ingest_emit;
}

static struct source_position source_position(const struct ingest *in, uint64_t lsn)
{
    struct source_position p = {.lsn = lsn,
                                .last_commit_lsn = in->last_commit_lsn,
                                .xid = -1,
                                .xmin = in->xmin,
                                .now_ns = clock_system.wall_us(&clock_system) * 1000};

    if (!in->in_transaction) {
        p.time_us = p.now_ns / 1000;
        return p;
    }
    p.xid = in->begin.xid;
    p.time_us = in->begin.commit_time_us;
    p.origin = in->origin;
    p.origin_lsn = in->origin_lsn;
    return p;
}

static void note_last(struct ingest *in, uint64_t lsn, const char *operation)
{
    in->last.events_processed = in->last.lsn == lsn ? in->last.events_processed + 1 : 1;
    in->last.lsn = lsn;
    in->last.commit_lsn = in->last_commit_lsn;
    in->last.xid = in->begin.xid;
    in->last.time_us = in->begin.commit_time_us;
    in->last.operation = operation;
}

static int encode_row(struct ingest *in, uint32_t oid, enum change_op op, const struct tuple *old_tuple,
                      const struct tuple *new_tuple, uint64_t lsn, struct pg_error *err)
{
    const struct relation *relation;
    struct source_position position = source_position(in, lsn);
    struct err why = ERR_NONE;

    int r = ingest_relation_get(in, oid, ingest_position(in), &relation, err);
    if (r < 0 || !relation) return r;
    in->error[0] = '\0';
    in->keyless = in->begin.final_lsn >> 3; /* the rows of a transaction stay together */
    r = change_encoder_row(in->env.encoder, relation, op, old_tuple, new_tuple, &position, emit_now(in), in, &why);
    return r < 0 ? ingest_fail_err(in, r, why.text[0] ? why.text : in->error, err) : 0;
}

static int ingest_change(struct ingest *in, const struct pgoutput_message *m, uint64_t lsn, struct pg_error *err)
{
    static const char *const names[] = {
        ['I'] = "INSERT", ['U'] = "UPDATE", ['D'] = "DELETE", ['T'] = "TRUNCATE", ['M'] = "MESSAGE"};
    const struct tuple *old_tuple =
        m->kind != PGOUTPUT_TRUNCATE && m->kind != PGOUTPUT_MESSAGE && m->row.old_kind ? &m->row.old_tuple : NULL;
    const struct relation *relation;
    struct err why = ERR_NONE;
    int r = 0;

    switch (m->kind) {
    case PGOUTPUT_INSERT:
        r = encode_row(in, m->row.relation_oid, CHANGE_CREATE, NULL, &m->row.new_tuple, lsn, err);
        break;
    case PGOUTPUT_UPDATE:
        r = encode_row(in, m->row.relation_oid, CHANGE_UPDATE, old_tuple, &m->row.new_tuple, lsn, err);
        break;
    case PGOUTPUT_DELETE: r = encode_row(in, m->row.relation_oid, CHANGE_DELETE, old_tuple, NULL, lsn, err); break;
    case PGOUTPUT_TRUNCATE:
        /* All tables are resolved before the first is counted: the database may fail between them. */
        for (uint32_t i = 0; i < m->truncate.relations_count && r == 0; i++)
            r = ingest_relation_get(in, m->truncate.relation_oids[i], ingest_position(in), &relation, err);
        for (uint32_t i = 0; i < m->truncate.relations_count && r == 0; i++)
            r = encode_row(in, m->truncate.relation_oids[i], CHANGE_TRUNCATE, NULL, NULL, lsn, err);
        break;
    default: {
        struct source_position position = source_position(in, lsn);
        in->error[0] = '\0';
        r = change_encoder_message(in->env.encoder, &m->logical, &position, emit_now(in), in, &why);
        if (r < 0) r = ingest_fail_err(in, r, why.text[0] ? why.text : in->error, err);
    }
    }
    if (r == 0 && !ingest_is_done(in)) note_last(in, lsn, names[m->kind]);
    return r;
}

/* Must what is done of this transaction be looked at, for the numbers of the rest? */
static bool is_counted_again(const struct ingest *in)
{
    return in->env.config->provide_transaction_metadata && in->begin.final_lsn == in->start.part_lsn;
}

/* Begin and end are changes of their own: the begin has ordinal 0. */
static int ingest_boundary(struct ingest *in,
                           int (*encode)(struct change_encoder *, const struct source_position *, change_emit_fn *,
                                         void *),
                           uint64_t lsn, struct pg_error *err)
{
    struct source_position position = source_position(in, lsn);

    if (ingest_is_done(in) && !is_counted_again(in)) return 0;
    in->error[0] = '\0';
    int r = encode(in->env.encoder, &position, emit_now(in), in);
    return r < 0 ? ingest_fail_err(in, r, in->error[0] ? in->error : "no memory for the record of a transaction", err)
                 : 0;
}

/* A message outside of transactions is one of its own, at its own position. */
static int ingest_lone_message(struct ingest *in, const struct pgoutput_message *m, struct pg_error *err)
{
    if (m->logical.lsn < in->start.whole_lsn) return 0;
    int r = ingest_change(in, m, m->logical.lsn, err);
    if (r == 0) in->whole_lsn = MAX(in->whole_lsn, m->logical.lsn + 1);
    return r;
}

static int ingest_commit(struct ingest *in, const struct pgoutput_commit *c)
{
    in->in_transaction = false;
    in->last_commit_lsn = c->end_lsn; /* where the Commit message stands in the stream, which is what Debezium knows */
    in->whole_lsn = MAX(in->whole_lsn, c->end_lsn);
    in->origin = SLICE_NULL;
    /* When all of it was counted in parts already, its end alone shows it. */
    if (!in->counted) return journal_position(in->stored->journal).part_lsn == c->commit_lsn ? ingest_unit_end(in) : 0;
    if (!in->alone && in->unit_bytes < UNIT_BYTES && ingest_mono_us() - in->counted_since_us < UNIT_TIME_US) return 0;
    return ingest_unit_end(in);
}

static int ingest_decoded(struct ingest *in, struct slice payload, uint64_t wal_start, struct pg_error *err)
{
    struct pgoutput_message m;
    struct err why;
    int r = pgoutput_decode(in->decoder, payload, &m, &why);

    if (r < 0) return ingest_fail_err(in, r, why.text, err);
    if (m.kind == PGOUTPUT_MESSAGE && !m.logical.transactional) return ingest_lone_message(in, &m, err);
    if (pgoutput_is_change(m.kind)) {
        if (!ingest_is_done(in) || is_counted_again(in)) r = ingest_change(in, &m, wal_start, err);
        if (r < 0) return r;
        in->ordinal++;
        if (in->unit_bytes < UNIT_BYTES_MAX) return 0;
        r = ingest_unit_end(in);
        return r < 0 ? ingest_fail_err(in, r, in->error, err) : 0;
    }
    switch (m.kind) {
    case PGOUTPUT_BEGIN:
        in->in_transaction = true;
        in->begin = m.begin;
        in->ordinal = 0;
        r = ingest_boundary(in, change_encoder_begin, wal_start, err);
        if (r < 0) return r;
        in->ordinal++;
        break;
    case PGOUTPUT_COMMIT:
        r = ingest_boundary(in, change_encoder_commit, m.commit.end_lsn, err);
        if (r < 0) return r;
        r = ingest_commit(in, &m.commit);
        if (r < 0) return ingest_fail_err(in, r, in->error, err);
        break;
    case PGOUTPUT_RELATION: ingest_relation_message(in, &m.relation, payload); break;
    case PGOUTPUT_ORIGIN: {
        bytes_reset(&in->origin_name);
        bytes_append(&in->origin_name, m.origin.name.ptr, m.origin.name.len);
        if (in->origin_name.failed)
            return ingest_fail_err(in, -ENOMEM, "no memory for a replication origin's name", err);
        in->origin = slice_make(in->origin_name.ptr, in->origin_name.len);
        in->origin_lsn = m.origin.commit_lsn;
        break;
    }
    default: /* Type: the catalog tells more */ break;
    }
    return 0;
}

int ingest_message(struct ingest *in, struct slice payload, uint64_t wal_start, struct pg_error *err)
{
    in->message_counted = false;
    int r = ingest_decoded(in, payload, wal_start, err);
    if (r < 0 && in->message_counted) journal_break(in->stored->journal);
    return r;
}
