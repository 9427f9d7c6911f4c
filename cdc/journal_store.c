/* cdc/journal_store.c: the journals of all connectors in one log: written, shortened, recovered, taken and given. See
 * journal_store.h. */
#include "cdc/journal_store_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "broker/broker.h"

#include <errno.h>

/* Producer ids of journals: of the range whose state never expires and that no client is given, from here on. */
#define PRODUCER_ID_FIRST  (LOG_PRODUCER_ID_RESERVED_MIN + 1000)
#define CHECKPOINT_RECORDS 4096                     /* units between full records: bounds what a start has to read */
#define LOG_RECORDS_WANTED (4 * CHECKPOINT_RECORDS) /* beyond it journals that rest are copied forward */

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
            r = error == KAFKA_STORAGE_ERROR && !partition_log_has_failed(s->log) ? -ENOSPC : -EIO;
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

    pthread_mutex_lock(&s->lock);
    bool known = s->log != NULL;
    pthread_mutex_unlock(&s->lock);
    if (known) return 0;
    enum kafka_error error = broker_topic_ensure(s->broker, JOURNAL_TOPIC, 1, config, countof(config), err);
    if (error != KAFKA_NONE) return -EIO;
    struct partition_log *log = broker_partition(s->broker, JOURNAL_TOPIC, 0);
    if (!log) return err_set(err, -EIO, "the journal's partition %s-0 is offline", JOURNAL_TOPIC);
    pthread_mutex_lock(&s->lock);
    if (!s->log) s->log = partition_log_ref(log);
    pthread_mutex_unlock(&s->lock);
    partition_log_unref(log);
    return 0;
}

/* Moves the log's start to what every journal can do without. With the lock. */
static void shorten(struct journal_store *s)
{
    int64_t start = s->log_end, ret_start;

    if (s->blind) return; /* somebody unknown may need it */
    for (const struct stored_journal *j = s->journals; j; j = j->next) start = MIN(start, j->needs_offset);
    if (start <= s->log_start) return;
    s->log_start = start;
    if (partition_log_delete_records(s->log, start, &ret_start) != KAFKA_NONE)
        log_warn("cdc", "the journal's start could not be moved offset=%lld", (long long)start);
}

/* Does it rest, keep the log long, and can that be changed? With the lock: nobody works on a journal that rests. */
static bool wants_copy(const struct journal_store *s, const struct stored_journal *j)
{
    return !j->forgotten && !j->taken && !j->lent && !j->failed && s->log_end - j->needs_offset > LOG_RECORDS_WANTED &&
           journal_may_checkpoint(j->journal);
}

/* Copies a resting journal forward. With the lock, which is given up meanwhile: until then a taker waits. */
static void copy_forward(struct journal_store *s, struct stored_journal *resting)
{
    resting->lent = true;
    pthread_mutex_unlock(&s->lock);
    int r = journal_checkpoint(resting->journal);
    if (r == 0) r = journal_drain(resting->journal); /* ends in journal_store_drop() for itself */
    pthread_mutex_lock(&s->lock);
    resting->failed = r;
    if (r < 0)
        err_set(&resting->why, r, "connector %s: its journal could not be copied: %s", resting->name, strerror(-r));
    resting->lent = false;
    pthread_cond_broadcast(&s->returned);
}

void journal_store_drop(struct journal_store *s, struct stored_journal *stored, int64_t before_offset)
{
    pthread_mutex_lock(&s->lock);
    stored->needs_offset = before_offset;
    shorten(s);
    /* Journals are never taken off the list. Who copies one forward goes through them: not the copy's own end. */
    for (struct stored_journal *j = stored->lent ? NULL : s->journals; j; j = j->next)
        if (wants_copy(s, j)) copy_forward(s, j);
    pthread_mutex_unlock(&s->lock);
}

bool journal_store_wants_checkpoint(struct journal_store *s, const struct stored_journal *stored)
{
    pthread_mutex_lock(&s->lock);
    bool wants = s->log_end - stored->needs_offset > LOG_RECORDS_WANTED;
    pthread_mutex_unlock(&s->lock);
    return wants;
}

/* -- one journal -- */

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

struct stored_journal *stored_journal_new(struct journal_store *s, int32_t number, struct slice name,
                                          struct slice topic_prefix, int64_t producer_id)
{
    struct stored_journal *stored = s->journals;

