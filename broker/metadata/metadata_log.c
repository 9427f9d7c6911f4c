/* broker/metadata/metadata_log.c: see metadata_log.h. */
#include "broker/metadata/metadata_log.h"

#include "broker/metadata/metadata_records.h"
#include "broker/metadata/metadata_replay.h"
#include "broker/metadata/metadata_snapshot.h"
#include "base/log.h"
#include "base/thread.h"
#include "protocol/record_batch.h"
#include "storage/log_dir.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>

#define REPLAY_READ_BYTES       (1u << 20)
#define CONTROL_LEADER_CHANGE   2
#define CONTROL_SNAPSHOT_HEADER 3
#define CONTROL_KRAFT_VERSION   5
#define CONTROL_VOTERS          6
#define EPOCHS_BATCH_BYTES      (1u << 20) /* of leader epochs: a batch ends when it has become so large */
#define CONTROLLER_LISTENER     "CONTROLLER"

struct metadata_log {
    struct partition_log *log;
    const struct clock *clock;
    int32_t node_id;
    struct uuid directory_id;

    /* snapshots: control thread */
    int64_t snapshot_bytes, snapshot_interval_ms; /* of the log between two */
    int64_t bytes_since;                          /* the last one, or the begin of the log */
    int64_t snapshot_at_ms;                       /* monotonic: when it was begun, or the start */
    bool only_in_log; /* records that no snapshot of ours would hold: the log is kept whole */
    bool writing;     /* a thread was started and not joined */
    atomic_bool written;
    pthread_t writer;
    const struct metadata *writing_state;
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
    return type == METADATA_PARTITION || type == METADATA_PARTITION_CHANGE ? 2 : 0;
}

