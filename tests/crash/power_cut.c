/* Power cuts under storage: random work on several logs of one directory (appends of all kinds of producers, transactions, syncs,
 * rolls, retention, DeleteRecords, compaction, deletion and creation, clean stops) on a simulated disk (tests/lib/sim_disk.h) that dies
 * at some call; then the directory is what the disk might hold, is opened, and compared with the model (tests/lib/log_model.h).
 *
 * What is asked of a log after a cut: it opens; all that it had told to be durable is there, in order, readable by every index;
 * nothing invented, nothing twice; producers and transactions as the records say. After a kill of the process alone: all
 * that was acknowledged.
 *
 * usage: power_cut [--histories N] [--seed S] [--fault NAME | --faults]
 *   --fault NAME  the disk has a fault (a sync that does nothing): a violation is wanted; exit status 0 when there is one
 *   --faults      all of them in turn */
#include "base/log.h"
#include "tests/lib/log_model.h"
#include "tests/lib/sim_disk.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOGS          5
#define ROUNDS        6   /* lives of one history */
#define STEPS         120 /* of one life */
#define CUT_CALLS_MAX 900
#define FAR_MS        (1000LL * 3600 * 1000)

enum { BOUNDED, STRICT, COMPACTED, REMADE, RETAINED };

struct sim_clock {
    struct clock clock;
    int64_t now_us;
};

struct world {
    char path[100];
    uint64_t seed, random;
    struct sim_clock clock;
    struct log_dir_options options;
    struct log_dir *dir;
    struct log_config configs[LOGS];
    struct log_model models[LOGS];
    struct partition_log *logs[LOGS];
    int64_t durable[LOGS]; /* told by the logs */
    bool killed;           /* and not cut since: all that was acknowledged is there */
    uint8_t remade;        /* topic id of REMADE */
    uint64_t opens, cuts, kills, stops;
};

static int64_t sim_now(const struct clock *c)
{
    return container_of(c, struct sim_clock, clock)->now_us;
}

static uint32_t draw(struct world *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (uint32_t)(w->random >> 16);
}

static int64_t now_ms(const struct world *w)
{
    return w->clock.now_us / 1000;
}

static void world_init(struct world *w, uint64_t seed)
{
    *w = (struct world){.seed = seed, .random = seed * 11400714819323198485u + 1};
    snprintf(w->path, sizeof w->path, "%s/ottla-power-cut-%d", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm",
             (int)getpid());
    w->clock = (struct sim_clock){{sim_now, sim_now}, 1700000000000000};
    log_dir_options_default(&w->options);
    w->options.path = w->path;
    w->options.io = &io_sim;
    w->options.clock = &w->clock.clock;
    w->options.flush_interval_ms = w->options.recovery_point_interval_ms = w->options.retention_check_interval_ms =
        FAR_MS;
    w->options.cleaner.backoff_ms = FAR_MS;
    w->options.open_files_max = 4;
    for (int i = 0; i < LOGS; i++) {
        struct log_config *c = &w->configs[i];
        log_config_default(c);
        c->segment_bytes = 1500;
        c->index_interval_bytes = 200;
        c->file_delete_delay_ms = 0;
        c->retention_ms = -1;
        c->message_timestamp_after_max_ms = INT64_MAX;
        c->min_cleanable_ratio = 0;
        c->delete_retention_ms = 1000;
        c->strict = i == STRICT;
        c->cleanup_compact = i == COMPACTED;
        c->cleanup_delete = i != COMPACTED;
        if (i == RETAINED) c->retention_bytes = 4000;
        log_model_init(&w->models[i], seed + (uint64_t)i * 1000003);
        w->models[i].seed = seed;
    }
    sim_disk_begin(w->path);
}

static void open_one(struct world *w, int i)
{
    char topic[] = {(char)('a' + i), '\0'};
    struct uuid id = {{(uint8_t)(i + 1), i == REMADE ? w->remade : 0}};
    struct err err = ERR_NONE;
    struct log_model *m = &w->models[i];

    int r = log_dir_open_log(w->dir, topic, 0, id, &w->configs[i], &w->logs[i], &err);
    m->log = r ? NULL : w->logs[i];
    if (!r || sim_disk_is_dead()) return;
    log_model_fail(m, "opens", "log %s: %s", topic, err.text);
}

