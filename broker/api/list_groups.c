/* ListGroups, key 16. Control thread (owns groups). v4: filter by state (KIP-518), v5: by type (KIP-848). */
#include "broker/group_store.h"
#include "protocol/api_handlers.h"

#include <strings.h>

/* No filter passes all; words are compared without regard to case. */
static bool passes(const struct slice *filter, int32_t count, const char *word)
{
    for (int32_t i = 0; i < count; i++)
        if (filter[i].len == strlen(word) && strncasecmp((const char *)filter[i].ptr, word, filter[i].len) == 0)
            return true;
    return count <= 0;
}

API_HANDLER(list_groups)
{
    enum kafka_error error;
    struct groups *gs = groups_for_all(rq, &error);
    if (!gs) {
        out->error_code = (int16_t)error;
        return API_REPLY;
    }
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
