/* tools/ottla/client_connectors.c: ottla connectors: the REST API of Kafka Connect, by hand. */
#include "base/bytes.h"
#include "tools/ottla/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "usage: ottla connectors [options] [list]\n"
    "       ottla connectors [options] create [FILE]           {\"name\": ..., \"config\": {...}}; default: standard "
    "input\n"
    "       ottla connectors [options] show NAME               its configuration\n"
    "       ottla connectors [options] set NAME KEY=VALUE...   changes its configuration; KEY= removes\n"
    "       ottla connectors [options] status NAME             its state and its tasks', with the error when one "
    "failed\n"
    "       ottla connectors [options] offsets NAME\n"
    "       ottla connectors [options] pause|resume|stop|restart|delete NAME...\n"
    "       ottla connectors [options] plugins\n"
    "\n"
    "  -u, --url=URL      of the REST API; default: $OTTLA_CONNECT_URL, else http://127.0.0.1:8083\n"
    "  -h, --help\n";

#define URL_DEFAULT       "http://127.0.0.1:8083"
#define TIMEOUT_S         90L /* creating a connector connects to its database */
#define CONNECT_TIMEOUT_S 10L
#define ANSWER_BYTES_MAX  (16u * 1024 * 1024)
#define JSON_LAYOUT       (JSON_INDENT(2) | JSON_ENCODE_ANY)

struct rest {
    struct client c;
    const char *url;
    CURL *curl;
};

static size_t take_answer(char *bytes, size_t size, size_t count, void *arg)
{
    struct bytes *answer = arg;
    if (answer->len + size * count > ANSWER_BYTES_MAX) return 0;
    bytes_append(answer, bytes, size * count);
    return answer->failed ? 0 : size * count;
}

/* Ends the process with what the answer says. */
static void fail_with_answer(const struct rest *r, long status, const json_t *answer)
{
    const char *message = json_string_value(json_object_get(answer, "message"));
    if (message) client_fail(&r->c, "%s", message);
    client_fail(&r->c, "%s answers with HTTP status %ld", r->url, status);
}

