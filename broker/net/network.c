/* broker/net/network.c: listeners and the loops that serve connections.
 *
 * All listeners are accepted on the first loop, which hands each connection to the loop with the fewest.
 * Threads: each loop has its own, and owns its connections; the control thread and main reach it by its mailbox. */
#include "broker/net/network.h"

#include "base/log.h"
#include "base/thread.h"
#include "broker/api.h"
#include "broker/limits.h"
#include "broker/metadata/metadata.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <sys/socket.h>

#define ACCEPTS_PER_WAKE_UP 16
#define ACCEPT_TELL_MS      60000 /* once per busy time is enough for the log */
#define ACCEPT_RETRY_MS     500   /* when the system has no descriptor or memory for a connection */

/* -- addresses of listeners -- */

/* "NAME://HOST:PORT", HOST may be empty or "[ipv6]". */
static int parse_endpoint(const char *option, struct slice text, char name[LISTENER_NAME_BYTES], char host[HOST_BYTES],
                          int32_t *ret_port, struct err *err)
{
    AUTO_FREE char *copy = slice_strdup(text);
    char *separator = strstr(copy, "://");
    char *colon = separator ? strrchr(separator + 3, ':') : NULL;
    char *end;

    if (!colon || separator == copy) return err_set(err, -EINVAL, "%s=%s: must be NAME://HOST:PORT", option, copy);
    errno = 0;
    long port = strtol(colon + 1, &end, 10);
    if (end == colon + 1 || *end || errno || port < 0 || port > 65535)
        return err_set(err, -EINVAL, "%s=%s: the port must be a number from 0 to 65535", option, copy);

    struct slice name_part = slice_make(copy, (uint32_t)(separator - copy));
    struct slice host_part = slice_make(separator + 3, (uint32_t)(colon - separator - 3));
    if (host_part.len >= 2 && host_part.ptr[0] == '[' && host_part.ptr[host_part.len - 1] == ']')
        host_part = slice_make(host_part.ptr + 1, host_part.len - 2);
    else if (memchr(host_part.ptr, ':', host_part.len))
        return err_set(err, -EINVAL, "%s=%s: an IPv6 address stands in brackets", option, copy);
    if (name_part.len >= LISTENER_NAME_BYTES || host_part.len >= HOST_BYTES)
        return err_set(err, -EINVAL, "%s=%s: name or host is too long", option, copy);
    snprintf(name, LISTENER_NAME_BYTES, SLICE_FMT, SLICE_ARG(name_part));
    snprintf(host, HOST_BYTES, SLICE_FMT, SLICE_ARG(host_part));
    *ret_port = (int32_t)port;
    return 0;
}

/* The security protocol of a listener's name, from "NAME:PROTOCOL,..."; false: not in the map. */
static bool listener_protocol(const char *map, const char *name, char *ret_protocol, size_t size)
{
    struct slice element;
    for (const char *p = map; option_list_next(&p, &element);) {
        const uint8_t *colon = memchr(element.ptr, ':', element.len);
        if (!colon || !slice_eq_text(slice_make(element.ptr, (uint32_t)(colon - element.ptr)), name)) continue;
        snprintf(ret_protocol, size, "%.*s", (int)(element.ptr + element.len - colon - 1), (const char *)colon + 1);
        return true;
    }
    return false;
}

static int open_socket(const struct addrinfo *a)
{
    int on = 1, off = 0;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a->ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, a->ai_addr, a->ai_addrlen) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

/* Every address: IPv6 with IPv4 mapped, or IPv4 alone where the kernel has no IPv6. Else the first that can be bound.
 * */
static int bind_host(const char *host, int32_t port, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list;
    char service[8];
    int r;

    snprintf(service, sizeof service, "%d", port);
    if (!*host) hints.ai_family = AF_INET6;
    r = getaddrinfo(*host ? host : NULL, service, &hints, &list);
    if (r) return err_set(err, -EINVAL, "cannot listen on %s:%d: %s", host, port, gai_strerror(r));
    r = -EADDRNOTAVAIL;
    for (const struct addrinfo *a = list; a && r < 0; a = a->ai_next) r = open_socket(a);
    freeaddrinfo(list);
    if (r == -EAFNOSUPPORT && !*host) return bind_host("0.0.0.0", port, err);
    if (r == -EADDRINUSE)
        return err_set(
            err, r,
            "cannot listen on %s:%d: the port is in use (`ss -ltnp sport = :%d` shows by whom); choose another "
            "with --override listeners=PLAINTEXT://%s:PORT",
            host, port, port, host);
    return r < 0 ? err_set(err, r, "cannot listen on %s:%d: %s", host, port, strerror(-r)) : r;
}

