/* broker/share/share_store.c: see share_store.h. */
#include "broker/share/share_store.h"

#include "base/log.h"
#include "broker/coordinator/coordinator_log.h"
#include "broker/limits.h"
#include "broker/share/share_reset.h"
#include "broker/state.h"

struct share_store {
    struct broker *broker;
    struct coordinator_log log;
    struct share_states states;
    struct share_sessions sessions;
    struct topic_watch watch;
    ev_timer prune;
    ev_timer wake; /* runs when a waiter is woken */
    TAILQ_HEAD(, share_waiter) waiters;
};

struct share_live {
    struct share_store *store;
    struct share_state *state;
    struct share_partition partition;
    ev_timer lock;
};

static struct share_store *store_of(const struct broker *b)
{
    return b->shares;
}

/* Only this thread publishes another snapshot. */
static const struct metadata *published(const struct share_store *s)
{
    const struct metadata *m = broker_metadata(s->broker);
    metadata_unref(m);
    return m;
}

/* -- where state lives -- */

/* "group:topicId:partition", to be freed. */
static char *key_id(const struct share_key *key)
{
    char topic[UUID_TEXT_SIZE];
    uuid_format(key->topic_id, topic);
    return xasprintf(SLICE_FMT ":%s:%d", SLICE_ARG(key->group_id), topic, key->partition);
}

static enum kafka_error check(const struct share_store *s, const struct share_key *key)
{
    AUTO_FREE char *id = key_id(key);
    enum kafka_error error = coordinator_log_check(&s->log, slice_of(id));
    return error == KAFKA_NONE ? error : KAFKA_COORDINATOR_NOT_AVAILABLE; /* as Kafka's persister tells them all */
}

/* -- writing -- */

/* Appends a record, then applies it as if it was read. */
static enum kafka_error store_record(struct share_store *s, const struct share_key *key, struct share_record *r)
{
    AUTO_FREE char *id = key_id(key);
    struct coordinator_writer *w = coordinator_log_begin(&s->log, &BATCH_FIELDS_PLAIN);
    int64_t offset = -1;

    if (r->type == SHARE_RECORD_SNAPSHOT) coordinator_put(w, SHARE_RECORD_SNAPSHOT, &r->snapshot_key, 0, &r->snapshot);
    else coordinator_put(w, SHARE_RECORD_UPDATE, &r->update_key, 0, &r->update);
    enum kafka_error error = coordinator_log_append(&s->log, slice_of(id), &offset);
    bool ok = true;
    if (error == KAFKA_NONE)
        ok = r->type == SHARE_RECORD_SNAPSHOT
                 ? share_states_apply_snapshot(&s->states, &r->snapshot_key, &r->snapshot, offset)
                 : share_states_apply_update(&s->states, &r->update_key, &r->update);
    assert(ok); /* it is our own */
    share_record_done(r);
    return error == KAFKA_NONE ? KAFKA_NONE : KAFKA_COORDINATOR_NOT_AVAILABLE;
}

static enum kafka_error store_changes(void *arg, int64_t start, const struct share_batch *changes, uint32_t count)
{
    struct share_live *l = arg;
    struct share_store *s = l->store;
    struct share_key key = share_state_key(l->state);
    struct share_record r;

    share_state_write(l->state, start, changes, count, (uint32_t)published(s)->config->share_snapshot_updates,
                      clock_wall_ms(s->broker->clock), &r);
    return store_record(s, &key, &r);
}

static enum kafka_error store_tombstone(struct share_store *s, const struct share_key *key)
{
    struct share_snapshot_key k = {.group_id = key->group_id, .topic_id = key->topic_id, .partition = key->partition};
    AUTO_FREE char *id = key_id(key);
    int64_t offset = -1;

