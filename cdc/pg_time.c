/* cdc/pg_time.c: date, time, timetz, timestamp, timestamptz, interval (pg_value.h).
 *
 * Text in DateStyle ISO; years before Christ as "0044-03-15 BC", which is year -43. All calendars are proleptic
 * Gregorian. Columns without modifier have six digits of fraction. */
#include "cdc/pg_value.h"

#include <stdio.h>

#define US_PER_SECOND INT64_C(1000000)
#define US_PER_DAY    (86400 * US_PER_SECOND)
/* Debezium's average month: 365.25 / 12 days. */
#define US_PER_MONTH  INT64_C(2629800000000)

/* What JDBC makes of infinity: days of a date, milliseconds of a timestamp. */
#define DATE_INFINITY                INT64_C(2146033979)
#define DATE_MINUS_INFINITY          INT64_C(-2147472691)
#define MS_INFINITY                  INT64_C(9223372036825200000)
#define MS_MINUS_INFINITY            INT64_C(-9223372036832400000)
/* What Debezium shows in snapshots instead, and the dates it writes in ISO form (defects). */
#define SNAPSHOT_DATE_INFINITY       INT64_C(-622191234)
#define SNAPSHOT_DATE_MINUS_INFINITY INT64_C(-625821272)

#define TIME_TEXT_SIZE 64

/* ---- calendar ---- */

