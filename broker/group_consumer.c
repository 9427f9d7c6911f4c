/* broker/group_consumer.c: see group_consumer.h. */
#include "broker/group_consumer.h"

#include "base/log.h"
#include "broker/assignor.h"
#include "broker/consumer_changes.h"
#include "broker/consumer_classic.h"
#include "broker/consumer_members.h"
#include "broker/regex.h"

/* Regular expressions are not resolved again before, however often topics are made. */
#define REGEX_REFRESH_MS_MIN 1000

static const struct group_type consumer_type;
static const struct consumer_timers timers;

static int64_t now_ms(const struct consumer_group *c)
{
    return clock_wall_ms(c->group.groups->host->clock);
}

struct consumer_group *consumer_group_of(struct group *g)
{
    return g && g->type == &consumer_type ? container_of(g, struct consumer_group, group) : NULL;
}

static struct group_options options_of(const struct consumer_group *c)
{
    struct group_options o = c->group.groups->config.options;
    c->group.groups->host->options(c->group.groups->host, group_id(&c->group), &o);
    return o;
}

/* -- the target assignment -- */

/* The subscribed topics that exist, sorted by id; and for each subscribed name its index among them, or NO_TOPIC. */
struct resolved {
    struct assignor_topic *topics;
    uint32_t count;
    uint32_t *of_name;
    uint64_t hash;
};
#define NO_TOPIC UINT32_MAX

struct resolved_topic {
    struct assignor_topic topic;
    uint32_t name;
};

static int resolved_order(const void *a, const void *b)
{
    return memcmp(((const struct resolved_topic *)a)->topic.id.bytes,
                  ((const struct resolved_topic *)b)->topic.id.bytes, sizeof(struct uuid));
}

/* FNV-1a. Kafka's function is another one: a group that moves between the two programs gets a new epoch once, and keeps
 * its assignment. */
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3u;
    return hash;
}

static void resolve(struct consumer_group *c, struct resolved *r)
{
    struct group_host *h = c->group.groups->host;
    consumer_subscribed(c);
    size_t names = (size_t)c->subscribed_count + 1;
    *r = (struct resolved){.topics = xcalloc(names, sizeof r->topics[0]),
                           .of_name = xcalloc(names, sizeof r->of_name[0])};
    AUTO_FREE struct resolved_topic *found = xcalloc(names, sizeof *found);
    uint64_t hash = 0xcbf29ce484222325u;
    for (int32_t i = 0; i < c->subscribed_count; i++) {
        struct group_topic t;
        r->of_name[i] = NO_TOPIC;
        if (!h->topic_by_name(h, c->subscribed[i], &t)) continue;
        found[r->count++] =
            (struct resolved_topic){.topic = {.id = t.id, .partitions_count = t.partitions_count}, .name = (uint32_t)i};
        hash = hash_bytes(hash, t.name.ptr, t.name.len);
        hash = hash_bytes(hash, t.id.bytes, sizeof t.id.bytes);
        hash = hash_bytes(hash, &t.partitions_count, sizeof t.partitions_count);
    }
    r->hash = r->count ? hash : 0;
    qsort(found, r->count, sizeof found[0], resolved_order);
    for (uint32_t i = 0; i < r->count; i++) {
        r->topics[i] = found[i].topic;
        r->of_name[found[i].name] = i;
    }
}

static void resolved_done(struct resolved *r)
{
    free(r->topics);
    free(r->of_name);
}

static int index_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t add_indexes(const struct consumer_group *c, const struct resolved *r, const struct slice *topics,
                            int32_t count, uint32_t *to)
{
    uint32_t added = 0;
    for (int32_t i = 0; i < count; i++) {
        const struct slice *name =
            bsearch(&topics[i], c->subscribed, (size_t)c->subscribed_count, sizeof c->subscribed[0], slice_order);
        if (name && r->of_name[name - c->subscribed] != NO_TOPIC) to[added++] = r->of_name[name - c->subscribed];
    }
    return added;
}

