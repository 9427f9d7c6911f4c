/* broker/group_classic.c: see group_classic.h. */
#include "broker/group_classic.h"

#include "base/log.h"
#include "broker/consumer_classic.h"
#include "broker/group_members.h"
#include "broker/limits.h"

/* A newcomer does not know its id yet and cannot beat; its parked JoinGroup is given this long, then its place is
 * freed. Kafka's figure. */
#define NEW_MEMBER_JOIN_TIMEOUT_MS (5 * 60 * 1000)

static const struct group_type classic_type;

static int64_t now_ms(const struct classic_group *c)
{
    return clock_wall_ms(c->group.groups->host->clock);
}

static void set_state(struct classic_group *c, enum classic_state state)
{
    c->state_before = c->state;
    c->state = state;
    c->state_time_ms = now_ms(c);
}

static enum kafka_error append_state(struct classic_group *c)
{
    struct group_host *host = c->group.groups->host;
    return host->append(host, &c->group, &(struct group_change){.type = GROUP_CHANGE_STATE}, 1);
}

/* -- answers -- */

static void join_answer_error(struct classic_join_call *call, enum kafka_error error, struct slice member_id)
{
    call->answer(call, &(struct classic_join_answer){.error = error,
                                                     .generation_id = -1,
                                                     .leader = SLICE_EMPTY,
                                                     .member_id = member_id.ptr ? member_id : SLICE_EMPTY});
}

static void member_answer_join_error(struct classic_member *m, enum kafka_error error, struct slice member_id)
{
    struct classic_join_call *call = m->join;
    if (!call) return;
    m->join = NULL;
    m->group->joining_count--;
    join_answer_error(call, error, member_id);
}

/* Answers call as the present generation stands. listed: with all members, for a leader. */
static void join_answer_generation(struct classic_join_call *call, const struct classic_group *c,
                                   struct slice member_id, struct slice leader, bool listed, bool skip_assignment)
{
    struct classic_join_answer answer = {
        .generation_id = c->generation_id,
        .protocol_type = slice_of(c->protocol_type),
        .protocol_name = slice_of(c->protocol_name),
        .leader = leader,
        .member_id = member_id,
        .skip_assignment = skip_assignment,
    };
    AUTO_FREE struct classic_join_member *members = NULL;
    if (listed) {
        members = xcalloc(HASH_COUNT(c->members), sizeof *members);
        for (struct classic_member *m = c->members; m; m = m->hh.next)
            members[answer.members_count++] = (struct classic_join_member){.member_id = slice_of(m->id),
                                                                           .instance_id = slice_of(m->instance_id),
                                                                           .metadata = classic_member_metadata(m)};
        answer.members = members;
    }
    call->answer(call, &answer);
}

static void member_answer_sync(struct classic_member *m, enum kafka_error error)
{
    struct classic_sync_call *call = m->sync;
    if (!call) return;
    m->sync = NULL;
    bool ok = error == KAFKA_NONE;
    call->answer(call, &(struct classic_sync_answer){
                           .error = error,
                           .protocol_type = ok ? slice_of(m->group->protocol_type) : SLICE_NULL,
                           .protocol_name = ok ? slice_of(m->group->protocol_name) : SLICE_NULL,
                           .assignment = ok ? m->assignment : SLICE_EMPTY,
                       });
}

/* -- coming and going of members -- */

static void session_expired(struct group_timer *t);

static void session_restart(struct classic_member *m)
{
    group_timer_start(&m->session, m->session_timeout_ms);
}

/* Parks the call as the member's. An earlier one belongs to a connection that the client gave up. */
static void member_park_join(struct classic_member *m, struct classic_join_call *call)
{
    member_answer_join_error(m, KAFKA_REBALANCE_IN_PROGRESS, slice_of(m->id));
    m->join = call;
    m->group->joining_count++;
}

/* Frees the member; what it has parked is answered with error. */
static void member_remove(struct classic_member *m, enum kafka_error error)
{
    member_answer_join_error(m, error, SLICE_EMPTY);
    member_answer_sync(m, error);
    classic_member_free(m);
}

