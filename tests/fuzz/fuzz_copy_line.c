/* Any bytes as a line of COPY's text format: refused, or as many fields as the table has columns, inside the line, in their order. What
 * they say, written as the server writes it, reads as the same. First byte: the number of columns. */
#include "base/bytes.h"
#include "cdc/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool parse(const struct bytes *line, struct tuple_value *values, uint32_t count, char **ret_copy)
{
    *ret_copy = xmalloc(line->len + 1); /* of its own, so that a look behind its end is seen */
    if (line->len) memcpy(*ret_copy, line->ptr, line->len);
    (*ret_copy)[line->len] = '\0'; /* as the snapshot ends it */
    return copy_line_parse(*ret_copy, line->len, values, count);
}

static void field_write(struct bytes *out, const struct tuple_value *v)
{
    static const char special[] = "\b\f\n\r\t\v\\", letters[] = "bfnrtv\\";

    if (v->kind == TUPLE_NULL) bytes_append_text(out, "\\N");
    for (uint32_t i = 0; v->kind != TUPLE_NULL && i < v->text.len; i++) {
        const char *at = v->text.ptr[i] ? strchr(special, v->text.ptr[i]) : NULL;
        if (at) bytes_append_byte(out, '\\');
        bytes_append_byte(out, at ? (uint8_t)letters[at - special] : v->text.ptr[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tuple_value values[255], again[255];
    struct bytes line = {0}, written = {0};
    char *copy, *copy_again;

    if (size < 1 || size > UINT16_MAX) return 0;
    uint32_t count = data[0];
    bytes_append(&line, data + 1, size - 1);
    if (parse(&line, values, count, &copy)) {
        const uint8_t *end = (uint8_t *)copy;
        for (uint32_t i = 0; i < count; i++) {
            bytes_append(&written, "\t", i > 0);
            field_write(&written, &values[i]);
            if (values[i].kind == TUPLE_NULL) continue;
            assert(values[i].text.ptr >= end && values[i].text.ptr + values[i].text.len <= (uint8_t *)copy + line.len);
            end = values[i].text.ptr + values[i].text.len;
        }
        bool ok = parse(&written, again, count, &copy_again);
        assert(ok);
        for (uint32_t i = 0; i < count; i++) {
            assert(values[i].kind == again[i].kind);
            assert(values[i].kind == TUPLE_NULL || slice_eq(values[i].text, again[i].text));
        }
        free(copy_again);
    }
    free(copy);
    bytes_done(&line);
    bytes_done(&written);
    return 0;
}
