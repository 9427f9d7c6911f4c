/* http/route.c: see route.h. Segments are compared as they came and decoded one by one, so that an encoded slash never
 * becomes a separator. The first row that fits wins; the table is short, so it is searched in order.
 * Threads: no state. */
#include "http/route.h"

#include <ctype.h>
#include <stdio.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

int percent_decode(const char *text, size_t len, bool plus, char *ret)
{
    int n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '%') {
            if (len - i < 3) return -1;
            int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
            if (high < 0 || low < 0 || (high == 0 && low == 0)) return -1;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        ret[n++] = c;
    }
    ret[n] = '\0';
    return n;
}

char *percent_encode(const char *text)
{
    static const char digits[] = "0123456789ABCDEF";
    char *out = xmalloc(strlen(text) * 3 + 1);
    size_t n = 0;

    for (const char *p = text; *p; p++) {
        if (isalnum((unsigned char)*p) || strchr("-._~", *p)) {
            out[n++] = *p;
        } else {
            out[n++] = '%';
            out[n++] = digits[(unsigned char)*p >> 4];
            out[n++] = digits[(unsigned char)*p & 15];
        }
    }
    out[n] = '\0';
    return out;
}

/* The next segment of a path, walking *p; slashes in a row count as one. false: there is none. */
static bool segment_next(const char **p, const char **ret_start, size_t *ret_len)
{
    while (**p == '/') (*p)++;
    if (!**p) return false;
    *ret_start = *p;
    while (**p && **p != '/') (*p)++;
    *ret_len = (size_t)(*p - *ret_start);
    return true;
}

/* Whether the decoded path, segments separated by NUL, has the form of the pattern. */
static bool pattern_matches(const char *pattern, const struct slice *segments, int segments_count,
                            struct http_params *params)
{
    const char *start;
    size_t len;
    int i = 0;

    params->count = 0;
    while (segment_next(&pattern, &start, &len)) {
        if (i == segments_count) return false;
        struct slice s = segments[i++];
        if (len == 2 && memcmp(start, "{}", 2) == 0) {
            assert(params->count < HTTP_PARAMS_MAX);
            params->params[params->count++] = s;
            continue;
        }
        while (s.len > 0 && s.ptr[s.len - 1] == ' ') s.len--;
        if (s.len != len || memcmp(s.ptr, start, len) != 0) return false;
    }
    return i == segments_count;
}

#define SEGMENTS_MAX 16

enum route_result route_find(const struct http_route *routes, size_t routes_count, const char *method, const char *path,
                             const struct http_route **ret_route, struct http_params *ret_params, char ret_allow[64])
{
    struct slice segments[SEGMENTS_MAX];
    int segments_count = 0;
    size_t used = 0, len;
    const char *start;
    bool known = false;
    const struct http_route *get = NULL;
    char allow[64] = "";

    if (strlen(path) >= sizeof ret_params->bytes) return ROUTE_BAD_PATH;
    while (segment_next(&path, &start, &len)) {
        if (segments_count == SEGMENTS_MAX) return ROUTE_UNKNOWN;
        char *text = ret_params->bytes + used;
        int n = percent_decode(start, len, false, text);
        if (n < 0 || memchr(text, '/', (size_t)n)) return ROUTE_BAD_PATH;
        segments[segments_count++] = slice_make(text, (uint32_t)n);
        used += (size_t)n + 1;
    }
    for (size_t i = 0; i < routes_count; i++) {
        const struct http_route *r = &routes[i];
        if (!pattern_matches(r->pattern, segments, segments_count, ret_params)) continue;
        if (strcmp(r->method, method) == 0) {
            *ret_route = r;
            return ROUTE_FOUND;
        }
        if (strcmp(r->method, "GET") == 0) get = r;
        size_t have = strlen(allow);
        snprintf(allow + have, sizeof allow - have, "%s%s", known ? ", " : "", r->method);
        known = true;
    }
    if (get && strcmp(method, "HEAD") == 0) {
        (void)pattern_matches(get->pattern, segments, segments_count, ret_params);
        *ret_route = get;
        return ROUTE_FOUND;
    }
    if (!known) return ROUTE_UNKNOWN;
    if (ret_allow) memcpy(ret_allow, allow, sizeof allow);
    return ROUTE_WRONG_METHOD;
}
