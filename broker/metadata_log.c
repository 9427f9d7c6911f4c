#include "broker/metadata_log.h"

#include "broker/quota_store.h"
#include "broker/security.h"
#include "base/log.h"
#include "protocol/record_batch.h"
#include "storage/log_dir.h"

#include <errno.h>
#include <inttypes.h>

#define FRAME_VERSION         1
#define REPLAY_READ_BYTES     (1u << 20)
#define REPLAY_ARENA_BYTES    (64u << 20) /* of one record: a partition's arrays */
#define CONTROL_LEADER_CHANGE 2
#define CONTROL_KRAFT_VERSION 5
#define CONTROL_VOTERS        6
#define CONTROLLER_LISTENER   "CONTROLLER"

struct metadata_log {
    struct partition_log *log;
    const struct clock *clock;
};

static const struct uuid metadata_topic_id = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

struct log_marks metadata_log_marks(const struct metadata_log *ml)
{
    return partition_log_marks(ml->log);
}

/* -- writing -- */

/* The version that Kafka 4.1 writes at metadata.version 27. */
static int16_t version_written(enum metadata_record_type type)
{
    return type == METADATA_PARTITION ? 2 : 0;
}

static void append_message(struct batch_builder *builder, int64_t now_ms, struct slice key,
                           const struct wire_message *m, bool framed, int16_t version, const void *message)
{
    struct buf buf;
    struct wire_writer w;

    buf_init(&buf);
    wire_writer_init(&w, &buf);
    if (framed) {
        wire_put_uvarint(&w, FRAME_VERSION);
        wire_put_uvarint(&w, (uint32_t)m->type);
        wire_put_uvarint(&w, (uint32_t)version);
    }
    m->encode(&w, version, message);
    struct bytes bytes = {0};
    if (!wire_writer_done(&w)) abort(); /* small control objects: as xmalloc() */
    buf_copy_to_bytes(&buf, &bytes);
    if (bytes.failed) abort();
    batch_builder_append(builder, now_ms, key, bytes_slice(&bytes), NULL, 0);
    bytes_done(&bytes);
    buf_done(&buf);
}

void metadata_log_record(struct batch_builder *builder, int64_t now_ms, enum metadata_record_type type,
                         const void *message)
{
    const struct wire_message *m = wire_message_find_type(WIRE_METADATA, SLICE_NULL, (int16_t)type);
    assert(m);
    append_message(builder, now_ms, SLICE_NULL, m, true, version_written(type), message);
}

static enum kafka_error append_batch(struct metadata_log *ml, struct batch_builder *builder, uint16_t attributes,
                                     int64_t *ret_end)
{
    struct batch_fields fields = BATCH_FIELDS_PLAIN;
    struct slice batch;

    fields.attributes = attributes;
    if (batch_builder_finish(builder, &fields, &batch) < 0) return KAFKA_STORAGE_ERROR;
    struct log_append a = {.origin = APPEND_INTERNAL, .batches = (uint8_t *)(uintptr_t)batch.ptr, .size = batch.len};
    enum kafka_error error = partition_log_append(ml->log, &a);
    batch_builder_reset(builder);
    if (error == KAFKA_NONE) *ret_end = a.last_offset + 1;
    return error;
}

enum kafka_error metadata_log_append(struct metadata_log *ml, struct batch_builder *builder, int64_t *ret_end)
{
    return append_batch(ml, builder, 0, ret_end);
}

void metadata_log_sync(struct metadata_log *ml, int64_t end, void (*done)(void *arg, int error), void *arg)
{
    partition_log_sync_async(ml->log, end, done, arg);
}

/* -- control records of a quorum of one -- */

static void append_control(struct batch_builder *builder, int64_t now_ms, int16_t type, const char *name,
                           int16_t version, const void *message)
{
    uint8_t key[4];
    be16_store(key, 0);
    be16_store(key + 2, (uint16_t)type);
    const struct wire_message *m = wire_message_find(slice_of(name));
    assert(m);
    append_message(builder, now_ms, slice_make(key, sizeof key), m, false, version, message);
}

static void append_leader_change(struct batch_builder *builder, int64_t now_ms, int32_t node_id)
{
    struct leader_change_message_voter voter = {.voter_id = node_id};
    struct leader_change_message change;

    /* Version 0, as Kafka 4.1 writes it: its tools read no other, whatever the version in the record says. */
    leader_change_message_init(&change);
    change.leader_id = node_id;
    change.voters = change.granting_voters = &voter;
    change.voters_count = change.granting_voters_count = 1;
    append_control(builder, now_ms, CONTROL_LEADER_CHANGE, "LeaderChangeMessage", 0, &change);
}

