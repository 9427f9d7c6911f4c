#include "base/clock.h"

#include <time.h>

static int64_t now_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t wall_us(const struct clock *c)
{
    return now_us(CLOCK_REALTIME);
}

static int64_t mono_us(const struct clock *c)
{
    return now_us(CLOCK_MONOTONIC);
}

const struct clock clock_system = {.wall_us = wall_us, .mono_us = mono_us};
