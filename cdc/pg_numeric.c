/* cdc/pg_numeric.c: numeric and money (pg_value.h).
 *
 * precise: numeric(p,s) is Connect's Decimal: the unscaled value as big-endian two's complement in the fewest bytes,
 * scale in the schema; numeric without modifier is Debezium's VariableScaleDecimal, a struct with the least scale that the
 * value needs. */
#include "cdc/pg_value.h"

/* PostgreSQL: 131,072 digits before and 16,383 after the point. */
#define NUMERIC_DIGITS_MAX 160000

struct decimal {
    bool negative;
    struct slice digits; /* without point, leading zeros allowed */
    uint32_t scale;      /* how many of them stand behind the point */
};

/* Reads "-123.45" (money: "$1,234.50", "-$0.01", "($0.01)" too) and brings it to `scale` digits behind the point; scale
 * -1: as many as there are. NaN and infinities are refused. */
static bool parse_decimal(struct slice text, int32_t scale, bool money, struct arena *arena, struct decimal *ret)
{
    if (text.len == 0 || text.len > NUMERIC_DIGITS_MAX) return false;
    uint8_t *digits = arena_alloc(arena, (size_t)text.len + (scale > 0 ? (uint32_t)scale : 0) + 1);
    uint32_t count = 0, behind = 0;
    bool point = false, negative = false;

    if (!digits) return false;
    for (uint32_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c >= '0' && c <= '9') {
            /* More digits than the scale holds can only be zeros of money; numeric(p,s) prints s. */
            if (point && scale >= 0 && behind == (uint32_t)scale) continue;
            digits[count++] = c;
            behind += point;
        } else if (c == '.' && !point) {
            point = true;
        } else if ((c == '-' && !negative) || (money && c == '(')) {
            negative = true;
        } else if (!money) {
            return false;
        }
    }
    if (count == 0) return false;
    for (; scale >= 0 && behind < (uint32_t)scale; behind++) digits[count++] = '0';
    *ret = (struct decimal){.negative = negative, .digits = slice_make(digits, count), .scale = behind};
    return true;
}

/* Two's complement, big-endian, as few bytes as keep the sign: Java's BigInteger.toByteArray(). */
static bool unscaled_bytes(const struct decimal *d, struct arena *arena, struct slice *ret)
{
    /* log2(10) < 3.33 bits a digit, and one word for carry and sign. */
    uint32_t words_max = d->digits.len / 9 + 2, words = 1;
    uint32_t *word = arena_calloc(arena, words_max, sizeof(*word)); /* least significant first */
    uint8_t *out = arena_alloc(arena, (size_t)words_max * 4 + 1);

    if (!word || !out) return false;
    for (uint32_t i = 0; i < d->digits.len;) {
        /* The first group takes what does not fill nine digits. */
        uint32_t group = i == 0 && d->digits.len % 9 ? d->digits.len % 9 : 9, factor = 1, add = 0;
        for (uint32_t k = 0; k < group; k++, i++) add = add * 10 + (uint32_t)(d->digits.ptr[i] - '0'), factor *= 10;
        uint64_t carry = add;
        for (uint32_t k = 0; k < words; k++) {
            carry += (uint64_t)word[k] * factor;
            word[k] = (uint32_t)carry;
            carry >>= 32;
        }
        if (carry) word[words++] = (uint32_t)carry;
    }
    if (d->negative) {
        uint64_t carry = 1;
        for (uint32_t k = 0; k < words; k++) {
            carry += ~word[k] & UINT32_C(0xffffffff);
            word[k] = (uint32_t)carry;
            carry >>= 32;
        }
        /* Carry out of the top: the value is zero, and minus zero is zero. */
    }
    bool zero = true;
    for (uint32_t k = 0; k < words; k++) zero = zero && word[k] == 0;
    uint8_t sign = d->negative && !zero ? 0xff : 0;

    uint32_t len = words * 4;
    out[0] = sign;
    for (uint32_t k = 0; k < words; k++) be32_store(out + 1 + 4 * k, word[words - 1 - k]);
    uint8_t *start = out;
    len += 1;
    while (len > 1 && start[0] == sign && (start[1] & 0x80) == (sign & 0x80)) start++, len--;
    *ret = slice_make(start, len);
    return true;
}

