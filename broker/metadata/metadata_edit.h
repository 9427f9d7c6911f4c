/* broker/metadata/metadata_edit.h: building a snapshot before it is published. For the files of changes,
 * metadata_replay.c and the stores whose state is part of a snapshot (quota_store).
 *
 * A snapshot under construction has one reference; so have topics that were made for it, until they are put into it. */
#ifndef OTTLA_METADATA_EDIT_H
#define OTTLA_METADATA_EDIT_H

#include "broker/metadata/metadata.h"

struct metadata *metadata_new(struct broker_config_ref *config);
/* Shares all topics and resources. */
struct metadata *metadata_copy(const struct metadata *m);

/* Without partitions. */
struct metadata_topic *metadata_topic_new(struct slice name, struct uuid id);
/* Partitions (with references on their logs) and configs copied. */
struct metadata_topic *metadata_topic_copy(const struct metadata_topic *t);
/* More partitions, without logs; count is not less than before. */
void metadata_topic_grow(struct metadata_topic *t, int32_t count);

/* Fills log_config and what else follows from the configs. */
void metadata_topic_resolve(struct metadata_topic *t, const struct broker_config *config);

/* Adds, or replaces the topic of the same id; takes over the caller's reference. */
void metadata_put_topic(struct metadata *m, struct metadata_topic *t);
/* The topic, to be changed in place: only while nothing shares it (replay). NULL: unknown. */
struct metadata_topic *metadata_topic_own(struct metadata *m, struct uuid id);
void metadata_remove_topic(struct metadata *m, struct uuid id);

/* Takes over the reference. */
void metadata_set_security(struct metadata *m, const struct security *s);
/* value NULL removes. Not for topics. */
void metadata_set_resource_config(struct metadata *m, int8_t type, struct slice name, const char *key,
                                  const char *value);
/* Applies the broker's dynamic options: config from the file's options; topics' log_config are the caller's
 * business. */
void metadata_apply_broker_config(struct metadata *m, const struct broker_config *file);

/* The finalized level of a feature; false: too many features, or too long a name. */
bool metadata_set_feature(struct metadata *m, struct slice name, int16_t level);

/* For stores: the snapshot under construction and the records that go with what they change in it. */
struct metadata *metadata_change_next(struct metadata_change *c);
void metadata_change_record(struct metadata_change *c, int16_t type, const void *message);

#endif
