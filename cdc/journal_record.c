/* cdc/journal_record.c: see journal_record.h and docs/format-cdc-journal.md. */
#include "cdc/journal_record.h"

#include <inttypes.h>

#define UNIT_VERSION    2 /* 1 has no commit_lsn */
#define UNIT_HEAD_BYTES (1 + 1 + 8 + 24 + 8 + 4 + 4)
#define UNIT_TOPICS_AT  42 /* position of topics_count in a unit's value; entries_count follows */
#define ENTRY_BYTES     (16 + 4 + 4 + 8)

static void add_u8(struct bytes *b, uint8_t v)
{
    bytes_append_byte(b, v);
}
static void add_u16(struct bytes *b, uint16_t v)
{
    uint8_t raw[2];
    be16_store(raw, v);
    bytes_append(b, raw, sizeof raw);
}
static void add_u32(struct bytes *b, uint32_t v)
{
    uint8_t raw[4];
    be32_store(raw, v);
    bytes_append(b, raw, sizeof raw);
}
static void add_u64(struct bytes *b, uint64_t v)
{
    uint8_t raw[8];
    be64_store(raw, v);
    bytes_append(b, raw, sizeof raw);
}
static void add_text16(struct bytes *b, struct slice s)
{
    add_u16(b, (uint16_t)s.len);
    bytes_append(b, s.ptr, (uint16_t)s.len);
}
static void add_bytes32(struct bytes *b, struct slice s)
{
    add_u32(b, s.len);
    bytes_append(b, s.ptr, s.len);
}
static void add_position(struct bytes *b, struct journal_position p)
{
    add_u64(b, p.whole_lsn);
    add_u64(b, p.part_lsn);
    add_u64(b, p.ordinal);
}

/* Reads that fail for good once the bytes run out. */
struct cursor {
    const uint8_t *p, *end;
    bool bad;
};
static const uint8_t *take(struct cursor *c, size_t len)
{
    static const uint8_t zeros[16];
    if (c->bad || (size_t)(c->end - c->p) < len) {
        c->bad = true;
        return zeros; /* only asked for <= 16 fixed bytes when bad */
    }
    c->p += len;
    return c->p - len;
}
static uint8_t take_u8(struct cursor *c)
{
    return *take(c, 1);
}
static uint16_t take_u16(struct cursor *c)
{
    return be16_load(take(c, 2));
}
static uint32_t take_u32(struct cursor *c)
{
    return be32_load(take(c, 4));
}
static uint64_t take_u64(struct cursor *c)
{
    return be64_load(take(c, 8));
}
static struct slice take_slice(struct cursor *c, uint32_t len)
{
    const uint8_t *p = take(c, len);
    return c->bad ? SLICE_EMPTY : slice_make(p, len);
}
static struct journal_position take_position(struct cursor *c)
{
    struct journal_position p = {0}; /* commit_lsn is not everywhere */
    p.whole_lsn = take_u64(c);
    p.part_lsn = take_u64(c);
    p.ordinal = take_u64(c);
    return p;
}
/* Of a value up to this version. */
static struct cursor cursor_upto(struct slice value, uint8_t version_max, uint8_t *ret_version)
{
    struct cursor c = {.p = value.ptr, .end = value.ptr ? value.ptr + value.len : NULL, .bad = !value.ptr};
    *ret_version = take_u8(&c);
    if (*ret_version < JOURNAL_VERSION || *ret_version > version_max) c.bad = true;
    return c;
}
static struct cursor cursor_of(struct slice value)
{
    uint8_t version;
    return cursor_upto(value, JOURNAL_VERSION, &version);
}
static bool at_end(const struct cursor *c)
{
    return !c->bad && c->p == c->end;
}

void journal_key_write(uint8_t ret_key[JOURNAL_KEY_BYTES], uint8_t type, int32_t connector)
{
    ret_key[0] = JOURNAL_VERSION;
    ret_key[1] = type;
    be32_store(ret_key + 2, (uint32_t)connector);
}

bool journal_key_read(struct slice key, struct journal_key *ret_key)
{
    if (!key.ptr || key.len != JOURNAL_KEY_BYTES || key.ptr[0] != JOURNAL_VERSION) return false;
    ret_key->type = key.ptr[1];
    ret_key->connector = (int32_t)be32_load(key.ptr + 2);
    return ret_key->type >= JOURNAL_CONNECTOR && ret_key->type <= JOURNAL_CUT;
}

static void value_begin(struct bytes *b, uint8_t version)
{
    bytes_reset(b);
    add_u8(b, version);
}

