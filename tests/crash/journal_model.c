/* tests/crash/journal_model.c: random histories of one connector over the real journal code, on a disk and a time of our own.
 *
 * A history: up to 16 transactions over two tables, written at random times to up to 2 topics of 1..4 partitions; foreign
 * writers; readers of all partitions at once and one at a time; DDL that changes how rows are keyed; an initial snapshot;
 * retention, compaction, topics deleted and made again, more partitions, checkpoints; and up to 7 deaths: kill, power cut
 * (each file keeps any batch prefix of what was not synced), lost connection, failed fsync; anywhere, also during replay and
 * recovery. Asserted: each row exactly once and in order, what readers saw keeps its offset and content, transactions and
 * the snapshot show whole, the visible end never goes back, nothing is confirmed that a power cut could lose.
 *
 *   journal_model [--first SEED] [--histories N]   all rules on: must find nothing. Without --first a random seed, printed
 *   journal_model --without                        each rule (or pair) off in turn: a violation must be found
 *   journal_model --off NAME[,NAME] ...            the same with rules off;  --trace: tell the history
 * The world and its parts: journal_world.h. One thread. */
#include "tests/crash/journal_world.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void history(long seed, unsigned forced_features)
{
    chance_begin(seed);
    stats.histories++;
    world_make(forced_features);

    enum death how = (enum death)setjmp(death);
    if (how != DEATH_END) {
        if (how != DEATH_NONE) die(how);
        if (!dead) {
            recover();
            poll_all();
            run();
            poll_all();
            judge();
        }
    }
    journal_free(journal);
    journal = NULL;
}

/* -- runs -- */

static long violations_sum(void)
{
    long sum = 0;
    for (int v = 0; v < V_COUNT; v++) sum += violations[v];
    return sum;
}

static int run_histories(long first, long histories, unsigned forced_features)
{
    for (long s = first; s < first + histories; s++) history(s, forced_features);
    printf("seeds %ld..%ld: %ld histories, %ld violations\n", first, first + histories - 1, stats.histories,
           violations_sum());
    printf(
        "  %ld kills, %ld power cuts, %ld lost connections, %ld failed syncs, %ld deaths during recovery or replay\n",
        stats.kills, stats.power_cuts, stats.connections, stats.fsyncs, stats.nested);
    printf("  %ld snapshots, %ld deaths inside one, %ld relation versions\n", stats.snapshots, stats.snapshot_deaths,
           stats.relations);
    printf("  default durability, power cut: visible end went back %ld times by %ld records; mixed partitions: %ld "
           "offsets reused, %ld readers saw it\n",
           stats.back, stats.back_records, stats.mixed, stats.mixed_reader);
    for (int v = 0; v < V_COUNT; v++)
        if (violations[v])
            printf("  %-45s %8ld   smallest: seed %ld, %ld events\n", violation_names[v], violations[v],
                   violation_seed[v], violation_events[v]);
    return violations_sum() != 0;
}

#define OFF(name) (1u << JOURNAL_RULE_##name)

