/* cdc/connector.c: the life of connectors: the room's object, threads, wishes, failures, retries. Diagram: connector.h.
 *
 * A caller only changes the wish and rings; every transition is made by connector_main() on the connector's thread. */
#include "cdc/connector_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/uuid.h"
#include "broker/broker.h"
#include "cdc/failpoint.h"
#include "cdc/former_config.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>

#define RETRY_MS_FIRST 100
#define RETRY_MS_MAX   10000
#define HOLD_TICK_MS   250

int64_t connector_now_us(void)
{
    return clock_system.mono_us(&clock_system);
}

/* -- the room -- */

struct cdc *cdc_open(struct broker *broker)
{
    struct cdc *cdc = xcalloc(1, sizeof *cdc);

    failpoint_init();
    cdc->broker = broker;
    pthread_mutex_init(&cdc->lock, NULL);
    cdc->store = journal_store_open(broker);
    return cdc;
}

void cdc_close(struct cdc *cdc)
{
    if (!cdc) return;
    while (cdc->connectors) cdc_connector_stop(cdc->connectors);
    journal_store_close(cdc->store);
    pthread_mutex_destroy(&cdc->lock);
    free(cdc);
}

/* -- waiting -- */

void connector_bell_read(struct cdc_connector *c)
{
    uint64_t ignored;
    if (read(c->wish_fd, &ignored, sizeof ignored) < 0) { /* nothing was there */
    }
}

static void tell(struct cdc_connector *c, enum cdc_state state, const char *trace)
{
    if (c->callbacks.on_state) c->callbacks.on_state(c->callbacks.arg, state, trace);
}

static int database_hung_up(struct pg_error *err)
{
    *err = (struct pg_error){.retriable = true};
    snprintf(err->text, sizeof err->text, "the database hung up while the connector was paused");
    return -ECONNRESET;
}

int connector_hold(struct cdc_connector *c, struct pg_error *err)
{
    int r = 0;

    tell(c, CDC_PAUSED, NULL);
    c->holding = true;
    while (r == 0 && atomic_load(&c->wish) == WISH_PAUSE) {
        /* What the stream's socket holds stays there, so that only its end is looked for. A server that shuts down waits for the
         * stream to be read, but ends the ordinary connection at once: then it must not wait for us. */
        struct pollfd fds[] = {{.fd = c->wish_fd, .events = POLLIN},
                               {.fd = c->stored->io->wake_fd, .events = POLLIN},
                               {.fd = c->stream ? pg_conn_socket(c->stream) : -1, .events = POLLRDHUP},
                               {.fd = c->catalog ? pg_conn_socket(c->catalog) : -1, .events = POLLRDHUP}};
        if (poll(fds, countof(fds), HOLD_TICK_MS) < 0) continue;
        if (fds[0].revents) connector_bell_read(c);
        journal_io_deliver(c->stored->io);
        r = fds[2].revents || fds[3].revents ? database_hung_up(err) : session_hold_tick(c, err);
    }
    c->holding = false;
    if (r < 0) return r;
    if (atomic_load(&c->wish) != WISH_RUN) return -ECANCELED;
    tell(c, CDC_RUNNING, NULL);
    return 0;
}

/* pg_wait: also delivers what the sync threads answer; ends when the connector is not wanted any more. */
static int connector_wait(void *arg, int fd, short events, int timeout_ms)
{
    struct cdc_connector *c = arg;
    int64_t deadline_us = timeout_ms < 0 ? INT64_MAX : connector_now_us() + (int64_t)timeout_ms * 1000;

    for (;;) {
        struct pollfd fds[] = {{.fd = fd, .events = events},
                               {.fd = c->wish_fd, .events = POLLIN},
                               {.fd = c->stored ? c->stored->io->wake_fd : -1, .events = POLLIN}};
        int64_t left_us = deadline_us == INT64_MAX ? 0 : deadline_us - connector_now_us();
        int wish = atomic_load(&c->wish);
        if (wish == WISH_STOP || (wish == WISH_PAUSE && !c->stays)) return -ECANCELED;
        if (wish == WISH_PAUSE && !c->holding) {
            struct pg_error ignored;
            int r = connector_hold(c, &ignored);
            if (r < 0) return r;
        }
        int ready = poll(fds, countof(fds),
                         deadline_us == INT64_MAX ? -1
                         : left_us > 0            ? (int)((left_us + 999) / 1000)
                                                  : 0);
        if (ready < 0 && errno != EINTR) return -errno;
        if (ready > 0 && fds[1].revents) connector_bell_read(c);
        if (ready > 0 && fds[2].revents) journal_io_deliver(c->stored->io);
        if (ready > 0 && fds[0].revents) return 0;
        if (ready == 0) return -ETIMEDOUT;
    }
}

