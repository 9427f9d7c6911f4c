/* broker/group/group_classic.c: see group_classic.h. Here: the life of a group, what offsets and expiry ask of it,
 * and how it comes from its log. */
#include "broker/group/group_classic.h"

#include "broker/group/classic_rebalance.h"
#include "broker/group/group_members.h"

static const struct group_type classic_type;

static struct classic_group *group_new(struct groups *gs, struct slice id)
{
    struct classic_group *c = xcalloc(1, sizeof *c);
    group_init(gs, &c->group, &classic_type, id);
    group_count_bytes(&c->group, (int64_t)(sizeof *c - sizeof c->group));
    c->state_time_ms = clock_wall_ms(gs->host->clock);
    group_timer_init(&c->join_timer, gs->host, classic_join_timer_fired);
    group_timer_init(&c->sync_timer, gs->host, classic_sync_timer_fired);
    return c;
}

struct group *classic_group_make(struct groups *gs, struct slice id)
{
    struct classic_group *c = group_new(gs, id);
    struct group *old = groups_find(gs, id);
    if (old) groups_replace(old, &c->group);
    else groups_add(&c->group);
    return &c->group;
}

struct classic_group *classic_group_of(struct group *g)
{
    return g && g->type == &classic_type ? container_of(g, struct classic_group, group) : NULL;
}

static void group_removed(struct group *g)
{
    struct classic_group *c = classic_group_of(g);
    while (c->members) classic_member_remove(c->members, KAFKA_COORDINATOR_NOT_AVAILABLE);
    while (c->pending) classic_pending_remove(c->pending);
    group_timer_stop(&c->join_timer);
    group_timer_stop(&c->sync_timer);
    free(c->topics);
    free(c->protocol_type);
    free(c->protocol_name);
    c->topics = NULL;
    c->topics_bytes = 0;
    c->protocol_type = c->protocol_name = NULL;
}

/* -- the type's functions -- */

static const char *state_name(const struct group *g)
{
    static const char *const names[] = {"Empty", "PreparingRebalance", "CompletingRebalance", "Stable"};
    return names[container_of(g, const struct classic_group, group)->state];
}

static struct slice protocol_type(const struct group *g)
{
    const struct classic_group *c = container_of(g, const struct classic_group, group);
    return c->protocol_type ? slice_of(c->protocol_type) : SLICE_EMPTY;
}

static bool is_empty(const struct group *g)
{
    return container_of(g, const struct classic_group, group)->state == CLASSIC_EMPTY;
}

static enum kafka_error check_commit(struct group *g, const struct group_caller *caller)
{
    struct classic_group *c = classic_group_of(g);
    if (caller->generation_id < 0 && c->state == CLASSIC_EMPTY) return KAFKA_NONE;
    if (caller->generation_id < 0 && !caller->member_id.len && !caller->instance_id.ptr)
        return caller->in_txn ? KAFKA_NONE : KAFKA_UNKNOWN_MEMBER_ID;
    struct classic_member *m;
    enum kafka_error error = classic_member_check(c, caller->member_id, caller->instance_id, &m);
    if (error != KAFKA_NONE) return error;
    if (caller->generation_id != c->generation_id) return KAFKA_ILLEGAL_GENERATION;
    if (c->state == CLASSIC_COMPLETING_REBALANCE && !caller->in_txn) return KAFKA_REBALANCE_IN_PROGRESS;
    classic_session_restart(m);
    return KAFKA_NONE;
}

static enum kafka_error check_fetch(struct group *g, const struct group_caller *caller)
{
    return KAFKA_NONE; /* whoever may describe the group may read its offsets */
}

static bool is_consumer(const struct classic_group *c)
{
    return c->protocol_type && strcmp(c->protocol_type, "consumer") == 0;
}

static enum kafka_error check_offset_delete(const struct group *g)
{
    const struct classic_group *c = container_of(g, const struct classic_group, group);
    return c->state == CLASSIC_EMPTY || is_consumer(c) ? KAFKA_NONE : KAFKA_NON_EMPTY_GROUP;
}

static bool is_subscribed(const struct group *g, struct slice topic)
{
    const struct classic_group *c = container_of(g, const struct classic_group, group);
    if (!c->topics_known) return c->members && is_consumer(c); /* cannot be told: do not take it away */
    return classic_topics_have(c, topic);
}

