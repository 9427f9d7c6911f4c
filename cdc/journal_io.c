/* cdc/journal_io.c: see journal_io.h. */
#include "cdc/journal_io.h"

#include "base/log.h"
#include "base/varint.h"
#include "broker/broker.h"
#include "cdc/failpoint.h"
#include "cdc/journal_store.h"
#include "storage/log_dir.h"

#include <errno.h>
#include <time.h>
#include <malloc.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>

_Static_assert(JOURNAL_PARTITIONS_MAX == TOPIC_PARTITIONS_MAX, "a topic of ours may have what any has");

#define TOO_LARGE_EXCEPTION "org.apache.kafka.common.errors.RecordTooLargeException"
#define STORAGE_EXCEPTION   "org.apache.kafka.common.errors.KafkaStorageException"
#define SYNC_TOLD_MS        30000 /* a sync that takes longer is told, each time again */
#define SYNC_LOOK_MS        10
#define BUILDER_KEEP_MAX    (1024 * 1024) /* of a batch in use: usual ones are a quarter of it [bytes] */

PRINTF_LIKE(5, 6)
static int io_fail(struct journal_io *io, int code, bool retriable, const char *exception, const char *format, ...)
{
    struct journal_io_failure *f = &io->failure;
    va_list args;

    *f = (struct journal_io_failure){.code = code, .retriable = retriable, .exception = exception};
    va_start(args, format);
    vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
    if (!retriable) log_error("cdc", "%s connector=%s", f->text, io->stored->name);
    return code;
}

struct journal_io *journal_io_new(struct broker *broker, struct journal_store *store, struct stored_journal *stored)
{
    struct journal_io *io = xcalloc(1, sizeof *io);

    io->broker = broker;
    io->store = store;
    io->stored = stored;
    io->request_max = JOURNAL_IO_REQUEST_MAX;
    io->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&io->lock, NULL);
    pthread_cond_init(&io->quiet, NULL);
    return io;
}

static void part_free(struct journal_part *part)
{
    partition_log_unref(part->log);
    batch_builder_done(&part->builder);
    free(part);
}

/* What the topics say now; those that are gone keep what they had. */
static void limits_read(struct journal_io *io)
{
    const struct metadata *m = broker_metadata(io->broker);

    for (struct journal_part *part = io->parts; part; part = part->next) {
        const struct metadata_topic *topic = metadata_topic_by_id(m, part->partition->topic->id);
        if (topic) part->batch_max = (uint32_t)MIN(topic->log_config.max_message_bytes, INT32_MAX);
    }
    metadata_unref(m);
}

void journal_io_trim(struct journal_io *io)
{
    bool large = false;

    limits_read(io);
    for (struct journal_part **link = &io->parts, *part; (part = *link);) {
        if (part->partition->gone && !part->partition->syncing) { /* the log of a deleted topic */
            *link = part->next;
            part->partition->user = NULL;
            part_free(part);
            continue;
        }
        link = &part->next;
        struct batch_builder *b = &part->builder;
        if (b->records_count == 0 && (!part->used || b->bytes.size > BUILDER_KEEP_MAX)) {
            large |= b->bytes.size > BUILDER_KEEP_MAX;
            batch_builder_done(b);
            batch_builder_init(b);
        }
        part->used = false;
    }
    if (large) malloc_trim(0); /* else the C library keeps what was freed */
}

void journal_io_free(struct journal_io *io)
{
    if (!io) return;
    pthread_mutex_lock(&io->lock);
    while (io->outstanding > 0) pthread_cond_wait(&io->quiet, &io->lock);
    pthread_mutex_unlock(&io->lock);
    for (struct journal_part *part = io->parts, *next; part; part = next) {
        next = part->next;
        part_free(part);
    }
    close(io->wake_fd);
    pthread_mutex_destroy(&io->lock);
    pthread_cond_destroy(&io->quiet);
    free(io);
}

/* -- data -- */

