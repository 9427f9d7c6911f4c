/* Heartbeat, key 12. Control thread (owns groups). Error codes: protocol guide; fencing of static members: KIP-345. */
#include "broker/group/group_classic.h"
#include "broker/group/group_store.h"
#include "protocol/api_handlers.h"

API_HANDLER(heartbeat)
{
    enum kafka_error error;
    struct groups *gs = groups_for(rq, in->group_id, ACL_READ, &error);
    if (gs)
        error = classic_heartbeat(gs, in->group_id,
                                  &(struct group_caller){.member_id = in->member_id,
                                                         .instance_id = in->group_instance_id,
                                                         .generation_id = in->generation_id});
    out->error_code = (int16_t)error;
    return API_REPLY;
}
