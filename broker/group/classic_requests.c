/* broker/group/classic_requests.c: JoinGroup, SyncGroup, Heartbeat and LeaveGroup of the classic protocol: who asks,
 * whether it may, and what it brings. When a generation ends and the next begins is classic_rebalance.c's.
 *
 * Threads: the control thread only. Sources: see group_classic.h. */
#include "broker/group/classic_rebalance.h"

#include "base/log.h"
#include "broker/group/consumer_classic.h"
#include "broker/group/group_members.h"
#include "broker/limits.h"

/* A newcomer does not know its id yet and cannot beat; its parked JoinGroup is given this long, then its place is
 * freed. Kafka's figure. */
#define NEW_MEMBER_JOIN_TIMEOUT_MS (5 * 60 * 1000)

/* -- JoinGroup -- */

/* group.max.size. Existing members pass; while a generation is being formed, those who are parked count. */
static bool size_allows(const struct classic_group *c, struct slice member_id)
{
    const struct classic_member *m = classic_member_find(c, member_id);
    int32_t size_max = c->group.groups->config.size_max;
    switch (c->state) {
    case CLASSIC_EMPTY: return true;
    case CLASSIC_PREPARING_REBALANCE: return (m && m->join) || c->joining_count < size_max;
    default: return m || (int32_t)HASH_COUNT(c->members) < size_max;
    }
}

static void join_new(struct classic_group *c, const struct classic_join *in, struct slice id,
                     struct classic_join_call *call)
{
    struct classic_member *m = classic_member_add(c, in, id, classic_session_expired);
    if (!m) {
        classic_join_refuse(call, KAFKA_GROUP_MAX_SIZE_REACHED, id);
        return;
    }
    if (c->state == CLASSIC_PREPARING_REBALANCE && c->initial) c->member_added = true;
    m->is_new = true;
    classic_member_park_join(m, call);
    group_timer_start(&m->session, NEW_MEMBER_JOIN_TIMEOUT_MS);
    classic_rebalance_or_complete(c, "a new member joined");
}

/* -- a static member comes back under a new id -- */

/* The member that is renamed gives up what it has parked: only one may speak for an instance. */
static void member_rename(struct classic_member *m, struct slice id)
{
    classic_member_join_refuse(m, KAFKA_FENCED_INSTANCE_ID, slice_of(m->id));
    classic_sync_answer(m, KAFKA_FENCED_INSTANCE_ID);
    classic_member_set_id(m, id);
}

struct rejoin {
    struct classic_group *group; /* with a reference */
    struct classic_join_call *call;
    char *member_id;
    char *leader_id; /* before the rename, for clients that cannot skip an assignment */
    int32_t generation_id;
    bool can_skip_assignment;
};

static void rejoin_durable(void *arg, enum kafka_error error)
{
    struct rejoin *r = arg;
    struct classic_group *c = r->group;
    struct classic_member *m = c->group.removed ? NULL : classic_member_find(c, slice_of(r->member_id));
    /* Meanwhile a rebalance may have begun, which answers the call itself; or the member is gone, which did. */
    if (m && m->join == r->call && c->state == CLASSIC_STABLE && c->generation_id == r->generation_id) {
        m->join = NULL;
        c->joining_count--;
        m->is_new = false;
        bool leads = r->can_skip_assignment && m == c->leader;
        if (error != KAFKA_NONE) classic_join_refuse(r->call, error, SLICE_EMPTY);
        else
            classic_join_answer(r->call, c, slice_of(m->id),
                                r->can_skip_assignment ? slice_of(c->leader->id) : slice_of(r->leader_id), leads,
                                leads);
    }
    group_unref(&c->group);
    free(r->member_id);
    free(r->leader_id);
    free(r);
}

