/* A disk that fails: at every single call of a workload, once or from then on. What was acknowledged is there after a
 * start on a good disk; a log whose content is in doubt takes no more writes. */
#include "tests/unit/storage/scratch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

static atomic_int calls_left; /* until the failure */
static atomic_bool sticky;
static atomic_bool failed_sync;
static atomic_int failure;

static bool fails(void)
{
    int left = atomic_fetch_sub(&calls_left, 1);
    return atomic_load(&sticky) ? left <= 0 : left == 0;
}

static int fail_openat(int dir_fd, const char *path, int flags, mode_t mode)
{
    return fails() ? -atomic_load(&failure) : io_posix.openat(dir_fd, path, flags, mode);
}
static ssize_t fail_pread(int fd, void *bytes, size_t size, uint64_t position)
{
    return fails() ? -EIO : io_posix.pread(fd, bytes, size, position);
}
static ssize_t fail_pwritev(int fd, const struct iovec *iov, int iov_count, uint64_t position)
{
    if (!fails()) return io_posix.pwritev(fd, iov, iov_count, position);
    /* Half of it reaches the file. */
    struct iovec half = {iov[0].iov_base, iov[0].iov_len / 2};
    io_posix.pwritev(fd, &half, 1, position);
    return -atomic_load(&failure);
}
static int fail_ftruncate(int fd, uint64_t size)
{
    return fails() ? -EIO : io_posix.ftruncate(fd, size);
}
static int fail_sync(int fd)
{
    if (!fails()) return 0; /* nothing here cuts power: the page cache will do */
    atomic_store(&failed_sync, true);
    return -EIO;
}
static int fail_renameat(int dir_fd, const char *from, const char *to)
{
    return fails() ? -atomic_load(&failure) : io_posix.renameat(dir_fd, from, to);
}
static int fail_unlinkat(int dir_fd, const char *path, int flags)
{
    return fails() ? -EIO : io_posix.unlinkat(dir_fd, path, flags);
}
static int fail_mkdirat(int dir_fd, const char *path, mode_t mode)
{
    return fails() ? -atomic_load(&failure) : io_posix.mkdirat(dir_fd, path, mode);
}

#define BATCHES 40

