/* tools/ottla/client_consume.c: ottla consume: records of a topic on standard output, from where the options say. Threads: one
 * (librdkafka has its own). */
#include "base/json_writer.h"
#include "tools/ottla/client.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "usage: ottla consume [options] TOPIC...\n"
    "Prints records as they come, one per line, until it is stopped.\n"
    "\n"
    "  -g, --group=NAME                   as a member of this consumer group, which keeps the position;\n"
    "                                     else all partitions are read and nothing is kept\n"
    "  -o, --offset=WHERE                 beginning, end, a number, -N (the last N of each partition) or\n"
    "                                     @MILLISECONDS (a timestamp); default: end, in a group what it has committed\n"
    "  -p, --partition=N                  this one only (not in a group)\n"
    "  -n, --count=N                      stop after N records\n"
    "  -e, --exit                         stop at the end of all partitions\n"
    "  -f, --format=FORMAT                %t topic, %p partition, %o offset, %T timestamp, %k key, %v value, %h "
    "headers,\n"
    "                                     %K and %V their lengths, %%, \\n, \\t; default: %v\\n\n"
    "  -J, --json                         each record as a JSON object\n" CLIENT_OPTIONS_HELP;

#define POLL_MS           100
#define END_DEFAULT_COUNT (-1)

struct consumer {
    struct client client;
    rd_kafka_t *rk;
    const char *group;    /* NULL: none */
    int64_t offset;       /* as librdkafka says it: RD_KAFKA_OFFSET_BEGINNING ... */
    int64_t timestamp_ms; /* -1: none asked for */
    bool offset_given;
    int32_t partition;  /* -1: all */
    int64_t count_left; /* -1: no limit */
    bool exit_at_end;
    bool json;
    const char *format;
    rd_kafka_topic_partition_list_t *assigned; /* NULL: nothing yet; `opaque` is c while a partition is at its end */
    int ended_count;
    struct bytes line;
};

static void parse_offset(struct consumer *c, const char *text)
{
    c->offset_given = true;
    if (strcmp(text, "beginning") == 0) {
        c->offset = RD_KAFKA_OFFSET_BEGINNING;
    } else if (strcmp(text, "end") == 0) {
        c->offset = RD_KAFKA_OFFSET_END;
    } else if (text[0] == '@') {
        c->timestamp_ms = client_number(&c->client, text + 1, "the timestamp", 0, INT64_MAX);
    } else if (text[0] == '-') {
        c->offset = RD_KAFKA_OFFSET_TAIL(client_number(&c->client, text + 1, "--offset", 1, INT32_MAX));
    } else {
        c->offset = client_number(&c->client, text, "--offset", 0, INT64_MAX);
    }
}

/* -- printing -- */

static struct slice slice_of_pointer(const void *ptr, size_t len)
{
    return ptr ? slice_make(ptr, (uint32_t)len) : SLICE_NULL;
}

static void write_headers(struct bytes *out, const rd_kafka_message_t *m, bool json)
{
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t size;
    if (rd_kafka_message_headers(m, &headers)) return;
    for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == 0; i++) {
        if (i) bytes_append_byte(out, ',');
        if (json) {
            bytes_append_text(out, "{\"key\":");
            json_write_string(out, slice_of(name));
            bytes_append_text(out, ",\"value\":");
            json_write_string(out, slice_of_pointer(value, size));
            bytes_append_byte(out, '}');
        } else {
            bytes_append_text(out, name);
            bytes_append_byte(out, '=');
            bytes_append(out, value, value ? size : 0);
        }
    }
}

static void write_json(struct bytes *out, const rd_kafka_message_t *m)
{
    bytes_append_text(out, "{\"topic\":");
    json_write_string(out, slice_of(rd_kafka_topic_name(m->rkt)));
    bytes_append_text(out, ",\"partition\":");
    json_write_int64(out, m->partition);
    bytes_append_text(out, ",\"offset\":");
    json_write_int64(out, m->offset);
    bytes_append_text(out, ",\"timestamp\":");
    json_write_int64(out, rd_kafka_message_timestamp(m, NULL));
    bytes_append_text(out, ",\"headers\":[");
    write_headers(out, m, true);
    bytes_append_text(out, "],\"key\":");
    json_write_string(out, slice_of_pointer(m->key, m->key_len));
    bytes_append_text(out, ",\"value\":");
    json_write_string(out, slice_of_pointer(m->payload, m->len));
    bytes_append_text(out, "}\n");
}

