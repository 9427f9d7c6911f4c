/* broker/group_records.c: see group_records.h. */
#include "broker/group_records.h"

#include "broker/group_classic.h"
#include "protocol/messages.h"

enum record_type {
    RECORD_LEGACY_OFFSET = 0,
    RECORD_OFFSET = 1,
    RECORD_CLASSIC_GROUP = 2,
};

#define OFFSET_VALUE_VERSION        4
#define OFFSET_VALUE_VERSION_EXPIRE 1 /* the only one that has an expiry time */
#define GROUP_VALUE_VERSION         3

#define VALUE_ARENA_BYTES_MAX (64 << 20) /* for the members of one stored group; a record has at most some MiB */

/* Moves what was written to the end of to. */
static bool take(struct wire_writer *w, struct buf *b, struct bytes *to)
{
    bool ok = wire_writer_done(w);
    struct iovec iov[64];
    while (ok && b->size) {
        int count = buf_iovec(b, iov, (int)countof(iov));
        size_t size = 0;
        for (int i = 0; i < count; i++) {
            bytes_append(to, iov[i].iov_base, iov[i].iov_len);
            size += iov[i].iov_len;
        }
        buf_consume(b, size);
    }
    buf_done(b);
    return ok && !to->failed;
}

static bool encode_offset_key(const struct group *g, const struct group_change *change, struct bytes *key)
{
    struct buf b;
    struct wire_writer w;
    buf_init(&b);
    wire_writer_init(&w, &b);
    wire_put_int16(&w, RECORD_OFFSET);
    offset_commit_key_encode(
        &w, 0,
        &(struct offset_commit_key){.group = group_id(g), .topic = change->topic, .partition = change->partition});
    return take(&w, &b, key);
}

static bool encode_offset_value(const struct offset_value *v, struct bytes *value)
{
    int16_t version = v->expire_time_ms >= 0 ? OFFSET_VALUE_VERSION_EXPIRE : OFFSET_VALUE_VERSION;
    struct offset_commit_value m;
    struct buf b;
    struct wire_writer w;
    offset_commit_value_init(&m);
    m.offset = v->offset;
    m.leader_epoch = v->leader_epoch;
    m.metadata = v->metadata;
    m.commit_timestamp = v->commit_time_ms;
    m.expire_timestamp = v->expire_time_ms;
    buf_init(&b);
    wire_writer_init(&w, &b);
    wire_put_int16(&w, version);
    offset_commit_value_encode(&w, version, &m);
    return take(&w, &b, value);
}

static bool encode_group_key(const struct group *g, struct bytes *key)
{
    struct buf b;
    struct wire_writer w;
    buf_init(&b);
    wire_writer_init(&w, &b);
    wire_put_int16(&w, RECORD_CLASSIC_GROUP);
    group_metadata_key_encode(&w, 0, &(struct group_metadata_key){.group = group_id(g)});
    return take(&w, &b, key);
}

static bool encode_group_value(const struct classic_group *c, struct bytes *value)
{
    struct group_metadata_value m;
    struct buf b;
    struct wire_writer w;
    int32_t count = (int32_t)HASH_COUNT(c->members);
    AUTO_FREE struct group_metadata_value_member_metadata *members = xcalloc((size_t)count + 1, sizeof *members);
    group_metadata_value_init(&m);
    m.protocol_type = c->protocol_type ? slice_of(c->protocol_type) : SLICE_EMPTY;
    m.generation = c->generation_id;
    m.protocol = slice_of(c->protocol_name);
    m.leader = c->leader ? slice_of(c->leader->id) : SLICE_NULL;
    m.current_state_timestamp = c->state_time_ms;
    m.members = members;
    for (const struct classic_member *from = c->members; from; from = from->hh.next) {
        struct group_metadata_value_member_metadata *to = &members[m.members_count++];
        group_metadata_value_member_metadata_init(to);
        to->member_id = slice_of(from->id);
        to->group_instance_id = slice_of(from->instance_id);
        to->client_id = slice_of(from->client_id);
        to->client_host = slice_of(from->client_host);
        to->rebalance_timeout = from->rebalance_timeout_ms;
        to->session_timeout = from->session_timeout_ms;
        to->subscription = classic_member_metadata(from);
        to->assignment = from->assignment;
    }
    buf_init(&b);
    wire_writer_init(&w, &b);
    wire_put_int16(&w, GROUP_VALUE_VERSION);
    group_metadata_value_encode(&w, GROUP_VALUE_VERSION, &m);
    return take(&w, &b, value);
}

