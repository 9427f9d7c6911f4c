/* Unit tests of the room http: routes, addresses, workers, and the server as a client sees it. */
#include "base/err.h"
#include "http/json.h"
#include "http/server.h"
#include "http/workers.h"
#include "tests/lib/wait.h"
#include "tests/unit/http/http_client.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>

static void nothing(struct http_request *rq, struct http_reply *reply) {}

static const struct http_route some_routes[] = {
    {"GET", "/", 0, nothing},
    {"GET", "/things", 0, nothing},
    {"POST", "/things", 0, nothing},
    {"GET", "/things/{}", 0, nothing},
    {"PUT", "/things/{}/parts/{}", 0, nothing},
};

Test(route, patterns_slashes_blanks_and_escapes)
{
    static const struct {
        const char *method, *path;
        enum route_result result;
        int row;
        const char *param;
    } cases[] = {
        {"GET", "/", ROUTE_FOUND, 0, NULL},
        {"GET", "", ROUTE_FOUND, 0, NULL},
        {"GET", "/things", ROUTE_FOUND, 1, NULL},
        {"GET", "/things/", ROUTE_FOUND, 1, NULL},
        {"GET", "//things//", ROUTE_FOUND, 1, NULL},
        {"GET", "/things%20", ROUTE_FOUND, 1, NULL},
        {"POST", "/things/", ROUTE_FOUND, 2, NULL},
        {"HEAD", "/things", ROUTE_FOUND, 1, NULL},
        {"HEAD", "/things/x", ROUTE_FOUND, 3, "x"},
        {"GET", "/things/a%20b%C3%BC", ROUTE_FOUND, 3, "a b\xc3\xbc"},
        {"GET", "/things/a+b", ROUTE_FOUND, 3, "a+b"},
        {"GET", "/things/%7B%7D", ROUTE_FOUND, 3, "{}"},
        {"PUT", "/things/a/parts/7%20", ROUTE_FOUND, 4, "a"},
        {"PUT", "/things/a/parts", ROUTE_UNKNOWN, 0, NULL},
        {"GET", "/thing", ROUTE_UNKNOWN, 0, NULL},
        {"GET", "/Things", ROUTE_UNKNOWN, 0, NULL},
        {"PATCH", "/things", ROUTE_WRONG_METHOD, 0, NULL},
        {"HEAD", "/things/a/parts/7", ROUTE_WRONG_METHOD, 0, NULL},
        {"GET", "/things/a%2Fb", ROUTE_BAD_PATH, 0, NULL},
        {"GET", "/things/a%00b", ROUTE_BAD_PATH, 0, NULL},
        {"GET", "/things/a%2", ROUTE_BAD_PATH, 0, NULL},
        {"GET", "/things/a%zz", ROUTE_BAD_PATH, 0, NULL},
        {"GET", "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17", ROUTE_UNKNOWN, 0, NULL},
    };
    struct http_params params;
    char allow[64];

    for (size_t i = 0; i < countof(cases); i++) {
        const struct http_route *found = NULL;
        enum route_result r =
            route_find(some_routes, countof(some_routes), cases[i].method, cases[i].path, &found, &params, allow);
        cr_assert_eq(r, cases[i].result, "%s %s", cases[i].method, cases[i].path);
        if (r == ROUTE_FOUND) cr_assert_eq(found, &some_routes[cases[i].row], "%s", cases[i].path);
        if (cases[i].param) cr_assert_str_eq((const char *)params.params[0].ptr, cases[i].param);
    }
    cr_assert_eq(route_find(some_routes, countof(some_routes), "DELETE", "/things", &(const struct http_route *){0},
                            &params, allow),
                 ROUTE_WRONG_METHOD);
    cr_expect_str_eq(allow, "GET, POST");
}

Test(route, a_path_longer_than_the_buffer_is_refused)
{
    struct http_params *params = xmalloc(sizeof *params);
    const struct http_route *found;

    for (size_t len = HTTP_PATH_BYTES_MAX - 3; len <= HTTP_PATH_BYTES_MAX + 3; len++) {
        char *path = xmalloc(len + 1);
        memset(path, 'a', len);
        memcpy(path, "/things/", 8);
        path[len] = '\0';
        cr_expect_eq(route_find(some_routes, countof(some_routes), "GET", path, &found, params, NULL),
                     len < HTTP_PATH_BYTES_MAX ? ROUTE_FOUND : ROUTE_BAD_PATH);
        free(path);
    }
    free(params);
}

