/* Regular expressions of subscriptions: RE2's syntax, whole names, linear time. */
#include "broker/group/regex.h"

#include "base/thread.h"
#include "protocol/kafka_error.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <time.h>

static bool matches(const char *expression, const char *name)
{
    struct err err = ERR_NONE;
    struct regex *r = regex_compile(slice_of(expression), &err);
    cr_assert(r, "%s: %s", expression, err.text);
    bool result = regex_matches(r, slice_of(name));
    cr_assert_eq(regex_matches(r, slice_of(name)), result, "a run leaves nothing behind");
    regex_free(r);
    return result;
}

#define YES(expression, name) cr_expect(matches(expression, name), "%s should match %s", expression, name)
#define NO(expression, name)  cr_expect_not(matches(expression, name), "%s should not match %s", expression, name)

Test(regex, whole_names_are_matched)
{
    YES("orders", "orders");
    NO("orders", "orders2");
    NO("orders", "my.orders");
    YES("", "");
    NO("", "a");
    NO("a", "");
    YES("^orders$", "orders");
    YES("orders.*", "orders.eu");
    YES("orders\\.(eu|us)", "orders.us");
    NO("orders\\.(eu|us)", "orders-us");
    YES("a|b|", "");
    YES("(a|b)c|d", "bc");
    NO("(a|b)c|d", "dc");
    NO("a$b", "ab");
    YES("(^a|b)(c$|d)", "ac");
}

Test(regex, repetitions)
{
    YES("a*", "");
    YES("a*", "aaaa");
    NO("a+", "");
    YES("a+b?", "aab");
    YES("a{3}", "aaa");
    NO("a{3}", "aa");
    YES("a{2,}", "aaaaa");
    NO("a{2,}", "a");
    YES("(ab){1,2}", "abab");
    NO("(ab){1,2}", "ababab");
    YES("x{0,3}y", "xxy");
    YES("x{0}y", "y");
    YES("a*?b+?", "aabb");
    YES("(a*)*b", "aab");
    YES("(|a)+", "aaa");
    YES("a{,2}", "a{,2}"); /* no repetition: stands for itself */
    YES("a{x", "a{x");
    YES("(a?){3}a{3}", "aaa");
}

Test(regex, classes)
{
    YES("[a-c]+", "abcabc");
    NO("[a-c]+", "abd");
    YES("[^a-c]+", "xyz");
    NO("[^a-c]", "b");
    YES("[]a]+", "a]");
    YES("[a-]+", "a-a");
    YES("[\\d.]+", "1.2");
    YES("[[:alpha:]_]+", "a_B");
    NO("[[:^alpha:]]", "a");
    YES("[^\\s[:digit:]]", "x");
    YES("\\d+\\w\\D", "12_x");
    NO("\\W", "a");
    YES("\\S", "a");
    YES("\\pL\\p{N}\\PL\\p{^Lu}", "a1-a");
    YES("[\\x61-\\x{63}]\\x64", "bd");
    YES("\\Qa.b*\\E+", "a.b**");
    YES("\\Q|)\\E|\\Q\\Ex\\Q(", "x(");
    YES("\\141\\.\\-", "a.-");
    NO(".", "\n");
    YES("(?s).", "\n");
}

Test(regex, groups_and_flags)
{
    YES("(?i)Orders", "oRDERS");
    YES("(?i:A)b", "ab");
    NO("(?i:A)b", "aB");
    YES("(?i)[a-c]x(?-i)y", "BXy");
    NO("(?i)[a-c]x(?-i)y", "BXY");
    YES("(?P<name>a)(?<other>b)(?:c)", "abc");
    YES("((?i)a)b", "Ab");
    NO("((?i)a)b", "AB");
    NO("(?i)[^a]", "A");
    YES("\\Aa\\bx?\\z", "a");
    YES("a\\b-\\bb", "a-b");
    NO("a\\bb", "ab");
    YES("a\\Bb", "ab");
}

Test(regex, what_re2_refuses_is_refused)
{
    static const char *const bad[] = {
        "(",     ")",        "a)",      "(a",     "[a",    "[z-a]",   "*a",  "+",          "a**",
        "a+*",   "a{2}{3}",  "a{1001}", "a{3,2}", "\\",    "a\\",     "\\1", "(a)\\1",     "(?=a)",
        "(?!a)", "(?<=a)",   "(?<!a)",  "(?>a)",  "a++",   "\\p{No}", "\\y", "(?P=a)",     "(?P<>a)",
        "(?i",   "[[:no:]]", "\\x{zz}", "(?)",    "(?i-)", "(?--i)",  "\\E", "a{1000}{2}",
    };
    for (size_t i = 0; i < countof(bad); i++) {
        struct err err = ERR_NONE;
        struct regex *r = regex_compile(slice_of(bad[i]), &err);
        cr_expect_null(r, "%s", bad[i]);
        cr_expect_eq(err.code, KAFKA_INVALID_REGULAR_EXPRESSION);
        cr_expect(strstr(err.text, bad[i]), "%s", err.text);
        regex_free(r);
    }
    cr_expect_null(regex_compile(SLICE("("), NULL), "without a place for the error");
}

