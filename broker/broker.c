/* broker/broker.c: the broker's life, its control thread, and topics for the rooms above. See broker.h.
 *
 * Threads: opened and closed by main; broker_control_post() is how all others reach the control thread, which runs
 * here. */
#include "broker/broker.h"

#include "base/log.h"
#include "base/thread.h"
#include "broker/fetch/fetch_session.h"
#include "broker/group/group_store.h"
#include "broker/limits.h"
#include "broker/metadata/metadata_edit.h"
#include "broker/metadata/metadata_log.h"
#include "broker/net/network.h"
#include "broker/access/quota.h"
#include "broker/share/share_store.h"
#include "broker/state.h"
#include "broker/telemetry/telemetry.h"
#include "broker/txn/txn_store.h"
#include "protocol/batch_builder.h"
#include "storage/log_dir.h"

#include <errno.h>
#include <inttypes.h>

/* -- opening -- */

/* One data directory: log.dirs before log.dir. */
static int data_directory(const struct broker_config *config, char **ret_path, struct err *err)
{
    struct slice first, more;
    const char *p = config->log_dirs ? config->log_dirs : config->log_dir;
    const char *all = p;

    if (!option_list_next(&p, &first) || first.len == 0)
        return err_set(err, -EINVAL, "log.dirs: there must be a directory");
    if (option_list_next(&p, &more))
        return err_set(err, -EINVAL, "log.dirs=%s: this version keeps its data in one directory", all);
    *ret_path = slice_strdup(first);
    return 0;
}

static int open_log_dir(struct broker *b, struct err *err)
{
    struct log_dir_options o;
    AUTO_FREE char *path = NULL;
    int r = data_directory(b->config, &path, err);

    if (r < 0) return r;
    log_dir_options_default(&o);
    o.path = path;
    o.node_id = b->node_id;
    o.clock = b->clock;
    o.flush_interval_ms = b->config->log_flush_interval_ms;
    o.retention_check_interval_ms = b->config->log_retention_check_interval_ms;
    o.recovery_point_interval_ms = b->config->log_flush_offset_checkpoint_interval_ms;
    o.producer_id_expiration_ms = b->config->producer_id_expiration_ms;
    o.cleaner = broker_cleaner_config(b->config);
    o.scrub_bytes_per_second = b->config->ottla_scrub_bytes_per_second;
    return log_dir_open(&o, &b->dir, err);
}

/* A partition whose log cannot be opened is offline: the others are served. */
static void open_logs(struct broker *b, struct metadata *m)
{
    for (int32_t i = 0; i < m->topics_count; i++) {
        struct metadata_topic *t = m->topics[i];
        metadata_topic_resolve(t, m->config);
        for (int32_t k = 0; k < t->partitions_count; k++) {
            struct err err = ERR_NONE;
            if (log_dir_open_log(b->dir, t->name, k, t->id, &t->log_config, &t->partitions[k].log, &err) < 0)
                log_error("metadata", "partition is offline partition=%s-%d cause=\"%s\"", t->name, k, err.text);
            else partition_log_raise_epoch(t->partitions[k].log, t->partitions[k].leader_epoch);
        }
    }
}

static int open_metadata(struct broker *b, struct err *err)
{
    struct broker_config_ref *config = broker_config_ref_new(broker_config_copy(b->config));
    struct metadata *m;
    int r = metadata_log_open(b->dir, b->config, b->clock, config, &b->metadata_log, &m, err);

    broker_config_ref_put(config);
    if (r < 0) return r;
    metadata_apply_broker_config(m, b->config);
    broker_configure_log_dir(m->config, b->dir);
    open_logs(b, m);
    /* Kafka would begin an epoch that has been: only when it takes the directory over before the next start. */
    if (metadata_log_note_epochs(b->metadata_log, m) != KAFKA_NONE)
        log_warn("metadata", "the leader epochs of this start cannot be written");
    r = log_dir_sync_found(b->dir);
    if (r)
        log_error("metadata", "not all that was found could be synced: %s path=%s", strerror(-r), log_dir_path(b->dir));
    r = log_dir_set_strays_aside(b->dir);
    if (r)
        log_error("metadata", "folders of no topic cannot be set aside: %s path=%s", strerror(-r),
                  log_dir_path(b->dir));
    b->metadata = m;
    quotas_publish(b->quotas, m->quotas);
    b->metadata_head = metadata_ref(m);
    return 0;
}

