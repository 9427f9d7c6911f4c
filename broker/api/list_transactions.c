/* ListTransactions, key 66 (KIP-664). This broker coordinates no transactions: the list is empty. Words of the filter
 * that name no state are told. */
#include "broker/api.h"
#include "protocol/api_handlers.h"

static bool is_state(struct slice word)
{
    static const char *const states[] = {"Empty",          "Ongoing",       "PrepareCommit", "PrepareAbort",
                                         "CompleteCommit", "CompleteAbort", "Dead",          "PrepareEpochFence"};
    for (size_t i = 0; i < countof(states); i++)
        if (slice_eq_text(word, states[i])) return true;
    return false;
}

API_HANDLER(list_transactions)
{
    size_t count = (size_t)MAX(in->state_filters_count, 0);
    out->unknown_state_filters = arena_calloc(&rq->arena, count + 1, sizeof out->unknown_state_filters[0]);
    if (!out->unknown_state_filters) return API_CLOSE;
    for (size_t i = 0; i < count; i++)
        if (!is_state(in->state_filters[i]))
            out->unknown_state_filters[out->unknown_state_filters_count++] = in->state_filters[i];
    return API_REPLY;
}
