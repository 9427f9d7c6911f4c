/* broker/access/quota_rate.c: see quota_rate.h. */
#include "broker/access/quota_rate.h"

#include <math.h>

/* -- rates -- */

void quota_rate_done(struct quota_rate *r)
{
    free(r->samples);
    *r = (struct quota_rate){0};
}

static void begin_sample(struct quota_rate *r, const struct quota_windows *w, int64_t now_ms)
{
    if (r->samples_count < (uint64_t)w->count + 1) {
        /* The ring is filled in order until it is whole: the newest is the last. */
        r->samples = xrealloc(r->samples, (r->samples_count + 1) * sizeof *r->samples);
        r->newest = r->samples_count++;
    } else {
        r->newest = (r->newest + 1) % r->samples_count;
    }
    r->samples[r->newest] = (struct quota_sample){.begin_ms = now_ms, .last_ms = now_ms};
}

/* What was used before the oldest window counts no more. */
static void forget_old(struct quota_rate *r, const struct quota_windows *w, int64_t now_ms)
{
    for (uint32_t i = 0; i < r->samples_count; i++)
        if (now_ms - r->samples[i].last_ms >= w->count * w->size_ms)
            r->samples[i] = (struct quota_sample){.begin_ms = now_ms, .last_ms = now_ms};
}

void quota_rate_add(struct quota_rate *r, const struct quota_windows *w, double amount, int64_t now_ms)
{
    if (r->samples_count == 0 || now_ms - r->samples[r->newest].begin_ms >= w->size_ms) begin_sample(r, w, now_ms);
    r->samples[r->newest].amount += amount;
    r->samples[r->newest].last_ms = now_ms;
}

double quota_rate_measure(struct quota_rate *r, const struct quota_windows *w, int64_t now_ms, int64_t *ret_span_ms)
{
    int64_t oldest_ms = now_ms;
    double amount = 0;

    forget_old(r, w, now_ms);
    for (uint32_t i = 0; i < r->samples_count; i++) {
        amount += r->samples[i].amount;
        oldest_ms = MIN(oldest_ms, r->samples[i].begin_ms);
    }
    int64_t span_ms = now_ms - oldest_ms;
    int64_t windows = span_ms / w->size_ms, windows_min = w->count - 1;
    if (windows < windows_min) span_ms += (windows_min - windows) * w->size_ms;
    if (span_ms == 0) span_ms = w->size_ms; /* one window, at its very beginning */
    if (ret_span_ms) *ret_span_ms = span_ms;
    return amount * 1000 / (double)span_ms;
}

/* Rounded; at most what a throttle time can say, 24 days. */
static int64_t whole_ms(double ms)
{
    return ms <= 0 ? 0 : ms >= INT32_MAX ? INT32_MAX : (int64_t)llround(ms);
}

int64_t quota_rate_wait_ms(struct quota_rate *r, const struct quota_windows *w, double limit, int64_t now_ms)
{
    int64_t span_ms;
    double rate = quota_rate_measure(r, w, now_ms, &span_ms);

    /* amount / (span + wait) is to be the limit */
    return rate <= limit ? 0 : whole_ms((rate - limit) / limit * (double)span_ms);
}

int64_t quota_rate_last_ms(const struct quota_rate *r)
{
    return r->samples_count ? r->samples[r->newest].last_ms : INT64_MIN;
}

/* -- buckets -- */

double quota_bucket_level(struct quota_bucket *b, const struct quota_windows *w, double limit, int64_t now_ms)
{
    double full = limit * (double)w->count * (double)w->size_ms / 1000;

    if (!b->begun) {
        b->begun = true;
        b->tokens = full;
    } else {
        b->tokens = MIN(full, b->tokens + limit * (double)(now_ms - b->filled_ms) / 1000);
    }
    b->filled_ms = now_ms;
    return b->tokens;
}

void quota_bucket_take(struct quota_bucket *b, const struct quota_windows *w, double limit, double amount,
                       int64_t now_ms)
{
    (void)quota_bucket_level(b, w, limit, now_ms);
    b->tokens -= amount;
}

int64_t quota_bucket_wait_ms(struct quota_bucket *b, const struct quota_windows *w, double limit, int64_t now_ms)
{
    double level = quota_bucket_level(b, w, limit, now_ms);
    return level >= 0 ? 0 : whole_ms(-level / limit * 1000);
}
