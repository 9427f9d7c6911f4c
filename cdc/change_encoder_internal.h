/* cdc/change_encoder_internal.h: what the files of change_encoder share. */
#ifndef OTTLA_CDC_CHANGE_ENCODER_INTERNAL_H
#define OTTLA_CDC_CHANGE_ENCODER_INTERNAL_H

#include "cdc/change_encoder.h"

struct message_parts;
struct heartbeat_parts;
struct transaction_parts;
struct transaction_collection;

/* Values of one event: the largest column PostgreSQL sends is 1 GB, an array of it some times that. */
#define EVENT_ARENA_MAX (UINT64_C(4) << 30)
/* Buffers that one large event grew are given back. */
#define BUFFER_KEEP_MAX (1u << 20)

#define CONTEXT_HEADERS 4
/* Schemas of messages, heartbeats and transactions. */
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
    struct transaction_parts *transaction;
    /* the transaction that is open, with provide.transaction.metadata */
    bool transaction_open;
    uint64_t transaction_events;
    struct transaction_collection *collections;
    struct transaction_collection *collection; /* of the event at hand; NULL: it has no transaction block */
    uint64_t failures;
    char failure_text[500];
};

/* Ready for the next event; gives large buffers back. */
void change_encoder_trim(struct change_encoder *e);

/* -- transaction_records.c -- */
/* Counts one event of a table; schema "": of anything else. Before transaction_json() of the event. */
void transaction_count(struct change_encoder *e, const struct source_position *position, const char *schema,
                       const char *name);
/* The transaction block of the event that was counted last, or null. */
void transaction_json(const struct change_encoder *e, const struct source_position *position, struct bytes *out);
/* One field of it, or null. */
void transaction_json_field(const struct change_encoder *e, const struct source_position *position, const char *field,
                            struct bytes *out);
void transaction_forget(struct change_encoder *e);

#endif
