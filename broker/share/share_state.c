/* broker/share/share_state.c: see share_state.h. */
#include "broker/share/share_state.h"

#include "base/base.h"

#include <stdlib.h>
#include <string.h>

/* The schemas' batches are ours. */
#define SAME_FIELDS(type)                                                                                              \
    _Static_assert(sizeof(struct type) == sizeof(struct share_batch) &&                                                \
                       offsetof(struct type, first_offset) == offsetof(struct share_batch, first_offset) &&            \
                       offsetof(struct type, last_offset) == offsetof(struct share_batch, last_offset) &&              \
                       offsetof(struct type, delivery_state) == offsetof(struct share_batch, delivery_state) &&        \
                       offsetof(struct type, delivery_count) == offsetof(struct share_batch, delivery_count),          \
                   "batches are taken as they are")
SAME_FIELDS(share_snapshot_value_state_batch);
SAME_FIELDS(share_update_value_state_batch);

#define KEY_FIXED_BYTES (sizeof(struct uuid) + sizeof(int32_t))

static uint32_t key_bytes(const struct share_key *key)
{
    return (uint32_t)KEY_FIXED_BYTES + key->group_id.len;
}

static void key_write(const struct share_key *key, uint8_t *to)
{
    memcpy(to, key->topic_id.bytes, sizeof key->topic_id);
    memcpy(to + sizeof key->topic_id, &key->partition, sizeof key->partition);
    if (key->group_id.len) memcpy(to + KEY_FIXED_BYTES, key->group_id.ptr, key->group_id.len);
}

struct share_key share_state_key(const struct share_state *s)
{
    struct share_key key = {.group_id = slice_make(s->key + KEY_FIXED_BYTES, s->key_bytes - (uint32_t)KEY_FIXED_BYTES)};
    memcpy(key.topic_id.bytes, s->key, sizeof key.topic_id);
    memcpy(&key.partition, s->key + sizeof key.topic_id, sizeof key.partition);
    return key;
}

struct share_state *share_states_find(const struct share_states *ss, const struct share_key *key)
{
    struct share_state *s;
    uint8_t *bytes = xmalloc(key_bytes(key));
    key_write(key, bytes);
    HASH_FIND(hh, ss->by_key, bytes, key_bytes(key), s);
    free(bytes);
    return s;
}

static size_t state_bytes(const struct share_state *s)
{
    return sizeof *s + s->key_bytes + s->batches_count * sizeof s->batches[0];
}

static struct share_state *state_add(struct share_states *ss, const struct share_key *key)
{
    struct share_state *s = xcalloc(1, sizeof *s + key_bytes(key));
    s->key_bytes = key_bytes(key);
    key_write(key, s->key);
    s->start = SHARE_STATE_UNINITIALIZED;
    s->log_partition = -1;
    HASH_ADD(hh, ss->by_key, key, s->key_bytes, s);
    ss->bytes += state_bytes(s);
    return s;
}

static void state_remove(struct share_states *ss, struct share_state *s)
{
    if (s->live && ss->forget) ss->forget(ss, s);
    ss->bytes -= state_bytes(s);
    HASH_DEL(ss->by_key, s);
    free(s->batches);
    free(s);
}

void share_states_done(struct share_states *ss)
{
    struct share_state *s, *next;
    HASH_ITER(hh, ss->by_key, s, next) state_remove(ss, s);
}

/* -- batches -- */

static bool batches_ok(const struct share_batch *b, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        if (b[i].first_offset > b[i].last_offset || b[i].last_offset == INT64_MAX ||
            (i > 0 && b[i].first_offset <= b[i - 1].last_offset))
            return false;
    return true;
}

struct batches {
    struct share_batch *items;
    uint32_t count;
};

/* items has room. */
static void batches_push(struct batches *to, const struct share_batch *b, int64_t first, int64_t last)
{
    struct share_batch *before = to->count ? &to->items[to->count - 1] : NULL;
    if (first > last) return;
    if (before && before->last_offset + 1 == first && before->delivery_state == b->delivery_state &&
        before->delivery_count == b->delivery_count) {
        before->last_offset = last;
        return;
    }
    to->items[to->count] = *b;
    to->items[to->count].first_offset = first;
    to->items[to->count++].last_offset = last;
}

/* What is in changes counts, else what is in old; from start on. The result is malloc'd. */
static struct batches merge(const struct share_batch *old, uint32_t old_count, const struct share_batch *changes,
                            uint32_t changes_count, int64_t start)
{
    /* A change splits one old batch at most: each end adds one. */
    struct batches to = {.items = xcalloc((size_t)old_count + 2 * (size_t)changes_count + 1, sizeof *to.items)};
    uint32_t c = 0;

    for (uint32_t i = 0; i < old_count; i++) {
        int64_t at = MAX(old[i].first_offset, start), last = old[i].last_offset;
        if (c > 0) at = MAX(at, changes[c - 1].last_offset + 1); /* the last change may reach into this batch */
        for (; c < changes_count && changes[c].first_offset <= last; c++) {
            batches_push(&to, &old[i], at, changes[c].first_offset - 1);
            batches_push(&to, &changes[c], MAX(changes[c].first_offset, start), changes[c].last_offset);
            at = MAX(at, changes[c].last_offset + 1);
        }
        batches_push(&to, &old[i], at, last);
    }
    for (; c < changes_count; c++)
        batches_push(&to, &changes[c], MAX(changes[c].first_offset, start), changes[c].last_offset);
    return to;
}