/* With the power on everything opens. Returns false: it went meanwhile. */
static bool open_all(struct world *w)
{
    struct err err = ERR_NONE;

    w->opens++;
    int r = log_dir_open(&w->options, &w->dir, &err);
    if (r) {
        w->dir = NULL;
        if (sim_disk_is_dead()) return false;
        log_model_fail(&w->models[0], "opens", "the directory: %s", err.text);
    }
    for (int i = 0; i < LOGS && !sim_disk_is_dead(); i++) open_one(w, i);
    r = sim_disk_is_dead() ? 0 : log_dir_sync_found(w->dir);
    if (r && !sim_disk_is_dead()) log_model_fail(&w->models[STRICT], "syncs what it found", "%d", r);
    return !sim_disk_is_dead();
}

/* What the logs themselves have told. */
static void note_marks(struct world *w)
{
    for (int i = 0; i < LOGS; i++) {
        if (!w->logs[i]) continue;
        struct log_marks marks = partition_log_marks(w->logs[i]);
        w->durable[i] = MAX(w->durable[i], marks.durable_end);
        w->models[i].start = MAX(w->models[i].start, marks.log_start);
    }
}

static void drop_all(struct world *w)
{
    note_marks(w);
    for (int i = 0; i < LOGS; i++) {
        partition_log_unref(w->logs[i]);
        w->logs[i] = w->models[i].log = NULL;
    }
    if (w->dir) log_dir_abandon(w->dir);
    w->dir = NULL;
}

static void stop_cleanly(struct world *w)
{
    note_marks(w);
    for (int i = 0; i < LOGS; i++) {
        partition_log_unref(w->logs[i]);
        w->logs[i] = w->models[i].log = NULL;
    }
    log_dir_close(w->dir);
    w->dir = NULL;
    if (!sim_disk_is_dead())
        for (int i = 0; i < LOGS; i++) w->durable[i] = w->models[i].end;
    w->stops++;
}

static void remake(struct world *w)
{
    int r = log_dir_delete_log(w->dir, w->logs[REMADE]);
    if (r && !sim_disk_is_dead()) log_model_fail(&w->models[REMADE], "deletes", "%d", r);
    if (r) return;
    /* Whoever owns the metadata makes the new one known once the old one is away. */
    partition_log_unref(w->logs[REMADE]);
    w->logs[REMADE] = NULL;
    w->remade++;
    log_model_restart(&w->models[REMADE]);
    w->durable[REMADE] = 0;
    open_one(w, REMADE);
}

static void step(struct world *w)
{
    uint32_t what = draw(w) % 64;
    int i = (int)(draw(w) % LOGS);
    int64_t start;

    w->clock.now_us += draw(w) % 100000;
    if (what < 48) {
        (void)log_model_work(&w->models[i], now_ms(w));
    } else if (what < 54) {
        int64_t end = w->models[i].end;
        if (!partition_log_sync(&w->logs[i], 1)) w->durable[i] = MAX(w->durable[i], end);
    } else if (what == 54) {
        log_dir_flush_dirty(w->dir);
    } else if (what == 55) {
        int r = log_dir_write_checkpoints(w->dir);
        if (r && !sim_disk_is_dead()) log_model_fail(&w->models[i], "writes checkpoints", "%d", r);
    } else if (what == 56) {
        log_dir_check_retention(w->dir);
    } else if (what == 57) {
        struct log_marks m = partition_log_marks(w->logs[BOUNDED]);
        int64_t to = m.log_start + (m.high_watermark - m.log_start) / 3;
        w->models[BOUNDED].start = MAX(w->models[BOUNDED].start, to);
        enum kafka_error error = partition_log_delete_records(w->logs[BOUNDED], to, &start);
        if (error != KAFKA_NONE && !sim_disk_is_dead())
            log_model_fail(&w->models[BOUNDED], "deletes records", "%d", error);
    } else if (what < 60) {
        struct segment *active = log_active(w->logs[COMPACTED]);
        if (active) w->models[COMPACTED].touched = MAX(w->models[COMPACTED].touched, active->base_offset);
        log_dir_clean(w->dir);
    } else if (what == 60) {
        remake(w);
    } else {
        log_dir_remove_due(w->dir, true);
    }
}

