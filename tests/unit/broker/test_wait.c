/* broker/api/wait.c: when a request is answered whose steps are done at once, later, or on another thread. The rest of a
 * request's life is two functions here. */
#include "broker/api/wait.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>

static int completed;
static enum api_result result;
static void (*posted)(struct request *rq);

void request_complete(struct request *rq, enum api_result r)
{
    completed++;
    result = r;
}

void request_post(struct request *rq, void (*fn)(struct request *rq))
{
    cr_assert_null(posted, "posted once");
    posted = fn;
}

struct handler {
    struct api_wait wait;
    struct request rq;
    int finished;
};

static enum api_result finish(struct api_wait *w)
{
    container_of(w, struct handler, wait)->finished++;
    return API_SILENT;
}

static void handler_init(struct handler *h)
{
    *h = (struct handler){0};
    api_wait_init(&h->wait, &h->rq, finish);
    completed = 0;
    posted = NULL;
}

Test(wait, without_a_step_the_handler_answers)
{
    struct handler h;
    handler_init(&h);
    cr_expect(!api_wait_is_open(&h.wait));
    cr_expect_eq(api_wait_result(&h.wait), API_SILENT, "what finish says");
    cr_expect_eq(h.finished, 1);
    cr_expect_eq(completed, 0);
}

Test(wait, steps_that_end_before_the_handler_returns_answer_nothing_by_themselves)
{
    struct handler h;
    handler_init(&h);
    for (int i = 0; i < 3; i++) {
        api_wait_more(&h.wait);
        cr_expect(api_wait_is_open(&h.wait));
        if (i == 1) api_wait_synced(&h.wait, 0);
        else api_wait_done(&h.wait);
        cr_expect(!h.wait.parked, "what is borrowed must be copied");
    }
    cr_expect(h.finished == 0 && completed == 0 && !posted);
    cr_expect_eq(api_wait_result(&h.wait), API_SILENT);
    cr_expect(h.finished == 1 && completed == 0 && !posted);
}

Test(wait, the_last_step_answers_a_parked_request)
{
    struct handler h;
    handler_init(&h);
    api_wait_more(&h.wait);
    api_wait_more(&h.wait);
    cr_expect_eq(api_wait_result(&h.wait), API_PENDING);
    cr_expect(h.wait.parked);
    api_wait_done(&h.wait);
    cr_expect(h.finished == 0 && completed == 0);
    api_wait_done(&h.wait);
    cr_expect(h.finished == 1 && completed == 1 && result == API_SILENT);
}

Test(wait, one_step_without_finish)
{
    struct request rq = {0};
    arena_init(&rq.arena, 4096);
    struct api_wait *w = api_wait_new(&rq);
    cr_assert(w && api_wait_is_open(w));
    cr_expect_eq(api_wait_result(w), API_PENDING);
    api_wait_done(w);
    cr_expect(completed == 1 && result == API_REPLY);
    arena_done(&rq.arena);
}

static void *sync_fails(void *arg)
{
    api_wait_synced(arg, -EIO);
    return NULL;
}

Test(wait, a_step_that_ends_on_another_thread_is_answered_on_the_requests_own)
{
    struct handler h;
    pthread_t thread;
    handler_init(&h);
    api_wait_more(&h.wait);
    cr_expect_eq(api_wait_result(&h.wait), API_PENDING);
    cr_assert_eq(pthread_create(&thread, NULL, sync_fails, &h.wait), 0);
    pthread_join(thread, NULL);
    cr_expect(h.finished == 0 && completed == 0, "not there");
    cr_assert(posted);
    posted(&h.rq);
    cr_expect(h.finished == 1 && completed == 1 && result == API_SILENT);
    cr_expect(h.wait.failed);
}

/* What was started has pointers into the request: it must not be freed under it. */
Test(wait, a_handler_without_memory_is_closed_when_its_steps_have_ended)
{
    struct handler h;
    handler_init(&h);
    api_wait_more(&h.wait);
    cr_expect_eq(api_wait_give_up(&h.wait), API_PENDING);
    cr_expect_eq(completed, 0);
    api_wait_done(&h.wait);
    cr_expect(completed == 1 && result == API_CLOSE);
    cr_expect_eq(h.finished, 0);

    handler_init(&h);
    cr_expect_eq(api_wait_give_up(&h.wait), API_CLOSE);
}
