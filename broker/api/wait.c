/* broker/api/wait.c: see wait.h. */
#include "broker/api/wait.h"

void api_wait_init(struct api_wait *w, struct request *rq, enum api_result (*finish)(struct api_wait *w))
{
    *w = (struct api_wait){.rq = rq, .finish = finish};
    atomic_init(&w->open, 1);
    atomic_init(&w->failed, false);
}

struct api_wait *api_wait_new(struct request *rq)
{
    struct api_wait *w = arena_calloc(&rq->arena, 1, sizeof *w);
    if (!w) return NULL;
    api_wait_init(w, rq, NULL);
    api_wait_more(w);
    return w;
}

void api_wait_more(struct api_wait *w)
{
    atomic_fetch_add(&w->open, 1);
}

static bool is_last(struct api_wait *w)
{
    return atomic_fetch_sub(&w->open, 1) == 1;
}

static enum api_result finish(struct api_wait *w)
{
    if (w->given_up) return API_CLOSE;
    return w->finish ? w->finish(w) : API_REPLY;
}

void api_wait_done(struct api_wait *w)
{
    if (is_last(w)) request_complete(w->rq, finish(w));
}

static void complete_posted(struct request *rq)
{
    request_complete(rq, finish(rq->waiting));
}

void api_wait_done_elsewhere(struct api_wait *w)
{
    struct request *rq = w->rq; /* w may be gone when it was not the last */
    if (is_last(w)) request_post(rq, complete_posted);
}

void api_wait_synced(void *arg, int error)
{
    struct api_wait *w = arg;
    if (error) atomic_store(&w->failed, true);
    api_wait_done_elsewhere(w);
}

enum api_result api_wait_result(struct api_wait *w)
{
    w->parked = true;
    w->rq->waiting = w;
    if (!is_last(w)) return API_PENDING;
    w->parked = false;
    return finish(w);
}

enum api_result api_wait_result_posted(struct api_wait *w)
{
    struct request *rq = w->rq;
    w->parked = true;
    rq->waiting = w;
    if (is_last(w)) request_post(rq, complete_posted);
    return API_PENDING;
}

enum api_result api_wait_give_up(struct api_wait *w)
{
    w->given_up = true;
    return api_wait_result(w);
}

bool api_wait_is_open(const struct api_wait *w)
{
    return atomic_load(&w->open) > 1;
}
