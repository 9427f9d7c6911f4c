/* http/workers.c: see workers.h.
 *
 * A thread is started when there are more jobs than threads that wait for one, and ends by itself after idle_ms without
 * one. Threads are detached; workers_free() counts them out, so that none outlives the structure.
 * Invariants: jobs are begun in the order of posting; every job that was taken runs, also while closing; a job is never
 * run with the lock held. */
#include "http/workers.h"

#include "base/thread.h"

#include <errno.h>
#include <sys/queue.h>
#include <time.h>

struct job {
    void (*fn)(void *arg);
    void *arg;
    STAILQ_ENTRY(job) link;
};

struct workers {
    char name[16];
    uint32_t threads_max;
    int64_t idle_ms;
    pthread_mutex_t lock; /* guards what follows; a leaf: nothing is called with it held */
    pthread_cond_t more;  /* a job was queued, or closing */
    pthread_cond_t ended; /* a thread ended */
    STAILQ_HEAD(, job) jobs;
    uint32_t jobs_count; /* queued */
    uint32_t idle_count; /* threads that wait for a job */
    uint32_t threads_count;
    bool closing;
};

struct workers *workers_new(const char *name, uint32_t threads_max, int64_t idle_ms)
{
    struct workers *w = xcalloc(1, sizeof *w);
    pthread_condattr_t attr;

    for (size_t i = 0; name[i] && i < sizeof w->name - 1; i++) w->name[i] = name[i];
    w->threads_max = threads_max;
    w->idle_ms = idle_ms;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->more, &attr);
    pthread_cond_init(&w->ended, &attr);
    pthread_condattr_destroy(&attr);
    STAILQ_INIT(&w->jobs);
    return w;
}

/* The next job; NULL: none for idle_ms, or closing with nothing left. */
static struct job *job_wait(struct workers *w)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += w->idle_ms / 1000;
    until.tv_nsec += (w->idle_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    while (STAILQ_EMPTY(&w->jobs) && !w->closing) {
        w->idle_count++;
        int r = pthread_cond_timedwait(&w->more, &w->lock, &until);
        w->idle_count--;
        if (r == ETIMEDOUT) break;
    }
    struct job *job = STAILQ_FIRST(&w->jobs);
    if (job) {
        STAILQ_REMOVE_HEAD(&w->jobs, link);
        w->jobs_count--;
    }
    return job;
}

static void *worker_run(void *arg)
{
    struct workers *w = arg;
    struct job *job;

    pthread_mutex_lock(&w->lock);
    while ((job = job_wait(w))) {
        pthread_mutex_unlock(&w->lock);
        job->fn(job->arg);
        free(job);
        pthread_mutex_lock(&w->lock);
    }
    w->threads_count--;
    pthread_cond_broadcast(&w->ended);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

bool workers_post(struct workers *w, void (*fn)(void *arg), void *arg)
{
    bool taken = false;
    struct job *job = xmalloc(sizeof *job);
    *job = (struct job){.fn = fn, .arg = arg};

    pthread_mutex_lock(&w->lock);
    if (!w->closing) {
        /* One thread for each queued job that no idle thread will take. */
        if (w->jobs_count >= w->idle_count && w->threads_count < w->threads_max) {
            pthread_t thread;
            if (thread_start(&thread, w->name, worker_run, w) == 0) {
                pthread_detach(thread);
                w->threads_count++;
            }
        }
        if (w->threads_count > 0) {
            STAILQ_INSERT_TAIL(&w->jobs, job, link);
            w->jobs_count++;
            pthread_cond_signal(&w->more);
            taken = true;
        }
    }
    pthread_mutex_unlock(&w->lock);
    if (!taken) free(job);
    return taken;
}

void workers_free(struct workers *w)
{
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->closing = true;
    pthread_cond_broadcast(&w->more);
    while (w->threads_count > 0) pthread_cond_wait(&w->ended, &w->lock);
    pthread_mutex_unlock(&w->lock);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->more);
    pthread_cond_destroy(&w->ended);
    free(w);
}
