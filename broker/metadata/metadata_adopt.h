/* broker/metadata/metadata_adopt.h: the metadata of a Kafka cluster becomes that of one node, ours.
 *
 * What stands in `__cluster_metadata-0` of the directory (a copy of a controller's folder) is read, a snapshot of it
 * with this node as the only voter and the only replica is written behind it, and what came before goes. Who had which
 * partition is handed out, so that the caller can bring the right copy of each. Threads: one; no broker is open on the
 * directory. */
#ifndef OTTLA_METADATA_ADOPT_H
#define OTTLA_METADATA_ADOPT_H

#include "base/err.h"
#include "base/uuid.h"

/* Where a partition was. */
struct partition_place {
    const char *topic; /* lies in the list */
    struct uuid topic_id;
    int32_t partition;
    /* The brokers that had it, the best first: its leader, the replicas in sync, those that Kafka may elect when none
     * is (eligible leader replicas, KIP-966), all others. */
    int32_t *brokers;
    int32_t brokers_count;
    int32_t safe_count; /* so many of them have everything that was committed */
};

struct partition_places {
    struct partition_place *places; /* a topic's partitions together, in their order */
    int32_t count;
    char **names; /* of the topics */
    int32_t names_count;
    bool tokens_left; /* delegation tokens were there, and are not taken over */
};

/* path: a data directory with the folder and meta.properties of node_id. 0 or -errno; err says what is wrong in a line:
 * damaged, of a newer Kafka. */
int metadata_adopt(const char *path, int32_t node_id, struct partition_places **ret_places,
                   struct err *err) WARN_UNUSED;
void partition_places_free(struct partition_places *p);

#endif
