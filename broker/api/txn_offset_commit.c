/* TxnOffsetCommit, key 28. Control thread (owns groups and transactions). The commits are appended as a part of the
 * transaction and wait for its marker. v3+: membership is checked (KIP-447). v5: transactions version 2, which adds the
 * group's partition by itself (KIP-890); before, AddOffsetsToTxn must have done it. */
#include "broker/api/commit_item.h"
#include "broker/api/wait.h"
#include "broker/group/group_store.h"
#include "broker/txn/txn_store.h"
#include "protocol/api_handlers.h"

#define VERSION_OF_ABORTABLE 4 /* knows TRANSACTION_ABORTABLE */
#define VERSION_OF_TXN_2     5

struct commit {
    struct txn_call call;
    struct api_wait *wait;
    const struct txn_offset_commit_request *in;
    struct txn_offset_commit_response *out;
    struct offset_commit *items; /* of all partitions, in the order of the request */
    uint32_t items_count;
};

static void answer(struct commit *c, enum kafka_error error)
{
    const struct offset_commit *item = c->items;
    for (int32_t t = 0; t < c->out->topics_count; t++)
        for (int32_t p = 0; p < c->out->topics[t].partitions_count; p++, item++)
            c->out->topics[t].partitions[p].error_code = (int16_t)(item->error != KAFKA_NONE ? item->error : error);
    api_wait_done(c->wait);
}

static void durable(void *arg, enum kafka_error error)
{
    answer(arg, error);
}

static enum kafka_error txn_error(const struct request *rq, enum kafka_error error)
{
    if (error == KAFKA_PRODUCER_FENCED) return KAFKA_INVALID_PRODUCER_EPOCH;
    if (error == KAFKA_TRANSACTION_ABORTABLE && rq->version < VERSION_OF_ABORTABLE) return KAFKA_INVALID_TXN_STATE;
    return error;
}

/* The group's partition belongs to the transaction, or the error says why not. */
static void verified(struct commit *c, enum kafka_error error)
{
    const struct txn_offset_commit_request *in = c->in;
    struct groups *gs = NULL;
    struct group *g = NULL;
    error = txn_error(c->wait->rq, error);
    if (error == KAFKA_NONE) gs = groups_for(c->wait->rq, in->group_id, ACL_READ, &error);
    if (gs)
        error = groups_check_commit(gs, in->group_id,
                                    &(struct group_caller){.member_id = in->member_id.ptr ? in->member_id : SLICE_EMPTY,
                                                           .instance_id = in->group_instance_id,
                                                           .generation_id = in->generation_id,
                                                           .in_txn = true},
                                    KAFKA_ILLEGAL_GENERATION, &g);
    if (error != KAFKA_NONE) {
        answer(c, error);
        return;
    }
    group_commit_in_txn(g, in->producer_id, in->producer_epoch, c->items, c->items_count);
    gs->host->when_durable(gs->host, g, durable, c);
}

static void added(struct txn_call *call, const struct txn_result *result)
{
    verified(container_of(call, struct commit, call), result->error);
}

/* Fills items and out. *ret_any: something is to be committed. False: no memory. */
static bool read_request(struct request *rq, struct commit *c, bool *ret_any)
{
    const struct txn_offset_commit_request *in = c->in;
    size_t count = 0;
    *ret_any = false;
    for (int32_t t = 0; t < in->topics_count; t++) count += (size_t)MAX(in->topics[t].partitions_count, 0);
    c->items = arena_calloc(&rq->arena, count + 1, sizeof c->items[0]);
    c->out->topics = arena_calloc(&rq->arena, (size_t)MAX(in->topics_count, 0) + 1, sizeof c->out->topics[0]);
    if (!c->items || !c->out->topics) return false;
    for (int32_t t = 0; t < in->topics_count; t++) {
        const struct txn_offset_commit_request_topic *from = &in->topics[t];
        struct txn_offset_commit_response_topic *to = &c->out->topics[c->out->topics_count++];
        to->name = from->name;
        to->partitions = arena_calloc(&rq->arena, (size_t)MAX(from->partitions_count, 0) + 1, sizeof to->partitions[0]);
        if (!to->partitions) return false;
        for (int32_t p = 0; p < from->partitions_count; p++) {
            const struct txn_offset_commit_request_partition *part = &from->partitions[p];
            to->partitions[to->partitions_count++].partition_index = part->partition_index;
            struct offset_commit *item = &c->items[c->items_count++];
            *item = commit_item(rq, from->name, part->partition_index, part->committed_offset,
                                part->committed_leader_epoch, part->committed_metadata, -1);
            *ret_any |= item->error == KAFKA_NONE;
        }
    }
    return true;
}

API_HANDLER(txn_offset_commit)
{
    struct commit *c = arena_calloc(&rq->arena, 1, sizeof *c);
    struct api_wait *w = api_wait_new(rq);
    bool any;
    if (!c || !w) return API_CLOSE;
    *c = (struct commit){.call.answer = added, .wait = w, .in = in, .out = out};
    if (!read_request(rq, c, &any)) return API_CLOSE;

    enum kafka_error error;
    struct groups *gs = groups_for(rq, in->group_id, ACL_READ, &error); /* asked again when it is our turn */
    struct txns *ts = gs ? txns_for(rq, in->transactional_id, ACL_WRITE, &error) : NULL;
    struct txn_add_partition partition = {.topic = SLICE(TOPIC_OFFSETS)};
    if (ts && any && !in->group_id.len) error = KAFKA_INVALID_GROUP_ID;
    else if (ts && !groups_partition_of(rq->broker, in->group_id, &partition.partition)) error = KAFKA_NOT_COORDINATOR;
    if (error != KAFKA_NONE || !any) {
        answer(c, error);
        return api_wait_result(w);
    }
    struct txn_producer who = {.id = in->transactional_id, .producer_id = in->producer_id, .epoch = in->producer_epoch};
    if (rq->version >= VERSION_OF_TXN_2) txn_add(ts, &who, TXN_VERSION_2, &partition, 1, &c->call);
    else verified(c, txn_verify(ts, &who, partition.topic, partition.partition));
    return api_wait_result(w);
}
