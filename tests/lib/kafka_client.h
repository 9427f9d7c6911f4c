/* tests/lib/kafka_client.h: a Kafka client of a few lines over our codec, for tests that need many of them in one
 * process. */
#ifndef OTTLA_KAFKA_CLIENT_H
#define OTTLA_KAFKA_CLIENT_H

#include "protocol/messages.h"

struct kafka_client {
    int fd;
    int32_t correlation_id;
    struct arena arena; /* of the last answer */
    uint8_t *answer;
};

/* address: "127.0.0.1:port". false: no connection. */
bool kafka_client_open(struct kafka_client *c, const char *address);
void kafka_client_close(struct kafka_client *c);
/* Sends the request without waiting. */
bool kafka_client_send(struct kafka_client *c, int16_t key, int16_t version, const void *in);
/* Reads the answer to the last request into out, which lives until the next call. false: the connection is gone, or it
 * does not decode. */
bool kafka_client_receive(struct kafka_client *c, int16_t key, int16_t version, void *out);
static inline bool kafka_client_call(struct kafka_client *c, int16_t key, int16_t version, const void *in, void *out)
{
    return kafka_client_send(c, key, version, in) && kafka_client_receive(c, key, version, out);
}

#endif
