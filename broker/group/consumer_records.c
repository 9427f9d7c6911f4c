/* broker/group/consumer_records.c: see consumer_records.h. */
#include "broker/group/consumer_records.h"

#include "broker/group/consumer_members.h"
#include "broker/limits.h"
#include "protocol/messages.h"

#define VALUE_VERSION 0 /* of all of them */

/* -- sets -- */

/* A set as the messages have it: topics with their partitions. Each message has a struct of its own for that, with the
 * same fields. */
struct topic_list {
    struct uuid topic_id;
    int32_t *partitions;
    int32_t partitions_count;
};
#define SAME_FIELDS(other)                                                                                             \
    static_assert(sizeof(struct topic_list) == sizeof(struct other) &&                                                 \
                      offsetof(struct topic_list, partitions) == offsetof(struct other, partitions) &&                 \
                      offsetof(struct topic_list, partitions_count) == offsetof(struct other, partitions_count),       \
                  "the same fields")
SAME_FIELDS(consumer_group_target_assignment_member_value_topic_partition);
SAME_FIELDS(consumer_group_current_member_assignment_value_topic_partitions);

/* One allocation, for the caller to free. */
static struct topic_list *topics_of(const struct partition_set *s, int32_t *ret_count)
{
    struct topic_list *topics = xcalloc((size_t)s->count + 1, sizeof *topics + sizeof(int32_t));
    int32_t *partitions = (int32_t *)(topics + s->count);
    *ret_count = 0;
    for (uint32_t i = 0, end; i < s->count; i = end) {
        end = partition_set_topic_end(s, i);
        for (uint32_t k = i; k < end; k++) partitions[k] = s->items[k].partition;
        topics[(*ret_count)++] = (struct topic_list){
            .topic_id = s->items[i].topic_id, .partitions = partitions + i, .partitions_count = (int32_t)(end - i)};
    }
    return topics;
}

static struct partition_set set_of(const void *list, int32_t count)
{
    const struct topic_list *topics = list;
    struct partition_set s = {0};
    for (int32_t t = 0; t < count; t++)
        for (int32_t i = 0; i < topics[t].partitions_count; i++)
            partition_set_append(&s, topics[t].topic_id, topics[t].partitions[i]);
    partition_set_sort(&s);
    return s;
}

/* -- writing -- */

/* Keys of one field or of two: each type's struct has these fields. */
struct group_key {
    struct slice group_id, key;
};
static_assert(sizeof(struct consumer_group_metadata_key) == sizeof(struct slice) &&
                  sizeof(struct consumer_group_partition_metadata_key) == sizeof(struct slice) &&
                  sizeof(struct consumer_group_target_assignment_metadata_key) == sizeof(struct slice),
              "the group");
static_assert(sizeof(struct consumer_group_member_metadata_key) == sizeof(struct group_key) &&
                  sizeof(struct consumer_group_target_assignment_member_key) == sizeof(struct group_key) &&
                  sizeof(struct consumer_group_current_member_assignment_key) == sizeof(struct group_key) &&
                  sizeof(struct consumer_group_regular_expression_key) == sizeof(struct group_key),
              "the group, and the member or the expression");

static void put_profile(struct coordinator_writer *w, const struct group_key *key, const struct consumer_profile *p)
{
    struct consumer_group_member_metadata_value m;
    struct consumer_group_member_metadata_value_classic_member_metadata classic;
    AUTO_FREE struct consumer_group_member_metadata_value_classic_protocol *protocols =
        xcalloc((size_t)p->protocols_count + 1, sizeof *protocols);
    consumer_group_member_metadata_value_init(&m);
    m.instance_id = p->instance_id;
    m.rack_id = p->rack_id;
    m.client_id = p->client_id;
    m.client_host = p->client_host;
    m.subscribed_topic_names = (struct slice *)(uintptr_t)p->topics;
    m.subscribed_topic_names_count = p->topics_count;
    m.subscribed_topic_regex = p->regex;
    m.rebalance_timeout_ms = p->rebalance_timeout_ms;
    m.server_assignor = p->assignor;
    if (p->is_classic) {
        consumer_group_member_metadata_value_classic_member_metadata_init(&classic);
        classic.session_timeout_ms = p->session_timeout_ms;
        for (int32_t i = 0; i < p->protocols_count; i++) {
            protocols[i].name = p->protocols[i].name;
            protocols[i].metadata = p->protocols[i].metadata;
        }
        classic.supported_protocols = protocols;
        classic.supported_protocols_count = p->protocols_count;
        m.classic_member_metadata = &classic;
    }
    coordinator_put(w, CONSUMER_CHANGE_PROFILE, key, VALUE_VERSION, &m);
}

