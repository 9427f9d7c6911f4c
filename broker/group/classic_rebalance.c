/* broker/group/classic_rebalance.c: see classic_rebalance.h. */
#include "broker/group/classic_rebalance.h"

#include "base/log.h"
#include "broker/group/group_members.h"

static int64_t now_ms(const struct classic_group *c)
{
    return clock_wall_ms(c->group.groups->host->clock);
}

void classic_set_state(struct classic_group *c, enum classic_state state)
{
    c->state_before = c->state;
    c->state = state;
    c->state_time_ms = now_ms(c);
}

enum kafka_error classic_append_state(struct classic_group *c)
{
    struct group_host *host = c->group.groups->host;
    return host->append(host, &c->group, &(struct group_change){.type = GROUP_CHANGE_STATE}, 1);
}

/* -- answers -- */

void classic_join_refuse(struct classic_join_call *call, enum kafka_error error, struct slice member_id)
{
    call->answer(call, &(struct classic_join_answer){.error = error,
                                                     .generation_id = -1,
                                                     .leader = SLICE_EMPTY,
                                                     .member_id = member_id.ptr ? member_id : SLICE_EMPTY});
}

void classic_member_join_refuse(struct classic_member *m, enum kafka_error error, struct slice member_id)
{
    struct classic_join_call *call = m->join;
    if (!call) return;
    m->join = NULL;
    m->group->joining_count--;
    classic_join_refuse(call, error, member_id);
}

/* Answers call as the present generation stands. listed: with all members, for a leader. */
void classic_join_answer(struct classic_join_call *call, const struct classic_group *c, struct slice member_id,
                         struct slice leader, bool listed, bool skip_assignment)
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

void classic_sync_answer(struct classic_member *m, enum kafka_error error)
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

void classic_session_restart(struct classic_member *m)
{
    group_timer_start(&m->session, m->session_timeout_ms);
}

/* Parks the call as the member's. An earlier one belongs to a connection that the client gave up. */
void classic_member_park_join(struct classic_member *m, struct classic_join_call *call)
{
    classic_member_join_refuse(m, KAFKA_REBALANCE_IN_PROGRESS, slice_of(m->id));
    m->join = call;
    m->group->joining_count++;
}

/* Frees the member; what it has parked is answered with error. */
void classic_member_remove(struct classic_member *m, enum kafka_error error)
{
    classic_member_join_refuse(m, error, SLICE_EMPTY);
    classic_sync_answer(m, error);
    classic_member_free(m);
}

/* -- rebalance -- */

static void complete_join(struct classic_group *c);

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
void classic_maybe_complete_join(struct classic_group *c)
{
    if (c->state == CLASSIC_PREPARING_REBALANCE && !c->initial && all_joined(c)) complete_join(c);
}

void classic_join_timer_fired(struct group_timer *t)
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

void classic_answer_syncs(struct classic_group *c, enum kafka_error error)
{
    for (struct classic_member *m = c->members; m; m = m->hh.next) {
        bool parked = m->sync != NULL;
        if (error != KAFKA_NONE) classic_assignment_clear(m);
        classic_sync_answer(m, error);
        /* A session that ran out while the answer was parked is not forgotten, it begins anew. */
        if (parked) classic_session_restart(m);
    }
}

void classic_prepare_rebalance(struct classic_group *c, const char *reason)
{
    if (c->state == CLASSIC_COMPLETING_REBALANCE) classic_answer_syncs(c, KAFKA_REBALANCE_IN_PROGRESS);
    group_timer_stop(&c->sync_timer);
    for (struct classic_member *m = c->members; m; m = m->hh.next) m->sync_missing = false;
    log_info("group", "rebalance group=%s generation=%d reason=\"%s\"", c->group.id, c->generation_id, reason);

    c->initial = c->state == CLASSIC_EMPTY;
    classic_set_state(c, CLASSIC_PREPARING_REBALANCE);
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
void classic_rebalance_or_complete(struct classic_group *c, const char *reason)
{
    if (c->state != CLASSIC_PREPARING_REBALANCE) classic_prepare_rebalance(c, reason);
    else classic_maybe_complete_join(c);
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

void classic_sync_timer_fired(struct group_timer *t)
{
    struct classic_group *c = container_of(t, struct classic_group, sync_timer);
    struct classic_member *m, *next;
    int removed = 0;
    HASH_ITER(hh, c->members, m, next)
    {
        if (!m->sync_missing) continue;
        classic_member_remove(m, KAFKA_UNKNOWN_MEMBER_ID);
        removed++;
    }
    if (removed) classic_prepare_rebalance(c, "members did not send SyncGroup in time");
}

void classic_sync_arrived(struct classic_member *m)
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
        if (!m->join && !m->instance_id) classic_member_remove(m, KAFKA_UNKNOWN_MEMBER_ID);
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
        classic_set_state(c, CLASSIC_EMPTY);
        log_info("group", "empty group=%s generation=%d", c->group.id, c->generation_id);
        if (classic_append_state(c) != KAFKA_NONE) log_warn("group", "empty state not written group=%s", c->group.id);
        return;
    }
    classic_group_text_set(c, &c->protocol_name, classic_protocol_choose(c));
    classic_topics_update(c);
    classic_set_state(c, CLASSIC_COMPLETING_REBALANCE);
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
        classic_session_restart(m);
        classic_join_answer(call, c, slice_of(m->id), slice_of(c->leader->id), m == c->leader, false);
    }
}

void classic_session_expired(struct group_timer *t)
{
    struct classic_member *m = container_of(t, struct classic_member, session);
    struct classic_group *c = m->group;
    /* Who waits for an answer of ours is alive for us, unless it never got one. */
    if (!m->is_new && (m->join || m->sync)) return;
    log_info("group", "member expired group=%s member=%s", c->group.id, m->id);
    classic_member_remove(m, KAFKA_UNKNOWN_MEMBER_ID);
    classic_rebalance_or_complete(c, "a session expired");
}

void classic_pending_expired(struct group_timer *t)
{
    struct classic_pending *p = container_of(t, struct classic_pending, timer);
    struct classic_group *c = p->group;
    classic_pending_remove(p);
    classic_maybe_complete_join(c);
}
