/* tools/ottla/dump_index.c: the files beside a segment: sparse indexes, aborted transactions, producer snapshots.
 *
 * Formats (Kafka's, big-endian): .index: int32 offset minus base offset, int32 position, of the last record of a batch
 * and of the batch's begin; .timeindex: int64 timestamp, int32 offset minus base offset; .txnindex: int16 version 0,
 * int64 producer id, first, last and last stable offset; .snapshot: int16 version 1, uint32 CRC-32C of what follows,
 * int32 count, and per producer the fields of ProducerSnapshot. The base offset is the file's name. Index files may end
 * in zeros, where Kafka has preallocated them. */
#include "base/crc32c.h"
#include "tools/ottla/dump.h"

#include <fcntl.h>
#include <inttypes.h>

#define OFFSET_ENTRY_BYTES   8
#define TIME_ENTRY_BYTES     12
#define TXN_ENTRY_BYTES      34
#define SNAPSHOT_HEAD_BYTES  10 /* version, CRC, count */
#define SNAPSHOT_ENTRY_BYTES 46
#define SNAPSHOT_VERSION     1
#define SNAPSHOT_CRC_AT      2
#define SNAPSHOT_CRC_END     6
#define INDEX_FILE_MAX       (1u << 30)

/* The whole file, for the caller to free. NULL: a problem, told. */
static uint8_t *file_read(struct dump *d, const struct dump_file *f)
{
    if (f->size > INDEX_FILE_MAX) {
        dump_problem(d, "%s: too large for its kind", f->path);
        return NULL;
    }
    uint8_t *bytes = malloc(f->size ? f->size : 1);
    if (bytes && dump_read(d, f, 0, bytes, f->size)) return bytes;
    dump_problem(d, "%s: cannot be read whole", f->path);
    free(bytes);
    return NULL;
}

static int64_t base_offset_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return strtoll(slash ? slash + 1 : path, NULL, 10);
}

/* Entries of a size, less preallocated zeros; a rest that is no entry is a problem. */
static uint64_t entries_count(struct dump *d, const struct dump_file *f, const uint8_t *bytes, uint32_t entry_bytes)
{
    uint64_t count = f->size / entry_bytes;
    if (f->size % entry_bytes) dump_problem(d, "%s: the last entry is cut short", f->path);
    for (; count > 1; count--) {
        const uint8_t *entry = bytes + (count - 1) * entry_bytes;
        bool zero = true;
        for (uint32_t i = 0; i < entry_bytes && zero; i++) zero = entry[i] == 0;
        if (!zero) break;
    }
    /* A first entry of zeros says nothing where nothing follows it. */
    bool used = false;
    for (uint32_t i = 0; count == 1 && i < entry_bytes && !used; i++) used = bytes[i] != 0;
    return count == 1 && !used ? 0 : count;
}

/* Whether a batch with this last offset begins at position of the log beside the index. */
static void check_position(struct dump *d, const struct dump_file *log, int64_t offset, uint32_t position)
{
    uint8_t header[RECORD_BATCH_HEADER_BYTES];
    struct record_batch b;
    uint32_t size;
    if (!dump_read(d, log, position, header, sizeof header) ||
        record_batch_parse_header(slice_make(header, sizeof header), &b, &size) != RECORD_BATCH_OK)
        dump_problem(d, "no batch begins at position %u of the log", position);
    else if (record_batch_last_offset(&b) != offset)
        dump_problem(d, "the batch at position %u of the log ends at offset %" PRId64, position,
                     record_batch_last_offset(&b));
}

void dump_offset_index(struct dump *d, const struct dump_file *f)
{
    AUTO_FREE uint8_t *bytes = file_read(d, f);
    if (!bytes) return;
    int64_t base_offset = base_offset_of(f->path), last_offset = -1;
    uint64_t count = entries_count(d, f, bytes, OFFSET_ENTRY_BYTES);
    AUTO_FREE char *log_path = xstrdup(f->path);
    char *ending = strstr(log_path, ".index");
    if (ending) strcpy(ending, ".log"); /* shorter */
    AUTO_FD int fd = open(log_path, O_RDONLY | O_CLOEXEC);
    struct dump_file log = {.path = log_path, .fd = fd};

    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *entry = bytes + i * OFFSET_ENTRY_BYTES;
        int64_t offset = base_offset + (int32_t)be32_load(entry);
        uint32_t position = be32_load(entry + 4);
        fprintf(d->out, "offset=%" PRId64 " position=%u\n", offset, position);
        if (i && offset <= last_offset) dump_problem(d, "the offset is not larger than the one before");
        if (fd >= 0) check_position(d, &log, offset, position);
        last_offset = offset;
    }
}

