/* tools/ottla/client_groups.c: ottla groups: lists, describes, resets and deletes consumer groups. Threads: one. */
#include "tools/ottla/client.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char usage[] = "usage: ottla groups [options] [list]\n"
                            "       ottla groups [options] describe GROUP...\n"
                            "       ottla groups [options] delete GROUP...\n"
                            "       ottla groups [options] reset GROUP TOPIC[:PARTITION] beginning|end|OFFSET\n"
                            "describe shows members, committed offsets and how far behind they are; reset sets the "
                            "committed offsets of a group\n"
                            "that has no members.\n"
                            "\n" CLIENT_OPTIONS_HELP;

#define GROUPS_MAX 1000 /* in one command */

static int list(struct client *c)
{
    rd_kafka_t *rk = client_open(c, RD_KAFKA_PRODUCER);
    rd_kafka_metadata_destroy(client_metadata(c, rk, NULL)); /* fails at once when there is no broker */
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_ListConsumerGroups(rk, NULL, queue);
    rd_kafka_event_t *event = client_admin_wait(c, queue, "list");
    const rd_kafka_ListConsumerGroups_result_t *result = rd_kafka_event_ListConsumerGroups_result(event);
    size_t count;
    const rd_kafka_ConsumerGroupListing_t **groups = rd_kafka_ListConsumerGroups_result_valid(result, &count);
    for (size_t i = 0; i < count; i++)
        printf("%-50s %s\n", rd_kafka_ConsumerGroupListing_group_id(groups[i]),
               rd_kafka_consumer_group_state_name(rd_kafka_ConsumerGroupListing_state(groups[i])));
    const rd_kafka_error_t **errors = rd_kafka_ListConsumerGroups_result_errors(result, &count);
    if (count) client_fail(c, "%s", rd_kafka_error_string(errors[0]));
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    return 0;
}

static void print_members(const rd_kafka_ConsumerGroupDescription_t *group)
{
    size_t count = rd_kafka_ConsumerGroupDescription_member_count(group);
    for (size_t i = 0; i < count; i++) {
        const rd_kafka_MemberDescription_t *m = rd_kafka_ConsumerGroupDescription_member(group, i);
        const rd_kafka_MemberAssignment_t *assignment = rd_kafka_MemberDescription_assignment(m);
        const rd_kafka_topic_partition_list_t *partitions =
            assignment ? rd_kafka_MemberAssignment_partitions(assignment) : NULL;
        printf("  member %s client %s host %s", rd_kafka_MemberDescription_consumer_id(m),
               rd_kafka_MemberDescription_client_id(m), rd_kafka_MemberDescription_host(m));
        for (int j = 0; partitions && j < partitions->cnt; j++)
            printf("%s%s-%d", j ? "," : " has ", partitions->elems[j].topic, partitions->elems[j].partition);
        putchar('\n');
    }
}

static void print_offsets(struct client *c, rd_kafka_t *rk, const char *group)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_ListConsumerGroupOffsets_t *request = rd_kafka_ListConsumerGroupOffsets_new(group, NULL);
    rd_kafka_ListConsumerGroupOffsets(rk, &request, 1, NULL, queue);
    rd_kafka_event_t *event = client_admin_wait(c, queue, group);
    size_t count;
    const rd_kafka_group_result_t **groups =
        rd_kafka_ListConsumerGroupOffsets_result_groups(rd_kafka_event_ListConsumerGroupOffsets_result(event), &count);
    for (size_t i = 0; i < count; i++) {
        const rd_kafka_error_t *error = rd_kafka_group_result_error(groups[i]);
        if (error) client_fail(c, "%s: %s", group, rd_kafka_error_string(error));
        const rd_kafka_topic_partition_list_t *partitions = rd_kafka_group_result_partitions(groups[i]);
        for (int j = 0; j < partitions->cnt; j++) {
            const rd_kafka_topic_partition_t *p = &partitions->elems[j];
            int64_t low, high;
            if (p->offset < 0) continue;
            printf("  %s-%d committed %" PRId64, p->topic, p->partition, p->offset);
            if (rd_kafka_query_watermark_offsets(rk, p->topic, p->partition, &low, &high, CLIENT_TIMEOUT_MS))
                puts(" end unknown");
            else printf(" end %" PRId64 " lag %" PRId64 "\n", high, high - p->offset);
        }
    }
    rd_kafka_event_destroy(event);
    rd_kafka_ListConsumerGroupOffsets_destroy(request);
    rd_kafka_queue_destroy(queue);
}

