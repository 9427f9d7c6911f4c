/* InitProducerId, key 22. Control thread (metadata). A producer without transactional id gets a fresh id with epoch 0;
 * what v3+ sends to bump an epoch is meant for transactions and ignored. Transactions are not served:
 * UNSUPPORTED_VERSION. */
#include "broker/api/wait.h"
#include "broker/metadata.h"
#include "broker/producer_ids.h"
#include "protocol/api_handlers.h"

struct init {
    struct producer_id_call call;
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

static enum kafka_error refuse_transactional(struct request *rq, const struct init_producer_id_request *in)
{
    if (!in->transactional_id.len) return KAFKA_INVALID_REQUEST;
    if (!request_authorize(rq, ACL_WRITE, RESOURCE_TRANSACTIONAL_ID, in->transactional_id))
        return KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    if (in->transaction_timeout_ms < 1 ||
        in->transaction_timeout_ms > request_metadata(rq)->config->transaction_max_timeout_ms)
        return KAFKA_INVALID_TRANSACTION_TIMEOUT;
    return KAFKA_UNSUPPORTED_VERSION;
}

/* Who may write to some topic may do so without repeats. */
static bool may_write(struct request *rq)
{
    const struct metadata *m = request_metadata(rq);
    if (request_authorize(rq, ACL_IDEMPOTENT_WRITE, RESOURCE_CLUSTER, SLICE("kafka-cluster"))) return true;
    for (int32_t i = 0; i < m->topics_count; i++)
        if (request_authorize(rq, ACL_WRITE, RESOURCE_TOPIC, slice_of(m->topics[i]->name))) return true;
    return false;
}

API_HANDLER(init_producer_id)
{
    out->producer_id = -1;
    out->producer_epoch = -1;
    if (in->transactional_id.ptr) {
        out->error_code = (int16_t)refuse_transactional(rq, in);
        return API_REPLY;
    }
    if (!may_write(rq)) {
        out->error_code = KAFKA_CLUSTER_AUTHORIZATION_FAILED;
        return API_REPLY;
    }
    struct init *i = arena_calloc(&rq->arena, 1, sizeof *i);
    struct api_wait *w = api_wait_new(rq);
    if (!i || !w) return API_CLOSE;
    *i = (struct init){.call.answer = answer, .wait = w, .out = out};
    producer_ids_take(rq->broker, &i->call);
    return api_wait_result(w);
}
