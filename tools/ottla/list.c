/* tools/ottla/list.c: what can be asked without starting the broker: the served APIs and the options, from their
 * rows. */
#include "tools/ottla/serve.h"

#include "broker/config/config.h"
#include "protocol/message.h"

#define LINE_COLUMNS 100

void list_apis(FILE *out)
{
    for (int i = 0; i < kafka_apis_count; i++)
        if (kafka_apis[i].served_min >= 0)
            fprintf(out, "%3d %-32s %d-%d\n", kafka_apis[i].key, kafka_apis[i].name, kafka_apis[i].served_min,
                    kafka_apis[i].served_max);
}

static const char *type_name(enum option_type type)
{
    static const char *const names[] = {
        [OPTION_BOOL] = "true or false",        [OPTION_INT] = "32-bit integer", [OPTION_SHORT] = "16-bit integer",
        [OPTION_LONG] = "64-bit integer",       [OPTION_DOUBLE] = "number",      [OPTION_STRING] = "text",
        [OPTION_LIST] = "comma separated list", [OPTION_CLASS] = "class name",   [OPTION_PASSWORD] = "secret text",
    };
    return names[type];
}

/* Words of text in comment lines. */
static void print_wrapped(FILE *out, const char *text)
{
    int column = 0;

    for (const char *p = text; *p;) {
        size_t word = strcspn(p, " ");
        if (column == 0 || column + 1 + (int)word > LINE_COLUMNS)
            column = fprintf(out, "%s# ", column ? "\n" : "") - (column ? 1 : 0);
        else column += fprintf(out, " ");
        column += fprintf(out, "%.*s", (int)word, p);
        p += word;
        while (*p == ' ') p++;
    }
    fprintf(out, "\n");
}

static bool has_bound(double bound)
{
    return bound > -9e15 && bound < 9e15 && bound != 2147483647.0;
}

static void print_bounds(FILE *out, const struct option *row)
{
    if (row->max < row->min) return;
    if (has_bound(row->min) && has_bound(row->max)) fprintf(out, ", %.15g to %.15g", row->min, row->max);
    else if (has_bound(row->min)) fprintf(out, ", at least %.15g", row->min);
    else if (has_bound(row->max)) fprintf(out, ", at most %.15g", row->max);
}

void list_options(FILE *out)
{
    fprintf(out, "# Every option of ottla with its default. Written by `ottla --list-options`, which the tests compare "
                 "with this file.\n"
                 "# Names are Kafka's. Further options of Kafka are accepted and reported as having no effect; unknown "
                 "names are\n"
                 "# refused. `ottla serve FILE --override name=value` sets one for a start.\n");
    for (size_t i = 0; i < broker_options_count; i++) {
        const struct option *row = &broker_options[i];
        if (row->flags & (OPTION_HIDDEN | OPTION_UNUSED)) continue;
        fprintf(out, "\n");
        print_wrapped(out, row->doc);
        fprintf(out, "# (%s%s%s", type_name(row->type), row->unit ? ", " : "", row->unit ? row->unit : "");
        print_bounds(out, row);
        if (row->choices) fprintf(out, "; one of %s", row->choices);
        fprintf(out, "%s)\n#%s=%s\n", row->flags & OPTION_LIVE ? "; may be changed while running" : "", row->name,
                row->default_text ? row->default_text : "");
    }
}
