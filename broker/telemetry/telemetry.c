/* broker/telemetry/telemetry.c: see telemetry.h.
 *
 * Subscriptions are compiled anew when the texts of their configurations changed, which gives them a new version; what
 * a client instance was told belongs to a version. Instances stand in the order in which they were last heard of.
 * Invariants: an instance is in by_connection while no other came through its connection; `bytes` is all of them. */
#include "broker/telemetry/telemetry.h"

#include "base/crc32c.h"
#include "broker/telemetry/client_metrics.h"
#include "broker/config/config.h"
#include "broker/limits.h"
#include "broker/metadata/metadata.h"
#include "broker/group/regex.h"
#include "broker/config/resource_options.h"
#include "protocol/compress.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <uthash.h>

#define LONG_AGO             (INT64_MIN / 2)
#define INTERVAL_MS_DEFAULT  300000
#define ALL_METRICS          SLICE("*")
#define SUBSCRIPTION_METRICS "metrics"

struct subscription {
    int32_t interval_ms;
    char *metrics;
    struct regex *match[CLIENT_MATCHES]; /* NULL: anything */
    bool nobody;                         /* one of them does not compile */
};

struct instance {
    struct uuid id;
    uint64_t connection_id;        /* 0: another instance came through its connection */
    char *matched[CLIENT_MATCHES]; /* what subscriptions are compared with, as when it first came */
    uint64_t version;              /* of the subscriptions */
    char *metrics;                 /* comma separated, sorted */
    int32_t subscription_id;
    int32_t interval_ms;
    size_t bytes; /* as counted */
    int64_t asked_ms, pushed_ms, seen_ms;
    bool terminating;
    enum kafka_error last_error;
    TAILQ_ENTRY(instance) link; /* longest silent first */
    UT_hash_handle hh;          /* by id */
    UT_hash_handle by_connection;
};

struct telemetry {
    pthread_mutex_t lock; /* guards all but the metrics */
    struct bytes configs; /* what the subscriptions were made of */
    uint64_t version;
    struct subscription *subscriptions;
    int32_t subscriptions_count;
    struct instance *by_id, *by_connection;
    TAILQ_HEAD(, instance) instances;
    size_t bytes; /* of all instances */
    int64_t swept_ms;
    pthread_mutex_t metrics_lock;
    struct client_metrics *metrics; /* under metrics_lock */
};

/* -- subscriptions -- */

static void subscriptions_done(struct telemetry *t)
{
    for (int32_t i = 0; i < t->subscriptions_count; i++) {
        for (int k = 0; k < CLIENT_MATCHES; k++) regex_free(t->subscriptions[i].match[k]);
        free(t->subscriptions[i].metrics);
    }
    free(t->subscriptions);
    t->subscriptions = NULL;
    t->subscriptions_count = 0;
}

static bool is_subscription(const struct metadata_resource *r)
{
    return r->type == CONFIG_RESOURCE_CLIENT_METRICS && r->config.count > 0;
}

static void write_configs(const struct metadata *m, struct bytes *out)
{
    for (int32_t i = 0; i < m->resources_count; i++) {
        const struct metadata_resource *r = m->resources[i];
        if (!is_subscription(r)) continue;
        bytes_append(out, r->name, strlen(r->name) + 1);
        for (uint32_t k = 0; k < r->config.count; k++) {
            bytes_append(out, r->config.entries[k].name, strlen(r->config.entries[k].name) + 1);
            bytes_append(out, r->config.entries[k].value, strlen(r->config.entries[k].value) + 1);
        }
        bytes_append_byte(out, '\0');
    }
}

/* The options were checked when they were set; a pattern that does not compile all the same lets nobody through. */
static void add_subscription(struct telemetry *t, const struct metadata_resource *r)
{
    struct subscription *s = &t->subscriptions[t->subscriptions_count++];
    const char *interval = config_list_get(&r->config, "interval.ms"), *p = config_list_get(&r->config, "match");
    const char *metrics = config_list_get(&r->config, SUBSCRIPTION_METRICS);
    struct slice pattern, expression;

    s->interval_ms = interval ? atoi(interval) : INTERVAL_MS_DEFAULT;
    s->metrics = xstrdup(metrics ? metrics : "");
    while (p && option_list_next(&p, &pattern)) {
        int k = client_match_find(pattern, &expression);
        if (k < 0) continue;
        regex_free(s->match[k]);
        s->match[k] = regex_compile(expression, NULL);
        s->nobody |= !s->match[k];
    }
}

