/* broker/group/group_store.c: see group_store.h. */
#include "broker/group/group_store.h"

#include "base/log.h"
#include "broker/group/assignor.h"
#include "broker/coordinator/coordinator_log.h"
#include "broker/group/group_consumer.h"
#include "broker/group/group_records.h"
#include "broker/share/group_share.h"
#include "broker/share/share_store.h"
#include "broker/state.h"

#include <strings.h>

struct store {
    struct groups groups;
    struct group_host host;
    struct coordinator_log log;
    struct broker *broker;
    struct topic_watch watch;
    struct producer_ids producer_ids;
    ev_timer expire;
};

static struct store *store_of(const struct broker *b)
{
    return container_of(b->groups, struct store, groups);
}

/* -- timers -- */

static void watcher_fired(struct ev_loop *loop, ev_timer *w, int events)
{
    struct group_timer *t = container_of(w, struct group_timer, watcher);
    t->running = false;
    t->fire(t);
}

static void store_timer_stop(struct group_host *h, struct group_timer *t)
{
    ev_timer_stop(container_of(h, struct store, host)->broker->control_loop, &t->watcher);
    t->running = false;
}

static void store_timer_start(struct group_host *h, struct group_timer *t, int64_t delay_ms)
{
    if (t->running) store_timer_stop(h, t);
    ev_timer_init(&t->watcher, watcher_fired, (double)delay_ms / 1000., 0.);
    ev_timer_start(container_of(h, struct store, host)->broker->control_loop, &t->watcher);
    t->running = true;
}

/* -- writing -- */