static void join_static_again(struct classic_group *c, struct classic_member *m, const struct classic_join *in,
                              struct slice id, struct classic_join_call *call)
{
    AUTO_FREE char *leader_id = xstrdup(c->leader->id);
    if (!classic_member_update(m, in)) {
        classic_join_refuse(call, KAFKA_GROUP_MAX_SIZE_REACHED, SLICE_EMPTY);
        return;
    }
    member_rename(m, id);
    classic_session_restart(m);
    classic_member_park_join(m, call);
    if (c->state == CLASSIC_PREPARING_REBALANCE) {
        classic_maybe_complete_join(c);
        return;
    }
    if (c->state != CLASSIC_STABLE || !slice_eq(classic_protocol_choose(c), slice_of(c->protocol_name))) {
        classic_prepare_rebalance(c, "a static member joined again");
        return;
    }
    classic_topics_update(c); /* its subscription may be another */
    enum kafka_error error = classic_append_state(c);
    struct rejoin *r = xcalloc(1, sizeof *r);
    *r = (struct rejoin){.group = c,
                         .call = call,
                         .member_id = xstrdup(m->id),
                         .leader_id = xstrdup(leader_id),
                         .generation_id = c->generation_id,
                         .can_skip_assignment = in->can_skip_assignment};
    group_ref(&c->group);
    if (error != KAFKA_NONE) rejoin_durable(r, error);
    else c->group.groups->host->when_durable(c->group.groups->host, &c->group, rejoin_durable, r);
}

static void join_unknown(struct classic_group *c, const struct classic_join *in, struct classic_join_call *call)
{
    if (!classic_protocols_fit(c, in)) {
        classic_join_refuse(call, KAFKA_INCONSISTENT_GROUP_PROTOCOL, SLICE_EMPTY);
        return;
    }
    AUTO_FREE char *id = classic_member_id_make(in);
    struct classic_member *known = in->instance_id.ptr ? classic_instance_find(c, in->instance_id) : NULL;
    if (known) {
        join_static_again(c, known, in, slice_of(id), call);
    } else if (in->member_id_required && !in->instance_id.ptr) {
        classic_pending_add(c, in, slice_of(id), classic_pending_expired);
        classic_join_refuse(call, KAFKA_MEMBER_ID_REQUIRED, slice_of(id));
    } else {
        join_new(c, in, slice_of(id), call);
    }
}

static void join_known(struct classic_group *c, const struct classic_join *in, struct classic_join_call *call)
{
    if (!classic_protocols_fit(c, in)) {
        classic_join_refuse(call, KAFKA_INCONSISTENT_GROUP_PROTOCOL, in->member_id);
        return;
    }
    if (classic_pending_find(c, in->member_id)) {
        /* An id that we made for a dynamic member: an instance id beside it is nonsense. */
        if (in->instance_id.ptr) classic_join_refuse(call, KAFKA_UNKNOWN_MEMBER_ID, in->member_id);
        else join_new(c, in, in->member_id, call);
        return;
    }
    struct classic_member *m;
    enum kafka_error error = classic_member_check(c, in->member_id, in->instance_id, &m);
    if (error != KAFKA_NONE) {
        classic_join_refuse(call, error, in->member_id);
        return;
    }
    bool same = classic_member_matches(m, in);
    if (c->state == CLASSIC_COMPLETING_REBALANCE && same) {
        /* It did not get the answer; the generation stands. */
        classic_session_restart(m);
        classic_join_answer(call, c, slice_of(m->id), slice_of(c->leader->id), m == c->leader, false);
        return;
    }
    if (c->state == CLASSIC_STABLE && same && m != c->leader) {
        classic_session_restart(m);
        classic_join_answer(call, c, slice_of(m->id), slice_of(c->leader->id), false, false);
        return;
    }
    if (c->state == CLASSIC_EMPTY) {
        classic_join_refuse(call, KAFKA_UNKNOWN_MEMBER_ID, in->member_id);
        return;
    }
    if (!classic_member_update(m, in)) {
        classic_join_refuse(call, KAFKA_GROUP_MAX_SIZE_REACHED, in->member_id);
        return;
    }
    classic_member_park_join(m, call);
    classic_rebalance_or_complete(c, m == c->leader ? "the leader joined again" : "a member changed its metadata");
}

