/* broker/telemetry/client_metrics.h: the metrics that clients pushed (KIP-714), kept for whoever asks, as Prometheus'
 * text.
 *
 * A family is a metric's name, a series one of its points with its labels: who pushed it, and the attributes that the
 * client gave. What is pushed as a difference (delta temporality) is added up, so that readers see counters. A name is
 * written with '_' for what Prometheus does not take, and with _total behind it when it only grows:
 *   org.apache.kafka.producer.node.request.latency.max {node_id=1}
 *   org_apache_kafka_producer_node_request_latency_max{client_instance_id="...",client_id="app",node_id="1"} 3
 * Labels name the client, as nothing else tells its numbers from another's; so all is bounded: bytes by
 * CLIENT_METRICS_BYTES_MAX, of one client by CLIENT_METRICS_CLIENT_BYTES_MAX, clients by TELEMETRY_CLIENTS_MAX, time by
 * CLIENT_METRICS_KEEP_MS. What does not fit a client's room is left out and counted; for the rest the longest silent
 * client goes. Source: Prometheus documentation "Exposition formats", "OpenMetrics: compatibility".
 * Threads: one at a time (telemetry.c has the lock). */
#ifndef OTTLA_CLIENT_METRICS_H
#define OTTLA_CLIENT_METRICS_H

#include "base/bytes.h"
#include "base/uuid.h"
#include "protocol/otlp.h"

struct client_metrics;

struct client_metrics *client_metrics_new(void);
void client_metrics_free(struct client_metrics *m);

/* Who pushes; the texts are copied at the first push, and when another id comes with them. */
struct client_identity {
    struct uuid instance_id;
    struct slice client_id, software_name, software_version, address;
};

/* A push: uncompressed. now_ms: monotonic; interval_ms: how often the client pushes. false: not of the format. */
bool client_metrics_push(struct client_metrics *m, const struct client_identity *who, struct slice metrics,
                         int64_t now_ms, int64_t interval_ms) WARN_UNUSED;
/* Everything that is kept, in Prometheus' text format 0.0.4. */
void client_metrics_write(struct client_metrics *m, int64_t now_ms, struct bytes *out);
/* Memory that it takes, about. */
size_t client_metrics_bytes(const struct client_metrics *m);

/* A label's value with quotes, escaped; what is not UTF-8 becomes '?'. */
void metric_write_label(struct bytes *out, const char *name, struct slice value);

#endif