/* Sleeps; ends early when the wish changes. */
static void connector_sleep(struct cdc_connector *c, int timeout_ms)
{
    (void)connector_wait(c, -1, 0, timeout_ms);
}

/* Until the wish is another one than `wish`. */
static void await_other_wish(struct cdc_connector *c, enum connector_wish wish)
{
    while (atomic_load(&c->wish) == (int)wish) {
        struct pollfd fds[] = {{.fd = c->wish_fd, .events = POLLIN},
                               {.fd = c->stored ? c->stored->io->wake_fd : -1, .events = POLLIN}};
        if (poll(fds, countof(fds), -1) < 0) continue;
        if (fds[0].revents) connector_bell_read(c);
        if (fds[1].revents) journal_io_deliver(c->stored->io);
    }
}

/* -- the thread -- */

static void topic_used(void *arg, const char *topic)
{
    struct cdc_connector *c = arg;
    uint32_t i = 0;

    pthread_mutex_lock(&c->lock);
    while (i < c->topics_count && strcmp(c->topics[i], topic) != 0) i++;
    if (i == c->topics_count) {
        c->topics = xrealloc(c->topics, (c->topics_count + 1) * sizeof *c->topics);
        c->topics[c->topics_count++] = xstrdup(topic);
    }
    pthread_mutex_unlock(&c->lock);
}

int connector_catalog(struct cdc_connector *c, struct pg_conn **ret_conn, struct pg_error *err)
{
    struct pg_params params = connector_params(c->config, false);
    const char *statements = c->config->initial_statements;
    int r = 0;

    if (!c->catalog) {
        r = pg_conn_open(&params, &c->wait, &c->catalog, err);
        if (r == 0 && statements) r = pg_exec(c->catalog, statements, NULL, 0, 0, NULL, err);
    }
    if (r < 0) {
        pg_conn_close(c->catalog);
        c->catalog = NULL;
        return r;
    }
    *ret_conn = c->catalog;
    return 0;
}

static int ingest_catalog(void *arg, struct pg_conn **ret_conn, struct pg_error *err)
{
    return connector_catalog(arg, ret_conn, err);
}

/* UUID of version 7, as text: the run's id in record headers. */
static void run_id_make(char ret_text[37])
{
    struct uuid u = uuid_random();
    uint64_t ms = (uint64_t)clock_wall_ms(&clock_system);

    for (int i = 0; i < 6; i++) u.bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
    u.bytes[6] = (uint8_t)((u.bytes[6] & 0x0f) | 0x70);
    u.bytes[8] = (uint8_t)((u.bytes[8] & 0x3f) | 0x80);
    for (int i = 0, at = 0; i < 16; i++) {
        at += snprintf(ret_text + at, (size_t)(37 - at), "%02x", u.bytes[i]);
        if (i == 3 || i == 5 || i == 7 || i == 9) at += snprintf(ret_text + at, (size_t)(37 - at), "-");
    }
}

static enum compression_codec override_codec(const struct pg_connector_config *config)
{
    static const struct {
        const char *name;
        enum compression_codec codec;
    } codecs[] = {{"gzip", COMPRESSION_GZIP},
                  {"snappy", COMPRESSION_SNAPPY},
                  {"lz4", COMPRESSION_LZ4},
                  {"zstd", COMPRESSION_ZSTD}};
    const char *given = connector_config_get(config, "producer.override.compression.type");

    for (uint32_t i = 0; given && i < countof(codecs); i++)
        if (strcmp(given, codecs[i].name) == 0) return codecs[i].codec;
    return COMPRESSION_NONE;
}

