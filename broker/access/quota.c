/* broker/access/quota.c: see quota.h. */
#include "broker/access/quota.h"

#include "broker/limits.h"

#include <pthread.h>
#include <sys/queue.h>
#include <uthash.h>

/* Of one key and one counted client. */
struct usage {
    struct quota_rate rate;
    struct quota_bucket bucket; /* of mutations */
    int64_t used_ms;
    TAILQ_ENTRY(usage) link;
    UT_hash_handle hh;
    uint32_t name_len;
    uint8_t name[]; /* quota_key, length of the user, user, client id */
};

struct quotas {
    struct quota_windows windows;          /* of rates */
    struct quota_windows mutation_windows; /* of buckets */
    atomic_uint keys;                      /* bit per key that anybody has a limit for */
    const struct shared_set *published;    /* whose bits they are; for comparison only */
    pthread_mutex_t lock;                  /* guards the rest */
    struct usage *by_name;
    TAILQ_HEAD(, usage) used; /* least recently first */
    size_t bytes;
};

/* -- limits -- */

/* Who is asked, in order of precedence. DEFAULT: the entity without a name. */
enum part { ABSENT, NAMED, DEFAULT };
static const struct {
    enum part user, client;
} precedence[] = {
    {NAMED, NAMED},     {NAMED, DEFAULT},  {NAMED, ABSENT}, {DEFAULT, NAMED},
    {DEFAULT, DEFAULT}, {DEFAULT, ABSENT}, {ABSENT, NAMED}, {ABSENT, DEFAULT},
};

static int compare(const struct shared_entry *e, const void *key)
{
    return quota_entity_compare(&((const struct quota *)e)->entity, key);
}

static const struct quota *find(const struct shared_set *set, const struct quota_entity *e)
{
    int32_t at = shared_set_find(set, compare, e);
    return at < 0 ? NULL : quota_at(set, at);
}

static void set_part(struct quota_entity *e, enum quota_type type, enum part part, struct slice name)
{
    e->has[type] = part != ABSENT;
    e->name[type] = part == NAMED ? name : SLICE_NULL;
}

bool quota_limit(const struct shared_set *set, enum quota_key key, const struct quota_client *client, double *ret_limit,
                 struct quota_client *ret_counted)
{
    for (size_t i = 0; i < countof(precedence); i++) {
        enum part user = precedence[i].user, client_id = precedence[i].client;
        struct quota_entity e = {0};

        if (client_id != ABSENT && client->client_id.len == 0) continue; /* the client has no name */
        set_part(&e, QUOTA_USER, user, client->user);
        set_part(&e, QUOTA_CLIENT_ID, client_id, client->client_id);
        const struct quota *q = find(set, &e);
        if (!q || !q->has[key]) continue;
        *ret_limit = q->value[key];
        ret_counted->user = user == ABSENT ? SLICE_EMPTY : client->user;
        ret_counted->client_id = client_id == ABSENT ? SLICE_EMPTY : client->client_id;
        return true;
    }
    return false;
}

bool quota_limit_of_address(const struct shared_set *set, struct slice address, double *ret_limit)
{
    for (enum part part = NAMED; part <= DEFAULT; part++) {
        struct quota_entity e = {0};
        set_part(&e, QUOTA_IP, part, address);
        const struct quota *q = find(set, &e);
        if (!q || !q->has[QUOTA_CONNECTION_CREATION_RATE]) continue;
        *ret_limit = q->value[QUOTA_CONNECTION_CREATION_RATE];
        return true;
    }
    return false;
}

/* -- usage -- */

struct quotas *quotas_new(const struct broker_config *config)
{
    struct quotas *q = xcalloc(1, sizeof *q);

    q->windows = (struct quota_windows){config->quota_window_num, config->quota_window_size_seconds * 1000};
    q->mutation_windows = (struct quota_windows){config->controller_quota_window_num,
                                                 config->controller_quota_window_size_seconds * 1000};
    pthread_mutex_init(&q->lock, NULL);
    TAILQ_INIT(&q->used);
    return q;
}

static size_t usage_bytes(const struct quotas *q, const struct usage *u)
{
    return sizeof *u + u->name_len + (size_t)(q->windows.count + 1) * sizeof(struct quota_sample);
}

static void usage_free(struct quotas *q, struct usage *u)
{
    HASH_DEL(q->by_name, u);
    TAILQ_REMOVE(&q->used, u, link);
    q->bytes -= usage_bytes(q, u);
    quota_rate_done(&u->rate);
    free(u);
}

