/* broker/share/group_share.c: see group_share.h. */
#include "broker/share/group_share.h"

#include "base/log.h"
#include "broker/group/assignor.h"
#include "broker/share/share_members.h"
#include "protocol/messages.h"

#define METADATA_HASH_START 0xcbf29ce484222325u /* FNV-1a */

struct share_group *share_group_of(struct group *g)
{
    return g && g->type == &share_type ? container_of(g, struct share_group, group) : NULL;
}

static struct group_host *host_of(const struct share_group *s)
{
    return s->group.groups->host;
}

static struct group_options options_of(const struct share_group *s)
{
    struct group_options o = s->group.groups->config.options;
    host_of(s)->options(host_of(s), group_id(&s->group), &o);
    return o;
}

/* -- subscribed topics -- */

struct subscribed_topic {
    struct assignor_topic topic;
    struct slice name; /* borrowed from a member */
};

/* All topics that members subscribe and that exist, sorted by id. */
struct subscribed {
    struct subscribed_topic *topics;
    uint32_t count;
    int64_t hash; /* 0: none */
};

static int topic_order(const void *a, const void *b)
{
    return memcmp(((const struct subscribed_topic *)a)->topic.id.bytes,
                  ((const struct subscribed_topic *)b)->topic.id.bytes, sizeof(struct uuid));
}

static int64_t hash_topic(int64_t hash, const struct assignor_topic *t)
{
    uint64_t h = (uint64_t)hash;
    for (size_t i = 0; i < sizeof t->id.bytes; i++) h = (h ^ t->id.bytes[i]) * 0x100000001b3u;
    return (int64_t)((h ^ (uint64_t)t->partitions_count) * 0x100000001b3u);
}

static void subscribed_init(const struct share_group *s, struct subscribed *ret)
{
    size_t room = 1;
    for (const struct share_member *m = s->members; m; m = m->hh.next) room += (size_t)m->topics_count;
    *ret = (struct subscribed){.topics = xcalloc(room, sizeof ret->topics[0])};
    for (const struct share_member *m = s->members; m; m = m->hh.next)
        for (int32_t i = 0; i < m->topics_count; i++) {
            struct group_topic t;
            if (host_of(s)->topic_by_name(host_of(s), m->topics[i], &t))
                ret->topics[ret->count++] = (struct subscribed_topic){
                    .topic = {.id = t.id, .partitions_count = t.partitions_count}, .name = m->topics[i]};
        }
    qsort(ret->topics, ret->count, sizeof ret->topics[0], topic_order);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < ret->count; i++)
        if (!kept || topic_order(&ret->topics[kept - 1], &ret->topics[i]) != 0) ret->topics[kept++] = ret->topics[i];
    ret->count = kept;
    if (kept) ret->hash = (int64_t)METADATA_HASH_START;
    for (uint32_t i = 0; i < kept; i++) ret->hash = hash_topic(ret->hash, &ret->topics[i].topic);
}

static void subscribed_done(struct subscribed *u)
{
    free(u->topics);
}

/* -- initializing -- */

/* What is subscribed and has no state yet. A set for the caller to free. */
static struct partition_set not_initialized(const struct share_group *s, const struct subscribed *u)
{
    struct partition_set missing = {0};
    for (uint32_t i = 0; i < u->count; i++)
        for (int32_t p = 0; p < u->topics[i].topic.partitions_count; p++)
            if (!partition_set_has(&s->initialized, u->topics[i].topic.id, p))
                partition_set_append(&missing, u->topics[i].topic.id, p);
    partition_set_sort(&missing);
    return missing;
}

static bool has_topic(const struct partition_set *set, struct uuid topic_id)
{
    for (uint32_t i = 0; i < set->count; i = partition_set_topic_end(set, i))
        if (uuid_eq(set->items[i].topic_id, topic_id)) return true;
    return false;
}