static void *control_run(void *arg)
{
    struct broker *b = arg;
    ev_run(b->control_loop, 0);
    return NULL;
}

static int start_control(struct broker *b, struct err *err)
{
    int r = thread_start(&b->control_thread, "control", control_run, b);
    if (r < 0) return err_set(err, r, "no thread can be made: %s", strerror(-r));
    b->control_running = true;
    return 0;
}

/* Undoes what was opened, newest first. loops_ended: no thread of the network runs. */
static void dismantle(struct broker *b, bool loops_ended)
{
    if (b->groups) groups_close(b);
    if (b->shares) shares_close(b);
    if (b->txns) txns_close(b); /* after the groups: their producer ids are handed out no more */
    if (!loops_ended) {
        /* A loop still uses the rest: it is left to the end of the process, but for the files. */
        log_dir_close(b->dir);
        return;
    }
    if (b->network) network_free(b->network);
    if (b->control_loop) {
        mailbox_close(&b->control);
        mailbox_done(&b->control);
    }
    metadata_unref(b->metadata_head);
    metadata_unref(b->metadata);
    metadata_log_close(b->metadata_log);
    if (b->dir) log_dir_close(b->dir);
    if (b->control_loop) ev_loop_destroy(b->control_loop);
    fetch_sessions_free(b->fetch_sessions);
    quotas_free(b->quotas);
    telemetry_free(b->telemetry);
    pthread_mutex_destroy(&b->metadata_lock);
    broker_config_free(b->config);
    free(b);
}

static void telemetry_connection_gone(struct broker *b, uint64_t connection_id)
{
    telemetry_disconnected(b->telemetry, connection_id);
}

int broker_open(struct broker_config *config, struct broker **ret_broker, struct err *err)
{
    struct broker *b = xcalloc(1, sizeof *b);
    int r;

    b->config = config;
    b->node_id = (int32_t)config->node_id;
    b->clock = &clock_system;
    pthread_mutex_init(&b->metadata_lock, NULL);
    STAILQ_INIT(&b->changes);
    LIST_INIT(&b->watches);
    b->fetch_sessions = fetch_sessions_new(config->max_incremental_fetch_session_cache_slots);
    b->quotas = quotas_new(config);
    b->telemetry = telemetry_new();
    b->connection_gone[WATCHER_TELEMETRY] = telemetry_connection_gone;

    /* The ports first: when one is in use, the data directory is not touched. */
    r = network_bind(b, &b->network, err);
    if (r == 0) r = open_log_dir(b, err);
    if (r == 0) {
        b->control_loop = ev_loop_new(EVFLAG_AUTO);
        if (!b->control_loop) r = err_set(err, -ENOMEM, "no event loop can be made");
    }
    if (r == 0) {
        mailbox_init(&b->control, b->control_loop);
        ev_ref(b->control_loop); /* the loop lives without timers */
        r = open_metadata(b, err);
    }
    if (r == 0) {
        groups_open(b);
        txns_open(b);
        shares_open(b);
        r = start_control(b, err);
    }
    if (r < 0) {
        dismantle(b, true);
        return r;
    }
    *ret_broker = b;
    return 0;
}

int broker_serve(struct broker *b, struct err *err)
{
    broker_config_report(b->config);
    log_dir_serve(b->dir);
    return network_serve(b->network, err);
}

void broker_stop(struct broker *b)
{
    network_stop(b->network);
}

/* -- closing -- */

