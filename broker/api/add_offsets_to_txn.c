/* AddOffsetsToTxn, key 25. Control thread (owns transactions). Adds the partition of `__consumer_offsets` that keeps
 * the group; the log is made if there is none. */
#include "broker/api/wait.h"
#include "broker/group/group_store.h"
#include "broker/txn/txn_store.h"
#include "protocol/api_handlers.h"

#define VERSION_OF_FENCED 2 /* knows PRODUCER_FENCED */

struct add {
    struct txn_call call;
    struct api_wait *wait;
    const struct add_offsets_to_txn_request *in;
    struct add_offsets_to_txn_response *out;
};

static void answer(struct txn_call *call, const struct txn_result *result)
{
    struct add *a = container_of(call, struct add, call);
    enum kafka_error error = result->error;
    if (error == KAFKA_PRODUCER_FENCED && a->wait->rq->version < VERSION_OF_FENCED)
        error = KAFKA_INVALID_PRODUCER_EPOCH;
    a->out->error_code = (int16_t)error;
    api_wait_done(a->wait);
}

static void log_there(void *arg, enum kafka_error error)
{
    struct add *a = arg;
    struct request *rq = a->wait->rq;
    struct txn_add_partition partition = {.topic = SLICE(TOPIC_OFFSETS)};
    struct txns *ts = NULL;
    if (error == KAFKA_NONE && !groups_partition_of(rq->broker, a->in->group_id, &partition.partition))
        error = KAFKA_COORDINATOR_NOT_AVAILABLE;
    if (error == KAFKA_NONE) ts = txns_for(rq, a->in->transactional_id, ACL_WRITE, &error);
    if (!ts) {
        answer(&a->call, &(struct txn_result){.error = error});
        return;
    }
    struct txn_producer who = {
        .id = a->in->transactional_id, .producer_id = a->in->producer_id, .epoch = a->in->producer_epoch};
    txn_add(ts, &who, 0, &partition, 1, &a->call);
}

API_HANDLER(add_offsets_to_txn)
{
    struct add *a = arena_calloc(&rq->arena, 1, sizeof *a);
    struct api_wait *w = api_wait_new(rq);
    if (!a || !w) return API_CLOSE;
    *a = (struct add){.call.answer = answer, .wait = w, .in = in, .out = out};
    if (!request_authorize(rq, ACL_READ, RESOURCE_GROUP, in->group_id)) {
        out->error_code = KAFKA_GROUP_AUTHORIZATION_FAILED;
        return API_REPLY;
    }
    groups_log_ensure(rq->broker, log_there, a);
    return api_wait_result(w);
}
