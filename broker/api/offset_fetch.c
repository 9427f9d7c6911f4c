/* OffsetFetch, key 9. Control thread (owns groups). v8+ asks for several groups; topics null (v2+): all that the group
 * has. An offset that was never committed is -1 with empty metadata and no error. What an open transaction is about to
 * commit makes a partition unstable for clients that ask so (v7+, KIP-447). In strict durability the answer waits until
 * what it shows is on disk. */
#include "broker/api/wait.h"
#include "broker/group/group_store.h"
#include "protocol/api_handlers.h"

/* One group of the request; v1-7 have one, in another struct. */
struct fetch_group {
    struct api_wait *wait;
    enum kafka_error error;
    struct group_caller caller;
    struct offset_fetch_response_group *out;
    bool all; /* else topics */
    const struct offset_fetch_request_topics *topics;
    int32_t topics_count;
};

struct fetch {
    struct api_wait wait;
    struct fetch_group *groups;
    int32_t groups_count;
    bool require_stable;
    struct offset_fetch_response *out;
};

static void fill_partition(const struct group *g, struct slice topic, int32_t partition, bool require_stable,
                           struct offset_fetch_response_partitions *o)
{
    offset_fetch_response_partitions_init(o);
    const struct offset_value *v = g ? offsets_get(&g->offsets, topic, partition) : NULL;
    o->partition_index = partition;
    o->committed_offset = -1;
    o->committed_leader_epoch = -1;
    o->metadata = SLICE_EMPTY;
    if (g && require_stable && offsets_is_pending(&g->offsets, topic, partition)) {
        o->error_code = KAFKA_UNSTABLE_OFFSET_COMMIT;
    } else if (v) {
        o->committed_offset = v->offset;
        o->committed_leader_epoch = v->leader_epoch;
        o->metadata = v->metadata;
    }
}

static bool fill_asked(struct request *rq, const struct group *g, struct fetch_group *f, bool require_stable)
{
    f->out->topics = arena_calloc(&rq->arena, (size_t)MAX(f->topics_count, 0) + 1, sizeof f->out->topics[0]);
    if (!f->out->topics) return false;
    for (int32_t t = 0; t < f->topics_count; t++) {
        const struct offset_fetch_request_topics *from = &f->topics[t];
        struct offset_fetch_response_topics *to = &f->out->topics[f->out->topics_count++];
        int32_t count = MAX(from->partition_indexes_count, 0);
        bool allowed = request_authorize(rq, ACL_DESCRIBE, RESOURCE_TOPIC, from->name);
        to->name = from->name;
        to->partitions = arena_calloc(&rq->arena, (size_t)count + 1, sizeof to->partitions[0]);
        if (!to->partitions) return false;
        for (int32_t p = 0; p < count; p++) {
            fill_partition(allowed ? g : NULL, from->name, from->partition_indexes[p], require_stable,
                           &to->partitions[p]);
            if (!allowed) to->partitions[p].error_code = KAFKA_TOPIC_AUTHORIZATION_FAILED;
        }
        to->partitions_count = count;
    }
    return true;
}

static bool fill_all(struct request *rq, const struct group *g, struct fetch_group *f, bool require_stable)
{
    f->out->topics = arena_calloc(&rq->arena, (g ? HASH_COUNT(g->offsets.topics) : 0) + 1, sizeof f->out->topics[0]);
    if (!f->out->topics) return false;
    for (const struct offset_topic *t = g ? g->offsets.topics : NULL; t; t = t->hh.next) {
        if (!request_authorize(rq, ACL_DESCRIBE, RESOURCE_TOPIC, offset_topic_name(t))) continue;
        struct offset_fetch_response_topics *to = &f->out->topics[f->out->topics_count++];
        to->name = offset_topic_name(t);
        to->partitions = arena_calloc(&rq->arena, (size_t)t->count, sizeof to->partitions[0]);
        if (!to->partitions) return false;
        for (int32_t i = 0; i < t->count; i++)
            fill_partition(g, to->name, t->entries[i].partition, require_stable, &to->partitions[i]);
        to->partitions_count = t->count;
    }
    return true;
}

static void fill_group(struct request *rq, struct fetch_group *f, bool require_stable)
{
    if (f->error == KAFKA_NONE) {
        struct groups *gs = groups_for(rq, f->out->group_id, ACL_DESCRIBE, &f->error);
        struct group *g = gs ? groups_find(gs, f->out->group_id) : NULL;
        if (g) f->error = g->type->check_fetch(g, &f->caller);
        if (f->error == KAFKA_NONE &&
            !(f->all ? fill_all(rq, g, f, require_stable) : fill_asked(rq, g, f, require_stable)))
            f->error = KAFKA_UNKNOWN_SERVER_ERROR;
    }
    f->out->error_code = (int16_t)f->error;
    if (f->error != KAFKA_NONE) f->out->topics_count = 0;
}

