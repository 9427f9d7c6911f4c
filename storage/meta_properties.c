/* storage/meta_properties.c: see meta_properties.h. */
#include "storage/meta_properties.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The value of key in Java properties of the simple kind that this file holds. */
static bool property(const char *text, const char *key, char *ret_value, size_t value_size)
{
    size_t key_len = strlen(key);
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        if (strncmp(line, key, key_len) || line[key_len] != '=') continue;
        size_t len = strcspn(line + key_len + 1, "\r\n");
        if (len >= value_size) return false;
        memcpy(ret_value, line + key_len + 1, len);
        ret_value[len] = '\0';
        return true;
    }
    return false;
}

bool meta_properties_parse(const char *text, struct meta_properties *ret_meta)
{
    struct meta_properties m = {0};
    char node[16] = "", directory[UUID_TEXT_MAX + 1] = "", *end;

    if (!property(text, "cluster.id", m.cluster_id, sizeof m.cluster_id)) return false;
    if (!property(text, "node.id", node, sizeof node) && !property(text, "broker.id", node, sizeof node)) return false;
    errno = 0;
    long id = strtol(node, &end, 10);
    if (!*node || *end || errno || id < 0 || id > INT32_MAX) return false;
    m.node_id = (int32_t)id;
    if (property(text, "directory.id", directory, sizeof directory) && !uuid_parse(directory, &m.directory_id))
        m.directory_id = (struct uuid){{0}};
    *ret_meta = m;
    return true;
}

void meta_properties_format(const struct meta_properties *meta, char ret_text[META_PROPERTIES_TEXT_BYTES])
{
    char directory[UUID_TEXT_SIZE];
    uuid_format(meta->directory_id, directory);
    snprintf(ret_text, META_PROPERTIES_TEXT_BYTES, "version=1\ncluster.id=%s\nnode.id=%d\ndirectory.id=%s\n",
             meta->cluster_id, meta->node_id, directory);
}
