/* broker/group/group_consumer.c: see group_consumer.h. */
#include "broker/group/group_consumer.h"

#include "base/log.h"
#include "broker/group/consumer_changes.h"
#include "broker/group/consumer_classic.h"
#include "broker/group/consumer_members.h"
#include "broker/group/consumer_reconcile.h"
#include "broker/group/consumer_regex.h"
#include "broker/group/consumer_target.h"

static const struct group_type consumer_type;
static const struct consumer_timers timers;

struct consumer_group *consumer_group_of(struct group *g)
{
    return g && g->type == &consumer_type ? container_of(g, struct consumer_group, group) : NULL;
}

struct group_options consumer_group_options(const struct consumer_group *c)
{
    struct group_options o = c->group.groups->config.options;
    c->group.groups->host->options(c->group.groups->host, group_id(&c->group), &o);
    return o;
}

/* -- timers -- */

void consumer_session_restart(struct consumer_member *m)
{
    group_timer_start(&m->session, m->profile.is_classic
                                       ? m->profile.session_timeout_ms
                                       : consumer_group_options(m->group).consumer_session_timeout_ms);
}

static void rebalance_timer_set(struct consumer_member *m)
{
    if (m->profile.is_classic) return;
    if (m->position.state == CONSUMER_UNREVOKED) group_timer_start(&m->rebalance, m->profile.rebalance_timeout_ms);
    else group_timer_stop(&m->rebalance);
}

/* Removes a member whose time is over; when the log does not take that, it is tried again. */
static void fence(struct consumer_member *m, struct group_timer *t, const char *reason)
{
    struct consumer_group *c = m->group;
    log_info("group", "member removed group=%s member=%s reason=\"%s\"", c->group.id, m->id, reason);
    if (consumer_remove_members(c, &m, 1) != KAFKA_NONE) group_timer_start(t, 1000);
}

static void session_expired(struct group_timer *t)
{
    fence(container_of(t, struct consumer_member, session), t, "its session expired");
}

static void rebalance_expired(struct group_timer *t)
{
    struct consumer_member *m = container_of(t, struct consumer_member, rebalance);
    fence(m, t, m->profile.is_classic ? "it did not join again in time" : "it did not give up its partitions in time");
}

static void sync_expired(struct group_timer *t)
{
    fence(container_of(t, struct consumer_member, sync), t, "it sent no SyncGroup in time");
}

static const struct consumer_timers timers = {
    .session_expired = session_expired, .rebalance_expired = rebalance_expired, .sync_expired = sync_expired};

/* -- coming and going of members -- */

/* Expressions that only members for whom leaves() is true subscribe: their records go. */
static bool regex_is_left(const struct consumer_regex *r, struct consumer_member *const *members, uint32_t count)
{
    uint32_t leaving = 0;
    for (uint32_t i = 0; i < count; i++) leaving += slice_eq(members[i]->profile.regex, consumer_regex_text(r));
    return leaving == consumer_regex_members(members[0]->group, consumer_regex_text(r));
}

enum kafka_error consumer_remove_members(struct consumer_group *c, struct consumer_member **members, uint32_t count)
{
    if (!count) return KAFKA_NONE;
    if (consumer_may_downgrade(c, members, count)) return consumer_downgrade(c, members, count);
    struct consumer_changes l = {0};
    for (uint32_t i = 0; i < count; i++) consumer_changes_remove_member(&l, slice_of(members[i]->id));
    for (const struct consumer_regex *r = c->regexes; r; r = r->hh.next)
        if (regex_is_left(r, members, count))
            consumer_changes_remove(&l, CONSUMER_CHANGE_REGEX, consumer_regex_text(r));
    consumer_changes_epoch(&l, c->epoch + 1, c->metadata_hash);
    /* Keys point into members that go when they are applied: in the order of the list, their profile last. */
    AUTO_FREE char **keys = xcalloc(l.count, sizeof *keys);
    for (uint32_t i = 0; i < l.count; i++) {
        if (!l.items[i].key.ptr) continue;
        keys[i] = slice_strdup(l.items[i].key);
        l.items[i].key = slice_make(keys[i], l.items[i].key.len);
    }
    enum kafka_error error = consumer_changes_commit(c, &l);
    for (uint32_t i = 0; i < l.count; i++) free(keys[i]);
    consumer_changes_done(&l);
    return error;
}

