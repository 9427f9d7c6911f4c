/* Unit tests of the REST API over HTTP, with fake connectors: statuses and bodies, in the order of a life. Values were
 * seen on Kafka Connect 4.3 unless docs/connect-rest.md lists the difference. */
#include "tests/lib/wait.h"
#include "tests/unit/connect/fake.h"
#include "tests/unit/http/http_client.h"

#include "base/log.h"
#include "connect/loggers.h"

#include <criterion/criterion.h>

static struct fixture f;

/* Calls and compares the status and the whole body; body_part: the answer must contain it, when it begins with "~". */
static void expect(const char *method, const char *path, const char *body, int status, const char *answer)
{
    struct http_answer a = http_call(f.port, method, path, HTTP_JSON, body);

    cr_expect_eq(a.status, status, "%s %s: %s", method, path, a.text);
    if (answer && *answer == '~') cr_expect(strstr(a.text, answer + 1), "%s %s: %s", method, path, a.text);
    else if (answer) cr_expect_str_eq(a.body, answer, "%s %s", method, path);
    free(a.text);
}

#define CLASS             "\"connector.class\":\"test.FakeConnector\""
#define STATE(s)          "{\"state\":\"" s "\",\"worker_id\":\"test:8083\",\"version\":\"1.2.3\"}"
#define TASK(s)           "{\"id\":0,\"state\":\"" s "\",\"worker_id\":\"test:8083\",\"version\":\"1.2.3\"}"
#define ERROR(code, text) "{\"error_code\":" #code ",\"message\":\"" text "\"}"

