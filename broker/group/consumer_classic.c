/* broker/group/consumer_classic.c: see consumer_classic.h. */
#include "broker/group/consumer_classic.h"

#include "base/bytes.h"
#include "base/log.h"
#include "broker/group/consumer_changes.h"
#include "broker/group/consumer_members.h"
#include "broker/group/consumer_reconcile.h"
#include "protocol/messages.h"

#define BLOB_ARENA_BYTES_MAX   (16u << 20) /* of one subscription or assignment, decoded */
#define BLOB_VERSION_MAX       3           /* of both; later ones begin alike */
#define PROTOCOL_TYPE_CONSUMER SLICE("consumer")

/* -- what classic consumers put into JoinGroup and SyncGroup -- */

struct subscription {
    struct arena arena;
    struct consumer_protocol_subscription m;
    struct slice *topics; /* sorted, no doubles */
    int32_t topics_count;
    int16_t version;
};

static bool subscription_read(struct slice blob, struct subscription *s)
{
    *s = (struct subscription){0};
    arena_init(&s->arena, BLOB_ARENA_BYTES_MAX);
    struct wire_reader r = wire_reader_of(blob, &s->arena);
    s->version = wire_get_int16(&r);
    if (r.failed || s->version < 0 ||
        !consumer_protocol_subscription_decode(&r, MIN(s->version, (int16_t)BLOB_VERSION_MAX), &s->m))
        return false;
    s->topics = arena_calloc(&s->arena, (size_t)MAX(s->m.topics_count, 0) + 1, sizeof s->topics[0]);
    if (!s->topics) return false;
    for (int32_t i = 0; i < s->m.topics_count; i++) s->topics[i] = s->m.topics[i];
    qsort(s->topics, (size_t)MAX(s->m.topics_count, 0), sizeof s->topics[0], slice_order);
    for (int32_t i = 0; i < s->m.topics_count; i++)
        if (!s->topics_count || !slice_eq(s->topics[s->topics_count - 1], s->topics[i]))
            s->topics[s->topics_count++] = s->topics[i];
    return true;
}

static void subscription_done(struct subscription *s)
{
    arena_done(&s->arena);
}

/* Adds partitions of a named topic, if there is such a topic. */
static void add_named(struct group_host *h, struct partition_set *to, struct slice topic, const int32_t *partitions,
                      int32_t count)
{
    struct group_topic t;
    if (!h->topic_by_name(h, topic, &t)) return;
    for (int32_t i = 0; i < count; i++) partition_set_append(to, t.id, partitions[i]);
}

/* What the member says that it owns; before v1 members say nothing and have given up everything. */
static struct partition_set subscription_owned(struct group_host *h, const struct subscription *s)
{
    struct partition_set owned = {0};
    for (int32_t i = 0; i < s->m.owned_partitions_count; i++)
        add_named(h, &owned, s->m.owned_partitions[i].topic, s->m.owned_partitions[i].partitions,
                  s->m.owned_partitions[i].partitions_count);
    partition_set_sort(&owned);
    return owned;
}

/* Empty: the member has not been given anything yet. *ret_error: why it cannot be taken over. */
static bool assignment_read(struct group_host *h, struct slice blob, struct partition_set *ret, const char **ret_error)
{
    *ret = (struct partition_set){0};
    if (!blob.len) return true;
    struct arena arena;
    arena_init(&arena, BLOB_ARENA_BYTES_MAX);
    struct wire_reader r = wire_reader_of(blob, &arena);
    int16_t version = wire_get_int16(&r);
    struct consumer_protocol_assignment m;
    bool ok = !r.failed && version >= 0 &&
              consumer_protocol_assignment_decode(&r, MIN(version, (int16_t)BLOB_VERSION_MAX), &m);
    *ret_error = ok ? NULL : "the embedded consumer protocol is malformed";
    if (ok && m.user_data.len) {
        *ret_error = "an unsupported custom assignor is in use: switch to a default one first";
        ok = false;
    }
    for (int32_t i = 0; ok && i < m.assigned_partitions_count; i++)
        add_named(h, ret, m.assigned_partitions[i].topic, m.assigned_partitions[i].partitions,
                  m.assigned_partitions[i].partitions_count);
    partition_set_sort(ret);
    arena_done(&arena);
    return ok;
}