static bool convert_decimal(const struct pg_converter *c, struct slice text, struct arena *arena,
                            struct connect_value *ret)
{
    struct decimal d;

    ret->kind = VALUE_BYTES;
    return parse_decimal(text, c->scale, false, arena, &d) && unscaled_bytes(&d, arena, &ret->text);
}

static bool convert_variable(const struct pg_converter *c, struct slice text, struct arena *arena,
                             struct connect_value *ret)
{
    struct decimal d;
    struct slice unscaled;
    struct connect_value *items = arena_calloc(arena, 2, sizeof(*items));

    if (!items || !parse_decimal(text, -1, false, arena, &d)) return false;
    /* As Debezium, which strips zeros at the end behind the point. */
    for (; d.scale > 0 && d.digits.ptr[d.digits.len - 1] == '0'; d.digits.len--) d.scale--;
    if (!unscaled_bytes(&d, arena, &unscaled)) return false;
    items[0] = value_int(d.scale);
    items[1] = value_bytes(unscaled);
    *ret = (struct connect_value){.kind = VALUE_LIST, .list = {items, 2}};
    return true;
}

static bool convert_double(const struct pg_converter *c, struct slice text, struct arena *arena,
                           struct connect_value *ret)
{
    ret->kind = VALUE_FLOAT64;
    return pg_parse_double(text, &ret->number);
}

/* Java's names for what is no number. */
static bool convert_string(const struct pg_converter *c, struct slice text, struct arena *arena,
                           struct connect_value *ret)
{
    if (slice_eq_text(text, "NaN")) text = SLICE("NAN");
    if (slice_eq_text(text, "Infinity")) text = SLICE("POSITIVE_INFINITY");
    if (slice_eq_text(text, "-Infinity")) text = SLICE("NEGATIVE_INFINITY");
    if (c->scale > 0 && text.len && text.ptr[text.len - 1] <= '9') {
        /* Of a negative scale read as a large positive one (defects), and of defaults: pad to the scale. */
        const uint8_t *point = memchr(text.ptr, '.', text.len);
        uint32_t behind = point ? (uint32_t)(text.ptr + text.len - point - 1) : 0;
        if (behind < (uint32_t)c->scale) {
            uint32_t more = (uint32_t)c->scale - behind, len = text.len;
            uint8_t *to = arena_alloc(arena, (size_t)len + more + 1);
            if (!to) return false;
            memcpy(to, text.ptr, len);
            if (!point) to[len++] = '.';
            memset(to + len, '0', more);
            text = slice_make(to, len + more);
        }
    }
    *ret = value_string(text);
    return true;
}

static bool setup_text_or_double(struct pg_converter *c, const struct pg_setup *s)
{
    bool is_double = s->config->decimal_mode == DECIMAL_DOUBLE;

    c->convert = is_double ? convert_double : convert_string;
    c->neutral = is_double ? value_double(0) : value_string(SLICE("0"));
    return pg_schema(c, s, is_double ? CONNECT_FLOAT64 : CONNECT_STRING, NULL);
}

static bool setup_decimal(struct pg_converter *c, const struct pg_setup *s, int32_t precision)
{
    if (!pg_schema(c, s, CONNECT_BYTES, CONNECT_DECIMAL)) return false;
    char *scale_text = arena_printf(s->arena, "%d", c->scale),
         *precision_text = arena_printf(s->arena, "%d", precision);
    if (!scale_text || !precision_text) return false;
    c->schema->parameters[c->schema->parameters_count++] = (struct connect_parameter){"scale", scale_text};
    if (precision > 0)
        c->schema->parameters[c->schema->parameters_count++] =
            (struct connect_parameter){"connect.decimal.precision", precision_text};
    c->neutral = value_bytes(slice_make("\0", 1));
    return true;
}