/* What the first epoch of a dynamic quorum begins with, so that Kafka finds itself as the only voter. */
static void append_quorum(struct batch_builder *builder, int64_t now_ms, int32_t node_id, struct uuid directory_id)
{
    struct k_raft_version_record kraft;
    struct voters_record voters;
    struct voters_record_voter voter;
    struct voters_record_endpoint endpoint;

    append_leader_change(builder, now_ms, node_id);

    k_raft_version_record_init(&kraft);
    kraft.k_raft_version = 1;
    append_control(builder, now_ms, CONTROL_KRAFT_VERSION, "KRaftVersionRecord", 0, &kraft);

    voters_record_init(&voters);
    voters_record_voter_init(&voter);
    voters_record_endpoint_init(&endpoint);
    endpoint.name = SLICE(CONTROLLER_LISTENER);
    endpoint.host = SLICE("localhost");
    endpoint.port = 9093; /* Kafka's customary controller port; a voter rewrites its own endpoint when it starts */
    voter.voter_id = node_id;
    voter.voter_directory_id = directory_id;
    voter.endpoints = &endpoint;
    voter.endpoints_count = 1;
    voter.k_raft_version_feature.min_supported_version = 0;
    voter.k_raft_version_feature.max_supported_version = 1;
    voters.voters = &voter;
    voters.voters_count = 1;
    append_control(builder, now_ms, CONTROL_VOTERS, "VotersRecord", 0, &voters);
}

/* -- reading -- */

struct replay {
    struct metadata *state;
    struct arena arena;
    struct err *err;
    bool in_transaction;
    struct batch_builder held; /* records of an open metadata transaction, their values copied */
    int64_t last_offset;
    int64_t records_count; /* without control records */
};

static int damaged(struct replay *r, const char *what)
{
    return err_set(r->err, -EBADMSG, "%s-0: record at offset %" PRId64 ": %s", METADATA_LOG_TOPIC, r->last_offset,
                   what);
}

static struct metadata_topic *known_topic(struct replay *r, struct uuid id)
{
    return metadata_topic_own(r->state, id);
}

static int apply_partition(struct replay *r, const struct partition_record *p)
{
    struct metadata_topic *t = known_topic(r, p->topic_id);

    if (!t) return damaged(r, "a partition of an unknown topic");
    if (p->partition_id < 0 || p->partition_id >= TOPIC_PARTITIONS_MAX)
        return damaged(r, "a partition number out of range");
    if (p->partition_id >= t->partitions_count) {
        r->state->partitions_count += p->partition_id + 1 - t->partitions_count;
        metadata_topic_grow(t, p->partition_id + 1);
    }
    return 0;
}

static int apply_config(struct replay *r, const struct config_record *c)
{
    AUTO_FREE char *name = slice_strdup(c->name);
    AUTO_FREE char *value = slice_strdup(c->value);

    if (c->resource_type != CONFIG_RESOURCE_TOPIC) {
        metadata_set_resource_config(r->state, c->resource_type, c->resource_name, name, value);
        return 0;
    }
    const struct metadata_topic *t = metadata_topic(r->state, c->resource_name);
    if (!t) return damaged(r, "a config of an unknown topic");
    config_list_set(&known_topic(r, t->id)->config, name, value);
    return 0;
}

static int apply_feature(struct replay *r, const struct feature_level_record *f)
{
    struct metadata *m = r->state;

    if (slice_eq_text(f->name, "metadata.version") &&
        (f->feature_level < METADATA_VERSION_MIN || f->feature_level > METADATA_VERSION_MAX))
        return err_set(r->err, -ENOTSUP, "%s-0: metadata.version is %d; this version of ottla knows %d to %d",
                       METADATA_LOG_TOPIC, f->feature_level, METADATA_VERSION_MIN, METADATA_VERSION_MAX);
    return metadata_set_feature(m, f->name, f->feature_level) ? 0 : damaged(r, "too many features, or too long a name");
}

static int apply_message(struct replay *r, int16_t type, const void *message)
{
    switch (type) {
    case METADATA_TOPIC: {
        const struct topic_record *t = message;
        if (metadata_topic(r->state, t->name) || metadata_topic_by_id(r->state, t->topic_id))
            return damaged(r, "a topic that exists already");
        if (topic_name_check(t->name, NULL) != KAFKA_NONE) return damaged(r, "a topic name that is not allowed");
        metadata_put_topic(r->state, metadata_topic_new(t->name, t->topic_id));
        return 0;
    }
    case METADATA_PARTITION: return apply_partition(r, message);
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
        const struct acl_fields fields = {.resource_name = a->resource_name,
                                          .principal = a->principal,
                                          .host = a->host,
                                          .resource_type = a->resource_type,
                                          .pattern = a->pattern_type,
                                          .operation = a->operation,
                                          .permission = a->permission_type};
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
        const struct scram_fields fields = {.user = u->name,
                                            .salt = u->salt,
                                            .stored_key = u->stored_key,
                                            .server_key = u->server_key,
                                            .iterations = u->iterations,
                                            .mechanism = u->mechanism};
        metadata_set_security(r->state, security_set_scram(r->state->security, &fields));
        return 0;
    }
    case METADATA_REMOVE_SCRAM: {
        const struct remove_user_scram_credential_record *u = message;
        metadata_set_security(r->state, security_remove_scram(r->state->security, u->name, u->mechanism));
        return 0;
    }
    case METADATA_CLIENT_QUOTA: return quota_replay(r->state, message) ? 0 : damaged(r, "a quota that is not valid");
    default: return 0; /* registrations, delegation tokens: known, valid, and without meaning for this state */
    }
}

