/* broker/api/config_edit.h: what AlterConfigs and IncrementalAlterConfigs share: edits of resources' configs.
 *
 * A resource is changed whole or not at all, each by itself; what remains valid is one change of the metadata. All
 * edits are first tried on a change that is thrown away. Threads: the control thread. */
#ifndef OTTLA_API_CONFIG_EDIT_H
#define OTTLA_API_CONFIG_EDIT_H

#include "base/err.h"
#include "broker/api/wait.h"
#include "broker/broker.h"

struct config_edit {
    const char *name;
    const char *value; /* NULL: remove */
};

struct config_edits {
    int8_t type; /* config_resource_type */
    struct slice name;
    struct config_edit *edits; /* room for all that the request asks for, and the removals that follow from it */
    int32_t count;
    struct err err; /* not NONE: refused before or while being tried */
};

/* Checks that the principal may change the resources and that none is named twice; sets err of those that fail. False:
 * no memory. */
bool config_edits_check(struct request *rq, struct config_edits *all, int32_t count);
/* Applies all; done(arg, error) when they are durable, maybe before it returns; error fails those without an err. */
void config_edits_apply(struct request *rq, struct config_edits *all, int32_t count, bool validate_only,
                        void (*done)(void *arg, enum kafka_error error), void *arg);
/* What is set on the resource now; NULL: nothing. */
const struct config_list *config_edits_list(struct request *rq, int8_t type, struct slice name);

#endif
