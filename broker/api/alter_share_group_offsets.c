/* AlterShareGroupOffsets, key 91 (KIP-932): share partitions of a group without members begin anew at given offsets.
 * Control thread. Kafka 4.1.1 answers without doing anything (a defect, mended later): here it does what KIP-932
 * says. */
#include "broker/api/share_acks.h"
#include "broker/api/wait.h"
#include "broker/share/group_share.h"
#include "broker/group/group_store.h"
#include "broker/state.h"
#include "protocol/api_handlers.h"

struct wish {
    struct topic_partition partition;
    int64_t start;
    uint32_t at; /* in the request */
};

struct alteration {
    struct api_wait *wait;
    struct slice group_id;
    struct wish *wishes;
    uint32_t count;
    struct partition_set partitions; /* of the wishes; in the arena */
    int64_t *starts;
};

static void fail_all(struct alter_share_group_offsets_response *out, enum kafka_error error)
{
    for (int32_t t = 0; t < out->responses_count; t++)
        for (int32_t p = 0; p < out->responses[t].partitions_count; p++) {
            if (out->responses[t].partitions[p].error_code != KAFKA_NONE) continue;
            out->responses[t].partitions[p].error_code = (int16_t)error;
            out->responses[t].partitions[p].error_message = slice_of(kafka_error_text(error));
        }
}

static void durable(void *arg, enum kafka_error error)
{
    struct alteration *a = arg;
    if (error != KAFKA_NONE) fail_all(a->wait->rq->out, error);
    api_wait_done(a->wait);
}

static void initialized(void *arg, enum kafka_error error)
{
    struct alteration *a = arg;
    struct groups *gs = a->wait->rq->broker->groups;
    if (gs) share_group_initialized(gs, a->group_id, &a->partitions, error == KAFKA_NONE);
    struct group *g = gs ? groups_find(gs, a->group_id) : NULL;
    if (error == KAFKA_NONE && g) gs->host->when_durable(gs->host, g, durable, a);
    else durable(a, error == KAFKA_NONE ? KAFKA_COORDINATOR_NOT_AVAILABLE : error);
}

/* What the request asks for, with the errors that are plain. False: no memory. */
static bool read_request(struct request *rq, const struct alter_share_group_offsets_request *in,
                         struct alter_share_group_offsets_response *out, struct alteration *a)
{
    size_t count = 0;
    for (int32_t t = 0; t < in->topics_count; t++) count += (size_t)MAX(in->topics[t].partitions_count, 0);
    a->wishes = arena_calloc(&rq->arena, count + 1, sizeof a->wishes[0]);
    a->partitions.items = arena_calloc(&rq->arena, count + 1, sizeof a->partitions.items[0]);
    a->starts = arena_calloc(&rq->arena, count + 1, sizeof a->starts[0]);
    out->responses = arena_calloc(&rq->arena, (size_t)MAX(in->topics_count, 0) + 1, sizeof out->responses[0]);
    if (!a->wishes || !a->partitions.items || !a->starts || !out->responses) return false;
    for (int32_t t = 0; t < in->topics_count; t++) {
        const struct metadata_topic *topic = metadata_topic(request_metadata(rq), in->topics[t].topic_name);
        bool allowed = request_authorize(rq, ACL_READ, RESOURCE_TOPIC, in->topics[t].topic_name);
        struct alter_share_group_offsets_response_topic *o = &out->responses[out->responses_count++];
        o->topic_name = in->topics[t].topic_name;
        if (topic && allowed) o->topic_id = topic->id;
        o->partitions =
            arena_calloc(&rq->arena, (size_t)MAX(in->topics[t].partitions_count, 0) + 1, sizeof o->partitions[0]);
        if (!o->partitions) return false;
        for (int32_t p = 0; p < in->topics[t].partitions_count; p++) {
            int32_t index = in->topics[t].partitions[p].partition_index;
            bool exists = topic && index >= 0 && index < topic->partitions_count;
            enum kafka_error error = !allowed ? KAFKA_TOPIC_AUTHORIZATION_FAILED
                                     : exists ? KAFKA_NONE
                                              : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
            alter_share_group_offsets_response_partition_init(&o->partitions[o->partitions_count]);
            o->partitions[o->partitions_count].partition_index = index;
            o->partitions[o->partitions_count].error_code = (int16_t)error;
            if (error != KAFKA_NONE)
                o->partitions[o->partitions_count].error_message = slice_of(kafka_error_text(error));
            o->partitions_count++;
            if (error != KAFKA_NONE) continue;
            a->wishes[a->count] = (struct wish){.partition = {.topic_id = topic->id, .partition = index},
                                                .start = in->topics[t].partitions[p].start_offset,
                                                .at = a->count};
            a->count++;
        }
    }
    return true;
}

static int wish_order(const void *a, const void *b)
{
    const struct wish *x = a, *y = b;
    int r = topic_partition_compare(&x->partition, &y->partition);
    return r ? r : (x->at > y->at) - (x->at < y->at);
}

/* The wishes as a set, and the starts in its order; of a partition that is named twice the last one counts. */
static void sort(struct alteration *a)
{
    struct partition_set *set = &a->partitions;
    qsort(a->wishes, a->count, sizeof a->wishes[0], wish_order);
    for (uint32_t i = 0; i < a->count; i++) {
        const struct wish *w = &a->wishes[i];
        if (set->count && topic_partition_compare(&set->items[set->count - 1], &w->partition) == 0) set->count--;
        set->items[set->count] = w->partition;
        a->starts[set->count++] = w->start;
    }
}

API_HANDLER(alter_share_group_offsets)
{
    struct share_group *s = NULL;
    struct alteration *a = arena_calloc(&rq->arena, 1, sizeof *a);
    enum kafka_error error = share_group_to_change(rq, in->group_id, ACL_READ, &s);

    if (error != KAFKA_NONE) {
        out->error_code = (int16_t)error;
        out->error_message = slice_of(kafka_error_text(error));
        return API_REPLY;
    }
    if (!a || !(a->wait = api_wait_new(rq)) || !read_request(rq, in, out, a)) return API_CLOSE;
    a->group_id = in->group_id;
    sort(a);
    error = share_group_initialize_again(s, &a->partitions);
    if (error != KAFKA_NONE) {
        fail_all(out, error);
        return API_REPLY;
    }
    shares_initialize(rq->broker, in->group_id, &a->partitions, a->starts, s->epoch, initialized, a);
    return api_wait_result(a->wait);
}