Test(rest, the_life_of_a_connector)
{
    fixture_start(&f);
    expect("GET", "/", NULL, 200,
           "{\"version\":\"4.3.1\",\"commit\":\"ottla-" OTTLA_VERSION "\",\"kafka_cluster_id\":\"cluster\"}");
    expect("HEAD", "/", NULL, 200, "");
    expect("GET", "/health", NULL, 200,
           "{\"status\":\"healthy\",\"message\":\"Worker has completed startup and is ready to handle requests.\"}");
    expect("GET", "/connectors", NULL, 200, "[]");
    expect("GET", "/connectors?expand=status", NULL, 200, "{}");

    /* values become strings, null is left out, the name comes last; a slash at the end is the same resource */
    expect("POST", "/connectors/",
           "{\"name\":\"c\",\"config\":{" CLASS ",\"n\":1,\"b\":true,\"r\":1.5,\"z\":null,\"a\":\"x\"}}", 201,
           "{\"name\":\"c\",\"config\":{" CLASS
           ",\"n\":\"1\",\"b\":\"true\",\"r\":\"1.5\",\"a\":\"x\",\"name\":\"c\"},\"tasks\":[],\"type\":\"source\"}");
    cr_assert(state_becomes(&f, "c", "RUNNING/RUNNING"));
    expect("POST", "/connectors", "{\"name\":\"c\",\"config\":{" CLASS "}}", 409,
           ERROR(409, "Connector c already exists"));
    expect("GET", "/connectors/", NULL, 200, "[\"c\"]");
    expect("GET", "/connectors/c/config", NULL, 200,
           "{" CLASS ",\"n\":\"1\",\"b\":\"true\",\"r\":\"1.5\",\"a\":\"x\",\"name\":\"c\"}");
    expect("PUT", "/connectors/c/config", "{" CLASS ",\"a\":\"y\"}", 200,
           "{\"name\":\"c\",\"config\":{" CLASS
           ",\"a\":\"y\",\"name\":\"c\"},\"tasks\":[{\"connector\":\"c\",\"task\":0}],\"type\":\"source\"}");
    cr_assert(state_becomes(&f, "c", "RUNNING/RUNNING"));
    expect("PATCH", "/connectors/c/config", "{\"a\":null,\"b\":2}", 200,
           "~\"config\":{" CLASS ",\"name\":\"c\",\"b\":\"2\"}");
    cr_assert(state_becomes(&f, "c", "RUNNING/RUNNING"));
    expect("GET", "/connectors/c", NULL, 200,
           "{\"name\":\"c\",\"config\":{" CLASS
           ",\"name\":\"c\",\"b\":\"2\"},\"tasks\":[{\"connector\":\"c\",\"task\":0}],\"type\":\"source\"}");
    expect("GET", "/connectors/c/status", NULL, 200,
           "{\"name\":\"c\",\"connector\":" STATE("RUNNING") ",\"tasks\":[" TASK("RUNNING") "],\"type\":\"source\"}");
    expect("GET", "/connectors/c/tasks", NULL, 200,
           "[{\"id\":{\"connector\":\"c\",\"task\":0},\"config\":{" CLASS
           ",\"name\":\"c\",\"b\":\"2\",\"task.class\":\"test.FakeTask\"}}]");
    expect("GET", "/connectors/c/tasks-config", NULL, 200,
           "{\"c-0\":{" CLASS ",\"name\":\"c\",\"b\":\"2\",\"task.class\":\"test.FakeTask\"}}");
    expect("GET", "/connectors/c/tasks/0/status", NULL, 200, TASK("RUNNING"));
    expect("GET", "/connectors/c/tasks/9/status", NULL, 404, ERROR(404, "No status found for task c-9"));
    expect("GET", "/connectors?expand=info&expand=status", NULL, 200,
           "{\"c\":{\"info\":{\"name\":\"c\",\"config\":{" CLASS
           ",\"name\":\"c\",\"b\":\"2\"},\"tasks\":[{\"connector\":\"c\",\"task\":0}],"
           "\"type\":\"source\"},\"status\":{\"name\":\"c\",\"connector\":" STATE("RUNNING") ",\"tasks\":[" TASK(
               "RUNNING") "],\"type\":\"source\"}}}");
    expect("GET", "/connectors?expand=bogus", NULL, 200, "{\"c\":{}}");
    expect("GET", "/connectors/c/topics", NULL, 200, "{\"c\":{\"topics\":[\"c.topic\"]}}");
    expect("PUT", "/connectors/c/topics/reset", NULL, 202, "");
    expect("GET", "/connectors/c/topics", NULL, 200, "{\"c\":{\"topics\":[]}}");
    expect("GET", "/connectors/c/offsets", NULL, 200,
           "{\"offsets\":[{\"partition\":{\"server\":\"c\"},\"offset\":{\"n\":3}}]}");
    expect("DELETE", "/connectors/c/offsets", NULL, 400,
           "~Connectors must be in the STOPPED state before their offsets can be modified.");
    expect("PATCH", "/connectors/c/offsets", "{\"offsets\":[{\"partition\":{},\"offset\":{}}]}", 400, "~STOPPED");

    expect("POST", "/connectors/c/restart", NULL, 204, "");
    expect("POST", "/connectors/c/restart?includeTasks=true", NULL, 202,
           "{\"name\":\"c\",\"connector\":" STATE("RESTARTING") ",\"tasks\":[" TASK(
               "RESTARTING") "],\"type\":\"source\"}");
    cr_assert(state_becomes(&f, "c", "RUNNING/RUNNING"));
    expect("POST", "/connectors/c/restart?includeTasks=true&onlyFailed=true", NULL, 202,
           "{\"name\":\"c\",\"connector\":" STATE("RUNNING") ",\"tasks\":[" TASK("RUNNING") "],\"type\":\"source\"}");
    expect("POST", "/connectors/c/tasks/0/restart", NULL, 204, "");
    cr_assert(state_becomes(&f, "c", "RUNNING/RUNNING"));
    expect("POST", "/connectors/c/tasks/9/restart", NULL, 404, ERROR(404, "Unknown task: c-9"));
    expect("PUT", "/connectors/c/pause%20", NULL, 202, "");
    cr_assert(state_becomes(&f, "c", "PAUSED/PAUSED"));
    expect("PUT", "/connectors/c/resume", NULL, 202, "~Content-Length: 0");
    cr_assert(state_becomes(&f, "c", "RUNNING/RUNNING"));
    expect("PUT", "/connectors/c/stop", NULL, 204, "");
    cr_assert(state_becomes(&f, "c", "STOPPED/-"));
    expect("GET", "/connectors/c/tasks", NULL, 200, "[]");
    expect("GET", "/connectors/c/status", NULL, 200,
           "{\"name\":\"c\",\"connector\":" STATE("STOPPED") ",\"tasks\":[],\"type\":\"source\"}");
    expect("PATCH", "/connectors/c/offsets", "{}", 400,
           ERROR(400, "Partitions / offsets need to be provided for an alter offsets request"));
    expect(
        "PATCH", "/connectors/c/offsets", "{\"offsets\":[{\"partition\":{\"server\":\"d\"},\"offset\":{\"n\":77}}]}",
        400,
        ERROR(400,
              "Offsets of one partition are expected, the one that the connector reads: {\\\"server\\\":\\\"c\\\"}"));
    expect("PATCH", "/connectors/c/offsets", "{\"offsets\":[{\"partition\":{\"server\":\"c\"},\"offset\":{\"x\":1}}]}",
           400, ERROR(400, "The offsets of connector c could not be altered: n must be a number"));
    expect("PATCH", "/connectors/c/offsets", "{\"offsets\":[{\"partition\":{\"server\":\"c\"},\"offset\":5}]}", 400,
           "~object, or null");
    expect("PATCH", "/connectors/c/offsets", "{\"offsets\":[{\"partition\":{\"server\":\"c\"},\"offset\":{\"n\":77}}]}",
           200, "~altered successfully");
    expect("GET", "/connectors/c/offsets", NULL, 200,
           "{\"offsets\":[{\"partition\":{\"server\":\"c\"},\"offset\":{\"n\":77}}]}");
    expect("PATCH", "/connectors/c/offsets", "{\"offsets\":[{\"partition\":{\"server\":\"c\"},\"offset\":{\"n\":5}}]}",
           200,
           "{\"message\":\"The Connect framework-managed offsets for this connector have been altered successfully. "
           "However, if this "
           "connector manages offsets externally, they will need to be manually altered in the system that the "
           "connector uses.\"}");
    expect("PATCH", "/connectors/c/offsets", "{\"offsets\":[{\"partition\":{\"server\":\"c\"},\"offset\":null}]}", 200,
           "~altered successfully");
    expect("GET", "/connectors/c/offsets", NULL, 200, "{\"offsets\":[]}");
    expect("DELETE", "/connectors/c/offsets", NULL, 200, "~reset successfully");
    expect("DELETE", "/connectors/c", NULL, 204, "");
    expect("GET", "/connectors", NULL, 200, "[]");
    fixture_stop(&f);
}

