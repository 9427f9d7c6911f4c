/* broker/config/resource_options.h: the options of resources that are neither topics nor brokers: groups (KIP-848,
 * KIP-932) and subscriptions of client metrics (KIP-714). Names, types, defaults and bounds are Kafka 4.1's.
 *
 * A group's option has the broker's option of the same meaning as default (group.consumer.session.timeout.ms of
 * consumer.session.timeout.ms), and its bounds in two others. A group or a subscription needs not exist to have
 * options.
 * Threads: constant rows; values as snapshots. */
#ifndef OTTLA_RESOURCE_OPTIONS_H
#define OTTLA_RESOURCE_OPTIONS_H

#include "broker/config/config.h"
#include "protocol/kafka_error.h"

struct metadata;

#define CLIENT_METRICS_INTERVAL_MS_MIN 100
#define CLIENT_METRICS_INTERVAL_MS_MAX 3600000

/* What a subscription's pattern is matched with. */
enum client_match {
    CLIENT_MATCH_ID,
    CLIENT_MATCH_INSTANCE_ID,
    CLIENT_MATCH_SOFTWARE_NAME,
    CLIENT_MATCH_SOFTWARE_VERSION,
    CLIENT_MATCH_ADDRESS,
    CLIENT_MATCH_PORT,
    CLIENT_MATCHES
};
/* "client_id=REGEX" and so on: which, and where the expression begins. -1: neither. */
int client_match_find(struct slice pattern, struct slice *ret_expression);

/* Rows of a resource type; NULL: not one of this file's. */
const struct option *resource_option_find(enum config_resource_type type, const char *name);

/* The name of a resource and of one of its options, with its value (NULL: it is removed). file: the options given at
 * start. INVALID_REQUEST, INVALID_CONFIG with Kafka's text. */
enum kafka_error resource_option_check(const struct broker_config *file, enum config_resource_type type,
                                       struct slice resource, const char *name, const char *value, struct err *err);

/* As config_describe_topic(). */
int32_t config_describe_resource(const struct broker_config *file, const struct metadata *m,
                                 enum config_resource_type type, struct slice resource, struct arena *a,
                                 struct config_value **ret);

#endif
