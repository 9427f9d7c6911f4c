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
/* Any name will do, as in Connect, which makes a logger of it; but they are kept until the program ends. */
#define LOGGERS_MAX     1000 /* a worker of Connect has some hundreds */
#define LOGGER_NAME_MAX 300  /* [bytes] */
/* 0; 404: no such level; 400: too many names, or too long a one. err says so. */
int logger_set(struct loggers *l, const char *name, const char *level, struct err *err) WARN_UNUSED;

#endif
