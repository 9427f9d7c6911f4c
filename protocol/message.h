/* protocol/message.h: what is known about each message: tables that the generator makes from protocol/schema.
 *
 * A wire_message is one message type with its functions behind plain pointers, for the dispatcher and for tools that
 * work on any message. A wire_struct and its wire_fields describe the C struct, so that tools can walk a decoded
 * message (`ottla dump`, tests) and print it as JSON. A kafka_api is one row of the API table.
 * All tables are constant. */
#ifndef OTTLA_MESSAGE_H
#define OTTLA_MESSAGE_H

#include "protocol/wire.h"

enum wire_kind {
    WIRE_REQUEST,
    WIRE_RESPONSE,
    WIRE_HEADER,
    WIRE_DATA,     /* stored or sent inside other fields */
    WIRE_METADATA, /* record of the metadata log; type = record type */
    WIRE_KEY,      /* key of a record in an internal topic; type = int16 in front of it */
    WIRE_VALUE,    /* value that belongs to the key of the same type */
};

#define WIRE_VERSION_NONE INT16_MAX /* flexible_from of a message that is never flexible */

struct wire_message {
    const char *name; /* Kafka's, e.g. "JoinGroupRequest" */
    enum wire_kind kind;
    int16_t type;                     /* API key or record type; -1: none */
    const char *topic;                /* internal topic of WIRE_KEY and WIRE_VALUE, else NULL */
    int16_t version_min, version_max; /* that decode and encode know */
    int16_t flexible_from;
    uint16_t index; /* of its struct in wire_structs */
    uint32_t size;  /* of the C struct [bytes] */
    void (*init)(void *m);
    bool (*decode)(struct wire_reader *r, int16_t version, void *m);
    void (*encode)(struct wire_writer *w, int16_t version, const void *m);
};

static inline bool wire_message_is_flexible(const struct wire_message *m, int16_t version)
{
    return version >= m->flexible_from;
}

extern const struct wire_message wire_messages[];
extern const int wire_messages_count;

/* By Kafka's name; NULL: unknown. Slow: for tools. */
const struct wire_message *wire_message_find(struct slice name);
/* Record of the metadata log, key and value in an internal topic; NULL: unknown. */
const struct wire_message *wire_message_find_type(enum wire_kind kind, struct slice topic, int16_t type);

/* ---- Fields ---- */

enum wire_type {
    WIRE_BOOL,
    WIRE_INT8,
    WIRE_INT16,
    WIRE_INT32,
    WIRE_INT64,
    WIRE_UINT16,
    WIRE_UINT32,
    WIRE_FLOAT64,
    WIRE_UUID,
    WIRE_STRING,
    WIRE_BYTES,
    WIRE_RECORDS,
    WIRE_VARINT,
    WIRE_ERROR,
    WIRE_STRUCT,
};

enum wire_field_flags {
    WIRE_ARRAY = 1,   /* the C field is a pointer, an int32_t count follows it; -1: null */
    WIRE_POINTER = 2, /* a struct behind a pointer; NULL: null */
};

struct wire_field {
    uint32_t name;              /* position in wire_names: snake_case with a NUL */
    uint32_t offset;            /* in the C struct [bytes] */
    int16_t from, to;           /* versions that have it */
    int16_t null_from, null_to; /* versions in which null is allowed; from > to: never */
    int16_t tag;                /* -1: not tagged */
    uint8_t type;               /* enum wire_type, of the elements */
    uint8_t flags;              /* enum wire_field_flags */
    uint16_t sub;               /* WIRE_STRUCT: index in wire_structs */
};

struct wire_struct {
    uint32_t size;         /* of the C struct [bytes] */
    uint16_t first, count; /* its fields in wire_fields, in wire order */
};

/* Positions, not pointers: the tables need no relocation at start and cost no memory until they are used. */
extern const struct wire_struct wire_structs[];
extern const struct wire_field wire_fields[];
extern const char wire_names[];

/* Size of one value of the field's type in memory [bytes]. */
size_t wire_element_size(const struct wire_field *f);
/* "group_id" → "groupId", Kafka's name in JSON. ret_text takes up to size bytes with the NUL. */
void wire_name_camel(const char *name, char *ret_text, size_t size);

/* ---- APIs ---- */

enum kafka_thread {
    KAFKA_THREAD_NETWORK, /* the handler runs on the connection's thread */
    KAFKA_THREAD_CONTROL, /* on the control thread, which owns topics, configs, groups */
};

struct kafka_api {
    int16_t key;
    const char *name;                 /* "JoinGroup" */
    const char *snake_name;           /* "join_group" */
    int16_t version_min, version_max; /* the codec's */
    int16_t flexible_from;
    int16_t unstable_from;          /* versions that Kafka does not offer yet; WIRE_VERSION_NONE: all are stable */
    int16_t served_min, served_max; /* what we answer and advertise; -1: not served */
    enum kafka_thread thread;
    int8_t cluster_operation; /* that the whole request needs on the cluster, as numbered in ACLs; 0: no such rule */
    const struct wire_message *request, *response;
};

/* By rising key. */
extern const struct kafka_api kafka_apis[];
extern const int kafka_apis_count;

/* NULL: unknown key. */
const struct kafka_api *kafka_api_find(int16_t key);
static inline bool kafka_api_serves(const struct kafka_api *api, int16_t version)
{
    return api->served_min >= 0 && version >= api->served_min && version <= api->served_max;
}
/* Version of the header in front of a request or response of this version. ApiVersions responses always have 0, as the
 * client does not know yet what we speak. */
int16_t kafka_request_header_version(const struct kafka_api *api, int16_t version);
int16_t kafka_response_header_version(const struct kafka_api *api, int16_t version);

#endif
