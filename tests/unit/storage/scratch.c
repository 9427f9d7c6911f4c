#include "tests/unit/storage/scratch.h"

#include "base/log.h"
#include "tests/lib/log_model.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FAR_MS (1000LL * 3600 * 1000)

static int64_t scratch_now(const struct clock *c)
{
    return container_of(c, struct scratch_clock, clock)->now_us;
}

void scratch_init(struct scratch *s)
{
    *s = (struct scratch){0};
    log_level_max = LOG_ERROR;
    snprintf(s->path, sizeof s->path, "/tmp/ottla-storage-XXXXXX");
    cr_assert(mkdtemp(s->path));
    s->clock = (struct scratch_clock){{scratch_now, scratch_now}, 1700000000000000};
    log_dir_options_default(&s->options);
    s->options.path = s->path;
    s->options.clock = &s->clock.clock;
    s->options.flush_interval_ms = s->options.recovery_point_interval_ms = s->options.retention_check_interval_ms =
        FAR_MS;
    s->options.cleaner.backoff_ms = FAR_MS;
    log_config_default(&s->config);
    s->config.file_delete_delay_ms = 0;
    s->config.message_timestamp_after_max_ms = INT64_MAX;
    memset(s->topic_id.bytes, 7, sizeof s->topic_id.bytes);
}

int scratch_try_open(struct scratch *s, struct err *err)
{
    s->dir = NULL;
    s->log = NULL;
    int r = log_dir_open(&s->options, &s->dir, err);
    if (r) return r;
    r = log_dir_open_log(s->dir, "t", 0, s->topic_id, &s->config, &s->log, err);
    return r ? r : log_dir_sync_found(s->dir);
}

void scratch_open(struct scratch *s)
{
    struct err err = ERR_NONE;
    cr_assert_eq(scratch_try_open(s, &err), 0, "%s", err.text);
}

void scratch_close(struct scratch *s)
{
    partition_log_unref(s->log);
    log_dir_close(s->dir);
    s->log = NULL;
    s->dir = NULL;
}

