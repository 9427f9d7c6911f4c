/* tools/ottla/client_topics.c: ottla topics: lists, describes, creates, deletes topics. Threads: one. */
#include "tools/ottla/client.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "usage: ottla topics [options] [list]\n"
    "       ottla topics [options] describe [TOPIC...]\n"
    "       ottla topics [options] create TOPIC...\n"
    "       ottla topics [options] delete TOPIC...\n"
    "\n"
    "  -a, --all                          list internal topics too\n"
    "  -p, --partitions=N                 of topics that are created; default: as the broker is configured\n"
    "  -c, --config=NAME=VALUE            of topics that are created (retention.ms, cleanup.policy, ...), several "
    "times\n" CLIENT_OPTIONS_HELP;

#define TOPICS_MAX     1000 /* in one command */
#define CONFIGS_MAX    100
#define PARTITIONS_MAX 100000

struct settings {
    bool all;
    int partitions; /* -1: the broker's default */
    char *configs[CONFIGS_MAX][2];
    int configs_count;
};

static bool is_internal(const char *topic)
{
    return strncmp(topic, "__", 2) == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct rd_kafka_metadata_topic *)a)->topic,
                  ((const struct rd_kafka_metadata_topic *)b)->topic);
}

static int list(struct client *c, const struct settings *s)
{
    rd_kafka_t *rk = client_open(c, RD_KAFKA_PRODUCER);
    const struct rd_kafka_metadata *m = client_metadata(c, rk, NULL);
    qsort(m->topics, (size_t)m->topic_cnt, sizeof *m->topics, by_name);
    for (int i = 0; i < m->topic_cnt; i++)
        if (s->all || !is_internal(m->topics[i].topic))
            printf("%-50s %d partition%s\n", m->topics[i].topic, m->topics[i].partition_cnt,
                   m->topics[i].partition_cnt == 1 ? "" : "s");
    rd_kafka_metadata_destroy(m);
    rd_kafka_destroy(rk);
    return 0;
}

static void describe_configs(struct client *c, rd_kafka_t *rk, const char *topic)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    rd_kafka_DescribeConfigs(rk, &resource, 1, NULL, queue);
    rd_kafka_event_t *event = client_admin_wait(c, queue, topic);
    size_t count, entries_count;
    const rd_kafka_ConfigResource_t **resources =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &count);
    for (size_t i = 0; i < count; i++) {
        const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resources[i], &entries_count);
        for (size_t j = 0; j < entries_count; j++) {
            if (rd_kafka_ConfigEntry_source(entries[j]) != RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG) continue;
            const char *value = rd_kafka_ConfigEntry_value(entries[j]);
            printf("  config %s=%s\n", rd_kafka_ConfigEntry_name(entries[j]), value ? value : "");
        }
    }
    rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy(resource);
    rd_kafka_queue_destroy(queue);
}

static void describe_one(struct client *c, rd_kafka_t *rk, const struct rd_kafka_metadata_topic *t)
{
    if (t->err) client_fail(c, "%s: %s", t->topic, rd_kafka_err2str(t->err));
    printf("%s\n", t->topic);
    for (int i = 0; i < t->partition_cnt; i++) {
        const struct rd_kafka_metadata_partition *p = &t->partitions[i];
        int64_t low = -1, high = -1;
        printf("  partition %d leader %d", p->id, p->leader);
        rd_kafka_resp_err_t error =
            rd_kafka_query_watermark_offsets(rk, t->topic, p->id, &low, &high, CLIENT_TIMEOUT_MS);
        if (error) printf(" offsets unknown: %s\n", rd_kafka_err2str(error));
        else printf(" offsets %" PRId64 "..%" PRId64 " (%" PRId64 ")\n", low, high, high - low);
    }
    describe_configs(c, rk, t->topic);
}

static int describe(struct client *c, const struct settings *s, char **names, int names_count)
{
    rd_kafka_t *rk = client_open(c, RD_KAFKA_PRODUCER);
    const struct rd_kafka_metadata *m = client_metadata(c, rk, NULL);
    qsort(m->topics, (size_t)m->topic_cnt, sizeof *m->topics, by_name);
    for (int n = 0; n < names_count; n++) {
        /* Looked for among all: asking for one that is missing may create it. */
        const struct rd_kafka_metadata_topic *found = NULL;
        for (int i = 0; i < m->topic_cnt; i++)
            if (strcmp(m->topics[i].topic, names[n]) == 0) found = &m->topics[i];
        if (!found) client_fail(c, "there is no topic %s", names[n]);
        describe_one(c, rk, found);
    }
    for (int i = 0; i < m->topic_cnt && names_count == 0; i++)
        if (s->all || !is_internal(m->topics[i].topic)) describe_one(c, rk, &m->topics[i]);
    rd_kafka_metadata_destroy(m);
    rd_kafka_destroy(rk);
    return 0;
}

