/* http/workers.h: threads for work that may block (a database that does not answer, a disk), started on demand.
 *
 * Jobs are begun in the order in which they were posted, at most threads_max at a time. A thread without work ends
 * after idle_ms, so an idle server has none. Threads: post from any, also from a job; new and free on the owner's. */
#ifndef OTTLA_WORKERS_H
#define OTTLA_WORKERS_H

#include "base/base.h"

struct workers;

/* name: of the threads, at most 12 characters. */
struct workers *workers_new(const char *name, uint32_t threads_max, int64_t idle_ms);
/* Waits until every job that was posted has run and every thread has ended. Posting is refused from the call on. */
void workers_free(struct workers *w);
/* fn(arg) will run on some thread. false: closing, or no thread could be started for the first job: nothing was taken.
 */
bool workers_post(struct workers *w, void (*fn)(void *arg), void *arg) WARN_UNUSED;

#endif