/* Topics of a that b does not name; as deleting sets are: partition 0 alone. */
static struct partition_set other_topics(const struct partition_set *a, const struct partition_set *b)
{
    struct partition_set others = {0};
    for (uint32_t i = 0; i < a->count; i++)
        if (!has_topic(b, a->items[i].topic_id))
            partition_set_append(&others, a->items[i].topic_id, a->items[i].partition);
    return others;
}

static enum kafka_error write_partitions(struct share_group *s, const struct partition_set *initializing,
                                         const struct partition_set *initialized, const struct partition_set *deleting)
{
    struct share_changes c;
    share_changes_init(&c);
    share_put_partitions(&c, group_id(&s->group), host_of(s), initializing, initialized, deleting);
    enum kafka_error error = share_changes_commit(&c, &s->group);
    share_changes_done(&c);
    return error;
}

/* Marks partitions as initializing and asks the host for them. start: -1, or where each begins (in order). */
static enum kafka_error initialize(struct share_group *s, const struct partition_set *partitions)
{
    struct partition_set initializing = partition_set_union(&s->initializing, partitions);
    struct partition_set deleting = other_topics(&s->deleting, partitions);
    enum kafka_error error = KAFKA_NONE;

    if (!partition_set_eq(&initializing, &s->initializing) || deleting.count != s->deleting.count)
        error = write_partitions(s, &initializing, &s->initialized, &deleting);
    partition_set_done(&initializing);
    partition_set_done(&deleting);
    return error;
}

/* Topics, subscriptions or what is initialized may have changed. */
static void look_again(struct share_group *s)
{
    s->refresh = s->may_miss = true;
}

/* The last step of a heartbeat: what is subscribed and new begins its state. */
static void initialize_missing(struct share_group *s)
{
    struct subscribed u;
    if (s->initializing_now || !s->may_miss) return;
    subscribed_init(s, &u);
    struct partition_set missing = not_initialized(s, &u);
    subscribed_done(&u);
    s->may_miss = missing.count > 0;
    if (missing.count && initialize(s, &missing) == KAFKA_NONE) {
        s->initializing_now = true;
        host_of(s)->share_initialize(host_of(s), &s->group, &missing, s->epoch);
    }
    partition_set_done(&missing);
}

void share_group_initialized(struct groups *gs, struct slice id, const struct partition_set *partitions, bool ok)
{
    struct share_group *s = share_group_of(groups_find(gs, id));
    if (!s) return;
    s->initializing_now = false;
    look_again(s);
    struct partition_set initializing = partition_set_minus(&s->initializing, partitions);
    struct partition_set initialized =
        ok ? partition_set_union(&s->initialized, partitions) : partition_set_copy(&s->initialized);
    if (write_partitions(s, &initializing, &initialized, &s->deleting) != KAFKA_NONE)
        log_warn("group", "share partitions remain uninitialized until the next heartbeat group=%s", s->group.id);
    partition_set_done(&initializing);
    partition_set_done(&initialized);
}

enum kafka_error share_group_initialize_again(struct share_group *s, const struct partition_set *partitions)
{
    look_again(s);
    return initialize(s, partitions);
}

enum kafka_error share_group_delete_topics(struct share_group *s, const struct partition_set *topics, bool done)
{
    look_again(s);
    struct partition_set initializing = other_topics(&s->initializing, topics);
    struct partition_set initialized = other_topics(&s->initialized, topics);
    struct partition_set deleting =
        done ? other_topics(&s->deleting, topics) : partition_set_union(&s->deleting, topics);
    enum kafka_error error = write_partitions(s, &initializing, &initialized, &deleting);
    partition_set_done(&initializing);
    partition_set_done(&initialized);
    partition_set_done(&deleting);
    return error;
}

void share_topic_changed(struct groups *gs)
{
    for (struct group *g = gs->by_id; g; g = g->hh.next)
        if (share_group_of(g)) look_again(share_group_of(g));
}

void share_topic_deleted(struct groups *gs, struct uuid topic_id)
{
    struct topic_partition item = {.topic_id = topic_id};
    const struct partition_set topic = {.items = &item, .count = 1};
    for (struct group *g = gs->by_id; g; g = g->hh.next) {
        struct share_group *s = share_group_of(g);
        if (!s) continue;
        look_again(s);
        if (has_topic(&s->initializing, topic_id) || has_topic(&s->initialized, topic_id) ||
            has_topic(&s->deleting, topic_id))
            (void)share_group_delete_topics(s, &topic, true);
    }
}

