/* DeleteTopics, key 20. Control thread; the answer waits until the metadata is on disk. v6: by name or id (KIP-516). */
#include "broker/api/doubles.h"
#include "broker/api/wait.h"
#include "broker/metadata/metadata.h"
#include "protocol/api_handlers.h"

/* controller_mutation_rate; older versions are throttled instead of refused (KIP-599). */
#define VERSION_OF_STRICT_QUOTA 5

static void set_error(struct request *rq, struct delete_topics_response_deletable_topic_result *out,
                      enum kafka_error error, const char *text)
{
    out->error_code = (int16_t)error;
    out->error_message = arena_slice_dup(&rq->arena, slice_of(text));
}

static void delete_one(struct request *rq, struct metadata_change *change, struct slice name, struct uuid id,
                       struct delete_topics_response_deletable_topic_result *out)
{
    const struct metadata *view = metadata_change_view(change);
    struct err err = ERR_NONE;

    out->name = name;
    out->topic_id = id;
    if (!slice_is_null(name) && !uuid_is_zero(id)) {
        set_error(rq, out, KAFKA_INVALID_REQUEST, "You may not specify both topic name and topic id.");
        return;
    }
    if (slice_is_null(name) && uuid_is_zero(id)) {
        set_error(rq, out, KAFKA_INVALID_REQUEST, "Neither topic name nor id were specified.");
        return;
    }
    const struct metadata_topic *t = slice_is_null(name) ? metadata_topic_by_id(view, id) : metadata_topic(view, name);
    struct slice topic = t ? slice_of(t->name) : name;
    bool described = slice_is_null(topic) || request_authorize(rq, ACL_DESCRIBE, RESOURCE_TOPIC, topic);
    if (!described || (!slice_is_null(topic) && !request_authorize(rq, ACL_DELETE, RESOURCE_TOPIC, topic))) {
        if (t && described) out->name = arena_slice_dup(&rq->arena, topic);
        set_error(rq, out, KAFKA_TOPIC_AUTHORIZATION_FAILED, "Authorization failed.");
        return;
    }
    if (!t) {
        bool by_id = slice_is_null(name);
        set_error(rq, out, by_id ? KAFKA_UNKNOWN_TOPIC_ID : KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
                  by_id ? "This server does not host this topic ID."
                        : "This server does not host this topic-partition.");
        return;
    }
    out->name = arena_slice_dup(&rq->arena, slice_of(t->name));
    out->topic_id = t->id;
    if (topic_name_refuse_reserved(topic, &err) != KAFKA_NONE) {
        set_error(rq, out, KAFKA_INVALID_TOPIC_EXCEPTION, err.text);
        return;
    }
    bool enabled = metadata_change_view(change)->config->delete_topic_enable;
    if (enabled && !request_mutate(rq, t->partitions_count, rq->version >= VERSION_OF_STRICT_QUOTA)) {
        set_error(rq, out, KAFKA_THROTTLING_QUOTA_EXCEEDED, kafka_error_text(KAFKA_THROTTLING_QUOTA_EXCEEDED));
        return;
    }
    enum kafka_error error = metadata_change_delete_topic(change, t->id, &err);
    if (error != KAFKA_NONE) set_error(rq, out, error, err.text);
}

static void committed(void *arg, enum kafka_error error)
{
    struct api_wait *w = arg;
    struct request *rq = w->rq;
    struct delete_topics_response *out = rq->out;

    for (int32_t i = 0; error != KAFKA_NONE && i < out->responses_count; i++)
        if (out->responses[i].error_code == KAFKA_NONE)
            set_error(rq, &out->responses[i], error, "The change of the metadata could not be made durable.");
    api_wait_done(w);
}

/* What is named twice is not deleted: names and ids are of different kinds. */
static struct doubles_key key_of(struct request *rq, const struct delete_topics_request *in, int32_t i)
{
    if (rq->version < 6) return (struct doubles_key){.name = in->topic_names[i]};
    const struct delete_topics_request_delete_topic_state *t = &in->topics[i];
    if (!slice_is_null(t->name)) return (struct doubles_key){.name = t->name};
    return (struct doubles_key){.kind = 1, .name = slice_make(t->topic_id.bytes, sizeof t->topic_id.bytes)};
}

enum api_result api_handle_delete_topics(struct request *rq, const struct delete_topics_request *in,
                                         struct delete_topics_response *out)
{
    int32_t count = rq->version >= 6 ? in->topics_count : in->topic_names_count;

    struct doubles_key *keys = arena_calloc(&rq->arena, (size_t)MAX(count, 0) + 1, sizeof *keys);
    out->responses = arena_calloc(&rq->arena, (size_t)MAX(count, 1), sizeof *out->responses);
    if (!out->responses || !keys) return API_CLOSE;
    for (int32_t i = 0; i < count; i++) keys[i] = key_of(rq, in, i);
    const uint8_t *doubles = doubles_find(&rq->arena, keys, MAX(count, 0));
    struct api_wait *w = api_wait_new(rq);
    if (!doubles || !w) return API_CLOSE;

    struct metadata_change *change = metadata_change_begin(rq->broker);
    for (int32_t i = 0; i < count; i++) {
        struct slice name = rq->version >= 6 ? in->topics[i].name : in->topic_names[i];
        struct uuid id = rq->version >= 6 ? in->topics[i].topic_id : (struct uuid){{0}};
        if (doubles[i] == STANDS_AGAIN) continue;
        struct delete_topics_response_deletable_topic_result *o = &out->responses[out->responses_count++];
        delete_topics_response_deletable_topic_result_init(o);
        if (doubles[i] == STANDS_ONCE) {
            delete_one(rq, change, name, id, o);
            continue;
        }
        o->name = name;
        o->topic_id = id;
        set_error(rq, o, KAFKA_INVALID_REQUEST, slice_is_null(name) ? "Duplicate topic id." : "Duplicate topic name.");
    }
    metadata_change_commit(change, committed, w);
    return api_wait_result(w);
}
