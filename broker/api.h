/* broker/api.h: what the handler of a Kafka API gets, and what it may answer.
 *
 * A handler is one function in broker/api/NAME.c (or a file of its subject), declared by the generated api_handlers.h:
 *   enum api_result api_handle_NAME(struct request *rq, const struct NAME_request *in, struct NAME_response *out)
 * It runs on the thread that its schema names: `thread network`, the loop of the connection; `thread control`, the
 * control thread, where all state of topics, groups and timers lives. `in` and `out` live in the request's arena, `out`
 * holds the defaults of its version.
 *
 * Life of a request: read -> decoded -> handler -> API_REPLY, or API_PENDING and later request_complete() -> encoded ->
 * sent -> freed. Handlers that wait do it by api/wait.h. Encoding happens on the handler's thread before the handler's
 * caller or request_complete() returns: what `out` points to need not live longer. A connection works on one request
 * after the other (see lets_pass).
 * A quota sets the throttle time of the answer (request_throttle) and mutes the connection for so long afterwards.
 *
 * Threads: a request belongs to its handler's thread from dispatch to completion. */
#ifndef OTTLA_API_H
#define OTTLA_API_H

#include "base/arena.h"
#include "base/buf.h"

#include <stdatomic.h>
#include <sys/queue.h>

struct api_wait;
struct broker;
struct connection;
struct metadata;
struct kafka_api;
struct loop;
struct mailbox;
struct ev_loop;

enum api_result {
    API_REPLY,   /* out is complete: encode and send it */
    API_PENDING, /* parked; request_complete() follows on this thread */
    API_CLOSE,   /* drop the connection, as Kafka does with what cannot be answered */
    API_SILENT,  /* done, and the client expects no answer (Produce with acks=0) */
};

/* Defines a handler: API_HANDLER(heartbeat) { ... }. Include protocol/api_handlers.h for the prototypes. */
#define API_HANDLER(name)                                                                                              \
    enum api_result api_handle_##name(struct request *rq, const struct name##_request *in, struct name##_response *out)

struct request {
    struct broker *broker;
    int16_t api_key;
    int16_t version;
    int32_t correlation_id;
    struct slice client_id;     /* null: not given */
    const char *client_address; /* "host:port", for log lines */
    const char *principal;      /* "User:ANONYMOUS" */
    struct arena arena;         /* freed with the request */
    struct block *block;        /* the frame; slices of `in` point into it */
    int64_t now_ms;             /* wall clock when the handler was called */

    /* For a handler that answered API_PENDING: its own state, and what to do when the client is gone before the answer:
     * take the request out of every list, do not complete it; it is freed when cancel() returns. Runs on the handler's
     * thread. NULL: the request stays parked until it is completed, and the answer is dropped. */
    void *parked;
    void (*cancel)(struct request *rq);
    /* Called once when the reply has been encoded or is dropped, on the handler's thread: gives back what `out` pointed
     * to. For handlers that need more than the arena. */
    void (*finished)(struct request *rq);
    /* Set before API_PENDING is answered: all effects have happened, only the answer waits; the connection's next
     * request may begin. Answers keep their order. */
    bool lets_pass;
    /* How long the connection is not read after the answer [ms]; see request_throttle_*(). */
    int64_t throttle_ms;
    /* Why the connection is dropped, for the log line of API_CLOSE; NULL: there was no memory. */
    const char *cause;

    /* -- the rest belongs to request.c and connection.c -- */
    atomic_int refs;
    struct api_wait *waiting;  /* api/wait.c: of a request that has been parked by it */
    TAILQ_ENTRY(request) link; /* in connection->requests */
    struct connection *connection;
    struct loop *loop;
    const struct kafka_api *api;
    void *in;
    void *out;
    const struct metadata *metadata;
    struct buf reply;
    uint32_t frame_size;   /* as the client sent it, without the length in front */
    int64_t counted_bytes; /* arena and reply, counted as memory of requests beside the frame */
    enum api_result result;
    int64_t
        work_begin_us;   /* monotonic: when its work began, while somebody has a quota of request_percentage; else 0 */
    bool authorized;     /* request_refused() has been asked */
    bool quotas_charged; /* what the answer costs is in throttle_ms */
    bool on_control;     /* the handler's thread is the control thread */
    bool is_parked;      /* the handler runs or has parked it; touched on the handler's thread */
    bool is_answered;    /* waits for those before it */
    bool client_gone;
    void (*posted)(struct request *rq);
};