/* A Kafka configuration of one node names the controller's listener too; nobody connects to it here. */
static bool is_controllers(const struct broker_config *config, const char *listener)
{
    const char *controllers = config_list_get(&config->given, "controller.listener.names");
    return controllers && option_list_has(controllers, listener);
}

static int bind_listener(struct network *n, struct slice text, struct err *err)
{
    const struct broker_config *config = n->broker->config;
    struct listener l = {.network = n, .fd = -1};
    char host[HOST_BYTES], protocol[32], shown[ADDRESS_BYTES];
    union socket_address bound;
    socklen_t size = sizeof bound;
    int r = parse_endpoint("listeners", text, l.name, host, &l.port, err);

    if (r < 0) return r;
    if (is_controllers(config, l.name)) return 0;
    if (!listener_protocol(config->listener_security_protocol_map, l.name, protocol, sizeof protocol))
        return err_set(err, -EINVAL, "listeners: %s is not in listener.security.protocol.map", l.name);
    if (strcmp(protocol, "PLAINTEXT") != 0)
        return err_set(err, -EINVAL, "listeners: %s has the protocol %s; this version serves PLAINTEXT", l.name,
                       protocol);
    for (int i = 0; i < n->listeners_count; i++)
        if (strcmp(n->listeners[i].name, l.name) == 0)
            return err_set(err, -EINVAL, "listeners: the name %s stands twice", l.name);

    r = bind_host(host, l.port, err);
    if (r < 0) return r;
    l.fd = r;
    getsockname(l.fd, &bound.any, &size);
    l.port = address_port(&bound);
    address_host(&bound, shown);
    const char *address = *host ? host : shown;
    snprintf(l.address, sizeof l.address, strchr(address, ':') ? "[%s]:%d" : "%s:%d", address, l.port);

    n->listeners = xrealloc(n->listeners, ((size_t)n->listeners_count + 1) * sizeof *n->listeners);
    n->listeners[n->listeners_count++] = l;
    return 0;
}

static int set_advertised(struct network *n, struct slice text, struct err *err)
{
    char name[LISTENER_NAME_BYTES], host[HOST_BYTES];
    int32_t port;
    int r = parse_endpoint("advertised.listeners", text, name, host, &port, err);

    if (r < 0) return r;
    if (is_controllers(n->broker->config, name)) return 0;
    if (!*host || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0)
        return err_set(err, -EINVAL, "advertised.listeners=" SLICE_FMT ": clients cannot connect to that address",
                       SLICE_ARG(text));
    for (int i = 0; i < n->listeners_count; i++) {
        struct listener *l = &n->listeners[i];
        if (strcmp(l->name, name) != 0) continue;
        snprintf(l->advertised_host, sizeof l->advertised_host, "%s", host);
        l->advertised_port = port ? port : l->port;
        return 0;
    }
    return err_set(err, -EINVAL, "advertised.listeners: %s is not in listeners", name);
}

static void close_listeners(struct network *n)
{
    for (int i = 0; i < n->listeners_count; i++) {
        if (n->listeners[i].fd >= 0) close(n->listeners[i].fd);
        n->listeners[i].fd = -1;
    }
}

int network_bind(struct broker *b, struct network **ret_network, struct err *err)
{
    struct network *n = xcalloc(1, sizeof *n);
    struct slice element;
    int r = 0;

    const struct quota_windows windows = {b->config->quota_window_num, b->config->quota_window_size_seconds * 1000};

    n->broker = b;
    n->limits = connection_limits_new(&windows);
    TAILQ_INIT(&n->delayed_closes);
    n->request_size_max = b->config->socket_request_max_bytes;
    n->request_bytes_max = b->config->queued_max_request_bytes < 0 ? INT64_MAX : b->config->queued_max_request_bytes;
    for (const char *p = b->config->listeners; r == 0 && option_list_next(&p, &element);)
        r = bind_listener(n, element, err);
    if (r == 0 && n->listeners_count == 0) r = err_set(err, -EINVAL, "listeners: there must be one");
    for (const char *p = b->config->advertised_listeners; r == 0 && option_list_next(&p, &element);)
        r = set_advertised(n, element, err);
    if (r < 0) {
        close_listeners(n);
        connection_limits_free(n->limits);
        free(n->listeners);
        free(n);
        return r;
    }
    *ret_network = n;
    return 0;
}

