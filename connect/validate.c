/* connect/validate.c: see validate.h. Texts are Kafka Connect's, since tools show and some parse them; a problem that belongs
 * to no defined property is listed, too. Threads: no state. */
#include "connect/validate.h"

#include "base/option.h"

#include <stdio.h>

static void problem_add(struct problems *p, const char *name, const char *format, const char *value, const char *text)
{
    if (p->count == PROBLEMS_MAX) return;
    struct connector_problem *added = &p->list[p->count++];
    snprintf(added->name, sizeof added->name, "%s", name);
    snprintf(added->text, sizeof added->text, format, value, text);
}

void validate_name(const char *name, struct problems *p)
{
    static const char format[] = "Invalid value %s for configuration name: %s";

    if (!*name) problem_add(p, "name", format, name, "String may not be empty");
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            problem_add(p, "name", format, "", "String may not contain control sequences");
            return;
        }
    /* Connect takes such names and cannot address them afterwards. */
    if (strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        problem_add(p, "name", format, name, "String may not contain a slash, nor be '.' or '..': it is part of a URL");
}

void validate_values(const struct connector_class *class, const json_t *config, struct problems *p)
{
    p->count += class->check(class->context, config, p->list + p->count, PROBLEMS_MAX - p->count);
}

void validate_remote(const struct connector_class *class, const json_t *config, struct problems *p)
{
    if (p->count == 0) p->count = class->check_remote(class->context, config, p->list, PROBLEMS_MAX);
}

char *problems_message(const struct problems *p)
{
    char *text = xasprintf("Connector configuration is invalid and contains the following %u error(s):", p->count);

    for (uint32_t i = 0; i < p->count; i++) {
        char *longer = xasprintf("%s\n%s", text, p->list[i].text);
        free(text);
        text = longer;
    }
    char *whole = xasprintf("%s\nYou can also find the above list of errors at the endpoint "
                            "`/connector-plugins/{connectorType}/config/validate`",
                            text);
    free(text);
    return whole;
}

static json_t *string_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static json_t *definition_json(const struct property_info *i)
{
    return json_pack("{s:s, s:s, s:b, s:o, s:s, s:o, s:o, s:s, s:s, s:[], s:i}", "name", i->name, "type", i->type,
                     "required", i->required, "default_value", string_or_null(i->default_text), "importance",
                     i->importance, "documentation", string_or_null(i->doc), "group", string_or_null(i->group), "width",
                     i->width ? i->width : "NONE", "display_name", i->display_name ? i->display_name : i->name,
                     "dependents", "order", i->order);
}

json_t *definitions_json(const struct connector_class *class)
{
    json_t *list = json_array();
    struct property_info info;

    for (size_t i = 0; class->property(class->context, i, &info); i++)
        json_array_append_new(list, definition_json(&info));
    return list;
}

json_t *plugin_definitions_json(const struct property_info *properties, size_t properties_count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < properties_count; i++) json_array_append_new(list, definition_json(&properties[i]));
    return list;
}

static json_t *errors_json(const struct problems *p, const char *name)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < p->count; i++)
        if (strcmp(p->list[i].name, name) == 0) json_array_append_new(list, json_string(p->list[i].text));
    return list;
}

static json_t *value_json(const struct property_info *i, const json_t *config, const struct problems *p)
{
    const char *value = config_get(config, i->name), *position = i->values;
    json_t *recommended = json_array();
    struct slice word;

    if (!value) value = i->default_text;
    if (value && strcmp(i->type, "PASSWORD") == 0) value = "[hidden]";
    while (position && option_list_next(&position, &word))
        json_array_append_new(recommended, json_stringn((const char *)word.ptr, word.len));
    return json_pack("{s:s, s:o, s:o, s:o, s:b}", "name", i->name, "value", string_or_null(value), "recommended_values",
                     recommended, "errors", errors_json(p, i->name), "visible", true);
}

static void group_add(json_t *groups, const char *group)
{
    size_t i;
    json_t *known;

    json_array_foreach(groups, i, known) if (strcmp(json_string_value(known), group) == 0) return;
    json_array_append_new(groups, json_string(group));
}

json_t *validation_json(const struct connector_class *class, const json_t *config, const struct problems *p)
{
    json_t *groups = json_array(), *configs = json_array(), *described = json_object();
    struct property_info info;

    for (size_t i = 0; class->property(class->context, i, &info); i++) {
        if (info.group) group_add(groups, info.group);
        json_object_set_new(described, info.name, json_true());
        json_array_append_new(configs, json_pack("{s:o, s:o}", "definition", definition_json(&info), "value",
                                                 value_json(&info, config, p)));
    }
    /* A problem with a name that has no definition must not be lost. */
    for (uint32_t i = 0; i < p->count; i++) {
        const char *name = p->list[i].name;
        if (json_object_get(described, name)) continue;
        json_object_set_new(described, name, json_true());
        json_array_append_new(
            configs, json_pack("{s:n, s:{s:s, s:o, s:[], s:o, s:b}}", "definition", "value", "name", name, "value",
                               string_or_null(property_is_secret(name) ? "[hidden]" : config_get(config, name)),
                               "recommended_values", "errors", errors_json(p, name), "visible", true));
    }
    json_decref(described);
    return json_pack("{s:s, s:i, s:o, s:o}", "name", class->name, "error_count", (int)p->count, "groups", groups,
                     "configs", configs);
}

json_t *config_normalise(const json_t *posted, json_t *removes, struct err *err)
{
    json_t *config = json_object(), *value;
    const char *name;

    json_object_foreach((json_t *)(uintptr_t)posted, name, value)
    {
        char number[64];
        if (json_is_string(value)) {
            json_object_set(config, name, value);
        } else if (json_is_boolean(value)) {
            json_object_set_new(config, name, json_string(json_is_true(value) ? "true" : "false"));
        } else if (json_is_integer(value)) {
            snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
            json_object_set_new(config, name, json_string(number));
        } else if (json_is_real(value)) {
            snprintf(number, sizeof number, "%.15g", json_real_value(value));
            if (strtod(number, NULL) != json_real_value(value))
                snprintf(number, sizeof number, "%.17g", json_real_value(value));
            json_object_set_new(config, name, json_string(number));
        } else if (json_is_null(value)) {
            if (removes) json_array_append_new(removes, json_string(name));
        } else {
            err_set(err, 400, "The value of '%.200s' is an object or an array; a string, number or boolean is expected",
                    name);
            json_decref(config);
            return NULL;
        }
    }
    return config;
}
