/* base/mailbox.h: work that one thread posts to another's libev loop.
 *
 * A letter is a function and its argument; letters of one sender arrive in order. ev_async_send is the only libev call
 * made from outside a loop, and it is made here.
 * Invariants: after mailbox_close() nothing more is delivered; posting then says so, and the sender keeps arg.
 * Threads: post from any; init, close and done on the loop's own. */
#ifndef OTTLA_MAILBOX_H
#define OTTLA_MAILBOX_H

#include "base/base.h"

#include <ev.h>
#include <pthread.h>

struct mailbox_letter {
    void (*fn)(void *arg);
    void *arg;
};

struct mailbox {
    struct ev_loop *loop;
    ev_async wake;
    pthread_mutex_t lock;
    struct mailbox_letter *letters; /* guarded by lock */
    uint32_t letters_count;
    uint32_t letters_size;
    struct mailbox_letter *spare; /* the array being delivered, swapped with letters */
    uint32_t spare_size;
    bool closed;
};

/* Starts to listen on loop; the watcher does not keep the loop alive. */
void mailbox_init(struct mailbox *m, struct ev_loop *loop);
/* Delivers what is there, then refuses. */
void mailbox_close(struct mailbox *m);
void mailbox_done(struct mailbox *m);

/* fn(arg) will run on the loop's thread. false: closed, nothing was taken. */
bool mailbox_post(struct mailbox *m, void (*fn)(void *arg), void *arg);

#endif