/* The topics of one member as indexes, in an array of its own. */
static uint32_t *member_topics(const struct consumer_group *c, const struct resolved *r,
                               const struct consumer_profile *p, uint32_t *ret_count)
{
    const struct consumer_regex *regex = consumer_has_regex(p) ? consumer_regex_find(c, p->regex) : NULL;
    uint32_t *indexes =
        xcalloc((size_t)p->topics_count + (size_t)(regex ? regex->topics_count : 0) + 1, sizeof *indexes);
    uint32_t count = add_indexes(c, r, p->topics, p->topics_count, indexes), kept = 0;
    if (regex) count += add_indexes(c, r, regex->topics, regex->topics_count, indexes + count);
    qsort(indexes, count, sizeof indexes[0], index_order);
    for (uint32_t i = 0; i < count; i++)
        if (!kept || indexes[kept - 1] != indexes[i]) indexes[kept++] = indexes[i];
    *ret_count = kept;
    return indexes;
}

static const struct assignor *preferred_assignor(const struct consumer_group *c)
{
    const struct group_config *config = &c->group.groups->config;
    int32_t votes[GROUP_ASSIGNORS_MAX] = {0}, best = 0;
    for (const struct consumer_member *m = c->members; m; m = m->hh.next)
        for (int32_t i = 0; m->profile.assignor.ptr && i < config->consumer_assignors_count; i++)
            votes[i] += slice_eq_text(m->profile.assignor, config->consumer_assignors[i]->name);
    for (int32_t i = 1; i < config->consumer_assignors_count; i++)
        if (votes[i] > votes[best]) best = i;
    return config->consumer_assignors[best];
}

const char *consumer_assignor_name(const struct consumer_group *c)
{
    return preferred_assignor(c)->name;
}

static int member_order(const void *a, const void *b)
{
    return strcmp((*(struct consumer_member *const *)a)->id, (*(struct consumer_member *const *)b)->id);
}

/* What each member shall own: members sorted by id, and a set for each. For targets_done(). */
struct targets {
    struct consumer_member **members;
    struct partition_set *sets;
    uint32_t count;
};

static void targets_compute(const struct consumer_group *c, const struct resolved *r, struct targets *ret)
{
    uint32_t count = HASH_COUNT(c->members);
    *ret = (struct targets){.members = xcalloc((size_t)count + 1, sizeof ret->members[0]),
                            .sets = xcalloc((size_t)count + 1, sizeof ret->sets[0]),
                            .count = count};
    AUTO_FREE struct assignor_member *members = xcalloc((size_t)count + 1, sizeof *members);
    AUTO_FREE uint32_t **owned = xcalloc((size_t)count + 1, sizeof *owned);
    struct assignor_input in = {
        .topics = r->topics, .topics_count = r->count, .members = members, .members_count = count};
    uint32_t n = 0;
    for (struct consumer_member *m = c->members; m; m = m->hh.next) ret->members[n++] = m;
    qsort(ret->members, count, sizeof ret->members[0], member_order);
    in.same_topics = true;
    for (uint32_t i = 0; i < count; i++) {
        const struct consumer_member *m = ret->members[i], *before = i ? ret->members[i - 1] : NULL;
        members[i] = (struct assignor_member){
            .id = slice_of(m->id), .instance_id = m->profile.instance_id, .current = &m->target};
        if (before && consumer_topics_eq(&before->profile, &m->profile) &&
            slice_eq(before->profile.regex, m->profile.regex)) {
            members[i].topics = members[i - 1].topics; /* most members subscribe what the one before does */
            members[i].topics_count = members[i - 1].topics_count;
            continue;
        }
        owned[i] = member_topics(c, r, &m->profile, &members[i].topics_count);
        members[i].topics = owned[i];
        if (before)
            in.same_topics = in.same_topics && members[i].topics_count == members[i - 1].topics_count &&
                             memcmp(members[i].topics, members[i - 1].topics,
                                    members[i].topics_count * sizeof members[i].topics[0]) == 0;
    }
    if (count) preferred_assignor(c)->assign(&in, ret->sets);
    for (uint32_t i = 0; i < count; i++) free(owned[i]);
}

static void targets_done(struct targets *t)
{
    for (uint32_t i = 0; i < t->count; i++) partition_set_done(&t->sets[i]);
    free(t->members);
    free(t->sets);
}

/* -- reconciliation -- */

