/* http/json.h: JSON bodies: parsing what a client sent, and answers in the form that Kafka Connect and the Schema
 * Registry use: {"error_code":404,"message":"..."}. Library: jansson; members keep the order in which they came.
 * Threads: no state. */
#ifndef OTTLA_HTTP_JSON_H
#define OTTLA_HTTP_JSON_H

#include "base/err.h"
#include "base/slice.h"

#include <jansson.h>

struct http_reply;

#define JSON_DEPTH_MAX 64 /* the parser recurses, on stacks of 128 KiB */

/* One JSON value and nothing behind it. NULL: err->text says what is wrong and where; err->code is 400. */
json_t *json_parse(struct slice text, struct err *err) WARN_UNUSED;

/* The status and the value as body; takes over value. A NULL value is an empty body. */
void reply_json(struct http_reply *reply, int status, json_t *value);
void reply_error(struct http_reply *reply, int status, const char *format, ...) PRINTF_LIKE(3, 4);

#endif