bool pg_setup_numeric(struct pg_converter *c, const struct pg_setup *s)
{
    int32_t typmod = s->type->typmod - 4, precision = typmod >> 16 & 0xffff;
    bool declared = s->type->typmod >= 4;

    /* The scale has 11 bits with sign; Debezium reads it as 16 bits without, so -2 becomes 2046. */
    c->scale = !declared ? -1 : c->defects ? typmod & 0xffff : (typmod & 0x7ff) - ((typmod & 0x400) << 1);
    if (declared && c->scale < 0) {
        precision -= c->scale;
        c->scale = 0;
    }
    if (s->config->decimal_mode != DECIMAL_PRECISE) return setup_text_or_double(c, s);
    if (declared) {
        c->convert = convert_decimal;
        return setup_decimal(c, s, precision);
    }

    struct connect_value *zero = arena_calloc(s->arena, 2, sizeof(*zero));
    c->convert = convert_variable;
    c->no_default = true;
    c->schema = connect_schema_struct(s->arena, s->optional, "io.debezium.data.VariableScaleDecimal", 1, 2);
    if (!zero || !c->schema) return false;
    c->schema->doc = "Variable scaled decimal";
    zero[0] = value_int(0);
    zero[1] = value_bytes(slice_make("\0", 1));
    c->neutral = (struct connect_value){.kind = VALUE_LIST, .list = {zero, 2}};
    return connect_schema_leaf(s->arena, c->schema, "scale", CONNECT_INT32, false) &&
           connect_schema_leaf(s->arena, c->schema, "value", CONNECT_BYTES, false);
}

/* ---- money: "$12,345.67" under lc_monetary=C ---- */

static bool convert_money(const struct pg_converter *c, struct slice text, struct arena *arena,
                          struct connect_value *ret)
{
    struct decimal d;

    ret->kind = VALUE_BYTES;
    return parse_decimal(text, c->scale, true, arena, &d) && unscaled_bytes(&d, arena, &ret->text);
}

/* Plain notation, for the two other modes. */
static bool plain_money(const struct pg_converter *c, struct slice text, struct arena *arena, struct slice *ret)
{
    struct decimal d;

    if (!parse_decimal(text, c->scale, true, arena, &d)) return false;
    uint32_t before = d.digits.len - d.scale;
    char *plain = arena_printf(arena, "%s%.*s%s%.*s", d.negative ? "-" : "", (int)before, (const char *)d.digits.ptr,
                               d.scale ? "." : "", (int)d.scale, (const char *)d.digits.ptr + before);
    *ret = slice_of(plain);
    return plain != NULL;
}

static bool convert_money_string(const struct pg_converter *c, struct slice text, struct arena *arena,
                                 struct connect_value *ret)
{
    ret->kind = VALUE_STRING;
    return plain_money(c, text, arena, &ret->text);
}

static bool convert_money_double(const struct pg_converter *c, struct slice text, struct arena *arena,
                                 struct connect_value *ret)
{
    struct slice plain;

    ret->kind = VALUE_FLOAT64;
    return plain_money(c, text, arena, &plain) && pg_parse_double(plain, &ret->number);
}

bool pg_setup_money(struct pg_converter *c, const struct pg_setup *s)
{
    c->scale = s->config->money_fraction_digits;
    c->no_default = true;
    if (s->config->decimal_mode == DECIMAL_PRECISE) {
        c->convert = convert_money;
        return setup_decimal(c, s, 0);
    }
    if (!setup_text_or_double(c, s)) return false;
    c->convert = s->config->decimal_mode == DECIMAL_DOUBLE ? convert_money_double : convert_money_string;
    return true;
}
