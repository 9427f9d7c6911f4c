/* ConsumerGroupDescribe, key 69 (KIP-848). Control thread (owns groups). A group that shows a topic which the caller
 * may not see is not shown at all. */
#include "broker/api/authorized.h"
#include "broker/group/group_consumer.h"
#include "broker/group/group_store.h"
#include "protocol/api_handlers.h"

/* Topics that are gone are left out. *ret_forbidden: one of them may not be seen. False: no memory. */
static bool fill_assignment(struct request *rq, struct group_host *h, const struct partition_set *s,
                            struct consumer_group_describe_response_assignment *to, bool *ret_forbidden)
{
    int32_t *partitions = arena_calloc(&rq->arena, (size_t)s->count + 1, sizeof *partitions);
    uint32_t topics = 0;
    for (uint32_t i = 0; i < s->count; i = partition_set_topic_end(s, i)) topics++;
    to->topic_partitions = arena_calloc(&rq->arena, (size_t)topics + 1, sizeof to->topic_partitions[0]);
    if (!partitions || !to->topic_partitions) return false;
    for (uint32_t i = 0, end; i < s->count; i = end) {
        struct group_topic t;
        end = partition_set_topic_end(s, i);
        if (!h->topic_by_id(h, s->items[i].topic_id, &t)) continue;
        if (!request_authorize(rq, ACL_DESCRIBE, RESOURCE_TOPIC, t.name)) *ret_forbidden = true;
        for (uint32_t k = i; k < end; k++) partitions[k] = s->items[k].partition;
        to->topic_partitions[to->topic_partitions_count++] =
            (struct consumer_group_describe_response_topic_partitions){.topic_id = t.id,
                                                                       .topic_name = t.name,
                                                                       .partitions = partitions + i,
                                                                       .partitions_count = (int32_t)(end - i)};
    }
    return true;
}

static bool fill_member(struct request *rq, const struct consumer_member *m,
                        struct consumer_group_describe_response_member *to, bool *ret_forbidden)
{
    struct group_host *h = m->group->group.groups->host;
    const struct consumer_profile *p = &m->profile;
    consumer_group_describe_response_member_init(to);
    to->member_id = slice_of(m->id);
    to->instance_id = p->instance_id;
    to->rack_id = p->rack_id;
    to->member_epoch = m->position.epoch;
    to->client_id = p->client_id;
    to->client_host = p->client_host;
    to->subscribed_topic_names = (struct slice *)(uintptr_t)p->topics;
    to->subscribed_topic_names_count = p->topics_count;
    to->subscribed_topic_regex = p->regex.ptr ? p->regex : SLICE_EMPTY;
    to->member_type = p->is_classic ? 0 : 1;
    for (int32_t i = 0; i < p->topics_count; i++)
        if (!request_authorize(rq, ACL_DESCRIBE, RESOURCE_TOPIC, p->topics[i])) *ret_forbidden = true;
    return fill_assignment(rq, h, &m->position.assigned, &to->assignment, ret_forbidden) &&
           fill_assignment(rq, h, &m->target, &to->target_assignment, ret_forbidden);
}

static bool fill_group(struct request *rq, const struct consumer_group *c,
                       struct consumer_group_describe_response_described_group *to)
{
    bool forbidden = false;
    to->members = arena_calloc(&rq->arena, HASH_COUNT(c->members) + 1, sizeof to->members[0]);
    if (!to->members) return false;
    for (const struct consumer_member *m = c->members; m; m = m->hh.next)
        if (!fill_member(rq, m, &to->members[to->members_count++], &forbidden)) return false;
    if (forbidden) {
        to->members_count = 0;
        to->error_code = KAFKA_TOPIC_AUTHORIZATION_FAILED;
        to->error_message = SLICE("The group has topics that the client is not authorized to describe.");
        return true;
    }
    to->group_state = slice_of(c->group.type->state_name(&c->group));
    to->group_epoch = c->epoch;
    to->assignment_epoch = c->assignment_epoch;
    to->assignor_name = slice_of(consumer_assignor_name(c));
    return true;
}

API_HANDLER(consumer_group_describe)
{
    out->groups = arena_calloc(&rq->arena, (size_t)MAX(in->group_ids_count, 0) + 1, sizeof out->groups[0]);
    if (!out->groups) return API_CLOSE;
    for (int32_t i = 0; i < in->group_ids_count; i++) {
        struct consumer_group_describe_response_described_group *o = &out->groups[out->groups_count++];
        consumer_group_describe_response_described_group_init(o);
        o->group_id = in->group_ids[i];
        o->group_state = o->assignor_name = SLICE_EMPTY;
        enum kafka_error error = KAFKA_NONE;
        if (!o->group_id.len) {
            o->error_code = KAFKA_INVALID_GROUP_ID;
            continue;
        }
        struct groups *gs = NULL;
        if (groups_have_consumer_protocol(rq)) gs = groups_for(rq, o->group_id, ACL_DESCRIBE, &error);
        else error = KAFKA_UNSUPPORTED_VERSION;
        if (!gs) {
            o->error_code = (int16_t)error;
            continue;
        }
        struct group *g = groups_find(gs, o->group_id);
        if (consumer_group_of(g)) {
            if (in->include_authorized_operations)
                o->authorized_operations = authorized_operations(rq, RESOURCE_GROUP, o->group_id);
            if (!fill_group(rq, consumer_group_of(g), o)) return API_CLOSE;
            continue;
        }
        o->error_code = KAFKA_GROUP_ID_NOT_FOUND;
        o->error_message = slice_of(arena_printf(
            &rq->arena, g ? "Group " SLICE_FMT " is not a consumer group." : "Group " SLICE_FMT " not found.",
            SLICE_ARG(o->group_id)));
    }
    return API_REPLY;
}
