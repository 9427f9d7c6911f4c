/* broker/net/connection_frame.c: bytes that arrive become frames: length field, room that grows with what came, and
 * waiting for memory when all frames together have too much (the invariants in the head of network.h).
 *
 * A connection that waits is `starved`: in the loop's list, tried again by connection_retry_starved().
 * Threads: the loop's. */
#include "broker/net/network.h"

#include "base/log.h"
#include "broker/limits.h"

#include <errno.h>

/* A frame that grew beyond the limit is whole, or gone: the next one may. */
static void release_turn(struct connection *c)
{
    struct connection *expected = c;
    atomic_compare_exchange_strong(&c->loop->network->grows_beyond, &expected, NULL);
}

void connection_drop_frame(struct connection *c)
{
    if (!c->frame) return;
    release_turn(c);
    request_bytes_add(c->loop->network, -(int64_t)c->frame->size);
    block_unref(c->frame);
    c->frame = NULL;
}

void connection_set_starved(struct connection *c, bool starved)
{
    if (c->starved == starved) return;
    c->starved = starved;
    if (!starved) {
        TAILQ_REMOVE(&c->loop->starved, c, starved_link);
        return;
    }
    TAILQ_INSERT_TAIL(&c->loop->starved, c, starved_link);
    if (!ev_is_active(&c->loop->starved_retry)) ev_timer_again(c->loop->ev, &c->loop->starved_retry);
}

static void bad_frame(struct connection *c, const char *what, int32_t size)
{
    log_warn("network", "request refused, connection closed client=%s cause=\"%s\" size=%d", c->peer, what, size);
    connection_close(c);
}

/* A length field is complete: takes room for the frame. false: closed, or has to wait for memory. */
static bool begin_frame(struct connection *c)
{
    struct network *n = c->loop->network;
    int32_t size = (int32_t)be32_load(c->size_bytes);

    if (size < 0) return bad_frame(c, "negative length", size), false;
    if (size > n->request_size_max) return bad_frame(c, "longer than socket.request.max.bytes", size), false;
    if (size < 8) return bad_frame(c, "shorter than a header", size), false;
    if (atomic_load_explicit(&n->request_bytes, memory_order_relaxed) >= n->request_bytes_max) {
        connection_set_starved(c, true);
        return false;
    }
    connection_set_starved(c, false);
    uint32_t room = MIN((uint32_t)size, FRAME_ROOM_BYTES);
    c->frame = block_new(room);
    if (!c->frame) return bad_frame(c, "no memory", size), false;
    request_bytes_add(n, room);
    c->frame_size = (uint32_t)size;
    c->frame_have = 0;
    c->size_have = 0;
    return true;
}

/* Begun frames that wait for each other's memory would wait for ever: one at a time may grow beyond the limit. */
static bool may_grow(struct connection *c, uint32_t bytes)
{
    struct network *n = c->loop->network;
    struct connection *expected = NULL;

    return atomic_load_explicit(&n->request_bytes, memory_order_relaxed) + bytes <= n->request_bytes_max ||
           atomic_compare_exchange_strong(&n->grows_beyond, &expected, c) || expected == c;
}

/* More room for a frame that has filled what it had. false: closed, or has to wait for memory. */
static bool grow_frame(struct connection *c)
{
    uint32_t room = (uint32_t)MIN((uint64_t)c->frame->size * 2, c->frame_size);

    if (!may_grow(c, room - c->frame->size)) {
        connection_set_starved(c, true);
        return false;
    }
    connection_set_starved(c, false);
    struct block *grown = realloc(c->frame, sizeof *grown + room);
    if (!grown) {
        bad_frame(c, "no memory", (int32_t)c->frame_size);
        return false;
    }
    c->frame = grown;
    request_bytes_add(c->loop->network, (int64_t)room - grown->size);
    grown->size = room;
    return true;
}

static void finish_frame(struct connection *c)
{
    struct block *frame = c->frame;
    c->frame = NULL;
    release_turn(c);
    request_begin(c, frame);
}

uint32_t connection_take_bytes(struct connection *c, const uint8_t *bytes, uint32_t len)
{
    uint32_t at = 0;

    while (at < len && c->fd >= 0 && !connection_must_wait(c)) {
        if (!c->frame) {
            while (c->size_have < 4 && at < len) c->size_bytes[c->size_have++] = bytes[at++];
            if (c->size_have < 4 || !begin_frame(c)) break;
            continue;
        }
        if (c->frame_have == c->frame->size && !grow_frame(c)) break;
        uint32_t n = MIN(len - at, c->frame->size - c->frame_have);
        memcpy(c->frame->bytes + c->frame_have, bytes + at, n);
        c->frame_have += n;
        at += n;
        if (c->frame_have == c->frame_size) finish_frame(c);
    }
    return at;
}

bool connection_read_into_frame(struct connection *c)
{
    uint32_t taken = 0;

    while (c->frame_have < c->frame_size && taken < FRAME_READ_BYTES_MAX) {
        if (c->frame_have == c->frame->size && !grow_frame(c)) return false;
        size_t room = c->frame->size - c->frame_have;
        ssize_t n = c->transport->read(c, c->frame->bytes + c->frame_have, room);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
        if (n <= 0) return connection_close(c), false;
        connection_touch(c);
        c->frame_have += (uint32_t)n;
        taken += (uint32_t)n;
        if ((size_t)n < room) break; /* drained */
    }
    if (c->frame_have < c->frame_size) return false;
    finish_frame(c);
    return true;
}

void connection_resume_starved(struct connection *c)
{
    if (!c->starved) return;
    if (c->frame) grow_frame(c);
    else begin_frame(c);
}
