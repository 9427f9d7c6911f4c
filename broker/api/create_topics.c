/* CreateTopics, key 19. Control thread; the answer waits until the metadata is on disk. v4: defaults (KIP-464); v5: the
 * new topic's configs (KIP-525). Texts are Kafka's, as tools print them. */
#include "broker/api/doubles.h"
#include "broker/api/replicas.h"
#include "broker/api/wait.h"
#include "broker/limits.h"
#include "broker/partition.h"
#include "broker/state.h"
#include "protocol/api_handlers.h"

static void set_error(struct request *rq, struct create_topics_response_creatable_topic_result *out,
                      enum kafka_error error, const char *text)
{
    out->error_code = (int16_t)error;
    out->error_message = arena_slice_dup(&rq->arena, slice_of(text));
    out->configs = NULL;
    out->configs_count = 0;
}

/* A manual assignment names this broker for partitions 0, 1, 2 …; returns their count. */
static int32_t check_assignments(struct request *rq, const struct create_topics_request_creatable_topic *asked,
                                 struct err *err)
{
    int32_t count = asked->assignments_count;

    if (asked->num_partitions != -1 || asked->replication_factor != -1)
        return err_set(err, KAFKA_INVALID_REQUEST,
                       "A manual partition assignment was specified, but %s was not set to -1.",
                       asked->replication_factor != -1 ? "replication factor" : "numPartitions"),
               -1;
    if (count > PARTITIONS_PER_CHANGE_MAX)
        return err_set(err, KAFKA_POLICY_VIOLATION, "Excessively large number of partitions per request."), -1;
    bool *seen = arena_calloc(&rq->arena, (size_t)count, sizeof *seen);
    if (!seen) return err_set(err, KAFKA_UNKNOWN_SERVER_ERROR, "the request is too large"), -1;
    for (int32_t i = 0; i < count; i++) {
        const struct create_topics_request_creatable_replica_assignment *a = &asked->assignments[i];
        if (a->partition_index < 0 || a->partition_index >= count)
            return err_set(err, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                           "partitions should be a consecutive 0-based integer sequence"),
                   -1;
        if (seen[a->partition_index])
            return err_set(err, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                           "Found multiple manual partition assignments for partition %d", a->partition_index),
                   -1;
        seen[a->partition_index] = true;
        if (replicas_check(a->broker_ids, a->broker_ids_count, rq->broker->node_id, err) != KAFKA_NONE) return -1;
    }
    return count;
}

/* The configs as tools show them after creation; only with v5. */
static void add_configs(struct request *rq, const struct metadata *view, const struct metadata_topic *t,
                        struct create_topics_response_creatable_topic_result *out)
{
    struct config_value *values;
    int32_t count = config_describe_topic(view, t, &rq->arena, &values);

    out->configs = count < 0 ? NULL : arena_calloc(&rq->arena, (size_t)count, sizeof *out->configs);
    for (int32_t i = 0; out->configs && i < count; i++) {
        struct create_topics_response_creatable_topic_configs *c = &out->configs[i];
        create_topics_response_creatable_topic_configs_init(c);
        c->name = slice_of(values[i].option->name);
        c->value = slice_of(values[i].value);
        c->config_source = (int8_t)values[i].source;
        c->is_sensitive = values[i].sensitive;
        c->read_only = values[i].read_only;
        out->configs_count++;
    }
}

/* controller_mutation_rate; older versions are throttled instead of refused (KIP-599). */
#define VERSION_OF_STRICT_QUOTA 6

static bool admit(void *arg, int32_t partitions_count)
{
    struct request *rq = arg;
    return request_mutate(rq, partitions_count, rq->version >= VERSION_OF_STRICT_QUOTA);
}

static void create_one(struct request *rq, struct metadata_change *change, const struct create_topics_request *in,
                       const struct create_topics_request_creatable_topic *asked, bool stands_twice,
                       struct create_topics_response_creatable_topic_result *out)
{
    struct topic_spec spec = {.name = asked->name,
                              .partitions_count = asked->num_partitions,
                              .replication_factor = asked->replication_factor,
                              .admit = admit,
                              .admit_arg = rq};
    struct config_entry *config = arena_calloc(&rq->arena, (size_t)MAX(asked->configs_count, 1), sizeof *config);
    const struct metadata_topic *t;
    struct err err = ERR_NONE;
    enum kafka_error error;

