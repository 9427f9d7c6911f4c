/* DescribeClientQuotas, key 48 (KIP-546). Control thread. The quotas whose entities match all components of the filter.
 * The list is empty, not null, where nothing is found: clients walk it. */
#include "broker/api.h"
#include "broker/metadata/metadata.h"
#include "broker/access/quota_store.h"
#include "protocol/api_handlers.h"

static enum kafka_error add_component(const struct describe_client_quotas_request_component_data *c,
                                      struct quota_filter *f, struct err *err)
{
    int type = quota_type_find(c->entity_type);

    if (!c->entity_type.len) return err_set(err, KAFKA_INVALID_REQUEST, "Invalid empty entity type.");
    if (type < 0)
        return err_set(err, KAFKA_UNSUPPORTED_VERSION, "Unsupported entity type " SLICE_FMT, SLICE_ARG(c->entity_type));
    if (f->match[type] != QUOTA_MATCH_NONE)
        return err_set(err, KAFKA_INVALID_REQUEST, "Entity type %s cannot appear more than once in the filter.",
                       quota_type_name((enum quota_type)type));
    if (c->match_type < QUOTA_MATCH_EXACT || c->match_type > QUOTA_MATCH_ANY)
        return err_set(err, KAFKA_INVALID_REQUEST, "Unknown match type %d", c->match_type);
    if (c->match_type == QUOTA_MATCH_EXACT && !c->match.ptr)
        return err_set(err, KAFKA_INVALID_REQUEST, "Request specified MATCH_TYPE_EXACT, but set match string to null.");
    if (c->match_type != QUOTA_MATCH_EXACT && c->match.ptr)
        return err_set(err, KAFKA_INVALID_REQUEST, "Request specified %s, but also specified a match string.",
                       c->match_type == QUOTA_MATCH_DEFAULT ? "MATCH_TYPE_DEFAULT" : "MATCH_TYPE_SPECIFIED");
    f->match[type] = (enum quota_match)c->match_type;
    f->name[type] = c->match;
    return KAFKA_NONE;
}

static enum kafka_error read_filter(const struct describe_client_quotas_request *in, struct quota_filter *f,
                                    struct err *err)
{
    enum kafka_error error = KAFKA_NONE;

    *f = (struct quota_filter){.strict = in->strict};
    for (int t = 0; t < QUOTA_TYPES; t++) f->match[t] = QUOTA_MATCH_NONE;
    for (int32_t i = 0; error == KAFKA_NONE && i < in->components_count; i++)
        error = add_component(&in->components[i], f, err);
    if (error == KAFKA_NONE && f->match[QUOTA_IP] != QUOTA_MATCH_NONE &&
        (f->match[QUOTA_USER] != QUOTA_MATCH_NONE || f->match[QUOTA_CLIENT_ID] != QUOTA_MATCH_NONE))
        error = err_set(
            err, KAFKA_INVALID_REQUEST,
            "Invalid entity filter component combination. IP filter component should not be used with user or clientId "
            "filter component.");
    return error;
}

static bool add_entry(struct request *rq, const struct quota *q, struct describe_client_quotas_response_entry_data *o)
{
    o->entity = arena_calloc(&rq->arena, QUOTA_TYPES, sizeof o->entity[0]);
    o->values = arena_calloc(&rq->arena, QUOTA_KEYS, sizeof o->values[0]);
    if (!o->entity || !o->values) return false;
    for (int t = 0; t < QUOTA_TYPES; t++)
        if (q->entity.has[t])
            o->entity[o->entity_count++] = (struct describe_client_quotas_response_entity_data){
                .entity_type = slice_of(quota_type_name((enum quota_type)t)), .entity_name = q->entity.name[t]};
    for (int k = 0; k < QUOTA_KEYS; k++)
        if (q->has[k])
            o->values[o->values_count++] = (struct describe_client_quotas_response_value_data){
                .key = slice_of(quota_key_name((enum quota_key)k)), .value = q->value[k]};
    return true;
}

API_HANDLER(describe_client_quotas)
{
    const struct shared_set *quotas = request_metadata(rq)->quotas;
    struct quota_filter filter;
    struct err err = ERR_NONE;

    out->entries_count = 0;
    enum kafka_error refused = request_refused(rq);
    if (refused != KAFKA_NONE) err_set(&err, refused, "%s", kafka_error_text(refused));
    else if (read_filter(in, &filter, &err) == KAFKA_NONE) {
        out->entries = arena_calloc(&rq->arena, (size_t)quotas->count + 1, sizeof out->entries[0]);
        if (!out->entries) return API_CLOSE;
        for (int32_t i = 0; i < quotas->count; i++)
            if (quota_matches(&quota_at(quotas, i)->entity, &filter) &&
                !add_entry(rq, quota_at(quotas, i), &out->entries[out->entries_count++]))
                return API_CLOSE;
    }
    if (err.code) {
        out->error_code = (int16_t)err.code;
        out->error_message = slice_of(arena_strdup(&rq->arena, err.text));
        out->entries_count = -1;
    }
    return API_REPLY;
}