static int64_t days_of(int64_t year, int month, int day)
{
    /* Years begin in March, so that the leap day is the last; eras of 400 years. */
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void date_of(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    *ret_day = (int)(day_of_year - (153 * month + 2) / 5 + 1);
    *ret_month = (int)(month < 10 ? month + 3 : month - 9);
    *ret_year = year_of_era + era * 400 + (*ret_month <= 2);
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

/* ---- reading ---- */

struct cursor {
    const uint8_t *p, *end;
};

static bool read_number(struct cursor *c, int digits_min, int digits_max, int64_t *ret)
{
    int digits = 0;
    int64_t v = 0;

    for (; c->p < c->end && *c->p >= '0' && *c->p <= '9' && digits < digits_max; c->p++, digits++)
        v = v * 10 + (*c->p - '0');
    *ret = v;
    return digits >= digits_min;
}

static bool read_char(struct cursor *c, char expected)
{
    if (c->p == c->end || *c->p != expected) return false;
    c->p++;
    return true;
}

static bool read_date(struct cursor *c, int64_t *ret_year, int *ret_month, int *ret_day)
{
    int64_t month, day;

    if (!read_number(c, 4, 7, ret_year) || !read_char(c, '-') || !read_number(c, 2, 2, &month) || !read_char(c, '-') ||
        !read_number(c, 2, 2, &day) || month < 1 || month > 12 || day < 1 || day > 31)
        return false;
    *ret_month = (int)month, *ret_day = (int)day;
    return true;
}

/* hh:mm:ss[.ffffff], hours up to 24 in a time of day, in an interval as many as its microseconds allow. */
static bool read_clock(struct cursor *c, int64_t *ret_us)
{
    int64_t hours, minutes, seconds, us = 0;

    if (!read_number(c, 2, 12, &hours) || !read_char(c, ':') || !read_number(c, 2, 2, &minutes) || !read_char(c, ':') ||
        !read_number(c, 2, 2, &seconds) || minutes > 59 || seconds > 60)
        return false;
    if (read_char(c, '.')) {
        int64_t unit = 100000;
        bool any = false;
        for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++, unit /= 10, any = true)
            us += (*c->p - '0') * unit;
        if (!any) return false;
    }
    return !__builtin_mul_overflow(hours * 3600 + minutes * 60 + seconds, US_PER_SECOND, ret_us) &&
           !__builtin_add_overflow(*ret_us, us, ret_us);
}

/* +hh[:mm[:ss]] */
static bool read_zone(struct cursor *c, int64_t *ret_seconds)
{
    int64_t hours, minutes = 0, seconds = 0;
    bool negative = read_char(c, '-');

    if ((!negative && !read_char(c, '+')) || !read_number(c, 2, 2, &hours)) return false;
    if (read_char(c, ':') && !read_number(c, 2, 2, &minutes)) return false;
    if (read_char(c, ':') && !read_number(c, 2, 2, &seconds)) return false;
    *ret_seconds = hours * 3600 + minutes * 60 + seconds;
    if (negative) *ret_seconds = -*ret_seconds;
    return true;
}

static bool read_era_end(struct cursor *c, int64_t *year)
{
    if (c->end - c->p == 3 && memcmp(c->p, " BC", 3) == 0) {
        *year = 1 - *year;
        return true;
    }
    return c->p == c->end;
}

/* A date; infinities as JDBC's days. */
static bool parse_date(struct slice text, int64_t *ret_days)
{
    struct cursor c = {text.ptr, text.ptr + text.len};
    int64_t year;
    int month, day;

    if (slice_eq_text(text, "infinity") || slice_eq_text(text, "-infinity")) {
        *ret_days = text.ptr[0] == '-' ? DATE_MINUS_INFINITY : DATE_INFINITY;
        return true;
    }
    if (!read_date(&c, &year, &month, &day) || !read_era_end(&c, &year)) return false;
    *ret_days = days_of(year, month, day);
    return true;
}

/* A timestamp as microseconds of UTC; false for infinities too. */
static bool parse_timestamp(struct slice text, bool zoned, int64_t *ret_us)
{
    struct cursor c = {text.ptr, text.ptr + text.len};
    int64_t year, clock_us, zone = 0, us;
    int month, day;

    if (!read_date(&c, &year, &month, &day) || !read_char(&c, ' ') || !read_clock(&c, &clock_us) ||
        (zoned && !read_zone(&c, &zone)) || !read_era_end(&c, &year))
        return false;
    if (__builtin_mul_overflow(days_of(year, month, day), US_PER_DAY, &us)) return false;
    return !__builtin_add_overflow(us, clock_us - zone * US_PER_SECOND, ret_us);
}

static int infinity_sign(struct slice text)
{
    return slice_eq_text(text, "infinity") ? 1 : slice_eq_text(text, "-infinity") ? -1 : 0;
}

/* ---- writing ---- */

static int write_date(char *to, int64_t days)
{
    int64_t year;
    int month, day;

    date_of(days, &year, &month, &day);
    return snprintf(to, TIME_TEXT_SIZE, "%s%04lld-%02d-%02d",
                    year < 0      ? "-"
                    : year > 9999 ? "+"
                                  : "",
                    (long long)(year < 0 ? -year : year), month, day);
}

/* digits -1: as many as are needed, as Java prints. */
static int write_clock(char *to, int64_t us_of_day, int digits)
{
    int64_t seconds = us_of_day / US_PER_SECOND;
    char fraction[8];

    int len = snprintf(to, TIME_TEXT_SIZE, "%02d:%02d:%02d", (int)(seconds / 3600), (int)(seconds / 60 % 60),
                       (int)(seconds % 60));
    snprintf(fraction, sizeof(fraction), "%06d", (int)(us_of_day % US_PER_SECOND));
    int count = digits >= 0 ? digits : 6;
    while (digits < 0 && count > 0 && fraction[count - 1] == '0') count--;
    return count ? len + snprintf(to + len, TIME_TEXT_SIZE, ".%.*s", count, fraction) : len;
}

static int write_timestamp(char *to, int64_t us, int digits)
{
    int64_t days = floor_div(us, US_PER_DAY);
    int len = write_date(to, days);

    to[len++] = 'T';
    len += write_clock(to + len, us - days * US_PER_DAY, digits);
    to[len++] = 'Z';
    return len;
}

static bool keep_text(struct arena *arena, const char *text, int len, struct connect_value *ret)
{
    *ret = value_string(arena_slice_dup(arena, slice_make(text, (uint32_t)len)));
    return ret->text.ptr != NULL;
}

/* ---- date ---- */

static bool convert_date(const struct pg_converter *c, struct slice text, struct arena *arena,
                         struct connect_value *ret)
{
    ret->kind = VALUE_INT;
    if (c->defects && c->snapshot) {
        int sign = infinity_sign(text);
        if (sign) {
            ret->integer = sign > 0 ? SNAPSHOT_DATE_INFINITY : SNAPSHOT_DATE_MINUS_INFINITY;
            return true;
        }
        /* The era is lost there. */
        if (text.len > 3 && memcmp(text.ptr + text.len - 3, " BC", 3) == 0) text.len -= 3;
    }
    return parse_date(text, &ret->integer);
}

static bool convert_iso_date(const struct pg_converter *c, struct slice text, struct arena *arena,
                             struct connect_value *ret)
{
    char to[2 * TIME_TEXT_SIZE];
    int64_t days;

    if (c->defects && c->snapshot) {
        int sign = infinity_sign(text);
        if (sign) {
            *ret = value_string(sign > 0 ? SLICE("+292278994-08-16Z") : SLICE("+292269055-12-02Z"));
            return true;
        }
        if (text.len > 3 && memcmp(text.ptr + text.len - 3, " BC", 3) == 0) text.len -= 3;
    }
    if (!parse_date(text, &days)) return false;
    int len = write_date(to, days);
    to[len++] = 'Z';
    return keep_text(arena, to, len, ret);
}

bool pg_setup_date(struct pg_converter *c, const struct pg_setup *s)
{
    if (s->config->time_mode == TIME_ISOSTRING) {
        c->convert = convert_iso_date;
        c->neutral = value_string(SLICE("1970-01-01Z"));
        return pg_schema(c, s, CONNECT_STRING, "io.debezium.time.IsoDate");
    }
    c->convert = convert_date;
    c->neutral = value_int(0);
    return pg_schema(c, s, CONNECT_INT32,
                     s->config->time_mode == TIME_CONNECT ? "org.apache.kafka.connect.data.Date"
                                                          : "io.debezium.time.Date");
}

/* ---- time ---- */

static bool parse_time(struct slice text, int64_t *ret_us)
{
    struct cursor c = {text.ptr, text.ptr + text.len};

    return read_clock(&c, ret_us) && c.p == c.end && *ret_us <= US_PER_DAY;
}

static bool convert_time_ms(const struct pg_converter *c, struct slice text, struct arena *arena,
                            struct connect_value *ret)
{
    ret->kind = VALUE_INT;
    if (!parse_time(text, &ret->integer)) return false;
    ret->integer /= 1000;
    return true;
}

static bool convert_time_us(const struct pg_converter *c, struct slice text, struct arena *arena,
                            struct connect_value *ret)
{
    ret->kind = VALUE_INT;
    return parse_time(text, &ret->integer);
}

static bool convert_time_ns(const struct pg_converter *c, struct slice text, struct arena *arena,
                            struct connect_value *ret)
{
    ret->kind = VALUE_INT;
    if (!parse_time(text, &ret->integer)) return false;
    ret->integer *= 1000;
    return true;
}

static bool convert_iso_time(const struct pg_converter *c, struct slice text, struct arena *arena,
                             struct connect_value *ret)
{
    char to[2 * TIME_TEXT_SIZE];
    int64_t us;

    if (!parse_time(text, &us)) return false;
    int len = write_clock(to, us % US_PER_DAY, -1);
    to[len++] = 'Z';
    return keep_text(arena, to, len, ret);
}

static int precision_of(const struct pg_type *type)
{
    return type->typmod >= 0 && type->typmod < 6 ? type->typmod : 6;
}

bool pg_setup_time(struct pg_converter *c, const struct pg_setup *s)
{
    c->neutral = value_int(0);
    switch (s->config->time_mode) {
    case TIME_CONNECT:
        c->convert = convert_time_ms;
        return pg_schema(c, s, CONNECT_INT32, "org.apache.kafka.connect.data.Time");
    case TIME_ISOSTRING:
        c->convert = convert_iso_time;
        c->neutral = value_string(SLICE("00:00:00Z"));
        return pg_schema(c, s, CONNECT_STRING, "io.debezium.time.IsoTime");
    case TIME_NANOSECONDS:
        c->convert = convert_time_ns;
        return pg_schema(c, s, CONNECT_INT64, "io.debezium.time.NanoTime");
    case TIME_ADAPTIVE:
        if (precision_of(s->type) <= 3) {
            c->convert = convert_time_ms;
            return pg_schema(c, s, CONNECT_INT32, "io.debezium.time.Time");
        }
        break;
    case TIME_ADAPTIVE_MICROSECONDS:
    case TIME_MICROSECONDS: break;
    }
    c->convert = convert_time_us;
    return pg_schema(c, s, CONNECT_INT64, "io.debezium.time.MicroTime");
}

static bool convert_timetz(const struct pg_converter *c, struct slice text, struct arena *arena,
                           struct connect_value *ret)
{
    struct cursor in = {text.ptr, text.ptr + text.len};
    char to[2 * TIME_TEXT_SIZE];
    int64_t us, zone;

    if (!read_clock(&in, &us) || !read_zone(&in, &zone) || in.p != in.end || us > US_PER_DAY) return false;
    if (us != US_PER_DAY || zone != 0 || !c->midnight_24) {
        us = (us - zone * US_PER_SECOND) % US_PER_DAY;
        if (us < 0) us += US_PER_DAY;
    }
    int len = write_clock(to, us, -1);
    to[len++] = 'Z';
    return keep_text(arena, to, len, ret);
}

bool pg_setup_timetz(struct pg_converter *c, const struct pg_setup *s)
{
    c->convert = convert_timetz;
    c->neutral = value_string(SLICE("00:00:00Z"));
    return pg_schema(c, s, CONNECT_STRING, "io.debezium.time.ZonedTime");
}

/* ---- timestamp ---- */

static bool convert_timestamp_ms(const struct pg_converter *c, struct slice text, struct arena *arena,
                                 struct connect_value *ret)
{
    int sign = infinity_sign(text);

    ret->kind = VALUE_INT;
    if (sign) {
        ret->integer = sign > 0 ? MS_INFINITY : MS_MINUS_INFINITY;
        return true;
    }
    if (!parse_timestamp(text, false, &ret->integer)) return false;
    ret->integer = floor_div(ret->integer, 1000);
    return true;
}

static bool convert_timestamp_us(const struct pg_converter *c, struct slice text, struct arena *arena,
                                 struct connect_value *ret)
{
    int sign = infinity_sign(text);

    ret->kind = VALUE_INT;
    if (sign) {
        ret->integer = sign > 0 ? INT64_MAX : INT64_MIN;
        return true;
    }
    return parse_timestamp(text, false, &ret->integer);
}

/* Out of range between the years 1677 and 2262: cannot be represented. */
static bool convert_timestamp_ns(const struct pg_converter *c, struct slice text, struct arena *arena,
                                 struct connect_value *ret)
{
    int64_t us;

    ret->kind = VALUE_INT;
    return parse_timestamp(text, false, &us) && !__builtin_mul_overflow(us, INT64_C(1000), &ret->integer);
}

static bool convert_iso_timestamp(const struct pg_converter *c, struct slice text, struct arena *arena,
                                  struct connect_value *ret)
{
    char to[3 * TIME_TEXT_SIZE];
    int64_t us;
    int sign = infinity_sign(text);

    if (sign) { /* MS_INFINITY and MS_MINUS_INFINITY in this form */
        *ret = value_string(sign > 0 ? SLICE("+292278994-08-16T23:00:00Z") : SLICE("-292275055-05-16T23:00:00Z"));
        return true;
    }
    return parse_timestamp(text, false, &us) && keep_text(arena, to, write_timestamp(to, us, -1), ret);
}

bool pg_setup_timestamp(struct pg_converter *c, const struct pg_setup *s)
{
    c->neutral = value_int(0);
    switch (s->config->time_mode) {
    case TIME_CONNECT:
        c->convert = convert_timestamp_ms;
        return pg_schema(c, s, CONNECT_INT64, "org.apache.kafka.connect.data.Timestamp");
    case TIME_ISOSTRING:
        c->convert = convert_iso_timestamp;
        c->neutral = value_string(SLICE("1970-01-01T00:00:00Z"));
        return pg_schema(c, s, CONNECT_STRING, "io.debezium.time.IsoTimestamp");
    case TIME_NANOSECONDS:
        c->convert = convert_timestamp_ns;
        return pg_schema(c, s, CONNECT_INT64, "io.debezium.time.NanoTimestamp");
    case TIME_ADAPTIVE:
    case TIME_ADAPTIVE_MICROSECONDS:
        if (precision_of(s->type) <= 3) {
            c->convert = convert_timestamp_ms;
            return pg_schema(c, s, CONNECT_INT64, "io.debezium.time.Timestamp");
        }
        break;
    case TIME_MICROSECONDS: break;
    }
    c->convert = convert_timestamp_us;
    return pg_schema(c, s, CONNECT_INT64, "io.debezium.time.MicroTimestamp");
}

static bool convert_timestamptz(const struct pg_converter *c, struct slice text, struct arena *arena,
                                struct connect_value *ret)
{
    char to[3 * TIME_TEXT_SIZE];
    int64_t us;

    if (infinity_sign(text)) {
        *ret = value_string(text);
        return true;
    }
    return parse_timestamp(text, true, &us) && keep_text(arena, to, write_timestamp(to, us, c->precision), ret);
}

bool pg_setup_timestamptz(struct pg_converter *c, const struct pg_setup *s)
{
    char epoch[3 * TIME_TEXT_SIZE];

    c->convert = convert_timestamptz;
    c->precision = precision_of(s->type);
    return keep_text(s->arena, epoch, write_timestamp(epoch, 0, c->precision), &c->neutral) &&
           pg_schema(c, s, CONNECT_STRING, "io.debezium.time.ZonedTimestamp");
}

/* ---- interval ---- */

struct interval {
    int64_t months, days, us; /* each with its own sign */
};

/* "1 year 2 mons -3 days +04:05:06.789" */
static bool parse_interval(struct slice text, struct interval *ret)
{
    struct cursor c = {text.ptr, text.ptr + text.len};
    struct interval v = {0};

    while (c.p < c.end) {
        bool negative = read_char(&c, '-');
        if (!negative) (void)read_char(&c, '+');
        const uint8_t *start = c.p;
        int64_t number, us;
        if (!read_number(&c, 1, 12, &number)) return false;
        if (c.p < c.end && *c.p == ':') {
            c.p = start;
            if (!read_clock(&c, &us) || c.p != c.end) return false;
            v.us = negative ? -us : us;
            break;
        }
        if (negative) number = -number;
        if (!read_char(&c, ' ')) return false;
        const uint8_t *unit = c.p;
        while (c.p < c.end && *c.p != ' ') c.p++;
        struct slice word = slice_make(unit, (uint32_t)(c.p - unit));
        if (slice_eq_text(word, "year") || slice_eq_text(word, "years")) v.months += number * 12;
        else if (slice_eq_text(word, "mon") || slice_eq_text(word, "mons")) v.months += number;
        else if (slice_eq_text(word, "day") || slice_eq_text(word, "days")) v.days += number;
        else return false;
        (void)read_char(&c, ' ');
    }
    *ret = v;
    return text.len > 0;
}

static bool convert_interval_us(const struct pg_converter *c, struct slice text, struct arena *arena,
                                struct connect_value *ret)
{
    struct interval v;
    int64_t months_us, days_us;

    ret->kind = VALUE_INT;
    return parse_interval(text, &v) && !__builtin_mul_overflow(v.months, US_PER_MONTH, &months_us) &&
           !__builtin_mul_overflow(v.days, US_PER_DAY, &days_us) &&
           !__builtin_add_overflow(months_us, days_us, &days_us) &&
           !__builtin_add_overflow(days_us, v.us, &ret->integer);
}

static bool convert_interval_iso(const struct pg_converter *c, struct slice text, struct arena *arena,
                                 struct connect_value *ret)
{
    struct interval v;

    if (!parse_interval(text, &v)) return false;
    int64_t magnitude = v.us < 0 ? -v.us : v.us, seconds = magnitude / US_PER_SECOND;
    const char *sign = v.us < 0 ? "-" : "";
    char fraction[8] = "";
    int digits = 6;
    if (magnitude % US_PER_SECOND) {
        snprintf(fraction, sizeof(fraction), "%06d", (int)(magnitude % US_PER_SECOND));
        while (fraction[digits - 1] == '0') digits--;
    } else {
        digits = 0;
    }
    int64_t hours = seconds / 3600, minutes = seconds / 60 % 60, rest = seconds % 60;
    char *iso = arena_printf(arena, "P%lldY%lldM%lldDT%s%lldH%s%lldM%s%lld%s%.*sS", (long long)(v.months / 12),
                             (long long)(v.months % 12), (long long)v.days, hours ? sign : "", (long long)hours,
                             minutes ? sign : "", (long long)minutes, rest || digits ? sign : "", (long long)rest,
                             digits ? "." : "", digits, fraction);
    *ret = value_string(slice_of(iso));
    return iso != NULL;
}

bool pg_setup_interval(struct pg_converter *c, const struct pg_setup *s)
{
    if (s->config->interval_mode == INTERVAL_STRING) {
        c->convert = convert_interval_iso;
        c->neutral = value_string(SLICE("P0Y0M0DT0H0M0S"));
        return pg_schema(c, s, CONNECT_STRING, "io.debezium.time.Interval");
    }
    c->convert = convert_interval_us;
    c->neutral = value_int(0);
    return pg_schema(c, s, CONNECT_INT64, "io.debezium.time.MicroDuration");
}
