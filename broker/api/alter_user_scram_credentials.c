/* AlterUserScramCredentials, key 51 (KIP-554). Control thread (owns the metadata). A user may appear once in a request, as
 * in Kafka's controller, whatever the mechanisms; each user has one answer, and the others proceed. */
#include "broker/api/wait.h"
#include "broker/metadata.h"
#include "broker/scram_store.h"
#include "protocol/api_handlers.h"

/* One deletion or upsertion. */
struct alteration {
    struct scram_upsertion upsertion;
    bool deletion;
    int32_t order; /* in the request, deletions first */
};

static void committed(void *arg, enum kafka_error error)
{
    struct api_wait *w = arg;
    struct alter_user_scram_credentials_response *out = w->arg;

    for (int32_t i = 0; error != KAFKA_NONE && i < out->results_count; i++) {
        if (out->results[i].error_code) continue;
        out->results[i].error_code = (int16_t)error;
        out->results[i].error_message = slice_of(kafka_error_text(error));
    }
    api_wait_done(w);
}

static int compare(const void *a, const void *b)
{
    const struct alteration *x = a, *y = b;
    int r = slice_compare(x->upsertion.name, y->upsertion.name);
    return r ? r : (x->order > y->order) - (x->order < y->order);
}

/* What all alterations of one user come to. As in Kafka the first that is wrong by itself is named before a second one. */
static enum kafka_error apply(struct metadata_change *c, const struct alteration *a, int32_t count, struct err *err)
{
    enum kafka_error error;

    for (int32_t i = 0; i < count; i++) {
        if (i > 0) return err_set(err, KAFKA_DUPLICATE_RESOURCE, "A user credential cannot be altered twice in the same request");
        error = a->deletion ? scram_deletion_check(metadata_change_view(c), a->upsertion.name, a->upsertion.mechanism, err)
                            : scram_upsertion_check(&a->upsertion, err);
        if (error != KAFKA_NONE) return error;
    }
    return a->deletion ? scram_change_remove(c, a->upsertion.name, a->upsertion.mechanism, err) : scram_change_put(c, &a->upsertion, err);
}

API_HANDLER(alter_user_scram_credentials)
{
    int32_t deletions = MAX(in->deletions_count, 0), upsertions = MAX(in->upsertions_count, 0), count = deletions + upsertions;
    bool allowed = request_authorize(rq, ACL_ALTER, RESOURCE_CLUSTER, SLICE("kafka-cluster"));
    struct api_wait *w = api_wait_new(rq);
    struct alteration *all = arena_calloc(&rq->arena, (size_t)count + 1, sizeof *all);

    out->results = arena_calloc(&rq->arena, (size_t)count + 1, sizeof out->results[0]);
    if (!w || !all || !out->results) return API_CLOSE;
    w->arg = out;
    for (int32_t i = 0; i < deletions; i++)
        all[i] = (struct alteration){{.name = in->deletions[i].name, .mechanism = in->deletions[i].mechanism}, true, i};
    for (int32_t i = 0; i < upsertions; i++)
        all[deletions + i] = (struct alteration){{.name = in->upsertions[i].name,
                                                  .mechanism = in->upsertions[i].mechanism,
                                                  .iterations = in->upsertions[i].iterations,
                                                  .salt = in->upsertions[i].salt,
                                                  .salted_password = in->upsertions[i].salted_password},
                                                 false,
                                                 deletions + i};
    qsort(all, (size_t)count, sizeof *all, compare);

    struct metadata_change *c = metadata_change_begin(rq->broker);
    for (int32_t i = 0, same; i < count; i += same) {
        struct alter_user_scram_credentials_response_result *o = &out->results[out->results_count++];
        struct err err = ERR_NONE;
        for (same = 1; i + same < count && slice_eq(all[i].upsertion.name, all[i + same].upsertion.name);) same++;
        o->user = all[i].upsertion.name;
        if (allowed) o->error_code = (int16_t)apply(c, &all[i], same, &err);
        else o->error_code = (int16_t)err_set(&err, KAFKA_CLUSTER_AUTHORIZATION_FAILED, "%s", kafka_error_text(KAFKA_CLUSTER_AUTHORIZATION_FAILED));
        o->error_message = o->error_code ? slice_of(arena_strdup(&rq->arena, err.text)) : SLICE_NULL;
    }
    metadata_change_commit(c, committed, w);
    return api_wait_result(w);
}