void classic_join(struct groups *gs, const struct classic_join *in, struct classic_join_call *call)
{
    if (!in->group_id.len) {
        classic_join_refuse(call, KAFKA_INVALID_GROUP_ID, in->member_id);
        return;
    }
    if (in->session_timeout_ms < gs->config.session_timeout_min_ms ||
        in->session_timeout_ms > gs->config.session_timeout_max_ms) {
        classic_join_refuse(call, KAFKA_INVALID_SESSION_TIMEOUT, in->member_id);
        return;
    }
    if (in->protocols_count > GROUP_PROTOCOLS_MAX) {
        classic_join_refuse(call, KAFKA_INCONSISTENT_GROUP_PROTOCOL, in->member_id);
        return;
    }
    struct group *g = groups_find(gs, in->group_id);
    bool known = in->member_id.len > 0;
    struct consumer_group *consumer = consumer_group_of(g);
    if (consumer && consumer->members) {
        consumer_join(consumer, in, call);
        return;
    }
    if (consumer && !known) {
        enum kafka_error error = consumer_empty_to_classic(consumer);
        if (error != KAFKA_NONE) {
            classic_join_refuse(call, error, in->member_id);
            return;
        }
        g = groups_find(gs, in->group_id);
    }
    if (consumer && known) {
        classic_join_refuse(call, KAFKA_UNKNOWN_MEMBER_ID, in->member_id);
        return;
    }
    if (g ? !classic_group_of(g) : known) {
        classic_join_refuse(call, g ? KAFKA_INCONSISTENT_GROUP_PROTOCOL : KAFKA_UNKNOWN_MEMBER_ID, in->member_id);
        return;
    }
    if (!g) {
        if (!in->protocol_type.len || in->protocols_count <= 0) {
            classic_join_refuse(call, KAFKA_INCONSISTENT_GROUP_PROTOCOL, SLICE_EMPTY);
            return;
        }
        if (!classic_memory_allows(gs, NULL, in)) {
            classic_join_refuse(call, KAFKA_GROUP_MAX_SIZE_REACHED, SLICE_EMPTY);
            return;
        }
        g = classic_group_make(gs, in->group_id);
    }
    struct classic_group *c = classic_group_of(g);
    if (!size_allows(c, in->member_id) || !classic_memory_allows(gs, c, in)) {
        /* The member would be one too many: it is let go rather than kept waiting. */
        struct classic_member *m = classic_member_find(c, in->member_id);
        if (m) {
            classic_member_remove(m, KAFKA_GROUP_MAX_SIZE_REACHED);
            classic_rebalance_or_complete(c, "a member was one too many");
        }
        classic_join_refuse(call, KAFKA_GROUP_MAX_SIZE_REACHED, SLICE_EMPTY);
        return;
    }
    group_ref(g);
    if (known) join_known(c, in, call);
    else join_unknown(c, in, call);
    group_unref(g);
}

/* -- SyncGroup -- */

struct sync_write {
    struct classic_group *group; /* with a reference */
    int32_t generation_id;
};

/* The assignment is as durable as promised, or its write failed. */
static void complete_sync(void *arg, enum kafka_error error)
{
    struct sync_write *w = arg;
    struct classic_group *c = w->group;
    /* Another member may have joined meanwhile: then that rebalance has answered. */
    if (!c->group.removed && c->state == CLASSIC_COMPLETING_REBALANCE && c->generation_id == w->generation_id) {
        if (error == KAFKA_NONE) classic_set_state(c, CLASSIC_STABLE);
        classic_answer_syncs(c, error);
        if (error != KAFKA_NONE) classic_prepare_rebalance(c, "the assignment could not be stored");
    }
    group_unref(&c->group);
    free(w);
}

static void sync_answer_error(struct classic_sync_call *call, enum kafka_error error)
{
    call->answer(call, &(struct classic_sync_answer){.error = error, .assignment = SLICE_EMPTY});
}

static void sync_lead(struct classic_group *c, const struct classic_sync *in)
{
    bool room = true;
    for (struct classic_member *m = c->members; m; m = m->hh.next) classic_assignment_clear(m);
    for (int32_t i = 0; room && i < in->assignments_count; i++) {
        struct classic_member *m = classic_member_find(c, in->assignments[i].member_id);
        if (m) room = classic_assignment_set(m, in->assignments[i].assignment);
    }
    struct sync_write *w = xcalloc(1, sizeof *w);
    w->group = c;
    w->generation_id = c->generation_id;
    group_ref(&c->group);
    enum kafka_error error = room ? classic_append_state(c) : KAFKA_GROUP_MAX_SIZE_REACHED;
    if (error != KAFKA_NONE) complete_sync(w, error);
    else c->group.groups->host->when_durable(c->group.groups->host, &c->group, complete_sync, w);
}