/* Rules that another one covers are switched off together with it. features: what the rule is about; 0: any. */
static const struct without {
    const char *name;
    uint32_t off;
    unsigned features;
    bool covered; /* alone it is harmless: nothing may be found */
} withouts[] = {
    {"CUMUL", OFF(CUMUL), 0, false},
    {"CUT", OFF(CUT), F_RECREATE, false},
    {"VHOLD", OFF(VHOLD), 0, false},
    {"VREPLAY", OFF(VREPLAY), 0, false},
    {"LOGICAL", OFF(LOGICAL), 0, false},
    {"OLDEND", OFF(OLDEND), 0, false},
    {"HOLDFIRST", OFF(HOLDFIRST), 0, false},
    {"GLOBREL", OFF(GLOBREL), 0, false},
    {"SYNCREC", OFF(SYNCREC), 0, false},
    {"STRICTJ", OFF(STRICTJ), 0, false},
    {"CKPT", OFF(CKPT), F_CHECKPOINT, false},
    {"RET", OFF(RET), F_TRIM, false},
    {"GENIGN", OFF(GENIGN), F_RECREATE, false},
    {"TOPIC", OFF(TOPIC), F_RECREATE, false},
    {"CNT", OFF(CNT), F_GROW, false},
    {"ATOMPUB", OFF(ATOMPUB), 0, false},
    {"CATCHUP", OFF(CATCHUP), F_GROW, false},
    {"RELATION", OFF(RELATION), F_DDL, false},
    {"RELSYNC", OFF(RELSYNC), F_DDL, false},
    {"RELKEEP", OFF(RELKEEP), F_DDL, false},
    {"RELPOS", OFF(RELPOS), F_DDL, false},
    {"RELGONE", OFF(RELGONE), F_DDL, false},
    {"SNAPBEGIN", OFF(SNAPBEGIN), F_SNAPSHOT, false},
    {"SNAPCUT", OFF(SNAPCUT), F_SNAPSHOT, false},
    {"SNAPALONE", OFF(SNAPALONE), F_SNAPSHOT, false},
    {"SNAPDONE", OFF(SNAPDONE), F_SNAPSHOT, false},
    {"SEQCHK", OFF(SEQCHK), 0, true},
    {"CLOSED", OFF(CLOSED), F_SNAPSHOT, false}, /* the cut of a snapshot would take what came before it */
    {"CLOSED", OFF(CLOSED), F_CHECKPOINT, true},
    {"SEQCHK+CLOSED", OFF(SEQCHK) | OFF(CLOSED), F_CHECKPOINT, false},
    {"SKIPSEQ", OFF(SKIPSEQ), 0, true},
    {"SKIPSEQ+OLDEND+LOGICAL", OFF(SKIPSEQ) | OFF(OLDEND) | OFF(LOGICAL), 0, false},
    {"CUTSYNC", OFF(CUTSYNC), 0, true},
    {"CUTSYNC+SYNCREC", OFF(CUTSYNC) | OFF(SYNCREC), 0, false},
};

#define WITHOUT_HISTORIES_MAX 400000 /* the rarest rule needs some ten thousand */
#define COVERED_HISTORIES     3000

static int run_without(void)
{
    int failed = 0;

    for (uint32_t i = 0; i < countof(withouts); i++) {
        const struct without *w = &withouts[i];
        long max = w->covered ? COVERED_HISTORIES : WITHOUT_HISTORIES_MAX, s = 1;
        memset(violations, 0, sizeof violations);
        memset(violation_events, 0, sizeof violation_events);
        journal_rules = ~w->off;
        while (s <= max && violations_sum() == 0) history(s++, w->features);
        int found = -1;
        for (int v = 0; v < V_COUNT; v++)
            if (violations[v]) found = v;
        bool good = (found >= 0) != w->covered;
        if (!good) failed++;
        if (found >= 0)
            printf("%s without %-24s history %ld: %s\n", good ? "ok  " : "FAIL", w->name, s - 1,
                   violation_names[found]);
        else
            printf("%s without %-24s nothing in %ld histories%s\n", good ? "ok  " : "FAIL", w->name, max,
                   w->covered ? ", another rule covers it" : "");
    }
    journal_rules = UINT32_MAX;
    return failed;
}

static uint32_t rules_parse(char *names)
{
    static const char *const rule_names[] = {
#define RULE_NAME(name) #name,
        JOURNAL_RULES(RULE_NAME)};
    uint32_t off = 0;

    for (char *save, *word = strtok_r(names, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        uint32_t i = 0;
        while (i < countof(rule_names) && strcmp(rule_names[i], word) != 0) i++;
        if (i == countof(rule_names)) {
            fprintf(stderr, "no rule %s\n", word);
            exit(2);
        }
        off |= 1u << i;
    }
    return off;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"first", required_argument, NULL, 'f'},
                                            {"histories", required_argument, NULL, 'n'},
                                            {"off", required_argument, NULL, 'o'},
                                            {"features", required_argument, NULL, 'F'},
                                            {"without", no_argument, NULL, 'w'},
                                            {"trace", no_argument, NULL, 't'},
                                            {0}};
    long first = -1, histories = 5000;
    unsigned forced_features = 0;
    bool without = false;

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'f') first = atol(optarg);
        else if (c == 'n') histories = atol(optarg);
        else if (c == 'o') journal_rules = ~rules_parse(optarg);
        else if (c == 'F') forced_features = (unsigned)strtoul(optarg, NULL, 0);
        else if (c == 'w') without = true;
        else if (c == 't') trace = true;
        else return 2;
    }
    journal_file = xcalloc(JOURNAL, sizeof *journal_file);
    if (first < 0) first = (long)(time(NULL) % 1000000) * 1000;
    int r = without ? run_without() : run_histories(first, histories, forced_features);
    free(journal_file);
    return r ? 1 : 0;
}
