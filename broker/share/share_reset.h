/* broker/share/share_reset.h: share.auto.offset.reset: where a share group begins (KIP-932): "latest", "earliest", or
 * "by_duration:PnDTnHnMnS", the records of the last so much time (ISO 8601 as Java's Duration takes it, seconds with a
 * fraction; not negative). Threads: any. */
#ifndef OTTLA_SHARE_RESET_H
#define OTTLA_SHARE_RESET_H

#include "base/base.h"

enum share_reset_type { SHARE_RESET_LATEST, SHARE_RESET_EARLIEST, SHARE_RESET_BY_DURATION };

struct share_reset {
    enum share_reset_type type;
    int64_t duration_ms;
};

/* False: it is none of these. */
bool share_reset_parse(const char *text, struct share_reset *ret) WARN_UNUSED;

#endif