static struct journal_part *part_open(struct journal_io *io, struct journal_partition *p,
                                      const struct metadata_topic *topic)
{
    struct partition_log *log = topic->partitions[p->index].log;
    struct journal_part *part = p->user;

    if (part && part->log == log) return part;
    if (part) { /* the log was opened anew */
        partition_log_unref(part->log);
        part->log = partition_log_ref(log);
        return part;
    }
    part = xcalloc(1, sizeof *part);
    part->io = io;
    part->partition = p;
    part->log = partition_log_ref(log);
    part->codec_given = topic->log_config.compression_codec >= 0;
    part->codec = part->codec_given ? (enum compression_codec)topic->log_config.compression_codec : COMPRESSION_NONE;
    part->batch_max = (uint32_t)MIN(topic->log_config.max_message_bytes, INT32_MAX);
    batch_builder_init(&part->builder);
    part->next = io->parts;
    io->parts = part;
    p->user = part;
    return part;
}

static bool io_find(void *arg, struct journal_partition *p, int64_t producer_id, struct journal_log *ret_log)
{
    struct journal_io *io = arg;
    const struct metadata *m = broker_metadata(io->broker);
    const struct metadata_topic *topic = metadata_topic_by_id(m, p->topic->id);
    struct producer_last last;
    bool found = topic && p->index < topic->partitions_count;

    if (found && !topic->partitions[p->index].log) {
        struct err why;
        log_dir_failure(broker_log_dir(io->broker), topic->name, p->index, &why);
        io_fail(io, -EIO, false, STORAGE_EXCEPTION, "Partition %s-%d is offline: %s", topic->name, p->index, why.text);
        io->offline = true;
        found = false;
    }
    if (found) {
        struct journal_part *part = part_open(io, p, topic);
        if (topic->log_config.strict) journal_set_strict(io->journal, true);
        *ret_log = (struct journal_log){.log_start = partition_log_marks(part->log).log_start,
                                        .log_end = partition_log_settled_end(part->log, io->stored->number)};
        if (partition_log_producer_last(part->log, producer_id, &last)) {
            ret_log->known = true;
            ret_log->next_sequence =
                last.last_sequence < 0 ? 0 : (int32_t)(((uint32_t)last.last_sequence + 1) & INT32_MAX);
            ret_log->own_end = last.last_offset + 1;
        }
    }
    metadata_unref(m);
    return found;
}

/* -- records -- */

/* As DefaultRecordBatch.estimateBatchSizeUpperBound() counts a batch of one record, which is what max.request.size is compared with. */
static size_t serialized_size(struct slice key, struct slice value, const struct record_header *headers, int32_t count)
{
    size_t size = RECORD_BATCH_HEADER_BYTES + 21;

    size += key.ptr ? (size_t)varint_size((int32_t)key.len) + key.len : 1;
    size += value.ptr ? (size_t)varint_size((int32_t)value.len) + value.len : 1;
    size += (size_t)varint_size(count);
    for (int32_t i = 0; i < count; i++) {
        size += (size_t)varint_size((int32_t)headers[i].key.len) + headers[i].key.len;
        size += headers[i].value.ptr ? (size_t)varint_size((int32_t)headers[i].value.len) + headers[i].value.len : 1;
    }
    return size;
}

int journal_io_make_room(struct journal_part *part, struct slice key, struct slice value,
                         const struct record_header *headers, int32_t headers_count)
{
    struct journal_io *io = part->io;
    size_t size = serialized_size(key, value, headers, headers_count);
    /* What does not compress becomes a little longer. */
    uint32_t limit = part->codec_given || io->codec ? part->batch_max - part->batch_max / 8 : part->batch_max;

    if (size > io->request_max)
        return io_fail(
            io, -EMSGSIZE, false, TOO_LARGE_EXCEPTION,
            "The message is %zu bytes when serialized which is larger than %u, which is the value of the "
            "max.request.size configuration. (Topic %s; producer.override.max.request.size in the connector's "
            "configuration allows more, then the topic's max.message.bytes must, too.)",
            size, io->request_max, part->partition->topic->name);
    if (part->builder.records_count == 0 || batch_builder_size(&part->builder) + size <= limit) return 0;
    return journal_append(io->journal, part->partition);
}