void dump_time_index(struct dump *d, const struct dump_file *f)
{
    AUTO_FREE uint8_t *bytes = file_read(d, f);
    if (!bytes) return;
    int64_t base_offset = base_offset_of(f->path), last_timestamp = INT64_MIN, last_offset = -1;
    uint64_t count = entries_count(d, f, bytes, TIME_ENTRY_BYTES);
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *entry = bytes + i * TIME_ENTRY_BYTES;
        int64_t timestamp_ms = (int64_t)be64_load(entry), offset = base_offset + (int32_t)be32_load(entry + 8);
        char time[DUMP_TIME_SIZE];
        fprintf(d->out, "timestamp=%s offset=%" PRId64 "\n", dump_time(timestamp_ms, time), offset);
        if (timestamp_ms <= last_timestamp) dump_problem(d, "the timestamp is not larger than the one before");
        if (offset <= last_offset) dump_problem(d, "the offset is not larger than the one before");
        last_timestamp = timestamp_ms;
        last_offset = offset;
    }
}

void dump_txn_index(struct dump *d, const struct dump_file *f)
{
    AUTO_FREE uint8_t *bytes = file_read(d, f);
    if (!bytes) return;
    uint64_t count = entries_count(d, f, bytes, TXN_ENTRY_BYTES);
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *entry = bytes + i * TXN_ENTRY_BYTES;
        int16_t version = (int16_t)be16_load(entry);
        fprintf(d->out,
                "aborted producer=%" PRId64 " first_offset=%" PRId64 " last_offset=%" PRId64
                " last_stable_offset=%" PRId64 "\n",
                (int64_t)be64_load(entry + 2), (int64_t)be64_load(entry + 10), (int64_t)be64_load(entry + 18),
                (int64_t)be64_load(entry + 26));
        if (version != 0) dump_problem(d, "the entry has version %d, not 0", version);
    }
}

void dump_producer_snapshot(struct dump *d, const struct dump_file *f)
{
    AUTO_FREE uint8_t *bytes = file_read(d, f);
    if (!bytes) return;
    if (f->size < SNAPSHOT_HEAD_BYTES) {
        dump_problem(d, "%s: cut short", f->path);
        return;
    }
    int16_t version = (int16_t)be16_load(bytes);
    uint32_t crc = be32_load(bytes + SNAPSHOT_CRC_AT), count = be32_load(bytes + SNAPSHOT_HEAD_BYTES - 4);
    fprintf(d->out, "snapshot version=%d producers=%u crc=%u\n", version, count, crc);
    if (version != SNAPSHOT_VERSION) dump_problem(d, "%s: version %d is not known", f->path, version);
    if (crc != crc32c(0, bytes + SNAPSHOT_CRC_END, f->size - SNAPSHOT_CRC_END))
        dump_problem(d, "%s: wrong CRC", f->path);
    if (f->size - SNAPSHOT_HEAD_BYTES != (uint64_t)count * SNAPSHOT_ENTRY_BYTES) {
        dump_problem(d, "%s: the size does not fit %u producers", f->path, count);
        return;
    }
    for (const uint8_t *p = bytes + SNAPSHOT_HEAD_BYTES; p < bytes + f->size; p += SNAPSHOT_ENTRY_BYTES) {
        char time[DUMP_TIME_SIZE];
        fprintf(d->out,
                "producer=%" PRId64 " epoch=%d last_sequence=%d last_offset=%" PRId64 " offset_delta=%d timestamp=%s"
                " coordinator_epoch=%d txn_first_offset=%" PRId64 "\n",
                (int64_t)be64_load(p), (int16_t)be16_load(p + 8), (int32_t)be32_load(p + 10),
                (int64_t)be64_load(p + 14), (int32_t)be32_load(p + 22), dump_time((int64_t)be64_load(p + 26), time),
                (int32_t)be32_load(p + 34), (int64_t)be64_load(p + 38));
    }
}