enum kafka_error consumer_replace_member(struct consumer_member **member, struct slice id)
{
    struct consumer_member *old = *member;
    struct consumer_group *c = old->group;
    struct consumer_profile profile;
    void *profile_memory = consumer_profile_copy(&old->profile, &profile);
    AUTO_FREE char *old_id = xstrdup(old->id);
    struct partition_set target = partition_set_copy(&old->target);
    struct consumer_position position = {.state = old->position.state,
                                         .assigned = partition_set_copy(&old->position.assigned),
                                         .revoking = partition_set_copy(&old->position.revoking)};
    struct consumer_changes l = {0};
    consumer_changes_remove_member(&l, slice_of(old_id));
    consumer_changes_profile(&l, id, &profile);
    consumer_changes_target(&l, id, &target);
    consumer_changes_position(&l, id, &position);
    enum kafka_error error = consumer_changes_commit(c, &l);
    if (error == KAFKA_NONE) {
        *member = consumer_member_find(c, id);
        log_info("group", "static member replaced group=%s instance=" SLICE_FMT " member=%s former=%s", c->group.id,
                 SLICE_ARG(profile.instance_id), (*member)->id, old_id);
    }
    consumer_changes_done(&l);
    partition_set_done(&target);
    consumer_position_done(&position);
    free(profile_memory);
    return error;
}

/* -- a member's way -- */

enum kafka_error consumer_update_profile(struct consumer_group *c, const struct consumer_profile *profile,
                                         const struct consumer_heartbeat *in, struct slice id,
                                         struct consumer_member **member, struct err *err)
{
    static const struct consumer_profile nobody = {.client_id = {(const uint8_t *)"", 0}};
    const struct consumer_profile *before = *member ? &(*member)->profile : &nobody;
    struct slice old_regex = consumer_has_regex(before) ? before->regex : SLICE_NULL;
    struct slice new_regex = consumer_has_regex(profile) ? profile->regex : SLICE_NULL;
    bool regex_changes = !slice_eq(old_regex, new_regex);
    bool bump = c->epoch == 0 || !consumer_topics_eq(before, profile) || regex_changes;
    struct consumer_changes l = {0};
    struct consumer_names names = {0};
    enum kafka_error error = KAFKA_NONE;

    if (!*member || !consumer_profile_eq(before, profile)) consumer_changes_profile(&l, id, profile);
    bool orphaned = regex_changes && old_regex.ptr && consumer_regex_members(c, old_regex) == 1;
    AUTO_FREE char *gone = orphaned ? slice_strdup(old_regex) : NULL; /* its owner's profile is replaced */
    if (gone) consumer_changes_remove(&l, CONSUMER_CHANGE_REGEX, slice_make(gone, old_regex.len));
    uint32_t before_count = l.count;
    if (in && !consumer_regexes_resolve(c, in, new_regex, gone ? slice_make(gone, old_regex.len) : SLICE_NULL, &l,
                                        &names, err))
        error = KAFKA_INVALID_REGULAR_EXPRESSION;
    bump |= l.count > before_count;
    if (bump) consumer_changes_epoch(&l, c->epoch + 1, c->metadata_hash);
    if (error == KAFKA_NONE) error = consumer_changes_commit(c, &l);
    consumer_changes_done(&l);
    consumer_names_done(&names);
    *member = consumer_member_find(c, id);
    return error;
}