    out->name = asked->name;
    if (!config) {
        set_error(rq, out, KAFKA_UNKNOWN_SERVER_ERROR, "no memory");
        return;
    }
    if (!request_authorize_cluster(rq, ACL_CREATE) && !request_authorize(rq, ACL_CREATE, RESOURCE_TOPIC, asked->name)) {
        set_error(rq, out, KAFKA_TOPIC_AUTHORIZATION_FAILED, "Authorization failed.");
        return;
    }
    if (stands_twice) {
        set_error(rq, out, KAFKA_INVALID_REQUEST, "Duplicate topic name.");
        return;
    }
    if (topic_name_refuse_reserved(asked->name, &err) != KAFKA_NONE) {
        set_error(rq, out, KAFKA_INVALID_TOPIC_EXCEPTION, err.text);
        return;
    }
    for (int32_t i = 0; i < asked->configs_count; i++) {
        config[i] = (struct config_entry){.name = arena_slice_str(&rq->arena, asked->configs[i].name),
                                          .value = arena_slice_str(&rq->arena, asked->configs[i].value)};
        if (!config[i].name || (asked->configs[i].value.ptr && !config[i].value)) {
            set_error(rq, out, KAFKA_UNKNOWN_SERVER_ERROR, "the request is too large");
            return;
        }
    }
    spec.config = config;
    spec.config_count = (uint32_t)asked->configs_count;
    error = metadata_change_check_topic(change, &spec, &err);
    if (error == KAFKA_NONE && asked->assignments_count > 0) {
        spec.partitions_count = check_assignments(rq, asked, &err);
        spec.replication_factor = -1;
        if (spec.partitions_count < 0) error = (enum kafka_error)err.code;
    }
    if (error == KAFKA_NONE) error = metadata_change_create_topic(change, &spec, in->validate_only, &t, &err);
    if (error != KAFKA_NONE) {
        set_error(rq, out, error, err.text);
        return;
    }
    out->topic_id = t->id; /* with validate_only one that is never used, as from Kafka */
    out->num_partitions = t->partitions_count;
    out->replication_factor = 1;
    if (!request_authorize(rq, ACL_DESCRIBE_CONFIGS, RESOURCE_TOPIC, asked->name)) {
        out->topic_config_error_code = KAFKA_TOPIC_AUTHORIZATION_FAILED;
        out->num_partitions = -1;
        out->replication_factor = -1;
    } else if (rq->version >= 5) add_configs(rq, metadata_change_view(change), t, out);
}

static void committed(void *arg, enum kafka_error error)
{
    struct api_wait *w = arg;
    struct request *rq = w->rq;
    struct create_topics_response *out = rq->out;

    for (int32_t i = 0; error != KAFKA_NONE && i < out->topics_count; i++)
        if (out->topics[i].error_code == KAFKA_NONE)
            set_error(rq, &out->topics[i], error, "The change of the metadata could not be made durable.");
    api_wait_done(w);
}

enum api_result api_handle_create_topics(struct request *rq, const struct create_topics_request *in,
                                         struct create_topics_response *out)
{
    out->topics = arena_calloc(&rq->arena, (size_t)MAX(in->topics_count, 1), sizeof *out->topics);
    struct doubles_key *names = arena_calloc(&rq->arena, (size_t)MAX(in->topics_count, 1), sizeof *names);
    if (!out->topics || !names) return API_CLOSE;
    for (int32_t i = 0; i < in->topics_count; i++) names[i].name = in->topics[i].name;
    const uint8_t *doubles = doubles_find(&rq->arena, names, in->topics_count);
    struct api_wait *w = api_wait_new(rq);
    if (!doubles || !w) return API_CLOSE;

    struct metadata_change *change = metadata_change_begin(rq->broker);
    for (int32_t i = 0; i < in->topics_count; i++) {
        if (doubles[i] == STANDS_AGAIN) continue;
        struct create_topics_response_creatable_topic_result *o = &out->topics[out->topics_count++];
        create_topics_response_creatable_topic_result_init(o);
        o->error_message = SLICE_NULL;
        create_one(rq, change, in, &in->topics[i], doubles[i] != STANDS_ONCE, o);
    }
    if (in->validate_only) {
        metadata_change_abort(change);
        return API_REPLY;
    }
    metadata_change_commit(change, committed, w);
    return api_wait_result(w);
}