/* producer.override.max.request.size: what Kafka's producer takes. */
static int override_request_max(const struct pg_connector_config *config, uint32_t *ret_max, struct err *err)
{
    const char *given = connector_config_get(config, "producer.override.max.request.size");
    char *end;

    *ret_max = JOURNAL_IO_REQUEST_MAX;
    if (!given) return 0;
    errno = 0;
    long long value = strtoll(given, &end, 10);
    if (errno || end == given || *end || value < 0 || value > INT32_MAX)
        return err_set(
            err, -EINVAL,
            "Invalid value %s for configuration max.request.size (producer.override.max.request.size): it must be a "
            "number of bytes from 0 to %d",
            given, INT32_MAX);
    *ret_max = (uint32_t)value;
    return 0;
}

/* Gives the io of a journal, which is another one after each recovery, what the posted configuration says of the producer: nothing
 * that a replay depends on. */
static int io_configure(struct cdc_connector *c, struct err *err)
{
    c->stored->io->codec = override_codec(c->posted);
    return override_request_max(c->posted, &c->stored->io->request_max, err);
}

/* A partition or the journal refuses what trying again will not change. */
static bool writing_failed(const struct cdc_connector *c)
{
    const struct journal_io_failure *f = &c->stored->io->failure;
    return f->code && !f->retriable;
}

/* Takes a configuration into force, with what works by it. */
static void connector_equip(struct cdc_connector *c, struct pg_connector_config *config)
{
    ingest_free(c->ingest);
    change_encoder_free(c->encoder);
    pthread_mutex_lock(&c->cdc->lock);
    c->config = config;
    pthread_mutex_unlock(&c->cdc->lock);
    c->encoder = change_encoder_new(config, c->run_id);
    c->ingest = ingest_new(&(struct ingest_env){.broker = c->cdc->broker,
                                                .config = config,
                                                .encoder = c->encoder,
                                                .catalog = ingest_catalog,
                                                .topic_used = topic_used,
                                                .arg = c},
                           c->stored);
}

/* The former configuration, so that it finishes its replay; the posted one when that is done. */
static int config_exchange(struct cdc_connector *c, struct pg_error *err)
{
    struct pg_connector_config *former = c->config;

    *err = (struct pg_error){0};
    if (former != c->posted) {
        connector_equip(c, c->posted);
        connector_config_free(former);
        log_info("cdc", "the new configuration is in force connector=%s", c->config->name);
        return 0;
    }
    if (former_config_find(c->stored->journal, c->posted, &former) < 0) {
        snprintf(
            err->text, sizeof err->text,
            "The configuration was changed while changes that were begun with the former one are still to be "
            "finished, and the former one is not known. Put the former configuration back (connection properties, "
            "credentials, timeouts and sizes may differ), let the connector run until it has caught up, then change "
            "it. Or stop the connector, delete its offsets (DELETE /connectors/%s/offsets) and resume it: it begins "
            "anew as its snapshot.mode says.",
            c->posted->name);
        return -EREMOTEIO;
    }
    log_info("cdc", "changes that were begun with the former configuration are finished with it first connector=%s",
             c->config->name);
    connector_equip(c, former);
    return 0;
}

/* A failed journal is recovered anew before the next session. */
static int journal_mend(struct cdc_connector *c, struct pg_error *err)
{
    struct err why = ERR_NONE;

    if (!journal_failed(c->stored->journal)) return 0;
    int r = journal_store_reload(c->cdc->store, c->stored, &why);
    *err = (struct pg_error){.retriable = r == -EIO && !writing_failed(c)};
    snprintf(err->text, sizeof err->text, "%s", why.text);
    (void)!io_configure(c, &why); /* it was checked at the start */
    ingest_set_stored(c->ingest, c->stored);
    return r;
}

static bool is_retriable(int r, const struct pg_error *err)
{
    return err->retriable || r == -ECONNRESET || r == -ETIMEDOUT || r == -EIO || r == -EAGAIN;
}

