/* broker/metadata/metadata_replay.c: see metadata_replay.h. */
#include "broker/metadata/metadata_replay.h"

#include "broker/metadata/metadata_records.h"
#include "broker/access/quota_store.h"
#include "broker/access/security.h"
#include "protocol/record_batch.h"

#include <errno.h>
#include <inttypes.h>

#define REPLAY_ARENA_BYTES (64u << 20) /* of one record: a partition's arrays */

void metadata_replay_init(struct metadata_replay *r, struct metadata *state, struct err *err)
{
    *r = (struct metadata_replay){.state = state, .err = err};
    arena_init(&r->arena, REPLAY_ARENA_BYTES);
    batch_builder_init(&r->held);
}

void metadata_replay_done(struct metadata_replay *r)
{
    batch_builder_done(&r->held);
    arena_done(&r->arena);
}

int metadata_replay_damaged(struct metadata_replay *r, const char *what)
{
    return err_set(r->err, -EBADMSG, "%s-0%s%s: record at offset %" PRId64 ": %s", METADATA_LOG_TOPIC,
                   r->snapshot ? "/" : "", r->snapshot ? r->snapshot : "", r->last_offset, what);
}

static struct metadata_topic *known_topic(struct metadata_replay *r, struct uuid id)
{
    return metadata_topic_own(r->state, id);
}

static int apply_partition(struct metadata_replay *r, const struct partition_record *p)
{
    struct metadata_topic *t = known_topic(r, p->topic_id);

    if (!t) return metadata_replay_damaged(r, "a partition of an unknown topic");
    if (p->partition_id < 0 || p->partition_id >= TOPIC_PARTITIONS_MAX)
        return metadata_replay_damaged(r, "a partition number out of range");
    if (p->partition_id >= t->partitions_count) {
        r->state->partitions_count += p->partition_id + 1 - t->partitions_count;
        metadata_topic_grow(t, p->partition_id + 1);
    }
    t->partitions[p->partition_id].leader_epoch = p->leader_epoch;
    return 0;
}

/* Every change of a leader, to none also, is an epoch, as Kafka counts (PartitionRegistration). */
static int apply_partition_change(struct metadata_replay *r, const struct partition_change_record *p)
{
    struct metadata_topic *t = known_topic(r, p->topic_id);

    if (!t || p->partition_id < 0 || p->partition_id >= t->partitions_count)
        return metadata_replay_damaged(r, "a change of an unknown partition");
    if (p->leader != METADATA_SAME_LEADER) t->partitions[p->partition_id].leader_epoch++;
    return 0;
}

static int apply_config(struct metadata_replay *r, const struct config_record *c)
{
    AUTO_FREE char *name = slice_strdup(c->name);
    AUTO_FREE char *value = slice_strdup(c->value);

    if (c->resource_type != CONFIG_RESOURCE_TOPIC) {
        metadata_set_resource_config(r->state, c->resource_type, c->resource_name, name, value);
        return 0;
    }
    const struct metadata_topic *t = metadata_topic(r->state, c->resource_name);
    if (!t) return metadata_replay_damaged(r, "a config of an unknown topic");
    config_list_set(&known_topic(r, t->id)->config, name, value);
    return 0;
}

static int apply_feature(struct metadata_replay *r, const struct feature_level_record *f)
{
    struct metadata *m = r->state;

    if (slice_eq_text(f->name, "metadata.version") &&
        (f->feature_level < METADATA_VERSION_MIN || f->feature_level > METADATA_VERSION_MAX))
        return err_set(r->err, -ENOTSUP, "%s-0: metadata.version is %d; this version of ottla knows %d to %d",
                       METADATA_LOG_TOPIC, f->feature_level, METADATA_VERSION_MIN, METADATA_VERSION_MAX);
    return metadata_set_feature(m, f->name, f->feature_level)
               ? 0
               : metadata_replay_damaged(r, "too many features, or too long a name");
}