Test(route, percent_encoding_is_the_inverse_of_decoding)
{
    char all[256], decoded[256];

    for (int i = 0; i < 255; i++) all[i] = (char)(i + 1);
    all[255] = '\0';
    char *encoded = percent_encode(all);
    cr_assert_eq(percent_decode(encoded, strlen(encoded), false, decoded), 255);
    cr_expect_str_eq(decoded, all);
    cr_assert_eq(percent_decode("a+b%20c", 7, true, decoded), 5);
    cr_expect_str_eq(decoded, "a b c");
    free(encoded);
}

Test(listener, addresses_are_taken_apart)
{
    static const struct {
        const char *text, *host, *port;
    } cases[] = {
        {"http://127.0.0.1:8083", "127.0.0.1", "8083"},
        {"HTTP://localhost:0", "localhost", "0"},
        {"http://:8083", "", "8083"},
        {"http://[::1]:8083", "::1", "8083"},
        {"http://a.b:1/", "a.b", "1"},
        {"https://a:1", NULL, NULL},
        {"127.0.0.1:8083", NULL, NULL},
        {"http://a", NULL, NULL},
        {"http://a:", NULL, NULL},
        {"http://a:x", NULL, NULL},
        {"http://a:65536", NULL, NULL},
        {"http://a:1234567", NULL, NULL},
        {"http://::1:8083", NULL, NULL},
        {"http://a/b:1", NULL, NULL},
        {"", NULL, NULL},
        {"http://", NULL, NULL},
        {"http:///", NULL, NULL},
    };
    char host[256], port[8];
    struct err err;

    for (size_t i = 0; i < countof(cases); i++) {
        bool ok = http_listener_parse(slice_of(cases[i].text), host, port, &err);
        cr_assert_eq(ok, cases[i].host != NULL, "%s", cases[i].text);
        if (!ok) continue;
        cr_expect_str_eq(host, cases[i].host);
        cr_expect_str_eq(port, cases[i].port);
    }
}

Test(listener, names_of_the_loopback_interface)
{
    static const char *const yes[] = {"localhost",    "LOCALHOST:8083", "localhost.:1", "127.0.0.1",
                                      "127.5.6.7:80", "[::1]:8083",     "[::1]",        "db.localhost:1"};
    static const char *const no[] = {"",
                                     ":8083",
                                     "example.com",
                                     "localhost.example.com:8083",
                                     "10.0.0.1:8083",
                                     "[::2]:1",
                                     "[::1",
                                     "127.0.0.1.example.com",
                                     "notlocalhost",
                                     "128.0.0.1"};

    for (size_t i = 0; i < countof(yes); i++) cr_expect(http_host_is_loopback(yes[i]), "%s", yes[i]);
    for (size_t i = 0; i < countof(no); i++) cr_expect_not(http_host_is_loopback(no[i]), "%s", no[i]);
}

/* -- workers -- */

struct meeting {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int present, wanted;
};

/* Returns when `wanted` jobs run at the same time. */
static void meet(void *arg)
{
    struct meeting *m = arg;

    pthread_mutex_lock(&m->lock);
    m->present++;
    pthread_cond_broadcast(&m->changed);
    while (m->present < m->wanted) pthread_cond_wait(&m->changed, &m->lock);
    pthread_mutex_unlock(&m->lock);
}

static void count(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

Test(workers, run_side_by_side_and_free_waits_for_all)
{
    struct meeting m = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .wanted = 4};
    struct workers *w = workers_new("test", 4, 50);
    atomic_int done = 0;

    for (int i = 0; i < 4; i++) cr_assert(workers_post(w, meet, &m));
    for (int i = 0; i < 1000; i++) cr_assert(workers_post(w, count, &done));
    workers_free(w);
    cr_expect_eq(atomic_load(&done), 1000);
    cr_expect_eq(m.present, 4);
}

/* Of this process. */
static int threads_count(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int n = -2; /* "." and ".." */

    cr_assert(tasks);
    while (readdir(tasks)) n++;
    closedir(tasks);
    return n;
}

Test(workers, idle_threads_end_and_come_again)
{
    int before = threads_count();
    struct workers *w = workers_new("test", 2, 5);
    atomic_int done = 0;

    for (int round = 0; round < 5; round++) {
        cr_assert(workers_post(w, count, &done));
        cr_assert(workers_post(w, count, &done)); /* maybe while the thread is about to end */
        cr_assert(WAIT_UNTIL(threads_count() == before), "threads without work end");
        cr_expect_eq(atomic_load(&done), 2 * round + 2);
    }
    workers_free(w);
}

