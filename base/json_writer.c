#include "base/json_writer.h"

#include <math.h>
#include <stdio.h>

/* -- strings -- */

#define EACH_BYTE(x)   (UINT64_C(0x0101010101010101) * (x))
#define ESCAPE_LEN_MAX 12 /* \uD83D\uDE00 */

/* High bit of each byte that must be escaped, and perhaps of bytes behind the first such one: the lowest is right. */
static inline uint64_t escape_mask(uint64_t word)
{
    uint64_t quote = word ^ EACH_BYTE('"'), backslash = word ^ EACH_BYTE('\\');
    uint64_t control = (word - EACH_BYTE(0x20)) & ~word;
    quote = (quote - EACH_BYTE(1)) & ~quote;
    backslash = (backslash - EACH_BYTE(1)) & ~backslash;
    /* The first byte of a character beyond the basic plane: its four high bits are set. */
    uint64_t beyond = word & word << 1 & word << 2 & word << 3;
    return (control | quote | backslash | beyond) & EACH_BYTE(0x80);
}

static inline bool must_escape(uint8_t c)
{
    return c < 0x20 || c == '"' || c == '\\' || c >= 0xf0;
}

static uint8_t *escape_write(uint8_t *out, uint8_t c)
{
    static const char hex[] = "0123456789ABCDEF";
    static const char letters[0x20] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    char letter = c < 0x20 ? letters[c] : (char)c;
    *out++ = '\\';
    if (letter) {
        *out++ = (uint8_t)letter;
        return out;
    }
    memcpy(out, "u00", 3);
    out[3] = (uint8_t)hex[c >> 4];
    out[4] = (uint8_t)hex[c & 15];
    return out + 5;
}

static uint8_t *unit_write(uint8_t *out, uint32_t unit)
{
    static const char hex[] = "0123456789ABCDEF";
    *out++ = '\\';
    *out++ = 'u';
    for (int shift = 12; shift >= 0; shift -= 4) *out++ = (uint8_t)hex[unit >> shift & 15];
    return out;
}

/* Jackson writes a character beyond the basic plane as its two UTF-16 units. Moves *in behind it; what is no such
 * character is copied. */