enum kafka_error consumer_advance(struct consumer_member *m, const struct partition_set *owned, bool *ret_moved)
{
    struct consumer_group *c = m->group;
    struct consumer_changes l = {0};
    struct consumer_targets targets = {0};
    int32_t epoch = c->epoch;
    const struct partition_set *target = &m->target;
    if (c->refresh || epoch > c->assignment_epoch) {
        struct consumer_topics topics;
        consumer_topics_resolve(c, &topics);
        if (topics.hash != c->metadata_hash) {
            epoch += epoch == c->assignment_epoch;
            consumer_changes_epoch(&l, epoch, topics.hash);
        }
        if (epoch > c->assignment_epoch) consumer_targets_compute(c, &topics, &targets);
        consumer_topics_done(&topics);
        for (uint32_t i = 0; i < targets.count; i++) {
            if (!partition_set_eq(&targets.members[i]->target, &targets.sets[i]))
                consumer_changes_target(&l, slice_of(targets.members[i]->id), &targets.sets[i]);
            if (targets.members[i] == m) target = &targets.sets[i];
        }
        if (targets.count) consumer_changes_target_epoch(&l, epoch);
        if (c->has_old_metadata) consumer_changes_remove(&l, CONSUMER_CHANGE_OLD_METADATA, SLICE_NULL);
    }
    struct consumer_position next;
    bool moves = consumer_reconcile(m, targets.count ? epoch : c->assignment_epoch, target, owned, &next);
    if (moves) consumer_changes_position(&l, slice_of(m->id), &next);
    *ret_moved = moves && !partition_set_eq(&m->position.assigned, &next.assigned);
    enum kafka_error error = consumer_changes_commit(c, &l);
    if (error == KAFKA_NONE) {
        c->refresh = false;
        if (targets.count)
            log_info("group", "assignment computed group=%s epoch=%d members=%u assignor=%s", c->group.id, epoch,
                     targets.count, consumer_assignor_name(c));
        if (moves) rebalance_timer_set(m);
    }
    if (moves) consumer_position_done(&next);
    consumer_targets_done(&targets);
    consumer_changes_done(&l);
    return error;
}

void consumer_topic_changed(struct groups *gs, struct slice topic, bool created)
{
    for (struct group *g = gs->by_id; g; g = g->hh.next) {
        struct consumer_group *c = consumer_group_of(g);
        if (!c) continue;
        if (created && c->regexes) c->topics_added = true;
        if (!c->refresh && consumer_is_subscribed(c, topic)) c->refresh = true;
    }
}

/* -- life of a group -- */

struct consumer_group *consumer_group_make(struct groups *gs, struct slice id)
{
    struct consumer_group *c = xcalloc(1, sizeof *c);
    group_init(gs, &c->group, &consumer_type, id);
    group_count_bytes(&c->group, (int64_t)(sizeof *c - sizeof c->group));
    c->timers = &timers;
    c->regex_time_ms = INT64_MIN;
    c->refresh = true;
    return c;
}

struct consumer_group *consumer_group_put(struct groups *gs, struct slice id)
{
    struct consumer_group *c = consumer_group_make(gs, id);
    struct group *old = groups_find(gs, id);
    if (old) groups_replace(old, &c->group);
    else groups_add(&c->group);
    return c;
}

/* -- the type's functions -- */

static const char *state_name(const struct group *g)
{
    const struct consumer_group *c = container_of(g, const struct consumer_group, group);
    if (!c->members) return "Empty";
    if (c->epoch > c->assignment_epoch) return "Assigning";
    for (const struct consumer_member *m = c->members; m; m = m->hh.next)
        if (m->position.state != CONSUMER_STABLE || m->position.epoch != c->assignment_epoch) return "Reconciling";
    return "Stable";
}

static struct slice protocol_type(const struct group *g)
{
    return SLICE("consumer");
}

static bool is_empty(const struct group *g)
{
    return !container_of(g, const struct consumer_group, group)->members;
}