/* -- the server -- */

static void echo(struct http_request *rq, struct http_reply *reply)
{
    struct err err;
    json_t *body = json_parse(rq->body, &err);

    if (!body) {
        reply_error(reply, 400, "%s", err.text);
        return;
    }
    reply->location = xasprintf("http://%s/echo/1", rq->host);
    reply_json(reply, 201, body);
}

static void greet(struct http_request *rq, struct http_reply *reply)
{
    reply_json(reply, 200,
               json_pack("{s:s, s:b, s:b}", "name", http_param(rq, 0), "loud", http_query_has(rq, "loud", NULL), "very",
                         http_query_has(rq, "loud", "very much")));
}

static void wait_for_others(struct http_request *rq, struct http_reply *reply)
{
    meet(rq->context);
    reply->status = 204;
}

static const struct http_route server_routes[] = {
    {"POST", "/echo", ROUTE_JSON, echo},
    {"POST", "/echo-later", ROUTE_JSON | ROUTE_BLOCKS, echo},
    {"GET", "/greet/{}", 0, greet},
    {"PUT", "/wait", ROUTE_BLOCKS, wait_for_others},
};

static struct meeting meeting = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
static struct http_server_options options = {.name = "test",
                                             .listeners = "http://127.0.0.1:0",
                                             .routes = server_routes,
                                             .routes_count = countof(server_routes),
                                             .context = &meeting};

static struct http_server *server_start(int *ret_port)
{
    struct http_server *s;
    struct err err;

    cr_assert_eq(http_server_open(&options, &s, &err), 0, "%s", err.text);
    cr_assert_eq(http_server_run(s, &err), 0, "%s", err.text);
    *ret_port = atoi(strrchr(http_server_address(s), ':') + 1);
    return s;
}

Test(server, answers_and_refuses)
{
    static const struct {
        const char *method, *path, *headers, *body;
        int status;
        const char *answer; /* part of the text */
    } cases[] = {
        {"GET", "/greet/you", HTTP_HOST, NULL, 200, "{\"name\":\"you\",\"loud\":false,\"very\":false}"},
        {"GET", "/greet/you/?loud", HTTP_HOST, NULL, 200, "\"loud\":true,\"very\":false"},
        {"GET", "/greet/a%20b?x=1&loud=Very+much", HTTP_HOST, NULL, 200,
         "{\"name\":\"a b\",\"loud\":true,\"very\":true}"},
        {"POST", "/echo", HTTP_JSON, "{\"a\":[1,2]}", 201, "{\"a\":[1,2]}"},
        {"POST", "/echo/", HTTP_HOST "Content-Type: application/json; charset=utf-8\r\n", "3", 201, "\r\n\r\n3"},
        {"POST", "/echo", HTTP_HOST, "[]", 201, "Location: http://localhost/echo/1"},
        {"POST", "/echo-later", HTTP_JSON, "{\"a\":1}", 201, "{\"a\":1}"},
        {"POST", "/echo", HTTP_JSON, "{\"a\":", 400, "{\"error_code\":400,\"message\":\"The body is not valid JSON: "},
        {"POST", "/echo", HTTP_JSON, "{} x", 400, "not valid JSON"},
        {"POST", "/echo", HTTP_JSON, "", 400, "no body"},
        {"POST", "/echo", HTTP_HOST "Content-Type: text/plain\r\n", "{}", 415, "HTTP 415 Unsupported Media Type"},
        {"POST", "/echo", HTTP_HOST "Content-Type: application/x-www-form-urlencoded\r\n", "{}", 415,
         "Content-Type: application/json\r\n"},
        {"POST", "/echo", HTTP_HOST "Content-Type: application/jsonx\r\n", "{}", 415, ""},
        {"GET", "/echo", HTTP_HOST, NULL, 405, "Allow: POST"},
        {"GET", "/none", HTTP_HOST, NULL, 404, "{\"error_code\":404,\"message\":\"HTTP 404 Not Found\"}"},
        {"GET", "/greet/a%2Fb", HTTP_HOST, NULL, 400, "error_code"},
        {"GET", "/greet/x", "Host: example.com:8083\r\n", NULL, 403, "example.com"},
        {"GET", "/greet/x", "Host: [::1]:80\r\nOrigin: http://example.com\r\n", NULL, 200, "x"},
        {"POST", "/echo", HTTP_JSON "Origin: http://example.com\r\n", "{}", 403, "example.com"},
        {"POST", "/echo", HTTP_JSON "Origin: null\r\n", "{}", 403, "null"},
        {"POST", "/echo", HTTP_JSON "Origin: http://localhost:3000\r\n", "{}", 201, ""},
        {"HEAD", "/greet/you", HTTP_HOST, NULL, 200, "Content-Length: 40\r\n"},
    };
    int port;
    struct http_server *s = server_start(&port);

    for (size_t i = 0; i < countof(cases); i++) {
        struct http_answer a = http_call(port, cases[i].method, cases[i].path, cases[i].headers, cases[i].body);
        cr_expect_eq(a.status, cases[i].status, "%s %s: %s", cases[i].method, cases[i].path, a.text);
        cr_expect(strstr(a.text, cases[i].answer), "%s %s: %s", cases[i].method, cases[i].path, a.text);
        free(a.text);
    }
    http_server_stop(s);
}

