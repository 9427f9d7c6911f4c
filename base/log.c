#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum log_level log_level_max = LOG_INFO;

static const char *const names[] = {"ERROR", "WARN ", "INFO ", "DEBUG"};

bool log_level_parse(const char *word, enum log_level *ret_level)
{
    static const char *const words[] = {"error", "warn", "info", "debug"};
    for (size_t i = 0; i < countof(words); i++) {
        if (strcmp(word, words[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_write(enum log_level level, const char *subsystem, const char *format, ...)
{
    char text[2000];
    char line[2600];
    struct timespec now;
    struct tm tm;
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t used = strftime(line, sizeof line, "%Y-%m-%d %H:%M:%S", &tm);
    used += (size_t)snprintf(line + used, sizeof line - used, ".%03ld %s %s: ", now.tv_nsec / 1000000, names[level],
                             subsystem);
    for (const char *p = text; *p && used < sizeof line - 6; p++) {
        unsigned char c = (unsigned char)*p;
        if (c < 0x20 || c == 0x7f) used += (size_t)snprintf(line + used, sizeof line - used, "\\x%02x", c);
        else line[used++] = *p;
    }
    line[used++] = '\n';
    (void)!write(2, line, used);
}
