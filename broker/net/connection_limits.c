/* broker/net/connection_limits.c: see connection_limits.h. */
#include "broker/net/connection_limits.h"

#include "broker/limits.h"
#include "broker/access/quota.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <sys/queue.h>
#include <uthash.h>

struct connection_address {
    int64_t connections_count;
    struct quota_rate rate;
    int64_t used_ms;
    TAILQ_ENTRY(connection_address) idle_link; /* while it has no connection */
    UT_hash_handle hh;
    char host[];
};

struct connection_limits {
    struct quota_windows windows;
    pthread_mutex_t lock;
    struct connection_address *by_host;
    TAILQ_HEAD(, connection_address) idle; /* longest unused first */
    struct quota_rate rate;                /* of all */
};

struct connection_limits *connection_limits_new(const struct quota_windows *windows)
{
    struct connection_limits *l = xcalloc(1, sizeof *l);

    l->windows = *windows;
    pthread_mutex_init(&l->lock, NULL);
    TAILQ_INIT(&l->idle);
    return l;
}

static void forget(struct connection_limits *l, struct connection_address *a)
{
    HASH_DEL(l->by_host, a);
    TAILQ_REMOVE(&l->idle, a, idle_link);
    quota_rate_done(&a->rate);
    free(a);
}

void connection_limits_free(struct connection_limits *l)
{
    struct connection_address *a, *next;

    if (!l) return;
    HASH_ITER(hh, l->by_host, a, next)
    {
        HASH_DEL(l->by_host, a);
        quota_rate_done(&a->rate);
        free(a);
    }
    quota_rate_done(&l->rate);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* With the lock; an address without connection is in the list of idle ones. */
static struct connection_address *address_of(struct connection_limits *l, struct slice host, int64_t now_ms)
{
    struct connection_address *a;

    HASH_FIND(hh, l->by_host, host.ptr, host.len, a);
    if (a) {
        if (a->connections_count == 0) {
            TAILQ_REMOVE(&l->idle, a, idle_link);
            TAILQ_INSERT_TAIL(&l->idle, a, idle_link);
        }
    } else {
        a = xcalloc(1, sizeof *a + host.len + 1);
        memcpy(a->host, host.ptr, host.len);
        HASH_ADD_KEYPTR(hh, l->by_host, a->host, host.len, a);
        TAILQ_INSERT_TAIL(&l->idle, a, idle_link);
    }
    a->used_ms = now_ms;
    return a;
}

static void forget_idle(struct connection_limits *l, const struct connection_address *but, int64_t now_ms)
{
    struct connection_address *a;
    while ((a = TAILQ_FIRST(&l->idle)) && a != but &&
           (now_ms - a->used_ms > QUOTA_IDLE_MS || HASH_COUNT(l->by_host) > CONNECTION_ADDRESSES_MAX))
        forget(l, a);
}

enum connection_verdict connection_limits_take(struct connection_limits *l, const struct broker_config *config,
                                               const struct shared_set *quotas, struct slice host, int64_t now_ms,
                                               struct connection_address **ret_address, double *ret_limit,
                                               int64_t *ret_wait_ms)
{
    enum connection_verdict verdict = CONNECTION_TAKEN;
    int64_t most = connection_override(config->max_connections_per_ip_overrides, host);

    if (most < 0) most = config->max_connections_per_ip;
    pthread_mutex_lock(&l->lock);
    struct connection_address *a = address_of(l, host, now_ms);
    forget_idle(l, a, now_ms);
    if (quota_limit_of_address(quotas, host, ret_limit)) {
        quota_rate_add(&a->rate, &l->windows, 1, now_ms);
        int64_t wait_ms = quota_rate_wait_ms(&a->rate, &l->windows, *ret_limit, now_ms);
        if (wait_ms > 0) {
            quota_rate_add(&a->rate, &l->windows, -1, now_ms); /* it is not taken: it does not count */
            *ret_wait_ms = MIN(wait_ms, l->windows.size_ms);
            verdict = CONNECTION_TOO_FAST;
        }
    }
    if (verdict == CONNECTION_TAKEN && a->connections_count >= most) {
        *ret_limit = (double)most;
        verdict = CONNECTION_TOO_MANY;
    }
    if (verdict == CONNECTION_TAKEN) {
        if (a->connections_count++ == 0) TAILQ_REMOVE(&l->idle, a, idle_link);
        *ret_address = a;
    }
    pthread_mutex_unlock(&l->lock);
    return verdict;
}

void connection_limits_give_back(struct connection_limits *l, struct connection_address *a)
{
    pthread_mutex_lock(&l->lock);
    assert(a->connections_count > 0);
    if (--a->connections_count == 0) TAILQ_INSERT_TAIL(&l->idle, a, idle_link);
    pthread_mutex_unlock(&l->lock);
}

int64_t connection_limits_pause_ms(struct connection_limits *l, const struct broker_config *config, int64_t now_ms)
{
    if (config->max_connection_creation_rate == INT32_MAX) return 0;
    pthread_mutex_lock(&l->lock);
    quota_rate_add(&l->rate, &l->windows, 1, now_ms);
    int64_t wait_ms =
        quota_rate_wait_ms(&l->rate, &l->windows, (double)MAX(config->max_connection_creation_rate, 1), now_ms);
    pthread_mutex_unlock(&l->lock);
    return MIN(wait_ms, l->windows.size_ms);
}

uint32_t connection_limits_count(struct connection_limits *l)
{
    pthread_mutex_lock(&l->lock);
    uint32_t count = HASH_COUNT(l->by_host);
    pthread_mutex_unlock(&l->lock);
    return count;
}

/* -- overrides -- */

/* "ADDRESS:COUNT" into its address, without brackets, and its count. */
static bool parse_override(struct slice element, struct slice *ret_host, int64_t *ret_count)
{
    const uint8_t *colon = memrchr(element.ptr, ':', element.len);
    char digits[12];

    if (!colon) return false;
    uint32_t len = (uint32_t)(colon - element.ptr), digits_len = element.len - len - 1;
    if (digits_len == 0 || digits_len >= sizeof digits) return false;
    memcpy(digits, colon + 1, digits_len);
    digits[digits_len] = '\0';
    if (strspn(digits, "0123456789") != digits_len) return false;
    *ret_count = strtoll(digits, NULL, 10);
    bool brackets = len > 2 && element.ptr[0] == '[' && element.ptr[len - 1] == ']';
    *ret_host = slice_make(element.ptr + brackets, len - (brackets ? 2 : 0));
    return *ret_count <= INT32_MAX;
}

/* As the kernel tells addresses of clients, whatever form they were written in. false: not an address. */
static bool normal_form(struct slice host, char ret_text[INET6_ADDRSTRLEN])
{
    char text[INET6_ADDRSTRLEN];
    struct in_addr four;
    struct in6_addr six;

    if (host.len == 0 || host.len >= sizeof text) return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    if (inet_pton(AF_INET, text, &four) == 1) return inet_ntop(AF_INET, &four, ret_text, INET6_ADDRSTRLEN);
    return inet_pton(AF_INET6, text, &six) == 1 && inet_ntop(AF_INET6, &six, ret_text, INET6_ADDRSTRLEN);
}

int64_t connection_override(const char *list, struct slice host)
{
    struct slice element, name;
    char text[INET6_ADDRSTRLEN];
    int64_t count, found = -1;

    for (const char *p = list; option_list_next(&p, &element);)
        if (parse_override(element, &name, &count) && normal_form(name, text) && slice_eq_text(host, text))
            found = count; /* the last one counts */
    return found;
}

int connection_overrides_check(const char *list, struct err *err)
{
    struct slice element, name;
    char text[INET6_ADDRSTRLEN];
    int64_t count;

    for (const char *p = list; option_list_next(&p, &element);) {
        if (!parse_override(element, &name, &count))
            return err_set(err, -EINVAL, "max.connections.per.ip.overrides: '" SLICE_FMT "' is not ADDRESS:COUNT",
                           SLICE_ARG(element));
        if (!normal_form(name, text))
            return err_set(err, -EINVAL,
                           "max.connections.per.ip.overrides: '" SLICE_FMT
                           "' is not an address; names of hosts are not resolved",
                           SLICE_ARG(name));
    }
    return 0;
}
