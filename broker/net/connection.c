/* broker/net/connection.c: one client's connection: frames in, replies out, in order.
 *
 *   reading --frame whole--> in work --reply--> sending --all sent--> reading
 * While a request is in work nothing more is parsed: what was read stays in `backlog`, the rest in the socket.
 * A throttled client is answered and then not read for the time that the answer says (KIP-219).
 * Threads: the loop's. */
#include "broker/net/network.h"

#include "base/log.h"
#include "broker/api.h"
#include "broker/limits.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define IOV_COUNT 64

/* -- life -- */

static void connection_readable(struct ev_loop *ev, ev_io *w, int revents);
static void connection_writable(struct ev_loop *ev, ev_io *w, int revents);
static void connection_unmute(struct ev_loop *ev, ev_timer *w, int revents);
static void connection_process(struct connection *c);

void connection_touch(struct connection *c)
{
    c->active_ms = clock_mono_ms(c->loop->network->broker->clock);
    TAILQ_REMOVE(&c->loop->connections, c, link);
    TAILQ_INSERT_TAIL(&c->loop->connections, c, link);
}

static void set_buffer(int fd, int name, int64_t bytes)
{
    int value = (int)bytes;
    if (bytes > 0) setsockopt(fd, SOL_SOCKET, name, &value, sizeof value);
}

void connection_new(struct loop *l, struct listener *listener, int fd, const union socket_address *peer,
                    struct connection_address *address)
{
    struct connection *c = xcalloc(1, sizeof *c);
    const struct broker_config *config = l->network->broker->config;
    socklen_t size = sizeof c->local;
    int on = 1;

    c->id = atomic_fetch_add(&l->network->connections_ever, 1) + 1;
    c->loop = l;
    c->listener = listener;
    c->transport = &transport_plain;
    c->fd = fd;
    c->address = address;
    getsockname(fd, &c->local.any, &size);
    address_format(peer, c->peer);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    set_buffer(fd, SO_SNDBUF, config->socket_send_buffer_bytes);
    set_buffer(fd, SO_RCVBUF, config->socket_receive_buffer_bytes);
    buf_init(&c->out);
    TAILQ_INIT(&c->requests);
    ev_io_init(&c->readable, connection_readable, fd, EV_READ);
    ev_io_init(&c->writable, connection_writable, fd, EV_WRITE);
    ev_timer_init(&c->unmute, connection_unmute, 0, 0);
    c->readable.data = c->writable.data = c->unmute.data = c;
    TAILQ_INSERT_TAIL(&l->connections, c, link);
    c->active_ms = clock_mono_ms(l->network->broker->clock);
    ev_io_start(l->ev, &c->readable);
    log_debug("network", "client connected client=%s listener=%s", c->peer, listener->name);
}

struct gone {
    struct broker *broker;
    uint64_t connection_id;
    unsigned watchers;
};

static void gone_on_control(void *arg)
{
    struct gone *g = arg;
    for (int i = 0; i < CONNECTION_WATCHERS; i++)
        if ((g->watchers >> i & 1) && g->broker->connection_gone[i])
            g->broker->connection_gone[i](g->broker, g->connection_id);
    free(g);
}

/* Its requests have all come back: who asked to be told has done so. */
static void tell_gone(struct connection *c)
{
    unsigned watchers = atomic_load(&c->watchers);
    if (!watchers) return;
    struct gone *g = xcalloc(1, sizeof *g);
    *g = (struct gone){.broker = c->loop->network->broker, .connection_id = c->id, .watchers = watchers};
    if (!mailbox_post(&g->broker->control, gone_on_control, g)) free(g);
}

static void connection_free(struct connection *c)
{
    struct loop *l = c->loop;

    tell_gone(c);
    TAILQ_REMOVE(&l->connections, c, link);
    network_connection_gone(l, c->address);
    free(c->software_name);
    free(c->software_version);
    free(c);
    if (l->stopping && TAILQ_EMPTY(&l->connections)) ev_break(l->ev, EVBREAK_ALL);
}

static void drop_backlog(struct connection *c)
{
    free(c->backlog);
    c->backlog = NULL;
    c->backlog_at = c->backlog_len = 0;
}

static void remove_request(struct connection *c, struct request *rq)
{
    TAILQ_REMOVE(&c->requests, rq, link);
    c->requests_count--;
}

/* Those that are elsewhere stay until they come back. */
static void drop_requests(struct connection *c)
{
    struct request *rq, *next;

    for (rq = TAILQ_FIRST(&c->requests); rq; rq = next) {
        next = TAILQ_NEXT(rq, link);
        if (rq->is_answered) {
            remove_request(c, rq);
            request_free(rq);
        } else {
            request_client_gone(rq);
        }
    }
}

