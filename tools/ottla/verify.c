/* tools/ottla/verify.c: `ottla verify`: tells what is damaged in a data directory (storage/verify.h). Threads: one. */
#include "tools/ottla/verify.h"

#include "storage/verify.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "usage: ottla verify [options] DIR|FILE...\n"
    "Reads a data directory, a partition's folder or one file of it, and tells what is damaged: checksums and content "
    "of\n"
    "batches, the order of offsets, indexes, leader epochs, snapshots of producers, checkpoints. The directory may be\n"
    "Kafka's, and a broker may be running on it. Nothing is changed.\n"
    "\n"
    "  -q, --quiet         only damage, no closing line\n"
    "  -h, --help\n"
    "\n"
    "One line for each damage: FILE: position N: what. Exit status: 0: nothing is damaged; 1; 2 for wrong usage.\n";

static void print(FILE *out, const char *title, const struct verify_finding *f)
{
    fprintf(out, "%s %s: ", title, f->path);
    if (f->position >= 0) fprintf(out, "position %" PRId64 ": ", f->position);
    fprintf(out, "%s\n", f->what);
}

static void print_damage(void *arg, const struct verify_finding *f)
{
    print(stdout, "DAMAGED", f);
}

static void print_note(void *arg, const struct verify_finding *f)
{
    if (!*(bool *)arg) print(stdout, "note", f);
}

int verify_main(int argc, char **argv)
{
    static const struct option options[] = {
        {"quiet", no_argument, NULL, 'q'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    bool quiet = false, failed = false;
    struct verify v = {.damage = print_damage, .note = print_note, .arg = &quiet};
    int option;

    optind = 0; /* glibc: forget an earlier run */
    while ((option = getopt_long(argc, argv, "qh", options, NULL)) != -1) {
        if (option == 'q') quiet = true;
        else if (option == 'h') return fputs(usage, stdout), 0;
        else return fputs("Try: ottla verify --help\n", stderr), 2;
    }
    if (optind == argc) return fputs(usage, stderr), 2;
    for (int i = optind; i < argc; i++) {
        size_t len = strlen(argv[i]);
        while (len > 1 && argv[i][len - 1] == '/') argv[i][--len] = '\0';
        int r = verify_path(&v, argv[i]);
        if (!r) continue;
        fprintf(stderr, "ottla verify: %s: %s\n", argv[i],
                r == -EINVAL ? "not a file of a data directory, by its name" : strerror(-r));
        failed = true;
    }
    if (!quiet)
        printf("%" PRIu64 " files, %" PRIu64 " bytes, %" PRIu64 " batches, %" PRIu64 " records: %" PRIu64 " damaged\n",
               v.files, v.bytes, v.batches, v.records, v.damages);
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "ottla verify: cannot write: %s\n", strerror(errno));
        return 1;
    }
    return v.damages || failed ? 1 : 0;
}