static enum kafka_error sync_check(const struct classic_group *c, const struct classic_sync *in,
                                   struct classic_member **ret_member)
{
    enum kafka_error error = classic_member_check(c, in->member_id, in->instance_id, ret_member);
    if (error != KAFKA_NONE) return error;
    if (in->generation_id != c->generation_id) return KAFKA_ILLEGAL_GENERATION;
    if (in->protocol_type.ptr && !slice_eq(in->protocol_type, slice_of(c->protocol_type)))
        return KAFKA_INCONSISTENT_GROUP_PROTOCOL;
    if (in->protocol_name.ptr && !slice_eq(in->protocol_name, slice_of(c->protocol_name)))
        return KAFKA_INCONSISTENT_GROUP_PROTOCOL;
    if (c->state == CLASSIC_PREPARING_REBALANCE) return KAFKA_REBALANCE_IN_PROGRESS;
    if (c->state == CLASSIC_EMPTY) return KAFKA_UNKNOWN_MEMBER_ID;
    return KAFKA_NONE;
}

void classic_sync(struct groups *gs, const struct classic_sync *in, struct classic_sync_call *call)
{
    if (!in->group_id.len) {
        sync_answer_error(call, KAFKA_INVALID_GROUP_ID);
        return;
    }
    struct group *g = groups_find(gs, in->group_id);
    if (consumer_group_of(g)) {
        consumer_sync(consumer_group_of(g), in, call);
        return;
    }
    struct classic_group *c = classic_group_of(g);
    struct classic_member *m;
    enum kafka_error error = c ? sync_check(c, in, &m) : KAFKA_UNKNOWN_MEMBER_ID;
    if (error != KAFKA_NONE) {
        sync_answer_error(call, error);
        return;
    }
    classic_sync_arrived(m);
    classic_sync_answer(m, KAFKA_REBALANCE_IN_PROGRESS); /* an earlier one, of a connection that the client gave up */
    m->sync = call;
    if (c->state == CLASSIC_STABLE) {
        classic_session_restart(m);
        classic_sync_answer(m, KAFKA_NONE);
    } else if (m == c->leader) {
        sync_lead(c, in);
    }
}

/* -- Heartbeat, LeaveGroup -- */

enum kafka_error classic_heartbeat(struct groups *gs, struct slice id, const struct group_caller *caller)
{
    if (!id.len) return KAFKA_INVALID_GROUP_ID;
    struct group *g = groups_find(gs, id);
    if (consumer_group_of(g)) return consumer_classic_heartbeat(consumer_group_of(g), caller);
    struct classic_group *c = classic_group_of(g);
    if (!c) return KAFKA_UNKNOWN_MEMBER_ID;
    struct classic_member *m;
    enum kafka_error error = classic_member_check(c, caller->member_id, caller->instance_id, &m);
    if (error != KAFKA_NONE) return error;
    if (caller->generation_id != c->generation_id) return KAFKA_ILLEGAL_GENERATION;
    if (c->state == CLASSIC_EMPTY) return KAFKA_UNKNOWN_MEMBER_ID;
    classic_session_restart(m);
    return c->state == CLASSIC_PREPARING_REBALANCE ? KAFKA_REBALANCE_IN_PROGRESS : KAFKA_NONE;
}

void classic_leave(struct groups *gs, struct slice id, struct classic_leave *leaves, int32_t count)
{
    struct group *g = groups_find(gs, id);
    if (consumer_group_of(g)) {
        consumer_leave(consumer_group_of(g), leaves, count);
        return;
    }
    struct classic_group *c = classic_group_of(g);
    bool left = false, pending_left = false;
    for (int32_t i = 0; i < count; i++) {
        struct classic_leave *l = &leaves[i];
        l->error = id.len ? KAFKA_UNKNOWN_MEMBER_ID : KAFKA_INVALID_GROUP_ID;
        if (!c) continue;
        struct classic_member *m = NULL;
        struct classic_pending *p = classic_pending_find(c, l->member_id);
        if (!l->member_id.len) {
            m = l->instance_id.ptr ? classic_instance_find(c, l->instance_id) : NULL;
            if (m) l->error = KAFKA_NONE;
        } else if (p) {
            classic_pending_remove(p);
            pending_left = true;
            l->error = KAFKA_NONE;
        } else {
            l->error = classic_member_check(c, l->member_id, l->instance_id, &m);
        }
        if (l->error != KAFKA_NONE || !m) continue;
        log_info("group", "member left group=%s member=%s", c->group.id, m->id);
        classic_member_remove(m, KAFKA_UNKNOWN_MEMBER_ID);
        left = true;
    }
    if (left) classic_rebalance_or_complete(c, "members left");
    else if (pending_left) classic_maybe_complete_join(c);
}