static enum kafka_error member_epoch_check(const struct consumer_member *m, int32_t epoch)
{
    if (epoch == m->position.epoch) return KAFKA_NONE;
    return m->profile.is_classic ? KAFKA_ILLEGAL_GENERATION : KAFKA_STALE_MEMBER_EPOCH;
}

static enum kafka_error check_commit(struct group *g, const struct group_caller *caller)
{
    struct consumer_group *c = consumer_group_of(g);
    if (caller->generation_id < 0 && !c->members) return KAFKA_NONE;
    if (caller->in_txn && caller->generation_id == -1 && !caller->member_id.len && !caller->instance_id.ptr)
        return KAFKA_NONE;
    const struct consumer_member *m = consumer_member_find(c, caller->member_id);
    if (!m) return KAFKA_UNKNOWN_MEMBER_ID;
    if (!caller->in_txn && !m->profile.is_classic && !caller->knows_epochs) return KAFKA_UNSUPPORTED_VERSION;
    enum kafka_error error = member_epoch_check(m, caller->generation_id);
    /* A producer knows generations only. */
    return error == KAFKA_STALE_MEMBER_EPOCH && caller->in_txn ? KAFKA_ILLEGAL_GENERATION : error;
}

static enum kafka_error check_fetch(struct group *g, const struct group_caller *caller)
{
    if (!caller->member_id.len && caller->generation_id < 0) return KAFKA_NONE;
    const struct consumer_member *m = consumer_member_find(consumer_group_of(g), caller->member_id);
    return m ? member_epoch_check(m, caller->generation_id) : KAFKA_UNKNOWN_MEMBER_ID;
}

static enum kafka_error check_offset_delete(const struct group *g)
{
    return KAFKA_NONE;
}

static bool is_subscribed(const struct group *g, struct slice topic)
{
    return consumer_is_subscribed((struct consumer_group *)(uintptr_t)consumer_group_of_const(g), topic);
}

static bool expires(const struct group *g, int64_t *ret_since_ms)
{
    *ret_since_ms = INT64_MIN;
    return true;
}

static void loaded(struct group *g)
{
    struct consumer_group *c = consumer_group_of(g);
    c->refresh = c->topics_added = true; /* nobody told what happened to topics meanwhile */
    for (struct consumer_member *m = c->members; m; m = m->hh.next) {
        consumer_session_restart(m);
        rebalance_timer_set(m);
    }
}

static enum kafka_error append_removed(struct group *g)
{
    struct consumer_changes l = {0};
    consumer_changes_remove_group(&l, consumer_group_of(g));
    enum kafka_error error = consumer_changes_append(g, &l, NULL, NULL);
    consumer_changes_done(&l);
    return error;
}

static void removed(struct group *g)
{
    consumer_clear(container_of(g, struct consumer_group, group));
}

static const struct group_type consumer_type = {
    .name = "consumer",
    .state_name = state_name,
    .protocol_type = protocol_type,
    .is_empty = is_empty,
    .check_commit = check_commit,
    .check_fetch = check_fetch,
    .check_offset_delete = check_offset_delete,
    .is_subscribed = is_subscribed,
    .expires = expires,
    .append_removed = append_removed,
    .loaded = loaded,
    .free = removed,
};

/* -- the log -- */

void consumer_group_restore(struct groups *gs, struct slice id, const struct consumer_change *change)
{
    struct group *g = groups_find(gs, id);
    struct consumer_group *c = consumer_group_of(g);
    if (!c && change->removed) return;
    if (!c) c = consumer_group_put(gs, id);
    consumer_apply(c, change);
    if (change->type != CONSUMER_CHANGE_EPOCH || !change->removed) return;
    /* The group is gone; its offsets may live on as those of a simple group. */
    if (offsets_is_empty(&c->group.offsets)) groups_remove(&c->group);
    else (void)classic_group_make(gs, id);
}
