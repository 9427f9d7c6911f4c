/* DescribeShareGroupOffsets, key 90 (KIP-932): start offsets of share partitions as they are stored; -1: none yet.
 * Control thread. Topics null: all that the group has initialized. What does not exist has no start, and is no
 * error. */
#include "broker/share/group_share.h"
#include "broker/group/group_store.h"
#include "broker/share/share_store.h"
#include "protocol/api_handlers.h"

static void fill(struct request *rq, struct slice group_id, struct uuid topic_id, int32_t partition,
                 struct describe_share_group_offsets_response_partition *out)
{
    struct share_key key = {.group_id = group_id, .topic_id = topic_id, .partition = partition};
    enum kafka_error error;
    const struct share_state *state = shares_state(rq->broker, &key, &error);

    describe_share_group_offsets_response_partition_init(out);
    out->partition_index = partition;
    out->start_offset = state ? state->start : SHARE_STATE_UNINITIALIZED;
    out->leader_epoch = state ? state->leader_epoch : 0;
}

static bool describe_named(struct request *rq, const struct describe_share_group_offsets_request_group *in,
                           struct describe_share_group_offsets_response_group *out)
{
    out->topics = arena_calloc(&rq->arena, (size_t)in->topics_count + 1, sizeof out->topics[0]);
    if (!out->topics) return false;
    for (int32_t i = 0; i < in->topics_count; i++) {
        const struct metadata_topic *t = metadata_topic(request_metadata(rq), in->topics[i].topic_name);
        bool allowed = request_authorize(rq, ACL_DESCRIBE, RESOURCE_TOPIC, in->topics[i].topic_name);
        struct describe_share_group_offsets_response_topic *o = &out->topics[out->topics_count++];
        o->topic_name = in->topics[i].topic_name;
        if (t && allowed) o->topic_id = t->id;
        o->partitions =
            arena_calloc(&rq->arena, (size_t)MAX(in->topics[i].partitions_count, 0) + 1, sizeof o->partitions[0]);
        if (!o->partitions) return false;
        for (int32_t p = 0; p < in->topics[i].partitions_count; p++) {
            struct describe_share_group_offsets_response_partition *to = &o->partitions[o->partitions_count++];
            fill(rq, in->group_id, t ? t->id : (struct uuid){{0}}, in->topics[i].partitions[p], to);
            if (allowed) continue;
            to->start_offset = -1;
            to->error_code = KAFKA_TOPIC_AUTHORIZATION_FAILED;
            to->error_message = slice_of(kafka_error_text(KAFKA_TOPIC_AUTHORIZATION_FAILED));
        }
    }
    return true;
}

static bool describe_all(struct request *rq, const struct share_group *s,
                         struct describe_share_group_offsets_response_group *out)
{
    const struct partition_set *set = &s->initialized;
    struct describe_share_group_offsets_response_partition *partitions =
        arena_calloc(&rq->arena, (size_t)set->count + 1, sizeof *partitions);

    out->topics = arena_calloc(&rq->arena, (size_t)set->count + 1, sizeof out->topics[0]);
    if (!out->topics || !partitions) return false;
    for (uint32_t i = 0, end; i < set->count; i = end) {
        const struct metadata_topic *t = metadata_topic_by_id(request_metadata(rq), set->items[i].topic_id);
        end = partition_set_topic_end(set, i);
        if (!t || !request_authorize(rq, ACL_DESCRIBE, RESOURCE_TOPIC, slice_of(t->name))) continue;
        struct describe_share_group_offsets_response_topic *o = &out->topics[out->topics_count++];
        *o = (struct describe_share_group_offsets_response_topic){
            .topic_name = slice_of(t->name), .topic_id = t->id, .partitions = partitions};
        for (uint32_t k = i; k < end; k++)
            fill(rq, group_id(&s->group), t->id, set->items[k].partition, &o->partitions[o->partitions_count++]);
        partitions += o->partitions_count;
    }
    return true;
}

API_HANDLER(describe_share_group_offsets)
{
    out->groups = arena_calloc(&rq->arena, (size_t)MAX(in->groups_count, 0) + 1, sizeof out->groups[0]);
    if (!out->groups) return API_CLOSE;
    for (int32_t i = 0; i < in->groups_count; i++) {
        struct describe_share_group_offsets_response_group *o = &out->groups[out->groups_count++];
        enum kafka_error error = KAFKA_UNSUPPORTED_VERSION;
        describe_share_group_offsets_response_group_init(o);
        o->group_id = in->groups[i].group_id;
        struct groups *gs = shares_enabled(rq) ? groups_for(rq, in->groups[i].group_id, ACL_DESCRIBE, &error) : NULL;
        if (!gs) {
            o->error_code = (int16_t)error;
            o->error_message = slice_of(kafka_error_text(error));
            continue;
        }
        const struct share_group *s = share_group_of(groups_find(gs, in->groups[i].group_id));
        if (in->groups[i].topics_count >= 0) {
            if (!describe_named(rq, &in->groups[i], o)) return API_CLOSE;
        } else if (s && !describe_all(rq, s, o)) {
            return API_CLOSE;
        }
    }
    return API_REPLY;
}
