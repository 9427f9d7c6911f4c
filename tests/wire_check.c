/* tests/wire_check.c: holds the codec against golden vectors made by other implementations.
 *
 *     wire_check FILE.jsonl...
 *
 * One JSON object a line, in the format of the vectors' README (tests/golden/kafka-vectors.tar.xz). Of each line the
 * bytes are decoded, every field is compared with the JSON, the message is encoded again and compared byte for byte,
 * and each shortened form must be refused. Prints each failure and at last "N passed, N failed, N skipped"; exit status
 * 1 when any failed. */
#include "protocol/message_json.h"
#include "protocol/messages.h"
#include "tests/lib/record_check.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>

#define ARENA_BYTES_MAX (64u << 20)
#define CUT_ALL_BYTES   400 /* messages up to this size are tried with every shorter length, larger ones with 100 */
#define FAILURES_SHOWN  50

/* What is being checked. */
static const char *line_path;
static int line_number, failures_shown;
static bool line_failed;

PRINTF_LIKE(1, 2) static void check_fail(const char *format, ...)
{
    va_list args;

    line_failed = true;
    if (++failures_shown > FAILURES_SHOWN) return;
    printf("%s:%d: ", line_path, line_number);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

/* ---- Helpers ---- */

/* Memory of just the size, so that ASan sees each read beyond the end. */
static uint8_t *hex_decode(const char *hex, uint32_t *ret_size)
{
    size_t size = strlen(hex) / 2;
    uint8_t *bytes = xmalloc(size);

    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1) check_fail("\"hex\" is not hexadecimal");
        bytes[i] = (uint8_t)byte;
    }
    *ret_size = (uint32_t)size;
    return bytes;
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool base64_equals(const char *text, struct slice s)
{
    uint32_t at = 0, bits = 0;
    int bits_count = 0;

    for (; *text && *text != '='; text++) {
        bits = bits << 6 | (uint32_t)base64_digit(*text);
        bits_count += 6;
        if (bits_count >= 8) {
            bits_count -= 8;
            if (at == s.len || s.ptr[at++] != (uint8_t)(bits >> bits_count)) return false;
        }
    }
    return at == s.len;
}

/* "" and 0 when there is no such key. */
static const char *text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

