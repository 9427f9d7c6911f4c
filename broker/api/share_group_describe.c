/* ShareGroupDescribe, key 77 (KIP-932). Control thread (owns groups). A group that shows a topic which the principal
 * may not describe is refused whole. */
#include "broker/api/authorized.h"
#include "broker/share/group_share.h"
#include "broker/group/group_store.h"
#include "broker/share/share_store.h"
#include "protocol/api_handlers.h"

/* *ret_error: TOPIC_AUTHORIZATION_FAILED. False: no memory. */
static bool fill_assignment(struct request *rq, const struct partition_set *set,
                            struct share_group_describe_response_assignment *out, enum kafka_error *ret_error)
{
    out->topic_partitions = arena_calloc(&rq->arena, (size_t)set->count + 1, sizeof out->topic_partitions[0]);
    int32_t *partitions = arena_calloc(&rq->arena, (size_t)set->count + 1, sizeof *partitions);
    if (!out->topic_partitions || !partitions) return false;
    for (uint32_t i = 0; i < set->count; i++) partitions[i] = set->items[i].partition;
    for (uint32_t i = 0, end; i < set->count; i = end) {
        const struct metadata_topic *t = metadata_topic_by_id(request_metadata(rq), set->items[i].topic_id);
        end = partition_set_topic_end(set, i);
        if (!t) continue;
        if (!request_authorize(rq, ACL_DESCRIBE, RESOURCE_TOPIC, slice_of(t->name)))
            *ret_error = KAFKA_TOPIC_AUTHORIZATION_FAILED;
        out->topic_partitions[out->topic_partitions_count++] =
            (struct share_group_describe_response_topic_partitions){.topic_id = t->id,
                                                                    .topic_name = slice_of(t->name),
                                                                    .partitions = partitions + i,
                                                                    .partitions_count = (int32_t)(end - i)};
    }
    return true;
}

/* False: no memory. */
static bool describe(struct request *rq, const struct share_group *s,
                     struct share_group_describe_response_described_group *out)
{
    enum kafka_error error = KAFKA_NONE;

    out->members = arena_calloc(&rq->arena, HASH_COUNT(s->members) + 1, sizeof out->members[0]);
    if (!out->members) return false;
    for (const struct share_member *m = s->members; m; m = m->hh.next) {
        struct share_group_describe_response_member *o = &out->members[out->members_count++];
        share_group_describe_response_member_init(o);
        o->member_id = slice_of(m->id);
        o->rack_id = slice_of(m->rack_id);
        o->member_epoch = m->epoch;
        o->client_id = slice_of(m->client_id);
        o->client_host = slice_of(m->client_host);
        o->subscribed_topic_names = m->topics;
        o->subscribed_topic_names_count = m->topics_count;
        for (int32_t i = 0; i < m->topics_count; i++)
            if (!request_authorize(rq, ACL_DESCRIBE, RESOURCE_TOPIC, m->topics[i]))
                error = KAFKA_TOPIC_AUTHORIZATION_FAILED;
        if (!fill_assignment(rq, &m->assigned, &o->assignment, &error)) return false;
    }
    if (error != KAFKA_NONE) {
        out->members_count = 0;
        out->error_code = (int16_t)error;
        out->error_message = SLICE("The group has described topic(s) that the client is not authorized to describe.");
        return true;
    }
    out->group_state = slice_of(s->group.type->state_name(&s->group));
    out->group_epoch = s->epoch;
    out->assignment_epoch = s->assignment_epoch;
    out->assignor_name = SLICE("simple");
    return true;
}

API_HANDLER(share_group_describe)
{
    out->groups = arena_calloc(&rq->arena, (size_t)MAX(in->group_ids_count, 0) + 1, sizeof out->groups[0]);
    if (!out->groups) return API_CLOSE;
    for (int32_t i = 0; i < in->group_ids_count; i++) {
        struct share_group_describe_response_described_group *o = &out->groups[out->groups_count++];
        enum kafka_error error = KAFKA_NONE;
        struct groups *gs = NULL;
        share_group_describe_response_described_group_init(o);
        o->group_id = in->group_ids[i];
        o->group_state = o->assignor_name = SLICE_EMPTY;
        if (!shares_enabled(rq)) error = KAFKA_UNSUPPORTED_VERSION;
        else if (!in->group_ids[i].len) error = KAFKA_INVALID_GROUP_ID;
        else gs = groups_for(rq, in->group_ids[i], ACL_DESCRIBE, &error);
        struct group *g = gs ? groups_find(gs, in->group_ids[i]) : NULL;
        if (error != KAFKA_NONE) {
            o->error_code = (int16_t)error;
            o->error_message = slice_of(kafka_error_text(error));
            continue;
        }
        if (!share_group_of(g)) {
            o->error_code = KAFKA_GROUP_ID_NOT_FOUND;
            o->error_message = slice_of(arena_printf(
                &rq->arena, g ? "Group " SLICE_FMT " is not a share group." : "Group " SLICE_FMT " not found.",
                SLICE_ARG(in->group_ids[i])));
            continue;
        }
        if (!describe(rq, share_group_of(g), o)) return API_CLOSE;
        if (in->include_authorized_operations)
            o->authorized_operations = authorized_operations(rq, RESOURCE_GROUP, in->group_ids[i]);
    }
    return API_REPLY;
}