static int describe(struct client *c, char **names, int names_count)
{
    rd_kafka_t *rk = client_open(c, RD_KAFKA_PRODUCER);
    rd_kafka_metadata_destroy(client_metadata(c, rk, NULL));
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_DescribeConsumerGroups(rk, (const char **)names, (size_t)names_count, NULL, queue);
    rd_kafka_event_t *event = client_admin_wait(c, queue, "describe");
    size_t count;
    const rd_kafka_ConsumerGroupDescription_t **groups =
        rd_kafka_DescribeConsumerGroups_result_groups(rd_kafka_event_DescribeConsumerGroups_result(event), &count);
    for (size_t i = 0; i < count; i++) {
        const char *name = rd_kafka_ConsumerGroupDescription_group_id(groups[i]);
        const rd_kafka_error_t *error = rd_kafka_ConsumerGroupDescription_error(groups[i]);
        if (error) client_fail(c, "%s: %s", name, rd_kafka_error_string(error));
        printf("%s %s\n", name, rd_kafka_consumer_group_state_name(rd_kafka_ConsumerGroupDescription_state(groups[i])));
        print_members(groups[i]);
        print_offsets(c, rk, name);
    }
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    return 0;
}

static int print_results(const struct client *c, const rd_kafka_group_result_t **results, size_t count,
                         const char *done)
{
    int failed = 0;
    for (size_t i = 0; i < count; i++) {
        const char *name = rd_kafka_group_result_name(results[i]);
        const rd_kafka_error_t *error = rd_kafka_group_result_error(results[i]);
        const rd_kafka_topic_partition_list_t *partitions = rd_kafka_group_result_partitions(results[i]);
        if (error) fprintf(stderr, "ottla %s: %s: %s\n", c->name, name, rd_kafka_error_string(error));
        else printf("%s %s\n", done, name);
        failed += error != NULL;
        for (int j = 0; partitions && j < partitions->cnt; j++) {
            const rd_kafka_topic_partition_t *p = &partitions->elems[j];
            if (p->err)
                fprintf(stderr, "ottla %s: %s-%d: %s\n", c->name, p->topic, p->partition, rd_kafka_err2str(p->err));
            else printf("  %s-%d %" PRId64 "\n", p->topic, p->partition, p->offset);
            failed += p->err != 0;
        }
    }
    return failed;
}

static int delete (struct client *c, char **names, int names_count)
{
    rd_kafka_t *rk = client_open(c, RD_KAFKA_PRODUCER);
    rd_kafka_metadata_destroy(client_metadata(c, rk, NULL));
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_DeleteGroup_t *groups[GROUPS_MAX];
    for (int i = 0; i < names_count; i++) groups[i] = rd_kafka_DeleteGroup_new(names[i]);
    rd_kafka_DeleteGroups(rk, groups, (size_t)names_count, NULL, queue);
    rd_kafka_event_t *event = client_admin_wait(c, queue, "delete");
    size_t count;
    const rd_kafka_group_result_t **results =
        rd_kafka_DeleteGroups_result_groups(rd_kafka_event_DeleteGroups_result(event), &count);
    int failed = print_results(c, results, count, "deleted");
    rd_kafka_event_destroy(event);
    rd_kafka_DeleteGroup_destroy_array(groups, (size_t)names_count);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    return failed ? 1 : 0;
}

