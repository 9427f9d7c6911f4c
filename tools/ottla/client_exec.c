/* tools/ottla/client_exec.c: see client_exec.h. The clients' subcommands are a program of their own, so that the broker does
 * not carry librdkafka: found beside this program's own file. */
#include "tools/ottla/client_exec.h"

#include "base/base.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CLIENT_PROGRAM "ottla-client"
#define PATH_BYTES_MAX 4096

/* The two programs stand side by side, installed or in a build directory. */
int client_exec(int argc, char **argv)
{
    char path[PATH_BYTES_MAX + sizeof CLIENT_PROGRAM];
    ssize_t n = readlink("/proc/self/exe", path, PATH_BYTES_MAX);
    char *slash = n > 0 ? memrchr(path, '/', (size_t)n) : NULL;
    strcpy(slash ? slash + 1 : path, CLIENT_PROGRAM);

    char **arguments = xcalloc((size_t)argc + 2, sizeof *arguments);
    arguments[0] = path;
    memcpy(arguments + 1, argv, (size_t)argc * sizeof *argv);
    execv(path, arguments);
    if (errno == ENOENT)
        fprintf(stderr,
                "ottla %s: %s does not exist: this build has no client tools (librdkafka-dev and libcurl4-openssl-dev, "
                "meson option -Dclients=enabled)\n",
                argv[0], path);
    else fprintf(stderr, "ottla %s: cannot start %s: %s\n", argv[0], path, strerror(errno));
    free(arguments);
    return 1;
}