int journal_io_refuse_topic(struct journal_io *io, const char *why)
{
    return io_fail(io, -EPERM, false, "org.apache.kafka.common.errors.InvalidTopicException",
                   "%s (See the connector's topic.prefix and transforms.)", why);
}

static int append_failed(struct journal_io *io, const struct journal_part *part, const struct log_append *a,
                         uint32_t count, enum kafka_error error)
{
    const char *name = partition_log_name(part->log), *topic = part->partition->topic->name;

    switch (error) {
    case KAFKA_NOT_LEADER_OR_FOLLOWER:
        return io_fail(io, -ENOENT, true, "org.apache.kafka.common.errors.UnknownTopicOrPartitionException",
                       "Topic %s was deleted while it was being written", topic);
    case KAFKA_LEADER_NOT_AVAILABLE:
        return io_fail(io, -EAGAIN, true, "org.apache.kafka.common.errors.LeaderNotAvailableException",
                       "Another connector takes its snapshot into partition %s", name);
    case KAFKA_MESSAGE_TOO_LARGE:
    case KAFKA_RECORD_LIST_TOO_LARGE: /* of several records: the limit was lowered a moment ago */
        return io_fail(
            io, count > 1 ? -EAGAIN : -EMSGSIZE, count > 1, TOO_LARGE_EXCEPTION,
            "The request included a message larger than the max message size the server will accept. (Topic %s: "
            "a batch of %u bytes; raise its max.message.bytes, now %u, and segment.bytes if that is smaller.)",
            topic, a->size, part->batch_max);
    case KAFKA_STORAGE_ERROR:
        if (partition_log_has_failed(part->log)) break;
        return io_fail(io, -EIO, true, STORAGE_EXCEPTION, "Partition %s could not be written: %s", name,
                       a->error_message ? a->error_message : "the disk failed");
    default:
        return io_fail(io, -EIO, false, "org.apache.kafka.common.KafkaException",
                       "Partition %s refused our batch: %s%s%s", name,
                       a->duplicate ? "its sequence is there already" : kafka_error_name(error),
                       a->error_message ? ": " : "", a->error_message ? a->error_message : "");
    }
    return io_fail(
        io, -EIO, false, STORAGE_EXCEPTION,
        "Partition %s takes no writes since its disk failed. See ottla's log; mend the disk and start ottla again",
        name);
}

static int io_append(void *arg, struct journal_partition *p, int32_t first_sequence, uint32_t count,
                     int64_t *ret_base_offset, int64_t *ret_last_offset)
{
    struct journal_io *io = arg;
    struct journal_part *part = p->user;
    struct batch_fields fields = BATCH_FIELDS_PLAIN;
    struct slice batch;

    assert((uint32_t)part->builder.records_count == count);
    fields.producer_id = io->producer_id;
    fields.producer_epoch = 0;
    fields.base_sequence = first_sequence;
    fields.codec = part->codec_given ? part->codec : io->codec;
    io->pending_bytes -= MIN(io->pending_bytes, batch_builder_size(&part->builder));
    int r = batch_builder_finish(&part->builder, &fields, &batch);
    if (r < 0) return r;

    struct log_append a = {.origin = APPEND_CDC,
                           .batches = (uint8_t *)(uintptr_t)batch.ptr,
                           .size = batch.len,
                           .owner = io->stored->number};
    FAILPOINT("append");
    enum kafka_error error = partition_log_append(part->log, &a);
    batch_builder_reset(&part->builder);
    if (error != KAFKA_NONE || a.duplicate) return append_failed(io, part, &a, count, error);
    part->used = true;
    *ret_base_offset = a.base_offset;
    *ret_last_offset = a.last_offset;
    return 0;
}

static void io_discard(void *arg, struct journal_partition *p)
{
    struct journal_io *io = arg;
    struct journal_part *part = p->user;

    io->pending_bytes -= MIN(io->pending_bytes, batch_builder_size(&part->builder));
    batch_builder_reset(&part->builder);
}

