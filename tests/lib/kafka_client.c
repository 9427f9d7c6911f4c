#include "tests/lib/kafka_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#define ARENA_BYTES_MAX (64u << 20)

/* connect() may wait where a broker's queue of connections is full, and a signal (the fuzzer's timer) interrupts it:
 * the connection is then made in the background (connect(2)). */
static bool connected(int fd, const struct sockaddr_in *to)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int error = 0;

    if (connect(fd, (const struct sockaddr *)to, sizeof *to) == 0) return true;
    if (errno != EINTR) return false;
    while (poll(&p, 1, -1) < 0)
        if (errno != EINTR) return false;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof error}) == 0 && error == 0;
}

bool kafka_client_open(struct kafka_client *c, const char *address)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1))};
    int on = 1;

    *c = (struct kafka_client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    arena_init(&c->arena, ARENA_BYTES_MAX);
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (c->fd >= 0 && connected(c->fd, &to)) return true;
    kafka_client_close(c);
    return false;
}

void kafka_client_close(struct kafka_client *c)
{
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    arena_done(&c->arena);
    free(c->answer);
    c->answer = NULL;
}

static bool send_all(int fd, const uint8_t *p, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, p, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        p += n;
        size -= (size_t)n;
    }
    return true;
}

static bool receive_all(int fd, uint8_t *p, size_t size)
{
    while (size > 0) {
        ssize_t n = recv(fd, p, size, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        p += n;
        size -= (size_t)n;
    }
    return true;
}

bool kafka_client_send(struct kafka_client *c, int16_t key, int16_t version, const void *in)
{
    const struct kafka_api *api = kafka_api_find(key);
    struct request_header header = {.request_api_key = key,
                                    .request_api_version = version,
                                    .correlation_id = ++c->correlation_id,
                                    .client_id = SLICE("kafka_client")};
    struct buf buf;
    struct wire_writer w;

    buf_init(&buf);
    uint8_t *size = buf_reserve(&buf, 4);
    wire_writer_init(&w, &buf);
    request_header_encode(&w, kafka_request_header_version(api, version), &header);
    api->request->encode(&w, version, in);
    bool ok = wire_writer_done(&w) && size;
    if (ok) be32_store(size, (uint32_t)buf.size - 4);
    for (uint32_t i = buf.first; ok && i < buf.parts_count; i++)
        ok = send_all(c->fd, buf.parts[i].ptr, buf.parts[i].length);
    buf_done(&buf);
    return ok;
}

bool kafka_client_receive(struct kafka_client *c, int16_t key, int16_t version, void *out)
{
    const struct kafka_api *api = kafka_api_find(key);
    struct response_header header;
    uint8_t size_bytes[4];

    if (!receive_all(c->fd, size_bytes, 4)) return false;
    uint32_t size = be32_load(size_bytes);
    free(c->answer);
    c->answer = malloc(size + 1);
    if (!c->answer || !receive_all(c->fd, c->answer, size)) return false;
    arena_reset(&c->arena);
    struct wire_reader r = wire_reader_of(slice_make(c->answer, size), &c->arena);
    if (!response_header_decode(&r, kafka_response_header_version(api, version), &header)) return false;
    api->response->init(out);
    return header.correlation_id == c->correlation_id && api->response->decode(&r, version, out) && wire_left(&r) == 0;
}