/* Partitions of topics that are gone are left out. False: no memory. */
static bool assignment_write(struct group_host *h, const struct partition_set *s, int16_t version, struct bytes *to)
{
    struct arena arena;
    struct consumer_protocol_assignment m;
    struct buf b;
    struct wire_writer w;
    consumer_protocol_assignment_init(&m);
    arena_init(&arena, BLOB_ARENA_BYTES_MAX + (size_t)s->count * 8);
    struct consumer_protocol_assignment_topic_partition *topics =
        arena_calloc(&arena, (size_t)s->count + 1, sizeof *topics);
    int32_t *partitions = arena_calloc(&arena, (size_t)s->count + 1, sizeof *partitions);
    bool ok = topics && partitions;
    for (uint32_t i = 0, end; ok && i < s->count; i = end) {
        struct group_topic t;
        end = partition_set_topic_end(s, i);
        if (!h->topic_by_id(h, s->items[i].topic_id, &t)) continue;
        for (uint32_t k = i; k < end; k++) partitions[k] = s->items[k].partition;
        topics[m.assigned_partitions_count++] =
            (struct consumer_protocol_assignment_topic_partition){.topic = arena_slice_dup(&arena, t.name),
                                                                  .partitions = partitions + i,
                                                                  .partitions_count = (int32_t)(end - i)};
    }
    m.assigned_partitions = topics;
    m.user_data = SLICE_NULL;
    buf_init(&b);
    wire_writer_init(&w, &b);
    wire_put_int16(&w, version);
    consumer_protocol_assignment_encode(&w, MIN(version, (int16_t)BLOB_VERSION_MAX), &m);
    ok = ok && wire_writer_done(&w);
    if (ok) buf_copy_to_bytes(&b, to);
    buf_done(&b);
    arena_done(&arena);
    return ok && !to->failed;
}

/* The version in which the member speaks. */
static int16_t blob_version(struct slice metadata)
{
    return metadata.len >= 2 ? (int16_t)MAX((int16_t)be16_load(metadata.ptr), 0) : 0;
}

/* -- JoinGroup -- */

static void join_refuse(struct classic_join_call *call, enum kafka_error error, struct slice member_id)
{
    call->answer(call, &(struct classic_join_answer){.error = error,
                                                     .generation_id = -1,
                                                     .leader = SLICE_EMPTY,
                                                     .member_id = member_id.ptr ? member_id : SLICE_EMPTY});
}

/* One of its protocols must be known to all classic members. */
static bool protocols_fit(const struct consumer_group *c, const struct classic_join *in)
{
    if (!slice_eq(in->protocol_type, PROTOCOL_TYPE_CONSUMER)) return false;
    for (int32_t i = 0; i < in->protocols_count; i++) {
        bool common = true;
        for (const struct consumer_member *m = c->members; common && m; m = m->hh.next) {
            bool has = !m->profile.is_classic;
            for (int32_t k = 0; !has && k < m->profile.protocols_count; k++)
                has = slice_eq(m->profile.protocols[k].name, in->protocols[i].name);
            common = has;
        }
        if (common) return true;
    }
    return false;
}

/* An answer that waits until what it says is durable. */
struct join_wait {
    struct classic_join_call *call;
    int32_t generation_id;
    char *member_id;
    char *protocol_name;
};

static void join_durable(void *arg, enum kafka_error error)
{
    struct join_wait *w = arg;
    if (error != KAFKA_NONE) join_refuse(w->call, error, slice_of(w->member_id));
    else
        w->call->answer(w->call, &(struct classic_join_answer){.generation_id = w->generation_id,
                                                               .protocol_type = PROTOCOL_TYPE_CONSUMER,
                                                               .protocol_name = slice_of(w->protocol_name),
                                                               .leader = SLICE_EMPTY,
                                                               .member_id = slice_of(w->member_id)});
    free(w->member_id);
    free(w->protocol_name);
    free(w);
}