struct quiesce {
    struct broker *broker;
    ev_timer poll;
    int64_t deadline_ms;
};

/* Changes that wait for the disk are finished first: their completions need the control thread. */
static void quiesce_poll(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct quiesce *q = w->data;
    struct broker *b = q->broker;

    if (!STAILQ_EMPTY(&b->changes) && clock_mono_ms(b->clock) < q->deadline_ms) return;
    ev_timer_stop(loop, w);
    ev_break(loop, EVBREAK_ALL);
}

static void quiesce_begin(void *arg)
{
    struct quiesce *q = arg;

    ev_timer_init(&q->poll, quiesce_poll, 0., 0.002);
    q->poll.data = q;
    ev_timer_start(q->broker->control_loop, &q->poll);
}

static void stop_groups(void *arg)
{
    groups_stop(arg);
    shares_stop(arg);
}

void broker_close(struct broker *b)
{
    struct quiesce q = {.broker = b, .deadline_ms = clock_mono_ms(b->clock) + STOP_WAIT_MS};

    /* A loop ends when its requests are done, and the control thread does those that wait for the disk or for
     * others. */
    mailbox_post(&b->control, stop_groups, b);
    bool loops_ended = network_wait(b->network);
    mailbox_post(&b->control, quiesce_begin, &q);
    pthread_join(b->control_thread, NULL);
    ev_unref(b->control_loop);
    log_info("broker", "stopped");
    dismantle(b, loops_ended);
}

/* -- what others ask for -- */

void broker_write_metrics(struct broker *b, struct bytes *out)
{
    uint64_t scrubbed, damages;

    telemetry_write(b->telemetry, clock_mono_ms(b->clock), out);
    log_dir_scrub_counts(b->dir, &scrubbed, &damages);
    AUTO_FREE char *text =
        xasprintf("# HELP ottla_scrub_bytes_total Bytes of segments that were read to find damage.\n"
                  "# TYPE ottla_scrub_bytes_total counter\nottla_scrub_bytes_total %" PRIu64 "\n"
                  "# HELP ottla_scrub_damages_total Damages that this found, told in the log with file and position.\n"
                  "# TYPE ottla_scrub_damages_total counter\nottla_scrub_damages_total %" PRIu64 "\n",
                  scrubbed, damages);
    bytes_append(out, text, strlen(text));
}

const char *broker_address(const struct broker *b)
{
    return b->network->listeners_count ? b->network->listeners[0].address : "";
}

const struct broker_config *broker_config(const struct broker *b)
{
    return b->config;
}

struct log_dir *broker_log_dir(const struct broker *b)
{
    return b->dir;
}

const char *broker_cluster_id(const struct broker *b)
{
    return log_dir_cluster_id(b->dir);
}

bool broker_control_post(struct broker *b, void (*fn)(void *arg), void *arg)
{
    return mailbox_post(&b->control, fn, arg);
}

struct ev_loop *broker_control_loop(struct broker *b)
{
    return b->control_loop;
}

void broker_watch_topics(struct broker *b, struct topic_watch *w)
{
    LIST_INSERT_HEAD(&b->watches, w, link);
}

void broker_unwatch_topics(struct topic_watch *w)
{
    LIST_REMOVE(w, link);
}

struct partition_log *broker_partition(struct broker *b, const char *topic, int32_t partition)
{
    const struct metadata *m = broker_metadata(b);
    const struct metadata_topic *t = metadata_topic(m, slice_of(topic));
    struct partition_log *log =
        t && partition >= 0 && partition < t->partitions_count ? t->partitions[partition].log : NULL;

    if (log) partition_log_ref(log);
    metadata_unref(m);
    return log;
}

/* -- topics, from other threads -- */

struct topic_job {
    struct broker *broker;
    char *name;
    bool delete;
    int32_t partitions_count;
    struct config_list config;
    const struct broker_topic *ensure; /* instead of the above; borrowed from who waits */
    uint32_t ensure_count;
    void (*done)(void *arg, enum kafka_error error, const char *text);
    void *arg;
};

