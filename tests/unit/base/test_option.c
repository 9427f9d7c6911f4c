/* The promises of option.h and properties.h. */
#include "base/option.h"
#include "base/properties.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

struct sample {
    bool flag;
    int64_t number;
    int64_t unset;
    double ratio;
    char *text;
    char *list;
};

#define FIELD(name) offsetof(struct sample, name)
static const struct option rows[] = {
    {"flag", OPTION_BOOL, NULL, "true", 0, -1, NULL, 0, FIELD(flag), "a flag"},
    {"number", OPTION_INT, "ms", "7", 1, 100, NULL, OPTION_LIVE, FIELD(number), "a number"},
    {"unset", OPTION_LONG, NULL, NULL, 0, -1, NULL, 0, FIELD(unset), "a number without default"},
    {"ratio", OPTION_DOUBLE, NULL, "0.5", 0, 1, NULL, 0, FIELD(ratio), "a ratio"},
    {"text", OPTION_STRING, NULL, "a", 0, -1, "a,b", 0, FIELD(text), "a word"},
    {"list", OPTION_LIST, NULL, NULL, 0, -1, "x,y", 0, FIELD(list), "words"},
    {"foreign", OPTION_SHORT, NULL, "3", 0, -1, NULL, OPTION_UNUSED, 0, NULL},
};

static bool set(struct sample *s, const char *name, const char *value, struct err *err)
{
    return option_set(option_find(rows, countof(rows), name), s, value, err);
}

Test(option, defaults_then_values_then_text)
{
    struct sample s = {0}, copy = {0};

    option_defaults(rows, countof(rows), &s);
    cr_assert(s.flag && s.number == 7 && s.unset == OPTION_UNSET && s.ratio == 0.5 && strcmp(s.text, "a") == 0 &&
              !s.list);
    cr_assert(set(&s, "flag", "FALSE", NULL) && set(&s, "number", "100", NULL) && set(&s, "list", "y, x", NULL));
    option_copy(rows, countof(rows), &copy, &s);
    options_done(rows, countof(rows), &s);
    for (size_t i = 0; i < countof(rows); i++) {
        static const char *const expected[] = {"false", "100", NULL, "0.5", "a", "y, x", NULL};
        AUTO_FREE char *text = option_text(&rows[i], &copy);
        cr_expect(expected[i] ? text && strcmp(text, expected[i]) == 0 : !text, "%s", rows[i].name);
    }
    options_done(rows, countof(rows), &copy);
}

Test(option, a_refused_value_changes_nothing_and_is_named)
{
    static const char *const refused[][2] = {
        {"flag", "yes"},
        {"flag", ""},
        {"number", "0"},
        {"number", "101"},
        {"number", "7x"},
        {"number", " 7"},
        {"number", ""},
        {"unset", "1e3"},
        {"unset", "99999999999999999999"},
        {"ratio", "nan"},
        {"ratio", "1.5"},
        {"text", "c"},
        {"text", "A"},
        {"list", "x,z"},
        {"foreign", "40000"},
        {"number", "2147483648"},
    };
    struct sample s = {0};
    struct err err;

    option_defaults(rows, countof(rows), &s);
    for (size_t i = 0; i < countof(refused); i++) {
        err = ERR_NONE;
        cr_expect(!set(&s, refused[i][0], refused[i][1], &err), "%s=%s", refused[i][0], refused[i][1]);
        cr_expect_eq(err.code, -EINVAL);
        cr_expect(strstr(err.text, refused[i][0]), "%s", err.text);
    }
    cr_assert(s.flag && s.number == 7 && s.unset == OPTION_UNSET && s.ratio == 0.5 && strcmp(s.text, "a") == 0 &&
              !s.list);
    options_done(rows, countof(rows), &s);
}

Test(option, lists_are_walked_trimmed)
{
    static const char *const expected[] = {"a", "", "b c"};
    struct slice element;
    size_t count = 0;

    for (const char *p = " a,, b c "; option_list_next(&p, &element); count++)
        cr_assert(count < countof(expected) && slice_eq_text(element, expected[count]));
    cr_assert_eq(count, countof(expected));
    cr_assert(option_list_has("delete,compact", "compact") && !option_list_has("delete", "del") &&
              !option_list_has(NULL, "x"));
}

/* What each line gave, as "key=value@line;". */
struct seen {
    char text[500];
};

static int collect(void *arg, const char *key, const char *value, int line)
{
    struct seen *s = arg;
    size_t used = strlen(s->text);
    snprintf(s->text + used, sizeof s->text - used, "%s=%s@%d;", key, value, line);
    return strcmp(key, "stop") == 0 ? -ECANCELED : 0;
}

static void expect_properties(const char *text, const char *expected)
{
    struct seen s = {{0}};
    struct err err;
    cr_expect_eq(properties_parse(slice_of(text), collect, &s, &err), 0, "%s", text);
    cr_expect_str_eq(s.text, expected);
}

Test(properties, the_grammar_of_java)
{
    expect_properties("a=b\nc = d \ne:f\r\ng h\rempty\n\n", "a=b@1;c=d @2;e=f@3;g=h@4;empty=@5;");
    expect_properties("# comment \\\n! another\n  key=1", "key=1@3;");
    expect_properties("list=a,\\\n     b,\\\r\n  c\nnext=1", "list=a,b,c@1;next=1@4;");
    expect_properties("a\\=b\\ c=d\\te\\n\\\\", "a=b c=d\te\n\\@1;");
    expect_properties("k=\\u0041\\u00e9\\u20ac\\ud83d\\ude00", "k=Aé€😀@1;");
    expect_properties("k==x=y", "k==x=y@1;");
    expect_properties("", "");
    expect_properties("trailing=\\", "trailing=@1;");
}

Test(properties, an_error_names_its_line)
{
    struct seen s = {{0}};
    struct err err = ERR_NONE;
    static const char with_nul[] = "a=b\0c";

    cr_assert_eq(properties_parse(SLICE("a=1\nb=\\u12G4\n"), collect, &s, &err), -EINVAL);
    cr_assert(strstr(err.text, "line 2"), "%s", err.text);
    cr_assert_eq(properties_parse(slice_make(with_nul, sizeof with_nul), collect, &s, &err), -EINVAL);
    cr_assert_eq(properties_parse(SLICE("a=1\nstop=1\nb=2"), collect, &s, &err), -ECANCELED);
    cr_assert_eq(properties_read("/nowhere/file", collect, &s, &err), -ENOENT);
    cr_assert(strstr(err.text, "/nowhere/file"));
}
