/* ConsumerGroupHeartbeat, key 68 (KIP-848). Control thread (owns groups). What it changed is appended first; answered
 * as durability promises. */
#include "broker/api/wait.h"
#include "broker/group/group_consumer.h"
#include "broker/group/group_store.h"
#include "protocol/api_handlers.h"

struct beat {
    struct api_wait *wait;
    struct consumer_group_heartbeat_response *out;
};

static void durable(void *arg, enum kafka_error error)
{
    struct beat *b = arg;
    if (error != KAFKA_NONE) {
        consumer_group_heartbeat_response_init(b->out);
        b->out->error_code = (int16_t)error;
    }
    api_wait_done(b->wait);
}

static bool may_see(void *arg, struct slice topic)
{
    return request_authorize(arg, ACL_DESCRIBE, RESOURCE_TOPIC, topic);
}

static bool may_see_all_named(struct request *rq, const struct consumer_group_heartbeat_request *in)
{
    for (int32_t i = 0; i < in->subscribed_topic_names_count; i++)
        if (!may_see(rq, in->subscribed_topic_names[i])) return false;
    return true;
}

static struct partition_set owned_set(const struct consumer_group_heartbeat_request *in)
{
    struct partition_set s = {0};
    for (int32_t t = 0; t < in->topic_partitions_count; t++)
        for (int32_t i = 0; i < in->topic_partitions[t].partitions_count; i++)
            partition_set_append(&s, in->topic_partitions[t].topic_id, in->topic_partitions[t].partitions[i]);
    partition_set_sort(&s);
    return s;
}

/* In the request's arena: the group may change before the answer goes out. False: no memory. */
static bool fill_assignment(struct request *rq, const struct partition_set *s,
                            struct consumer_group_heartbeat_response *out)
{
    struct consumer_group_heartbeat_response_assignment *a = arena_calloc(&rq->arena, 1, sizeof *a);
    int32_t *partitions = arena_calloc(&rq->arena, (size_t)s->count + 1, sizeof *partitions);
    if (!a || !partitions) return false;
    uint32_t topics = 0;
    for (uint32_t i = 0; i < s->count; i = partition_set_topic_end(s, i)) topics++;
    a->topic_partitions = arena_calloc(&rq->arena, (size_t)topics + 1, sizeof a->topic_partitions[0]);
    if (!a->topic_partitions) return false;
    for (uint32_t i = 0, end; i < s->count; i = end) {
        end = partition_set_topic_end(s, i);
        for (uint32_t k = i; k < end; k++) partitions[k] = s->items[k].partition;
        a->topic_partitions[a->topic_partitions_count++] = (struct consumer_group_heartbeat_response_topic_partitions){
            .topic_id = s->items[i].topic_id, .partitions = partitions + i, .partitions_count = (int32_t)(end - i)};
    }
    out->assignment = a;
    return true;
}

static enum kafka_error beat(struct request *rq, struct groups *gs, const struct consumer_group_heartbeat_request *in,
                             struct consumer_group_heartbeat_response *out, struct err *err)
{
    bool says_owned = in->topic_partitions_count >= 0;
    struct partition_set owned = owned_set(in);
    struct consumer_heartbeat h = {
        .group_id = in->group_id,
        .member_id = in->member_id,
        .epoch = in->member_epoch,
        .needs_member_id = rq->version >= 1,
        .instance_id = in->instance_id,
        .rack_id = in->rack_id,
        .client_id = rq->client_id,
        .client_host = slice_of(arena_printf(&rq->arena, "/" SLICE_FMT, SLICE_ARG(request_peer_host(rq)))),
        .rebalance_timeout_ms = in->rebalance_timeout_ms,
        .topics = in->subscribed_topic_names,
        .topics_count = in->subscribed_topic_names_count,
        .regex = in->subscribed_topic_regex,
        .assignor = in->server_assignor,
        .owned = says_owned ? &owned : NULL,
        .may_see = request_has_authorizer(rq) ? may_see : NULL,
        .arg = rq,
    };
    struct consumer_answer a;
    enum kafka_error error = consumer_heartbeat(gs, &h, &a, err);
    partition_set_done(&owned);
    if (error == KAFKA_NONE) {
        out->member_id = a.member_id ? arena_slice_dup(&rq->arena, slice_of(a.member_id)) : in->member_id;
        out->member_epoch = a.epoch;
        out->heartbeat_interval_ms = a.heartbeat_interval_ms;
        if (a.has_assignment && !fill_assignment(rq, a.assignment, out)) error = KAFKA_UNKNOWN_SERVER_ERROR;
    }
    free(a.member_id);
    return error;
}

API_HANDLER(consumer_group_heartbeat)
{
    struct err err = ERR_NONE;
    enum kafka_error error;
    if (!groups_have_consumer_protocol(rq)) {
        out->error_code = KAFKA_UNSUPPORTED_VERSION;
        return API_REPLY;
    }
    struct groups *gs = groups_for(rq, in->group_id, ACL_READ, &error);
    if (gs && !may_see_all_named(rq, in)) error = KAFKA_TOPIC_AUTHORIZATION_FAILED;
    if (error == KAFKA_NONE) error = beat(rq, gs, in, out, &err);
    if (error != KAFKA_NONE) {
        out->error_code = (int16_t)error;
        if (err.text[0]) out->error_message = slice_of(arena_strdup(&rq->arena, err.text));
        return API_REPLY;
    }
    struct api_wait *w = api_wait_new(rq);
    struct beat *b = arena_calloc(&rq->arena, 1, sizeof *b);
    if (!w || !b) return API_CLOSE;
    *b = (struct beat){.wait = w, .out = out};
    struct group *g = groups_find(gs, in->group_id);
    if (g) gs->host->when_durable(gs->host, g, durable, b);
    else durable(b, KAFKA_NONE);
    return api_wait_result(w);
}