Test(rest, what_is_not_there)
{
    static const struct {
        const char *method, *path, *text;
    } cases[] = {
        {"GET", "/connectors/x", "Connector x not found"},
        {"GET", "/connectors/x/config", "Connector x not found"},
        {"PATCH", "/connectors/x/config", "Connector x not found"},
        {"GET", "/connectors/x/status", "No status found for connector x"},
        {"GET", "/connectors/x/tasks", "Connector x not found"},
        {"GET", "/connectors/x/tasks-config", "Connector x not found"},
        {"GET", "/connectors/x/tasks/0/status", "No status found for task x-0"},
        {"POST", "/connectors/x/tasks/0/restart", "Unknown connector: x"},
        {"POST", "/connectors/x/restart", "Unknown connector: x"},
        {"POST", "/connectors/x/restart?includeTasks=true", "Unknown connector: x"},
        {"PUT", "/connectors/x/pause", "Unknown connector x"},
        {"PUT", "/connectors/x/resume", "Unknown connector x"},
        {"PUT", "/connectors/x/stop", "Unknown connector x"},
        {"GET", "/connectors/x/offsets", "Connector x not found"},
        {"DELETE", "/connectors/x/offsets", "Connector x not found"},
        {"DELETE", "/connectors/x", "Connector x not found"},
        {"GET", "/connector-plugins/x/config", "Unknown plugin x."},
        {"GET", "/admin/loggers/x", "Logger x not found."},
        {"GET", "/nowhere", "HTTP 404 Not Found"},
    };
    fixture_start(&f);
    for (size_t i = 0; i < countof(cases); i++) {
        char *answer = xasprintf(ERROR(404, "%s"), cases[i].text);
        expect(cases[i].method, cases[i].path, strcmp(cases[i].method, "PATCH") == 0 ? "{\"a\":\"b\"}" : NULL, 404,
               answer);
        free(answer);
    }
    expect("GET", "/connectors/x/topics", NULL, 200, "{\"x\":{\"topics\":[]}}");
    expect("PUT", "/connectors/x/topics/reset", NULL, 202, "");
    expect("PUT", "/connectors", "{}", 405, ERROR(405, "HTTP 405 Method Not Allowed"));
    fixture_stop(&f);
}

#define INVALID(count, lines)                                                                                          \
    ERROR(400, "Connector configuration is invalid and contains the following " #count " error(s):\\n" lines           \
               "\\nYou can also find the above list of errors at the endpoint "                                        \
               "`/connector-plugins/{connectorType}/config/validate`")

