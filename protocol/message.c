/* protocol/message.c: see message.h: how the generated tables are searched. */
#include "protocol/message.h"

#include "protocol/messages.h"

const struct wire_message *wire_message_find(struct slice name)
{
    for (int i = 0; i < wire_messages_count; i++)
        if (slice_eq_text(name, wire_messages[i].name)) return &wire_messages[i];
    return NULL;
}

const struct wire_message *wire_message_find_type(enum wire_kind kind, struct slice topic, int16_t type)
{
    for (int i = 0; i < wire_messages_count; i++) {
        const struct wire_message *m = &wire_messages[i];
        if (m->kind == kind && m->type == type && (!m->topic || slice_eq_text(topic, m->topic))) return m;
    }
    return NULL;
}

size_t wire_element_size(const struct wire_field *f)
{
    switch ((enum wire_type)f->type) {
    case WIRE_BOOL: return sizeof(bool);
    case WIRE_INT8: return 1;
    case WIRE_INT16:
    case WIRE_UINT16:
    case WIRE_ERROR: return 2;
    case WIRE_INT32:
    case WIRE_UINT32:
    case WIRE_VARINT: return 4;
    case WIRE_INT64:
    case WIRE_FLOAT64: return 8;
    case WIRE_UUID: return sizeof(struct uuid);
    case WIRE_STRING:
    case WIRE_BYTES: return sizeof(struct slice);
    case WIRE_RECORDS: return sizeof(struct wire_records);
    case WIRE_STRUCT: return wire_structs[f->sub].size;
    }
    return 0;
}

void wire_name_camel(const char *name, char *ret_text, size_t size)
{
    size_t n = 0;

    for (bool upper = false; *name && n + 1 < size; name++) {
        if (*name == '_') {
            upper = true;
            continue;
        }
        ret_text[n++] = upper && *name >= 'a' && *name <= 'z' ? (char)(*name - 'a' + 'A') : *name;
        upper = false;
    }
    ret_text[n] = '\0';
}

const struct kafka_api *kafka_api_find(int16_t key)
{
    int low = 0, high = kafka_apis_count;

    while (low < high) {
        int middle = (low + high) / 2;
        if (kafka_apis[middle].key < key) low = middle + 1;
        else high = middle;
    }
    return low < kafka_apis_count && kafka_apis[low].key == key ? &kafka_apis[low] : NULL;
}

int16_t kafka_request_header_version(const struct kafka_api *api, int16_t version)
{
    return version >= api->flexible_from ? 2 : 1;
}

int16_t kafka_response_header_version(const struct kafka_api *api, int16_t version)
{
    if (api->key == KAFKA_API_API_VERSIONS) return 0;
    return version >= api->flexible_from ? 1 : 0;
}