void journal_connector_write(struct bytes *b, const struct journal_connector_record *r)
{
    value_begin(b, JOURNAL_VERSION);
    add_text16(b, r->name);
    add_text16(b, r->topic_prefix);
    add_u64(b, (uint64_t)r->producer_id);
}

bool journal_connector_read(struct slice value, struct journal_connector_record *ret_record)
{
    struct cursor c = cursor_of(value);
    ret_record->name = take_slice(&c, take_u16(&c));
    ret_record->topic_prefix = take_slice(&c, take_u16(&c));
    ret_record->producer_id = (int64_t)take_u64(&c);
    return at_end(&c);
}

void journal_relation_write(struct bytes *b, const struct journal_relation_record *r)
{
    value_begin(b, JOURNAL_VERSION);
    add_u32(b, r->oid);
    add_position(b, r->from);
    add_bytes32(b, r->shape);
    add_bytes32(b, r->resolved);
}

bool journal_relation_read(struct slice value, struct journal_relation_record *ret_record)
{
    struct cursor c = cursor_of(value);
    ret_record->oid = take_u32(&c);
    ret_record->from = take_position(&c);
    ret_record->shape = take_slice(&c, take_u32(&c));
    ret_record->resolved = take_slice(&c, take_u32(&c));
    return at_end(&c);
}

void journal_cut_write(struct bytes *b, int64_t keep_offset)
{
    value_begin(b, JOURNAL_VERSION);
    add_u64(b, (uint64_t)keep_offset);
}

bool journal_cut_read(struct slice value, int64_t *ret_keep_offset)
{
    struct cursor c = cursor_of(value);
    *ret_keep_offset = (int64_t)take_u64(&c);
    return at_end(&c);
}

void journal_unit_begin(struct bytes *b, uint8_t flags, uint64_t config_hash, struct journal_position position)
{
    value_begin(b, UNIT_VERSION);
    add_u8(b, flags);
    add_u64(b, config_hash);
    add_position(b, position);
    add_u64(b, position.commit_lsn);
    add_u32(b, 0); /* topics */
    add_u32(b, 0); /* entries */
    assert(b->failed || b->len == UNIT_HEAD_BYTES);
}

static void count_one(struct bytes *b, uint32_t at)
{
    if (!b->failed) be32_store(b->ptr + at, be32_load(b->ptr + at) + 1);
}

void journal_unit_add_topic(struct bytes *b, const struct journal_topic_entry *t)
{
    assert(b->failed || be32_load(b->ptr + UNIT_TOPICS_AT + 4) == 0); /* topics come before entries */
    bytes_append(b, t->id.bytes, sizeof t->id.bytes);
    add_u32(b, (uint32_t)t->partitions_count);
    add_text16(b, t->name);
    count_one(b, UNIT_TOPICS_AT);
}

void journal_unit_add_entry(struct bytes *b, const struct journal_entry *e)
{
    bytes_append(b, e->topic_id.bytes, sizeof e->topic_id.bytes);
    add_u32(b, (uint32_t)e->index);
    add_u32(b, (uint32_t)e->sequence);
    add_u64(b, (uint64_t)e->end);
    count_one(b, UNIT_TOPICS_AT + 4);
}

static void take_uuid(struct cursor *c, struct uuid *ret_uuid)
{
    memcpy(ret_uuid->bytes, take(c, 16), 16);
}
static void take_topic(struct cursor *c, struct journal_topic_entry *t)
{
    take_uuid(c, &t->id);
    t->partitions_count = (int32_t)take_u32(c);
    t->name = take_slice(c, take_u16(c));
}
static void take_entry(struct cursor *c, struct journal_entry *e)
{
    take_uuid(c, &e->topic_id);
    e->index = (int32_t)take_u32(c);
    e->sequence = (int32_t)take_u32(c);
    e->end = (int64_t)take_u64(c);
}

bool journal_unit_read(struct slice value, struct journal_unit_record *ret_record)
{
    uint8_t version;
    struct cursor c = cursor_upto(value, UNIT_VERSION, &version);
    struct journal_unit_record r;

    r.flags = take_u8(&c);
    r.config_hash = take_u64(&c);
    r.position = take_position(&c);
    if (version >= 2) r.position.commit_lsn = take_u64(&c);
    r.topics_count = take_u32(&c);
    r.entries_count = take_u32(&c);
    r.topics = c.p;
    r.end = c.end;
    for (uint32_t i = 0; i < r.topics_count && !c.bad; i++) {
        struct journal_topic_entry t;
        take_topic(&c, &t);
        if (t.partitions_count <= 0 || t.partitions_count > JOURNAL_PARTITIONS_MAX) c.bad = true;
    }
    r.entries = c.p;
    if (c.bad || r.entries_count > JOURNAL_ENTRIES_MAX ||
        (size_t)(c.end - c.p) != (size_t)r.entries_count * ENTRY_BYTES)
        return false;
    for (uint32_t i = 0; i < r.entries_count; i++) {
        struct journal_entry e;
        take_entry(&c, &e);
        if (e.index < 0 || e.index >= JOURNAL_PARTITIONS_MAX || e.sequence < 0 || e.end < 0) return false;
    }
    *ret_record = r;
    return true;
}

