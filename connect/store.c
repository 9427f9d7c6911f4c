/* connect/store.c: see store.h: the three topics in the broker that we are a part of, written to and read in memory.
 *
 * Reading: batches whose checksum or records are bad are handed to the visitor as such; a batch header that is no header ends
 * the reading with an error, as nobody knows where the next one begins.
 * Threads: put and last any (logs have their own locks); open, replay and close the owner's. */
#include "connect/store.h"

#include "base/log.h"
#include "base/murmur2.h"
#include "broker/broker.h"
#include "protocol/record.h"

#include <errno.h>

#define READ_BYTES  (64 * 1024)
#define CONTENT_MAX (16 * 1024 * 1024) /* of a compressed batch that Kafka Connect left behind [bytes] */
#define DURABLE_MAX 16                 /* records of one durable put */
#define LAST_RECORDS                                                                                                   \
    64 /* that are read first to find the last of a key: few keys share a partition of connect-offsets */

/* Kafka Connect's defaults. */
static const int32_t partitions_count[CONNECT_TOPICS_COUNT] = {
    [CONNECT_CONFIGS] = 1, [CONNECT_OFFSETS] = 25, [CONNECT_STATUSES] = 5};

static const struct record_header own_header = {.key = SLICE("worker"), .value = SLICE("ottla")};

struct broker_store {
    struct connect_store store;
    struct broker *broker;
    struct {
        const char *name; /* of the broker's configuration */
        struct partition_log **logs;
        int32_t count;
    } topic[CONNECT_TOPICS_COUNT];
};

static int store_put(struct connect_store *store, const struct connect_record *records, uint32_t records_count,
                     bool durable, struct err *err)
{
    struct broker_store *s = container_of(store, struct broker_store, store);
    struct partition_log *written[DURABLE_MAX];
    uint32_t written_count = 0;

    assert(!durable || records_count <= DURABLE_MAX);

    for (uint32_t i = 0; i < records_count; i++) {
        const struct connect_record *r = &records[i];
        struct slice key = slice_of(r->key);
        struct partition_log *log = s->topic[r->topic].logs[murmur2_partition(key, s->topic[r->topic].count)];
        int64_t offset;
        enum kafka_error error =
            broker_append_record_headers(s->broker, log, key, slice_of(r->value), &own_header, 1, &offset);
        if (error != KAFKA_NONE)
            return err_set(err, -EIO, "%s could not be written: %s", partition_log_name(log), kafka_error_name(error));
        if (!durable) continue;
        bool known = false;
        for (uint32_t k = 0; k < written_count; k++) known = known || written[k] == log;
        if (!known) written[written_count++] = log;
    }
    if (!durable) return 0;
    int r = partition_log_sync(written, written_count);
    return r < 0 ? err_set(err, r, "%s could not be synced", s->topic[records[0].topic].name) : 0;
}

/* -- reading -- */

struct replay {
    void (*visit)(void *arg, const struct stored_record *record);
    void *arg;
    struct bytes scratch;
    struct stored_record record;
    int64_t next_offset; /* records before it were visited, or do not count */
};

static bool is_own(const struct record *r)
{
    struct slice rest = r->headers;
    struct record_header h;

    while (record_header_next(&rest, &h))
        if (slice_eq(h.key, own_header.key) && slice_eq(h.value, own_header.value)) return true;
    return false;
}

/* NULL: all records were visited; else why the batch cannot be decoded. Those before the bad one were visited: Kafka
 * Connect's own consumer reads them, too. */
static const char *visit_batch(struct replay *p, const struct record_batch *batch)
{
    struct record_reader reader;
    struct record record;

    if (record_batch_is_control(batch)) return NULL;
    if (!record_batch_crc_ok(batch)) return "its checksum does not match";
    int r = record_reader_open(&reader, batch, CONTENT_MAX, &p->scratch);
    while (r == 0 && (r = record_reader_next(&reader, &record)) > 0) {
        r = 0;
        if (record.offset < p->next_offset) continue;
        p->record.offset = record.offset;
        p->record.key = record.key;
        p->record.value = record.value;
        p->record.own = is_own(&record);
        p->visit(p->arg, &p->record);
    }
    switch (r) {
    case 0: return NULL;
    case -EFBIG: return "its records decompress to more than 16 MiB";
    case -ENOMEM: return "there is no memory for its records";
    default: return "its records are damaged, or of a codec that does not exist";
    }
}

