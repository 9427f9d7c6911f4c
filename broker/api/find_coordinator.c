/* FindCoordinator, key 10. Control thread (makes `__consumer_offsets` for the first group, `__transaction_state` for
 * the first transactional id, `__share_group_state` for the first share partition). v4+ asks for several keys. This
 * broker coordinates all groups, transactions and share partitions. v6: share partitions (KIP-932); of them only
 * brokers ask. */
#include "broker/api/wait.h"
#include "broker/group/group_store.h"
#include "broker/share/share_store.h"
#include "broker/txn/txn_store.h"
#include "protocol/api_handlers.h"

#include <string.h>

enum key_type { KEY_GROUP = 0, KEY_TRANSACTION = 1, KEY_SHARE = 2 };

#define SHARE_VERSION_MIN 6

struct find {
    struct api_wait *wait;
    const struct find_coordinator_request *in;
    struct find_coordinator_response *out;
};

/* GROUP:TOPIC-ID:PARTITION, read as leniently as Java reads it: colons at the end do not count. */
static bool is_share_key(struct slice key)
{
    char text[UUID_TEXT_SIZE];
    struct uuid id;

    while (key.len && key.ptr[key.len - 1] == ':') key.len--;
    const uint8_t *first = key.len ? memchr(key.ptr, ':', key.len) : NULL;
    const uint8_t *end = key.ptr + key.len;
    const uint8_t *second = first ? memchr(first + 1, ':', (size_t)(end - first) - 1) : NULL;
    if (!second || first == key.ptr || memchr(second + 1, ':', (size_t)(end - second) - 1)) return false;
    struct slice topic = slice_make(first + 1, (uint32_t)(second - first) - 1);
    /* Base64 may be padded, where it is whole otherwise. */
    if (topic.len == UUID_TEXT_SIZE + 1 && memcmp(topic.ptr + UUID_TEXT_SIZE - 1, "==", 2) == 0) topic.len -= 2;
    if (topic.len >= sizeof text) return false;
    memcpy(text, topic.ptr, topic.len);
    text[topic.len] = '\0';
    struct slice digits = slice_make(second + 1, (uint32_t)(end - second) - 1);
    if (digits.len > 1 && (digits.ptr[0] == '-' || digits.ptr[0] == '+')) digits.ptr++, digits.len--;
    for (uint32_t i = 0; i < digits.len; i++)
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9') return false;
    return digits.len > 0 && digits.len <= 10 && uuid_parse(text, &id);
}

static enum kafka_error check(struct request *rq, const struct find_coordinator_request *in, struct slice key)
{
    switch (in->key_type) {
    case KEY_GROUP: return request_refusal(rq, ACL_DESCRIBE, RESOURCE_GROUP, key);
    case KEY_TRANSACTION: return request_refusal(rq, ACL_DESCRIBE, RESOURCE_TRANSACTIONAL_ID, key);
    case KEY_SHARE:
        if (rq->version < SHARE_VERSION_MIN) return KAFKA_INVALID_REQUEST;
        if (!request_authorize_cluster(rq, ACL_CLUSTER_ACTION)) return KAFKA_CLUSTER_AUTHORIZATION_FAILED;
        return is_share_key(key) ? KAFKA_NONE : KAFKA_INVALID_REQUEST;
    }
    return KAFKA_INVALID_REQUEST;
}

static void fill(struct request *rq, const struct find_coordinator_request *in, struct slice key,
                 enum kafka_error error, const char *text, struct find_coordinator_response_coordinator *ret)
{
    if (error == KAFKA_NONE) {
        error = check(rq, in, key);
        text = kafka_error_text(error);
    }
    ret->key = key;
    ret->error_code = (int16_t)error;
    ret->error_message = error == KAFKA_NONE ? SLICE_EMPTY : slice_of(text);
    ret->node_id = -1;
    ret->port = -1;
    ret->host = SLICE_EMPTY;
    if (error != KAFKA_NONE) return;
    ret->node_id = (int32_t)broker_config(rq->broker)->node_id;
    request_advertised(rq, &ret->host, &ret->port);
}

static void answer(void *arg, enum kafka_error error)
{
    struct find *f = arg;
    struct request *rq = f->wait->rq;
    const char *text = error == KAFKA_NONE ? NULL : kafka_error_text(error);
    if (rq->version < 4) {
        struct find_coordinator_response_coordinator one;
        fill(rq, f->in, f->in->key, error, text, &one);
        f->out->error_code = one.error_code;
        f->out->error_message = one.error_message;
        f->out->node_id = one.node_id;
        f->out->host = one.host;
        f->out->port = one.port;
    }
    for (int32_t i = 0; i < f->out->coordinators_count; i++)
        fill(rq, f->in, f->in->coordinator_keys[i], error, text, &f->out->coordinators[i]);
    api_wait_done(f->wait);
}

/* Some key of share partitions can be answered: a topic is made for no other. */
static bool asks_well(struct request *rq, const struct find_coordinator_request *in)
{
    for (int32_t i = 0; i < in->coordinator_keys_count; i++)
        if (check(rq, in, in->coordinator_keys[i]) == KAFKA_NONE) return true;
    return false;
}

API_HANDLER(find_coordinator)
{
    struct find *f = arena_calloc(&rq->arena, 1, sizeof *f);
    struct api_wait *w = api_wait_new(rq);
    if (!f || !w) return API_CLOSE;
    if (rq->version >= 4) {
        out->coordinators_count = in->coordinator_keys_count;
        out->coordinators =
            arena_calloc(&rq->arena, (size_t)in->coordinator_keys_count + 1, sizeof out->coordinators[0]);
        if (!out->coordinators) return API_CLOSE;
    }
    *f = (struct find){.wait = w, .in = in, .out = out};
    if (in->key_type == KEY_GROUP) groups_log_ensure(rq->broker, answer, f);
    else if (in->key_type == KEY_TRANSACTION) txns_log_ensure(rq->broker, answer, f);
    else if (in->key_type == KEY_SHARE && asks_well(rq, in)) shares_log_ensure(rq->broker, answer, f);
    else answer(f, KAFKA_NONE);
    return api_wait_result(w);
}
