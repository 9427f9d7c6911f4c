/* protocol/message_json.h: prints a decoded message as JSON, in the form of Kafka's own JSON converters: field names in
 * camelCase, bytes and records in base64, uuids as 22 characters, 64-bit integers as integers; one line. For tools. */
#ifndef OTTLA_MESSAGE_JSON_H
#define OTTLA_MESSAGE_JSON_H

#include "protocol/message.h"

#include <stdio.h>

/* All fields that exist in this version. Strings that are not UTF-8 are printed as they are. */
void wire_message_print(FILE *out, const struct wire_message *message, int16_t version, const void *m);

#endif
