/* connect/class_postgres.h: Debezium's PostgreSQL connector as a connector class, run by the room cdc. */
#ifndef OTTLA_CLASS_POSTGRES_H
#define OTTLA_CLASS_POSTGRES_H

#include "connect/connector_class.h"

struct cdc;

/* The context of the class. */
struct class_postgres {
    struct cdc *cdc;
    const char *version_default; /* of the event format, when a connector does not say its own */
};

struct connector_class class_postgres(struct class_postgres *context);

#endif
