/* http/route.h: which function answers which path: rows of method, pattern, handler; percent-encoding.
 *
 * A pattern is a path whose segments are literal or `{}`, which takes any one segment as a parameter:
 * "/connectors/{}/status". Source: RFC 3986 (paths), RFC 9110 (methods, 404, 405). Rules: a slash at the end makes no
 * difference. Blanks at the end of a literal segment do not count (debezium-ui sends
 * "/pause%20"). An encoded slash or NUL in a segment is refused: no resource has one in its name. HEAD is served by the
 * row of GET unless it has its own.
 * Threads: no state. */
#ifndef OTTLA_HTTP_ROUTE_H
#define OTTLA_HTTP_ROUTE_H

#include "base/slice.h"

#define HTTP_PARAMS_MAX     4
#define HTTP_PATH_BYTES_MAX 4096

struct http_request;
struct http_reply;

/* May block: runs on a worker thread; else on the server's own, which every client of the server waits for. */
#define ROUTE_BLOCKS 0x1u
/* Takes a JSON body: another Content-Type is answered with 415. */
#define ROUTE_JSON   0x2u

struct http_route {
    const char *method;
    const char *pattern;
    unsigned flags;
    /* Fills reply (status 200 and an empty body before). */
    void (*handle)(struct http_request *rq, struct http_reply *reply);
};

/* Texts of the parameters, decoded, NUL-terminated; params[i].ptr points into bytes. */
struct http_params {
    struct slice params[HTTP_PARAMS_MAX];
    int count;
    char bytes[HTTP_PATH_BYTES_MAX];
};

enum route_result { ROUTE_FOUND, ROUTE_UNKNOWN, ROUTE_WRONG_METHOD, ROUTE_BAD_PATH };

/* Finds the row for a path as it came (encoded, without query). ret_allow (may be NULL): on WRONG_METHOD the methods
 * that the path has, "GET, PUT". */
enum route_result route_find(const struct http_route *routes, size_t routes_count, const char *method, const char *path,
                             const struct http_route **ret_route, struct http_params *ret_params, char ret_allow[64]);

/* Decodes %XX into ret (at least len + 1 bytes), NUL-terminated; plus: '+' is a blank (queries). Returns the length;
 * -1: a malformed escape or %00. */
int percent_decode(const char *text, size_t len, bool plus, char *ret);
/* The text with everything but unreserved characters (RFC 3986) escaped, to be freed. */
char *percent_encode(const char *text) WARN_UNUSED;

#endif
