/* base/clock.h: the time, replaceable in tests. */
#ifndef OTTLA_CLOCK_H
#define OTTLA_CLOCK_H

#include "base/base.h"

struct clock {
    int64_t (*wall_us)(const struct clock *c); /* since 1970, may jump: timestamps of records */
    int64_t (*mono_us)(const struct clock *c); /* never goes back: timeouts, ages */
};

extern const struct clock clock_system;

static inline int64_t clock_wall_ms(const struct clock *c)
{
    return c->wall_us(c) / 1000;
}
static inline int64_t clock_mono_ms(const struct clock *c)
{
    return c->mono_us(c) / 1000;
}

#endif
