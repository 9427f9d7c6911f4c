/* broker/api/share_acks.c: see share_acks.h. */
#include "broker/api/share_acks.h"

#include "broker/group/group_store.h"
#include "broker/partition.h"

enum kafka_error share_request_check(struct request *rq, struct slice group_id, struct slice member_id,
                                     struct uuid *ret_member)
{
    char text[UUID_TEXT_MAX + 1];

    if (!shares_enabled(rq)) return KAFKA_UNSUPPORTED_VERSION;
    if (!group_id.ptr || !request_authorize(rq, ACL_READ, RESOURCE_GROUP, group_id))
        return KAFKA_GROUP_AUTHORIZATION_FAILED;
    if (member_id.len >= sizeof text) return KAFKA_UNKNOWN_SERVER_ERROR; /* Kafka's answer, here and below */
    memcpy(text, member_id.ptr, member_id.len);
    text[member_id.len] = '\0';
    return uuid_parse(text, ret_member) ? KAFKA_NONE : KAFKA_UNKNOWN_SERVER_ERROR;
}

enum kafka_error share_acks_apply(struct request *rq, const struct share_key *key, struct uuid member,
                                  const struct share_ack *acks, uint32_t count)
{
    const struct metadata_topic *t = metadata_topic_by_id(request_metadata(rq), key->topic_id);
    int16_t error;

    if (!t) return KAFKA_UNKNOWN_TOPIC_ID;
    enum kafka_error check = share_acks_check(acks, count);
    if (check != KAFKA_NONE) return check;
    if (!request_authorize(rq, ACL_READ, RESOURCE_TOPIC, slice_of(t->name))) return KAFKA_TOPIC_AUTHORIZATION_FAILED;
    if (!partition_of(t, key->partition, &error)) return (enum kafka_error)error;
    if (!count) return KAFKA_NONE;
    struct share_live *l = shares_live_find(rq->broker, key);
    return l ? share_live_acknowledge(l, member, acks, count) : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
}

enum kafka_error share_group_to_change(struct request *rq, struct slice id, enum acl_operation operation,
                                       struct share_group **ret_group)
{
    enum kafka_error error = KAFKA_UNSUPPORTED_VERSION;
    struct groups *gs = shares_enabled(rq) ? groups_for(rq, id, operation, &error) : NULL;

    if (!gs) return error;
    if (!id.len) return KAFKA_INVALID_GROUP_ID;
    *ret_group = share_group_of(groups_find(gs, id));
    if (!*ret_group) return KAFKA_GROUP_ID_NOT_FOUND;
    return (*ret_group)->members ? KAFKA_NON_EMPTY_GROUP : KAFKA_NONE;
}
