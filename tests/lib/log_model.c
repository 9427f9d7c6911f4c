#include "tests/lib/log_model.h"

#include "protocol/batch_builder.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FIRST_PRODUCER_ID 100
#define READ_BYTES        700
#define RECORD_BYTES_MAX  (1 << 20)

void (*log_model_report)(const char *text);

void log_model_fail(const struct log_model *m, const char *condition, const char *format, ...)
{
    char what[400], text[600];
    va_list ap;

    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    snprintf(text, sizeof text, "VIOLATION seed=%llu log=%s: %s [%s]", (unsigned long long)m->seed,
             m->log ? partition_log_name(m->log) : "-", what, condition);
    if (log_model_report) log_model_report(text);
    fprintf(stderr, "%s\n", text);
    abort();
}

uint32_t log_model_draw(struct log_model *m)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (uint32_t)(m->random >> 16);
}

void log_model_restart(struct log_model *m)
{
    m->end = m->tried_end = m->touched = m->start = 0;
    for (int i = 0; i < LOG_MODEL_WRITERS; i++) {
        m->writers[i].next_sequence = 0;
        m->writers[i].txn_from = -1;
    }
}

void log_model_init(struct log_model *m, uint64_t seed)
{
    *m = (struct log_model){.seed = seed, .random = seed * 2654435761u + 88172645463325252u};
    log_model_restart(m);
}

void log_model_done(struct log_model *m)
{
    free(m->all);
    m->all = NULL;
}

static struct log_model_record *record_at(struct log_model *m, int64_t offset)
{
    if (offset >= m->allocated) {
        m->allocated = (uint32_t)offset * 2 + 64;
        m->all = xrealloc(m->all, m->allocated * sizeof *m->all);
    }
    return &m->all[offset];
}

static enum kafka_error append_bytes(struct log_model *m, enum append_origin origin, struct slice bytes, int32_t count)
{
    struct log_append a = {.origin = origin, .batches = (uint8_t *)(uintptr_t)bytes.ptr, .size = bytes.len};
    m->tried_end = m->end + count;
    enum kafka_error error = partition_log_append(m->log, &a);
    if (error != KAFKA_NONE) return error;
    MODEL_CHECK(m, a.base_offset == m->end && !a.duplicate, "a batch got offset %lld instead of %lld",
                (long long)a.base_offset, (long long)m->end);
    return KAFKA_NONE;
}

/* The batch lies at the model's end and counts from now on. */
static void take(struct log_model *m, int32_t count)
{
    const struct log_model_record *first = record_at(m, m->end);
    int32_t writer = first->writer;
    if (first->key < 0) {
        for (int64_t i = m->writers[writer].txn_from; i < m->end; i++)
            if (m->all[i].writer == writer && m->all[i].fate == FATE_PENDING)
                m->all[i].fate = first->value ? FATE_COMMITTED : FATE_ABORTED;
        m->writers[writer].txn_from = -1;
    } else if (writer >= 0) {
        m->writers[writer].next_sequence += count;
        if (writer >= 2 && m->writers[writer].txn_from < 0) m->writers[writer].txn_from = m->end;
    }
    m->end += count;
    m->tried_end = m->end;
}

enum kafka_error log_model_append(struct log_model *m, int32_t writer, int32_t count, uint32_t tombstones_of_8,
                                  int64_t now_ms)
{
    static const enum compression_codec codecs[] = {COMPRESSION_NONE, COMPRESSION_LZ4, COMPRESSION_ZSTD};
    struct batch_builder builder;
    struct slice bytes;
    struct batch_fields fields = BATCH_FIELDS_PLAIN;
    char key[16], value[32];

    batch_builder_init(&builder);
    for (int32_t i = 0; i < count; i++) {
        struct log_model_record *r = record_at(m, m->end + i);
        bool tombstone = log_model_draw(m) % 8 < tombstones_of_8;
        *r = (struct log_model_record){.key =
                                           m->rolling ? LOG_MODEL_KEYS : (int32_t)(log_model_draw(m) % LOG_MODEL_KEYS),
                                       .value = tombstone ? -1 : m->value++,
                                       .timestamp_ms = now_ms + i,
                                       .writer = writer,
                                       .fate = writer >= 2 ? FATE_PENDING : FATE_COMMITTED,
                                       .batch_begins = i == 0};
        snprintf(key, sizeof key, "k%d", r->key);
        snprintf(value, sizeof value, "v%lld", (long long)r->value);
        batch_builder_append(&builder, r->timestamp_ms, slice_of(key), tombstone ? SLICE_NULL : slice_of(value), NULL,
                             0);
    }
    fields.codec = codecs[log_model_draw(m) % countof(codecs)];
    if (writer >= 0) {
        fields.producer_id = FIRST_PRODUCER_ID + writer;
        fields.producer_epoch = 0;
        fields.base_sequence = m->writers[writer].next_sequence;
        if (writer >= 2) fields.attributes = RECORD_BATCH_TRANSACTIONAL;
    }
    int r = batch_builder_finish(&builder, &fields, &bytes);
    assert(!r);
    enum kafka_error error = append_bytes(m, APPEND_CLIENT, bytes, count);
    if (error == KAFKA_NONE) take(m, count);
    batch_builder_done(&builder);
    return error;
}