static int apply_message(struct metadata_replay *r, int16_t type, const void *message)
{
    switch (type) {
    case METADATA_TOPIC: {
        const struct topic_record *t = message;
        if (metadata_topic(r->state, t->name) || metadata_topic_by_id(r->state, t->topic_id))
            return metadata_replay_damaged(r, "a topic that exists already");
        if (topic_name_check(t->name, NULL) != KAFKA_NONE)
            return metadata_replay_damaged(r, "a topic name that is not allowed");
        metadata_put_topic(r->state, metadata_topic_new(t->name, t->topic_id));
        return 0;
    }
    case METADATA_PARTITION: return apply_partition(r, message);
    case METADATA_PARTITION_CHANGE: return apply_partition_change(r, message);
    case METADATA_CONFIG: return apply_config(r, message);
    case METADATA_REMOVE_TOPIC: {
        const struct remove_topic_record *t = message;
        metadata_remove_topic(r->state, t->topic_id);
        return 0;
    }
    case METADATA_FEATURE_LEVEL: return apply_feature(r, message);
    case METADATA_PRODUCER_IDS: {
        const struct producer_ids_record *p = message;
        r->state->producer_id_next = MAX(r->state->producer_id_next, p->next_producer_id);
        return 0;
    }
    case METADATA_ACL: {
        const struct access_control_entry_record *a = message;
        const struct acl_fields fields = acl_record_fields(a);
        security_add_to(&r->state->security, a->id, &fields);
        return 0;
    }
    case METADATA_REMOVE_ACL: {
        const struct remove_access_control_entry_record *a = message;
        security_remove_from(&r->state->security, a->id);
        return 0;
    }
    case METADATA_SCRAM: {
        const struct user_scram_credential_record *u = message;
        const struct scram_fields fields = scram_record_fields(u);
        metadata_set_security(r->state, security_set_scram(r->state->security, &fields));
        return 0;
    }
    case METADATA_REMOVE_SCRAM: {
        const struct remove_user_scram_credential_record *u = message;
        metadata_set_security(r->state, security_remove_scram(r->state->security, u->name, u->mechanism));
        return 0;
    }
    case METADATA_CLIENT_QUOTA:
        return quota_replay(r->state, message) ? 0 : metadata_replay_damaged(r, "a quota that is not valid");
    case METADATA_DELEGATION_TOKEN: r->only_in_log = true; return 0;
    default: return 0; /* registrations and the like: known, valid, and without meaning for this state */
    }
}

static int apply_value(struct metadata_replay *r, struct slice value)
{
    struct wire_reader reader = wire_reader_of(value, &r->arena);
    uint32_t frame = wire_get_uvarint(&reader);
    uint32_t type = wire_get_uvarint(&reader);
    uint32_t version = wire_get_uvarint(&reader);

    if (reader.failed || frame != METADATA_FRAME_VERSION) return metadata_replay_damaged(r, "not a frame of version 1");
    const struct wire_message *m =
        type > INT16_MAX ? NULL : wire_message_find_type(WIRE_METADATA, SLICE_NULL, (int16_t)type);
    if (!m || version > (uint32_t)m->version_max)
        return err_set(r->err, -ENOTSUP, "%s-0: record type %u version %u at offset %" PRId64 " is of a newer Kafka",
                       METADATA_LOG_TOPIC, type, version, r->last_offset);

    void *message = arena_calloc(&r->arena, 1, m->size);
    if (!message) return metadata_replay_damaged(r, "it is too large");
    m->init(message);
    if (!m->decode(&reader, (int16_t)version, message))
        return metadata_replay_damaged(r, reader.error ? reader.error : "damaged");
    if (wire_left(&reader)) return metadata_replay_damaged(r, "bytes are left behind the message");
    int result = apply_message(r, m->type, message);
    if (result == 0 && r->seen) r->seen(r->seen_arg, (enum metadata_record_type)m->type, message);
    arena_reset(&r->arena);
    return result;
}

/* The type of a frame, or -1; records between Begin and End of a transaction are held back. */
static int frame_type(struct slice value)
{
    struct wire_reader reader = wire_reader_of(value, NULL);
    uint32_t frame = wire_get_uvarint(&reader);
    uint32_t type = wire_get_uvarint(&reader);
    return reader.failed || frame != METADATA_FRAME_VERSION || type > INT16_MAX ? -1 : (int)type;
}