/* With the lock. */
static void refresh(struct telemetry *t, const struct metadata *m)
{
    struct bytes configs = {0};

    write_configs(m, &configs);
    if (configs.failed || (slice_eq(bytes_slice(&configs), bytes_slice(&t->configs)) && t->version)) {
        bytes_done(&configs);
        return;
    }
    bytes_done(&t->configs);
    t->configs = configs;
    t->version++;
    subscriptions_done(t);
    t->subscriptions = xcalloc((size_t)m->resources_count + 1, sizeof t->subscriptions[0]);
    for (int32_t i = 0; i < m->resources_count; i++)
        if (is_subscription(m->resources[i])) add_subscription(t, m->resources[i]);
}

static bool matches(const struct subscription *s, const struct instance *c)
{
    if (s->nobody) return false;
    for (int k = 0; k < CLIENT_MATCHES; k++) {
        if (!s->match[k]) continue;
        if (!c->matched[k] || !regex_matches(s->match[k], slice_of(c->matched[k]))) return false;
    }
    return true;
}

/* -- instances -- */

/* The names of all lists once each, sorted, with commas; just "*" when that is one of them. */
static char *merge_metrics(const char *const *lists, int32_t lists_count)
{
    struct slice name, *names = NULL;
    size_t count = 0, size = 0;
    struct bytes out = {0};

    for (int32_t i = 0; i < lists_count; i++) {
        for (const char *p = lists[i]; option_list_next(&p, &name);) {
            if (name.len == 0) continue;
            if (count == size) names = xrealloc(names, (size = size * 2 + 16) * sizeof names[0]);
            names[count++] = name;
            if (slice_eq(name, ALL_METRICS)) {
                free(names);
                return xstrdup("*");
            }
        }
    }
    if (count) qsort(names, count, sizeof names[0], slice_order);
    for (size_t i = 0; i < count; i++) {
        if (i && slice_eq(names[i], names[i - 1])) continue;
        if (out.len) bytes_append_byte(&out, ',');
        bytes_append_slice(&out, names[i]);
    }
    free(names);
    bytes_append_byte(&out, '\0');
    char *text = out.failed ? xstrdup("") : xstrdup((const char *)out.ptr);
    bytes_done(&out);
    return text;
}

/* With Kafka's ingredients; in its own order of the names the id is another, which no client looks into. */
static int32_t choice_id(const struct instance *c)
{
    uint32_t crc = crc32c(0, c->metrics, strlen(c->metrics)), half[4];

    crc = crc32c(crc, &c->interval_ms, sizeof c->interval_ms);
    memcpy(half, c->id.bytes, sizeof half);
    return (int32_t)(crc ^ half[0] ^ half[1] ^ half[2] ^ half[3]);
}

static void choose(struct telemetry *t, struct instance *c)
{
    const char **lists = xcalloc((size_t)t->subscriptions_count + 1, sizeof lists[0]);
    int32_t count = 0;

    c->interval_ms = INTERVAL_MS_DEFAULT;
    for (int32_t i = 0; i < t->subscriptions_count; i++) {
        const struct subscription *s = &t->subscriptions[i];
        if (!matches(s, c)) continue;
        lists[count++] = s->metrics;
        c->interval_ms = MIN(c->interval_ms, s->interval_ms);
    }
    free(c->metrics);
    c->metrics = merge_metrics(lists, count);
    free(lists);
    c->subscription_id = choice_id(c);
    c->version = t->version;
    c->asked_ms = c->pushed_ms = LONG_AGO;
    c->terminating = false;
    c->last_error = KAFKA_NONE;
}

/* The connection whose end is the instance's end; 0: none. */
static void set_connection(struct telemetry *t, struct instance *c, uint64_t connection_id)
{
    if (c->connection_id == connection_id) return;
    if (c->connection_id) HASH_DELETE(by_connection, t->by_connection, c);
    c->connection_id = connection_id;
    if (connection_id) HASH_ADD(by_connection, t->by_connection, connection_id, sizeof c->connection_id, c);
}

static void instance_free(struct telemetry *t, struct instance *c)
{
    t->bytes -= c->bytes;
    HASH_DEL(t->by_id, c);
    set_connection(t, c, 0);
    TAILQ_REMOVE(&t->instances, c, link);
    for (int k = 0; k < CLIENT_MATCHES; k++) free(c->matched[k]);
    free(c->metrics);
    free(c);
}

/* After its texts were made: others go when all together have too many. */
static void count_bytes(struct telemetry *t, struct instance *c)
{
    t->bytes -= c->bytes;
    c->bytes = sizeof *c + strlen(c->metrics);
    for (int k = 0; k < CLIENT_MATCHES; k++) c->bytes += c->matched[k] ? strlen(c->matched[k]) : 0;
    t->bytes += c->bytes;
    while (t->bytes > TELEMETRY_BYTES_MAX && TAILQ_FIRST(&t->instances) != c)
        instance_free(t, TAILQ_FIRST(&t->instances));
}