static void join_member(struct consumer_group *c, const struct classic_join *in, struct slice id,
                        struct consumer_member *m, const struct subscription *s, struct classic_join_call *call)
{
    struct group_host *h = c->group.groups->host;
    enum kafka_error error = KAFKA_NONE;
    if (m && !slice_eq_text(id, m->id)) error = consumer_replace_member(&m, id);
    if (error != KAFKA_NONE) {
        join_refuse(call, error, id);
        return;
    }
    struct consumer_profile profile = m ? m->profile : (struct consumer_profile){.instance_id = SLICE_NULL};
    if (in->instance_id.ptr) profile.instance_id = in->instance_id;
    if (s->m.rack_id.len) profile.rack_id = s->m.rack_id;
    if (in->rebalance_timeout_ms != -1) profile.rebalance_timeout_ms = in->rebalance_timeout_ms;
    profile.client_id = in->client_id.ptr ? in->client_id : SLICE_EMPTY;
    profile.client_host = in->client_host.ptr ? in->client_host : SLICE_EMPTY;
    profile.topics = s->topics;
    profile.topics_count = s->topics_count;
    profile.regex = SLICE_NULL; /* the classic protocol has none */
    profile.is_classic = true;
    profile.session_timeout_ms = in->session_timeout_ms;
    profile.protocols = in->protocols;
    profile.protocols_count = in->protocols_count;
    if (!groups_have_room(c->group.groups, consumer_profile_bytes(&profile) + sizeof *m + id.len)) {
        join_refuse(call, KAFKA_GROUP_MAX_SIZE_REACHED, id);
        return;
    }
    if (!m) log_info("group", "classic member joins group=%s member=" SLICE_FMT, c->group.id, SLICE_ARG(id));
    struct partition_set owned = subscription_owned(h, s);
    bool moved;
    error = consumer_update_profile(c, &profile, NULL, id, &m, NULL);
    if (error == KAFKA_NONE) error = consumer_advance(m, &owned, &moved);
    partition_set_done(&owned);
    if (error != KAFKA_NONE) {
        join_refuse(call, error, id);
        return;
    }
    group_timer_stop(&m->rebalance);
    consumer_session_restart(m);
    group_timer_start(&m->sync, m->profile.rebalance_timeout_ms);
    struct join_wait *w = xcalloc(1, sizeof *w);
    *w = (struct join_wait){.call = call,
                            .generation_id = m->position.epoch,
                            .member_id = xstrdup(m->id),
                            .protocol_name = slice_strdup(m->profile.protocols[0].name)};
    h->when_durable(h, &c->group, join_durable, w);
}

/* A static member of the consumer protocol, without which only classic ones are left, comes back as a classic one: the
 * group goes back with it, and it joins that group like others. */
static bool downgrade_by_replacement(struct consumer_group *c, struct consumer_member *m, enum kafka_error *ret_error)
{
    *ret_error = KAFKA_NONE;
    if (m->profile.is_classic) return false;
    if (HASH_COUNT(c->members) > 1) {
        if (!consumer_may_downgrade(c, &m, 1)) return false;
        *ret_error = consumer_downgrade(c, &m, 1);
        return true;
    }
    if (!c->group.groups->config.consumer_downgrade) return false;
    *ret_error = consumer_remove_members(c, &m, 1);
    if (*ret_error == KAFKA_NONE) *ret_error = consumer_empty_to_classic(c);
    return true;
}