/* -- the target assignment -- */

static int member_order(const void *a, const void *b)
{
    return strcmp((*(struct share_member *const *)a)->id, (*(struct share_member *const *)b)->id);
}

static int index_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The member's topics as indexes, ascending. */
static uint32_t *member_topics(const struct share_member *m, const struct subscribed *u, uint32_t *ret_count)
{
    uint32_t *indexes = xcalloc((size_t)m->topics_count + 1, sizeof *indexes);
    uint32_t count = 0;
    for (int32_t i = 0; i < m->topics_count; i++) {
        struct group_topic t;
        if (!host_of(m->group)->topic_by_name(host_of(m->group), m->topics[i], &t)) continue;
        struct subscribed_topic key = {.topic.id = t.id};
        const struct subscribed_topic *found = bsearch(&key, u->topics, u->count, sizeof key, topic_order);
        if (found) indexes[count++] = (uint32_t)(found - u->topics);
    }
    qsort(indexes, count, sizeof *indexes, index_order);
    *ret_count = count;
    return indexes;
}

/* Adds the records of a new target for the group's epoch. */
static void put_targets(struct share_group *s, const struct subscribed *u, struct share_changes *c)
{
    uint32_t count = HASH_COUNT(s->members), n = 0;
    AUTO_FREE struct share_member **members = xcalloc((size_t)count + 1, sizeof *members);
    AUTO_FREE struct assignor_member *inputs = xcalloc((size_t)count + 1, sizeof *inputs);
    AUTO_FREE struct partition_set *sets = xcalloc((size_t)count + 1, sizeof *sets);
    AUTO_FREE struct assignor_topic *topics = xcalloc((size_t)u->count + 1, sizeof *topics);
    struct assignor_input in = {.topics = topics,
                                .topics_count = u->count,
                                .members = inputs,
                                .members_count = count,
                                .same_topics = true,
                                .assignable = &s->initialized};
    for (uint32_t t = 0; t < u->count; t++) topics[t] = u->topics[t].topic;
    for (struct share_member *m = s->members; m; m = m->hh.next) members[n++] = m;
    qsort(members, count, sizeof *members, member_order);
    for (uint32_t i = 0; i < count; i++) {
        inputs[i] = (struct assignor_member){.id = slice_of(members[i]->id), .current = &members[i]->target};
        inputs[i].topics = member_topics(members[i], u, &inputs[i].topics_count);
        in.same_topics = in.same_topics && inputs[i].topics_count == inputs[0].topics_count &&
                         memcmp(inputs[i].topics, inputs[0].topics, inputs[0].topics_count * sizeof(uint32_t)) == 0;
    }
    assignor_simple.assign(&in, sets);
    for (uint32_t i = 0; i < count; i++) {
        if (!partition_set_eq(&sets[i], &members[i]->target))
            share_put_target(c, group_id(&s->group), slice_of(members[i]->id), &sets[i]);
        partition_set_done(&sets[i]);
        free((void *)(uintptr_t)inputs[i].topics);
    }
    share_put_target_epoch(c, group_id(&s->group), s->epoch);
}

/* Whether initialized partitions of subscribed topics wait for being assigned. */
static bool assignment_pending(const struct share_group *s, const struct subscribed *u)
{
    struct partition_set assigned = {0};
    bool pending = false;

    for (const struct share_member *m = s->members; m; m = m->hh.next)
        for (uint32_t i = 0; i < m->target.count; i++)
            partition_set_append(&assigned, m->target.items[i].topic_id, m->target.items[i].partition);
    partition_set_sort(&assigned);
    for (uint32_t i = 0; i < u->count && !pending; i++)
        for (int32_t p = 0; p < u->topics[i].topic.partitions_count && !pending; p++)
            pending = partition_set_has(&s->initialized, u->topics[i].topic.id, p) &&
                      !partition_set_has(&assigned, u->topics[i].topic.id, p);
    partition_set_done(&assigned);
    return pending;
}

