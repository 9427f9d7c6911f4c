/* http/listener.h: the socket of one listener; the server's own. */
#ifndef OTTLA_HTTP_LISTENER_H
#define OTTLA_HTTP_LISTENER_H

#include "base/err.h"
#include "base/slice.h"

struct http_listener {
    int fd;
    bool loopback;    /* nobody from outside reaches it */
    char address[80]; /* "HOST:PORT" as bound; every address: "0.0.0.0:PORT" */
};

/* Binds and listens. text: "http://HOST:PORT". Returns 0 or -errno with a text that names the listener. */
int http_listener_open(struct slice text, struct http_listener *ret, struct err *err) WARN_UNUSED;

#endif