    coordinator_put(coordinator_log_begin(&s->log, &BATCH_FIELDS_PLAIN), SHARE_RECORD_SNAPSHOT, &k, 0, NULL);
    enum kafka_error error = coordinator_log_append(&s->log, slice_of(id), &offset);
    if (error != KAFKA_NONE) return KAFKA_COORDINATOR_NOT_AVAILABLE;
    return share_states_apply_snapshot(&s->states, &k, NULL, offset) ? KAFKA_NONE : KAFKA_UNKNOWN_SERVER_ERROR;
}

/* -- waiting fetches -- */

static void wake_fired(struct ev_loop *loop, ev_timer *t, int events)
{
    struct share_store *s = container_of(t, struct share_store, wake);
    struct share_waiter *w;

    ev_timer_stop(loop, t);
    do {
        TAILQ_FOREACH(w, &s->waiters, link)
            if (w->woken) break;
        if (!w) return;
        shares_wait_cancel(s->broker, w);
        w->wake(w);
    } while (true);
}

/* Something became available, or there is more room, in a share partition of the group. */
static void wake_group(struct share_store *s, struct slice group_id)
{
    struct share_waiter *w;
    bool any = false;

    TAILQ_FOREACH(w, &s->waiters, link)
        if (slice_eq(w->group_id, group_id)) w->woken = any = true;
    if (any && !ev_is_active(&s->wake)) {
        ev_timer_set(&s->wake, 0., 0.);
        ev_timer_start(s->broker->control_loop, &s->wake);
    }
}

void shares_wait(struct broker *b, struct share_waiter *w)
{
    w->waiting = true;
    w->woken = false;
    TAILQ_INSERT_TAIL(&store_of(b)->waiters, w, link);
}

void shares_wait_cancel(struct broker *b, struct share_waiter *w)
{
    if (!w->waiting) return;
    w->waiting = false;
    TAILQ_REMOVE(&store_of(b)->waiters, w, link);
}

/* -- share partitions -- */

static const char *group_option(const struct share_store *s, struct slice group_id, const char *name)
{
    const struct config_list *own = metadata_resource_config(published(s), CONFIG_RESOURCE_GROUP, group_id);
    return own ? config_list_get(own, name) : NULL;
}

int32_t shares_lock_ms(struct broker *b, struct slice group_id)
{
    const char *own = group_option(store_of(b), group_id, "share.record.lock.duration.ms");
    return own ? atoi(own) : (int32_t)published(store_of(b))->config->group_share_record_lock_duration_ms;
}

bool shares_read_committed(struct broker *b, struct slice group_id)
{
    const char *own = group_option(store_of(b), group_id, "share.isolation.level");
    return own && strcmp(own, "read_committed") == 0;
}

/* Looks when the next lock ends, and who may go on after a change. */
static void live_changed(struct share_live *l)
{
    struct ev_loop *loop = l->store->broker->control_loop;
    int64_t next_ms = share_partition_next_expiry(&l->partition);

    ev_timer_stop(loop, &l->lock);
    if (next_ms < INT64_MAX) {
        int64_t delay_ms = next_ms - clock_mono_ms(l->store->broker->clock);
        ev_timer_set(&l->lock, (double)MAX(delay_ms, 0) / 1000., 0.);
        ev_timer_start(loop, &l->lock);
    }
    if (share_partition_can_acquire(&l->partition)) wake_group(l->store, share_state_key(l->state).group_id);
}

static void lock_fired(struct ev_loop *loop, ev_timer *t, int events)
{
    struct share_live *l = container_of(t, struct share_live, lock);
    enum kafka_error error =
        share_partition_expire(&l->partition, clock_mono_ms(l->store->broker->clock), store_changes, l);

    if (error != KAFKA_NONE)
        log_warn("share", "locks expired, which is not stored group=" SLICE_FMT,
                 SLICE_ARG(share_state_key(l->state).group_id));
    live_changed(l);
}