Test(server, a_connection_serves_requests_one_after_another)
{
    static const char requests[] = "GET /greet/one HTTP/1.1\r\n" HTTP_HOST "\r\n"
                                   "POST /echo-later HTTP/1.1\r\n" HTTP_JSON "Content-Length: 5\r\n\r\n\"two\""
                                   "GET /none HTTP/1.1\r\n" HTTP_HOST "\r\n"
                                   "POST /echo HTTP/1.1\r\n" HTTP_JSON "Content-Length: 6\r\n\r\n\"four\""
                                   "GET /greet/five HTTP/1.1\r\n" HTTP_HOST "Connection: close\r\n\r\n";
    static const char *const answers[] = {"\"one\"", "\"two\"", "404", "\"four\"", "\"five\""};
    int port;
    struct http_server *s = server_start(&port);
    char *text = http_raw(port, requests, strlen(requests)), *at = text;

    for (size_t i = 0; i < countof(answers); i++) {
        at = strstr(at, answers[i]);
        cr_assert(at, "answer %zu in %s", i + 1, text);
    }
    free(text);
    http_server_stop(s);
}

Test(server, nesting_and_size_of_bodies_are_bounded)
{
    int port;
    struct http_server *s = server_start(&port);
    char *deep = xcalloc(1, 100001);
    memset(deep, '[', 100000);
    struct http_answer a = http_call(port, "POST", "/echo", HTTP_JSON, deep);
    cr_expect_eq(a.status, 400);
    cr_expect(strstr(a.body, "nests deeper"));
    free(a.text);
    free(deep);

    char *large = xmalloc(HTTP_BODY_BYTES_MAX + 2);
    memset(large, ' ', HTTP_BODY_BYTES_MAX + 1);
    large[HTTP_BODY_BYTES_MAX] = '\0';
    memcpy(large + HTTP_BODY_BYTES_MAX - 2, "{}", 2);
    a = http_call(port, "POST", "/echo", HTTP_JSON, large);
    cr_expect_eq(a.status, 201);
    free(a.text);
    char *request =
        xasprintf("POST /echo HTTP/1.1\r\n" HTTP_JSON "Content-Length: %d\r\n\r\n", HTTP_BODY_BYTES_MAX + 1);
    char *answer = http_raw(port, request, strlen(request));
    cr_expect(strncmp(answer, "HTTP/1.1 413", 12) == 0, "%s", answer);
    free(answer);
    free(request);
    /* chunked: the length is not known before; the connection ends */
    char *chunked =
        xasprintf("POST /echo HTTP/1.1\r\n" HTTP_JSON "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s \r\n0\r\n\r\n",
                  HTTP_BODY_BYTES_MAX + 1, large);
    answer = http_raw(port, chunked, strlen(chunked));
    cr_expect(strstr(answer, " 201 ") == NULL);
    free(answer);
    free(chunked);
    free(large);
    http_server_stop(s);
}

static void *caller(void *arg)
{
    struct http_answer a = http_call(*(int *)arg, "PUT", "/wait", HTTP_HOST, NULL);
    free(a.text);
    return (void *)(intptr_t)a.status;
}