static void group_removed(struct group *g)
{
    struct classic_group *c = classic_group_of(g);
    while (c->members) member_remove(c->members, KAFKA_COORDINATOR_NOT_AVAILABLE);
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

/* -- rebalance -- */

static void complete_join(struct classic_group *c);
static void prepare_rebalance(struct classic_group *c, const char *reason);

static int32_t rebalance_timeout_ms(const struct classic_group *c)
{
    int32_t timeout_ms = 0;
    for (struct classic_member *m = c->members; m; m = m->hh.next)
        timeout_ms = MAX(timeout_ms, m->rebalance_timeout_ms);
    return timeout_ms;
}

static bool all_joined(const struct classic_group *c)
{
    return c->joining_count == (int32_t)HASH_COUNT(c->members) && !c->pending;
}

/* PreparingRebalance: somebody joined or went. */
static void maybe_complete_join(struct classic_group *c)
{
    if (c->state == CLASSIC_PREPARING_REBALANCE && !c->initial && all_joined(c)) complete_join(c);
}

static void join_timer_fired(struct group_timer *t)
{
    struct classic_group *c = container_of(t, struct classic_group, join_timer);
    if (c->initial && c->member_added && c->initial_remaining_ms) {
        int32_t delay_ms = MIN(c->group.groups->config.initial_rebalance_delay_ms, c->initial_remaining_ms);
        c->initial_remaining_ms = MAX(c->initial_remaining_ms - c->initial_delay_ms, 0);
        c->initial_delay_ms = delay_ms;
        c->member_added = false;
        group_timer_start(&c->join_timer, delay_ms);
    } else {
        complete_join(c);
    }
}

static void answer_syncs(struct classic_group *c, enum kafka_error error)
{
    for (struct classic_member *m = c->members; m; m = m->hh.next) {
        bool parked = m->sync != NULL;
        if (error != KAFKA_NONE) classic_assignment_clear(m);
        member_answer_sync(m, error);
        /* A session that ran out while the answer was parked is not forgotten, it begins anew. */
        if (parked) session_restart(m);
    }
}

static void prepare_rebalance(struct classic_group *c, const char *reason)
{
    if (c->state == CLASSIC_COMPLETING_REBALANCE) answer_syncs(c, KAFKA_REBALANCE_IN_PROGRESS);
    group_timer_stop(&c->sync_timer);
    for (struct classic_member *m = c->members; m; m = m->hh.next) m->sync_missing = false;
    log_info("group", "rebalance group=%s generation=%d reason=\"%s\"", c->group.id, c->generation_id, reason);

    c->initial = c->state == CLASSIC_EMPTY;
    set_state(c, CLASSIC_PREPARING_REBALANCE);
    if (c->initial) {
        c->member_added = false;
        c->initial_delay_ms = c->group.groups->config.initial_rebalance_delay_ms;
        c->initial_remaining_ms = MAX(rebalance_timeout_ms(c) - c->initial_delay_ms, 0);
        group_timer_start(&c->join_timer, c->initial_delay_ms);
    } else if (all_joined(c)) {
        complete_join(c);
    } else {
        group_timer_start(&c->join_timer, rebalance_timeout_ms(c));
    }
}

/* After members came, changed or went. */
static void rebalance_or_complete(struct classic_group *c, const char *reason)
{
    if (c->state != CLASSIC_PREPARING_REBALANCE) prepare_rebalance(c, reason);
    else maybe_complete_join(c);
}

/* The leader must be somebody who joined. False: nobody did. */
static bool elect_joined_leader(struct classic_group *c)
{
    if (c->leader && c->leader->join) return true;
    for (struct classic_member *m = c->members; m; m = m->hh.next)
        if (m->join) {
            c->leader = m;
            return true;
        }
    return false;
}

static void sync_timer_fired(struct group_timer *t)
{
    struct classic_group *c = container_of(t, struct classic_group, sync_timer);
    struct classic_member *m, *next;
    int removed = 0;
    HASH_ITER(hh, c->members, m, next)
    {
        if (!m->sync_missing) continue;
        member_remove(m, KAFKA_UNKNOWN_MEMBER_ID);
        removed++;
    }
    if (removed) prepare_rebalance(c, "members did not send SyncGroup in time");
}

static void sync_arrived(struct classic_member *m)
{
    struct classic_group *c = m->group;
    m->sync_missing = false;
    for (struct classic_member *other = c->members; other; other = other->hh.next)
        if (other->sync_missing) return;
    group_timer_stop(&c->sync_timer);
}

/* Forms the next generation of those who joined; dynamic members that did not are removed, static ones stay until their
 * session expires. */
static void complete_join(struct classic_group *c)
{
    group_timer_stop(&c->join_timer);
    struct classic_member *m, *next;
    HASH_ITER(hh, c->members, m, next)
    {
        if (!m->join && !m->instance_id) member_remove(m, KAFKA_UNKNOWN_MEMBER_ID);
    }
    if (c->members && !elect_joined_leader(c)) {
        /* Only static members are left and none came: wait until their sessions expire. */
        c->initial = false;
        group_timer_start(&c->join_timer, rebalance_timeout_ms(c));
        return;
    }

    c->initial = false;
    c->generation_id = c->generation_id == INT32_MAX ? 1 : c->generation_id + 1;
    if (!c->members) {
        classic_group_text_set(c, &c->protocol_name, SLICE_NULL);
        classic_topics_update(c);
        set_state(c, CLASSIC_EMPTY);
        log_info("group", "empty group=%s generation=%d", c->group.id, c->generation_id);
        if (append_state(c) != KAFKA_NONE) log_warn("group", "empty state not written group=%s", c->group.id);
        return;
    }
    classic_group_text_set(c, &c->protocol_name, classic_protocol_choose(c));
    classic_topics_update(c);
    set_state(c, CLASSIC_COMPLETING_REBALANCE);
    log_info("group", "generation formed group=%s generation=%d members=%u protocol=%s", c->group.id, c->generation_id,
             HASH_COUNT(c->members), c->protocol_name ? c->protocol_name : "");
    for (m = c->members; m; m = m->hh.next) m->sync_missing = true;
    group_timer_start(&c->sync_timer, rebalance_timeout_ms(c));
    HASH_ITER(hh, c->members, m, next)
    {
        m->is_new = false;
        struct classic_join_call *call = m->join;
        if (!call) continue; /* a static member that did not come: its session runs on */
        m->join = NULL;
        c->joining_count--;
        session_restart(m);
        join_answer_generation(call, c, slice_of(m->id), slice_of(c->leader->id), m == c->leader, false);
    }
}

static void session_expired(struct group_timer *t)
{
    struct classic_member *m = container_of(t, struct classic_member, session);
    struct classic_group *c = m->group;
    /* Who waits for an answer of ours is alive for us, unless it never got one. */
    if (!m->is_new && (m->join || m->sync)) return;
    log_info("group", "member expired group=%s member=%s", c->group.id, m->id);
    member_remove(m, KAFKA_UNKNOWN_MEMBER_ID);
    rebalance_or_complete(c, "a session expired");
}

static void pending_expired(struct group_timer *t)
{
    struct classic_pending *p = container_of(t, struct classic_pending, timer);
    struct classic_group *c = p->group;
    classic_pending_remove(p);
    maybe_complete_join(c);
}

/* -- JoinGroup -- */

static struct classic_group *group_new(struct groups *gs, struct slice id)
{
    struct classic_group *c = xcalloc(1, sizeof *c);
    group_init(gs, &c->group, &classic_type, id);
    group_count_bytes(&c->group, (int64_t)(sizeof *c - sizeof c->group));
    c->state_time_ms = now_ms(c);
    group_timer_init(&c->join_timer, gs->host, join_timer_fired);
    group_timer_init(&c->sync_timer, gs->host, sync_timer_fired);
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
    struct classic_member *m = classic_member_add(c, in, id, session_expired);
    if (!m) {
        join_answer_error(call, KAFKA_GROUP_MAX_SIZE_REACHED, id);
        return;
    }
    if (c->state == CLASSIC_PREPARING_REBALANCE && c->initial) c->member_added = true;
    m->is_new = true;
    member_park_join(m, call);
    group_timer_start(&m->session, NEW_MEMBER_JOIN_TIMEOUT_MS);
    rebalance_or_complete(c, "a new member joined");
}

/* -- a static member comes back under a new id -- */

/* The member that is renamed gives up what it has parked: only one may speak for an instance. */
static void member_rename(struct classic_member *m, struct slice id)
{
    member_answer_join_error(m, KAFKA_FENCED_INSTANCE_ID, slice_of(m->id));
    member_answer_sync(m, KAFKA_FENCED_INSTANCE_ID);
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
        if (error != KAFKA_NONE) join_answer_error(r->call, error, SLICE_EMPTY);
        else
            join_answer_generation(r->call, c, slice_of(m->id),
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
        join_answer_error(call, KAFKA_GROUP_MAX_SIZE_REACHED, SLICE_EMPTY);
        return;
    }
    member_rename(m, id);
    session_restart(m);
    member_park_join(m, call);
    if (c->state == CLASSIC_PREPARING_REBALANCE) {
        maybe_complete_join(c);
        return;
    }
    if (c->state != CLASSIC_STABLE || !slice_eq(classic_protocol_choose(c), slice_of(c->protocol_name))) {
        prepare_rebalance(c, "a static member joined again");
        return;
    }
    classic_topics_update(c); /* its subscription may be another */
    enum kafka_error error = append_state(c);
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
        join_answer_error(call, KAFKA_INCONSISTENT_GROUP_PROTOCOL, SLICE_EMPTY);
        return;
    }
    AUTO_FREE char *id = classic_member_id_make(in);
    struct classic_member *known = in->instance_id.ptr ? classic_instance_find(c, in->instance_id) : NULL;
    if (known) {
        join_static_again(c, known, in, slice_of(id), call);
    } else if (in->member_id_required && !in->instance_id.ptr) {
        classic_pending_add(c, in, slice_of(id), pending_expired);
        join_answer_error(call, KAFKA_MEMBER_ID_REQUIRED, slice_of(id));
    } else {
        join_new(c, in, slice_of(id), call);
    }
}

