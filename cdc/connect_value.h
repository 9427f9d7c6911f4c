/* cdc/connect_value.h: a value of Kafka Connect, by itself (its schema stands beside it).
 *
 * Strings and bytes are slices of the source text or of an arena; lists are arrays in an arena.
 * Threads: values belong to who made them. */
#ifndef OTTLA_CDC_CONNECT_VALUE_H
#define OTTLA_CDC_CONNECT_VALUE_H

#include "base/arena.h"
#include "base/bytes.h"

enum connect_value_kind {
    VALUE_NULL,
    VALUE_BOOL,
    VALUE_INT, /* int8 to int64 */
    VALUE_FLOAT32,
    VALUE_FLOAT64,
    VALUE_STRING,
    VALUE_BYTES,
    VALUE_LIST, /* array: items; struct: its fields in order; map: key, value, key, value, ... */
};

struct connect_value {
    enum connect_value_kind kind;
    union {
        bool boolean;
        int64_t integer;
        double number;     /* FLOAT32 too */
        struct slice text; /* STRING, BYTES */
        struct {
            const struct connect_value *items;
            uint32_t count;
        } list;
    };
};

struct connect_schema;

/* JsonConverter's decimal.format: how values of Connect's Decimal are written. */
enum decimal_format {
    DECIMAL_AS_BASE64, /* their unscaled bytes */
    DECIMAL_AS_NUMBER, /* NUMERIC: as Java's BigDecimal.toString() */
};

/* Appends the value as JsonConverter writes it: bytes as base64, NaN and infinities as strings, null for VALUE_NULL. s may be NULL
 * for what is neither a list nor a Decimal. */
void connect_value_json(const struct connect_value *v, const struct connect_schema *s, enum decimal_format decimals,
                        struct bytes *out);

#endif