void consumer_join(struct consumer_group *c, const struct classic_join *in, struct classic_join_call *call)
{
    struct groups *gs = c->group.groups;
    bool known = in->member_id.len > 0;
    struct consumer_member *m =
        in->instance_id.ptr ? consumer_instance_find(c, in->instance_id) : consumer_member_find(c, in->member_id);
    if ((int32_t)HASH_COUNT(c->members) >= gs->config.consumer_size_max && !consumer_member_find(c, in->member_id)) {
        join_refuse(call, KAFKA_GROUP_MAX_SIZE_REACHED, SLICE_EMPTY);
        return;
    }
    struct subscription s;
    bool readable = protocols_fit(c, in) && subscription_read(in->protocols[0].metadata, &s);
    if (!readable) {
        join_refuse(call, KAFKA_INCONSISTENT_GROUP_PROTOCOL, in->member_id);
        return;
    }
    AUTO_FREE char *made = known ? NULL : classic_member_id_make(in);
    struct slice id = known ? in->member_id : slice_of(made);
    enum kafka_error error;
    if (!known && in->member_id_required && !in->instance_id.ptr) join_refuse(call, KAFKA_MEMBER_ID_REQUIRED, id);
    else if (known && in->instance_id.ptr && !m) join_refuse(call, KAFKA_UNKNOWN_MEMBER_ID, id);
    else if (known && in->instance_id.ptr && !slice_eq_text(id, m->id)) join_refuse(call, KAFKA_FENCED_INSTANCE_ID, id);
    else if (m && in->instance_id.ptr && downgrade_by_replacement(c, m, &error)) {
        if (error == KAFKA_NONE) {
            struct classic_join again = *in; /* as somebody new: the group has forgotten the instance */
            again.member_id = SLICE_EMPTY;
            classic_join(gs, &again, call);
        } else {
            join_refuse(call, error, id);
        }
    } else {
        join_member(c, in, id, m, &s, call);
    }
    subscription_done(&s);
}

/* -- SyncGroup, Heartbeat, LeaveGroup -- */

static void sync_refuse(struct classic_sync_call *call, enum kafka_error error)
{
    call->answer(call, &(struct classic_sync_answer){.error = error, .assignment = SLICE_EMPTY});
}

static enum kafka_error classic_check(const struct consumer_group *c, struct slice id, struct slice instance_id,
                                      struct consumer_member **ret_member)
{
    struct consumer_member *m = instance_id.ptr ? consumer_instance_find(c, instance_id) : consumer_member_find(c, id);
    if (!m) return KAFKA_UNKNOWN_MEMBER_ID;
    if (instance_id.ptr && !slice_eq_text(id, m->id)) return KAFKA_FENCED_INSTANCE_ID;
    if (!m->profile.is_classic) return KAFKA_UNKNOWN_MEMBER_ID;
    *ret_member = m;
    return KAFKA_NONE;
}

/* It shall join again, in its rebalance timeout. */
static enum kafka_error ask_to_join(struct consumer_member *m)
{
    if (!m->rebalance.running) group_timer_start(&m->rebalance, m->profile.rebalance_timeout_ms);
    return KAFKA_REBALANCE_IN_PROGRESS;
}

void consumer_sync(struct consumer_group *c, const struct classic_sync *in, struct classic_sync_call *call)
{
    struct consumer_member *m;
    enum kafka_error error = classic_check(c, in->member_id, in->instance_id, &m);
    if (error == KAFKA_NONE && in->generation_id != m->position.epoch) error = KAFKA_ILLEGAL_GENERATION;
    if (error == KAFKA_NONE && ((in->protocol_type.ptr && !slice_eq(in->protocol_type, PROTOCOL_TYPE_CONSUMER)) ||
                                (in->protocol_name.ptr && !slice_eq(in->protocol_name, m->profile.protocols[0].name))))
        error = KAFKA_INCONSISTENT_GROUP_PROTOCOL;
    /* Who has yet to give up something joins again by itself when it has. */
    if (error == KAFKA_NONE && c->epoch > m->position.epoch && m->position.state != CONSUMER_UNREVOKED)
        error = ask_to_join(m);
    if (error != KAFKA_NONE) {
        sync_refuse(call, error);
        return;
    }
    struct bytes assignment = {0};
    if (!assignment_write(c->group.groups->host, &m->position.assigned, blob_version(m->profile.protocols[0].metadata),
                          &assignment)) {
        bytes_done(&assignment);
        sync_refuse(call, KAFKA_UNKNOWN_SERVER_ERROR);
        return;
    }
    group_timer_stop(&m->sync);
    consumer_session_restart(m);
    call->answer(call, &(struct classic_sync_answer){.protocol_type = PROTOCOL_TYPE_CONSUMER,
                                                     .protocol_name = m->profile.protocols[0].name,
                                                     .assignment = bytes_slice(&assignment)});
    bytes_done(&assignment);
}