static void join_known(struct classic_group *c, const struct classic_join *in, struct classic_join_call *call)
{
    if (!classic_protocols_fit(c, in)) {
        join_answer_error(call, KAFKA_INCONSISTENT_GROUP_PROTOCOL, in->member_id);
        return;
    }
    if (classic_pending_find(c, in->member_id)) {
        /* An id that we made for a dynamic member: an instance id beside it is nonsense. */
        if (in->instance_id.ptr) join_answer_error(call, KAFKA_UNKNOWN_MEMBER_ID, in->member_id);
        else join_new(c, in, in->member_id, call);
        return;
    }
    struct classic_member *m;
    enum kafka_error error = classic_member_check(c, in->member_id, in->instance_id, &m);
    if (error != KAFKA_NONE) {
        join_answer_error(call, error, in->member_id);
        return;
    }
    bool same = classic_member_matches(m, in);
    if (c->state == CLASSIC_COMPLETING_REBALANCE && same) {
        /* It did not get the answer; the generation stands. */
        session_restart(m);
        join_answer_generation(call, c, slice_of(m->id), slice_of(c->leader->id), m == c->leader, false);
        return;
    }
    if (c->state == CLASSIC_STABLE && same && m != c->leader) {
        session_restart(m);
        join_answer_generation(call, c, slice_of(m->id), slice_of(c->leader->id), false, false);
        return;
    }
    if (c->state == CLASSIC_EMPTY) {
        join_answer_error(call, KAFKA_UNKNOWN_MEMBER_ID, in->member_id);
        return;
    }
    if (!classic_member_update(m, in)) {
        join_answer_error(call, KAFKA_GROUP_MAX_SIZE_REACHED, in->member_id);
        return;
    }
    member_park_join(m, call);
    rebalance_or_complete(c, m == c->leader ? "the leader joined again" : "a member changed its metadata");
}

