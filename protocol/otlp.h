/* protocol/otlp.h: metrics in OpenTelemetry's protobuf form, as clients push them (PushTelemetry, KIP-714).
 *
 * Format: MetricsData of opentelemetry/proto/metrics/v1, which has the bytes of ExportMetricsServiceRequest too:
 *   MetricsData 1 resource_metrics*: { 1 resource: { 1 attributes* }, 2 scope_metrics*: { 2 metrics* } }
 *   Metric: 1 name, one of 5 gauge, 7 sum: { 1 points*, sums: 2 temporality, 3 is_monotonic }
 *   point: 7 attributes*, 4 double or 6 sfixed64;  attribute: 1 key, 2 value: 1 text, 2 bool, 3 int, 4 double
 * Kafka's clients push gauges and sums; histograms and summaries are counted and left out. As protobuf has it, unknown
 * fields are skipped, a field that may stand once and stands twice holds the last value (submessages are not merged,
 * which no writer relies on), and fields may stand in any order: what belongs to all points of a metric is read first.
 * Invariants: nothing is allocated; nesting is that of the format, not that of the input; time is linear in the size of
 * the input times 3, as each level is passed over once for its own fields and once for what it holds.
 * Threads: no state. */
#ifndef OTTLA_OTLP_H
#define OTTLA_OTLP_H

#include "base/slice.h"

/* Of one point, those of its resource included; Kafka's clients write at most eight. Further ones are left out, and the
 * point is told as `crowded`. */
#define OTLP_ATTRIBUTES_MAX 24

struct otlp_attribute {
    struct slice key;
    struct slice text; /* of a number or a bool: into `digits` */
    char digits[32];
};

struct otlp_point {
    struct slice name; /* of the metric; UTF-8 is not checked */
    bool is_sum;
    bool is_monotonic; /* sums only */
    bool is_delta;     /* sums only: the value is what was added since the point before */
    bool crowded;
    double value;
    int attributes_count; /* the resource's first */
    struct otlp_attribute attributes[OTLP_ATTRIBUTES_MAX];
};

struct otlp_reader {
    /* One point, borrowed for the call. */
    void (*point)(void *arg, const struct otlp_point *p);
    void *arg;
    uint32_t left_out; /* metrics that are neither gauges nor sums, points without a value */
};

/* Calls r->point for every point. false: the bytes are not of this format; points before the defect were told. */
bool otlp_read(struct otlp_reader *r, struct slice metrics) WARN_UNUSED;

#endif