/* -- sessions -- */

/* Tombstones of the member, and the group's next epoch. */
static enum kafka_error remove_member(struct share_member *m)
{
    struct share_group *s = m->group;
    struct slice id = group_id(&s->group);
    struct share_changes c;

    share_changes_init(&c);
    share_put_tombstone(&c, SHARE_CHANGE_POSITION, id, slice_of(m->id));
    share_put_tombstone(&c, SHARE_CHANGE_TARGET, id, slice_of(m->id));
    share_put_tombstone(&c, SHARE_CHANGE_MEMBER, id, slice_of(m->id));
    share_put_epoch(&c, id, s->epoch + 1, s->metadata_hash);
    enum kafka_error error = share_changes_commit(&c, &s->group);
    share_changes_done(&c);
    if (error == KAFKA_NONE) look_again(s);
    return error;
}

static void session_restart(struct share_member *m);

static void session_expired(struct group_timer *t)
{
    struct share_member *m = container_of(t, struct share_member, session);
    log_info("group", "session of a share group's member expired group=%s member=%s", m->group->group.id, m->id);
    if (remove_member(m) != KAFKA_NONE) session_restart(m); /* later, then */
}

static void session_restart(struct share_member *m)
{
    m->session.fire = session_expired;
    group_timer_start(&m->session, options_of(m->group).share_session_timeout_ms);
}

/* -- heartbeats -- */

static enum kafka_error check_epoch(const struct share_member *m, int32_t epoch, struct err *err)
{
    if (epoch > m->epoch)
        return err_set(err, KAFKA_FENCED_MEMBER_EPOCH,
                       "The member's epoch %d is greater than %d, which the coordinator knows. It must give up all its "
                       "partitions and join again.",
                       epoch, m->epoch);
    if (epoch < m->epoch && epoch != m->previous_epoch)
        return err_set(err, KAFKA_FENCED_MEMBER_EPOCH,
                       "The member's epoch %d is neither %d, which the coordinator knows, nor %d, the one before. It "
                       "must give up all its partitions and join again.",
                       epoch, m->epoch, m->previous_epoch);
    return KAFKA_NONE;
}

/* names: sorted, no doubles, as the member's are. */
static bool same_names(const struct share_member *m, const struct slice *names, int32_t count)
{
    bool same = m->topics_count == count;
    for (int32_t i = 0; i < count && same; i++) same = slice_eq(m->topics[i], names[i]);
    return same;
}

static size_t heartbeat_bytes(const struct share_heartbeat *in)
{
    size_t bytes = sizeof(struct share_member) + sizeof(struct share_group) + 2 * (size_t)in->group_id.len +
                   in->member_id.len + in->rack_id.len + in->client_id.len + in->client_host.len;
    for (int32_t i = 0; i < in->topics_count; i++) bytes += sizeof(struct slice) + in->topics[i].len;
    return bytes;
}

/* What the member says of itself becomes true. *ret_bump: it means another assignment. */
static enum kafka_error update_member(struct share_group *s, struct share_member *m, const struct share_heartbeat *in,
                                      bool *ret_bump)
{
    struct share_heartbeat now = *in;
    int32_t names_count = MAX(in->topics_count, 0);
    AUTO_FREE struct slice *names = xcalloc((size_t)names_count + 1, sizeof *names);
    struct share_changes c;

    if (names_count) memcpy(names, in->topics, (size_t)names_count * sizeof *names);
    names_count = slices_sort_distinct(names, names_count);
    bool topics = in->topics_count >= 0 && (!m || !same_names(m, names, names_count));
    *ret_bump = topics;
    if (!now.rack_id.ptr && m) now.rack_id = slice_of(m->rack_id);
    if (m && !topics && slice_eq(now.rack_id, slice_of(m->rack_id)) &&
        slice_eq(now.client_id, slice_of(m->client_id)) && slice_eq(now.client_host, slice_of(m->client_host)))
        return KAFKA_NONE;
    share_changes_init(&c);
    share_put_member(&c, group_id(&s->group), in->member_id, &now, topics || !m ? names : m->topics,
                     topics || !m ? names_count : m->topics_count);
    enum kafka_error error = share_changes_commit(&c, &s->group);
    share_changes_done(&c);
    return error;
}

