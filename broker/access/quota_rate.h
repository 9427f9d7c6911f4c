/* broker/access/quota_rate.h: how fast something is used, and how long who is too fast has to wait. Arithmetic only.
 *
 * A rate is what was used within the last `windows.count` windows of `windows.size_ms`, the begun one included, divided
 * by the time since the oldest of them began, but by no less than count - 1 whole windows: so a burst counts no more at
 * the start than later. A bucket holds what may be used at once, at most `count` windows' worth, and fills at the
 * limit.
 * Source: Kafka documentation "Quotas"; KIP-13, KIP-124, KIP-599 (buckets).
 * Times are monotonic [ms]; limits and amounts have the same unit, limits per second.
 * Threads: one at a time. */
#ifndef OTTLA_QUOTA_RATE_H
#define OTTLA_QUOTA_RATE_H

#include "base/base.h"

struct quota_windows {
    int64_t count; /* >= 1 */
    int64_t size_ms;
};

struct quota_sample {
    int64_t begin_ms, last_ms;
    double amount;
};

/* Zeroed memory is a rate that was never used. */
struct quota_rate {
    struct quota_sample *samples; /* a ring that grows up to windows.count + 1 */
    uint32_t samples_count;
    uint32_t newest;
};

void quota_rate_done(struct quota_rate *r);
/* A negative amount takes back what was added at the same time. */
void quota_rate_add(struct quota_rate *r, const struct quota_windows *w, double amount, int64_t now_ms);
/* Per second. ret_span_ms (may be NULL): the time that it is an average of. */
double quota_rate_measure(struct quota_rate *r, const struct quota_windows *w, int64_t now_ms, int64_t *ret_span_ms);
/* How long nothing may be used until the rate is the limit; 0: it is not above. */
int64_t quota_rate_wait_ms(struct quota_rate *r, const struct quota_windows *w, double limit, int64_t now_ms);
/* When it was used last; INT64_MIN: never. */
int64_t quota_rate_last_ms(const struct quota_rate *r);

/* Zeroed memory is a full bucket. */
struct quota_bucket {
    double tokens;
    int64_t filled_ms;
    bool begun;
};

/* What may be used now; below 0 too much was. */
double quota_bucket_level(struct quota_bucket *b, const struct quota_windows *w, double limit, int64_t now_ms);
void quota_bucket_take(struct quota_bucket *b, const struct quota_windows *w, double limit, double amount,
                       int64_t now_ms);
/* How long until the level is 0 again. */
int64_t quota_bucket_wait_ms(struct quota_bucket *b, const struct quota_windows *w, double limit, int64_t now_ms);

#endif