static void visit_batches(struct replay *p, struct slice batches)
{
    struct record_batch batch;

    while (record_batch_next(&batches, &batch) == RECORD_BATCH_OK) {
        p->record.unreadable = visit_batch(p, &batch);
        if (p->record.unreadable) {
            p->record.offset = batch.base_offset;
            p->record.key = p->record.value = SLICE_NULL;
            p->visit(p->arg, &p->record);
            p->record.unreadable = NULL;
        }
        p->next_offset = MAX(p->next_offset, record_batch_next_offset(&batch));
    }
}

static int replay_partition(struct broker_store *s, struct partition_log *log, int64_t from_offset, struct replay *p,
                            struct err *err)
{
    p->next_offset = from_offset;
    p->record = (struct stored_record){.partition = partition_log_name(log)};
    struct broker_reader *reader = broker_reader_new(s->broker, log, p->next_offset, READ_LOG_END);
    struct slice batches;
    int r = 0;

    for (;;) {
        int64_t before = broker_reader_offset(reader);
        enum kafka_error error = broker_reader_next(reader, READ_BYTES, 0, &batches);
        if (error == KAFKA_NONE && batches.len == 0) break;
        if (error != KAFKA_NONE) {
            r = err_set(err, -EIO, "%s cannot be read from offset %lld on: %s", partition_log_name(log),
                        (long long)before, kafka_error_name(error));
            break;
        }
        visit_batches(p, batches);
        if (broker_reader_offset(reader) > before) continue;
        /* Where the next batch begins is not known: nothing behind it can be read. */
        r = err_set(err, -EBADMSG, "%s cannot be read from offset %lld on: no batch of format 2 begins there",
                    partition_log_name(log), (long long)before);
        break;
    }
    broker_reader_free(reader);
    return r;
}

static int store_replay(struct connect_store *store, enum connect_topic topic,
                        void (*visit)(void *arg, const struct stored_record *record), void *arg, struct err *err)
{
    struct broker_store *s = container_of(store, struct broker_store, store);
    struct replay p = {.visit = visit, .arg = arg};
    int r = 0;

    for (int32_t i = 0; i < s->topic[topic].count && r == 0; i++) {
        struct partition_log *log = s->topic[topic].logs[i];
        r = replay_partition(s, log, partition_log_marks(log).log_start, &p, err);
    }
    bytes_done(&p.scratch);
    return r;
}

struct last {
    struct slice key;
    bool found;
    char *value;
};

static void visit_last(void *arg, const struct stored_record *r)
{
    struct last *l = arg;

    if (r->unreadable || !slice_eq(r->key, l->key)) return;
    free(l->value);
    l->found = true;
    l->value = r->value.ptr ? slice_strdup(r->value) : NULL;
}

static char *store_last(struct connect_store *store, enum connect_topic topic, const char *key)
{
    struct broker_store *s = container_of(store, struct broker_store, store);
    struct last l = {.key = slice_of(key)};
    struct replay p = {.visit = visit_last, .arg = &l};
    struct partition_log *log = s->topic[topic].logs[murmur2_partition(l.key, s->topic[topic].count)];
    struct log_marks marks = partition_log_marks(log);
    struct err err = ERR_NONE;
    int64_t from_offset, window = LAST_RECORDS;

    do {
        from_offset = MAX(marks.log_end - window, marks.log_start);
        window *= 8;
        if (replay_partition(s, log, from_offset, &p, &err) < 0) log_warn("connect", "%s", err.text);
    } while (!l.found && from_offset > marks.log_start && !*err.text);
    bytes_done(&p.scratch);
    return l.value;
}

static int64_t store_end(struct connect_store *store, enum connect_topic topic)
{
    struct broker_store *s = container_of(store, struct broker_store, store);
    int64_t end = 0;

    for (int32_t i = 0; i < s->topic[topic].count; i++) end += partition_log_marks(s->topic[topic].logs[i]).log_end;
    return end;
}

