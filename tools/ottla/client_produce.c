/* tools/ottla/client_produce.c: ottla produce: lines of standard input as records of a topic. Threads: one. */
#include "base/bytes.h"
#include "tools/ottla/client.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "usage: ottla produce [options] TOPIC [FILE...]\n"
    "Sends each line of the files, or of standard input, as one record, and waits until all are acknowledged.\n"
    "\n"
    "  -k, --key-separator=TEXT           what stands in front of TEXT in a line is the record's key\n"
    "  -H, --header=NAME=VALUE            a header of every record, several times\n"
    "  -p, --partition=N                  default: by the key's hash, as Kafka's Java client does\n"
    "  -z, --codec=NAME                   none, gzip, snappy, lz4, zstd\n"
    "  -n, --null=TEXT                    a value of TEXT is sent as null (a tombstone)\n"
    "  -w, --whole                        each file is one record, not its lines\n" CLIENT_OPTIONS_HELP;

#define HEADERS_MAX   100
#define QUEUE_POLL_MS 100
#define FLUSH_POLL_MS 200
#define READ_BYTES    65536

struct producer {
    struct client client;
    rd_kafka_t *rk;
    const char *topic;
    const char *key_separator; /* NULL: records have no key */
    const char *null_text;     /* NULL: none stands for null */
    int32_t partition;
    bool whole;
    char *headers[HEADERS_MAX][2];
    int headers_count;
    uint64_t sent, failed;
};

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *arg)
{
    struct producer *p = arg;
    if (!m->err) return;
    if (p->failed++ == 0) fprintf(stderr, "ottla produce: %s: %s\n", p->topic, rd_kafka_err2str(m->err));
}

static void send_record(struct producer *p, char *text, size_t len)
{
    char *key = NULL, *value = text;
    size_t key_len = 0, value_len = len;
    char *separator = p->key_separator ? memmem(text, len, p->key_separator, strlen(p->key_separator)) : NULL;
    if (separator) {
        key = text;
        key_len = (size_t)(separator - text);
        value = separator + strlen(p->key_separator);
        value_len = len - (size_t)(value - text);
    }
    if (p->null_text && strlen(p->null_text) == value_len && memcmp(p->null_text, value, value_len) == 0) value = NULL;

    for (;;) {
        /* Made anew for each try: a record that was taken owns them. */
        rd_kafka_headers_t *headers = rd_kafka_headers_new((size_t)p->headers_count);
        for (int i = 0; i < p->headers_count; i++)
            rd_kafka_header_add(headers, p->headers[i][0], -1, p->headers[i][1], -1);
        rd_kafka_resp_err_t error =
            rd_kafka_producev(p->rk, RD_KAFKA_V_TOPIC(p->topic), RD_KAFKA_V_PARTITION(p->partition),
                              RD_KAFKA_V_KEY(key, key_len), RD_KAFKA_V_VALUE(value, value ? value_len : 0),
                              RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        if (!error) break;
        rd_kafka_headers_destroy(headers);
        if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            client_fail(&p->client, "%s: %s", p->topic, rd_kafka_err2str(error));
        rd_kafka_poll(p->rk, QUEUE_POLL_MS);
    }
    p->sent++;
    rd_kafka_poll(p->rk, 0);
}

static void send_lines(struct producer *p, FILE *in)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t n;
    while (!client_stopped && p->failed == 0 && (n = getline(&line, &size, in)) >= 0) {
        if (n && line[n - 1] == '\n') n--;
        send_record(p, line, (size_t)n);
    }
    free(line);
}

static void send_whole(struct producer *p, FILE *in)
{
    struct bytes content = {0};
    size_t n;
    do {
        uint8_t *room = bytes_room(&content, READ_BYTES);
        if (!room) client_fail(&p->client, "no memory for the file, or more than 2 GiB");
        n = fread(room, 1, READ_BYTES, in);
        content.len += (uint32_t)n;
    } while (n);
    send_record(p, (char *)content.ptr, content.len);
    bytes_done(&content);
}

