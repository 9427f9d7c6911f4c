/* broker/share/share_members.c: see share_members.h. */
#include "broker/share/share_members.h"

#include "protocol/messages.h"

/* -- the fold -- */

struct share_group *share_group_make(struct groups *gs, struct slice id)
{
    struct share_group *s = xcalloc(1, sizeof *s);
    s->refresh = s->may_miss = true;
    group_init(gs, &s->group, &share_type, id);
    groups_add(&s->group);
    group_count_bytes(&s->group, sizeof *s);
    return s;
}

struct share_member *share_member_find(const struct share_group *s, struct slice id)
{
    struct share_member *m;
    HASH_FIND(hh, s->members, id.ptr, id.len, m);
    return m;
}

static size_t member_bytes(const struct share_member *m)
{
    size_t bytes = sizeof *m + strlen(m->id) + strlen(m->client_id) + strlen(m->client_host) +
                   (m->rack_id ? strlen(m->rack_id) : 0) +
                   ((size_t)m->target.size + m->assigned.size) * sizeof m->target.items[0];
    for (int32_t i = 0; i < m->topics_count; i++) bytes += sizeof m->topics[i] + m->topics[i].len;
    return bytes;
}

static void count_again(struct share_member *m)
{
    size_t bytes = member_bytes(m);
    group_count_bytes(&m->group->group, (int64_t)bytes - (int64_t)m->bytes);
    m->bytes = bytes;
}

static struct share_member *member_make(struct share_group *s, struct slice id)
{
    struct share_member *m = xcalloc(1, sizeof *m);
    m->group = s;
    m->id = slice_strdup(id);
    m->client_id = slice_strdup(SLICE_EMPTY);
    m->client_host = slice_strdup(SLICE_EMPTY);
    group_timer_init(&m->session, s->group.groups->host, NULL);
    HASH_ADD_KEYPTR(hh, s->members, m->id, id.len, m);
    count_again(m);
    return m;
}

static void member_free(struct share_member *m)
{
    group_timer_stop(&m->session);
    group_count_bytes(&m->group->group, -(int64_t)m->bytes);
    HASH_DEL(m->group->members, m);
    partition_set_done(&m->target);
    partition_set_done(&m->assigned);
    free(m->id);
    free(m->rack_id);
    free(m->client_id);
    free(m->client_host);
    free(m->topics);
    free(m);
}

void share_group_clear(struct share_group *s)
{
    struct share_member *m, *next;
    HASH_ITER(hh, s->members, m, next) member_free(m);
    partition_set_done(&s->initializing);
    partition_set_done(&s->initialized);
    partition_set_done(&s->deleting);
}

/* text may be what is there. */
static void set_text(char **at, struct slice text)
{
    char *before = *at;
    *at = slice_strdup(text);
    free(before);
}

