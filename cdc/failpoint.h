/* cdc/failpoint.h: named places where a test lets the process die: OTTLA_FAILPOINT=name:count kills it (SIGKILL) when the
 * place is passed for the count-th time. Without the variable a place costs one comparison.
 * Names are listed in docs/exactly-once.md. Threads: any. */
#ifndef OTTLA_CDC_FAILPOINT_H
#define OTTLA_CDC_FAILPOINT_H

#include "base/base.h"

extern bool failpoint_armed;

/* Reads the variable; called once, by cdc_open(). */
void failpoint_init(void);
void failpoint_pass(const char *name);

#define FAILPOINT(name) (__builtin_expect(failpoint_armed, 0) ? failpoint_pass(name) : (void)0)

#endif
