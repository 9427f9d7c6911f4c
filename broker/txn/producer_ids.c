/* broker/txn/producer_ids.c: see producer_ids.h. */
#include "broker/txn/producer_ids.h"

#include "broker/group/group_store.h"
#include "broker/metadata/metadata.h"

void producer_ids_init(struct producer_ids *p, struct broker *b)
{
    *p = (struct producer_ids){.broker = b};
    STAILQ_INIT(&p->waiting);
}

static void answer_waiting(struct producer_ids *p, enum kafka_error error)
{
    struct producer_id_call *call;
    while ((error != KAFKA_NONE || p->next < p->end) && (call = STAILQ_FIRST(&p->waiting))) {
        STAILQ_REMOVE_HEAD(&p->waiting, link);
        call->answer(call, error, error == KAFKA_NONE ? p->next++ : -1);
    }
}

static void reserve(struct producer_ids *p);

static void reserved(void *arg, enum kafka_error error)
{
    struct producer_ids *p = arg;
    p->reserving = false;
    if (error == KAFKA_NONE) {
        p->next = p->reserved_first;
        p->end = p->next + PRODUCER_IDS_BLOCK;
        answer_waiting(p, KAFKA_NONE);
        if (!STAILQ_EMPTY(&p->waiting)) reserve(p);
    } else {
        answer_waiting(p, KAFKA_COORDINATOR_NOT_AVAILABLE); /* clients try again */
    }
}

static void reserve(struct producer_ids *p)
{
    struct metadata_change *c = metadata_change_begin(p->broker);
    enum kafka_error error = metadata_change_producer_ids(c, PRODUCER_IDS_BLOCK, &p->reserved_first);
    p->reserving = true;
    if (error == KAFKA_NONE) {
        metadata_change_commit(c, reserved, p);
    } else {
        metadata_change_abort(c);
        reserved(p, error);
    }
}

void producer_ids_take(struct broker *b, struct producer_id_call *call)
{
    struct producer_ids *p = groups_producer_ids(b);
    STAILQ_INSERT_TAIL(&p->waiting, call, link);
    answer_waiting(p, KAFKA_NONE);
    if (!STAILQ_EMPTY(&p->waiting) && !p->reserving) reserve(p);
}

void producer_ids_done(struct producer_ids *p)
{
    answer_waiting(p, KAFKA_COORDINATOR_NOT_AVAILABLE);
}