static int64_t integer_of(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

/* All bytes of a chain that has no file parts. */
static uint8_t *buf_flatten(const struct buf *b)
{
    uint8_t *bytes = xmalloc(b->size), *p = bytes;

    for (uint32_t i = b->first; i < b->parts_count; i++) {
        memcpy(p, b->parts[i].ptr, b->parts[i].length);
        p += b->parts[i].length;
    }
    assert((uint64_t)(p - bytes) == b->size);
    return bytes;
}

static void bytes_compare(const char *what, const uint8_t *expected, uint32_t expected_size, const struct buf *b)
{
    AUTO_FREE uint8_t *got = buf_flatten(b);
    uint32_t at = 0;

    while (at < expected_size && at < b->size && expected[at] == got[at]) at++;
    if (at < expected_size || at < b->size)
        check_fail("%s: encoded again, byte %u of %u (got %" PRIu64 ") differs", what, at, expected_size, b->size);
}

/* ---- Decoded message against JSON ---- */

static void struct_compare(const char *path, int index, int16_t version, const uint8_t *m, const json_t *expected);

static bool integer_read(const struct wire_field *f, const void *value, int64_t *ret_number)
{
    switch ((enum wire_type)f->type) {
    case WIRE_INT8: *ret_number = *(const int8_t *)value; return true;
    case WIRE_INT16:
    case WIRE_ERROR: *ret_number = *(const int16_t *)value; return true;
    case WIRE_INT32:
    case WIRE_VARINT: *ret_number = *(const int32_t *)value; return true;
    case WIRE_INT64: *ret_number = *(const int64_t *)value; return true;
    case WIRE_UINT16: *ret_number = *(const uint16_t *)value; return true;
    case WIRE_UINT32: *ret_number = *(const uint32_t *)value; return true;
    default: return false;
    }
}

static void value_compare(const char *path, const struct wire_field *f, int16_t version, const void *value,
                          const json_t *expected)
{
    int64_t number = 0;
    bool equal = false;

    switch ((enum wire_type)f->type) {
    case WIRE_BOOL: equal = json_is_boolean(expected) && json_is_true(expected) == *(const bool *)value; break;
    default:
        equal = integer_read(f, value, &number) && json_is_integer(expected) && json_integer_value(expected) == number;
        break;
    case WIRE_FLOAT64: {
        double got = *(const double *)value, wanted = json_number_value(expected);
        equal = json_is_number(expected) && memcmp(&got, &wanted, sizeof got) == 0;
        break;
    }
    case WIRE_UUID: {
        char text[UUID_TEXT_SIZE];
        uuid_format(*(const struct uuid *)value, text);
        equal = json_is_string(expected) && strcmp(json_string_value(expected), text) == 0;
        break;
    }
    case WIRE_STRING: {
        struct slice s = *(const struct slice *)value;
        equal = s.ptr ? json_is_string(expected) && json_string_length(expected) == s.len &&
                            memcmp(json_string_value(expected), s.ptr, s.len) == 0
                      : json_is_null(expected);
        break;
    }
    case WIRE_BYTES:
    case WIRE_RECORDS: {
        struct slice s =
            f->type == WIRE_BYTES ? *(const struct slice *)value : ((const struct wire_records *)value)->slice;
        equal =
            s.ptr ? json_is_string(expected) && base64_equals(json_string_value(expected), s) : json_is_null(expected);
        break;
    }
    case WIRE_STRUCT: struct_compare(path, f->sub, version, value, expected); return;
    }
    if (!equal) {
        AUTO_FREE char *text = json_dumps(expected, JSON_ENCODE_ANY);
        check_fail("%s: is not %.200s", path, text ? text : "?");
    }
}

static void field_compare(const char *path, const struct wire_field *f, int16_t version, const uint8_t *m,
                          const json_t *expected)
{
    const uint8_t *value = m + f->offset;

    if (f->flags & WIRE_POINTER) {
        const uint8_t *target = *(const uint8_t *const *)value;
        if (!target || json_is_null(expected)) {
            if (target || !json_is_null(expected)) check_fail("%s: null differs", path);
        } else {
            struct_compare(path, f->sub, version, target, expected);
        }
    } else if (f->flags & WIRE_ARRAY) {
        const uint8_t *element = *(const uint8_t *const *)value;
        int32_t count = *(const int32_t *)(value + sizeof(void *));
        int32_t wanted = json_is_null(expected) ? -1 : (int32_t)json_array_size(expected);
        if (count != wanted || (wanted >= 0 && !json_is_array(expected))) {
            check_fail("%s: has %d elements, not %d", path, count, wanted);
            return;
        }
        for (int32_t i = 0; i < count; i++, element += wire_element_size(f)) {
            char inner[512];
            snprintf(inner, sizeof inner, "%s[%d]", path, i);
            value_compare(inner, f, version, element, json_array_get(expected, (size_t)i));
        }
    } else {
        value_compare(path, f, version, value, expected);
    }
}

static void struct_compare(const char *path, int index, int16_t version, const uint8_t *m, const json_t *expected)
{
    const struct wire_struct *s = &wire_structs[index];
    size_t found = 0;

    if (!json_is_object(expected)) {
        check_fail("%s: the JSON has no object", path);
        return;
    }
    for (int i = 0; i < s->count; i++) {
        const struct wire_field *f = &wire_fields[s->first + i];
        char name[64], inner[512];
        wire_name_camel(wire_names + f->name, name, sizeof name);
        snprintf(inner, sizeof inner, "%s.%s", path, name);
        const json_t *value = json_object_get(expected, name);
        if (version < f->from || version > f->to) {
            if (value) check_fail("%s: the JSON has it, version %d has not", inner, version);
            continue;
        }
        if (!value) {
            /* Left out when tagged and at its default: that it is at its default shows when it is encoded again. */
            if (f->tag < 0) check_fail("%s: missing in the JSON", inner);
            continue;
        }
        found++;
        field_compare(inner, f, version, m, value);
    }
    if (found != json_object_size(expected)) check_fail("%s: the JSON has fields that the schema lacks", path);
}

/* Fields that this version has not must hold their defaults after decoding. */
static void absent_compare(const struct wire_message *message, int16_t version, const uint8_t *m)
{
    const struct wire_struct *s = &wire_structs[message->index];
    AUTO_FREE uint8_t *fresh = xcalloc(1, message->size);

    message->init(fresh);
    for (int i = 0; i < s->count; i++) {
        const struct wire_field *f = &wire_fields[s->first + i];
        if ((version >= f->from && version <= f->to) || f->type == WIRE_STRUCT) continue;
        size_t size = f->flags & WIRE_ARRAY ? sizeof(void *) + sizeof(int32_t) : wire_element_size(f);
        if (f->type == WIRE_STRING || f->type == WIRE_BYTES) size = sizeof(void *) + sizeof(uint32_t);
        if (memcmp(m + f->offset, fresh + f->offset, size) != 0)
            check_fail("%s: not at its default in version %d", wire_names + f->name, version);
    }
}

/* What wire_message_print() printed must be JSON that holds all that is expected. */
static bool json_holds(const json_t *got, const json_t *expected)
{
    const char *key;
    json_t *value;
    size_t i;

    if (json_is_object(expected)) {
        json_object_foreach((json_t *)(uintptr_t)expected, key, value)
        {
            if (!json_holds(json_object_get(got, key), value)) return false;
        }
        return json_is_object(got);
    }
    if (json_is_array(expected)) {
        if (json_array_size(got) != json_array_size(expected)) return false;
        json_array_foreach(expected, i, value)
        {
            if (!json_holds(json_array_get(got, i), value)) return false;
        }
        return json_is_array(got);
    }
    return json_equal(got, expected) || (json_is_number(got) && json_number_value(got) == json_number_value(expected));
}

static void print_compare(const struct wire_message *message, int16_t version, const void *m, const json_t *expected)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    wire_message_print(out, message, version, m);
    fclose(out);
    json_t *got = json_loadb(text, size, JSON_ALLOW_NUL, NULL);
    if (!got || !json_holds(got, expected)) check_fail("printed as JSON it differs: %.300s", text);
    json_decref(got);
    free(text);
}