enum kafka_error log_model_end_txn(struct log_model *m, int32_t writer, bool commit)
{
    struct batch_builder builder;
    struct slice bytes;
    uint8_t key[4] = {0, 0, 0, commit}, value[6] = {0, 0, 0, 0, 0, 3};
    struct batch_fields fields = BATCH_FIELDS_PLAIN;

    if (m->writers[writer].txn_from < 0) return KAFKA_NONE;
    *record_at(m, m->end) = (struct log_model_record){
        .key = -1, .value = commit, .writer = writer, .fate = FATE_COMMITTED, .batch_begins = true};
    batch_builder_init(&builder);
    batch_builder_append(&builder, 1, slice_make(key, sizeof key), slice_make(value, sizeof value), NULL, 0);
    fields.producer_id = FIRST_PRODUCER_ID + writer;
    fields.producer_epoch = 0;
    fields.attributes = RECORD_BATCH_TRANSACTIONAL | RECORD_BATCH_CONTROL;
    int r = batch_builder_finish(&builder, &fields, &bytes);
    assert(!r);
    enum kafka_error error = append_bytes(m, APPEND_INTERNAL, bytes, 1);
    if (error == KAFKA_NONE) take(m, 1);
    batch_builder_done(&builder);
    return error;
}

enum kafka_error log_model_work(struct log_model *m, int64_t now_ms)
{
    uint32_t what = log_model_draw(m) % 14;
    int32_t count = 1 + (int32_t)(log_model_draw(m) % 4), odd = (int32_t)(what % 2);

    if (what < 5) return log_model_append(m, -1, count, 2, now_ms);
    if (what < 8) return log_model_append(m, odd, count, 2, now_ms);
    if (what < 12) return log_model_append(m, 2 + odd, count, 1, now_ms);
    return log_model_end_txn(m, 2 + odd, log_model_draw(m) % 3 > 0);
}

void log_model_recovered(struct log_model *m, int64_t durable)
{
    int64_t end = partition_log_marks(m->log).log_end, tried_end = m->tried_end;

    MODEL_CHECK(m, end >= durable, "the log ends at %lld, and %lld was durable", (long long)end, (long long)durable);
    MODEL_CHECK(m, end <= tried_end, "the log ends at %lld, and nothing was written beyond %lld", (long long)end,
                (long long)tried_end);
    MODEL_CHECK(m,
                end == m->end || end == tried_end || end == partition_log_marks(m->log).log_start ||
                    m->all[end].batch_begins,
                "the log ends at %lld, within a batch", (long long)end);
    /* All is done again, up to where the log ends. */
    int64_t touched = m->touched, start = m->start;
    log_model_restart(m);
    while (m->end < end) {
        int32_t count = 1;
        while (m->end + count < end && !m->all[m->end + count].batch_begins) count++;
        for (int64_t i = m->end; i < m->end + count; i++)
            m->all[i].fate = m->all[i].key >= 0 && m->all[i].writer >= 2 ? FATE_PENDING : FATE_COMMITTED;
        take(m, count);
    }
    m->touched = MIN(touched, end);
    /* The beginning of what never was durable may be gone, and the rest be there: the log begins where its files do. */
    int64_t begins = partition_log_marks(m->log).log_start;
    MODEL_CHECK(m, begins <= start || durable <= start,
                "the log begins at %lld, %lld was durable, and nothing below %lld was given up", (long long)begins,
                (long long)durable, (long long)start);
    m->start = MAX(start, begins);
}

