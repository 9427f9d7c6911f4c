/* broker/group/consumer_heartbeat.c: one ConsumerGroupHeartbeat: is it right, who speaks, and what it asks: to join,
 * to stay, to leave. What follows for the group is group_consumer.c's.
 *
 * Threads: the control thread only. Source: KIP-848; error codes as Kafka 4.1. */
#include "broker/group/group_consumer.h"

#include "base/log.h"
#include "broker/group/assignor.h"
#include "broker/group/consumer_changes.h"
#include "broker/group/consumer_classic.h"
#include "broker/group/consumer_members.h"

/* Names sorted and without doubles, in an array for the caller to free. */
static struct slice *sorted_names(const struct slice *names, int32_t count, int32_t *ret_count)
{
    struct slice *sorted = xcalloc((size_t)count + 1, sizeof *sorted);
    if (count) memcpy(sorted, names, (size_t)count * sizeof sorted[0]);
    *ret_count = slices_sort_distinct(sorted, count);
    return sorted;
}

/* What is wrong with the request whatever the group is. */
static enum kafka_error request_check(const struct groups *gs, const struct consumer_heartbeat *in, struct err *err)
{
    const char *what = NULL;
    if (!in->member_id.len && (in->needs_member_id || in->epoch > 0 || in->epoch == CONSUMER_EPOCH_LEAVE))
        what = "MemberId can't be empty.";
    else if (!in->group_id.len) what = "GroupId can't be empty.";
    else if (in->instance_id.ptr && !in->instance_id.len) what = "InstanceId can't be empty.";
    else if (in->rack_id.ptr && !in->rack_id.len) what = "RackId can't be empty.";
    else if (in->epoch == CONSUMER_EPOCH_JOIN && in->rebalance_timeout_ms == -1)
        what = "RebalanceTimeoutMs must be given when joining.";
    else if (in->epoch == CONSUMER_EPOCH_JOIN && (!in->owned || in->owned->count))
        what = "TopicPartitions must be given, and empty, when joining.";
    else if (in->epoch == CONSUMER_EPOCH_JOIN && in->topics_count < 0 && !in->regex.ptr)
        what = "SubscribedTopicNames or SubscribedTopicRegex must be given when joining.";
    else if (in->epoch == CONSUMER_EPOCH_LEAVE_STATIC && !in->instance_id.ptr) what = "InstanceId can't be null.";
    else if (in->epoch < CONSUMER_EPOCH_LEAVE_STATIC) what = "MemberEpoch is invalid.";
    if (what) return err_set(err, KAFKA_INVALID_REQUEST, "%s", what);

    bool known = !in->assignor.ptr;
    for (int32_t i = 0; i < gs->config.consumer_assignors_count; i++)
        known |= slice_eq_text(in->assignor, gs->config.consumer_assignors[i]->name);
    if (known) return KAFKA_NONE;
    char names[100] = "";
    for (int32_t i = 0; i < gs->config.consumer_assignors_count; i++) {
        if (i) strcat(names, ", ");
        strcat(names, gs->config.consumer_assignors[i]->name);
    }
    return err_set(err, KAFKA_UNSUPPORTED_ASSIGNOR, "ServerAssignor " SLICE_FMT " is not supported. Supported: %s.",
                   SLICE_ARG(in->assignor), names);
}

static enum kafka_error not_a_consumer_group(struct slice id, struct err *err)
{
    return err_set(err, KAFKA_GROUP_ID_NOT_FOUND, "Group " SLICE_FMT " is not a consumer group.", SLICE_ARG(id));
}

/* The group that the member joins: made, or made of a classic one, if need be. */
static enum kafka_error group_to_join(struct groups *gs, const struct consumer_heartbeat *in,
                                      struct consumer_group **ret_group, struct err *err)
{
    struct group *g = groups_find(gs, in->group_id);
    struct classic_group *classic = classic_group_of(g);
    *ret_group = consumer_group_of(g);
    if (*ret_group) return KAFKA_NONE;
    if (g && !classic) return not_a_consumer_group(in->group_id, err);
    if (!groups_have_room(gs, sizeof **ret_group + in->group_id.len)) return KAFKA_GROUP_MAX_SIZE_REACHED;
    if (classic && !g->type->is_empty(g)) return consumer_upgrade(classic, ret_group, err);
    if (classic && classic->protocol_type) { /* a record of it is in the log */
        enum kafka_error error = gs->host->append(gs->host, g, &(struct group_change){.type = GROUP_CHANGE_REMOVED}, 1);
        if (error != KAFKA_NONE) return error;
    }
    *ret_group = consumer_group_put(gs, in->group_id);
    return KAFKA_NONE;
}

