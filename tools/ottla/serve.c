/* tools/ottla/serve.c: `ottla serve`: composes the rooms, says when it is ready, waits for a signal, takes all down.
 *
 * Order: options; listeners bound (an address in use is known before any file is touched); data directory, metadata,
 * logs; recovery of CDC; Connect's topics; clients are let in; connectors run. Down in reverse.
 * Threads: the main thread only waits; every other thread blocks all signals. */
#include "tools/ottla/serve.h"

#include "base/log.h"
#include "broker/broker.h"
#include "cdc/connector.h"
#include "connect/connect.h"
#include "storage/log_dir.h"
#include "tools/ottla/metrics.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#define MALLOC_ARENAS 4 /* more would keep more freed memory for nothing: threads share little */

static void usage(FILE *out)
{
    fprintf(out, "usage: ottla serve [FILE.properties] [--override NAME=VALUE]... [--log-level error|warn|info|debug]\n"
                 "\n"
                 "Starts the broker. Without a file: Kafka clients on 127.0.0.1:9092, Connect's REST interface on\n"
                 "127.0.0.1:8083, data in ./ottla-data. When it is ready it prints one line:\n"
                 "  ready kafka=HOST:PORT connect=HOST:PORT data=DIR\n"
                 "\n"
                 "  --override NAME=VALUE  sets one option, after the file\n"
                 "  --log-level LEVEL      what is logged on standard error (default info)\n"
                 "  --list-options         every option with its meaning\n"
                 "  --list-apis            the Kafka APIs and versions that are served\n");
}

static int complain(const struct err *err)
{
    fprintf(stderr, "ottla: %s\n", err->text);
    return 1;
}

/* -- options -- */

static int set_override(struct broker_config *config, const char *text, struct err *err)
{
    const char *equals = strchr(text, '=');

    if (!equals || equals == text) return err_set(err, -EINVAL, "--override %s: must be NAME=VALUE", text);
    AUTO_FREE char *name = strndup(text, (size_t)(equals - text));
    return broker_config_set(config, name, equals + 1, err);
}

#define GO_ON (-1)

/* Returns GO_ON, or the exit status. The file is read before the overrides, wherever they stand. */
static int parse_arguments(int argc, char **argv, struct broker_config *config)
{
    AUTO_FREE const char **overrides = xcalloc((size_t)argc, sizeof *overrides);
    const char *file = NULL;
    int overrides_count = 0;
    struct err err = ERR_NONE;

    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        bool takes_value = strcmp(a, "--override") == 0 || strcmp(a, "--log-level") == 0;

        if (takes_value && i + 1 == argc) {
            fprintf(stderr, "ottla: %s needs a value\n", a);
            return 2;
        }
        if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0) return usage(stdout), 0;
        if (strcmp(a, "--list-options") == 0) return list_options(stdout), 0;
        if (strcmp(a, "--list-apis") == 0) return list_apis(stdout), 0;
        if (strcmp(a, "--override") == 0) {
            overrides[overrides_count++] = argv[++i];
        } else if (strcmp(a, "--log-level") == 0) {
            if (!log_level_parse(argv[++i], &log_level_max)) {
                fprintf(stderr, "ottla: --log-level %s: must be error, warn, info or debug\n", argv[i]);
                return 2;
            }
        } else if (a[0] == '-' || file) {
            fprintf(stderr, "ottla: serve: %s is not understood\n", a);
            usage(stderr);
            return 2;
        } else {
            file = a;
        }
    }
    if (file && broker_config_read(config, file, &err) < 0) return complain(&err);
    for (int i = 0; i < overrides_count; i++)
        if (set_override(config, overrides[i], &err) < 0) return complain(&err);
    return GO_ON;
}

/* -- the system -- */

/* systemd's readiness protocol: one datagram. */
static void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};

    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof to.sun_path) return;
    memcpy(to.sun_path, path, strlen(path));
    if (path[0] == '@') to.sun_path[0] = '\0'; /* the abstract namespace */
    AUTO_FD int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to, size) < 0)
        log_warn("serve", "the service manager cannot be told state=%s error=%m", state);
}

/* A descriptor per connection and per open segment. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* Blocked here, so that every thread inherits it; taken by wait_for_signal(). */
static sigset_t block_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return set;
}

static void wait_for_signal(const sigset_t *set)
{
    int number;

    while (sigwait(set, &number) != 0 || number == SIGHUP) continue; /* there is no configuration to read again */
    log_info("serve", "stopping signal=%s", number == SIGTERM ? "SIGTERM" : "SIGINT");
}

/* -- the rooms -- */

/* One line for programs that wait for it, then one for people. */
static void say_ready(struct broker *b, struct connect *c, const struct metrics_endpoint *m)
{
    const struct broker_config *config = broker_config(b);
    const char *rest = *connect_address(c) ? connect_address(c) : "-";

    printf("ready kafka=%s connect=%s data=%s\n", broker_address(b), rest, log_dir_path(broker_log_dir(b)));
    fflush(stdout);
    notify("READY=1");
    log_info("serve", "ready version=%s kafka=%s metrics=%s cluster=%s durability=%s flush_ms=%lld", OTTLA_VERSION,
             broker_address(b), metrics_address(m), broker_cluster_id(b), config->ottla_durability,
             (long long)config->log_flush_interval_ms);
}

static int run(struct broker_config *config, const sigset_t *signals)
{
    struct metrics_endpoint metrics = {0};
    struct connect *connect = NULL;
    struct broker *broker = NULL;
    struct cdc *cdc;
    struct err err = ERR_NONE;
    int status = 0;

    if (connect_open(config, &connect, &err) < 0) {
        broker_config_free(config);
        return complain(&err);
    }
    if (metrics_open(&metrics, config, &err) < 0) {
        connect_close(connect);
        broker_config_free(config);
        return complain(&err);
    }
    if (broker_open(config, &broker, &err) < 0) {
        metrics_stop(&metrics);
        connect_close(connect);
        return complain(&err);
    }
    cdc = cdc_open(broker);
    if (connect_start(connect, broker, cdc, &err) < 0 || metrics_run(&metrics, broker, &err) < 0 ||
        broker_serve(broker, &err) < 0) {
        status = complain(&err);
    } else {
        connect_run(connect);
        say_ready(broker, connect, &metrics);
        wait_for_signal(signals);
        notify("STOPPING=1");
    }
    metrics_stop(&metrics);
    connect_stop(connect);
    broker_stop(broker);
    cdc_close(cdc);
    broker_close(broker);
    connect_close(connect);
    return status;
}

int serve_main(int argc, char **argv)
{
    struct broker_config *config = broker_config_new();
    int status = parse_arguments(argc, argv, config);

    if (status != GO_ON) {
        broker_config_free(config);
        return status;
    }
    mallopt(M_ARENA_MAX, MALLOC_ARENAS);
    raise_file_limit();
    sigset_t signals = block_signals();
    return run(config, &signals);
}
