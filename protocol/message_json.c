/* protocol/message_json.c: see message_json.h: a walk over the tables of message.h; no message is named here. */
#include "protocol/message_json.h"

#include <inttypes.h>
#include <math.h>

#define NAME_BYTES_MAX 64 /* the longest field name has 36 */

static void text_print(FILE *out, struct slice s)
{
    putc('"', out);
    for (uint32_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (c == '"' || c == '\\') fprintf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f) fprintf(out, "\\u%04x", c);
        else putc(c, out);
    }
    putc('"', out);
}

static void base64_print(FILE *out, struct slice s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    putc('"', out);
    for (uint32_t i = 0; i < s.len; i += 3) {
        uint32_t left = s.len - i;
        uint32_t v = (uint32_t)s.ptr[i] << 16;
        if (left > 1) v |= (uint32_t)s.ptr[i + 1] << 8;
        if (left > 2) v |= s.ptr[i + 2];
        putc(digits[v >> 18], out);
        putc(digits[v >> 12 & 63], out);
        putc(left > 1 ? digits[v >> 6 & 63] : '=', out);
        putc(left > 2 ? digits[v & 63] : '=', out);
    }
    putc('"', out);
}

static void struct_print(FILE *out, int index, int16_t version, const uint8_t *m);

static void value_print(FILE *out, const struct wire_field *f, int16_t version, const void *value)
{
    switch ((enum wire_type)f->type) {
    case WIRE_BOOL: fputs(*(const bool *)value ? "true" : "false", out); break;
    case WIRE_INT8: fprintf(out, "%d", *(const int8_t *)value); break;
    case WIRE_INT16:
    case WIRE_ERROR: fprintf(out, "%d", *(const int16_t *)value); break;
    case WIRE_INT32:
    case WIRE_VARINT: fprintf(out, "%" PRId32, *(const int32_t *)value); break;
    case WIRE_INT64: fprintf(out, "%" PRId64, *(const int64_t *)value); break;
    case WIRE_UINT16: fprintf(out, "%u", *(const uint16_t *)value); break;
    case WIRE_UINT32: fprintf(out, "%" PRIu32, *(const uint32_t *)value); break;
    case WIRE_FLOAT64: {
        double v = *(const double *)value;
        /* JSON has no word for these: they are printed as text, as Kafka does. */
        if (isfinite(v)) fprintf(out, "%.17g", v);
        else fputs(isnan(v) ? "\"NaN\"" : v < 0 ? "\"-Infinity\"" : "\"Infinity\"", out);
        break;
    }
    case WIRE_UUID: {
        char text[UUID_TEXT_SIZE];
        uuid_format(*(const struct uuid *)value, text);
        fprintf(out, "\"%s\"", text);
        break;
    }
    case WIRE_STRING:
    case WIRE_BYTES: {
        struct slice s = *(const struct slice *)value;
        if (!s.ptr) fputs("null", out);
        else if (f->type == WIRE_STRING) text_print(out, s);
        else base64_print(out, s);
        break;
    }
    case WIRE_RECORDS: {
        const struct wire_records *r = value;
        if (wire_records_is_null(r)) fputs("null", out);
        else base64_print(out, r->slice);
        break;
    }
    case WIRE_STRUCT: struct_print(out, f->sub, version, value); break;
    }
}

static void field_print(FILE *out, const struct wire_field *f, int16_t version, const uint8_t *m)
{
    const uint8_t *value = m + f->offset;

    if (f->flags & WIRE_POINTER) {
        const uint8_t *target = *(const uint8_t *const *)value;
        if (target) struct_print(out, f->sub, version, target);
        else fputs("null", out);
    } else if (f->flags & WIRE_ARRAY) {
        const uint8_t *element = *(const uint8_t *const *)value;
        int32_t count = *(const int32_t *)(value + sizeof(void *));
        if (count < 0) {
            fputs("null", out);
            return;
        }
        putc('[', out);
        for (int32_t i = 0; i < count; i++, element += wire_element_size(f)) {
            if (i) putc(',', out);
            value_print(out, f, version, element);
        }
        putc(']', out);
    } else {
        value_print(out, f, version, value);
    }
}

static void struct_print(FILE *out, int index, int16_t version, const uint8_t *m)
{
    const struct wire_struct *s = &wire_structs[index];
    const char *separator = "";

    putc('{', out);
    for (int i = 0; i < s->count; i++) {
        const struct wire_field *f = &wire_fields[s->first + i];
        char name[NAME_BYTES_MAX];
        if (version < f->from || version > f->to) continue;
        wire_name_camel(wire_names + f->name, name, sizeof name);
        fprintf(out, "%s\"%s\":", separator, name);
        field_print(out, f, version, m);
        separator = ",";
    }
    putc('}', out);
}

void wire_message_print(FILE *out, const struct wire_message *message, int16_t version, const void *m)
{
    struct_print(out, message->index, version, m);
}
