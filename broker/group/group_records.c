/* broker/group/group_records.c: see group_records.h. */
#include "broker/group/group_records.h"

#include "broker/group/consumer_records.h"
#include "broker/group/group_classic.h"
#include "broker/share/group_share.h"
#include "protocol/messages.h"

enum record_type {
    RECORD_LEGACY_OFFSET = 0,
    RECORD_OFFSET = 1,
    RECORD_CLASSIC_GROUP = 2,
};

#define OFFSET_VALUE_VERSION        4
#define OFFSET_VALUE_VERSION_EXPIRE 1 /* the only one that has an expiry time */
#define GROUP_VALUE_VERSION         3

/* -- writing -- */

static void put_offset(struct coordinator_writer *w, const struct group *g, const struct group_change *change)
{
    struct offset_commit_key key = {.group = group_id(g), .topic = change->topic, .partition = change->partition};
    const struct offset_value *v = change->offset;
    if (change->type == GROUP_CHANGE_OFFSET_REMOVED) {
        coordinator_put(w, RECORD_OFFSET, &key, 0, NULL);
        return;
    }
    struct offset_commit_value m;
    offset_commit_value_init(&m);
    m.offset = v->offset;
    m.leader_epoch = v->leader_epoch;
    m.metadata = v->metadata;
    m.commit_timestamp = v->commit_time_ms;
    m.expire_timestamp = v->expire_time_ms;
    coordinator_put(w, RECORD_OFFSET, &key, v->expire_time_ms >= 0 ? OFFSET_VALUE_VERSION_EXPIRE : OFFSET_VALUE_VERSION,
                    &m);
}

static void put_classic_group(struct coordinator_writer *w, const struct group *g, const struct classic_group *c)
{
    struct group_metadata_value m;
    int32_t count = (int32_t)HASH_COUNT(c->members);
    AUTO_FREE struct group_metadata_value_member_metadata *members = xcalloc((size_t)count + 1, sizeof *members);
    group_metadata_value_init(&m);
    m.protocol_type = c->protocol_type ? slice_of(c->protocol_type) : SLICE_EMPTY;
    m.generation = c->generation_id;
    m.protocol = slice_of(c->protocol_name);
    m.leader = c->leader ? slice_of(c->leader->id) : SLICE_NULL;
    m.current_state_timestamp = c->state_time_ms;
    m.members = members;
    for (const struct classic_member *from = c->members; from; from = from->hh.next) {
        struct group_metadata_value_member_metadata *to = &members[m.members_count++];
        group_metadata_value_member_metadata_init(to);
        to->member_id = slice_of(from->id);
        to->group_instance_id = slice_of(from->instance_id);
        to->client_id = slice_of(from->client_id);
        to->client_host = slice_of(from->client_host);
        to->rebalance_timeout = from->rebalance_timeout_ms;
        to->session_timeout = from->session_timeout_ms;
        to->subscription = classic_member_metadata(from);
        to->assignment = from->assignment;
    }
    coordinator_put(w, RECORD_CLASSIC_GROUP, &(struct group_metadata_key){.group = group_id(g)}, GROUP_VALUE_VERSION,
                    &m);
}

void group_record_put(struct coordinator_writer *w, struct group *g, const struct group_change *change)
{
    switch (change->type) {
    case GROUP_CHANGE_OFFSET:
    case GROUP_CHANGE_OFFSET_REMOVED: put_offset(w, g, change); break;
    case GROUP_CHANGE_STATE: put_classic_group(w, g, classic_group_of(g)); break;
    case GROUP_CHANGE_REMOVED:
        coordinator_put(w, RECORD_CLASSIC_GROUP, &(struct group_metadata_key){.group = group_id(g)}, 0, NULL);
        break;
    case GROUP_CHANGE_CONSUMER: consumer_record_put(w, g, change->consumer); break;
    case GROUP_CHANGE_SHARE:
        coordinator_put(w, (int16_t)change->share->type, change->share->key, 0, change->share->value);
        break;
    }
}

/* -- reading -- */

static bool apply_offset(void *state, const struct coordinator_record *r)
{
    const struct offset_commit_key *k = r->key;
    const struct offset_commit_value *m = r->value;
    struct offset_value v;
    if (m)
        v = (struct offset_value){.offset = m->offset,
                                  .leader_epoch = m->leader_epoch,
                                  .metadata = m->metadata,
                                  .commit_time_ms = m->commit_timestamp,
                                  .expire_time_ms = m->expire_timestamp};
    groups_restore_offset(state, k->group, k->topic, k->partition, m ? &v : NULL, r->producer_id);
    return true;
}

