/* Any bytes as the files that a start finds: segments, indexes, snapshots, epochs, checkpoints, after clean and other stops.
 * The first byte chooses; then come files: kind (1 byte), length (2 bytes), bytes. Whatever they hold, the log opens or is
 * refused; an open one is consistent, is read to its end, is compacted, takes an append, and opens again with all that it had. */
#include "base/log.h"
#include "protocol/batch_builder.h"
#include "storage/log_dir.h"
#include "storage/log_internal.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CLEAN_STOP   1
#define FIX_CHECKSUM 2
#define COMPACTED    4

static const char *const names[] = {
    "t-0/00000000000000000000.log",
    "t-0/00000000000000000000.index",
    "t-0/00000000000000000000.timeindex",
    "t-0/00000000000000000000.txnindex",
    "t-0/00000000000000000000.snapshot",
    "t-0/00000000000000000003.log",
    "t-0/00000000000000000003.index",
    "t-0/00000000000000000003.snapshot",
    "t-0/leader-epoch-checkpoint",
    "t-0/partition.metadata",
    "recovery-point-offset-checkpoint",
    "log-start-offset-checkpoint",
    "ottla.partitions",
    "t-0/00000000000000000005.log.deleted",
    "t-0/00000000000000000000.log.swap",
    "t-0/00000000000000000000.index.swap",
    "t-0/00000000000000000000.txnindex.swap",
    "cleaner-offset-checkpoint",
};

static char path[] = "/dev/shm/ottla-fuzz-XXXXXX";

static int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
    return ftw->level ? remove(name) : 0;
}

static int no_sync(int fd)
{
    return 0;
}

static void write_file(const char *name, const uint8_t *bytes, size_t size)
{
    char full[200];
    snprintf(full, sizeof full, "%s/%s", path, name);
    int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    close(fd);
}

/* A checksum that no mutation can hit would keep everything behind it untested. */
static void fix_checksums(uint8_t *bytes, size_t size)
{
    struct slice rest = slice_make(bytes, (uint32_t)size);
    struct record_batch b;
    for (;;) {
        uint8_t *at = bytes + (size - rest.len);
        if (record_batch_next(&rest, &b) != RECORD_BATCH_OK) break;
        be32_store(at + RECORD_BATCH_AT_CRC, record_batch_compute_crc(&b));
    }
}

static int open_log(struct log_dir **ret_dir, struct partition_log **ret_log, bool compacted)
{
    static struct io_ops io;
    struct log_dir_options o;
    struct log_config config;
    struct uuid id;
    struct err err = ERR_NONE;

    memset(id.bytes, 7, sizeof id.bytes); /* as in the corpus */
    io = io_posix;
    io.fsync = io.fdatasync = no_sync;
    log_dir_options_default(&o);
    o.path = path;
    o.io = &io;
    o.cleaner.backoff_ms = INT64_MAX;
    o.cleaner.dedupe_buffer_bytes = 4096;
    log_config_default(&config);
    config.segment_bytes = 2000;
    config.index_interval_bytes = 100;
    config.cleanup_compact = compacted;
    config.min_cleanable_ratio = 0;
    config.file_delete_delay_ms = 0;
    *ret_dir = NULL;
    int r = log_dir_open(&o, ret_dir, &err);
    return r ? r : log_dir_open_log(*ret_dir, "t", 0, id, &config, ret_log, &err);
}