/* Sessions, one after another, until the wish changes or something happens that trying again cannot mend: then *ret_error. */
static int connector_run(struct cdc_connector *c, struct pg_error *ret_error)
{
    struct journal_position reached = journal_position(c->stored->journal);
    int delay_ms = RETRY_MS_FIRST;
    bool alone = false;

    ingest_set_alone(c->ingest, false);
    while (!connector_is_unwanted(c)) {
        int64_t began_us = connector_now_us();
        *ret_error = (struct pg_error){0};
        c->streamed = false;
        c->stored->io->failure.code = 0;
        int r = journal_mend(c, ret_error);
        if (r == 0) r = session_run(c, ret_error);
        session_end(c);
        if (r == -ECANCELED || connector_is_unwanted(c)) return 0;
        if (r == -ERESTART) {
            if ((r = config_exchange(c, ret_error)) < 0) return r;
            ingest_set_alone(c->ingest, alone);
            continue;
        }
        if (writing_failed(c)) {
            int code = c->stored->io->failure.code;
            if (alone || !c->streamed || (code != -EMSGSIZE && code != -EPERM)) return r;
            ingest_set_alone(c->ingest, alone = true); /* once more, to show the transactions before it */
            continue;
        }
        if (!is_retriable(r, ret_error)) return r;
        /* A session that came further than all before, or that lasted, ends a row of failures; to have begun is not enough. */
        struct journal_position at = journal_position(c->stored->journal);
        if (journal_position_compare(at, reached) > 0 || connector_now_us() - began_us > RETRY_MS_MAX * INT64_C(1000))
            delay_ms = RETRY_MS_FIRST;
        if (journal_position_compare(at, reached) > 0) reached = at;
        log_warn("cdc", "trying again connector=%s delay_ms=%d cause=%s", c->config->name, delay_ms, ret_error->text);
        connector_sleep(c, delay_ms);
        delay_ms = MIN(delay_ms * 2, RETRY_MS_MAX);
    }
    return 0;
}

static void connector_fail(struct cdc_connector *c, const struct pg_error *err)
{
    static const char *const connect_class[] = {"Publication autocreation is disabled"};
    const struct journal_io_failure *writing = writing_failed(c) ? &c->stored->io->failure : NULL;
    const char *class = "io.debezium.DebeziumException";

    if (writing) { /* as the worker's task says it */
        AUTO_FREE char *caused = xasprintf(
            "org.apache.kafka.connect.errors.ConnectException: Unrecoverable exception from producer send callback\n"
            "Caused by: %s: %s\n",
            writing->exception, writing->text);
        log_error("cdc", "connector failed connector=%s cause=%s", c->config->name, writing->text);
        tell(c, CDC_FAILED, caused);
        return;
    }
    for (uint32_t i = 0; i < countof(connect_class); i++)
        if (strstr(err->text, connect_class[i])) class = "org.apache.kafka.connect.errors.ConnectException";
    AUTO_FREE char *trace = xasprintf("%s: %s%s%s%s\n", class, err->text, err->sqlstate[0] ? " (SQLSTATE " : "",
                                      err->sqlstate, err->sqlstate[0] ? ")" : "");
    log_error("cdc", "connector failed connector=%s cause=%s sqlstate=%s", c->config->name, err->text, err->sqlstate);
    tell(c, CDC_FAILED, trace);
}

static void *connector_main(void *arg)
{
    struct cdc_connector *c = arg;
    struct pg_error err;
    bool failed = false;

    while (atomic_load(&c->wish) != WISH_STOP) {
        if (failed || atomic_load(&c->wish) == WISH_PAUSE) {
            int wish = atomic_load(&c->wish);
            if (!failed) tell(c, CDC_PAUSED, NULL);
            await_other_wish(c, (enum connector_wish)wish); /* a failed one only ends, or runs again after a pause */
            if (wish == WISH_PAUSE) failed = false;
            continue;
        }
        tell(c, CDC_RUNNING, NULL);
        if (connector_run(c, &err) < 0) {
            failed = true;
            connector_fail(c, &err);
        }
    }
    return NULL;
}

/* -- for callers -- */