static bool apply_legacy_offset(void *state, const struct coordinator_record *r)
{
    const struct legacy_offset_commit_key *k = r->key;
    const struct legacy_offset_commit_value *m = r->value;
    struct offset_value v;
    if (m)
        v = (struct offset_value){.offset = m->offset,
                                  .leader_epoch = -1,
                                  .metadata = m->metadata,
                                  .commit_time_ms = m->commit_timestamp,
                                  .expire_time_ms = -1};
    groups_restore_offset(state, k->group, k->topic, k->partition, m ? &v : NULL, r->producer_id);
    return true;
}

static bool apply_classic_group(void *state, const struct coordinator_record *r)
{
    const struct group_metadata_key *k = r->key;
    const struct group_metadata_value *m = r->value;
    if (!m) {
        groups_restore_removed(state, k->group);
        return true;
    }
    struct classic_stored_member *members =
        arena_calloc(r->arena, (size_t)(m->members_count > 0 ? m->members_count : 1), sizeof *members);
    if (!members) return false;
    struct classic_stored stored = {.protocol_type = m->protocol_type,
                                    .protocol_name = m->protocol,
                                    .leader = m->leader,
                                    .generation_id = m->generation,
                                    .state_time_ms = m->current_state_timestamp,
                                    .members = members};
    for (; stored.members_count < m->members_count; stored.members_count++) {
        const struct group_metadata_value_member_metadata *from = &m->members[stored.members_count];
        members[stored.members_count] = (struct classic_stored_member){.id = from->member_id,
                                                                       .instance_id = from->group_instance_id,
                                                                       .client_id = from->client_id,
                                                                       .client_host = from->client_host,
                                                                       .metadata = from->subscription,
                                                                       .assignment = from->assignment,
                                                                       .session_timeout_ms = from->session_timeout,
                                                                       .rebalance_timeout_ms = from->rebalance_timeout};
    }
    classic_group_restore(state, k->group, &stored);
    return true;
}

/* Share groups work on the schemas' structs themselves. */
#define APPLY_SHARE(name, change_type)                                                                                 \
    static bool name(void *state, const struct coordinator_record *r)                                                  \
    {                                                                                                                  \
        return share_group_apply(state,                                                                                \
                                 &(struct share_change){.type = change_type, .key = r->key, .value = r->value});       \
    }
APPLY_SHARE(apply_share_member, SHARE_CHANGE_MEMBER)
APPLY_SHARE(apply_share_epoch, SHARE_CHANGE_EPOCH)
APPLY_SHARE(apply_share_target_epoch, SHARE_CHANGE_TARGET_EPOCH)
APPLY_SHARE(apply_share_target, SHARE_CHANGE_TARGET)
APPLY_SHARE(apply_share_position, SHARE_CHANGE_POSITION)
APPLY_SHARE(apply_share_partitions, SHARE_CHANGE_PARTITIONS)

const struct coordinator_row group_rows[] = {
    {RECORD_LEGACY_OFFSET, apply_legacy_offset},
    {RECORD_OFFSET, apply_offset},
    {RECORD_CLASSIC_GROUP, apply_classic_group},
    {CONSUMER_CHANGE_EPOCH, consumer_epoch_apply},
    {CONSUMER_CHANGE_OLD_METADATA, consumer_old_metadata_apply},
    {CONSUMER_CHANGE_PROFILE, consumer_profile_apply},
    {CONSUMER_CHANGE_TARGET_EPOCH, consumer_target_epoch_apply},
    {CONSUMER_CHANGE_TARGET, consumer_target_apply},
    {CONSUMER_CHANGE_POSITION, consumer_position_apply},
    {CONSUMER_CHANGE_REGEX, consumer_regex_apply},
    {SHARE_CHANGE_MEMBER, apply_share_member},
    {SHARE_CHANGE_EPOCH, apply_share_epoch},
    {SHARE_CHANGE_TARGET_EPOCH, apply_share_target_epoch},
    {SHARE_CHANGE_TARGET, apply_share_target},
    {SHARE_CHANGE_POSITION, apply_share_position},
    {SHARE_CHANGE_PARTITIONS, apply_share_partitions},
    {0},
};