/* ---- Lines ---- */

/* Every strict prefix must be refused, and never read beyond its end: it is copied to memory of just its size. */
static void cut_check(const struct wire_message *message, int16_t version, const uint8_t *bytes, uint32_t size,
                      struct arena *arena, void *m)
{
    uint32_t step = size <= CUT_ALL_BYTES ? 1 : size / 100;

    for (uint32_t cut = 0; cut < size; cut += step) {
        AUTO_FREE uint8_t *copy = xmalloc(cut);
        memcpy(copy, bytes, cut);
        arena_reset(arena);
        struct wire_reader r = {.p = copy, .end = copy + cut, .arena = arena};
        if (message->decode(&r, version, m)) check_fail("cut to %u of %u bytes it is accepted", cut, size);
        if (!r.error) check_fail("cut to %u of %u bytes it fails without a reason", cut, size);
    }
}

static void message_check(const struct wire_message *message, int16_t version, const json_t *line)
{
    uint32_t size, wanted_size;
    AUTO_FREE uint8_t *bytes = hex_decode(text_of(line, "hex"), &size);
    const char *again = json_object_get(line, "hexCanon") ? "hexCanon" : "hex";
    AUTO_FREE uint8_t *wanted = hex_decode(text_of(line, again), &wanted_size);
    AUTO_FREE void *m = xmalloc(message->size);
    struct arena arena;
    struct buf buf;
    struct wire_writer w;

    arena_init(&arena, ARENA_BYTES_MAX);
    buf_init(&buf);
    memset(m, 0xa5, message->size); /* decode must set everything */

    if (json_is_true(json_object_get(line, "flexible")) != wire_message_is_flexible(message, version))
        check_fail("\"flexible\" differs");
    struct wire_reader r = {.p = bytes, .end = bytes + size, .arena = &arena};
    if (!message->decode(&r, version, m)) {
        check_fail("%s v%d: does not decode: %s", message->name, version, r.error);
    } else {
        if (r.p != r.end) check_fail("%s v%d: %zu bytes are left over", message->name, version, wire_left(&r));
        struct_compare(message->name, message->index, version, m, json_object_get(line, "json"));
        absent_compare(message, version, m);
        print_compare(message, version, m, json_object_get(line, "json"));
        wire_writer_init(&w, &buf);
        message->encode(&w, version, m);
        if (!wire_writer_done(&w)) check_fail("%s v%d: does not encode", message->name, version);
        else bytes_compare(again, wanted, wanted_size, &buf);
        cut_check(message, version, bytes, size, &arena, m);
    }
    buf_done(&buf);
    arena_done(&arena);
}

