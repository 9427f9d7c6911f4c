/* cdc/journal_store_load.c: reads __ottla_cdc-0 into journals, and says of what cannot be read whom it concerns.
 *
 * Format: docs/format-cdc-journal.md. A batch that fails its checksum may have been of any journal that had begun: those fail. A
 * record that is read and not understood fails the journal that its key names. When the key says nothing, or what follows cannot be
 * found, everybody fails, also who is not known yet. Nothing is changed: the file can be restored. docs/exactly-once.md, "Damage
 * of the journal".
 * Threads: the main thread at start; later one that has taken the journal which is read. */
#include "cdc/journal_store_internal.h"

#include "base/log.h"
#include "broker/broker.h"
#include "protocol/record.h"
#include "storage/log_dir.h"

#include <errno.h>
#include <stdio.h>

#define READ_BYTES (1024 * 1024)

static struct stored_journal *by_number(struct journal_store *s, int32_t number)
{
    for (struct stored_journal *j = s->journals; j; j = j->next)
        if (!j->forgotten && j->number == number) return j;
    return NULL;
}

/* Reading the log: for all journals, while nobody else knows the store, or for one that the caller has. */
struct load {
    struct journal_store *s;
    struct stored_journal *only; /* NULL: all */
    struct bytes batches;        /* what was read at once */
    char file[32];               /* that it stands in */
    uint64_t position;           /* of the batch at hand in the file [bytes] */
    int64_t offset;              /* .. of its first record */
    bool strangers;              /* records of journals whose begin was not seen */
};

static void stored_fail(struct stored_journal *stored, const struct err *why)
{
    if (stored->failed) return;
    stored->failed = why->code;
    stored->why = *why;
}

/* The text for what is damaged where l stands. stored NULL: it concerns everybody. */
static void damage_text(const struct load *l, const struct stored_journal *stored, const char *what,
                        struct err *ret_why)
{
    const char *path = log_dir_path(broker_log_dir(l->s->broker));

    if (stored)
        err_set(
            ret_why, -EBADMSG,
            "connector %s: its journal %s/%s-0/%s %s at byte %llu (offset %lld), so that its position is not known. "
            "Restore the file; or stop the connector and delete its offsets: it then begins anew with a snapshot",
            stored->name, path, JOURNAL_TOPIC, l->file, what, (unsigned long long)l->position, (long long)l->offset);
    else
        err_set(ret_why, -EBADMSG,
                "the journal of all connectors %s/%s-0/%s %s at byte %llu (offset %lld), so that it is not known what "
                "stands behind. "
                "Restore the file; or stop ottla and move the folder away: every connector then begins anew with a "
                "snapshot",
                path, JOURNAL_TOPIC, l->file, what, (unsigned long long)l->position, (long long)l->offset);
}

static void damage_note(struct load *l, const struct err *why, bool blind)
{
    pthread_mutex_lock(&l->s->lock);
    if (!l->s->damage.code) l->s->damage = *why;
    l->s->blind |= blind;
    pthread_mutex_unlock(&l->s->lock);
}

/* A batch cannot be read: it may have been of any journal that had begun. */
static void damage_of_begun(struct load *l)
{
    struct err why;

    damage_text(l, NULL, "is damaged", &why);
    damage_note(l, &why, false);
    for (struct stored_journal *j = l->only ? l->only : l->s->journals; j; j = l->only ? NULL : j->next) {
        if (!j->begun) continue;
        damage_text(l, j, "is damaged", &why);
        stored_fail(j, &why);
    }
}

/* Nothing behind can be read. */
static void damage_of_all(struct load *l, const struct err *why)
{
    damage_note(l, why, true);
    for (struct stored_journal *j = l->only ? l->only : l->s->journals; j; j = l->only ? NULL : j->next)
        stored_fail(j, why);
}

static void load_connector(struct load *l, struct stored_journal **stored, int32_t number,
                           const struct journal_connector_record *c, int64_t offset)
{
    struct journal_store *s = l->s;

    if (!*stored) {
        *stored = stored_journal_new(s, number, c->name, c->topic_prefix, c->producer_id);
        (*stored)->needs_offset = offset;
    }
    if ((*stored)->producer_id != c->producer_id) (*stored)->failed = 0; /* it began anew behind what is damaged */
    (*stored)->begun = true;
    pthread_mutex_lock(&s->lock);
    (*stored)->producer_id = (*stored)->io->producer_id = c->producer_id;
    s->producer_id_next = MAX(s->producer_id_next, c->producer_id + 1);
    pthread_mutex_unlock(&s->lock);
}