/* What waits for the client takes memory of requests. */
static void count_unsent(struct connection *c)
{
    int64_t bytes = c->out.size > 0 ? (int64_t)buf_memory(&c->out) : 0;

    if (bytes != c->out_counted) request_bytes_add(c->loop->network, bytes - c->out_counted);
    c->out_counted = bytes;
}

void connection_close(struct connection *c)
{
    if (c->fd >= 0) {
        ev_io_stop(c->loop->ev, &c->readable);
        ev_io_stop(c->loop->ev, &c->writable);
        ev_timer_stop(c->loop->ev, &c->unmute);
        close(c->fd);
        c->fd = -1;
        connection_set_starved(c, false);
        connection_drop_frame(c);
        drop_backlog(c);
        buf_done(&c->out);
        count_unsent(c);
        drop_requests(c);
    }
    /* connection_process() frees it when it comes back to a closed connection. */
    if (TAILQ_EMPTY(&c->requests) && !c->processing) connection_free(c);
}

/* -- sending -- */

static ssize_t send_part(struct connection *c)
{
    struct buf_part *p = buf_first(&c->out);

    if (p->type == BUF_FILE) {
        ssize_t n = c->transport->send_file(c, p->file->fd, p->position, MIN(p->length, SEND_BYTES_MAX));
        if (n == 0) errno = EIO, n = -1; /* the file is shorter than its log: never */
        return n;
    }
    struct iovec iov[IOV_COUNT];
    int count = buf_iovec(&c->out, iov, IOV_COUNT);
    return c->transport->writev(c, iov, count, c->out.parts_count - c->out.first > (uint32_t)count);
}

/* Sends what it can. false: the connection was closed. */
static bool flush(struct connection *c)
{
    uint64_t sent = 0;

    while (c->out.size > 0 && sent < SEND_BYTES_MAX) {
        ssize_t n = send_part(c);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
        if (n < 0) {
            log_debug("network", "client is gone client=%s error=%m", c->peer);
            connection_close(c);
            return false;
        }
        buf_consume(&c->out, (uint64_t)n);
        sent += (uint64_t)n;
    }
    if (sent) connection_touch(c);
    count_unsent(c);
    if (c->out.size > 0) {
        ev_io_start(c->loop->ev, &c->writable);
        return true;
    }
    ev_io_stop(c->loop->ev, &c->writable);
    buf_done(&c->out);
    if (c->close_after_flush) {
        connection_close(c);
        return false;
    }
    return true;
}

/* A file range is no memory, but pins a segment. */
bool connection_must_wait(const struct connection *c)
{
    const struct request *last = TAILQ_LAST(&c->requests, request_list);
    if (last && (!last->lets_pass || c->requests_count >= REQUESTS_IN_WORK_MAX)) return true;
    return c->close_after_flush || c->muted ||
           (c->out.size > UNSENT_BYTES_MAX && buf_memory(&c->out) > UNSENT_BYTES_MAX / 2) ||
           c->out.parts_count - c->out.first > IOV_COUNT;
}

/* -- reading -- */

static void read_more(struct connection *c)
{
    struct loop *l = c->loop;

    if (c->frame && c->frame_size > LOOP_SCRATCH_BYTES) {
        connection_read_into_frame(c);
        return;
    }
    ssize_t n = c->transport->read(c, l->scratch, LOOP_SCRATCH_BYTES);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
    if (n <= 0) {
        connection_close(c);
        return;
    }
    connection_touch(c);
    uint32_t taken = connection_take_bytes(c, l->scratch, (uint32_t)n);
    if (c->fd >= 0 && taken < (uint32_t)n) {
        c->backlog_len = (uint32_t)n - taken;
        c->backlog_at = 0;
        c->backlog = xmalloc(c->backlog_len);
        memcpy(c->backlog, l->scratch + taken, c->backlog_len);
    }
}

static void take_backlog(struct connection *c)
{
    uint32_t taken = connection_take_bytes(c, c->backlog + c->backlog_at, c->backlog_len - c->backlog_at);

    if (c->fd < 0) return; /* closed: the backlog is gone */
    c->backlog_at += taken;
    if (c->backlog_at == c->backlog_len) drop_backlog(c);
}

/* Works on what was read, as far as it may, then sends. */
static void connection_process(struct connection *c)
{
    if (c->processing) return;
    c->processing = true;
    if (c->fd >= 0) connection_resume_starved(c);
    bool progress;
    do { /* the backlog is one read's worth at most, so this ends soon */
        if (c->fd >= 0) flush(c);
        progress = c->fd >= 0 && c->backlog && !c->starved && !connection_must_wait(c);
        if (progress) take_backlog(c);
    } while (progress);
    c->processing = false;

    if (c->fd < 0) {
        if (TAILQ_EMPTY(&c->requests)) connection_free(c);
        return;
    }
    bool wants_input = !connection_must_wait(c) && !c->backlog && !c->starved;
    if (wants_input && !ev_is_active(&c->readable)) ev_io_start(c->loop->ev, &c->readable);
    if (!wants_input && ev_is_active(&c->readable)) ev_io_stop(c->loop->ev, &c->readable);
}

