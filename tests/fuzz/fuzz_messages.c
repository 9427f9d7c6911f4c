/* Any message, any version, any bytes: int8 kind | int16 key or type | int16 version | message. What decodes must
 * encode, and what was encoded must decode to the same bytes again. Seeds: tests/fuzz/seeds_messages.py. */
#include "protocol/message_json.h"
#include "protocol/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ARENA_BYTES_MAX (1u << 20)
#define PREFIX_BYTES    5

static const struct wire_message *message_choose(uint8_t kind, int16_t type)
{
    const struct kafka_api *api = kafka_api_find(type);

    if (kind == WIRE_REQUEST || kind == WIRE_RESPONSE)
        return !api ? NULL : kind == WIRE_REQUEST ? api->request : api->response;
    /* Those without a number of their own, and the same numbers in several topics: by position. */
    if (kind == WIRE_METADATA) return wire_message_find_type(WIRE_METADATA, SLICE_NULL, type);
    if (type < 0 || type >= wire_messages_count || wire_messages[type].kind != (enum wire_kind)kind) return NULL;
    return &wire_messages[type];
}

/* The chain's bytes, to be freed. */
static uint8_t *encode(const struct wire_message *message, int16_t version, const void *m, uint32_t *ret_size)
{
    struct buf buf;
    struct wire_writer w;

    buf_init(&buf);
    wire_writer_init(&w, &buf);
    message->encode(&w, version, m);
    assert(wire_writer_done(&w));
    uint8_t *bytes = xmalloc(buf.size), *p = bytes;
    for (uint32_t i = buf.first; i < buf.parts_count; p += buf.parts[i].length, i++)
        memcpy(p, buf.parts[i].ptr, buf.parts[i].length);
    *ret_size = (uint32_t)buf.size;
    buf_done(&buf);
    return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < PREFIX_BYTES) return 0;
    const struct wire_message *message = message_choose(data[0], (int16_t)be16_load(data + 1));
    int16_t version = (int16_t)be16_load(data + 3);
    if (!message) return 0;

    struct arena arena;
    struct wire_reader r = {.p = data + PREFIX_BYTES, .end = data + size, .arena = &arena};
    void *m = xmalloc(message->size);
    arena_init(&arena, ARENA_BYTES_MAX);
    if (message->decode(&r, version, m)) {
        uint32_t first_size, second_size;
        assert(!r.failed && r.p <= r.end);
        uint8_t *first = encode(message, version, m, &first_size);
        arena_reset(&arena);
        struct wire_reader again = {.p = first, .end = first + first_size, .arena = &arena};
        assert(message->decode(&again, version, m) && again.p == again.end);
        uint8_t *second = encode(message, version, m, &second_size);
        assert(first_size == second_size && memcmp(first, second, first_size) == 0);

        char *text = NULL;
        size_t text_size = 0;
        FILE *out = open_memstream(&text, &text_size);
        wire_message_print(out, message, version, m);
        fclose(out);
        assert(text_size >= 2 && text[0] == '{' && text[text_size - 1] == '}');
        free(text);
        free(second);
        free(first);
    } else {
        assert(r.failed && r.error);
    }
    free(m);
    arena_done(&arena);
    return 0;
}