static void write_formatted(struct bytes *out, const rd_kafka_message_t *m, const char *format)
{
    for (const char *f = format; *f; f++) {
        if (*f == '\\' && f[1]) {
            f++;
            bytes_append_byte(out, *f == 'n' ? '\n' : *f == 't' ? '\t' : (uint8_t)*f);
            continue;
        }
        if (*f != '%') {
            bytes_append_byte(out, (uint8_t)*f);
            continue;
        }
        switch (*++f) {
        case 't': bytes_append_text(out, rd_kafka_topic_name(m->rkt)); break;
        case 'p': json_write_int64(out, m->partition); break;
        case 'o': json_write_int64(out, m->offset); break;
        case 'T': json_write_int64(out, rd_kafka_message_timestamp(m, NULL)); break;
        case 'k': bytes_append(out, m->key, m->key ? m->key_len : 0); break;
        case 'v': bytes_append(out, m->payload, m->payload ? m->len : 0); break;
        case 'K': json_write_int64(out, m->key ? (int64_t)m->key_len : -1); break;
        case 'V': json_write_int64(out, m->payload ? (int64_t)m->len : -1); break;
        case 'h': write_headers(out, m, false); break;
        default: bytes_append_byte(out, '%'); break; /* "%%" */
        }
    }
}

static void check_format(const struct consumer *c)
{
    for (const char *f = c->format; *f; f++) {
        if (*f == '\\' && f[1]) {
            f++;
        } else if (*f == '%' && (!*++f || !strchr("tpoTkvKVh%", *f))) {
            client_fail_usage(&c->client, "--format knows no %%%c", *f ? *f : ' ');
        }
    }
}

static void print_record(struct consumer *c, const rd_kafka_message_t *m)
{
    bytes_reset(&c->line);
    if (c->json) write_json(&c->line, m);
    else write_formatted(&c->line, m, c->format);
    if (c->line.failed) client_fail(&c->client, "no memory for a record");
    fwrite(c->line.ptr, 1, c->line.len, stdout);
}

/* -- reading -- */

static void set_assigned(struct consumer *c, const rd_kafka_topic_partition_list_t *list)
{
    if (c->assigned) rd_kafka_topic_partition_list_destroy(c->assigned);
    c->assigned = list ? rd_kafka_topic_partition_list_copy(list) : NULL;
    c->ended_count = 0;
    for (int i = 0; c->assigned && i < c->assigned->cnt; i++) c->assigned->elems[i].opaque = NULL;
}

/* A partition is at its end each time that it was read up to there, and no more when a record follows. */
static void note_end(struct consumer *c, const rd_kafka_message_t *m, bool ended)
{
    if (!c->assigned || (!ended && c->ended_count == 0)) return;
    rd_kafka_topic_partition_t *p =
        rd_kafka_topic_partition_list_find(c->assigned, rd_kafka_topic_name(m->rkt), m->partition);
    if (!p || (p->opaque != NULL) == ended) return;
    p->opaque = ended ? c : NULL;
    c->ended_count += ended ? 1 : -1;
}

static bool all_ended(const struct consumer *c)
{
    return c->assigned && c->ended_count == c->assigned->cnt;
}

/* All partitions of the topics, each where reading begins. */
static void assign(struct consumer *c, char **topics, int topics_count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(topics_count);
    for (int t = 0; t < topics_count; t++) {
        const struct rd_kafka_metadata *m = client_metadata(&c->client, c->rk, topics[t]);
        if (m->topic_cnt != 1 || m->topics[0].err)
            client_fail(&c->client, "%s: %s", topics[t],
                        m->topic_cnt == 1 ? rd_kafka_err2str(m->topics[0].err) : "no answer");
        for (int i = 0; i < m->topics[0].partition_cnt; i++) {
            int32_t id = m->topics[0].partitions[i].id;
            if (c->partition < 0 || c->partition == id)
                rd_kafka_topic_partition_list_add(list, topics[t], id)->offset =
                    c->timestamp_ms >= 0 ? c->timestamp_ms : c->offset;
        }
        rd_kafka_metadata_destroy(m);
    }
    if (list->cnt == 0) client_fail(&c->client, "there is no such partition");
    if (c->timestamp_ms >= 0) {
        rd_kafka_resp_err_t error = rd_kafka_offsets_for_times(c->rk, list, CLIENT_TIMEOUT_MS);
        if (error) client_fail(&c->client, "cannot find the timestamp: %s", rd_kafka_err2str(error));
    }
    rd_kafka_resp_err_t error = rd_kafka_assign(c->rk, list);
    if (error) client_fail(&c->client, "%s", rd_kafka_err2str(error));
    set_assigned(c, list);
    rd_kafka_topic_partition_list_destroy(list);
}