void scratch_kill(struct scratch *s)
{
    log_dir_abandon(s->dir);
    partition_log_unref(s->log);
    s->log = NULL;
    s->dir = NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

void scratch_remove_tree(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void scratch_done(struct scratch *s)
{
    if (s->log) scratch_close(s);
    scratch_remove_tree(s->path);
}

static uint8_t *copy_of(struct slice bytes, uint32_t *ret_size)
{
    uint8_t *copy = xmalloc(bytes.len);
    memcpy(copy, bytes.ptr, bytes.len);
    *ret_size = bytes.len;
    return copy;
}

uint8_t *batch_make(const struct batch_spec *spec, uint32_t *ret_size)
{
    struct batch_builder builder;
    struct slice bytes;
    int32_t count = spec->count ? spec->count : 1;
    uint32_t value_bytes = spec->value_bytes ? spec->value_bytes : 10;
    uint8_t *value = xmalloc(value_bytes);
    char key[16];

    batch_builder_init(&builder);
    for (int32_t i = 0; i < count; i++) {
        memset(value, 'a' + i % 26, value_bytes);
        snprintf(key, sizeof key, "k%d", i);
        batch_builder_append(&builder, spec->timestamp_ms + i, spec->no_key ? SLICE_NULL : slice_of(key),
                             slice_make(value, value_bytes), NULL, 0);
    }
    struct batch_fields fields = BATCH_FIELDS_PLAIN;
    fields.codec = spec->codec;
    if (spec->producer) {
        fields.producer_id = spec->producer_id;
        fields.producer_epoch = spec->producer_epoch;
        fields.base_sequence = spec->base_sequence;
    }
    if (spec->transactional) fields.attributes = RECORD_BATCH_TRANSACTIONAL;
    cr_assert_eq(batch_builder_finish(&builder, &fields, &bytes), 0);
    uint8_t *copy = copy_of(bytes, ret_size);
    batch_builder_done(&builder);
    free(value);
    return copy;
}

uint8_t *marker_make(int64_t producer_id, int16_t producer_epoch, bool commit, int32_t coordinator_epoch,
                     uint32_t *ret_size)
{
    struct batch_builder builder;
    struct slice bytes;
    uint8_t key[4] = {0, 0, 0, commit}, value[6] = {0};

    be32_store(value + 2, (uint32_t)coordinator_epoch);
    batch_builder_init(&builder);
    batch_builder_append(&builder, 1, slice_make(key, sizeof key), slice_make(value, sizeof value), NULL, 0);
    struct batch_fields fields = BATCH_FIELDS_PLAIN;
    fields.producer_id = producer_id;
    fields.producer_epoch = producer_epoch;
    fields.attributes = RECORD_BATCH_TRANSACTIONAL | RECORD_BATCH_CONTROL;
    cr_assert_eq(batch_builder_finish(&builder, &fields, &bytes), 0);
    uint8_t *copy = copy_of(bytes, ret_size);
    batch_builder_done(&builder);
    return copy;
}

enum kafka_error scratch_append(struct partition_log *log, enum append_origin origin, const struct batch_spec *spec,
                                struct log_append *ret_append)
{
    uint32_t size;
    AUTO_FREE uint8_t *bytes = batch_make(spec, &size);
    struct log_append a = {.origin = origin, .batches = bytes, .size = size};
    enum kafka_error error = partition_log_append(log, &a);
    if (ret_append) *ret_append = a;
    return error;
}

enum kafka_error scratch_end_txn(struct partition_log *log, int64_t producer_id, int16_t producer_epoch, bool commit)
{
    uint32_t size;
    AUTO_FREE uint8_t *bytes = marker_make(producer_id, producer_epoch, commit, 3, &size);
    struct log_append a = {.origin = APPEND_INTERNAL, .batches = bytes, .size = size};
    return partition_log_append(log, &a);
}

void scratch_fill(struct partition_log *log, uint32_t batches, uint32_t value_bytes, int64_t timestamp_ms)
{
    for (uint32_t i = 0; i < batches; i++)
        cr_assert_eq(scratch_append(log, APPEND_CLIENT,
                                    &(struct batch_spec){.value_bytes = value_bytes, .timestamp_ms = timestamp_ms + i},
                                    NULL),
                     KAFKA_NONE);
}

uint8_t *scratch_bytes(const struct log_read *r)
{
    uint8_t *bytes = xmalloc(r->length);
    cr_assert_eq(pread(r->file->fd, bytes, r->length, (off_t)r->position), (ssize_t)r->length);
    return bytes;
}

uint32_t scratch_read_all(struct partition_log *log, int64_t offset, enum read_isolation isolation)
{
    uint32_t records = 0;
    for (;;) {
        struct log_read r;
        cr_assert_eq(partition_log_read(log, offset, 100000, true, isolation, &r), KAFKA_NONE);
        if (!r.file) return records;
        AUTO_FREE uint8_t *bytes = scratch_bytes(&r);
        struct slice rest = slice_make(bytes, r.length);
        struct record_batch b;
        while (rest.len) {
            cr_assert_eq(record_batch_next(&rest, &b), RECORD_BATCH_OK);
            cr_assert(record_batch_crc_ok(&b));
            cr_assert_leq(b.base_offset, offset);
            records += (uint32_t)(record_batch_next_offset(&b) - offset);
            offset = record_batch_next_offset(&b);
        }
        log_read_done(&r);
    }
}

const char *scratch_file(const struct scratch *s, int64_t base_offset, const char *suffix)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/t-0/%020lld%s", s->path, (long long)base_offset, suffix);
    return path;
}

int64_t scratch_file_size(const char *path)
{
    struct stat st;
    return stat(path, &st) ? -1 : (int64_t)st.st_size;
}

uint32_t scratch_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 16);
}