static void check_all(struct world *w)
{
    for (int i = 0; i < LOGS; i++) {
        log_model_recovered(&w->models[i], w->killed ? w->models[i].end : w->durable[i]);
        log_model_check(&w->models[i]);
        w->durable[i] = MIN(w->durable[i], w->models[i].end);
    }
    w->killed = false;
}

/* One life: from an open directory to its end. */
static void live(struct world *w)
{
    bool cut = draw(w) % 4, stop = draw(w) % 4 == 0;
    if (cut) sim_disk_cut_after((int64_t)(draw(w) % CUT_CALLS_MAX));
    for (int i = 0; i < STEPS && !sim_disk_is_dead(); i++) step(w);
    if (stop && !sim_disk_is_dead()) stop_cleanly(w);
    else drop_all(w);
    if (w->dir) drop_all(w);
    if (cut) {
        sim_disk_power_cut(&w->random);
        w->killed = false;
        w->cuts++;
    } else {
        sim_disk_kill();
        w->killed = true;
        w->kills++;
    }
}

static void open_and_check(struct world *w)
{
    /* The power may go during the start as well: nothing may come of it. */
    while (draw(w) % 4 == 0) {
        sim_disk_cut_after(draw(w) % 40);
        if (open_all(w)) {
            sim_disk_cut_after(-1);
            check_all(w);
            return;
        }
        drop_all(w);
        sim_disk_power_cut(&w->random);
        w->killed = false;
        w->cuts++;
    }
    open_all(w);
    check_all(w);
}

static void history(uint64_t seed, struct world *total)
{
    struct world w;

    world_init(&w, seed);
    open_all(&w);
    for (int round = 0; round < ROUNDS; round++) {
        live(&w);
        open_and_check(&w);
    }
    drop_all(&w);
    for (int i = 0; i < LOGS; i++) log_model_done(&w.models[i]);
    sim_disk_end();
    total->opens += w.opens;
    total->cuts += w.cuts;
    total->kills += w.kills;
    total->stops += w.stops;
}

static int run(uint64_t seed, long histories)
{
    struct world total = {0};

    for (long i = 0; i < histories; i++) history(seed + (uint64_t)i, &total);
    printf(
        "seeds %llu..%llu: %ld histories, %llu power cuts, %llu kills, %llu clean stops, %llu starts, 0 violations\n",
        (unsigned long long)seed, (unsigned long long)seed + (unsigned long long)histories - 1, histories,
        (unsigned long long)total.cuts, (unsigned long long)total.kills, (unsigned long long)total.stops,
        (unsigned long long)total.opens);
    return 0;
}

/* In a process of its own: a violation ends it. Returns whether there was one. */
static bool finds(enum sim_disk_fault fault, uint64_t seed, long histories)
{
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        sim_disk_set_fault(fault);
        exit(run(seed, histories));
    }
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"histories", required_argument, NULL, 'n'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"fault", required_argument, NULL, 'f'},
                                            {"faults", no_argument, NULL, 'F'},
                                            {0}};
    uint64_t seed = (uint64_t)time(NULL);
    long histories = 50;
    bool faults = false;
    const char *fault = NULL;

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 's') seed = strtoull(optarg, NULL, 10);
        else if (c == 'n') histories = strtol(optarg, NULL, 10);
        else if (c == 'f') fault = optarg;
        else if (c == 'F') faults = true;
        else return 2;
    }
    log_level_max = getenv("OTTLA_VERBOSE") ? LOG_INFO : LOG_ERROR;
    if (!fault && !faults) return run(seed, histories);
    int missed = 0;
    for (int i = 1; i < SIM_DISK_FAULTS; i++) {
        if (fault && strcmp(fault, sim_disk_fault_names[i])) continue;
        bool found = finds((enum sim_disk_fault)i, seed, histories);
        printf("%s %s\n", found ? "ok   found" : "FAIL not found", sim_disk_fault_names[i]);
        missed += !found;
    }
    return missed > 0;
}
