/* DescribeTransactions, key 65 (KIP-664). Control thread (owns transactions). */
#include "broker/txn/txn_store.h"
#include "protocol/api_handlers.h"

static bool fill_topics(struct request *rq, const struct txn *t,
                        struct describe_transactions_response_transaction_state *o)
{
    size_t count = 0;
    for (const struct txn_topic *from = t->topics; from; from = from->next) count++;
    o->topics = arena_calloc(&rq->arena, count + 1, sizeof o->topics[0]);
    if (!o->topics) return false;
    for (const struct txn_topic *from = t->topics; from; from = from->next) {
        struct slice name = slice_make(from->name, from->name_len);
        if (!from->count || !request_authorize(rq, ACL_DESCRIBE, RESOURCE_TOPIC, name)) continue;
        o->topics[o->topics_count++] = (struct describe_transactions_response_topic_data){
            .topic = name, .partitions = from->partitions, .partitions_count = from->count};
    }
    return true;
}

API_HANDLER(describe_transactions)
{
    int32_t count = MAX(in->transactional_ids_count, 0);
    out->transaction_states = arena_calloc(&rq->arena, (size_t)count + 1, sizeof out->transaction_states[0]);
    if (!out->transaction_states) return API_CLOSE;
    for (int32_t i = 0; i < count; i++) {
        struct describe_transactions_response_transaction_state *o =
            &out->transaction_states[out->transaction_states_count++];
        struct slice id = in->transactional_ids[i];
        enum kafka_error error;
        describe_transactions_response_transaction_state_init(o);
        o->transactional_id = id;
        o->transaction_state = SLICE_EMPTY;
        struct txns *ts = txns_for(rq, id, ACL_DESCRIBE, &error);
        if (ts && !id.len) error = KAFKA_INVALID_REQUEST;
        const struct txn *t = ts ? txns_find(ts, id) : NULL;
        if (error == KAFKA_NONE && (!t || t->data.epoch < 0)) error = KAFKA_TRANSACTIONAL_ID_NOT_FOUND;
        o->error_code = (int16_t)error;
        if (error != KAFKA_NONE) continue;
        o->transaction_state = slice_of(txn_state_name((int)t->data.state));
        o->transaction_timeout_ms = t->data.timeout_ms;
        o->transaction_start_time_ms = t->data.start_ms;
        o->producer_id = t->data.producer_id;
        o->producer_epoch = t->data.epoch;
        if (!fill_topics(rq, t, o)) return API_CLOSE;
    }
    return API_REPLY;
}
