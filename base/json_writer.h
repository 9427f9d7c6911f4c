/* base/json_writer.h: JSON appended to a growing array: change events, REST answers.
 *
 * The text is the one that Jackson writes with its defaults, as Kafka Connect's JsonConverter does: in strings only
 * `"`, `\` and control characters are escaped (\b \t \n \f \r, else \u00XX with capital digits), other characters are
 * written as UTF-8, those beyond the basic plane as two escaped UTF-16 units (\uD83D\uDE00); floating point is Java's
 * Double.toString and Float.toString of JDK 19 and later (the shortest digits that read back as the same number).
 * Structure - braces, commas, names - is the caller's: what is constant in an event is prepared once and appended with
 * bytes_append(). Failure of memory is sticky in the array; see base/bytes.h. Threads: one at a time per array. */
#ifndef OTTLA_JSON_WRITER_H
#define OTTLA_JSON_WRITER_H

#include "base/bytes.h"

/* "text" with quotes. text is UTF-8, which is not checked; it may hold NUL. A null slice is written as null. */
void json_write_string(struct bytes *b, struct slice text);
/* The same without the quotes: for strings that are put together of pieces. */
void json_write_escaped(struct bytes *b, struct slice text);

void json_write_int64(struct bytes *b, int64_t value);
void json_write_uint64(struct bytes *b, uint64_t value);
static inline void json_write_bool(struct bytes *b, bool value)
{
    bytes_append_text(b, value ? "true" : "false");
}
static inline void json_write_null(struct bytes *b)
{
    bytes_append_text(b, "null");
}

/* 100.0, 1.0E10, -1.5E-5. NaN and the infinities are the caller's: JSON has none, Connect quotes them. */
void json_write_double(struct bytes *b, double value);
void json_write_float(struct bytes *b, float value);
/* The same for a number that is already in its shortest digits, in any notation, as PostgreSQL sends float4
 * (extra_float_digits >= 1): it is only laid out anew, ten times faster. false: text is no finite number; nothing
 * written. */
bool json_write_float_text(struct bytes *b, struct slice text) WARN_UNUSED;

/* Bytes as a string in quotes: base64 with padding (RFC 4648, section 4). A null slice is written as null. */
void json_write_base64(struct bytes *b, struct slice bytes);

#endif
