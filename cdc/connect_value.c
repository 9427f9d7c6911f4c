/* cdc/connect_value.c: see connect_value.h. */
#include "cdc/connect_value.h"

#include "base/json_writer.h"
#include "cdc/connect_schema.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void list_json(const struct connect_value *v, const struct connect_schema *s, enum decimal_format decimals,
                      struct bytes *out)
{
    bool object = s->type != CONNECT_ARRAY;

    bytes_append_byte(out, object ? '{' : '[');
    if (s->type == CONNECT_ARRAY) {
        for (uint32_t i = 0; i < v->list.count; i++) {
            if (i) bytes_append_byte(out, ',');
            connect_value_json(&v->list.items[i], s->items, decimals, out);
        }
    } else if (s->type == CONNECT_MAP) {
        for (uint32_t i = 0; i + 1 < v->list.count; i += 2) {
            if (i) bytes_append_byte(out, ',');
            connect_value_json(&v->list.items[i], s->keys, decimals, out);
            bytes_append_byte(out, ':');
            connect_value_json(&v->list.items[i + 1], s->items, decimals, out);
        }
    } else {
        for (uint32_t i = 0; i < v->list.count && i < s->fields_count; i++) {
            if (i) bytes_append_byte(out, ',');
            json_write_string(out, slice_of(s->fields[i].name));
            bytes_append_byte(out, ':');
            connect_value_json(&v->list.items[i], s->fields[i].schema, decimals, out);
        }
    }
    bytes_append_byte(out, object ? '}' : ']');
}

static void number_json(const struct connect_value *v, struct bytes *out)
{
    if (isnan(v->number)) bytes_append_text(out, "\"NaN\"");
    else if (isinf(v->number)) bytes_append_text(out, v->number < 0 ? "\"-Infinity\"" : "\"Infinity\"");
    else if (v->kind == VALUE_FLOAT32) json_write_float(out, (float)v->number);
    else json_write_double(out, v->number);
}

/* The magnitude of a big-endian two's complement number as decimal digits, without leading zeros. */
static void digits_of(struct slice unscaled, struct bytes *ret_digits)
{
    bool negative = unscaled.len && unscaled.ptr[0] & 0x80;
    uint32_t words = (unscaled.len + 3) / 4, groups = 0;
    uint32_t *word = xcalloc(words + 1, sizeof *word); /* most significant first */
    uint32_t *group =
        xcalloc((size_t)words * 10 / 9 + 2, sizeof *group); /* nine digits each, least significant first */
    uint64_t carry = negative ? 1 : 0;

    for (uint32_t i = 0; i < unscaled.len; i++) {
        uint32_t at = unscaled.len - 1 - i; /* from the least significant byte on */
        carry += negative ? (uint8_t)~unscaled.ptr[at] : unscaled.ptr[at];
        word[words - 1 - i / 4] |= (uint32_t)(carry & 0xff) << 8 * (i % 4);
        carry >>= 8;
    }
    for (uint32_t first = 0; first < words;) {
        uint64_t rest = 0;
        for (uint32_t k = first; k < words; k++) {
            rest = rest << 32 | word[k];
            word[k] = (uint32_t)(rest / 1000000000);
            rest %= 1000000000;
        }
        group[groups++] = (uint32_t)rest;
        while (first < words && word[first] == 0) first++;
    }
    char text[12];
    snprintf(text, sizeof text, "%u", groups ? group[groups - 1] : 0);
    bytes_append_text(ret_digits, text);
    for (uint32_t i = groups; i-- > 1;) {
        snprintf(text, sizeof text, "%09u", group[i - 1]);
        bytes_append_text(ret_digits, text);
    }
    free(word);
    free(group);
}

/* BigDecimal.toString(): plain, or with an exponent when the scale is negative or more than six zeros would stand behind the
 * point. */
static void decimal_json(struct slice unscaled, int64_t scale, struct bytes *out)
{
    struct bytes digits = {0};

    digits_of(unscaled, &digits);
    if (unscaled.len && unscaled.ptr[0] & 0x80) bytes_append_byte(out, '-');
    int64_t exponent = (int64_t)digits.len - 1 - scale; /* of the first digit */
    if (scale == 0) {
        bytes_append_slice(out, bytes_slice(&digits));
    } else if (scale > 0 && exponent >= -6) {
        int64_t before = (int64_t)digits.len - scale; /* digits before the point */
        if (before > 0) bytes_append(out, digits.ptr, (uint32_t)before);
        bytes_append_text(out, before > 0 ? "." : "0.");
        for (int64_t i = before; i < 0; i++) bytes_append_byte(out, '0');
        if (before < 0) before = 0;
        bytes_append(out, digits.ptr + before, digits.len - (uint32_t)before);
    } else {
        bytes_append(out, digits.ptr, 1);
        if (digits.len > 1) {
            bytes_append_byte(out, '.');
            bytes_append(out, digits.ptr + 1, digits.len - 1);
        }
        bytes_append_text(out, exponent < 0 ? "E" : "E+");
        json_write_int64(out, exponent);
    }
    out->failed |= digits.failed;
    bytes_done(&digits);
}

static const char *scale_of(const struct connect_schema *s)
{
    for (uint32_t i = 0; i < s->parameters_count; i++)
        if (strcmp(s->parameters[i].name, "scale") == 0) return s->parameters[i].value;
    return "0";
}

static void bytes_json(const struct connect_value *v, const struct connect_schema *s, enum decimal_format decimals,
                       struct bytes *out)
{
    if (decimals == DECIMAL_AS_NUMBER && s && s->name && strcmp(s->name, CONNECT_DECIMAL) == 0)
        decimal_json(v->text, strtoll(scale_of(s), NULL, 10), out);
    else json_write_base64(out, v->text);
}

void connect_value_json(const struct connect_value *v, const struct connect_schema *s, enum decimal_format decimals,
                        struct bytes *out)
{
    switch (v->kind) {
    case VALUE_NULL: bytes_append(out, "null", 4); break;
    case VALUE_BOOL: bytes_append_text(out, v->boolean ? "true" : "false"); break;
    case VALUE_INT: json_write_int64(out, v->integer); break;
    case VALUE_FLOAT32:
    case VALUE_FLOAT64: number_json(v, out); break;
    case VALUE_STRING: json_write_string(out, v->text); break;
    case VALUE_BYTES: bytes_json(v, s, decimals, out); break;
    case VALUE_LIST: list_json(v, s, decimals, out); break;
    }
}
