/* broker/api/wait.h: how a handler waits. The one place that answers a request after its handler has returned.
 *
 *   handler: steps begin ── api_wait_result ──all are done──> finish ──> answer
 *                                          └─else─> parked ──last step done──> finish ──> answer
 * A step is whatever the answer has to wait for. Others offer them, each with a callback that ends its step:
 *   metadata_change_commit(), group_host.when_durable()     state that is durable (durable.h: several logs as one step)
 *   partition_log_sync_async(), log_dir_checkpoint_async()  the disk: api_wait_synced() is their callback
 *   txn_add() and the calls of groups                       a coordinator
 *   purgatory.h                                             marks of logs that pass, or a deadline; woken often, it
 *                                                           ends when the handler finds that it has enough
 * A handler of one step:                                    Of several:
 *   struct api_wait *w = api_wait_new(rq);                    api_wait_init(&x->wait, rq, finish);    none is open
 *   if (!w) return API_CLOSE;                                 api_wait_more(&x->wait); start(...);    for each step
 *   start(..., done, w);      done(): fills rq's out,
 *   return api_wait_result(w);        api_wait_done(w)        return api_wait_result(&x->wait);
 * A step may end before its start() returns; nothing is answered before the handler has returned. While nothing was
 * started a handler may return what it likes and leave w alone; afterwards only api_wait_result() or, when it runs out
 * of memory, api_wait_give_up(): what was started still points into the request. (ShareFetch can make its steps forget
 * it.)
 *
 * Limits. A request that waits keeps its frame and arena, which queued.max.request.bytes and REQUEST_ARENA_BYTES_MAX
 * bound; a connection has one in work, or REQUESTS_IN_WORK_MAX of those that let others pass (api.h). How long is the
 * step's business: only purgatory.h and groups wait for what may never come, and have a deadline. A client that is gone
 * ends such waits by request.cancel; all others run to their end, without an answer.
 *
 * Threads: the request's own, but for api_wait_done_elsewhere() and api_wait_synced(). */
#ifndef OTTLA_API_WAIT_H
#define OTTLA_API_WAIT_H

#include "broker/api.h"

#include <stdatomic.h>

struct api_wait {
    struct request *rq;
    /* Runs on the request's thread when all steps are done, and fills what must not be borrowed while waiting. NULL:
     * the answer is complete. */
    enum api_result (*finish)(struct api_wait *w);
    atomic_int open;    /* steps that are not done, and one for the handler */
    atomic_bool failed; /* api_wait_synced(): a step; what that means is for finish to say */
    bool given_up;
    bool parked; /* the handler has returned: answers of callbacks may borrow, they are encoded at once */
};

/* In memory that lives as long as the request; no step is open. */
void api_wait_init(struct api_wait *w, struct request *rq, enum api_result (*finish)(struct api_wait *w));
/* In the request's arena, without finish; one step is open. NULL: the arena is full. */
struct api_wait *api_wait_new(struct request *rq);
/* One more step. */
void api_wait_more(struct api_wait *w);
/* A step is done. With the last one the request, and w with it, may be gone. */
void api_wait_done(struct api_wait *w);
/* The same from any thread; the answer then goes by the request's own. Not for requests with a cancel(). */
void api_wait_done_elsewhere(struct api_wait *w);
/* The same as the callback of a sync: arg is the struct api_wait. */
void api_wait_synced(void *arg, int error);
/* For the handler's return. */
enum api_result api_wait_result(struct api_wait *w);
/* The same, but finish runs in a call of its own, with a snapshot of the metadata of its own: for handlers whose steps
 * change what finish looks at, and may end before the handler returns. */
enum api_result api_wait_result_posted(struct api_wait *w);
/* Instead of it: the connection is dropped when the steps that are open have ended; finish is not called. */
enum api_result api_wait_give_up(struct api_wait *w);
/* Whether the answer has to wait, as far as is known now. */
bool api_wait_is_open(const struct api_wait *w);

#endif