static void connector_free(struct cdc_connector *c)
{
    if (c->stored) journal_store_give(c->cdc->store, c->stored);
    ingest_free(c->ingest);
    change_encoder_free(c->encoder);
    if (c->config != c->posted) connector_config_free(c->config);
    connector_config_free(c->posted);
    for (uint32_t i = 0; i < c->topics_count; i++) free(c->topics[i]);
    free(c->topics);
    if (c->wish_fd >= 0) close(c->wish_fd);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static void warn_ignored(void *arg, const char *name)
{
    log_warn("cdc", "property is accepted without effect connector=%s property=%s", (const char *)arg, name);
}

/* Takes the journal and makes what the thread needs. */
static int connector_prepare(struct cdc_connector *c, struct err *err)
{
    int r = journal_store_take(c->cdc->store, c->config->name, c->config->topic_prefix, &c->stored, err);
    if (r < 0) return r;
    if ((r = io_configure(c, err)) < 0) return r;
    run_id_make(c->run_id);
    connector_equip(c, c->posted);
    c->durable_lsn = journal_has_position(c->stored->journal) ? journal_confirmed(c->stored->journal) : 0;
    return 0;
}

int cdc_connector_start(struct cdc *cdc, const char *name, const struct cdc_pair *pairs, uint32_t pairs_count,
                        const char *version, bool paused, const struct cdc_callbacks *callbacks,
                        struct cdc_connector **ret_connector, struct err *err)
{
    struct cdc_connector *c = xcalloc(1, sizeof *c);

    c->cdc = cdc;
    c->callbacks = *callbacks;
    c->wish_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    c->wait = (struct pg_wait){.wait = connector_wait, .arg = c};
    atomic_init(&c->wish, paused ? WISH_PAUSE : WISH_RUN);
    pthread_mutex_init(&c->lock, NULL);

    int r = c->wish_fd < 0 ? err_set(err, -EAGAIN, "no descriptor is free for connector %s", name) : 0;
    if (r == 0) r = connector_config_parse(pairs, pairs_count, version, &c->posted, err);
    if (r == 0 && !c->posted->name) c->posted->name = xstrdup(name);
    c->config = c->posted;
    if (r == 0) r = connector_prepare(c, err);
    if (r == 0) connector_config_each_ignored(c->config, warn_ignored, c->config->name);
    if (r == 0 && thread_start(&c->thread, name, connector_main, c) < 0)
        r = err_set(err, -EAGAIN, "no thread for connector %s", name);
    if (r < 0) {
        connector_free(c);
        return r == -EBUSY ? -EEXIST : r;
    }
    pthread_mutex_lock(&cdc->lock);
    c->next = cdc->connectors;
    cdc->connectors = c;
    pthread_mutex_unlock(&cdc->lock);
    *ret_connector = c;
    return 0;
}

static void wish_set(struct cdc_connector *c, enum connector_wish wish)
{
    uint64_t one = 1;

    atomic_store(&c->wish, wish);
    if (write(c->wish_fd, &one, sizeof one) < 0) { /* full: it is readable already */
    }
}

void cdc_connector_pause(struct cdc_connector *c)
{
    wish_set(c, WISH_PAUSE);
}
void cdc_connector_resume(struct cdc_connector *c)
{
    wish_set(c, WISH_RUN);
}

void cdc_connector_stop(struct cdc_connector *c)
{
    if (!c) return;
    wish_set(c, WISH_STOP);
    pthread_join(c->thread, NULL);
    tell(c, CDC_STOPPED, NULL);
    pthread_mutex_lock(&c->cdc->lock);
    struct cdc_connector **link = &c->cdc->connectors;
    while (*link && *link != c) link = &(*link)->next;
    if (*link) *link = c->next;
    pthread_mutex_unlock(&c->cdc->lock);
    connector_free(c);
}

uint32_t cdc_connector_topics(struct cdc_connector *c, char ***ret_topics)
{
    pthread_mutex_lock(&c->lock);
    uint32_t count = c->topics_count;
    *ret_topics = xcalloc(count + 1, sizeof **ret_topics);
    for (uint32_t i = 0; i < count; i++) (*ret_topics)[i] = xstrdup(c->topics[i]);
    pthread_mutex_unlock(&c->lock);
    return count;
}

void cdc_connector_topics_reset(struct cdc_connector *c)
{
    pthread_mutex_lock(&c->lock);
    for (uint32_t i = 0; i < c->topics_count; i++) free(c->topics[i]);
    c->topics_count = 0;
    pthread_mutex_unlock(&c->lock);
}