bool journal_unit_next_topic(const struct journal_unit_record *r, const uint8_t **p,
                             struct journal_topic_entry *ret_topic)
{
    if (*p >= r->entries) return false;
    struct cursor c = {.p = *p, .end = r->entries};
    take_topic(&c, ret_topic);
    *p = c.p;
    return !c.bad;
}

bool journal_unit_next_entry(const struct journal_unit_record *r, const uint8_t **p, struct journal_entry *ret_entry)
{
    if (*p >= r->end) return false;
    struct cursor c = {.p = *p, .end = r->end};
    take_entry(&c, ret_entry);
    *p = c.p;
    return !c.bad;
}

/* -- text -- */

static void print_position(FILE *out, struct journal_position p)
{
    fprintf(out, "whole_lsn=%" PRIX64 "/%08" PRIX64, p.whole_lsn >> 32, p.whole_lsn & 0xffffffff);
    if (p.part_lsn)
        fprintf(out, " part_lsn=%" PRIX64 "/%08" PRIX64 " ordinal=%" PRIu64, p.part_lsn >> 32, p.part_lsn & 0xffffffff,
                p.ordinal);
    if (p.commit_lsn) fprintf(out, " commit_lsn=%" PRIX64 "/%08" PRIX64, p.commit_lsn >> 32, p.commit_lsn & 0xffffffff);
}

static void print_unit(FILE *out, const struct journal_unit_record *r)
{
    static const struct {
        uint8_t flag;
        const char *word;
    } words[] = {{JOURNAL_UNIT_WHOLE, " whole"},
                 {JOURNAL_UNIT_SHOWN, " shown"},
                 {JOURNAL_UNIT_FULL, " full"},
                 {JOURNAL_UNIT_SNAPSHOT, " snapshot"}};
    char id[UUID_TEXT_SIZE];
    struct journal_topic_entry t;
    struct journal_entry e;

    print_position(out, r->position);
    for (uint32_t i = 0; i < countof(words); i++)
        if (r->flags & words[i].flag) fputs(words[i].word, out);
    fprintf(out, " config=%016" PRIx64, r->config_hash);
    for (const uint8_t *p = r->topics; journal_unit_next_topic(r, &p, &t);) {
        uuid_format(t.id, id);
        fprintf(out, " topic=%s:" SLICE_FMT ":%d", id, SLICE_ARG(t.name), t.partitions_count);
    }
    for (const uint8_t *p = r->entries; journal_unit_next_entry(r, &p, &e);) {
        uuid_format(e.topic_id, id);
        fprintf(out, " %s-%d:sequence=%d,end=%" PRId64, id, e.index, e.sequence, e.end);
    }
}

void journal_record_print(FILE *out, struct slice key, struct slice value)
{
    struct journal_key k;
    struct journal_connector_record connector;
    struct journal_unit_record unit;
    struct journal_relation_record relation;
    int64_t keep;

    if (!journal_key_read(key, &k)) {
        fprintf(out, "not a journal key of version %d", JOURNAL_VERSION);
        return;
    }
    fprintf(out, "connector=%d ", k.connector);
    if (k.type == JOURNAL_CONNECTOR && journal_connector_read(value, &connector)) {
        fprintf(out, "CONNECTOR name=" SLICE_FMT " topic.prefix=" SLICE_FMT " producer_id=%" PRId64,
                SLICE_ARG(connector.name), SLICE_ARG(connector.topic_prefix), connector.producer_id);
    } else if (k.type == JOURNAL_UNIT && journal_unit_read(value, &unit)) {
        fprintf(out, "UNIT ");
        print_unit(out, &unit);
    } else if (k.type == JOURNAL_RELATION && journal_relation_read(value, &relation)) {
        fprintf(out, "RELATION oid=%u from ", relation.oid);
        print_position(out, relation.from);
        fprintf(out, " shape_bytes=%u resolved_bytes=%u", relation.shape.len, relation.resolved.len);
    } else if (k.type == JOURNAL_CUT && journal_cut_read(value, &keep)) {
        fprintf(out, "CUT keep up to offset %" PRId64, keep);
    } else {
        fprintf(out, "damaged record of type %d", k.type);
    }
}
