/* tools/ottla/settle.h: a data directory that was put together from copies is opened once, by the broker itself and without a client,
 * so that its logs are recovered and checked before anybody gets it.
 *
 * Threads: the caller's, and those of the broker while settle_begin() to settle_end(). */
#ifndef OTTLA_TOOLS_SETTLE_H
#define OTTLA_TOOLS_SETTLE_H

#include "base/err.h"

struct broker;

/* Opens the directory; nothing is deleted, compacted or served meanwhile. Fails when a partition's log cannot be opened (the first one
 * that cannot is named): the caller has a copy, and nothing is lost. */
int settle_begin(const char *path, int32_t node_id, struct broker **ret_broker, struct err *err) WARN_UNUSED;
/* Prints what is in it: a line for each topic unless quiet, and the sum after `what`. */
void settle_report(struct broker *b, const char *what, uint64_t bytes, bool quiet);
/* A clean stop. */
void settle_end(struct broker *b);

#endif
