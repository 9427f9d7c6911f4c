/* ListGroups, key 16. Control thread (owns groups). v4: filter by state (KIP-518), v5: by type (KIP-848). */
#include "broker/group/group_store.h"
#include "protocol/api_handlers.h"

#include <stdlib.h>
#include <strings.h>

/* Words without regard to case. */
static int word_order(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;
    uint32_t len = MIN(x->len, y->len);
    int order = len ? strncasecmp((const char *)x->ptr, (const char *)y->ptr, len) : 0;
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

static void sort_words(struct slice *filter, int32_t count)
{
    if (count > 0) qsort(filter, (size_t)count, sizeof *filter, word_order);
}

/* No filter passes all; it is sorted. */
static bool passes(const struct slice *filter, int32_t count, const char *word)
{
    const struct slice key = slice_of(word);
    return count <= 0 || bsearch(&key, filter, (size_t)count, sizeof key, word_order) != NULL;
}

API_HANDLER(list_groups)
{
    enum kafka_error error;
    struct groups *gs = groups_for_all(rq, &error);
    if (!gs) {
        out->error_code = (int16_t)error;
        return API_REPLY;
    }
    sort_words(in->states_filter, in->states_filter_count);
    sort_words(in->types_filter, in->types_filter_count);
    bool all = request_authorize_cluster(rq, ACL_DESCRIBE);
    out->groups = arena_calloc(&rq->arena, HASH_COUNT(gs->by_id) + 1, sizeof out->groups[0]);
    if (!out->groups) return API_CLOSE;
    for (const struct group *g = gs->by_id; g; g = g->hh.next) {
        const char *state = g->type->state_name(g);
        if (!passes(in->states_filter, in->states_filter_count, state)) continue;
        if (!passes(in->types_filter, in->types_filter_count, g->type->name)) continue;
        if (!all && !request_authorize(rq, ACL_DESCRIBE, RESOURCE_GROUP, group_id(g))) continue;
        out->groups[out->groups_count++] = (struct list_groups_response_listed_group){
            .group_id = group_id(g),
            .protocol_type = g->type->protocol_type(g),
            .group_state = slice_of(state),
            .group_type = slice_of(g->type->name),
        };
    }
    return API_REPLY;
}
