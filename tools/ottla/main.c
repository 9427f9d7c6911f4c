/* tools/ottla/main.c: the program `ottla`: one row per subcommand. */
#include "base/base.h"
#include "tools/ottla/client_exec.h"
#include "tools/ottla/dump.h"
#include "tools/ottla/export.h"
#include "tools/ottla/import.h"
#include "tools/ottla/serve.h"
#include "tools/ottla/verify.h"

#include <stdio.h>
#include <string.h>

static const struct subcommand {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is the name; returns the exit status */
    const char *help;
} subcommands[] = {
    {"serve", serve_main, "start the broker"},
    {"dump", dump_main, "print any file of a data directory"},
    {"verify", verify_main, "find damage in a data directory"},
    {"import", import_main, "a data directory of ours, of those of a Kafka cluster"},
    {"export", export_main, "a data directory for Kafka, of ours"},
    {"topics", client_exec, "list, describe, create and delete topics"},
    {"produce", client_exec, "send lines of standard input as records"},
    {"consume", client_exec, "print the records of topics"},
    {"groups", client_exec, "list, describe, reset and delete consumer groups"},
    {"connectors", client_exec, "list, create, watch and control connectors"},
};

static void usage(FILE *out)
{
    fprintf(out, "usage: ottla SUBCOMMAND ...\n\n");
    for (size_t i = 0; i < countof(subcommands); i++)
        fprintf(out, "  %-12s %s\n", subcommands[i].name, subcommands[i].help);
    fprintf(out, "\n  --version, --list-apis, --list-options, --help (also: ottla SUBCOMMAND --help)\n");
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";

    if (strcmp(name, "--version") == 0) return printf("ottla %s\n", OTTLA_VERSION) < 0;
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) return usage(stdout), 0;
    if (strcmp(name, "--list-apis") == 0) return list_apis(stdout), 0;
    if (strcmp(name, "--list-options") == 0) return list_options(stdout), 0;
    for (size_t i = 0; i < countof(subcommands); i++)
        if (strcmp(name, subcommands[i].name) == 0) return subcommands[i].run(argc - 1, argv + 1);

    if (*name) fprintf(stderr, "ottla: there is no subcommand %s\n\n", name);
    usage(stderr);
    return 2;
}