static int apply_value(struct replay *r, struct slice value)
{
    struct wire_reader reader = wire_reader_of(value, &r->arena);
    uint32_t frame = wire_get_uvarint(&reader);
    uint32_t type = wire_get_uvarint(&reader);
    uint32_t version = wire_get_uvarint(&reader);

    if (reader.failed || frame != FRAME_VERSION) return damaged(r, "not a frame of version 1");
    const struct wire_message *m =
        type > INT16_MAX ? NULL : wire_message_find_type(WIRE_METADATA, SLICE_NULL, (int16_t)type);
    if (!m || version > (uint32_t)m->version_max)
        return err_set(r->err, -ENOTSUP, "%s-0: record type %u version %u at offset %" PRId64 " is of a newer Kafka",
                       METADATA_LOG_TOPIC, type, version, r->last_offset);

    void *message = arena_calloc(&r->arena, 1, m->size);
    if (!message) return damaged(r, "it is too large");
    m->init(message);
    if (!m->decode(&reader, (int16_t)version, message)) return damaged(r, reader.error ? reader.error : "damaged");
    if (wire_left(&reader)) return damaged(r, "bytes are left behind the message");
    int result = apply_message(r, m->type, message);
    arena_reset(&r->arena);
    return result;
}

/* The type of a frame, or -1; records between Begin and End of a transaction are held back. */
static int frame_type(struct slice value)
{
    struct wire_reader reader = wire_reader_of(value, NULL);
    uint32_t frame = wire_get_uvarint(&reader);
    uint32_t type = wire_get_uvarint(&reader);
    return reader.failed || frame != FRAME_VERSION || type > INT16_MAX ? -1 : (int)type;
}

static int apply_batch_records(struct replay *r, const struct record_batch *batch, bool from_held);

static int end_transaction(struct replay *r)
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

