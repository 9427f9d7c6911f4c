/* base/uuid.h: 16-byte ids of topics, clusters and directories, and Kafka's text for them. */
#ifndef OTTLA_UUID_H
#define OTTLA_UUID_H

#include "base/base.h"

#include <string.h>

struct uuid {
    uint8_t bytes[16];
};

#define UUID_TEXT_SIZE 23 /* 22 characters of URL-safe base64 without padding, and NUL */
#define UUID_TEXT_MAX  24 /* with padding: what uuid_parse() takes at most, NUL not counted */

static inline bool uuid_eq(struct uuid a, struct uuid b)
{
    return memcmp(a.bytes, b.bytes, 16) == 0;
}
static inline bool uuid_is_zero(struct uuid u)
{
    return uuid_eq(u, (struct uuid){{0}});
}

/* Random, version 4; never zero, and its text never begins with '-' (Kafka's rule, so that tools take it as a value). */
struct uuid uuid_random(void);
void uuid_format(struct uuid u, char ret_text[UUID_TEXT_SIZE]);
/* As Kafka's Uuid.fromString: with or without padding; the last digit's four bits that belong to no byte are ignored. */
bool uuid_parse(const char *text, struct uuid *ret_uuid);

#endif