/* Does the member say that it still has some of these? Who says nothing has. */
static bool owns(const struct partition_set *owned, const struct partition_set *revoking)
{
    return !owned || partition_set_overlaps(owned, revoking);
}

/* Brings the member as near to the target as others let it: epoch is its own if something is to be given up first. */
static void step(const struct consumer_member *m, int32_t epoch, int32_t target_epoch,
                 const struct partition_set *target, const struct partition_set *owned, struct consumer_position *ret)
{
    const struct consumer_position *now = &m->position;
    struct partition_set keep = partition_set_intersection(&now->assigned, target);
    struct partition_set revoke = partition_set_minus(&now->assigned, target);
    *ret = (struct consumer_position){.previous_epoch = now->epoch};
    if (revoke.count && owns(owned, &revoke)) {
        ret->state = CONSUMER_UNREVOKED;
        ret->epoch = epoch;
        ret->assigned = keep;
        ret->revoking = revoke;
        return;
    }
    struct partition_set wanted = partition_set_minus(target, &keep);
    uint32_t free_count = 0;
    for (uint32_t i = 0; i < wanted.count; i++) {
        const struct consumer_member *holder =
            consumer_holder(m->group, wanted.items[i].topic_id, wanted.items[i].partition);
        /* Held by itself: given up, and wanted back by a newer target. */
        if (!holder || holder == m) wanted.items[free_count++] = wanted.items[i];
    }
    ret->state = free_count < wanted.count ? CONSUMER_UNRELEASED : CONSUMER_STABLE;
    ret->epoch = target_epoch;
    wanted.count = free_count;
    ret->assigned = partition_set_union(&keep, &wanted);
    partition_set_done(&keep);
    partition_set_done(&revoke);
    partition_set_done(&wanted);
}

/* The member's next position. False: it stays where it is. */
static bool reconcile(const struct consumer_member *m, int32_t target_epoch, const struct partition_set *target,
                      const struct partition_set *owned, struct consumer_position *ret)
{
    const struct consumer_position *now = &m->position;
    *ret = (struct consumer_position){0};
    switch (now->state) {
    case CONSUMER_STABLE:
        if (now->epoch == target_epoch) return false;
        step(m, now->epoch, target_epoch, target, owned, ret);
        break;
    case CONSUMER_UNREVOKED:
        if (owns(owned, &now->revoking)) return false;
        step(m, now->epoch + 1, target_epoch, target, owned, ret);
        break;
    case CONSUMER_UNRELEASED: step(m, now->epoch, target_epoch, target, owned, ret); break;
    }
    if (!consumer_position_eq(now, ret)) return true;
    consumer_position_done(ret);
    return false;
}

bool consumer_waits_for_others(const struct consumer_member *m)
{
    for (uint32_t i = 0; m->position.state == CONSUMER_UNRELEASED && i < m->target.count; i++)
        if (!partition_set_has(&m->position.assigned, m->target.items[i].topic_id, m->target.items[i].partition) &&
            consumer_holder(m->group, m->target.items[i].topic_id, m->target.items[i].partition))
            return true;
    return false;
}

/* -- timers -- */

void consumer_session_restart(struct consumer_member *m)
{
    group_timer_start(&m->session, m->profile.is_classic ? m->profile.session_timeout_ms
                                                         : options_of(m->group).consumer_session_timeout_ms);
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
    for (uint32_t i = 0; i < count; i++) leaving += slice_eq_text(members[i]->profile.regex, r->text);
    return leaving == consumer_regex_members(members[0]->group, slice_of(r->text));
}