static void load_record(struct load *l, const struct record *record)
{
    struct journal_key key;
    struct journal_connector_record connector;
    struct err why;

    if (!journal_key_read(record->key, &key)) {
        damage_text(l, NULL, "has a record that this program does not know (it may be of a newer one)", &why);
        damage_of_all(l, &why);
        return;
    }
    if (l->only && key.connector != l->only->number) return;
    struct stored_journal *stored = l->only ? l->only : by_number(l->s, key.connector);
    if (key.type == JOURNAL_CONNECTOR && journal_connector_read(record->value, &connector)) {
        if (connector.name.len == 0) { /* the number is nobody's any more */
            l->s->number_next = MAX(l->s->number_next, key.connector + 1);
            if (stored && !l->only) stored_journal_forget(stored);
            return;
        }
        load_connector(l, &stored, key.connector, &connector, record->offset);
    }
    if (!stored || !stored->begun) {
        if (!l->only) l->s->number_next = MAX(l->s->number_next, key.connector + 1);
        l->strangers |= !stored; /* before its checkpoint, which begins with a CONNECTOR record */
        return;
    }
    if (stored->failed || journal_load(stored->journal, record->offset, record->key, record->value) == 0) return;
    damage_text(l, stored, "has a record that this program does not know (damaged, or of a newer one)", &why);
    stored_fail(stored, &why);
}

/* false: what follows cannot be found. */
static bool load_batches(struct load *l, int64_t from_offset)
{
    struct slice rest = bytes_slice(&l->batches);
    struct bytes scratch = {0};
    struct record_batch b;
    bool found = true;

    while (rest.len > 0) {
        struct record_reader reader;
        struct record record;
        uint32_t before = rest.len;
        if (record_batch_next(&rest, &b) != RECORD_BATCH_OK) {
            found = false;
            break;
        }
        l->offset = b.base_offset;
        int r =
            record_batch_crc_ok(&b) ? record_reader_open(&reader, &b, JOURNAL_RECORD_BYTES_MAX, &scratch) : -EBADMSG;
        while (r == 0 && (r = record_reader_next(&reader, &record)) > 0) {
            r = 0;
            if (record.offset >= from_offset) load_record(l, &record);
        }
        if (r < 0) damage_of_begun(l);
        l->offset = record_batch_next_offset(&b);
        l->position += before - rest.len;
    }
    bytes_done(&scratch);
    return found;
}

/* Reads what stands at l->offset. 1; 0: the end; -errno. */
static int load_read(struct load *l, int64_t end)
{
    struct log_read read;

    bytes_reset(&l->batches);
    if (l->offset >= end) return 0;
    enum kafka_error error = partition_log_read(l->s->log, l->offset, READ_BYTES, true, READ_LOG_END, &read);
    if (error != KAFKA_NONE) return error == KAFKA_CORRUPT_MESSAGE ? -EBADMSG : -EIO;
    if (!read.file) return 0;
    snprintf(l->file, sizeof l->file, "%020lld.log", (long long)read.segment_base_offset);
    l->position = read.position;
    uint8_t *room = bytes_room(&l->batches, read.length);
    int r = room ? log_read_bytes(&read, room) : -ENOMEM;
    if (r == 0) l->batches.len = read.length;
    log_read_done(&read);
    return r < 0 ? r : 1;
}

/* The log is offline, or ends where it cannot be read. */
static void load_stopped(struct load *l, int r)
{
    struct err why;

    log_dir_failure(broker_log_dir(l->s->broker), JOURNAL_TOPIC, 0, &why);
    if (why.code)
        err_prefix(&why,
                   "the journal of all connectors is offline. Restore the file; or stop ottla and move the folder %s-0 "
                   "away: every connector then begins anew with a snapshot",
                   JOURNAL_TOPIC);
    else if (r == -EBADMSG) damage_text(l, NULL, "is damaged", &why);
    else
        err_set(&why, r, "the journal of all connectors %s-0 cannot be read from offset %lld on: %s", JOURNAL_TOPIC,
                (long long)l->offset, strerror(-r));
    why.code = r;
    damage_of_all(l, &why);
}

void journal_store_load(struct journal_store *s, struct stored_journal *only)
{
    struct load l = {.s = s, .only = only};
    int r = 1;

    if (only) only->begun = false, only->failed = 0;
    if (s->log) {
        struct log_marks marks = partition_log_marks(s->log);
        l.offset = marks.log_start;
        while (r > 0) {
            int64_t from_offset = l.offset;
            r = load_read(&l, marks.log_end);
            if (r > 0 && !load_batches(&l, from_offset)) r = -EBADMSG;
        }
    } else {
        r = -EIO;
    }
    if (r < 0) load_stopped(&l, r);
    bytes_done(&l.batches);
    if (only) return;
    s->blind |= s->damage.code && l.strangers;
    if (s->blind) log_error("cdc", "%s", s->damage.text);
}