    while (stored && !stored->forgotten) stored = stored->next;
    if (stored) {
        *stored = (struct stored_journal){.next = stored->next};
    } else {
        stored = xcalloc(1, sizeof *stored);
        stored->next = s->journals;
        s->journals = stored;
    }
    stored->number = number;
    stored->name = slice_strdup(name);
    stored->topic_prefix = slice_strdup(topic_prefix);
    stored->producer_id = producer_id;
    stored->needs_offset = s->log_end;
    s->number_next = MAX(s->number_next, number + 1);
    s->producer_id_next = MAX(s->producer_id_next, producer_id + 1);
    journal_make(s, stored);
    return stored;
}

void stored_journal_forget(struct stored_journal *stored)
{
    journal_unmake(stored);
    free(stored->name);
    free(stored->topic_prefix);
    *stored = (struct stored_journal){.forgotten = true, .needs_offset = INT64_MAX, .next = stored->next};
}

/* An id that no log knows, also when the journal that gave others was lost: they grow with time. With the lock. */
static int64_t producer_id_new(struct journal_store *s)
{
    s->producer_id_next = MAX(s->producer_id_next, PRODUCER_ID_FIRST + wall_ms());
    return s->producer_id_next++;
}

/* With the lock. */
static void note_durable(struct stored_journal *stored)
{
    stored->durable_lsn = journal_has_position(stored->journal) ? journal_confirmed(stored->journal) : 0;
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

static int recover(struct stored_journal *stored)
{
    int r = journal_recover(stored->journal);

    if (r == 0 && stored->io->offline) r = -EIO;
    if (r == -EUCLEAN)
        err_set(&stored->why, r,
                "connector %s: a partition's log has lost records that were durable, or is another's; see the journal "
                "with `ottla dump`",
                stored->name);
    else if (r < 0)
        err_set(&stored->why, r, "connector %s: its journal could not be recovered: %s", stored->name,
                stored->io->failure.code ? stored->io->failure.text : strerror(-r));
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

static bool topic_exists(struct broker *broker)
{
    const struct metadata *m = broker_metadata(broker);
    bool exists = metadata_topic(m, SLICE(JOURNAL_TOPIC)) != NULL;
    metadata_unref(m);
    return exists;
}

struct journal_store *journal_store_open(struct broker *broker)
{
    struct journal_store *s = xcalloc(1, sizeof *s);

    s->broker = broker;
    s->number_next = 1;
    s->producer_id_next = PRODUCER_ID_FIRST;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->returned, NULL);
    batch_builder_init(&s->builder);
    s->log = broker_partition(broker, JOURNAL_TOPIC, 0);
    if (s->log) {
        struct log_marks marks = partition_log_marks(s->log);
        s->log_start = marks.log_start;
        s->log_end = marks.log_end;
    }
    if (topic_exists(broker)) journal_store_load(s, NULL);
    for (struct stored_journal *j = s->journals; j; j = j->next) {
        if (j->forgotten) continue;
        if (!j->failed && recover(j) == 0) note_durable(j);
        if (!j->failed && journal_is_blank(j->journal)) stored_journal_forget(j);
        if (j->failed) log_error("cdc", "%s", j->why.text); /* its connector will fail with this text; others run */
    }
    return s;
}

void journal_store_close(struct journal_store *s)
{
    if (!s) return;
    /* All before the first one goes: a checkpoint that becomes durable looks at every journal. */
    for (struct stored_journal *j = s->journals; j; j = j->next)
        if (!j->forgotten && !j->failed && journal_drain(j->journal) < 0)
            log_warn("cdc", "the last sync failed connector=%s", j->name);
    for (struct stored_journal *j = s->journals, *next; j; j = next) {
        next = j->next;
        journal_unmake(j);
        free(j->name);
        free(j->topic_prefix);
        free(j);
    }
    if (s->log) partition_log_unref(s->log);
    batch_builder_done(&s->builder);
    pthread_cond_destroy(&s->returned);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* -- taken and given -- */

/* With the lock. */
static struct stored_journal *by_name(struct journal_store *s, const char *name, const char *topic_prefix)
{
    struct stored_journal *j = s->journals;
    while (j && (j->forgotten || strcmp(j->name, name) != 0 || strcmp(j->topic_prefix, topic_prefix) != 0)) j = j->next;
    return j;
}

/* The same, once nobody else works on it. With the lock, which is given up while it waits; it may be forgotten meanwhile. */
static struct stored_journal *by_name_at_rest(struct journal_store *s, const char *name, const char *topic_prefix)
{
    struct stored_journal *j = by_name(s, name, topic_prefix);
    while (j && j->lent) {
        pthread_cond_wait(&s->returned, &s->lock);
        j = by_name(s, name, topic_prefix);
    }
    return j;
}

bool journal_store_position(struct journal_store *s, const char *name, const char *topic_prefix,
                            uint64_t *ret_durable_lsn, struct source_offset *ret_offset)
{
    pthread_mutex_lock(&s->lock);
    struct stored_journal *j = by_name(s, name, topic_prefix);
    bool known = j && !j->taken && !j->failed && j->durable_lsn != 0;
    if (known) {
        *ret_durable_lsn = j->durable_lsn;
        *ret_offset = j->mark.told;
    }
    pthread_mutex_unlock(&s->lock);
    return known;
}

int journal_store_reload(struct journal_store *s, struct stored_journal *stored, struct err *err)
{
    journal_unmake(stored);
    journal_make(s, stored);
    journal_store_load(s, stored);
    if (!stored->failed) (void)!recover(stored);
    if (stored->failed) *err = stored->why;
    return stored->failed;
}

int journal_store_take(struct journal_store *s, const char *name, const char *topic_prefix,
                       struct stored_journal **ret_stored, struct err *err)
{
    bool is_new = false;
    int r = 0;

    pthread_mutex_lock(&s->lock);
    struct stored_journal *stored = by_name_at_rest(s, name, topic_prefix);
    if (!stored && s->blind) r = s->damage.code, *err = s->damage;
    pthread_mutex_unlock(&s->lock);
    if (r == 0) r = log_ensure(s, err);
    if (r < 0) return r;

    pthread_mutex_lock(&s->lock);
    stored = by_name_at_rest(s, name, topic_prefix);
    if (stored && stored->taken) r = -EBUSY;
    if (!stored) {
        stored = stored_journal_new(s, s->number_next, slice_of(name), slice_of(topic_prefix), producer_id_new(s));
        is_new = true;
    }
    if (r == 0) stored->taken = true;
    pthread_mutex_unlock(&s->lock);
    if (r < 0) return err_set(err, r, "connector %s runs already", name);

    if (is_new && (r = recover(stored)) < 0) *err = stored->why;
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
    note_durable(stored);
    if (!stored->failed && journal_is_blank(stored->journal)) stored_journal_forget(stored);
    pthread_mutex_unlock(&s->lock);
}

/* Another producer id: sequences begin anew, whatever the logs hold of the old one. What was held is shown. */
int journal_store_begin_anew(struct journal_store *s, struct stored_journal *stored, struct err *err)
{
    disown_all(stored);
    journal_unmake(stored);
    pthread_mutex_lock(&s->lock);
    stored->producer_id = producer_id_new(s);
    pthread_mutex_unlock(&s->lock);
    journal_make(s, stored);
    pthread_mutex_lock(&s->lock);
    int64_t begin_offset = s->log_end;
    pthread_mutex_unlock(&s->lock);
    if (recover(stored) < 0) { /* writes the new CONNECTOR record, durable when it returns */
        *err = stored->why;
        return stored->failed;
    }
    pthread_mutex_lock(&s->lock);
    stored->needs_offset = begin_offset;
    pthread_mutex_unlock(&s->lock);
    return 0;
}

/* The record that makes all of a number void: its CONNECTOR record without a name. Durable when it returns. */
static int write_void(struct journal_store *s, int32_t number, int64_t producer_id)
{
    struct bytes value = {0};
    uint8_t key[JOURNAL_KEY_BYTES];
    int64_t offset;

    journal_key_write(key, JOURNAL_CONNECTOR, number);
    journal_connector_write(&value, &(struct journal_connector_record){
                                        .name = SLICE_EMPTY, .topic_prefix = SLICE_EMPTY, .producer_id = producer_id});
    int r = value.failed ? -ENOMEM : journal_store_write(s, slice_make(key, sizeof key), bytes_slice(&value), &offset);
    bytes_done(&value);
    return r < 0 ? r : partition_log_sync(&s->log, 1);
}

int journal_store_reset(struct journal_store *s, const char *name, const char *topic_prefix)
{
    pthread_mutex_lock(&s->lock);
    struct stored_journal *stored = by_name_at_rest(s, name, topic_prefix);
    int r = stored ? 0 : -ENOENT;
    if (r == 0 && stored->taken) r = -EBUSY;
    if (r == 0) stored->taken = true;
    int64_t producer_id = producer_id_new(s);
    pthread_mutex_unlock(&s->lock);
    if (r < 0) return r;

    r = write_void(s, stored->number, producer_id);
    if (r == 0) disown_all(stored); /* what was held is shown */
    pthread_mutex_lock(&s->lock);
    stored->taken = false;
    if (r == 0) {
        stored_journal_forget(stored);
        shorten(s);
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}
