/* broker/share/share_session.c: see share_session.h. */
#include "broker/share/share_session.h"

static struct share_session *find(const struct share_sessions *ss, const uint8_t *key, uint32_t key_bytes)
{
    struct share_session *s;
    HASH_FIND(hh, ss->by_key, key, key_bytes, s);
    return s;
}

static uint8_t *key_make(struct slice group_id, struct uuid member)
{
    uint8_t *key = xmalloc(sizeof member + group_id.len);
    memcpy(key, member.bytes, sizeof member);
    if (group_id.len) memcpy(key + sizeof member, group_id.ptr, group_id.len);
    return key;
}

struct share_session *share_session_find(const struct share_sessions *ss, struct slice group_id, struct uuid member)
{
    AUTO_FREE uint8_t *key = key_make(group_id, member);
    return find(ss, key, (uint32_t)sizeof member + group_id.len);
}

struct slice share_session_group(const struct share_session *s)
{
    return slice_make(s->key + sizeof(struct uuid), s->key_bytes - (uint32_t)sizeof(struct uuid));
}

struct uuid share_session_member(const struct share_session *s)
{
    struct uuid member;
    memcpy(member.bytes, s->key, sizeof member.bytes);
    return member;
}

struct share_session *share_session_open(struct share_sessions *ss, struct slice group_id, struct uuid member,
                                         uint64_t connection_id)
{
    AUTO_FREE uint8_t *key = key_make(group_id, member);
    uint32_t key_bytes = (uint32_t)sizeof member + group_id.len;

    if (HASH_COUNT(ss->by_key) >= ss->count_max) return NULL;
    struct share_session *s = xcalloc(1, sizeof *s + key_bytes);
    s->epoch = SHARE_SESSION_EPOCH_INITIAL + 1;
    s->connection_id = connection_id;
    s->key_bytes = key_bytes;
    memcpy(s->key, key, key_bytes);
    HASH_ADD(hh, ss->by_key, key, s->key_bytes, s);
    return s;
}

void share_session_close(struct share_sessions *ss, struct share_session *s)
{
    ss->partitions_count -= s->partitions.count;
    partition_set_done(&s->partitions);
    HASH_DEL(ss->by_key, s);
    free(s);
}

void share_sessions_done(struct share_sessions *ss)
{
    struct share_session *s, *next;
    HASH_ITER(hh, ss->by_key, s, next) share_session_close(ss, s);
}

enum kafka_error share_session_step(struct share_session *s, int32_t epoch)
{
    if (epoch != s->epoch) return KAFKA_INVALID_SHARE_SESSION_EPOCH;
    s->epoch = epoch == INT32_MAX ? 1 : epoch + 1;
    return KAFKA_NONE;
}

bool share_session_update(struct share_sessions *ss, struct share_session *s, const struct partition_set *added,
                          const struct partition_set *forgotten)
{
    struct partition_set sum = partition_set_union(&s->partitions, added);
    struct partition_set next = partition_set_minus(&sum, forgotten);

    partition_set_done(&sum);
    if (ss->partitions_count - s->partitions.count + next.count > SHARE_SESSION_PARTITIONS_MAX) {
        partition_set_done(&next);
        return false;
    }
    ss->partitions_count += next.count - s->partitions.count;
    partition_set_done(&s->partitions);
    s->partitions = next;
    return true;
}
