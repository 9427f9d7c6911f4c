/* Group commit: logs that are to be synced wait in a queue; a few threads take one each and sync its files. Whatever
 * asks for the same log while its sync runs is the next group: there is no window to wait for, and a lone request
 * starts at once.
 *
 * What is to be synced is found by comparing ends (size and synced_size of each segment), never by a dirty mark.
 * A failed sync is never repeated: the kernel may have dropped the pages and report success then. The log is failed.
 * When there was only no descriptor to open a file with, nothing is in doubt: the round is made again. */
#include "storage/log_internal.h"

#include "base/log.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SYNC_FILES_MAX    16    /* segments in one round; more wait for the next */
#define SYNC_RETRY_MS     20    /* until a descriptor may be free */
#define SYNC_RETRY_MS_MAX 30000 /* then the log is failed */

struct sync_file {
    struct file_ref *file;
    int64_t base_offset;
    uint32_t size;
    bool indexes; /* are to be synced too */
};

/* What one round found to do. */
struct sync_round {
    struct sync_file files[SYNC_FILES_MAX];
    uint32_t files_count;
    int64_t end; /* durable when the round succeeds */
    uint32_t rewrites;
    bool folder;
    bool new_folder;
    bool epochs;
    bool again; /* no descriptor was free */
    int error;
    char folder_name[LOG_NAME_BYTES]; /* deletion may change it meanwhile */
};

/* Under the log's mutex. */
static void plan(struct partition_log *log, struct sync_round *round)
{
    *round = (struct sync_round){.rewrites = log->rewrites,
                                 .folder = log->dir_unsynced,
                                 .new_folder = log->new_folder,
                                 .epochs = log->epochs_unsynced,
                                 .end = atomic_load(&log->log_end)};
    snprintf(round->folder_name, sizeof round->folder_name, "%s", log_folder(log));
    if (atomic_load(&log->failed)) round->error = -EIO;
    if (log->closed) round->error = -ESTALE;
    for (uint32_t i = 0; i < log->segments_count && !round->error; i++) {
        struct segment *s = log->segments[i];
        uint32_t size = atomic_load(&s->size);
        if (atomic_load(&s->sync_failed)) round->error = -EIO;
        if (size == atomic_load(&s->synced_size) && !s->indexes_unsynced) continue;
        if (round->files_count == SYNC_FILES_MAX) {
            round->end = s->base_offset;
            break;
        }
        struct sync_file *f = &round->files[round->files_count];
        *f = (struct sync_file){.base_offset = s->base_offset, .size = size, .indexes = s->indexes_unsynced};
        round->error = log_segment_file(log, s, &f->file);
        if (!round->error) round->files_count++;
    }
    if (!round->error) log->dir_unsynced = log->new_folder = log->epochs_unsynced = false;
}

static int sync_path(struct partition_log *log, const char *path)
{
    const struct io_ops *io = log->dir->io;
    int fd = io->openat(log->dir->fd, path, O_RDONLY, 0);
    if (fd < 0) return fd == -ENOENT ? 0 : fd;
    int r = io->fdatasync(fd);
    io->close(fd);
    return r;
}

/* Index files of a segment that was closed since. Without the lock: nobody writes them any more. */
static int sync_indexes(struct partition_log *log, const char *folder, int64_t base_offset)
{
    char path[SEGMENT_PATH_BYTES];
    int r = 0;

    for (uint32_t i = FILE_OFFSETS; i < FILE_SNAPSHOT && !r; i++) {
        snprintf(path, sizeof path, "%s/%020" PRId64 "%s", folder, base_offset, segment_suffixes[i]);
        r = sync_path(log, path);
    }
    return r;
}

static struct segment *find_segment(struct partition_log *log, int64_t base_offset)
{
    for (uint32_t i = log->segments_count; i > 0; i--)
        if (log->segments[i - 1]->base_offset == base_offset) return log->segments[i - 1];
    return NULL;
}

