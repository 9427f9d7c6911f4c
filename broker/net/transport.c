/* broker/net/transport.c: plain sockets: their addresses as text, and how bytes go in and out (network.h).
 *
 * Threads: any. */
#include "broker/net/network.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

/* -- addresses -- */

void address_host(const union socket_address *a, char ret_text[ADDRESS_BYTES])
{
    ret_text[0] = '\0';
    if (a->any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &a->v4.sin_addr, ret_text, ADDRESS_BYTES);
    } else if (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr)) {
        inet_ntop(AF_INET, &a->v6.sin6_addr.s6_addr[12], ret_text, ADDRESS_BYTES);
    } else {
        inet_ntop(AF_INET6, &a->v6.sin6_addr, ret_text, ADDRESS_BYTES);
    }
}

int32_t address_port(const union socket_address *a)
{
    return ntohs(a->any.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port);
}

void address_format(const union socket_address *a, char ret_text[ADDRESS_BYTES])
{
    char host[ADDRESS_BYTES];
    address_host(a, host);
    snprintf(ret_text, ADDRESS_BYTES, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, address_port(a));
}

/* -- plain sockets -- */

static ssize_t plain_read(struct connection *c, void *to, size_t size)
{
    return recv(c->fd, to, size, 0);
}

static ssize_t plain_writev(struct connection *c, const struct iovec *iov, int iov_count, bool more)
{
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)iov_count};
    return sendmsg(c->fd, &m, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
}

static ssize_t plain_send_file(struct connection *c, int fd, uint64_t position, size_t size)
{
    off_t offset = (off_t)position;
    return sendfile(c->fd, fd, &offset, size);
}

const struct transport transport_plain = {plain_read, plain_writev, plain_send_file};