Test(rest, bad_requests_change_nothing)
{
    static const struct {
        const char *body, *answer;
        int status;
    } cases[] = {
        {"", "~no body", 400},
        {"{\"name\":\"c\",", "~not valid JSON", 400},
        {"[]", "~name and config", 400},
        {"\"x\"", "~name and config", 400},
        {"{\"name\":\"c\"}", "~name and config", 400},
        {"{\"name\":3,\"config\":{}}", "~name and config", 400},
        {"{\"name\":\"c\",\"config\":[]}", "~name and config", 400},
        {"{\"name\":\"c\",\"config\":{" CLASS "},\"extra\":1}", "~Unrecognized field \\\"extra\\\"", 400},
        {"{\"name\":\"c\",\"config\":{" CLASS ",\"x\":{}}}", "~'x' is an object or an array", 400},
        {"{\"name\":\"c\",\"config\":{" CLASS "},\"initial_state\":\"LOUD\"}", "~initial_state", 400},
        {"{\"name\":\"c\",\"config\":{\"database.password\":\"secret\",\"a\":\"b\"}}",
         ERROR(400, "Connector config {database.password=****, a=b, name=c} contains no connector type"), 400},
        {"{\"name\":\"c\",\"config\":{\"connector.class\":\"no.such.Class\"}}",
         "~Failed to find any class that implements Connector and which name matches no.such.Class, available "
         "connectors are: ",
         400},
        {"{\"name\":\"n1\",\"config\":{" CLASS ",\"name\":\"n2\"}}",
         ERROR(400, "Connector name configuration (n2) doesn't match connector name in the URL (n1)"), 400},
        {"{\"config\":{" CLASS "}}", INVALID(1, "Invalid value  for configuration name: String may not be empty"), 400},
        {"{\"name\":\" \",\"config\":{" CLASS "}}",
         INVALID(1, "Invalid value  for configuration name: String may not be empty"), 400},
        {"{\"name\":\"a/b\",\"config\":{" CLASS "}}", "~slash", 400},
        {"{\"name\":\"a\\u0001b\",\"config\":{" CLASS "}}", "~control sequences", 400},
        {"{\"name\":\"c\",\"config\":{" CLASS ",\"fake.level\":\"MIDDLE\"}}",
         INVALID(1, "The 'fake.level' value is invalid: Value must be one of HIGH, LOW"), 400},
        {"{\"name\":\"c\",\"config\":{" CLASS ",\"fake.remote\":\"refuse\"}}",
         INVALID(1, "Error while validating connector config: refused"), 400},
    };
    fixture_start(&f);
    for (size_t i = 0; i < countof(cases); i++)
        expect("POST", "/connectors", cases[i].body, cases[i].status, cases[i].answer);
    expect("PUT", "/connectors/c/config", "{}", 400, "~contains no connector type");
    expect("PUT", "/connectors/c/config", "[]", 400, "~JSON object");
    expect("PUT", "/connectors/c/config", "{" CLASS ",\"name\":\"d\"}", 400,
           "~doesn't match connector name in the URL (c)");
    expect("GET", "/connectors", NULL, 200, "[]");
    cr_expect_eq(f.store.count, 0);
    cr_expect_eq(fake_starts(), 0);
    struct http_answer a = http_call(f.port, "POST", "/connectors", HTTP_HOST "Content-Type: text/plain\r\n", "{}");
    cr_expect_eq(a.status, 415);
    cr_expect_str_eq(a.body, ERROR(415, "HTTP 415 Unsupported Media Type"));
    free(a.text);
    fixture_stop(&f);
}

Test(rest, created_by_put_with_an_initial_state_or_by_alias)
{
    fixture_start(&f);
    struct http_answer a = http_call(f.port, "PUT", "/connectors/a%20b/config", "Host: localhost:99\r\n",
                                     "{\"connector.class\":\"FakeConnector\"}");
    cr_expect_eq(a.status, 201, "%s", a.text);
    cr_expect(strstr(a.text, "Location: http://localhost:99/connectors/a%20b\r\n"), "%s", a.text);
    cr_expect_str_eq(a.body, "{\"name\":\"a b\",\"config\":{\"connector.class\":\"FakeConnector\",\"name\":\"a "
                             "b\"},\"tasks\":[],\"type\":\"source\"}");
    free(a.text);
    cr_expect(state_becomes(&f, "a b", "RUNNING/RUNNING"));
    expect("GET", "/connectors/a%20b/tasks/0/status", NULL, 200, TASK("RUNNING"));
    expect("POST", "/connectors",
           "{\"name\":\"p\",\"config\":{\"connector.class\":\"Fake\"},\"initial_state\":\"PAUSED\"}", 201, NULL);
    expect("POST", "/connectors", "{\"name\":\"s\",\"config\":{" CLASS "},\"initial_state\":\"stopped\"}", 201, NULL);
    cr_expect(state_becomes(&f, "p", "PAUSED/PAUSED"));
    cr_expect(state_becomes(&f, "s", "STOPPED/-"));
    /* a connector says its own version */
    expect("PUT", "/connectors/s/config", "{" CLASS ",\"fake.version\":\"9\"}", 200, NULL);
    expect("GET", "/connectors/s/status", NULL, 200,
           "{\"name\":\"s\",\"connector\":{\"state\":\"STOPPED\",\"worker_id\":\"test:8083\",\"version\":\"9\"},"
           "\"tasks\":[],\"type\":\"source\"}");
    fixture_stop(&f);
}