static int name_order(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

/* topics may be what is there. */
static void set_topics(struct share_member *m, const struct slice *topics, int32_t count)
{
    struct slice *before = m->topics;
    size_t bytes = ((size_t)count + 1) * sizeof *topics;
    for (int32_t i = 0; i < count; i++) bytes += topics[i].len;
    m->topics = xmalloc(bytes);
    m->topics_count = 0;
    memcpy(m->topics, topics, (size_t)count * sizeof *topics);
    qsort(m->topics, (size_t)count, sizeof *topics, name_order);
    uint8_t *to = (uint8_t *)(m->topics + count);
    for (int32_t i = 0; i < count; i++) {
        struct slice name = m->topics[i];
        if (m->topics_count && slice_eq(m->topics[m->topics_count - 1], name)) continue;
        if (name.len) memcpy(to, name.ptr, name.len);
        m->topics[m->topics_count++] = slice_make(to, name.len);
        to += name.len;
    }
    free(before);
}

static void apply_member(struct share_group *s, struct slice id, const struct share_group_member_metadata_value *v)
{
    struct share_member *m = share_member_find(s, id);
    if (!v) {
        if (m) member_free(m);
        return;
    }
    if (!m) m = member_make(s, id);
    set_text(&m->rack_id, v->rack_id);
    set_text(&m->client_id, v->client_id);
    set_text(&m->client_host, v->client_host);
    set_topics(m, v->subscribed_topic_names, v->subscribed_topic_names_count);
    count_again(m);
}

/* Arrays of topics with partitions are the same in both records. */
_Static_assert(sizeof(struct share_group_target_assignment_member_value_topic_partition) ==
                       sizeof(struct share_group_current_member_assignment_value_topic_partitions) &&
                   offsetof(struct share_group_target_assignment_member_value_topic_partition, partitions) ==
                       offsetof(struct share_group_current_member_assignment_value_topic_partitions, partitions),
               "one function for both");

static struct partition_set set_of(const struct share_group_target_assignment_member_value_topic_partition *topics,
                                   int32_t count)
{
    struct partition_set set = {0};
    for (int32_t i = 0; i < count; i++)
        for (int32_t p = 0; p < topics[i].partitions_count; p++)
            partition_set_append(&set, topics[i].topic_id, topics[i].partitions[p]);
    partition_set_sort(&set);
    return set;
}

static void replace(struct partition_set *at, struct partition_set set)
{
    partition_set_done(at);
    *at = set;
}

static void apply_target(struct share_group *s, struct slice id,
                         const struct share_group_target_assignment_member_value *v)
{
    struct share_member *m = share_member_find(s, id);
    if (!m && v) m = member_make(s, id); /* compaction may leave this record before the member's */
    if (!m) return;
    replace(&m->target, v ? set_of(v->topic_partitions, v->topic_partitions_count) : (struct partition_set){0});
    count_again(m);
}

static void apply_position(struct share_group *s, struct slice id,
                           const struct share_group_current_member_assignment_value *v)
{
    struct share_member *m = share_member_find(s, id);
    if (!m && v) m = member_make(s, id);
    if (!m) return;
    m->epoch = v ? v->member_epoch : 0;
    m->previous_epoch = v ? v->previous_member_epoch : 0;
    replace(&m->assigned,
            v ? set_of((const void *)v->assigned_partitions, v->assigned_partitions_count) : (struct partition_set){0});
    count_again(m);
}

static struct partition_set set_of_infos(
    const struct share_group_state_partition_metadata_value_topic_partitions_info *topics, int32_t count)
{
    struct partition_set set = {0};
    for (int32_t i = 0; i < count; i++)
        for (int32_t p = 0; p < topics[i].partitions_count; p++)
            partition_set_append(&set, topics[i].topic_id, topics[i].partitions[p]);
    partition_set_sort(&set);
    return set;
}

static size_t sets_bytes(const struct share_group *s)
{
    return ((size_t)s->initializing.size + s->initialized.size + s->deleting.size) * sizeof s->initialized.items[0];
}

static void apply_partitions(struct share_group *s, const struct share_group_state_partition_metadata_value *v)
{
    struct partition_set deleting = {0};
    size_t before = sets_bytes(s);

    replace(&s->initializing,
            v ? set_of_infos(v->initializing_topics, v->initializing_topics_count) : (struct partition_set){0});
    replace(&s->initialized,
            v ? set_of_infos(v->initialized_topics, v->initialized_topics_count) : (struct partition_set){0});
    for (int32_t i = 0; v && i < v->deleting_topics_count; i++)
        partition_set_append(&deleting, v->deleting_topics[i].topic_id, 0);
    partition_set_sort(&deleting);
    replace(&s->deleting, deleting);
    group_count_bytes(&s->group, (int64_t)sets_bytes(s) - (int64_t)before);
}

static void apply_epoch(struct share_group *s, const struct share_group_metadata_value *v)
{
    if (v) {
        s->epoch = v->epoch;
        s->metadata_hash = v->metadata_hash;
        return;
    }
    groups_remove(&s->group);
}

/* Every key begins with the group's id; those of members go on with theirs. */
_Static_assert(offsetof(struct share_group_member_metadata_key, group_id) == 0 &&
                   offsetof(struct share_group_metadata_key, group_id) == 0 &&
                   offsetof(struct share_group_target_assignment_metadata_key, group_id) == 0 &&
                   offsetof(struct share_group_target_assignment_member_key, group_id) == 0 &&
                   offsetof(struct share_group_current_member_assignment_key, group_id) == 0 &&
                   offsetof(struct share_group_state_partition_metadata_key, group_id) == 0 &&
                   offsetof(struct share_group_target_assignment_member_key, member_id) ==
                       offsetof(struct share_group_member_metadata_key, member_id) &&
                   offsetof(struct share_group_current_member_assignment_key, member_id) ==
                       offsetof(struct share_group_member_metadata_key, member_id),
               "keys are read alike");

static bool is_of_member(enum share_change_type type)
{
    return type == SHARE_CHANGE_MEMBER || type == SHARE_CHANGE_TARGET || type == SHARE_CHANGE_POSITION;
}

bool share_group_apply(struct groups *gs, const struct share_change *change)
{
    const struct share_group_member_metadata_key *key = change->key;
    struct slice member_id = is_of_member(change->type) ? key->member_id : SLICE_NULL;
    struct group *g = groups_find(gs, key->group_id);
    struct share_group *s = share_group_of(g);

    if (g && !s) return false;
    if (!s && !change->value) return true;
    if (!s) s = share_group_make(gs, key->group_id);
    switch (change->type) {
    case SHARE_CHANGE_MEMBER: apply_member(s, member_id, change->value); break;
    case SHARE_CHANGE_EPOCH: apply_epoch(s, change->value); break;
    case SHARE_CHANGE_TARGET_EPOCH: {
        const struct share_group_target_assignment_metadata_value *v = change->value;
        s->assignment_epoch = v ? v->assignment_epoch : 0;
        break;
    }
    case SHARE_CHANGE_TARGET: apply_target(s, member_id, change->value); break;
    case SHARE_CHANGE_POSITION: apply_position(s, member_id, change->value); break;
    case SHARE_CHANGE_PARTITIONS: apply_partitions(s, change->value); break;
    }
    return true;
}

/* -- making records -- */

void share_changes_init(struct share_changes *c)
{
    *c = (struct share_changes){0};
    arena_init(&c->arena, SHARE_CHANGES_BYTES_MAX);
}

void share_changes_done(struct share_changes *c)
{
    arena_done(&c->arena);
    free(c->items);
    *c = (struct share_changes){0};
}

/* A new record of `type` with room for its key and value; NULL, and the changes have failed: there is none. */
static struct share_change *change_new(struct share_changes *c, enum share_change_type type, size_t value_bytes)
{
    void *key = arena_calloc(&c->arena, 1, sizeof(struct share_group_member_metadata_key));
    void *value = value_bytes ? arena_calloc(&c->arena, 1, value_bytes) : NULL;
    if (!key || (value_bytes && !value)) {
        c->failed = true;
        return NULL;
    }
    if (c->count == c->capacity) {
        c->capacity = c->capacity ? 2 * c->capacity : 8;
        c->items = xrealloc(c->items, c->capacity * sizeof *c->items);
    }
    c->items[c->count] = (struct share_change){.type = type, .key = key, .value = value};
    return &c->items[c->count++];
}

/* The value of a new record. */
static void *put(struct share_changes *c, enum share_change_type type, struct slice group_id, struct slice member_id,
                 size_t value_bytes)
{
    struct share_change *change = change_new(c, type, value_bytes);
    if (!change) return NULL;
    struct share_group_member_metadata_key *key = (void *)(uintptr_t)change->key;
    key->group_id = group_id;
    if (is_of_member(type)) key->member_id = member_id;
    return (void *)(uintptr_t)change->value;
}

void share_put_tombstone(struct share_changes *c, enum share_change_type type, struct slice group_id,
                         struct slice member_id)
{
    (void)put(c, type, group_id, member_id, 0);
}

void share_put_member(struct share_changes *c, struct slice group_id, struct slice member_id,
                      const struct share_heartbeat *now, const struct slice *topics, int32_t topics_count)
{
    struct share_group_member_metadata_value *v = put(c, SHARE_CHANGE_MEMBER, group_id, member_id, sizeof *v);
    if (!v) return;
    v->rack_id = now->rack_id;
    v->client_id = now->client_id;
    v->client_host = now->client_host;
    v->subscribed_topic_names = (struct slice *)(uintptr_t)topics;
    v->subscribed_topic_names_count = topics_count;
}

void share_put_epoch(struct share_changes *c, struct slice group_id, int32_t epoch, int64_t metadata_hash)
{
    struct share_group_metadata_value *v = put(c, SHARE_CHANGE_EPOCH, group_id, SLICE_NULL, sizeof *v);
    if (v) *v = (struct share_group_metadata_value){.epoch = epoch, .metadata_hash = metadata_hash};
}

void share_put_target_epoch(struct share_changes *c, struct slice group_id, int32_t epoch)
{
    struct share_group_target_assignment_metadata_value *v =
        put(c, SHARE_CHANGE_TARGET_EPOCH, group_id, SLICE_NULL, sizeof *v);
    if (v) v->assignment_epoch = epoch;
}

/* The partitions of the topic that begins at items[from]. */
static int32_t *partitions_of(struct share_changes *c, const struct partition_set *set, uint32_t from, uint32_t end)
{
    int32_t *partitions = arena_calloc(&c->arena, end - from, sizeof *partitions);
    if (!partitions) c->failed = true;
    for (uint32_t i = from; partitions && i < end; i++) partitions[i - from] = set->items[i].partition;
    return partitions;
}

static struct share_group_target_assignment_member_value_topic_partition *topics_of(struct share_changes *c,
                                                                                    const struct partition_set *set,
                                                                                    int32_t *ret_count)
{
    struct share_group_target_assignment_member_value_topic_partition *topics =
        arena_calloc(&c->arena, (size_t)set->count + 1, sizeof *topics);
    if (!topics) c->failed = true;
    *ret_count = 0;
    for (uint32_t i = 0, end; topics && i < set->count; i = end) {
        end = partition_set_topic_end(set, i);
        topics[(*ret_count)++] = (struct share_group_target_assignment_member_value_topic_partition){
            .topic_id = set->items[i].topic_id,
            .partitions = partitions_of(c, set, i, end),
            .partitions_count = (int32_t)(end - i)};
    }
    return topics;
}

void share_put_target(struct share_changes *c, struct slice group_id, struct slice member_id,
                      const struct partition_set *target)
{
    struct share_group_target_assignment_member_value *v = put(c, SHARE_CHANGE_TARGET, group_id, member_id, sizeof *v);
    if (v) v->topic_partitions = topics_of(c, target, &v->topic_partitions_count);
}

void share_put_position(struct share_changes *c, struct slice group_id, const struct share_member *m, int32_t epoch)
{
    struct share_group_current_member_assignment_value *v =
        put(c, SHARE_CHANGE_POSITION, group_id, slice_of(m->id), sizeof *v);
    if (!v) return;
    v->member_epoch = epoch;
    v->previous_member_epoch = m->epoch;
    v->assigned_partitions = (void *)topics_of(c, &m->target, &v->assigned_partitions_count);
}

static struct slice topic_name(struct share_changes *c, struct group_host *host, struct uuid id)
{
    struct group_topic t;
    if (!host->topic_by_id(host, id, &t)) return SLICE("<UNKNOWN>"); /* as Kafka names it */
    struct slice name = arena_slice_dup(&c->arena, t.name);
    if (!name.ptr) c->failed = true;
    return name;
}

static struct share_group_state_partition_metadata_value_topic_partitions_info *infos_of(
    struct share_changes *c, struct group_host *host, const struct partition_set *set, int32_t *ret_count)
{
    struct share_group_state_partition_metadata_value_topic_partitions_info *topics =
        arena_calloc(&c->arena, (size_t)set->count + 1, sizeof *topics);
    if (!topics) c->failed = true;
    *ret_count = 0;
    for (uint32_t i = 0, end; topics && i < set->count; i = end) {
        end = partition_set_topic_end(set, i);
        topics[(*ret_count)++] = (struct share_group_state_partition_metadata_value_topic_partitions_info){
            .topic_id = set->items[i].topic_id,
            .topic_name = topic_name(c, host, set->items[i].topic_id),
            .partitions = partitions_of(c, set, i, end),
            .partitions_count = (int32_t)(end - i)};
    }
    return topics;
}

void share_put_partitions(struct share_changes *c, struct slice group_id, struct group_host *host,
                          const struct partition_set *initializing, const struct partition_set *initialized,
                          const struct partition_set *deleting)
{
    struct share_group_state_partition_metadata_value *v =
        put(c, SHARE_CHANGE_PARTITIONS, group_id, SLICE_NULL, sizeof *v);
    if (!v) return;
    v->initializing_topics = infos_of(c, host, initializing, &v->initializing_topics_count);
    v->initialized_topics = infos_of(c, host, initialized, &v->initialized_topics_count);
    v->deleting_topics = arena_calloc(&c->arena, (size_t)deleting->count + 1, sizeof v->deleting_topics[0]);
    if (!v->deleting_topics) c->failed = true;
    for (uint32_t i = 0; v->deleting_topics && i < deleting->count; i++)
        v->deleting_topics[v->deleting_topics_count++] = (struct share_group_state_partition_metadata_value_topic_info){
            .topic_id = deleting->items[i].topic_id, .topic_name = topic_name(c, host, deleting->items[i].topic_id)};
}

enum kafka_error share_changes_commit(struct share_changes *c, struct group *g)
{
    struct groups *gs = g->groups;
    enum kafka_error error = c->failed ? KAFKA_INVALID_COMMIT_OFFSET_SIZE : KAFKA_NONE;

    if (error == KAFKA_NONE && c->count) {
        AUTO_FREE struct group_change *changes = xcalloc(c->count, sizeof *changes);
        for (uint32_t i = 0; i < c->count; i++)
            changes[i] = (struct group_change){.type = GROUP_CHANGE_SHARE, .share = &c->items[i]};
        error = gs->host->append(gs->host, g, changes, c->count);
    }
    group_ref(g); /* applying may remove it */
    for (uint32_t i = 0; error == KAFKA_NONE && i < c->count; i++)
        if (!share_group_apply(gs, &c->items[i])) assert(false);
    group_unref(g);
    share_changes_done(c);
    share_changes_init(c);
    return error;
}