static int take_record(struct replay *r, const struct record *record)
{
    int type = frame_type(record->value);

    r->last_offset = record->offset;
    r->records_count++;
    switch (type) {
    case METADATA_BEGIN_TRANSACTION:
        if (r->in_transaction) return damaged(r, "a transaction within a transaction");
        r->in_transaction = true;
        return 0;
    case METADATA_END_TRANSACTION:
        if (!r->in_transaction) return damaged(r, "the end of a transaction that did not begin");
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

static int apply_batch_records(struct replay *r, const struct record_batch *batch, bool from_held)
{
    struct record_reader reader;
    struct record record;
    struct bytes scratch = {0};
    int result = record_reader_open(&reader, batch, METADATA_BATCH_BYTES_MAX, &scratch);

    if (result < 0) result = damaged(r, "the batch is damaged");
    while (result == 0) {
        int more = record_reader_next(&reader, &record);
        if (more == 0) break;
        if (more < 0) result = damaged(r, "the batch is damaged");
        else result = from_held ? apply_value(r, record.value) : take_record(r, &record);
    }
    bytes_done(&scratch);
    return result;
}

static int replay_batches(struct replay *r, struct slice bytes, int64_t *offset)
{
    struct record_batch batch;
    enum record_batch_result parsed;

    while ((parsed = record_batch_next(&bytes, &batch)) == RECORD_BATCH_OK) {
        r->last_offset = batch.base_offset;
        if (!record_batch_crc_ok(&batch)) return damaged(r, "the checksum of the batch is wrong");
        if (!record_batch_is_control(&batch)) {
            int result = apply_batch_records(r, &batch, false);
            if (result < 0) return result;
        }
        *offset = record_batch_next_offset(&batch);
    }
    return parsed == RECORD_BATCH_END ? 0 : damaged(r, "the batch is damaged");
}

static int replay_log(struct metadata_log *ml, struct replay *r)
{
    struct log_marks marks = partition_log_marks(ml->log);
    int64_t offset = MAX(marks.log_start, r->state->version); /* goes on where an earlier call ended */
    int result = 0;

    if (marks.log_start > 0)
        return err_set(r->err, -ENOTSUP,
                       "%s-0 begins at offset %" PRId64 ": what came before is in a snapshot of Kafka, which this "
                       "version of ottla does not read",
                       METADATA_LOG_TOPIC, marks.log_start);
    while (result == 0 && offset < marks.log_end) {
        struct log_read read = {0};
        enum kafka_error error = partition_log_read(ml->log, offset, REPLAY_READ_BYTES, true, READ_LOG_END, &read);
        if (error != KAFKA_NONE || !read.file) {
            log_read_done(&read);
            return err_set(r->err, -EIO, "%s-0 cannot be read at offset %" PRId64, METADATA_LOG_TOPIC, offset);
        }
        AUTO_FREE uint8_t *bytes = malloc(read.length);
        result = bytes ? log_read_bytes(&read, bytes) : -ENOMEM;
        if (result < 0)
            err_set(r->err, result, "%s-0 cannot be read at offset %" PRId64 ": %s", METADATA_LOG_TOPIC, offset,
                    strerror(-result));
        else result = replay_batches(r, slice_make(bytes, read.length), &offset);
        log_read_done(&read);
    }
    r->state->version = offset;
    return result;
}

/* -- opening -- */

/* The first two batches of a new log, each when it is missing: nobody waits for them to be on disk, and a power cut may leave
 * the first alone. */
static int begin_quorum(struct metadata_log *ml, int32_t node_id, struct uuid directory_id, struct err *err)
{
    struct batch_builder builder;
    int64_t end;

    batch_builder_init(&builder);
    append_quorum(&builder, clock_wall_ms(ml->clock), node_id, directory_id);
    enum kafka_error error = append_batch(ml, &builder, RECORD_BATCH_CONTROL, &end);
    batch_builder_done(&builder);
    return error == KAFKA_NONE
               ? 0
               : err_set(err, -EIO, "%s-0 cannot be written: %s", METADATA_LOG_TOPIC, kafka_error_text(error));
}

static void append_feature(struct metadata_log *ml, struct batch_builder *builder, const char *name, int16_t level)
{
    struct feature_level_record feature;

    feature_level_record_init(&feature);
    feature.name = slice_of(name);
    feature.feature_level = level;
    metadata_log_record(builder, clock_wall_ms(ml->clock), METADATA_FEATURE_LEVEL, &feature);
}

static int begin_records(struct metadata_log *ml, struct err *err)
{
    struct batch_builder builder;
    int64_t end;

    batch_builder_init(&builder);
    append_feature(ml, &builder, "metadata.version", METADATA_VERSION_MAX);
    append_feature(ml, &builder, "transaction.version", TRANSACTION_VERSION_MAX);
    enum kafka_error error = append_batch(ml, &builder, 0, &end);
    batch_builder_done(&builder);
    return error == KAFKA_NONE
               ? 0
               : err_set(err, -EIO, "%s-0 cannot be written: %s", METADATA_LOG_TOPIC, kafka_error_text(error));
}

int metadata_log_open(struct log_dir *dir, const struct broker_config *file, const struct clock *clock,
                      struct broker_config_ref *config, struct metadata_log **ret_log, struct metadata **ret_state,
                      struct err *err)
{
    struct metadata_log *ml = xcalloc(1, sizeof *ml);
    struct log_config log_config;
    int result;

    ml->clock = clock;
    log_config_default(&log_config);
    log_config.retention_ms = log_config.retention_bytes = -1;
    result = log_dir_open_log(dir, METADATA_LOG_TOPIC, 0, metadata_topic_id, &log_config, &ml->log, err);
    if (result < 0) {
        free(ml);
        return result;
    }
    struct replay r = {.state = NULL, .err = err};

    arena_init(&r.arena, REPLAY_ARENA_BYTES);
    batch_builder_init(&r.held);
    if (partition_log_marks(ml->log).log_end == 0)
        result = begin_quorum(ml, (int32_t)file->node_id, log_dir_directory_id(dir), err);
    if (result == 0) {
        r.state = metadata_new(config);
        result = replay_log(ml, &r);
    }
    if (result == 0 && r.records_count == 0) {
        result = begin_records(ml, err);
        if (result == 0) result = replay_log(ml, &r);
    }
    if (result == 0 && metadata_feature_level(r.state, "metadata.version") == 0)
        result = err_set(err, -EBADMSG, "%s-0 has no record of metadata.version", METADATA_LOG_TOPIC);
    batch_builder_done(&r.held);
    arena_done(&r.arena);
    if (result < 0) {
        metadata_unref(r.state);
        metadata_log_close(ml);
        return result;
    }
    *ret_log = ml;
    *ret_state = r.state;
    return 0;
}

void metadata_log_close(struct metadata_log *ml)
{
    if (!ml) return;
    partition_log_unref(ml->log);
    free(ml);
}
