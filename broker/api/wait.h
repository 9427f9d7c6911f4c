/* broker/api/wait.h: for handlers whose answer may be ready at once or later, on the same thread.
 *
 *   struct api_wait *w = api_wait_new(rq);          one step is open
 *   if (!w) return API_CLOSE;
 *   start(..., done, w);                            done() fills rq's out and calls api_wait_done(w)
 *   return api_wait_result(w);
 * Several steps: api_wait_more(w) before each further one; the answer goes out when the last is done. finish (may be
 * NULL) runs just before that, and is the place to fill what must not be borrowed while waiting. */
#ifndef OTTLA_API_WAIT_H
#define OTTLA_API_WAIT_H

#include "broker/api.h"

struct api_wait {
    struct request *rq;
    void (*finish)(struct request *rq, void *arg);
    void *arg;
    int open; /* steps that are not done */
    bool parked;
};

/* In the request's arena; NULL: it is full. */
static inline struct api_wait *api_wait_new(struct request *rq)
{
    struct api_wait *w = arena_calloc(&rq->arena, 1, sizeof *w);
    if (w) w->rq = rq, w->open = 1;
    return w;
}

static inline void api_wait_more(struct api_wait *w)
{
    w->open++;
}

static inline void api_wait_done(struct api_wait *w)
{
    if (--w->open) return;
    if (w->finish) w->finish(w->rq, w->arg);
    if (w->parked) request_complete(w->rq, API_REPLY);
}

static inline enum api_result api_wait_result(struct api_wait *w)
{
    if (!w->open) return API_REPLY;
    w->parked = true;
    return API_PENDING;
}

#endif