/* The metadata as published now; the same snapshot for the whole call of the handler. Not to be kept: after
 * API_PENDING, ask again. A callback of a parked request (a timer, a wake-up) calls request_renew() first. */
const struct metadata *request_metadata(struct request *rq);
/* A parked request goes on: the next request_metadata() is the newest, now_ms is now. */
void request_renew(struct request *rq);

/* Answers a parked request: encodes `out` and sends it. The request is gone afterwards. API_CLOSE and API_SILENT
 * likewise. */
void request_complete(struct request *rq, enum api_result result);
/* fn(rq) runs on the request's own thread; may be called from any thread, and while the request is parked only.
 * For api/wait.c, by which handlers end what they wait for. A request with a cancel() must not be
 * posted, as it may be gone. */
void request_post(struct request *rq, void (*fn)(struct request *rq));

/* Client quotas (quota.h). A Fetch charges the bytes of its answer before it gives them away: true when the client has
 * to wait, and gets nothing; nothing was counted then. The bytes that one answer may have at most: INT64_MAX, no
 * limit. */
bool request_throttle_fetch(struct request *rq, int64_t bytes);
int64_t request_fetch_bytes_max(struct request *rq);
/* A ShareFetch gives its bytes away, as its records are acquired, and the client waits afterwards. */
void request_charge_fetch(struct request *rq, int64_t bytes);
/* Partitions that are made or removed. false: answer THROTTLING_QUOTA_EXCEEDED (strict: versions since KIP-599). */
bool request_mutate(struct request *rq, int32_t partitions, bool strict);

/* The loop and the mailbox of the request's own thread, for timers and wake-ups of a parked request. */
struct ev_loop *request_loop(const struct request *rq);
struct mailbox *request_mailbox(const struct request *rq);

/* Who is told when a connection is gone. */
enum connection_watcher { WATCHER_SHARE, WATCHER_TELEMETRY, CONNECTION_WATCHERS };
/* From now on broker.connection_gone[who] is called on the control thread when the request's connection is gone;
 * returns its id. */
uint64_t request_watch_connection(struct request *rq, enum connection_watcher who);

/* What the client said of its library (ApiVersions); null: nothing. Network thread. */
void request_set_software(struct request *rq, struct slice name, struct slice version);
void request_software(const struct request *rq, struct slice *ret_name, struct slice *ret_version);

/* The address of this broker for this client: advertised.listeners, else the address on which the client reached us.
 * host lives as long as the request. */
void request_advertised(const struct request *rq, struct slice *ret_host, int32_t *ret_port);

/* Operations and resources of ACLs, as numbered in the protocol (DescribeAcls). */
enum acl_operation {
    ACL_READ = 3,
    ACL_WRITE = 4,
    ACL_CREATE = 5,
    ACL_DELETE = 6,
    ACL_ALTER = 7,
    ACL_DESCRIBE = 8,
    ACL_CLUSTER_ACTION = 9,
    ACL_DESCRIBE_CONFIGS = 10,
    ACL_ALTER_CONFIGS = 11,
    ACL_IDEMPOTENT_WRITE = 12,
};
enum resource_type {
    RESOURCE_TOPIC = 2,
    RESOURCE_GROUP = 3,
    RESOURCE_CLUSTER = 4,
    RESOURCE_TRANSACTIONAL_ID = 5,
};
/* Whether rules are in force at all. */
bool request_has_authorizer(struct request *rq);
/* The client's address without its port: "1.2.3.4", "::1". Lives as long as the connection. */
struct slice request_peer_host(const struct request *rq);
/* Whether the principal may. The one place where an authorizer decides; without one everything is allowed. */
bool request_authorize(const struct request *rq, enum acl_operation operation, enum resource_type type,
                       struct slice name);
/* The same for the only resource of its type. */
bool request_authorize_cluster(const struct request *rq, enum acl_operation operation);
/* NONE, or what an answer says of a resource of this type that the principal may not use so. */
enum kafka_error request_refusal(const struct request *rq, enum acl_operation operation, enum resource_type type,
                                 struct slice name);
/* NONE, or CLUSTER_AUTHORIZATION_FAILED: what the schema's `authorize` asks for, the principal may not. A handler with
 * such a schema must ask before it does anything; it is checked that it did. */
enum kafka_error request_refused(struct request *rq);

#endif
