/* Any bytes as metrics that a client pushed: refused or kept, and what is written of them is text whose lines are
 * whole. */
#include "broker/telemetry/client_metrics.h"
#include "broker/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct client_identity who = {{{[15] = 7}}, SLICE("app"), SLICE("lib"), SLICE("1.0"), SLICE("127.0.0.1")};
    struct slice metrics = slice_make(data, (uint32_t)size);
    struct bytes text = {0};

    if (size > UINT32_MAX / 2) return 0;
    struct client_metrics *m = client_metrics_new();
    bool whole = client_metrics_push(m, &who, metrics, 1000, 1000);
    assert(client_metrics_push(m, &who, metrics, 2000, 1000) == whole);
    assert(client_metrics_bytes(m) <= CLIENT_METRICS_BYTES_MAX + 4096);
    client_metrics_write(m, 2000, &text);
    assert(!text.failed && text.len > 0 && text.ptr[text.len - 1] == '\n');
    bytes_reset(&text);
    client_metrics_write(m, 2000 + 2 * CLIENT_METRICS_KEEP_MS, &text);
    client_metrics_free(m);
    bytes_done(&text);
    return 0;
}
