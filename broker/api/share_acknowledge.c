/* ShareAcknowledge, key 79 (KIP-932): gives back what ShareFetch acquired. Control thread. The answer goes out when it
 * is as durable as promised. Sessions: share_session.h. */
#include "broker/api/share_acks.h"
#include "broker/api/wait.h"
#include "protocol/api_handlers.h"

struct stored {
    struct api_wait *wait;
    struct share_acknowledge_response_partition_data *data;
};

static void durable(void *arg, enum kafka_error error)
{
    struct stored *s = arg;
    if (error != KAFKA_NONE) s->data->error_code = (int16_t)error;
    api_wait_done(s->wait);
}

static enum kafka_error take_session(struct request *rq, const struct share_acknowledge_request *in,
                                     struct uuid *ret_member, struct share_session **ret_session)
{
    enum kafka_error error = share_request_check(rq, in->group_id, in->member_id, ret_member);

    if (error != KAFKA_NONE) return error;
    if (in->share_session_epoch == SHARE_SESSION_EPOCH_INITIAL) return KAFKA_INVALID_SHARE_SESSION_EPOCH;
    *ret_session = share_session_find(shares_sessions(rq->broker), in->group_id, *ret_member);
    if (!*ret_session) return KAFKA_SHARE_SESSION_NOT_FOUND;
    return in->share_session_epoch == SHARE_SESSION_EPOCH_FINAL
               ? KAFKA_NONE
               : share_session_step(*ret_session, in->share_session_epoch);
}

/* False: no memory. */
static bool acknowledge(struct request *rq, struct api_wait *w, struct uuid member, struct slice group_id,
                        struct uuid topic_id, const struct share_acknowledge_request_acknowledge_partition *p,
                        struct share_acknowledge_response_partition_data *data)
{
    uint32_t count = (uint32_t)MAX(p->acknowledgement_batches_count, 0);
    struct share_ack *acks = arena_calloc(&rq->arena, (size_t)count + 1, sizeof *acks);
    struct stored *s = arena_calloc(&rq->arena, 1, sizeof *s);
    struct share_key key = {.group_id = group_id, .topic_id = topic_id, .partition = p->partition_index};

    if (!acks || !s) return false;
    for (uint32_t i = 0; i < count; i++)
        acks[i] = (struct share_ack){.first_offset = p->acknowledgement_batches[i].first_offset,
                                     .last_offset = p->acknowledgement_batches[i].last_offset,
                                     .types = p->acknowledgement_batches[i].acknowledge_types,
                                     .types_count = p->acknowledgement_batches[i].acknowledge_types_count};
    share_acknowledge_response_partition_data_init(data);
    data->partition_index = p->partition_index;
    enum kafka_error error = share_acks_apply(rq, &key, member, acks, count);
    data->error_code = (int16_t)error;
    if (error != KAFKA_NONE) {
        data->error_message = slice_of(kafka_error_text(error));
        return true;
    }
    *s = (struct stored){.wait = w, .data = data};
    api_wait_more(w);
    shares_when_durable(rq->broker, &key, NULL, durable, s);
    return true;
}

API_HANDLER(share_acknowledge)
{
    struct uuid member;
    struct share_session *session;
    enum kafka_error error = take_session(rq, in, &member, &session);

    if (error != KAFKA_NONE) {
        out->error_code = (int16_t)error;
        out->error_message = slice_of(kafka_error_text(error));
        return API_REPLY;
    }
    struct api_wait *w = arena_calloc(&rq->arena, 1, sizeof *w);
    out->responses = arena_calloc(&rq->arena, (size_t)MAX(in->topics_count, 0) + 1, sizeof out->responses[0]);
    if (!w || !out->responses) return API_CLOSE;
    api_wait_init(w, rq, NULL);
    for (int32_t t = 0; t < in->topics_count; t++) {
        const struct share_acknowledge_request_acknowledge_topic *from = &in->topics[t];
        struct share_acknowledge_response_topic_response *to = &out->responses[out->responses_count++];
        to->topic_id = from->topic_id;
        to->partitions = arena_calloc(&rq->arena, (size_t)MAX(from->partitions_count, 0) + 1, sizeof to->partitions[0]);
        if (!to->partitions) return api_wait_give_up(w);
        for (int32_t p = 0; p < from->partitions_count; p++)
            if (!acknowledge(rq, w, member, in->group_id, from->topic_id, &from->partitions[p],
                             &to->partitions[to->partitions_count++]))
                return api_wait_give_up(w);
    }
    if (in->share_session_epoch == SHARE_SESSION_EPOCH_FINAL) shares_session_close(rq->broker, session);
    return api_wait_result(w);
}
