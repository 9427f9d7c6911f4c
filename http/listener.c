/* http/listener.c: see listener.h and server.h: addresses of listeners: their text, their sockets, and which Host
 * headers name the loopback interface. A Host is compared by its text and never resolved: an attacker's name may
 * resolve to 127.0.0.1.
 * Threads: no state. */
#include "http/server.h"

#include "http/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define BACKLOG 64

bool http_listener_parse(struct slice text, char ret_host[256], char ret_port[8], struct err *err)
{
    const char *p = (const char *)text.ptr, *end = p + text.len;
    const char *scheme = "http://";

    if (text.len < strlen(scheme) || strncasecmp(p, scheme, strlen(scheme)) != 0) {
        err_set(err, -EINVAL, "'" SLICE_FMT "' is not of the form http://HOST:PORT", SLICE_ARG(text));
        return false;
    }
    p += strlen(scheme);
    if (p < end && end[-1] == '/') end--;
    const char *colon = NULL;
    for (const char *q = p; q < end; q++)
        if (*q == ':') colon = q;
    if (!colon || colon + 1 == end || end - colon - 1 > 5) {
        err_set(err, -EINVAL, "'" SLICE_FMT "' has no port: http://HOST:PORT is expected", SLICE_ARG(text));
        return false;
    }
    long port = 0;
    for (const char *q = colon + 1; q < end; q++) port = *q >= '0' && *q <= '9' ? port * 10 + (*q - '0') : 100000;
    if (port > 65535) {
        err_set(err, -EINVAL, "'" SLICE_FMT "' has no valid port (0 to 65535)", SLICE_ARG(text));
        return false;
    }
    const char *host_end = colon;
    if (p < host_end && *p == '[' && host_end[-1] == ']') p++, host_end--;
    else if (memchr(p, ':', (size_t)(host_end - p)) || memchr(p, '/', (size_t)(host_end - p))) host_end = p - 1;
    if (host_end < p || host_end - p > 255) {
        err_set(err, -EINVAL, "'" SLICE_FMT "' has no valid host: http://HOST:PORT is expected", SLICE_ARG(text));
        return false;
    }
    memcpy(ret_host, p, (size_t)(host_end - p));
    ret_host[host_end - p] = '\0';
    snprintf(ret_port, 8, "%ld", port);
    return true;
}

static int socket_bind(const struct addrinfo *a)
{
    int one = 1, zero = 0;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (a->ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

static bool address_is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
    return a->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

int http_listener_open(struct slice text, struct http_listener *ret, struct err *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *list;
    struct sockaddr_storage bound;
    socklen_t bound_len = sizeof bound;
    char host[256], port[8], shown[64];

    if (!http_listener_parse(text, host, port, err)) return -EINVAL;
    int r = getaddrinfo(host[0] ? host : "::", port, &hints, &list);
    if (r) return err_set(err, -EINVAL, "'" SLICE_FMT "': %s", SLICE_ARG(text), gai_strerror(r));
    /* A name may have several addresses; 127.0.0.1 is what people mean by localhost. */
    const struct addrinfo *chosen = list;
    for (const struct addrinfo *a = list; a && host[0]; a = a->ai_next)
        if (a->ai_family == AF_INET) {
            chosen = a;
            break;
        }
    int fd = socket_bind(chosen);
    freeaddrinfo(list);
    if (fd == -EAFNOSUPPORT && !host[0]) { /* a machine without IPv6 */
        if (getaddrinfo("0.0.0.0", port, &hints, &list) == 0) {
            fd = socket_bind(list);
            freeaddrinfo(list);
        }
    }
    if (fd == -EADDRINUSE)
        return err_set(err, fd,
                       "cannot listen on '" SLICE_FMT
                       "': the port is in use (`ss -ltnp sport = :%s` shows by whom); choose another",
                       SLICE_ARG(text), port);
    if (fd < 0) return err_set(err, fd, "cannot listen on '" SLICE_FMT "': %s", SLICE_ARG(text), strerror(-fd));

    getsockname(fd, (struct sockaddr *)&bound, &bound_len);
    getnameinfo((struct sockaddr *)&bound, bound_len, shown, sizeof shown, port, sizeof port,
                NI_NUMERICHOST | NI_NUMERICSERV);
    ret->fd = fd;
    ret->loopback = address_is_loopback((struct sockaddr *)&bound);
    if (!host[0]) snprintf(shown, sizeof shown, "0.0.0.0");
    snprintf(ret->address, sizeof ret->address, strchr(shown, ':') ? "[%s]:%s" : "%s:%s", shown, port);
    return 0;
}

bool http_host_is_loopback(const char *host)
{
    char name[256];
    struct in_addr v4;
    struct in6_addr v6;
    size_t len;

    if (host[0] == '[') {
        len = strcspn(++host, "]");
        if (len >= sizeof name || host[len] != ']') return false;
        memcpy(name, host, len);
        name[len] = '\0';
        return inet_pton(AF_INET6, name, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
    }
    len = strcspn(host, ":");
    if (len == 0 || len >= sizeof name) return false;
    memcpy(name, host, len);
    name[len] = '\0';
    if (name[len - 1] == '.') name[--len] = '\0';
    if (inet_pton(AF_INET, name, &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
    return strcasecmp(name, "localhost") == 0 || (len > 10 && strcasecmp(name + len - 10, ".localhost") == 0);
}