bool group_record_encode(struct group *g, const struct group_change *change, struct bytes *key, struct bytes *value,
                         bool *ret_tombstone)
{
    *ret_tombstone = false;
    switch (change->type) {
    case GROUP_CHANGE_OFFSET: return encode_offset_key(g, change, key) && encode_offset_value(change->offset, value);
    case GROUP_CHANGE_OFFSET_REMOVED: *ret_tombstone = true; return encode_offset_key(g, change, key);
    case GROUP_CHANGE_STATE: return encode_group_key(g, key) && encode_group_value(classic_group_of(g), value);
    case GROUP_CHANGE_REMOVED: *ret_tombstone = true; return encode_group_key(g, key);
    }
    return false;
}

/* -- reading -- */

static bool apply_offset(struct groups *gs, struct wire_reader *key, bool legacy, struct slice value,
                         int64_t producer_id)
{
    struct offset_commit_key k; /* the legacy key has the same fields */
    if (!offset_commit_key_decode(key, 0, &k)) return false;
    if (!value.ptr) {
        groups_restore_offset(gs, k.group, k.topic, k.partition, NULL, producer_id);
        return true;
    }
    struct wire_reader r = wire_reader_of(value, key->arena);
    int16_t version = wire_get_int16(&r);
    struct offset_value v = {.leader_epoch = -1, .expire_time_ms = -1};
    if (legacy) {
        struct legacy_offset_commit_value m;
        if (version != 0 || !legacy_offset_commit_value_decode(&r, version, &m)) return false;
        v.offset = m.offset;
        v.metadata = m.metadata;
        v.commit_time_ms = m.commit_timestamp;
    } else {
        struct offset_commit_value m;
        if (!offset_commit_value_decode(&r, version, &m)) return false;
        v.offset = m.offset;
        v.leader_epoch = m.leader_epoch;
        v.metadata = m.metadata;
        v.commit_time_ms = m.commit_timestamp;
        v.expire_time_ms = m.expire_timestamp;
    }
    groups_restore_offset(gs, k.group, k.topic, k.partition, &v, producer_id);
    return true;
}

static bool apply_classic_group(struct groups *gs, struct wire_reader *key, struct slice value)
{
    struct group_metadata_key k;
    if (!group_metadata_key_decode(key, 0, &k)) return false;
    if (!value.ptr) {
        groups_restore_removed(gs, k.group);
        return true;
    }
    struct wire_reader r = wire_reader_of(value, key->arena);
    int16_t version = wire_get_int16(&r);
    struct group_metadata_value m;
    if (!group_metadata_value_decode(&r, version, &m)) return false;
    struct classic_stored_member *members =
        arena_calloc(key->arena, (size_t)(m.members_count > 0 ? m.members_count : 1), sizeof *members);
    if (!members) return false;
    struct classic_stored stored = {.protocol_type = m.protocol_type,
                                    .protocol_name = m.protocol,
                                    .leader = m.leader,
                                    .generation_id = m.generation,
                                    .state_time_ms = m.current_state_timestamp,
                                    .members = members};
    for (; stored.members_count < m.members_count; stored.members_count++) {
        const struct group_metadata_value_member_metadata *from = &m.members[stored.members_count];
        members[stored.members_count] = (struct classic_stored_member){.id = from->member_id,
                                                                       .instance_id = from->group_instance_id,
                                                                       .client_id = from->client_id,
                                                                       .client_host = from->client_host,
                                                                       .metadata = from->subscription,
                                                                       .assignment = from->assignment,
                                                                       .session_timeout_ms = from->session_timeout,
                                                                       .rebalance_timeout_ms = from->rebalance_timeout};
    }
    classic_group_restore(gs, k.group, &stored);
    return true;
}

bool group_record_apply(struct groups *gs, struct slice key, struct slice value, int64_t producer_id)
{
    struct arena arena;
    arena_init(&arena, VALUE_ARENA_BYTES_MAX);
    struct wire_reader r = wire_reader_of(key, &arena);
    int16_t type = wire_get_int16(&r);
    bool ok;
    switch (type) {
    case RECORD_LEGACY_OFFSET:
    case RECORD_OFFSET: ok = !r.failed && apply_offset(gs, &r, type == RECORD_LEGACY_OFFSET, value, producer_id); break;
    case RECORD_CLASSIC_GROUP: ok = apply_classic_group(gs, &r, value); break;
    default: ok = !r.failed; break;
    }
    arena_done(&arena);
    return ok;
}
