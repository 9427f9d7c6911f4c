/* connect/loggers.h: the levels of /admin/loggers.
 *
 * Kafka Connect has a level per Java logger. ottla has one level for the program: the most talkative that any logger
 * asks for; "root" asks for INFO until it is set. Threads: any. */
#ifndef OTTLA_CONNECT_LOGGERS_H
#define OTTLA_CONNECT_LOGGERS_H

#include "base/err.h"

#include <jansson.h>

struct loggers;

struct loggers *loggers_new(void);
void loggers_free(struct loggers *l);
/* {"name":{"level":"INFO","last_modified":null}} */
json_t *loggers_json(struct loggers *l);
/* NULL: not set. */
json_t *logger_json(struct loggers *l, const char *name);
/* false: no such level. */
bool logger_set(struct loggers *l, const char *name, const char *level);

#endif