/* The group's next epoch if something changed, and a new target for it. */
static enum kafka_error advance_group(struct share_group *s, bool bump, struct share_changes *c)
{
    struct subscribed u;
    enum kafka_error error = KAFKA_NONE;

    subscribed_init(s, &u);
    if (bump || u.hash != s->metadata_hash || assignment_pending(s, &u)) {
        share_put_epoch(c, group_id(&s->group), s->epoch + 1, u.hash);
        error = share_changes_commit(c, &s->group);
    }
    if (error == KAFKA_NONE && s->epoch > s->assignment_epoch) {
        put_targets(s, &u, c);
        error = share_changes_commit(c, &s->group);
    }
    if (error == KAFKA_NONE) s->refresh = false;
    subscribed_done(&u);
    return error;
}

/* The group's step, when there may be one: a heartbeat in a group at rest looks at no topic. Then the member's. */
static enum kafka_error advance(struct share_group *s, struct share_member *m, bool bump)
{
    struct share_changes c;
    enum kafka_error error = KAFKA_NONE;

    share_changes_init(&c);
    if (bump) look_again(s);
    if (s->refresh || s->epoch > s->assignment_epoch) error = advance_group(s, bump, &c);
    if (error == KAFKA_NONE && m->epoch != s->assignment_epoch) {
        share_put_position(&c, group_id(&s->group), m, s->assignment_epoch);
        error = share_changes_commit(&c, &s->group);
    }
    share_changes_done(&c);
    return error;
}

static enum kafka_error find_group(struct groups *gs, struct slice id, bool may_make, struct share_group **ret,
                                   struct err *err)
{
    struct group *g = groups_find(gs, id);

    *ret = share_group_of(g);
    if (g && !*ret)
        return err_set(err, KAFKA_GROUP_ID_NOT_FOUND, "Group " SLICE_FMT " is not a share group.", SLICE_ARG(id));
    if (!g && !may_make)
        return err_set(err, KAFKA_GROUP_ID_NOT_FOUND, "Share group " SLICE_FMT " not found.", SLICE_ARG(id));
    return KAFKA_NONE;
}

static enum kafka_error unknown_member(const struct share_heartbeat *in, struct err *err)
{
    return err_set(err, KAFKA_UNKNOWN_MEMBER_ID, "Member " SLICE_FMT " is not a member of group " SLICE_FMT ".",
                   SLICE_ARG(in->member_id), SLICE_ARG(in->group_id));
}

static enum kafka_error leave(struct share_group *s, const struct share_heartbeat *in, struct share_answer *ret_answer,
                              struct err *err)
{
    struct share_member *m = share_member_find(s, in->member_id);
    if (!m) return unknown_member(in, err);
    log_info("group", "member leaves share group group=%s member=%s", s->group.id, m->id);
    *ret_answer = (struct share_answer){.epoch = in->epoch};
    return remove_member(m);
}

enum kafka_error share_heartbeat(struct groups *gs, const struct share_heartbeat *in, struct share_answer *ret_answer,
                                 struct err *err)
{
    struct share_group *s;
    struct share_member *m;
    bool join = in->epoch == SHARE_EPOCH_JOIN, made = false, bump;
    enum kafka_error error = find_group(gs, in->group_id, join, &s, err);

