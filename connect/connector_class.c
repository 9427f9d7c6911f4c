/* connect/connector_class.c: see connector_class.h: names of classes and states, and configurations as text. Aliases as Kafka
 * Connect has them (Plugins, PluginUtils.simpleName and prunedName). Threads: no state. */
#include "connect/connector_class.h"

#include <string.h>
#include <strings.h>

const struct connector_class *connector_class_find(const struct connector_class *classes, size_t classes_count,
                                                   const char *name)
{
    static const char suffix[] = "Connector";

    for (size_t i = 0; i < classes_count; i++) {
        const char *full = classes[i].name;
        const char *dot = strrchr(full, '.');
        const char *simple = dot ? dot + 1 : full;
        size_t len = strlen(simple), name_len = strlen(name);
        if (strcmp(full, name) == 0 || strcmp(simple, name) == 0) return &classes[i];
        if (len > strlen(suffix) && strcmp(simple + len - strlen(suffix), suffix) == 0 &&
            name_len == len - strlen(suffix) && strncmp(simple, name, name_len) == 0)
            return &classes[i];
    }
    return NULL;
}

const char *connector_state_name(enum connector_state s)
{
    static const char *const names[] = {
        [CONNECTOR_UNASSIGNED] = "UNASSIGNED", [CONNECTOR_RUNNING] = "RUNNING", [CONNECTOR_PAUSED] = "PAUSED",
        [CONNECTOR_STOPPED] = "STOPPED",       [CONNECTOR_FAILED] = "FAILED",   [CONNECTOR_RESTARTING] = "RESTARTING",
    };
    assert((size_t)s < countof(names));
    return names[s];
}

const char *config_get(const json_t *config, const char *name)
{
    return json_string_value(json_object_get(config, name));
}

bool property_is_secret(const char *name)
{
    static const char *const words[] = {"password",    "secret",    "token",   "credential",
                                        "private.key", "sasl.jaas", "api.key", "basic.auth.user.info"};
    for (size_t i = 0; i < countof(words); i++)
        if (strcasestr(name, words[i])) return true;
    return false;
}

char *config_text(const json_t *config)
{
    char *text = xstrdup("{");
    const char *name, *comma = "";
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)config, name, value)
    {
        const char *shown = property_is_secret(name) ? "****" : json_string_value(value);
        char *longer = xasprintf("%s%s%s=%s", text, comma, name, shown ? shown : "null");
        free(text);
        text = longer;
        comma = ", ";
    }
    char *closed = xasprintf("%s}", text);
    free(text);
    return closed;
}
