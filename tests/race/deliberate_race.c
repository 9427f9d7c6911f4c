/* Not a test of ottla but of the test runner: a data race. The race part of tests/run must see its report. */
#include <pthread.h>

static int shared;

static void *add(void *arg)
{
    for (int i = 0; i < 1000; i++) shared++;
    return NULL;
}

int main(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, add, NULL)) return 1;
    (void)add(NULL);
    pthread_join(thread, NULL);
    return shared > 2000;
}