static uint8_t *pair_write(uint8_t *out, const uint8_t **in, const uint8_t *end)
{
    const uint8_t *p = *in;
    if (end - p < 4 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 || (p[3] & 0xc0) != 0x80) {
        *out++ = *(*in)++;
        return out;
    }
    uint32_t c = (p[0] & 7u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
    *in += 4;
    c -= 0x10000;
    return unit_write(unit_write(out, 0xd800 + (c >> 10 & 0x3ff)), 0xdc00 + (c & 0x3ff));
}

/* Eight bytes are looked at and copied at once; what is copied too far is written over. */
void json_write_escaped(struct bytes *b, struct slice text)
{
    const uint8_t *in = text.ptr, *end = text.ptr + text.len;
    for (;;) {
        /* Room for the rest as it is, one escape, and eight bytes copied too far. */
        uint8_t *begin = bytes_room(b, (size_t)(end - in) + ESCAPE_LEN_MAX + 8), *out = begin;
        if (!begin) return;
        while (end - in >= 8) {
            uint64_t word;
            memcpy(&word, in, 8);
            memcpy(out, &word, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
            word = __builtin_bswap64(word);
#endif
            uint64_t mask = escape_mask(word);
            int clean = mask ? __builtin_ctzll(mask) / 8 : 8;
            in += clean;
            out += clean;
            if (mask) break;
        }
        if (end - in < 8)
            while (in < end && !must_escape(*in)) *out++ = *in++;
        if (in < end && *in >= 0xf0) out = pair_write(out, &in, end);
        else if (in < end) out = escape_write(out, *in++);
        b->len += (uint32_t)(out - begin);
        if (in == end) return;
    }
}

void json_write_string(struct bytes *b, struct slice text)
{
    if (!text.ptr) {
        json_write_null(b);
        return;
    }
    bytes_append_byte(b, '"');
    json_write_escaped(b, text);
    bytes_append_byte(b, '"');
}

/* -- integers -- */

#define INT64_DIGITS_MAX 20 /* with the sign */

static const char digit_pairs[201] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                                     "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                                     "8081828384858687888990919293949596979899";

/* Writes value so that it ends before `end`; returns where it begins. */
static uint8_t *digits_write(uint8_t *end, uint64_t value)
{
    while (value >= 100) {
        end -= 2;
        memcpy(end, digit_pairs + 2 * (value % 100), 2);
        value /= 100;
    }
    if (value >= 10) {
        end -= 2;
        memcpy(end, digit_pairs + 2 * value, 2);
    } else {
        *--end = (uint8_t)('0' + value);
    }
    return end;
}

void json_write_uint64(struct bytes *b, uint64_t value)
{
    uint8_t text[INT64_DIGITS_MAX], *end = text + sizeof text, *begin = digits_write(end, value);
    bytes_append(b, begin, (size_t)(end - begin));
}

void json_write_int64(struct bytes *b, int64_t value)
{
    uint8_t text[INT64_DIGITS_MAX], *end = text + sizeof text;
    uint8_t *begin = digits_write(end, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
    if (value < 0) *--begin = '-';
    bytes_append(b, begin, (size_t)(end - begin));
}

/* -- floating point -- */

#define DECIMAL_DIGITS_MAX 17 /* that a double needs at most */

/* 0.d1 d2 d3 … times 10 to the exponent; no zeros at either end. */
struct decimal {
    bool negative;
    int count; /* of digits; 0: zero */
    int exponent;
    char digits[DECIMAL_DIGITS_MAX];
};

static void decimal_trim(struct decimal *d)
{
    while (d->count && d->digits[d->count - 1] == '0') d->count--;
}

/* Java's layout: plain from 10^-3 to below 10^7, else one digit before the point and an exponent. */
static void decimal_write(struct bytes *b, const struct decimal *d)
{
    uint8_t *begin = bytes_room(b, DECIMAL_DIGITS_MAX + 16), *p = begin;
    if (!begin) return;
    if (d->negative) *p++ = '-';
    if (d->count == 0) {
        memcpy(p, "0.0", 3);
        p += 3;
    } else if (d->exponent > 0 && d->exponent <= 7) {
        for (int i = 0; i < d->exponent; i++) *p++ = (uint8_t)(i < d->count ? d->digits[i] : '0');
        *p++ = '.';
        if (d->count <= d->exponent) *p++ = '0';
        for (int i = d->exponent; i < d->count; i++) *p++ = (uint8_t)d->digits[i];
    } else if (d->exponent <= 0 && d->exponent > -3) {
        *p++ = '0';
        *p++ = '.';
        for (int i = d->exponent; i < 0; i++) *p++ = '0';
        memcpy(p, d->digits, (size_t)d->count);
        p += d->count;
    } else {
        *p++ = (uint8_t)d->digits[0];
        *p++ = '.';
        if (d->count == 1) *p++ = '0';
        memcpy(p, d->digits + 1, (size_t)d->count - 1);
        p += d->count - 1;
        *p++ = 'E';
        int exponent = d->exponent - 1;
        if (exponent < 0) *p++ = '-';
        uint8_t text[4], *end = text + sizeof text, *first = digits_write(end, (uint64_t)abs(exponent));
        memcpy(p, first, (size_t)(end - first));
        p += end - first;
    }
    b->len += (uint32_t)(p - begin);
}

static void decimal_from_integer(struct decimal *d, uint64_t value, int fraction_digits)
{
    uint8_t text[INT64_DIGITS_MAX], *end = text + sizeof text, *begin = digits_write(end, value);
    d->count = (int)(end - begin);
    d->exponent = d->count - fraction_digits;
    memcpy(d->digits, begin, (size_t)d->count);
    decimal_trim(d);
}

/* Reads any usual notation with at most DECIMAL_DIGITS_MAX significant digits. */
static bool decimal_parse(struct decimal *d, struct slice text)
{
    const uint8_t *p = text.ptr, *end = text.ptr + text.len;
    int zeros = 0; /* seen behind the last other digit, not written yet */
    bool point = false, any = false;

    *d = (struct decimal){0};
    if (p < end && (*p == '-' || *p == '+')) d->negative = *p++ == '-';
    for (; p < end && (*p == '.' || (*p >= '0' && *p <= '9')); p++) {
        if (*p == '.') {
            if (point) return false;
            point = true;
            continue;
        }
        any = true;
        if (*p == '0') {
            if (d->count) {
                zeros++;
                if (!point) d->exponent++;
            } else if (point) {
                d->exponent--;
            }
            continue;
        }
        if (d->count + zeros >= DECIMAL_DIGITS_MAX) return false;
        for (; zeros; zeros--) d->digits[d->count++] = '0';
        d->digits[d->count++] = (char)*p;
        if (!point) d->exponent++;
    }
    if (!any) return false;
    if (p < end && (*p == 'e' || *p == 'E')) {
        int exponent = 0, sign = 1, digits = 0;
        p++;
        if (p < end && (*p == '-' || *p == '+')) sign = *p++ == '-' ? -1 : 1;
        for (; p < end && *p >= '0' && *p <= '9' && digits < 4; p++, digits++) exponent = exponent * 10 + (*p - '0');
        if (!digits) return false;
        d->exponent += sign * exponent;
    }
    if (d->count == 0) d->exponent = 0;
    return p == end;
}

/* A decimal of at most 15 digits that is m / 10^k with both exact: the division rounds as reading the decimal does, and
 * no two decimals of 15 digits read as the same double, so the first k that works gives the shortest. */
static bool decimal_from_short(struct decimal *d, double magnitude)
{
    static const double powers[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    if (magnitude >= 1e15 || magnitude < 1e-5) return false;
    for (int k = 0; k < (int)countof(powers); k++) {
        double scaled = magnitude * powers[k];
        if (scaled >= 1e15) return false;
        uint64_t m = (uint64_t)(scaled + 0.5);
        if ((double)m / powers[k] != magnitude) continue;
        decimal_from_integer(d, m, k);
        return true;
    }
    return false;
}

/* The nearest decimal of `count` digits, or with `up` the next one above it. */
static void decimal_round(struct decimal *d, double magnitude, int count, bool up)
{
    char text[DECIMAL_DIGITS_MAX + 16];
    snprintf(text, sizeof text, "%.*e", count - 1, magnitude);
    d->digits[0] = text[0];
    memcpy(d->digits + 1, text + 2, (size_t)count - 1);
    d->count = count;
    d->exponent = atoi(text + (count > 1 ? count + 2 : 2)) + 1;
    for (int i = count - 1; up && i >= 0; i--) {
        up = d->digits[i] == '9';
        d->digits[i] = up ? '0' : (char)(d->digits[i] + 1);
    }
    if (up) { /* 99 became 100 */
        d->digits[0] = '1';
        d->exponent++;
    }
}

static double decimal_value(const struct decimal *d, bool as_float)
{
    char text[DECIMAL_DIGITS_MAX + 16];
    snprintf(text, sizeof text, "0.%.*se%d", d->count, d->digits, d->exponent);
    return as_float ? (double)strtof(text, NULL) : strtod(text, NULL);
}

/* Java looks for the shortest digits that read back, but never fewer than two; among those as short, the nearest. At a
 * power of two the gap below is half of that above, and only the decimal above the nearest one may read back. */
static void decimal_shortest(struct decimal *d, double magnitude, bool as_float, int count_min, int count_max)
{
    int exponent;
    bool power_of_two = frexp(magnitude, &exponent) == 0.5;
    for (int count = count_min; count < count_max; count++) {
        decimal_round(d, magnitude, count, false);
        if (decimal_value(d, as_float) == magnitude) goto found;
        if (!power_of_two) continue;
        decimal_round(d, magnitude, count, true);
        if (decimal_value(d, as_float) == magnitude) goto found;
    }
    decimal_round(d, magnitude, count_max, false);
found:
    decimal_trim(d);
}

/* As many digits as any decimal has that survives a trip through the type, and as the type needs at most. Below the
 * smallest normal number there are fewer, down to none. */
#define DOUBLE_DIGITS_SAFE 15
#define FLOAT_DIGITS_SAFE  6
#define FLOAT_DIGITS_MAX   9

void json_write_double(struct bytes *b, double value)
{
    struct decimal d = {.negative = signbit(value)};
    double magnitude = fabs(value);
    assert(isfinite(value));
    if (magnitude != 0 && !decimal_from_short(&d, magnitude))
        decimal_shortest(&d, magnitude, false, isnormal(value) ? DOUBLE_DIGITS_SAFE : 2, DECIMAL_DIGITS_MAX);
    decimal_write(b, &d);
}

void json_write_float(struct bytes *b, float value)
{
    struct decimal d = {.negative = signbit(value)};
    assert(isfinite(value));
    if (value != 0)
        decimal_shortest(&d, fabs((double)value), true, isnormal(value) ? FLOAT_DIGITS_SAFE : 2, FLOAT_DIGITS_MAX);
    decimal_write(b, &d);
}

/* Near the smallest numbers one digit may be enough where Java looks for two: those are read and written the long way.
 */
#define FLOAT_EXPONENT_PLAIN (-36)
#define NUMBER_TEXT_MAX      64

bool json_write_float_text(struct bytes *b, struct slice text)
{
    struct decimal d;
    char copy[NUMBER_TEXT_MAX];
    if (!decimal_parse(&d, text)) return false;
    if (d.exponent > FLOAT_EXPONENT_PLAIN || d.count == 0) {
        decimal_write(b, &d);
        return true;
    }
    if (text.len >= sizeof copy) return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    json_write_float(b, strtof(copy, NULL));
    return true;
}

/* -- base64 -- */

void json_write_base64(struct bytes *b, struct slice bytes)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = bytes.ptr;
    uint32_t left = bytes.len;
    if (!p) {
        json_write_null(b);
        return;
    }
    uint8_t *begin = bytes_room(b, ((size_t)left + 2) / 3 * 4 + 2), *out = begin;
    if (!begin) return;
    *out++ = '"';
    for (; left >= 3; left -= 3, p += 3) {
        uint32_t group = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        *out++ = (uint8_t)alphabet[group >> 18];
        *out++ = (uint8_t)alphabet[group >> 12 & 63];
        *out++ = (uint8_t)alphabet[group >> 6 & 63];
        *out++ = (uint8_t)alphabet[group & 63];
    }
    if (left) {
        uint32_t group = (uint32_t)p[0] << 16 | (left == 2 ? (uint32_t)p[1] << 8 : 0);
        *out++ = (uint8_t)alphabet[group >> 18];
        *out++ = (uint8_t)alphabet[group >> 12 & 63];
        *out++ = left == 2 ? (uint8_t)alphabet[group >> 6 & 63] : '=';
        *out++ = '=';
    }
    *out++ = '"';
    b->len += (uint32_t)(out - begin);
}
