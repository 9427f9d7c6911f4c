/* connect/connector_class.h: what a connector class is to Connect: one row per class (connector_class.c).
 *
 * A class has a table of properties, checks, and functions that run instances of it. Everything else (REST, life cycle,
 * stored configurations, statuses) is the same for all, so that a new class is a row and an adapter to its room.
 * A configuration is a JSON object of strings, in the order in which it was posted.
 * Threads: the functions of one instance are called by one thread at a time, except topics(), which may come beside
 * pause() and resume(). check_remote(), start() and stop() may block and are called without locks. */
#ifndef OTTLA_CONNECTOR_CLASS_H
#define OTTLA_CONNECTOR_CLASS_H

#include "base/err.h"

#include <jansson.h>

/* A property as Connect describes it (ConfigDef). Texts are static. */
struct property_info {
    const char *name;
    const char *type; /* "STRING", "INT", "LONG", "BOOLEAN", "LIST", "CLASS", "PASSWORD" ... */
    bool required;
    const char *default_text; /* NULL: none */
    const char *importance;   /* "HIGH", "MEDIUM", "LOW" */
    const char *doc;
    const char *group; /* NULL: none */
    int order;         /* in its group; -1: none */
    const char *width; /* "SHORT", "MEDIUM", "LONG", "NONE" */
    const char *display_name;
    const char *values; /* recommended ones, comma separated; NULL: any */
};

/* text: the whole line, as Connect words it: "The 'slot.name' value is invalid: ...". */
struct connector_problem {
    char name[128]; /* of the property */
    char text[500];
};

enum connector_state {
    CONNECTOR_UNASSIGNED,
    CONNECTOR_RUNNING,
    CONNECTOR_PAUSED,
    CONNECTOR_STOPPED,
    CONNECTOR_FAILED,
    CONNECTOR_RESTARTING
};

struct connector_callbacks {
    void *arg;
    /* The task's state: RUNNING, PAUSED, FAILED (with a trace, borrowed). From any thread, with any lock of the class
     * held; not after stop() has returned. */
    void (*on_state)(void *arg, enum connector_state state, const char *trace);
};

struct connector_class {
    const char *name; /* Java class */
    const char *task_class;
    const char *type; /* "source", "sink" */
    void *context;    /* for the functions below, which may be called by several threads at a time */

    /* The version that an instance of this configuration reports; config NULL: the class itself. Static or context's
     * text. */
    const char *(*version)(void *context, const json_t *config);
    /* Property i in the order of their definition; false: there is none. */
    bool (*property)(void *context, size_t i, struct property_info *ret);
    /* What is wrong with the values by themselves. Returns how many problems, at most problems_max. */
    uint32_t (*check)(void *context, const json_t *config, struct connector_problem *ret_problems,
                      uint32_t problems_max);
    /* What only the other side (a database) can tell. Blocks. Called when check() found nothing. */
    uint32_t (*check_remote)(void *context, const json_t *config, struct connector_problem *ret_problems,
                             uint32_t problems_max);

    /* Returns 0 and an instance, or -errno with a text. */
    int (*start)(void *context, const char *name, const json_t *config, bool paused,
                 const struct connector_callbacks *callbacks, void **ret_instance, struct err *err);
    void (*pause)(void *instance);
    void (*resume)(void *instance);
    void (*stop)(void *instance);
    /* A malloc'd array (may be NULL when empty) of malloc'd names of the topics written to since the start or reset. */
    uint32_t (*topics)(void *instance, char ***ret_topics);
    void (*topics_reset)(void *instance);
    /* The partition of the source that a configuration reads, as Connect's offsets name it: a new object; NULL: it names none. */
    json_t *(*partition)(void *context, const json_t *config);
    /* The position, as far as all before it is durable and visible: a new object; NULL: none. stored (may be NULL): what
     * connect-offsets has for that partition, for a class that does not know more; it need not be a position of ours. */
    json_t *(*offsets_get)(void *context, const char *name, const json_t *config, const json_t *stored);
    /* Forgets it. Blocks for the disk; not while an instance runs. 0 or -errno. */
    int (*offsets_delete)(void *context, const char *name, const json_t *config);
    /* Sets it: the next instance goes on from there. As offsets_delete(). -EINVAL: no position of this class; err says why. */
    int (*offsets_set)(void *context, const char *name, const json_t *config, const json_t *offset, struct err *err);
};

/* By full class name, simple name, or simple name without "Connector" (the aliases of Connect). NULL: none. */
const struct connector_class *connector_class_find(const struct connector_class *classes, size_t classes_count,
                                                   const char *name);

const char *connector_state_name(enum connector_state s);

/* -- configurations -- */

/* The value; NULL: not set. */
const char *config_get(const json_t *config, const char *name);
/* A value that must not be shown: passwords, secrets, keys. */
bool property_is_secret(const char *name);
/* "{name=x, database.password=****}" as Java prints maps, to be freed; secrets are masked. */
char *config_text(const json_t *config) WARN_UNUSED;

#endif