/* -- reading as a client -- */

static void see(struct log_model *m, struct log_model_seen *seen, const struct record *record)
{
    char key[16], value[32];
    long long offset = record->offset;

    MODEL_CHECK(m, record->offset < m->end, "a record at %lld, behind the end", offset);
    const struct log_model_record *r = &m->all[record->offset];
    snprintf(key, sizeof key, "k%d", r->key);
    snprintf(value, sizeof value, "v%lld", (long long)r->value);
    MODEL_CHECK(m, slice_eq_text(record->key, key), "another key at %lld", offset);
    MODEL_CHECK(m, r->value < 0 ? !record->value.ptr : slice_eq_text(record->value, value), "another value at %lld",
                offset);
    MODEL_CHECK(m, record->timestamp_ms == r->timestamp_ms, "another timestamp at %lld", offset);
    MODEL_CHECK(m, r->fate == FATE_COMMITTED, "the record at %lld was not committed", offset);
    MODEL_CHECK(m, !seen->at[record->offset], "the record at %lld is there twice", offset);
    seen->at[record->offset] = true;
    seen->records++;
}

static void see_batch(struct log_model *m, struct log_model_seen *seen, const struct record_batch *b,
                      struct log_read *r, bool dropping[LOG_MODEL_WRITERS], struct bytes *scratch)
{
    struct record_reader reader;
    struct record record;

    for (uint32_t i = 0; i < r->aborted_count; i++)
        if (r->aborted[i].first_offset >= 0 && r->aborted[i].first_offset <= record_batch_last_offset(b)) {
            dropping[r->aborted[i].producer_id - FIRST_PRODUCER_ID] = true;
            r->aborted[i].first_offset = -1;
        }
    if (record_batch_is_control(b)) {
        struct producer_marker marker;
        seen->markers++;
        seen->marker_at[b->base_offset] = true;
        if (log_parse_marker(b, &marker) && !marker.commit) dropping[b->producer_id - FIRST_PRODUCER_ID] = false;
        return;
    }
    seen->empty_batches += !b->records_count;
    if (record_batch_is_transactional(b) && dropping[b->producer_id - FIRST_PRODUCER_ID]) return;
    int opened = record_reader_open(&reader, b, RECORD_BYTES_MAX, scratch);
    MODEL_CHECK(m, !opened, "the batch at %lld cannot be read", (long long)b->base_offset);
    while (record_reader_next(&reader, &record) > 0) see(m, seen, &record);
}

void log_model_read(struct log_model *m, struct log_model_seen *seen)
{
    int64_t offset = partition_log_marks(m->log).log_start, last = -1;
    struct bytes scratch = {0};

    *seen = (struct log_model_seen){.at = xcalloc((size_t)m->end + 1, 1), .marker_at = xcalloc((size_t)m->end + 1, 1)};
    for (;;) {
        /* A client knows nothing from the answer before. */
        bool dropping[LOG_MODEL_WRITERS] = {0};
        struct log_read r;
        struct record_batch b;
        enum kafka_error error = partition_log_read(m->log, offset, READ_BYTES, true, READ_COMMITTED, &r);
        MODEL_CHECK(m, error == KAFKA_NONE, "a read at %lld answers %s", (long long)offset, kafka_error_text(error));
        if (!r.file) break;
        AUTO_FREE uint8_t *bytes = xmalloc(r.length);
        int copied = log_read_bytes(&r, bytes);
        MODEL_CHECK(m, !copied, "the bytes at %lld cannot be read", (long long)offset);
        struct slice rest = slice_make(bytes, r.length);
        while (rest.len) {
            enum record_batch_result result = record_batch_next(&rest, &b);
            MODEL_CHECK(m, result == RECORD_BATCH_OK && record_batch_crc_ok(&b) && b.base_offset > last,
                        "no sound batch where offset %lld is looked for", (long long)offset);
            last = record_batch_last_offset(&b);
            offset = last + 1;
            see_batch(m, seen, &b, &r, dropping, &scratch);
        }
        log_read_done(&r);
    }
    bytes_done(&scratch);
}

void log_model_seen_done(struct log_model_seen *seen)
{
    free(seen->at);
    free(seen->marker_at);
}