/* Without the lock. */
static void execute(struct partition_log *log, struct sync_round *round)
{
    struct log_dir *dir = log->dir;
    char path[SEGMENT_PATH_BYTES];

    for (uint32_t i = 0; i < round->files_count; i++) {
        struct sync_file *f = &round->files[i];
        if (!round->error) round->error = dir->io->fdatasync(f->file->fd);
        if (!round->error && f->indexes) round->error = sync_indexes(log, round->folder_name, f->base_offset);
        file_ref_put(f->file);
    }
    if (!round->error && round->epochs) {
        snprintf(path, sizeof path, "%s/%s", round->folder_name, LEADER_EPOCH_FILE);
        round->error = sync_path(log, path);
    }
    if (!round->error && round->new_folder) {
        snprintf(path, sizeof path, "%s/" PARTITION_FILE, round->folder_name);
        round->error = sync_path(log, path);
    }
    if (!round->error && round->folder) round->error = io_sync_dir(dir->io, dir->fd, round->folder_name);
    if (!round->error && round->new_folder) round->error = dir->io->fsync(dir->fd);
}

/* Under the log's mutex: what the plan took from the log is to be done again. */
static void give_back(struct partition_log *log, struct sync_round *round)
{
    log->dir_unsynced |= round->folder;
    log->new_folder |= round->new_folder;
    log->epochs_unsynced |= round->epochs;
    round->again = true;
    round->error = 0;
    round->end = -1;
}

/* Under the log's mutex. */
static void conclude(struct partition_log *log, struct sync_round *round)
{
    for (uint32_t i = 0; i < round->files_count && !round->error; i++) {
        struct segment *s = find_segment(log, round->files[i].base_offset);
        if (s && atomic_load(&s->sync_failed)) round->error = -EIO;
    }
    if (log->closed) {
        round->error = -ESTALE; /* deleted meanwhile: its files have other names */
        return;
    }
    bool no_descriptor = round->error == -EMFILE || round->error == -ENFILE; /* only opening a file ends so */
    int64_t now_ms = no_descriptor ? clock_mono_ms(log->dir->clock) : 0;
    if (no_descriptor && !log->sync_retry_since_ms) {
        log->sync_retry_since_ms = now_ms;
        log_warn("storage", "no file can be opened to sync, tried again: %s (raise the limit: ulimit -n) partition=%s",
                 strerror(-round->error), log->name);
    }
    if (no_descriptor && now_ms - log->sync_retry_since_ms < SYNC_RETRY_MS_MAX) {
        give_back(log, round);
        return;
    }
    log->sync_retry_since_ms = 0;
    if (round->error) {
        log_error("storage", "sync failed, the partition takes no writes until the next start: %s partition=%s",
                  strerror(-round->error), log->name);
        log_fail(log);
        return;
    }
    if (log->rewrites != round->rewrites) {
        round->end = -1; /* what was synced may have been replaced: once more */
        return;
    }
    for (uint32_t i = 0; i < round->files_count; i++) {
        struct segment *s = find_segment(log, round->files[i].base_offset);
        if (!s) continue;
        if (round->files[i].indexes) s->indexes_unsynced = false;
        atomic_store(&s->synced_size, round->files[i].size);
    }
    /* One that was closed since the plan: a start believes the indexes of what lies below the durable end, and neither
     * they nor their names were synced. */
    for (uint32_t i = 0; i + 1 < log->segments_count; i++)
        if (log->segments[i]->indexes_unsynced) round->end = MIN(round->end, log->segments[i]->base_offset);
    if (round->end > atomic_load(&log->durable_end)) {
        atomic_store(&log->durable_end, round->end);
        log_dir_note_marks(log->dir);
        log_publish(log);
        log_wake(log, false);
    }
}

static void sync_log(struct partition_log *log)
{
    struct sync_requests finished = STAILQ_HEAD_INITIALIZER(finished);
    struct sync_round round;
    struct sync_requests waiting = STAILQ_HEAD_INITIALIZER(waiting);
    struct sync_request *q;

    pthread_mutex_lock(&log->lock);
    plan(log, &round);
    pthread_mutex_unlock(&log->lock);
    execute(log, &round);
    pthread_mutex_lock(&log->lock);
    conclude(log, &round);

    int64_t end = atomic_load(&log->log_end);
    while ((q = STAILQ_FIRST(&log->sync_requests))) {
        bool wait = !round.error && MIN(q->end_offset, end) > round.end;
        STAILQ_REMOVE_HEAD(&log->sync_requests, link);
        q->error = round.error;
        if (wait) STAILQ_INSERT_TAIL(&waiting, q, link);
        else STAILQ_INSERT_TAIL(&finished, q, link);
    }
    STAILQ_CONCAT(&log->sync_requests, &waiting);
    bool again = !STAILQ_EMPTY(&log->sync_requests);
    log->syncing = again;
    pthread_mutex_unlock(&log->lock);

    while ((q = STAILQ_FIRST(&finished))) {
        STAILQ_REMOVE_HEAD(&finished, link);
        q->done(q->arg, q->error);
        free(q);
    }
    struct sync_service *s = &log->dir->sync;
    if (again) {
        pthread_mutex_lock(&s->lock);
        STAILQ_INSERT_TAIL(&s->queue, log, sync_link);
        s->queued_count++;
        pthread_mutex_unlock(&s->lock);
    } else {
        partition_log_unref(log);
    }
    /* Behind the queue: other threads take what waits there. */
    if (round.again) nanosleep(&(struct timespec){.tv_nsec = SYNC_RETRY_MS * 1000000L}, NULL);
}

