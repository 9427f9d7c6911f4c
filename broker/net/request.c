/* broker/net/request.c: the life of a request: header, decoding, handler, reply; what handlers ask of it (api.h).
 *
 * Dispatch comes from the rows of the schemas: a served API without a handler does not link.
 * References: one belongs to the connection until the reply; one to a letter that tells the control thread of a lost
 * client.
 * Threads: the connection's, and the control thread while its handler works there. */
#include "broker/api.h"

#include "base/log.h"
#include "broker/limits.h"
#include "broker/metadata/metadata.h"
#include "broker/net/network.h"
#include "protocol/api_handlers.h"
#include "protocol/messages.h"

#include <stdio.h>

/* -- the table of handlers -- */

#define WRAPPER(key, name, snake_name, version_min, version_max)                                                       \
    static enum api_result call_##snake_name(struct request *rq)                                                       \
    {                                                                                                                  \
        return api_handle_##snake_name(rq, rq->in, rq->out);                                                           \
    }
KAFKA_SERVED_TABLE(WRAPPER)

#define API_KEYS_MAX 128

#define ROW(key, name, snake_name, version_min, version_max) [key] = call_##snake_name,
static enum api_result (*const handlers[API_KEYS_MAX])(struct request *rq) = {KAFKA_SERVED_TABLE(ROW)};

/* -- memory -- */

void request_bytes_add(struct network *n, int64_t bytes)
{
    atomic_fetch_add_explicit(&n->request_bytes, bytes, memory_order_relaxed);
}

/* What it takes now beside its frame. On the thread that works on it. */
static void count_memory(struct request *rq)
{
    int64_t bytes = (int64_t)(rq->arena.size + buf_memory(&rq->reply));

    request_bytes_add(rq->loop->network, bytes - rq->counted_bytes);
    rq->counted_bytes = bytes;
}

static struct request *request_new(struct connection *c, struct block *frame)
{
    struct loop *l = c->loop;
    struct request *rq = l->spare_request;
    struct arena arena;

    if (rq) {
        l->spare_request = NULL;
        arena = rq->arena;
    } else {
        rq = xmalloc(sizeof *rq);
        arena_init(&arena, REQUEST_ARENA_BYTES_MAX);
    }
    *rq = (struct request){
        .broker = l->network->broker,
        .client_address = c->peer,
        .principal = "User:ANONYMOUS",
        .arena = arena,
        .block = frame,
        .connection = c,
        .loop = l,
        .api_key = -1,
    };
    atomic_init(&rq->refs, 1);
    return rq;
}

/* On the loop's thread: the last reference is given back there, one request is kept for the next. */
void request_free(struct request *rq)
{
    struct loop *l = rq->loop;

    if (atomic_fetch_sub_explicit(&rq->refs, 1, memory_order_acq_rel) > 1) return;
    buf_done(&rq->reply);
    metadata_unref(rq->metadata);
    rq->metadata = NULL;
    if (rq->block) request_bytes_add(l->network, -(int64_t)rq->block->size - rq->counted_bytes);
    block_unref(rq->block);
    rq->block = NULL;
    if (!l->spare_request && !l->stopping) {
        arena_reset(&rq->arena);
        atomic_store_explicit(&rq->refs, 1, memory_order_relaxed);
        l->spare_request = rq;
        return;
    }
    arena_done(&rq->arena);
    free(rq);
}

/* -- what handlers use -- */

/* The snapshot of the handler's call that runs on this thread; a parked request holds none. Calls nest: a completion
 * sends the reply, and the connection's next request may begin under it. */
struct call {
    const struct request *request; /* NULL: it has been finished meanwhile */
    const struct metadata *metadata;
    struct call *outer;
};
static _Thread_local struct call *call;

static void call_begin(struct call *c, const struct request *rq)
{
    *c = (struct call){.request = rq, .outer = call};
    call = c;
}

static void call_end(struct call *c)
{
    metadata_unref(c->metadata);
    call = c->outer;
}

static void call_forget(const struct request *rq)
{
    for (struct call *c = call; c; c = c->outer)
        if (c->request == rq) c->request = NULL;
}

const struct metadata *request_metadata(struct request *rq)
{
    const struct metadata **snapshot = call ? &call->metadata : &rq->metadata;
    if (!*snapshot) *snapshot = broker_metadata(rq->broker);
    return *snapshot;
}

uint64_t request_watch_connection(struct request *rq, enum connection_watcher who)
{
    atomic_fetch_or(&rq->connection->watchers, 1u << who);
    return rq->connection->id;
}

static void set_text(char **field, struct slice text)
{
    free(*field);
    *field = text.len > 0 && text.len <= CLIENT_SOFTWARE_BYTES_MAX ? slice_strdup(text) : NULL;
}

