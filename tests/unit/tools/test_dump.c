/* ottla dump over small files that are made here, sound and damaged. */
#include "base/crc32c.h"
#include "protocol/batch_builder.h"
#include "tools/ottla/dump.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/stat.h>

static char folder[] = "/tmp/test_dump_XXXXXX";

static void folder_make(void)
{
    cr_assert_not_null(mkdtemp(folder));
}

static void folder_remove(void)
{
    AUTO_FREE char *command = xasprintf("rm -r '%s'", folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(dump, .init = folder_make, .fini = folder_remove);

static char *write_file(const char *partition, const char *name, const void *bytes, size_t size)
{
    AUTO_FREE char *inner = xasprintf("%s/%s", folder, partition);
    mkdir(inner, 0700);
    char *path = xasprintf("%s/%s", inner, name);
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    cr_assert_eq(fwrite(bytes, 1, size, f), size);
    fclose(f);
    return path;
}

/* Runs the subcommand on path; what it printed is in ret_text. */
static int dump_of(const char *path, const char *option, char *ret_text, size_t size)
{
    AUTO_FREE char *printed = xasprintf("%s/printed", folder);
    AUTO_FREE char *copy = xstrdup(path);
    char name[] = "dump";
    AUTO_FREE char *option_copy = xstrdup(option ? option : "");
    char *argv[] = {name, option ? option_copy : copy, option ? copy : NULL, NULL};
    cr_assert_not_null(freopen(printed, "w", stdout));
    int status = dump_main(option ? 3 : 2, argv);
    FILE *f = fopen(printed, "r");
    size_t n = fread(ret_text, 1, size - 1, f);
    ret_text[n] = '\0';
    fclose(f);
    unlink(printed);
    return status;
}

/* Two batches, offsets 0..1 and 2. */
static struct bytes log_bytes(const char *key, size_t key_len, const char *value, size_t value_len)
{
    struct bytes log = {0};
    struct batch_builder b;
    struct slice batch;
    struct batch_fields fields = BATCH_FIELDS_PLAIN;
    batch_builder_init(&b);
    for (int i = 0; i < 2; i++) {
        batch_builder_reset(&b);
        fields.base_offset = 2 * i;
        fields.partition_leader_epoch = 3;
        for (int j = 0; j < 2 - i; j++)
            batch_builder_append(&b, 1700000000000 + i, slice_make(key, (uint32_t)key_len),
                                 slice_make(value, (uint32_t)value_len), NULL, 0);
        cr_assert_eq(batch_builder_finish(&b, &fields, &batch), 0);
        bytes_append_slice(&log, batch);
    }
    batch_builder_done(&b);
    return log;
}

Test(dump, a_log_and_its_records)
{
    char text[8000];
    struct bytes log = log_bytes("k", 1, "\0\1", 2);
    AUTO_FREE char *path = write_file("orders-0", "00000000000000000000.log", log.ptr, log.len);
    cr_assert_eq(dump_of(path, NULL, text, sizeof text), 0);
    cr_assert(strstr(text, "batch offsets=0..1 position=0 "));
    cr_assert(strstr(text, "batch offsets=2..2 "));
    cr_assert(strstr(text, "offset=1 timestamp=2023-11-14T22:13:20.000Z key=k value=0x0001\n"));
    cr_assert_eq(dump_of(path, "-b", text, sizeof text), 0);
    cr_assert_null(strstr(text, "value="));
    cr_assert_eq(dump_of(path, "-o2", text, sizeof text), 0);
    cr_assert_null(strstr(text, "offset=1 "));
    cr_assert(strstr(text, "offset=2 "));
    bytes_done(&log);
}

Test(dump, every_damaged_byte_of_a_log_is_a_problem)
{
    static char text[100000];
    struct bytes log = log_bytes("k", 1, "value", 5);
    for (uint32_t i = 0; i < log.len; i++) {
        uint32_t in_batch = i;
        struct record_batch b;
        cr_assert_eq(record_batch_parse(bytes_slice(&log), &b), RECORD_BATCH_OK);
        if (in_batch >= b.bytes.len) in_batch -= b.bytes.len;
        /* Base offset and leader epoch are outside of the CRC. */
        bool placed = in_batch < RECORD_BATCH_AT_LENGTH ||
                      (in_batch >= RECORD_BATCH_AT_LEADER_EPOCH && in_batch < RECORD_BATCH_AT_MAGIC);
        log.ptr[i] ^= 0x10;
        AUTO_FREE char *path = write_file("orders-0", "00000000000000000000.log", log.ptr, log.len);
        int status = dump_of(path, NULL, text, sizeof text);
        if (!placed) cr_assert(status == 1 && strstr(text, "PROBLEM"), "byte %u", i);
        log.ptr[i] ^= 0x10;
    }
    for (uint32_t len = 1; len < log.len; len++) {
        struct record_batch b;
        cr_assert_eq(record_batch_parse(bytes_slice(&log), &b), RECORD_BATCH_OK);
        AUTO_FREE char *path = write_file("orders-0", "00000000000000000000.log", log.ptr, len);
        cr_assert_eq(dump_of(path, NULL, text, sizeof text), len == b.bytes.len ? 0 : 1);
    }
    bytes_done(&log);
}

Test(dump, records_of_the_coordinators_are_decoded)
{
    static const char key[] = "\0\1\0\5group\0\1t\0\0\0\2"; /* OffsetCommitKey: group, topic, partition */
    static const char value[] = "\0\3\0\0\0\0\0\0\0\x2a\0\0\0\7\0\0\0\0\0\0\0\0\0\1"; /* v3 */
    char text[8000];
    struct bytes log = log_bytes(key, sizeof key - 1, value, sizeof value - 1);
    AUTO_FREE char *path = write_file("__consumer_offsets-7", "00000000000000000000.log", log.ptr, log.len);
    cr_assert_eq(dump_of(path, NULL, text, sizeof text), 0);
    cr_assert(strstr(text, "OffsetCommitKey={\"group\":\"group\",\"topic\":\"t\",\"partition\":2}"));
    cr_assert(strstr(text, "OffsetCommitValue v3={\"offset\":42,\"leaderEpoch\":7,"));
    bytes_done(&log);
}

Test(dump, an_index_is_compared_with_its_log)
{
    char text[8000];
    struct bytes log = log_bytes("k", 1, "v", 1);
    struct record_batch b;
    cr_assert_eq(record_batch_parse(bytes_slice(&log), &b), RECORD_BATCH_OK);
    free(write_file("orders-0", "00000000000000000000.log", log.ptr, log.len));
    uint8_t index[16 + 64] = {0}; /* preallocated zeros behind */
    be32_store(index, 1);
    be32_store(index + 8, 2);
    be32_store(index + 12, b.bytes.len);
    AUTO_FREE char *path = write_file("orders-0", "00000000000000000000.index", index, sizeof index);
    cr_assert_eq(dump_of(path, NULL, text, sizeof text), 0);
    cr_assert(strstr(text, "offset=1 position=0\noffset=2 position="));
    be32_store(index, 0);
    AUTO_FREE char *bad = write_file("orders-0", "00000000000000000000.index", index, sizeof index);
    cr_assert_eq(dump_of(bad, NULL, text, sizeof text), 1);
    cr_assert(strstr(text, "PROBLEM: the batch at position 0 of the log ends at offset 1"));
    bytes_done(&log);
}

Test(dump, a_producer_snapshot)
{
    char text[8000];
    uint8_t snapshot[10 + 46] = {0, 1};
    be32_store(snapshot + 6, 1);
    be64_store(snapshot + 10, 4711);
    be32_store(snapshot + 2, crc32c(0, snapshot + 6, sizeof snapshot - 6));
    AUTO_FREE char *path = write_file("orders-0", "00000000000000000005.snapshot", snapshot, sizeof snapshot);
    cr_assert_eq(dump_of(path, NULL, text, sizeof text), 0);
    cr_assert(strstr(text, "producer=4711 epoch=0"));
    snapshot[20] ^= 1;
    AUTO_FREE char *bad = write_file("orders-0", "00000000000000000005.snapshot", snapshot, sizeof snapshot);
    cr_assert_eq(dump_of(bad, NULL, text, sizeof text), 1);
}

Test(dump, a_whole_folder)
{
    static char text[100000];
    struct bytes log = log_bytes("k", 1, "v", 1);
    free(write_file("orders-0", "00000000000000000000.log", log.ptr, log.len));
    free(write_file("orders-0", "partition.metadata", "version: 0", 10));
    free(write_file(".", ".lock", "", 0));
    free(write_file(".", "recovery-point-offset-checkpoint", "0\n1\norders 0 3\n", 15));
    cr_assert_eq(dump_of(folder, NULL, text, sizeof text), 0);
    cr_assert(strstr(text, "orders 0 3\n"));
    cr_assert(strstr(text, "version: 0\n"));
    cr_assert(strstr(text, "offsets=2..2"));
    cr_assert_eq(dump_of("/nonexistent", NULL, text, sizeof text), 1);
    cr_assert_eq(dump_of(folder, "--nonsense", text, sizeof text), 2);
    bytes_done(&log);
}