static void job_free(struct topic_job *j)
{
    config_list_done(&j->config);
    free(j->name);
    free(j);
}

static void job_committed(void *arg, enum kafka_error error)
{
    struct topic_job *j = arg;
    j->done(j->arg, error, error == KAFKA_NONE ? "" : "the change of the metadata could not be made durable");
    job_free(j);
}

static enum kafka_error ensure_all(struct metadata_change *change, const struct topic_job *j, struct err *err)
{
    for (uint32_t i = 0; i < j->ensure_count; i++) {
        const struct broker_topic *t = &j->ensure[i];
        struct topic_spec spec = {.name = slice_of(t->name),
                                  .partitions_count = t->partitions_count,
                                  .replication_factor = -1,
                                  .config = t->config,
                                  .config_count = t->config_count};
        if (metadata_topic(metadata_change_view(change), spec.name)) continue;
        enum kafka_error error = metadata_change_create_topic(change, &spec, false, NULL, err);
        if (error != KAFKA_NONE) {
            err_prefix(err, "%s", t->name);
            return error;
        }
    }
    return KAFKA_NONE;
}

static void job_run(void *arg)
{
    struct topic_job *j = arg;
    struct metadata_change *change = metadata_change_begin(j->broker);
    struct topic_spec spec = {.name = slice_of(j->name),
                              .partitions_count = j->partitions_count,
                              .replication_factor = -1,
                              .config = j->config.entries,
                              .config_count = j->config.count};
    struct err err = ERR_NONE;
    enum kafka_error error;

    if (j->ensure) {
        error = ensure_all(change, j, &err);
    } else if (j->delete) {
        const struct metadata_topic *t = metadata_topic(metadata_change_view(change), spec.name);
        error = t ? metadata_change_delete_topic(change, t->id, &err)
                  : err_set(&err, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "topic %s does not exist", j->name);
    } else {
        error = metadata_change_create_topic(change, &spec, false, NULL, &err);
    }
    if (error == KAFKA_NONE) {
        metadata_change_commit(change, job_committed, j);
        return;
    }
    metadata_change_abort(change);
    j->done(j->arg, error, err.text);
    job_free(j);
}

static void job_start(struct topic_job *j)
{
    if (mailbox_post(&j->broker->control, job_run, j)) return;
    j->done(j->arg, KAFKA_BROKER_NOT_AVAILABLE, "the broker is closing");
    job_free(j);
}

static struct topic_job *job_new(struct broker *b, const char *name,
                                 void (*done)(void *arg, enum kafka_error error, const char *text), void *arg)
{
    struct topic_job *j = xcalloc(1, sizeof *j);
    j->broker = b;
    j->name = name ? xstrdup(name) : NULL;
    j->done = done;
    j->arg = arg;
    return j;
}

void broker_topic_create_async(struct broker *b, const char *name, int32_t partitions_count,
                               const struct config_entry *config, uint32_t config_count,
                               void (*done)(void *arg, enum kafka_error error, const char *text), void *arg)
{
    struct topic_job *j = job_new(b, name, done, arg);
    j->partitions_count = partitions_count;
    for (uint32_t i = 0; i < config_count; i++) config_list_set(&j->config, config[i].name, config[i].value);
    job_start(j);
}

struct job_wait {
    pthread_mutex_t lock;
    pthread_cond_t finished;
    bool is_finished;
    enum kafka_error error;
    char text[sizeof((struct err *)0)->text];
};

static void job_wake(void *arg, enum kafka_error error, const char *text)
{
    struct job_wait *w = arg;

    pthread_mutex_lock(&w->lock);
    w->error = error;
    strncpy(w->text, text, sizeof w->text - 1);
    w->is_finished = true;
    pthread_cond_signal(&w->finished);
    pthread_mutex_unlock(&w->lock);
}