/* v1-7: the one group is the answer; v1 has no place for its error but the partitions. */
static void fill_flat(struct request *rq, struct offset_fetch_response *out, const struct fetch_group *f)
{
    const struct offset_fetch_response_group *from = f->out;
    out->error_code = from->error_code;
    bool errors = rq->version < 2 && f->error != KAFKA_NONE;
    int32_t count = errors ? f->topics_count : from->topics_count;
    out->topics = arena_calloc(&rq->arena, (size_t)MAX(count, 0) + 1, sizeof out->topics[0]);
    if (!out->topics) return;
    for (int32_t t = 0; t < count; t++) {
        struct offset_fetch_response_topic *to = &out->topics[t];
        int32_t parts = errors ? MAX(f->topics[t].partition_indexes_count, 0) : from->topics[t].partitions_count;
        to->name = errors ? f->topics[t].name : from->topics[t].name;
        to->partitions = arena_calloc(&rq->arena, (size_t)parts + 1, sizeof to->partitions[0]);
        if (!to->partitions) return;
        for (int32_t p = 0; p < parts; p++) {
            struct offset_fetch_response_partitions one;
            if (errors) {
                fill_partition(NULL, to->name, f->topics[t].partition_indexes[p], false, &one);
                one.error_code = (int16_t)f->error;
            } else {
                one = from->topics[t].partitions[p];
            }
            to->partitions[p] =
                (struct offset_fetch_response_partition){.partition_index = one.partition_index,
                                                         .committed_offset = one.committed_offset,
                                                         .committed_leader_epoch = one.committed_leader_epoch,
                                                         .metadata = one.metadata,
                                                         .error_code = one.error_code};
        }
        to->partitions_count = parts;
        out->topics_count = t + 1;
    }
}

/* All that is shown is durable. */
static enum api_result finish(struct api_wait *w)
{
    struct fetch *f = container_of(w, struct fetch, wait);
    struct request *rq = w->rq;
    for (int32_t i = 0; i < f->groups_count; i++) fill_group(rq, &f->groups[i], f->require_stable);
    if (rq->version < 8) fill_flat(rq, f->out, &f->groups[0]);
    return API_REPLY;
}

static void durable(void *arg, enum kafka_error error)
{
    struct fetch_group *f = arg;
    f->error = error;
    api_wait_done(f->wait);
}

API_HANDLER(offset_fetch)
{
    bool flat = rq->version < 8;
    int32_t count = flat ? 1 : MAX(in->groups_count, 0);
    struct fetch *f = arena_calloc(&rq->arena, 1, sizeof *f);
    struct fetch_group *fs = arena_calloc(&rq->arena, (size_t)count + 1, sizeof *fs);
    struct offset_fetch_response_group *outs = arena_calloc(&rq->arena, (size_t)count + 1, sizeof *outs);
    if (!f || !fs || !outs) return API_CLOSE;
    *f = (struct fetch){.groups = fs, .groups_count = count, .require_stable = in->require_stable, .out = out};
    api_wait_init(&f->wait, rq, finish);
    for (int32_t i = 0; i < count; i++) {
        fs[i] = (struct fetch_group){.wait = &f->wait, .out = &outs[i], .caller = {.generation_id = -1}};
        offset_fetch_response_group_init(&outs[i]);
        if (flat) {
            struct offset_fetch_request_topics *topics =
                arena_calloc(&rq->arena, (size_t)MAX(in->topics_count, 0) + 1, sizeof *topics);
            if (!topics) return API_CLOSE; /* the only group: nothing has begun */
            for (int32_t t = 0; t < in->topics_count; t++)
                topics[t] = (struct offset_fetch_request_topics){.name = in->topics[t].name,
                                                                 .partition_indexes = in->topics[t].partition_indexes,
                                                                 .partition_indexes_count =
                                                                     in->topics[t].partition_indexes_count};
            outs[i].group_id = in->group_id;
            fs[i].topics = topics;
            fs[i].topics_count = in->topics_count;
        } else {
            outs[i].group_id = in->groups[i].group_id;
            fs[i].caller.member_id = in->groups[i].member_id.ptr ? in->groups[i].member_id : SLICE_EMPTY;
            fs[i].caller.generation_id = in->groups[i].member_epoch;
            fs[i].topics = in->groups[i].topics;
            fs[i].topics_count = in->groups[i].topics_count;
        }
        fs[i].all = fs[i].topics_count < 0;
        struct groups *gs = groups_for(rq, outs[i].group_id, ACL_DESCRIBE, &fs[i].error);
        struct group *g = gs ? groups_find(gs, outs[i].group_id) : NULL;
        if (!g) continue;
        api_wait_more(&f->wait);
        gs->host->when_durable(gs->host, g, durable, &fs[i]);
    }
    if (!flat) {
        out->groups = outs;
        out->groups_count = count;
    }
    return api_wait_result(&f->wait);
}
