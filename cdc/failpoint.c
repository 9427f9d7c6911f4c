/* cdc/failpoint.c: see failpoint.h. */
#include "cdc/failpoint.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>

bool failpoint_armed;

static char armed_name[64];
static atomic_int armed_left;

void failpoint_init(void)
{
    const char *text = getenv("OTTLA_FAILPOINT");
    const char *colon = text ? strrchr(text, ':') : NULL;

    if (!colon || (size_t)(colon - text) >= sizeof armed_name) return;
    memcpy(armed_name, text, (size_t)(colon - text));
    atomic_store(&armed_left, atoi(colon + 1));
    failpoint_armed = true;
}

void failpoint_pass(const char *name)
{
    if (strcmp(name, armed_name) == 0 && atomic_fetch_sub(&armed_left, 1) == 1) kill(getpid(), SIGKILL);
}