Test(rest, plugins_and_validation)
{
    fixture_start(&f);
    expect("GET", "/connector-plugins", NULL, 200,
           "[{\"class\":\"test.FakeConnector\",\"type\":\"source\",\"version\":\"1.2.3\"}]");
    expect("GET", "/connector-plugins?connectorsOnly=false", NULL, 200,
           "[{\"class\":\"test.FakeConnector\",\"type\":\"source\",\"version\":\"1.2.3\"},"
           "{\"class\":\"test.Header\",\"type\":\"header_converter\",\"version\":\"7\"}]");
    expect(
        "GET", "/connector-plugins/test.Header/config", NULL, 200,
        "[{\"name\":\"fake.depth\",\"type\":\"INT\",\"required\":false,\"default_value\":\"3\",\"importance\":\"LOW\","
        "\"documentation\":\"A "
        "depth.\",\"group\":null,\"width\":\"NONE\",\"display_name\":\"fake.depth\",\"dependents\":[],"
        "\"order\":-1}]");
    expect(
        "GET", "/connector-plugins/FakeConnector/config", NULL, 200,
        "~{\"name\":\"name\",\"type\":\"STRING\",\"required\":true,\"default_value\":null,\"importance\":\"HIGH\","
        "\"documentation\":\"Name.\","
        "\"group\":\"Common\",\"width\":\"MEDIUM\",\"display_name\":\"Connector name\",\"dependents\":[],\"order\":1}");
    expect("PUT", "/connector-plugins/FakeConnector/config/validate",
           "{" CLASS ",\"name\":\"c\",\"fake.level\":\"MIDDLE\",\"fake.secret\":\"x\"}", 200,
           "{\"name\":\"test.FakeConnector\",\"error_count\":1,\"groups\":[\"Common\",\"Fake\"],\"configs\":["
           "{\"definition\":{\"name\":\"name\",\"type\":\"STRING\",\"required\":true,\"default_value\":null,"
           "\"importance\":\"HIGH\","
           "\"documentation\":\"Name.\",\"group\":\"Common\",\"width\":\"MEDIUM\",\"display_name\":\"Connector "
           "name\",\"dependents\":[],\"order\":1},"
           "\"value\":{\"name\":\"name\",\"value\":\"c\",\"recommended_values\":[],\"errors\":[],\"visible\":true}},"
           "{\"definition\":{\"name\":\"fake.level\",\"type\":\"STRING\",\"required\":false,\"default_value\":\"HIGH\","
           "\"importance\":\"LOW\","
           "\"documentation\":\"A "
           "level.\",\"group\":\"Fake\",\"width\":\"SHORT\",\"display_name\":\"Level\",\"dependents\":[],\"order\":1},"
           "\"value\":{\"name\":\"fake.level\",\"value\":\"MIDDLE\",\"recommended_values\":[\"HIGH\",\"LOW\"],"
           "\"errors\":[\"The 'fake.level' value is invalid: Value must be one of HIGH, LOW\"],\"visible\":true}},"
           "{\"definition\":{\"name\":\"fake.secret\",\"type\":\"PASSWORD\",\"required\":false,\"default_value\":null,"
           "\"importance\":\"LOW\","
           "\"documentation\":\"A "
           "secret.\",\"group\":\"Fake\",\"width\":\"SHORT\",\"display_name\":\"fake.secret\",\"dependents\":[],"
           "\"order\":2},"
           "\"value\":{\"name\":\"fake.secret\",\"value\":\"[hidden]\",\"recommended_values\":[],\"errors\":[],"
           "\"visible\":true}}]}");
    /* a problem with a name that has no definition is shown, too */
    expect("PUT", "/connector-plugins/test.FakeConnector/config/validate",
           "{" CLASS ",\"name\":\"c\",\"fake.remote\":\"refuse\"}", 200,
           "~{\"definition\":null,\"value\":{\"name\":\"fake.remote\",\"value\":\"refuse\",\"recommended_values\":[],"
           "\"errors\":[\"Error while validating connector config: refused\"],\"visible\":true}}");
    expect("PUT", "/connector-plugins/Other/config/validate", "{" CLASS "}", 400,
           ERROR(400, "Included connector type test.FakeConnector does not match request type Other"));
    expect("PUT", "/connector-plugins/FakeConnector/config/validate", "{\"a\":\"b\"}", 400,
           "~contains no connector type");
    fixture_stop(&f);
}

