#include "base/thread.h"

#include <signal.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_FACTOR 8
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define STACK_FACTOR 8
#endif
#endif
#ifndef STACK_FACTOR
#define STACK_FACTOR 1
#endif

int thread_start(pthread_t *ret_thread, const char *name, void *(*fn)(void *), void *arg)
{
    pthread_attr_t attr;
    sigset_t all, before;
    char short_name[16] = {0};

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, (size_t)THREAD_STACK_BYTES * STACK_FACTOR);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(ret_thread, &attr, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (r) return -r;
    strncpy(short_name, name, sizeof short_name - 1);
    pthread_setname_np(*ret_thread, short_name);
    return 0;
}