static int io_offset_at(void *arg, struct journal_partition *p, int32_t sequence, int64_t *ret_offset)
{
    struct journal_part *part = p->user;

    *ret_offset = INT64_MAX;
    if (sequence == p->next_sequence) return 0;
    int r = partition_log_producer_offset_at(part->log, part->io->producer_id, sequence, ret_offset);
    if (r == 0 || r == -ENOENT) return r;
    return io_fail(part->io, r == -EBADMSG ? r : -EIO, r != -EBADMSG, STORAGE_EXCEPTION,
                   "Partition %s could not be read: %s", partition_log_name(part->log),
                   r == -EBADMSG ? "it is damaged" : strerror(-r));
}

static void io_hold(void *arg, struct journal_partition *p, int64_t offset)
{
    struct journal_io *io = arg;
    partition_log_set_hold(journal_part_of(p)->log, io->stored->number, offset);
}

static void io_release(void *arg, const struct journal_release *items, uint32_t count)
{
    struct journal_io *io = arg;
    struct log_release *releases = xmalloc(count * sizeof *releases);

    for (uint32_t i = 0; i < count; i++)
        releases[i] = (struct log_release){.log = journal_part_of(items[i].partition)->log,
                                           .owner = io->stored->number,
                                           .hold = items[i].hold == INT64_MAX ? LOG_NO_HOLD : items[i].hold};
    FAILPOINT("publish");
    partition_log_release(releases, count);
    free(releases);
}

static void io_trim_limit(void *arg, struct journal_partition *p, int64_t offset)
{
    struct journal_io *io = arg;
    partition_log_set_trim_limit(journal_part_of(p)->log, io->stored->number, offset);
}

static int io_exclusive(void *arg, struct journal_partition *p, bool on)
{
    struct journal_io *io = arg;
    if (partition_log_set_exclusive(journal_part_of(p)->log, io->stored->number, on)) return 0;
    return append_failed(io, journal_part_of(p), NULL, 0, KAFKA_LEADER_NOT_AVAILABLE);
}

static int io_truncate(void *arg, struct journal_partition *p, int64_t offset)
{
    struct partition_log *log = journal_part_of(p)->log;

    log_info("cdc", "an unfinished snapshot is taken back partition=%s from_offset=%lld", partition_log_name(log),
             (long long)offset);
    enum kafka_error error = partition_log_truncate(log, offset);
    if (error == KAFKA_NONE) return 0;
    if (error == KAFKA_NOT_LEADER_OR_FOLLOWER) return -ENOENT;
    log_error("cdc", "an unfinished snapshot could not be taken back error=%s partition=%s", kafka_error_name(error),
              partition_log_name(log));
    return error == KAFKA_OFFSET_OUT_OF_RANGE ? -EUCLEAN : -EIO;
}

/* -- the journal's log -- */

static int io_write(void *arg, struct slice key, struct slice value, int64_t *ret_offset)
{
    struct journal_io *io = arg;

    FAILPOINT("journal");
    int r = journal_store_write(io->store, key, value, ret_offset);
    if (r == 0) return 0;
    return io_fail(io, r, r == -ENOSPC, STORAGE_EXCEPTION, "The journal %s-0 could not be written: %s", JOURNAL_TOPIC,
                   r == -ENOSPC ? "the disk is full, or refused the write"
                                : "see ottla's log; mend the disk and start ottla again");
}

static void io_drop(void *arg, int64_t before_offset)
{
    struct journal_io *io = arg;
    journal_store_drop(io->store, io->stored, before_offset);
}

/* -- durability -- */

static void answer_begin(struct journal_io *io)
{
    pthread_mutex_lock(&io->lock);
    io->outstanding++;
    pthread_mutex_unlock(&io->lock);
}
/* Called with the lock, which it gives up. */
static void answer_end(struct journal_io *io)
{
    uint64_t one = 1;

    if (write(io->wake_fd, &one, sizeof one) < 0) { /* full: it is readable already */
    }
    if (--io->outstanding == 0) pthread_cond_signal(&io->quiet);
    pthread_mutex_unlock(&io->lock);
}

