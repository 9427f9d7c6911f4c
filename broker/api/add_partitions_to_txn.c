/* AddPartitionsToTxn, key 24. Control thread (owns transactions). All partitions of a transaction are added, or none:
 * when one of them is not allowed or does not exist, the others are OPERATION_NOT_ATTEMPTED. v4+ has several
 * transactions, which may be only verified; it is meant for brokers, and served to whoever may do what brokers do. */
#include "broker/api/wait.h"
#include "broker/partition.h"
#include "broker/txn/txn_store.h"
#include "protocol/api_handlers.h"

#define VERSION_OF_FENCED 2 /* knows PRODUCER_FENCED */
#define VERSION_OF_BATCH  4

/* One transaction of the request. */
struct add {
    struct txn_call call;
    struct api_wait *wait;
    struct txn_producer who;
    const struct add_partitions_to_txn_request_topic *topics;
    int32_t topics_count;
    struct add_partitions_to_txn_response_topic_result *results; /* as many, filled with what is known before */
};

static void fill_all(struct add *a, enum kafka_error error)
{
    if (error == KAFKA_PRODUCER_FENCED && a->wait->rq->version < VERSION_OF_FENCED)
        error = KAFKA_INVALID_PRODUCER_EPOCH;
    for (int32_t t = 0; t < a->topics_count; t++)
        for (int32_t p = 0; p < a->results[t].results_by_partition_count; p++)
            a->results[t].results_by_partition[p].partition_error_code = (int16_t)error;
}

static void added(struct txn_call *call, const struct txn_result *result)
{
    struct add *a = container_of(call, struct add, call);
    fill_all(a, result->error);
    api_wait_done(a->wait);
}

static bool prepare(struct request *rq, struct add *a)
{
    a->results = arena_calloc(&rq->arena, (size_t)MAX(a->topics_count, 0) + 1, sizeof a->results[0]);
    if (!a->results) return false;
    for (int32_t t = 0; t < a->topics_count; t++) {
        struct add_partitions_to_txn_response_topic_result *to = &a->results[t];
        int32_t count = MAX(a->topics[t].partitions_count, 0);
        to->name = a->topics[t].name;
        to->results_by_partition = arena_calloc(&rq->arena, (size_t)count + 1, sizeof to->results_by_partition[0]);
        if (!to->results_by_partition) return false;
        to->results_by_partition_count = count;
        for (int32_t p = 0; p < count; p++) to->results_by_partition[p].partition_index = a->topics[t].partitions[p];
    }
    return true;
}

static enum kafka_error check_topic(struct request *rq, const struct metadata_topic *t, struct slice name,
                                    int32_t partition)
{
    if (!request_authorize(rq, ACL_WRITE, RESOURCE_TOPIC, name)) return KAFKA_TOPIC_AUTHORIZATION_FAILED;
    if (t && t->internal) return KAFKA_TOPIC_AUTHORIZATION_FAILED;
    return !t || partition < 0 || partition >= t->partitions_count ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : KAFKA_NONE;
}

/* False: some partition cannot be added; all answers are filled. */
static bool check_topics(struct request *rq, struct add *a, uint32_t *ret_count)
{
    const struct metadata *m = request_metadata(rq);
    bool ok = true;
    *ret_count = 0;
    for (int32_t t = 0; t < a->topics_count; t++) {
        const struct metadata_topic *topic = metadata_topic(m, a->topics[t].name);
        for (int32_t p = 0; p < a->topics[t].partitions_count; p++, ++*ret_count) {
            enum kafka_error error = check_topic(rq, topic, a->topics[t].name, a->topics[t].partitions[p]);
            a->results[t].results_by_partition[p].partition_error_code = (int16_t)error;
            ok &= error == KAFKA_NONE;
        }
    }
    if (ok) return true;
    for (int32_t t = 0; t < a->topics_count; t++)
        for (int32_t p = 0; p < a->topics[t].partitions_count; p++) {
            int16_t *error = &a->results[t].results_by_partition[p].partition_error_code;
            if (*error == KAFKA_NONE) *error = KAFKA_OPERATION_NOT_ATTEMPTED;
        }
    return false;
}