static void connection_readable(struct ev_loop *ev, ev_io *w, int revents)
{
    struct connection *c = w->data;

    c->processing = true;
    read_more(c);
    c->processing = false;
    connection_process(c);
}

static void connection_writable(struct ev_loop *ev, ev_io *w, int revents)
{
    connection_process(w->data);
}

/* -- replies -- */

static void connection_unmute(struct ev_loop *ev, ev_timer *w, int revents)
{
    struct connection *c = w->data;

    c->muted = false;
    connection_process(c);
}

/* The longest of the times counts: answers of requests that were in work together may each have one. */
static void mute(struct connection *c, int64_t wait_ms)
{
    ev_tstamp wait_s = (ev_tstamp)wait_ms / 1e3;

    if (c->muted && ev_timer_remaining(c->loop->ev, &c->unmute) >= wait_s) return;
    c->muted = true;
    ev_now_update(c->loop->ev); /* the time of the loop is that of its wake-up */
    ev_timer_stop(c->loop->ev, &c->unmute);
    ev_timer_set(&c->unmute, wait_s, 0.);
    ev_timer_start(c->loop->ev, &c->unmute);
}

static void send_reply(struct connection *c, struct request *rq)
{
    if (rq->result == API_CLOSE) c->close_after_flush = true;
    else if (rq->result == API_REPLY && !c->close_after_flush) buf_append_buf(&c->out, &rq->reply);
    if (!c->out.failed) return;
    log_error("network", "no memory for a reply, connection closed client=%s", c->peer);
    buf_done(&c->out);
    c->close_after_flush = true;
}

void connection_reply(struct connection *c, struct request *rq)
{
    rq->is_answered = true;
    while ((rq = TAILQ_FIRST(&c->requests)) && rq->is_answered) {
        remove_request(c, rq);
        if (c->fd >= 0) send_reply(c, rq);
        if (c->fd >= 0 && rq->throttle_ms > 0) mute(c, rq->throttle_ms);
        request_free(rq);
    }
    if (!c->processing) connection_process(c);
}

/* -- the sweep -- */

/* A connection that is not read, as its request waits or a quota holds it, would not show that its client is gone. What
 * the client sent before it went is worked on first: nothing of it is given up. */
static bool is_left(const struct connection *c)
{
    uint8_t byte;

    if (ev_is_active(&c->readable) || c->backlog) return false;
    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

void connection_sweep(struct loop *l)
{
    int64_t now_ms = clock_mono_ms(l->network->broker->clock);
    int64_t idle_max_ms = l->network->broker->config->connections_max_idle_ms;
    int64_t recent_ms = idle_max_ms >= 0 ? MIN(idle_max_ms, CONNECTION_SWEEP_MS) : CONNECTION_SWEEP_MS;
    bool full = !TAILQ_EMPTY(&l->starved) || atomic_load(&l->network->request_bytes) >= l->network->request_bytes_max;
    struct connection *c, *next;

    for (c = TAILQ_FIRST(&l->connections); c; c = next) {
        next = TAILQ_NEXT(c, link);
        int64_t idle_ms = now_ms - c->active_ms;
        if (c->fd < 0) continue;
        if (idle_ms <= recent_ms) break; /* the rest was active later */
        if (full && (c->frame || c->out.size > 0) && idle_ms > FRAME_STALL_MS) {
            log_warn("network", "request memory is full and %s, connection closed client=%s",
                     c->frame ? "a frame does not come on" : "an answer is not read", c->peer);
            connection_close(c);
        } else if (idle_max_ms >= 0 && idle_ms > idle_max_ms && TAILQ_EMPTY(&c->requests)) {
            log_debug("network", "idle connection closed client=%s", c->peer);
            connection_close(c);
        } else if (is_left(c)) {
            log_debug("network", "client is gone while it waited client=%s", c->peer);
            connection_close(c);
        }
    }
}

/* Each one that waits is tried once, the longest waiting first: it goes behind the others when it has to wait again. */
void connection_retry_starved(struct loop *l)
{
    struct connection *c;
    int count = 0;

    TAILQ_FOREACH(c, &l->starved, starved_link) count++;
    while (count-- > 0 && (c = TAILQ_FIRST(&l->starved))) {
        TAILQ_REMOVE(&l->starved, c, starved_link);
        TAILQ_INSERT_TAIL(&l->starved, c, starved_link);
        connection_process(c);
    }
    if (TAILQ_EMPTY(&l->starved)) ev_timer_stop(l->ev, &l->starved_retry);
}
