/* FindCoordinator, key 10. Control thread (makes `__consumer_offsets` for the first group, `__transaction_state` for the
 * first transactional id). v4+ asks for several keys. This broker coordinates all groups and transactions; the coordinator
 * of share partitions is asked for by brokers only, and there is one. */
#include "broker/api/wait.h"
#include "broker/group_store.h"
#include "broker/txn_store.h"
#include "protocol/api_handlers.h"

enum key_type { KEY_GROUP = 0, KEY_TRANSACTION = 1, KEY_SHARE = 2 };

struct find {
    struct api_wait *wait;
    const struct find_coordinator_request *in;
    struct find_coordinator_response *out;
};

static void fill(struct request *rq, const struct find_coordinator_request *in, struct slice key,
                 enum kafka_error error, const char *text, struct find_coordinator_response_coordinator *ret)
{
    bool txn = in->key_type == KEY_TRANSACTION;
    if (error == KAFKA_NONE &&
        !request_authorize(rq, ACL_DESCRIBE, txn ? RESOURCE_TRANSACTIONAL_ID : RESOURCE_GROUP, key)) {
        error = txn ? KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED : KAFKA_GROUP_AUTHORIZATION_FAILED;
        text = kafka_error_text(error);
    }
    ret->key = key;
    ret->error_code = (int16_t)error;
    ret->error_message = error == KAFKA_NONE ? SLICE_EMPTY : slice_of(text);
    ret->node_id = -1;
    ret->port = -1;
    ret->host = SLICE_EMPTY;
    if (error != KAFKA_NONE) return;
    ret->node_id = (int32_t)broker_config(rq->broker)->node_id;
    request_advertised(rq, &ret->host, &ret->port);
}

static void answer(void *arg, enum kafka_error error)
{
    struct find *f = arg;
    struct request *rq = f->wait->rq;
    const char *text = error == KAFKA_NONE ? NULL : kafka_error_text(error);
    bool txn = f->in->key_type == KEY_TRANSACTION;
    if (error == KAFKA_NONE && !txn && f->in->key_type != KEY_GROUP) {
        error = KAFKA_INVALID_REQUEST;
        text = "This broker has no coordinator of this type.";
    }
    if (rq->version < 4) {
        struct find_coordinator_response_coordinator one;
        fill(rq, f->in, f->in->key, error, text, &one);
        f->out->error_code = one.error_code;
        f->out->error_message = one.error_message;
        f->out->node_id = one.node_id;
        f->out->host = one.host;
        f->out->port = one.port;
    }
    for (int32_t i = 0; i < f->out->coordinators_count; i++)
        fill(rq, f->in, f->in->coordinator_keys[i], error, text, &f->out->coordinators[i]);
    api_wait_done(f->wait);
}

API_HANDLER(find_coordinator)
{
    struct find *f = arena_calloc(&rq->arena, 1, sizeof *f);
    struct api_wait *w = api_wait_new(rq);
    if (!f || !w) return API_CLOSE;
    if (rq->version >= 4) {
        out->coordinators_count = in->coordinator_keys_count;
        out->coordinators =
            arena_calloc(&rq->arena, (size_t)in->coordinator_keys_count + 1, sizeof out->coordinators[0]);
        if (!out->coordinators) return API_CLOSE;
    }
    *f = (struct find){.wait = w, .in = in, .out = out};
    if (in->key_type == KEY_GROUP) groups_log_ensure(rq->broker, answer, f);
    else if (in->key_type == KEY_TRANSACTION) txns_log_ensure(rq->broker, answer, f);
    else answer(f, KAFKA_NONE);
    return api_wait_result(w);
}
