/* broker/state.h: struct broker, for the files of this room only (other rooms: broker.h).
 *
 * Threads: config, dir, listeners are constant after broker_open(); what is marked control is touched on the control
 * thread only; the rest guards itself. */
#ifndef OTTLA_BROKER_STATE_H
#define OTTLA_BROKER_STATE_H

#include "base/clock.h"
#include "base/mailbox.h"
#include "broker/api.h"
#include "broker/broker.h"

struct fetch_sessions;
struct groups;
struct metadata_change;
struct metadata_log;
struct network;
struct share_store;
struct quotas;
struct telemetry;
struct txns;

struct broker {
    struct broker_config *config; /* as given at start */
    int32_t node_id;
    const struct clock *clock;
    struct log_dir *dir;
    struct network *network;
    struct fetch_sessions *fetch_sessions;
    struct quotas *quotas;       /* quota.h; guards itself */
    struct telemetry *telemetry; /* telemetry.h; guards itself */

    struct ev_loop *control_loop;
    struct mailbox control;
    pthread_t control_thread;
    bool control_running;

    pthread_mutex_t metadata_lock;
    const struct metadata *metadata; /* published; guarded by metadata_lock */

    /* control: the newest appended snapshot, the changes that are appended and not yet published (metadata_change.c) */
    struct metadata_log *metadata_log;
    const struct metadata *metadata_head;
    STAILQ_HEAD(, metadata_change) changes;
    bool changing;        /* a change is being built */
    bool metadata_failed; /* the metadata log could not be synced */

    struct groups *groups;            /* control: group coordinator, its offsets and producer ids (group.h) */
    struct txns *txns;                /* control: transaction coordinator (txn_store.h) */
    struct share_store *shares;       /* control: share coordinator (share_store.h) */
    LIST_HEAD(, topic_watch) watches; /* control */
    /* control: a connection that request_watch_connection() was called for is gone */
    void (*connection_gone[CONNECTION_WATCHERS])(struct broker *b, uint64_t connection_id);
};

#endif