static enum kafka_error epoch_check(const struct consumer_member *m, const struct consumer_heartbeat *in,
                                    struct err *err)
{
    int32_t epoch = m->position.epoch;
    if (in->epoch == epoch || in->epoch == CONSUMER_EPOCH_JOIN) return KAFKA_NONE;
    /* The answer with the higher epoch was lost. */
    if (in->epoch < epoch && in->epoch == m->position.previous_epoch && in->owned &&
        partition_set_is_subset(in->owned, &m->position.assigned))
        return KAFKA_NONE;
    return err_set(err, KAFKA_FENCED_MEMBER_EPOCH,
                   "The member epoch %d is %s than the one of the coordinator (%d). The member must give up all its "
                   "partitions and join again.",
                   in->epoch, in->epoch > epoch ? "greater" : "smaller", epoch);
}

/* A live member may speak for the instance only under its own id. */
static enum kafka_error instance_check(const struct consumer_member *m, const struct consumer_heartbeat *in,
                                       struct err *err)
{
    if (!m)
        return err_set(err, KAFKA_UNKNOWN_MEMBER_ID, "Instance id " SLICE_FMT " is unknown.",
                       SLICE_ARG(in->instance_id));
    if (slice_eq_text(in->member_id, m->id)) return KAFKA_NONE;
    return err_set(err, KAFKA_FENCED_INSTANCE_ID,
                   "Static member " SLICE_FMT " with instance id " SLICE_FMT " was fenced by member %s.",
                   SLICE_ARG(in->member_id), SLICE_ARG(in->instance_id), m->id);
}

/* Who speaks; *ret_member NULL: somebody new. */
static enum kafka_error find_member(struct consumer_group *c, const struct consumer_heartbeat *in,
                                    struct consumer_member **ret_member, struct err *err)
{
    struct consumer_member *m =
        in->instance_id.ptr ? consumer_instance_find(c, in->instance_id) : consumer_member_find(c, in->member_id);
    bool joins = in->epoch == CONSUMER_EPOCH_JOIN;
    *ret_member = m;
    if (in->instance_id.ptr && joins && m && !slice_eq_text(in->member_id, m->id)) {
        if (!m->profile.is_classic && m->position.epoch != CONSUMER_EPOCH_LEAVE_STATIC)
            return err_set(err, KAFKA_UNRELEASED_INSTANCE_ID,
                           "Static member " SLICE_FMT " with instance id " SLICE_FMT
                           " cannot join the group because the instance id is owned by member %s.",
                           SLICE_ARG(in->member_id), SLICE_ARG(in->instance_id), m->id);
        return KAFKA_NONE; /* it is replaced */
    }
    if (in->instance_id.ptr && !joins) {
        enum kafka_error error = instance_check(m, in, err);
        if (error != KAFKA_NONE) return error;
    }
    if (m) return epoch_check(m, in, err);
    if (joins) return KAFKA_NONE;
    return err_set(err, KAFKA_UNKNOWN_MEMBER_ID, "Member " SLICE_FMT " is not a member of group %s.",
                   SLICE_ARG(in->member_id), c->group.id);
}

static enum kafka_error leave(struct groups *gs, const struct consumer_heartbeat *in, struct consumer_answer *ret,
                              struct err *err)
{
    struct group *g = groups_find(gs, in->group_id);
    struct consumer_group *c = consumer_group_of(g);
    if (g && !c) return not_a_consumer_group(in->group_id, err);
    if (!g) return err_set(err, KAFKA_GROUP_ID_NOT_FOUND, "Group " SLICE_FMT " not found.", SLICE_ARG(in->group_id));
    struct consumer_member *m;
    enum kafka_error error = KAFKA_NONE;
    if (in->instance_id.ptr) {
        m = consumer_instance_find(c, in->instance_id);
        error = instance_check(m, in, err);
    } else {
        m = consumer_member_find(c, in->member_id);
        if (!m)
            error = err_set(err, KAFKA_UNKNOWN_MEMBER_ID, "Member " SLICE_FMT " is not a member of group %s.",
                            SLICE_ARG(in->member_id), c->group.id);
    }
    if (error != KAFKA_NONE) return error;
    ret->epoch = in->epoch;
    if (in->epoch == CONSUMER_EPOCH_LEAVE) {
        log_info("group", "member left group=%s member=%s", c->group.id, m->id);
        return consumer_remove_members(c, &m, 1);
    }
    struct consumer_changes l = {0};
    struct consumer_position away = m->position; /* borrows its set */
    away.epoch = CONSUMER_EPOCH_LEAVE_STATIC;
    away.revoking = (struct partition_set){0};
    away.assigned = partition_set_copy(&m->position.assigned);
    consumer_changes_position(&l, slice_of(m->id), &away);
    error = consumer_changes_commit(c, &l);
    consumer_position_done(&away);
    consumer_changes_done(&l);
    if (error == KAFKA_NONE) {
        group_timer_stop(&m->rebalance);
        log_info("group", "static member away group=%s member=%s", c->group.id, m->id);
    }
    return error;
}