enum kafka_error consumer_classic_heartbeat(struct consumer_group *c, const struct group_caller *caller)
{
    struct consumer_member *m;
    enum kafka_error error = classic_check(c, caller->member_id, caller->instance_id, &m);
    if (error != KAFKA_NONE) return error;
    if (caller->generation_id != m->position.epoch) return KAFKA_ILLEGAL_GENERATION;
    consumer_session_restart(m);
    bool behind = m->position.epoch < c->epoch || m->position.state == CONSUMER_UNREVOKED ||
                  (m->position.state == CONSUMER_UNRELEASED && !consumer_waits_for_others(m));
    return behind ? ask_to_join(m) : KAFKA_NONE;
}

void consumer_leave(struct consumer_group *c, struct classic_leave *leaves, int32_t count)
{
    AUTO_FREE struct consumer_member **leaving = xcalloc((size_t)MAX(count, 0) + 1, sizeof *leaving);
    uint32_t leaving_count = 0;
    for (int32_t i = 0; i < count; i++) {
        struct classic_leave *l = &leaves[i];
        struct consumer_member *m =
            l->instance_id.ptr ? consumer_instance_find(c, l->instance_id) : consumer_member_find(c, l->member_id);
        l->error = m ? KAFKA_NONE : KAFKA_UNKNOWN_MEMBER_ID;
        if (m && l->instance_id.ptr && l->member_id.len && !slice_eq_text(l->member_id, m->id))
            l->error = KAFKA_FENCED_INSTANCE_ID;
        if (l->error != KAFKA_NONE) continue;
        bool twice = false;
        for (uint32_t k = 0; k < leaving_count; k++) twice |= leaving[k] == m;
        if (twice) continue;
        log_info("group", "member left group=%s member=%s", c->group.id, m->id);
        leaving[leaving_count++] = m;
    }
    enum kafka_error error = consumer_remove_members(c, leaving, leaving_count);
    for (int32_t i = 0; error != KAFKA_NONE && i < count; i++)
        if (leaves[i].error == KAFKA_NONE) leaves[i].error = error;
}

/* -- a group changes its protocol -- */

enum kafka_error consumer_empty_to_classic(struct consumer_group *c)
{
    struct groups *gs = c->group.groups;
    struct consumer_changes l = {0};
    consumer_changes_remove_group(&l, c);
    enum kafka_error error = consumer_changes_append(&c->group, &l, NULL, NULL);
    consumer_changes_done(&l);
    if (error != KAFKA_NONE) return error;
    AUTO_FREE char *id = xstrdup(c->group.id);
    (void)classic_group_make(gs, slice_of(id));
    return KAFKA_NONE;
}

/* A classic member on its way into a consumer group. */
struct moving {
    const struct classic_member *member;
    struct subscription subscription;
    struct consumer_profile profile;
    struct consumer_position position;
};

