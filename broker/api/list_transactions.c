/* ListTransactions, key 66 (KIP-664). Control thread (owns transactions). Words of the filter that name no state are
 * told. v1: only those that have been open for longer than a time (KIP-994). v2: whose id matches a pattern
 * (KIP-1152). */
#include "broker/group/regex.h"
#include "broker/txn/txn_store.h"
#include "protocol/api_handlers.h"

#include <stdlib.h>

/* The state that the word names; -1: none. */
static int state_of(struct slice word)
{
    for (int i = 0; txn_state_name(i); i++)
        if (slice_eq_text(word, txn_state_name(i))) return i;
    return -1;
}

static int id_order(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* states: bits of those that are asked for; the ids of the filter are sorted. pattern: NULL lets every id pass. */
static bool passes(const struct list_transactions_request *in, unsigned states, struct regex *pattern,
                   const struct txn *t, int64_t now_ms)
{
    if (t->data.epoch < 0) return false; /* being made */
    bool state = in->state_filters_count <= 0 || (states >> t->data.state & 1);
    bool producer = in->producer_id_filters_count <= 0 ||
                    bsearch(&t->data.producer_id, in->producer_id_filters, (size_t)in->producer_id_filters_count,
                            sizeof in->producer_id_filters[0], id_order);
    if (!state || !producer || (pattern && !regex_matches(pattern, txn_id(t)))) return false;
    return in->duration_filter < 0 || now_ms - t->data.start_ms > in->duration_filter;
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
    unsigned states = 0;
    for (size_t i = 0; i < count; i++) {
        int state = state_of(in->state_filters[i]);
        if (state >= 0) states |= 1u << state;
        else out->unknown_state_filters[out->unknown_state_filters_count++] = in->state_filters[i];
    }
    if (in->producer_id_filters_count > 0)
        qsort(in->producer_id_filters, (size_t)in->producer_id_filters_count, sizeof in->producer_id_filters[0],
              id_order);
    for (const struct txn *t = ts ? ts->by_id : NULL; t; t = t->hh.next) {
        if (!passes(in, states, pattern, t, rq->now_ms)) continue;
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