/* A group that could not be founded because the log did not take its first record. */
static void forget_unborn(struct consumer_group *c)
{
    if (!c->members && c->epoch == 0 && offsets_is_empty(&c->group.offsets)) groups_remove(&c->group);
}

static enum kafka_error beat(struct consumer_group *c, const struct consumer_heartbeat *in, struct consumer_answer *ret,
                             struct err *err)
{
    const struct group_config *config = &c->group.groups->config;
    struct consumer_member *m;
    if ((int32_t)HASH_COUNT(c->members) >= config->consumer_size_max && !consumer_member_find(c, in->member_id))
        return err_set(err, KAFKA_GROUP_MAX_SIZE_REACHED, "The group has reached its maximum of %d members.",
                       config->consumer_size_max);
    enum kafka_error error = find_member(c, in, &m, err);
    if (error != KAFKA_NONE) return error;

    struct slice id = in->member_id;
    if (!id.len) {
        char text[UUID_TEXT_SIZE];
        uuid_format(uuid_random(), text);
        ret->member_id = xstrdup(text);
        id = slice_of(ret->member_id);
    }
    if (m && !slice_eq_text(id, m->id)) error = consumer_replace_member(&m, id);
    if (error != KAFKA_NONE) return error;

    int32_t topics_count = 0;
    AUTO_FREE struct slice *topics =
        in->topics_count >= 0 ? sorted_names(in->topics, in->topics_count, &topics_count) : NULL;
    struct consumer_profile profile = m ? m->profile : (struct consumer_profile){.instance_id = SLICE_NULL};
    if (in->instance_id.ptr) profile.instance_id = in->instance_id;
    if (in->rack_id.ptr) profile.rack_id = in->rack_id;
    if (in->regex.ptr) profile.regex = in->regex;
    if (in->assignor.ptr) profile.assignor = in->assignor;
    if (in->rebalance_timeout_ms != -1) profile.rebalance_timeout_ms = in->rebalance_timeout_ms;
    if (topics) {
        profile.topics = topics;
        profile.topics_count = topics_count;
    }
    profile.client_id = in->client_id.ptr ? in->client_id : SLICE_EMPTY;
    profile.client_host = in->client_host.ptr ? in->client_host : SLICE_EMPTY;
    profile.is_classic = false;
    size_t more = consumer_profile_bytes(&profile) + sizeof *m + id.len;
    if (!groups_have_room(c->group.groups, more) && (!m || consumer_profile_bytes(&profile) > m->profile_bytes))
        return err_set(err, KAFKA_GROUP_MAX_SIZE_REACHED, "There is no memory for more members of groups.");

    if (!m) log_info("group", "member joins group=%s member=" SLICE_FMT, c->group.id, SLICE_ARG(id));
    error = consumer_update_profile(c, &profile, in, id, &m, err);
    if (error != KAFKA_NONE) return error;
    group_timer_stop(&m->sync); /* if it was a classic member before */
    bool moved;
    error = consumer_advance(m, in->owned, &moved);
    if (error != KAFKA_NONE) return error;
    consumer_session_restart(m);

    bool full = in->rebalance_timeout_ms != -1 && (in->topics_count >= 0 || in->regex.ptr) && in->owned;
    ret->epoch = m->position.epoch;
    ret->heartbeat_interval_ms = consumer_group_options(c).consumer_heartbeat_interval_ms;
    ret->has_assignment = in->epoch == CONSUMER_EPOCH_JOIN || full || moved;
    ret->assignment = &m->position.assigned;
    return KAFKA_NONE;
}

enum kafka_error consumer_heartbeat(struct groups *gs, const struct consumer_heartbeat *in,
                                    struct consumer_answer *ret_answer, struct err *err)
{
    *ret_answer = (struct consumer_answer){0};
    enum kafka_error error = request_check(gs, in, err);
    if (error != KAFKA_NONE) return error;
    if (in->epoch < 0) return leave(gs, in, ret_answer, err);

    struct consumer_group *c;
    if (in->epoch == CONSUMER_EPOCH_JOIN) {
        error = group_to_join(gs, in, &c, err);
        if (error != KAFKA_NONE) return error;
    } else {
        struct group *g = groups_find(gs, in->group_id);
        c = consumer_group_of(g);
        if (g && !c) return not_a_consumer_group(in->group_id, err);
        if (!g)
            return err_set(err, KAFKA_GROUP_ID_NOT_FOUND, "Group " SLICE_FMT " not found.", SLICE_ARG(in->group_id));
    }
    error = beat(c, in, ret_answer, err);
    if (error != KAFKA_NONE) forget_unborn(c);
    return error;
}
