/* tools/ottla/serve.h: `ottla serve`: the broker with all its rooms, and what can be asked without starting it. */
#ifndef OTTLA_SERVE_H
#define OTTLA_SERVE_H

#include <stdio.h>

/* The subcommand; argv[0] is "serve". Runs until SIGTERM or SIGINT. Exit status: 0, 1: could not start, 2: wrong usage.
 * */
int serve_main(int argc, char **argv);

/* "key name min-max" of every API that is served. */
void list_apis(FILE *out);
/* Every option with its meaning, as a properties file in which all is commented out: conf/ottla.properties is this
 * text. */
void list_options(FILE *out);

#endif
