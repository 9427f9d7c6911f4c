/* broker/net/network.h: listeners, loops and connections. For network.c and the files of connections and
 * requests only.
 *
 * A connection belongs to the loop that it was given to when it was accepted. It has one request in work at a time, but
 * for those that let the next one pass (Produce that only waits for the disk); answers go out in the order of the
 * requests. What the client sent meanwhile stays in its backlog, at most one read's worth, and the socket.
 * Invariants: an idle connection has no buffer; a frame's memory grows with the bytes that arrived; `request_bytes` is
 * the memory of all frames, of the arenas of requests until they are freed, and of answers until they are sent. Above
 * `request_bytes_max` no connection begins a new frame, only `grows_beyond` goes on with a begun one, and who neither
 * sends nor reads for FRAME_STALL_MS is closed; so memory is bounded by request_bytes_max, one longest request, and the
 * answers to what was begun below it.
 * Threads: listeners are constant; a connection and the loop's lists are touched on the loop's thread only. */
#ifndef OTTLA_NETWORK_H
#define OTTLA_NETWORK_H

#include "base/buf.h"
#include "base/mailbox.h"
#include "broker/api.h"
#include "broker/net/connection_limits.h"
#include "broker/state.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/queue.h>

struct connection;
struct request;

#define LISTENER_NAME_BYTES 64
#define HOST_BYTES          256
#define ADDRESS_BYTES       64 /* "[ipv6]:port" */

struct listener {
    struct network *network;
    int fd;
    char name[LISTENER_NAME_BYTES];
    char address[HOST_BYTES + 8]; /* "host:port" as bound */
    int32_t port;
    char advertised_host[HOST_BYTES]; /* "": the address on which the client reached us */
    int32_t advertised_port;
    ev_io accept;
};

struct loop {
    struct network *network;
    struct ev_loop *ev;
    pthread_t thread;
    struct mailbox mailbox;
    TAILQ_HEAD(connection_list, connection) connections; /* least recently active first */
    TAILQ_HEAD(, connection) starved;                    /* wait for request memory, the longest waiting first */
    ev_timer sweep;
    ev_timer starved_retry;
    uint8_t *scratch; /* LOOP_SCRATCH_BYTES, shared by all connections of the loop */
    struct request *spare_request;
    atomic_int connections_count;
    bool stopping;
};

struct network {
    struct broker *broker;
    struct listener *listeners;
    int listeners_count;
    struct loop *loops;
    int loops_count;
    atomic_int connections_count;
    atomic_ullong connections_ever; /* the last connection's id */
    struct connection_limits *limits;
    /* All listeners are accepted on the first loop; what follows is touched there, but for the flag. */
    atomic_bool accept_waits; /* max.connections is reached: the next one that goes resumes it */
    int64_t accept_told_ms;   /* when it was logged last */
    int64_t descriptors_max;  /* connections beside which storage can still open its files */
    ev_timer accept_pause;    /* runs while max.connection.creation.rate, or the system, forbids further ones */
    TAILQ_HEAD(, delayed_close) delayed_closes;
    int delayed_closes_count;
    atomic_llong request_bytes;
    _Atomic(struct connection *) grows_beyond; /* whose begun frame may grow over the limit */
    int64_t request_bytes_max;
    int64_t request_size_max;
};

union socket_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* How bytes go in and out: plain sockets now. Each as the system call: bytes, 0 at the end, -1 with errno. */
struct transport {
    ssize_t (*read)(struct connection *c, void *to, size_t size);
    ssize_t (*writev)(struct connection *c, const struct iovec *iov, int iov_count, bool more);
    ssize_t (*send_file)(struct connection *c, int fd, uint64_t position, size_t size);
};
extern const struct transport transport_plain;

struct connection {
    struct loop *loop;
    struct listener *listener;
    const struct transport *transport;
    int fd; /* -1: closed, and waits for its request */
    ev_io readable;
    ev_io writable;
    TAILQ_ENTRY(connection) link;
    TAILQ_ENTRY(connection) starved_link;
    bool starved;
    bool muted; /* a quota holds it: it is not read until `unmute` fires */
    ev_timer unmute;
    bool processing; /* connection_process() is on the stack */
    bool close_after_flush;
    int64_t active_ms; /* monotonic */
    union socket_address local;
    struct connection_address *address; /* whose limits count it */
    char peer[ADDRESS_BYTES];

