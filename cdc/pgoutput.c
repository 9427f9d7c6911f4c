/* cdc/pgoutput.c: see pgoutput.h. */
#include "cdc/pgoutput.h"

#include <errno.h>

/* TRUNCATE of a table with that many children or references does not exist. */
#define TRUNCATE_RELATIONS_MAX (1u << 20)

struct pgoutput_decoder {
    struct tuple_value *old_values, *new_values; /* PG_COLUMNS_MAX each, taken at the first use */
    struct pgoutput_relation_column *columns;    /* PG_COLUMNS_MAX */
    uint32_t *relation_oids;
    uint32_t relation_oids_max;
};

struct pgoutput_decoder *pgoutput_decoder_new(void)
{
    struct pgoutput_decoder *d = xcalloc(1, sizeof(*d));
    d->old_values = xcalloc(PG_COLUMNS_MAX, sizeof(*d->old_values));
    d->new_values = xcalloc(PG_COLUMNS_MAX, sizeof(*d->new_values));
    d->columns = xcalloc(PG_COLUMNS_MAX, sizeof(*d->columns));
    return d;
}

void pgoutput_decoder_free(struct pgoutput_decoder *d)
{
    if (!d) return;
    free(d->old_values);
    free(d->new_values);
    free(d->columns);
    free(d->relation_oids);
    free(d);
}

const char *pgoutput_kind_name(enum pgoutput_kind kind)
{
    switch (kind) {
    case PGOUTPUT_BEGIN: return "Begin";
    case PGOUTPUT_COMMIT: return "Commit";
    case PGOUTPUT_ORIGIN: return "Origin";
    case PGOUTPUT_RELATION: return "Relation";
    case PGOUTPUT_TYPE: return "Type";
    case PGOUTPUT_INSERT: return "Insert";
    case PGOUTPUT_UPDATE: return "Update";
    case PGOUTPUT_DELETE: return "Delete";
    case PGOUTPUT_TRUNCATE: return "Truncate";
    case PGOUTPUT_MESSAGE: return "Message";
    }
    return "unknown";
}

/* ---- reading: fails once, then yields zeros; checked at the end ---- */

struct reader {
    const uint8_t *start, *p, *end;
    const char *failed; /* the field that could not be read; NULL: none */
};

static const uint8_t *take(struct reader *r, uint32_t size, const char *field)
{
    if (r->failed) return NULL;
    if ((size_t)(r->end - r->p) < size) {
        r->failed = field;
        return NULL;
    }
    const uint8_t *at = r->p;
    r->p += size;
    return at;
}

static uint8_t read_u8(struct reader *r, const char *field)
{
    const uint8_t *at = take(r, 1, field);
    return at ? *at : 0;
}

static uint16_t read_u16(struct reader *r, const char *field)
{
    const uint8_t *at = take(r, 2, field);
    return at ? be16_load(at) : 0;
}

static uint32_t read_u32(struct reader *r, const char *field)
{
    const uint8_t *at = take(r, 4, field);
    return at ? be32_load(at) : 0;
}

static uint64_t read_u64(struct reader *r, const char *field)
{
    const uint8_t *at = take(r, 8, field);
    return at ? be64_load(at) : 0;
}

static struct slice read_string(struct reader *r, const char *field)
{
    if (r->failed) return SLICE_EMPTY;
    const uint8_t *nul = memchr(r->p, 0, (size_t)(r->end - r->p));
    if (!nul) {
        r->failed = field;
        return SLICE_EMPTY;
    }
    struct slice s = slice_make(r->p, (uint32_t)(nul - r->p));
    r->p = nul + 1;
    return s;
}

static int64_t read_time_us(struct reader *r, const char *field)
{
    /* Wraps instead of overflowing for times that no server sends. */
    return (int64_t)(read_u64(r, field) + (uint64_t)PG_EPOCH_US);
}

static void read_tuple(struct reader *r, struct tuple_value *values, struct tuple *ret)
{
    uint32_t count = read_u16(r, "number of columns");
    if (count > PG_COLUMNS_MAX) {
        r->failed = "number of columns";
        return;
    }
    for (uint32_t i = 0; i < count && !r->failed; i++) {
        struct tuple_value *v = &values[i];
        v->kind = read_u8(r, "kind of a column");
        v->text = SLICE_NULL;
        if (v->kind == TUPLE_TEXT) {
            uint32_t len = read_u32(r, "length of a column");
            const uint8_t *at = take(r, len, "value of a column");
            v->text = slice_make(at, at ? len : 0);
        } else if (v->kind != TUPLE_NULL && v->kind != TUPLE_UNCHANGED) {
            r->failed = "kind of a column";
        }
    }
    if (r->failed) return;
    *ret = (struct tuple){.count = count, .values = values};
}

/* ---- messages ---- */