/* -- accepting: the first loop -- */

struct accepted {
    struct loop *loop;
    struct listener *listener;
    int fd;
    union socket_address peer;
    struct connection_address *address;
};

/* A connection that came too fast: its client learns so when it is closed, and not at once, so that it does not come
 * again at once. */
struct delayed_close {
    struct network *network;
    int fd;
    ev_timer due;
    TAILQ_ENTRY(delayed_close) link;
};

static void start_listening(struct network *n)
{
    for (int i = 0; i < n->listeners_count; i++) ev_io_start(n->loops[0].ev, &n->listeners[i].accept);
}

static void stop_listening(struct network *n)
{
    for (int i = 0; i < n->listeners_count; i++) ev_io_stop(n->loops[0].ev, &n->listeners[i].accept);
}

/* There may be room again; accept_ready() sees whether there is. */
static void resume_accepting(void *arg)
{
    struct network *n = arg;
    if (!n->loops[0].stopping && !ev_is_active(&n->accept_pause)) start_listening(n);
}

/* Accepts nothing for so long. On the first loop. */
static void pause_accepting(struct network *n, int64_t pause_ms)
{
    stop_listening(n);
    ev_timer_set(&n->accept_pause, (ev_tstamp)pause_ms / 1e3, 0.);
    ev_timer_start(n->loops[0].ev, &n->accept_pause);
}

/* A line about connections that wait, once per busy time. */
static bool tell_of_waiting(struct network *n)
{
    int64_t now_ms = clock_mono_ms(n->broker->clock);
    bool tell = n->accept_told_ms == 0 || now_ms - n->accept_told_ms > ACCEPT_TELL_MS;
    n->accept_told_ms = now_ms;
    return tell;
}

static void accept_pause_over(struct ev_loop *ev, ev_timer *w, int revents)
{
    resume_accepting(w->data);
}

void network_connection_gone(struct loop *l, struct connection_address *address)
{
    struct network *n = l->network;

    connection_limits_give_back(n->limits, address);
    atomic_fetch_sub(&l->connections_count, 1);
    atomic_fetch_sub(&n->connections_count, 1);
    if (atomic_exchange(&n->accept_waits, false)) (void)mailbox_post(&n->loops[0].mailbox, resume_accepting, n);
}

/* false: further connections stay where the kernel holds them until one goes. */
static bool has_room(struct network *n, const struct broker_config *config)
{
    int64_t most = MIN(config->max_connections, n->descriptors_max);

    if (atomic_load(&n->connections_count) < most) return true;
    stop_listening(n);
    atomic_store(&n->accept_waits, true);
    /* One may have gone before it could know that somebody waits. */
    if (atomic_load(&n->connections_count) < most && atomic_exchange(&n->accept_waits, false)) {
        start_listening(n);
        return true;
    }
    if (tell_of_waiting(n))
        log_warn("network", "new connections wait: %s is reached max=%lld",
                 most < config->max_connections ? "what the limit of open files (ulimit -n) leaves for connections"
                                                : "max.connections",
                 (long long)most);
    return false;
}

static void delayed_close_end(struct delayed_close *d)
{
    ev_timer_stop(d->network->loops[0].ev, &d->due);
    TAILQ_REMOVE(&d->network->delayed_closes, d, link);
    d->network->delayed_closes_count--;
    close(d->fd);
    free(d);
}

static void delayed_close_due(struct ev_loop *ev, ev_timer *w, int revents)
{
    delayed_close_end(w->data);
}

static void close_later(struct network *n, int fd, int64_t wait_ms)
{
    if (n->delayed_closes_count >= DELAYED_CLOSES_MAX) {
        close(fd);
        return;
    }
    struct delayed_close *d = xcalloc(1, sizeof *d);
    d->network = n;
    d->fd = fd;
    ev_timer_init(&d->due, delayed_close_due, (ev_tstamp)wait_ms / 1e3, 0.);
    d->due.data = d;
    ev_timer_start(n->loops[0].ev, &d->due);
    TAILQ_INSERT_TAIL(&n->delayed_closes, d, link);
    n->delayed_closes_count++;
}