static void set_batches(struct share_states *ss, struct share_state *s, struct batches to)
{
    ss->bytes -= state_bytes(s);
    free(s->batches);
    s->batches = to.items;
    s->batches_count = to.count;
    ss->bytes += state_bytes(s);
}

/* -- applying -- */

bool share_states_apply_snapshot(struct share_states *ss, const struct share_snapshot_key *key,
                                 const struct share_snapshot_value *value, int64_t offset)
{
    struct share_key k = {key->group_id, key->topic_id, key->partition};
    struct share_state *s = share_states_find(ss, &k);

    if (!value) {
        if (s) state_remove(ss, s);
        return true;
    }
    const struct share_batch *batches = (const void *)value->state_batches;
    if (!batches_ok(batches, value->state_batches_count)) return false;
    if (!s) s = state_add(ss, &k);
    s->snapshot_epoch = value->snapshot_epoch;
    s->state_epoch = MAX(s->state_epoch, value->state_epoch);
    s->leader_epoch = MAX(s->leader_epoch, value->leader_epoch);
    s->start = value->start_offset;
    s->create_time_ms = value->create_timestamp;
    s->write_time_ms = value->write_timestamp;
    s->updates = 0;
    s->snapshot_offset = offset;
    set_batches(ss, s, merge(NULL, 0, batches, (uint32_t)value->state_batches_count, s->start));
    return true;
}

bool share_states_apply_update(struct share_states *ss, const struct share_update_key *key,
                               const struct share_update_value *value)
{
    struct share_key k = {key->group_id, key->topic_id, key->partition};
    struct share_state *s = share_states_find(ss, &k);
    const struct share_batch *batches = value ? (const void *)value->state_batches : NULL;

    if (!s || !value || !batches_ok(batches, value->state_batches_count)) return false;
    if (value->start_offset != SHARE_STATE_UNINITIALIZED) s->start = value->start_offset;
    s->leader_epoch = MAX(s->leader_epoch, value->leader_epoch);
    s->updates++;
    set_batches(ss, s, merge(s->batches, s->batches_count, batches, (uint32_t)value->state_batches_count, s->start));
    return true;
}

/* -- making records -- */

void share_record_done(struct share_record *r)
{
    free(r->batches);
    r->batches = NULL;
}

/* Takes b. */
static void record_snapshot(struct share_record *ret, const struct share_key *key, struct batches b, int64_t now_ms)
{
    ret->type = SHARE_RECORD_SNAPSHOT;
    ret->batches = b.items;
    ret->snapshot_key =
        (struct share_snapshot_key){.group_id = key->group_id, .topic_id = key->topic_id, .partition = key->partition};
    ret->snapshot.create_timestamp = ret->snapshot.write_timestamp = now_ms;
    ret->snapshot.state_batches = (void *)b.items;
    ret->snapshot.state_batches_count = (int32_t)b.count;
}

void share_state_write(const struct share_state *s, int64_t start, const struct share_batch *changes, uint32_t count,
                       uint32_t updates_max, int64_t now_ms, struct share_record *ret)
{
    struct share_key key = share_state_key(s);

    *ret = (struct share_record){0};
    if (s->updates >= updates_max) {
        ret->snapshot.snapshot_epoch = s->snapshot_epoch + 1;
        ret->snapshot.state_epoch = s->state_epoch;
        ret->snapshot.leader_epoch = s->leader_epoch;
        ret->snapshot.start_offset = start;
        record_snapshot(ret, &key, merge(s->batches, s->batches_count, changes, count, start), now_ms);
        return;
    }
    struct batches b = merge(NULL, 0, changes, count, start);
    ret->type = SHARE_RECORD_UPDATE;
    ret->batches = b.items;
    ret->update_key =
        (struct share_update_key){.group_id = key.group_id, .topic_id = key.topic_id, .partition = key.partition};
    ret->update.snapshot_epoch = s->snapshot_epoch;
    ret->update.leader_epoch = s->leader_epoch;
    ret->update.start_offset = start;
    ret->update.state_batches = (void *)b.items;
    ret->update.state_batches_count = (int32_t)b.count;
}

bool share_state_initialize(const struct share_state *s, const struct share_key *key, int32_t state_epoch,
                            int64_t start, int64_t now_ms, struct share_record *ret)
{
    if (s && state_epoch < s->state_epoch) return false;
    *ret = (struct share_record){0};
    ret->snapshot.snapshot_epoch = s ? s->snapshot_epoch + 1 : 0;
    ret->snapshot.state_epoch = state_epoch;
    ret->snapshot.start_offset = start;
    record_snapshot(ret, key, (struct batches){0}, now_ms);
    return true;
}

void share_state_snapshot(const struct share_state *s, int64_t now_ms, struct share_record *ret)
{
    struct share_key key = share_state_key(s);

    *ret = (struct share_record){0};
    ret->snapshot.snapshot_epoch = s->snapshot_epoch + 1;
    ret->snapshot.state_epoch = s->state_epoch;
    ret->snapshot.leader_epoch = s->leader_epoch;
    ret->snapshot.start_offset = s->start;
    record_snapshot(ret, &key, merge(NULL, 0, s->batches, s->batches_count, s->start), now_ms);
    ret->snapshot.create_timestamp = s->create_time_ms;
}
