/* broker/telemetry/telemetry.h: which metrics a client shall push, and when it may (KIP-714); what it pushed is kept by
 * client_metrics.h.
 *
 * Subscriptions are configurations of the resource type CLIENT_METRICS (resource_options.h). A client that asks gets
 * the metrics of all subscriptions that match it, the shortest of their intervals (300 s at most), and an id of that
 * choice, which its pushes name. Kafka's rules, of ClientMetricsManager and ClientMetricsInstance:
 *   - it may ask again when an interval has passed since it asked or pushed, or after a push that was refused for its
 *     subscription id or codec; it may push once after it asked, then once in each interval, and when it terminates;
 *     else THROTTLING_QUOTA_EXCEEDED
 *   - after a push that said it terminates, its next one is refused (INVALID_REQUEST)
 *   - when any subscription changed, it begins anew: it may ask and push at once
 *   - it is forgotten when its connection is gone, when it was silent for a minute and three intervals, or when
 *     too many others came after it (TELEMETRY_CLIENTS_MAX, TELEMETRY_BYTES_MAX).
 * Threads: any. Two mutexes, leaves: one for who may push, held briefly, as the control thread takes it when a
 * connection is gone; one for the metrics, held while a push is read (up to TELEMETRY_CONTENT_BYTES_MAX) or a reader
 * copies them. */
#ifndef OTTLA_TELEMETRY_H
#define OTTLA_TELEMETRY_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/uuid.h"
#include "protocol/kafka_error.h"

struct metadata;
struct telemetry;

/* Who asks or pushes; what is not known is null. */
struct telemetry_client {
    struct slice client_id, software_name, software_version, address;
    char port[8];
    uint64_t connection_id;
};

struct telemetry *telemetry_new(void);
void telemetry_free(struct telemetry *t);

struct telemetry_subscription {
    struct uuid instance_id; /* as asked, or a new one */
    int32_t id;
    int32_t push_interval_ms;
    struct slice *metrics; /* prefixes of names, in the arena; "*": all; none: nothing is to be pushed */
    int32_t metrics_count;
};
/* instance_id zero: the client has none yet. now_ms: monotonic. KAFKA_NONE; THROTTLING_QUOTA_EXCEEDED;
 * UNKNOWN_SERVER_ERROR: the arena is full. */
enum kafka_error telemetry_subscribe(struct telemetry *t, const struct metadata *m, const struct telemetry_client *who,
                                     struct uuid instance_id, int64_t now_ms, struct arena *a,
                                     struct telemetry_subscription *ret);

struct telemetry_push {
    struct uuid instance_id;
    int32_t subscription_id;
    int8_t codec;
    bool terminating;
    struct slice metrics;
    int64_t bytes_max; /* telemetry.max.bytes */
};
/* INVALID_REQUEST, THROTTLING_QUOTA_EXCEEDED, UNKNOWN_SUBSCRIPTION_ID, UNSUPPORTED_COMPRESSION_TYPE,
 * TELEMETRY_TOO_LARGE, in this order; INVALID_RECORD: it does not decompress, or is not OTLP. */
enum kafka_error telemetry_push(struct telemetry *t, const struct metadata *m, const struct telemetry_client *who,
                                const struct telemetry_push *push, int64_t now_ms);

void telemetry_disconnected(struct telemetry *t, uint64_t connection_id);

/* What clients pushed, as client_metrics_write(). */
void telemetry_write(struct telemetry *t, int64_t now_ms, struct bytes *out);

#endif
