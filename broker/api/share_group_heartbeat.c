/* ShareGroupHeartbeat, key 76 (KIP-932). Control thread (owns groups). The answer goes out when what it says is as
 * durable as promised. */
#include "broker/api/wait.h"
#include "broker/share/group_share.h"
#include "broker/group/group_store.h"
#include "broker/share/share_store.h"
#include "protocol/api_handlers.h"

static enum kafka_error check(struct request *rq, const struct share_group_heartbeat_request *in, struct err *err)
{
    if (!shares_enabled(rq))
        return err_set(err, KAFKA_UNSUPPORTED_VERSION, "%s", kafka_error_text(KAFKA_UNSUPPORTED_VERSION));
    if (!in->member_id.len) return err_set(err, KAFKA_INVALID_REQUEST, "MemberId can't be empty.");
    if (!in->group_id.len) return err_set(err, KAFKA_INVALID_REQUEST, "GroupId can't be empty.");
    if (in->rack_id.ptr && !in->rack_id.len) return err_set(err, KAFKA_INVALID_REQUEST, "RackId can't be empty.");
    if (memchr(in->member_id.ptr, 0, in->member_id.len))
        return err_set(err, KAFKA_INVALID_REQUEST, "MemberId can't contain a zero byte.");
    if (in->member_epoch == SHARE_EPOCH_JOIN && in->subscribed_topic_names_count <= 0)
        return err_set(err, KAFKA_INVALID_REQUEST, "SubscribedTopicNames must be set in first request.");
    if (in->member_epoch < SHARE_EPOCH_LEAVE) return err_set(err, KAFKA_INVALID_REQUEST, "MemberEpoch is invalid.");
    for (int32_t i = 0; i < in->subscribed_topic_names_count; i++)
        if (!request_authorize(rq, ACL_DESCRIBE, RESOURCE_TOPIC, in->subscribed_topic_names[i]))
            return err_set(err, KAFKA_TOPIC_AUTHORIZATION_FAILED, "%s",
                           kafka_error_text(KAFKA_TOPIC_AUTHORIZATION_FAILED));
    return KAFKA_NONE;
}

static bool fill_assignment(struct request *rq, const struct partition_set *set,
                            struct share_group_heartbeat_response *out)
{
    out->assignment = arena_calloc(&rq->arena, 1, sizeof *out->assignment);
    if (!out->assignment) return false;
    struct share_group_heartbeat_response_topic_partitions *topics =
        arena_calloc(&rq->arena, (size_t)set->count + 1, sizeof *topics);
    int32_t *partitions = arena_calloc(&rq->arena, (size_t)set->count + 1, sizeof *partitions);
    if (!topics || !partitions) return false;
    for (uint32_t i = 0; i < set->count; i++) partitions[i] = set->items[i].partition;
    for (uint32_t i = 0, end; i < set->count; i = end) {
        end = partition_set_topic_end(set, i);
        topics[out->assignment->topic_partitions_count++] = (struct share_group_heartbeat_response_topic_partitions){
            .topic_id = set->items[i].topic_id, .partitions = partitions + i, .partitions_count = (int32_t)(end - i)};
    }
    out->assignment->topic_partitions = topics;
    return true;
}

static void durable(void *arg, enum kafka_error error)
{
    struct api_wait *w = arg;
    struct share_group_heartbeat_response *out = w->rq->out;
    if (error != KAFKA_NONE) {
        share_group_heartbeat_response_init(out);
        out->error_code = (int16_t)error;
        out->error_message = slice_of(kafka_error_text(error));
    }
    api_wait_done(w);
}

API_HANDLER(share_group_heartbeat)
{
    struct err err = ERR_NONE;
    struct share_answer answer;
    struct groups *gs = NULL;
    enum kafka_error error = check(rq, in, &err);

    if (error == KAFKA_NONE && !(gs = groups_for(rq, in->group_id, ACL_READ, &error)))
        err_set(&err, error, "%s", kafka_error_text(error));
    if (error == KAFKA_NONE) {
        struct share_heartbeat beat = {.group_id = in->group_id,
                                       .member_id = in->member_id,
                                       .epoch = in->member_epoch,
                                       .rack_id = in->rack_id,
                                       .client_id = rq->client_id.ptr ? rq->client_id : SLICE_EMPTY,
                                       .topics = in->subscribed_topic_names,
                                       .topics_count = in->subscribed_topic_names_count};
        const char *host = arena_printf(&rq->arena, "/" SLICE_FMT, SLICE_ARG(request_peer_host(rq)));
        if (!host) return API_CLOSE;
        beat.client_host = slice_of(host);
        error = share_heartbeat(gs, &beat, &answer, &err);
    }
    if (error != KAFKA_NONE) {
        out->error_code = (int16_t)error;
        out->error_message = slice_of(arena_strdup(&rq->arena, err.text));
        return API_REPLY;
    }
    out->member_id = in->member_id;
    out->member_epoch = answer.epoch;
    out->heartbeat_interval_ms = answer.heartbeat_interval_ms;
    if (answer.assignment && !fill_assignment(rq, answer.assignment, out)) return API_CLOSE;

    struct api_wait *w = api_wait_new(rq);
    struct group *g = groups_find(gs, in->group_id);
    if (!w) return API_CLOSE;
    gs->host->when_durable(gs->host, g, durable, w);
    return api_wait_result(w);
}
