/* DescribeGroups, key 15. Control thread (owns groups). What members said and were assigned is shown while the group is
 * Stable. An unknown group, and one of another type, is Dead, without an error up to v5, with GROUP_ID_NOT_FOUND from
 * v6. */
#include "broker/api/authorized.h"
#include "broker/group/group_classic.h"
#include "broker/group/group_store.h"
#include "protocol/api_handlers.h"

static bool describe_classic(struct request *rq, const struct classic_group *c,
                             struct describe_groups_response_described_group *out)
{
    bool stable = c->state == CLASSIC_STABLE;
    out->protocol_type = c->protocol_type ? slice_of(c->protocol_type) : SLICE_EMPTY;
    out->protocol_data = stable && c->protocol_name ? slice_of(c->protocol_name) : SLICE_EMPTY;
    out->members = arena_calloc(&rq->arena, HASH_COUNT(c->members) + 1, sizeof out->members[0]);
    if (!out->members) return false;
    for (const struct classic_member *m = c->members; m; m = m->hh.next)
        out->members[out->members_count++] = (struct describe_groups_response_described_group_member){
            .member_id = slice_of(m->id),
            .group_instance_id = slice_of(m->instance_id),
            .client_id = slice_of(m->client_id),
            .client_host = slice_of(m->client_host),
            .member_metadata = stable ? classic_member_metadata(m) : SLICE_EMPTY,
            .member_assignment = stable ? m->assignment : SLICE_EMPTY,
        };
    return true;
}

API_HANDLER(describe_groups)
{
    out->groups = arena_calloc(&rq->arena, (size_t)MAX(in->groups_count, 0) + 1, sizeof out->groups[0]);
    if (!out->groups) return API_CLOSE;
    for (int32_t i = 0; i < in->groups_count; i++) {
        struct describe_groups_response_described_group *o = &out->groups[out->groups_count++];
        describe_groups_response_described_group_init(o);
        o->group_id = in->groups[i];
        o->group_state = o->protocol_type = o->protocol_data = SLICE_EMPTY;
        enum kafka_error error;
        struct groups *gs = groups_for(rq, in->groups[i], ACL_DESCRIBE, &error);
        if (!gs) {
            o->error_code = (int16_t)error;
            continue;
        }
        struct group *g = groups_find(gs, in->groups[i]);
        if (in->include_authorized_operations && (g || rq->version < 6))
            o->authorized_operations = authorized_operations(rq, RESOURCE_GROUP, in->groups[i]);
        const struct classic_group *c = classic_group_of(g);
        o->group_state = c ? slice_of(g->type->state_name(g)) : SLICE("Dead");
        if (c) {
            if (!describe_classic(rq, c, o)) return API_CLOSE;
        } else if (rq->version >= 6) {
            o->error_code = KAFKA_GROUP_ID_NOT_FOUND;
            o->error_message = slice_of(arena_printf(
                &rq->arena, g ? "Group " SLICE_FMT " is not a classic group." : "Group " SLICE_FMT " not found.",
                SLICE_ARG(in->groups[i])));
        }
    }
    return API_REPLY;
}