/* One request; ends the process unless it succeeds. Returns the answer's JSON, NULL when it has none. */
static json_t *call(struct rest *r, const char *method, const char *path, const json_t *body)
{
    AUTO_FREE char *url = xasprintf("%s%s", r->url, path);
    AUTO_FREE char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    char error[CURL_ERROR_SIZE] = "";
    struct bytes answer = {0};
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json");
    headers = curl_slist_append(headers, "Content-Type: application/json");

    curl_easy_reset(r->curl);
    curl_easy_setopt(r->curl, CURLOPT_URL, url);
    curl_easy_setopt(r->curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(r->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(r->curl, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(r->curl, CURLOPT_TIMEOUT, TIMEOUT_S);
    curl_easy_setopt(r->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    curl_easy_setopt(r->curl, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(r->curl, CURLOPT_WRITEDATA, &answer);
    if (text || strcmp(method, "GET") != 0) curl_easy_setopt(r->curl, CURLOPT_POSTFIELDS, text ? text : "");
    CURLcode code = curl_easy_perform(r->curl);
    curl_slist_free_all(headers);
    if (code) client_fail(&r->c, "%s: %s", r->url, *error ? error : curl_easy_strerror(code));

    long status = 0;
    curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
    json_t *json = answer.len ? json_loadb((const char *)answer.ptr, answer.len, JSON_DECODE_ANY, NULL) : NULL;
    bytes_done(&answer);
    if (status < 200 || status >= 300) fail_with_answer(r, status, json);
    return json;
}

/* "/connectors/NAME" and what follows. */
static char *connector_path(struct rest *r, const char *name, const char *rest)
{
    char *escaped = curl_easy_escape(r->curl, name, 0);
    char *path = xasprintf("/connectors/%s%s", escaped, rest);
    curl_free(escaped);
    return path;
}

static json_t *call_connector(struct rest *r, const char *method, const char *name, const char *rest,
                              const json_t *body)
{
    AUTO_FREE char *path = connector_path(r, name, rest);
    return call(r, method, path, body);
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "?";
}

static void print_json(json_t *json)
{
    if (!json) return;
    json_dumpf(json, stdout, JSON_LAYOUT);
    putchar('\n');
    json_decref(json);
}

static int list(struct rest *r)
{
    json_t *all = call(r, "GET", "/connectors?expand=status", NULL), *entry;
    const char *name;
    json_object_foreach(all, name, entry)
    {
        const json_t *status = json_object_get(entry, "status"), *tasks = json_object_get(status, "tasks");
        printf("%-40s %-8s %s", name, text_of(status, "type"), text_of(json_object_get(status, "connector"), "state"));
        for (size_t i = 0; i < json_array_size(tasks); i++)
            printf("%s%s", i ? "," : " tasks ", text_of(json_array_get(tasks, i), "state"));
        putchar('\n');
    }
    json_decref(all);
    return 0;
}

static int create(struct rest *r, const char *file)
{
    json_error_t error;
    json_t *body = file && strcmp(file, "-") != 0 ? json_load_file(file, 0, &error) : json_loadf(stdin, 0, &error);
    if (!body) client_fail(&r->c, "%s line %d: %s", file ? file : "standard input", error.line, error.text);
    json_t *made = call(r, "POST", "/connectors", body);
    printf("created %s\n", text_of(made, "name"));
    json_decref(made);
    json_decref(body);
    return 0;
}

static int set(struct rest *r, const char *name, char **pairs, int pairs_count)
{
    json_t *config = call_connector(r, "GET", name, "/config", NULL);
    for (int i = 0; i < pairs_count; i++) {
        char *value = client_split(pairs[i]);
        if (!value) client_fail_usage(&r->c, "set takes KEY=VALUE, not \"%s\"", pairs[i]);
        if (*value) json_object_set_new(config, pairs[i], json_string(value));
        else json_object_del(config, pairs[i]);
    }
    json_decref(call_connector(r, "PUT", name, "/config", config));
    printf("changed %s\n", name);
    json_decref(config);
    return 0;
}

static void print_state(const char *what, const json_t *state)
{
    const char *trace = json_string_value(json_object_get(state, "trace"));
    printf("%s %s on %s\n", what, text_of(state, "state"), text_of(state, "worker_id"));
    if (trace) printf("    %s\n", trace);
}

static int status(struct rest *r, const char *name)
{
    json_t *answer = call_connector(r, "GET", name, "/status", NULL);
    const json_t *tasks = json_object_get(answer, "tasks");
    print_state(name, json_object_get(answer, "connector"));
    for (size_t i = 0; i < json_array_size(tasks); i++) {
        const json_t *task = json_array_get(tasks, i);
        char what[40];
        snprintf(what, sizeof what, "  task %lld", (long long)json_integer_value(json_object_get(task, "id")));
        print_state(what, task);
    }
    json_decref(answer);
    return 0;
}

static int plugins(struct rest *r)
{
    json_t *all = call(r, "GET", "/connector-plugins", NULL);
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *plugin = json_array_get(all, i);
        printf("%-60s %-8s %s\n", text_of(plugin, "class"), text_of(plugin, "type"), text_of(plugin, "version"));
    }
    json_decref(all);
    return 0;
}

/* What is done to connectors by name, without a body. */
static const struct control {
    const char *action, *method, *rest, *done;
} controls[] = {
    {"pause", "PUT", "/pause", "pausing"}, {"resume", "PUT", "/resume", "resuming"},
    {"stop", "PUT", "/stop", "stopping"},  {"restart", "POST", "/restart?includeTasks=true", "restarting"},
    {"delete", "DELETE", "", "deleted"},
};

static int control(struct rest *r, const struct control *control, char **names, int names_count)
{
    for (int i = 0; i < names_count; i++) {
        json_decref(call_connector(r, control->method, names[i], control->rest, NULL));
        printf("%s %s\n", control->done, names[i]);
    }
    return 0;
}

static int run(struct rest *r, const char *action, char **names, int names_count)
{
    if (strcmp(action, "list") == 0) return list(r);
    if (strcmp(action, "plugins") == 0) return plugins(r);
    if (strcmp(action, "create") == 0) return create(r, names_count ? names[0] : NULL);
    bool needs_pairs = strcmp(action, "set") == 0, known = needs_pairs || strcmp(action, "show") == 0 ||
                                                           strcmp(action, "status") == 0 ||
                                                           strcmp(action, "offsets") == 0;
    const struct control *found = NULL;
    for (size_t i = 0; i < countof(controls); i++)
        if (strcmp(controls[i].action, action) == 0) found = &controls[i];
    if (!known && !found) client_fail_usage(&r->c, "there is no action \"%s\"", action);
    if (names_count == 0) client_fail_usage(&r->c, "%s needs the name of a connector", action);
    if (found) return control(r, found, names, names_count);
    if (needs_pairs) return set(r, names[0], names + 1, names_count - 1);
    if (strcmp(action, "status") == 0) return status(r, names[0]);
    print_json(call_connector(r, "GET", names[0], strcmp(action, "show") == 0 ? "/config" : "/offsets", NULL));
    return 0;
}

int client_connectors(int argc, char **argv)
{
    static const struct option options[] = {
        {"url", required_argument, NULL, 'u'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    const char *url = getenv("OTTLA_CONNECT_URL");
    struct rest r = {.c = {.name = "connectors"}, .url = url && *url ? url : URL_DEFAULT};
    int option;
    while ((option = getopt_long(argc, argv, "u:h", options, NULL)) != -1) {
        if (option == 'u') r.url = optarg;
        else client_option(&r.c, option, usage);
    }
    size_t len = strlen(r.url);
    AUTO_FREE char *trimmed = xstrdup(r.url);
    while (len && trimmed[len - 1] == '/') trimmed[--len] = '\0';
    r.url = trimmed;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    r.curl = curl_easy_init();
    if (!r.curl) client_fail(&r.c, "no memory");
    const char *action = optind < argc ? argv[optind++] : "list";
    int exit_status = run(&r, action, argv + optind, argc - optind);
    curl_easy_cleanup(r.curl);
    curl_global_cleanup();
    return exit_status;
}