Test(regex, size_is_bounded)
{
    char deep[1000];
    memset(deep, '(', sizeof deep);
    cr_expect_null(regex_compile(slice_make(deep, sizeof deep), NULL));
    cr_expect_null(regex_compile(SLICE("((a{100}){100}){100}"), NULL));
    cr_expect_null(regex_compile(SLICE("(((|){1000}){1000}){1000}"), NULL));
    char *wide = xmalloc(1 << 20);
    memset(wide, 'a', 1 << 20);
    cr_expect_null(regex_compile(slice_make(wide, 1 << 20), NULL));
    free(wide);
}

Test(regex, time_is_linear_in_the_name)
{
    char name[250];
    memset(name, 'a', sizeof name);
    name[249] = 'b';
    struct regex *r = regex_compile(SLICE("(a*)*(a|aa)+(a?){100}a{100}c"), NULL);
    cr_assert(r);
    clock_t start = clock();
    for (int i = 0; i < 100; i++) cr_assert_not(regex_matches(r, slice_make(name, sizeof name)));
    cr_expect_lt(clock() - start, 5 * CLOCKS_PER_SEC, "a backtracking matcher would not come back");
    regex_free(r);
}

Test(regex, any_bytes_are_survived)
{
    static const char alphabet[] = "ab\\()[]{}*+?|^$.:-<>=!PpQEdDwWsSxiu0123,\xc3\xa4\n";
    unsigned seed = 848;
    int compiled = 0;
    for (int round = 0; round < 20000; round++) {
        char text[24];
        uint32_t len = (uint32_t)rand_r(&seed) % sizeof text;
        for (uint32_t i = 0; i < len; i++) text[i] = alphabet[(size_t)rand_r(&seed) % (sizeof alphabet - 1)];
        struct regex *r = regex_compile(slice_make(text, len), NULL);
        if (!r) continue;
        compiled++;
        (void)regex_matches(r, SLICE("ab0-\n"));
        (void)regex_matches(r, SLICE_EMPTY);
        regex_free(r);
    }
    cr_expect_gt(compiled, 500, "%d", compiled);
}

/* -- what a client sends runs on the control thread: its stack is small, and its time everybody's -- */

static void *compile_on_a_small_stack(void *arg)
{
    struct regex *r = regex_compile(slice_of(arg), NULL);
    bool *matched = xcalloc(1, sizeof *matched);
    *matched = r && regex_matches(r, SLICE("a"));
    regex_free(r);
    return matched;
}

static bool matches_on_a_small_stack(char *expression)
{
    pthread_t thread;
    void *matched;
    cr_assert_eq(thread_start(&thread, "regex", compile_on_a_small_stack, expression), 0);
    pthread_join(thread, &matched);
    bool result = *(bool *)matched;
    free(matched);
    return result;
}

/* count times the text, then "a", then count times the end. */
static char *repeated(const char *text, size_t count, const char *end)
{
    size_t text_len = strlen(text), end_len = strlen(end);
    char *all = xcalloc(count * (text_len + end_len) + 2, 1), *p = all;
    for (size_t i = 0; i < count; i++, p += text_len) memcpy(p, text, text_len);
    *p++ = 'a';
    for (size_t i = 0; i < count; i++, p += end_len) memcpy(p, end, end_len);
    return all;
}

Test(regex, a_long_expression_needs_no_deep_stack)
{
    static const struct {
        const char *text, *end;
        size_t count;
        bool matches;
    } cases[] = {{"b", "", 25000, false},           {"b|", "", 600, true},
                 {"b|", "", 25000, false},          {"(?i)", "", 25000, true},
                 {"(", ")", REGEX_DEPTH_MAX, true}, {"(b|", ")?", 100, true},
                 {"(|", ")", 5000, false}};
    for (size_t i = 0; i < countof(cases); i++) {
        AUTO_FREE char *expression = repeated(cases[i].text, cases[i].count, cases[i].end);
        cr_expect_eq(matches_on_a_small_stack(expression), cases[i].matches, "case %zu", i);
    }
}

Test(regex, repeating_nothing_takes_no_time, .timeout = 10)
{
    YES("((((((){1000}){1000}){1000}){1000}){1000}){1000}", "");
    YES("(((((?:(|){0}){1000}){1000}){1000}){1000}){1000}", "");
    NO("((((((?i){1000}){1000}){1000}){1000}){1000}){1000}", "a");
}