static void check_records(struct log_model *m, const struct log_model_seen *seen, int64_t stable)
{
    int64_t clean_end = MAX(atomic_load(&m->log->clean_end), m->touched), newest[LOG_MODEL_KEYS + 1];
    int64_t start = partition_log_marks(m->log).log_start;

    MODEL_CHECK(m, start <= m->start, "the log begins at %lld, and nothing below %lld was given up", (long long)start,
                (long long)m->start);
    memset(newest, 0xff, sizeof newest);
    for (int64_t i = 0; i < stable; i++)
        if (m->all[i].key >= 0 && m->all[i].fate == FATE_COMMITTED) newest[m->all[i].key] = i;
    /* What had been given up may be back, in part. */
    for (int64_t i = m->start; i < stable; i++) {
        const struct log_model_record *r = &m->all[i];
        if (r->key < 0 || r->fate != FATE_COMMITTED) continue;
        bool must = i >= clean_end || (newest[r->key] == i && r->value >= 0);
        MODEL_CHECK(m, !must || seen->at[i],
                    "the record at %lld is lost (newest of its key %lld, clean end %lld, stable %lld, end %lld)",
                    (long long)i, (long long)newest[r->key], (long long)clean_end, (long long)stable,
                    (long long)m->end);
    }
}

void log_model_check(struct log_model *m)
{
    struct log_model_seen seen;
    struct log_marks marks = partition_log_marks(m->log);
    int64_t open_from = m->end, left_from = m->end;

    MODEL_CHECK(m, marks.log_end == m->end, "the log ends at %lld instead of %lld", (long long)marks.log_end,
                (long long)m->end);
    log_model_read(m, &seen);
    for (int i = 0; i < LOG_MODEL_WRITERS; i++)
        if (m->writers[i].txn_from >= 0) open_from = MIN(open_from, m->writers[i].txn_from);
    /* Of a transaction that began below the log's start, what is left may be all that is known. */
    for (int64_t i = m->end; i > marks.log_start; i--)
        if (m->all[i - 1].fate == FATE_PENDING) left_from = i - 1;
    open_from = MIN(MAX(open_from, marks.log_start), marks.high_watermark);
    left_from = MIN(left_from, marks.high_watermark);
    MODEL_CHECK(m, marks.last_stable >= open_from && marks.last_stable <= left_from,
                "the last stable offset is %lld instead of %lld to %lld", (long long)marks.last_stable,
                (long long)open_from, (long long)left_from);
    check_records(m, &seen, marks.last_stable);
    /* An entry without its marker would make clients drop what the producer wrote afterwards. */
    for (uint32_t i = 0; i < m->log->segments_count; i++)
        for (uint32_t j = 0; j < m->log->segments[i]->aborted.count; j++) {
            struct txn_entry e = txn_index_get(&m->log->segments[i]->aborted, j);
            MODEL_CHECK(m,
                        e.last_offset >= marks.last_stable || e.last_offset < marks.log_start ||
                            seen.marker_at[e.last_offset],
                        "the marker at %lld is gone and its entry is not", (long long)e.last_offset);
        }
    for (int i = 0; i < LOG_MODEL_WRITERS; i++) {
        struct producer_last last;
        int32_t sequence = m->writers[i].next_sequence - 1;
        if (sequence < 0 || marks.log_start > 0) continue; /* what retention takes may be all that was known */
        bool known = partition_log_producer_last(m->log, FIRST_PRODUCER_ID + i, &last);
        MODEL_CHECK(m, known && last.last_sequence == sequence, "writer %d is known with sequence %d instead of %d", i,
                    known ? last.last_sequence : -1, sequence);
    }
    log_model_seen_done(&seen);
}

void log_dir_abandon(struct log_dir *dir)
{
    struct partition_log *log;
    scrubber_stop(dir);
    cleaner_stop(dir);
    housekeeper_stop(dir);
    sync_service_stop(&dir->sync);
    while ((log = LIST_FIRST(&dir->logs))) {
        LIST_REMOVE(log, link);
        pthread_mutex_lock(&log->lock);
        log_close(log);
        pthread_mutex_unlock(&log->lock);
        partition_log_unref(log);
    }
    struct late_removal *removal;
    while ((removal = STAILQ_FIRST(&dir->removals))) {
        STAILQ_REMOVE_HEAD(&dir->removals, link);
        free(removal);
    }
    log_dir_unref(dir);
}
