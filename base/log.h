/* base/log.h: log lines on standard error: time, level, subsystem, event in words, key=value.
 *
 *   2026-01-31 12:00:00.123 INFO  storage: segment rolled partition=orders-0 base_offset=1000
 *
 * A line is one write(), so that lines of threads do not mix. Control characters of outside text are written as \xNN.
 * Threads: any. */
#ifndef OTTLA_LOG_H
#define OTTLA_LOG_H

#include "base/base.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

extern enum log_level log_level_max; /* lines above it are dropped; default LOG_INFO. While threads run: atomically */

static inline bool log_is_on(enum log_level level)
{
    return level <= __atomic_load_n(&log_level_max, __ATOMIC_RELAXED);
}

/* "error", "warn", "info", "debug"; false for another word. */
bool log_level_parse(const char *word, enum log_level *ret_level);

void log_write(enum log_level level, const char *subsystem, const char *format, ...) PRINTF_LIKE(3, 4);

#define log_at(level, ...) (log_is_on(level) ? log_write(level, __VA_ARGS__) : (void)0)
#define log_error(...)     log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)      log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)      log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...)     log_at(LOG_DEBUG, __VA_ARGS__)

#endif