static void put_target(struct coordinator_writer *w, const struct group_key *key, const struct partition_set *target)
{
    struct consumer_group_target_assignment_member_value m;
    consumer_group_target_assignment_member_value_init(&m);
    AUTO_FREE struct topic_list *topics = topics_of(target, &m.topic_partitions_count);
    m.topic_partitions = (void *)topics;
    coordinator_put(w, CONSUMER_CHANGE_TARGET, key, VALUE_VERSION, &m);
}

static void put_position(struct coordinator_writer *w, const struct group_key *key, const struct consumer_position *p)
{
    struct consumer_group_current_member_assignment_value m;
    consumer_group_current_member_assignment_value_init(&m);
    AUTO_FREE struct topic_list *assigned = topics_of(&p->assigned, &m.assigned_partitions_count);
    AUTO_FREE struct topic_list *revoking = topics_of(&p->revoking, &m.partitions_pending_revocation_count);
    m.member_epoch = p->epoch;
    m.previous_member_epoch = p->previous_epoch;
    m.state = (int8_t)p->state;
    m.assigned_partitions = (void *)assigned;
    m.partitions_pending_revocation = (void *)revoking;
    coordinator_put(w, CONSUMER_CHANGE_POSITION, key, VALUE_VERSION, &m);
}

void consumer_record_put(struct coordinator_writer *w, const struct group *g, const struct consumer_change *c)
{
    struct group_key key = {.group_id = group_id(g), .key = c->key};
    int16_t type = (int16_t)c->type;
    if (c->removed) {
        coordinator_put(w, type, &key, VALUE_VERSION, NULL);
        return;
    }
    switch (c->type) {
    case CONSUMER_CHANGE_EPOCH:
        coordinator_put(
            w, type, &key, VALUE_VERSION,
            &(struct consumer_group_metadata_value){.epoch = c->epoch, .metadata_hash = (int64_t)c->metadata_hash});
        break;
    case CONSUMER_CHANGE_OLD_METADATA: assert(!"only its end is written"); break;
    case CONSUMER_CHANGE_PROFILE: put_profile(w, &key, c->profile); break;
    case CONSUMER_CHANGE_TARGET_EPOCH:
        coordinator_put(w, type, &key, VALUE_VERSION,
                        &(struct consumer_group_target_assignment_metadata_value){.assignment_epoch = c->epoch});
        break;
    case CONSUMER_CHANGE_TARGET: put_target(w, &key, c->target); break;
    case CONSUMER_CHANGE_POSITION: put_position(w, &key, c->position); break;
    case CONSUMER_CHANGE_REGEX:
        coordinator_put(
            w, type, &key, VALUE_VERSION,
            &(struct consumer_group_regular_expression_value){.topics = (struct slice *)(uintptr_t)c->topics,
                                                              .topics_count = c->topics_count,
                                                              .version = c->version,
                                                              .timestamp = c->time_ms});
        break;
    }
}

/* -- reading -- */

static bool restore(void *state, const struct coordinator_record *r, struct consumer_change *c, bool has_key)
{
    const struct group_key *key = r->key;
    if (has_key) c->key = key->key;
    c->removed = !r->value;
    consumer_group_restore(state, key->group_id, c);
    return true;
}

bool consumer_epoch_apply(void *state, const struct coordinator_record *r)
{
    const struct consumer_group_metadata_value *m = r->value;
    struct consumer_change c = {.type = CONSUMER_CHANGE_EPOCH};
    if (m) c.epoch = m->epoch, c.metadata_hash = (uint64_t)m->metadata_hash;
    return restore(state, r, &c, false);
}

bool consumer_old_metadata_apply(void *state, const struct coordinator_record *r)
{
    return restore(state, r, &(struct consumer_change){.type = CONSUMER_CHANGE_OLD_METADATA}, false);
}

bool consumer_target_epoch_apply(void *state, const struct coordinator_record *r)
{
    const struct consumer_group_target_assignment_metadata_value *m = r->value;
    return restore(
        state, r, &(struct consumer_change){.type = CONSUMER_CHANGE_TARGET_EPOCH, .epoch = m ? m->assignment_epoch : 0},
        false);
}

