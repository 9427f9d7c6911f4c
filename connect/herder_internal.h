/* connect/herder_internal.h: the herder from the inside: shared by herder.c (what is wanted, life), herder_restore.c (what the
 * topics say at the start), herder_worker.c (a Kafka Connect worker beside us), herder_outbox.c (statuses and other records that nobody
 * waits for), herder_reconcile.c (what runs) and herder_read.c (JSON for reads).
 *
 * Threads and locks: herder.h. */
#ifndef OTTLA_HERDER_INTERNAL_H
#define OTTLA_HERDER_INTERNAL_H

#include "connect/herder.h"

#include <pthread.h>
#include <sys/queue.h>
#include <uthash.h>

/* Key in config.storage.topic that every Kafka Connect worker in distributed mode writes, and we never. */
#define HERDER_SESSION_KEY "session-key"

struct event;
struct told_by;
struct workers;

struct written_topic {
    char *name;
    UT_hash_handle hh;
};

/* The last record of a key of connect-offsets. */
struct known_offset {
    char *key;
    char *text; /* NULL: none */
    UT_hash_handle hh;
};

struct connector {
    struct herder *herder;
    char *name;
    UT_hash_handle hh;

    /* wanted. JSON values here are touched with the lock held only, references included: what goes out is a copy. */
    json_t *config;     /* never changed, only replaced; NULL: deleted, or never made */
    bool own;           /* read at the start: an ottla has written its configuration */
    char *unreadable;   /* why the stored one cannot be read, for its trace; config then has the name only */
    bool target_stored; /* a target state was read: whoever made it made a configuration, too */
    enum target_state target;
    uint64_t generation; /* a new one needs a new instance */

    /* running; class and context are those of the configuration it was started with */
    const struct connector_class *class;
    void *instance;
    json_t *instance_config;
    struct told_by *told_by; /* of the instance */
    uint64_t epoch;          /* the generation that it was started for, or whose start failed */
    bool start_failed;
    bool instance_paused;
    json_t *committed; /* configuration of the last task-X-0 record; NULL: none */
    bool working;      /* a reconciler runs or is posted */

    /* told */
    bool has_status, has_task;
    enum connector_state state, task_state; /* of the connector; of its task */
    char *trace, *task_trace;
    struct written_topic *topics;
    struct known_offset *offsets; /* by key; one for each configuration that it had since the program's start */

    pthread_mutex_t events_lock; /* guards what follows */
    STAILQ_HEAD(, event) events;
    uint32_t posts_count; /* letters under way that say that there are events */
};

struct outgoing {
    struct connect_record record;
    STAILQ_ENTRY(outgoing) link;
};

struct herder {
    const struct herder_options *options;
    struct workers *workers;
    pthread_mutex_t store_lock;
    pthread_mutex_t lock;
    pthread_cond_t idle; /* some connector's `working` became false */
    struct connector *connectors;
    STAILQ_HEAD(, outgoing) outbox; /* status and topic records, in the order of their making */
    bool started, closing;
    bool worker_seen;   /* a Kafka Connect worker uses config.storage.topic: what is not ours there is its own */
    int64_t looked_end; /* of that topic, when it was looked for */
};

/* -- herder.c: lock held -- */

/* Makes it when there is none. */
struct connector *connector_get(struct herder *h, const char *name);
/* One that exists for clients; NULL: none. */
struct connector *connector_find(struct herder *h, const char *name);
void connector_free(struct connector *c);
void connector_topics_clear(struct connector *c);
/* NULL: unknown. */
const struct connector_class *connector_class_of(const struct herder *h, const json_t *config);
const char *connector_version_of(const struct herder *h, const json_t *config);

/* -- herder_worker.c: neither lock held, but for store_lock -- */

/* Looks whether a Kafka Connect worker has come to use our topic; the first time it is told. Blocks. */
bool herder_worker_look(struct herder *h);
/* After the store was read: what is a worker's does not concern us. */
void herder_worker_leave(struct herder *h);

/* -- herder_outbox.c: lock held, but for herder_offset_read(), write and flush -- */

/* A change of the connector's state, or of its task's; nothing happens when it is the same. trace: NULL unless FAILED.
 */
void connector_status_set(struct connector *c, enum connector_state state, const char *trace);
void connector_task_set(struct connector *c, enum connector_state state, const char *trace);
/* There is no task any more. */
void connector_task_clear(struct connector *c);
/* task -1: of the connector. */
void connector_status_removed(struct connector *c, int task);
/* The number of tasks (0 when config is NULL) and the configuration of the first. */
void connector_tasks_commit(struct connector *c, json_t *config, const char *task_class);
/* Takes over the names of the topics that the instance has written to. */
void connector_topics_collect(struct connector *c);
/* The position under a configuration: two new objects. false: none. */
bool connector_offsets_of(struct connector *c, const json_t *config, json_t **ret_partition, json_t **ret_offset);
/* Puts the instance's position into the outbox when it has moved. */
void connector_offsets_collect(struct connector *c);
/* This is it from now on; offset NULL: there is none any more. */
void connector_offset_put(struct connector *c, const json_t *partition, const json_t *offset);
void connector_offsets_clear(struct connector *c);
/* Makes known what connect-offsets had for a configuration, unless it is known already; takes over o (may be NULL). */
void connector_offset_known(struct connector *c, struct known_offset *o);
/* What connect-offsets has for a configuration, NULL when that names no partition. Lock not held: it may block. */
struct known_offset *herder_offset_read(struct herder *h, const char *name, const json_t *config);
void known_offset_free(struct known_offset *o);
/* Takes over the record, to be written later. */
void herder_outbox_put(struct herder *h, struct connect_record record);
/* Writes what is in the outbox: store_lock held, lock not; neither held. */
void herder_outbox_write(struct herder *h);
void herder_outbox_flush(struct herder *h);

/* -- herder_reconcile.c: lock held -- */

/* Sees to it that the reconciler looks at c. */
void connector_schedule(struct connector *c);
/* Frees c when nothing points to it any more: nobody wants it, nothing runs, no letter is under way. */
void connector_free_if_gone(struct connector *c);
void connector_events_drop(struct connector *c);

/* -- herder_read.c: lock held -- */

json_t *connector_status_json(struct connector *c);

#endif
