/* connect/validate.h: checks of configurations and their answers, as Kafka Connect words them.
 *
 * Threads: no state; validate_remote() blocks. */
#ifndef OTTLA_CONNECT_VALIDATE_H
#define OTTLA_CONNECT_VALIDATE_H

#include "connect/connector_class.h"

#define PROBLEMS_MAX 100 /* of one configuration */

struct problems {
    uint32_t count;
    struct connector_problem list[PROBLEMS_MAX];
};

/* Whether name can be a connector's; else a problem is added. */
void validate_name(const char *name, struct problems *p);
/* What the configuration says by itself; then, when there is no problem, what the other side says. */
void validate_values(const struct connector_class *class, const json_t *config, struct problems *p);
void validate_remote(const struct connector_class *class, const json_t *config, struct problems *p);
/* The message of a 400, one line for each problem; to be freed. */
char *problems_message(const struct problems *p) WARN_UNUSED;

/* The answers of connector-plugins/P/config and of .../validate. */
json_t *definitions_json(const struct connector_class *class);
json_t *plugin_definitions_json(const struct property_info *properties, size_t properties_count);
json_t *validation_json(const struct connector_class *class, const json_t *config, const struct problems *p);

/* A posted object of scalars as a configuration: values become strings; a null value leaves its name out or, when
 * removes is given, is added to that array. NULL: err says what is wrong, err->code is 400. */
json_t *config_normalise(const json_t *posted, json_t *removes, struct err *err);

#endif
