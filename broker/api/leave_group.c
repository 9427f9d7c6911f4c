/* LeaveGroup, key 13. Control thread (owns groups). v0-2: one member, its error on top; v3+: several, an error each. */
#include "broker/group/group_classic.h"
#include "broker/group/group_store.h"
#include "protocol/api_handlers.h"

API_HANDLER(leave_group)
{
    enum kafka_error error;
    struct groups *gs = groups_for(rq, in->group_id, ACL_READ, &error);
    if (gs && !in->group_id.len) gs = NULL, error = KAFKA_INVALID_GROUP_ID;
    if (!gs) {
        out->error_code = (int16_t)error;
        return API_REPLY;
    }
    if (rq->version < 3) {
        struct classic_leave one = {.member_id = in->member_id, .instance_id = SLICE_NULL};
        classic_leave(gs, in->group_id, &one, 1);
        out->error_code = (int16_t)one.error;
        return API_REPLY;
    }
    int32_t count = MAX(in->members_count, 0);
    struct classic_leave *leaves = arena_calloc(&rq->arena, (size_t)count + 1, sizeof *leaves);
    out->members = arena_calloc(&rq->arena, (size_t)count + 1, sizeof out->members[0]);
    if (!leaves || !out->members) return API_CLOSE;
    for (int32_t i = 0; i < count; i++)
        leaves[i] = (struct classic_leave){.member_id = in->members[i].member_id,
                                           .instance_id = in->members[i].group_instance_id};
    classic_leave(gs, in->group_id, leaves, count);
    for (int32_t i = 0; i < count; i++)
        out->members[i] = (struct leave_group_response_member_response){.member_id = leaves[i].member_id,
                                                                        .group_instance_id = leaves[i].instance_id,
                                                                        .error_code = (int16_t)leaves[i].error};
    out->members_count = count;
    return API_REPLY;
}