void classic_join(struct groups *gs, const struct classic_join *in, struct classic_join_call *call)
{
    if (!in->group_id.len) {
        join_answer_error(call, KAFKA_INVALID_GROUP_ID, in->member_id);
        return;
    }
    if (in->session_timeout_ms < gs->config.session_timeout_min_ms ||
        in->session_timeout_ms > gs->config.session_timeout_max_ms) {
        join_answer_error(call, KAFKA_INVALID_SESSION_TIMEOUT, in->member_id);
        return;
    }
    if (in->protocols_count > GROUP_PROTOCOLS_MAX) {
        join_answer_error(call, KAFKA_INCONSISTENT_GROUP_PROTOCOL, in->member_id);
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
            join_answer_error(call, error, in->member_id);
            return;
        }
        g = groups_find(gs, in->group_id);
    }
    if (consumer && known) {
        join_answer_error(call, KAFKA_UNKNOWN_MEMBER_ID, in->member_id);
        return;
    }
    if (g ? g->type != &classic_type : known) {
        join_answer_error(call, g ? KAFKA_INCONSISTENT_GROUP_PROTOCOL : KAFKA_UNKNOWN_MEMBER_ID, in->member_id);
        return;
    }
    if (!g) {
        if (!in->protocol_type.len || in->protocols_count <= 0) {
            join_answer_error(call, KAFKA_INCONSISTENT_GROUP_PROTOCOL, SLICE_EMPTY);
            return;
        }
        if (!classic_memory_allows(gs, NULL, in)) {
            join_answer_error(call, KAFKA_GROUP_MAX_SIZE_REACHED, SLICE_EMPTY);
            return;
        }
        g = classic_group_make(gs, in->group_id);
    }
    struct classic_group *c = classic_group_of(g);
    if (!size_allows(c, in->member_id) || !classic_memory_allows(gs, c, in)) {
        /* The member would be one too many: it is let go rather than kept waiting. */
        struct classic_member *m = classic_member_find(c, in->member_id);
        if (m) {
            member_remove(m, KAFKA_GROUP_MAX_SIZE_REACHED);
            rebalance_or_complete(c, "a member was one too many");
        }
        join_answer_error(call, KAFKA_GROUP_MAX_SIZE_REACHED, SLICE_EMPTY);
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
        if (error == KAFKA_NONE) set_state(c, CLASSIC_STABLE);
        answer_syncs(c, error);
        if (error != KAFKA_NONE) prepare_rebalance(c, "the assignment could not be stored");
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
    enum kafka_error error = room ? append_state(c) : KAFKA_GROUP_MAX_SIZE_REACHED;
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
    sync_arrived(m);
    member_answer_sync(m, KAFKA_REBALANCE_IN_PROGRESS); /* an earlier one, of a connection that the client gave up */
    m->sync = call;
    if (c->state == CLASSIC_STABLE) {
        session_restart(m);
        member_answer_sync(m, KAFKA_NONE);
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
    session_restart(m);
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
        member_remove(m, KAFKA_UNKNOWN_MEMBER_ID);
        left = true;
    }
    if (left) rebalance_or_complete(c, "members left");
    else if (pending_left) maybe_complete_join(c);
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
    session_restart(m);
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
    for (struct classic_member *m = c->members; m; m = m->hh.next) session_restart(m);
    if (c->members && (int32_t)HASH_COUNT(c->members) > g->groups->config.size_max)
        prepare_rebalance(c, "the group is larger than group.max.size");
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
        struct classic_member *m = classic_member_add(c, &in, s->id, session_expired);
        if (m && !classic_assignment_set(m, s->assignment)) member_remove(m, KAFKA_UNKNOWN_MEMBER_ID);
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
    while (c->members) member_remove(c->members, KAFKA_UNKNOWN_MEMBER_ID);
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
    for (struct classic_member *m = c->members; m; m = m->hh.next) session_restart(m);
    if (c->members) prepare_rebalance(c, reason);
}

void classic_answer_parked(struct classic_group *c, enum kafka_error error)
{
    for (struct classic_member *m = c->members; m; m = m->hh.next) {
        member_answer_join_error(m, error, slice_of(m->id));
        member_answer_sync(m, error);
    }
}