static void append_message(struct batch_builder *builder, int64_t now_ms, struct slice key,
                           const struct wire_message *m, bool framed, int16_t version, const void *message)
{
    struct buf buf;
    struct wire_writer w;

    buf_init(&buf);
    wire_writer_init(&w, &buf);
    if (framed) {
        wire_put_uvarint(&w, METADATA_FRAME_VERSION);
        wire_put_uvarint(&w, (uint32_t)m->type);
        wire_put_uvarint(&w, (uint32_t)version);
    }
    m->encode(&w, version, message);
    struct bytes bytes = {0};
    if (!wire_writer_done(&w)) abort(); /* small control objects: as xmalloc() */
    buf_copy_to_bytes(&buf, &bytes);
    if (bytes.failed) abort();
    /* Kafka's reader of this log (RecordsIterator) takes no record whose time is not its batch's. */
    if (builder->records_count) now_ms = builder->base_timestamp_ms;
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
    if (error == KAFKA_NONE) ml->bytes_since += a.size;
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

/* What makes Kafka find itself as the only voter of a dynamic quorum. */
static void append_voters(struct batch_builder *builder, int64_t now_ms, int32_t node_id, struct uuid directory_id)
{
    struct k_raft_version_record kraft;
    struct voters_record voters;
    struct voters_record_voter voter;
    struct voters_record_endpoint endpoint;

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

void metadata_log_snapshot_header(struct batch_builder *builder, int64_t now_ms, int32_t node_id,
                                  struct uuid directory_id)
{
    struct snapshot_header_record header;
    snapshot_header_record_init(&header);
    header.last_contained_log_timestamp = now_ms;
    append_control(builder, now_ms, CONTROL_SNAPSHOT_HEADER, "SnapshotHeaderRecord", 0, &header);
    append_voters(builder, now_ms, node_id, directory_id);
}

void metadata_log_snapshot_footer(struct batch_builder *builder, int64_t now_ms)
{
    struct snapshot_footer_record footer;
    snapshot_footer_record_init(&footer);
    append_control(builder, now_ms, METADATA_CONTROL_SNAPSHOT_FOOTER, "SnapshotFooterRecord", 0, &footer);
}

/* -- reading -- */

static int replay_log(struct metadata_log *ml, struct metadata_replay *r)
{
    struct log_marks marks = partition_log_marks(ml->log);
    int64_t offset = MAX(marks.log_start, r->state->version); /* goes on where an earlier call ended */
    int result = 0;

    if (marks.log_start > r->state->version || marks.log_end < r->state->version)
        return err_set(r->err, -EBADMSG,
                       "%s-0 holds offsets %" PRId64 " to %" PRId64 " and its newest snapshot ends at %" PRId64
                       ": what lies between is lost; restore the folder from a backup",
                       METADATA_LOG_TOPIC, marks.log_start, marks.log_end, r->state->version);
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
        else result = metadata_replay_batches(r, slice_make(bytes, read.length), &offset);
        ml->bytes_since += read.length;
        log_read_done(&read);
    }
    r->state->version = offset;
    return result;
}

/* -- snapshots -- */

struct newest {
    bool found;
    struct metadata_snapshot_id id;
};

static int look_for_newest(void *arg, const char *name)
{
    struct newest *n = arg;
    struct metadata_snapshot_id id;
    if (metadata_snapshot_parse(name, &id) && (!n->found || id.end_offset > n->id.end_offset)) {
        n->found = true;
        n->id = id;
    }
    return 0;
}

/* The newest snapshot becomes the state. Without one the state stays empty. */
static int replay_snapshot(struct metadata_log *ml, struct metadata_replay *r)
{
    struct newest n = {0};
    char name[METADATA_SNAPSHOT_NAME_BYTES];
    AUTO_FREE char *bytes = NULL;
    size_t size;
    int64_t end;

    int result = partition_log_list_files(ml->log, look_for_newest, &n);
    if (result == -ENOENT) return 0; /* nothing was written yet */
    if (result < 0) return err_set(r->err, result, "%s-0 cannot be listed: %s", METADATA_LOG_TOPIC, strerror(-result));
    if (!n.found || n.id.end_offset == 0) return 0; /* at offset 0: Kafka's of an empty state, when it formats */
    metadata_snapshot_name(n.id, name);
    result = partition_log_read_file(ml->log, name, METADATA_SNAPSHOT_BYTES_MAX, &bytes, &size);
    if (result < 0)
        return err_set(r->err, result, "%s-0/%s cannot be read: %s", METADATA_LOG_TOPIC, name, strerror(-result));
    r->snapshot = name;
    struct slice content = slice_make(bytes, (uint32_t)size);
    if (!metadata_replay_has_footer(content)) result = metadata_replay_damaged(r, "it is cut short");
    else result = metadata_replay_batches(r, content, &end);
    r->snapshot = NULL;
    r->state->version = n.id.end_offset;
    return result;
}

struct older {
    struct metadata_log *ml;
    int64_t end_offset;
};

static int remove_older(void *arg, const char *name)
{
    const struct older *o = arg;
    struct metadata_snapshot_id id;
    if (!metadata_snapshot_parse(name, &id) || id.end_offset >= o->end_offset) return 0;
    int r = partition_log_remove_file(o->ml->log, name);
    if (r < 0) log_warn("metadata", "an old snapshot is left name=%s error=%s", name, strerror(-r));
    return 0;
}

/* Only when the snapshot is durable may go what it replaces. */
static int write_snapshot(struct metadata_log *ml, const struct metadata *m, size_t *ret_size)
{
    struct metadata_snapshot_id id = {.end_offset = m->version, .epoch = partition_log_marks(ml->log).leader_epoch};
    char name[METADATA_SNAPSHOT_NAME_BYTES];
    struct bytes bytes = {0};
    int64_t log_start;

    metadata_snapshot_name(id, name);
    int r = -ENOMEM;
    if (metadata_snapshot_write(m, ml->node_id, ml->directory_id, id.epoch, clock_wall_ms(ml->clock), &bytes))
        r = bytes.len > METADATA_SNAPSHOT_BYTES_MAX ? -EFBIG
                                                    : partition_log_write_file(ml->log, name, bytes.ptr, bytes.len);
    *ret_size = bytes.len;
    bytes_done(&bytes);
    if (r < 0) return r;
    if (partition_log_delete_records(ml->log, id.end_offset, &log_start) != KAFKA_NONE) return -EIO;
    return partition_log_list_files(ml->log, remove_older, &(struct older){.ml = ml, .end_offset = id.end_offset});
}

static void *snapshot_run(void *arg)
{
    struct metadata_log *ml = arg;
    size_t size;
    int64_t start_ms = clock_mono_ms(ml->clock);
    int r = write_snapshot(ml, ml->writing_state, &size);
    if (r < 0) log_warn("metadata", "no snapshot could be written, the log is kept error=%s", strerror(-r));
    else
        log_info("metadata", "snapshot written end_offset=%" PRId64 " bytes=%zu ms=%" PRId64,
                 ml->writing_state->version, size, clock_mono_ms(ml->clock) - start_ms);
    atomic_store(&ml->written, true);
    return NULL;
}

static void snapshot_join(struct metadata_log *ml)
{
    if (!ml->writing) return;
    pthread_join(ml->writer, NULL);
    metadata_unref(ml->writing_state);
    ml->writing = false;
}

void metadata_log_published(struct metadata_log *ml, const struct metadata *m)
{
    int64_t now_ms = clock_mono_ms(ml->clock);
    if (ml->bytes_since < ml->snapshot_bytes && now_ms - ml->snapshot_at_ms < ml->snapshot_interval_ms) return;
    if (ml->only_in_log || (ml->writing && !atomic_load(&ml->written))) return;
    snapshot_join(ml);
    ml->bytes_since = 0;
    ml->snapshot_at_ms = now_ms;
    ml->writing_state = metadata_ref(m);
    atomic_store(&ml->written, false);
    int r = thread_start(&ml->writer, "snapshot", snapshot_run, ml);
    ml->writing = r == 0;
    if (r == 0) return;
    log_warn("metadata", "no snapshot could be written, the log is kept error=%s", strerror(-r));
    metadata_unref(m);
}

/* -- opening -- */

/* Every life of the broker is a raft epoch, so that a Kafka that takes the folder over, or comes back, sees it grow.
 * The first batch of a new log makes the quorum too. Nobody waits for it to be on disk, and a power cut may leave it
 * alone: the records that follow it in a new log are written when they are missing. */
static int begin_epoch(struct metadata_log *ml, struct err *err)
{
    bool is_new = partition_log_marks(ml->log).log_end == 0;
    int64_t now_ms = clock_wall_ms(ml->clock), end;
    struct batch_builder builder;

    (void)partition_log_begin_epoch(ml->log);
    batch_builder_init(&builder);
    append_leader_change(&builder, now_ms, ml->node_id);
    if (is_new) append_voters(&builder, now_ms, ml->node_id, ml->directory_id);
    enum kafka_error error = append_batch(ml, &builder, RECORD_BATCH_CONTROL, &end);
    batch_builder_done(&builder);
    return error == KAFKA_NONE
               ? 0
               : err_set(err, -EIO, "%s-0 cannot be written: %s", METADATA_LOG_TOPIC, kafka_error_text(error));
}

/* Who wrote the begin of a transaction is gone: what follows must not count as part of it. Kafka's controller does the
 * same when it becomes active. */
static int abort_open_transaction(struct metadata_log *ml, struct err *err)
{
    struct batch_builder builder;
    struct abort_transaction_record abort_record;
    int64_t end;

    abort_transaction_record_init(&abort_record);
    abort_record.reason = SLICE("the broker was restarted");
    batch_builder_init(&builder);
    metadata_log_record(&builder, clock_wall_ms(ml->clock), METADATA_ABORT_TRANSACTION, &abort_record);
    enum kafka_error error = append_batch(ml, &builder, 0, &end);
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
    append_feature(ml, &builder, "group.version", GROUP_VERSION_MAX);
    enum kafka_error error = append_batch(ml, &builder, 0, &end);
    batch_builder_done(&builder);
    return error == KAFKA_NONE
               ? 0
               : err_set(err, -EIO, "%s-0 cannot be written: %s", METADATA_LOG_TOPIC, kafka_error_text(error));
}

/* asked: whose seen is called. */
static int open_log(struct log_dir *dir, const struct broker_config *file, const struct clock *clock,
                    struct broker_config_ref *config, const struct metadata_replay *asked,
                    struct metadata_log **ret_log, struct metadata **ret_state, struct err *err)
{
    struct metadata_log *ml = xcalloc(1, sizeof *ml);
    struct log_config log_config;
    int result;

    ml->clock = clock;
    ml->node_id = (int32_t)file->node_id;
    ml->directory_id = log_dir_directory_id(dir);
    ml->snapshot_bytes = file->metadata_log_max_record_bytes_between_snapshots;
    ml->snapshot_interval_ms = file->metadata_log_max_snapshot_interval_ms;
    ml->snapshot_at_ms = clock_mono_ms(clock);
    log_config_default(&log_config);
    log_config.segment_bytes = METADATA_SEGMENT_BYTES;
    log_config.retention_ms = log_config.retention_bytes = -1;
    result = log_dir_open_log(dir, METADATA_LOG_TOPIC, 0, metadata_topic_id, &log_config, &ml->log, err);
    if (result < 0) {
        free(ml);
        return result;
    }
    struct metadata_replay r;

    metadata_replay_init(&r, metadata_new(config), err);
    r.seen = asked->seen;
    r.seen_arg = asked->seen_arg;
    result = replay_snapshot(ml, &r);
    if (result == 0) result = replay_log(ml, &r);
    /* What cannot be read is not written to. */
    if (result == 0) result = begin_epoch(ml, err);
    if (result == 0 && r.in_transaction) result = abort_open_transaction(ml, err);
    if (result == 0) result = replay_log(ml, &r);
    if (result == 0 && r.records_count == 0) {
        result = begin_records(ml, err);
        if (result == 0) result = replay_log(ml, &r);
    }
    if (result == 0 && metadata_feature_level(r.state, "metadata.version") == 0)
        result = err_set(err, -EBADMSG, "%s-0 has no record of metadata.version", METADATA_LOG_TOPIC);
    metadata_replay_done(&r);
    if (result < 0) {
        metadata_unref(r.state);
        metadata_log_close(ml);
        return result;
    }
    ml->only_in_log = r.only_in_log;
    *ret_log = ml;
    *ret_state = r.state;
    return 0;
}

int metadata_log_open(struct log_dir *dir, const struct broker_config *file, const struct clock *clock,
                      struct broker_config_ref *config, struct metadata_log **ret_log, struct metadata **ret_state,
                      struct err *err)
{
    return open_log(dir, file, clock, config, &(struct metadata_replay){0}, ret_log, ret_state, err);
}

int metadata_log_adopt(struct log_dir *dir, const struct broker_config *file, const struct clock *clock,
                       struct broker_config_ref *config,
                       void (*seen)(void *arg, enum metadata_record_type type, const void *message), void *arg,
                       bool *ret_left, struct err *err)
{
    const struct metadata_replay asked = {.seen = seen, .seen_arg = arg};
    struct metadata_log *ml;
    struct metadata *state;
    size_t size;

    int r = open_log(dir, file, clock, config, &asked, &ml, &state, err);
    if (r < 0) return r;
    *ret_left = ml->only_in_log;
    r = partition_log_sync(&ml->log, 1); /* what the snapshot ends at must not be lost behind it */
    if (r == 0) r = write_snapshot(ml, state, &size);
    if (r < 0) err_set(err, r, "%s-0: no snapshot can be written: %s", METADATA_LOG_TOPIC, strerror(-r));
    metadata_unref(state);
    metadata_log_close(ml);
    return r;
}

enum kafka_error metadata_log_note_epochs(struct metadata_log *ml, struct metadata *m)
{
    int64_t now_ms = clock_wall_ms(ml->clock);
    struct batch_builder builder;
    enum kafka_error error = KAFKA_NONE;

    batch_builder_init(&builder);
    for (int32_t i = 0; i < m->topics_count && error == KAFKA_NONE; i++)
        for (int32_t k = 0; k < m->topics[i]->partitions_count && error == KAFKA_NONE; k++) {
            struct metadata_partition *p = &m->topics[i]->partitions[k];
            int32_t epoch = p->log ? partition_log_marks(p->log).leader_epoch : 0;
            struct partition_record record;
            if (epoch <= p->leader_epoch) continue;
            p->leader_epoch = epoch;
            partition_record_fill(&record, m->topics[i]->id, k, &ml->node_id, &ml->directory_id);
            record.leader_epoch = epoch;
            metadata_log_record(&builder, now_ms, METADATA_PARTITION, &record);
            if (batch_builder_size(&builder) >= EPOCHS_BATCH_BYTES)
                error = metadata_log_append(ml, &builder, &m->version);
        }
    if (error == KAFKA_NONE && builder.records_count) error = metadata_log_append(ml, &builder, &m->version);
    batch_builder_done(&builder);
    return error;
}

void metadata_log_close(struct metadata_log *ml)
{
    if (!ml) return;
    snapshot_join(ml);
    partition_log_unref(ml->log);
    free(ml);
}