/* Returns whether the workload met a failure. */
static bool run(int failing_call, bool stays, int error)
{
    struct io_ops io = io_posix;
    struct scratch s;
    struct err err = ERR_NONE;
    int64_t offsets[BATCHES]; /* acknowledged; -1: refused */
    int64_t start = 0;

    io.openat = fail_openat;
    io.pread = fail_pread;
    io.pwritev = fail_pwritev;
    io.ftruncate = fail_ftruncate;
    io.fdatasync = io.fsync = fail_sync;
    io.renameat = fail_renameat;
    io.unlinkat = fail_unlinkat;
    io.mkdirat = fail_mkdirat;
    scratch_init(&s);
    s.options.io = &io;
    s.options.open_files_max = 1;
    s.config.segment_bytes = 1500;
    memset(offsets, -1, sizeof offsets);
    atomic_store(&failed_sync, false);
    atomic_store(&failure, error);
    atomic_store(&sticky, stays);
    atomic_store(&calls_left, failing_call);

    if (!scratch_try_open(&s, &err)) {
        bool durable = true;
        for (int i = 0; i < BATCHES; i++) {
            struct log_append a;
            if (scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){.value_bytes = 50 + (uint32_t)i}, &a) ==
                KAFKA_NONE) {
                cr_assert(durable, "a log whose sync failed took a write");
                offsets[i] = a.base_offset;
            }
            if (i % 5 == 4 && partition_log_sync(&s.log, 1)) durable = false;
            if (i % 7 == 6 && log_dir_write_checkpoints(s.dir)) continue;
            if (i == 30 && partition_log_delete_records(s.log, partition_log_marks(s.log).high_watermark / 2, &start))
                start = 0;
            struct log_read r;
            if (partition_log_read(s.log, start, 1000, true, READ_UNCOMMITTED, &r) == KAFKA_NONE) log_read_done(&r);
        }
    }
    bool met = atomic_load(&calls_left) < 0;
    if (s.log && failing_call % 2) {
        scratch_close(&s);
    } else if (s.log) {
        scratch_kill(&s);
    } else if (s.dir) {
        log_dir_close(s.dir);
    }
    met |= atomic_load(&calls_left) < 0;

    s.options.io = NULL;
    cr_assert_eq(scratch_try_open(&s, &err), 0, "call %d: %s", failing_call, err.text);
    int64_t log_start = partition_log_marks(s.log).log_start;
    for (int i = 0; i < BATCHES; i++) {
        struct log_read r;
        if (offsets[i] < log_start) continue;
        cr_assert_eq(partition_log_read(s.log, offsets[i], 1, true, READ_UNCOMMITTED, &r), KAFKA_NONE);
        cr_assert(r.file, "call %d: batch %d is gone", failing_call, i);
        AUTO_FREE uint8_t *bytes = scratch_bytes(&r);
        struct record_batch b;
        cr_assert_eq(record_batch_parse(slice_make(bytes, r.length), &b), RECORD_BATCH_OK);
        cr_assert(record_batch_crc_ok(&b) && b.base_offset == offsets[i]);
        uint32_t size;
        free(batch_make(&(struct batch_spec){.value_bytes = 50 + (uint32_t)i}, &size));
        cr_assert_eq(b.bytes.len, size, "call %d: another batch stands at an acknowledged offset", failing_call);
        log_read_done(&r);
    }
    cr_assert_eq(scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){0}, NULL), KAFKA_NONE);
    scratch_done(&s);
    return met;
}

/* Hundreds of error lines are expected here. */
static void be_quiet(void)
{
    int fd = open("/dev/null", O_WRONLY);
    dup2(fd, STDERR_FILENO);
    close(fd);
}

TestSuite(log_faults, .init = be_quiet, .timeout = 100);

Test(log_faults, after_any_single_failure_what_was_acknowledged_is_there)
{
    int n = 0;
    while (run(n, false, EIO)) n++;
    cr_assert_gt(n, 200, "only %d calls", n);
}

Test(log_faults, after_a_disk_dies_what_was_acknowledged_is_there)
{
    for (int n = 0; run(n, true, EIO); n++) continue;
}

Test(log_faults, a_full_disk_refuses_and_later_goes_on)
{
    for (int n = 0; run(n, false, ENOSPC); n += 2) continue;
}

static atomic_int shortage; /* so many files cannot be opened */

static int short_openat(int dir_fd, const char *path, int flags, mode_t mode)
{
    return atomic_load(&shortage) > 0 && atomic_fetch_sub(&shortage, 1) > 0
               ? -EMFILE
               : io_posix.openat(dir_fd, path, flags, mode);
}

Test(log_faults, a_sync_that_finds_no_descriptor_is_tried_again)
{
    struct io_ops io = io_posix;
    struct scratch s;
    struct log_append a;

    io.openat = short_openat;
    scratch_init(&s);
    s.options.io = &io;
    s.options.open_files_max = 1;
    s.config.segment_bytes = 1500;
    scratch_open(&s);
    for (int round = 1; round < 6; round++) {
        for (int i = 0; i < 20; i++)
            cr_assert_eq(scratch_append(s.log, APPEND_CLIENT, &(struct batch_spec){.value_bytes = 200}, &a),
                         KAFKA_NONE);
        atomic_store(&shortage, round); /* segments, indexes, epochs, folders in turn */
        cr_assert_eq(partition_log_sync(&s.log, 1), 0);
        cr_assert_eq(atomic_load(&shortage), 0);
        cr_assert_eq(partition_log_marks(s.log).durable_end, partition_log_marks(s.log).log_end);
    }
    scratch_done(&s);
}