/* Walks all that can be read. false: the files are damaged where they were trusted. */
static bool read_all(struct partition_log *log)
{
    struct log_marks m = partition_log_marks(log);
    int64_t offset = m.log_start, time, found;
    int32_t epoch;

    assert(m.log_start <= m.log_end && m.last_stable <= m.high_watermark && m.high_watermark <= m.log_end);
    while (offset < m.last_stable) {
        struct log_read r;
        if (partition_log_read(log, offset, 500, true, READ_COMMITTED, &r) != KAFKA_NONE) return false;
        if (!r.file) break; /* emptied by compaction */
        uint8_t *bytes = malloc(r.length);
        assert(bytes && pread(r.file->fd, bytes, r.length, (off_t)r.position) == (ssize_t)r.length);
        struct slice rest = slice_make(bytes, r.length);
        struct record_batch b;
        while (rest.len) {
            /* Damage inside of a closed segment that is trusted: its reader will see. */
            if (record_batch_next(&rest, &b) != RECORD_BATCH_OK || record_batch_next_offset(&b) <= offset) break;
            offset = record_batch_next_offset(&b);
        }
        free(bytes);
        log_read_done(&r);
        if (rest.len) return false;
    }
    partition_log_epoch_end(log, m.leader_epoch, &epoch, &found);
    return partition_log_offset_for_time(log, 1000, &found, &time, &epoch) == KAFKA_NONE &&
           partition_log_max_timestamp(log, &found, &time, &epoch) == KAFKA_NONE;
}

static enum kafka_error append(struct partition_log *log)
{
    struct batch_builder builder;
    struct slice bytes;
    struct batch_fields fields = BATCH_FIELDS_PLAIN;

    batch_builder_init(&builder);
    batch_builder_append(&builder, 1000, SLICE("k"), SLICE("v"), NULL, 0);
    int r = batch_builder_finish(&builder, &fields, &bytes);
    assert(!r);
    struct log_append a = {.origin = APPEND_INTERNAL, .batches = (uint8_t *)(uintptr_t)bytes.ptr, .size = bytes.len};
    enum kafka_error error = partition_log_append(log, &a);
    batch_builder_done(&builder);
    return error;
}

/* Our thousands of log lines about damage go nowhere; the fuzzer keeps its own. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char mask[] = "-close_fd_mask=2";
    char **args = calloc((size_t)*argc + 2, sizeof *args);
    assert(args);
    memcpy(args, *argv, (size_t)*argc * sizeof *args);
    args[(*argc)++] = mask;
    *argv = args;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool made;
    struct log_dir *dir;
    struct partition_log *log = NULL;
    char folder[100];

    if (size < 1) return 0;
    log_level_max = LOG_ERROR;
    if (!made) {
        if (!mkdtemp(path)) return 0;
        made = true;
    }
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    snprintf(folder, sizeof folder, "%s/t-0", path);
    mkdir(folder, 0755);
    uint8_t choice = *data++;
    bool trusted = choice & CLEAN_STOP; /* nothing is checked: damage shows when it is read */
    for (size--; size >= 3;) {
        uint32_t name = data[0] % countof(names);
        size_t len = MIN((size_t)be16_load(data + 1), size - 3);
        uint8_t *copy = malloc(len + 1);
        assert(copy);
        memcpy(copy, data + 3, len);
        if (choice & FIX_CHECKSUM && strstr(names[name], ".log")) fix_checksums(copy, len);
        write_file(names[name], copy, len);
        trusted |= !strcmp(names[name], "recovery-point-offset-checkpoint");
        free(copy);
        data += 3 + len;
        size -= 3 + len;
    }
    if (choice & CLEAN_STOP)
        write_file(".kafka_cleanshutdown", (const uint8_t *)"{\"version\":0,\"brokerEpoch\":1}", 29);

    if (!open_log(&dir, &log, choice & COMPACTED)) {
        bool readable = read_all(log);
        if (log_dir_clean(dir) && readable) readable = read_all(log);
        int64_t end = partition_log_marks(log).log_end;
        if (readable && append(log) == KAFKA_NONE) {
            partition_log_unref(log);
            log_dir_close(dir);
            log = NULL;
            int r = open_log(&dir, &log, choice & COMPACTED);
            assert(trusted || !r);
            readable = !r && read_all(log) && partition_log_marks(log).log_end == end + 1;
            assert(trusted || readable);
        }
        partition_log_unref(log);
    }
    log_dir_close(dir);
    return 0;
}
