/* broker/metadata/metadata_change.h: a change of the metadata while it is built and on its way. For metadata_change.c
 * and metadata_operations.c only; others: metadata.h.
 *
 * Threads: the control thread, but for sync_error, which the sync thread sets before it posts. */
#ifndef OTTLA_METADATA_CHANGE_H
#define OTTLA_METADATA_CHANGE_H

#include "broker/metadata/metadata.h"
#include "broker/metadata/metadata_log.h"
#include "broker/state.h"

struct topic_note {
    enum topic_event event;
    const struct metadata_topic *topic;
    STAILQ_ENTRY(topic_note) link;
};

struct metadata_change {
    struct broker *broker;
    struct metadata *next;
    struct batch_builder records;
    STAILQ_HEAD(, topic_note) notes;
    struct partition_log **opened; /* logs made for new partitions: deleted again on failure */
    uint32_t opened_count;
    int32_t partitions_added; /* those that were only validated too */
    bool broker_config_changed;
    bool empty; /* nothing was appended: there is nothing to publish */
    bool synced;
    int sync_error;
    void (*done)(void *arg, enum kafka_error error);
    void *arg;
    STAILQ_ENTRY(metadata_change) link;
};

/* Who watches topics is told when the change is published. */
void metadata_change_note(struct metadata_change *c, enum topic_event event, const struct metadata_topic *t);
/* Takes back what a failed operation has opened from `first` on. */
void metadata_change_delete_opened(struct metadata_change *c, uint32_t first);

#endif