static const char *store_name(struct connect_store *store, enum connect_topic topic)
{
    return container_of(store, struct broker_store, store)->topic[topic].name;
}

/* -- opening -- */

static int topics_create(struct broker_store *s, struct err *err)
{
    static const struct config_entry compact[] = {{"cleanup.policy", "compact"}};
    struct broker_topic wanted[CONNECT_TOPICS_COUNT];

    for (int i = 0; i < CONNECT_TOPICS_COUNT; i++)
        wanted[i] = (struct broker_topic){.name = s->topic[i].name,
                                          .partitions_count = partitions_count[i],
                                          .config = compact,
                                          .config_count = countof(compact)};
    enum kafka_error error = broker_topics_ensure(s->broker, wanted, CONNECT_TOPICS_COUNT, err);
    if (error == KAFKA_NONE) return 0;
    err_prefix(err, "the topics of Connect cannot be created");
    return -EIO;
}

static int names_check(const struct broker_store *s, struct err *err)
{
    const char *configs = s->topic[CONNECT_CONFIGS].name, *offsets = s->topic[CONNECT_OFFSETS].name,
               *statuses = s->topic[CONNECT_STATUSES].name;

    if (strcmp(configs, offsets) && strcmp(configs, statuses) && strcmp(offsets, statuses)) return 0;
    return err_set(err, -EINVAL,
                   "config.storage.topic, offset.storage.topic and status.storage.topic must be three topics");
}

static int logs_open(struct broker_store *s, enum connect_topic topic, struct err *err)
{
    const struct metadata *m = broker_metadata(s->broker);
    const struct metadata_topic *t = metadata_topic(m, slice_of(s->topic[topic].name));
    int r = 0;

    if (!t) {
        r = err_set(err, -ENOENT, "the topic %s does not exist", s->topic[topic].name);
    } else if (topic == CONNECT_CONFIGS && t->partitions_count != 1) {
        /* Order between keys matters there; Kafka Connect refuses such a topic, too. */
        r = err_set(err, -EINVAL, "the topic %s has %d partitions instead of 1", s->topic[topic].name,
                    t->partitions_count);
    } else {
        s->topic[topic].logs = xcalloc((size_t)t->partitions_count, sizeof(struct partition_log *));
        for (int32_t p = 0; p < t->partitions_count && r == 0; p++) {
            struct partition_log *log = t->partitions[p].log;
            if (!log) r = err_set(err, -EIO, "%s-%d is offline", s->topic[topic].name, p);
            else s->topic[topic].logs[s->topic[topic].count++] = partition_log_ref(log);
        }
    }
    metadata_unref(m);
    return r;
}

int connect_store_open(struct broker *broker, struct connect_store **ret_store, struct err *err)
{
    const struct broker_config *config = broker_config(broker);
    struct broker_store *s = xcalloc(1, sizeof *s);

    s->store = (struct connect_store){
        .put = store_put, .replay = store_replay, .last = store_last, .end = store_end, .name = store_name};
    s->broker = broker;
    s->topic[CONNECT_CONFIGS].name = config->connect_config_topic;
    s->topic[CONNECT_OFFSETS].name = config->connect_offset_topic;
    s->topic[CONNECT_STATUSES].name = config->connect_status_topic;
    int r = names_check(s, err);
    if (r == 0) r = topics_create(s, err);
    for (int i = 0; i < CONNECT_TOPICS_COUNT && r == 0; i++) r = logs_open(s, (enum connect_topic)i, err);
    if (r < 0) {
        connect_store_close(&s->store);
        return r;
    }
    *ret_store = &s->store;
    return 0;
}

void connect_store_close(struct connect_store *store)
{
    if (!store) return;
    struct broker_store *s = container_of(store, struct broker_store, store);
    for (int i = 0; i < CONNECT_TOPICS_COUNT; i++) {
        for (int32_t p = 0; p < s->topic[i].count; p++) partition_log_unref(s->topic[i].logs[p]);
        free(s->topic[i].logs);
    }
    free(s);
}
