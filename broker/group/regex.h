/* broker/group/regex.h: regular expressions of topic subscriptions (SubscribedTopicRegex), in RE2's syntax.
 *
 * Matches whole names. Time is the length of the name times the size of the expression, whatever it is (an automaton
 * that is run in all its states at once): what a client sends cannot keep the control thread busy. So there are no back
 * references and no assertions about what comes before or after, which RE2 refuses likewise.
 * Names of topics are ASCII; expressions are taken byte by byte.
 * Threads: a compiled expression may be used by any thread that owns it. Source: RE2's "Syntax". */
#ifndef OTTLA_REGEX_H
#define OTTLA_REGEX_H

#include "base/err.h"
#include "base/slice.h"

/* An expression beyond it is refused (repetitions multiply): real ones have some dozens, and each costs a step for each
 * byte of each topic name. */
#define REGEX_STATES_MAX 2000
/* Groups in groups. */
#define REGEX_DEPTH_MAX  100

struct regex;

/* NULL: it does not compile; err, which may be NULL, says why (INVALID_REGULAR_EXPRESSION). */
struct regex *regex_compile(struct slice text, struct err *err);
bool regex_matches(struct regex *r, struct slice name);
void regex_free(struct regex *r);

#endif
