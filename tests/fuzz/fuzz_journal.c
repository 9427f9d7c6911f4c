/* Any records as what stands in __ottla_cdc of one connector: each is refused, or read and written again to the same bytes; what was read
 * is printed, recovered from, and copied forward, over logs that hold this or that. Input: type, uint16 length, value, again and again;
 * a type beyond the known ones has its key from the value. */
#include "cdc/journal.h"

#include <errno.h>

#define CONNECTOR  1
#define PRODUCER   7
#define INDEX_LOGS 8 /* partitions that have a log */

#define UNIT_VERSION_FORMER 1

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* -- the logs: what they hold follows from the topic's id -- */

static int64_t written;
static struct journal *journal;

static bool find(void *io, struct journal_partition *p, int64_t producer_id, struct journal_log *ret_log)
{
    const uint8_t *id = p->topic->id.bytes;

    if (p->index >= INDEX_LOGS || id[0] == 0xff) return false;
    *ret_log = (struct journal_log){.log_start = id[1], .log_end = id[1] + id[2], .known = id[3] & 1};
    if (ret_log->known) ret_log->next_sequence = id[4], ret_log->own_end = ret_log->log_end - id[5] % (id[2] + 1);
    return true;
}
static int append(void *io, struct journal_partition *p, int32_t first_sequence, uint32_t count,
                  int64_t *ret_base_offset, int64_t *ret_last_offset)
{
    return -EIO; /* nothing is counted */
}
static void discard(void *io, struct journal_partition *p) {}
static int offset_at(void *io, struct journal_partition *p, int32_t sequence, int64_t *ret_offset)
{
    *ret_offset = p->topic->id.bytes[6] & 1 ? INT64_MAX : p->topic->id.bytes[1];
    return p->topic->id.bytes[6] & 2 ? -ENOENT : 0;
}
static void hold(void *io, struct journal_partition *p, int64_t offset)
{
    assert(offset >= 0 && offset != INT64_MAX);
}
static void release(void *io, const struct journal_release *items, uint32_t count) {}
static void trim_limit(void *io, struct journal_partition *p, int64_t offset)
{
    assert(offset >= 0);
}
static int exclusive(void *io, struct journal_partition *p, bool on)
{
    return 0;
}
static int truncate_log(void *io, struct journal_partition *p, int64_t offset)
{
    return 0;
}
static int write_record(void *io, struct slice key, struct slice value, int64_t *ret_offset)
{
    *ret_offset = written++;
    return 0;
}
static void drop(void *io, int64_t before_offset) {}
static void sync_data(void *io, struct journal_partition *p)
{
    journal_data_synced(journal, p, 0);
}
static void sync_journal(void *io)
{
    journal_journal_synced(journal, 0);
}
static int wait_answer(void *io)
{
    abort(); /* all are answered at once */
}
static void confirm(void *io, uint64_t lsn) {}

static const struct journal_ops ops = {.find = find,
                                       .append = append,
                                       .discard = discard,
                                       .offset_at = offset_at,
                                       .hold = hold,
                                       .release = release,
                                       .trim_limit = trim_limit,
                                       .exclusive = exclusive,
                                       .truncate = truncate_log,
                                       .write = write_record,
                                       .drop = drop,
                                       .sync_data = sync_data,
                                       .sync_journal = sync_journal,
                                       .wait = wait_answer,
                                       .confirm = confirm};

/* -- one record -- */

static void unit_write(struct bytes *out, const struct journal_unit_record *r)
{
    struct journal_topic_entry t;
    struct journal_entry e;
    uint32_t topics_count = 0, entries_count = 0;

    journal_unit_begin(out, r->flags, r->config_hash, r->position);
    for (const uint8_t *p = r->topics; journal_unit_next_topic(r, &p, &t); topics_count++)
        journal_unit_add_topic(out, &t);
    for (const uint8_t *p = r->entries; journal_unit_next_entry(r, &p, &e); entries_count++)
        journal_unit_add_entry(out, &e);
    assert(topics_count == r->topics_count && entries_count == r->entries_count);
}

/* false: it cannot be read. */
static bool rewrite(uint8_t type, struct slice value, struct bytes *out)
{
    struct journal_connector_record connector;
    struct journal_relation_record relation;
    struct journal_unit_record unit;
    int64_t keep;

    switch (type) {
    case JOURNAL_CONNECTOR:
        if (!journal_connector_read(value, &connector)) return false;
        journal_connector_write(out, &connector);
        return true;
    case JOURNAL_UNIT:
        if (!journal_unit_read(value, &unit)) return false;
        unit_write(out, &unit);
        return true;
    case JOURNAL_RELATION:
        if (!journal_relation_read(value, &relation)) return false;
        journal_relation_write(out, &relation);
        return true;
    case JOURNAL_CUT:
        if (!journal_cut_read(value, &keep)) return false;
        journal_cut_write(out, keep);
        return true;
    default: return false;
    }
}

static int record_take(struct slice key, struct slice value, FILE *nowhere)
{
    struct journal_key k;
    struct bytes again = {0};

    journal_record_print(nowhere, key, value);
    bool known = journal_key_read(key, &k);
    bool readable = known && rewrite(k.type, value, &again);
    bool former =
        readable && k.type == JOURNAL_UNIT && value.ptr[0] == UNIT_VERSION_FORMER; /* it is written as a new one */
    if (readable && !former) assert(slice_eq(value, bytes_slice(&again)));
    int r = journal_load(journal, written++, key, value);
    assert((r == 0) == (readable && k.connector == CONNECTOR));
    bytes_done(&again);
    return r;
}

static void recover(void)
{
    struct journal_relation_record relation;
    struct journal_position until;
    uint32_t *oids;

    if (journal_recover(journal) < 0) return;
    uint32_t count = journal_relation_oids(journal, &oids);
    for (uint32_t i = 0; i < count; i++) {
        (void)journal_relation_find(journal, oids[i], journal_position(journal), SLICE_EMPTY, &relation, &until);
        (void)journal_relation_forget(journal, oids[i], 0);
    }
    free(oids);
    if (journal_is_ahead(journal)) (void)!journal_give_up_replay(journal);
    (void)!journal_checkpoint(journal);
    (void)!journal_drain(journal);
    (void)journal_is_blank(journal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *nowhere;
    uint8_t key[JOURNAL_KEY_BYTES];
    int r = 0;

    if (!nowhere) nowhere = fopen("/dev/null", "w");
    written = 0;
    journal = journal_new(&ops, NULL,
                          &(struct journal_options){.connector = CONNECTOR,
                                                    .producer_id = PRODUCER,
                                                    .name = SLICE("fuzz"),
                                                    .topic_prefix = SLICE("fuzz"),
                                                    .checkpoint_records = 4});
    while (size >= 3 && r == 0) {
        uint8_t type = data[0];
        uint32_t length = MIN((uint32_t)(data[1] << 8 | data[2]), (uint32_t)size - 3);
        struct slice value = slice_make(data + 3, length);
        bool own_key = type > JOURNAL_CUT && length >= sizeof key;
        if (own_key)
            memcpy(key, value.ptr, sizeof key), value = slice_make(value.ptr + sizeof key, length - sizeof key);
        else journal_key_write(key, type, CONNECTOR);
        r = record_take(slice_make(key, sizeof key), value, nowhere);
        data += 3 + length, size -= 3 + length;
    }
    if (r == 0) recover();
    journal_free(journal);
    return 0;
}
