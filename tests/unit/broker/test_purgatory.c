/* broker/fetch/purgatory.c: when a wait ends. */
#include "broker/fetch/purgatory.h"

#include "base/clock.h"

#include <criterion/criterion.h>
#include <ev.h>
#include <time.h>

#define TIMEOUT_MS 60

static int64_t now_ms(void)
{
    return clock_mono_ms(&clock_system);
}

static void expired(void *arg)
{
    ev_break(arg, EVBREAK_ONE);
}

static void woken(void *arg)
{
    cr_assert_fail("nothing was waited for");
}

/* A loop that was busy for long has an old idea of the time: clients would ask again before they should. */
Test(purgatory, the_deadline_counts_from_when_the_wait_begins)
{
    struct ev_loop *loop = ev_loop_new(0);
    struct purgatory_entry *e = purgatory_entry_new(loop, NULL, 0, woken, expired, loop);
    ev_now_update(loop);
    nanosleep(&(struct timespec){.tv_nsec = TIMEOUT_MS * 1000000}, NULL);
    int64_t begin_ms = now_ms();
    purgatory_entry_start(e, TIMEOUT_MS);
    ev_run(loop, 0);
    cr_expect_geq(now_ms() - begin_ms, TIMEOUT_MS);
    purgatory_entry_free(e);
    ev_loop_destroy(loop);
}
