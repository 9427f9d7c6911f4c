/* storage/scrub.c: a thread that reads the files of all logs again and again, slowly, so that bytes which a disk has
 * lost are known before somebody needs them. What it asks of them: verify.h. Each damage is told once, with file and
 * position, and counted; nothing is changed, and what is sound around it is served as before.
 *
 * It holds no lock while it reads, takes at most ottla.scrub.bytes.per.second, and begins a round at most each
 * SCRUB_ROUND_MS. A folder in which something is found is read twice: what compaction or retention replaced in between
 * is no damage. What the page cache holds is read from there: of a disk it sees what has left the cache.
 * Threads: its own; tests call a round. */
#include "storage/log_internal.h"
#include "storage/verify.h"

#include "base/log.h"
#include "base/thread.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SCRUB_ROUND_MS (24 * 3600 * 1000)
#define SCRUB_FIRST_MS (60 * 1000) /* behind the start, which has other work */
#define SCRUB_TOLD_MAX 10000       /* damages that are remembered so that they are told once */

/* Sleeps, or until the directory closes. Returns whether it goes on. */
static bool rest(struct log_dir *dir, int64_t ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t end_ms = (int64_t)until.tv_sec * 1000 + until.tv_nsec / 1000000 + ms;
    until = (struct timespec){.tv_sec = end_ms / 1000, .tv_nsec = end_ms % 1000 * 1000000};
    pthread_mutex_lock(&dir->lock);
    while (!dir->closing)
        if (pthread_cond_timedwait(&dir->scrub.wake, &dir->lock, &until) == ETIMEDOUT) break;
    bool go_on = !dir->closing;
    pthread_mutex_unlock(&dir->lock);
    return go_on;
}

static bool pace(void *arg, uint64_t bytes)
{
    struct log_dir *dir = arg;
    atomic_fetch_add(&dir->scrub.bytes, bytes);
    if (!dir->options.scrub_bytes_per_second) return true; /* a test's own round */
    dir->scrub.debt_ms += (double)bytes / (double)dir->options.scrub_bytes_per_second * 1000;
    int64_t ms = (int64_t)dir->scrub.debt_ms;
    dir->scrub.debt_ms -= (double)ms;
    if (ms && !rest(dir, ms)) return false;
    return true;
}

static uint64_t hash_of(const struct verify_finding *f)
{
    uint64_t hash = 14695981039346656037u ^ (uint64_t)f->position; /* FNV-1a */
    for (const char *p = f->path; *p; p++) hash = (hash ^ (uint8_t)*p) * 1099511628211u;
    return hash;
}

static void tell(void *arg, const struct verify_finding *f)
{
    struct log_dir *dir = arg;
    uint64_t hash = hash_of(f);

    for (uint32_t i = 0; i < dir->scrub.told_count; i++)
        if (dir->scrub.told[i] == hash) return;
    if (dir->scrub.told_count == SCRUB_TOLD_MAX) return; /* of a disk in that state nobody reads line 10,001 */
    dir->scrub.told = xrealloc(dir->scrub.told, (dir->scrub.told_count + 1) * sizeof *dir->scrub.told);
    dir->scrub.told[dir->scrub.told_count++] = hash;
    atomic_fetch_add(&dir->scrub.damages, 1);
    log_error("scrub", "damage was found, take a copy and see `ottla verify` file=%s position=%" PRId64 " cause=\"%s\"",
              f->path, f->position, f->what);
}

/* Logs that have records, each with a reference, malloc'd. */
static struct partition_log **logs_of(struct log_dir *dir, uint32_t *ret_count)
{
    struct partition_log *log;
    uint32_t count = 0;

    pthread_mutex_lock(&dir->lock);
    struct partition_log **logs = xmalloc((dir->logs_count + 1) * sizeof *logs);
    LIST_FOREACH(log, &dir->logs, link)
        if (atomic_load(&log->log_end) > 0) logs[count++] = partition_log_ref(log);
    pthread_mutex_unlock(&dir->lock);
    *ret_count = count;
    return logs;
}

void log_dir_scrub(struct log_dir *dir)
{
    uint32_t count;
    struct partition_log **logs = logs_of(dir, &count);
    struct verify v = {.damage = tell, .pace = pace, .arg = dir};

    verify_begin(&v, dir->path);
    for (uint32_t i = 0; i < count; i++) {
        if (!v.stopped && !atomic_load(&logs[i]->closed)) {
            AUTO_FREE char *folder = xasprintf("%s/%s", dir->path, logs[i]->name);
            verify_folder(&v, folder);
        }
        partition_log_unref(logs[i]);
    }
    verify_end(&v);
    free(logs);
}

static void *scrubber(void *arg)
{
    struct log_dir *dir = arg;
    int64_t wait_ms = SCRUB_FIRST_MS;

    while (rest(dir, wait_ms)) {
        int64_t begin_ms = clock_mono_ms(dir->clock);
        log_dir_scrub(dir);
        wait_ms = MAX(SCRUB_ROUND_MS - (clock_mono_ms(dir->clock) - begin_ms), SCRUB_FIRST_MS);
    }
    return NULL;
}

int scrubber_start(struct log_dir *dir)
{
    if (!dir->options.scrub_bytes_per_second) return 0;
    int r = thread_start(&dir->scrub.thread, "ottla-scrub", scrubber, dir);
    dir->scrub.started = !r;
    return r;
}

void scrubber_stop(struct log_dir *dir)
{
    pthread_mutex_lock(&dir->lock);
    dir->closing = true;
    pthread_cond_broadcast(&dir->scrub.wake);
    pthread_mutex_unlock(&dir->lock);
    if (dir->scrub.started) pthread_join(dir->scrub.thread, NULL);
    dir->scrub.started = false;
    free(dir->scrub.told);
    dir->scrub.told = NULL;
    dir->scrub.told_count = 0;
}

void log_dir_scrub_counts(struct log_dir *dir, uint64_t *ret_bytes, uint64_t *ret_damages)
{
    *ret_bytes = atomic_load(&dir->scrub.bytes);
    *ret_damages = atomic_load(&dir->scrub.damages);
}