static void read_relation(struct pgoutput_decoder *d, struct reader *r, struct pgoutput_relation *m)
{
    m->oid = read_u32(r, "relation");
    m->schema = read_string(r, "schema");
    m->name = read_string(r, "name");
    m->replica_identity = (char)read_u8(r, "replica identity");
    m->columns_count = read_u16(r, "number of columns");
    m->columns = d->columns;
    if (m->columns_count > PG_COLUMNS_MAX) {
        r->failed = "number of columns";
        return;
    }
    for (uint32_t i = 0; i < m->columns_count && !r->failed; i++) {
        struct pgoutput_relation_column *c = &d->columns[i];
        c->is_key = (read_u8(r, "flags of a column") & 1) != 0;
        c->name = read_string(r, "name of a column");
        c->type_oid = read_u32(r, "type of a column");
        c->typmod = (int32_t)read_u32(r, "modifier of a column");
    }
}

/* What follows the relation of Insert, Update and Delete: [K|O tuple] [N tuple]. */
static void read_row(struct pgoutput_decoder *d, struct reader *r, enum pgoutput_kind kind, struct pgoutput_row *m)
{
    m->relation_oid = read_u32(r, "relation");
    uint8_t mark = read_u8(r, "mark of a tuple");
    if (mark == 'K' || mark == 'O') {
        if (kind == PGOUTPUT_INSERT) {
            r->failed = "mark of a tuple";
            return;
        }
        m->old_kind = (char)mark;
        read_tuple(r, d->old_values, &m->old_tuple);
        if (kind == PGOUTPUT_DELETE) return;
        mark = read_u8(r, "mark of a tuple");
    }
    if (mark != 'N' || kind == PGOUTPUT_DELETE) {
        if (!r->failed) r->failed = "mark of a tuple";
        return;
    }
    read_tuple(r, d->new_values, &m->new_tuple);
}

static void read_truncate(struct pgoutput_decoder *d, struct reader *r, struct pgoutput_truncate *m)
{
    uint32_t count = read_u32(r, "number of relations");
    uint8_t options = read_u8(r, "options");
    m->cascade = (options & 1) != 0;
    m->restart_identity = (options & 2) != 0;
    if (count > TRUNCATE_RELATIONS_MAX || count > (size_t)(r->end - r->p) / sizeof(uint32_t)) {
        r->failed = "number of relations";
        return;
    }
    if (count > d->relation_oids_max) {
        d->relation_oids = xrealloc(d->relation_oids, count * sizeof(*d->relation_oids));
        d->relation_oids_max = count;
    }
    for (uint32_t i = 0; i < count; i++) d->relation_oids[i] = read_u32(r, "relation");
    m->relations_count = count;
    m->relation_oids = d->relation_oids;
}

static void read_logical(struct reader *r, struct pgoutput_message_logical *m)
{
    m->transactional = (read_u8(r, "flags") & 1) != 0;
    m->lsn = read_u64(r, "lsn");
    m->prefix = read_string(r, "prefix");
    uint32_t len = read_u32(r, "length of the content");
    const uint8_t *at = take(r, len, "content");
    m->content = slice_make(at, at ? len : 0);
}

int pgoutput_decode(struct pgoutput_decoder *d, struct slice payload, struct pgoutput_message *ret_message,
                    struct err *err)
{
    struct reader r = {.start = payload.ptr, .p = payload.ptr, .end = payload.ptr + payload.len};
    struct pgoutput_message m = {0};

    if (payload.len == 0) return err_set(err, -EBADMSG, "empty replication message");
    m.kind = read_u8(&r, "kind");
    switch (m.kind) {
    case PGOUTPUT_BEGIN:
        m.begin.final_lsn = read_u64(&r, "final LSN");
        m.begin.commit_time_us = read_time_us(&r, "commit time");
        m.begin.xid = read_u32(&r, "xid");
        break;
    case PGOUTPUT_COMMIT:
        (void)read_u8(&r, "flags");
        m.commit.commit_lsn = read_u64(&r, "commit LSN");
        m.commit.end_lsn = read_u64(&r, "end LSN");
        m.commit.commit_time_us = read_time_us(&r, "commit time");
        break;
    case PGOUTPUT_ORIGIN:
        m.origin.commit_lsn = read_u64(&r, "commit LSN");
        m.origin.name = read_string(&r, "name");
        break;
    case PGOUTPUT_RELATION: read_relation(d, &r, &m.relation); break;
    case PGOUTPUT_TYPE:
        m.type.oid = read_u32(&r, "type");
        m.type.schema = read_string(&r, "schema");
        m.type.name = read_string(&r, "name");
        break;
    case PGOUTPUT_INSERT:
    case PGOUTPUT_UPDATE:
    case PGOUTPUT_DELETE: read_row(d, &r, m.kind, &m.row); break;
    case PGOUTPUT_TRUNCATE: read_truncate(d, &r, &m.truncate); break;
    case PGOUTPUT_MESSAGE: read_logical(&r, &m.logical); break;
    default:
        return err_set(err, -EBADMSG, "replication message of unknown kind 0x%02x (%u bytes)", payload.ptr[0],
                       payload.len);
    }
    if (r.failed)
        return err_set(err, -EBADMSG, "replication message %s is damaged at byte %u of %u: %s",
                       pgoutput_kind_name(m.kind), (unsigned)(r.p - r.start), payload.len, r.failed);
    if (r.p != r.end)
        return err_set(err, -EBADMSG, "replication message %s ends at byte %u of %u", pgoutput_kind_name(m.kind),
                       (unsigned)(r.p - r.start), payload.len);
    *ret_message = m;
    return 0;
}
