/* tools/ottla/client_exec.h: hands `ottla topics|produce|consume|groups|connectors …` to the program ottla-client. */
#ifndef OTTLA_CLIENT_EXEC_H
#define OTTLA_CLIENT_EXEC_H

/* argv[0] is the subcommand. Does not return but on failure: exit status 1, one line on standard error. */
int client_exec(int argc, char **argv);

#endif
