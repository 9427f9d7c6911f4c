/* tools/ottla/export.h: `ottla export`. */
#ifndef OTTLA_TOOLS_EXPORT_H
#define OTTLA_TOOLS_EXPORT_H

/* The subcommand; argv[0] is "export". Returns the exit status: 0, 1: nothing was made, 2: wrong usage. */
int export_main(int argc, char **argv);

#endif
