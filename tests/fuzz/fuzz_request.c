/* Whole requests against a running broker in this process: any key, any version, any bytes behind a correct frame
 * length. A request of the fuzzer is followed by one that must be answered, so that a broker that stopped working is
 * noticed; crashes and sanitizer reports of its threads end the run by themselves. Seeds: tests/fuzz/seeds_requests.py.
 * */
#include "base/log.h"
#include "broker/broker.h"
#include "tests/lib/kafka_client.h"

#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RUNS_PER_BROKER 2000 /* then a new one, so that what the fuzzer created does not fill the disk */
#define ANSWER_WAIT_MS  3    /* for the fuzzer's own request: it may have none, or wait for records */

static struct broker *broker;
static char folder[64];
static int runs;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

static void stop(void)
{
    broker_stop(broker);
    broker_close(broker);
    broker = NULL;
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void start(void)
{
    struct broker_config *config = broker_config_new();
    struct err err = ERR_NONE;

    log_level_max = LOG_ERROR;
    snprintf(folder, sizeof folder, "/tmp/ottla-fuzz-XXXXXX");
    assert(mkdtemp(folder));
    assert(broker_config_set(config, "listeners", "PLAINTEXT://127.0.0.1:0", &err) == 0);
    assert(broker_config_set(config, "log.dirs", folder, &err) == 0);
    assert(broker_config_set(config, "offsets.topic.num.partitions", "2", &err) == 0);
    assert(broker_open(config, &broker, &err) == 0);
    assert(broker_serve(broker, &err) == 0);
    assert(broker_topic_create(broker, "t", 2, NULL, 0, &err) == KAFKA_NONE);
}

static bool lives(void)
{
    struct kafka_client c;
    struct metadata_request in;
    struct metadata_response out;

    if (!kafka_client_open(&c, broker_address(broker))) return false;
    metadata_request_init(&in);
    in.topics_count = -1;
    bool ok = kafka_client_call(&c, KAFKA_API_METADATA, 9, &in, &out);
    kafka_client_close(&c);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kafka_client c;
    uint8_t length[4];
    uint8_t answer[4096];

    if (runs++ % RUNS_PER_BROKER == 0) {
        if (broker) stop();
        else atexit(stop);
        start();
    }
    if (size > 60000) return 0;
    be32_store(length, (uint32_t)size);
    assert(kafka_client_open(&c, broker_address(broker)));
    /* Closed with a reset: thousands of connections a second must not wait in the kernel. */
    setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
    if (send(c.fd, length, 4, MSG_NOSIGNAL | MSG_MORE) == 4 && send(c.fd, data, size, MSG_NOSIGNAL) == (ssize_t)size) {
        struct pollfd p = {.fd = c.fd, .events = POLLIN};
        while (poll(&p, 1, ANSWER_WAIT_MS) > 0 && recv(c.fd, answer, sizeof answer, 0) > 0) continue;
    }
    kafka_client_close(&c);
    if (runs % 64 == 0) assert(lives());
    return 0;
}