static void data_synced(void *arg, int error)
{
    struct journal_part *part = arg;
    struct journal_io *io = part->io;

    pthread_mutex_lock(&io->lock);
    part->answer = error;
    part->next_answered = io->answered;
    io->answered = part;
    answer_end(io);
}

static void journal_synced(void *arg, int error)
{
    struct journal_io *io = arg;

    pthread_mutex_lock(&io->lock);
    io->journal_answered = true;
    io->journal_answer = error;
    answer_end(io);
}

static void io_sync_data(void *arg, struct journal_partition *p)
{
    struct journal_io *io = arg;
    struct journal_part *part = p->user;

    answer_begin(io);
    partition_log_sync_async(part->log, partition_log_marks(part->log).log_end, data_synced, part);
}

static void io_sync_journal(void *arg)
{
    struct journal_io *io = arg;
    struct partition_log *log = journal_store_log(io->store);

    answer_begin(io);
    partition_log_sync_async(log, partition_log_marks(log).log_end, journal_synced, io);
}

/* A log that was deleted is another matter; any other takes no writes until the next start. */
static void sync_answered(struct journal_io *io, const char *name, int error)
{
    if (error == 0 || error == -ESTALE || error == -ENOENT) return;
    io_fail(io, error, false, STORAGE_EXCEPTION,
            "Partition %s could not be synced: %s. Mend the disk and start ottla again", name, strerror(-error));
}

void journal_io_deliver(struct journal_io *io)
{
    uint64_t ignored;

    if (read(io->wake_fd, &ignored, sizeof ignored) < 0) { /* nothing was there */
    }
    pthread_mutex_lock(&io->lock);
    struct journal_part *answered = io->answered;
    bool journal_answered = io->journal_answered;
    int journal_answer = io->journal_answer;
    io->answered = NULL;
    io->journal_answered = false;
    pthread_mutex_unlock(&io->lock);
    for (struct journal_part *part = answered, *next; part; part = next) {
        next = part->next_answered;
        sync_answered(io, partition_log_name(part->log), part->answer);
        journal_data_synced(io->journal, part->partition, part->answer);
    }
    if (!journal_answered) return;
    sync_answered(io, JOURNAL_TOPIC "-0", journal_answer);
    journal_journal_synced(io->journal, journal_answer);
}

static int io_wait(void *arg)
{
    struct journal_io *io = arg;
    struct pollfd p = {.fd = io->wake_fd, .events = POLLIN};
    int r;

    /* It cannot be given up: what the disk will say of the sync decides what may be confirmed. Without a descriptor (there was none
     * free) answers are looked for from time to time. */
    while ((r = poll(&p, 1, p.fd < 0 ? SYNC_LOOK_MS : SYNC_TOLD_MS)) <= 0) {
        if (r == 0 && p.fd < 0) break;
        if (r < 0 && errno != EINTR) nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL); /* no memory */
        if (r == 0)
            log_warn("cdc", "the disk does not answer a sync for %d s connector=%s", SYNC_TOLD_MS / 1000,
                     io->stored->name);
    }
    journal_io_deliver(io);
    return 0;
}

static void io_confirm(void *arg, uint64_t lsn)
{
    struct journal_io *io = arg;
    if (io->confirm) io->confirm(io->confirm_arg, lsn);
}

const struct journal_ops journal_io_ops = {.find = io_find,
                                           .append = io_append,
                                           .discard = io_discard,
                                           .offset_at = io_offset_at,
                                           .hold = io_hold,
                                           .release = io_release,
                                           .trim_limit = io_trim_limit,
                                           .exclusive = io_exclusive,
                                           .truncate = io_truncate,
                                           .write = io_write,
                                           .drop = io_drop,
                                           .sync_data = io_sync_data,
                                           .sync_journal = io_sync_journal,
                                           .wait = io_wait,
                                           .confirm = io_confirm};