static void live_free(struct share_states *ss, struct share_state *state)
{
    struct share_live *l = state->live;
    struct share_store *s = container_of(ss, struct share_store, states);

    state->live = NULL;
    ev_timer_stop(s->broker->control_loop, &l->lock);
    share_partition_done(&l->partition);
    free(l);
}

/* Where a share partition without a start begins. */
static int64_t reset_offset(struct share_store *s, struct slice group_id, struct partition_log *log)
{
    const char *text = group_option(s, group_id, "share.auto.offset.reset");
    struct share_reset reset = {.type = SHARE_RESET_LATEST};
    struct log_marks marks = partition_log_marks(log);
    int64_t offset = -1, timestamp_ms;
    int32_t leader_epoch;

    if (text && !share_reset_parse(text, &reset)) reset.type = SHARE_RESET_LATEST;
    if (reset.type == SHARE_RESET_EARLIEST) return marks.log_start;
    if (reset.type == SHARE_RESET_BY_DURATION &&
        partition_log_offset_for_time(log, clock_wall_ms(s->broker->clock) - reset.duration_ms, &offset, &timestamp_ms,
                                      &leader_epoch) == KAFKA_NONE &&
        offset >= 0)
        return MIN(offset, marks.high_watermark);
    return marks.high_watermark;
}

struct share_live *shares_live_find(struct broker *b, const struct share_key *key)
{
    struct share_state *state = share_states_find(&store_of(b)->states, key);
    return state ? state->live : NULL;
}

struct share_live *shares_live(struct broker *b, const struct share_key *key, struct partition_log *log,
                               enum kafka_error *ret_error)
{
    struct share_store *s = store_of(b);
    const struct broker_config *config = published(s)->config;

    *ret_error = check(s, key);
    if (*ret_error != KAFKA_NONE) return NULL;
    struct share_state *state = share_states_find(&s->states, key);
    if (!state) {
        *ret_error = KAFKA_UNKNOWN_SERVER_ERROR; /* nobody subscribed it; Kafka's answer */
        return NULL;
    }
    struct share_live *l = state->live;
    if (!l) {
        l = xcalloc(1, sizeof *l);
        l->store = s;
        l->state = state;
        ev_timer_init(&l->lock, lock_fired, 0., 0.);
        int64_t start = state->start == SHARE_STATE_UNINITIALIZED ? reset_offset(s, key->group_id, log) : state->start;
        share_partition_init(&l->partition, start, (int16_t)config->group_share_delivery_count_limit,
                             (int32_t)config->group_share_partition_max_record_locks);
        if (!share_partition_restore(&l->partition, state->batches, state->batches_count)) {
            log_error("share", "the stored state of a share partition is damaged group=" SLICE_FMT " partition=%s",
                      SLICE_ARG(key->group_id), partition_log_name(log));
            share_partition_done(&l->partition);
            free(l);
            *ret_error = KAFKA_UNKNOWN_SERVER_ERROR;
            return NULL;
        }
        state->live = l;
    }
    share_partition_trim(&l->partition, partition_log_marks(log).log_start);
    return l;
}

struct share_partition *share_live_partition(struct share_live *l)
{
    return &l->partition;
}

enum kafka_error share_live_acknowledge(struct share_live *l, struct uuid member, const struct share_ack *acks,
                                        uint32_t count)
{
    enum kafka_error error = share_partition_acknowledge(&l->partition, member, acks, count, store_changes, l);
    if (error == KAFKA_NONE) live_changed(l);
    return error;
}

void share_live_acquire(struct share_live *l, struct share_acquire *a, struct share_acquired_list *list)
{
    a->lock_end_ms =
        clock_mono_ms(l->store->broker->clock) + shares_lock_ms(l->store->broker, share_state_key(l->state).group_id);
    share_partition_acquire(&l->partition, a, list);
    live_changed(l);
}

/* -- sessions -- */

struct share_sessions *shares_sessions(struct broker *b)
{
    struct share_store *s = store_of(b);
    s->sessions.count_max = (uint32_t)published(s)->config->group_share_max_share_sessions;
    return &s->sessions;
}