static int16_t header_version_of(const struct kafka_api *api, bool request, int16_t version)
{
    return request ? kafka_request_header_version(api, version) : kafka_response_header_version(api, version);
}

static void api_line_check(const json_t *line)
{
    const struct kafka_api *api = kafka_api_find((int16_t)integer_of(line, "api"));
    int16_t version = (int16_t)integer_of(line, "version");
    bool request = !strcmp(text_of(line, "type"), "request");

    if (!api || strcmp(api->name, text_of(line, "name"))) {
        check_fail("API %" PRId64 " is not known as %s", integer_of(line, "api"), text_of(line, "name"));
        return;
    }
    if (integer_of(line, "headerVersion") != header_version_of(api, request, version))
        check_fail("header version differs");
    message_check(request ? api->request : api->response, version, line);
}

/* A whole frame: size, header, body that holds only defaults. */
static void frame_check(const json_t *line)
{
    const struct kafka_api *api = kafka_api_find((int16_t)integer_of(line, "api"));
    int16_t version = (int16_t)integer_of(line, "version");
    bool request = !strcmp(text_of(line, "type"), "request");
    const json_t *client_id = json_object_get(line, "clientId");
    uint32_t size;
    AUTO_FREE uint8_t *bytes = hex_decode(text_of(line, "hex"), &size);
    struct request_header in;
    struct response_header out;
    struct arena arena;
    struct buf buf;
    struct wire_writer w;

    if (!api) {
        check_fail("API %" PRId64 " is not known", integer_of(line, "api"));
        return;
    }
    const struct wire_message *message = request ? api->request : api->response;
    AUTO_FREE void *m = xmalloc(message->size);
    int16_t header_version = header_version_of(api, request, version);
    arena_init(&arena, ARENA_BYTES_MAX);
    buf_init(&buf);

    struct wire_reader r = {.p = bytes, .end = bytes + size, .arena = &arena};
    if ((uint32_t)wire_get_int32(&r) != size - 4) check_fail("frame size differs");
    if (header_version != integer_of(line, "headerVersion")) check_fail("header version differs");
    const uint8_t *header = r.p;
    bool decoded =
        request ? request_header_decode(&r, header_version, &in) : response_header_decode(&r, header_version, &out);
    if (r.p - header != integer_of(line, "headerLength")) check_fail("header length differs");
    if (decoded && (request ? in.correlation_id : out.correlation_id) != integer_of(line, "correlationId"))
        check_fail("correlation id differs");
    if (decoded && request) {
        if (in.request_api_key != api->key || in.request_api_version != version) check_fail("key or version differs");
        if (json_is_string(client_id) ? !slice_eq_text(in.client_id, json_string_value(client_id)) : !!in.client_id.ptr)
            check_fail("client id differs");
    }
    if (!decoded || !message->decode(&r, version, m) || r.p != r.end) {
        check_fail("does not decode: %s", r.error ? r.error : "bytes are left over");
    } else {
        uint8_t *frame_size = buf_reserve(&buf, 4);
        wire_writer_init(&w, &buf);
        if (request) request_header_encode(&w, header_version, &in);
        else response_header_encode(&w, header_version, &out);
        message->encode(&w, version, m);
        if (!wire_writer_done(&w)) check_fail("does not encode");
        be32_store(frame_size, (uint32_t)buf.size - 4);
        bytes_compare("frame", bytes, size, &buf);
    }
    buf_done(&buf);
    arena_done(&arena);
}

