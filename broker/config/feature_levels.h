/* broker/config/feature_levels.h: the cluster's features (KIP-584) whose finalized levels mean something here, and
 * their bounds. */
#ifndef OTTLA_FEATURE_LEVELS_H
#define OTTLA_FEATURE_LEVELS_H

#include "broker/metadata/metadata_log.h"

struct feature_range {
    const char *name;
    int16_t min, max;
};

static const struct feature_range features_supported[] = {
    {"metadata.version", METADATA_VERSION_MIN, METADATA_VERSION_MAX},
    {"transaction.version", 0, TRANSACTION_VERSION_MAX},
    {"group.version", 0, GROUP_VERSION_MAX},
    {"share.version", 0, 1}, /* share groups (KIP-932): a preview in Kafka 4.1, off until an operator switches it on */
};

/* NULL: not supported. */
static inline const struct feature_range *feature_find(struct slice name)
{
    for (size_t i = 0; i < countof(features_supported); i++)
        if (slice_eq_text(name, features_supported[i].name)) return &features_supported[i];
    return NULL;
}

#endif
