/* tools/ottla/client_main.c: the program ottla-client: which subcommand, and what they share. */
#include "tools/ottla/client.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BOOTSTRAP_DEFAULT "127.0.0.1:9092"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"topics", client_topics, "list, describe, create and delete topics"},
    {"produce", client_produce, "send lines of standard input as records"},
    {"consume", client_consume, "print the records of topics"},
    {"groups", client_groups, "list, describe, reset and delete consumer groups"},
    {"connectors", client_connectors, "list, create, watch and control connectors"},
};

volatile bool client_stopped;

static void stop(int signal_number)
{
    client_stopped = true;
}

void client_catch_signals(void)
{
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGPIPE, &action, NULL);
}

static void fail_print(const struct client *c, const char *format, va_list args)
{
    fflush(stdout);
    fprintf(stderr, "ottla %s: ", c->name);
    vfprintf(stderr, format, args);
    putc('\n', stderr);
}

void client_fail(const struct client *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail_print(c, format, args);
    va_end(args);
    exit(1);
}

void client_fail_usage(const struct client *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail_print(c, format, args);
    va_end(args);
    fprintf(stderr, "Try: ottla %s --help\n", c->name);
    exit(2);
}

/* librdkafka would write its troubles to standard error as they come; the command says in the end what failed. */
static void log_nothing(const rd_kafka_t *rk, int level, const char *facility, const char *text) {}

static char broker_refuses[300]; /* why, once no broker can be connected to */

static void take_error(rd_kafka_t *rk, int error, const char *reason, void *opaque)
{
    static char last[sizeof broker_refuses];
    if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        snprintf(broker_refuses, sizeof broker_refuses, "%s", last[0] ? last : reason);
    else snprintf(last, sizeof last, "%s", reason);
}

struct client client_new(const char *name)
{
    const char *bootstrap = getenv("OTTLA_BOOTSTRAP");
    struct client c = {.name = name,
                       .bootstrap = bootstrap && *bootstrap ? bootstrap : BOOTSTRAP_DEFAULT,
                       .conf = rd_kafka_conf_new()};
    client_set(&c, "client.id", "ottla");
    return c;
}

void client_set(struct client *c, const char *property, const char *value)
{
    char text[300];
    if (rd_kafka_conf_set(c->conf, property, value, text, sizeof text) != RD_KAFKA_CONF_OK)
        client_fail_usage(c, "%s", text);
}

void client_option(struct client *c, int option, const char *usage)
{
    switch (option) {
    case 'b': c->bootstrap = optarg; return;
    case 'X': {
        char *value = client_split(optarg);
        if (!value) client_fail_usage(c, "-X takes NAME=VALUE, not \"%s\"", optarg);
        client_set(c, optarg, value);
        return;
    }
    case 'v': c->verbose = true; return;
    case 'h': fputs(usage, stdout); exit(0);
    default: fprintf(stderr, "Try: ottla %s --help\n", c->name); exit(2);
    }
}

rd_kafka_t *client_open(struct client *c, rd_kafka_type_t type)
{
    char text[300];
    client_set(c, "bootstrap.servers", c->bootstrap);
    if (!c->verbose) rd_kafka_conf_set_log_cb(c->conf, log_nothing);
    rd_kafka_conf_set_error_cb(c->conf, take_error);
    rd_kafka_t *rk = rd_kafka_new(type, c->conf, text, sizeof text);
    if (!rk) client_fail(c, "%s", text);
    c->conf = NULL; /* rk owns it */
    return rk;
}

/* Asked in short steps: a refused connection is known at once, and not worth waiting for. */
const struct rd_kafka_metadata *client_metadata(struct client *c, rd_kafka_t *rk, const char *topic)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *rkt = topic ? rd_kafka_topic_new(rk, topic, NULL) : NULL;
    rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR__TIMED_OUT;
    for (int waited_ms = 0; waited_ms < CLIENT_TIMEOUT_MS; waited_ms += CLIENT_STEP_MS) {
        error = rd_kafka_metadata(rk, rkt == NULL, rkt, &metadata, CLIENT_STEP_MS);
        if (error != RD_KAFKA_RESP_ERR__TRANSPORT && error != RD_KAFKA_RESP_ERR__TIMED_OUT) break;
        rd_kafka_poll(rk, 0);
        if (broker_refuses[0]) client_fail(c, "no broker at %s: %s", c->bootstrap, broker_refuses);
    }
    if (rkt) rd_kafka_topic_destroy(rkt);
    if (error == RD_KAFKA_RESP_ERR__TRANSPORT || error == RD_KAFKA_RESP_ERR__TIMED_OUT)
        client_fail(c, "no broker answers at %s; is it running? (-v shows more)", c->bootstrap);
    if (error) client_fail(c, "%s", rd_kafka_err2str(error));
    return metadata;
}

char *client_split(char *pair)
{
    char *equals = strchr(pair, '=');
    if (!equals || equals == pair) return NULL;
    *equals = '\0';
    return equals + 1;
}

int64_t client_number(const struct client *c, const char *text, const char *what, int64_t min, int64_t max)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < min || value > max)
        client_fail_usage(c, "%s must be a number from %lld to %lld, not \"%s\"", what, (long long)min, (long long)max,
                          text);
    return value;
}

rd_kafka_event_t *client_admin_wait(struct client *c, rd_kafka_queue_t *queue, const char *what)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 2 * CLIENT_TIMEOUT_MS);
    if (!event) client_fail(c, "%s: no answer from %s", what, c->bootstrap);
    if (rd_kafka_event_error(event)) client_fail(c, "%s: %s", what, rd_kafka_event_error_string(event));
    return event;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        for (size_t i = 0; i < countof(commands); i++)
            if (strcmp(argv[1], commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
    FILE *out = argc > 1 && strcmp(argv[1], "--help") == 0 ? stdout : stderr;
    fputs("usage: ottla COMMAND [options], with --help for each:\n", out);
    for (size_t i = 0; i < countof(commands); i++) fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].help);
    return out == stdout ? 0 : 2;
}