/* Prints what became of each topic. Returns how many failed. */
static int print_results(const struct client *c, const rd_kafka_topic_result_t **results, size_t count,
                         const char *done)
{
    int failed = 0;
    for (size_t i = 0; i < count; i++) {
        const char *name = rd_kafka_topic_result_name(results[i]);
        rd_kafka_resp_err_t error = rd_kafka_topic_result_error(results[i]);
        const char *text = rd_kafka_topic_result_error_string(results[i]);
        if (error) fprintf(stderr, "ottla %s: %s: %s\n", c->name, name, text ? text : rd_kafka_err2str(error));
        else printf("%s %s\n", done, name);
        failed += error != 0;
    }
    return failed;
}

static int create(struct client *c, const struct settings *s, char **names, int names_count)
{
    rd_kafka_t *rk = client_open(c, RD_KAFKA_PRODUCER);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_NewTopic_t *topics[TOPICS_MAX];
    char text[300];
    for (int i = 0; i < names_count; i++) {
        topics[i] = rd_kafka_NewTopic_new(names[i], s->partitions, -1, text, sizeof text);
        if (!topics[i]) client_fail(c, "%s: %s", names[i], text);
        for (int j = 0; j < s->configs_count; j++)
            rd_kafka_NewTopic_set_config(topics[i], s->configs[j][0], s->configs[j][1]);
    }
    rd_kafka_CreateTopics(rk, topics, (size_t)names_count, NULL, queue);
    rd_kafka_event_t *event = client_admin_wait(c, queue, "create");
    size_t count;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    int failed = print_results(c, results, count, "created");
    rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy_array(topics, (size_t)names_count);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    return failed ? 1 : 0;
}

static int delete (struct client *c, char **names, int names_count)
{
    rd_kafka_t *rk = client_open(c, RD_KAFKA_PRODUCER);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_DeleteTopic_t *topics[TOPICS_MAX];
    for (int i = 0; i < names_count; i++) topics[i] = rd_kafka_DeleteTopic_new(names[i]);
    rd_kafka_DeleteTopics(rk, topics, (size_t)names_count, NULL, queue);
    rd_kafka_event_t *event = client_admin_wait(c, queue, "delete");
    size_t count;
    const rd_kafka_topic_result_t **results =
        rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
    int failed = print_results(c, results, count, "deleted");
    rd_kafka_event_destroy(event);
    rd_kafka_DeleteTopic_destroy_array(topics, (size_t)names_count);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    return failed ? 1 : 0;
}

int client_topics(int argc, char **argv)
{
    static const struct option options[] = {{"all", no_argument, NULL, 'a'},
                                            {"partitions", required_argument, NULL, 'p'},
                                            {"config", required_argument, NULL, 'c'},
                                            CLIENT_OPTIONS_LONG,
                                            {NULL, 0, NULL, 0}};
    struct client c = client_new("topics");
    struct settings s = {.partitions = -1};
    int option;
    while ((option = getopt_long(argc, argv, "ap:c:" CLIENT_OPTIONS_SHORT, options, NULL)) != -1) {
        switch (option) {
        case 'a': s.all = true; break;
        case 'p': s.partitions = (int)client_number(&c, optarg, "--partitions", 1, PARTITIONS_MAX); break;
        case 'c':
            if (s.configs_count == CONFIGS_MAX) client_fail_usage(&c, "too many --config");
            s.configs[s.configs_count][1] = client_split(optarg);
            s.configs[s.configs_count][0] = optarg;
            if (!s.configs[s.configs_count++][1])
                client_fail_usage(&c, "--config takes NAME=VALUE, not \"%s\"", optarg);
            break;
        default: client_option(&c, option, usage);
        }
    }
    const char *action = optind < argc ? argv[optind++] : "list";
    char **names = argv + optind;
    int names_count = argc - optind;
    if (names_count > TOPICS_MAX) client_fail_usage(&c, "more than %d topics", TOPICS_MAX);
    if (strcmp(action, "list") == 0) return list(&c, &s);
    if (strcmp(action, "describe") == 0) return describe(&c, &s, names, names_count);
    if (strcmp(action, "create") != 0 && strcmp(action, "delete") != 0)
        client_fail_usage(&c, "there is no action \"%s\"", action);
    if (names_count == 0) client_fail_usage(&c, "%s needs the name of a topic", action);
    return strcmp(action, "create") == 0 ? create(&c, &s, names, names_count) : delete (&c, names, names_count);
}
