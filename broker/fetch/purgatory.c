/* broker/fetch/purgatory.c: see purgatory.h. */
#include "broker/fetch/purgatory.h"

struct slot {
    struct log_waiter waiter;
    struct partition_log *log;
    struct purgatory_entry *entry;
    atomic_bool fired;
};

struct purgatory_entry {
    atomic_uint refs; /* the owner's, and one of a letter on its way */
    struct ev_loop *loop;
    struct mailbox *mailbox;
    ev_timer timer;
    void (*woken)(void *arg);
    void (*expired)(void *arg);
    void *arg;
    atomic_bool letter; /* on its way */
    bool ended;
    uint32_t count;
    uint32_t used;
    struct slot slots[];
};

static void entry_unref(struct purgatory_entry *e)
{
    if (atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) == 1) free(e);
}

static void take_letter(void *arg)
{
    struct purgatory_entry *e = arg;

    atomic_store(&e->letter, false);
    if (!e->ended) e->woken(e->arg);
    entry_unref(e);
}

static void wake(struct log_waiter *w) /* any thread, the log's lock held */
{
    struct slot *s = container_of(w, struct slot, waiter);
    struct purgatory_entry *e = s->entry;

    atomic_store(&s->fired, true);
    if (atomic_exchange(&e->letter, true)) return;
    atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
    if (!mailbox_post(e->mailbox, take_letter, e)) entry_unref(e); /* not the last: the owner has one */
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct purgatory_entry *e = w->data;
    e->expired(e->arg);
}

struct purgatory_entry *purgatory_entry_new(struct ev_loop *loop, struct mailbox *mailbox, uint32_t count,
                                            void (*woken)(void *arg), void (*expired)(void *arg), void *arg)
{
    struct purgatory_entry *e = calloc(1, sizeof *e + count * sizeof e->slots[0]);

    if (!e) return NULL;
    atomic_init(&e->refs, 1);
    e->loop = loop;
    e->mailbox = mailbox;
    e->woken = woken;
    e->expired = expired;
    e->arg = arg;
    e->count = count;
    return e;
}

void purgatory_entry_add(struct purgatory_entry *e, struct partition_log *log, int64_t beyond_offset,
                         enum read_isolation isolation)
{
    assert(e->used < e->count);
    struct slot *s = &e->slots[e->used++];
    s->entry = e;
    s->log = partition_log_ref(log);
    s->waiter = (struct log_waiter){.beyond_offset = beyond_offset, .isolation = isolation, .wake = wake};
}

void purgatory_entry_start(struct purgatory_entry *e, int64_t timeout_ms)
{
    ev_now_update(e->loop); /* the deadline counts from now, not from when the loop last looked */
    ev_timer_init(&e->timer, on_timer, (double)timeout_ms / 1e3, 0.);
    e->timer.data = e;
    ev_timer_start(e->loop, &e->timer);
    for (uint32_t i = 0; i < e->used; i++) partition_log_wait(e->slots[i].log, &e->slots[i].waiter);
}

static int64_t mark_now(struct partition_log *log, enum read_isolation isolation)
{
    struct log_marks m = partition_log_marks(log);
    return isolation == READ_COMMITTED ? m.last_stable : isolation == READ_UNCOMMITTED ? m.high_watermark : m.log_end;
}

void purgatory_entry_rearm(struct purgatory_entry *e)
{
    for (uint32_t i = 0; i < e->used; i++) {
        struct slot *s = &e->slots[i];
        if (!atomic_exchange(&s->fired, false)) continue;
        partition_log_wait_cancel(s->log, &s->waiter); /* so that wake() is over */
        s->waiter.beyond_offset = mark_now(s->log, s->waiter.isolation);
        partition_log_wait(s->log, &s->waiter);
    }
}

void purgatory_entry_free(struct purgatory_entry *e)
{
    if (!e) return;
    e->ended = true;
    ev_timer_stop(e->loop, &e->timer);
    for (uint32_t i = 0; i < e->used; i++) {
        partition_log_wait_cancel(e->slots[i].log, &e->slots[i].waiter);
        partition_log_unref(e->slots[i].log);
    }
    entry_unref(e);
}