enum kafka_error consumer_remove_members(struct consumer_group *c, struct consumer_member **members, uint32_t count)
{
    if (!count) return KAFKA_NONE;
    if (consumer_may_downgrade(c, members, count)) return consumer_downgrade(c, members, count);
    struct consumer_changes l = {0};
    for (uint32_t i = 0; i < count; i++) consumer_changes_remove_member(&l, slice_of(members[i]->id));
    for (const struct consumer_regex *r = c->regexes; r; r = r->hh.next)
        if (regex_is_left(r, members, count)) consumer_changes_remove(&l, CONSUMER_CHANGE_REGEX, slice_of(r->text));
    consumer_changes_epoch(&l, c->epoch + 1, c->metadata_hash);
    /* Keys point into members that go when they are applied: in the order of the list, their profile last. */
    AUTO_FREE char **keys = xcalloc(l.count, sizeof *keys);
    for (uint32_t i = 0; i < l.count; i++) {
        if (!l.items[i].key.ptr) continue;
        keys[i] = slice_strdup(l.items[i].key);
        l.items[i].key = slice_of(keys[i]);
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

/* -- regular expressions -- */

struct matches {
    const struct consumer_heartbeat *in;
    struct regex *compiled;
    struct slice *topics;
    int32_t count, size;
};

static void match(void *arg, const struct group_topic *t)
{
    struct matches *m = arg;
    if (!regex_matches(m->compiled, t->name) || (m->in->may_see && !m->in->may_see(m->in->arg, t->name))) return;
    if (m->count == m->size) {
        m->size = m->size ? m->size * 2 : 16;
        m->topics = xrealloc(m->topics, (size_t)m->size * sizeof m->topics[0]);
    }
    m->topics[m->count++] = t->name;
}

/* Adds the expression's record to l if its topics are others than before. ret_topics: for the caller to free after the
 * commit. False: it does not compile. */
static bool regex_resolve(struct consumer_group *c, const struct consumer_heartbeat *in, struct slice text,
                          struct consumer_changes *l, struct slice **ret_topics, struct err *err)
{
    struct group_host *h = c->group.groups->host;
    struct matches m = {.in = in, .compiled = regex_compile(text, err)};
    *ret_topics = NULL;
    if (!m.compiled) return false;
    int64_t version = h->topics_each(h, match, &m);
    regex_free(m.compiled);
    const struct consumer_regex *r = consumer_regex_find(c, text);
    bool same = r && r->topics_count == m.count;
    for (int32_t i = 0; same && i < m.count; i++) same = slice_eq(r->topics[i], m.topics[i]);
    if (!same)
        consumer_changes_add(l, &(struct consumer_change){.type = CONSUMER_CHANGE_REGEX,
                                                          .key = text,
                                                          .topics = m.topics,
                                                          .topics_count = m.count,
                                                          .version = version,
                                                          .time_ms = now_ms(c)});
    *ret_topics = m.topics;
    return true;
}

static bool regexes_are_old(const struct consumer_group *c)
{
    if (!c->regexes) return false;
    int64_t age_ms = c->regex_time_ms == INT64_MIN ? INT64_MAX : now_ms(c) - c->regex_time_ms;
    return (c->topics_added && age_ms >= REGEX_REFRESH_MS_MIN) ||
           age_ms >= c->group.groups->config.consumer_regex_refresh_ms;
}

/* -- the heartbeat of a member -- */

/* Names sorted and without doubles, in an array for the caller to free. */
static struct slice *sorted_names(const struct slice *names, int32_t count, int32_t *ret_count)
{
    struct slice *sorted = xcalloc((size_t)count + 1, sizeof *sorted);
    int32_t kept = 0;
    if (count) memcpy(sorted, names, (size_t)count * sizeof sorted[0]);
    qsort(sorted, (size_t)count, sizeof sorted[0], slice_order);
    for (int32_t i = 0; i < count; i++)
        if (!kept || !slice_eq(sorted[kept - 1], sorted[i])) sorted[kept++] = sorted[i];
    *ret_count = kept;
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

/* A new group; what has the id now gives it its offsets and goes. */
static struct consumer_group *group_put(struct groups *gs, struct slice id)
{
    struct consumer_group *c = consumer_group_make(gs, id);
    struct group *old = groups_find(gs, id);
    if (old) groups_replace(old, &c->group);
    else groups_add(&c->group);
    return c;
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
    *ret_group = group_put(gs, in->group_id);
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

/* Lists of names that changes borrow until they are committed. */
struct name_lists {
    struct slice **items;
    uint32_t count;
};

static void name_lists_done(struct name_lists *n)
{
    for (uint32_t i = 0; i < n->count; i++) free(n->items[i]);
    free(n->items);
}

/* The group's expressions, and a member's new one, as topics are now. */
static bool resolve_regexes(struct consumer_group *c, const struct consumer_heartbeat *in, struct slice fresh,
                            struct slice gone, struct consumer_changes *l, struct name_lists *n, struct err *err)
{
    bool all = regexes_are_old(c);
    n->items = xcalloc((size_t)HASH_COUNT(c->regexes) + 1, sizeof n->items[0]);
    if (fresh.len && !consumer_regex_find(c, fresh) && !regex_resolve(c, in, fresh, l, &n->items[n->count++], err))
        return false;
    for (const struct consumer_regex *r = c->regexes; all && r; r = r->hh.next)
        if (!slice_eq_text(gone, r->text) && !regex_resolve(c, in, slice_of(r->text), l, &n->items[n->count++], NULL))
            log_warn("group", "a stored expression does not compile group=%s regex=%s", c->group.id, r->text);
    if (all || n->count) {
        c->regex_time_ms = now_ms(c);
        c->topics_added = c->topics_added && !all;
    }
    return true;
}

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
    struct name_lists names = {0};
    enum kafka_error error = KAFKA_NONE;

    if (!*member || !consumer_profile_eq(before, profile)) consumer_changes_profile(&l, id, profile);
    bool orphaned = regex_changes && old_regex.ptr && consumer_regex_members(c, old_regex) == 1;
    AUTO_FREE char *gone = orphaned ? slice_strdup(old_regex) : NULL; /* its owner's profile is replaced */
    if (gone) consumer_changes_remove(&l, CONSUMER_CHANGE_REGEX, slice_of(gone));
    uint32_t before_count = l.count;
    if (in && !resolve_regexes(c, in, new_regex, slice_of(gone), &l, &names, err))
        error = KAFKA_INVALID_REGULAR_EXPRESSION;
    bump |= l.count > before_count;
    if (bump) consumer_changes_epoch(&l, c->epoch + 1, c->metadata_hash);
    if (error == KAFKA_NONE) error = consumer_changes_commit(c, &l);
    consumer_changes_done(&l);
    name_lists_done(&names);
    *member = consumer_member_find(c, id);
    return error;
}

enum kafka_error consumer_advance(struct consumer_member *m, const struct partition_set *owned, bool *ret_moved)
{
    struct consumer_group *c = m->group;
    struct consumer_changes l = {0};
    struct targets targets = {0};
    int32_t epoch = c->epoch;
    const struct partition_set *target = &m->target;
    if (c->refresh || epoch > c->assignment_epoch) {
        struct resolved r;
        resolve(c, &r);
        if (r.hash != c->metadata_hash) {
            epoch += epoch == c->assignment_epoch;
            consumer_changes_epoch(&l, epoch, r.hash);
        }
        if (epoch > c->assignment_epoch) targets_compute(c, &r, &targets);
        resolved_done(&r);
        for (uint32_t i = 0; i < targets.count; i++) {
            if (!partition_set_eq(&targets.members[i]->target, &targets.sets[i]))
                consumer_changes_target(&l, slice_of(targets.members[i]->id), &targets.sets[i]);
            if (targets.members[i] == m) target = &targets.sets[i];
        }
        if (targets.count) consumer_changes_target_epoch(&l, epoch);
        if (c->has_old_metadata) consumer_changes_remove(&l, CONSUMER_CHANGE_OLD_METADATA, SLICE_NULL);
    }
    struct consumer_position next;
    bool moves = reconcile(m, targets.count ? epoch : c->assignment_epoch, target, owned, &next);
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
    targets_done(&targets);
    consumer_changes_done(&l);
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
    ret->heartbeat_interval_ms = options_of(c).consumer_heartbeat_interval_ms;
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

void consumer_topic_changed(struct groups *gs, struct slice topic, bool created)
{
    for (struct group *g = gs->by_id; g; g = g->hh.next) {
        struct consumer_group *c = consumer_group_of(g);
        if (!c) continue;
        if (created && c->regexes) c->topics_added = true;
        if (!c->refresh && consumer_is_subscribed(c, topic)) c->refresh = true;
    }
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
    if (!c) c = group_put(gs, id);
    consumer_apply(c, change);
    if (change->type != CONSUMER_CHANGE_EPOCH || !change->removed) return;
    /* The group is gone; its offsets may live on as those of a simple group. */
    if (offsets_is_empty(&c->group.offsets)) groups_remove(&c->group);
    else (void)classic_group_make(gs, id);
}
