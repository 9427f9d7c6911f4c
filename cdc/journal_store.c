/* cdc/journal_store.c: see journal_store.h. */
#include "cdc/journal_store.h"

#include "base/clock.h"
#include "base/log.h"
#include "broker/broker.h"
#include "protocol/record.h"

#include <errno.h>
#include <stdio.h>

/* Producer ids of journals: of the range whose state never expires and that no client is given, from here on. */
#define PRODUCER_ID_FIRST  (LOG_PRODUCER_ID_RESERVED_MIN + 1000)
#define CHECKPOINT_RECORDS 4096                     /* units between full records: bounds what a start has to read */
#define LOG_RECORDS_WANTED (4 * CHECKPOINT_RECORDS) /* beyond it journals that rest are copied forward */
#define READ_BYTES         (1024 * 1024)

struct journal_store {
    struct broker *broker;
    struct partition_log *log; /* NULL: no connector ever ran */
    pthread_mutex_t lock;      /* of the fields below */
    struct batch_builder builder;
    struct stored_journal *journals;
    int32_t number_next;
    int64_t producer_id_next;
    int64_t log_start, log_end;
};

static int64_t wall_ms(void)
{
    return clock_wall_ms(&clock_system);
}

/* -- the log -- */

struct partition_log *journal_store_log(struct journal_store *s)
{
    return s->log;
}

