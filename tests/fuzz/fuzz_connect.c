/* Any bytes as what the REST API takes from outside: paths, listeners, Host headers, JSON bodies of configurations; and
 * as records of connect-configs and connect-statuses, which clients may write to. The first byte chooses. */
#include "connect/records.h"
#include "connect/rest.h"
#include "connect/validate.h"
#include "http/json.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_path(const char *text)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "HEAD", "DELETE", "TRACE"};
    struct http_params params;
    const struct http_route *route;
    char allow[64];

    for (size_t i = 0; i < countof(methods); i++)
        if (route_find(rest_routes, rest_routes_count, methods[i], text, &route, &params, allow) == ROUTE_FOUND)
            for (int p = 0; p < params.count; p++) {
                char *encoded = percent_encode((const char *)params.params[p].ptr);
                char *decoded = xmalloc(strlen(encoded) + 1);
                assert(percent_decode(encoded, strlen(encoded), false, decoded) == (int)params.params[p].len);
                assert(strcmp(decoded, (const char *)params.params[p].ptr) == 0);
                free(decoded);
                free(encoded);
            }
}

static void fuzz_config(struct slice text)
{
    struct err err;
    json_t *body = json_parse(text, &err), *removes = json_array();

    if (json_is_object(body)) {
        json_t *config = config_normalise(body, removes, &err), *value;
        const char *name;
        if (config) {
            json_object_foreach(config, name, value) assert(json_is_string(value));
            free(config_text(config));
            struct problems *p = xcalloc(1, sizeof *p);
            validate_name(config_get(config, "name") ? config_get(config, "name") : "", p);
            free(problems_message(p));
            free(p);
            /* what we store is read again as it was */
            struct connect_record r = record_of_connector("x", config);
            struct connect_entry e;
            assert(connect_entry_parse(CONNECT_CONFIGS, slice_of(r.key), slice_of(r.value), &e, &err));
            assert(e.type == ENTRY_CONNECTOR && json_equal(e.config, config));
            connect_entry_done(&e);
            connect_record_done(&r);
        }
        json_decref(config);
    }
    json_decref(body);
    json_decref(removes);
}

static void fuzz_record(enum connect_topic topic, struct slice rest)
{
    const uint8_t *split = memchr(rest.ptr, '\n', rest.len);
    struct connect_entry e;
    struct err err;
    struct slice key = rest, value = SLICE_NULL;

    if (split) {
        key.len = (uint32_t)(split - rest.ptr);
        value = slice_make(split + 1, rest.len - key.len - 1);
    }
    if (connect_entry_parse(topic, key, value, &e, &err)) assert(e.type == ENTRY_OTHER || e.name);
    connect_entry_done(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char host[256], port[8];
    struct err err;

    if (size < 2) return 0;
    struct slice rest = slice_make(data + 1, (uint32_t)size - 1);
    char *text = slice_strdup(rest);
    switch (data[0] % 5) {
    case 0: fuzz_path(text); break;
    case 1:
        (void)http_listener_parse(rest, host, port, &err);
        (void)http_host_is_loopback(text);
        break;
    case 2: fuzz_config(rest); break;
    case 3: fuzz_record(CONNECT_CONFIGS, rest); break;
    case 4: fuzz_record(CONNECT_STATUSES, rest); break;
    }
    free(text);
    return 0;
}
