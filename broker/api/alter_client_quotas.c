/* AlterClientQuotas, key 49 (KIP-546). Control thread (owns the metadata). Each entity has its own answer and changes
 * whole or not at all. */
#include "broker/api/wait.h"
#include "broker/metadata/metadata.h"
#include "broker/access/quota_store.h"
#include "protocol/api_handlers.h"

static void committed(void *arg, enum kafka_error error)
{
    struct api_wait *w = arg;
    struct alter_client_quotas_response *out = w->rq->out;

    for (int32_t i = 0; error != KAFKA_NONE && i < out->entries_count; i++) {
        if (out->entries[i].error_code) continue;
        out->entries[i].error_code = (int16_t)error;
        out->entries[i].error_message = slice_of(kafka_error_text(error));
    }
    api_wait_done(w);
}

static enum kafka_error read_entity(const struct alter_client_quotas_request_entry_data *in, struct quota_entity *e,
                                    struct err *err)
{
    for (int32_t i = 0; i < in->entity_count; i++) {
        int type = quota_type_find(in->entity[i].entity_type);
        if (type < 0)
            return err_set(err, KAFKA_INVALID_REQUEST, "Unhandled client quota entity type: " SLICE_FMT,
                           SLICE_ARG(in->entity[i].entity_type));
        if (e->has[type])
            return err_set(err, KAFKA_INVALID_REQUEST, "Duplicate entity type: %s",
                           quota_type_name((enum quota_type)type));
        e->has[type] = true;
        e->name[type] = in->entity[i].entity_name;
    }
    return quota_entity_check(e, err);
}

/* One entry of the request, with its entity read. */
struct alteration {
    const struct alter_client_quotas_request_entry_data *entry;
    struct alter_client_quotas_response_entry_data *result;
    struct quota_entity entity;
};

/* A key that the entity cannot have is never set: to remove it is no error, as in Kafka. */
static bool removes_nothing(const struct quota_entity *e, const struct alter_client_quotas_request_op_data *op)
{
    return op->remove && !quota_key_suits(e, quota_key_find(op->key));
}

/* Everything is checked before anything is changed. */
static enum kafka_error apply(struct metadata_change *c, const struct alteration *a, struct err *err)
{
    const struct alter_client_quotas_request_entry_data *entry = a->entry;
    const struct quota_entity *e = &a->entity;
    bool seen[QUOTA_KEYS] = {false};
    enum kafka_error error = KAFKA_NONE;

    for (int32_t i = 0; error == KAFKA_NONE && i < entry->ops_count; i++) {
        if (removes_nothing(e, &entry->ops[i])) continue;
        /* The value of a removal says nothing. */
        error = quota_value_check(e, entry->ops[i].key, entry->ops[i].remove ? 1 : entry->ops[i].value, err);
        int key = quota_key_find(entry->ops[i].key);
        if (error == KAFKA_NONE && seen[key])
            error = err_set(err, KAFKA_INVALID_REQUEST, "Duplicate quota key %s", quota_key_name((enum quota_key)key));
        if (error == KAFKA_NONE) seen[key] = true;
    }
    for (int32_t i = 0; error == KAFKA_NONE && i < entry->ops_count; i++)
        if (!removes_nothing(e, &entry->ops[i]))
            error = quota_change_set(c, e, (enum quota_key)quota_key_find(entry->ops[i].key),
                                     entry->ops[i].remove ? NULL : &entry->ops[i].value, err);
    return error;
}

/* The same entities side by side, in the order of the request. */
static int compare(const void *a, const void *b)
{
    const struct alteration *x = a, *y = b;
    int r = quota_entity_compare(&x->entity, &y->entity);
    return r ? r : (x->entry > y->entry) - (x->entry < y->entry);
}

static void answer(struct request *rq, struct alter_client_quotas_response_entry_data *o, const struct err *err)
{
    o->error_code = (int16_t)err->code;
    o->error_message = err->code ? slice_of(arena_strdup(&rq->arena, err->text)) : SLICE_NULL;
}

static bool echo_entity(struct request *rq, const struct alter_client_quotas_request_entry_data *in,
                        struct alter_client_quotas_response_entry_data *o)
{
    o->entity = arena_calloc(&rq->arena, (size_t)MAX(in->entity_count, 0) + 1, sizeof o->entity[0]);
    if (!o->entity) return false;
    for (int32_t i = 0; i < in->entity_count; i++)
        o->entity[o->entity_count++] = (struct alter_client_quotas_response_entity_data){
            .entity_type = in->entity[i].entity_type, .entity_name = in->entity[i].entity_name};
    return true;
}

API_HANDLER(alter_client_quotas)
{
    int32_t count = MAX(in->entries_count, 0);
    enum kafka_error refused = request_refused(rq);
    struct api_wait *w = api_wait_new(rq);
    struct alteration *all = arena_calloc(&rq->arena, (size_t)count + 1, sizeof *all);

    out->entries = arena_calloc(&rq->arena, (size_t)count + 1, sizeof out->entries[0]);
    if (!w || !all || !out->entries) return API_CLOSE;
    for (int32_t i = 0; i < count; i++)
        if (!echo_entity(rq, &in->entries[i], &out->entries[i])) return API_CLOSE;
    out->entries_count = count;

    struct metadata_change *c = metadata_change_begin(rq->broker);
    int32_t readable = 0;
    for (int32_t i = 0; i < count; i++) {
        struct alteration *a = &all[readable];
        struct err err = ERR_NONE;
        *a = (struct alteration){.entry = &in->entries[i], .result = &out->entries[i]};
        if (refused != KAFKA_NONE) err_set(&err, refused, "%s", kafka_error_text(refused));
        else if (read_entity(a->entry, &a->entity, &err) == KAFKA_NONE) readable++;
        answer(rq, &out->entries[i], &err);
    }
    qsort(all, (size_t)readable, sizeof *all, compare);
    for (int32_t i = 0; i < readable; i++) {
        struct err err = ERR_NONE;
        if (i > 0 && quota_entity_compare(&all[i - 1].entity, &all[i].entity) == 0)
            err_set(&err, KAFKA_INVALID_REQUEST, "Ignoring duplicate entity");
        else (void)apply(c, &all[i], &err);
        answer(rq, all[i].result, &err);
    }
    if (in->validate_only) {
        metadata_change_abort(c);
        return API_REPLY;
    }
    metadata_change_commit(c, committed, w);
    return api_wait_result(w);
}