/* Offsets to commit: of all partitions of the topic, or of one. */
static rd_kafka_topic_partition_list_t *offsets_chosen(struct client *c, rd_kafka_t *rk, char *target,
                                                       const char *where)
{
    char *colon = strchr(target, ':');
    int64_t wanted = -1, only = -1;
    bool beginning = strcmp(where, "beginning") == 0, end = strcmp(where, "end") == 0;
    if (!beginning && !end) wanted = client_number(c, where, "the offset", 0, INT64_MAX);
    if (colon) {
        *colon = '\0';
        only = client_number(c, colon + 1, "the partition", 0, INT32_MAX);
    }
    const struct rd_kafka_metadata *m = client_metadata(c, rk, target);
    if (m->topic_cnt != 1 || m->topics[0].err)
        client_fail(c, "%s: %s", target, m->topic_cnt == 1 ? rd_kafka_err2str(m->topics[0].err) : "no answer");
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(m->topics[0].partition_cnt);
    for (int i = 0; i < m->topics[0].partition_cnt; i++) {
        int32_t id = m->topics[0].partitions[i].id;
        int64_t low, high;
        if (only >= 0 && only != id) continue;
        rd_kafka_resp_err_t error = rd_kafka_query_watermark_offsets(rk, target, id, &low, &high, CLIENT_TIMEOUT_MS);
        if (error) client_fail(c, "%s-%d: %s", target, id, rd_kafka_err2str(error));
        if (wanted > high) client_fail(c, "%s-%d ends at offset %" PRId64, target, id, high);
        rd_kafka_topic_partition_list_add(list, target, id)->offset = beginning ? low : end ? high : wanted;
    }
    rd_kafka_metadata_destroy(m);
    if (list->cnt == 0) client_fail(c, "there is no such partition");
    return list;
}

static int reset(struct client *c, const char *group, char *target, const char *where)
{
    rd_kafka_t *rk = client_open(c, RD_KAFKA_PRODUCER);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_topic_partition_list_t *offsets = offsets_chosen(c, rk, target, where);
    rd_kafka_AlterConsumerGroupOffsets_t *request = rd_kafka_AlterConsumerGroupOffsets_new(group, offsets);
    rd_kafka_AlterConsumerGroupOffsets(rk, &request, 1, NULL, queue);
    rd_kafka_event_t *event = client_admin_wait(c, queue, "reset");
    size_t count;
    const rd_kafka_group_result_t **results = rd_kafka_AlterConsumerGroupOffsets_result_groups(
        rd_kafka_event_AlterConsumerGroupOffsets_result(event), &count);
    int failed = print_results(c, results, count, "reset");
    rd_kafka_event_destroy(event);
    rd_kafka_AlterConsumerGroupOffsets_destroy(request);
    rd_kafka_topic_partition_list_destroy(offsets);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    return failed ? 1 : 0;
}

int client_groups(int argc, char **argv)
{
    static const struct option options[] = {CLIENT_OPTIONS_LONG, {NULL, 0, NULL, 0}};
    struct client c = client_new("groups");
    int option;
    while ((option = getopt_long(argc, argv, CLIENT_OPTIONS_SHORT, options, NULL)) != -1)
        client_option(&c, option, usage);
    const char *action = optind < argc ? argv[optind++] : "list";
    char **names = argv + optind;
    int names_count = argc - optind;
    if (names_count > GROUPS_MAX) client_fail_usage(&c, "more than %d groups", GROUPS_MAX);
    if (strcmp(action, "list") == 0) return list(&c);
    if (strcmp(action, "reset") == 0) {
        if (names_count != 3) client_fail_usage(&c, "reset takes a group, a topic and an offset");
        return reset(&c, names[0], names[1], names[2]);
    }
    if (strcmp(action, "describe") != 0 && strcmp(action, "delete") != 0)
        client_fail_usage(&c, "there is no action \"%s\"", action);
    if (names_count == 0) client_fail_usage(&c, "%s needs the name of a group", action);
    return strcmp(action, "describe") == 0 ? describe(&c, names, names_count) : delete (&c, names, names_count);
}
