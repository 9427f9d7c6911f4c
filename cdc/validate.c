/* cdc/validate.c: the checks of a posted configuration that need its database, with the texts that Debezium gives. */
#include "cdc/connector_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

static int plain_wait(void *arg, int fd, short events, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    int ready;

    do ready = poll(&p, 1, timeout_ms);
    while (ready < 0 && errno == EINTR);
    return ready < 0 ? -errno : ready == 0 ? -ETIMEDOUT : 0;
}

/* libpq's text as the JDBC driver words it: the server's own message, or that nobody answers (libpq's words for it are the C
 * library's). */
static void jdbc_text(const struct pg_connector_config *config, const struct pg_error *err, char *ret_text, size_t size)
{
    if (err->sqlstate[0]) {
        snprintf(ret_text, size, "%s", err->text + err->server_at);
    } else if (strstr(err->text, strerror(ECONNREFUSED))) {
        snprintf(ret_text, size,
                 "Connection to %s:%d refused. Check that the hostname and port are correct and that the postmaster is "
                 "accepting TCP/IP connections.",
                 config->hostname, config->port);
    } else {
        snprintf(ret_text, size, "%s", err->text);
    }
}

static int check(const struct pg_connector_config *config, struct pg_error *err)
{
    static const struct pg_wait wait = {.wait = plain_wait};
    struct pg_params params = connector_params(config, false);
    struct pg_conn *c;

    int r = pg_conn_open(&params, &wait, &c, err);
    if (r < 0) return r;
    if (config->snapshot_mode != SNAPSHOT_INITIAL_ONLY) r = slot_check_server(c, err);
    pg_conn_close(c);
    return r;
}

uint32_t cdc_connector_validate(const struct cdc_pair *pairs, uint32_t pairs_count, struct cdc_problem *ret_problems,
                                uint32_t problems_max)
{
    struct pg_connector_config *config;
    struct pg_error err = {0};
    struct err why;
    char text[400];

    if (problems_max == 0 || connector_config_parse(pairs, pairs_count, NULL, &config, &why) < 0)
        return 0; /* the other checks tell */
    int r = check(config, &err);
    if (r < 0) {
        jdbc_text(config, &err, text, sizeof text);
        snprintf(ret_problems->name, sizeof ret_problems->name, "database.hostname");
        snprintf(ret_problems->text, sizeof ret_problems->text, "Error while validating connector config: %s", text);
    }
    connector_config_free(config);
    return r < 0;
}
