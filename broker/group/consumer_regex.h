/* broker/group/consumer_regex.h: which topics the regular expressions of a consumer group match.
 *
 * They are resolved when a member brings a new one, when topics were made (at most once a second per group), and after
 * group.consumer.regex.refresh.interval.ms; what they match is a record of the group, so a restart need not ask again.
 * Threads: the control thread only. Source: KIP-848; the expressions: regex.h. */
#ifndef OTTLA_CONSUMER_REGEX_H
#define OTTLA_CONSUMER_REGEX_H

#include "broker/group/consumer_changes.h"

/* Lists of names that changes borrow until they are committed. Begin with zeroes. */
struct consumer_names {
    struct slice **items;
    uint32_t count;
};
void consumer_names_done(struct consumer_names *n);

/* Adds to l what the group's expressions, and a member's new one, match now, where that is another list than before.
 *   fresh    the new one; empty: none
 *   gone     one that nobody subscribes any more; null: none
 * False: fresh does not compile; err says why. */
bool consumer_regexes_resolve(struct consumer_group *c, const struct consumer_heartbeat *in, struct slice fresh,
                              struct slice gone, struct consumer_changes *l, struct consumer_names *n, struct err *err);

#endif
