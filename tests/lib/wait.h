/* tests/lib/wait.h: waiting for events: tests never sleep for luck. The C side of wait.py. */
#ifndef OTTLA_TEST_WAIT_H
#define OTTLA_TEST_WAIT_H

#include "base/clock.h"

#include <time.h>

#define WAIT_MS_MAX 30000

/* A millisecond in which others can run. false: WAIT_MS_MAX are over. */
static inline bool wait_step(int64_t begin_ms)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return clock_mono_ms(&clock_system) - begin_ms < WAIT_MS_MAX;
}

/* Waits until the condition holds; whether it does at the end. */
#define WAIT_UNTIL(condition)                                                                                          \
    ({                                                                                                                 \
        int64_t wait_begin_ms = clock_mono_ms(&clock_system);                                                          \
        bool wait_holds;                                                                                               \
        while (!(wait_holds = (condition)) && wait_step(wait_begin_ms)) {}                                             \
        wait_holds;                                                                                                    \
    })

#endif
