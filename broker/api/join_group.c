/* JoinGroup, key 11. Control thread (owns groups). Parked until the generation is formed: group_classic.h. */
#include "broker/api/wait.h"
#include "broker/group/group_classic.h"
#include "broker/group/group_store.h"
#include "protocol/api_handlers.h"

struct join {
    struct classic_join_call call;
    struct api_wait *wait;
    struct join_group_response *out;
};

/* The answer is borrowed. When the handler is still running it is encoded only after it returned: copy. */
static struct slice keep(const struct join *j, struct slice s)
{
    return j->wait->parked ? s : arena_slice_dup(&j->wait->rq->arena, s);
}

static void answer(struct classic_join_call *call, const struct classic_join_answer *a)
{
    struct join *j = container_of(call, struct join, call);
    struct join_group_response *out = j->out;
    out->error_code = (int16_t)a->error;
    out->generation_id = a->generation_id;
    out->protocol_type = keep(j, a->protocol_type);
    out->protocol_name = keep(j, a->protocol_name);
    out->leader = keep(j, a->leader);
    out->member_id = keep(j, a->member_id);
    out->skip_assignment = a->skip_assignment;
    out->members = arena_calloc(&j->wait->rq->arena, (size_t)a->members_count + 1, sizeof out->members[0]);
    if (out->members) {
        for (int32_t i = 0; i < a->members_count; i++)
            out->members[i] = (struct join_group_response_member){
                .member_id = keep(j, a->members[i].member_id),
                .group_instance_id = keep(j, a->members[i].instance_id),
                .metadata = keep(j, a->members[i].metadata),
            };
        out->members_count = a->members_count;
    } else {
        out->error_code = KAFKA_UNKNOWN_SERVER_ERROR;
    }
    api_wait_done(j->wait);
}

/* Java's text for an address, which tools print. */
static struct slice client_host(struct request *rq)
{
    return slice_of(arena_printf(&rq->arena, "/" SLICE_FMT, SLICE_ARG(request_peer_host(rq))));
}

API_HANDLER(join_group)
{
    enum kafka_error error;
    struct groups *gs = groups_for(rq, in->group_id, ACL_READ, &error);
    if (!gs) {
        out->error_code = (int16_t)error;
        out->member_id = in->member_id;
        return API_REPLY;
    }
    struct join *j = arena_calloc(&rq->arena, 1, sizeof *j);
    struct classic_protocol *protocols =
        arena_calloc(&rq->arena, (size_t)MAX(in->protocols_count, 0) + 1, sizeof *protocols);
    struct api_wait *w = api_wait_new(rq);
    if (!j || !protocols || !w) return API_CLOSE;
    for (int32_t i = 0; i < in->protocols_count; i++)
        protocols[i] = (struct classic_protocol){.name = in->protocols[i].name, .metadata = in->protocols[i].metadata};
    *j = (struct join){.call.answer = answer, .wait = w, .out = out};
    classic_join(
        gs,
        &(struct classic_join){
            .group_id = in->group_id,
            .member_id = in->member_id,
            .instance_id = in->group_instance_id,
            .client_id = rq->client_id,
            .client_host = client_host(rq),
            .protocol_type = in->protocol_type,
            .session_timeout_ms = in->session_timeout_ms,
            .rebalance_timeout_ms = in->rebalance_timeout_ms >= 0 ? in->rebalance_timeout_ms : in->session_timeout_ms,
            .protocols = protocols,
            .protocols_count = in->protocols_count,
            .member_id_required = rq->version >= 4,
            .can_skip_assignment = rq->version >= 9,
        },
        &j->call);
    return api_wait_result(w);
}