void request_set_software(struct request *rq, struct slice name, struct slice version)
{
    set_text(&rq->connection->software_name, name);
    set_text(&rq->connection->software_version, version);
}

void request_software(const struct request *rq, struct slice *ret_name, struct slice *ret_version)
{
    const struct connection *c = rq->connection;
    *ret_name = c->software_name ? slice_of(c->software_name) : SLICE_NULL;
    *ret_version = c->software_version ? slice_of(c->software_version) : SLICE_NULL;
}

void request_advertised(const struct request *rq, struct slice *ret_host, int32_t *ret_port)
{
    const struct connection *c = rq->connection;

    if (*c->listener->advertised_host) {
        *ret_host = slice_of(c->listener->advertised_host);
        *ret_port = c->listener->advertised_port;
        return;
    }
    char host[ADDRESS_BYTES];
    address_host(&c->local, host);
    *ret_host = arena_slice_dup(&((struct request *)(uintptr_t)rq)->arena, slice_of(host));
    *ret_port = address_port(&c->local);
}

void request_renew(struct request *rq)
{
    metadata_unref(rq->metadata);
    rq->metadata = NULL;
    rq->now_ms = clock_wall_ms(rq->broker->clock);
}

struct ev_loop *request_loop(const struct request *rq)
{
    return rq->on_control ? rq->broker->control_loop : rq->loop->ev;
}

struct mailbox *request_mailbox(const struct request *rq)
{
    return rq->on_control ? &rq->broker->control : &rq->loop->mailbox;
}

/* -- replies -- */

static void refuse(const struct request *rq, const char *cause)
{
    log_warn("network",
             "request refused, connection closed client=%s client_id=\"" SLICE_FMT
             "\" api=%s key=%d version=%d cause=\"%s\"",
             rq->client_address, SLICE_ARG(rq->client_id), rq->api ? rq->api->name : "?", rq->api_key, rq->version,
             cause);
}

/* Size, header and body into rq->reply. */
static void encode_reply(struct request *rq, int16_t version)
{
    uint8_t *size = buf_reserve(&rq->reply, 4); /* written when it is known */
    struct wire_writer w;

    wire_writer_init(&w, &rq->reply);
    wire_put_int32(&w, rq->correlation_id);
    if (kafka_response_header_version(rq->api, version) >= 1) wire_put_uvarint(&w, 0); /* no tagged fields */
    rq->api->response->encode(&w, version, rq->out);
    if (wire_writer_done(&w) && size && rq->reply.size - 4 <= INT32_MAX) {
        be32_store(size, (uint32_t)(rq->reply.size - 4));
        return;
    }
    buf_done(&rq->reply);
    rq->result = API_CLOSE;
    refuse(rq, "the reply cannot be written: no memory, or too large");
}

static void deliver(void *arg)
{
    struct request *rq = arg;
    connection_reply(rq->connection, rq);
}

static void finish(struct request *rq, enum api_result result)
{
    assert(result == API_CLOSE || rq->authorized || !rq->api->cluster_operation);
    rq->result = result;
    rq->is_parked = false;
    call_forget(rq);
    if (result == API_CLOSE && !rq->client_gone) refuse(rq, rq->cause ? rq->cause : "no memory for the answer");
    if (result != API_CLOSE) request_charge_answer(rq);
    if (result == API_REPLY && !rq->client_gone) {
        request_set_throttle_time(rq);
        encode_reply(rq, rq->version);
    }
    if (rq->finished) rq->finished(rq);
    count_memory(rq);
    if (!rq->on_control) {
        deliver(rq);
        return;
    }
    bool posted = mailbox_post(&rq->loop->mailbox, deliver, rq);
    assert(posted); /* loops end after the control thread */
}

void request_complete(struct request *rq, enum api_result result)
{
    assert(rq->is_parked && result != API_PENDING);
    finish(rq, result);
}

static void run_posted(void *arg)
{
    struct request *rq = arg;

    rq->now_ms = clock_wall_ms(rq->broker->clock);
    struct call c;
    call_begin(&c, rq);
    rq->posted(rq);
    call_end(&c);
}

void request_post(struct request *rq, void (*fn)(struct request *rq))
{
    rq->posted = fn;
    bool posted = mailbox_post(request_mailbox(rq), run_posted, rq);
    assert(posted);
}

/* -- a lost client -- */

static void cancel_done(void *arg)
{
    request_free(arg);
}

static void cancel_on_control(void *arg)
{
    struct request *rq = arg;
    struct loop *l = rq->loop;

    if (rq->is_parked && rq->cancel) {
        rq->cancel(rq);
        rq->client_gone = true;
        finish(rq, API_CLOSE);
    }
    bool posted = mailbox_post(&l->mailbox, cancel_done, rq);
    assert(posted);
}

