/* broker/api/config_edit.h: what AlterConfigs and IncrementalAlterConfigs share: edits of resources' configs.
 *
 *   struct config_alter *a = config_alter_new(rq, count, plan);
 *   config_alter_add(a, ...);                   each resource of the request, and where its answer goes
 *   return config_alter_run(a, validate_only);  plan() is called for those that may be changed
 * A resource is changed whole or not at all, each by itself; what remains valid is one change of the metadata. All
 * edits are first tried on a change that is thrown away. Threads: the control thread. */
#ifndef OTTLA_API_CONFIG_EDIT_H
#define OTTLA_API_CONFIG_EDIT_H

#include "base/err.h"
#include "broker/api/doubles.h"
#include "broker/api/wait.h"
#include "broker/broker.h"

struct config_edit {
    const char *name;
    const char *value; /* NULL: remove */
};

/* Of one resource. */
struct config_edits {
    int8_t type; /* config_resource_type */
    struct slice name;
    const void *asked;   /* the resource as the request has it, for plan() */
    int16_t *error_code; /* of its answer: set when all is done */
    struct slice *error_message;
    struct config_edit *edits; /* room for all that the request asks for, and the removals that follow from it */
    int32_t count;
    struct err err; /* not NONE: refused before or while being tried */
};

/* Of one request; lives in its arena. */
struct config_alter;
/* Makes edits of what was asked for; sets e->err when it makes no sense. */
typedef void config_plan_fn(struct request *rq, struct config_edits *e);

/* NULL: no memory. */
struct config_alter *config_alter_new(struct request *rq, int32_t count, config_plan_fn *plan);
/* At most `count` times. */
void config_alter_add(struct config_alter *a, int8_t type, struct slice name, const void *asked, int16_t *error_code,
                      struct slice *error_message);
/* Refuses resources that the principal may not change or that are named twice, plans and applies the rest, and answers
 * when that is durable. */
enum api_result config_alter_run(struct config_alter *a, bool validate_only);

/* -- for plan() -- */

/* What is set on the resource now; NULL: nothing. */
const struct config_list *config_edits_list(struct request *rq, const struct config_edits *e);
/* Room for the edits of `count` names and `more`; sorts the names and returns which of them stand twice. NULL: no
 * memory, err says so. */
const uint8_t *config_edits_begin(struct request *rq, struct config_edits *e, struct doubles_key *names, int32_t count,
                                  size_t more);
/* One more edit; value null: remove. NULL: no memory, err says so. */
struct config_edit *config_edits_add(struct request *rq, struct config_edits *e, struct slice name, struct slice value);

#endif
