/* broker/api/replicas.h: replicas that a request assigns to a partition by hand. */
#ifndef OTTLA_API_REPLICAS_H
#define OTTLA_API_REPLICAS_H

#include "base/err.h"
#include "protocol/kafka_error.h"

/* INVALID_REPLICA_ASSIGNMENT with Kafka's text unless it is just this broker, the only one. */
static inline enum kafka_error replicas_check(const int32_t *replicas, int32_t count, int32_t node_id, struct err *err)
{
    if (count <= 0)
        return err_set(err, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                       "The manual partition assignment includes an empty replica list.");
    for (int32_t i = 0; i < count; i++) {
        if (replicas[i] != node_id)
            return err_set(err, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                           "The manual partition assignment includes broker %d, but no such broker is registered.",
                           replicas[i]);
        if (i > 0)
            return err_set(err, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                           "The manual partition assignment includes the broker %d more than once.", node_id);
    }
    return KAFKA_NONE;
}

#endif
