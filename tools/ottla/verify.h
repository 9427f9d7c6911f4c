/* tools/ottla/verify.h: `ottla verify`. */
#ifndef OTTLA_TOOLS_VERIFY_H
#define OTTLA_TOOLS_VERIFY_H

/* The subcommand; argv[0] is "verify". Returns the exit status: 0, 1: something is damaged or cannot be read, 2: wrong usage. */
int verify_main(int argc, char **argv);

#endif
