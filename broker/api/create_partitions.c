/* CreatePartitions, key 37. Control thread (owns topics). Each topic by itself; what succeeds is one change. */
#include "broker/api/doubles.h"
#include "broker/api/replicas.h"
#include "broker/api/wait.h"
#include "broker/broker.h"
#include "protocol/api_handlers.h"

/* controller_mutation_rate; older versions are throttled instead of refused (KIP-599). */
#define VERSION_OF_STRICT_QUOTA 3

struct growth {
    struct api_wait *wait;
    struct create_partitions_response *out;
};

static void committed(void *arg, enum kafka_error error)
{
    struct growth *g = arg;
    for (int32_t i = 0; error != KAFKA_NONE && i < g->out->results_count; i++)
        if (g->out->results[i].error_code == KAFKA_NONE) g->out->results[i].error_code = (int16_t)error;
    api_wait_done(g->wait);
}

/* The one broker is the only place for a replica. */
static enum kafka_error check_assignments(const struct create_partitions_request_topic *t, int32_t now, int32_t node_id,
                                          struct err *err)
{
    if (t->assignments_count < 0) return KAFKA_NONE;
    if (t->assignments_count != t->count - now)
        return err_set(err, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                       "Attempted to add %d additional partition(s), but only %d assignment(s) were specified.",
                       t->count - now, t->assignments_count);
    for (int32_t i = 0; i < t->assignments_count; i++) {
        enum kafka_error error =
            replicas_check(t->assignments[i].broker_ids, t->assignments[i].broker_ids_count, node_id, err);
        if (error != KAFKA_NONE) return error;
    }
    return KAFKA_NONE;
}

static enum kafka_error grow(struct request *rq, struct metadata_change *c,
                             const struct create_partitions_request_topic *t, bool validate_only, struct err *err)
{
    if (!request_authorize(rq, ACL_ALTER, RESOURCE_TOPIC, t->name))
        return err_set(err, KAFKA_TOPIC_AUTHORIZATION_FAILED, "%s", kafka_error_text(KAFKA_TOPIC_AUTHORIZATION_FAILED));
    const struct metadata_topic *now = metadata_topic(metadata_change_view(c), t->name);
    if (!now) return err_set(err, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "%s", ""); /* so does Kafka: without a text */
    enum kafka_error error = topic_name_refuse_reserved(t->name, err);
    if (error != KAFKA_NONE) return error;
    if (t->count > now->partitions_count) {
        error = check_assignments(t, now->partitions_count, (int32_t)broker_config(rq->broker)->node_id, err);
        if (error != KAFKA_NONE) return error;
        if (!request_mutate(rq, t->count - now->partitions_count, rq->version >= VERSION_OF_STRICT_QUOTA))
            return err_set(err, KAFKA_THROTTLING_QUOTA_EXCEEDED, "%s",
                           kafka_error_text(KAFKA_THROTTLING_QUOTA_EXCEEDED));
    }
    return metadata_change_grow_topic(c, t->name, t->count, validate_only, err);
}

API_HANDLER(create_partitions)
{
    struct growth *g = arena_calloc(&rq->arena, 1, sizeof *g);
    struct api_wait *w = api_wait_new(rq);
    out->results = arena_calloc(&rq->arena, (size_t)MAX(in->topics_count, 0) + 1, sizeof out->results[0]);
    struct doubles_key *names = arena_calloc(&rq->arena, (size_t)MAX(in->topics_count, 0) + 1, sizeof *names);
    if (!g || !w || !out->results || !names) return API_CLOSE;
    for (int32_t i = 0; i < in->topics_count; i++) names[i].name = in->topics[i].name;
    const uint8_t *doubles = doubles_find(&rq->arena, names, MAX(in->topics_count, 0));
    if (!doubles) return API_CLOSE;
    *g = (struct growth){.wait = w, .out = out};

    struct metadata_change *c = metadata_change_begin(rq->broker);
    for (int32_t i = 0; i < in->topics_count; i++) {
        if (doubles[i] == STANDS_AGAIN) continue;
        struct err err = ERR_NONE;
        struct create_partitions_response_topic_result *o = &out->results[out->results_count++];
        create_partitions_response_topic_result_init(o);
        o->name = in->topics[i].name;
        o->error_code = (int16_t)(doubles[i] ? err_set(&err, KAFKA_INVALID_REQUEST, "Duplicate topic name.")
                                             : grow(rq, c, &in->topics[i], in->validate_only, &err));
        if (o->error_code != KAFKA_NONE && *err.text) o->error_message = slice_of(arena_strdup(&rq->arena, err.text));
    }
    if (in->validate_only) {
        metadata_change_abort(c);
        return API_REPLY;
    }
    metadata_change_commit(c, committed, g);
    return api_wait_result(w);
}