void shares_session_close(struct broker *b, struct share_session *session)
{
    struct share_store *s = store_of(b);
    struct uuid member = share_session_member(session);

    for (uint32_t i = 0; i < session->partitions.count; i++) {
        struct share_key key = {.group_id = share_session_group(session),
                                .topic_id = session->partitions.items[i].topic_id,
                                .partition = session->partitions.items[i].partition};
        struct share_live *l = shares_live_find(b, &key);
        if (!l) continue;
        if (share_partition_release(&l->partition, member, store_changes, l) != KAFKA_NONE)
            log_warn("share", "records of a closed session stay locked until their locks end group=" SLICE_FMT,
                     SLICE_ARG(key.group_id));
        live_changed(l);
    }
    share_session_close(&s->sessions, session);
}

static void connection_gone(struct broker *b, uint64_t connection_id)
{
    struct share_session *session, *next;
    HASH_ITER(hh, store_of(b)->sessions.by_key, session, next)
    if (session->connection_id == connection_id) shares_session_close(b, session);
}

/* -- beginning and forgetting state -- */

struct initialization {
    struct broker *broker;
    char *group_id;
    struct partition_set partitions;
    int64_t *starts; /* NULL: none */
    int32_t state_epoch;
    void (*done)(void *arg, enum kafka_error error);
    void *arg;
};

static enum kafka_error initialize_one(struct share_store *s, const struct initialization *i, uint32_t k)
{
    struct share_key key = {.group_id = slice_of(i->group_id),
                            .topic_id = i->partitions.items[k].topic_id,
                            .partition = i->partitions.items[k].partition};
    struct share_record r;
    enum kafka_error error = check(s, &key);

    if (error != KAFKA_NONE) return error;
    struct share_state *state = share_states_find(&s->states, &key);
    if (!share_state_initialize(state, &key, i->state_epoch, i->starts ? i->starts[k] : SHARE_STATE_UNINITIALIZED,
                                clock_wall_ms(s->broker->clock), &r))
        return KAFKA_FENCED_STATE_EPOCH;
    error = store_record(s, &key, &r);
    if (error == KAFKA_NONE && state && state->live) live_free(&s->states, state); /* it begins anew */
    return error;
}

static void log_is_there(void *arg, enum kafka_error error)
{
    struct initialization *i = arg;

    for (uint32_t k = 0; k < i->partitions.count && error == KAFKA_NONE; k++)
        error = initialize_one(store_of(i->broker), i, k);
    i->done(i->arg, error);
    if (error == KAFKA_NONE) wake_group(store_of(i->broker), slice_of(i->group_id));
    partition_set_done(&i->partitions);
    free(i->starts);
    free(i->group_id);
    free(i);
}

void shares_initialize(struct broker *b, struct slice group_id, const struct partition_set *partitions,
                       const int64_t *starts, int32_t state_epoch, void (*done)(void *arg, enum kafka_error error),
                       void *arg)
{
    struct initialization *i = xcalloc(1, sizeof *i);
    *i = (struct initialization){.broker = b,
                                 .group_id = slice_strdup(group_id),
                                 .partitions = partition_set_copy(partitions),
                                 .state_epoch = state_epoch,
                                 .done = done,
                                 .arg = arg};
    if (starts && partitions->count) {
        i->starts = xcalloc(partitions->count, sizeof *starts);
        memcpy(i->starts, starts, partitions->count * sizeof *starts);
    }
    shares_log_ensure(b, log_is_there, i);
}

enum kafka_error shares_delete(struct broker *b, struct slice group_id, const struct partition_set *partitions)
{
    struct share_store *s = store_of(b);