static void subscribe(struct consumer *c, char **topics, int topics_count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(topics_count);
    for (int t = 0; t < topics_count; t++) rd_kafka_topic_partition_list_add(list, topics[t], RD_KAFKA_PARTITION_UA);
    rd_kafka_metadata_destroy(client_metadata(&c->client, c->rk, NULL)); /* fails at once when there is no broker */
    rd_kafka_resp_err_t error = rd_kafka_subscribe(c->rk, list);
    if (error) client_fail(&c->client, "%s", rd_kafka_err2str(error));
    rd_kafka_topic_partition_list_destroy(list);
}

static void rebalanced(rd_kafka_t *rk, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t *partitions,
                       void *arg)
{
    struct consumer *c = arg;
    bool assigned = error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    set_assigned(c, assigned ? partitions : NULL);
    rd_kafka_assign(rk, assigned ? partitions : NULL);
}

static void read_records(struct consumer *c)
{
    while (!client_stopped && c->count_left != 0) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(c->rk, POLL_MS);
        if (!m) {
            fflush(stdout); /* whoever reads our output shall not wait for a full buffer */
            continue;
        }
        rd_kafka_resp_err_t error = m->err;
        if (c->exit_at_end && m->rkt) note_end(c, m, error == RD_KAFKA_RESP_ERR__PARTITION_EOF);
        if (!error) {
            print_record(c, m);
            if (c->count_left > 0) c->count_left--;
        } else if (error != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            client_fail(&c->client, "%s", rd_kafka_message_errstr(m));
        }
        rd_kafka_message_destroy(m);
        if (error == RD_KAFKA_RESP_ERR__PARTITION_EOF && c->exit_at_end && all_ended(c)) break;
        if (ferror(stdout)) break; /* nobody reads any more */
    }
}

int client_consume(int argc, char **argv)
{
    static const struct option options[] = {{"group", required_argument, NULL, 'g'},
                                            {"offset", required_argument, NULL, 'o'},
                                            {"partition", required_argument, NULL, 'p'},
                                            {"count", required_argument, NULL, 'n'},
                                            {"exit", no_argument, NULL, 'e'},
                                            {"format", required_argument, NULL, 'f'},
                                            {"json", no_argument, NULL, 'J'},
                                            CLIENT_OPTIONS_LONG,
                                            {NULL, 0, NULL, 0}};
    static struct consumer c;
    c.client = client_new("consume");
    c.offset = RD_KAFKA_OFFSET_END;
    c.timestamp_ms = c.partition = -1;
    c.count_left = END_DEFAULT_COUNT;
    c.format = "%v\\n";
    int option;
    while ((option = getopt_long(argc, argv, "g:o:p:n:ef:J" CLIENT_OPTIONS_SHORT, options, NULL)) != -1) {
        switch (option) {
        case 'g': c.group = optarg; break;
        case 'o': parse_offset(&c, optarg); break;
        case 'p': c.partition = (int32_t)client_number(&c.client, optarg, "--partition", 0, INT32_MAX); break;
        case 'n': c.count_left = client_number(&c.client, optarg, "--count", 1, INT64_MAX); break;
        case 'e': c.exit_at_end = true; break;
        case 'f': c.format = optarg; break;
        case 'J': c.json = true; break;
        default: client_option(&c.client, option, usage);
        }
    }
    if (optind == argc) client_fail_usage(&c.client, "which topic?");
    check_format(&c);
    if (c.group && c.partition >= 0) client_fail_usage(&c.client, "a group chooses its partitions itself");
    bool from_beginning = c.offset == RD_KAFKA_OFFSET_BEGINNING;
    if (c.group && c.offset_given && !from_beginning && c.offset != RD_KAFKA_OFFSET_END)
        client_fail_usage(&c.client, "in a group --offset is beginning or end, and counts where nothing is committed");

    client_set(&c.client, "group.id", c.group ? c.group : "ottla-consume");
    client_set(&c.client, "enable.auto.commit", c.group ? "true" : "false");
    client_set(&c.client, "auto.offset.reset", from_beginning ? "earliest" : "latest");
    client_set(&c.client, "enable.partition.eof", "true");
    rd_kafka_conf_set_rebalance_cb(c.client.conf, rebalanced);
    rd_kafka_conf_set_opaque(c.client.conf, &c);
    c.rk = client_open(&c.client, RD_KAFKA_CONSUMER);
    rd_kafka_poll_set_consumer(c.rk);
    client_catch_signals();
    if (c.group) subscribe(&c, argv + optind, argc - optind);
    else assign(&c, argv + optind, argc - optind);
    read_records(&c);
    bool failed = fflush(stdout) || ferror(stdout);
    if (failed && errno != EPIPE && !client_stopped) client_fail(&c.client, "cannot write: %s", strerror(errno));
    rd_kafka_consumer_close(c.rk);
    set_assigned(&c, NULL);
    rd_kafka_destroy(c.rk);
    bytes_done(&c.line);
    return 0;
}