/* Headers and all that is stored: what stands in front of the message must lead to it. */
static void stored_check(const json_t *line)
{
    struct slice name = slice_of(text_of(line, "name"));
    const struct wire_message *message = wire_message_find(name);
    int16_t version = (int16_t)integer_of(line, "version");
    const char *type = text_of(line, "type");
    uint32_t prefix_size;
    AUTO_FREE uint8_t *prefix = hex_decode(text_of(line, "prefix"), &prefix_size);

    if (!message) {
        check_fail("%s is not known", text_of(line, "name"));
        return;
    }
    if (!strcmp(type, "metadata")) {
        struct wire_reader r = {.p = prefix, .end = prefix + prefix_size};
        uint32_t frame = wire_get_uvarint(&r), key = wire_get_uvarint(&r), in_prefix = wire_get_uvarint(&r);
        if (r.failed || frame != 1 || in_prefix != (uint32_t)version ||
            wire_message_find_type(WIRE_METADATA, SLICE_NULL, (int16_t)key) != message)
            check_fail("the prefix does not lead to %s", message->name);
    } else if (!strcmp(type, "coordinator-key")) {
        if (prefix_size != 2 ||
            wire_message_find_type(WIRE_KEY, slice_of(message->topic), (int16_t)be16_load(prefix)) != message)
            check_fail("the prefix does not lead to %s", message->name);
    } else if (prefix_size && be16_load(prefix) != version) {
        check_fail("the prefix is not the version");
    }
    message_check(message, version, line);
}

static void line_check(const json_t *line)
{
    char why[200] = "";

    if (json_object_get(line, "valid")) {
        if (!record_line_check(line, why, sizeof why)) check_fail("%s: %s", text_of(line, "name"), why);
    } else if (json_object_get(line, "value")) {
        if (!primitive_line_check(line, why, sizeof why)) check_fail("%s: %s", text_of(line, "kind"), why);
    } else if (json_object_get(line, "headerLength")) {
        frame_check(line);
    } else if (json_object_get(line, "headerVersion")) {
        api_line_check(line);
    } else {
        stored_check(line);
    }
}

int main(int argc, char **argv)
{
    uint64_t passed = 0, failed = 0;

    if (argc < 2) {
        fprintf(stderr, "usage: wire_check FILE.jsonl...\n");
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        char *text = NULL;
        size_t text_size = 0;
        FILE *f = fopen(argv[i], "r");
        if (!f) {
            fprintf(stderr, "wire_check: %s: cannot be read\n", argv[i]);
            return 2;
        }
        line_path = argv[i];
        line_number = 0;
        while (getline(&text, &text_size, f) > 0) {
            json_error_t error;
            line_number++;
            line_failed = false;
            json_t *line = json_loads(text, JSON_ALLOW_NUL, &error);
            if (line) line_check(line);
            else check_fail("not JSON: %s", error.text);
            json_decref(line);
            if (line_failed) failed++;
            else passed++;
        }
        free(text);
        fclose(f);
    }
    if (failures_shown > FAILURES_SHOWN) printf("(%d more)\n", failures_shown - FAILURES_SHOWN);
    /* Nothing is ever skipped: a line of an unknown kind fails. */
    printf("%" PRIu64 " passed, %" PRIu64 " failed, 0 skipped\n", passed, failed);
    return failed ? 1 : 0;
}
