/* ListTransactions, key 66 (KIP-664). Control thread (owns transactions). Words of the filter that name no state are
 * told. v1: only those that have been open for longer than a time (KIP-994). v2: whose id matches a pattern
 * (KIP-1152). */
#include "broker/regex.h"
#include "broker/txn_store.h"
#include "protocol/api_handlers.h"

static bool is_state(struct slice word)
{
    for (int i = 0; txn_state_name(i); i++)
        if (slice_eq_text(word, txn_state_name(i))) return true;
    return false;
}

/* pattern: NULL lets every id pass. */
static bool passes(const struct list_transactions_request *in, struct regex *pattern, const struct txn *t,
                   int64_t now_ms)
{
    bool state = in->state_filters_count <= 0, producer = in->producer_id_filters_count <= 0;
    if (t->data.epoch < 0) return false; /* being made */
    for (int32_t i = 0; !state && i < in->state_filters_count; i++)
        state = slice_eq_text(in->state_filters[i], txn_state_name((int)t->data.state));
    for (int32_t i = 0; !producer && i < in->producer_id_filters_count; i++)
        producer = in->producer_id_filters[i] == t->data.producer_id;
    if (pattern && !regex_matches(pattern, txn_id(t))) return false;
    return state && producer && (in->duration_filter < 0 || now_ms - t->data.start_ms > in->duration_filter);
}

API_HANDLER(list_transactions)
{
    enum kafka_error error;
    struct regex *pattern = NULL;
    if (in->transactional_id_pattern.len > 0) {
        pattern = regex_compile(in->transactional_id_pattern, NULL);
        if (!pattern) {
            out->error_code = KAFKA_INVALID_REGULAR_EXPRESSION;
            return API_REPLY;
        }
    }
    size_t count = (size_t)MAX(in->state_filters_count, 0);
    out->unknown_state_filters = arena_calloc(&rq->arena, count + 1, sizeof out->unknown_state_filters[0]);
    struct txns *ts = txns_for_all(rq, &error);
    size_t txns_count = ts ? HASH_COUNT(ts->by_id) : 0;
    out->transaction_states = arena_calloc(&rq->arena, txns_count + 1, sizeof out->transaction_states[0]);
    if (!out->unknown_state_filters || !out->transaction_states) {
        regex_free(pattern);
        return API_CLOSE;
    }
    out->error_code = (int16_t)error;
    for (size_t i = 0; i < count; i++)
        if (!is_state(in->state_filters[i]))
            out->unknown_state_filters[out->unknown_state_filters_count++] = in->state_filters[i];
    for (const struct txn *t = ts ? ts->by_id : NULL; t; t = t->hh.next) {
        if (!passes(in, pattern, t, rq->now_ms)) continue;
        if (!request_authorize(rq, ACL_DESCRIBE, RESOURCE_TRANSACTIONAL_ID, txn_id(t))) continue;
        out->transaction_states[out->transaction_states_count++] =
            (struct list_transactions_response_transaction_state){
                .transactional_id = txn_id(t),
                .producer_id = t->data.producer_id,
                .transaction_state = slice_of(txn_state_name((int)t->data.state)),
            };
    }
    regex_free(pattern);
    return API_REPLY;
}
