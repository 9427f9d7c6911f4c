/* broker/broker_reader.c: reading a partition in the same process, with wake-up. See broker.h.
 *
 * Threads: a reader belongs to one thread at a time; appends wake it from theirs. */
#include "broker/broker.h"

#include "protocol/record_batch.h"

#include <pthread.h>
#include <time.h>

struct broker_reader {
    struct partition_log *log;
    int64_t offset;
    enum read_isolation isolation;
    uint8_t *buffer;
    uint32_t buffer_size;

    struct log_waiter waiter;
    bool waiting; /* the waiter was handed to the log */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool data;  /* the waiter fired; guarded by lock */
    bool woken; /* broker_reader_wake(); guarded by lock */
};

static void wake(struct log_waiter *w) /* any thread, the log's lock held */
{
    struct broker_reader *r = container_of(w, struct broker_reader, waiter);

    pthread_mutex_lock(&r->lock);
    r->data = true;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

struct broker_reader *broker_reader_new(struct broker *b, struct partition_log *log, int64_t offset,
                                        enum read_isolation isolation)
{
    struct broker_reader *r = xcalloc(1, sizeof *r);
    pthread_condattr_t attr;

    r->log = partition_log_ref(log);
    r->offset = offset;
    r->isolation = isolation;
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&r->changed, &attr);
    pthread_condattr_destroy(&attr);
    return r;
}

static void stop_waiting(struct broker_reader *r)
{
    if (r->waiting) partition_log_wait_cancel(r->log, &r->waiter);
    r->waiting = false;
    pthread_mutex_lock(&r->lock);
    r->data = false;
    pthread_mutex_unlock(&r->lock);
}

void broker_reader_free(struct broker_reader *r)
{
    if (!r) return;
    stop_waiting(r);
    partition_log_unref(r->log);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r->buffer);
    free(r);
}

int64_t broker_reader_offset(const struct broker_reader *r)
{
    return r->offset;
}

void broker_reader_wake(struct broker_reader *r)
{
    pthread_mutex_lock(&r->lock);
    r->woken = true;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static bool make_room(struct broker_reader *r, uint32_t size)
{
    if (size <= r->buffer_size) return true;
    uint8_t *grown = realloc(r->buffer, size);
    if (!grown) return false;
    r->buffer = grown;
    r->buffer_size = size;
    return true;
}

/* Copies the range into the buffer and moves the offset behind its last batch. */
static enum kafka_error take(struct broker_reader *r, const struct log_read *read, struct slice *ret_batches)
{
    if (!make_room(r, read->length)) return KAFKA_UNKNOWN_SERVER_ERROR;
    if (log_read_bytes(read, r->buffer) < 0) return KAFKA_STORAGE_ERROR;
    struct slice rest = slice_make(r->buffer, read->length);
    struct record_batch batch;
    while (record_batch_next(&rest, &batch) == RECORD_BATCH_OK) r->offset = record_batch_next_offset(&batch);
    *ret_batches = slice_make(r->buffer, read->length);
    return KAFKA_NONE;
}

static int64_t mark_of(const struct broker_reader *r, const struct log_marks *m)
{
    return r->isolation == READ_COMMITTED     ? m->last_stable
           : r->isolation == READ_UNCOMMITTED ? m->high_watermark
                                              : m->log_end;
}

static enum kafka_error read_now(struct broker_reader *r, uint32_t size_max, struct slice *ret_batches,
                                 int64_t *ret_mark)
{
    struct log_read read = {0};
    enum kafka_error error = partition_log_read(r->log, r->offset, size_max, true, r->isolation, &read);

    *ret_batches = SLICE_EMPTY;
    *ret_mark = mark_of(r, &read.marks);
    if (error == KAFKA_NONE && read.file) error = take(r, &read, ret_batches);
    log_read_done(&read);
    return error;
}

static void begin_waiting(struct broker_reader *r, int64_t mark)
{
    stop_waiting(r);
    r->waiter = (struct log_waiter){.beyond_offset = MAX(mark, r->offset), .isolation = r->isolation, .wake = wake};
    r->waiting = true;
    partition_log_wait(r->log, &r->waiter);
}

/* false: the time is over, or somebody wants the reader's thread back. */
static bool await(struct broker_reader *r, const struct timespec *deadline)
{
    int result = 0;

    pthread_mutex_lock(&r->lock);
    while (!r->data && !r->woken && result == 0) result = pthread_cond_timedwait(&r->changed, &r->lock, deadline);
    bool data = r->data && !r->woken;
    r->woken = false;
    pthread_mutex_unlock(&r->lock);
    return data;
}

enum kafka_error broker_reader_next(struct broker_reader *r, uint32_t size_max, int timeout_ms,
                                    struct slice *ret_batches)
{
    struct timespec deadline;
    int64_t mark;

    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += timeout_ms / 1000;
    deadline.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (deadline.tv_nsec >= 1000000000) deadline.tv_sec++, deadline.tv_nsec -= 1000000000;
    for (;;) {
        enum kafka_error error = read_now(r, size_max, ret_batches, &mark);
        if (error != KAFKA_NONE || ret_batches->len > 0) return error;
        if (timeout_ms == 0) return KAFKA_NONE;
        begin_waiting(r, mark);
        if (!await(r, &deadline)) {
            stop_waiting(r);
            return KAFKA_NONE;
        }
    }
}