    if (error != KAFKA_NONE) return error;
    if (in->epoch == SHARE_EPOCH_LEAVE) return leave(s, in, ret_answer, err);
    m = s ? share_member_find(s, in->member_id) : NULL;
    if (!m && s && HASH_COUNT(s->members) >= (uint32_t)gs->config.share_size_max)
        return err_set(err, KAFKA_GROUP_MAX_SIZE_REACHED, "The share group has %d members, which is its maximum.",
                       gs->config.share_size_max);
    if (!m && !join) return unknown_member(in, err);
    if (m) error = check_epoch(m, in->epoch, err);
    if (error != KAFKA_NONE) return error;
    if ((!m || in->topics_count >= 0) && !groups_have_room(gs, heartbeat_bytes(in)))
        return err_set(err, KAFKA_GROUP_MAX_SIZE_REACHED, "There is no room for more members of groups.");
    if (!s) s = share_group_make(gs, in->group_id), made = true;

    error = update_member(s, m, in, &bump);
    if (error != KAFKA_NONE) {
        if (made) groups_remove(&s->group);
        return err_set(err, error, "%s", kafka_error_text(error));
    }
    if (!m)
        log_info("group", "member joins share group group=%s member=" SLICE_FMT, s->group.id, SLICE_ARG(in->member_id));
    m = share_member_find(s, in->member_id);
    struct partition_set before = partition_set_copy(&m->assigned);
    error = advance(s, m, bump);
    session_restart(m);
    bool changed = !partition_set_eq(&before, &m->assigned);
    partition_set_done(&before);
    if (error != KAFKA_NONE) return err_set(err, error, "%s", kafka_error_text(error));
    *ret_answer = (struct share_answer){.epoch = m->epoch,
                                        .heartbeat_interval_ms = options_of(s).share_heartbeat_interval_ms,
                                        .assignment = join || in->topics_count >= 0 || changed ? &m->assigned : NULL};
    initialize_missing(s);
    return KAFKA_NONE;
}

/* -- what all groups do -- */

static const char *state_name(const struct group *g)
{
    return g->removed ? "Dead" : share_group_of((struct group *)(uintptr_t)g)->members ? "Stable" : "Empty";
}

static struct slice protocol_type(const struct group *g)
{
    return SLICE("share");
}

static bool is_empty(const struct group *g)
{
    return !share_group_of((struct group *)(uintptr_t)g)->members;
}

/* Share groups have no committed offsets. */
static enum kafka_error no_offsets(struct group *g, const struct group_caller *caller)
{
    return KAFKA_GROUP_ID_NOT_FOUND;
}

static enum kafka_error no_offset_delete(const struct group *g)
{
    return KAFKA_GROUP_ID_NOT_FOUND;
}

static bool is_subscribed(const struct group *g, struct slice topic)
{
    return false;
}

static bool expires(const struct group *g, int64_t *ret_since_ms)
{
    return false;
}

static enum kafka_error append_removed(struct group *g)
{
    struct share_group *s = share_group_of(g);
    struct group_change changes[3];
    struct share_change shares[3];
    const struct share_group_metadata_key key = {.group_id = group_id(g)}; /* all three are the same */
    static const enum share_change_type types[] = {SHARE_CHANGE_TARGET_EPOCH, SHARE_CHANGE_PARTITIONS,
                                                   SHARE_CHANGE_EPOCH};

    assert(!s->members);
    for (size_t i = 0; i < countof(types); i++) {
        shares[i] = (struct share_change){.type = types[i], .key = &key};
        changes[i] = (struct group_change){.type = GROUP_CHANGE_SHARE, .share = &shares[i]};
    }
    return g->groups->host->append(g->groups->host, g, changes, countof(changes));
}

static void loaded(struct group *g)
{
    for (struct share_member *m = share_group_of(g)->members; m; m = m->hh.next) session_restart(m);
}

static void share_free(struct group *g)
{
    share_group_clear(share_group_of(g));
}

const struct group_type share_type = {
    .name = "share",
    .stays_empty = true,
    .state_name = state_name,
    .protocol_type = protocol_type,
    .is_empty = is_empty,
    .check_commit = no_offsets,
    .check_fetch = no_offsets,
    .check_offset_delete = no_offset_delete,
    .is_subscribed = is_subscribed,
    .expires = expires,
    .append_removed = append_removed,
    .loaded = loaded,
    .free = share_free,
};
