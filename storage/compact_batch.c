/* storage/compact_batch.c: a batch in the two readings of a pass of compaction: its keys into the map; then which of
 * its records stay, and the batch that is left of them. The rules: compact.h. Threads: the cleaner's; no lock. */
#include "storage/compact_pass.h"

#include <errno.h>
#include <string.h>

/* -- the map -- */

/* The next record of b. A compressed batch may be stored without a look at its records: their offsets are checked here.
 * *last_delta: -1 before the first. Returns what record_reader_next() does; -EBADMSG: an offset is not behind the one
 * before, or beyond the batch. */
static int next_record(struct record_reader *reader, const struct record_batch *b, int32_t *last_delta,
                       struct record *ret_record)
{
    int r = record_reader_next(reader, ret_record);
    if (r <= 0) return r;
    if (ret_record->offset_delta <= *last_delta || ret_record->offset_delta > b->last_offset_delta) return -EBADMSG;
    *last_delta = ret_record->offset_delta;
    return r;
}

int compact_map_batch(struct pass *p, const struct record_batch *b)
{
    struct record_reader reader;
    struct record record;
    int32_t last_delta = -1;

    if (record_batch_last_offset(b) < p->from || record_batch_is_control(b) || compact_aborted_of(p, b)) return 1;
    int r = record_reader_open(&reader, b, LOG_CONTENT_MAX, &p->content);
    if (r) return r;
    while ((r = next_record(&reader, b, &last_delta, &record)) > 0) {
        if (!record.key.ptr || record.offset < p->from) continue;
        if (offset_map_put(&p->map, record.key, record.offset)) continue;
        p->clean_end = record.offset;
        return 0;
    }
    return r ? r : 1;
}

/* -- one batch -- */

/* What becomes of a batch. */
struct fate {
    bool drop_all; /* none of its records stays */
    bool keep_all; /* not judged by keys: a marker, or behind the end of what the map knows */
    bool keep_empty;
    bool spare_marker; /* a marker that may go when its delete horizon passes */
};

static bool horizon_passed(const struct pass *p, const struct record_batch *b)
{
    return record_batch_has_delete_horizon(b) && b->base_timestamp <= p->now_ms;
}

static bool record_stays(struct pass *p, const struct record_batch *b, const struct record *record)
{
    if (record->offset >= p->clean_end) return true;
    if (!record->key.ptr) return false;
    return record->offset >= offset_map_get(&p->map, record->key) && (record->value.ptr || !horizon_passed(p, b));
}

/* The records that stay go into the builder. base_timestamp_ms: of the header, or NO_TIMESTAMP: the first record's. */
static int rebuild(struct pass *p, const struct record_batch *b, const struct fate *fate, int64_t base_timestamp_ms,
                   bool *ret_tombstones)
{
    struct record_reader reader;
    struct record record;
    int32_t last_delta = -1;

    batch_builder_reset(&p->builder);
    if (base_timestamp_ms != RECORD_BATCH_NO_TIMESTAMP) batch_builder_set_base(&p->builder, base_timestamp_ms);
    *ret_tombstones = false;
    int r = record_reader_open(&reader, b, LOG_CONTENT_MAX, &p->content);
    if (r) return r;
    while ((r = next_record(&reader, b, &last_delta, &record)) > 0) {
        if (!fate->keep_all && !record_stays(p, b, &record)) continue;
        if (!record.value.ptr && record.key.ptr && record.offset < p->clean_end) *ret_tombstones = true;
        batch_builder_copy(&p->builder, record.offset_delta, &record);
    }
    return r;
}

static int write_built(struct pass *p, const struct record_batch *b, bool horizon)
{
    struct slice bytes;
    struct batch_fields fields = {.base_offset = b->base_offset,
                                  .partition_leader_epoch = b->partition_leader_epoch,
                                  .producer_id = b->producer_id,
                                  .producer_epoch = b->producer_epoch,
                                  .base_sequence = b->base_sequence,
                                  .attributes = (uint16_t)((b->attributes & ~RECORD_BATCH_DELETE_HORIZON) |
                                                           (horizon ? RECORD_BATCH_DELETE_HORIZON : 0)),
                                  .codec = record_batch_codec(b),
                                  .level = COMPRESSION_LEVEL_DEFAULT};

    p->builder.last_offset_delta = b->last_offset_delta;
    int r = batch_builder_finish(&p->builder, &fields, &bytes);
    return r ? r : compact_output_batch(p, bytes);
}

static int write_empty(struct pass *p, const struct record_batch *b)
{
    uint8_t bytes[RECORD_BATCH_HEADER_BYTES];
    struct record_batch empty = *b;

    empty.attributes &= (uint16_t) ~(RECORD_BATCH_CODEC_MASK | RECORD_BATCH_DELETE_HORIZON);
    empty.base_timestamp = RECORD_BATCH_NO_TIMESTAMP;
    empty.records_count = 0;
    record_batch_write_header(bytes, sizeof bytes, &empty);
    return compact_output_batch(p, slice_make(bytes, sizeof bytes));
}

int compact_clean_batch(struct pass *p, const struct record_batch *b, bool is_last)
{
    struct fate fate = {.keep_empty = is_last || compact_is_last_of_producer(p, b) ||
                                      record_batch_next_offset(b) == p->clean_end};
    struct txn_entry kept;
    bool keep_entry = false, tombstones = false;

    if (record_batch_is_control(b)) {
        fate.spare_marker = compact_marker_is_spare(p, b, &kept, &keep_entry);
        fate.drop_all = fate.spare_marker && horizon_passed(p, b);
        fate.keep_all = true;
        p->marker_gone |= fate.drop_all;
    } else {
        fate.drop_all = compact_note_data(p, b);
        fate.keep_all = b->base_offset >= p->clean_end;
    }
    if (keep_entry && txn_index_append(&p->out.segment->aborted, kept)) return -ENOMEM;
    if (!fate.drop_all && fate.keep_all && !fate.spare_marker) return compact_output_batch(p, b->bytes);

    batch_builder_reset(&p->builder);
    int64_t base = record_batch_has_delete_horizon(b) ? b->base_timestamp : RECORD_BATCH_NO_TIMESTAMP;
    int r = fate.drop_all ? 0 : rebuild(p, b, &fate, base, &tombstones);
    if (r) return r;
    if (!p->builder.records_count) return fate.keep_empty ? write_empty(p, b) : 0;

    bool begin_horizon = (tombstones || fate.spare_marker) && !record_batch_has_delete_horizon(b);
    if (!begin_horizon && p->builder.records_count == b->records_count) return compact_output_batch(p, b->bytes);
    if (begin_horizon) {
        base = p->now_ms > INT64_MAX - p->config.delete_retention_ms ? INT64_MAX
                                                                     : p->now_ms + p->config.delete_retention_ms;
        r = rebuild(p, b, &fate, base, &tombstones);
        if (r) return r;
    }
    return write_built(p, b, base != RECORD_BATCH_NO_TIMESTAMP);
}