Test(server, a_handler_that_blocks_delays_nobody_else)
{
    int port;
    struct http_server *s = server_start(&port);
    pthread_t threads[3];
    void *status;

    meeting.wanted = 4; /* the fourth comes only below */
    for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, caller, &port);
    for (int i = 0; i < 100; i++) {
        struct http_answer a = http_call(port, "GET", "/greet/x", HTTP_HOST, NULL);
        cr_assert_eq(a.status, 200);
        free(a.text);
    }
    struct http_answer a = http_call(port, "POST", "/echo-later", HTTP_JSON, "1");
    cr_expect_eq(a.status, 201);
    free(a.text);
    caller(&port);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], &status);
        cr_expect_eq((intptr_t)status, 204);
    }
    http_server_stop(s);
}

static void *stopper(void *arg)
{
    http_server_stop(arg);
    return NULL;
}

/* Asks on a connection that was made before: it is served until all have finished, but only to be refused. */
static bool is_stopping(int fd)
{
    static const char request[] = "GET /greet/x HTTP/1.1\r\n" HTTP_HOST "\r\n";
    char answer[1000] = "";
    size_t size = 0;
    ssize_t n;

    cr_assert_eq(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    while (!strstr(answer, "\"x\"") && !strstr(answer, "shutting down")) {
        n = recv(fd, answer + size, sizeof answer - 1 - size, 0);
        cr_assert_gt(n, 0, "%s", answer);
        size += (size_t)n;
    }
    return strstr(answer, " 503 ") != NULL;
}

Test(server, stop_lets_a_blocked_request_finish)
{
    int port;
    struct http_server *s = server_start(&port);
    pthread_t call, stop;
    void *status;

    meeting.wanted = 2;
    pthread_create(&call, NULL, caller, &port);
    pthread_mutex_lock(&meeting.lock);
    while (meeting.present < 1) pthread_cond_wait(&meeting.changed, &meeting.lock);
    pthread_mutex_unlock(&meeting.lock);
    int open_before = http_connect(port);
    cr_assert_not(is_stopping(open_before)); /* it was accepted */
    pthread_create(&stop, NULL, stopper, s);
    cr_assert(WAIT_UNTIL(is_stopping(open_before)));
    meet(&meeting);
    pthread_join(call, &status);
    close(open_before);
    cr_expect_eq((intptr_t)status, 204);
    pthread_join(stop, NULL);
}

Test(server, stop_refuses_what_still_waits_for_a_worker)
{
    int port, finished = 0, refused = 0;
    struct http_server *s = server_start(&port);
    pthread_t calls[HTTP_BLOCKED_MAX + 4], stop;
    void *status;

    meeting.wanted = HTTP_BLOCKED_MAX + 1; /* the last one is this thread */
    for (size_t i = 0; i < countof(calls); i++) pthread_create(&calls[i], NULL, caller, &port);
    pthread_mutex_lock(&meeting.lock);
    while (meeting.present < HTTP_BLOCKED_MAX) pthread_cond_wait(&meeting.changed, &meeting.lock);
    pthread_mutex_unlock(&meeting.lock);
    int open_before = http_connect(port);
    cr_assert_not(is_stopping(open_before)); /* it was accepted */
    pthread_create(&stop, NULL, stopper, s);
    cr_assert(WAIT_UNTIL(is_stopping(open_before)));
    meet(&meeting);
    close(open_before);
    for (size_t i = 0; i < countof(calls); i++) {
        pthread_join(calls[i], &status);
        finished += (intptr_t)status == 204;
        refused += (intptr_t)status == 503 || (intptr_t)status == 0; /* 0: it came too late to connect */
    }
    pthread_join(stop, NULL);
    cr_expect_eq(finished, HTTP_BLOCKED_MAX);
    cr_expect_eq(refused, 4);
}

Test(server, an_address_in_use_or_malformed_is_named)
{
    int port;
    struct http_server *s = server_start(&port), *other = NULL;
    char *address = xasprintf("http://127.0.0.1:0, http://127.0.0.1:%d", port);
    struct http_server_options second = options;
    struct err err;

    second.listeners = address;
    cr_expect_lt(http_server_open(&second, &other, &err), 0);
    cr_expect(strstr(err.text, "the port is in use") && strstr(err.text, strrchr(address, ':')), "%s", err.text);
    second.listeners = "ftp://x:1";
    cr_expect_lt(http_server_open(&second, &other, &err), 0);
    cr_expect(strstr(err.text, "ftp://x:1"), "%s", err.text);
    second.listeners = " , ";
    cr_expect_lt(http_server_open(&second, &other, &err), 0);
    cr_expect_null(other);
    free(address);
    http_server_stop(s);
}
