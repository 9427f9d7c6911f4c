/* SyncGroup, key 14. Control thread (owns groups). Parked until the leader's assignment is stored: group_classic.h. */
#include "broker/api/wait.h"
#include "broker/group/group_classic.h"
#include "broker/group/group_store.h"
#include "protocol/api_handlers.h"

#define VERSION_OF_PROTOCOL 5 /* names protocol and type (KIP-559) */

struct sync {
    struct classic_sync_call call;
    struct api_wait *wait;
    struct sync_group_response *out;
};

static struct slice keep(const struct sync *s, struct slice from)
{
    return s->wait->parked ? from : arena_slice_dup(&s->wait->rq->arena, from);
}

static void answer(struct classic_sync_call *call, const struct classic_sync_answer *a)
{
    struct sync *s = container_of(call, struct sync, call);
    s->out->error_code = (int16_t)a->error;
    s->out->protocol_type = keep(s, a->protocol_type);
    s->out->protocol_name = keep(s, a->protocol_name);
    s->out->assignment = keep(s, a->assignment);
    if (a->assignment.len && !s->out->assignment.ptr) s->out->error_code = KAFKA_UNKNOWN_SERVER_ERROR;
    api_wait_done(s->wait);
}

API_HANDLER(sync_group)
{
    enum kafka_error error;
    struct groups *gs = groups_for(rq, in->group_id, ACL_READ, &error);
    out->assignment = SLICE_EMPTY;
    if (rq->version >= VERSION_OF_PROTOCOL && (!in->protocol_type.ptr || !in->protocol_name.ptr)) {
        out->error_code = KAFKA_INCONSISTENT_GROUP_PROTOCOL;
        return API_REPLY;
    }
    if (!gs) {
        out->error_code = (int16_t)error;
        return API_REPLY;
    }
    struct sync *s = arena_calloc(&rq->arena, 1, sizeof *s);
    struct classic_assignment *assignments =
        arena_calloc(&rq->arena, (size_t)MAX(in->assignments_count, 0) + 1, sizeof *assignments);
    struct api_wait *w = api_wait_new(rq);
    if (!s || !assignments || !w) return API_CLOSE;
    for (int32_t i = 0; i < in->assignments_count; i++)
        assignments[i] = (struct classic_assignment){.member_id = in->assignments[i].member_id,
                                                     .assignment = in->assignments[i].assignment};
    *s = (struct sync){.call.answer = answer, .wait = w, .out = out};
    classic_sync(gs,
                 &(struct classic_sync){
                     .group_id = in->group_id,
                     .member_id = in->member_id,
                     .instance_id = in->group_instance_id,
                     .protocol_type = in->protocol_type,
                     .protocol_name = in->protocol_name,
                     .generation_id = in->generation_id,
                     .assignments = assignments,
                     .assignments_count = in->assignments_count,
                 },
                 &s->call);
    return api_wait_result(w);
}