static void *sync_thread(void *arg)
{
    struct sync_service *s = arg;

    pthread_mutex_lock(&s->lock);
    for (;;) {
        struct partition_log *log = STAILQ_FIRST(&s->queue);
        if (log) {
            STAILQ_REMOVE_HEAD(&s->queue, sync_link);
            s->queued_count--;
            pthread_mutex_unlock(&s->lock);
            sync_log(log);
            pthread_mutex_lock(&s->lock);
        } else if (s->stopping) {
            break;
        } else {
            s->idle_count++;
            pthread_cond_wait(&s->work, &s->lock);
            s->idle_count--;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

int sync_service_init(struct sync_service *s)
{
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    STAILQ_INIT(&s->queue);
    int r = thread_start(&s->threads[0], "ottla-sync", sync_thread, s);
    if (!r) s->threads_count = 1;
    return r;
}

void sync_service_stop(struct sync_service *s)
{
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_broadcast(&s->work);
    pthread_mutex_unlock(&s->lock);
    for (uint32_t i = 0; i < s->threads_count; i++) pthread_join(s->threads[i], NULL);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->work);
}

/* log comes with a reference, which the queue takes over. */
static void enqueue(struct sync_service *s, struct partition_log *log)
{
    pthread_mutex_lock(&s->lock);
    STAILQ_INSERT_TAIL(&s->queue, log, sync_link);
    s->queued_count++;
    /* More threads are made as work finds none idle; without them it only waits longer. */
    if (s->queued_count > s->idle_count && s->threads_count < LOG_SYNC_THREADS &&
        !thread_start(&s->threads[s->threads_count], "ottla-sync", sync_thread, s))
        s->threads_count++;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
}

void partition_log_sync_async(struct partition_log *log, int64_t end_offset, void (*done)(void *arg, int error),
                              void *arg)
{
    struct sync_request *q = xmalloc(sizeof *q);
    *q = (struct sync_request){.end_offset = end_offset, .done = done, .arg = arg};

    pthread_mutex_lock(&log->lock);
    if (log->closed) {
        pthread_mutex_unlock(&log->lock);
        free(q);
        done(arg, -ESTALE);
        return;
    }
    STAILQ_INSERT_TAIL(&log->sync_requests, q, link);
    bool queue = !log->syncing;
    log->syncing = true;
    pthread_mutex_unlock(&log->lock);
    if (queue) enqueue(&log->dir->sync, partition_log_ref(log));
}

static void nobody_waits(void *arg, int error)
{
    (void)arg;
    (void)error; /* the log is marked and a line is written where it failed */
}

void log_sync_soon(struct partition_log *log)
{
    partition_log_sync_async(log, atomic_load(&log->log_end), nobody_waits, NULL);
}

struct sync_wait {
    pthread_mutex_t lock;
    pthread_cond_t done;
    uint32_t left;
    int error;
};

static void one_synced(void *arg, int error)
{
    struct sync_wait *w = arg;
    pthread_mutex_lock(&w->lock);
    if (!w->error) w->error = error;
    if (--w->left == 0) pthread_cond_signal(&w->done);
    pthread_mutex_unlock(&w->lock);
}

int partition_log_sync(struct partition_log *const *logs, uint32_t count)
{
    struct sync_wait w = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER, .left = count};

    for (uint32_t i = 0; i < count; i++)
        partition_log_sync_async(logs[i], atomic_load(&logs[i]->log_end), one_synced, &w);
    pthread_mutex_lock(&w.lock);
    while (w.left) pthread_cond_wait(&w.done, &w.lock);
    pthread_mutex_unlock(&w.lock);
    return w.error;
}
