/* InitProducerId, key 22. Control thread (owns transactions). A producer without transactional id gets a fresh id with
 * epoch 0. One with a transactional id gets the next epoch, which fences its predecessor; what that has begun is
 * aborted first (CONCURRENT_TRANSACTIONS: it comes again). v3+ says what it has, to go on after an error (KIP-360). */
#include "broker/api/wait.h"
#include "broker/metadata/metadata.h"
#include "broker/txn/producer_ids.h"
#include "broker/txn/txn_store.h"
#include "protocol/api_handlers.h"

#define VERSION_OF_FENCED 4 /* knows PRODUCER_FENCED */

struct init {
    struct producer_id_call call;
    struct txn_call txn_call;
    struct api_wait *wait;
    struct init_producer_id_response *out;
};

static void answer(struct producer_id_call *call, enum kafka_error error, int64_t producer_id)
{
    struct init *i = container_of(call, struct init, call);
    i->out->error_code = (int16_t)error;
    i->out->producer_id = error == KAFKA_NONE ? producer_id : -1;
    i->out->producer_epoch = error == KAFKA_NONE ? 0 : -1;
    api_wait_done(i->wait);
}

static void answer_txn(struct txn_call *call, const struct txn_result *result)
{
    struct init *i = container_of(call, struct init, txn_call);
    enum kafka_error error = result->error;
    if (error == KAFKA_PRODUCER_FENCED && i->wait->rq->version < VERSION_OF_FENCED)
        error = KAFKA_INVALID_PRODUCER_EPOCH;
    i->out->error_code = (int16_t)error;
    i->out->producer_id = result->producer_id;
    i->out->producer_epoch = result->epoch;
    api_wait_done(i->wait);
}

/* Who may write to some topic may do so without repeats. */
static bool may_write(struct request *rq)
{
    const struct metadata *m = request_metadata(rq);
    if (request_authorize_cluster(rq, ACL_IDEMPOTENT_WRITE)) return true;
    for (int32_t i = 0; i < m->topics_count; i++)
        if (request_authorize(rq, ACL_WRITE, RESOURCE_TOPIC, slice_of(m->topics[i]->name))) return true;
    return false;
}

static enum kafka_error check(struct request *rq, const struct init_producer_id_request *in)
{
    if ((in->producer_id < 0) != (in->producer_epoch < 0)) return KAFKA_INVALID_REQUEST;
    if (!in->transactional_id.ptr) return may_write(rq) ? KAFKA_NONE : KAFKA_CLUSTER_AUTHORIZATION_FAILED;
    if (!in->transactional_id.len) return KAFKA_INVALID_REQUEST;
    if (in->transaction_timeout_ms < 1 ||
        in->transaction_timeout_ms > request_metadata(rq)->config->transaction_max_timeout_ms)
        return KAFKA_INVALID_TRANSACTION_TIMEOUT;
    return KAFKA_NONE;
}

API_HANDLER(init_producer_id)
{
    struct init *i = arena_calloc(&rq->arena, 1, sizeof *i);
    struct api_wait *w = api_wait_new(rq);
    if (!i || !w) return API_CLOSE;
    *i = (struct init){.call.answer = answer, .txn_call.answer = answer_txn, .wait = w, .out = out};
    out->producer_id = -1;
    out->producer_epoch = -1;
    enum kafka_error error = check(rq, in);
    struct txns *ts = NULL;
    if (error == KAFKA_NONE && in->transactional_id.ptr) ts = txns_for(rq, in->transactional_id, ACL_WRITE, &error);
    if (error != KAFKA_NONE) {
        out->error_code = (int16_t)error;
        return API_REPLY;
    }
    if (ts)
        txn_init(ts,
                 &(struct txn_init){.id = in->transactional_id,
                                    .timeout_ms = in->transaction_timeout_ms,
                                    .expected_producer_id = in->producer_id,
                                    .expected_epoch = in->producer_epoch},
                 &i->txn_call);
    else producer_ids_take(rq->broker, &i->call);
    return api_wait_result(w);
}