static const char *moving_read(struct group_host *h, const struct classic_member *m, int32_t generation,
                               struct moving *to)
{
    const char *why = NULL;
    struct slice metadata = classic_member_metadata(m);
    to->member = m;
    if (!metadata.len && m->protocols_count)
        metadata = m->protocols[0].metadata; /* the first generation is being formed */
    if (!subscription_read(metadata, &to->subscription)) return "the embedded consumer protocol is malformed";
    to->position = (struct consumer_position){.epoch = generation, .previous_epoch = generation};
    if (!assignment_read(h, m->assignment, &to->position.assigned, &why)) return why;
    to->profile = (struct consumer_profile){.instance_id = slice_of(m->instance_id),
                                            .rack_id = to->subscription.m.rack_id,
                                            .client_id = slice_of(m->client_id),
                                            .client_host = slice_of(m->client_host),
                                            .topics = to->subscription.topics,
                                            .topics_count = to->subscription.topics_count,
                                            .regex = SLICE_NULL,
                                            .assignor = SLICE_NULL,
                                            .rebalance_timeout_ms = m->rebalance_timeout_ms,
                                            .is_classic = true,
                                            .session_timeout_ms = m->session_timeout_ms,
                                            .protocols = m->protocols,
                                            .protocols_count = m->protocols_count};
    return NULL;
}

/* Two members have one partition, which a consumer group never allows. */
static bool any_overlap(const struct moving *members, uint32_t count)
{
    struct partition_set all = {0};
    uint32_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct partition_set *s = &members[i].position.assigned;
        for (uint32_t k = 0; k < s->count; k++) partition_set_append(&all, s->items[k].topic_id, s->items[k].partition);
        sum += s->count;
    }
    partition_set_sort(&all);
    bool overlap = all.count < sum;
    partition_set_done(&all);
    return overlap;
}

static enum kafka_error refuse_upgrade(const struct classic_group *classic, const char *why, struct err *err)
{
    log_info("group", "classic group is not upgraded group=%s reason=\"%s\"", classic->group.id, why);
    return err_set(err, KAFKA_GROUP_ID_NOT_FOUND, "Cannot upgrade classic group %s to consumer group because %s.",
                   classic->group.id, why);
}

static enum kafka_error upgrade(struct classic_group *classic, const struct moving *members, uint32_t count,
                                struct consumer_group **ret_group)
{
    struct groups *gs = classic->group.groups;
    int32_t generation = classic->generation_id;
    struct consumer_changes l = {0};
    for (uint32_t i = 0; i < count; i++)
        consumer_changes_profile(&l, slice_of(members[i].member->id), &members[i].profile);
    consumer_changes_epoch(&l, generation, 0);
    for (uint32_t i = 0; i < count; i++)
        consumer_changes_target(&l, slice_of(members[i].member->id), &members[i].position.assigned);
    consumer_changes_target_epoch(&l, generation);
    for (uint32_t i = 0; i < count; i++)
        consumer_changes_position(&l, slice_of(members[i].member->id), &members[i].position);
    const struct group_change gone = {.type = GROUP_CHANGE_REMOVED};
    enum kafka_error error = consumer_changes_append(&classic->group, &l, &gone, NULL);
    if (error == KAFKA_NONE) {
        group_ref(&classic->group); /* the changes point into its members */
        classic_answer_parked(classic, KAFKA_REBALANCE_IN_PROGRESS);
        struct consumer_group *c = consumer_group_make(gs, slice_of(classic->group.id));
        consumer_changes_apply(c, &l);
        for (struct consumer_member *m = c->members; m; m = m->hh.next) consumer_session_restart(m);
        groups_replace(&classic->group, &c->group);
        log_info("group", "classic group became a consumer group group=%s members=%u", c->group.id, count);
        group_unref(&classic->group);
        *ret_group = c;
    }
    consumer_changes_done(&l);
    return error;
}

