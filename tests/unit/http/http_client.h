/* tests/unit/http/http_client.h: the smallest HTTP client: one request per connection, the answer as text. */
#ifndef OTTLA_TEST_HTTP_CLIENT_H
#define OTTLA_TEST_HTTP_CLIENT_H

#include "base/base.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* A socket that is connected to 127.0.0.1:port; -1: refused. */
static inline int http_connect(int port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return fd;
    close(fd);
    return -1;
}

/* Sends text as it is to 127.0.0.1:port and returns all that comes back until the server closes; to be freed. */
static inline char *http_raw(int port, const char *text, size_t len)
{
    int fd = http_connect(port);
    char *answer = xcalloc(1, 1);
    size_t size = 0;
    char part[4096];
    ssize_t n;

    if (fd >= 0) {
        for (size_t sent = 0; sent < len; sent += (size_t)n)
            if ((n = send(fd, text + sent, len - sent, MSG_NOSIGNAL)) <= 0) break;
        while ((n = recv(fd, part, sizeof part, 0)) > 0) {
            answer = xrealloc(answer, size + (size_t)n + 1);
            memcpy(answer + size, part, (size_t)n);
            answer[size += (size_t)n] = '\0';
        }
        close(fd);
    }
    return answer;
}

struct http_answer {
    int status;
    char *text; /* all of it */
    const char *body;
};

/* headers: further ones, each with its "\r\n". body NULL: none. */
static inline struct http_answer http_call(int port, const char *method, const char *path, const char *headers,
                                           const char *body)
{
    char *request = xasprintf("%s %s HTTP/1.1\r\nConnection: close\r\n%s%s", method, path, headers, body ? "" : "\r\n");
    if (body) {
        char *whole = xasprintf("%sContent-Length: %zu\r\n\r\n%s", request, strlen(body), body);
        free(request);
        request = whole;
    }
    struct http_answer a = {.text = http_raw(port, request, strlen(request))};
    free(request);
    sscanf(a.text, "HTTP/1.1 %d", &a.status);
    a.body = strstr(a.text, "\r\n\r\n");
    a.body = a.body ? a.body + 4 : "";
    return a;
}

#define HTTP_HOST "Host: localhost\r\n"
#define HTTP_JSON HTTP_HOST "Content-Type: application/json\r\n"

#endif