int journal_store_write(struct journal_store *s, struct slice key, struct slice value, int64_t *ret_offset)
{
    struct slice batch;
    struct batch_fields fields = BATCH_FIELDS_PLAIN;

    pthread_mutex_lock(&s->lock);
    batch_builder_reset(&s->builder);
    batch_builder_append(&s->builder, wall_ms(), key, value, NULL, 0);
    int r = batch_builder_finish(&s->builder, &fields, &batch);
    if (r == 0) {
        struct log_append a = {
            .origin = APPEND_INTERNAL, .batches = (uint8_t *)(uintptr_t)batch.ptr, .size = batch.len};
        enum kafka_error error = partition_log_append(s->log, &a);
        if (error != KAFKA_NONE) {
            log_error("cdc", "the journal could not be written error=%s", kafka_error_name(error));
            r = -EIO;
        } else {
            *ret_offset = a.base_offset;
            s->log_end = a.last_offset + 1;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}

static int log_ensure(struct journal_store *s, struct err *err)
{
    static const struct config_entry config[] = {
        {"cleanup.policy", "delete"}, {"retention.bytes", "-1"}, {"retention.ms", "-1"}, {"segment.bytes", "16777216"}};

    if (s->log) return 0;
    enum kafka_error error = broker_topic_ensure(s->broker, JOURNAL_TOPIC, 1, config, countof(config), err);
    if (error != KAFKA_NONE) return -EIO;
    s->log = broker_partition(s->broker, JOURNAL_TOPIC, 0);
    return s->log ? 0 : err_set(err, -EIO, "the journal's partition %s-0 is offline", JOURNAL_TOPIC);
}

/* Moves the log's start to what every journal can do without. With the lock. */
static void shorten(struct journal_store *s)
{
    int64_t start = s->log_end, ret_start;

    for (const struct stored_journal *j = s->journals; j; j = j->next) start = MIN(start, j->needs_offset);
    if (start <= s->log_start) return;
    s->log_start = start;
    if (partition_log_delete_records(s->log, start, &ret_start) != KAFKA_NONE)
        log_warn("cdc", "the journal's start could not be moved offset=%lld", (long long)start);
}

void journal_store_drop(struct journal_store *s, struct stored_journal *stored, int64_t before_offset)
{
    struct stored_journal *resting = NULL;

    pthread_mutex_lock(&s->lock);
    stored->needs_offset = before_offset;
    shorten(s);
    for (struct stored_journal *j = s->journals; j && !resting; j = j->next)
        if (!j->taken && !j->failed && j != stored && s->log_end - j->needs_offset > LOG_RECORDS_WANTED) resting = j;
    if (resting) resting->taken = true;
    pthread_mutex_unlock(&s->lock);
    if (!resting) return;

    /* Its checkpoint ends in journal_store_drop() for itself, which may find the next one. */
    int r = journal_checkpoint(resting->journal);
    if (r == 0) r = journal_drain(resting->journal);
    pthread_mutex_lock(&s->lock);
    resting->failed = r;
    resting->taken = false;
    pthread_mutex_unlock(&s->lock);
}

bool journal_store_wants_checkpoint(struct journal_store *s, const struct stored_journal *stored)
{
    pthread_mutex_lock(&s->lock);
    bool wants = s->log_end - stored->needs_offset > LOG_RECORDS_WANTED;
    pthread_mutex_unlock(&s->lock);
    return wants;
}

/* -- reading -- */

static struct stored_journal *by_number(struct journal_store *s, int32_t number)
{
    for (struct stored_journal *j = s->journals; j; j = j->next)
        if (j->number == number) return j;
    return NULL;
}

static void journal_make(struct journal_store *s, struct stored_journal *stored)
{
    stored->io = journal_io_new(s->broker, s, stored);
    stored->io->producer_id = stored->producer_id;
    stored->journal = journal_new(
        &journal_io_ops, stored->io,
        &(struct journal_options){.connector = stored->number,
                                  .producer_id = stored->producer_id,
                                  .name = slice_of(stored->name),
                                  .topic_prefix = slice_of(stored->topic_prefix),
                                  .strict = strcmp(broker_config(s->broker)->ottla_durability, "strict") == 0,
                                  .strict_when_shared = true,
                                  .checkpoint_records = CHECKPOINT_RECORDS});
    stored->io->journal = stored->journal;
}

static void journal_unmake(struct stored_journal *stored)
{
    /* The io first: it waits for answers under way, which name partitions of the journal. */
    journal_io_free(stored->io);
    journal_free(stored->journal);
    stored->io = NULL;
    stored->journal = NULL;
}

static struct stored_journal *stored_new(struct journal_store *s, int32_t number, struct slice name,
                                         struct slice topic_prefix, int64_t producer_id)
{
    struct stored_journal *stored = xcalloc(1, sizeof *stored);

    stored->number = number;
    stored->name = slice_strdup(name);
    stored->topic_prefix = slice_strdup(topic_prefix);
    stored->producer_id = producer_id;
    stored->needs_offset = s->log_end;
    stored->next = s->journals;
    s->journals = stored;
    s->number_next = MAX(s->number_next, number + 1);
    s->producer_id_next = MAX(s->producer_id_next, producer_id + 1);
    journal_make(s, stored);
    return stored;
}

/* One record of the log, for every journal (only NULL) or one. */
static int load_record(struct journal_store *s, const struct stored_journal *only, const struct record *record)
{
    struct journal_key key;
    struct journal_connector_record connector;

    if (!journal_key_read(record->key, &key)) return -EBADMSG;
    if (only && key.connector != only->number) return 0;
    struct stored_journal *stored = by_number(s, key.connector);
    if (key.type == JOURNAL_CONNECTOR) {
        if (!journal_connector_read(record->value, &connector)) return -EBADMSG;
        if (!stored) {
            stored = stored_new(s, key.connector, connector.name, connector.topic_prefix, connector.producer_id);
            stored->needs_offset = record->offset;
        }
        stored->producer_id = stored->io->producer_id = connector.producer_id;
        s->producer_id_next = MAX(s->producer_id_next, connector.producer_id + 1);
    }
    if (!stored) return 0; /* before its checkpoint, which begins with a CONNECTOR record */
    return journal_load(stored->journal, record->offset, record->key, record->value);
}

static int load_batches(struct journal_store *s, const struct stored_journal *only, struct slice batches,
                        int64_t from_offset)
{
    struct bytes scratch = {0};
    struct record_batch b;
    struct record record;
    int r = 0;

    while (r == 0 && batches.len > 0) {
        struct record_reader reader;
        if (record_batch_next(&batches, &b) != RECORD_BATCH_OK) {
            r = -EBADMSG;
            break;
        }
        r = record_reader_open(&reader, &b, JOURNAL_RECORD_BYTES_MAX, &scratch);
        while (r == 0 && (r = record_reader_next(&reader, &record)) > 0)
            r = record.offset < from_offset ? 0 : load_record(s, only, &record);
    }
    bytes_done(&scratch);
    return r;
}

static int load_log(struct journal_store *s, const struct stored_journal *only, struct err *err)
{
    struct log_marks marks = partition_log_marks(s->log);
    struct broker_reader *reader = broker_reader_new(s->broker, s->log, marks.log_start, READ_LOG_END);
    struct slice batches;
    int r = 0;

    while (r == 0) {
        int64_t offset = broker_reader_offset(reader);
        if (offset >= marks.log_end) break;
        enum kafka_error error = broker_reader_next(reader, READ_BYTES, 0, &batches);
        if (error != KAFKA_NONE)
            r = err_set(err, -EIO, "the journal %s-0 cannot be read: %s", JOURNAL_TOPIC, kafka_error_name(error));
        else if (batches.len == 0) break;
        else if ((r = load_batches(s, only, batches, offset)) < 0)
            (void)err_set(err, r, "the journal %s-0 is damaged or newer than this program, from offset %lld on",
                          JOURNAL_TOPIC, (long long)offset);
    }
    broker_reader_free(reader);
    return r;
}

/* Partitions that recovery left free may still be held by what this connector ran before in this process. */
static void release_rest(struct stored_journal *stored)
{
    uint32_t count = 0;

    for (struct journal_part *p = stored->io->parts; p; p = p->next) count++;
    struct log_release *items = xcalloc(count + 1, sizeof *items);
    count = 0;
    for (struct journal_part *p = stored->io->parts; p; p = p->next) {
        if (p->partition->gone) continue;
        (void)!partition_log_set_exclusive(p->log, stored->number, false);
        if (!p->partition->held)
            items[count++] = (struct log_release){.log = p->log, .owner = stored->number, .hold = LOG_NO_HOLD};
    }
    partition_log_release(items, count);
    free(items);
}

static void disown_all(struct stored_journal *stored)
{
    for (struct journal_part *p = stored->io->parts; p; p = p->next) partition_log_disown(p->log, stored->number);
}

static int recover(struct stored_journal *stored, struct err *err)
{
    int r = journal_recover(stored->journal);

    if (r == 0 && stored->io->offline) r = -EIO;
    if (r == -EUCLEAN)
        err_set(err, r,
                "connector %s: a partition's log has lost records that were durable, or is another's; see the journal "
                "with `ottla dump`",
                stored->name);
    else if (r < 0) err_set(err, r, "connector %s: its journal could not be recovered: %s", stored->name, strerror(-r));
    stored->failed = r;
    if (r < 0) return r;
    release_rest(stored);
    if (journal_is_ahead(stored->journal))
        log_info(
            "cdc",
            "logs are ahead of the journal: replay will skip what they have, readers see it afterwards connector=%s",
            stored->name);
    return 0;
}

/* -- life -- */

int journal_store_open(struct broker *broker, struct journal_store **ret_store, struct err *err)
{
    struct journal_store *s = xcalloc(1, sizeof *s);
    int r = 0;

    s->broker = broker;
    s->number_next = 1;
    s->producer_id_next = PRODUCER_ID_FIRST;
    pthread_mutex_init(&s->lock, NULL);
    batch_builder_init(&s->builder);
    s->log = broker_partition(broker, JOURNAL_TOPIC, 0);
    if (s->log) {
        struct log_marks marks = partition_log_marks(s->log);
        s->log_start = marks.log_start;
        s->log_end = marks.log_end;
        r = load_log(s, NULL, err);
    }
    for (struct stored_journal *j = s->journals; j && r == 0; j = j->next) {
        struct err why;
        if (recover(j, &why) < 0)
            log_error("cdc", "%s", why.text); /* its connector will fail with this text; others run */
    }
    if (r < 0) {
        journal_store_close(s);
        return r;
    }
    *ret_store = s;
    return 0;
}

void journal_store_close(struct journal_store *s)
{
    if (!s) return;
    for (struct stored_journal *j = s->journals, *next; j; j = next) {
        next = j->next;
        if (!j->failed && journal_drain(j->journal) < 0) log_warn("cdc", "the last sync failed connector=%s", j->name);
        journal_unmake(j);
        free(j->name);
        free(j->topic_prefix);
        free(j);
    }
    if (s->log) partition_log_unref(s->log);
    batch_builder_done(&s->builder);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* With the lock. */
static struct stored_journal *by_name(struct journal_store *s, const char *name, const char *topic_prefix)
{
    struct stored_journal *j = s->journals;
    while (j && (strcmp(j->name, name) != 0 || strcmp(j->topic_prefix, topic_prefix) != 0)) j = j->next;
    return j;
}

bool journal_store_position(struct journal_store *s, const char *name, const char *topic_prefix,
                            uint64_t *ret_durable_lsn, struct source_offset *ret_offset)
{
    pthread_mutex_lock(&s->lock);
    struct stored_journal *j = by_name(s, name, topic_prefix);
    bool known = j && !j->taken && !j->failed && journal_has_position(j->journal);
    if (known) {
        *ret_durable_lsn = journal_confirmed(j->journal);
        *ret_offset = j->mark.told;
    }
    pthread_mutex_unlock(&s->lock);
    return known;
}

int journal_store_reload(struct journal_store *s, struct stored_journal *stored, struct err *err)
{
    journal_unmake(stored);
    journal_make(s, stored);
    int r = load_log(s, stored, err);
    if (r < 0) stored->failed = r;
    return r < 0 ? r : recover(stored, err);
}

int journal_store_take(struct journal_store *s, const char *name, const char *topic_prefix,
                       struct stored_journal **ret_stored, struct err *err)
{
    bool is_new = false;

    int r = log_ensure(s, err);
    if (r < 0) return r;
    pthread_mutex_lock(&s->lock);
    struct stored_journal *stored = by_name(s, name, topic_prefix);
    if (stored && stored->taken) r = -EBUSY;
    if (!stored) {
        stored = stored_new(s, s->number_next, slice_of(name), slice_of(topic_prefix), s->producer_id_next);
        is_new = true;
    }
    if (r == 0) stored->taken = true;
    pthread_mutex_unlock(&s->lock);
    if (r < 0) return err_set(err, r, "connector %s runs already", name);

    if (is_new) r = recover(stored, err);
    else if (stored->failed || journal_failed(stored->journal)) r = journal_store_reload(s, stored, err);
    if (r < 0) {
        journal_store_give(s, stored);
        return r;
    }
    *ret_stored = stored;
    return 0;
}

void journal_store_give(struct journal_store *s, struct stored_journal *stored)
{
    pthread_mutex_lock(&s->lock);
    stored->taken = false;
    pthread_mutex_unlock(&s->lock);
}

/* Another producer id: sequences begin anew, whatever the logs hold of the old one. What was held is shown. */
int journal_store_begin_anew(struct journal_store *s, struct stored_journal *stored, struct err *err)
{
    disown_all(stored);
    journal_unmake(stored);
    pthread_mutex_lock(&s->lock);
    stored->producer_id = s->producer_id_next++;
    stored->mark = (struct offset_mark){0};
    pthread_mutex_unlock(&s->lock);
    journal_make(s, stored);
    return recover(stored, err); /* writes the new CONNECTOR record, durable when it returns */
}

int journal_store_reset(struct journal_store *s, const char *name, const char *topic_prefix)
{
    struct err err;

    pthread_mutex_lock(&s->lock);
    struct stored_journal *stored = by_name(s, name, topic_prefix);
    int r = stored ? 0 : -ENOENT;
    if (r == 0 && stored->taken) r = -EBUSY;
    if (r == 0) stored->taken = true;
    pthread_mutex_unlock(&s->lock);
    if (r < 0) return r;

    r = journal_store_begin_anew(s, stored, &err);
    journal_store_give(s, stored);
    return r;
}
