/* tools/ottla/dump.c: see dump.h: which file is of which kind, and the order in which a folder is printed. Threads: one. */
#include "tools/ottla/dump.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <time.h>

#define TEXT_SHOWN_MAX   200 /* bytes of a key or value, unless --full */
#define FOLDER_DEPTH_MAX 8

static const char usage[] =
    "usage: ottla dump [options] FILE|DIR...\n"
    "Prints files of a data directory: segments (.log) and metadata snapshots (.checkpoint) with their batches and "
    "records,\n"
    "indexes (.index, .timeindex, .txnindex), producer snapshots (.snapshot), checkpoints and properties. Records of "
    "the\n"
    "broker's own topics are decoded. A folder is printed with all that is in it. Nothing is changed.\n"
    "\n"
    "  -b, --batches       batches only, no records\n"
    "  -f, --full          do not cut keys and values that are longer than 200 bytes\n"
    "  -o, --offset=N      begin with the batch that holds offset N\n"
    "  -h, --help\n"
    "\n"
    "Exit status: 0; 1 when something is damaged (a line that begins with PROBLEM says what); 2 for wrong usage.\n";

void dump_problem(struct dump *d, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("PROBLEM: ", d->out);
    vfprintf(d->out, format, args);
    putc('\n', d->out);
    va_end(args);
    d->problems++;
}