static enum kafka_error job_wait(struct broker *b, struct topic_job *j, struct job_wait *w, struct err *err)
{
    assert(!b->control_running || !pthread_equal(pthread_self(), b->control_thread));
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->finished, NULL);
    job_start(j);
    pthread_mutex_lock(&w->lock);
    while (!w->is_finished) pthread_cond_wait(&w->finished, &w->lock);
    pthread_mutex_unlock(&w->lock);
    pthread_cond_destroy(&w->finished);
    pthread_mutex_destroy(&w->lock);
    if (w->error != KAFKA_NONE) err_set(err, w->error, "%s", w->text);
    return w->error;
}

enum kafka_error broker_topic_create(struct broker *b, const char *name, int32_t partitions_count,
                                     const struct config_entry *config, uint32_t config_count, struct err *err)
{
    struct job_wait w = {0};
    struct topic_job *j = job_new(b, name, job_wake, &w);

    j->partitions_count = partitions_count;
    for (uint32_t i = 0; i < config_count; i++) config_list_set(&j->config, config[i].name, config[i].value);
    return job_wait(b, j, &w, err);
}

enum kafka_error broker_topic_ensure(struct broker *b, const char *name, int32_t partitions_count,
                                     const struct config_entry *config, uint32_t config_count, struct err *err)
{
    const struct metadata *m = broker_metadata(b);
    bool exists = metadata_topic(m, slice_of(name)) != NULL;

    metadata_unref(m);
    if (exists) return KAFKA_NONE;
    enum kafka_error error = broker_topic_create(b, name, partitions_count, config, config_count, err);
    return error == KAFKA_TOPIC_ALREADY_EXISTS ? KAFKA_NONE : error;
}

enum kafka_error broker_topics_ensure(struct broker *b, const struct broker_topic *topics, uint32_t topics_count,
                                      struct err *err)
{
    const struct metadata *m = broker_metadata(b);
    struct job_wait w = {0};
    uint32_t existing = 0;

    for (uint32_t i = 0; i < topics_count; i++) existing += metadata_topic(m, slice_of(topics[i].name)) != NULL;
    metadata_unref(m);
    if (existing == topics_count) return KAFKA_NONE;
    struct topic_job *j = job_new(b, NULL, job_wake, &w);
    j->ensure = topics;
    j->ensure_count = topics_count;
    return job_wait(b, j, &w, err);
}

enum kafka_error broker_topic_delete(struct broker *b, const char *name, struct err *err)
{
    struct job_wait w = {0};
    struct topic_job *j = job_new(b, name, job_wake, &w);

    j->delete = true;
    return job_wait(b, j, &w, err);
}

/* -- records -- */

enum kafka_error broker_append_record(struct broker *b, struct partition_log *log, struct slice key, struct slice value,
                                      int64_t *ret_offset)
{
    return broker_append_record_headers(b, log, key, value, NULL, 0, ret_offset);
}

enum kafka_error broker_append_record_headers(struct broker *b, struct partition_log *log, struct slice key,
                                              struct slice value, const struct record_header *headers,
                                              int32_t headers_count, int64_t *ret_offset)
{
    struct batch_builder builder;
    struct batch_fields fields = BATCH_FIELDS_PLAIN;
    struct slice batch;
    enum kafka_error error = KAFKA_UNKNOWN_SERVER_ERROR; /* no memory */

    batch_builder_init(&builder);
    batch_builder_append(&builder, clock_wall_ms(b->clock), key, value, headers, headers_count);
    if (batch_builder_finish(&builder, &fields, &batch) == 0) {
        struct log_append a = {
            .origin = APPEND_INTERNAL, .batches = (uint8_t *)(uintptr_t)batch.ptr, .size = batch.len};
        error = partition_log_append(log, &a);
        if (error == KAFKA_NONE && ret_offset) *ret_offset = a.base_offset;
    }
    batch_builder_done(&builder);
    return error;
}
