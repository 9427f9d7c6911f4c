/* broker/fetch/purgatory.h: waiting on several partition logs, with a deadline, on one loop.
 *
 *   waiting --a log's mark passes, a log is closed--> woken(arg)  -- purgatory_rearm() --> waiting
 *           --deadline--------------------------------> expired(arg)
 * A log wakes its waiter once, on the appending thread and with its lock held: the waiter only posts a letter to the
 * loop, one at a time for the whole entry, which holds a reference; letters that come after the end are dropped.
 * What is awaited may never come, it comes piecemeal, and whoever waits may lose interest: hence the deadline, the
 * rearming and the freeing, which other steps of a handler do not have. For the request the whole of it is one step of
 * api/wait.h.
 * Limits: as many logs as the request names partitions; the deadline is the client's (max_wait_ms), and its leaving
 * ends the wait (request.cancel).
 * Threads: made, rearmed and freed on the loop's thread. */
#ifndef OTTLA_PURGATORY_H
#define OTTLA_PURGATORY_H

#include "base/mailbox.h"
#include "storage/partition_log.h"

struct purgatory_entry;

/* Takes room for `count` logs. woken and expired run on the loop's thread; they may free the entry. */
struct purgatory_entry *purgatory_entry_new(struct ev_loop *loop, struct mailbox *mailbox, uint32_t count,
                                            void (*woken)(void *arg), void (*expired)(void *arg), void *arg);
/* Waits for the mark of isolation to pass beyond_offset. Takes a reference on log. At most `count` times. */
void purgatory_entry_add(struct purgatory_entry *e, struct partition_log *log, int64_t beyond_offset,
                         enum read_isolation isolation);
void purgatory_entry_start(struct purgatory_entry *e, int64_t timeout_ms);
/* Waits again with the logs that have woken it meanwhile: each for its mark to pass what it is now. */
void purgatory_entry_rearm(struct purgatory_entry *e);
/* Stops waiting. NULL is allowed. */
void purgatory_entry_free(struct purgatory_entry *e);

#endif