bool dump_read(struct dump *d, const struct dump_file *f, uint64_t position, void *into, size_t count)
{
    size_t done = 0;
    while (done < count) {
        ssize_t n = pread(f->fd, (uint8_t *)into + done, count - done, (off_t)(position + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) dump_problem(d, "%s: cannot be read at %" PRIu64 ": %s", f->path, position + done, strerror(errno));
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

const char *dump_time(int64_t timestamp_ms, char ret_text[DUMP_TIME_SIZE])
{
    struct tm tm;
    time_t seconds = (time_t)(timestamp_ms / 1000);
    size_t n;
    if (timestamp_ms < 0 || !gmtime_r(&seconds, &tm) ||
        !(n = strftime(ret_text, DUMP_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm)))
        snprintf(ret_text, DUMP_TIME_SIZE, "%" PRId64, timestamp_ms);
    else snprintf(ret_text + n, DUMP_TIME_SIZE - n, ".%03dZ", (int)(timestamp_ms % 1000));
    return ret_text;
}

/* Length of the character at p when it is well-formed UTF-8 and not a control character, else 0. */
static int character_len(const uint8_t *p, const uint8_t *end)
{
    static const struct {
        uint8_t mask, lead;
        uint32_t min;
    } forms[] = {{0x80, 0, 0x20}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    for (int extra = 0; extra < (int)countof(forms); extra++) {
        if ((*p & forms[extra].mask) != forms[extra].lead) continue;
        uint32_t c = *p & (uint8_t)~forms[extra].mask;
        if (end - p <= extra) return 0;
        for (int i = 1; i <= extra; i++) {
            if ((p[i] & 0xc0) != 0x80) return 0;
            c = c << 6 | (p[i] & 0x3f);
        }
        bool surrogate = c >= 0xd800 && c < 0xe000;
        return c < forms[extra].min || c > 0x10ffff || surrogate || (c >= 0x7f && c < 0xa0) ? 0 : extra + 1;
    }
    return 0;
}

static bool is_text(struct slice s)
{
    const uint8_t *p = s.ptr, *end = s.ptr + s.len;
    while (p < end) {
        int len = character_len(p, end);
        if (!len) return false;
        p += len;
    }
    return true;
}

void dump_bytes(struct dump *d, struct slice s)
{
    uint32_t shown = d->full ? s.len : MIN(s.len, (uint32_t)TEXT_SHOWN_MAX);
    if (!s.ptr) {
        fputs("<null>", d->out);
    } else if (s.len == 0) {
        fputs("\"\"", d->out);
    } else if (is_text(s)) {
        while (shown < s.len && (s.ptr[shown] & 0xc0) == 0x80) shown--; /* not inside a character */
        fwrite(s.ptr, 1, shown, d->out);
    } else {
        fputs("0x", d->out);
        for (uint32_t i = 0; i < shown; i++) fprintf(d->out, "%02x", s.ptr[i]);
    }
    if (shown < s.len) fprintf(d->out, "... (%u bytes)", s.len);
}

void dump_text(struct dump *d, const struct dump_file *f)
{
    char text[4096];
    uint64_t position = 0;
    char last = '\n';
    while (position < f->size) {
        size_t count = MIN((size_t)(f->size - position), sizeof text);
        if (!dump_read(d, f, position, text, count)) return;
        fwrite(text, 1, count, d->out);
        last = text[count - 1];
        position += count;
    }
    if (last != '\n') putc('\n', d->out);
}

/* Files by the end of their names. */
static const struct kind {
    const char *ending;
    void (*dump)(struct dump *d, const struct dump_file *f);
} kinds[] = {
    {".log", dump_log},
    {".checkpoint", dump_log},
    {".timeindex", dump_time_index},
    {".txnindex", dump_txn_index},
    {".index", dump_offset_index},
    {".snapshot", dump_producer_snapshot},
    {"-checkpoint", dump_text},
    {"partition.metadata", dump_text},
    {"meta.properties", dump_text},
    {"ottla.format", dump_text},
    {"ottla.partitions", dump_text},
    {"quorum-state", dump_text},
    {".kafka_cleanshutdown", dump_text},
};

/* What the cleaner and deletion put behind the names of files that they still or not yet use. */
static const char *const life_endings[] = {".deleted", ".cleaned", ".swap", ".part"};

static bool ends_with(const char *text, size_t len, const char *ending)
{
    size_t ending_len = strlen(ending);
    return len >= ending_len && memcmp(text + len - ending_len, ending, ending_len) == 0;
}

static const struct kind *kind_find(const char *path)
{
    size_t len = strlen(path);
    for (size_t i = 0; i < countof(life_endings); i++)
        if (ends_with(path, len, life_endings[i])) len -= strlen(life_endings[i]);
    for (size_t i = 0; i < countof(kinds); i++)
        if (ends_with(path, len, kinds[i].ending)) return &kinds[i];
    return NULL;
}

static void dump_one_file(struct dump *d, const char *path, const struct kind *kind)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    fprintf(d->out, "%s\n", path);
    if (fd < 0 || fstat(fd, &st) < 0) {
        dump_problem(d, "%s: %s", path, strerror(errno));
        return;
    }
    kind->dump(d, &(struct dump_file){.path = path, .fd = fd, .size = (uint64_t)st.st_size});
    putc('\n', d->out);
}

static int not_dots(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static void dump_path(struct dump *d, const char *path, int depth)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        dump_problem(d, "%s: %s", path, strerror(errno));
        return;
    }
    const struct kind *kind = kind_find(path);
    if (!S_ISDIR(st.st_mode)) {
        /* Other files in a folder (locks, the user's own) are none of our business; one that was named is. */
        if (kind) dump_one_file(d, path, kind);
        else if (depth == 0) dump_problem(d, "%s: not a file of a data directory, by its name", path);
        return;
    }
    struct dirent **entries;
    int count = depth < FOLDER_DEPTH_MAX ? scandir(path, &entries, not_dots, alphasort) : 0;
    if (count < 0) {
        dump_problem(d, "%s: %s", path, strerror(errno));
        return;
    }
    for (int i = 0; i < count; i++) {
        AUTO_FREE char *inner = xasprintf("%s/%s", path, entries[i]->d_name);
        free(entries[i]);
        dump_path(d, inner, depth + 1);
    }
    if (count) free(entries);
}

static bool offset_parse(const char *text, int64_t *ret_offset)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < 0) return false;
    *ret_offset = value;
    return true;
}

int dump_main(int argc, char **argv)
{
    static const struct option options[] = {{"batches", no_argument, NULL, 'b'},
                                            {"full", no_argument, NULL, 'f'},
                                            {"offset", required_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct dump d = {.out = stdout};
    int option;
    optind = 0; /* glibc: forget an earlier run */
    while ((option = getopt_long(argc, argv, "bfo:h", options, NULL)) != -1) {
        switch (option) {
        case 'b': d.batches_only = true; break;
        case 'f': d.full = true; break;
        case 'o':
            if (offset_parse(optarg, &d.from_offset)) break;
            fprintf(stderr, "ottla dump: --offset takes a number, not \"%s\"\n", optarg);
            return 2;
        case 'h': fputs(usage, stdout); return 0;
        default: fputs("Try: ottla dump --help\n", stderr); return 2;
        }
    }
    if (optind == argc) {
        fputs(usage, stderr);
        return 2;
    }
    for (int i = optind; i < argc; i++) {
        size_t len = strlen(argv[i]);
        while (len > 1 && argv[i][len - 1] == '/') argv[i][--len] = '\0';
        dump_path(&d, argv[i], 0);
    }
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "ottla dump: cannot write: %s\n", strerror(errno));
        return 1;
    }
    return d.problems ? 1 : 0;
}