static bool expires(const struct group *g, int64_t *ret_since_ms)
{
    const struct classic_group *c = container_of(g, const struct classic_group, group);
    *ret_since_ms = INT64_MIN;
    if (!c->protocol_type) return c->state == CLASSIC_EMPTY;
    if (c->state == CLASSIC_EMPTY) {
        if (c->state_time_ms >= 0) *ret_since_ms = c->state_time_ms;
        return true;
    }
    return c->state == CLASSIC_STABLE && c->topics_known;
}

static enum kafka_error append_removed(struct group *g)
{
    struct group_host *h = g->groups->host;
    return h->append(h, g, &(struct group_change){.type = GROUP_CHANGE_REMOVED}, 1);
}

static void loaded(struct group *g)
{
    struct classic_group *c = classic_group_of(g);
    for (struct classic_member *m = c->members; m; m = m->hh.next) classic_session_restart(m);
    if (c->members && (int32_t)HASH_COUNT(c->members) > g->groups->config.size_max)
        classic_prepare_rebalance(c, "the group is larger than group.max.size");
}

static const struct group_type classic_type = {
    .name = "classic",
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
    .free = group_removed,
};

/* -- restore -- */

static void fill(struct classic_group *c, const struct classic_stored *stored)
{
    for (int32_t i = 0; i < stored->members_count; i++) {
        const struct classic_stored_member *s = &stored->members[i];
        if (classic_member_find(c, s->id) || (s->instance_id.ptr && classic_instance_find(c, s->instance_id))) continue;
        struct classic_protocol chosen = {.name = stored->protocol_name.ptr ? stored->protocol_name : SLICE_EMPTY,
                                          .metadata = s->metadata};
        struct classic_join in = {
            .instance_id = s->instance_id,
            .client_id = s->client_id,
            .client_host = s->client_host,
            .protocol_type = stored->protocol_type,
            .session_timeout_ms = s->session_timeout_ms,
            .rebalance_timeout_ms = s->rebalance_timeout_ms >= 0 ? s->rebalance_timeout_ms : s->session_timeout_ms,
            .protocols = s->protocols ? s->protocols : &chosen,
            .protocols_count = s->protocols ? s->protocols_count : 1,
        };
        /* Who is forgotten for want of memory, or its assignment, joins again. */
        struct classic_member *m = classic_member_add(c, &in, s->id, classic_session_expired);
        if (m && !classic_assignment_set(m, s->assignment)) classic_member_remove(m, KAFKA_UNKNOWN_MEMBER_ID);
    }
    struct classic_member *leader = stored->leader.ptr ? classic_member_find(c, stored->leader) : NULL;
    if (leader) c->leader = leader;
    bool choose = c->members && stored->members[0].protocols;
    classic_group_text_set(c, &c->protocol_type, stored->protocol_type.len ? stored->protocol_type : SLICE_NULL);
    classic_group_text_set(c, &c->protocol_name, choose ? classic_protocol_choose(c) : stored->protocol_name);
    c->generation_id = stored->generation_id;
    c->state = c->state_before = c->members ? CLASSIC_STABLE : CLASSIC_EMPTY;
    c->state_time_ms = stored->state_time_ms;
    classic_topics_update(c);
}

void classic_group_restore(struct groups *gs, struct slice id, const struct classic_stored *stored)
{
    struct classic_group *c = classic_group_of(groups_find(gs, id));
    if (!c) c = classic_group_of(classic_group_make(gs, id));
    while (c->members) classic_member_remove(c->members, KAFKA_UNKNOWN_MEMBER_ID);
    fill(c, stored);
}

/* -- from and to groups of another type -- */

struct classic_group *classic_group_new(struct groups *gs, struct slice id, const struct classic_stored *stored)
{
    struct classic_group *c = group_new(gs, id);
    fill(c, stored);
    return c;
}

void classic_group_begin(struct classic_group *c, const char *reason)
{
    for (struct classic_member *m = c->members; m; m = m->hh.next) classic_session_restart(m);
    if (c->members) classic_prepare_rebalance(c, reason);
}

void classic_answer_parked(struct classic_group *c, enum kafka_error error)
{
    for (struct classic_member *m = c->members; m; m = m->hh.next) {
        classic_member_join_refuse(m, error, slice_of(m->id));
        classic_sync_answer(m, error);
    }
}
