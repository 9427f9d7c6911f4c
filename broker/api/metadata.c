/* Metadata, key 3: brokers, topics, leaders. Network thread; a topic that is to be created is made on the control
 * thread, and the answer waits until it is there (Kafka answers UNKNOWN_TOPIC_OR_PARTITION and lets the client ask
 * again). */
#include "broker/api/authorized.h"
#include "broker/api/doubles.h"
#include "broker/api/wait.h"
#include "broker/limits.h"
#include "broker/partition.h"
#include "broker/access/security.h"
#include "broker/state.h"
#include "protocol/api_handlers.h"
#include "storage/log_dir.h"

/* -- the answer -- */

static bool add_partitions(struct request *rq, const struct metadata_topic *t, struct metadata_response_topic *out)
{
    const struct broker *b = rq->broker;

    out->partitions = arena_calloc(&rq->arena, (size_t)t->partitions_count, sizeof *out->partitions);
    if (!out->partitions) return false;
    out->partitions_count = t->partitions_count;
    for (int32_t i = 0; i < t->partitions_count; i++) {
        struct metadata_response_partition *p = &out->partitions[i];
        int16_t error = KAFKA_NONE;
        struct partition_log *log = partition_of(t, i, &error);

        metadata_response_partition_init(p);
        p->partition_index = i;
        p->leader_id = log ? b->node_id : -1;
        p->leader_epoch = log ? partition_log_marks(log).leader_epoch : -1;
        p->error_code = log ? KAFKA_NONE : KAFKA_LEADER_NOT_AVAILABLE;
        p->replica_nodes = (int32_t *)(uintptr_t)&b->node_id;
        p->replica_nodes_count = 1;
        p->isr_nodes = log ? p->replica_nodes : NULL;
        p->isr_nodes_count = log ? 1 : 0;
        p->offline_replicas = log ? NULL : p->replica_nodes;
        p->offline_replicas_count = log ? 0 : 1;
    }
    return true;
}

static bool add_topic(struct request *rq, const struct metadata_request *in, const struct metadata_topic *t,
                      struct metadata_response_topic *out)
{
    metadata_response_topic_init(out);
    out->name = arena_slice_dup(&rq->arena, slice_of(t->name));
    out->topic_id = t->id;
    out->is_internal = t->internal;
    if (in->include_topic_authorized_operations)
        out->topic_authorized_operations = authorized_operations(rq, RESOURCE_TOPIC, slice_of(t->name));
    return out->name.ptr && add_partitions(rq, t, out);
}

/* A topic that is asked for by its id has no name: clients send none (null) or an empty one beside the id. */
static struct slice asked_name(const struct metadata_request_topic *asked)
{
    return uuid_is_zero(asked->topic_id) ? asked->name : SLICE_NULL;
}

static void add_unknown(struct request *rq, const struct metadata_request *in,
                        const struct metadata_request_topic *asked, enum kafka_error error,
                        struct metadata_response_topic *out)
{
    struct slice name = asked_name(asked);

    metadata_response_topic_init(out);
    out->name = name;
    out->topic_id = asked->topic_id;
    out->error_code = (int16_t)error;
    out->is_internal = topic_name_is_internal(name);
    if (in->include_topic_authorized_operations && !slice_is_null(name))
        out->topic_authorized_operations = authorized_operations(rq, RESOURCE_TOPIC, name);
}

static bool asks_by_id(const struct metadata_request *in)
{
    for (int32_t i = 0; i < in->topics_count; i++)
        if (!uuid_is_zero(in->topics[i].topic_id)) return true;
    return false;
}

static const struct metadata_topic *asked_topic(const struct metadata *m, const struct metadata_request_topic *asked)
{
    struct slice name = asked_name(asked);

    return slice_is_null(name) ? metadata_topic_by_id(m, asked->topic_id) : metadata_topic(m, name);
}

/* What is asked for, each topic once; when there are ids, names are not looked at. Returns the count, or -1: no
 * memory. */
static int32_t asked_topics(struct request *rq, const struct metadata_request *in,
                            struct metadata_request_topic **ret_asked)
{
    int32_t count = MAX(in->topics_count, 0), kept = 0;
    bool by_id = asks_by_id(in);
    struct metadata_request_topic *asked = arena_calloc(&rq->arena, (size_t)count + 1, sizeof *asked);
    struct doubles_key *keys = arena_calloc(&rq->arena, (size_t)count + 1, sizeof *keys);
    if (!asked || !keys) return -1;

    for (int32_t i = 0; i < count; i++)
        keys[i].name =
            by_id ? slice_make(in->topics[i].topic_id.bytes, sizeof in->topics[i].topic_id.bytes) : in->topics[i].name;
    const uint8_t *doubles = doubles_find(&rq->arena, keys, count);
    if (!doubles) return -1;
    for (int32_t i = 0; i < count; i++) {
        if (doubles[i] == STANDS_AGAIN || (by_id && uuid_is_zero(in->topics[i].topic_id))) continue;
        asked[kept++] = in->topics[i];
    }
    *ret_asked = asked;
    return kept;
}

