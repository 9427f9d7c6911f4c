/* cdc/change_encoder_internal.h: what the files of change_encoder share. */
#ifndef OTTLA_CDC_CHANGE_ENCODER_INTERNAL_H
#define OTTLA_CDC_CHANGE_ENCODER_INTERNAL_H

#include "cdc/change_encoder.h"

struct message_parts;
struct heartbeat_parts;

/* Values of one event: the largest column PostgreSQL sends is 1 GB, an array of it some times that. */
#define EVENT_ARENA_MAX (UINT64_C(4) << 30)
/* Buffers that one large event grew are given back. */
#define BUFFER_KEEP_MAX (1u << 20)

#define CONTEXT_HEADERS 4
/* Schemas of messages and heartbeats. */
#define CONSTANTS_MAX   (1u << 20)

struct change_encoder {
    const struct pg_connector_config *config;
    struct arena arena; /* of values, of one event */
    struct bytes key, old_key, value, header_text;
    struct bytes source_head;
    struct change_header context[CONTEXT_HEADERS];
    uint32_t context_count;
    char run_id[40];
    struct arena constants; /* of what follows, made at first use */
    struct message_parts *message;
    struct heartbeat_parts *heartbeat;
    uint64_t failures;
    char failure_text[500];
};

/* Ready for the next event; gives large buffers back. */
void change_encoder_trim(struct change_encoder *e);

#endif