static void sweep(struct telemetry *t, int64_t now_ms)
{
    struct instance *c, *next;

    if (now_ms - t->swept_ms < TELEMETRY_SWEEP_MS) return;
    t->swept_ms = now_ms;
    HASH_ITER(hh, t->by_id, c, next)
    if (now_ms - c->seen_ms > MAX((int64_t)TELEMETRY_KEEP_MS, 3 * (int64_t)c->interval_ms)) instance_free(t, c);
}

static struct instance *instance_new(struct telemetry *t, struct uuid id, const struct telemetry_client *who)
{
    struct instance *c = xcalloc(1, sizeof *c);
    char text[UUID_TEXT_SIZE];

    while (HASH_COUNT(t->by_id) >= TELEMETRY_CLIENTS_MAX) instance_free(t, TAILQ_FIRST(&t->instances));
    uuid_format(id, text);
    c->id = id;
    c->matched[CLIENT_MATCH_ID] = slice_strdup(who->client_id);
    c->matched[CLIENT_MATCH_INSTANCE_ID] = xstrdup(text);
    c->matched[CLIENT_MATCH_SOFTWARE_NAME] = slice_strdup(who->software_name);
    c->matched[CLIENT_MATCH_SOFTWARE_VERSION] = slice_strdup(who->software_version);
    c->matched[CLIENT_MATCH_ADDRESS] = slice_strdup(who->address);
    c->matched[CLIENT_MATCH_PORT] = xstrdup(who->port);
    HASH_ADD(hh, t->by_id, id, sizeof c->id, c);
    TAILQ_INSERT_TAIL(&t->instances, c, link);
    choose(t, c);
    count_bytes(t, c);
    return c;
}

/* With the lock. */
static struct instance *instance_of(struct telemetry *t, const struct metadata *m, struct uuid id,
                                    const struct telemetry_client *who, int64_t now_ms)
{
    struct instance *c, *other;

    sweep(t, now_ms);
    refresh(t, m);
    HASH_FIND(hh, t->by_id, &id, sizeof id, c);
    HASH_FIND(by_connection, t->by_connection, &who->connection_id, sizeof who->connection_id, other);
    if (other && other != c) set_connection(t, other, 0);
    if (!c) c = instance_new(t, id, who);
    set_connection(t, c, who->connection_id);
    c->seen_ms = now_ms;
    TAILQ_REMOVE(&t->instances, c, link);
    TAILQ_INSERT_TAIL(&t->instances, c, link);
    if (c->version != t->version) {
        choose(t, c);
        count_bytes(t, c);
    }
    return c;
}

/* -- what clients ask -- */

static bool may_ask(struct instance *c, int64_t now_ms)
{
    bool in_time = now_ms - MAX(c->asked_ms, c->pushed_ms) >= c->interval_ms;

    if (in_time) c->asked_ms = now_ms;
    return in_time || c->last_error == KAFKA_UNKNOWN_SUBSCRIPTION_ID ||
           c->last_error == KAFKA_UNSUPPORTED_COMPRESSION_TYPE;
}

static bool may_push(struct instance *c, int64_t now_ms)
{
    if (c->asked_ms <= c->pushed_ms && now_ms - c->pushed_ms < c->interval_ms) return false;
    c->pushed_ms = now_ms;
    return true;
}

static bool fill(const struct instance *c, struct arena *a, struct telemetry_subscription *ret)
{
    const char *text = arena_strdup(a, c->metrics);
    int32_t size = 1;

    for (const char *p = c->metrics; *p; p++) size += *p == ',';
    *ret = (struct telemetry_subscription){
        .instance_id = c->id, .id = c->subscription_id, .push_interval_ms = c->interval_ms};
    ret->metrics = arena_calloc(a, (size_t)size, sizeof ret->metrics[0]);
    if (!text || !ret->metrics) return false;
    while (ret->metrics_count < size && option_list_next(&text, &ret->metrics[ret->metrics_count]))
        ret->metrics_count++;
    return true;
}

enum kafka_error telemetry_subscribe(struct telemetry *t, const struct metadata *m, const struct telemetry_client *who,
                                     struct uuid instance_id, int64_t now_ms, struct arena *a,
                                     struct telemetry_subscription *ret)
{
    enum kafka_error error = KAFKA_NONE;