static bool add(struct request *rq, struct add *a, struct txns *ts, uint32_t count)
{
    uint32_t at = 0;
    struct txn_add_partition *partitions = arena_calloc(&rq->arena, (size_t)count + 1, sizeof *partitions);
    if (!partitions) return false;
    for (int32_t t = 0; t < a->topics_count; t++)
        for (int32_t p = 0; p < a->topics[t].partitions_count; p++)
            partitions[at++] =
                (struct txn_add_partition){.topic = a->topics[t].name, .partition = a->topics[t].partitions[p]};
    api_wait_more(a->wait);
    txn_add(ts, &a->who, 0, partitions, count, &a->call);
    return true;
}

static void verify(struct add *a, struct txns *ts)
{
    for (int32_t t = 0; t < a->topics_count; t++)
        for (int32_t p = 0; p < a->topics[t].partitions_count; p++)
            a->results[t].results_by_partition[p].partition_error_code =
                (int16_t)txn_verify(ts, &a->who, a->topics[t].name, a->topics[t].partitions[p]);
}

/* False: no memory. */
static bool begin(struct request *rq, struct add *a, bool verify_only)
{
    enum kafka_error error;
    uint32_t count;
    if (!prepare(rq, a)) return false;
    a->call.answer = added;
    struct txns *ts = txns_for(rq, a->who.id, ACL_WRITE, &error);
    if (!ts && error == KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED) fill_all(a, error);
    else if (!check_topics(rq, a, &count)) return true; /* before the coordinator is asked, as in Kafka */
    else if (!ts) fill_all(a, error);
    else if (verify_only) verify(a, ts);
    else return add(rq, a, ts, count);
    return true;
}

static bool begin_batch(struct request *rq, const struct add_partitions_to_txn_request *in, struct add *adds,
                        struct add_partitions_to_txn_response *out)
{
    out->results_by_transaction =
        arena_calloc(&rq->arena, (size_t)MAX(in->transactions_count, 0) + 1, sizeof out->results_by_transaction[0]);
    if (!out->results_by_transaction) return false;
    for (int32_t i = 0; i < in->transactions_count; i++) {
        const struct add_partitions_to_txn_request_transaction *from = &in->transactions[i];
        struct add *a = &adds[i];
        a->who = (struct txn_producer){
            .id = from->transactional_id, .producer_id = from->producer_id, .epoch = from->producer_epoch};
        a->topics = from->topics;
        a->topics_count = from->topics_count;
        if (!begin(rq, a, from->verify_only)) return false;
        out->results_by_transaction[out->results_by_transaction_count++] =
            (struct add_partitions_to_txn_response_result){.transactional_id = from->transactional_id,
                                                           .topic_results = a->results,
                                                           .topic_results_count = a->topics_count};
    }
    return true;
}

API_HANDLER(add_partitions_to_txn)
{
    bool batch = rq->version >= VERSION_OF_BATCH;
    int32_t count = batch ? MAX(in->transactions_count, 0) : 1;
    struct add *adds = arena_calloc(&rq->arena, (size_t)count + 1, sizeof *adds);
    struct api_wait *w = arena_calloc(&rq->arena, 1, sizeof *w);
    if (!adds || !w) return API_CLOSE;
    api_wait_init(w, rq, NULL);
    for (int32_t i = 0; i < count; i++) adds[i].wait = w;
    if (batch) {
        if (!request_authorize_cluster(rq, ACL_CLUSTER_ACTION)) {
            out->error_code = KAFKA_CLUSTER_AUTHORIZATION_FAILED;
            return API_REPLY;
        }
        if (!begin_batch(rq, in, adds, out)) return api_wait_give_up(w);
    } else {
        adds->who = (struct txn_producer){.id = in->v3_and_below_transactional_id,
                                          .producer_id = in->v3_and_below_producer_id,
                                          .epoch = in->v3_and_below_producer_epoch};
        adds->topics = in->v3_and_below_topics;
        adds->topics_count = in->v3_and_below_topics_count;
        if (!begin(rq, adds, false)) return API_CLOSE;
        out->results_by_topic_v3_and_below = adds->results;
        out->results_by_topic_v3_and_below_count = adds->topics_count;
    }
    return api_wait_result(w);
}