static void adopt(void *arg)
{
    struct accepted *a = arg;

    if (a->loop->stopping) {
        close(a->fd);
        network_connection_gone(a->loop, a->address);
    } else {
        connection_new(a->loop, a->listener, a->fd, &a->peer, a->address);
    }
    free(a);
}

static struct loop *least_loaded(struct network *n)
{
    struct loop *best = &n->loops[0];
    for (int i = 1; i < n->loops_count; i++)
        if (atomic_load(&n->loops[i].connections_count) < atomic_load(&best->connections_count)) best = &n->loops[i];
    return best;
}

/* Whether its address may have the connection; else it is closed, now or later. */
static bool admit(struct network *n, const struct metadata *m, int fd, const union socket_address *peer,
                  struct connection_address **ret_address)
{
    char host[ADDRESS_BYTES];
    double limit;
    int64_t wait_ms;

    address_host(peer, host);
    switch (connection_limits_take(n->limits, m->config, m->quotas, slice_of(host), clock_mono_ms(n->broker->clock),
                                   ret_address, &limit, &wait_ms)) {
    case CONNECTION_TAKEN: return true;
    case CONNECTION_TOO_MANY:
        log_warn("network", "connection refused client=%s cause=\"the address has its most connections\" max=%.0f",
                 host, limit);
        close(fd);
        return false;
    case CONNECTION_TOO_FAST:
        log_debug("network", "connection refused client=%s cause=\"connection_creation_rate\" rate=%.0f", host, limit);
        close_later(n, fd, wait_ms);
        return false;
    }
    return false;
}

/* false: accept no more for now. */
static bool accept_one(struct listener *listener, const struct metadata *m)
{
    struct network *n = listener->network;
    union socket_address peer = {0};
    socklen_t size = sizeof peer;
    struct connection_address *address;

    if (!has_room(n, m->config)) return false;
    int fd = accept4(listener->fd, &peer.any, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ECONNABORTED || errno == EINTR) return false;
        int error = errno;
        if (tell_of_waiting(n))
            log_warn("network", "new connections wait: %s%s listener=%s", strerror(error),
                     error == EMFILE ? " (raise the limit of open files: ulimit -n)" : "", listener->name);
        bool shortage = error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
        if (shortage) pause_accepting(n, ACCEPT_RETRY_MS); /* the listener would wake this loop at once again */
        return false;
    }
    int64_t pause_ms = connection_limits_pause_ms(n->limits, m->config, clock_mono_ms(n->broker->clock));
    if (admit(n, m, fd, &peer, &address)) {
        struct accepted *a = xcalloc(1, sizeof *a);
        *a = (struct accepted){
            .loop = least_loaded(n), .listener = listener, .fd = fd, .peer = peer, .address = address};
        atomic_fetch_add(&n->connections_count, 1);
        atomic_fetch_add(&a->loop->connections_count, 1);
        if (a->loop == &n->loops[0]) {
            adopt(a);
        } else if (!mailbox_post(&a->loop->mailbox, adopt, a)) {
            close(fd);
            network_connection_gone(a->loop, address);
            free(a);
        }
    }
    if (pause_ms == 0) return true;
    pause_accepting(n, pause_ms);
    return false;
}

static void accept_ready(struct ev_loop *ev, ev_io *w, int revents)
{
    struct listener *listener = w->data;
    const struct metadata *m = broker_metadata(listener->network->broker);

    for (int i = 0; i < ACCEPTS_PER_WAKE_UP && accept_one(listener, m); i++) continue;
    metadata_unref(m);
}

/* -- loops -- */

static void on_sweep(struct ev_loop *ev, ev_timer *w, int revents)
{
    struct loop *l = w->data;
    connection_sweep(l);
    /* max.connections may have been raised */
    if (l == &l->network->loops[0] && atomic_exchange(&l->network->accept_waits, false)) resume_accepting(l->network);
}

static void on_starved_retry(struct ev_loop *ev, ev_timer *w, int revents)
{
    connection_retry_starved(w->data);
}

static void *loop_run(void *arg)
{
    struct loop *l = arg;
    ev_run(l->ev, 0);
    return NULL;
}