static bool asks_for_all(const struct request *rq, const struct metadata_request *in)
{
    return in->topics_count < 0 || (rq->version == 0 && in->topics_count == 0);
}

static bool add_topics(struct request *rq, const struct metadata_request *in, struct metadata_response *out)
{
    const struct metadata *m = request_metadata(rq);
    bool all = asks_for_all(rq, in);
    struct metadata_request_topic *asked_for = NULL;
    int32_t count = all ? m->topics_count : asked_topics(rq, in, &asked_for);

    if (count < 0) return false;
    out->topics = arena_calloc(&rq->arena, (size_t)MAX(count, 1), sizeof *out->topics);
    if (!out->topics) return false;
    for (int32_t i = 0; i < count; i++) {
        const struct metadata_topic *t = all ? m->topics[i] : asked_topic(m, &asked_for[i]);
        struct slice name = t ? slice_of(t->name) : asked_name(&asked_for[i]);
        bool allowed = slice_is_null(name) || request_authorize(rq, ACL_DESCRIBE, RESOURCE_TOPIC, name);
        if (all && !allowed) continue;
        struct metadata_response_topic *o = &out->topics[out->topics_count++];
        if (t && allowed) {
            if (!add_topic(rq, in, t, o)) return false;
            continue;
        }
        const struct metadata_request_topic *asked = &asked_for[i];
        enum kafka_error error = !allowed              ? KAFKA_TOPIC_AUTHORIZATION_FAILED
                                 : slice_is_null(name) ? KAFKA_UNKNOWN_TOPIC_ID
                                                       : topic_name_check(name, NULL);
        add_unknown(rq, in, asked, error == KAFKA_NONE ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : error, o);
    }
    return true;
}

static enum api_result answer(struct request *rq)
{
    const struct metadata_request *in = rq->in;
    struct metadata_response *out = rq->out;
    struct metadata_response_broker *broker = arena_calloc(&rq->arena, 1, sizeof *broker);

    if (!broker || !add_topics(rq, in, out)) return API_CLOSE;
    metadata_response_broker_init(broker);
    broker->node_id = rq->broker->node_id;
    request_advertised(rq, &broker->host, &broker->port);
    out->brokers = broker;
    out->brokers_count = 1;
    out->cluster_id = slice_of(log_dir_cluster_id(rq->broker->dir));
    out->controller_id = rq->broker->node_id;
    if (in->include_cluster_authorized_operations)
        out->cluster_authorized_operations = authorized_operations(rq, RESOURCE_CLUSTER, SLICE(ACL_CLUSTER_NAME));
    return API_REPLY;
}

/* -- creation -- */

/* Whatever the outcome: the answer shows what is there. */
static enum api_result finish(struct api_wait *w)
{
    return answer(w->rq);
}

static void created(void *arg, enum kafka_error error, const char *text) /* control thread */
{
    api_wait_done_elsewhere(arg);
}

static bool wants_creation(struct request *rq, const struct metadata_request_topic *asked)
{
    struct slice name = asked_name(asked);

    return !slice_is_null(name) && !topic_name_is_internal(name) && !metadata_topic(request_metadata(rq), name) &&
           topic_name_check(name, NULL) == KAFKA_NONE && request_authorize(rq, ACL_DESCRIBE, RESOURCE_TOPIC, name) &&
           (request_authorize(rq, ACL_CREATE, RESOURCE_TOPIC, name) || request_authorize_cluster(rq, ACL_CREATE));
}

/* Returns how many are being created, or -1: no memory. */
static int create_missing(struct request *rq, const struct metadata_request *in, struct api_wait *w)
{
    struct metadata_request_topic *asked;
    int count = 0;

    if (!in->allow_auto_topic_creation || !request_metadata(rq)->config->auto_create_topics_enable ||
        asks_for_all(rq, in))
        return 0;
    int32_t asked_count = asked_topics(rq, in, &asked);
    if (asked_count < 0) return -1;
    for (int32_t i = 0; i < asked_count && count < TOPICS_CREATED_MAX; i++) {
        if (!wants_creation(rq, &asked[i])) continue;
        count++;
        (void)request_mutate(rq, (int32_t)request_metadata(rq)->config->num_partitions, false);
        AUTO_FREE char *name = slice_strdup(asked[i].name);
        api_wait_more(w);
        broker_topic_create_async(rq->broker, name, -1, NULL, 0, created, w);
    }
    return count;
}

enum api_result api_handle_metadata(struct request *rq, const struct metadata_request *in,
                                    struct metadata_response *out)
{
    struct api_wait *w = arena_calloc(&rq->arena, 1, sizeof *w);
    if (!w) return API_CLOSE;
    api_wait_init(w, rq, finish);
    int created_count = create_missing(rq, in, w);
    if (created_count < 0) return API_CLOSE;
    return created_count ? api_wait_result_posted(w) : api_wait_result(w);
}