static int apply_batch_records(struct metadata_replay *r, const struct record_batch *batch, bool from_held);

static int end_transaction(struct metadata_replay *r)
{
    struct batch_fields fields = BATCH_FIELDS_PLAIN;
    struct record_batch batch;
    struct slice bytes;
    int result = 0;

    if (batch_builder_finish(&r->held, &fields, &bytes) < 0 || record_batch_parse(bytes, &batch) != RECORD_BATCH_OK)
        return err_set(r->err, -ENOMEM, "%s-0: a transaction is too large for the memory", METADATA_LOG_TOPIC);
    if (batch.records_count > 0) result = apply_batch_records(r, &batch, true);
    batch_builder_reset(&r->held);
    return result;
}

static int take_record(struct metadata_replay *r, const struct record *record)
{
    int type = frame_type(record->value);

    r->last_offset = record->offset;
    r->records_count++;
    switch (type) {
    case METADATA_BEGIN_TRANSACTION:
        if (r->in_transaction) return metadata_replay_damaged(r, "a transaction within a transaction");
        r->in_transaction = true;
        return 0;
    case METADATA_END_TRANSACTION:
        if (!r->in_transaction) return metadata_replay_damaged(r, "the end of a transaction that did not begin");
        r->in_transaction = false;
        return end_transaction(r);
    case METADATA_ABORT_TRANSACTION:
        r->in_transaction = false;
        batch_builder_reset(&r->held);
        return 0;
    default: break;
    }
    if (!r->in_transaction) return apply_value(r, record->value);
    batch_builder_append(&r->held, record->timestamp_ms, SLICE_NULL, record->value, NULL, 0);
    return 0;
}

static int apply_batch_records(struct metadata_replay *r, const struct record_batch *batch, bool from_held)
{
    struct record_reader reader;
    struct record record;
    struct bytes scratch = {0};
    int result = record_reader_open(&reader, batch, METADATA_BATCH_BYTES_MAX, &scratch);

    if (result < 0) result = metadata_replay_damaged(r, "the batch is damaged");
    while (result == 0) {
        int more = record_reader_next(&reader, &record);
        if (more == 0) break;
        if (more < 0) result = metadata_replay_damaged(r, "the batch is damaged");
        else result = from_held ? apply_value(r, record.value) : take_record(r, &record);
    }
    bytes_done(&scratch);
    return result;
}

int metadata_replay_batches(struct metadata_replay *r, struct slice bytes, int64_t *offset)
{
    struct record_batch batch;
    enum record_batch_result parsed;

    while ((parsed = record_batch_next(&bytes, &batch)) == RECORD_BATCH_OK) {
        r->last_offset = batch.base_offset;
        if (!record_batch_crc_ok(&batch)) return metadata_replay_damaged(r, "the checksum of the batch is wrong");
        if (!record_batch_is_control(&batch)) {
            int result = apply_batch_records(r, &batch, false);
            if (result < 0) return result;
        }
        *offset = record_batch_next_offset(&batch);
    }
    return parsed == RECORD_BATCH_END ? 0 : metadata_replay_damaged(r, "the batch is damaged");
}

bool metadata_replay_has_footer(struct slice bytes)
{
    struct record_batch batch = {0};
    struct record_reader reader;
    struct record record;
    struct bytes scratch = {0};
    int32_t count = 0;
    while (record_batch_next(&bytes, &batch) == RECORD_BATCH_OK) count++;
    bool ok = count > 0 && record_batch_is_control(&batch) &&
              record_reader_open(&reader, &batch, METADATA_BATCH_BYTES_MAX, &scratch) == 0 &&
              record_reader_next(&reader, &record) > 0 && record.key.len >= 4 &&
              be16_load(record.key.ptr + 2) == METADATA_CONTROL_SNAPSHOT_FOOTER;
    bytes_done(&scratch);
    return ok;
}
