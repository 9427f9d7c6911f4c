/* tools/ottla/dump_record.c: keys and values of the broker's own topics, decoded by the tables of protocol/message.h.
 */
#include "cdc/journal_record.h"
#include "protocol/message_json.h"
#include "tools/ottla/dump.h"

#define METADATA_FRAME    1                   /* version of the frame around a metadata record */
#define MESSAGE_BYTES_MAX (64u * 1024 * 1024) /* decoded */

/* Prints body as message m. false: it is not one, nothing was printed. */
static bool dump_message(struct dump *d, const struct wire_message *m, int16_t version, struct slice body)
{
    struct arena arena;
    if (!m || version < m->version_min || version > m->version_max) return false;
    arena_init(&arena, MESSAGE_BYTES_MAX);
    struct wire_reader reader = wire_reader_of(body, &arena);
    void *message = arena_alloc(&arena, m->size);
    bool ok = message != NULL;
    if (ok) {
        m->init(message);
        ok = m->decode(&reader, version, message) && wire_left(&reader) == 0;
    }
    if (ok) wire_message_print(d->out, m, version, message);
    arena_done(&arena);
    return ok;
}

static struct slice behind(struct slice s, uint32_t count)
{
    return slice_make(s.ptr + count, s.len - count);
}

/* Control records: the key is int16 version, int16 type. */
static bool dump_control(struct dump *d, const struct record *r)
{
    static const struct {
        const char *name, *message;
    } types[] = {
        {"ABORT", "EndTxnMarker"},
        {"COMMIT", "EndTxnMarker"},
        {"LEADER_CHANGE", "LeaderChangeMessage"},
        {"SNAPSHOT_HEADER", "SnapshotHeaderRecord"},
        {"SNAPSHOT_FOOTER", "SnapshotFooterRecord"},
        {"KRAFT_VERSION", "KRaftVersionRecord"},
        {"KRAFT_VOTERS", "VotersRecord"},
    };
    if (r->key.len < 4 || r->value.len < 2) return false;
    uint16_t type = be16_load(r->key.ptr + 2);
    if (type >= countof(types)) return false;
    fprintf(d->out, " control=%s value=", types[type].name);
    const struct wire_message *m = wire_message_find(slice_of(types[type].message));
    int16_t version = (int16_t)be16_load(r->value.ptr);
    /* A marker's version stands in front of the message, the others begin with it. */
    struct slice body = type <= 1 ? behind(r->value, 2) : r->value;
    if (!dump_message(d, m, version, body)) dump_bytes(d, r->value);
    return true;
}

/* Metadata records: uvarint frame version, uvarint type, uvarint version, message. */
static bool dump_metadata(struct dump *d, const struct record *r)
{
    struct wire_reader reader = wire_reader_of(r->value, NULL);
    uint32_t frame = wire_get_uvarint(&reader), type = wire_get_uvarint(&reader), version = wire_get_uvarint(&reader);
    if (reader.failed || frame != METADATA_FRAME || type > INT16_MAX || version > INT16_MAX) return false;
    const struct wire_message *m = wire_message_find_type(WIRE_METADATA, SLICE_NULL, (int16_t)type);
    if (!m) return false;
    fprintf(d->out, " %s v%u=", m->name, version);
    if (!dump_message(d, m, (int16_t)version, slice_make(reader.p, (uint32_t)wire_left(&reader))))
        dump_bytes(d, r->value);
    return true;
}

/* Records of the coordinators: both sides begin with an int16, the key's says its type, the value's its version. */
static bool dump_coordinator(struct dump *d, const char *topic, const struct record *r)
{
    if (r->key.len < 2) return false;
    int16_t type = (int16_t)be16_load(r->key.ptr);
    const struct wire_message *key = wire_message_find_type(WIRE_KEY, slice_of(topic), type);
    const struct wire_message *value = wire_message_find_type(WIRE_VALUE, slice_of(topic), type);
    if (!key) return false;
    fprintf(d->out, " %s=", key->name);
    if (!dump_message(d, key, 0, behind(r->key, 2))) dump_bytes(d, r->key);
    if (r->value.len < 2) {
        fputs(" value=", d->out);
        dump_bytes(d, r->value);
        return true;
    }
    int16_t version = (int16_t)be16_load(r->value.ptr);
    fprintf(d->out, " %s v%d=", value ? value->name : "value", version);
    if (!dump_message(d, value, version, behind(r->value, 2))) dump_bytes(d, r->value);
    return true;
}

void dump_record_content(struct dump *d, const char *topic, const struct record_batch *b, const struct record *r)
{
    if (record_batch_is_control(b)) {
        if (dump_control(d, r)) return;
    } else if (strcmp(topic, JOURNAL_TOPIC) == 0) {
        putc(' ', d->out);
        journal_record_print(d->out, r->key, r->value);
        return;
    } else if (!r->key.ptr) {
        if (strcmp(topic, DUMP_METADATA_TOPIC) == 0 && dump_metadata(d, r)) return;
    } else if (strncmp(topic, "__", 2) == 0 && dump_coordinator(d, topic, r)) {
        return;
    }
    fputs(" key=", d->out);
    dump_bytes(d, r->key);
    fputs(" value=", d->out);
    dump_bytes(d, r->value);
}
