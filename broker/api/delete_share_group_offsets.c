/* DeleteShareGroupOffsets, key 92 (KIP-932): forgets what a group without members has of whole topics. Control thread.
 * The group marks the topics, their state goes, then the marks: whatever fails in between may be asked for again. */
#include "broker/api/share_acks.h"
#include "broker/api/wait.h"
#include "broker/share/group_share.h"
#include "broker/group/group_store.h"
#include "protocol/api_handlers.h"

static void durable(void *arg, enum kafka_error error)
{
    struct api_wait *w = arg;
    struct delete_share_group_offsets_response *out = w->rq->out;
    for (int32_t i = 0; error != KAFKA_NONE && i < out->responses_count; i++)
        if (out->responses[i].error_code == KAFKA_NONE) out->responses[i].error_code = (int16_t)error;
    api_wait_done(w);
}

static enum kafka_error delete_topic(struct request *rq, struct share_group *s, struct slice name,
                                     struct delete_share_group_offsets_response_topic *out)
{
    const struct metadata_topic *t = metadata_topic(request_metadata(rq), name);
    struct partition_set partitions = {0};
    bool known = false;

    if (!request_authorize(rq, ACL_READ, RESOURCE_TOPIC, name)) return KAFKA_TOPIC_AUTHORIZATION_FAILED;
    if (!t) return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    for (int32_t p = 0; p < t->partitions_count; p++) {
        partition_set_append(&partitions, t->id, p);
        known |= partition_set_has(&s->initialized, t->id, p) || partition_set_has(&s->deleting, t->id, 0);
    }
    enum kafka_error error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (known) {
        struct topic_partition item = {.topic_id = t->id};
        const struct partition_set topic = {.items = &item, .count = 1};
        out->topic_id = t->id;
        error = share_group_delete_topics(s, &topic, false);
        if (error == KAFKA_NONE) error = shares_delete(rq->broker, group_id(&s->group), &partitions);
        if (error == KAFKA_NONE) error = share_group_delete_topics(s, &topic, true);
    } else {
        out->error_message = SLICE("There is no offset information to delete.");
    }
    partition_set_done(&partitions);
    return error;
}

API_HANDLER(delete_share_group_offsets)
{
    struct share_group *s = NULL;
    enum kafka_error error = share_group_to_change(rq, in->group_id, ACL_DELETE, &s);
    struct api_wait *w = api_wait_new(rq);

    if (error != KAFKA_NONE) {
        out->error_code = (int16_t)error;
        out->error_message = slice_of(kafka_error_text(error));
        return API_REPLY;
    }
    out->responses = arena_calloc(&rq->arena, (size_t)MAX(in->topics_count, 0) + 1, sizeof out->responses[0]);
    if (!w || !out->responses) return API_CLOSE;
    for (int32_t i = 0; i < in->topics_count; i++) {
        struct delete_share_group_offsets_response_topic *o = &out->responses[out->responses_count++];
        delete_share_group_offsets_response_topic_init(o);
        o->topic_name = in->topics[i].topic_name;
        error = delete_topic(rq, s, in->topics[i].topic_name, o);
        o->error_code = (int16_t)error;
        if (error != KAFKA_NONE && !o->error_message.ptr) o->error_message = slice_of(kafka_error_text(error));
    }
    s->group.groups->host->when_durable(s->group.groups->host, &s->group, durable, w);
    return api_wait_result(w);
}