enum kafka_error consumer_upgrade(struct classic_group *classic, struct consumer_group **ret_group, struct err *err)
{
    const struct group_config *config = &classic->group.groups->config;
    uint32_t count = HASH_COUNT(classic->members), read = 0;
    if (!config->consumer_upgrade) return refuse_upgrade(classic, "online upgrade is disabled", err);
    if (!classic->protocol_type || strcmp(classic->protocol_type, "consumer") != 0)
        return refuse_upgrade(classic, "the group does not use the consumer embedded protocol", err);
    if ((int32_t)count > config->consumer_size_max)
        return refuse_upgrade(classic, "the group is larger than group.consumer.max.size", err);
    AUTO_FREE struct moving *members = xcalloc((size_t)count + 1, sizeof *members);
    const char *why = NULL;
    for (const struct classic_member *m = classic->members; m && !why; m = m->hh.next)
        why = moving_read(classic->group.groups->host, m, classic->generation_id, &members[read++]);
    if (!why && any_overlap(members, count)) why = "its assignor gives one partition to two members";
    enum kafka_error error = why ? refuse_upgrade(classic, why, err) : upgrade(classic, members, count, ret_group);
    for (uint32_t i = 0; i < read; i++) {
        subscription_done(&members[i].subscription);
        consumer_position_done(&members[i].position);
    }
    return error;
}

static bool is_leaving(const struct consumer_member *m, struct consumer_member *const *leaving, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (leaving[i] == m) return true;
    return false;
}

bool consumer_may_downgrade(const struct consumer_group *c, struct consumer_member *const *leaving, uint32_t count)
{
    const struct group_config *config = &c->group.groups->config;
    int32_t left = (int32_t)(HASH_COUNT(c->members) - count);
    if (left <= 0) return false;
    for (const struct consumer_member *m = c->members; m; m = m->hh.next)
        if (!m->profile.is_classic && !is_leaving(m, leaving, count)) return false;
    return config->consumer_downgrade && left <= config->size_max;
}

enum kafka_error consumer_downgrade(struct consumer_group *c, struct consumer_member *const *leaving, uint32_t count)
{
    struct groups *gs = c->group.groups;
    uint32_t members_count = HASH_COUNT(c->members), n = 0;
    AUTO_FREE struct classic_stored_member *members = xcalloc(members_count, sizeof *members);
    AUTO_FREE struct bytes *assignments = xcalloc(members_count, sizeof *assignments);
    for (const struct consumer_member *m = c->members; m; m = m->hh.next) {
        if (is_leaving(m, leaving, count)) continue;
        /* An assignment that cannot be written is found again by the rebalance. */
        (void)assignment_write(gs->host, &m->target, blob_version(m->profile.protocols[0].metadata), &assignments[n]);
        members[n] = (struct classic_stored_member){.id = slice_of(m->id),
                                                    .instance_id = m->profile.instance_id,
                                                    .client_id = m->profile.client_id,
                                                    .client_host = m->profile.client_host,
                                                    .protocols = m->profile.protocols,
                                                    .protocols_count = m->profile.protocols_count,
                                                    .assignment = bytes_slice(&assignments[n]),
                                                    .session_timeout_ms = m->profile.session_timeout_ms,
                                                    .rebalance_timeout_ms = m->profile.rebalance_timeout_ms};
        n++;
    }
    struct classic_stored stored = {.protocol_type = PROTOCOL_TYPE_CONSUMER,
                                    .generation_id = c->epoch,
                                    .state_time_ms = clock_wall_ms(gs->host->clock),
                                    .members = members,
                                    .members_count = (int32_t)n};
    struct classic_group *classic = classic_group_new(gs, group_id(&c->group), &stored);
    struct consumer_changes l = {0};
    consumer_changes_remove_group(&l, c);
    const struct group_change state = {.type = GROUP_CHANGE_STATE};
    enum kafka_error error = consumer_changes_append(&classic->group, &l, NULL, &state);
    consumer_changes_done(&l);
    if (error == KAFKA_NONE) {
        groups_replace(&c->group, &classic->group);
        log_info("group", "consumer group became a classic group group=%s members=%u", classic->group.id, n);
        classic_group_begin(classic, "the last member of the consumer protocol left");
    } else {
        groups_remove(&classic->group);
    }
    for (uint32_t i = 0; i < members_count; i++) bytes_done(&assignments[i]);
    return error;
}
