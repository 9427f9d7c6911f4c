/* tools/ottla/dump_log.c: segments and metadata snapshots: record batches back to back (protocol/record_batch.h). */
#include "protocol/record_batch.h"
#include "tools/ottla/dump.h"

#include <inttypes.h>

#define CONTENT_MAX (1u << 30) /* of a batch that was in a log once; the user's own machine and data */

/* The topic that path belongs to: its folder without "-PARTITION". Snapshots of the metadata also lie elsewhere. */
static char *topic_of(const char *path)
{
    if (strstr(path, ".checkpoint")) return xstrdup(DUMP_METADATA_TOPIC);
    AUTO_FREE char *whole = realpath(path, NULL);
    const char *text = whole ? whole : path, *end = strrchr(text, '/');
    if (!end) return xstrdup("");
    const char *begin = end;
    while (begin > text && begin[-1] != '/') begin--;
    const char *dash = end;
    while (dash > begin && *dash != '-') dash--;
    return slice_strdup(slice_make(begin, (uint32_t)((dash > begin ? dash : end) - begin)));
}

static void dump_headers(struct dump *d, const struct record *r)
{
    struct slice rest = r->headers;
    struct record_header header;
    if (!r->headers_count) return;
    fputs(" headers={", d->out);
    for (const char *comma = ""; record_header_next(&rest, &header); comma = ", ") {
        fputs(comma, d->out);
        dump_bytes(d, header.key);
        putc('=', d->out);
        dump_bytes(d, header.value);
    }
    putc('}', d->out);
}

static void dump_records(struct dump *d, const char *topic, const struct record_batch *b, struct bytes *scratch)
{
    struct record_reader reader;
    struct record record;
    char time[DUMP_TIME_SIZE];
    int32_t last_delta = -1;
    int r = record_reader_open(&reader, b, CONTENT_MAX, scratch);
    while (r >= 0 && (r = record_reader_next(&reader, &record)) > 0) {
        if (!d->batches_only && record.offset >= d->from_offset) {
            fprintf(d->out, "  offset=%" PRId64 " timestamp=%s", record.offset, dump_time(record.timestamp_ms, time));
            if (record_batch_has_producer(b) && b->base_sequence >= 0)
                fprintf(d->out, " sequence=%d", record_sequence_add(b->base_sequence, record.offset_delta));
            dump_record_content(d, topic, b, &record);
            dump_headers(d, &record);
            putc('\n', d->out);
        }
        if (record.offset_delta <= last_delta || record.offset_delta > b->last_offset_delta)
            dump_problem(d, "offset %" PRId64 " does not lie between its neighbours", record.offset);
        last_delta = record.offset_delta;
    }
    if (r < 0) dump_problem(d, "the records of the batch at offset %" PRId64 " cannot be read", b->base_offset);
}

static void dump_batch(struct dump *d, const struct record_batch *b, uint64_t position)
{
    char time[DUMP_TIME_SIZE];
    const char *codec = compression_name((int)record_batch_codec(b));
    bool crc_ok = record_batch_crc_ok(b);
    fprintf(d->out,
            "batch offsets=%" PRId64 "..%" PRId64 " position=%" PRIu64
            " size=%u count=%d codec=%s %s=%s leader_epoch=%d",
            b->base_offset, record_batch_last_offset(b), position, b->bytes.len, b->records_count,
            codec ? codec : "unknown", record_batch_is_log_append_time(b) ? "append_time" : "max_timestamp",
            dump_time(b->max_timestamp, time), b->partition_leader_epoch);
    if (record_batch_has_producer(b)) {
        fprintf(d->out, " producer=%" PRId64 " epoch=%d", b->producer_id, b->producer_epoch);
        if (b->base_sequence >= 0)
            fprintf(d->out, " sequences=%d..%d", b->base_sequence, record_batch_last_sequence(b));
    }
    if (record_batch_is_transactional(b)) fputs(" transactional", d->out);
    if (record_batch_is_control(b)) fputs(" control", d->out);
    if (record_batch_has_delete_horizon(b)) fprintf(d->out, " delete_horizon=%s", dump_time(b->base_timestamp, time));
    fprintf(d->out, " crc=%u%s\n", b->crc, crc_ok ? "" : " (wrong)");
    if (!crc_ok) dump_problem(d, "the CRC of the batch at position %" PRIu64 " is wrong", position);
}

/* What follows the last whole batch. */
static void dump_tail(struct dump *d, const struct dump_file *f, uint64_t position, enum record_batch_result result)
{
    static const char *const causes[] = {
        [RECORD_BATCH_PARTIAL] = "a batch is cut short",
        [RECORD_BATCH_LEGACY] = "a message set of magic 0 or 1",
        [RECORD_BATCH_BAD_MAGIC] = "no batch (unknown magic)",
        [RECORD_BATCH_BAD_LENGTH] = "no batch (impossible length)",
    };
    dump_problem(d, "%s: %s at position %" PRIu64 ", %" PRIu64 " bytes before the end of the file", f->path,
                 causes[result], position, f->size - position);
}

void dump_log(struct dump *d, const struct dump_file *f)
{
    struct bytes batch = {0}, scratch = {0};
    AUTO_FREE char *topic = topic_of(f->path);
    uint64_t position = 0;
    int64_t next_offset = 0;
    while (position < f->size) {
        uint8_t header[RECORD_BATCH_HEADER_BYTES];
        uint32_t header_size = (uint32_t)MIN(f->size - position, (uint64_t)sizeof header), size = 0;
        struct record_batch b;
        if (!dump_read(d, f, position, header, header_size)) break;
        enum record_batch_result result = record_batch_parse_header(slice_make(header, header_size), &b, &size);
        if (result == RECORD_BATCH_OK && size > f->size - position) result = RECORD_BATCH_PARTIAL;
        if (result != RECORD_BATCH_OK) {
            dump_tail(d, f, position, result);
            break;
        }
        if (record_batch_last_offset(&b) >= d->from_offset) {
            bytes_reset(&batch);
            if (!bytes_room(&batch, size)) {
                dump_problem(d, "no memory for a batch of %u bytes", size);
                break;
            }
            if (!dump_read(d, f, position, batch.ptr, size)) break;
            if (record_batch_parse(slice_make(batch.ptr, size), &b) != RECORD_BATCH_OK) break;
            dump_batch(d, &b, position);
            dump_records(d, topic, &b, &scratch);
        }
        if (b.base_offset < next_offset)
            dump_problem(d, "the batch at position %" PRIu64 " begins before the end of the one in front of it",
                         position);
        next_offset = record_batch_next_offset(&b);
        position += size;
    }
    bytes_done(&batch);
    bytes_done(&scratch);
}
