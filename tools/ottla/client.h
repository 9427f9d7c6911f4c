/* tools/ottla/client.h: `ottla topics|produce|consume|groups|connectors`: clients for people without Kafka's tools.
 *
 * They are a program of their own, ottla-client, on librdkafka and libcurl, which the broker shall not load; `ottla`
 * starts it for these subcommands (client_exec.c). They speak to any Kafka broker and any Kafka Connect. Every command
 * ends the process itself when it fails, with one line on standard error: these are short-lived tools. Exit status: 0;
 * 1: it did not work; 2: wrong usage. */
#ifndef OTTLA_CLIENT_H
#define OTTLA_CLIENT_H

#include "base/base.h"

#include <librdkafka/rdkafka.h>

#define CLIENT_TIMEOUT_MS 10000 /* of one request to the broker */
#define CLIENT_STEP_MS    500   /* between looks at what went wrong meanwhile */

/* A subcommand's settings of librdkafka, filled from options and environment. */
struct client {
    const char *name; /* "topics" */
    const char *bootstrap;
    rd_kafka_conf_t *conf;
    bool verbose;
};

/* Options that all commands on Kafka have. */
#define CLIENT_OPTIONS_SHORT "b:X:vh"
#define CLIENT_OPTIONS_LONG                                                                                            \
    {"bootstrap-server", required_argument, NULL, 'b'}, {"property", required_argument, NULL, 'X'},                    \
        {"verbose", no_argument, NULL, 'v'},                                                                           \
    {                                                                                                                  \
        "help", no_argument, NULL, 'h'                                                                                 \
    }
#define CLIENT_OPTIONS_HELP                                                                                            \
    "  -b, --bootstrap-server=HOST:PORT   default: $OTTLA_BOOTSTRAP, else 127.0.0.1:9092\n"                            \
    "  -X, --property=NAME=VALUE          a property of librdkafka (security.protocol, sasl.username, ...)\n"          \
    "  -v, --verbose                      print librdkafka's log lines\n"                                              \
    "  -h, --help\n"

/* Settings before options are read. */
struct client client_new(const char *name);
/* Takes one of CLIENT_OPTIONS; prints usage and ends the process for -h and for what is unknown. */
void client_option(struct client *c, int option, const char *usage);
void client_set(struct client *c, const char *property, const char *value);
/* Opens a handle; nothing is connected yet. */
rd_kafka_t *client_open(struct client *c, rd_kafka_type_t type);
/* Metadata of all topics, or of one. Ends the process when no broker answers. The caller destroys it. */
const struct rd_kafka_metadata *client_metadata(struct client *c, rd_kafka_t *rk, const char *topic);

/* "ottla NAME: text", and exit status 1; with _usage 2. */
NORETURN void client_fail(const struct client *c, const char *format, ...) PRINTF_LIKE(2, 3);
NORETURN void client_fail_usage(const struct client *c, const char *format, ...) PRINTF_LIKE(2, 3);

/* Set by SIGINT, SIGTERM and SIGPIPE after client_catch_signals(). */
extern volatile bool client_stopped;
void client_catch_signals(void);

/* Splits "name=value" at its first '='; NULL: there is none. Returns the value. */
char *client_split(char *pair);
/* A whole decimal number; ends the process with what it is for otherwise. */
int64_t client_number(const struct client *c, const char *text, const char *what, int64_t min, int64_t max);

/* Sends one admin request and waits: the event of the wanted type, whose error has been looked at. */
rd_kafka_event_t *client_admin_wait(struct client *c, rd_kafka_queue_t *queue, const char *what);

/* Called by client_main.c. argv[0] is the subcommand. */
int client_topics(int argc, char **argv);
int client_produce(int argc, char **argv);
int client_consume(int argc, char **argv);
int client_groups(int argc, char **argv);
int client_connectors(int argc, char **argv);

#endif