void quotas_free(struct quotas *q)
{
    struct usage *u;

    if (!q) return;
    while ((u = TAILQ_FIRST(&q->used))) usage_free(q, u);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

void quotas_publish(struct quotas *q, const struct shared_set *set)
{
    unsigned keys = 0;

    if (set == q->published) return;
    for (int32_t i = 0; i < set->count; i++)
        for (int k = 0; k < QUOTA_KEYS; k++) keys |= (unsigned)quota_at(set, i)->has[k] << k;
    q->published = set;
    atomic_store_explicit(&q->keys, keys, memory_order_relaxed);
}

bool quotas_has(const struct quotas *q, enum quota_key key)
{
    return atomic_load_explicit(&q->keys, memory_order_relaxed) >> key & 1;
}

/* With the lock. */
static struct usage *usage_of(struct quotas *q, enum quota_key key, const struct quota_client *counted, int64_t now_ms)
{
    uint32_t len = 1 + 4 + counted->user.len + counted->client_id.len;
    struct usage *fresh = xcalloc(1, sizeof *fresh + len), *u;

    fresh->name_len = len;
    fresh->name[0] = (uint8_t)key;
    be32_store(fresh->name + 1, counted->user.len);
    if (counted->user.len) memcpy(fresh->name + 5, counted->user.ptr, counted->user.len);
    if (counted->client_id.len)
        memcpy(fresh->name + 5 + counted->user.len, counted->client_id.ptr, counted->client_id.len);
    HASH_FIND(hh, q->by_name, fresh->name, len, u);
    if (u) {
        free(fresh);
        TAILQ_REMOVE(&q->used, u, link);
    } else {
        u = fresh;
        HASH_ADD_KEYPTR(hh, q->by_name, u->name, len, u);
        q->bytes += usage_bytes(q, u);
    }
    u->used_ms = now_ms;
    TAILQ_INSERT_TAIL(&q->used, u, link);
    struct usage *oldest;
    while ((oldest = TAILQ_FIRST(&q->used)) != u &&
           (q->bytes > QUOTA_USAGE_BYTES_MAX || now_ms - oldest->used_ms > QUOTA_IDLE_MS))
        usage_free(q, oldest);
    return u;
}

int64_t quotas_charge(struct quotas *q, const struct shared_set *set, enum quota_key key,
                      const struct quota_client *client, double amount, int64_t now_ms)
{
    struct quota_client counted;
    double limit;

    if (!quota_limit(set, key, client, &limit, &counted)) return 0;
    pthread_mutex_lock(&q->lock);
    struct usage *u = usage_of(q, key, &counted, now_ms);
    quota_rate_add(&u->rate, &q->windows, amount, now_ms);
    int64_t wait_ms = quota_rate_wait_ms(&u->rate, &q->windows, limit, now_ms);
    pthread_mutex_unlock(&q->lock);
    /* A client that used much time of the broker is held for one window at most: what it asks for next may be cheap. */
    return key == QUOTA_REQUEST_PERCENTAGE ? MIN(wait_ms, q->windows.size_ms) : wait_ms;
}

void quotas_take_back(struct quotas *q, const struct shared_set *set, enum quota_key key,
                      const struct quota_client *client, double amount, int64_t now_ms)
{
    struct quota_client counted;
    double limit;

    if (!quota_limit(set, key, client, &limit, &counted)) return;
    pthread_mutex_lock(&q->lock);
    quota_rate_add(&usage_of(q, key, &counted, now_ms)->rate, &q->windows, -amount, now_ms);
    pthread_mutex_unlock(&q->lock);
}

bool quotas_mutate(struct quotas *q, const struct shared_set *set, const struct quota_client *client, double partitions,
                   bool strict, int64_t now_ms, int64_t *ret_wait_ms)
{
    struct quota_client counted;
    double limit;

    *ret_wait_ms = 0;
    if (!quota_limit(set, QUOTA_CONTROLLER_MUTATION_RATE, client, &limit, &counted)) return true;
    pthread_mutex_lock(&q->lock);
    struct usage *u = usage_of(q, QUOTA_CONTROLLER_MUTATION_RATE, &counted, now_ms);
    bool admitted = !strict || quota_bucket_level(&u->bucket, &q->mutation_windows, limit, now_ms) >= 0;
    if (admitted) quota_bucket_take(&u->bucket, &q->mutation_windows, limit, partitions, now_ms);
    /* Who is refused waits; who is admitted strictly learns of it with his next request. */
    if (!strict || !admitted) *ret_wait_ms = quota_bucket_wait_ms(&u->bucket, &q->mutation_windows, limit, now_ms);
    pthread_mutex_unlock(&q->lock);
    return admitted;
}

int64_t quotas_fetch_bytes_max(struct quotas *q, const struct shared_set *set, const struct quota_client *client)
{
    struct quota_client counted;
    double limit;

    if (!quota_limit(set, QUOTA_CONSUMER_BYTE_RATE, client, &limit, &counted)) return INT64_MAX;
    double most = limit * (double)MAX(q->windows.count - 1, 1) * (double)q->windows.size_ms / 1000;
    return most >= (double)INT32_MAX ? INT32_MAX : MAX((int64_t)most, 1);
}

size_t quotas_bytes(struct quotas *q)
{
    pthread_mutex_lock(&q->lock);
    size_t bytes = q->bytes;
    pthread_mutex_unlock(&q->lock);
    return bytes;
}
