/* broker/fetch/fetch_session.c: see fetch_session.h. */
#include "broker/fetch/fetch_session.h"

#include "broker/limits.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/random.h>

struct fetch_sessions {
    pthread_mutex_t lock;
    struct fetch_session *by_id;
    TAILQ_HEAD(, fetch_session) used; /* least recently first */
    int64_t slots_max;
    int64_t count;
    atomic_uint partitions_count;
};

struct fetch_sessions *fetch_sessions_new(int64_t slots_max)
{
    struct fetch_sessions *c = xcalloc(1, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    TAILQ_INIT(&c->used);
    c->slots_max = slots_max;
    return c;
}

static void partition_free(struct fetch_session *s, struct fetch_session_partition *p)
{
    HASH_DEL(s->index, p);
    TAILQ_REMOVE(&s->partitions, p, link);
    s->partitions_count--;
    atomic_fetch_sub(&s->cache->partitions_count, 1);
    free(p);
}

/* With the lock. */
static void session_remove(struct fetch_session *s)
{
    struct fetch_session_partition *p;

    HASH_DEL(s->cache->by_id, s);
    TAILQ_REMOVE(&s->cache->used, s, link);
    s->cache->count--;
    while ((p = TAILQ_FIRST(&s->partitions))) partition_free(s, p);
    free(s);
}

void fetch_sessions_free(struct fetch_sessions *c)
{
    struct fetch_session *s;

    if (!c) return;
    while ((s = TAILQ_FIRST(&c->used))) session_remove(s);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* Who gives way to a session of so many partitions: one that was not used for long, else the smallest of those that are
 * old enough, when it is not larger: sessions of many partitions save the most. NULL: nobody. */
static struct fetch_session *dispensable(struct fetch_sessions *c, uint32_t partitions_count, int64_t now_ms)
{
    struct fetch_session *s, *smallest = NULL;

    TAILQ_FOREACH(s, &c->used, link) {
        if (s->busy) continue;
        if (now_ms - s->used_ms > FETCH_SESSION_EVICT_MS) return s;
        if (now_ms - s->created_ms > FETCH_SESSION_EVICT_MS &&
            (!smallest || s->partitions_count < smallest->partitions_count))
            smallest = s;
    }
    return smallest && smallest->partitions_count <= partitions_count ? smallest : NULL;
}

/* Room for a session of so many partitions, and for `more` that it does not have yet. */
static bool make_room(struct fetch_sessions *c, int64_t slots, uint32_t partitions_count, uint32_t more, int64_t now_ms)
{
    struct fetch_session *s;

    if (partitions_count > FETCH_SESSION_PARTITIONS_MAX) return false;
    while (c->count + slots > c->slots_max || atomic_load(&c->partitions_count) + more > FETCH_SESSION_PARTITIONS_MAX) {
        s = dispensable(c, partitions_count, now_ms);
        if (!s) return false;
        session_remove(s);
    }
    return true;
}

/* Random, so that a client of an earlier process does not hit another's session; positive. */
static int32_t free_id(struct fetch_sessions *c)
{
    struct fetch_session *taken;
    int32_t id;

    do {
        if (getrandom(&id, sizeof id, 0) != sizeof id) abort();
        id &= INT32_MAX;
        HASH_FIND_INT(c->by_id, &id, taken);
    } while (id == 0 || taken);
    return id;
}

struct fetch_session *fetch_session_create(struct fetch_sessions *c, bool by_id, uint32_t partitions_count,
                                           int64_t now_ms)
{
    struct fetch_session *s = NULL;

    pthread_mutex_lock(&c->lock);
    if (make_room(c, 1, partitions_count, partitions_count, now_ms)) {
        s = xcalloc(1, sizeof *s);
        s->id = free_id(c);
        s->epoch = 1;
        s->by_id = by_id;
        s->busy = true;
        s->used_ms = s->created_ms = now_ms;
        s->cache = c;
        TAILQ_INIT(&s->partitions);
        HASH_ADD_INT(c->by_id, id, s);
        TAILQ_INSERT_TAIL(&c->used, s, link);
        c->count++;
    }
    pthread_mutex_unlock(&c->lock);
    return s;
}

struct fetch_session *fetch_session_take(struct fetch_sessions *c, int32_t id, int64_t now_ms)
{
    struct fetch_session *s;

    pthread_mutex_lock(&c->lock);
    HASH_FIND_INT(c->by_id, &id, s);
    if (s && s->busy) s = NULL;
    if (s) {
        s->busy = true;
        s->used_ms = now_ms;
        TAILQ_REMOVE(&c->used, s, link);
        TAILQ_INSERT_TAIL(&c->used, s, link);
    }
    pthread_mutex_unlock(&c->lock);
    return s;
}

void fetch_session_give_back(struct fetch_session *s)
{
    pthread_mutex_lock(&s->cache->lock);
    s->busy = false;
    pthread_mutex_unlock(&s->cache->lock);
}

void fetch_session_close(struct fetch_session *s)
{
    struct fetch_sessions *c = s->cache;
    pthread_mutex_lock(&c->lock);
    session_remove(s);
    pthread_mutex_unlock(&c->lock);
}

/* -- partitions -- */

static uint32_t key_make(const struct fetch_session *s, struct uuid topic_id, struct slice topic, int32_t index,
                         uint8_t *key)
{
    uint32_t len = s->by_id ? sizeof topic_id.bytes : topic.len;
    memcpy(key, s->by_id ? topic_id.bytes : topic.ptr, len);
    memcpy(key + len, &index, sizeof index);
    return len + (uint32_t)sizeof index;
}

static struct fetch_session_partition *find(struct fetch_session *s, const uint8_t *key, uint32_t key_len)
{
    struct fetch_session_partition *p;
    HASH_FIND(hh, s->index, key, key_len, p);
    return p;
}

#define KEY_BYTES_MAX (249 + sizeof(int32_t)) /* a longer name is no topic's */

/* All are taken: another session has to make way for one more of this one, which is busy and so none of them. */
static bool grow(struct fetch_session *s)
{
    pthread_mutex_lock(&s->cache->lock);
    bool room = make_room(s->cache, 0, s->partitions_count + 1, 1, s->used_ms);
    pthread_mutex_unlock(&s->cache->lock);
    return room;
}

struct fetch_session_partition *fetch_session_add(struct fetch_session *s, struct uuid topic_id, struct slice topic,
                                                  int32_t index)
{
    uint8_t key[KEY_BYTES_MAX];

    if (!s->by_id && topic.len > KEY_BYTES_MAX - sizeof index) return NULL;
    uint32_t key_len = key_make(s, topic_id, topic, index, key);
    struct fetch_session_partition *p = find(s, key, key_len);
    if (p) return p;
    if (atomic_load(&s->cache->partitions_count) >= FETCH_SESSION_PARTITIONS_MAX && !grow(s)) return NULL;

    p = calloc(1, sizeof *p + key_len);
    if (!p) return NULL;
    p->index = index;
    p->high_watermark = p->log_start = -1;
    p->topic_id = topic_id;
    p->key_len = key_len;
    memcpy(p->key, key, key_len);
    if (!s->by_id) p->topic = slice_make(p->key, key_len - (uint32_t)sizeof index);
    HASH_ADD(hh, s->index, key, key_len, p);
    TAILQ_INSERT_TAIL(&s->partitions, p, link);
    s->partitions_count++;
    atomic_fetch_add(&s->cache->partitions_count, 1);
    return p;
}

void fetch_session_forget(struct fetch_session *s, struct uuid topic_id, struct slice topic, int32_t index)
{
    uint8_t key[KEY_BYTES_MAX];

    if (!s->by_id && topic.len > KEY_BYTES_MAX - sizeof index) return;
    struct fetch_session_partition *p = find(s, key, key_make(s, topic_id, topic, index, key));
    if (p) partition_free(s, p);
}

void fetch_session_rotate(struct fetch_session *s, struct fetch_session_partition *p)
{
    TAILQ_REMOVE(&s->partitions, p, link);
    TAILQ_INSERT_TAIL(&s->partitions, p, link);
}
