/* base/thread.h: threads with a small stack and a name. */
#ifndef OTTLA_THREAD_H
#define OTTLA_THREAD_H

#include "base/base.h"

#include <pthread.h>

#define THREAD_STACK_BYTES (128 * 1024) /* no deep recursion, no large arrays on stacks */

/* Starts fn(arg) with all signals blocked (the main thread takes them). name is cut to 15 characters.
 * Returns 0 or -errno. Sanitizer builds get a larger stack. */
int thread_start(pthread_t *ret_thread, const char *name, void *(*fn)(void *), void *arg) WARN_UNUSED;

#endif