/* Names as the state has them: sorted. In r's arena; NULL: it is full. */
static struct slice *sorted_names(const struct coordinator_record *r, const struct slice *names, int32_t count)
{
    struct slice *sorted = arena_calloc(r->arena, (size_t)MAX(count, 0) + 1, sizeof *sorted);
    if (!sorted || count <= 0) return sorted;
    memcpy(sorted, names, (size_t)count * sizeof sorted[0]);
    qsort(sorted, (size_t)count, sizeof sorted[0], slice_order);
    return sorted;
}

static bool profile_read(const struct coordinator_record *r, struct consumer_profile *p)
{
    const struct consumer_group_member_metadata_value *m = r->value;
    struct slice *topics = sorted_names(r, m->subscribed_topic_names, m->subscribed_topic_names_count);
    if (!topics) return false;
    *p = (struct consumer_profile){.instance_id = m->instance_id,
                                   .rack_id = m->rack_id,
                                   .client_id = m->client_id,
                                   .client_host = m->client_host,
                                   .topics = topics,
                                   .topics_count = MAX(m->subscribed_topic_names_count, 0),
                                   .regex = m->subscribed_topic_regex,
                                   .assignor = m->server_assignor,
                                   .rebalance_timeout_ms = m->rebalance_timeout_ms};
    if (!m->classic_member_metadata || m->classic_member_metadata->supported_protocols_count <= 0) return true;
    const struct consumer_group_member_metadata_value_classic_member_metadata *classic = m->classic_member_metadata;
    if (classic->supported_protocols_count > GROUP_PROTOCOLS_MAX) return false; /* more than JoinGroup lets in */
    struct classic_protocol *protocols =
        arena_calloc(r->arena, (size_t)classic->supported_protocols_count, sizeof *protocols);
    if (!protocols) return false;
    for (int32_t i = 0; i < classic->supported_protocols_count; i++)
        protocols[i] = (struct classic_protocol){.name = classic->supported_protocols[i].name,
                                                 .metadata = classic->supported_protocols[i].metadata};
    p->is_classic = true;
    p->session_timeout_ms = classic->session_timeout_ms;
    p->protocols = protocols;
    p->protocols_count = classic->supported_protocols_count;
    return true;
}

bool consumer_profile_apply(void *state, const struct coordinator_record *r)
{
    struct consumer_profile profile;
    struct consumer_change c = {.type = CONSUMER_CHANGE_PROFILE, .profile = &profile};
    if (r->value && !profile_read(r, &profile)) return false;
    return restore(state, r, &c, true);
}

bool consumer_target_apply(void *state, const struct coordinator_record *r)
{
    const struct consumer_group_target_assignment_member_value *m = r->value;
    struct partition_set target = {0};
    if (m) target = set_of(m->topic_partitions, m->topic_partitions_count);
    bool ok = restore(state, r, &(struct consumer_change){.type = CONSUMER_CHANGE_TARGET, .target = &target}, true);
    partition_set_done(&target);
    return ok;
}

bool consumer_position_apply(void *state, const struct coordinator_record *r)
{
    const struct consumer_group_current_member_assignment_value *m = r->value;
    struct consumer_position p = {0};
    if (m) {
        if (m->state < CONSUMER_STABLE || m->state > CONSUMER_UNRELEASED) return false;
        p = (struct consumer_position){
            .epoch = m->member_epoch,
            .previous_epoch = m->previous_member_epoch,
            .state = (enum consumer_state)m->state,
            .assigned = set_of(m->assigned_partitions, m->assigned_partitions_count),
            .revoking = set_of(m->partitions_pending_revocation, m->partitions_pending_revocation_count)};
    }
    bool ok = restore(state, r, &(struct consumer_change){.type = CONSUMER_CHANGE_POSITION, .position = &p}, true);
    consumer_position_done(&p);
    return ok;
}

bool consumer_regex_apply(void *state, const struct coordinator_record *r)
{
    const struct consumer_group_regular_expression_value *m = r->value;
    struct consumer_change c = {.type = CONSUMER_CHANGE_REGEX};
    if (m) {
        c.topics = sorted_names(r, m->topics, m->topics_count);
        if (!c.topics) return false;
        c.topics_count = MAX(m->topics_count, 0);
        c.version = m->version;
        c.time_ms = m->timestamp;
    }
    return restore(state, r, &c, true);
}