    if (uuid_is_zero(instance_id)) instance_id = uuid_random();
    pthread_mutex_lock(&t->lock);
    struct instance *c = instance_of(t, m, instance_id, who, now_ms);
    if (!may_ask(c, now_ms)) {
        error = KAFKA_THROTTLING_QUOTA_EXCEEDED;
    } else {
        c->last_error = KAFKA_NONE;
        if (!fill(c, a, ret)) error = KAFKA_UNKNOWN_SERVER_ERROR;
    }
    pthread_mutex_unlock(&t->lock);
    return error;
}

static enum kafka_error check_push(struct instance *c, const struct telemetry_push *push, int64_t now_ms)
{
    if (c->terminating) return KAFKA_INVALID_REQUEST;
    if (!may_push(c, now_ms) && !push->terminating) return KAFKA_THROTTLING_QUOTA_EXCEEDED;
    if (push->subscription_id != c->subscription_id) return KAFKA_UNKNOWN_SUBSCRIPTION_ID;
    if (!compression_name(push->codec)) return KAFKA_UNSUPPORTED_COMPRESSION_TYPE;
    return push->metrics.len > push->bytes_max ? KAFKA_TELEMETRY_TOO_LARGE : KAFKA_NONE;
}

/* Zero, and the id of the metadata topic: no client has them. */
static bool is_reserved(struct uuid id)
{
    return uuid_is_zero(id) || uuid_eq(id, (struct uuid){{[15] = 1}});
}

/* Long: some MiB are read; the lock that the control thread takes is not held. */
static bool keep(struct telemetry *t, const struct telemetry_client *who, const struct telemetry_push *push,
                 struct slice metrics, int64_t now_ms, int32_t interval_ms)
{
    const struct client_identity identity = {.instance_id = push->instance_id,
                                             .client_id = who->client_id,
                                             .software_name = who->software_name,
                                             .software_version = who->software_version,
                                             .address = who->address};
    pthread_mutex_lock(&t->metrics_lock);
    bool ok = client_metrics_push(t->metrics, &identity, metrics, now_ms, interval_ms);
    pthread_mutex_unlock(&t->metrics_lock);
    return ok;
}

enum kafka_error telemetry_push(struct telemetry *t, const struct metadata *m, const struct telemetry_client *who,
                                const struct telemetry_push *push, int64_t now_ms)
{
    struct bytes content = {0};
    struct instance *c;

    if (is_reserved(push->instance_id)) return KAFKA_INVALID_REQUEST;
    pthread_mutex_lock(&t->lock);
    c = instance_of(t, m, push->instance_id, who, now_ms);
    enum kafka_error error = check_push(c, push, now_ms);
    c->terminating = push->terminating;
    c->last_error = error;
    int32_t interval_ms = c->interval_ms;
    pthread_mutex_unlock(&t->lock);
    if (error != KAFKA_NONE || push->metrics.len == 0) return error;

    if (decompress_append((enum compression_codec)push->codec, push->metrics, TELEMETRY_CONTENT_BYTES_MAX, &content) <
        0)
        error = KAFKA_INVALID_RECORD;
    if (error == KAFKA_NONE && !keep(t, who, push, bytes_slice(&content), now_ms, interval_ms))
        error = KAFKA_INVALID_RECORD;
    pthread_mutex_lock(&t->lock);
    HASH_FIND(hh, t->by_id, &push->instance_id, sizeof push->instance_id, c);
    if (c) c->last_error = error;
    pthread_mutex_unlock(&t->lock);
    bytes_done(&content);
    return error;
}

/* -- life -- */

void telemetry_disconnected(struct telemetry *t, uint64_t connection_id)
{
    struct instance *c;

    pthread_mutex_lock(&t->lock);
    HASH_FIND(by_connection, t->by_connection, &connection_id, sizeof connection_id, c);
    if (c) instance_free(t, c);
    pthread_mutex_unlock(&t->lock);
}

void telemetry_write(struct telemetry *t, int64_t now_ms, struct bytes *out)
{
    pthread_mutex_lock(&t->metrics_lock);
    client_metrics_write(t->metrics, now_ms, out);
    pthread_mutex_unlock(&t->metrics_lock);
}

struct telemetry *telemetry_new(void)
{
    struct telemetry *t = xcalloc(1, sizeof *t);

    pthread_mutex_init(&t->lock, NULL);
    pthread_mutex_init(&t->metrics_lock, NULL);
    TAILQ_INIT(&t->instances);
    t->metrics = client_metrics_new();
    return t;
}

void telemetry_free(struct telemetry *t)
{
    struct instance *c;

    if (!t) return;
    while ((c = TAILQ_FIRST(&t->instances))) instance_free(t, c);
    subscriptions_done(t);
    bytes_done(&t->configs);
    client_metrics_free(t->metrics);
    pthread_mutex_destroy(&t->lock);
    pthread_mutex_destroy(&t->metrics_lock);
    free(t);
}
