/* connect/records.h: the records of connect-configs, connect-offsets and connect-statuses, as Kafka Connect writes
 * them.
 *
 * Keys are text, values JSON without schema (Connect's internal converter has schemas.enable=false), a null value
 * removes. Source: what Kafka Connect 4.x distributed workers write; docs/format-connect.md has the table and examples.
 *   connect-configs    connector-X         {"properties":{"connector.class":"...",...}}
 *                      task-X-0            {"properties":{...,"task.class":"..."}}
 *                      commit-X            {"tasks":1}                  tasks above become valid with this record
 *                      target-state-X      {"state":"PAUSED","state.v2":"STOPPED"}   state: for workers before 3.5
 *   connect-offsets    ["X",{"server":"p"}]    {"lsn":1,...}
 *   connect-statuses   status-connector-X
 * {"state":"RUNNING","trace":null,"worker_id":"host:8083","generation":1,"version":"..."} status-task-X-0     the same
 *                      status-topic-T:connector-X {"topic":{"name":"T","connector":"X","task":0,"discoverTimestamp":1}}
 * Threads: no state. */
#ifndef OTTLA_CONNECT_RECORDS_H
#define OTTLA_CONNECT_RECORDS_H

#include "base/slice.h"
#include "connect/connector_class.h"

enum connect_topic { CONNECT_CONFIGS, CONNECT_OFFSETS, CONNECT_STATUSES };
#define CONNECT_TOPICS_COUNT 3

enum target_state { TARGET_RUNNING, TARGET_PAUSED, TARGET_STOPPED };

/* A record to be written; key and value are malloc'd and NUL-terminated, value NULL: a tombstone. */
struct connect_record {
    enum connect_topic topic;
    char *key;
    char *value;
};

void connect_record_done(struct connect_record *r);

/* config NULL: the tombstone; the same below. */
struct connect_record record_of_connector(const char *name, const json_t *config);
struct connect_record record_of_task(const char *name, const json_t *config, const char *task_class);
struct connect_record record_of_commit(const char *name, int tasks_count);
struct connect_record record_of_target(const char *name, enum target_state target);
struct connect_record record_of_target_removed(const char *name);
/* task -1: the connector itself. worker_id NULL: the tombstone. */
struct connect_record record_of_status(const char *name, int task, enum connector_state state, const char *trace,
                                       const char *worker_id, int generation, const char *version);
/* discovered_ms -1: the tombstone. */
struct connect_record record_of_topic(const char *name, const char *topic, int64_t discovered_ms);
struct connect_record record_of_offset(const char *name, const json_t *partition, const json_t *offset);

/* What a record that was read says. */
struct connect_entry {
    enum { ENTRY_OTHER, ENTRY_CONNECTOR, ENTRY_TARGET, ENTRY_TOPIC } type; /* what we restore; OTHER: the rest */
    char *name;                                                            /* of the connector */
    char *topic;                                                           /* ENTRY_TOPIC */
    json_t *config;                                                        /* ENTRY_CONNECTOR; NULL: removed */
    enum target_state target; /* ENTRY_TARGET; a tombstone reads as RUNNING */
    int64_t discovered_ms;    /* ENTRY_TOPIC; -1: removed */
};

/* false: a key of ours with a value that is none; ret then has type, name and topic only, and err says what is wrong. In
 * either case ret is for connect_entry_done(). */
bool connect_entry_parse(enum connect_topic topic, struct slice key, struct slice value, struct connect_entry *ret,
                         struct err *err);
void connect_entry_done(struct connect_entry *e);

#endif
