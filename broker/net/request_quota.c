/* broker/net/request_quota.c: what a request costs its client by the quotas in force: work, bytes, changes of topics
 * (api.h).
 *
 * The longest wait of all that apply is the throttle time of the answer, and for so long the connection is not read.
 * Threads: the request's. Sources: KIP-13, KIP-124, KIP-219, KIP-599. */
#include "broker/net/network.h"
#include "broker/metadata/metadata.h"
#include "broker/access/quota.h"
#include "protocol/messages.h"

static int64_t mono_us(const struct request *rq)
{
    return rq->broker->clock->mono_us(rq->broker->clock);
}

static struct quota_client quota_client_of(const struct request *rq)
{
    const char *colon = strchr(rq->principal, ':');
    return (struct quota_client){.user = slice_of(colon ? colon + 1 : rq->principal), .client_id = rq->client_id};
}

static int64_t charge(struct request *rq, enum quota_key key, double amount)
{
    struct broker *b = rq->broker;
    struct quota_client client = quota_client_of(rq);

    if (!quotas_has(b->quotas, key)) return 0;
    return quotas_charge(b->quotas, request_metadata(rq)->quotas, key, &client, amount, clock_mono_ms(b->clock));
}

void request_begin_work(struct request *rq)
{
    rq->work_begin_us = quotas_has(rq->broker->quotas, QUOTA_REQUEST_PERCENTAGE) ? mono_us(rq) : 0;
}

/* WriteTxnMarkers is what brokers ask. */
int64_t request_charge_work(struct request *rq)
{
    if (!rq->work_begin_us || rq->api_key == KAFKA_API_WRITE_TXN_MARKERS) return 0;
    int64_t now_us = mono_us(rq);
    double used_us = (double)(now_us - rq->work_begin_us);
    rq->work_begin_us = now_us;
    return charge(rq, QUOTA_REQUEST_PERCENTAGE, used_us * 100 / 1e6);
}

void request_charge_answer(struct request *rq)
{
    if (rq->quotas_charged) return;
    rq->quotas_charged = true;
    int64_t work_ms = request_charge_work(rq);
    int64_t bytes_ms = rq->api_key == KAFKA_API_PRODUCE ? charge(rq, QUOTA_PRODUCER_BYTE_RATE, rq->frame_size) : 0;
    rq->throttle_ms = MAX(rq->throttle_ms, MAX(work_ms, bytes_ms));
}

bool request_throttle_fetch(struct request *rq, int64_t bytes)
{
    struct quotas *quotas = rq->broker->quotas;
    struct quota_client client = quota_client_of(rq);
    int64_t now_ms = clock_mono_ms(rq->broker->clock);

    request_charge_answer(rq);
    if (!quotas_has(quotas, QUOTA_CONSUMER_BYTE_RATE)) return rq->throttle_ms > 0;
    const struct shared_set *set = request_metadata(rq)->quotas;
    int64_t wait_ms = quotas_charge(quotas, set, QUOTA_CONSUMER_BYTE_RATE, &client, (double)bytes, now_ms);
    rq->throttle_ms = MAX(rq->throttle_ms, wait_ms);
    if (rq->throttle_ms > 0) quotas_take_back(quotas, set, QUOTA_CONSUMER_BYTE_RATE, &client, (double)bytes, now_ms);
    return rq->throttle_ms > 0;
}

void request_charge_fetch(struct request *rq, int64_t bytes)
{
    int64_t wait_ms = charge(rq, QUOTA_CONSUMER_BYTE_RATE, (double)bytes);
    rq->throttle_ms = MAX(rq->throttle_ms, wait_ms);
}

int64_t request_fetch_bytes_max(struct request *rq)
{
    struct quota_client client = quota_client_of(rq);

    if (!quotas_has(rq->broker->quotas, QUOTA_CONSUMER_BYTE_RATE)) return INT64_MAX;
    return quotas_fetch_bytes_max(rq->broker->quotas, request_metadata(rq)->quotas, &client);
}

bool request_mutate(struct request *rq, int32_t partitions, bool strict)
{
    struct broker *b = rq->broker;
    struct quota_client client = quota_client_of(rq);
    int64_t wait_ms;

    if (!quotas_has(b->quotas, QUOTA_CONTROLLER_MUTATION_RATE)) return true;
    bool admitted = quotas_mutate(b->quotas, request_metadata(rq)->quotas, &client, partitions, strict,
                                  clock_mono_ms(b->clock), &wait_ms);
    rq->throttle_ms = MAX(rq->throttle_ms, wait_ms);
    return admitted;
}

void request_set_throttle_time(struct request *rq)
{
    const struct wire_struct *s = &wire_structs[rq->api->response->index];

    for (uint16_t i = 0; rq->throttle_ms > 0 && i < s->count; i++) {
        const struct wire_field *f = &wire_fields[s->first + i];
        if (strcmp(wire_names + f->name, "throttle_time_ms") != 0) continue;
        *(int32_t *)(void *)((char *)rq->out + f->offset) = (int32_t)MIN(rq->throttle_ms, INT32_MAX);
        return;
    }
}
