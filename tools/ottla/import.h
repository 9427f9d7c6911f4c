/* tools/ottla/import.h: `ottla import`. */
#ifndef OTTLA_TOOLS_IMPORT_H
#define OTTLA_TOOLS_IMPORT_H

/* The subcommand; argv[0] is "import". Returns the exit status: 0, 1: nothing was made, 2: wrong usage. */
int import_main(int argc, char **argv);

#endif
