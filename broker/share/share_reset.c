/* broker/share/share_reset.c: see share_reset.h. */
#include "broker/share/share_reset.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DURATION_MS_MAX ((int64_t)1 << 53) /* far beyond any log; sums stay exact */

/* One "n<unit>"; the rest is behind it. False: malformed or too large. */
static bool part(const char **at, char unit, int64_t unit_ms, int64_t *sum_ms)
{
    const char *p = *at;
    char *end;

    if (!isdigit((unsigned char)*p)) return true;
    double value = strtod(p, &end);
    if (toupper((unsigned char)*end) != unit) return true; /* another unit's */
    for (const char *c = p; c < end; c++)
        if (!isdigit((unsigned char)*c) && !(unit == 'S' && *c == '.')) return false;
    if (value * (double)unit_ms > (double)(DURATION_MS_MAX - *sum_ms)) return false;
    *sum_ms += (int64_t)(value * (double)unit_ms);
    *at = end + 1;
    return true;
}

static bool duration_parse(const char *p, int64_t *ret_ms)
{
    int64_t ms = 0;

    if (toupper((unsigned char)*p++) != 'P') return false;
    const char *begin = p;
    if (!part(&p, 'D', 86400000, &ms)) return false;
    if (toupper((unsigned char)*p) == 'T') {
        const char *time = ++p;
        if (!part(&p, 'H', 3600000, &ms) || !part(&p, 'M', 60000, &ms) || !part(&p, 'S', 1000, &ms) || p == time)
            return false;
    }
    *ret_ms = ms;
    return *p == '\0' && p > begin;
}

bool share_reset_parse(const char *text, struct share_reset *ret)
{
    static const char by_duration[] = "by_duration:";

    *ret = (struct share_reset){.type = SHARE_RESET_LATEST};
    if (strcasecmp(text, "latest") == 0) return true;
    ret->type = SHARE_RESET_EARLIEST;
    if (strcasecmp(text, "earliest") == 0) return true;
    ret->type = SHARE_RESET_BY_DURATION;
    return strncasecmp(text, by_duration, sizeof by_duration - 1) == 0 &&
           duration_parse(text + sizeof by_duration - 1, &ret->duration_ms);
}
