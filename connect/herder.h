/* connect/herder.h: the connectors of this worker: their stored configurations and wanted states, and the work of
 * bringing what runs to what is wanted.
 *
 * What is wanted (configuration, target state, a restart asked for) changes in the store first, then here; a reconciler
 * per connector, never two at a time, does the steps that lead there:
 *
 *                                 ┌── start() fails: connector FAILED until it is changed or restarted
 *      NONE ──────── START ───────┴─> RUNNING or PAUSED ──on_state(FAILED)──> task FAILED
 *        ^  wanted: a configuration,    │  ^   │                                 │
 *        │  target not STOPPED          │  └───┘ PAUSE, RESUME: target changed   │
 *        └──────────── STOP ────────────┴────────────────────────────────────────┘
 *           deleted, target STOPPED, another generation (configuration changed, restart), shutdown
 *
 * next_step() chooses the step, reconcile() makes it. Every transition writes a status record.
 * Stored: see records.h. A change is durable before its function returns. After a start of ottla herder_restore() reads
 * the store and herder_start() runs every connector whose target is not STOPPED.
 *
 * Threads: any, but those that say "blocks" (for the disk, for a connector to stop) not on a loop. Locks, in this
 * order: store_lock (the order of records in the store, and who may change what is wanted) > lock (everything in
 * memory; held shortly, never while something blocks) > the locks of classes and partitions > a connector's
 * events_lock. Callbacks of classes only queue an event and post the reconciler. */
#ifndef OTTLA_CONNECT_HERDER_H
#define OTTLA_CONNECT_HERDER_H

#include "connect/connector_class.h"
#include "connect/store.h"

struct herder;

struct herder_options {
    const struct connector_class *classes;
    size_t classes_count;
    struct connect_store *store;
    const char *worker_id; /* "HOST:PORT" as statuses show it */
};

/* Options and what they point to are borrowed for the life of the herder. */
struct herder *herder_new(const struct herder_options *options);
/* Reads the store. Returns 0 or -errno with a text. Before herder_start(). */
int herder_restore(struct herder *h, struct err *err) WARN_UNUSED;
void herder_start(struct herder *h);
/* Stops every connector (they run again after the next start) and waits for it. Blocks. */
void herder_free(struct herder *h);
/* Writes positions and topics that changed to the store; to be called every few seconds. Any thread; does not block. */
void herder_flush(struct herder *h);

const struct connector_class *herder_class(const struct herder *h, const char *name);

/* -- changes. They block. Return 0, or an HTTP status, which is in err->code too -- */

/* Takes a configuration that has passed its checks (borrowed). 409: exists. */
int herder_create(struct herder *h, const char *name, const json_t *config, enum target_state target,
                  struct err *err) WARN_UNUSED;
/* Creates or replaces. expected (may be NULL): the configuration that the change was made from; 409 when it is no
 * longer. */
int herder_put(struct herder *h, const char *name, const json_t *config, const json_t *expected, bool *ret_created,
               struct err *err) WARN_UNUSED;
int herder_delete(struct herder *h, const char *name, struct err *err) WARN_UNUSED;
int herder_set_target(struct herder *h, const char *name, enum target_state target, struct err *err) WARN_UNUSED;
/* The connector; with include_tasks its task, too; only what is FAILED when only_failed. ret_status: a new object. */
int herder_restart(struct herder *h, const char *name, bool include_tasks, bool only_failed, json_t **ret_status,
                   struct err *err) WARN_UNUSED;
int herder_restart_task(struct herder *h, const char *name, const char *task, struct err *err) WARN_UNUSED;
int herder_topics_reset(struct herder *h, const char *name, struct err *err) WARN_UNUSED;
/* Sets the position of a stopped connector; offset NULL: forgets it. Waits for a stop under way. 400: not STOPPED, or no position
 * of its class; 404. */
int herder_offsets_change(struct herder *h, const char *name, const json_t *offset, struct err *err) WARN_UNUSED;
/* 0, or as herder_offsets_change() would refuse the connector. */
int herder_offsets_check(struct herder *h, const char *name, struct err *err) WARN_UNUSED;

/* -- reads: new objects; NULL: no such connector (or no status yet) -- */

json_t *herder_names(struct herder *h);
/* {"X":{"info":{},"status":{}}} */
json_t *herder_expanded(struct herder *h, bool info, bool status);
json_t *herder_config(struct herder *h, const char *name);
json_t *herder_info(struct herder *h, const char *name);
json_t *herder_status(struct herder *h, const char *name);
json_t *herder_tasks(struct herder *h, const char *name);
json_t *herder_task_status(struct herder *h, const char *name, const char *task);
/* The partition that its configuration names; NULL: none. */
json_t *herder_partition(struct herder *h, const char *name);
/* {"offsets":[...]} */
json_t *herder_offsets(struct herder *h, const char *name);
/* {"X":{"topics":[...]}}; never NULL. */
json_t *herder_topics(struct herder *h, const char *name);

#endif
