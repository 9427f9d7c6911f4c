#include "base/mailbox.h"

static void deliver(struct mailbox *m)
{
    for (;;) {
        pthread_mutex_lock(&m->lock);
        struct mailbox_letter *letters = m->letters;
        uint32_t count = m->letters_count, size = m->letters_size;
        m->letters = m->spare;
        m->letters_size = m->spare_size;
        m->letters_count = 0;
        m->spare = NULL;
        m->spare_size = 0;
        pthread_mutex_unlock(&m->lock);

        for (uint32_t i = 0; i < count; i++) letters[i].fn(letters[i].arg);
        if (m->spare) {
            free(letters); /* a letter ran a nested delivery */
        } else {
            m->spare = letters;
            m->spare_size = size;
        }
        if (!count) return;
    }
}

static void on_wake(struct ev_loop *loop, ev_async *w, int revents)
{
    deliver(w->data);
}

void mailbox_init(struct mailbox *m, struct ev_loop *loop)
{
    *m = (struct mailbox){.loop = loop};
    pthread_mutex_init(&m->lock, NULL);
    ev_async_init(&m->wake, on_wake);
    m->wake.data = m;
    ev_async_start(loop, &m->wake);
    ev_unref(loop);
}

void mailbox_close(struct mailbox *m)
{
    pthread_mutex_lock(&m->lock);
    m->closed = true;
    pthread_mutex_unlock(&m->lock);
    deliver(m);
}

void mailbox_done(struct mailbox *m)
{
    ev_ref(m->loop);
    ev_async_stop(m->loop, &m->wake);
    free(m->letters);
    free(m->spare);
    pthread_mutex_destroy(&m->lock);
}

bool mailbox_post(struct mailbox *m, void (*fn)(void *arg), void *arg)
{
    pthread_mutex_lock(&m->lock);
    if (m->closed) {
        pthread_mutex_unlock(&m->lock);
        return false;
    }
    if (m->letters_count == m->letters_size) {
        m->letters_size = m->letters_size ? m->letters_size * 2 : 16;
        m->letters = xrealloc(m->letters, m->letters_size * sizeof *m->letters);
    }
    m->letters[m->letters_count++] = (struct mailbox_letter){fn, arg};
    bool first = m->letters_count == 1;
    pthread_mutex_unlock(&m->lock);
    if (first) ev_async_send(m->loop, &m->wake);
    return true;
}
