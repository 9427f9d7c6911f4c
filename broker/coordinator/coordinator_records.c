/* broker/coordinator/coordinator_records.c: see coordinator_records.h. */
#include "broker/coordinator/coordinator_records.h"

#include "broker/coordinator/java_hash.h"
#include "broker/limits.h"

#define KEY_VERSION 0 /* Kafka has no other: the int16 in front is the type */

int32_t coordinator_partition(struct slice id, int32_t partitions_count)
{
    int32_t hash = java_hash(id);
    return (hash == INT32_MIN ? 0 : abs(hash)) % partitions_count; /* Kafka's Utils.abs */
}

void coordinator_records_init(struct coordinator_records *rs, const char *topic, const struct coordinator_row *rows,
                              void *state)
{
    *rs = (struct coordinator_records){.topic = topic, .state = state};
    arena_init(&rs->arena, COORDINATOR_RECORD_BYTES_MAX);
    for (int16_t type = 0; type < COORDINATOR_TYPES_MAX; type++) {
        rs->types[type].key = wire_message_find_type(WIRE_KEY, slice_of(topic), type);
        rs->types[type].value = wire_message_find_type(WIRE_VALUE, slice_of(topic), type);
    }
    for (; rows->apply; rows++) {
        assert(rows->type >= 0 && rows->type < COORDINATOR_TYPES_MAX);
        assert(rs->types[rows->type].key && rs->types[rows->type].value);
        rs->types[rows->type].apply = rows->apply;
    }
}

void coordinator_records_done(struct coordinator_records *rs)
{
    arena_done(&rs->arena);
}

/* -- reading -- */

/* NULL: r has no such message. */
static const void *decode(const struct wire_message *m, int16_t version, struct wire_reader *r)
{
    void *message = r->failed ? NULL : arena_alloc(r->arena, m->size);
    if (!message) return NULL;
    m->init(message);
    return m->decode(r, version, message) ? message : NULL;
}

static bool apply(struct coordinator_records *rs, struct slice key, struct slice value, int64_t offset,
                  int64_t producer_id)
{
    struct wire_reader k = wire_reader_of(key, &rs->arena), v = wire_reader_of(value, &rs->arena);
    int16_t type = wire_get_int16(&k);
    if (k.failed) return false;
    if (type < 0 || type >= COORDINATOR_TYPES_MAX || !rs->types[type].apply) return true;

    struct coordinator_record r = {.offset = offset, .producer_id = producer_id, .arena = &rs->arena};
    r.key = decode(rs->types[type].key, KEY_VERSION, &k);
    if (!r.key) return false;
    if (value.ptr) {
        int16_t version = wire_get_int16(&v);
        r.value = decode(rs->types[type].value, version, &v);
        if (!r.value) return false;
    }
    return rs->types[type].apply(rs->state, &r);
}

bool coordinator_records_apply(struct coordinator_records *rs, struct slice key, struct slice value, int64_t offset,
                               int64_t producer_id)
{
    bool ok = apply(rs, key, value, offset, producer_id);
    arena_reset(&rs->arena);
    return ok;
}

/* -- writing -- */

void coordinator_writer_init(struct coordinator_writer *w, const struct coordinator_records *records)
{
    *w = (struct coordinator_writer){.records = records};
    batch_builder_init(&w->builder);
}

void coordinator_writer_done(struct coordinator_writer *w)
{
    batch_builder_done(&w->builder);
    bytes_done(&w->batches);
    bytes_done(&w->key);
    bytes_done(&w->value);
}

void coordinator_writer_begin(struct coordinator_writer *w, const struct batch_fields *fields, int64_t now_ms)
{
    w->fields = *fields;
    w->now_ms = now_ms;
    w->failed = false;
    batch_builder_reset(&w->builder);
    bytes_reset(&w->batches);
    bytes_trim(&w->batches, COORDINATOR_SCRATCH_BYTES);
}

/* Replaces the content of to by prefix and message. */
static void encode(struct coordinator_writer *w, struct bytes *to, int16_t prefix, const struct wire_message *m,
                   int16_t version, const void *message)
{
    struct buf buf;
    struct wire_writer writer;
    buf_init(&buf);
    wire_writer_init(&writer, &buf);
    wire_put_int16(&writer, prefix);
    m->encode(&writer, version, message);
    bytes_reset(to);
    if (wire_writer_done(&writer)) buf_copy_to_bytes(&buf, to);
    else w->failed = true;
    w->failed |= to->failed;
    buf_done(&buf);
}

/* Ends the batch in the builder and moves it behind the others. */
static void batch_end(struct coordinator_writer *w)
{
    struct slice batch;
    if (!w->builder.records_count || w->failed) return;
    if (batch_builder_finish(&w->builder, &w->fields, &batch) == 0) bytes_append_slice(&w->batches, batch);
    else w->failed = true;
    w->failed |= w->batches.failed;
    batch_builder_reset(&w->builder);
}

void coordinator_put(struct coordinator_writer *w, int16_t type, const void *key, int16_t value_version,
                     const void *value)
{
    assert(type >= 0 && type < COORDINATOR_TYPES_MAX);
    const struct wire_message *k = w->records->types[type].key, *v = w->records->types[type].value;
    assert(k && v);
    encode(w, &w->key, type, k, KEY_VERSION, key);
    if (value) encode(w, &w->value, value_version, v, value_version, value);
    else bytes_reset(&w->value);
    if (w->failed) return;
    if (batch_builder_size(&w->builder) + w->key.len + w->value.len > COORDINATOR_BATCH_BYTES_MAX) batch_end(w);
    batch_builder_append(&w->builder, w->now_ms, bytes_slice(&w->key), value ? bytes_slice(&w->value) : SLICE_NULL,
                         NULL, 0);
}

bool coordinator_writer_finish(struct coordinator_writer *w)
{
    batch_end(w);
    return !w->failed;
}