/* What a coordinator answers when its log does not take a record. */
static enum kafka_error coordinator_error(enum kafka_error error)
{
    switch (error) {
    case KAFKA_NONE: return KAFKA_NONE;
    case KAFKA_MESSAGE_TOO_LARGE:
    case KAFKA_RECORD_LIST_TOO_LARGE: return KAFKA_INVALID_COMMIT_OFFSET_SIZE;
    case KAFKA_INVALID_PRODUCER_EPOCH: return error;
    default: return KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
}

static enum kafka_error append(struct group_host *h, struct group *g, const struct batch_fields *fields,
                               const struct group_change *changes, uint32_t count)
{
    struct store *s = container_of(h, struct store, host);
    struct coordinator_writer *w = coordinator_log_begin(&s->log, fields);
    for (uint32_t i = 0; i < count; i++) group_record_put(w, g, &changes[i]);
    return coordinator_error(coordinator_log_append(&s->log, group_id(g), NULL));
}

static enum kafka_error store_append(struct group_host *h, struct group *g, const struct group_change *changes,
                                     uint32_t count)
{
    return append(h, g, &BATCH_FIELDS_PLAIN, changes, count);
}

static enum kafka_error store_append_in_txn(struct group_host *h, struct group *g, int64_t producer_id, int16_t epoch,
                                            const struct group_change *changes, uint32_t count)
{
    struct batch_fields fields = BATCH_FIELDS_PLAIN;
    fields.producer_id = producer_id;
    fields.producer_epoch = epoch;
    fields.attributes = RECORD_BATCH_TRANSACTIONAL;
    return append(h, g, &fields, changes, count);
}

static void store_when_durable(struct group_host *h, struct group *g, void (*done)(void *arg, enum kafka_error error),
                               void *arg)
{
    coordinator_log_when_durable(&container_of(h, struct store, host)->log, group_id(g), NULL, done, arg);
}

/* -- topics and options, as they are published now -- */

/* The snapshot lives on when it is given back: only this thread publishes another one. */
static const struct metadata *published(struct group_host *h)
{
    const struct metadata *m = broker_metadata(container_of(h, struct store, host)->broker);
    metadata_unref(m);
    return m;
}

static struct group_topic topic_as_shown(const struct metadata_topic *t)
{
    return (struct group_topic){.name = slice_of(t->name), .id = t->id, .partitions_count = t->partitions_count};
}

static bool store_topic_by_name(struct group_host *h, struct slice name, struct group_topic *ret_topic)
{
    const struct metadata_topic *t = metadata_topic(published(h), name);
    if (t) *ret_topic = topic_as_shown(t);
    return t != NULL;
}

static bool store_topic_by_id(struct group_host *h, struct uuid id, struct group_topic *ret_topic)
{
    const struct metadata_topic *t = metadata_topic_by_id(published(h), id);
    if (t) *ret_topic = topic_as_shown(t);
    return t != NULL;
}

static int64_t store_topics_each(struct group_host *h, void (*fn)(void *arg, const struct group_topic *topic),
                                 void *arg)
{
    const struct metadata *m = published(h);
    for (int32_t i = 0; i < m->topics_count; i++) {
        struct group_topic t = topic_as_shown(m->topics[i]);
        fn(arg, &t);
    }
    return m->version;
}

static void store_options(struct group_host *h, struct slice group_id, struct group_options *ret_options)
{
    const struct config_list *own = metadata_resource_config(published(h), CONFIG_RESOURCE_GROUP, group_id);
    if (!own) return;
    const char *session = config_list_get(own, "consumer.session.timeout.ms");
    const char *heartbeat = config_list_get(own, "consumer.heartbeat.interval.ms");
    if (session) ret_options->consumer_session_timeout_ms = atoi(session);
    if (heartbeat) ret_options->consumer_heartbeat_interval_ms = atoi(heartbeat);
    const char *share_session = config_list_get(own, "share.session.timeout.ms");
    const char *share_heartbeat = config_list_get(own, "share.heartbeat.interval.ms");
    if (share_session) ret_options->share_session_timeout_ms = atoi(share_session);
    if (share_heartbeat) ret_options->share_heartbeat_interval_ms = atoi(share_heartbeat);
}

/* -- share partitions -- */

struct share_initializing {
    struct broker *broker;
    char *group_id;
    struct partition_set partitions;
};

static void share_initialized(void *arg, enum kafka_error error)
{
    struct share_initializing *i = arg;
    if (error != KAFKA_NONE)
        log_warn("group", "state of share partitions cannot be begun, the next heartbeat tries again group=%s error=%s",
                 i->group_id, kafka_error_name(error));
    if (i->broker->groups)
        share_group_initialized(i->broker->groups, slice_of(i->group_id), &i->partitions, error == KAFKA_NONE);
    partition_set_done(&i->partitions);
    free(i->group_id);
    free(i);
}

static void store_share_initialize(struct group_host *h, struct group *g, const struct partition_set *partitions,
                                   int32_t state_epoch)
{
    struct share_initializing *i = xcalloc(1, sizeof *i);
    *i = (struct share_initializing){.broker = container_of(h, struct store, host)->broker,
                                     .group_id = slice_strdup(group_id(g)),
                                     .partitions = partition_set_copy(partitions)};
    shares_initialize(i->broker, group_id(g), partitions, NULL, state_epoch, share_initialized, i);
}

/* -- the log's callbacks -- */

static void log_marker(struct coordinator_log *l, int32_t partition, int64_t producer_id, bool commit)
{
    groups_apply_marker(&container_of(l, struct store, log)->groups, partition, l->parts_count, producer_id, commit);
}

static void log_loaded(struct coordinator_log *l, int32_t partition, bool ok)
{
    groups_restored(&container_of(l, struct store, log)->groups, partition, l->parts_count, ok);
}

static void log_dropped(struct coordinator_log *l)
{
    groups_done(&container_of(l, struct store, log)->groups);
}

static const struct config_entry topic_config[] = {{"cleanup.policy", "compact"}, {"compression.type", "producer"}};

static const struct coordinator_type group_coordinator = {
    .topic = TOPIC_OFFSETS,
    .name = "group",
    .rows = group_rows,
    .config = topic_config,
    .config_count = countof(topic_config),
    .partitions_count_at = offsetof(struct broker_config, offsets_topic_num_partitions),
    .segment_bytes_at = offsetof(struct broker_config, offsets_topic_segment_bytes),
    .marker = log_marker,
    .loaded = log_loaded,
    .dropped = log_dropped,
};

/* -- life -- */

static void expire_fired(struct ev_loop *loop, ev_timer *w, int events)
{
    struct store *s = container_of(w, struct store, expire);
    if (coordinator_log_is_loaded(&s->log)) groups_expire(&s->groups);
}

static void topic_changed(struct topic_watch *w, enum topic_event event, const struct metadata_topic *topic)
{
    struct store *s = container_of(w, struct store, watch);
    if (event != TOPIC_CONFIGURED) consumer_topic_changed(&s->groups, slice_of(topic->name), event == TOPIC_CREATED);
    if (event != TOPIC_CONFIGURED) share_topic_changed(&s->groups);
    if (event != TOPIC_DELETED || strcmp(topic->name, TOPIC_OFFSETS) == 0) return;
    groups_topic_deleted(&s->groups, slice_of(topic->name));
    share_topic_deleted(&s->groups, topic->id);
}

/* "uniform,range": those that there are, in this order. */
static void assignors_read(struct group_config *to, const char *names)
{
    struct slice name;
    for (const char *p = names; to->consumer_assignors_count < GROUP_ASSIGNORS_MAX && option_list_next(&p, &name);) {
        const struct assignor *a = assignor_find(name);
        if (a) to->consumer_assignors[to->consumer_assignors_count++] = a;
    }
    if (!to->consumer_assignors_count) to->consumer_assignors[to->consumer_assignors_count++] = &assignor_uniform;
}

static bool policy_has(const char *policy, const char *direction)
{
    return strcasecmp(policy, "bidirectional") == 0 || strcasecmp(policy, direction) == 0;
}

/* None of these options changes while the broker runs. */
static void config_read(struct store *s, const struct broker_config *c)
{
    s->groups.config = (struct group_config){
        .options = {.consumer_session_timeout_ms = (int32_t)c->group_consumer_session_timeout_ms,
                    .consumer_heartbeat_interval_ms = (int32_t)c->group_consumer_heartbeat_interval_ms,
                    .share_session_timeout_ms = (int32_t)c->group_share_session_timeout_ms,
                    .share_heartbeat_interval_ms = (int32_t)c->group_share_heartbeat_interval_ms},
        .consumer_size_max = (int32_t)c->group_consumer_max_size,
        .consumer_regex_refresh_ms = c->group_consumer_regex_refresh_interval_ms,
        .consumer_upgrade = policy_has(c->group_consumer_migration_policy, "upgrade"),
        .consumer_downgrade = policy_has(c->group_consumer_migration_policy, "downgrade"),
        .session_timeout_min_ms = (int32_t)c->group_min_session_timeout_ms,
        .session_timeout_max_ms = (int32_t)c->group_max_session_timeout_ms,
        .initial_rebalance_delay_ms = (int32_t)c->group_initial_rebalance_delay_ms,
        .size_max = (int32_t)c->group_max_size,
        .offsets_retention_ms = c->offsets_retention_minutes * 60000,
        .offset_metadata_max = (uint32_t)c->offset_metadata_max_bytes,
        .share_size_max = (int32_t)c->group_share_max_size,
    };
    assignors_read(&s->groups.config, c->group_consumer_assignors);
}

void groups_open(struct broker *b)
{
    struct store *s = xcalloc(1, sizeof *s);
    s->broker = b;
    s->host = (struct group_host){.clock = b->clock,
                                  .timer_start = store_timer_start,
                                  .timer_stop = store_timer_stop,
                                  .append = store_append,
                                  .append_in_txn = store_append_in_txn,
                                  .when_durable = store_when_durable,
                                  .topic_by_name = store_topic_by_name,
                                  .topic_by_id = store_topic_by_id,
                                  .topics_each = store_topics_each,
                                  .options = store_options,
                                  .share_initialize = store_share_initialize};
    groups_init(&s->groups, &s->host);
    producer_ids_init(&s->producer_ids, b);
    b->groups = &s->groups;
    s->watch.changed = topic_changed;
    broker_watch_topics(b, &s->watch);

    const struct metadata *m = broker_metadata(b);
    config_read(s, m->config);
    double interval_s = (double)m->config->offsets_retention_check_interval_ms / 1000.;
    ev_timer_init(&s->expire, expire_fired, interval_s, interval_s);
    ev_timer_start(b->control_loop, &s->expire);
    metadata_unref(m);
    coordinator_log_open(&s->log, b, &group_coordinator, &s->groups);
}

void groups_stop(struct broker *b)
{
    coordinator_log_stop(&store_of(b)->log);
}

void groups_close(struct broker *b)
{
    struct store *s = store_of(b);
    b->groups = NULL;
    broker_unwatch_topics(&s->watch);
    ev_timer_stop(b->control_loop, &s->expire);
    coordinator_log_close(&s->log);
    producer_ids_done(&s->producer_ids);
    free(s);
}

struct groups *groups_for(struct request *rq, struct slice id, enum acl_operation operation,
                          enum kafka_error *ret_error)
{
    struct store *s = store_of(rq->broker);
    *ret_error = request_refusal(rq, operation, RESOURCE_GROUP, id);
    if (*ret_error == KAFKA_NONE) *ret_error = coordinator_log_check(&s->log, id);
    if (*ret_error != KAFKA_NONE) return NULL;
    return &s->groups;
}

bool groups_have_consumer_protocol(struct request *rq)
{
    const struct metadata *m = request_metadata(rq);
    struct slice protocol;
    bool has = false;
    for (const char *p = m->config->group_coordinator_rebalance_protocols; option_list_next(&p, &protocol);)
        has |= slice_eq(protocol, SLICE("consumer"));
    return has && metadata_feature_level(m, "group.version") >= 1;
}

struct groups *groups_for_all(struct request *rq, enum kafka_error *ret_error)
{
    struct store *s = store_of(rq->broker);
    *ret_error = coordinator_log_is_loaded(&s->log) ? KAFKA_NONE : KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
    return *ret_error == KAFKA_NONE ? &s->groups : NULL;
}

struct producer_ids *groups_producer_ids(struct broker *b)
{
    return &store_of(b)->producer_ids;
}

bool groups_partition_of(struct broker *b, struct slice id, int32_t *ret_partition)
{
    *ret_partition = coordinator_log_partition(&store_of(b)->log, id);
    return *ret_partition >= 0;
}

void groups_transaction_end(struct broker *b, int32_t partition, int64_t producer_id, bool commit)
{
    struct store *s = store_of(b);
    /* What is still being read comes to the marker by itself. */
    if (coordinator_log_is_ready(&s->log, partition)) log_marker(&s->log, partition, producer_id, commit);
}

void groups_log_ensure(struct broker *b, void (*done)(void *arg, enum kafka_error error), void *arg)
{
    coordinator_log_ensure(&store_of(b)->log, done, arg);
}