    for (uint32_t i = 0; i < partitions->count; i++) {
        struct share_key key = {.group_id = group_id,
                                .topic_id = partitions->items[i].topic_id,
                                .partition = partitions->items[i].partition};
        enum kafka_error error = check(s, &key);
        if (error == KAFKA_NONE && share_states_find(&s->states, &key)) error = store_tombstone(s, &key);
        if (error != KAFKA_NONE) return error;
    }
    return KAFKA_NONE;
}

const struct share_state *shares_state(struct broker *b, const struct share_key *key, enum kafka_error *ret_error)
{
    struct share_store *s = store_of(b);
    *ret_error = s->log.parts_count ? check(s, key) : KAFKA_NONE;
    return *ret_error == KAFKA_NONE ? share_states_find(&s->states, key) : NULL;
}

void shares_when_durable(struct broker *b, const struct share_key *key, struct durable_waits *waits,
                         void (*done)(void *arg, enum kafka_error error), void *arg)
{
    AUTO_FREE char *id = key_id(key);
    coordinator_log_when_durable(&store_of(b)->log, slice_of(id), waits, done, arg);
}

/* -- the log -- */

static bool apply_snapshot(void *state, const struct coordinator_record *r)
{
    return share_states_apply_snapshot(state, r->key, r->value, r->offset);
}

static bool apply_update(void *state, const struct coordinator_record *r)
{
    return share_states_apply_update(state, r->key, r->value);
}

const struct coordinator_row share_rows[] = {
    {SHARE_RECORD_SNAPSHOT, apply_snapshot}, {SHARE_RECORD_UPDATE, apply_update}, {0}};

/* Which partition of the log a state lives in; the states go when the log does, so that it stays true. */
static int32_t partition_of_state(const struct share_store *s, struct share_state *state)
{
    if (state->log_partition < 0) {
        struct share_key key = share_state_key(state);
        AUTO_FREE char *id = key_id(&key);
        state->log_partition = coordinator_log_partition(&s->log, slice_of(id));
    }
    return state->log_partition;
}

/* Topics may have gone while the broker was down, or what was not understood may have left states without one. */
static void log_loaded(struct coordinator_log *log, int32_t partition, bool ok)
{
    struct share_store *s = container_of(log, struct share_store, log);
    struct share_state *state, *next;

    HASH_ITER(hh, s->states.by_key, state, next)
    {
        struct share_key key = share_state_key(state);
        if (!ok || partition_of_state(s, state) != partition) continue;
        if (!metadata_topic_by_id(published(s), key.topic_id)) (void)store_tombstone(s, &key);
    }
}

static void log_dropped(struct coordinator_log *log)
{
    share_states_done(&container_of(log, struct share_store, log)->states);
}

static const struct config_entry topic_config[] = {
    {"cleanup.policy", "delete"}, {"compression.type", "producer"}, {"retention.ms", "-1"}};

static const struct coordinator_type share_coordinator = {
    .topic = TOPIC_SHARE_STATE,
    .name = "share",
    .rows = share_rows,
    .config = topic_config,
    .config_count = countof(topic_config),
    .partitions_count_at = offsetof(struct broker_config, share_state_num_partitions),
    .segment_bytes_at = offsetof(struct broker_config, share_state_segment_bytes),
    .loaded = log_loaded,
    .dropped = log_dropped,
};

void shares_log_ensure(struct broker *b, void (*done)(void *arg, enum kafka_error error), void *arg)
{
    coordinator_log_ensure(&store_of(b)->log, done, arg);
}

static void topic_changed(struct topic_watch *w, enum topic_event event, const struct metadata_topic *topic)
{
    struct share_store *s = container_of(w, struct share_store, watch);
    struct share_state *state, *next;

    if (event != TOPIC_DELETED) return;
    HASH_ITER(hh, s->states.by_key, state, next)
    {
        struct share_key key = share_state_key(state);
        if (!uuid_eq(key.topic_id, topic->id)) continue;
        struct slice group_id = key.group_id;
        wake_group(s, group_id);
        (void)store_tombstone(s, &key);
    }
}

