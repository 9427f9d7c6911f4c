/* cdc/connector.h: PostgreSQL connectors: what the Connect side drives, and the room's one object in a broker.
 *
 * `struct cdc` holds the journal (docs/exactly-once.md) and every connector that runs. cdc_open() recovers the journal and
 * sets the holds, so it must run after the broker has opened its logs and before anybody may append to them (that is:
 * before the listeners accept). A connector is one thread; its states as Connect names them:
 *
 *      start ──> RUNNING <──resume── PAUSED        pause: as Connect's, what runs stays: the slot is active, nothing is read
 *                  │  ───pause────>    │
 *                  ├──> FAILED(trace) <┘           only after an error that trying again cannot mend
 *                  └──stop──> (gone)               stop joins the thread; what it had appended stays journalled
 *
 * A snapshot or stream that is paused keeps its connections and goes on where it was; when the database hangs up meanwhile, or before
 * either has begun, the connector rests without one and begins a session when it is resumed.
 * Lost connections, a database that restarts, a slot still in use: tried again with a growing delay, still RUNNING.
 * A stopped or deleted connector keeps its journal state under (name, topic.prefix): started again with both the same, it
 * continues where it was.
 * Threads: open and close on the main thread. The other functions on any one thread at a time per connector; callbacks
 * come on the connector's thread and may only post mail. */
#ifndef OTTLA_CDC_CONNECTOR_H
#define OTTLA_CDC_CONNECTOR_H

#include "base/err.h"

struct broker;
struct cdc;
struct cdc_connector;

/* Reads and recovers the journal of the broker's data directory. When it is damaged, the connectors that it concerns do not start. */
struct cdc *cdc_open(struct broker *broker);
/* Stops every connector that still runs, syncs, frees. */
void cdc_close(struct cdc *cdc);

/* One configuration entry, as posted. */
struct cdc_pair {
    const char *name;
    const char *value; /* NULL: null in the JSON */
};

enum cdc_state { CDC_RUNNING, CDC_PAUSED, CDC_STOPPED, CDC_FAILED };

struct cdc_callbacks {
    void *arg;
    /* The task's state changed. trace: text of a failure, in the form of a Java stack trace's first line; NULL unless
     * CDC_FAILED. Both are borrowed for the call. */
    void (*on_state)(void *arg, enum cdc_state state, const char *trace);
};

/* Starts the connector's thread. The configuration has passed validation; it is copied.
 *   version  of the format profile ("3.7.0.Final", "2.2.1.Final"); NULL: the default, or connector.plugin.version
 *   paused   begin in PAUSED
 * Returns 0; -EEXIST: one of this name and topic.prefix runs; -EINVAL: a value that validation would have refused; -EAGAIN: no thread. */
int cdc_connector_start(struct cdc *cdc, const char *name, const struct cdc_pair *pairs, uint32_t pairs_count,
                        const char *version, bool paused, const struct cdc_callbacks *callbacks,
                        struct cdc_connector **ret_connector, struct err *err) WARN_UNUSED;
/* Asks; the new state is told by on_state. */
void cdc_connector_pause(struct cdc_connector *c);
void cdc_connector_resume(struct cdc_connector *c);
/* Ends the thread and waits for it (a statement under way is cancelled), then frees. on_state(CDC_STOPPED) is the last
 * callback. NULL is allowed. */
void cdc_connector_stop(struct cdc_connector *c);

/* What validation found wrong, by option. */
struct cdc_problem {
    char name[128]; /* of the option */
    char text[500]; /* as Debezium words it where that is known */
};
/* The checks that need the database, as Debezium does them at POST, PUT and validate: connects with the given host, user,
 * password and database; wal_level, the right to replicate, an existing slot's plugin. Blocks up to its connect timeout, so never on
 * the control thread. Returns how many problems were found, at most problems_max. */
uint32_t cdc_connector_validate(const struct cdc_pair *pairs, uint32_t pairs_count, struct cdc_problem *ret_problems,
                                uint32_t problems_max);

/* The position of (name, topic.prefix), running or not, as Connect's offset API shows it: {"lsn":…}. All before it is durable
 * and visible to readers. false: there is none.
 *   ret_offset_json  malloc'd; NULL: no event came since the program started, so it is not known which the last one was
 *   ret_lsn          the end of what is durable: not before the offset's event */
bool cdc_offsets_get(struct cdc *cdc, const char *name, const char *topic_prefix, char **ret_offset_json,
                     uint64_t *ret_lsn);
/* Sets the position: the next start streams from lsn on, without a snapshot. Transactions that committed before lsn do not come;
 * one that lsn lies in comes whole. What was there before is forgotten. Blocks for the disk. -EBUSY: it runs; -errno. */
int cdc_offsets_set(struct cdc *cdc, const char *name, const char *topic_prefix, uint64_t lsn,
                    struct err *err) WARN_UNUSED;
/* Forgets the position, so that the next start begins with a snapshot. -EBUSY: it runs. */
int cdc_offsets_delete(struct cdc *cdc, const char *name, const char *topic_prefix) WARN_UNUSED;

/* The topics that the connector has written to since its start or the last reset: a malloc'd array of malloc'd names. */
uint32_t cdc_connector_topics(struct cdc_connector *c, char ***ret_topics);
void cdc_connector_topics_reset(struct cdc_connector *c);

#endif
