/* Race test of cdc/journal_store: what threads of several connectors, and the REST thread, do with the journals of all of them at
 * once. One recovers its journal again and again (journal_store_reload() reads the common log), one writes and has resting journals
 * copied forward, one takes and gives a journal that is being copied, one begins connectors, one resets and asks.
 * Checks: each call succeeds, no producer id is given twice, a position never goes back. */
#include "base/log.h"
#include "broker/broker.h"
#include "cdc/journal_store.h"

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define RELOADS      60
#define NEW_JOURNALS 60
#define COPIES       3
#define LOG_RECORDS  17000 /* more than the log keeps before it copies journals that rest */

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static struct broker *broker;
static struct journal_store *store;
static atomic_int workers_left;
static atomic_long taken;

static struct stored_journal *take(const char *name)
{
    struct stored_journal *stored;
    struct err err = ERR_NONE;

    if (journal_store_take(store, name, "p", &stored, &err) < 0) fprintf(stderr, "%s: %s\n", name, err.text), abort();
    return stored;
}

static struct stored_journal *take_with_position(const char *name)
{
    struct stored_journal *stored = take(name);

    if (!journal_has_position(stored->journal)) CHECK(journal_snapshot_end(stored->journal, 100) == 0);
    return stored;
}

static void *reload(void *arg)
{
    struct stored_journal *stored = take_with_position("reloads");
    struct err err = ERR_NONE;

    for (int i = 0; i < RELOADS; i++) {
        CHECK(journal_store_reload(store, stored, &err) == 0);
        CHECK(journal_position(stored->journal).whole_lsn == 100);
    }
    journal_store_give(store, stored);
    atomic_fetch_sub(&workers_left, 1);
    return NULL;
}

static void *copy(void *arg)
{
    struct stored_journal *runs = take("runs"), *rests = take_with_position("rests");
    uint8_t key[JOURNAL_KEY_BYTES];
    int64_t offset = 0;

    journal_store_give(store, rests);
    journal_key_write(key, JOURNAL_UNIT, 9999); /* of nobody */
    for (int i = 0; i < COPIES; i++) {
        for (int k = 0; k < LOG_RECORDS; k++)
            CHECK(journal_store_write(store, slice_make(key, sizeof key), SLICE("v"), &offset) == 0);
        journal_store_drop(store, runs, offset);
        (void)!journal_store_wants_checkpoint(store, runs);
    }
    journal_store_give(store, runs);
    atomic_fetch_sub(&workers_left, 1);
    return NULL;
}

static void *begin(void *arg)
{
    int64_t id_before = 0;

    for (int i = 0; i < NEW_JOURNALS; i++) {
        char name[16];
        snprintf(name, sizeof name, "new%d", i);
        struct stored_journal *stored = take_with_position(name);
        CHECK(stored->producer_id > id_before);
        id_before = stored->producer_id;
        journal_store_give(store, stored);
    }
    atomic_fetch_sub(&workers_left, 1);
    return NULL;
}

/* Until the workers are done. */
static void *take_and_give(void *arg)
{
    while (atomic_load(&workers_left)) {
        journal_store_give(store, take_with_position("rests"));
        atomic_fetch_add(&taken, 1);
    }
    return NULL;
}

static void *ask_and_reset(void *arg)
{
    uint64_t lsn, lsn_before = 0;
    struct source_offset offset;

    while (atomic_load(&workers_left)) {
        if (journal_store_position(store, "reloads", "p", &lsn, &offset)) {
            CHECK(lsn >= lsn_before);
            lsn_before = lsn;
        }
        int r = journal_store_reset(store, "new0", "p");
        CHECK(r == 0 || r == -ENOENT || r == -EBUSY);
    }
    return NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

int main(void)
{
    static void *(*const workers[])(void *) = {reload, copy, begin},
                                         *(*const others[])(void *) = {take_and_give, ask_and_reset};
    pthread_t threads[countof(workers) + countof(others)];
    struct broker_config *config = broker_config_new();
    char path[] = "/tmp/ottla-race-XXXXXX";
    struct err err = ERR_NONE;
    uint32_t count = 0;

    log_level_max = LOG_ERROR;
    CHECK(mkdtemp(path));
    CHECK(broker_config_set(config, "listeners", "PLAINTEXT://127.0.0.1:0", &err) == 0);
    CHECK(broker_config_set(config, "log.dirs", path, &err) == 0);
    CHECK(broker_open(config, &broker, &err) == 0);
    CHECK(broker_serve(broker, &err) == 0);
    store = journal_store_open(broker);
    journal_store_give(store, take_with_position("rests"));
    atomic_store(&workers_left, countof(workers));
    for (size_t i = 0; i < countof(workers); i++) CHECK(pthread_create(&threads[count++], NULL, workers[i], NULL) == 0);
    for (size_t i = 0; i < countof(others); i++) CHECK(pthread_create(&threads[count++], NULL, others[i], NULL) == 0);
    for (uint32_t i = 0; i < count; i++) pthread_join(threads[i], NULL);
    journal_store_close(store);
    broker_stop(broker);
    broker_close(broker);
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    printf("%d reloads, %d new journals, %ld times taken and given\n", RELOADS, NEW_JOURNALS, atomic_load(&taken));
    return 0;
}