/* -- keeping the log short -- */

/* What one partition of the log says, and the states that live in it. */
struct prune {
    bool ready;
    struct log_marks marks;
    int64_t needed; /* the first record that a state needs; INT64_MAX: none does */
    bool is_ahead;  /* a state's last snapshot is not on disk: what is, is not replaced by it */
};

/* A state whose snapshot is far behind gets a new one, so that what lies before may go. */
static void renew(struct share_store *s, struct share_state *state, const struct log_marks *marks)
{
    struct share_key key = share_state_key(state);
    struct share_record r;

    if (marks->log_end - state->snapshot_offset < SHARE_LOG_RECORDS_MAX) return;
    share_state_snapshot(state, clock_wall_ms(s->broker->clock), &r);
    (void)store_record(s, &key, &r);
}

static void prune_partition(struct partition_log *log, const struct prune *p)
{
    int64_t needed = MIN(p->marks.durable_end, p->needed), log_start;

    if (!p->ready || p->is_ahead || needed <= p->marks.log_start) return;
    if (partition_log_delete_records(log, needed, &log_start) != KAFKA_NONE)
        log_warn("share", "old state cannot be deleted partition=%s", partition_log_name(log));
}

/* One pass over the states, however many partitions the log has. */
static void prune_fired(struct ev_loop *loop, ev_timer *t, int events)
{
    struct share_store *s = container_of(t, struct share_store, prune);
    AUTO_FREE struct prune *parts = xcalloc((size_t)s->log.parts_count + 1, sizeof *parts);

    for (int32_t i = 0; i < s->log.parts_count; i++) {
        parts[i].needed = INT64_MAX;
        if (!s->log.parts[i].log || !coordinator_log_is_ready(&s->log, i)) continue;
        parts[i].marks = partition_log_marks(s->log.parts[i].log);
        parts[i].ready = parts[i].marks.log_start < parts[i].marks.log_end;
    }
    for (struct share_state *state = s->states.by_key; state; state = state->hh.next) {
        int32_t i = partition_of_state(s, state);
        if (i < 0 || !parts[i].ready) continue;
        parts[i].needed = MIN(parts[i].needed, state->snapshot_offset);
        renew(s, state, &parts[i].marks);
        parts[i].is_ahead |= state->snapshot_offset >= parts[i].marks.durable_end;
    }
    for (int32_t i = 0; i < s->log.parts_count; i++) prune_partition(s->log.parts[i].log, &parts[i]);
}

/* -- life -- */

void shares_open(struct broker *b)
{
    struct share_store *s = xcalloc(1, sizeof *s);
    s->broker = b;
    s->states.forget = live_free;
    TAILQ_INIT(&s->waiters);
    b->shares = s;
    b->connection_gone[WATCHER_SHARE] = connection_gone;
    s->watch.changed = topic_changed;
    broker_watch_topics(b, &s->watch);
    ev_timer_init(&s->wake, wake_fired, 0., 0.);
    double prune_s = (double)b->config->share_prune_interval_ms / 1000;
    ev_timer_init(&s->prune, prune_fired, prune_s, prune_s);
    ev_timer_start(b->control_loop, &s->prune);
    coordinator_log_open(&s->log, b, &share_coordinator, &s->states);
}

void shares_stop(struct broker *b)
{
    coordinator_log_stop(&store_of(b)->log);
}

void shares_close(struct broker *b)
{
    struct share_store *s = store_of(b);
    ev_timer_stop(b->control_loop, &s->prune);
    ev_timer_stop(b->control_loop, &s->wake);
    share_sessions_done(&s->sessions);
    coordinator_log_close(&s->log);
    broker_unwatch_topics(&s->watch);
    b->shares = NULL;
    free(s);
}

bool shares_enabled(struct request *rq)
{
    return metadata_feature_level(request_metadata(rq), "share.version") >= 1;
}
