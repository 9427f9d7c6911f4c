/* tests/unit/connect/fake.h: a store in memory and a connector class without a database. */
#ifndef OTTLA_TEST_CONNECT_FAKE_H
#define OTTLA_TEST_CONNECT_FAKE_H

#include "connect/herder.h"
#include "connect/rest.h"

#include <pthread.h>

/* -- the store -- */

struct memory_store {
    struct connect_store store;
    pthread_mutex_t lock;
    struct connect_record *records;
    bool *own; /* .. written by put */
    uint32_t count;
    uint32_t durable_count; /* records below it were put durably or before such a one */
    bool fails;             /* every put answers -EIO */
};

void memory_store_init(struct memory_store *m);
void memory_store_done(struct memory_store *m);
/* Adds a record as it is: value may be anything. key NULL: a batch that cannot be decoded. */
void memory_store_add(struct memory_store *m, enum connect_topic topic, const char *key, const char *value);
/* The last value of key, to be freed; NULL: none or a tombstone. */
char *memory_store_get(struct memory_store *m, const char *key);

/* -- the class "test.FakeConnector", with the properties
 *   fake.level   HIGH or LOW, else a problem
 *   fake.start   "fail": start() refuses
 *   fake.remote  "refuse": check_remote() finds a problem; "hang": it waits for fake_release()
 *   fake.state   "fail": the task fails right after its start
 *   fake.secret  a PASSWORD
 *   fake.server  the partition; default the connector's name
 * An instance tells its state on a thread of its own. Its position is {"n":<starts so far>}. -- */

struct connector_class fake_class(void);
/* Instances that run; all starts so far; forgotten positions are none. */
int fake_running(void);
int fake_starts(void);
/* Makes the running instance of that name FAILED. */
void fake_fail(const char *name, const char *trace);
/* Ends every hanging check_remote(), now and later. */
void fake_release(void);
/* offsets_delete() waits for fake_release(), too. */
void fake_hang_offsets_delete(void);
/* How many wait in check_remote() or offsets_delete(). */
int fake_hanging(void);
/* From now on a position is what connect-offsets has, as after a restart; without it {"stored":"nothing"}. */
void fake_forget_event(void);

/* -- everything together -- */

struct fixture {
    struct memory_store store;
    struct connector_class class;
    struct herder_options options;
    struct herder *herder;
    struct rest rest;
    struct http_server_options http_options;
    struct http_server *http;
    int port;
};

void fixture_start(struct fixture *f);
/* The same over a store that the test has filled. */
void fixture_run(struct fixture *f);
/* Stops the herder and the server and starts them again over the same store. */
void fixture_restart(struct fixture *f);
void fixture_stop(struct fixture *f);

/* Waits for the connector's states, "CONNECTOR/TASK"; task "-": none; "none": no such status. */
bool state_becomes(struct fixture *f, const char *name, const char *states);

#endif