Test(rest, loggers)
{
    fixture_start(&f);
    log_level_max = LOG_INFO;
    expect("GET", "/admin/loggers", NULL, 200, "{\"root\":{\"level\":\"INFO\",\"last_modified\":null}}");
    expect("PUT", "/admin/loggers/io.debezium", "{\"level\":\"DEBUG\"}", 200, "[\"io.debezium\"]");
    cr_expect_eq(log_level_max, LOG_DEBUG);
    expect("GET", "/admin/loggers/io.debezium", NULL, 200, "~{\"level\":\"DEBUG\",\"last_modified\":1");
    expect("PUT", "/admin/loggers/io.debezium", "{\"level\":\"ERROR\"}", 200, "[\"io.debezium\"]");
    cr_expect_eq(log_level_max, LOG_INFO);
    expect("PUT", "/admin/loggers/root?scope=cluster", "{\"level\":\"warn\"}", 204, "");
    cr_expect_eq(log_level_max, LOG_WARN);
    expect("PUT", "/admin/loggers/root", "{\"level\":\"LOUD\"}", 404, ERROR(404, "invalid log level 'LOUD'."));
    expect("PUT", "/admin/loggers/root", "{}", 400, "~'level'");
    for (int i = 0; i < LOGGERS_MAX - 2; i++) { /* root and io.debezium are there */
        char path[64], answer[64];
        snprintf(path, sizeof path, "/admin/loggers/made.up.%d", i);
        snprintf(answer, sizeof answer, "[\"made.up.%d\"]", i);
        expect("PUT", path, "{\"level\":\"WARN\"}", 200, answer);
    }
    expect("PUT", "/admin/loggers/one.more", "{\"level\":\"WARN\"}", 400, "~1000 loggers have a level");
    expect("PUT", "/admin/loggers/made.up.7", "{\"level\":\"INFO\"}", 200, "[\"made.up.7\"]");
    char path[LOGGER_NAME_MAX + 64] = "/admin/loggers/";
    memset(path + strlen(path), 'x', LOGGER_NAME_MAX + 1);
    expect("PUT", path, "{\"level\":\"WARN\"}", 400, "~too long");
    fixture_stop(&f);
}

static void *hanging_post(void *arg)
{
    struct http_answer a = http_call(f.port, "POST", "/connectors", HTTP_JSON,
                                     "{\"name\":\"slow\",\"config\":{" CLASS ",\"fake.remote\":\"hang\"}}");
    int status = a.status;

    free(a.text);
    return (void *)(intptr_t)status;
}

Test(rest, a_database_that_does_not_answer_blocks_nobody_else)
{
    pthread_t threads[5];
    void *status;
    int created = 0, conflicts = 0;

    fixture_start(&f);
    for (int i = 0; i < 5; i++) pthread_create(&threads[i], NULL, hanging_post, NULL);
    cr_assert(WAIT_UNTIL(fake_hanging() == 5));
    expect("GET", "/connectors", NULL, 200, "[]");
    expect("POST", "/connectors", "{\"name\":\"c\",\"config\":{" CLASS "}}", 201, NULL);
    cr_expect(state_becomes(&f, "c", "RUNNING/RUNNING"));
    expect("PUT", "/connectors/c/pause", NULL, 202, "");
    expect("DELETE", "/connectors/c", NULL, 204, "");
    fake_release();
    for (int i = 0; i < 5; i++) {
        pthread_join(threads[i], &status);
        created += (intptr_t)status == 201;
        conflicts += (intptr_t)status == 409;
    }
    cr_expect_eq(created, 1, "only one of them makes it");
    cr_expect_eq(conflicts, 4);
    fixture_stop(&f);
}