    struct block *frame; /* a frame that is not whole yet; its size is the room */
    uint32_t frame_have, frame_size;
    uint8_t size_bytes[4]; /* of a length field that is not whole yet */
    uint8_t size_have;
    uint8_t *backlog; /* read, and behind the request in work */
    uint32_t backlog_at, backlog_len;

    TAILQ_HEAD(request_list, request) requests; /* in work, in the order in which they came */
    int requests_count;
    struct buf out;
    int64_t out_counted; /* of it in request_bytes */

    char *software_name, *software_version; /* of the client's library; NULL: it did not say */

    uint64_t id;          /* no two connections of a broker have the same */
    atomic_uint watchers; /* who is told when it is gone: bits, 1 << enum connection_watcher */
};

/* Parses `listeners` and binds them all. */
int network_bind(struct broker *b, struct network **ret_network, struct err *err) WARN_UNUSED;
/* Starts the loops; clients are accepted. */
int network_serve(struct network *n, struct err *err) WARN_UNUSED;
/* Closes listeners and connections; loops go on for what is still parked. */
void network_stop(struct network *n);
/* Waits until the loops have ended. false: not within STOP_WAIT_MS, because somebody never completed a request. */
bool network_wait(struct network *n) WARN_UNUSED;
/* After network_wait(). */
void network_free(struct network *n);
/* A connection was counted and is gone. Any loop. */
void network_connection_gone(struct loop *l, struct connection_address *address);

/* -- connection.c -- */
void connection_new(struct loop *l, struct listener *listener, int fd, const union socket_address *peer,
                    struct connection_address *address);
/* Drops the connection; it is freed when no request is in work any more. */
void connection_close(struct connection *c);
/* A request is done: its reply (in rq->reply) is sent when those before it are, or the connection closed. Frees rq
 * then. */
void connection_reply(struct connection *c, struct request *rq);
void connection_sweep(struct loop *l);
void connection_retry_starved(struct loop *l);
/* It was active now. */
void connection_touch(struct connection *c);
/* No new request now: one in work lets none pass, the client does not read its answers, or a quota holds it. */
bool connection_must_wait(const struct connection *c);

/* -- connection_frame.c -- */
/* Takes bytes of a read; stops when a request is in work. Returns how many it took; c may be closed. */
uint32_t connection_take_bytes(struct connection *c, const uint8_t *bytes, uint32_t len);
/* A large frame is read where it belongs, past the scratch. False: nothing more to read now, or closed. */
bool connection_read_into_frame(struct connection *c);
/* A length field, or a begun frame, that had to wait for memory is tried again. */
void connection_resume_starved(struct connection *c);
void connection_set_starved(struct connection *c, bool starved);
void connection_drop_frame(struct connection *c);

/* -- transport.c -- */
void address_format(const union socket_address *a, char ret_text[ADDRESS_BYTES]);
void address_host(const union socket_address *a, char ret_text[ADDRESS_BYTES]);
int32_t address_port(const union socket_address *a);

/* -- request.c -- */
/* Takes over the frame and works on it. Afterwards the request is in c->requests (it is parked or elsewhere), or the
 * reply was put into c->out, or the connection was closed. */
void request_begin(struct connection *c, struct block *frame);
/* The client is gone: cancels a parked request, which then is not in c->requests any more, or marks it. */
void request_client_gone(struct request *rq);
void request_free(struct request *rq);
/* Memory of frames, requests and answers: network.request_bytes. Any thread. */
void request_bytes_add(struct network *n, int64_t bytes);

/* -- request_quota.c -- */
/* Its work begins, goes on, or ends: the part of one thread that it took since, in percent, times seconds, is charged.
 * Returns the wait [ms]. */
void request_begin_work(struct request *rq);
int64_t request_charge_work(struct request *rq);
/* Work and bytes, once, into rq->throttle_ms: the longest of all that apply. */
void request_charge_answer(struct request *rq);
/* rq->throttle_ms into the answer, in whatever version has the field. */
void request_set_throttle_time(struct request *rq);

#endif