void request_client_gone(struct request *rq)
{
    if (rq->on_control) {
        /* It may have been completed meanwhile: the letter holds a reference. */
        atomic_fetch_add_explicit(&rq->refs, 1, memory_order_relaxed);
        if (!mailbox_post(&rq->broker->control, cancel_on_control, rq)) request_free(rq);
        return;
    }
    rq->client_gone = true;
    if (!rq->is_parked || !rq->cancel) return;
    rq->cancel(rq);
    if (rq->finished) rq->finished(rq);
    rq->is_parked = false;
    TAILQ_REMOVE(&rq->connection->requests, rq, link);
    rq->connection->requests_count--;
    request_free(rq);
}

/* -- dispatch -- */

static void run(struct request *rq)
{
    rq->now_ms = clock_wall_ms(rq->broker->clock);
    rq->is_parked = true; /* so that a handler may complete, or be cancelled, before it returns */
    request_begin_work(rq);
    struct call c;
    call_begin(&c, rq);
    enum api_result result = handlers[rq->api_key](rq);
    /* A parked request is only looked at when it was not completed meanwhile. What it waits for is not its work. */
    if (result == API_PENDING && c.request) {
        request_charge_work(rq);
        rq->work_begin_us = 0;
        count_memory(rq);
    }
    if (result != API_PENDING) finish(rq, result); /* the answer may point into the snapshot of the call */
    call_end(&c);
}

static void run_on_control(void *arg)
{
    run(arg);
}

/* Clients that are newer than we are ask with their version first: the answer has version 0 and says which we know. */
static void reply_unsupported_api_versions(struct request *rq)
{
    struct api_versions_response *out = rq->out;
    struct api_versions_response_api_version *row = arena_calloc(&rq->arena, 1, sizeof *row);

    out->error_code = KAFKA_UNSUPPORTED_VERSION;
    row->api_key = rq->api_key;
    row->min_version = rq->api->served_min;
    row->max_version = rq->api->served_max;
    out->api_keys = row;
    out->api_keys_count = 1;
    rq->result = API_REPLY;
    encode_reply(rq, 0);
}

/* Fills rq from the frame. false: refused, the cause is told. */
static bool decode(struct request *rq, uint32_t size, const char **ret_cause)
{
    struct wire_reader r = wire_reader_of(slice_make(rq->block->bytes, size), &rq->arena);
    struct request_header header;

    rq->api_key = (int16_t)be16_load(r.p);
    rq->version = (int16_t)be16_load(r.p + 2);
    rq->correlation_id = (int32_t)be32_load(r.p + 4);
    rq->api = rq->api_key < 0 || rq->api_key >= API_KEYS_MAX ? NULL : kafka_api_find(rq->api_key);
    if (!rq->api || !handlers[rq->api_key]) return *ret_cause = "unknown API", false;

    rq->out = arena_calloc(&rq->arena, 1, rq->api->response->size);
    if (!rq->out) return *ret_cause = "no memory", false;
    rq->api->response->init(rq->out);
    if (!kafka_api_serves(rq->api, rq->version)) {
        if (rq->api_key == KAFKA_API_API_VERSIONS) return reply_unsupported_api_versions(rq), true;
        return *ret_cause = "unsupported version", false;
    }
    request_header_init(&header);
    if (!request_header_decode(&r, kafka_request_header_version(rq->api, rq->version), &header))
        return *ret_cause = r.error ? r.error : "malformed header", false;
    rq->client_id = header.client_id;

    rq->in = arena_calloc(&rq->arena, 1, rq->api->request->size);
    if (!rq->in) return *ret_cause = "no memory", false;
    rq->api->request->init(rq->in);
    if (!rq->api->request->decode(&r, rq->version, rq->in)) return *ret_cause = r.error ? r.error : "malformed", false;
    count_memory(rq);
    return true;
}

void request_begin(struct connection *c, struct block *frame)
{
    struct request *rq = request_new(c, frame);
    const char *cause = NULL;

    TAILQ_INSERT_TAIL(&c->requests, rq, link);
    c->requests_count++;
    rq->result = API_PENDING;
    rq->frame_size = c->frame_size;
    if (!decode(rq, c->frame_size, &cause)) {
        refuse(rq, cause);
        rq->result = API_CLOSE;
    }
    if (rq->result != API_PENDING) {
        connection_reply(c, rq);
        return;
    }
    rq->on_control = rq->api->thread == KAFKA_THREAD_CONTROL;
    if (!rq->on_control) {
        run(rq);
    } else if (!mailbox_post(&rq->broker->control, run_on_control, rq)) {
        rq->on_control = false; /* the broker stops */
        rq->result = API_CLOSE;
        connection_reply(c, rq);
    }
}