static int loop_start(struct network *n, struct loop *l, int index, struct err *err)
{
    char name[16];

    l->network = n;
    TAILQ_INIT(&l->connections);
    TAILQ_INIT(&l->starved);
    l->ev = ev_loop_new(EVFLAG_AUTO);
    if (!l->ev) return err_set(err, -ENOMEM, "no event loop can be made");
    l->scratch = xmalloc(LOOP_SCRATCH_BYTES);
    mailbox_init(&l->mailbox, l->ev);
    ev_ref(l->ev); /* the mailbox keeps the loop alive until it is stopped */
    ev_timer_init(&l->sweep, on_sweep, CONNECTION_SWEEP_MS / 1e3, CONNECTION_SWEEP_MS / 1e3);
    ev_timer_init(&l->starved_retry, on_starved_retry, 0.01, 0.01);
    l->sweep.data = l->starved_retry.data = l;
    ev_timer_start(l->ev, &l->sweep);
    snprintf(name, sizeof name, "network-%d", index);
    int r = thread_start(&l->thread, name, loop_run, l);
    return r < 0 ? err_set(err, r, "no thread can be made: %s", strerror(-r)) : 0;
}

static void start_accepting(void *arg)
{
    struct network *n = arg;

    ev_timer_init(&n->accept_pause, accept_pause_over, 0., 0.);
    n->accept_pause.data = n;
    for (int i = 0; i < n->listeners_count; i++) {
        struct listener *l = &n->listeners[i];
        ev_io_init(&l->accept, accept_ready, l->fd, EV_READ);
        l->accept.data = l;
    }
    start_listening(n);
}

/* The descriptors that connections may take. */
static int64_t descriptors_for_connections(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY) return INT64_MAX;
    return (int64_t)(limit.rlim_cur - MIN((rlim_t)FILES_RESERVED, limit.rlim_cur / 2));
}

int network_serve(struct network *n, struct err *err)
{
    n->descriptors_max = descriptors_for_connections();
    int count = (int)n->broker->config->num_network_threads;

    if (count == 0) count = MAX(1, (int)sysconf(_SC_NPROCESSORS_ONLN) / 2);
    for (int i = 0; i < n->listeners_count; i++)
        if (listen(n->listeners[i].fd, (int)n->broker->config->socket_listen_backlog_size) < 0)
            return err_set(err, -errno, "cannot listen on %s: %s", n->listeners[i].address,
                           errno == EADDRINUSE ? "the port is in use" : strerror(errno));
    n->loops = xcalloc((size_t)count, sizeof *n->loops);
    for (int i = 0; i < count; i++) {
        int r = loop_start(n, &n->loops[i], i, err);
        if (r < 0) return r;
        n->loops_count++;
    }
    mailbox_post(&n->loops[0].mailbox, start_accepting, n);
    return 0;
}

static void loop_stop(void *arg)
{
    struct loop *l = arg;
    struct connection *c, *next;

    if (l == &l->network->loops[0]) {
        struct delayed_close *d;
        stop_listening(l->network);
        ev_timer_stop(l->ev, &l->network->accept_pause);
        while ((d = TAILQ_FIRST(&l->network->delayed_closes))) delayed_close_end(d);
    }
    l->stopping = true;
    for (c = TAILQ_FIRST(&l->connections); c; c = next) {
        next = TAILQ_NEXT(c, link);
        connection_close(c);
    }
    if (TAILQ_EMPTY(&l->connections)) ev_break(l->ev, EVBREAK_ALL);
}

void network_stop(struct network *n)
{
    for (int i = 0; i < n->loops_count; i++) mailbox_post(&n->loops[i].mailbox, loop_stop, &n->loops[i]);
}

bool network_wait(struct network *n)
{
    struct timespec deadline;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += STOP_WAIT_MS / 1000;
    for (int i = 0; i < n->loops_count; i++)
        if (pthread_timedjoin_np(n->loops[i].thread, NULL, &deadline) != 0) {
            log_error("network", "a loop does not end: a request was never completed loop=%d connections=%d", i,
                      atomic_load(&n->loops[i].connections_count));
            return false;
        }
    return true;
}

void network_free(struct network *n)
{
    for (int i = 0; i < n->loops_count; i++) {
        struct loop *l = &n->loops[i];
        ev_unref(l->ev);
        mailbox_close(&l->mailbox);
        mailbox_done(&l->mailbox);
        ev_timer_stop(l->ev, &l->sweep);
        ev_timer_stop(l->ev, &l->starved_retry);
        if (l->spare_request) request_free(l->spare_request);
        ev_loop_destroy(l->ev);
        free(l->scratch);
    }
    close_listeners(n);
    connection_limits_free(n->limits);
    free(n->listeners);
    free(n->loops);
    free(n);
}