static void send_file(struct producer *p, FILE *in, const char *name)
{
    if (p->whole) send_whole(p, in);
    else send_lines(p, in);
    if (ferror(in) && !client_stopped) client_fail(&p->client, "%s: %s", name, strerror(errno));
}

static void take_header(struct producer *p, char *pair)
{
    if (p->headers_count == HEADERS_MAX) client_fail_usage(&p->client, "too many headers");
    p->headers[p->headers_count][1] = client_split(pair);
    p->headers[p->headers_count][0] = pair;
    if (!p->headers[p->headers_count++][1])
        client_fail_usage(&p->client, "--header takes NAME=VALUE, not \"%s\"", pair);
}

int client_produce(int argc, char **argv)
{
    static const struct option options[] = {{"key-separator", required_argument, NULL, 'k'},
                                            {"header", required_argument, NULL, 'H'},
                                            {"partition", required_argument, NULL, 'p'},
                                            {"codec", required_argument, NULL, 'z'},
                                            {"null", required_argument, NULL, 'n'},
                                            {"whole", no_argument, NULL, 'w'},
                                            CLIENT_OPTIONS_LONG,
                                            {NULL, 0, NULL, 0}};
    static struct producer p;
    p.client = client_new("produce");
    p.partition = RD_KAFKA_PARTITION_UA;
    client_set(&p.client, "partitioner", "murmur2_random");
    client_set(&p.client, "enable.idempotence", "true");
    client_set(&p.client, "linger.ms", "5");
    int option;
    while ((option = getopt_long(argc, argv, "k:H:p:z:n:w" CLIENT_OPTIONS_SHORT, options, NULL)) != -1) {
        switch (option) {
        case 'k':
            if (!*optarg) client_fail_usage(&p.client, "--key-separator is empty");
            p.key_separator = optarg;
            break;
        case 'H': take_header(&p, optarg); break;
        case 'p': p.partition = (int32_t)client_number(&p.client, optarg, "--partition", 0, INT32_MAX); break;
        case 'z': client_set(&p.client, "compression.codec", optarg); break;
        case 'n': p.null_text = optarg; break;
        case 'w': p.whole = true; break;
        default: client_option(&p.client, option, usage);
        }
    }
    if (optind == argc) client_fail_usage(&p.client, "which topic?");
    p.topic = argv[optind++];

    rd_kafka_conf_set_dr_msg_cb(p.client.conf, delivered);
    rd_kafka_conf_set_opaque(p.client.conf, &p);
    p.rk = client_open(&p.client, RD_KAFKA_PRODUCER);
    rd_kafka_metadata_destroy(client_metadata(&p.client, p.rk, p.topic)); /* fails at once when there is no broker */
    client_catch_signals();
    if (optind == argc) send_file(&p, stdin, "standard input");
    for (; optind < argc && !client_stopped; optind++) {
        FILE *in = fopen(argv[optind], "r");
        if (!in) client_fail(&p.client, "%s: %s", argv[optind], strerror(errno));
        send_file(&p, in, argv[optind]);
        fclose(in);
    }
    while (rd_kafka_flush(p.rk, FLUSH_POLL_MS) == RD_KAFKA_RESP_ERR__TIMED_OUT && p.failed == 0 && !client_stopped) {}
    uint64_t unsent = (uint64_t)rd_kafka_outq_len(p.rk);
    if (p.failed || unsent) {
        rd_kafka_purge(p.rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        client_fail(&p.client, "%" PRIu64 " of %" PRIu64 " records were not acknowledged", p.failed + unsent, p.sent);
    }
    fprintf(stderr, "%" PRIu64 " record%s acknowledged\n", p.sent, p.sent == 1 ? "" : "s");
    rd_kafka_destroy(p.rk);
    return 0;
}
