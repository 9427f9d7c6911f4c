/* EndTxn, key 26. Control thread (owns transactions). Answered when the markers are written. v5: transactions version
 * 2, which gives the producer its next epoch (KIP-890). */
#include "broker/api/wait.h"
#include "broker/txn/txn_store.h"
#include "protocol/api_handlers.h"

#define VERSION_OF_FENCED 2 /* knows PRODUCER_FENCED */
#define VERSION_OF_TXN_2  5

struct end {
    struct txn_call call;
    struct api_wait *wait;
    struct end_txn_response *out;
};

static void answer(struct txn_call *call, const struct txn_result *result)
{
    struct end *e = container_of(call, struct end, call);
    enum kafka_error error = result->error;
    if (error == KAFKA_PRODUCER_FENCED && e->wait->rq->version < VERSION_OF_FENCED)
        error = KAFKA_INVALID_PRODUCER_EPOCH;
    e->out->error_code = (int16_t)error;
    e->out->producer_id = result->producer_id;
    e->out->producer_epoch = result->epoch;
    api_wait_done(e->wait);
}

API_HANDLER(end_txn)
{
    struct end *e = arena_calloc(&rq->arena, 1, sizeof *e);
    struct api_wait *w = api_wait_new(rq);
    if (!e || !w) return API_CLOSE;
    *e = (struct end){.call.answer = answer, .wait = w, .out = out};
    out->producer_id = -1;
    out->producer_epoch = -1;
    enum kafka_error error;
    struct txns *ts = txns_for(rq, in->transactional_id, ACL_WRITE, &error);
    if (!ts) {
        out->error_code = (int16_t)error;
        return API_REPLY;
    }
    txn_end(
        ts,
        &(struct txn_producer){.id = in->transactional_id, .producer_id = in->producer_id, .epoch = in->producer_epoch},
        rq->version >= VERSION_OF_TXN_2 ? TXN_VERSION_2 : 0, in->committed, &e->call);
    return api_wait_result(w);
}
